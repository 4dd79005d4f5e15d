/* SPDX-License-Identifier: Apache-2.0
 * cs_publish.c - handler: POST a message.
 *
 * Everything but the body is judged first and the verdict kept; then the body
 * is read, whatever the verdict, so that the connection can go on; only then
 * is answered. Who waits for "100 Continue" is refused before sending it.
 */
#include "cs_compat.h"
#include "cs_body.h"
#include "cs_config.h"
#include "cs_deliver.h"
#include "cs_entry.h"
#include "cs_identity.h"
#include "cs_park.h"
#include "cs_request.h"
#include "cs_send.h"
#include "cs_target.h"
#include "cs_trouble.h"

#include <apr_strings.h>

typedef struct publish {
    cs_delivery delivery;
    const char *client;      /* the one in the path                          */
    int several;             /* named by ?to=                                */
    cs_problem problem;      /* found before the body was read               */
    const char *detail;
} publish;

static void set_problem(publish *p, cs_problem problem, const char *detail)
{
    p->problem = problem;
    p->detail = detail;
}

/* ---- before the body --------------------------------------------------- */

static int parse_receivers(request_rec *r, const cs_target *target, publish *p)
{
    cs_query query;
    const char *detail;

    if (cs_request_query(r->args, r->pool, &query, &detail) != APR_SUCCESS) {
        set_problem(p, CS_PROBLEM_MALFORMED, detail);
        return 0;
    }
    if ((target->kind == CS_TARGET_SEVERAL) != (query.to != NULL)) {
        set_problem(p, CS_PROBLEM_MALFORMED,
                    "receivers are named in the path or by ?to=, in one of the two only");
        return 0;
    }
    p->delivery.message.app = target->app;
    p->client = target->client;
    p->several = query.to != NULL;
    p->delivery.clients = query.to ? (const char *const *)(void *)query.to->elts
                                   : &p->client;
    p->delivery.n = query.to ? query.to->nelts : 1;
    return 1;
}

static int parse_type(request_rec *r, publish *p)
{
    const char *encoding = apr_table_get(r->headers_in, "Content-Encoding");
    const char *type = apr_table_get(r->headers_in, "Content-Type");

    if (encoding && ap_cstr_casecmp(encoding, "identity")) {
        set_problem(p, CS_PROBLEM_ENCODING, NULL);
        return 0;
    }
    if (type && (strlen(type) > CSQ_TYPE_MAX || !cs_request_is_text(type))) {
        set_problem(p, CS_PROBLEM_MALFORMED,
                    "a Content-Type is up to 255 bytes of UTF-8 without control "
                    "characters");
        return 0;
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
               != APR_SUCCESS) {
        set_problem(p, CS_PROBLEM_MALFORMED, detail);
        return 0;
    }
    p->delivery.message.ttl = (apr_uint32_t)seconds;
    return 1;
}

static void parse_head(request_rec *r, const cs_target *target, publish *p)
{
    cs_problem problem;

    p->delivery.realm = cs_config_server_get(r->server)->realm;
    if (!parse_receivers(r, target, p) || !parse_type(r, p) || !parse_ttl(r, p))
        return;
    problem = cs_identity_sender(r, &p->delivery.message.sender);
    if (problem != CS_PROBLEM_NONE)
        set_problem(p, problem, NULL);
}

/* ---- after it ---------------------------------------------------------- */

static int answer_receipt(request_rec *r, const publish *p)
{
    char *buffer = cs_send_buffer(r, CS_RECEIPT_TEXT);
    apr_size_t len = cs_response_receipt(p->delivery.id,
                                         p->several ? p->delivery.n : 0, buffer);

    cs_send_number(r, "TTL", p->delivery.message.ttl);
    return cs_send_json(r, HTTP_CREATED, buffer, len);
}

static int answer_refused(request_rec *r, const publish *p)
{
    const cs_delivery *delivery = &p->delivery;
    cs_refusal *refusals = apr_palloc(r->pool,
                                      (apr_size_t)delivery->n * sizeof(*refusals));
    int i, n = 0;

    for (i = 0; i < delivery->n; i++) {
        if (delivery->refused[i] == APR_SUCCESS)
            continue;
        refusals[n].client = delivery->clients[i];
        refusals[n++].problem = cs_problem_of_status(delivery->refused[i]);
        cs_trouble_status(r, delivery->refused[i]);
    }
    return cs_send_refusals(r, CS_PROBLEM_REFUSED, 0, "nothing was queued for anybody",
                            refusals, n);
}

static int answer_status(request_rec *r, const publish *p, apr_status_t rv)
{
    switch (rv) {
    case APR_SUCCESS:
        return answer_receipt(r, p);
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
    return answer_status(r, p, cs_deliver(r, r->pool, &p->delivery));
}

static int publish_message(request_rec *r, const cs_target *target)
{
    publish *p = apr_pcalloc(r->pool, sizeof(*p));

    p->problem = CS_PROBLEM_NONE;
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
    int result;

    if (!cs_entry_check(r, CS_KIND_PUBLISH, &path, &result))
        return result;
    methods = cs_entry_methods(r, CS_KIND_PUBLISH);
    if (!cs_entry_allows(r, methods))
        return cs_send_methods(r, methods);
    if (cs_target_parse(path, r->pool, &target, &detail) != APR_SUCCESS)
        return cs_send_problem(r, CS_PROBLEM_MALFORMED, detail);
    switch (target.kind) {
    case CS_TARGET_SEVERAL:
    case CS_TARGET_CLIENT:
        return publish_message(r, &target);
    default:
        return cs_send_problem(r, CS_PROBLEM_MALFORMED, "no message is published to it");
    }
}
