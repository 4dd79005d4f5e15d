/* SPDX-License-Identifier: Apache-2.0
 * csq_start.c - where a server's segment comes from: one that was left behind,
 * a saved state, or nothing.
 *
 * What is where, and what a death leaves at each step:
 *
 *   stop     the state is written whole, the segment notes its id, the file
 *            gets its name, the segment goes. Both there: the segment has all
 *            that the file has, and the file goes at the next start.
 *   restore  the segment is filled, gets its magic, the file goes. Without the
 *            magic it is thrown away and the file is read again; with it, the
 *            id in it says that the file has been read.
 *
 * So a state is restored once. A file that does not belong to a segment that
 * goes on is set aside, not mixed into it.
 */
#include "cs_compat.h"
#include "csq_saved.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

/* ---- a new segment ------------------------------------------------------ */

static void make_free_list(csq *q)
{
    uint32_t i;

    for (i = 1; i <= q->chunk_count; i++)
        ((csq_chunk *)csq_chunk_at(q, i))->next = i < q->chunk_count ? i + 1 : 0;
    q->header->free_head = 1;
    q->header->free_count = q->chunk_count;
    q->header->free_lowest = q->chunk_count;
}

/* The pages are fresh from the kernel: all zero. */
static apr_status_t fill_segment(csq *q, const csq_map *map, const csq_limits *limits)
{
    csq_header *header = q->header;
    apr_time_t now = apr_time_now();
    apr_status_t rv;
    unsigned i;

    header->magic = CSQ_MAGIC_MAKING;
    header->layout = CSQ_LAYOUT_VERSION;
    header->chunk_bytes = CSQ_CHUNK_BYTES;
    csq_build_text(header->build);
    header->size = map->end;
    header->slot_count = map->slot_count;
    header->bucket_count = map->bucket_count;
    header->origin_count = map->origin_count;
    header->id_count = map->id_count;
    header->receipt_count = map->receipt_count;
    header->topic_count = map->topic_count;
    header->group_count = map->group_count;
    header->repeat_count = map->repeat_count;
    header->fate_count = map->fate_count;
    header->chunk_count = map->chunk_count;
    header->created = now;
    rv = csq_random(q, header->secret, sizeof header->secret);
    if (rv == APR_SUCCESS)
        rv = csq_random(q, &header->epoch_secret, sizeof header->epoch_secret);
    if (rv == APR_SUCCESS)
        rv = csq_mutexes_make(q);
    if (rv == APR_SUCCESS)
        rv = csq_limits_set(q, limits);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; i < CSQ_SHARDS; i++)
        q->shards[i].tick = csq_seconds(now);
    for (i = 0; i < q->slot_count; i++)
        q->slots[i].head = q->slots[i].tail = CSQ_RING;
    make_free_list(q);
    return APR_SUCCESS;
}

static apr_status_t make_segment(csq *q, const csq_plan *plan, size_t size)
{
    apr_status_t rv = csq_memory_create(q, size);
    csq_map map;
    char *base;

    if (rv != APR_SUCCESS)
        return rv;
    base = csq_memory_base(q, &size);
    rv = csq_map_make(size, plan->slots, plan->limits->max_clients, &map);
    if (rv != APR_SUCCESS)
        return rv;
    csq_map_apply(q, base, &map);
    return fill_segment(q, &map, plan->limits);
}

/* From now on it is one. */
static apr_status_t finish_segment(csq *q)
{
    apr_status_t rv = csq_lock_file_sign(q);

    if (rv == APR_SUCCESS)
        __atomic_store_n(&q->header->magic, CSQ_MAGIC, __ATOMIC_RELEASE);
    return rv;
}

static apr_status_t make_empty(csq *q, const csq_plan *plan)
{
    apr_status_t rv;

    csq_memory_drop(q, 1);
    rv = make_segment(q, plan, plan->size);
    return rv == APR_SUCCESS ? finish_segment(q) : rv;
}

/* ---- a saved state ------------------------------------------------------- */

static void set_state_aside(const csq_plan *plan, apr_status_t reason,
                            const char *problem, apr_pool_t *pool, csq_outcome *out)
{
    const char *aside = apr_pstrcat(pool, plan->state, ".damaged", NULL);
    apr_status_t kept = rename(plan->state, aside) == 0 ? APR_SUCCESS : errno;

    if (APR_STATUS_IS_ENOENT(kept)) /* it could not be told whether there is one */
        return;
    out->state_reason = reason;
    out->state_problem = problem;
    out->state_aside = aside;
    out->state_kept = kept;
}

static void remove_state(const csq_plan *plan, apr_pool_t *pool, csq_outcome *out)
{
    if (unlink(plan->state) == 0)
        csq_folder_sync(plan->state);
    else if (errno != ENOENT)
        set_state_aside(plan, errno, "it has been restored, but cannot be removed", pool,
                        out);
}

/* One attempt, into a segment of this size. */
static apr_status_t restore_into(csq *q, const csq_plan *plan, size_t size,
                                 apr_pool_t *pool, csq_outcome *out)
{
    csq_saved_begin begin;
    csq_reader reader;
    apr_status_t rv = csq_reader_open(&reader, plan->state, &begin);

    if (rv != APR_SUCCESS)
        return rv;
    csq_memory_drop(q, 1);
    rv = make_segment(q, plan, size);
    if (rv == APR_SUCCESS)
        rv = csq_restore(q, &reader, &begin,
                         out->beginning == CSQ_BEGUN_SET_ASIDE && !out->complete, pool,
                         &out->state_problem);
    csq_reader_close(&reader);
    return rv;
}

