/* SPDX-License-Identifier: Apache-2.0
 * check_stream.c - the answer to a poll as a stream of events.
 */
#include <time.h>
#include <stdio.h>

#include "parking.h"

#define EVENTS "Accept: text/event-stream\r\n"

static http *open_stream(http *c, const char *path, const char *user, const char *headers)
{
    http_ask(c, "GET", path, user, support_text("%s%s", EVENTS, headers), NULL);
    http_await(c, "retry: ");
    return c;
}

static http *stream(const httpd *server, const char *user)
{
    return open_stream(http_open(server), "/comm/poll", user, "");
}

/* The event whose message has this text: from "id: " or "event: " on. */
static const char *find_event(const char *received, const char *text)
{
    const char *at = strstr(received, support_text("\"data\":\"%s\"}", text));

    ck_assert_msg(at != NULL, "no event '%s' in: %s", text, received);
    while (at > received && !(at[-1] == '\n' && at[-2] == '\n')) {
        at--;
    }
    return at;
}

/* Its cursor, in the ring. */
static const char *id_of(const char *event)
{
    const char *id = strstr(event, "id: ");

    ck_assert_ptr_nonnull(id);
    return support_text("%.*s", (int)strcspn(id + 4, "\n"), id + 4);
}

static http_answer *poll_json(const httpd *server, const char *method, const char *user,
                              const char *headers)
{
    return http_once(server, method, "/comm/poll", user, headers, NULL);
}

/* ---- a stream that is held ------------------------------------------------- */

START_TEST(each_message_is_an_event)
{
    httpd *server = httpd_start(&(httpd_options){ .tls = 1, .debian = 1 });
    http *c = _i & 1 ? http_open_tls(server) : http_open(server);
    const char *received;
    int i;

    if (_i & 2) { /* an event thread reads the request */
        http_call(c, "GET", "/comm/poll", "alice", "Prefer: wait=1\r\n", NULL);
    }
    parking_publish(server, "alice", "before");
    open_stream(c, "/comm/poll", "alice", "");
    received = http_await(c, "\"before\"}\n\n");
    ck_assert_ptr_nonnull(strstr(received, "HTTP/1.1 200 OK\r\n"));
    ck_assert_ptr_nonnull(strstr(received, "\r\nContent-Type: text/event-stream\r\n"));
    ck_assert_ptr_nonnull(strstr(received, "\r\nX-Accel-Buffering: no\r\n"));
    ck_assert_ptr_nonnull(strstr(received, "\r\nCache-Control: no-store\r\n"));
    ck_assert_ptr_null(strstr(received, "\nevent: "));
    parking_await(server, 1);
    for (i = 0; i < 100; i++) {
        const char *text = support_text("message %d", i);

        parking_publish(server, "alice", text);
        http_await(c, support_text("\"%s\"}\n\n", text));
    }
    http_close(c);
    parking_await(server, 0);
    httpd_end(server);
}
END_TEST

START_TEST(a_stream_goes_on_behind_its_last_event)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2 });
    http *c = stream(server, "alice");
    const char *received, *id;

    parking_publish(server, "alice", "one");
    parking_publish(server, "alice", "two");
    received = http_await(c, "\"two\"}");
    id = id_of(find_event(received, "one"));
    ck_assert_str_ne(id, id_of(find_event(received, "two")));
    http_close(c);
    parking_publish(server, "alice", "three");
    c = open_stream(http_open(server), "/comm/poll", "alice",
                    support_text("Last-Event-ID: %s\r\n", id));
    received = http_await(c, "\"three\"}");
    ck_assert_ptr_null(strstr(received, "\"one\"}"));
    find_event(received, "two");
    http_close(c);
    /* A GET removes nothing. */
    parking_expect(poll_json(server, "GET", "alice", NULL), "one");
    /* A POST acknowledges, whether it is answered by a stream or not. */
    c = http_open(server);
    http_ask(c, "POST", "/comm/poll", "alice",
             support_text(EVENTS "Last-Event-ID: %s\r\n", id), "");
    http_await(c, "\"three\"}");
    http_close(c);
    parking_expect(poll_json(server, "GET", "alice", NULL), "two");
    httpd_end(server);
}
END_TEST

