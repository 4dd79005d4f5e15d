/* SPDX-License-Identifier: Apache-2.0
 * cs_send.c - hand an answer to httpd.
 *
 * One brigade for an answer: one bucket and EOS, never a FLUSH. The bytes lie
 * in the request's pool, which outlives their sending, and where a small
 * answer costs no block of memory of its own. What
 * other modules left on the request for a file of the same name (a type, an
 * encoding, a language, a wanted range) is taken off.
 */
#include "cs_compat.h"
#include "cs_send.h"
#include "cs_answer.h"
#include "cs_lifecycle.h"
#include "cs_output.h"
#include "cs_private.h"

#include <apr_buckets.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

APLOG_USE_MODULE(commserver);

static void set_common(request_rec *r, int status)
{
    r->status = status;
    r->status_line = NULL;
    r->content_encoding = NULL;
    r->content_languages = NULL;
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->subprocess_env, "no-gzip", "1");
    apr_table_unset(r->headers_in, "Range");
    if (!cs_state_get(r)->body_read && ap_request_has_body(r))
        r->connection->keepalive = AP_CONN_CLOSE;
}

char *cs_send_buffer(request_rec *r, apr_size_t size)
{
    return apr_palloc(r->pool, size);
}

static int send_body(request_rec *r, int status, const char *type, const char *body,
                     apr_size_t len)
{
    apr_bucket_alloc_t *list = r->connection->bucket_alloc;
    apr_bucket_brigade *brigade = apr_brigade_create(r->pool, list);

    set_common(r, status);
    ap_set_content_type(r, type);
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_pool_create(body, len, r->pool, list));
    APR_BRIGADE_INSERT_TAIL(brigade, apr_bucket_eos_create(list));
    cs_answer_head(r, (apr_off_t)len, brigade);
    return cs_output_pass(r, brigade);
}

int cs_send_json(request_rec *r, int status, char *buffer, apr_size_t len)
{
    return send_body(r, status, "application/json", buffer, len);
}

void cs_send_events_head(request_rec *r)
{
    set_common(r, HTTP_OK);
    ap_set_content_type(r, "text/event-stream");
    apr_table_setn(r->headers_out, "X-Accel-Buffering", "no");
}

int cs_send_events(request_rec *r, apr_bucket_brigade *events)
{
    apr_off_t len = 0;

    cs_send_events_head(r);
    apr_brigade_length(events, 0, &len);
    APR_BRIGADE_INSERT_TAIL(events, apr_bucket_eos_create(r->connection->bucket_alloc));
    cs_answer_head(r, len, events);
    return cs_output_pass(r, events);
}

int cs_send_empty(request_rec *r, int status)
{
    apr_bucket_brigade *brigade = apr_brigade_create(r->pool,
                                                     r->connection->bucket_alloc);

    set_common(r, status);
    return cs_answer_head(r, -1, brigade) ? cs_output_pass(r, brigade) : OK;
}

void cs_send_retry_after(request_rec *r, unsigned least, unsigned spread)
{
    cs_send_number(r, "Retry-After", least + cs_lifecycle_jitter(spread + 1));
}

void cs_send_wait_applied(request_rec *r, apr_int64_t seconds)
{
    char *text = apr_palloc(r->pool, 32);

    memcpy(text, "wait=", 5);
    text[5 + csq_number_format((apr_uint64_t)seconds, text + 5)] = '\0';
    apr_table_setn(r->headers_out, "Preference-Applied", text);
}

void cs_send_number(request_rec *r, const char *field, apr_int64_t value)
{
    char *text = apr_palloc(r->pool, 24);

    text[csq_number_format((apr_uint64_t)value, text)] = '\0';
    apr_table_setn(r->headers_out, field, text);
}

int cs_send_problem(request_rec *r, cs_problem problem, const char *detail)
{
    return cs_send_refusals(r, problem, 0, detail, NULL, 0);
}

int cs_send_refusals(request_rec *r, cs_problem problem, int status, const char *detail,
                     const cs_refusal *refusals, int n)
{
    const cs_problem_row *row = cs_problem_get(problem);
    apr_size_t len;
    char *text = cs_response_problem(problem, status, detail, refusals, n, r->pool, &len);

    if (cs_lifecycle_queue())
        csq_counter_add(cs_lifecycle_queue(), problem, 1);
    if (row->retry_after)
        cs_send_retry_after(r, (unsigned)row->retry_after, (unsigned)row->retry_after);
    return send_body(r, status ? status : row->status, "application/problem+json", text,
                     len);
}

int cs_send_methods(request_rec *r, const char *allow)
{
    apr_table_setn(r->headers_out, "Allow", allow);
    if (r->method_number == M_OPTIONS)
        return cs_send_empty(r, HTTP_NO_CONTENT);
    return cs_send_problem(r, CS_PROBLEM_METHOD,
                           apr_pstrcat(r->pool, "allowed are ", allow, NULL));
}
