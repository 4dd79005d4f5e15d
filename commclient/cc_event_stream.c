/* SPDX-License-Identifier: Apache-2.0
 * cc_event_stream.c - an event stream, taken apart as it comes.
 *
 * Data lines may be megabytes long: once "data:" was seen, the rest of the
 * line goes straight where the data of the event is kept. All other lines that
 * mean something are short and kept until they end.
 */
#include "cc_compat.h"
#include "cc_event_stream.h"

#include <string.h>

#define DATA_FIELD "data:"
#define MARK       "\xef\xbb\xbf"
#define KEEP       65536 /* bytes of memory kept from one event to the next    */

void cc_event_stream_begin(cc_event_stream *s, size_t max,
                           void (*event)(void *baton, const cc_event *event), void *baton)
{
    cc_buffer data = s->data;

    memset(s, 0, sizeof(*s));
    s->data = data;
    cc_buffer_reset(&s->data, KEEP);
    s->event = event;
    s->baton = baton;
    s->max = max;
    s->is_first = 1;
    s->retry = -1;
}

void cc_event_stream_clear(cc_event_stream *s)
{
    cc_buffer_clear(&s->data);
}

/* ---- fields ---------------------------------------------------------- */

static void add_data(cc_event_stream *s, const char *data, size_t len)
{
    size_t room = s->max - s->data.len;

    if (len > room) {
        s->too_large = 1;
        len = room;
    }
    cc_buffer_add(&s->data, data, len);
}

static void begin_data_line(cc_event_stream *s)
{
    if (s->has_data)
        add_data(s, "\n", 1);
    s->has_data = 1;
}

/* Returns how much of the value is kept. */
static size_t keep(char *out, size_t room, cc_slice value)
{
    size_t len = value.len < room ? value.len : room;

    memcpy(out, value.data, len);
    return len;
}

static void take_id(cc_event_stream *s, cc_slice value)
{
    if (memchr(value.data, '\0', value.len) != NULL)
        return;
    s->id_len = keep(s->id, sizeof(s->id), value);
    s->has_id = 1;
}

static void take_retry(cc_event_stream *s, cc_slice value)
{
    int64_t retry = 0;
    size_t i;

    if (value.len == 0 || s->is_cut)
        return;
    for (i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return;
        if (retry < CC_EVENT_RETRY_MAX)
            retry = retry * 10 + (value.data[i] - '0');
    }
    s->retry = retry < CC_EVENT_RETRY_MAX ? retry : CC_EVENT_RETRY_MAX;
    s->retry_is_last = 1;
}

static void take_field(cc_event_stream *s, cc_slice name, cc_slice value)
{
    if (cc_slice_is(name, "data"))
        begin_data_line(s); /* without a colon: nothing follows              */
    else if (cc_slice_is(name, "event"))
        s->name_len = keep(s->name, sizeof(s->name), value);
    else if (cc_slice_is(name, "id"))
        take_id(s, value);
    else if (cc_slice_is(name, "retry"))
        take_retry(s, value);
}

/* A comment begins with the colon, so that its name is empty and unknown. */
static void take_line(cc_event_stream *s)
{
    const char *colon = memchr(s->line, ':', s->line_len);
    cc_slice name = { s->line, s->line_len }, value = { s->line, 0 };

    if (colon != NULL) {
        name.len = (size_t)(colon - s->line);
        value.data = colon + 1;
        value.len = s->line_len - name.len - 1;
        if (value.len > 0 && value.data[0] == ' ') {
            value.data++;
            value.len--;
        }
    }
    take_field(s, name, value);
}

static void end_event(cc_event_stream *s)
{
    cc_event event = { { s->name, s->name_len },
                       { s->data.data != NULL ? s->data.data : "", s->data.len },
                       { s->id, s->id_len },
                       s->has_id,
                       s->too_large };

    if (s->has_data)
        s->event(s->baton, &event);
    cc_buffer_reset(&s->data, KEEP);
    s->has_data = s->has_id = s->too_large = 0;
    s->name_len = 0;
}

/* ---- lines ----------------------------------------------------------- */

static void end_line(cc_event_stream *s)
{
    if (s->kind == CC_EVENT_START && s->line_len == 0) {
        end_event(s);
    }
    else {
        s->retry_is_last = 0;
        if (s->kind != CC_EVENT_DATA)
            take_line(s);
    }
    s->kind = CC_EVENT_START;
    s->line_len = 0;
    s->at_value = s->is_cut = s->is_first = 0;
}

/* One more byte of a line of which it is not known what it is. */
static void begin_line(cc_event_stream *s, char c)
{
    s->line[s->line_len++] = c;
    if (s->is_first && s->line_len == strlen(MARK)
        && memcmp(s->line, MARK, strlen(MARK)) == 0) {
        s->is_first = 0;
        s->line_len = 0;
        return;
    }
    if (s->line_len < strlen(DATA_FIELD))
        return;
    s->kind = CC_EVENT_OTHER;
    if (memcmp(s->line, DATA_FIELD, strlen(DATA_FIELD)) == 0) {
        s->kind = CC_EVENT_DATA;
        begin_data_line(s);
    }
}

static void add_value(cc_event_stream *s, const char *data, size_t len)
{
    if (!s->at_value && *data == ' ') {
        data++;
        len--;
    }
    s->at_value = 1;
    add_data(s, data, len);
}

static void add_line(cc_event_stream *s, const char *data, size_t len)
{
    size_t room = sizeof(s->line) - s->line_len;

    if (len > room) {
        s->is_cut = 1;
        len = room;
    }
    memcpy(s->line + s->line_len, data, len);
    s->line_len += len;
}

/* A piece of a line, without its end. */
static void take_piece(cc_event_stream *s, const char *data, size_t len)
{
    for (; len > 0 && s->kind == CC_EVENT_START; len--)
        begin_line(s, *data++);
    if (len == 0)
        return;
    if (s->kind == CC_EVENT_DATA)
        add_value(s, data, len);
    else
        add_line(s, data, len);
}

static size_t piece_length(const char *data, size_t len)
{
    size_t n = 0;

    while (n < len && data[n] != '\n' && data[n] != '\r')
        n++;
    return n;
}

void cc_event_stream_feed(cc_event_stream *s, const char *data, size_t len)
{
    size_t n;

    while (len > 0) {
        if (s->skip_feed && *data == '\n') {
            s->skip_feed = 0;
            data++;
            len--;
            continue;
        }
        s->skip_feed = 0;
        n = piece_length(data, len);
        take_piece(s, data, n);
        if (n == len)
            return;
        s->skip_feed = data[n] == '\r';
        end_line(s);
        data += n + 1;
        len -= n + 1;
    }
}
