/* SPDX-License-Identifier: Apache-2.0
 * check_stopping.c - children that end while polls are held: each poll is
 * answered, old children are gone within seconds, nothing queued is lost.
 */
#include <signal.h>

#include "parking.h"

#define HELD 40

static http *held[HELD];

static int held_now(http *watch)
{
    return parking_read_held(http_call(watch, "GET", "/comm/status", "admin",
                                       "Accept: application/json\r\n", NULL));
}

/* The status is asked for on a connection that event threads own. httpd's event
 * MPM crashes at times if it is stopped while one of its own workers closes a
 * connection: close_worker_sockets() then finds a socket whose pool is gone. */
static void hold_many(const httpd *server)
{
    http *watch = parking_adopt(server);
    int i;

    for (i = 0; i < HELD; i++) {
        held[i] = i % 2 ? http_open_tls(server) : http_open(server);
        http_ask(held[i], "GET", "/comm/poll", support_text("user%d", i), WAIT_LONG,
                 NULL);
    }
    wait_until(held_now(watch) == HELD, 15000);
    http_close(watch);
}

static const char *users(void)
{
    static char names[HELD * 8];
    int i;

    for (i = 0, names[0] = '\0'; i < HELD; i++) {
        strcat(names, support_text("user%d\n", i));
    }
    return names;
}

static httpd *start(const char *config)
{
    return httpd_start(
        &(httpd_options){ .children = 3, .tls = 1, .users = users(), .config = config });
}

/* All are answered early, told when to come back, and closed. */
static void expect_sent_home(void)
{
    int i;

    for (i = 0; i < HELD; i++) {
        http_answer *answer = http_try(held[i], 8000);

        ck_assert_msg(answer != NULL, "poll %d was cut off", i);
        ck_assert_int_eq(answer->status, 204);
        ck_assert_ptr_nonnull(http_header(answer, "Retry-After"));
        ck_assert_int_eq(answer->keep_alive, 0);
        http_close(held[i]);
    }
}

static int alive(const pid_t *pids, int n)
{
    int i, count = 0;

    for (i = 0; i < n; i++) {
        count += process_alive(pids[i]);
    }
    return count;
}

START_TEST(a_graceful_restart_sends_polls_home)
{
    httpd *server = start(NULL);
    pid_t before[16];
    int n = httpd_children(server, before, 16);
    http *idle = http_open(server), *held_after;

    ck_assert_int_eq(
        http_call(idle, "GET", "/comm/poll", "alice", "Prefer: wait=1\r\n", NULL)->status,
        204);
    parking_publish(server, "bob", "over the restart");
    hold_many(server);
    httpd_graceful(server);
    expect_sent_home();
    wait_until(alive(before, n) == 0, 10000);
    ck_assert_int_eq(http_closed(idle, 1000), 1);
    parking_expect(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL),
                   "over the restart");
    held_after = parking_poll(server, "carol");
    parking_await(server, 1);
    parking_publish(server, "carol", "in the new children");
    parking_expect(http_read(held_after), "in the new children");
    http_close(held_after);
    http_close(idle);
    httpd_end(server);
}
END_TEST

START_TEST(a_restart_keeps_what_is_queued)
{
    httpd *server = start(NULL);

    parking_publish(server, "bob", "over the restart");
    hold_many(server);
    httpd_restart(server);
    expect_sent_home();
    parking_expect(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL),
                   "over the restart");
    httpd_end(server);
}
END_TEST

START_TEST(a_stop_is_quick_and_clean)
{
    httpd *server = start(NULL);
    long long begin;
    int i;

    hold_many(server);
    begin = process_now_ms();
    httpd_stop(server);
    ck_assert_int_lt((int)(process_now_ms() - begin), process_scale(7000));
    for (i = 0; i < HELD; i++) {
        http_close(held[i]);
    }
    httpd_end(server);
}
END_TEST

START_TEST(a_graceful_stop_ends)
{
    httpd *server = start(NULL);

    hold_many(server);
    httpd_signal(server, SIGWINCH);
    expect_sent_home();
    httpd_graceful_stop(server);
    httpd_end(server);
}
END_TEST

START_TEST(children_that_served_enough_end_with_polls_held)
{
    httpd *server = start("MaxConnectionsPerChild 100\n");
    pid_t before[16];
    int n = httpd_children(server, before, 16), i;

    hold_many(server);
    for (i = 0; i < 600; i++) {
        http_once(server, "GET", "/index.html", NULL, NULL, NULL);
    }
    wait_until(alive(before, n) == 0, 20000);
    for (i = 0; i < HELD; i++) {
        http_answer *answer = http_try(held[i], 5000);

        ck_assert_msg(answer != NULL && answer->status == 204, "poll %d was cut off", i);
        http_close(held[i]);
    }
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stopping");
    TCase *stops = tcase_create("stops");

    support_need_httpd();
    tcase_set_timeout(stops, 120);
    tcase_add_test(stops, a_graceful_restart_sends_polls_home);
    tcase_add_test(stops, a_restart_keeps_what_is_queued);
    tcase_add_test(stops, a_stop_is_quick_and_clean);
    tcase_add_test(stops, a_graceful_stop_ends);
    tcase_add_test(stops, children_that_served_enough_end_with_polls_held);
    suite_add_tcase(suite, stops);
    return support_run(suite);
}
