/* SPDX-License-Identifier: Apache-2.0
 * csq_repair.c - make the segment whole after a process died under a lock.
 *
 * Under all locks: walk the truth (csq_layout.h) and mark what it reaches,
 * writing anew whatever follows from it; give all other chunks back. Of the
 * truth only this is changed, each by one store: entries of messages that were
 * not committed, or were taken back, leave their queue; what was on its way
 * from one queue to another arrives. A death in here leaves header.repair set, and
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
#define HEAD   4 /* the first of its chain                      */

typedef struct repairing {
    csq *q;
    uint8_t *marks; /* of each chunk, by number                    */
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
    r->marks[head] |= HEAD;
    return 1;
}

static void reset_what_follows(csq *q)
{
    uint32_t i;

    CSQ_SET(q->header->clients, 0);
    memset(q->origins, 0, ((size_t)q->origin_mask + 1) * sizeof *q->origins);
    memset(q->ids, 0, ((size_t)q->id_mask + 1) * sizeof *q->ids);
    memset(q->topics, 0, ((size_t)q->topic_mask + 1) * CSQ_SHARDS * sizeof *q->topics);
    for (i = 0; i < CSQ_SHARDS; i++) {
        csq_shard *shard = &q->shards[i];

        shard->release = 0;
        shard->clients = 0;
        shard->queues = 0;
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

    if (!origin)
        return 0;
    if (!(r->marks[number] & USED)) {
        if (!mark_chain(r, number, csq_origin_chunks(csq_origin_strings(origin)))
            || !csq_origin_hash_again(q, origin))
            return 0;
        origin->refs = 0;
        origin->hash_next = q->origins[origin->hash & q->origin_mask];
        q->origins[origin->hash & q->origin_mask] = number;
    }
    else if (!(r->marks[number] & HEAD))
        return 0;
    origin->refs++;
    return 1;
}

/* The first entry that leads to a message marks it. */
static int hold_message(repairing *r, unsigned shard, uint32_t number, csq_stored *stored)
{
    if (!(r->marks[number] & USED)) {
        if (!hold_origin(r, stored->entry.body))
            return 0;
        if (!mark_chain(r, number, csq_chunks_for(stored->len, CSQ_MESSAGE_DATA))) {
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
    else if (!(r->marks[number] & HEAD))
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
static int entry_fits(repairing *r, uint32_t queue_number, uint32_t number, uint64_t last)
{
    csq_entry *entry = csq_entry_at(r->q, number);
    uint32_t message;
    csq_stored *stored = entry ? csq_entry_stored(r->q, number, entry, &message) : NULL;

    return stored && !(r->marks[number] & LINKED) && entry->queue == queue_number
           && csq_entry_sequence(entry) > last
           && csq_entry_sequence(entry) <= CSQ_SEQUENCE_MAX
           && is_right_kind(stored, number, message);
}

static int link_again(repairing *r, unsigned shard, csq_queue *queue, uint32_t number,
                      csq_stored *stored, uint32_t message)
{
    csq_entry *entry = csq_entry_at(r->q, number);

    if (number != message && ((r->marks[number] & USED) || entry->next))
        return 0;
    if (!hold_message(r, shard, message, stored))
        return 0;
    r->marks[number] |= USED | LINKED;
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

/* Of a message that was not committed, or was taken back. */
static void let_leave(csq_entry *entry, const csq_stored *stored, uint32_t *link)
{
    if (stored->entry.committed)
        entry->linked = CSQ_LEAVING + CSQ_FATE_WITHDRAWN;
    __atomic_store_n(link, entry->queue_next, __ATOMIC_RELEASE);
}

/* It was on its way from one queue to another. */
static void let_arrive(repairing *r, unsigned shard, csq_queue *queue,
                       uint32_t queue_number, uint32_t *link)
{
    uint32_t number = queue->arriving;
    csq_entry *entry = csq_entry_at(r->q, number);
    uint32_t message;
    csq_stored *stored = entry ? csq_entry_stored(r->q, number, entry, &message) : NULL;

    if (stored && stored->entry.committed == 1 && !(r->marks[number] & LINKED)
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
static int mark_entries(repairing *r, unsigned shard, csq_queue *queue,
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
        if (stored->entry.committed != 1) {
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

static int mark_gap(repairing *r, csq_queue *queue)
{
    uint32_t *link = &queue->gap;
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
static void give_new_epoch(repairing *r, csq_queue *queue, uint64_t hash)
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

static void give_new_epochs(repairing *r, csq_client *client, uint64_t hash)
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
static int is_second(repairing *r, csq_client *client, uint32_t number)
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

static void mark_contents(repairing *r, unsigned shard, uint32_t number, uint64_t hash)
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
static void mark_queues(repairing *r, unsigned shard, uint32_t client_number,
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

static void mark_client(repairing *r, unsigned shard, uint32_t number, uint64_t hash)
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
            || !mark_chain(r, *link, csq_queue_chunks(queue->device_len))) {
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
            give_new_epochs(r, other, hash);
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

/* Made for a membership, or for a queue, that did not come to be. */
static void drop_empty_clients(repairing *r, uint32_t bucket, unsigned shard)
{
    csq *q = r->q;
    uint32_t *link = &q->buckets[bucket];
    csq_client *client;
    uint32_t number;
    uint32_t next;

    while (*link) {
        client = csq_client_at(q, *link);
        if (client->queues || client->memberships) {
            link = &client->hash_next;
            continue;
        }
        for (number = *link; number; number = next) {
            next = ((csq_chunk *)csq_chunk_at(q, number))->next;
            r->marks[number] = 0;
        }
        __atomic_store_n(link, client->hash_next, __ATOMIC_RELEASE);
        q->shards[shard].clients--;
        CSQ_ADD(q->header->clients, -1);
    }
}

/* ---- groups -------------------------------------------------------------- */

static uint32_t count_members(repairing *r, unsigned shard, csq_members *members)
{
    csq_client *client;
    uint32_t count = 0;
    int i;

    for (i = 0; i < CSQ_MEMBERS_MAX; i++) {
        client = csq_client_at(r->q, members->clients[i]);
        if (client && client->shard == shard && (r->marks[members->clients[i]] & HEAD))
            count++;
        else
            members->clients[i] = 0;
    }
    return count;
}

static void mark_members(repairing *r, unsigned shard, csq_group *group)
{
    uint32_t *link = &group->members;
    csq_members *members;
    int i;

    group->count = 0;
    while (*link) {
        members = csq_members_at(r->q, *link);
        if (!members || (r->marks[*link] & USED)) {
            *link = 0;
            return;
        }
        r->marks[*link] |= USED;
        group->count += count_members(r, shard, members);
        for (i = 0; i < CSQ_MEMBERS_MAX; i++)
            if (members->clients[i])
                csq_client_at(r->q, members->clients[i])->memberships++;
        link = &members->next;
    }
}

static void unmark_members(repairing *r, csq_group *group)
{
    uint32_t number = group->members;
    csq_members *members;
    int i;

    for (; number; number = members->next) {
        members = csq_members_at(r->q, number);
        r->marks[number] = 0;
        for (i = 0; i < CSQ_MEMBERS_MAX; i++)
            if (members->clients[i])
                csq_client_at(r->q, members->clients[i])->memberships--;
    }
}

static void mark_groups(repairing *r, unsigned shard, uint32_t bucket)
{
    csq *q = r->q;
    uint32_t *link = &q->groups[shard * (q->group_mask + 1) + bucket];
    csq_group *group;
    uint32_t n;
    int ok = 1;

    while (*link) {
        group = csq_group_at(q, *link);
        if (!group || (r->marks[*link] & USED))
            break;
        group->hash = csq_group_hash(q, group, &ok);
        ok = ok && (group->hash & q->group_mask) == bucket;
        n = csq_group_chunks((uint32_t)group->realm_len + group->app_len
                             + group->group_len);
        mark_members(r, shard, group);
        if (ok && group->count && mark_chain(r, *link, n)) {
            link = &group->hash_next;
            continue;
        }
        unmark_members(r, group);
        if (!ok)
            break;
        __atomic_store_n(link, group->hash_next, __ATOMIC_RELEASE);
    }
    *link = 0;
}

static void mark_all_groups(repairing *r)
{
    csq *q = r->q;
    uint32_t count = q->group_mask + 1;
    uint32_t i;
    unsigned shard;

    for (shard = 0; shard < CSQ_SHARDS; shard++) {
        for (i = 0; i < count; i++)
            if (q->groups[shard * count + i])
                mark_groups(r, shard, i);
        for (i = 0; i <= q->bucket_mask; i++)
            drop_empty_clients(r, shard * (q->bucket_mask + 1) + i, shard);
    }
}

/* ---- receipts ------------------------------------------------------------- */

static uint32_t sum_of(const csq_receipt *receipt)
{
    uint32_t sum = 0;
    int i;

    for (i = 0; i < CSQ_FATES; i++)
        sum += receipt->counts[i];
    return sum;
}

static uint32_t still_linked(csq *q, const csq_receipt *receipt)
{
    uint32_t message = 0;

    if (csq_id_find_locked(q, receipt->id, &message) != APR_SUCCESS || !message)
        return 0;
    return csq_stored_at(q, message)->refs;
}

/* One that was not confirmed belongs to a publish that had not happened, unless
 * its message is there.                                                       */
static void mark_receipts(repairing *r, uint32_t *link)
{
    csq *q = r->q;
    csq_receipt *receipt;

    while (*link) {
        receipt = csq_receipt_at(q, *link);
        if (!receipt || (r->marks[*link] & USED))
            break;
        if (still_linked(q, receipt))
            receipt->confirmed = 1;
        if (receipt->confirmed && hold_origin(r, receipt->origin)) {
            receipt->next = 0;
            r->marks[*link] |= USED;
            link = &receipt->hash_next;
        }
        else
            __atomic_store_n(link, receipt->hash_next, __ATOMIC_RELEASE);
    }
    *link = 0;
}

/* An entry that has left its queue, but was not freed: its receipt may not have
 * been told.                                                                  */
static void tell_receipt(repairing *r, uint32_t number)
{
    csq *q = r->q;
    csq_entry *entry = csq_entry_at(q, number);
    csq_receipt *receipt;
    csq_stored *stored;
    uint32_t message;
    uint32_t fate;
    uint32_t found = 0;

    if (!entry || entry->linked < CSQ_LEAVING
        || !(stored = csq_entry_stored(q, number, entry, &message))
        || !(stored->entry.flags & CSQ_HAS_RECEIPT)
        || csq_receipt_find_locked(q, stored->id, &found) != APR_SUCCESS || !found)
        return;
    receipt = csq_receipt_at(q, found);
    fate = entry->linked - CSQ_LEAVING;
    if (fate < CSQ_FATES
        && sum_of(receipt) + still_linked(q, receipt) < receipt->receivers)
        receipt->counts[fate]++;
}

/* What nobody can tell any more was never queued. */
static void balance_receipts(csq *q, uint32_t number)
{
    csq_receipt *receipt;
    uint32_t known;

    for (; number; number = receipt->hash_next) {
        receipt = csq_receipt_at(q, number);
        known = sum_of(receipt) + still_linked(q, receipt);
        if (known > receipt->receivers)
            receipt->receivers = known;
        receipt->counts[CSQ_FATE_DROPPED] += receipt->receivers - known;
    }
}

static void mark_all_receipts(repairing *r)
{
    csq *q = r->q;
    uint32_t i;

    for (i = 0; i <= q->receipt_mask; i++)
        if (q->receipts[i])
            mark_receipts(r, &q->receipts[i]);
    for (i = 1; i <= q->chunk_count; i++)
        if (!(r->marks[i] & USED)) {
            tell_receipt(r, i);
            csq_entry_recall_locked(q, i);
        }
    for (i = 1; i <= q->chunk_count; i++)
        if (!(r->marks[i] & USED))
            csq_message_recall_locked(q, i);
    for (i = 0; i <= q->receipt_mask; i++)
        balance_receipts(q, q->receipts[i]);
}

/* ---- the rest ---------------------------------------------------------- */

static void mark_repeats(repairing *r, uint32_t *link)
{
    csq_repeat *repeat;

    while (*link) {
        repeat = csq_repeat_at(r->q, *link);
        if (repeat && csq_repeat_chunks(repeat->answer_len) == 1)
            repeat->next = 0;
        if (!repeat || !mark_chain(r, *link, csq_repeat_chunks(repeat->answer_len))) {
            *link = 0;
            return;
        }
        link = &repeat->hash_next;
    }
}

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
    mark_all_groups(&r);
    mark_all_receipts(&r);
    for (i = 0; i <= q->repeat_mask; i++)
        mark_repeats(&r, &q->repeats[i]);
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
