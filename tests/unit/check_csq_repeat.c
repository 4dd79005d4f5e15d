/* SPDX-License-Identifier: Apache-2.0
 * check_csq_repeat.c - requests that must have their effect once.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <stdlib.h>

#define HOUR (3600 * SECOND)

static csq_slot *slot;
static char answer[CSQ_ANSWER_MAX];
static apr_size_t len;
static unsigned char id[CSQ_ID_BYTES];

static csq_digest digest_of(const char *text)
{
    apr_size_t length = strlen(text);

    return csq_digest_make(fx.q, &text, &length, 1);
}

static apr_status_t begin(const char *key, const char *body, csq_waiter owner)
{
    csq_digest k = digest_of(key);
    csq_digest b = digest_of(body);

    len = sizeof answer;
    return csq_repeat_begin(fx.q, &k, &b, owner, HOUR, fx.now, id, answer, &len);
}

static apr_status_t finish(const char *key, const char *text, apr_size_t length)
{
    csq_digest k = digest_of(key);

    return csq_repeat_finish(fx.q, &k, text, length);
}

static csq_waiter me(void)
{
    if (!slot)
        ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    return csq_waiter_make(slot, 1);
}

START_TEST(the_same_answer_again)
{
    unsigned char first[CSQ_ID_BYTES];
    static char long_text[CSQ_ANSWER_MAX];

    ck_ok(begin("k", "b", me()));
    memcpy(first, id, sizeof first);
    ck_status(begin("k", "b", me()), CSQ_RUNNING);
    ck_status(begin("k", "other", me()), CSQ_OTHER_BODY);
    ck_ok(finish("k", "the answer", 10));
    ck_status(begin("k", "b", me()), CSQ_REPEATED);
    ck_assert_uint_eq(len, 10);
    ck_assert_mem_eq(answer, "the answer", 10);
    ck_assert_mem_eq(id, first, sizeof first);
    ck_status(begin("k", "other", me()), CSQ_OTHER_BODY);
    memset(long_text, 'y', sizeof long_text);
    ck_ok(begin("long", "b", me()));
    ck_ok(finish("long", long_text, sizeof long_text));
    ck_status(begin("long", "b", me()), CSQ_REPEATED);
    ck_assert_uint_eq(len, sizeof long_text);
    ck_assert_mem_eq(answer, long_text, sizeof long_text);
}
END_TEST

START_TEST(what_had_no_effect_may_be_tried_again)
{
    csq_digest key;

    ck_ok(begin("k", "b", me()));
    key = digest_of("k");
    ck_ok(csq_repeat_forget(fx.q, &key));
    ck_ok(begin("k", "other", me()));
    ck_status(csq_repeat_forget(fx.q, &(csq_digest){ { 0 } }), CSQ_EMPTY);
    ck_status(finish("unknown", "x", 1), CSQ_EMPTY);
}
END_TEST

START_TEST(it_is_forgotten_after_its_time)
{
    int i;

    ck_ok(begin("k", "b", me()));
    ck_ok(finish("k", "a", 1));
    for (i = 0; i < 50; i++)
        ck_ok(begin(apr_psprintf(fx.pool, "k%d", i), "b", me()));
    fx.now += HOUR + 5 * SECOND;
    ck_ok(begin("k", "other", me()));
    fx.now += HOUR + 5 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000000));
    ck_assert_uint_eq(stats_now().segment_used, 0);
}
END_TEST

START_TEST(an_owner_that_died_is_at_it_no_more)
{
    csq_message message = message_of("x");
    apr_pool_t *pool;
    csq_slot *other;

    apr_pool_create(&pool, fx.pool);
    ck_ok(csq_slot_claim(fx.q, pool, &other));
    ck_ok(begin("before", "b", csq_waiter_make(other, 1)));
    ck_ok(begin("after", "b", csq_waiter_make(other, 1)));
    message.id = id;
    ck_ok(append(&message, "alice", NULL));
    ck_assert_mem_eq(fx.appended.id, id, sizeof id);
    ck_status(begin("after", "b", me()), CSQ_RUNNING);
    apr_pool_destroy(pool);
    ck_ok(begin("before", "b", me()));
    ck_status(begin("after", "b", me()), CSQ_REPEATED);
    ck_assert_uint_eq(len, 0);
    ck_assert_mem_eq(fx.appended.id, id, sizeof id);
}
END_TEST

START_TEST(a_full_segment_says_so)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < 1000000; i++)
        rv = begin(apr_psprintf(fx.pool, "k%d", i), "b", me());
    ck_status(rv, CSQ_SEGMENT_FULL);
    ck_status(finish("k0", answer, 5000), CSQ_SEGMENT_FULL);
    ck_status(begin("k0", "b", me()), CSQ_REPEATED);
    ck_assert_uint_eq(len, 0);
    fx.now += HOUR + 5 * SECOND;
    ck_ok(begin("again", "b", me()));
}
END_TEST

START_TEST(digests_depend_on_every_part)
{
    const char *one[2] = { "ab", "c" };
    const char *two[2] = { "a", "bc" };
    apr_size_t lengths_one[2] = { 2, 1 };
    apr_size_t lengths_two[2] = { 1, 2 };
    csq_digest a = csq_digest_make(fx.q, one, lengths_one, 2);
    csq_digest b = csq_digest_make(fx.q, two, lengths_two, 2);
    csq_digest c = csq_digest_make(fx.q, one, lengths_one, 2);

    ck_assert_mem_ne(a.bytes, b.bytes, sizeof a.bytes);
    ck_assert_mem_eq(a.bytes, c.bytes, sizeof a.bytes);
}
END_TEST

static void setup(void)
{
    fixture_setup();
    slot = NULL;
}

int main(void)
{
    Suite *suite = suite_create("csq_repeat");
    TCase *tc = tcase_create("repeat");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, fixture_teardown);
    tcase_add_test(tc, the_same_answer_again);
    tcase_add_test(tc, what_had_no_effect_may_be_tried_again);
    tcase_add_test(tc, it_is_forgotten_after_its_time);
    tcase_add_test(tc, an_owner_that_died_is_at_it_no_more);
    tcase_add_test(tc, a_full_segment_says_so);
    tcase_add_test(tc, digests_depend_on_every_part);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
