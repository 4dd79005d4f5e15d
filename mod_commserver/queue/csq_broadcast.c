/* SPDX-License-Identifier: Apache-2.0
 * csq_broadcast.c - publish to a group, or to everybody who is known.
 *
 * One shard after the other, so that no lock is held for long; the next one
 * is taken before the last is given back, so that a death on the way is
 * always seen. The message is stored once, held by this publish until the
 * end (one ref of its own). Whoever cannot be served is passed over.
 *
 * A repair that comes in between (another process died) counts refs anew and
 * does not know of the hold: after it the message is looked up by its id, and
 * stored again if all who had it took it already.
 *
 * With a key its record notes each shard that is served, in one store. Entries
 * in a shard that was not are taken out by the repair after a death, before
 * anybody can have read them; so whoever comes with the key next goes on there,
 * and nobody gets it twice.
 */
#include "cs_compat.h"
#include "csq_publish.h"

#include <stdlib.h>

#define STEPS (4 * CSQ_DEVICES_MAX) /* a client has fewer queues               */

typedef struct sending {
    csq_publishing p;
    csq_group_name group;
    int everybody;
    unsigned shard;
    uint32_t room;   /* places there is memory for                  */
    uint32_t client; /* whose places are being added                */
    uint32_t repeat; /* the record of its key; 0: none              */
    unsigned served; /* shards that were served when it began       */
    csq_refused_fn *each;
    void *baton;
    csq_appended out;
} sending;

/* APR_SUCCESS: it is passed over; CSQ_RETRY: all of this shard is tried again. */
static apr_status_t refuse(sending *s, uint32_t client_number, apr_status_t status)
{
    csq_client *client = csq_client_at(s->p.q, client_number);
    char text[CSQ_CLIENT_MAX + 1] = "";

    if (status == CSQ_RETRY)
        return status;
    s->out.refused++;
    if (s->each)
        s->each(s->baton, client ? csq_client_text(s->p.q, client, text) : text, status);
    return APR_SUCCESS;
}

/* ---- whom it reaches in this shard ------------------------------------------ */

static apr_status_t need_room(sending *s, uint32_t more)
{
    void *memory;
    uint32_t room = s->room ? s->room : 64;

    if (s->p.count + more <= s->room)
        return APR_SUCCESS;
    while (room < s->p.count + more)
        room *= 2;
    memory = realloc(s->p.places, room * sizeof *s->p.places);
    if (!memory)
        return CSQ_NO_MEMORY;
    s->p.places = memory;
    s->room = room;
    return APR_SUCCESS;
}

/* It is touched: expiry, which may make room for the next, must not forget it.
 * APR_SUCCESS, CSQ_RETRY. */
static apr_status_t add_place(sending *s, uint32_t number, int copy)
{
    csq_queue *queue = csq_queue_at(s->p.q, number);
    csq_place place = { .queue = number, .target = s->client, .copy = copy };
    apr_status_t rv;

    if (!queue || !csq_place_is_there(&s->p, queue))
        return APR_SUCCESS;
    rv = csq_place_judge_locked(&s->p, s->shard, &place);
    if (rv != APR_SUCCESS)
        return refuse(s, s->client, rv);
    csq_queue_touch(s->p.q, queue, s->p.now);
    s->p.places[s->p.count++] = place;
    return APR_SUCCESS;
}

/* Known devices, and the queue that waits for the first. */
static unsigned count_known(sending *s, csq_client *client, uint32_t *out_waiting)
{
    uint32_t number = client->queues;
    unsigned known = 0;
    unsigned steps = 0;
    csq_queue *queue;

    *out_waiting = 0;
    for (; number && steps < STEPS; number = queue->sibling, steps++) {
        queue = csq_queue_at(s->p.q, number);
        if (!queue)
            break;
        if (queue->flags & CSQ_QUEUE_KNOWN)
            known++;
        else if (!queue->device_len)
            *out_waiting = number;
    }
    return known;
}

/* A member that never polled gets a queue in which things wait. */
static apr_status_t make_waiting(sending *s, uint32_t client_number, uint32_t *out)
{
    csq *q = s->p.q;
    csq_client *client = csq_client_at(q, client_number);
    csq_name name = { .key = NULL };
    uint32_t chain;
    apr_status_t rv;
    int ok;

    name.hash = csq_client_hash(q, client, &ok);
    if (!ok)
        return CSQ_DAMAGED;
    rv = csq_chunk_take(q, csq_queue_chunks(0), 0, &chain);
    if (rv == APR_SUCCESS)
        rv = csq_queue_make(q, chain, &name, NULL, 0, s->p.now);
    if (rv != APR_SUCCESS)
        return rv;
    *out = chain;
    return csq_queue_link_locked(q, s->shard, client_number, chain);
}

