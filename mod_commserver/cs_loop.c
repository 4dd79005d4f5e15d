/* SPDX-License-Identifier: Apache-2.0
 * cs_loop.c - the events of one child; see cs_loop.h.
 *
 * Sockets are watched edge-triggered and registered once: a record remembers
 * what has happened, so nothing has to be armed again from state to state.
 *
 * Sleeping without missing a wake-up: `asleep` is set before the run queue is
 * looked at for the last time, and whoever puts something on it writes to the
 * eventfd if `asleep` is set. The doorbell works the same way: it listens only
 * while the leader waits, and what is on its list is taken between steps.
 */
#include "cs_compat.h"

#include "cs_loop_private.h"
#include "cs_answer.h"
#include "cs_config.h"
#include "cs_handover.h"
#include "cs_lifecycle.h"
#include "cs_memory.h"

#include <ap_mpm.h>

#include <errno.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_AT_ONCE  256
#define RINGS_AT_ONCE   256
#define UPKEEP_INTERVAL apr_time_from_sec(1)

/* Between two portions of what has expired, while there is more.              */
#define BACKLOG_INTERVAL apr_time_from_msec(20)
#define ENDING_TIME      apr_time_from_sec(2)
#define ENDING_LOOK      apr_time_from_msec(20)
#define PATIENCE         apr_time_from_sec(4) /* of a child that stops */
#define GIVE_BACK_LEAST  64                   /* connections               */

/* What epoll's data says when it is no connection: no record has these.      */
#define NAME_DOORBELL (~(cs_park_name)0)
#define NAME_EVENT    (~(cs_park_name)1)

cs_loop_state cs_loop = { .lock = PTHREAD_MUTEX_INITIALIZER, .epoll = -1, .event = -1 };

cs_loop_level cs_loop_level_get(void)
{
    return (cs_loop_level)__atomic_load_n(&cs_loop.level, __ATOMIC_ACQUIRE);
}

apr_time_t cs_loop_patience_end(void)
{
    return __atomic_load_n(&cs_loop.patience_end, __ATOMIC_RELAXED);
}

int cs_loop_is_running(void)
{
    return __atomic_load_n(&cs_loop.running, __ATOMIC_ACQUIRE);
}

apr_time_t cs_loop_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}

csq_waiter cs_loop_waiter(apr_uint32_t number)
{
    return csq_waiter_make(cs_loop.slot, number);
}

void cs_loop_held_add(int change)
{
    apr_uint32_t held =
        __atomic_add_fetch(&cs_loop.held, (apr_uint32_t)change, __ATOMIC_RELAXED);

    /* Two threads may store in the wrong order; upkeep puts that right. */
    csq_slot_waiting_set(cs_loop.slot, held);
}

/* ---- run queue and wheel ----------------------------------------------- */

void cs_loop_append(cs_park **first, cs_park **last, cs_park *park)
{
    park->run_next = NULL;
    if (*last != NULL) {
        (*last)->run_next = park;
    }
    else {
        *first = park;
    }
    *last = park;
}

cs_park *cs_loop_shift(cs_park **first, cs_park **last)
{
    cs_park *park = *first;

    if (park != NULL) {
        *first = park->run_next;
        if (*first == NULL) {
            *last = NULL;
        }
    }
    return park;
}

void cs_loop_wake(void)
{
    apr_uint64_t one = 1;

    if (write(cs_loop.event, &one, sizeof(one)) < 0) {
        /* EAGAIN: the counter is full, so it is readable. */
        return;
    }
}

static void wake_leader(void)
{
    if (__atomic_load_n(&cs_loop.asleep, __ATOMIC_SEQ_CST) && !cs_lead_is_mine()) {
        cs_loop_wake();
    }
}

void cs_loop_run(cs_park *park)
{
    pthread_mutex_lock(&cs_loop.lock);
    cs_loop_append(&cs_loop.run_first, &cs_loop.run_last, park);
    pthread_mutex_unlock(&cs_loop.lock);
    wake_leader();
}

void cs_loop_answered(cs_park *park)
{
    pthread_mutex_lock(&cs_loop.lock);
    cs_loop_append(&cs_loop.answered_first, &cs_loop.answered_last, park);
    if (cs_loop.answered++ == 0) {
        cs_loop.answered_since = cs_loop_now();
    }
    pthread_mutex_unlock(&cs_loop.lock);
    wake_leader();
}

void cs_loop_timer_set(cs_park *park, apr_time_t deadline)
{
    pthread_mutex_lock(&cs_loop.lock);
    cs_timer_set(&cs_loop.wheel, &park->timer, deadline);
    pthread_mutex_unlock(&cs_loop.lock);
}

void cs_loop_timer_clear(cs_park *park)
{
    pthread_mutex_lock(&cs_loop.lock);
    cs_timer_clear(&cs_loop.wheel, &park->timer);
    pthread_mutex_unlock(&cs_loop.lock);
}

