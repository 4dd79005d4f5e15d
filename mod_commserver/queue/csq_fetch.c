/* SPDX-License-Identifier: Apache-2.0
 * csq_fetch.c - acknowledge, read and start waiting, under one lock.
 *
 * Reading starts behind the cursor. Whoever reads on from where it stopped
 * starts at client.mark, the entry read last; else the nearer end of the
 * queue is walked.
 */
#include "cs_compat.h"
#include "csq_private.h"

typedef struct fetching {
    csq *q;
    const csq_fetch *fetch;
    const csq_name *name;
    apr_time_t now;
    csq_batch *batch;
    csq_ring_set rings;
    unsigned shard;
    uint32_t number;           /* of the client                               */
    csq_client *client;
    uint64_t after;            /* 0: from the oldest                          */
    int foreign;               /* the cursor is not of this queue             */
    int more;
    uint64_t last;             /* sequence handed out last                    */
    uint32_t mark;
} fetching;

static int is_blank(const csq_cursor *cursor)
{
    return !cursor || (cursor->epoch == 0 && cursor->sequence == 0);
}

/* Nothing is known under this name, and nothing is to be made. */
static apr_status_t answer_unknown(fetching *f)
{
    csq_cursor cursor = { 0, 0 };
    const csq_cursor *after = f->fetch->after;

    if (is_blank(after)) {
        csq_batch_finish(f->batch, &cursor, 0);
        return CSQ_EMPTY;
    }
    if (csq_epoch_genuine(f->q, f->name, after->epoch)) {
        csq_batch_finish(f->batch, after, 0);
        return CSQ_EMPTY;
    }
    if (f->fetch->max_messages)
        csq_batch_gap_unknown(f->batch);
    csq_batch_finish(f->batch, &cursor, 0);
    return f->fetch->max_messages ? APR_SUCCESS : CSQ_EMPTY;
}

static void judge_cursor(fetching *f)
{
    const csq_cursor *after = f->fetch->after;

    if (is_blank(after))
        return;
    if (after->epoch == f->client->epoch && after->sequence <= f->client->handed_out)
        f->after = after->sequence;
    else if (after->epoch == f->client->epoch
             || !csq_epoch_genuine(f->q, f->name, after->epoch))
        f->foreign = 1;
}

static apr_status_t acknowledge(fetching *f)
{
    csq_client *client = f->client;
    csq_entry *entry;
    apr_status_t rv = APR_SUCCESS;

    while (client->head && rv == APR_SUCCESS) {
        entry = csq_entry_at(f->q, client->head);
        if (!entry)
            return CSQ_DAMAGED;
        if (entry->sequence > f->after)
            break;
        CSQ_ADD(f->q->shards[f->shard].acknowledged, 1);
        rv = csq_entry_remove_locked(f->q, f->shard, client, client->head);
    }
    if (client->gap)
        csq_gap_acknowledge_locked(f->q, client, f->after);
    return rv;
}

/* ---- where to start ---------------------------------------------------- */

static apr_status_t walk_forward(fetching *f, uint32_t number, uint32_t *out_number)
{
    uint32_t steps = 0;
    csq_entry *entry;

    while (number) {
        entry = csq_entry_at(f->q, number);
        if (!entry || steps++ > f->q->chunk_count)
            return CSQ_DAMAGED;
        if (entry->sequence > f->after)
            break;
        number = entry->queue_next;
    }
    *out_number = number;
    return APR_SUCCESS;
}

static apr_status_t walk_back(fetching *f, uint32_t number, uint32_t *out_number)
{
    uint32_t found = 0;
    uint32_t steps = 0;
    csq_entry *entry;

    while (number) {
        entry = csq_entry_at(f->q, number);
        if (!entry || steps++ > f->q->chunk_count)
            return CSQ_DAMAGED;
        if (entry->sequence <= f->after)
            break;
        found = number;
        number = entry->queue_prev;
    }
    *out_number = found;
    return APR_SUCCESS;
}

