/* SPDX-License-Identifier: Apache-2.0
 * csq_stats.c - numbers: of the segment, of one client, of the module.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define READ(value) __atomic_load_n(&(value), __ATOMIC_RELAXED)

void csq_counter_add(csq *q, unsigned index, apr_uint64_t value)
{
    if (index < CSQ_COUNTERS)
        __atomic_add_fetch(&q->header->counters[index], value, __ATOMIC_RELAXED);
}

static uint64_t waiting_now(csq *q)
{
    uint64_t sum = 0;
    uint32_t waiting;
    uint32_t i;

    for (i = 0; i < q->slot_count; i++) {
        waiting = READ(q->slots[i].waiting);
        if (waiting && csq_slot_alive(q, i))
            sum += waiting;
    }
    return sum;
}

void csq_stats_get(csq *q, csq_stats *out_stats)
{
    csq_header *header = q->header;
    uint32_t unused = READ(header->free_count);
    uint32_t lowest = READ(header->free_lowest);
    unsigned i;

    memset(out_stats, 0, sizeof *out_stats);
    out_stats->clients = READ(header->clients);
    out_stats->waiting = waiting_now(q);
    out_stats->segment_size = (uint64_t)q->chunk_count * CSQ_CHUNK_BYTES;
    out_stats->segment_used = (uint64_t)(q->chunk_count - unused) * CSQ_CHUNK_BYTES;
    out_stats->segment_highest = (uint64_t)(q->chunk_count - lowest) * CSQ_CHUNK_BYTES;
    out_stats->repairs = READ(header->repairs);
    for (i = 0; i < CSQ_SHARDS; i++) {
        csq_shard *shard = &q->shards[i];

        out_stats->queued += READ(shard->queued);
        out_stats->bytes += READ(shard->bytes);
        out_stats->published += READ(shard->published);
        out_stats->handed_out += READ(shard->handed_out);
        out_stats->acknowledged += READ(shard->acknowledged);
        out_stats->expired += READ(shard->expired);
        out_stats->dropped += READ(shard->dropped);
    }
    for (i = 0; i < CSQ_COUNTERS; i++)
        out_stats->counters[i] = READ(header->counters[i]);
}

static void add_info(csq *q, csq_queue *queue, csq_client_info *info)
{
    csq_entry *entry = queue->head ? csq_entry_at(q, queue->head) : NULL;
    apr_time_t seen = (apr_time_t)queue->last_seen * APR_USEC_PER_SEC;
    apr_time_t time;
    uint32_t message;
    csq_stored *stored;

    stored = entry ? csq_entry_stored(q, queue->head, entry, &message) : NULL;
    time = stored ? (apr_time_t)csq_stored_time(stored) * 1000 : 0;
    info->queued += queue->count;
    info->bytes += queue->bytes;
    if (time && (!info->oldest || time < info->oldest))
        info->oldest = time;
    if (seen > info->last_seen)
        info->last_seen = seen;
    info->waiting |= csq_waiter_alive(q, queue->waiter);
    info->devices += (queue->flags & CSQ_QUEUE_KNOWN) != 0;
}

/* @return 0: there is no such device. */
static int add_queues(csq *q, csq_client *client, const csq_name *name,
                      csq_client_info *info)
{
    const char *device = name->key->device;
    uint32_t number = client->queues;
    uint32_t steps = 0;
    int found = !device;
    csq_queue *queue;

    for (; number && steps < q->chunk_count; number = queue->sibling, steps++) {
        queue = csq_queue_at(q, number);
        if (!queue)
            break;
        if (device && !csq_queue_has_name(q, queue, device, name->device_len))
            continue;
        add_info(q, queue, info);
        found = 1;
    }
    return found;
}

apr_status_t csq_client_info_get(csq *q, const csq_key *key, csq_client_info *out_info)
{
    csq_name name;
    uint32_t number = 0;
    uint32_t set;
    int found = 0;
    apr_status_t rv = csq_name_make(q, key, &name);

    memset(out_info, 0, sizeof *out_info);
    if (rv != APR_SUCCESS)
        return rv;
    set = UINT32_C(1) << csq_name_shard(&name);
    rv = csq_lock(q, set);
    if (rv != APR_SUCCESS)
        return rv;
    rv = csq_client_find_locked(q, &name, &number);
    if (rv == APR_SUCCESS && number)
        found = add_queues(q, csq_client_at(q, number), &name, out_info);
    csq_unlock(q, set);
    if (rv != APR_SUCCESS)
        return rv;
    return found ? APR_SUCCESS : CSQ_EMPTY;
}
