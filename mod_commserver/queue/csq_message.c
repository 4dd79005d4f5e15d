/* SPDX-License-Identifier: Apache-2.0
 * csq_message.c - what became of a message, and taking it back.
 *
 * Asked rarely, so all locks are taken: then message, entries and receipt
 * stand still. What is known comes from the first of: the receipt, which has
 * counted; the message with the entries that are left; the fate that was kept
 * when it was freed.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define FINAL     UINT32_MAX /* changes of what is known by its fate only      */

typedef struct asking {
    csq *q;
    const csq_message_key *key;
    uint32_t message; /* 0: is in no queue                           */
    uint32_t receipt; /* 0: has none                                 */
    csq_message_info *info;
    csq_ring_set rings;
} asking;

static const csq_state states[CSQ_FATES] = {
    [CSQ_FATE_DROPPED] = CSQ_STATE_DROPPED,   [CSQ_FATE_EXPIRED] = CSQ_STATE_EXPIRED,
    [CSQ_FATE_REPLACED] = CSQ_STATE_REPLACED, [CSQ_FATE_WITHDRAWN] = CSQ_STATE_WITHDRAWN,
    [CSQ_FATE_RECEIVED] = CSQ_STATE_RECEIVED,
};

/* ---- finding it ------------------------------------------------------------- */

static int is_ours(asking *a, uint32_t origin_number)
{
    csq_origin *origin = csq_origin_at(a->q, origin_number);
    const csq_message_key *key = a->key;

    return origin && csq_origin_is(a->q, origin, key->realm, key->app, key->sender);
}

static apr_status_t find_it(asking *a)
{
    csq *q = a->q;
    csq_stored *stored;
    apr_status_t rv = csq_id_find_locked(q, a->key->id, &a->message);

    if (rv == APR_SUCCESS)
        rv = csq_receipt_find_locked(q, a->key->id, &a->receipt);
    if (rv != APR_SUCCESS)
        return rv;
    stored = csq_stored_at(q, a->message);
    if (stored && (!stored->entry.committed || !is_ours(a, stored->entry.body)))
        return CSQ_EMPTY;
    if (a->receipt && !is_ours(a, csq_receipt_at(q, a->receipt)->origin))
        return CSQ_EMPTY;
    return APR_SUCCESS;
}

/* ---- what it is like ---------------------------------------------------------- */

static void count_entry(asking *a, uint32_t number)
{
    csq_entry *entry = csq_entry_at(a->q, number);
    csq_queue *queue = entry ? csq_queue_at(a->q, entry->queue) : NULL;
    int handed;

    if (!queue || entry->linked != 1)
        return;
    handed = csq_entry_was_handed(entry, queue);
    a->info->counts[handed ? CSQ_STATE_HANDED_OUT : CSQ_STATE_QUEUED]++;
    a->info->handed |= handed;
}

/* Entries that are left; without a receipt what the others came to is known
 * as one answer only.                                                        */
static void count_entries(asking *a)
{
    csq_stored *stored = csq_stored_at(a->q, a->message);
    uint32_t number;
    uint32_t steps = 0;
    csq_link *link;

    if (!stored)
        return;
    a->info->queues = 1;
    if (!(stored->entry.flags & CSQ_SPREAD)) {
        count_entry(a, a->message);
        return;
    }
    a->info->queues = stored->entry.queue;
    for (number = stored->entry.queue_next; number; number = link->peer_next) {
        link = csq_link_at(a->q, number);
        if (!link || steps++ > a->q->chunk_count)
            return;
        count_entry(a, number);
    }
}

/* Each entry can be handed out and can leave; nothing comes back. */
static apr_uint32_t count_changes(const csq_message_info *info)
{
    return 2 * (info->queues - info->counts[CSQ_STATE_QUEUED])
           - info->counts[CSQ_STATE_HANDED_OUT];
}

static void count_receipt(asking *a)
{
    csq_receipt *receipt = csq_receipt_at(a->q, a->receipt);
    int i;

    a->info->queues = receipt->receivers;
    a->info->changes = receipt->changes;
    a->info->handed |= receipt->handed_out != 0;
    for (i = 0; i < CSQ_FATES; i++)
        a->info->counts[states[i]] += receipt->counts[i];
    /* An application may be faster than the poll that says "received". */
    a->info->counts[CSQ_STATE_ACKNOWLEDGED] =
        receipt->acknowledged < receipt->counts[CSQ_FATE_RECEIVED]
            ? receipt->acknowledged
            : receipt->counts[CSQ_FATE_RECEIVED];
    a->info->counts[CSQ_STATE_RECEIVED] -= a->info->counts[CSQ_STATE_ACKNOWLEDGED];
}

