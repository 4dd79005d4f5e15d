/* SPDX-License-Identifier: Apache-2.0
 * cc_outbox.h - messages on their way from local applications to the servers.
 *
 * A message is committed to the spool (cc_spool.h) before its application is
 * told so; it leaves the spool when the server has taken it, or refused it for
 * good, or when its time is over. Commits of one turn of the event loop are one,
 * and removals wait a few milliseconds for each other.
 *
 * Messages for one server and one application make a lane. In a lane they go
 * one after the other, in the order in which they came; lanes do not wait for
 * each other. How they are sent, and when it is tried again, is cc_sender's.
 *
 * What waits is bounded by bytes and by number: beyond that nothing is taken,
 * and the application is told. One application takes no more than it leaves
 * free, so that one whose messages the server does not take cannot keep others
 * from publishing.
 */
#ifndef CC_OUTBOX_H
#define CC_OUTBOX_H

#include "cc_compat.h"
#include "cc_backoff.h"
#include "cc_command.h"
#include "cc_config.h"
#include "cc_dispatch.h"
#include "cc_publication.h"
#include "cc_spool.h"
#include "cc_status.h"

#include <sys/queue.h>

struct event_base;

#define CC_SPOOL_COUNT_MAX    100000 /* messages that wait                      */
#define CC_SPOOL_MESSAGE_COST 200    /* bytes a message counts beside its own   */
#define CC_STATE_MAX          32     /* bytes of a message's state              */

typedef struct cc_outbox cc_outbox;

/* What became of a message; strings live until the call returns. */
typedef struct cc_outcome {
    const char *ref; /* NULL: the application gave none                     */
    const char *key;
    const char *id;         /* of the server; "": it told none              */
    const char *state;      /* "": the same                                 */
    cc_command_error error; /* CC_ERROR_NONE: it is published               */
    const char *detail;     /* of the error, "": none                       */
} cc_outcome;

/* How a connection is told. The calls only append to what is sent later. */
typedef struct cc_outbox_calls {
    void (*spooled)(void *baton, const cc_outcome *outcome);
    void (*finished)(void *baton, const cc_outcome *outcome);
} cc_outbox_calls;

/** `config`, `inbox` and `dispatch` must outlive it.
 *  @return CC_OK; CC_STORAGE, CC_DAMAGED: the spool cannot be read. */
cc_status cc_outbox_create(const cc_config *config, cc_inbox *inbox,
                           cc_dispatch *dispatch, struct event_base *base,
                           cc_outbox **out_outbox);
/** Commits what is collected. */
void cc_outbox_destroy(cc_outbox *outbox);
void cc_outbox_config_set(cc_outbox *outbox, const cc_config *config);

/* ---- local side ------------------------------------------------------ */

/**
 * Take a message. calls.spooled follows when it is on the disk, or
 * calls.finished when it cannot be put there; calls.finished also when it is
 * known what became of it.
 * @param app     the application; the publication's own counts no more
 * @param now     ms since 1970
 * @return CC_ERROR_NONE: the publication was taken over and is empty now;
 *         CC_ERROR_NO_SERVER, CC_ERROR_FULL: nothing happened.
 */
cc_command_error cc_outbox_take(cc_outbox *outbox, cc_publication *publication,
                                const char *app, int64_t now,
                                const cc_outbox_calls *calls, void *baton);

/** This connection ends: its messages stay, nobody is told. */
void cc_outbox_forget(cc_outbox *outbox, const void *baton);

/** Commit what is collected and tell it. */
void cc_outbox_commit(cc_outbox *outbox);

/* ---- server side ----------------------------------------------------- */

struct cc_outgoing;

/* Made and freed by the outbox. The sender may change what is said so. */
typedef struct cc_lane {
    TAILQ_ENTRY(cc_lane) link;
    TAILQ_HEAD(, cc_outgoing) messages;
    char server[CC_SERVER_MAX + 1];
    char app[CC_APP_MAX + 1];
    int64_t count;      /* of all that is not finished, also before it  */
    int64_t bytes;      /* is in `messages`; the same                   */
    int busy;           /* the first message is being sent              */
    int64_t not_before; /* ms, monotonic: rests until then. The sender's*/
    unsigned failures;  /* in a row. The sender's                       */
    long trouble;       /* what is wrong was said. The sender's; 0: none*/
} cc_lane;

/** Have `ready` called when there is something for this server. It may only
 *  take note. One for each server. */
void cc_outbox_watch(cc_outbox *outbox, const char *server, void (*ready)(void *baton),
                     void *baton);
void cc_outbox_unwatch(cc_outbox *outbox, const void *baton);

/**
 * The lane whose first message has waited longest and can be sent now; it is
 * busy until one of the three calls below.
 * @param now       ms, monotonic
 * @param out_wait  ms until a lane can be sent; -1: none waits for its time
 * @return NULL: none
 */
cc_lane *cc_outbox_next(cc_outbox *outbox, const char *server, int64_t now,
                        int64_t *out_wait);

/** Call `each` for every lane of a server; it may change what is the sender's. */
void cc_outbox_lanes(cc_outbox *outbox, const char *server,
                     void (*each)(void *baton, cc_lane *lane), void *baton);

/** Read the first message of a lane, as cc_spool_read(). */
cc_status cc_outbox_read(cc_outbox *outbox, const cc_lane *lane,
                         void (*each)(void *baton, const cc_spooled *message),
                         void *baton);

/** The server took it. @param id, state  as it said, "" allowed */
void cc_outbox_published(cc_outbox *outbox, cc_lane *lane, const char *id,
                         const char *state);
/** It will never be taken. @param detail  for the application */
void cc_outbox_refused(cc_outbox *outbox, cc_lane *lane, cc_command_error error,
                       const char *detail);
/** It stays the first of its lane. */
void cc_outbox_keep(cc_outbox *outbox, cc_lane *lane);

typedef struct cc_outbox_usage {
    int64_t messages;
    int64_t bytes; /* with CC_SPOOL_MESSAGE_COST for each                   */
} cc_outbox_usage;

/** @param server  NULL: of all */
void cc_outbox_usage_get(const cc_outbox *outbox, const char *server,
                         cc_outbox_usage *out_usage);

#endif
