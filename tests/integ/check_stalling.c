/* SPDX-License-Identifier: Apache-2.0
 * check_stalling.c - peers that stall in every way, more of each than there
 * are event threads, and hooks that take long: others are not delayed.
 */
#include <dirent.h>
#include <signal.h>
#include <poll.h>
#include <unistd.h>

#include "parking.h"

#define STALLED     12 /* CommServerMaxEventThreads is 4 below       */
#define FEW_THREADS "CommServerMaxEventThreads 4\n"

static http *stalled[STALLED];

/* Connections that are ours and idle. */
static void open_adopted(const httpd *server, int tls)
{
    int i;

    for (i = 0; i < STALLED; i++) {
        stalled[i] = tls ? http_open_tls(server) : http_open(server);
        http_ask(stalled[i], "POST", "/comm/publish/orders/nobody", "backend", NULL, "x");
        ck_assert_int_eq(http_read(stalled[i])->status, 201);
        ck_assert_int_eq(http_call(stalled[i], "POST", "/comm/publish/orders/nobody",
                                   "backend", NULL, "x")
                             ->status,
                         201);
    }
}

static void close_all(void)
{
    int i;

    for (i = 0; i < STALLED; i++) {
        http_close(stalled[i]);
    }
}

/* A publish and a held poll go through within a second. */
static void expect_no_delay(const httpd *server, http *held)
{
    long long begin = process_now_ms();

    parking_publish(server, "alice", "not delayed");
    parking_expect(http_read(held), "not delayed");
    ck_assert_int_lt((int)(process_now_ms() - begin), process_scale(1000));
}

static httpd *start(const char *config)
{
    return httpd_start(
        &(httpd_options){ .children = 1, .threads = 8, .tls = 1, .config = config });
}

START_TEST(stalled_heads_delay_nobody)
{
    httpd *server = start(FEW_THREADS "Timeout 2\n");
    http *held;
    int i;

    open_adopted(server, _i);
    held = parking_poll(server, "alice");
    parking_await(server, 1);
    for (i = 0; i < STALLED; i++) {
        http_send(stalled[i], "POST /comm/publish/orders/alice HTTP/1.1\r\nHo");
    }
    expect_no_delay(server, held);
    for (i = 0; i < STALLED; i++) {
        ck_assert_msg(http_closed(stalled[i], 8000), "a stalled head is never given up");
    }
    close_all();
    http_close(held);
    httpd_end(server);
}
END_TEST

/* mod_reqtimeout's rule holds, not the much longer Timeout; that of a virtual
 * host is its own. */
START_TEST(slow_requests_have_the_time_of_mod_reqtimeout)
{
    static const char *const ends[] = { "", "Content-Length: 10\r\n\r\nhalf",
                                        "Transfer-Encoding: chunked\r\n\r\n5\r\nha" };
    httpd *server =
        httpd_start(&(httpd_options){ .children = 1,
                                      .modules = "reqtimeout",
                                      .config = "Timeout 100\n"
                                                "RequestReadTimeout header=1 body=1\n" });
    http *c = parking_adopt(server), *other;
    long long begin = process_now_ms();

    http_send(c, "POST /comm/publish/orders/alice HTTP/1.1\r\nHost: localhost\r\n");
    http_send(c, http_auth("backend"));
    http_send(c, ends[_i]);
    ck_assert_int_eq(http_closed(c, 10000), 1);
    ck_assert_int_ge((int)(process_now_ms() - begin), 950);
    http_close(c);
    /* Who is idle between requests, or held, is not hurried. */
    c = http_open(server);
    other = parking_adopt(server);
    ck_assert_int_eq(http_call(c, "GET", "/comm/poll?wait=1", "bob", NULL, NULL)->status,
                     204);
    ck_assert_int_eq(
        http_call(other, "GET", "/comm/poll", "alice", "Prefer: wait=3\r\n", NULL)
            ->status,
        204);
    ck_assert_int_eq(http_call(c, "GET", "/comm/poll", "bob", NULL, NULL)->status, 204);
    http_close(c);
    http_close(other);
    httpd_end(server);
}
END_TEST

/* Their time is up: they are told so, or just closed. */
static void expect_all_ended(void)
{
    int i;

    for (i = 0; i < STALLED; i++) {
        http_answer *answer = http_try(stalled[i], 8000);

        ck_assert(answer == NULL || answer->status == 408);
        ck_assert_int_eq(http_closed(stalled[i], 8000), 1);
    }
    close_all();
}

