/* SPDX-License-Identifier: Apache-2.0
 * csq_segment.c - make a segment, attach to it, take it down.
 *
 * A server holds one byte of path.lock for life; each server makes that file
 * anew, so that a process that is still attached to a segment of one that
 * died sees nobody on the file it has open. While a segment is being made
 * another byte is held; who attaches holds it shared, so that nobody maps
 * what has no pages yet.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT (50 * 1000 * 1000)
#define MAKING_TRIES    400    /* of 5 ms, for who attaches just now          */
#define PATH_BYTES      4096

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* ---- the handle -------------------------------------------------------- */

static void make_process_page(csq *q)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);

    if (page == MAP_FAILED)
        return;
    if (madvise(page, size, MADV_WIPEONFORK) != 0)
        munmap(page, size);
    else
        q->process = page;
}

/* The name of the memory is a hash of the path: so that all who mean the same
 * file write it the same way, its folder is resolved.                        */
static apr_status_t resolve_path(const char *path, apr_pool_t *pool, const char **out)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    const char *folder = slash ? apr_pstrmemdup(pool, path, (size_t)(name - path)) : ".";
    char *resolved = realpath(folder, NULL);

    if (!resolved)
        return errno;
    *out = apr_pstrcat(pool, resolved, "/", name, NULL);
    free(resolved);
    return strlen(*out) + sizeof ".bell.4294967295" > PATH_BYTES ? APR_ENAMETOOLONG
                                                                 : APR_SUCCESS;
}

static apr_status_t make_handle(const char *path, apr_pool_t *pool, csq **out_q)
{
    csq *q = apr_pcalloc(pool, sizeof *q);
    const char *audit = getenv("CSQ_AUDIT");
    apr_status_t rv = resolve_path(path, pool, &q->path);

    if (rv != APR_SUCCESS)
        return rv;
    q->lock_fd = -1;
    q->timeout = DEFAULT_TIMEOUT;
    q->audit = audit && *audit && strcmp(audit, "0") != 0;
    make_process_page(q);
    q->creator = csq_process_id(q);
    *out_q = q;
    return apr_pool_create_unmanaged_ex(&q->shm_pool, NULL, NULL);
}

static void make_bells(csq *q, apr_pool_t *pool)
{
    uint32_t i;

    q->bells = apr_palloc(pool, q->slot_count * sizeof *q->bells);
    for (i = 0; i < q->slot_count; i++) {
        q->bells[i].fd = -1;
        q->bells[i].generation = 0;
    }
}

static void close_handle(csq *q)
{
    uint32_t i;

    for (i = 0; q->bells && i < q->slot_count; i++)
        if (q->bells[i].fd >= 0)
            close(q->bells[i].fd);
    if (q->lock_fd >= 0)
        close(q->lock_fd);
    q->lock_fd = -1;
    if (q->process)
        munmap(q->process, (size_t)sysconf(_SC_PAGESIZE));
    q->process = NULL;
}

static const char *lock_path(const csq *q, const char *suffix, char *buf)
{
    snprintf(buf, PATH_BYTES, "%s.lock%s", q->path, suffix);
    return buf;
}

/* APR puts eight bytes of its own before what it hands out. */
static char *find_base(csq *q, size_t *out_size)
{
    char *base = apr_shm_baseaddr_get(q->shm);
    size_t skip = (64 - ((uintptr_t)base & 63)) & 63;
    size_t size = apr_shm_size_get(q->shm);

    *out_size = size > skip ? size - skip : 0;
    return base + skip;
}

/* ---- create ------------------------------------------------------------ */

/* Lock the file that has the name now. */
static apr_status_t lock_current(csq *q, int *out_fd)
{
    char path[PATH_BYTES];
    apr_status_t rv;
    int fd;

    for (;;) {
        rv = csq_filelock_open(lock_path(q, "", path), O_RDWR | O_CREAT, &fd);
        if (rv != APR_SUCCESS)
            return rv;
        rv = csq_filelock_take(fd, CSQ_BYTE_SERVER, 1);
        if (rv == APR_SUCCESS && csq_filelock_current(fd, path))
            break;
        close(fd);
        if (rv != APR_SUCCESS)
            return rv == APR_EAGAIN ? CSQ_IN_USE : rv;
    }
    *out_fd = fd;
    return APR_SUCCESS;
}

static apr_status_t lock_making(int fd)
{
    apr_status_t rv = APR_EAGAIN;
    int i;

    for (i = 0; i < MAKING_TRIES && rv == APR_EAGAIN; i++) {
        rv = csq_filelock_take(fd, CSQ_BYTE_MAKING, 1);
        if (rv == APR_EAGAIN)
            poll(NULL, 0, 5);
    }
    return rv == APR_EAGAIN ? CSQ_BUSY : rv;
}

