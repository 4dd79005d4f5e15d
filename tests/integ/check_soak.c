/* SPDX-License-Identifier: Apache-2.0
 * check_soak.c - what a child of httpd has of memory and descriptors does not
 * grow with what it has done: messages, polls held and replaced, connections
 * opened, kept, cut, refusals, questions.
 *
 * COMM_SOAK_REQUESTS says how many requests are measured (12,000), after as many
 * to warm up, half at least. `make check-soak` makes 200,000.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "parking.h"

#define ROUND_REQUESTS 12           /* of one round                                   */
#define SLACK          (384 * 1024) /* bytes that allocators may keep more or less    */
#define PER_REQUEST    4            /* bytes                                          */

static httpd *server;
static pid_t child;

static int requests_wanted(void)
{
    const char *text = getenv("COMM_SOAK_REQUESTS");

    return text && *text ? atoi(text) : 12000;
}

static int descriptors_now(void)
{
    DIR *all = opendir(support_text("/proc/%d/fd", (int)child));
    int n = 0;

    ck_assert_ptr_nonnull(all);
    while (readdir(all))
        n++;
    closedir(all);
    return n;
}

/* ---- one round --------------------------------------------------------------------- */

#define ANSWER_MS        20000
#define CLOSED_IDLE_MOST 10

static int closed_idle; /* by httpd                                */
static http *kept;      /* publishes and asks                              */
static int closes;      /* httpd does, behind the last answer               */
static http *polls;     /* holds polls, one after the other                */
static char cursor[128];

static void expect_status(const http_answer *answer, int status)
{
    ck_assert_msg(answer->status == status, "%d, not %d: %s", answer->status, status,
                  answer->body);
}

/* On the connection that is kept, as long as httpd keeps it: when it runs short of
 * workers it closes idle ones of its own, and a client asks again on another. */
static http_answer *call(const char *method, const char *path, const char *user,
                         const char *headers, const char *body)
{
    http_answer *answer = NULL;
    int fresh = 0;

    while (!answer) {
        ck_assert_msg(!fresh, "a new connection was closed without an answer");
        fresh = !kept;
        if (!kept)
            kept = http_open(server);
        http_send(kept, http_request(method, path, user, headers, body));
        answer = http_try(kept, ANSWER_MS);
        if (!answer) {
            ck_assert_msg(http_closed(kept, 0), "no answer in time");
            ck_assert_int_lt(++closed_idle, CLOSED_IDLE_MOST);
            http_close(kept);
            kept = NULL;
        }
    }
    closes = !answer->keep_alive;
    return answer;
}

static void expect_call(http_answer *answer, int status)
{
    expect_status(answer, status);
    if (closes) {
        http_close(kept);
        kept = NULL;
    }
}

static void publish(const char *path, const char *headers, int status)
{
    expect_call(call("POST", path, "backend", headers, "{\"n\": 1}"), status);
}

/* A poll is held, a message comes, its cursor goes with the next poll. */
static void hold_and_answer(void)
{
    http_answer *answer;

    publish("/comm/publish/orders/alice", "Content-Type: application/json\r\n", 201);
    answer = http_read(polls);
    expect_status(answer, 200);
    snprintf(cursor, sizeof cursor, "%s", support_json(answer->body, "cursor"));
    http_ask(polls, "POST", support_text("/comm/poll?after=%s", cursor), "alice",
             WAIT_LONG, "");
}

/* All that publishers and those who ask do on their connection. */
static void do_a_bit_of_everything(int round)
{
    publish("/comm/publish/orders/bob", "Topic: price\r\n", 201);
    publish("/comm/publish/orders/bob",
            support_text("Idempotency-Key: \"%d\"\r\nTTL: 1\r\n", round), 201);
    publish("/comm/publish/orders?to=bob&to=carol", "TTL: 1\r\n", 201);
    publish("/comm/publish/orders/bob", "TTL: soon\r\n", 400);
    expect_call(
        call("PUT", "/comm/publish/orders/-/groups/g/carol", "backend", NULL, NULL),
        round ? 204 : 201);
    expect_call(call("GET", "/comm/poll?max=5", "bob", NULL, NULL), 200);
    expect_call(call("GET", "/comm/status", "admin", NULL, NULL), 200);
}

/* One is opened, has its request half done or a poll held, and is cut. */
static void cut_a_connection(int round)
{
    http *c = http_open(server);

    if (round % 3 == 0)
        http_send(c, "POST /comm/publish/orders/alice HTTP/1.1\r\nHost: x\r\n");
    else if (round % 3 == 1)
        http_ask(c, "GET", "/comm/poll?device=cut", "dave", WAIT_LONG, NULL);
    else
        expect_status(http_call(c, "GET", "/comm/poll", "carol", NULL, NULL), 200);
    if (round % 2)
        http_reset(c);
    else
        http_close(c);
}

static void run(int requests)
{
    static int round;
    int i;

    for (i = 0; i < requests; i += ROUND_REQUESTS) {
        hold_and_answer();
        hold_and_answer();
        do_a_bit_of_everything(round);
        cut_a_connection(round);
        round++;
    }
}

/* The memory of connections goes a second after they have closed.
 * @return the least that was had, once it is no less for two seconds          */
static long settle(void)
{
    long least, now;
    long long since = process_now_ms();

    parking_await(server, 1);
    wait_until(descriptors_now() <= 40, 10000);
    least = process_memory(child);
    while (process_now_ms() - since < 2000) {
        process_pause();
        now = process_memory(child);
        if (now < least) {
            least = now;
            since = process_now_ms();
        }
    }
    return least;
}

START_TEST(a_child_does_not_grow)
{
    int wanted = requests_wanted();
    int descriptors;
    long before, grown;

    /* Pages of 2 MB, where the kernel likes, would hide what is used. */
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    server = httpd_start(&(httpd_options){
        .children = 1,
        .threads = 4,
        .config = "MaxKeepAliveRequests 0\nMaxMemFree 64\n"
                  "CommServerMaxQueue 50\nCommServerOverflow drop-oldest\n"
                  "CommServerIdempotencyWindow 1\nCommServerSegmentSize 8M\n" });
    ck_assert_int_eq(httpd_children(server, &child, 1), 1);
    polls = parking_poll(server, "alice");
    parking_await(server, 1);
    run(wanted / 2 > 12000 ? 12000 : wanted / 2);
    before = settle();
    descriptors = descriptors_now();
    run(wanted);
    grown = settle() - before;
    printf("%d requests: %ld bytes more of %ld\n", wanted, grown, before);
    fflush(stdout);
    ck_assert_msg(grown < SLACK + (long)wanted * PER_REQUEST,
                  "%ld bytes more after %d requests", grown, wanted);
    ck_assert_int_le(descriptors_now(), descriptors + 2);
    if (kept)
        http_close(kept);
    http_close(polls);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("soak");
    TCase *tc = tcase_create("soak");

    support_need_httpd();
    if (support_sanitized())
        support_skip("a sanitizer keeps what is freed");
    tcase_set_timeout(tc, 60 + requests_wanted() / 100);
    tcase_add_test(tc, a_child_does_not_grow);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
