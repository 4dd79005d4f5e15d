/* SPDX-License-Identifier: Apache-2.0
 * csq_batch.c - the messages that a fetch copies out, in memory of its own.
 *
 * Filled under the shard's lock, read without. While it grows, the views hold
 * offsets instead of pointers, since the memory may move; finish turns them.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <stdlib.h>

#define FIRST_VIEWS 16
#define FIRST_BYTES 4096
#define KEEP_BYTES  (1024 * 1024) /* a batch that grew larger shrinks again   */

typedef struct places {
    size_t app, sender, type, topic, data;
} places;

struct csq_batch {
    csq_cursor cursor;
    uint32_t count;
    uint32_t room; /* views allocated                             */
    csq_view *views;
    places *places; /* of the same messages in `memory`            */
    char *memory;
    size_t used;
    size_t size;
    size_t bytes;
    uint32_t origin; /* of the last message: its strings are there  */
    int more;
    int gap;
    uint32_t gap_count;
    csq_gap gaps[CSQ_GAP_APPS];
    char gap_apps[CSQ_GAP_APPS][CSQ_APP_MAX + 1];
};

static void *grow(void *old, size_t size)
{
    void *memory = realloc(old, size);

    if (!memory)
        abort();
    return memory;
}

csq_batch *csq_batch_create(void)
{
    csq_batch *batch = grow(NULL, sizeof *batch);

    memset(batch, 0, sizeof *batch);
    return batch;
}

void csq_batch_destroy(csq_batch *batch)
{
    if (!batch)
        return;
    free(batch->views);
    free(batch->places);
    free(batch->memory);
    free(batch);
}

void csq_batch_reset(csq_batch *batch)
{
    if (batch->size > KEEP_BYTES) {
        free(batch->memory);
        batch->memory = NULL;
        batch->size = 0;
    }
    memset(&batch->cursor, 0, sizeof batch->cursor);
    batch->count = 0;
    batch->used = 0;
    batch->bytes = 0;
    batch->origin = 0;
    batch->more = 0;
    batch->gap = 0;
    batch->gap_count = 0;
}

/* Room for len more bytes. @return the offset where they begin. */
static size_t reserve(csq_batch *batch, size_t len)
{
    size_t offset = batch->used;
    size_t size = batch->size ? batch->size : FIRST_BYTES;

    while (size - offset < len)
        size *= 2;
    if (size != batch->size) {
        batch->memory = grow(batch->memory, size);
        batch->size = size;
    }
    batch->used += len;
    return offset;
}

static apr_status_t copy_origin(csq_batch *batch, csq *q, uint32_t number, places *at)
{
    csq_origin *origin = csq_origin_at(q, number);
    csq_stream stream;
    apr_status_t rv;

    if (!origin)
        return CSQ_DAMAGED;
    at->app = reserve(batch, origin->app_len + 1u);
    at->sender = reserve(batch, origin->sender_len + 1u);
    at->type = reserve(batch, origin->type_len + 1u);
    csq_stream_open(&stream, q, origin, origin->data, CSQ_ORIGIN_DATA);
    rv = csq_stream_read(&stream, batch->memory + at->app, origin->app_len);
    if (rv == APR_SUCCESS)
        rv = csq_stream_read(&stream, batch->memory + at->sender, origin->sender_len);
    if (rv == APR_SUCCESS)
        rv = csq_stream_read(&stream, batch->memory + at->type, origin->type_len);
    batch->memory[at->app + origin->app_len] = '\0';
    batch->memory[at->sender + origin->sender_len] = '\0';
    batch->memory[at->type + origin->type_len] = '\0';
    batch->origin = number;
    return rv;
}

static void need_view(csq_batch *batch)
{
    if (batch->count < batch->room)
        return;
    batch->room = batch->room ? batch->room * 2 : FIRST_VIEWS;
    batch->views = grow(batch->views, batch->room * sizeof *batch->views);
    batch->places = grow(batch->places, batch->room * sizeof *batch->places);
}

/* 0: it has none (offset 0 is never that of a topic). */
static void copy_topic(csq_batch *batch, const csq_entry *entry, places *at)
{
    const csq_link *link = (const csq_link *)entry;

    at->topic = 0;
    if (entry->kind != CSQ_KIND_ENTRY || !link->topic_len
        || link->topic_len > CSQ_TOPIC_MAX)
        return;
    at->topic = reserve(batch, link->topic_len + 1u);
    memcpy(batch->memory + at->topic, link->topic, link->topic_len);
    batch->memory[at->topic + link->topic_len] = '\0';
}