/* Hold the server's byte on a new file, with `old` still locked. */
static apr_status_t renew_lock_file(csq *q)
{
    char path[PATH_BYTES];
    char fresh[PATH_BYTES];
    apr_status_t rv;

    lock_path(q, ".new", fresh);
    if (unlink(fresh) != 0 && errno != ENOENT)
        return errno;
    rv = csq_filelock_open(fresh, O_RDWR | O_CREAT, &q->lock_fd);
    if (rv == APR_SUCCESS)
        rv = csq_filelock_take(q->lock_fd, CSQ_BYTE_SERVER, 1);
    if (rv == APR_SUCCESS)
        rv = csq_filelock_take(q->lock_fd, CSQ_BYTE_MAKING, 1);
    if (rv == APR_SUCCESS && rename(fresh, lock_path(q, "", path)) != 0)
        rv = errno;
    return rv;
}

static apr_status_t take_server_lock(csq *q)
{
    int old = -1;
    apr_status_t rv = lock_current(q, &old);

    if (rv == APR_SUCCESS)
        rv = lock_making(old);
    if (rv == APR_SUCCESS)
        rv = renew_lock_file(q);
    if (old >= 0)
        close(old);
    return rv;
}

static apr_status_t make_mutexes(csq *q)
{
    apr_status_t rv = csq_mutex_create(&q->header->allocator);
    unsigned i;

    for (i = 0; i < CSQ_SHARDS && rv == APR_SUCCESS; i++)
        rv = csq_mutex_create(&q->shards[i].mutex);
    return rv;
}

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
        rv = make_mutexes(q);
    if (rv == APR_SUCCESS)
        rv = csq_limits_set(q, limits);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; i < CSQ_SHARDS; i++)
        q->shards[i].tick = csq_seconds(now);
    for (i = 0; i < q->slot_count; i++)
        q->slots[i].head = q->slots[i].tail = CSQ_RING;
    make_free_list(q);
    __atomic_store_n(&header->magic, CSQ_MAGIC, __ATOMIC_RELEASE);
    return APR_SUCCESS;
}

static apr_status_t make_segment(csq *q, size_t size, unsigned slots,
                                 const csq_limits *limits)
{
    mode_t mask = umask(077);
    csq_map map;
    char *base;
    apr_status_t rv;

    apr_shm_remove(q->path, q->shm_pool);
    rv = apr_shm_create(&q->shm, size, q->path, q->shm_pool);
    umask(mask);
    if (rv != APR_SUCCESS)
        return rv == ENOSPC || rv == ENOMEM ? CSQ_NO_MEMORY : rv;
    base = apr_shm_baseaddr_get(q->shm);
    if ((uintptr_t)base < 4096 || base == (char *)MAP_FAILED + 8)
        return CSQ_NO_MEMORY;
    rv = csq_pages_reserve(base, apr_shm_size_get(q->shm));
    if (rv != APR_SUCCESS)
        return rv;
    base = find_base(q, &size);
    rv = csq_map_make(size, slots, limits->max_clients, &map);
    if (rv != APR_SUCCESS)
        return rv;
    csq_map_apply(q, base, &map);
    return fill_segment(q, &map, limits);
}

static void remove_files(csq *q)
{
    char path[PATH_BYTES];
    uint32_t i;

    for (i = 0; i < q->slot_count; i++)
        unlink(csq_bell_path(q, i, path, sizeof path));
    if (q->lock_fd >= 0 && csq_filelock_current(q->lock_fd, lock_path(q, "", path)))
        unlink(path);
}

/* Children inherit the handle and the lock, but only who made it ends it. */
static apr_status_t destroy_created(void *data)
{
    csq *q = data;

    if (q->creator != csq_process_id(q))
        return APR_SUCCESS;
    if (q->header)
        csq_close(q);
    remove_files(q);
    if (q->shm)
        apr_shm_destroy(q->shm);
    q->shm = NULL;
    q->header = NULL;
    if (q->lock_fd >= 0)
        csq_filelock_drop(q->lock_fd, CSQ_BYTE_SERVER);
    close_handle(q);
    apr_pool_destroy(q->shm_pool);
    return APR_SUCCESS;
}

