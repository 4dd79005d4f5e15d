/* SPDX-License-Identifier: Apache-2.0
 * check_parking.c - connections that the module's event threads own: held
 * polls, keep-alive, publishers, requests for anything else, peers that go.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#include "parking.h"

/* ---- held polls ------------------------------------------------------------ */

START_TEST(a_held_poll_is_answered_by_a_publish)
{
    httpd *server = httpd_start(&(httpd_options){ .tls = 1, .debian = 1 });
    http *c = _i ? http_open_tls(server) : http_open(server);
    int i;

    for (i = 0; i < 20; i++) {
        http_answer *answer;
        char text[32];

        snprintf(text, sizeof(text), "message %d", i);
        http_ask(c, "GET", "/comm/poll", "alice", WAIT_LONG, NULL);
        parking_await(server, 1);
        parking_publish(server, "alice", text);
        answer = http_read(c);
        parking_expect(answer, text);
        ck_assert_int_eq(answer->keep_alive, 1);
        answer = parking_next(c, "alice", support_json(answer->body, "cursor"), "");
        ck_assert_int_eq(answer->status, 204);
    }
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_held_poll_ends_at_its_time)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = http_open(server);
    long long begin = process_now_ms(), took;
    http_answer *answer =
        http_call(c, "GET", "/comm/poll", "alice", "Prefer: wait=1\r\n", NULL);

    took = process_now_ms() - begin;
    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "wait=1");
    ck_assert_ptr_nonnull(http_header(answer, "Comm-Cursor"));
    ck_assert_msg(took >= 990, "answered after %lld ms", took);
    parking_await(server, 0);
    http_close(c);
    httpd_end(server);
}
END_TEST

/* httpd closes a connection whose peer is lost before it lets go of it. */
/* What is read of a poll's body, if it has one, is thrown away: once. */
START_TEST(a_poll_with_a_body_is_held_once)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = http_open(server);

    http_ask(c, "POST", "/comm/poll", "alice", WAIT_LONG, "body");
    parking_await(server, 1);
    parking_publish(server, "alice", "here");
    parking_expect(http_read(c), "here");
    ck_assert_int_eq(parking_held(server), 0);
    ck_assert_int_eq(
        http_call(c, "POST", "/comm/poll", "bob", "Prefer: wait=0\r\n", "body")->status,
        204);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_poll_whose_peer_is_lost_while_it_is_held_is_forgotten)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1,
                          .config = "LoadModule cstest_module "
                                    "\"@BUILD@/tests/integ/.libs/mod_cstest.so\"\n" });
    int i;

    for (i = 0; i < 20; i++) {
        http *c = http_open(server);

        http_ask(c, "GET", "/comm/poll", "alice", WAIT_LONG "X-Lose-Peer: 1\r\n", NULL);
        ck_assert_int_eq(http_closed(c, 5000), 1);
        http_close(c);
    }
    parking_await(server, 0);
    httpd_end(server);
}
END_TEST

/* Held like any other, and closed behind its answer. */
START_TEST(a_poll_that_closes_its_connection_is_held_too)
{
    static const char *const heads[] = {
        "GET /comm/poll HTTP/1.0\r\nPrefer: wait=40\r\n",
        "GET /comm/poll HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        "Prefer: wait=40\r\n",
    };
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .threads = 4 });
    http *c[8];
    http_answer *answer;
    int i;

    /* More than there are threads. */
    for (i = 0; i < 8; i++) {
        c[i] = http_open(server);
        http_send(c[i], heads[_i]);
        http_send(c[i], http_auth(i % 2 ? "alice" : "bob"));
        http_send(c[i], "\r\n");
    }
    parking_await(server, 2); /* the others were replaced                            */
    parking_publish(server, "alice", "closing");
    parking_publish(server, "bob", "closing");
    for (i = 0; i < 8; i++) {
        answer = http_read(c[i]);
        ck_assert_msg(answer->status == 200 || answer->status == 409, "%d",
                      answer->status);
        ck_assert_int_eq(answer->keep_alive, 0);
        ck_assert_int_eq(http_closed(c[i], 5000), 1);
        http_close(c[i]);
    }
    httpd_end(server);
}
END_TEST

