/* SPDX-License-Identifier: Apache-2.0
 * csq_repair.h - the parts of a repair (csq_repair.c). Not for others. All locks
 * are held.
 */
#ifndef CSQ_REPAIR_H
#define CSQ_REPAIR_H

#include "csq_private.h"

#define CSQ_MARK_USED   1
#define CSQ_MARK_LINKED 2
#define CSQ_MARK_HEAD   4 /* the first of its chain                      */

typedef struct csq_repairing {
    csq *q;
    uint8_t *marks; /* of each chunk, by number                    */
    int damaged;
} csq_repairing;

/** Mark a chain of exactly n chunks. 0: it is not one, nothing was marked. */
int csq_repair_chain(csq_repairing *r, uint32_t head, uint32_t n);

/* ---- csq_repair_queue.c ------------------------------------------------- */

/** Mark an origin, the first time, and count who names it. 0: it is none. */
int csq_repair_hold_origin(csq_repairing *r, uint32_t number);
/** Clients of a shard, their queues, messages and entries. */
void csq_repair_clients(csq_repairing *r, unsigned shard);

/* ---- csq_repair_group.c, csq_repair_receipt.c ---------------------------- */

/** Groups, and clients that have neither a queue nor a group; when all clients
 *  are marked. */
void csq_repair_groups(csq_repairing *r);
/** Receipts; when all messages are marked. */
void csq_repair_receipts(csq_repairing *r);

#endif
