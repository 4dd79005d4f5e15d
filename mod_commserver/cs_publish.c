/* SPDX-License-Identifier: Apache-2.0
 * cs_publish.c - handler: POST a message.
 *
 * Everything but the body is judged first and the verdict kept; then the body
 * is read, whatever the verdict, so that the connection can go on; only then
 * is answered. Who waits for "100 Continue" is refused before sending it.
 *
 * With an Idempotency-Key the answer is kept beside the message's id: TTL, the
 * preferences that were applied, a line end, the body. Status and the other
 * fields follow from the request and the id.
 */
#include "cs_compat.h"
#include "cs_body.h"
#include "cs_config.h"
#include "cs_deliver.h"
#include "cs_entry.h"
#include "cs_group.h"
#include "cs_identity.h"
#include "cs_lifecycle.h"
#include "cs_loop.h"
#include "cs_message.h"
#include "cs_park.h"
#include "cs_repeat.h"
#include "cs_request.h"
#include "cs_send.h"
#include "cs_target.h"
#include "cs_trouble.h"

#include <apr_strings.h>

#define REFUSED_MAX 100   /* refusals that are listed                          */

/* Of an answer that is kept, what is not its body.                          */
#define KEPT_FIXED 128

typedef struct publish {
    cs_delivery delivery;
    const char *base;        /* the path before {app}, encoded               */
    const char *name;        /* the receiver in the path                     */
    csq_key one;             /* the same                                     */
    int several;             /* named by ?to=, a group, or everybody         */
    int applied_lenient;     /* it was asked for and means something         */
    const char *key;         /* Idempotency-Key, NULL: none                  */
    cs_repeat *repeat;       /* the same, begun                              */
    apr_array_header_t *refusals; /* of cs_refusal, of a group; NULL: none   */
    apr_pool_t *pool;
    cs_problem problem;      /* found before the body was read               */
    const char *detail;
} publish;

static int set_problem(publish *p, cs_problem problem, const char *detail)
{
    p->problem = problem;
    p->detail = detail;
    return 0;
}

/* ---- before the body --------------------------------------------------- */

static void take_several(publish *p, const apr_array_header_t *to)
{
    csq_key *keys = apr_palloc(p->pool, (apr_size_t)to->nelts * sizeof(*keys));
    const char *detail;
    int i;

    for (i = 0; i < to->nelts; i++) {
        cs_request_receiver(APR_ARRAY_IDX(to, i, const char *), p->pool, &keys[i],
                            &detail);
        keys[i].realm = p->delivery.realm;
    }
    p->several = 1;
    p->delivery.names = (const char *const *)(void *)to->elts;
    p->delivery.keys = keys;
    p->delivery.n = to->nelts;
}

static void take_one(publish *p, const cs_target *target)
{
    p->name = !target->device ? target->client
              : apr_pstrcat(p->pool, target->client, "/", target->device, NULL);
    p->one.realm = p->delivery.realm;
    p->one.client = target->client;
    p->one.device = target->device;
    p->delivery.names = &p->name;
    p->delivery.keys = &p->one;
    p->delivery.n = 1;
}

static int parse_receivers(request_rec *r, const cs_target *target, publish *p)
{
    cs_query query;
    const char *detail;

    if (cs_request_query(r->args, r->pool, &query, &detail) != APR_SUCCESS)
        return set_problem(p, CS_PROBLEM_MALFORMED, detail);
    if ((target->kind == CS_TARGET_SEVERAL) != (query.to != NULL)) {
        return set_problem(
            p, CS_PROBLEM_MALFORMED,
            "receivers are named in the path or by ?to=, in one of the two only");
    }
    p->delivery.message.app = target->app;
    if (query.to) {
        take_several(p, query.to);
    }
    else if (target->kind == CS_TARGET_CLIENT) {
        take_one(p, target);
    }
    else {
        p->several = 1;
        p->delivery.message.group = target->group;
        p->delivery.message.everybody = target->kind == CS_TARGET_ALL;
        p->delivery.message.lenient = 1;
    }
    return 1;
}

static int parse_type(request_rec *r, publish *p)
{
    const char *encoding = apr_table_get(r->headers_in, "Content-Encoding");
    const char *type = apr_table_get(r->headers_in, "Content-Type");

    if (encoding && ap_cstr_casecmp(encoding, "identity")) {
        return set_problem(p, CS_PROBLEM_ENCODING, NULL);
    }
    if (type && (strlen(type) > CSQ_TYPE_MAX || !cs_request_is_text(type))) {
        return set_problem(p, CS_PROBLEM_MALFORMED,
                           "a Content-Type is up to 255 bytes of UTF-8 without control "
                           "characters");
    }
    p->delivery.message.type = type && *type ? type : NULL;
    return 1;
}

