/* SPDX-License-Identifier: Apache-2.0
 * check_agent_service.c - a real agent under a service manager: the test gives
 * it the environment and the descriptors that systemd would.
 */
#include "support/support.h"

#include <fcntl.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define EVENT_MS 20000

static char directory[80], socket_path[108], notify_path[108], config[512];
static int notify; /* where the service manager listens                    */
static pid_t pid;  /* of the agent; 0: none                                */

static int bind_unix(int type, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void set_up(void)
{
    snprintf(directory, sizeof directory, "%s", reaper_temporary());
    snprintf(socket_path, sizeof socket_path, "%s/agent.sock", directory);
    snprintf(notify_path, sizeof notify_path, "%s/notify", directory);
    snprintf(config, sizeof config, "%s/c.conf", directory);
    process_write_file(config, support_text("[agent]\nsocket = agent.sock\n"
                                            "inbox = inbox.db\n[server main]\n"
                                            "url = http://127.0.0.1:1/\n"));
    reaper_log(support_text("%s/log", directory));
    notify = bind_unix(SOCK_DGRAM, notify_path);
    pid = 0;
}

static void tear_down(void)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        process_wait(pid, EVENT_MS, "commclient");
    }
    close(notify);
}

/* ---- as a service manager ------------------------------------------------ */

typedef struct passing {
    int fds[2];
    int count;
    const char *names;    /* LISTEN_FDNAMES                                  */
    int to_other;         /* LISTEN_PID names another process                */
    const char *watchdog; /* WATCHDOG_USEC                                   */
} passing;

/* In the child; does not return. */
static void execute(const passing *p)
{
    int i;

    setsid();
    reaper_group(getpid());
    freopen(support_text("%s/log", directory), "a", stderr);
    for (i = 0; i < p->count; i++)
        dup2(p->fds[i], 3 + i);
    if (p->count > 0) {
        setenv("LISTEN_PID",
               support_text("%d", p->to_other ? (int)getppid() : (int)getpid()), 1);
        setenv("LISTEN_FDS", support_text("%d", p->count), 1);
    }
    if (p->names)
        setenv("LISTEN_FDNAMES", p->names, 1);
    setenv("NOTIFY_SOCKET", notify_path, 1);
    if (p->watchdog) {
        setenv("WATCHDOG_USEC", p->watchdog, 1);
        setenv("WATCHDOG_PID", support_text("%d", (int)getpid()), 1);
    }
    execl(support_program("commclient/commclient"), "commclient", "run", "--config",
          config, NULL);
    _exit(127);
}

/* Descriptors are moved out of the way of 3 and 4 first. */
static void start(passing p)
{
    int i;

    for (i = 0; i < p.count; i++)
        p.fds[i] = fcntl(p.fds[i], F_DUPFD_CLOEXEC, 20);
    reaper_prepare();
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        execute(&p);
    for (i = 0; i < p.count; i++)
        close(p.fds[i]);
}

/* The next datagram, in the ring; NULL: none within ms. */
static const char *next_notice(int ms)
{
    struct pollfd one = { notify, POLLIN, 0 };
    char text[512];
    ssize_t n;

    if (poll(&one, 1, process_scale(ms)) <= 0)
        return NULL;
    n = recv(notify, text, sizeof text - 1, 0);
    ck_assert_int_gt(n, 0);
    text[n] = '\0';
    return support_text("%s", text);
}

/* Others may come before it. */
static const char *expect_notice(const char *start_of_it)
{
    const char *notice;

    while ((notice = next_notice(EVENT_MS)) != NULL) {
        if (strncmp(notice, start_of_it, strlen(start_of_it)) == 0)
            return notice;
    }
    ck_abort_msg("no notice '%s'", start_of_it);
    return NULL;
}

static void stop(void)
{
    int status;

    kill(pid, SIGTERM);
    status = process_wait(pid, EVENT_MS, "commclient");
    pid = 0;
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}

/* The agent ends by itself, with this code and this text in its log. */
static void expect_refusal(int code, const char *text)
{
    int status = process_wait(pid, EVENT_MS, "commclient");
    char *log = process_read_file(support_text("%s/log", directory));

    pid = 0;
    ck_assert_int_eq(WEXITSTATUS(status), code);
    ck_assert_msg(strstr(log, text) != NULL, "'%s' is not in: %s", text, log);
    free(log);
}

static int listening(const char *path)
{
    int fd = bind_unix(SOCK_STREAM, path);

    ck_assert_int_eq(listen(fd, 16), 0);
    return fd;
}

