/* SPDX-License-Identifier: Apache-2.0
 * cs_loop_private.h - what cs_loop.c (events) and cs_lead.c (threads) share.
 */
#ifndef CS_LOOP_PRIVATE_H
#define CS_LOOP_PRIVATE_H

#include <pthread.h>
#include <time.h>

#include "cs_board.h"
#include "cs_loop.h"
#include "cs_timer.h"

#define CS_LOOP_THREADS_FIRST 2
#define CS_LOOP_THREADS_MAX   64

typedef struct cs_loop_thread {
    apr_thread_t *thread;
    pid_t id;              /* of the kernel's thread                 */
    clockid_t clock;       /* processor time it has used             */
    ap_sb_handle_t *place; /* on the scoreboard; NULL: none        */
} cs_loop_thread;

/* Of the child. `lock` is innermost: nothing is called while it is held but
 * the timing wheel. It guards the queues of records, the wheel, and who leads;
 * what is read or written without it is atomic. */
typedef struct cs_loop_state {
    pthread_mutex_t lock;
    pthread_cond_t lead_free; /* nobody leads, or the guard should look */
    cs_park *run_first;
    cs_park *run_last;
    cs_park *kept_first; /* steps that must wait for a thread      */
    cs_park *kept_last;
    cs_park *answered_first; /* answers that are sent together     */
    cs_park *answered_last;
    int answered;              /* how many                                 */
    apr_time_t answered_since; /* when the first of them was           */
    cs_timer_wheel wheel;

    cs_loop_thread *leader;
    cs_loop_thread *guard;
    cs_loop_thread threads[CS_LOOP_THREADS_MAX];
    int thread_count;
    int thread_max;
    int followers;            /* threads that wait for the lead         */
    apr_time_t thread_retry;  /* no new thread before                   */
    apr_status_t thread_rv;   /* why there was none; 0: it was told      */
    apr_time_t careful_until; /* pass the lead on before hooks          */

    apr_time_t step_began; /* of the leader; 0: it polls             */
    int guard_sleeps;
    int asleep;              /* the leader is, or is about to be       */
    int level;               /* cs_loop_level                          */
    int stop_told;           /* the level that all records were told   */
    apr_time_t patience_end; /* see cs_loop_patience_end(); atomic     */
    int end;                 /* threads return                         */
    int give_back;           /* the guard is to give memory back       */
    int running;
    apr_uint32_t held;
    apr_time_t next_upkeep;
    apr_time_t next_expiry; /* of messages: sooner while there is a backlog   */
    apr_time_t polled;      /* when the leader last looked for events     */

    int epoll;
    int event; /* eventfd: wakes the leader              */
    csq *queue;
    csq_slot *slot;
    apr_pool_t *pool;
    server_rec *server;
} cs_loop_state;

extern cs_loop_state cs_loop;

/* ---- cs_loop.c ---------------------------------------------------------- */

/** Wait for events and put what they concern on the run queue. The leader. */
void cs_loop_poll(void);

/** Have its answer sent together with others. Event threads. */
void cs_loop_answered(cs_park *park);

/** Put whom the doorbell names on the run queue. The leader.
 *  @return 0: it names nobody. */
int cs_loop_hear(void);

/** Have the leader look at the run queue. Any thread, signal handlers. */
void cs_loop_wake(void);

void cs_loop_append(cs_park **first, cs_park **last, cs_park *park);
/** @return NULL: there is none. */
cs_park *cs_loop_shift(cs_park **first, cs_park **last);

/* ---- cs_lead.c ---------------------------------------------------------- */

/** Start the first threads. */
apr_status_t cs_lead_start(void);

/** All threads return; waits for them. */
void cs_lead_end(void);

/** The leader, each second: what it could not have before. */
void cs_lead_upkeep(void);

/** The leader is about to wait. */
void cs_lead_idle(void);

/** The calling thread leads. */
int cs_lead_is_mine(void);

/** Under `lock`: wait for what is told to the threads, until `when`. */
void cs_lead_wait_locked(apr_time_t when);

#endif
