/* SPDX-License-Identifier: Apache-2.0
 * check_examples.c - the client and the local application of examples/, with a
 * real server and a real agent: what they print, and what the publisher is told.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parking.h"

#define WAIT_MS 20000

static httpd *server;
static agent *a;
static char directory[512];

static void set_up(void)
{
    snprintf(directory, sizeof directory, "%s", reaper_temporary());
    process_write_file(support_text("%s/.netrc", directory),
                       "machine localhost login alice password " HTTPD_PASSWORD "\n"
                       "machine 127.0.0.1 login alice password " HTTPD_PASSWORD "\n");
    process_must((const char *const[]){ "chmod", "600",
                                        support_text("%s/.netrc", directory), NULL });
    server = httpd_start(&(httpd_options){
        .config = "CommServerMaxQueue 10\nCommServerOverflow drop-oldest\n" });
}

static void tear_down(void)
{
    if (a)
        agent_end(a);
    a = NULL;
    httpd_end(server);
}

/* ---- what an example has printed ------------------------------------------ */

static const char *output_of(const char *name)
{
    return support_text("%s/%s.output", directory, name);
}

static int printed(const char *name, const char *text)
{
    char *all = process_read_file(output_of(name));
    const char *at = all;
    int count = 0;

    while (at && (at = strstr(at, text)) != NULL) {
        count++;
        at += strlen(text);
    }
    free(all);
    return count;
}

static void expect(const char *name, const char *text)
{
    wait_until(printed(name, text) == 1, WAIT_MS);
}

static int seconds_behind(const char *name, const char *text)
{
    char *all = process_read_file(output_of(name));
    const char *at = strstr(all, text);
    int seconds = at ? atoi(at + strlen(text)) : -1;

    free(all);
    return seconds;
}

/** Copy line `number` from 0 of what was printed. */
static const char *line_of(const char *name, int number)
{
    char *all = process_read_file(output_of(name));
    char *rest = all;
    const char *line = "";

    for (; number >= 0; number--)
        line = strsep(&rest, "\n");
    line = support_text("%s", line ? line : "");
    free(all);
    return line;
}

static void expect_data(const char *name, int number, const char *data)
{
    wait_until(support_json(line_of(name, number), "data") != NULL, WAIT_MS);
    ck_assert_str_eq(support_json(line_of(name, number), "data"), data);
}

/* ---- the client ------------------------------------------------------------- */

/* As device "laptop", with the state of that device. */
static pid_t client(const char *name, const char *option, const char *value)
{
    const char *const argv[] = { "python3",
                                 support_source_path("examples/client/poll.py"),
                                 httpd_url(server, "/comm/poll?device=laptop"),
                                 support_text("%s/state", directory),
                                 option,
                                 value,
                                 NULL };
    const char *const environment[] = { support_text("HOME=%s", directory), NULL };

    return process_start(&(process_options){
        .argv = argv, .environment = environment, .output = output_of(name) });
}

static void end(pid_t pid)
{
    reaper_kill_group(pid);
    reaper_group_done(pid);
}

static const char *publish(const char *fields, const char *text)
{
    http_answer *answer = http_once(
        server, "POST", "/comm/publish/orders/alice/laptop", "backend",
        support_text("Content-Type: text/plain\r\nPrefer: respond-async\r\n%s", fields),
        text);

    ck_assert_int_eq(answer->status, 201);
    return support_text("/comm/publish/orders/-/messages/%s",
                        support_json(answer->body, "id"));
}

/* As a publisher does: it waits for each change. */
static void expect_acknowledged(const char *message)
{
    const char *changes = "0";
    http_answer *answer;

    do {
        answer = http_once(server, "GET", support_text("%s?changes=%s", message, changes),
                           "backend", "Prefer: wait=15\r\n", NULL);
        ck_assert_int_eq(answer->status, 200);
        ck_assert_str_ne(changes, support_json(answer->body, "changes"));
        changes = support_json(answer->body, "changes");
    } while (strcmp(support_json(answer->body, "state"), "acknowledged") != 0);
}

static const char *const modes[] = { NULL, "--stream" };

