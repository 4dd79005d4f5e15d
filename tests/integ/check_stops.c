/* SPDX-License-Identifier: Apache-2.0
 * check_stops.c - a server that is busy in every way is stopped, or some of its
 * children are: nothing accepted is lost, everybody is told when to come back,
 * all processes are gone in time, nothing stays behind, and the next children
 * serve. Whatever crashes fails the test (httpd_end).
 *
 * STOPS_POLLS: held polls, 1000 (the default for the first ways) or fewer.
 */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "crowd.h"

#define FLOWS         3
#define FLOW_USERS    40 /* of those that poll, who are published to           */
#define FLOW_MS       1
#define OLD_GONE      30000 /* ms until the last old child is gone                */
#define STOP_TIME     5000  /* ms of a stop; 2 s and what httpd's parent takes    */
#define GRACEFUL_TIME 12000 /* 6 s, where peers do not close when they are told   */
#define HOME_MS       5000 /* ms until all polls are answered                    */
#define FEW_POLLS     200
#define SPREAD_LEAST  900 /* polls, for their times to say something            */
#define FRESH         12
#define BUSY_WORKERS  15
#define LONG_MS       20000

enum flow_kind { KEPT, CLOSED, TO_POLLS };

static const char *const flow_names[FLOWS] = { "kept", "closed", "polled" };

typedef struct flow {
    load *busy;
} flow;

typedef struct stage {
    httpd *server;
    int patient; /* clients do not close, whatever they are told              */
    crowd all;
    flow flows[FLOWS];
    pid_t children[64];
    int n_children;
    char segment[256];
} stage;

/* ---- publishes without end ----------------------------------------------- */

static const char *flow_user(int kind, int number)
{
    return kind == TO_POLLS ? support_text("u%d", number % FLOW_USERS) : flow_names[kind];
}

static void write_publish(char *buffer, size_t size, int number, const void *baton)
{
    int kind = *(const int *)baton;

    snprintf(buffer, size, "%s",
             http_request(
                 "POST", support_text("/comm/publish/orders/%s", flow_user(kind, number)),
                 "backend",
                 support_text("Content-Type: text/plain\r\n%s",
                              kind == CLOSED ? "Connection: close\r\n" : ""),
                 support_text("%s-%d", flow_names[kind], number)));
}

static void start_flows(stage *s)
{
    static const int kinds[FLOWS] = { KEPT, CLOSED, TO_POLLS };
    int i;

    for (i = 0; i < FLOWS; i++)
        s->flows[i].busy = load_start(&(load_plan){ .port = httpd_port(s->server),
                                                    .keep = i != CLOSED,
                                                    .pause_ms = FLOW_MS,
                                                    .write = write_publish,
                                                    .baton = &kinds[i] });
    for (i = 0; i < FLOWS; i++)
        wait_until(load_answered(s->flows[i].busy, 201) > 50, 10000);
}

static void expect_flows_go_on(stage *s)
{
    int i, before[FLOWS];

    for (i = 0; i < FLOWS; i++)
        before[i] = load_answered(s->flows[i].busy, 201);
    for (i = 0; i < FLOWS; i++)
        wait_until(load_answered(s->flows[i].busy, 201) > before[i] + 20, 10000);
}

/* What was answered 201 is there once, what was cut off at most once, and what
 * was refused is not. */
static void expect_flow_delivered(stage *s, int kind)
{
    static int seen[LOAD_MAX];
    load *busy = s->flows[kind].busy;
    int i, n = load_count(busy), accepted = 0;

    memset(seen, 0, sizeof seen);
    if (kind != TO_POLLS)
        crowd_drain(s->server, flow_names[kind], flow_names[kind], seen, n);
    for (i = 0; kind == TO_POLLS && i < FLOW_USERS; i++)
        crowd_drain(s->server, support_text("u%d", i), flow_names[kind], seen, n);
    for (i = 0; i < n; i++) {
        int fate = load_fate(busy, i);
        int least = fate == 201, most = least || fate <= LOAD_CUT;

        ck_assert_msg(seen[i] >= least && seen[i] <= most,
                      "%s-%d, answered %d, came %d times", flow_names[kind], i, fate,
                      seen[i]);
        accepted += least;
    }
    printf("  %s: %d publishes accepted, %d cut off, %d refused, slowest %d ms\n",
           flow_names[kind], accepted, load_answered(busy, LOAD_CUT),
           n - accepted - load_answered(busy, LOAD_CUT), load_slowest(busy));
}

