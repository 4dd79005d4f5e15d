/* SPDX-License-Identifier: Apache-2.0
 * check_agent_stream.c - a real agent in mode stream and a real httpd, which
 * restarts, dies, comes back, or cannot hold streams.
 */
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#define SOON_MS 15000

static httpd *server;
static agent *a;
static local_app *app;

static void set_up_with(const char *mpm, const char *config)
{
    server = httpd_start(&(httpd_options){ .mpm = mpm, .config = config });
    a = agent_start(&(agent_options){ .server = server, .config = "mode = stream\n" });
    app = local_open(a);
    local_subscribe(app, "orders");
}

static void set_up(void)
{
    set_up_with("event", NULL);
}

static void tear_down(void)
{
    local_close(app);
    agent_end(a);
    httpd_end(server);
}

static const char *status(const char *member)
{
    http_answer *answer = http_once(server, "GET", "/comm/status", "admin", NULL, NULL);

    return answer->status == 200 ? support_json(answer->body, member) : "";
}

static int is_held(void)
{
    return atoi(status("waiting")) == 1;
}

static int is_acknowledged(void)
{
    return strcmp(status("queued"), "0") == 0;
}

static void publish(int n)
{
    ck_assert_int_eq(http_once(server, "POST", "/comm/publish/orders/alice", "backend",
                               "Content-Type: application/json\r\n",
                               support_text("%d", n))
                         ->status,
                     201);
}

static void expect_message(int n)
{
    const char *message = local_message(app);

    ck_assert_str_eq(support_json(message, "data"), support_text("%d", n));
    local_ack(app, support_json(message, "id"));
}

START_TEST(messages_come_at_once_and_leave_the_server)
{
    long long published;
    int i;

    wait_until(is_held(), SOON_MS);
    for (i = 0; i < 3; i++) {
        published = process_now_ms();
        publish(i);
        expect_message(i);
        wait_until(is_acknowledged(), SOON_MS);
        ck_assert_int_lt(process_now_ms() - published, process_scale(2000));
    }
    ck_assert(is_held());
    ck_assert_int_eq(agent_log_count(a, "server 'main'"), 1);
}
END_TEST

START_TEST(many_messages_come_in_order)
{
    int i;

    wait_until(is_held(), SOON_MS);
    for (i = 0; i < 300; i++)
        publish(i);
    for (i = 0; i < 300; i++)
        expect_message(i);
    wait_until(is_acknowledged(), SOON_MS);
}
END_TEST

START_TEST(what_came_while_the_agent_was_away_comes_first)
{
    int i;

    wait_until(is_held(), SOON_MS);
    agent_kill(a);
    for (i = 0; i < 200; i++)
        publish(i);
    local_close(app);
    agent_again(a);
    app = local_open(a);
    local_subscribe(app, "orders");
    for (i = 0; i < 200; i++)
        expect_message(i);
    wait_until(is_acknowledged(), SOON_MS);
}
END_TEST

START_TEST(a_restart_in_between_is_no_news)
{
    static void (*const restarts[])(httpd *) = { httpd_graceful, httpd_restart };

    wait_until(is_held(), SOON_MS);
    publish(1);
    expect_message(1);
    wait_until(is_acknowledged(), SOON_MS);
    restarts[_i](server);
    publish(2);
    expect_message(2);
    wait_until(is_held(), SOON_MS);
    publish(3);
    expect_message(3);
    wait_until(is_acknowledged(), SOON_MS);
}
END_TEST

/* The queue is a new one, its epoch another: the old cursor is not known. */
START_TEST(a_server_that_dies_is_found_again)
{
    wait_until(is_held(), SOON_MS);
    publish(1);
    expect_message(1);
    httpd_kill(server);
    wait_until(agent_log_count(a, "cannot be reached") == 1, SOON_MS);
    httpd_again(server);
    publish(2);
    while (strstr(local_read(app), "\"data\":2}") == NULL)
        continue;
    ck_assert_int_eq(agent_log_count(a, "connected to"), 2);
}
END_TEST

START_TEST(a_stream_that_reaches_its_age_is_followed_by_another)
{
    const char *line = "GET /comm/poll?device=testdevice HTTP/1.1\" 200";
    int i;

    tear_down();
    set_up_with("event", "CommServerMaxStream 2\n");
    for (i = 0; i < 2; i++) {
        wait_until(is_held(), SOON_MS);
        publish(i);
        expect_message(i);
        wait_until(httpd_access_count(server, line) == i + 1, SOON_MS);
    }
    wait_until(is_held(), SOON_MS);
    ck_assert_int_eq(agent_log_count(a, "server 'main'"), 1);
}
END_TEST

