/* SPDX-License-Identifier: Apache-2.0
 * check_csq_soak.c - the segment runs full and empty again and again, while
 * processes publish, read, replace, withdraw, repeat, join, wait, expire and are
 * killed. After each round, when everything has been taken or is over, the
 * segment has exactly the room that it began with.
 *
 * CSQ_SOAK_SECONDS says how long (5), CSQ_SOAK_SEED where to begin. `make
 * check-soak` runs it for 30 minutes.
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

#define WORKERS   4
#define SIZE      (3 * 1024 * 1024)
#define CLIENTS   160 /* names; more than the limit allows                  */
#define GROUPS    3
#define KEYS      40 /* idempotency keys of a worker                       */
#define IDS       64 /* messages that a worker remembers                   */
#define WAITS     8  /* requests that a worker holds                       */
#define DATA_MOST 12000
#define STATUSES  (CSQ_STATUS_END - CSQ_STATUS_BASE)

/* What the workers do most of. */
enum phase { FILL, MIX, EMPTY, PHASES, REST = PHASES, END };

/* Shared by all processes. */
typedef struct board {
    int64_t now;
    uint32_t phase;
    uint32_t resting[WORKERS];
    uint64_t done;           /* calls                                      */
    uint64_t seen[STATUSES]; /* how often a call ended so; [0]: well       */
    uint64_t gaps;           /* told                                       */
    uint64_t rung;
} board;

static board *shared;
static unsigned seed;
static uint32_t beginning; /* free chunks                                */

/* Of a worker. */
static unsigned state;
static int worker;
static csq_slot *slot;
static unsigned char ids[IDS][CSQ_ID_BYTES];
static csq_key held[WAITS];
static char held_names[WAITS][16];
static char held_message[WAITS]; /* it waits for what becomes of ids[i]  */

static unsigned any(unsigned n)
{
    return (unsigned)rand_r(&state) % n;
}

static void setup(void)
{
    fixture_setup_bare();
    fx.limits.max_queue = 60;
    fx.limits.max_queue_bytes = 40 * 1024;
    fx.limits.max_message = 64 * 1024;
    fx.limits.max_clients = CLIENTS * 3 / 4;
    fx.limits.max_ttl = 3600;
    fx.limits.client_expiry = 30;
    fx.limits.device_expiry = 120;
    fx.limits.max_devices = 3;
    fixture_create(SIZE, WORKERS + 1);
    csq_lock_timeout_set(fx.q, 20 * SECOND);
    beginning = fx.q->header->free_count;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    shared->now = fx.now;
    shared->phase = REST;
}

static void teardown(void)
{
    munmap(shared, sizeof *shared);
    fixture_teardown();
}

/* ---- what a worker does ---------------------------------------------------- */

static void note(const char *what, apr_status_t rv)
{
    char text[128];

    __atomic_add_fetch(&shared->done, 1, __ATOMIC_RELAXED);
    if (rv == APR_SUCCESS) {
        __atomic_add_fetch(&shared->seen[0], 1, __ATOMIC_RELAXED);
        return;
    }
    if (rv == APR_INCOMPLETE)
        return;
    if (rv <= CSQ_STATUS_BASE || rv >= CSQ_STATUS_END || rv == CSQ_DAMAGED
        || rv == CSQ_CLOSED || rv == CSQ_BAD_NAME || rv == CSQ_TOO_LARGE) {
        fprintf(stderr, "seed %u: %s: %s\n", seed, what,
                csq_strerror(rv, text, sizeof text));
        _exit(1);
    }
    __atomic_add_fetch(&shared->seen[rv - CSQ_STATUS_BASE], 1, __ATOMIC_RELAXED);
}

static csq_key any_client(char name[16])
{
    csq_key key = { "realm", name, NULL };

    snprintf(name, 16, "client%u", any(CLIENTS));
    return key;
}

static csq_key any_device(char name[16])
{
    static const char *const devices[] = { NULL, "phone", "desk", "car", "watch" };
    csq_key key = any_client(name);

    key.device = devices[any(any(20) ? 3 : 5)];
    return key;
}

