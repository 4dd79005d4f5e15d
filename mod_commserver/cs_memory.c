/* SPDX-License-Identifier: Apache-2.0
 * cs_memory.c - memory that the connections of a child share; see cs_memory.h.
 *
 * What APR's allocators hand out are nodes, plain mappings that know nothing
 * of their allocator; so one can be taken from this and given to that. An
 * allocator cannot be asked how many it keeps: it is asked for nodes until it
 * gives one that is new. A pool that has used a node left its `ref` behind, a
 * mapping just made is all zeros. Should that ever be mistaken, a node stays
 * where it is or is shared a turn early: nothing else depends on it.
 */
#include "cs_compat.h"

#include "cs_memory.h"

#include <pthread.h>
#include <stdlib.h>

#define NODE_SIZE     8192 /* the least that an allocator takes from the kernel  */
#define KEPT_NODES    16   /* of a busy connection                               */
#define LENT_NODES    6    /* what a request takes                               */
#define SPARE_NODES   512
#define SPARE_BUFFERS 64

typedef struct buffer {
    struct buffer *next;
} buffer;

static struct {
    pthread_mutex_t lock;
    apr_memnode_t *nodes;
    unsigned node_count;
    unsigned node_least; /* of them since the last upkeep                */
    buffer *buffers;
    unsigned buffer_count;
} spare = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- buffers ------------------------------------------------------------ */

char *cs_memory_buffer_take(void)
{
    buffer *taken;

    pthread_mutex_lock(&spare.lock);
    taken = spare.buffers;
    if (taken != NULL) {
        spare.buffers = taken->next;
        spare.buffer_count--;
    }
    pthread_mutex_unlock(&spare.lock);
    return taken != NULL ? (char *)taken : malloc(CS_MEMORY_BUFFER);
}

void cs_memory_buffer_give(char *given)
{
    buffer *kept = (buffer *)(void *)given;

    pthread_mutex_lock(&spare.lock);
    if (spare.buffer_count < SPARE_BUFFERS) {
        kept->next = spare.buffers;
        spare.buffers = kept;
        spare.buffer_count++;
        kept = NULL;
    }
    pthread_mutex_unlock(&spare.lock);
    free(kept);
}

/* ---- nodes of allocators -------------------------------------------------- */

void cs_memory_bound(apr_allocator_t *allocator)
{
    apr_allocator_max_free_set(allocator, KEPT_NODES * NODE_SIZE);
}

void cs_memory_lend(apr_allocator_t *allocator)
{
    apr_memnode_t *first, *last = NULL, *node;
    unsigned n = 0;

    pthread_mutex_lock(&spare.lock);
    first = node = spare.nodes;
    while (node != NULL && n < LENT_NODES) {
        last = node;
        node = node->next;
        n++;
    }
    spare.nodes = node;
    spare.node_count -= n;
    if (spare.node_count < spare.node_least) {
        spare.node_least = spare.node_count;
    }
    pthread_mutex_unlock(&spare.lock);
    if (last != NULL) {
        last->next = NULL;
        apr_allocator_free(allocator, first);
    }
}

static int is_new(const apr_memnode_t *node)
{
    return node->ref == NULL;
}

static int has_usual_size(const apr_memnode_t *node)
{
    return node->endp - (const char *)node == NODE_SIZE;
}

/* As many of the list as may be; the rest stays in it. */
static void keep_spare(apr_memnode_t **list)
{
    pthread_mutex_lock(&spare.lock);
    while (*list != NULL && spare.node_count < SPARE_NODES) {
        apr_memnode_t *node = *list;

        *list = node->next;
        node->ref = &node->next; /* not new, whether a pool uses it or not   */
        node->next = spare.nodes;
        spare.nodes = node;
        spare.node_count++;
    }
    pthread_mutex_unlock(&spare.lock);
}

static void give_to_kernel(apr_allocator_t *allocator, apr_memnode_t *list)
{
    if (list != NULL) {
        apr_allocator_max_free_set(allocator, 1);
        apr_allocator_free(allocator, list);
        cs_memory_bound(allocator);
    }
}

void cs_memory_reclaim(apr_allocator_t *allocator)
{
    apr_memnode_t *usual = NULL, *excess = NULL;
    int i, more = 1;

    for (i = 0; i < KEPT_NODES && more; i++) {
        apr_memnode_t *node = apr_allocator_alloc(allocator, NODE_SIZE / 2);
        apr_memnode_t **list;

        if (node == NULL) {
            break;
        }
        more = !is_new(node);
        list = more && has_usual_size(node) ? &usual : &excess;
        node->next = *list;
        *list = node;
    }
    keep_spare(&usual);
    give_to_kernel(allocator, usual);
    give_to_kernel(allocator, excess);
}

/* ---- upkeep ----------------------------------------------------------------- */

/* Half of what lay idle: a quiet second may be followed by a busy one. */
static apr_memnode_t *take_idle(void)
{
    apr_memnode_t *list = NULL;
    unsigned n;

    pthread_mutex_lock(&spare.lock);
    for (n = (spare.node_least + 1) / 2; n > 0; n--) {
        apr_memnode_t *node = spare.nodes;

        spare.nodes = node->next;
        spare.node_count--;
        node->next = list;
        list = node;
    }
    spare.node_least = spare.node_count;
    pthread_mutex_unlock(&spare.lock);
    return list;
}

void cs_memory_upkeep(void)
{
    apr_memnode_t *idle = take_idle();
    apr_allocator_t *allocator;

    if (idle != NULL && apr_allocator_create(&allocator) == APR_SUCCESS) {
        apr_allocator_max_free_set(allocator, 1);
        apr_allocator_free(allocator, idle);
        apr_allocator_destroy(allocator);
    }
}
