/* SPDX-License-Identifier: Apache-2.0
 * csq_fetch.c - acknowledge, read and start waiting, under one lock.
 *
 * Reading starts behind the cursor. Whoever reads on from where it stopped
 * starts at queue.mark, the entry read last; else the nearer end of the
 * queue is walked.
 *
 * A client that wants urgent messages only stands, for each urgency, at
 * another place (csq_cursor.behind). Reading starts at the least of them; what
 * was passed over stays behind.
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
    uint32_t number; /* of the queue                                */
    csq_queue *queue;
    uint64_t after;               /* the least of those that follow              */
    uint64_t stood[CSQ_HIGH + 1]; /* by urgency; 0: from the oldest           */
    int apart;                    /* urgencies stand at different places         */
    int passing[CSQ_HIGH];        /* one of this urgency was passed over         */
    int passed[CSQ_HIGH];         /* the same, before `last`                     */
    int foreign;                  /* the cursor is not of this queue             */
    int more;
    uint64_t last; /* sequence handed out last                    */
    uint32_t mark;
} fetching;

static int is_blank(const csq_cursor *cursor)
{
    return !cursor || (cursor->epoch == 0 && cursor->sequence == 0);
}

/* Nothing is known under this name, and nothing is to be made. */
static apr_status_t answer_unknown(fetching *f)
{
    csq_cursor cursor = { .epoch = 0 };
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
    int i;

    f->apart = f->fetch->urgency > CSQ_VERY_LOW;
    if (is_blank(after))
        return;
    if (after->epoch == f->queue->epoch && after->sequence <= f->queue->handed_out) {
        f->after = after->sequence;
        f->stood[CSQ_HIGH] = after->sequence;
        for (i = 0; i < CSQ_HIGH; i++) {
            f->stood[i] = after->sequence > after->behind[i]
                              ? after->sequence - after->behind[i]
                              : 0;
            if (f->stood[i] < f->after)
                f->after = f->stood[i];
            f->apart |= after->behind[i] != 0;
        }
    }
    else if (after->epoch == f->queue->epoch
             || !csq_epoch_genuine(f->q, f->name, after->epoch))
        f->foreign = 1;
}

static apr_status_t acknowledge(fetching *f)
{
    csq_queue *queue = f->queue;
    uint32_t number = queue->head;
    uint32_t steps = 0;
    uint32_t next;
    uint32_t message;
    csq_entry *entry;
    csq_stored *stored;
    apr_status_t rv = APR_SUCCESS;

    for (; number && rv == APR_SUCCESS; number = next) {
        entry = csq_entry_at(f->q, number);
        stored = entry ? csq_entry_stored(f->q, number, entry, &message) : NULL;
        if (!stored || steps++ > f->q->chunk_count)
            return CSQ_DAMAGED;
        if (csq_entry_sequence(entry) > f->stood[CSQ_HIGH])
            break;
        next = entry->queue_next;
        if (csq_entry_sequence(entry) > f->stood[csq_stored_urgency(stored)])
            continue;
        CSQ_ADD(f->q->shards[f->shard].acknowledged, 1);
        rv = csq_entry_remove_locked(f->q, f->shard, queue, number, CSQ_FATE_RECEIVED);
    }
    if (queue->gap)
        csq_gap_acknowledge_locked(f->q, queue, f->stood[CSQ_HIGH]);
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
        if (csq_entry_sequence(entry) > f->after)
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
        if (csq_entry_sequence(entry) <= f->after)
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
    csq_queue *queue = f->queue;
    csq_entry *first = csq_entry_at(f->q, queue->head);
    csq_entry *last = csq_entry_at(f->q, queue->tail);
    csq_entry *mark = queue->mark ? csq_entry_at(f->q, queue->mark) : NULL;

    *out_number = 0;
    if (!queue->head)
        return APR_SUCCESS;
    if (!first || !last)
        return CSQ_DAMAGED;
    if (csq_entry_sequence(last) <= f->after)
        return APR_SUCCESS;
    if (csq_entry_sequence(first) > f->after) {
        *out_number = queue->head;
        return APR_SUCCESS;
    }
    if (mark && mark->linked == 1 && mark->queue == f->number
        && csq_entry_sequence(mark) <= f->after)
        return walk_forward(f, queue->mark, out_number);
    if (f->after - csq_entry_sequence(first) < csq_entry_sequence(last) - f->after)
        return walk_forward(f, queue->head, out_number);
    return walk_back(f, queue->tail, out_number);
}

/* ---- reading ----------------------------------------------------------- */

/* A message that expires, or that its sender took back. */
static int is_over(fetching *f, const csq_stored *stored)
{
    return csq_stored_expires(stored) <= csq_milliseconds(f->now);
}

