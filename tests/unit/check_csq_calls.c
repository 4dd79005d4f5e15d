/* SPDX-License-Identifier: Apache-2.0
 * check_csq_calls.c - the n-th system call or allocation fails, for every n:
 * while a segment is made, taken over, restored, saved, attached to, repaired,
 * rung. It is done or refused with a status; nothing is lost, nothing leaks, and
 * the next attempt succeeds.
 *
 * The linker puts the functions below in the place of the real ones (--wrap).
 */
#include "cs_compat.h"
#include "csq_state.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define MOST_CALLS 1000 /* more than any act below needs                */
#define SEVERAL    40   /* receivers: more than are kept on the stack  */

static int left; /* until one fails; 0: none does                 */
static int fault;
static int failed;

static int fails(void)
{
    if (left == 0 || --left > 0)
        return 0;
    failed++;
    errno = fault;
    return 1;
}

/* Each is as the real one, but for the one that fails. */
#define WRAP(type, name, parameters, arguments, failure)                                 \
    type __real_##name parameters;                                                       \
    type __wrap_##name parameters;                                                       \
    type __wrap_##name parameters                                                        \
    {                                                                                    \
        return fails() ? (failure) : __real_##name arguments;                            \
    }

WRAP(int, open, (const char *path, int flags, mode_t mode), (path, flags, mode), -1)
WRAP(ssize_t, read, (int fd, void *to, size_t n), (fd, to, n), -1)
WRAP(ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n), -1)
WRAP(ssize_t, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at), -1)
WRAP(ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at),
     -1)
WRAP(int, fsync, (int fd), (fd), -1)
WRAP(int, rename, (const char *from, const char *to), (from, to), -1)
WRAP(int, unlink, (const char *path), (path), -1)
WRAP(int, unlinkat, (int at, const char *path, int flags), (at, path, flags), -1)
WRAP(int, mkfifo, (const char *path, mode_t mode), (path, mode), -1)
WRAP(int, fcntl, (int fd, int what, void *argument), (fd, what, argument), -1)
WRAP(int, fstat, (int fd, struct stat *info), (fd, info), -1)
WRAP(int, lstat, (const char *path, struct stat *info), (path, info), -1)
WRAP(int, pipe2, (int *ends, int flags), (ends, flags), -1)
WRAP(int, dup3, (int from, int to, int flags), (from, to, flags), -1)
WRAP(int, madvise, (void *at, size_t n, int advice), (at, n, advice), -1)
WRAP(void *, mmap, (void *at, size_t n, int access, int flags, int fd, off_t from),
     (at, n, access, flags, fd, from), (void *)-1)
WRAP(void *, malloc, (size_t n), (n), NULL)
WRAP(void *, calloc, (size_t n, size_t each), (n, each), NULL)
WRAP(void *, realloc, (void *at, size_t n), (at, n), NULL)
WRAP(char *, realpath, (const char *path, char *out), (path, out), NULL)
WRAP(DIR *, opendir, (const char *path), (path), NULL)
WRAP(apr_status_t, apr_shm_create,
     (apr_shm_t * *shm, apr_size_t n, const char *name, apr_pool_t *pool),
     (shm, n, name, pool), fault)
WRAP(apr_status_t, apr_shm_attach, (apr_shm_t * *shm, const char *name, apr_pool_t *pool),
     (shm, name, pool), fault)

/* ---- what this process has open --------------------------------------------------- */

static int count_descriptors(void)
{
    DIR *all = opendir("/proc/self/fd");
    int n = 0;

    ck_assert_ptr_nonnull(all);
    while (readdir(all))
        n++;
    closedir(all);
    return n;
}

static int count_segments(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[4096];
    int n = 0;

    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof line, maps))
        n += strstr(line, "/dev/shm/") != NULL;
    fclose(maps);
    return n;
}

static int memory_is_named(void)
{
    apr_shm_t *shm;
    apr_status_t rv = apr_shm_attach(&shm, fx.path, fx.pool);

    if (rv == APR_SUCCESS)
        apr_shm_detach(shm);
    return !APR_STATUS_IS_ENOENT(rv);
}

/* ---- starts and stops ------------------------------------------------------------ */

static apr_pool_t *act_pool; /* of what an act opens                */
static csq_slot *slot;
static csq *other;
static int kept; /* segments that stay mapped           */

static void prepare_nothing(void)
{
}

static void prepare_saved(void)
{
    state_start();
    state_fill();
    state_stop();
}

