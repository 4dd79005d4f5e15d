/* SPDX-License-Identifier: Apache-2.0
 * csq_lock.c - robust locks with a deadline.
 *
 * Order: shards ascending, then the allocator. A lock whose owner died is
 * made usable at once, but only after header.repair is set, and nobody works
 * on the segment while that is set: see csq_layout.h. A stopped owner
 * (SIGSTOP) is not dead; the deadline is for it, and csq_lock_holder() names
 * it.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A repair visits the whole segment: who comes meanwhile is better served by
 * waiting than by CSQ_BUSY. Deadlines to wait more, at most.                 */
#define REPAIR_WAITS 20

uint32_t csq_process_id(csq *q)
{
    uint32_t id;

    if (!q->process)
        return (uint32_t)getpid();
    id = __atomic_load_n(&q->process->id, __ATOMIC_RELAXED);
    if (!id) {
        id = (uint32_t)getpid();
        __atomic_store_n(&q->process->id, id, __ATOMIC_RELAXED);
    }
    return id;
}

apr_status_t csq_mutex_create(pthread_mutex_t *mutex)
{
    pthread_mutexattr_t attributes;
    int rc = pthread_mutexattr_init(&attributes);

    if (rc)
        return rc;
    rc = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    if (!rc)
        rc = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    if (!rc)
        rc = pthread_mutex_init(mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
    return rc;
}

int csq_mutex_kind(void)
{
    pthread_mutex_t mutex;
    int kind;

    if (csq_mutex_create(&mutex))
        return -1;
    kind = mutex.__data.__kind;
    pthread_mutex_destroy(&mutex);
    return kind;
}

/* ThreadSanitizer does not know pthread_mutex_clocklock(), and overlooks that
 * pthread_mutex_timedlock() may get the lock of a dead owner. */
#ifdef __SANITIZE_THREAD__
static int lock_until(pthread_mutex_t *mutex, const struct timespec *deadline)
{
    struct timespec now;
    int rc;

    while ((rc = pthread_mutex_trylock(mutex)) == EBUSY) {
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (now.tv_sec > deadline->tv_sec
            || (now.tv_sec == deadline->tv_sec && now.tv_nsec >= deadline->tv_nsec))
            return ETIMEDOUT;
        sched_yield();
    }
    return rc;
}
#else
static int lock_until(pthread_mutex_t *mutex, const struct timespec *deadline)
{
    return pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, deadline);
}
#endif

static __thread int64_t thread_timeout; /* ns; 0: that of the handle */

static int lock_until_deadline(csq *q, pthread_mutex_t *mutex)
{
    struct timespec deadline;
    int64_t nanoseconds;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    nanoseconds = deadline.tv_nsec + (thread_timeout ? thread_timeout : q->timeout);
    deadline.tv_sec += nanoseconds / 1000000000;
    deadline.tv_nsec = nanoseconds % 1000000000;
    return lock_until(mutex, &deadline);
}

/* The C library aborts the process over some kinds of mutexes that it finds in
 * damaged memory; all else that is wrong in one it calls busy or an error.    */
