/* SPDX-License-Identifier: Apache-2.0
 * cc_dispatch.h - which message goes to which application, and what is known
 * about it.
 *
 * Between the servers (cc_poller), the inbox and the local connections
 * (cc_peer). A batch is committed to the inbox first, then handed to who
 * subscribes, straight from memory. Subscribers of one name compete: each
 * message goes to one of them, in order as far as their windows allow; when
 * one goes away, what it has not acknowledged goes to another. Watchers get
 * copies.
 *
 * Acknowledgements are collected and committed together: at once when little
 * happens, every few milliseconds when much does. Only then are they answered.
 * The same holds for messages that are put off or rejected.
 *
 * Nothing here waits for an application: a connection that has no room is
 * passed over until it says cc_dispatch_ready().
 */
#ifndef CC_DISPATCH_H
#define CC_DISPATCH_H

#include "cc_compat.h"
#include "cc_config.h"
#include "cc_envelope.h"
#include "cc_inbox.h"
#include "cc_status.h"

struct event_base;

#define CC_SUBSCRIPTIONS_MAX 256 /* of one connection                       */

typedef struct cc_dispatch cc_dispatch;
typedef struct cc_client cc_client;

typedef struct cc_delivery {
    const char *id; /* NULL in a copy                                  */
    cc_slice body;  /* as cc_envelope.body                             */
    size_t head_len;
    const char *server;
    int64_t expires; /* ms since 1970, our clock; 0: never; not in a copy */
    int attempt;     /* 1: surely never given before                    */
} cc_delivery;

typedef struct cc_gap_notice {
    const char *id;
    const char *app;
    const char *server;
    int64_t count; /* 0: unknown                                      */
} cc_gap_notice;

/* What became of a message that a client had settled. */
typedef enum { CC_SETTLED_ACKED, CC_SETTLED_NACKED, CC_SETTLED_REJECTED } cc_settled;

/* How a connection is reached. None of these may detach a client, and all
 * only append to what is sent later.                                         */
typedef struct cc_client_calls {
    /* 1: it takes another message now. */
    int (*has_room)(void *baton);
    void (*message)(void *baton, const cc_delivery *delivery);
    /* A copy for a watcher; may be left out when there is no room. */
    void (*copy)(void *baton, const cc_delivery *delivery);
    void (*gap)(void *baton, const cc_gap_notice *gap);
    /* What was asked for this message is on the disk. */
    void (*settled)(void *baton, cc_settled how, const char *id);
} cc_client_calls;

/** `config` and `inbox` must outlive it. */
cc_dispatch *cc_dispatch_create(const cc_config *config, cc_inbox *inbox,
                                struct event_base *base);
/** From now on go by `config`, which must outlive it; `max_message` must be the
 *  same. Subscriptions keep their windows. */
void cc_dispatch_config_set(cc_dispatch *dispatch, const cc_config *config);
/** Commits what is collected. All clients must be detached. */
void cc_dispatch_destroy(cc_dispatch *dispatch);

/* ---- local side ------------------------------------------------------ */

cc_client *cc_dispatch_attach(cc_dispatch *dispatch, const cc_client_calls *calls,
                              void *baton);
/** What it has not acknowledged goes to others. */
void cc_dispatch_detach(cc_client *client);

/* A client is this user, unless said otherwise. What others may do depends on
 * the application (cc_config_may_use): all calls below that are about one
 * return CC_NOT_PERMITTED where they may not.                                 */
void cc_dispatch_user_set(cc_client *client, uid_t user);
/** May it subscribe to this application, settle its messages, publish for it? */
int cc_dispatch_may_use(const cc_client *client, const char *app);
/** 1 when it may use all applications that it has subscribed to; another
 *  configuration can change that. */
int cc_dispatch_may_stay(const cc_client *client);

/**
 * Messages of `app` for this client from now on. They begin to flow with the
 * next cc_dispatch_ready(), so that the caller can answer first. Again for the
 * same name: changes the window.
 * @param window  messages at most unacknowledged; 0: what is configured
 * @param watch   copies only
 * @return CC_OK; CC_TOO_LARGE: too many subscriptions; CC_DUPLICATE: it
 *         watches already and now wants to take, or the reverse; CC_STORAGE.
 */
