/* SPDX-License-Identifier: Apache-2.0
 * cc_poller_beside.c - what the server is told while a request is held.
 *
 * Acknowledgements of what came by a stream, and reports: ids of messages that
 * an application has acknowledged, and whose publisher wants to know. Reports
 * also go with polls, where one is due. One request at a time; whatever is due
 * when it is answered goes with the next.
 */
#include "cc_compat.h"
#include "cc_log.h"
#include "cc_poller_private.h"
#include "cc_time.h"

#include <string.h>

#define ACKNOWLEDGE_DELAY 500   /* ms after a commit: more may follow          */
#define REPORT_DELAY      200   /* ms                                          */
#define REPORT_TRIES      5     /* refusals after which reports are dropped    */
#define REFUSED_WAIT      60000 /* ms                                          */

static void soon(cc_poller *p, int64_t ms)
{
    struct timeval delay = { (time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000) };

    if (!cc_exchange_is_active(p->beside)
        && (ms == 0 || !evtimer_pending(p->beside_timer, NULL)))
        event_add(p->beside_timer, &delay);
}

static int is_refused(long status)
{
    return status == 401 || status == 403 || status == 407;
}

/* A request that would be refused again as often as it is sent. */
static int is_wrong(const cc_answer *answer)
{
    long status = answer->status;

    return answer->kind == CC_ANSWERED && status >= 400 && status < 500
           && !is_refused(status) && status != 408 && status != 409 && status != 429;
}

static int is_good(const cc_answer *answer)
{
    return answer->kind == CC_ANSWERED && answer->status >= 200 && answer->status < 300;
}

/* ---- what is due ----------------------------------------------------- */

static int acknowledgement_is_due(const cc_poller *p)
{
    return p->streaming && strcmp(p->cursor, p->acknowledged) != 0;
}

int cc_poller_beside_is_behind(const cc_poller *p)
{
    return p->beside_kind == CC_BESIDE_ACKNOWLEDGE
           && p->unacknowledged >= CC_POLL_MESSAGES;
}

/* Returns the number of the last one, 0: there are none. */
static int64_t list_reports(cc_poller *p, cc_buffer *out)
{
    cc_reports reports;
    cc_status status;
    size_t i;

    if (!p->has_reports)
        return 0;
    status = cc_dispatch_reports(p->dispatch, p->server->name, &reports);
    if (status == CC_EMPTY)
        p->has_reports = 0;
    if (status != CC_OK)
        return 0;
    for (i = 0; i < reports.count; i++)
        cc_buffer_format(out, "%s%s", i > 0 ? ", " : "", reports.ids[i]);
    return reports.last;
}

/* ---- with a poll ----------------------------------------------------- */

int cc_poller_reports_attach(cc_poller *p, cc_buffer *out)
{
    p->reporting = p->reports_alone ? 0 : list_reports(p, out);
    return p->reporting != 0;
}

int cc_poller_reports_answered(cc_poller *p, const cc_answer *answer)
{
    int64_t last = p->reporting;

    p->reporting = 0;
    if (last == 0)
        return 0;
    if (is_good(answer))
        cc_dispatch_reported(p->dispatch, p->server->name, last);
    p->reports_alone |= is_wrong(answer);
    return is_wrong(answer);
}

/* ---- beside ---------------------------------------------------------- */

static void send_beside(cc_poller *p, cc_beside_kind kind, const cc_buffer *url,
                        const cc_buffer *reports)
{
    cc_poll poll;

    memset(&poll, 0, sizeof(poll));
    poll.url = url->data;
    poll.login = &p->login;
    poll.minimal = 1;
    poll.acknowledged = reports->len > 0 ? reports->data : NULL;
    p->beside_kind = kind;
    cc_exchange_start(p->beside, &poll);
}

