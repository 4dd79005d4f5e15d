/* SPDX-License-Identifier: Apache-2.0
 * csq_entry.c - link messages into queues, take them out, free them.
 *
 * The link that leads to an entry (client.head or queue_next of the one
 * before it) is the truth and is written in one store: the last one when
 * linking, the first one when removing. What is removed waits on the shard's
 * release list and is freed in one go, since the allocator may be busy.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define RELEASE_AT_ONCE 64

csq_stored *csq_entry_stored(csq *q, uint32_t number, csq_entry *entry,
                             uint32_t *out_message)
{
    uint32_t message = entry->kind == CSQ_KIND_MESSAGE ? number : entry->body;

    *out_message = message;
    return csq_stored_at(q, message);
}

apr_status_t csq_entry_link_locked(csq *q, unsigned shard, uint32_t client_number,
                                   uint32_t number)
{
    csq_client *client = csq_client_at(q, client_number);
    csq_entry *entry = csq_entry_at(q, number);
    csq_entry *last = NULL;
    csq_stored *stored;
    uint32_t *link;
    uint32_t message;

    if (!client || !entry || !(stored = csq_entry_stored(q, number, entry, &message)))
        return CSQ_DAMAGED;
    link = &client->head;
    if (client->tail) {
        last = csq_entry_at(q, client->tail);
        if (!last)
            return CSQ_DAMAGED;
        link = &last->queue_next;
    }
    if (*link)
        return CSQ_DAMAGED;
    entry->sequence = client->next_sequence;
    entry->client = client_number;
    entry->queue_next = 0;
    entry->queue_prev = client->tail;
    client->next_sequence = entry->sequence + 1;
    __atomic_store_n(link, number, __ATOMIC_RELEASE);
    entry->linked = 1;
    client->tail = number;
    client->count++;
    client->bytes += stored->len;
    CSQ_ADD(q->shards[shard].queued, 1);
    csq_wheel_add_locked(q, shard, number, csq_wheel_second(csq_stored_expires(stored)));
    return APR_SUCCESS;
}

static apr_status_t unlink_entry(csq *q, csq_client *client, csq_entry *entry,
                                 uint32_t number)
{
    csq_entry *before = NULL;
    csq_entry *after = NULL;
    uint32_t *link = &client->head;

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
    if (*link != number || !entry->linked)
        return CSQ_DAMAGED;
    __atomic_store_n(link, entry->queue_next, __ATOMIC_RELEASE);
    entry->linked = 0;
    if (after)
        after->queue_prev = entry->queue_prev;
    else
        client->tail = entry->queue_prev;
    if (client->mark == number)
        client->mark = entry->queue_prev;
    return APR_SUCCESS;
}

static void put_aside(csq *q, unsigned shard, uint32_t number)
{
    csq_entry *entry = csq_entry_at(q, number);

    entry->queue_next = q->shards[shard].release;
    q->shards[shard].release = number;
}

apr_status_t csq_entry_remove_locked(csq *q, unsigned shard, csq_client *client,
                                     uint32_t number)
{
    csq_entry *entry = csq_entry_at(q, number);
    csq_stored *stored;
    uint32_t message;
    uint32_t refs;

    if (!entry || !(stored = csq_entry_stored(q, number, entry, &message))
        || unlink_entry(q, client, entry, number) != APR_SUCCESS
        || csq_wheel_remove_locked(q, shard, number) != APR_SUCCESS)
        goto damaged;
    client->count--;
    client->bytes -= stored->len;
    CSQ_ADD(q->shards[shard].queued, -UINT64_C(1));
    refs = __atomic_fetch_sub(&stored->refs, 1, __ATOMIC_ACQ_REL);
    if (refs == 0)
        goto damaged;
    if (number != message)
        put_aside(q, shard, number);
    if (refs == 1) {
        CSQ_ADD(q->shards[shard].bytes, -(uint64_t)stored->len);
        put_aside(q, shard, message);
    }
    return APR_SUCCESS;

damaged:
    csq_repair_want(q);
    return CSQ_DAMAGED;
}

/* Free the first on the list. 0: the list is done or damaged. */
static int release_one(csq *q, csq_shard *shard)
{
    uint32_t number = shard->release;
    csq_entry *entry = csq_entry_at(q, number);
    csq_stored *stored;
    uint32_t n = 1;

    if (!entry)
        return 0;
    if (entry->kind == CSQ_KIND_MESSAGE) {
        stored = (csq_stored *)entry;
        n = csq_chunks_for(stored->len, CSQ_MESSAGE_DATA);
        if (csq_origin_drop_locked(q, entry->body) != APR_SUCCESS)
            return 0;
    }
    shard->release = entry->queue_next;
    entry->kind = CSQ_KIND_FREE;
    return csq_chunk_give_locked(q, number, n) == APR_SUCCESS;
}

void csq_release_locked(csq *q, unsigned shard)
{
    csq_shard *owner = &q->shards[shard];
    int going = 1;
    int i;

    while (going && owner->release) {
        if (csq_allocator_lock(q) != APR_SUCCESS)
            return;
        for (i = 0; i < RELEASE_AT_ONCE && going && owner->release; i++)
            going = release_one(q, owner);
        csq_allocator_unlock(q);
    }
    if (!going) {
        owner->release = 0;
        csq_repair_want(q);
    }
}