START_TEST(the_access_log_tells_of_waiting)
{
    httpd *server = httpd_start(&(httpd_options){
        .children = 1,
        .config =
            "LogFormat \"%r wait=%{commserver-wait}n empty=%{commserver-empty}e\" w\n"
            "CustomLog @DIR@/access.log w\n" });
    http *c = http_open(server);
    char *log;
    int waited = 0;

    ck_assert_int_eq(
        http_call(c, "GET", "/comm/poll?wait=1", "alice", NULL, NULL)->status, 204);
    http_close(c);
    httpd_stop(server);
    log = process_read_file(support_text("%s/access.log", httpd_directory(server)));
    ck_assert_int_eq(sscanf(strstr(log, "/comm/poll?wait=1 HTTP/1.1 wait="),
                            "/comm/poll?wait=1 HTTP/1.1 wait=%d empty=1", &waited),
                     1);
    ck_assert_ptr_nonnull(strstr(log, " empty=1\n"));
    ck_assert_int_ge(waited, 990000);
    free(log);
    httpd_end(server);
}
END_TEST

START_TEST(a_peer_that_goes_is_forgotten)
{
    httpd *server = httpd_start(&(httpd_options){ .tls = 1 });
    http *closed = parking_poll(server, "alice"), *reset = parking_poll(server, "bob");
    http *half = parking_poll(server, "carol"), *tls = http_open_tls(server);

    http_ask(tls, "GET", "/comm/poll", "dave", WAIT_LONG, NULL);
    parking_await(server, 4);
    http_close(closed);
    http_reset(reset);
    http_half_close(half);
    http_close(tls);
    parking_await(server, 0);
    parking_publish(server, "alice", "kept");
    parking_expect(http_once(server, "GET", "/comm/poll", "alice", NULL, NULL), "kept");
    http_close(half);
    httpd_end(server);
}
END_TEST

/* Its request and its end come in one packet, so one event tells of both. */
START_TEST(a_peer_that_asks_and_goes_is_forgotten)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = parking_adopt(server);
    int on = 1, off = 0;

    setsockopt(http_socket(c), IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
    http_ask(c, "GET", "/comm/poll?wait=50", "alice", NULL, NULL);
    http_half_close(c);
    setsockopt(http_socket(c), IPPROTO_TCP, TCP_CORK, &off, sizeof(off));
    wait_until(httpd_access_count(server, "/comm/poll?wait=50") == 1, 10000);
    parking_await(server, 0);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_newer_poll_replaces_the_older)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 3 });
    http *older = parking_poll(server, "alice"), *newer;
    http_answer *answer;

    parking_await(server, 1);
    newer = parking_poll(server, "alice");
    answer = http_read(older);
    ck_assert_int_eq(answer->status, 409);
    ck_assert_ptr_nonnull(strstr(answer->body, "replaced"));
    /* A poll that would not be held disturbs nobody. */
    ck_assert_int_eq(http_once(server, "GET", "/comm/poll", "alice", NULL, NULL)->status,
                     204);
    parking_publish(server, "alice", "for the newer");
    parking_expect(http_read(newer), "for the newer");
    http_close(older);
    http_close(newer);
    httpd_end(server);
}
END_TEST

