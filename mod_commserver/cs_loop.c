/* SPDX-License-Identifier: Apache-2.0
 * cs_loop.c - the event threads of one child; see cs_loop.h.
 *
 * Lock order: loop.lock is innermost; nothing is called while it is held but
 * the timing wheel. It guards the run queue, the wheel, and who leads.
 *
 * Sockets are watched edge-triggered and registered once: a record remembers
 * what has happened, so nothing has to be armed again from state to state.
 *
 * Sleeping without missing a wake-up: `asleep` is set before the run queue is
 * looked at for the last time, and whoever puts something on it writes to the
 * eventfd if `asleep` is set. The doorbell's flag is cleared the same way by
 * csq_slot_take() before the list is read for the last time.
 */
#include "cs_compat.h"

#include "cs_loop.h"
#include "cs_config.h"
#include "cs_handover.h"
#include "cs_lifecycle.h"
#include "cs_private.h"

#include <ap_mpm.h>
#include <http_log.h>
#include <mpm_common.h>
#include <apr_portable.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

APLOG_USE_MODULE(commserver);

#define EVENTS_AT_ONCE 256
#define RINGS_AT_ONCE  256
/* c->id names the thread; these are above those of all MPM threads.          */
#define FIRST_CONNECTION_ID 0x40000000L

#define FIRST_THREADS   2
#define MAX_THREADS     64
#define LOCK_TIMEOUT    apr_time_from_msec(50) /* of the queues' locks      */
#define UPKEEP_INTERVAL apr_time_from_sec(1)
#define STALL           apr_time_from_msec(20) /* a step longer than this   */
#define STALL_USED      apr_time_from_msec(10) /* processor time in it      */
#define CAREFUL_TIME    apr_time_from_sec(1)   /* after the last stall      */
#define GUARD_REST      apr_time_from_sec(1)   /* idle before it sleeps     */
#define GIVE_BACK_LEAST 64                     /* connections               */
#define ENDING_TIME     apr_time_from_sec(2)

/* What epoll's data says when it is no connection: no record has these.      */
#define NAME_DOORBELL (~(cs_park_name)0)
#define NAME_EVENT    (~(cs_park_name)1)

typedef struct cs_loop_thread {
    apr_thread_t *thread;
    pid_t id;        /* of the kernel's thread                 */
    clockid_t clock; /* processor time it has used             */
} cs_loop_thread;

/* What the guard remembers from look to look.                                */
typedef struct guard_view {
    apr_time_t idle_since;
    apr_time_t began; /* the step that looks long               */
    apr_time_t used;  /* processor time of its thread then      */
} guard_view;

static struct {
    pthread_mutex_t lock;
    pthread_cond_t lead_free; /* nobody leads, or the guard should look */
    cs_park *run_first;
    cs_park *run_last;
    cs_park *kept_first; /* steps that must wait for a thread      */
    cs_park *kept_last;
    cs_timer_wheel wheel;

    cs_loop_thread *leader;
    cs_loop_thread *guard;
    cs_loop_thread threads[MAX_THREADS];
    int thread_count;
    int thread_max;
    int followers;            /* threads that wait for the lead         */
    apr_time_t careful_until; /* pass the lead on before hooks          */

    apr_time_t step_began; /* of the leader; 0: it polls             */
    int guard_sleeps;
    int asleep;    /* the leader is, or is about to be       */
    int level;     /* cs_loop_level                          */
    int stop_told; /* the level that all records were told   */
    int end;       /* threads return                         */
    int give_back; /* the guard is to give memory back       */
    int running;
    apr_uint32_t held;
    apr_time_t next_upkeep;

    int epoll;
    int event; /* eventfd: wakes the leader              */
    csq *queue;
    csq_slot *slot;
    apr_pool_t *pool;
    server_rec *server;
} loop = { .lock = PTHREAD_MUTEX_INITIALIZER, .epoll = -1, .event = -1 };

