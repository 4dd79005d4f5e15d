/* SPDX-License-Identifier: Apache-2.0
 * cc_seen.h - the ids that were here before.
 *
 * Ids are random: putting each into its place in a table at once would change
 * as many pages of the file as there are messages. So those of a transaction
 * are appended as one row of `fresh` and held in memory; when there are
 * CC_FRESH_MAX they are sorted into `seen`, many to a page.
 *
 * An id is nearly always a new one. A Bloom filter over all that is in `seen`
 * says so without looking: what it does not know was never here. Up to about
 * a million ids it is wrong once in a hundred, beyond that more often, which
 * costs time only.
 */
#ifndef CC_SEEN_H
#define CC_SEEN_H

#include "cc_compat.h"
#include "cc_inbox.h"
#include "cc_memory.h"

#define CC_FRESH_MAX   16384
#define CC_FILTER_BITS (1u << 23) /* a megabyte                               */

/* An id in memory. */
typedef struct cc_fresh_id {
    struct cc_fresh_id *next; /* same bucket                                  */
    int64_t day;              /* of `seen`                                    */
    char id[CC_ID_MAX + 1];
    char server[CC_SERVER_MAX + 1];
} cc_fresh_id;

typedef struct cc_fresh {
    cc_fresh_id **buckets; /* CC_FRESH_MAX of them                         */
    cc_fresh_id **ids;     /* in the order in which they came              */
    size_t count;
    size_t committed; /* of them; the others are of the transaction   */
    size_t room;
    unsigned char *filter; /* of the ids in `seen`                         */
    int is_merged;         /* all were sorted into `seen`, not committed   */
} cc_fresh;

/** Read `fresh` into memory. @return CC_OK, CC_DAMAGED, CC_STORAGE */
cc_status cc_seen_open(cc_inbox *inbox);
void cc_seen_close(cc_inbox *inbox);

/** Remember an id.
 *  @param expires  of its message, by the server; 0: never
 *  @return CC_OK; CC_DUPLICATE: it was here before. */
cc_status cc_seen_add(cc_inbox *inbox, const char *server, cc_slice id, int64_t expires,
                      int64_t now);

/** @return CC_OK: some server's message with this id was here; CC_EMPTY. */
cc_status cc_seen_find(cc_inbox *inbox, const char *id);

/** Forget the ids whose time is over. */
cc_status cc_seen_expire(cc_inbox *inbox, int64_t now);

/** Write those of the transaction. */
cc_status cc_seen_flush(cc_inbox *inbox);
/** The transaction was committed, or not. */
void cc_seen_committed(cc_inbox *inbox);
void cc_seen_rolled_back(cc_inbox *inbox);

#endif