/* Each round one poll is held, and its peer goes just as a message comes. */
START_TEST(wake_and_close_at_the_same_moment)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2 });
    http *publisher = http_open(server);
    int i;

    for (i = 0; i < 2000; i++) {
        http *c = parking_poll(server, "alice");

        http_ask(publisher, "POST", "/comm/publish/orders/alice", "backend",
                 "Content-Type: text/plain\r\n", "x");
        if (i % 3 == 0) {
            http_reset(c);
        }
        else {
            http_close(c);
        }
        ck_assert_int_eq(http_read(publisher)->status, 201);
        if (i % 50 == 49) {
            http_answer *answer =
                http_once(server, "GET", "/comm/poll?max=200", "alice", NULL, NULL);
            http *ack = http_open(server);

            ck_assert_int_eq(answer->status, 200);
            answer = parking_next(ack, "alice", support_json(answer->body, "cursor"), "");
            ck_assert_int_eq(answer->status, 204);
            http_close(ack);
        }
    }
    http_close(publisher);
    parking_await(server, 0);
    httpd_end(server);
}
END_TEST

START_TEST(one_connection_serves_thousands_of_polls)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1, .config = "MaxKeepAliveRequests 0\n" });
    http *c = http_open(server), *publisher = http_open(server);
    const char *cursor = NULL;
    char last[64] = "";
    int i;

    for (i = 0; i < 3000; i++) {
        http_answer *answer;

        http_ask(c, "POST", "/comm/poll", "alice",
                 cursor ? support_text("Last-Event-ID: %s\r\n" WAIT_LONG, last)
                        : WAIT_LONG,
                 "");
        ck_assert_int_eq(http_call(publisher, "POST", "/comm/publish/orders/alice",
                                   "backend", "Content-Type: text/plain\r\n",
                                   support_text("%d", i))
                             ->status,
                         201);
        answer = http_read(c);
        parking_expect(answer, support_text("%d", i));
        cursor = support_json(answer->body, "cursor");
        snprintf(last, sizeof(last), "%s", cursor);
    }
    http_close(c);
    http_close(publisher);
    httpd_end(server);
}
END_TEST

START_TEST(requests_may_be_pipelined)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .tls = 1 });
    http *c = _i ? http_open_tls(server) : http_open(server);
    const char *publish = http_request("POST", "/comm/publish/orders/alice", "backend",
                                       "Content-Type: text/plain\r\n", "piped");
    const char *poll = http_request("GET", "/comm/poll", "bob", WAIT_LONG, NULL);
    int i;

    /* The first poll makes the connection ours, the rest waits behind it. */
    http_send(c, poll);
    for (i = 0; i < 40; i++) {
        http_send(c, publish);
    }
    parking_await(server, 1);
    parking_publish(server, "bob", "first");
    parking_expect(http_read(c), "first");
    for (i = 0; i < 40; i++) {
        ck_assert_int_eq(http_read(c)->status, 201);
    }
    http_close(c);
    httpd_end(server);
}
END_TEST

/* What httpd has read is taken from it while the poll waits, and is not lost. */
START_TEST(requests_behind_a_long_wait_are_answered)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .tls = 1 });
    http *c = _i ? http_open_tls(server) : http_open(server);
    const char *poll =
        http_request("GET", "/comm/poll", "bob", "Prefer: wait=3\r\n", NULL);
    const char *publish = http_request("POST", "/comm/publish/orders/alice", "backend",
                                       "Content-Type: text/plain\r\n", "piped");
    int i;

    http_send(c, support_text("%s%s%s", poll, publish, publish));
    parking_await(server, 1);
    http_send(c, publish);
    ck_assert_int_eq(http_read(c)->status, 204);
    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(http_read(c)->status, 201);
    }
    http_close(c);
    httpd_end(server);
}
END_TEST

#define CROWD     200
#define CROWD_MAX 27000 /* bytes for each                                        */

/* Pages of 4 KB: the connection, its buckets, and what httpd and the modules that
 * are loaded here allocate for a request; not the 8 KB that its head came in. */