static __thread cs_loop_thread *self;

struct cs_loop_thread *cs_loop_thread_self(void)
{
    return self;
}

cs_loop_level cs_loop_level_get(void)
{
    return (cs_loop_level)__atomic_load_n(&loop.level, __ATOMIC_ACQUIRE);
}

int cs_loop_is_running(void)
{
    return __atomic_load_n(&loop.running, __ATOMIC_ACQUIRE);
}

apr_time_t cs_loop_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return apr_time_from_sec(now.tv_sec) + now.tv_nsec / 1000;
}

static int is_leader(void)
{
    return self != NULL && __atomic_load_n(&loop.leader, __ATOMIC_ACQUIRE) == self;
}

csq_waiter cs_loop_waiter(apr_uint32_t number)
{
    return csq_waiter_make(loop.slot, number);
}

void cs_loop_held_add(int change)
{
    apr_uint32_t held =
        __atomic_add_fetch(&loop.held, (apr_uint32_t)change, __ATOMIC_RELAXED);

    /* Two threads may store in the wrong order; upkeep puts that right. */
    csq_slot_waiting_set(loop.slot, held);
}

/* ---- run queue and wheel ----------------------------------------------- */

static void append_park(cs_park **first, cs_park **last, cs_park *park)
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

static cs_park *shift_park(cs_park **first, cs_park **last)
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

static void wake_leader(void)
{
    apr_uint64_t one = 1;

    if (write(loop.event, &one, sizeof(one)) < 0) {
        /* EAGAIN: the counter is full, so it is readable. */
        return;
    }
}

void cs_loop_run(cs_park *park)
{
    pthread_mutex_lock(&loop.lock);
    append_park(&loop.run_first, &loop.run_last, park);
    pthread_mutex_unlock(&loop.lock);
    if (__atomic_load_n(&loop.asleep, __ATOMIC_SEQ_CST) && !is_leader()) {
        wake_leader();
    }
}

void cs_loop_timer_set(cs_park *park, apr_time_t deadline)
{
    pthread_mutex_lock(&loop.lock);
    cs_timer_set(&loop.wheel, &park->timer, deadline);
    pthread_mutex_unlock(&loop.lock);
}

void cs_loop_timer_clear(cs_park *park)
{
    pthread_mutex_lock(&loop.lock);
    cs_timer_clear(&loop.wheel, &park->timer);
    pthread_mutex_unlock(&loop.lock);
}

static cs_park *take_due(apr_time_t now)
{
    cs_timer *timer;

    pthread_mutex_lock(&loop.lock);
    timer = cs_timer_take(&loop.wheel, now);
    pthread_mutex_unlock(&loop.lock);
    return timer == NULL ? NULL : (cs_park *)((char *)timer - offsetof(cs_park, timer));
}

/* ---- sockets ----------------------------------------------------------- */

apr_status_t cs_loop_watch(cs_park *park, int watch_out)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET };

    event.data.u64 = cs_park_name_of(park);
    if (watch_out) {
        event.events |= EPOLLOUT;
    }
    if (epoll_ctl(loop.epoll, watch_out ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, park->fd, &event)
        < 0) {
        return errno;
    }
    return APR_SUCCESS;
}