/* The least of those that are open, else the best of those that are not. */
static void conclude(csq_message_info *info)
{
    static const csq_state order[] = { CSQ_STATE_QUEUED, CSQ_STATE_HANDED_OUT };
    static const csq_state ends[] = { CSQ_STATE_RECEIVED, CSQ_STATE_ACKNOWLEDGED,
                                      CSQ_STATE_WITHDRAWN, CSQ_STATE_REPLACED,
                                      CSQ_STATE_EXPIRED };
    size_t i;

    for (i = 0; i < sizeof order / sizeof order[0]; i++)
        if (info->counts[order[i]]) {
            info->state = order[i];
            return;
        }
    info->state = CSQ_STATE_DROPPED;
    for (i = sizeof ends / sizeof ends[0]; i > 0; i--)
        if (info->counts[ends[i - 1]])
            info->state = ends[i - 1];
}

static int read_fate(asking *a)
{
    csq *q = a->q;
    const csq_message_key *key = a->key;
    const csq_fate_record *fate = csq_fate_find_locked(q, key->id);

    if (!fate || fate->fate >= CSQ_FATES
        || fate->app_hash
               != csq_app_hash(q, key->realm, strlen(key->realm), key->app,
                               strlen(key->app))
        || (key->sender
            && fate->sender_hash != csq_sender_hash(q, key->sender, strlen(key->sender))))
        return 0;
    a->info->state = states[fate->fate];
    a->info->counts[a->info->state] = 1;
    a->info->handed = fate->handed;
    a->info->queues = 1;
    a->info->changes = FINAL;
    return 1;
}

static apr_status_t describe(asking *a)
{
    memset(a->info, 0, sizeof *a->info);
    if (!a->message && !a->receipt)
        return read_fate(a) ? APR_SUCCESS : CSQ_EMPTY;
    count_entries(a);
    if (a->receipt)
        count_receipt(a);
    else
        a->info->changes = count_changes(a->info);
    conclude(a->info);
    return APR_SUCCESS;
}

int csq_message_known_locked(csq *q, const unsigned char *id)
{
    uint32_t message = 0;
    uint32_t receipt = 0;
    csq_stored *stored;

    if (csq_id_find_locked(q, id, &message) != APR_SUCCESS
        || csq_receipt_find_locked(q, id, &receipt) != APR_SUCCESS)
        return 0;
    stored = csq_stored_at(q, message);
    return (stored && stored->entry.committed)
           || (receipt && csq_receipt_at(q, receipt)->confirmed)
           || csq_fate_find_locked(q, id) != NULL;
}

/* ---- waiting ------------------------------------------------------------------- */

static apr_status_t need_receipt(asking *a)
{
    csq *q = a->q;
    csq_stored *stored = csq_stored_at(q, a->message);
    csq_origin *origin = stored ? csq_origin_at(q, stored->entry.body) : NULL;
    csq_receipt *receipt;
    uint32_t number;
    apr_status_t rv;

    if (a->receipt)
        return APR_SUCCESS;
    if (!origin)
        return CSQ_DAMAGED;
    rv = csq_chunk_take_locked(q, 1, &number);
    if (rv != APR_SUCCESS)
        return rv;
    origin->refs++;
    csq_receipt_make_locked(q, number, a->key->id, stored->entry.body, a->info->queues,
                            csq_receipt_until(csq_stored_expires(stored)));
    receipt = csq_receipt_at(q, number);
    receipt->confirmed = 1;
    receipt->changes = a->info->changes;
    receipt->handed_out = a->info->counts[CSQ_STATE_HANDED_OUT];
    /* What became of the others was not counted: it is one answer for all. */
    receipt->counts[stored->entry.flags & CSQ_SPREAD ? stored->entry.queue_prev & 0xff
                                                     : CSQ_FATE_RECEIVED] =
        a->info->queues - a->info->counts[CSQ_STATE_QUEUED]
        - a->info->counts[CSQ_STATE_HANDED_OUT];
    stored->entry.flags |= CSQ_HAS_RECEIPT;
    a->receipt = number;
    return APR_SUCCESS;
}