static apr_status_t take_mutex(csq *q, pthread_mutex_t *mutex, uint32_t *owner)
{
    int rc, i;

    if (mutex->__data.__kind != q->mutex_kind)
        return CSQ_DAMAGED;
    rc = pthread_mutex_trylock(mutex);
    if (rc == EBUSY)
        rc = lock_until_deadline(q, mutex);
    for (i = 0; rc == ETIMEDOUT && csq_repair_runs(q) && i < REPAIR_WAITS; i++)
        rc = lock_until_deadline(q, mutex);
    if (rc == EOWNERDEAD) {
        csq_repair_want(q);
        rc = pthread_mutex_consistent(mutex);
    }
    if (rc == ETIMEDOUT) {
        __atomic_store_n(&q->holder, __atomic_load_n(owner, __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
        return CSQ_BUSY;
    }
    if (rc)
        return CSQ_DAMAGED;
    __atomic_store_n(owner, csq_process_id(q), __ATOMIC_RELAXED);
    return APR_SUCCESS;
}

static void give_mutex(pthread_mutex_t *mutex, uint32_t *owner)
{
    __atomic_store_n(owner, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(mutex);
}

static void unlock_shards(csq *q, uint32_t set)
{
    unsigned shard;

    for (; set; set &= set - 1) {
        shard = (unsigned)__builtin_ctz(set);
        give_mutex(&q->shards[shard].mutex, &q->shards[shard].owner);
    }
}

static apr_status_t lock_shards(csq *q, uint32_t set)
{
    uint32_t left;
    unsigned shard;
    apr_status_t rv;

    for (left = set; left; left &= left - 1) {
        shard = (unsigned)__builtin_ctz(left);
        rv = take_mutex(q, &q->shards[shard].mutex, &q->shards[shard].owner);
        if (rv != APR_SUCCESS) {
            unlock_shards(q, set & ~left);
            return rv;
        }
    }
    return APR_SUCCESS;
}

apr_status_t csq_lock_even_closed(csq *q, uint32_t set)
{
    apr_status_t rv;
    int i;

    for (i = 0; i < CSQ_RETRIES; i++) {
        rv = lock_shards(q, set);
        if (rv != APR_SUCCESS)
            return rv;
        if (!csq_repair_wanted(q))
            return APR_SUCCESS;
        unlock_shards(q, set);
        rv = csq_repair(q);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return CSQ_BUSY;
}

apr_status_t csq_lock(csq *q, uint32_t set)
{
    apr_status_t rv = csq_lock_even_closed(q, set);

    if (rv != APR_SUCCESS)
        return rv;
    if (__atomic_load_n(&q->header->closed, __ATOMIC_ACQUIRE)) {
        unlock_shards(q, set);
        return CSQ_CLOSED;
    }
    return APR_SUCCESS;
}

apr_status_t csq_lock_next(csq *q, unsigned from, unsigned to)
{
    uint32_t held = UINT32_C(1) << from;
    apr_status_t rv = lock_shards(q, UINT32_C(1) << to);

    if (rv == APR_SUCCESS) {
        held |= UINT32_C(1) << to;
        if (csq_repair_wanted(q))
            rv = CSQ_RETRY;
        else if (__atomic_load_n(&q->header->closed, __ATOMIC_ACQUIRE))
            rv = CSQ_CLOSED;
        else
            held &= ~(UINT32_C(1) << to);
    }
    unlock_shards(q, held);
    if (rv == CSQ_RETRY && (rv = csq_repair(q)) == APR_SUCCESS)
        rv = CSQ_RETRY;
    return rv;
}

/* Tests switch this on through the environment: it visits the whole segment. */
static void audit_after_unlock(csq *q)
{
#ifdef CS_DEVELOPER
    const char *problem = NULL;
    apr_pool_t *pool;

    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return;
    q->audit = 0;
    if (csq_audit(q, pool, &problem) == CSQ_DAMAGED) {
        fprintf(stderr, "csq: audit after unlock: %s\n", problem);
        abort();
    }
    q->audit = 1;
    apr_pool_destroy(pool);
#else
    (void)q;
#endif
}

void csq_unlock(csq *q, uint32_t set)
{
    unlock_shards(q, set);
    if (q->audit)
        audit_after_unlock(q);
}

apr_status_t csq_allocator_lock(csq *q)
{
    apr_status_t rv;

    rv = take_mutex(q, &q->header->allocator, &q->header->allocator_owner);
    if (rv == APR_SUCCESS && csq_repair_wanted(q)) {
        csq_allocator_unlock(q);
        return CSQ_RETRY;
    }
    return rv;
}

void csq_allocator_unlock(csq *q)
{
    give_mutex(&q->header->allocator, &q->header->allocator_owner);
}

apr_status_t csq_lock_all(csq *q)
{
    apr_status_t rv = lock_shards(q, CSQ_ALL_SHARDS);

    if (rv != APR_SUCCESS)
        return rv;
    rv = take_mutex(q, &q->header->allocator, &q->header->allocator_owner);
    if (rv != APR_SUCCESS)
        unlock_shards(q, CSQ_ALL_SHARDS);
    return rv;
}

void csq_unlock_all(csq *q)
{
    csq_allocator_unlock(q);
    unlock_shards(q, CSQ_ALL_SHARDS);
}

void csq_lock_timeout_set(csq *q, apr_interval_time_t timeout)
{
    q->timeout = timeout * 1000;
}

void csq_lock_timeout_thread_set(apr_interval_time_t timeout)
{
    thread_timeout = timeout * 1000;
}

apr_uint32_t csq_lock_holder(csq *q)
{
    return __atomic_load_n(&q->holder, __ATOMIC_RELAXED);
}
