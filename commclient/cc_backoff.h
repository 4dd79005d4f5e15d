/* SPDX-License-Identifier: Apache-2.0
 * cc_backoff.h - how long to wait before the next try.
 *
 * Full jitter: a random pause between 0 and a bound that begins at one second
 * and doubles up to a minute, so that agents cut off together do not come
 * back together. Pure; the randomness is seeded by the caller.
 */
#ifndef CC_BACKOFF_H
#define CC_BACKOFF_H

#include "cc_compat.h"

#define CC_BACKOFF_FIRST   1000  /* ms, bound of the first pause             */
#define CC_BACKOFF_HIGHEST 60000 /* ms, bound of all later ones              */
#define CC_BACKOFF_OBEYED  86400 /* s of Retry-After that are obeyed         */
#define CC_BACKOFF_SPREAD  1000  /* ms more at most: it names whole seconds  */

typedef struct cc_backoff {
    uint64_t state;    /* of the generator                                  */
    unsigned failures; /* in a row                                          */
} cc_backoff;

void cc_backoff_init(cc_backoff *backoff, uint64_t seed);
/** It worked: the next pause is a first one again. */
void cc_backoff_reset(cc_backoff *backoff);
/** Count a failure. @return milliseconds to wait. */
unsigned cc_backoff_next(cc_backoff *backoff);
/** Pause as long as a server said, and up to a second more at random: agents that
 *  were told the same come back spread, not all with the stroke of the clock.
 *  @param retry_after  s, > 0; more than CC_BACKOFF_OBEYED is that much
 *  @return milliseconds to wait. */
int64_t cc_backoff_obey(cc_backoff *backoff, int64_t retry_after);
/** A random number of 0..bound-1, bound > 0. */
unsigned cc_backoff_random(cc_backoff *backoff, unsigned bound);

#endif