START_TEST(events_may_have_the_name_of_their_application)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = open_stream(http_open(server), "/comm/poll?event=app", "alice", "");

    parking_publish(server, "alice", "named");
    http_await(c, "\"named\"}");
    ck_assert_ptr_nonnull(strstr(http_await(c, "event: "), "event: orders\nid: "));
    http_close(c);
    ck_assert_int_eq(
        http_once(server, "GET", "/comm/poll?event=no", "alice", EVENTS, NULL)->status,
        400);
    httpd_end(server);
}
END_TEST

START_TEST(a_gap_is_an_event)
{
    httpd *server =
        httpd_start(&(httpd_options){ .children = 1,
                                      .config = "CommServerOverflow drop-oldest\n"
                                                "CommServerMaxQueue 2\n" });
    const char *received, *gap;
    http *c;
    int i;

    for (i = 0; i < 5; i++) {
        parking_publish(server, "alice", support_text("%d", i));
    }
    c = stream(server, "alice");
    received = http_await(c, "\"4\"}");
    gap = strstr(received, "event: commserver:gap\ndata: {\"apps\":{\"orders\":3}}\n\n");
    ck_assert_msg(gap != NULL, "no gap in: %s", received);
    ck_assert(gap < find_event(received, "3"));
    http_close(c);
    c = open_stream(http_open(server), "/comm/poll", "bob",
                    "Last-Event-ID: 0123456789abcdef-7\r\n");
    received = http_await(c, "event: commserver:gap\nid: ");
    http_await(c, "\ndata: {}\n\n");
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_newer_poll_or_stream_replaces_it)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2 });
    http *first = stream(server, "alice"), *second, *third;
    http_answer *answer;

    parking_await(server, 1);
    second = stream(server, "alice");
    answer = http_read(first);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_ptr_nonnull(strstr(answer->body,
                                 "retry: 60000\nevent: commserver:replaced\n"
                                 "data: {}\n\n"));
    third = parking_poll(server, "alice");
    answer = http_read(second);
    ck_assert_ptr_nonnull(strstr(answer->body, "event: commserver:replaced\n"));
    http_close(first);
    first = stream(server, "alice");
    ck_assert_int_eq(http_read(third)->status, 409);
    parking_publish(server, "alice", "for the last");
    http_await(first, "\"for the last\"}");
    http_close(first);
    http_close(second);
    http_close(third);
    httpd_end(server);
}
END_TEST

START_TEST(a_silent_stream_has_heartbeats)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = stream(server, "alice");

    parking_await(server, 1);
    /* Longer than one wait of http_await(). */
    wait_until(http_readable(c), 40000);
    http_await(c, "\n:\n\n");
    parking_publish(server, "alice", "after it");
    http_await(c, "\"after it\"}");
    http_close(c);
    httpd_end(server);
}
END_TEST

/* ---- its end --------------------------------------------------------------- */

START_TEST(it_ends_for_a_new_authorization)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1, .config = "CommServerMaxStream 1\n" });
    http *c = stream(server, "alice");
    http_answer *answer;

    parking_publish(server, "alice", "one");
    answer = http_read(c);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_int_eq(answer->keep_alive, 1);
    ck_assert_ptr_nonnull(strstr(answer->body, "\"one\"}\n\n"));
    ck_assert_ptr_nonnull(strstr(strstr(answer->body, "\"one\"}"), "\nretry: "));
    parking_await(server, 0);
    parking_expect(http_call(c, "GET", "/comm/poll", "alice", NULL, NULL), "one");
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(it_ends_in_time_when_nothing_comes)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1, .config = "CommServerMaxStream 1\n" });
    time_t began = time(NULL);
    http *c = stream(server, "alice");
    http_answer *answer = http_read(c);

    ck_assert_int_eq(answer->status, 200);
    ck_assert_ptr_nonnull(strstr(answer->body, "retry: "));
    ck_assert_int_lt(time(NULL) - began, 20);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(it_ends_when_the_child_does)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2, .tls = 1 });
    http *c = _i ? http_open_tls(server) : http_open(server);
    http_answer *answer;

    open_stream(c, "/comm/poll", "alice", "");
    parking_await(server, 1);
    parking_publish(server, "alice", "one");
    http_await(c, "\"one\"}");
    httpd_graceful(server);
    answer = http_read(c);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_ptr_nonnull(strstr(strstr(answer->body, "\"one\"}"), "\nretry: "));
    ck_assert_int_eq(http_closed(c, 5000), 1);
    http_close(c);
    httpd_end(server);
}
END_TEST

