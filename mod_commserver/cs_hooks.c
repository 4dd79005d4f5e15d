/* SPDX-License-Identifier: Apache-2.0
 * cs_hooks.c - what sibling modules call and attach to (mod_commserver.h).
 *
 * Thin: names are checked as those of a request are, the rest is delivery.
 */
#include "cs_compat.h"
#include "cs_hooks.h"
#include "cs_config.h"
#include "cs_deliver.h"
#include "cs_identity.h"
#include "cs_lifecycle.h"
#include "cs_request.h"

#include <apr_strings.h>

/* The installed header repeats numbers of the queue core.                   */
#define SAME(name)                                                            \
    typedef char same_##name[(int)COMMSERVER_##name == (int)CSQ_##name ? 1 : -1]
SAME(EMPTY);
SAME(QUEUE_FULL);
SAME(SEGMENT_FULL);
SAME(CLIENTS_FULL);
SAME(TOO_LARGE);
SAME(REFUSED);
SAME(BUSY);
SAME(CLOSED);
SAME(DAMAGED);
SAME(BAD_NAME);
SAME(BAD_JSON);
typedef char same_id[COMMSERVER_ID_TEXT == CSQ_ID_TEXT ? 1 : -1];

APR_IMPLEMENT_OPTIONAL_HOOK_RUN_ALL(commserver, COMMSERVER, int, message_check,
                                    (request_rec *r, const commserver_message *message,
                                     const char *const *clients, int count),
                                    (r, message, clients, count), OK, DECLINED)

int cs_hooks_message_check(request_rec *r, const commserver_message *message,
                           const char *const *clients, int count)
{
    int result = commserver_run_message_check(r, message, clients, count);

    if (result == OK || (result >= 400 && result <= 599))
        return result;
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* ---- publishing -------------------------------------------------------- */

static apr_status_t check_names(const commserver_message *message,
                                const char *const *clients, int n)
{
    apr_size_t type_len = message->type ? strlen(message->type) : 0;
    int i;

    if (!message->app || csq_app_check(message->app, strlen(message->app)) != APR_SUCCESS
        || !message->sender || !cs_identity_sender_is_valid(message->sender)
        || type_len > CSQ_TYPE_MAX || (type_len && !cs_request_is_text(message->type))
        || n < 1)
        return CSQ_BAD_NAME;
    for (i = 0; i < n; i++) {
        if (csq_client_check(clients[i], strlen(clients[i])) != APR_SUCCESS)
            return CSQ_BAD_NAME;
    }
    return APR_SUCCESS;
}

static apr_uint32_t grant_ttl(server_rec *s, apr_uint32_t asked)
{
    const cs_config_dir *dir = cs_config_dir_default(s);
    apr_int64_t longest = cs_config_max_ttl(dir);

    if (!asked)
        return (apr_uint32_t)cs_config_ttl(dir);
    return (apr_int64_t)asked > longest ? (apr_uint32_t)longest : asked;
}

/* The list without doubles. @param out_place  n indexes into it             */
static const char **without_doubles(const char *const *clients, int n, apr_pool_t *p,
                                    int *out_place, int *out_n)
{
    const char **list = apr_palloc(p, (apr_size_t)n * sizeof(*list));
    int i, j, used = 0;

    for (i = 0; i < n; i++) {
        for (j = 0; j < used && strcmp(list[j], clients[i]); j++)
            continue;
        if (j == used)
            list[used++] = clients[i];
        out_place[i] = j;
    }
    *out_n = used;
    return list;
}

static apr_status_t publish_several(server_rec *s, const commserver_message *message,
                                    const char *const *clients, int n, apr_pool_t *p,
                                    apr_status_t *refused,
                                    char out_id[COMMSERVER_ID_TEXT + 1])
{
    cs_delivery delivery;
    apr_status_t rv;
    int *place, i;

    if (!cs_lifecycle_queue())
        return CSQ_CLOSED;
    rv = check_names(message, clients, n);
    if (rv != APR_SUCCESS)
        return rv;
    if (message->len > (apr_uint64_t)cs_config_server_get(s)->max_message)
        return CSQ_TOO_LARGE;
    memset(&delivery, 0, sizeof(delivery));
    delivery.realm = cs_config_server_get(s)->realm;
    delivery.message = *message;
    delivery.message.ttl = grant_ttl(s, message->ttl);
    place = apr_palloc(p, (apr_size_t)n * sizeof(*place));
    delivery.clients = without_doubles(clients, n, p, place, &delivery.n);
    rv = cs_deliver(NULL, p, &delivery);
    if (rv == APR_SUCCESS && out_id)
        csq_id_format(delivery.id, out_id);
    for (i = 0; rv == CSQ_REFUSED && refused && i < n; i++)
        refused[i] = delivery.refused[place[i]];
    return rv;
}

static apr_status_t commserver_publish_several(server_rec *s,
                                               const commserver_message *message,
                                               const char *const *clients, int n,
                                               apr_pool_t *p, apr_status_t *refused,
                                               char out_id[COMMSERVER_ID_TEXT + 1])
{
    apr_status_t rv = publish_several(s, message, clients, n, p, refused, out_id);

    /* Doubles may have left one receiver, which is refused with its reason. */
    if ((rv == CSQ_QUEUE_FULL || rv == CSQ_CLIENTS_FULL) && n > 1) {
        int i;

        for (i = 0; refused && i < n; i++)
            refused[i] = rv;
        return CSQ_REFUSED;
    }
    return rv;
}

static apr_status_t commserver_publish(server_rec *s, const commserver_message *message,
                                       const char *client, apr_pool_t *p,
                                       char out_id[COMMSERVER_ID_TEXT + 1])
{
    return publish_several(s, message, &client, 1, p, NULL, out_id);
}

/* ---- state ------------------------------------------------------------- */

static apr_status_t commserver_client_state(server_rec *s, const char *client,
                                            commserver_client *out_client)
{
    csq_client_info info;
    apr_status_t rv;
    csq_key key;

    memset(out_client, 0, sizeof(*out_client));
    if (!cs_lifecycle_queue())
        return CSQ_CLOSED;
    if (csq_client_check(client, strlen(client)) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    key.realm = cs_config_server_get(s)->realm;
    key.client = client;
    key.device = NULL;
    rv = csq_client_info_get(cs_lifecycle_queue(), &key, &info);
    if (rv != APR_SUCCESS)
        return rv;
    out_client->queued = info.queued;
    out_client->bytes = info.bytes;
    out_client->oldest = info.oldest;
    out_client->last_seen = info.last_seen;
    out_client->waiting = info.waiting;
    return APR_SUCCESS;
}

static const char *commserver_strerror(apr_status_t status, char *buffer, apr_size_t size)
{
    return csq_strerror(status, buffer, size);
}

void cs_hooks_register(void)
{
    APR_REGISTER_OPTIONAL_FN(commserver_publish);
    APR_REGISTER_OPTIONAL_FN(commserver_publish_several);
    APR_REGISTER_OPTIONAL_FN(commserver_client_state);
    APR_REGISTER_OPTIONAL_FN(commserver_strerror);
}
