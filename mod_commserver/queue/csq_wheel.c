/* SPDX-License-Identifier: Apache-2.0
 * csq_wheel.c - the timing wheel of a shard.
 *
 * Four levels of 64 places; a place of level n is 64^n seconds long. A node
 * is put into the place that its second falls into, seen from the tick that
 * comes next (the base); when the wheel enters a place of a higher level, the
 * nodes there move down.
 * Adding and removing take the same time for any number of nodes and any mix
 * of times. Beyond the last level (194 days) a node waits in the farthest
 * place and is put in again.
 *
 * The first node of a place holds the place's number in wheel_prev.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define LEVEL_REACH(level) (UINT32_C(1) << (CSQ_WHEEL_BITS * ((level) + 1)))

uint32_t csq_wheel_second(uint64_t milliseconds)
{
    uint64_t second = (milliseconds + 999) / 1000;

    return second < UINT32_MAX - 1 ? (uint32_t)second : UINT32_MAX - 1;
}

uint32_t csq_wheel_place(uint32_t base, uint32_t second)
{
    uint32_t delta = second > base ? second - base : 0;
    uint32_t level = 0;

    if (delta >= LEVEL_REACH(CSQ_WHEEL_LEVELS - 1))
        delta = LEVEL_REACH(CSQ_WHEEL_LEVELS - 1) - 1;
    while (delta >= LEVEL_REACH(level))
        level++;
    return level * CSQ_WHEEL_PLACES
           + ((base + delta) >> (level * CSQ_WHEEL_BITS) & (CSQ_WHEEL_PLACES - 1));
}

static void put_into_place(csq *q, csq_shard *shard, uint32_t number, uint32_t place)
{
    csq_node *node = csq_chunk_at(q, number);
    csq_node *first = csq_chunk_at(q, shard->wheel[place]);

    node->wheel_prev = CSQ_WHEEL_FIRST | place;
    node->wheel_next = shard->wheel[place];
    if (first)
        first->wheel_prev = number;
    shard->wheel[place] = number;
    shard->busy[place / CSQ_WHEEL_PLACES] |= UINT64_C(1) << (place % CSQ_WHEEL_PLACES);
}

void csq_wheel_add_locked(csq *q, unsigned shard, uint32_t number, uint32_t second)
{
    csq_shard *owner = &q->shards[shard];

    put_into_place(q, owner, number, csq_wheel_place(owner->tick + 1, second));
}

apr_status_t csq_wheel_remove_locked(csq *q, unsigned shard, uint32_t number)
{
    csq_shard *owner = &q->shards[shard];
    csq_node *node = csq_chunk_at(q, number);
    csq_node *before;
    csq_node *after;
    uint32_t *link;
    uint32_t place = CSQ_WHEEL_LEVELS * CSQ_WHEEL_PLACES;

    if (!node)
        return CSQ_DAMAGED;
    if (node->wheel_prev & CSQ_WHEEL_FIRST) {
        place = node->wheel_prev & ~CSQ_WHEEL_FIRST;
        if (place >= CSQ_WHEEL_LEVELS * CSQ_WHEEL_PLACES)
            return CSQ_DAMAGED;
        link = &owner->wheel[place];
    }
    else {
        before = csq_chunk_at(q, node->wheel_prev);
        if (!before)
            return CSQ_DAMAGED;
        link = &before->wheel_next;
    }
    after = csq_chunk_at(q, node->wheel_next);
    if (*link != number || (node->wheel_next && !after))
        return CSQ_DAMAGED;
    *link = node->wheel_next;
    if (after)
        after->wheel_prev = node->wheel_prev;
    else if (node->wheel_prev & CSQ_WHEEL_FIRST)
        owner->busy[place / CSQ_WHEEL_PLACES] &=
            ~(UINT64_C(1) << (place % CSQ_WHEEL_PLACES));
    return APR_SUCCESS;
}

apr_status_t csq_wheel_move_locked(csq *q, unsigned shard, uint32_t number,
                                   uint32_t base, uint32_t second)
{
    apr_status_t rv = csq_wheel_remove_locked(q, shard, number);

    if (rv == APR_SUCCESS)
        put_into_place(q, &q->shards[shard], number, csq_wheel_place(base, second));
    return rv;
}
