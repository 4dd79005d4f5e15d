/* SPDX-License-Identifier: Apache-2.0
 * check_poll.c - reading, acknowledging, waiting, cursors and gaps over HTTP.
 *
 * One httpd for all tests of a case; each test has a client of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

#define LONGEST 3 /* seconds, CommServerMaxWait of these tests */

static httpd *server;

static void start_as(const char *mpm)
{
    server = httpd_start(&(httpd_options){
        .mpm = mpm,
        .children = mpm && !strcmp(mpm, "prefork") ? 4 : 2,
        .users = "p01\np02\np03\np04\np05\np06\np07\np08\np09\np10\np11\np12\np13\np14\n"
                 "p15\np16\np17\np18\np19\np20\n-\n../x\n",
        .config = "CommServerMaxWait 3s\n"
                  "CommServerMaxQueue 5\n"
                  "CommServerOverflow drop-oldest\n"
                  "CommServerBlockingPolls 2\n"
                  "<Location \"/comm/poll\">\n"
                  "    CommServerMaxBatch 1K\n"
                  "</Location>\n" });
}

static void start_event(void)
{
    start_as("event");
}

static void start_worker(void)
{
    start_as("worker");
}

static void start_prefork(void)
{
    start_as("prefork");
}

static void end(void)
{
    httpd_end(server);
}

static int waiting(void)
{
    http_answer *answer = http_once(server, "GET", "/comm/status", "admin", NULL, NULL);

    return atoi(support_json(answer->body, "waiting"));
}

static void publish(const char *client, const char *body)
{
    http_answer *answer =
        http_once(server, "POST", support_text("/comm/publish/orders/%s", client),
                  "backend", NULL, body);

    ck_assert_int_eq(answer->status, 201);
}

static http_answer *poll_with(const char *method, const char *user, const char *query,
                              const char *headers)
{
    return http_once(server, method, support_text("/comm/poll%s", query), user, headers,
                     NULL);
}

static const char *cursor_of(const http_answer *answer)
{
    return answer->status == 204 ? http_header(answer, "Comm-Cursor")
                                 : support_json(answer->body, "cursor");
}

static void expect_problem(const http_answer *answer, int status, const char *type)
{
    ck_assert_msg(answer->status == status, "%d, not %d: %s", answer->status, status,
                  answer->body);
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/problem+json");
    ck_assert_str_eq(support_json(answer->body, "type"), type);
}

/* ---- reading and acknowledging ----------------------------------------- */

START_TEST(an_empty_poll_is_204_with_a_cursor)
{
    http_answer *answer = poll_with("GET", "p01", "", NULL);

    ck_assert_int_eq(answer->status, 204);
    ck_assert_ptr_nonnull(http_header(answer, "Comm-Cursor"));
    ck_assert_str_eq(http_header(answer, "Cache-Control"), "no-store");
    ck_assert_ptr_null(http_header(answer, "Content-Type"));
    ck_assert_ptr_null(http_header(answer, "ETag"));
    ck_assert_ptr_null(http_header(answer, "Preference-Applied"));
    ck_assert_int_eq(answer->keep_alive, 1);
}
END_TEST

START_TEST(get_removes_nothing)
{
    http_answer *answer;
    const char *cursor;

    publish("p02", "one");
    publish("p02", "two");
    answer = poll_with("GET", "p02", "", NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "one");
    ck_assert_str_eq(support_json(answer->body, "messages.1.data"), "two");
    ck_assert_ptr_null(http_header(answer, "Comm-Cursor"));
    cursor = cursor_of(answer);
    answer = poll_with("GET", "p02", support_text("?after=%s", cursor), NULL);
    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(cursor_of(answer), cursor);
    answer = poll_with("GET", "p02", "", NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "one");
}
END_TEST

