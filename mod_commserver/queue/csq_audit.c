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
#define TURNED 4 /* found in a wheel                            */

typedef struct auditing {
    csq *q;
    apr_pool_t *pool;
    const char *problem;
    uint8_t *marks;
    uint32_t *refs; /* counted, of messages and origins            */
    uint32_t used;  /* chunks                                      */
    uint64_t bytes;
    uint64_t bytes_of_shards;
} auditing;

__attribute__((format(printf, 2, 3))) static int complain(auditing *a, const char *format,
                                                          ...)
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
    uint32_t found;

    if (!stored)
        return complain(a, "message %u is none", number);
    a->refs[number]++;
    if (a->marks[number] & USED)
        return 1;
    if (!csq_origin_at(a->q, stored->entry.body))
        return complain(a, "message %u: origin %u is none", number, stored->entry.body);
    a->refs[stored->entry.body]++;
    a->bytes += stored->len;
    if (csq_id_find_locked(a->q, stored->id, &found) != APR_SUCCESS || found != number)
        return complain(a, "message %u: is not found by its id", number);
    return use_chain(a, number, csq_chunks_for(stored->len, CSQ_MESSAGE_DATA), "message");
}

/* 10. */
static int check_topic(auditing *a, unsigned shard, uint32_t number)
{
    csq_link *link = csq_link_at(a->q, number);
    uint32_t count = a->q->topic_mask + 1;
    uint32_t at;
    int found = 0;

    if (!link || !link->topic_len)
        return 1;
    at = a->q->topics[shard * count + (link->topic_hash & a->q->topic_mask)];
    for (; at; at = csq_link_at(a->q, at)->topic_next) {
        if (!csq_link_at(a->q, at))
            return complain(a, "topic of %u: entry %u is none", number, at);
        found += at == number;
    }
    return found == 1
               ? 1
               : complain(a, "entry %u hangs %d times under its topic", number, found);
}

/* 3., 4., 5. */
static int check_entry(auditing *a, uint32_t queue, uint32_t number, uint64_t last,
                       uint32_t before, uint64_t *out_len)
{
    csq_entry *entry = csq_entry_at(a->q, number);
    csq_stored *stored;
    uint32_t message;

    if (!entry)
        return complain(a, "queue %u: entry %u is none", queue, number);
    stored = csq_entry_stored(a->q, number, entry, &message);
    if (a->marks[number] & LINKED)
        return complain(a, "entry %u is linked twice", number);
    if (entry->queue != queue || entry->linked != 1)
        return complain(a, "entry %u hangs at queue %u, but names %u", number, queue,
                        entry->queue);
    if (csq_entry_sequence(entry) <= last)
        return complain(a, "entry %u: sequence does not grow", number);
    if (entry->queue_prev != before)
        return complain(a, "entry %u: queue_prev is %u, not %u", number,
                        entry->queue_prev, before);
    if (!stored || stored->entry.committed != 1)
        return complain(a, "entry %u: message %u is not committed", number, message);
    if (((stored->entry.flags & CSQ_SPREAD) != 0) != (number != message))
        return complain(a, "entry %u is of the wrong kind", number);
    if (number != message && !use_chain(a, number, 1, "entry"))
        return 0;
    if (!use_message(a, message))
        return 0;
    a->marks[number] |= LINKED;
    *out_len = stored->len;
    return 1;
}

static int check_entries(auditing *a, unsigned shard, uint32_t number, csq_queue *queue)
{
    uint32_t before = 0;
    uint32_t at = queue->head;
    uint32_t count = 0;
    uint64_t bytes = 0;
    uint64_t last = 0;
    uint64_t len = 0;

    while (at) {
        if (!check_entry(a, number, at, last, before, &len) || !check_topic(a, shard, at))
            return 0;
        last = csq_entry_sequence(csq_entry_at(a->q, at));
        before = at;
        at = csq_entry_at(a->q, at)->queue_next;
        count++;
        bytes += len;
    }
    if (queue->tail != before)
        return complain(a, "queue %u: tail is %u, not %u", number, queue->tail, before);
    if (queue->count != count || queue->bytes != bytes)
        return complain(a, "queue %u: count %u, bytes %lu; found %u, %lu", number,
                        queue->count, (unsigned long)queue->bytes, count,
                        (unsigned long)bytes);
    if (last >= queue->next_sequence || queue->handed_out >= queue->next_sequence)
        return complain(a, "queue %u: next sequence is %lu, last %lu, handed out %lu",
                        number, (unsigned long)queue->next_sequence, (unsigned long)last,
                        (unsigned long)queue->handed_out);
    if (queue->arriving)
        return complain(a, "queue %u: something is on its way", number);
    return 1;
}