void cs_loop_unwatch(cs_park *park)
{
    struct epoll_event event = { 0 };

    epoll_ctl(loop.epoll, EPOLL_CTL_DEL, park->fd, &event);
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

static void hear_doorbell(void)
{
    apr_uint32_t numbers[RINGS_AT_ONCE];
    int count, i, all;

    do {
        all = 0;
        count = csq_slot_take(loop.slot, numbers, RINGS_AT_ONCE, &all);
        for (i = 0; i < count; i++) {
            cs_park_ring(numbers[i]);
        }
        if (all) {
            cs_park_signal_all(CS_SIGNAL_RUNG);
        }
    } while (count == RINGS_AT_ONCE);
}

static void hear_events(const struct epoll_event *events, int count)
{
    apr_uint64_t counter;
    int i;

    for (i = 0; i < count; i++) {
        if (events[i].data.u64 == NAME_EVENT) {
            while (read(loop.event, &counter, sizeof(counter)) > 0) {
            }
        }
        else if (events[i].data.u64 != NAME_DOORBELL) {
            hear_socket(&events[i]);
        }
    }
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
    pthread_mutex_lock(&loop.lock);
    loop.give_back = 1;
    pthread_cond_broadcast(&loop.lead_free);
    pthread_mutex_unlock(&loop.lock);
}

static void keep_up(apr_time_t now)
{
    int level = cs_loop_level_get();
    cs_park *park;

    while ((park = take_due(now)) != NULL) {
        cs_park_signal(cs_park_name_of(park), CS_SIGNAL_TIME);
    }
    if (level != loop.stop_told || now >= loop.next_upkeep) {
        loop.next_upkeep = now + UPKEEP_INTERVAL;
        loop.stop_told = level;
        /* Told again each second: a request may be held in the moment between
         * its own look at the level and the round that told all. */
        if (level != CS_LOOP_RUNNING) {
            cs_park_signal_all(CS_SIGNAL_STOP);
        }
        csq_slot_waiting_set(loop.slot, __atomic_load_n(&loop.held, __ATOMIC_RELAXED));
        cs_park_bury(now);
        note_connections();
        cs_lifecycle_upkeep(apr_time_now());
    }
}

/* ---- leading ----------------------------------------------------------- */

static int run_queue_empty(void)
{
    int empty;

    pthread_mutex_lock(&loop.lock);
    empty = loop.run_first == NULL;
    pthread_mutex_unlock(&loop.lock);
    return empty;
}

static int sleep_time(apr_time_t now)
{
    apr_interval_time_t limit = loop.next_upkeep > now ? loop.next_upkeep - now : 0;
    apr_interval_time_t time;

    pthread_mutex_lock(&loop.lock);
    time = cs_timer_sleep(&loop.wheel, now, limit);
    pthread_mutex_unlock(&loop.lock);
    return (int)((time + 999) / 1000);
}

static void poll_events(void)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count, timeout;

    __atomic_store_n(&loop.asleep, 1, __ATOMIC_SEQ_CST);
    hear_doorbell();
    timeout = run_queue_empty() ? sleep_time(cs_loop_now()) : 0;
    count = epoll_wait(loop.epoll, events, EVENTS_AT_ONCE, timeout);
    __atomic_store_n(&loop.asleep, 0, __ATOMIC_SEQ_CST);
    hear_events(events, count);
    keep_up(cs_loop_now());
}

/* Let the guard watch this step. @return when it began. */
static apr_time_t begin_step(void)
{
    apr_time_t now = cs_loop_now();

    __atomic_store_n(&loop.step_began, now, __ATOMIC_RELEASE);
    if (__atomic_load_n(&loop.guard_sleeps, __ATOMIC_RELAXED)) {
        pthread_mutex_lock(&loop.lock);
        loop.guard_sleeps = 0;
        pthread_cond_broadcast(&loop.lead_free);
        pthread_mutex_unlock(&loop.lock);
    }
    return now;
}

/* The guard deposes a leader by the same swap; so only one of them wins, and
 * never while the leader is anywhere else than in a step. */
