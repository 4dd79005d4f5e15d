/* SPDX-License-Identifier: Apache-2.0
 * check_agent_dead.c - what a user sees and does with commclient dead, apps and
 * ack, and with an application that takes nothing.
 */
#include "support/script_server.h"
#include "support/support.h"
#include "support/terminal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static script_server *server;
static agent *a;
static int sequence;
static char *output;
static terminal *screen;

static void start_with(const char *more)
{
    server = script_start();
    sequence = 0;
    a = agent_start(&(agent_options){
        .config = support_text("%s[server main]\nurl = %s\ndevice = test\n", more,
                               script_url(server)) });
    script_expect(server);
    script_nothing(server, "e-0");
    script_expect(server);
}

static void set_up(void)
{
    start_with("");
}

static void set_up_small(void)
{
    start_with("inbox_max = 3M\n[app lazy]\nquota = 1M\n");
}

static void tear_down(void)
{
    free(output);
    output = NULL;
    if (screen)
        terminal_end(screen);
    screen = NULL;
    if (a)
        agent_end(a);
    a = NULL;
    if (server)
        script_end(server);
    server = NULL;
}

/* The next poll says that they are committed. */
static void publish(const char *messages)
{
    script_batch(server, support_text("e-%d", ++sequence), messages);
    script_expect(server);
}

static void run_list(int expected, const char *verb, va_list words)
{
    const char *argv[16] = { support_build_path("commclient/commclient"), verb,
                             "--config", agent_config(a) };
    process_result result;
    int n = 4;

    while (n < 15 && (argv[n] = va_arg(words, const char *)) != NULL)
        n++;
    argv[n] = NULL;
    result = process_run(&(process_options){ .argv = argv });
    free(output);
    output = result.output;
    ck_assert_msg(result.status == expected, "%d: %s", result.status, output);
}

/* Run a verb with these words, NULL behind the last; what it wrote is in
 * `output`. */
static void run(const char *verb, ...)
{
    va_list words;

    va_start(words, verb);
    run_list(0, verb, words);
    va_end(words);
}

static void run_failing(int expected, const char *verb, ...)
{
    va_list words;

    va_start(words, verb);
    run_list(expected, verb, words);
    va_end(words);
}

static void expect_text(const char *text)
{
    ck_assert_msg(strstr(output, text) != NULL, "'%s' is not in: %s", text, output);
}

static local_app *subscribe(const char *name)
{
    local_app *app = local_open(a);

    local_subscribe(app, name);
    return app;
}

static void reject(local_app *app, const char *id)
{
    local_send(app, support_text("{\"reject\":\"%s\"}", id));
    ck_assert_str_eq(support_json(local_read(app), "rejected"), id);
}

/* Two rejected, one that no application could use. */
static local_app *make_dead(void)
{
    local_app *app = subscribe("orders");

    publish(
        support_text("%s,%s,{\"id\":7}",
                     script_message("id1", "orders", "{\"big\":12345678901234567890}"),
                     script_message("id2", "orders", "2")));
    ck_assert_str_eq(support_json(local_message(app), "id"), "id1");
    ck_assert_str_eq(support_json(local_message(app), "id"), "id2");
    reject(app, "id1");
    reject(app, "id2");
    return app;
}

START_TEST(dead_messages_are_listed)
{
    local_app *app;

    run("dead", NULL);
    ck_assert_str_eq(output, "no message is dead\n");
    app = make_dead();
    run("dead", NULL);
    expect_text("ID ");
    expect_text("id1 ");
    expect_text("rejected by the application");
    expect_text("dead.1 ");
    expect_text("'id' is not a string");
    run("dead", "list", "--app", "orders", "--json", NULL);
    ck_assert_str_eq(support_json(output, "0.id"), "id1");
    ck_assert_str_eq(support_json(output, "1.id"), "id2");
    ck_assert_str_eq(support_json(output, "0.app"), "orders");
    ck_assert_str_eq(support_json(output, "0.server"), "main");
    ck_assert_str_eq(support_json(output, "0.attempts"), "1");
    ck_assert_ptr_nonnull(support_json(output, "0.time"));
    ck_assert_ptr_null(support_json(output, "2.id"));
    run("status", NULL);
    expect_text("3 messages could not be used or were rejected");
    local_close(app);
}
END_TEST

