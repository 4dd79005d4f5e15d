/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cs_publish.c - a request to publish: its path, query and fields are
 * refused with words, or make a message that can be queued, asked for and
 * handed out.
 *
 * Input: a request (fuzz_request.h) below the base of a publish handler. What
 * the handler does with it, less httpd.
 */
#include "cs_compat.h"

#include <apr_strings.h>
#include <json.h>

#include "cs_repeat.h"
#include "cs_request.h"
#include "cs_response.h"
#include "cs_target.h"

#include "fuzz_pool.h"
#include "fuzz_request.h"
#include "fuzz_segment.h"

#define REALM "realm"

static apr_pool_t *pool;

static const char *field(const fuzz_request *request, const char *name)
{
    return apr_table_get(request->fields, name);
}

/* ---- what is asked --------------------------------------------------------- */

typedef struct publish {
    cs_target target;
    cs_query query;
    cs_prefer prefer;
    csq_message message;
    csq_key keys[CS_TO_MAX];
    int n;
    const char *key;
} publish;

static int is_text(const char *name)
{
    return name == NULL || csq_text_check(name, strlen(name)) == APR_SUCCESS;
}

/* The same names in one path again. */
static void check_target(const cs_target *target)
{
    const char *path = apr_pstrcat(pool, "/", target->app, NULL), *detail;
    char id[CSQ_ID_TEXT + 1];
    cs_target again;

    csq_id_format(target->id, id);
    switch (target->kind) {
    case CS_TARGET_CLIENT:
        path = apr_pstrcat(pool, path, "/", target->client, target->device ? "/" : NULL,
                           target->device, NULL);
        break;
    case CS_TARGET_ALL:
        path = apr_pstrcat(pool, path, "/-/all", NULL);
        break;
    case CS_TARGET_GROUP:
    case CS_TARGET_MEMBER:
        path = apr_pstrcat(pool, path, "/-/groups/", target->group,
                           target->client ? "/" : NULL, target->client, NULL);
        break;
    case CS_TARGET_MESSAGE:
        path = apr_pstrcat(pool, path, "/-/messages/", id, NULL);
        break;
    default:
        break;
    }
    FUZZ_CHECK(cs_target_parse(path, pool, &again, &detail) == APR_SUCCESS);
    FUZZ_CHECK(again.kind == target->kind && memcmp(again.id, target->id, 16) == 0);
    FUZZ_CHECK(is_text(target->app) && is_text(target->client));
    FUZZ_CHECK(is_text(target->device) && is_text(target->group));
    FUZZ_CHECK(*cs_target_methods(target->kind) != '\0');
}

static int take_receivers(publish *p)
{
    const char *detail = NULL;
    int i;

    if (p->query.to == NULL) {
        p->keys[0] = (csq_key){ REALM, p->target.client, p->target.device };
        p->n = p->target.kind == CS_TARGET_CLIENT;
        return 1;
    }
    FUZZ_CHECK(p->query.to->nelts > 0 && p->query.to->nelts <= CS_TO_MAX);
    for (i = 0; i < p->query.to->nelts; i++) {
        FUZZ_CHECK(cs_request_receiver(APR_ARRAY_IDX(p->query.to, i, const char *), pool,
                                       &p->keys[i], &detail)
                   == APR_SUCCESS);
        p->keys[i].realm = REALM;
    }
    p->n = i;
    return 1;
}

static int take_type(const fuzz_request *request, publish *p)
{
    const char *type = field(request, "Content-Type");

    if (type != NULL && (strlen(type) > CSQ_TYPE_MAX || !cs_request_is_text(type))) {
        return 0;
    }
    p->message.type = type != NULL && *type != '\0' ? type : NULL;
    return 1;
}

/* @return 0: refused, with words */
static int take_fields(const fuzz_request *request, publish *p, const char **detail)
{
    const char *ttl = field(request, "TTL"), *urgency = field(request, "Urgency");
    const char *key = field(request, "Idempotency-Key");
    apr_int64_t seconds = 3600;

    p->message.topic = field(request, "Topic");
    if ((ttl != NULL && cs_request_ttl(ttl, 30 * 86400, &seconds, detail) != APR_SUCCESS)
        || (p->message.topic != NULL
            && cs_request_topic(p->message.topic, detail) != APR_SUCCESS)
        || (urgency != NULL
            && cs_request_urgency(urgency, &p->message.urgency, detail) != APR_SUCCESS)
        || cs_request_prefer(field(request, "Prefer"), pool, &p->prefer, detail)
               != APR_SUCCESS
        || (key != NULL
            && cs_request_idempotency_key(key, pool, &p->key, detail) != APR_SUCCESS)) {
        return 0;
    }
    FUZZ_CHECK(seconds >= 0 && seconds <= 30 * 86400);
    p->message.time = fx.now;
    p->message.expires = fx.now + seconds * SECOND;
    p->message.receipt = p->prefer.async;
    p->message.lenient = p->prefer.lenient;
    return 1;
}