static int parse_ttl(request_rec *r, publish *p)
{
    const cs_config_dir *dir = cs_config_dir_get(r);
    const char *field = apr_table_get(r->headers_in, "TTL");
    apr_int64_t seconds = cs_config_ttl(dir);
    const char *detail;

    if (field
        && cs_request_ttl(field, cs_config_max_ttl(dir), &seconds, &detail)
               != APR_SUCCESS)
        return set_problem(p, CS_PROBLEM_MALFORMED, detail);
    p->delivery.message.ttl = (apr_uint32_t)seconds;
    p->delivery.message.now = seconds == 0;
    return 1;
}

static int parse_push_fields(request_rec *r, publish *p)
{
    commserver_message *message = &p->delivery.message;
    const char *urgency = apr_table_get(r->headers_in, "Urgency");
    csq_urgency value = CSQ_NORMAL;
    const char *detail;

    message->topic = apr_table_get(r->headers_in, "Topic");
    if ((message->topic && cs_request_topic(message->topic, &detail) != APR_SUCCESS)
        || (urgency && cs_request_urgency(urgency, &value, &detail) != APR_SUCCESS))
        return set_problem(p, CS_PROBLEM_MALFORMED, detail);
    message->urgency = (commserver_urgency)((int)value - (int)CSQ_NORMAL);
    return 1;
}

static int parse_prefer(request_rec *r, publish *p)
{
    const char *field = apr_table_get(r->headers_in, "Prefer");
    cs_prefer prefer;
    const char *detail;

    if (!field)
        return 1;
    if (cs_request_prefer(field, r->pool, &prefer, &detail) != APR_SUCCESS)
        return set_problem(p, CS_PROBLEM_MALFORMED, detail);
    p->delivery.message.receipt = prefer.async;
    p->applied_lenient = prefer.lenient && p->several;
    if (p->applied_lenient)
        p->delivery.message.lenient = 1;
    return 1;
}

static int parse_key(request_rec *r, publish *p)
{
    const char *field = apr_table_get(r->headers_in, "Idempotency-Key");
    const char *detail;

    if (field
        && cs_request_idempotency_key(field, r->pool, &p->key, &detail) != APR_SUCCESS)
        return set_problem(p, CS_PROBLEM_MALFORMED, detail);
    return 1;
}

static void parse_head(request_rec *r, const cs_target *target, publish *p)
{
    cs_problem problem;

    if (!parse_receivers(r, target, p) || !parse_type(r, p) || !parse_ttl(r, p)
        || !parse_push_fields(r, p) || !parse_prefer(r, p) || !parse_key(r, p))
        return;
    problem = cs_identity_sender(r, &p->delivery.message.sender);
    if (problem != CS_PROBLEM_NONE)
        set_problem(p, problem, NULL);
}

/* ---- who was refused --------------------------------------------------- */

/* Of a group, under its locks. Client "": all from here on. */
static void note_refusal(void *baton, const char *client, apr_status_t status)
{
    publish *p = baton;
    cs_refusal *refusal;

    if (!p->refusals)
        p->refusals = apr_array_make(p->pool, 8, sizeof(cs_refusal));
    if (p->refusals->nelts == REFUSED_MAX)
        return;
    refusal = apr_array_push(p->refusals);
    refusal->client = *client ? apr_pstrdup(p->pool, client) : NULL;
    refusal->problem = cs_problem_of_status(status);
}

/* Of several: from their statuses, where there are some. */
static void collect_refusals(request_rec *r, publish *p)
{
    const cs_delivery *delivery = &p->delivery;
    int i;

    for (i = 0; i < delivery->n && delivery->refused; i++) {
        if (delivery->refused[i] == APR_SUCCESS)
            continue;
        note_refusal(p, delivery->names[i], delivery->refused[i]);
        cs_trouble_status(r, delivery->refused[i]);
    }
}

static void list_refusals(const publish *p, cs_receipt *receipt)
{
    if (!p->refusals)
        return;
    receipt->refused = p->delivery.out.refused;
    receipt->refusals = (cs_refusal *)(void *)p->refusals->elts;
    receipt->n = p->refusals->nelts;
}

static int answer_refused(request_rec *r, publish *p)
{
    cs_receipt list = { .n = 0 };

    collect_refusals(r, p);
    list_refusals(p, &list);
    return cs_send_refusals(r, CS_PROBLEM_REFUSED, 0, "nothing was queued for anybody",
                            list.refusals, list.n);
}

/* ---- it is queued ------------------------------------------------------ */

static const char *preferences_applied(const publish *p)
{
    if (p->delivery.message.receipt)
        return p->applied_lenient ? "respond-async, handling=lenient" : "respond-async";
    return p->applied_lenient ? "handling=lenient" : "";
}

