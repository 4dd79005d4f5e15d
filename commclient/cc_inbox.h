/* SPDX-License-Identifier: Apache-2.0
 * cc_inbox.h - what was taken over from the servers and not yet by an
 * application, on disk.
 *
 * A SQLite file, written ahead (WAL) with a sync at every commit: when
 * cc_inbox_commit() has returned CC_OK, neither a crash nor a power cut takes
 * the changes back. The agent holds the file for itself alone.
 *
 * It keeps per server the cursor up to which everything is here; the messages;
 * the ids that were here before (until their expiry and a day, so that an
 * application sees a message once); gaps that are not acknowledged; messages
 * that cannot be used or were rejected (the dead); ids whose acknowledgement
 * the server is to be told of; and the names of applications that have ever
 * subscribed, which are told when nobody knows what is missing.
 *
 * The file is not trusted: one that is damaged is set aside and a new one is
 * begun; every value read from it is checked before use.
 *
 * Changes to messages are made between cc_inbox_begin() and cc_inbox_commit(),
 * which writes them. Numbers (messages, bytes) are true again after a rollback.
 */
#ifndef CC_INBOX_H
#define CC_INBOX_H

#include "cc_compat.h"
#include "cc_envelope.h"
#include "cc_name.h"
#include "cc_status.h"

#define CC_INBOX_VERSION      2
#define CC_INBOX_MESSAGE_COST 200   /* bytes a message counts beside its own   */
#define CC_GAP_ID_MAX         32    /* "gap." and a number                     */
#define CC_DELAY_MAX          86400 /* seconds a message may be put off        */
#define CC_REPORTS_MAX        100   /* ids that are reported at once           */

typedef struct cc_inbox cc_inbox;

/**
 * Open or create the file.
 * @param now  ms since 1970
 * @param out_error  text for the user, to be freed; NULL when CC_OK
 * @return CC_OK, also when a damaged file was set aside (logged);
 *         CC_IN_USE: another agent has it open; CC_NEWER; CC_NOT_PERMITTED:
 *         it belongs to another program or user; CC_SYSTEM, CC_STORAGE.
 */
cc_status cc_inbox_open(const char *path, int64_t now, cc_inbox **out_inbox,
                        char **out_error);
void cc_inbox_close(cc_inbox *inbox);

/** Is the file, which must be there, one that cc_inbox_open() would use as it
 *  is? Nothing is set aside or created.
 *  @param out_error  text for the user, to be freed; NULL when CC_OK
 *  @return as cc_inbox_open(), and CC_DAMAGED */
cc_status cc_inbox_verify(const char *path, char **out_error);

/** What went wrong last, for the log; never NULL. */
const char *cc_inbox_error(const cc_inbox *inbox);

/* Each of these returns CC_OK, CC_DAMAGED or CC_STORAGE, and what it says. */

/** Write something that changes nothing: can it be written? Not within a
 *  transaction. */
cc_status cc_inbox_probe(cc_inbox *inbox);

cc_status cc_inbox_begin(cc_inbox *inbox);
cc_status cc_inbox_commit(cc_inbox *inbox);
void cc_inbox_rollback(cc_inbox *inbox);

/** @return CC_EMPTY: there is none yet. */
cc_status cc_inbox_cursor_get(cc_inbox *inbox, const char *server,
                              char out_cursor[CC_CURSOR_MAX + 1]);
cc_status cc_inbox_cursor_set(cc_inbox *inbox, const char *server, cc_slice cursor);

/**
 * Keep a message.
 * @param skew     ms that the server's clock is ahead of ours
 * @param attempt  how often it may have been given once this is committed
 * @return CC_DUPLICATE: it was here before; nothing is kept.
 */
cc_status cc_inbox_add(cc_inbox *inbox, const char *server, const cc_envelope *envelope,
                       int64_t skew, int64_t now, int attempt, int64_t *out_seq);

/**
 * Keep a message that was on the dead list. It does not expire if it has.
 * @param attempt  how often it may have been given before
 * @return CC_DUPLICATE: it never was given, and came again another way.
 */
