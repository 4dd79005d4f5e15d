/* SPDX-License-Identifier: Apache-2.0
 * cl_event.c - see cl_event.h.
 *
 * Strings of a message are decoded into one buffer, which grows while it is
 * filled: so places are kept as offsets, and become pointers at the end.
 */
#include "cc_compat.h"
#include "cl_event.h"
#include "cc_base64.h"
#include "cc_json.h"
#include "cc_name.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- short lines ------------------------------------------------------- */

static const struct {
    const char *name;
    cl_line_kind kind;
} kinds[] = {
    { "hello", CL_LINE_HELLO },     { "message", CL_LINE_MESSAGE },
    { "gap", CL_LINE_GAP },         { "acked", CL_LINE_SETTLED },
    { "nacked", CL_LINE_SETTLED },  { "rejected", CL_LINE_SETTLED },
    { "spooled", CL_LINE_SPOOLED }, { "published", CL_LINE_PUBLISHED },
    { "error", CL_LINE_ERROR },
};

/* What is too long for its place is cut: it is only shown, or compared with what
 * is short enough. */
static int take_text(cc_json *json, char *out, size_t size)
{
    cc_slice raw;

    if (cc_json_string(json, &raw) != CC_OK)
        return 0;
    if (cc_json_decode(raw, out, size) != CC_OK)
        out[0] = '\0';
    return 1;
}

static int take_member(cc_json *json, cc_slice name, cl_line *line)
{
    if (cc_slice_is(name, "id"))
        return take_text(json, line->id, sizeof(line->id));
    if (cc_slice_is(name, "ref"))
        return take_text(json, line->ref, sizeof(line->ref));
    if (cc_slice_is(name, "state"))
        return take_text(json, line->state, sizeof(line->state));
    if (cc_slice_is(name, "code"))
        return take_text(json, line->code, sizeof(line->code));
    if (cc_slice_is(name, "text"))
        return take_text(json, line->text, sizeof(line->text));
    if (cc_slice_is(name, "max_line"))
        return cc_json_integer(json, &line->max_line) == CC_OK;
    line->has_retry_after |= cc_slice_is(name, "retry_after");
    return cc_json_skip(json, NULL, NULL) == CC_OK;
}

static int take_members(cc_slice value, cl_line *line)
{
    cc_json json;
    cc_slice name;
    int first = 1;

    cc_json_init(&json, value.data, value.len);
    if (cc_json_enter(&json, '{') != CC_OK)
        return 0;
    while (cc_json_next_member(&json, &first, &name)) {
        if (!take_member(&json, name, line))
            return 0;
    }
    return cc_json_finish(&json) == CC_OK;
}

/* An id of what was settled stands by itself: {"acked":"..."} */
static int take_value(cl_line *line)
{
    cc_json json;

    if (line->kind == CL_LINE_SETTLED) {
        cc_json_init(&json, line->value.data, line->value.len);
        return take_text(&json, line->id, sizeof(line->id));
    }
    if (line->kind == CL_LINE_OTHER || line->kind == CL_LINE_MESSAGE
        || line->kind == CL_LINE_GAP)
        return 1;
    return take_members(line->value, line);
}

int cl_line_read(cc_slice text, cl_line *out_line)
{
    cc_json json;
    cc_slice name, value;
    int first = 1, row;

    memset(out_line, 0, sizeof(*out_line));
    cc_json_init(&json, text.data, text.len);
    if (cc_json_enter(&json, '{') != CC_OK)
        return 0;
    while (cc_json_next_member(&json, &first, &name)) {
        if (cc_json_skip(&json, &value, NULL) != CC_OK)
            return 0;
        row = cc_json_find(name, kinds, COUNT(kinds), sizeof(kinds[0]));
        if (row >= 0) {
            out_line->kind = kinds[row].kind;
            out_line->value = value;
        }
    }
    return cc_json_finish(&json) == CC_OK && take_value(out_line);
}

/* ---- messages ------------------------------------------------------------ */

enum {
    M_ID,
    M_APP,
    M_SERVER,
    M_FROM,
    M_TYPE,
    M_TIME,
    M_EXPIRES,
    M_TOPIC,
    M_URGENCY,
    M_TEXTS
};

static const char *const texts[M_TEXTS] = { "id",   "app",     "server", "from",   "type",
                                            "time", "expires", "topic",  "urgency" };

typedef struct reading {
    cc_buffer *memory;
    size_t at[M_TEXTS]; /* offset of each, + 1; 0: it is not there           */
    cc_slice data;
    int is_base64;
    uint64_t attempt;
    uint64_t count;
} reading;

static size_t add_string(cc_buffer *memory, cc_slice raw, int *out_ok)
{
    size_t offset = memory->len;
    cc_status rv;

    /* Decoded it is never longer. */
    cc_buffer_add(memory, raw.data, raw.len);
    cc_buffer_add(memory, "", 1);
    rv = cc_json_decode(raw, memory->data + offset, raw.len + 1);
    memory->len = offset + strlen(memory->data + offset) + 1;
    *out_ok = rv == CC_OK;
    return offset;
}

