/* SPDX-License-Identifier: Apache-2.0
 * check_cc_faults.c - the n-th system call, or the n-th allocation, fails while the
 * agent does something with its inbox.
 *
 * Nothing is told that is not on the disk; nothing that was is lost; and when the
 * fault is over it goes on with the inbox that is open.
 *
 * STEP_ALL=1: every n, not some of them. STEP_SEED=N: the same ones again.
 */
#include "call_faults.h"
#include "inbox_acts.h"
#include "power_cut.h"
#include "cc_memory.h"
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOME      10   /* of the n that are tried in the short form          */
#define FAULT_MAX 5000 /* more than any act does                              */

static char directory[256];
static unsigned seed;
static int all;
static const inbox_act *act;

static void set_up(void)
{
    snprintf(directory, sizeof(directory), "%s", reaper_temporary());
    act_directory_set(directory);
    act_told = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                    -1, 0);
    ck_assert_ptr_ne((const void *)(uintptr_t)act_told, MAP_FAILED);
}

/* ---- what must be there then ------------------------------------------------- */

static int state_of(const char *text, int from)
{
    int i;

    for (i = from; i <= act_last_state(act); i++) {
        if (strcmp(act->states[i], text) == 0)
            return i;
    }
    return -1;
}

/* One of what was told, or later: what could not be written at first may be since. */
static void check_state(int told, const char *where)
{
    const char *text = act_text();

    if (state_of(text, told) < 0)
        ck_abort_msg("%s, %s: there is '%s'; '%s' was told", act->name, where, text,
                     act->states[told]);
}

static void have_open(const char *where)
{
    cc_status status = act_is_open() ? CC_OK : act_open();

    ck_assert_msg(status == CC_OK, "%s, %s: not opened: %d", act->name, where, status);
}

/* Go on with what is open, or is opened now; then as if nothing had been. */
static void go_on(const char *where)
{
    act_again who = act_is_open() ? ACT_SAME_AGENT : ACT_NEXT_AGENT;

    have_open(where);
    check_state(*act_told, where);
    if (act->again >= who
        && (act->again == ACT_NEXT_AGENT || *act_told < act_last_state(act))) {
        act_run(act);
        have_open(where);
        ck_assert_msg(state_of(act_text(), act_last_state(act)) >= 0,
                      "%s, %s: once more: '%s'", act->name, where, act_text());
    }
    act_go_on();
    check_state(*act_told, where);
}

static void check_after(const char *where)
{
    char *text;

    go_on(where);
    text = strdup(act_text());
    act_close();
    have_open(where);
    ck_assert_msg(strcmp(act_text(), text) == 0, "%s, %s: '%s' became '%s'", act->name,
                  where, text, act_text());
    free(text);
    act_close();
    ck_assert_str_eq(act_integrity(), "ok");
    if (strstr(act->name, "damaged") == NULL)
        ck_assert_msg(act_count_damaged() == 0, "%s, %s: taken for damaged", act->name,
                      where);
}

static int is_chosen(int n, int count)
{
    (void)n;
    return all || count <= SOME || rand_r(&seed) % count < SOME;
}

/* ---- system calls ------------------------------------------------------------ */

/* How many calls the act makes that `fault` could make fail. */
static int count_calls(call_fault fault)
{
    fault.nth = FAULT_MAX;
    power_empty(directory);
    act_prepare(act);
    faults_arm(&fault);
    act_run(act);
    faults_disarm();
    act_close();
    return faults_seen();
}

static void fail_at(call_fault fault, int n)
{
    const char *where = support_text("call %d: %s%s", n, strerror(fault.code),
                                     fault.lasting ? "..." : "");

    fault.nth = n;
    power_empty(directory);
    act_prepare(act);
    faults_arm(&fault);
    act_run(act);
    faults_disarm();
    check_after(where);
}

static const call_fault faults[] = {
    { .code = EIO },
    { .code = EIO, .lasting = 1 },
    { .code = ENOSPC, .growing = 1 },
    { .code = ENOSPC, .growing = 1, .lasting = 1 },
    { .code = EMFILE, .lasting = 1 },
};

#define FAULT_KINDS (int)(sizeof(faults) / sizeof(faults[0]))

START_TEST(a_system_call_fails)
{
    call_fault fault = faults[_i % FAULT_KINDS];
    int n, count;

    act = &inbox_acts[_i / FAULT_KINDS];
    count = count_calls(fault);
    ck_assert_int_lt(count, FAULT_MAX);
    for (n = 1; n <= count; n++) {
        if (is_chosen(n, count))
            fail_at(fault, n);
    }
}
END_TEST

/* ---- memory of SQLite -------------------------------------------------------- */

