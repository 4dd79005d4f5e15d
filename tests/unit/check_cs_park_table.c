/* SPDX-License-Identifier: Apache-2.0
 * check_cs_park_table.c - the state word: no signal is lost, whoever sends it
 * and whenever it comes, and a record has one owner at a time.
 *
 * The run queue is this file's own, so that threads can race on it freely.
 */
#include <check.h>
#include <pthread.h>
#include <stdlib.h>

#include "cs_park.h"
#include "cs_loop.h"
#include "cs_blocked.h"

#define RECORDS  8
#define SENDERS  3
#define STEPPERS 3
#define SIGNALS  40000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static cs_park *first, *last;
static cs_park *records[RECORDS];
static int work[RECORDS]; /* sent and not yet seen by a step            */
static int owners[RECORDS];
static int end, broken;

void cs_loop_run(cs_park *park)
{
    pthread_mutex_lock(&lock);
    park->run_next = NULL;
    if (last != NULL) {
        last->run_next = park;
    }
    else {
        first = park;
    }
    last = park;
    pthread_mutex_unlock(&lock);
}

void cs_blocked_wake(void)
{
}

static cs_park *take(void)
{
    cs_park *park;

    pthread_mutex_lock(&lock);
    park = first;
    if (park != NULL) {
        first = park->run_next;
        if (first == NULL) {
            last = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
    return park;
}

static void step(cs_park *park)
{
    int i = (int)park->index;

    if (__atomic_add_fetch(&owners[i], 1, __ATOMIC_ACQ_REL) != 1) {
        broken = 1;
    }
    if (cs_park_take_signals(park) != 0) {
        __atomic_exchange_n(&work[i], 0, __ATOMIC_ACQ_REL);
    }
    __atomic_sub_fetch(&owners[i], 1, __ATOMIC_ACQ_REL);
    if (!cs_park_rest(park)) {
        cs_loop_run(park);
    }
}

static void *run_steps(void *data)
{
    (void)data;
    while (!__atomic_load_n(&end, __ATOMIC_ACQUIRE)) {
        cs_park *park = take();

        if (park != NULL) {
            step(park);
        }
    }
    return NULL;
}

static void *send_signals(void *data)
{
    unsigned seed = (unsigned)(size_t)data;
    int i;

    for (i = 0; i < SIGNALS; i++) {
        cs_park *park = records[rand_r(&seed) % RECORDS];

        __atomic_add_fetch(&work[park->index], 1, __ATOMIC_ACQ_REL);
        cs_park_signal(cs_park_name_of(park), CS_SIGNAL_IN);
    }
    return NULL;
}

START_TEST(no_signal_is_lost_and_no_record_has_two_owners)
{
    pthread_t senders[SENDERS], steppers[STEPPERS];
    cs_park *park;
    int i;

    cs_park_table_init(RECORDS);
    for (i = 0; i < RECORDS; i++) {
        records[i] = cs_park_alloc(CS_PARK_HANDLER);
        ck_assert_ptr_nonnull(records[i]);
        ck_assert_int_eq(cs_park_rest(records[i]), 1);
    }
    for (i = 0; i < STEPPERS; i++) {
        pthread_create(&steppers[i], NULL, run_steps, NULL);
    }
    for (i = 0; i < SENDERS; i++) {
        pthread_create(&senders[i], NULL, send_signals, (void *)(size_t)(i + 1));
    }
    for (i = 0; i < SENDERS; i++) {
        pthread_join(senders[i], NULL);
    }
    __atomic_store_n(&end, 1, __ATOMIC_RELEASE);
    for (i = 0; i < STEPPERS; i++) {
        pthread_join(steppers[i], NULL);
    }
    while ((park = take()) != NULL) {
        step(park);
    }
    for (i = 0; i < RECORDS; i++) {
        ck_assert_int_eq(work[records[i]->index], 0);
    }
    ck_assert_int_eq(broken, 0);
}
END_TEST

START_TEST(a_signal_before_parking_is_remembered)
{
    cs_park *park;

    cs_park_table_init(4);
    park = cs_park_alloc(CS_PARK_HANDLER);
    cs_park_signal(cs_park_name_of(park), CS_SIGNAL_RUNG);
    ck_assert_ptr_null(take());
    ck_assert_int_eq(cs_park_rest(park), 0);
    ck_assert_uint_eq(cs_park_take_signals(park), CS_SIGNAL_RUNG);
    ck_assert_int_eq(cs_park_rest(park), 1);
    cs_park_signal(cs_park_name_of(park), CS_SIGNAL_TIME);
    ck_assert_ptr_eq(take(), park);
}
END_TEST

START_TEST(a_signal_to_one_that_is_gone_is_dropped)
{
    cs_park *park;
    cs_park_name name;

    cs_park_table_init(4);
    park = cs_park_alloc(CS_PARK_HANDLER);
    name = cs_park_name_of(park);
    cs_park_release(park);
    cs_park_signal(name, CS_SIGNAL_IN);
    park = cs_park_alloc(CS_PARK_HANDLER);
    cs_park_signal(name, CS_SIGNAL_IN);
    ck_assert_uint_eq(cs_park_take_signals(park), 0);
    cs_park_signal(~(cs_park_name)0, CS_SIGNAL_IN);
}
END_TEST

START_TEST(a_ring_for_an_earlier_turn_is_dropped)
{
    cs_park *park;
    apr_uint32_t number;

    cs_park_table_init(4);
    park = cs_park_alloc(CS_PARK_HANDLER);
    number = cs_park_number(park);
    park->turn++;
    cs_park_ring(number);
    ck_assert_uint_eq(cs_park_take_signals(park), 0);
    cs_park_ring(cs_park_number(park));
    ck_assert_uint_eq(cs_park_take_signals(park), CS_SIGNAL_RUNG);
    cs_park_ring(~(apr_uint32_t)0);
}
END_TEST

START_TEST(the_table_has_an_end)
{
    cs_park *park;

    cs_park_table_init(2);
    park = cs_park_alloc(CS_PARK_HANDLER);
    ck_assert_ptr_nonnull(cs_park_alloc(CS_PARK_HANDLER));
    ck_assert_ptr_null(cs_park_alloc(CS_PARK_HANDLER));
    cs_park_release(park);
    ck_assert_ptr_nonnull(cs_park_alloc(CS_PARK_HANDLER));
    ck_assert_uint_eq(cs_park_count(), 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cs_park_table");
    TCase *table = tcase_create("table");
    SRunner *runner;
    int failed;

    tcase_add_test(table, no_signal_is_lost_and_no_record_has_two_owners);
    tcase_add_test(table, a_signal_before_parking_is_remembered);
    tcase_add_test(table, a_signal_to_one_that_is_gone_is_dropped);
    tcase_add_test(table, a_ring_for_an_earlier_turn_is_dropped);
    tcase_add_test(table, the_table_has_an_end);
    suite_add_tcase(suite, table);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
