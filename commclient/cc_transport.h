/* SPDX-License-Identifier: Apache-2.0
 * cc_transport.h - polls and uploads over HTTP: libcurl's multi interface on
 * libevent.
 *
 * It knows how they look on the wire and nothing of what an answer means. A
 * cc_exchange has one request at a time; all share their connections. HTTP/1.1 only:
 * over HTTP/2 a server cannot hold polls without a thread. Redirects are not
 * followed, so credentials never reach another origin. An answer is cut off
 * where it is larger than several usual messages and the largest single one.
 *
 * An event stream is handed on piece by piece instead, for as long as it is
 * held.
 */
#ifndef CC_TRANSPORT_H
#define CC_TRANSPORT_H

#include "cc_compat.h"
#include "cc_config.h"
#include "cc_login.h"
#include "cc_memory.h"
#include "cc_status.h"

struct event_base;

#define CC_ANSWER_LAG 10 /* s beyond the wait until a head is there */
#define CC_STALL      30 /* s between two pieces of a body          */

/* s between two pieces of a stream: twice what the protocol says           */
#define CC_STREAM_STALL 50

typedef struct cc_transport cc_transport;
typedef struct cc_exchange cc_exchange;

typedef struct cc_poll {
    const char *url;          /* with the query                                */
    const char *cursor;       /* Last-Event-ID; NULL: none                     */
    int wait;                 /* s to be held; 0: answer now                   */
    int granted;              /* s that the server held the last time, or wait */
    int read_only;            /* GET: acknowledges nothing, cursor or not      */
    int stream;               /* GET: an event stream is wanted                */
    int minimal;              /* only acknowledge: answered without messages   */
    int fresh;                /* on a new connection                           */
    const char *acknowledged; /* Comm-Acknowledged: ids with commas between; NULL: none */
    const cc_login *login;
} cc_poll;

typedef struct cc_upload {
    const char *url;
    const char *const *headers; /* lines, without line ends; NULL behind the last */
    cc_slice body;              /* must live until the answer                     */
    const cc_login *login;
} cc_upload;

typedef enum {
    CC_ANSWERED, /* there is a status                             */
    CC_CUT,      /* the request went out, no whole answer came    */
    CC_NO_CONNECTION
} cc_answer_kind;

typedef struct cc_answer {
    cc_answer_kind kind;
    const char *error;              /* unless answered: text                         */
    int code;                       /* unless answered: libcurl's, never 0           */
    long status;                    /* of HTTP                                       */
    char content_type[64];          /* lower case, without parameters                */
    char cursor[CC_CURSOR_MAX + 1]; /* Comm-Cursor, "": none                */
    int64_t retry_after;            /* s; -1: not said                               */
    int granted;                    /* Preference-Applied: wait=N; -1: not said      */
    int64_t date;                   /* ms since 1970; 0: not said                    */
    int64_t duration;               /* ms from start to end                          */
    const char *body;               /* never NULL                                    */
    size_t len;
    int too_large; /* `body` is only the beginning                  */
    int is_stream; /* it was handed on as a stream: `body` is empty */
} cc_answer;

/* How a stream is handed on; the baton is that of the exchange.              */
typedef struct cc_stream_calls {
    /* Called within libcurl: may keep what came, and nothing else. */
    void (*piece)(void *baton, const char *data, size_t len);
    /* Called from the event loop when the head has come, then after one or
     * several pieces. May pause or cancel the exchange. Of `head` what stands in
     * the head counts. */
    void (*arrived)(void *baton, const cc_answer *head);
} cc_stream_calls;

/** @param max_message  bytes of a message that an answer must have room for
 *  @return NULL when libcurl cannot be used. */
cc_transport *cc_transport_create(struct event_base *base, size_t max_message);
void cc_transport_destroy(cc_transport *transport);

/** `done` is called from the event loop and may start the next poll; the
 *  answer lives until it returns. */
cc_exchange *cc_exchange_create(cc_transport *transport, const cc_server_config *server,
                                void (*done)(void *baton, const cc_answer *answer),
                                void *baton);
void cc_exchange_destroy(cc_exchange *exchange);

/** What the next poll goes by; one on its way is not changed. */
void cc_exchange_server_set(cc_exchange *exchange, const cc_server_config *server);

/** Needed before a poll that asks for a stream; must outlive the exchange. */
void cc_exchange_stream_set(cc_exchange *exchange, const cc_stream_calls *calls);

/** Take nothing more from the server until cc_exchange_resume(); it is no
 *  fault then that nothing comes. */
void cc_exchange_pause(cc_exchange *exchange);
void cc_exchange_resume(cc_exchange *exchange);

#define CC_ADDRESS_MAX 64 /* bytes of the text of an address                  */

/** The addresses of the connection that the request on its way has, as text.
 *  @return 1; 0: it has none */
int cc_exchange_addresses(const cc_exchange *exchange, char out_local[CC_ADDRESS_MAX],
                          char out_peer[CC_ADDRESS_MAX]);

/** 1 while a request is on its way. */
int cc_exchange_is_active(const cc_exchange *exchange);

/** Start a poll. Nothing may be on its way. */
void cc_exchange_start(cc_exchange *exchange, const cc_poll *poll);

/** Start a POST with a body. Nothing may be on its way. */
void cc_exchange_upload(cc_exchange *exchange, const cc_upload *upload);

/** Forget the request that is on its way, if one is. `done` is not called. */
void cc_exchange_cancel(cc_exchange *exchange);

#endif