START_TEST(who_waits_takes_little_memory)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1,
                          .config = "<Location /comm/poll>\n"
                                    "    CommServerClient \"%{HTTP:X-Client}\"\n"
                                    "</Location>\n" });
    http *first = parking_adopt(server), *crowd[CROWD];
    long before;
    pid_t child;
    int i;

    ck_assert_int_eq(httpd_children(server, &child, 1), 1);
    before = process_memory(child);
    for (i = 0; i < CROWD; i++) {
        crowd[i] = http_open(server);
        http_ask(crowd[i], "GET", "/comm/poll", "alice",
                 support_text("X-Client: crowd%d\r\n" WAIT_LONG, i), NULL);
    }
    parking_await(server, CROWD);
    wait_until(process_memory(child) - before < (long)CROWD * CROWD_MAX, 20000);
    for (i = 0; i < CROWD; i++) {
        http_close(crowd[i]);
    }
    http_close(first);
    httpd_end(server);
}
END_TEST

#define BUSY      32   /* of two clients, who may have 16 devices each         */
#define BUSY_MS   3500 /* longer than what waits keeps its memory              */
#define BUSY_MOST 48   /* pages                                                */

/* Only one on which nothing happens for a second lends its memory to others. */
START_TEST(a_busy_connection_keeps_its_memory)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *publisher = parking_adopt(server), *polls[BUSY];
    char after[BUSY][128] = { "" };
    long long begin = process_now_ms();
    long before = 0;
    pid_t child;
    int i;

    httpd_children(server, &child, 1);
    for (i = 0; i < BUSY; i++)
        polls[i] = http_open(server);
    while (process_now_ms() < begin + BUSY_MS) {
        for (i = 0; i < BUSY; i++)
            http_ask(polls[i], "POST",
                     support_text("/comm/poll?device=d%d%s", i, after[i]),
                     i % 2 ? "alice" : "bob", WAIT_LONG, "");
        parking_await(server, BUSY);
        ck_assert_int_eq(http_call(publisher, "POST",
                                   "/comm/publish/orders?to=alice&to=bob", "backend",
                                   NULL, "x")
                             ->status,
                         201);
        for (i = 0; i < BUSY; i++) {
            http_answer *answer = http_read(polls[i]);

            parking_expect(answer, "x");
            snprintf(after[i], sizeof after[i], "&after=%s",
                     support_json(answer->body, "cursor"));
        }
        if (!before && process_now_ms() > begin + 700)
            before = process_faults(child);
    }
    ck_assert_int_lt(process_faults(child) - before, BUSY_MOST);
    for (i = 0; i < BUSY; i++)
        http_close(polls[i]);
    http_close(publisher);
    httpd_end(server);
}
END_TEST

START_TEST(a_head_may_come_byte_by_byte)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .tls = 1 });
    http *c = _i ? http_open_tls(server) : http_open(server);
    const char *request = http_request("POST", "/comm/publish/orders/alice", "backend",
                                       "Content-Type: text/plain\r\n", "slow");
    size_t i;
    int round;

    ck_assert_int_eq(
        http_call(c, "GET", "/comm/poll", "bob", "Prefer: wait=1\r\n", NULL)->status,
        204);
    for (round = 0; round < 2; round++) {
        for (i = 0; request[i] != '\0'; i++) {
            http_send_bytes(c, request + i, 1);
        }
        ck_assert_int_eq(http_read(c)->status, 201);
    }
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_publisher_is_adopted_on_its_second_publish)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = http_open(server), *once = http_open(server);
    int i;

    for (i = 0; i < 5; i++) {
        ck_assert_int_eq(
            http_call(c, "POST", "/comm/publish/orders/alice", "backend", NULL, "x")
                ->status,
            201);
    }
    /* In one piece: whose body has yet to come is adopted at once. */
    http_send(once,
              http_request("POST", "/comm/publish/orders/alice", "backend", NULL, "x"));
    ck_assert_int_eq(http_read(once)->status, 201);
    /* A page closes an adopted connection, and only that. */
    ck_assert_int_eq(http_call(c, "GET", "/index.html", NULL, NULL, NULL)->keep_alive, 0);
    ck_assert_int_eq(http_call(once, "GET", "/index.html", NULL, NULL, NULL)->keep_alive,
                     1);
    http_close(c);
    http_close(once);
    httpd_end(server);
}
END_TEST

