/* SPDX-License-Identifier: Apache-2.0
 * cs_lead.c - the event threads of one child: who leads, guards, follows.
 *
 * The leader polls and takes the steps of connections itself. The guard looks
 * at it every now and then while it has work, and deposes it when it is stuck
 * in a step; from then on, and for a while after the last slow step, the lead
 * is passed on before each step that may run hooks. The last free thread runs
 * none.
 */
#include "cs_compat.h"

#include "cs_loop_private.h"

#include <http_log.h>
#include <mpm_common.h>

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

APLOG_USE_MODULE(commserver);

/* c->id names the thread; these are above those of all MPM threads.          */
#define FIRST_CONNECTION_ID 0x40000000L

#define LOCK_TIMEOUT    apr_time_from_msec(50) /* of the queues' locks      */
#define ANSWERS_AT_ONCE 64                     /* sent together, at most */
#define ANSWERS_WAIT    apr_time_from_msec(2)  /* for each other, at most */
#define POLL_INTERVAL   apr_time_from_msec(5)  /* however much there is to do */
#define STALL           apr_time_from_msec(20) /* a step longer than this   */
#define STALL_USED      apr_time_from_msec(10) /* processor time in it      */
#define CAREFUL_TIME    apr_time_from_sec(1)   /* after the last stall      */
#define GUARD_REST      apr_time_from_sec(1)   /* idle before it sleeps     */
#define THREAD_RETRY    apr_time_from_sec(5)   /* after there was no new one */

/* What the guard remembers from look to look.                                */
typedef struct guard_view {
    apr_time_t idle_since;
    apr_time_t began; /* the step that looks long               */
    apr_time_t used;  /* processor time of its thread then      */
} guard_view;

static __thread cs_loop_thread *self;

struct cs_loop_thread *cs_loop_thread_self(void)
{
    return self;
}

int cs_lead_is_mine(void)
{
    return self != NULL && __atomic_load_n(&cs_loop.leader, __ATOMIC_ACQUIRE) == self;
}

/* ---- leading ----------------------------------------------------------- */

/* Let the guard watch this step. @return when it began. */
static apr_time_t begin_step(void)
{
    apr_time_t now = cs_loop_now();

    __atomic_store_n(&cs_loop.step_began, now, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&cs_loop.guard_sleeps, __ATOMIC_SEQ_CST)) {
        pthread_mutex_lock(&cs_loop.lock);
        __atomic_store_n(&cs_loop.guard_sleeps, 0, __ATOMIC_RELAXED);
        pthread_cond_broadcast(&cs_loop.lead_free);
        pthread_mutex_unlock(&cs_loop.lock);
    }
    return now;
}

/* The guard deposes a leader by the same swap; so only one of them wins, and
 * never while the leader is anywhere else than in a step. */
