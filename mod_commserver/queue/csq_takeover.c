/* SPDX-License-Identifier: Apache-2.0
 * csq_takeover.c - go on with the segment of a server that was killed.
 *
 * The caller holds the server's byte of the lock file that belongs to the
 * memory, so none of the server's processes is left. Others may still be
 * attached (they hold a byte of their own): they go on, and then the mutexes
 * must be had the ordinary way, since one of those processes may be at work
 * just now. One that does not give them back in time keeps the old memory,
 * and what is in it is taken over into new memory. Without such processes
 * nothing that the mutexes say is believed: they are made anew.
 *
 * Then everything that follows from the truth (csq_layout.h) is made anew by
 * a repair, which mends what can be mended, and audited. What cannot be used
 * is set aside: its bytes go into a file, and its name goes.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_TIMEOUT apr_time_from_sec(2) /* for those who are attached     */

/* ---- set aside ---------------------------------------------------------- */

/* write() stops with EFAULT where the memory ends. */
static apr_status_t write_bytes(int fd, const char *at, size_t len)
{
    size_t done = 0;
    ssize_t n;

    while (done < len) {
        n = write(fd, at + done, len - done < 1 << 20 ? len - done : 1 << 20);
        if (n < 0 && errno == EFAULT && done > 0)
            break;
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0)
            done += (size_t)n;
    }
    return fsync(fd) == 0 ? APR_SUCCESS : errno;
}

static apr_status_t write_file(const csq *q, const char *path, apr_pool_t *pool)
{
    const char *fresh = apr_pstrcat(pool, path, ".new", NULL);
    apr_status_t rv = APR_SUCCESS;
    int fd;

    unlink(fresh);
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno;
    rv = write_bytes(fd, apr_shm_baseaddr_get(q->shm), apr_shm_size_get(q->shm));
    close(fd);
    if (rv == APR_SUCCESS && rename(fresh, path) != 0)
        rv = errno;
    if (rv != APR_SUCCESS)
        unlink(fresh);
    return rv;
}

/* APR subtracts its own part from a size that it believes: less than that and
 * it would be most of what this process has.                                  */
static int has_bytes(const csq *q)
{
    return csq_memory_is_mapped(q) && apr_shm_size_get(q->shm) <= SIZE_MAX / 2;
}

static apr_status_t set_aside(csq *q, const csq_plan *plan, apr_status_t reason,
                              apr_pool_t *pool, csq_outcome *out)
{
    out->beginning = CSQ_BEGUN_SET_ASIDE;
    out->reason = reason;
    out->aside = plan->aside ? apr_pstrdup(pool, plan->aside)
                             : apr_pstrcat(pool, q->path, ".damaged", NULL);
    if (q->header && q->header->closed == CSQ_HEADER_SAVED)
        memcpy(out->saved_as, q->header->restored, sizeof out->saved_as);
    out->copied = has_bytes(q) ? write_file(q, out->aside, pool) : reason;
    csq_memory_drop(q, 1);
    csq_bells_remove(q);
    return APR_ENOENT;
}

/* ---- locks -------------------------------------------------------------- */

/* Into new memory; who holds a lock of the old keeps that.                  */
static apr_status_t move_memory(csq *q)
{
    apr_shm_t *old = q->shm;
    csq_header *header = q->header;
    size_t size = apr_shm_size_get(old);
    csq_map map;
    char *base;
    apr_status_t rv = csq_map_check(header, header->size, &map);

    if (rv == APR_SUCCESS)
        rv = csq_lock_file_renew(q);
    if (rv == APR_SUCCESS)
        rv = csq_memory_create(q, size);
    if (rv != APR_SUCCESS) {
        csq_memory_drop(q, 0);
        q->shm = old;
        q->mapped = 1;
        return rv;
    }
    __atomic_store_n(&header->closed, 1, __ATOMIC_RELEASE);
    base = csq_memory_base(q, &size);
    memcpy(base, header, map.end);
    csq_map_apply(q, base, &map);
    apr_shm_detach(old);
    rv = csq_lock_file_sign(q);
    return rv == APR_SUCCESS ? csq_mutexes_make(q) : rv;
}

static apr_status_t own_locks(csq *q)
{
    apr_status_t rv;

    if (!csq_filelock_held(q->lock_fd, CSQ_BYTE_ATTACHED))
        return csq_mutexes_make(q);
    csq_lock_timeout_thread_set(LOCK_TIMEOUT);
    rv = csq_lock_all(q);
    csq_lock_timeout_thread_set(0);
    if (rv != APR_SUCCESS)
        return move_memory(q);
    csq_unlock_all(q);
    return APR_SUCCESS;
}

