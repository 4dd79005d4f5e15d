/* SPDX-License-Identifier: Apache-2.0
 * cs_park_close.c - the end of an adopted connection.
 *
 * Closing a socket with unread input makes the kernel reset the connection,
 * and the peer may lose the answer just sent. So our side is shut down first,
 * and what still comes is read until the peer has closed too.
 *
 * The pool goes last, and not at once: the MPM's thread that let go of the
 * connection stores into it after our suspend hook (c->sbh, and a flag after
 * that). A connection can be answered and closed before that thread runs
 * again; so its pool stays until c->sbh was seen NULL and a second is over. Once
 * it was, event threads lend the connection their own places (cs_board.h).
 */
#include "cs_compat.h"

#include "cs_park.h"
#include "cs_loop.h"

#include <http_connection.h>
#include <pthread.h>

#define LINGER_TIME       apr_time_from_sec(30)
#define LINGER_TIME_SHORT apr_time_from_sec(2)
#define LINGER_READS      16 /* at a time, 8 KiB each            */
#define GRAVE_TIME        apr_time_from_sec(1)

static struct {
    pthread_mutex_t lock;
    cs_park *first; /* oldest                           */
    cs_park *last;
} graveyard = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* The socket is done. The record stays owned until it is buried. */
static cs_step die(cs_park *park)
{
    cs_loop_unwatch(park);
    cs_loop_timer_clear(park);
    cs_input_clear(&park->input);
    apr_socket_close(park->socket);
    park->phase = CS_PHASE_DEAD;
    park->dead_since = cs_loop_now();
    park->run_next = NULL;
    pthread_mutex_lock(&graveyard.lock);
    if (graveyard.last != NULL) {
        graveyard.last->run_next = park;
    }
    else {
        graveyard.first = park;
    }
    graveyard.last = park;
    pthread_mutex_unlock(&graveyard.lock);
    return CS_STEP_GIVEN;
}

/* @return 0: nothing more will come. */
static int discard_input(cs_park *park)
{
    char buffer[8192];
    int i;

    for (i = 0; i < LINGER_READS; i++) {
        apr_size_t len = sizeof(buffer);
        apr_status_t rv = apr_socket_recv(park->socket, buffer, &len);

        if (APR_STATUS_IS_EAGAIN(rv)) {
            return 1;
        }
        if (rv != APR_SUCCESS || len == 0) {
            return 0;
        }
    }
    return -1;
}

cs_step cs_park_linger(cs_park *park, unsigned signals)
{
    int more = discard_input(park);

    if (more == 0 || cs_park_deadline_passed(park)) {
        return die(park);
    }
    if ((signals & CS_SIGNAL_TIME) != 0) {
        cs_loop_timer_set(park, park->deadline);
    }
    if (more < 0) {
        return CS_STEP_RUN;
    }
    return CS_STEP_PARK;
}

static apr_interval_time_t linger_time(const cs_park *park)
{
    if (cs_loop_level_get() != CS_LOOP_RUNNING
        || apr_table_get(park->c->notes, "short-lingering-close") != NULL) {
        return LINGER_TIME_SHORT;
    }
    return LINGER_TIME;
}

cs_step cs_park_close(cs_park *park)
{
    conn_rec *c = park->c;

    if (!c->aborted && !park->closing && APR_STATUS_IS_EAGAIN(cs_park_flush(park))) {
        park->closing = 1;
        park->phase = CS_PHASE_FLUSH;
        cs_park_set_deadline(park, park->timeout);
        cs_park_watch(park, CS_WATCH_ALL);
        return CS_STEP_PARK;
    }
    apr_socket_timeout_set(park->socket, 0);
    apr_socket_opt_set(park->socket, APR_INCOMPLETE_READ, 0);
    /* The state that the MPM counts down when the pool is destroyed. */
    c->cs->state = CONN_STATE_SUSPENDED;
    if (ap_start_lingering_close(c)) {
        return die(park);
    }
    park->phase = CS_PHASE_LINGER;
    cs_park_set_deadline(park, linger_time(park));
    return cs_park_linger(park, 0);
}

/* ---- burial ------------------------------------------------------------ */

static cs_park *next_to_bury(apr_time_t now)
{
    cs_park *park;

    pthread_mutex_lock(&graveyard.lock);
    park = graveyard.first;
    if (park != NULL
        && (now - park->dead_since < GRAVE_TIME
            || !(park->placeless
                 || __atomic_load_n(&park->c->sbh, __ATOMIC_ACQUIRE) == NULL))) {
        park = NULL;
    }
    if (park != NULL) {
        graveyard.first = park->run_next;
        if (graveyard.first == NULL) {
            graveyard.last = NULL;
        }
    }
    pthread_mutex_unlock(&graveyard.lock);
    return park;
}

void cs_park_bury(apr_time_t now)
{
    cs_park *park;

    while ((park = next_to_bury(now)) != NULL) {
        apr_pool_t *pool = park->c->pool;

        apr_pool_destroy(pool);
        cs_park_release(park);
    }
}
