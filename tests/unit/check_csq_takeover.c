/* SPDX-License-Identifier: Apache-2.0
 * check_csq_takeover.c - a server starts on what a killed one left: whole,
 * changed, damaged in any place, not its own.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGES 12

static csq_outcome outcome;

/* ---- a server that is killed --------------------------------------------- */

static void fill(void)
{
    int i;

    for (i = 0; i < MESSAGES; i++)
        if (put(i % 2 ? "alice" : "bob", "some text") != APR_SUCCESS)
            _exit(2);
}

static void nothing(void)
{
}

/* A server of another process fills its segment, does `last`, and stays. */
static pid_t run_server(void (*last)(void))
{
    int ready[2];
    char word;
    pid_t child;

    ck_assert_int_eq(pipe(ready), 0);
    child = fork();
    if (child == 0) {
        fixture_create(FIXTURE_SIZE, FIXTURE_SLOTS);
        fill();
        last();
        if (write(ready[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    ck_assert_msg(read(ready[0], &word, 1) == 1, "the server has ended");
    close(ready[0]);
    return child;
}

static void kill_process(pid_t child)
{
    int status;

    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status), "a process ended with %x", status);
}

static void die_as_server(void (*last)(void))
{
    kill_process(run_server(last));
}

static apr_status_t start_with(apr_size_t size, unsigned slots)
{
    csq_plan plan = {
        .path = fx.path, .size = size, .slots = slots, .limits = &fx.limits
    };

    return csq_start(&plan, fx.pool, &outcome, &fx.q);
}

static void start_again(csq_beginning wanted)
{
    ck_ok(start_with(FIXTURE_SIZE, FIXTURE_SLOTS));
    ck_assert_msg(outcome.beginning == wanted, "began as %d, reason %d, problem %s",
                  (int)outcome.beginning, (int)outcome.reason,
                  outcome.problem ? outcome.problem : "none");
}

static void expect_all(void)
{
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), MESSAGES / 2);
    ck_ok(get("bob", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), MESSAGES / 2);
}

static const char *aside_path(void)
{
    return apr_pstrcat(fx.pool, fx.path, ".damaged", NULL);
}

/* The file that keeps the bytes: there, private, as long as the memory. */
static void expect_aside(void)
{
    struct stat info;

    ck_assert_str_eq(outcome.aside, aside_path());
    ck_ok(outcome.copied);
    ck_assert_int_eq(stat(outcome.aside, &info), 0);
    ck_assert_uint_eq(info.st_mode, S_IFREG | 0600);
    ck_assert_int_eq(info.st_size, FIXTURE_SIZE);
}

static void setup(void)
{
    fixture_setup_bare();
}

static void teardown(void)
{
    unlink(aside_path());
    fixture_teardown();
}

/* ---- whole --------------------------------------------------------------- */

START_TEST(a_first_start_finds_nothing)
{
    start_again(CSQ_BEGUN_NEW);
    ck_assert_uint_eq(outcome.size, FIXTURE_SIZE);
    ck_assert_uint_eq(outcome.slots, FIXTURE_SLOTS);
}
END_TEST

START_TEST(a_clean_stop_leaves_nothing)
{
    apr_pool_t *pool;
    csq *q;

    apr_pool_create(&pool, fx.pool);
    ck_ok(csq_create(fx.path, FIXTURE_SIZE, FIXTURE_SLOTS, &fx.limits, pool, &q));
    apr_pool_destroy(pool);
    start_again(CSQ_BEGUN_NEW);
}
END_TEST

START_TEST(what_a_killed_server_had_queued_is_there)
{
    csq *q;

    die_as_server(nothing);
    ck_status(csq_attach(fx.path, fx.pool, &q), CSQ_NO_SERVER);
    start_again(CSQ_BEGUN_TAKEN_OVER);
    ck_assert_uint_eq(outcome.messages, MESSAGES);
    ck_assert_uint_eq(outcome.clients, 2);
    ck_assert_int_eq(outcome.mended, 0);
    expect_all();
    ck_ok(put("alice", "more"));
    ck_ok(csq_attach(fx.path, fx.pool, &q));
}
END_TEST

static int told[2];

