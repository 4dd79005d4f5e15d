/* SPDX-License-Identifier: Apache-2.0
 * fuzz_csq_segment.c - a segment of which any bytes are changed while nobody
 * holds a lock, and every operation on it: each ends, in time, and touches
 * nothing outside; whoever starts on it then makes it whole.
 *
 * Input: commands of one byte. Below 128 an operation, with a seed of one byte;
 * above, damage, with where and what.
 */
#include "cs_compat.h"
#include "fuzz_segment.h"

#include <stdlib.h>
#include <unistd.h>

#define COMMANDS_MAX 64
#define SAVES_MAX    1

const unsigned fuzz_rounds = 120;

/* ---- operations --------------------------------------------------------------- */

static const char *const clients[] = { "alice", "bob", "carol", "dave" };
static const char *const devices[] = { NULL, "pad", "desk" };

static void step(unsigned seed)
{
    everything_step(&seed);
}

static void fetch(unsigned seed)
{
    csq_key key = { "realm", clients[seed % 4], devices[seed / 4 % 3] };
    csq_cursor cursor = cursor_now();
    csq_fetch what = { .after = seed & 16 ? &cursor : NULL,
                       .max_messages = seed & 32 ? 2 : 1000,
                       .max_bytes = 1 << 20,
                       .waiter = csq_waiter_make(everything_slot(), seed),
                       .stay = seed >> 6 & 1,
                       .acknowledge = seed >> 7 & 1,
                       .peek = seed % 7 == 0 };

    if (csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch) == APR_SUCCESS) {
        free(fuzz_segment_answer());
    }
    if (seed & 8) {
        csq_waiter_remove(fx.q, &key, what.waiter);
    }
}

static void hear_all(unsigned seed)
{
    apr_uint32_t numbers[16];
    int i, all;

    csq_slot_mute(everything_slot(), (int)seed & 1);
    csq_slot_listen(everything_slot());
    for (i = 0; i < 2 * CSQ_RING / 16; i++) {
        if (csq_slot_take(everything_slot(), numbers, 16, &all) < 16) {
            return;
        }
    }
    FUZZ_CHECK(!"a ring is taken to its end");
}

static void look(unsigned seed)
{
    csq_key key = { "realm", clients[seed % 4], devices[seed / 4 % 3] };
    csq_client_info info;
    csq_message_info message;
    csq_stats stats;
    csq_limits limits;
    const char *realm;

    csq_client_info_get(fx.q, &key, &info);
    csq_stats_get(fx.q, &stats);
    csq_limits_get(fx.q, &limits);
    csq_realm_only(fx.q, fx.pool, &realm);
    csq_message_get(fx.q, everything_message(), 0, NULL, &message);
    csq_counter_add(fx.q, seed, 1);
}

static void expire(unsigned seed)
{
    fx.now += (apr_time_t)seed * seed * SECOND;
    csq_expire(fx.q, fx.now, 100000);
}

static void want_repair(unsigned seed)
{
    (void)seed;
    csq_repair_want(fx.q);
}

static void audit(unsigned seed)
{
    (void)seed;
    csq_audit(fx.q, fx.pool, NULL);
}

static int saves;

static void save(unsigned seed)
{
    char path[128];

    (void)seed;
    if (saves++ >= SAVES_MAX) {
        return;
    }
    fuzz_folder_make();
    snprintf(path, sizeof(path), "%s.state", fx.path);
    csq_save(fx.q, path);
    fx.q->header->closed = 0;
    unlink(path);
}

static void run_operation(unsigned command, unsigned seed)
{
    static void (*const operations[])(unsigned) = { step,   step,        fetch, fetch,
                                                    expire, hear_all,    look,  step,
                                                    fetch,  want_repair, audit, save };

    operations[command % (sizeof(operations) / sizeof(operations[0]))](seed);
}

/* ---- damage ------------------------------------------------------------------- */

static void damage_bytes(char *area, size_t len, fuzz_input *input)
{
    size_t at = (size_t)fuzz_take_number(input, 2) % len;

    area[at] = (char)fuzz_take_byte(input);
}

/* A word of a chunk that is in use, more likely: the first ones are. */
static void damage_chunk(fuzz_input *input)
{
    uint32_t *words = (uint32_t *)(void *)fx.q->chunks;
    size_t chunk = fuzz_take_byte(input) % fx.q->chunk_count;
    size_t word = fuzz_take_byte(input) % (CSQ_CHUNK_BYTES / 4);

    words[chunk * (CSQ_CHUNK_BYTES / 4) + word] = (uint32_t)fuzz_take_number(input, 2);
}