START_TEST(a_newer_poll_replaces_it)
{
    http *other = http_open(server);

    wait_until(is_held(), SOON_MS);
    http_ask(other, "GET", "/comm/poll?wait=20&device=testdevice", "alice", NULL, NULL);
    wait_until(agent_log_count(a, "another agent uses the device name") == 1, SOON_MS);
    http_close(other);
}
END_TEST

START_TEST(what_was_dropped_unread_is_told)
{
    int i, gaps = 0;

    tear_down();
    set_up_with("event", "CommServerOverflow drop-oldest\nCommServerMaxQueue 5\n");
    wait_until(is_held(), SOON_MS);
    agent_stop(a);
    for (i = 0; i < 12; i++)
        publish(i);
    local_close(app);
    agent_again(a);
    app = local_open(a);
    local_subscribe(app, "orders");
    for (i = 7; i < 12;) {
        const char *line = local_read(app);

        if (support_json(line, "gap")) {
            ck_assert_str_eq(support_json(line, "gap.count"), "7");
            gaps++;
            local_ack(app, support_json(line, "gap.id"));
            continue;
        }
        ck_assert_str_eq(support_json(line, "message.data"), support_text("%d", i++));
        local_ack(app, support_json(line, "message.id"));
    }
    ck_assert_int_eq(gaps, 1);
    wait_until(is_acknowledged(), SOON_MS);
}
END_TEST

/* From the application back to the publisher, by stream and by poll. */
START_TEST(the_publisher_hears_that_the_application_has_it)
{
    static const char *const modes[] = { "mode = stream\n", "mode = poll\n" };
    const char *message, *path;
    http_answer *answer;
    long long acked;

    local_close(app);
    agent_end(a);
    a = agent_start(&(agent_options){ .server = server, .config = modes[_i] });
    app = local_open(a);
    local_subscribe(app, "orders");
    wait_until(is_held(), SOON_MS);
    answer = http_once(server, "POST", "/comm/publish/orders/alice", "backend",
                       "Prefer: respond-async\r\n", "hello");
    ck_assert_int_eq(answer->status, 201);
    path = http_header(answer, "Location");
    message = local_message(app);
    ck_assert_str_eq(support_json(message, "receipt"), "true");
    local_ack(app, support_json(message, "id"));
    acked = process_now_ms();
    answer = http_once(server, "GET", path, "backend", "Prefer: wait=20\r\n", NULL);
    while (strcmp(support_json(answer->body, "state"), "acknowledged") != 0) {
        ck_assert_int_le(process_now_ms() - acked, process_scale(3000));
        answer = http_once(server, "GET", path, "backend", "Prefer: wait=1\r\n", NULL);
    }
}
END_TEST

/* Where no stream can be held the agent polls, some seconds apart. */
START_TEST(other_mpms_are_polled_at_intervals)
{
    static const char *const mpms[] = { "worker", "prefork" };
    const char *line = "GET /comm/poll?device=testdevice HTTP/1.1\" 200";
    long long begun;
    int before;

    tear_down();
    set_up_with(mpms[_i], NULL);
    publish(1);
    expect_message(1);
    wait_until(is_acknowledged(), SOON_MS);
    before = httpd_access_count(server, line);
    begun = process_now_ms();
    wait_until(httpd_access_count(server, line) >= before + 3, 30000);
    ck_assert_int_ge(process_now_ms() - begun, 3000);
    ck_assert_int_eq(agent_log_count(a, "server 'main'"), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_stream");
    TCase *c = tcase_create("stream");

    support_need_httpd();
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 90);
    tcase_add_test(c, messages_come_at_once_and_leave_the_server);
    tcase_add_test(c, many_messages_come_in_order);
    tcase_add_test(c, what_came_while_the_agent_was_away_comes_first);
    tcase_add_loop_test(c, a_restart_in_between_is_no_news, 0, 2);
    tcase_add_test(c, a_server_that_dies_is_found_again);
    tcase_add_test(c, a_stream_that_reaches_its_age_is_followed_by_another);
    tcase_add_test(c, a_newer_poll_replaces_it);
    tcase_add_test(c, what_was_dropped_unread_is_told);
    tcase_add_loop_test(c, the_publisher_hears_that_the_application_has_it, 0, 2);
    tcase_add_loop_test(c, other_mpms_are_polled_at_intervals, 0, 2);
    suite_add_tcase(s, c);
    return support_run(s);
}
