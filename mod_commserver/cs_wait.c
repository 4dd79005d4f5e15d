/* SPDX-License-Identifier: Apache-2.0
 * cs_wait.c - hold a request; see cs_wait.h.
 *
 * Chooses between the two ways to wait: the connection's own record is parked
 * where httpd can let go of it, a record without a connection is slept on
 * where it cannot.
 */
#include "cs_compat.h"

#include "cs_wait.h"
#include "cs_blocked.h"
#include "cs_config.h"
#include "cs_lifecycle.h"
#include "cs_loop.h"
#include "cs_output.h"
#include "cs_park.h"

#include <http_log.h>

APLOG_USE_MODULE(commserver);

struct cs_hold {
    request_rec *r;
    cs_park *park;
    const cs_wait_ops *ops;
    void *baton;
    apr_bucket_brigade *stream; /* NULL: the answer is one */
    int blocking;
};

static apr_status_t prepare_parked(cs_hold *hold)
{
    hold->park = cs_park_get(hold->r);
    return hold->park != NULL ? APR_SUCCESS : APR_ENOSPC;
}

/* Where a child is one thread the bound is that of all children. Two that ask
 * at the same moment may both be let in. */
static int others_block(const cs_config_server *config)
{
    csq_stats stats;

    if (!config->blocking_shared) {
        return 0;
    }
    csq_stats_get(cs_lifecycle_queue(), &stats);
    return stats.waiting >= (apr_uint64_t)config->blocking_polls;
}

static apr_status_t prepare_blocking(cs_hold *hold)
{
    cs_config_server *config = cs_config_server_get(hold->r->server);

    if (others_block(config) || !cs_blocked_enter((int)config->blocking_polls)) {
        return APR_EAGAIN;
    }
    hold->park = cs_park_alloc(CS_PARK_BLOCKED);
    if (hold->park == NULL) {
        cs_blocked_leave();
        return APR_EAGAIN;
    }
    return APR_SUCCESS;
}

apr_status_t cs_wait_prepare(request_rec *r, const cs_wait_ops *ops, void *baton,
                             cs_hold **out_hold)
{
    cs_hold *hold;
    apr_status_t rv;

    if (!cs_loop_is_running()) {
        return APR_EAGAIN;
    }
    if (cs_loop_level_get() != CS_LOOP_RUNNING) {
        return APR_ECONNRESET;
    }
    hold = apr_pcalloc(r->pool, sizeof(*hold));
    hold->r = r;
    hold->ops = ops;
    hold->baton = baton;
    hold->blocking = !cs_park_possible(r);
    rv = hold->blocking ? prepare_blocking(hold) : prepare_parked(hold);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    __atomic_add_fetch(&hold->park->turn, 1, __ATOMIC_RELAXED);
    *out_hold = hold;
    return APR_SUCCESS;
}

int cs_wait_can_park(request_rec *r)
{
    return cs_loop_is_running() && cs_park_possible(r);
}

void cs_wait_stream(cs_hold *hold, apr_bucket_brigade *stream)
{
    hold->stream = stream;
}

static apr_interval_time_t time_until(apr_time_t deadline)
{
    apr_interval_time_t wait = deadline - apr_time_now();

    return wait > 0 ? wait : 0;
}

void cs_wait_deadline_set(cs_hold *hold, apr_time_t deadline)
{
    cs_park_set_deadline(hold->park, time_until(deadline));
}

csq_waiter cs_wait_waiter(const cs_hold *hold)
{
    return cs_loop_waiter(cs_park_number(hold->park));
}

static void release_blocking(cs_hold *hold)
{
    cs_park_release(hold->park);
    cs_blocked_leave();
}

void cs_wait_cancel(cs_hold *hold)
{
    if (hold->blocking) {
        release_blocking(hold);
    }
    /* Else the record stays with the connection. Whatever rang it for this
     * turn is recognized as late by the next one. */
}

/* ---- parked ------------------------------------------------------------ */

/* httpd closed the connection instead of letting go of it. */
static apr_status_t hold_cleanup(void *data)
{
    cs_hold *hold = data;
    cs_park *park = hold->park;

    if (park->r == hold->r && !park->ours) {
        park->r = NULL;
        hold->ops->gone(hold->r, hold->baton);
        cs_loop_held_add(-1);
    }
    return APR_SUCCESS;
}

static int hold_parked(cs_hold *hold, apr_interval_time_t wait)
{
    cs_park *park = hold->park;

    park->phase = CS_PHASE_WAIT;
    park->r = hold->r;
    park->ops = hold->ops;
    park->baton = hold->baton;
    park->stream = hold->stream;
    park->unsent = hold->stream != NULL;
    park->slow = 0;
    if (hold->stream != NULL) {
        park->later =
            apr_brigade_create(hold->r->pool, hold->r->connection->bucket_alloc);
        cs_output_stream_patience(park, park->timeout);
    }
    cs_park_set_deadline(park, wait);
    cs_loop_held_add(1);
    if (!park->ours) {
        apr_pool_cleanup_register(hold->r->pool, hold, hold_cleanup,
                                  apr_pool_cleanup_null);
    }
    return SUSPENDED;
}

/* ---- blocking ---------------------------------------------------------- */

/* Its time is up when it has been tried again after the deadline. */
static cs_wait_reason reason_of(unsigned signals, int early)
{
    if ((signals & CS_SIGNAL_STOP) != 0) {
        return CS_WAIT_STOPPING;
    }
    return signals != 0 || early ? CS_WAIT_RUNG : CS_WAIT_DEADLINE;
}

static int hold_blocking(cs_hold *hold, apr_interval_time_t wait)
{
    apr_time_t deadline = cs_loop_now() + wait;
    int result = CS_WAIT_AGAIN;

    cs_loop_held_add(1);
    while (result == CS_WAIT_AGAIN || result == CS_WAIT_RETRY) {
        apr_time_t until = deadline;
        unsigned signals;

        if (result == CS_WAIT_RETRY) {
            until = cs_loop_now() + CS_PARK_RETRY;
        }
        signals = cs_blocked_sleep(hold->park, until);
        result = hold->ops->answer(hold->r, hold->baton,
                                   reason_of(signals, until < deadline));
    }
    cs_loop_held_add(-1);
    release_blocking(hold);
    return result;
}

int cs_wait_hold(cs_hold *hold, apr_time_t deadline)
{
    apr_interval_time_t wait = time_until(deadline);

    return hold->blocking ? hold_blocking(hold, wait) : hold_parked(hold, wait);
}

int cs_wait_may_retry(cs_wait_reason reason, apr_time_t ends)
{
    return reason != CS_WAIT_STOPPING && apr_time_now() < ends + CS_WAIT_PATIENCE;
}

void cs_wait_note(request_rec *r, apr_time_t began)
{
    char *text = apr_palloc(r->pool, 24);

    text[csq_number_format((apr_uint64_t)(apr_time_now() - began), text)] = '\0';
    apr_table_setn(r->notes, "commserver-wait", text);
}
