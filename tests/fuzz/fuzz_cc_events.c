/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cc_events.c - an event stream of a server.
 *
 * However its bytes are cut into pieces, the events are the same; and so are the
 * batches that are made of them. The first byte says how it is cut.
 */
#include "cc_fuzz.h"
#include "cc_event_batch.h"
#include "cc_event_stream.h"

#include <stdlib.h>
#include <string.h>

#define DATA_MAX 256 /* bytes of the data of an event                         */

/* What came, written down. */
typedef struct listening {
    cc_buffer heard;
    cc_event_batch events;
} listening;

static void hear(void *baton, const cc_event *event)
{
    listening *l = baton;

    CC_FUZZ_CHECK(event->data.len <= DATA_MAX, "more data than may be kept");
    CC_FUZZ_CHECK(event->id.len <= CC_CURSOR_MAX + 1, "more of an id than may be kept");
    cc_buffer_format(&l->heard, "[%zu %zu %zu %d %d ", event->name.len, event->data.len,
                     event->id.len, event->has_id, event->too_large);
    cc_buffer_add(&l->heard, event->name.data, event->name.len);
    cc_buffer_add(&l->heard, event->data.data, event->data.len);
    if (event->has_id)
        cc_buffer_add(&l->heard, event->id.data, event->id.len);
    cc_event_batch_add(&l->events, event);
}

/* Small and large steps after one another; 0: all at once. */
static size_t next_step(unsigned *state)
{
    if (*state == 0)
        return (size_t)-1;
    *state = *state * 1103515245u + 12345u;
    return (*state >> 16) % 7 + 1;
}

/* Batches are taken when as many events are collected as say `often`. */
static void take_batches(listening *l, cc_buffer *taken, size_t often)
{
    static cc_batch batch;
    size_t i;

    if (l->events.settled < often || cc_event_batch_get(&l->events, &batch) != CC_OK)
        return;
    CC_FUZZ_CHECK(batch.cursor.len > 0, "a batch without a cursor");
    for (i = 0; i < batch.count; i++) {
        const char *why = batch.messages[i].unusable;

        cc_buffer_add(taken, batch.messages[i].raw.data, batch.messages[i].raw.len);
        cc_buffer_format(taken, " %s\n", why != NULL ? why : "");
    }
    cc_event_batch_taken(&l->events);
}

static void listen_to(fuzz_input input, unsigned cut, listening *l, cc_buffer *taken)
{
    cc_event_stream stream;
    size_t step;

    memset(&stream, 0, sizeof(stream));
    cc_event_batch_begin(&l->events, "before");
    cc_event_stream_begin(&stream, DATA_MAX, hear, l);
    while (input.left > 0) {
        step = next_step(&cut);
        if (step > input.left)
            step = input.left;
        cc_event_stream_feed(&stream, (const char *)input.data, step);
        input.data += step;
        input.left -= step;
        take_batches(l, taken, cut % 3);
    }
    CC_FUZZ_CHECK(stream.retry >= -1 && stream.retry <= CC_EVENT_RETRY_MAX, "retry");
    cc_buffer_format(&l->heard, "]%lld %d %d", (long long)stream.retry,
                     stream.retry_is_last, (int)l->events.end);
    cc_event_stream_clear(&stream);
    take_batches(l, taken, 0);
    cc_event_batch_clear(&l->events);
}

static int is_same(const cc_buffer *a, const cc_buffer *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = { data, size };
    unsigned cut = fuzz_take_byte(&input) + 1;
    cc_buffer whole = { NULL, 0, 0 }, pieces = { NULL, 0, 0 };
    listening one, two;

    memset(&one, 0, sizeof(one));
    memset(&two, 0, sizeof(two));
    listen_to(input, 0, &one, &whole);
    listen_to(input, cut, &two, &pieces);
    CC_FUZZ_CHECK(is_same(&one.heard, &two.heard),
                  "cut otherwise, it says something else");
    CC_FUZZ_CHECK(is_same(&whole, &pieces), "cut otherwise, other messages are taken");
    cc_buffer_clear(&one.heard);
    cc_buffer_clear(&two.heard);
    cc_buffer_clear(&whole);
    cc_buffer_clear(&pieces);
    return 0;
}