static int read_text(reading *r, cc_json *json, int row)
{
    cc_slice raw;
    int ok;

    if (cc_json_string(json, &raw) != CC_OK)
        return 0;
    r->at[row] = add_string(r->memory, raw, &ok) + 1;
    return ok;
}

static int read_member(reading *r, cc_json *json, cc_slice name)
{
    int row = cc_json_find(name, texts, M_TEXTS, sizeof(texts[0]));

    if (row >= 0)
        return read_text(r, json, row);
    if (cc_slice_is(name, "attempt"))
        return cc_json_integer(json, &r->attempt) == CC_OK;
    if (cc_slice_is(name, "count"))
        return cc_json_integer(json, &r->count) == CC_OK;
    if (cc_slice_is(name, "base64"))
        return cc_json_boolean(json, &r->is_base64) == CC_OK;
    return cc_json_skip(json, cc_slice_is(name, "data") ? &r->data : NULL, NULL) == CC_OK;
}

static int decode_text(reading *r, size_t *out_offset, size_t *out_len)
{
    cc_slice raw = { r->data.data + 1, r->data.len - 2 };
    int ok;

    *out_offset = add_string(r->memory, raw, &ok);
    *out_len = strlen(r->memory->data + *out_offset);
    return ok;
}

static int decode_bytes(reading *r, size_t *out_offset, size_t *out_len)
{
    *out_offset = r->memory->len;
    if (cc_base64_decode(r->memory, r->data.data + 1, r->data.len - 2) != CC_OK)
        return 0;
    *out_len = r->memory->len - *out_offset;
    cc_buffer_add(r->memory, "", 1);
    return 1;
}

/* What cannot be decoded is given as it stands. */
static void decode_data(reading *r, size_t *out_offset, size_t *out_len)
{
    const char *type = r->at[M_TYPE] ? r->memory->data + r->at[M_TYPE] - 1 : NULL;
    int is_string = r->data.len >= 2 && r->data.data[0] == '"';

    if (is_string && r->is_base64 && decode_bytes(r, out_offset, out_len))
        return;
    if (is_string && !r->is_base64 && (type == NULL || !cc_name_type_is_json(type))
        && decode_text(r, out_offset, out_len))
        return;
    *out_offset = r->memory->len;
    *out_len = r->data.len;
    cc_buffer_add(r->memory, r->data.data, r->data.len);
    cc_buffer_add(r->memory, "", 1);
}

static const char *place_of(const reading *r, int row)
{
    return r->at[row] ? r->memory->data + r->at[row] - 1 : NULL;
}

static void fill_event(const reading *r, commclient_event *event)
{
    event->id = place_of(r, M_ID);
    event->app = place_of(r, M_APP);
    event->server = place_of(r, M_SERVER);
    event->from = place_of(r, M_FROM);
    event->type = place_of(r, M_TYPE);
    event->time = place_of(r, M_TIME);
    event->expires = place_of(r, M_EXPIRES);
    event->topic = place_of(r, M_TOPIC);
    event->urgency = place_of(r, M_URGENCY);
    event->attempt = (unsigned)r->attempt;
    event->missing = (unsigned long)r->count;
}

static int read_members(reading *r, cc_slice value)
{
    cc_json json;
    cc_slice name;
    int first = 1;

    cc_json_init(&json, value.data, value.len);
    if (cc_json_enter(&json, '{') != CC_OK)
        return 0;
    while (cc_json_next_member(&json, &first, &name)) {
        if (!read_member(r, &json, name))
            return 0;
    }
    return cc_json_finish(&json) == CC_OK && r->at[M_ID] != 0;
}

int cl_event_read(cc_slice value, int kind, cc_buffer *memory,
                  commclient_event *out_event)
{
    reading r = { .memory = memory };
    size_t offset = 0, len = 0;

    memory->len = 0;
    memset(out_event, 0, sizeof(*out_event));
    out_event->size = sizeof(*out_event);
    out_event->kind = kind;
    if (!read_members(&r, value))
        return 0;
    if (kind == COMMCLIENT_MESSAGE && r.data.len == 0)
        return 0;
    if (kind == COMMCLIENT_MESSAGE)
        decode_data(&r, &offset, &len);
    fill_event(&r, out_event);
    if (kind == COMMCLIENT_MESSAGE) {
        out_event->data = memory->data + offset;
        out_event->length = len;
    }
    return 1;
}

void cl_event_of_publication(const cl_line *line, commclient_event *out_event)
{
    memset(out_event, 0, sizeof(*out_event));
    out_event->size = sizeof(*out_event);
    out_event->ref = line->ref;
    if (line->kind == CL_LINE_PUBLISHED) {
        out_event->kind = COMMCLIENT_PUBLISHED;
        out_event->id = line->id;
        out_event->state = line->state;
    }
    else {
        out_event->kind = COMMCLIENT_FAILED;
        out_event->text = line->text;
    }
}