START_TEST(stalled_bodies_delay_nobody)
{
    httpd *server = start(FEW_THREADS "Timeout 2\n");
    http *held;
    int i;

    open_adopted(server, _i);
    held = parking_poll(server, "alice");
    parking_await(server, 1);
    for (i = 0; i < STALLED; i++) {
        http_send(
            stalled[i],
            support_text("POST /comm/publish/orders/alice HTTP/1.1\r\nHost: localhost\r\n"
                         "%sContent-Length: 1000\r\n\r\nabc",
                         http_auth("backend")));
    }
    expect_no_delay(server, held);
    expect_all_ended();
    http_close(held);
    httpd_end(server);
}
END_TEST

/* On connections that httpd has just accepted, more than it has workers: a
 * body that has yet to come holds none of them. */
START_TEST(stalled_bodies_of_new_connections_delay_nobody)
{
    static const char *const bodies[] = { "Content-Length: 1000\r\n\r\nabc",
                                          "Transfer-Encoding: chunked\r\n\r\n5\r\na" };
    httpd *server = start(FEW_THREADS "Timeout 2\n");
    const char *head =
        support_text("POST /comm/publish/orders/alice HTTP/1.1\r\nHost: localhost\r\n%s",
                     http_auth("backend"));
    http *held = parking_poll(server, "alice");
    int i;

    parking_await(server, 1);
    for (i = 0; i < STALLED; i++) {
        stalled[i] = _i % 2 ? http_open_tls(server) : http_open(server);
        http_send(stalled[i], support_text("%s%s", head, bodies[_i / 2]));
    }
    expect_no_delay(server, held);
    expect_all_ended();
    http_close(held);
    httpd_end(server);
}
END_TEST

/* The first request of a connection, in pieces. */
START_TEST(bodies_that_come_slowly_are_queued)
{
    static const char *const bodies[][3] = {
        { "Content-Length: 9\r\n\r\nfir", "st ", "one" },
        { "Transfer-Encoding: chunked\r\n\r\n3\r\nfir\r\n", "3\r\nst \r\n3\r\no",
          "ne\r\n0\r\n\r\n" },
        { "Expect: 100-continue\r\nContent-Length: 9\r\n\r\n", "first ", "one" },
    };
    httpd *server = httpd_start(&(httpd_options){
        .children = 1, .threads = 8, .tls = 1, .modules = "reqtimeout" });
    http *c = _i % 2 ? http_open_tls(server) : http_open(server);
    const char *const *body = bodies[_i / 2];

    http_send(c, support_text("POST /comm/publish/orders/alice HTTP/1.1\r\n"
                              "Host: localhost\r\nContent-Type: text/plain\r\n%s%s",
                              http_auth("backend"), body[0]));
    if (_i / 2 == 2) {
        http_await(c, "100 Continue");
    }
    ck_assert_int_eq(http_closed(c, 50), 0);
    http_send(c, body[1]);
    ck_assert_int_eq(http_closed(c, 50), 0);
    http_send(c, body[2]);
    ck_assert_int_eq(http_read(c)->status, 201);
    parking_expect(http_call(c, "GET", "/comm/poll", "alice", NULL, NULL), "first one");
    ck_assert_int_eq(http_call(c, "GET", "/index.html", NULL, NULL, NULL)->status, 200);
    http_close(c);
    httpd_end(server);
}
END_TEST

/* Whoever is not let in is not listened to any longer either. */
START_TEST(stalled_bodies_of_strangers_delay_nobody)
{
    httpd *server = start(FEW_THREADS);
    http *held;
    int i;

    open_adopted(server, _i);
    held = parking_poll(server, "alice");
    parking_await(server, 1);
    for (i = 0; i < STALLED; i++) {
        http_send(stalled[i],
                  "POST /comm/publish/orders/alice HTTP/1.1\r\nHost: localhost\r\n"
                  "Authorization: Basic eDp5\r\nContent-Length: 1000\r\n\r\nabc");
    }
    expect_no_delay(server, held);
    for (i = 0; i < STALLED; i++) {
        http_answer *answer = http_try(stalled[i], 8000);

        ck_assert(answer != NULL);
        ck_assert_int_eq(answer->status, 401);
    }
    close_all();
    http_close(held);
    httpd_end(server);
}
END_TEST

/* Sockets that a process has open. */
static int sockets_of(pid_t process)
{
    const char *folder = support_text("/proc/%d/fd", (int)process);
    DIR *list = opendir(folder);
    struct dirent *entry;
    int n = 0;

    ck_assert_ptr_nonnull(list);
    while ((entry = readdir(list)) != NULL) {
        char target[64] = "";

        if (readlink(support_text("%s/%s", folder, entry->d_name), target,
                     sizeof(target) - 1)
            > 0) {
            n += strncmp(target, "socket:", 7) == 0;
        }
    }
    closedir(list);
    return n;
}

