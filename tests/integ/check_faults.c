/* SPDX-License-Identifier: Apache-2.0
 * check_faults.c - system calls and allocations of a running httpd fail: who is
 * concerned gets its answer or may come back, all others notice nothing, no
 * message is lost, and it is over when the calls succeed again.
 *
 * Memory of APR's pools is not tried: httpd ends a child that cannot have it,
 * by its own design.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "parking.h"
#include "support/faults.h"

#define USERS 6

static httpd *server;
static faults *f;
static const char *const users[USERS] = { "alice", "bob",     "carol",
                                          "dave",  "backend", "admin" };

static void start_with(const httpd_options *options)
{
    httpd_options with = *options;

    with.faults = 1;
    server = httpd_start(&with);
    f = faults_open(server);
}

static void end(void)
{
    faults_close(f);
    httpd_end(server);
}

/* Everything goes as if nothing had been. */
static void expect_health(void)
{
    http *c = http_open(server);

    http_ask(c, "GET", "/comm/poll?device=health", "carol", WAIT_LONG, NULL);
    parking_await(server, 1);
    parking_publish(server, "carol/health", "all is well");
    parking_expect(http_read(c), "all is well");
    http_close(c);
    parking_await(server, 0);
}

static const char *cursor_of(const http_answer *answer)
{
    return answer->status == 204 ? http_header(answer, "Comm-Cursor")
                                 : support_json(answer->body, "cursor");
}

/* Read again from the start: nothing was acknowledged. */
static void expect_queued(const char *user, const char *text)
{
    parking_expect(http_once(server, "GET", "/comm/poll", user, NULL, NULL), text);
}

/* ---- epoll --------------------------------------------------------------------- */

START_TEST(a_poll_that_cannot_be_watched_is_held)
{
    http *held[4];
    int i;

    start_with(&(httpd_options){ .children = 1 });
    faults_plan(f, FAULT_EPOLL_CTL, 1, 1000, ENOSPC);
    for (i = 0; i < 4; i++)
        held[i] = parking_poll(server, users[i]);
    parking_await(server, 4);
    faults_await(f, 14); /* each is tried again and again               */
    parking_publish(server, "alice", "unwatched");
    parking_expect(http_read(held[0]), "unwatched");
    /* The peer goes: that is found out by looking, once it can be watched. */
    http_close(held[1]);
    faults_end(f);
    parking_await(server, 2);
    parking_publish(server, "carol", "watched again");
    parking_expect(http_read(held[2]), "watched again");
    for (i = 0; i < 4; i++)
        if (i != 1)
            http_close(held[i]);
    parking_await(server, 0);
    ck_assert_int_eq(httpd_log_count(server, "CS0044"), 1);
    expect_health();
    end();
}
END_TEST

START_TEST(requests_on_a_connection_that_is_not_watched_are_answered)
{
    http *c;
    int i;

    start_with(&(httpd_options){ .children = 1 });
    faults_plan(f, FAULT_EPOLL_CTL, 1, 1000, ENOMEM);
    c = parking_adopt(server);
    for (i = 0; i < 2; i++)
        ck_assert_int_eq(http_call(c, "POST", "/comm/publish/orders/erin", "backend",
                                   "Content-Type: text/plain\r\n", "x")
                             ->status,
                         201);
    ck_assert_int_ge(faults_hits(f), 1);
    faults_end(f);
    ck_assert_int_eq(http_call(c, "POST", "/comm/publish/orders/erin", "backend",
                               "Content-Type: text/plain\r\n", "x")
                         ->status,
                     201);
    http_close(c);
    expect_health();
    end();
}
END_TEST

/* The answer is larger than the socket takes, and nobody says when there is
 * room again.                                                                */
