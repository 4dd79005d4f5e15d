/* SPDX-License-Identifier: Apache-2.0
 * step_determinism.c - clocks that stand still and random numbers that come
 * again, so that one run is like the other; and a death at a call that is
 * counted. The linker leads the calls here (--wrap).
 */
#include "cs_compat.h"
#include "step_harness.h"

#include <signal.h>
#include <time.h>
#include <unistd.h>

static int frozen;
static uint64_t drawn;
static int calls_left; /* 0: no death                                 */

apr_status_t __real_csq_random(csq *q, void *out, size_t len);
apr_status_t __wrap_csq_random(csq *q, void *out, size_t len);
apr_time_t __real_apr_time_now(void);
apr_time_t __wrap_apr_time_now(void);
int __real_clock_gettime(clockid_t clock, struct timespec *out);
int __wrap_clock_gettime(clockid_t clock, struct timespec *out);

apr_status_t __real_csq_entry_link_locked(csq *q, unsigned shard, uint32_t queue_number,
                                          uint32_t number);
apr_status_t __wrap_csq_entry_link_locked(csq *q, unsigned shard, uint32_t queue_number,
                                          uint32_t number);
apr_status_t __real_csq_topic_remove_locked(csq *q, unsigned shard, uint32_t number);
apr_status_t __wrap_csq_topic_remove_locked(csq *q, unsigned shard, uint32_t number);

void __real_csq_slot_push(csq *q, csq_waiter waiter, csq_ring_set *rings);
void __wrap_csq_slot_push(csq *q, csq_waiter waiter, csq_ring_set *rings);

void step_freeze(void)
{
    frozen = 1;
    drawn = 0;
}

void step_thaw(void)
{
    frozen = 0;
}

/* splitmix64 */
static uint64_t draw(void)
{
    uint64_t z = drawn += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

apr_status_t __wrap_csq_random(csq *q, void *out, size_t len)
{
    unsigned char *to = out;
    uint64_t word = 0;
    size_t i;

    if (!frozen)
        return __real_csq_random(q, out, len);
    for (i = 0; i < len; i++) {
        if (i % sizeof word == 0)
            word = draw();
        to[i] = (unsigned char)(word >> 8 * (i % sizeof word));
    }
    return APR_SUCCESS;
}

apr_time_t __wrap_apr_time_now(void)
{
    return frozen ? fx.now : __real_apr_time_now();
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *out)
{
    if (!frozen)
        return __real_clock_gettime(clock, out);
    out->tv_sec = 1000;
    out->tv_nsec = 0;
    return 0;
}

/* ---- death at a call --------------------------------------------------------- */

void step_die_in(int calls)
{
    calls_left = calls;
}

static void count_call(void)
{
    if (calls_left && --calls_left == 0)
        kill(getpid(), SIGKILL);
}

apr_status_t __wrap_csq_entry_link_locked(csq *q, unsigned shard, uint32_t queue_number,
                                          uint32_t number)
{
    count_call();
    return __real_csq_entry_link_locked(q, shard, queue_number, number);
}

/* Its entry hangs in no queue any more. */
apr_status_t __wrap_csq_topic_remove_locked(csq *q, unsigned shard, uint32_t number)
{
    count_call();
    return __real_csq_topic_remove_locked(q, shard, number);
}

void __wrap_csq_slot_push(csq *q, csq_waiter waiter, csq_ring_set *rings)
{
    count_call();
    __real_csq_slot_push(q, waiter, rings);
}
