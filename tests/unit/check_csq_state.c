/* SPDX-License-Identifier: Apache-2.0
 * check_csq_state.c - save all that a segment holds, start again from it:
 * everything is there, in segments of any size, once.
 */
#include "cs_compat.h"
#include "csq_state.h"
#include "csq_saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- whole ---------------------------------------------------------------- */

START_TEST(everything_is_there_after_stop_and_start)
{
    csq_stats before, after;
    int round;

    state_fill();
    for (round = 0; round < 3; round++) {
        state_expect_everything();
        before = stats_now();
        state_stop();
        state_start();
        state_expect_restored();
        after = stats_now();
        ck_assert_uint_eq(after.clients, before.clients);
        ck_assert_uint_eq(state_outcome.clients, before.clients);
        ck_assert_uint_eq(after.queued, before.queued);
        ck_assert_uint_eq(state_outcome.messages, before.queued);
        ck_assert_uint_eq(after.bytes, before.bytes);
        ck_assert_uint_eq(after.segment_used, before.segment_used);
        ck_assert_uint_eq(after.published, before.published);
        ck_assert_uint_eq(after.acknowledged, before.acknowledged);
        ck_assert_uint_eq(after.dropped, before.dropped);
        ck_assert_uint_eq(after.counters[5], 77);
    }
    state_expect_everything();
    state_expect_receipts();
    state_expect_groups();
}
END_TEST

START_TEST(a_topic_is_replaced_across_stop_and_start)
{
    csq_key key = { "realm", "alice", NULL };

    state_fill();
    state_stop();
    state_start();
    state_publish(&(csq_message){ .data = "\"two\"", .topic = "t1" }, &key, 1, NULL);
    ck_ok(state_fetch("alice", "laptop", NULL, 10, 1));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
    ck_assert_str_eq(text_of(1), "two");
}
END_TEST

START_TEST(a_cursor_of_a_queue_that_was_forgotten_stays_genuine)
{
    csq_cursor cursor;

    ck_ok(put("alice", "x"));
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    fx.now += 2 * 600 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 100000));
    ck_assert_uint_eq(stats_now().clients, 0);
    state_stop();
    state_start();
    ck_ok(put("alice", "y"));
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_int_eq(state_has_gap(), 0);
}
END_TEST

/* Handed out after it had been passed over, and dropped: it is missing to who
 * comes back with the cursor of before.                                       */
START_TEST(what_was_behind_is_still_missed_when_dropped)
{
    static const csq_urgency urgencies[] = { CSQ_LOW, CSQ_HIGH, CSQ_HIGH, CSQ_HIGH };
    csq_message message = message_of("x");
    csq_cursor cursor = { .epoch = 0 };
    int i;

    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    fx.limits.max_queue = 2;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    for (i = 0; i < 4; i++) {
        message.urgency = urgencies[i];
        if (i == 2) {
            ck_ok(read_as("alice", NULL, NULL, CSQ_HIGH, 10));
            cursor = cursor_now();
            ck_ok(read_as("alice", NULL, &cursor, CSQ_VERY_LOW, 10));
            ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
            state_stop();
            state_start();
        }
        ck_ok(append(&message, "alice", NULL));
    }
    ck_ok(read_as("alice", NULL, &cursor, CSQ_VERY_LOW, 10));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
    ck_assert_int_eq(state_has_gap(), 1);
}
END_TEST

START_TEST(the_file_is_private_and_goes)
{
    struct stat info;

    ck_ok(put("alice", "x"));
    state_stop();
    ck_assert_int_eq(stat(state_path(""), &info), 0);
    ck_assert_uint_eq(info.st_mode, S_IFREG | 0600);
    ck_assert_int_eq(state_there(state_path(".new")), 0);
    state_start();
    state_expect_restored();
    state_stop();
}
END_TEST

START_TEST(what_has_expired_meanwhile_expires)
{
    ck_ok(put_full("orders", "alice", "short", fx.now + SECOND));
    ck_ok(put("alice", "long"));
    state_stop();
    state_start();
    ck_ok(csq_expire(fx.q, fx.now + 10 * SECOND, 1000));
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    ck_assert_str_eq(text_of(0), "long");
}
END_TEST

