/* SPDX-License-Identifier: Apache-2.0
 * check_csq_processes.c - many processes on one segment: order, doorbells,
 * locks whose holder stopped, and death at any moment.
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

#define WRITERS 4
#define READERS 3
#define EACH    3000

/* Shared by all processes of a test. */
typedef struct board {
    uint32_t accepted[WRITERS]; /* appends that have returned success         */
    uint32_t started;
    uint32_t number; /* a number rung                               */
} board;

static board *shared;

static int64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void setup(void)
{
    fixture_setup_bare();
    fx.limits.max_queue = 1000000;
    fx.limits.max_queue_bytes = 1 << 30;
    fixture_create(8 * 1024 * 1024, FIXTURE_SLOTS);
    csq_lock_timeout_set(fx.q, 20 * SECOND);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
}

static void teardown(void)
{
    munmap(shared, sizeof *shared);
    fixture_teardown();
}

static void wait_for_child(pid_t child, int wanted)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == wanted,
                  "a process ended with %x", status);
}

static pid_t start(void (*run)(int), int argument)
{
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        run(argument);
        _exit(0);
    }
    return child;
}

static void fail_child(const char *what, apr_status_t rv)
{
    char text[128];

    fprintf(stderr, "%s: %s\n", what, csq_strerror(rv, text, sizeof text));
    _exit(1);
}

/* ---- order --------------------------------------------------------------- */

static void append_numbered(int writer)
{
    char text[64];
    char client[16];
    int i;

    for (i = 0; i < EACH; i++) {
        apr_status_t rv;

        snprintf(client, sizeof client, "client%d", i % READERS);
        snprintf(text, sizeof text, "%d %d", writer, i);
        while ((rv = put(client, text)) == CSQ_SEGMENT_FULL)
            poll(NULL, 0, 1);
        if (rv != APR_SUCCESS)
            fail_child("append", rv);
        __atomic_store_n(&shared->accepted[writer], i + 1, __ATOMIC_RELEASE);
    }
}

static void check_view(const csq_view *view, int reader, int next[WRITERS])
{
    int writer;
    int number;

    if (sscanf(view->data, "\"%d %d\"", &writer, &number) != 2 || writer < 0
        || writer >= WRITERS || number != next[writer] * READERS + reader) {
        fprintf(stderr, "reader %d: got '%.*s', wanted number %d\n", reader,
                (int)view->len, view->data, next[writer] * READERS + reader);
        _exit(1);
    }
    next[writer]++;
}

static void read_numbered(int reader)
{
    int next[WRITERS] = { 0 };
    char client[16];
    csq_cursor cursor;
    int got = 0;
    unsigned i;
    apr_status_t rv = CSQ_EMPTY;

    snprintf(client, sizeof client, "client%d", reader);
    while (got < WRITERS * EACH / READERS) {
        rv = rv == CSQ_EMPTY && got == 0 ? get(client, NULL)
                                         : acknowledge(client, &cursor);
        if (rv != APR_SUCCESS && rv != CSQ_EMPTY)
            fail_child("fetch", rv);
        cursor = cursor_now();
        for (i = 0; i < csq_batch_count(fx.batch); i++)
            check_view(csq_batch_get(fx.batch, i), reader, next);
        got += (int)csq_batch_count(fx.batch);
        if (rv == CSQ_EMPTY)
            poll(NULL, 0, 1);
    }
    rv = acknowledge(client, &cursor);
    if (rv != CSQ_EMPTY)
        fail_child("the last fetch", rv);
}

START_TEST(each_message_arrives_once_and_in_order)
{
    pid_t children[WRITERS + READERS];
    int i;

    for (i = 0; i < READERS; i++)
        children[i] = start(read_numbered, i);
    for (i = 0; i < WRITERS; i++)
        children[READERS + i] = start(append_numbered, i);
    for (i = 0; i < WRITERS + READERS; i++)
        wait_for_child(children[i], 0);
    ck_assert_uint_eq(stats_now().queued, 0);
    ck_assert_uint_eq(stats_now().published, WRITERS * EACH);
    ck_assert_uint_eq(stats_now().acknowledged, WRITERS * EACH);
}
END_TEST

/* ---- death --------------------------------------------------------------- */

