/* SPDX-License-Identifier: Apache-2.0
 * step_server.c - stop and start of a server: what was queued is there exactly
 * once after the next start, from the segment or from the file, wherever the
 * server died in between.
 */
#include "cs_compat.h"
#include "step_harness.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* What outlives the process that knew it first. Shared memory. */
typedef struct known {
    csq_cursor alice; /* behind the first of her messages            */
    unsigned char spread[CSQ_ID_BYTES];
    int ready;
} known;

static known *shared;
static csq_outcome outcome;
static csq *writer; /* as the judge has attached; NULL: has not    */
static int late;    /* the writer's message was accepted           */

/* ---- something of everything -------------------------------------------- */

static csq_digest digest_of(const char *text)
{
    apr_size_t length = strlen(text);

    return csq_digest_make(fx.q, &text, &length, 1);
}

static apr_status_t repeat(const char *text)
{
    char answer[16] = "answer";
    csq_digest key = digest_of(text);
    unsigned char id[CSQ_ID_BYTES];
    apr_size_t len = sizeof answer;
    apr_status_t rv =
        csq_repeat_begin(fx.q, &key, &key, 0, 3600 * SECOND, fx.now, id, answer, &len);

    return rv == APR_SUCCESS ? csq_repeat_finish(fx.q, &key, answer, 6) : rv;
}

static void add_to_staff(const char *client)
{
    csq_key key = { "realm", client, NULL };
    int changed;

    ck_ok(csq_group_add(fx.q, &key, "orders", "staff", fx.now, &changed));
}

static void fill(void)
{
    csq_key both[2] = { { "realm", "bob", NULL }, { "realm", "carol", NULL } };
    csq_message message = message_of("both");

    step_put("alice", NULL, NULL, "1");
    step_put("alice", NULL, "t", "2");
    step_put("alice", NULL, NULL, "3");
    ck_ok(get_max("alice", NULL, 1));
    shared->alice = cursor_now();
    message.receipt = 1;
    ck_ok(csq_append(fx.q, &message, both, 2, fx.now, NULL, &fx.appended));
    memcpy(shared->spread, fx.appended.id, CSQ_ID_BYTES);
    add_to_staff("alice");
    add_to_staff("dave");
    ck_ok(repeat("key"));
}

static int has_gap(void)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    return csq_batch_gap(fx.batch, &gaps, &n);
}

/* Whole, once, with cursors that are still good. */
static void expect_all(void)
{
    csq_message_key spread = { "realm", "orders", "tester", { 0 } };
    csq_message message = message_of("x");

    memcpy(spread.id, shared->spread, CSQ_ID_BYTES);
    step_expect("late", late ? "late" : "");
    step_expect("alice", "1 2 3");
    step_expect("bob", "both");
    step_expect("carol", "both");
    ck_assert_uint_eq(stats_now().queued, 5 + (unsigned)late);
    ck_ok(acknowledge("alice", &shared->alice));
    ck_assert_str_eq(texts(), "2 3");
    ck_assert(!has_gap());
    ck_ok(csq_message_get(fx.q, &spread, 0, NULL, &fx.info));
    ck_assert_uint_eq(fx.info.queues, 2);
    ck_status(repeat("key"), CSQ_REPEATED);
    ck_ok(csq_append_group(fx.q, &message, "staff", fx.now, NULL, NULL, &fx.appended));
    ck_assert_uint_eq(fx.appended.receivers, 2);
}

static void start_again(void)
{
    csq_slot *slot;

    ck_ok(step_start(STEP_SMALL_SEGMENT, &outcome));
    ck_assert_msg(!outcome.mended, "death alone has damaged something");
    ck_assert_msg(!outcome.state_aside && !outcome.aside, "something was set aside: %s",
                  outcome.problem ? outcome.problem : "");
    ck_ok(csq_slot_claim(fx.q, step_slot_pool, &slot));
    ck_assert_int_eq(access(step_state_path(""), F_OK), -1);
}

static void judge_all(int finished)
{
    (void)finished;
    start_again();
    expect_all();
}

static void judge_empty(int finished)
{
    (void)finished;
    start_again();
    ck_assert_uint_eq(stats_now().clients, 0);
    ck_ok(put("alice", "x"));
    step_expect("alice", "x");
}

/* ---- what servers of before have left ----------------------------------- */

static void share(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    writer = NULL;
    late = 0;
}

static void start_and_fill(void)
{
    ck_ok(step_start(STEP_SMALL_SEGMENT, &outcome));
    fill();
}

static apr_status_t save(void)
{
    return csq_save(fx.q, step_state_path(""));
}

/* The one who judges has been a server before. */
static void prepare_saved(void)
{
    share();
    start_and_fill();
    ck_ok(save());
    apr_pool_destroy(step_pool);
    ck_assert_int_eq(apr_pool_create(&step_pool, fx.pool), APR_SUCCESS);
    ck_assert_int_eq(apr_pool_create(&step_slot_pool, step_pool), APR_SUCCESS);
    fx.q = NULL;
}