static void read_and_tell(void)
{
    csq_cursor cursor;

    if (get_max("alice", NULL, 2) != APR_SUCCESS)
        _exit(3);
    cursor = cursor_now();
    if (write(told[1], &cursor, sizeof cursor) != sizeof cursor)
        _exit(4);
}

START_TEST(cursors_stay_valid_without_a_gap)
{
    const csq_gap *gaps;
    apr_uint32_t n;
    csq_cursor cursor;

    ck_assert_int_eq(pipe(told), 0);
    die_as_server(read_and_tell);
    ck_assert_int_eq(read(told[0], &cursor, sizeof cursor), sizeof cursor);
    start_again(CSQ_BEGUN_TAKEN_OVER);
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 0);
    ck_assert_uint_eq(csq_batch_count(fx.batch), MESSAGES / 2 - 2);
}
END_TEST

START_TEST(it_can_be_killed_again_and_again)
{
    int i;
    csq_cursor cursor;

    for (i = 1; i <= 5; i++)
        die_as_server(nothing);
    start_again(CSQ_BEGUN_TAKEN_OVER);
    ck_assert_uint_eq(outcome.messages, 5 * MESSAGES);
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
}
END_TEST

static void stop_half_way(void)
{
    csq_close(fx.q);
}

START_TEST(a_segment_that_was_being_closed_is_open_again)
{
    die_as_server(stop_half_way);
    start_again(CSQ_BEGUN_TAKEN_OVER);
    expect_all();
}
END_TEST

static void wait_on_a_slot(void)
{
    csq_slot *slot;

    if (csq_slot_claim(fx.q, fx.pool, &slot) != APR_SUCCESS)
        _exit(5);
    csq_slot_waiting_set(slot, 7);
    if (wait_for("carol", csq_waiter_make(slot, 3), 0) != CSQ_EMPTY)
        _exit(6);
}

START_TEST(nobody_waits_any_more_and_bells_are_gone)
{
    csq_key key = { .realm = "realm", .client = "carol" };
    apr_uint32_t numbers[4];
    csq_client_info info;
    csq_slot *slot;
    struct stat file;
    int all;

    die_as_server(wait_on_a_slot);
    ck_assert_int_eq(stat(apr_pstrcat(fx.pool, fx.path, ".bell.0", NULL), &file), 0);
    start_again(CSQ_BEGUN_TAKEN_OVER);
    ck_assert_int_ne(stat(apr_pstrcat(fx.pool, fx.path, ".bell.0", NULL), &file), 0);
    ck_assert_uint_eq(stats_now().waiting, 0);
    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_int_eq(info.waiting, 0);
    ck_ok(put("carol", "rings nobody"));
    ck_assert_int_eq(hear(slot, numbers, 4, &all), 0);
    ck_assert_int_eq(all, 0);
    ck_ok(put("dave", "x"));
    ck_ok(wait_for("carol", csq_waiter_make(slot, 3), 0));
}
END_TEST

START_TEST(limits_are_those_of_the_new_server)
{
    csq_limits limits;

    die_as_server(nothing);
    fx.limits.max_queue = MESSAGES / 2;
    start_again(CSQ_BEGUN_TAKEN_OVER);
    csq_limits_get(fx.q, &limits);
    ck_assert_uint_eq(limits.max_queue, MESSAGES / 2);
    ck_status(put("alice", "one more"), CSQ_QUEUE_FULL);
}
END_TEST

