/* SPDX-License-Identifier: Apache-2.0
 * step_fetch.c - fetch, acknowledge, wait; devices that come, are joined and go;
 * what expires.
 */
#include "cs_compat.h"
#include "step_harness.h"

static csq_slot *slot;
static csq_cursor cursor;

/* ---- reading ------------------------------------------------------------ */

static void put_numbers(void)
{
    ck_ok(put_full("a", "alice", "1", fx.now + 60 * SECOND));
    ck_ok(put_full("b", "alice", "2", fx.now + 60 * SECOND));
    ck_ok(put_full("c", "alice", "3", fx.now + 60 * SECOND));
    ck_ok(put_full("d", "alice", "4", fx.now + 60 * SECOND));
}

static apr_status_t run_fetch(void)
{
    return step_or_empty(get("alice", NULL));
}

static void judge_fetch(int finished)
{
    (void)finished;
    step_expect("alice", "1 2 3 4");
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_assert_uint_eq(step_count("alice"), 0);
}

static void judge_nothing_there(int finished)
{
    (void)finished;
    ck_assert_uint_eq(step_count("alice"), 0);
    ck_ok(put("alice", "x"));
    step_expect("alice", "x");
}

static void put_urgencies(void)
{
    static const csq_urgency urgencies[] = { CSQ_LOW, CSQ_HIGH, CSQ_NORMAL, CSQ_HIGH };
    static const char *const names[] = { "1", "2", "3", "4" };
    csq_message message;
    int i;

    for (i = 0; i < 4; i++) {
        message = message_of(names[i]);
        message.urgency = urgencies[i];
        message.receipt = 1;
        ck_ok(append(&message, "alice", NULL));
    }
}

static apr_status_t run_fetch_urgent(void)
{
    return read_as("alice", NULL, NULL, CSQ_HIGH, 10);
}

static void judge_fetch_urgent(int finished)
{
    (void)finished;
    ck_ok(run_fetch_urgent());
    ck_assert_str_eq(texts(), "2 4");
    cursor = cursor_now();
    ck_ok(read_as("alice", NULL, &cursor, CSQ_VERY_LOW, 10));
    ck_assert_str_eq(texts(), "1 3");
}

static void prepare_read(void)
{
    put_numbers();
    ck_ok(get_max("alice", NULL, 2));
    cursor = cursor_now();
}

static apr_status_t run_acknowledge(void)
{
    return acknowledge("alice", &cursor);
}

static void judge_acknowledge(int finished)
{
    step_count("alice");
    ck_assert(strcmp(texts(), "3 4") == 0
              || (!finished
                  && (strcmp(texts(), "1 2 3 4") == 0 || strcmp(texts(), "2 3 4") == 0)));
    ck_ok(run_acknowledge());
    ck_assert_str_eq(texts(), "3 4");
}

static void prepare_gap(void)
{
    fx.limits.max_queue = 2;
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    put_numbers();
    fx.limits.max_queue = 1000;
    fx.limits.overflow = CSQ_OVERFLOW_REJECT;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
}

static int has_gap(void)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    return csq_batch_gap(fx.batch, &gaps, &n);
}

static apr_status_t run_acknowledge_gap(void)
{
    return step_or_empty(acknowledge("alice", &cursor));
}

/* Told until it was acknowledged: with the messages, not after them. */
static void judge_acknowledge_gap(int finished)
{
    unsigned n = step_count("alice");

    ck_assert(n == 0 || !finished);
    ck_assert_msg(n < 2 || has_gap(), "the gap is gone before it was acknowledged");
    ck_assert_msg(!finished || !has_gap(), "the gap is told again");
    ck_ok(run_acknowledge_gap());
    ck_assert_uint_eq(csq_batch_count(fx.batch), 0);
    ck_assert(!has_gap());
}

/* ---- waiting ------------------------------------------------------------ */

static void prepare_waiter(void)
{
    ck_ok(csq_slot_claim(fx.q, step_slot_pool, &slot));
    ck_ok(put("alice", "first"));
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_status(wait_for("alice", csq_waiter_make(slot, 7), 0), CSQ_EMPTY);
}

static apr_status_t run_wait(void)
{
    return step_or_empty(wait_for("alice", csq_waiter_make(slot, 8), 0));
}

