/* SPDX-License-Identifier: Apache-2.0
 * cc_run.h - messages of one application that arrived together, as one row.
 *
 * Writing each message as a row of its own costs more than all else that the
 * agent does with it. So the messages of an application in one transaction
 * are one run: their bodies are packed into one blob that is written once and
 * never changed, and beside it lies one byte for each, its state: how often
 * it may have been given (up to CC_RUN_ATTEMPTS), or CC_RUN_DONE. When all
 * are done the run is deleted.
 *
 * The message with number `i` of a run has the sequence first + i. Runs keep
 * CC_RUN_MAX sequences free for themselves, whatever they use.
 *
 * A record within a run's blob, numbers in the byte order of the machine:
 *
 *   [ u32 bytes that follow | i64 expires | u32 head_len | u8 id length |
 *     id | body ]
 *
 * The highest bit of head_len says that the server wants to be told when the
 * message is acknowledged.
 *
 * When much of what lies in the runs is done with, while single messages hold
 * them there, cc_inbox_compact() writes them anew, with empty records in place
 * of those that are done.
 *
 * Runs that a transaction touches are held open until its commit, which
 * writes them, or its rollback, which forgets them.
 */
#ifndef CC_RUN_H
#define CC_RUN_H

#include "cc_compat.h"
#include "cc_inbox.h"
#include "cc_memory.h"

#include <sqlite3.h>

#define CC_RUN_MAX      1024       /* messages of a run, and sequences of it  */
#define CC_RUN_BYTES    (1u << 20) /* bytes after which a run takes no more   */
#define CC_RUN_DONE     255
#define CC_RUN_ATTEMPTS 254

typedef struct cc_run {
    char app[CC_APP_MAX + 1];
    char server[CC_SERVER_MAX + 1]; /* of new ones                            */
    int64_t first;
    int64_t size;    /* bytes of all bodies, the done included */
    int64_t expires; /* the earliest, of new ones and when
                                       has_expiry is set; 0: never            */
    int has_expiry;
    cc_buffer state; /* a byte a message                       */
    cc_buffer body;  /* of new ones                            */
    int is_new;
    int is_dirty;
} cc_run;

/* The runs that the transaction has touched. */
typedef struct cc_runs {
    cc_run *list;
    size_t count;
    size_t room;
} cc_runs;

/* A run as it is read: `blob` holds what is not read yet. */
typedef struct cc_run_reading {
    cc_slice blob;
    cc_slice state;
    int64_t first;
    size_t next; /* number of the next record                    */
    char server[CC_SERVER_MAX + 1];
    char id[CC_ID_MAX + 1]; /* of the last record                           */
} cc_run_reading;

/** Read the run of a row with the columns seq, server, body, size, state.
 *  @return CC_OK, CC_DAMAGED */
cc_status cc_run_read_begin(sqlite3_stmt *statement, cc_run_reading *r);
/** Read the next record; what it points to lives as long as the row.
 *  @return CC_OK; CC_EMPTY: that was the last; CC_DAMAGED: nobody wrote it so. */
cc_status cc_run_read_next(cc_run_reading *r, cc_stored *out_stored);
/** Add a record without anything, of a message that is done with. */
void cc_run_pack_empty(cc_buffer *body);
/** Note what is wrong. @return CC_DAMAGED; CC_STORAGE: it could not be read */
cc_status cc_run_damaged(cc_inbox *inbox);

/** All of these within a transaction; they return CC_OK, CC_STORAGE or
 *  CC_DAMAGED, and what they say. */

/** Add a message to the run that is being made for its application. */
cc_status cc_run_add(cc_inbox *inbox, const char *server, const cc_envelope *envelope,
                     int64_t expires, int attempt, int64_t *out_seq);

/** The run of a message, held open from now on. @return CC_EMPTY: it is gone. */
cc_status cc_run_find(cc_inbox *inbox, const char *app, int64_t seq, cc_run **out_run);
/** Hold a run open, as yet without its messages. The pointer lives until the next
 *  one is opened. */
cc_run *cc_run_open(cc_inbox *inbox, const char *app, size_t app_len, int64_t first);

/** Set the state of a message that is not done with; not to CC_RUN_DONE. */
void cc_run_state_set(cc_run *run, int64_t seq, unsigned char state);
/** A message is done with that was not.
 *  @param size  bytes of its body */
cc_status cc_run_finish(cc_inbox *inbox, cc_run *run, int64_t seq, int64_t size);

/** Add up, for all and for each application, what is in the runs. */
cc_status cc_run_count(cc_inbox *inbox);

/** Mark as done what has expired. */
cc_status cc_run_expire(cc_inbox *inbox, int64_t now, int64_t *out_dropped);

/** Write all that was touched. */
cc_status cc_run_flush(cc_inbox *inbox);

/** Forget all that was touched. */
void cc_run_forget(cc_inbox *inbox);

#endif
