/* SPDX-License-Identifier: Apache-2.0
 * check_csq_killed.c - a whole server, parent and children, is killed at any
 * instant, while it starts too, and started again: what was accepted is
 * there, in order, once; cursors stay valid; nothing needs mending.
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

#define WRITERS  3
#define CHURNERS 2
#define ROUNDS   120
#define SIZE     (8 * 1024 * 1024)

/* Outlives all servers. */
typedef struct board {
    uint32_t accepted[WRITERS]; /* appends that have returned success         */
    uint32_t expected[WRITERS]; /* the number that comes next                 */
    csq_cursor cursor[WRITERS];
    uint32_t running; /* children of the server at work             */
    uint32_t round;
} board;

static board *shared;

static void setup(void)
{
    fixture_setup_bare();
    fx.limits.max_queue = 1000000;
    fx.limits.max_queue_bytes = 1 << 30;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
}

static void teardown(void)
{
    munmap(shared, sizeof *shared);
    fixture_teardown();
}

static void fail_child(const char *what, apr_status_t rv)
{
    char text[128];

    fprintf(stderr, "round %u: %s: %s\n", shared->round, what,
            csq_strerror(rv, text, sizeof text));
    _exit(1);
}

/* ---- what children do ---------------------------------------------------- */

static void append_counted(int writer)
{
    char client[24];
    char text[32];
    uint32_t i;

    snprintf(client, sizeof client, "stream%d", writer);
    __atomic_add_fetch(&shared->running, 1, __ATOMIC_SEQ_CST);
    for (i = shared->accepted[writer];; i++) {
        apr_status_t rv;

        snprintf(text, sizeof text, "%u", i);
        rv = put(client, text);
        if (rv == CSQ_SEGMENT_FULL)
            pause();
        if (rv != APR_SUCCESS)
            fail_child("append", rv);
        __atomic_store_n(&shared->accepted[writer], i + 1, __ATOMIC_SEQ_CST);
    }
}

static void churn(int seed)
{
    static const csq_key keys[3] = { { "realm", "x", NULL },
                                     { "realm", "y", NULL },
                                     { "realm", "z", NULL } };
    csq_message message = { .realm = "realm",
                            .app = "a",
                            .sender = "s",
                            .encoding = CSQ_JSON,
                            .time = fx.now,
                            .data = "{}",
                            .len = 2 };
    unsigned state = (unsigned)seed;
    csq_cursor cursor;
    csq_slot *slot = NULL;
    char client[24];

    csq_slot_claim(fx.q, fx.pool, &slot);
    __atomic_add_fetch(&shared->running, 1, __ATOMIC_SEQ_CST);
    for (;;) {
        snprintf(client, sizeof client, "c%d", rand_r(&state) % 40);
        message.expires = fx.now + rand_r(&state) % 90 * SECOND;
        switch (rand_r(&state) % 5) {
        case 0:
            csq_append(fx.q, &message, keys, 3, fx.now, NULL, NULL);
            break;
        case 1:
            put_full("b", client, "soon gone", fx.now + SECOND);
            break;
        case 2:
            if (slot)
                wait_for(client, csq_waiter_make(slot, 1), 0);
            break;
        case 3:
            fx.now += SECOND / 100;
            csq_expire(fx.q, fx.now, 100);
            break;
        default:
            if (get(client, NULL) == APR_SUCCESS) {
                cursor = cursor_now();
                acknowledge(client, &cursor);
            }
            break;
        }
    }
}

/* ---- the server ---------------------------------------------------------- */

static void check_stream(int writer)
{
    csq_cursor *cursor = &shared->cursor[writer];
    uint32_t expected = shared->expected[writer];
    const csq_gap *gaps;
    char client[24];
    apr_status_t rv;
    apr_uint32_t n;
    unsigned i, number;

    snprintf(client, sizeof client, "stream%d", writer);
    rv = acknowledge(client, cursor->epoch ? cursor : NULL);
    if (rv != APR_SUCCESS && rv != CSQ_EMPTY)
        fail_child("fetch", rv);
    if (csq_batch_gap(fx.batch, &gaps, &n))
        fail_child("a gap", CSQ_DAMAGED);
    *cursor = cursor_now();
    for (i = 0; i < csq_batch_count(fx.batch); i++) {
        if (sscanf(text_of(i), "%u", &number) != 1)
            fail_child("a text", CSQ_DAMAGED);
        /* One that was accepted, but not yet noted, may be there twice. */
        if (number != expected && (i != 0 || number + 1 != expected))
            fail_child("order", CSQ_DAMAGED);
        expected = number + 1;
    }
    if (expected < shared->accepted[writer] || expected > shared->accepted[writer] + 1)
        fail_child("one that was accepted is missing", CSQ_DAMAGED);
    shared->expected[writer] = expected;
}

