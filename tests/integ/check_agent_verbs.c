/* SPDX-License-Identifier: Apache-2.0
 * check_agent_verbs.c - commclient as a user sees it: verbs, output, exit codes.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static script_server *server;
static agent *a;
static char *output;

static void set_up(void)
{
    server = script_start();
    a = agent_start(&(agent_options){
        .config = support_text("[server main]\nurl = %s\ndevice = test\n",
                               script_url(server)) });
    script_expect(server);
    script_nothing(server, "e-0");
    script_expect(server);
}

static void tear_down(void)
{
    free(output);
    output = NULL;
    if (a)
        agent_end(a);
    a = NULL;
    if (server)
        script_end(server);
    server = NULL;
}

/* Run commclient with these words, NULL behind the last. Returns its exit code;
 * what it wrote is in `output`. */
static int run(const char *one, ...)
{
    const char *argv[16] = { support_build_path("commclient/commclient"), one };
    process_result result;
    va_list args;
    int n = 2;

    va_start(args, one);
    while (n < 15 && (argv[n] = va_arg(args, const char *)) != NULL)
        n++;
    va_end(args);
    argv[n] = NULL;
    result = process_run(&(process_options){ .argv = argv });
    free(output);
    output = result.output;
    return result.status;
}

static void expect_text(const char *text)
{
    ck_assert_msg(strstr(output, text) != NULL, "'%s' is not in: %s", text, output);
}

START_TEST(help_and_version_are_there)
{
    static const char *const verbs[] = { "run",  "listen", "status", "check", "setup",
                                         "dead", "apps",   "ack",    "send" };
    size_t i;

    ck_assert_int_eq(run("--version", NULL), 0);
    ck_assert_int_eq(strncmp(output, "commclient ", 11), 0);
    ck_assert_int_eq(run("--help", NULL), 0);
    expect_text("listen");
    for (i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        ck_assert_int_eq(run(verbs[i], "--help", NULL), 0);
        expect_text(support_text("usage: commclient %s", verbs[i]));
        expect_text("Exit status:");
    }
}
END_TEST

START_TEST(wrong_usage_ends_with_2)
{
    ck_assert_int_eq(run("dance", NULL), 2);
    expect_text("'dance' is not a verb");
    ck_assert_int_eq(run("listen", NULL), 2);
    ck_assert_int_eq(run("listen", "a", "b", NULL), 2);
    ck_assert_int_eq(run("listen", "--count", "0", "a", NULL), 2);
    expect_text("commclient: --count must be a number from 1, not '0'");
    ck_assert_int_eq(run("listen", "orders", "--json", "--data", NULL), 2);
    expect_text("--json or --data can be given, not both");
    ck_assert_int_eq(run("listen", "a/b", NULL), 2);
    expect_text("is not the name of an application");
    ck_assert_int_eq(run("listen", "orders", "--no-ack", NULL), 2);
    expect_text("--no-ack needs --take");
    ck_assert_int_eq(run("status", "x", NULL), 2);
    ck_assert_int_eq(run("run", "--nonsense", NULL), 2);
    expect_text("commclient: unrecognized option '--nonsense'");
    expect_text("usage: commclient run");
    ck_assert_int_eq(run("dead", "--app", NULL), 2);
    expect_text("commclient: option '--app' requires an argument");
    ck_assert_int_eq(run("status", "-sx", "--js", "--watc", "--help", NULL), 0);
    expect_text("usage: commclient status");
}
END_TEST

START_TEST(without_an_agent_it_ends_with_3)
{
    ck_assert_int_eq(run("status", "--socket", "/nonexistent/socket", NULL), 3);
    expect_text("no agent runs on '/nonexistent/socket'");
    ck_assert_int_eq(run("listen", "orders", "-s", "/nonexistent/socket", NULL), 3);
}
END_TEST

START_TEST(a_wrong_configuration_ends_with_4)
{
    const char *file = support_text("%s/wrong.conf", reaper_temporary());

    ck_assert_int_eq(run("run", "--config", "/nonexistent/x", NULL), 4);
    expect_text("cannot be opened");
    expect_text("'commclient setup URL' writes one");
    process_write_file(file, "[server main]\nurl = http://x/\nspeed = 5\n");
    ck_assert_int_eq(run("run", "--config", file, NULL), 4);
    expect_text("wrong.conf:3: key 'speed' is not known in [server]");
    ck_assert_int_eq(run("status", "--config", file, NULL), 4);
    expect_text("key 'speed' is not known");
}
END_TEST

START_TEST(a_password_file_others_can_read_ends_with_4)
{
    const char *directory = reaper_temporary();
    const char *file = support_text("%s/c.conf", directory);
    const char *password = support_text("%s/password", directory);

    process_write_file(password, "topsecret\n");
    chmod(password, 0644);
    process_write_file(file, support_text("[server main]\nurl = http://127.0.0.1:1/\n"
                                          "user = al\npassword_file = password\n"
                                          "[agent]\nsocket = s\ninbox = i\n"));
    ck_assert_int_eq(run("run", "--config", file, NULL), 4);
    expect_text("mode 0600 is needed");
    ck_assert_ptr_null(strstr(output, "topsecret"));
}
END_TEST