/* The first entry behind the cursor; 0: there is none. */
static apr_status_t find_start(fetching *f, uint32_t *out_number)
{
    csq_client *client = f->client;
    csq_entry *first = csq_entry_at(f->q, client->head);
    csq_entry *last = csq_entry_at(f->q, client->tail);
    csq_entry *mark = client->mark ? csq_entry_at(f->q, client->mark) : NULL;

    *out_number = 0;
    if (!client->head)
        return APR_SUCCESS;
    if (!first || !last)
        return CSQ_DAMAGED;
    if (last->sequence <= f->after)
        return APR_SUCCESS;
    if (first->sequence > f->after) {
        *out_number = client->head;
        return APR_SUCCESS;
    }
    if (mark && mark->linked && mark->client == f->number
        && mark->sequence <= f->after)
        return walk_forward(f, client->mark, out_number);
    if (f->after - first->sequence < last->sequence - f->after)
        return walk_forward(f, client->head, out_number);
    return walk_back(f, client->tail, out_number);
}

/* ---- reading ----------------------------------------------------------- */

/* Take one entry into the batch. APR_EOF: it does not fit any more. */
static apr_status_t read_entry(fetching *f, uint32_t number, csq_entry *entry)
{
    const csq_fetch *fetch = f->fetch;
    csq_stored *stored;
    uint32_t message;
    apr_status_t rv;

    stored = csq_entry_stored(f->q, number, entry, &message);
    if (!stored)
        return CSQ_DAMAGED;
    if (csq_stored_expires(stored) <= csq_milliseconds(f->now)) {
        if (fetch->peek)
            return APR_SUCCESS;
        CSQ_ADD(f->q->shards[f->shard].expired, 1);
        return csq_entry_remove_locked(f->q, f->shard, f->client, number);
    }
    if (csq_batch_count(f->batch) >= fetch->max_messages
        || (csq_batch_count(f->batch) > 0
            && (csq_batch_bytes(f->batch) >= fetch->max_bytes
                || stored->len > fetch->max_bytes - csq_batch_bytes(f->batch)))) {
        f->more = 1;
        return APR_EOF;
    }
    rv = csq_batch_add(f->batch, f->q, entry, stored);
    if (rv == APR_SUCCESS) {
        f->last = entry->sequence;
        f->mark = number;
    }
    return rv;
}

