/* SPDX-License-Identifier: Apache-2.0
 * cc_poller_stream.c - an event stream: what comes is taken over batch by batch.
 *
 * A batch is what came in one read. When it is committed, the acknowledgement
 * goes out beside the stream (cc_poller_beside.c). When the inbox is full, or
 * too much is unacknowledged, nothing more is read: what is not read stays with
 * the server.
 *
 * The end of a stream is normal. Where streams cannot be held they end at once,
 * and so it is polling, at the intervals that the server asks for.
 */
#include "cc_compat.h"
#include "cc_log.h"
#include "cc_poller_private.h"
#include "cc_time.h"

#define BRIEF         2000 /* ms; a stream that ends before that is not held  */
#define PROVEN        5000 /* ms after which a stream is a good one           */
#define RETRY_DEFAULT 3000 /* ms                                              */
#define RETRY_LEAST   1000 /* ms, where nothing is held                       */
#define SPREAD        250  /* ms                                              */

static void keep_event(void *baton, const cc_event *event)
{
    cc_event_batch_add(baton, event);
}

void cc_poller_stream_open(cc_poller *p)
{
    cc_event_stream_begin(&p->stream, cc_dispatch_max_line(p->dispatch), keep_event,
                          &p->events);
    cc_event_batch_begin(&p->events, p->without_cursor ? "" : p->cursor);
    p->streaming = 0;
    p->taken_over = 0;
}

void cc_poller_stream_leave(cc_poller *p)
{
    cc_exchange_cancel(p->exchange);
    p->streaming = 0;
}

void cc_poller_stream_flow(cc_poller *p)
{
    if (cc_dispatch_is_full(p->dispatch)) {
        cc_exchange_pause(p->exchange);
        cc_poller_set_state(p, CC_POLLER_FULL, 0,
                            "the stream is not read on: the inbox holds as much as"
                            " inbox_max allows; the server keeps the rest");
        cc_poller_wait(p, CC_FULL_STEP);
        return;
    }
    p->next_try = 0;
    if (p->state == CC_POLLER_FULL)
        cc_poller_note_open(p);
    if (cc_poller_beside_is_behind(p))
        cc_exchange_pause(p->exchange);
    else
        cc_exchange_resume(p->exchange);
}

/* ---- what comes ------------------------------------------------------ */

static void keep_piece(void *baton, const char *data, size_t len)
{
    cc_poller *p = baton;

    cc_event_stream_feed(&p->stream, data, len);
}

static void begin_reading(cc_poller *p, const cc_answer *head)
{
    if (p->streaming)
        return;
    p->streaming = 1;
    p->opened = cc_time_monotonic();
    p->skew = cc_poller_skew(head, cc_time_now());
    cc_poller_note_open(p);
    cc_poller_beside_held(p);
}

static void note_taken(cc_poller *p, const cc_intake *intake, int64_t now)
{
    cc_poller_set_cursor(p, p->batch.cursor);
    p->received += (int64_t)intake->stored;
    p->taken_over += intake->stored;
    if (intake->stored > 0) {
        p->last_message = now;
        cc_poller_note_connected(p);
    }
    cc_poller_beside_acknowledge(p, p->batch.count);
}

/* Returns 0 when the stream was left. */
static int take_events(cc_poller *p)
{
    int64_t now = cc_time_now();
    cc_intake intake;

    if (cc_event_batch_get(&p->events, &p->batch) != CC_OK)
        return 1;
    if (cc_dispatch_take(p->dispatch, p->server->name, &p->batch, p->skew, now, &intake)
        != CC_OK) {
        cc_poller_stream_leave(p);
        cc_poller_note_storage(p);
        return 0;
    }
    note_taken(p, &intake, now);
    cc_event_batch_taken(&p->events);
    return 1;
}

static void on_arrived(void *baton, const cc_answer *head)
{
    cc_poller *p = baton;

    begin_reading(p, head);
    if (!take_events(p))
        return;
    if (p->events.end == CC_EVENTS_REPLACED) {
        cc_poller_stream_leave(p);
        cc_poller_on_replaced(p);
    }
    else if (p->events.end == CC_EVENTS_BAD_ID) {
        cc_poller_stream_leave(p);
        cc_poller_set_state(p, CC_POLLER_FAULTY, 3,
                            "sends events of which no id is a cursor: trying again with"
                            " growing pauses");
        cc_poller_back_off(p);
    }
    else {
        cc_poller_stream_flow(p);
    }
}

const cc_stream_calls cc_poller_stream_calls = { keep_piece, on_arrived };

/* ---- its end --------------------------------------------------------- */

int64_t cc_poller_stream_interval(cc_poller *p)
{
    int64_t retry = p->stream.retry >= 0 ? p->stream.retry : RETRY_DEFAULT;

    return (retry > RETRY_LEAST ? retry : RETRY_LEAST)
           + cc_backoff_random(&p->backoff, SPREAD);
}

/* A server that ends a stream it held says just before when to come back; one
 * that says nothing, or whose stream brought something, is asked at once. */
static int64_t pause_after(cc_poller *p, int64_t lived)
{
    if (lived < BRIEF && p->taken_over == 0)
        return cc_poller_stream_interval(p);
    if (lived >= BRIEF && p->stream.retry_is_last)
        return p->stream.retry + cc_backoff_random(&p->backoff, SPREAD);
    return cc_backoff_random(&p->backoff, SPREAD);
}

void cc_poller_stream_ended(cc_poller *p, const cc_answer *answer)
{
    int64_t lived = cc_time_monotonic() - p->opened;

    p->streaming = 0;
    if (p->state == CC_POLLER_FULL) {
        cc_poller_wait(p, CC_FULL_STEP);
        return;
    }
    if (answer->kind == CC_ANSWERED || lived > PROVEN)
        cc_poller_note_connected(p);
    if (answer->kind == CC_ANSWERED)
        cc_poller_wait(p, pause_after(p, lived));
    else
        cc_poller_on_failure(p, answer);
}
