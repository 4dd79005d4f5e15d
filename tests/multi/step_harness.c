/* SPDX-License-Identifier: Apache-2.0
 * step_harness.c - see step_harness.h. One run: prepare, step, kill, let
 * another process go on at once, audit, judge, empty everything.
 */
#include "cs_compat.h"
#include "step_tracee.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define DAY (24 * 3600 * SECOND)

/* A process that waits here is one that would wait for ever: the lock of a
 * process that is dead is given up as soon as the kernel has buried it.      */
#define LOCK_TIMEOUT (20 * SECOND)

apr_pool_t *step_pool;
apr_pool_t *step_slot_pool;
static const step_operation *operation;

void step_setup(void)
{
    fixture_setup_bare();
    step_told = mmap(NULL, sizeof *step_told, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(step_told, MAP_FAILED);
}

void step_teardown(void)
{
    munmap(step_told, sizeof *step_told);
    fixture_teardown();
}

/* ---- one segment for one run -------------------------------------------- */

const char *step_state_path(const char *suffix)
{
    return apr_pstrcat(fx.pool, fx.path, ".state", suffix, NULL);
}

apr_status_t step_start(apr_size_t size, csq_outcome *out_outcome)
{
    csq_plan plan = { .path = fx.path,
                      .state = step_state_path(""),
                      .size = size,
                      .slots = 1,
                      .limits = &fx.limits };

    return csq_start(&plan, step_pool, out_outcome, &fx.q);
}

static void open_run(const step_operation *op)
{
    operation = op;
    step_mask_clear();
    step_mask(getpid());
    step_freeze();
    ck_assert_int_eq(apr_pool_create(&step_pool, fx.pool), APR_SUCCESS);
    ck_assert_int_eq(apr_pool_create(&step_slot_pool, step_pool), APR_SUCCESS);
    fx.limits.client_expiry = 600;
    fx.limits.max_clients = 64;
    if (!(op->flags & STEP_SERVER))
        ck_ok(csq_create(fx.path, STEP_SEGMENT, 1, &fx.limits, step_pool, &fx.q));
    if (op->prepare)
        op->prepare();
}

static void close_run(void)
{
    static const char *const suffixes[] = { ".state",   ".state.new",   ".state.damaged",
                                            ".damaged", ".damaged.new", ".lock.new" };
    size_t i;

    apr_pool_destroy(step_pool);
    fx.q = NULL;
    for (i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++)
        unlink(apr_pstrcat(fx.pool, fx.path, suffixes[i], NULL));
    csq_batch_destroy(fx.batch);
}

static void end_child(pid_t child)
{
    int status;

    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
}

void step_die_after(void (*run)(void))
{
    int status;
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        run();
        kill(getpid(), SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status), "the process to die ended: %x", (unsigned)status);
    step_mask(child);
}

static void (*half_run)(void);
static int half_calls;

static void run_half(void)
{
    step_die_in(half_calls);
    half_run();
    _exit(0);
}

void step_leave_half_done(void (*run)(void), int calls)
{
    half_run = run;
    half_calls = calls;
    step_die_after(run_half);
}

/* ---- short forms -------------------------------------------------------- */

apr_status_t step_or_empty(apr_status_t rv)
{
    return rv == CSQ_EMPTY ? APR_SUCCESS : rv;
}

unsigned step_count(const char *client)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    ck_ok(step_or_empty(get(client, NULL)));
    ck_assert_msg((operation->flags & STEP_GAP) || !csq_batch_gap(fx.batch, &gaps, &n),
                  "a gap that nobody made, told to '%s'", client);
    return csq_batch_count(fx.batch);
}

void step_expect(const char *client, const char *wanted)
{
    step_count(client);
    ck_assert_str_eq(texts(), wanted);
}

void step_put(const char *client, const char *device, const char *topic, const char *text)
{
    csq_message message = message_of(text);

    message.topic = topic;
    ck_ok(append(&message, client, device));
}

/* ---- at once ------------------------------------------------------------ */

static void publish_and_take_back(const char *client)
{
    csq_message message = message_of("probe");
    csq_message_key key = { "realm", "probe", "tester", { 0 } };
    csq_appended appended;
    csq_key to = { "realm", client, NULL };

    message.app = "probe";
    ck_ok(csq_append(fx.q, &message, &to, 1, fx.now, NULL, &appended));
    ck_assert_uint_eq(appended.receivers, 1);
    memcpy(key.id, appended.id, CSQ_ID_BYTES);
    ck_ok(csq_message_withdraw(fx.q, &key, &fx.info));
}

void step_publish_at_once(void)
{
    publish_and_take_back("alice");
}

void step_fetch_at_once(void)
{
    ck_ok(step_or_empty(get("alice", NULL)));
}

void step_neighbor_at_once(void)
{
    csq_key key = { "realm", "alice", NULL };
    csq_name name;
    unsigned shard;
    int i;

    ck_ok(csq_name_make(fx.q, &key, &name));
    shard = csq_name_shard(&name);
    for (i = 0;; i++) {
        key.client = apr_psprintf(fx.pool, "neighbor%d", i);
        ck_ok(csq_name_make(fx.q, &key, &name));
        if (csq_name_shard(&name) == shard)
            break;
    }
    publish_and_take_back(key.client);
}

