/* SPDX-License-Identifier: Apache-2.0
 * check_message.c - what became of a message, over HTTP: states, waiting for
 * them, taking a message back.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "parking.h"

#define MESSAGES "/comm/publish/orders/-/messages/"

static const char *const mpms[] = { "event", "worker", "prefork" };

/* As many as tests hold may block a thread. */
static httpd *start_on(const char *mpm)
{
    return httpd_start(&(httpd_options){ .mpm = mpm,
                                         .http2 = !mpm || strcmp(mpm, "prefork") != 0,
                                         .config = "CommServerBlockingPolls 6\n" });
}

static httpd *start_one(const char *config)
{
    return httpd_start(&(httpd_options){ .children = 1, .config = config });
}

/* @return the id; it lives until the 128th next call */
static const char *publish_with(const httpd *server, const char *to, const char *headers)
{
    static char ids[128][32];
    static unsigned next;
    http_answer *answer = http_once(server, "POST", support_text("/comm/publish/%s", to),
                                    "backend", headers, "hello");

    ck_assert_msg(answer->status == 201, "publish: %d %s", answer->status, answer->body);
    return strcpy(ids[next++ % 128], support_json(answer->body, "id"));
}

static const char *publish(const httpd *server)
{
    return publish_with(server, "orders/alice", NULL);
}

static http_answer *ask(const httpd *server, const char *method, const char *id,
                        const char *headers)
{
    return http_once(server, method, support_text(MESSAGES "%s", id), "backend", headers,
                     NULL);
}

static const char *state(const httpd *server, const char *id)
{
    http_answer *answer = ask(server, "GET", id, NULL);

    ck_assert_msg(answer->status == 200, "%d %s", answer->status, answer->body);
    ck_assert_str_eq(support_json(answer->body, "id"), id);
    return support_json(answer->body, "state");
}

static void expect_problem(const http_answer *answer, int status, const char *type)
{
    ck_assert_msg(answer->status == status, "%d, not %d: %s", answer->status, status,
                  answer->body);
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/problem+json");
    ck_assert_str_eq(support_json(answer->body, "type"), type);
}

/* alice reads. @return her cursor */
static const char *hand_out(const httpd *server)
{
    http_answer *answer = http_once(server, "GET", "/comm/poll", "alice", NULL, NULL);

    ck_assert_int_eq(answer->status, 200);
    return support_json(answer->body, "cursor");
}

static void receive(const httpd *server, const char *cursor)
{
    http_answer *answer =
        http_once(server, "POST", support_text("/comm/poll?after=%s", cursor), "alice",
                  "Prefer: return=minimal\r\n", NULL);

    ck_assert_int_eq(answer->status, 204);
}

static http *hold(const httpd *server, const char *id, const char *query)
{
    http *c = http_open(server);

    http_ask(c, "GET", support_text(MESSAGES "%s%s", id, query), "backend", WAIT_LONG,
             NULL);
    return c;
}

static const char *state_of(const http_answer *answer)
{
    ck_assert_msg(answer->status == 200, "%d %s", answer->status, answer->body);
    return support_json(answer->body, "state");
}

/* ---- states: 0 from queued, 1 from handed-out ------------------------------- */

START_TEST(from_queued_to_received)
{
    httpd *server = start_on("event");
    const char *id = publish(server), *cursor;
    http_answer *answer = ask(server, "GET", id, NULL);

    ck_assert_str_eq(
        answer->body,
        support_text("{\"id\":\"%s\",\"state\":\"queued\",\"changes\":0}", id));
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/json");
    ck_assert_str_eq(http_header(answer, "Cache-Control"), "no-store");
    ck_assert_ptr_null(http_header(answer, "Preference-Applied"));
    cursor = hand_out(server);
    ck_assert_str_eq(state(server, id), "handed-out");
    receive(server, cursor);
    ck_assert_str_eq(state(server, id), "received");
    httpd_end(server);
}
END_TEST

