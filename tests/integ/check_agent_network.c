/* SPDX-License-Identifier: Apache-2.0
 * check_agent_network.c - a real agent whose network changes under it. Each test
 * has a network of its own, in which addresses and routes are what it says.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOON_MS 15000

static script_server *server;
static agent *a;

static void ip(const char *arguments)
{
    const char *const argv[] = { "sh", "-c", support_text("ip %s", arguments), NULL };

    process_must(argv);
}

static void set_up(void)
{
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    ip("link set lo up");
    ip("addr add 10.77.0.1/24 dev lo");
    ip("addr add 10.77.0.2/24 dev lo");
    server = script_start_at("10.77.0.1");
}

static void tear_down(void)
{
    agent_end(a);
    script_end(server);
}

static void start(const char *mode)
{
    a = agent_start(&(agent_options){
        .config = support_text("[server main]\nurl = %s\ndevice = test\nmode = %s\n",
                               script_url(server), mode) });
    script_expect(server);
}

START_TEST(a_held_poll_is_made_anew_from_another_address)
{
    start("poll");
    script_nothing(server, "e-0");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Prefer"), "wait=55");
    ip("route replace local 10.77.0.1 dev lo table local src 10.77.0.2");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Prefer"), "wait=55");
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-0");
    ck_assert_int_eq(agent_log_count(a, "server 'main'"), 1);
}
END_TEST

START_TEST(a_stream_is_made_anew_from_another_address)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "\r\nretry: 60000\n\n";

    start("stream");
    script_raw(server, head, sizeof head - 1);
    wait_until(agent_log_count(a, "connected to") == 1, SOON_MS);
    ip("route replace local 10.77.0.1 dev lo table local src 10.77.0.2");
    script_expect(server);
    ck_assert_ptr_nonnull(strstr(script_request_line(server), "GET "));
}
END_TEST

START_TEST(what_does_not_concern_it_disturbs_nothing)
{
    start("poll");
    script_nothing(server, "e-0");
    script_expect(server);
    ip("addr add 10.88.0.1/24 dev lo");
    ip("route add 10.99.0.0/16 dev lo");
    ck_assert(!script_try(server, 3500));
}
END_TEST

START_TEST(a_server_that_is_busy_is_left_alone)
{
    start("poll");
    script_answer(server, "503 Later", "Retry-After: 600\r\n", "");
    ip("addr add 10.88.0.1/24 dev lo");
    ck_assert(!script_try(server, 3500));
}
END_TEST

/* NULL: networks can be made here. */
static const char *why_not(void)
{
    static char why[128];
    pid_t child;
    int status = 0;

    if (system("ip -V >/dev/null 2>&1") != 0)
        return "there is no ip (iproute2)";
    child = fork();
    if (child == 0)
        _exit(unshare(CLONE_NEWNET) == 0 ? 0 : errno);
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return NULL;
    snprintf(why, sizeof why, "no network of its own: %s", strerror(WEXITSTATUS(status)));
    return why;
}

int main(void)
{
    Suite *s = suite_create("agent_network");
    TCase *c = tcase_create("network");

    if (why_not() != NULL)
        support_skip(why_not());
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_held_poll_is_made_anew_from_another_address);
    tcase_add_test(c, a_stream_is_made_anew_from_another_address);
    tcase_add_test(c, what_does_not_concern_it_disturbs_nothing);
    tcase_add_test(c, a_server_that_is_busy_is_left_alone);
    suite_add_tcase(s, c);
    return support_run(s);
}
