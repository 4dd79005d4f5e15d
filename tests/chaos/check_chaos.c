/* SPDX-License-Identifier: Apache-2.0
 * check_chaos.c - httpd, agents, writers and local applications are killed,
 * stopped and restarted at random while messages are published by every way
 * there is. Of what was acknowledged nothing is lost, nothing comes again after
 * it was acknowledged, order is kept, and what comes twice says so.
 *
 * CHAOS_SECONDS says how long (make check: 45), CHAOS_SEED what is drawn. The
 * same seed makes the same plan and the same messages; which instruction a
 * signal meets is left to the machine.
 */
#include "cs_compat.h"

#include "csq.h"
#include "stage.h"

#include <apr_general.h>
#include <apr_pools.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define SETTLE_MS 120000

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text && *text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

/* ---- the judge itself ---------------------------------------------------- */

static board *b;

static void make_board(void)
{
    b = board_make();
    ck_assert_ptr_nonnull(b);
}

static void unmake_board(void)
{
    board_unmake(b);
}

static void publish(enum board_state state)
{
    int serial = board_begin(b, 1, 1u << 2 | 1u << 3);

    board_end(b, 1, serial, state);
}

static void take(int queue, int serial, int attempt)
{
    board_arrive(b, queue, 1, serial, attempt);
    board_acknowledging(b, queue, 1, serial);
    board_acknowledged(b, queue, 1, serial);
}

static void expect_complaint(const char *text)
{
    board_judge(b);
    ck_assert_msg(board_complaint(b) && strstr(board_complaint(b), text),
                  "the judge says: %s",
                  board_complaint(b) ? board_complaint(b) : "nothing");
}

START_TEST(what_is_right_is_no_complaint)
{
    publish(BOARD_ACCEPTED);
    publish(BOARD_UNKNOWN);
    publish(BOARD_REFUSED);
    publish(BOARD_ACCEPTED);
    take(2, 0, 1);
    board_arrive(b, 3, 1, 0, 1);
    ck_assert_uint_eq(board_open(b), 3);
    take(3, 0, 2);
    take(3, 1, 1);
    take(2, 3, 2);
    take(3, 3, 1);
    board_judge(b);
    ck_assert_msg(!board_complaint(b), "%s", board_complaint(b));
    ck_assert_uint_eq(board_open(b), 0);
    ck_assert_uint_eq(board_sum(b).again, 1);
}
END_TEST

START_TEST(a_loss_is_a_complaint)
{
    publish(BOARD_ACCEPTED);
    take(2, 0, 1);
    expect_complaint("1/0 was accepted and never came to queue 3");
}
END_TEST

START_TEST(what_is_never_given_again_is_a_complaint)
{
    publish(BOARD_ACCEPTED);
    take(2, 0, 1);
    board_arrive(b, 3, 1, 0, 1);
    expect_complaint("1/0 was not given to queue 3 again");
}
END_TEST

START_TEST(again_after_acknowledged_is_a_complaint)
{
    publish(BOARD_ACCEPTED);
    take(2, 0, 1);
    board_arrive(b, 2, 1, 0, 2);
    expect_complaint("again after it was acknowledged");
}
END_TEST

START_TEST(twice_with_attempt_one_is_a_complaint)
{
    publish(BOARD_ACCEPTED);
    board_arrive(b, 2, 1, 0, 1);
    board_arrive(b, 2, 1, 0, 1);
    expect_complaint("twice with attempt 1");
}
END_TEST

START_TEST(wrong_order_is_a_complaint)
{
    publish(BOARD_ACCEPTED);
    publish(BOARD_ACCEPTED);
    take(2, 1, 1);
    take(2, 0, 1);
    expect_complaint("was given 1/0 after 1/1");
}
END_TEST

START_TEST(refused_and_given_is_a_complaint)
{
    publish(BOARD_REFUSED);
    take(2, 0, 1);
    expect_complaint("was refused and came to queue 2");
}
END_TEST

START_TEST(what_nobody_published_is_a_complaint)
{
    publish(BOARD_ACCEPTED);
    board_arrive(b, 5, 1, 0, 1);
    expect_complaint("queue 5 was given 1/0, which is for queues c");
}
END_TEST

/* ---- the stage ----------------------------------------------------------- */

static void join_team(stage *s)
{
    int client, app;

    for (client = 0; client < CLIENTS; client++)
        for (app = 0; app < APPS; app++) {
            const char *path = support_text("/comm/publish/%s/-/groups/team/%s",
                                            stage_apps[app], stage_clients[client]);

            ck_assert_int_eq(
                http_once(s->server, "PUT", path, "backend", NULL, "")->status, 201);
        }
}

static void start_agent(stage *s, int i, const char *mode)
{
    s->agents[i] = agent_start(&(agent_options){
        .server = s->server,
        .user = stage_clients[i],
        .config = support_text("mode = %s\npublish = %s\n", mode,
                               httpd_url(s->server, "/comm/publish")) });
    snprintf(s->sockets[i], sizeof s->sockets[i], "%s", agent_socket(s->agents[i]));
}

