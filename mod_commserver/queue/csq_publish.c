/* SPDX-License-Identifier: Apache-2.0
 * csq_publish.c - the steps that every publish takes, whoever it is for.
 *
 * A place is one queue that the message goes to. First all places are judged
 * and all chunks are taken, then nothing can fail any more: room is made where
 * the policy says so, the message is written, linked, and committed by one
 * store.
 */
#include "cs_compat.h"
#include "csq_publish.h"

#define EXPIRE_BUDGET 20000 /* nodes to look at when a queue is full       */

/* ---- what is asked for -------------------------------------------------- */

/* Bytes of the body as published, as far as the wire value tells: for text
 * no more than this (an escape may stand for fewer).                         */
static apr_size_t body_size(const csq_message *message)
{
    apr_size_t inner = message->len < 2 ? 0 : message->len - 2;

    if (message->encoding == CSQ_BINARY)
        return inner / 4 * 3 - (inner > 1 && message->data[inner] == '=')
               - (inner > 1 && message->data[inner - 1] == '=');
    return message->encoding == CSQ_TEXT ? inner / 6 : message->len;
}

static apr_size_t value_max(const csq *q, const csq_limits *limits)
{
    apr_uint64_t segment =
        CSQ_MESSAGE_DATA + (apr_uint64_t)(q->chunk_count - 1) * CSQ_CHUNK_DATA;
    apr_uint64_t max =
        segment < limits->max_queue_bytes ? segment : limits->max_queue_bytes;

    return (apr_size_t)(max < UINT32_MAX ? max : UINT32_MAX);
}

apr_size_t csq_value_max(csq *q)
{
    csq_limits limits;

    csq_limits_get(q, &limits);
    return value_max(q, &limits);
}