START_TEST(a_message_expires)
{
    httpd *server = start_one(NULL);
    const char *id = publish_with(server, "orders/alice", "TTL: 2\r\n");
    http *c;

    if (_i)
        hand_out(server);
    c = hold(server, id, "");
    ck_assert_str_eq(state_of(http_read(c)), "expired");
    expect_problem(ask(server, "DELETE", id, NULL), 410, "finished");
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_full_queue_drops_it)
{
    httpd *server = start_one("CommServerOverflow drop-oldest\nCommServerMaxQueue 1\n");
    const char *id = publish(server);
    http *c;

    if (_i)
        hand_out(server);
    c = hold(server, id, "");
    parking_await(server, 1);
    publish(server);
    ck_assert_str_eq(state_of(http_read(c)), "dropped");
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_topic_replaces_it)
{
    httpd *server = start_one(NULL);
    const char *id = publish_with(server, "orders/alice", "Topic: price\r\n"), *newer;
    http *c;

    if (_i)
        hand_out(server);
    c = hold(server, id, "");
    parking_await(server, 1);
    newer = publish_with(server, "orders/alice", "Topic: price\r\n");
    ck_assert_str_eq(state_of(http_read(c)), "replaced");
    ck_assert_str_eq(state(server, newer), "queued");
    expect_problem(ask(server, "DELETE", id, NULL), 410, "finished");
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_message_for_now_and_nobody_is_dropped)
{
    httpd *server = start_one(NULL);
    http_answer *answer = http_once(server, "POST", "/comm/publish/orders/alice",
                                    "backend", "TTL: 0\r\n", "now");

    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(support_json(answer->body, "state"), "dropped");
    ck_assert_str_eq(state_of(http_once(server, "GET", http_header(answer, "Location"),
                                        "backend", WAIT_LONG, NULL)),
                     "dropped");
    httpd_end(server);
}
END_TEST

START_TEST(of_several_the_least_that_is_open_counts)
{
    httpd *server = start_one(NULL);
    const char *id, *cursor;
    http_answer *answer;

    id = publish_with(server, "orders?to=alice&to=bob&to=carol", NULL);
    cursor = hand_out(server);
    answer = ask(server, "GET", id, NULL);
    ck_assert_str_eq(state_of(answer), "queued");
    ck_assert_str_eq(support_json(answer->body, "queues"), "3");
    ck_assert_str_eq(support_json(answer->body, "queued"), "2");
    ck_assert_str_eq(support_json(answer->body, "handed_out"), "1");
    ck_assert_ptr_null(support_json(answer->body, "received"));
    receive(server, cursor);
    http_once(server, "GET", "/comm/poll", "bob", NULL, NULL);
    http_once(server, "GET", "/comm/poll", "carol", NULL, NULL);
    ck_assert_str_eq(state(server, id), "handed-out");
    /* What has arrived cannot be taken back, the rest can. */
    answer = ask(server, "DELETE", id, NULL);
    ck_assert_str_eq(state_of(answer), "withdrawn");
    ck_assert_str_eq(support_json(answer->body, "withdrawn"), "2");
    ck_assert_int_eq(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL)->status,
                     204);
    httpd_end(server);
}
END_TEST

/* ---- waiting ------------------------------------------------------------------- */

START_TEST(a_question_is_held_until_something_changes)
{
    httpd *server = start_on(mpms[_i]);
    const char *id = publish(server), *cursor;
    http *c = hold(server, id, "");
    http_answer *answer;

    parking_await(server, 1);
    cursor = hand_out(server);
    answer = http_read(c);
    ck_assert_str_eq(state_of(answer), "handed-out");
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "wait=40");
    /* The same connection, again. */
    http_ask(c, "GET", support_text(MESSAGES "%s", id), "backend", WAIT_LONG, NULL);
    parking_await(server, 1);
    receive(server, cursor);
    ck_assert_str_eq(state_of(http_read(c)), "received");
    /* Nothing will change any more. */
    http_ask(c, "GET", support_text(MESSAGES "%s", id), "backend", WAIT_LONG, NULL);
    ck_assert_str_eq(state_of(http_read(c)), "received");
    parking_await(server, 0);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(no_change_is_missed_between_two_questions)
{
    httpd *server = start_one("CommServerMaxWait 1\n");
    const char *id = publish(server), *changes;
    http_answer *answer = ask(server, "GET", id, NULL);

    changes = support_json(answer->body, "changes");
    /* Nothing has changed: all of what is granted. */
    answer = http_once(server, "GET",
                       support_text(MESSAGES "%s?changes=%s&wait=40", id, changes),
                       "backend", NULL, NULL);
    ck_assert_str_eq(state_of(answer), "queued");
    ck_assert_str_eq(support_json(answer->body, "changes"), changes);
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "wait=1");
    hand_out(server);
    answer = http_once(server, "GET", support_text(MESSAGES "%s?changes=%s", id, changes),
                       "backend", WAIT_LONG, NULL);
    ck_assert_str_eq(state_of(answer), "handed-out");
    ck_assert_str_ne(support_json(answer->body, "changes"), changes);
    httpd_end(server);
}
END_TEST

