/* SPDX-License-Identifier: Apache-2.0
 * step_segment.c - repairs, slots and doorbells, who attaches, settings.
 */
#include "cs_compat.h"
#include "step_harness.h"

#include <unistd.h>

static csq_slot *slot;

/* ---- a repair: the next process finds the locks of one that died half way --- */

static void append_several(void)
{
    csq_key keys[3] = { { "realm", "alice", NULL },
                        { "realm", "bob", NULL },
                        { "realm", "dave", NULL } };
    csq_message message = message_of("to all of them");

    message.receipt = 1;
    message.topic = "t";
    ck_ok(csq_append(fx.q, &message, keys, 3, fx.now, NULL, NULL));
}

/* Linked for one of three. */
static void prepare_repair(void)
{
    ck_ok(put("bob", "before"));
    step_leave_half_done(append_several, 2);
}

static apr_status_t run_repair(void)
{
    return step_or_empty(get("bob", NULL));
}

static void judge_repair(int finished)
{
    (void)finished;
    step_expect("alice", "");
    step_expect("dave", "");
    step_expect("bob", "before");
}

static void fetch_bob_at_once(void)
{
    step_expect("bob", "before");
}

/* One message has left its queue, and hangs in none. */
static apr_status_t poll_first(void)
{
    return step_or_empty(read_as("alice", "desk", NULL, CSQ_VERY_LOW, 10));
}

static void poll_as_first(void)
{
    ck_ok(poll_first());
}

static void prepare_repair_join(void)
{
    step_put("alice", "desk", NULL, "1");
    step_put("alice", NULL, NULL, "2");
    step_put("alice", NULL, "t", "3");
    step_put("alice", "desk", "t", "4");
    step_leave_half_done(poll_as_first, 1);
}

static void judge_repair_join(int finished)
{
    (void)finished;
    ck_ok(poll_first());
    ck_assert_str_eq(texts(), "1 4 2 3");
    ck_assert_uint_eq(stats_now().queued, 4);
}

static csq_message_key withdrawn;

static void withdraw_it(void)
{
    ck_ok(csq_message_withdraw(fx.q, &withdrawn, &fx.info));
}

/* A sender has taken a message back from one of its queues. */
static void prepare_repair_withdraw(void)
{
    ck_ok(put("bob", "before"));
    append_several();
    withdrawn = (csq_message_key){ "realm", "orders", "tester", { 0 } };
    step_put("alice", NULL, NULL, "after");
    ck_ok(get_max("alice", NULL, 1));
    memcpy(withdrawn.id, csq_batch_get(fx.batch, 0)->id, CSQ_ID_BYTES);
    ck_assert_uint_eq(stats_now().queued, 5);
    step_leave_half_done(withdraw_it, 2);
}

static void judge_repair_withdraw(int finished)
{
    (void)finished;
    step_expect("alice", "after");
    step_expect("bob", "before");
    step_expect("dave", "");
    ck_ok(csq_message_get(fx.q, &withdrawn, 0, NULL, &fx.info));
    ck_assert_uint_eq(fx.info.counts[CSQ_STATE_WITHDRAWN], 3);
}

/* A message was linked, but whoever waits for it was not told. */
static void append_one(void)
{
    ck_ok(put("alice", "x"));
}

static void prepare_repair_untold(void)
{
    ck_ok(csq_slot_claim(fx.q, step_slot_pool, &slot));
    ck_status(wait_for("alice", csq_waiter_make(slot, 7), 0), CSQ_EMPTY);
    step_leave_half_done(append_one, 2);
}

static apr_status_t run_look(void)
{
    csq_key key = { "realm", "alice", NULL };
    csq_client_info info;

    return csq_client_info_get(fx.q, &key, &info);
}

static void judge_repair_untold(int finished)
{
    apr_uint32_t number = 0;
    int all = 0;
    int rung = csq_slot_take(slot, &number, 1, &all);

    (void)finished;
    step_expect("alice", "x");
    ck_assert_msg(all || (rung == 1 && number == 7), "nobody was told");
}

/* ---- slots -------------------------------------------------------------- */

static apr_status_t run_claim(void)
{
    return csq_slot_claim(fx.q, step_slot_pool, &slot);
}

/* The only slot is free again, and works. */
static void judge_claim(int finished)
{
    apr_uint32_t number = 0;
    int all;

    (void)finished;
    ck_ok(run_claim());
    ck_status(wait_for("alice", csq_waiter_make(slot, 7), 0), CSQ_EMPTY);
    ck_ok(put("alice", "x"));
    ck_assert(hear(slot, &number, 1, &all) == 1 && number == 7);
}

static void claim_in_child(void)
{
    ck_ok(run_claim());
    csq_slot_waiting_set(slot, 3);
}

