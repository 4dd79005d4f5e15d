/* SPDX-License-Identifier: Apache-2.0
 * check_agent_library.c - libcommclient with a real agent: what comes, what is
 * settled and published, and an agent that is not there, goes and comes back.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "commclient.h"
#include "uplink.h"

#define WAIT_MS 15000

static commclient *app;
static int sequence;

static void open_app(unsigned window)
{
    ck_assert_int_eq(commclient_open(agent_socket(uplink.agent), "orders", window, &app),
                     COMMCLIENT_OK);
}

static void set_up(void)
{
    uplink_set_up();
    local_close(uplink.app);
    uplink.app = NULL;
    sequence = 0;
    script_expect(uplink.polls);
    open_app(0);
}

static void tear_down(void)
{
    commclient_close(app);
    app = NULL;
    uplink_tear_down();
}

/* To the agent's inbox. */
static void bring(const char *messages)
{
    script_batch(uplink.polls, support_text("e-%d", ++sequence), messages);
    script_expect(uplink.polls);
}

static const commclient_event *next_event(int kind)
{
    const commclient_event *event;
    int status = commclient_next(app, WAIT_MS, &event);

    ck_assert_msg(status == COMMCLIENT_OK, "%s: %s", commclient_text(status),
                  commclient_error(app));
    ck_assert_int_eq(event->kind, kind);
    return event;
}

static void expect_message(const char *id, const char *data)
{
    const commclient_event *event = next_event(COMMCLIENT_MESSAGE);

    ck_assert_str_eq(event->id, id);
    ck_assert_str_eq(event->data, data);
}

static void expect_nothing(void)
{
    const commclient_event *event;

    ck_assert_int_eq(commclient_next(app, 300, &event), COMMCLIENT_NOTHING);
    ck_assert_ptr_null(event);
}

static int inbox_holds(const char *count)
{
    return strcmp(uplink_status("inbox.messages"), count) == 0;
}

/* ---- what comes ------------------------------------------------ */

START_TEST(a_message_comes_with_all_that_is_known_of_it)
{
    const commclient_event *event;

    bring(
        "{\"id\":\"id1\",\"app\":\"orders\",\"from\":\"sh\\u00f6p\","
        "\"time\":\"2026-01-31T12:00:00.123Z\",\"expires\":\"2099-02-01T12:00:00.123Z\","
        "\"type\":\"application/json\",\"topic\":\"t\",\"urgency\":\"high\","
        "\"length\":11,\"data\":{\"n\": 1.50}}");
    event = next_event(COMMCLIENT_MESSAGE);
    ck_assert_str_eq(event->id, "id1");
    ck_assert_str_eq(event->app, "orders");
    ck_assert_str_eq(event->from, "sh\xc3\xb6p");
    ck_assert_str_eq(event->time, "2026-01-31T12:00:00.123Z");
    ck_assert_str_eq(event->expires, "2099-02-01T12:00:00.123Z");
    ck_assert_str_eq(event->type, "application/json");
    ck_assert_str_eq(event->topic, "t");
    ck_assert_str_eq(event->urgency, "high");
    ck_assert_str_eq(event->server, "main");
    ck_assert_uint_eq(event->attempt, 1);
    ck_assert_str_eq(event->data, "{\"n\": 1.50}");
    ck_assert_uint_eq(event->length, 11);
    ck_assert_uint_ge(event->size, sizeof *event);
}
END_TEST

#define DATED                                                                            \
    "\"app\":\"orders\",\"from\":\"x\",\"time\":\"2026-01-31T12:00:00.123Z\","           \
    "\"expires\":\"2099-02-01T12:00:00.123Z\","