static void judge_wait(int finished)
{
    csq_key key = { "realm", "alice", NULL };
    csq_waiter old = csq_waiter_make(slot, 7);
    apr_status_t rv = csq_waiter_remove(fx.q, &key, old);

    ck_assert(rv == APR_SUCCESS || rv == CSQ_REPLACED);
    ck_assert(!finished || rv == CSQ_REPLACED);
    ck_ok(put("alice", "x"));
    step_expect("alice", "x");
}

static apr_status_t run_leave(void)
{
    csq_key key = { "realm", "alice", NULL };

    return csq_waiter_remove(fx.q, &key, csq_waiter_make(slot, 7));
}

static void judge_leave(int finished)
{
    (void)finished;
    ck_ok(run_leave());
}

/* ---- devices ------------------------------------------------------------ */

static apr_status_t run_first_poll(void)
{
    return step_or_empty(read_as("alice", "desk", NULL, CSQ_VERY_LOW, 10));
}

static void judge_new_device(int finished)
{
    (void)finished;
    ck_ok(run_first_poll());
    ck_assert_uint_eq(csq_batch_count(fx.batch), 0);
    step_put("alice", NULL, NULL, "x");
    ck_ok(run_first_poll());
    ck_assert_str_eq(texts(), "x");
    ck_assert_uint_eq(stats_now().queued, 1);
}

static void prepare_name(void)
{
    step_put("alice", NULL, NULL, "1");
    step_put("alice", NULL, "t", "2");
}

static void judge_name(int finished)
{
    (void)finished;
    ck_ok(run_first_poll());
    ck_assert_str_eq(texts(), "1 2");
    ck_assert(!has_gap());
}

static void prepare_join(void)
{
    step_put("alice", "desk", NULL, "1");
    step_put("alice", NULL, NULL, "2");
    step_put("alice", NULL, "t", "3");
    step_put("alice", "desk", "t", "4");
}

static void judge_join(int finished)
{
    (void)finished;
    ck_ok(run_first_poll());
    ck_assert_str_eq(texts(), "1 4 2 3");
    ck_assert(!has_gap());
    ck_assert_uint_eq(stats_now().queued, 4);
}

/* ---- what is over ------------------------------------------------------- */

static void prepare_expiry(void)
{
    fx.limits.client_expiry = 1;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(put_full("a", "alice", "1", fx.now + 1 * SECOND));
    ck_ok(put_full("b", "alice", "2", fx.now + 3600 * SECOND));
    ck_ok(put_full("c", "alice", "3", fx.now + 65 * SECOND));
    ck_ok(put_full("d", "alice", "4", fx.now + 7200 * SECOND));
    ck_ok(put_full("d", "bob", "1", fx.now + 1 * SECOND));
}

static apr_status_t run_expire(void)
{
    return csq_expire(fx.q, fx.now + 70 * SECOND, 1000);
}

static void judge_expire(int finished)
{
    (void)finished;
    fx.now += 70 * SECOND;
    step_expect("alice", "2 4");
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().queued, 2);
    fx.now += 5 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().clients, 1);
}

/* A clock that was wrong: the wheel is turned back and filled anew. */
static void prepare_clock_back(void)
{
    prepare_expiry();
    ck_ok(csq_expire(fx.q, fx.now + 62 * SECOND, 1000));
    ck_assert_uint_eq(stats_now().queued, 3);
}

static apr_status_t run_clock_back(void)
{
    return csq_expire(fx.q, fx.now - 100 * SECOND, 1000);
}

static void judge_clock_back(int finished)
{
    (void)finished;
    step_expect("alice", "2 3 4");
    ck_ok(run_clock_back());
    fx.now += 70 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().queued, 2);
    step_expect("alice", "2 4");
}

/* A fetch that meets what has expired. */
static void prepare_expired(void)
{
    put_numbers();
    ck_ok(put("alice", "5"));
    fx.now += 61 * SECOND;
}

static void judge_fetch_expired(int finished)
{
    (void)finished;
    step_expect("alice", "5");
}

