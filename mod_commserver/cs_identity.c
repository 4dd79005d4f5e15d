/* SPDX-License-Identifier: Apache-2.0
 * cs_identity.c - who sends this request, as a name of the queues.
 *
 * Authentication is httpd's; here its result becomes a name, or is refused.
 * A slash would reach into the devices of another client, so an identity
 * with one (a certificate's subject, a Kerberos principal) must be mapped by
 * an expression first.
 */
#include "cs_compat.h"
#include "cs_identity.h"
#include "cs_config.h"
#include "cs_directives.h"
#include "cs_request.h"

#include <http_log.h>

APLOG_USE_MODULE(commserver);

#define LOCAL_PREFIX "local:"

static cs_problem evaluate(request_rec *r, const ap_expr_info_t *expression,
                           const char *directive, const char **out_value)
{
    const char *error = NULL;

    if (!expression) {
        *out_value = r->user ? r->user : "";
        return CS_PROBLEM_NONE;
    }
    *out_value = ap_expr_str_exec(r, expression, &error);
    if (!error && *out_value)
        return CS_PROBLEM_NONE;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, "CS0030: %s cannot be evaluated: %s",
                  directive, error ? error : "no value");
    return CS_PROBLEM_CONFIGURATION;
}

cs_problem cs_identity_client(request_rec *r, const char **out_client)
{
    cs_problem problem = evaluate(r, cs_config_dir_get(r)->client, CS_CLIENT, out_client);

    if (problem != CS_PROBLEM_NONE)
        return problem;
    if (csq_client_check(*out_client, strlen(*out_client)) == APR_SUCCESS)
        return CS_PROBLEM_NONE;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "CS0031: '%s' is not a client name (1 to %d bytes of UTF-8 without '/' "
                  "and control characters): require a user, or map it with " CS_CLIENT,
                  *out_client, CSQ_CLIENT_MAX);
    return CS_PROBLEM_IDENTITY;
}

int cs_identity_sender_is_valid(const char *sender)
{
    return *sender && strlen(sender) <= CSQ_SENDER_MAX && cs_request_is_text(sender)
           && strncmp(sender, LOCAL_PREFIX, sizeof(LOCAL_PREFIX) - 1);
}

cs_problem cs_identity_sender(request_rec *r, const char **out_sender)
{
    cs_problem problem = evaluate(r, cs_config_dir_get(r)->sender, CS_SENDER, out_sender);

    if (problem != CS_PROBLEM_NONE)
        return problem;
    if (!**out_sender)
        *out_sender = CS_ANONYMOUS;
    if (cs_identity_sender_is_valid(*out_sender))
        return CS_PROBLEM_NONE;
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  "CS0032: '%s' is not a sender (1 to %d bytes of UTF-8 without control "
                  "characters, not '" LOCAL_PREFIX "...'): map it with " CS_SENDER,
                  *out_sender, CSQ_SENDER_MAX);
    return CS_PROBLEM_IDENTITY;
}
