/* SPDX-License-Identifier: Apache-2.0
 * csq_audit.c - check every invariant of csq_layout.h, changing nothing.
 *
 * Written apart from the repair on purpose: it counts for itself and then
 * compares. The numbers in comments are those of the invariants.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <apr_strings.h>
#include <stdarg.h>
#include <sys/mman.h>

#define USED   1
#define LINKED 2
#define TURNED 4               /* found in a wheel                            */

typedef struct auditing {
    csq *q;
    apr_pool_t *pool;
    const char *problem;
    uint8_t *marks;
    uint32_t *refs;            /* counted, of messages and origins            */
    uint32_t used;             /* chunks                                      */
    uint64_t bytes;
    uint64_t bytes_of_shards;
} auditing;

__attribute__((format(printf, 2, 3)))
static int complain(auditing *a, const char *format, ...)
{
    va_list arguments;

    if (a->problem)
        return 0;
    a->problem = format;
    if (a->pool) {
        va_start(arguments, format);
        a->problem = apr_pvsprintf(a->pool, format, arguments);
        va_end(arguments);
    }
    return 0;
}

/* 1. */
static int use_chain(auditing *a, uint32_t head, uint32_t n, const char *what)
{
    uint32_t number = head;
    uint32_t i;
    csq_chunk *chunk;

    for (i = 0; i < n; i++) {
        chunk = csq_chunk_at(a->q, number);
        if (!chunk)
            return complain(a, "%s %u: chunk %u of %u is out of range", what, head, i, n);
        if (a->marks[number] & USED)
            return complain(a, "%s %u: chunk %u is used twice", what, head, number);
        a->marks[number] |= USED;
        a->used++;
        number = chunk->next;
    }
    return number ? complain(a, "%s %u: longer than %u chunks", what, head, n) : 1;
}

/* 5., 7. */
static int use_message(auditing *a, uint32_t number)
{
    csq_stored *stored = csq_stored_at(a->q, number);

    if (!stored)
        return complain(a, "message %u is none", number);
    if (a->marks[number] & USED)
        return 1;
    if (!csq_origin_at(a->q, stored->entry.body))
        return complain(a, "message %u: origin %u is none", number, stored->entry.body);
    a->refs[stored->entry.body]++;
    return use_chain(a, number, csq_chunks_for(stored->len, CSQ_MESSAGE_DATA), "message");
}

/* 3., 4., 5. */
static int check_entry(auditing *a, uint32_t client, uint32_t number, uint64_t last,
                       uint32_t before, uint64_t *out_len)
{
    csq_entry *entry = csq_entry_at(a->q, number);
    csq_stored *stored;
    uint32_t message;

    if (!entry)
        return complain(a, "client %u: entry %u is none", client, number);
    stored = csq_entry_stored(a->q, number, entry, &message);
    if (a->marks[number] & LINKED)
        return complain(a, "entry %u is linked twice", number);
    if (entry->client != client || !entry->linked)
        return complain(a, "entry %u hangs at client %u, but names %u", number, client,
                        entry->client);
    if (entry->sequence <= last)
        return complain(a, "entry %u: sequence does not grow", number);
    if (entry->queue_prev != before)
        return complain(a, "entry %u: queue_prev is %u, not %u", number,
                        entry->queue_prev, before);
    if (!stored || !stored->entry.committed)
        return complain(a, "entry %u: message %u is not committed", number, message);
    if (number != message && !use_chain(a, number, 1, "entry"))
        return 0;
    if (!(a->marks[message] & USED))
        a->bytes += stored->len;
    if (!use_message(a, message))
        return 0;
    a->marks[number] |= LINKED;
    a->refs[message]++;
    *out_len = stored->len;
    return 1;
}

static int check_queue(auditing *a, uint32_t number, csq_client *client)
{
    uint32_t before = 0;
    uint32_t at = client->head;
    uint32_t count = 0;
    uint64_t bytes = 0;
    uint64_t last = 0;
    uint64_t len = 0;

    while (at) {
        if (!check_entry(a, number, at, last, before, &len))
            return 0;
        last = csq_entry_at(a->q, at)->sequence;
        before = at;
        at = csq_entry_at(a->q, at)->queue_next;
        count++;
        bytes += len;
    }
    if (client->tail != before)
        return complain(a, "client %u: tail is %u, not %u", number, client->tail, before);
    if (client->count != count || client->bytes != bytes)
        return complain(a, "client %u: count %u, bytes %llu; found %u, %llu", number,
                        client->count, (unsigned long long)client->bytes, count,
                        (unsigned long long)bytes);
    if (last >= client->next_sequence || client->handed_out >= client->next_sequence)
        return complain(a, "client %u: next sequence is too low", number);
    return 1;
}

static int check_gap(auditing *a, uint32_t number, csq_client *client)
{
    uint32_t at = client->gap;
    uint32_t n = 0;
    csq_gap_chunk *gap;

    for (; at; at = gap->next) {
        gap = csq_gap_at(a->q, at);
        if (!gap || n++ > CSQ_GAP_APPS)
            return complain(a, "client %u: gap %u is none", number, at);
        if (a->marks[at] & USED)
            return complain(a, "client %u: gap %u is used twice", number, at);
        a->marks[at] |= USED;
        a->used++;
    }
    return 1;
}

