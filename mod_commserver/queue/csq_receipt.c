/* SPDX-License-Identifier: Apache-2.0
 * csq_receipt.c - what became of messages for those who ask: counted while
 * receivers take them, kept until the message would have expired.
 *
 * A table by id, guarded by the allocator's lock. A message that has a receipt
 * says so with a flag; others pay nothing.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define LONGER 3600 /* seconds beyond the life of the message      */

uint32_t csq_receipt_until(uint64_t expires)
{
    return csq_wheel_second(expires + LONGER * 1000);
}

static uint32_t *bucket_of(csq *q, const unsigned char *id)
{
    uint64_t hash = csq_hash(q, 1, (const char *)id, CSQ_ID_BYTES);

    return &q->receipts[(uint32_t)(hash >> 32) & q->receipt_mask];
}

apr_status_t csq_receipt_find_locked(csq *q, const unsigned char *id,
                                     uint32_t *out_receipt)
{
    uint32_t number = *bucket_of(q, id);
    uint32_t steps = 0;
    csq_receipt *receipt;

    *out_receipt = 0;
    for (; number; number = receipt->hash_next) {
        receipt = csq_receipt_at(q, number);
        if (!receipt || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        if (memcmp(receipt->id, id, CSQ_ID_BYTES) == 0) {
            *out_receipt = number;
            return APR_SUCCESS;
        }
    }
    return APR_SUCCESS;
}

void csq_receipt_make_locked(csq *q, uint32_t number, const unsigned char *id,
                             uint32_t origin, uint32_t receivers, uint32_t until)
{
    csq_receipt *receipt = csq_chunk_at(q, number);
    uint32_t *bucket = bucket_of(q, id);

    memset(receipt, 0, sizeof *receipt);
    memcpy(receipt->id, id, CSQ_ID_BYTES);
    receipt->origin = origin;
    receipt->receivers = receivers;
    receipt->until = until;
    receipt->hash_next = *bucket;
    receipt->kind = CSQ_KIND_RECEIPT;
    __atomic_store_n(bucket, number, __ATOMIC_RELEASE);
}

void csq_receipt_changed_locked(csq *q, csq_receipt *receipt, csq_ring_set *rings)
{
    receipt->changes++;
    if (receipt->waiter)
        csq_slot_push(q, receipt->waiter, rings);
}

void csq_receipt_handed(csq *q, const csq_stored *stored, csq_ring_set *rings)
{
    csq_receipt *receipt;
    uint32_t number = 0;

    if (!(stored->entry.flags & CSQ_HAS_RECEIPT) || csq_allocator_lock(q) != APR_SUCCESS)
        return;
    if (csq_receipt_find_locked(q, stored->id, &number) == APR_SUCCESS && number) {
        receipt = csq_receipt_at(q, number);
        receipt->handed_out++;
        csq_receipt_changed_locked(q, receipt, rings);
    }
    csq_allocator_unlock(q);
}

/* Messages still in a queue keep theirs. */
static int is_over(csq *q, const csq_receipt *receipt, uint32_t second)
{
    uint32_t message;

    return receipt->until <= second
           && csq_id_find_locked(q, receipt->id, &message) == APR_SUCCESS && !message;
}

static apr_status_t sweep_bucket(csq *q, uint32_t *link, uint32_t second)
{
    csq_receipt *receipt;
    uint32_t number;
    apr_status_t rv = APR_SUCCESS;

    while (*link && rv == APR_SUCCESS) {
        number = *link;
        receipt = csq_receipt_at(q, number);
        if (!receipt)
            return CSQ_DAMAGED;
        if (!is_over(q, receipt, second)) {
            link = &receipt->hash_next;
            continue;
        }
        __atomic_store_n(link, receipt->hash_next, __ATOMIC_RELEASE);
        rv = csq_origin_drop_locked(q, receipt->origin);
        receipt->kind = CSQ_KIND_FREE;
        if (rv == APR_SUCCESS)
            rv = csq_chunk_give_locked(q, number, 1);
    }
    return rv;
}

apr_status_t csq_receipt_sweep_locked(csq *q, uint32_t second, unsigned part)
{
    uint32_t count = q->receipt_mask + 1;
    uint32_t length = count / CSQ_SWEEP_PARTS;
    uint32_t i = part < CSQ_SWEEP_PARTS ? part * length : 0;
    uint32_t end = part < CSQ_SWEEP_PARTS ? i + length : count;
    apr_status_t rv = APR_SUCCESS;

    for (; i < end && rv == APR_SUCCESS; i++)
        if (q->receipts[i])
            rv = sweep_bucket(q, &q->receipts[i], second);
    if (rv == CSQ_DAMAGED)
        csq_repair_want(q);
    return rv;
}