static void damage_chunk_byte(fuzz_input *input)
{
    size_t chunk = fuzz_take_byte(input) % fx.q->chunk_count;
    size_t at = fuzz_take_byte(input) % CSQ_CHUNK_BYTES;

    fx.q->chunks[chunk * CSQ_CHUNK_BYTES + at] = (char)fuzz_take_byte(input);
}

/* Most buckets are empty: the n-th that is not. */
static void damage_table(fuzz_input *input)
{
    uint32_t *tables = fx.q->buckets;
    size_t words = (size_t)(fx.q->chunks - (char *)tables) / 4;
    unsigned nth = fuzz_take_byte(input);
    size_t i, last = 0;

    for (i = 0; i < words; i++) {
        if (tables[i] != 0) {
            last = i;
            if (nth-- == 0) {
                break;
            }
        }
    }
    tables[last] = (uint32_t)fuzz_take_number(input, 2);
}

static void damage_word(fuzz_input *input)
{
    size_t at = (size_t)fuzz_take_number(input, 4) % (fuzz_segment_size() - 4);
    uint32_t value = (uint32_t)fuzz_take_number(input, 4);

    memcpy((char *)fx.q->header + at, &value, sizeof(value));
}

static void run_damage(unsigned command, fuzz_input *input)
{
    csq_shard *shard = &fx.q->shards[fuzz_take_byte(input) % CSQ_SHARDS];

    switch (command % 8) {
    case 0:
    case 1:
        damage_chunk(input);
        break;
    case 2:
        damage_chunk_byte(input);
        break;
    case 3:
        damage_table(input);
        break;
    case 4:
        damage_bytes((char *)fx.q->header, sizeof(csq_header), input);
        break;
    case 5:
        damage_bytes((char *)shard, sizeof(csq_shard), input);
        break;
    case 6:
        damage_bytes((char *)fx.q->slots, 2 * sizeof(csq_slot_shared), input);
        break;
    default:
        damage_word(input);
    }
}

/* ---- a server that starts on it ------------------------------------------------- */

/* Leave it as a server does that is killed. */
static void leave_behind(const csq_plan *plan)
{
    apr_pool_t *pool;
    csq *q;
    size_t room;

    FUZZ_CHECK(apr_pool_create(&pool, NULL) == APR_SUCCESS);
    FUZZ_CHECK(csq_start(plan, pool, NULL, &q) == APR_SUCCESS);
    FUZZ_CHECK(csq_memory_base(q, &room) == (char *)q->header);
    FUZZ_CHECK(room >= fuzz_segment_size());
    memcpy(q->header, fx.q->header, fuzz_segment_size());
    FUZZ_CHECK(csq_lock_file_sign(q) == APR_SUCCESS);
    csq_keep(q);
    apr_pool_destroy(pool);
}

static void take_over(void)
{
    csq_plan plan = { .size = FUZZ_SEGMENT_SIZE, .slots = 2, .limits = &fx.limits };
    csq *own = fx.q;
    csq_outcome outcome;
    apr_pool_t *pool;
    unsigned seed = 1;

    fuzz_folder_make();
    plan.path = fx.path;
    leave_behind(&plan);
    FUZZ_CHECK(apr_pool_create(&pool, NULL) == APR_SUCCESS);
    FUZZ_CHECK(csq_start(&plan, pool, &outcome, &fx.q) == APR_SUCCESS);
    FUZZ_CHECK(outcome.beginning != CSQ_BEGUN_NEW);
    fuzz_segment_audit();
    everything_step(&seed);
    fuzz_segment_audit();
    apr_pool_destroy(pool);
    unlink(apr_pstrcat(fx.pool, fx.path, ".damaged", NULL));
    fx.q = own;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fuzz_segment_make();
    return 0;
}

static void run_commands(fuzz_input *input)
{
    int i;

    for (i = 0; i < COMMANDS_MAX && input->left > 0; i++) {
        unsigned command = fuzz_take_byte(input);

        if (command < 128) {
            run_operation(command, fuzz_take_byte(input));
        }
        else {
            run_damage(command, input);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = { data, size };
    int takes_over = fuzz_take_byte(&input) % 8 == 7;

    fuzz_segment_reset();
    saves = 0;
    run_commands(&input);
    if (takes_over) {
        take_over();
    }
    else {
        fuzz_segment_restart();
        step(1);
        fuzz_segment_audit();
    }
    apr_pool_clear(fx.pool);
    return 0;
}
