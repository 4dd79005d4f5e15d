/* SPDX-License-Identifier: Apache-2.0
 * check_csq_slot.c - doorbells within one process; see multi/ for several.
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

static void ring(csq_waiter waiter)
{
    csq_ring_set rings = { .count = 0 };

    csq_slot_push(fx.q, waiter, &rings);
    csq_slot_ring(fx.q, &rings);
}

START_TEST(slots_run_out_and_come_back)
{
    apr_pool_t *pool;
    csq_slot *slot;
    int i;

    apr_pool_create(&pool, fx.pool);
    for (i = 0; i < FIXTURE_SLOTS; i++)
        ck_ok(csq_slot_claim(fx.q, pool, &slot));
    ck_status(csq_slot_claim(fx.q, fx.pool, &slot), CSQ_NO_SLOT);
    apr_pool_destroy(pool);
    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
}
END_TEST

START_TEST(a_waiter_of_an_earlier_owner_is_nobody)
{
    apr_pool_t *pool;
    csq_slot *slot;
    csq_waiter old;
    apr_uint32_t numbers[4];
    int all;

    apr_pool_create(&pool, fx.pool);
    ck_ok(csq_slot_claim(fx.q, pool, &slot));
    old = csq_waiter_make(slot, 1);
    ck_assert_int_eq(csq_waiter_alive(fx.q, old), 1);
    ring(old);
    apr_pool_destroy(pool);
    ck_assert_int_eq(csq_waiter_alive(fx.q, old), 0);
    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    ck_assert_uint_ne(csq_waiter_make(slot, 1), old);
    ck_assert_int_eq(csq_waiter_alive(fx.q, old), 0);
    ring(old);
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 0);
    ck_assert_int_eq(hear(slot, numbers, 4, &all), 0);
    ck_assert_int_eq(all, 0);
}
END_TEST

START_TEST(made_up_waiters_harm_nothing)
{
    ring(0);
    ring(1);
    ring(UINT64_MAX);
    ring((csq_waiter)1 << 63);
    ck_assert_int_eq(csq_waiter_alive(fx.q, UINT64_MAX), 0);
}
END_TEST

START_TEST(numbers_come_in_order_and_in_parts)
{
    csq_slot *slot;
    apr_uint32_t numbers[64];
    int all;
    int n = 0;
    int got;
    int i;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    for (i = 0; i < 1000; i++)
        ring(csq_waiter_make(slot, (apr_uint32_t)i));
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 1);
    do {
        got = hear(slot, numbers, 64, &all);
        ck_assert_int_eq(all, 0);
        for (i = 0; i < got; i++)
            ck_assert_uint_eq(numbers[i], (unsigned)n++);
    } while (got == 64);
    ck_assert_int_eq(n, 1000);
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 0);
}
END_TEST

START_TEST(an_overflow_says_look_at_everything)
{
    csq_slot *slot;
    apr_uint32_t *numbers = apr_palloc(fx.pool, 2 * CSQ_RING * sizeof *numbers);
    int all;
    int i;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    for (i = 0; i < CSQ_RING; i++)
        ring(csq_waiter_make(slot, (apr_uint32_t)i));
    ck_assert_int_eq(hear(slot, numbers, 2 * CSQ_RING, &all), CSQ_RING);
    ck_assert_int_eq(all, 0);
    for (i = 0; i < CSQ_RING + 1; i++)
        ring(csq_waiter_make(slot, (apr_uint32_t)i));
    hear(slot, numbers, 2 * CSQ_RING, &all);
    ck_assert_int_eq(all, 1);
    ring(csq_waiter_make(slot, 5));
    ck_assert_int_eq(hear(slot, numbers, 2 * CSQ_RING, &all), 1);
    ck_assert_int_eq(all, 0);
}
END_TEST

START_TEST(who_is_awake_is_not_rung_and_misses_nothing)
{
    csq_slot *slot;
    apr_uint32_t numbers[8];
    int all;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    csq_slot_mute(slot, 0);
    ring(csq_waiter_make(slot, 1));
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 0);
    ck_assert_int_eq(csq_slot_take(slot, numbers, 8, &all), 1);
    ck_assert_uint_eq(numbers[0], 1);
    ring(csq_waiter_make(slot, 2));
    csq_slot_listen(slot);
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 0);
    ck_assert_int_eq(csq_slot_take(slot, numbers, 8, &all), 1);
    ck_assert_uint_eq(numbers[0], 2);
    ring(csq_waiter_make(slot, 3));
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 1);
}
END_TEST

/* A writer that had set the bell long before, and writes only now. */
START_TEST(a_late_byte_wakes_once)
{
    csq_slot *slot;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    ring(csq_waiter_make(slot, 1));
    csq_slot_mute(slot, 0);
    csq_slot_listen(slot);
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 1);
    csq_slot_mute(slot, 1);
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 0);
}
END_TEST

/* A writer that died between taking a place and filling it. */
START_TEST(a_place_that_was_never_filled_says_look_at_everything)
{
    csq_slot *slot;
    apr_uint32_t numbers[8];
    int all;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    ring(csq_waiter_make(slot, 1));
    fx.q->slots[0].tail++;
    ring(csq_waiter_make(slot, 2));
    ck_assert_int_eq(hear(slot, numbers, 8, &all), 2);
    ck_assert_uint_eq(numbers[0], 1);
    ck_assert_uint_eq(numbers[1], 2);
    ck_assert_int_eq(all, 1);
}
END_TEST

/* A writer that died after it set the bell and before it wrote. */
START_TEST(a_bell_that_was_never_written_is_rung_again)
{
    csq_slot *slot;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    fx.q->slots[0].bell = 1;
    ring(csq_waiter_make(slot, 1));
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 1);
}
END_TEST

START_TEST(closing_rings_everybody)
{
    csq_slot *slot;
    apr_uint32_t numbers[8];
    int all;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    csq_close(fx.q);
    ck_assert_int_eq(readable(csq_slot_descriptor(slot)), 1);
    hear(slot, numbers, 8, &all);
    ck_assert_int_eq(all, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_slot");
    TCase *tc = tcase_create("slot");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, slots_run_out_and_come_back);
    tcase_add_test(tc, a_waiter_of_an_earlier_owner_is_nobody);
    tcase_add_test(tc, made_up_waiters_harm_nothing);
    tcase_add_test(tc, numbers_come_in_order_and_in_parts);
    tcase_add_test(tc, an_overflow_says_look_at_everything);
    tcase_add_test(tc, who_is_awake_is_not_rung_and_misses_nothing);
    tcase_add_test(tc, a_late_byte_wakes_once);
    tcase_add_test(tc, a_place_that_was_never_filled_says_look_at_everything);
    tcase_add_test(tc, a_bell_that_was_never_written_is_rung_again);
    tcase_add_test(tc, closing_rings_everybody);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