static int end_step(apr_time_t began)
{
    return __atomic_compare_exchange_n(&loop.step_began, &began, 0, 0, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static void settle(cs_park *park, cs_step step)
{
    if (step == CS_STEP_PARK && !cs_input_pending(&park->input)) {
        cs_input_clear(&park->input); /* held requests need no input buffer */
    }
    if (step == CS_STEP_RUN || (step == CS_STEP_PARK && !cs_park_rest(park))) {
        cs_loop_run(park);
    }
}

static void take_step(cs_park *park)
{
    park->c->current_thread = self->thread;
    park->c->id = FIRST_CONNECTION_ID + (self - loop.threads);
    settle(park, cs_park_step(park));
}

static int start_thread(void);

typedef enum {
    HOOKS_RUN,     /* here, as the leader                                    */
    HOOKS_RUN_LED, /* here; another thread leads now                         */
    HOOKS_KEPT     /* later: no thread is to spare                           */
} hooks_decision;

/* Where steps have stalled lately the lead is passed on before hooks are run;
 * the last thread that is free never runs any. */
static hooks_decision decide_hooks(cs_park *park)
{
    hooks_decision decision = HOOKS_RUN_LED;

    if (__atomic_load_n(&loop.careful_until, __ATOMIC_RELAXED) < cs_loop_now()) {
        return HOOKS_RUN;
    }
    pthread_mutex_lock(&loop.lock);
    if (loop.followers == 0 && loop.thread_count < loop.thread_max) {
        start_thread();
    }
    if (loop.followers > 0) {
        __atomic_store_n(&loop.leader, NULL, __ATOMIC_RELEASE);
        pthread_cond_signal(&loop.lead_free);
    }
    else {
        append_park(&loop.kept_first, &loop.kept_last, park);
        decision = HOOKS_KEPT;
    }
    pthread_mutex_unlock(&loop.lock);
    return decision;
}

static cs_park *next_to_run(void)
{
    cs_park *park;

    pthread_mutex_lock(&loop.lock);
    park = shift_park(&loop.run_first, &loop.run_last);
    pthread_mutex_unlock(&loop.lock);
    return park;
}

static int still_leading(void)
{
    return is_leader() && !__atomic_load_n(&loop.end, __ATOMIC_ACQUIRE);
}

static void be_careful(apr_time_t now)
{
    __atomic_store_n(&loop.careful_until, now + CAREFUL_TIME, __ATOMIC_RELAXED);
}

/* While steps go on to be slow, care is taken. */
static void take_careful_step(cs_park *park)
{
    apr_time_t began = cs_loop_now(), now;

    take_step(park);
    now = cs_loop_now();
    if (now - began > STALL) {
        be_careful(now);
    }
}

/* @return 0: this thread leads no more. */
static int run_one(cs_park *park)
{
    hooks_decision decision = cs_park_runs_hooks(park) ? decide_hooks(park) : HOOKS_RUN;
    apr_time_t began;

    if (decision == HOOKS_KEPT) {
        return 1;
    }
    if (decision == HOOKS_RUN_LED) {
        take_careful_step(park);
        return 0;
    }
    began = begin_step();
    take_step(park);
    return end_step(began);
}

static void lead(void)
{
    while (still_leading()) {
        cs_park *park;

        while ((park = next_to_run()) != NULL) {
            if (!run_one(park)) {
                return;
            }
        }
        poll_events();
    }
}

/* ---- following --------------------------------------------------------- */

/* Steps that waited because all other threads were inside hooks. */
static void run_kept(void)
{
    cs_park *park;

    do {
        pthread_mutex_lock(&loop.lock);
        park = shift_park(&loop.kept_first, &loop.kept_last);
        pthread_mutex_unlock(&loop.lock);
        if (park != NULL) {
            take_careful_step(park);
        }
    } while (park != NULL);
}

static void wait_until_locked(apr_time_t when)
{
    struct timespec until;

    until.tv_sec = (time_t)apr_time_sec(when);
    until.tv_nsec = (long)apr_time_usec(when) * 1000;
    pthread_cond_timedwait(&loop.lead_free, &loop.lock, &until);
}

static apr_time_t processor_time(const cs_loop_thread *thread)
{
    struct timespec used;

    if (clock_gettime(thread->clock, &used) != 0) {
        return 0;
    }
    return apr_time_from_sec(used.tv_sec) + used.tv_nsec / 1000;
}

/* A thread that sleeps is stuck; one that runs may only have been given no
 * processor by a busy machine. */
static int thread_sleeps(const cs_loop_thread *thread)
{
    char path[64], text[128] = "";
    const char *state;
    int fd, len = 0;

    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)thread->id);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        len = (int)read(fd, text, sizeof(text) - 1);
        close(fd);
    }
    text[len > 0 ? len : 0] = '\0';
    state = strrchr(text, ')');
    return state == NULL || strchr("RZ", state[2]) == NULL;
}

