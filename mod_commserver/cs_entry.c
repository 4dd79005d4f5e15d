/* SPDX-License-Identifier: Apache-2.0
 * cs_entry.c - what every handler does first.
 *
 * The browser rules run in header_parser: after httpd has found the
 * configuration of the path, before it asks for a password, since a preflight
 * never carries one.
 */
#include "cs_compat.h"
#include "cs_entry.h"
#include "cs_config.h"
#include "cs_directives.h"
#include "cs_lifecycle.h"
#include "cs_origin.h"
#include "cs_send.h"
#include "cs_target.h"

#include <http_protocol.h>
#include <http_request.h>

APLOG_USE_MODULE(commserver);

#define ALLOW_HEADERS                                                         \
    "Authorization, Comm-Acknowledged, Content-Type, Idempotency-Key, "         \
    "Last-Event-ID, Prefer, Topic, TTL, Urgency"
#define EXPOSE_HEADERS                                                        \
    "Allow, Comm-Cursor, Location, Preference-Applied, Retry-After, TTL"
#define PREFLIGHT_AGE "600"

cs_state *cs_state_get(request_rec *r)
{
    cs_state *state = ap_get_module_config(r->request_config, &commserver_module);

    if (!state) {
        state = apr_pcalloc(r->pool, sizeof(*state));
        ap_set_module_config(r->request_config, &commserver_module, state);
    }
    return state;
}

static const char *publish_methods(request_rec *r)
{
    const char *path = cs_config_path_info(r, CS_KIND_PUBLISH);
    const char *detail;
    cs_target target;

    if (!path || cs_target_parse(path, r->pool, &target, &detail) != APR_SUCCESS)
        return cs_target_methods(CS_TARGET_SEVERAL);
    return cs_target_methods(target.kind);
}

const char *cs_entry_methods(request_rec *r, cs_kind kind)
{
    switch (kind) {
    case CS_KIND_PUBLISH:
        return publish_methods(r);
    case CS_KIND_POLL:
        return "GET, HEAD, POST, OPTIONS";
    default:
        return "GET, HEAD, OPTIONS";
    }
}

int cs_entry_allows(request_rec *r, const char *methods)
{
    const char *method = r->method;
    apr_size_t len = strlen(method);

    for (; methods; methods = strchr(methods, ' ')) {
        methods += strspn(methods, " ");
        if (!strncmp(methods, method, len) && strchr(", ", methods[len]))
            return r->method_number != M_OPTIONS;
    }
    return 0;
}

/* ---- browsers ---------------------------------------------------------- */

static int answer_preflight(request_rec *r, cs_kind kind)
{
    apr_table_t *out = r->err_headers_out;

    apr_table_setn(out, "Access-Control-Allow-Methods", cs_entry_methods(r, kind));
    apr_table_setn(out, "Access-Control-Allow-Headers", ALLOW_HEADERS);
    apr_table_setn(out, "Access-Control-Max-Age", PREFLIGHT_AGE);
    cs_send_empty(r, HTTP_NO_CONTENT);
    return DONE;
}

/* @return DECLINED to go on, DONE when r was answered.                      */
static int apply_origin_rules(request_rec *r, cs_kind kind)
{
    cs_origin_fields fields;
    const char *origin = NULL;

    cs_state_get(r)->origin_checked = 1;
    fields.origin = apr_table_get(r->headers_in, "Origin");
    fields.fetch_site = apr_table_get(r->headers_in, "Sec-Fetch-Site");
    if (!fields.origin && !fields.fetch_site)
        return DECLINED;
    fields.scheme = ap_http_scheme(r);
    fields.host = apr_table_get(r->headers_in, "Host");
    switch (cs_origin_decide(&fields, cs_config_dir_get(r)->origins, r->pool, &origin)) {
    case CS_ORIGIN_OWN:
        return DECLINED;
    case CS_ORIGIN_FOREIGN:
        cs_send_problem(r, CS_PROBLEM_ORIGIN, NULL);
        return DONE;
    default:
        break;
    }
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Origin", origin);
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Credentials", "true");
    apr_table_setn(r->err_headers_out, "Access-Control-Expose-Headers", EXPOSE_HEADERS);
    apr_table_mergen(r->err_headers_out, "Vary", "Origin");
    if (r->method_number == M_OPTIONS
        && apr_table_get(r->headers_in, "Access-Control-Request-Method"))
        return answer_preflight(r, kind);
    return DECLINED;
}

int cs_entry_header_parser(request_rec *r)
{
    cs_kind kind = cs_handler_kind(r);

    if (kind == CS_KIND_NONE || r->prev)
        return DECLINED;
    return apply_origin_rules(r, kind);
}

/* ---- handlers ---------------------------------------------------------- */

static int refuse(request_rec *r, cs_problem problem, const char *detail, int *out_result)
{
    *out_result = cs_send_problem(r, problem, detail);
    return 0;
}

int cs_entry_check(request_rec *r, cs_kind kind, const char **out_path, int *out_result)
{
    *out_result = DECLINED;
    if (!r->handler || cs_handler_kind_of(r->handler) != kind)
        return 0;
    /* The answer would land in the middle of another one. */
    if (r->main) {
        *out_result = HTTP_FORBIDDEN;
        return 0;
    }
    if (r->prev)
        return refuse(r, CS_PROBLEM_SUBREQUEST, NULL, out_result);
    if (!cs_state_get(r)->origin_checked && apply_origin_rules(r, kind) == DONE) {
        *out_result = DONE;
        return 0;
    }
    if (!cs_lifecycle_queue())
        return refuse(r, CS_PROBLEM_STARTING, NULL, out_result);
    if (strstr(r->uri, "//"))
        return refuse(r, CS_PROBLEM_MALFORMED, "the path has an empty segment",
                      out_result);
    *out_path = cs_config_path_info(r, kind);
    if (!*out_path) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      "CS0033: no plain <Location> that sets the handler '%s' contains "
                      "'%s': give " CS_BASE, r->handler, r->uri);
        return refuse(r, CS_PROBLEM_CONFIGURATION, NULL, out_result);
    }
    return 1;
}

/* ---- CGI programs ------------------------------------------------------ */

int cs_entry_fixups(request_rec *r)
{
    const char *segment = cs_lifecycle_segment();

    if (!segment || cs_handler_is_ours(r))
        return DECLINED;
    apr_table_setn(r->subprocess_env, "COMMSERVER_SEGMENT", segment);
    apr_table_setn(r->subprocess_env, "COMMSERVER_REALM",
                   cs_config_server_get(r->server)->realm);
    return DECLINED;
}
