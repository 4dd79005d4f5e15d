/* SPDX-License-Identifier: Apache-2.0
 * csq_allocator.c - the allocator's lock, for who needs it once: to take
 * chunks, or to look into the tables that it guards.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define TABLES_SHARD 1u /* any: a repair is seen with a shard's lock   */

apr_status_t csq_chunk_take(csq *q, uint32_t n, int last, uint32_t *out_head)
{
    apr_status_t rv = csq_allocator_lock(q);

    if (rv != APR_SUCCESS)
        return rv;
    rv = last ? csq_chunk_take_last_locked(q, n, out_head)
              : csq_chunk_take_locked(q, n, out_head);
    csq_allocator_unlock(q);
    return rv;
}

apr_status_t csq_lock_tables(csq *q)
{
    apr_status_t rv = CSQ_RETRY;
    int i;

    for (i = 0; i < CSQ_RETRIES && rv == CSQ_RETRY; i++) {
        rv = csq_lock(q, TABLES_SHARD);
        if (rv != APR_SUCCESS)
            return rv;
        rv = csq_allocator_lock(q);
        if (rv != APR_SUCCESS)
            csq_unlock(q, TABLES_SHARD);
    }
    return rv == CSQ_RETRY ? CSQ_BUSY : rv;
}

void csq_unlock_tables(csq *q)
{
    csq_allocator_unlock(q);
    csq_unlock(q, TABLES_SHARD);
}
