/* SPDX-License-Identifier: Apache-2.0
 * cs_poll.c - handler: (long) poll.
 *
 * GET reads, POST acknowledges first; then both answer with what there is, or
 * are held by cs_wait until there is something. The waiter is registered by
 * the same fetch that found nothing, so that no message can slip between.
 * Once registered it has to be taken off again on every way out, which
 * answer_held() and gone_held() do.
 */
#include "cs_compat.h"
#include "cs_body.h"
#include "cs_config.h"
#include "cs_entry.h"
#include "cs_identity.h"
#include "cs_lifecycle.h"
#include "cs_poll.h"
#include "cs_request.h"
#include "cs_send.h"
#include "cs_trouble.h"

#include <apr_strings.h>
#include <http_protocol.h>

/* A body of a poll means nothing; it is read if it is small.                */
#define BODY_LIMIT 65536

/* ---- parsing ----------------------------------------------------------- */

static int parse_cursor(request_rec *r, const cs_query *query, cs_poll_request *poll,
                        const char **out_detail)
{
    const char *text = apr_table_get(r->headers_in, "Last-Event-ID");

    if (!text)
        text = query->after;
    if (!text)
        return 1;
    if (csq_cursor_parse(text, strlen(text), &poll->after) != APR_SUCCESS) {
        *out_detail = "the cursor is not one that this server gives";
        return 0;
    }
    poll->fetch.after = &poll->after;
    return 1;
}

static int parse_urgency(request_rec *r, cs_poll_request *poll, const char **out_detail)
{
    const char *field = apr_table_get(r->headers_in, "Urgency");

    poll->fetch.urgency = CSQ_VERY_LOW;
    return !field
           || cs_request_urgency(field, &poll->fetch.urgency, out_detail) == APR_SUCCESS;
}

static int parse_acknowledged(request_rec *r, cs_poll_request *poll,
                              const char **out_detail)
{
    const char *field = apr_table_get(r->headers_in, "Comm-Acknowledged");

    if (!field)
        return 1;
    if (r->method_number != M_POST) {
        *out_detail = "Comm-Acknowledged goes with POST: GET changes nothing";
        return 0;
    }
    return cs_request_ids(field, r->pool, &poll->acknowledged, out_detail) == APR_SUCCESS;
}

static int parse_poll(request_rec *r, cs_poll_request *poll, const char **out_detail)
{
    const cs_config_dir *dir = cs_config_dir_get(r);
    cs_query query;
    cs_prefer prefer;

    if (cs_request_query(r->args, r->pool, &query, out_detail) != APR_SUCCESS
        || cs_request_prefer(apr_table_get(r->headers_in, "Prefer"), r->pool, &prefer,
                             out_detail) != APR_SUCCESS
        || !parse_cursor(r, &query, poll, out_detail)
        || !parse_urgency(r, poll, out_detail)
        || !parse_acknowledged(r, poll, out_detail))
        return 0;
    poll->key.device = query.device;
    poll->wait = prefer.wait >= 0 ? prefer.wait : query.wait;
    if (poll->wait > cs_config_max_wait(dir))
        poll->wait = cs_config_max_wait(dir);
    poll->fetch.max_messages = query.max < 0 || query.max > APR_UINT32_MAX
                                   ? APR_UINT32_MAX : (apr_uint32_t)query.max;
    poll->fetch.max_bytes = cs_config_max_batch(dir);
    if (r->header_only) {
        poll->fetch.peek = 1;
        poll->wait = -1;
    }
    if (r->method_number == M_POST) {
        poll->fetch.acknowledge = poll->fetch.after != NULL;
        if (prefer.minimal) {
            poll->minimal = 1;
            poll->fetch.max_messages = 0;
            poll->wait = -1;
        }
    }
    poll->named_events = query.named_events;
    poll->stream = !r->header_only && !poll->minimal
                   && cs_request_prefers_stream(apr_table_get(r->headers_in, "Accept"));
    return 1;
}

/* ---- answers ----------------------------------------------------------- */

