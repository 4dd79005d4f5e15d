/* SPDX-License-Identifier: Apache-2.0
 * cc_event_stream.h - an event stream (text/event-stream of the HTML
 * standard), taken apart as it comes.
 *
 * Bytes are fed in whatever pieces they arrive; each event that is whole is
 * handed on at once. The input is hostile: what is kept of an event is bounded
 * by `max`, of all other lines by CC_EVENT_LINE. An event that does not fit is
 * handed on all the same, its beginning only, so that who reads can pass it by.
 *
 * Nothing here knows what the events mean.
 */
#ifndef CC_EVENT_STREAM_H
#define CC_EVENT_STREAM_H

#include "cc_compat.h"
#include "cc_memory.h"
#include "cc_name.h"

#define CC_EVENT_LINE      320      /* bytes kept of a line that is no data   */
#define CC_EVENT_NAME      64       /* bytes kept of an event's name          */
#define CC_EVENT_RETRY_MAX 86400000 /* ms; more is taken for this             */

typedef struct cc_event {
    cc_slice name; /* empty: it has none                                     */
    cc_slice data; /* lines with line feeds between                          */
    cc_slice id;   /* that stands, of this event or an earlier one; empty:
                      none. Too long to be a cursor: one byte more than one   */
    int has_id;    /* it is this event's own                                 */
    int too_large; /* `data` is only the beginning                           */
} cc_event;

/* Of a line that has begun. */
typedef enum {
    CC_EVENT_START, /* too few bytes to say what it is                        */
    CC_EVENT_DATA,  /* behind "data:", straight into `data`                   */
    CC_EVENT_OTHER
} cc_event_line;

typedef struct cc_event_stream {
    void (*event)(void *baton, const cc_event *event);
    void *baton;
    size_t max; /* bytes kept of the data of an event                     */
    cc_buffer data;
    int has_data;
    int too_large;
    int has_id;
    cc_event_line kind;
    int at_value;  /* of a data line: the blank before it was seen or not there */
    int is_first;  /* line of the stream: a byte order mark may stand before it */
    int skip_feed; /* the line ended with CR: an LF belongs to it              */
    int is_cut;    /* the line did not fit                                      */
    size_t line_len;
    size_t name_len;
    size_t id_len;
    int64_t retry;     /* ms, the last one; -1: none came                      */
    int retry_is_last; /* no line came behind it                               */
    char line[CC_EVENT_LINE];
    char name[CC_EVENT_NAME];
    char id[CC_CURSOR_MAX + 1];
} cc_event_stream;

/**
 * Begin a stream; one is used again and again, all zero before the first.
 * @param event  called within cc_event_stream_feed(); its slices live until it
 *               returns
 * @param max    bytes
 */
void cc_event_stream_begin(cc_event_stream *stream, size_t max,
                           void (*event)(void *baton, const cc_event *event),
                           void *baton);

void cc_event_stream_feed(cc_event_stream *stream, const char *data, size_t len);

/** Free what it holds. */
void cc_event_stream_clear(cc_event_stream *stream);

#endif