START_TEST(text_and_binary_come_as_bytes)
{
    const commclient_event *event;

    bring("{\"id\":\"id1\"," DATED "\"type\":\"text/plain\",\"length\":14,"
          "\"data\":\"a\\n\\\"b\\u00e4\"}");
    bring("{\"id\":\"id2\"," DATED "\"base64\":true,\"length\":6,\"data\":\"AAD/\"}");
    bring("{\"id\":\"id3\"," DATED "\"length\":2,\"data\":\"\"}");
    bring("{\"id\":\"id4\"," DATED "\"type\":\"application/x+json; a=b\",\"length\":8,"
          "\"data\":\"\\ud800\"}");
    expect_message("id1", "a\n\"b\xc3\xa4");
    event = next_event(COMMCLIENT_MESSAGE);
    ck_assert_uint_eq(event->length, 3);
    ck_assert_int_eq(memcmp(event->data, "\0\0\xff", 4), 0);
    ck_assert_ptr_null(event->type);
    event = next_event(COMMCLIENT_MESSAGE);
    ck_assert_uint_eq(event->length, 0);
    ck_assert_str_eq(event->data, "");
    expect_message("id4", "\"\\ud800\"");
}
END_TEST

START_TEST(messages_come_in_order_and_as_many_as_the_window_allows)
{
    int i;

    commclient_close(app);
    open_app(3);
    for (i = 1; i <= 5; i++)
        bring(script_message(support_text("id%d", i), "orders", support_text("%d", i)));
    for (i = 1; i <= 3; i++)
        expect_message(support_text("id%d", i), support_text("%d", i));
    expect_nothing();
    ck_assert_int_eq(commclient_ack(app, "id2"), COMMCLIENT_OK);
    expect_message("id4", "4");
    expect_nothing();
}
END_TEST

START_TEST(a_gap_is_told_and_acknowledged)
{
    const commclient_event *event;

    script_answer(
        uplink.polls, "200 OK", "Content-Type: application/json\r\n",
        "{\"cursor\":\"e-1\",\"messages\":[],\"gap\":{\"apps\":{\"orders\":7}}}");
    script_expect(uplink.polls);
    event = next_event(COMMCLIENT_GAP);
    ck_assert_uint_eq(event->missing, 7);
    ck_assert_ptr_null(event->data);
    ck_assert_int_eq(commclient_ack(app, event->id), COMMCLIENT_OK);
    ck_assert_int_eq(commclient_flush(app, WAIT_MS), COMMCLIENT_OK);
}
END_TEST

START_TEST(an_event_loop_is_told_when_there_is_something)
{
    struct pollfd p = { .fd = commclient_descriptor(app), .events = POLLIN };
    const commclient_event *event;
    int status = COMMCLIENT_NOTHING, woken = 0;

    bring(script_message("id1", "orders", "1"));
    while (status == COMMCLIENT_NOTHING) {
        ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
        status = commclient_next(app, 0, &event);
        woken++;
    }
    ck_assert_int_eq(status, COMMCLIENT_OK);
    ck_assert_str_eq(event->id, "id1");
    ck_assert_int_lt(woken, 10);
    ck_assert_int_eq(commclient_next(app, 0, &event), COMMCLIENT_NOTHING);
    ck_assert_int_eq(poll(&p, 1, 200), 0);
    ck_assert_int_eq(commclient_descriptor(app), p.fd);
}
END_TEST

/* ---- settling ------------------------------------------------ */

START_TEST(what_is_acknowledged_is_gone_and_the_rest_comes_again)
{
    bring(script_message("id1", "orders", "1"));
    bring(script_message("id2", "orders", "2"));
    expect_message("id1", "1");
    expect_message("id2", "2");
    ck_assert_int_eq(commclient_ack(app, "id1"), COMMCLIENT_OK);
    ck_assert_int_eq(commclient_flush(app, WAIT_MS), COMMCLIENT_OK);
    ck_assert(inbox_holds("1"));
    commclient_close(app);
    open_app(0);
    ck_assert_uint_eq(next_event(COMMCLIENT_MESSAGE)->attempt, 2);
    expect_nothing();
}
END_TEST

