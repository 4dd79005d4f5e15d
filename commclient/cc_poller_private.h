/* SPDX-License-Identifier: Apache-2.0
 * cc_poller_private.h - the structure behind cc_poller.h.
 *
 * cc_poller.c asks, cc_poller_answer.c knows what answers mean, cc_poller_stream.c
 * reads a stream, cc_poller_beside.c sends what cannot wait for the answer of a
 * request that is held, cc_poller_state.c says how it stands.
 *
 * Invariants:
 *  1. Either `exchange` has a request on its way or `timer` runs, or both while
 *     a stream is paused because the inbox is full.
 *  2. `cursor` is committed in the inbox before it is sent anywhere.
 *  3. A stream is opened only when the server knows `cursor`: a gap that it was
 *     not acknowledged for would be told, and counted, twice.
 */
#ifndef CC_POLLER_PRIVATE_H
#define CC_POLLER_PRIVATE_H

#include "cc_compat.h"
#include "cc_backoff.h"
#include "cc_event_batch.h"
#include "cc_event_stream.h"
#include "cc_login.h"
#include "cc_poller.h"

#include <event2/event.h>

#define CC_POLL_MESSAGES 500  /* asked for in one answer                      */
#define CC_FULL_STEP     1000 /* ms between two looks at a full inbox         */

typedef enum {
    CC_ASKED_POLL,
    CC_ASKED_STREAM,
    CC_ASKED_ACKNOWLEDGE /* before a stream                                   */
} cc_asked;

typedef enum {
    CC_BESIDE_NOTHING,
    CC_BESIDE_ACKNOWLEDGE,
    CC_BESIDE_REPORT
} cc_beside_kind;

struct cc_poller {
    const cc_server_config *server;
    cc_dispatch *dispatch;
    cc_exchange *exchange;
    struct event *timer;
    cc_backoff backoff;
    cc_batch batch;
    cc_login login;
    cc_poller_state state;
    long state_code;       /* what sets two of the same state apart        */
    int64_t state_since;   /* ms since 1970                                */
    int64_t next_try;      /* ms since 1970; 0: polling now                */
    int64_t refused_until; /* ms, monotonic                                */
    int64_t replaced_last; /* ms, monotonic; 0: never                      */
    int granted;           /* s the server holds; -1: not known            */
    int held;              /* the poll on its way asks to be held          */
    int cut_before;        /* the poll before was cut, too                 */
    int alone;             /* ask for one message at a time, this often    */
    int without_cursor;    /* the server did not take the cursor           */
    int know_cursor;       /* `cursor` is what the inbox says              */
    char cursor[CC_CURSOR_MAX + 1];
    char detail[256];     /* of the state, for the status                 */
    int64_t received;     /* messages taken over                          */
    int64_t last_message; /* ms since 1970; 0: none yet                   */
    cc_asked asked;       /* what is on its way                           */
    int fresh;            /* the next request takes a new connection      */

    /* a stream */
    cc_event_stream stream;
    cc_event_batch events;
    int streaming;     /* its head has come                               */
    int64_t opened;    /* ms, monotonic                                   */
    int64_t skew;      /* ms that the server's clock is ahead             */
    size_t taken_over; /* messages of this stream that were new           */

    /* requests beside it */
    cc_exchange *beside;
    struct event *beside_timer;
    cc_backoff beside_backoff;
    cc_beside_kind beside_kind; /* what is on its way beside              */
    size_t unacknowledged;      /* messages since the last acknowledgement went out */
    char acknowledged[CC_CURSOR_MAX + 1]; /* what the server knows             */
    char acknowledging[CC_CURSOR_MAX + 1];
    int has_reports;          /* there may be some                        */
    int reports_alone;        /* never with a poll: it was refused so     */
    int report_tries;         /* that were refused                        */
    int64_t reporting;        /* last report that goes with the poll; 0: none */
    int64_t beside_reporting; /* the same, beside                         */
};

/* cc_poller_state.c */
void cc_poller_set_state(cc_poller *p, cc_poller_state state, long code,
                         const char *format, ...) CC_PRINTF(4, 5);
void cc_poller_note_connected(cc_poller *p); /* and nothing is wrong any more */
void cc_poller_note_open(cc_poller *p);      /* only the state                */
void cc_poller_note_storage(cc_poller *p);   /* and back off                  */
/* The inbox cannot be used. */
void cc_poller_note_trouble(cc_poller *p, const char *why);
void cc_poller_wait(cc_poller *p, int64_t ms);
void cc_poller_back_off(cc_poller *p);

/* cc_poller.c */
void cc_poller_now(cc_poller *p);
/** The beginning of all URLs that are asked; to be cleared. */
void cc_poller_url(const cc_poller *p, cc_buffer *out);
/** The same with the cursor that is acknowledged. */
void cc_poller_acknowledge_url(const cc_poller *p, cc_buffer *out);

/* cc_poller_answer.c */
void cc_poller_on_answer(void *baton, const cc_answer *answer);
/** Any that is no success. */
void cc_poller_on_failure(cc_poller *p, const cc_answer *answer);
void cc_poller_on_replaced(cc_poller *p);
void cc_poller_set_cursor(cc_poller *p, cc_slice cursor);
/** ms that the server's clock is ahead, as the head of its answer says. */
int64_t cc_poller_skew(const cc_answer *answer, int64_t now);

/* cc_poller_stream.c */
extern const cc_stream_calls cc_poller_stream_calls;
void cc_poller_stream_open(cc_poller *p);
void cc_poller_stream_ended(cc_poller *p, const cc_answer *answer);
/** Break it off; the caller says what comes next. */
void cc_poller_stream_leave(cc_poller *p);
/** Take more from it, or not. */
void cc_poller_stream_flow(cc_poller *p);
/** ms until a stream, or a request for one, that ended at once is tried again. */
int64_t cc_poller_stream_interval(cc_poller *p);

/* cc_poller_beside.c */
void cc_poller_beside_create(cc_poller *p, cc_transport *transport,
                             const cc_server_config *server, struct event_base *base);
void cc_poller_beside_destroy(cc_poller *p);
void cc_poller_beside_cancel(cc_poller *p);
/** The cursor was committed, with `count` messages before it. */
void cc_poller_beside_acknowledge(cc_poller *p, size_t count);
/** 1: as much is unacknowledged as may be. */
int cc_poller_beside_is_behind(const cc_poller *p);
/** Reports that go with a POST of the poller; sets `reporting`.
 *  @return 1: `out` has their ids */
int cc_poller_reports_attach(cc_poller *p, cc_buffer *out);
/** A request is held now: what has to be said meanwhile goes beside it. */
void cc_poller_beside_held(cc_poller *p);
/** Reports went with the request that was answered.
 *  @return 1: the request was refused because of them, it seems */
int cc_poller_reports_answered(cc_poller *p, const cc_answer *answer);

#endif
