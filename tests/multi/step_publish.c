/* SPDX-License-Identifier: Apache-2.0
 * step_publish.c - publish: short, long, to several, into full queues and a full
 * segment, with a topic, with an idempotency key.
 */
#include "cs_compat.h"
#include "step_harness.h"

#define LONG_TEXT 3000

static csq_slot *slot;
static csq_message_key once_key;
static csq_cursor once_cursor;

static const char *long_text(void)
{
    char *text = apr_palloc(fx.pool, LONG_TEXT + 1);
    int i;

    for (i = 0; i < LONG_TEXT; i++)
        text[i] = (char)('a' + i % 23);
    text[LONG_TEXT] = '\0';
    return text;
}

static apr_status_t publish(const char *text, const char *topic, int receipt)
{
    csq_message message = message_of(text);

    message.topic = topic;
    message.receipt = receipt != 0;
    return append(&message, "alice", NULL);
}

/* Alice has this one, whole, or nothing. */
static unsigned judge_one(const char *text, int finished)
{
    unsigned n = step_count("alice");

    ck_assert_uint_le(n, 1);
    ck_assert(!finished || n == 1);
    if (n)
        ck_assert_str_eq(text_of(0), text);
    return n;
}

/* ---- one ---------------------------------------------------------------- */

static const char text_of_some_chunks[] =
    "a message that takes more than one chunk, to make it a chain of several that must "
    "all be there or not at all, whatever";

static void prepare_waiter(void)
{
    csq_cursor cursor;

    ck_ok(csq_slot_claim(fx.q, step_slot_pool, &slot));
    ck_ok(put("alice", "first"));
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_status(wait_for("alice", csq_waiter_make(slot, 7), 0), CSQ_EMPTY);
}

static apr_status_t run_append(void)
{
    return publish(text_of_some_chunks, NULL, 0);
}

static void judge_append(int finished)
{
    judge_one(text_of_some_chunks, finished);
}

/* Whoever waits hears of it, at the latest when he looks by himself. */
static void judge_append_rung(int finished)
{
    unsigned n = judge_one(text_of_some_chunks, finished);
    apr_uint32_t number = 0;
    int all = 0;
    int rung = csq_slot_take(slot, &number, 1, &all);

    ck_assert_msg(!n || all || (rung == 1 && number == 7), "nobody was told");
}

static apr_status_t run_append_long(void)
{
    return publish(long_text(), NULL, 0);
}

static void judge_append_long(int finished)
{
    judge_one(long_text(), finished);
}

static apr_status_t run_append_receipt(void)
{
    return publish("x", NULL, 1);
}

static void judge_append_receipt(int finished)
{
    judge_one("x", finished);
}

/* ---- several ------------------------------------------------------------ */

static void prepare_several(void)
{
    ck_ok(put("bob", "before"));
    ck_ok(put("carol", "before"));
    step_put("erin", "desk", NULL, "before");
}

static apr_status_t run_several(void)
{
    csq_key keys[5] = { { "realm", "alice", NULL },
                        { "realm", "bob", NULL },
                        { "realm", "carol", NULL },
                        { "realm", "dave", NULL },
                        { "realm", "erin", "desk" } };
    csq_message message = message_of("to all of them");

    return csq_append(fx.q, &message, keys, 5, fx.now, NULL, NULL);
}

static void judge_several(int finished)
{
    unsigned n = judge_one("to all of them", finished);

    step_expect("dave", n ? "to all of them" : "");
    step_expect("bob", n ? "before to all of them" : "before");
    step_expect("carol", n ? "before to all of them" : "before");
    ck_ok(read_as("erin", "desk", NULL, CSQ_VERY_LOW, 10));
    ck_assert_str_eq(texts(), n ? "before to all of them" : "before");
}

/* ---- full --------------------------------------------------------------- */

static void prepare_full(void)
{
    fx.limits.max_queue = 3;
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(put("alice", "1"));
    ck_ok(put("alice", "2"));
    ck_ok(put("alice", "3"));
}

static apr_status_t run_drop(void)
{
    return put("alice", "4");
}

static int has_gap(void)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    return csq_batch_gap(fx.batch, &gaps, &n);
}

