/* SPDX-License-Identifier: Apache-2.0
 * cc_envelope.c - what a poll brings: a batch of messages, as slices.
 *
 * First the braces and the head are read member by member; whatever breaks
 * the rules of a message is noted, and the object is read to its end all the
 * same, so that the next one can be found.
 */
#include "cc_compat.h"
#include "cc_envelope.h"
#include "cc_json.h"
#include "cc_name.h"
#include "cc_time.h"

#include <stdlib.h>
#include <string.h>

#define GAP_APPS_MAX 1000 /* more are "unknown what": nobody has that many   */

/* Members that may come only once. */
enum { SAW_ID = 1, SAW_APP = 2, SAW_EXPIRES = 4, SAW_LENGTH = 8, SAW_DATA = 16 };

typedef struct scan {
    cc_json json;
    cc_envelope *envelope;
    unsigned saw;
    uint64_t length;
    const char *member;     /* where the member that is being read begins    */
    const char *length_end; /* behind the number of "length"                 */
} scan;

static void refuse(scan *s, const char *why)
{
    if (s->envelope->unusable == NULL)
        s->envelope->unusable = why;
}

/* Take a value that should be a string; others are skipped and refused. */
static int take_string(scan *s, cc_slice *out, const char *why)
{
    if (cc_json_peek(&s->json) == '"')
        return cc_json_string(&s->json, out) == CC_OK;
    cc_json_skip(&s->json, NULL, NULL);
    refuse(s, why);
    return 0;
}

static void read_id(scan *s)
{
    if (take_string(s, &s->envelope->id, "'id' is not a string")
        && cc_name_id_check(s->envelope->id.data, s->envelope->id.len) != CC_OK)
        refuse(s, "'id' is not allowed");
}

static void read_app(scan *s)
{
    if (take_string(s, &s->envelope->app, "'app' is not a string")
        && cc_name_check(s->envelope->app.data, s->envelope->app.len, CC_APP_MAX)
               != CC_OK)
        refuse(s, "'app' is not allowed");
}

static void read_expires(scan *s)
{
    cc_slice text;

    if (take_string(s, &text, "'expires' is not a string")
        && cc_time_parse(text.data, text.len, &s->envelope->expires) != CC_OK)
        refuse(s, "'expires' is not a time");
}

/* "length" must stand right before "data", and "data" last: the agent cuts
 * the object there. */
static void read_length(scan *s)
{
    cc_slice ignored;
    cc_json number;

    s->envelope->head_len = (size_t)(s->member - s->envelope->body.data);
    if (cc_json_skip(&s->json, &ignored, NULL) != CC_OK)
        return;
    cc_json_init(&number, ignored.data, ignored.len);
    if (cc_json_integer(&number, &s->length) != CC_OK || cc_json_finish(&number) != CC_OK)
        refuse(s, "'length' is not a number of bytes");
    s->length_end = s->json.at;
}

static void read_data(scan *s)
{
    const char *start = s->json.at;
    cc_slice value;
    unsigned depth;

    if (cc_json_skip(&s->json, &value, &depth) != CC_OK)
        return;
    if (!(s->saw & SAW_LENGTH) || s->length_end == NULL
        || start - s->length_end != (ptrdiff_t)strlen(",\"data\":"))
        refuse(s, "'length' does not stand right before 'data'");
    else if (value.data != start || value.len != s->length)
        refuse(s, "'length' is not that of 'data'");
    else if (depth > CC_PAYLOAD_DEPTH)
        refuse(s, "'data' is nested too deeply");
}

static void read_base64(scan *s)
{
    char c = cc_json_peek(&s->json);

    if (c != 't' && c != 'f')
        refuse(s, "'base64' is neither true nor false");
    cc_json_skip(&s->json, NULL, NULL);
}

