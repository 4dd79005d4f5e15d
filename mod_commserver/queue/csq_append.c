/* SPDX-License-Identifier: Apache-2.0
 * csq_append.c - publish to one client or to several, all or none, or to
 * those of them where it can be queued.
 *
 * A target is a receiver as it was named; its places are the queues that this
 * comes to now: those of all known devices, the one of the device named, or
 * the one that waits for the first device.
 */
#include "cs_compat.h"
#include "csq_publish.h"

#include <stdlib.h>

#define FEW 4 /* targets that need no memory                 */

typedef struct target {
    csq_name name;
    uint32_t client; /* 0: to be made                               */
    uint32_t first;  /* of its places                               */
    uint32_t count;
    int position; /* in the caller's array                       */
    int same;     /* 1 + the one before it of the same key       */
    int shares;   /* 1 + the one before it that has its place    */
    apr_status_t status;
} target;

typedef struct appending {
    csq_publishing p;
    target *targets; /* sorted by shard and hash                    */
    uint32_t room;   /* places there is memory for                  */
    uint32_t set;    /* shards                                      */
    int n;
    csq_appended *out;
} appending;

/* ---- who it is for -------------------------------------------------------- */

static int compare_targets(const void *left, const void *right)
{
    const target *a = left;
    const target *b = right;
    unsigned shard_a = csq_name_shard(&a->name);
    unsigned shard_b = csq_name_shard(&b->name);

    if (shard_a != shard_b)
        return shard_a < shard_b ? -1 : 1;
    if (a->name.hash != b->name.hash)
        return a->name.hash < b->name.hash ? -1 : 1;
    return a->position - b->position;
}

static int same_client(const csq_name *a, const csq_name *b)
{
    return a->hash == b->hash && strcmp(a->key->realm, b->key->realm) == 0
           && strcmp(a->key->client, b->key->client) == 0;
}

static int same_key(const csq_name *a, const csq_name *b)
{
    return same_client(a, b) && !a->key->device == !b->key->device
           && (!a->key->device || strcmp(a->key->device, b->key->device) == 0);
}

static void find_doubles(appending *a, int i)
{
    target *t = &a->targets[i];
    int j;

    for (j = i - 1; j >= 0 && a->targets[j].name.hash == t->name.hash; j--)
        if (same_key(&a->targets[j].name, &t->name)) {
            t->same = j + 1;
            break;
        }
}

/* Look the keys over. A name that is not allowed is one refused receiver. */
static void sort_targets(appending *a, const csq_key *to)
{
    int i;

    for (i = 0; i < a->n; i++) {
        target *t = &a->targets[i];

        memset(t, 0, sizeof *t);
        t->position = i;
        t->status = csq_name_make(a->p.q, &to[i], &t->name);
        if (t->status == APR_SUCCESS)
            a->set |= UINT32_C(1) << csq_name_shard(&t->name);
        else
            t->name.key = &to[i];
    }
    if (a->n > 1)
        qsort(a->targets, (size_t)a->n, sizeof *a->targets, compare_targets);
    for (i = 0; i < a->n; i++)
        find_doubles(a, i);
}

/* ---- which queues ---------------------------------------------------------- */

static int same_queue(const csq_name *a, const csq_name *b)
{
    return same_client(a, b) && a->device_len == b->device_len
           && (!a->device_len || strcmp(a->key->device, b->key->device) == 0);
}

/* Another target of the same client, which stands before it, may have it. */
static csq_place *find_place(const appending *a, const target *t, uint32_t queue)
{
    uint32_t i = a->p.count;
    csq_place *place;
    const csq_name *name;

    for (; i > 0; i--) {
        place = &a->p.places[i - 1];
        name = &a->targets[place->target].name;
        if (name->hash != t->name.hash)
            break;
        if (queue ? place->queue == queue : !place->queue && same_queue(name, &t->name))
            return place;
    }
    return NULL;
}

static void add_place(appending *a, target *t, uint32_t number)
{
    csq_queue *queue = csq_queue_at(a->p.q, number);
    csq_place *place;

    if (queue ? !csq_place_is_there(&a->p, queue) : a->p.now_only)
        return;
    place = find_place(a, t, number);
    if (place)
        t->shares = (int)place->target + 1;
    if (place || a->p.count >= a->room)
        return;
    if (queue)
        csq_queue_touch(a->p.q, queue, a->p.now);
    place = &a->p.places[a->p.count++];
    memset(place, 0, sizeof *place);
    place->queue = number;
    place->target = (uint32_t)(t - a->targets);
    t->count++;
}