static apr_status_t check_message(const csq_publishing *p)
{
    const csq_message *message = p->message;
    const csq_origin_name *origin = &p->origin;

    if (csq_app_check(origin->app, origin->app_len) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    if (origin->sender_len < 1 || origin->sender_len > CSQ_SENDER_MAX
        || origin->type_len > CSQ_TYPE_MAX || origin->realm_len > CSQ_REALM_MAX)
        return CSQ_BAD_NAME;
    if (csq_text_check(origin->sender, origin->sender_len) != APR_SUCCESS
        || csq_text_check(origin->type, origin->type_len) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    if (message->topic
        && csq_topic_check(message->topic, strlen(message->topic)) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    if (body_size(message) > p->limits.max_message
        || message->len > value_max(p->q, &p->limits))
        return CSQ_TOO_LARGE;
    return APR_SUCCESS;
}

apr_status_t csq_publishing_begin(csq_publishing *p, csq *q, const csq_message *message,
                                  apr_time_t now)
{
    apr_status_t rv;

    memset(p, 0, sizeof *p);
    p->q = q;
    p->message = message;
    p->now = now;
    p->now_only = message->expires <= message->time;
    p->time = csq_milliseconds(message->time);
    p->expires =
        p->now_only ? p->time + CSQ_NOW_LIFE * 1000 : csq_milliseconds(message->expires);
    csq_limits_get(q, &p->limits);
    csq_origin_name_make(q, message, &p->origin);
    rv = check_message(p);
    if (rv == APR_SUCCESS)
        rv = csq_server_check(q, now);
    if (rv == APR_SUCCESS && message->id)
        memcpy(p->id, message->id, CSQ_ID_BYTES);
    else if (rv == APR_SUCCESS)
        rv = csq_random(q, p->id, CSQ_ID_BYTES);
    return rv;
}

/* ---- may it be queued? --------------------------------------------------- */

int csq_place_is_there(const csq_publishing *p, const csq_queue *queue)
{
    uint32_t since = csq_seconds(p->now) - CSQ_RECENT;

    return !p->now_only || queue->last_seen >= since
           || csq_waiter_alive(p->q, queue->waiter);
}

/* The message that a place's message takes the place of; NULL: none, or it has
 * left since it was found: it expired while room was made for another place. */
static csq_stored *old_of(const csq_publishing *p, const csq_place *place)
{
    csq_entry *old = place->old ? csq_entry_at(p->q, place->old) : NULL;
    uint32_t message;

    if (!old || old->linked != 1 || old->queue != place->queue)
        return NULL;
    return csq_entry_stored(p->q, place->old, old, &message);
}

/* What leaves for it is gone already. */
static int has_room(const csq_publishing *p, const csq_place *place,
                    const csq_queue *queue)
{
    csq_stored *stored = old_of(p, place);

    return queue->count - (stored != NULL) < p->limits.max_queue
           && queue->bytes - (stored ? stored->len : 0) + p->message->len
                  <= p->limits.max_queue_bytes;
}

static apr_status_t find_old(csq_publishing *p, unsigned shard, csq_place *place)
{
    place->old = 0;
    if (!p->message->topic)
        return APR_SUCCESS;
    return csq_topic_find_locked(p->q, shard, place->queue, p->message,
                                 csq_topic_hash_message(p->q, place->queue, p->message),
                                 0, &place->old);
}

/* What has expired goes first. */
static apr_status_t expire_for(csq_publishing *p, unsigned shard, csq_place *place,
                               csq_queue *queue)
{
    unsigned budget = EXPIRE_BUDGET;
    apr_status_t rv = csq_expire_queue_locked(p->q, shard, queue, p->now);

    if (rv == APR_SUCCESS)
        rv = find_old(p, shard, place);
    if (rv != APR_SUCCESS || has_room(p, place, queue))
        return rv;
    rv = csq_expire_shard_locked(p->q, shard, p->now, &budget);
    if (rv == APR_INCOMPLETE)
        rv = APR_SUCCESS;
    return rv == APR_SUCCESS ? find_old(p, shard, place) : rv;
}

apr_status_t csq_place_judge_locked(csq_publishing *p, unsigned shard, csq_place *place)
{
    csq_queue *queue = csq_queue_at(p->q, place->queue);
    apr_status_t rv;

    if (!queue) {
        csq_repair_want(p->q);
        return CSQ_DAMAGED;
    }
    rv = find_old(p, shard, place);
    if (rv == APR_SUCCESS && !has_room(p, place, queue))
        rv = expire_for(p, shard, place, queue);
    if (rv != APR_SUCCESS || has_room(p, place, queue))
        return rv;
    if (!place->copy && p->limits.overflow != CSQ_OVERFLOW_DROP_OLDEST)
        return CSQ_QUEUE_FULL;
    return csq_gap_need_locked(p->q, queue);
}

/* ---- chunks -------------------------------------------------------------- */

uint32_t csq_publishing_chunks(const csq_publishing *p)
{
    uint32_t n = 0;

    if (!p->stored) {
        n += csq_chunks_for(p->message->len, CSQ_MESSAGE_DATA);
        n += p->message->receipt && !p->receipt;
    }
    return n + (p->spread ? p->count : 0);
}

static void write_head(csq_publishing *p, uint32_t number)
{
    const csq_message *message = p->message;
    csq_stored *stored = csq_chunk_at(p->q, number);
    uint32_t next = stored->entry.next;
    unsigned flags = message->encoding | (unsigned)message->urgency << CSQ_URGENCY_SHIFT;

    memset(stored, 0, offsetof(csq_stored, data));
    if (p->spread)
        flags |= CSQ_SPREAD;
    if (message->receipt)
        flags |= CSQ_HAS_RECEIPT | CSQ_ASKED;
    stored->entry.next = next;
    stored->entry.flags = (uint8_t)flags;
    stored->entry.body = p->origin_number;
    csq_stored_time_set(stored, p->time, p->expires);
    stored->len = (uint32_t)message->len;
    memcpy(stored->id, p->id, CSQ_ID_BYTES);
    stored->entry.kind = CSQ_KIND_MESSAGE;
    csq_id_add_locked(p->q, number);
}

static void make_link(csq_publishing *p, uint32_t number)
{
    const char *topic = p->message->topic;
    csq_link *link = csq_chunk_at(p->q, number);

    memset(link, 0, sizeof *link);
    link->entry.body = p->stored;
    if (topic) {
        link->topic_len = (uint8_t)strlen(topic);
        memcpy(link->topic, topic, link->topic_len);
    }
    link->entry.kind = CSQ_KIND_ENTRY;
    csq_peer_add_locked(p->q, p->stored, number);
}

static apr_status_t make_receipt(csq_publishing *p)
{
    uint32_t number = csq_chain_cut(p->q, &p->chain, 1);
    uint32_t until = csq_receipt_until(p->expires);
    csq_origin *origin = csq_origin_at(p->q, p->origin_number);

    if (!number || !origin)
        return CSQ_DAMAGED;
    origin->refs++;
    csq_receipt_make_locked(p->q, number, p->id, p->origin_number, 0, until);
    csq_receipt_at(p->q, number)->asked = 1;
    p->receipt = number;
    return APR_SUCCESS;
}

/* The head of the message, its entries, its receipt: whole, but not linked. */
static apr_status_t prepare_locked(csq_publishing *p)
{
    csq *q = p->q;
    csq_receipt *receipt;
    csq_stored *stored;
    uint32_t i;

    if (!p->stored) {
        uint32_t number = csq_chain_cut(
            q, &p->chain, csq_chunks_for(p->message->len, CSQ_MESSAGE_DATA));

        if (!number)
            return CSQ_DAMAGED;
        write_head(p, number);
        p->stored = number;
        if (p->message->receipt && !p->receipt && make_receipt(p) != APR_SUCCESS)
            return CSQ_DAMAGED;
    }
    stored = csq_stored_at(q, p->stored);
    receipt = csq_receipt_at(q, p->receipt);
    if (!stored || (p->receipt && !receipt))
        return CSQ_DAMAGED;
    stored->refs += p->count;
    if (p->spread)
        stored->entry.queue += p->count;
    if (receipt)
        receipt->receivers += p->count;
    for (i = 0; i < p->count; i++) {
        p->places[i].number = p->spread ? csq_chain_cut(q, &p->chain, 1) : p->stored;
        if (!p->places[i].number)
            return CSQ_DAMAGED;
        if (p->spread)
            make_link(p, p->places[i].number);
    }
    return APR_SUCCESS;
}

static apr_status_t take_origin_locked(csq_publishing *p, uint32_t more)
{
    csq *q = p->q;
    const csq_origin_name *o = &p->origin;
    uint32_t extra =
        csq_origin_chunks(o->app_len + o->sender_len + o->type_len + o->realm_len);
    uint32_t n = csq_publishing_chunks(p) + more;
    apr_status_t rv;

    if (p->stored)
        return csq_chunk_take_locked(q, n, &p->chain);
    p->origin_number = 0;
    rv = csq_origin_find_locked(q, o, &p->origin_number);
    if (rv == APR_SUCCESS)
        rv = csq_chunk_take_locked(q, n + (p->origin_number ? 0 : extra), &p->chain);
    if (rv != APR_SUCCESS) {
        if (p->origin_number)
            csq_origin_drop_locked(q, p->origin_number);
        return rv;
    }
    if (p->origin_number)
        return APR_SUCCESS;
    p->origin_number = csq_chain_cut(q, &p->chain, extra);
    rv = csq_origin_make_locked(q, o, p->origin_number);
    if (rv != APR_SUCCESS)
        csq_repair_want(q);
    return rv;
}

apr_status_t csq_publishing_take_locked(csq_publishing *p, uint32_t more)
{
    csq *q = p->q;
    apr_status_t rv = csq_allocator_lock(q);

    if (rv != APR_SUCCESS)
        return rv;
    rv = take_origin_locked(p, more);
    if (rv == APR_SUCCESS) {
        rv = prepare_locked(p);
        if (rv != APR_SUCCESS)
            csq_repair_want(q);
    }
    csq_allocator_unlock(q);
    return rv;
}

apr_status_t csq_publishing_write(csq_publishing *p)
{
    csq_stored *stored = csq_stored_at(p->q, p->stored);
    csq_stream stream;

    if (!stored)
        return CSQ_DAMAGED;
    csq_stream_open(&stream, p->q, stored, stored->data, CSQ_MESSAGE_DATA);
    return csq_stream_write(&stream, p->message->data, p->message->len);
}

/* ---- nothing is refused from here on -------------------------------------- */

/* The first of a queue leaves, with a gap. */
static apr_status_t drop_first(csq *q, unsigned shard, csq_queue *queue)
{
    csq_entry *entry = csq_entry_at(q, queue->head);
    uint32_t message;
    csq_stored *stored = entry ? csq_entry_stored(q, queue->head, entry, &message) : NULL;
    apr_status_t rv;

    if (!stored)
        return CSQ_DAMAGED;
    rv = csq_gap_add_locked(q, queue, entry, stored->entry.body);
    if (rv == APR_SUCCESS)
        rv = csq_entry_remove_locked(q, shard, queue, queue->head, CSQ_FATE_DROPPED);
    CSQ_ADD(q->shards[shard].dropped, 1);
    return rv;
}

static apr_status_t drop_oldest(csq_publishing *p, unsigned shard, const csq_place *place)
{
    csq *q = p->q;
    csq_queue *queue = csq_queue_at(q, place->queue);
    apr_status_t rv = APR_SUCCESS;

    if (!queue)
        return CSQ_DAMAGED;
    while (rv == APR_SUCCESS && queue->head && queue->gap && !has_room(p, place, queue)) {
        if (queue->head == place->old)
            rv = csq_entry_remove_locked(q, shard, queue, place->old, CSQ_FATE_REPLACED);
        else
            rv = drop_first(q, shard, queue);
    }
    return rv;
}

static apr_status_t remove_replaced(csq_publishing *p, unsigned shard,
                                    const csq_place *place)
{
    uint32_t hash = csq_topic_hash_message(p->q, place->queue, p->message);
    csq_queue *queue = csq_queue_at(p->q, place->queue);
    uint32_t old;
    apr_status_t rv;

    if (!queue)
        return CSQ_DAMAGED;
    for (;;) {
        rv = csq_topic_find_locked(p->q, shard, place->queue, p->message, hash,
                                   place->number, &old);
        if (rv != APR_SUCCESS || !old)
            return rv;
        rv = csq_entry_remove_locked(p->q, shard, queue, old, CSQ_FATE_REPLACED);
        if (rv != APR_SUCCESS)
            return rv;
    }
}

static void wake(csq_publishing *p, const csq_place *place)
{
    csq_queue *queue = csq_queue_at(p->q, place->queue);

    if (!queue || !queue->waiter || (queue->flags & CSQ_QUEUE_RUNG))
        return;
    queue->flags |= CSQ_QUEUE_RUNG;
    csq_slot_push(p->q, queue->waiter, &p->rings);
}

apr_status_t csq_place_link_locked(csq_publishing *p, unsigned shard,
                                   const csq_place *place)
{
    apr_status_t rv = drop_oldest(p, shard, place);

    if (rv == APR_SUCCESS)
        rv = csq_entry_link_locked(p->q, shard, place->queue, place->number);
    return rv;
}

apr_status_t csq_publishing_commit(csq_publishing *p, unsigned shard)
{
    csq_stored *stored = csq_stored_at(p->q, p->stored);
    csq_receipt *receipt = csq_receipt_at(p->q, p->receipt);

    if (!stored || (p->receipt && !receipt))
        return CSQ_DAMAGED;
    __atomic_store_n(&stored->entry.committed, 1, __ATOMIC_RELEASE);
    if (receipt)
        receipt->confirmed = 1;
    CSQ_ADD(p->q->shards[shard].bytes, stored->len);
    CSQ_ADD(p->q->shards[shard].published, 1);
    return APR_SUCCESS;
}

apr_status_t csq_place_finish_locked(csq_publishing *p, unsigned shard,
                                     const csq_place *place)
{
    apr_status_t rv = APR_SUCCESS;

    if (p->message->topic) {
        csq_topic_add_locked(p->q, shard, place->number);
        rv = remove_replaced(p, shard, place);
    }
    wake(p, place);
    return rv;
}

apr_status_t csq_publishing_nobody(csq_publishing *p)
{
    const csq_origin_name *o = &p->origin;
    csq *q = p->q;
    apr_status_t rv = csq_allocator_lock(q);

    if (rv != APR_SUCCESS)
        return rv;
    csq_fate_keep_locked(q, p->id,
                         csq_app_hash(q, o->realm, o->realm_len, o->app, o->app_len),
                         csq_sender_hash(q, o->sender, o->sender_len), CSQ_FATE_DROPPED,
                         0, csq_seconds(p->now));
    csq_allocator_unlock(q);
    return APR_SUCCESS;
}
