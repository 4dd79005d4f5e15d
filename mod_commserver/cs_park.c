/* SPDX-License-Identifier: Apache-2.0
 * cs_park.c - the steps of an adopted connection; see cs_park.h.
 *
 *                      +--------------------------------------------+
 *                      v                                            |
 *   adopted -> WAIT / FINISH -> (request ended) -> FLUSH -> HEAD -> serve
 *                 ^    ^                             |       |       |
 *                 |    +---- SEND <------------------|-------|-------+
 *                 +--------- BODY, HANDOVER <--------|-------|-------+
 *                                                    v       v
 *                                                 LINGER -> DEAD
 *
 * A step does what can be done now and says what is next. It never waits: the
 * socket's timeout is 0 while the connection is ours, so that even a read or
 * a write which httpd means to block comes back at once.
 */
#include "cs_compat.h"

#include "cs_park.h"
#include "cs_body_private.h"
#include "cs_config.h"
#include "cs_handover.h"
#include "cs_loop.h"
#include "cs_memory.h"
#include "cs_output.h"
#include "cs_trouble.h"

#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>

/* How long an idle connection may stay open once the child stops.            */
#define STOP_IDLE apr_time_from_sec(2)

/* How often a connection is looked at whose events are not reported.          */
#define UNWATCHED_LOOK apr_time_from_sec(1)

/* How long nothing happens until others may have its memory.                 */
#define TRIM_AFTER apr_time_from_sec(1)

/* ---- memory ------------------------------------------------------------ */

static void lend_memory(cs_park *park)
{
    if (park->lean) {
        park->lean = 0;
        cs_memory_lend(apr_pool_allocator_get(park->c->pool));
    }
}

static void reclaim_memory(cs_park *park)
{
    park->trimmed = 1;
    park->lean = 1;
    if (park->phase == CS_PHASE_WAIT) {
        cs_input_settle(&park->input, park->c);
    }
    cs_memory_reclaim(apr_pool_allocator_get(park->c->pool));
}

/* ---- deadlines --------------------------------------------------------- */

void cs_park_set_timer(cs_park *park)
{
    park->trim = cs_loop_now() + TRIM_AFTER;
    park->trimmed = park->deadline <= park->trim;
    cs_loop_timer_set(park, park->trimmed ? park->deadline : park->trim);
}

void cs_park_set_deadline(cs_park *park, apr_interval_time_t interval)
{
    park->deadline = cs_loop_now() + interval;
    if (park->ours) {
        cs_park_set_timer(park);
    }
}

int cs_park_deadline_passed(const cs_park *park)
{
    return park->deadline != 0 && cs_loop_now() >= park->deadline;
}

/* A timer that fired early (see cs_timer.h) is set again. */
static int time_is_up(cs_park *park, unsigned signals)
{
    if ((signals & CS_SIGNAL_TIME) == 0 || park->deadline == 0) {
        return 0;
    }
    if (cs_park_deadline_passed(park)) {
        return 1;
    }
    if (!park->trimmed && cs_loop_now() >= park->trim) {
        reclaim_memory(park);
    }
    cs_loop_timer_set(park, park->trimmed ? park->deadline : park->trim);
    return 0;
}

void cs_park_set_read_deadline(cs_park *park, const cs_read_time *limit, apr_time_t since,
                               apr_uint64_t bytes)
{
    apr_time_t end = since + park->timeout, now = cs_loop_now();
    apr_time_t last = cs_read_time_end(limit, park->read_began, bytes);
    apr_time_t patience = cs_loop_patience_end();

    if (last != 0 && last < end) {
        end = last;
    }
    if (cs_loop_level_get() != CS_LOOP_RUNNING && end > now + STOP_IDLE) {
        end = now + STOP_IDLE;
    }
    if (patience != 0 && end > patience) {
        end = patience;
    }
    cs_park_set_deadline(park, end > now ? end - now : 0);
}

/* ---- events ------------------------------------------------------------ */

static int is_unwatched(const cs_park *park)
{
    return park->watched < park->wanted;
}

static void try_to_watch(cs_park *park)
{
    apr_status_t rv = cs_loop_watch(park);

    if (rv != APR_SUCCESS) {
        cs_trouble_watch(park->c, rv);
    }
}

void cs_park_watch(cs_park *park, cs_watch wanted)
{
    park->wanted = wanted;
    if (is_unwatched(park)) {
        try_to_watch(park);
    }
}

/* What is not reported is looked for. */
static void look_at_unwatched(cs_park *park)
{
    try_to_watch(park);
    park->input.drained = 0;
}

