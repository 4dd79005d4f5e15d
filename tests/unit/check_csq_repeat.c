/* SPDX-License-Identifier: Apache-2.0
 * check_csq_repeat.c - requests that must have their effect once.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* ---- to many ------------------------------------------------------------------- */

#define MEMBERS 40 /* in most of the shards                             */

static const char *member(int i)
{
    return apr_psprintf(fx.pool, "member%d", i);
}

static void join(void)
{
    int i;
    int changed;

    for (i = 0; i < MEMBERS; i++) {
        csq_key key = { "realm", member(i), NULL };

        ck_ok(csq_group_add(fx.q, &key, "orders", "staff", fx.now, &changed));
    }
}

static apr_status_t tell_staff(const csq_digest *key, csq_refused_fn *each)
{
    csq_message message = message_of("x");

    message.id = id;
    message.repeat = key;
    return csq_append_group(fx.q, &message, "staff", fx.now, each, NULL, &fx.appended);
}

static unsigned shard_of(int i)
{
    csq_key key = { "realm", member(i), NULL };
    csq_name name;

    ck_ok(csq_name_make(fx.q, &key, &name));
    return csq_name_shard(&name);
}

/* Of those that a publish comes to before `end`, one that it comes to last. */
static const char *last_before(unsigned end)
{
    int last = -1;
    int i;

    for (i = 0; i < MEMBERS; i++)
        if (shard_of(i) < end && (last < 0 || shard_of(i) > shard_of(last)))
            last = i;
    ck_assert_int_ge(last, 0);
    return member(last);
}

/* In the last shard; in the last but one; in the first. */
static const char *last_member(void)
{
    return last_before(CSQ_SHARDS);
}

static const char *last_but_one(void)
{
    return last_before(shard_of(atoi(last_member() + 6)));
}

static const char *first_member(void)
{
    int first = 0;
    int i;

    for (i = 1; i < MEMBERS; i++)
        if (shard_of(i) < shard_of(first))
            first = i;
    return member(first);
}

/* Two have taken it, see below. */
static void expect_each_once(void)
{
    const char *first = first_member();
    const char *second = last_but_one();
    int i;

    for (i = 0; i < MEMBERS; i++) {
        apr_status_t rv = get(member(i), NULL);

        if (strcmp(member(i), first) == 0 || strcmp(member(i), second) == 0) {
            ck_status(rv, CSQ_EMPTY);
            continue;
        }
        ck_assert_msg(rv == APR_SUCCESS, "%s has nothing", member(i));
        ck_assert_str_eq(texts(), "x");
    }
}

static int reads_and_acknowledges(const char *client)
{
    csq_cursor cursor;

    if (get(client, NULL) != APR_SUCCESS)
        return 0;
    cursor = cursor_now();
    return acknowledge(client, &cursor) == CSQ_EMPTY;
}

/* Not before those of the first and of the last shard that are served have read it
 * and acknowledged. */
static void die(void *baton, const char *client, apr_status_t status)
{
    (void)baton;
    (void)client;
    if (status != CSQ_QUEUE_FULL)
        _exit(2);
    _exit(reads_and_acknowledges(first_member()) && reads_and_acknowledges(last_but_one())
              ? 0
              : 3);
}

/* The publisher dies in the shard of a member whose queue is full. */
static void tell_half(const csq_digest *key)
{
    csq_message message = message_of("x");
    csq_limits limits;
    csq_cursor cursor;
    const char *full = last_member();
    pid_t child;
    int status;

    csq_limits_get(fx.q, &limits);
    limits.max_queue = 1;
    csq_limits_set(fx.q, &limits);
    ck_ok(append(&message, full, NULL));
    child = fork();
    if (child == 0) {
        tell_staff(key, die);
        _exit(1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    limits.max_queue = 10;
    csq_limits_set(fx.q, &limits);
    ck_ok(get(full, NULL));
    cursor = cursor_now();
    ck_status(acknowledge(full, &cursor), CSQ_EMPTY);
}

START_TEST(who_died_on_the_way_to_many_is_followed)
{
    csq_digest key = digest_of("k");
    unsigned char first[CSQ_ID_BYTES];

    join();
    ck_ok(begin("k", "b", 0));
    memcpy(first, id, sizeof first);
    tell_half(&key);
    ck_ok(begin("k", "b", me()));
    ck_assert_mem_eq(id, first, sizeof first);
    ck_status(begin("k", "b", me()), CSQ_RUNNING);
    ck_ok(tell_staff(&key, NULL));
    ck_assert(fx.appended.resumed);
    ck_assert_uint_gt(fx.appended.receivers, 0);
    ck_assert_uint_lt(fx.appended.receivers, MEMBERS);
    ck_assert_mem_eq(fx.appended.id, first, sizeof first);
    ck_ok(finish("k", "a", 1));
    ck_status(begin("k", "b", me()), CSQ_REPEATED);
    expect_each_once();
}
END_TEST

/* Who went on without success leaves it to the next one. */
START_TEST(what_has_reached_some_is_not_forgotten)
{
    csq_digest key = digest_of("k");

    join();
    ck_ok(begin("k", "b", 0));
    tell_half(&key);
    ck_ok(begin("k", "b", me()));
    ck_ok(csq_repeat_forget(fx.q, &key));
    ck_status(begin("k", "other", me()), CSQ_OTHER_BODY);
    ck_ok(begin("k", "b", me()));
    ck_ok(tell_staff(&key, NULL));
    ck_assert(fx.appended.resumed);
    expect_each_once();
}
END_TEST

/* It would note how far it is in a record that is another's. */
START_TEST(a_key_stays_while_its_publisher_is_on_the_way)
{
    csq_digest key = digest_of("k");

    join();
    ck_ok(begin("k", "b", 0));
    tell_half(&key);
    ck_ok(begin("k", "b", me()));
    fx.now += HOUR + 5 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000000));
    ck_status(begin("k", "b", me()), CSQ_RUNNING);
    ck_ok(tell_staff(&key, NULL));
    ck_ok(csq_expire(fx.q, fx.now, 1000000));
    ck_ok(begin("k", "other", me()));
}
END_TEST

START_TEST(taken_back_on_the_way_it_reaches_nobody_more)
{
    csq_digest key = digest_of("k");
    csq_message_key message = { "realm", "orders", "tester", { 0 } };
    csq_message_info info;

    join();
    ck_ok(begin("k", "b", 0));
    tell_half(&key);
    memcpy(message.id, id, CSQ_ID_BYTES);
    ck_ok(csq_message_withdraw(fx.q, &message, &info));
    ck_status(begin("k", "b", me()), CSQ_REPEATED);
    ck_assert_uint_eq(len, 0);
    ck_status(get(last_member(), NULL), CSQ_EMPTY);
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
    tcase_add_test(tc, who_died_on_the_way_to_many_is_followed);
    tcase_add_test(tc, what_has_reached_some_is_not_forgotten);
    tcase_add_test(tc, a_key_stays_while_its_publisher_is_on_the_way);
    tcase_add_test(tc, taken_back_on_the_way_it_reaches_nobody_more);
    tcase_add_test(tc, a_full_segment_says_so);
    tcase_add_test(tc, digests_depend_on_every_part);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
