/* SPDX-License-Identifier: Apache-2.0
 * check_csq_fetch.c - read, acknowledge, cursors, gaps, waiting.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static int readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, 0) == 1;
}

static void put_numbered(const char *client, int from, int n)
{
    char text[16];
    int i;

    for (i = from; i < from + n; i++) {
        snprintf(text, sizeof text, "%d", i);
        ck_ok(put(client, text));
    }
}

static void drop_mode(unsigned max_queue)
{
    fx.limits.max_queue = max_queue;
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
}

static apr_uint64_t gap_of(const char *app)
{
    const csq_gap *gaps;
    apr_uint32_t n;
    apr_uint32_t i;

    if (!csq_batch_gap(fx.batch, &gaps, &n))
        return 0;
    for (i = 0; i < n; i++)
        if (strcmp(gaps[i].app, app) == 0)
            return gaps[i].count;
    return 0;
}

static int has_gap(void)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    return csq_batch_gap(fx.batch, &gaps, &n);
}

static int gap_is_unknown(void)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    return csq_batch_gap(fx.batch, &gaps, &n) && n == 0;
}

/* ---- cursors ------------------------------------------------------------ */

START_TEST(reading_removes_nothing)
{
    csq_cursor first;

    put_numbered("alice", 1, 5);
    ck_ok(get("alice", NULL));
    first = cursor_now();
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 5);
    ck_status(get("alice", &first), CSQ_EMPTY);
    ck_assert_uint_eq(cursor_now().sequence, first.sequence);
    ck_assert_uint_eq(cursor_now().epoch, first.epoch);
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 5);
}
END_TEST

START_TEST(reading_on_from_a_cursor_visits_each_message_once)
{
    csq_cursor cursor;
    char text[16];
    int i;

    put_numbered("alice", 0, 100);
    ck_ok(get_max("alice", NULL, 1));
    for (i = 1; i < 100; i++) {
        cursor = cursor_now();
        ck_assert_int_eq(csq_batch_more(fx.batch), 1);
        ck_ok(get_max("alice", &cursor, 1));
        snprintf(text, sizeof text, "%d", i);
        ck_assert_str_eq(text_of(0), text);
    }
    ck_assert_int_eq(csq_batch_more(fx.batch), 0);
}
END_TEST

START_TEST(reading_starts_behind_any_cursor)
{
    csq_cursor all[60];
    int i;

    put_numbered("alice", 0, 60);
    ck_ok(get("alice", NULL));
    for (i = 0; i < 60; i++) {
        all[i] = csq_batch_get(fx.batch, (unsigned)i)->cursor;
        ck_assert_uint_eq(all[i].epoch, cursor_now().epoch);
    }
    for (i = 0; i < 60; i++) {
        int at = i * 37 % 60;

        if (at == 59) {
            ck_status(get("alice", &all[at]), CSQ_EMPTY);
            continue;
        }
        ck_ok(get("alice", &all[at]));
        ck_assert_uint_eq(csq_batch_count(fx.batch), 59u - (unsigned)at);
    }
}
END_TEST

START_TEST(acknowledging_removes_up_to_the_cursor)
{
    csq_cursor cursor;

    put_numbered("alice", 0, 10);
    ck_ok(get_max("alice", NULL, 4));
    cursor = cursor_now();
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 6);
    ck_assert_str_eq(text_of(0), "4");
    ck_assert_uint_eq(stats_now().queued, 6);
    ck_assert_uint_eq(stats_now().acknowledged, 4);
    ck_assert_int_eq(has_gap(), 0);
}
END_TEST

START_TEST(acknowledge_only_reads_nothing)
{
    csq_cursor cursor;
    csq_key key = { "realm", "alice", NULL };
    csq_fetch what = { .after = &cursor, .acknowledge = 1 };

    put_numbered("alice", 0, 3);
    ck_ok(get_max("alice", NULL, 2));
    cursor = cursor_now();
    ck_status(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch), CSQ_EMPTY);
    ck_assert_uint_eq(cursor_now().sequence, cursor.sequence);
    ck_assert_int_eq(csq_batch_more(fx.batch), 1);
    ck_assert_uint_eq(stats_now().queued, 1);
    ck_ok(get("alice", &cursor));
    ck_assert_str_eq(text_of(0), "2");
}
END_TEST