START_TEST(what_is_put_off_comes_again_and_what_is_rejected_does_not)
{
    bring(script_message("id1", "orders", "1"));
    bring(script_message("id2", "orders", "2"));
    expect_message("id1", "1");
    expect_message("id2", "2");
    ck_assert_int_eq(commclient_nack(app, "id1", 0), COMMCLIENT_OK);
    ck_assert_int_eq(commclient_reject(app, "id2"), COMMCLIENT_OK);
    expect_message("id1", "1");
    ck_assert_int_eq(commclient_nack(app, "id1", 86400), COMMCLIENT_OK);
    ck_assert_int_eq(commclient_flush(app, WAIT_MS), COMMCLIENT_OK);
    expect_nothing();
    ck_assert_str_eq(uplink_status("inbox.dead"), "1");
}
END_TEST

START_TEST(an_id_that_never_was_keeps_nobody_waiting)
{
    ck_assert_int_eq(commclient_ack(app, "never"), COMMCLIENT_OK);
    ck_assert_int_eq(commclient_nack(app, "never", 0), COMMCLIENT_OK);
    ck_assert_int_eq(commclient_flush(app, WAIT_MS), COMMCLIENT_OK);
    ck_assert_str_ne(commclient_error(app), "");
    bring(script_message("id1", "orders", "1"));
    expect_message("id1", "1");
}
END_TEST

/* ---- an agent that is not there ------------------------------------------------- */

START_TEST(an_agent_may_go_and_come_back)
{
    bring(script_message("id1", "orders", "1"));
    bring(script_message("id2", "orders", "2"));
    expect_message("id1", "1");
    ck_assert_int_eq(commclient_connected(app), 1);
    agent_kill(uplink.agent);
    ck_assert_int_eq(commclient_ack(app, "id1"), COMMCLIENT_OK);
    ck_assert_int_eq(commclient_ack(app, "id1"), COMMCLIENT_OK);
    ck_assert_int_eq(commclient_flush(app, 300), COMMCLIENT_NOTHING);
    ck_assert_int_eq(commclient_connected(app), 0);
    ck_assert_str_ne(commclient_error(app), "");
    agent_again(uplink.agent);
    ck_assert_int_eq(commclient_flush(app, WAIT_MS), COMMCLIENT_OK);
    expect_message("id2", "2");
    expect_nothing();
}
END_TEST

START_TEST(an_agent_may_come_later)
{
    const commclient_event *event;

    commclient_close(app);
    agent_stop(uplink.agent);
    open_app(0);
    ck_assert_int_eq(commclient_next(app, 0, &event), COMMCLIENT_NOTHING);
    expect_nothing();
    agent_again(uplink.agent);
    script_expect(uplink.polls);
    bring(script_message("id1", "orders", "1"));
    expect_message("id1", "1");
}
END_TEST

/* ---- publishing ------------------------------------------------ */

static commclient_publication for_bob(const char *data)
{
    static const char *const to[] = { "bob" };
    commclient_publication made = COMMCLIENT_PUBLICATION_INIT;

    made.to = to;
    made.to_count = 1;
    made.data = data;
    made.length = strlen(data);
    return made;
}

START_TEST(what_is_published_reaches_the_server)
{
    commclient_publication order = for_bob("{\"order\":\n13}");
    const commclient_event *event;

    order.ref = "13";
    order.ttl = 60;
    order.topic = "t";
    order.urgency = "low";
    order.receipt = 1;
    ck_assert_int_eq(commclient_publish(app, &order, WAIT_MS), COMMCLIENT_OK);
    script_expect(uplink.server);
    ck_assert_ptr_nonnull(strstr(script_request_line(uplink.server), "/orders/bob"));
    ck_assert_str_eq(script_header(uplink.server, "TTL"), "60");
    ck_assert_str_eq(script_header(uplink.server, "Topic"), "t");
    ck_assert_str_eq(script_header(uplink.server, "Urgency"), "low");
    ck_assert_str_eq(script_body(uplink.server), "{\"order\": 13}");
    uplink_take();
    event = next_event(COMMCLIENT_PUBLISHED);
    ck_assert_str_eq(event->ref, "13");
    ck_assert_str_eq(event->state, "queued");
    ck_assert_uint_eq(strlen(event->id), 22);
}
END_TEST