cc_status cc_dispatch_subscribe(cc_client *client, const char *app, int window,
                                int watch);

/* The three ways to settle a message. It need not have been given to this
 * client. One that is done with already stays so, and is answered all the same.
 * Each returns CC_OK, and calls.settled follows after the commit; CC_NOT_FOUND:
 * there never was one with this id; CC_STORAGE, CC_DAMAGED.                   */

/** A message or a gap is done with. */
cc_status cc_dispatch_acknowledge(cc_client *client, const char *id);

/**
 * A message could not be dealt with now: it is given again, to any subscriber,
 * after a while, and counts as one attempt more. That outlives a restart.
 * @param delay  seconds, up to CC_DELAY_MAX; 0: 0.1 s, doubled with each attempt
 *               up to 10 s
 */
cc_status cc_dispatch_put_off(cc_client *client, const char *id, int delay);

/** A message will never be dealt with: it goes to the dead list.
 *  @param why  for the user; up to 200 bytes of it are kept; NULL: "rejected by
 *              the application" */
cc_status cc_dispatch_reject(cc_client *client, const char *id, const char *why);

/** 1: the inbox cannot be written, and as much waits for it as may: nothing
 *  should be settled now. */
int cc_dispatch_is_clogged(const cc_dispatch *dispatch);

/** The only application that this client has subscribed to.
 *  @return NULL: there is none, or several */
const char *cc_dispatch_only_app(const cc_client *client);

/** It has room again, or has just subscribed. */
void cc_dispatch_ready(cc_client *client);

/* ---- server side ----------------------------------------------------- */

typedef struct cc_intake {
    size_t stored; /* messages that are new                           */
    size_t duplicates;
    size_t buried;  /* that cannot be used                             */
    size_t expired; /* before they arrived                             */
} cc_intake;

/**
 * Take over a batch: commit its messages, its gap and its cursor in one
 * transaction, then hand the messages on.
 * @param skew  ms that the server's clock is ahead of ours
 * @return CC_OK: the cursor may be acknowledged; CC_STORAGE, CC_DAMAGED:
 *         nothing was taken over.
 */
cc_status cc_dispatch_take(cc_dispatch *dispatch, const char *server,
                           const cc_batch *batch, int64_t skew, int64_t now,
                           cc_intake *out_intake);

/** Commit a cursor that came without messages. */
cc_status cc_dispatch_take_cursor(cc_dispatch *dispatch, const char *server,
                                  cc_slice cursor);

/** Put an answer that is no batch on the dead list and go on behind it. */
cc_status cc_dispatch_take_unusable(cc_dispatch *dispatch, const char *server,
                                    cc_slice cursor, const char *why, cc_slice raw,
                                    int64_t now);

/** @return CC_OK, CC_EMPTY: none yet, CC_STORAGE, CC_DAMAGED. */
cc_status cc_dispatch_cursor(cc_dispatch *dispatch, const char *server,
                             char out_cursor[CC_CURSOR_MAX + 1]);

/* ---- reports ----------------------------------------------------------- */

/* Messages with "receipt":true are told to their server when the application
 * has acknowledged them. That they were not yet told is in the inbox, committed
 * with the acknowledgement; what cannot be told for 30 days is forgotten.     */

/** Have `call` called after each commit that brought reports, once for each of
 *  them, with the name of the server. It may only take note (start a timer). */
void cc_dispatch_report_call_set(cc_dispatch *dispatch,
                                 void (*call)(void *baton, const char *server),
                                 void *baton);

/**
 * The oldest ids that this server is to be told, up to CC_REPORTS_MAX.
 * @return CC_OK; CC_EMPTY: none; CC_STORAGE, CC_DAMAGED.
 */
cc_status cc_dispatch_reports(cc_dispatch *dispatch, const char *server,
                              cc_reports *out_reports);

