/* SPDX-License-Identifier: Apache-2.0
 * cc_dispatch_private.h - the structures behind cc_dispatch.h.
 *
 * Invariants:
 *  1. An app is in memory while it has subscriptions; its messages are in
 *     memory only while one of them takes (not just watches).
 *  2. app.pending and all subscriptions' `given` hold, sorted by seq, and
 *     app.later, sorted by when they are due, every message of the app with
 *     seq <= app.loaded, and none above. Above it there may be more in the
 *     inbox when app.more is set.
 *  3. A message in memory is marked in the inbox as given (attempt >= 1)
 *     before it can be given; so after a crash an attempt of 1 is never told
 *     for one that was on its way.
 *  4. In app.later are only messages that were given before, marked with the
 *     attempts that there were.
 *  5. Every message in memory is in the table by id, once.
 */
#ifndef CC_DISPATCH_PRIVATE_H
#define CC_DISPATCH_PRIVATE_H

#include "cc_compat.h"
#include "cc_dispatch.h"

#include <event2/event.h>
#include <sys/queue.h>

#define CC_APP_BUCKETS 256

typedef struct cc_message {
    TAILQ_ENTRY(cc_message) link; /* app.pending, app.later or given      */
    struct cc_message *next;      /* same bucket of the table by id       */
    struct cc_app *app;
    struct cc_subscription *owner; /* NULL: pending or put off             */
    int64_t seq;
    int64_t expires; /* ms, our clock; 0: never              */
    int64_t due;     /* the same; 0: it is not in app.later  */
    int attempt;     /* to tell when it is given next        */
    int receipt;     /* tell its server when acknowledged    */
    char *body;      /* NULL: read it from the inbox         */
    size_t body_len;
    size_t head_len;
    char id[CC_ID_MAX + 1];
    char server[CC_SERVER_MAX + 1];
} cc_message;

TAILQ_HEAD(cc_messages, cc_message);

typedef struct cc_gap {
    TAILQ_ENTRY(cc_gap) link;
    struct cc_subscription *owner; /* told and not acknowledged; NULL: not */
    int listed;                    /* found again while reading the inbox  */
    int64_t count;
    char id[CC_GAP_ID_MAX];
    char server[CC_SERVER_MAX + 1];
} cc_gap;

typedef struct cc_subscription {
    TAILQ_ENTRY(cc_subscription) of_app;
    TAILQ_ENTRY(cc_subscription) of_client;
    struct cc_app *app;
    cc_client *client;
    struct cc_messages given; /* sorted by seq                        */
    int window;
    int count; /* of `given`                           */
    int watch;
} cc_subscription;

TAILQ_HEAD(cc_subscriptions, cc_subscription);

typedef struct cc_app {
    struct cc_app *next;        /* same bucket                          */
    struct cc_messages pending; /* sorted by seq                        */
    struct cc_messages later;   /* put off; sorted by due               */
    TAILQ_HEAD(, cc_gap) gaps;
    struct cc_subscriptions takers; /* the next one to be served first      */
    struct cc_subscriptions watchers;
    int64_t loaded; /* invariant 2                          */
    int more;
    int incoming; /* of the batch that is being taken     */
    int touched;  /* something came: see to it            */
    size_t pending_count;
    size_t later_count;
    size_t pending_bytes; /* of bodies in memory                  */
    char name[CC_APP_MAX + 1];
} cc_app;

struct cc_client {
    cc_dispatch *dispatch;
    const cc_client_calls *calls;
    void *baton;
    uid_t user; /* who it is                            */
    struct cc_subscriptions subscriptions;
    int subscription_count;
};

/* One change that waits for the next commit. */
typedef enum {
    CC_CHANGE_REMOVE,
    CC_CHANGE_ATTEMPT,
    CC_CHANGE_PUT_OFF,
    CC_CHANGE_REJECT,
    CC_CHANGE_GAP,
    CC_CHANGE_NONE
} cc_change_kind;

typedef struct cc_change {
    cc_change_kind kind;
    cc_settled settled; /* what is told                         */
    cc_client *client;  /* who is told; NULL: nobody            */
    int attempt;
    int receipt; /* REMOVE: report it to the server      */
    int64_t seq;
    int64_t size; /* REMOVE, REJECT: bytes of the body    */
    int64_t due;  /* PUT_OFF: ms since 1970               */
    char *why;    /* REJECT; owned                        */
    char app[CC_APP_MAX + 1];
    char id[CC_ID_MAX + 1];
    char server[CC_SERVER_MAX + 1];
} cc_change;

/* Lines of one kind, of which a server could cause any number. */
typedef struct cc_ration {
    int64_t begun; /* ms, monotonic: of the minute                   */
    int lines;     /* in it                                          */
} cc_ration;