static csq_message any_message(void)
{
    static const char *const apps[] = { "orders", "news", "mail" };
    static const char *const senders[] = { "shop", "press", "a sender with a name" };
    static const char *const topics[] = { "price", "stock", "weather" };
    static const unsigned lives[] = { 0, 1, 5, 20, 600, 3600 };
    static char data[DATA_MOST];
    csq_message message = { .realm = "realm", .encoding = CSQ_TEXT };

    message.app = apps[any(3)];
    message.sender = senders[any(3)];
    message.type = any(2) ? "text/plain" : NULL;
    message.topic = any(4) ? NULL : topics[any(3)];
    message.urgency = (csq_urgency)any(4);
    message.receipt = any(5) == 0;
    message.lenient = any(2);
    message.time = shared->now;
    message.expires = shared->now + lives[any(6)] * SECOND;
    message.data = memset(data, '"', sizeof data);
    memset(data + 1, 'x', sizeof data - 2);
    message.len = 2 + any(any(20) ? 300 : DATA_MOST - 2);
    data[message.len - 1] = '"';
    return message;
}

static void remember(apr_status_t rv)
{
    if (rv == APR_SUCCESS)
        memcpy(ids[any(IDS)], fx.appended.id, CSQ_ID_BYTES);
}

static void publish(void)
{
    char name[16];
    csq_key key = any(3) ? any_client(name) : any_device(name);
    csq_message message = any_message();
    apr_status_t rv =
        csq_append(fx.q, &message, &key, 1, shared->now, NULL, &fx.appended);

    remember(rv);
    note("append", rv);
}

static void publish_to_several(void)
{
    char names[5][16];
    csq_key keys[5];
    apr_status_t refused[5];
    csq_message message = any_message();
    int n = 2 + (int)any(4);
    int i;
    apr_status_t rv;

    for (i = 0; i < n; i++)
        keys[i] = any_device(names[i]);
    rv = csq_append(fx.q, &message, keys, n, shared->now, refused, &fx.appended);
    remember(rv);
    note("append to several", rv);
}

static const char *any_group(void)
{
    static const char *const groups[GROUPS] = { "staff", "night", "all-of-them" };

    return groups[any(GROUPS)];
}

static void publish_to_group(void)
{
    csq_message message = any_message();
    const char *group = any(5) ? any_group() : NULL;
    apr_status_t rv =
        csq_append_group(fx.q, &message, group, shared->now, NULL, NULL, &fx.appended);

    remember(rv);
    note("append to a group", rv);
}

static void change_group(void)
{
    char name[16];
    csq_key key = any_client(name);
    int changed;

    note("change a group",
         any(3) ? csq_group_add(fx.q, &key, "orders", any_group(), shared->now, &changed)
                : csq_group_remove(fx.q, &key, "orders", any_group(), shared->now,
                                   &changed));
}

static void publish_once(void)
{
    static const char answer[3000] = "an answer";
    char key_text[32];
    const char *text = key_text;
    apr_size_t len = (apr_size_t)snprintf(key_text, sizeof key_text, "key %d %u", worker,
                                          any(KEYS * (any(2) ? 1 : 1000)));
    csq_digest key = csq_digest_make(fx.q, &text, &len, 1);
    csq_digest body = { { (unsigned char)any(2) } };
    char buffer[CSQ_ANSWER_MAX];
    unsigned char id[CSQ_ID_BYTES];
    csq_message message = any_message();
    char name[16];
    csq_key to = any_client(name);
    apr_status_t rv;

    len = sizeof buffer;
    rv = csq_repeat_begin(fx.q, &key, &body, csq_waiter_make(slot, 1), 30 * SECOND,
                          shared->now, id, buffer, &len);
    note("begin a repeat", rv);
    if (rv != APR_SUCCESS)
        return;
    message.id = id;
    rv = csq_append(fx.q, &message, &to, 1, shared->now, NULL, &fx.appended);
    remember(rv);
    note("append once", rv);
    note("end a repeat", rv == APR_SUCCESS
                             ? csq_repeat_finish(fx.q, &key, answer, any(sizeof answer))
                             : csq_repeat_forget(fx.q, &key));
}

