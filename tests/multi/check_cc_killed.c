/* SPDX-License-Identifier: Apache-2.0
 * check_cc_killed.c - the agent is killed at any of its system calls while it does
 * something with its inbox, or the power fails there.
 *
 * When the file is opened again, what was told to somebody is in it, whole and
 * once; what was under way is there whole or not at all; and the agent can go on.
 *
 * STEP_ALL=1: at every stop, not at some of them. STEP_SEED=N: the same ones again.
 */
#include "call_steps.h"
#include "power_cut.h"
#include "multi/inbox_acts.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SOME 24 /* stops of one act that are tried in the short form        */

static char directory[256];
static unsigned seed;
static int all;
static const inbox_act *act;
static power_disk *disk;

static void set_up(void)
{
    snprintf(directory, sizeof(directory), "%s", reaper_temporary());
    act_directory_set(directory);
    act_told = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                    -1, 0);
    ck_assert_ptr_ne((const void *)(uintptr_t)act_told, MAP_FAILED);
}

/* ---- what the child does ---------------------------------------------------- */

static void work(void *baton)
{
    (void)baton;
    act_prepare(act);
    steps_begin();
    act_run(act);
}

static void keep_disk(void *baton)
{
    (void)baton;
    disk = power_disk_read(directory);
}

/* ---- what must be there then ------------------------------------------------- */

/* Told of the last, or the next one was under way. */
static void check_state(const char *text, int told, const char *where)
{
    int next = told < act_last_state(act) ? told + 1 : told;

    if (strcmp(text, act->states[told]) == 0 || strcmp(text, act->states[next]) == 0)
        return;
    ck_abort_msg("%s, %s: there is '%s'; '%s' was told", act->name, where, text,
                 act->states[told]);
}

static void check_opened(int told, const char *where)
{
    int set_aside = act_count_damaged();
    cc_status status = act_open();

    ck_assert_msg(status == CC_OK, "%s, %s: not opened: %d", act->name, where, status);
    if (act->file == NULL)
        ck_assert_msg(act_count_damaged() == set_aside, "%s, %s: taken for damaged",
                      act->name, where);
    check_state(act_text(), told, where);
    if (act->again == ACT_NEXT_AGENT) {
        act_run(act);
        if (!act_is_open())
            ck_assert_int_eq(act_open(), CC_OK);
        ck_assert_msg(strcmp(act_text(), act->states[act_last_state(act)]) == 0,
                      "%s, %s: once more: '%s'", act->name, where, act_text());
    }
    act_close();
    ck_assert_str_eq(act_integrity(), "ok");
}

/* ---- the ways to die --------------------------------------------------------- */

static int run(int kill_at, int tear, step_log *log)
{
    step_run r = { .work = work,
                   .begun = log != NULL ? keep_disk : NULL,
                   .directory = directory,
                   .told = act_told,
                   .kill_at = kill_at,
                   .tear = tear,
                   .log = log };

    power_empty(directory);
    return steps_run(&r);
}

/* All of them, or some. */
static int is_chosen(int stops)
{
    return all || rand_r(&seed) % stops < SOME;
}

static void killed_at(int stop, int tear)
{
    const char *where = support_text("killed at stop %d%s", stop, tear ? ", torn" : "");

    if (run(stop, tear, NULL) == stop)
        check_opened(*act_told, where);
}

START_TEST(killed_at_a_system_call)
{
    int stop, stops;

    act = &inbox_acts[_i];
    stops = run(0, 0, NULL);
    ck_assert_int_gt(stops, 1);
    ck_assert_int_eq(*act_told,
                     strcmp(act->name, "close") == 0 ? 0 : act_last_state(act));
    check_opened(act_last_state(act), "at its end");
    for (stop = 1; stop <= stops; stop++) {
        if (is_chosen(stops))
            killed_at(stop, 0);
        if (is_chosen(stops) && stop % 2 == 1)
            killed_at(stop, 1);
    }
    fprintf(stderr, "%s: %d stops\n", act->name, stops);
}
END_TEST

static void cut_after(const step_log *log, size_t count, int told)
{
    unsigned one = seed + (unsigned)count;
    const char *where = support_text("power cut after %zu changes, seed %u", count, one);

    power_cut(disk, log, count, one, directory);
    check_opened(told, where);
}

/* Of what was told when the next change began. */
START_TEST(the_power_fails)
{
    step_log log = { NULL, 0, 0 };
    int round, rounds = all ? 8 : 1, told;
    size_t count;

    act = &inbox_acts[_i];
    run(0, 0, &log);
    told = *act_told;
    for (round = 0; round < rounds; round++) {
        seed = seed * 31 + 7;
        for (count = 0; count < log.count; count++) {
            if (is_chosen((int)log.count + 1))
                cut_after(&log, count, log.list[count].told);
        }
        cut_after(&log, log.count, told);
    }
    fprintf(stderr, "%s: %zu changes\n", act->name, log.count);
    steps_log_clear(&log);
    power_disk_free(disk);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cc_killed");
    TCase *tests = tcase_create("killed");

    if (!steps_possible())
        support_skip("a process cannot trace its child here");
    seed = support_seed("STEP_SEED");
    all = getenv("STEP_ALL") != NULL;
    if (access("/dev/shm", W_OK | X_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_set_timeout(tests, all ? 900 : 120);
    tcase_add_loop_test(tests, killed_at_a_system_call, 0, (int)inbox_act_count);
    tcase_add_loop_test(tests, the_power_fails, 0, (int)inbox_act_count);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
