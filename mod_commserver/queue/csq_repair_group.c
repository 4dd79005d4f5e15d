/* SPDX-License-Identifier: Apache-2.0
 * csq_repair_group.c - repair: groups, and clients that nothing holds.
 */
#include "cs_compat.h"
#include "csq_repair.h"

/* Made for a membership, or for a queue, that did not come to be. */
static void drop_empty_clients(csq_repairing *r, uint32_t bucket, unsigned shard)
{
    csq *q = r->q;
    uint32_t *link = &q->buckets[bucket];
    csq_client *client;
    uint32_t number;
    uint32_t next;

    while (*link) {
        client = csq_client_at(q, *link);
        if (client->queues || client->memberships) {
            link = &client->hash_next;
            continue;
        }
        for (number = *link; number; number = next) {
            next = ((csq_chunk *)csq_chunk_at(q, number))->next;
            r->marks[number] = 0;
        }
        __atomic_store_n(link, client->hash_next, __ATOMIC_RELEASE);
        q->shards[shard].clients--;
        CSQ_ADD(q->header->clients, -1);
    }
}

static uint32_t count_members(csq_repairing *r, unsigned shard, csq_members *members)
{
    csq_client *client;
    uint32_t count = 0;
    int i;

    for (i = 0; i < CSQ_MEMBERS_MAX; i++) {
        client = csq_client_at(r->q, members->clients[i]);
        if (client && client->shard == shard
            && (r->marks[members->clients[i]] & CSQ_MARK_HEAD))
            count++;
        else
            members->clients[i] = 0;
    }
    return count;
}

static void mark_members(csq_repairing *r, unsigned shard, csq_group *group)
{
    uint32_t *link = &group->members;
    csq_members *members;
    int i;

    group->count = 0;
    while (*link) {
        members = csq_members_at(r->q, *link);
        if (!members || (r->marks[*link] & CSQ_MARK_USED)) {
            *link = 0;
            return;
        }
        r->marks[*link] |= CSQ_MARK_USED;
        group->count += count_members(r, shard, members);
        for (i = 0; i < CSQ_MEMBERS_MAX; i++)
            if (members->clients[i])
                csq_client_at(r->q, members->clients[i])->memberships++;
        link = &members->next;
    }
}

static void unmark_members(csq_repairing *r, csq_group *group)
{
    uint32_t number = group->members;
    csq_members *members;
    int i;

    for (; number; number = members->next) {
        members = csq_members_at(r->q, number);
        r->marks[number] = 0;
        for (i = 0; i < CSQ_MEMBERS_MAX; i++)
            if (members->clients[i])
                csq_client_at(r->q, members->clients[i])->memberships--;
    }
}

static void mark_groups(csq_repairing *r, unsigned shard, uint32_t bucket)
{
    csq *q = r->q;
    uint32_t *link = &q->groups[shard * (q->group_mask + 1) + bucket];
    csq_group *group;
    uint32_t n;
    int ok = 1;

    while (*link) {
        group = csq_group_at(q, *link);
        if (!group || (r->marks[*link] & CSQ_MARK_USED))
            break;
        group->hash = csq_group_hash(q, group, &ok);
        ok = ok && (group->hash & q->group_mask) == bucket;
        n = csq_group_chunks((uint32_t)group->realm_len + group->app_len
                             + group->group_len);
        mark_members(r, shard, group);
        if (ok && group->count && csq_repair_chain(r, *link, n)) {
            link = &group->hash_next;
            continue;
        }
        unmark_members(r, group);
        if (!ok)
            break;
        __atomic_store_n(link, group->hash_next, __ATOMIC_RELEASE);
    }
    *link = 0;
}

void csq_repair_groups(csq_repairing *r)
{
    csq *q = r->q;
    uint32_t count = q->group_mask + 1;
    uint32_t i;
    unsigned shard;

    for (shard = 0; shard < CSQ_SHARDS; shard++) {
        for (i = 0; i < count; i++)
            if (q->groups[shard * count + i])
                mark_groups(r, shard, i);
        for (i = 0; i <= q->bucket_mask; i++)
            drop_empty_clients(r, shard * (q->bucket_mask + 1) + i, shard);
    }
}