apr_status_t csq_batch_add(csq_batch *batch, csq *q, const csq_entry *entry,
                           csq_stored *stored, csq_cursor **out_cursor)
{
    csq_view *view;
    places *at;
    csq_stream stream;
    apr_status_t rv = APR_SUCCESS;

    if (csq_chunks_for(stored->len, CSQ_MESSAGE_DATA) > q->chunk_count)
        return CSQ_DAMAGED;
    need_view(batch);
    view = &batch->views[batch->count];
    at = &batch->places[batch->count];
    if (batch->origin && batch->origin == stored->entry.body)
        *at = batch->places[batch->count - 1];
    else
        rv = copy_origin(batch, q, stored->entry.body, at);
    if (rv != APR_SUCCESS)
        return rv;
    copy_topic(batch, entry, at);
    at->data = reserve(batch, stored->len);
    csq_stream_open(&stream, q, stored, stored->data, CSQ_MESSAGE_DATA);
    rv = csq_stream_read(&stream, batch->memory + at->data, stored->len);
    if (rv != APR_SUCCESS)
        return rv;
    memcpy(view->id, stored->id, CSQ_ID_BYTES);
    view->time = (apr_time_t)csq_stored_time(stored) * 1000;
    view->expires = (apr_time_t)csq_stored_expires(stored) * 1000;
    view->encoding = (csq_encoding)(stored->entry.flags & CSQ_ENCODING_MASK);
    view->urgency = csq_stored_urgency(stored);
    view->receipt = (stored->entry.flags & CSQ_ASKED) != 0;
    view->len = stored->len;
    *out_cursor = &view->cursor;
    batch->bytes += stored->len;
    batch->count++;
    return APR_SUCCESS;
}

void csq_batch_gap_unknown(csq_batch *batch)
{
    batch->gap = 1;
    batch->gap_count = 0;
}

void csq_batch_gap_fill(csq_batch *batch, csq *q, const csq_queue *queue, uint64_t after)
{
    csq_gap_chunk *first = csq_gap_at(q, queue->gap);
    csq_gap_chunk *gap = first;
    csq_gap *out;
    uint32_t number = queue->gap;
    uint64_t count;
    int n;

    csq_batch_gap_unknown(batch);
    if (!first || first->unknown)
        return;
    for (n = 0; gap && n < CSQ_GAP_APPS; n++, gap = csq_gap_at(q, number)) {
        number = gap->next;
        count = (first->handed_sequence > after ? gap->handed : 0)
                + (uint64_t)(first->fresh_sequence > after ? gap->fresh : 0);
        if (!count || gap->app_len > CSQ_APP_MAX)
            continue;
        out = &batch->gaps[batch->gap_count];
        memcpy(batch->gap_apps[batch->gap_count], gap->app, gap->app_len);
        batch->gap_apps[batch->gap_count][gap->app_len] = '\0';
        out->app = batch->gap_apps[batch->gap_count];
        out->count = count;
        batch->gap_count++;
    }
}

void csq_batch_finish(csq_batch *batch, const csq_cursor *cursor, int more)
{
    uint32_t i;

    for (i = 0; i < batch->count; i++) {
        csq_view *view = &batch->views[i];
        const places *at = &batch->places[i];

        view->app = batch->memory + at->app;
        view->sender = batch->memory + at->sender;
        view->type = batch->memory[at->type] ? batch->memory + at->type : NULL;
        view->topic = at->topic ? batch->memory + at->topic : NULL;
        view->data = batch->memory + at->data;
    }
    batch->cursor = *cursor;
    batch->more = more;
}

csq_cursor csq_batch_cursor(const csq_batch *batch)
{
    return batch->cursor;
}

apr_uint32_t csq_batch_count(const csq_batch *batch)
{
    return batch->count;
}

apr_size_t csq_batch_bytes(const csq_batch *batch)
{
    return batch->bytes;
}

const csq_view *csq_batch_get(const csq_batch *batch, apr_uint32_t i)
{
    return i < batch->count ? &batch->views[i] : NULL;
}

int csq_batch_more(const csq_batch *batch)
{
    return batch->more;
}

int csq_batch_gap(const csq_batch *batch, const csq_gap **out_gaps, apr_uint32_t *out_n)
{
    *out_gaps = batch->gaps;
    *out_n = batch->gap_count;
    return batch->gap;
}
