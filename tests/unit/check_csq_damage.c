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
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
