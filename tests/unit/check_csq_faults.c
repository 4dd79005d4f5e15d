/* SPDX-License-Identifier: Apache-2.0
 * check_csq_faults.c - the n-th call of the allocator fails, for every n: its
 * lock is busy, a repair is due, there is no room. Whatever was under way is
 * done or not done, nothing belongs to nobody.
 *
 * The linker puts the functions below in the place of the real ones (--wrap).
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#define MOST_CALLS 60 /* more than any call below needs              */

apr_status_t __real_csq_allocator_lock(csq *q);
apr_status_t __real_csq_chunk_take_locked(csq *q, uint32_t n, uint32_t *out_head);
apr_status_t __real_csq_chunk_take_last_locked(csq *q, uint32_t n, uint32_t *out_head);
apr_status_t __wrap_csq_allocator_lock(csq *q);
apr_status_t __wrap_csq_chunk_take_locked(csq *q, uint32_t n, uint32_t *out_head);
apr_status_t __wrap_csq_chunk_take_last_locked(csq *q, uint32_t n, uint32_t *out_head);

static int locks_left; /* until one fails; 0: none does               */
static int takes_left;
static apr_status_t fault;
static int lasting; /* so do all that follow                       */
static int failed;

static int fails(int *left)
{
    if (*left == 0 || --*left > 0)
        return 0;
    *left = lasting;
    failed++;
    return 1;
}

apr_status_t __wrap_csq_allocator_lock(csq *q)
{
    return fails(&locks_left) ? fault : __real_csq_allocator_lock(q);
}

apr_status_t __wrap_csq_chunk_take_locked(csq *q, uint32_t n, uint32_t *out_head)
{
    return fails(&takes_left) ? fault : __real_csq_chunk_take_locked(q, n, out_head);
}

apr_status_t __wrap_csq_chunk_take_last_locked(csq *q, uint32_t n, uint32_t *out_head)
{
    return fails(&takes_left) ? fault : __real_csq_chunk_take_last_locked(q, n, out_head);
}

static void no_faults(void)
{
    locks_left = takes_left = lasting = 0;
}

/* ---- what is tried ----------------------------------------------------------- */

static unsigned char id[CSQ_ID_BYTES];
static csq_cursor cursor;
static csq_waiter waiter;

static csq_message asked_of(const char *text)
{
    csq_message message = message_of(text);

    message.receipt = 1;
    message.topic = "t";
    return message;
}

static int change_group(const char *client, int add)
{
    csq_key key = { "realm", client, NULL };
    int changed;

    return add ? csq_group_add(fx.q, &key, "orders", "staff", fx.now, &changed)
               : csq_group_remove(fx.q, &key, "orders", "staff", fx.now, &changed);
}

static void prepare_nothing(void)
{
}

static apr_status_t first_poll(void)
{
    return read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10);
}

/* Both a queue of that name and one that waits, which has dropped some. */
static void prepare_joining(void)
{
    csq_message message = asked_of("named");

    fx.limits.max_queue = 2;
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(append(&message, "alice", "phone"));
    message = message_of("waits");
    ck_ok(append(&message, "alice", NULL));
    ck_ok(append(&message, "alice", NULL));
    ck_ok(append(&message, "alice", NULL));
}

static void prepare_member(void)
{
    ck_ok(change_group("alice", 1));
}

static apr_status_t add_member(void)
{
    return change_group("alice", 1);
}

static apr_status_t remove_member(void)
{
    return change_group("alice", 0);
}

/* Three queues of two clients; one is full, one is not there yet. */
static void prepare_full(void)
{
    csq_message message = asked_of("old");

    fx.limits.max_queue = 1;
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    first_poll();
    read_as("alice", "desk", NULL, CSQ_VERY_LOW, 10);
    message.topic = NULL;
    ck_ok(append(&message, "alice", "phone"));
    memcpy(id, fx.appended.id, sizeof id);
    ck_ok(change_group("alice", 1));
    ck_ok(change_group("bob", 1));
    ck_ok(change_group("carol", 1));
}