static int end_step(apr_time_t began)
{
    return __atomic_compare_exchange_n(&cs_loop.step_began, &began, 0, 0,
                                       __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static void settle(cs_park *park, cs_step step)
{
    if (step == CS_STEP_PARK && !cs_input_pending(&park->input)) {
        cs_input_clear(&park->input); /* held requests need no input buffer */
    }
    if (step == CS_STEP_SEND) {
        cs_loop_answered(park);
    }
    if (step == CS_STEP_RUN || (step == CS_STEP_PARK && !cs_park_rest(park))) {
        cs_loop_run(park);
    }
}

/* Once httpd has taken its place from the connection, ours is given to it. */
static void give_place(cs_park *park)
{
    if (!park->placeless) {
        park->placeless = __atomic_load_n(&park->c->sbh, __ATOMIC_ACQUIRE) == NULL;
    }
    if (park->placeless) {
        park->c->sbh = self->place;
    }
}

static void take_step(cs_park *park)
{
    give_place(park);
    park->c->current_thread = self->thread;
    park->c->id = FIRST_CONNECTION_ID + (self - cs_loop.threads);
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

    if (__atomic_load_n(&cs_loop.careful_until, __ATOMIC_RELAXED) < cs_loop_now()) {
        return HOOKS_RUN;
    }
    pthread_mutex_lock(&cs_loop.lock);
    if (cs_loop.followers == 0 && cs_loop.thread_count < cs_loop.thread_max) {
        start_thread();
    }
    if (cs_loop.followers > 0) {
        __atomic_store_n(&cs_loop.leader, NULL, __ATOMIC_RELEASE);
        pthread_cond_broadcast(&cs_loop.lead_free);
    }
    else {
        cs_loop_append(&cs_loop.kept_first, &cs_loop.kept_last, park);
        decision = HOOKS_KEPT;
    }
    pthread_mutex_unlock(&cs_loop.lock);
    return decision;
}

/* Enough are answered, or the first of them has waited long enough. */
static int answers_are_due_locked(void)
{
    return cs_loop.answered >= ANSWERS_AT_ONCE
           || (cs_loop.answered > 0
               && cs_loop_now() - cs_loop.answered_since > ANSWERS_WAIT);
}

static cs_park *shift_run_queue(void)
{
    cs_park *park = NULL;

    pthread_mutex_lock(&cs_loop.lock);
    if (!answers_are_due_locked()) {
        park = cs_loop_shift(&cs_loop.run_first, &cs_loop.run_last);
    }
    pthread_mutex_unlock(&cs_loop.lock);
    return park;
}

static cs_park *shift_answered(void)
{
    cs_park *park;

    pthread_mutex_lock(&cs_loop.lock);
    park = cs_loop_shift(&cs_loop.answered_first, &cs_loop.answered_last);
    if (park != NULL) {
        cs_loop.answered--;
    }
    pthread_mutex_unlock(&cs_loop.lock);
    return park;
}

/* Requests first, then those that they have woken in this process; when there
 * are no more, or many are answered, all answers are sent.
 * @return NULL: nothing is left to do. */
static cs_park *next_to_run(int *sending)
{
    cs_park *park = NULL;

    if (!*sending) {
        park = shift_run_queue();
        if (park == NULL && cs_loop_hear()) {
            park = shift_run_queue();
        }
    }
    if (park == NULL) {
        park = shift_answered();
        *sending = park != NULL;
        if (park == NULL) {
            park = shift_run_queue();
        }
    }
    return park;
}

static int is_ending(void)
{
    return __atomic_load_n(&cs_loop.end, __ATOMIC_ACQUIRE);
}

static void be_careful(apr_time_t now)
{
    __atomic_store_n(&cs_loop.careful_until, now + CAREFUL_TIME, __ATOMIC_RELAXED);
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

/* @return 0: no, there is something left to do. */
static int resign(void)
{
    int idle;

    pthread_mutex_lock(&cs_loop.lock);
    idle = cs_loop.run_first == NULL && cs_loop.answered_first == NULL
           && cs_loop.kept_first == NULL;
    if (idle) {
        __atomic_store_n(&cs_loop.leader, NULL, __ATOMIC_RELEASE);
        pthread_cond_broadcast(&cs_loop.lead_free);
    }
    pthread_mutex_unlock(&cs_loop.lock);
    return idle;
}

static void run_kept(void);

/* Take steps until there are none, and look for events now and then even if
 * there always are: a client that never stops sending is one of many.
 * @return 0: this thread leads no more. */
static int run_all(void)
{
    int sending = 0;
    cs_park *park;

    while ((park = next_to_run(&sending)) != NULL) {
        if (!run_one(park)) {
            return 0;
        }
        if (cs_loop_now() - cs_loop.polled > POLL_INTERVAL) {
            cs_loop_poll();
        }
    }
    return 1;
}

/* @return 1: another leads; 0: the threads are to end, and nothing is left. */
static int lead(void)
{
    while (run_all()) {
        if (!is_ending()) {
            cs_loop_poll();
        }
        else if (resign()) {
            return 0;
        }
        else {
            run_kept();
        }
    }
    return 1;
}

void cs_lead_idle(void)
{
    cs_board_idle(self->place);
}

static void tell_no_thread(void)
{
    apr_status_t rv = __atomic_exchange_n(&cs_loop.thread_rv, 0, __ATOMIC_RELAXED);
    char buffer[120];

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, cs_loop.server,
                     "CS0045: no more event threads, requests wait for those there are: "
                     "%s", apr_strerror(rv, buffer, sizeof(buffer)));
    }
}

void cs_lead_upkeep(void)
{
    tell_no_thread();
    if (self->place == NULL) {
        pthread_mutex_lock(&cs_loop.lock);
        self->place = cs_board_take(cs_loop.pool, (int)(self - cs_loop.threads));
        pthread_mutex_unlock(&cs_loop.lock);
    }
}

/* ---- following --------------------------------------------------------- */

/* Steps that waited because all other threads were inside hooks. */
static void run_kept(void)
{
    cs_park *park;

    do {
        pthread_mutex_lock(&cs_loop.lock);
        park = cs_loop_shift(&cs_loop.kept_first, &cs_loop.kept_last);
        pthread_mutex_unlock(&cs_loop.lock);
        if (park != NULL) {
            take_careful_step(park);
        }
    } while (park != NULL);
}

void cs_lead_wait_locked(apr_time_t when)
{
    struct timespec until;

    until.tv_sec = (time_t)apr_time_sec(when);
    until.tv_nsec = (long)apr_time_usec(when) * 1000;
    pthread_cond_timedwait(&cs_loop.lead_free, &cs_loop.lock, &until);
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

    if (thread_sleeps(cs_loop.leader)) {
        return 1;
    }
    used = processor_time(cs_loop.leader);
    if (view->began != began) {
        view->began = began;
        view->used = used;
    }
    return used - view->used > STALL_USED;
}

static void give_back_locked(void)
{
    cs_loop.give_back = 0;
    pthread_mutex_unlock(&cs_loop.lock);
    malloc_trim(0);
    pthread_mutex_lock(&cs_loop.lock);
}

/* Until a step begins. The leader stores when it began and then looks whether the
 * guard sleeps, which says so and then looks once more: one of them sees the
 * other, and no step is left without a guard. */
static void sleep_locked(void)
{
    __atomic_store_n(&cs_loop.guard_sleeps, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&cs_loop.step_began, __ATOMIC_SEQ_CST) == 0) {
        pthread_cond_wait(&cs_loop.lead_free, &cs_loop.lock);
    }
    __atomic_store_n(&cs_loop.guard_sleeps, 0, __ATOMIC_RELAXED);
}

