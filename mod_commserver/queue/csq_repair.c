/* SPDX-License-Identifier: Apache-2.0
 * csq_repair.c - make the segment whole after a process died under a lock.
 *
 * Under all locks: walk the truth (csq_layout.h) and mark what it reaches,
 * writing anew whatever follows from it; give all other chunks back. Of the
 * truth only this is changed, each by one store: entries of messages that were
 * not committed, or were taken back, leave their queue; what was on its way
 * from one queue to another arrives. A death in here leaves header.repair set, and
 * the next repair starts over.
 *
 * A link that no crash can have left (a number out of range, a chunk used
 * twice) is damage: the chain is cut there, and the client gets a new epoch,
 * so that it hears of a gap.
 */
#include "cs_compat.h"
#include "csq_repair.h"

#include <sys/mman.h>

void csq_repair_want(csq *q)
{
    __atomic_store_n(&q->header->repair, 1, __ATOMIC_SEQ_CST);
}

int csq_repair_wanted(csq *q)
{
    return __atomic_load_n(&q->header->repair, __ATOMIC_SEQ_CST) != 0;
}

int csq_repair_chain(csq_repairing *r, uint32_t head, uint32_t n)
{
    uint32_t number = head;
    uint32_t i;
    csq_chunk *chunk;

    if (n > r->q->chunk_count)
        return 0;
    for (i = 0; i < n; i++) {
        chunk = csq_chunk_at(r->q, number);
        if (!chunk || (r->marks[number] & CSQ_MARK_USED))
            return 0;
        number = chunk->next;
    }
    if (number)
        return 0;
    for (i = 0, number = head; i < n; i++) {
        if (r->marks[number] & CSQ_MARK_USED)
            return 0;
        r->marks[number] |= CSQ_MARK_USED;
        number = ((csq_chunk *)csq_chunk_at(r->q, number))->next;
    }
    r->marks[head] |= CSQ_MARK_HEAD;
    return 1;
}

static void reset_what_follows(csq *q)
{
    uint32_t i;

    CSQ_SET(q->header->clients, 0);
    memset(q->origins, 0, ((size_t)q->origin_mask + 1) * sizeof *q->origins);
    memset(q->ids, 0, ((size_t)q->id_mask + 1) * sizeof *q->ids);
    memset(q->topics, 0, ((size_t)q->topic_mask + 1) * CSQ_SHARDS * sizeof *q->topics);
    for (i = 0; i < CSQ_SHARDS; i++) {
        csq_shard *shard = &q->shards[i];

        shard->release = 0;
        shard->clients = 0;
        shard->queues = 0;
        CSQ_SET(shard->queued, 0);
        CSQ_SET(shard->bytes, 0);
        memset(shard->busy, 0, sizeof shard->busy);
        memset(shard->wheel, 0, sizeof shard->wheel);
    }
}

static void mark_repeats(csq_repairing *r, uint32_t *link)
{
    csq_repeat *repeat;

    while (*link) {
        repeat = csq_repeat_at(r->q, *link);
        if (repeat && csq_repeat_chunks(repeat->answer_len) == 1)
            repeat->next = 0;
        if (!repeat
            || !csq_repair_chain(r, *link, csq_repeat_chunks(repeat->answer_len))) {
            *link = 0;
            return;
        }
        if (repeat->state > CSQ_REPEAT_MANY + CSQ_SHARDS)
            repeat->state = CSQ_REPEAT_MANY + CSQ_SHARDS;
        link = &repeat->hash_next;
    }
}

static void sweep(csq_repairing *r)
{
    csq *q = r->q;
    csq_header *header = q->header;
    uint32_t head = 0;
    uint32_t count = 0;
    uint32_t number;

    for (number = q->chunk_count; number > 0; number--) {
        csq_node *node = csq_chunk_at(q, number);

        if (r->marks[number] & CSQ_MARK_USED)
            continue;
        node->next = head;
        node->kind = CSQ_KIND_FREE;
        head = number;
        count++;
    }
    header->free_head = head;
    CSQ_SET(header->free_count, count);
    if (count < header->free_lowest)
        CSQ_SET(header->free_lowest, count);
}

int csq_repair_runs(csq *q)
{
    return __atomic_load_n(&q->header->repairing, __ATOMIC_RELAXED) != 0;
}

static apr_status_t repair_locked(csq *q)
{
    csq_repairing r = { .q = q };
    size_t size = (size_t)q->chunk_count + 1;
    void *marks;
    unsigned i;

    marks = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (marks == MAP_FAILED)
        return CSQ_NO_MEMORY;
    r.marks = marks;
    reset_what_follows(q);
    for (i = 0; i < CSQ_SHARDS; i++)
        csq_repair_clients(&r, i);
    csq_repair_groups(&r);
    csq_repair_receipts(&r);
    for (i = 0; i <= q->repeat_mask; i++)
        mark_repeats(&r, &q->repeats[i]);
    sweep(&r);
    munmap(marks, size);
    for (i = 0; i < q->slot_count; i++)
        __atomic_store_n(&q->slots[i].all, 1, __ATOMIC_SEQ_CST);
    CSQ_ADD(q->header->repairs, 1);
    __atomic_store_n(&q->header->repair, 0, __ATOMIC_SEQ_CST);
    return APR_SUCCESS;
}

apr_status_t csq_repair(csq *q)
{
    apr_status_t rv = csq_lock_all(q);
    int repaired = 0;

    if (rv != APR_SUCCESS)
        return rv;
    __atomic_store_n(&q->header->repairing, 0, __ATOMIC_RELAXED);
    if (csq_repair_wanted(q)) {
        __atomic_store_n(&q->header->repairing, 1, __ATOMIC_RELAXED);
        rv = repair_locked(q);
        __atomic_store_n(&q->header->repairing, 0, __ATOMIC_RELAXED);
        repaired = rv == APR_SUCCESS;
    }
    csq_unlock_all(q);
    if (repaired)
        csq_slot_ring_all(q);
    return rv;
}