/* A child reads once the question of its parent is held. */
static pid_t hand_out_when_held(const httpd *server)
{
    pid_t pid = fork();

    if (pid == 0) {
        parking_await(server, 1);
        hand_out(server);
        _exit(0);
    }
    return pid;
}

START_TEST(a_question_is_held_over_http2)
{
    httpd *server = start_on("event");
    const char *id = publish(server);
    pid_t pid = hand_out_when_held(server);
    int status;
    http_answer *answer = http2_once(
        server, 0, "GET", support_text(MESSAGES "%s?wait=20", id), "backend", NULL, NULL);

    ck_assert_str_eq(state_of(answer), "handed-out");
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    answer = http2_once(server, 0, "DELETE", support_text(MESSAGES "%s", id), "backend",
                        NULL, NULL);
    ck_assert_str_eq(state_of(answer), "withdrawn");
    httpd_end(server);
}
END_TEST

START_TEST(a_newer_question_takes_the_place_of_the_older)
{
    httpd *server = start_on(mpms[_i]);
    const char *id = publish(server);
    http *older = hold(server, id, ""), *newer;
    int i;

    for (i = 0; i < 3; i++) {
        parking_await(server, 1);
        newer = hold(server, id, "");
        ck_assert_str_eq(state_of(http_read(older)), "queued");
        http_close(older);
        older = newer;
    }
    parking_await(server, 1);
    hand_out(server);
    ck_assert_str_eq(state_of(http_read(older)), "handed-out");
    http_close(older);
    httpd_end(server);
}
END_TEST

START_TEST(who_asked_may_go_away)
{
    httpd *server = start_one(NULL);
    const char *id = publish(server);
    http *c = hold(server, id, "");

    parking_await(server, 1);
    http_close(c);
    parking_await(server, 0);
    hand_out(server);
    c = hold(server, id, "");
    parking_await(server, 1);
    http_reset(c);
    parking_await(server, 0);
    ck_assert_int_eq(ask(server, "DELETE", id, NULL)->status, 200);
    httpd_end(server);
}
END_TEST

START_TEST(a_restart_answers_with_the_present_state)
{
    httpd *server = start_one(NULL);
    const char *id = publish(server);
    http *c = hold(server, id, "");
    http_answer *answer;

    parking_await(server, 1);
    httpd_graceful(server);
    answer = http_read(c);
    ck_assert_str_eq(state_of(answer), "queued");
    ck_assert_str_eq(http_header(answer, "Connection"), "close");
    ck_assert_ptr_nonnull(http_header(answer, "Retry-After"));
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(where_it_cannot_be_held_it_is_answered_at_once)
{
    static const httpd_options places[] = {
        { .children = 1, .config = "CommServerMaxParked 0\n" },
        { .mpm = "worker", .children = 1, .config = "CommServerBlockingPolls 0\n" },
    };
    httpd *server = httpd_start(&places[_i]);
    http_answer *answer = ask(server, "GET", publish(server), WAIT_LONG);

    ck_assert_str_eq(state_of(answer), "queued");
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "wait=0");
    ck_assert_ptr_nonnull(http_header(answer, "Retry-After"));
    httpd_end(server);
}
END_TEST

START_TEST(polls_publishes_and_questions_share_a_connection)
{
    httpd *server = start_one(NULL);
    http *c = parking_adopt(server);
    int i;

    for (i = 0; i < 20; i++) {
        http_answer *answer =
            http_call(c, "POST", "/comm/publish/orders/alice", "backend", NULL, "x");
        const char *id = support_json(answer->body, "id");

        http_ask(c, "GET", support_text(MESSAGES "%s", id), "backend", WAIT_LONG, NULL);
        parking_await(server, 1);
        hand_out(server);
        ck_assert_str_eq(state_of(http_read(c)), "handed-out");
        answer = http_call(c, "DELETE", support_text(MESSAGES "%s", id), "backend", NULL,
                           NULL);
        ck_assert_str_eq(state_of(answer), "withdrawn");
        answer = http_call(c, "GET", "/comm/poll", "alice", "Prefer: wait=0\r\n", NULL);
        ck_assert_int_eq(answer->status, 204);
    }
    http_close(c);
    httpd_end(server);
}
END_TEST

/* ---- taking back ----------------------------------------------------------------- */

START_TEST(what_nobody_has_seen_leaves_no_trace)
{
    httpd *server = start_one(NULL);
    const char *id = publish(server);
    http_answer *answer = ask(server, "DELETE", id, NULL);

    ck_assert_int_eq(answer->status, 204);
    ck_assert_ptr_null(http_header(answer, "Content-Type"));
    ck_assert_int_eq(http_once(server, "GET", "/comm/poll", "alice", NULL, NULL)->status,
                     204);
    ck_assert_str_eq(state(server, id), "withdrawn");
    answer = ask(server, "DELETE", id, NULL);
    expect_problem(answer, 410, "finished");
    ck_assert_str_eq(support_json(answer->body, "detail"), "its state is withdrawn");
    httpd_end(server);
}
END_TEST

