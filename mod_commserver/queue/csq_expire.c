/* SPDX-License-Identifier: Apache-2.0
 * csq_expire.c - what is over leaves: messages at their time, clients whose
 * queue has been empty for long.
 *
 * The wheel says what to look at; what it looks at is judged by its exact
 * time. A fetch never hands out what has expired, whether the wheel has come
 * by or not, so the wheel may lag.
 *
 * A client that has a gap to hear of is kept until all that it missed would
 * have expired too (expiry gives no gap).
 */
#include "cs_compat.h"
#include "csq_private.h"

#define NODES_AT_ONCE 256      /* per hold of a shard's lock                  */

static uint32_t limit_of(const apr_uint32_t *limit)
{
    return __atomic_load_n(limit, __ATOMIC_RELAXED);
}

static apr_status_t forget_or_keep(csq *q, unsigned shard, uint32_t number,
                                   uint32_t tick, apr_time_t now)
{
    const csq_limits *limits = &q->header->limits;
    csq_client *client = csq_client_at(q, number);
    uint32_t expiry = limit_of(&limits->client_expiry);
    uint32_t longest = limit_of(&limits->max_ttl);
    uint32_t due = client->due;
    apr_status_t rv;

    if (client->gap && longest > expiry)
        due = due > UINT32_MAX - (longest - expiry) ? UINT32_MAX : due + longest - expiry;
    if (due > tick)
        return csq_wheel_move_locked(q, shard, number, tick, due);
    if (client->head || csq_waiter_alive(q, client->waiter)) {
        csq_client_touch(q, client, now);
        return csq_wheel_move_locked(q, shard, number, tick, client->due);
    }
    if (client->gap) {
        rv = csq_gap_clear_locked(q, client);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return csq_client_forget_locked(q, shard, number);
}

static apr_status_t expire_or_keep(csq *q, unsigned shard, uint32_t number,
                                   uint32_t tick, apr_time_t now)
{
    csq_entry *entry = csq_entry_at(q, number);
    csq_client *client = csq_client_at(q, entry->client);
    uint32_t message;
    csq_stored *stored = csq_entry_stored(q, number, entry, &message);

    if (!client || !stored) {
        csq_repair_want(q);
        return CSQ_DAMAGED;
    }
    if (csq_stored_expires(stored) > csq_milliseconds(now))
        return csq_wheel_move_locked(q, shard, number, tick,
                                     csq_wheel_second(csq_stored_expires(stored)));
    CSQ_ADD(q->shards[shard].expired, 1);
    return csq_entry_remove_locked(q, shard, client, number);
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
        if (csq_client_at(q, number))
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
    csq_client *client = csq_client_at(q, number);
    csq_entry *entry = csq_entry_at(q, number);
    csq_stored *stored;
    uint32_t message;

    if (client)
        return client->due;
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

apr_status_t csq_expire_shard_locked(csq *q, unsigned shard, apr_time_t now,
                                     unsigned *budget)
{
    csq_shard *owner = &q->shards[shard];
    uint32_t until = csq_seconds(now);
    uint32_t tick;
    apr_status_t rv;

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

apr_status_t csq_expire_queue_locked(csq *q, unsigned shard, csq_client *client,
                                     apr_time_t now)
{
    csq_entry *entry;
    csq_stored *stored;
    uint32_t message;
    apr_status_t rv = APR_SUCCESS;

    while (client->head && rv == APR_SUCCESS) {
        entry = csq_entry_at(q, client->head);
        stored = entry ? csq_entry_stored(q, client->head, entry, &message) : NULL;
        if (!stored) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        if (csq_stored_expires(stored) > csq_milliseconds(now))
            break;
        CSQ_ADD(q->shards[shard].expired, 1);
        rv = csq_entry_remove_locked(q, shard, client, client->head);
    }
    return rv;
}

/* One shard, a part at a time so that nobody waits long for its lock. */
static apr_status_t expire_shard(csq *q, unsigned shard, apr_time_t now,
                                 unsigned *budget)
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

apr_status_t csq_expire(csq *q, apr_time_t now, unsigned budget)
{
    apr_status_t result = APR_SUCCESS;
    apr_status_t rv;
    unsigned shard;

    for (shard = 0; shard < CSQ_SHARDS; shard++) {
        if (__atomic_load_n(&q->shards[shard].tick, __ATOMIC_RELAXED) >= csq_seconds(now))
            continue;
        rv = budget ? expire_shard(q, shard, now, &budget) : APR_INCOMPLETE;
        if (rv == CSQ_CLOSED || rv == CSQ_DAMAGED)
            return rv;
        if (rv != APR_SUCCESS)
            result = rv;
    }
    return result;
}
