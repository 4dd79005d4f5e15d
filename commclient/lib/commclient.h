/* SPDX-License-Identifier: Apache-2.0
 * commclient.h - the messages of a local application, from this machine's agent.
 *
 *     commclient *agent;
 *     const commclient_event *event;
 *     int status = commclient_open(NULL, "orders", 0, &agent);
 *
 *     while (status == COMMCLIENT_OK || status == COMMCLIENT_NOTHING) {
 *         status = commclient_next(agent, 60000, &event);
 *         if (status == COMMCLIENT_OK && event->kind == COMMCLIENT_MESSAGE) {
 *             printf("%.*s\n", (int)event->length, event->data);
 *             commclient_ack(agent, event->id);
 *         }
 *     }
 *     if (agent != NULL)
 *         fprintf(stderr, "%s\n", commclient_error(agent));
 *     commclient_close(agent);
 *
 * Build with `pkg-config --cflags --libs commclient`. The protocol below it is
 * that of doc/agent.md, `man commclient-protocol`.
 *
 * The agent may be away, end and come back: the library connects anew, by itself,
 * at its next call, and says again what was not answered. A message is given
 * again until its acknowledgement is on the agent's disk, so at least once.
 *
 * Threads: different commclients may be used at the same time, one by one thread
 * at a time. The library has no thread, sets up no signal handler and raises no
 * SIGPIPE. Not across fork(): a child may only commclient_close() it.
 *
 * Memory: what calls give out belongs to the commclient, and lives until the
 * next commclient_next() or commclient_close(). A process that has no memory
 * left is ended, with a line on stderr.
 */
#ifndef COMMCLIENT_H
#define COMMCLIENT_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** major * 10000 + minor * 100 + patch. @since 0.1.0 */
#define COMMCLIENT_VERSION 100

/** What calls return. Numbers are final; later versions may add some.
 *  @since 0.1.0 */
enum commclient_status {
    COMMCLIENT_OK = 0,
    COMMCLIENT_NOTHING = 1,      /* nothing came within the time               */
    COMMCLIENT_REFUSED = 2,      /* the agent will not; commclient_error() says
                                    why                                        */
    COMMCLIENT_FULL = 3,         /* the agent has no room now; try it later    */
    COMMCLIENT_CUT = 4,          /* the connection went while it was on its way:
                                    it may have been taken or not              */
    COMMCLIENT_NO_AGENT = 5,     /* no agent can be reached now                */
    COMMCLIENT_BAD_ARGUMENT = 6, /* NULL, a name or a number out of range      */
    COMMCLIENT_BAD_DATA = 7,     /* not the JSON that its type promises        */
    COMMCLIENT_SYSTEM = 8        /* errno says more                            */
};

/** The text of a status: lower case, no final stop. Never NULL; static.
 *  @since 0.1.0 */
const char *commclient_text(int status);

/** Of the library that is linked, as COMMCLIENT_VERSION. @since 0.1.0 */
int commclient_version(void);

/** A local application's way to the agent. @since 0.1.0 */
typedef struct commclient commclient;

/**
 * Be the application `app`. An agent that is not there yet is waited for, by the
 * calls below.
 * @param socket  its path; NULL: the environment's COMMCLIENT_SOCKET, else where
 *                the agent of this user listens
 * @param app     [A-Za-z0-9][A-Za-z0-9._-]{0,63}; NULL: only publish
 * @param window  messages that may be out unacknowledged, 1 to 10000; 0: as many
 *                as the agent's configuration says (16)
 * @param out_agent  to be closed; NULL unless COMMCLIENT_OK
 * @return COMMCLIENT_OK, _BAD_ARGUMENT, _SYSTEM (no descriptor to be had).
 * @since 0.1.0
 */
int commclient_open(const char *socket, const char *app, unsigned window,
                    commclient **out_agent);

/** Close and free. What was not acknowledged is given again to who comes next.
 *  Acknowledgements that were not sent yet are lost: see commclient_flush(). NULL
 *  is allowed. @since 0.1.0 */
void commclient_close(commclient *agent);

/** What was wrong last, one line; "" if nothing was. Never NULL. @since 0.1.0 */
const char *commclient_error(const commclient *agent);

/** 1: the agent is connected, as far as is known. @since 0.1.0 */
int commclient_connected(const commclient *agent);

/**
 * For an event loop: readable (poll, select, epoll, libevent...) whenever
 * commclient_next() with a timeout of 0 has something to do, which may be to
 * connect again; it is then to be called until it returns COMMCLIENT_NOTHING. The
 * same from open to close. Only to be watched. @since 0.1.0
 */
int commclient_descriptor(const commclient *agent);

/** @since 0.1.0 */
enum commclient_kind {
    COMMCLIENT_MESSAGE = 1,
    COMMCLIENT_GAP = 2,       /* messages are missing here; acknowledge it      */
    COMMCLIENT_PUBLISHED = 3, /* what was published with a `ref` is on the server */
    COMMCLIENT_FAILED = 4     /* it never will be; `text` says why              */
};

