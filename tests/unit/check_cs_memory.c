/* SPDX-License-Identifier: Apache-2.0
 * check_cs_memory.c - what one connection does not use, another gets.
 */
#include "cs_compat.h"

#include "cs_memory.h"

#include <apr_general.h>
#include <apr_pools.h>
#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define NODES 32

static apr_allocator_t *make_allocator(void)
{
    apr_allocator_t *allocator;

    ck_assert_int_eq(apr_allocator_create(&allocator), APR_SUCCESS);
    cs_memory_bound(allocator);
    return allocator;
}

/* A request of that many pools of one node each; where they lay. */
static void run_request(apr_allocator_t *allocator, int pools, void **out_places)
{
    apr_pool_t *pool[NODES];
    int i;

    for (i = 0; i < pools; i++) {
        ck_assert_int_eq(apr_pool_create_ex(&pool[i], NULL, NULL, allocator),
                         APR_SUCCESS);
        out_places[i] = pool[i];
    }
    for (i = 0; i < pools; i++) {
        apr_pool_destroy(pool[i]);
    }
}

static int count_common(void **left, int n, void **right, int m)
{
    int i, j, common = 0;

    for (i = 0; i < n; i++) {
        for (j = 0; j < m; j++) {
            common += left[i] == right[j];
        }
    }
    return common;
}

START_TEST(what_one_does_not_use_another_gets)
{
    apr_allocator_t *one = make_allocator(), *other = make_allocator();
    void *first[NODES], *second[NODES];

    run_request(one, 4, first);
    cs_memory_reclaim(one);
    cs_memory_lend(other);
    run_request(other, 4, second);
    ck_assert_int_eq(count_common(first, 4, second, 4), 4);
    apr_allocator_destroy(one);
    apr_allocator_destroy(other);
}
END_TEST

START_TEST(what_is_in_use_stays)
{
    apr_allocator_t *one = make_allocator(), *other = make_allocator();
    void *places[NODES];
    apr_pool_t *held;
    char *text;

    ck_assert_int_eq(apr_pool_create_ex(&held, NULL, NULL, one), APR_SUCCESS);
    text = apr_palloc(held, 64);
    memset(text, 'x', 64);
    run_request(one, 3, places);
    cs_memory_reclaim(one);
    cs_memory_lend(other);
    run_request(other, 8, places);
    ck_assert_int_eq(count_common((void *[]){ held }, 1, places, 8), 0);
    ck_assert_int_eq(text[0], 'x');
    ck_assert_int_eq(text[63], 'x');
    apr_pool_destroy(held);
    apr_allocator_destroy(one);
    apr_allocator_destroy(other);
}
END_TEST

/* Nodes that were lent and never used are not taken for new ones. */
START_TEST(what_was_lent_in_vain_comes_back)
{
    apr_allocator_t *one = make_allocator(), *other = make_allocator();
    void *first[NODES], *second[NODES];
    int i;

    run_request(one, 4, first);
    cs_memory_reclaim(one);
    for (i = 0; i < 100; i++) {
        cs_memory_lend(other);
        cs_memory_reclaim(other);
    }
    cs_memory_lend(one);
    run_request(one, 4, second);
    ck_assert_int_eq(count_common(first, 4, second, 4), 4);
    apr_allocator_destroy(one);
    apr_allocator_destroy(other);
}
END_TEST

START_TEST(large_blocks_are_not_shared)
{
    apr_allocator_t *one = make_allocator(), *other = make_allocator();
    apr_pool_t *pool;
    void *places[NODES];

    ck_assert_int_eq(apr_pool_create_ex(&pool, NULL, NULL, one), APR_SUCCESS);
    memset(apr_palloc(pool, 60000), 'x', 60000);
    apr_pool_destroy(pool);
    cs_memory_reclaim(one);
    cs_memory_lend(other);
    run_request(other, NODES, places);
    cs_memory_reclaim(other);
    apr_allocator_destroy(one);
    apr_allocator_destroy(other);
}
END_TEST

/* Whether the page is mapped at all. */
static int is_mapped(const void *place)
{
    unsigned char resident;
    uintptr_t page = (uintptr_t)place & ~(uintptr_t)4095;

    return mincore((void *)page, 4096, &resident) == 0;
}

static int count_mapped(void **places, int n)
{
    int i, mapped = 0;

    for (i = 0; i < n; i++) {
        mapped += is_mapped(places[i]);
    }
    return mapped;
}

/* An APR whose nodes come from malloc() leaves that to malloc(). */
static int nodes_are_mappings(void)
{
    apr_allocator_t *allocator = make_allocator();
    void *place;

    run_request(allocator, 1, &place);
    apr_allocator_destroy(allocator);
    return !is_mapped(place);
}

START_TEST(what_nobody_borrows_goes_to_the_kernel)
{
    apr_allocator_t *one;
    void *places[NODES];
    int i;

    if (!nodes_are_mappings()) {
        return;
    }
    one = make_allocator();
    run_request(one, 8, places);
    cs_memory_reclaim(one);
    cs_memory_upkeep(); /* they are new to it                                    */
    ck_assert_int_eq(count_mapped(places, 8), 8);
    for (i = 0; i < 8; i++) {
        cs_memory_upkeep();
    }
    ck_assert_int_eq(count_mapped(places, 8), 0);
    apr_allocator_destroy(one);
}
END_TEST

START_TEST(buffers_are_used_again)
{
    char *taken[100], *again;
    int i;

    for (i = 0; i < 100; i++) {
        taken[i] = cs_memory_buffer_take();
        ck_assert_ptr_nonnull(taken[i]);
        memset(taken[i], 'x', CS_MEMORY_BUFFER);
    }
    for (i = 0; i < 100; i++) {
        cs_memory_buffer_give(taken[i]);
    }
    again = cs_memory_buffer_take();
    ck_assert_int_ge(count_common((void *[]){ again }, 1, (void **)taken, 100), 1);
    cs_memory_buffer_give(again);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cs_memory");
    TCase *shared = tcase_create("shared");
    SRunner *runner;
    int failed;

    apr_initialize();
    tcase_add_test(shared, what_one_does_not_use_another_gets);
    tcase_add_test(shared, what_is_in_use_stays);
    tcase_add_test(shared, what_was_lent_in_vain_comes_back);
    tcase_add_test(shared, large_blocks_are_not_shared);
    tcase_add_test(shared, what_nobody_borrows_goes_to_the_kernel);
    tcase_add_test(shared, buffers_are_used_again);
    suite_add_tcase(suite, shared);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