static apr_status_t read_queue(fetching *f)
{
    uint32_t number;
    uint32_t next;
    uint32_t steps = 0;
    csq_entry *entry;
    apr_status_t rv = find_start(f, &number);

    while (number && rv == APR_SUCCESS) {
        entry = csq_entry_at(f->q, number);
        if (!entry || steps++ > f->q->chunk_count)
            return CSQ_DAMAGED;
        next = entry->queue_next;
        rv = read_entry(f, number, entry);
        number = next;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static void read_gap(fetching *f)
{
    uint64_t sequence = csq_gap_sequence(f->q, f->client, f->after);

    if (f->foreign)
        csq_batch_gap_unknown(f->batch);
    else if (sequence)
        csq_batch_gap_fill(f->batch, f->q, f->client, f->after);
    if (sequence > f->last)
        f->last = sequence;
}

/* The client is told all this now. */
static void hand_out(fetching *f)
{
    csq_client *client = f->client;

    if (f->last > client->handed_out)
        client->handed_out = f->last;
    if (f->mark)
        client->mark = f->mark;
    if (client->gap && csq_gap_sequence(f->q, client, f->after))
        csq_gap_told_locked(f->q, client);
    CSQ_ADD(f->q->shards[f->shard].handed_out, csq_batch_count(f->batch));
}

/* With nothing left behind the cursor, all that was handed out is behind it. */
static void finish(fetching *f)
{
    csq_cursor cursor = { f->client->epoch, f->client->handed_out };

    if (csq_batch_count(f->batch))
        cursor.sequence = f->last;
    else if (!f->fetch->max_messages)
        cursor.sequence = f->after;
    csq_batch_finish(f->batch, &cursor, f->more);
}

/* ---- waiting ----------------------------------------------------------- */

static void start_waiting(fetching *f)
{
    csq_client *client = f->client;

    if (client->waiter && client->waiter != f->fetch->waiter)
        csq_slot_push(f->q, client->waiter, &f->rings);
    client->waiter = f->fetch->waiter;
    client->flags &= (uint8_t)~CSQ_CLIENT_RUNG;
}

static void stop_waiting(fetching *f)
{
    if (f->client->waiter == f->fetch->waiter) {
        f->client->waiter = 0;
        f->client->flags &= (uint8_t)~CSQ_CLIENT_RUNG;
    }
}

/* Read without a lasting effect. */
static apr_status_t peek(fetching *f)
{
    const csq_gap *gaps;
    apr_uint32_t n;
    apr_status_t rv = read_queue(f);

    if (rv != APR_SUCCESS)
        return rv;
    read_gap(f);
    csq_batch_finish(f->batch,
                     &(csq_cursor){ f->client->epoch, f->client->handed_out }, f->more);
    return csq_batch_count(f->batch) || csq_batch_gap(f->batch, &gaps, &n) ? APR_SUCCESS
                                                                         : CSQ_EMPTY;
}

static apr_status_t fetch_known(fetching *f)
{
    const csq_fetch *fetch = f->fetch;
    csq_client *client = f->client;
    const csq_gap *gaps;
    apr_uint32_t n;
    apr_status_t rv = APR_SUCCESS;

    judge_cursor(f);
    if (fetch->peek)
        return peek(f);
    if (fetch->resume && client->waiter && client->waiter != fetch->waiter)
        return CSQ_REPLACED;
    client->last_seen = csq_seconds(f->now);
    csq_client_touch(f->q, client, f->now);
    if (fetch->acknowledge && f->after)
        rv = acknowledge(f);
    if (rv == APR_SUCCESS)
        rv = read_queue(f);
    if (rv != APR_SUCCESS)
        return rv;
    if (fetch->max_messages) {
        read_gap(f);
        hand_out(f);
    }
    finish(f);
    if (csq_batch_count(f->batch) || csq_batch_gap(f->batch, &gaps, &n)) {
        if (fetch->waiter && fetch->stay)
            start_waiting(f);
        else if (fetch->waiter)
            stop_waiting(f);
        return APR_SUCCESS;
    }
    if (fetch->waiter)
        start_waiting(f);
    return CSQ_EMPTY;
}

static apr_status_t fetch_locked(fetching *f)
{
    apr_status_t rv;

    if (f->fetch->waiter && !f->fetch->peek)
        rv = csq_client_need_locked(f->q, f->name, f->now, &f->number);
    else
        rv = csq_client_find_locked(f->q, f->name, &f->number);
    if (rv != APR_SUCCESS)
        return rv;
    if (!f->number)
        return answer_unknown(f);
    f->client = csq_client_at(f->q, f->number);
    rv = fetch_known(f);
    if (rv == CSQ_DAMAGED)
        csq_repair_want(f->q);
    return rv;
}

static apr_status_t fetch_once(csq *q, const csq_name *name, const csq_fetch *fetch,
                               apr_time_t now, csq_batch *batch)
{
    fetching f = { .q = q, .fetch = fetch, .name = name, .now = now, .batch = batch };
    uint32_t set;
    apr_status_t rv;

    f.shard = csq_name_shard(name);
    set = UINT32_C(1) << f.shard;
    csq_batch_reset(batch);
    rv = csq_lock(q, set);
    if (rv != APR_SUCCESS)
        return rv;
    rv = fetch_locked(&f);
    csq_release_locked(q, f.shard);
    csq_unlock(q, set);
    csq_slot_ring(q, &f.rings);
    return rv;
}

apr_status_t csq_fetch_batch(csq *q, const csq_key *key, const csq_fetch *fetch,
                             apr_time_t now, csq_batch *batch)
{
    csq_name name;
    int swept = 0;
    int i;
    apr_status_t rv = csq_name_make(q, key, &name);

    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; i < CSQ_RETRIES; i++) {
        rv = fetch_once(q, &name, fetch, now, batch);
        if ((rv == CSQ_SEGMENT_FULL || rv == CSQ_CLIENTS_FULL) && !swept) {
            swept = 1;
            csq_expire(q, now, q->chunk_count);
        }
        else if (rv != CSQ_RETRY)
            return rv;
    }
    return rv == CSQ_RETRY ? CSQ_BUSY : rv;
}

apr_status_t csq_waiter_remove(csq *q, const csq_key *key, csq_waiter waiter)
{
    csq_name name;
    csq_client *client;
    uint32_t number;
    uint32_t set;
    apr_status_t rv = csq_name_make(q, key, &name);

    if (rv != APR_SUCCESS)
        return rv;
    set = UINT32_C(1) << csq_name_shard(&name);
    rv = csq_lock(q, set);
    if (rv != APR_SUCCESS)
        return rv;
    rv = csq_client_find_locked(q, &name, &number);
    if (rv == APR_SUCCESS && number) {
        client = csq_client_at(q, number);
        if (client->waiter == waiter) {
            client->waiter = 0;
            client->flags &= (uint8_t)~CSQ_CLIENT_RUNG;
        }
        else if (client->waiter)
            rv = CSQ_REPLACED;
    }
    csq_unlock(q, set);
    return rv;
}