START_TEST(bodies_of_all_sizes_on_an_adopted_connection)
{
    static const size_t sizes[] = { 0,     1,       7999,    8000,   8001,
                                    65536, 1000000, 1048576, 1048577 };
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .tls = 1 });
    http *c = _i ? http_open_tls(server) : http_open(server);
    char *body = malloc(1048577 + 1);
    size_t i;

    ck_assert_int_eq(
        http_call(c, "GET", "/comm/poll", "alice", "Prefer: wait=1\r\n", NULL)->status,
        204);
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        http_answer *answer;
        int large = sizes[i] > 1048576;

        memset(body, 'b', sizes[i]);
        body[sizes[i]] = '\0';
        answer = http_call(c, "POST", "/comm/publish/orders/alice", "backend",
                           "Content-Type: text/plain\r\n", body);
        ck_assert_int_eq(answer->status, large ? 413 : 201);
        if (!large) {
            answer = http_once(server, "GET", "/comm/poll", "alice", NULL, NULL);
            ck_assert_int_eq(answer->status, 200);
        }
    }
    free(body);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_chunked_body_may_come_in_pieces)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = http_open(server);
    const char *pieces[] = {
        "POST /comm/publish/orders/alice HTTP/1.1\r\nHost: localhost\r\n",
        http_auth("backend"),
        "Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n",
        "3\r",
        "\nabc",
        "\r\n",
        "3\r\ndef\r\n",
        "0\r\n",
        "\r\n"
    };
    size_t i;

    ck_assert_int_eq(
        http_call(c, "GET", "/comm/poll", "alice", "Prefer: wait=1\r\n", NULL)->status,
        204);
    for (i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        http_send(c, pieces[i]);
        ck_assert_ptr_null(i + 1 < sizeof(pieces) / sizeof(pieces[0]) ? http_try(c, 20)
                                                                      : NULL);
    }
    ck_assert_int_eq(http_read(c)->status, 201);
    parking_expect(http_once(server, "GET", "/comm/poll", "alice", NULL, NULL), "abcdef");
    http_close(c);
    httpd_end(server);
}
END_TEST

/* A connection that is ours and idle. */
static http *open_adopted(const httpd *server)
{
    http *c = http_open(server);
    int i;

    for (i = 0; i < 2; i++) {
        ck_assert_int_eq(
            http_call(c, "POST", "/comm/publish/orders/nobody", "backend", NULL, "x")
                ->status,
            201);
    }
    return c;
}

START_TEST(who_expects_to_be_told_to_continue_is_told)
{
    static const char *const framing[] = { "Content-Length: 3\r\n",
                                           "Transfer-Encoding: chunked\r\n" };
    static const char *const bodies[] = { "abc", "3\r\nabc\r\n0\r\n\r\n" };
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = open_adopted(server);
    struct pollfd readable = { .fd = http_socket(c), .events = POLLIN };

    http_send(
        c, support_text("POST /comm/publish/orders/alice HTTP/1.1\r\nHost: localhost\r\n"
                        "%s%sExpect: 100-continue\r\n\r\n",
                        http_auth("backend"), framing[_i]));
    ck_assert_int_eq(poll(&readable, 1, process_scale(5000)), 1);
    http_send(c, bodies[_i]);
    ck_assert_int_eq(http_read(c)->status, 201);
    http_close(c);
    httpd_end(server);
}
END_TEST

/* ---- what an administrator sees ------------------------------------------------ */

