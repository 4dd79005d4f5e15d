/* SPDX-License-Identifier: Apache-2.0
 * csq_device.c - the queues of a client, one for each device.
 *
 * A device is known once it has polled. What comes for the client while no
 * device is known waits in a queue that has no name and is not known; the
 * first device to poll takes that queue over: it becomes its own, by a name.
 * If that device has a queue already (somebody has written to it by name)
 * both are joined; a death on the way can leave what waited in both, so that
 * it is read twice, but never lost.
 */
#include "cs_compat.h"
#include "csq_private.h"

int csq_queue_has_name(csq *q, const csq_queue *queue, const char *device, uint32_t len)
{
    csq_chunk *name;

    if (queue->device_len != len || len > CSQ_DEVICE_MAX)
        return 0;
    if (!len)
        return 1;
    name = csq_chunk_at(q, queue->next);
    return name && memcmp(name->data, device, len) == 0;
}

apr_status_t csq_queue_find_locked(csq *q, csq_client *client, const char *device,
                                   uint32_t len, uint32_t *out_queue)
{
    uint32_t number = client->queues;
    uint32_t steps = 0;
    csq_queue *queue;

    *out_queue = 0;
    for (; number; number = queue->sibling) {
        queue = csq_queue_at(q, number);
        if (!queue || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        if (csq_queue_has_name(q, queue, device, len)) {
            *out_queue = number;
            return APR_SUCCESS;
        }
    }
    return APR_SUCCESS;
}

apr_status_t csq_queue_of_locked(csq *q, const csq_name *name, uint32_t *out_queue)
{
    uint32_t number;
    apr_status_t rv = csq_client_find_locked(q, name, &number);

    *out_queue = 0;
    if (rv != APR_SUCCESS || !number)
        return rv;
    return csq_queue_find_locked(q, csq_client_at(q, number), name->key->device,
                                 name->device_len, out_queue);
}

void csq_queue_touch(csq *q, csq_queue *queue, apr_time_t now)
{
    uint32_t expiry = __atomic_load_n(&q->header->limits.client_expiry, __ATOMIC_RELAXED);
    uint32_t second = csq_seconds(now);

    queue->due = expiry > UINT32_MAX - 1 - second ? UINT32_MAX - 1 : second + expiry + 1;
}

apr_status_t csq_queue_make(csq *q, uint32_t chain, const csq_name *name,
                            const char *device, uint32_t len, apr_time_t now)
{
    csq_queue *queue = csq_chunk_at(q, chain);
    uint32_t next = queue ? queue->next : 0;
    csq_chunk *rest = csq_chunk_at(q, next);
    apr_status_t rv;

    if (!queue || (len && !rest))
        return CSQ_DAMAGED;
    memset(queue, 0, sizeof *queue);
    queue->next = next;
    rv = csq_epoch_make(q, name->hash, &queue->epoch);
    if (rv != APR_SUCCESS)
        return rv;
    queue->next_sequence = 1;
    queue->device_len = (uint8_t)len;
    if (len)
        memcpy(rest->data, device, len);
    csq_queue_touch(q, queue, now);
    queue->kind = CSQ_KIND_QUEUE;
    return APR_SUCCESS;
}

apr_status_t csq_queue_link_locked(csq *q, unsigned shard, uint32_t client_number,
                                   uint32_t number)
{
    csq_client *client = csq_client_at(q, client_number);
    csq_queue *queue = csq_queue_at(q, number);

    if (!client || !queue) {
        csq_repair_want(q);
        return CSQ_DAMAGED;
    }
    queue->client = client_number;
    queue->sibling = client->queues;
    __atomic_store_n(&client->queues, number, __ATOMIC_RELEASE);
    q->shards[shard].queues++;
    csq_wheel_add_locked(q, shard, number, queue->due);
    return APR_SUCCESS;
}

static uint32_t *find_link(csq *q, const csq_queue *queue, uint32_t number)
{
    csq_client *client = csq_client_at(q, queue->client);
    uint32_t steps = 0;
    uint32_t *link;
    csq_queue *other;

    if (!client)
        return NULL;
    for (link = &client->queues; *link != number; link = &other->sibling) {
        other = csq_queue_at(q, *link);
        if (!other || steps++ > q->chunk_count)
            return NULL;
    }
    return link;
}

apr_status_t csq_queue_forget_locked(csq *q, unsigned shard, uint32_t number)
{
    csq_queue *queue = csq_queue_at(q, number);
    uint32_t *link = queue ? find_link(q, queue, number) : NULL;
    apr_status_t rv;

    if (!link || queue->head || queue->gap) {
        csq_repair_want(q);
        return CSQ_DAMAGED;
    }
    rv = csq_allocator_lock(q);
    if (rv != APR_SUCCESS)
        return rv;
    __atomic_store_n(link, queue->sibling, __ATOMIC_RELEASE);
    q->shards[shard].queues--;
    rv = csq_wheel_remove_locked(q, shard, number);
    queue->kind = CSQ_KIND_FREE;
    if (rv == APR_SUCCESS)
        rv = csq_chunk_give_locked(q, number, csq_queue_chunks(queue->device_len));
    if (rv == APR_SUCCESS)
        rv = csq_client_forget_locked(q, queue->client);
    csq_allocator_unlock(q);
    return rv;
}

/* ---- how many ------------------------------------------------------------ */

/* Never polled, nothing in it, nobody there: worth nothing. */
static int is_idle(const csq_queue *queue)
{
    return !(queue->flags & CSQ_QUEUE_KNOWN) && !queue->head && !queue->gap
           && !queue->waiter;
}

/* Make room with one that is worth nothing. */
static apr_status_t forget_idle(csq *q, unsigned shard, csq_client *client,
                                uint32_t number)
{
    apr_status_t rv;

    client->memberships++; /* it stays, even if this was its last queue */
    rv = csq_queue_forget_locked(q, shard, number);
    client->memberships--;
    return rv;
}

apr_status_t csq_queue_room_locked(csq *q, unsigned shard, uint32_t client_number,
                                   uint32_t more, int may_forget)
{
    uint32_t most = __atomic_load_n(&q->header->limits.max_devices, __ATOMIC_RELAXED);
    csq_client *client = csq_client_at(q, client_number);
    uint32_t number = client ? client->queues : 0;
    uint32_t idle = 0;
    uint32_t n = more;
    uint32_t steps = 0;
    csq_queue *queue;

    for (; number; number = queue->sibling) {
        queue = csq_queue_at(q, number);
        if (!queue || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        if (queue->device_len || (queue->flags & CSQ_QUEUE_KNOWN))
            n++;
        if (queue->device_len && is_idle(queue))
            idle = number;
    }
    if (n < most)
        return APR_SUCCESS;
    if (!idle || !may_forget)
        return CSQ_DEVICES_FULL;
    return forget_idle(q, shard, client, idle);
}

/* ---- the first poll of a device ------------------------------------------ */

typedef struct joining {
    csq *q;
    const csq_name *name;
    apr_time_t now;
    unsigned shard;
    uint32_t client;
    uint32_t own;     /* queue of this device; 0: none               */
    uint32_t waiting; /* queue for the first device; 0: none         */
    int known;        /* there is a device that polled               */
} joining;

static apr_status_t look_over(joining *j)
{
    csq_client *client = csq_client_at(j->q, j->client);
    uint32_t number = client ? client->queues : 0;
    uint32_t steps = 0;
    csq_queue *queue;

    for (; number; number = queue->sibling) {
        queue = csq_queue_at(j->q, number);
        if (!queue || steps++ > j->q->chunk_count) {
            csq_repair_want(j->q);
            return CSQ_DAMAGED;
        }
        if (queue->flags & CSQ_QUEUE_KNOWN)
            j->known = 1;
        else if (!queue->device_len)
            j->waiting = number;
        if (csq_queue_has_name(j->q, queue, j->name->key->device, j->name->device_len))
            j->own = number;
    }
    return APR_SUCCESS;
}

static void set_known(csq_queue *queue)
{
    __atomic_store_n(&queue->flags, queue->flags | CSQ_QUEUE_KNOWN, __ATOMIC_RELEASE);
}

/* One store gives it its name: device_len. */
static apr_status_t name_queue(joining *j)
{
    csq_queue *queue = csq_queue_at(j->q, j->waiting);
    csq_chunk *chunk;
    uint32_t number;
    apr_status_t rv = csq_queue_room_locked(j->q, j->shard, j->client, 0, 1);

    if (rv == APR_SUCCESS)
        rv = csq_chunk_take(j->q, 1, 1, &number);
    if (rv != APR_SUCCESS)
        return rv;
    chunk = csq_chunk_at(j->q, number);
    memcpy(chunk->data, j->name->key->device, j->name->device_len);
    queue->next = number;
    __atomic_store_n(&queue->device_len, (uint8_t)j->name->device_len, __ATOMIC_RELEASE);
    set_known(queue);
    j->own = j->waiting;
    return APR_SUCCESS;
}

static apr_status_t make_own(joining *j)
{
    csq *q = j->q;
    uint32_t chain;
    apr_status_t rv = csq_queue_room_locked(q, j->shard, j->client, 0, 1);

    if (rv == APR_SUCCESS)
        rv = csq_chunk_take(q, csq_queue_chunks(j->name->device_len), 1, &chain);
    if (rv != APR_SUCCESS)
        return rv;
    rv = csq_queue_make(q, chain, j->name, j->name->key->device, j->name->device_len,
                        j->now);
    if (rv != APR_SUCCESS) {
        csq_repair_want(q);
        return rv;
    }
    set_known(csq_queue_at(q, chain));
    j->own = chain;
    return csq_queue_link_locked(q, j->shard, j->client, chain);
}

static apr_status_t join_queues(joining *j)
{
    csq_queue *waiting = csq_queue_at(j->q, j->waiting);
    csq_queue *own = csq_queue_at(j->q, j->own);
    apr_status_t rv = APR_SUCCESS;

    while (waiting->head && rv == APR_SUCCESS)
        rv = csq_entry_move_locked(j->q, j->shard, j->waiting, j->own);
    if (rv == APR_SUCCESS && waiting->gap) {
        rv = csq_gap_need_locked(j->q, own);
        if (rv == APR_SUCCESS)
            csq_gap_unknown_locked(j->q, own);
    }
    if (rv == APR_SUCCESS && waiting->gap)
        rv = csq_gap_clear_locked(j->q, waiting);
    return rv;
}

/* What waited for the first device becomes that of the device without a name,
 * which counts from now on.                                                  */
static apr_status_t need_room_for_own(joining *j)
{
    csq_queue *own = csq_queue_at(j->q, j->own);

    return own->device_len ? APR_SUCCESS
                           : csq_queue_room_locked(j->q, j->shard, j->client, 0, 1);
}

static apr_status_t join(joining *j)
{
    apr_status_t rv = look_over(j);

    if (rv != APR_SUCCESS)
        return rv;
    if (!j->known && j->waiting && !j->own)
        return name_queue(j);
    if (!j->own)
        return make_own(j);
    rv = need_room_for_own(j);
    if (rv == APR_SUCCESS && !j->known && j->waiting && j->waiting != j->own)
        rv = join_queues(j);
    if (rv == APR_SUCCESS)
        set_known(csq_queue_at(j->q, j->own));
    return rv;
}

apr_status_t csq_queue_need_locked(csq *q, const csq_name *name, apr_time_t now,
                                   uint32_t *out_queue)
{
    joining j = { .q = q, .name = name, .now = now, .shard = csq_name_shard(name) };
    csq_queue *queue;
    apr_status_t rv = csq_client_need_locked(q, name, &j.client);

    if (rv != APR_SUCCESS)
        return rv;
    rv = csq_queue_find_locked(q, csq_client_at(q, j.client), name->key->device,
                               name->device_len, out_queue);
    queue = csq_queue_at(q, *out_queue);
    if (rv != APR_SUCCESS || (queue && (queue->flags & CSQ_QUEUE_KNOWN)))
        return rv;
    rv = join(&j);
    if (rv != APR_SUCCESS)
        csq_client_tidy_locked(q, j.client);
    *out_queue = rv == APR_SUCCESS ? j.own : 0;
    return rv;
}
