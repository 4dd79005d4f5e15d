/* SPDX-License-Identifier: Apache-2.0
 * board.c - see board.h.
 */
#include "board.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

typedef struct place {
    uint8_t arrived; /* times, 255: more                            */
    uint8_t acknowledging;
    uint8_t acknowledged;
} place;

typedef struct entry {
    uint8_t state;
    uint8_t queues;
    place places[BOARD_QUEUES];
} entry;

struct board {
    int complaints;
    char complaint[512];
    int serials[BOARD_PUBLISHERS];
    int newest[BOARD_PUBLISHERS][BOARD_QUEUES]; /* serial + 1 that came first last */
    entry entries[BOARD_PUBLISHERS][BOARD_SERIALS];
};

board *board_make(void)
{
    void *made = mmap(NULL, sizeof(board), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return made == MAP_FAILED ? NULL : made;
}

void board_unmake(board *b)
{
    munmap(b, sizeof(board));
}

void board_complain(board *b, const char *format, ...)
{
    va_list arguments;

    if (__atomic_fetch_add(&b->complaints, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    va_start(arguments, format);
    vsnprintf(b->complaint, sizeof b->complaint, format, arguments);
    va_end(arguments);
}

const char *board_complaint(const board *b)
{
    return __atomic_load_n(&b->complaints, __ATOMIC_ACQUIRE) ? b->complaint : NULL;
}

int board_begin(board *b, int publisher, unsigned queues)
{
    int serial = b->serials[publisher];
    entry *e = &b->entries[publisher][serial];

    if (serial == BOARD_SERIALS)
        return -1;
    e->queues = (uint8_t)queues;
    __atomic_store_n(&e->state, BOARD_BEGUN, __ATOMIC_RELEASE);
    __atomic_store_n(&b->serials[publisher], serial + 1, __ATOMIC_RELEASE);
    return serial;
}

void board_end(board *b, int publisher, int serial, enum board_state state)
{
    __atomic_store_n(&b->entries[publisher][serial].state, (uint8_t)state,
                     __ATOMIC_RELEASE);
}

static place *place_of(board *b, int queue, int publisher, int serial)
{
    entry *e;

    if (publisher < 0 || publisher >= BOARD_PUBLISHERS || serial < 0
        || serial >= __atomic_load_n(&b->serials[publisher], __ATOMIC_ACQUIRE)) {
        board_complain(b, "queue %d was given %d/%d, which nobody published", queue,
                       publisher, serial);
        return NULL;
    }
    e = &b->entries[publisher][serial];
    if (!(e->queues >> queue & 1)) {
        board_complain(b, "queue %d was given %d/%d, which is for queues %x", queue,
                       publisher, serial, e->queues);
        return NULL;
    }
    return &e->places[queue];
}

void board_arrive(board *b, int queue, int publisher, int serial, int attempt)
{
    place *at = place_of(b, queue, publisher, serial);

    if (!at)
        return;
    if (at->acknowledged)
        board_complain(b, "queue %d was given %d/%d again after it was acknowledged",
                       queue, publisher, serial);
    if (at->arrived && attempt == 1)
        board_complain(b, "queue %d was given %d/%d twice with attempt 1", queue,
                       publisher, serial);
    if (!at->arrived && serial < b->newest[publisher][queue] - 1)
        board_complain(b, "queue %d was given %d/%d after %d/%d", queue, publisher,
                       serial, publisher, b->newest[publisher][queue] - 1);
    if (serial >= b->newest[publisher][queue])
        b->newest[publisher][queue] = serial + 1;
    at->arrived += at->arrived < 255;
}

void board_acknowledging(board *b, int queue, int publisher, int serial)
{
    place *at = place_of(b, queue, publisher, serial);

    if (at)
        at->acknowledging = 1;
}

void board_acknowledged(board *b, int queue, int publisher, int serial)
{
    place *at = place_of(b, queue, publisher, serial);

    if (at)
        at->acknowledged = 1;
}

/* An acknowledgement whose answer nobody read may have been taken. */
static int is_open(const place *at)
{
    return !at->arrived || !(at->acknowledged || at->acknowledging);
}

typedef void visitor(board *b, int publisher, int serial, int queue, void *data);

/* Each queue of each message. */
static void visit(const board *b, visitor *look, void *data)
{
    int p, s, q;

    for (p = 0; p < BOARD_PUBLISHERS; p++)
        for (s = 0; s < b->serials[p]; s++)
            for (q = 0; q < BOARD_QUEUES; q++)
                if (b->entries[p][s].queues >> q & 1)
                    look((board *)b, p, s, q, data);
}

static void count_open(board *b, int p, int s, int q, void *data)
{
    const entry *e = &b->entries[p][s];

    *(unsigned *)data += e->state == BOARD_ACCEPTED && is_open(&e->places[q]);
}

unsigned board_open(const board *b)
{
    unsigned open = 0;

    visit(b, count_open, &open);
    return open;
}

static void judge(board *b, int p, int s, int q, void *data)
{
    const entry *e = &b->entries[p][s];
    const place *at = &e->places[q];

    (void)data;
    if (e->state == BOARD_ACCEPTED && !at->arrived)
        board_complain(b, "%d/%d was accepted and never came to queue %d", p, s, q);
    else if (e->state == BOARD_ACCEPTED && is_open(at))
        board_complain(b, "%d/%d was not given to queue %d again", p, s, q);
    if (e->state == BOARD_REFUSED && at->arrived)
        board_complain(b, "%d/%d was refused and came to queue %d", p, s, q);
}

void board_judge(board *b)
{
    visit(b, judge, NULL);
}

static void add_place(board *b, int p, int s, int q, void *data)
{
    const place *at = &b->entries[p][s].places[q];
    board_totals *totals = data;

    totals->arrived += at->arrived > 0;
    totals->acknowledged += at->acknowledged;
    totals->again += at->arrived > 1 ? at->arrived - 1 : 0;
}

board_totals board_sum(const board *b)
{
    board_totals totals = { 0 };
    int p, s;

    for (p = 0; p < BOARD_PUBLISHERS; p++)
        for (s = 0; s < b->serials[p]; s++) {
            totals.accepted += b->entries[p][s].state == BOARD_ACCEPTED;
            totals.refused += b->entries[p][s].state == BOARD_REFUSED;
            totals.unknown += b->entries[p][s].state == BOARD_UNKNOWN
                              || b->entries[p][s].state == BOARD_BEGUN;
        }
    visit(b, add_place, &totals);
    return totals;
}
