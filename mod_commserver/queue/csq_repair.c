/* SPDX-License-Identifier: Apache-2.0
 * csq_repair.c - make the segment whole after a process died under a lock.
 *
 * Under all locks: walk the truth (csq_layout.h) and mark what it reaches,
 * writing anew whatever follows from it; give all other chunks back. Of the
 * truth only this is changed, each by one store: entries of uncommitted
 * messages leave their queue. A death in here leaves header.repair set, and
 * the next repair starts over.
 *
 * A link that no crash can have left (a number out of range, a chunk used
 * twice) is damage: the chain is cut there, and the client gets a new epoch,
 * so that it hears of a gap.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <sys/mman.h>

#define USED   1
#define LINKED 2

typedef struct repairing {
    csq *q;
    uint8_t *marks;            /* of each chunk, by number                    */
    int damaged;
} repairing;

void csq_repair_want(csq *q)
{
    __atomic_store_n(&q->header->repair, 1, __ATOMIC_SEQ_CST);
}

int csq_repair_wanted(csq *q)
{
    return __atomic_load_n(&q->header->repair, __ATOMIC_SEQ_CST) != 0;
}

/* Mark a chain of exactly n chunks. 0: it is not one, nothing was marked. */
static int mark_chain(repairing *r, uint32_t head, uint32_t n)
{
    uint32_t number = head;
    uint32_t i;
    csq_chunk *chunk;

    if (n > r->q->chunk_count)
        return 0;
    for (i = 0; i < n; i++) {
        chunk = csq_chunk_at(r->q, number);
        if (!chunk || (r->marks[number] & USED))
            return 0;
        number = chunk->next;
    }
    if (number)
        return 0;
    for (i = 0, number = head; i < n; i++) {
        if (r->marks[number] & USED)
            return 0;
        r->marks[number] |= USED;
        number = ((csq_chunk *)csq_chunk_at(r->q, number))->next;
    }
    return 1;
}

static void reset_what_follows(csq *q)
{
    uint32_t i;

    CSQ_SET(q->header->clients, 0);
    memset(q->origins, 0, ((size_t)q->origin_mask + 1) * sizeof *q->origins);
    for (i = 0; i < CSQ_SHARDS; i++) {
        csq_shard *shard = &q->shards[i];

        shard->release = 0;
        shard->clients = 0;
        CSQ_SET(shard->queued, 0);
        CSQ_SET(shard->bytes, 0);
        memset(shard->busy, 0, sizeof shard->busy);
        memset(shard->wheel, 0, sizeof shard->wheel);
    }
}

/* ---- messages ---------------------------------------------------------- */

static int hold_origin(repairing *r, uint32_t number)
{
    csq *q = r->q;
    csq_origin *origin = csq_origin_at(q, number);
    uint32_t n;
    int ok;

    if (!origin)
        return 0;
    if (!(r->marks[number] & USED)) {
        n = csq_origin_chunks(origin->app_len + origin->sender_len + origin->type_len);
        if (!mark_chain(r, number, n))
            return 0;
        origin->hash = csq_origin_hash(q, origin, &ok);
        origin->refs = 0;
        origin->hash_next = q->origins[origin->hash & q->origin_mask];
        q->origins[origin->hash & q->origin_mask] = number;
    }
    origin->refs++;
    return 1;
}

/* The first entry that leads to a message marks it. */
static int hold_message(repairing *r, unsigned shard, uint32_t number,
                        csq_stored *stored)
{
    if (!(r->marks[number] & USED)) {
        if (!hold_origin(r, stored->entry.body))
            return 0;
        if (!mark_chain(r, number, csq_chunks_for(stored->len, CSQ_MESSAGE_DATA))) {
            csq_origin_at(r->q, stored->entry.body)->refs--;
            return 0;
        }
        stored->refs = 0;
        stored->entry.linked = 0;
        CSQ_ADD(r->q->shards[shard].bytes, stored->len);
    }
    stored->refs++;
    return 1;
}

/* Does an entry belong where it hangs? */
static int entry_fits(repairing *r, uint32_t client_number, uint32_t number,
                      uint64_t last)
{
    csq_entry *entry = csq_entry_at(r->q, number);

    return entry && !(r->marks[number] & LINKED) && entry->client == client_number
           && entry->sequence > last;
}