static void read_receipt(scan *s)
{
    char c = cc_json_peek(&s->json);

    if (c == 't' || c == 'f') {
        cc_json_boolean(&s->json, &s->envelope->receipt);
        return;
    }
    cc_json_skip(&s->json, NULL, NULL);
    refuse(s, "'receipt' is neither true nor false");
}

static void read_plain_text(scan *s)
{
    cc_slice ignored;

    take_string(s, &ignored, "'from', 'time', 'type', 'topic' or 'urgency' is no string");
}

static void read_unknown(scan *s)
{
    unsigned depth = 0;

    cc_json_skip(&s->json, NULL, &depth);
    if (depth > CC_PAYLOAD_DEPTH)
        refuse(s, "it is nested too deeply");
}

static void read_forbidden(scan *s)
{
    refuse(s, "it has a member that only the agent may set");
    cc_json_skip(&s->json, NULL, NULL);
}

static const struct member {
    const char *name;
    unsigned once;
    void (*read)(scan *s);
} members[] = {
    { "id", SAW_ID, read_id },
    { "app", SAW_APP, read_app },
    { "from", 32, read_plain_text },
    { "time", 64, read_plain_text },
    { "expires", SAW_EXPIRES, read_expires },
    { "type", 128, read_plain_text },
    { "length", SAW_LENGTH, read_length },
    { "data", SAW_DATA, read_data },
    { "base64", 256, read_base64 },
    { "topic", 512, read_plain_text },
    { "urgency", 1024, read_plain_text },
    { "receipt", 2048, read_receipt },
    { "server", 0, read_forbidden },
    { "attempt", 0, read_forbidden },
};

static const struct member *find_member(cc_slice name)
{
    size_t i;

    for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (cc_slice_is(name, members[i].name))
            return &members[i];
    }
    return NULL;
}

static void read_member(scan *s, cc_slice name)
{
    const struct member *member = find_member(name);

    if (s->saw & SAW_DATA)
        refuse(s, "'data' is not the last member");
    if (memchr(name.data, '\\', name.len) != NULL)
        refuse(s, "a member name is escaped");
    if (member == NULL) {
        read_unknown(s);
        return;
    }
    if (s->saw & member->once) {
        refuse(s, "a member is given twice");
        cc_json_skip(&s->json, NULL, NULL);
        return;
    }
    s->saw |= member->once;
    member->read(s);
}

/* Where the member whose name was just read begins: at the opening quote, or
 * at the comma before it. */
static const char *member_start(const cc_slice *name, int is_first)
{
    return name->data - (is_first ? 1 : 2);
}

static void check_whole(scan *s)
{
    cc_envelope *e = s->envelope;

    if (!(s->saw & SAW_ID))
        refuse(s, "it has no 'id'");
    if (!(s->saw & SAW_APP))
        refuse(s, "it has no 'app'");
    if (!(s->saw & SAW_DATA))
        refuse(s, "it has no 'data'");
    if (memchr(e->raw.data, '\n', e->raw.len) != NULL
        || memchr(e->raw.data, '\r', e->raw.len) != NULL)
        refuse(s, "it has a line break");
    if (e->unusable == NULL && (e->head_len == 0 || e->body.data[e->head_len] != ','))
        refuse(s, "'length' is out of place");
}

static void scan_object(scan *s)
{
    cc_slice name;
    int first = 1, is_first = 1;

    if (cc_json_enter(&s->json, '{') != CC_OK)
        return;
    s->envelope->body.data = s->json.at;
    while (cc_json_next_member(&s->json, &first, &name)) {
        s->member = member_start(&name, is_first);
        is_first = 0;
        read_member(s, name);
    }
}

/* Take one element of "messages". */
static cc_status take_message(cc_json *json, cc_envelope *out)
{
    scan s;

    memset(out, 0, sizeof(*out));
    memset(&s, 0, sizeof(s));
    s.envelope = out;
    if (cc_json_peek(json) != '{') {
        out->unusable = "it is not an object";
        return cc_json_skip(json, &out->raw, NULL);
    }
    s.json = *json;
    out->raw.data = json->at;
    scan_object(&s);
    *json = s.json;
    if (s.json.bad)
        return CC_MALFORMED;
    out->raw.len = (size_t)(json->at - out->raw.data);
    out->body.len = (size_t)(json->at - 1 - out->body.data);
    check_whole(&s);
    return CC_OK;
}