/* What a stream gets that is not held: 200, all that is queued, and its end. */
static void expect_unheld(http_answer *answer)
{
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(http_header(answer, "Content-Type"), "text/event-stream");
    ck_assert_msg(strncmp(answer->body, "retry: ", 7) == 0, "%s", answer->body);
    find_event(answer->body, "queued");
}

START_TEST(where_it_cannot_be_held_it_is_short)
{
    static const httpd_options places[] = {
        { .children = 1, .config = "CommServerMaxParked 0\n" },
        { .children = 1, .config = "CommServerMaxStream 0\n" },
        { .mpm = "worker" },
        { .mpm = "prefork" },
    };
    httpd *server = httpd_start(&places[_i]);

    parking_publish(server, "alice", "queued");
    expect_unheld(poll_json(server, "GET", "alice", EVENTS));
    httpd_end(server);
}
END_TEST

START_TEST(over_http2_it_is_short)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .http2 = 1 });

    parking_publish(server, "alice", "queued");
    expect_unheld(http2_once(server, 0, "GET", "/comm/poll", "alice", EVENTS, NULL));
    httpd_end(server);
}
END_TEST

START_TEST(who_prefers_json_gets_json)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });

    parking_publish(server, "alice", "queued");
    parking_expect(poll_json(server, "GET", "alice",
                             "Accept: application/json, text/event-stream;q=0.5\r\n"),
                   "queued");
    parking_expect(poll_json(server, "GET", "alice", "Accept: */*\r\n"), "queued");
    ck_assert_int_eq(
        poll_json(server, "GET", "alice", EVENTS "Last-Event-ID: x\r\n")->status, 400);
    ck_assert_int_eq(poll_json(server, "GET", NULL, EVENTS)->status, 401);
    httpd_end(server);
}
END_TEST

/* ---- slow readers ----------------------------------------------------------- */

#define LARGE  100000
#define LARGES 100

static void publish_many(const httpd *server, const char *user)
{
    char *text = malloc(LARGE + 1);
    http *c = http_open(server);
    int i;

    memset(text, 'x', LARGE);
    text[LARGE] = '\0';
    for (i = 0; i < LARGES; i++) {
        ck_assert_int_eq(http_call(c, "POST",
                                   support_text("/comm/publish/orders/%s", user),
                                   "backend", "Content-Type: text/plain\r\n", text)
                             ->status,
                         201);
    }
    http_close(c);
    free(text);
}

START_TEST(a_slow_reader_delays_nobody_and_loses_nothing)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .tls = 1 });
    http *slow = _i ? http_open_tls(server) : http_open(server), *quick;
    const char *at;
    int n = 0;

    open_stream(slow, "/comm/poll", "alice", "");
    parking_await(server, 1);
    publish_many(server, "alice");
    quick = stream(server, "bob");
    parking_publish(server, "bob", "meanwhile");
    http_await(quick, "\"meanwhile\"}");
    parking_publish(server, "alice", "the last");
    at = http_await(slow, "\"the last\"}");
    while ((at = strstr(at, "data: {\"id\"")) != NULL) {
        at++;
        n++;
    }
    ck_assert_int_eq(n, LARGES + 1);
    http_close(slow);
    http_close(quick);
    httpd_end(server);
}
END_TEST