/* The deadline comes first if it is earlier. */
void cs_park_look_again(cs_park *park)
{
    apr_time_t look = cs_loop_now() + UNWATCHED_LOOK;

    if (is_unwatched(park) && (park->deadline == 0 || park->deadline > look)) {
        cs_loop_timer_set(park, look);
    }
}

/* ---- output ------------------------------------------------------------ */

apr_status_t cs_park_flush(cs_park *park)
{
    conn_rec *c = park->c;
    ap_filter_t *network = c->output_filters;
    apr_status_t rv;

    while (network->next != NULL) {
        network = network->next;
    }
    rv = network->frec->filter_func.out_func(network, NULL);
    if (rv != APR_SUCCESS || c->aborted) {
        return rv != APR_SUCCESS ? rv : APR_ECONNABORTED;
    }
    return c->data_in_output_filters ? APR_EAGAIN : APR_SUCCESS;
}

/* The client has Timeout from when it last took something. */
static cs_step wait_for_output(cs_park *park, unsigned signals)
{
    park->phase = CS_PHASE_FLUSH;
    if (park->deadline == 0 || (signals & CS_SIGNAL_OUT) != 0) {
        cs_park_set_deadline(park, park->timeout);
    }
    cs_park_watch(park, CS_WATCH_ALL);
    return CS_STEP_PARK;
}

/* Go on after an answer: flush, close, serve what is there, or idle. */
static cs_step send_answer(cs_park *park, unsigned signals)
{
    conn_rec *c = park->c;
    apr_status_t rv = cs_park_flush(park);

    if (APR_STATUS_IS_EAGAIN(rv)) {
        return wait_for_output(park, signals);
    }
    if (rv != APR_SUCCESS || park->closing || c->keepalive != AP_CONN_KEEPALIVE
        || cs_loop_level_get() != CS_LOOP_RUNNING) {
        return cs_park_close(park);
    }
    park->phase = CS_PHASE_HEAD;
    park->head_begun = 0;
    cs_park_set_deadline(park, park->keepalive);
    if (cs_input_pending(&park->input) || c->data_in_input_filters
        || !park->input.drained) {
        return CS_STEP_RUN;
    }
    return CS_STEP_PARK;
}

/* A peer that is woken by its answer and finds the others there, too, sleeps
 * less often, and waking it costs as much as writing to it. So the filters hold
 * an answer until what came with it is answered as well. */
static cs_step answer_later(cs_park *park)
{
    park->phase = CS_PHASE_FLUSH;
    park->deadline = 0;
    return CS_STEP_SEND;
}

static cs_step step_flush(cs_park *park, unsigned signals)
{
    if (time_is_up(park, signals)) {
        park->c->aborted = 1;
        return cs_park_close(park);
    }
    return send_answer(park, signals);
}

cs_step cs_park_end_request(cs_park *park, int result)
{
    request_rec *r = park->r;

    park->r = NULL;
    cs_park_note_timeouts(park, r);
    ap_die(result, r);
    ap_process_request_after_handler(r);
    return answer_later(park);
}

/* ---- held requests ----------------------------------------------------- */

/* @return 0: its waiter could not be taken off, and there is time to try again. */
static int take_off(cs_park *park)
{
    if (!park->leaving) {
        park->leaving = 1;
        cs_park_set_deadline(park, CS_WAIT_PATIENCE);
    }
    return park->ops->gone(park->r, park->baton) != CS_WAIT_RETRY
           || cs_park_deadline_passed(park) || cs_loop_level_get() != CS_LOOP_RUNNING;
}

static cs_step give_up_held(cs_park *park)
{
    if (!take_off(park)) {
        cs_loop_timer_set(park, cs_loop_now() + CS_PARK_RETRY);
        return CS_STEP_PARK;
    }
    park->leaving = 0;
    cs_loop_held_add(-1);
    park->stream = NULL;
    park->unsent = 0;
    park->c->aborted = 1;
    return cs_park_end_request(park, OK);
}

static cs_wait_reason reason_to_answer(cs_park *park, unsigned signals)
{
    if ((signals & CS_SIGNAL_STOP) != 0) {
        return CS_WAIT_STOPPING;
    }
    return time_is_up(park, signals) ? CS_WAIT_DEADLINE : CS_WAIT_RUNG;
}

static int answer_held(cs_park *park, cs_wait_reason reason)
{
    request_rec *r = park->r;
    int result;

    lend_memory(park);
    apr_thread_mutex_lock(r->invoke_mtx);
    result = park->ops->answer(r, park->baton, reason);
    apr_thread_mutex_unlock(r->invoke_mtx);
    return result;
}

