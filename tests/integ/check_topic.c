/* SPDX-License-Identifier: Apache-2.0
 * check_topic.c - Topic, Urgency, TTL: 0 and Prefer of a publish (RFC 8030).
 *
 * One httpd for all tests of a case; each test has clients of its own.
 */
#include "publishing.h"

static httpd *server;

static void start_as(const char *mpm)
{
    server = httpd_start(
        &(httpd_options){ .mpm = mpm,
                          .users = "t1\nt2\nt3\nt4\nu1\nu2\nn1\nn2\nn3\nr1\nl1\nl2\nl3\n",
                          .config = "CommServerMaxQueue 2\n"
                                    "CommServerMaxWait 20\n"
                                    "<Location \"/comm/publish/other\">\n"
                                    "    CommServerSender other\n"
                                    "</Location>\n" });
}

static void start_event(void)
{
    start_as("event");
}

static void start_prefork(void)
{
    start_as("prefork");
}

static void end(void)
{
    httpd_end(server);
}

static http_answer *post(const char *path, const char *headers, const char *body)
{
    return publishing_post(server, path, headers, body);
}

/* ---- Topic --------------------------------------------------------------- */

START_TEST(a_topic_keeps_the_newest_only)
{
    const char *batch;

    publishing_queue(server, "/orders/t1", "Topic: weather\r\n", "one");
    publishing_queue(server, "/orders/t1", NULL, "between");
    /* The queue is full, but what goes makes room. */
    publishing_queue(server, "/orders/t1", "Topic: weather\r\n", "two");
    publishing_expect(server, "t1", NULL, "between two");
    batch = publishing_waiting(server, "t1", NULL);
    ck_assert_str_eq(support_json(batch, "messages.1.topic"), "weather");
    ck_assert_ptr_null(support_json(batch, "messages.0.topic"));
    ck_assert_ptr_null(support_json(batch, "gap"));
}
END_TEST

START_TEST(a_topic_belongs_to_application_and_sender)
{
    publishing_queue(server, "/orders/t2", "Topic: a\r\n", "one");
    publishing_queue(server, "/news/t2", "Topic: a\r\n", "two");
    publishing_forget(server, "t2", NULL);
    publishing_queue(server, "/other/t2", "Topic: a\r\n", "three");
    publishing_queue(server, "/other/t2", "Topic: A\r\n", "four");
    publishing_queue(server, "/other/t2", "Topic: a\r\n", "five");
    publishing_expect(server, "t2", NULL, "four five");
}
END_TEST

START_TEST(what_was_handed_out_is_replaced_behind_the_cursor)
{
    const char *cursor, *batch;
    http_answer *answer;

    publishing_queue(server, "/orders/t3", "Topic: a\r\n", "one");
    batch = publishing_waiting(server, "t3", NULL);
    cursor = support_json(batch, "cursor");
    publishing_queue(server, "/orders/t3", "Topic: a\r\n", "two");
    answer = http_once(server, "POST", support_text("/comm/poll?after=%s", cursor), "t3",
                       NULL, NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "two");
    ck_assert_ptr_null(support_json(answer->body, "messages.1"));
    ck_assert_ptr_null(support_json(answer->body, "gap"));
}
END_TEST

static const char *const bad_fields[] = {
    "Topic: \r\n",
    "Topic: a b\r\n",
    "Topic: a\r\nTopic: b\r\n",
    "Topic: a/b\r\n",
    "Topic: a=\r\n",
    "Topic: j\303\274\r\n",
    "Topic: 123456789012345678901234567890123\r\n",
    "Urgency: \r\n",
    "Urgency: urgent\r\n",
    "Urgency: 1\r\n",
    "Urgency: low, high\r\n",
    "Urgency: low\r\nUrgency: low\r\n",
    "Prefer: wait=x\r\n",
    "TTL: -0\r\n",
    "TTL: 0\r\nTTL: 0\r\n",
};