/* Its memory stays mapped here. */
static void keep(void)
{
    csq_keep(fx.q);
    kept++;
}

/* As one that was killed leaves it. */
static void prepare_left(void)
{
    state_start();
    state_fill();
    keep();
    state_end();
}

static void prepare_running(void)
{
    state_start();
    state_fill();
}

static apr_status_t start(void)
{
    return state_try_start(FIXTURE_SIZE, FIXTURE_SLOTS);
}

static apr_status_t start_larger(void)
{
    return state_try_start(FIXTURE_SIZE * 2, FIXTURE_SLOTS);
}

/* A stop; what cannot be saved is kept. */
static apr_status_t save(void)
{
    apr_status_t rv = csq_save(fx.q, state_path(""));
    int after = left;

    left = 0;
    if (rv != APR_SUCCESS)
        keep();
    state_end();
    left = after;
    return rv;
}

/* A file that could not be read, or had no room, is still there whole. */
static void take_back(void)
{
    ck_assert(state_outcome.state_reason == EIO
              || state_outcome.state_reason == CSQ_SEGMENT_FULL
              || state_outcome.state_reason == fault);
    ck_ok(state_outcome.state_kept);
    state_end();
    ck_assert_int_eq(rename(state_path(".damaged"), state_path("")), 0);
    ck_ok(start_larger());
    ck_assert_ptr_null(state_outcome.state_aside);
}

/* It must be as it was, whatever has failed. */
static void expect_whole(apr_status_t rv)
{
    if (!fx.q)
        ck_ok(start());
    else
        ck_ok(rv);
    ck_assert_int_ne(state_outcome.beginning, CSQ_BEGUN_SET_ASIDE);
    if (state_outcome.state_aside)
        take_back();
    fixture_audit();
    state_expect_everything();
    state_expect_receipts();
    state_expect_groups();
}

static void expect_started(apr_status_t rv)
{
    if (rv != APR_SUCCESS)
        ck_ok(start());
    fixture_audit();
    ck_ok(put("alice", "one"));
}

/* ---- of processes that use it --------------------------------------------------- */

static apr_status_t claim(void)
{
    return csq_slot_claim(fx.q, act_pool, &slot);
}

static void expect_claimed(apr_status_t rv)
{
    apr_uint32_t number;
    int all;

    if (rv != APR_SUCCESS)
        ck_ok(claim());
    ck_status(wait_for("walter", csq_waiter_make(slot, 7), 0), CSQ_EMPTY);
    ck_ok(put("walter", "one"));
    ck_assert_int_eq(csq_slot_take(slot, &number, 1, &all), 1);
    ck_assert_uint_eq(number, 7);
}

static apr_status_t attach(void)
{
    return csq_attach(fx.path, act_pool, &other);
}

static void expect_attached(apr_status_t rv)
{
    csq_message message = message_of("one");
    csq_key key = { "realm", "walter", NULL };

    if (rv != APR_SUCCESS)
        ck_ok(attach());
    ck_ok(csq_append(other, &message, &key, 1, fx.now, NULL, NULL));
    state_expect_everything();
}

static void prepare_repair(void)
{
    prepare_running();
    csq_repair_want(fx.q);
}

static apr_status_t repair(void)
{
    return put("walter", "one");
}

static void expect_repaired(apr_status_t rv)
{
    if (rv != APR_SUCCESS)
        ck_ok(repair());
    fixture_audit();
    state_expect_everything();
}

static void prepare_bell(void)
{
    prepare_running();
    ck_ok(claim());
    ck_ok(attach());
    ck_status(wait_for("walter", csq_waiter_make(slot, 7), 0), CSQ_EMPTY);
}

/* A bell that cannot be rung is no reason to refuse: who waits looks now and
 * then by itself.                                                            */
static apr_status_t ring(void)
{
    csq_message message = message_of("one");
    csq_key key = { "realm", "walter", NULL };

    return csq_append(other, &message, &key, 1, fx.now, NULL, NULL);
}

static void expect_rung(apr_status_t rv)
{
    apr_uint32_t number;
    int all;

    ck_ok(rv);
    ck_assert_int_eq(csq_slot_take(slot, &number, 1, &all), 1);
    ck_ok(wait_for("walter", csq_waiter_make(slot, 7), 1));
    ck_assert_str_eq(texts(), "one");
}

static const char *receiver(int i)
{
    return apr_psprintf(fx.pool, "receiver %d", i);
}

