/* SPDX-License-Identifier: Apache-2.0
 * csq_repair_queue.c - repair: clients, their queues, messages and entries.
 */
#include "cs_compat.h"
#include "csq_repair.h"

/* ---- messages ---------------------------------------------------------- */

int csq_repair_hold_origin(csq_repairing *r, uint32_t number)
{
    csq *q = r->q;
    csq_origin *origin = csq_origin_at(q, number);

    if (!origin)
        return 0;
    if (!(r->marks[number] & CSQ_MARK_USED)) {
        if (!csq_repair_chain(r, number, csq_origin_chunks(csq_origin_strings(origin)))
            || !csq_origin_hash_again(q, origin))
            return 0;
        origin->refs = 0;
        origin->hash_next = q->origins[origin->hash & q->origin_mask];
        q->origins[origin->hash & q->origin_mask] = number;
    }
    else if (!(r->marks[number] & CSQ_MARK_HEAD))
        return 0;
    origin->refs++;
    return 1;
}

/* The first entry that leads to a message marks it. */
static int hold_message(csq_repairing *r, unsigned shard, uint32_t number,
                        csq_stored *stored)
{
    if (!(r->marks[number] & CSQ_MARK_USED)) {
        if (!csq_repair_hold_origin(r, stored->entry.body))
            return 0;
        if (!csq_repair_chain(r, number, csq_chunks_for(stored->len, CSQ_MESSAGE_DATA))) {
            csq_origin_at(r->q, stored->entry.body)->refs--;
            return 0;
        }
        stored->refs = 0;
        if (stored->entry.flags & CSQ_SPREAD) {
            stored->entry.linked = 0;
            stored->entry.queue_next = 0;
        }
        csq_id_add_locked(r->q, number);
        CSQ_ADD(r->q->shards[shard].bytes, stored->len);
    }
    else if (!(r->marks[number] & CSQ_MARK_HEAD))
        return 0;
    stored->refs++;
    return 1;
}

/* A message of several entries hangs nowhere itself, one of its own has no
 * others.                                                                    */
static int is_right_kind(const csq_stored *stored, uint32_t number, uint32_t message)
{
    return ((stored->entry.flags & CSQ_SPREAD) != 0) == (number != message);
}

/* Does an entry belong where it hangs? */
static int entry_fits(csq_repairing *r, uint32_t queue_number, uint32_t number,
                      uint64_t last)
{
    csq_entry *entry = csq_entry_at(r->q, number);
    uint32_t message;
    csq_stored *stored = entry ? csq_entry_stored(r->q, number, entry, &message) : NULL;

    return stored && !(r->marks[number] & CSQ_MARK_LINKED) && entry->queue == queue_number
           && csq_entry_sequence(entry) > last
           && csq_entry_sequence(entry) <= CSQ_SEQUENCE_MAX
           && is_right_kind(stored, number, message);
}

static int link_again(csq_repairing *r, unsigned shard, csq_queue *queue, uint32_t number,
                      csq_stored *stored, uint32_t message)
{
    csq_entry *entry = csq_entry_at(r->q, number);

    if (number != message && ((r->marks[number] & CSQ_MARK_USED) || entry->next))
        return 0;
    if (!hold_message(r, shard, message, stored))
        return 0;
    r->marks[number] |= CSQ_MARK_USED | CSQ_MARK_LINKED;
    entry->linked = 1;
    entry->queue_prev = queue->tail;
    queue->tail = number;
    queue->count++;
    queue->bytes += stored->len;
    CSQ_ADD(r->q->shards[shard].queued, 1);
    csq_wheel_add_locked(r->q, shard, number,
                         csq_wheel_second(csq_stored_expires(stored)));
    if (number != message) {
        csq_link *to = (csq_link *)entry;

        if (to->topic_len > CSQ_TOPIC_MAX)
            to->topic_len = 0;
        csq_peer_add_locked(r->q, message, number);
    }
    csq_topic_add_locked(r->q, shard, number);
    return 1;
}

/* It counts, and its publisher has not died before this shard was served. */
static int is_queued(csq *q, unsigned shard, const csq_stored *stored)
{
    return stored->entry.committed == 1
           && (!(stored->entry.flags & CSQ_SPREAD)
               || csq_repeat_many_reaches(q, stored->entry.sequence_low, stored->id,
                                          shard));
}

