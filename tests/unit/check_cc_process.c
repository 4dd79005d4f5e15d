/* SPDX-License-Identifier: Apache-2.0
 * check_cc_process.c - a program that is run with bytes on its stdin.
 */
#include "cc_process.h"
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

static struct event_base *base;
static const char *directory;
static char path_variable[] = "PATH=/usr/bin:/bin";
static char *const no_environment[] = { path_variable, NULL };

/* What came of a process. */
typedef struct result {
    cc_process *process;
    int ended;
    int status;
    int timed_out;
    char errors[CC_PROCESS_ERRORS + 1];
    size_t error_len;
} result;

static void set_up(void)
{
    signal(SIGPIPE, SIG_IGN);
    base = event_base_new();
    directory = reaper_temporary();
}

static void tear_down(void)
{
    event_base_free(base);
}

static void note_end(void *baton, const cc_process_end *end)
{
    result *r = baton;

    r->ended++;
    r->status = end->status;
    r->timed_out = end->timed_out;
    r->error_len = end->errors.len;
    memcpy(r->errors, end->errors.data, end->errors.len);
    r->errors[end->errors.len] = '\0';
}

static void start(result *r, const char *script, const char *input, size_t len,
                  int timeout)
{
    const char *const words[] = { "/bin/sh", "-c", script, "sh", directory, NULL };
    char *const *argv = (char *const *)(uintptr_t)words;
    cc_process_options options = { argv,    no_environment, { input, len },
                                   timeout, note_end,       r };

    memset(r, 0, sizeof(*r));
    ck_assert_int_eq(cc_process_start(base, &options, &r->process), CC_OK);
}

static void wait_for(const result *r)
{
    while (!r->ended)
        ck_assert_int_eq(event_base_loop(base, EVLOOP_ONCE), 0);
    ck_assert_int_eq(r->ended, 1);
}

static result run(const char *script, const char *input, size_t len)
{
    result r;

    start(&r, script, input, len, 20);
    wait_for(&r);
    return r;
}

static const char *path(const char *name)
{
    return support_text("%s/%s", directory, name);
}

static int exists(const char *name)
{
    return access(path(name), F_OK) == 0;
}

/* Let the loop run until the file is there. */
static void loop_until_exists(const char *name)
{
    long long end = process_now_ms() + process_scale(10000);

    while (!exists(name)) {
        ck_assert(process_now_ms() < end);
        event_base_loop(base, EVLOOP_NONBLOCK);
        process_pause();
    }
}

START_TEST(the_exit_status_comes_back)
{
    result r = run("echo $$ >&2; exit 3", "", 0);

    ck_assert_str_ne(r.errors, "");
    ck_assert_int_ne(kill((pid_t)atol(r.errors), 0), 0); /* no zombie either */
    ck_assert(WIFEXITED(r.status));
    ck_assert_int_eq(WEXITSTATUS(r.status), 3);
    r = run("kill -9 $$", "", 0);
    ck_assert(WIFSIGNALED(r.status));
    ck_assert_int_eq(WTERMSIG(r.status), 9);
    ck_assert_int_eq(r.timed_out, 0);
    r = run("exit 0", NULL, 0);
    ck_assert_int_eq(r.status, 0);
}
END_TEST

START_TEST(input_arrives_byte_for_byte)
{
    size_t len = 3 << 20, i;
    char *data = malloc(len), *copy;
    FILE *file;

    for (i = 0; i < len; i++)
        data[i] = (char)(i * 31 >> 3);
    ck_assert_int_eq(run("cat > \"$1/copy\"", data, len).status, 0);
    copy = malloc(len + 1);
    file = fopen(path("copy"), "r");
    ck_assert_uint_eq(fread(copy, 1, len + 1, file), len);
    ck_assert_mem_eq(copy, data, len);
    fclose(file);
    free(copy);
    free(data);
}
END_TEST

START_TEST(input_need_not_be_read)
{
    size_t len = 1 << 20;
    char *data = calloc(1, len);

    ck_assert_int_eq(run("exit 0", data, len).status, 0);
    ck_assert_int_eq(run("exec <&-; exit 0", data, len).status, 0);
    ck_assert_int_eq(run("head -c 5 >/dev/null; exit 0", data, len).status, 0);
    free(data);
}
END_TEST

START_TEST(the_last_of_stderr_is_kept)
{
    result r = run("echo one >&2; echo two >&2; exit 1", "", 0);

    ck_assert_str_eq(r.errors, "one\ntwo\n");
    r = run("head -c 3000000 /dev/zero >&2; echo the last >&2", "", 0);
    ck_assert_uint_eq(r.error_len, CC_PROCESS_ERRORS);
    ck_assert_str_eq(r.errors + CC_PROCESS_ERRORS - 9, "the last\n");
    ck_assert_int_eq(r.errors[0], 0);
    r = run("head -c 3000000 /dev/zero", "", 0);
    ck_assert_int_eq(r.status, 0);
    ck_assert_uint_eq(r.error_len, 0);
}
END_TEST

START_TEST(nothing_of_the_agent_is_inherited)
{
    int descriptor = open("/dev/null", O_RDONLY);
    sigset_t signals;
    result r;

    fcntl(descriptor, F_DUPFD, 50);
    setenv("SECRET", "x", 1);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGUSR1, SIG_IGN);
    r = run("ls /proc/self/fd | tr '\\n' ' ' >&2; pwd >&2; echo ${SECRET-none} >&2;"
            "sed -n 's/^Sig[BI].*\\(....\\)$/\\1/p' /proc/self/status >&2;"
            "ps -o sid= -o pgid= -p $$ | grep -c \"$$ *$$\" >&2",
            "", 0);
    ck_assert_str_eq(r.errors, "0 1 2 3 /\nnone\n0000\n0000\n1\n");
    close(descriptor);
    close(50);
}
END_TEST