/* 2. */
static int check_client(auditing *a, unsigned shard, uint32_t bucket, uint32_t number)
{
    csq *q = a->q;
    csq_client *client = csq_client_at(q, number);
    csq_client *other;
    uint64_t hash;
    uint32_t steps = 0;
    int ok;

    if (!client)
        return complain(a, "bucket %u: client %u is none", bucket, number);
    if (!use_chain(a, number, csq_client_chunks(client->realm_len, client->client_len),
                   "client"))
        return 0;
    hash = csq_client_hash(q, client, &ok);
    if (!ok || (hash & (CSQ_SHARDS - 1)) != shard
        || csq_bucket_of(q, shard, hash) != bucket
        || client->hash != (uint32_t)(hash >> 32))
        return complain(a, "client %u hangs in the wrong bucket", number);
    if (!client->epoch)
        return complain(a, "client %u has no epoch", number);
    for (other = csq_client_at(q, client->hash_next); other;
         other = csq_client_at(q, other->hash_next))
        if (steps++ > q->chunk_count || csq_client_same_name(q, client, other))
            return complain(a, "client %u is there twice", number);
    return check_queue(a, number, client) && check_gap(a, number, client);
}

static int check_release(auditing *a, unsigned shard)
{
    uint32_t number = a->q->shards[shard].release;
    csq_entry *entry;

    for (; number; number = entry->queue_next) {
        entry = csq_entry_at(a->q, number);
        if (!entry || entry->linked)
            return complain(a, "shard %u: %u cannot be released", shard, number);
        if (a->marks[number] & USED)
            return complain(a, "shard %u: %u is released twice", shard, number);
        if (!(entry->kind == CSQ_KIND_MESSAGE ? use_message(a, number)
                                              : use_chain(a, number, 1, "entry")))
            return 0;
    }
    return 1;
}

/* ---- 6. the wheel ------------------------------------------------------- */

/* When a place comes up next. */
static uint64_t place_tick(uint32_t tick, uint32_t place)
{
    uint32_t shift = place / CSQ_WHEEL_PLACES * CSQ_WHEEL_BITS;
    uint64_t base = (uint64_t)tick + 1;
    uint64_t current = base >> shift;
    uint64_t up = current + ((place - current) & (CSQ_WHEEL_PLACES - 1));

    if (up << shift < base)
        up += CSQ_WHEEL_PLACES;
    return up << shift;
}

static int check_node(auditing *a, unsigned shard, uint32_t place, uint32_t number)
{
    csq *q = a->q;
    csq_entry *entry = csq_entry_at(q, number);
    uint32_t tick = q->shards[shard].tick;
    csq_stored *stored;
    uint32_t message;
    uint32_t second;

    if (!(a->marks[number] & USED))
        return complain(a, "wheel of %u: %u is not in use", shard, number);
    if (a->marks[number] & TURNED)
        return complain(a, "wheel of %u: %u is there twice", shard, number);
    a->marks[number] |= TURNED;
    if (csq_client_at(q, number))
        return 1;
    if (!entry || !entry->linked)
        return complain(a, "wheel of %u: %u is not linked", shard, number);
    stored = csq_entry_stored(q, number, entry, &message);
    second = csq_wheel_second(csq_stored_expires(stored));
    if (second > tick && place_tick(tick, place) > second)
        return complain(a, "wheel of %u: entry %u comes up too late", shard, number);
    return 1;
}

static int check_wheel(auditing *a, unsigned shard)
{
    csq_shard *owner = &a->q->shards[shard];
    uint64_t count = 0;
    uint32_t place;

    for (place = 0; place < CSQ_WHEEL_LEVELS * CSQ_WHEEL_PLACES; place++) {
        uint32_t number = owner->wheel[place];
        uint32_t before = CSQ_WHEEL_FIRST | place;
        int busy = (int)(owner->busy[place / CSQ_WHEEL_PLACES]
                         >> (place % CSQ_WHEEL_PLACES) & 1);

        if (busy != (number != 0))
            return complain(a, "wheel of %u: place %u is marked wrong", shard, place);
        while (number) {
            csq_node *node = csq_chunk_at(a->q, number);

            if (!node || node->wheel_prev != before)
                return complain(a, "wheel of %u: %u is linked wrong", shard, number);
            if (!check_node(a, shard, place, number))
                return 0;
            count++;
            before = number;
            number = node->wheel_next;
        }
    }
    if (count != owner->queued + owner->clients)
        return complain(a, "wheel of %u has %llu nodes", shard,
                        (unsigned long long)count);
    return 1;
}

/* ---- parts -------------------------------------------------------------- */