static apr_status_t add_client(sending *s, uint32_t number)
{
    csq_client *client = csq_client_at(s->p.q, number);
    uint32_t waiting;
    uint32_t at;
    unsigned known;
    unsigned added = 0;
    unsigned steps = 0;
    csq_queue *queue;
    apr_status_t rv;

    if (!client) {
        csq_repair_want(s->p.q);
        return CSQ_DAMAGED;
    }
    s->client = number;
    known = count_known(s, client, &waiting);
    rv = need_room(s, known + 1);
    if (rv != APR_SUCCESS)
        return rv;
    if (!known && !waiting && !s->p.now_only) {
        rv = make_waiting(s, number, &waiting);
        if (rv != APR_SUCCESS)
            return refuse(s, number, rv);
    }
    if (!known && waiting)
        rv = add_place(s, waiting, 0);
    for (at = client->queues; at && added < known && steps < STEPS && rv == APR_SUCCESS;
         at = queue->sibling, steps++) {
        queue = csq_queue_at(s->p.q, at);
        if (!queue)
            break;
        if (!(queue->flags & CSQ_QUEUE_KNOWN))
            continue;
        added++;
        rv = add_place(s, at, known > 1);
    }
    return rv;
}

static apr_status_t add_members(sending *s)
{
    csq *q = s->p.q;
    uint32_t number;
    uint32_t steps = 0;
    csq_members *members;
    int i;
    apr_status_t rv = csq_group_find_locked(q, s->shard, &s->group, &number);

    number = number ? csq_group_at(q, number)->members : 0;
    for (; number && rv == APR_SUCCESS; number = members->next) {
        members = csq_members_at(q, number);
        if (!members || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        for (i = 0; i < CSQ_MEMBERS_MAX && rv == APR_SUCCESS; i++)
            if (members->clients[i])
                rv = add_client(s, members->clients[i]);
    }
    return rv;
}

/* Most are empty where the segment has room for many more clients than there are.
 * @return `end`: all from `bucket` on are */
static uint32_t next_used(const csq *q, uint32_t bucket, uint32_t end)
{
    const uint32_t *b = q->buckets;

    while (end - bucket >= 4
           && !(b[bucket] | b[bucket + 1] | b[bucket + 2] | b[bucket + 3]))
        bucket += 4;
    while (bucket < end && !b[bucket])
        bucket++;
    return bucket;
}

static apr_status_t add_everybody(sending *s)
{
    csq *q = s->p.q;
    uint32_t bucket = s->shard * (q->bucket_mask + 1);
    uint32_t end = bucket + q->bucket_mask + 1;
    uint32_t steps = 0;
    uint32_t number;
    csq_client *client;
    apr_status_t rv = APR_SUCCESS;

    for (bucket = next_used(q, bucket, end); bucket < end && rv == APR_SUCCESS;
         bucket = next_used(q, bucket + 1, end))
        for (number = q->buckets[bucket]; number && rv == APR_SUCCESS;
             number = client->hash_next) {
            client = csq_client_at(q, number);
            if (!client || steps++ > q->chunk_count) {
                csq_repair_want(q);
                return CSQ_DAMAGED;
            }
            if (csq_client_in_realm(q, client, s->p.origin.realm, s->p.origin.realm_len))
                rv = add_client(s, number);
        }
    return rv;
}

/* ---- one shard ------------------------------------------------------------------ */

/* Its sender may have taken it back in between. */
static int was_withdrawn(sending *s)
{
    csq_stored *stored = csq_stored_at(s->p.q, s->p.stored);
    const csq_fate_record *fate =
        s->out.queues || s->served ? csq_fate_find_locked(s->p.q, s->p.id) : NULL;

    return stored ? stored->entry.committed == CSQ_WITHDRAWN
                  : fate && fate->fate == CSQ_FATE_WITHDRAWN;
}

/* A repair finds the record of its key by this. Before anything is linked. */
static void note_repeat(sending *s, csq_stored *stored)
{
    csq_receipt *receipt = csq_receipt_at(s->p.q, s->p.receipt);

    stored->entry.sequence_low = s->repeat;
    if (receipt)
        receipt->repeat = s->repeat;
}

/* After a repair, or a death: is it still there? CSQ_FINISHED: it must not come back. */
static apr_status_t find_again(sending *s)
{
    csq *q = s->p.q;
    csq_stored *stored;
    apr_status_t rv = csq_allocator_lock(q);

    if (rv != APR_SUCCESS)
        return rv;
    rv = csq_id_find_locked(q, s->p.id, &s->p.stored);
    if (rv == APR_SUCCESS)
        rv = csq_receipt_find_locked(q, s->p.id, &s->p.receipt);
    if (rv == APR_SUCCESS && was_withdrawn(s))
        rv = CSQ_FINISHED;
    if (rv != APR_SUCCESS)
        s->p.stored = 0;
    stored = csq_stored_at(q, s->p.stored);
    if (stored) {
        s->p.origin_number = stored->entry.body;
        stored->refs++;
        note_repeat(s, stored);
    }
    csq_allocator_unlock(q);
    return rv;
}

/* Take chunks for the places; those for whom there is no room are refused. The
 * message is stored for one at least.
 * @return CSQ_SEGMENT_FULL: for none                                         */
static apr_status_t take(sending *s)
{
    int first = !s->p.stored;
    csq_stored *stored;
    apr_status_t rv = CSQ_SEGMENT_FULL;

    while (rv == CSQ_SEGMENT_FULL && s->p.count > 0) {
        rv = csq_publishing_take_locked(&s->p, 0);
        if (rv == CSQ_SEGMENT_FULL)
            refuse(s, s->p.places[--s->p.count].target, rv);
    }
    if (rv != APR_SUCCESS || !first)
        return rv;
    stored = csq_stored_at(s->p.q, s->p.stored);
    if (!stored)
        return CSQ_DAMAGED;
    stored->refs++;
    note_repeat(s, stored);
    return APR_SUCCESS;
}

static apr_status_t link_places(sending *s)
{
    csq_publishing *p = &s->p;
    csq_stored *stored = csq_stored_at(p->q, p->stored);
    int first = stored && !stored->entry.committed;
    apr_status_t rv = first ? csq_publishing_write(p) : APR_SUCCESS;
    uint32_t i;

    if (rv == APR_SUCCESS && first)
        rv = csq_publishing_commit(p, s->shard);
    for (i = 0; i < p->count && rv == APR_SUCCESS; i++)
        rv = csq_place_link_locked(p, s->shard, &p->places[i]);
    if (rv == APR_SUCCESS)
        csq_repeat_many_served(p->q, s->repeat, p->id, s->shard + 1);
    for (i = 0; i < p->count && rv == APR_SUCCESS; i++) {
        rv = csq_place_finish_locked(p, s->shard, &p->places[i]);
        s->out.queues++;
        s->out.receivers += i == 0 || p->places[i].target != p->places[i - 1].target;
    }
    if (rv != APR_SUCCESS) {
        csq_repair_want(p->q);
        rv = CSQ_DAMAGED;
    }
    return rv;
}

static apr_status_t serve_shard(sending *s)
{
    apr_status_t rv;

    s->p.count = 0;
    s->p.chain = 0;
    rv = s->everybody ? add_everybody(s) : add_members(s);
    if (rv != APR_SUCCESS || s->p.count == 0)
        return rv;
    rv = take(s);
    if (rv == CSQ_SEGMENT_FULL)
        return APR_SUCCESS;
    return rv == APR_SUCCESS ? link_places(s) : rv;
}

/* ---- all of them ------------------------------------------------------------------ */

/* Give up the hold; the last shard is still locked. If it cannot be given up
 * now a repair does, and all has been queued nevertheless.                   */
static apr_status_t let_go(sending *s)
{
    csq *q = s->p.q;
    apr_status_t rv;

    if (!s->p.stored)
        return csq_publishing_nobody(&s->p);
    rv = csq_allocator_lock(q);
    if (rv != APR_SUCCESS) {
        csq_repair_want(q);
        return APR_SUCCESS;
    }
    rv = csq_message_unhold_locked(q, s->shard, s->p.stored);
    csq_allocator_unlock(q);
    return rv;
}

static void ring(sending *s)
{
    csq_slot_ring(s->p.q, &s->p.rings);
    s->p.rings.count = 0;
    s->p.rings.many = 0;
}

/* Nothing is locked. Repairs first, if that is due. */
static apr_status_t lock_again(sending *s)
{
    uint32_t set = UINT32_C(1) << s->shard;
    apr_status_t rv;

    s->p.stored = 0;
    rv = csq_lock(s->p.q, set);
    if (rv != APR_SUCCESS)
        return rv;
    rv = find_again(s);
    if (rv != APR_SUCCESS)
        csq_unlock(s->p.q, set);
    return rv;
}

/* From here on all statuses but APR_SUCCESS mean that nothing is locked. */
static apr_status_t go_to(sending *s, unsigned shard)
{
    apr_status_t rv = csq_lock_next(s->p.q, s->shard, shard);

    ring(s);
    s->shard = shard;
    if (rv == CSQ_RETRY)
        return lock_again(s);
    if (rv != APR_SUCCESS && s->p.stored)
        csq_repair_want(s->p.q);
    return rv;
}

/* If a repair is due before anything was linked here it is tried again. */
static apr_status_t serve_locked(sending *s)
{
    csq *q = s->p.q;
    apr_uint32_t refused = s->out.refused;
    apr_status_t rv;
    int i;

    for (i = 1;; i++) {
        rv = serve_shard(s);
        csq_release_locked(q, s->shard);
        if (rv == APR_SUCCESS)
            return rv;
        if (s->p.stored)
            csq_repair_want(q);
        csq_unlock(q, UINT32_C(1) << s->shard);
        ring(s);
        if (rv != CSQ_RETRY || s->out.refused != refused || i == CSQ_RETRIES)
            return rv;
        rv = lock_again(s);
        if (rv != APR_SUCCESS)
            return rv;
    }
}

/* Lock the first shard that is to be served. */
static apr_status_t begin(sending *s)
{
    const csq_message *message = s->p.message;
    apr_status_t rv;

    if (!message->repeat)
        return csq_lock(s->p.q, 1);
    rv = csq_repeat_many_begin(s->p.q, message->repeat, s->p.id, &s->repeat, &s->served);
    if (rv != APR_SUCCESS)
        return rv;
    s->out.resumed = s->served > 0;
    s->shard = s->served < CSQ_SHARDS ? s->served : CSQ_SHARDS - 1;
    return lock_again(s);
}

static apr_status_t serve_all(sending *s)
{
    csq *q = s->p.q;
    apr_status_t rv = begin(s);

    if (rv == APR_SUCCESS)
        rv = serve_locked(s);
    while (rv == APR_SUCCESS && s->shard + 1 < CSQ_SHARDS) {
        rv = go_to(s, s->shard + 1);
        if (rv == APR_SUCCESS)
            rv = serve_locked(s);
    }
    if (rv != APR_SUCCESS)
        return rv;
    rv = let_go(s);
    if (rv == APR_SUCCESS && (s->served || s->out.queues || !s->out.refused))
        csq_repeat_many_served(q, s->repeat, s->p.id, CSQ_SHARDS);
    csq_unlock(q, UINT32_C(1) << s->shard);
    ring(s);
    return rv;
}

apr_status_t csq_append_group(csq *q, const csq_message *message, const char *group,
                              apr_time_t now, csq_refused_fn *each, void *baton,
                              csq_appended *out)
{
    sending s = { .each = each, .baton = baton, .everybody = !group };
    apr_status_t rv = csq_publishing_begin(&s.p, q, message, now);

    if (rv == APR_SUCCESS && group)
        rv = csq_group_name_make(q, message->realm, message->app, group, &s.group);
    if (rv != APR_SUCCESS)
        return rv;
    s.p.spread = 1;
    rv = serve_all(&s);
    free(s.p.places);
    if (rv != APR_SUCCESS && s.out.queues) {
        refuse(&s, 0, rv == CSQ_RETRY ? CSQ_BUSY : rv);
        rv = APR_SUCCESS;
    }
    if (rv == CSQ_FINISHED && s.out.resumed)
        rv = APR_SUCCESS; /* taken back by its sender: there is no rest */
    memcpy(s.out.id, s.p.id, CSQ_ID_BYTES);
    if (out)
        *out = s.out;
    return rv == CSQ_RETRY ? CSQ_BUSY : rv;
}
