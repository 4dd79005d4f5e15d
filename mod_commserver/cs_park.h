/* SPDX-License-Identifier: Apache-2.0
 * cs_park.h - the life of one adopted connection.
 *
 * httpd 2.4 lets go of a connection whose handler returns SUSPENDED and has
 * no way to take it back. So from then on it is ours until it closes: a
 * cs_park record follows it, in one state machine.
 *
 * Who may touch it is one 64-bit word, changed by compare-and-swap only:
 *
 *   generation (32 bits) | signals | state
 *
 *   FREE     in the table's free list
 *   HANDLER  an MPM thread runs the request that will park; it owns it
 *   PARKED   nobody owns it; who swaps PARKED -> OWNED does
 *   OWNED    in the run queue, or being stepped by one event thread, or with
 *            an MPM worker that runs a handed-over request
 *   BLOCKED  an MPM thread sleeps in cs_wait_hold() on it
 *
 * Everybody else tells it something by cs_park_signal(): the signal's bit is
 * set, and a PARKED record becomes OWNED and is put on the run queue in the
 * same swap. The owner takes the bits when it steps, and parks by a swap that
 * fails if a bit came meanwhile. So no signal is lost, whenever it comes, also
 * between a handler's return and the moment httpd lets go.
 *
 * A record is never freed while the child lives, only reused under another
 * generation; an event for one that is gone is recognized and dropped.
 */
#ifndef CS_PARK_H
#define CS_PARK_H

#include <httpd.h>
#include <http_config.h>

#include "cs_input.h"
#include "cs_read_time.h"
#include "cs_timer.h"
#include "cs_wait.h"

enum {
    CS_PARK_FREE,
    CS_PARK_HANDLER,
    CS_PARK_PARKED,
    CS_PARK_OWNED,
    CS_PARK_BLOCKED,
    CS_PARK_STATE_MASK = 0xf
};

enum {
    CS_SIGNAL_RUNG = 0x010, /* the queue it waits on may have changed        */
    CS_SIGNAL_TIME = 0x020, /* a deadline may have passed                    */
    CS_SIGNAL_STOP = 0x040, /* the child stops                               */
    CS_SIGNAL_IN = 0x080,   /* the socket became readable                    */
    CS_SIGNAL_OUT = 0x100,  /* the socket became writable                    */
    CS_SIGNAL_HUP = 0x200,  /* the peer closed its side, or an error         */
    CS_SIGNAL_MASK = 0xff0
};

/* How long a held request waits until it looks at a busy queue again.        */
#define CS_PARK_RETRY apr_time_from_msec(100)

/* What the connection is doing. Only its owner reads or writes it.           */
typedef enum {
    CS_PHASE_WAIT,     /* a request is held                                  */
    CS_PHASE_BODY,     /* a request waits for the rest of its body           */
    CS_PHASE_SEND,     /* a long answer goes out in pieces                   */
    CS_PHASE_FINISH,   /* the answer is written, the request is to be ended  */
    CS_PHASE_HANDOVER, /* a request is to run, or runs, on an MPM worker     */
    CS_PHASE_FLUSH,    /* the last answer goes out                           */
    CS_PHASE_HEAD,     /* between requests, or in the middle of a head       */
    CS_PHASE_LINGER,   /* closing: reads until the peer has closed too       */
    CS_PHASE_DEAD      /* closed: its memory goes a little later             */
} cs_phase;

/* What a step leaves to do.                                                  */
typedef enum {
    CS_STEP_PARK, /* nothing until the next signal                      */
    CS_STEP_RUN,  /* step again, behind the others in the run queue     */
    CS_STEP_SEND, /* step again once others are answered, too           */
    CS_STEP_GIVEN /* somebody else owns it now                          */
} cs_step;

typedef enum {
    CS_WATCH_NOTHING,
    CS_WATCH_INPUT, /* and that the peer has closed                        */
    CS_WATCH_ALL    /* writability, too                                    */
} cs_watch;

typedef struct cs_park {
    apr_uint64_t word;        /* generation, signals, state              */
    apr_uint32_t index;       /* in the table                            */
    apr_uint32_t turn;        /* changes with each request held          */
    struct cs_park *run_next; /* run queue, free list or graveyard       */
    cs_timer timer;
    apr_time_t deadline;   /* monotonic; 0: none                      */
    apr_time_t trim;       /* when its memory is looked at            */
    apr_time_t read_began; /* the head or body that comes now         */

    cs_phase phase;
    unsigned ours : 1;       /* httpd has let go of it                  */
    unsigned closing : 1;    /* close once everything is sent           */
    unsigned secure : 1;     /* TLS: the socket does not tell all       */
    unsigned wanted : 2;     /* what epoll is to report: cs_watch       */
    unsigned watched : 2;    /* what it does                            */
    unsigned head_begun : 1; /* the deadline is that of a whole head    */
    unsigned trimmed : 1;    /* its memory was looked at since it waits */
    unsigned lean : 1;       /* what it did not use was taken from it   */
    unsigned retry : 1;      /* the queue was busy: look again soon     */
    unsigned unsent : 1;     /* a stream may have bytes to send         */
    unsigned slow : 1;       /* its reader has not taken the last       */
    unsigned hung_up : 1;    /* the peer has closed its side             */
    unsigned leaving : 1;    /* given up: its waiter is yet to be taken off */
    unsigned begun : 1;      /* phase HANDOVER: its handler is known    */
    unsigned placeless : 1;  /* httpd has taken its place on the scoreboard */
    unsigned roundabout : 1; /* the URL alone did not tell that it is ours */

    conn_rec *c;
    request_rec *r; /* the request that is suspended, or NULL  */
    apr_socket_t *socket;
    int fd;
    apr_interval_time_t timeout;   /* Timeout of the last request     */
    apr_interval_time_t keepalive; /* KeepAliveTimeout, likewise      */
    apr_time_t dead_since;

    const cs_wait_ops *ops; /* phase WAIT                              */
    void *baton;
    struct cs_body *body;       /* phase BODY                              */
    apr_bucket_brigade *rest;   /* phase SEND: what is still to be passed  */
    apr_bucket_brigade *stream; /* phase WAIT: the same of a stream; NULL: none */
    apr_bucket_brigade *later;  /* empty; for taking pieces off a stream   */
    cs_input input;             /* bytes of the next head                  */
} cs_park;

