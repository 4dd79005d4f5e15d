/* SPDX-License-Identifier: Apache-2.0
 * check_path.c - the whole path from a publisher to a local application, when
 * processes on it end, restart, or meet others of their kind.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/support.h"

#define ROUNDS 40

/* ---- words --------------------------------------------------------------- */

static void publish(const httpd *server, const char *client, const char *type,
                    const char *body)
{
    http_answer *answer =
        http_once(server, "POST", support_text("/comm/publish/orders/%s", client),
                  "backend", support_text("Content-Type: %s\r\n", type), body);

    if (answer->status != 201)
        ck_abort_msg("publishing was answered %d: %s", answer->status, answer->body);
}

static int status_is(const httpd *server, const char *path, const char *expected)
{
    http_answer *answer = http_once(server, "GET", "/comm/status", "admin", NULL, NULL);
    const char *value = answer->status == 200 ? support_json(answer->body, path) : NULL;

    return value && strcmp(value, expected) == 0;
}

static local_app *subscriber(const agent *a)
{
    local_app *app = local_open(a);

    local_subscribe(app, "orders");
    return app;
}

static void expect(local_app *app, const char *data)
{
    const char *message = local_message(app);

    ck_assert_str_eq(support_json(message, "data"), data);
    local_ack(app, support_json(message, "id"));
}

/* Which child answers this connection, as the access log tells. */
static int child_of(const httpd *server, http *c, const char *mark)
{
    char *log;
    const char *at;
    int pid = 0;

    ck_assert_int_eq(
        http_call(c, "GET", support_text("/%s", mark), NULL, NULL, NULL)->status, 404);
    wait_until(httpd_access_count(server, mark) == 1, 5000);
    log = process_read_file(support_text("%s/access.log", httpd_directory(server)));
    at = log ? strstr(log, mark) : NULL;
    at = at ? strstr(at, "pid=") : NULL;
    if (at)
        pid = atoi(at + 4);
    free(log);
    return pid;
}

/* ---- children ------------------------------------------------------------ */

/* Connections are opened until one is served by another child than that of
 * the poll. */
START_TEST(a_message_published_in_one_child_wakes_a_poll_in_another)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2, .threads = 4 });
    http *poller = http_open(server);
    http *others[64] = { NULL };
    int holder = child_of(server, poller, "poller");
    int i, found = 0;

    http_ask(poller, "GET", "/comm/poll", "alice", "Prefer: wait=20\r\n", NULL);
    wait_until(status_is(server, "waiting", "1"), 10000);
    for (i = 0; i < 64 && !found; i++) {
        others[i] = http_open(server);
        found = child_of(server, others[i], support_text("other%d.", i)) != holder;
    }
    ck_assert_msg(found, "all connections went to one child");
    ck_assert_int_eq(http_call(others[i - 1], "POST", "/comm/publish/orders/alice",
                               "backend", "Content-Type: text/plain\r\n", "across")
                         ->status,
                     201);
    ck_assert_str_eq(support_json(http_read(poller)->body, "messages.0.data"), "across");
    while (i-- > 0)
        http_close(others[i]);
    http_close(poller);
    httpd_end(server);
}
END_TEST

/* ---- restarts ------------------------------------------------------------ */

START_TEST(a_graceful_restart_loses_nothing_that_is_queued)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = "event" });
    http_answer *answer;

    publish(server, "alice", "text/plain", "before");
    httpd_graceful(server);
    publish(server, "alice", "text/plain", "between");
    httpd_restart(server);
    answer = http_once(server, "GET", "/comm/poll", "alice", NULL, NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "before");
    ck_assert_str_eq(support_json(answer->body, "messages.1.data"), "between");
    ck_assert_ptr_null(support_json(answer->body, "gap"));
    httpd_end(server);
}
END_TEST

START_TEST(a_held_poll_of_the_agent_survives_restarts)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = "event" });
    agent *a = agent_start(&(agent_options){ .server = server });
    local_app *app = subscriber(a);

    wait_until(status_is(server, "waiting", "1"), 10000);
    httpd_graceful(server);
    publish(server, "alice", "text/plain", "after a graceful restart");
    expect(app, "after a graceful restart");
    httpd_restart(server);
    publish(server, "alice", "text/plain", "after a restart");
    expect(app, "after a restart");
    local_close(app);
    agent_end(a);
    httpd_end(server);
}
END_TEST