static int open_connection(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void expect_hello(int fd)
{
    struct pollfd one = { fd, POLLIN, 0 };
    char text[256] = "";

    ck_assert_int_eq(poll(&one, 1, process_scale(EVENT_MS)), 1);
    ck_assert_int_gt(recv(fd, text, sizeof text - 1, 0), 0);
    ck_assert_ptr_nonnull(strstr(text, "{\"hello\":"));
    close(fd);
}

/* ---- the socket ----------------------------------------------------------- */

START_TEST(who_connected_before_the_start_is_served)
{
    int fd = listening(socket_path);
    int early = open_connection();

    start((passing){ .fds = { fd }, .count = 1 });
    expect_hello(early);
    close(fd);
}
END_TEST

START_TEST(the_socket_outlives_the_agent)
{
    int fd = listening(socket_path), between;

    start((passing){ .fds = { fd }, .count = 1 });
    expect_notice("READY=1");
    stop();
    between = open_connection();
    start((passing){ .fds = { fd }, .count = 1 });
    expect_hello(between);
    close(fd);
}
END_TEST

START_TEST(of_several_sockets_the_named_one_is_taken)
{
    int other = listening(support_text("%s/other", directory));
    int fd = listening(socket_path);

    start((passing){ .fds = { other, fd }, .count = 2, .names = "web:agent" });
    expect_hello(open_connection());
    close(fd);
    close(other);
}
END_TEST

START_TEST(several_sockets_without_names_are_refused)
{
    int other = listening(support_text("%s/other", directory));
    int fd = listening(socket_path);

    start((passing){ .fds = { other, fd }, .count = 2, .names = "agent:agent" });
    expect_refusal(4, "LISTEN_FDS passes several sockets");
    start((passing){ .fds = { other, fd }, .count = 2 });
    expect_refusal(4, "LISTEN_FDS passes several sockets");
    close(fd);
    close(other);
}
END_TEST

static int tcp_socket(void)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    return fd;
}

START_TEST(what_is_no_listening_unix_stream_is_refused)
{
    int fd = tcp_socket();

    start((passing){ .fds = { fd }, .count = 1 });
    expect_refusal(4, "descriptor 3 of LISTEN_FDS is no Unix socket");
    close(fd);
    fd = bind_unix(SOCK_DGRAM, support_text("%s/datagram", directory));
    start((passing){ .fds = { fd }, .count = 1 });
    expect_refusal(4, "is no stream socket: ListenStream= is needed");
    close(fd);
    fd = bind_unix(SOCK_STREAM, support_text("%s/deaf", directory));
    start((passing){ .fds = { fd }, .count = 1 });
    expect_refusal(4, "does not listen: Accept=no is needed");
    close(fd);
    fd = open(config, O_RDONLY | O_CLOEXEC);
    start((passing){ .fds = { fd }, .count = 1 });
    expect_refusal(4, "is no socket");
    close(fd);
}
END_TEST

START_TEST(what_is_meant_for_another_process_is_not_taken)
{
    int fd = listening(support_text("%s/other", directory));

    start((passing){ .fds = { fd }, .count = 1, .to_other = 1 });
    expect_notice("READY=1");
    expect_hello(open_connection());
    stop();
    ck_assert_int_ne(access(socket_path, F_OK), 0);
    close(fd);
}
END_TEST

/* It would cut off whoever connects from the service manager. */
START_TEST(by_hand_it_does_not_replace_the_socket_of_a_service_manager)
{
    int fd = listening(socket_path);

    start((passing){ .count = 0 });
    expect_refusal(5, "is held by a service manager");
    close(open_connection());
    close(fd);
    start((passing){ .count = 0 });
    expect_notice("READY=1");
    expect_hello(open_connection());
}
END_TEST

/* ---- notices -------------------------------------------------------------- */

START_TEST(it_says_when_it_is_ready_and_when_it_stops)
{
    start((passing){ .count = 0 });
    ck_assert_str_eq(next_notice(EVENT_MS), "READY=1");
    expect_notice("STATUS=connected to 0 of 1 server");
    stop();
    expect_notice("STOPPING=1");
}
END_TEST

START_TEST(a_reload_has_a_beginning_and_an_end)
{
    start((passing){ .count = 0 });
    expect_notice("READY=1");
    kill(pid, SIGHUP);
    ck_assert_ptr_nonnull(strstr(expect_notice("RELOADING=1\n"), "MONOTONIC_USEC="));
    expect_notice("READY=1");
}
END_TEST

START_TEST(the_watchdog_is_kept_quiet)
{
    int i;

    start((passing){ .watchdog = "200000" });
    for (i = 0; i < 5; i++)
        expect_notice("WATCHDOG=1");
}
END_TEST

/* A stopped process is what a hung event loop looks like from outside. */
START_TEST(an_agent_that_hangs_keeps_nobody_quiet)
{
    siginfo_t info;

    start((passing){ .watchdog = "200000" });
    expect_notice("WATCHDOG=1");
    kill(pid, SIGSTOP);
    ck_assert_int_eq(waitid(P_PID, pid, &info, WSTOPPED), 0);
    while (next_notice(0) != NULL)
        ;
    ck_assert_ptr_null(next_notice(500));
    kill(pid, SIGCONT);
    expect_notice("WATCHDOG=1");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent_service");
    TCase *tc = tcase_create("service");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, who_connected_before_the_start_is_served);
    tcase_add_test(tc, the_socket_outlives_the_agent);
    tcase_add_test(tc, of_several_sockets_the_named_one_is_taken);
    tcase_add_test(tc, several_sockets_without_names_are_refused);
    tcase_add_test(tc, what_is_no_listening_unix_stream_is_refused);
    tcase_add_test(tc, what_is_meant_for_another_process_is_not_taken);
    tcase_add_test(tc, by_hand_it_does_not_replace_the_socket_of_a_service_manager);
    tcase_add_test(tc, it_says_when_it_is_ready_and_when_it_stops);
    tcase_add_test(tc, a_reload_has_a_beginning_and_an_end);
    tcase_add_test(tc, the_watchdog_is_kept_quiet);
    tcase_add_test(tc, an_agent_that_hangs_keeps_nobody_quiet);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