/* Read, and mostly acknowledge, what a device has. */
static void take(void)
{
    char name[16];
    csq_key key = any_device(name);
    csq_cursor cursor;
    csq_fetch what = { .max_messages = 1 + any(200),
                       .max_bytes = 1 << 20,
                       .urgency = any(6) ? CSQ_VERY_LOW : (csq_urgency)any(4),
                       .peek = any(20) == 0 };
    const csq_gap *gaps;
    apr_uint32_t n;
    apr_status_t rv = csq_fetch_batch(fx.q, &key, &what, shared->now, fx.batch);

    note("fetch", rv);
    if (rv == APR_SUCCESS && csq_batch_gap(fx.batch, &gaps, &n))
        __atomic_add_fetch(&shared->gaps, 1, __ATOMIC_RELAXED);
    if ((rv != APR_SUCCESS && rv != CSQ_EMPTY) || any(8) == 0 || what.peek)
        return;
    cursor = csq_batch_cursor(fx.batch);
    if (any(40) == 0)
        cursor.epoch++;
    what.after = &cursor;
    what.acknowledge = 1;
    note("acknowledge", csq_fetch_batch(fx.q, &key, &what, shared->now, fx.batch));
}

static void stop_waiting(int i)
{
    csq_message_key key = { "realm", "orders", NULL, { 0 } };
    csq_waiter waiter = csq_waiter_make(slot, (apr_uint32_t)i);
    apr_status_t rv = APR_SUCCESS;

    if (held_message[i]) {
        memcpy(key.id, ids[i], CSQ_ID_BYTES);
        rv = csq_message_unwait(fx.q, &key, waiter);
    }
    else if (held[i].client) {
        rv = csq_waiter_remove(fx.q, &held[i], waiter);
    }
    note("stop waiting", rv);
    held_message[i] = 0;
    held[i].client = NULL;
}

static void wait_for_messages(void)
{
    int i = (int)any(WAITS);
    csq_fetch what = { .max_messages = 10, .max_bytes = 1 << 20, .stay = any(2) };

    stop_waiting(i);
    what.waiter = csq_waiter_make(slot, (apr_uint32_t)i);
    held[i] = any_device(held_names[i]);
    note("wait", csq_fetch_batch(fx.q, &held[i], &what, shared->now, fx.batch));
}

static void wait_for_change(void)
{
    int i = (int)any(WAITS);
    csq_message_key key = { "realm", "orders", NULL, { 0 } };
    csq_message_info info;
    apr_status_t rv;

    stop_waiting(i);
    memcpy(key.id, ids[i], CSQ_ID_BYTES);
    rv = csq_message_get(fx.q, &key, 0, NULL, &info);
    if (rv == APR_SUCCESS)
        rv = csq_message_get(fx.q, &key, csq_waiter_make(slot, (apr_uint32_t)i),
                             &info.changes, &info);
    held_message[i] = rv == APR_SUCCESS && info.waiting;
    note("ask for a message", rv);
}

static void hear_bells(void)
{
    apr_uint32_t numbers[64];
    int all = 0;

    csq_slot_listen(slot);
    __atomic_add_fetch(&shared->rung, (uint64_t)csq_slot_take(slot, numbers, 64, &all),
                       __ATOMIC_RELAXED);
    csq_slot_mute(slot, 1);
}

static void withdraw(void)
{
    csq_message_key key = { "realm", "orders", NULL, { 0 } };
    csq_message_info info;

    memcpy(key.id, ids[any(IDS)], CSQ_ID_BYTES);
    note("withdraw", csq_message_withdraw(fx.q, &key, &info));
}

static void report(void)
{
    note("report", csq_message_acknowledged(
                       fx.q, "realm", (const unsigned char(*)[CSQ_ID_BYTES])ids, IDS));
}

static void expire(void)
{
    note("expire", csq_expire(fx.q, shared->now, any(100) ? any(2000) : 1000000));
}

typedef struct deed {
    unsigned weight[PHASES];
    void (*act)(void);
} deed;

static const deed deeds[] = {
    { { 60, 20, 4 }, publish },
    { { 12, 4, 1 }, publish_to_several },
    { { 3, 1, 0 }, publish_to_group },
    { { 10, 6, 2 }, publish_once },
    { { 2, 2, 1 }, change_group },
    { { 2, 30, 70 }, take },
    { { 3, 10, 2 }, wait_for_messages },
    { { 1, 4, 2 }, wait_for_change },
    { { 1, 3, 4 }, hear_bells },
    { { 1, 4, 4 }, withdraw },
    { { 1, 2, 2 }, report },
    { { 1, 2, 8 }, expire },
};

