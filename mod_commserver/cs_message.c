/* SPDX-License-Identifier: Apache-2.0
 * cs_message.c - {app}/-/messages/{id}: what became of a message, and taking
 * it back.
 *
 * Whoever may publish for an application may ask; only the sender may take
 * back. A GET may be held until something changes, as a poll is: its waiter
 * stands on the message's receipt and has to be taken off on every way out,
 * which let_go() does.
 */
#include "cs_compat.h"
#include "cs_message.h"
#include "cs_config.h"
#include "cs_identity.h"
#include "cs_lifecycle.h"
#include "cs_request.h"
#include "cs_send.h"
#include "cs_trouble.h"
#include "cs_wait.h"

#include <apr_strings.h>
#include <http_protocol.h>

typedef struct question {
    csq_message_key key;
    csq_waiter waiter;
    apr_uint32_t changes; /* what the client has seen                        */
    int seen;             /* `changes` says something                        */
    apr_int64_t wait;     /* seconds granted; -1: none asked for             */
    apr_time_t began;
} question;

/* ---- answers ------------------------------------------------------------ */

static int answer_info(request_rec *r, const question *asked,
                       const csq_message_info *info)
{
    char *buffer = cs_send_buffer(r, CS_MESSAGE_TEXT);

    if (asked->wait >= 0)
        cs_send_wait_applied(r, asked->wait);
    return cs_send_json(r, HTTP_OK, buffer,
                        cs_response_message(asked->key.id, info, buffer));
}

static int answer_failure(request_rec *r, apr_status_t rv)
{
    if (rv == CSQ_EMPTY)
        return cs_send_problem(r, CS_PROBLEM_UNKNOWN_MESSAGE,
                               "it was never published for this application, or was "
                               "forgotten since");
    return cs_trouble_answer(r, rv);
}

/* As it is now: nobody waits.                                               */
static int answer_now(request_rec *r, const question *asked)
{
    csq_message_info info;
    apr_status_t rv = csq_message_get(cs_lifecycle_queue(), &asked->key, 0, NULL, &info);

    return rv == APR_SUCCESS ? answer_info(r, asked, &info) : answer_failure(r, rv);
}

/* Nothing new, and no place to wait in.                                     */
static int answer_unheld(request_rec *r, question *asked)
{
    cs_send_retry_after(r, CS_WAIT_RETRY_AFTER, CS_WAIT_RETRY_SPREAD);
    asked->wait = 0;
    return answer_now(r, asked);
}

/* ---- held ---------------------------------------------------------------- */

static apr_status_t let_go(request_rec *r, const question *asked)
{
    cs_wait_note(r, asked->began);
    return csq_message_unwait(cs_lifecycle_queue(), &asked->key, asked->waiter);
}

/* Rung, and nothing has changed: a newer question took this one's place, or it
 * was for nothing. @return CS_WAIT_AGAIN, CS_WAIT_RETRY; OK: answer           */
static int wait_again(const question *asked)
{
    csq *q = cs_lifecycle_queue();
    csq_message_info info;
    apr_status_t rv = csq_message_unwait(q, &asked->key, asked->waiter);

    if (rv == APR_SUCCESS)
        rv = csq_message_get(q, &asked->key, asked->waiter, &asked->changes, &info);
    if (rv == CSQ_BUSY)
        return CS_WAIT_RETRY;
    return rv == APR_SUCCESS && info.waiting ? CS_WAIT_AGAIN : OK;
}

static int may_retry(const question *asked, cs_wait_reason reason)
{
    return cs_wait_may_retry(reason, asked->began + apr_time_from_sec(asked->wait));
}

static int answer_held(request_rec *r, void *baton, cs_wait_reason reason)
{
    question *asked = baton;
    csq_message_info info;
    apr_status_t rv;
    int again = OK;

    if (reason == CS_WAIT_STOPPING) {
        let_go(r, asked);
        r->connection->keepalive = AP_CONN_CLOSE;
        return answer_unheld(r, asked);
    }
    rv = csq_message_get(cs_lifecycle_queue(), &asked->key, 0, NULL, &info);
    if (rv == CSQ_BUSY && may_retry(asked, reason))
        return CS_WAIT_RETRY;
    if (reason == CS_WAIT_RUNG && rv == APR_SUCCESS && info.changes == asked->changes)
        again = wait_again(asked);
    if (again != OK)
        return again;
    if (let_go(r, asked) == CSQ_BUSY && may_retry(asked, reason))
        return CS_WAIT_RETRY;
    return rv == APR_SUCCESS ? answer_info(r, asked, &info) : answer_failure(r, rv);
}

static int gone_held(request_rec *r, void *baton)
{
    return let_go(r, baton) == CSQ_BUSY ? CS_WAIT_RETRY : OK;
}

static const cs_wait_ops held = { answer_held, gone_held };

