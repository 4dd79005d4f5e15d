/* SPDX-License-Identifier: Apache-2.0
 * cc_link.h - news of the network and of sleep.
 *
 * A connection that is held for a minute can die without notice: while the
 * machine sleeps, and when its address changes. The kernel tells of the latter
 * (netlink); a sleep shows in the two clocks of which only one goes on meanwhile.
 */
#ifndef CC_LINK_H
#define CC_LINK_H

#include "cc_compat.h"

struct event_base;

#define CC_WAKE_SLEEP 2000 /* ms; a shorter sleep harms no connection          */
#define CC_WAKE_QUIET 1000 /* ms after a change: others go with it             */
#define CC_WAKE_LEAST 5000 /* ms between two times that all is made anew       */

typedef enum {
    CC_WAKE_NOTHING,
    CC_WAKE_CHANGED, /* the network changed                                   */
    CC_WAKE_SLEPT
} cc_wake_reason;

/* What is remembered from one look to the next.                              */
typedef struct cc_wake {
    int64_t asleep;  /* ms that the machine has slept, at the last look       */
    int64_t changed; /* ms, when the network changed first; 0: nothing to do  */
    int64_t acted;   /* ms, when something was said last; 0: never            */
    int slept;       /* not yet said                                          */
} cc_wake;

/* Pure. Times are ms: `boottime` of the clock that goes on in a sleep,
 * `monotonic` of the one that does not. */
void cc_wake_init(cc_wake *wake, int64_t boottime, int64_t monotonic);
void cc_wake_note_change(cc_wake *wake, int64_t boottime);
/** To be asked every second or so. @return what to act on now */
cc_wake_reason cc_wake_look(cc_wake *wake, int64_t boottime, int64_t monotonic);

typedef struct cc_link cc_link;

/** `changed` is called from the event loop when addresses or routes change.
 *  @return NULL: the kernel does not tell (a sandbox), errno says why */
cc_link *cc_link_open(struct event_base *base, void (*changed)(void *baton), void *baton);
void cc_link_close(cc_link *link);

/** Would a connection to `peer` now go from another address than `local`?
 *  @param local, peer  texts of IPv4 or IPv6 addresses
 *  @return 1: yes; 0: no, or `peer` cannot be reached at all, where to wait is
 *          all that can be done */
int cc_link_is_moved(const char *local, const char *peer);

#endif