static int take_request(const fuzz_request *request, publish *p, const char **detail)
{
    if (cs_target_parse(request->path, pool, &p->target, detail) != APR_SUCCESS) {
        return 0;
    }
    check_target(&p->target);
    if (cs_request_query(request->query, pool, &p->query, detail) != APR_SUCCESS) {
        return 0;
    }
    *detail = "of the target";
    if ((p->target.kind == CS_TARGET_SEVERAL) != (p->query.to != NULL)) {
        return 0;
    }
    p->message.urgency = CSQ_NORMAL;
    if (!take_receivers(p) || !take_type(request, p)) {
        return 0;
    }
    *detail = NULL;
    return take_fields(request, p, detail);
}

/* ---- what comes of it --------------------------------------------------------- */

static json_object *member(json_object *object, const char *name)
{
    json_object *value = NULL;

    json_object_object_get_ex(object, name, &value);
    return value;
}

static void check_member(json_object *object, const char *name, const char *wanted)
{
    json_object *value = member(object, name);

    if (wanted == NULL) {
        FUZZ_CHECK(value == NULL);
        return;
    }
    FUZZ_CHECK(json_object_is_type(value, json_type_string));
    FUZZ_CHECK(strcmp(json_object_get_string(value), wanted) == 0);
}

static void check_json(const char *text, apr_size_t len)
{
    char *copy = apr_pstrmemdup(pool, text, len);
    json_object *object = json_tokener_parse(copy);

    FUZZ_CHECK(json_object_is_type(object, json_type_object));
    json_object_put(object);
}

static json_object *read_one(const csq_key *key)
{
    csq_fetch what = { .max_messages = 1000, .max_bytes = 1 << 30, .peek = 1 };
    apr_status_t rv = csq_fetch_batch(fx.q, key, &what, fx.now, fx.batch);
    json_object *batch;
    char *text;

    if (rv != APR_SUCCESS) {
        return NULL;
    }
    text = fuzz_segment_answer();
    batch = json_tokener_parse(text);
    free(text);
    FUZZ_CHECK(json_object_is_type(batch, json_type_object));
    return batch;
}

/* Who reads it gets what was said, of the message with this id. */
static void check_handed_out(const publish *p, const csq_appended *appended)
{
    char id[CSQ_ID_TEXT + 1];
    json_object *batch = read_one(&p->keys[0]);
    json_object *messages = batch != NULL ? member(batch, "messages") : NULL, *one = NULL;
    size_t i;

    csq_id_format(appended->id, id);
    for (i = 0; messages != NULL && i < json_object_array_length(messages); i++) {
        json_object *other = json_object_array_get_idx(messages, i);

        if (strcmp(json_object_get_string(member(other, "id")), id) == 0) {
            one = other;
        }
    }
    /* A client with several devices may have it in another queue. */
    if (one != NULL) {
        check_member(one, "app", p->target.app);
        check_member(one, "from", "tester");
        check_member(one, "type", p->message.type);
        check_member(one, "topic", p->message.topic);
        FUZZ_CHECK(json_object_get_int64(member(one, "length"))
                   == (int64_t)p->message.len);
        FUZZ_CHECK(p->message.encoding == CSQ_JSON
                   || json_object_is_type(member(one, "data"), json_type_string));
    }
    json_object_put(batch);
}

static void check_asked(const publish *p, const csq_appended *appended)
{
    csq_message_key key = { REALM, p->target.app, "tester", { 0 } };
    csq_message_info info;
    char text[CS_MESSAGE_TEXT];
    apr_status_t rv;

    memcpy(key.id, appended->id, CSQ_ID_BYTES);
    rv = csq_message_get(fx.q, &key, 0, NULL, &info);
    FUZZ_CHECK(rv == APR_SUCCESS || rv == CSQ_EMPTY);
    if (rv == APR_SUCCESS) {
        check_json(text, cs_response_message(key.id, &info, text));
        rv = csq_message_withdraw(fx.q, &key, &info);
        FUZZ_CHECK(rv == APR_SUCCESS || rv == CSQ_FINISHED);
    }
}

