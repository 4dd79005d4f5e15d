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
SAME(DEVICES_FULL);
typedef char same_urgency[(int)CSQ_VERY_LOW - (int)CSQ_NORMAL == (int)COMMSERVER_VERY_LOW
                                  && (int)CSQ_HIGH - (int)CSQ_NORMAL
                                         == (int)COMMSERVER_HIGH
                              ? 1 : -1];
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

static int is_named_as_app(const char *name)
{
    return name && csq_app_check(name, strlen(name)) == APR_SUCCESS;
}

static apr_status_t check_message(server_rec *s, const commserver_message *message)
{
    apr_size_t type_len = message->type ? strlen(message->type) : 0;

    if (!is_named_as_app(message->app) || !message->sender
        || !cs_identity_sender_is_valid(message->sender) || type_len > CSQ_TYPE_MAX
        || (type_len && !cs_request_is_text(message->type))
        || (message->topic
            && csq_topic_check(message->topic, strlen(message->topic)) != APR_SUCCESS))
        return CSQ_BAD_NAME;
    if (message->urgency < COMMSERVER_VERY_LOW || message->urgency > COMMSERVER_HIGH)
        return APR_EINVAL;
    if (message->len > (apr_uint64_t)cs_config_server_get(s)->max_message)
        return CSQ_TOO_LARGE;
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

/* What is the same for all receivers. */
static apr_status_t begin_delivery(server_rec *s, const commserver_message *message,
                                   cs_delivery *delivery)
{
    apr_status_t rv;

    if (!cs_lifecycle_queue())
        return CSQ_CLOSED;
    rv = check_message(s, message);
    if (rv != APR_SUCCESS)
        return rv;
    memset(delivery, 0, sizeof(*delivery));
    delivery->realm = cs_config_server_get(s)->realm;
    delivery->message = *message;
    delivery->message.ttl = message->now ? 0 : grant_ttl(s, message->ttl);
    delivery->message.group = NULL;
    delivery->message.everybody = 0;
    return APR_SUCCESS;
}

static apr_status_t make_keys(cs_delivery *delivery, apr_pool_t *p)
{
    csq_key *keys = apr_palloc(p, (apr_size_t)delivery->n * sizeof(*keys));
    const char *detail;
    int i;

    for (i = 0; i < delivery->n; i++) {
        if (cs_request_receiver(delivery->names[i], p, &keys[i], &detail) != APR_SUCCESS)
            return CSQ_BAD_NAME;
        keys[i].realm = delivery->realm;
    }
    delivery->keys = keys;
    return APR_SUCCESS;
}

static apr_status_t publish_several(server_rec *s, const commserver_message *message,
                                    const char *const *clients, int n, apr_pool_t *p,
                                    apr_status_t *refused,
                                    char out_id[COMMSERVER_ID_TEXT + 1])
{
    cs_delivery delivery;
    apr_status_t rv = begin_delivery(s, message, &delivery);
    int *place, i;

    if (rv != APR_SUCCESS)
        return rv;
    if (n < 1)
        return CSQ_BAD_NAME;
    place = apr_palloc(p, (apr_size_t)n * sizeof(*place));
    delivery.names = without_doubles(clients, n, p, place, &delivery.n);
    rv = make_keys(&delivery, p);
    if (rv == APR_SUCCESS)
        rv = cs_deliver(NULL, p, &delivery);
    if (rv == APR_SUCCESS && out_id)
        csq_id_format(delivery.out.id, out_id);
    if (rv != CSQ_REFUSED && !(rv == APR_SUCCESS && message->lenient))
        refused = NULL;
    for (i = 0; refused && i < n; i++)
        refused[i] = delivery.refused[place[i]];
    return rv == APR_SUCCESS && !delivery.out.queues ? CSQ_EMPTY : rv;
}

static int is_of_one(apr_status_t status)
{
    return status == CSQ_QUEUE_FULL || status == CSQ_CLIENTS_FULL
           || status == CSQ_DEVICES_FULL;
}

static apr_status_t commserver_publish_several(server_rec *s,
                                               const commserver_message *message,
                                               const char *const *clients, int n,
                                               apr_pool_t *p, apr_status_t *refused,
                                               char out_id[COMMSERVER_ID_TEXT + 1])
{
    apr_status_t rv = publish_several(s, message, clients, n, p, refused, out_id);

    /* Doubles may have left one receiver, which is refused with its reason. */
    if (is_of_one(rv) && n > 1) {
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
    commserver_message strict = *message;

    strict.lenient = 0;
    return publish_several(s, &strict, &client, 1, p, NULL, out_id);
}

/* ---- groups ------------------------------------------------------------ */

static apr_status_t commserver_publish_group(server_rec *s,
                                             const commserver_message *message,
                                             const char *group, apr_pool_t *p,
                                             commserver_outcome *out_outcome)
{
    cs_delivery delivery;
    apr_status_t rv = begin_delivery(s, message, &delivery);

    memset(out_outcome, 0, sizeof(*out_outcome));
    if (rv != APR_SUCCESS)
        return rv;
    if (group && !is_named_as_app(group))
        return CSQ_BAD_NAME;
    delivery.message.group = group;
    delivery.message.everybody = !group;
    rv = cs_deliver(NULL, p, &delivery);
    csq_id_format(delivery.out.id, out_outcome->id);
    out_outcome->receivers = delivery.out.receivers;
    out_outcome->refused = delivery.out.refused;
    return rv;
}

typedef apr_status_t group_change(csq *q, const csq_key *client, const char *app,
                                  const char *group, apr_time_t now, int *out_changed);

static apr_status_t change_group(server_rec *s, const char *app, const char *group,
                                 const char *client, int *out_changed,
                                 group_change *change)
{
    csq_key key = { NULL, client, NULL };
    apr_status_t rv;
    int changed = 0;

    if (!cs_lifecycle_queue())
        return CSQ_CLOSED;
    if (!is_named_as_app(app) || !is_named_as_app(group)
        || csq_client_check(client, strlen(client)) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    key.realm = cs_config_server_get(s)->realm;
    rv = change(cs_lifecycle_queue(), &key, app, group, apr_time_now(), &changed);
    if (out_changed)
        *out_changed = changed;
    return rv;
}

static apr_status_t commserver_group_add(server_rec *s, const char *app,
                                         const char *group, const char *client,
                                         int *out_changed)
{
    return change_group(s, app, group, client, out_changed, csq_group_add);
}

static apr_status_t commserver_group_remove(server_rec *s, const char *app,
                                            const char *group, const char *client,
                                            int *out_changed)
{
    return change_group(s, app, group, client, out_changed, csq_group_remove);
}

/* ---- state ------------------------------------------------------------- */

static apr_status_t commserver_client_state(server_rec *s, const char *client,
                                            commserver_client *out_client)
{
    char name[CSQ_CLIENT_MAX + 1];
    csq_client_info info;
    apr_status_t rv;
    csq_key key;

    memset(out_client, 0, sizeof(*out_client));
    if (!cs_lifecycle_queue())
        return CSQ_CLOSED;
    if (csq_key_parse(client, name, &key) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    key.realm = cs_config_server_get(s)->realm;
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
    APR_REGISTER_OPTIONAL_FN(commserver_publish_group);
    APR_REGISTER_OPTIONAL_FN(commserver_group_add);
    APR_REGISTER_OPTIONAL_FN(commserver_group_remove);
    APR_REGISTER_OPTIONAL_FN(commserver_client_state);
    APR_REGISTER_OPTIONAL_FN(commserver_strerror);
}