/* A name for a record that may be gone when it is used: its index and its
 * generation. This is what epoll carries.                                    */
typedef apr_uint64_t cs_park_name;

/* ---- the table of records (cs_park_table.c) ---------------------------- */

/** Once in a child. @param max  records at most */
void cs_park_table_init(apr_uint32_t max);

/** Take a free record, state HANDLER or BLOCKED. @return NULL: none left. */
cs_park *cs_park_alloc(unsigned state);

/** Give it back. The caller owns it. */
void cs_park_release(cs_park *park);

cs_park_name cs_park_name_of(const cs_park *park);

/** Tell it something; see above. Any thread. A name that is gone is ignored. */
void cs_park_signal(cs_park_name name, unsigned signals);

/** The same, by the number that stands on a queue for the request it holds. */
void cs_park_ring(apr_uint32_t number);
apr_uint32_t cs_park_number(const cs_park *park);

/** Tell all that are not free. */
void cs_park_signal_all(unsigned signals);

/** Records not free. */
apr_uint32_t cs_park_count(void);

/** Owner only: the signals that have come, which are cleared. */
unsigned cs_park_take_signals(cs_park *park);

/** In state HANDLER or OWNED: make it OWNED, whatever signals it has. */
void cs_park_own(cs_park *park);

/** Owner only: let go of it. @return 0: a signal came, it is still owned. */
int cs_park_rest(cs_park *park);

/* ---- adoption (cs_park_adopt.c) ---------------------------------------- */

/** Hook registration time: the hooks by which connections come and go. */
void cs_park_register_hooks(apr_pool_t *p);

/** The record of c, or NULL. */
cs_park *cs_park_of(conn_rec *c);

/** Whether httpd can let go of r's connection: event MPM, HTTP/1. */
int cs_park_possible(request_rec *r);

/** The record of r's connection, made if there is none (state HANDLER).
 *  @return NULL: no record left. */
cs_park *cs_park_get(request_rec *r);

/** Remember Timeout and KeepAliveTimeout as they are for r. */
void cs_park_note_timeouts(cs_park *park, request_rec *r);

/** Hook suspend_connection, last: httpd is about to let go. */
void cs_park_on_suspend(conn_rec *c, request_rec *r);

/**
 * What a publish handler returns, given what it would return: from a
 * connection's second publish in a row on, an answered request is suspended
 * instead, so that the connection becomes ours.
 */
int cs_park_finish(request_rec *r, int result);

/* ---- steps (cs_park.c, cs_park_close.c) -------------------------------- */

/** Take the next step. Event threads only; the caller owns the record. */
cs_step cs_park_step(cs_park *park);

/** Whether the next step may run authentication and handlers. */
int cs_park_runs_hooks(const cs_park *park);

/** The request is answered: end it, then go on with the connection. */
cs_step cs_park_end_request(cs_park *park, int result);

/** Have the record told when its deadline comes, or when it is to be trimmed. */
void cs_park_set_timer(cs_park *park);

/** Wait for a signal until now + interval at the latest. */
void cs_park_set_deadline(cs_park *park, apr_interval_time_t interval);
int cs_park_deadline_passed(const cs_park *park);

/** The deadline of what is being read: Timeout from `since`, and what
 *  mod_reqtimeout allows. @param bytes  of it that have come */
void cs_park_set_read_deadline(cs_park *park, const cs_read_time *limit, apr_time_t since,
                               apr_uint64_t bytes);

/**
 * Have the socket's events reported. Where the kernel has no room for that, the
 * connection is looked at once a second, until it has.
 */
void cs_park_watch(cs_park *park, cs_watch wanted);

/** The owner, before it lets go: have one that is not watched told soon. */
void cs_park_look_again(cs_park *park);

/** Pass what the filters hold to the socket.
 *  @return APR_SUCCESS; APR_EAGAIN: wait for writability; else it is broken. */
apr_status_t cs_park_flush(cs_park *park);

cs_step cs_park_close(cs_park *park);
cs_step cs_park_linger(cs_park *park, unsigned signals);

/** Free the memory of connections that closed a while ago. */
void cs_park_bury(apr_time_t now);

#endif