cc_status cc_inbox_restore(cc_inbox *inbox, const char *server,
                           const cc_envelope *envelope, int64_t now, int attempt,
                           int64_t *out_seq);

/** Forget a message that is done with.
 *  @param size  bytes of its body
 *  @return CC_EMPTY: it is gone already. */
cc_status cc_inbox_remove(cc_inbox *inbox, const char *app, int64_t seq, int64_t size);

/** Remember how often a message was given. */
cc_status cc_inbox_attempt_set(cc_inbox *inbox, const char *app, int64_t seq,
                               int attempt);

/** It is not to be given before `due` (ms since 1970, our clock).
 *  @return CC_EMPTY: it is gone. */
cc_status cc_inbox_put_off(cc_inbox *inbox, const char *app, int64_t seq, int64_t due);

/* Where a message lies, and what is known of it. */
typedef struct cc_place {
    int64_t seq;
    int64_t size; /* bytes of its body                                   */
    int attempt;  /* times it may have been given before                 */
    int receipt;  /* its server wants to know of the acknowledgement     */
    char app[CC_APP_MAX + 1];
    char server[CC_SERVER_MAX + 1];
} cc_place;

/** Where the message with this id lies.
 *  @return CC_OK; CC_EMPTY: it was here and is done with; CC_NOT_FOUND: never
 *          heard of it. */
cc_status cc_inbox_find(cc_inbox *inbox, const char *id, cc_place *out_place);

typedef struct cc_stored {
    int64_t seq;
    const char *id;
    const char *server;
    int64_t expires; /* ms since 1970, our clock; 0: never                  */
    int64_t due;     /* the same; not to be given before; 0: at once        */
    int attempt;     /* times it may have been given before                 */
    int receipt;     /* its server wants to know of the acknowledgement     */
    cc_slice body;
    size_t head_len;
} cc_stored;

/**
 * Read the messages of `app` after `after`, oldest first, and mark them as
 * given, all in one transaction of its own. Those that are put off are read,
 * too, but not marked.
 * @param now   ms since 1970
 * @param each  called for each before the commit; the slices live until it
 *              returns
 * @return CC_OK; CC_EMPTY: there is none.
 */
cc_status cc_inbox_load(cc_inbox *inbox, const char *app, int64_t after, int64_t now,
                        int limit, size_t max_bytes,
                        void (*each)(void *baton, const cc_stored *stored), void *baton);

/** Read one message again. `each` as above.
 *  @return CC_EMPTY: it is gone. */
cc_status cc_inbox_read(cc_inbox *inbox, const char *app, int64_t seq,
                        void (*each)(void *baton, const cc_stored *stored), void *baton);

/* What an application takes of the inbox. */
typedef struct cc_app_usage {
    const char *app;
    int64_t messages; /* that are not done with                           */
    int64_t bytes;    /* with CC_INBOX_MESSAGE_COST for each              */
} cc_app_usage;

void cc_inbox_app_usage(const cc_inbox *inbox, const char *app, cc_app_usage *out_usage);

/** Call `each` for every application that has messages here. */
void cc_inbox_apps(const cc_inbox *inbox,
                   void (*each)(void *baton, const cc_app_usage *usage), void *baton);

/**
 * Remove the oldest messages of an application until it takes no more than
 * `most` bytes. Those added in the same transaction stay.
 * @param drop  asked for each; 0: this one stays
 */
cc_status cc_inbox_shed(cc_inbox *inbox, const char *app, int64_t most,
                        int (*drop)(void *baton, const cc_stored *stored), void *baton);

/** 1 when less than half of the bytes that the usage tells is of messages that
 *  are not done with: those can be had back. */
int cc_inbox_is_sparse(const cc_inbox *inbox);

/** Take out of the file what is done with. In a transaction of its own. */
cc_status cc_inbox_compact(cc_inbox *inbox);

/* ---- the dead list ----------------------------------------------------- */

typedef struct cc_dead {
    int64_t number;     /* of this entry; greater than that of older ones    */
    int64_t time;       /* ms since 1970, when it was put there              */
    int64_t size;       /* bytes of what came                                */
    int attempt;        /* times it may have been given before               */
    const char *server; /* "": not known, as with the next two               */
    const char *app;
    const char *id;
    const char *reason;
    cc_slice raw; /* the object as it came; empty in a list            */
} cc_dead;

