/* SPDX-License-Identifier: Apache-2.0
 * csq_segment.c - start on a segment, attach to it, take it down.
 *
 * A server holds one byte of path.lock for life. That file and the memory
 * belong together: whoever makes new memory makes the file anew, so that a
 * process that is still attached to the old memory sees nobody on the file it
 * has open; whoever takes memory over keeps its file. So that no memory is
 * taken over while a server runs on it whose file was deleted, the file holds
 * a text that follows from the secret of its segment.
 * While a segment is being made or taken over another byte is held; who
 * attaches holds it shared meanwhile, so that nobody maps what has no pages
 * yet. Who has attached holds a third byte, shared, as long as he is attached.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define DEFAULT_TIMEOUT (50 * 1000 * 1000)
#define SERVER_TRIES    200 /* of 5 ms, for who is dying                   */
#define MAKING_TRIES    400 /* of 5 ms, for who attaches just now          */
#define PATH_BYTES      4096

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* ---- the handle -------------------------------------------------------- */

static void make_process_page(csq *q)
{
    size_t size = (size_t)sysconf(_SC_PAGESIZE);
    void *page =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

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
    q->mutex_kind = csq_mutex_kind();
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

/* ---- the server's lock ------------------------------------------------- */

/* Who has it may be about to give it back: one that makes a segment, and one that
 * was killed and has not closed its files yet. */
static apr_status_t take_in_time(int fd, int byte, int tries)
{
    apr_status_t rv = csq_filelock_take(fd, byte, 1);

    while (rv == APR_EAGAIN && --tries > 0) {
        poll(NULL, 0, 5);
        rv = csq_filelock_take(fd, byte, 1);
    }
    return rv;
}

/* Lock the file that has the name now. */
static apr_status_t lock_current(csq *q)
{
    char path[PATH_BYTES];
    apr_status_t rv;
    int fd;

    for (;;) {
        rv = csq_filelock_open(lock_path(q, "", path), O_RDWR | O_CREAT, &fd);
        if (rv != APR_SUCCESS)
            return rv;
        rv = take_in_time(fd, CSQ_BYTE_SERVER, SERVER_TRIES);
        if (rv == APR_EAGAIN)
            rv = CSQ_IN_USE;
        else if (rv == APR_SUCCESS)
            rv = csq_filelock_current(fd, path);
        if (rv == APR_SUCCESS)
            break;
        close(fd);
        if (!APR_STATUS_IS_ENOENT(rv))
            return rv;
    }
    q->lock_fd = fd;
    return APR_SUCCESS;
}

static apr_status_t take_server_lock(csq *q)
{
    apr_status_t rv = lock_current(q);

    if (rv != APR_SUCCESS)
        return rv;
    rv = take_in_time(q->lock_fd, CSQ_BYTE_MAKING, MAKING_TRIES);
    return rv == APR_EAGAIN ? CSQ_BUSY : rv;
}

/* The old one stays locked until the new one has its name. */
apr_status_t csq_lock_file_renew(csq *q)
{
    char path[PATH_BYTES];
    char fresh[PATH_BYTES];
    apr_status_t rv;
    int old = q->lock_fd;

    lock_path(q, ".new", fresh);
    if (unlink(fresh) != 0 && errno != ENOENT)
        return errno;
    rv = csq_filelock_open(fresh, O_RDWR | O_CREAT, &q->lock_fd);
    if (rv != APR_SUCCESS)
        return rv;
    rv = csq_filelock_take(q->lock_fd, CSQ_BYTE_SERVER, 1);
    if (rv == APR_SUCCESS)
        rv = csq_filelock_take(q->lock_fd, CSQ_BYTE_MAKING, 1);
    if (rv == APR_SUCCESS && rename(fresh, lock_path(q, "", path)) != 0)
        rv = errno;
    if (rv == APR_SUCCESS)
        q->ends = 1;
    else
        unlink(fresh);
    close(old);
    return rv;
}

#define SIGNATURE_BYTES 17

static void format_signature(csq *q, char out[SIGNATURE_BYTES + 1])
{
    char stable[sizeof q->header->secret + sizeof q->header->created];

    memcpy(stable, q->header->secret, sizeof q->header->secret);
    memcpy(stable + sizeof q->header->secret, &q->header->created,
           sizeof q->header->created);
    snprintf(out, SIGNATURE_BYTES + 1, "%016llx\n",
             (unsigned long long)csq_hash(q, CSQ_MAGIC, stable, sizeof stable));
}

apr_status_t csq_lock_file_sign(csq *q)
{
    char text[SIGNATURE_BYTES + 1];
    ssize_t n;

    format_signature(q, text);
    n = pwrite(q->lock_fd, text, SIGNATURE_BYTES, 0);
    if (n < 0)
        return errno;
    return n == SIGNATURE_BYTES ? APR_SUCCESS : APR_ENOSPC;
}

apr_status_t csq_lock_file_signed(csq *q)
{
    char wanted[SIGNATURE_BYTES + 1];
    char found[SIGNATURE_BYTES];
    ssize_t n = pread(q->lock_fd, found, sizeof found, 0);

    if (n < 0)
        return errno;
    format_signature(q, wanted);
    return n == SIGNATURE_BYTES && memcmp(found, wanted, SIGNATURE_BYTES) == 0
               ? APR_SUCCESS
               : CSQ_NO_SERVER;
}

int csq_lock_file_empty(const csq *q)
{
    char byte;

    return pread(q->lock_fd, &byte, 1, 0) == 0;
}

/* ---- start and end ------------------------------------------------------ */

/* However many slots a server of before had. */
void csq_bells_remove(const csq *q)
{
    const char *name = strrchr(q->path, '/') + 1;
    size_t len = strlen(name);
    char folder[PATH_BYTES];
    struct dirent *entry;
    DIR *all;

    snprintf(folder, sizeof folder, "%.*s", (int)(name - q->path), q->path);
    all = opendir(folder);
    while (all && (entry = readdir(all)) != NULL)
        if (strncmp(entry->d_name, name, len) == 0
            && strncmp(entry->d_name + len, ".bell.", 6) == 0)
            unlinkat(dirfd(all), entry->d_name, 0);
    if (all)
        closedir(all);
}

/* A server that dies on the way must not leave memory without its lock file. */
static void remove_all(csq *q)
{
    char path[PATH_BYTES];

    csq_memory_drop(q, 1);
    csq_bells_remove(q);
    if (q->lock_fd >= 0
        && csq_filelock_current(q->lock_fd, lock_path(q, "", path)) == APR_SUCCESS)
        unlink(path);
}

/* APR unlinks memory when the pool goes that made it; this one stays, known to
 * those who look for leaks.                                                   */
static void leave_memory(csq *q)
{
    static struct left {
        struct left *before;
        apr_allocator_t *allocator;
    } * all;
    struct left *left = malloc(sizeof *left);

    if (left) {
        left->before = all;
        left->allocator = apr_pool_allocator_get(q->shm_pool);
        all = left;
    }
    q->header = NULL;
}

/* Children inherit the handle and the lock, but only who made it ends it. What
 * is kept stays locked while a child lives.                                   */
static apr_status_t destroy_created(void *data)
{
    csq *q = data;
    int keeps = q->header && !q->ends;
    int leaves = keeps && !q->mapped;

    if (q->creator != csq_process_id(q))
        return APR_SUCCESS;
    if (q->header)
        csq_close(q);
    if (q->ends)
        remove_all(q);
    if (leaves)
        leave_memory(q);
    else
        csq_memory_drop(q, 0);
    if (q->lock_fd >= 0 && !keeps)
        csq_filelock_drop(q->lock_fd, CSQ_BYTE_SERVER);
    close_handle(q);
    if (!leaves)
        apr_pool_destroy(q->shm_pool);
    return APR_SUCCESS;
}

apr_status_t csq_start(const csq_plan *plan, apr_pool_t *pool, csq_outcome *out_outcome,
                       csq **out_q)
{
    csq_outcome outcome = { .beginning = CSQ_BEGUN_NEW };
    csq_map map;
    csq *q;
    apr_status_t rv;

    rv = csq_map_make(plan->size > 64 ? plan->size - 64 : 0, plan->slots,
                      plan->limits->max_clients, &map);
    if (rv == APR_SUCCESS)
        rv = csq_limits_check(plan->limits);
    if (rv != APR_SUCCESS)
        return rv;
    rv = make_handle(plan->path, pool, &q);
    if (rv != APR_SUCCESS)
        return rv;
    q->created = 1;
    rv = take_server_lock(q);
    if (rv == APR_SUCCESS)
        rv = csq_begin(q, plan, pool, &outcome);
    if (rv == APR_SUCCESS) {
        q->ends = 1;
        make_bells(q, pool);
        outcome.size = apr_shm_size_get(q->shm);
        outcome.slots = q->slot_count;
        csq_filelock_drop(q->lock_fd, CSQ_BYTE_MAKING);
        apr_pool_cleanup_register(pool, q, destroy_created, apr_pool_cleanup_null);
        if (out_outcome)
            *out_outcome = outcome;
        *out_q = q;
        return APR_SUCCESS;
    }
    q->header = NULL;
    destroy_created(q);
    return rv;
}

apr_status_t csq_create(const char *path, apr_size_t size, unsigned slots,
                        const csq_limits *limits, apr_pool_t *pool, csq **out_q)
{
    csq_plan plan = { .path = path, .size = size, .slots = slots, .limits = limits };

    return csq_start(&plan, pool, NULL, out_q);
}

void csq_keep(csq *q)
{
    q->ends = 0;
}

/* ---- attach ------------------------------------------------------------ */

static apr_status_t detach(void *data)
{
    csq *q = data;

    csq_memory_drop(q, 0);
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
    if (rv == APR_SUCCESS)
        rv = csq_filelock_current(q->lock_fd, path);
    return APR_STATUS_IS_ENOENT(rv) ? CSQ_NO_SERVER : rv;
}

apr_status_t csq_attach(const char *path, apr_pool_t *pool, csq **out_q)
{
    csq *q;
    apr_status_t rv = make_handle(path, pool, &q);

    if (rv != APR_SUCCESS)
        return APR_STATUS_IS_ENOENT(rv) || APR_STATUS_IS_ENOTDIR(rv) ? CSQ_NO_SERVER : rv;
    rv = hold_for_mapping(q);
    if (rv == APR_SUCCESS)
        rv = csq_memory_attach(q);
    if (APR_STATUS_IS_ENOENT(rv))
        rv = CSQ_NO_SERVER;
    if (APR_STATUS_IS_EOF(rv))
        rv = CSQ_DAMAGED;
    if (rv == APR_SUCCESS)
        rv = csq_memory_check(q);
    if (rv == APR_SUCCESS)
        rv = csq_filelock_take(q->lock_fd, CSQ_BYTE_ATTACHED, 0);
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
    if (!__atomic_load_n(&q->header->closed, __ATOMIC_RELAXED))
        __atomic_store_n(&q->header->closed, 1, __ATOMIC_RELEASE);
    csq_slot_ring_all(q);
}