START_TEST(post_acknowledges_up_to_the_cursor)
{
    http_answer *answer;
    const char *cursor;

    publish("p03", "one");
    publish("p03", "two");
    publish("p03", "three");
    answer = poll_with("GET", "p03", "?max=2", NULL);
    ck_assert_ptr_null(support_json(answer->body, "messages.2"));
    cursor = cursor_of(answer);
    answer = poll_with("POST", "p03", "", NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "one");
    answer = poll_with("POST", "p03", support_text("?after=%s", cursor), NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "three");
    ck_assert_ptr_null(support_json(answer->body, "gap"));
    answer = poll_with("GET", "p03", "", NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "three");
}
END_TEST

START_TEST(minimal_acknowledges_only)
{
    http_answer *answer;
    const char *cursor;

    publish("p04", "one");
    cursor = cursor_of(poll_with("GET", "p04", "", NULL));
    publish("p04", "two");
    answer = poll_with("POST", "p04", support_text("?after=%s", cursor),
                       "Prefer: return=minimal, wait=3\r\n");
    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "return=minimal");
    ck_assert_str_eq(cursor_of(answer), cursor);
    answer = poll_with("GET", "p04", "", NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "two");
}
END_TEST

START_TEST(the_field_wins_over_the_query)
{
    http_answer *answer;
    const char *first;

    publish("p05", "one");
    publish("p05", "two");
    first = cursor_of(poll_with("GET", "p05", "?max=1", NULL));
    answer = poll_with("GET", "p05", support_text("?after=%s", first), NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "two");
    answer = poll_with("GET", "p05", support_text("?after=%s&wait=0", cursor_of(answer)),
                       support_text("Last-Event-ID: %s\r\nPrefer: wait=1\r\n", first));
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "two");
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "wait=1");
}
END_TEST

START_TEST(head_changes_nothing)
{
    http *c = http_open(server);
    http_answer *answer;

    publish("p06", "one");
    http_ask(c, "HEAD", "/comm/poll?wait=3", "p06", NULL, NULL);
    answer = http_read_head(c);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/json");
    ck_assert_int_gt(atoi(http_header(answer, "Content-Length")), 100);
    http_ask(c, "HEAD", "/comm/poll?wait=3", "p19", NULL, NULL);
    answer = http_read_head(c);
    ck_assert_int_eq(answer->status, 204);
    http_close(c);
}
END_TEST

START_TEST(a_batch_has_its_bytes_and_a_large_message_goes_alone)
{
    static char large[2001], small[401];
    http_answer *answer;

    memset(large, 'l', 2000);
    memset(small, 's', 400);
    publish("p07", small);
    publish("p07", small);
    publish("p07", small);
    publish("p07", large);
    answer = poll_with("GET", "p07", "", NULL);
    ck_assert_ptr_nonnull(support_json(answer->body, "messages.1"));
    ck_assert_ptr_null(support_json(answer->body, "messages.2"));
    answer = poll_with("POST", "p07", support_text("?after=%s", cursor_of(answer)), NULL);
    ck_assert_ptr_null(support_json(answer->body, "messages.1"));
    answer = poll_with("POST", "p07", support_text("?after=%s", cursor_of(answer)), NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.length"), "2002");
}
END_TEST

START_TEST(an_unknown_cursor_removes_nothing_and_is_a_gap)
{
    http_answer *answer;

    publish("p08", "one");
    answer = poll_with("POST", "p08", "?after=0123456789abcdef-7", NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(support_json(answer->body, "gap"), "{}");
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "one");
}
END_TEST

START_TEST(a_cursor_from_the_future_removes_nothing_and_is_a_gap)
{
    http_answer *answer;
    char cursor[64];

    publish("p09", "one");
    answer = poll_with("GET", "p09", "", NULL);
    strcpy(cursor, cursor_of(answer));
    strcpy(strchr(cursor, '-'), "-999");
    answer = poll_with("POST", "p09", support_text("?after=%s", cursor), NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_ptr_nonnull(support_json(answer->body, "gap"));
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "one");
}
END_TEST

START_TEST(a_gap_is_told_until_it_is_acknowledged)
{
    http_answer *answer;
    int i;

    for (i = 0; i < 7; i++)
        publish("p10", support_text("%d", i));
    answer = poll_with("GET", "p10", "?max=1", NULL);
    ck_assert_str_eq(support_json(answer->body, "gap.apps.orders"), "2");
    answer = poll_with("GET", "p10", "", NULL);
    ck_assert_str_eq(support_json(answer->body, "gap.apps.orders"), "2");
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "2");
    answer = poll_with("POST", "p10", support_text("?after=%s", cursor_of(answer)), NULL);
    ck_assert_int_eq(answer->status, 204);
}
END_TEST