START_TEST(what_cannot_be_run_is_told)
{
    char *const argv[] = { (char *)path("nothing"), NULL };
    result r;
    cc_process_options options = { argv, no_environment, { NULL, 0 }, 10, note_end, &r };

    memset(&r, 0, sizeof(r));
    ck_assert_int_eq(cc_process_start(base, &options, &r.process), CC_SYSTEM);
    ck_assert_int_eq(errno, ENOENT);
    process_write_file(path("nothing"), "#!/bin/sh\n");
    ck_assert_int_eq(cc_process_start(base, &options, &r.process), CC_SYSTEM);
    ck_assert_int_eq(errno, EACCES);
    ck_assert_int_eq(r.ended, 0);
    ck_assert_int_eq(event_base_loop(base, EVLOOP_NONBLOCK), 1); /* no events left */
}
END_TEST

START_TEST(one_that_takes_too_long_is_terminated)
{
    result r;

    start(&r, "trap 'echo bye >&2; exit 7' TERM; while :; do sleep 0.05; done", "", 0, 1);
    wait_for(&r);
    ck_assert_int_eq(r.timed_out, 1);
    ck_assert_int_eq(WEXITSTATUS(r.status), 7);
    ck_assert_ptr_nonnull(strstr(r.errors, "bye\n"));
}
END_TEST

START_TEST(one_that_does_not_listen_is_killed_with_its_children)
{
    long long begin = process_now_ms();
    result r;
    char *text;
    pid_t child;

    start(&r,
          "trap '' TERM; (while :; do sleep 0.05; done) & echo $! > \"$1/child\";"
          "mv \"$1/child\" \"$1/pid\"; while :; do sleep 0.05; done",
          "", 0, 20);
    loop_until_exists("pid");
    cc_process_terminate(r.process);
    cc_process_terminate(r.process);
    wait_for(&r);
    ck_assert(WIFSIGNALED(r.status));
    ck_assert_int_eq(WTERMSIG(r.status), SIGKILL);
    ck_assert_int_eq(r.timed_out, 0);
    ck_assert_int_ge(process_now_ms() - begin, CC_PROCESS_GRACE * 1000 - 100);
    text = process_read_file(path("pid"));
    child = (pid_t)atol(text);
    wait_until(!process_alive(child), 5000);
    free(text);
}
END_TEST

START_TEST(children_have_their_time_to_end)
{
    result r;

    start(&r,
          "(trap 'sleep 0.3; echo > \"$1/cleaned\"; exit' TERM; echo > \"$1/begun\";"
          " while :; do sleep 0.05; done) & wait",
          "", 0, 20);
    loop_until_exists("begun");
    cc_process_terminate(r.process);
    wait_for(&r);
    ck_assert_int_eq(WTERMSIG(r.status), SIGTERM);
    ck_assert(exists("cleaned"));
}
END_TEST

START_TEST(what_is_left_in_the_background_holds_nothing_up)
{
    result r;
    char *text;

    start(&r, "sleep 30 & echo $! > \"$1/pid\"; exit 0", "", 0, 20);
    wait_for(&r);
    ck_assert_int_eq(r.status, 0);
    text = process_read_file(path("pid"));
    ck_assert(process_alive((pid_t)atol(text)));
    kill((pid_t)atol(text), SIGKILL);
    free(text);
}
END_TEST

START_TEST(many_at_once)
{
    result r[50];
    int i;

    for (i = 0; i < 50; i++)
        start(&r[i], "read x; exit $x", support_text("%d\n", i), i < 10 ? 2 : 3, 20);
    for (i = 0; i < 50; i++) {
        wait_for(&r[i]);
        ck_assert_int_eq(WEXITSTATUS(r[i].status), i);
    }
}
END_TEST

START_TEST(one_that_is_given_up_is_killed)
{
    result r;
    char *text;

    start(&r, "echo $$ > \"$1/tmp\"; mv \"$1/tmp\" \"$1/pid\"; exec sleep 30", "", 0, 20);
    loop_until_exists("pid");
    cc_process_destroy(r.process);
    ck_assert_int_eq(r.ended, 0);
    text = process_read_file(path("pid"));
    ck_assert_int_gt(waitpid((pid_t)atol(text), &r.status, 0), 0);
    free(text);
    ck_assert_int_eq(WTERMSIG(r.status), SIGKILL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_process");
    TCase *c = tcase_create("process");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, the_exit_status_comes_back);
    tcase_add_test(c, input_arrives_byte_for_byte);
    tcase_add_test(c, input_need_not_be_read);
    tcase_add_test(c, the_last_of_stderr_is_kept);
    tcase_add_test(c, nothing_of_the_agent_is_inherited);
    /* valgrind makes fork() of vfork(), and so posix_spawn() cannot say it. */
    if (!getenv("TEST_VALGRIND"))
        tcase_add_test(c, what_cannot_be_run_is_told);
    tcase_add_test(c, one_that_takes_too_long_is_terminated);
    tcase_add_test(c, one_that_does_not_listen_is_killed_with_its_children);
    tcase_add_test(c, children_have_their_time_to_end);
    tcase_add_test(c, what_is_left_in_the_background_holds_nothing_up);
    tcase_add_test(c, many_at_once);
    tcase_add_test(c, one_that_is_given_up_is_killed);
    suite_add_tcase(s, c);
    return support_run(s);
}