static int check_gap(auditing *a, uint32_t number, csq_queue *queue)
{
    uint32_t at = queue->gap;
    uint32_t n = 0;
    csq_gap_chunk *gap;

    for (; at; at = gap->next) {
        gap = csq_gap_at(a->q, at);
        if (!gap || n++ > CSQ_GAP_APPS)
            return complain(a, "queue %u: gap %u is none", number, at);
        if (a->marks[at] & USED)
            return complain(a, "queue %u: gap %u is used twice", number, at);
        a->marks[at] |= USED;
        a->used++;
    }
    return 1;
}

static int check_queue(auditing *a, unsigned shard, uint32_t client, uint32_t number)
{
    csq_queue *queue = csq_queue_at(a->q, number);
    csq_client *owner = csq_client_at(a->q, client);
    csq_chunk *name;
    uint32_t found;

    if (!queue || queue->client != client)
        return complain(a, "client %u: queue %u is not its own", client, number);
    if (!use_chain(a, number, csq_queue_chunks(queue->device_len), "queue"))
        return 0;
    name = csq_chunk_at(a->q, queue->next);
    if (csq_queue_find_locked(a->q, owner, name ? name->data : "", queue->device_len,
                              &found)
            != APR_SUCCESS
        || found != number)
        return complain(a, "client %u: queue %u has the name of %u", client, number,
                        found);
    if (!queue->epoch)
        return complain(a, "queue %u has no epoch", number);
    return check_entries(a, shard, number, queue) && check_gap(a, number, queue);
}

/* 2. */
static int check_client(auditing *a, unsigned shard, uint32_t bucket, uint32_t number,
                        uint64_t *queued, uint32_t *queues)
{
    csq *q = a->q;
    csq_client *client = csq_client_at(q, number);
    csq_client *other;
    uint64_t hash;
    uint32_t steps = 0;
    uint32_t at;
    int ok;

    if (!client)
        return complain(a, "bucket %u: client %u is none", bucket, number);
    if (!use_chain(a, number, csq_client_chunks(client->realm_len, client->client_len),
                   "client"))
        return 0;
    hash = csq_client_hash(q, client, &ok);
    if (!ok || (hash & (CSQ_SHARDS - 1)) != shard || client->shard != shard
        || csq_bucket_of(q, shard, hash) != bucket
        || client->hash != (uint32_t)(hash >> 32))
        return complain(a, "client %u hangs in the wrong bucket", number);
    if (!client->queues && !client->memberships)
        return complain(a, "client %u has no queue and is in no group", number);
    for (other = csq_client_at(q, client->hash_next); other;
         other = csq_client_at(q, other->hash_next))
        if (steps++ > q->chunk_count || csq_client_same_name(q, client, other))
            return complain(a, "client %u is there twice", number);
    for (at = client->queues; at; at = csq_queue_at(q, at)->sibling) {
        if (!check_queue(a, shard, number, at))
            return 0;
        *queued += csq_queue_at(q, at)->count;
        ++*queues;
    }
    return 1;
}

static int check_release(auditing *a, unsigned shard)
{
    uint32_t number = a->q->shards[shard].release;
    uint32_t message;
    csq_entry *entry;

    for (; number; number = entry->queue_next) {
        entry = csq_entry_at(a->q, number);
        if (!entry || entry->linked == 1)
            return complain(a, "shard %u: %u cannot be released", shard, number);
        if (a->marks[number] & USED)
            return complain(a, "shard %u: %u is released twice", shard, number);
        message = entry->kind == CSQ_KIND_MESSAGE ? number : entry->body;
        if ((number != message && !use_chain(a, number, 1, "entry"))
            || !use_message(a, message))
            return 0;
    }
    return 1;
}

/* ---- 11. groups --------------------------------------------------------- */

static int check_members(auditing *a, unsigned shard, uint32_t number, csq_group *group)
{
    uint32_t count = 0;
    uint32_t at;
    csq_members *members;
    csq_client *client;
    int i;

    for (at = group->members; at; at = members->next) {
        members = csq_members_at(a->q, at);
        if (!members || (a->marks[at] & USED))
            return complain(a, "group %u: members %u are none", number, at);
        a->marks[at] |= USED;
        a->used++;
        for (i = 0; i < CSQ_MEMBERS_MAX; i++) {
            if (!members->clients[i])
                continue;
            client = csq_client_at(a->q, members->clients[i]);
            if (!client || client->shard != shard)
                return complain(a, "group %u: member %u is not of this shard", number,
                                members->clients[i]);
            a->refs[members->clients[i]]++;
            count++;
        }
    }
    return count == group->count && count ? 1
                                          : complain(a, "group %u: %u members, found %u",
                                                     number, group->count, count);
}

