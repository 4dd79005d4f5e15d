/* SPDX-License-Identifier: Apache-2.0
 * check_agent_setup.c - "commclient setup", from a URL to an agent that runs.
 */
#include "support/script_server.h"
#include "support/support.h"
#include "support/terminal.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char directory[256], config[512], secret[512];
static char *output;

static void set_up(void)
{
    snprintf(directory, sizeof directory, "%s/home", reaper_temporary());
    snprintf(config, sizeof config, "%s/c.conf", directory);
    snprintf(secret, sizeof secret, "%s/password", directory);
    setenv("XDG_RUNTIME_DIR", directory, 1);
    setenv("HOME", directory, 1);
    setenv("no_proxy", "*", 1);
    output = NULL;
}

static void tear_down(void)
{
    free(output);
}

/* Run it with `input`, and options up to NULL; returns the exit code. */
static int run(const char *input, const char *url, ...)
{
    const char *argv[20] = { support_build_path("commclient/commclient"), "setup",
                             "--config", config, url };
    process_result result;
    va_list args;
    int n = 5;

    va_start(args, url);
    while (n < 19 && (argv[n] = va_arg(args, const char *)) != NULL)
        n++;
    va_end(args);
    argv[n] = NULL;
    result = process_run(&(process_options){ .argv = argv, .input = input });
    free(output);
    output = result.output;
    return result.status;
}

static void expect_text(const char *text)
{
    ck_assert_msg(strstr(output, text) != NULL, "'%s' is not in: %s", text, output);
}

static void expect_mode(const char *path, mode_t mode)
{
    struct stat info;

    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 07777, mode);
}

static void expect_content(const char *path, const char *text)
{
    char *content = process_read_file(path);

    ck_assert_ptr_nonnull(content);
    ck_assert_msg(strstr(content, text) != NULL, "'%s' is not in: %s", text, content);
    free(content);
}

/* Files in the directory, "." and ".." not counted. */
static int count_files(void)
{
    DIR *listing = opendir(directory);
    struct dirent *entry;
    int n = 0;

    while (listing && (entry = readdir(listing)) != NULL)
        n += entry->d_name[0] != '.';
    if (listing)
        closedir(listing);
    return n;
}

/* ---- with a real server -------------------------------------------------- */

static httpd *server;

static void start_server(void)
{
    set_up();
    server = httpd_start(&(httpd_options){
        .mpm = "event",
        .config = "<Location \"/private/poll\">\n    SetHandler commserver-poll\n"
                  "    AuthType Basic\n    AuthName c\n    AuthUserFile @DIR@/users\n"
                  "    Require valid-user\n</Location>\n"
                  "<Location \"/private/publish\">\n    SetHandler commserver-publish\n"
                  "    AuthType Basic\n    AuthName c\n    AuthUserFile @DIR@/users\n"
                  "    Require user backend\n</Location>\n" });
}

static void end_server(void)
{
    httpd_end(server);
    tear_down();
}

static int set_up_alice(const char *password, const char *option)
{
    return run(password, httpd_url(server, "/comm/poll"), "--user", "alice",
               "--password-file", "-", "--device", "d", option, NULL);
}

static int queued_for_alice(void)
{
    http_answer *answer =
        http_once(server, "GET", "/comm/poll?device=d", "alice", "", NULL);

    return answer->status == 200;
}

START_TEST(it_writes_what_works)
{
    const char *const check[] = { support_build_path("commclient/commclient"), "check",
                                  "--config", config, NULL };

    ck_assert_int_eq(set_up_alice(HTTPD_PASSWORD "\n", NULL), 0);
    expect_text("answers as a commserver");
    expect_text("a message to user alice was sent and came back in ");
    expect_text("commclient run --config ");
    ck_assert_ptr_null(strstr(output, HTTPD_PASSWORD));
    expect_mode(directory, 0700);
    expect_mode(config, 0600);
    expect_mode(secret, 0600);
    expect_content(secret, HTTPD_PASSWORD "\n");
    expect_content(config, "user = alice\npassword_file = password\ndevice = d\n");
    expect_content(config,
                   support_text("publish = %s\n", httpd_url(server, "/comm/publish")));
    ck_assert_int_eq(count_files(), 2);
    ck_assert(!queued_for_alice());
    process_must(check);
}
END_TEST

/* What waits stays, and does not hide the message. */
START_TEST(messages_that_wait_are_left_alone)
{
    http_answer *answer =
        http_once(server, "POST", "/comm/publish/orders/alice", "backend", "", "x");

    ck_assert_int_eq(answer->status, 201);
    ck_assert_int_eq(set_up_alice(HTTPD_PASSWORD, NULL), 0);
    expect_text("came back in");
    ck_assert(queued_for_alice());
}
END_TEST

