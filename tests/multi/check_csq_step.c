/* SPDX-License-Identifier: Apache-2.0
 * check_csq_step.c - a death behind any instruction of any operation leaves a
 * segment with which the next process goes on at once, with every promise kept.
 *
 * Each operation is stepped through once. Then it is run again and again, and
 * killed: another process goes on at once, everything is audited, judged,
 * emptied, and all chunks are free again. At some of the places where nothing
 * is killed a copy of the segment is repaired and judged.
 *
 * CSQ_STEP_KILLS      kills of each operation, at places chosen at random, and
 *                     behind each system call of a start or a stop; "all":
 *                     at each place where a death leaves something else
 *                     (step_harness.h says why that is everywhere), both with
 *                     nobody there and with another process waiting
 * CSQ_STEP_EACH       1: behind each single instruction; N: behind each N-th
 * CSQ_STEP_AT         behind this instruction only
 * CSQ_STEP_SEED       chooses the places
 * CSQ_STEP_OPERATION  only those whose names fit one of these patterns
 * CSQ_STEP_VERBOSE    say what was done
 */
#include "cs_compat.h"
#include "step_harness.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KILLS 1 /* many more instructions                      */
#else
#define KILLS 4
#endif
#define COPIES_EVERY   8 /* places, where not all are met with a kill      */
#define LONG_EVERY     8 /* operations that are long; the same             */
#define OPERATIONS_MAX 100
#define TRIES          6 /* of a run that was not like the one recorded */

static const step_operation *const tables[] = {
    step_publish_operations, step_fetch_operations,   step_message_operations,
    step_group_operations,   step_segment_operations, step_server_operations
};
static const step_operation *operations[OPERATIONS_MAX];
static int operation_count;
static unsigned seed;
static step_trace *trace;

/* One of the patterns, which are separated by blanks. */
static int is_wanted(const char *patterns, const char *name)
{
    char *all = strdup(patterns);
    char *rest;
    char *pattern;
    int wanted = 0;

    for (pattern = strtok_r(all, " ", &rest); pattern && !wanted;
         pattern = strtok_r(NULL, " ", &rest))
        wanted = fnmatch(pattern, name, 0) == 0;
    free(all);
    return wanted;
}

/* Of those that take long, some each time. */
static int is_drawn(const step_operation *op, int everything)
{
    static unsigned turn;

    return everything || !(op->flags & STEP_LONG) || (seed + turn++) % LONG_EVERY == 0;
}

static void find_operations(int everything)
{
    const char *only = getenv("CSQ_STEP_OPERATION");
    const step_operation *op;
    size_t i;

    for (i = 0; i < sizeof tables / sizeof tables[0]; i++)
        for (op = tables[i]; op->name; op++)
            if (only ? is_wanted(only, op->name) : is_drawn(op, everything))
                operations[operation_count++] = op;
}

static long number_from(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text && *text ? atol(text) : otherwise;
}

/* ---- one process for one run -------------------------------------------- */

/* What a run that failed has left must not stay. */
static void tidy(void)
{
    apr_shm_remove(fx.path, fx.pool);
    if (system(apr_pstrcat(fx.pool, "rm -rf ", fx.directory, NULL)) != 0)
        fprintf(stderr, "'%s' stays\n", fx.directory);
}