START_TEST(a_dead_message_is_shown_as_it_came)
{
    local_app *app = make_dead();

    run("dead", "show", "id1", NULL);
    ck_assert_str_eq(
        output, support_text("%s\n", script_message("id1", "orders",
                                                    "{\"big\":12345678901234567890}")));
    run("dead", "show", "dead.1", NULL);
    ck_assert_str_eq(output, "{\"id\":7}\n");
    run("dead", "show", "id2", "--json", NULL);
    ck_assert_str_eq(support_json(output, "why"), "rejected by the application");
    ck_assert_str_eq(support_json(output, "message.data"), "2");
    run_failing(1, "dead", "show", "id3", NULL);
    expect_text("there is none with this id on the dead list");
    local_close(app);
}
END_TEST

START_TEST(what_came_does_not_steer_the_terminal_and_stays_json)
{
    static const char *const environment[] = { "LC_ALL=C.UTF-8", NULL };
    const char *const argv[] = { support_program("commclient/commclient"),
                                 "dead",
                                 "show",
                                 "dead.1",
                                 "--socket",
                                 agent_socket(a),
                                 NULL };

    publish("{\"id\":7,\"x\":\"a\177\302\233\303\274\"}");
    screen = terminal_start(argv, environment, 80, 24);
    terminal_expect(screen, "{\"id\":7,\"x\":\"a\\u007f\\u009b\303\274\"}");
    ck_assert_int_eq(terminal_wait(screen), 0);
    run("dead", "show", "dead.1", NULL);
    ck_assert_str_eq(output, "{\"id\":7,\"x\":\"a\177\302\233\303\274\"}\n");
}
END_TEST

START_TEST(a_dead_message_is_given_again)
{
    local_app *app = make_dead();
    const char *message;

    run("dead", "retry", "id2", NULL);
    expect_text("1 message given to the application again");
    message = local_message(app);
    ck_assert_str_eq(support_json(message, "id"), "id2");
    ck_assert_str_eq(support_json(message, "attempt"), "2");
    ck_assert_str_eq(support_json(message, "data"), "2");
    local_ack(app, "id2");
    run_failing(1, "dead", "retry", "dead.1", NULL);
    expect_text("it cannot be used");
    agent_kill(a);
    local_close(app);
    agent_again(a);
    run("dead", "retry", "--all", NULL);
    expect_text("1 message given to the application again\n"
                "1 message cannot be used and left\n");
    agent_kill(a);
    agent_again(a);
    app = subscribe("orders");
    ck_assert_str_eq(support_json(local_message(app), "id"), "id1");
    ck_assert_ptr_null(local_try(app, 50));
    local_close(app);
}
END_TEST

START_TEST(dead_messages_are_removed)
{
    local_app *app = make_dead();

    run("dead", "remove", "id1", NULL);
    ck_assert_str_eq(output, "1 message removed\n");
    run_failing(1, "dead", "remove", "id1", NULL);
    run("dead", "remove", "--all", "--app", "orders", NULL);
    ck_assert_str_eq(output, "1 message removed\n");
    run("dead", "remove", "--all", "--json", NULL);
    ck_assert_str_eq(support_json(output, "removed"), "1");
    run("dead", NULL);
    ck_assert_str_eq(output, "no message is dead\n");
    local_close(app);
}
END_TEST

START_TEST(wrong_usage_of_dead_ends_with_2)
{
    run_failing(2, "dead", "dance", NULL);
    run_failing(2, "dead", "show", NULL);
    run_failing(2, "dead", "retry", NULL);
    run_failing(2, "dead", "remove", "id1", "--all", NULL);
    run_failing(2, "dead", "list", "id1", NULL);
    run_failing(2, "dead", "--all", NULL);
    run_failing(2, "dead", "show", "id1", "--app", "orders", NULL);
    run_failing(2, "dead", "remove", "id1", "id2", NULL);
    run_failing(2, "dead", "--app", "a b", NULL);
    expect_text("is not the name of an application");
    run_failing(2, "ack", NULL);
    run_failing(2, "apps", "orders", NULL);
}
END_TEST

START_TEST(what_is_no_json_is_shown_as_text)
{
    script_answer(server, "200 OK", "Content-Type: application/json\r\n",
                  "{\"cursor\":\"e-1\",\"messages\":[{\"id\":\"\x01\x80\n");
    script_expect(server);
    script_answer(server, "200 OK", "Content-Type: application/json\r\n",
                  "{\"cursor\":\"e-1\",\"messages\":[{\"id\":\"\x01\x80\n");
    script_expect(server);
    run("dead", "show", "dead.1", NULL);
    ck_assert_str_eq(output,
                     "\"{\\\"cursor\\\":\\\"e-1\\\",\\\"messages\\\":[{\\\"id\\\":"
                     "\\\"\\u0001\\ufffd\\u000a\"\n");
}
END_TEST