static int is_stuck(guard_view *view, apr_time_t began)
{
    apr_time_t used;

    if (thread_sleeps(loop.leader)) {
        return 1;
    }
    used = processor_time(loop.leader);
    if (view->began != began) {
        view->began = began;
        view->used = used;
    }
    return used - view->used > STALL_USED;
}

static void give_back_locked(void)
{
    loop.give_back = 0;
    pthread_mutex_unlock(&loop.lock);
    malloc_trim(0);
    pthread_mutex_lock(&loop.lock);
}

/* The guard: look at the leader every now and then while it has work. */
static void guard_locked(guard_view *view)
{
    apr_time_t began = __atomic_load_n(&loop.step_began, __ATOMIC_ACQUIRE);
    apr_time_t now = cs_loop_now();

    if (loop.give_back) {
        give_back_locked();
        return;
    }
    if (began != 0) {
        view->idle_since = now;
        if (now - began > STALL && is_stuck(view, began) && end_step(began)) {
            be_careful(now);
            __atomic_store_n(&loop.leader, NULL, __ATOMIC_RELEASE);
            return;
        }
    }
    else if (now - view->idle_since > GUARD_REST) {
        loop.guard_sleeps = 1;
        pthread_cond_wait(&loop.lead_free, &loop.lock);
        loop.guard_sleeps = 0;
        view->idle_since = cs_loop_now();
        return;
    }
    wait_until_locked(now + STALL);
}

/* @return 0: the thread is to end. */
static int become_leader(void)
{
    guard_view view = { .idle_since = cs_loop_now() };

    pthread_mutex_lock(&loop.lock);
    loop.followers++;
    while (loop.leader != NULL && !loop.end) {
        if (loop.guard == NULL || loop.guard == self) {
            loop.guard = self;
            guard_locked(&view);
        }
        else {
            pthread_cond_wait(&loop.lead_free, &loop.lock);
        }
    }
    loop.followers--;
    if (loop.guard == self) {
        loop.guard = NULL;
    }
    __atomic_store_n(&loop.leader, self, __ATOMIC_RELEASE);
    __atomic_store_n(&loop.step_began, 0, __ATOMIC_RELAXED);
    if (loop.followers == 0 && loop.thread_count < loop.thread_max && !loop.end) {
        start_thread();
    }
    pthread_cond_signal(&loop.lead_free); /* another is to guard         */
    pthread_mutex_unlock(&loop.lock);
    return !__atomic_load_n(&loop.end, __ATOMIC_ACQUIRE);
}

static void *APR_THREAD_FUNC thread_main(apr_thread_t *thread, void *data)
{
    self = data;
    self->thread = thread;
    self->id = gettid();
    csq_lock_timeout_thread_set(LOCK_TIMEOUT);
    pthread_getcpuclockid(pthread_self(), &self->clock);
    while (become_leader()) {
        lead();
        run_kept();
    }
    return NULL;
}

/* ---- starting ---------------------------------------------------------- */