/* Killed in between, it goes on where it was. */
START_TEST(the_client_prints_each_message_once)
{
    pid_t pid;

    publish("", "first");
    pid = client("one", modes[_i], NULL);
    expect_data("one", 0, "first");
    expect_acknowledged(publish("", "second"));
    expect_data("one", 1, "second");
    end(pid);
    publish("", "third");
    pid = client("two", modes[_i], NULL);
    expect_data("two", 0, "third");
    httpd_graceful(server);
    expect_acknowledged(publish("", "fourth"));
    expect_data("two", 1, "fourth");
    end(pid);
}
END_TEST

/* Once with the server away for the client, once for what is queued. */
START_TEST(the_client_outlives_a_stop_of_the_server)
{
    pid_t pid = client("one", modes[_i], NULL);

    publish("", "first");
    expect_data("one", 0, "first");
    httpd_stop(server);
    wait_until(printed("one", "again in ") > 0, WAIT_MS);
    httpd_again(server);
    expect_acknowledged(publish("", "second"));
    ck_assert_int_eq(printed("one", "\"second\""), 1);
    end(pid);
    publish("", "third");
    httpd_stop(server);
    httpd_again(server);
    pid = client("two", modes[_i], NULL);
    expect_data("two", 0, "third");
    ck_assert_int_eq(printed("one", "\"gap\"") + printed("two", "\"gap\""), 0);
    end(pid);
}
END_TEST

START_TEST(the_client_prints_gaps)
{
    pid_t pid = client("one", modes[_i], NULL);
    int i;

    expect_acknowledged(publish("", "first"));
    parking_await(server, 1);
    end(pid);
    parking_await(server, 0);
    for (i = 0; i < 13; i++)
        publish("", support_text("number %d", i));
    pid = client("two", modes[_i], NULL);
    wait_until(printed("two", "\n") >= 11, WAIT_MS);
    ck_assert_str_eq(support_json(line_of("two", 0), "gap.apps.orders"), "3");
    expect_data("two", 1, "number 3");
    expect_data("two", 10, "number 12");
    publish("", "last");
    expect_data("two", 11, "last");
    end(pid);
}
END_TEST

START_TEST(the_client_leaves_what_is_less_urgent)
{
    const char *second;
    pid_t pid;

    publish("", "first");
    second = publish("Urgency: high\r\n", "second");
    pid = client("one", "--urgency", "high");
    expect_acknowledged(second);
    expect_data("one", 0, "second");
    end(pid);
    pid = client("two", NULL, NULL);
    expect_data("two", 0, "first");
    publish("", "third");
    expect_data("two", 1, "third");
    end(pid);
}
END_TEST

START_TEST(the_client_gives_way_to_a_newer_one)
{
    pid_t older = client("one", NULL, NULL);
    pid_t newer;

    parking_await(server, 1);
    newer = client("two", NULL, NULL);
    expect("one", "replaced");
    expect("one", "again in ");
    ck_assert_int_ge(seconds_behind("one", "again in "), 30);
    publish("", "first");
    expect_data("two", 0, "first");
    end(older);
    end(newer);
}
END_TEST

START_TEST(the_client_says_what_is_wrong)
{
    pid_t pid = client("one", "--urgency", "none");

    expect("one", "\"type\":\"malformed\"");
    end(pid);
}
END_TEST

/* ---- the local application --------------------------------------------------- */

static pid_t local(const char *name)
{
    int is_python = strstr(name, ".py") != NULL;
    int is_shell = strstr(name, ".sh") != NULL;
    const char *path = support_text("examples/local/%s", name);
    const char *python[] = { "python3", support_source_path(path), NULL,
                             "orders",  "http://localhost:9",      NULL };
    const char *program[] = { is_shell ? support_source_path(path)
                                       : support_build_path(path),
                              NULL, "orders", NULL };
    const char **argv = is_python ? python : program;

    a = agent_start(&(agent_options){
        .server = server,
        .device = "laptop",
        .config = support_text("publish = %s\n", httpd_url(server, "/comm/publish")) });
    argv[is_python ? 2 : 1] = agent_socket(a);
    return process_start(
        &(process_options){ .argv = argv, .output = output_of("local") });
}

static void publish_json(const char *json)
{
    ck_assert_int_eq(http_once(server, "POST", "/comm/publish/orders/alice", "backend",
                               "Content-Type: application/json\r\n", json)
                         ->status,
                     201);
}