#define DEEDS (sizeof deeds / sizeof deeds[0])

static void do_something(unsigned phase)
{
    unsigned sum = 0;
    unsigned i;

    for (i = 0; i < DEEDS; i++)
        sum += deeds[i].weight[phase];
    sum = any(sum);
    for (i = 0; sum >= deeds[i].weight[phase]; i++)
        sum -= deeds[i].weight[phase];
    deeds[i].act();
}

static unsigned phase_now(void)
{
    return __atomic_load_n(&shared->phase, __ATOMIC_ACQUIRE);
}

static void rest(void)
{
    int i;

    for (i = 0; i < WAITS; i++)
        stop_waiting(i);
    __atomic_store_n(&shared->resting[worker], 1, __ATOMIC_RELEASE);
    while (phase_now() == REST)
        poll(NULL, 0, 1);
    __atomic_store_n(&shared->resting[worker], 0, __ATOMIC_RELEASE);
}

static void work(void)
{
    unsigned phase;

    if (csq_slot_claim(fx.q, fx.pool, &slot) != APR_SUCCESS)
        _exit(2);
    while ((phase = phase_now()) != END) {
        if (phase == REST)
            rest();
        else
            do_something(phase);
    }
    _exit(0);
}

/* ---- rounds ------------------------------------------------------------------ */

static pid_t workers[WORKERS];
static unsigned begun;

static void start_worker(int i)
{
    workers[i] = fork();
    ck_assert_int_ge(workers[i], 0);
    if (workers[i] == 0) {
        worker = i;
        state = seed + begun;
        work();
    }
    begun++;
}

static int64_t milliseconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void expect_alive(void)
{
    int status;
    pid_t child = waitpid(-1, &status, WNOHANG);

    ck_assert_msg(child == 0, "seed %u: a worker ended with %x", seed, status);
}

static uint64_t times_full(void)
{
    return __atomic_load_n(&shared->seen[CSQ_SEGMENT_FULL - CSQ_STATUS_BASE],
                           __ATOMIC_RELAXED);
}

/* So long, and until the segment was full if it is to become so. The clock goes
 * on by half a second every few milliseconds.                                */
static void run_phase(unsigned phase, int64_t length)
{
    int64_t begin = milliseconds();
    uint64_t before = times_full();

    __atomic_store_n(&shared->phase, phase, __ATOMIC_RELEASE);
    while (milliseconds() < begin + length || (phase == FILL && times_full() == before)) {
        ck_assert_msg(milliseconds() < begin + 60000, "seed %u: never full", seed);
        poll(NULL, 0, 5);
        __atomic_add_fetch(&shared->now, SECOND / 2, __ATOMIC_RELAXED);
        expect_alive();
    }
}

static void kill_one(void)
{
    int i = (int)any(WORKERS);
    int status;

    ck_assert_int_eq(kill(workers[i], SIGKILL), 0);
    ck_assert_int_eq(waitpid(workers[i], &status, 0), workers[i]);
    shared->resting[i] = 0;
    start_worker(i);
}

static void await_rest(void)
{
    int64_t deadline = milliseconds() + 60000;
    int i;

    __atomic_store_n(&shared->phase, REST, __ATOMIC_RELEASE);
    for (i = 0; i < WORKERS; i++)
        while (!__atomic_load_n(&shared->resting[i], __ATOMIC_ACQUIRE)) {
            ck_assert_msg(milliseconds() < deadline, "seed %u: no rest", seed);
            expect_alive();
            poll(NULL, 0, 1);
        }
}

static void leave_groups(void)
{
    static const char *const groups[GROUPS] = { "staff", "night", "all-of-them" };
    char name[16];
    csq_key key = { "realm", name, NULL };
    int changed;
    int client;
    int i;

    for (client = 0; client < CLIENTS; client++)
        for (i = 0; i < GROUPS; i++) {
            snprintf(name, sizeof name, "client%d", client);
            ck_ok(
                csq_group_remove(fx.q, &key, "orders", groups[i], shared->now, &changed));
        }
}