static void tell_preferences(request_rec *r, const cs_poll_request *poll)
{
    if (poll->minimal)
        apr_table_setn(r->headers_out, "Preference-Applied", "return=minimal");
    else if (poll->wait >= 0)
        cs_send_wait_applied(r, poll->wait);
}

static int answer_batch(request_rec *r, const cs_poll_request *poll,
                        const csq_batch *batch)
{
    char *buffer = cs_send_buffer(r, cs_response_batch_size(batch));

    tell_preferences(r, poll);
    return cs_send_json(r, HTTP_OK, buffer, cs_response_batch(batch, buffer));
}

static int answer_empty(request_rec *r, const cs_poll_request *poll)
{
    char *text = apr_palloc(r->pool, CSQ_CURSOR_TEXT);

    csq_cursor_format(&poll->stand, text);
    apr_table_setn(r->headers_out, "Comm-Cursor", text);
    apr_table_setn(r->subprocess_env, "commserver-empty", "1");
    return cs_send_empty(r, HTTP_NO_CONTENT);
}

/* Nothing, and no place to wait for more: the client is to come back.       */
static int answer_unheld(request_rec *r, cs_poll_request *poll)
{
    cs_send_retry_after(r, CS_WAIT_RETRY_AFTER, CS_WAIT_RETRY_SPREAD);
    poll->wait = 0;
    tell_preferences(r, poll);
    return answer_empty(r, poll);
}

static int answer_stopping(request_rec *r, const cs_poll_request *poll)
{
    r->connection->keepalive = AP_CONN_CLOSE;
    cs_send_retry_after(r, CS_WAIT_RETRY_AFTER, CS_WAIT_RETRY_SPREAD);
    return answer_empty(r, poll);
}

/* ---- held -------------------------------------------------------------- */

static int may_retry(const cs_poll_request *poll, cs_wait_reason reason)
{
    return cs_wait_may_retry(reason, poll->began + apr_time_from_sec(poll->wait));
}

static apr_status_t wait_no_more(const cs_poll_request *poll)
{
    return csq_waiter_remove(cs_lifecycle_queue(), &poll->key, poll->fetch.waiter);
}

static int answer_held(request_rec *r, void *baton, cs_wait_reason reason)
{
    cs_poll_request *poll = baton;
    csq_batch *batch = cs_lifecycle_batch();
    apr_status_t rv;

    if (reason == CS_WAIT_STOPPING) {
        wait_no_more(poll);
        cs_wait_note(r, poll->began);
        return answer_stopping(r, poll);
    }
    rv = csq_fetch_batch(cs_lifecycle_queue(), &poll->key, &poll->fetch, apr_time_now(),
                         batch);
    if (reason == CS_WAIT_RUNG && rv == CSQ_EMPTY)
        return CS_WAIT_AGAIN;
    cs_wait_note(r, poll->began);
    if (rv == APR_SUCCESS)
        return answer_batch(r, poll, batch);
    if (rv == CSQ_EMPTY) {
        poll->stand = csq_batch_cursor(batch);
        rv = wait_no_more(poll);
    }
    else if (rv != CSQ_REPLACED && rv != CSQ_BUSY)
        wait_no_more(poll);
    if (rv == CSQ_BUSY && may_retry(poll, reason))
        return CS_WAIT_RETRY;
    if (rv != APR_SUCCESS)
        return cs_trouble_answer(r, rv);
    tell_preferences(r, poll);
    return answer_empty(r, poll);
}

static int gone_held(request_rec *r, void *baton)
{
    const cs_poll_request *poll = baton;

    cs_wait_note(r, poll->began);
    return wait_no_more(poll) == CSQ_BUSY ? CS_WAIT_RETRY : OK;
}

static const cs_wait_ops held = { answer_held, gone_held };

/* ---- the handler ------------------------------------------------------- */

