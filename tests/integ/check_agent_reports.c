/* SPDX-License-Identifier: Apache-2.0
 * check_agent_reports.c - a real agent tells a server, which answers by script,
 * what applications have acknowledged.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static script_server *server;
static agent *a;
static local_app *app;
static char config[1024];

static void set_up(void)
{
    server = script_start();
    snprintf(config, sizeof config, "[server main]\nurl = %s\ndevice = test\nwait = 7\n",
             script_url(server));
}

static void tear_down(void)
{
    if (app)
        local_close(app);
    if (a)
        agent_end(a);
    app = NULL;
    a = NULL;
    script_end(server);
}

static const char *receipt(const char *id)
{
    return support_text("{\"id\":\"%s\",\"app\":\"orders\",\"receipt\":true,\"length\":1,"
                        "\"data\":1}",
                        id);
}

/* A poll is held, an application has subscribed. */
static void start(void)
{
    a = agent_start(&(agent_options){ .config = config });
    script_expect(server);
    script_nothing(server, "e-0");
    script_expect(server);
    app = local_open(a);
    local_subscribe(app, "orders");
}

/* It was given, and the poll after it is held. */
static void give(const char *messages, int count)
{
    script_batch(server, "e-1", messages);
    for (; count > 0; count--)
        local_message(app);
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Prefer"), "wait=7");
    ck_assert_ptr_null(script_header(server, "Comm-Acknowledged"));
}

/* The next request reports these, and acknowledges nothing itself. */
static void expect_report(const char *ids)
{
    script_expect(server);
    ck_assert_str_eq(script_request_line(server), "POST /comm/poll?device=test HTTP/1.1");
    ck_assert_str_eq(script_header(server, "Prefer"), "return=minimal");
    ck_assert_ptr_null(script_header(server, "Last-Event-ID"));
    ck_assert_str_eq(script_header(server, "Comm-Acknowledged"), ids);
}

START_TEST(it_is_reported_beside_the_held_poll_within_a_second)
{
    long long acked;

    start();
    give(receipt("id1"), 1);
    local_ack(app, "id1");
    acked = process_now_ms();
    expect_report("id1");
    ck_assert_int_le(process_now_ms() - acked, process_scale(1000));
    script_nothing(server, NULL);
    ck_assert(!script_try(server, 1500));
}
END_TEST

START_TEST(several_are_reported_together)
{
    start();
    give(support_text("%s,%s,%s", receipt("id1"), script_message("id2", "orders", "1"),
                      receipt("id3")),
         3);
    local_send(app, "{\"ack\":\"id1\"}\n{\"ack\":\"id2\"}\n{\"ack\":\"id3\"}");
    expect_report("id1, id3");
    script_nothing(server, NULL);
    ck_assert(!script_try(server, 1000));
}
END_TEST

START_TEST(a_report_outlives_the_agent)
{
    start();
    give(receipt("id1"), 1);
    local_ack(app, "id1");
    expect_report("id1");
    agent_kill(a);
    agent_again(a);
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-1");
    ck_assert_str_eq(script_header(server, "Comm-Acknowledged"), "id1");
    script_nothing(server, "e-1");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Prefer"), "wait=7");
    ck_assert_ptr_null(script_header(server, "Comm-Acknowledged"));
    ck_assert(!script_try(server, 1000));
}
END_TEST

START_TEST(a_report_that_fails_is_sent_again)
{
    start();
    give(receipt("id1"), 1);
    local_ack(app, "id1");
    expect_report("id1");
    script_answer(server, "503 Later", "Retry-After: 1\r\n", "");
    expect_report("id1");
    script_cut(server);
    expect_report("id1");
    script_nothing(server, NULL);
    ck_assert(!script_try(server, 1000));
    ck_assert_int_eq(agent_log_count(a, "server 'main'"), 1);
}
END_TEST

START_TEST(a_report_that_is_refused_is_dropped_after_some_tries)
{
    int i;

    start();
    give(receipt("id1"), 1);
    local_ack(app, "id1");
    for (i = 0; i < 5; i++) {
        expect_report("id1");
        script_answer(server, "400 Bad Request", "", "");
    }
    wait_until(agent_log_count(a, "does not take reports") == 1, 5000);
    ck_assert(!script_try(server, 2000));
}
END_TEST

/* The cursor is not to blame, and the poll goes on. */
START_TEST(a_poll_that_is_refused_with_a_report_goes_on_without)
{
    start();
    give(receipt("id1"), 1);
    agent_stop(a);
    local_close(app);
    agent_again(a);
    script_expect(server);
    app = local_open(a);
    local_subscribe(app, "orders");
    local_message(app);
    local_ack(app, "id1");
    script_nothing(server, "e-1");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Comm-Acknowledged"), "id1");
    script_answer(server, "400 Bad Request", "", "");
    script_expect(server);
    ck_assert_ptr_null(script_header(server, "Comm-Acknowledged"));
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-1");
    expect_report("id1");
    script_nothing(server, NULL);
}
END_TEST

START_TEST(reports_go_beside_a_stream)
{
    const char *head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    const char *text;

    snprintf(config, sizeof config,
             "[server main]\nurl = %s\ndevice = test\nmode = stream\n",
             script_url(server));
    a = agent_start(&(agent_options){ .config = config });
    script_expect(server);
    script_raw(server, head, strlen(head));
    app = local_open(a);
    local_subscribe(app, "orders");
    text = support_text("id: e-1\ndata: %s\n\n", receipt("id1"));
    script_raw(server, text, strlen(text));
    local_message(app);
    local_ack(app, "id1");
    script_expect(server);
    ck_assert_ptr_nonnull(strstr(script_request_line(server), "&after=e-1 "));
    script_nothing(server, NULL);
    expect_report("id1");
    script_nothing(server, NULL);
    ck_assert(!script_try(server, 1000));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_reports");
    TCase *c = tcase_create("reports");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, it_is_reported_beside_the_held_poll_within_a_second);
    tcase_add_test(c, several_are_reported_together);
    tcase_add_test(c, a_report_outlives_the_agent);
    tcase_add_test(c, a_report_that_fails_is_sent_again);
    tcase_add_test(c, a_report_that_is_refused_is_dropped_after_some_tries);
    tcase_add_test(c, a_poll_that_is_refused_with_a_report_goes_on_without);
    tcase_add_test(c, reports_go_beside_a_stream);
    suite_add_tcase(s, c);
    return support_run(s);
}
