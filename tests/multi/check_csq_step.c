/* SPDX-License-Identifier: Apache-2.0
 * check_csq_step.c - a death after any single instruction leaves a segment
 * that a repair makes whole, with every promise kept.
 *
 * A child runs one operation; we step it through, one instruction at a time.
 * Whenever the segment has changed, a copy of it is taken, repaired, audited
 * and judged as if the child had been killed there (`*_everywhere`). At a few
 * places, chosen at random, the child is really killed and the next process
 * finds out (`*_killed`): that tests the locks, too.
 *
 * CSQ_STEP_KILLS is the number of kills for each operation, CSQ_STEP_SEED
 * chooses them; a failure prints the seed.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEGMENT_SIZE (192 * 1024)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KILLS 1 /* many more instructions                      */
#else
#define KILLS 3
#endif

/* What the child says. Shared memory. */
typedef struct report {
    int finished; /* the operation has returned                  */
    apr_status_t status;
} report;

typedef struct operation {
    const char *name;
    void (*prepare)(void);
    apr_status_t (*run)(void);
    void (*judge)(int finished);
} operation;

static report *told;
static csq_slot *slot;
static csq_cursor cursor;
static apr_pool_t *segment_pool;

/* ---- the operations ------------------------------------------------------ */

static unsigned count_of(const char *client)
{
    apr_status_t rv = get(client, NULL);

    ck_assert_msg(rv == APR_SUCCESS || rv == CSQ_EMPTY, "get '%s': %d", client, rv);
    return csq_batch_count(fx.batch);
}

static void expect_texts(const char *client, const char *const *texts, unsigned n)
{
    unsigned i;

    ck_assert_uint_eq(count_of(client), n);
    for (i = 0; i < n; i++)
        ck_assert_str_eq(text_of(i), texts[i]);
}

static void prepare_waiter(void)
{
    ck_ok(csq_slot_claim(fx.q, segment_pool, &slot));
    ck_ok(put("alice", "first"));
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_status(wait_for("alice", csq_waiter_make(slot, 7), 0), CSQ_EMPTY);
}

static apr_status_t run_append(void)
{
    return put("alice", "a message that takes more than one chunk, to make it a chain "
                        "of several that must all be there or not at all, whatever");
}

static void judge_append(int finished)
{
    unsigned n = count_of("alice");

    ck_assert_uint_le(n, 1);
    ck_assert(!finished || n == 1);
    if (n)
        ck_assert_int_eq(strncmp(text_of(0), "a message that", 14), 0);
}

static void prepare_nothing(void)
{
}

static apr_status_t run_several(void)
{
    csq_key keys[4] = { { "realm", "alice", NULL },
                        { "realm", "bob", NULL },
                        { "realm", "carol", NULL },
                        { "realm", "dave", NULL } };
    csq_appended appended;
    csq_message message = { .app = "orders",
                            .sender = "tester",
                            .type = NULL,
                            .encoding = CSQ_JSON,
                            .time = fx.now,
                            .expires = fx.now + 60 * SECOND,
                            .data = "{}",
                            .len = 2 };

    return csq_append(fx.q, &message, keys, 4, fx.now, NULL, &appended);
}

static void prepare_several(void)
{
    ck_ok(put("bob", "before"));
    ck_ok(put("carol", "before"));
}

static void judge_several(int finished)
{
    unsigned n = count_of("alice");

    ck_assert_uint_le(n, 1);
    ck_assert(!finished || n == 1);
    ck_assert_uint_eq(count_of("dave"), n);
    ck_assert_uint_eq(count_of("bob"), n + 1);
    ck_assert_str_eq(text_of(0), "before");
    ck_assert_uint_eq(count_of("carol"), n + 1);
}

static void prepare_full(void)
{
    fx.limits.max_queue = 3;
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(put("alice", "1"));
    ck_ok(put("alice", "2"));
    ck_ok(put("alice", "3"));
}

static apr_status_t run_drop(void)
{
    return put("alice", "4");
}