static int link_again(repairing *r, unsigned shard, csq_client *client,
                      uint32_t number, csq_stored *stored, uint32_t message)
{
    csq_entry *entry = csq_entry_at(r->q, number);

    if (number != message && ((r->marks[number] & USED) || entry->next))
        return 0;
    if (!hold_message(r, shard, message, stored))
        return 0;
    r->marks[number] |= USED | LINKED;
    entry->linked = 1;
    entry->queue_prev = client->tail;
    client->tail = number;
    client->count++;
    client->bytes += stored->len;
    CSQ_ADD(r->q->shards[shard].queued, 1);
    csq_wheel_add_locked(r->q, shard, number,
                         csq_wheel_second(csq_stored_expires(stored)));
    return 1;
}

/* @return 1: the queue is whole, 0: it had to be cut. */
static int mark_queue(repairing *r, unsigned shard, csq_client *client,
                      uint32_t client_number)
{
    uint32_t *link = &client->head;
    uint64_t last = 0;
    uint32_t message;
    csq_entry *entry;
    csq_stored *stored;

    client->tail = 0;
    client->mark = 0;
    client->count = 0;
    client->bytes = 0;
    while (*link) {
        uint32_t number = *link;

        if (!entry_fits(r, client_number, number, last))
            break;
        entry = csq_entry_at(r->q, number);
        stored = csq_entry_stored(r->q, number, entry, &message);
        if (!stored)
            break;
        last = entry->sequence;
        if (!stored->entry.committed) {
            __atomic_store_n(link, entry->queue_next, __ATOMIC_RELEASE);
            continue;
        }
        if (!link_again(r, shard, client, number, stored, message))
            break;
        link = &entry->queue_next;
    }
    if (client->next_sequence <= last)
        client->next_sequence = last + 1;
    if (!*link)
        return 1;
    __atomic_store_n(link, 0, __ATOMIC_RELEASE);
    return 0;
}

/* ---- clients ----------------------------------------------------------- */

static int mark_gap(repairing *r, csq_client *client)
{
    uint32_t *link = &client->gap;
    uint32_t n = 0;
    csq_gap_chunk *gap;

    while (*link) {
        gap = csq_gap_at(r->q, *link);
        if (!gap || (r->marks[*link] & USED) || n++ >= CSQ_GAP_APPS + 1) {
            *link = 0;
            return 0;
        }
        r->marks[*link] |= USED;
        link = &gap->next;
    }
    return 1;
}

/* A record that hangs in the right bucket under a name that can be read. */
static int client_fits(repairing *r, unsigned shard, uint32_t bucket, uint32_t number,
                       uint64_t *out_hash)
{
    csq *q = r->q;
    csq_client *client = csq_client_at(q, number);
    int ok;

    if (!client || (r->marks[number] & USED))
        return 0;
    *out_hash = csq_client_hash(q, client, &ok);
    return ok && (*out_hash & (CSQ_SHARDS - 1)) == shard
           && csq_bucket_of(q, shard, *out_hash) == bucket;
}

/* Something was lost: all cursors of before are foreign now. */
static void give_new_epoch(repairing *r, csq_client *client, uint64_t hash)
{
    csq *q = r->q;
    uint64_t secret;
    uint64_t epoch;

    if (!r->damaged && csq_random(q, &secret, sizeof secret) == APR_SUCCESS)
        q->header->epoch_secret = secret;
    r->damaged = 1;
    if (client && csq_epoch_make(q, hash, &epoch) == APR_SUCCESS)
        client->epoch = epoch;
}

static void mark_client(repairing *r, unsigned shard, uint32_t number, uint64_t hash)
{
    csq *q = r->q;
    csq_client *client = csq_client_at(q, number);
    int whole;

    client->hash = (uint32_t)(hash >> 32);
    client->flags = 0;
    whole = mark_queue(r, shard, client, number);
    whole &= mark_gap(r, client);
    if (client->next_sequence <= client->handed_out)
        client->next_sequence = client->handed_out + 1;
    if (!whole || !client->epoch)
        give_new_epoch(r, client, hash);
    csq_wheel_add_locked(q, shard, number, client->due);
    q->shards[shard].clients++;
    CSQ_ADD(q->header->clients, 1);
}