static const char *const bad_queries[] = {
    "?after=x",
    "?after=",
    "?after=0123456789abcdef",
    "?after=0123456789abcdef-",
    "?after=0123456789abcdef--1",
    "?after=0123456789abcdef-1x",
    "?wait=-1",
    "?wait=x",
    "?max=0",
    "?max=-1",
    "?device=",
    "?device=-",
    "?device=a/b",
    "?wait=1&wait=1",
    "/x",
    "/",
    "?to=%",
};

START_TEST(a_bad_poll_is_malformed)
{
    http_answer *answer = poll_with("GET", "p11", bad_queries[_i], NULL);

    expect_problem(answer, 400, "malformed");
    ck_assert_ptr_nonnull(support_json(answer->body, "detail"));
}
END_TEST

START_TEST(bad_fields_are_malformed)
{
    expect_problem(poll_with("GET", "p11", "", "Prefer: wait=-1\r\n"), 400, "malformed");
    expect_problem(poll_with("GET", "p11", "", "Last-Event-ID: zzz\r\n"), 400,
                   "malformed");
    expect_problem(poll_with("GET", "p11", "", "Urgency: urgent\r\n"), 400, "malformed");
    expect_problem(poll_with("POST", "p11", "", "Urgency: low\r\nUrgency: low\r\n"), 400,
                   "malformed");
}
END_TEST

START_TEST(a_user_that_is_no_client_is_refused)
{
    expect_problem(poll_with("GET", "-", "", NULL), 403, "identity");
    expect_problem(poll_with("GET", "../x", "", NULL), 403, "identity");
    ck_assert_int_ge(httpd_log_count(server, "CS0031"), 2);
}
END_TEST

START_TEST(one_client_does_not_see_anothers_queue)
{
    publish("p13", "secret");
    ck_assert_int_eq(poll_with("GET", "p14", "?client=p13", NULL)->status, 204);
    ck_assert_int_eq(poll_with("GET", NULL, "", NULL)->status, 401);
}
END_TEST

START_TEST(a_small_body_is_ignored_and_a_large_one_refused)
{
    static char body[70001];
    http *c = http_open(server);

    memset(body, 'x', 70000);
    ck_assert_int_eq(http_call(c, "POST", "/comm/poll", "p15", NULL, "{}")->status, 204);
    ck_assert_int_eq(http_call(c, "GET", "/comm/poll", "p15", NULL, NULL)->status, 204);
    expect_problem(http_call(c, "POST", "/comm/poll", "p15", NULL, body), 413,
                   "too-large");
    http_close(c);
}
END_TEST

static const char *const other_methods[] = { "PUT", "DELETE", "PATCH" };

START_TEST(other_methods_are_not_allowed)
{
    http_answer *answer = poll_with(other_methods[_i], "p15", "", NULL);

    expect_problem(answer, 405, "method");
    ck_assert_str_eq(http_header(answer, "Allow"), "GET, HEAD, POST, OPTIONS");
}
END_TEST

/* ---- waiting ----------------------------------------------------------- */