START_TEST(what_was_handed_out_is_removed_and_said_to_be_seen)
{
    httpd *server = start_one(NULL);
    const char *id = publish(server), *cursor = hand_out(server);
    http_answer *answer = ask(server, "DELETE", id, NULL);

    ck_assert_str_eq(state_of(answer), "withdrawn");
    answer = http_once(server, "GET", "/comm/poll", "alice", NULL, NULL);
    ck_assert_int_eq(answer->status, 204);
    answer = http_once(server, "POST", support_text("/comm/poll?after=%s", cursor),
                       "alice", NULL, NULL);
    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(state(server, id), "withdrawn");
    httpd_end(server);
}
END_TEST

START_TEST(what_was_received_cannot_be_taken_back)
{
    httpd *server = start_one(NULL);
    const char *id = publish(server);
    http_answer *answer;

    receive(server, hand_out(server));
    answer = ask(server, "DELETE", id, NULL);
    expect_problem(answer, 410, "finished");
    ck_assert_str_eq(support_json(answer->body, "detail"), "its state is received");
    httpd_end(server);
}
END_TEST

START_TEST(only_its_sender_takes_a_message_back)
{
    httpd *server = start_one(NULL);
    const char *id = publish(server);
    http_answer *answer =
        http_once(server, "DELETE", support_text(MESSAGES "%s", id), "bob", NULL, NULL);

    expect_problem(answer, 404, "unknown-message");
    /* Who may publish for the application may look. */
    ck_assert_str_eq(state_of(http_once(server, "GET", support_text(MESSAGES "%s", id),
                                        "bob", NULL, NULL)),
                     "queued");
    parking_expect(http_once(server, "GET", "/comm/poll", "alice", NULL, NULL), "hello");
    ck_assert_int_eq(
        http_once(server, "GET", support_text(MESSAGES "%s", id), NULL, NULL, NULL)
            ->status,
        401);
    httpd_end(server);
}
END_TEST