START_TEST(a_slow_reader_that_cannot_be_watched_gets_all)
{
    static char body[900001];
    http *c;
    http_answer *answer;
    int i;

    memset(body, 'x', sizeof body - 1);
    start_with(&(httpd_options){ .children = 1, .config = "CommServerMaxBatch 8M\n" });
    c = parking_poll(server, "alice");
    parking_await(server, 1);
    parking_publish(server, "alice", "first");
    parking_expect(http_read(c), "first");
    for (i = 0; i < 8; i++)
        parking_publish(server, "alice", body);
    faults_plan(f, FAULT_EPOLL_CTL, 1, 3, ENOMEM);
    http_ask(c, "GET", "/comm/poll", "alice", NULL, NULL);
    faults_await(f, 1);
    answer = http_read(c);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_uint_gt(answer->len, 8 * (sizeof body - 1));
    http_close(c);
    expect_health();
    end();
}
END_TEST

START_TEST(waiting_that_fails_loses_nothing)
{
    http *c;

    start_with(&(httpd_options){ .children = 1 });
    c = parking_poll(server, "alice");
    parking_await(server, 1);
    faults_plan(f, FAULT_EPOLL_WAIT, 1, 20, EINTR);
    parking_publish(server, "alice", "one");
    parking_expect(http_read(c), "one");
    faults_await(f, 20);
    http_close(c);
    expect_health();
    end();
}
END_TEST

/* ---- starting a child ----------------------------------------------------------- */

/* It can hold nothing, and says so; polling goes on at intervals. */
static void expect_intervals(void)
{
    http_answer *answer =
        http_once(server, "GET", "/comm/poll", "alice", WAIT_LONG, NULL);

    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "wait=0");
    ck_assert_int_ge(atoi(http_header(answer, "Retry-After")), 1);
    parking_publish(server, "bob", "by intervals");
    expect_queued("bob", "by intervals");
}

START_TEST(a_child_without_an_event_loop_answers_at_intervals)
{
    static const fault_call calls[] = { FAULT_EVENTFD, FAULT_EPOLL_CTL, FAULT_OPEN };

    start_with(&(httpd_options){ .children = 1 });
    faults_plan(f, calls[_i], 1, 1, EMFILE);
    httpd_restart(server);
    faults_await(f, 1);
    httpd_log_wait(server, "CS0040", 10000);
    expect_intervals();
    ck_assert_int_eq(httpd_log_count(server, "CS0040"), 1);
    httpd_restart(server);
    expect_health();
    end();
}
END_TEST

/* ---- a child that goes ---------------------------------------------------------- */

/* httpd ends a child that cannot accept; its polls come back elsewhere. */
START_TEST(a_child_that_cannot_accept_hands_its_polls_over)
{
    http *held;
    http_answer *answer;

    start_with(&(httpd_options){ .children = 1 });
    held = parking_poll(server, "alice");
    parking_await(server, 1);
    faults_plan(f, FAULT_ACCEPT, 1, 1, EMFILE);
    http_close(http_open(server));
    faults_await(f, 1);
    answer = http_read(held);
    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(http_header(answer, "Connection"), "close");
    ck_assert_ptr_nonnull(http_header(answer, "Retry-After"));
    ck_assert_ptr_nonnull(cursor_of(answer));
    http_close(held);
    expect_health();
    parking_publish(server, "alice", "after that");
    expect_queued("alice", "after that");
    end();
}
END_TEST

/* The same with a limit of the system that polls have used up. */
START_TEST(a_child_without_descriptors_is_replaced)
{
    pid_t child;
    http *held;
    http *more[60];
    int n = 0;

    start_with(&(httpd_options){ .children = 1 });
    held = parking_poll(server, "alice");
    parking_await(server, 1);
    ck_assert_int_eq(httpd_children(server, &child, 1), 1);
    faults_limit_descriptors(f, 48);
    while (n < 60 && !http_readable(held)) {
        more[n] = http_open(server);
        http_ask(more[n], "GET", support_text("/comm/poll?device=d%d", n / 4),
                 users[n % 4], WAIT_LONG, NULL);
        n++;
    }
    ck_assert_int_eq(http_read(held)->status, 204);
    http_close(held);
    faults_limit_descriptors(f, 0);
    while (n > 0)
        http_close(more[--n]);
    wait_until(!process_alive(child), 20000);
    parking_await(server, 0);
    expect_health();
    end();
}
END_TEST

/* ---- answers ---------------------------------------------------------------------- */

