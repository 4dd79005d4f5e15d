/* SPDX-License-Identifier: Apache-2.0
 * cs_deliver.c - one message on its way into the queues.
 */
#include "cs_compat.h"
#include "cs_deliver.h"
#include "cs_config.h"
#include "cs_hooks.h"
#include "cs_lifecycle.h"

static csq_key *make_keys(const cs_delivery *delivery, csq_key *one, apr_pool_t *p)
{
    csq_key *keys = delivery->n == 1 ? one
                    : apr_palloc(p, (apr_size_t)delivery->n * sizeof(*keys));
    int i;

    for (i = 0; i < delivery->n; i++) {
        keys[i].realm = delivery->realm;
        keys[i].client = delivery->clients[i];
        keys[i].device = NULL;
    }
    return keys;
}

apr_status_t cs_deliver(request_rec *r, apr_pool_t *p, cs_delivery *delivery)
{
    const commserver_message *given = &delivery->message;
    apr_time_t now = apr_time_now();
    csq_message message = { .urgency = CSQ_NORMAL };
    csq_appended appended;
    apr_status_t rv;
    csq_key one;

    rv = csq_payload_encode(given->type, given->body, given->len, p, &message.encoding,
                            &message.data, &message.len);
    if (rv != APR_SUCCESS)
        return rv;
    delivery->refusal = cs_hooks_message_check(r, given, delivery->clients, delivery->n);
    if (delivery->refusal != OK)
        return APR_EACCES;
    message.realm = delivery->realm;
    message.app = given->app;
    message.sender = given->sender;
    message.type = given->type;
    message.time = now;
    message.expires = now + apr_time_from_sec((apr_time_t)given->ttl);
    delivery->refused = delivery->n == 1 ? NULL
                        : apr_pcalloc(p, (apr_size_t)delivery->n * sizeof(apr_status_t));
    rv = csq_append(cs_lifecycle_queue(), &message, make_keys(delivery, &one, p),
                    delivery->n, now, delivery->refused, &appended);
    memcpy(delivery->id, appended.id, CSQ_ID_BYTES);
    cs_lifecycle_upkeep(now);
    return rv;
}
