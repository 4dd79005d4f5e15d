/* SPDX-License-Identifier: Apache-2.0
 * csq_entry.c - link messages into queues, take them out, free them.
 *
 * The link that leads to an entry (queue.head or queue_next of the one
 * before it) is the truth and is written in one store: the last one when
 * linking, the first one when removing. What is removed waits on the shard's
 * release list and is freed in one go, since the allocator may be busy.
 *
 * entry.linked is 1 while the entry hangs in a queue, and LEAVING + fate from
 * the moment that it is to leave until it is freed, so that a repair in
 * between can still tell a receipt what became of it.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define RELEASE_AT_ONCE 64
#define HANDED          0x100 /* beside the fate, in queue_prev              */

void csq_stored_time_set(csq_stored *stored, uint64_t time, uint64_t expires)
{
    uint64_t life = expires > time ? expires - time : 0;

    stored->time_low = (uint32_t)time;
    stored->entry.time_high = (uint16_t)(time >> 32);
    if (life > UINT32_MAX) {
        stored->entry.flags |= CSQ_LONG_LIFE;
        life = (life + 999) / 1000;
    }
    stored->lifetime = life < UINT32_MAX ? (uint32_t)life : UINT32_MAX;
}

void csq_entry_sequence_set(csq_entry *entry, uint64_t sequence)
{
    entry->sequence_low = (uint32_t)sequence;
    entry->sequence_high = (uint16_t)(sequence >> 32);
}

csq_stored *csq_entry_stored(csq *q, uint32_t number, csq_entry *entry,
                             uint32_t *out_message)
{
    uint32_t message = entry->kind == CSQ_KIND_MESSAGE ? number : entry->body;

    *out_message = message;
    return csq_stored_at(q, message);
}

apr_status_t csq_entry_link_locked(csq *q, unsigned shard, uint32_t queue_number,
                                   uint32_t number)
{
    csq_queue *queue = csq_queue_at(q, queue_number);
    csq_entry *entry = csq_entry_at(q, number);
    csq_entry *last = NULL;
    csq_stored *stored;
    uint32_t *link;
    uint32_t message;

    if (!queue || !entry || !(stored = csq_entry_stored(q, number, entry, &message)))
        return CSQ_DAMAGED;
    link = &queue->head;
    if (queue->tail) {
        last = csq_entry_at(q, queue->tail);
        if (!last)
            return CSQ_DAMAGED;
        link = &last->queue_next;
    }
    if (*link)
        return CSQ_DAMAGED;
    csq_entry_sequence_set(entry, queue->next_sequence);
    entry->queue = queue_number;
    entry->queue_next = 0;
    entry->queue_prev = queue->tail;
    queue->next_sequence++;
    __atomic_store_n(link, number, __ATOMIC_RELEASE);
    entry->linked = 1;
    queue->tail = number;
    queue->count++;
    queue->bytes += stored->len;
    CSQ_ADD(q->shards[shard].queued, 1);
    csq_wheel_add_locked(q, shard, number, csq_wheel_second(csq_stored_expires(stored)));
    return APR_SUCCESS;
}

static apr_status_t unlink_entry(csq *q, csq_queue *queue, csq_entry *entry,
                                 uint32_t number, csq_fate fate)
{
    csq_entry *before = NULL;
    csq_entry *after = NULL;
    uint32_t *link = &queue->head;

    if (entry->queue_prev) {
        before = csq_entry_at(q, entry->queue_prev);
        if (!before)
            return CSQ_DAMAGED;
        link = &before->queue_next;
    }
    if (entry->queue_next) {
        after = csq_entry_at(q, entry->queue_next);
        if (!after)
            return CSQ_DAMAGED;
    }
    if (*link != number || entry->linked != 1)
        return CSQ_DAMAGED;
    __atomic_store_n(&entry->linked, CSQ_LEAVING + fate, __ATOMIC_RELEASE);
    __atomic_store_n(link, entry->queue_next, __ATOMIC_RELEASE);
    if (after)
        after->queue_prev = entry->queue_prev;
    else
        queue->tail = entry->queue_prev;
    if (queue->mark == number)
        queue->mark = entry->queue_prev;
    return APR_SUCCESS;
}

static void put_aside(csq *q, unsigned shard, uint32_t number)
{
    csq_entry *entry = csq_entry_at(q, number);

    entry->queue_next = q->shards[shard].release;
    q->shards[shard].release = number;
}

