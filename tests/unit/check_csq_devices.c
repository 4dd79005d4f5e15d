/* SPDX-License-Identifier: Apache-2.0
 * check_csq_devices.c - several devices of one client, each with its queue.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static apr_status_t say(const char *text, const char *device)
{
    csq_message message = message_of(text);

    return append(&message, "alice", device);
}

static const char *heard(const char *device)
{
    read_as("alice", device, NULL, CSQ_VERY_LOW, 100);
    return texts();
}

static void meet(const char *device)
{
    ck_status(read_as("alice", device, NULL, CSQ_VERY_LOW, 100), CSQ_EMPTY);
}

START_TEST(each_known_device_gets_a_copy_that_is_stored_once)
{
    meet("desk");
    meet("phone");
    ck_ok(say("one", NULL));
    ck_assert_uint_eq(fx.appended.queues, 2);
    ck_assert_uint_eq(fx.appended.receivers, 1);
    ck_assert_uint_eq(stats_now().bytes, 5);
    ck_assert_uint_eq(stats_now().queued, 2);
    ck_assert_uint_eq(stats_now().clients, 1);
    ck_assert_str_eq(heard("desk"), "one");
    ck_assert_str_eq(heard("phone"), "one");
    ck_assert_str_eq(heard(NULL), "");
}
END_TEST

START_TEST(what_waits_goes_to_the_first_device)
{
    csq_cursor cursor;

    ck_ok(say("one", NULL));
    ck_ok(say("two", NULL));
    ck_assert_str_eq(heard("desk"), "one two");
    cursor = cursor_now();
    ck_assert_str_eq(heard("phone"), "");
    ck_ok(say("three", NULL));
    ck_ok(read_as("alice", "desk", &cursor, CSQ_VERY_LOW, 10));
    ck_assert_str_eq(texts(), "three");
    ck_assert_str_eq(heard("phone"), "three");
}
END_TEST

START_TEST(a_device_that_was_named_before_it_polled_loses_nothing)
{
    ck_ok(say("one", "desk"));
    ck_ok(say("two", NULL));
    ck_ok(say("three", "desk"));
    ck_assert_uint_eq(stats_now().queued, 3);
    ck_assert_str_eq(heard("desk"), "one three two");
    ck_assert_str_eq(heard("desk"), "one three two");
    ck_assert_uint_eq(stats_now().queued, 3);
    ck_assert_str_eq(heard("phone"), "");
}
END_TEST

START_TEST(a_named_device_does_not_take_what_waits)
{
    ck_ok(say("one", "typo"));
    ck_ok(say("two", NULL));
    ck_assert_str_eq(heard("desk"), "two");
    ck_ok(say("three", NULL));
    ck_assert_str_eq(heard("desk"), "two three");
    ck_assert_str_eq(heard("typo"), "one");
}
END_TEST

START_TEST(the_device_without_a_name_is_one_like_others)
{
    meet(NULL);
    meet("desk");
    ck_ok(say("one", NULL));
    ck_assert_str_eq(heard(NULL), "one");
    ck_assert_str_eq(heard("desk"), "one");
    ck_ok(say("two", "desk"));
    ck_assert_str_eq(heard(NULL), "one");
    ck_assert_str_eq(heard("desk"), "one two");
}
END_TEST

START_TEST(a_receiver_named_twice_counts_once)
{
    csq_message message = message_of("one");
    csq_key keys[4] = { { "realm", "alice", NULL },
                        { "realm", "alice", "desk" },
                        { "realm", "bob", "new" },
                        { "realm", "bob", NULL } };

    meet("desk");
    meet("phone");
    ck_ok(csq_append(fx.q, &message, keys, 4, fx.now, NULL, &fx.appended));
    ck_assert_str_eq(heard("desk"), "one");
    ck_assert_str_eq(heard("phone"), "one");
    ck_assert_uint_eq(fx.appended.queues, 4);
    ck_ok(read_as("bob", "new", NULL, CSQ_VERY_LOW, 10));
    ck_assert_uint_ge(csq_batch_count(fx.batch), 1);
}
END_TEST

START_TEST(devices_are_limited)
{
    char name[16];
    int i;

    for (i = 0; i < 16; i++) {
        snprintf(name, sizeof name, "d%d", i);
        meet(name);
    }
    ck_status(say("one", "more"), CSQ_DEVICES_FULL);
    ck_status(wait_for("alice", 0, 0), CSQ_DEVICES_FULL);
    ck_ok(say("one", NULL));
    ck_assert_uint_eq(fx.appended.queues, 16);
    fixture_audit();
}
END_TEST

START_TEST(a_device_that_is_full_never_refuses)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    fx.limits.max_queue = 2;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    meet("desk");
    ck_ok(say("1", NULL));
    ck_ok(say("2", NULL));
    ck_status(say("3", NULL), CSQ_QUEUE_FULL);
    meet("phone");
    ck_ok(say("3", NULL));
    ck_assert_str_eq(heard("desk"), "2 3");
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 1);
    ck_assert_uint_eq(n, 1);
    ck_assert_str_eq(gaps[0].app, "orders");
    ck_assert_str_eq(heard("phone"), "3");
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 0);
}
END_TEST

START_TEST(a_device_that_stays_away_goes_and_is_told_when_it_comes_back)
{
    const csq_gap *gaps;
    apr_uint32_t n;
    int i;

    fx.limits.device_expiry = 1000;
    fx.limits.client_expiry = 10;
    fx.limits.max_ttl = 86400;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    meet("desk");
    meet("phone");
    for (i = 0; i < 30; i++) {
        fx.now += 50 * SECOND;
        read_as("alice", "desk", NULL, CSQ_VERY_LOW, 10);
        ck_ok(csq_expire(fx.q, fx.now, 100000));
        if (i == 10)
            ck_ok(say("one", NULL));
    }
    ck_ok(say("two", NULL));
    ck_assert_uint_eq(fx.appended.queues, 1);
    ck_assert_str_eq(heard("phone"), "");
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 1);
    ck_ok(say("three", NULL));
    ck_assert_uint_eq(fx.appended.queues, 2);
    ck_assert_str_eq(heard("desk"), "one two three");
}
END_TEST

START_TEST(a_full_segment_can_still_be_emptied)
{
    int sent = 0;

    fx.limits.max_queue = 100000;
    fx.limits.max_queue_bytes = 1 << 30;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    while (say("a text that takes some room in the segment, until none is left", NULL)
           == APR_SUCCESS)
        sent++;
    ck_assert_int_gt(sent, 1000);
    read_as("alice", "desk", NULL, CSQ_VERY_LOW, 100000);
    ck_assert_int_eq((int)csq_batch_count(fx.batch), sent);
    meet("phone");
}
END_TEST

START_TEST(a_client_that_only_polls_is_forgotten_sooner)
{
    fx.limits.client_expiry = 10;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    meet(NULL);
    ck_assert_uint_eq(stats_now().clients, 1);
    fx.now += 60 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 100000));
    ck_assert_uint_eq(stats_now().clients, 0);
}
END_TEST

START_TEST(a_device_that_is_not_known_has_no_state)
{
    csq_key key = { "realm", "alice", "phone" };
    csq_client_info info;

    meet("desk");
    ck_status(csq_client_info_get(fx.q, &key, &info), CSQ_EMPTY);
    ck_assert_uint_eq(info.queued, 0);
    ck_ok(say("one", "phone"));
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_uint_eq(info.queued, 1);
    key.device = NULL;
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_uint_eq(info.queued, 1);
    ck_assert_uint_eq(info.devices, 1);
}
END_TEST

/* What waited while it was away was dropped, and the rest has expired. */
START_TEST(a_device_that_comes_back_is_told_what_others_missed)
{
    csq_message message = message_of("1");
    const csq_gap *gaps;
    csq_cursor cursor;
    apr_uint32_t n;

    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    fx.limits.max_queue = 1;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_status(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    ck_ok(append(&message, "alice", NULL));
    ck_ok(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10));
    cursor = cursor_now();
    ck_status(read_as("alice", "phone", &cursor, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    fx.now += (fx.limits.device_expiry + 1) * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 100000));
    message = message_of("2");
    message.expires = fx.now + 10 * SECOND;
    ck_ok(append(&message, "alice", NULL));
    ck_ok(append(&message, "alice", NULL));
    fx.now += 20 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 100000));
    ck_ok(read_as("alice", "phone", &cursor, CSQ_VERY_LOW, 10));
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 1);
    cursor = cursor_now();
    ck_status(read_as("alice", "phone", &cursor, CSQ_VERY_LOW, 10), CSQ_EMPTY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_devices");
    TCase *tc = tcase_create("devices");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, each_known_device_gets_a_copy_that_is_stored_once);
    tcase_add_test(tc, what_waits_goes_to_the_first_device);
    tcase_add_test(tc, a_device_that_was_named_before_it_polled_loses_nothing);
    tcase_add_test(tc, a_named_device_does_not_take_what_waits);
    tcase_add_test(tc, the_device_without_a_name_is_one_like_others);
    tcase_add_test(tc, a_receiver_named_twice_counts_once);
    tcase_add_test(tc, devices_are_limited);
    tcase_add_test(tc, a_device_that_is_full_never_refuses);
    tcase_add_test(tc, a_device_that_stays_away_goes_and_is_told_when_it_comes_back);
    tcase_add_test(tc, a_device_that_comes_back_is_told_what_others_missed);
    tcase_add_test(tc, a_device_that_is_not_known_has_no_state);
    tcase_add_test(tc, a_full_segment_can_still_be_emptied);
    tcase_add_test(tc, a_client_that_only_polls_is_forgotten_sooner);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