struct cc_dispatch {
    const cc_config *config;
    cc_inbox *inbox;
    struct event *commit_timer;
    struct event *expiry_timer;
    struct event *due_timer; /* of messages that were put off        */
    int64_t next_wake;       /* ms, wall clock: when that is; 0: not set     */
    cc_app *apps[CC_APP_BUCKETS];
    cc_message **table; /* messages by id                       */
    size_t buckets;     /* of it, a power of two                */
    size_t message_count;
    cc_change *changes;
    size_t change_count, change_room;
    struct accepted *accepted; /* of the batch being taken             */
    size_t accepted_room;
    struct cc_shed *shed; /* messages that go with this transaction, over a quota   */
    size_t shed_count, shed_room;
    struct cc_overflow *overflows; /* applications over their quota                */
    int64_t commit_begun;          /* ms, monotonic                                  */
    int64_t commit_cost;           /* ms that the last commit took                    */
    int64_t last_commit;           /* ms, monotonic                        */
    int64_t last_expiry;           /* ms, wall clock                       */
    void (*report_call)(void *baton, const char *server);
    void *report_baton;
    int64_t rejects_said; /* ms, monotonic: the last line about them        */
    size_t rejects;       /* since then                           */
    cc_ration dead_lines; /* lines about messages that are dead   */
    cc_ration gap_lines;  /* and about those that are missing     */
    int failing;          /* the last commit failed               */
    int failing_said;     /* in the log                           */
    int64_t last_failure; /* ms, monotonic                        */
    char trouble[256];    /* why it failed                        */
    int damaged;
};

/* cc_queue_index.c: applications by name, messages in memory by id */
cc_app *cc_queue_find_app(cc_dispatch *d, const char *data, size_t len);
cc_app *cc_queue_get_app(cc_dispatch *d, const char *name);
void cc_queue_release_app(cc_dispatch *d, cc_app *app);
void cc_queue_index(cc_dispatch *d, cc_message *message);
void cc_queue_unindex(cc_dispatch *d, cc_message *message);
cc_message *cc_queue_find(cc_dispatch *d, const char *id, const cc_client *client);
/** That one of two with the same id. */
cc_message *cc_queue_find_seq(cc_dispatch *d, const char *app, const char *id,
                              int64_t seq);

/* cc_queue.c: the messages of an app in memory */
/** 1 when a message that comes now can be held in memory. */
int cc_queue_can_hold(const cc_app *app);
void cc_queue_append(cc_dispatch *d, cc_app *app, const cc_stored *stored);
/** Take it out of all lists and free it. */
void cc_queue_drop(cc_dispatch *d, cc_message *message);
/** All that this subscription was given is to be given again, to others. */
void cc_queue_take_back(cc_dispatch *d, cc_subscription *subscription);
/** It is given again from `due` on. */
void cc_queue_put_off(cc_dispatch *d, cc_message *message, int64_t due);
/** Give what is due by now, and set the timer for what is due next. */
void cc_queue_wake(cc_dispatch *d);
/** This subscription was the last: all that is in memory is let go. Reading it
 *  from the inbox again counts as the next attempt. */
void cc_queue_forget(cc_dispatch *d, cc_app *app, cc_subscription *subscription);
/** Give as much as can be given. */
void cc_queue_pump(cc_dispatch *d, cc_app *app);
/** Read the gaps of the app from the inbox again. */
void cc_queue_read_gaps(cc_dispatch *d, cc_app *app);

/* cc_commit.c: changes that wait, and the transactions that take them along */
cc_change *cc_commit_add(cc_dispatch *d, cc_change_kind kind);
cc_status cc_commit_begin(cc_dispatch *d); /* a transaction              */
cc_status cc_commit_apply(cc_dispatch *d); /* within a transaction       */
/** End the transaction, by commit only when `status` is CC_OK. */
cc_status cc_commit_end(cc_dispatch *d, cc_status status);
/** It was committed, with all changes, or not. */
void cc_commit_applied(cc_dispatch *d, cc_status status);
/** The client goes away: it is not answered any more. */
void cc_commit_forget_client(cc_dispatch *d, const cc_client *client);
/** Take note of how a call of the inbox ended. */
void cc_commit_note(cc_dispatch *d, cc_status status);
/** Say that the inbox can be used again, when it can for a while. */
void cc_commit_look(cc_dispatch *d);
void cc_commit_set_timer(struct event *timer, int64_t ms);
void cc_commit_on_timer(int descriptor, short what, void *dispatch);
void cc_commit_clear(cc_dispatch *d);

/* cc_quota.c */
/** Within a transaction: remove of this application what is over its quota. */
cc_status cc_quota_enforce(cc_dispatch *d, const char *app);
/** The transaction was committed, or not. */
void cc_quota_end(cc_dispatch *d, cc_status status);
/** Say which applications are within their quota again. */
void cc_quota_look(cc_dispatch *d);
void cc_quota_clear(cc_dispatch *d);

#endif
