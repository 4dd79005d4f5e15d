/* SPDX-License-Identifier: Apache-2.0
 * check_cc_link.c - when connections are made anew, with given clocks, and what
 * the kernel tells, in a network of the test's own.
 */
#include "cc_link.h"
#include "support/support.h"

#include <event2/event.h>
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define S 1000

/* ---- when ---------------------------------------------------------------- */

static cc_wake wake;

static void set_up(void)
{
    cc_wake_init(&wake, 100 * S, 90 * S);
}

/* `slept` in all since the beginning. */
static cc_wake_reason look(int64_t boottime, int64_t slept)
{
    return cc_wake_look(&wake, boottime, boottime - 10 * S - slept);
}

START_TEST(nothing_happens_while_nothing_happens)
{
    int64_t now;

    for (now = 100 * S; now < 1000 * S; now += S)
        ck_assert_int_eq(look(now, 0), CC_WAKE_NOTHING);
}
END_TEST

START_TEST(a_sleep_is_told_once)
{
    ck_assert_int_eq(look(101 * S, 0), CC_WAKE_NOTHING);
    ck_assert_int_eq(look(500 * S, 398 * S), CC_WAKE_SLEPT);
    ck_assert_int_eq(look(501 * S, 398 * S), CC_WAKE_NOTHING);
    ck_assert_int_eq(look(900 * S, 398 * S), CC_WAKE_NOTHING);
}
END_TEST

START_TEST(a_nap_is_none)
{
    ck_assert_int_eq(look(103 * S, CC_WAKE_SLEEP - 1), CC_WAKE_NOTHING);
    ck_assert_int_eq(look(106 * S, 2 * CC_WAKE_SLEEP - 2), CC_WAKE_NOTHING);
    ck_assert_int_eq(look(109 * S, 3 * CC_WAKE_SLEEP - 2), CC_WAKE_SLEPT);
}
END_TEST

START_TEST(a_change_is_told_a_second_later)
{
    cc_wake_note_change(&wake, 200 * S);
    ck_assert_int_eq(look(200 * S + 500, 0), CC_WAKE_NOTHING);
    cc_wake_note_change(&wake, 200 * S + 900);
    ck_assert_int_eq(look(201 * S, 0), CC_WAKE_CHANGED);
    ck_assert_int_eq(look(202 * S, 0), CC_WAKE_NOTHING);
}
END_TEST

START_TEST(no_two_are_told_within_seconds)
{
    int64_t now;
    int told = 0;

    for (now = 200 * S; now < 300 * S; now += S) {
        cc_wake_note_change(&wake, now);
        told += look(now, 0) != CC_WAKE_NOTHING;
    }
    ck_assert_int_ge(told, 15);
    ck_assert_int_le(told, 20);
    ck_assert_int_eq(look(400 * S, 50 * S), CC_WAKE_SLEPT);
    ck_assert_int_eq(look(402 * S, 60 * S), CC_WAKE_NOTHING);
    ck_assert_int_eq(look(405 * S, 60 * S), CC_WAKE_SLEPT);
}
END_TEST

/* ---- what the kernel tells ----------------------------------------------- */

static int changes;

static void count_change(void *baton)
{
    ck_assert_ptr_eq(baton, &changes);
    changes++;
}

/* 0: this user may not. */
static int enter_own_network(void)
{
    if (unshare(CLONE_NEWNET) == 0)
        return 1;
    fprintf(stderr, "skipped: no network of its own: %s\n", strerror(errno));
    return 0;
}

static void change_interface(const char *name, unsigned long request, const char *address)
{
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq change;
    struct sockaddr_in *in = (struct sockaddr_in *)&change.ifr_addr;

    memset(&change, 0, sizeof(change));
    snprintf(change.ifr_name, sizeof(change.ifr_name), "%s", name);
    if (request == SIOCSIFFLAGS) {
        change.ifr_flags = IFF_UP | IFF_RUNNING;
    }
    else {
        in->sin_family = AF_INET;
        inet_pton(AF_INET, address, &in->sin_addr);
    }
    ck_assert_int_eq(ioctl(descriptor, request, &change), 0);
    close(descriptor);
}

static void turn_until(struct event_base *base, int count)
{
    long long end = process_now_ms() + process_scale(10000);

    while (changes < count && process_now_ms() < end) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        process_pause();
    }
    ck_assert_int_ge(changes, count);
}

START_TEST(a_new_address_is_told)
{
    struct event_base *base;
    cc_link *link;

    if (!enter_own_network())
        return;
    base = event_base_new();
    link = cc_link_open(base, count_change, &changes);
    ck_assert_ptr_nonnull(link);
    changes = 0;
    event_base_loop(base, EVLOOP_NONBLOCK);
    ck_assert_int_eq(changes, 0);
    change_interface("lo", SIOCSIFFLAGS, NULL);
    turn_until(base, 1);
    event_base_loop(base, EVLOOP_NONBLOCK);
    changes = 0;
    change_interface("lo:1", SIOCSIFADDR, "10.77.0.1");
    turn_until(base, 1);
    cc_link_close(link);
    event_base_free(base);
}
END_TEST

START_TEST(it_knows_where_a_connection_would_go_from)
{
    if (!enter_own_network())
        return;
    ck_assert(!cc_link_is_moved("10.77.0.1", "10.77.0.9"));
    change_interface("lo", SIOCSIFFLAGS, NULL);
    change_interface("lo:1", SIOCSIFADDR, "10.77.0.1");
    change_interface("lo:1", SIOCSIFNETMASK, "255.255.255.0");
    ck_assert(!cc_link_is_moved("127.0.0.1", "127.0.0.1"));
    ck_assert(!cc_link_is_moved("10.77.0.1", "10.77.0.9"));
    ck_assert(cc_link_is_moved("10.77.0.2", "10.77.0.9"));
    ck_assert(cc_link_is_moved("192.168.1.1", "10.77.0.9"));
    ck_assert(!cc_link_is_moved("192.168.1.1", "192.168.9.9"));
    ck_assert(!cc_link_is_moved("::1", "::1"));
}
END_TEST

START_TEST(what_is_no_address_has_not_moved)
{
    ck_assert(!cc_link_is_moved("", ""));
    ck_assert(!cc_link_is_moved("x", "127.0.0.1"));
    ck_assert(!cc_link_is_moved("127.0.0.1", "localhost"));
    ck_assert(!cc_link_is_moved("fe80::1", "fe80::2"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_link");
    TCase *c = tcase_create("wake");
    TCase *network = tcase_create("network");

    tcase_add_checked_fixture(c, set_up, NULL);
    tcase_add_test(c, nothing_happens_while_nothing_happens);
    tcase_add_test(c, a_sleep_is_told_once);
    tcase_add_test(c, a_nap_is_none);
    tcase_add_test(c, a_change_is_told_a_second_later);
    tcase_add_test(c, no_two_are_told_within_seconds);
    suite_add_tcase(s, c);
    tcase_add_test(network, a_new_address_is_told);
    tcase_add_test(network, it_knows_where_a_connection_would_go_from);
    tcase_add_test(network, what_is_no_address_has_not_moved);
    suite_add_tcase(s, network);
    return support_run(s);
}