START_TEST(a_cursor_beyond_what_was_handed_out_removes_nothing)
{
    csq_cursor cursor;

    put_numbered("alice", 0, 3);
    ck_ok(get_max("alice", NULL, 1));
    cursor = cursor_now();
    cursor.sequence += 1;
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 3);
    ck_assert_int_eq(gap_is_unknown(), 1);
    ck_assert_uint_eq(stats_now().queued, 3);
}
END_TEST

START_TEST(a_cursor_of_an_unknown_epoch_gives_an_unknown_gap)
{
    csq_cursor cursor = { .epoch = 12345678, .sequence = 1 };

    ck_ok(get("nobody", &cursor));
    ck_assert_int_eq(gap_is_unknown(), 1);
    ck_assert_uint_eq(stats_now().clients, 1);
    cursor = cursor_now();
    ck_status(get("nobody", &cursor), CSQ_EMPTY);
    cursor.epoch = 12345678;
    put_numbered("alice", 0, 3);
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 3);
    ck_assert_int_eq(gap_is_unknown(), 1);
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
}
END_TEST

START_TEST(a_queue_that_was_forgotten_empty_gives_no_gap)
{
    csq_cursor cursor;

    put_numbered("alice", 0, 3);
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    cursor = cursor_now();
    fx.now += 3600 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 10000));
    ck_assert_uint_eq(stats_now().clients, 0);
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    put_numbered("alice", 3, 1);
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_int_eq(has_gap(), 0);
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    ck_assert_str_eq(text_of(0), "3");
    ck_assert_uint_ne(cursor_now().epoch, cursor.epoch);
}
END_TEST

START_TEST(peeking_changes_nothing)
{
    csq_cursor cursor;
    csq_key key = { "realm", "alice", NULL };
    csq_fetch what = { .max_messages = 10, .max_bytes = 1000, .peek = 1, .waiter = 77 };
    csq_stats before;

    ck_status(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch), CSQ_EMPTY);
    ck_assert_uint_eq(stats_now().clients, 0);
    put_numbered("alice", 0, 3);
    ck_ok(get_max("alice", NULL, 1));
    cursor = cursor_now();
    before = stats_now();
    what.after = &cursor;
    what.acknowledge = 1;
    ck_ok(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
    ck_assert_uint_eq(cursor_now().sequence, cursor.sequence);
    ck_assert_uint_eq(stats_now().queued, 3);
    ck_assert_uint_eq(stats_now().handed_out, before.handed_out);
}
END_TEST