static apr_status_t append_to_several(void)
{
    static const csq_key to[] = { { "realm", "alice", NULL },
                                  { "realm", "dave", NULL },
                                  { "realm", "dave", "watch" } };
    csq_message message = asked_of("new");
    apr_uint64_t published = stats_now().published;
    apr_status_t rv = csq_append(fx.q, &message, to, 3, fx.now, NULL, &fx.appended);

    ck_assert_uint_eq(stats_now().published, published + (rv == APR_SUCCESS));
    return rv;
}

static apr_status_t append_to_group(void)
{
    csq_message message = asked_of("new");

    apr_status_t rv =
        csq_append_group(fx.q, &message, "staff", fx.now, NULL, NULL, &fx.appended);

    if (fault == CSQ_RETRY) {
        ck_assert_uint_eq(fx.appended.queues, 4);
        ck_assert_uint_eq(fx.appended.refused, 0);
    }
    return rv;
}

static void prepare_handed(void)
{
    prepare_full();
    ck_ok(first_poll());
    cursor = cursor_now();
}

static apr_status_t take_back(void)
{
    csq_message_key key = { "realm", "orders", NULL, { 0 } };

    memcpy(key.id, id, sizeof id);
    return csq_message_withdraw(fx.q, &key, &fx.info);
}

static apr_status_t acknowledge_it(void)
{
    return read_as("alice", "phone", &cursor, CSQ_VERY_LOW, 10);
}

static apr_status_t expire_all(void)
{
    apr_status_t rv;

    fx.now += 5000 * SECOND;
    rv = csq_expire(fx.q, fx.now, 100000);
    fx.now += 40 * 86400 * SECOND;
    return rv == APR_SUCCESS ? csq_expire(fx.q, fx.now, 100000) : rv;
}

static apr_status_t repeat_it(void)
{
    static const char answer[600] = "an answer";
    const char *text = "key";
    apr_size_t len = 3;
    csq_digest digest = csq_digest_make(fx.q, &text, &len, 1);
    char buffer[1000];
    apr_status_t rv;

    len = sizeof buffer;
    rv = csq_repeat_begin(fx.q, &digest, &digest, 0, 100 * SECOND, fx.now, id, buffer,
                          &len);
    if (rv == APR_SUCCESS)
        rv = csq_repeat_finish(fx.q, &digest, answer, sizeof answer);
    if (rv == APR_SUCCESS)
        rv = csq_repeat_forget(fx.q, &digest);
    return rv;
}

static void prepare_slot(void)
{
    csq_slot *slot;

    prepare_full();
    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    waiter = csq_waiter_make(slot, 1);
}

static apr_status_t append_to_one(void)
{
    csq_message message = asked_of("new");

    return append(&message, "dave", "watch");
}

/* Makes a receipt for a message that has none. */
static apr_status_t ask_and_wait(void)
{
    csq_message_key key = { "realm", "orders", NULL, { 0 } };
    csq_message message = message_of("new");
    apr_status_t rv = append(&message, "erin", NULL);

    memcpy(key.id, fx.appended.id, sizeof key.id);
    if (rv == APR_SUCCESS)
        rv = csq_message_get(fx.q, &key, 0, NULL, &fx.info);
    if (rv == APR_SUCCESS)
        rv = csq_message_get(fx.q, &key, waiter, &fx.info.changes, &fx.info);
    if (rv == APR_SUCCESS) {
        ck_assert_int_eq(fx.info.waiting, 1);
        rv = csq_message_unwait(fx.q, &key, waiter);
    }
    return rv;
}

static void prepare_received(void)
{
    prepare_handed();
    ck_status(acknowledge_it(), CSQ_EMPTY);
}

static apr_status_t report_it(void)
{
    unsigned char ids[1][CSQ_ID_BYTES];

    memcpy(ids[0], id, sizeof id);
    return csq_message_acknowledged(fx.q, "realm",
                                    (const unsigned char(*)[CSQ_ID_BYTES])ids, 1);
}

