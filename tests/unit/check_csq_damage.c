/* SPDX-License-Identifier: Apache-2.0
 * check_csq_damage.c - any word of the shared memory behind the header may be
 * anything: every call ends and crashes nothing, and after a repair the
 * segment is whole.
 *
 * CSQ_DAMAGE_ROUNDS is the number of rounds, CSQ_DAMAGE_SEED the first seed.
 */
#include "cs_compat.h"
#include "csq_everything.h"

#include <stdlib.h>

#define ROUNDS 100
#define BLOWS  40  /* words changed in a round                    */
#define PLACE  150 /* chunks that are in use                      */

static void hit_somewhere(unsigned *seed)
{
    char *header = (char *)fx.q->header;
    uint32_t *tables = (uint32_t *)fx.q->buckets;
    size_t words = (size_t)(fx.q->chunks - (char *)tables) / 4;
    uint32_t *chunks = (uint32_t *)fx.q->chunks;
    uint32_t value =
        rand_r(seed) % 3 ? (uint32_t)rand_r(seed) % PLACE : (uint32_t)rand_r(seed) * 2;

    ck_assert_ptr_nonnull(header);
    if (rand_r(seed) % 8 == 0)
        tables[(size_t)rand_r(seed) % words] = value;
    else
        chunks[(size_t)rand_r(seed) % (PLACE * CSQ_CHUNK_BYTES / 4)] = value;
}

START_TEST(damage_never_crashes)
{
    const char *first = getenv("CSQ_DAMAGE_SEED");
    unsigned seed = (unsigned)_i + (first ? (unsigned)atol(first) : 0);
    int i;

    fx.damaged_on_purpose = 1;
    everything_begin(seed);
    everything_fill(&seed);
    for (i = 0; i < BLOWS; i++) {
        hit_somewhere(&seed);
        everything_step(&seed);
    }
    csq_repair_want(fx.q);
    get("alice", NULL);
    fixture_audit();
}
END_TEST

/* ---- locks ------------------------------------------------------------------ */

/* Whatever stands in the words of a mutex that nobody holds: a call ends in
 * bounded time, and after a restart all is well.                              */
static void expect_end_of_call(void)
{
    csq_message message = message_of("x");
    apr_time_t began = apr_time_now();
    apr_status_t rv = append(&message, "alice", NULL);

    ck_assert_msg(rv == APR_SUCCESS || rv == CSQ_BUSY || rv == CSQ_DAMAGED, "%d", rv);
    ck_assert_int_lt(apr_time_now() - began, 10 * SECOND);
}

static void expect_all_well(void)
{
    ck_ok(csq_mutexes_make(fx.q));
    csq_repair_want(fx.q);
    ck_ok(put("alice", "x"));
    fixture_audit();
}

START_TEST(a_mutex_of_any_kind_is_no_crash)
{
    int i;

    csq_lock_timeout_set(fx.q, 100);
    for (i = 0; i < CSQ_SHARDS; i++)
        fx.q->shards[i].mutex.__data.__kind = _i;
    expect_end_of_call();
    expect_all_well();
    fx.q->header->allocator.__data.__kind = _i;
    expect_end_of_call();
    expect_all_well();
}
END_TEST

START_TEST(a_mutex_with_any_words_is_no_crash)
{
    static const uint32_t values[] = { 1,          0x3fffffff, 0x40000000,
                                       0x40000001, 0x7ffffffe, 0x7fffffff,
                                       0x80000000, 0xbfffffff, 0xffffffff };
    uint32_t *words = (uint32_t *)&fx.q->header->allocator;
    size_t value, word;

    csq_lock_timeout_set(fx.q, 100);
    for (word = 0; word < sizeof(pthread_mutex_t) / sizeof(uint32_t); word++)
        for (value = 0; value < sizeof values / sizeof values[0]; value++) {
            words[word] = values[value];
            expect_end_of_call();
            expect_all_well();
        }
}
END_TEST

int main(void)
{
    const char *rounds = getenv("CSQ_DAMAGE_ROUNDS");
    Suite *suite = suite_create("csq_damage");
    TCase *tc = tcase_create("damage");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_loop_test(tc, damage_never_crashes, 0, rounds ? atoi(rounds) : ROUNDS);
    tcase_add_loop_test(tc, a_mutex_of_any_kind_is_no_crash, 0, 256);
    tcase_add_test(tc, a_mutex_with_any_words_is_no_crash);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
