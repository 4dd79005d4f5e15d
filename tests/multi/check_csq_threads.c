/* SPDX-License-Identifier: Apache-2.0
 * check_csq_threads.c - one handle, many threads; for TSan above all.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define WRITERS 3
#define EACH    2000

static csq_slot *slot;
static int failures;

static void *write_many(void *argument)
{
    csq_key key = { "realm", "alice", NULL };
    csq_message message = { .app = "orders", .sender = argument, .encoding = CSQ_JSON,
                            .time = fx.now, .expires = fx.now + 3600 * SECOND,
                            .data = "{}", .len = 2 };
    csq_appended appended;
    int i;

    for (i = 0; i < EACH; i++)
        if (csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended) != APR_SUCCESS)
            __atomic_add_fetch(&failures, 1, __ATOMIC_RELAXED);
    return NULL;
}

static void *watch(void *argument)
{
    csq_stats stats;
    int i;

    for (i = 0; i < 300; i++) {
        csq_stats_get(fx.q, &stats);
        csq_counter_add(fx.q, 1, 1);
        csq_expire(fx.q, fx.now + i * SECOND, 100);
    }
    return argument;
}

/* Wait for the doorbell, read, acknowledge. */
static unsigned read_many(void)
{
    csq_key key = { "realm", "alice", NULL };
    csq_cursor cursor = { .epoch = 0 };
    csq_fetch what = { .after = &cursor, .max_messages = 50, .max_bytes = 10000,
                       .acknowledge = 1, .waiter = csq_waiter_make(slot, 1) };
    struct pollfd p = { .fd = csq_slot_descriptor(slot), .events = POLLIN };
    apr_uint32_t numbers[8];
    unsigned total = 0;
    int all;

    while (total < WRITERS * EACH) {
        apr_status_t rv = csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch);

        ck_assert(rv == APR_SUCCESS || rv == CSQ_EMPTY);
        cursor = csq_batch_cursor(fx.batch);
        total += csq_batch_count(fx.batch);
        if (rv != CSQ_EMPTY || total == WRITERS * EACH)
            continue;
        ck_assert_int_eq(poll(&p, 1, 20000), 1);
        hear(slot, numbers, 8, &all);
    }
    what.max_messages = 0;
    what.waiter = 0;
    ck_status(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch), CSQ_EMPTY);
    return total;
}

START_TEST(threads_share_a_handle)
{
    static char names[WRITERS][8];
    pthread_t writers[WRITERS];
    pthread_t watcher;
    int i;

    fx.limits.max_queue = WRITERS * EACH;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    csq_lock_timeout_set(fx.q, 20 * SECOND);
    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    for (i = 0; i < WRITERS; i++) {
        snprintf(names[i], sizeof names[i], "w%d", i);
        ck_assert_int_eq(pthread_create(&writers[i], NULL, write_many, names[i]), 0);
    }
    ck_assert_int_eq(pthread_create(&watcher, NULL, watch, NULL), 0);
    ck_assert_uint_eq(read_many(), WRITERS * EACH);
    for (i = 0; i < WRITERS; i++)
        pthread_join(writers[i], NULL);
    pthread_join(watcher, NULL);
    ck_assert_int_eq(failures, 0);
    ck_assert_uint_eq(stats_now().queued, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_threads");
    TCase *tc = tcase_create("threads");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, threads_share_a_handle);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