/* The server is gone for a while; the agent comes back to it by itself. Queues
 * do not outlive a stop, so it cannot know what it missed, and says so. */
START_TEST(the_agent_returns_to_a_server_that_was_away)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = "event" });
    agent *a = agent_start(&(agent_options){ .server = server });
    local_app *app = subscriber(a);

    wait_until(status_is(server, "waiting", "1"), 10000);
    httpd_stop(server);
    httpd_again(server);
    /* The queue outlives the stop: nothing is missing. */
    publish(server, "alice", "text/plain", "back again");
    expect(app, "back again");
    local_close(app);
    agent_end(a);
    httpd_end(server);
}
END_TEST

/* The agent is killed and restarted under messages that flow; each comes at
 * least once, in order, and none after it was acknowledged. */
START_TEST(the_agent_is_killed_under_messages_that_flow)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = "event" });
    agent *a = agent_start(&(agent_options){ .server = server });
    local_app *app;
    int i, next = 0;

    for (i = 0; i < ROUNDS; i++) {
        publish(server, "alice", "application/json", support_text("%d", i));
        if (i % 10 == 4) {
            agent_kill(a);
            agent_again(a);
        }
        if (i % 10 == 9)
            httpd_graceful(server);
    }
    app = subscriber(a);
    while (next < ROUNDS) {
        const char *message = local_message(app);

        ck_assert_int_eq(atoi(support_json(message, "data")), next);
        local_ack(app, support_json(message, "id"));
        next++;
        if (next % 15 == 0) {
            local_close(app);
            agent_kill(a);
            agent_again(a);
            app = subscriber(a);
        }
    }
    wait_until(status_is(server, "queued", "0"), 10000);
    ck_assert_ptr_null(local_try(app, 100));
    local_close(app);
    agent_end(a);
    httpd_end(server);
}
END_TEST

/* ---- the local application ----------------------------------------------- */

START_TEST(a_message_without_ack_is_given_again)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = "event" });
    agent *a = agent_start(&(agent_options){ .server = server });
    local_app *app = subscriber(a);
    const char *message;

    publish(server, "alice", "text/plain", "given twice");
    message = local_message(app);
    ck_assert_str_eq(support_json(message, "attempt"), "1");
    local_close(app);
    app = subscriber(a);
    message = local_message(app);
    ck_assert_str_eq(support_json(message, "data"), "given twice");
    ck_assert_int_gt(atoi(support_json(message, "attempt")), 1);
    local_ack(app, support_json(message, "id"));
    agent_kill(a);
    agent_again(a);
    local_close(app);
    app = subscriber(a);
    publish(server, "alice", "text/plain", "the next");
    expect(app, "the next");
    local_close(app);
    agent_end(a);
    httpd_end(server);
}
END_TEST

/* Numbers, escapes and doubles that a parser and printer would change. */
START_TEST(json_arrives_byte_for_byte)
{
    static const char *const payloads[] = {
        "{\"big\":123456789012345678901234567890,\"small\":1e-999,\"zero\":-0}",
        "{\"a\":1,\"a\":2}",
        "[1.10, 2.50]",
        "{\"x\":\"\\ud800\"}",
        "{ \"spaced\" : [ ] }",
        "\"\\u0041\\/\"",
        "1E400",
    };
    httpd *server = httpd_start(&(httpd_options){ .mpm = "event" });
    agent *a = agent_start(&(agent_options){ .server = server });
    local_app *app = subscriber(a);
    unsigned i;

    for (i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        const char *line;

        publish(server, "alice", "application/json", payloads[i]);
        line = local_read(app);
        if (!strstr(line, support_text("\"data\":%s", payloads[i])))
            ck_abort_msg("'%s' is not in '%s'", payloads[i], line);
        local_ack(app, support_json(line, "message.id"));
    }
    local_close(app);
    agent_end(a);
    httpd_end(server);
}
END_TEST

/* ---- others of their kind ------------------------------------------------ */

/* The newer of two agents of one user wins; the older says so once and stays
 * away. Every message arrives at one of the two. */
#define LARGE (9u << 20)

/* `commclient listen` shows just this line, and acknowledges it. */
static void check_listen(const agent *a, const char *data)
{
    process_result result = process_run(&(process_options){
        .argv = (const char *const[]){ support_build_path("commclient/commclient"),
                                       "listen", "orders", "--take", "--data", "--count",
                                       "1", "--socket", agent_socket(a), NULL } });

    ck_assert_int_eq(result.status, 0);
    ck_assert_uint_eq(strlen(result.output), strlen(data) + 1);
    ck_assert(strncmp(result.output, data, strlen(data)) == 0);
    process_result_clear(&result);
}

