/* SPDX-License-Identifier: Apache-2.0
 * cs_loop.h - the event threads of one child process.
 *
 * One thread at a time leads: it waits on epoll for all adopted connections
 * and for the doorbell, and takes the steps of the connections itself, one
 * after the other: handing work to another thread would cost more than the
 * work. Should a step stall (authentication that asks a directory, say), a
 * guard notices within 40 ms, takes the lead, and for a while the lead
 * is passed on before each step that may stall. One thread is always kept out
 * of such steps, so that held polls are answered whatever hooks do.
 */
#ifndef CS_LOOP_H
#define CS_LOOP_H

#include <httpd.h>

#include "cs_park.h"
#include "queue/csq.h"

/* Where the child stands. Only ever rises.                                   */
typedef enum {
    CS_LOOP_RUNNING,
    CS_LOOP_STOPPING, /* answer what is held, hurry all else               */
    CS_LOOP_ENDING    /* the process ends within two seconds                */
} cs_loop_level;

/**
 * Start the event threads. Once in a child, in child_init; joined again when
 * pchild is destroyed.
 * @param s  the main server
 * @return APR_SUCCESS; CSQ_NO_SLOT, CSQ_BUSY: no doorbell to be had; else
 *         APR's own. Without it the child answers polls at once.
 */
apr_status_t cs_loop_child_init(apr_pool_t *pchild, server_rec *s, csq *q);

/** Hook child_stopping. Any thread, signal handlers, and more than once. */
void cs_loop_child_stopping(apr_pool_t *pchild, int graceful);

cs_loop_level cs_loop_level_get(void);

/** When a child that stops gives up on requests that come slowly, however much
 *  comes: monotonic; 0: it does not stop, or has not told the connections yet. */
apr_time_t cs_loop_patience_end(void);

/** The event threads run, requests can be held. */
int cs_loop_is_running(void);

/** The event thread that calls, NULL on any other thread. */
struct cs_loop_thread *cs_loop_thread_self(void);

/** Monotonic time in microseconds, as for cs_park.deadline. */
apr_time_t cs_loop_now(void);

/** Put an owned record on the run queue. Any thread. */
void cs_loop_run(cs_park *park);

/** Report what park->wanted says of its socket from now on; park->watched is
 *  that then. @return APR_SUCCESS, else APR's own: nothing has changed. */
apr_status_t cs_loop_watch(cs_park *park);
/** Report its events no more. */
void cs_loop_unwatch(cs_park *park);

/** Have it told CS_SIGNAL_TIME at `deadline` or before. Owner only. */
void cs_loop_timer_set(cs_park *park, apr_time_t deadline);
void cs_loop_timer_clear(cs_park *park);

/** What a request registers on its queue. */
csq_waiter cs_loop_waiter(apr_uint32_t number);

/** Count a held request in (+1) or out (-1). */
void cs_loop_held_add(int change);

#endif