static void go_on(const step_operation *op)
{
    if (fx.q)
        csq_lock_timeout_set(fx.q, LOCK_TIMEOUT);
    if (op->at_once)
        op->at_once();
    else if (fx.q)
        step_publish_at_once();
}

/* ---- another process that waits for a lock of the child ----------------- */

static int lock_is_held(const pthread_mutex_t *mutex)
{
    return __atomic_load_n((const int *)mutex, __ATOMIC_RELAXED) != 0;
}

static int some_lock_is_held(csq *q)
{
    int i;

    if (lock_is_held(&q->header->allocator))
        return 1;
    for (i = 0; i < CSQ_SHARDS; i++)
        if (lock_is_held(&q->shards[i].mutex))
            return 1;
    return 0;
}

/* Asleep, after it has said that it is about to ask; or done. */
static int sleeps_or_is_done(pid_t process)
{
    char path[64];
    char state = '?';
    FILE *file;

    if (!__atomic_load_n(&step_told->asking, __ATOMIC_SEQ_CST))
        return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    file = fopen(path, "re");
    if (file) {
        if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = '?';
        fclose(file);
    }
    return state == 'S' || state == 'Z';
}

static pid_t start_waiting(const step_operation *op)
{
    pid_t other = fork();
    int i;

    ck_assert_int_ge(other, 0);
    if (other == 0) {
        step_thaw();
        __atomic_store_n(&step_told->asking, 1, __ATOMIC_SEQ_CST);
        go_on(op);
        _exit(0);
    }
    for (i = 0; i < 5000 && !sleeps_or_is_done(other); i++)
        poll(NULL, 0, 1);
    return other;
}

static void end_waiting(pid_t other, const step_operation *op, long step)
{
    int status;

    ck_assert_int_eq(waitpid(other, &status, 0), other);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                  "%s, killed at step %ld while another process waited: it failed",
                  op->name, step);
}

/* ---- judging ------------------------------------------------------------ */

static void audit(const char *when, const step_operation *op, long step)
{
    const char *problem = NULL;

    ck_assert_msg(csq_audit(fx.q, fx.pool, &problem) == APR_SUCCESS,
                  "%s, step %ld, %s: %s", op->name, step, when, problem);
}

static void leave_groups(void)
{
    static const char *const members[] = { "alice", "bob",  "carol", "dave",
                                           "erin",  "fred", "gina" };
    csq_key key = { "realm", NULL, NULL };
    size_t i;
    int changed;

    for (i = 0; i < sizeof members / sizeof members[0]; i++) {
        key.client = members[i];
        ck_ok(csq_group_remove(fx.q, &key, "orders", "staff", fx.now, &changed));
    }
}

/* All chunks are free again once all is over: none was lost. */
static void empty_everything(const step_operation *op, long step)
{
    csq_limits limits = fx.limits;
    apr_time_t now = fx.now;
    csq_stats stats;
    int i;

    apr_pool_clear(step_slot_pool);
    limits.client_expiry = 1;
    limits.device_expiry = 1;
    limits.max_ttl = 1;
    ck_ok(csq_limits_set(fx.q, &limits));
    leave_groups();
    for (i = 0; i < 12; i++) {
        now += 60 * DAY;
        ck_ok(csq_expire(fx.q, now, UINT32_MAX));
    }
    stats = stats_now();
    ck_assert_msg(stats.clients == 0 && stats.queued == 0 && stats.bytes == 0
                      && fx.q->header->free_count == fx.q->chunk_count,
                  "%s, step %ld: emptied, it has %lu clients, %lu messages, %lu bytes, "
                  "and %u of %u chunks are free",
                  op->name, step, (unsigned long)stats.clients,
                  (unsigned long)stats.queued, (unsigned long)stats.bytes,
                  fx.q->header->free_count, fx.q->chunk_count);
    audit("emptied", op, step);
}

static void judge(const step_operation *op, long step, int empty)
{
    if (!(op->flags & STEP_SERVER))
        audit("killed", op, step);
    op->judge(step_told->finished);
    audit("judged", op, step);
    if (empty)
        empty_everything(op, step);
}

/* The copy has locks that nobody holds, and asks for a repair if there was
 * a lock whose owner would have died.                                        */
static void make_copy(csq *copy, csq *from, void *memory)
{
    csq_map map;
    size_t size = from->header->size;
    int held = from->header->repair || some_lock_is_held(from);
    int i;

    memcpy(memory, from->header, size);
    *copy = *from;
    ck_ok(csq_map_check(memory, size, &map));
    csq_map_apply(copy, memory, &map);
    copy->path = "/nonexistent/copy";
    ck_ok(csq_mutex_create(&copy->header->allocator));
    for (i = 0; i < CSQ_SHARDS; i++)
        ck_ok(csq_mutex_create(&copy->shards[i].mutex));
    copy->header->repair = (uint32_t)held;
}

