/* SPDX-License-Identifier: Apache-2.0
 * csq_id.c - from an id to its message, and what is remembered of the gone.
 *
 * Every message hangs in the bucket of its id. When it is freed its fate is
 * written into a table of fixed size, over the oldest of those that share its
 * place: so what became of a message can be asked for a while, at the price
 * of one store and no room.
 */
#include "cs_compat.h"
#include "csq_private.h"

/* Ids are random: any part of one is a hash. Those that were read from a file
 * may be anything, so the key of the segment takes part.                     */
static uint32_t hash_id(const csq *q, const unsigned char *id)
{
    return (uint32_t)(csq_hash(q, 0, (const char *)id, CSQ_ID_BYTES) >> 32);
}

static uint32_t *bucket_of(csq *q, const unsigned char *id)
{
    return &q->ids[hash_id(q, id) & q->id_mask];
}

void csq_id_add_locked(csq *q, uint32_t message)
{
    csq_stored *stored = csq_stored_at(q, message);
    uint32_t *bucket = bucket_of(q, stored->id);

    stored->id_next = *bucket;
    *bucket = message;
}

apr_status_t csq_id_remove_locked(csq *q, uint32_t message)
{
    csq_stored *stored = csq_stored_at(q, message);
    uint32_t *link = bucket_of(q, stored->id);
    uint32_t steps = 0;
    csq_stored *other;

    while (*link != message) {
        other = csq_stored_at(q, *link);
        if (!other || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        link = &other->id_next;
    }
    *link = stored->id_next;
    return APR_SUCCESS;
}

apr_status_t csq_id_find_locked(csq *q, const unsigned char *id, uint32_t *out_message)
{
    uint32_t number = *bucket_of(q, id);
    uint32_t steps = 0;
    csq_stored *stored;

    *out_message = 0;
    for (; number; number = stored->id_next) {
        stored = csq_stored_at(q, number);
        if (!stored || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        if (memcmp(stored->id, id, CSQ_ID_BYTES) == 0) {
            *out_message = number;
            return APR_SUCCESS;
        }
    }
    return APR_SUCCESS;
}

/* ---- fates --------------------------------------------------------------- */

static csq_fate_record *set_of(csq *q, const unsigned char *id)
{
    return &q->fates[(size_t)(hash_id(q, id) & q->fate_mask) * CSQ_FATE_WAYS];
}

static int is_older(const csq_fate_record *one, const csq_fate_record *other)
{
    return one->second < other->second
           || (one->second == other->second && one->turn < other->turn);
}

/* Where a fate is to be written: over itself, else over the oldest. */
static csq_fate_record *place_in(csq_fate_record *set, const unsigned char *id,
                                 uint32_t second, uint32_t *out_turn)
{
    csq_fate_record *place = set;
    int found = 0;
    int i;

    *out_turn = 0;
    for (i = 0; i < CSQ_FATE_WAYS; i++) {
        if (set[i].second == second && set[i].turn >= *out_turn)
            *out_turn = set[i].turn + 1;
        if (set[i].second && memcmp(set[i].id, id, CSQ_ID_BYTES) == 0) {
            place = &set[i];
            found = 1;
        }
        else if (!found && is_older(&set[i], place))
            place = &set[i];
    }
    return place;
}

void csq_fate_keep_locked(csq *q, const unsigned char *id, uint32_t app_hash,
                          uint16_t sender_hash, csq_fate fate, int handed,
                          uint32_t second)
{
    uint32_t turn;
    csq_fate_record *place = place_in(set_of(q, id), id, second, &turn);

    place->second = second;
    place->turn = turn;
    memcpy(place->id, id, CSQ_ID_BYTES);
    place->app_hash = app_hash;
    place->sender_hash = sender_hash;
    place->fate = (uint8_t)fate;
    place->handed = (uint8_t)handed;
}

const csq_fate_record *csq_fate_find_locked(csq *q, const unsigned char *id)
{
    csq_fate_record *set = set_of(q, id);
    int i;

    for (i = 0; i < CSQ_FATE_WAYS; i++)
        if (set[i].second && memcmp(set[i].id, id, CSQ_ID_BYTES) == 0)
            return &set[i];
    return NULL;
}

/* Both tables are larger than the caches, and ids are random. */
void csq_id_expect(csq *q, const unsigned char *id)
{
    const char *set = (const char *)set_of(q, id);

    __builtin_prefetch(bucket_of(q, id), 1);
    __builtin_prefetch(set, 1);
    __builtin_prefetch(set + CSQ_FATE_WAYS * sizeof(csq_fate_record) / 2, 1);
}
