/* SPDX-License-Identifier: Apache-2.0
 * crowd.c - see crowd.h.
 */
#include "crowd.h"

#include <poll.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define TLS_EACH    8   /* of so many one speaks TLS                      */
#define SPARE_FILES 300 /* descriptors for all else                       */
#define HELD_MS     30000
#define HALF_MS     5000
#define HALF_TEXT   "half of it and "
#define REST_TEXT   "the other half"
#define WAIT_LEAST  2 /* s, what Retry-After is between; doc/waiting.md */
#define WAIT_MOST   6

const char *crowd_users(void)
{
    static char names[(CROWD_POLLS + CROWD_STREAMS) * 8 + 32];
    char *end = names + sprintf(names, "half\nkept\nclosed\n");
    int i;

    for (i = 0; i < CROWD_POLLS + CROWD_STREAMS; i++)
        end += sprintf(end, "u%d\n", i);
    return names;
}

int crowd_bound(int polls)
{
    struct rlimit limit;

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < limit.rlim_max && limit.rlim_cur < 8192) {
        limit.rlim_cur = limit.rlim_max < 8192 ? limit.rlim_max : 8192;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (limit.rlim_cur < (rlim_t)(polls + CROWD_STREAMS + SPARE_FILES)) {
        polls = (int)limit.rlim_cur - CROWD_STREAMS - SPARE_FILES;
        printf("only %d polls: the limit of open files is %d\n", polls,
               (int)limit.rlim_cur);
    }
    return polls;
}

/* ---- opening ------------------------------------------------------------- */

static http *open_one(const httpd *server, int i)
{
    return i % TLS_EACH == 1 ? http_open_tls(server) : http_open(server);
}

/* The head is known before the body: Content-Length, or chunks. */
static void open_half(crowd_half *half, const httpd *server, int chunked)
{
    const char *framing = chunked ? "Transfer-Encoding: chunked\r\n"
                                  : support_text("Content-Length: %zu\r\n",
                                                 strlen(HALF_TEXT) + strlen(REST_TEXT));

    half->c = half->adopted ? parking_adopt(server) : http_open(server);
    http_ask(half->c, "POST", "/comm/publish/orders/half", "backend",
             support_text("Content-Type: text/plain\r\n%s", framing), NULL);
    half->rest = chunked ? "e\r\n" REST_TEXT "\r\n0\r\n\r\n" : REST_TEXT;
    http_send(half->c, chunked ? "f\r\n" HALF_TEXT "\r\n" : HALF_TEXT);
}

void crowd_open(crowd *all, const httpd *server, int polls, int streams, int halves,
                int fresh)
{
    http *watch = parking_adopt(server);
    int i;

    memset(all, 0, sizeof *all);
    all->server = server;
    for (i = 0; i < polls; i++) {
        all->polls[i] = open_one(server, i);
        http_ask(all->polls[i], "GET", "/comm/poll", support_text("u%d", i), WAIT_LONG,
                 NULL);
    }
    for (i = 0; i < streams; i++) {
        all->streams[i] = open_one(server, i);
        http_ask(all->streams[i], "GET", "/comm/poll",
                 support_text("u%d", CROWD_POLLS + i), "Accept: text/event-stream\r\n",
                 NULL);
    }
    for (i = 0; i < streams; i++) {
        http_await(all->streams[i], "retry: ");
        http_forget(all->streams[i]);
    }
    for (i = 0; i < halves; i++) {
        all->halves[i].adopted = i >= fresh;
        open_half(&all->halves[i], server, i % 2);
    }
    all->n_polls = polls;
    all->n_streams = streams;
    all->n_halves = halves;
    wait_until(parking_read_held(http_call(watch, "GET", "/comm/status", "admin",
                                           "Accept: application/json\r\n", NULL))
                   == polls + streams,
               HELD_MS);
    http_close(watch);
}

void crowd_finish_halves(crowd *all)
{
    int i;

    for (i = 0; i < all->n_halves; i += 2) {
        const crowd_half *half = &all->halves[i];
        size_t len = strlen(half->rest);

        all->halves[i].finished |=
            half->finished
            || send(http_socket(half->c), half->rest, len, MSG_NOSIGNAL) == (ssize_t)len;
    }
}

/* ---- sent home ----------------------------------------------------------- */

/* @return 1: nothing but a time to come back */
static int judge_poll(crowd *all, int i, const http_answer *answer)
{
    const char *wait;

    ck_assert_msg(answer != NULL, "poll %d was cut off", i);
    if (answer->status == 200) {
        ck_assert_ptr_nonnull(strstr(answer->body, "\"messages\""));
        return 0;
    }
    ck_assert_msg(answer->status == 204, "poll %d: %d %s", i, answer->status,
                  answer->body);
    wait = http_header(answer, "Retry-After");
    ck_assert_msg(wait != NULL, "poll %d is not told when to come back", i);
    ck_assert_msg(!answer->keep_alive, "poll %d is kept alive", i);
    ck_assert_msg(atoi(wait) >= WAIT_LEAST && atoi(wait) <= WAIT_MOST,
                  "poll %d is to come back after '%s'", i, wait);
    all->waits[atoi(wait)]++;
    return 1;
}

