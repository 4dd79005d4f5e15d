/* SPDX-License-Identifier: Apache-2.0
 * check_agent_faults.c - a whole agent of which the n-th system call, or allocation,
 * fails while it starts, polls, gives, publishes, runs a program, reads its
 * configuration and a secret again, and stops.
 *
 * It goes on, or ends with a line in the log and not with success; the next agent
 * does what is left. Nothing that was told is lost, nothing is given once too often.
 *
 * STEP_ALL=1: every n, not some of them. STEP_SEED=N: the same ones again.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOME       8     /* of each kind in the short form                    */
#define SESSION_MS 30000 /* until all is done, with pauses of the agent        */
#define STUCK_MS   3000  /* without an answer it is tried again               */

static script_server *server, *publisher;
static char directory[512];
static unsigned seed;
static int all;

/* What became of it all. */
typedef struct session {
    pid_t agent; /* 0: none runs                                             */
    int starts;
    int descriptor;     /* of the application; -1: none                          */
    long long signaled; /* ms, when it was sent a signal                        */
    long long heard;    /* ms, when it last heard something                     */
    char in[65536];
    size_t len;
    int asked; /* to acknowledge: without an answer it is asked again        */
    int acknowledged, published, sent, reloaded, changed;
} session;

static session s;

static const char *path(const char *name)
{
    return support_text("%s/%s", directory, name);
}

static int exists(const char *name)
{
    return access(path(name), F_OK) == 0;
}

/* ---- the agent --------------------------------------------------------------- */

static void write_files(void)
{
    process_write_file(
        path("c.conf"),
        support_text("[agent]\nsocket = %s\ninbox = %s\n[server main]\nurl = %s\n"
                     "device = test\nuser = alice\npassword_file = %s\n"
                     "publish = http://127.0.0.1:%d/p\n[app files]\nservers = main\n"
                     "exec = /bin/sh -c \"cat >%s\"\n",
                     path("socket"), path("inbox.db"), script_url(server),
                     path("password"), script_port(publisher), path("out")));
    process_write_file(path("password"), "first\n");
    chmod(path("password"), 0600);
}

/* The first one has the fault. */
static void start_agent(const char *const *environment)
{
    const char *const argv[] = { support_program("commclient/commclient"), "run",
                                 "--config", path("c.conf"), NULL };
    static const char *const none[] = { NULL };

    s.agent = process_start(
        &(process_options){ .argv = argv,
                            .environment = s.starts == 0 ? environment : none,
                            .output = path(s.starts == 0 ? "first.log" : "next.log") });
    s.starts++;
}

static char *log_of_first(void)
{
    char *text = process_read_file(path("first.log"));

    return text != NULL ? text : strdup("");
}

static void leave_agent(void)
{
    if (s.descriptor >= 0)
        close(s.descriptor);
    s.descriptor = -1;
    s.len = 0;
}

/* An end that nobody asked for is told. */
static void check_end(int status, int asked)
{
    char *said = log_of_first();

    if (WIFSIGNALED(status))
        ck_assert_msg(WTERMSIG(status) == SIGABRT
                          && (strstr(said, "commclient: out of memory") != NULL
                              || strstr(said, "commclient: no random") != NULL
                              || strstr(said, "commclient: event loop: ") != NULL),
                      "killed by signal %d: %s", WTERMSIG(status), said);
    else
        ck_assert_msg(asked || WEXITSTATUS(status) != 0, "it ended by itself: %s", said);
    ck_assert_msg(said[0] != '\0', "it ended without a word, status 0x%x", status);
    free(said);
    leave_agent();
    s.agent = 0;
}

static void watch_agent(const char *const *environment)
{
    int status;

    if (s.agent > 0 && process_ended(s.agent, &status)) {
        ck_assert_int_eq(s.starts, 1);
        check_end(status, 0);
    }
    if (s.agent == 0)
        start_agent(environment);
}

/* ---- the application --------------------------------------------------------- */

static void say(const char *line)
{
    if (send(s.descriptor, line, strlen(line), MSG_NOSIGNAL) < 0)
        leave_agent();
}