/* ---- take over ---------------------------------------------------------- */

/* Generations go on, so that no waiter of before is taken for one of now. */
static void reset_slots(csq *q)
{
    uint32_t i;

    for (i = 0; i < q->slot_count; i++) {
        csq_slot_shared *slot = &q->slots[i];
        uint32_t generation = slot->generation & CSQ_GENERATION_MAX;

        memset(slot, 0, sizeof *slot);
        slot->generation = generation;
        slot->head = slot->tail = CSQ_RING;
    }
}

static apr_status_t reset(csq *q, apr_time_t now)
{
    apr_status_t rv = csq_lock_all(q);
    unsigned i;

    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; i < CSQ_SHARDS; i++)
        q->shards[i].tick = csq_seconds(now);
    reset_slots(q);
    q->header->free_lowest =
        q->header->free_lowest > q->chunk_count ? q->chunk_count : q->header->free_lowest;
    csq_repair_want(q);
    __atomic_store_n(&q->header->closed, 0, __ATOMIC_RELEASE);
    csq_unlock_all(q);
    return APR_SUCCESS;
}

static apr_status_t make_whole(csq *q, apr_pool_t *pool, csq_outcome *out)
{
    uint64_t secret = q->header->epoch_secret;
    csq_stats stats;
    apr_status_t rv = own_locks(q);

    if (rv == APR_SUCCESS)
        rv = reset(q, apr_time_now());
    if (rv == APR_SUCCESS)
        rv = csq_repair(q);
    if (rv == APR_SUCCESS)
        rv = csq_audit(q, pool, &out->problem);
    if (rv != APR_SUCCESS)
        return rv;
    csq_stats_get(q, &stats);
    out->beginning = CSQ_BEGUN_TAKEN_OVER;
    out->clients = stats.clients;
    out->messages = stats.queued;
    out->mended = secret != q->header->epoch_secret;
    return APR_SUCCESS;
}

/* Memory whose making was cut short: the lock file is signed after that.      */
static int is_unfinished(csq *q, apr_status_t attached)
{
    if (APR_STATUS_IS_EOF(attached))
        return 1;
    if (attached == CSQ_DAMAGED)
        return csq_lock_file_empty(q);
    if (attached != APR_SUCCESS)
        return 0;
    return q->header->magic == CSQ_MAGIC_MAKING
           || (q->header->magic == 0 && csq_lock_file_empty(q));
}

static apr_status_t attach(csq *q)
{
    apr_status_t rv = csq_memory_attach(q);
    size_t size;

    if (rv == APR_SUCCESS)
        q->header = (csq_header *)csq_memory_base(q, &size);
    return rv;
}

/* Nobody but a server that died can have left it.                            */
static apr_status_t check(csq *q, const csq_plan *plan)
{
    apr_status_t rv = csq_lock_file_signed(q);

    if (rv == APR_SUCCESS)
        rv = csq_memory_check(q);
    return rv == APR_SUCCESS ? csq_limits_set(q, plan->limits) : rv;
}

/* Nothing is wrong with the memory: it is for the next start. Once it has lost
 * its name (move_memory()) there is none.                                     */
static int is_passing(const csq *q, apr_status_t rv)
{
    return !q->ends && (csq_is_passing(rv) || rv == EIO);
}

static apr_status_t leave_it(csq *q, apr_status_t rv)
{
    csq_memory_drop(q, 0);
    return rv;
}

apr_status_t csq_takeover(csq *q, const csq_plan *plan, apr_pool_t *pool,
                          csq_outcome *out)
{
    apr_status_t rv = attach(q);

    if (APR_STATUS_IS_ENOENT(rv))
        return APR_ENOENT;
    if (is_unfinished(q, rv)) {
        csq_memory_drop(q, 1);
        csq_bells_remove(q);
        return APR_ENOENT;
    }
    if (rv == APR_SUCCESS)
        rv = check(q, plan);
    if (rv == APR_SUCCESS)
        rv = make_whole(q, pool, out);
    if (rv != APR_SUCCESS)
        return is_passing(q, rv) ? leave_it(q, rv) : set_aside(q, plan, rv, pool, out);
    csq_bells_remove(q);
    return APR_SUCCESS;
}