/* The guard: look at the leader every now and then while it has work. */
static void guard_locked(guard_view *view)
{
    apr_time_t began = __atomic_load_n(&cs_loop.step_began, __ATOMIC_ACQUIRE);
    apr_time_t now = cs_loop_now();

    if (cs_loop.give_back) {
        give_back_locked();
        return;
    }
    if (began != 0) {
        view->idle_since = now;
        if (now - began > STALL && is_stuck(view, began) && end_step(began)) {
            be_careful(now);
            __atomic_store_n(&cs_loop.leader, NULL, __ATOMIC_RELEASE);
            return;
        }
    }
    else if (now - view->idle_since > GUARD_REST) {
        sleep_locked();
        view->idle_since = cs_loop_now();
        return;
    }
    cs_lead_wait_locked(now + STALL);
}

/* Until nobody leads, a step waits for a thread, or all are to end. */
static void follow_locked(void)
{
    guard_view view = { .idle_since = cs_loop_now() };

    cs_loop.followers++;
    while (cs_loop.leader != NULL && !is_ending() && cs_loop.kept_first == NULL) {
        if (cs_loop.guard == NULL || cs_loop.guard == self) {
            cs_loop.guard = self;
            guard_locked(&view);
        }
        else {
            pthread_cond_wait(&cs_loop.lead_free, &cs_loop.lock);
        }
    }
    cs_loop.followers--;
    if (cs_loop.guard == self) {
        cs_loop.guard = NULL;
    }
}