static int is_batch_full(const fetching *f, const csq_stored *stored)
{
    const csq_fetch *fetch = f->fetch;

    return csq_batch_count(f->batch) >= fetch->max_messages
           || (csq_batch_count(f->batch) > 0
               && (csq_batch_bytes(f->batch) >= fetch->max_bytes
                   || stored->len > fetch->max_bytes - csq_batch_bytes(f->batch)));
}

/* How far those of an urgency are done with. `reached`: all entries up to
 * there were looked at; `passed`: which were passed over.                    */
static uint64_t place_of(const fetching *f, int urgency, uint64_t reached,
                         const int *passed)
{
    int stays = urgency < (int)f->fetch->urgency && passed[urgency];

    return stays || f->stood[urgency] > reached ? f->stood[urgency] : reached;
}

static void set_behind(const fetching *f, csq_cursor *cursor, uint64_t reached,
                       const int *passed)
{
    uint64_t place;
    int i;

    for (i = 0; i < CSQ_HIGH; i++) {
        place = place_of(f, i, reached, passed);
        if (place < cursor->sequence)
            cursor->behind[i] = cursor->sequence - place;
    }
}

/* With the message of this sequence, read last. */
static void set_cursor(const fetching *f, csq_cursor *cursor, uint64_t sequence)
{
    memset(cursor, 0, sizeof *cursor);
    cursor->epoch = f->queue->epoch;
    cursor->sequence = sequence > f->stood[CSQ_HIGH] ? sequence : f->stood[CSQ_HIGH];
    if (f->apart)
        set_behind(f, cursor, sequence, f->passing);
}

/* What was passed over lies before what is handed out soon. */
static void pass_over(fetching *f, csq_entry *entry, csq_urgency urgency)
{
    f->passing[urgency] = 1;
    if (f->fetch->peek)
        return;
    if (!csq_entry_was_handed(entry, f->queue))
        entry->sequence_high |= CSQ_PASSED;
    entry->sequence_high |= CSQ_BEHIND;
}

static void note_handed(fetching *f, csq_entry *entry, const csq_stored *stored)
{
    entry->sequence_high &= (uint16_t)~CSQ_PASSED;
    csq_receipt_handed(f->q, stored, &f->rings);
}

