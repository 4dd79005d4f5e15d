/* SPDX-License-Identifier: Apache-2.0
 * cs_handover.c - requests for anything else; see cs_handover.h.
 *
 * The only way into an MPM worker is a timed callback. The MPM does not count
 * workers that run callbacks as busy, so they are bounded here.
 */
#include "cs_compat.h"

#include "cs_handover.h"
#include "cs_config.h"
#include "cs_loop.h"

#include <ap_mpm.h>
#include <http_config.h>
#include <http_request.h>
#include <pthread.h>

static struct {
    pthread_mutex_t lock;
    cs_park *first; /* those that wait for their turn             */
    cs_park *last;
    unsigned running;
    unsigned max;
} handover = { .lock = PTHREAD_MUTEX_INITIALIZER, .max = 1 };

void cs_handover_init(unsigned max)
{
    handover.max = max > 0 ? max : 1;
}

static int suspend(cs_park *park, request_rec *r, int begun)
{
    r->connection->keepalive = AP_CONN_CLOSE;
    park->phase = CS_PHASE_HANDOVER;
    park->r = r;
    park->begun = begun != 0;
    return SUSPENDED;
}

int cs_handover_quick_handler(request_rec *r, int lookup)
{
    cs_park *park;

    if (lookup || cs_loop_thread_self() == NULL || r->main != NULL
        || r->prev != NULL || cs_config_may_be_ours(r)) {
        return DECLINED;
    }
    park = cs_park_of(r->connection);
    return park != NULL && !park->roundabout ? suspend(park, r, 0) : DECLINED;
}

int cs_handover_handler(request_rec *r)
{
    cs_park *park;

    if (cs_loop_thread_self() == NULL || r->main != NULL) {
        return DECLINED;
    }
    if (cs_handler_is_ours(r)) {
        /* A server may ignore an Upgrade; ours are answered as they are. */
        apr_table_unset(r->headers_in, "Upgrade");
        return DECLINED;
    }
    /* ap_internal_redirect() (an ErrorDocument) cannot be suspended. */
    park = r->prev == NULL ? cs_park_of(r->connection) : NULL;
    return park != NULL ? suspend(park, r, 1) : DECLINED;
}

static cs_park *next_waiting(void)
{
    cs_park *park;

    pthread_mutex_lock(&handover.lock);
    park = handover.first;
    if (park != NULL) {
        handover.first = park->run_next;
        if (handover.first == NULL) {
            handover.last = NULL;
        }
    }
    else {
        handover.running--;
    }
    pthread_mutex_unlock(&handover.lock);
    return park;
}

/* From where the event thread left it. */
static int process(request_rec *r, int begun)
{
    int result = DECLINED;

    if (!begun) {
        result = ap_run_quick_handler(r, 0);
        if (result == DECLINED) {
            result = ap_process_request_internal(r);
            begun = result == OK;
        }
    }
    return begun ? ap_invoke_handler(r) : result;
}

static void run_request(cs_park *park)
{
    request_rec *r = park->r;
    int result;

    park->r = NULL;
    cs_park_note_timeouts(park, r);
    apr_socket_timeout_set(park->socket, park->timeout);
    park->c->current_thread = ap_thread_current();
    park->closing = 1;
    cs_input_limit(&park->input, park->c);
    apr_thread_mutex_lock(r->invoke_mtx);
    result = process(r, park->begun);
    apr_thread_mutex_unlock(r->invoke_mtx);
    if (result != SUSPENDED || park->r == NULL) {
        /* If another module has suspended it, nobody could resume it. */
        ap_die(result == SUSPENDED ? HTTP_INTERNAL_SERVER_ERROR : result, r);
        ap_process_request_after_handler(r);
    }
    apr_socket_timeout_set(park->socket, 0);
}

/* On a worker thread of the MPM. */
static void run_on_worker(void *baton)
{
    cs_park *park = baton;

    while (park != NULL) {
        run_request(park);
        cs_loop_run(park);
        park = next_waiting();
    }
}

cs_step cs_handover_start(cs_park *park)
{
    int start;

    pthread_mutex_lock(&handover.lock);
    start = handover.running < handover.max;
    if (start) {
        handover.running++;
    }
    else {
        park->run_next = NULL;
        if (handover.last != NULL) {
            handover.last->run_next = park;
        }
        else {
            handover.first = park;
        }
        handover.last = park;
    }
    pthread_mutex_unlock(&handover.lock);
    if (start && ap_mpm_register_timed_callback(0, run_on_worker, park) != APR_SUCCESS) {
        run_on_worker(park); /* better slow than lost                      */
    }
    return CS_STEP_GIVEN;
}
