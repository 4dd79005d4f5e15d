/* SPDX-License-Identifier: Apache-2.0
 * cc_event_batch.c - the events of a stream, collected into batches.
 */
#include "cc_compat.h"
#include "cc_event_batch.h"

#include <stdlib.h>
#include <string.h>

#define KEEP     (1u << 20) /* bytes of text kept between batches             */
#define GAPS_MAX 64         /* that wait for a message                        */

void cc_event_batch_begin(cc_event_batch *events, const char *cursor)
{
    cc_buffer_reset(&events->text, KEEP);
    events->count = events->settled = 0;
    events->end = CC_EVENTS_GO_ON;
    strcpy(events->cursor, cursor);
}

void cc_event_batch_clear(cc_event_batch *events)
{
    cc_buffer_clear(&events->text);
    free(events->items);
    memset(events, 0, sizeof(*events));
}

/* 1: the cursor that stands is usable. */
static int take_id(cc_event_batch *events, const cc_event *event)
{
    if (event->has_id) {
        if (cc_name_cursor_check(event->id.data, event->id.len) != CC_OK)
            return 0;
        memcpy(events->cursor, event->id.data, event->id.len);
        events->cursor[event->id.len] = '\0';
    }
    return events->cursor[0] != '\0';
}

static void add_item(cc_event_batch *events, const cc_event *event, int is_gap)
{
    cc_event_item *item;
    size_t len = event->data.len;

    if (event->too_large && len > CC_EVENT_RAW_MAX)
        len = CC_EVENT_RAW_MAX;
    if (events->count == events->room) {
        events->room = events->room ? events->room * 2 : 64;
        events->items = cc_realloc(events->items, events->room * sizeof(*events->items));
    }
    item = &events->items[events->count++];
    item->offset = events->text.len;
    item->len = len;
    item->is_gap = is_gap;
    item->too_large = event->too_large;
    cc_buffer_add(&events->text, event->data.data, len);
}

/* One that is too large to be read may be about anything. */
static void add_gap(cc_event_batch *events, const cc_event *event)
{
    cc_event gap = *event;

    if ((event->has_id && !take_id(events, event))
        || events->count - events->settled >= GAPS_MAX) {
        events->end = CC_EVENTS_BAD_ID;
        return;
    }
    if (gap.data.len > CC_EVENT_RAW_MAX)
        gap.data = cc_slice_of("{}");
    add_item(events, &gap, 1);
    if (event->has_id)
        events->settled = events->count;
}

static void add_message(cc_event_batch *events, const cc_event *event)
{
    if (!take_id(events, event)) {
        events->end = CC_EVENTS_BAD_ID;
        return;
    }
    add_item(events, event, 0);
    events->settled = events->count;
}

/* Names with a colon are commserver's own; those not known mean nothing. */
void cc_event_batch_add(cc_event_batch *events, const cc_event *event)
{
    if (events->end != CC_EVENTS_GO_ON)
        return;
    if (cc_slice_is(event->name, "commserver:gap"))
        add_gap(events, event);
    else if (cc_slice_is(event->name, "commserver:replaced"))
        events->end = CC_EVENTS_REPLACED;
    else if (memchr(event->name.data, ':', event->name.len) == NULL)
        add_message(events, event);
}

cc_status cc_event_batch_get(const cc_event_batch *events, cc_batch *out_batch)
{
    const cc_event_item *item;
    const char *text;
    size_t i;

    cc_batch_begin(out_batch, cc_slice_of(events->cursor));
    for (i = 0; i < events->settled; i++) {
        item = &events->items[i];
        text = events->text.data + item->offset;
        if (item->is_gap)
            cc_batch_add_gap(out_batch, text, item->len);
        else
            cc_batch_add_message(out_batch, text, item->len,
                                 item->too_large ? "it is larger than the agent takes"
                                                 : NULL);
    }
    return events->settled > 0 ? CC_OK : CC_EMPTY;
}

/* Only gaps that wait for their cursor are left. */
void cc_event_batch_taken(cc_event_batch *events)
{
    size_t left = events->count - events->settled, from, i;

    if (events->count == 0)
        return;
    from = left > 0 ? events->items[events->settled].offset : events->text.len;
    memmove(events->items, events->items + events->settled,
            left * sizeof(*events->items));
    for (i = 0; i < left; i++)
        events->items[i].offset -= from;
    events->count = left;
    events->settled = 0;
    if (left == 0) {
        cc_buffer_reset(&events->text, KEEP);
        return;
    }
    memmove(events->text.data, events->text.data + from, events->text.len - from);
    events->text.len -= from;
}