static void tell_location(request_rec *r, const publish *p)
{
    char id[CSQ_ID_TEXT + 1];

    csq_id_format(p->delivery.out.id, id);
    apr_table_setn(r->headers_out, "Location",
                   apr_pstrcat(r->pool, p->base, "/", p->delivery.message.app,
                               "/-/messages/", id, NULL));
}

static int send_created(request_rec *r, const publish *p, const char *ttl,
                        const char *preferences, char *body, apr_size_t len)
{
    tell_location(r, p);
    apr_table_setn(r->headers_out, "TTL", ttl);
    if (*preferences)
        apr_table_setn(r->headers_out, "Preference-Applied", preferences);
    return cs_send_json(r, HTTP_CREATED, body, len);
}

static const char *format_ttl(request_rec *r, const publish *p)
{
    char *text = apr_palloc(r->pool, CSQ_NUMBER_TEXT + 1);

    text[csq_number_format(p->delivery.message.ttl, text)] = '\0';
    return text;
}

static void keep_answer(request_rec *r, const publish *p, const char *ttl,
                        const char *body, apr_size_t len)
{
    const char *head = apr_pstrcat(r->pool, ttl, " ", preferences_applied(p), "\n", NULL);
    apr_size_t head_len = strlen(head);
    char *answer = apr_palloc(r->pool, head_len + len);

    memcpy(answer, head, head_len);
    memcpy(answer + head_len, body, len);
    cs_trouble_status(r, cs_repeat_end(p->repeat, answer, head_len + len));
}

/* The list is cut to what can be kept. */
static int answer_receipt(request_rec *r, publish *p, cs_receipt *receipt)
{
    const char *ttl = format_ttl(r, p);
    apr_size_t len;
    char *buffer;

    receipt->id = p->delivery.out.id;
    while (receipt->n && cs_response_receipt_size(receipt) > CSQ_ANSWER_MAX - KEPT_FIXED)
        receipt->n--;
    buffer = cs_send_buffer(r, cs_response_receipt_size(receipt));
    len = cs_response_receipt(receipt, buffer);
    if (p->repeat)
        keep_answer(r, p, ttl, buffer, len);
    return send_created(r, p, ttl, preferences_applied(p), buffer, len);
}

static int answer_published(request_rec *r, publish *p)
{
    const csq_appended *out = &p->delivery.out;
    cs_receipt receipt = { .several = p->several, .to = out->receivers };

    receipt.state = cs_response_state(out->queues ? CSQ_STATE_QUEUED : CSQ_STATE_DROPPED);
    collect_refusals(r, p);
    list_refusals(p, &receipt);
    return answer_receipt(r, p, &receipt);
}

static int answer_status(request_rec *r, publish *p, apr_status_t rv)
{
    switch (rv) {
    case APR_SUCCESS:
        return answer_published(r, p);
    case APR_EACCES:
        return cs_send_refusals(r, CS_PROBLEM_POLICY, p->delivery.refusal,
                                apr_table_get(r->notes, COMMSERVER_REFUSAL_NOTE), NULL,
                                0);
    case CSQ_REFUSED:
        return answer_refused(r, p);
    case CSQ_TOO_LARGE:
        return cs_send_problem(r, CS_PROBLEM_TOO_LARGE,
                               "as it is stored it is larger than a queue or the segment "
                               "can hold");
    default:
        return cs_trouble_answer(r, rv);
    }
}

/* ---- it may come twice ------------------------------------------------- */

/* @return 0: what is kept is not one of ours. */
static int repeat_answer(request_rec *r, publish *p, const cs_repeat *repeat,
                         int *out_result)
{
    char *end = repeat->answer + repeat->len;
    char *preferences = memchr(repeat->answer, ' ', repeat->len);
    char *body = memchr(repeat->answer, '\n', repeat->len);

    if (!preferences || !body || body < preferences)
        return 0;
    *preferences++ = '\0';
    *body++ = '\0';
    *out_result = send_created(r, p, repeat->answer, preferences, body,
                               (apr_size_t)(end - body));
    return 1;
}

/* Who was at it died before its answer was kept, but it is queued: for some by
 * then, and now for the rest. How many of a group got it is not known any more. */
static int answer_anew(request_rec *r, publish *p)
{
    const commserver_message *message = &p->delivery.message;
    csq_message_key key = { p->delivery.realm, message->app, message->sender, { 0 } };
    cs_receipt receipt = { .state = cs_response_state(CSQ_STATE_QUEUED) };
    csq_message_info info;

    memcpy(key.id, p->delivery.out.id, CSQ_ID_BYTES);
    if (csq_message_get(cs_lifecycle_queue(), &key, 0, NULL, &info) == APR_SUCCESS)
        receipt.state = cs_response_state(info.state);
    receipt.several = p->several && !message->lenient && !message->now;
    receipt.to = (apr_uint32_t)p->delivery.n;
    list_refusals(p, &receipt);
    return answer_receipt(r, p, &receipt);
}