static void judge_drop(int finished)
{
    const csq_gap *gaps;
    apr_uint32_t n;
    unsigned count = count_of("alice");
    const char *first = text_of(0);
    const char *last = text_of(count - 1);

    ck_assert(strcmp(first, "1") == 0 || csq_batch_gap(fx.batch, &gaps, &n));
    ck_assert(strcmp(first, "1") == 0 || strcmp(first, "2") == 0);
    ck_assert(strcmp(last, "3") == 0 || strcmp(last, "4") == 0);
    ck_assert(!finished || strcmp(last, "4") == 0);
    ck_assert_uint_ge(count, 2);
}

static void prepare_read(void)
{
    ck_ok(put_full("a", "alice", "1", fx.now + 60 * SECOND));
    ck_ok(put_full("b", "alice", "2", fx.now + 60 * SECOND));
    ck_ok(put_full("c", "alice", "3", fx.now + 60 * SECOND));
    ck_ok(put_full("d", "alice", "4", fx.now + 60 * SECOND));
    ck_ok(get_max("alice", NULL, 2));
    cursor = cursor_now();
}

static apr_status_t run_acknowledge(void)
{
    return acknowledge("alice", &cursor);
}

static void judge_acknowledge(int finished)
{
    unsigned n = count_of("alice");

    ck_assert(n >= 2 && n <= 4);
    ck_assert(!finished || n == 2);
    ck_assert_str_eq(text_of(n - 1), "4");
    ck_assert_str_eq(text_of(n - 2), "3");
}

static apr_status_t run_wait(void)
{
    apr_status_t rv = wait_for("alice", csq_waiter_make(slot, 8), 0);

    return rv == CSQ_EMPTY ? APR_SUCCESS : rv;
}

static void judge_wait(int finished)
{
    csq_key key = { "realm", "alice", NULL };
    csq_waiter old = csq_waiter_make(slot, 7);
    apr_status_t rv = csq_waiter_remove(fx.q, &key, old);

    ck_assert(rv == APR_SUCCESS || rv == CSQ_REPLACED);
    ck_assert(!finished || rv == CSQ_REPLACED);
    ck_ok(put("alice", "x"));
    ck_assert_uint_eq(count_of("alice"), 1);
}

static apr_status_t run_leave(void)
{
    csq_key key = { "realm", "alice", NULL };

    return csq_waiter_remove(fx.q, &key, csq_waiter_make(slot, 7));
}

static void judge_leave(int finished)
{
    csq_key key = { "realm", "alice", NULL };

    (void)finished;
    ck_ok(csq_waiter_remove(fx.q, &key, csq_waiter_make(slot, 7)));
}

static void prepare_expiry(void)
{
    fx.limits.client_expiry = 1;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(put_full("a", "alice", "1", fx.now + 1 * SECOND));
    ck_ok(put_full("b", "alice", "2", fx.now + 3600 * SECOND));
    ck_ok(put_full("c", "alice", "3", fx.now + 65 * SECOND));
    ck_ok(put_full("d", "alice", "4", fx.now + 7200 * SECOND));
    ck_ok(put_full("d", "bob", "1", fx.now + 1 * SECOND));
}

static apr_status_t run_expire(void)
{
    return csq_expire(fx.q, fx.now + 70 * SECOND, 1000);
}

static void judge_expire(int finished)
{
    static const char *const texts[] = { "2", "4", NULL };
    apr_time_t now = fx.now;

    fx.now += 70 * SECOND;
    expect_texts("alice", texts, 2);
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().queued, 2);
    fx.now += 5 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().clients, 1);
    fx.now = now;
    (void)finished;
}

static apr_status_t run_claim(void)
{
    csq_slot *mine;

    return csq_slot_claim(fx.q, segment_pool, &mine);
}

static void judge_claim(int finished)
{
    (void)finished;
}

/* A repair: the next process finds the locks of one that died half way. */
static pid_t start_child(const operation *op);
static long step_child(pid_t child, long steps);
static void end_child(pid_t child);
static const operation *find_operation(const char *name);

static void prepare_repair(void)
{
    pid_t child;

    prepare_several();
    child = start_child(find_operation("several"));
    while (step_child(child, 1) == 1)
        if (__atomic_load_n(&fx.q->header->clients, __ATOMIC_RELAXED) == 4)
            break; /* all clients are there, but not the message  */
    end_child(child);
}