/* That of the publisher, or that of the poll, whichever is written first. */
START_TEST(an_answer_that_cannot_be_written_is_not_lost)
{
    http *held[2];
    http *publisher;
    int answered;

    start_with(&(httpd_options){ .children = 1 });
    held[0] = parking_poll(server, "alice");
    held[1] = parking_poll(server, "bob");
    parking_await(server, 2);
    publisher = http_open(server);
    faults_plan(f, FAULT_WRITEV, 1, 1, _i ? ENOMEM : EPIPE);
    http_ask(publisher, "POST", "/comm/publish/orders/alice", "backend", NULL, "b");
    answered = http_try(publisher, 5000) != NULL;
    answered += http_try(held[0], 5000) != NULL;
    ck_assert_int_eq(faults_hits(f), 1);
    ck_assert_int_eq(answered, 1);
    expect_queued("alice", "b");
    parking_publish(server, "bob", "as ever");
    parking_expect(http_read(held[1]), "as ever");
    http_close(publisher);
    http_close(held[0]);
    http_close(held[1]);
    expect_health();
    end();
}
END_TEST

/* ---- doorbells, memory, threads --------------------------------------------------- */

/* Publishers of other children cannot open the doorbell: the waiter looks once a
 * second by itself.                                                          */
START_TEST(a_doorbell_that_cannot_be_rung_costs_time_only)
{
    http *held[USERS];
    int i;

    start_with(&(httpd_options){ .children = 3 });
    for (i = 0; i < USERS; i++)
        held[i] = parking_poll(server, users[i]);
    parking_await(server, USERS);
    faults_plan(f, FAULT_OPEN, 1, 1000, EMFILE);
    for (i = 0; i < USERS; i++)
        parking_publish(server, users[i], "no bell");
    for (i = 0; i < USERS; i++) {
        parking_expect(http_read(held[i]), "no bell");
        http_close(held[i]);
    }
    faults_end(f);
    expect_health();
    end();
}
END_TEST

START_TEST(a_wake_up_that_is_not_written_costs_time_only)
{
    http *held;

    start_with(&(httpd_options){ .children = 2 });
    held = parking_poll(server, "alice");
    parking_await(server, 1);
    faults_plan(f, FAULT_WRITE, 1, 1000, ENOMEM);
    parking_publish(server, "alice", "silent");
    parking_expect(http_read(held), "silent");
    http_close(held);
    faults_end(f);
    expect_health();
    end();
}
END_TEST

/* The table of parked connections grows in blocks. */
START_TEST(a_table_that_cannot_grow_answers_busy)
{
    http_answer *answer;

    start_with(&(httpd_options){ .children = 1 });
    faults_plan(f, FAULT_CALLOC, 1, 1, ENOMEM);
    answer = http_once(server, "GET", "/comm/poll", "alice", WAIT_LONG, NULL);
    ck_assert_int_eq(answer->status, 503);
    ck_assert_str_eq(support_json(answer->body, "type"), "busy");
    ck_assert_ptr_nonnull(http_header(answer, "Retry-After"));
    ck_assert_int_eq(faults_hits(f), 1);
    expect_health();
    end();
}
END_TEST

/* One message to several needs memory of its own. */
START_TEST(a_publish_without_memory_is_busy)
{
    http_answer *answer;

    start_with(&(httpd_options){ .children = 1 });
    faults_plan(f, FAULT_CALLOC, 1, 1, ENOMEM);
    answer = http_once(server, "POST", "/comm/publish/orders?to=alice&to=bob", "backend",
                       NULL, "x");
    ck_assert_int_eq(answer->status, 503);
    ck_assert_str_eq(support_json(answer->body, "type"), "busy");
    ck_assert_ptr_nonnull(http_header(answer, "Retry-After"));
    ck_assert_int_eq(faults_hits(f), 1);
    ck_assert_int_eq(httpd_log_count(server, "CS0034"), 1);
    ck_assert_int_eq(http_once(server, "GET", "/comm/poll", "alice", NULL, NULL)->status,
                     204);
    ck_assert_int_eq(http_once(server, "POST", "/comm/publish/orders?to=alice&to=bob",
                               "backend", NULL, "x")
                         ->status,
                     201);
    expect_health();
    end();
}
END_TEST