cc_status cc_envelope_parse(const char *data, size_t len, cc_envelope *out_envelope)
{
    cc_json json;

    cc_json_init(&json, data, len);
    if (take_message(&json, out_envelope) != CC_OK)
        return CC_MALFORMED;
    return cc_json_finish(&json);
}

/* Room for one more message. */
static cc_envelope *next_message(cc_batch *batch)
{
    if (batch->count == batch->room) {
        batch->room = batch->room ? batch->room * 2 : 64;
        batch->messages =
            cc_realloc(batch->messages, batch->room * sizeof(*batch->messages));
    }
    return &batch->messages[batch->count];
}

static void take_messages(cc_batch *batch, cc_json *json)
{
    int first = 1;

    if (cc_json_enter(json, '[') != CC_OK)
        return;
    while (cc_json_next_element(json, &first)) {
        if (take_message(json, next_message(batch)) != CC_OK)
            return;
        batch->count++;
    }
}

static void add_gap(cc_batch *batch, cc_slice app, uint64_t count)
{
    if (batch->gap_count == batch->gap_room) {
        batch->gap_room = batch->gap_room ? batch->gap_room * 2 : 8;
        batch->gaps = cc_realloc(batch->gaps, batch->gap_room * sizeof(*batch->gaps));
    }
    batch->gaps[batch->gap_count].app = app;
    batch->gaps[batch->gap_count++].count = count;
}

/* {"orders":12}. What cannot be understood makes the gap an unknown one: to
 * know less is safe, to hide that something is missing is not. */
static void take_gap_apps(cc_batch *batch, cc_json *json)
{
    cc_slice app, value;
    cc_json number;
    uint64_t count;
    int first = 1, unknown = 0;

    if (cc_json_peek(json) != '{') {
        cc_json_skip(json, NULL, NULL);
        return;
    }
    cc_json_enter(json, '{');
    while (cc_json_next_member(json, &first, &app)) {
        if (cc_json_skip(json, &value, NULL) != CC_OK)
            return;
        cc_json_init(&number, value.data, value.len);
        if (cc_name_check(app.data, app.len, CC_APP_MAX) != CC_OK
            || cc_json_integer(&number, &count) != CC_OK
            || cc_json_finish(&number) != CC_OK || count > INT64_MAX
            || batch->gap_count == GAP_APPS_MAX)
            unknown = 1;
        else if (count > 0)
            add_gap(batch, app, count);
    }
    if (unknown)
        batch->gap_count = 0;
}

static void take_gap(cc_batch *batch, cc_json *json)
{
    cc_slice name;
    int first = 1;

    batch->has_gap = 1;
    if (cc_json_peek(json) != '{') {
        cc_json_skip(json, NULL, NULL);
        return;
    }
    cc_json_enter(json, '{');
    while (cc_json_next_member(json, &first, &name)) {
        if (cc_slice_is(name, "apps") && batch->gap_count == 0)
            take_gap_apps(batch, json);
        else
            cc_json_skip(json, NULL, NULL);
    }
}

void cc_batch_begin(cc_batch *batch, cc_slice cursor)
{
    batch->count = batch->gap_count = 0;
    batch->has_gap = 0;
    batch->cursor = cursor;
}

void cc_batch_add_message(cc_batch *batch, const char *data, size_t len,
                          const char *unusable)
{
    cc_envelope *message = next_message(batch);
    cc_slice raw = { data, len };

    batch->count++;
    if (unusable == NULL && cc_envelope_parse(data, len, message) == CC_OK)
        return;
    memset(message, 0, sizeof(*message));
    message->raw = raw;
    message->unusable = unusable != NULL ? unusable : "it is no JSON";
}

