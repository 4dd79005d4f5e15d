/* SPDX-License-Identifier: Apache-2.0
 * check_agent_exec.c - applications that are programs, run by a real agent.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 20000

static script_server *server;
static agent *a;
static char directory[512]; /* of programs and what they write              */
static int sequence;

static const char *path(const char *name)
{
    return support_text("%s/%s", directory, name);
}

static int exists(const char *name)
{
    return access(path(name), F_OK) == 0;
}

/* A program; in it "$D" is the directory. It is put in place as a whole. */
static void write_program(const char *name, const char *script)
{
    process_write_file(path("new"),
                       support_text("#!/bin/sh\nD='%s'\n%s\n", directory, script));
    chmod(path("new"), 0755);
    rename(path("new"), path(name));
}

/* What a program wrote, without the last line feed. */
static const char *content(const char *name)
{
    char *text;
    const char *copy;

    wait_until(exists(name), WAIT_MS);
    text = process_read_file(path(name));
    copy = support_text("%.*s", (int)strlen(text) - 1, text);
    free(text);
    return copy;
}

static void set_up(void)
{
    snprintf(directory, sizeof(directory), "%s", reaper_temporary());
    server = script_start();
    sequence = 0;
}

static void tear_down(void)
{
    if (a != NULL)
        agent_end(a);
    a = NULL;
    script_end(server);
}

static const char *section(const char *app, const char *arguments, const char *more)
{
    return support_text("[app %s]\nservers = main\nexec = %s/%s\n%s", app, directory,
                        arguments, more);
}

static void expect_held(void)
{
    script_expect(server);
    script_nothing(server, "e-0");
    script_expect(server);
}

static const char *server_section(void)
{
    return support_text("[server main]\nurl = %s\ndevice = test\n", script_url(server));
}

static void start_with(const char *sections)
{
    a = agent_start(
        &(agent_options){ .config = support_text("%s%s", server_section(), sections) });
    expect_held();
}

/* One program for "orders". */
static void start(const char *script, const char *more)
{
    write_program("program", script);
    start_with(section("orders", "program", more));
}

static void publish(const char *messages)
{
    script_batch(server, support_text("e-%d", ++sequence), messages);
    script_expect(server);
}

static void publish_ids(const char *const *ids)
{
    const char *all = "";

    for (; *ids != NULL; ids++)
        all = support_text("%s%s%s", all, *all != '\0' ? "," : "",
                           script_message(*ids, "orders", "1"));
    publish(all);
}

static void publish_one(const char *id)
{
    publish(script_message(id, "orders", "1"));
}

static const char *status(const char *member)
{
    local_app *app = local_open(a);
    const char *value;

    local_send(app, "{\"status\":true}");
    value = support_json(local_read(app), support_text("status.%s", member));
    local_close(app);
    return value;
}

static int inbox_holds(const char *count)
{
    return strcmp(status("inbox.messages"), count) == 0;
}

static int is_dead(const char *count)
{
    return strcmp(status("inbox.dead"), count) == 0;
}

static void reload(const char *sections)
{
    int before = agent_log_count(a, "is read again");

    process_write_file(agent_config(a),
                       support_text("[agent]\nsocket = %s\ninbox = %s/inbox.db\n%s%s",
                                    agent_socket(a), agent_directory(a), server_section(),
                                    sections));
    kill(agent_pid(a), SIGHUP);
    wait_until(agent_log_count(a, "is read again") > before, WAIT_MS);
}

#define NOTE_ID "echo $COMM_ID/$COMM_ATTEMPT >> \"$D/ids\"\n"

/* ---- what it is given ---------------------------------------------------- */

static const char *message(const char *id, const char *more, const char *data)
{
    return support_text(
        "{\"id\":\"%s\",\"app\":\"orders\",\"from\":\"J\\u00fcrgen's shop\",%s"
        "\"length\":%zu,\"data\":%s}",
        id, more, strlen(data), data);
}