/* ---- GET ------------------------------------------------------------------ */

static int parse(request_rec *r, question *asked, const char **out_detail)
{
    const cs_config_dir *dir = cs_config_dir_get(r);
    cs_query query;
    cs_prefer prefer;

    if (cs_request_query(r->args, r->pool, &query, out_detail) != APR_SUCCESS
        || cs_request_prefer(apr_table_get(r->headers_in, "Prefer"), r->pool, &prefer,
                             out_detail)
               != APR_SUCCESS)
        return 0;
    asked->wait = prefer.wait >= 0 ? prefer.wait : query.wait;
    if (asked->wait > cs_config_max_wait(dir))
        asked->wait = cs_config_max_wait(dir);
    if (r->header_only)
        asked->wait = -1;
    asked->seen = query.changes >= 0;
    asked->changes = (apr_uint32_t)query.changes;
    return 1;
}

/* Without a place to wait in. @param waiting  what cs_wait_prepare() said    */
static int serve_unheld(request_rec *r, question *asked, apr_status_t waiting)
{
    csq_message_info info;
    apr_status_t rv = csq_message_get(cs_lifecycle_queue(), &asked->key, 0, NULL, &info);

    if (rv != APR_SUCCESS)
        return answer_failure(r, rv);
    if (info.changes != asked->changes)
        return answer_info(r, asked, &info);
    if (waiting == APR_EAGAIN)
        cs_trouble_blocking(r);
    else if (waiting == APR_ENOSPC)
        cs_trouble_parked(r);
    else
        r->connection->keepalive = AP_CONN_CLOSE;
    return answer_unheld(r, asked);
}

static int serve_waiting(request_rec *r, question *asked)
{
    csq_message_info info;
    cs_hold *hold;
    apr_status_t rv = cs_wait_prepare(r, &held, asked, &hold);

    if (rv != APR_SUCCESS)
        return serve_unheld(r, asked, rv);
    asked->waiter = cs_wait_waiter(hold);
    rv = csq_message_get(cs_lifecycle_queue(), &asked->key, asked->waiter,
                         &asked->changes, &info);
    if (rv == APR_SUCCESS && info.waiting)
        return cs_wait_hold(hold, asked->began + apr_time_from_sec(asked->wait));
    cs_wait_cancel(hold);
    if (rv == APR_SUCCESS)
        return answer_info(r, asked, &info);
    /* No room for what the waiter stands on: so it is asked at intervals. */
    if (rv == CSQ_SEGMENT_FULL) {
        cs_trouble_status(r, rv);
        return answer_unheld(r, asked);
    }
    return answer_failure(r, rv);
}

/* Without `changes`: until something differs from now.                       */
static int serve_get(request_rec *r, question *asked)
{
    csq_message_info info;
    apr_status_t rv;

    asked->began = apr_time_now();
    if (asked->wait <= 0)
        return answer_now(r, asked);
    if (!asked->seen) {
        rv = csq_message_get(cs_lifecycle_queue(), &asked->key, 0, NULL, &info);
        if (rv != APR_SUCCESS)
            return answer_failure(r, rv);
        asked->changes = info.changes;
    }
    return serve_waiting(r, asked);
}

/* ---- DELETE ---------------------------------------------------------------- */

static int serve_delete(request_rec *r, question *asked)
{
    csq_message_info info;
    cs_problem problem = cs_identity_sender(r, &asked->key.sender);
    apr_status_t rv;

    if (problem != CS_PROBLEM_NONE)
        return cs_send_problem(r, problem, NULL);
    asked->wait = -1;
    rv = csq_message_withdraw(cs_lifecycle_queue(), &asked->key, &info);
    if (rv == CSQ_FINISHED)
        return cs_send_problem(
            r, CS_PROBLEM_FINISHED,
            apr_pstrcat(r->pool, "its state is ", cs_response_state(info.state), NULL));
    if (rv != APR_SUCCESS)
        return answer_failure(r, rv);
    return info.handed ? answer_info(r, asked, &info) : cs_send_empty(r, HTTP_NO_CONTENT);
}

int cs_message_serve(request_rec *r, const cs_target *target)
{
    question *asked = apr_pcalloc(r->pool, sizeof(*asked));
    const char *detail = NULL;

    if (ap_request_has_body(r))
        return cs_send_problem(r, CS_PROBLEM_MALFORMED, "this request has no body");
    asked->key.realm = cs_config_server_get(r->server)->realm;
    asked->key.app = target->app;
    memcpy(asked->key.id, target->id, CSQ_ID_BYTES);
    if (r->method_number == M_DELETE)
        return serve_delete(r, asked);
    if (!parse(r, asked, &detail))
        return cs_send_problem(r, CS_PROBLEM_MALFORMED, detail);
    return serve_get(r, asked);
}
