/* SPDX-License-Identifier: Apache-2.0
 * cs_timer.h - deadlines of many connections: a hashed timing wheel.
 *
 * Setting, moving and clearing a deadline is O(1); so is expiry, for each one
 * that is due. Deadlines are kept to CS_TIMER_TICK. Later than a whole turn of
 * the wheel is allowed: such an entry stays in its slot for another turn.
 *
 * Moving a deadline to a later time costs nothing: the entry stays where it
 * is, fires early, and whoever owns it looks at its real deadline and sets it
 * again. So the owner checks the time when it fires.
 *
 * No locks: the caller serializes.
 */
#ifndef CS_TIMER_H
#define CS_TIMER_H

#include <apr_time.h>

#define CS_TIMER_TICK  apr_time_from_msec(32)
#define CS_TIMER_SLOTS 2048 /* a power of two; one turn is 65 seconds */

typedef struct cs_timer {
    struct cs_timer *next;
    struct cs_timer *previous;
    apr_int64_t tick; /* when it fires; meaningless unless linked */
    int linked;
} cs_timer;

typedef struct cs_timer_wheel {
    cs_timer slots[CS_TIMER_SLOTS];         /* list heads                    */
    apr_uint64_t used[CS_TIMER_SLOTS / 64]; /* one bit a slot with entries   */
    apr_int64_t tick;                       /* all before it have fired      */
    unsigned count;                         /* entries linked                */
} cs_timer_wheel;

void cs_timer_wheel_init(cs_timer_wheel *wheel, apr_time_t now);

/** Fire at `deadline` or, if it was set to an earlier time, then. */
void cs_timer_set(cs_timer_wheel *wheel, cs_timer *timer, apr_time_t deadline);

/** Never fire. Harmless when it is not set. */
void cs_timer_clear(cs_timer_wheel *wheel, cs_timer *timer);

/** Take one that is due off the wheel. @return NULL: none is due (any more). */
cs_timer *cs_timer_take(cs_timer_wheel *wheel, apr_time_t now);

/** Microseconds until something may be due, at most `limit`. */
apr_interval_time_t cs_timer_sleep(const cs_timer_wheel *wheel, apr_time_t now,
                                   apr_interval_time_t limit);

#endif