START_TEST(a_waiting_question_hears_that_it_was_taken_back)
{
    httpd *server = start_one(NULL);
    const char *id = publish(server);
    http *c = hold(server, id, "");

    parking_await(server, 1);
    ck_assert_int_eq(ask(server, "DELETE", id, NULL)->status, 204);
    ck_assert_str_eq(state_of(http_read(c)), "withdrawn");
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(pages_of_allowed_origins_may_take_back)
{
    httpd *server = start_one("<Location \"/comm/publish\">\n"
                              "    CommServerAllowOrigin https://app.example\n"
                              "</Location>\n");
    const char *id = publish(server);
    http_answer *answer =
        http_once(server, "OPTIONS", support_text(MESSAGES "%s", id), NULL,
                  "Origin: https://app.example\r\n"
                  "Access-Control-Request-Method: DELETE\r\n",
                  NULL);

    ck_assert_int_eq(answer->status, 204);
    ck_assert_ptr_nonnull(
        strstr(http_header(answer, "Access-Control-Allow-Methods"), "DELETE"));
    answer = ask(server, "DELETE", id, "Origin: https://evil.example\r\n");
    expect_problem(answer, 403, "origin");
    answer = ask(server, "DELETE", id, "Origin: https://app.example\r\n");
    ck_assert_int_eq(answer->status, 204);
    httpd_end(server);
}
END_TEST

/* ---- bad input --------------------------------------------------------------------- */

START_TEST(what_is_not_known_is_404)
{
    static const char *const methods[] = { "GET", "DELETE" };
    httpd *server = start_one(NULL);
    const char *id = publish(server);
    int i;

    for (i = 0; i < 2; i++) {
        expect_problem(ask(server, methods[i], "qJhM5wVYQ0C0b1cTnC9g8A", NULL), 404,
                       "unknown-message");
        expect_problem(http_once(server, methods[i],
                                 support_text("/comm/publish/news/-/messages/%s", id),
                                 "backend", NULL, NULL),
                       404, "unknown-message");
    }
    expect_problem(ask(server, "GET", "qJhM5wVYQ0C0b1cTnC9g8A", WAIT_LONG), 404,
                   "unknown-message");
    parking_await(server, 0);
    ck_assert_str_eq(state(server, id), "queued");
    httpd_end(server);
}
END_TEST

START_TEST(a_malformed_question_is_400)
{
    static const char *const queries[] = { "?wait=-1",
                                           "?wait=x",
                                           "?changes=",
                                           "?changes=-1",
                                           "?changes=1x",
                                           "?changes=4294967296",
                                           "?changes=1&changes=1",
                                           "?wait=1&wait=2" };
    static const char *const ids[] = { "x", "", "AAAAAAAAAAAAAAAAAAAAAB",
                                       "AAAAAAAAAAAAAAAAAAAAAA/x" };
    httpd *server = start_one(NULL);
    const char *id = publish(server);
    size_t i;

    for (i = 0; i < sizeof(queries) / sizeof(*queries); i++)
        expect_problem(ask(server, "GET", support_text("%s%s", id, queries[i]), NULL),
                       400, "malformed");
    for (i = 0; i < sizeof(ids) / sizeof(*ids); i++)
        expect_problem(ask(server, "GET", ids[i], NULL), 400, "malformed");
    expect_problem(ask(server, "GET", id, "Prefer: wait=-5\r\n"), 400, "malformed");
    expect_problem(http_once(server, "DELETE", support_text(MESSAGES "%s", id), "backend",
                             NULL, "a body"),
                   400, "malformed");
    ck_assert_str_eq(state(server, id), "queued");
    httpd_end(server);
}
END_TEST

START_TEST(other_methods_are_refused_and_head_is_short)
{
    httpd *server = start_one(NULL);
    const char *id = publish(server);
    http *c = http_open(server);
    http_answer *answer = ask(server, "OPTIONS", id, NULL);

    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(http_header(answer, "Allow"), "GET, HEAD, DELETE, OPTIONS");
    answer = ask(server, "PUT", id, NULL);
    expect_problem(answer, 405, "method");
    ck_assert_str_eq(http_header(answer, "Allow"), "GET, HEAD, DELETE, OPTIONS");
    expect_problem(ask(server, "POST", id, NULL), 405, "method");
    http_ask(c, "HEAD", support_text(MESSAGES "%s?wait=40", id), "backend", NULL, NULL);
    answer = http_read_head(c);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_int_gt(atoi(http_header(answer, "Content-Length")), 40);
    http_close(c);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("message");
    TCase *states = tcase_create("states"), *waiting = tcase_create("waiting");
    TCase *back = tcase_create("back"), *bad = tcase_create("bad");

    support_need_httpd();
    tcase_set_timeout(states, 60);
    tcase_add_test(states, from_queued_to_received);
    tcase_add_loop_test(states, a_message_expires, 0, 2);
    tcase_add_loop_test(states, a_full_queue_drops_it, 0, 2);
    tcase_add_loop_test(states, a_topic_replaces_it, 0, 2);
    tcase_add_test(states, a_message_for_now_and_nobody_is_dropped);
    tcase_add_test(states, of_several_the_least_that_is_open_counts);
    suite_add_tcase(suite, states);
    tcase_set_timeout(waiting, 90);
    tcase_add_loop_test(waiting, a_question_is_held_until_something_changes, 0, 3);
    tcase_add_test(waiting, no_change_is_missed_between_two_questions);
    tcase_add_test(waiting, a_question_is_held_over_http2);
    tcase_add_loop_test(waiting, a_newer_question_takes_the_place_of_the_older, 0, 3);
    tcase_add_test(waiting, who_asked_may_go_away);
    tcase_add_test(waiting, a_restart_answers_with_the_present_state);
    tcase_add_loop_test(waiting, where_it_cannot_be_held_it_is_answered_at_once, 0, 2);
    tcase_add_test(waiting, polls_publishes_and_questions_share_a_connection);
    suite_add_tcase(suite, waiting);
    tcase_set_timeout(back, 60);
    tcase_add_test(back, what_nobody_has_seen_leaves_no_trace);
    tcase_add_test(back, what_was_handed_out_is_removed_and_said_to_be_seen);
    tcase_add_test(back, what_was_received_cannot_be_taken_back);
    tcase_add_test(back, only_its_sender_takes_a_message_back);
    tcase_add_test(back, pages_of_allowed_origins_may_take_back);
    tcase_add_test(back, a_waiting_question_hears_that_it_was_taken_back);
    suite_add_tcase(suite, back);
    tcase_set_timeout(bad, 60);
    tcase_add_test(bad, what_is_not_known_is_404);
    tcase_add_test(bad, a_malformed_question_is_400);
    tcase_add_test(bad, other_methods_are_refused_and_head_is_short);
    suite_add_tcase(suite, bad);
    return support_run(suite);
}