START_TEST(the_payload_is_given_byte_for_byte)
{
    char *binary;

    start("cat > \"$D/$COMM_ID.new\"; mv \"$D/$COMM_ID.new\" \"$D/$COMM_ID\"", "");
    publish(message("json", "\"type\":\"application/json\",",
                    "{ \"n\":12345678901234567890.10, \"n\":\"\\ud800\" }"));
    publish(message("text", "\"type\":\"text/plain\",",
                    "\"two\\nlines, \\\"quotes\\\" \\u00fc \\ud83d\\ude00\\n\""));
    publish(message("binary", "\"base64\":true,", "\"AAEC/v8K\""));
    ck_assert_str_eq(support_text("%s}", content("json")),
                     "{ \"n\":12345678901234567890.10, \"n\":\"\\ud800\" }");
    ck_assert_str_eq(content("text"), "two\nlines, \"quotes\" \xc3\xbc \xf0\x9f\x98\x80");
    wait_until(exists("binary"), WAIT_MS);
    binary = process_read_file(path("binary"));
    ck_assert_mem_eq(binary, "\0\1\2\xfe\xff\n", 7);
    free(binary);
    wait_until(inbox_holds("0"), WAIT_MS);
}
END_TEST

START_TEST(a_large_payload_arrives_whole)
{
    size_t len = 3 << 20;
    char *data = malloc(len + 1), *all;

    start("cksum > \"$D/new\"; mv \"$D/new\" \"$D/sum\"", "");
    memset(data, 'x', len);
    data[0] = data[len - 1] = '"';
    data[len] = '\0';
    all = malloc(len + 512);
    snprintf(all, len + 512,
             "{\"id\":\"large\",\"app\":\"orders\",\"length\":%zu,\"data\":%s}", len,
             data);
    publish(all);
    memset(data, 'x', len);
    data[len - 2] = '\0';
    process_write_file(path("copy"), data);
    process_must((const char *[]){ "/bin/sh", "-c", "cksum < \"$1\" > \"$2\"", "sh",
                                   path("copy"), path("expected"), NULL });
    ck_assert_str_eq(content("sum"), content("expected"));
    free(data);
    free(all);
}
END_TEST

START_TEST(fields_stand_in_the_environment)
{
    setenv("COMM_TOPIC", "of the agent", 1);
    setenv("https_proxy", "http://user:secret@localhost", 1);
    start("env | sort > \"$D/new\"; pwd >> \"$D/new\"; mv \"$D/new\" \"$D/env\"", "");
    publish(message("id1",
                    "\"time\":\"2026-01-01T00:00:00.000Z\","
                    "\"expires\":\"2099-01-01T00:00:00.000Z\",\"type\":\"text/plain\","
                    "\"urgency\":\"high\",",
                    "\"\""));
    ck_assert_ptr_nonnull(strstr(content("env"),
                                 "COMM_APP=orders\nCOMM_ATTEMPT=1\n"
                                 "COMM_EXPIRES=2099-01-01T00:00:00.000Z\n"
                                 "COMM_FROM=J\xc3\xbcrgen's shop\nCOMM_ID=id1\n"
                                 "COMM_SERVER=main\nCOMM_TIME=2026-01-01T00:00:00.000Z\n"
                                 "COMM_TYPE=text/plain\nCOMM_URGENCY=high\n"));
    ck_assert_ptr_null(strstr(content("env"), "COMM_TOPIC"));
    ck_assert_ptr_null(strstr(content("env"), "secret"));
    ck_assert_ptr_nonnull(strstr(content("env"), "\n/"));
}
END_TEST

START_TEST(arguments_are_passed_without_a_shell)
{
    write_program("program", "for x in \"$@\"; do echo \"<$x>\"; done > \"$D/new\";"
                             " mv \"$D/new\" \"$D/args\"");
    start_with(section("orders", "program 'a  b' $HOME \"c\\\"\" \\; ''", ""));
    publish_one("id1");
    ck_assert_str_eq(content("args"), "<a  b>\n<$HOME>\n<c\">\n<;>\n<>");
}
END_TEST

/* ---- what it answers ----------------------------------------------------- */

START_TEST(one_that_fails_is_tried_again_before_the_next)
{
    static const char *const ids[] = { "id1", "id2", NULL };

    start(NOTE_ID "test $COMM_ATTEMPT -gt 2", "");
    publish_ids(ids);
    wait_until(inbox_holds("0"), WAIT_MS);
    ck_assert_str_eq(content("ids"), "id1/1\nid1/2\nid1/3\nid2/1\nid2/2\nid2/3");
    ck_assert_int_eq(agent_log_count(a, "dead list"), 0);
    ck_assert_int_ge(agent_log_count(a, "for message id1: exit status 1, attempt 1;"), 1);
}
END_TEST