/* Judged as if the child had been killed here. */
static void judge_copy(const step_operation *op, void *memory, long step)
{
    csq *original = fx.q;
    apr_pool_t *pool = fx.pool;
    apr_time_t now = fx.now;
    csq_bell bell = { -1, 0 };
    csq copy;

    make_copy(&copy, original, memory);
    copy.bells = &bell;
    fx.q = &copy;
    apr_pool_create(&fx.pool, pool);
    step_thaw();
    judge(op, step, 0);
    apr_pool_destroy(fx.pool);
    fx.pool = pool;
    fx.q = original;
    fx.now = now;
}

/* ---- recording ---------------------------------------------------------- */

#define TABLE (1u << 18) /* addresses of instructions, at most half full      */

static void count_visits(step_trace *trace)
{
    struct visited {
        uint64_t at;
        uint32_t n;
    } *table = calloc(TABLE, sizeof *table);
    uint32_t place;
    long i;

    ck_assert_ptr_nonnull(table);
    for (i = 0; i <= trace->steps; i++) {
        place = (uint32_t)(trace->at[i] * UINT64_C(0x9e3779b97f4a7c15) >> 46) % TABLE;
        while (table[place].at && table[place].at != trace->at[i])
            place = (place + 1) % TABLE;
        table[place].at = trace->at[i];
        trace->visit[i] = ++table[place].n;
    }
    free(table);
}

static void note_place(step_trace *trace, const step_view *view, int call)
{
    ck_assert_int_lt(trace->places, STEP_PLACES_MAX);
    trace->step[trace->places] = (uint32_t)trace->steps;
    trace->call[trace->places] = call != 0;
    trace->left[trace->places++] = step_view_print(view);
}

/* Copies are judged in this memory. */
typedef struct copies {
    void *memory;
    long first;
    long every; /* 0: none                                     */
} copies;

static int is_copied(const copies *c, long place)
{
    return c->every && place >= c->first && (place - c->first) % c->every == 0;
}

static void walk(const step_operation *op, step_trace *trace, pid_t child,
                 const copies *c)
{
    step_view view;
    int calls;

    step_view_open(&view, child, op->flags & STEP_SERVER);
    trace->steps = trace->places = trace->calls = 0;
    trace->at[0] = step_child_address(child);
    note_place(trace, &view, 0);
    for (;;) {
        calls = step_child_calls(child, trace->at[trace->steps]);
        if (!step_child_step(child))
            break;
        ck_assert_int_lt(++trace->steps, STEP_STEPS_MAX - 1);
        trace->at[trace->steps] = step_child_address(child);
        trace->calls += calls;
        if (calls)
            step_view_look(&view);
        if (!step_view_changed(&view) && !calls)
            continue;
        note_place(trace, &view, calls);
        if (is_copied(c, trace->places - 1))
            judge_copy(op, c->memory, trace->steps);
    }
    note_place(trace, &view, 0);
    step_view_close(&view);
}

void step_record(const step_operation *op, step_trace *trace, long first, long every)
{
    copies c = { NULL, first, op->flags & (STEP_SERVER | STEP_NO_COPY) ? 0 : every };
    pid_t child;

    open_run(op);
    child = step_child_start(op);
    step_mask(child);
    /* Not before: the segment must lie where it lies in other runs. */
    c.memory = mmap(NULL, STEP_SEGMENT, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(c.memory, MAP_FAILED);
    walk(op, trace, child, &c);
    ck_assert_int_eq(step_told->finished, 1);
    ck_status(step_told->status, APR_SUCCESS);
    end_child(child);
    step_thaw();
    judge(op, trace->steps, 1);
    close_run();
    count_visits(trace);
}

/* ---- killing ------------------------------------------------------------ */

static void check_same(const step_operation *op, const step_trace *trace, pid_t child,
                       long place, long step)
{
    step_view view;
    int same;

    step_view_open(&view, child, op->flags & STEP_SERVER);
    same = step_child_address(child) == trace->at[step]
           && step_view_print(&view) == trace->left[place];
    step_view_close(&view);
    if (!same)
        _exit(STEP_NOT_THE_SAME);
}

/* The other one begins to wait at the place before, if a lock is held there. */
static pid_t go_with_company(const step_operation *op, const step_trace *trace,
                             pid_t child, long place, long step)
{
    long before = place > 0 ? trace->step[place - 1] : 0;
    pid_t other = 0;

    step_child_go(child, trace, before);
    if (some_lock_is_held(fx.q))
        other = start_waiting(op);
    step_child_walk(child, step - before);
    return other;
}

void step_kill(const step_operation *op, const step_trace *trace, long place, long step,
               step_mode mode)
{
    pid_t other = 0;
    pid_t child;

    open_run(op);
    child = step_child_start(op);
    step_mask(child);
    if (mode == STEP_WAITING)
        other = go_with_company(op, trace, child, place, step);
    else {
        step_child_go(child, trace, step);
        check_same(op, trace, child, place, step);
    }
    step_thaw();
    if (op->meanwhile)
        op->meanwhile();
    kill(child, SIGKILL);
    if (other)
        end_waiting(other, op, step);
    else
        go_on(op);
    end_child(child);
    judge(op, step, 1);
    close_run();
}
