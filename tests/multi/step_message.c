/* SPDX-License-Identifier: Apache-2.0
 * step_message.c - what became of a message: withdraw, receipts, who waits for
 * them, what applications say, what is kept for a time.
 */
#include "cs_compat.h"
#include "step_harness.h"

static csq_slot *slot;
static csq_cursor cursor;
static csq_message_key message_key;

static void note_key(void)
{
    message_key = (csq_message_key){ "realm", "orders", "tester", { 0 } };
    memcpy(message_key.id, fx.appended.id, CSQ_ID_BYTES);
}

static void prepare_spread(void)
{
    csq_key keys[3] = { { "realm", "alice", NULL },
                        { "realm", "bob", NULL },
                        { "realm", "carol", NULL } };
    csq_message message = message_of("x");

    message.receipt = 1;
    message.topic = "t";
    ck_ok(csq_append(fx.q, &message, keys, 3, fx.now, NULL, &fx.appended));
    note_key();
    ck_ok(get("bob", NULL));
    cursor = cursor_now();
}

static void prepare_one(void)
{
    step_put("alice", NULL, NULL, "before");
    step_put("alice", NULL, NULL, "x");
    note_key();
    step_put("alice", NULL, NULL, "after");
}

static void prepare_slot(void)
{
    prepare_spread();
    ck_ok(csq_slot_claim(fx.q, step_slot_pool, &slot));
}

static const csq_message_info *ask(void)
{
    ck_ok(csq_message_get(fx.q, &message_key, 0, NULL, &fx.info));
    return &fx.info;
}

/* ---- withdraw ----------------------------------------------------------- */

static apr_status_t run_withdraw(void)
{
    return csq_message_withdraw(fx.q, &message_key, &fx.info);
}

static void judge_withdraw(int finished)
{
    unsigned n = step_count("alice");

    ck_assert(!finished || n == 0);
    ck_assert_uint_eq(step_count("bob"), n);
    ck_assert_uint_eq(step_count("carol"), n);
    ck_assert_uint_eq(ask()->counts[CSQ_STATE_WITHDRAWN], n ? 0 : 3);
}

static void judge_withdraw_one(int finished)
{
    int there;

    step_count("alice");
    there = strcmp(texts(), "before x after") == 0;
    ck_assert(there || strcmp(texts(), "before after") == 0);
    ck_assert(!there || !finished);
    ck_assert_int_eq(ask()->state, there ? CSQ_STATE_HANDED_OUT : CSQ_STATE_WITHDRAWN);
}

/* ---- receipts ----------------------------------------------------------- */

static apr_status_t run_take(void)
{
    return step_or_empty(acknowledge("bob", &cursor));
}

static void judge_take(int finished)
{
    unsigned n = step_count("bob");

    ck_assert(!finished || n == 0);
    ck_assert_uint_eq(ask()->counts[CSQ_STATE_RECEIVED], n ? 0 : 1);
    ck_assert_uint_eq(fx.info.queues, 3);
    ck_assert_uint_eq(step_count("alice"), 1);
    ck_assert_uint_eq(step_count("carol"), 1);
}

static apr_status_t run_watch(void)
{
    apr_uint32_t changes = ask()->changes;

    return csq_message_get(fx.q, &message_key, csq_waiter_make(slot, 7), &changes,
                           &fx.info);
}

static void judge_watch(int finished)
{
    (void)finished;
    ck_ok(csq_message_unwait(fx.q, &message_key, csq_waiter_make(slot, 7)));
    ck_assert_uint_eq(ask()->queues, 3);
}

static apr_status_t run_unwatch(void)
{
    return csq_message_unwait(fx.q, &message_key, csq_waiter_make(slot, 7));
}

static void prepare_watched(void)
{
    prepare_slot();
    ck_ok(run_watch());
    ck_assert_int_eq(fx.info.waiting, 1);
}

static void judge_unwatch(int finished)
{
    (void)finished;
    ck_ok(run_unwatch());
}