static void connect_application(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path("socket"));
    s.descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    s.heard = process_now_ms();
    if (connect(s.descriptor, (struct sockaddr *)&address, sizeof(address)) != 0) {
        leave_agent();
        return;
    }
    say("{\"subscribe\":\"orders\"}\n");
    if (s.asked && !s.acknowledged)
        say("{\"ack\":\"id1\"}\n");
}

static void publish(void)
{
    if (!s.published)
        say("{\"publish\":{\"app\":\"orders\",\"to\":\"bob\",\"data\":1}}\n");
}

static void on_line(const char *line)
{
    const char *id = support_json(line, "message.id");

    if (id != NULL) {
        ck_assert_msg(!s.acknowledged, "given again after it was acknowledged: %s", line);
        s.asked = 1;
        say(support_text("{\"ack\":\"%s\"}\n", id));
    }
    if (support_json(line, "acked") != NULL)
        s.acknowledged = 1;
    if (support_json(line, "spooled") != NULL)
        s.published = 1;
    if (support_json(line, "subscribed") != NULL)
        publish();
    if (support_json(line, "error") != NULL)
        leave_agent();
}

static void hear(void)
{
    ssize_t n;
    char *end;

    if (s.descriptor < 0) {
        connect_application();
        return;
    }
    n = recv(s.descriptor, s.in + s.len, sizeof(s.in) - s.len - 1, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN)
        || process_now_ms() - s.heard
               > (s.acknowledged && s.published ? 1000000 : STUCK_MS)) {
        leave_agent();
        return;
    }
    if (n < 0)
        return;
    s.heard = process_now_ms();
    s.len += (size_t)n;
    s.in[s.len] = '\0';
    while ((end = strchr(s.in, '\n')) != NULL) {
        *end = '\0';
        on_line(s.in);
        if (s.descriptor < 0)
            return; /* it was left */
        s.len -= (size_t)(end + 1 - s.in);
        memmove(s.in, end + 1, s.len + 1);
    }
}

/* ---- the servers ------------------------------------------------------------- */

/* The batch comes until the agent says that it has it. */
static void serve(void)
{
    static const char head[] = "Content-Type: application/json\r\n";

    if (script_try(server, 10)) {
        if (strstr(script_body(server), "e-1") == NULL
            && strstr(script_head(server), "e-1") == NULL)
            script_batch(server, "e-1",
                         support_text("%s,%s", script_message("id1", "orders", "1"),
                                      script_message("id2", "files", "2")));
        else if (!s.reloaded || !s.changed)
            script_answer(server, "204 No Content", "Retry-After: 1\r\n", "");
    }
    if (script_try(publisher, 10)) {
        script_answer(publisher, "201 Created", head,
                      "{\"id\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"state\":\"queued\"}");
        s.sent = 1;
    }
}

/* libevent passes signals on to itself by a socket: that may fail, too, and who
 * sent the signal sends it again. */
static void send_signal(int number)
{
    if (process_now_ms() - s.signaled < STUCK_MS)
        return;
    s.signaled = process_now_ms();
    kill(s.agent, number);
}

/* When all else is done: another secret, and the configuration is read again. */
static void disturb(void)
{
    if (!s.acknowledged)
        return;
    if (!s.changed)
        process_write_file(path("password"), "second\n");
    s.changed = 1;
    send_signal(SIGHUP);
}

static int is_reloaded(void)
{
    char *said = process_read_file(path(s.starts == 1 ? "first.log" : "next.log"));
    int found = said != NULL
                && (strstr(said, "is read again") != NULL
                    || strstr(said, "stays as it was") != NULL);

    free(said);
    return found || (s.changed && s.starts > 1);
}

static int is_done(void)
{
    s.reloaded = s.changed && is_reloaded();
    return s.acknowledged && s.published && s.sent && s.reloaded && exists("out");
}

/* ---- a session --------------------------------------------------------------- */

static void end_agent(void)
{
    int status = 0;

    s.signaled = 0;
    wait_until((send_signal(SIGTERM), process_ended(s.agent, &status)), SESSION_MS);
    check_end(status, 1);
}

static int is_zero(const char *json, const char *member)
{
    const char *value = support_json(json, member);

    return value != NULL && strcmp(value, "0") == 0;
}