START_TEST(a_held_poll_hears_of_a_message_at_once)
{
    http *c = http_open(server);
    http_answer *answer;
    long long began = process_now_ms();

    http_ask(c, "GET", "/comm/poll?wait=99", "p16", NULL, NULL);
    ck_assert_ptr_null(http_try(c, 100));
    publish("p16", "one");
    answer = http_read(c);
    ck_assert_int_lt(process_now_ms() - began, LONGEST * 1000);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "wait=3");
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "one");
    http_close(c);
}
END_TEST

START_TEST(a_held_poll_ends_empty_after_its_time)
{
    http *c = http_open(server);
    http_answer *answer;
    long long began = process_now_ms();

    http_ask(c, "POST", "/comm/poll", "p17", "Prefer: wait=1\r\n", NULL);
    answer = http_read(c);
    ck_assert_int_ge(process_now_ms() - began, 990);
    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "wait=1");
    ck_assert_ptr_nonnull(cursor_of(answer));
    ck_assert_int_eq(http_call(c, "GET", "/comm/poll", "p17", NULL, NULL)->status, 204);
    http_close(c);
}
END_TEST

START_TEST(the_newer_of_two_held_polls_wins)
{
    http *older = http_open(server), *newer = http_open(server);
    http_answer *answer;

    http_ask(older, "GET", "/comm/poll?wait=3", "p18", NULL, NULL);
    ck_assert_ptr_null(http_try(older, 100));
    ck_assert_int_eq(poll_with("GET", "p18", "", NULL)->status, 204);
    ck_assert_ptr_null(http_try(older, 50));
    http_ask(newer, "GET", "/comm/poll?wait=3", "p18", NULL, NULL);
    answer = http_read(older);
    expect_problem(answer, 409, "replaced");
    ck_assert_ptr_nonnull(http_header(answer, "Retry-After"));
    ck_assert_int_ge(atoi(http_header(answer, "Retry-After")), 30);
    ck_assert_int_le(atoi(http_header(answer, "Retry-After")), 60);
    publish("p18", "one");
    ck_assert_int_eq(http_read(newer)->status, 200);
    http_close(older);
    http_close(newer);
}
END_TEST

START_TEST(the_status_counts_who_waits)
{
    http *c = http_open(server);
    http_answer *answer;

    http_ask(c, "GET", "/comm/poll?wait=3", "p20", NULL, NULL);
    wait_until((answer = http_once(server, "GET", "/comm/status", "admin", NULL, NULL),
                atoi(support_json(answer->body, "waiting")) >= 1),
               5000);
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/json");
    ck_assert_int_ge(atoi(support_json(answer->body, "clients")), 1);
    ck_assert_ptr_nonnull(support_json(answer->body, "segment.highest"));
    publish("p20", "one");
    ck_assert_int_eq(http_read(c)->status, 200);
    http_close(c);
}
END_TEST

START_TEST(the_status_is_for_get_and_its_own_path)
{
    http_answer *answer;

    expect_problem(http_once(server, "POST", "/comm/status", "admin", NULL, ""), 405,
                   "method");
    expect_problem(http_once(server, "GET", "/comm/status/x", "admin", NULL, NULL), 400,
                   "malformed");
    answer = http_once(server, "GET", "/comm/status", "admin", NULL, NULL);
    ck_assert_int_ge(atoi(support_json(answer->body, "refused.method")), 1);
    ck_assert_int_eq(
        http_once(server, "GET", "/comm/status", "alice", NULL, NULL)->status, 401);
}
END_TEST

START_TEST(too_many_blocking_polls_are_turned_into_polling)
{
    http *c[8];
    http_answer *answer;
    int i, held = 0, turned = 0;

    for (i = 0; i < 8; i++) {
        c[i] = http_open(server);
        http_ask(c[i], "GET", "/comm/poll?wait=3", support_text("p%02d", i + 1), NULL,
                 NULL);
    }
    for (i = 0; i < 8; i++) {
        answer = http_read(c[i]);
        if (answer->status == 200)
            continue;
        ck_assert_int_eq(answer->status, 204);
        if (http_header(answer, "Retry-After"))
            turned++;
        else
            held++;
        http_close(c[i]);
    }
    ck_assert_int_le(held, 4);
    ck_assert_int_ge(turned, 4);
}
END_TEST