static int is_open(const csq_message_info *info)
{
    return info->counts[CSQ_STATE_QUEUED] || info->counts[CSQ_STATE_HANDED_OUT];
}

static int may_be_acknowledged(asking *a)
{
    return a->receipt && csq_receipt_at(a->q, a->receipt)->asked
           && a->info->counts[CSQ_STATE_RECEIVED];
}

static apr_status_t wait_for_it(asking *a, csq_waiter waiter)
{
    csq_receipt *receipt;
    apr_status_t rv = APR_SUCCESS;

    if (!is_open(a->info) && !may_be_acknowledged(a))
        return APR_SUCCESS;
    rv = need_receipt(a);
    if (rv != APR_SUCCESS)
        return rv;
    receipt = csq_receipt_at(a->q, a->receipt);
    if (receipt->waiter && receipt->waiter != waiter)
        csq_slot_push(a->q, receipt->waiter, &a->rings);
    receipt->waiter = waiter;
    a->info->waiting = 1;
    return APR_SUCCESS;
}

/* ---- with all locks --------------------------------------------------------------- */

static void release_all(csq *q)
{
    unsigned shard;

    for (shard = 0; shard < CSQ_SHARDS; shard++)
        csq_release_locked(q, shard);
}

/* What has left its queue, but was not freed, has not been counted. */
static apr_status_t settle(csq *q)
{
    unsigned shard;

    release_all(q);
    for (shard = 0; shard < CSQ_SHARDS; shard++)
        if (q->shards[shard].release)
            return csq_repair_wanted(q) ? CSQ_RETRY : CSQ_BUSY;
    return APR_SUCCESS;
}

static apr_status_t lock_whole(csq *q)
{
    apr_status_t rv = CSQ_RETRY;
    int i;

    for (i = 0; i < CSQ_RETRIES && rv == CSQ_RETRY; i++) {
        rv = csq_lock(q, CSQ_ALL_SHARDS);
        if (rv != APR_SUCCESS)
            return rv;
        rv = settle(q);
        if (rv == APR_SUCCESS)
            rv = csq_allocator_lock(q);
        if (rv != APR_SUCCESS)
            csq_unlock(q, CSQ_ALL_SHARDS);
    }
    return rv == CSQ_RETRY ? CSQ_BUSY : rv;
}

static void unlock_whole(asking *a)
{
    csq_allocator_unlock(a->q);
    csq_unlock(a->q, CSQ_ALL_SHARDS);
    csq_slot_ring(a->q, &a->rings);
}

apr_status_t csq_message_get(csq *q, const csq_message_key *key, csq_waiter waiter,
                             const apr_uint32_t *changes, csq_message_info *out_info)
{
    asking a = { .q = q, .key = key, .info = out_info };
    apr_status_t rv = lock_whole(q);

    if (rv != APR_SUCCESS)
        return rv;
    rv = find_it(&a);
    if (rv == APR_SUCCESS)
        rv = describe(&a);
    if (rv == APR_SUCCESS && waiter && changes && *changes == out_info->changes)
        rv = wait_for_it(&a, waiter);
    unlock_whole(&a);
    return rv;
}

apr_status_t csq_message_unwait(csq *q, const csq_message_key *key, csq_waiter waiter)
{
    csq_receipt *receipt;
    uint32_t number;
    apr_status_t rv = csq_lock_tables(q);

    if (rv != APR_SUCCESS)
        return rv;
    rv = csq_receipt_find_locked(q, key->id, &number);
    receipt = csq_receipt_at(q, number);
    if (receipt && receipt->waiter == waiter)
        receipt->waiter = 0;
    else if (receipt && receipt->waiter)
        rv = CSQ_REPLACED;
    csq_unlock_tables(q);
    return rv;
}

/* ---- taking it back ------------------------------------------------------------ */

static apr_status_t remove_entry(asking *a, uint32_t number)
{
    csq *q = a->q;
    csq_entry *entry = csq_entry_at(q, number);
    csq_queue *queue = entry ? csq_queue_at(q, entry->queue) : NULL;
    csq_client *client = queue ? csq_client_at(q, queue->client) : NULL;

    if (entry && entry->linked != 1)
        return APR_SUCCESS;
    if (!client || client->shard >= CSQ_SHARDS) {
        csq_repair_want(q);
        return CSQ_DAMAGED;
    }
    return csq_entry_remove_locked(q, client->shard, queue, number, CSQ_FATE_WITHDRAWN);
}