static void expect_delivered(stage *s)
{
    int i;

    for (i = 0; i < FLOWS; i++)
        load_end(s->flows[i].busy);
    for (i = 0; i < FLOWS; i++) {
        expect_flow_delivered(s, i);
        load_free(s->flows[i].busy);
    }
}

/* ---- processes and files ------------------------------------------------- */

static int old_alive(const stage *s)
{
    int i, n = 0;

    for (i = 0; i < s->n_children; i++)
        n += process_alive(s->children[i]);
    return n;
}

/* The file of the shared memory that the parent has mapped. */
static void note_segment(stage *s)
{
    char path[64], line[512];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/maps", (int)httpd_parent(s->server));
    file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file))
        if (strstr(line, "/dev/shm/"))
            snprintf(s->segment, sizeof s->segment, "%.*s",
                     (int)strcspn(strstr(line, "/dev/shm/"), " \n"),
                     strstr(line, "/dev/shm/"));
    fclose(file);
    ck_assert_str_ne(s->segment, "");
}

/* All that a server leaves is the saved state. */
static void expect_only_the_state(const stage *s)
{
    DIR *folder =
        opendir(support_text("%s/run/commserver-httpd", httpd_directory(s->server)));
    struct dirent *entry;
    int states = 0;

    ck_assert_ptr_nonnull(folder);
    while ((entry = readdir(folder)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        ck_assert_str_eq(entry->d_name, "queue.state");
        states++;
    }
    closedir(folder);
    ck_assert_int_eq(states, 1);
    ck_assert_msg(access(s->segment, F_OK) != 0, "'%s' is left", s->segment);
}

/* ---- the stage ----------------------------------------------------------- */

static int polls_wanted(int usual)
{
    const char *text = getenv("STOPS_POLLS");
    int polls = text ? atoi(text) : usual;

    return crowd_bound(polls > 0 && polls < CROWD_POLLS ? polls : CROWD_POLLS);
}

static httpd *stage_server(const httpd_options *options)
{
    httpd_options with = *options;

    with.tls = 1;
    with.users = crowd_users();
    crowd_bound(CROWD_POLLS);
    return httpd_start(&with);
}

static void fill_stage(stage *s, httpd *server, int polls, int fresh)
{
    memset(s, 0, sizeof *s);
    s->server = server;
    note_segment(s);
    polls = polls_wanted(polls);
    crowd_open(&s->all, server, polls, polls / 10, CROWD_HALVES, fresh);
    start_flows(s);
    s->n_children = httpd_children(server, s->children, 64);
}

static void set_stage(stage *s, const httpd_options *options, int polls, int fresh)
{
    fill_stage(s, stage_server(options), polls, fresh);
}

/* New polls are held and get what is published to them. */
static void expect_polls_held(const httpd *server)
{
    http *polls[8];
    int i;

    for (i = 0; i < 8; i++) {
        polls[i] = i % 2 ? http_open_tls(server) : http_open(server);
        http_ask(polls[i], "GET", "/comm/poll", support_text("u%d", 900 + i), WAIT_LONG,
                 NULL);
    }
    wait_until(parking_held(server) >= 8, 15000);
    for (i = 0; i < 8; i++)
        parking_publish(server, support_text("u%d", 900 + i), "in new children");
    for (i = 0; i < 8; i++) {
        parking_expect(http_read(polls[i]), "in new children");
        http_close(polls[i]);
    }
}

static void expect_all_sent_home(stage *s)
{
    long long begin = process_now_ms();
    int empty = crowd_expect_sent_home(&s->all, HOME_MS);

    printf("  %d polls sent home, all answered within %d ms\n", empty,
           (int)(process_now_ms() - begin));
    if (empty >= SPREAD_LEAST)
        crowd_expect_spread(&s->all);
    if (s->patient)
        return;
    crowd_close_held(&s->all);
    crowd_expect_halves_ended(&s->all);
}

static void expect_old_gone(const stage *s, long long begin, int ms)
{
    int took;

    wait_until(old_alive(s) == 0, OLD_GONE);
    took = (int)(process_now_ms() - begin);
    printf("  old children gone after %d ms\n", took);
    ck_assert_int_lt(took, process_scale(ms));
}

static void leave_stage(stage *s)
{
    ck_assert_int_eq(httpd_log_count(s->server, "still did not exit"), 0);
    crowd_close(&s->all);
    httpd_end(s->server);
}

/* What is the same for each way that lets httpd run on. */
static void expect_it_goes_on(stage *s, long long begin, int ms)
{
    crowd_finish_halves(&s->all);
    expect_all_sent_home(s);
    expect_old_gone(s, begin, ms);
    expect_flows_go_on(s);
    crowd_expect_halves_ended(&s->all);
    crowd_expect_halves_queued(&s->all);
    expect_delivered(s);
    expect_polls_held(s->server);
    leave_stage(s);
}

/* What is the same for each way that ends httpd. */
static void expect_it_ends(stage *s, long long begin, int ms)
{
    crowd_finish_halves(&s->all);
    expect_all_sent_home(s);
    httpd_await_end(s->server);
    expect_old_gone(s, begin, ms);
    expect_only_the_state(s);
    httpd_again(s->server);
    expect_flows_go_on(s);
    crowd_expect_halves_ended(&s->all);
    crowd_expect_halves_queued(&s->all);
    expect_delivered(s);
    expect_polls_held(s->server);
    leave_stage(s);
}

/* ---- tests --------------------------------------------------------------- */

START_TEST(a_graceful_restart_loses_nothing)
{
    long long begin;
    stage s;

    printf("graceful restart\n");
    set_stage(&s, &(httpd_options){ .children = 3 }, CROWD_POLLS, FRESH);
    s.patient = 1;
    begin = process_now_ms();
    httpd_signal(s.server, SIGUSR1);
    crowd_finish_halves(&s.all);
    /* Who shares a connection is told to open another, and loses no request. */
    expect_flows_go_on(&s);
    ck_assert_int_eq(load_answered(s.flows[KEPT].busy, LOAD_CUT), 0);
    expect_it_goes_on(&s, begin, GRACEFUL_TIME);
}
END_TEST

/* A signal to the parent, after which httpd goes on (or ends) in time. */
static void signal_parent(const char *what, int number, int polls, int limit, int goes_on)
{
    long long begin;
    stage s;

    printf("%s\n", what);
    set_stage(&s, &(httpd_options){ .children = 3 }, polls, FRESH);
    begin = process_now_ms();
    httpd_signal(s.server, number);
    if (goes_on)
        expect_it_goes_on(&s, begin, limit);
    else
        expect_it_ends(&s, begin, limit);
}

START_TEST(a_restart_loses_nothing)
{
    signal_parent("restart", SIGHUP, FEW_POLLS, STOP_TIME, 1);
}
END_TEST

START_TEST(a_graceful_stop_loses_nothing)
{
    signal_parent("graceful stop", SIGWINCH, FEW_POLLS, GRACEFUL_TIME, 0);
}
END_TEST

START_TEST(a_stop_loses_nothing)
{
    signal_parent("stop", SIGTERM, CROWD_POLLS, STOP_TIME, 0);
}
END_TEST

/* ---- some children are stopped ------------------------------------------- */

static void write_page(char *buffer, size_t size, int number, const void *baton)
{
    (void)number;
    (void)baton;
    snprintf(buffer, size,
             "GET /index.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
}

START_TEST(children_that_served_enough_lose_nothing)
{
    long long begin = process_now_ms();
    load *pages;
    stage s;

    printf("MaxConnectionsPerChild\n");
    set_stage(&s,
              &(httpd_options){ .children = 3, .config = "MaxConnectionsPerChild 700\n" },
              FEW_POLLS, FRESH);
    pages = load_start(&(load_plan){ .port = httpd_port(s.server), .write = write_page });
    wait_until(old_alive(&s) == 0, LONG_MS);
    load_free(pages);
    printf("  %d ms until all have ended\n", (int)(process_now_ms() - begin));
    expect_it_goes_on(&s, process_now_ms(), GRACEFUL_TIME);
}
END_TEST

/* Those of the children that go are sent home, the others stay held. */
static void expect_some_sent_home(stage *s)
{
    int held;

    crowd_finish_halves(&s->all);
    expect_flows_go_on(s);
    held = crowd_count_held(&s->all);
    printf("  %d of %d are still held, by %d of %d children\n", held,
           s->all.n_polls + s->all.n_streams, old_alive(s), s->n_children);
    ck_assert_int_eq(parking_held(s->server), held);
    crowd_expect_halves_ended(&s->all);
    crowd_expect_halves_queued(&s->all);
    expect_delivered(s);
    expect_polls_held(s->server);
    leave_stage(s);
}

/* Clients that do not go on keep workers busy, so that httpd makes children;
 * when they are gone it has threads to spare, and ends some. */
START_TEST(children_that_are_to_spare_lose_nothing)
{
    http *slow[BUSY_WORKERS];
    pid_t children[64];
    httpd *server;
    stage s;
    int i;

    printf("MaxSpareThreads\n");
    server = stage_server(&(httpd_options){
        .children = 1,
        .config = "MaxRequestWorkers 32\nMinSpareThreads 2\nMaxSpareThreads 19\n"
                  "Timeout 4\n" });
    for (i = 0; i < BUSY_WORKERS; i++) {
        slow[i] = http_open(server);
        http_send(slow[i], "GET / HTTP/1.1\r\n");
    }
    wait_until(httpd_children(server, children, 64) == 2, LONG_MS);
    fill_stage(&s, server, FEW_POLLS, 0);
    for (i = 0; i < BUSY_WORKERS; i++)
        http_close(slow[i]);
    wait_until(old_alive(&s) == 1, LONG_MS);
    expect_some_sent_home(&s);
}
END_TEST

START_TEST(a_smaller_server_after_a_restart_loses_nothing)
{
    long long begin;
    stage s;

    printf("fewer MaxRequestWorkers\n");
    set_stage(&s, &(httpd_options){ .children = 4 }, FEW_POLLS, FRESH);
    httpd_configure(s.server, "StartServers 1\nMaxRequestWorkers 16\n"
                              "MinSpareThreads 1\nMaxSpareThreads 16\n");
    begin = process_now_ms();
    httpd_signal(s.server, SIGUSR1);
    expect_it_goes_on(&s, begin, GRACEFUL_TIME);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stops");
    TCase *all = tcase_create("all");
    TCase *some = tcase_create("some");

    support_need_httpd();
    setvbuf(stdout, NULL, _IOLBF, 0);
    tcase_set_timeout(all, 300);
    tcase_add_test(all, a_graceful_restart_loses_nothing);
    tcase_add_test(all, a_restart_loses_nothing);
    tcase_add_test(all, a_graceful_stop_loses_nothing);
    tcase_add_test(all, a_stop_loses_nothing);
    tcase_add_test(all, a_smaller_server_after_a_restart_loses_nothing);
    suite_add_tcase(suite, all);
    tcase_set_timeout(some, 300);
    tcase_add_test(some, children_that_served_enough_lose_nothing);
    tcase_add_test(some, children_that_are_to_spare_lose_nothing);
    suite_add_tcase(suite, some);
    return support_run(suite);
}