/* An event thread more is wanted while others are inside hooks. */
START_TEST(a_thread_that_cannot_be_made_loses_nothing)
{
    http *held;
    int i;

    start_with(&(httpd_options){ .children = 1 });
    held = parking_poll(server, "alice");
    parking_await(server, 1);
    faults_plan(f, FAULT_THREAD, 1, 1000, EAGAIN);
    for (i = 0; i < 20; i++)
        parking_publish(server, "bob", "x");
    parking_publish(server, "alice", "with few threads");
    parking_expect(http_read(held), "with few threads");
    http_close(held);
    faults_end(f);
    expect_health();
    end();
}
END_TEST

/* ---- locks ------------------------------------------------------------------- */

/* "dropped" once the time has passed in which who polled still counts as there. */
static int counts_as_there(const char *device)
{
    http_answer *answer =
        http_once(server, "POST", support_text("/comm/publish/orders/%s", device),
                  "backend", "TTL: 0\r\n", "now");

    ck_assert_int_eq(answer->status, 201);
    return strcmp(support_json(answer->body, "state"), "dropped") != 0;
}

#define BRIEF  "Prefer: wait=1\r\n"
#define EVENTS "Accept: text/event-stream\r\n"

/* All of them end while the lock of their queues is taken: two whose time is up,
 * two whose client leaves.                                                   */
START_TEST(who_leaves_while_the_queue_is_busy_waits_no_more)
{
    const char *const device[4] = { "alice/up", "alice/stream-up", "bob/gone",
                                    "bob/stream-gone" };
    const char *const fields[4] = { BRIEF, EVENTS, WAIT_LONG, EVENTS };
    http *held[4];
    int i;

    start_with(&(httpd_options){ .children = 1, .config = "CommServerMaxStream 1\n" });
    for (i = 0; i < 4; i++) {
        held[i] = http_open(server);
        http_ask(held[i], "GET",
                 support_text("/comm/poll?device=%s", strchr(device[i], '/') + 1),
                 i < 2 ? "alice" : "bob", fields[i], NULL);
    }
    parking_await(server, 4);
    faults_plan(f, FAULT_LOCK, 1, 1000000, ETIMEDOUT);
    http_close(held[2]);
    http_close(held[3]);
    faults_await(f, 40);
    ck_assert_ptr_null(http_try(held[0], 0));
    faults_end(f);
    ck_assert_int_eq(http_read(held[0])->status, 204);
    http_close(held[0]);
    http_close(held[1]);
    parking_await(server, 0);
    for (i = 0; i < 4; i++)
        wait_until(!counts_as_there(device[i]), 15000);
    end();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *tc = tcase_create("faults");

    support_need_httpd();
    tcase_set_timeout(tc, 90);
    tcase_add_test(tc, a_poll_that_cannot_be_watched_is_held);
    tcase_add_test(tc, requests_on_a_connection_that_is_not_watched_are_answered);
    tcase_add_test(tc, a_slow_reader_that_cannot_be_watched_gets_all);
    tcase_add_test(tc, waiting_that_fails_loses_nothing);
    tcase_add_loop_test(tc, a_child_without_an_event_loop_answers_at_intervals, 0, 3);
    tcase_add_test(tc, a_child_that_cannot_accept_hands_its_polls_over);
    tcase_add_test(tc, a_child_without_descriptors_is_replaced);
    tcase_add_loop_test(tc, an_answer_that_cannot_be_written_is_not_lost, 0, 2);
    tcase_add_test(tc, a_doorbell_that_cannot_be_rung_costs_time_only);
    tcase_add_test(tc, a_wake_up_that_is_not_written_costs_time_only);
    if (!support_sanitized()) {
        tcase_add_test(tc, a_table_that_cannot_grow_answers_busy);
        tcase_add_test(tc, a_publish_without_memory_is_busy);
    }
    tcase_add_test(tc, a_thread_that_cannot_be_made_loses_nothing);
    tcase_add_test(tc, who_leaves_while_the_queue_is_busy_waits_no_more);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