/* First it is said, in one store: a repair finishes what a death cut short. */
static apr_status_t remove_all(asking *a)
{
    csq_stored *stored = csq_stored_at(a->q, a->message);
    uint32_t number = stored->entry.queue_next;
    uint32_t steps = 0;
    csq_link *link;
    apr_status_t rv = APR_SUCCESS;

    if (!(stored->entry.flags & CSQ_SPREAD))
        return remove_entry(a, a->message);
    __atomic_store_n(&stored->entry.committed, CSQ_WITHDRAWN, __ATOMIC_RELEASE);
    /* Whoever has not been reached by a publisher that died is not to be.    */
    csq_repeat_many_served(a->q, stored->entry.sequence_low, stored->id, CSQ_SHARDS);
    for (; number && rv == APR_SUCCESS; number = link->peer_next) {
        link = csq_link_at(a->q, number);
        if (!link || steps++ > a->q->chunk_count)
            return CSQ_DAMAGED;
        rv = remove_entry(a, number);
    }
    return rv;
}

static void conclude_withdrawn(csq_message_info *info, int counted)
{
    apr_uint32_t n = info->counts[CSQ_STATE_QUEUED] + info->counts[CSQ_STATE_HANDED_OUT];

    info->counts[CSQ_STATE_WITHDRAWN] += n;
    info->counts[CSQ_STATE_QUEUED] = info->counts[CSQ_STATE_HANDED_OUT] = 0;
    info->changes = counted ? info->changes + n : FINAL;
    conclude(info);
}

apr_status_t csq_message_withdraw(csq *q, const csq_message_key *key,
                                  csq_message_info *out_info)
{
    asking a = { .q = q, .key = key, .info = out_info };
    int open = 0;
    apr_status_t rv = lock_whole(q);

    if (rv != APR_SUCCESS)
        return rv;
    rv = find_it(&a);
    if (rv == APR_SUCCESS)
        rv = describe(&a);
    if (rv == APR_SUCCESS) {
        open = is_open(out_info);
        if (open)
            rv = remove_all(&a);
        if (open && rv != APR_SUCCESS)
            csq_repair_want(q);
    }
    csq_allocator_unlock(q);
    release_all(q);
    csq_unlock(q, CSQ_ALL_SHARDS);
    if (rv != APR_SUCCESS)
        return rv;
    if (!open)
        return CSQ_FINISHED;
    conclude_withdrawn(out_info, a.receipt != 0);
    return APR_SUCCESS;
}

/* ---- what applications say ------------------------------------------------------ */

static void acknowledge_one(csq *q, const char *realm, const unsigned char *id,
                            csq_ring_set *rings)
{
    uint32_t number = 0;
    csq_receipt *receipt;
    csq_origin *origin;
    csq_stream stream;
    char strings[4 * UINT8_MAX];
    size_t len;

    if (csq_receipt_find_locked(q, id, &number) != APR_SUCCESS || !number)
        return;
    receipt = csq_receipt_at(q, number);
    origin = csq_origin_at(q, receipt->origin);
    if (!receipt->asked || !origin || origin->realm_len != strlen(realm)
        || receipt->acknowledged >= receipt->receivers)
        return;
    len = csq_origin_strings(origin);
    csq_stream_open(&stream, q, origin, origin->data, CSQ_ORIGIN_DATA);
    if (csq_stream_read(&stream, strings, len) != APR_SUCCESS
        || memcmp(strings + len - origin->realm_len, realm, origin->realm_len) != 0)
        return;
    receipt->acknowledged++;
    csq_receipt_changed_locked(q, receipt, rings);
}

apr_status_t csq_message_acknowledged(csq *q, const char *realm,
                                      const unsigned char (*ids)[CSQ_ID_BYTES], int n)
{
    csq_ring_set rings = { .count = 0 };
    int i;
    apr_status_t rv = csq_lock_tables(q);

    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; i < n; i++)
        acknowledge_one(q, realm, ids[i], &rings);
    csq_unlock_tables(q);
    csq_slot_ring(q, &rings);
    return APR_SUCCESS;
}