/** What came. Members that do not go with its kind are NULL or 0. @since 0.1.0 */
typedef struct commclient_event {
    size_t size;         /* sizeof this structure, as the library knows it       */
    int kind;            /* enum commclient_kind                                 */
    const char *id;      /* of the message, of the gap                           */
    const char *app;
    const char *server;  /* the agent's name for where it came from              */
    const char *from;    /* sender                                               */
    const char *type;    /* Content-Type; NULL: there was none                   */
    const char *time;    /* when it was published: RFC 3339                      */
    const char *expires; /* when it goes                                         */
    const char *topic;
    const char *urgency; /* "very-low", "low", "high"; NULL: normal              */
    unsigned attempt;    /* 1: it was surely never given before                  */
    const char *data;    /* payload: JSON as it was published, or the bytes of
                            text and binary; a NUL behind it                     */
    size_t length;       /* bytes of data, without the NUL                       */
    unsigned long missing; /* gap: messages; 0: nobody knows how many            */
    const char *ref;     /* PUBLISHED, FAILED: as in the publication             */
    const char *state;   /* PUBLISHED: "queued", "dropped"                       */
    const char *text;    /* FAILED: why                                          */
} commclient_event;

/**
 * Wait for what comes next.
 * @param timeout    milliseconds; 0: do not wait; -1: for ever
 * @param out_event  set with COMMCLIENT_OK, else NULL
 * @return COMMCLIENT_OK; _NOTHING, also while no agent is there; _REFUSED: the
 *         agent does not let this application have messages (once for each such
 *         answer; it may be called again); _BAD_ARGUMENT; _SYSTEM.
 * @since 0.1.0
 */
int commclient_next(commclient *agent, int timeout, const commclient_event **out_event);

/**
 * Done with a message or gap: it never comes again. Sent by the next call that
 * waits, or at once if the connection takes it; in any order; repeated by itself
 * until the agent has it on disk.
 * @param id  of an event, also one from long ago
 * @return COMMCLIENT_OK: it will be; _BAD_ARGUMENT.
 * @since 0.1.0
 */
int commclient_ack(commclient *agent, const char *id);

/** It could not be dealt with now: it is given again after so many seconds, 0 to
 *  86400; 0: soon, and later with each attempt. As commclient_ack().
 *  @since 0.1.0 */
int commclient_nack(commclient *agent, const char *id, unsigned delay);

/** It will never be dealt with: it goes to the agent's dead list. As
 *  commclient_ack(). @since 0.1.0 */
int commclient_reject(commclient *agent, const char *id);

/**
 * Wait until all that was acknowledged, put off and rejected is on the agent's
 * disk. Events that come meanwhile are kept for commclient_next().
 * @return COMMCLIENT_OK; _NOTHING: not yet; _BAD_ARGUMENT; _SYSTEM.
 * @since 0.1.0
 */
int commclient_flush(commclient *agent, int timeout);

/** Receivers of one publication at most. @since 0.1.0 */
#define COMMCLIENT_MAX_TO 100

/** What to publish, from this machine to clients of the server. All memory stays
 *  the caller's and is only read during the call. Set it to
 *  COMMCLIENT_PUBLICATION_INIT first. @since 0.1.0 */
typedef struct commclient_publication {
    size_t size;            /* sizeof this structure, set by _INIT               */
    const char *app;        /* NULL: that of commclient_open()                   */
    const char *const *to;  /* clients, or "client/device"                       */
    int to_count;           /* 1..COMMCLIENT_MAX_TO; 0 with group and all        */
    const char *group;      /* to the members of this group; NULL: to `to`       */
    int all;                /* 1: to all clients of the application              */
    const char *type;       /* Content-Type; NULL: application/json              */
    const void *data;       /* JSON if the type is; else text if it is UTF-8
                               without NUL, or bytes                             */
    size_t length;          /* bytes                                             */
    long ttl;               /* seconds to live; -1: as the server has it; 0: for
                               who is there now                                  */
    const char *topic;      /* RFC 8030; NULL: none                              */
    const char *urgency;    /* "very-low", "low", "normal", "high"; NULL: normal */
    int receipt;            /* 1: the server remembers what becomes of it        */
    const char *server;     /* the agent's name for it; NULL: the only one that
                               can be published to                               */
    const char *ref;        /* 1..60 bytes, not beginning with "cl-": an event
                               tells with it what became of this; NULL: no event */
} commclient_publication;

#define COMMCLIENT_PUBLICATION_INIT                                                     \
    { sizeof(commclient_publication), NULL, NULL, 0, NULL, 0, NULL, NULL, 0, -1, NULL,   \
      NULL, 0, NULL, NULL }

/**
 * Give a message to the agent, which sends it to the server, now or when it can.
 * @param timeout  milliseconds to wait for the agent's disk, 0 or more
 * @return COMMCLIENT_OK: it is on the agent's disk; _REFUSED, _FULL; _NO_AGENT: it
 *         was not sent; _CUT; _NOTHING: no answer in time, it may be taken yet;
 *         _BAD_ARGUMENT, _BAD_DATA, _SYSTEM.
 * @since 0.1.0
 */
int commclient_publish(commclient *agent, const commclient_publication *publication,
                       int timeout);

#ifdef __cplusplus
}
#endif
#endif
