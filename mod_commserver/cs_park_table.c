/* SPDX-License-Identifier: Apache-2.0
 * cs_park_table.c - the records of one child, and their state word.
 *
 * Records come in blocks that are never freed, so that any index and
 * generation can be looked at safely whenever an event for them is late.
 */
#include "cs_compat.h"

#include "cs_park.h"
#include "cs_loop.h"
#include "cs_blocked.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_RECORDS         512
#define MAX_BLOCKS            2048 /* more than a million records                */
#define TURN_BITS             12
#define TURN_MASK             ((1u << TURN_BITS) - 1)
#define WORD_GENERATION(word) ((apr_uint32_t)((word) >> 32))

static struct {
    pthread_mutex_t lock; /* free_list, used, blocks                    */
    cs_park *blocks[MAX_BLOCKS];
    cs_park *free_list;
    apr_uint32_t made; /* records in blocks                          */
    apr_uint32_t used;
    apr_uint32_t max;
} table = { .lock = PTHREAD_MUTEX_INITIALIZER };

void cs_park_table_init(apr_uint32_t max)
{
    table.max = max < BLOCK_RECORDS * MAX_BLOCKS ? max : BLOCK_RECORDS * MAX_BLOCKS;
}

static cs_park *find(apr_uint32_t index)
{
    cs_park *block;

    if (index >= __atomic_load_n(&table.made, __ATOMIC_ACQUIRE)) {
        return NULL;
    }
    block = __atomic_load_n(&table.blocks[index / BLOCK_RECORDS], __ATOMIC_ACQUIRE);
    return &block[index % BLOCK_RECORDS];
}

static int make_block_locked(void)
{
    apr_uint32_t first = table.made, i;
    cs_park *block;

    if (first / BLOCK_RECORDS >= MAX_BLOCKS) {
        return 0;
    }
    block = calloc(BLOCK_RECORDS, sizeof(*block));
    if (block == NULL) {
        return 0;
    }
    for (i = BLOCK_RECORDS; i-- > 0;) {
        block[i].index = first + i;
        block[i].run_next = table.free_list;
        table.free_list = &block[i];
    }
    __atomic_store_n(&table.blocks[first / BLOCK_RECORDS], block, __ATOMIC_RELEASE);
    __atomic_store_n(&table.made, first + BLOCK_RECORDS, __ATOMIC_RELEASE);
    return 1;
}

/* Everything but the word and the turn, which late events may read at any
 * time, and the index. */
static void reset(cs_park *park)
{
    static const cs_park clean;
    size_t from = offsetof(cs_park, run_next);

    memcpy((char *)park + from, (const char *)&clean + from, sizeof(*park) - from);
    park->fd = -1;
}

