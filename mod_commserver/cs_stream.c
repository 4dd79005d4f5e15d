/* SPDX-License-Identifier: Apache-2.0
 * cs_stream.c - the answer to a poll as a stream of events (HTML standard,
 * server-sent events).
 *
 * A browser's EventSource gives up for good on any status but 200 and comes
 * back by itself after anything else. So from here on nothing is a problem:
 * where the stream cannot be held, or must end, it gets what is queued and is
 * told when to come back. Everything it is to get is in its queue; it says
 * where it stands by the id of the last event it got.
 */
#include "cs_compat.h"
#include "cs_config.h"
#include "cs_lifecycle.h"
#include "cs_poll.h"
#include "cs_send.h"
#include "cs_trouble.h"

#include <apr_strings.h>

/* Payload fetched at a time, bytes: what a slow reader may keep in memory.   */
#define FETCH_BYTES 24576

/* Between events; proxies take an idle answer for dead after 60 seconds.     */
#define HEARTBEAT apr_time_from_sec(25)

/* Until a busy queue is looked at again at the latest.                       */
#define BUSY_PAUSE apr_time_from_sec(1)

/* "retry: " and milliseconds, an empty line.                                 */
#define RETRY_TEXT 40

#define REPLACED                                                              \
    "retry: 60000\nevent: commserver:replaced\ndata: {}\n\n"

typedef struct stream {
    cs_poll_request *poll;
    apr_bucket_brigade *out;
    apr_bucket_alloc_t *list;
    apr_time_t ends;
    apr_time_t beat; /* when a heartbeat is due */
} stream;

/* ---- what is said ------------------------------------------------------ */

/* Memory of the connection that is free again once it is sent.              */
static void say(stream *s, const char *text, apr_size_t len)
{
    char *copy = apr_bucket_alloc(len, s->list);

    memcpy(copy, text, len);
    APR_BRIGADE_INSERT_TAIL(s->out, apr_bucket_heap_create(copy, len, apr_bucket_free,
                                                           s->list));
}

/* Streams that ended together come back one by one.                         */
static void say_retry(stream *s)
{
    char text[RETRY_TEXT] = "retry: ";
    apr_size_t len = strlen(text);
    unsigned spread = CS_WAIT_RETRY_SPREAD * 1000;

    len += csq_number_format(CS_WAIT_RETRY_AFTER * 1000 + cs_lifecycle_jitter(spread),
                             text + len);
    text[len++] = '\n';
    text[len++] = '\n';
    say(s, text, len);
}

static void say_events(stream *s, const csq_batch *batch)
{
    char *text = apr_bucket_alloc(cs_response_events_size(batch), s->list);
    apr_size_t len = cs_response_events(batch, s->poll->named_events, text);

    APR_BRIGADE_INSERT_TAIL(s->out, apr_bucket_heap_create(text, len, apr_bucket_free,
                                                           s->list));
}

/* ---- while it is held -------------------------------------------------- */

static apr_time_t next_turn(const stream *s)
{
    return s->beat < s->ends ? s->beat : s->ends;
}

static int go_on(stream *s, apr_time_t now, int result)
{
    if (!APR_BRIGADE_EMPTY(s->out))
        s->beat = now + HEARTBEAT;
    cs_wait_deadline_set(s->poll->hold, next_turn(s));
    return result;
}

/* @return OK, or CS_WAIT_RETRY: the queue is busy, its waiter is there still. */
static int wait_no_more(request_rec *r, const stream *s)
{
    cs_wait_note(r, s->poll->began);
    return csq_waiter_remove(cs_lifecycle_queue(), &s->poll->key, s->poll->fetch.waiter)
                   == CSQ_BUSY
               ? CS_WAIT_RETRY : OK;
}

static int look_again(stream *s, apr_time_t now)
{
    cs_wait_deadline_set(s->poll->hold, now + BUSY_PAUSE);
    return CS_WAIT_RETRY;
}

static int end(request_rec *r, stream *s, cs_wait_reason reason)
{
    if (wait_no_more(r, s) == CS_WAIT_RETRY && cs_wait_may_retry(reason, s->ends))
        return look_again(s, apr_time_now());
    say_retry(s);
    return OK;
}

