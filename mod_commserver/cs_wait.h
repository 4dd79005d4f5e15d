/* SPDX-License-Identifier: Apache-2.0
 * cs_wait.h - hold a request until its queue rings, a deadline or a stop.
 *
 * One way for all handlers, whatever the MPM: where httpd can let go of the
 * connection (event MPM, HTTP/1) it is parked in the child's event threads
 * and no thread waits; elsewhere the calling thread blocks, with a bound on
 * how many may do so. The handler cannot tell the difference: it returns what
 * cs_wait_hold() returned, and its answer is written by cs_wait_ops.answer.
 *
 * Order of calls in a handler:
 *   cs_wait_prepare -> csq_fetch_batch(waiter = cs_wait_waiter(hold))
 *     -> messages:  cs_wait_cancel, answer at once
 *     -> CSQ_EMPTY: return cs_wait_hold(hold, deadline)
 */
#ifndef CS_WAIT_H
#define CS_WAIT_H

#include <httpd.h>
#include <apr_buckets.h>
#include "queue/csq.h"

/* Seconds to come back after, where a request cannot be held or must end.   */
#define CS_WAIT_RETRY_AFTER  2
#define CS_WAIT_RETRY_SPREAD 4

typedef enum {
    CS_WAIT_RUNG,     /* the queue changed, or may have: fetch with `resume` */
    CS_WAIT_DEADLINE, /* the time is up: answer with what is there           */
    CS_WAIT_STOPPING  /* the child stops: answer, ask the client to come back */
} cs_wait_reason;

/* Returned by `answer` when there was nothing after all and the waiter is
 * registered again. Of a stream: it goes on, too, with a deadline that lies
 * ahead; of anything else allowed for CS_WAIT_RUNG only.                     */
#define CS_WAIT_AGAIN (-1000)

/* Its queue is busy: call again in a moment. Returned by `answer`, for as long as
 * cs_wait_may_retry() says so, and by `gone`.                                */
#define CS_WAIT_RETRY (-1001)

/* How long a request that should have ended stays held for that.             */
#define CS_WAIT_PATIENCE apr_time_from_sec(5)

/* Of a stream: it has more to say once that is sent.                        */
#define CS_WAIT_MORE (-1002)

typedef struct cs_wait_ops {
    /* Write the response to r. Runs on an event thread or on the thread that
     * blocked in cs_wait_hold(), never on two at once; must not block.
     * Returns what a handler would (OK, DONE, an HTTP status), CS_WAIT_AGAIN or
     * CS_WAIT_RETRY. */
    int (*answer)(request_rec *r, void *baton, cs_wait_reason reason);
    /* The client went away: take the waiter off the queue. No response.
     * Returns OK, or CS_WAIT_RETRY: it is there still. Not called again once
     * patience is over or the child stops.                                   */
    int (*gone)(request_rec *r, void *baton);
} cs_wait_ops;

typedef struct cs_hold cs_hold;

/**
 * Reserve a place to wait in. Everything lives in r->pool.
 * @return APR_SUCCESS: a later cs_wait_hold() or cs_wait_cancel() is due;
 *         APR_EAGAIN: only blocking is possible here and as many threads as
 *         allowed do so: answer at once and ask to come back (204);
 *         APR_ENOSPC: the child parks as many as it may: 503;
 *         APR_ECONNRESET: the child is stopping: answer as CS_WAIT_STOPPING.
 */
apr_status_t cs_wait_prepare(request_rec *r, const cs_wait_ops *ops, void *baton,
                             cs_hold **out_hold);

/** Whether r can be parked: a stream is held in no other way. */
int cs_wait_can_park(request_rec *r);

/**
 * Make it a stream. `answer` appends what it has to say to the brigade, of
 * which it may be called many times; it is sent as the socket takes it, and
 * `answer` not called before. A reader that takes nothing for the time of
 * Timeout is given up. Before cs_wait_hold(); parked requests only.
 * @param stream  of r->pool, may hold what is to be said first
 */
void cs_wait_stream(cs_hold *hold, apr_bucket_brigade *stream);

/** Of a stream, within `answer`: call it again at `deadline` at the latest. */
void cs_wait_deadline_set(cs_hold *hold, apr_time_t deadline);

/** What to register on the queue. */
csq_waiter cs_wait_waiter(const cs_hold *hold);

/** Give the place back: the request is answered at once. */
void cs_wait_cancel(cs_hold *hold);

/**
 * Wait. The waiter must be registered on its queue.
 * @param deadline  when `answer` is called with CS_WAIT_DEADLINE at the latest
 * @return what the handler must return: SUSPENDED, or the answer's result.
 */
int cs_wait_hold(cs_hold *hold, apr_time_t deadline);

/**
 * Within `answer`: whether to try a busy queue again, with CS_WAIT_RETRY. A waiter
 * that nobody takes off would count as a client that is there.
 * @param ends  when the request is to end
 */
int cs_wait_may_retry(cs_wait_reason reason, apr_time_t ends);

/** Note for the log how long r was held. */
void cs_wait_note(request_rec *r, apr_time_t began);

#endif
