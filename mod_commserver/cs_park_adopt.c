/* SPDX-License-Identifier: Apache-2.0
 * cs_park_adopt.c - how a connection becomes ours.
 *
 * A handler that returns SUSPENDED makes the event MPM let go of the
 * connection: it runs the suspend_connection hooks, stores c->sbh = NULL and a
 * flag of its own, and never looks at the connection again until its pool is
 * destroyed. Ours is the last of those hooks. Before it the record is in
 * state HANDLER and signals are only remembered; the hook acts on them.
 */
#include "cs_compat.h"

#include "cs_config.h"
#include "cs_handover.h"
#include "cs_loop.h"
#include "cs_memory.h"
#include "cs_park.h"
#include "cs_private.h"

#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_ssl.h>
#include <ap_mpm.h>
#include <mpm_common.h>
#include <http_config.h>
#include <apr_portable.h>
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

/* Requests of one connection, all to publish, before it is adopted.          */
#define PUBLISHES_BEFORE_ADOPTION 2

typedef struct connection_state {
    cs_park *park;
    int publishes;  /* in a row                                   */
    int keepalives; /* c->keepalives at the last of them          */
} connection_state;

static connection_state *state_of(conn_rec *c)
{
    connection_state *state = ap_get_module_config(c->conn_config, &commserver_module);

    if (state == NULL) {
        state = apr_pcalloc(c->pool, sizeof(*state));
        ap_set_module_config(c->conn_config, &commserver_module, state);
    }
    return state;
}

cs_park *cs_park_of(conn_rec *c)
{
    connection_state *state = ap_get_module_config(c->conn_config, &commserver_module);

    return state != NULL ? state->park : NULL;
}

int cs_park_possible(request_rec *r)
{
    conn_rec *c = r->connection;
    int async = 0;

    return ap_mpm_query(AP_MPMQ_IS_ASYNC, &async) == APR_SUCCESS && async && c->cs != NULL
           && c->master == NULL && !c->clogging_input_filters && r->main == NULL
           && r->prev == NULL && ap_get_conn_socket(c) != NULL;
}

/* A record that httpd has not let go of dies with its connection. */
static apr_status_t connection_cleanup(void *data)
{
    cs_park *park = data;

    if (!park->ours) {
        cs_loop_timer_clear(park);
        cs_park_release(park);
    }
    return APR_SUCCESS;
}

cs_park *cs_park_get(request_rec *r)
{
    conn_rec *c = r->connection;
    connection_state *state = state_of(c);
    apr_os_sock_t fd = -1;

    if (state->park == NULL) {
        state->park = cs_park_alloc(CS_PARK_HANDLER);
        if (state->park == NULL) {
            return NULL;
        }
        state->park->c = c;
        state->park->socket = ap_get_conn_socket(c);
        apr_os_sock_get(&fd, state->park->socket);
        state->park->fd = fd;
        /* Not a pre-cleanup: a held request is to be taken off its queue first. */
        apr_pool_cleanup_register(c->pool, state->park, connection_cleanup,
                                  apr_pool_cleanup_null);
    }
    state->park->roundabout |= !cs_config_may_be_ours(r);
    cs_park_note_timeouts(state->park, r);
    return state->park;
}

void cs_park_note_timeouts(cs_park *park, request_rec *r)
{
    server_rec *s = r->server;

    park->timeout = s->timeout;
    park->keepalive = s->keep_alive_timeout_set
                          ? s->keep_alive_timeout
                          : r->connection->base_server->keep_alive_timeout;
}

/* The whole body has come with the head, or there is none. */
static int body_is_held(const cs_park *park, request_rec *r)
{
    const char *field = apr_table_get(r->headers_in, "Content-Length");
    apr_off_t len = 0;

    if (apr_table_get(r->headers_in, "Transfer-Encoding") != NULL) {
        return 0;
    }
    return field == NULL
           || (ap_parse_strict_length(&len, field) && cs_input_holds(&park->input, len));
}

