/* SPDX-License-Identifier: Apache-2.0
 * board.h - what was said to be taken, what was given, what was acknowledged:
 * written down by all processes of the test in memory that outlives each of
 * them, and judged.
 *
 * A message is named by its publisher and a serial number, which its payload
 * carries. It goes to one or more queues, each with one reader at a time. The
 * entries of a publisher are written by it alone, what a queue did by the one
 * that reads it.
 */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

#define BOARD_PUBLISHERS 6
#define BOARD_QUEUES     6
#define BOARD_SERIALS    200000

enum board_state {
    BOARD_UNUSED,
    BOARD_BEGUN,
    BOARD_ACCEPTED, /* its publisher was told so: it must arrive               */
    BOARD_REFUSED,  /* was told that it is not queued: it must not arrive      */
    BOARD_UNKNOWN   /* was told nothing: it may arrive, once                   */
};

typedef struct board board;

/** Empty, shared with all processes forked from now on. */
board *board_make(void);
void board_unmake(board *b);

/** A publisher is about to publish to these queues (bits).
 *  @return its serial number; -1: there is no room for more */
int board_begin(board *b, int publisher, unsigned queues);
void board_end(board *b, int publisher, int serial, enum board_state state);

/** A queue's reader was given it. attempt 0: that is not told. */
void board_arrive(board *b, int queue, int publisher, int serial, int attempt);
/** It is about to acknowledge, and: was told that this is on the disk. */
void board_acknowledging(board *b, int queue, int publisher, int serial);
void board_acknowledged(board *b, int queue, int publisher, int serial);

/** Messages that have to arrive somewhere, or to be acknowledged there. */
unsigned board_open(const board *b);
/** After the end: complain of what is lost or came though it was refused. */
void board_judge(board *b);

/** Something is wrong; the first is kept. */
void board_complain(board *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** NULL: nobody has complained. */
const char *board_complaint(const board *b);

typedef struct board_totals {
    unsigned accepted, refused, unknown; /* messages                            */
    unsigned arrived, acknowledged;      /* of a message, in each of its queues  */
    unsigned again;                      /* arrivals after the first             */
} board_totals;

board_totals board_sum(const board *b);

#endif
