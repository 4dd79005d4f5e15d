/* SPDX-License-Identifier: Apache-2.0
 * queue_bench.c - what the queue core costs, without httpd and network.
 *
 * Messages of 200 bytes from one or several writer processes to many clients,
 * taken off and acknowledged in batches. Prints the bytes of segment that a
 * queued message takes, nanoseconds of an append and of a fetched message,
 * and whether the segment is as empty at the end as it was at the start.
 *
 *   queue_bench [messages [clients [writers]]]
 */
#include "cs_compat.h"
#include "csq.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT (64 * 1024 * 1024)
#define ROUND   100000 /* messages queued before they are taken off   */
#define BATCH   100

typedef struct bench {
    csq *q;
    apr_pool_t *pool;
    long messages;
    int clients;
    int writers;
    char data[203];
    double append_seconds;
    double fetch_seconds;
} bench;

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void must(apr_status_t rv, const char *what)
{
    char text[128];

    if (rv == APR_SUCCESS)
        return;
    fprintf(stderr, "queue_bench: %s: %s\n", what, csq_strerror(rv, text, sizeof text));
    exit(EXIT_FAILURE);
}

static void append_some(bench *b, long from, long to)
{
    char client[32];
    csq_key key = { "www.example.org", client, NULL };
    csq_appended appended;
    apr_time_t now = apr_time_now();
    csq_message message = { .app = "orders",
                            .sender = "orders-backend",
                            .type = "application/json",
                            .encoding = CSQ_JSON,
                            .time = now,
                            .expires = now + apr_time_from_sec(3600),
                            .data = b->data,
                            .len = 202 };
    long i;

    for (i = from; i < to; i++) {
        snprintf(client, sizeof client, "client-%ld", i % b->clients);
        must(csq_append(b->q, &message, &key, 1, now, NULL, &appended), "append");
    }
}

/* Each writer appends its share in a process of its own. */
static void append_round(bench *b, long n)
{
    double start = seconds_now();
    int status;
    int i;

    if (b->writers == 1)
        append_some(b, 0, n);
    for (i = 0; b->writers > 1 && i < b->writers; i++) {
        if (fork() == 0) {
            append_some(b, n * i / b->writers, n * (i + 1) / b->writers);
            _exit(0);
        }
    }
    for (i = 0; b->writers > 1 && i < b->writers; i++)
        if (wait(&status) < 0 || status != 0)
            must(APR_EGENERAL, "a writer");
    b->append_seconds += seconds_now() - start;
}

static long drain_client(bench *b, csq_batch *batch, int number)
{
    char client[32];
    csq_key key = { "www.example.org", client, NULL };
    csq_cursor cursor;
    csq_fetch fetch = { .max_messages = BATCH, .max_bytes = SEGMENT };
    long taken = 0;
    apr_status_t rv;

    snprintf(client, sizeof client, "client-%d", number);
    for (;;) {
        rv = csq_fetch_batch(b->q, &key, &fetch, apr_time_now(), batch);
        if (rv == CSQ_EMPTY)
            return taken;
        must(rv, "fetch");
        taken += csq_batch_count(batch);
        cursor = csq_batch_cursor(batch);
        fetch.after = &cursor;
        fetch.acknowledge = 1;
    }
}

static void drain_round(bench *b, csq_batch *batch, long n)
{
    double start = seconds_now();
    long taken = 0;
    int i;

    for (i = 0; i < b->clients; i++)
        taken += drain_client(b, batch, i);
    b->fetch_seconds += seconds_now() - start;
    if (taken != n)
        must(APR_EGENERAL, "messages are missing");
}

static void report(bench *b, const csq_stats *empty, const csq_stats *full, long round)
{
    csq_stats stats;
    const char *problem = NULL;

    csq_stats_get(b->q, &stats);
    printf("messages            %ld of 200 bytes, %d clients, %d writers\n", b->messages,
           b->clients, b->writers);
    printf("segment a message   %.1f bytes\n",
           (double)(full->segment_used - empty->segment_used) / (double)round);
    printf("append              %.0f ns\n",
           b->append_seconds * 1e9 / (double)b->messages);
    printf("fetch, acknowledge  %.0f ns\n", b->fetch_seconds * 1e9 / (double)b->messages);
    printf("left in use         %llu bytes; before %llu\n",
           (unsigned long long)stats.segment_used,
           (unsigned long long)empty->segment_used);
    must(csq_audit(b->q, b->pool, &problem), problem ? problem : "audit");
    printf("audit               clean\n");
    if (stats.segment_used > empty->segment_used)
        must(APR_EGENERAL, "the segment has grown");
}

static void run(bench *b)
{
    csq_batch *batch = csq_batch_create();
    csq_stats empty;
    csq_stats full = { 0 };
    long round = b->messages < ROUND ? b->messages : ROUND;
    long done;

    append_some(b, 0, b->clients);
    b->fetch_seconds = 0;
    drain_round(b, batch, b->clients);
    csq_stats_get(b->q, &empty);
    for (done = 0; done < b->messages; done += round) {
        append_round(b, round);
        if (done == 0)
            csq_stats_get(b->q, &full);
        drain_round(b, batch, round);
    }
    b->messages = done;
    report(b, &empty, &full, round);
    csq_batch_destroy(batch);
}

int main(int argc, char **argv)
{
    csq_limits limits = { .max_queue_bytes = SEGMENT,
                          .max_message = 1024 * 1024,
                          .max_queue = ROUND,
                          .max_clients = 200000,
                          .default_ttl = 86400,
                          .max_ttl = 30 * 86400,
                          .client_expiry = 86400,
                          .device_expiry = 30 * 86400,
                          .max_devices = 16,
                          .overflow = CSQ_OVERFLOW_REJECT };
    char path[] = "/tmp/queue-bench-XXXXXX";
    bench b = { .messages = argc > 1 ? atol(argv[1]) : 1000000,
                .clients = argc > 2 ? atoi(argv[2]) : 1000,
                .writers = argc > 3 ? atoi(argv[3]) : 1 };

    if (b.messages < 1 || b.clients < 1 || b.writers < 1 || !mkdtemp(path)) {
        fputs("usage: queue_bench [messages [clients [writers]]]\n", stderr);
        return EXIT_FAILURE;
    }
    memset(b.data, 'x', sizeof b.data - 1);
    b.data[0] = b.data[201] = '"';
    apr_initialize();
    apr_pool_create(&b.pool, NULL);
    must(csq_create(apr_pstrcat(b.pool, path, "/queue", NULL), SEGMENT, 4, &limits,
                    b.pool, &b.q),
         "create");
    csq_lock_timeout_set(b.q, APR_USEC_PER_SEC);
    run(&b);
    apr_pool_destroy(b.pool);
    rmdir(path);
    return EXIT_SUCCESS;
}
