/* SPDX-License-Identifier: Apache-2.0
 * cs_deliver.c - one message on its way into the queues.
 */
#include "cs_compat.h"
#include "cs_deliver.h"
#include "cs_config.h"
#include "cs_hooks.h"
#include "cs_lifecycle.h"

static apr_status_t to_several(cs_delivery *delivery, const csq_message *message,
                               apr_time_t now, apr_pool_t *p)
{
    if (delivery->n > 1 || message->lenient)
        delivery->refused = apr_pcalloc(p, (apr_size_t)delivery->n
                                               * sizeof(apr_status_t));
    return csq_append(cs_lifecycle_queue(), message, delivery->keys, delivery->n, now,
                      delivery->refused, &delivery->out);
}

static apr_status_t to_many(cs_delivery *delivery, const csq_message *message,
                            apr_time_t now)
{
    return csq_append_group(cs_lifecycle_queue(), message, delivery->message.group, now,
                            delivery->each, delivery->baton, &delivery->out);
}

apr_status_t cs_deliver(request_rec *r, apr_pool_t *p, cs_delivery *delivery)
{
    const commserver_message *given = &delivery->message;
    apr_time_t now = apr_time_now();
    csq_message message;
    apr_status_t rv;

    memset(&message, 0, sizeof(message));
    memset(&delivery->out, 0, sizeof(delivery->out));
    rv = csq_payload_encode(given->type, given->body, given->len, p, &message.encoding,
                            &message.data, &message.len);
    if (rv != APR_SUCCESS)
        return rv;
    delivery->refusal = cs_hooks_message_check(r, given, delivery->names, delivery->n);
    if (delivery->refusal != OK)
        return APR_EACCES;
    message.realm = delivery->realm;
    message.app = given->app;
    message.sender = given->sender;
    message.type = given->type;
    message.topic = given->topic;
    message.urgency = (csq_urgency)(given->urgency + CSQ_NORMAL);
    message.receipt = given->receipt != 0;
    message.lenient = given->lenient != 0;
    message.time = now;
    message.expires = given->now ? now
                      : now + apr_time_from_sec((apr_time_t)given->ttl);
    message.id = delivery->id;
    message.repeat = delivery->repeat;
    rv = delivery->names ? to_several(delivery, &message, now, p)
                         : to_many(delivery, &message, now);
    cs_lifecycle_upkeep(now);
    if (rv == APR_SUCCESS && !delivery->out.queues && delivery->out.refused
        && !delivery->out.resumed)
        return CSQ_REFUSED;
    return rv;
}