/* It goes on; what it has said is sent together with what others are told. */
static cs_step go_on(cs_park *park, int result)
{
    park->retry = result == CS_WAIT_RETRY || result == CS_WAIT_MORE;
    if (result == CS_WAIT_RETRY) {
        cs_loop_timer_set(park, cs_loop_now() + CS_PARK_RETRY);
    }
    if (park->stream == NULL || !cs_output_stream_pending(park)) {
        return CS_STEP_PARK;
    }
    park->unsent = 1;
    /* More of a backlog is the turn of the others first. */
    return result == CS_WAIT_MORE ? CS_STEP_RUN : CS_STEP_SEND;
}

/* The end of a stream goes out if the socket takes it at once. */
static void send_last(cs_park *park)
{
    if (cs_output_stream_continue(park) != APR_SUCCESS) {
        park->c->aborted = 1;
    }
    cs_output_stream_patience(park, 0);
}

static cs_step end_held(cs_park *park, int result)
{
    cs_loop_held_add(-1);
    if (result == SUSPENDED) {
        return CS_STEP_PARK;
    }
    if (park->stream != NULL) {
        send_last(park);
        park->stream = NULL;
        park->unsent = 0;
    }
    return cs_park_end_request(park, result);
}

static cs_step step_answer(cs_park *park, unsigned signals)
{
    cs_wait_reason reason = reason_to_answer(park, signals);
    int result;

    if (reason == CS_WAIT_RUNG && (signals & CS_SIGNAL_RUNG) == 0 && !park->retry) {
        return CS_STEP_PARK;
    }
    result = answer_held(park, reason);
    if (result == CS_WAIT_AGAIN || result == CS_WAIT_RETRY || result == CS_WAIT_MORE) {
        return go_on(park, result);
    }
    return end_held(park, result);
}

/* The reader is behind: nothing new is fetched until it has taken what there
 * is, and it has Timeout for that. */
static cs_step wait_for_reader(cs_park *park, unsigned signals)
{
    park->retry = 1;
    if ((signals & CS_SIGNAL_STOP) != 0 || (park->slow && time_is_up(park, signals))) {
        return give_up_held(park);
    }
    if (!park->slow || (signals & CS_SIGNAL_OUT) != 0) {
        park->slow = 1;
        cs_park_set_deadline(park, park->timeout);
    }
    cs_park_watch(park, CS_WATCH_ALL);
    return CS_STEP_PARK;
}

static cs_step step_stream(cs_park *park, unsigned signals)
{
    apr_status_t rv = cs_output_stream_continue(park);

    if (APR_STATUS_IS_EAGAIN(rv)) {
        return wait_for_reader(park, signals);
    }
    if (rv != APR_SUCCESS) {
        return give_up_held(park);
    }
    park->unsent = 0;
    if (park->slow) {
        park->slow = 0;
        signals |= CS_SIGNAL_RUNG; /* and `answer` sets a deadline of its own  */
    }
    return step_answer(park, signals);
}

static cs_step step_wait(cs_park *park, unsigned signals)
{
    if (park->hung_up || park->leaving) {
        return give_up_held(park);
    }
    return park->unsent ? step_stream(park, signals) : step_answer(park, signals);
}

/* ---- requests ---------------------------------------------------------- */

/* What httpd's own thread does after process_connection, for the states that
 * an HTTP/1 connection can be in; anything else closes. */
static cs_step after_serving(cs_park *park, int rc)
{
    conn_rec *c = park->c;

    if (c->cs->state != CONN_STATE_SUSPENDED) {
        park->r = NULL;
    }
    if (rc != OK && rc != DONE) {
        return cs_park_close(park);
    }
    switch (c->cs->state) {
    case CONN_STATE_SUSPENDED:
        if (park->phase == CS_PHASE_HANDOVER) {
            return cs_handover_start(park);
        }
        if (park->r == NULL) {
            return cs_park_close(park);
        }
        return park->unsent ? CS_STEP_SEND : CS_STEP_PARK;
    case CONN_STATE_WRITE_COMPLETION:
    case CONN_STATE_KEEPALIVE:
        return answer_later(park);
    default:
        return cs_park_close(park);
    }
}

static cs_step serve(cs_park *park)
{
    conn_rec *c = park->c;

    lend_memory(park);
    park->r = NULL;
    c->cs->state = CONN_STATE_PROCESSING;
    c->cs->sense = CONN_SENSE_DEFAULT;
    return after_serving(park, ap_run_process_connection(c));
}