static apr_status_t run_repair(void)
{
    apr_status_t rv = get("bob", NULL);

    return rv == CSQ_EMPTY ? APR_SUCCESS : rv;
}

static void judge_repair(int finished)
{
    judge_several(0);
    (void)finished;
}

/* ---- devices, topics, groups, receipts ------------------------------------- */

static csq_message_key message_key;

static void put_for(const char *text, const char *device, const char *topic)
{
    csq_message message = message_of(text);

    message.topic = topic;
    ck_ok(append(&message, "alice", device));
}

static apr_status_t ok_or_empty(apr_status_t rv)
{
    return rv == CSQ_EMPTY ? APR_SUCCESS : rv;
}

static apr_status_t run_first_poll(void)
{
    return ok_or_empty(read_as("alice", "desk", NULL, CSQ_VERY_LOW, 10));
}

static void prepare_name(void)
{
    put_for("1", NULL, NULL);
    put_for("2", NULL, "t");
}

static void judge_name(int finished)
{
    (void)finished;
    ck_ok(run_first_poll());
    ck_assert_str_eq(texts(), "1 2");
}

static void prepare_join(void)
{
    put_for("1", "desk", NULL);
    put_for("2", NULL, NULL);
    put_for("3", NULL, "t");
    put_for("4", "desk", "t");
}

static void judge_join(int finished)
{
    (void)finished;
    ck_ok(run_first_poll());
    ck_assert_str_eq(texts(), "1 4 2 3");
    ck_assert_uint_eq(stats_now().queued, 4);
}

static void prepare_replace(void)
{
    put_for("old", NULL, "t");
    put_for("other", NULL, "u");
}

static apr_status_t run_replace(void)
{
    csq_message message = message_of("new");

    message.topic = "t";
    return append(&message, "alice", NULL);
}

static void judge_replace(int finished)
{
    ck_ok(get("alice", NULL));
    if (finished || strcmp(texts(), "other new") == 0) {
        ck_assert_str_eq(texts(), "other new");
        return;
    }
    ck_assert_int_eq(strncmp(texts(), "old other", 9), 0);
    ck_ok(run_replace());
    ck_ok(get("alice", NULL));
    ck_assert_str_eq(texts(), "other new");
}

static const char *const three[3] = { "alice", "bob", "carol" };

static void prepare_spread(void)
{
    csq_key keys[3] = { { "realm", three[0], NULL },
                        { "realm", three[1], NULL },
                        { "realm", three[2], NULL } };
    csq_message message = message_of("x");

    message.receipt = 1;
    message.topic = "t";
    ck_ok(csq_append(fx.q, &message, keys, 3, fx.now, NULL, &fx.appended));
    ck_ok(get("bob", NULL));
    cursor = cursor_now();
    message_key = (csq_message_key){ "realm", "orders", "tester", { 0 } };
    memcpy(message_key.id, fx.appended.id, CSQ_ID_BYTES);
}

static apr_status_t run_withdraw(void)
{
    return csq_message_withdraw(fx.q, &message_key, &fx.info);
}

static void judge_withdraw(int finished)
{
    unsigned n = count_of("alice");

    ck_assert(!finished || n == 0);
    ck_assert_uint_eq(count_of("bob"), n);
    ck_assert_uint_eq(count_of("carol"), n);
    ck_ok(csq_message_get(fx.q, &message_key, 0, NULL, &fx.info));
    ck_assert_uint_eq(fx.info.counts[CSQ_STATE_WITHDRAWN], n ? 0 : 3);
}

static apr_status_t run_take(void)
{
    return ok_or_empty(acknowledge("bob", &cursor));
}

static void judge_take(int finished)
{
    unsigned n = count_of("bob");

    ck_assert(!finished || n == 0);
    ck_ok(csq_message_get(fx.q, &message_key, 0, NULL, &fx.info));
    ck_assert_uint_eq(fx.info.counts[CSQ_STATE_RECEIVED], n ? 0 : 1);
    ck_assert_uint_eq(fx.info.queues, 3);
}