START_TEST(text_and_bytes_are_published_as_they_are)
{
    commclient_publication said = for_bob("a \"b\"\nc");
    commclient_publication bytes = for_bob("");

    said.type = "text/plain";
    ck_assert_int_eq(commclient_publish(app, &said, WAIT_MS), COMMCLIENT_OK);
    script_expect(uplink.server);
    ck_assert_str_eq(script_body(uplink.server), "a \"b\"\nc");
    uplink_take();
    bytes.type = "application/octet-stream";
    bytes.data = "\0\xff!";
    bytes.length = 3;
    ck_assert_int_eq(commclient_publish(app, &bytes, WAIT_MS), COMMCLIENT_OK);
    script_expect(uplink.server);
    ck_assert_str_eq(script_header(uplink.server, "Content-Length"), "3");
    ck_assert_int_eq(memcmp(script_body(uplink.server), "\0\xff!", 3), 0);
    uplink_take();
    expect_nothing();
}
END_TEST

/* What was given stays until the next is asked for, whatever comes meanwhile. */
START_TEST(an_event_outlives_a_publication_and_a_flush)
{
    commclient_publication answer = for_bob("1");
    const commclient_event *event;

    bring(script_message("id1", "orders", "\"the first\""));
    event = next_event(COMMCLIENT_MESSAGE);
    bring(script_message("id2", "orders", "\"another that is longer\""));
    answer.ref = "answer";
    ck_assert_int_eq(commclient_publish(app, &answer, WAIT_MS), COMMCLIENT_OK);
    ck_assert_str_eq(event->id, "id1");
    ck_assert_str_eq(event->data, "the first");
    script_expect(uplink.server);
    uplink_take();
    ck_assert_int_eq(commclient_ack(app, event->id), COMMCLIENT_OK);
    ck_assert_int_eq(commclient_flush(app, WAIT_MS), COMMCLIENT_OK);
    expect_message("id2", "another that is longer");
    event = next_event(COMMCLIENT_PUBLISHED);
    bring(script_message("id3", "orders", "3"));
    ck_assert_int_eq(commclient_ack(app, "id2"), COMMCLIENT_OK);
    ck_assert_int_eq(commclient_flush(app, WAIT_MS), COMMCLIENT_OK);
    ck_assert_str_eq(event->ref, "answer");
    ck_assert_str_eq(event->state, "queued");
}
END_TEST

START_TEST(what_the_server_refuses_is_told_by_its_ref)
{
    commclient_publication order = for_bob("1");
    const commclient_event *event;

    order.ref = "late";
    ck_assert_int_eq(commclient_publish(app, &order, WAIT_MS), COMMCLIENT_OK);
    script_expect(uplink.server);
    uplink_refuse("422 Unprocessable Content", "", "policy");
    event = next_event(COMMCLIENT_FAILED);
    ck_assert_str_eq(event->ref, "late");
    ck_assert_str_ne(event->text, "");
}
END_TEST

START_TEST(what_cannot_be_published_is_refused)
{
    static const char *const nobody[] = { "a/b/c" };
    commclient_publication p = for_bob("{");

    ck_assert_int_eq(commclient_publish(app, &p, WAIT_MS), COMMCLIENT_BAD_DATA);
    p = for_bob("1");
    p.to = nobody;
    ck_assert_int_eq(commclient_publish(app, &p, WAIT_MS), COMMCLIENT_REFUSED);
    ck_assert_str_ne(commclient_error(app), "");
    p = for_bob("1");
    p.urgency = "very";
    ck_assert_int_eq(commclient_publish(app, &p, WAIT_MS), COMMCLIENT_REFUSED);
    p = for_bob("1");
    p.group = "night";
    ck_assert_int_eq(commclient_publish(app, &p, WAIT_MS), COMMCLIENT_BAD_ARGUMENT);
    p = for_bob("1");
    p.ref = "cl-1";
    ck_assert_int_eq(commclient_publish(app, &p, WAIT_MS), COMMCLIENT_BAD_ARGUMENT);
    p = for_bob("1");
    p.size = 8;
    ck_assert_int_eq(commclient_publish(app, &p, WAIT_MS), COMMCLIENT_BAD_ARGUMENT);
    agent_stop(uplink.agent);
    p = for_bob("1");
    ck_assert_int_eq(commclient_publish(app, &p, 200), COMMCLIENT_NO_AGENT);
    agent_again(uplink.agent);
}
END_TEST