static cs_step wait_for_head(cs_park *park, unsigned signals)
{
    const cs_config_server *config = cs_config_server_get(park->c->base_server);

    if (!park->head_begun) {
        park->head_begun = 1;
        park->read_began = cs_loop_now();
        signals |= CS_SIGNAL_IN;
    }
    if ((signals & CS_SIGNAL_IN) != 0) {
        cs_park_set_read_deadline(park, &config->read_times.header, park->read_began,
                                  park->input.end - park->input.start);
    }
    return CS_STEP_PARK;
}

static cs_step step_head(cs_park *park, unsigned signals)
{
    apr_status_t rv = cs_input_fill(&park->input, park->c);

    if (rv == APR_SUCCESS) {
        return serve(park);
    }
    if (time_is_up(park, signals) || (signals & CS_SIGNAL_HUP) != 0) {
        return cs_park_close(park);
    }
    if (APR_STATUS_IS_INCOMPLETE(rv)) {
        return wait_for_head(park, signals);
    }
    /* When the child stops, a request may be on its way: it has until the
     * deadline, is answered, and told that no other is taken. */
    if (APR_STATUS_IS_EAGAIN(rv) && cs_loop_level_get() != CS_LOOP_ENDING) {
        return CS_STEP_PARK;
    }
    return cs_park_close(park);
}

static cs_step step_body(cs_park *park, unsigned signals)
{
    request_rec *r = park->r;
    int result;

    if (time_is_up(park, signals)) {
        r->connection->keepalive = AP_CONN_CLOSE;
        return cs_park_end_request(park, HTTP_REQUEST_TIME_OUT);
    }
    apr_thread_mutex_lock(r->invoke_mtx);
    result = cs_body_continue(park, signals);
    apr_thread_mutex_unlock(r->invoke_mtx);
    if (result != SUSPENDED) {
        return cs_park_end_request(park, result);
    }
    return park->phase == CS_PHASE_WAIT && park->unsent ? CS_STEP_SEND : CS_STEP_PARK;
}

static cs_step step_send(cs_park *park, unsigned signals)
{
    int result;

    if (time_is_up(park, signals) || (signals & CS_SIGNAL_HUP) != 0) {
        park->c->aborted = 1;
        return cs_park_end_request(park, OK);
    }
    result = cs_output_continue(park, signals);
    return result == SUSPENDED ? CS_STEP_PARK : cs_park_end_request(park, result);
}

/* ---- one step ---------------------------------------------------------- */

int cs_park_runs_hooks(const cs_park *park)
{
    return park->phase == CS_PHASE_HEAD || park->phase == CS_PHASE_BODY;
}

/* Once the child stops nobody is waited for longer than this. Told each second,
 * so a deadline is only ever shortened. */
static void hurry(cs_park *park)
{
    int waits = park->phase != CS_PHASE_WAIT && park->phase != CS_PHASE_HANDOVER;

    if (waits && park->deadline > cs_loop_now() + STOP_IDLE) {
        cs_park_set_deadline(park, STOP_IDLE);
    }
}

static cs_step step_phase(cs_park *park, unsigned signals)
{
    switch (park->phase) {
    case CS_PHASE_WAIT:
        return step_wait(park, signals);
    case CS_PHASE_BODY:
        return step_body(park, signals);
    case CS_PHASE_SEND:
        return step_send(park, signals);
    case CS_PHASE_FINISH:
        return cs_park_end_request(park, OK);
    case CS_PHASE_HANDOVER:
        return answer_later(park);
    case CS_PHASE_FLUSH:
        return step_flush(park, signals);
    case CS_PHASE_HEAD:
        return step_head(park, signals);
    case CS_PHASE_LINGER:
        return cs_park_linger(park, signals);
    case CS_PHASE_DEAD:
        break;
    }
    return CS_STEP_PARK;
}

cs_step cs_park_step(cs_park *park)
{
    unsigned signals = cs_park_take_signals(park);
    cs_step step;

    if ((signals & CS_SIGNAL_HUP) != 0) {
        park->hung_up = 1;
    }
    /* The end is told once, maybe together with a request before it. */
    if ((signals & CS_SIGNAL_IN) != 0 || park->hung_up) {
        park->input.drained = 0;
    }
    if ((signals & CS_SIGNAL_STOP) != 0) {
        hurry(park);
    }
    if (is_unwatched(park)) {
        look_at_unwatched(park);
    }
    step = step_phase(park, signals);
    if (step == CS_STEP_PARK) {
        cs_park_look_again(park);
    }
    /* It is told once, maybe together with the request that is held now. */
    return step == CS_STEP_PARK && park->hung_up && !park->leaving
                   && park->phase == CS_PHASE_WAIT
               ? CS_STEP_RUN
               : step;
}