START_TEST(a_bad_field_is_malformed)
{
    http_answer *answer = post("/orders/t4", bad_fields[_i], "x");

    publishing_expect_problem(answer, 400, "malformed");
    ck_assert_ptr_nonnull(support_json(answer->body, "detail"));
    ck_assert_str_eq(publishing_waiting(server, "t4", NULL), "");
}
END_TEST

/* ---- Urgency ------------------------------------------------------------- */

static const char *const urgencies[] = { "very-low", "low", "normal", "high" };

START_TEST(urgency_is_carried_to_the_receiver)
{
    const char *said;

    publishing_forget(server, "u1", NULL);
    publishing_queue(server, "/orders/u1", support_text("Urgency: %s\r\n", urgencies[_i]),
                     "x");
    said = support_json(publishing_waiting(server, "u1", NULL), "messages.0.urgency");
    if (strcmp(urgencies[_i], "normal"))
        ck_assert_str_eq(said, urgencies[_i]);
    else
        ck_assert_ptr_null(said);
}
END_TEST

START_TEST(a_poll_for_high_urgency_hears_of_no_less)
{
    http *c = http_open(server);
    http_answer *answer;

    publishing_forget(server, "u2", NULL);
    http_ask(c, "GET", "/comm/poll", "u2", "Prefer: wait=20\r\nUrgency: high\r\n", NULL);
    ck_assert_ptr_null(http_try(c, 100));
    publishing_queue(server, "/orders/u2", NULL, "normal");
    publishing_queue(server, "/orders/u2", "Urgency: HIGH\r\n", "high");
    answer = http_read(c);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "high");
    ck_assert_ptr_null(support_json(answer->body, "messages.1"));
    http_close(c);
}
END_TEST

/* ---- TTL: 0 -------------------------------------------------------------- */

static void expect_now(const http_answer *answer, const char *state)
{
    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(http_header(answer, "TTL"), "0");
    ck_assert_str_eq(support_json(answer->body, "state"), state);
    ck_assert_ptr_nonnull(http_header(answer, "Location"));
}

START_TEST(a_message_for_now_is_dropped_where_nobody_is)
{
    http_answer *answer = post("/orders/n1", "TTL: 0\r\n", "x");

    expect_now(answer, "dropped");
    ck_assert_ptr_null(support_json(answer->body, "to"));
    ck_assert_str_eq(publishing_waiting(server, "n1", NULL), "");
}
END_TEST

START_TEST(a_message_for_now_reaches_who_waits_or_just_did)
{
    http *c = http_open(server);

    http_ask(c, "GET", "/comm/poll", "n2", "Prefer: wait=20\r\n", NULL);
    ck_assert_ptr_null(http_try(c, 100));
    expect_now(post("/orders/n2", "TTL: 0\r\n", "waits"), "queued");
    ck_assert_str_eq(support_json(http_read(c)->body, "messages.0.data"), "waits");
    expect_now(post("/orders/n2", "TTL: 0\r\n", "just did"), "queued");
    publishing_expect(server, "n2", NULL, "waits just did");
    http_close(c);
}
END_TEST

START_TEST(of_several_those_who_are_there_get_it_now)
{
    http_answer *answer;

    publishing_forget(server, "n3", NULL);
    answer = post("?to=n3&to=nobody-1&to=nobody-2", "TTL: 0\r\n", "x");
    publishing_expect_problem(answer, 400, "malformed");
    answer = post("/orders?to=n3&to=nobody-1&to=nobody-2", "TTL: 0\r\n", "x");
    expect_now(answer, "queued");
    ck_assert_str_eq(support_json(answer->body, "to"), "1");
    answer = post("/orders?to=nobody-1&to=nobody-2", "TTL: 0\r\n", "x");
    expect_now(answer, "dropped");
    ck_assert_str_eq(support_json(answer->body, "to"), "0");
}
END_TEST

/* ---- Prefer -------------------------------------------------------------- */