apr_status_t csq_entry_remove_locked(csq *q, unsigned shard, csq_queue *queue,
                                     uint32_t number, csq_fate fate)
{
    csq_entry *entry = csq_entry_at(q, number);
    csq_stored *stored;
    uint32_t message;

    if (!entry || !(stored = csq_entry_stored(q, number, entry, &message))
        || unlink_entry(q, queue, entry, number, fate) != APR_SUCCESS
        || csq_wheel_remove_locked(q, shard, number) != APR_SUCCESS
        || csq_topic_remove_locked(q, shard, number) != APR_SUCCESS) {
        csq_repair_want(q);
        return CSQ_DAMAGED;
    }
    queue->count--;
    queue->bytes -= stored->len;
    CSQ_ADD(q->shards[shard].queued, -UINT64_C(1));
    entry->queue_prev = fate | (csq_entry_was_handed(entry, queue) ? HANDED : 0);
    put_aside(q, shard, number);
    return APR_SUCCESS;
}

/* queue.arriving names it while it hangs in neither queue. */
apr_status_t csq_entry_move_locked(csq *q, unsigned shard, uint32_t from_number,
                                   uint32_t to_number)
{
    csq_queue *from = csq_queue_at(q, from_number);
    csq_queue *to = csq_queue_at(q, to_number);
    uint32_t number = from->head;
    csq_entry *entry = csq_entry_at(q, number);
    csq_stored *stored;
    uint32_t message;
    apr_status_t rv;

    if (!entry || !(stored = csq_entry_stored(q, number, entry, &message)))
        goto damaged;
    __atomic_store_n(&to->arriving, number, __ATOMIC_RELEASE);
    if (unlink_entry(q, from, entry, number, CSQ_FATE_DROPPED) != APR_SUCCESS
        || csq_wheel_remove_locked(q, shard, number) != APR_SUCCESS
        || csq_topic_remove_locked(q, shard, number) != APR_SUCCESS)
        goto damaged;
    from->count--;
    from->bytes -= stored->len;
    CSQ_ADD(q->shards[shard].queued, -UINT64_C(1));
    rv = csq_entry_link_locked(q, shard, to_number, number);
    if (rv != APR_SUCCESS)
        goto damaged;
    csq_topic_add_locked(q, shard, number);
    __atomic_store_n(&to->arriving, 0, __ATOMIC_RELEASE);
    return APR_SUCCESS;

damaged:
    csq_repair_want(q);
    return CSQ_DAMAGED;
}

/* ---- entries of one message --------------------------------------------- */

void csq_peer_add_locked(csq *q, uint32_t message, uint32_t number)
{
    csq_stored *stored = csq_stored_at(q, message);
    csq_link *link = csq_link_at(q, number);
    csq_link *first = csq_link_at(q, stored->entry.queue_next);

    link->peer_prev = 0;
    link->peer_next = stored->entry.queue_next;
    if (first)
        first->peer_prev = number;
    stored->entry.queue_next = number;
}

static int remove_peer(csq *q, csq_stored *stored, csq_link *link, uint32_t number)
{
    csq_link *before = csq_link_at(q, link->peer_prev);
    csq_link *after = csq_link_at(q, link->peer_next);
    uint32_t *to = before ? &before->peer_next : &stored->entry.queue_next;

    if ((link->peer_prev && !before) || (link->peer_next && !after) || *to != number)
        return 0;
    *to = link->peer_next;
    if (after)
        after->peer_prev = link->peer_prev;
    return 1;
}

/* ---- freeing ------------------------------------------------------------- */

typedef struct releasing {
    csq *q;
    csq_shard *shard;
    uint32_t second; /* now                                         */
    csq_ring_set rings;
} releasing;

/* Several entries say what became of a message; the best stays. */
static void merge_fate(csq_stored *stored, uint32_t note)
{
    uint32_t old = stored->entry.queue_prev;
    uint32_t best = (old & 0xff) > (note & 0xff) ? old & 0xff : note & 0xff;

    stored->entry.queue_prev = best | ((old | note) & HANDED);
}

/* Of an entry that has left, or is about to. */
static uint32_t note_of(const csq_entry *entry)
{
    uint32_t fate = (uint32_t)entry->linked - CSQ_LEAVING;

    return fate == CSQ_FATE_RECEIVED ? fate | HANDED : fate;
}

void csq_entry_recall_locked(csq *q, uint32_t number)
{
    csq_link *link = csq_link_at(q, number);
    csq_stored *stored = link ? csq_stored_at(q, link->entry.body) : NULL;

    if (stored && link->entry.linked >= CSQ_LEAVING
        && link->entry.linked < CSQ_LEAVING + CSQ_FATES
        && (stored->entry.flags & CSQ_SPREAD))
        merge_fate(stored, note_of(&link->entry));
}

