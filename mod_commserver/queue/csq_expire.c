/* SPDX-License-Identifier: Apache-2.0
 * csq_expire.c - what is over leaves: messages at their time, clients whose
 * queue has been empty for long, devices that were not seen for long, receipts
 * and answers that were kept.
 *
 * The wheel says what to look at; what it looks at is judged by its exact
 * time. A fetch never hands out what has expired, whether the wheel has come
 * by or not, so the wheel may lag. If the clock was set back the wheel is, too.
 *
 * A client that has a gap to hear of is kept until all that it missed would
 * have expired too (expiry gives no gap).
 */
#include "cs_compat.h"
#include "csq_private.h"

#define NODES_AT_ONCE 256 /* per hold of a shard's lock                  */
#define CLOCK_BACK    60  /* seconds that the wheel may be ahead of the clock */

static uint32_t limit_of(const apr_uint32_t *limit)
{
    return __atomic_load_n(limit, __ATOMIC_RELAXED);
}

static uint32_t add_seconds(uint32_t second, uint32_t more)
{
    return second > UINT32_MAX - 1 - more ? UINT32_MAX - 1 : second + more;
}

/* A device that is named, or one of several, is kept longer than a client that
 * merely polls.                                                              */
static int is_kept_device(csq *q, const csq_queue *queue)
{
    csq_client *client = csq_client_at(q, queue->client);
    csq_queue *first = client ? csq_queue_at(q, client->queues) : NULL;

    return (queue->flags & CSQ_QUEUE_KNOWN)
           && (queue->device_len || first != queue || queue->sibling);
}

/* A device that was not seen for long is none any more; what it has not read
 * is missing should it come back.                                            */
static apr_status_t give_device_up(csq *q, unsigned shard, csq_queue *queue)
{
    csq_entry *entry;
    csq_stored *stored;
    uint32_t message;
    apr_status_t rv = queue->head ? csq_gap_need_locked(q, queue) : APR_SUCCESS;

    while (rv == APR_SUCCESS && queue->head) {
        entry = csq_entry_at(q, queue->head);
        stored = entry ? csq_entry_stored(q, queue->head, entry, &message) : NULL;
        if (!stored) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        rv = csq_gap_add_locked(q, queue, entry, stored->entry.body);
        if (rv == APR_SUCCESS)
            rv = csq_entry_remove_locked(q, shard, queue, queue->head, CSQ_FATE_DROPPED);
        CSQ_ADD(q->shards[shard].dropped, 1);
    }
    if (rv == APR_SUCCESS)
        queue->flags &= (uint8_t)~CSQ_QUEUE_KNOWN;
    return rv;
}

static apr_status_t look_at_device(csq *q, unsigned shard, uint32_t number, uint32_t tick,
                                   apr_time_t now, int *out_done)
{
    csq_queue *queue = csq_queue_at(q, number);
    uint32_t due =
        add_seconds(queue->last_seen, limit_of(&q->header->limits.device_expiry));
    apr_status_t rv;

    *out_done = 1;
    if (csq_waiter_alive(q, queue->waiter))
        due = add_seconds(tick, limit_of(&q->header->limits.device_expiry));
    if (due > tick)
        return csq_wheel_move_locked(q, shard, number, tick, due);
    rv = give_device_up(q, shard, queue);
    csq_queue_touch(q, queue, now);
    *out_done = rv != APR_SUCCESS;
    return rv;
}