START_TEST(another_size_is_told_and_the_old_one_kept)
{
    die_as_server(nothing);
    ck_ok(start_with(2 * FIXTURE_SIZE, 2 * FIXTURE_SLOTS));
    ck_assert_int_eq(outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    ck_assert_uint_eq(outcome.size, FIXTURE_SIZE);
    ck_assert_uint_eq(outcome.slots, FIXTURE_SLOTS);
    expect_all();
}
END_TEST

START_TEST(bad_limits_change_nothing)
{
    die_as_server(nothing);
    fx.limits.max_queue = 0;
    ck_status(start_with(FIXTURE_SIZE, FIXTURE_SLOTS), APR_EINVAL);
    fx.limits.max_queue = 1000;
    start_again(CSQ_BEGUN_TAKEN_OVER);
    expect_all();
}
END_TEST

/* ---- who is still there -------------------------------------------------- */

/* The parent of a server dies and leaves a child. */
static void leave_a_child(void)
{
    pid_t child = fork();

    if (child == 0) {
        pause();
        _exit(0);
    }
    if (write(told[1], &child, sizeof child) != sizeof child)
        _exit(4);
}

START_TEST(a_child_that_lives_keeps_it_in_use_and_is_named)
{
    apr_uint32_t holders[4];
    pid_t child;

    ck_assert_int_eq(pipe(told), 0);
    die_as_server(leave_a_child);
    ck_assert_int_eq(read(told[0], &child, sizeof child), sizeof child);
    ck_status(start_with(FIXTURE_SIZE, FIXTURE_SLOTS), CSQ_IN_USE);
    ck_assert_int_eq(csq_holders(fx.path, holders, 4), 1);
    ck_assert_uint_eq(holders[0], (unsigned)child);
    ck_assert_int_eq(csq_holders(fx.path, NULL, 0), 1);
    kill(child, SIGKILL);
    while (csq_holders(fx.path, NULL, 0) > 0)
        poll(NULL, 0, 1);
    start_again(CSQ_BEGUN_TAKEN_OVER);
    expect_all();
}
END_TEST

/* One that is killed closes its files when it is no longer to be seen. */
START_TEST(a_child_that_is_about_to_end_is_waited_for)
{
    pid_t child, killer;
    int status;

    ck_assert_int_eq(pipe(told), 0);
    die_as_server(leave_a_child);
    ck_assert_int_eq(read(told[0], &child, sizeof child), sizeof child);
    killer = fork();
    if (killer == 0) {
        poll(NULL, 0, 100);
        _exit(kill(child, SIGKILL));
    }
    start_again(CSQ_BEGUN_TAKEN_OVER);
    ck_assert_int_eq(waitpid(killer, &status, 0), killer);
    ck_assert_int_eq(status, 0);
    expect_all();
}
END_TEST

/* A writer of another process, attached while the server dies. */
static pid_t run_writer(int hold, int go, int done)
{
    char word;
    apr_status_t rv;
    pid_t child = fork();

    if (child)
        return child;
    rv = csq_attach(fx.path, fx.pool, &fx.q);
    if (rv == APR_SUCCESS && hold)
        rv = csq_lock(fx.q, CSQ_ALL_SHARDS);
    if (rv != APR_SUCCESS || write(done, "a", 1) != 1 || read(go, &word, 1) != 1)
        _exit(7);
    if (hold)
        csq_unlock(fx.q, CSQ_ALL_SHARDS);
    fx.now += 2 * SECOND;
    rv = put("alice", "by the writer");
    _exit(rv == APR_SUCCESS ? 0 : rv == CSQ_NO_SERVER ? 1 : 8);
}

/* @return how the writer's append ended, when a server had come again. */
static int start_beside_writer(int hold)
{
    pid_t server = run_server(nothing);
    int go[2], done[2], status;
    char word;
    pid_t child;

    ck_assert_int_eq(pipe(go), 0);
    ck_assert_int_eq(pipe(done), 0);
    child = run_writer(hold, go[0], done[1]);
    ck_assert_int_eq(read(done[0], &word, 1), 1);
    kill_process(server);
    start_again(CSQ_BEGUN_TAKEN_OVER);
    ck_assert_uint_eq(outcome.messages, MESSAGES);
    ck_assert_int_eq(write(go[1], "g", 1), 1);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(a_writer_that_is_attached_goes_on)
{
    ck_assert_int_eq(start_beside_writer(0), 0);
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), MESSAGES / 2 + 1);
}
END_TEST

START_TEST(a_writer_that_holds_locks_keeps_the_old_memory)
{
    csq *q;

    ck_assert_int_eq(start_beside_writer(1), 1);
    expect_all();
    ck_ok(csq_attach(fx.path, fx.pool, &q));
    ck_ok(put("alice", "more"));
}
END_TEST

static void hold_locks(void)
{
    if (csq_lock_all(fx.q) != APR_SUCCESS)
        _exit(10);
}

