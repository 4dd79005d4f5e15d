/* SPDX-License-Identifier: Apache-2.0
 * csq_slot.c - doorbells: wake a process that waits, from any other.
 *
 * Writer: put the number on the slot's ring (under the shard's lock, so that
 * a death in between is repaired by ringing everybody); give the lock back;
 * set `bell`; whoever changes it from 0 writes one byte into the FIFO.
 * Reader, before it sleeps: clear `bell`, then read the ring; whatever is put
 * there later finds it cleared. Reader, when it is awake: set `bell` itself,
 * so that nobody writes while it reads the ring between other work anyway.
 *
 * The FIFO is emptied only when it is readable. A byte that comes late, from a
 * writer that had set `bell` long before it wrote, wakes once in vain.
 *
 * `bell` holds the time of ringing: one that has been set for long is rung
 * again, since its writer may have died before it wrote. A number is taken
 * only if the whole ring entry fits its position; else everything is to be
 * looked at. What made someone ring was committed before, so looking at
 * everything misses nothing.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RING_AGAIN 100 /* ms after which a bell is rung again                 */
#define PATH_BYTES 4096

struct csq_slot {
    csq *q;
    csq_slot_shared *shared;
    unsigned index;
    uint32_t generation;
    uint32_t process;
    int fd;
    int lock_fd;
};

const char *csq_bell_path(const csq *q, unsigned slot, char *buf, size_t size)
{
    snprintf(buf, size, "%s.bell.%u", q->path, slot);
    return buf;
}

csq_waiter csq_waiter_make(const csq_slot *slot, apr_uint32_t number)
{
    return (csq_waiter)(slot->index + 1) << (32 + CSQ_GENERATION_BITS)
           | (csq_waiter)slot->generation << 32 | number;
}

static uint32_t waiter_generation(csq_waiter waiter)
{
    return (uint32_t)(waiter >> 32) & CSQ_GENERATION_MAX;
}

/* The slot a waiter belongs to; NULL: nobody. */
static csq_slot_shared *waiter_slot(csq *q, csq_waiter waiter, unsigned *out_index)
{
    unsigned index = (unsigned)(waiter >> (32 + CSQ_GENERATION_BITS)) - 1;
    csq_slot_shared *slot;

    if (!waiter || index >= q->slot_count)
        return NULL;
    slot = &q->slots[index];
    if (__atomic_load_n(&slot->generation, __ATOMIC_ACQUIRE) != waiter_generation(waiter))
        return NULL;
    *out_index = index;
    return slot;
}

int csq_slot_alive(csq *q, unsigned slot)
{
    return __atomic_load_n(&q->slots[slot].generation, __ATOMIC_ACQUIRE) != 0
           && csq_filelock_held(q->lock_fd, CSQ_BYTE_SLOT + (int)slot);
}

int csq_waiter_alive(csq *q, csq_waiter waiter)
{
    unsigned index;

    return waiter_slot(q, waiter, &index) && csq_slot_alive(q, index);
}

/* ---- ringing ----------------------------------------------------------- */