/* Hours later: messages are over, then receipts, gaps, devices and clients. */
static void let_everything_end(void)
{
    apr_status_t rv;
    int i;

    leave_groups();
    for (i = 0; i < 4; i++) {
        shared->now += 2 * 3600 * SECOND;
        do
            rv = csq_expire(fx.q, shared->now, 1000000);
        while (rv == APR_INCOMPLETE);
        ck_ok(rv);
    }
}

static void expect_empty(int round)
{
    csq_stats stats = stats_now();

    ck_assert_msg(fx.q->header->free_count == beginning,
                  "seed %u, round %d: %u chunks are free, not %u", seed, round,
                  fx.q->header->free_count, beginning);
    ck_assert_uint_eq(stats.clients, 0);
    ck_assert_uint_eq(stats.queued, 0);
    ck_assert_uint_eq(stats.bytes, 0);
    fixture_audit();
}

static void change_limits(int round)
{
    fx.limits.overflow = round % 2 ? CSQ_OVERFLOW_DROP_OLDEST : CSQ_OVERFLOW_REJECT;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
}

static void end_workers(void)
{
    int status;
    int i;

    __atomic_store_n(&shared->phase, END, __ATOMIC_RELEASE);
    for (i = 0; i < WORKERS; i++) {
        ck_assert_int_eq(waitpid(workers[i], &status, 0), workers[i]);
        ck_assert_msg(WIFEXITED(status) && !WEXITSTATUS(status), "%x", status);
    }
}

static void tell(int rounds)
{
    int i;

    printf("%d rounds, %llu calls, %llu gaps told, %llu rung, %llu repairs\n", rounds,
           (unsigned long long)shared->done, (unsigned long long)shared->gaps,
           (unsigned long long)shared->rung, (unsigned long long)stats_now().repairs);
    for (i = 1; i < STATUSES; i++)
        if (shared->seen[i])
            printf("%10llu %s\n", (unsigned long long)shared->seen[i],
                   csq_strerror(CSQ_STATUS_BASE + i, NULL, 0));
    fflush(stdout);
}

/* A soak that met nothing would prove nothing. */
static void expect_variety(void)
{
    static const apr_status_t wanted[] = {
        CSQ_EMPTY,   CSQ_QUEUE_FULL, CSQ_SEGMENT_FULL, CSQ_CLIENTS_FULL, CSQ_DEVICES_FULL,
        CSQ_REFUSED, CSQ_FINISHED,   CSQ_REPEATED,     CSQ_OTHER_BODY,   CSQ_REPLACED
    };
    size_t i;

    for (i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        ck_assert_msg(shared->seen[wanted[i] - CSQ_STATUS_BASE] > 0,
                      "seed %u: never seen: %s", seed, csq_strerror(wanted[i], NULL, 0));
    ck_assert_uint_gt(shared->gaps, 0);
    ck_assert_uint_gt(shared->rung, 0);
    ck_assert_uint_gt(stats_now().expired, 0);
    ck_assert_uint_gt(stats_now().dropped, 0);
}

static unsigned number_from(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text && *text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static unsigned seconds_wanted(void)
{
    return number_from("CSQ_SOAK_SECONDS", 5);
}

START_TEST(a_segment_that_was_full_is_as_empty_as_it_began)
{
    int64_t end = milliseconds() + 1000 * (int64_t)seconds_wanted();
    int64_t part = seconds_wanted() > 60 ? 2000 : 250;
    unsigned phase;
    int round;
    int i;

    printf("CSQ_SOAK_SEED=%u\n", seed);
    fflush(stdout);
    for (i = 0; i < WORKERS; i++)
        start_worker(i);
    for (round = 0; round < 4 || milliseconds() < end; round++) {
        change_limits(round);
        for (phase = FILL; phase < PHASES; phase++) {
            run_phase(phase, part);
            kill_one();
        }
        await_rest();
        let_everything_end();
        expect_empty(round);
    }
    end_workers();
    tell(round);
    expect_variety();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_soak");
    TCase *tc = tcase_create("soak");
    SRunner *runner;
    int bad;

    seed = number_from("CSQ_SOAK_SEED", (unsigned)time(NULL));
    state = seed;
    tcase_set_timeout(tc, seconds_wanted() * 2 + 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_segment_that_was_full_is_as_empty_as_it_began);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}
