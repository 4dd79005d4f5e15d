/* SPDX-License-Identifier: Apache-2.0
 * csq_map.c - where the parts of a segment lie, and what builds can share it.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define CHUNKS_MIN  64
#define BUCKETS_MAX (1u << 24)
#define ALIGN_UP(n) (((n) + 63) & ~(size_t)63)

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static uint32_t power_of_two(size_t least, uint32_t max)
{
    uint32_t n = CSQ_SHARDS * 2;

    while (n < least && n < max)
        n *= 2;
    return n;
}

static apr_status_t lay_out(size_t size, csq_map *map)
{
    size_t at = ALIGN_UP(sizeof(csq_header));

    map->shards = at;
    at = ALIGN_UP(at + CSQ_SHARDS * sizeof(csq_shard));
    map->slots = at;
    at = ALIGN_UP(at + map->slot_count * sizeof(csq_slot_shared));
    map->buckets = at;
    at = ALIGN_UP(at + map->bucket_count * sizeof(uint32_t));
    map->origins = at;
    at = ALIGN_UP(at + map->origin_count * sizeof(uint32_t));
    map->ids = at;
    at = ALIGN_UP(at + map->id_count * sizeof(uint32_t));
    map->receipts = at;
    at = ALIGN_UP(at + map->receipt_count * sizeof(uint32_t));
    map->topics = at;
    at = ALIGN_UP(at + map->topic_count * sizeof(uint32_t));
    map->groups = at;
    at = ALIGN_UP(at + map->group_count * sizeof(uint32_t));
    map->repeats = at;
    at = ALIGN_UP(at + map->repeat_count * sizeof(uint32_t));
    map->fates = at;
    at = ALIGN_UP(at + map->fate_count * CSQ_FATE_WAYS * sizeof(csq_fate_record));
    map->chunks = at;
    if (at > size || (size - at) / CSQ_CHUNK_BYTES < CHUNKS_MIN)
        return APR_EINVAL;
    if ((size - at) / CSQ_CHUNK_BYTES >= CSQ_WHEEL_FIRST)
        return APR_EINVAL;
    map->chunk_count = (uint32_t)((size - at) / CSQ_CHUNK_BYTES);
    map->end = at + (size_t)map->chunk_count * CSQ_CHUNK_BYTES;
    return APR_SUCCESS;
}

apr_status_t csq_map_make(size_t size, uint32_t slots, uint32_t max_clients,
                          csq_map *out_map)
{
    uint32_t most = power_of_two(size / 64, BUCKETS_MAX);

    if (slots < 1 || slots > CSQ_SLOTS_MAX)
        return APR_EINVAL;
    out_map->slot_count = slots;
    out_map->bucket_count = power_of_two(max_clients, most);
    out_map->origin_count = power_of_two(size / 8192, BUCKETS_MAX);
    out_map->id_count = power_of_two(size / 512, BUCKETS_MAX);
    out_map->receipt_count = power_of_two(size / 2048, BUCKETS_MAX);
    out_map->topic_count = power_of_two(size / 2048, BUCKETS_MAX);
    out_map->group_count = power_of_two(size / 8192, BUCKETS_MAX);
    out_map->repeat_count = power_of_two(size / 2048, BUCKETS_MAX);
    out_map->fate_count = power_of_two(size / 8192, BUCKETS_MAX);
    return lay_out(size, out_map);
}

static int is_power_of_two(uint32_t n)
{
    return n >= CSQ_SHARDS && n <= BUCKETS_MAX && !(n & (n - 1));
}

apr_status_t csq_map_check(const csq_header *header, size_t size, csq_map *out_map)
{
    if (header->slot_count < 1 || header->slot_count > CSQ_SLOTS_MAX
        || !is_power_of_two(header->bucket_count)
        || !is_power_of_two(header->origin_count) || !is_power_of_two(header->id_count)
        || !is_power_of_two(header->receipt_count)
        || !is_power_of_two(header->topic_count) || !is_power_of_two(header->group_count)
        || !is_power_of_two(header->repeat_count) || !is_power_of_two(header->fate_count)
        || header->size > size)
        return CSQ_DAMAGED;
    out_map->slot_count = header->slot_count;
    out_map->bucket_count = header->bucket_count;
    out_map->origin_count = header->origin_count;
    out_map->id_count = header->id_count;
    out_map->receipt_count = header->receipt_count;
    out_map->topic_count = header->topic_count;
    out_map->group_count = header->group_count;
    out_map->repeat_count = header->repeat_count;
    out_map->fate_count = header->fate_count;
    if (lay_out(header->size, out_map) != APR_SUCCESS
        || out_map->chunk_count != header->chunk_count || out_map->end != header->size)
        return CSQ_DAMAGED;
    return APR_SUCCESS;
}

void csq_map_apply(csq *q, void *base, const csq_map *map)
{
    char *at = base;

    q->header = base;
    q->shards = (csq_shard *)(at + map->shards);
    q->slots = (csq_slot_shared *)(at + map->slots);
    q->buckets = (uint32_t *)(at + map->buckets);
    q->origins = (uint32_t *)(at + map->origins);
    q->ids = (uint32_t *)(at + map->ids);
    q->receipts = (uint32_t *)(at + map->receipts);
    q->topics = (uint32_t *)(at + map->topics);
    q->groups = (uint32_t *)(at + map->groups);
    q->repeats = (uint32_t *)(at + map->repeats);
    q->fates = (csq_fate_record *)(at + map->fates);
    q->chunks = at + map->chunks;
    q->slot_count = map->slot_count;
    q->bucket_mask = map->bucket_count / CSQ_SHARDS - 1;
    q->origin_mask = map->origin_count - 1;
    q->id_mask = map->id_count - 1;
    q->receipt_mask = map->receipt_count - 1;
    q->topic_mask = map->topic_count / CSQ_SHARDS - 1;
    q->group_mask = map->group_count / CSQ_SHARDS - 1;
    q->repeat_mask = map->repeat_count - 1;
    q->fate_mask = map->fate_count - 1;
    q->chunk_count = map->chunk_count;
}

void csq_build_text(char out[CSQ_BUILD_BYTES])
{
    memset(out, 0, CSQ_BUILD_BYTES);
    snprintf(out, CSQ_BUILD_BYTES, "glibc %d, mutex %zu/%zu, long %zu, pointer %zu, %s",
             __GLIBC__, sizeof(pthread_mutex_t), _Alignof(pthread_mutex_t), sizeof(long),
             sizeof(void *), __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? "LE" : "BE");
}

/* Let read() fill the pages: where there is no room for one it says EFAULT,
 * while a store of our own would be a SIGBUS. It clears them, too.           */
static apr_status_t fill_from_zero(char *base, size_t size)
{
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    size_t done = 0;
    ssize_t n = 0;

    if (fd < 0)
        return errno;
    while (done < size) {
        n = read(fd, base + done, size - done < 1 << 20 ? size - done : 1 << 20);
        if (n <= 0 && errno != EINTR)
            break;
        if (n > 0)
            done += (size_t)n;
    }
    close(fd);
    return done == size ? APR_SUCCESS : CSQ_NO_MEMORY;
}

apr_status_t csq_pages_reserve(char *base, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *start = base - (size_t)((uintptr_t)base & (page - 1));
    size_t bytes = (size_t)(base + size - start);
    int rc;

    do
        rc = madvise(start, (bytes + page - 1) & ~(page - 1), MADV_POPULATE_WRITE);
    while (rc != 0 && (errno == EINTR || errno == EAGAIN));
    if (rc == 0)
        return APR_SUCCESS;
    if (errno == EINVAL)
        return fill_from_zero(base, size);
    return errno == EFAULT || errno == ENOMEM ? CSQ_NO_MEMORY : errno;
}