static int check_groups(auditing *a, unsigned shard)
{
    csq *q = a->q;
    uint32_t bucket;
    uint32_t number;
    csq_group *group;
    int ok;

    for (bucket = 0; bucket <= q->group_mask; bucket++)
        for (number = q->groups[shard * (q->group_mask + 1) + bucket]; number;
             number = group->hash_next) {
            group = csq_group_at(q, number);
            if (!group)
                return complain(a, "group %u is none", number);
            if (csq_group_hash(q, group, &ok) != group->hash || !ok
                || (group->hash & q->group_mask) != bucket)
                return complain(a, "group %u hangs in the wrong bucket", number);
            if (!use_chain(a, number,
                           csq_group_chunks((uint32_t)group->realm_len + group->app_len
                                            + group->group_len),
                           "group")
                || !check_members(a, shard, number, group))
                return 0;
        }
    return 1;
}

static int check_memberships(auditing *a, unsigned shard)
{
    csq *q = a->q;
    uint32_t bucket = shard * (q->bucket_mask + 1);
    uint32_t end = bucket + q->bucket_mask + 1;
    uint32_t number;
    csq_client *client;

    for (; bucket < end; bucket++)
        for (number = q->buckets[bucket]; number; number = client->hash_next) {
            client = csq_client_at(q, number);
            if (client->memberships != a->refs[number])
                return complain(a, "client %u: %u memberships, found %u", number,
                                client->memberships, a->refs[number]);
        }
    return 1;
}

/* ---- 12. receipts, and answers that are kept ------------------------------- */

static int check_receipt(auditing *a, uint32_t number)
{
    csq_receipt *receipt = csq_receipt_at(a->q, number);
    uint32_t sum = 0;
    uint32_t message;
    int i;

    if (!receipt || !csq_origin_at(a->q, receipt->origin))
        return complain(a, "receipt %u is none", number);
    a->refs[receipt->origin]++;
    for (i = 0; i < CSQ_FATES; i++)
        sum += receipt->counts[i];
    if (csq_id_find_locked(a->q, receipt->id, &message) == APR_SUCCESS && message)
        sum += csq_stored_at(a->q, message)->refs;
    if (sum != receipt->receivers)
        return complain(a, "receipt %u: %u receivers, found %u", number,
                        receipt->receivers, sum);
    return use_chain(a, number, 1, "receipt");
}

static int check_receipts(auditing *a)
{
    csq *q = a->q;
    uint32_t bucket;
    uint32_t number;

    for (bucket = 0; bucket <= q->receipt_mask; bucket++)
        for (number = q->receipts[bucket]; number;
             number = csq_receipt_at(q, number)->hash_next)
            if (!check_receipt(a, number))
                return 0;
    return 1;
}

static int check_repeats(auditing *a)
{
    csq *q = a->q;
    uint32_t bucket;
    uint32_t number;
    csq_repeat *repeat;

    for (bucket = 0; bucket <= q->repeat_mask; bucket++)
        for (number = q->repeats[bucket]; number; number = repeat->hash_next) {
            repeat = csq_repeat_at(q, number);
            if (!repeat)
                return complain(a, "repeat %u is none", number);
            if (repeat->state > CSQ_REPEAT_MANY + CSQ_SHARDS)
                return complain(a, "repeat %u is nowhere", number);
            if (!use_chain(a, number, csq_repeat_chunks(repeat->answer_len), "repeat"))
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
    if (csq_queue_at(q, number))
        return 1;
    if (!entry || entry->linked != 1)
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
        int busy =
            (int)(owner->busy[place / CSQ_WHEEL_PLACES] >> (place % CSQ_WHEEL_PLACES)
                  & 1);

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
    if (count != owner->queued + owner->queues)
        return complain(a, "wheel of %u has %lu nodes", shard, (unsigned long)count);
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
    uint32_t queues = 0;
    uint64_t queued = 0;

    for (; bucket < end; bucket++)
        for (number = q->buckets[bucket]; number;
             number = csq_client_at(q, number)->hash_next) {
            if (!check_client(a, shard, bucket, number, &queued, &queues))
                return 0;
            clients++;
        }
    /* 9. */
    if (clients != q->shards[shard].clients || queued != q->shards[shard].queued
        || queues != q->shards[shard].queues)
        return complain(a, "shard %u: %u clients, %lu queued; found %u, %lu", shard,
                        q->shards[shard].clients, (unsigned long)q->shards[shard].queued,
                        clients, (unsigned long)queued);
    a->bytes_of_shards += q->shards[shard].bytes;
    return check_release(a, shard) && check_groups(a, shard)
           && check_memberships(a, shard);
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
            if (!use_chain(a, number, csq_origin_chunks(csq_origin_strings(origin)),
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
        complain(a, "%lu bytes, found %lu", (unsigned long)a->bytes_of_shards,
                 (unsigned long)a->bytes);
    for (i = 0; i < CSQ_SHARDS; i++)
        if (!check_wheel(a, i))
            return;
    if (!check_refs(a) || !check_receipts(a) || !check_origins(a) || !check_repeats(a)
        || !check_free(a))
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