/* @return what preparing to wait came to; APR_ENOTIMPL: it is not asked for. */
static apr_status_t prepare(request_rec *r, cs_poll_request *poll)
{
    apr_status_t rv;

    if (poll->wait <= 0)
        return APR_ENOTIMPL;
    rv = cs_wait_prepare(r, &held, poll, &poll->hold);
    if (rv == APR_SUCCESS)
        poll->fetch.waiter = cs_wait_waiter(poll->hold);
    return rv;
}

static int serve(request_rec *r, cs_poll_request *poll)
{
    csq_batch *batch = cs_lifecycle_batch();
    apr_status_t waiting = prepare(r, poll);
    apr_status_t rv;

    poll->began = apr_time_now();
    rv = csq_fetch_batch(cs_lifecycle_queue(), &poll->key, &poll->fetch, poll->began,
                         batch);
    if (rv != CSQ_EMPTY && waiting == APR_SUCCESS)
        cs_wait_cancel(poll->hold);
    cs_lifecycle_upkeep(poll->began);
    if (rv == APR_SUCCESS && !poll->minimal)
        return answer_batch(r, poll, batch);
    if (rv != CSQ_EMPTY && rv != APR_SUCCESS)
        return cs_trouble_answer(r, rv);
    poll->stand = csq_batch_cursor(batch);
    switch (waiting) {
    case APR_SUCCESS:
        poll->fetch.acknowledge = 0;
        poll->fetch.resume = 1;
        return cs_wait_hold(poll->hold, poll->began + apr_time_from_sec(poll->wait));
    case APR_EAGAIN:
        cs_trouble_blocking(r);
        return answer_unheld(r, poll);
    case APR_ENOSPC:
        cs_trouble_parked(r);
        return cs_send_problem(r, CS_PROBLEM_BUSY, "as many polls are held as may be");
    case APR_ECONNRESET:
        return answer_stopping(r, poll);
    default:
        tell_preferences(r, poll);
        return answer_empty(r, poll);
    }
}

static int answer_long_body(request_rec *r)
{
    return cs_send_problem(r, CS_PROBLEM_TOO_LARGE, "a poll needs no body");
}

static int read_done(request_rec *r, cs_poll_request *poll)
{
    apr_status_t rv = APR_SUCCESS;

    cs_state_get(r)->body_read = 1;
    if (poll->acknowledged)
        rv = csq_message_acknowledged(cs_lifecycle_queue(), poll->key.realm,
                                      (const cs_id *)(void *)poll->acknowledged->elts,
                                      poll->acknowledged->nelts);
    if (rv != APR_SUCCESS)
        return cs_trouble_answer(r, rv);
    return poll->stream ? cs_stream_serve(r, poll) : serve(r, poll);
}

static int poll_body(request_rec *r, void *baton, apr_status_t status, const char *body,
                     apr_size_t len)
{
    (void)body;
    (void)len;
    if (status != APR_SUCCESS)
        return answer_long_body(r);
    return read_done(r, baton);
}

int cs_poll_handler(request_rec *r)
{
    const char *path, *detail = NULL;
    cs_poll_request *poll;
    cs_problem problem;
    int result;

    if (!cs_entry_check(r, CS_KIND_POLL, &path, &result))
        return result;
    if (r->method_number != M_GET && r->method_number != M_POST)
        return cs_send_methods(r, cs_entry_methods(r, CS_KIND_POLL));
    if (*path)
        return cs_send_problem(r, CS_PROBLEM_MALFORMED,
                               "a poll names nothing in its path");
    poll = apr_pcalloc(r->pool, sizeof(*poll));
    if (!parse_poll(r, poll, &detail))
        return cs_send_problem(r, CS_PROBLEM_MALFORMED, detail);
    poll->key.realm = cs_config_server_get(r->server)->realm;
    problem = cs_identity_client(r, &poll->key.client);
    if (problem != CS_PROBLEM_NONE)
        return cs_send_problem(r, problem, NULL);
    if (!cs_body_fits(r, BODY_LIMIT))
        return answer_long_body(r);
    if (ap_request_has_body(r))
        return cs_body_read(r, BODY_LIMIT, poll_body, poll);
    return read_done(r, poll);
}
