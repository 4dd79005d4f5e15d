/* SPDX-License-Identifier: Apache-2.0
 * csq_hash.c - keyed hashing of names, and random bytes.
 *
 * Names come from outside, so the hash is keyed with the segment's secret:
 * nobody can choose names that fall into one bucket.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <errno.h>
#include <sys/random.h>

static uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t csq_hash(const csq *q, uint64_t seed, const char *data, size_t len)
{
    const uint64_t k0 = q->header->secret[0];
    const uint64_t k1 = q->header->secret[1] | 1;
    uint64_t state = seed ^ k0 ^ (len * UINT64_C(0x9e3779b97f4a7c15));
    uint64_t word;

    while (len >= 8) {
        memcpy(&word, data, 8);
        state = mix(state ^ word, k1);
        data += 8;
        len -= 8;
    }
    if (len) {
        word = 0;
        memcpy(&word, data, len);
        state = mix(state ^ word, k1);
    }
    return mix(state ^ k0, UINT64_C(0xd6e8feb86659fd93));
}

/* One system call serves many ids. The buffer belongs to a thread of one
 * process: a forked child must not draw what its parent draws.              */
typedef struct random_buffer {
    uint32_t process;
    uint32_t left;
    unsigned char bytes[256];
} random_buffer;

static __thread random_buffer buffer;

apr_status_t csq_random(csq *q, void *out, size_t len)
{
    uint32_t process = csq_process_id(q);
    ssize_t n;

    csq_assert(len <= sizeof buffer.bytes);
    if (buffer.process != process || buffer.left < len) {
        do
            n = getrandom(buffer.bytes, sizeof buffer.bytes, 0);
        while (n < 0 && errno == EINTR);
        if (n < 0)
            return errno;
        if ((size_t)n < len)
            return APR_EGENERAL;
        buffer.process = process;
        buffer.left = (uint32_t)n;
    }
    buffer.left -= (uint32_t)len;
    memcpy(out, buffer.bytes + buffer.left, len);
    memset(buffer.bytes + buffer.left, 0, len);
    return APR_SUCCESS;
}