/* How the error log names who asked for an unknown user, last. */
static int is_named_client(const httpd *server)
{
    char *log = process_read_file(support_text("%s/error.log", httpd_directory(server)));
    char *line, *last = NULL;
    int named;

    for (line = strtok(log, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        last = strstr(line, "AH01618") != NULL ? line : last;
    }
    ck_assert_ptr_nonnull(last);
    named = strstr(last, "[client 127.0.0.1:") != NULL;
    free(log);
    return named;
}

/* An event thread gets its place on the scoreboard within a second. */
static int asked_as_client(const httpd *server, http *c)
{
    ck_assert_int_eq(http_call(c, "GET", "/comm/poll", "nobody-here", NULL, NULL)->status,
                     401);
    return is_named_client(server);
}

START_TEST(the_log_names_clients_of_adopted_connections)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = parking_adopt(server);

    wait_until(asked_as_client(server, c), 10000);
    http_close(c);
    httpd_end(server);
}
END_TEST

#define SERVER_STATUS                                                                    \
    "ExtendedStatus On\n<Location \"/server-status\">\nSetHandler server-status\n"       \
    "Require all granted\n</Location>\n"

static int status_shows(const httpd *server, http *c, const char *text)
{
    ck_assert_int_eq(
        http_call(c, "GET", "/comm/poll?max=77", "alice", NULL, NULL)->status, 204);
    return strstr(http_once(server, "GET", "/server-status", NULL, NULL, NULL)->body,
                  text)
           != NULL;
}

