/* SPDX-License-Identifier: Apache-2.0
 * cc_poller.c - the life of the connection to one server: what is asked, and
 * when.
 */
#include "cc_compat.h"
#include "cc_link.h"
#include "cc_poller_private.h"
#include "cc_random.h"
#include "cc_time.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_STEP  1000 /* ms between two looks at a secret file             */
#define RENEW_SPREAD 1000 /* ms over which agents of one network come back */

/* ---- asking ---------------------------------------------------------- */

static cc_status read_login(cc_poller *p)
{
    if (cc_login_read(&p->login) == CC_OK)
        return CC_OK;
    cc_poller_set_state(p, CC_POLLER_SECRET, 0, "not polled: %s",
                        cc_login_error(&p->login));
    return CC_NOT_PERMITTED;
}

static cc_status read_cursor(cc_poller *p)
{
    cc_status status;

    if (p->know_cursor)
        return CC_OK;
    status = cc_dispatch_cursor(p->dispatch, p->server->name, p->cursor);
    if (status != CC_OK && status != CC_EMPTY) {
        cc_poller_note_trouble(p, cc_dispatch_error(p->dispatch));
        return status;
    }
    p->know_cursor = 1;
    return CC_OK;
}

void cc_poller_url(const cc_poller *p, cc_buffer *out)
{
    cc_buffer_format(out, "%s%sdevice=%s", p->server->url,
                     strchr(p->server->url, '?') != NULL ? "&" : "?", p->server->device);
}

/* A cursor is opaque: it may hold what has a meaning in a query. */
void cc_poller_acknowledge_url(const cc_poller *p, cc_buffer *out)
{
    const char *c;

    cc_poller_url(p, out);
    cc_buffer_add_text(out, "&after=");
    for (c = p->cursor; *c != '\0'; c++) {
        if (isalnum((unsigned char)*c) || strchr("-._~", *c) != NULL)
            cc_buffer_add(out, c, 1);
        else
            cc_buffer_format(out, "%%%02X", (unsigned)(unsigned char)*c);
    }
}

static int has_cursor(const cc_poller *p)
{
    return p->cursor[0] != '\0' && !p->without_cursor;
}

/* Start what is prepared in `poll`. */
static void ask(cc_poller *p, cc_poll *poll, cc_asked asked, const char *url)
{
    poll->url = url;
    poll->login = &p->login;
    poll->fresh = p->fresh;
    p->fresh = 0;
    p->asked = asked;
    p->next_try = 0;
    cc_exchange_start(p->exchange, poll);
    cc_poller_beside_held(p);
}

static void send_poll(cc_poller *p)
{
    cc_buffer url = { NULL, 0, 0 }, reports = { NULL, 0, 0 };
    cc_poll poll;

    cc_poller_url(p, &url);
    cc_buffer_format(&url, "&max=%d", p->alone > 0 ? 1 : CC_POLL_MESSAGES);
    memset(&poll, 0, sizeof(poll));
    if (has_cursor(p))
        poll.cursor = p->cursor;
    p->held = p->state == CC_POLLER_CONNECTED;
    poll.wait = p->held ? p->server->wait : 0;
    poll.granted = p->granted >= 0 && p->granted < poll.wait ? p->granted : poll.wait;
    if (cc_poller_reports_attach(p, &reports))
        poll.acknowledged = reports.data;
    ask(p, &poll, CC_ASKED_POLL, url.data);
    cc_buffer_clear(&url);
    cc_buffer_clear(&reports);
}

/* ---- asking for a stream --------------------------------------------- */

static void send_acknowledgement(cc_poller *p)
{
    cc_buffer url = { NULL, 0, 0 }, reports = { NULL, 0, 0 };
    cc_poll poll;

    cc_poller_acknowledge_url(p, &url);
    memset(&poll, 0, sizeof(poll));
    poll.minimal = 1;
    if (cc_poller_reports_attach(p, &reports))
        poll.acknowledged = reports.data;
    strcpy(p->acknowledging, p->cursor);
    ask(p, &poll, CC_ASKED_ACKNOWLEDGE, url.data);
    cc_buffer_clear(&url);
    cc_buffer_clear(&reports);
}