static apr_status_t fetch(stream *s, apr_time_t now, csq_batch *batch)
{
    cs_poll_request *poll = s->poll;
    apr_status_t rv = csq_fetch_batch(cs_lifecycle_queue(), &poll->key, &poll->fetch,
                                      now, batch);

    if (rv == APR_SUCCESS)
        say_events(s, batch);
    if (rv == APR_SUCCESS || rv == CSQ_EMPTY) {
        poll->after = csq_batch_cursor(batch);
        poll->fetch.after = &poll->after;
        poll->fetch.acknowledge = 0;
        poll->fetch.resume = 1;
    }
    return rv;
}

static int answer(request_rec *r, void *baton, cs_wait_reason reason)
{
    stream *s = baton;
    csq_batch *batch = cs_lifecycle_batch();
    apr_time_t now = apr_time_now();
    apr_status_t rv;

    if (reason == CS_WAIT_STOPPING || now >= s->ends)
        return end(r, s, reason);
    rv = fetch(s, now, batch);
    switch (rv) {
    case APR_SUCCESS:
        return go_on(s, now, csq_batch_more(batch) ? CS_WAIT_MORE : CS_WAIT_AGAIN);
    case CSQ_EMPTY:
        if (now >= s->beat)
            say(s, ":\n\n", 3);
        return go_on(s, now, CS_WAIT_AGAIN);
    case CSQ_BUSY: /* a heartbeat that is due can wait, too                  */
        return look_again(s, now);
    case CSQ_REPLACED:
        say(s, REPLACED, sizeof(REPLACED) - 1);
        break;
    default:
        cs_trouble_status(r, rv);
        say_retry(s);
    }
    wait_no_more(r, s);
    return OK;
}

static int gone(request_rec *r, void *baton)
{
    return wait_no_more(r, baton);
}

static const cs_wait_ops held = { answer, gone };

/* ---- the beginning ----------------------------------------------------- */

/* @return APR_SUCCESS: there is a place to wait in. */
static apr_status_t prepare(request_rec *r, stream *s)
{
    cs_poll_request *poll = s->poll;
    apr_status_t rv = cs_wait_can_park(r) && s->ends > poll->began
                          ? cs_wait_prepare(r, &held, s, &poll->hold) : APR_EAGAIN;

    if (rv == APR_SUCCESS) {
        poll->fetch.waiter = cs_wait_waiter(poll->hold);
        poll->fetch.stay = 1;
    }
    if (rv == APR_ENOSPC)
        cs_trouble_parked(r);
    return rv;
}

static stream *make_stream(request_rec *r, cs_poll_request *poll)
{
    const cs_config_dir *dir = cs_config_dir_get(r);
    stream *s = apr_pcalloc(r->pool, sizeof(*s));

    s->poll = poll;
    s->list = r->connection->bucket_alloc;
    s->out = apr_brigade_create(r->pool, s->list);
    poll->began = apr_time_now();
    s->beat = poll->began + HEARTBEAT;
    s->ends = poll->began + apr_time_from_sec(cs_config_max_stream(dir));
    if (poll->fetch.max_bytes > FETCH_BYTES)
        poll->fetch.max_bytes = FETCH_BYTES;
    return s;
}

int cs_stream_serve(request_rec *r, cs_poll_request *poll)
{
    stream *s = make_stream(r, poll);
    csq_batch *batch = cs_lifecycle_batch();
    apr_status_t waiting = prepare(r, s), rv;

    say_retry(s);
    rv = fetch(s, poll->began, batch);
    cs_lifecycle_upkeep(poll->began);
    if (rv != APR_SUCCESS && rv != CSQ_EMPTY)
        cs_trouble_status(r, rv);
    if (waiting != APR_SUCCESS)
        return cs_send_events(r, s->out);
    if (rv != APR_SUCCESS && rv != CSQ_EMPTY) {
        cs_wait_cancel(poll->hold);
        return cs_send_events(r, s->out);
    }
    cs_send_events_head(r);
    cs_wait_stream(poll->hold, s->out);
    return cs_wait_hold(poll->hold, rv == APR_SUCCESS && csq_batch_more(batch)
                                        ? poll->began : next_turn(s));
}