START_TEST(a_receipt_is_asked_for)
{
    http_answer *answer;

    answer = post("/orders/r1", "Prefer: respond-async, handling=lenient\r\n", "one");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "respond-async");
    publishing_queue(server, "/orders/r1", "Prefer: foo\r\n", "two");
    answer = http_once(server, "GET", "/comm/poll", "r1", NULL, NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.receipt"), "true");
    ck_assert_ptr_null(support_json(answer->body, "messages.1.receipt"));
}
END_TEST

static void fill(const char *client)
{
    int i;

    for (i = 0; i < 2; i++)
        publishing_queue(server, support_text("/orders/%s", client), NULL, "x");
    publishing_expect_problem(post(support_text("/orders/%s", client), NULL, "x"), 507,
                              "full");
}

START_TEST(lenient_queues_where_it_can_and_lists_the_rest)
{
    static const char prefer[] = "Prefer: handling=lenient\r\n";
    http_answer *answer;

    fill("l1");
    publishing_expect_problem(post("/orders?to=l1&to=l2", NULL, "x"), 507, "refused");
    answer = post("/orders?to=l1&to=l2&to=l2&to=l3", prefer, "y");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "handling=lenient");
    ck_assert_str_eq(support_json(answer->body, "state"), "queued");
    ck_assert_str_eq(support_json(answer->body, "to"), "2");
    ck_assert_str_eq(support_json(answer->body, "refused_count"), "1");
    ck_assert_str_eq(support_json(answer->body, "refused.0.client"), "l1");
    ck_assert_str_eq(support_json(answer->body, "refused.0.type"), "full");
    ck_assert_str_eq(support_json(answer->body, "refused.0.status"), "507");
    ck_assert_ptr_null(support_json(answer->body, "refused.1"));
    publishing_expect(server, "l2", NULL, "y");
    publishing_expect(server, "l3", NULL, "y");
    publishing_expect(server, "l1", NULL, "x x");
    answer = post("/orders?to=l2&to=l3", prefer, "z");
    ck_assert_ptr_null(support_json(answer->body, "refused"));
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "handling=lenient");
    /* Now all of them are full. */
    answer = post("/orders?to=l1&to=l2&to=l3", prefer, "z");
    publishing_expect_problem(answer, 507, "refused");
    ck_assert_ptr_nonnull(http_header(answer, "Retry-After"));
    ck_assert_str_eq(support_json(answer->body, "refused.2.client"), "l3");
    answer = post("/orders?to=l1", prefer, "z");
    publishing_expect_problem(answer, 507, "refused");
    ck_assert_str_eq(support_json(answer->body, "refused.0.client"), "l1");
    /* One in the path is not several. */
    publishing_expect_problem(post("/orders/l1", prefer, "z"), 507, "full");
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

int main(void)
{
    static void (*const starts[])(void) = { start_event, start_prefork };
    static const char *const names[] = { "event", "prefork" };
    Suite *suite = suite_create("topic");
    int i;

    support_need_httpd();
    for (i = 0; i < 2; i++) {
        TCase *tc = tcase_create(names[i]);

        tcase_add_unchecked_fixture(tc, starts[i], end);
        tcase_set_timeout(tc, 60);
        tcase_add_test(tc, a_topic_keeps_the_newest_only);
        tcase_add_test(tc, a_topic_belongs_to_application_and_sender);
        tcase_add_test(tc, what_was_handed_out_is_replaced_behind_the_cursor);
        tcase_add_loop_test(tc, a_bad_field_is_malformed, 0, COUNT(bad_fields));
        tcase_add_loop_test(tc, urgency_is_carried_to_the_receiver, 0, COUNT(urgencies));
        tcase_add_test(tc, a_poll_for_high_urgency_hears_of_no_less);
        tcase_add_test(tc, a_message_for_now_is_dropped_where_nobody_is);
        tcase_add_test(tc, a_message_for_now_reaches_who_waits_or_just_did);
        tcase_add_test(tc, of_several_those_who_are_there_get_it_now);
        tcase_add_test(tc, a_receipt_is_asked_for);
        tcase_add_test(tc, lenient_queues_where_it_can_and_lists_the_rest);
        suite_add_tcase(suite, tc);
    }
    return support_run(suite);
}
