/* SPDX-License-Identifier: Apache-2.0
 * check_cc_backoff.c - full jitter, doubling up to a minute.
 */
#include "cc_backoff.h"
#include "support/support.h"

START_TEST(pauses_stay_below_a_bound_that_doubles)
{
    static const unsigned bounds[] = {
        1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000
    };
    unsigned highest[8] = { 0 }, lowest[8], pause;
    cc_backoff backoff;
    int round, i;

    for (i = 0; i < 8; i++)
        lowest[i] = 60001;
    cc_backoff_init(&backoff, 42);
    for (round = 0; round < 5000; round++) {
        cc_backoff_reset(&backoff);
        for (i = 0; i < 8; i++) {
            pause = cc_backoff_next(&backoff);
            ck_assert_uint_le(pause, bounds[i]);
            highest[i] = pause > highest[i] ? pause : highest[i];
            lowest[i] = pause < lowest[i] ? pause : lowest[i];
        }
    }
    for (i = 0; i < 8; i++) {
        ck_assert_uint_gt(highest[i], bounds[i] * 9 / 10);
        ck_assert_uint_lt(lowest[i], bounds[i] / 10);
    }
}
END_TEST

START_TEST(many_failures_overflow_nothing)
{
    cc_backoff backoff;
    int i;

    cc_backoff_init(&backoff, 1);
    for (i = 0; i < 1000; i++)
        ck_assert_uint_le(cc_backoff_next(&backoff), CC_BACKOFF_HIGHEST);
}
END_TEST

START_TEST(seeds_make_different_pauses)
{
    cc_backoff a, b;
    int i, same = 0;

    cc_backoff_init(&a, 1);
    cc_backoff_init(&b, 2);
    for (i = 0; i < 20; i++)
        same += cc_backoff_next(&a) == cc_backoff_next(&b);
    ck_assert_int_lt(same, 3);
}
END_TEST

/* A server that stops names whole seconds; agents fill what is between. */
START_TEST(agents_told_the_same_time_come_back_spread_over_a_second)
{
    int quarters[4] = { 0 }, i;

    for (i = 0; i < 1000; i++) {
        cc_backoff backoff;
        int64_t pause;

        cc_backoff_init(&backoff, (uint64_t)i);
        pause = cc_backoff_obey(&backoff, 3);
        ck_assert_int_ge(pause, 3000);
        ck_assert_int_lt(pause, 4000);
        quarters[(pause - 3000) / 250]++;
    }
    for (i = 0; i < 4; i++) {
        ck_assert_int_gt(quarters[i], 150);
        ck_assert_int_lt(quarters[i], 350);
    }
}
END_TEST

START_TEST(a_long_time_is_obeyed_up_to_a_day)
{
    cc_backoff backoff;

    cc_backoff_init(&backoff, 1);
    ck_assert_int_lt(cc_backoff_obey(&backoff, INT64_MAX),
                     (CC_BACKOFF_OBEYED + 1) * 1000);
    ck_assert_int_ge(cc_backoff_obey(&backoff, INT64_MAX), CC_BACKOFF_OBEYED * 1000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_backoff");
    TCase *c = tcase_create("backoff");

    tcase_add_test(c, pauses_stay_below_a_bound_that_doubles);
    tcase_add_test(c, many_failures_overflow_nothing);
    tcase_add_test(c, seeds_make_different_pauses);
    tcase_add_test(c, agents_told_the_same_time_come_back_spread_over_a_second);
    tcase_add_test(c, a_long_time_is_obeyed_up_to_a_day);
    suite_add_tcase(s, c);
    return support_run(s);
}