/* Also where a target before it named the device. */
static void mark_copies(appending *a, const target *t)
{
    uint32_t i = a->p.count;
    csq_queue *queue;

    for (; i > 0; i--) {
        queue = csq_queue_at(a->p.q, a->p.places[i - 1].queue);
        if (a->targets[a->p.places[i - 1].target].name.hash != t->name.hash)
            break;
        if (queue && queue->client == t->client && (queue->flags & CSQ_QUEUE_KNOWN))
            a->p.places[i - 1].copy = 1;
    }
}

/* All known devices; else what waits for the first. */
static apr_status_t add_devices(appending *a, target *t, csq_client *client)
{
    uint32_t number = client->queues;
    uint32_t waiting = 0;
    uint32_t known = 0;
    uint32_t steps = 0;
    csq_queue *queue;

    for (; number; number = queue->sibling) {
        queue = csq_queue_at(a->p.q, number);
        if (!queue || steps++ > a->p.q->chunk_count) {
            csq_repair_want(a->p.q);
            return CSQ_DAMAGED;
        }
        if (queue->flags & CSQ_QUEUE_KNOWN) {
            known++;
            add_place(a, t, number);
        }
        else if (!queue->device_len)
            waiting = number;
    }
    if (!known)
        add_place(a, t, waiting);
    if (known > 1)
        mark_copies(a, t);
    return APR_SUCCESS;
}

static apr_status_t find_places_of(appending *a, target *t)
{
    csq *q = a->p.q;
    const csq_key *key = t->name.key;
    csq_client *client;
    uint32_t queue = 0;
    apr_status_t rv = csq_client_find_locked(q, &t->name, &t->client);

    client = csq_client_at(q, t->client);
    if (rv != APR_SUCCESS)
        return rv;
    if (client && !key->device)
        return add_devices(a, t, client);
    if (client)
        rv = csq_queue_find_locked(q, client, key->device, t->name.device_len, &queue);
    if (rv == APR_SUCCESS)
        add_place(a, t, queue);
    return rv;
}

