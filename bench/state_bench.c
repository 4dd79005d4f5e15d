/* SPDX-License-Identifier: Apache-2.0
 * state_bench.c - what it costs to stop and to start with full queues, without
 * httpd: the state is saved, restored, and taken over after a kill.
 *
 * Prints seconds, and those of the processor, for each; and the bytes of the
 * file. The file lies below TMPDIR, or in /tmp.
 *
 *   state_bench [messages [clients]]
 */
#include "cs_compat.h"
#include "csq.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BYTES_A_MESSAGE 400 /* of the segment, with room to spare           */

typedef struct bench {
    apr_pool_t *pool;
    csq *q;
    csq_plan plan;
    csq_limits limits;
    csq_outcome outcome;
    double wall;
    double processor;
} bench;

static void must(apr_status_t rv, const char *what)
{
    char text[128];

    if (rv == APR_SUCCESS)
        return;
    fprintf(stderr, "state_bench: %s: %s\n", what, csq_strerror(rv, text, sizeof text));
    exit(EXIT_FAILURE);
}

static double of_timeval(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static void begin(bench *b)
{
    struct rusage usage;
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    getrusage(RUSAGE_SELF, &usage);
    b->wall = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    b->processor = of_timeval(&usage.ru_utime) + of_timeval(&usage.ru_stime);
}

static void end(bench *b, const char *what)
{
    double wall = b->wall, processor = b->processor;

    begin(b);
    printf("%s %.2f s, processor %.2f s\n", what, b->wall - wall,
           b->processor - processor);
}

static void start(bench *b, const char *what)
{
    apr_pool_create(&b->pool, NULL);
    begin(b);
    must(csq_start(&b->plan, b->pool, &b->outcome, &b->q), "start");
    end(b, what);
}

static void stop(bench *b)
{
    apr_pool_destroy(b->pool);
}

static void fill(bench *b, long messages, long clients)
{
    char data[203];
    char client[32];
    csq_key key = { "www.example.org", client, NULL };
    csq_message message = { .realm = "www.example.org",
                            .app = "orders",
                            .sender = "backend",
                            .type = "text/plain",
                            .encoding = CSQ_TEXT,
                            .time = apr_time_now(),
                            .data = data,
                            .len = 202 };
    long i;

    memset(data, 'x', sizeof data);
    data[0] = data[201] = '"';
    message.expires = message.time + apr_time_from_sec(86400);
    for (i = 0; i < messages; i++) {
        snprintf(client, sizeof client, "client%ld", i % clients);
        must(csq_append(b->q, &message, &key, 1, message.time, NULL, NULL), "append");
    }
}

static void run(bench *b, long messages, long clients)
{
    struct stat info;

    start(b, "new segment");
    fill(b, messages, clients);
    begin(b);
    must(csq_save(b->q, b->plan.state), "save");
    end(b, "save");
    stop(b);
    if (stat(b->plan.state, &info) == 0)
        printf("file %lld bytes\n", (long long)info.st_size);
    start(b, "restore");
    csq_keep(b->q);
    stop(b);
    start(b, "take over");
    if (b->outcome.messages != (apr_uint64_t)messages)
        must(CSQ_DAMAGED, "messages are missing");
    stop(b);
}

int main(int argc, char **argv)
{
    long messages = argc > 1 ? atol(argv[1]) : 1000000;
    long clients = argc > 2 ? atol(argv[2]) : 10000;
    const char *tmp = getenv("TMPDIR");
    char folder[128], path[160], state[160];
    bench b = { .limits = { .max_queue_bytes = 1 << 30,
                            .max_message = 1 << 20,
                            .max_queue = 10000000,
                            .max_clients = 200000,
                            .default_ttl = 86400,
                            .max_ttl = 86400,
                            .client_expiry = 86400,
                            .device_expiry = 86400,
                            .max_devices = 16 } };

    apr_initialize();
    snprintf(folder, sizeof folder, "%s/stateXXXXXX", tmp ? tmp : "/tmp");
    if (messages < 1 || clients < 1 || !mkdtemp(folder))
        must(APR_EINVAL, "arguments, or TMPDIR");
    snprintf(path, sizeof path, "%s/queue", folder);
    snprintf(state, sizeof state, "%s/state", folder);
    b.plan.path = path;
    b.plan.state = state;
    b.plan.size = ((size_t)messages + 100000) * BYTES_A_MESSAGE;
    b.plan.slots = 16;
    b.plan.limits = &b.limits;
    run(&b, messages, clients);
    unlink(state);
    rmdir(folder);
    apr_terminate();
    return EXIT_SUCCESS;
}
