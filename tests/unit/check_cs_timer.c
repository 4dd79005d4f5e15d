/* SPDX-License-Identifier: Apache-2.0
 * check_cs_timer.c - the timing wheel.
 */
#include <check.h>
#include <stdlib.h>

#include "cs_timer.h"

static cs_timer_wheel wheel;
#define START     ((apr_time_t)5000000000)
#define AFTER(ms) (START + apr_time_from_msec(ms))

static void setup(void)
{
    cs_timer_wheel_init(&wheel, START);
}

START_TEST(fires_at_its_time_and_not_before)
{
    cs_timer timer = { 0 };

    cs_timer_set(&wheel, &timer, AFTER(100));
    ck_assert_ptr_null(cs_timer_take(&wheel, AFTER(99)));
    ck_assert_ptr_eq(cs_timer_take(&wheel, AFTER(100 + 32)), &timer);
    ck_assert_ptr_null(cs_timer_take(&wheel, AFTER(1000)));
}
END_TEST

START_TEST(a_deadline_beyond_a_turn_waits_its_turns)
{
    cs_timer timer = { 0 };
    int ms;

    cs_timer_set(&wheel, &timer, AFTER(200000));
    for (ms = 0; ms < 200000; ms += 1000) {
        ck_assert_ptr_null(cs_timer_take(&wheel, AFTER(ms)));
    }
    ck_assert_ptr_eq(cs_timer_take(&wheel, AFTER(200100)), &timer);
}
END_TEST

START_TEST(a_later_time_leaves_it_an_earlier_one_moves_it)
{
    cs_timer timer = { 0 };

    cs_timer_set(&wheel, &timer, AFTER(500));
    cs_timer_set(&wheel, &timer, AFTER(5000));
    ck_assert_ptr_eq(cs_timer_take(&wheel, AFTER(600)), &timer);
    cs_timer_set(&wheel, &timer, AFTER(5000));
    cs_timer_set(&wheel, &timer, AFTER(1000));
    ck_assert_ptr_eq(cs_timer_take(&wheel, AFTER(1100)), &timer);
}
END_TEST

START_TEST(a_cleared_one_never_fires)
{
    cs_timer timer = { 0 };

    cs_timer_clear(&wheel, &timer);
    cs_timer_set(&wheel, &timer, AFTER(100));
    cs_timer_clear(&wheel, &timer);
    ck_assert_ptr_null(cs_timer_take(&wheel, AFTER(100000)));
    ck_assert_uint_eq(wheel.count, 0);
}
END_TEST

START_TEST(sleep_tells_when_to_look_again)
{
    cs_timer timer = { 0 };

    ck_assert_int_eq(cs_timer_sleep(&wheel, START, 1000000), 1000000);
    cs_timer_set(&wheel, &timer, AFTER(300));
    ck_assert_int_ge(cs_timer_sleep(&wheel, START, 1000000), 300000);
    ck_assert_int_le(cs_timer_sleep(&wheel, START, 1000000), 332000);
    ck_assert_int_eq(cs_timer_sleep(&wheel, AFTER(900), 1000000), 0);
}
END_TEST

/* Against a plain array: nothing early, nothing late by more than a tick. */
START_TEST(many_random_deadlines)
{
    static cs_timer timers[2000];
    static apr_time_t deadlines[2000];
    apr_time_t now = START;
    int left = 2000, i;

    srand(7);
    for (i = 0; i < 2000; i++) {
        deadlines[i] = START + rand() % apr_time_from_sec(150);
        cs_timer_set(&wheel, &timers[i], deadlines[i]);
    }
    while (left > 0) {
        cs_timer *timer;

        now += cs_timer_sleep(&wheel, now, apr_time_from_sec(1)) + rand() % 5000;
        while ((timer = cs_timer_take(&wheel, now)) != NULL) {
            apr_time_t deadline = deadlines[timer - timers];

            ck_assert_int_le(deadline, now);
            ck_assert_int_le(now - deadline, apr_time_from_msec(32 + 33 + 5));
            left--;
        }
        ck_assert_int_lt(now, START + apr_time_from_sec(200));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cs_timer");
    TCase *wheels = tcase_create("wheel");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(wheels, setup, NULL);
    tcase_add_test(wheels, fires_at_its_time_and_not_before);
    tcase_add_test(wheels, a_deadline_beyond_a_turn_waits_its_turns);
    tcase_add_test(wheels, a_later_time_leaves_it_an_earlier_one_moves_it);
    tcase_add_test(wheels, a_cleared_one_never_fires);
    tcase_add_test(wheels, sleep_tells_when_to_look_again);
    tcase_add_test(wheels, many_random_deadlines);
    suite_add_tcase(suite, wheels);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