static void prepare_device_expiry(void)
{
    fx.limits.device_expiry = 100;
    fx.limits.client_expiry = 10;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(run_first_poll());
    ck_ok(step_or_empty(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10)));
    step_put("alice", NULL, NULL, "1");
    step_put("alice", NULL, NULL, "2");
    fx.now += 100 * SECOND;
    ck_ok(step_or_empty(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10)));
}

static apr_status_t run_device_expiry(void)
{
    return csq_expire(fx.q, fx.now + 30 * SECOND, 1000);
}

/* The desk has its messages, or a gap. */
static void judge_device_expiry(int finished)
{
    ck_ok(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10));
    ck_assert_str_eq(texts(), "1 2");
    ck_ok(run_first_poll());
    ck_assert(strcmp(texts(), "1 2") == 0 || has_gap());
    ck_assert(strcmp(texts(), "1 2") == 0 || strcmp(texts(), "2") == 0
              || strcmp(texts(), "") == 0);
    ck_assert(!finished || strcmp(texts(), "") == 0);
}

static void read_phone_at_once(void)
{
    ck_ok(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10));
    ck_assert_str_eq(texts(), "1 2");
}

static void prepare_forget(void)
{
    ck_ok(put("alice", "x"));
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
}

static apr_status_t run_client_expiry(void)
{
    return csq_expire(fx.q, fx.now + 700 * SECOND, 1000);
}

static int is_alice_known(void)
{
    csq_key key = { "realm", "alice", NULL };
    csq_client_info info;

    return csq_client_info_get(fx.q, &key, &info) != CSQ_EMPTY;
}

/* A cursor of a client that was forgotten stays good. */
static void judge_forgotten(int finished)
{
    ck_ok(run_client_expiry());
    ck_assert(!finished || !is_alice_known());
    fx.now += 700 * SECOND;
    ck_ok(put("alice", "y"));
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_str_eq(texts(), "y");
    ck_assert(!has_gap());
}

static void prepare_forget_gap(void)
{
    fx.limits.max_queue = 2;
    fx.limits.max_ttl = 650;
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    put_numbers();
}

static void judge_forgotten_gap(int finished)
{
    ck_ok(run_client_expiry());
    ck_assert(!finished || !is_alice_known());
}

const step_operation step_fetch_operations[] = {
    { "fetch", put_numbers, NULL, run_fetch, judge_fetch, NULL, NULL, 0 },
    { "fetch_new", NULL, NULL, run_fetch, judge_nothing_there, NULL, NULL, 0 },
    { "fetch_urgent", put_urgencies, NULL, run_fetch_urgent, judge_fetch_urgent, NULL,
      NULL, 0 },
    { "fetch_expired", prepare_expired, NULL, run_fetch, judge_fetch_expired, NULL, NULL,
      0 },
    { "acknowledge", prepare_read, NULL, run_acknowledge, judge_acknowledge, NULL, NULL,
      0 },
    { "acknowledge_gap", prepare_gap, NULL, run_acknowledge_gap, judge_acknowledge_gap,
      NULL, step_neighbor_at_once, STEP_GAP },
    { "wait", prepare_waiter, NULL, run_wait, judge_wait, NULL, NULL, 0 },
    { "leave", prepare_waiter, NULL, run_leave, judge_leave, NULL, NULL, 0 },
    { "new_device", NULL, NULL, run_first_poll, judge_new_device, NULL, NULL, 0 },
    { "name", prepare_name, NULL, run_first_poll, judge_name, NULL, NULL, 0 },
    { "join", prepare_join, NULL, run_first_poll, judge_join, NULL, step_neighbor_at_once,
      0 },
    { "expire", prepare_expiry, NULL, run_expire, judge_expire, NULL, NULL, 0 },
    { "clock_back", prepare_clock_back, NULL, run_clock_back, judge_clock_back, NULL,
      NULL, STEP_LONG },
    { "device_expiry", prepare_device_expiry, NULL, run_device_expiry,
      judge_device_expiry, NULL, read_phone_at_once, STEP_GAP },
    { "forget", prepare_forget, NULL, run_client_expiry, judge_forgotten, NULL,
      step_neighbor_at_once, 0 },
    { "forget_gap", prepare_forget_gap, NULL, run_client_expiry, judge_forgotten_gap,
      NULL, step_neighbor_at_once, STEP_GAP },
    { NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0 }
};