static void put_on_ring(csq_slot_shared *slot, uint32_t number)
{
    uint32_t tail = __atomic_load_n(&slot->tail, __ATOMIC_RELAXED);

    do {
        if (tail - __atomic_load_n(&slot->head, __ATOMIC_ACQUIRE) >= CSQ_RING) {
            __atomic_store_n(&slot->all, 1, __ATOMIC_SEQ_CST);
            return;
        }
    } while (!__atomic_compare_exchange_n(&slot->tail, &tail, tail + 1, 0,
                                          __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
    __atomic_store_n(&slot->ring[tail % CSQ_RING], (uint64_t)tail << 32 | number,
                     __ATOMIC_SEQ_CST);
}

static void note_slot(csq_ring_set *rings, unsigned index)
{
    uint32_t i;

    for (i = 0; i < rings->count; i++)
        if (rings->slots[i] == index)
            return;
    if (rings->count < sizeof rings->slots / sizeof rings->slots[0])
        rings->slots[rings->count++] = (uint16_t)index;
    else
        rings->many = 1;
}

void csq_slot_push(csq *q, csq_waiter waiter, csq_ring_set *rings)
{
    unsigned index;
    csq_slot_shared *slot = waiter_slot(q, waiter, &index);

    if (!slot)
        return;
    put_on_ring(slot, (uint32_t)waiter);
    note_slot(rings, index);
}

static int open_bell(csq *q, unsigned index)
{
    char path[PATH_BYTES];
    struct stat info;
    int fd = open(csq_bell_path(q, index, path, sizeof path),
                  O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    int rc;

    if (fd < 0)
        return -1;
    rc = fstat(fd, &info) != 0 ? errno : S_ISFIFO(info.st_mode) ? 0 : EINVAL;
    if (rc == 0)
        return fd;
    close(fd);
    errno = rc;
    return -1;
}

/* One thread of the process at a time: one that was slow and has opened the
 * FIFO of an owner that is gone must not put it in the place of a newer one,
 * where it would stay until the slot has yet another owner.                  */
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

static int open_bell_locked(csq *q, unsigned index)
{
    csq_bell *bell = &q->bells[index];
    uint32_t generation = __atomic_load_n(&q->slots[index].generation, __ATOMIC_ACQUIRE);
    int known = bell->fd;
    int fd = open_bell(q, index);

    if (fd < 0)
        return -1;
    if (known < 0) {
        known = fd;
        __atomic_store_n(&bell->fd, known, __ATOMIC_RELEASE);
    }
    else {
        dup3(fd, known, O_CLOEXEC);
        close(fd);
    }
    __atomic_store_n(&bell->generation, generation, __ATOMIC_RELEASE);
    return known;
}

/* The descriptor of a slot's doorbell. Once it is known its number stays, so
 * that a thread that is about to write never meets a stranger's file: a new
 * FIFO takes the old one's place by dup3().                                  */
static int find_bell(csq *q, unsigned index)
{
    csq_bell *bell = &q->bells[index];
    uint32_t generation = __atomic_load_n(&q->slots[index].generation, __ATOMIC_ACQUIRE);
    int known = __atomic_load_n(&bell->fd, __ATOMIC_ACQUIRE);

    if (known >= 0 && __atomic_load_n(&bell->generation, __ATOMIC_ACQUIRE) == generation)
        return known;
    pthread_mutex_lock(&opening);
    known = open_bell_locked(q, index);
    pthread_mutex_unlock(&opening);
    return known;
}

static uint32_t coarse_milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000) | 1;
}

static void ring_one(csq *q, unsigned index)
{
    csq_slot_shared *slot = &q->slots[index];
    uint32_t now = coarse_milliseconds();
    uint32_t rung = __atomic_load_n(&slot->bell, __ATOMIC_SEQ_CST);
    ssize_t n;
    int fd;

    do {
        if (rung && now - rung < RING_AGAIN)
            return;
    } while (!__atomic_compare_exchange_n(&slot->bell, &rung, now, 0, __ATOMIC_SEQ_CST,
                                          __ATOMIC_SEQ_CST));
    fd = find_bell(q, index);
    if (fd < 0)
        return;
    do
        n = write(fd, "", 1);
    while (n < 0 && errno == EINTR);
}

void csq_slot_ring(csq *q, const csq_ring_set *rings)
{
    uint32_t i;

    if (rings->many) {
        csq_slot_ring_all(q);
        return;
    }
    for (i = 0; i < rings->count; i++)
        ring_one(q, rings->slots[i]);
}

/* At a takeover there are no doorbells yet, and a slot may seem alive whose lock
 * could not be asked about: its owner, if there is one, looks once a second.  */
void csq_slot_ring_all(csq *q)
{
    unsigned i;

    for (i = 0; i < q->slot_count; i++) {
        if (!csq_slot_alive(q, i))
            continue;
        __atomic_store_n(&q->slots[i].all, 1, __ATOMIC_SEQ_CST);
        if (q->bells)
            ring_one(q, i);
    }
}

/* ---- the owner --------------------------------------------------------- */

/* A FIFO of our own; one that a dead owner left may hold old bytes. */
static apr_status_t make_bell(csq *q, unsigned index, int *out_fd)
{
    char path[PATH_BYTES];

    csq_bell_path(q, index, path, sizeof path);
    if (unlink(path) != 0 && errno != ENOENT)
        return errno;
    if (mkfifo(path, 0600) != 0)
        return errno;
    *out_fd = open_bell(q, index);
    return *out_fd < 0 ? errno : APR_SUCCESS;
}

static apr_status_t give_slot_back(void *data)
{
    csq_slot *slot = data;

    if (slot->process == csq_process_id(slot->q))
        __atomic_store_n(&slot->shared->waiting, 0, __ATOMIC_RELAXED);
    close(slot->fd);
    close(slot->lock_fd);
    return APR_SUCCESS;
}

static void start_slot(csq_slot *slot)
{
    csq_slot_shared *shared = slot->shared;
    uint32_t generation = shared->generation % CSQ_GENERATION_MAX + 1;

    __atomic_store_n(&shared->waiting, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&shared->process, slot->process, __ATOMIC_RELAXED);
    __atomic_store_n(&shared->head, __atomic_load_n(&shared->tail, __ATOMIC_SEQ_CST),
                     __ATOMIC_SEQ_CST);
    __atomic_store_n(&shared->all, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&shared->bell, 0, __ATOMIC_SEQ_CST);
    slot->generation = generation;
    __atomic_store_n(&shared->generation, generation, __ATOMIC_RELEASE);
}

static apr_status_t claim_slot(csq *q, int lock_fd, csq_slot *slot)
{
    apr_status_t rv = CSQ_NO_SLOT;
    unsigned i;

    for (i = 0; i < q->slot_count; i++) {
        rv = csq_filelock_take(lock_fd, CSQ_BYTE_SLOT + (int)i, 1);
        if (rv == APR_EAGAIN) {
            rv = CSQ_NO_SLOT;
            continue;
        }
        break;
    }
    if (rv != APR_SUCCESS)
        return rv;
    slot->q = q;
    slot->shared = &q->slots[i];
    slot->index = i;
    slot->process = csq_process_id(q);
    slot->lock_fd = lock_fd;
    rv = make_bell(q, i, &slot->fd);
    if (rv == APR_SUCCESS)
        start_slot(slot);
    return rv;
}

apr_status_t csq_slot_claim(csq *q, apr_pool_t *pool, csq_slot **out_slot)
{
    csq_slot *slot = apr_pcalloc(pool, sizeof *slot);
    char path[PATH_BYTES];
    int lock_fd;
    apr_status_t rv;

    snprintf(path, sizeof path, "%s.lock", q->path);
    rv = csq_filelock_open(path, O_RDWR, &lock_fd);
    if (APR_STATUS_IS_ENOENT(rv))
        return CSQ_CLOSED;
    if (rv != APR_SUCCESS)
        return rv;
    /* Another server may have come in place of ours. */
    rv = csq_filelock_same(lock_fd, q->lock_fd);
    if (rv == APR_SUCCESS)
        rv = claim_slot(q, lock_fd, slot);
    else if (APR_STATUS_IS_ENOENT(rv))
        rv = CSQ_CLOSED;
    if (rv != APR_SUCCESS) {
        close(lock_fd);
        return rv;
    }
    apr_pool_cleanup_register(pool, slot, give_slot_back, apr_pool_cleanup_null);
    *out_slot = slot;
    return APR_SUCCESS;
}

int csq_slot_descriptor(const csq_slot *slot)
{
    return slot->fd;
}

static void empty_fifo(int fd)
{
    char bytes[256];
    ssize_t n;

    do
        n = read(fd, bytes, sizeof bytes);
    while (n == (ssize_t)sizeof bytes || (n < 0 && errno == EINTR));
}

void csq_slot_listen(csq_slot *slot)
{
    __atomic_store_n(&slot->shared->bell, 0, __ATOMIC_SEQ_CST);
}

void csq_slot_mute(csq_slot *slot, int readable)
{
    __atomic_store_n(&slot->shared->bell, coarse_milliseconds(), __ATOMIC_SEQ_CST);
    if (readable)
        empty_fifo(slot->fd);
}

int csq_slot_take(csq_slot *slot, apr_uint32_t *out_numbers, int max, int *out_all)
{
    csq_slot_shared *shared = slot->shared;
    uint32_t head;
    uint32_t tail;
    uint64_t entry;
    int n = 0;

    *out_all = __atomic_load_n(&shared->all, __ATOMIC_SEQ_CST)
               && __atomic_exchange_n(&shared->all, 0, __ATOMIC_SEQ_CST);
    head = shared->head;
    tail = __atomic_load_n(&shared->tail, __ATOMIC_SEQ_CST);
    if (tail - head > CSQ_RING) {
        *out_all = 1;
        head = tail;
    }
    for (; head != tail && n < max; head++) {
        entry = __atomic_load_n(&shared->ring[head % CSQ_RING], __ATOMIC_SEQ_CST);
        if ((uint32_t)(entry >> 32) == head)
            out_numbers[n++] = (uint32_t)entry;
        else
            *out_all = 1;
    }
    if (head != shared->head)
        __atomic_store_n(&shared->head, head, __ATOMIC_SEQ_CST);
    return n;
}

void csq_slot_waiting_set(csq_slot *slot, apr_uint32_t waiting)
{
    __atomic_store_n(&slot->shared->waiting, waiting, __ATOMIC_RELAXED);
}