static void prepare_group(void)
{
    csq_key key = { "realm", NULL, NULL };
    int changed;
    int i;

    prepare_running();
    for (i = 0; i < 300; i++) {
        key.client = receiver(i);
        ck_ok(csq_group_add(fx.q, &key, "orders", "many", fx.now, &changed));
    }
}

static apr_status_t append_to_group(void)
{
    csq_message message = message_of("one");

    return csq_append_group(fx.q, &message, "many", fx.now, NULL, NULL, &fx.appended);
}

/* What shards had no memory for is told as refused. */
static void expect_group(apr_status_t rv)
{
    if (rv == APR_SUCCESS && failed) {
        ck_assert_uint_ge(fx.appended.receivers + fx.appended.refused, 1);
        ck_assert_uint_le(fx.appended.receivers, 300);
    }
    ck_ok(append_to_group());
    ck_assert_uint_eq(fx.appended.receivers, 300);
}

static apr_status_t append_to_several(void)
{
    csq_message message = message_of("one");
    csq_key keys[SEVERAL];
    int i;

    for (i = 0; i < SEVERAL; i++) {
        keys[i].realm = "realm";
        keys[i].client = receiver(i);
        keys[i].device = NULL;
    }
    return csq_append(fx.q, &message, keys, SEVERAL, fx.now, NULL, &fx.appended);
}

static void expect_several(apr_status_t rv)
{
    if (rv != APR_SUCCESS) {
        ck_status(rv, CSQ_NO_MEMORY);
        ck_status(get(receiver(0), NULL), CSQ_EMPTY);
        ck_ok(append_to_several());
    }
    ck_assert_uint_eq(fx.appended.receivers, SEVERAL);
    ck_ok(get(receiver(SEVERAL - 1), NULL));
}

/* ---- all of them ------------------------------------------------------------------- */

typedef struct trial {
    const char *name;
    void (*prepare)(void);
    apr_status_t (*act)(void);
    void (*expect)(apr_status_t rv);
} trial;

static const trial trials[] = {
    { "start", prepare_nothing, start, expect_started },
    { "restore", prepare_saved, start, expect_whole },
    { "restore into a larger one", prepare_saved, start_larger, expect_whole },
    { "take over", prepare_left, start, expect_whole },
    { "take over, larger", prepare_left, start_larger, expect_whole },
    { "save", prepare_running, save, expect_whole },
    { "claim a slot", prepare_running, claim, expect_claimed },
    { "attach", prepare_running, attach, expect_attached },
    { "repair", prepare_repair, repair, expect_repaired },
    { "ring", prepare_bell, ring, expect_rung },
    { "append to a group", prepare_group, append_to_group, expect_group },
    { "append to several", prepare_running, append_to_several, expect_several },
};

/* What may be answered. */
static int is_told(apr_status_t rv)
{
    return rv == fault || rv == APR_SUCCESS || rv == APR_ENOMEM || rv == CSQ_NO_MEMORY;
}

static int try_once(const trial *t, int n)
{
    apr_status_t rv;
    int descriptors;
    int segments;
    char text[128];

    fixture_setup_bare();
    ck_ok(apr_pool_create(&act_pool, fx.pool));
    descriptors = count_descriptors();
    segments = count_segments();
    kept = 0;
    t->prepare();
    failed = 0;
    left = n;
    rv = t->act();
    left = 0;
    ck_assert_msg(is_told(rv), "%s, call %d: %s", t->name, n,
                  csq_strerror(rv, text, sizeof text));
    t->expect(rv);
    apr_pool_destroy(act_pool);
    state_end();
    ck_assert_int_eq(count_descriptors(), descriptors);
    ck_assert_int_eq(count_segments(), segments + kept);
    ck_assert_int_eq(memory_is_named(), 0);
    state_teardown();
    return failed;
}

static const int faults[] = { EMFILE, ENOMEM, ENOSPC, EIO, EINTR };

#define FAULTS (int)(sizeof faults / sizeof faults[0])

START_TEST(a_call_that_fails_loses_and_leaks_nothing)
{
    const trial *t = &trials[_i / FAULTS];
    int n;

    fault = faults[_i % FAULTS];
    for (n = 1; try_once(t, n); n++)
        ck_assert_int_lt(n, MOST_CALLS);
    printf("%s, %s: %d calls\n", t->name, strerror(fault), n - 1);
    fflush(stdout);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_calls");
    TCase *tc = tcase_create("calls");
    SRunner *runner;
    int bad;

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_call_that_fails_loses_and_leaks_nothing, 0,
                        (int)(sizeof trials / sizeof trials[0]) * FAULTS);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