/* The last agent finds nothing to do. */
static void check_left(const char *what)
{
    const char *const argv[] = { support_program("commclient/commclient"),
                                 "status",
                                 "--json",
                                 "--config",
                                 path("c.conf"),
                                 NULL };
    long long end = process_now_ms() + process_scale(20000);
    process_result result;
    char *said = NULL;
    int empty = 0;

    while (!empty) {
        ck_assert_msg(process_now_ms() < end, "%s: something is left: %.2000s", what,
                      said);
        free(said);
        watch_agent(NULL);
        hear();
        serve();
        result = process_run(&(process_options){ .argv = argv });
        empty = result.status == 0 && is_zero(result.output, "inbox.messages")
                && is_zero(result.output, "inbox.dead")
                && is_zero(result.output, "spool.messages");
        said = result.output;
    }
    free(said);
}

/* @param name  of the session, in the ring of support_text() */
static void run_session(const char *const *environment, const char *name)
{
    char what[64];
    long long end = process_now_ms() + process_scale(SESSION_MS);

    snprintf(what, sizeof(what), "%s", name);
    memset(&s, 0, sizeof(s));
    s.descriptor = -1;
    unlink(path("inbox.db"));
    unlink(path("inbox.db-wal"));
    unlink(path("out"));
    unlink(path("first.log"));
    unlink(path("next.log"));
    write_files();
    while (!is_done()) {
        ck_assert_msg(process_now_ms() < end,
                      "%s: not done: acknowledged %d, published %d, sent %d, reloaded %d,"
                      " program %d: %.2000s",
                      what, s.acknowledged, s.published, s.sent, s.reloaded,
                      exists("out"), log_of_first());
        watch_agent(environment);
        hear();
        serve();
        disturb();
    }
    leave_agent();
    end_agent();
    s.starts = s.starts > 0 ? s.starts : 1;
    check_left(what);
    leave_agent();
    end_agent();
}

static const char *preload(void)
{
    return support_text("LD_PRELOAD=%s",
                        support_build_path("tests/multi/.libs/faults_preload.so"));
}

static void count_faults(int *calls, int *allocations)
{
    const char *const environment[] = { preload(),
                                        support_text("FAULT_COUNT=%s", path("count")),
                                        NULL };
    char *text;

    run_session(environment, "without a fault");
    text = process_read_file(path("count"));
    ck_assert_msg(text != NULL && sscanf(text, "%d %d", calls, allocations) == 2,
                  "the library was not loaded");
    fprintf(stderr, "%d calls, %d allocations\n", *calls, *allocations);
    free(text);
}

static void set_up(void)
{
    snprintf(directory, sizeof(directory), "%s", reaper_temporary());
    reaper_log(path("first.log"));
    reaper_log(path("next.log"));
    server = script_start();
    publisher = script_start();
}

static void tear_down(void)
{
    script_end(server);
    script_end(publisher);
}

static void fail_call(int n, int code)
{
    const char *const environment[] = { preload(), support_text("FAULT_CALL=%d", n),
                                        support_text("FAULT_CODE=%d", code), NULL };

    run_session(environment, support_text("call %d: %s", n, strerror(code)));
}

static void fail_allocation(int n)
{
    const char *const environment[] = { preload(), support_text("FAULT_MEMORY=%d", n),
                                        NULL };

    run_session(environment, support_text("allocation %d", n));
}

START_TEST(any_call_or_allocation_fails)
{
    static const int codes[] = { EIO, ENOSPC, EMFILE, ENOMEM, EINTR };
    int calls = 0, allocations = 0, i;

    count_faults(&calls, &allocations);
    for (i = 0; i < (all ? calls : SOME); i++)
        fail_call(all ? i + 1 : 1 + rand_r(&seed) % calls,
                  codes[rand_r(&seed) % (sizeof(codes) / sizeof(codes[0]))]);
    for (i = 0; i < (all ? 1000 : SOME); i++)
        fail_allocation(1 + rand_r(&seed) % allocations);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent_faults");
    TCase *tests = tcase_create("faults");

    if (support_sanitized())
        support_skip("a sanitizer takes the place of the allocator itself");
    seed = support_seed("STEP_SEED");
    all = getenv("STEP_ALL") != NULL;
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, all ? 7200 : 240);
    tcase_add_test(tests, any_call_or_allocation_fails);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
