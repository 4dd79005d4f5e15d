/* SPDX-License-Identifier: Apache-2.0
 * cc_event_batch.h - the events of a stream, collected into batches.
 *
 * Each event that has no name of commserver's own is a message. What was
 * collected is given out as a batch, as if a poll had brought it: messages,
 * gaps, and the cursor that stands for all of them. A gap without an id waits
 * for the message behind it, whose cursor stands for both.
 */
#ifndef CC_EVENT_BATCH_H
#define CC_EVENT_BATCH_H

#include "cc_compat.h"
#include "cc_envelope.h"
#include "cc_event_stream.h"

#define CC_EVENT_RAW_MAX 65536 /* bytes kept of a message that is too large   */

/* Why nothing more is collected. */
typedef enum {
    CC_EVENTS_GO_ON,
    CC_EVENTS_REPLACED,
    CC_EVENTS_BAD_ID /* an id is no cursor, or none comes                    */
} cc_events_end;

typedef struct cc_event_item {
    size_t offset; /* of its text                                          */
    size_t len;
    int is_gap;
    int too_large;
} cc_event_item;

/* All zero is empty. */
typedef struct cc_event_batch {
    cc_buffer text;
    cc_event_item *items;
    size_t count, room;
    size_t settled; /* items for which `cursor` stands                     */
    cc_events_end end;
    char cursor[CC_CURSOR_MAX + 1]; /* "": none                            */
} cc_event_batch;

/** Forget all. `cursor` is where the stream goes on from; "": at the oldest. */
void cc_event_batch_begin(cc_event_batch *events, const char *cursor);
void cc_event_batch_clear(cc_event_batch *events);

void cc_event_batch_add(cc_event_batch *events, const cc_event *event);

/** Fill a batch with what can be taken over now. Its slices point into
 *  `events` and live until the next call.
 *  @return CC_OK; CC_EMPTY: nothing. */
cc_status cc_event_batch_get(const cc_event_batch *events, cc_batch *out_batch);

/** What cc_event_batch_get() gave was taken over. */
void cc_event_batch_taken(cc_event_batch *events);

#endif
