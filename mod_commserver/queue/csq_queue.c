/* SPDX-License-Identifier: Apache-2.0
 * csq_queue.c - append one message to one queue or to several, all or none.
 *
 * First everything is judged and all chunks are taken, then nothing can fail
 * any more: new clients are made, room is made where the policy says so, the
 * message is written, linked, and committed by one store.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <stdlib.h>

#define EXPIRE_BUDGET 20000    /* nodes to look at when a queue is full       */

typedef struct target {
    csq_name name;
    uint32_t client;           /* 0: to be made                               */
    int position;              /* in the caller's array                       */
    int doubled;               /* the same key stands before it               */
    apr_status_t status;
} target;

typedef struct appending {
    csq *q;
    const csq_message *message;
    csq_origin_name origin;
    csq_limits limits;
    apr_time_t now;
    target *targets;           /* sorted by shard and hash                    */
    int n;
    int receivers;             /* targets that are not doubled                */
    uint32_t set;              /* shards                                      */
    uint8_t id[CSQ_ID_BYTES];
    uint32_t chain;            /* chunks taken and not yet used               */
    uint32_t origin_number;
    csq_ring_set rings;
} appending;

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

static apr_status_t check_message(appending *a)
{
    const csq_message *message = a->message;
    const csq_origin_name *origin = &a->origin;

    if (csq_app_check(origin->app, origin->app_len) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    if (origin->sender_len < 1 || origin->sender_len > CSQ_SENDER_MAX
        || origin->type_len > CSQ_TYPE_MAX)
        return CSQ_BAD_NAME;
    if (csq_text_check(origin->sender, origin->sender_len) != APR_SUCCESS
        || csq_text_check(origin->type, origin->type_len) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    if (body_size(message) > a->limits.max_message
        || message->len > value_max(a->q, &a->limits))
        return CSQ_TOO_LARGE;
    return APR_SUCCESS;
}

static int compare_targets(const void *left, const void *right)
{
    const target *a = left;
    const target *b = right;
    unsigned shard_a = csq_name_shard(&a->name);
    unsigned shard_b = csq_name_shard(&b->name);

    if (shard_a != shard_b)
        return shard_a < shard_b ? -1 : 1;
    if (a->name.hash != b->name.hash)
        return a->name.hash < b->name.hash ? -1 : 1;
    return a->position - b->position;
}

static int same_key(const csq_name *a, const csq_name *b)
{
    return a->hash == b->hash && strcmp(a->key->realm, b->key->realm) == 0
           && strcmp(a->key->client, b->key->client) == 0;
}

/* Look the keys over. A name that is not allowed is one refused receiver. */
static void sort_targets(appending *a, const csq_key *to)
{
    int i;
    int j;

    for (i = 0; i < a->n; i++) {
        target *t = &a->targets[i];

        memset(t, 0, sizeof *t);
        t->position = i;
        t->status = csq_name_make(a->q, &to[i], &t->name);
        if (t->status == APR_SUCCESS)
            a->set |= UINT32_C(1) << csq_name_shard(&t->name);
        else
            t->name.key = &to[i];
    }
    if (a->n > 1)
        qsort(a->targets, (size_t)a->n, sizeof *a->targets, compare_targets);
    for (i = 0; i < a->n; i++) {
        target *t = &a->targets[i];

        for (j = i - 1; j >= 0 && a->targets[j].name.hash == t->name.hash; j--)
            if (same_key(&a->targets[j].name, &t->name)) {
                t->doubled = 1;
                break;
            }
        a->receivers += !t->doubled;
    }
}

/* ---- may it be queued? -------------------------------------------------- */

static int has_room(const appending *a, const csq_client *client)
{
    return client->count < a->limits.max_queue
           && client->bytes + a->message->len <= a->limits.max_queue_bytes;
}

/* Room in a queue: what has expired goes first, then the policy counts. */
static apr_status_t judge_queue(appending *a, const target *t)
{
    csq_client *client = csq_client_at(a->q, t->client);
    unsigned shard = csq_name_shard(&t->name);
    unsigned budget = EXPIRE_BUDGET;
    apr_status_t rv;

    if (has_room(a, client))
        return APR_SUCCESS;
    rv = csq_expire_queue_locked(a->q, shard, client, a->now);
    if (rv == APR_SUCCESS && !has_room(a, client)) {
        rv = csq_expire_shard_locked(a->q, shard, a->now, &budget);
        if (rv == APR_INCOMPLETE)
            rv = APR_SUCCESS;
    }
    if (rv != APR_SUCCESS)
        return rv;
    if (has_room(a, client))
        return APR_SUCCESS;
    if (a->limits.overflow != CSQ_OVERFLOW_DROP_OLDEST)
        return CSQ_QUEUE_FULL;
    return csq_gap_need_locked(a->q, client);
}

/* Statuses that speak of one receiver; others end the whole call. */
static int is_refusal(apr_status_t status)
{
    return status == CSQ_QUEUE_FULL || status == CSQ_CLIENTS_FULL
           || status == CSQ_BAD_NAME;
}

/* They are touched at once: expiry, which may make room, must not forget them. */
static apr_status_t find_targets(appending *a)
{
    apr_status_t rv;
    int i;

    for (i = 0; i < a->n; i++) {
        target *t = &a->targets[i];

        t->client = 0;
        if (t->status == CSQ_BAD_NAME || t->doubled)
            continue;
        rv = csq_client_find_locked(a->q, &t->name, &t->client);
        if (rv != APR_SUCCESS)
            return rv;
        if (t->client)
            csq_client_touch(a->q, csq_client_at(a->q, t->client), a->now);
    }
    return APR_SUCCESS;
}

static apr_status_t judge_targets(appending *a)
{
    uint32_t clients = __atomic_load_n(&a->q->header->clients, __ATOMIC_RELAXED);
    int refused = 0;
    int i;

    for (i = 0; i < a->n; i++) {
        target *t = &a->targets[i];

        if (t->doubled)
            t->status = a->targets[i - 1].status;
        else if (t->status != CSQ_BAD_NAME && t->client)
            t->status = judge_queue(a, t);
        else if (t->status != CSQ_BAD_NAME)
            t->status = clients++ < a->limits.max_clients ? APR_SUCCESS
                                                          : CSQ_CLIENTS_FULL;
        if (t->status != APR_SUCCESS && !is_refusal(t->status))
            return t->status;
        refused |= t->status != APR_SUCCESS;
    }
    if (!refused)
        return APR_SUCCESS;
    return a->n == 1 ? a->targets[0].status : CSQ_REFUSED;
}

/* ---- chunks ------------------------------------------------------------- */

static uint32_t chunks_needed(const appending *a)
{
    uint32_t n = csq_chunks_for(a->message->len, CSQ_MESSAGE_DATA);
    int i;

    n += (uint32_t)a->receivers - 1;
    for (i = 0; i < a->n; i++)
        if (!a->targets[i].client && !a->targets[i].doubled)
            n += csq_client_chunks(a->targets[i].name.realm_len,
                                   a->targets[i].name.client_len);
    return n;
}

/* Take all chunks and hold the origin, or change nothing. */
static apr_status_t take_chunks(appending *a)
{
    csq *q = a->q;
    const csq_origin_name *o = &a->origin;
    uint32_t extra = csq_origin_chunks(o->app_len + o->sender_len + o->type_len);
    uint32_t chain;
    apr_status_t rv = csq_allocator_lock(q);

    if (rv != APR_SUCCESS)
        return rv;
    rv = csq_origin_find_locked(q, o, &a->origin_number);
    if (rv == APR_SUCCESS)
        rv = csq_chunk_take_locked(
            q, chunks_needed(a) + (a->origin_number ? 0 : extra), &chain);
    if (rv != APR_SUCCESS) {
        if (a->origin_number)
            csq_origin_drop_locked(q, a->origin_number);
        goto done;
    }
    a->chain = chain;
    if (!a->origin_number) {
        a->origin_number = csq_chain_cut(q, &a->chain, extra);
        rv = csq_origin_make_locked(q, o, a->origin_number);
        if (rv != APR_SUCCESS)
            csq_repair_want(q);
    }

done:
    csq_allocator_unlock(q);
    return rv;
}

/* ---- nothing is refused from here on ------------------------------------ */

static apr_status_t make_clients(appending *a)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < a->n && rv == APR_SUCCESS; i++) {
        target *t = &a->targets[i];

        if (t->client || t->doubled)
            continue;
        t->client = csq_chain_cut(
            a->q, &a->chain, csq_client_chunks(t->name.realm_len, t->name.client_len));
        rv = t->client ? csq_client_make_locked(a->q, &t->name, t->client, a->now)
                       : CSQ_DAMAGED;
    }
    return rv;
}

