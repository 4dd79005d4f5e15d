/* SPDX-License-Identifier: Apache-2.0
 * mod_cstest.c - a sibling module that uses all of mod_commserver.h.
 *
 * Handler cstest: the query "VERB ARGUMENT..." (separated by '+') says what to
 * call; the answer is the status and what came back, as text. The hook
 * refuses messages whose body says so, and "hold PATH" holds one: it tells its
 * process through the FIFO PATH.held and goes on when PATH.go is closed.
 */
#include <mod_commserver.h>

#include <apr_strings.h>
#include <http_config.h>
#include <http_protocol.h>
#include <http_request.h>

#include <fcntl.h>
#include <unistd.h>

static APR_OPTIONAL_FN_TYPE(commserver_publish) * publish;
static APR_OPTIONAL_FN_TYPE(commserver_publish_several) * publish_several;
static APR_OPTIONAL_FN_TYPE(commserver_publish_group) * publish_group;
static APR_OPTIONAL_FN_TYPE(commserver_group_add) * group_add;
static APR_OPTIONAL_FN_TYPE(commserver_group_remove) * group_remove;
static APR_OPTIONAL_FN_TYPE(commserver_client_state) * client_state;
static APR_OPTIONAL_FN_TYPE(commserver_strerror) * explain;

static void find_functions(void)
{
    publish = APR_RETRIEVE_OPTIONAL_FN(commserver_publish);
    publish_several = APR_RETRIEVE_OPTIONAL_FN(commserver_publish_several);
    publish_group = APR_RETRIEVE_OPTIONAL_FN(commserver_publish_group);
    group_add = APR_RETRIEVE_OPTIONAL_FN(commserver_group_add);
    group_remove = APR_RETRIEVE_OPTIONAL_FN(commserver_group_remove);
    client_state = APR_RETRIEVE_OPTIONAL_FN(commserver_client_state);
    explain = APR_RETRIEVE_OPTIONAL_FN(commserver_strerror);
}

static void hold(const char *path)
{
    char name[1024], text[32];
    int fd;

    apr_snprintf(name, sizeof(name), "%s.held", path);
    fd = open(name, O_WRONLY);
    apr_snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return;
    close(fd);
    apr_snprintf(name, sizeof(name), "%s.go", path);
    fd = open(name, O_RDONLY);
    while (fd >= 0 && read(fd, text, sizeof(text)) > 0)
        continue;
    close(fd);
}

/* Who gets it, told as the detail of the refusal. */
static int tell_receivers(request_rec *r, const commserver_message *message,
                          const char *const *clients, int n)
{
    const char *who = message->everybody ? "everybody"
                      : message->group
                          ? apr_psprintf(r->pool, "the group %s", message->group)
                          : clients[n - 1];

    apr_table_setn(r->notes, COMMSERVER_REFUSAL_NOTE,
                   apr_psprintf(r->pool, "%s, %d clients", who, n));
    return HTTP_CONFLICT;
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
    if (r && message->len == 3 && !memcmp(message->body, "who", 3))
        return tell_receivers(r, message, clients, n);
    if (message->len > 5 && !memcmp(message->body, "hold ", 5))
        hold(message->body + 5);
    if (message->group || message->everybody)
        return clients ? HTTP_INTERNAL_SERVER_ERROR : DECLINED;
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

/* What a message is like: "n" now, "l" lenient, "r" receipt, "h" high, "t" of the
 * topic "t", "b" a bad topic, "u" a bad urgency. */
static void set_flags(commserver_message *message, const char *flags)
{
    message->now = strchr(flags, 'n') != NULL;
    message->lenient = strchr(flags, 'l') != NULL;
    message->receipt = strchr(flags, 'r') != NULL;
    message->urgency = strchr(flags, 'u')   ? (commserver_urgency)7
                       : strchr(flags, 'h') ? COMMSERVER_HIGH
                                            : COMMSERVER_NORMAL;
    message->topic = strchr(flags, 'b') ? "b b" : strchr(flags, 't') ? "t" : NULL;
}

/* publish+APP+BODY+CLIENT..., flagged+FLAGS+APP+BODY+CLIENT... */
static void do_publish(request_rec *r, char **rest, const char *flags)
{
    char id[COMMSERVER_ID_TEXT + 1] = "";
    apr_status_t refused[10];
    const char *clients[10], *client;
    commserver_message message;
    apr_status_t rv;
    int n = 0, i;

    memset(&message, 0, sizeof(message));
    set_flags(&message, flags);
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
    for (i = 0; (rv == COMMSERVER_REFUSED || message.lenient) && i < n; i++)
        tell(r, refused[i]);
}

/* group+APP+BODY[+GROUP] */
static void do_group(request_rec *r, char **rest)
{
    commserver_outcome outcome;
    commserver_message message;

    memset(&message, 0, sizeof(message));
    message.sender = "cstest";
    message.app = next_word(rest);
    message.body = next_word(rest);
    message.len = strlen(message.body);
    tell(r, publish_group(r->server, &message, next_word(rest), r->pool, &outcome));
    ap_rprintf(r, "to=%u refused=%u\n%s\n", outcome.receivers, outcome.refused,
               outcome.id);
}

/* add+APP+GROUP+CLIENT, remove+APP+GROUP+CLIENT */
static void do_member(request_rec *r, char **rest, int add)
{
    const char *app = next_word(rest), *group = next_word(rest);
    const char *client = next_word(rest);
    int changed = -1;

    tell(r, add ? group_add(r->server, app, group, client, &changed)
                : group_remove(r->server, app, group, client, &changed));
    ap_rprintf(r, "changed=%d\n", changed);
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
    if (!publish || !publish_several || !publish_group || !group_add || !group_remove
        || !client_state || !explain) {
        ap_rputs("no commserver\n", r);
        return OK;
    }
    verb = apr_strtok(apr_pstrdup(r->pool, r->args), "+", &rest);
    if (!strcmp(verb, "publish"))
        do_publish(r, &rest, "");
    else if (!strcmp(verb, "flagged")) {
        const char *flags = next_word(&rest);

        do_publish(r, &rest, flags);
    }
    else if (!strcmp(verb, "group"))
        do_group(r, &rest);
    else if (!strcmp(verb, "add") || !strcmp(verb, "remove"))
        do_member(r, &rest, *verb == 'a');
    else
        do_state(r, &rest);
    return OK;
}

/* As if writing to the peer had failed, on whichever thread this is. */
static int lose_peer(request_rec *r)
{
    if (apr_table_get(r->headers_in, "X-Lose-Peer"))
        r->connection->aborted = 1;
    return DECLINED;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_optional_fn_retrieve(find_functions, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_fixups(lose_peer, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_MIDDLE);
    APR_OPTIONAL_HOOK(commserver, message_check, check, NULL, NULL, APR_HOOK_MIDDLE);
}

module AP_MODULE_DECLARE_DATA cstest_module = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, register_hooks, 0
};
