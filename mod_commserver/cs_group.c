/* SPDX-License-Identifier: Apache-2.0
 * cs_group.c - who belongs to a group of an application.
 *
 * A membership is a resource without a representation: it is there or it is
 * not. A body means nothing; it is read if it is small.
 */
#include "cs_compat.h"
#include "cs_group.h"
#include "cs_body.h"
#include "cs_config.h"
#include "cs_lifecycle.h"
#include "cs_send.h"
#include "cs_trouble.h"

#include <http_protocol.h>

#define BODY_LIMIT 65536

static int answer_long_body(request_rec *r)
{
    return cs_send_problem(r, CS_PROBLEM_TOO_LARGE, "a membership needs no body");
}

static int answer_made(request_rec *r, const cs_target *target)
{
    apr_size_t len;
    char *text = cs_response_member(target->group, target->client, r->pool, &len);

    return cs_send_json(r, HTTP_CREATED, text, len);
}

static int change(request_rec *r, const cs_target *target)
{
    csq_key client = { cs_config_server_get(r->server)->realm, target->client, NULL };
    csq *q = cs_lifecycle_queue();
    apr_time_t now = apr_time_now();
    int put = r->method_number == M_PUT;
    int changed = 0;
    apr_status_t rv =
        put ? csq_group_add(q, &client, target->app, target->group, now, &changed)
            : csq_group_remove(q, &client, target->app, target->group, now, &changed);

    cs_lifecycle_upkeep(now);
    if (rv != APR_SUCCESS)
        return cs_trouble_answer(r, rv);
    if (put && changed)
        return answer_made(r, target);
    if (!put && !changed)
        return cs_send_problem(r, CS_PROBLEM_UNKNOWN, "the client is not in the group");
    return cs_send_empty(r, HTTP_NO_CONTENT);
}

static int member_body(request_rec *r, void *baton, apr_status_t status, const char *body,
                       apr_size_t len)
{
    (void)body;
    (void)len;
    if (status != APR_SUCCESS)
        return answer_long_body(r);
    cs_state_get(r)->body_read = 1;
    return change(r, baton);
}

int cs_group_member(request_rec *r, const cs_target *target)
{
    cs_target *kept;

    if (!cs_body_fits(r, BODY_LIMIT))
        return answer_long_body(r);
    if (!ap_request_has_body(r))
        return change(r, target);
    /* The handler may have returned when it is read. */
    kept = apr_palloc(r->pool, sizeof(*kept));
    *kept = *target;
    return cs_body_read(r, BODY_LIMIT, member_body, kept);
}