static apr_status_t drop_oldest(appending *a, const target *t)
{
    csq *q = a->q;
    csq_client *client = csq_client_at(q, t->client);
    unsigned shard = csq_name_shard(&t->name);
    csq_entry *entry;
    csq_stored *stored;
    uint32_t message;
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS && client->head && !has_room(a, client)) {
        entry = csq_entry_at(q, client->head);
        stored = entry ? csq_entry_stored(q, client->head, entry, &message) : NULL;
        if (!stored)
            return CSQ_DAMAGED;
        rv = csq_gap_add_locked(q, client, entry->sequence, stored->entry.body);
        if (rv == APR_SUCCESS)
            rv = csq_entry_remove_locked(q, shard, client, client->head);
        CSQ_ADD(q->shards[shard].dropped, 1);
    }
    return rv;
}

static apr_status_t write_message(appending *a, uint32_t number)
{
    const csq_message *message = a->message;
    csq_stored *stored = csq_chunk_at(a->q, number);
    uint64_t time = csq_milliseconds(message->time);
    uint64_t expires = csq_milliseconds(message->expires);
    uint32_t next = stored->entry.next;
    csq_stream stream;

    memset(&stored->entry, 0, sizeof stored->entry);
    stored->entry.next = next;
    stored->entry.encoding = (uint8_t)message->encoding;
    stored->entry.body = a->origin_number;
    stored->refs = (uint32_t)a->receivers;
    stored->len = (uint32_t)message->len;
    memcpy(stored->id, a->id, CSQ_ID_BYTES);
    stored->time_low = (uint32_t)time;
    stored->time_high = (uint16_t)(time >> 32);
    stored->expires_low = (uint32_t)expires;
    stored->expires_high = (uint16_t)(expires >> 32);
    csq_stream_open(&stream, a->q, stored, stored->data, CSQ_MESSAGE_DATA);
    stored->entry.kind = CSQ_KIND_MESSAGE;
    return csq_stream_write(&stream, message->data, message->len);
}