static apr_status_t forget_or_keep(csq *q, unsigned shard, uint32_t number, uint32_t tick,
                                   apr_time_t now)
{
    const csq_limits *limits = &q->header->limits;
    csq_queue *queue = csq_queue_at(q, number);
    uint32_t expiry = limit_of(&limits->client_expiry);
    uint32_t longest = limit_of(&limits->max_ttl);
    uint32_t due = queue->due;
    apr_status_t rv;
    int done;

    if (is_kept_device(q, queue)) {
        rv = look_at_device(q, shard, number, tick, now, &done);
        if (done)
            return rv;
        due = queue->due;
    }
    if (queue->gap && longest > expiry)
        due = add_seconds(due, longest - expiry);
    if (due > tick)
        return csq_wheel_move_locked(q, shard, number, tick, due);
    if (queue->head || csq_waiter_alive(q, queue->waiter)) {
        csq_queue_touch(q, queue, now);
        return csq_wheel_move_locked(q, shard, number, tick, queue->due);
    }
    if (queue->gap) {
        rv = csq_gap_clear_locked(q, queue);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return csq_queue_forget_locked(q, shard, number);
}

static apr_status_t expire_or_keep(csq *q, unsigned shard, uint32_t number, uint32_t tick,
                                   apr_time_t now)
{
    csq_entry *entry = csq_entry_at(q, number);
    csq_queue *queue = csq_queue_at(q, entry->queue);
    uint32_t message;
    csq_stored *stored = csq_entry_stored(q, number, entry, &message);

    if (!queue || !stored) {
        csq_repair_want(q);
        return CSQ_DAMAGED;
    }
    if (csq_stored_expires(stored) > csq_milliseconds(now))
        return csq_wheel_move_locked(q, shard, number, tick,
                                     csq_wheel_second(csq_stored_expires(stored)));
    CSQ_ADD(q->shards[shard].expired, 1);
    return csq_entry_remove_locked(q, shard, queue, number, CSQ_FATE_EXPIRED);
}

/* Everything in the place whose time has come. */
static apr_status_t empty_place(csq *q, unsigned shard, uint32_t place, uint32_t tick,
                                apr_time_t now, unsigned *budget)
{
    uint32_t *first = &q->shards[shard].wheel[place];
    apr_status_t rv = APR_SUCCESS;

    while (*first && rv == APR_SUCCESS) {
        uint32_t number = *first;

        if (*budget == 0)
            return APR_INCOMPLETE;
        --*budget;
        if (csq_queue_at(q, number))
            rv = forget_or_keep(q, shard, number, tick, now);
        else if (csq_entry_at(q, number))
            rv = expire_or_keep(q, shard, number, tick, now);
        else
            rv = CSQ_DAMAGED;
    }
    if (rv == CSQ_DAMAGED)
        csq_repair_want(q);
    return rv;
}

static uint32_t second_of(csq *q, uint32_t number)
{
    csq_queue *queue = csq_queue_at(q, number);
    csq_entry *entry = csq_entry_at(q, number);
    csq_stored *stored;
    uint32_t message;

    if (queue)
        return queue->due;
    stored = entry ? csq_entry_stored(q, number, entry, &message) : NULL;
    return stored ? csq_wheel_second(csq_stored_expires(stored)) : 0;
}

/* The tick enters a place of this level: its nodes move down. */
static apr_status_t cascade(csq *q, unsigned shard, uint32_t tick, unsigned level,
                            unsigned *budget)
{
    uint32_t place = level * CSQ_WHEEL_PLACES
                     + (tick >> (level * CSQ_WHEEL_BITS) & (CSQ_WHEEL_PLACES - 1));
    uint32_t *first = &q->shards[shard].wheel[place];
    apr_status_t rv = APR_SUCCESS;

    while (*first && rv == APR_SUCCESS) {
        if (*budget == 0)
            return APR_INCOMPLETE;
        --*budget;
        rv = csq_wheel_move_locked(q, shard, *first, tick, second_of(q, *first));
    }
    if (rv == CSQ_DAMAGED)
        csq_repair_want(q);
    return rv;
}

/* The next tick at which something may be due, when the lower levels are
 * empty; at most `until`.                                                    */
static uint32_t next_tick(const csq_shard *shard, uint32_t until)
{
    uint32_t tick = shard->tick;
    uint32_t level = 0;
    uint32_t mask;

    if (shard->busy[0])
        return tick + 1;
    while (level < CSQ_WHEEL_LEVELS && !shard->busy[level])
        level++;
    if (level == CSQ_WHEEL_LEVELS)
        return until;
    mask = (UINT32_C(1) << (level * CSQ_WHEEL_BITS)) - 1;
    return (tick | mask) >= until ? until : (tick | mask) + 1;
}

static apr_status_t turn_one(csq *q, unsigned shard, uint32_t tick, apr_time_t now,
                             unsigned *budget)
{
    apr_status_t rv = APR_SUCCESS;
    int level = CSQ_WHEEL_LEVELS - 1;

    for (; level > 0 && rv == APR_SUCCESS; level--)
        if (!(tick & ((UINT32_C(1) << (level * CSQ_WHEEL_BITS)) - 1)))
            rv = cascade(q, shard, tick, (unsigned)level, budget);
    if (rv == APR_SUCCESS)
        rv = empty_place(q, shard, tick & (CSQ_WHEEL_PLACES - 1), tick, now, budget);
    return rv;
}

/* ---- a clock that was set back ---------------------------------------------- */

/* Callers that are late by seconds do no harm. */
static int is_ahead(uint32_t tick, uint32_t second)
{
    return tick > second && tick - second > CLOCK_BACK;
}

/* What was noted of a time that has not come. */
static void bound_times(csq *q, csq_queue *queue, apr_time_t now)
{
    uint32_t due = queue->due;

    csq_queue_touch(q, queue, now);
    if (due < queue->due)
        queue->due = due;
    if (queue->last_seen > csq_seconds(now))
        queue->last_seen = csq_seconds(now);
}

/* Take all nodes out of a place. @return the list of them and those of before */
static apr_status_t take_place(csq *q, unsigned shard, uint32_t place, uint32_t *list)
{
    uint32_t *first = &q->shards[shard].wheel[place];
    apr_status_t rv = APR_SUCCESS;
    csq_node *node;
    uint32_t number;

    while ((number = *first) != 0) {
        node = csq_chunk_at(q, number);
        rv = csq_wheel_remove_locked(q, shard, number);
        if (rv != APR_SUCCESS)
            break;
        node->wheel_next = *list;
        *list = number;
    }
    return rv;
}

/* The wheel would stand still until the clock comes by again: hang everything
 * in anew.                                                                   */
static apr_status_t turn_back(csq *q, unsigned shard, apr_time_t now)
{
    apr_status_t rv = APR_SUCCESS;
    uint32_t second = csq_seconds(now);
    uint32_t list = 0;
    uint32_t number;
    uint32_t place;
    csq_node *node;

    for (place = 0; place < CSQ_WHEEL_LEVELS * CSQ_WHEEL_PLACES && rv == APR_SUCCESS;
         place++)
        rv = take_place(q, shard, place, &list);
    if (rv != APR_SUCCESS) {
        csq_repair_want(q);
        return rv;
    }
    __atomic_store_n(&q->shards[shard].tick, second ? second - 1 : 0, __ATOMIC_RELAXED);
    for (number = list; number; number = list) {
        node = csq_chunk_at(q, number);
        list = node->wheel_next;
        if (csq_queue_at(q, number))
            bound_times(q, csq_queue_at(q, number), now);
        csq_wheel_add_locked(q, shard, number, second_of(q, number));
    }
    return APR_SUCCESS;
}

/* ---- turning the wheel --------------------------------------------------- */

apr_status_t csq_expire_shard_locked(csq *q, unsigned shard, apr_time_t now,
                                     unsigned *budget)
{
    csq_shard *owner = &q->shards[shard];
    uint32_t until = csq_seconds(now);
    uint32_t tick;
    apr_status_t rv;

    if (is_ahead(owner->tick, until) && (rv = turn_back(q, shard, now)) != APR_SUCCESS)
        return rv;
    while (owner->tick < until) {
        if (*budget == 0)
            return APR_INCOMPLETE;
        --*budget;
        tick = next_tick(owner, until);
        rv = turn_one(q, shard, tick, now, budget);
        if (rv != APR_SUCCESS)
            return rv;
        __atomic_store_n(&owner->tick, tick, __ATOMIC_RELAXED);
    }
    return APR_SUCCESS;
}

apr_status_t csq_expire_queue_locked(csq *q, unsigned shard, csq_queue *queue,
                                     apr_time_t now)
{
    csq_entry *entry;
    csq_stored *stored;
    uint32_t message;
    apr_status_t rv = APR_SUCCESS;

    while (queue->head && rv == APR_SUCCESS) {
        entry = csq_entry_at(q, queue->head);
        stored = entry ? csq_entry_stored(q, queue->head, entry, &message) : NULL;
        if (!stored) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        if (csq_stored_expires(stored) > csq_milliseconds(now))
            break;
        CSQ_ADD(q->shards[shard].expired, 1);
        rv = csq_entry_remove_locked(q, shard, queue, queue->head, CSQ_FATE_EXPIRED);
    }
    return rv;
}

/* One shard, a part at a time so that nobody waits long for its lock. */
static apr_status_t expire_shard(csq *q, unsigned shard, apr_time_t now, unsigned *budget)
{
    apr_status_t rv = APR_INCOMPLETE;
    unsigned part;
    unsigned left;

    while (rv == APR_INCOMPLETE && *budget) {
        part = left = *budget < NODES_AT_ONCE ? *budget : NODES_AT_ONCE;
        rv = csq_lock(q, UINT32_C(1) << shard);
        if (rv != APR_SUCCESS)
            return rv;
        rv = csq_expire_shard_locked(q, shard, now, &left);
        csq_release_locked(q, shard);
        csq_unlock(q, UINT32_C(1) << shard);
        *budget -= part - left;
        if (rv == CSQ_RETRY)
            rv = APR_INCOMPLETE;
    }
    return rv;
}

/* Receipts and answers that were kept go part by part, a part a second. */
static apr_status_t sweep_part(csq *q, apr_time_t now, int whole)
{
    uint32_t second = csq_seconds(now);
    unsigned part = whole ? CSQ_SWEEP_PARTS : second % CSQ_SWEEP_PARTS;
    apr_status_t rv = csq_lock_tables(q);

    if (rv != APR_SUCCESS)
        return rv;
    rv = csq_receipt_sweep_locked(q, second, part);
    if (rv == APR_SUCCESS)
        rv = csq_repeat_sweep_locked(q, second, part);
    csq_unlock_tables(q);
    return rv;
}

/* Its owner may have died with chunks that only a repair gives back: who asks
 * for all that can be had looks there, too.                                  */
static int is_held(csq *q, unsigned shard)
{
    return __atomic_load_n(&q->shards[shard].owner, __ATOMIC_RELAXED) != 0;
}

apr_status_t csq_expire(csq *q, apr_time_t now, unsigned budget)
{
    int whole = budget >= q->chunk_count;
    uint32_t second = csq_seconds(now);
    uint32_t tick;
    apr_status_t result = APR_SUCCESS;
    apr_status_t rv;
    unsigned shard;

    if (whole
        || __atomic_exchange_n(&q->header->swept, second, __ATOMIC_RELAXED) != second)
        result = sweep_part(q, now, whole);
    for (shard = 0; shard < CSQ_SHARDS; shard++) {
        tick = __atomic_load_n(&q->shards[shard].tick, __ATOMIC_RELAXED);
        if (tick >= second && !is_ahead(tick, second) && !(whole && is_held(q, shard)))
            continue;
        rv = budget ? expire_shard(q, shard, now, &budget) : APR_INCOMPLETE;
        if (rv == CSQ_CLOSED || rv == CSQ_DAMAGED)
            return rv;
        if (rv != APR_SUCCESS)
            result = rv;
    }
    return result;
}
