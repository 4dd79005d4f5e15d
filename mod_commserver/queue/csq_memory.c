/* SPDX-License-Identifier: Apache-2.0
 * csq_memory.c - the shared memory of a segment: map it, make it, check it.
 *
 * What lies in memory that another process made is input. APR reads the size
 * of a named memory from its first bytes and maps that much, whether it is
 * there or not; so nothing is read before the end of it was touched in a way
 * that cannot kill.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define FOLDER "/dev/shm" /* of shm_open()                     */

/* APR puts eight bytes of its own before what it hands out. */
char *csq_memory_base(csq *q, size_t *out_size)
{
    char *base = apr_shm_baseaddr_get(q->shm);
    size_t skip = (64 - ((uintptr_t)base & 63)) & 63;
    size_t size = apr_shm_size_get(q->shm);

    *out_size = size > skip ? size - skip : 0;
    return base + skip;
}

/* APR does not look at what mmap() says. */
int csq_memory_is_mapped(const csq *q)
{
    char *base = q->shm ? apr_shm_baseaddr_get(q->shm) : NULL;

    return (uintptr_t)base >= 4096 && base != (char *)MAP_FAILED + 8;
}

/* write() says EFAULT where a load of our own would be a SIGBUS. */
static apr_status_t try_to_read(const char *at)
{
    int ends[2];
    int rc = 0;
    ssize_t n;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    do
        n = write(ends[1], at, 1);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        rc = errno;
    close(ends[0]);
    close(ends[1]);
    return rc == EFAULT ? CSQ_DAMAGED : rc;
}

apr_status_t csq_memory_attach(csq *q)
{
    apr_status_t rv = apr_shm_attach(&q->shm, q->path, q->shm_pool);
    char *base;
    size_t size;

    if (rv != APR_SUCCESS) {
        q->shm = NULL;
        return rv;
    }
    q->mapped = 1;
    base = apr_shm_baseaddr_get(q->shm);
    size = apr_shm_size_get(q->shm);
    if (!csq_memory_is_mapped(q) || size < 2 * sizeof(csq_header)
        || size > UINTPTR_MAX - (uintptr_t)base)
        return CSQ_DAMAGED;
    return try_to_read(base + size - 1);
}

/* To find that out by filling it would take from all others what there is. */
static int has_room(size_t size)
{
    struct statvfs info;

    return statvfs(FOLDER, &info) != 0 || info.f_blocks == 0 /* without a limit */
           || size / info.f_frsize <= info.f_bavail;
}

apr_status_t csq_memory_create(csq *q, size_t size)
{
    mode_t mask = umask(077);
    char *base;
    apr_status_t rv;

    apr_shm_remove(q->path, q->shm_pool);
    rv = !has_room(size) ? ENOSPC : apr_shm_create(&q->shm, size, q->path, q->shm_pool);
    umask(mask);
    if (rv != APR_SUCCESS) {
        q->shm = NULL;
        return rv == ENOSPC || rv == ENOMEM ? CSQ_NO_MEMORY : rv;
    }
    q->mapped = 0;
    base = apr_shm_baseaddr_get(q->shm);
    if (!csq_memory_is_mapped(q))
        return CSQ_NO_MEMORY;
    return csq_pages_reserve(base, apr_shm_size_get(q->shm));
}

/* To destroy means to unlink for APR, and only who made a memory may. */
void csq_memory_drop(csq *q, int unlink)
{
    if (!q->shm)
        return;
    if (q->mapped && csq_memory_is_mapped(q))
        apr_shm_detach(q->shm);
    else if (!q->mapped)
        apr_shm_destroy(q->shm);
    if (unlink)
        apr_shm_remove(q->path, q->shm_pool);
    q->shm = NULL;
    q->header = NULL;
}

apr_status_t csq_memory_check(csq *q)
{
    char build[CSQ_BUILD_BYTES];
    csq_map map;
    csq_header *header;
    size_t size;
    apr_status_t rv;

    header = (csq_header *)csq_memory_base(q, &size);
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

apr_status_t csq_mutexes_make(csq *q)
{
    apr_status_t rv = csq_mutex_create(&q->header->allocator);
    unsigned i;

    q->header->allocator_owner = 0;
    for (i = 0; i < CSQ_SHARDS && rv == APR_SUCCESS; i++) {
        q->shards[i].owner = 0;
        rv = csq_mutex_create(&q->shards[i].mutex);
    }
    return rv;
}