START_TEST(locks_of_the_dead_are_no_obstacle)
{
    die_as_server(hold_locks);
    start_again(CSQ_BEGUN_TAKEN_OVER);
    expect_all();
}
END_TEST

static void spoil_locks(void)
{
    unsigned i;

    for (i = 0; i < CSQ_SHARDS; i++)
        memset(&fx.q->shards[i].mutex, 0xa5, sizeof fx.q->shards[i].mutex);
    memset(&fx.q->header->allocator, 0x5a, sizeof fx.q->header->allocator);
}

START_TEST(locks_that_are_garbage_are_no_obstacle)
{
    die_as_server(spoil_locks);
    start_again(CSQ_BEGUN_TAKEN_OVER);
    expect_all();
}
END_TEST

/* ---- set aside ----------------------------------------------------------- */

static void leave_other_layout(void)
{
    fx.q->header->layout++;
}

START_TEST(another_layout_is_set_aside)
{
    die_as_server(leave_other_layout);
    start_again(CSQ_BEGUN_SET_ASIDE);
    ck_assert_int_eq(outcome.reason, CSQ_LAYOUT);
    expect_aside();
    ck_status(get("alice", NULL), CSQ_EMPTY);
    ck_ok(put("alice", "x"));
}
END_TEST

static void leave_other_build(void)
{
    fx.q->header->build[9] ^= 1;
}

START_TEST(another_build_is_set_aside)
{
    die_as_server(leave_other_build);
    start_again(CSQ_BEGUN_SET_ASIDE);
    ck_assert_int_eq(outcome.reason, CSQ_LAYOUT);
    expect_aside();
}
END_TEST

static void delete_lock_file(void)
{
    unlink(apr_pstrcat(fx.pool, fx.path, ".lock", NULL));
}

START_TEST(memory_of_a_server_that_may_live_is_left_to_it)
{
    pid_t server = run_server(delete_lock_file);

    start_again(CSQ_BEGUN_SET_ASIDE);
    ck_assert_int_eq(outcome.reason, CSQ_NO_SERVER);
    expect_aside();
    ck_assert_int_eq(kill(server, 0), 0);
    kill_process(server);
    ck_ok(put("alice", "x"));
    fixture_audit();
}
END_TEST

START_TEST(the_file_is_replaced_and_nothing_stands_in_the_way)
{
    struct stat info;

    die_as_server(leave_other_layout);
    ck_assert_int_eq(symlink("/nonexistent/file", aside_path()), 0);
    start_again(CSQ_BEGUN_SET_ASIDE);
    ck_assert_int_eq(lstat(aside_path(), &info), 0);
    ck_assert(S_ISREG(info.st_mode));
    expect_aside();
}
END_TEST

START_TEST(a_file_that_cannot_be_written_is_told)
{
    csq_plan plan = { .path = fx.path,
                      .size = FIXTURE_SIZE,
                      .slots = FIXTURE_SLOTS,
                      .limits = &fx.limits,
                      .aside = "/nonexistent/folder/file" };

    die_as_server(leave_other_layout);
    ck_ok(csq_start(&plan, fx.pool, &outcome, &fx.q));
    ck_assert_int_eq(outcome.beginning, CSQ_BEGUN_SET_ASIDE);
    ck_assert_int_eq(outcome.copied, ENOENT);
}
END_TEST

/* ---- damage -------------------------------------------------------------- */

static size_t damaged_at;
static unsigned damage_seed;

static void damage_header(void)
{
    static const uint32_t values[] = { 0, 1, 0xffffffff, 0x7fffffff, 0x00010000 };
    uint32_t *word = (uint32_t *)((char *)fx.q->header + damaged_at);
    unsigned which = damage_seed % 6;

    *word = which < 5 ? values[which] : *word ^ 0x10;
}

/* Words of the header in turn, each with several values. It always starts, and
 * what it took over is whole; what it did not is in the file. */
