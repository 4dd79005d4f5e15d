/* SPDX-License-Identifier: Apache-2.0
 * fuzz_pool.h - while an input runs, all that APR hands out of pools is a piece
 * of malloc(), so that a sanitizer sees who writes or reads behind one.
 */
#ifndef FUZZ_POOL_H
#define FUZZ_POOL_H

#include <apr_pools.h>

/** From here on apr_palloc() is malloc(). One thread. @return a pool */
apr_pool_t *fuzz_pool_begin(void);
/** Free it all. */
void fuzz_pool_end(void);

#endif