/* Under loop.lock. */
static int start_thread(void)
{
    cs_loop_thread *thread = &loop.threads[loop.thread_count];
    apr_threadattr_t *attributes;
    sigset_t all, before;
    apr_status_t rv;

    apr_threadattr_create(&attributes, loop.pool);
    if (ap_thread_stacksize != 0) {
        apr_threadattr_stacksize_set(attributes, ap_thread_stacksize);
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = ap_thread_create(&thread->thread, attributes, thread_main, thread, loop.pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rv == APR_SUCCESS) {
        loop.thread_count++;
    }
    return rv;
}

static apr_status_t watch_descriptor(int descriptor, cs_park_name name)
{
    struct epoll_event event = { .events = EPOLLIN };

    event.data.u64 = name;
    return epoll_ctl(loop.epoll, EPOLL_CTL_ADD, descriptor, &event) < 0 ? errno
                                                                        : APR_SUCCESS;
}

static apr_status_t open_descriptors(void)
{
    apr_status_t rv;

    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    loop.event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (loop.epoll < 0 || loop.event < 0) {
        return errno;
    }
    rv = watch_descriptor(loop.event, NAME_EVENT);
    if (rv == APR_SUCCESS) {
        rv = watch_descriptor(csq_slot_descriptor(loop.slot), NAME_DOORBELL);
    }
    return rv;
}

/* All that is held is answered and closed, then the threads are joined: after
 * this the process runs exit handlers, and none of us may be left. */
static apr_status_t end_loop(void *data)
{
    apr_time_t until = cs_loop_now() + ENDING_TIME;
    int i;

    (void)data;
    cs_loop_child_stopping(loop.pool, 0);
    __atomic_store_n(&loop.level, CS_LOOP_ENDING, __ATOMIC_RELEASE);
    wake_leader();
    pthread_mutex_lock(&loop.lock);
    while (__atomic_load_n(&loop.held, __ATOMIC_RELAXED) > 0 && cs_loop_now() < until) {
        wait_until_locked(cs_loop_now() + STALL);
    }
    __atomic_store_n(&loop.running, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&loop.end, 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&loop.lead_free);
    pthread_mutex_unlock(&loop.lock);
    wake_leader();
    for (i = 0; i < loop.thread_count; i++) {
        apr_status_t result;

        apr_thread_join(&result, loop.threads[i].thread);
    }
    return APR_SUCCESS;
}

static void init_condition(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&loop.lead_free, &attributes);
    pthread_condattr_destroy(&attributes);
}

static void read_limits(server_rec *s)
{
    cs_config_server *config = cs_config_server_get(s);
    int threads = 0;

    loop.thread_max = (int)config->max_event_threads;
    if (loop.thread_max > MAX_THREADS) {
        loop.thread_max = MAX_THREADS;
    }
    if (loop.thread_max < FIRST_THREADS) {
        loop.thread_max = FIRST_THREADS;
    }
    cs_park_table_init((apr_uint32_t)config->max_parked);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    cs_handover_init((unsigned)threads / 4);
}

apr_status_t cs_loop_child_init(apr_pool_t *pchild, server_rec *s, csq *q)
{
    apr_status_t rv;
    int i;

    loop.queue = q;
    loop.server = s;
    rv = csq_slot_claim(q, pchild, &loop.slot);
    if (rv == APR_SUCCESS) {
        rv = open_descriptors();
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_pool_create(&loop.pool, pchild);
    init_condition();
    read_limits(s);
    cs_timer_wheel_init(&loop.wheel, cs_loop_now());
    pthread_mutex_lock(&loop.lock);
    for (i = 0; i < FIRST_THREADS && rv == APR_SUCCESS; i++) {
        rv = start_thread();
    }
    pthread_mutex_unlock(&loop.lock);
    apr_pool_pre_cleanup_register(pchild, NULL, end_loop);
    __atomic_store_n(&loop.running, rv == APR_SUCCESS, __ATOMIC_RELEASE);
    return rv;
}

void cs_loop_child_stopping(apr_pool_t *pchild, int graceful)
{
    int level = CS_LOOP_RUNNING;

    (void)pchild;
    (void)graceful;
    __atomic_compare_exchange_n(&loop.level, &level, CS_LOOP_STOPPING, 0,
                                __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    if (loop.event >= 0) {
        wake_leader();
    }
}
