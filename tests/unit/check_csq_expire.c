/* SPDX-License-Identifier: Apache-2.0
 * check_csq_expire.c - messages and clients leave at their time, not before.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned left(const char *client)
{
    apr_status_t rv = get(client, NULL);

    ck_assert(rv == APR_SUCCESS || rv == CSQ_EMPTY);
    return csq_batch_count(fx.batch);
}

START_TEST(any_mix_of_times_expires_rightly)
{
    enum { N = 400 };
    apr_time_t times[N];
    apr_time_t start = fx.now;
    unsigned seed = 1;
    unsigned wanted;
    unsigned at_most;
    int step;
    int i;

    for (i = 0; i < N; i++) {
        int magnitude = rand_r(&seed) % 7;
        apr_time_t range = 1;

        while (magnitude--)
            range *= 10;
        times[i] = start + 1 + (apr_time_t)(rand_r(&seed) % range) * SECOND
                   + rand_r(&seed) % 1000000;
        ck_ok(put_full("orders", "alice", "x", times[i]));
    }
    for (step = 0; step < 60; step++) {
        apr_time_t range = 1;
        int magnitude = step / 10;

        while (magnitude--)
            range *= 10;
        fx.now = start + (step % 10 + 1) * range * SECOND;
        ck_ok(csq_expire(fx.q, fx.now, 100000));
        wanted = at_most = 0;
        for (i = 0; i < N; i++) {
            wanted += times[i] / 1000 > fx.now / 1000;
            at_most += times[i] > fx.now - SECOND;
        }
        ck_assert_uint_ge(stats_now().queued, wanted);
        ck_assert_uint_le(stats_now().queued, at_most);
        ck_assert_uint_eq(left("alice"), wanted);
        fixture_audit();
    }
}
END_TEST

START_TEST(what_has_expired_is_never_handed_out)
{
    ck_ok(put_full("orders", "alice", "1", fx.now + 1000));
    ck_ok(put_full("orders", "alice", "2", fx.now + SECOND));
    fx.now += 1000;
    ck_assert_uint_eq(left("alice"), 1);
    ck_assert_str_eq(text_of(0), "2");
    ck_assert_uint_eq(stats_now().expired, 1);
}
END_TEST

START_TEST(expiry_gives_no_gap)
{
    const csq_gap *gaps;
    apr_uint32_t n;
    csq_cursor cursor;

    ck_ok(put_full("orders", "alice", "1", fx.now + SECOND));
    ck_ok(put("alice", "2"));
    ck_ok(get_max("alice", NULL, 1));
    cursor = cursor_now();
    ck_ok(put_full("orders", "alice", "3", fx.now + SECOND));
    ck_ok(put("alice", "4"));
    fx.now += 2 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 100));
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 0);
}
END_TEST

START_TEST(a_full_queue_lets_go_of_what_has_expired_first)
{
    int i;

    fx.limits.max_queue = 10;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(put("alice", "stays"));
    for (i = 0; i < 9; i++)
        ck_ok(put_full("orders", "alice", "goes", fx.now + SECOND));
    ck_status(put("alice", "new"), CSQ_QUEUE_FULL);
    fx.now += 3 * SECOND;
    ck_ok(put("alice", "new"));
    ck_assert_uint_eq(stats_now().queued, 2);
}
END_TEST

START_TEST(the_budget_bounds_the_work)
{
    int i;
    int calls = 0;
    apr_status_t rv;

    for (i = 0; i < 500; i++)
        ck_ok(put_full("orders", "alice", "x", fx.now + SECOND));
    fx.now += 10 * SECOND;
    do {
        rv = csq_expire(fx.q, fx.now, 100);
        calls++;
    } while (rv == APR_INCOMPLETE);
    ck_ok(rv);
    ck_assert_int_ge(calls, 5);
    ck_assert_uint_eq(stats_now().queued, 0);
}
END_TEST

START_TEST(a_clock_that_jumps_back_expires_nothing_early)
{
    ck_ok(csq_expire(fx.q, fx.now, 100));
    fx.now -= 3600 * SECOND;
    ck_ok(put_full("orders", "alice", "x", fx.now + 10 * SECOND));
    ck_ok(csq_expire(fx.q, fx.now + 3600 * SECOND - SECOND, 100));
    fx.now += 9 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 100));
    ck_assert_uint_eq(left("alice"), 1);
    fx.now += 2 * SECOND;
    ck_assert_uint_eq(left("alice"), 0);
}
END_TEST

START_TEST(a_clock_that_jumps_years_ahead_is_caught_up_quickly)
{
    ck_ok(put_full("orders", "alice", "x", fx.now + SECOND));
    fx.now += (apr_time_t)10 * 365 * 86400 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 5000));
    ck_assert_uint_eq(stats_now().queued, 0);
}
END_TEST

START_TEST(clients_are_forgotten_after_their_queue_was_empty_for_long)
{
    csq_cursor cursor;

    ck_ok(put("alice", "x"));
    ck_ok(put_full("orders", "bob", "x", fx.now + 7200 * SECOND));
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    fx.now += 599 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().clients, 2);
    ck_status(get("alice", &cursor), CSQ_EMPTY);
    fx.now += 599 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().clients, 2);
    fx.now += 3 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().clients, 1);
    ck_assert_uint_eq(left("bob"), 1);
    fixture_audit();
}
END_TEST

START_TEST(who_waits_is_not_forgotten_unless_the_process_is_gone)
{
    csq_slot *slot;
    apr_pool_t *pool;

    ck_assert_int_eq(apr_pool_create(&pool, fx.pool), APR_SUCCESS);
    ck_ok(csq_slot_claim(fx.q, pool, &slot));
    ck_status(wait_for("alice", csq_waiter_make(slot, 1), 0), CSQ_EMPTY);
    fx.now += 3600 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().clients, 1);
    apr_pool_destroy(pool);
    fx.now += 3600 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().clients, 0);
}
END_TEST

START_TEST(a_client_with_a_gap_is_kept_until_the_gap_is_moot)
{
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    fx.limits.max_queue = 1;
    fx.limits.max_ttl = 7200;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(put_full("orders", "alice", "1", fx.now + SECOND));
    ck_ok(put_full("orders", "alice", "2", fx.now + SECOND));
    fx.now += 7000 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().clients, 1);
    fx.now += 300 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().clients, 0);
}
END_TEST

/* For a moment it was next year. */
START_TEST(a_clock_that_was_wrong_for_a_moment_stops_nothing)
{
    apr_time_t right = fx.now;

    ck_ok(put_full("orders", "alice", "long", right + 2 * 366 * 86400 * SECOND));
    ck_ok(csq_expire(fx.q, right + 366 * 86400 * SECOND, 100000));
    ck_status(get("bob", NULL), CSQ_EMPTY);
    ck_ok(csq_expire(fx.q, fx.now, 100000));
    ck_ok(put_full("orders", "alice", "short", fx.now + 10 * SECOND));
    fixture_audit();
    fx.now += 20 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 100000));
    ck_assert_uint_eq(stats_now().queued, 1);
    ck_assert_uint_eq(stats_now().expired, 1);
    fx.now += 700 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 100000));
    ck_assert_uint_eq(stats_now().clients, 1);
    ck_ok(get("alice", NULL));
    ck_assert_str_eq(texts(), "long");
}
END_TEST