static apr_status_t poll_and_wait(void)
{
    apr_status_t rv = wait_for("frank", waiter, 0);
    csq_key key = { "realm", "frank", NULL };

    return rv == CSQ_EMPTY ? csq_waiter_remove(fx.q, &key, waiter) : rv;
}

typedef struct trial {
    const char *name;
    void (*prepare)(void);
    apr_status_t (*act)(void);
} trial;

static const trial trials[] = {
    { "first poll", prepare_nothing, first_poll },
    { "first poll, joining", prepare_joining, first_poll },
    { "first member", prepare_nothing, add_member },
    { "last member leaves", prepare_member, remove_member },
    { "append to one", prepare_full, append_to_one },
    { "append to several", prepare_full, append_to_several },
    { "append to a group", prepare_full, append_to_group },
    { "withdraw", prepare_handed, take_back },
    { "acknowledge", prepare_handed, acknowledge_it },
    { "expire", prepare_handed, expire_all },
    { "repeat", prepare_nothing, repeat_it },
    { "ask for a message", prepare_slot, ask_and_wait },
    { "report", prepare_received, report_it },
    { "poll and wait", prepare_slot, poll_and_wait },
};

/* @return 0: it did not call that often */
static int try_once(const trial *t, int *left, int n)
{
    const char *problem = NULL;
    char text[128];
    apr_status_t rv;
    int mended;

    t->prepare();
    failed = 0;
    *left = n;
    rv = t->act();
    no_faults();
    mended = csq_repair_wanted(fx.q);
    ck_assert_msg(csq_audit(fx.q, fx.pool, &problem) == APR_SUCCESS, "%s, call %d: %s",
                  t->name, n, problem);
    ck_assert_msg(rv != CSQ_RETRY && rv != CSQ_DAMAGED, "%s, call %d: %s", t->name, n,
                  csq_strerror(rv, text, sizeof text));
    /* What was refused can be done now, or was done. */
    ck_assert_msg(mended || failed || rv != CSQ_BUSY, "%s: busy", t->name);
    rv = t->act();
    ck_assert_msg(
        rv == APR_SUCCESS || rv == CSQ_EMPTY || rv == CSQ_FINISHED || rv == CSQ_REPEATED,
        "%s, call %d, again: %s", t->name, n, csq_strerror(rv, text, sizeof text));
    fixture_audit();
    return failed;
}

static void try_all(int *left, apr_status_t status, int last)
{
    size_t i;
    int n;
    int more;

    for (i = 0; i < sizeof trials / sizeof trials[0]; i++)
        for (n = 1, more = 1; more; n++) {
            ck_assert_int_lt(n, MOST_CALLS);
            fixture_setup();
            fault = status;
            lasting = last;
            more = try_once(&trials[i], left, n);
            fixture_teardown();
        }
}

START_TEST(a_lock_that_is_busy_leaves_nothing_half_done)
{
    try_all(&locks_left, CSQ_BUSY, 0);
}
END_TEST

START_TEST(a_lock_that_stays_busy_leaves_nothing_half_done)
{
    try_all(&locks_left, CSQ_BUSY, 1);
}
END_TEST

START_TEST(a_repair_in_between_leaves_nothing_half_done)
{
    try_all(&locks_left, CSQ_RETRY, 0);
}
END_TEST

START_TEST(no_room_leaves_nothing_half_done)
{
    try_all(&takes_left, CSQ_SEGMENT_FULL, 0);
}
END_TEST

START_TEST(room_that_is_gone_leaves_nothing_half_done)
{
    try_all(&takes_left, CSQ_SEGMENT_FULL, 1);
}
END_TEST

/* What has left its queue waits to be freed: it is not told as dropped, and is
 * not counted twice for who begins to wait.                                   */