/* Readers that never read: the answers are larger than what sockets take. */
START_TEST(stalled_readers_delay_nobody)
{
    httpd *server = start(FEW_THREADS "Timeout 3\nCommServerMaxBatch 16M\n");
    size_t len = 1000000;
    char *body = malloc(len + 1);
    http *held;
    pid_t child;
    int i, before;

    memset(body, 'x', len);
    body[len] = '\0';
    for (i = 0; i < 12; i++) {
        parking_publish(server, "bob", body);
    }
    ck_assert_int_eq(httpd_children(server, &child, 1), 1);
    open_adopted(server, _i);
    before = sockets_of(child);
    held = parking_poll(server, "alice");
    parking_await(server, 1);
    for (i = 0; i < STALLED; i++) {
        http_ask(stalled[i], "GET", "/comm/poll", "bob", NULL, NULL);
    }
    expect_no_delay(server, held);
    /* Each has Timeout to take something, then its connection goes. */
    wait_until(sockets_of(child) < before, 20000);
    close_all();
    free(body);
    http_close(held);
    httpd_end(server);
}
END_TEST

/* Sends requests and reads the answers, without end; in a process of its own. */
static void flood(http *c, const char *requests)
{
    struct pollfd p = { .fd = http_socket(c), .events = POLLIN | POLLOUT };
    size_t len = strlen(requests), from = 0;
    static char sink[1 << 16];

    for (;;) {
        poll(&p, 1, -1);
        if ((p.revents & POLLIN) && read(p.fd, sink, sizeof(sink)) == 0) {
            _exit(0);
        }
        if (p.revents & POLLOUT) {
            ssize_t n = write(p.fd, requests + from, len - from);

            from = n > 0 ? (from + (size_t)n) % len : from;
        }
    }
}

static pid_t start_flood(http *c)
{
    const char *one = http_request("GET", "/comm/poll", "bob", NULL, NULL);
    size_t len = strlen(one);
    char *many = malloc(len * 1000 + 1);
    pid_t pid;
    int i;

    for (i = 0; i < 1000; i++) {
        memcpy(many + i * len, one, len + 1);
    }
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        flood(c, many);
    }
    free(many);
    return pid;
}

START_TEST(a_client_that_never_stops_asking_delays_nobody)
{
    httpd *server = start(NULL);
    http *greedy = parking_adopt(server), *held = parking_adopt(server);
    long long begin;
    pid_t pid;
    int i;

    pid = start_flood(greedy);
    for (i = 0; i < 3; i++) {
        begin = process_now_ms();
        ck_assert_int_eq(
            http_call(held, "GET", "/comm/poll", "alice", "Prefer: wait=1\r\n", NULL)
                ->status,
            204);
        ck_assert_int_lt((int)(process_now_ms() - begin), process_scale(2000));
    }
    kill(pid, SIGKILL);
    process_wait(pid, 5000, "the flood");
    http_close(greedy);
    http_close(held);
    httpd_end(server);
}
END_TEST

/* Peers that have been told to close and do not. */
START_TEST(stalled_closers_delay_nobody)
{
    httpd *server = start(FEW_THREADS "KeepAliveTimeout 15\n");
    http *held;
    int i;

    open_adopted(server, _i);
    held = parking_poll(server, "alice");
    parking_await(server, 1);
    for (i = 0; i < STALLED; i++) {
        http_ask(stalled[i], "GET", "/comm/poll", "bob", "Connection: close\r\n", NULL);
        ck_assert_int_eq(http_read(stalled[i])->status, 204);
    }
    expect_no_delay(server, held);
    close_all();
    http_close(held);
    httpd_end(server);
}
END_TEST

/* A password that takes the server long to check: `slow`, bcrypt of cost 13,
 * about half a second. */
#define SLOW_USER                                                                        \
    "<Location \"/comm/publish/slow\">\nAuthType Basic\nAuthName slow\n"                 \
    "AuthBasicProvider file\nAuthUserFile \"@DIR@/slow\"\nRequire "                      \
    "valid-user\n</Location>\n"

static void make_slow_user(const httpd *server)
{
    const char *file = support_text("%s/slow", httpd_directory(server));

    process_must((const char *const[]){ "htpasswd", "-cbB", "-C", "13", file, "backend",
                                        HTTPD_PASSWORD, NULL });
    process_must((const char *const[]){ "chmod", "644", file, NULL });
}