cs_park *cs_park_alloc(unsigned state)
{
    cs_park *park = NULL;
    apr_uint64_t word;

    pthread_mutex_lock(&table.lock);
    if (table.used < table.max && (table.free_list != NULL || make_block_locked())) {
        park = table.free_list;
        table.free_list = park->run_next;
        __atomic_add_fetch(&table.used, 1, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&table.lock);
    if (park == NULL) {
        return NULL;
    }
    reset(park);
    word = __atomic_load_n(&park->word, __ATOMIC_RELAXED);
    word = ((apr_uint64_t)(WORD_GENERATION(word) + 1) << 32) | state;
    __atomic_store_n(&park->word, word, __ATOMIC_RELEASE);
    return park;
}

void cs_park_release(cs_park *park)
{
    apr_uint64_t word = __atomic_load_n(&park->word, __ATOMIC_RELAXED);

    word = ((apr_uint64_t)(WORD_GENERATION(word) + 1) << 32) | CS_PARK_FREE;
    __atomic_store_n(&park->word, word, __ATOMIC_RELEASE);
    pthread_mutex_lock(&table.lock);
    park->run_next = table.free_list;
    table.free_list = park;
    __atomic_sub_fetch(&table.used, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&table.lock);
}

apr_uint32_t cs_park_count(void)
{
    return __atomic_load_n(&table.used, __ATOMIC_RELAXED);
}

cs_park_name cs_park_name_of(const cs_park *park)
{
    apr_uint64_t word = __atomic_load_n(&park->word, __ATOMIC_RELAXED);

    return ((apr_uint64_t)WORD_GENERATION(word) << 32) | park->index;
}

/* ---- signals ----------------------------------------------------------- */

static apr_uint64_t word_with(apr_uint64_t word, unsigned signals)
{
    word |= signals;
    if ((word & CS_PARK_STATE_MASK) == CS_PARK_PARKED) {
        word = (word & ~(apr_uint64_t)CS_PARK_STATE_MASK) | CS_PARK_OWNED;
    }
    return word;
}

static void signal_generation(cs_park *park, apr_uint32_t generation, unsigned signals)
{
    apr_uint64_t word = __atomic_load_n(&park->word, __ATOMIC_ACQUIRE);

    do {
        if (WORD_GENERATION(word) != generation
            || (word & CS_PARK_STATE_MASK) == CS_PARK_FREE) {
            return;
        }
    } while (!__atomic_compare_exchange_n(&park->word, &word, word_with(word, signals), 0,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    switch (word & CS_PARK_STATE_MASK) {
    case CS_PARK_PARKED:
        cs_loop_run(park);
        break;
    case CS_PARK_BLOCKED:
        cs_blocked_wake();
        break;
    default:
        break;
    }
}

void cs_park_signal(cs_park_name name, unsigned signals)
{
    cs_park *park = find((apr_uint32_t)name);

    if (park != NULL) {
        signal_generation(park, WORD_GENERATION(name), signals);
    }
}

apr_uint32_t cs_park_number(const cs_park *park)
{
    return (park->index << TURN_BITS) | (park->turn & TURN_MASK);
}

void cs_park_ring(apr_uint32_t number)
{
    cs_park *park = find(number >> TURN_BITS);
    apr_uint64_t word;

    if (park == NULL) {
        return;
    }
    word = __atomic_load_n(&park->word, __ATOMIC_ACQUIRE);
    if ((__atomic_load_n(&park->turn, __ATOMIC_RELAXED) & TURN_MASK)
        == (number & TURN_MASK)) {
        signal_generation(park, WORD_GENERATION(word), CS_SIGNAL_RUNG);
    }
}

void cs_park_signal_all(unsigned signals)
{
    apr_uint32_t made = __atomic_load_n(&table.made, __ATOMIC_ACQUIRE), i;

    for (i = 0; i < made; i++) {
        cs_park *park = find(i);
        apr_uint64_t word = __atomic_load_n(&park->word, __ATOMIC_ACQUIRE);

        signal_generation(park, WORD_GENERATION(word), signals);
    }
}

unsigned cs_park_take_signals(cs_park *park)
{
    apr_uint64_t word =
        __atomic_fetch_and(&park->word, ~(apr_uint64_t)CS_SIGNAL_MASK, __ATOMIC_ACQ_REL);

    return (unsigned)(word & CS_SIGNAL_MASK);
}

void cs_park_own(cs_park *park)
{
    apr_uint64_t word = __atomic_load_n(&park->word, __ATOMIC_ACQUIRE);
    apr_uint64_t next;

    do {
        next = (word & ~(apr_uint64_t)CS_PARK_STATE_MASK) | CS_PARK_OWNED;
    } while (!__atomic_compare_exchange_n(&park->word, &word, next, 0, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
}

int cs_park_rest(cs_park *park)
{
    apr_uint64_t word = __atomic_load_n(&park->word, __ATOMIC_ACQUIRE);
    apr_uint64_t next;

    do {
        unsigned state = (word & CS_SIGNAL_MASK) != 0 ? CS_PARK_OWNED : CS_PARK_PARKED;

        next = (word & ~(apr_uint64_t)CS_PARK_STATE_MASK) | state;
    } while (!__atomic_compare_exchange_n(&park->word, &word, next, 0, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE));
    return (next & CS_PARK_STATE_MASK) == CS_PARK_PARKED;
}