static cs_park *take_due(apr_time_t now)
{
    cs_timer *timer;

    pthread_mutex_lock(&cs_loop.lock);
    timer = cs_timer_take(&cs_loop.wheel, now);
    pthread_mutex_unlock(&cs_loop.lock);
    return timer == NULL ? NULL : (cs_park *)((char *)timer - offsetof(cs_park, timer));
}

/* ---- sockets ----------------------------------------------------------- */

apr_status_t cs_loop_watch(cs_park *park)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };
    int what = park->watched == CS_WATCH_NOTHING ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

    event.data.u64 = cs_park_name_of(park);
    if (park->wanted == CS_WATCH_ALL) {
        event.events |= EPOLLOUT;
    }
    if (epoll_ctl(cs_loop.epoll, what, park->fd, &event) < 0) {
        return errno;
    }
    park->watched = park->wanted;
    return APR_SUCCESS;
}

void cs_loop_unwatch(cs_park *park)
{
    struct epoll_event event = { 0 };

    epoll_ctl(cs_loop.epoll, EPOLL_CTL_DEL, park->fd, &event);
}

static void hear_socket(const struct epoll_event *event)
{
    unsigned signals = 0;

    if (event->events & EPOLLIN) {
        signals |= CS_SIGNAL_IN;
    }
    if (event->events & EPOLLOUT) {
        signals |= CS_SIGNAL_OUT;
    }
    if (event->events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        signals |= CS_SIGNAL_HUP;
    }
    cs_park_signal(event->data.u64, signals);
}

int cs_loop_hear(void)
{
    apr_uint32_t numbers[RINGS_AT_ONCE];
    int count, i, all, heard = 0;

    do {
        all = 0;
        count = csq_slot_take(cs_loop.slot, numbers, RINGS_AT_ONCE, &all);
        for (i = 0; i < count; i++) {
            cs_park_ring(numbers[i]);
        }
        if (all) {
            cs_park_signal_all(CS_SIGNAL_RUNG);
        }
        heard |= count > 0 || all;
    } while (count == RINGS_AT_ONCE);
    return heard;
}

static void hear_events(const struct epoll_event *events, int count)
{
    apr_uint64_t counter;
    int i, rung = 0;

    for (i = 0; i < count; i++) {
        if (events[i].data.u64 == NAME_EVENT) {
            while (read(cs_loop.event, &counter, sizeof(counter)) > 0) {
            }
        }
        else if (events[i].data.u64 == NAME_DOORBELL) {
            rung = 1;
        }
        else {
            hear_socket(&events[i]);
        }
    }
    csq_slot_mute(cs_loop.slot, rung);
}

/* ---- upkeep ------------------------------------------------------------ */

/* TLS allocates with malloc(), which keeps what thousands of connections had
 * used. Once most of them are gone it is told to give that back; by the guard,
 * since it takes a while. */
static void note_connections(void)
{
    static apr_uint32_t most;
    apr_uint32_t count = cs_park_count();

    if (count > most) {
        most = count;
    }
    if (most < GIVE_BACK_LEAST || count > most / 2) {
        return;
    }
    most = count;
    pthread_mutex_lock(&cs_loop.lock);
    cs_loop.give_back = 1;
    pthread_cond_broadcast(&cs_loop.lead_free);
    pthread_mutex_unlock(&cs_loop.lock);
}

static void keep_up(apr_time_t now)
{
    int level = cs_loop_level_get();
    cs_park *park;

    while ((park = take_due(now)) != NULL) {
        cs_park_signal(cs_park_name_of(park), CS_SIGNAL_TIME);
    }
    if (level != cs_loop.stop_told || now >= cs_loop.next_upkeep) {
        cs_loop.next_upkeep = now + UPKEEP_INTERVAL;
        cs_loop.stop_told = level;
        if (level != CS_LOOP_RUNNING && cs_loop_patience_end() == 0) {
            __atomic_store_n(&cs_loop.patience_end, now + PATIENCE, __ATOMIC_RELAXED);
        }
        /* Told again each second: a request may be held in the moment between
         * its own look at the level and the round that told all. */
        if (level != CS_LOOP_RUNNING) {
            cs_park_signal_all(CS_SIGNAL_STOP);
        }
        csq_slot_waiting_set(cs_loop.slot,
                             __atomic_load_n(&cs_loop.held, __ATOMIC_RELAXED));
        cs_park_bury(now);
        cs_memory_upkeep();
        cs_lead_upkeep();
        note_connections();
    }
    if (now >= cs_loop.next_expiry) {
        int more = cs_lifecycle_upkeep(apr_time_now());

        cs_loop.next_expiry = now + (more ? BACKLOG_INTERVAL : UPKEEP_INTERVAL);
    }
}

/* ---- polling ----------------------------------------------------------- */

static int nothing_to_run(void)
{
    int empty;

    pthread_mutex_lock(&cs_loop.lock);
    empty = cs_loop.run_first == NULL && cs_loop.answered_first == NULL;
    pthread_mutex_unlock(&cs_loop.lock);
    return empty;
}

