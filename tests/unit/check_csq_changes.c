/* SPDX-License-Identifier: Apache-2.0
 * check_csq_changes.c - what was passed over, and each change of a message,
 * as its sender sees them.
 */
#include "csq_fixture.h"

#include <stdlib.h>
#include <string.h>

static csq_message_key asked;
static csq_message_info info;

static apr_status_t publish(const char *device, csq_urgency urgency, int receipt)
{
    csq_key key = { "realm", "alice", device };
    csq_message message = { .realm = "realm",
                            .app = "orders",
                            .sender = "tester",
                            .urgency = urgency,
                            .encoding = CSQ_TEXT,
                            .time = fx.now,
                            .expires = fx.now + 3600 * SECOND,
                            .data = "\"x\"",
                            .len = 3,
                            .receipt = receipt != 0 };
    csq_appended appended;
    apr_status_t rv = csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended);

    asked = (csq_message_key){ "realm", "orders", NULL, { 0 } };
    memcpy(asked.id, appended.id, CSQ_ID_BYTES);
    return rv;
}

static apr_status_t fetch(const char *device, csq_urgency urgency,
                          const csq_cursor *after)
{
    csq_key key = { "realm", "alice", device };
    csq_fetch what = { .after = after,
                       .max_messages = 100,
                       .max_bytes = 1 << 20,
                       .urgency = urgency,
                       .acknowledge = after != NULL };

    return csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch);
}

static void expect(csq_state state, int handed)
{
    ck_ok(csq_message_get(fx.q, &asked, 0, NULL, &info));
    ck_assert_int_eq(info.state, state);
    ck_assert_int_eq(info.handed, handed);
}

/* The next must differ from it. */
static void expect_change(apr_uint32_t *changes)
{
    ck_assert_uint_ne(info.changes, *changes);
    *changes = info.changes;
}

START_TEST(each_change_is_seen_with_and_without_a_receipt)
{
    apr_uint32_t changes;
    csq_cursor cursor;

    ck_ok(publish(NULL, CSQ_NORMAL, _i));
    expect(CSQ_STATE_QUEUED, 0);
    changes = info.changes;
    ck_ok(fetch(NULL, CSQ_VERY_LOW, NULL));
    expect(CSQ_STATE_HANDED_OUT, 1);
    expect_change(&changes);
    ck_ok(fetch(NULL, CSQ_VERY_LOW, NULL));
    expect(CSQ_STATE_HANDED_OUT, 1);
    ck_assert_uint_eq(info.changes, changes);
    cursor = cursor_now();
    ck_status(fetch(NULL, CSQ_VERY_LOW, &cursor), CSQ_EMPTY);
    expect(CSQ_STATE_RECEIVED, 1);
    expect_change(&changes);
    ck_ok(csq_message_acknowledged(fx.q, "realm",
                                   (const unsigned char(*)[CSQ_ID_BYTES]) & asked.id, 1));
    expect(_i ? CSQ_STATE_ACKNOWLEDGED : CSQ_STATE_RECEIVED, 1);
}
END_TEST

START_TEST(who_waits_is_rung_at_each_change_and_knows_it_by_its_number)
{
    csq_slot *slot;
    apr_uint32_t number = 0, changes;
    csq_waiter waiter, other;
    int all;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    waiter = csq_waiter_make(slot, 7);
    other = csq_waiter_make(slot, 8);
    ck_status(fetch("one", CSQ_VERY_LOW, NULL), CSQ_EMPTY);
    ck_status(fetch("two", CSQ_VERY_LOW, NULL), CSQ_EMPTY);
    ck_ok(publish(NULL, CSQ_NORMAL, 0));
    ck_ok(fetch("one", CSQ_VERY_LOW, NULL));
    expect(CSQ_STATE_QUEUED, 1);
    ck_assert_uint_eq(info.queues, 2);
    changes = info.changes;
    /* It did not change: waiting makes a receipt, and the number stays. */
    ck_ok(csq_message_get(fx.q, &asked, waiter, &changes, &info));
    ck_assert_int_eq(info.waiting, 1);
    ck_ok(csq_message_get(fx.q, &asked, other, &changes, &info));
    ck_assert_int_eq(info.waiting, 1);
    ck_assert_uint_eq(info.changes, changes);
    ck_assert_int_eq(hear(slot, &number, 1, &all), 1);
    ck_assert_uint_eq(number, 7);
    ck_status(csq_message_unwait(fx.q, &asked, waiter), CSQ_REPLACED);
    ck_ok(fetch("two", CSQ_VERY_LOW, NULL));
    ck_assert_int_eq(hear(slot, &number, 1, &all), 1);
    ck_assert_uint_eq(number, 8);
    expect(CSQ_STATE_HANDED_OUT, 1);
    ck_assert_uint_ne(info.changes, changes);
    ck_ok(csq_message_get(fx.q, &asked, other, &changes, &info));
    ck_assert_int_eq(info.waiting, 0);
    ck_ok(csq_message_unwait(fx.q, &asked, other));
}
END_TEST

