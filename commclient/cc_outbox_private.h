/* SPDX-License-Identifier: Apache-2.0
 * cc_outbox_private.h - shared by the files that make up the outbox.
 *
 * In memory is what is needed to choose the next message; bodies are read when they
 * are sent. A message is first incoming (it waits for the commit), then in its lane,
 * then finished (it waits for the commit that removes it).
 */
#ifndef CC_OUTBOX_PRIVATE_H
#define CC_OUTBOX_PRIVATE_H

#include "cc_compat.h"
#include "cc_outbox.h"

#include <event2/event.h>

typedef struct cc_ending {
    cc_command_error error;
    char id[CC_ID_MAX + 1];
    char state[CC_STATE_MAX + 1];
    char detail[256];
} cc_ending;

typedef struct cc_outgoing {
    TAILQ_ENTRY(cc_outgoing) link;
    const cc_outbox_calls *calls; /* NULL: nobody is told                    */
    void *baton;
    char *ref;                   /* NULL: none                              */
    cc_publication *publication; /* NULL: it is committed                   */
    cc_ending *ending;           /* NULL: not finished                      */
    cc_lane *lane;               /* NULL: finished                          */
    int64_t seq;
    int64_t expires; /* ms since 1970; 0: never                              */
    size_t size;     /* of the body                                          */
    char key[CC_KEY_MAX + 1];
} cc_outgoing;

typedef struct cc_outbox_watcher {
    TAILQ_ENTRY(cc_outbox_watcher) link;
    const char *server;
    void (*ready)(void *baton);
    void *baton;
} cc_outbox_watcher;

TAILQ_HEAD(cc_outgoing_list, cc_outgoing);

struct cc_outbox {
    const cc_config *config;
    cc_inbox *inbox;
    cc_dispatch *dispatch;
    cc_spool *spool;
    struct event *flush; /* made active by hand, or a timer after a failure */
    struct event *expiry;
    struct cc_outgoing_list incoming;
    struct cc_outgoing_list finished;
    TAILQ_HEAD(, cc_lane) lanes;
    TAILQ_HEAD(, cc_outbox_watcher) watchers;
    cc_outbox_usage usage; /* of all but the finished                        */
    int64_t next_seq;
};

/* ---- cc_outbox_lane.c: lanes, and who is told of what is in them -------- */

/** Before the message goes into its lane, which is kept for it. */
void cc_outbox_put_in_lane(cc_outbox *o, cc_outgoing *m, const char *server,
                           const char *app);
void cc_outbox_take_from_lane(cc_outbox *o, cc_outgoing *m);
/** Forget the lane if nothing is in it. */
void cc_outbox_release_lane(cc_outbox *o, cc_lane *lane);
/** There is something for this server. */
void cc_outbox_call_watchers(cc_outbox *o, const char *server);
/** The timer of the expired. */
void cc_outbox_on_expiry(evutil_socket_t descriptor, short what, void *outbox);

/* ---- cc_outbox_commit.c -------------------------------------------------- */

/** With what else comes in this turn of the loop. */
void cc_outbox_commit_soon(cc_outbox *o);
void cc_outbox_commit_within(cc_outbox *o, int ms);
void cc_outbox_on_flush(evutil_socket_t descriptor, short what, void *outbox);

/** What became of it, to be told after the commit. */
cc_ending *cc_outgoing_end(cc_outgoing *m, cc_command_error error, const char *detail);
void cc_outgoing_free(cc_outgoing *m);

#endif