/* Take one entry into the batch. APR_EOF: it does not fit any more. */
static apr_status_t read_entry(fetching *f, uint32_t number, csq_entry *entry)
{
    uint64_t sequence = csq_entry_sequence(entry);
    csq_stored *stored;
    csq_urgency urgency;
    csq_cursor *cursor;
    uint32_t message;
    apr_status_t rv;

    stored = csq_entry_stored(f->q, number, entry, &message);
    if (!stored)
        return CSQ_DAMAGED;
    urgency = csq_stored_urgency(stored);
    if (is_over(f, stored)) {
        if (f->fetch->peek)
            return APR_SUCCESS;
        CSQ_ADD(f->q->shards[f->shard].expired, 1);
        return csq_entry_remove_locked(f->q, f->shard, f->queue, number,
                                       CSQ_FATE_EXPIRED);
    }
    if (sequence <= f->stood[urgency])
        return APR_SUCCESS;
    if (urgency < f->fetch->urgency) {
        pass_over(f, entry, urgency);
        return APR_SUCCESS;
    }
    if (is_batch_full(f, stored)) {
        f->more = 1;
        return APR_EOF;
    }
    rv = csq_batch_add(f->batch, f->q, entry, stored, &cursor);
    if (rv != APR_SUCCESS)
        return rv;
    set_cursor(f, cursor, sequence);
    if (!csq_entry_was_handed(entry, f->queue) && !f->fetch->peek)
        note_handed(f, entry, stored);
    memcpy(f->passed, f->passing, sizeof f->passed);
    if (sequence > f->last)
        f->last = sequence;
    f->mark = number;
    return APR_SUCCESS;
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

/* One behind messages that did not fit any more is told with those. */
static void read_gap(fetching *f)
{
    uint64_t sequence = csq_gap_sequence(f->q, f->queue, f->stood[CSQ_HIGH]);

    if (f->more && sequence > f->last)
        sequence = 0;
    if (f->foreign)
        csq_batch_gap_unknown(f->batch);
    else if (sequence)
        csq_batch_gap_fill(f->batch, f->q, f->queue, f->stood[CSQ_HIGH]);
    if (sequence > f->last)
        f->last = sequence;
}

/* The client is told all this now. */
static void hand_out(fetching *f)
{
    csq_queue *queue = f->queue;

    if (f->last > queue->handed_out)
        queue->handed_out = f->last;
    if (f->mark)
        queue->mark = f->mark;
    if (queue->gap && csq_gap_sequence(f->q, queue, f->stood[CSQ_HIGH]))
        csq_gap_told_locked(f->q, queue);
    CSQ_ADD(f->q->shards[f->shard].handed_out, csq_batch_count(f->batch));
}

/* Where the client stands now. With nothing left behind the cursor, all that
 * was handed out is behind it, but for what was passed over.                 */
static csq_cursor stand_of(const fetching *f)
{
    csq_cursor cursor = { .epoch = f->queue->epoch };
    int i;

    if (!f->fetch->max_messages) {
        cursor.sequence = f->stood[CSQ_HIGH];
        for (i = 0; i < CSQ_HIGH; i++)
            cursor.behind[i] = f->stood[CSQ_HIGH] - f->stood[i];
        return cursor;
    }
    cursor.sequence = f->queue->handed_out;
    if (csq_batch_count(f->batch))
        cursor.sequence = f->last > f->stood[CSQ_HIGH] ? f->last : f->stood[CSQ_HIGH];
    if (f->apart)
        set_behind(f, &cursor, f->more ? f->last : cursor.sequence,
                   f->more ? f->passed : f->passing);
    return cursor;
}

static void finish(fetching *f)
{
    csq_cursor cursor = stand_of(f);

    csq_batch_finish(f->batch, &cursor, f->more);
}

/* ---- waiting ----------------------------------------------------------- */

static void start_waiting(fetching *f)
{
    csq_queue *queue = f->queue;

    if (queue->waiter && queue->waiter != f->fetch->waiter)
        csq_slot_push(f->q, queue->waiter, &f->rings);
    queue->waiter = f->fetch->waiter;
    queue->flags &= (uint8_t)~CSQ_QUEUE_RUNG;
}

static void stop_waiting(fetching *f)
{
    if (f->queue->waiter == f->fetch->waiter) {
        f->queue->waiter = 0;
        f->queue->flags &= (uint8_t)~CSQ_QUEUE_RUNG;
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
    csq_batch_finish(
        f->batch,
        &(csq_cursor){ .epoch = f->queue->epoch, .sequence = f->queue->handed_out },
        f->more);
    return csq_batch_count(f->batch) || csq_batch_gap(f->batch, &gaps, &n) ? APR_SUCCESS
                                                                           : CSQ_EMPTY;
}

static apr_status_t fetch_known(fetching *f)
{
    const csq_fetch *fetch = f->fetch;
    csq_queue *queue = f->queue;
    const csq_gap *gaps;
    apr_uint32_t n;
    apr_status_t rv = APR_SUCCESS;

    judge_cursor(f);
    if (fetch->peek)
        return peek(f);
    if (fetch->resume && queue->waiter && queue->waiter != fetch->waiter)
        return CSQ_REPLACED;
    queue->last_seen = csq_seconds(f->now);
    csq_queue_touch(f->q, queue, f->now);
    if (fetch->acknowledge && f->stood[CSQ_HIGH])
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

/* Whoever polls is known from then on. A client that has no other device can do
 * without, if it does not wait: what comes for it is kept for its first poll. */
static apr_status_t need_queue(fetching *f)
{
    uint32_t client;
    apr_status_t rv, found;

    if (f->fetch->peek)
        return csq_queue_of_locked(f->q, f->name, &f->number);
    rv = csq_queue_need_locked(f->q, f->name, f->now, &f->number);
    if ((rv != CSQ_SEGMENT_FULL && rv != CSQ_CLIENTS_FULL) || f->fetch->waiter)
        return rv;
    found = csq_queue_of_locked(f->q, f->name, &f->number);
    if (found != APR_SUCCESS || f->number)
        return found;
    found = csq_client_find_locked(f->q, f->name, &client);
    return found == APR_SUCCESS && client ? rv : found;
}

static apr_status_t fetch_locked(fetching *f)
{
    apr_status_t rv = need_queue(f);

    if (rv != APR_SUCCESS)
        return rv;
    if (!f->number)
        return answer_unknown(f);
    f->queue = csq_queue_at(f->q, f->number);
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
    csq_queue *queue;
    uint32_t number;
    uint32_t set;
    apr_status_t rv = csq_name_make(q, key, &name);

    if (rv != APR_SUCCESS)
        return rv;
    set = UINT32_C(1) << csq_name_shard(&name);
    rv = csq_lock(q, set);
    if (rv != APR_SUCCESS)
        return rv;
    rv = csq_queue_of_locked(q, &name, &number);
    if (rv == APR_SUCCESS && number) {
        queue = csq_queue_at(q, number);
        if (queue->waiter == waiter) {
            queue->waiter = 0;
            queue->flags &= (uint8_t)~CSQ_QUEUE_RUNG;
        }
        else if (queue->waiter)
            rv = CSQ_REPLACED;
    }
    csq_unlock(q, set);
    return rv;
}