static apr_status_t run_release(void)
{
    apr_pool_clear(step_slot_pool);
    return APR_SUCCESS;
}

static void prepare_rung(void)
{
    ck_ok(run_claim());
    ck_status(wait_for("alice", csq_waiter_make(slot, 7), 0), CSQ_EMPTY);
    ck_ok(put("alice", "x"));
}

static apr_status_t run_hear(void)
{
    apr_uint32_t numbers[4];
    int all;

    ck_assert_int_eq(hear(slot, numbers, 4, &all), 1);
    csq_slot_waiting_set(slot, 1);
    return APR_SUCCESS;
}

static void judge_hear(int finished)
{
    csq_cursor cursor;
    apr_uint32_t numbers[4];
    int all, n;

    (void)finished;
    hear(slot, numbers, 4, &all);
    step_expect("alice", "x");
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_status(wait_for("alice", csq_waiter_make(slot, 9), 0), CSQ_EMPTY);
    ck_ok(put("alice", "y"));
    n = hear(slot, numbers, 4, &all);
    ck_assert(all || (n > 0 && numbers[n - 1] == 9));
}

/* ---- who attaches ------------------------------------------------------- */

static apr_status_t run_attach(void)
{
    csq *server = fx.q;
    apr_pool_t *pool;
    apr_status_t rv;

    ck_assert_int_eq(apr_pool_create(&pool, fx.pool), APR_SUCCESS);
    rv = csq_attach(fx.path, pool, &fx.q);
    if (rv == APR_SUCCESS)
        rv = put("alice", "of a writer");
    apr_pool_destroy(pool);
    fx.q = server;
    return rv;
}

static void judge_attach(int finished)
{
    unsigned n = step_count("alice");

    ck_assert(n == 1 || (n == 0 && !finished));
    if (n)
        ck_assert_str_eq(text_of(0), "of a writer");
    ck_ok(run_attach());
    ck_assert_uint_eq(step_count("alice"), n + 1);
}

/* ---- settings ----------------------------------------------------------- */

static const char *const realms[] = { "realm", "other" };

static apr_status_t run_settings(void)
{
    csq_limits limits = fx.limits;
    apr_status_t rv;

    limits.max_queue = 5;
    limits.max_message = 100;
    rv = csq_limits_set(fx.q, &limits);
    return rv == APR_SUCCESS ? csq_realms_set(fx.q, realms, 2) : rv;
}

static void judge_settings(int finished)
{
    const char *realm;
    csq_limits limits;

    csq_limits_get(fx.q, &limits);
    ck_assert(limits.max_queue == 5 || (limits.max_queue == 1000 && !finished));
    ck_ok(run_settings());
    ck_status(csq_realm_only(fx.q, fx.pool, &realm), CSQ_NO_REALM);
}

static apr_status_t run_close(void)
{
    csq_close(fx.q);
    return APR_SUCCESS;
}

static void closed_or_not_at_once(void)
{
    apr_status_t rv = put("alice", "x");

    ck_assert(rv == APR_SUCCESS || rv == CSQ_CLOSED);
}

static void judge_close(int finished)
{
    apr_status_t rv = put("alice", "x");

    ck_assert(rv == CSQ_CLOSED || (rv == APR_SUCCESS && !finished));
    __atomic_store_n(&fx.q->header->closed, 0, __ATOMIC_RELEASE);
    ck_ok(put("alice", "x"));
}

const step_operation step_segment_operations[] = {
    { "repair", prepare_repair, NULL, run_repair, judge_repair, NULL, fetch_bob_at_once,
      STEP_LONG },
    { "repair_join", prepare_repair_join, NULL, poll_first, judge_repair_join, NULL,
      step_neighbor_at_once, STEP_LONG },
    { "repair_withdraw", prepare_repair_withdraw, NULL, run_repair, judge_repair_withdraw,
      NULL, NULL, STEP_LONG },
    { "repair_untold", prepare_repair_untold, NULL, run_look, judge_repair_untold, NULL,
      step_neighbor_at_once, STEP_NO_COPY | STEP_LONG },
    { "claim", NULL, NULL, run_claim, judge_claim, NULL, NULL, STEP_NO_COPY },
    { "release", NULL, claim_in_child, run_release, judge_claim, NULL, NULL,
      STEP_NO_COPY },
    { "hear", prepare_rung, NULL, run_hear, judge_hear, NULL, step_neighbor_at_once,
      STEP_NO_COPY },
    { "attach", NULL, NULL, run_attach, judge_attach, NULL, NULL, STEP_NO_COPY },
    { "settings", NULL, NULL, run_settings, judge_settings, NULL, NULL, 0 },
    { "close", NULL, NULL, run_close, judge_close, NULL, closed_or_not_at_once, 0 },
    { NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0 }
};
