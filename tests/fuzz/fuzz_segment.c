/* SPDX-License-Identifier: Apache-2.0
 * fuzz_segment.c - see fuzz_segment.h.
 */
#include "cs_compat.h"
#include "fuzz_segment.h"

#include <dirent.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cs_response.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(at, len) ((void)(at), (void)(len))
#endif

#define LOCK_TIMEOUT 20 /* microseconds                                    */

static size_t size;
static char *snapshot;
static csq_message_key first_message;
static void *volatile allocator; /* pools are nothing that is searched for leaks */

/* ---- files ------------------------------------------------------------------ */

static void set_paths(void)
{
    const char *folder = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";

    snprintf(fx.directory, sizeof(fx.directory), "%s/csqfuzzXXXXXX", folder);
    FUZZ_CHECK(mkdtemp(fx.directory) != NULL);
    snprintf(fx.path, sizeof(fx.path), "%s/q", fx.directory);
}

void fuzz_folder_make(void)
{
    if (fx.directory[0] == '\0') {
        set_paths();
        atexit(fuzz_folder_remove);
    }
}

void fuzz_folder_remove(void)
{
    DIR *folder = fx.directory[0] != '\0' ? opendir(fx.directory) : NULL;
    struct dirent *entry;
    char path[512];

    if (folder == NULL) {
        return;
    }
    while ((entry = readdir(folder)) != NULL) {
        snprintf(path, sizeof(path), "%s/%s", fx.directory, entry->d_name);
        unlink(path);
    }
    closedir(folder);
    rmdir(fx.directory);
    fx.directory[0] = '\0';
}

/* ---- the segment ------------------------------------------------------------ */

static void remove_names(void)
{
    apr_shm_remove(fx.path, fx.pool);
    fuzz_folder_remove();
}

/* To the end of pages behind which there are none; it ends with a chunk. */
static char *place_between_guards(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t used = (size + 63) & ~(size_t)63;
    size_t pages = (used + page - 1) / page * page;
    char *region =
        mmap(NULL, pages + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *base = region + page + pages - used;

    FUZZ_CHECK(region != MAP_FAILED);
    FUZZ_CHECK(mprotect(region + page, pages, PROT_READ | PROT_WRITE) == 0);
    memcpy(base, fx.q->header, size);
    ASAN_POISON_MEMORY_REGION(region + page, (size_t)(base - region) - page);
    ASAN_POISON_MEMORY_REGION(base + size, used - size);
    return base;
}

static void move_between_guards(void)
{
    csq_map map;

    FUZZ_CHECK(csq_map_check(fx.q->header, fx.q->header->size, &map) == APR_SUCCESS);
    size = map.end;
    csq_map_apply(fx.q, place_between_guards(), &map);
    everything_claim(); /* of what lies there now */
    snapshot = malloc(size);
    FUZZ_CHECK(snapshot != NULL);
    memcpy(snapshot, fx.q->header, size);
}

void fuzz_segment_make(void)
{
    unsigned seed = 1;

    fixture_setup_bare();
    rmdir(fx.directory);
    set_paths();
    fixture_create(FUZZ_SEGMENT_SIZE, 2);
    everything_begin(seed);
    everything_fill(&seed);
    first_message = *everything_message();
    allocator = apr_pool_allocator_get(fx.q->shm_pool);
    csq_lock_timeout_set(fx.q, LOCK_TIMEOUT);
    move_between_guards();
    remove_names();
    FUZZ_CHECK(apr_pool_create(&fx.pool, fx.pool) == APR_SUCCESS);
}

void fuzz_segment_reset(void)
{
    everything_again(0x10000); /* no id twice */
    memcpy(fx.q->header, snapshot, size);
    *everything_message() = first_message;
    csq_batch_reset(fx.batch);
}

size_t fuzz_segment_size(void)
{
    return size;
}

void fuzz_segment_audit(void)
{
    const char *problem = NULL;
    apr_pool_t *pool;

    FUZZ_CHECK(apr_pool_create(&pool, fx.pool) == APR_SUCCESS);
    if (csq_audit(fx.q, pool, &problem) != APR_SUCCESS) {
        fprintf(stderr, "audit: %s\n", problem != NULL ? problem : "no answer");
        abort();
    }
    apr_pool_destroy(pool);
}

void fuzz_segment_restart(void)
{
    csq_header *header = fx.q->header;

    FUZZ_CHECK(csq_mutexes_make(fx.q) == APR_SUCCESS);
    header->closed = 0;
    header->repairing = 0;
    FUZZ_CHECK(csq_limits_set(fx.q, &fx.limits) == APR_SUCCESS);
    csq_repair_want(fx.q);
    FUZZ_CHECK(csq_repair(fx.q) == APR_SUCCESS);
    fuzz_segment_audit();
}

char *fuzz_segment_answer(void)
{
    apr_size_t room = cs_response_events_size(fx.batch);
    char *out = malloc(room);

    FUZZ_CHECK(out != NULL);
    FUZZ_CHECK(cs_response_events(fx.batch, 1, out) <= room);
    free(out);
    room = cs_response_batch_size(fx.batch);
    out = malloc(room + 1);
    FUZZ_CHECK(out != NULL);
    room = cs_response_batch(fx.batch, out);
    out[room] = '\0';
    return out;
}
