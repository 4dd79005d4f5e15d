/* SPDX-License-Identifier: Apache-2.0
 * csq_everything.h - every operation of csq.h on the segment of the fixture,
 * drawn from a seed: for what damages it, check_csq_damage.c and the fuzz
 * target of the segment. Statuses are not looked at: on a damaged segment each
 * is right.
 */
#ifndef CSQ_EVERYTHING_H
#define CSQ_EVERYTHING_H

#include "csq_fixture.h"

/** The same from one run to the next: secret, ids and clock follow from it. */
void everything_begin(unsigned seed);
/** Clock and ids only. */
void everything_again(unsigned seed);
/** Claim a slot for those who wait. */
void everything_claim(void);
/** Do so, and make a segment with something of all kinds. */
void everything_fill(unsigned *seed);
/** Publish, join, read, acknowledge, withdraw, expire and more. */
void everything_step(unsigned *seed);

csq_slot *everything_slot(void);
/** The message with a receipt that was published last. */
csq_message_key *everything_message(void);

#endif