/* Of a message that does not count, or was taken back. */
static void let_leave(csq_entry *entry, const csq_stored *stored, uint32_t *link)
{
    if (stored->entry.committed == CSQ_WITHDRAWN)
        entry->linked = CSQ_LEAVING + CSQ_FATE_WITHDRAWN;
    else
        entry->linked = 0;
    __atomic_store_n(link, entry->queue_next, __ATOMIC_RELEASE);
}

/* It was on its way from one queue to another. */
static void let_arrive(csq_repairing *r, unsigned shard, csq_queue *queue,
                       uint32_t queue_number, uint32_t *link)
{
    uint32_t number = queue->arriving;
    csq_entry *entry = csq_entry_at(r->q, number);
    uint32_t message;
    csq_stored *stored = entry ? csq_entry_stored(r->q, number, entry, &message) : NULL;

    if (stored && stored->entry.committed == 1 && !(r->marks[number] & CSQ_MARK_LINKED)
        && is_right_kind(stored, number, message)) {
        entry->queue = queue_number;
        entry->queue_next = 0;
        csq_entry_sequence_set(entry, queue->next_sequence);
        queue->next_sequence++;
        if (link_again(r, shard, queue, number, stored, message))
            __atomic_store_n(link, number, __ATOMIC_RELEASE);
    }
    queue->arriving = 0;
}

/* @return 1: the queue is whole, 0: it had to be cut. */
static int mark_entries(csq_repairing *r, unsigned shard, csq_queue *queue,
                        uint32_t queue_number, uint32_t **out_link)
{
    uint32_t *link = &queue->head;
    uint64_t last = 0;
    uint32_t message;
    csq_entry *entry;
    csq_stored *stored;

    queue->tail = 0;
    queue->mark = 0;
    queue->count = 0;
    queue->bytes = 0;
    while (*link) {
        uint32_t number = *link;

        if (!entry_fits(r, queue_number, number, last))
            break;
        entry = csq_entry_at(r->q, number);
        stored = csq_entry_stored(r->q, number, entry, &message);
        last = csq_entry_sequence(entry);
        if (!is_queued(r->q, shard, stored)) {
            let_leave(entry, stored, link);
            continue;
        }
        if (!link_again(r, shard, queue, number, stored, message))
            break;
        link = &entry->queue_next;
    }
    if (queue->next_sequence <= last)
        queue->next_sequence = last + 1;
    *out_link = link;
    if (!*link)
        return 1;
    __atomic_store_n(link, 0, __ATOMIC_RELEASE);
    return 0;
}

/* ---- clients ----------------------------------------------------------- */

static int mark_gap(csq_repairing *r, csq_queue *queue)
{
    uint32_t *link = &queue->gap;
    uint32_t n = 0;
    csq_gap_chunk *gap;

    while (*link) {
        gap = csq_gap_at(r->q, *link);
        if (!gap || (r->marks[*link] & CSQ_MARK_USED) || n++ >= CSQ_GAP_APPS + 1) {
            *link = 0;
            return 0;
        }
        r->marks[*link] |= CSQ_MARK_USED;
        link = &gap->next;
    }
    return 1;
}

/* A record that hangs in the right bucket under a name that can be read. */
static int client_fits(csq_repairing *r, unsigned shard, uint32_t bucket, uint32_t number,
                       uint64_t *out_hash)
{
    csq *q = r->q;
    csq_client *client = csq_client_at(q, number);
    int ok;

    if (!client || (r->marks[number] & CSQ_MARK_USED))
        return 0;
    *out_hash = csq_client_hash(q, client, &ok);
    return ok && (*out_hash & (CSQ_SHARDS - 1)) == shard
           && csq_bucket_of(q, shard, *out_hash) == bucket;
}

/* Something was lost: all cursors of before are foreign now. */
static void give_new_epoch(csq_repairing *r, csq_queue *queue, uint64_t hash)
{
    csq *q = r->q;
    uint64_t secret;
    uint64_t epoch;

    if (!r->damaged && csq_random(q, &secret, sizeof secret) == APR_SUCCESS)
        q->header->epoch_secret = secret;
    r->damaged = 1;
    if (queue && csq_epoch_make(q, hash, &epoch) == APR_SUCCESS)
        queue->epoch = epoch;
}

static void give_new_epochs(csq_repairing *r, csq_client *client, uint64_t hash)
{
    uint32_t number = client->queues;
    uint32_t steps = 0;
    csq_queue *queue;

    for (; number && steps++ < r->q->chunk_count; number = queue->sibling) {
        queue = csq_queue_at(r->q, number);
        if (!queue)
            break;
        give_new_epoch(r, queue, hash);
    }
}

