/* SPDX-License-Identifier: Apache-2.0
 * cs_timer.c - the timing wheel; see cs_timer.h.
 *
 * Entries of one slot are in no order: a slot is 32 ms wide and its entries
 * differ by whole turns, so it is walked as a whole when its time comes.
 */
#include "cs_compat.h"

#include "cs_timer.h"

#include <stddef.h>
#include <string.h>

static unsigned slot_of(apr_int64_t tick)
{
    return (unsigned)(tick & (CS_TIMER_SLOTS - 1));
}

static void mark_slot(cs_timer_wheel *wheel, unsigned slot, int used)
{
    apr_uint64_t bit = (apr_uint64_t)1 << (slot % 64);

    if (used) {
        wheel->used[slot / 64] |= bit;
    }
    else {
        wheel->used[slot / 64] &= ~bit;
    }
}

void cs_timer_wheel_init(cs_timer_wheel *wheel, apr_time_t now)
{
    unsigned i;

    memset(wheel, 0, sizeof(*wheel));
    for (i = 0; i < CS_TIMER_SLOTS; i++) {
        wheel->slots[i].next = wheel->slots[i].previous = &wheel->slots[i];
    }
    wheel->tick = now / CS_TIMER_TICK;
}

void cs_timer_clear(cs_timer_wheel *wheel, cs_timer *timer)
{
    unsigned slot = slot_of(timer->tick);

    if (!timer->linked) {
        return;
    }
    timer->previous->next = timer->next;
    timer->next->previous = timer->previous;
    timer->linked = 0;
    wheel->count--;
    if (wheel->slots[slot].next == &wheel->slots[slot]) {
        mark_slot(wheel, slot, 0);
    }
}

void cs_timer_set(cs_timer_wheel *wheel, cs_timer *timer, apr_time_t deadline)
{
    /* Rounded up, so that it never fires before its deadline. */
    apr_int64_t tick = (deadline + CS_TIMER_TICK - 1) / CS_TIMER_TICK;
    cs_timer *head;

    if (tick < wheel->tick) {
        tick = wheel->tick;
    }
    if (timer->linked) {
        if (timer->tick <= tick) {
            return;
        }
        cs_timer_clear(wheel, timer);
    }
    head = &wheel->slots[slot_of(tick)];
    timer->tick = tick;
    timer->previous = head->previous;
    timer->next = head;
    head->previous->next = timer;
    head->previous = timer;
    timer->linked = 1;
    wheel->count++;
    mark_slot(wheel, slot_of(tick), 1);
}

static cs_timer *due_in_slot(cs_timer *head, apr_int64_t tick)
{
    cs_timer *timer;

    for (timer = head->next; timer != head; timer = timer->next) {
        if (timer->tick <= tick) {
            return timer;
        }
    }
    return NULL;
}

/* Ticks from `tick` to the next slot that has entries, at most a turn. */
static apr_int64_t ticks_to_used(const cs_timer_wheel *wheel, apr_int64_t tick)
{
    apr_int64_t step = 0;

    while (step < CS_TIMER_SLOTS) {
        unsigned slot = slot_of(tick + step);
        apr_uint64_t word = wheel->used[slot / 64] >> (slot % 64);

        if (word != 0) {
            return step + __builtin_ctzll(word);
        }
        step += 64 - slot % 64;
    }
    return CS_TIMER_SLOTS;
}

cs_timer *cs_timer_take(cs_timer_wheel *wheel, apr_time_t now)
{
    apr_int64_t last = now / CS_TIMER_TICK;

    while (wheel->count > 0 && wheel->tick <= last) {
        apr_int64_t next = wheel->tick + ticks_to_used(wheel, wheel->tick);
        cs_timer *timer;

        if (next > last) {
            break;
        }
        wheel->tick = next;
        timer = due_in_slot(&wheel->slots[slot_of(next)], next);
        if (timer != NULL) {
            cs_timer_clear(wheel, timer);
            return timer;
        }
        wheel->tick = next + 1;
    }
    if (wheel->tick <= last) {
        wheel->tick = last + 1;
    }
    return NULL;
}

apr_interval_time_t cs_timer_sleep(const cs_timer_wheel *wheel, apr_time_t now,
                                   apr_interval_time_t limit)
{
    apr_interval_time_t until;

    if (wheel->count == 0) {
        return limit;
    }
    until = (wheel->tick + ticks_to_used(wheel, wheel->tick)) * CS_TIMER_TICK - now;
    if (until < 0) {
        return 0;
    }
    return until < limit ? until : limit;
}