START_TEST(places_of_the_wheel_come_up_at_their_second)
{
    ck_assert_uint_eq(csq_wheel_place(1000, 1000), 1000 % 64);
    ck_assert_uint_eq(csq_wheel_place(1000, 5), 1000 % 64);
    ck_assert_uint_eq(csq_wheel_place(1000, 1063), 1063 % 64);
    ck_assert_uint_eq(csq_wheel_place(1000, 1064), 64 + (1064 >> 6) % 64);
    ck_assert_uint_eq(csq_wheel_place(64, 64 + 4095), 64 + 0);
    ck_assert_uint_eq(csq_wheel_place(64, 64 + 4096), 128 + 1);
    ck_assert_uint_eq(csq_wheel_place(0, UINT32_MAX - 1), 192 + 63);
    ck_assert_uint_eq(csq_wheel_second(0), 0);
    ck_assert_uint_eq(csq_wheel_second(1), 1);
    ck_assert_uint_eq(csq_wheel_second(1000), 1);
    ck_assert_uint_eq(csq_wheel_second(UINT64_C(1) << 47), UINT32_MAX - 1);
}
END_TEST

static unsigned shard_of(const char *client)
{
    csq_key key = { "realm", client, NULL };
    csq_name name;

    ck_ok(csq_name_make(fx.q, &key, &name));
    return csq_name_shard(&name);
}

/* A process that dies with all that is free, under the lock of some shard. */
static void die_with_all_chunks(unsigned shard)
{
    pid_t child = fork();
    uint32_t chain;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (csq_lock(fx.q, UINT32_C(1) << shard) != APR_SUCCESS
            || csq_chunk_take(fx.q, fx.q->header->free_count, 1, &chain) != APR_SUCCESS)
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    ck_assert_uint_eq(fx.q->header->free_count, 0);
}

START_TEST(what_a_dead_process_had_makes_room_whatever_shard_it_was_in)
{
    ck_ok(csq_expire(fx.q, fx.now, 100000));
    die_with_all_chunks((shard_of("alice") + 1) % CSQ_SHARDS);
    ck_ok(put("alice", "x"));
    ck_assert_uint_eq(stats_now().repairs, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_expire");
    TCase *tc = tcase_create("expire");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, any_mix_of_times_expires_rightly);
    tcase_add_test(tc, what_has_expired_is_never_handed_out);
    tcase_add_test(tc, expiry_gives_no_gap);
    tcase_add_test(tc, a_full_queue_lets_go_of_what_has_expired_first);
    tcase_add_test(tc, the_budget_bounds_the_work);
    tcase_add_test(tc, a_clock_that_jumps_back_expires_nothing_early);
    tcase_add_test(tc, a_clock_that_jumps_years_ahead_is_caught_up_quickly);
    tcase_add_test(tc, clients_are_forgotten_after_their_queue_was_empty_for_long);
    tcase_add_test(tc, who_waits_is_not_forgotten_unless_the_process_is_gone);
    tcase_add_test(tc, a_client_with_a_gap_is_kept_until_the_gap_is_moot);
    tcase_add_test(tc, a_clock_that_was_wrong_for_a_moment_stops_nothing);
    tcase_add_test(tc, what_a_dead_process_had_makes_room_whatever_shard_it_was_in);
    tcase_add_test(tc, places_of_the_wheel_come_up_at_their_second);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