START_TEST(after_the_last_try_it_is_dead)
{
    static const char *const ids[] = { "id1", "id2", NULL };

    start(NOTE_ID "printf 'no\\tway\\n' >&2; test $COMM_ID = id2 || exit 9",
          "retries = 1\n");
    publish_ids(ids);
    wait_until(inbox_holds("0"), WAIT_MS);
    wait_until(is_dead("1"), WAIT_MS);
    ck_assert_str_eq(content("ids"), "id1/1\nid1/2\nid2/1");
    ck_assert_int_ge(agent_log_count(a, "; it wrote: no\\x09way\n"), 1);
}
END_TEST

START_TEST(what_ends_with_65_is_rejected_at_once)
{
    start(NOTE_ID "exit 65", "");
    publish_one("id1");
    wait_until(is_dead("1"), WAIT_MS);
    ck_assert_str_eq(content("ids"), "id1/1");
    ck_assert_int_eq(
        agent_log_count(a, "exit status 65, attempt 1; it goes to the dead list"), 1);
}
END_TEST

START_TEST(what_takes_too_long_is_terminated)
{
    start("trap 'echo term > \"$D/term\"; exit 0' TERM; while :; do sleep 0.05; done",
          "timeout = 1\nretries = 0\n");
    publish_one("id1");
    wait_until(is_dead("1"), WAIT_MS);
    ck_assert(exists("term"));
    ck_assert_int_eq(agent_log_count(a, "it ran longer than 1 s, attempt 1;"), 1);
}
END_TEST

START_TEST(what_a_program_cannot_be_given_is_dead)
{
    start(NOTE_ID, "");
    publish(message("nul", "", "\"\\u0000\""));
    publish(message("bad", "\"base64\":true,", "\"?\""));
    publish(message("good", "", "1"));
    wait_until(inbox_holds("0"), WAIT_MS);
    wait_until(is_dead("2"), WAIT_MS);
    ck_assert_str_eq(content("ids"), "good/1");
}
END_TEST

START_TEST(what_expires_meanwhile_is_not_tried_again)
{
    char time_text[64];
    time_t soon = time(NULL) + 2;
    struct tm parts;

    start(NOTE_ID "test $COMM_ID = id2", "retries = 100\n");
    gmtime_r(&soon, &parts);
    strftime(time_text, sizeof(time_text), "\"expires\":\"%Y-%m-%dT%H:%M:%SZ\",", &parts);
    publish(message("id1", time_text, "1"));
    publish_one("id2");
    wait_until(inbox_holds("0"), WAIT_MS);
    ck_assert(is_dead("0"));
    ck_assert_ptr_nonnull(strstr(content("ids"), "id2/1"));
}
END_TEST

/* ---- bad programs -------------------------------------------------------- */

START_TEST(several_run_at_once)
{
    static const char *const ids[] = { "id1", "id2", "id3", "id4", NULL };

    start("echo > \"$D/$COMM_ID\"; test $COMM_ID = id4 && exit;"
          "for x in id1 id2 id3; do while ! test -e \"$D/$x\"; do sleep 0.02; done; done",
          "parallel = 3\n");
    publish_ids(ids);
    wait_until(inbox_holds("0"), WAIT_MS);
    ck_assert(exists("id4"));
    ck_assert_int_eq(agent_log_count(a, "exec failed"), 0);
}
END_TEST

START_TEST(a_program_without_end_disturbs_nobody)
{
    local_app *other;

    start("echo > \"$D/begun\"; cat /dev/zero | tee /dev/stderr", "");
    other = local_open(a);
    local_subscribe(other, "other");
    publish_one("id1");
    wait_until(exists("begun"), WAIT_MS);
    publish(script_message("id2", "other", "1"));
    ck_assert_str_eq(support_json(local_message(other), "id"), "id2");
    local_ack(other, "id2");
    local_close(other);
    agent_stop(a);
    agent_again(a);
    script_expect(server);
}
END_TEST

START_TEST(a_program_that_is_missing_is_waited_for)
{
    start("exit 1", "retries = 0\n");
    unlink(path("program"));
    publish_one("id1");
    wait_until(agent_log_count(a, "cannot be run: No such file") == 1, WAIT_MS);
    ck_assert(inbox_holds("1"));
    write_program("program", NOTE_ID);
    wait_until(inbox_holds("0"), WAIT_MS);
    ck_assert_str_eq(content("ids"), "id1/1");
    ck_assert(is_dead("0"));
    ck_assert_int_eq(agent_log_count(a, "exec can be run again"), 1);
}
END_TEST

/* What exec says, and what is said of it when the agent starts. */
static const char *const unusable[][2] = {
    { "nothing", "/nothing' cannot be run: No such file or directory" },
    { "plain", "/plain' cannot be run: Permission denied" },
    { ".", "/.' cannot be run: Is a directory" },
};