START_TEST(a_batch_is_bounded_by_bytes_but_holds_one)
{
    csq_key key = { "realm", "alice", NULL };
    csq_fetch what = { .max_messages = 10, .max_bytes = 8 };

    ck_ok(put("alice", "1234567890"));
    ck_ok(put("alice", "12"));
    ck_ok(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    ck_assert_uint_eq(csq_batch_bytes(fx.batch), 12);
    ck_assert_int_eq(csq_batch_more(fx.batch), 1);
    what.max_bytes = 16;
    ck_ok(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
    ck_assert_int_eq(csq_batch_more(fx.batch), 0);
}
END_TEST

/* ---- gaps --------------------------------------------------------------- */

START_TEST(dropping_gives_a_gap_until_a_cursor_covers_it)
{
    csq_cursor cursor;

    drop_mode(10);
    put_numbered("alice", 0, 13);
    ck_ok(get_max("alice", NULL, 2));
    ck_assert_uint_eq(gap_of("orders"), 3);
    ck_assert_str_eq(text_of(0), "3");
    cursor = cursor_now();
    ck_ok(get_max("alice", NULL, 2));
    ck_assert_uint_eq(gap_of("orders"), 3);
    ck_ok(get_max("alice", &cursor, 2));
    ck_assert_int_eq(has_gap(), 0);
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_int_eq(has_gap(), 0);
    ck_assert_uint_eq(csq_batch_count(fx.batch), 8);
    ck_assert_uint_eq(stats_now().dropped, 3);
}
END_TEST

START_TEST(what_the_client_has_taken_over_is_no_gap)
{
    csq_cursor cursor;

    drop_mode(10);
    put_numbered("alice", 0, 10);
    ck_ok(get_max("alice", NULL, 5));
    cursor = cursor_now();
    put_numbered("alice", 10, 3);
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_int_eq(has_gap(), 0);
    ck_assert_uint_eq(csq_batch_count(fx.batch), 8);
}
END_TEST

START_TEST(handed_out_and_fresh_drops_are_told_apart)
{
    csq_cursor cursor;

    drop_mode(10);
    put_numbered("alice", 0, 10);
    ck_ok(get_max("alice", NULL, 5));
    cursor = cursor_now();
    put_numbered("alice", 10, 7);
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(gap_of("orders"), 7);
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_uint_eq(gap_of("orders"), 7);
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_assert_int_eq(has_gap(), 0);
}
END_TEST

START_TEST(a_gap_is_told_with_no_messages)
{
    csq_cursor cursor;

    drop_mode(2);
    ck_ok(put_full("a", "alice", "1", fx.now + SECOND));
    ck_ok(put_full("b", "alice", "2", fx.now + SECOND));
    ck_ok(put_full("b", "alice", "3", fx.now + SECOND));
    fx.now += 2 * SECOND;
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 0);
    ck_assert_uint_eq(gap_of("a"), 1);
    ck_assert_uint_eq(gap_of("b"), 0);
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_assert_int_eq(has_gap(), 0);
}
END_TEST

START_TEST(many_applications_make_an_unknown_gap)
{
    char app[8];
    csq_cursor cursor;
    int i;

    drop_mode(1);
    for (i = 0; i < 9; i++) {
        snprintf(app, sizeof app, "app%d", i);
        ck_ok(put_full(app, "alice", "x", fx.now + 60 * SECOND));
    }
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(gap_of("app7"), 1);
    ck_ok(put_full("app9", "alice", "x", fx.now + 60 * SECOND));
    ck_ok(get("alice", NULL));
    ck_assert_int_eq(gap_is_unknown(), 1);
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
}
END_TEST

/* ---- waiting ------------------------------------------------------------ */

START_TEST(an_append_rings_the_waiter_once)
{
    csq_slot *slot;
    apr_uint32_t numbers[8];
    int all;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    ck_status(wait_for("alice", csq_waiter_make(slot, 42), 0), CSQ_EMPTY);
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 0);
    ck_ok(put("alice", "x"));
    ck_ok(put("alice", "y"));
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 1);
    ck_assert_int_eq(hear(slot, numbers, 8, &all), 1);
    ck_assert_uint_eq(numbers[0], 42);
    ck_assert_int_eq(all, 0);
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 0);
    ck_ok(wait_for("alice", csq_waiter_make(slot, 42), 1));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
    ck_ok(put("alice", "z"));
    ck_assert_int_eq(hear(slot, numbers, 8, &all), 0);
}
END_TEST

START_TEST(who_stays_is_rung_again_without_an_empty_fetch)
{
    csq_slot *slot;
    csq_key key = { "realm", "alice", NULL };
    csq_cursor cursor = { .epoch = 0 };
    csq_fetch what = { .after = &cursor, .max_messages = 2, .max_bytes = 99, .stay = 1 };
    apr_uint32_t numbers[8];
    int all;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    what.waiter = csq_waiter_make(slot, 7);
    ck_ok(put("alice", "1"));
    ck_ok(put("alice", "2"));
    ck_ok(put("alice", "3"));
    ck_ok(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch));
    ck_assert_int_eq(csq_batch_more(fx.batch), 1);
    cursor = csq_batch_cursor(fx.batch);
    ck_ok(put("alice", "4"));
    ck_assert_int_eq(hear(slot, numbers, 8, &all), 1);
    what.resume = 1;
    ck_ok(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch));
    ck_assert_int_eq(csq_batch_more(fx.batch), 0);
    cursor = csq_batch_cursor(fx.batch);
    ck_ok(put("alice", "5"));
    ck_assert_int_eq(hear(slot, numbers, 8, &all), 1);
    ck_assert_uint_eq(numbers[0], 7);
    ck_ok(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch));
    ck_assert_str_eq(text_of(0), "5");
}
END_TEST

