/* SPDX-License-Identifier: Apache-2.0
 * check_vanished.c - clients whose machine loses its network: no end of the
 * connection is heard, and what the server sends is never acknowledged. It lets
 * go of them in time, and what they did not take is there for who comes next.
 */
#include "parking.h"

#define EVENTS "Accept: text/event-stream\r\n"

static httpd *server;

static void setup(void)
{
    server =
        httpd_start(&(httpd_options){ .children = 1, .tls = 1, .config = "Timeout 2\n" });
}

static void teardown(void)
{
    httpd_end(server);
}

static http *hold(int tls, const char *fields)
{
    http *c = tls ? http_open_tls(server) : http_open(server);

    http_ask(c, "GET", "/comm/poll", "alice", fields, NULL);
    parking_await(server, 1);
    return c;
}

static void expect_queued(const char *text)
{
    parking_expect(http_once(server, "GET", "/comm/poll", "alice", NULL, NULL), text);
}

/* Long before the kernel gives up, which takes a quarter of an hour. */
START_TEST(a_reader_of_events_that_vanishes_is_let_go_after_timeout)
{
    http *c = hold(_i, EVENTS);

    http_await(c, "retry:");
    http_vanish(c);
    parking_publish(server, "alice", "unheard");
    parking_await(server, 0);
    expect_queued("unheard");
    http_close(c);
}
END_TEST

/* One that takes what it is sent may be silent for as long as it likes. */
START_TEST(a_reader_of_events_that_is_there_stays)
{
    http *c = hold(_i, EVENTS);
    http *other = http_open(server);

    parking_publish(server, "alice", "heard");
    http_await(c, "heard");
    /* As long as another takes to be given up. */
    http_ask(other, "GET", "/comm/poll", "bob", EVENTS, NULL);
    http_await(other, "retry:");
    http_vanish(other);
    parking_publish(server, "bob", "unheard");
    parking_await(server, 1);
    parking_publish(server, "alice", "heard again");
    http_await(c, "heard again");
    http_close(other);
    http_close(c);
}
END_TEST

START_TEST(a_poll_whose_client_vanished_loses_nothing)
{
    http *c = hold(_i, WAIT_LONG);

    http_vanish(c);
    parking_publish(server, "alice", "unheard");
    parking_await(server, 0);
    expect_queued("unheard");
    http_close(c);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("vanished");
    TCase *tc = tcase_create("vanished");

    support_need_httpd();
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_reader_of_events_that_vanishes_is_let_go_after_timeout, 0,
                        2);
    tcase_add_loop_test(tc, a_reader_of_events_that_is_there_stays, 0, 2);
    tcase_add_loop_test(tc, a_poll_whose_client_vanished_loses_nothing, 0, 2);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