static void prepare_slot(void)
{
    prepare_spread();
    ck_ok(csq_slot_claim(fx.q, segment_pool, &slot));
}

static apr_status_t run_watch(void)
{
    apr_uint32_t changes = 1;

    return csq_message_get(fx.q, &message_key, csq_waiter_make(slot, 7), &changes,
                           &fx.info);
}

static void judge_watch(int finished)
{
    (void)finished;
    ck_ok(csq_message_unwait(fx.q, &message_key, csq_waiter_make(slot, 7)));
}

static apr_status_t change_member(const char *client, int add)
{
    csq_key key = { "realm", client, NULL };
    int changed;

    return add ? csq_group_add(fx.q, &key, "orders", "staff", fx.now, &changed)
               : csq_group_remove(fx.q, &key, "orders", "staff", fx.now, &changed);
}

static unsigned tell_staff(void)
{
    csq_message message = message_of("x");

    ck_ok(csq_append_group(fx.q, &message, "staff", fx.now, NULL, NULL, &fx.appended));
    return fx.appended.receivers;
}

static void prepare_group(void)
{
    ck_ok(change_member("bob", 1));
    ck_ok(change_member("carol", 1));
    ck_ok(put("carol", "before"));
}

static apr_status_t run_join_group(void)
{
    return change_member("alice", 1);
}

static void judge_join_group(int finished)
{
    unsigned n = tell_staff();

    ck_assert(n == 3 || (n == 2 && !finished));
}

static apr_status_t run_leave_group(void)
{
    return change_member("bob", 0);
}

static void judge_leave_group(int finished)
{
    unsigned n = tell_staff();

    ck_assert(n == 1 || (n == 2 && !finished));
}

static apr_status_t run_tell(void)
{
    csq_message message = message_of("all");

    message.receipt = 1;
    return csq_append_group(fx.q, &message, "staff", fx.now, NULL, NULL, &fx.appended);
}

/* Each member has it whole or not at all, and never twice. */
static void judge_tell(int finished)
{
    unsigned bob = count_of("bob");
    unsigned carol = count_of("carol");

    ck_assert_uint_le(bob, 1);
    ck_assert(carol == 1 || carol == 2);
    ck_assert(!finished || (bob == 1 && carol == 2));
    if (bob) {
        get("bob", NULL);
        ck_assert_str_eq(texts(), "all");
    }
}

static csq_digest digest_of(const char *text)
{
    apr_size_t length = strlen(text);

    return csq_digest_make(fx.q, &text, &length, 1);
}

static apr_status_t begin_repeat(apr_size_t *len)
{
    static char answer[256];
    csq_digest key = digest_of("key");
    csq_digest body = digest_of("body");

    *len = sizeof answer;
    return csq_repeat_begin(fx.q, &key, &body, 0, 3600 * SECOND, fx.now, fx.appended.id,
                            answer, len);
}

/* What a request with a key does. */
static apr_status_t run_once(void)
{
    static const char answer[] = "an answer that takes more than one chunk, for it is "
                                 "longer than the few bytes that the record has room for";
    csq_message message = message_of("once");
    csq_digest key = digest_of("key");
    apr_size_t len;
    apr_status_t rv = begin_repeat(&len);

    message.id = fx.appended.id;
    if (rv == APR_SUCCESS)
        rv = append(&message, "alice", NULL);
    if (rv == APR_SUCCESS)
        rv = csq_repeat_finish(fx.q, &key, answer, sizeof answer - 1);
    return rv;
}

/* Tried again it has its effect once, wherever the first was cut off. */
static void judge_once(int finished)
{
    apr_status_t rv = run_once();

    ck_assert(rv == CSQ_REPEATED || (rv == APR_SUCCESS && !finished));
    ck_assert_uint_eq(count_of("alice"), 1);
    ck_status(run_once(), CSQ_REPEATED);
    ck_assert_uint_eq(count_of("alice"), 1);
}

