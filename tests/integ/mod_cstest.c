/* SPDX-License-Identifier: Apache-2.0
 * mod_cstest.c - a sibling module that uses all of mod_commserver.h.
 *
 * Handler cstest: the query "VERB ARGUMENT..." (separated by '+') says what to
 * call; the answer is the status and what came back, as text. The hook
 * refuses messages whose body says so.
 */
#include <mod_commserver.h>

#include <apr_strings.h>
#include <http_config.h>
#include <http_protocol.h>
#include <http_request.h>

static APR_OPTIONAL_FN_TYPE(commserver_publish) * publish;
static APR_OPTIONAL_FN_TYPE(commserver_publish_several) * publish_several;
static APR_OPTIONAL_FN_TYPE(commserver_client_state) * client_state;
static APR_OPTIONAL_FN_TYPE(commserver_strerror) * explain;

static void find_functions(void)
{
    publish = APR_RETRIEVE_OPTIONAL_FN(commserver_publish);
    publish_several = APR_RETRIEVE_OPTIONAL_FN(commserver_publish_several);
    client_state = APR_RETRIEVE_OPTIONAL_FN(commserver_client_state);
    explain = APR_RETRIEVE_OPTIONAL_FN(commserver_strerror);
}

static int check(request_rec *r, const commserver_message *message,
                 const char *const *clients, int n)
{
    if (message->len == 4 && !memcmp(message->body, "rude", 4)) {
        if (r)
            apr_table_setn(r->notes, COMMSERVER_REFUSAL_NOTE, "mind your language");
        return 422;
    }
    if (message->len == 3 && !memcmp(message->body, "odd", 3))
        return 42;
    return n > 0 && clients[0] ? DECLINED : HTTP_INTERNAL_SERVER_ERROR;
}

static const char *next_word(char **rest)
{
    return apr_strtok(NULL, "+", rest);
}

static void tell(request_rec *r, apr_status_t rv)
{
    char buffer[100];

    ap_rprintf(r, "%d %s\n", (int)(rv ? rv - COMMSERVER_STATUS_BASE : 0),
               rv ? explain(rv, buffer, sizeof(buffer)) : "ok");
}

/* publish+APP+BODY+CLIENT... */
static void do_publish(request_rec *r, char **rest)
{
    char id[COMMSERVER_ID_TEXT + 1] = "";
    apr_status_t refused[10];
    const char *clients[10], *client;
    commserver_message message;
    apr_status_t rv;
    int n = 0, i;

    memset(&message, 0, sizeof(message));
    message.sender = "cstest";
    message.app = next_word(rest);
    message.body = next_word(rest);
    message.len = strlen(message.body);
    message.type = "text/plain";
    while (n < 10 && (client = next_word(rest)) != NULL)
        clients[n++] = client;
    if (n == 1)
        rv = publish(r->server, &message, clients[0], r->pool, id);
    else
        rv = publish_several(r->server, &message, clients, n, r->pool, refused, id);
    tell(r, rv);
    ap_rprintf(r, "%s\n", id);
    for (i = 0; rv == COMMSERVER_REFUSED && i < n; i++)
        tell(r, refused[i]);
}

static void do_state(request_rec *r, char **rest)
{
    commserver_client client;

    tell(r, client_state(r->server, next_word(rest), &client));
    ap_rprintf(r, "queued=%d bytes=%d waiting=%d seen=%d\n", (int)client.queued,
               (int)client.bytes, client.waiting, client.last_seen != 0);
}

static int handler(request_rec *r)
{
    char *rest, *verb;

    if (!r->handler || strcmp(r->handler, "cstest"))
        return DECLINED;
    ap_set_content_type(r, "text/plain");
    if (!publish || !publish_several || !client_state || !explain) {
        ap_rputs("no commserver\n", r);
        return OK;
    }
    verb = apr_strtok(apr_pstrdup(r->pool, r->args), "+", &rest);
    if (!strcmp(verb, "publish"))
        do_publish(r, &rest);
    else
        do_state(r, &rest);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_optional_fn_retrieve(find_functions, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(commserver, message_check, check, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA cstest_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0
};