apr_status_t csq_create(const char *path, apr_size_t size, unsigned slots,
                        const csq_limits *limits, apr_pool_t *pool, csq **out_q)
{
    csq_map map;
    csq *q;
    apr_status_t rv;

    rv = csq_map_make(size > 64 ? size - 64 : 0, slots, limits->max_clients, &map);
    if (rv != APR_SUCCESS)
        return rv;
    rv = make_handle(path, pool, &q);
    if (rv != APR_SUCCESS)
        return rv;
    q->created = 1;
    rv = take_server_lock(q);
    if (rv == APR_SUCCESS)
        rv = make_segment(q, size, slots, limits);
    if (rv == APR_SUCCESS) {
        make_bells(q, pool);
        csq_filelock_drop(q->lock_fd, CSQ_BYTE_MAKING);
        apr_pool_cleanup_register(pool, q, destroy_created, apr_pool_cleanup_null);
        *out_q = q;
        return APR_SUCCESS;
    }
    q->header = NULL;
    destroy_created(q);
    return rv;
}

/* ---- attach ------------------------------------------------------------ */

static apr_status_t detach(void *data)
{
    csq *q = data;

    if (q->shm)
        apr_shm_detach(q->shm);
    q->shm = NULL;
    q->header = NULL;
    close_handle(q);
    apr_pool_destroy(q->shm_pool);
    return APR_SUCCESS;
}

/* A server must run, and the segment stay as it is while we map it. */
static apr_status_t hold_for_mapping(csq *q)
{
    char path[PATH_BYTES];
    apr_status_t rv = csq_filelock_open(lock_path(q, "", path), O_RDONLY, &q->lock_fd);

    if (rv != APR_SUCCESS)
        return APR_STATUS_IS_ENOENT(rv) ? CSQ_NO_SERVER : rv;
    if (!csq_filelock_held(q->lock_fd, CSQ_BYTE_SERVER))
        return CSQ_NO_SERVER;
    rv = csq_filelock_take(q->lock_fd, CSQ_BYTE_MAKING, 0);
    if (rv == APR_EAGAIN)
        return CSQ_BUSY;
    if (rv == APR_SUCCESS && !csq_filelock_current(q->lock_fd, path))
        rv = CSQ_NO_SERVER;
    return rv;
}

static apr_status_t check_segment(csq *q)
{
    char build[CSQ_BUILD_BYTES];
    csq_map map;
    csq_header *header;
    size_t size;
    apr_status_t rv;

    header = (csq_header *)find_base(q, &size);
    if (size < sizeof *header)
        return CSQ_DAMAGED;
    if (__atomic_load_n(&header->magic, __ATOMIC_ACQUIRE) != CSQ_MAGIC)
        return CSQ_DAMAGED;
    csq_build_text(build);
    if (header->layout != CSQ_LAYOUT_VERSION || header->chunk_bytes != CSQ_CHUNK_BYTES
        || memcmp(header->build, build, sizeof build) != 0)
        return CSQ_LAYOUT;
    rv = csq_map_check(header, size, &map);
    if (rv == APR_SUCCESS)
        csq_map_apply(q, header, &map);
    return rv;
}

apr_status_t csq_attach(const char *path, apr_pool_t *pool, csq **out_q)
{
    csq *q;
    apr_status_t rv = make_handle(path, pool, &q);

    if (rv != APR_SUCCESS)
        return APR_STATUS_IS_ENOENT(rv) || APR_STATUS_IS_ENOTDIR(rv) ? CSQ_NO_SERVER : rv;
    rv = hold_for_mapping(q);
    if (rv == APR_SUCCESS)
        rv = apr_shm_attach(&q->shm, q->path, q->shm_pool);
    if (APR_STATUS_IS_ENOENT(rv))
        rv = CSQ_NO_SERVER;
    if (rv == APR_SUCCESS)
        rv = check_segment(q);
    if (rv != APR_SUCCESS) {
        detach(q);
        return rv;
    }
    csq_filelock_drop(q->lock_fd, CSQ_BYTE_MAKING);
    make_bells(q, pool);
    apr_pool_cleanup_register(pool, q, detach, apr_pool_cleanup_null);
    *out_q = q;
    return APR_SUCCESS;
}

apr_status_t csq_server_check(csq *q, apr_time_t now)
{
    uint32_t second = csq_seconds(now);

    if (q->created || __atomic_load_n(&q->checked, __ATOMIC_RELAXED) == second)
        return APR_SUCCESS;
    if (!csq_filelock_held(q->lock_fd, CSQ_BYTE_SERVER))
        return CSQ_NO_SERVER;
    __atomic_store_n(&q->checked, second, __ATOMIC_RELAXED);
    return APR_SUCCESS;
}

void csq_close(csq *q)
{
    __atomic_store_n(&q->header->closed, 1, __ATOMIC_RELEASE);
    csq_slot_ring_all(q);
}