static uint32_t make_entry(appending *a, uint32_t message)
{
    uint32_t number = csq_chain_cut(a->q, &a->chain, 1);
    csq_entry *entry = csq_chunk_at(a->q, number);

    if (!entry)
        return 0;
    memset(entry, 0, sizeof *entry);
    entry->body = message;
    entry->kind = CSQ_KIND_ENTRY;
    return number;
}

static void wake(appending *a, const target *t)
{
    csq_client *client = csq_client_at(a->q, t->client);

    if (!client->waiter || (client->flags & CSQ_CLIENT_RUNG))
        return;
    client->flags |= CSQ_CLIENT_RUNG;
    csq_slot_push(a->q, client->waiter, &a->rings);
}

static apr_status_t link_targets(appending *a, uint32_t message)
{
    csq_stored *stored = csq_stored_at(a->q, message);
    uint32_t number = message;
    apr_status_t rv = APR_SUCCESS;
    unsigned shard = 0;
    int i;

    if (a->receivers == 1)
        stored->entry.committed = 1;
    for (i = 0; i < a->n && rv == APR_SUCCESS; i++) {
        target *t = &a->targets[i];

        if (t->doubled)
            continue;
        if (!number)
            number = make_entry(a, message);
        shard = csq_name_shard(&t->name);
        rv = csq_entry_link_locked(a->q, shard, t->client, number);
        number = 0;
    }
    if (rv != APR_SUCCESS)
        return rv;
    __atomic_store_n(&stored->entry.committed, 1, __ATOMIC_RELEASE);
    CSQ_ADD(a->q->shards[shard].bytes, stored->len);
    CSQ_ADD(a->q->shards[shard].published, 1);
    for (i = 0; i < a->n; i++)
        if (!a->targets[i].doubled)
            wake(a, &a->targets[i]);
    return APR_SUCCESS;
}

