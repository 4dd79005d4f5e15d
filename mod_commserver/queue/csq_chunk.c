/* SPDX-License-Identifier: Apache-2.0
 * csq_chunk.c - the free list of chunks, and bytes along a chain.
 *
 * A chain is taken and given whole, under one hold of the allocator's lock.
 * The list is last in, first out: what was used a moment ago is in the cache.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define RESERVE_PART 256 /* of all chunks                               */
#define RESERVE_MOST 1024

/* The number of the n-th chunk of a chain; 0: it is shorter or damaged. */
static uint32_t find_nth(csq *q, uint32_t head, uint32_t n)
{
    csq_chunk *chunk;

    if (n < 1 || n > q->chunk_count)
        return 0;
    while (--n) {
        chunk = csq_chunk_at(q, head);
        if (!chunk)
            return 0;
        head = chunk->next;
    }
    return csq_chunk_at(q, head) ? head : 0;
}

apr_status_t csq_chunk_take_last_locked(csq *q, uint32_t n, uint32_t *out_head)
{
    csq_header *header = q->header;
    uint32_t head = header->free_head;
    uint32_t last;
    csq_chunk *chunk;

    if (header->free_count < n)
        return CSQ_SEGMENT_FULL;
    last = find_nth(q, head, n);
    if (!last) {
        csq_repair_want(q);
        return CSQ_DAMAGED;
    }
    chunk = csq_chunk_at(q, last);
    header->free_head = chunk->next;
    CSQ_ADD(header->free_count, -n);
    if (header->free_count < header->free_lowest)
        CSQ_SET(header->free_lowest, header->free_count);
    chunk->next = 0;
    *out_head = head;
    return APR_SUCCESS;
}

/* A segment that publishers have filled must still be emptied: what a poll
 * needs for that is out of their reach.                                      */
static uint32_t reserve_of(const csq *q)
{
    uint32_t reserve = q->chunk_count / RESERVE_PART;

    return reserve < RESERVE_MOST ? reserve : RESERVE_MOST;
}

apr_status_t csq_chunk_take_locked(csq *q, uint32_t n, uint32_t *out_head)
{
    if (q->header->free_count < reserve_of(q)
        || q->header->free_count - reserve_of(q) < n)
        return CSQ_SEGMENT_FULL;
    return csq_chunk_take_last_locked(q, n, out_head);
}

apr_status_t csq_chunk_give_locked(csq *q, uint32_t head, uint32_t n)
{
    csq_header *header = q->header;
    uint32_t last = find_nth(q, head, n);
    csq_chunk *chunk = csq_chunk_at(q, last);

    if (!chunk || chunk->next != 0) {
        csq_repair_want(q);
        return CSQ_DAMAGED;
    }
    chunk->next = header->free_head;
    header->free_head = head;
    CSQ_ADD(header->free_count, n);
    return APR_SUCCESS;
}

uint32_t csq_chain_cut(csq *q, uint32_t *chain, uint32_t n)
{
    uint32_t head = *chain;
    uint32_t last = find_nth(q, head, n);
    csq_chunk *chunk = csq_chunk_at(q, last);

    if (!chunk)
        return 0;
    *chain = chunk->next;
    chunk->next = 0;
    return head;
}

void csq_stream_open(csq_stream *stream, csq *q, void *chunk, char *at, size_t left)
{
    stream->q = q;
    stream->at = at;
    stream->left = left;
    stream->next = ((csq_chunk *)chunk)->next;
}

/* Bytes at stream->at, at most len; 0: the chain has ended. */
static size_t stream_part(csq_stream *stream, size_t len)
{
    csq_chunk *chunk;

    if (stream->left == 0) {
        chunk = csq_chunk_at(stream->q, stream->next);
        if (!chunk)
            return 0;
        stream->at = chunk->data;
        stream->left = CSQ_CHUNK_DATA;
        stream->next = chunk->next;
    }
    return len < stream->left ? len : stream->left;
}

apr_status_t csq_stream_write(csq_stream *stream, const char *data, size_t len)
{
    while (len) {
        size_t part = stream_part(stream, len);

        if (!part)
            return CSQ_DAMAGED;
        memcpy(stream->at, data, part);
        stream->at += part;
        stream->left -= part;
        data += part;
        len -= part;
    }
    return APR_SUCCESS;
}

apr_status_t csq_stream_read(csq_stream *stream, char *data, size_t len)
{
    while (len) {
        size_t part = stream_part(stream, len);

        if (!part)
            return CSQ_DAMAGED;
        memcpy(data, stream->at, part);
        stream->at += part;
        stream->left -= part;
        data += part;
        len -= part;
    }
    return APR_SUCCESS;
}

int csq_stream_equal(csq_stream *stream, const char *data, size_t len)
{
    while (len) {
        size_t part = stream_part(stream, len);

        if (!part || memcmp(data, stream->at, part) != 0)
            return 0;
        stream->at += part;
        stream->left -= part;
        data += part;
        len -= part;
    }
    return 1;
}