/* One of the same name that hangs before `number`. Only damage can make two:
 * a record that could not be found was made anew. All before are marked.     */
static csq_client *find_double(repairing *r, uint32_t bucket, uint32_t number)
{
    csq_client *client = csq_client_at(r->q, number);
    uint32_t at = r->q->buckets[bucket];
    csq_client *other;

    for (; at != number; at = other->hash_next) {
        other = csq_client_at(r->q, at);
        if (csq_client_same_name(r->q, client, other))
            return other;
    }
    return NULL;
}

static void mark_bucket(repairing *r, unsigned shard, uint32_t bucket)
{
    csq *q = r->q;
    uint32_t *link = &q->buckets[bucket];
    csq_client *client;
    csq_client *other;
    uint64_t hash;

    while (*link) {
        client = csq_client_at(q, *link);
        if (!client_fits(r, shard, bucket, *link, &hash))
            break;
        other = find_double(r, bucket, *link);
        if (other) {
            *link = client->hash_next;
            give_new_epoch(r, other, hash);
            continue;
        }
        if (!mark_chain(r, *link,
                        csq_client_chunks(client->realm_len, client->client_len)))
            break;
        mark_client(r, shard, *link, hash);
        link = &client->hash_next;
    }
    if (*link) {
        *link = 0;
        give_new_epoch(r, NULL, 0);
    }
}

static void mark_shard(repairing *r, unsigned shard)
{
    uint32_t bucket = shard * (r->q->bucket_mask + 1);
    uint32_t end = bucket + r->q->bucket_mask + 1;

    for (; bucket < end; bucket++)
        mark_bucket(r, shard, bucket);
}

/* ---- the rest ---------------------------------------------------------- */

static void sweep(repairing *r)
{
    csq *q = r->q;
    csq_header *header = q->header;
    uint32_t head = 0;
    uint32_t count = 0;
    uint32_t number;

    for (number = q->chunk_count; number > 0; number--) {
        csq_node *node = csq_chunk_at(q, number);

        if (r->marks[number] & USED)
            continue;
        node->next = head;
        node->kind = CSQ_KIND_FREE;
        head = number;
        count++;
    }
    header->free_head = head;
    CSQ_SET(header->free_count, count);
    if (count < header->free_lowest)
        CSQ_SET(header->free_lowest, count);
}

int csq_repair_runs(csq *q)
{
    return __atomic_load_n(&q->header->repairing, __ATOMIC_RELAXED) != 0;
}

static apr_status_t repair_locked(csq *q)
{
    repairing r = { .q = q };
    size_t size = (size_t)q->chunk_count + 1;
    void *marks;
    unsigned i;

    marks = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (marks == MAP_FAILED)
        return CSQ_NO_MEMORY;
    r.marks = marks;
    reset_what_follows(q);
    for (i = 0; i < CSQ_SHARDS; i++)
        mark_shard(&r, i);
    sweep(&r);
    munmap(marks, size);
    for (i = 0; i < q->slot_count; i++)
        __atomic_store_n(&q->slots[i].all, 1, __ATOMIC_SEQ_CST);
    CSQ_ADD(q->header->repairs, 1);
    __atomic_store_n(&q->header->repair, 0, __ATOMIC_SEQ_CST);
    return APR_SUCCESS;
}

apr_status_t csq_repair(csq *q)
{
    apr_status_t rv = csq_lock_all(q);
    int repaired = 0;

    if (rv != APR_SUCCESS)
        return rv;
    __atomic_store_n(&q->header->repairing, 0, __ATOMIC_RELAXED);
    if (csq_repair_wanted(q)) {
        __atomic_store_n(&q->header->repairing, 1, __ATOMIC_RELAXED);
        rv = repair_locked(q);
        __atomic_store_n(&q->header->repairing, 0, __ATOMIC_RELAXED);
        repaired = rv == APR_SUCCESS;
    }
    csq_unlock_all(q);
    if (repaired)
        csq_slot_ring_all(q);
    return rv;
}