static void on_timer(evutil_socket_t descriptor, short what, void *baton)
{
    cc_poller *p = baton;
    cc_buffer url = { NULL, 0, 0 }, reports = { NULL, 0, 0 };

    (void)descriptor;
    (void)what;
    if (!cc_exchange_is_active(p->exchange) || p->asked == CC_ASKED_ACKNOWLEDGE)
        return;
    if (acknowledgement_is_due(p)) {
        cc_poller_acknowledge_url(p, &url);
        strcpy(p->acknowledging, p->cursor);
        p->unacknowledged = 0;
        send_beside(p, CC_BESIDE_ACKNOWLEDGE, &url, &reports);
    }
    else if ((p->beside_reporting = list_reports(p, &reports)) != 0) {
        cc_poller_url(p, &url);
        send_beside(p, CC_BESIDE_REPORT, &url, &reports);
    }
    cc_buffer_clear(&url);
    cc_buffer_clear(&reports);
}

static void on_acknowledged(cc_poller *p, const cc_answer *answer)
{
    if (is_good(answer)) {
        strcpy(p->acknowledged, p->acknowledging);
        if (p->streaming)
            cc_poller_stream_flow(p);
        return;
    }
    if (!p->streaming)
        return;
    cc_poller_stream_leave(p);
    cc_poller_on_failure(p, answer);
}

static void drop_reports(cc_poller *p, const cc_answer *answer)
{
    cc_log(CC_LOG_WARNING,
           "server '%s': does not take reports that applications acknowledged (answered"
           " %ld %d times): they are dropped",
           p->server->name, answer->status, REPORT_TRIES);
    p->report_tries = 0;
    cc_dispatch_reported(p->dispatch, p->server->name, p->beside_reporting);
}

/* Returns ms until the next try. */
static int64_t on_reported(cc_poller *p, const cc_answer *answer)
{
    if (is_good(answer)) {
        p->report_tries = 0;
        cc_backoff_reset(&p->beside_backoff);
        cc_dispatch_reported(p->dispatch, p->server->name, p->beside_reporting);
        return REPORT_DELAY;
    }
    if (is_wrong(answer) && ++p->report_tries >= REPORT_TRIES)
        drop_reports(p, answer);
    if (answer->kind == CC_ANSWERED && is_refused(answer->status))
        return REFUSED_WAIT;
    if (answer->retry_after > 0)
        return cc_backoff_obey(&p->beside_backoff, answer->retry_after);
    return cc_backoff_next(&p->beside_backoff);
}

static void on_answer(void *baton, const cc_answer *answer)
{
    cc_poller *p = baton;
    cc_beside_kind kind = p->beside_kind;
    int64_t pause = ACKNOWLEDGE_DELAY;

    p->beside_kind = CC_BESIDE_NOTHING;
    if (kind == CC_BESIDE_REPORT)
        pause = on_reported(p, answer);
    else
        on_acknowledged(p, answer);
    if (p->unacknowledged >= CC_POLL_MESSAGES)
        pause = 0;
    if (p->has_reports || acknowledgement_is_due(p))
        soon(p, pause);
}

void cc_poller_beside_acknowledge(cc_poller *p, size_t count)
{
    p->unacknowledged += count;
    soon(p, p->unacknowledged >= CC_POLL_MESSAGES ? 0 : ACKNOWLEDGE_DELAY);
}

void cc_poller_beside_held(cc_poller *p)
{
    if (p->has_reports && p->reporting == 0 && p->state == CC_POLLER_CONNECTED)
        soon(p, REPORT_DELAY);
}

void cc_poller_report(cc_poller *p)
{
    p->has_reports = 1;
    if (cc_exchange_is_active(p->exchange) && p->state == CC_POLLER_CONNECTED)
        soon(p, REPORT_DELAY);
}

/* ---- life ------------------------------------------------------------ */

void cc_poller_beside_create(cc_poller *p, cc_transport *transport,
                             const cc_server_config *server, struct event_base *base)
{
    p->beside = cc_exchange_create(transport, server, on_answer, p);
    p->beside_timer = evtimer_new(base, on_timer, p);
    p->beside_backoff = p->backoff;
    p->has_reports = 1;
}

void cc_poller_beside_cancel(cc_poller *p)
{
    cc_exchange_cancel(p->beside);
    event_del(p->beside_timer);
    p->beside_kind = CC_BESIDE_NOTHING;
}

void cc_poller_beside_destroy(cc_poller *p)
{
    cc_exchange_destroy(p->beside);
    event_free(p->beside_timer);
}