static const operation operations[] = {
    { "append", prepare_waiter, run_append, judge_append },
    { "append_new", prepare_nothing, run_append, judge_append },
    { "several", prepare_several, run_several, judge_several },
    { "drop", prepare_full, run_drop, judge_drop },
    { "acknowledge", prepare_read, run_acknowledge, judge_acknowledge },
    { "wait", prepare_waiter, run_wait, judge_wait },
    { "leave", prepare_waiter, run_leave, judge_leave },
    { "expire", prepare_expiry, run_expire, judge_expire },
    { "claim", prepare_nothing, run_claim, judge_claim },
    { "repair", prepare_repair, run_repair, judge_repair },
    { "name", prepare_name, run_first_poll, judge_name },
    { "join", prepare_join, run_first_poll, judge_join },
    { "replace", prepare_replace, run_replace, judge_replace },
    { "withdraw", prepare_spread, run_withdraw, judge_withdraw },
    { "take", prepare_spread, run_take, judge_take },
    { "watch", prepare_slot, run_watch, judge_watch },
    { "join_group", prepare_group, run_join_group, judge_join_group },
    { "leave_group", prepare_group, run_leave_group, judge_leave_group },
    { "tell", prepare_group, run_tell, judge_tell },
    { "once", prepare_nothing, run_once, judge_once }
};

#define OPERATIONS ((int)(sizeof operations / sizeof operations[0]))

static const operation *find_operation(const char *name)
{
    int i;

    for (i = 0; strcmp(operations[i].name, name) != 0; i++)
        ck_assert_int_lt(i, OPERATIONS);
    return &operations[i];
}

/* ---- stepping ------------------------------------------------------------ */

static void child_main(const operation *op)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(77);
    raise(SIGSTOP);
    told->status = op->run();
    told->finished = 1;
    raise(SIGSTOP);
    _exit(0);
}

static void wait_stopped(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSTOPPED(status), "the child cannot be traced: %x", status);
}

static pid_t start_child(const operation *op)
{
    pid_t child;

    memset(told, 0, sizeof *told);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        child_main(op);
    wait_stopped(child);
    return child;
}

/* @return steps done; fewer than asked for: the operation is over. */
static long step_child(pid_t child, long steps)
{
    long i;

    for (i = 0; i < steps && !told->finished; i++) {
        ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        wait_stopped(child);
    }
    return i;
}

static void end_child(pid_t child)
{
    int status;

    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
}

/* ---- judging a copy ------------------------------------------------------ */

static int lock_is_held(const pthread_mutex_t *mutex)
{
    return __atomic_load_n((const int *)mutex, __ATOMIC_RELAXED) != 0;
}

static int some_lock_is_held(csq *q)
{
    int i;

    if (lock_is_held(&q->header->allocator) || q->header->repair)
        return 1;
    for (i = 0; i < CSQ_SHARDS; i++)
        if (lock_is_held(&q->shards[i].mutex))
            return 1;
    return 0;
}

/* The copy has locks that nobody holds, and asks for a repair if there was
 * a lock whose owner would have died.                                        */
static void make_copy(csq *copy, csq *from, void *memory)
{
    csq_map map;
    size_t size = from->header->size;
    int held;
    int i;

    memcpy(memory, from->header, size);
    *copy = *from;
    ck_ok(csq_map_check(memory, size, &map));
    csq_map_apply(copy, memory, &map);
    copy->path = "/nonexistent/copy";
    held = some_lock_is_held(copy);
    ck_ok(csq_mutex_create(&copy->header->allocator));
    for (i = 0; i < CSQ_SHARDS; i++)
        ck_ok(csq_mutex_create(&copy->shards[i].mutex));
    copy->header->repair = (uint32_t)held;
}

static void judge_copy(const operation *op, void *memory, long step)
{
    csq *original = fx.q;
    csq copy;
    csq_bell bell = { -1, 0 };
    const char *problem = NULL;
    apr_pool_t *pool;

    make_copy(&copy, original, memory);
    copy.bells = &bell;
    fx.q = &copy;
    apr_pool_create(&pool, fx.pool);
    ck_assert_msg(csq_audit(&copy, pool, &problem) == APR_SUCCESS, "%s, step %ld: %s",
                  op->name, step, problem);
    op->judge(told->finished);
    ck_assert_msg(csq_audit(&copy, pool, &problem) == APR_SUCCESS,
                  "%s, step %ld, after: %s", op->name, step, problem);
    apr_pool_destroy(pool);
    fx.q = original;
}