/* Do a bit of everything until killed. */
static void churn(int seed)
{
    unsigned state = (unsigned)seed;
    csq_cursor cursor = { .epoch = 0 };
    csq_slot *slot = NULL;
    char client[16];
    csq_key keys[3] = { { "realm", "x", NULL },
                        { "realm", "y", NULL },
                        { "realm", "z", NULL } };
    csq_message message = { .app = "a",
                            .sender = "s",
                            .encoding = CSQ_JSON,
                            .time = fx.now,
                            .data = "{}",
                            .len = 2 };

    csq_slot_claim(fx.q, fx.pool, &slot);
    __atomic_store_n(&shared->started, 1, __ATOMIC_RELEASE);
    for (;;) {
        snprintf(client, sizeof client, "c%d", rand_r(&state) % 40);
        message.expires = fx.now + rand_r(&state) % 90 * SECOND;
        switch (rand_r(&state) % 8) {
        case 0:
        case 1:
            put(client, "text that is long enough to need more than a single chunk");
            break;
        case 2:
            csq_append(fx.q, &message, keys, 3, fx.now, NULL, NULL);
            break;
        case 3:
            if (slot)
                wait_for(client, csq_waiter_make(slot, 1), 0);
            break;
        case 4:
            get(keys[rand_r(&state) % 3].client, NULL);
            break;
        case 5:
            put_full("b", client, "soon gone", fx.now + SECOND);
            break;
        case 6:
            fx.now += SECOND;
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

/* The stream of one client across the deaths of its writers: what was
 * accepted is there, in order, none twice.                                   */
static void append_counted(int writer)
{
    char text[32];
    uint32_t i;

    for (i = shared->accepted[writer];; i++) {
        snprintf(text, sizeof text, "%u", i);
        if (put("stream", text) != APR_SUCCESS)
            _exit(1);
        __atomic_store_n(&shared->accepted[writer], i + 1, __ATOMIC_SEQ_CST);
        __atomic_store_n(&shared->started, 1, __ATOMIC_RELEASE);
    }
}

static void kill_soon(pid_t child, unsigned *seed)
{
    struct timespec pause = { 0, rand_r(seed) % 2000000 };
    int64_t deadline = milliseconds() + 20000;
    int status;

    while (!__atomic_load_n(&shared->started, __ATOMIC_ACQUIRE)
           && milliseconds() < deadline)
        poll(NULL, 0, 1);
    ppoll(NULL, 0, &pause, NULL);
    ck_assert_int_eq(kill(child, SIGKILL), 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    shared->started = 0;
}

START_TEST(a_killed_process_leaves_a_whole_segment)
{
    unsigned seed = (unsigned)getpid();
    pid_t other = start(churn, (int)seed);
    int i;

    for (i = 0; i < 150; i++) {
        kill_soon(start(churn, rand_r(&seed)), &seed);
        if (i % 10 == 9) {
            kill(other, SIGKILL);
            waitpid(other, NULL, 0);
            fixture_audit();
            other = start(churn, rand_r(&seed));
        }
    }
    kill(other, SIGKILL);
    waitpid(other, NULL, 0);
}
END_TEST

START_TEST(what_was_accepted_outlives_the_writer)
{
    unsigned seed = (unsigned)getpid();
    uint32_t expected = 0;
    csq_cursor cursor = { .epoch = 0 };
    unsigned i;
    int round;

    for (round = 0; round < 100; round++) {
        uint32_t before = expected;
        unsigned number;

        kill_soon(start(append_counted, 0), &seed);
        ck_status(acknowledge("stream", round ? &cursor : NULL), APR_SUCCESS);
        cursor = cursor_now();
        for (i = 0; i < csq_batch_count(fx.batch); i++) {
            ck_assert_int_eq(sscanf(text_of(i), "%u", &number), 1);
            /* The one that was not yet reported may be there twice. */
            ck_assert(number == expected || (i == 0 && number + 1 == expected));
            expected = number + 1;
        }
        ck_assert_uint_ge(expected, shared->accepted[0]);
        ck_assert_uint_le(expected, shared->accepted[0] + 1);
        ck_assert_uint_ge(expected, before);
    }
}
END_TEST

/* ---- doorbells ----------------------------------------------------------- */

static void wait_and_read(int number)
{
    csq_slot *slot;
    apr_uint32_t numbers[4];
    struct pollfd p = { .events = POLLIN };
    int all;
    apr_status_t rv = csq_slot_claim(fx.q, fx.pool, &slot);

    if (rv != APR_SUCCESS)
        fail_child("claim", rv);
    rv = wait_for("alice", csq_waiter_make(slot, (apr_uint32_t)number), 0);
    if (rv != CSQ_EMPTY)
        fail_child("wait", rv);
    __atomic_store_n(&shared->started, 1, __ATOMIC_RELEASE);
    p.fd = csq_slot_descriptor(slot);
    if (poll(&p, 1, 20000) != 1 || hear(slot, numbers, 4, &all) != 1)
        _exit(2);
    __atomic_store_n(&shared->number, numbers[0], __ATOMIC_RELEASE);
    rv = wait_for("alice", csq_waiter_make(slot, (apr_uint32_t)number), 1);
    if (rv != APR_SUCCESS)
        fail_child("resume", rv);
}

static void wait_started(void)
{
    int64_t deadline = milliseconds() + 20000;

    while (!__atomic_load_n(&shared->started, __ATOMIC_ACQUIRE)) {
        ck_assert_int_lt(milliseconds(), deadline);
        poll(NULL, 0, 1);
    }
    shared->started = 0;
}

START_TEST(an_append_wakes_another_process)
{
    pid_t child = start(wait_and_read, 4711);
    csq_cursor cursor;
    int round;

    for (round = 0; round < 3; round++) {
        wait_started();
        ck_ok(put("alice", "wake up"));
        wait_for_child(child, 0);
        ck_assert_uint_eq(shared->number, 4711);
        ck_ok(get("alice", NULL));
        cursor = cursor_now();
        ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
        child = start(wait_and_read, 4711);
    }
    wait_started();
    ck_ok(put("alice", "wake up"));
    wait_for_child(child, 0);
}
END_TEST

static void claim_and_stay(int unused)
{
    csq_slot *slot;

    (void)unused;
    if (csq_slot_claim(fx.q, fx.pool, &slot) != APR_SUCCESS)
        _exit(1);
    wait_for("alice", csq_waiter_make(slot, 1), 0);
    __atomic_store_n(&shared->started, 1, __ATOMIC_RELEASE);
    for (;;)
        pause();
}

START_TEST(the_slot_of_a_dead_process_is_used_again)
{
    pid_t children[FIXTURE_SLOTS];
    csq_key key = { "realm", "alice", NULL };
    csq_client_info info;
    csq_slot *slot;
    int i;

    for (i = 0; i < FIXTURE_SLOTS; i++) {
        children[i] = start(claim_and_stay, 0);
        wait_started();
    }
    ck_status(csq_slot_claim(fx.q, fx.pool, &slot), CSQ_NO_SLOT);
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_int_eq(info.waiting, 1);
    for (i = 0; i < FIXTURE_SLOTS; i++) {
        kill(children[i], SIGKILL);
        waitpid(children[i], NULL, 0);
    }
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_int_eq(info.waiting, 0);
    ck_ok(put("alice", "rings nobody"));
    for (i = 0; i < FIXTURE_SLOTS; i++)
        ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
}
END_TEST

/* ---- locks --------------------------------------------------------------- */

static void lock_and_stay(int shard)
{
    if (csq_lock(fx.q, UINT32_C(1) << shard) != APR_SUCCESS)
        _exit(1);
    __atomic_store_n(&shared->started, 1, __ATOMIC_RELEASE);
    for (;;)
        pause();
}

START_TEST(a_stopped_holder_makes_others_busy_and_is_named)
{
    csq_key key = { "realm", "alice", NULL };
    csq_name name;
    int64_t before;
    pid_t child;

    ck_ok(put("alice", "x"));
    ck_ok(csq_name_make(fx.q, &key, &name));
    child = start(lock_and_stay, (int)csq_name_shard(&name));
    wait_started();
    csq_lock_timeout_set(fx.q, 50000);
    before = milliseconds();
    ck_status(put("alice", "y"), CSQ_BUSY);
    ck_assert_int_ge(milliseconds() - before, 49);
    ck_assert_uint_eq(csq_lock_holder(fx.q), (unsigned)child);
    ck_status(get("alice", NULL), CSQ_BUSY);
    ck_status(csq_audit(fx.q, fx.pool, NULL), CSQ_BUSY);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_ok(put("alice", "y"));
    ck_assert_uint_eq(stats_now().repairs, 1);
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
}
END_TEST

/* A repair that takes six times the deadline. */
static void repair_slowly(int unused)
{
    (void)unused;
    if (csq_lock_all(fx.q) != APR_SUCCESS)
        _exit(1);
    __atomic_store_n(&fx.q->header->repairing, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&shared->started, 1, __ATOMIC_RELEASE);
    poll(NULL, 0, 120);
    __atomic_store_n(&fx.q->header->repairing, 0, __ATOMIC_SEQ_CST);
    csq_unlock_all(fx.q);
}

START_TEST(a_repair_under_way_is_waited_for)
{
    pid_t child = start(repair_slowly, 0);

    wait_started();
    csq_lock_timeout_set(fx.q, 20000);
    ck_ok(put("alice", "x"));
    wait_for_child(child, 0);
}
END_TEST

static void hold_allocator(int unused)
{
    (void)unused;
    if (csq_allocator_lock(fx.q) != APR_SUCCESS)
        _exit(1);
    __atomic_store_n(&shared->started, 1, __ATOMIC_RELEASE);
    for (;;)
        pause();
}

START_TEST(what_a_stopped_allocator_does_not_take_is_freed_later)
{
    csq_cursor cursor;
    uint64_t used;
    pid_t child;

    ck_ok(put("alice", "x"));
    used = stats_now().segment_used;
    ck_ok(put("alice", "y"));
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    child = start(hold_allocator, 0);
    wait_started();
    csq_lock_timeout_set(fx.q, 20000);
    ck_status(put("alice", "z"), CSQ_BUSY);
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_assert_uint_eq(stats_now().queued, 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    ck_ok(put("alice", "z"));
    ck_assert_uint_le(stats_now().segment_used, used);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_processes");
    TCase *tc = tcase_create("processes");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, each_message_arrives_once_and_in_order);
    tcase_add_test(tc, a_killed_process_leaves_a_whole_segment);
    tcase_add_test(tc, what_was_accepted_outlives_the_writer);
    tcase_add_test(tc, an_append_wakes_another_process);
    tcase_add_test(tc, the_slot_of_a_dead_process_is_used_again);
    tcase_add_test(tc, a_stopped_holder_makes_others_busy_and_is_named);
    tcase_add_test(tc, a_repair_under_way_is_waited_for);
    tcase_add_test(tc, what_a_stopped_allocator_does_not_take_is_freed_later);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