static void take_lead_locked(void)
{
    __atomic_store_n(&cs_loop.leader, self, __ATOMIC_RELEASE);
    __atomic_store_n(&cs_loop.step_began, 0, __ATOMIC_RELAXED);
    if (cs_loop.followers == 0 && cs_loop.thread_count < cs_loop.thread_max
        && !is_ending()) {
        start_thread();
    }
    pthread_cond_broadcast(&cs_loop.lead_free); /* another is to guard      */
}

/* @return 0: the thread is to end; a leader, if there is one, finishes. */
static int become_leader(void)
{
    int leads;

    pthread_mutex_lock(&cs_loop.lock);
    follow_locked();
    while (cs_loop.leader != NULL && cs_loop.kept_first != NULL) {
        pthread_mutex_unlock(&cs_loop.lock);
        run_kept();
        pthread_mutex_lock(&cs_loop.lock);
        follow_locked();
    }
    leads = cs_loop.leader == NULL;
    if (leads) {
        take_lead_locked();
    }
    pthread_mutex_unlock(&cs_loop.lock);
    return leads;
}

static void *APR_THREAD_FUNC thread_main(apr_thread_t *thread, void *data)
{
    self = data;
    self->thread = thread;
    self->id = gettid();
    csq_lock_timeout_thread_set(LOCK_TIMEOUT);
    pthread_getcpuclockid(pthread_self(), &self->clock);
    while (become_leader() && lead()) {
        run_kept();
        cs_board_idle(self->place);
    }
    cs_board_leave(self->place);
    return NULL;
}

/* ---- starting and ending ------------------------------------------------ */

/* Under cs_loop.lock. */
static int start_thread(void)
{
    cs_loop_thread *thread = &cs_loop.threads[cs_loop.thread_count];
    apr_threadattr_t *attributes;
    sigset_t all, before;
    apr_status_t rv;

    if (cs_loop_now() < cs_loop.thread_retry) {
        return APR_EAGAIN;
    }
    apr_threadattr_create(&attributes, cs_loop.pool);
    if (ap_thread_stacksize != 0) {
        apr_threadattr_stacksize_set(attributes, ap_thread_stacksize);
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rv = ap_thread_create(&thread->thread, attributes, thread_main, thread, cs_loop.pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rv == APR_SUCCESS) {
        cs_loop.thread_count++;
    }
    else {
        cs_loop.thread_retry = cs_loop_now() + THREAD_RETRY;
        __atomic_store_n(&cs_loop.thread_rv, rv, __ATOMIC_RELAXED);
    }
    return rv;
}

static void init_condition(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&cs_loop.lead_free, &attributes);
    pthread_condattr_destroy(&attributes);
}

apr_status_t cs_lead_start(void)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    init_condition();
    pthread_mutex_lock(&cs_loop.lock);
    for (i = 0; i < CS_LOOP_THREADS_FIRST && rv == APR_SUCCESS; i++) {
        rv = start_thread();
    }
    pthread_mutex_unlock(&cs_loop.lock);
    return rv;
}

void cs_lead_end(void)
{
    int i;

    pthread_mutex_lock(&cs_loop.lock);
    __atomic_store_n(&cs_loop.end, 1, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&cs_loop.lead_free);
    pthread_mutex_unlock(&cs_loop.lock);
    cs_loop_wake();
    for (i = 0; i < cs_loop.thread_count; i++) {
        apr_status_t result;

        apr_thread_join(&result, cs_loop.threads[i].thread);
    }
}