START_TEST(any_word_of_the_header_may_be_wrong)
{
    damaged_at = (size_t)_i * 4;
    for (damage_seed = 0; damage_seed < 6; damage_seed++) {
        apr_pool_t *pool = fx.pool;

        die_as_server(damage_header);
        apr_pool_create(&fx.pool, pool);
        ck_ok(start_with(FIXTURE_SIZE, FIXTURE_SLOTS));
        ck_assert_int_ne(outcome.beginning, CSQ_BEGUN_NEW);
        if (outcome.beginning == CSQ_BEGUN_SET_ASIDE)
            expect_aside();
        else
            expect_all();
        fixture_audit();
        ck_ok(put("alice", "more"));
        apr_pool_destroy(fx.pool);
        fx.pool = pool;
        fx.q = NULL;
    }
}
END_TEST

/* Of what cannot be mapped APR unmaps what mmap() returned, -1, which fails; but
 * ThreadSanitizer walks through all that munmap() is told first. */
static int is_too_much(int i)
{
#ifdef __SANITIZE_THREAD__
    return i == 5 || i == 8;
#else
    (void)i;
    return 0;
#endif
}

/* The word in which APR notes the size. */
static void damage_size(void)
{
    static const size_t sizes[] = { 0,
                                    1,
                                    8,
                                    4096,
                                    4096 * 100,
                                    SIZE_MAX,
                                    (size_t)1 << 40,
                                    FIXTURE_SIZE * 2,
                                    (size_t)1 << 60 };
    size_t *word = (size_t *)((char *)apr_shm_baseaddr_get(fx.q->shm) - 8);

    *word = sizes[damage_seed];
}

START_TEST(the_size_may_be_wrong)
{
    csq *q;

    if (is_too_much(_i))
        return;
    damage_seed = (unsigned)_i;
    die_as_server(damage_size);
    start_again(CSQ_BEGUN_SET_ASIDE);
    if (_i == 8) /* no room for it among the addresses: nothing to copy */
        ck_assert_int_eq(outcome.copied, CSQ_DAMAGED);
    ck_ok(csq_attach(fx.path, fx.pool, &q));
    ck_ok(put("alice", "x"));
}
END_TEST

/* Killed before APR had noted a size, before the magic, before the signature. */
static void stop_while_making(void)
{
    if (!damage_seed)
        damage_size();
    else
        fx.q->header->magic = damage_seed == 1 ? 0 : CSQ_MAGIC_MAKING;
    if (damage_seed < 2 && ftruncate(fx.q->lock_fd, 0) != 0)
        _exit(13);
}

START_TEST(what_was_never_finished_is_thrown_away)
{
    damage_seed = (unsigned)_i;
    die_as_server(stop_while_making);
    start_again(CSQ_BEGUN_NEW);
    ck_ok(put("alice", "x"));
}
END_TEST

START_TEST(who_attaches_survives_a_wrong_size)
{
    csq *q;

    if (is_too_much(_i))
        return;
    damage_seed = (unsigned)_i;
    start_again(CSQ_BEGUN_NEW);
    damage_size();
    ck_status(csq_attach(fx.path, fx.pool, &q), CSQ_DAMAGED);
}
END_TEST

static void damage_anything(void)
{
    unsigned seed = damage_seed;
    size_t size = fx.q->header->size;
    char *at = (char *)fx.q->header;
    size_t chunks = (size_t)(fx.q->chunks - at);
    int i, n = 1 << rand_r(&seed) % 8;

    for (i = 0; i < n; i++) {
        size_t where = (size_t)rand_r(&seed) % size;

        if (rand_r(&seed) % 4)
            where = chunks + (size_t)rand_r(&seed) % (60 * CSQ_CHUNK_BYTES);
        at[where] = (char)rand_r(&seed);
    }
}

START_TEST(random_bytes_never_stand_in_the_way)
{
    int round;

    for (round = 0; round < 10; round++) {
        apr_pool_t *pool = fx.pool;

        damage_seed = (unsigned)(_i * 10 + round);
        die_as_server(damage_anything);
        apr_pool_create(&fx.pool, pool);
        ck_ok(start_with(FIXTURE_SIZE, FIXTURE_SLOTS));
        fixture_audit();
        get("alice", NULL);
        get("bob", NULL);
        ck_ok(put("carol", "more"));
        apr_pool_destroy(fx.pool);
        fx.pool = pool;
        fx.q = NULL;
    }
}
END_TEST