static int check_shard(auditing *a, unsigned shard)
{
    csq *q = a->q;
    uint32_t bucket = shard * (q->bucket_mask + 1);
    uint32_t end = bucket + q->bucket_mask + 1;
    uint32_t number;
    uint32_t clients = 0;
    uint64_t queued = 0;

    for (; bucket < end; bucket++)
        for (number = q->buckets[bucket]; number;
             number = csq_client_at(q, number)->hash_next) {
            if (!check_client(a, shard, bucket, number))
                return 0;
            clients++;
            queued += csq_client_at(q, number)->count;
        }
    /* 9. */
    if (clients != q->shards[shard].clients || queued != q->shards[shard].queued)
        return complain(a, "shard %u: %u clients, %llu queued; found %u, %llu", shard,
                        q->shards[shard].clients,
                        (unsigned long long)q->shards[shard].queued, clients,
                        (unsigned long long)queued);
    a->bytes_of_shards += q->shards[shard].bytes;
    return check_release(a, shard);
}

/* 7. */
static int check_origins(auditing *a)
{
    csq *q = a->q;
    uint32_t bucket;
    uint32_t number;
    csq_origin *origin;
    int ok;

    for (bucket = 0; bucket <= q->origin_mask; bucket++)
        for (number = q->origins[bucket]; number; number = origin->hash_next) {
            origin = csq_origin_at(q, number);
            if (!origin)
                return complain(a, "origin %u is none", number);
            if (!use_chain(a, number,
                           csq_origin_chunks(origin->app_len + origin->sender_len
                                             + origin->type_len),
                           "origin"))
                return 0;
            if (csq_origin_hash(q, origin, &ok) != origin->hash || !ok
                || (origin->hash & q->origin_mask) != bucket)
                return complain(a, "origin %u hangs in the wrong bucket", number);
            if (origin->refs != a->refs[number])
                return complain(a, "origin %u: %u refs, found %u", number, origin->refs,
                                a->refs[number]);
        }
    return 1;
}

/* 8. */
static int check_free(auditing *a)
{
    csq *q = a->q;
    uint32_t number = q->header->free_head;
    uint32_t count = 0;
    csq_chunk *chunk;

    for (; number; number = chunk->next) {
        chunk = csq_chunk_at(q, number);
        if (!chunk || (a->marks[number] & USED))
            return complain(a, "free list: chunk %u is in use or out of range", number);
        a->marks[number] |= USED;
        a->used++;
        count++;
    }
    if (count != q->header->free_count)
        return complain(a, "free list: %u chunks, found %u", q->header->free_count,
                        count);
    return 1;
}

/* 5. Every message that is linked anywhere was counted. */
static int check_refs(auditing *a)
{
    csq *q = a->q;
    uint32_t number;
    uint32_t message;
    csq_stored *stored;

    for (number = 1; number <= q->chunk_count; number++) {
        if (!(a->marks[number] & LINKED))
            continue;
        stored = csq_entry_stored(q, number, csq_entry_at(q, number), &message);
        if (stored->refs != a->refs[message])
            return complain(a, "message %u: %u refs, found %u", message, stored->refs,
                            a->refs[message]);
    }
    return 1;
}

static void check_all(auditing *a)
{
    csq *q = a->q;
    uint32_t clients = 0;
    unsigned i;

    for (i = 0; i < CSQ_SHARDS; i++) {
        if (!check_shard(a, i))
            return;
        clients += q->shards[i].clients;
    }
    if (clients != q->header->clients)
        complain(a, "%u clients, found %u", q->header->clients, clients);
    if (a->bytes != a->bytes_of_shards)
        complain(a, "%llu bytes, found %llu", (unsigned long long)a->bytes_of_shards,
                 (unsigned long long)a->bytes);
    for (i = 0; i < CSQ_SHARDS; i++)
        if (!check_wheel(a, i))
            return;
    if (!check_refs(a) || !check_origins(a) || !check_free(a))
        return;
    if (a->used != q->chunk_count)
        complain(a, "%u chunks belong to nobody", q->chunk_count - a->used);
}

static apr_status_t lock_whole(csq *q)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < CSQ_RETRIES; i++) {
        rv = csq_lock_all(q);
        if (rv != APR_SUCCESS || !csq_repair_wanted(q))
            return rv;
        csq_unlock_all(q);
        rv = csq_repair(q);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return CSQ_BUSY;
}

apr_status_t csq_audit(csq *q, apr_pool_t *pool, const char **out_problem)
{
    auditing a = { .q = q, .pool = pool };
    size_t chunks = (size_t)q->chunk_count + 1;
    size_t size = chunks * (sizeof *a.refs + sizeof *a.marks);
    void *memory;
    apr_status_t rv;

    memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return CSQ_NO_MEMORY;
    a.refs = memory;
    a.marks = (uint8_t *)(a.refs + chunks);
    rv = lock_whole(q);
    if (rv == APR_SUCCESS) {
        check_all(&a);
        csq_unlock_all(q);
        rv = a.problem ? CSQ_DAMAGED : APR_SUCCESS;
    }
    munmap(memory, size);
    if (out_problem)
        *out_problem = a.problem;
    return rv;
}