START_TEST(mod_status_shows_event_threads)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1, .modules = "status", .config = SERVER_STATUS });
    http *c = parking_adopt(server);

    wait_until(status_shows(server, c, "GET /comm/poll?max=77"), 10000);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(an_upgrade_is_not_taken_up)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .http2 = 1 });
    http *c = open_adopted(server);
    http_answer *answer =
        http_call(c, "POST", "/comm/publish/orders/alice", "backend",
                  "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
                  "HTTP2-Settings: AAMAAABkAAQAAP__\r\n",
                  "x");

    ck_assert_int_eq(answer->status, 201);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(heads_that_break_limits_are_refused)
{
    static const struct {
        const char *begin;
        size_t filling;
        const char *end;
        int status;
    } heads[] = {
        { "GET /comm/poll?after=", 9000, " HTTP/1.1\r\nHost: localhost\r\n\r\n", 414 },
        { "GET /comm/poll HTTP/1.1\r\nHost: localhost\r\nX-Long: ", 9000, "\r\n\r\n",
          400 },
        { "GET /comm/poll HTTP/1.1\r\nHost: local host\r\nX: ", 1, "\r\n\r\n", 400 },
        { "GET /comm/poll HTTP/1.1\r\nHost: localhost\r\nNo colon", 1, "\r\n\r\n", 400 },
        { "\x16\x03\x01", 8, "\r\n\r\n", 400 },
    };
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = open_adopted(server);
    char *filling = malloc(heads[_i].filling + 1);

    memset(filling, 'a', heads[_i].filling);
    filling[heads[_i].filling] = '\0';
    http_send(c, heads[_i].begin);
    http_send(c, filling);
    http_send(c, heads[_i].end);
    ck_assert_int_eq(http_read(c)->status, heads[_i].status);
    ck_assert_int_eq(http_closed(c, 5000), 1);
    free(filling);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_long_answer_goes_to_a_slow_reader)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .tls = 1 });
    http *c = _i ? http_open_tls(server) : http_open(server);
    size_t len = 900000;
    char *body = malloc(len + 1);
    http_answer *answer;

    memset(body, 'x', len);
    body[len] = '\0';
    http_ask(c, "GET", "/comm/poll", "alice", WAIT_LONG, NULL);
    parking_await(server, 1);
    parking_publish(server, "alice", body);
    /* Not a byte of it is read yet: others are served. */
    parking_publish(server, "bob", "meanwhile");
    answer = http_read(c);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_uint_gt(answer->len, len);
    ck_assert_int_eq(atoi(support_json(answer->body, "messages.0.length")), (int)len + 2);
    /* And once more, now from a request that an event thread served. */
    answer = http_call(c, "GET", "/comm/poll", "alice", NULL, NULL);
    ck_assert_uint_gt(answer->len, len);
    ck_assert_int_eq(answer->keep_alive, 1);
    free(body);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_child_parks_only_as_many_as_it_may)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1, .config = "CommServerMaxParked 3\n" });
    http *held[3], *more;
    static const char *const users[] = { "alice", "bob", "carol" };
    http_answer *answer;
    int i;

    for (i = 0; i < 3; i++) {
        held[i] = parking_poll(server, users[i]);
    }
    parking_await(server, 3);
    more = parking_poll(server, "dave");
    answer = http_read(more);
    ck_assert_int_eq(answer->status, 503);
    ck_assert_str_eq(support_json(answer->body, "type"), "busy");
    ck_assert_ptr_nonnull(http_header(answer, "Retry-After"));
    http_close(more);
    http_close(held[0]);
    parking_await(server, 2);
    /* Room comes back once the closed connection is buried. */
    wait_until(
        http_once(server, "GET", "/comm/poll", "dave", "Prefer: wait=1\r\n", NULL)->status
            == 204,
        10000);
    http_close(held[1]);
    http_close(held[2]);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parking");
    TCase *held = tcase_create("held");
    TCase *other = tcase_create("other");
    TCase *bodies = tcase_create("bodies");

    support_need_httpd();
    tcase_set_timeout(held, 120);
    tcase_add_loop_test(held, a_held_poll_is_answered_by_a_publish, 0, 2);
    tcase_add_test(held, a_held_poll_ends_at_its_time);
    tcase_add_test(held, a_poll_with_a_body_is_held_once);
    tcase_add_test(held, a_poll_whose_peer_is_lost_while_it_is_held_is_forgotten);
    tcase_add_loop_test(held, a_poll_that_closes_its_connection_is_held_too, 0, 2);
    tcase_add_test(held, the_access_log_tells_of_waiting);
    tcase_add_test(held, a_peer_that_goes_is_forgotten);
    tcase_add_test(held, a_peer_that_asks_and_goes_is_forgotten);
    tcase_add_test(held, a_newer_poll_replaces_the_older);
    tcase_add_test(held, wake_and_close_at_the_same_moment);
    tcase_add_test(held, one_connection_serves_thousands_of_polls);
    tcase_add_loop_test(held, requests_may_be_pipelined, 0, 2);
    tcase_add_loop_test(held, requests_behind_a_long_wait_are_answered, 0, 2);
    if (!support_sanitized()) {
        tcase_add_test(held, who_waits_takes_little_memory);
        tcase_add_test(held, a_busy_connection_keeps_its_memory);
    }
    tcase_add_loop_test(held, a_head_may_come_byte_by_byte, 0, 2);
    tcase_add_test(held, a_child_parks_only_as_many_as_it_may);
    suite_add_tcase(suite, held);
    tcase_add_test(other, a_publisher_is_adopted_on_its_second_publish);
    tcase_add_test(other, the_log_names_clients_of_adopted_connections);
    tcase_add_test(other, mod_status_shows_event_threads);
    suite_add_tcase(suite, other);
    tcase_add_loop_test(bodies, bodies_of_all_sizes_on_an_adopted_connection, 0, 2);
    tcase_add_loop_test(bodies, who_expects_to_be_told_to_continue_is_told, 0, 2);
    tcase_add_test(bodies, an_upgrade_is_not_taken_up);
    tcase_add_loop_test(bodies, heads_that_break_limits_are_refused, 0, 5);
    tcase_add_test(bodies, a_chunked_body_may_come_in_pieces);
    tcase_add_loop_test(bodies, a_long_answer_goes_to_a_slow_reader, 0, 2);
    suite_add_tcase(suite, bodies);
    return support_run(suite);
}