/* Of two gaps of which one is unknown nobody knows more than of that one. */
void cc_batch_add_gap(cc_batch *batch, const char *data, size_t len)
{
    int is_known = !batch->has_gap || batch->gap_count > 0;
    cc_batch one;
    cc_json json;
    size_t i;

    memset(&one, 0, sizeof(one));
    cc_json_init(&json, data, len);
    take_gap(&one, &json);
    is_known &= cc_json_finish(&json) == CC_OK && one.gap_count > 0
                && batch->gap_count + one.gap_count <= GAP_APPS_MAX;
    for (i = 0; is_known && i < one.gap_count; i++)
        add_gap(batch, one.gaps[i].app, one.gaps[i].count);
    if (!is_known)
        batch->gap_count = 0;
    batch->has_gap = 1;
    cc_batch_clear(&one);
}

cc_status cc_batch_parse(cc_batch *batch, const char *data, size_t len)
{
    cc_slice name, none = { NULL, 0 };
    cc_json json;
    int first = 1, messages = 0;

    cc_batch_begin(batch, none);
    cc_json_init(&json, data, len);
    if (cc_json_enter(&json, '{') != CC_OK)
        return CC_MALFORMED;
    while (cc_json_next_member(&json, &first, &name)) {
        if (cc_slice_is(name, "cursor") && batch->cursor.data == NULL)
            cc_json_string(&json, &batch->cursor);
        else if (cc_slice_is(name, "messages") && messages++ == 0)
            take_messages(batch, &json);
        else if (cc_slice_is(name, "gap") && !batch->has_gap)
            take_gap(batch, &json);
        else
            cc_json_skip(&json, NULL, NULL);
    }
    if (cc_json_finish(&json) != CC_OK || batch->cursor.data == NULL
        || memchr(batch->cursor.data, '\\', batch->cursor.len) != NULL)
        return CC_MALFORMED;
    return cc_name_cursor_check(batch->cursor.data, batch->cursor.len) == CC_OK
               ? CC_OK
               : CC_MALFORMED;
}

void cc_batch_clear(cc_batch *batch)
{
    free(batch->messages);
    free(batch->gaps);
    memset(batch, 0, sizeof(*batch));
}

cc_status cc_batch_peek_cursor(const char *data, size_t len, cc_slice *out_cursor)
{
    cc_json json;
    cc_slice name;
    int first = 1;

    cc_json_init(&json, data, len);
    if (cc_json_enter(&json, '{') != CC_OK || !cc_json_next_member(&json, &first, &name)
        || !cc_slice_is(name, "cursor") || cc_json_string(&json, out_cursor) != CC_OK
        || cc_json_peek(&json) != ','
        || memchr(out_cursor->data, '\\', out_cursor->len) != NULL)
        return CC_MALFORMED;
    return cc_name_cursor_check(out_cursor->data, out_cursor->len) == CC_OK
               ? CC_OK
               : CC_MALFORMED;
}

void cc_problem_type(const char *data, size_t len, char *out, size_t size)
{
    char type[256], *c, *last = type;
    cc_slice name, value;
    cc_json json;
    int first = 1;

    out[0] = '\0';
    cc_json_init(&json, data, len);
    if (cc_json_enter(&json, '{') != CC_OK)
        return;
    while (cc_json_next_member(&json, &first, &name)) {
        if (!cc_slice_is(name, "type") || cc_json_peek(&json) != '"') {
            cc_json_skip(&json, NULL, NULL);
            continue;
        }
        if (cc_json_string(&json, &value) != CC_OK
            || cc_json_decode(value, type, sizeof(type)) != CC_OK)
            return;
        for (c = type; *c != '\0'; c++) {
            if (*c == '/' || *c == '#' || *c == ':')
                last = c + 1;
        }
        if (strlen(last) < size)
            strcpy(out, last);
        return;
    }
}
