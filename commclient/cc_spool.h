/* SPDX-License-Identifier: Apache-2.0
 * cc_spool.h - the table of messages that wait to be published, in the inbox.
 *
 * Rows are only added and removed. They are not trusted: what is read back is
 * checked as if an application had sent it.
 *
 * cc_spool_add() and cc_spool_remove() belong between cc_inbox_begin() and
 * cc_inbox_commit().
 */
#ifndef CC_SPOOL_H
#define CC_SPOOL_H

#include "cc_compat.h"
#include "cc_inbox.h"
#include "cc_memory.h"
#include "cc_publication.h"
#include "cc_status.h"

typedef struct cc_spool cc_spool;

typedef struct cc_spooled {
    int64_t seq;
    const char *server;
    const char *app;
    const char *key;     /* Idempotency-Key, without quotes                */
    const char *place;   /* as cc_publication.place                        */
    const char *type;    /* Content-Type, "": none                         */
    const char *topic;   /* "": none                                       */
    const char *urgency; /* "": none                                       */
    int receipt;
    int64_t ttl;     /* s, as it was given; -1: not given                  */
    int64_t expires; /* ms since 1970; 0: never                            */
    cc_slice body;
    size_t size; /* bytes of the body; set by cc_spool_list() too          */
} cc_spooled;

/** `inbox` must outlive it.
 *  @return CC_OK, CC_STORAGE, CC_DAMAGED; cc_inbox_error() says more. */
cc_status cc_spool_open(cc_inbox *inbox, cc_spool **out_spool);
void cc_spool_close(cc_spool *spool);

/** @return CC_OK, CC_STORAGE, CC_DAMAGED; also cc_spool_remove(). */
cc_status cc_spool_add(cc_spool *spool, const cc_spooled *message);
cc_status cc_spool_remove(cc_spool *spool, int64_t seq);

/** Call `each` for every message, oldest first, without its body.
 *  @param each  what it is given lives until it returns
 *  @return CC_OK; CC_STORAGE, CC_DAMAGED. */
cc_status cc_spool_list(cc_spool *spool,
                        void (*each)(void *baton, const cc_spooled *message),
                        void *baton);

/** Read one message with its body; `each` as above.
 *  @return CC_OK; CC_EMPTY: it is not there; CC_MALFORMED: it is not as
 *          cc_spool_add() wrote it; CC_STORAGE, CC_DAMAGED. */
cc_status cc_spool_read(cc_spool *spool, int64_t seq,
                        void (*each)(void *baton, const cc_spooled *message),
                        void *baton);

#endif