/* The oldest may be gone before the new one is there, but not untold. */
static void judge_dropped(int finished)
{
    int whole = strcmp(texts(), "1 2 3") == 0;

    ck_assert(whole || strcmp(texts(), "2 3") == 0 || strcmp(texts(), "2 3 4") == 0);
    ck_assert_msg(whole || has_gap(), "one was dropped, but no gap is told");
    ck_assert(!finished || strcmp(texts(), "2 3 4") == 0);
}

static void judge_drop(int finished)
{
    step_count("alice");
    judge_dropped(finished);
}

static void prepare_full_devices(void)
{
    ck_status(read_as("alice", "desk", NULL, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    ck_status(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    fx.limits.max_queue = 3;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    step_put("alice", NULL, NULL, "1");
    step_put("alice", NULL, NULL, "2");
    step_put("alice", NULL, NULL, "3");
}

static void read_device(const char *device)
{
    ck_ok(read_as("alice", device, NULL, CSQ_VERY_LOW, 10));
}

static void judge_drop_copies(int finished)
{
    int first;

    read_device("desk");
    judge_dropped(finished);
    first = strstr(texts(), "4") != NULL;
    read_device("phone");
    judge_dropped(finished);
    ck_assert_int_eq(strstr(texts(), "4") != NULL, first);
}

static void read_devices_at_once(void)
{
    read_device("phone");
}

static unsigned filled;

static void fill(apr_time_t expires)
{
    filled = 0;
    fx.limits.max_queue = 100000;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    while (put_full("orders", "bulk", long_text(), expires) == APR_SUCCESS)
        filled++;
    while (put_full("orders", "bulk", "x", expires) == APR_SUCCESS)
        filled++;
    ck_assert_uint_gt(filled, 10);
}

static void prepare_segment_full(void)
{
    fill(fx.now + 3600 * SECOND);
}

static apr_status_t run_refused(void)
{
    apr_status_t rv = publish("x", NULL, 0);

    return rv == CSQ_SEGMENT_FULL ? APR_SUCCESS : APR_EGENERAL;
}

static void judge_refused(int finished)
{
    (void)finished;
    ck_assert_uint_eq(step_count("bulk"), filled);
    ck_assert_uint_eq(step_count("alice"), 0);
}

static void read_bulk_at_once(void)
{
    ck_ok(get_max("bulk", NULL, 2));
}

static void prepare_full_of_expired(void)
{
    fill(fx.now + SECOND);
    fx.now += 2 * SECOND;
}

/* ---- in place of another ------------------------------------------------ */

static void prepare_replace(void)
{
    step_put("alice", NULL, "t", "old");
    step_put("alice", NULL, "u", "other");
}

static apr_status_t run_replace(void)
{
    return publish("new", "t", 0);
}

static void judge_replace(int finished)
{
    step_count("alice");
    if (finished || strcmp(texts(), "other new") == 0) {
        ck_assert_str_eq(texts(), "other new");
        return;
    }
    ck_assert(strcmp(texts(), "old other") == 0 || strcmp(texts(), "old other new") == 0);
    ck_ok(run_replace());
    step_expect("alice", "other new");
}

/* ---- once --------------------------------------------------------------- */

static csq_digest digest_of(const char *text)
{
    apr_size_t length = strlen(text);

    return csq_digest_make(fx.q, &text, &length, 1);
}

static apr_status_t begin_repeat(apr_size_t *len)
{
    static char answer[256];
    csq_digest key = digest_of("key");
    csq_digest body = digest_of("body");

    *len = sizeof answer;
    return csq_repeat_begin(fx.q, &key, &body, 0, 3600 * SECOND, fx.now, fx.appended.id,
                            answer, len);
}

/* What a request with a key does. */
static apr_status_t run_once(void)
{
    static const char answer[] = "an answer that takes more than one chunk, for it is "
                                 "longer than the few bytes that the record has room for";
    csq_message message = message_of("once");
    csq_digest key = digest_of("key");
    apr_size_t len;
    apr_status_t rv = begin_repeat(&len);

    message.id = fx.appended.id;
    if (rv == APR_SUCCESS)
        rv = append(&message, "alice", NULL);
    if (rv == APR_SUCCESS)
        rv = csq_repeat_finish(fx.q, &key, answer, sizeof answer - 1);
    return rv;
}

/* Tried again it has its effect once, wherever the first was cut off. */
static void judge_once(int finished)
{
    apr_status_t rv = run_once();

    ck_assert(rv == CSQ_REPEATED || (rv == APR_SUCCESS && !finished));
    step_expect("alice", "once");
    ck_status(run_once(), CSQ_REPEATED);
    step_expect("alice", "once");
}

/* What is sent again may have been read and acknowledged meanwhile. */
static void judge_once_acknowledged(int finished)
{
    csq_cursor cursor;
    unsigned n = step_count("alice");

    ck_assert(n == 1 || (n == 0 && !finished));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_status(run_once(), n ? CSQ_REPEATED : APR_SUCCESS);
    ck_assert_uint_eq(step_count("alice"), n ? 0 : 1);
}

/* The one who was at it has queued the message and died before it could keep an
 * answer; then the message leaves its queue. It must not come back.           */
static void prepare_unfinished(void)
{
    csq_message message = message_of("once");
    apr_size_t len;

    ck_ok(begin_repeat(&len));
    message.id = fx.appended.id;
    message.expires = fx.now + 10 * SECOND;
    ck_ok(append(&message, "alice", NULL));
    once_key = (csq_message_key){ "realm", "orders", "tester", { 0 } };
    memcpy(once_key.id, fx.appended.id, CSQ_ID_BYTES);
    ck_ok(get("alice", NULL));
    once_cursor = cursor_now();
}

static apr_status_t run_once_received(void)
{
    return step_or_empty(acknowledge("alice", &once_cursor));
}

static apr_status_t run_once_withdrawn(void)
{
    return csq_message_withdraw(fx.q, &once_key, &fx.info);
}

static apr_status_t run_once_expired(void)
{
    return csq_expire(fx.q, fx.now + 20 * SECOND, 1000);
}

static void judge_once_gone(int finished)
{
    unsigned n = step_count("alice");

    ck_assert(n == 0 || (n == 1 && !finished));
    ck_status(run_once(), CSQ_REPEATED);
    ck_assert_uint_eq(step_count("alice"), n);
}

static void prepare_begun(void)
{
    apr_size_t len;

    ck_ok(begin_repeat(&len));
}

static apr_status_t run_forget(void)
{
    csq_digest key = digest_of("key");

    return csq_repeat_forget(fx.q, &key);
}

static void judge_forget(int finished)
{
    (void)finished;
    ck_ok(run_once());
    step_expect("alice", "once");
}

const step_operation step_publish_operations[] = {
    { "append", prepare_waiter, NULL, run_append, judge_append_rung, NULL,
      step_neighbor_at_once, STEP_NO_COPY },
    { "append_new", NULL, NULL, run_append, judge_append, NULL, NULL, 0 },
    { "append_long", NULL, NULL, run_append_long, judge_append_long, NULL, NULL,
      STEP_LONG },
    { "append_receipt", NULL, NULL, run_append_receipt, judge_append_receipt, NULL, NULL,
      0 },
    { "several", prepare_several, NULL, run_several, judge_several, NULL, NULL, 0 },
    { "drop", prepare_full, NULL, run_drop, judge_drop, NULL, step_fetch_at_once,
      STEP_GAP },
    { "drop_copies", prepare_full_devices, NULL, run_drop, judge_drop_copies, NULL,
      read_devices_at_once, STEP_GAP },
    { "full", prepare_segment_full, NULL, run_refused, judge_refused, NULL,
      read_bulk_at_once, 0 },
    { "full_of_expired", prepare_full_of_expired, NULL, run_append, judge_append, NULL,
      NULL, STEP_LONG },
    { "replace", prepare_replace, NULL, run_replace, judge_replace, NULL, NULL, 0 },
    { "once", NULL, NULL, run_once, judge_once, NULL, NULL, 0 },
    { "once_acknowledged", NULL, NULL, run_once, judge_once_acknowledged, NULL, NULL, 0 },
    { "once_received", prepare_unfinished, NULL, run_once_received, judge_once_gone, NULL,
      NULL, 0 },
    { "once_withdrawn", prepare_unfinished, NULL, run_once_withdrawn, judge_once_gone,
      NULL, NULL, 0 },
    { "once_expired", prepare_unfinished, NULL, run_once_expired, judge_once_gone, NULL,
      NULL, 0 },
    { "once_forget", prepare_begun, NULL, run_forget, judge_forget, NULL, NULL, 0 },
    { NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0 }
};