static void send_stream(cc_poller *p)
{
    cc_buffer url = { NULL, 0, 0 };
    cc_poll poll;

    cc_poller_url(p, &url);
    if (p->alone > 0)
        cc_buffer_add_text(&url, "&max=1");
    memset(&poll, 0, sizeof(poll));
    poll.stream = 1;
    if (has_cursor(p))
        poll.cursor = p->cursor;
    p->held = 0;
    cc_poller_stream_open(p);
    ask(p, &poll, CC_ASKED_STREAM, url.data);
    cc_buffer_clear(&url);
}

static void send_request(cc_poller *p)
{
    if (!p->server->stream)
        send_poll(p);
    else if (has_cursor(p) && strcmp(p->cursor, p->acknowledged) != 0)
        send_acknowledgement(p);
    else
        send_stream(p);
}

/* ---- when ------------------------------------------------------------ */

void cc_poller_now(cc_poller *p)
{
    if (cc_dispatch_is_full(p->dispatch)) {
        cc_poller_set_state(p, CC_POLLER_FULL, 0,
                            "not polled: the inbox holds as much as"
                            " inbox_max allows; the server keeps the rest");
        cc_poller_wait(p, CC_FULL_STEP);
    }
    else if (cc_dispatch_trouble(p->dispatch) != NULL) {
        cc_poller_note_trouble(p, cc_dispatch_trouble(p->dispatch));
        cc_poller_wait(p, CC_FULL_STEP);
    }
    else if (read_login(p) != CC_OK) {
        cc_poller_wait(p, SECRET_STEP);
    }
    else if (read_cursor(p) != CC_OK) {
        cc_poller_back_off(p);
    }
    else {
        send_request(p);
    }
}

static void on_timer(evutil_socket_t descriptor, short what, void *baton)
{
    cc_poller *p = baton;

    (void)descriptor;
    (void)what;
    if (p->streaming) {
        cc_poller_stream_flow(p);
        return;
    }
    if (p->state == CC_POLLER_REFUSED && !cc_login_changed(&p->login)
        && cc_time_monotonic() < p->refused_until) {
        cc_poller_wait(p, SECRET_STEP);
        p->next_try = cc_time_now() + p->refused_until - cc_time_monotonic();
        return;
    }
    cc_poller_now(p);
}

/* ---- life ------------------------------------------------------------ */

void cc_poller_server_set(cc_poller *p, const cc_server_config *server)
{
    p->server = server;
    cc_login_server_set(&p->login, server);
    cc_exchange_server_set(p->exchange, server);
    cc_exchange_server_set(p->beside, server);
}

cc_poller *cc_poller_create(const cc_server_config *server, cc_transport *transport,
                            cc_dispatch *dispatch, struct event_base *base)
{
    cc_poller *p = cc_alloc(sizeof(*p));
    uint64_t seed = 0;

    cc_random_fill(&seed, sizeof(seed));
    cc_backoff_init(&p->backoff, seed);
    p->dispatch = dispatch;
    p->granted = -1;
    p->state_since = cc_time_now();
    p->exchange = cc_exchange_create(transport, server, cc_poller_on_answer, p);
    cc_exchange_stream_set(p->exchange, &cc_poller_stream_calls);
    cc_poller_beside_create(p, transport, server, base);
    cc_poller_server_set(p, server);
    p->timer = evtimer_new(base, on_timer, p);
    cc_poller_wait(p, 0);
    return p;
}

/* Credentials that were refused, a server that is busy and another agent are
 * not helped by another network. */
void cc_poller_renew(cc_poller *p)
{
    if (p->state != CC_POLLER_CONNECTED && p->state != CC_POLLER_UNREACHABLE)
        return;
    cc_poller_stream_leave(p);
    cc_poller_beside_cancel(p);
    p->fresh = 1;
    cc_poller_wait(p, cc_backoff_random(&p->backoff, RENEW_SPREAD));
}

int cc_poller_is_moved(const cc_poller *p)
{
    char local[CC_ADDRESS_MAX], peer[CC_ADDRESS_MAX];

    return cc_exchange_addresses(p->exchange, local, peer)
               ? cc_link_is_moved(local, peer)
               : p->state == CC_POLLER_UNREACHABLE;
}

void cc_poller_destroy(cc_poller *p)
{
    if (p == NULL)
        return;
    cc_exchange_destroy(p->exchange);
    cc_poller_beside_destroy(p);
    cc_event_stream_clear(&p->stream);
    cc_event_batch_clear(&p->events);
    event_free(p->timer);
    cc_batch_clear(&p->batch);
    cc_login_clear(&p->login);
    free(p);
}
