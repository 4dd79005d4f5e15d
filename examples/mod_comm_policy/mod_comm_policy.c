/* SPDX-License-Identifier: Apache-2.0
 * mod_comm_policy.c - an example of a sibling module of mod_commserver: which
 * types of content an application may send, which may send to everybody, and a
 * note to someone when a message was refused.
 *
 *   LoadModule comm_policy_module modules/mod_comm_policy.so
 *   CommPolicyTypes  orders application/json
 *   CommPolicyTypes  news   text/plain application/json
 *   CommPolicyAll    alarm
 *   CommPolicyReport admin
 *
 * Applications without CommPolicyTypes may send what they like. A message of
 * another type is refused with 415. With CommPolicyAll, other applications may
 * not send to everybody: 403. The client of CommPolicyReport then gets a message
 * of the application "policy" that says who tried what.
 *
 *   apxs -i -c mod_comm_policy.c      builds and installs it
 *
 * It uses mod_commserver.h alone and links nothing: without mod_commserver the
 * server starts just the same. It shows the two ways to take part: the hook
 * message_check, which decides but must not publish, and the function
 * commserver_publish, called here from log_transaction.
 */
#include <string.h>

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <http_protocol.h>
#include <apr_hash.h>
#include <apr_strings.h>

#include <mod_commserver.h>

#define REFUSED_NOTE "comm-policy-refused"

module AP_MODULE_DECLARE_DATA comm_policy_module;
APLOG_USE_MODULE(comm_policy);

typedef struct policy_config {
    apr_hash_t *types;    /* application -> array of content types           */
    apr_array_header_t *all; /* applications that may send to all; NULL: any  */
    const char *report;   /* client to be told, NULL: nobody                 */
} policy_config;

static APR_OPTIONAL_FN_TYPE(commserver_publish) *publish;

/* ---- configuration ------------------------------------------------------- */

static void *create_config(apr_pool_t *pool, server_rec *s)
{
    policy_config *config = apr_pcalloc(pool, sizeof *config);

    (void)s;
    config->types = apr_hash_make(pool);
    return config;
}

static void *merge_config(apr_pool_t *pool, void *base_, void *add_)
{
    const policy_config *base = base_, *add = add_;
    policy_config *config = apr_pcalloc(pool, sizeof *config);

    config->types = apr_hash_overlay(pool, add->types, base->types);
    config->all = add->all ? add->all : base->all;
    config->report = add->report ? add->report : base->report;
    return config;
}

static policy_config *config_of(server_rec *s)
{
    return ap_get_module_config(s->module_config, &comm_policy_module);
}

/* CommPolicyTypes APP TYPE...: called once for each type. */
static const char *add_type(cmd_parms *cmd, void *unused, const char *app,
                            const char *type)
{
    policy_config *config = config_of(cmd->server);
    apr_array_header_t *types = apr_hash_get(config->types, app, APR_HASH_KEY_STRING);

    (void)unused;
    if (!strchr(type, '/'))
        return apr_psprintf(cmd->pool, "'%s' is not a content type such as text/plain",
                            type);
    if (!types) {
        types = apr_array_make(cmd->pool, 2, sizeof(const char *));
        apr_hash_set(config->types, app, APR_HASH_KEY_STRING, types);
    }
    APR_ARRAY_PUSH(types, const char *) = type;
    return NULL;
}

/* CommPolicyAll APP...: called once for each. */
static const char *add_all(cmd_parms *cmd, void *unused, const char *app)
{
    policy_config *config = config_of(cmd->server);

    (void)unused;
    if (!config->all)
        config->all = apr_array_make(cmd->pool, 2, sizeof(const char *));
    APR_ARRAY_PUSH(config->all, const char *) = app;
    return NULL;
}

static const char *set_report(cmd_parms *cmd, void *unused, const char *client)
{
    (void)unused;
    config_of(cmd->server)->report = client;
    return NULL;
}

static const command_rec commands[] = {
    AP_INIT_ITERATE2("CommPolicyTypes", add_type, NULL, RSRC_CONF,
                     "an application and the content types that it may send"),
    AP_INIT_ITERATE("CommPolicyAll", add_all, NULL, RSRC_CONF,
                    "applications that may send to everybody"),
    AP_INIT_TAKE1("CommPolicyReport", set_report, NULL, RSRC_CONF,
                  "the client that is told of refused messages"),
    { NULL }
};