START_TEST(messages_are_acknowledged_from_a_shell)
{
    publish(support_text("%s,%s", script_message("id1", "orders", "1"),
                         script_message("id2", "orders", "2")));
    run("listen", "orders", "--take", "--no-ack", "--count", "2", "--data", NULL);
    ck_assert_str_eq(output, "1\n2\n");
    run("ack", "id1", NULL);
    ck_assert_str_eq(output, "");
    run_failing(1, "ack", "never", "id2", NULL);
    expect_text("there never was a message with this id");
    expect_text("'never' was not acknowledged");
    run("ack", "id1", "id2", NULL);
    run("apps", "--json", NULL);
    ck_assert_str_eq(support_json(output, "0.waiting"), "0");
}
END_TEST

START_TEST(applications_are_listed)
{
    local_app *app, *watcher = local_open(a);

    run("apps", NULL);
    ck_assert_str_eq(output, "no application is known yet\n");
    app = make_dead();
    local_send(watcher, "{\"subscribe\":\"mail\",\"watch\":true}");
    local_read(watcher);
    publish(support_text("%s,%s", script_message("id3", "orders", "1"),
                         script_message("id4", "mail", "2")));
    ck_assert_str_eq(support_json(local_message(app), "id"), "id3");
    run("apps", "--json", NULL);
    ck_assert_str_eq(support_json(output, "0.name"), "mail");
    ck_assert_str_eq(support_json(output, "0.watchers"), "1");
    ck_assert_str_eq(support_json(output, "0.waiting"), "1");
    ck_assert_str_eq(support_json(output, "1.name"), "orders");
    ck_assert_str_eq(support_json(output, "1.subscribers"), "1");
    ck_assert_str_eq(support_json(output, "1.unacknowledged"), "1");
    ck_assert_str_eq(support_json(output, "1.dead"), "2");
    ck_assert_str_eq(support_json(output, "1.quota"), "134217728");
    ck_assert_int_gt(atoi(support_json(output, "1.bytes")), 200);
    run("apps", NULL);
    expect_text("APP     SUBSCRIBERS");
    expect_text("128 MB");
    local_close(app);
    local_close(watcher);
}
END_TEST

/* 400 KB at a time. */
static void publish_large(const char *app, int number)
{
    static char data[400003], text[400200];

    memset(data, 'x', 400002);
    data[0] = data[400001] = '"';
    snprintf(text, sizeof text,
             "{\"id\":\"%s%d\",\"app\":\"%s\",\"length\":400002,\"data\":%s}", app,
             number, app, data);
    publish(text);
}

START_TEST(an_application_that_takes_nothing_stops_no_other)
{
    local_app *orders = subscribe("orders"), *lazy;
    const char *line;
    int i;

    for (i = 1; i <= 20; i++) {
        publish_large("lazy", i);
        publish(script_message(support_text("id%d", i), "orders", "1"));
        ck_assert_str_eq(support_json(local_message(orders), "id"),
                         support_text("id%d", i));
        local_ack(orders, support_text("id%d", i));
    }
    ck_assert_int_eq(
        agent_log_count(a, "app 'lazy' holds more than its quota of 1048576"), 1);
    agent_kill(a);
    local_close(orders);
    agent_again(a);
    lazy = local_open(a);
    local_send(lazy, "{\"subscribe\":\"lazy\"}");
    ck_assert_str_eq(support_json(local_read(lazy), "subscribed"), "lazy");
    line = local_read(lazy);
    ck_assert_str_eq(support_json(line, "gap.app"), "lazy");
    ck_assert_str_eq(support_json(line, "gap.count"), "18");
    ck_assert_ptr_nonnull(strstr(local_read(lazy), "\"lazy19\""));
    ck_assert_ptr_nonnull(strstr(local_read(lazy), "\"lazy20\""));
    local_close(lazy);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_dead");
    TCase *c = tcase_create("dead"), *small = tcase_create("small");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, dead_messages_are_listed);
    tcase_add_test(c, a_dead_message_is_shown_as_it_came);
    tcase_add_test(c, what_came_does_not_steer_the_terminal_and_stays_json);
    tcase_add_test(c, a_dead_message_is_given_again);
    tcase_add_test(c, dead_messages_are_removed);
    tcase_add_test(c, wrong_usage_of_dead_ends_with_2);
    tcase_add_test(c, what_is_no_json_is_shown_as_text);
    tcase_add_test(c, messages_are_acknowledged_from_a_shell);
    tcase_add_test(c, applications_are_listed);
    suite_add_tcase(s, c);
    tcase_add_checked_fixture(small, set_up_small, tear_down);
    tcase_add_test(small, an_application_that_takes_nothing_stops_no_other);
    suite_add_tcase(s, small);
    return support_run(s);
}