static void open_segment(const operation *op)
{
    ck_assert_int_eq(apr_pool_create(&segment_pool, fx.pool), APR_SUCCESS);
    fx.limits.max_queue = 1000;
    fx.limits.overflow = CSQ_OVERFLOW_REJECT;
    fx.limits.client_expiry = 600;
    fx.limits.max_clients = 64;
    ck_ok(csq_create(fx.path, SEGMENT_SIZE, 1, &fx.limits, segment_pool, &fx.q));
    op->prepare();
}

static void close_segment(void)
{
    apr_pool_destroy(segment_pool);
    fx.q = NULL;
}

START_TEST(step_everywhere)
{
    const operation *op = &operations[_i];
    void *before = mmap(NULL, SEGMENT_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    void *memory = mmap(NULL, SEGMENT_SIZE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long step = 0;
    long states = 0;
    size_t size;
    pid_t child;

    open_segment(op);
    size = fx.q->header->size;
    child = start_child(op);
    do {
        if (memcmp(before, fx.q->header, size) != 0) {
            memcpy(before, fx.q->header, size);
            judge_copy(op, memory, step);
            states++;
        }
        step++;
    } while (step_child(child, 1) == 1);
    ck_assert_int_eq(told->finished, 1);
    ck_status(told->status, APR_SUCCESS);
    judge_copy(op, memory, step);
    ck_assert_int_gt(states, 2);
    if (getenv("CSQ_STEP_VERBOSE"))
        printf("%s: %ld steps, %ld states\n", op->name, step, states);
    end_child(child);
    close_segment();
    munmap(before, SEGMENT_SIZE);
    munmap(memory, SEGMENT_SIZE);
}
END_TEST

/* ---- killing ------------------------------------------------------------- */

static void kill_after(const operation *op, long steps, unsigned seed)
{
    const char *problem = NULL;
    pid_t child;

    open_segment(op);
    child = start_child(op);
    step_child(child, steps);
    end_child(child);
    ck_assert_msg(csq_audit(fx.q, fx.pool, &problem) == APR_SUCCESS,
                  "%s, killed at step %ld, seed %u: %s", op->name, steps, seed, problem);
    op->judge(told->finished);
    fixture_audit();
    close_segment();
}

START_TEST(step_and_kill)
{
    const operation *op = &operations[_i];
    const char *kills_text = getenv("CSQ_STEP_KILLS");
    const char *seed_text = getenv("CSQ_STEP_SEED");
    long kills = kills_text ? atol(kills_text) : KILLS;
    unsigned seed = seed_text ? (unsigned)atol(seed_text) : (unsigned)getpid();
    unsigned state = seed;
    long total;
    long i;
    pid_t child;

    open_segment(op);
    child = start_child(op);
    total = step_child(child, 10000000);
    end_child(child);
    close_segment();
    for (i = 0; i < kills; i++)
        kill_after(op, total * i / kills + rand_r(&state) % (total / kills + 1), seed);
}
END_TEST

static void setup(void)
{
    fixture_setup_bare();
    told = mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                -1, 0);
    ck_assert_ptr_ne(told, MAP_FAILED);
}

static void teardown(void)
{
    munmap(told, sizeof *told);
    fixture_teardown();
}

/* Sandboxes may forbid tracing. */
static int can_trace(void)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status)
           && WEXITSTATUS(status) == 0;
}

int main(void)
{
    Suite *suite = suite_create("csq_step");
    TCase *tc = tcase_create("step");
    SRunner *runner;
    int failed;

    if (!can_trace()) {
        fputs("SKIP: ptrace is not permitted here\n", stderr);
        return 77;
    }
    tcase_set_timeout(tc, 300);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, step_everywhere, 0, OPERATIONS);
    tcase_add_loop_test(tc, step_and_kill, 0, OPERATIONS);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