/* ---- misuse ------------------------------------------------ */

START_TEST(bad_arguments_are_refused)
{
    const commclient_event *event;
    commclient *none;

    ck_assert_int_eq(commclient_open(NULL, "-x", 0, &none), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_ptr_null(none);
    ck_assert_int_eq(commclient_open(NULL, "x", 10001, &none), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_int_eq(commclient_open(NULL, "x", 0, NULL), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_int_eq(commclient_next(NULL, 0, &event), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_int_eq(commclient_next(app, 0, NULL), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_int_eq(commclient_next(app, -2, &event), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_int_eq(commclient_ack(app, NULL), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_int_eq(commclient_ack(app, ""), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_int_eq(commclient_ack(app, "a\"b"), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_int_eq(commclient_nack(app, "a", 86401), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_int_eq(commclient_flush(NULL, 0), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_int_eq(commclient_publish(app, NULL, 0), COMMCLIENT_BAD_ARGUMENT);
    ck_assert_int_eq(commclient_descriptor(NULL), -1);
    ck_assert_int_eq(commclient_connected(NULL), 0);
    ck_assert_str_eq(commclient_error(NULL), "");
    ck_assert_str_eq(commclient_text(99), "unknown status");
    ck_assert_str_eq(commclient_text(COMMCLIENT_OK), "done");
    ck_assert_int_eq(commclient_version(), COMMCLIENT_VERSION);
    commclient_close(NULL);
}
END_TEST

/* ---- an agent that is none ------------------------------------------------ */

#define HELLO "{\"hello\":{\"protocol\":1,\"max_line\":1000}}\n"

static int listen_as_agent(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s/none",
             agent_directory(uplink.agent));
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    commclient_close(app);
    ck_assert_int_eq(commclient_open(address.sun_path, "orders", 0, &app), COMMCLIENT_OK);
    return fd;
}

/* The library works only within its calls. */
static int accept_app(int listener)
{
    struct pollfd p = { .fd = listener, .events = POLLIN };
    const commclient_event *event;
    long long end = process_now_ms() + WAIT_MS;

    while (poll(&p, 1, 0) == 0 && process_now_ms() < end)
        ck_assert_int_ne(commclient_next(app, 20, &event), COMMCLIENT_OK);
    return accept4(listener, NULL, NULL, SOCK_CLOEXEC);
}

static const char *const nonsense[] = {
    "no JSON\n",
    "[]\n",
    "{\"message\":1}\n",
    "{\"message\":{\"app\":\"orders\",\"data\":1}}\n",
    "{\"message\":{\"id\":\"x\",\"app\":\"orders\"}}\n",
    "{\"message\":{\"id\":\"x\",\"app\":7,\"data\":1}}\n",
    "{\"message\":{\"id\":\"\\ud800\",\"data\":1}}\n",
    "{\"gap\":[]}\n",
    "{\"acked\":{}}\n",
    "{\"error\":\"x\"}\n",
    "{\"hello\":{\"max_line\":-1}}\n",
    "\0\n",
};
#define NONSENSE ((int)(sizeof nonsense / sizeof *nonsense))

START_TEST(who_speaks_nonsense_is_left_and_tried_again)
{
    int listener = listen_as_agent(), one = accept_app(listener), other;
    const commclient_event *event;
    char byte;

    ck_assert_int_eq(write(one, HELLO, strlen(HELLO)), (int)strlen(HELLO));
    ck_assert_int_eq(write(one, nonsense[_i], strlen(nonsense[_i]) + !*nonsense[_i]),
                     (int)strlen(nonsense[_i]) + !*nonsense[_i]);
    if (!*nonsense[_i])
        ck_assert_int_eq(write(one, "\n", 1), 1);
    other = accept_app(listener);
    ck_assert_ptr_nonnull(strstr(commclient_error(app), "protocol"));
    while (read(one, &byte, 1) == 1) {
    }
    ck_assert_int_eq(write(other, HELLO, strlen(HELLO)), (int)strlen(HELLO));
    ck_assert_int_eq(commclient_next(app, 50, &event), COMMCLIENT_NOTHING);
    ck_assert_int_eq(commclient_connected(app), 1);
    close(one);
    close(other);
    close(listener);
}
END_TEST

START_TEST(what_is_longer_than_the_agent_takes_is_refused)
{
    int listener = listen_as_agent(), one = accept_app(listener);
    static char longer[1002];
    commclient_publication p;

    memset(longer, '1', sizeof longer - 1);
    p = for_bob(longer);
    ck_assert_int_eq(write(one, HELLO, strlen(HELLO)), (int)strlen(HELLO));
    ck_assert_int_eq(commclient_publish(app, &p, WAIT_MS), COMMCLIENT_REFUSED);
    ck_assert_ptr_nonnull(strstr(commclient_error(app), "1000"));
    p = for_bob("1");
    ck_assert_int_eq(commclient_publish(app, &p, 50), COMMCLIENT_NOTHING);
    close(one);
    ck_assert_int_eq(commclient_publish(app, &p, 50), COMMCLIENT_NO_AGENT);
    close(listener);
}
END_TEST

START_TEST(a_path_that_is_no_socket_is_told)
{
    const commclient_event *event;
    char path[200];

    commclient_close(app);
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    ck_assert_int_eq(commclient_open(path, "orders", 0, &app), COMMCLIENT_OK);
    ck_assert_int_eq(commclient_next(app, 50, &event), COMMCLIENT_NOTHING);
    ck_assert_ptr_nonnull(strstr(commclient_error(app), strerror(ENAMETOOLONG)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent_library");
    TCase *tc = tcase_create("library");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_message_comes_with_all_that_is_known_of_it);
    tcase_add_test(tc, text_and_binary_come_as_bytes);
    tcase_add_test(tc, messages_come_in_order_and_as_many_as_the_window_allows);
    tcase_add_test(tc, a_gap_is_told_and_acknowledged);
    tcase_add_test(tc, an_event_loop_is_told_when_there_is_something);
    tcase_add_test(tc, what_is_acknowledged_is_gone_and_the_rest_comes_again);
    tcase_add_test(tc, what_is_put_off_comes_again_and_what_is_rejected_does_not);
    tcase_add_test(tc, an_id_that_never_was_keeps_nobody_waiting);
    tcase_add_test(tc, an_agent_may_go_and_come_back);
    tcase_add_test(tc, an_agent_may_come_later);
    tcase_add_test(tc, what_is_published_reaches_the_server);
    tcase_add_test(tc, text_and_bytes_are_published_as_they_are);
    tcase_add_test(tc, an_event_outlives_a_publication_and_a_flush);
    tcase_add_test(tc, what_the_server_refuses_is_told_by_its_ref);
    tcase_add_test(tc, what_cannot_be_published_is_refused);
    tcase_add_test(tc, bad_arguments_are_refused);
    tcase_add_loop_test(tc, who_speaks_nonsense_is_left_and_tried_again, 0, NONSENSE);
    tcase_add_test(tc, what_is_longer_than_the_agent_takes_is_refused);
    tcase_add_test(tc, a_path_that_is_no_socket_is_told);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
