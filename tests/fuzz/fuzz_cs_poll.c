/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cs_poll.c - a request to poll: its query, fields and cursor are refused
 * with words, or read and acknowledge, and the answer is JSON.
 *
 * Input: a request (fuzz_request.h); its path names the client that asks.
 * "CURSOR" in the query or in Last-Event-ID is a cursor that was given.
 */
#include "cs_compat.h"

#include <apr_strings.h>
#include <json.h>

#include "cs_request.h"
#include "cs_response.h"

#include "fuzz_pool.h"
#include "fuzz_request.h"
#include "fuzz_segment.h"

#define CURSOR "CURSOR"

static apr_pool_t *pool;

typedef struct poll {
    csq_key key;
    cs_query query;
    cs_prefer prefer;
    csq_cursor after;
    csq_fetch fetch;
    apr_array_header_t *ids;
    int stream;
} poll;

static const char *field(const fuzz_request *request, const char *name)
{
    return apr_table_get(request->fields, name);
}

static const char *given_cursor(const csq_key *key)
{
    csq_fetch what = { .max_messages = 2, .max_bytes = 1 << 20 };
    char *text = apr_palloc(pool, CSQ_CURSOR_TEXT);
    csq_cursor cursor;

    csq_fetch_batch(fx.q, key, &what, fx.now, fx.batch);
    cursor = csq_batch_cursor(fx.batch);
    csq_cursor_format(&cursor, text);
    return text;
}

static int take_cursor(const fuzz_request *request, poll *p, const char **detail)
{
    const char *text = field(request, "Last-Event-ID");

    text = text != NULL ? text : p->query.after;
    if (text == NULL) {
        return 1;
    }
    if (strcmp(text, CURSOR) == 0) {
        text = given_cursor(&p->key);
    }
    *detail = "of the cursor";
    p->fetch.after = &p->after;
    return csq_cursor_parse(text, strlen(text), &p->after) == APR_SUCCESS;
}

static int take_request(const fuzz_request *request, poll *p, const char **detail)
{
    const char *urgency = field(request, "Urgency");
    const char *ids = field(request, "Comm-Acknowledged");

    if (cs_request_query(request->query, pool, &p->query, detail) != APR_SUCCESS
        || cs_request_prefer(field(request, "Prefer"), pool, &p->prefer, detail)
               != APR_SUCCESS
        || (urgency != NULL
            && cs_request_urgency(urgency, &p->fetch.urgency, detail) != APR_SUCCESS)
        || (ids != NULL && cs_request_ids(ids, pool, &p->ids, detail) != APR_SUCCESS)) {
        return 0;
    }
    p->key.device = p->query.device;
    if (!take_cursor(request, p, detail)) {
        return 0;
    }
    FUZZ_CHECK(p->query.max != 0 && p->query.wait >= -1 && p->query.changes >= -1);
    FUZZ_CHECK(p->query.changes <= APR_UINT32_MAX && p->prefer.wait >= -1);
    FUZZ_CHECK(p->ids == NULL || (p->ids->nelts >= 1 && p->ids->nelts <= CS_IDS_MAX));
    p->fetch.acknowledge = p->fetch.after != NULL && field(request, "Get") == NULL;
    p->fetch.max_messages = p->query.max < 0 || p->query.max > APR_UINT32_MAX
                                ? APR_UINT32_MAX
                                : (apr_uint32_t)p->query.max;
    p->fetch.max_messages = p->prefer.minimal ? 0 : p->fetch.max_messages;
    p->fetch.max_bytes = 4096;
    p->fetch.waiter =
        p->query.wait > 0 ? csq_waiter_make(everything_slot(), (apr_uint32_t)7) : 0;
    p->stream = cs_request_prefers_stream(field(request, "Accept"));
    return 1;
}

static void acknowledge_ids(const poll *p)
{
    if (p->ids != NULL) {
        FUZZ_CHECK(csq_message_acknowledged(
                       fx.q, "realm",
                       (const unsigned char(*)[CSQ_ID_BYTES])(const void *)p->ids->elts,
                       p->ids->nelts)
                   == APR_SUCCESS);
    }
}

/* It is JSON, and its cursor is one of ours. */
static void check_answer(void)
{
    char *text = fuzz_segment_answer();
    json_object *batch = json_tokener_parse(text), *cursor = NULL;
    csq_cursor parsed;

    FUZZ_CHECK(json_object_is_type(batch, json_type_object));
    FUZZ_CHECK(json_object_object_get_ex(batch, "cursor", &cursor));
    FUZZ_CHECK(csq_cursor_parse(json_object_get_string(cursor),
                                (apr_size_t)json_object_get_string_len(cursor), &parsed)
               == APR_SUCCESS);
    json_object_put(batch);
    free(text);
}

static void run(poll *p)
{
    apr_status_t rv;

    acknowledge_ids(p);
    rv = csq_fetch_batch(fx.q, &p->key, &p->fetch, fx.now, fx.batch);
    FUZZ_CHECK(rv == APR_SUCCESS || rv == CSQ_EMPTY || rv == CSQ_DEVICES_FULL
               || rv == CSQ_CLIENTS_FULL);
    if (rv == APR_SUCCESS) {
        FUZZ_CHECK(csq_batch_count(fx.batch) <= p->fetch.max_messages);
        check_answer();
        /* The client comes back with what it was given. */
        p->after = csq_batch_cursor(fx.batch);
        p->fetch.after = &p->after;
        p->fetch.acknowledge = 1;
        rv = csq_fetch_batch(fx.q, &p->key, &p->fetch, fx.now, fx.batch);
        FUZZ_CHECK(rv == APR_SUCCESS || rv == CSQ_EMPTY);
    }
    if (p->fetch.waiter != 0) {
        csq_waiter_remove(fx.q, &p->key, p->fetch.waiter);
    }
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_segment_make();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = { data, size };
    fuzz_request request;
    poll p = { .stream = 0 };
    const char *detail = NULL;

    pool = fuzz_pool_begin();
    fuzz_segment_reset();
    fuzz_request_parse(&input, pool, &request);
    p.key = (csq_key){ "realm", request.path, NULL };
    if (request.path != NULL
        && csq_client_check(request.path, strlen(request.path)) == APR_SUCCESS) {
        if (take_request(&request, &p, &detail)) {
            run(&p);
            fuzz_segment_audit();
        }
        else {
            FUZZ_CHECK(detail != NULL);
        }
    }
    fuzz_pool_end();
    return 0;
}