/** Put what cannot be used on the dead list; the oldest make room. */
cc_status cc_inbox_bury(cc_inbox *inbox, const char *server, cc_slice app, cc_slice id,
                        const char *why, cc_slice raw, int64_t now);

/** Move a message from its application to the dead list.
 *  @param size  bytes of its body
 *  @return CC_EMPTY: it is gone. */
cc_status cc_inbox_reject(cc_inbox *inbox, const char *app, int64_t seq, int64_t size,
                          const char *why, int64_t now);

/** All of them, oldest first. The texts live until `each` returns, which may
 *  change nothing. */
cc_status cc_inbox_dead_list(cc_inbox *inbox,
                             void (*each)(void *baton, const cc_dead *dead), void *baton);

/** How many of each application there are. */
cc_status cc_inbox_dead_apps(cc_inbox *inbox,
                             void (*each)(void *baton, const char *app, int64_t count),
                             void *baton);

/** One of them, with what came. @return CC_EMPTY: it is not there. */
cc_status cc_inbox_dead_get(cc_inbox *inbox, int64_t number,
                            void (*each)(void *baton, const cc_dead *dead), void *baton);

/** @return CC_EMPTY: it is not there. */
cc_status cc_inbox_dead_remove(cc_inbox *inbox, int64_t number);

/* ---- reports ----------------------------------------------------------- */

/** Its server is to be told that this message was acknowledged. The oldest
 *  reports make room; what could not be told for 30 days is forgotten. */
cc_status cc_inbox_report_add(cc_inbox *inbox, const char *server, const char *id,
                              int64_t now);

typedef struct cc_reports {
    size_t count;
    int64_t last; /* number of the last one                              */
    char ids[CC_REPORTS_MAX][CC_ID_MAX + 1];
} cc_reports;

/** The oldest that this server is to be told. @return CC_EMPTY: none. */
cc_status cc_inbox_report_list(cc_inbox *inbox, const char *server,
                               cc_reports *out_reports);

/** It was told all up to the one with this number. */
cc_status cc_inbox_report_remove(cc_inbox *inbox, const char *server, int64_t last);

/* ---- gaps and names ---------------------------------------------------- */

/** Remember that messages are missing; adds to a gap not yet acknowledged,
 *  which gets a new id by that. */
cc_status cc_inbox_gap_add(cc_inbox *inbox, const char *server, const char *app,
                           int64_t count);
/** The same for every application that has subscribed before, count unknown. */
cc_status cc_inbox_gap_add_unknown(cc_inbox *inbox, const char *server);
cc_status cc_inbox_gap_remove(cc_inbox *inbox, const char *id);
/** Whose gap it is. @return CC_EMPTY: there is none with this id. */
cc_status cc_inbox_gap_app(cc_inbox *inbox, const char *id, char out_app[CC_APP_MAX + 1]);
/** @param count  messages missing; 0: unknown */
cc_status cc_inbox_gaps(cc_inbox *inbox, const char *app,
                        void (*each)(void *baton, const char *server, const char *id,
                                     int64_t count),
                        void *baton);

/** Remember that this application has subscribed. */
cc_status cc_inbox_app_add(cc_inbox *inbox, const char *app);
/** All that have. */
cc_status cc_inbox_app_names(cc_inbox *inbox, void (*each)(void *baton, const char *app),
                             void *baton);

/** Drop messages and ids whose time is over. In a transaction of its own.
 *  @param out_dropped  messages that went unread */
cc_status cc_inbox_expire(cc_inbox *inbox, int64_t now, int64_t *out_dropped);
/** When the next message expires; INT64_MAX: none does. */
int64_t cc_inbox_next_expiry(const cc_inbox *inbox);

typedef struct cc_inbox_usage {
    int64_t messages;
    int64_t bytes; /* with CC_INBOX_MESSAGE_COST for each                 */
    int64_t dead;
} cc_inbox_usage;

void cc_inbox_usage_get(const cc_inbox *inbox, cc_inbox_usage *out_usage);

#endif