START_TEST(of_two_streams_that_are_behind_the_newer_wins)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *older = stream(server, "alice"), *newer;

    parking_await(server, 1);
    publish_many(server, "alice");
    newer = stream(server, "alice");
    http_await(older, "event: commserver:replaced\n");
    parking_publish(server, "alice", "the last");
    http_await(newer, "\"the last\"}");
    http_close(older);
    http_close(newer);
    httpd_end(server);
}
END_TEST

START_TEST(a_reader_that_takes_nothing_is_given_up)
{
    httpd *server =
        httpd_start(&(httpd_options){ .children = 1, .config = "Timeout 1\n" });
    http *slow = stream(server, "alice");

    parking_await(server, 1);
    publish_many(server, "alice");
    parking_await(server, 0);
    http_close(slow);
    httpd_end(server);
}
END_TEST

/* ---- memory ------------------------------------------------------------------ */

static void send_many(const httpd *server, http *c, http *publisher, int n)
{
    const char *last = "";
    int i;

    for (i = 0; i < n; i++) {
        last = support_text("%d of %d", i, n);
        ck_assert_int_eq(http_call(publisher, "POST", "/comm/publish/orders/alice",
                                   "backend", "Content-Type: text/plain\r\n", last)
                             ->status,
                         201);
    }
    last = support_text(
        "Last-Event-ID: %s\r\nPrefer: return=minimal\r\n",
        id_of(find_event(http_await(c, support_text("\"%s\"}", last)), last)));
    ck_assert_int_eq(poll_json(server, "POST", "alice", last)->status, 204);
    http_forget(c);
}

START_TEST(its_memory_does_not_grow)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = stream(server, "alice"), *publisher = http_open(server);
    long before;
    pid_t child;
    int i;

    ck_assert_int_eq(httpd_children(server, &child, 1), 1);
    send_many(server, c, publisher, 2000);
    before = process_memory(child);
    for (i = 0; i < 5; i++) {
        send_many(server, c, publisher, 2000);
    }
    ck_assert_int_lt(process_memory(child) - before, 10000 * 26);
    http_close(c);
    http_close(publisher);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("stream");
    TCase *held = tcase_create("held");
    TCase *end = tcase_create("end");
    TCase *slow = tcase_create("slow");

    support_need_httpd();
    tcase_set_timeout(held, 90);
    tcase_add_loop_test(held, each_message_is_an_event, 0, 4);
    tcase_add_test(held, a_stream_goes_on_behind_its_last_event);
    tcase_add_test(held, events_may_have_the_name_of_their_application);
    tcase_add_test(held, a_gap_is_an_event);
    tcase_add_test(held, a_newer_poll_or_stream_replaces_it);
    tcase_add_test(held, a_silent_stream_has_heartbeats);
    suite_add_tcase(suite, held);
    tcase_set_timeout(end, 60);
    tcase_add_test(end, it_ends_for_a_new_authorization);
    tcase_add_test(end, it_ends_in_time_when_nothing_comes);
    tcase_add_loop_test(end, it_ends_when_the_child_does, 0, 2);
    tcase_add_loop_test(end, where_it_cannot_be_held_it_is_short, 0, 4);
    tcase_add_test(end, over_http2_it_is_short);
    tcase_add_test(end, who_prefers_json_gets_json);
    suite_add_tcase(suite, end);
    tcase_set_timeout(slow, 90);
    tcase_add_loop_test(slow, a_slow_reader_delays_nobody_and_loses_nothing, 0, 2);
    tcase_add_test(slow, of_two_streams_that_are_behind_the_newer_wins);
    tcase_add_test(slow, a_reader_that_takes_nothing_is_given_up);
#ifdef __SANITIZE_THREAD__ /* whose own memory grows with what it watches */
    (void)its_memory_does_not_grow;
#else
    tcase_add_test(slow, its_memory_does_not_grow);
#endif
    suite_add_tcase(suite, slow);
    return support_run(suite);
}