/* Bytes of a segment for one of a file, at most: a member of a group, whose
 * record is short, may need a client, and a part of the group in its shard.   */
#define ROOM_MOST 32

/* What a file says is believed as far as so much could have been in it. */
static uint64_t believable_size(const csq_plan *plan, const csq_reader *reader,
                                uint64_t size)
{
    uint64_t most = plan->size + (reader->left + reader->have) * ROOM_MOST;

    return size < most ? size : most;
}

#define SIZES 4

/* The size wanted, then as large as it was, then larger: other limits may want
 * larger tables.                                                             */
static apr_status_t restore_somewhere(csq *q, const csq_plan *plan, uint64_t old,
                                      apr_pool_t *pool, csq_outcome *out)
{
    size_t sizes[SIZES] = { plan->size };
    apr_status_t rv = CSQ_SEGMENT_FULL;
    int i;

    sizes[1] = old > plan->size ? (size_t)old : plan->size / 4 * 5;
    sizes[2] = sizes[1] / 4 * 5;
    sizes[3] = sizes[2] / 4 * 5;
    for (i = 0; i < SIZES && rv == CSQ_SEGMENT_FULL; i++)
        rv = restore_into(q, plan, sizes[i], pool, out);
    if (i > 1 && rv == CSQ_NO_MEMORY)
        rv = restore_into(q, plan, plan->size, pool, out);
    return rv;
}

static void count_restored(csq *q, csq_outcome *out)
{
    csq_stats stats;

    csq_stats_get(q, &stats);
    out->restored = 1;
    out->clients = stats.clients;
    out->messages = stats.queued;
}

/* Can the segment be used, and is only the file to blame? */
static int is_partial(apr_status_t rv)
{
    return rv == CSQ_DAMAGED || rv == CSQ_SEGMENT_FULL || rv == EIO;
}

static apr_status_t restore_state(csq *q, const csq_plan *plan, uint64_t old,
                                  apr_pool_t *pool, csq_outcome *out)
{
    apr_status_t rv = restore_somewhere(q, plan, old, pool, out);
    apr_status_t finished;

    if (csq_is_passing(rv))
        return rv;
    if (rv == APR_SUCCESS || (q->header && is_partial(rv))) {
        count_restored(q, out);
        finished = finish_segment(q);
        if (finished != APR_SUCCESS)
            return finished;
        if (rv == APR_SUCCESS)
            remove_state(plan, pool, out);
        else
            set_state_aside(plan, rv, out->state_problem, pool, out);
        return APR_SUCCESS;
    }
    finished = make_empty(q, plan);
    if (finished == APR_SUCCESS)
        set_state_aside(plan, rv, out->state_problem, pool, out);
    return finished;
}

/* Nothing was taken over. */
static apr_status_t begin_anew(csq *q, const csq_plan *plan, apr_pool_t *pool,
                               csq_outcome *out)
{
    csq_saved_begin begin;
    csq_reader reader;
    apr_status_t rv = csq_lock_file_renew(q);
    apr_status_t state = APR_ENOENT;

    if (rv != APR_SUCCESS)
        return rv;
    if (plan->state)
        state = csq_reader_open(&reader, plan->state, &begin);
    if (state == APR_SUCCESS) {
        begin.size = believable_size(plan, &reader, begin.size);
        csq_reader_close(&reader);
        out->complete = memcmp(begin.id, out->saved_as, sizeof begin.id) == 0;
        return restore_state(q, plan, begin.size, pool, out);
    }
    if (csq_is_passing(state))
        return state;
    rv = make_empty(q, plan);
    if (rv == APR_SUCCESS && !APR_STATUS_IS_ENOENT(state)
        && !APR_STATUS_IS_ENOTDIR(state))
        set_state_aside(plan, state, NULL, pool, out);
    return rv;
}

/* ---- one that was taken over ---------------------------------------------- */

/* It has all that a file of the id that it notes has. */
static void settle_state(csq *q, const csq_plan *plan, apr_pool_t *pool, csq_outcome *out)
{
    csq_saved_begin begin;
    csq_reader reader;
    apr_status_t rv = csq_reader_open(&reader, plan->state, &begin);

    if (APR_STATUS_IS_ENOENT(rv) || APR_STATUS_IS_ENOTDIR(rv))
        return;
    if (rv == APR_SUCCESS) {
        csq_reader_close(&reader);
        if (memcmp(begin.id, q->header->restored, sizeof begin.id) == 0) {
            remove_state(plan, pool, out);
            return;
        }
        rv = CSQ_IN_USE;
    }
    set_state_aside(plan, rv, "the segment was there and goes on", pool, out);
}

/* Another size is wanted: by way of a file. What cannot be saved goes on. */
static int is_saved_for_resize(csq *q, const csq_plan *plan)
{
    if (apr_shm_size_get(q->shm) == plan->size && q->slot_count >= plan->slots)
        return 0;
    if (csq_save(q, plan->state) == APR_SUCCESS)
        return 1;
    __atomic_store_n(&q->header->closed, 0, __ATOMIC_RELEASE);
    return 0;
}

apr_status_t csq_begin(csq *q, const csq_plan *plan, apr_pool_t *pool, csq_outcome *out)
{
    apr_status_t rv = csq_takeover(q, plan, pool, out);

    if (rv == APR_SUCCESS && plan->state) {
        settle_state(q, plan, pool, out);
        if (is_saved_for_resize(q, plan)) {
            csq_memory_drop(q, 1);
            rv = APR_ENOENT;
        }
    }
    return APR_STATUS_IS_ENOENT(rv) ? begin_anew(q, plan, pool, out) : rv;
}