/* ---- the rule ------------------------------------------------------------- */

/* Parameters such as charset do not count. */
static int is_type(const char *given, const char *allowed)
{
    size_t len = strlen(allowed);

    return given && strncasecmp(given, allowed, len) == 0
           && (given[len] == '\0' || given[len] == ';' || given[len] == ' ');
}

static int is_allowed(const apr_array_header_t *types, const char *given)
{
    int i;

    for (i = 0; i < types->nelts; i++)
        if (is_type(given, APR_ARRAY_IDX(types, i, const char *)))
            return 1;
    return 0;
}

static int may_send_to_all(const apr_array_header_t *all, const char *app)
{
    int i;

    for (i = 0; all && i < all->nelts; i++)
        if (strcmp(APR_ARRAY_IDX(all, i, const char *), app) == 0)
            return 1;
    return !all;
}

static int refuse(request_rec *r, const commserver_message *message, int status,
                  const char *what)
{
    apr_table_setn(r->notes, COMMSERVER_REFUSAL_NOTE,
                   apr_psprintf(r->pool, "'%s' may not send %s", message->app, what));
    apr_table_set(r->notes, REFUSED_NOTE, message->app);
    return status;
}

/* Messages of other modules (no request) are their own business. To groups and
 * to everybody there are no `clients`; the message says which it is. */
static int check_message(request_rec *r, const commserver_message *message,
                         const char *const *clients, int count)
{
    const apr_array_header_t *types;

    (void)clients;
    (void)count;
    if (!r)
        return DECLINED;
    if (message->everybody && !may_send_to_all(config_of(r->server)->all, message->app))
        return refuse(r, message, HTTP_FORBIDDEN, "to everybody");
    types = apr_hash_get(config_of(r->server)->types, message->app, APR_HASH_KEY_STRING);
    if (!types || is_allowed(types, message->type))
        return DECLINED;
    return refuse(r, message, HTTP_UNSUPPORTED_MEDIA_TYPE, "this type of content");
}

/* ---- the report ------------------------------------------------------------- */

/* In quotes, so that it can stand in JSON; bytes that JSON cannot have as they
 * are become '?', which is enough for a report. */
static const char *quoted(apr_pool_t *pool, const char *text)
{
    char *out = apr_palloc(pool, 2 * strlen(text) + 3);
    char *to = out;

    *to++ = '"';
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            *to++ = '\\';
        *to++ = (unsigned char)*text < 0x20 || (unsigned char)*text > 0x7e ? '?' : *text;
    }
    *to++ = '"';
    *to = '\0';
    return out;
}

/* Runs when the request is over, in the thread that served it. */
static int report_refused(request_rec *r)
{
    const char *client = config_of(r->server)->report;
    const char *app = apr_table_get(r->notes, REFUSED_NOTE);
    const char *type = apr_table_get(r->headers_in, "Content-Type");
    commserver_message message = { 0 };
    apr_status_t status;

    if (!app || !client || !publish)
        return DECLINED;
    message.app = "policy";
    message.sender = "mod_comm_policy";
    message.type = "application/json";
    message.body = apr_psprintf(
        r->pool, "{\"refused\":%s,\"type\":%s,\"user\":%s,\"from\":%s}",
        quoted(r->pool, app), quoted(r->pool, type ? type : ""),
        quoted(r->pool, r->user ? r->user : ""), quoted(r->pool, r->useragent_ip));
    message.len = strlen(message.body);
    status = publish(r->server, &message, client, r->pool, NULL);
    if (status != APR_SUCCESS)
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "comm_policy: could not report to '%s' (status %d)", client,
                      status);
    return DECLINED;
}

/* ---- the module -------------------------------------------------------------- */

static void find_functions(void)
{
    publish = APR_RETRIEVE_OPTIONAL_FN(commserver_publish);
}

static void register_hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_optional_fn_retrieve(find_functions, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(commserver, message_check, check_message, NULL, NULL,
                      APR_HOOK_MIDDLE);
    ap_hook_log_transaction(report_refused, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA comm_policy_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, create_config, merge_config, commands,
    register_hooks,
#ifdef AP_MODULE_FLAG_NONE
    AP_MODULE_FLAG_NONE
#endif
};
