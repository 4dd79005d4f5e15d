/* SPDX-License-Identifier: Apache-2.0
 * check_csq_stops.c - a server that starts, works, saves and ends, and is
 * killed at any instant of that: whatever it was doing, what was accepted is
 * there once, and no cursor is told of a gap.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS  250
#define CLIENTS 40
#define EACH    25
#define SIZE    (4 * 1024 * 1024)

typedef struct board {
    uint32_t accepted;     /* appends that have returned success          */
    uint32_t acknowledged; /* numbers below are behind the cursor         */
    csq_cursor cursor;
    uint32_t started;
    uint32_t stops; /* clean ones                                  */
    uint32_t round;
} board;

static board *shared;
static char state[160];

static void setup(void)
{
    fixture_setup_bare();
    fx.limits.max_queue = 100000;
    fx.limits.max_queue_bytes = 1 << 30;
    snprintf(state, sizeof state, "%s.state", fx.path);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
}

static void teardown(void)
{
    munmap(shared, sizeof *shared);
    unlink(state);
    strcat(state, ".new");
    unlink(state);
    fixture_teardown();
}

static void fail_child(const char *what, apr_status_t rv)
{
    char text[128];

    fprintf(stderr, "round %u: %s: %s\n", shared->round, what,
            csq_strerror(rv, text, sizeof text));
    _exit(1);
}

/* ---- the server ---------------------------------------------------------- */

/* Sizes change from start to start. */
static void start_segment(void)
{
    csq_plan plan = {
        .path = fx.path, .state = state, .slots = FIXTURE_SLOTS, .limits = &fx.limits
    };
    csq_outcome outcome;
    apr_status_t rv;

    plan.size = SIZE + (shared->round % 3) * 1024 * 1024;
    rv = csq_start(&plan, fx.pool, &outcome, &fx.q);
    if (rv != APR_SUCCESS)
        fail_child("start", rv);
    if (outcome.mended || outcome.state_aside || outcome.beginning == CSQ_BEGUN_SET_ASIDE)
        fail_child("damage by death alone", outcome.state_reason);
    if (shared->round && outcome.beginning == CSQ_BEGUN_NEW && !outcome.restored)
        fail_child("nothing was there", CSQ_DAMAGED);
}

/* The numbers from the cursor on are those that are expected, each once. */
static void check_stream(void)
{
    const csq_gap *gaps;
    uint32_t expected = shared->acknowledged;
    apr_uint32_t n;
    unsigned i, number;
    apr_status_t rv =
        acknowledge("stream", shared->cursor.epoch ? &shared->cursor : NULL);

    if (rv != APR_SUCCESS && rv != CSQ_EMPTY)
        fail_child("fetch", rv);
    if (csq_batch_gap(fx.batch, &gaps, &n))
        fail_child("a gap", CSQ_DAMAGED);
    for (i = 0; i < csq_batch_count(fx.batch); i++) {
        if (sscanf(text_of(i), "%u", &number) != 1 || number != expected)
            fail_child("order", CSQ_DAMAGED);
        expected++;
    }
    if (expected != shared->accepted && expected != shared->accepted + 1)
        fail_child("one that was accepted is missing", CSQ_DAMAGED);
    shared->accepted = expected;
    shared->acknowledged = expected;
    shared->cursor = cursor_now();
}

static void append_some(unsigned *seed)
{
    char text[32];
    int i, n = rand_r(seed) % 60;

    for (i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%u", shared->accepted);
        if (put("stream", text) != APR_SUCCESS)
            fail_child("append", CSQ_DAMAGED);
        __atomic_store_n(&shared->accepted, shared->accepted + 1, __ATOMIC_SEQ_CST);
    }
}

/* Others, so that saving and restoring take their time. */
static void fill(void)
{
    char client[16];
    int i;

    for (i = 0; i < CLIENTS * EACH; i++) {
        snprintf(client, sizeof client, "c%d", i % CLIENTS);
        if (put(client, "something for the others that is as long as this is") != 0)
            fail_child("fill", CSQ_DAMAGED);
    }
}

static void serve(unsigned seed)
{
    apr_status_t rv;

    start_segment();
    check_stream();
    if (shared->round == 0)
        fill();
    __atomic_store_n(&shared->started, 1, __ATOMIC_SEQ_CST);
    append_some(&seed);
    if (rand_r(&seed) % 4 == 0)
        pause();
    rv = csq_save(fx.q, state);
    if (rv != APR_SUCCESS)
        fail_child("save", rv);
    apr_pool_destroy(fx.pool);
    __atomic_add_fetch(&shared->stops, 1, __ATOMIC_SEQ_CST);
    _exit(0);
}

/* ---- the killer ---------------------------------------------------------- */

static int run_round(unsigned *seed)
{
    unsigned start = (unsigned)rand_r(seed);
    struct timespec pause = { 0, rand_r(seed) % 30000000 };
    pid_t child = fork();
    int status;

    if (child == 0)
        serve(start);
    if (shared->round == 0)
        while (!__atomic_load_n(&shared->started, __ATOMIC_SEQ_CST))
            poll(NULL, 0, 1);
    ppoll(NULL, 0, &pause, NULL);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGKILL;
    return WEXITSTATUS(status) == 0;
}

START_TEST(it_may_die_while_it_starts_works_saves_and_ends)
{
    unsigned seed = (unsigned)getpid();
    int i;

    for (shared->round = 0; shared->round < ROUNDS; shared->round++)
        ck_assert(run_round(&seed));
    start_segment();
    check_stream();
    ck_assert_uint_gt(shared->stops, ROUNDS / 20);
    for (i = 0; i < CLIENTS; i++) {
        ck_ok(get(apr_psprintf(fx.pool, "c%d", i), NULL));
        ck_assert_uint_eq(csq_batch_count(fx.batch), EACH);
    }
    printf("%u clean stops of %d, %u messages\n", shared->stops, ROUNDS,
           shared->accepted);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_stops");
    TCase *tc = tcase_create("stops");
    SRunner *runner;
    int failed;

#ifdef __SANITIZE_THREAD__
    fputs("SKIP: under ThreadSanitizer it starts too slowly to come to a stop\n", stderr);
    return 77;
#endif
    tcase_set_timeout(tc, 180);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, it_may_die_while_it_starts_works_saves_and_ends);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