START_TEST(what_could_not_be_freed_is_not_told_wrong)
{
    csq_message_key key = { "realm", "orders", NULL, { 0 } };
    csq_message message;
    csq_slot *slot;

    fixture_setup();
    message = message_of("one");
    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    waiter = csq_waiter_make(slot, 1);
    read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10);
    read_as("alice", "desk", NULL, CSQ_VERY_LOW, 10);
    ck_ok(append(&message, "alice", NULL));
    memcpy(key.id, fx.appended.id, CSQ_ID_BYTES);
    ck_ok(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10));
    cursor = cursor_now();
    fault = CSQ_BUSY;
    lasting = locks_left = 1;
    ck_status(read_as("alice", "phone", &cursor, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    ck_status(csq_message_get(fx.q, &key, 0, NULL, &fx.info), CSQ_BUSY);
    no_faults();
    ck_ok(csq_message_get(fx.q, &key, 0, NULL, &fx.info));
    ck_assert_int_eq(fx.info.state, CSQ_STATE_QUEUED);
    ck_ok(csq_message_get(fx.q, &key, waiter, &fx.info.changes, &fx.info));
    ck_assert_int_eq(fx.info.waiting, 1);
    ck_assert_uint_eq(fx.info.counts[CSQ_STATE_QUEUED], 1);
    ck_ok(read_as("alice", "desk", NULL, CSQ_VERY_LOW, 10));
    cursor = cursor_now();
    lasting = locks_left = 1;
    ck_status(read_as("alice", "desk", &cursor, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    no_faults();
    ck_assert_str_eq(state_of(key.id), "received");
    ck_assert_uint_eq(fx.info.counts[CSQ_STATE_RECEIVED], 2);
    fixture_teardown();
}
END_TEST

/* A process has taken a message out of its queue and dies before it is freed. */
START_TEST(a_repair_knows_what_became_of_what_was_not_freed)
{
    unsigned char ids[2][CSQ_ID_BYTES];
    csq_message message;

    fixture_setup();
    message = message_of("one");
    read_as("bob", "phone", NULL, CSQ_VERY_LOW, 10);
    read_as("bob", "desk", NULL, CSQ_VERY_LOW, 10);
    ck_ok(append(&message, "alice", NULL));
    memcpy(ids[0], fx.appended.id, CSQ_ID_BYTES);
    ck_ok(append(&message, "bob", NULL));
    memcpy(ids[1], fx.appended.id, CSQ_ID_BYTES);
    ck_ok(read_as("bob", "desk", NULL, CSQ_VERY_LOW, 10));
    cursor = cursor_now();
    ck_status(read_as("bob", "desk", &cursor, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    ck_ok(read_as("alice", NULL, NULL, CSQ_VERY_LOW, 10));
    cursor = cursor_now();
    fault = CSQ_BUSY;
    lasting = locks_left = 1;
    ck_status(read_as("alice", NULL, &cursor, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    locks_left = 0;
    ck_ok(read_as("bob", "phone", NULL, CSQ_VERY_LOW, 10));
    cursor = cursor_now();
    locks_left = 1;
    ck_status(read_as("bob", "phone", &cursor, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    no_faults();
    csq_repair_want(fx.q);
    ck_assert_str_eq(state_of(ids[0]), "received");
    ck_assert_str_eq(state_of(ids[1]), "received");
    ck_assert_uint_eq(stats_now().repairs, 1);
    fixture_teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_faults");
    TCase *tc = tcase_create("faults");
    SRunner *runner;
    int bad;

    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_lock_that_is_busy_leaves_nothing_half_done);
    tcase_add_test(tc, a_lock_that_stays_busy_leaves_nothing_half_done);
    tcase_add_test(tc, a_repair_in_between_leaves_nothing_half_done);
    tcase_add_test(tc, no_room_leaves_nothing_half_done);
    tcase_add_test(tc, room_that_is_gone_leaves_nothing_half_done);
    tcase_add_test(tc, what_could_not_be_freed_is_not_told_wrong);
    tcase_add_test(tc, a_repair_knows_what_became_of_what_was_not_freed);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