static void raise_curtain(stage *s)
{
    int i;

    s->board = b;
    s->publishing = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *s->publishing = 1;
    s->server = httpd_start(&(httpd_options){ .children = 3, .config = CONFIG });
    httpd_install_writer(s->server);
    snprintf(s->segment, sizeof s->segment, "%s/run/commserver-httpd/queue",
             httpd_directory(s->server));
    join_team(s);
    start_agent(s, 0, "poll");
    start_agent(s, 1, "stream");
    for (i = 0; i < READERS; i++)
        stage_start_reader(s, i);
    for (i = 0; i < BOARD_PUBLISHERS; i++)
        s->publishers[i] = stage_start(s,
                                       i < BY_WRITER  ? publish_by_http
                                       : i < BY_AGENT ? publish_by_writer
                                                      : publish_by_agent,
                                       i);
}

/* Nobody is disturbed any more: everything must arrive. */
static void settle(stage *s)
{
    int i;

    __atomic_store_n(s->publishing, 0, __ATOMIC_RELEASE);
    for (i = 0; i < BOARD_PUBLISHERS; i++)
        process_wait(s->publishers[i], SETTLE_MS, "a publisher");
    for (i = 0; i < SETTLE_MS / 100 && board_open(b) && !board_complaint(b); i++)
        stage_sleep(process_scale(100));
}

/* What is acknowledged leaves the segment, which is whole. */
static void look_at_segment(stage *s)
{
    const char *problem = NULL;
    apr_pool_t *pool;
    csq_stats stats;
    csq *q;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    ck_assert_int_eq(csq_attach(s->segment, pool, &q), APR_SUCCESS);
    ck_assert_msg(csq_audit(q, pool, &problem) == APR_SUCCESS, "audit: %s", problem);
    wait_until((csq_stats_get(q, &stats), stats.queued == 0), 60000);
    apr_pool_destroy(pool);
    apr_terminate();
}

/* httpd logs no death by SIGKILL. Of others httpd_end() finds out whose fault
 * they were.                                                                 */
static void look_for_crashes(stage *s)
{
    static const char *const never[] = { "Sanitizer", "CS0021" /* cut off */,
                                         "CS0023" /* set aside */ };
    unsigned i;

    printf("%d children crashed\n", httpd_log_count(s->server, "exit signal"));
    for (i = 0; i < sizeof never / sizeof *never; i++)
        ck_assert_msg(httpd_log_count(s->server, never[i]) == 0, "the log says %s",
                      never[i]);
}

static void lower_curtain(stage *s)
{
    int i;

    for (i = 0; i < READERS; i++)
        stage_kill(&s->readers[i]);
    for (i = 0; i < AGENTS; i++)
        agent_end(s->agents[i]);
    httpd_end(s->server);
    munmap(s->publishing, sizeof(int));
}

/* Check measures a test in microseconds and has 32 bits for them: no more than
 * half an hour at a time. */
#define ACT_MAX 1800 /* s                                                       */

static unsigned first_seed, acts, seconds;

static void plan_acts(void)
{
    unsigned all = number_of("CHAOS_SECONDS", 45);

    first_seed = number_of("CHAOS_SEED", (unsigned)time(NULL) ^ (unsigned)getpid());
    if (all == 0)
        all = 1;
    acts = (all + ACT_MAX - 1) / ACT_MAX;
    seconds = all / acts;
}

START_TEST(nothing_acknowledged_is_lost)
{
    board_totals totals;
    stage s = { .seed = first_seed + (unsigned)_i };

    if (s.seed == 0)
        s.seed = 1;
    printf("CHAOS_SEED=%u CHAOS_SECONDS=%u\n", s.seed, seconds);
    raise_curtain(&s);
    events_play(&s, (int)seconds);
    settle(&s);
    board_judge(b);
    totals = board_sum(b);
    printf("%u messages accepted, %u refused, %u of unknown fate; %u arrivals, %u"
           " acknowledged, %u times again\n",
           totals.accepted, totals.refused, totals.unknown, totals.arrived,
           totals.acknowledged, totals.again);
    fflush(stdout);
    ck_assert_msg(!board_complaint(b), "CHAOS_SEED=%u: %s", s.seed, board_complaint(b));
    ck_assert_uint_gt(totals.acknowledged, 0);
    look_at_segment(&s);
    look_for_crashes(&s);
    lower_curtain(&s);
}
END_TEST

static TCase *judge_case(void)
{
    TCase *tc = tcase_create("judge");

    tcase_add_checked_fixture(tc, make_board, unmake_board);
    tcase_add_test(tc, what_is_right_is_no_complaint);
    tcase_add_test(tc, a_loss_is_a_complaint);
    tcase_add_test(tc, what_is_never_given_again_is_a_complaint);
    tcase_add_test(tc, again_after_acknowledged_is_a_complaint);
    tcase_add_test(tc, twice_with_attempt_one_is_a_complaint);
    tcase_add_test(tc, wrong_order_is_a_complaint);
    tcase_add_test(tc, refused_and_given_is_a_complaint);
    tcase_add_test(tc, what_nobody_published_is_a_complaint);
    return tc;
}

int main(void)
{
    Suite *suite = suite_create("chaos");
    TCase *tc = tcase_create("chaos");

    support_need_httpd();
    suite_add_tcase(suite, judge_case());
    plan_acts();
    tcase_set_timeout(tc, seconds + process_scale(400));
    tcase_add_checked_fixture(tc, make_board, unmake_board);
    tcase_add_loop_test(tc, nothing_acknowledged_is_lost, 0, (int)acts);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