START_TEST(a_program_that_cannot_be_run_is_told_at_the_start)
{
    process_result result;

    process_write_file(path("plain"), "#!/bin/sh\n");
    chmod(path("plain"), 0644);
    process_write_file(
        path("x.conf"),
        support_text("[agent]\nsocket = s\ninbox = i\n[server main]\nurl = http://x/\n%s",
                     section("orders", unusable[_i][0], "")));
    result = process_run(&(process_options){
        .argv = (const char *[]){ support_build_path("commclient/commclient"), "run",
                                  "--config", path("x.conf"), NULL } });
    ck_assert_int_eq(result.status, 4);
    ck_assert_ptr_nonnull(strstr(result.output, "x.conf:6: [app orders] exec: '"));
    ck_assert_ptr_nonnull(strstr(result.output, unusable[_i][1]));
    process_result_clear(&result);
}
END_TEST

/* ---- the end of the agent ------------------------------------------------ */

START_TEST(what_runs_at_the_end_is_given_again)
{
    start(NOTE_ID
          "trap 'echo > \"$D/term\"; exit 1' TERM; test $COMM_ATTEMPT -gt 1 && exit;"
          "echo > \"$D/begun\"; while :; do sleep 0.05; done",
          "");
    publish_one("id1");
    wait_until(exists("begun"), WAIT_MS);
    agent_stop(a);
    ck_assert(exists("term"));
    ck_assert_int_eq(agent_log_count(a, "exec failed"), 0);
    agent_again(a);
    script_expect(server);
    wait_until(inbox_holds("0"), WAIT_MS);
    ck_assert_str_eq(content("ids"), "id1/1\nid1/2");
}
END_TEST

START_TEST(what_still_ends_well_is_acknowledged)
{
    start(NOTE_ID "trap 'exit 0' TERM; echo > \"$D/begun\"; while :; do sleep 0.05; done",
          "");
    publish_one("id1");
    wait_until(exists("begun"), WAIT_MS);
    agent_stop(a);
    agent_again(a);
    script_expect(server);
    ck_assert(inbox_holds("0"));
    ck_assert_str_eq(content("ids"), "id1/1");
}
END_TEST

START_TEST(what_does_not_listen_is_killed)
{
    long long begin;

    start("trap '' TERM; echo $$ > \"$D/new\"; mv \"$D/new\" \"$D/pid\";"
          "while :; do sleep 0.05; done",
          "");
    publish_one("id1");
    wait_until(exists("pid"), WAIT_MS);
    begin = process_now_ms();
    agent_stop(a);
    ck_assert_int_lt(process_now_ms() - begin, process_scale(8000));
    ck_assert(!process_alive((pid_t)atol(content("pid"))));
}
END_TEST

START_TEST(a_killed_agent_forgets_nothing)
{
    start(NOTE_ID "test $COMM_ATTEMPT -gt 1 && exit; echo $$ > \"$D/new\";"
                  "mv \"$D/new\" \"$D/pid\"; exec sleep 60",
          "");
    publish_one("id1");
    wait_until(exists("pid"), WAIT_MS);
    agent_kill(a);
    kill((pid_t)atol(content("pid")), SIGKILL);
    agent_again(a);
    script_expect(server);
    wait_until(inbox_holds("0"), WAIT_MS);
    ck_assert_str_eq(content("ids"), "id1/1\nid1/2");
}
END_TEST

/* ---- SIGHUP -------------------------------------------------------------- */

START_TEST(programs_come_change_and_go)
{
    local_app *app;

    write_program("program", "echo \"$1\" > \"$D/$COMM_ID.new\";"
                             "mv \"$D/$COMM_ID.new\" \"$D/$COMM_ID\"");
    start_with("");
    publish_one("id1");
    reload(section("orders", "program one", ""));
    ck_assert_str_eq(content("id1"), "one");
    reload(section("orders", "program two", "parallel = 2\n"));
    publish_one("id2");
    ck_assert_str_eq(content("id2"), "two");
    wait_until(inbox_holds("0"), WAIT_MS);
    reload("");
    app = local_open(a);
    local_subscribe(app, "orders");
    publish_one("id3");
    ck_assert_str_eq(support_json(local_message(app), "id"), "id3");
    ck_assert(!exists("id3"));
    local_ack(app, "id3");
    local_close(app);
}
END_TEST

