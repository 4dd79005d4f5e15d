/* SPDX-License-Identifier: Apache-2.0
 * csq_repair_receipt.c - repair: what became of messages.
 */
#include "cs_compat.h"
#include "csq_repair.h"

static uint32_t sum_of(const csq_receipt *receipt)
{
    uint32_t sum = 0;
    int i;

    for (i = 0; i < CSQ_FATES; i++)
        sum += receipt->counts[i];
    return sum;
}

static uint32_t still_linked(csq *q, const csq_receipt *receipt)
{
    uint32_t message = 0;

    if (csq_id_find_locked(q, receipt->id, &message) != APR_SUCCESS || !message)
        return 0;
    return csq_stored_at(q, message)->refs;
}

/* One that was not confirmed belongs to a publish that had not happened, unless
 * its message is there.                                                       */
static void mark_receipts(csq_repairing *r, uint32_t *link)
{
    csq *q = r->q;
    csq_receipt *receipt;

    while (*link) {
        receipt = csq_receipt_at(q, *link);
        if (!receipt || (r->marks[*link] & CSQ_MARK_USED))
            break;
        if (still_linked(q, receipt))
            receipt->confirmed = 1;
        if (receipt->confirmed && csq_repair_hold_origin(r, receipt->origin)) {
            receipt->next = 0;
            r->marks[*link] |= CSQ_MARK_USED;
            link = &receipt->hash_next;
        }
        else
            __atomic_store_n(link, receipt->hash_next, __ATOMIC_RELEASE);
    }
    *link = 0;
}

/* An entry that has left its queue, but was not freed: its receipt may not have
 * been told.                                                                  */
static void tell_receipt(csq_repairing *r, uint32_t number)
{
    csq *q = r->q;
    csq_entry *entry = csq_entry_at(q, number);
    csq_receipt *receipt;
    csq_stored *stored;
    uint32_t message;
    uint32_t fate;
    uint32_t found = 0;

    if (!entry || entry->linked < CSQ_LEAVING
        || !(stored = csq_entry_stored(q, number, entry, &message))
        || !(stored->entry.flags & CSQ_HAS_RECEIPT)
        || csq_receipt_find_locked(q, stored->id, &found) != APR_SUCCESS || !found)
        return;
    receipt = csq_receipt_at(q, found);
    fate = entry->linked - CSQ_LEAVING;
    if (fate < CSQ_FATES
        && sum_of(receipt) + still_linked(q, receipt) < receipt->receivers)
        receipt->counts[fate]++;
}

/* What nobody can tell any more was never queued, or is still to come. */
static void balance_receipts(csq *q, uint32_t number)
{
    csq_receipt *receipt;
    uint32_t known;

    for (; number; number = receipt->hash_next) {
        receipt = csq_receipt_at(q, number);
        known = sum_of(receipt) + still_linked(q, receipt);
        if (known > receipt->receivers)
            receipt->receivers = known;
        if (csq_repeat_many_reaches(q, receipt->repeat, receipt->id, CSQ_SHARDS - 1))
            receipt->counts[CSQ_FATE_DROPPED] += receipt->receivers - known;
        else
            receipt->receivers = known;
    }
}

void csq_repair_receipts(csq_repairing *r)
{
    csq *q = r->q;
    uint32_t i;

    for (i = 0; i <= q->receipt_mask; i++)
        if (q->receipts[i])
            mark_receipts(r, &q->receipts[i]);
    for (i = 1; i <= q->chunk_count; i++)
        if (!(r->marks[i] & CSQ_MARK_USED)) {
            tell_receipt(r, i);
            csq_entry_recall_locked(q, i);
        }
    for (i = 1; i <= q->chunk_count; i++)
        if (!(r->marks[i] & CSQ_MARK_USED))
            csq_message_recall_locked(q, i);
    for (i = 0; i <= q->receipt_mask; i++)
        balance_receipts(q, q->receipts[i]);
}