/**
 * The server was told; commits at once.
 * @param last  reports.last of what cc_dispatch_reports() gave
 * @return CC_OK; CC_STORAGE, CC_DAMAGED: they will be given again.
 */
cc_status cc_dispatch_reported(cc_dispatch *dispatch, const char *server, int64_t last);

/** Bytes of a line of the local protocol, without its line feed: the largest
 *  message fits, with what the agent adds. */
size_t cc_dispatch_max_line(const cc_dispatch *dispatch);

/** 1 when the inbox holds as much as it may: do not poll. */
int cc_dispatch_is_full(const cc_dispatch *dispatch);

/** Why the inbox cannot be written now: do not poll, nothing could be taken over.
 *  NULL: it can. It is tried every second until it can. */
const char *cc_dispatch_trouble(const cc_dispatch *dispatch);

/** The last error of the inbox, for a log line. */
const char *cc_dispatch_error(const cc_dispatch *dispatch);

/* ---- the dead list ------------------------------------------------------- */

#define CC_DEAD_ID_MAX 80 /* bytes, with the NUL                             */

/** How an entry is named: by the id of its message, or "dead." and its number
 *  where that is not known. */
void cc_dispatch_dead_id(const cc_dead *dead, char out_id[CC_DEAD_ID_MAX]);

/* Which entries are meant. "" for all ids, "" for all applications; an id may
 * be that of the message, or "dead." and a number. Several entries may have
 * the same id, and are all meant then.                                        */
typedef struct cc_dead_choice {
    const char *id;
    const char *app;
} cc_dead_choice;

/* All of these: CC_STORAGE, CC_DAMAGED, and what they say. CC_NOT_FOUND: an id
 * was given, and there is no such entry.                                      */

/** Call `each` for them, oldest first, without what came. */
cc_status cc_dispatch_dead_list(cc_dispatch *dispatch, const cc_dead_choice *choice,
                                void (*each)(void *baton, const cc_dead *dead),
                                void *baton);

/** Call `each` for the newest of them, with what came. */
cc_status cc_dispatch_dead_get(cc_dispatch *dispatch, const cc_dead_choice *choice,
                               void (*each)(void *baton, const cc_dead *dead),
                               void *baton);

cc_status cc_dispatch_dead_remove(cc_dispatch *dispatch, const cc_dead_choice *choice,
                                  size_t *out_removed);

/**
 * Put them back into the queues of their applications, as they came. They come
 * last there. One that was given before keeps its attempts; one that has
 * expired is given all the same.
 * @param out_left  that cannot be used (as the configuration is now), and stay
 */
cc_status cc_dispatch_dead_retry(cc_dispatch *dispatch, const cc_dead_choice *choice,
                                 int64_t now, size_t *out_retried, size_t *out_left);

/* ---- upkeep and numbers ---------------------------------------------- */

/** Commit the acknowledgements collected so far and answer them. */
cc_status cc_dispatch_commit(cc_dispatch *dispatch);

/** Others that use the inbox say how that went: it is logged when it begins to
 *  fail, and when it works again. */
void cc_dispatch_note(cc_dispatch *dispatch, cc_status status);

/** 1 when the inbox turned out to be damaged: the agent must stop, and finds
 *  a remedy when it is started again. */
int cc_dispatch_is_damaged(const cc_dispatch *dispatch);

typedef struct cc_app_info {
    const char *name;
    unsigned subscribers;
    unsigned watchers;
    int64_t waiting;        /* not given to anybody now                     */
    int64_t unacknowledged; /* given, not acknowledged                      */
    int64_t dead;           /* on the dead list                             */
    int64_t bytes;          /* of the inbox, with CC_INBOX_MESSAGE_COST     */
    int64_t quota;          /* of them; INT64_MAX: none                     */
} cc_app_info;

/** Every application that is known, by name: has a section, has ever subscribed,
 *  has messages here or on the dead list, has watchers. */
void cc_dispatch_apps(cc_dispatch *dispatch,
                      void (*each)(void *baton, const cc_app_info *info), void *baton);

#endif