START_TEST(who_asks_after_the_save_is_told)
{
    ck_ok(csq_save(fx.q, state_path("")));
    ck_status(put("alice", "x"), CSQ_CLOSED);
}
END_TEST

START_TEST(a_larger_segment_takes_it)
{
    state_fill();
    state_stop();
    ck_ok(state_try_start(4 * FIXTURE_SIZE, 2 * FIXTURE_SLOTS));
    fixture_audit();
    state_expect_restored();
    ck_assert_uint_eq(state_outcome.size, 4 * FIXTURE_SIZE);
    ck_assert_uint_eq(state_outcome.slots, 2 * FIXTURE_SLOTS);
    state_expect_everything();
    state_expect_groups();
}
END_TEST

START_TEST(a_smaller_segment_takes_what_fits)
{
    state_fill();
    state_stop();
    ck_ok(state_try_start(FIXTURE_SIZE / 2, FIXTURE_SLOTS));
    fixture_audit();
    state_expect_restored();
    ck_assert_uint_eq(state_outcome.size, FIXTURE_SIZE / 2);
    state_expect_everything();
}
END_TEST

static void fill_up(void)
{
    char text[4000];
    int i;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fx.limits.max_queue_bytes = 1 << 30;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    for (i = 0; put(apr_psprintf(fx.pool, "%d", i % 50), text) == APR_SUCCESS; i++)
        ck_assert_int_lt(i, 10000);
}

START_TEST(one_that_is_too_small_is_made_larger)
{
    uint64_t queued;

    fill_up();
    queued = stats_now().queued;
    state_stop();
    ck_ok(state_try_start(FIXTURE_SIZE / 2, FIXTURE_SLOTS));
    fixture_audit();
    state_expect_restored();
    ck_assert_uint_eq(state_outcome.size, FIXTURE_SIZE);
    ck_assert_uint_eq(stats_now().queued, queued);
}
END_TEST

START_TEST(larger_tables_make_it_larger_still)
{
    uint64_t queued;

    fill_up();
    queued = stats_now().queued;
    state_stop();
    fx.limits.max_clients = 100000;
    ck_ok(state_try_start(FIXTURE_SIZE, 2 * FIXTURE_SLOTS));
    fixture_audit();
    state_expect_restored();
    ck_assert_uint_gt(state_outcome.size, FIXTURE_SIZE);
    ck_assert_uint_eq(stats_now().queued, queued);
}
END_TEST

START_TEST(lower_limits_keep_what_is_there)
{
    state_fill();
    state_stop();
    fx.limits.max_clients = 1;
    fx.limits.max_queue = 1;
    state_start();
    state_expect_restored();
    state_expect_everything();
    ck_status(put("someone new", "x"), CSQ_CLIENTS_FULL);
}
END_TEST

/* ---- the file and the segment ---------------------------------------------- */

