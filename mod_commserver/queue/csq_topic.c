/* SPDX-License-Identifier: Apache-2.0
 * csq_topic.c - which entry of a queue has a topic, so that a newer message
 * can take its place (RFC 8030 5.4).
 *
 * A hash table in each shard, of ENTRY chunks: messages with a topic always
 * have them. The same application and sender must say the same topic; the
 * type may differ.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define TOPIC_SEED UINT64_C(0x746f706963)

static uint32_t *bucket_of(csq *q, unsigned shard, uint32_t hash)
{
    return &q->topics[shard * (q->topic_mask + 1) + (hash & q->topic_mask)];
}

static uint32_t hash_parts(csq *q, uint32_t queue, uint32_t app_hash,
                           uint32_t sender_hash, const char *topic, size_t len)
{
    uint32_t parts[3] = { queue, app_hash, sender_hash };
    char bytes[sizeof parts];

    memcpy(bytes, parts, sizeof parts);
    return (
        uint32_t)(csq_hash(q, csq_hash(q, TOPIC_SEED, bytes, sizeof bytes), topic, len)
                  >> 32);
}

uint32_t csq_topic_hash_message(csq *q, uint32_t queue, const csq_message *message)
{
    return hash_parts(q, queue,
                      csq_app_hash(q, message->realm, strlen(message->realm),
                                   message->app, strlen(message->app)),
                      csq_sender_hash(q, message->sender, strlen(message->sender)),
                      message->topic, strlen(message->topic));
}

void csq_topic_add_locked(csq *q, unsigned shard, uint32_t number)
{
    csq_link *link = csq_link_at(q, number);
    csq_stored *stored = link ? csq_stored_at(q, link->entry.body) : NULL;
    csq_origin *origin = stored ? csq_origin_at(q, stored->entry.body) : NULL;
    uint32_t *bucket;

    if (!origin || !link->topic_len || link->topic_len > CSQ_TOPIC_MAX)
        return;
    link->topic_hash = hash_parts(q, link->entry.queue, origin->app_hash,
                                  origin->sender_hash, link->topic, link->topic_len);
    bucket = bucket_of(q, shard, link->topic_hash);
    link->topic_next = *bucket;
    *bucket = number;
}

apr_status_t csq_topic_remove_locked(csq *q, unsigned shard, uint32_t number)
{
    csq_link *link = csq_link_at(q, number);
    csq_link *other;
    uint32_t *to;
    uint32_t steps = 0;

    if (!link || !link->topic_len)
        return APR_SUCCESS;
    to = bucket_of(q, shard, link->topic_hash);
    while (*to != number) {
        other = csq_link_at(q, *to);
        if (!other || steps++ > q->chunk_count)
            return CSQ_DAMAGED;
        to = &other->topic_next;
    }
    *to = link->topic_next;
    return APR_SUCCESS;
}

static int is_same(csq *q, csq_link *link, uint32_t queue, const csq_message *message,
                   uint32_t hash)
{
    csq_stored *stored = csq_stored_at(q, link->entry.body);
    csq_origin *origin = stored ? csq_origin_at(q, stored->entry.body) : NULL;

    return link->topic_hash == hash && link->entry.queue == queue && origin
           && link->topic_len == strlen(message->topic)
           && memcmp(link->topic, message->topic, link->topic_len) == 0
           && csq_origin_is(q, origin, message->realm, message->app, message->sender);
}

apr_status_t csq_topic_find_locked(csq *q, unsigned shard, uint32_t queue,
                                   const csq_message *message, uint32_t hash,
                                   uint32_t except, uint32_t *out_number)
{
    uint32_t number = *bucket_of(q, shard, hash);
    uint32_t steps = 0;
    csq_link *link;

    *out_number = 0;
    for (; number; number = link->topic_next) {
        link = csq_link_at(q, number);
        if (!link || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        if (number != except && is_same(q, link, queue, message, hash)) {
            *out_number = number;
            return APR_SUCCESS;
        }
    }
    return APR_SUCCESS;
}
