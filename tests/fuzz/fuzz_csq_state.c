/* SPDX-License-Identifier: Apache-2.0
 * fuzz_csq_state.c - a server starts with any file as its saved state: it
 * starts, with a segment that keeps all its rules, can be worked with and can
 * be saved, and what was restored is restored from that again.
 *
 * Input: a byte, then the file. Bit 0 of the byte: the records are written
 * with lengths and checksums that are right, so that what is in them is
 * reached. Bit 1: what is restored of the file is what is restored of the
 * records before the first that is damaged.
 */
#include "cs_compat.h"
#include "csq_saved.h"
#include "fuzz_segment.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT_SIZE (384 * 1024)
#define MEMORY_MOST  (64 * 1024 * 1024) /* what a segment may be made of       */

const unsigned fuzz_rounds = 150;

static char state[128], damaged[160];

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    fixture_setup_bare();
    rmdir(fx.directory);
    fx.directory[0] = '\0';
    fuzz_folder_make();
    snprintf(state, sizeof(state), "%s.state", fx.path);
    snprintf(damaged, sizeof(damaged), "%s.damaged", state);
    fx.now = 1700000000 * SECOND;
    fx.limits.max_clients = 100;
    return 0;
}

/* ---- the file ------------------------------------------------------------------- */

static void write_raw(const uint8_t *data, size_t len)
{
    int fd = open(state, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    FUZZ_CHECK(fd >= 0 && write(fd, data, len) == (ssize_t)len);
    close(fd);
}

/* Of the head of a record only its type and its length count, and the length
 * only as far as there are bytes. */
static void write_mended(const uint8_t *data, size_t len)
{
    fuzz_input input = { data, len };
    csq_writer writer;

    csq_writer_open(&writer, state);
    fuzz_take_number(&input, 4);
    fuzz_take_number(&input, 8);
    while (input.left > CSQ_SAVED_HEAD) {
        size_t contents;
        uint8_t type, *bytes;

        fuzz_take_number(&input, 4);
        contents = (size_t)fuzz_take_number(&input, 4);
        type = fuzz_take_byte(&input);
        fuzz_take_number(&input, 3);
        bytes = fuzz_take_bytes(&input, contents, &contents);
        csq_writer_record(&writer, (csq_record)type);
        csq_writer_bytes(&writer, bytes, contents);
        csq_writer_done(&writer);
        free(bytes);
    }
    FUZZ_CHECK(csq_writer_close(&writer) == APR_SUCCESS);
}

/* @return bytes up to the first damage; 0: it has no begin */
static size_t good_bytes(const char *path)
{
    csq_saved_begin begin;
    csq_reader reader;
    csq_record type;
    size_t good = 0;
    struct stat info;

    if (stat(path, &info) != 0 || csq_reader_open(&reader, path, &begin) != APR_SUCCESS) {
        return 0;
    }
    do {
        good = (size_t)info.st_size - (size_t)reader.left - (reader.have - reader.at);
    } while (csq_reader_next(&reader, &type) == APR_SUCCESS);
    csq_reader_close(&reader);
    return good;
}

/* ---- the start ------------------------------------------------------------------ */

typedef struct contents {
    apr_uint64_t clients;
    apr_uint64_t queued;
    apr_uint64_t bytes;
} contents;

static apr_pool_t *server;

static csq_outcome start(contents *out)
{
    csq_plan plan = { .path = fx.path,
                      .state = state,
                      .size = SEGMENT_SIZE,
                      .slots = 1,
                      .limits = &fx.limits };
    csq_outcome outcome;
    csq_stats stats;

    FUZZ_CHECK(apr_pool_create(&server, NULL) == APR_SUCCESS);
    FUZZ_CHECK(csq_start(&plan, server, &outcome, &fx.q) == APR_SUCCESS);
    FUZZ_CHECK(outcome.beginning == CSQ_BEGUN_NEW);
    FUZZ_CHECK(outcome.size <= MEMORY_MOST);
    fuzz_segment_audit();
    csq_stats_get(fx.q, &stats);
    out->clients = stats.clients;
    out->queued = stats.queued;
    out->bytes = stats.bytes;
    return outcome;
}

static void end(void)
{
    apr_pool_destroy(server);
    fx.q = NULL;
    unlink(damaged);
}

static int is_same(const contents *one, const contents *other)
{
    return one->clients == other->clients && one->queued == other->queued
           && one->bytes == other->bytes;
}

/* Queues are read, and something is added. */
static void work(void)
{
    static const char *const clients[] = { "alice", "bob", "greta", "fred", "ursula" };
    csq_key key = { "realm", NULL, NULL };
    size_t i;

    for (i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
        csq_fetch what = { .max_messages = 1000, .max_bytes = 1 << 20, .peek = i % 2 };

        key.client = clients[i];
        if (csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch) == APR_SUCCESS) {
            free(fuzz_segment_answer());
        }
        put(clients[i], "x");
        get(clients[i], NULL);
    }
    put("somebody", "x");
    csq_expire(fx.q, fx.now + 60 * SECOND, 100000);
    fuzz_segment_audit();
}

/* What was saved is restored as it was. */
static void save_and_start(void)
{
    contents before, after;
    csq_stats stats;
    csq_outcome outcome;

    csq_stats_get(fx.q, &stats);
    before = (contents){ stats.clients, stats.queued, stats.bytes };
    FUZZ_CHECK(csq_save(fx.q, state) == APR_SUCCESS);
    end();
    outcome = start(&after);
    FUZZ_CHECK(outcome.restored && outcome.state_aside == NULL);
    FUZZ_CHECK(is_same(&before, &after));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = { data, size };
    unsigned mode = fuzz_take_byte(&input);
    contents all, part;
    size_t good = 0;

    unlink(state);
    if (mode & 1) {
        write_mended(input.data, input.left);
    }
    else {
        write_raw(input.data, input.left);
    }
    good = mode & 2 ? good_bytes(state) : 0;
    start(&all);
    if (good > 0 && !(mode & 1)) {
        end();
        unlink(state);
        write_raw(input.data, good);
        start(&part);
        FUZZ_CHECK(is_same(&all, &part));
    }
    unlink(state);
    work();
    save_and_start();
    end();
    unlink(state);
    apr_pool_clear(fx.pool);
    return 0;
}