START_TEST(a_newer_waiter_replaces_and_rings_the_older)
{
    csq_slot *slot;
    csq_key key = { "realm", "alice", NULL };
    apr_uint32_t numbers[8];
    csq_waiter one;
    csq_waiter two;
    int all;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    one = csq_waiter_make(slot, 1);
    two = csq_waiter_make(slot, 2);
    ck_status(wait_for("alice", one, 0), CSQ_EMPTY);
    ck_status(wait_for("alice", two, 0), CSQ_EMPTY);
    ck_assert_int_eq(hear(slot, numbers, 8, &all), 1);
    ck_assert_uint_eq(numbers[0], 1);
    ck_status(wait_for("alice", one, 1), CSQ_REPLACED);
    ck_status(csq_waiter_remove(fx.q, &key, one), CSQ_REPLACED);
    ck_ok(put("alice", "x"));
    ck_status(wait_for("alice", one, 1), CSQ_REPLACED);
    ck_assert_int_eq(hear(slot, numbers, 8, &all), 1);
    ck_assert_uint_eq(numbers[0], 2);
    ck_ok(wait_for("alice", two, 1));
    ck_ok(csq_waiter_remove(fx.q, &key, two));
}
END_TEST

START_TEST(a_waiter_that_left_is_not_rung)
{
    csq_slot *slot;
    csq_key key = { "realm", "alice", NULL };
    apr_uint32_t numbers[8];
    csq_client_info info;
    int all;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    ck_status(wait_for("alice", csq_waiter_make(slot, 1), 0), CSQ_EMPTY);
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_int_eq(info.waiting, 1);
    ck_ok(csq_waiter_remove(fx.q, &key, csq_waiter_make(slot, 1)));
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_int_eq(info.waiting, 0);
    ck_ok(put("alice", "x"));
    ck_assert_int_eq(hear(slot, numbers, 8, &all), 0);
    ck_assert_int_eq(all, 0);
}
END_TEST

START_TEST(a_poll_that_is_not_held_disturbs_nobody)
{
    csq_slot *slot;
    csq_waiter one;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    one = csq_waiter_make(slot, 1);
    ck_status(wait_for("alice", one, 0), CSQ_EMPTY);
    ck_status(get("alice", NULL), CSQ_EMPTY);
    ck_status(wait_for("alice", one, 1), CSQ_EMPTY);
    ck_ok(put("alice", "x"));
    ck_ok(wait_for("alice", csq_waiter_make(slot, 2), 0));
    ck_ok(wait_for("alice", one, 1));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_fetch");
    TCase *tc = tcase_create("fetch");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, reading_removes_nothing);
    tcase_add_test(tc, reading_on_from_a_cursor_visits_each_message_once);
    tcase_add_test(tc, reading_starts_behind_any_cursor);
    tcase_add_test(tc, acknowledging_removes_up_to_the_cursor);
    tcase_add_test(tc, acknowledge_only_reads_nothing);
    tcase_add_test(tc, a_cursor_beyond_what_was_handed_out_removes_nothing);
    tcase_add_test(tc, a_cursor_of_an_unknown_epoch_gives_an_unknown_gap);
    tcase_add_test(tc, a_queue_that_was_forgotten_empty_gives_no_gap);
    tcase_add_test(tc, peeking_changes_nothing);
    tcase_add_test(tc, a_batch_is_bounded_by_bytes_but_holds_one);
    tcase_add_test(tc, dropping_gives_a_gap_until_a_cursor_covers_it);
    tcase_add_test(tc, what_the_client_has_taken_over_is_no_gap);
    tcase_add_test(tc, handed_out_and_fresh_drops_are_told_apart);
    tcase_add_test(tc, a_gap_is_told_with_no_messages);
    tcase_add_test(tc, many_applications_make_an_unknown_gap);
    tcase_add_test(tc, an_append_rings_the_waiter_once);
    tcase_add_test(tc, who_stays_is_rung_again_without_an_empty_fetch);
    tcase_add_test(tc, a_newer_waiter_replaces_and_rings_the_older);
    tcase_add_test(tc, a_waiter_that_left_is_not_rung);
    tcase_add_test(tc, a_poll_that_is_not_held_disturbs_nobody);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