/* @return 0: the run was not like the one recorded. */
static int finish_run(pid_t run, const step_operation *op, long step, step_mode mode)
{
    int status;

    ck_assert_int_eq(waitpid(run, &status, 0), run);
    if (WIFEXITED(status) && WEXITSTATUS(status) == STEP_NOT_THE_SAME) {
        tidy();
        ck_assert_int_eq(mkdir(fx.directory, 0700), 0);
        return 0;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 1;
    fprintf(stderr, "%s, step %ld%s, CSQ_STEP_SEED=%u: the run ended with %x\n", op->name,
            step, mode == STEP_WAITING ? ", one waits" : "", seed, (unsigned)status);
    tidy();
    _exit(EXIT_FAILURE); /* the run has said why */
}

static void record(const step_operation *op, long first, long every)
{
    pid_t run = fork();

    ck_assert_int_ge(run, 0);
    if (run == 0) {
        step_record(op, trace, first, every);
        _exit(0);
    }
    ck_assert_int_eq(finish_run(run, op, -1, STEP_AFTER), 1);
}

static void kill_at(const step_operation *op, long place, long step, step_mode mode)
{
    pid_t run;
    int i;

    for (i = 0; i < TRIES; i++) {
        run = fork();
        ck_assert_int_ge(run, 0);
        if (run == 0) {
            step_kill(op, trace, place, step, mode);
            _exit(0);
        }
        if (finish_run(run, op, step, mode))
            return;
    }
    ck_abort_msg("%s, step %ld: no run is like the one that was recorded", op->name,
                 step);
}

/* ---- which instructions ------------------------------------------------- */

static step_mode other_mode(const step_operation *op, long i)
{
    return i % 2 == 0 || (op->flags & STEP_SERVER) ? STEP_AFTER : STEP_WAITING;
}

static long kill_at_some(const step_operation *op, long kills)
{
    unsigned state = seed;
    long i, place;

    for (i = 0; i < kills; i++) {
        place = trace->places * i / kills + rand_r(&state) % (trace->places / kills + 1);
        if (place >= trace->places)
            place = trace->places - 1;
        kill_at(op, place, trace->step[place], other_mode(op, i));
    }
    return kills;
}

/* What is on the disk changes here. */
static long kill_at_calls(const step_operation *op)
{
    long kills = 0;
    long place;

    for (place = 0; place < trace->places; place++)
        if (trace->call[place]) {
            kill_at(op, place, trace->step[place], STEP_AFTER);
            kills++;
        }
    return kills;
}

static long kill_at_all_places(const step_operation *op)
{
    long kills = 0;
    long place;

    for (place = 0; place < trace->places; place++) {
        kill_at(op, place, trace->step[place], STEP_AFTER);
        kills++;
        if (op->flags & STEP_SERVER)
            continue;
        kill_at(op, place, trace->step[place], STEP_WAITING);
        kills++;
    }
    return kills;
}

static long kill_at_each(const step_operation *op, long every)
{
    long kills = 0;
    long place = 0;
    long step;

    for (step = 0; step <= trace->steps; step += every) {
        while (place + 1 < trace->places && trace->step[place + 1] <= step)
            place++;
        kill_at(op, place, step, STEP_AFTER);
        kills++;
    }
    return kills;
}

static long kill_at_one(const step_operation *op, long step)
{
    long place = 0;

    while (place + 1 < trace->places && trace->step[place + 1] <= step)
        place++;
    kill_at(op, place, step, STEP_AFTER);
    if (op->flags & STEP_SERVER)
        return 1;
    kill_at(op, place, trace->step[place], STEP_WAITING);
    return 2;
}

START_TEST(killed_anywhere_the_next_goes_on)
{
    const step_operation *op = operations[_i];
    const char *kills_text = getenv("CSQ_STEP_KILLS");
    long each = number_from("CSQ_STEP_EACH", 0);
    long at = number_from("CSQ_STEP_AT", -1);
    long kills;

    if (at >= 0) {
        record(op, 0, 0);
        kills = kill_at_one(op, at);
    }
    else if (each > 0) {
        record(op, 0, 0);
        kills = kill_at_each(op, each);
    }
    else if (kills_text && strcmp(kills_text, "all") == 0) {
        record(op, 0, 0);
        kills = kill_at_all_places(op);
    }
    else {
        record(op, seed % COPIES_EVERY, COPIES_EVERY);
        kills = kill_at_some(op, number_from("CSQ_STEP_KILLS", KILLS));
        if (op->flags & STEP_SERVER)
            kills += kill_at_calls(op);
    }
    if (getenv("CSQ_STEP_VERBOSE"))
        printf("%s: %ld instructions, %ld system calls, %ld places, %ld kills\n",
               op->name, trace->steps, trace->calls, trace->places, kills);
    fflush(stdout);
}
END_TEST

/* ---- all ---------------------------------------------------------------- */

static void setup(void)
{
    step_setup();
    trace = mmap(NULL, sizeof *trace, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(trace, MAP_FAILED);
}

static void teardown(void)
{
    munmap(trace, sizeof *trace);
    step_teardown();
}

/* NULL: it can be done here. */
static const char *why_not(void)
{
#ifdef __SANITIZE_THREAD__
    return "each process has one thread, and ThreadSanitizer's steps would be counted";
#else
    return step_is_possible()
               ? NULL
               : "ptrace is not permitted here, or not known for this machine";
#endif
}

int main(void)
{
    Suite *suite = suite_create("csq_step");
    TCase *tc = tcase_create("step");
    SRunner *runner;
    int all =
        getenv("CSQ_STEP_KILLS") || getenv("CSQ_STEP_EACH") || getenv("CSQ_STEP_AT");
    int failed;

    if (why_not()) {
        fprintf(stderr, "SKIP: %s\n", why_not());
        return 77;
    }
    seed = (unsigned)number_from("CSQ_STEP_SEED", getpid());
    find_operations(all);
    printf("CSQ_STEP_SEED=%u, %d operations\n", seed, operation_count);
    fflush(stdout);
    tcase_set_timeout(tc, all ? 0 : 300);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, killed_anywhere_the_next_goes_on, 0, operation_count);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