/* Whoever waits for the receipt hears of it, at the latest by himself. */
static void judge_notify(int finished)
{
    apr_uint32_t numbers[8];
    int all = 0;
    int rung = csq_slot_take(slot, numbers, 8, &all);

    judge_take(finished);
    ck_assert_msg(!fx.info.counts[CSQ_STATE_RECEIVED] || all || rung > 0,
                  "nobody was told");
}

static void prepare_received(void)
{
    prepare_spread();
    ck_ok(run_take());
}

static apr_status_t run_acknowledged(void)
{
    unsigned char ids[2][CSQ_ID_BYTES];

    memset(ids, 0, sizeof ids);
    memcpy(ids[1], message_key.id, CSQ_ID_BYTES);
    return csq_message_acknowledged(fx.q, "realm",
                                    (const unsigned char(*)[CSQ_ID_BYTES])ids, 2);
}

/* An id that is sent again does no harm. */
static void judge_acknowledged(int finished)
{
    apr_uint32_t n = ask()->counts[CSQ_STATE_ACKNOWLEDGED];

    ck_assert(n == 1 || (n == 0 && !finished));
    ck_ok(run_acknowledged());
    ck_assert_uint_eq(ask()->counts[CSQ_STATE_ACKNOWLEDGED], 1);
    ck_assert_uint_eq(fx.info.queues, 3);
}

/* ---- what was kept goes ------------------------------------------------- */

static void remember(const char *name)
{
    static char answer[200];
    apr_size_t length = strlen(name);
    apr_size_t len = sizeof answer;
    csq_digest key = csq_digest_make(fx.q, &name, &length, 1);
    unsigned char id[CSQ_ID_BYTES];

    memset(answer, 'a', sizeof answer);
    ck_ok(csq_repeat_begin(fx.q, &key, &key, 0, 100 * SECOND, fx.now, id, answer, &len));
    ck_ok(csq_repeat_finish(fx.q, &key, answer, sizeof answer));
}

static void prepare_kept(void)
{
    static const char *const receivers[] = { "alice", "bob", "carol" };
    size_t i;

    prepare_spread();
    for (i = 0; i < 3; i++) {
        ck_ok(get(receivers[i], NULL));
        cursor = cursor_now();
        ck_status(acknowledge(receivers[i], &cursor), CSQ_EMPTY);
        remember(receivers[i]);
    }
}

/* All of it: the messages are over, receipts and answers too. */
static apr_status_t run_sweep(void)
{
    return csq_expire(fx.q, fx.now + 10000 * SECOND, UINT32_MAX);
}

static void judge_sweep(int finished)
{
    (void)finished;
    ck_ok(csq_expire(fx.q, fx.now + 20000 * SECOND, UINT32_MAX));
    ck_assert_uint_eq(stats_now().clients, 0);
    ck_assert_uint_eq(fx.q->header->free_count, fx.q->chunk_count);
}

const step_operation step_message_operations[] = {
    { "withdraw", prepare_spread, NULL, run_withdraw, judge_withdraw, NULL, NULL, 0 },
    { "withdraw_one", prepare_one, NULL, run_withdraw, judge_withdraw_one, NULL, NULL,
      0 },
    { "take", prepare_spread, NULL, run_take, judge_take, NULL, NULL, 0 },
    { "watch", prepare_slot, NULL, run_watch, judge_watch, NULL, NULL, 0 },
    { "unwatch", prepare_watched, NULL, run_unwatch, judge_unwatch, NULL, NULL, 0 },
    { "notify", prepare_watched, NULL, run_take, judge_notify, NULL, NULL, STEP_NO_COPY },
    { "acknowledged", prepare_received, NULL, run_acknowledged, judge_acknowledged, NULL,
      NULL, 0 },
    { "sweep", prepare_kept, NULL, run_sweep, judge_sweep, NULL, NULL, 0 },
    { NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0 }
};