static sqlite3_mem_methods memory; /* the real ones                           */
static int memory_nth, memory_seen, memory_lasting;

static int memory_fails(void)
{
    if (memory_nth == 0)
        return 0;
    memory_seen++;
    return memory_seen == memory_nth || (memory_seen > memory_nth && memory_lasting);
}

static void *take_memory(int size)
{
    return memory_fails() ? NULL : memory.xMalloc(size);
}

static void *resize_memory(void *old, int size)
{
    return memory_fails() ? NULL : memory.xRealloc(old, size);
}

/* Before SQLite is used. */
static void wrap_memory(void)
{
    sqlite3_mem_methods mine;

    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory);
    mine = memory;
    mine.xMalloc = take_memory;
    mine.xRealloc = resize_memory;
    sqlite3_config(SQLITE_CONFIG_MALLOC, &mine);
    sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
}

static int run_without_memory(int nth, int lasting)
{
    power_empty(directory);
    act_prepare(act);
    memory_seen = 0;
    memory_lasting = lasting;
    memory_nth = nth;
    act_run(act);
    memory_nth = 0;
    return memory_seen;
}

START_TEST(sqlite_has_no_memory)
{
    int n, count, lasting = _i % 2;

    act = &inbox_acts[_i / 2];
    count = run_without_memory(INT32_MAX, 0);
    act_close();
    for (n = 1; n <= count; n++) {
        if (!is_chosen(n, count))
            continue;
        run_without_memory(n, lasting);
        check_after(support_text("allocation %d%s", n, lasting ? "..." : ""));
    }
}
END_TEST

/* ---- memory of the agent ------------------------------------------------------ */

void *__real_calloc(size_t count, size_t size);
void *__real_malloc(size_t size);
void *__real_realloc(void *old, size_t size);
char *__real_strdup(const char *text);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_realloc(void *old, size_t size);
char *__wrap_strdup(const char *text);

static int own_nth, own_seen;

static int own_fails(void)
{
    return own_nth != 0 && ++own_seen == own_nth;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return own_fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_malloc(size_t size)
{
    return own_fails() ? NULL : __real_malloc(size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return own_fails() ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    return own_fails() ? NULL : __real_strdup(text);
}

/* In a child, as the agent ends then.
 * @return allocations that there were, when it has not ended */
static int run_child(int nth)
{
    int status, result[2];
    pid_t child;

    power_empty(directory);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        ck_assert_int_eq(dup2(open("said", O_WRONLY | O_CREAT | O_TRUNC, 0600), 2), 2);
        signal(SIGABRT, SIG_DFL);
        act_prepare(act);
        own_seen = 0;
        own_nth = nth;
        act_run(act);
        own_nth = 0;
        result[0] = open("count", O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (write(result[0], &own_seen, sizeof(own_seen)) != sizeof(own_seen))
            _exit(1);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        ck_assert_int_eq(WTERMSIG(status), SIGABRT);
        return 0;
    }
    ck_assert_msg(status == 0, "%s: status 0x%x: %s", act->name, status,
                  process_read_file("said"));
    result[0] = open("count", O_RDONLY);
    ck_assert_int_eq(read(result[0], &result[1], sizeof(int)), sizeof(int));
    close(result[0]);
    return result[1];
}

START_TEST(the_agent_has_no_memory)
{
    int n, count;
    char *said;

    act = &inbox_acts[_i];
    ck_assert_int_eq(chdir(directory), 0);
    count = run_child(INT32_MAX);
    for (n = 1; n <= count; n++) {
        if (!is_chosen(n, count))
            continue;
        if (run_child(n) > 0)
            continue; /* there were fewer this time */
        said = process_read_file("said");
        ck_assert_ptr_nonnull(strstr(said, "commclient: out of memory\n"));
        free(said);
        unlink("said");
        check_after(support_text("allocation %d of the agent", n));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cc_faults");
    TCase *tests = tcase_create("faults");

    seed = support_seed("STEP_SEED");
    all = getenv("STEP_ALL") != NULL;
    wrap_memory();
    if (access("/dev/shm", W_OK | X_OK) == 0)
        setenv("TMPDIR", "/dev/shm", 1);
    tcase_add_checked_fixture(tests, set_up, NULL);
    tcase_set_timeout(tests, all ? 900 : 120);
    tcase_add_loop_test(tests, a_system_call_fails, 0,
                        (int)inbox_act_count * FAULT_KINDS);
    tcase_add_loop_test(tests, sqlite_has_no_memory, 0, (int)inbox_act_count * 2);
    tcase_add_loop_test(tests, the_agent_has_no_memory, 0, (int)inbox_act_count);
    suite_add_tcase(suite, tests);
    return support_run(suite);
}