/* On an event thread: httpd has set the socket's timeout to that of the virtual
 * host, and whoever refuses the request would read its body to be able to keep
 * the connection. That must not wait for a peer: the connection is kept only if
 * the body is there, or once cs_body.c has read it. */
static int on_request(request_rec *r)
{
    cs_park *park = cs_loop_thread_self() != NULL ? cs_park_of(r->connection) : NULL;

    if (park != NULL && r->main == NULL && r->prev == NULL) {
        apr_socket_timeout_set(park->socket, 0);
        cs_park_note_timeouts(park, r);
        if (!body_is_held(park, r)) {
            r->connection->keepalive = AP_CONN_CLOSE;
        }
    }
    return DECLINED;
}

/* ---- letting go -------------------------------------------------------- */

/* What is done once, when httpd has let go of the connection. */
static void take_over(cs_park *park)
{
    park->ours = 1;
    apr_socket_timeout_set(park->socket, 0);
    cs_input_open(&park->input, park->c, park->phase == CS_PHASE_BODY ? park->r : NULL);
    park->secure = park->input.secure;
    cs_memory_bound(apr_pool_allocator_get(park->c->pool));
}

void cs_park_on_suspend(conn_rec *c, request_rec *r)
{
    cs_park *park = cs_park_of(c);

    /* The hook runs, too, when httpd closes one that was aborted meanwhile. */
    if (park == NULL || park->ours || park->r == NULL || park->r != r
        || c->cs->state != CONN_STATE_SUSPENDED) {
        return;
    }
    take_over(park);
    cs_park_watch(park, CS_WATCH_INPUT);
    if (park->deadline != 0) {
        cs_park_set_timer(park);
    }
    cs_park_look_again(park);
    /* From a swap that succeeds on, another thread may own the record. */
    if (park->phase != CS_PHASE_WAIT || park->unsent || !cs_park_rest(park)) {
        cs_park_own(park);
        cs_loop_run(park);
    }
}

#ifdef __SANITIZE_THREAD__
/* ---- what the thread sanitizer cannot see ------------------------------ */

/* The MPM gives the pool of a closed connection to the next one by an atomic
 * operation of its own, which is not built with the sanitizer.              */
static apr_status_t pool_is_given_on(void *pool)
{
    __tsan_release(pool);
    return APR_SUCCESS;
}

static int pool_is_taken(conn_rec *c, void *csd)
{
    (void)csd;
    __tsan_acquire(c->pool);
    apr_pool_cleanup_register(c->pool, c->pool, pool_is_given_on, apr_pool_cleanup_null);
    return OK;
}
#endif

/* ---- publishers -------------------------------------------------------- */

static int count_publish(request_rec *r)
{
    connection_state *state = state_of(r->connection);

    if (r->connection->keepalives != state->keepalives + 1) {
        state->publishes = 0;
    }
    state->keepalives = r->connection->keepalives;
    return ++state->publishes;
}

int cs_park_finish(request_rec *r, int result)
{
    cs_park *park;

    if (result != OK || cs_loop_thread_self() != NULL || !cs_loop_is_running()
        || cs_loop_level_get() != CS_LOOP_RUNNING || !cs_park_possible(r)
        || count_publish(r) < PUBLISHES_BEFORE_ADOPTION
        || r->connection->keepalive != AP_CONN_KEEPALIVE) {
        return result;
    }
    park = cs_park_get(r);
    if (park == NULL) {
        return result;
    }
    park->r = r;
    park->phase = CS_PHASE_FINISH;
    return SUSPENDED;
}

void cs_park_register_hooks(apr_pool_t *p)
{
    static const char *const before_core[] = { "core.c", NULL };

    (void)p;
    cs_input_register();
#ifdef __SANITIZE_THREAD__
    ap_hook_pre_connection(pool_is_taken, NULL, NULL, APR_HOOK_REALLY_FIRST);
#endif
    ap_hook_suspend_connection(cs_park_on_suspend, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_post_read_request(on_request, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_quick_handler(cs_handover_quick_handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(cs_handover_handler, NULL, before_core, APR_HOOK_REALLY_FIRST);
    ap_hook_child_stopping(cs_loop_child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
}
