/* SPDX-License-Identifier: Apache-2.0
 * check_devices.c - devices of a client: a copy for each, each at its own pace.
 */
#include "parking.h"

static http_answer *poll_device(const httpd *server, const char *method,
                                const char *query, const char *headers)
{
    return http_once(server, method, support_text("/comm/poll%s", query), "alice",
                     headers, NULL);
}

static void expect_empty(const httpd *server, const char *query)
{
    http_answer *answer = poll_device(server, "GET", query, NULL);

    ck_assert_msg(answer->status == 204, "%s: %d %s", query, answer->status,
                  answer->body);
}

static void expect_text(const httpd *server, const char *query, const char *text)
{
    parking_expect(poll_device(server, "GET", query, NULL), text);
}

static http *hold(const httpd *server, const char *query, const char *headers)
{
    http *c = http_open(server);

    http_ask(c, "GET", support_text("/comm/poll%s", query), "alice",
             support_text("%s%s", WAIT_LONG, headers), NULL);
    return c;
}

static void expect_problem(const http_answer *answer, int status, const char *type)
{
    ck_assert_msg(answer->status == status, "%d, not %d: %s", answer->status, status,
                  answer->body);
    ck_assert_str_eq(support_json(answer->body, "type"), type);
}

/* ---- copies ------------------------------------------------------------------ */

START_TEST(each_device_gets_a_copy_and_reads_at_its_own_pace)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2 });
    http_answer *answer;
    const char *cursor;

    expect_empty(server, "?device=laptop");
    expect_empty(server, "?device=phone");
    expect_empty(server, "");
    parking_publish(server, "alice", "one");
    parking_publish(server, "alice", "two");
    answer = poll_device(server, "GET", "?device=laptop&max=1", NULL);
    parking_expect(answer, "one");
    cursor = support_json(answer->body, "cursor");
    parking_expect(poll_device(server, "POST",
                               support_text("?device=laptop&after=%s", cursor), NULL),
                   "two");
    expect_text(server, "?device=laptop", "two");
    expect_text(server, "?device=phone", "one");
    expect_text(server, "", "one");
    /* A cursor of another device is not one of this, and removes nothing. */
    parking_expect(poll_device(server, "POST",
                               support_text("?device=phone&after=%s", cursor), NULL),
                   "one");
    httpd_end(server);
}
END_TEST

START_TEST(what_came_before_waits_for_the_first_device)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2 });
    http *c = http_open(server);

    parking_publish(server, "alice", "early");
    /* HEAD makes no device known. */
    http_ask(c, "HEAD", "/comm/poll?device=looker", "alice", NULL, NULL);
    ck_assert_int_eq(http_read_head(c)->status, 204);
    http_close(c);
    expect_text(server, "?device=laptop.1", "early");
    expect_empty(server, "?device=phone");
    expect_empty(server, "");
    parking_publish(server, "alice", "later");
    expect_text(server, "", "later");
    expect_text(server, "?device=phone", "later");
    httpd_end(server);
}
END_TEST

START_TEST(a_device_that_is_full_has_a_gap_and_disturbs_nobody)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1, .config = "CommServerMaxQueue 2\n" });
    http_answer *answer;
    const char *cursor;
    int i;

    expect_empty(server, "?device=idle");
    expect_empty(server, "?device=busy");
    cursor = "0000000000000000-0";
    for (i = 0; i < 5; i++) {
        parking_publish(server, "alice", support_text("%d", i));
        answer = poll_device(server, "POST",
                             support_text("?device=busy&after=%s", cursor), NULL);
        parking_expect(answer, support_text("%d", i));
        ck_assert_ptr_null(support_json(answer->body, "gap"));
        cursor = support_json(answer->body, "cursor");
    }
    answer = poll_device(server, "GET", "?device=idle", NULL);
    parking_expect(answer, "3");
    ck_assert_str_eq(support_json(answer->body, "gap.apps.orders"), "3");
    httpd_end(server);
}
END_TEST

/* ---- waiting ------------------------------------------------------------------ */

static const char *const mpms[] = { "event", "worker", "prefork" };

START_TEST(devices_wait_side_by_side_and_replace_only_their_own)
{
    httpd *server = httpd_start(
        &(httpd_options){ .mpm = mpms[_i], .config = "CommServerBlockingPolls 6\n" });
    http *older, *newer, *other, *nameless;

    older = hold(server, "?device=laptop", "");
    other = hold(server, "?device=phone", "");
    nameless = hold(server, "", "");
    parking_await(server, 3);
    newer = hold(server, "?device=laptop", "");
    expect_problem(http_read(older), 409, "replaced");
    parking_await(server, 3);
    parking_publish(server, "alice", "for all");
    parking_expect(http_read(newer), "for all");
    parking_expect(http_read(other), "for all");
    parking_expect(http_read(nameless), "for all");
    http_close(older);
    http_close(newer);
    http_close(other);
    http_close(nameless);
    httpd_end(server);
}
END_TEST