/* Files of a section that cannot work, and what is said of each. "cert.pem",
 * "key.pem" and "both.pem" are there; "open.pem" is a key all can read. */
static const char *const bad_files[][2] = {
    { "user = al\npassword_file = nofile\n", "cannot read password_file '" },
    { "token_file = nofile\n", "cannot read token_file '" },
    { "ca = nofile\n", "cannot read ca '" },
    { "ca = .\n", "ca '" },
    { "ca = key.pem\n", "holds no certificate: a PEM file is needed" },
    { "cert = nofile\n", "cannot read cert '" },
    { "cert = cert.pem\nkey = nofile\n", "cannot read key '" },
    { "cert = cert.pem\n", "holds no private key: give key, or put it there" },
    { "cert = cert.pem\nkey = cert.pem\n", "holds no private key" },
    { "cert = cert.pem\nkey = open.pem\n", "mode 0600 is needed" },
    { "cert = open.pem\n", "mode 0600 is needed" },
    { "cert = cert.pem\nkey = locked.pem\n", "needs a passphrase" },
};

static void write_pem(const char *directory, const char *name, const char *text, int mode)
{
    const char *file = support_text("%s/%s", directory, name);

    process_write_file(file, text);
    chmod(file, (mode_t)mode);
}

#define CERTIFICATE "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n"
#define KEY         "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n"

static const char *write_section(const char *text)
{
    const char *directory = reaper_temporary();
    const char *file = support_text("%s/c.conf", directory);

    write_pem(directory, "cert.pem", CERTIFICATE, 0644);
    write_pem(directory, "key.pem", KEY, 0600);
    write_pem(directory, "open.pem", CERTIFICATE KEY, 0644);
    write_pem(directory, "both.pem", CERTIFICATE KEY, 0600);
    write_pem(directory, "locked.pem",
              "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMA==\n"
              "-----END ENCRYPTED PRIVATE KEY-----\n",
              0600);
    process_write_file(file, support_text("[agent]\nsocket = s\ninbox = i\n"
                                          "[server main]\nurl = https://127.0.0.1:1/\n%s",
                                          text));
    return file;
}

START_TEST(files_that_cannot_work_end_with_4)
{
    const char *file = write_section(bad_files[_i][0]);

    ck_assert_int_eq(run("run", "--config", file, NULL), 4);
    expect_text("[server main]: ");
    expect_text(bad_files[_i][1]);
    if (strstr(bad_files[_i][0], "nofile") != NULL)
        expect_text("/nofile': No such file or directory\n");
}
END_TEST

START_TEST(a_file_that_is_no_inbox_ends_with_4)
{
    const char *file = write_section("");
    const char *inbox = support_text("%.*s/i", (int)(strrchr(file, '/') - file), file);

    process_write_file(inbox, "x\n");
    ck_assert_int_eq(run("run", "--config", file, NULL), 4);
    expect_text(support_text("inbox '%s' is a file of another program", inbox));
}
END_TEST

START_TEST(a_key_may_stand_in_the_file_of_its_certificate)
{
    const char *file = write_section("cert = both.pem\nca = cert.pem\n");

    a = agent_start(&(agent_options){
        .config = support_text("[server main]\nurl = https://127.0.0.1:1/\n"
                               "cert = %.*s/both.pem\n",
                               (int)(strrchr(file, '/') - file), file) });
}
END_TEST

START_TEST(status_is_readable)
{
    local_app *app = local_open(a);

    local_subscribe(app, "orders");
    script_batch(server, "e-1",
                 support_text("%s,%s", script_message("id1", "orders", "1"),
                              script_message("id2", "mail", "1")));
    script_expect(server);
    ck_assert_int_eq(run("status", "--config", agent_config(a), NULL), 0);
    expect_text("agent  commclient ");
    expect_text("inbox  2 messages, ");
    expect_text("! app mail: 1 message waits, and nothing takes them");
    expect_text("\nmain    connected  ");
    expect_text("  test    http://127.0.0.1:");
    expect_text("\norders        0        1            1         0\n");
    expect_text("\nmail          1        0            0         0\n");
    ck_assert_int_eq(run("status", "--json", "--socket", agent_socket(a), NULL), 0);
    ck_assert_str_eq(support_json(output, "servers.0.state"), "connected");
    ck_assert_str_eq(support_json(output, "inbox.messages"), "2");
    ck_assert_str_eq(support_json(output, "servers.0.device"), "test");
    local_close(app);
}
END_TEST

/* Messages wait in the inbox, so that `listen --take` ends by itself. */
static void publish_three(void)
{
    const char *binary = "{\"id\":\"id3\",\"app\":\"orders\",\"base64\":true,"
                         "\"length\":10,\"data\":\"YWJjZA==\"}";

    script_batch(server, "e-1",
                 support_text("%s,%s,%s", script_message("id1", "orders", "{\"n\":1.50}"),
                              script_message("id2", "orders", "\"two\\nlines \\u00e9\""),
                              binary));
    script_expect(server);
}

