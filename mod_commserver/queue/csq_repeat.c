/* SPDX-License-Identifier: Apache-2.0
 * csq_repeat.c - requests that must have their effect once (Idempotency-Key):
 * who is at it, and the answer it was given.
 *
 * A record is made before the message is queued and names the id that the
 * message will have. So when its owner dies in between, the next one can tell
 * whether the message was queued: its id is known, or it is not. Of a publish to
 * many it says how many shards have been served, and the next one goes on.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define DIGEST_SEED UINT64_C(0x726570656174)

csq_digest csq_digest_make(csq *q, const char *const *strings, const apr_size_t *lengths,
                           int n)
{
    uint64_t halves[2] = { DIGEST_SEED, ~DIGEST_SEED };
    csq_digest digest;
    int half;
    int i;

    for (half = 0; half < 2; half++)
        for (i = 0; i < n; i++)
            halves[half] =
                csq_hash(q, halves[half] + (uint64_t)half, strings[i], lengths[i]);
    memcpy(digest.bytes, halves, sizeof digest.bytes);
    return digest;
}

static uint32_t *bucket_of(csq *q, const uint8_t *key)
{
    uint32_t hash;

    memcpy(&hash, key, sizeof hash);
    return &q->repeats[hash & q->repeat_mask];
}

/* The link that leads to the record; *link 0: there is none. */
static apr_status_t find_link(csq *q, const uint8_t *key, uint32_t **out_link)
{
    uint32_t *link = bucket_of(q, key);
    uint32_t steps = 0;
    csq_repeat *repeat;

    for (; *link; link = &repeat->hash_next) {
        repeat = csq_repeat_at(q, *link);
        if (!repeat || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        if (memcmp(repeat->key, key, CSQ_DIGEST_BYTES) == 0)
            break;
    }
    *out_link = link;
    return APR_SUCCESS;
}

static apr_status_t forget(csq *q, uint32_t *link)
{
    uint32_t number = *link;
    csq_repeat *repeat = csq_repeat_at(q, number);

    __atomic_store_n(link, repeat->hash_next, __ATOMIC_RELEASE);
    repeat->kind = CSQ_KIND_FREE;
    return csq_chunk_give_locked(q, number, csq_repeat_chunks(repeat->answer_len));
}

/* Somebody goes from shard to shard, and notes here how far he is. */
static int is_in_use(csq *q, const csq_repeat *repeat)
{
    return repeat->state >= CSQ_REPEAT_MANY
           && repeat->state < CSQ_REPEAT_MANY + CSQ_SHARDS
           && csq_waiter_alive(q, repeat->owner);
}

static int is_over(csq *q, const csq_repeat *repeat, uint32_t second)
{
    return repeat->until <= second && !is_in_use(q, repeat);
}

apr_status_t csq_repeat_sweep_locked(csq *q, uint32_t second, unsigned part)
{
    uint32_t count = q->repeat_mask + 1;
    uint32_t length = count / CSQ_SWEEP_PARTS;
    uint32_t i = part < CSQ_SWEEP_PARTS ? part * length : 0;
    uint32_t end = part < CSQ_SWEEP_PARTS ? i + length : count;
    uint32_t *link;
    csq_repeat *repeat;
    apr_status_t rv = APR_SUCCESS;

    for (; i < end && rv == APR_SUCCESS; i++)
        for (link = &q->repeats[i]; *link && rv == APR_SUCCESS;) {
            repeat = csq_repeat_at(q, *link);
            if (!repeat) {
                csq_repair_want(q);
                return CSQ_DAMAGED;
            }
            if (is_over(q, repeat, second))
                rv = forget(q, link);
            else
                link = &repeat->hash_next;
        }
    return rv;
}

/* ---- beginning ---------------------------------------------------------------- */

typedef struct beginning {
    csq *q;
    const csq_digest *key;
    const csq_digest *body;
    csq_waiter owner;
    uint32_t until;
    unsigned char *id;
    char *answer;
    apr_size_t *len;
} beginning;

static apr_status_t begin_new(beginning *b)
{
    csq *q = b->q;
    uint32_t *bucket = bucket_of(q, b->key->bytes);
    csq_repeat *repeat;
    uint32_t number;
    apr_status_t rv = csq_random(q, b->id, CSQ_ID_BYTES);

    if (rv == APR_SUCCESS)
        rv = csq_chunk_take_locked(q, 1, &number);
    if (rv != APR_SUCCESS)
        return rv;
    repeat = csq_chunk_at(q, number);
    memset(repeat, 0, sizeof *repeat);
    memcpy(repeat->key, b->key->bytes, CSQ_DIGEST_BYTES);
    memcpy(repeat->body, b->body->bytes, CSQ_DIGEST_BYTES);
    memcpy(repeat->id, b->id, CSQ_ID_BYTES);
    repeat->owner = b->owner;
    repeat->until = b->until;
    repeat->hash_next = *bucket;
    repeat->kind = CSQ_KIND_REPEAT;
    __atomic_store_n(bucket, number, __ATOMIC_RELEASE);
    return APR_SUCCESS;
}

static apr_status_t read_answer(beginning *b, csq_repeat *repeat)
{
    csq_stream stream;

    if (repeat->answer_len > *b->len)
        return APR_ENOSPC;
    *b->len = repeat->answer_len;
    csq_stream_open(&stream, b->q, repeat, repeat->answer, CSQ_REPEAT_ANSWER);
    if (csq_stream_read(&stream, b->answer, repeat->answer_len) == APR_SUCCESS)
        return CSQ_REPEATED;
    csq_repair_want(b->q);
    return CSQ_DAMAGED;
}

/* Somebody was here before. */
static apr_status_t begin_again(beginning *b, csq_repeat *repeat)
{
    if (memcmp(repeat->body, b->body->bytes, CSQ_DIGEST_BYTES) != 0)
        return CSQ_OTHER_BODY;
    memcpy(b->id, repeat->id, CSQ_ID_BYTES);
    if (repeat->state == CSQ_REPEAT_FINISHED)
        return read_answer(b, repeat);
    if (csq_waiter_alive(b->q, repeat->owner))
        return CSQ_RUNNING;
    if (repeat->state < CSQ_REPEAT_MANY ? csq_message_known_locked(b->q, repeat->id)
                                        : repeat->state == CSQ_REPEAT_MANY + CSQ_SHARDS) {
        *b->len = 0;
        return CSQ_REPEATED;
    }
    repeat->owner = b->owner;
    return APR_SUCCESS;
}

static apr_status_t begin_locked(beginning *b, uint32_t second)
{
    uint32_t *link;
    apr_status_t rv = find_link(b->q, b->key->bytes, &link);

    if (rv == APR_SUCCESS && *link && is_over(b->q, csq_repeat_at(b->q, *link), second)) {
        rv = forget(b->q, link);
        link = bucket_of(b->q, b->key->bytes);
        if (rv == APR_SUCCESS)
            rv = find_link(b->q, b->key->bytes, &link);
    }
    if (rv != APR_SUCCESS)
        return rv;
    return *link ? begin_again(b, csq_repeat_at(b->q, *link)) : begin_new(b);
}

apr_status_t csq_repeat_begin(csq *q, const csq_digest *key, const csq_digest *body,
                              csq_waiter owner, apr_interval_time_t window,
                              apr_time_t now, unsigned char out_id[CSQ_ID_BYTES],
                              char *answer, apr_size_t *len)
{
    beginning b = { q,      key,    body, owner, csq_seconds(now + window) + 1,
                    out_id, answer, len };
    int swept = 0;
    apr_status_t rv;

    for (;;) {
        rv = csq_lock_tables(q);
        if (rv != APR_SUCCESS)
            return rv;
        rv = begin_locked(&b, csq_seconds(now));
        csq_unlock_tables(q);
        if (rv != CSQ_SEGMENT_FULL || swept++)
            return rv;
        csq_expire(q, now, q->chunk_count);
    }
}

/* ---- ending -------------------------------------------------------------------- */

static apr_status_t keep_answer(csq *q, uint32_t number, const char *answer, size_t len)
{
    csq_repeat *repeat = csq_repeat_at(q, number);
    uint32_t chunks = csq_repeat_chunks((uint32_t)len);
    uint32_t chain = 0;
    csq_stream stream;
    apr_status_t rv = APR_SUCCESS;

    if (chunks > 1)
        rv = csq_chunk_take_locked(q, chunks - 1, &chain);
    if (rv != APR_SUCCESS)
        return rv;
    /* After a death in here the length says that there is no further chunk. */
    repeat->next = chain;
    csq_stream_open(&stream, q, repeat, repeat->answer, CSQ_REPEAT_ANSWER);
    rv = csq_stream_write(&stream, answer, len);
    if (rv == APR_SUCCESS)
        __atomic_store_n(&repeat->answer_len, (uint16_t)len, __ATOMIC_RELEASE);
    return rv;
}

apr_status_t csq_repeat_finish(csq *q, const csq_digest *key, const char *answer,
                               apr_size_t len)
{
    uint32_t *link;
    apr_status_t rv;

    if (len > CSQ_ANSWER_MAX)
        return APR_EINVAL;
    rv = csq_lock_tables(q);
    if (rv != APR_SUCCESS)
        return rv;
    rv = find_link(q, key->bytes, &link);
    if (rv == APR_SUCCESS && !*link)
        rv = CSQ_EMPTY;
    if (rv == APR_SUCCESS && csq_repeat_at(q, *link)->state != CSQ_REPEAT_FINISHED) {
        rv = keep_answer(q, *link, answer, len);
        __atomic_store_n(&csq_repeat_at(q, *link)->state, CSQ_REPEAT_FINISHED,
                         __ATOMIC_RELEASE);
    }
    csq_unlock_tables(q);
    return rv;
}

/* What has reached some is left to the next one. */
static apr_status_t give_up(csq *q, uint32_t *link)
{
    csq_repeat *repeat = csq_repeat_at(q, *link);

    if (repeat->state <= CSQ_REPEAT_MANY)
        return forget(q, link);
    repeat->owner = 0;
    return APR_SUCCESS;
}

apr_status_t csq_repeat_forget(csq *q, const csq_digest *key)
{
    uint32_t *link;
    apr_status_t rv = csq_lock_tables(q);

    if (rv != APR_SUCCESS)
        return rv;
    rv = find_link(q, key->bytes, &link);
    if (rv == APR_SUCCESS)
        rv = *link ? give_up(q, link) : CSQ_EMPTY;
    csq_unlock_tables(q);
    return rv;
}

/* ---- to many ------------------------------------------------------------------- */

apr_status_t csq_repeat_many_begin(csq *q, const csq_digest *key,
                                   const uint8_t id[CSQ_ID_BYTES], uint32_t *out_number,
                                   unsigned *out_served)
{
    csq_repeat *repeat = NULL;
    uint32_t *link;
    apr_status_t rv = csq_lock_tables(q);

    *out_number = 0;
    *out_served = 0;
    if (rv != APR_SUCCESS)
        return rv;
    rv = find_link(q, key->bytes, &link);
    if (rv == APR_SUCCESS)
        repeat = csq_repeat_at(q, *link);
    if (repeat && repeat->state != CSQ_REPEAT_FINISHED
        && memcmp(repeat->id, id, CSQ_ID_BYTES) == 0) {
        if (repeat->state == CSQ_REPEAT_BEGUN)
            __atomic_store_n(&repeat->state, CSQ_REPEAT_MANY, __ATOMIC_RELEASE);
        *out_number = *link;
        *out_served = repeat->state - CSQ_REPEAT_MANY;
    }
    csq_unlock_tables(q);
    return rv;
}

static csq_repeat *many_at(csq *q, uint32_t number, const uint8_t *id)
{
    csq_repeat *repeat = csq_repeat_at(q, number);

    return repeat && repeat->state >= CSQ_REPEAT_MANY
                   && memcmp(repeat->id, id, CSQ_ID_BYTES) == 0
               ? repeat
               : NULL;
}

void csq_repeat_many_served(csq *q, uint32_t number, const uint8_t id[CSQ_ID_BYTES],
                            unsigned shards)
{
    csq_repeat *repeat = many_at(q, number, id);

    if (repeat)
        __atomic_store_n(&repeat->state, (uint8_t)(CSQ_REPEAT_MANY + shards),
                         __ATOMIC_RELEASE);
}

int csq_repeat_many_reaches(csq *q, uint32_t number, const uint8_t id[CSQ_ID_BYTES],
                            unsigned shard)
{
    csq_repeat *repeat = many_at(q, number, id);

    return !repeat || shard < (unsigned)repeat->state - CSQ_REPEAT_MANY;
}

/* ---- from a file ------------------------------------------------------------- */

apr_status_t csq_repeat_put_locked(csq *q, const csq_repeat *head, const char *answer,
                                   apr_size_t len)
{
    uint32_t *bucket = bucket_of(q, head->key);
    csq_repeat *repeat;
    csq_stream stream;
    uint32_t number;
    uint32_t next;
    apr_status_t rv = csq_chunk_take_locked(q, csq_repeat_chunks((uint32_t)len), &number);

    if (rv != APR_SUCCESS)
        return rv;
    repeat = csq_chunk_at(q, number);
    next = repeat->next;
    *repeat = *head;
    repeat->next = next;
    repeat->owner = 0;
    repeat->answer_len = (uint16_t)len;
    csq_stream_open(&stream, q, repeat, repeat->answer, CSQ_REPEAT_ANSWER);
    rv = csq_stream_write(&stream, answer, len);
    repeat->hash_next = *bucket;
    *bucket = number;
    return rv;
}