/* They are touched at once: expiry, which may make room, must not forget them. */
static apr_status_t find_places(appending *a)
{
    apr_status_t rv;
    int i;

    a->p.count = 0;
    for (i = 0; i < a->n; i++) {
        target *t = &a->targets[i];

        t->client = 0;
        t->count = 0;
        t->shares = 0;
        t->first = a->p.count;
        if (t->status == CSQ_BAD_NAME || t->same)
            continue;
        t->status = APR_SUCCESS;
        rv = find_places_of(a, t);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return APR_SUCCESS;
}

/* ---- may it be queued? ----------------------------------------------------- */

/* Statuses that speak of one receiver; others end the whole call. */
static int is_refusal(apr_status_t status)
{
    return status == CSQ_QUEUE_FULL || status == CSQ_CLIENTS_FULL
           || status == CSQ_BAD_NAME || status == CSQ_DEVICES_FULL;
}

/* What this call is about to make. Targets of one client stand side by side. */
typedef struct making {
    const csq_name *name; /* whose devices they are                      */
    int made;             /* and that is a new client                    */
    uint32_t devices;
    uint32_t clients; /* with those that are there                   */
} making;

static apr_status_t judge_client(appending *a, making *m)
{
    if (m->made)
        return APR_SUCCESS;
    if (m->clients >= a->p.limits.max_clients)
        return CSQ_CLIENTS_FULL;
    m->clients++;
    m->made = 1;
    return APR_SUCCESS;
}

/* Its client may have gone since: expiry made room for another place. */
static apr_status_t judge_new(appending *a, target *t, making *m)
{
    apr_status_t rv = csq_client_find_locked(a->p.q, &t->name, &t->client);

    if (!m->name || !same_client(m->name, &t->name)) {
        m->name = &t->name;
        m->made = 0;
        m->devices = 0;
    }
    if (rv == APR_SUCCESS && !t->client)
        rv = judge_client(a, m);
    if (rv != APR_SUCCESS || !t->name.device_len)
        return rv;
    rv = csq_queue_room_locked(a->p.q, csq_name_shard(&t->name), t->client, m->devices,
                               a->n == 1);
    m->devices += rv == APR_SUCCESS;
    return rv;
}

static apr_status_t judge_target(appending *a, target *t, making *m)
{
    apr_status_t rv = APR_SUCCESS;
    uint32_t i;

    for (i = t->first; i < t->first + t->count && rv == APR_SUCCESS; i++) {
        csq_place *place = &a->p.places[i];

        if (place->queue)
            rv = csq_place_judge_locked(&a->p, csq_name_shard(&t->name), place);
        else
            rv = judge_new(a, t, m);
    }
    if (!t->count && t->shares)
        rv = a->targets[t->shares - 1].status;
    return rv;
}

/* Leave out the places of those that are refused. */
static void leave_out_refused(appending *a)
{
    uint32_t count = 0;
    uint32_t i;

    for (i = 0; i < a->p.count; i++)
        if (a->targets[a->p.places[i].target].status == APR_SUCCESS)
            a->p.places[count++] = a->p.places[i];
    a->p.count = count;
}

static apr_status_t judge_targets(appending *a)
{
    making m = { .clients = __atomic_load_n(&a->p.q->header->clients, __ATOMIC_RELAXED) };
    int refused = 0;
    int i;

    for (i = 0; i < a->n; i++) {
        target *t = &a->targets[i];

        if (t->same)
            t->status = a->targets[t->same - 1].status;
        else if (t->status != CSQ_BAD_NAME)
            t->status = judge_target(a, t, &m);
        if (t->status != APR_SUCCESS && !is_refusal(t->status))
            return t->status;
        refused |= t->status != APR_SUCCESS;
    }
    if (!refused)
        return APR_SUCCESS;
    if (!a->p.message->lenient)
        return a->n == 1 ? a->targets[0].status : CSQ_REFUSED;
    leave_out_refused(a);
    return APR_SUCCESS;
}

/* ---- new clients and queues ------------------------------------------------ */

/* The client of a new queue: it may have gone since, or be that of the place
 * before, which makes it.                                                    */
static apr_status_t need_client(appending *a, uint32_t i, uint32_t *out_chunks)
{
    target *t = &a->targets[a->p.places[i].target];
    const target *before = i ? &a->targets[a->p.places[i - 1].target] : NULL;
    apr_status_t rv = csq_client_find_locked(a->p.q, &t->name, &t->client);

    *out_chunks = csq_queue_chunks(t->name.device_len);
    if (!t->client
        && !(before && !before->client && same_client(&before->name, &t->name)))
        *out_chunks += csq_client_chunks(t->name.realm_len, t->name.client_len);
    return rv;
}

static apr_status_t chunks_of_new(appending *a, uint32_t *out_chunks)
{
    apr_status_t rv = APR_SUCCESS;
    uint32_t chunks;
    uint32_t i;

    *out_chunks = 0;
    for (i = 0; i < a->p.count && rv == APR_SUCCESS; i++) {
        if (a->p.places[i].queue)
            continue;
        rv = need_client(a, i, &chunks);
        *out_chunks += chunks;
    }
    return rv;
}

static apr_status_t make_queue(appending *a, csq_place *place)
{
    csq *q = a->p.q;
    target *t = &a->targets[place->target];
    uint32_t queue = csq_chain_cut(q, &a->p.chain, csq_queue_chunks(t->name.device_len));
    uint32_t client;
    apr_status_t rv = CSQ_DAMAGED;

    if (queue)
        rv = csq_queue_make(q, queue, &t->name, t->name.key->device, t->name.device_len,
                            a->p.now);
    if (rv == APR_SUCCESS)
        rv = csq_client_find_locked(q, &t->name, &t->client);
    if (rv != APR_SUCCESS)
        return rv;
    place->queue = queue;
    if (t->client)
        return csq_queue_link_locked(q, csq_name_shard(&t->name), t->client, queue);
    client = csq_chain_cut(q, &a->p.chain,
                           csq_client_chunks(t->name.realm_len, t->name.client_len));
    return client ? csq_client_make_locked(q, &t->name, client, queue) : CSQ_DAMAGED;
}

static apr_status_t make_queues(appending *a)
{
    apr_status_t rv = APR_SUCCESS;
    uint32_t i;

    for (i = 0; i < a->p.count && rv == APR_SUCCESS; i++)
        if (!a->p.places[i].queue)
            rv = make_queue(a, &a->p.places[i]);
    return rv;
}

/* ---- under the locks -------------------------------------------------------- */

static unsigned shard_of(const appending *a, const csq_place *place)
{
    return csq_name_shard(&a->targets[place->target].name);
}

static apr_status_t link_places(appending *a)
{
    csq_stored *stored = csq_stored_at(a->p.q, a->p.stored);
    apr_status_t rv = APR_SUCCESS;
    uint32_t i;

    if (!stored)
        return CSQ_DAMAGED;
    if (!a->p.spread)
        stored->entry.committed = 1;
    for (i = 0; i < a->p.count && rv == APR_SUCCESS; i++)
        rv = csq_place_link_locked(&a->p, shard_of(a, &a->p.places[i]), &a->p.places[i]);
    if (rv == APR_SUCCESS)
        rv = csq_publishing_commit(&a->p, shard_of(a, &a->p.places[0]));
    for (i = 0; i < a->p.count && rv == APR_SUCCESS; i++)
        rv =
            csq_place_finish_locked(&a->p, shard_of(a, &a->p.places[i]), &a->p.places[i]);
    return rv;
}

static void count_out(appending *a)
{
    int i;

    memset(a->out, 0, sizeof *a->out);
    memcpy(a->out->id, a->p.id, CSQ_ID_BYTES);
    a->out->queues = a->p.count;
    for (i = 0; i < a->n; i++)
        if (!a->targets[i].same) {
            a->out->refused += a->targets[i].status != APR_SUCCESS;
            a->out->receivers += a->targets[i].status == APR_SUCCESS
                                 && (a->targets[i].count || a->targets[i].shares);
        }
}

static apr_status_t append_locked(appending *a)
{
    uint32_t more;
    apr_status_t rv;

    a->p.stored = 0;
    a->p.receipt = 0;
    a->p.chain = 0;
    rv = find_places(a);
    if (rv == APR_SUCCESS)
        rv = judge_targets(a);
    if (rv != APR_SUCCESS)
        return rv;
    if (a->p.count == 0)
        return csq_publishing_nobody(&a->p);
    a->p.spread = a->p.count > 1 || a->p.message->topic;
    rv = chunks_of_new(a, &more);
    if (rv == APR_SUCCESS)
        rv = csq_publishing_take_locked(&a->p, more);
    if (rv != APR_SUCCESS)
        return rv;
    rv = make_queues(a);
    if (rv == APR_SUCCESS)
        rv = csq_publishing_write(&a->p);
    if (rv == APR_SUCCESS)
        rv = link_places(a);
    if (rv != APR_SUCCESS) {
        csq_repair_want(a->p.q);
        rv = CSQ_DAMAGED;
    }
    return rv;
}

/* ---- the call --------------------------------------------------------------- */

static apr_status_t append_once(appending *a)
{
    uint32_t left;
    apr_status_t rv = csq_lock(a->p.q, a->set);

    if (rv != APR_SUCCESS)
        return rv;
    a->p.rings.count = 0;
    a->p.rings.many = 0;
    rv = append_locked(a);
    for (left = a->set; left; left &= left - 1)
        csq_release_locked(a->p.q, (unsigned)__builtin_ctz(left));
    csq_unlock(a->p.q, a->set);
    csq_slot_ring(a->p.q, &a->p.rings);
    return rv;
}

static apr_status_t append_with_retries(appending *a)
{
    apr_status_t rv = CSQ_RETRY;
    int swept = 0;
    int i;

    for (i = 0; i < CSQ_RETRIES && rv == CSQ_RETRY; i++) {
        rv = append_once(a);
        if ((rv == CSQ_SEGMENT_FULL || rv == CSQ_CLIENTS_FULL) && !swept) {
            swept = 1;
            csq_expire(a->p.q, a->p.now, a->p.q->chunk_count);
            rv = CSQ_RETRY;
        }
    }
    return rv == CSQ_RETRY ? CSQ_BUSY : rv;
}

static apr_status_t append(appending *a, const csq_key *to, apr_status_t *refused)
{
    apr_status_t rv;
    int i;

    sort_targets(a, to);
    if (a->n == 1 && a->targets[0].status != APR_SUCCESS && !a->p.message->lenient)
        return a->targets[0].status;
    rv = append_with_retries(a);
    if (rv == APR_SUCCESS && a->out)
        count_out(a);
    for (i = 0; i < a->n && refused; i++)
        if (rv == CSQ_REFUSED || (rv == APR_SUCCESS && a->p.message->lenient))
            refused[a->targets[i].position] = a->targets[i].status;
    return rv;
}

apr_status_t csq_append(csq *q, const csq_message *message, const csq_key *to, int n,
                        apr_time_t now, apr_status_t *refused, csq_appended *out)
{
    target few[FEW];
    csq_place places[CSQ_DEVICES_MAX];
    appending a = { .targets = few, .n = n, .room = CSQ_DEVICES_MAX, .out = out };
    apr_status_t rv;

    if (n < 1 || n > CSQ_RECEIVERS_MAX)
        return APR_EINVAL;
    rv = csq_publishing_begin(&a.p, q, message, now);
    if (rv != APR_SUCCESS)
        return rv;
    a.p.places = places;
    if (n > 1) {
        a.room = (uint32_t)n * CSQ_DEVICES_MAX;
        a.p.places = calloc(a.room, sizeof places[0]);
        a.targets = n <= FEW ? few : calloc((size_t)n, sizeof few[0]);
    }
    if (a.p.places && a.targets)
        rv = append(&a, to, refused);
    else
        rv = CSQ_NO_MEMORY;
    if (a.p.places != places)
        free(a.p.places);
    if (a.targets != few)
        free(a.targets);
    return rv;
}