static apr_status_t append_locked(appending *a)
{
    uint32_t message;
    apr_status_t rv;
    int i;

    rv = find_targets(a);
    if (rv == APR_SUCCESS)
        rv = judge_targets(a);
    if (rv == APR_SUCCESS)
        rv = take_chunks(a);
    if (rv != APR_SUCCESS)
        return rv;
    rv = make_clients(a);
    for (i = 0; i < a->n && rv == APR_SUCCESS; i++)
        if (!a->targets[i].doubled)
            rv = drop_oldest(a, &a->targets[i]);
    if (rv == APR_SUCCESS) {
        message = csq_chain_cut(a->q, &a->chain,
                                csq_chunks_for(a->message->len, CSQ_MESSAGE_DATA));
        rv = message ? write_message(a, message) : CSQ_DAMAGED;
    }
    if (rv == APR_SUCCESS)
        rv = link_targets(a, message);
    if (rv != APR_SUCCESS) {
        csq_repair_want(a->q);
        rv = CSQ_DAMAGED;
    }
    return rv;
}

/* ---- the call ----------------------------------------------------------- */

static apr_status_t append_once(appending *a)
{
    uint32_t left;
    apr_status_t rv = csq_lock(a->q, a->set);

    if (rv != APR_SUCCESS)
        return rv;
    a->rings.count = 0;
    a->rings.many = 0;
    rv = append_locked(a);
    for (left = a->set; left; left &= left - 1)
        csq_release_locked(a->q, (unsigned)__builtin_ctz(left));
    csq_unlock(a->q, a->set);
    csq_slot_ring(a->q, &a->rings);
    return rv;
}

static apr_status_t append_with_retries(appending *a)
{
    apr_status_t rv = CSQ_RETRY;
    int swept = 0;
    int i;

    for (i = 0; i < CSQ_RETRIES && rv == CSQ_RETRY; i++) {
        rv = append_once(a);
        if ((rv == CSQ_SEGMENT_FULL || rv == CSQ_CLIENTS_FULL) && !swept) {
            swept = 1;
            csq_expire(a->q, a->now, a->q->chunk_count);
            rv = CSQ_RETRY;
        }
    }
    return rv == CSQ_RETRY ? CSQ_BUSY : rv;
}

apr_status_t csq_append(csq *q, const csq_message *message, const csq_key *to, int n,
                        apr_time_t now, apr_status_t *refused,
                        unsigned char out_id[CSQ_ID_BYTES])
{
    target few[4];
    appending a = { .q = q, .message = message, .now = now, .n = n };
    apr_status_t rv;
    int i;

    if (n < 1 || n > CSQ_RECEIVERS_MAX)
        return APR_EINVAL;
    csq_limits_get(q, &a.limits);
    csq_origin_name_make(q, message, &a.origin);
    rv = check_message(&a);
    if (rv == APR_SUCCESS)
        rv = csq_server_check(q, now);
    if (rv == APR_SUCCESS)
        rv = csq_random(q, a.id, CSQ_ID_BYTES);
    if (rv != APR_SUCCESS)
        return rv;
    a.targets = n <= (int)(sizeof few / sizeof few[0]) ? few
                                                       : calloc((size_t)n, sizeof few[0]);
    if (!a.targets)
        return APR_ENOMEM;
    sort_targets(&a, to);
    rv = a.n == 1 && a.targets[0].status != APR_SUCCESS ? a.targets[0].status
                                                        : append_with_retries(&a);
    for (i = 0; i < n && rv == CSQ_REFUSED && refused; i++)
        refused[a.targets[i].position] = a.targets[i].status;
    if (rv == APR_SUCCESS && out_id)
        memcpy(out_id, a.id, CSQ_ID_BYTES);
    if (a.targets != few)
        free(a.targets);
    return rv;
}