START_TEST(a_death_between_save_and_removal_restores_nothing_twice)
{
    state_fill();
    ck_ok(csq_save(fx.q, state_path("")));
    csq_keep(fx.q);
    state_end();
    state_start();
    ck_assert_int_eq(state_outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    ck_assert_int_eq(state_outcome.restored, 0);
    ck_assert_ptr_null(state_outcome.state_aside);
    ck_assert_int_eq(state_there(state_path("")), 0);
    state_expect_everything();
}
END_TEST

START_TEST(a_death_before_the_file_goes_restores_nothing_twice)
{
    csq_cursor cursor;

    ck_ok(put("alice", "x"));
    state_stop();
    state_copy_file(state_path(""), state_path(".kept"));
    state_start();
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_assert_int_eq(rename(state_path(".kept"), state_path("")), 0);
    csq_keep(fx.q);
    state_end();
    state_start();
    ck_assert_int_eq(state_outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    ck_assert_int_eq(state_there(state_path("")), 0);
    ck_status(get("alice", NULL), CSQ_EMPTY);
}
END_TEST

START_TEST(a_file_that_does_not_belong_is_set_aside)
{
    ck_ok(put("alice", "old"));
    state_stop();
    state_copy_file(state_path(""), state_path(".kept"));
    state_start();
    state_stop();
    state_start();
    ck_assert_int_eq(rename(state_path(".kept"), state_path("")), 0);
    csq_keep(fx.q);
    state_end();
    state_start();
    ck_assert_int_eq(state_outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    ck_assert_int_eq(state_outcome.state_reason, CSQ_IN_USE);
    ck_assert_str_eq(state_outcome.state_aside, state_path(".damaged"));
    ck_assert_int_eq(state_there(state_path(".damaged")), 1);
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
}
END_TEST

/* The segment of a killed server cannot be used; the file is older. */
START_TEST(an_old_file_beside_a_bad_segment_gives_new_epochs)
{
    state_fill();
    state_stop();
    state_copy_file(state_path(""), state_path(".kept"));
    state_start();
    ck_assert_int_eq(rename(state_path(".kept"), state_path("")), 0);
    fx.q->header->layout++;
    csq_keep(fx.q);
    state_end();
    state_start();
    ck_assert_int_eq(state_outcome.beginning, CSQ_BEGUN_SET_ASIDE);
    ck_assert_int_eq(state_outcome.restored, 1);
    ck_assert_int_eq(state_client_is_whole(0), 0);
    ck_ok(state_fetch(state_client_name(1), NULL, NULL, 10, 1));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 5);
}
END_TEST

START_TEST(one_taken_over_gets_the_size_that_is_wanted)
{
    state_fill();
    csq_keep(fx.q);
    state_end();
    ck_ok(state_try_start(2 * FIXTURE_SIZE, 2 * FIXTURE_SLOTS));
    fixture_audit();
    ck_assert_int_eq(state_outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    ck_assert_uint_eq(state_outcome.size, 2 * FIXTURE_SIZE);
    ck_assert_uint_eq(state_outcome.slots, 2 * FIXTURE_SLOTS);
    ck_assert_int_eq(state_there(state_path("")), 0);
    state_expect_everything();
}
END_TEST

START_TEST(what_cannot_be_saved_stays_in_memory)
{
    state_fill();
    ck_status(csq_save(fx.q, "/nonexistent/folder/state"), ENOENT);
    csq_keep(fx.q);
    state_end();
    state_start();
    ck_assert_int_eq(state_outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    state_expect_everything();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_state");
    TCase *tc = tcase_create("state");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, state_setup, state_teardown);
    tcase_add_test(tc, everything_is_there_after_stop_and_start);
    tcase_add_test(tc, a_topic_is_replaced_across_stop_and_start);
    tcase_add_test(tc, a_cursor_of_a_queue_that_was_forgotten_stays_genuine);
    tcase_add_test(tc, what_was_behind_is_still_missed_when_dropped);
    tcase_add_test(tc, the_file_is_private_and_goes);
    tcase_add_test(tc, what_has_expired_meanwhile_expires);
    tcase_add_test(tc, who_asks_after_the_save_is_told);
    tcase_add_test(tc, a_larger_segment_takes_it);
    tcase_add_test(tc, a_smaller_segment_takes_what_fits);
    tcase_add_test(tc, one_that_is_too_small_is_made_larger);
    tcase_add_test(tc, larger_tables_make_it_larger_still);
    tcase_add_test(tc, lower_limits_keep_what_is_there);
    tcase_add_test(tc, a_death_between_save_and_removal_restores_nothing_twice);
    tcase_add_test(tc, a_death_before_the_file_goes_restores_nothing_twice);
    tcase_add_test(tc, a_file_that_does_not_belong_is_set_aside);
    tcase_add_test(tc, an_old_file_beside_a_bad_segment_gives_new_epochs);
    tcase_add_test(tc, one_taken_over_gets_the_size_that_is_wanted);
    tcase_add_test(tc, what_cannot_be_saved_stays_in_memory);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