static apr_status_t begin_repeat(request_rec *r, const publish *p, cs_repeat *repeat)
{
    const commserver_message *message = &p->delivery.message;
    cs_repeat_scope scope = { p->delivery.realm, message->sender, r->uri, r->args,
                              p->key };
    cs_repeat_body body = { message->type, message->topic,
                            apr_table_get(r->headers_in, "Urgency"),
                            preferences_applied(p), message->body, message->len };

    return cs_repeat_begin(cs_lifecycle_queue(), &scope, &body, cs_loop_waiter(0),
                           apr_time_from_sec(
                               cs_config_idempotency_window(cs_config_dir_get(r))),
                           apr_time_now(), r->pool, repeat);
}

static int publish_once(request_rec *r, publish *p)
{
    cs_repeat repeat;
    apr_status_t rv;
    int result;

    /* Nobody could tell whether this process is still at it. */
    if (!cs_loop_is_running())
        return cs_send_problem(r, CS_PROBLEM_BUSY, "no key can be remembered now");
    rv = begin_repeat(r, p, &repeat);
    if (rv == CSQ_REPEATED) {
        memcpy(p->delivery.out.id, repeat.id, CSQ_ID_BYTES);
        if (repeat.len && repeat_answer(r, p, &repeat, &result))
            return result;
        return answer_anew(r, p);
    }
    if (rv != APR_SUCCESS)
        return cs_trouble_answer(r, rv);
    p->delivery.id = repeat.id;
    p->delivery.repeat = &repeat.key;
    rv = cs_deliver(r, r->pool, &p->delivery);
    if (rv == APR_SUCCESS)
        p->repeat = &repeat;
    else
        cs_trouble_status(r, cs_repeat_end(&repeat, NULL, 0));
    if (rv == APR_SUCCESS && p->delivery.out.resumed)
        return answer_anew(r, p);
    return answer_status(r, p, rv);
}

/* ---- the handler ------------------------------------------------------- */

static apr_size_t body_limit(request_rec *r)
{
    return (apr_size_t)cs_config_server_get(r->server)->max_message;
}

static int answer_too_large(request_rec *r)
{
    return cs_send_problem(r, CS_PROBLEM_TOO_LARGE,
                           apr_psprintf(r->pool, "a message has at most %" APR_SIZE_T_FMT
                                        " bytes", body_limit(r)));
}

static int publish_body(request_rec *r, void *baton, apr_status_t status,
                        const char *body, apr_size_t len)
{
    publish *p = baton;

    cs_state_get(r)->body_read = status == APR_SUCCESS;
    if (p->problem != CS_PROBLEM_NONE)
        return cs_send_problem(r, p->problem, p->detail);
    if (status == APR_ENOSPC)
        return answer_too_large(r);
    p->delivery.message.body = body;
    p->delivery.message.len = len;
    if (p->key)
        return publish_once(r, p);
    return answer_status(r, p, cs_deliver(r, r->pool, &p->delivery));
}

static int publish_message(request_rec *r, const char *path, const cs_target *target)
{
    publish *p = apr_pcalloc(r->pool, sizeof(*p));

    p->pool = r->pool;
    p->problem = CS_PROBLEM_NONE;
    p->base = ap_os_escape_path(
        r->pool, apr_pstrmemdup(r->pool, r->uri, (apr_size_t)(path - r->uri)), 1);
    p->delivery.realm = cs_config_server_get(r->server)->realm;
    p->delivery.each = note_refusal;
    p->delivery.baton = p;
    parse_head(r, target, p);
    if (p->problem != CS_PROBLEM_NONE && r->expecting_100)
        return cs_send_problem(r, p->problem, p->detail);
    if (p->problem == CS_PROBLEM_NONE && !cs_body_fits(r, body_limit(r)))
        return answer_too_large(r);
    return cs_park_finish(r, cs_body_read(r, body_limit(r), publish_body, p));
}

int cs_publish_handler(request_rec *r)
{
    const char *path, *methods, *detail;
    cs_target target;
    int result, bad;

    if (!cs_entry_check(r, CS_KIND_PUBLISH, &path, &result))
        return result;
    bad = cs_target_parse(path, r->pool, &target, &detail) != APR_SUCCESS;
    methods = cs_entry_methods(r, CS_KIND_PUBLISH);
    if (r->method_number == M_OPTIONS || (!bad && !cs_entry_allows(r, methods)))
        return cs_send_methods(r, methods);
    if (bad)
        return cs_send_problem(r, CS_PROBLEM_MALFORMED, detail);
    switch (target.kind) {
    case CS_TARGET_MESSAGE:
        return cs_message_serve(r, &target);
    case CS_TARGET_MEMBER:
        return cs_group_member(r, &target);
    default:
        return publish_message(r, path, &target);
    }
}