START_TEST(listen_takes_and_acknowledges)
{
    publish_three();
    ck_assert_int_eq(
        run("listen", "orders", "--take", "--count", "2", "-s", agent_socket(a), NULL),
        0);
    ck_assert_str_eq(output, "2026-11-23T04:00:00.000Z  backend: {\"n\":1.50}\n"
                             "2026-11-23T04:00:00.000Z  backend: two\nlines \xc3\xa9\n");
    ck_assert_int_eq(run("listen", "orders", "--take", "-n", "1", "--data", "-s",
                         agent_socket(a), NULL),
                     0);
    ck_assert_str_eq(output, "abcd");
    ck_assert_int_eq(run("status", "--json", "-s", agent_socket(a), NULL), 0);
    ck_assert_str_eq(support_json(output, "inbox.messages"), "0");
}
END_TEST

START_TEST(listen_without_acknowledging_leaves_the_messages)
{
    publish_three();
    ck_assert_int_eq(run("listen", "orders", "--take", "--no-ack", "--json", "--count",
                         "1", "-s", agent_socket(a), NULL),
                     0);
    ck_assert_str_eq(support_json(output, "id"), "id1");
    ck_assert_str_eq(support_json(output, "attempt"), "1");
    ck_assert_int_eq(run("listen", "orders", "--take", "--json", "--count", "1", "-s",
                         agent_socket(a), NULL),
                     0);
    ck_assert_str_eq(support_json(output, "id"), "id1");
    ck_assert_str_eq(support_json(output, "attempt"), "2");
}
END_TEST

/* 1: the file holds this text and nothing else. */
static int holds(const char *file, const char *expected)
{
    char *text = process_read_file(file);
    int same = text != NULL && strcmp(text, expected) == 0;

    free(text);
    return same;
}

static int has_watcher(void)
{
    return run("status", "--json", "-s", agent_socket(a), NULL) == 0
           && support_json(output, "apps.0.watchers") != NULL
           && atoi(support_json(output, "apps.0.watchers")) == 1;
}

START_TEST(listen_watches_by_default_and_ends_by_signal)
{
    const char *file = support_text("%s/listened", agent_directory(a));
    const char *const argv[] = { support_build_path("commclient/commclient"),
                                 "listen",
                                 "orders",
                                 "--data",
                                 "--config",
                                 agent_config(a),
                                 NULL };
    pid_t pid = process_start(&(process_options){ .argv = argv, .output = file });
    int status;

    wait_until(has_watcher(), 10000);
    publish_three();
    ck_assert_int_eq(run("status", "--json", "-s", agent_socket(a), NULL), 0);
    ck_assert_str_eq(support_json(output, "inbox.messages"), "3");
    wait_until(holds(file, "{\"n\":1.50}\ntwo\nlines \xc3\xa9\nabcd"), 10000);
    kill(pid, SIGINT);
    status = process_wait(pid, 10000, "listen");
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST

START_TEST(listen_says_when_the_agent_goes)
{
    const char *file = support_text("%s/listened", agent_directory(a));
    const char *const argv[] = { support_build_path("commclient/commclient"),
                                 "listen",
                                 "orders",
                                 "--config",
                                 agent_config(a),
                                 NULL };
    pid_t pid = process_start(&(process_options){ .argv = argv, .output = file });
    int status;

    wait_until(has_watcher(), 10000);
    agent_stop(a);
    status = process_wait(pid, 10000, "listen");
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_verbs");
    TCase *alone = tcase_create("alone");
    TCase *together = tcase_create("together");

    tcase_add_checked_fixture(alone, NULL, tear_down);
    tcase_add_test(alone, help_and_version_are_there);
    tcase_add_test(alone, wrong_usage_ends_with_2);
    tcase_add_test(alone, without_an_agent_it_ends_with_3);
    tcase_add_test(alone, a_wrong_configuration_ends_with_4);
    tcase_add_test(alone, a_password_file_others_can_read_ends_with_4);
    tcase_add_loop_test(alone, files_that_cannot_work_end_with_4, 0,
                        (int)(sizeof bad_files / sizeof *bad_files));
    tcase_add_test(alone, a_file_that_is_no_inbox_ends_with_4);
    tcase_add_test(alone, a_key_may_stand_in_the_file_of_its_certificate);
    suite_add_tcase(s, alone);
    tcase_add_checked_fixture(together, set_up, tear_down);
    tcase_add_test(together, status_is_readable);
    tcase_add_test(together, listen_takes_and_acknowledges);
    tcase_add_test(together, listen_without_acknowledging_leaves_the_messages);
    tcase_add_test(together, listen_watches_by_default_and_ends_by_signal);
    tcase_add_test(together, listen_says_when_the_agent_goes);
    suite_add_tcase(s, together);
    return support_run(s);
}