static void start_segment(csq_outcome *out_outcome)
{
    csq_plan plan = {
        .path = fx.path, .size = SIZE, .slots = FIXTURE_SLOTS, .limits = &fx.limits
    };
    apr_status_t rv = csq_start(&plan, fx.pool, out_outcome, &fx.q);

    if (rv != APR_SUCCESS)
        fail_child("start", rv);
    csq_lock_timeout_set(fx.q, 20 * SECOND);
}

static void serve(unsigned seed)
{
    csq_outcome outcome;
    int i;

    start_segment(&outcome);
    if (outcome.beginning != (shared->round ? CSQ_BEGUN_TAKEN_OVER : CSQ_BEGUN_NEW))
        fail_child("how it began", outcome.reason);
    if (outcome.mended)
        fail_child("damage by death alone", CSQ_DAMAGED);
    for (i = 0; i < WRITERS; i++)
        check_stream(i);
    for (i = 0; i < WRITERS + CHURNERS; i++) {
        if (fork() != 0)
            continue;
        if (i < WRITERS)
            append_counted(i);
        churn((int)seed + i);
    }
    if (wait(NULL) > 0)
        fail_child("a child ended", CSQ_DAMAGED);
}

/* ---- the killer ---------------------------------------------------------- */

static pid_t start_group(void (*run)(unsigned), unsigned seed)
{
    pid_t child = fork();

    if (child == 0) {
        setpgid(0, 0);
        run(seed);
        _exit(0);
    }
    setpgid(child, child);
    return child;
}

static void kill_group(pid_t group)
{
    int status;

    ck_assert_int_eq(kill(-group, SIGKILL), 0);
    ck_assert_int_eq(waitpid(group, &status, 0), group);
    ck_assert_msg(WIFSIGNALED(status), "a server ended with %x", status);
    while (csq_holders(fx.path, NULL, 0) > 0)
        poll(NULL, 0, 1);
}

static void pause_at_most(unsigned *seed, unsigned nanoseconds)
{
    struct timespec pause = { 0, (long)((unsigned)rand_r(seed) % nanoseconds) };

    ppoll(NULL, 0, &pause, NULL);
}

static void start_only(unsigned seed)
{
    csq_outcome outcome;

    (void)seed;
    start_segment(&outcome);
    if (outcome.beginning != CSQ_BEGUN_TAKEN_OVER || outcome.mended)
        fail_child("taking over after a death while taking over", outcome.reason);
    for (;;)
        pause();
}

static void run_round(unsigned *seed)
{
    pid_t server = start_group(serve, (unsigned)rand_r(seed));
    int waited;

    shared->running = 0;
    for (waited = 0;
         __atomic_load_n(&shared->running, __ATOMIC_SEQ_CST) < WRITERS + CHURNERS;
         waited++) {
        ck_assert_int_lt(waited, 20000);
        ck_assert_int_eq(waitpid(server, NULL, WNOHANG), 0);
        poll(NULL, 0, 1);
    }
    pause_at_most(seed, 3000000);
    kill_group(server);
    if (rand_r(seed) % 2) {
        server = start_group(start_only, 0);
        pause_at_most(seed, 30000000);
        kill_group(server);
    }
}

START_TEST(what_was_accepted_outlives_the_server)
{
    unsigned seed = (unsigned)getpid();
    csq_outcome outcome;
    int i;

    for (shared->round = 0; shared->round < ROUNDS; shared->round++)
        run_round(&seed);
    start_segment(&outcome);
    ck_assert_int_eq(outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    for (i = 0; i < WRITERS; i++) {
        check_stream(i);
        ck_assert_uint_gt(shared->accepted[i], 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_killed");
    TCase *tc = tcase_create("killed");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, what_was_accepted_outlives_the_server);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