/* The one that runs ends as if nothing had been, what waits goes to others. */
START_TEST(what_runs_goes_on_when_its_section_is_gone)
{
    static const char *const ids[] = { "fails", "runs", "waits", NULL };
    local_app *app;
    const char *id;

    start("test $COMM_ID = fails && echo >> \"$D/failed\" && exit 1; echo > \"$D/begun\";"
          "while ! test -e \"$D/go\"; do sleep 0.02; done",
          "parallel = 2\nretries = 100\n");
    publish_ids(ids);
    wait_until(exists("begun") && exists("failed"), WAIT_MS);
    reload("");
    app = local_open(a);
    local_subscribe(app, "orders");
    id = support_json(local_message(app), "id");
    ck_assert(strcmp(id, "fails") == 0 || strcmp(id, "waits") == 0);
    local_ack(app, id);
    id = support_json(local_message(app), "id");
    ck_assert(strcmp(id, "fails") == 0 || strcmp(id, "waits") == 0);
    local_ack(app, id);
    ck_assert(inbox_holds("1"));
    process_write_file(path("go"), "");
    wait_until(inbox_holds("0"), WAIT_MS);
    ck_assert_ptr_null(local_try(app, 100));
    local_close(app);
}
END_TEST

START_TEST(a_file_with_a_program_that_is_not_there_changes_nothing)
{
    start(NOTE_ID, "");
    process_write_file(agent_config(a),
                       support_text("[agent]\nsocket = %s\ninbox = %s/inbox.db\n%s%s",
                                    agent_socket(a), agent_directory(a), server_section(),
                                    section("orders", "no", "")));
    kill(agent_pid(a), SIGHUP);
    wait_until(agent_log_count(a, "configuration stays as it was: ") == 1, WAIT_MS);
    publish_one("id1");
    ck_assert_str_eq(content("ids"), "id1/1");
}
END_TEST

START_TEST(what_is_missing_is_said_and_done_with)
{
    local_app *app;

    start(NOTE_ID, "");
    publish_one("id1");
    wait_until(inbox_holds("0"), WAIT_MS);
    script_answer(
        server, "200 OK", "Content-Type: application/json\r\n",
        "{\"cursor\":\"e-9\",\"messages\":[],\"gap\":{\"apps\":{\"orders\":12}}}");
    script_expect(server);
    wait_until(
        agent_log_count(a, "[app orders] 12 messages of server 'main' are missing"),
        WAIT_MS);
    reload("");
    app = local_open(a);
    local_subscribe(app, "orders");
    ck_assert_ptr_null(local_try(app, 100));
    local_close(app);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_exec");
    TCase *c = tcase_create("exec");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, the_payload_is_given_byte_for_byte);
    tcase_add_test(c, a_large_payload_arrives_whole);
    tcase_add_test(c, fields_stand_in_the_environment);
    tcase_add_test(c, arguments_are_passed_without_a_shell);
    tcase_add_test(c, one_that_fails_is_tried_again_before_the_next);
    tcase_add_test(c, after_the_last_try_it_is_dead);
    tcase_add_test(c, what_ends_with_65_is_rejected_at_once);
    tcase_add_test(c, what_takes_too_long_is_terminated);
    tcase_add_test(c, what_a_program_cannot_be_given_is_dead);
    tcase_add_test(c, what_expires_meanwhile_is_not_tried_again);
    tcase_add_test(c, several_run_at_once);
    tcase_add_test(c, a_program_without_end_disturbs_nobody);
    /* valgrind makes a fork of posix_spawn(), from which no error comes back. */
    if (!support_wrapped())
        tcase_add_test(c, a_program_that_is_missing_is_waited_for);
    tcase_add_loop_test(c, a_program_that_cannot_be_run_is_told_at_the_start, 0,
                        (int)(sizeof unusable / sizeof *unusable));
    tcase_add_test(c, what_runs_at_the_end_is_given_again);
    tcase_add_test(c, what_still_ends_well_is_acknowledged);
    tcase_add_test(c, what_does_not_listen_is_killed);
    tcase_add_test(c, a_killed_agent_forgets_nothing);
    tcase_add_test(c, programs_come_change_and_go);
    tcase_add_test(c, what_runs_goes_on_when_its_section_is_gone);
    tcase_add_test(c, a_file_with_a_program_that_is_not_there_changes_nothing);
    tcase_add_test(c, what_is_missing_is_said_and_done_with);
    suite_add_tcase(s, c);
    return support_run(s);
}