/* Nothing waits in the agent, or is with an application. */
static int inbox_is_empty(void)
{
    local_app *app = local_open(a);
    int empty;

    local_send(app, "{\"status\":true}");
    empty = strcmp(support_json(local_read(app), "status.inbox.messages"), "0") == 0;
    local_close(app);
    return empty;
}

START_TEST(the_local_application_answers_what_it_can)
{
    pid_t pid = local("settle.py");
    http_answer *answer;

    publish_json("{\"order\":1,\"answer_to\":\"bob\"}");
    expect("local", "{\"published\":");
    answer = http_once(server, "GET", "/comm/poll", "bob", "Prefer: wait=15\r\n", NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.from"), "alice");
    ck_assert_str_eq(support_json(answer->body, "messages.0.data.done"), "1");
    expect("local", "{\"acked\":");
    publish_json("{\"order\":2,\"answer_to\":\"no/such/one\"}");
    expect("local", "\"bad-receiver\"");
    expect("local", "{\"rejected\":");
    end(pid);
}
END_TEST

START_TEST(the_local_application_puts_off_what_it_cannot)
{
    pid_t pid = local("settle.py");

    publish_json("{\"order\":3,\"later\":true}");
    expect("local", "{\"nacked\":");
    expect("local", "\"attempt\":2");
    expect("local", "{\"acked\":");
    ck_assert_int_eq(printed("local", "{\"message\":"), 2);
    end(pid);
}
END_TEST

START_TEST(the_local_application_acknowledges_gaps)
{
    pid_t pid;
    int i;

    ck_assert_int_eq(
        http_once(server, "GET", "/comm/poll?device=laptop", "alice", NULL, NULL)->status,
        204);
    for (i = 0; i < 12; i++)
        publish_json(support_text("{\"order\":%d}", i));
    pid = local("settle.py");
    expect("local", "\"count\":2");
    wait_until(printed("local", "{\"acked\":") == 11, WAIT_MS);
    ck_assert_int_eq(printed("local", "{\"message\":"), 10);
    end(pid);
}
END_TEST

static const char *const takers[] = { "consume.py", "fetch.py", "settle.py", "consume",
                                      "consume.sh" };

#define TAKERS ((int)(sizeof takers / sizeof *takers))

/* The last needs socat and jq. */
static int has_shell_tools(void)
{
    const char *const probe[] = { "sh", "-c", "command -v socat && command -v jq", NULL };
    process_result found = process_run(&(process_options){ .argv = probe });
    int has = found.status == 0;

    process_result_clear(&found);
    return has;
}

/* They come in one piece, and each is acknowledged before the next is read. */
START_TEST(each_local_application_takes_all_that_waits)
{
    pid_t pid;
    int i;

    for (i = 0; i < 8; i++)
        publish_json(support_text("\"number %d\"", i));
    pid = local(takers[_i]);
    for (i = 0; i < 8; i++)
        wait_until(printed("local", support_text("number %d", i)) > 0, WAIT_MS);
    wait_until(inbox_is_empty(), WAIT_MS);
    end(pid);
}
END_TEST

int main(void)
{
    const char *const probe[] = { "python3", "-c", "pass", NULL };
    process_result found = process_run(&(process_options){ .argv = probe });
    Suite *s = suite_create("examples");
    TCase *c = tcase_create("examples");

    if (found.status != 0)
        support_skip("there is no python3");
    process_result_clear(&found);
    support_need_httpd();
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, the_client_prints_each_message_once, 0, 2);
    tcase_add_loop_test(c, the_client_outlives_a_stop_of_the_server, 0, 2);
    tcase_add_loop_test(c, the_client_prints_gaps, 0, 2);
    tcase_add_test(c, the_client_leaves_what_is_less_urgent);
    tcase_add_test(c, the_client_gives_way_to_a_newer_one);
    tcase_add_test(c, the_client_says_what_is_wrong);
    tcase_add_test(c, the_local_application_answers_what_it_can);
    tcase_add_test(c, the_local_application_puts_off_what_it_cannot);
    tcase_add_test(c, the_local_application_acknowledges_gaps);
    tcase_add_loop_test(c, each_local_application_takes_all_that_waits, 0,
                        TAKERS - !has_shell_tools());
    suite_add_tcase(s, c);
    return support_run(s);
}