/* What was queued is said, also when the child ends meanwhile. */
START_TEST(a_slow_publish_is_answered_though_the_child_ends)
{
    httpd *server = start(FEW_THREADS SLOW_USER);
    http *slow, *quick;

    make_slow_user(server);
    slow = parking_adopt(server);
    quick = parking_adopt(server);
    http_ask(slow, "POST", "/comm/publish/slow/bob", "backend", NULL, "x");
    /* Answered while the other is inside its hook: so another thread leads. */
    ck_assert_int_eq(http_call(quick, "GET", "/comm/poll", "alice", NULL, NULL)->status,
                     204);
    ck_assert_ptr_null(http_try(slow, 1));
    httpd_restart(server);
    ck_assert_int_eq(http_read(slow)->status, 201);
    http_close(slow);
    http_close(quick);
    httpd_end(server);
}
END_TEST

/* What comes while the first request of a connection is looked at by a worker,
 * that has read its body already: another request, or the end. */
START_TEST(what_comes_during_a_slow_request_is_heard)
{
    static const char *const bodies[] = { "Transfer-Encoding: chunked\r\n\r\n"
                                          "1\r\nx\r\n0\r\n\r\n",
                                          "Content-Length: 1\r\n\r\nx" };
    httpd *server = start(SLOW_USER);
    http *c = http_open(server);
    long long begin;

    make_slow_user(server);
    http_send(c, support_text("POST /comm/publish/slow/bob HTTP/1.1\r\n"
                              "Host: localhost\r\n%s%s",
                              http_auth("backend"), bodies[_i / 2]));
    ck_assert_ptr_null(http_try(c, 100));
    if (_i % 2) {
        http_half_close(c);
    }
    else {
        http_ask(c, "GET", "/comm/poll", "carol", NULL, NULL);
    }
    ck_assert_int_eq(http_read(c)->status, 201);
    begin = process_now_ms();
    if (_i % 2) {
        ck_assert_int_eq(http_closed(c, 5000), 1);
    }
    else {
        ck_assert_int_eq(http_read(c)->status, 204);
    }
    ck_assert_int_lt((int)(process_now_ms() - begin), process_scale(5000));
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(slow_authentication_delays_nobody_who_waits)
{
    httpd *server = start(FEW_THREADS SLOW_USER);
    http *held;
    int i, answered = 0;

    make_slow_user(server);
    open_adopted(server, _i);
    held = parking_poll(server, "alice");
    parking_await(server, 1);
    for (i = 0; i < STALLED; i++) {
        http_ask(stalled[i], "POST", "/comm/publish/slow/bob", "backend", NULL, "x");
    }
    parking_publish(server, "alice", "not delayed");
    parking_expect(http_read(held), "not delayed");
    for (i = 0; i < STALLED; i++) {
        http_answer *answer = http_try(stalled[i], 1);

        answered += answer != NULL;
    }
    ck_assert_msg(answered < STALLED, "the slow ones were not slow: this shows nothing");
    for (i = 0; i < STALLED && answered < STALLED; i++) {
        http_try(stalled[i], 20000);
    }
    close_all();
    http_close(held);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stalling");
    TCase *peers = tcase_create("peers");

    support_need_httpd();
    tcase_set_timeout(peers, 120);
    tcase_add_loop_test(peers, stalled_heads_delay_nobody, 0, 2);
    tcase_add_loop_test(peers, slow_requests_have_the_time_of_mod_reqtimeout, 0, 3);
    tcase_add_loop_test(peers, stalled_bodies_delay_nobody, 0, 2);
    tcase_add_loop_test(peers, stalled_bodies_of_new_connections_delay_nobody, 0, 4);
    tcase_add_loop_test(peers, bodies_that_come_slowly_are_queued, 0, 6);
    tcase_add_loop_test(peers, stalled_bodies_of_strangers_delay_nobody, 0, 2);
    tcase_add_loop_test(peers, stalled_readers_delay_nobody, 0, 2);
    tcase_add_loop_test(peers, stalled_closers_delay_nobody, 0, 2);
    tcase_add_test(peers, a_client_that_never_stops_asking_delays_nobody);
    tcase_add_loop_test(peers, what_comes_during_a_slow_request_is_heard, 0, 4);
    tcase_add_test(peers, slow_authentication_delays_nobody_who_waits);
    tcase_add_test(peers, a_slow_publish_is_answered_though_the_child_ends);
    suite_add_tcase(suite, peers);
    return support_run(suite);
}