/* One of the same name that hangs before it; only damage can make two. */
static int is_second(csq_repairing *r, csq_client *client, uint32_t number)
{
    csq_queue *queue = csq_queue_at(r->q, number);
    csq_chunk *name = csq_chunk_at(r->q, queue->next);
    uint32_t found;

    return queue->device_len
           && (!name
               || csq_queue_find_locked(r->q, client, name->data, queue->device_len,
                                        &found)
                      != APR_SUCCESS
               || found != number);
}

/* It stands at a sequence that there has been. */
static void bound_gap(csq *q, const csq_queue *queue)
{
    csq_gap_chunk *first = csq_gap_at(q, queue->gap);

    if (first && first->handed_sequence >= queue->next_sequence)
        first->handed_sequence = queue->next_sequence - 1;
    if (first && first->fresh_sequence >= queue->next_sequence)
        first->fresh_sequence = queue->next_sequence - 1;
}

static uint64_t last_sequence(csq *q, const csq_queue *queue)
{
    csq_entry *last = csq_entry_at(q, queue->tail);

    return last ? csq_entry_sequence(last) : 0;
}

static void mark_contents(csq_repairing *r, unsigned shard, uint32_t number,
                          uint64_t hash)
{
    csq_queue *queue = csq_queue_at(r->q, number);
    uint32_t *link;
    int whole;

    queue->flags &= CSQ_QUEUE_KNOWN;
    whole = mark_entries(r, shard, queue, number, &link);
    let_arrive(r, shard, queue, number, link);
    whole &= mark_gap(r, queue);
    if (queue->next_sequence > CSQ_SEQUENCE_MAX || queue->handed_out > CSQ_SEQUENCE_MAX) {
        queue->handed_out = 0;
        queue->next_sequence = last_sequence(r->q, queue) + 1;
        whole = 0;
    }
    if (queue->next_sequence <= queue->handed_out)
        queue->next_sequence = queue->handed_out + 1;
    bound_gap(r->q, queue);
    if (!whole || !queue->epoch)
        give_new_epoch(r, queue, hash);
    csq_wheel_add_locked(r->q, shard, number, queue->due);
    r->q->shards[shard].queues++;
}

/* Queues with something on its way from another one come after that one. */
static void mark_queues(csq_repairing *r, unsigned shard, uint32_t client_number,
                        uint64_t hash, int arriving)
{
    csq_client *client = csq_client_at(r->q, client_number);
    uint32_t number;
    csq_queue *queue;

    for (number = client->queues; number; number = queue->sibling) {
        queue = csq_queue_at(r->q, number);
        if ((queue->arriving != 0) == arriving)
            mark_contents(r, shard, number, hash);
    }
}

static void mark_client(csq_repairing *r, unsigned shard, uint32_t number, uint64_t hash)
{
    csq *q = r->q;
    csq_client *client = csq_client_at(q, number);
    uint32_t *link = &client->queues;
    csq_queue *queue;

    client->hash = (uint32_t)(hash >> 32);
    client->shard = (uint8_t)shard;
    client->memberships = 0;
    while (*link) {
        queue = csq_queue_at(q, *link);
        if (queue && !queue->device_len)
            queue->next = 0;
        if (!queue || queue->client != number || queue->device_len > CSQ_DEVICE_MAX
            || is_second(r, client, *link)
            || !csq_repair_chain(r, *link, csq_queue_chunks(queue->device_len))) {
            *link = 0;
            give_new_epochs(r, client, hash);
            break;
        }
        link = &queue->sibling;
    }
    mark_queues(r, shard, number, hash, 0);
    mark_queues(r, shard, number, hash, 1);
    q->shards[shard].clients++;
    CSQ_ADD(q->header->clients, 1);
}

/* One of the same name that hangs before `number`. Only damage can make two:
 * a record that could not be found was made anew. All before are marked.     */
static csq_client *find_double(csq_repairing *r, uint32_t bucket, uint32_t number)
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

static void mark_bucket(csq_repairing *r, unsigned shard, uint32_t bucket)
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
            give_new_epochs(r, other, hash);
            continue;
        }
        if (!csq_repair_chain(r, *link,
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

void csq_repair_clients(csq_repairing *r, unsigned shard)
{
    uint32_t bucket = shard * (r->q->bucket_mask + 1);
    uint32_t end = bucket + r->q->bucket_mask + 1;

    for (; bucket < end; bucket++)
        mark_bucket(r, shard, bucket);
}