static void break_a_queue(void)
{
    csq_key key = { .realm = "realm", .client = "alice" };
    csq_name name;
    uint32_t number;

    if (csq_name_make(fx.q, &key, &name) != APR_SUCCESS
        || csq_queue_of_locked(fx.q, &name, &number) != APR_SUCCESS)
        _exit(11);
    csq_entry_at(fx.q, csq_queue_at(fx.q, number)->head)->queue_next = 0x7fffffff;
    if (write(told[1], &csq_queue_at(fx.q, number)->epoch, 8) != 8)
        _exit(12);
}

START_TEST(what_can_be_mended_is_and_its_client_hears_of_a_gap)
{
    const csq_gap *gaps;
    apr_uint32_t n;
    csq_cursor cursor = { .epoch = 0 };

    ck_assert_int_eq(pipe(told), 0);
    die_as_server(break_a_queue);
    ck_assert_int_eq(read(told[0], &cursor.epoch, 8), 8);
    start_again(CSQ_BEGUN_TAKEN_OVER);
    ck_assert_int_eq(outcome.mended, 1);
    ck_assert_uint_eq(outcome.messages, MESSAGES / 2 + 1);
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 1);
    ck_ok(get("bob", NULL));
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 0);
}
END_TEST

static void add_whole(TCase *tc)
{
    tcase_add_test(tc, a_first_start_finds_nothing);
    tcase_add_test(tc, a_clean_stop_leaves_nothing);
    tcase_add_test(tc, what_a_killed_server_had_queued_is_there);
    tcase_add_test(tc, cursors_stay_valid_without_a_gap);
    tcase_add_test(tc, it_can_be_killed_again_and_again);
    tcase_add_test(tc, a_segment_that_was_being_closed_is_open_again);
    tcase_add_test(tc, nobody_waits_any_more_and_bells_are_gone);
    tcase_add_test(tc, limits_are_those_of_the_new_server);
    tcase_add_test(tc, another_size_is_told_and_the_old_one_kept);
    tcase_add_test(tc, bad_limits_change_nothing);
    tcase_add_test(tc, a_child_that_lives_keeps_it_in_use_and_is_named);
    tcase_add_test(tc, a_child_that_is_about_to_end_is_waited_for);
    tcase_add_test(tc, a_writer_that_is_attached_goes_on);
    tcase_add_test(tc, a_writer_that_holds_locks_keeps_the_old_memory);
    tcase_add_test(tc, locks_of_the_dead_are_no_obstacle);
    tcase_add_test(tc, locks_that_are_garbage_are_no_obstacle);
}

static void add_damaged(TCase *tc)
{
    int words = (int)(offsetof(csq_header, free_lowest) / 4 + 1);

    tcase_add_test(tc, another_layout_is_set_aside);
    tcase_add_test(tc, another_build_is_set_aside);
    tcase_add_test(tc, memory_of_a_server_that_may_live_is_left_to_it);
    tcase_add_test(tc, the_file_is_replaced_and_nothing_stands_in_the_way);
    tcase_add_test(tc, a_file_that_cannot_be_written_is_told);
    tcase_add_loop_test(tc, any_word_of_the_header_may_be_wrong, 0, words);
    tcase_add_loop_test(tc, the_size_may_be_wrong, 0, 9);
    tcase_add_loop_test(tc, what_was_never_finished_is_thrown_away, 0, 3);
    tcase_add_loop_test(tc, who_attaches_survives_a_wrong_size, 0, 8);
    tcase_add_loop_test(tc, random_bytes_never_stand_in_the_way, 0, 40);
    tcase_add_test(tc, what_can_be_mended_is_and_its_client_hears_of_a_gap);
}

int main(void)
{
    Suite *suite = suite_create("csq_takeover");
    TCase *whole = tcase_create("whole");
    TCase *damaged = tcase_create("damaged");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(whole, setup, teardown);
    tcase_add_checked_fixture(damaged, setup, teardown);
    add_whole(whole);
    add_damaged(damaged);
    suite_add_tcase(suite, whole);
    suite_add_tcase(suite, damaged);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