static int sleep_time(apr_time_t now)
{
    apr_time_t next = cs_loop.next_upkeep < cs_loop.next_expiry ? cs_loop.next_upkeep
                                                                : cs_loop.next_expiry;
    apr_interval_time_t limit = next > now ? next - now : 0;
    apr_interval_time_t time;

    pthread_mutex_lock(&cs_loop.lock);
    time = cs_timer_sleep(&cs_loop.wheel, now, limit);
    pthread_mutex_unlock(&cs_loop.lock);
    return (int)((time + 999) / 1000);
}

void cs_loop_poll(void)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count, timeout;

    __atomic_store_n(&cs_loop.asleep, 1, __ATOMIC_SEQ_CST);
    csq_slot_listen(cs_loop.slot);
    cs_loop_hear();
    timeout = nothing_to_run() ? sleep_time(cs_loop_now()) : 0;
    if (timeout > 0) {
        cs_lead_idle();
    }
    count = epoll_wait(cs_loop.epoll, events, EVENTS_AT_ONCE, timeout);
    __atomic_store_n(&cs_loop.asleep, 0, __ATOMIC_SEQ_CST);
    hear_events(events, count);
    cs_loop.polled = cs_loop_now();
    keep_up(cs_loop.polled);
}

/* ---- starting ---------------------------------------------------------- */

static apr_status_t watch_descriptor(int descriptor, cs_park_name name)
{
    struct epoll_event event = { .events = EPOLLIN };

    event.data.u64 = name;
    return epoll_ctl(cs_loop.epoll, EPOLL_CTL_ADD, descriptor, &event) < 0 ? errno
                                                                           : APR_SUCCESS;
}

static apr_status_t open_descriptors(void)
{
    apr_status_t rv;

    cs_loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    cs_loop.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (cs_loop.epoll < 0 || cs_loop.event < 0) {
        return errno;
    }
    rv = watch_descriptor(cs_loop.event, NAME_EVENT);
    if (rv == APR_SUCCESS) {
        rv = watch_descriptor(csq_slot_descriptor(cs_loop.slot), NAME_DOORBELL);
    }
    return rv;
}

/* All that is held is answered and closed, then the threads are joined: after
 * this the process runs exit handlers, and none of us may be left. */
static apr_status_t end_loop(void *data)
{
    apr_time_t until = cs_loop_now() + ENDING_TIME;

    (void)data;
    cs_loop_child_stopping(cs_loop.pool, 0);
    __atomic_store_n(&cs_loop.level, CS_LOOP_ENDING, __ATOMIC_RELEASE);
    cs_loop_wake();
    pthread_mutex_lock(&cs_loop.lock);
    while (__atomic_load_n(&cs_loop.held, __ATOMIC_RELAXED) > 0
           && cs_loop_now() < until) {
        cs_lead_wait_locked(cs_loop_now() + ENDING_LOOK);
    }
    pthread_mutex_unlock(&cs_loop.lock);
    __atomic_store_n(&cs_loop.running, 0, __ATOMIC_RELEASE);
    cs_lead_end();
    return APR_SUCCESS;
}

static void read_limits(server_rec *s)
{
    cs_config_server *config = cs_config_server_get(s);
    int threads = 0;

    cs_loop.thread_max = (int)config->max_event_threads;
    if (cs_loop.thread_max > CS_LOOP_THREADS_MAX) {
        cs_loop.thread_max = CS_LOOP_THREADS_MAX;
    }
    if (cs_loop.thread_max < CS_LOOP_THREADS_FIRST) {
        cs_loop.thread_max = CS_LOOP_THREADS_FIRST;
    }
    cs_park_table_init((apr_uint32_t)config->max_parked);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    cs_handover_init((unsigned)threads / 4);
}

apr_status_t cs_loop_child_init(apr_pool_t *pchild, server_rec *s, csq *q)
{
    apr_status_t rv;

    cs_loop.queue = q;
    cs_loop.server = s;
    rv = csq_slot_claim(q, pchild, &cs_loop.slot);
    if (rv == APR_SUCCESS) {
        rv = open_descriptors();
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_create(&cs_loop.pool, pchild);
    read_limits(s);
    cs_answer_find_filters();
    cs_timer_wheel_init(&cs_loop.wheel, cs_loop_now());
    rv = cs_lead_start();
    apr_pool_pre_cleanup_register(pchild, NULL, end_loop);
    __atomic_store_n(&cs_loop.running, rv == APR_SUCCESS, __ATOMIC_RELEASE);
    return rv;
}

void cs_loop_child_stopping(apr_pool_t *pchild, int graceful)
{
    int level = CS_LOOP_RUNNING;

    (void)pchild;
    (void)graceful;
    __atomic_compare_exchange_n(&cs_loop.level, &level, CS_LOOP_STOPPING, 0,
                                __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (cs_loop.event >= 0) {
        cs_loop_wake();
    }
}