static void judge_stream(http *c, int i)
{
    int wait = atoi(strstr(http_await(c, "retry: "), "retry: ") + 7);

    ck_assert_msg(wait >= WAIT_LEAST * 1000 && wait <= WAIT_MOST * 1000,
                  "stream %d is to come back after %d ms", i, wait);
    ck_assert_msg(http_closed(c, 5000), "stream %d goes on", i);
}

int crowd_expect_sent_home(crowd *all, int ms)
{
    long long end = process_now_ms() + process_scale(ms);
    int i, empty = 0;

    for (i = 0; i < all->n_polls; i++) {
        long long left = end - process_now_ms();

        empty += judge_poll(all, i, http_try(all->polls[i], left > 0 ? (int)left : 1));
    }
    for (i = 0; i < all->n_streams; i++) {
        judge_stream(all->streams[i], i);
    }
    return empty;
}

/* The server has shut down its side. */
static int has_ended(http *c)
{
    struct pollfd p = { .fd = http_socket(c), .events = POLLRDHUP };

    return poll(&p, 1, 0) > 0;
}

int crowd_count_held(crowd *all)
{
    int i, held = 0;

    for (i = 0; i < all->n_polls; i++) {
        const http_answer *answer = http_try(all->polls[i], 0);

        if (answer || has_ended(all->polls[i]))
            judge_poll(all, i, answer);
        else
            held++;
    }
    for (i = 0; i < all->n_streams; i++) {
        if (has_ended(all->streams[i]))
            judge_stream(all->streams[i], i);
        else
            held++;
    }
    return held;
}

void crowd_expect_spread(const crowd *all)
{
    int kinds = WAIT_MOST - WAIT_LEAST + 1, total = 0, i;

    for (i = WAIT_LEAST; i <= WAIT_MOST; i++)
        total += all->waits[i];
    for (i = WAIT_LEAST; i <= WAIT_MOST; i++)
        ck_assert_msg(all->waits[i] * kinds > total * 6 / 10
                          && all->waits[i] * kinds < total * 14 / 10,
                      "%d of %d polls are to come back after %d s", all->waits[i], total,
                      i);
}

/* ---- halves -------------------------------------------------------------- */

static void judge_half(crowd *all, int i)
{
    crowd_half *half = &all->halves[i];
    const http_answer *answer = http_try(half->c, process_scale(HALF_MS));

    if (answer) {
        ck_assert_msg(answer->status >= 400 || (answer->status == 201 && half->finished),
                      "half a publish (%d) is answered %d", i, answer->status);
        all->accepted += answer->status == 201;
        return;
    }
    ck_assert_msg(http_closed(half->c, HALF_MS), "half a publish (%d) is never ended", i);
    all->unsure += half->finished;
}

void crowd_expect_halves_ended(crowd *all)
{
    int i;

    for (i = 0; i < all->n_halves; i++) {
        judge_half(all, i);
        http_close(all->halves[i].c);
    }
    all->n_halves = 0;
}

void crowd_expect_halves_queued(const crowd *all)
{
    http_answer *answer = http_once(all->server, "GET", "/comm/poll", "half", NULL, NULL);
    const char *at = answer->status == 200 ? answer->body : "";
    int came = 0;

    ck_assert(answer->status == 200 || answer->status == 204);
    for (; (at = strstr(at, "\"data\":")) != NULL; came++) {
        at += strlen("\"data\":");
        ck_assert_msg(
            strncmp(at, "\"" HALF_TEXT REST_TEXT "\"", strlen(HALF_TEXT REST_TEXT) + 2)
                == 0,
            "queued: %.60s", at);
    }
    ck_assert_msg(came >= all->accepted && came <= all->accepted + all->unsure,
                  "%d publishes were accepted and %d cut off, but %d wait", all->accepted,
                  all->unsure, came);
}

/* ---- what was delivered -------------------------------------------------- */

static int count_numbers(const char *body, const char *name, int *seen, int max,
                         int *last)
{
    const char *start = support_text("\"data\":\"%s-", name);
    int came = 0;

    while ((body = strstr(body, start)) != NULL) {
        int number = atoi(body += strlen(start));

        ck_assert_msg(number > *last && number < max, "%s-%d comes after %s-%d", name,
                      number, name, *last);
        *last = number;
        seen[number]++;
        came++;
    }
    return came;
}

int crowd_drain(const httpd *server, const char *user, const char *name, int *seen,
                int max)
{
    http *c = http_open(server);
    http_answer *answer = http_call(c, "GET", "/comm/poll", user, NULL, NULL);
    int came = 0, last = -1;

    while (answer->status == 200) {
        came += count_numbers(answer->body, name, seen, max, &last);
        answer = parking_next(c, user, support_json(answer->body, "cursor"), "");
    }
    ck_assert_msg(answer->status == 204, "%d %s", answer->status, answer->body);
    http_close(c);
    return came;
}

/* ---- closing ------------------------------------------------------------- */

void crowd_close_held(crowd *all)
{
    int i;

    for (i = 0; i < all->n_polls; i++)
        http_close(all->polls[i]);
    for (i = 0; i < all->n_streams; i++)
        http_close(all->streams[i]);
    all->n_polls = all->n_streams = 0;
}

void crowd_close(crowd *all)
{
    int i;

    crowd_close_held(all);
    for (i = 0; i < all->n_halves; i++)
        http_close(all->halves[i].c);
}