START_TEST(prefork_keeps_children_for_pages)
{
    http *c[3];
    int i;

    wait_until(waiting() == 0, 10000); /* those of earlier tests */
    for (i = 0; i < 2; i++) {
        c[i] = http_open(server);
        http_ask(c[i], "GET", "/comm/poll?wait=3", support_text("p%02d", i + 1), NULL,
                 NULL);
    }
    wait_until(waiting() == 2, 5000);
    c[2] = http_open(server);
    ck_assert_ptr_nonnull(http_header(
        http_call(c[2], "GET", "/comm/poll?wait=3", "p03", NULL, NULL), "Retry-After"));
    ck_assert_int_eq(http_once(server, "GET", "/index.html", NULL, NULL, NULL)->status,
                     200);
    for (i = 0; i < 2; i++)
        ck_assert_int_eq(http_read(c[i])->status, 204);
    for (i = 0; i < 3; i++)
        http_close(c[i]);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

static TCase *make_case(const char *name, void (*start)(void))
{
    TCase *tc = tcase_create(name);

    tcase_add_unchecked_fixture(tc, start, end);
    tcase_set_timeout(tc, 60);
    return tc;
}

static void add_reading(TCase *tc)
{
    tcase_add_test(tc, an_empty_poll_is_204_with_a_cursor);
    tcase_add_test(tc, get_removes_nothing);
    tcase_add_test(tc, post_acknowledges_up_to_the_cursor);
    tcase_add_test(tc, minimal_acknowledges_only);
    tcase_add_test(tc, the_field_wins_over_the_query);
    tcase_add_test(tc, head_changes_nothing);
    tcase_add_test(tc, a_batch_has_its_bytes_and_a_large_message_goes_alone);
    tcase_add_test(tc, an_unknown_cursor_removes_nothing_and_is_a_gap);
    tcase_add_test(tc, a_cursor_from_the_future_removes_nothing_and_is_a_gap);
    tcase_add_test(tc, a_gap_is_told_until_it_is_acknowledged);
    tcase_add_loop_test(tc, a_bad_poll_is_malformed, 0, COUNT(bad_queries));
    tcase_add_test(tc, bad_fields_are_malformed);
    tcase_add_test(tc, a_user_that_is_no_client_is_refused);
    tcase_add_test(tc, one_client_does_not_see_anothers_queue);
    tcase_add_test(tc, a_small_body_is_ignored_and_a_large_one_refused);
    tcase_add_loop_test(tc, other_methods_are_not_allowed, 0, COUNT(other_methods));
}

static void add_waiting(TCase *tc)
{
    tcase_add_test(tc, a_held_poll_hears_of_a_message_at_once);
    tcase_add_test(tc, a_held_poll_ends_empty_after_its_time);
    tcase_add_test(tc, the_newer_of_two_held_polls_wins);
    tcase_add_test(tc, the_status_counts_who_waits);
}

int main(void)
{
    Suite *suite = suite_create("poll");
    TCase *tc;

    support_need_httpd();
    tc = make_case("event", start_event);
    add_reading(tc);
    add_waiting(tc);
    tcase_add_test(tc, the_status_is_for_get_and_its_own_path);
    suite_add_tcase(suite, tc);
    tc = make_case("worker", start_worker);
    add_waiting(tc);
    tcase_add_test(tc, too_many_blocking_polls_are_turned_into_polling);
    suite_add_tcase(suite, tc);
    tc = make_case("prefork", start_prefork);
    add_waiting(tc);
    tcase_add_test(tc, prefork_keeps_children_for_pages);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