START_TEST(what_was_passed_over_was_not_handed_out)
{
    csq_message_key low;
    csq_cursor cursor;

    ck_ok(publish(NULL, CSQ_LOW, _i));
    low = asked;
    ck_ok(publish(NULL, CSQ_HIGH, _i));
    ck_ok(fetch(NULL, CSQ_HIGH, NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    cursor = cursor_now();
    expect(CSQ_STATE_HANDED_OUT, 1);
    asked = low;
    expect(CSQ_STATE_QUEUED, 0);
    ck_ok(fetch(NULL, CSQ_VERY_LOW, &cursor));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    expect(CSQ_STATE_HANDED_OUT, 1);
    cursor = cursor_now();
    ck_status(fetch(NULL, CSQ_VERY_LOW, &cursor), CSQ_EMPTY);
    expect(CSQ_STATE_RECEIVED, 1);
}
END_TEST

START_TEST(what_was_passed_over_and_taken_back_was_never_handed_out)
{
    csq_message_key low;

    ck_ok(publish(NULL, CSQ_LOW, _i));
    low = asked;
    ck_ok(publish(NULL, CSQ_HIGH, 0));
    ck_ok(fetch(NULL, CSQ_HIGH, NULL));
    asked = low;
    ck_ok(csq_message_withdraw(fx.q, &asked, &info));
    ck_assert_int_eq(info.handed, 0);
    ck_assert_int_eq(info.state, CSQ_STATE_WITHDRAWN);
    expect(CSQ_STATE_WITHDRAWN, 0);
    ck_status(csq_message_withdraw(fx.q, &asked, &info), CSQ_FINISHED);
}
END_TEST

START_TEST(what_was_passed_over_and_dropped_is_a_gap)
{
    csq_limits limits = fx.limits;
    const csq_gap *gaps;
    apr_uint32_t n;
    csq_cursor cursor;

    limits.max_queue = 2;
    limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &limits));
    ck_ok(publish(NULL, CSQ_LOW, 0));
    ck_ok(publish(NULL, CSQ_HIGH, 0));
    ck_ok(fetch(NULL, CSQ_HIGH, NULL));
    cursor = cursor_now();
    ck_ok(publish(NULL, CSQ_LOW, 0));
    fixture_audit();
    ck_ok(fetch(NULL, CSQ_VERY_LOW, &cursor));
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 1);
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(gaps[0].count, 1);
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    cursor = cursor_now();
    ck_status(fetch(NULL, CSQ_VERY_LOW, &cursor), CSQ_EMPTY);
}
END_TEST

START_TEST(one_device_too_many_is_refused_also_if_it_does_not_wait)
{
    csq_limits limits = fx.limits;

    limits.max_devices = 2;
    ck_ok(csq_limits_set(fx.q, &limits));
    ck_status(fetch("one", CSQ_VERY_LOW, NULL), CSQ_EMPTY);
    ck_status(fetch(NULL, CSQ_VERY_LOW, NULL), CSQ_EMPTY);
    ck_status(fetch("three", CSQ_VERY_LOW, NULL), CSQ_DEVICES_FULL);
    ck_status(fetch("one", CSQ_VERY_LOW, NULL), CSQ_EMPTY);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_changes");
    TCase *tc = tcase_create("csq_changes");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_loop_test(tc, each_change_is_seen_with_and_without_a_receipt, 0, 2);
    tcase_add_test(tc, who_waits_is_rung_at_each_change_and_knows_it_by_its_number);
    tcase_add_loop_test(tc, what_was_passed_over_was_not_handed_out, 0, 2);
    tcase_add_loop_test(tc, what_was_passed_over_and_taken_back_was_never_handed_out, 0,
                        2);
    tcase_add_test(tc, what_was_passed_over_and_dropped_is_a_gap);
    tcase_add_test(tc, one_device_too_many_is_refused_also_if_it_does_not_wait);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
