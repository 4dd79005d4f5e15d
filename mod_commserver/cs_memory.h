/* SPDX-License-Identifier: Apache-2.0
 * cs_memory.h - memory that the connections of a child share.
 *
 * A connection takes some sixty kilobytes while a request runs, a third of
 * that while its poll is held, and httpd gives each an allocator of its own,
 * which either keeps what it once had or returns it to the kernel each time.
 * So what a waiting connection does not use is taken from its allocator and
 * lent to those that are busy. The kernel is asked only for what is missing,
 * and gets back what was in nobody's hands for a while.
 *
 * Any thread; of an allocator and a buffer, only who owns the connection.
 */
#ifndef CS_MEMORY_H
#define CS_MEMORY_H

#include <apr_allocator.h>

#define CS_MEMORY_BUFFER 8192 /* bytes                                        */

/** A buffer of CS_MEMORY_BUFFER bytes. @return NULL: no memory. */
char *cs_memory_buffer_take(void);
void cs_memory_buffer_give(char *buffer);

/** Bound what an allocator keeps for the next request. Once a connection. */
void cs_memory_bound(apr_allocator_t *allocator);

/** Give it what a request is likely to need. */
void cs_memory_lend(apr_allocator_t *allocator);

/** Take from it what nothing uses. */
void cs_memory_reclaim(apr_allocator_t *allocator);

/** Give back to the kernel what nobody has borrowed since the last call.
 *  Called each second. One thread at a time. */
void cs_memory_upkeep(void);

#endif