void csq_message_recall_locked(csq *q, uint32_t number)
{
    csq_stored *stored = csq_stored_at(q, number);
    csq_origin *origin = stored ? csq_origin_at(q, stored->entry.body) : NULL;
    int spread = stored && (stored->entry.flags & CSQ_SPREAD);
    uint32_t note;

    if (!origin || !stored->entry.committed
        || (!spread && stored->entry.linked < CSQ_LEAVING))
        return;
    note = spread ? stored->entry.queue_prev : note_of(&stored->entry);
    if ((note & 0xff) < CSQ_FATES)
        csq_fate_keep_locked(q, stored->id, origin->app_hash, origin->sender_hash,
                             (csq_fate)(note & 0xff), (note & HANDED) != 0,
                             csq_seconds(apr_time_now()));
}

static void tell_receipt(releasing *r, csq_stored *stored, uint32_t note)
{
    csq_receipt *receipt;
    uint32_t number = 0;

    if (!(stored->entry.flags & CSQ_HAS_RECEIPT)
        || csq_receipt_find_locked(r->q, stored->id, &number) != APR_SUCCESS || !number)
        return;
    receipt = csq_receipt_at(r->q, number);
    if ((note & 0xff) < CSQ_FATES)
        receipt->counts[note & 0xff]++;
    csq_receipt_changed_locked(r->q, receipt, &r->rings);
}

static int free_message(releasing *r, uint32_t number, csq_stored *stored)
{
    csq *q = r->q;
    csq_origin *origin = csq_origin_at(q, stored->entry.body);
    uint32_t note = stored->entry.queue_prev;

    if (!origin || csq_id_remove_locked(q, number) != APR_SUCCESS)
        return 0;
    csq_fate_keep_locked(q, stored->id, origin->app_hash, origin->sender_hash,
                         (csq_fate)(note & 0xff), (note & HANDED) != 0, r->second);
    CSQ_ADD(r->shard->bytes, -(uint64_t)stored->len);
    if (csq_origin_drop_locked(q, stored->entry.body) != APR_SUCCESS)
        return 0;
    stored->entry.kind = CSQ_KIND_FREE;
    return csq_chunk_give_locked(q, number, csq_chunks_for(stored->len, CSQ_MESSAGE_DATA))
           == APR_SUCCESS;
}

/* While one is freed, what the next one needs comes into the cache. */
static void expect_next(releasing *r)
{
    csq_stored *next = csq_stored_at(r->q, r->shard->release);

    if (next)
        csq_id_expect(r->q, next->id);
}

/* Free the first on the list. 0: the list is damaged. */
static int release_one(releasing *r)
{
    csq *q = r->q;
    uint32_t number = r->shard->release;
    csq_entry *entry = csq_entry_at(q, number);
    csq_stored *stored;
    uint32_t message;

    if (!entry || !(stored = csq_entry_stored(q, number, entry, &message))
        || stored->refs == 0)
        return 0;
    r->shard->release = entry->queue_next;
    expect_next(r);
    tell_receipt(r, stored, entry->queue_prev);
    if (number != message) {
        if (!remove_peer(q, stored, (csq_link *)entry, number))
            return 0;
        merge_fate(stored, entry->queue_prev);
        entry->kind = CSQ_KIND_FREE;
        if (csq_chunk_give_locked(q, number, 1) != APR_SUCCESS)
            return 0;
    }
    return --stored->refs ? 1 : free_message(r, message, stored);
}

apr_status_t csq_message_unhold_locked(csq *q, unsigned shard, uint32_t message)
{
    releasing r = { .q = q,
                    .shard = &q->shards[shard],
                    .second = csq_seconds(apr_time_now()) };
    csq_stored *stored = csq_stored_at(q, message);

    if (stored && stored->refs && (--stored->refs || free_message(&r, message, stored)))
        return APR_SUCCESS;
    csq_repair_want(q);
    return CSQ_DAMAGED;
}

void csq_release_locked(csq *q, unsigned shard)
{
    releasing r = { .q = q, .shard = &q->shards[shard] };
    int going = 1;
    int i;

    if (!r.shard->release)
        return;
    r.second = csq_seconds(apr_time_now());
    while (going && r.shard->release) {
        if (csq_allocator_lock(q) != APR_SUCCESS)
            break;
        for (i = 0; i < RELEASE_AT_ONCE && going && r.shard->release; i++)
            going = release_one(&r);
        csq_allocator_unlock(q);
    }
    if (!going) {
        r.shard->release = 0;
        csq_repair_want(q);
    }
    csq_slot_ring(q, &r.rings);
}