/* The answer, as large as it says that it will be. */
static void check_answer(const publish *p, const csq_appended *appended,
                         const apr_status_t *statuses)
{
    cs_refusal refusals[CS_TO_MAX];
    cs_receipt receipt = { .id = appended->id,
                           .state = cs_response_state(CSQ_STATE_QUEUED),
                           .several = p->query.to != NULL,
                           .to = appended->receivers,
                           .refused = appended->refused,
                           .refusals = refusals };
    apr_size_t len, room;
    char *out;
    int i;

    for (i = 0; i < p->n; i++) {
        if (statuses[i] != APR_SUCCESS) {
            refusals[receipt.n].client = p->keys[i].client;
            refusals[receipt.n++].problem = cs_problem_of_status(statuses[i]);
        }
    }
    room = cs_response_receipt_size(&receipt);
    out = malloc(room);
    len = cs_response_receipt(&receipt, out);
    FUZZ_CHECK(len <= room);
    check_json(out, len);
    free(out);
    out = cs_response_problem(CS_PROBLEM_MALFORMED, 0, p->message.type, refusals,
                              receipt.n, pool, &len);
    check_json(out, len);
}

static int is_allowed(apr_status_t rv)
{
    return rv == APR_SUCCESS || rv == CSQ_REFUSED || rv == CSQ_QUEUE_FULL
           || rv == CSQ_CLIENTS_FULL || rv == CSQ_DEVICES_FULL || rv == CSQ_SEGMENT_FULL
           || rv == CSQ_TOO_LARGE;
}

static void append_it(const publish *p)
{
    apr_status_t statuses[CS_TO_MAX] = { APR_SUCCESS }, rv;
    csq_appended appended = { .queues = 0 };

    if (p->n == 0) {
        rv = csq_append_group(fx.q, &p->message, p->target.group, fx.now, NULL, NULL,
                              &appended);
        FUZZ_CHECK(is_allowed(rv));
        return;
    }
    rv = csq_append(fx.q, &p->message, p->keys, p->n, fx.now, statuses, &appended);
    FUZZ_CHECK(is_allowed(rv));
    check_answer(p, &appended, statuses);
    if (rv == APR_SUCCESS) {
        check_handed_out(p, &appended);
        check_asked(p, &appended);
    }
}

/* Twice with one key: once. */
static void append_once(const fuzz_request *request, publish *p)
{
    cs_repeat_scope scope = { REALM, "tester", request->path, request->query, p->key };
    cs_repeat_body body = {
        p->message.type, p->message.topic, field(request, "Urgency"), "",
        request->body,   request->len
    };
    csq_waiter owner = csq_waiter_make(everything_slot(), 1);
    cs_repeat repeat;
    apr_status_t rv =
        cs_repeat_begin(fx.q, &scope, &body, owner, 3600 * SECOND, fx.now, pool, &repeat);

    FUZZ_CHECK(rv == APR_SUCCESS);
    p->message.id = repeat.id;
    append_it(p);
    FUZZ_CHECK(cs_repeat_end(&repeat, "answer", 6) == APR_SUCCESS);
    rv =
        cs_repeat_begin(fx.q, &scope, &body, owner, 3600 * SECOND, fx.now, pool, &repeat);
    FUZZ_CHECK(rv == CSQ_REPEATED);
    FUZZ_CHECK(repeat.len == 6 && memcmp(repeat.answer, "answer", 6) == 0);
}

static void change_member(const publish *p)
{
    csq_key key = { REALM, p->target.client, NULL };
    const char *text;
    apr_size_t len;
    int changed;

    FUZZ_CHECK(csq_group_add(fx.q, &key, p->target.app, p->target.group, fx.now, &changed)
               == APR_SUCCESS);
    FUZZ_CHECK(changed);
    text = cs_response_member(p->target.group, p->target.client, pool, &len);
    check_json(text, len);
    FUZZ_CHECK(
        csq_group_remove(fx.q, &key, p->target.app, p->target.group, fx.now, &changed)
        == APR_SUCCESS);
    FUZZ_CHECK(changed);
}

static void publish_it(const fuzz_request *request, publish *p)
{
    if (p->target.kind == CS_TARGET_MEMBER) {
        change_member(p);
        return;
    }
    if (p->target.kind == CS_TARGET_MESSAGE
        || csq_payload_encode(p->message.type, request->body, request->len, pool,
                              &p->message.encoding, &p->message.data, &p->message.len)
               != APR_SUCCESS) {
        return;
    }
    p->message.realm = REALM;
    p->message.app = p->target.app;
    p->message.sender = "tester";
    if (p->key != NULL) {
        append_once(request, p);
    }
    else {
        append_it(p);
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
    publish p = { .n = 0 };
    const char *detail = NULL;

    pool = fuzz_pool_begin();
    fuzz_segment_reset();
    fuzz_request_parse(&input, pool, &request);
    if (request.path != NULL) {
        if (take_request(&request, &p, &detail)) {
            publish_it(&request, &p);
            fuzz_segment_audit();
        }
        else {
            FUZZ_CHECK(detail != NULL || field(&request, "Content-Type") != NULL);
        }
    }
    fuzz_pool_end();
    return 0;
}