static http *stream(const httpd *server, const char *query, const char *headers)
{
    http *c = http_open(server);

    http_ask(c, "GET", support_text("/comm/poll%s", query), "alice",
             support_text("Accept: text/event-stream\r\n%s", headers), NULL);
    http_await(c, "retry: ");
    return c;
}

START_TEST(streams_of_two_devices_live_side_by_side)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2 });
    http *laptop = stream(server, "?device=laptop", "");
    http *phone = stream(server, "?device=phone", ""), *newer;

    parking_await(server, 2);
    parking_publish(server, "alice", "one");
    http_await(laptop, "\"one\"}\n\n");
    http_await(phone, "\"one\"}\n\n");
    newer = stream(server, "?device=phone", "");
    http_await(phone, "event: commserver:replaced\n");
    parking_publish(server, "alice", "two");
    http_await(laptop, "\"two\"}\n\n");
    http_await(newer, "\"two\"}\n\n");
    http_close(laptop);
    http_close(phone);
    http_close(newer);
    httpd_end(server);
}
END_TEST

START_TEST(devices_are_told_apart_over_http2)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .http2 = 1 });
    const char *const paths[] = { "/comm/poll?device=a", "/comm/poll?device=b" };
    int i;

    for (i = 0; i < 2; i++)
        ck_assert_int_eq(
            http2_once(server, 0, "GET", paths[i], "alice", NULL, NULL)->status, 204);
    parking_publish(server, "alice", "one");
    for (i = 0; i < 2; i++)
        parking_expect(http2_once(server, 0, "GET", paths[i], "alice", NULL, NULL),
                       "one");
    httpd_end(server);
}
END_TEST

/* ---- how many, and their names --------------------------------------------- */

START_TEST(one_device_too_many_is_full)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http_answer *answer;
    http *c;
    int i;

    for (i = 0; i < 16; i++)
        expect_empty(server, support_text("?device=d%d", i));
    answer = poll_device(server, "GET", "?device=d16", NULL);
    expect_problem(answer, 507, "full");
    ck_assert_ptr_nonnull(strstr(support_json(answer->body, "detail"), "devices"));
    ck_assert_int_ge(atoi(http_header(answer, "Retry-After")), 30);
    expect_problem(poll_device(server, "GET", "", WAIT_LONG), 507, "full");
    expect_problem(poll_device(server, "POST", "?device=d16&wait=5", NULL), 507, "full");
    parking_publish(server, "alice", "for sixteen");
    expect_text(server, "?device=d15", "for sixteen");
    /* Never anything but 200 for a stream: it ends at once. */
    c = stream(server, "?device=d16", "");
    answer = http_read(c);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_ptr_null(strstr(answer->body, "for sixteen"));
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_name_that_is_none_is_malformed)
{
    static const char *const bad[] = { "",
                                       "-",
                                       ".x",
                                       "a%20b",
                                       "a%00",
                                       "a%2Fb",
                                       "%c3%bc",
                                       "a&device=b",
                                       "_",
                                       "a%2",
                                       "a+b",
                                       "x%0A",
                                       "abcdefghijabcdefghijabcdefghijabc" };
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        http_answer *answer =
            poll_device(server, "GET", support_text("?device=%s", bad[i]), NULL);

        ck_assert_msg(answer->status == 400, "'%s': %d", bad[i], answer->status);
        ck_assert_str_eq(support_json(answer->body, "type"), "malformed");
        ck_assert_ptr_nonnull(support_json(answer->body, "detail"));
    }
    expect_empty(server, "?device=abcdefghijabcdefghijabcdefghij._");
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("devices");
    TCase *tc = tcase_create("devices");

    support_need_httpd();
    tcase_set_timeout(tc, 90);
    tcase_add_test(tc, each_device_gets_a_copy_and_reads_at_its_own_pace);
    tcase_add_test(tc, what_came_before_waits_for_the_first_device);
    tcase_add_test(tc, a_device_that_is_full_has_a_gap_and_disturbs_nobody);
    tcase_add_loop_test(tc, devices_wait_side_by_side_and_replace_only_their_own, 0, 3);
    tcase_add_test(tc, streams_of_two_devices_live_side_by_side);
    tcase_add_test(tc, devices_are_told_apart_over_http2);
    tcase_add_test(tc, one_device_too_many_is_full);
    tcase_add_test(tc, a_name_that_is_none_is_malformed);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
