/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cc_batch.c - the body of a server's answer: a batch, one message, a
 * problem.
 *
 * What is taken for usable must reach an application as one line of JSON with
 * the payload as it came, and a program as its input.
 */
#include "cc_fuzz.h"
#include "cc_envelope.h"
#include "cc_exec_input.h"
#include "cc_json.h"
#include "cc_name.h"
#include "cc_peer.h"

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <json.h>

#define DEPTH (CC_JSON_DEPTH + 8)

static int is_within(cc_slice inner, const char *data, size_t len)
{
    return inner.len == 0 || (inner.data >= data && inner.data + inner.len <= data + len);
}

/* ---- what an application gets --------------------------------------------- */

static struct json_object *parse_line(const char *line, size_t len)
{
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH);
    struct json_object *value;

    CC_FUZZ_CHECK(memchr(line, '\n', len) == line + len - 1, "a line break in a line");
    value = json_tokener_parse_ex(tokener, line, (int)len);
    CC_FUZZ_CHECK(json_tokener_get_error(tokener) == json_tokener_success,
                  "an application is given what is no JSON");
    json_tokener_free(tokener);
    return value;
}

static struct json_object *member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;

    CC_FUZZ_CHECK(json_object_object_get_ex(object, name, &value), name);
    return value;
}

/* The names of the agent's own members stand nowhere else. */
static void check_line(const cc_envelope *e, const char *line, size_t len)
{
    struct json_object *whole = parse_line(line, len), *message;
    size_t tail = e->body.len - e->head_len;

    message = member(whole, "message");
    CC_FUZZ_CHECK(strcmp(json_object_get_string(member(message, "server")), "main") == 0,
                  "another server");
    CC_FUZZ_CHECK(json_object_get_int(member(message, "attempt")) == 7,
                  "another attempt");
    CC_FUZZ_CHECK(cc_slice_is(e->id, json_object_get_string(member(message, "id"))),
                  "another id");
    CC_FUZZ_CHECK(cc_slice_is(e->app, json_object_get_string(member(message, "app"))),
                  "another app");
    CC_FUZZ_CHECK(len > tail + 3
                      && memcmp(line + len - 3 - tail, e->body.data + e->head_len, tail)
                             == 0,
                  "the payload is not as it came");
    json_object_put(whole);
}

static void check_program(const cc_delivery *delivery)
{
    cc_exec_input input;
    const char *why = NULL;
    size_t i;

    if (cc_exec_input_make(delivery, &input, &why) == CC_OK) {
        cc_exec_input_attempt_set(&input, 8);
        for (i = 0; input.environment[i] != NULL; i++)
            CC_FUZZ_CHECK(strchr(input.environment[i], '=') != NULL, "no variable");
    }
    else {
        CC_FUZZ_CHECK(why != NULL, "no reason");
    }
    cc_exec_input_clear(&input);
}

static void check_delivery(const cc_envelope *e)
{
    struct evbuffer *out = evbuffer_new();
    cc_delivery delivery;
    const char *line;

    memset(&delivery, 0, sizeof(delivery));
    delivery.id = "ignored";
    delivery.body = e->body;
    delivery.head_len = e->head_len;
    delivery.server = "main";
    delivery.attempt = 7;
    cc_peer_format_message(out, &delivery);
    line = (const char *)evbuffer_pullup(out, -1);
    check_line(e, line, evbuffer_get_length(out));
    evbuffer_free(out);
    check_program(&delivery);
}

/* ---- what is parsed ------------------------------------------------------- */

static void check_message(const cc_envelope *e, const char *data, size_t len)
{
    cc_envelope again;

    CC_FUZZ_CHECK(is_within(e->raw, data, len), "raw lies elsewhere");
    if (e->unusable != NULL)
        return;
    CC_FUZZ_CHECK(is_within(e->body, e->raw.data, e->raw.len)
                      && e->body.len + 2 == e->raw.len && e->head_len > 0
                      && e->head_len < e->body.len && e->body.data[e->head_len] == ',',
                  "body lies elsewhere");
    CC_FUZZ_CHECK(cc_name_id_check(e->id.data, e->id.len) == CC_OK
                      && cc_name_check(e->app.data, e->app.len, CC_APP_MAX) == CC_OK
                      && e->expires >= 0,
                  "a usable message without id, app or time");
    CC_FUZZ_CHECK(cc_envelope_parse(e->raw.data, e->raw.len, &again) == CC_OK
                      && again.unusable == NULL && again.head_len == e->head_len
                      && again.expires == e->expires && again.receipt == e->receipt,
                  "by itself it is another");
    check_delivery(e);
}

static void check_batch(const char *data, size_t len)
{
    static cc_batch batch;
    size_t i;

    if (cc_batch_parse(&batch, data, len) != CC_OK)
        return;
    CC_FUZZ_CHECK(is_within(batch.cursor, data, len)
                      && cc_name_cursor_check(batch.cursor.data, batch.cursor.len)
                             == CC_OK,
                  "no cursor");
    CC_FUZZ_CHECK(batch.has_gap || batch.gap_count == 0, "a gap of nothing");
    for (i = 0; i < batch.gap_count; i++)
        CC_FUZZ_CHECK(
            cc_name_check(batch.gaps[i].app.data, batch.gaps[i].app.len, CC_APP_MAX)
                    == CC_OK
                && batch.gaps[i].count > 0 && batch.gaps[i].count <= INT64_MAX,
            "a gap of another kind");
    for (i = 0; i < batch.count; i++)
        check_message(&batch.messages[i], data, len);
}

static void check_single(const char *data, size_t len)
{
    cc_envelope envelope;

    if (cc_envelope_parse(data, len, &envelope) == CC_OK)
        check_message(&envelope, data, len);
}

static void check_others(const char *data, size_t len)
{
    cc_slice cursor;
    cc_batch batch;
    char type[64];

    memset(&batch, 0, sizeof(batch));
    if (cc_batch_peek_cursor(data, len, &cursor) == CC_OK)
        CC_FUZZ_CHECK(is_within(cursor, data, len)
                          && cc_name_cursor_check(cursor.data, cursor.len) == CC_OK,
                      "no cursor at the beginning");
    cc_problem_type(data, len, type, sizeof(type));
    CC_FUZZ_CHECK(memchr(type, '\0', sizeof(type)) != NULL, "a type without an end");
    cc_batch_begin(&batch, cc_slice_of("c"));
    cc_batch_add_message(&batch, data, len, NULL);
    cc_batch_add_gap(&batch, data, len);
    cc_batch_add_gap(&batch, data, len);
    CC_FUZZ_CHECK(batch.count == 1 && batch.has_gap, "an event was lost");
    cc_batch_clear(&batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = cc_alloc(size);

    if (size > 0)
        memcpy(copy, data, size);
    check_batch(copy, size);
    check_single(copy, size);
    check_others(copy, size);
    free(copy);
    return 0;
}
