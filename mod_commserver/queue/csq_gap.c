/* SPDX-License-Identifier: Apache-2.0
 * csq_gap.c - what a client must be told it has missed.
 *
 * A gap stands at the sequence of the last message that was dropped. Only
 * the oldest are dropped, so every cursor behind that place was handed out
 * together with the gap, or together with the messages themselves; both
 * acknowledge it, and nothing else does.
 *
 * Messages that had been handed out before they were dropped are counted
 * apart: a cursor that covers them proves that the client has them.
 *
 * Noting comes before dropping: a death between the two reports a message
 * as missing that is still there, never the other way round.
 */
#include "cs_compat.h"
#include "csq_private.h"

static apr_status_t take_chunk(csq *q, uint32_t *out_number)
{
    csq_gap_chunk *gap;
    apr_status_t rv = csq_chunk_take(q, 1, 1, out_number);

    if (rv != APR_SUCCESS)
        return rv;
    gap = csq_chunk_at(q, *out_number);
    memset(gap, 0, sizeof *gap);
    gap->kind = CSQ_KIND_GAP;
    return APR_SUCCESS;
}

apr_status_t csq_gap_need_locked(csq *q, csq_queue *queue)
{
    uint32_t number;
    apr_status_t rv;

    if (queue->gap)
        return APR_SUCCESS;
    rv = take_chunk(q, &number);
    if (rv == APR_SUCCESS)
        __atomic_store_n(&queue->gap, number, __ATOMIC_RELEASE);
    return rv;
}

static int has_app(const csq_gap_chunk *gap, const csq_origin *origin)
{
    return gap->app_len == origin->app_len && gap->app_len <= CSQ_APP_MAX
           && memcmp(gap->app, origin->data, gap->app_len) == 0;
}

/* The chunk that counts for this application; NULL: there is no room. */
static csq_gap_chunk *find_or_add_app(csq *q, csq_gap_chunk *first,
                                      const csq_origin *origin)
{
    csq_gap_chunk *gap = first;
    csq_gap_chunk *last = first;
    uint32_t number = 0;
    int n;

    if (origin->app_len > CSQ_APP_MAX)
        return NULL;
    for (n = 0; gap && n < CSQ_GAP_APPS; n++) {
        if (has_app(gap, origin))
            return gap;
        if (gap->app_len == 0)
            break;
        last = gap;
        gap = csq_gap_at(q, gap->next);
    }
    if (n >= CSQ_GAP_APPS)
        return NULL;
    if (!gap) {
        if (take_chunk(q, &number) != APR_SUCCESS)
            return NULL;
        gap = csq_gap_at(q, number);
    }
    memcpy(gap->app, origin->data, origin->app_len);
    gap->app_len = origin->app_len;
    if (gap != first && last->next == 0)
        __atomic_store_n(&last->next, number, __ATOMIC_RELEASE);
    return gap;
}

static void count_up(uint32_t *count, uint32_t by)
{
    *count = *count > UINT32_MAX - by ? UINT32_MAX : *count + by;
}

/* What was passed over lies before the client's cursor, or that of before, which
 * would hide its gap: that takes a sequence of its own.                      */
static uint64_t place_for(csq_queue *queue, const csq_entry *entry)
{
    return entry->sequence_high & (CSQ_PASSED | CSQ_BEHIND) ? queue->next_sequence++
                                                            : csq_entry_sequence(entry);
}

apr_status_t csq_gap_add_locked(csq *q, csq_queue *queue, const csq_entry *entry,
                                uint32_t origin_number)
{
    uint64_t sequence = place_for(queue, entry);
    csq_gap_chunk *first = csq_gap_at(q, queue->gap);
    csq_origin *origin = csq_origin_at(q, origin_number);
    csq_gap_chunk *gap;
    int handed;

    if (!first || !origin) {
        csq_repair_want(q);
        return CSQ_DAMAGED;
    }
    handed = sequence <= queue->handed_out;
    if (handed && first->handed_sequence < sequence)
        first->handed_sequence = sequence;
    else if (!handed && first->fresh_sequence < sequence)
        first->fresh_sequence = sequence;
    gap = find_or_add_app(q, first, origin);
    if (gap)
        count_up(handed ? &gap->handed : &gap->fresh, 1);
    else
        first->unknown = 1;
    return APR_SUCCESS;
}

void csq_gap_unknown_locked(csq *q, csq_queue *queue)
{
    csq_gap_chunk *first = csq_gap_at(q, queue->gap);

    if (!first)
        return;
    first->unknown = 1;
    if (queue->next_sequence - 1 <= queue->handed_out)
        queue->next_sequence++; /* a cursor of before would hide it */
    first->fresh_sequence = queue->next_sequence - 1;
}

apr_status_t csq_gap_clear_locked(csq *q, csq_queue *queue)
{
    uint32_t head = queue->gap;
    uint32_t number = head;
    uint32_t n = 0;
    csq_gap_chunk *gap;
    apr_status_t rv;

    for (; number && n <= CSQ_GAP_APPS; n++) {
        gap = csq_gap_at(q, number);
        if (!gap)
            break;
        number = gap->next;
    }
    if (number) {
        csq_repair_want(q);
        return CSQ_DAMAGED;
    }
    rv = csq_allocator_lock(q);
    if (rv != APR_SUCCESS)
        return rv;
    __atomic_store_n(&queue->gap, 0, __ATOMIC_RELEASE);
    if (n)
        rv = csq_chunk_give_locked(q, head, n);
    csq_allocator_unlock(q);
    return rv;
}

static void clear_counts(csq *q, csq_gap_chunk *first, int handed)
{
    csq_gap_chunk *gap = first;
    int n;

    for (n = 0; gap && n < CSQ_GAP_APPS; n++) {
        if (handed)
            gap->handed = 0;
        else
            gap->fresh = 0;
        gap = csq_gap_at(q, gap->next);
    }
}

void csq_gap_acknowledge_locked(csq *q, csq_queue *queue, uint64_t sequence)
{
    csq_gap_chunk *first = csq_gap_at(q, queue->gap);

    if (!first)
        return;
    if (first->handed_sequence && first->handed_sequence <= sequence) {
        first->handed_sequence = 0;
        clear_counts(q, first, 1);
    }
    if (first->fresh_sequence && first->fresh_sequence <= sequence) {
        first->fresh_sequence = 0;
        clear_counts(q, first, 0);
    }
    if (!first->handed_sequence && !first->fresh_sequence)
        csq_gap_clear_locked(q, queue);
}

uint64_t csq_gap_sequence(csq *q, const csq_queue *queue, uint64_t after)
{
    csq_gap_chunk *first = queue->gap ? csq_gap_at(q, queue->gap) : NULL;
    uint64_t last;

    if (!first)
        return 0;
    last = first->handed_sequence > first->fresh_sequence ? first->handed_sequence
                                                          : first->fresh_sequence;
    if (last >= queue->next_sequence)
        last = queue->next_sequence - 1;
    return last > after ? last : 0;
}

void csq_gap_told_locked(csq *q, csq_queue *queue)
{
    csq_gap_chunk *first = csq_gap_at(q, queue->gap);
    csq_gap_chunk *gap = first;
    int n;

    if (!first || !first->fresh_sequence)
        return;
    if (first->handed_sequence < first->fresh_sequence)
        first->handed_sequence = first->fresh_sequence;
    for (n = 0; gap && n < CSQ_GAP_APPS; n++) {
        count_up(&gap->handed, gap->fresh);
        gap->fresh = 0;
        gap = csq_gap_at(q, gap->next);
    }
    first->fresh_sequence = 0;
}