START_TEST(a_wrong_password_writes_nothing)
{
    ck_assert_int_eq(set_up_alice("wrong\n", NULL), 1);
    expect_text("does not take user and password (HTTP status 401)");
    expect_text("nothing was written");
    ck_assert_int_eq(count_files(), 0);
    ck_assert_int_eq(set_up_alice("wrong\n", "--no-check"), 0);
    ck_assert_int_eq(count_files(), 2);
}
END_TEST

START_TEST(a_wrong_path_writes_nothing)
{
    ck_assert_int_eq(run(NULL, httpd_url(server, "/nothing"), NULL), 1);
    expect_text("has nothing at this path (HTTP status 404)");
    ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(who_may_not_publish_can_receive)
{
    ck_assert_int_eq(run(HTTPD_PASSWORD, httpd_url(server, "/private/poll"), "--user",
                         "alice", "--password-file", "-", NULL),
                     0);
    expect_text("note  test: no message was sent");
    expect_text("usual where only servers publish");
    expect_mode(config, 0600);
}
END_TEST

START_TEST(a_publish_handler_that_was_named_must_work)
{
    ck_assert_int_eq(run(HTTPD_PASSWORD, httpd_url(server, "/comm/poll"), "--user",
                         "alice", "--password-file", "-", "--publish",
                         httpd_url(server, "/private/publish"), NULL),
                     1);
    expect_text("FAULT test: no message was sent");
    expect_content(config, "/private/publish\n");
    ck_assert_int_eq(run(HTTPD_PASSWORD, httpd_url(server, "/private/poll"), "--force",
                         "--user", "alice", "--password-file", "-", "--publish",
                         httpd_url(server, "/comm/publish"), NULL),
                     0);
    expect_text("came back in");
    expect_content(config,
                   support_text("publish = %s\n", httpd_url(server, "/comm/publish")));
}
END_TEST

/* It would take the message itself. */
START_TEST(with_an_agent_running_nothing_is_sent)
{
    agent *a;

    a = agent_start(&(agent_options){ .server = server });
    snprintf(config, sizeof config, "%s/other/c.conf", agent_directory(a));
    snprintf(secret, sizeof secret, "%s/other/password", agent_directory(a));
    setenv("RUNTIME_DIRECTORY", agent_directory(a), 1);
    ck_assert_int_eq(symlink("socket", support_text("%s/agent.sock", agent_directory(a))),
                     0);
    ck_assert_int_eq(set_up_alice(HTTPD_PASSWORD, NULL), 0);
    expect_text("the agent that runs would take it");
    expect_text("systemctl --user reload commclient");
    agent_end(a);
}
END_TEST

START_TEST(the_password_is_asked_for_without_echo)
{
    const char *const argv[] = {
        support_program("commclient/commclient"), "setup",  "--config", config,
        httpd_url(server, "/comm/poll"),          "--user", "alice",    NULL
    };
    terminal *t = terminal_start(argv, NULL, 80, 24);

    terminal_expect(t, "Password of alice: ");
    wait_until(!terminal_echoes(t), 5000);
    terminal_type(t, HTTPD_PASSWORD "\n");
    ck_assert_int_eq(terminal_wait(t), 0);
    ck_assert(terminal_echoes(t));
    ck_assert_ptr_null(strstr(terminal_output(t), HTTPD_PASSWORD));
    terminal_end(t);
    expect_content(secret, HTTPD_PASSWORD "\n");
}
END_TEST

START_TEST(the_user_is_asked_for_too)
{
    const char *const argv[] = {
        support_program("commclient/commclient"), "setup", "--config", config,
        httpd_url(server, "/comm/poll"),          NULL
    };
    const char *const environment[] = { "USER=alice", NULL };
    terminal *t = terminal_start(argv, environment, 80, 24);

    terminal_expect(t, "User at the server [alice]: ");
    terminal_type(t, "\n");
    terminal_expect(t, "Password of alice: ");
    wait_until(!terminal_echoes(t), 5000);
    terminal_type(t, HTTPD_PASSWORD "\n");
    ck_assert_int_eq(terminal_wait(t), 0);
    terminal_end(t);
    expect_content(config, "user = alice\n");
}
END_TEST

/* ---- files and values ------------------------------------------------------ */

static const char nowhere[] = "http://127.0.0.1:1/comm/poll";

START_TEST(what_is_there_is_not_replaced)
{
    ck_assert_int_eq(run("first", nowhere, "-u", "alice", "-p", "-", "--no-check", NULL),
                     0);
    ck_assert_int_eq(run("second", nowhere, "-u", "bob", "-p", "-", "--no-check", NULL),
                     1);
    expect_text("is there already: --force replaces it");
    expect_content(config, "user = alice\n");
    expect_content(secret, "first\n");
    ck_assert_int_eq(
        run("second", nowhere, "-u", "bob", "-p", "-", "--no-check", "--force", NULL), 0);
    expect_text("what was there is now '");
    expect_content(config, "user = bob\n");
    expect_content(secret, "second\n");
    expect_mode(secret, 0600);
    ck_assert_int_eq(count_files(), 4);
    ck_assert_int_eq(
        run("third", nowhere, "-u", "eve", "-p", "-", "--no-check", "--force", NULL), 0);
    ck_assert_int_eq(count_files(), 6);
}
END_TEST

START_TEST(a_value_that_is_not_right_writes_nothing)
{
    ck_assert_int_eq(run(NULL, "ftp://x/", "--no-check", NULL), 4);
    expect_text("commclient: url is 'ftp://x/': it must begin with http://");
    ck_assert_int_eq(run("x", nowhere, "-u", "a:b", "-p", "-", "--no-check", NULL), 4);
    expect_text("user holds ':'");
    ck_assert_int_eq(run(NULL, nowhere, "--device", "a\nca = /x", "--no-check", NULL), 4);
    expect_text("device holds a control character");
    ck_assert_int_eq(run("a\nb\n", nowhere, "-u", "a", "-p", "-", "--no-check", NULL), 1);
    expect_text("must hold one line with the password");
    ck_assert_int_eq(run("", nowhere, "-u", "a", "-p", "-", "--no-check", NULL), 1);
    ck_assert_int_eq(run(NULL, nowhere, "-u", "a", "-p", "/nonexistent/x", NULL), 1);
    expect_text("cannot read '/nonexistent/x'");
    ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(wrong_usage_ends_with_2)
{
    ck_assert_int_eq(run(NULL, nowhere, "--user", "a", "--token", NULL), 2);
    ck_assert_int_eq(run(NULL, nowhere, "another", NULL), 2);
    ck_assert_int_eq(run("x", nowhere, "-p", "-", NULL), 2);
    expect_text("a password needs --user");
}
END_TEST

START_TEST(without_a_terminal_it_says_what_to_give)
{
    ck_assert_int_eq(run(NULL, nowhere, "--user", "alice", NULL), 1);
    expect_text("there is no terminal to ask on: give --password-file FILE");
}
END_TEST

START_TEST(control_c_gives_up)
{
    const char *const argv[] = { support_program("commclient/commclient"),
                                 "setup",
                                 "--config",
                                 config,
                                 nowhere,
                                 "--user",
                                 "alice",
                                 NULL };
    terminal *t = terminal_start(argv, NULL, 80, 24);

    terminal_expect(t, "Password of alice: ");
    wait_until(!terminal_echoes(t), 5000);
    terminal_type(t, "half\003");
    ck_assert_int_eq(terminal_wait(t), 1);
    ck_assert(terminal_echoes(t));
    terminal_expect(t, "nothing was written");
    terminal_end(t);
    ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(a_token_is_sent_as_one)
{
    script_server *s = script_start();
    const char *const argv[] = { support_build_path("commclient/commclient"),
                                 "setup",
                                 "--config",
                                 config,
                                 script_url(s),
                                 "--token",
                                 "--password-file",
                                 "-",
                                 NULL };
    pid_t pid = process_start(&(process_options){ .argv = argv, .input = "tok-123\n" });

    script_expect(s);
    ck_assert_str_eq(script_header(s, "Authorization"), "Bearer tok-123");
    script_nothing(s, "e-0");
    ck_assert_int_eq(process_wait(pid, 20000, "setup"), 0);
    expect_content(support_text("%s/token", directory), "tok-123\n");
    expect_content(config, "token_file = token\n");
    script_end(s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent_setup");
    TCase *real = tcase_create("real"), *files = tcase_create("files");

    support_need_httpd();
    tcase_add_checked_fixture(real, start_server, end_server);
    tcase_add_test(real, it_writes_what_works);
    tcase_add_test(real, messages_that_wait_are_left_alone);
    tcase_add_test(real, a_wrong_password_writes_nothing);
    tcase_add_test(real, a_wrong_path_writes_nothing);
    tcase_add_test(real, who_may_not_publish_can_receive);
    tcase_add_test(real, a_publish_handler_that_was_named_must_work);
    tcase_add_test(real, with_an_agent_running_nothing_is_sent);
    tcase_add_test(real, the_password_is_asked_for_without_echo);
    tcase_add_test(real, the_user_is_asked_for_too);
    suite_add_tcase(suite, real);
    tcase_add_checked_fixture(files, set_up, tear_down);
    tcase_add_test(files, what_is_there_is_not_replaced);
    tcase_add_test(files, a_value_that_is_not_right_writes_nothing);
    tcase_add_test(files, wrong_usage_ends_with_2);
    tcase_add_test(files, without_a_terminal_it_says_what_to_give);
    tcase_add_test(files, control_c_gives_up);
    tcase_add_test(files, a_token_is_sent_as_one);
    suite_add_tcase(suite, files);
    return support_run(suite);
}