/* Above what the agent takes by default, within what both are told to take. */
START_TEST(a_message_as_large_as_both_allow_arrives)
{
    httpd *server =
        httpd_start(&(httpd_options){ .config = "CommServerMaxMessage 20M\n"
                                                "CommServerSegmentSize 40M\n" });
    agent *a = agent_start(&(agent_options){
        .config =
            support_text("max_message = 20M\n[server main]\nurl = %s\nuser = alice\n"
                         "password_file = @DIR@/password\n",
                         httpd_url(server, "/comm/poll")) });
    local_app *app = subscriber(a);
    char *body = malloc(LARGE + 1);
    const char *line;

    memset(body, 'x', LARGE);
    body[LARGE] = '\0';
    publish(server, "alice", "text/plain", body);
    line = local_read(app);
    ck_assert_ptr_nonnull(strstr(line, support_text("\"length\":%u,", LARGE + 2)));
    ck_assert_ptr_nonnull(strstr(line, body));
    local_close(app);
    check_listen(a, body);
    free(body);
    agent_end(a);
    httpd_end(server);
}
END_TEST

START_TEST(of_two_agents_of_one_user_the_newer_wins)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = "event" });
    agent *older = agent_start(&(agent_options){ .server = server });
    agent *newer;
    local_app *app;

    wait_until(status_is(server, "waiting", "1"), 10000);
    newer = agent_start(&(agent_options){ .server = server });
    app = subscriber(newer);
    wait_until(agent_log_count(older, "another agent") == 1, 15000);
    publish(server, "alice", "text/plain", "for the newer");
    expect(app, "for the newer");
    ck_assert_int_eq(agent_log_count(newer, "another agent"), 0);
    local_close(app);
    agent_end(newer);
    agent_end(older);
    httpd_end(server);
}
END_TEST

/* ---- the writer ---------------------------------------------------------- */

static process_result commsend(const httpd *server, const char *user, const char *input)
{
    const char *const argv[] = { support_text("%s/bin/commsend", httpd_directory(server)),
                                 "--segment",
                                 support_text("%s/run/commserver-httpd/queue",
                                              httpd_directory(server)),
                                 "--app",
                                 "orders",
                                 "--to",
                                 "alice",
                                 NULL };

    return process_run(
        &(process_options){ .argv = argv, .user = user, .input = input });
}

START_TEST(the_writer_works_as_httpds_user_and_no_other)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = "event" });
    process_result result;
    http_answer *answer;

    httpd_install_writer(server);
    result = commsend(server, httpd_user(), "from a script");
    ck_assert_msg(result.status == 0, "%d: %s", result.status, result.output);
    process_result_clear(&result);
    answer = http_once(server, "GET", "/comm/poll", "alice", NULL, NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "from a script");
    if (httpd_user()) {
        result = commsend(server, "daemon", "from a stranger");
        ck_assert_int_ne(result.status, 0);
        ck_assert_ptr_nonnull(strstr(result.output, "ermi"));
        process_result_clear(&result);
    }
    httpd_stop(server);
    result = commsend(server, httpd_user(), "too late");
    ck_assert_int_ne(result.status, 0);
    process_result_clear(&result);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("path");
    TCase *tc = tcase_create("path");

    support_need_httpd();
    tcase_set_timeout(tc, 150);
    tcase_add_test(tc, a_message_published_in_one_child_wakes_a_poll_in_another);
    tcase_add_test(tc, a_graceful_restart_loses_nothing_that_is_queued);
    tcase_add_test(tc, a_held_poll_of_the_agent_survives_restarts);
    tcase_add_test(tc, the_agent_returns_to_a_server_that_was_away);
    tcase_add_test(tc, the_agent_is_killed_under_messages_that_flow);
    tcase_add_test(tc, a_message_without_ack_is_given_again);
    tcase_add_test(tc, json_arrives_byte_for_byte);
    tcase_add_test(tc, a_message_as_large_as_both_allow_arrives);
    tcase_add_test(tc, of_two_agents_of_one_user_the_newer_wins);
    tcase_add_test(tc, the_writer_works_as_httpds_user_and_no_other);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
