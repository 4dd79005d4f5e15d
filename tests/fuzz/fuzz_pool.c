/* SPDX-License-Identifier: Apache-2.0
 * fuzz_pool.c - apr_palloc() of the program stands before that of the library;
 * the library itself calls it, too.
 */
#include <apr_general.h>

#include "fuzz.h"
#include "fuzz_pool.h"

typedef struct piece {
    struct piece *before;
    void *memory;
} piece;

static piece *pieces;
static apr_pool_t *pool;

/* Pieces of before the first input stay; the list keeps them from being taken
 * for leaks.                                                                 */
static piece *kept;

#undef apr_palloc
void *apr_palloc(apr_pool_t *of, apr_size_t size)
{
    piece *one = malloc(sizeof(*one));

    (void)of;
    if (one == NULL || (one->memory = malloc(size + (size == 0))) == NULL) {
        abort();
    }
    one->before = pieces;
    pieces = one;
    return one->memory;
}

apr_pool_t *fuzz_pool_begin(void)
{
    if (pool == NULL
        && (apr_initialize() != APR_SUCCESS
            || apr_pool_create(&pool, NULL) != APR_SUCCESS)) {
        abort();
    }
    kept = pieces;
    return pool;
}

void fuzz_pool_end(void)
{
    while (pieces != kept) {
        piece *one = pieces;

        pieces = one->before;
        free(one->memory);
        free(one);
    }
}
