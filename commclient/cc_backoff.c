/* SPDX-License-Identifier: Apache-2.0
 * cc_backoff.c - how long to wait before the next try.
 */
#include "cc_compat.h"
#include "cc_backoff.h"

void cc_backoff_init(cc_backoff *backoff, uint64_t seed)
{
    backoff->state = seed;
    backoff->failures = 0;
}

void cc_backoff_reset(cc_backoff *backoff)
{
    backoff->failures = 0;
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

unsigned cc_backoff_random(cc_backoff *backoff, unsigned bound)
{
    return (unsigned)(next_random(&backoff->state) % bound);
}

unsigned cc_backoff_next(cc_backoff *backoff)
{
    unsigned bound = CC_BACKOFF_HIGHEST;

    if (backoff->failures < 6)
        bound = CC_BACKOFF_FIRST << backoff->failures;
    if (bound > CC_BACKOFF_HIGHEST)
        bound = CC_BACKOFF_HIGHEST;
    backoff->failures++;
    return cc_backoff_random(backoff, bound + 1);
}

int64_t cc_backoff_obey(cc_backoff *backoff, int64_t retry_after)
{
    int64_t seconds = retry_after < CC_BACKOFF_OBEYED ? retry_after : CC_BACKOFF_OBEYED;

    return seconds * 1000 + cc_backoff_random(backoff, CC_BACKOFF_SPREAD);
}
