/* SPDX-License-Identifier: Apache-2.0
 * cs_blocked.c - waiting with a thread; see cs_blocked.h.
 *
 * One condition for all sleepers of the child: there are at most a few dozen,
 * and each looks at its own record when it is woken.
 */
#include "cs_compat.h"

#include "cs_blocked.h"
#include "cs_loop.h"

#include <pthread.h>
#include <time.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int sleepers;

static void make_condition(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attributes);
    pthread_condattr_destroy(&attributes);
}

int cs_blocked_enter(int max)
{
    int entered;

    pthread_once(&once, make_condition);
    pthread_mutex_lock(&lock);
    entered = sleepers < max;
    sleepers += entered;
    pthread_mutex_unlock(&lock);
    return entered;
}

void cs_blocked_leave(void)
{
    pthread_mutex_lock(&lock);
    sleepers--;
    pthread_mutex_unlock(&lock);
}

unsigned cs_blocked_sleep(cs_park *park, apr_time_t deadline)
{
    struct timespec until;
    unsigned signals;
    int timed_out = 0;

    until.tv_sec = (time_t)apr_time_sec(deadline);
    until.tv_nsec = (long)apr_time_usec(deadline) * 1000;
    pthread_mutex_lock(&lock);
    while ((signals = cs_park_take_signals(park)) == 0 && !timed_out) {
        timed_out = pthread_cond_timedwait(&changed, &lock, &until) != 0;
    }
    pthread_mutex_unlock(&lock);
    return signals;
}

void cs_blocked_wake(void)
{
    pthread_once(&once, make_condition);
    pthread_mutex_lock(&lock);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}