/* Its last record is not whole. */
static void prepare_damaged_state(void)
{
    struct stat info;

    prepare_saved();
    ck_assert_int_eq(stat(step_state_path(""), &info), 0);
    ck_assert_int_eq(truncate(step_state_path(""), info.st_size - 5), 0);
}

static void prepare_killed(void)
{
    share();
    step_die_after(start_and_fill);
}

static void die_at_work(void)
{
    start_and_fill();
    ck_ok(csq_lock(fx.q, 0xf0));
    ck_ok(csq_allocator_lock(fx.q));
}

static void prepare_killed_at_work(void)
{
    share();
    step_die_after(die_at_work);
}

static void die_behind_save(void)
{
    start_and_fill();
    ck_ok(save());
}

static void prepare_killed_behind_save(void)
{
    share();
    step_die_after(die_behind_save);
}

static void damage(void)
{
    start_and_fill();
    fx.q->header->layout = 99;
}

static void prepare_damaged(void)
{
    share();
    step_die_after(damage);
}

/* ---- a writer that outlives the server ---------------------------------- */

static void attach(void)
{
    if (csq_attach(fx.path, fx.pool, &writer) != APR_SUCCESS)
        writer = NULL;
}

/* What is accepted now must be there later. */
static void write_at_once(void)
{
    apr_status_t rv;

    if (!writer)
        return;
    fx.q = writer;
    csq_lock_timeout_set(fx.q, 20 * SECOND);
    rv = put("late", "late");
    ck_assert_msg(rv == APR_SUCCESS || rv == CSQ_CLOSED || rv == CSQ_NO_SERVER,
                  "the writer was answered %d", rv - CSQ_STATUS_BASE);
    late = rv == APR_SUCCESS;
    fx.q = NULL;
}

static void serve_until_killed(void)
{
    start_and_fill();
    __atomic_store_n(&shared->ready, 1, __ATOMIC_SEQ_CST);
    for (;;)
        pause();
}

static void prepare_killed_attached(void)
{
    pid_t server;
    int i;

    share();
    server = fork();
    ck_assert_int_ge(server, 0);
    if (server == 0)
        serve_until_killed();
    for (i = 0; i < 20000 && !__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST); i++)
        poll(NULL, 0, 1);
    attach();
    ck_assert_ptr_nonnull(writer);
    kill(server, SIGKILL);
    ck_assert_int_eq(waitpid(server, NULL, 0), server);
    step_mask(server);
}

/* ---- the operations ----------------------------------------------------- */

static apr_status_t run_stop(void)
{
    apr_status_t rv = save();

    apr_pool_destroy(step_pool);
    return rv;
}

static apr_status_t run_start(void)
{
    return step_start(STEP_SMALL_SEGMENT, &outcome);
}

static apr_status_t run_start_larger(void)
{
    return step_start(STEP_SEGMENT, &outcome);
}

/* What cannot be used never stands in the way. */
static void judge_damaged(int finished)
{
    (void)finished;
    ck_ok(run_start());
    ck_assert_uint_eq(stats_now().clients, 0);
    ck_ok(put("alice", "x"));
    step_expect("alice", "x");
}

/* Everything before the damage is whole, and there once. */
static void judge_damaged_state(int finished)
{
    (void)finished;
    ck_ok(run_start());
    ck_assert_int_eq(access(step_state_path(""), F_OK), -1);
    expect_all();
}

const step_operation step_server_operations[] = {
    { "start", share, NULL, run_start, judge_empty, NULL, NULL, STEP_SERVER | STEP_LONG },
    { "stop", share, start_and_fill, run_stop, judge_all, NULL, NULL,
      STEP_SERVER | STEP_LONG },
    { "stop_attached", share, start_and_fill, run_stop, judge_all, attach, write_at_once,
      STEP_SERVER | STEP_LONG },
    { "restore", prepare_saved, NULL, run_start, judge_all, NULL, NULL,
      STEP_SERVER | STEP_LONG },
    { "restore_damaged", prepare_damaged_state, NULL, run_start, judge_damaged_state,
      NULL, NULL, STEP_SERVER | STEP_LONG },
    { "takeover", prepare_killed, NULL, run_start, judge_all, NULL, NULL,
      STEP_SERVER | STEP_LONG },
    { "takeover_at_work", prepare_killed_at_work, NULL, run_start, judge_all, NULL, NULL,
      STEP_SERVER | STEP_LONG },
    { "takeover_attached", prepare_killed_attached, NULL, run_start, judge_all, NULL,
      write_at_once, STEP_SERVER | STEP_LONG },
    { "takeover_saved", prepare_killed_behind_save, NULL, run_start, judge_all, NULL,
      NULL, STEP_SERVER | STEP_LONG },
    { "takeover_larger", prepare_killed, NULL, run_start_larger, judge_all, NULL, NULL,
      STEP_SERVER | STEP_LONG },
    { "set_aside", prepare_damaged, NULL, run_start, judge_damaged, NULL, NULL,
      STEP_SERVER | STEP_LONG },
    { NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0 }
};
