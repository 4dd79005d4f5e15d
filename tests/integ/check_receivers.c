/* SPDX-License-Identifier: Apache-2.0
 * check_receivers.c - messages to all devices of a client, and to one.
 */
#include "publishing.h"

static httpd *server;

static void start(void)
{
    server = httpd_start(&(httpd_options){ .users = "d1\nd2\nd3\nd4\nd5\nd6\n",
                                           .config = "CommServerMaxQueue 2\n" });
}

static void end(void)
{
    httpd_end(server);
}

static http_answer *post(const char *path, const char *body)
{
    return publishing_post(server, path, NULL, body);
}

START_TEST(a_client_hears_on_all_its_devices)
{
    publishing_forget(server, "d1", "phone");
    publishing_forget(server, "d1", "laptop");
    publishing_forget(server, "d1", NULL);
    publishing_queue(server, "/orders/d1", NULL, "hello");
    publishing_expect(server, "d1", "phone", "hello");
    publishing_expect(server, "d1", "laptop", "hello");
    publishing_expect(server, "d1", NULL, "hello");
    ck_assert_str_eq(
        support_json(publishing_waiting(server, "d1", "phone"), "messages.0.id"),
        support_json(publishing_waiting(server, "d1", "laptop"), "messages.0.id"));
    publishing_forget(server, "d1", "phone");
    publishing_expect(server, "d1", "laptop", "hello");
}
END_TEST

START_TEST(a_device_in_the_path_hears_alone)
{
    http_answer *answer;

    publishing_forget(server, "d2", "phone");
    publishing_forget(server, "d2", "laptop");
    answer = post("/orders/d2/phone", "path");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_ptr_null(support_json(answer->body, "to"));
    ck_assert_str_eq(support_json(post("/orders?to=d2/phone", "query")->body, "to"), "1");
    publishing_expect(server, "d2", "phone", "path query");
    publishing_expect(server, "d2", "laptop", "");
}
END_TEST

START_TEST(a_message_waits_for_a_device_that_never_came)
{
    publishing_queue(server, "/orders/d3/tablet", NULL, "for the tablet");
    publishing_queue(server, "/orders/d3", NULL, "for the first");
    publishing_expect(server, "d3", "phone", "for the first");
    publishing_expect(server, "d3", "tablet", "for the tablet");
}
END_TEST

START_TEST(a_client_and_its_device_count_once)
{
    http_answer *answer;

    publishing_forget(server, "d4", "phone");
    publishing_forget(server, "d4", "laptop");
    answer = post("/orders?to=d4&to=d4/phone&to=d4%2Fphone", "x");
    ck_assert_int_eq(answer->status, 201);
    publishing_expect(server, "d4", "phone", "x");
    publishing_expect(server, "d4", "laptop", "x");
    answer = post("/orders?to=d4/phone&to=d4/laptop", "y");
    ck_assert_str_eq(support_json(answer->body, "to"), "2");
    publishing_expect(server, "d4", "laptop", "x y");
}
END_TEST

START_TEST(a_full_device_refuses_what_is_for_it_alone)
{
    http_answer *answer;
    int i;

    publishing_forget(server, "d5", "phone");
    publishing_forget(server, "d5", "laptop");
    for (i = 0; i < 2; i++)
        publishing_queue(server, "/orders/d5/phone", NULL, "x");
    publishing_expect_problem(post("/orders/d5/phone", "x"), 507, "full");
    answer = post("/orders?to=d5/phone&to=d5/laptop", "x");
    publishing_expect_problem(answer, 507, "refused");
    ck_assert_str_eq(support_json(answer->body, "refused.0.client"), "d5/phone");
    ck_assert_ptr_null(support_json(answer->body, "refused.1"));
    publishing_expect(server, "d5", "laptop", "");
    /* A copy for several is never refused: the oldest goes, with a gap. */
    publishing_queue(server, "/orders/d5", NULL, "copy");
    publishing_expect(server, "d5", "laptop", "copy");
    publishing_expect(server, "d5", "phone", "x copy");
    ck_assert_str_eq(
        support_json(publishing_waiting(server, "d5", "phone"), "gap.apps.orders"), "1");
}
END_TEST

START_TEST(a_held_poll_of_a_device_is_answered)
{
    http *phone = http_open(server), *laptop = http_open(server);

    publishing_forget(server, "d6", "phone");
    publishing_forget(server, "d6", "laptop");
    http_ask(phone, "GET", "/comm/poll?device=phone&wait=20", "d6", NULL, NULL);
    http_ask(laptop, "GET", "/comm/poll?device=laptop&wait=20", "d6", NULL, NULL);
    ck_assert_ptr_null(http_try(phone, 100));
    publishing_queue(server, "/orders/d6/phone", NULL, "ring");
    ck_assert_str_eq(support_json(http_read(phone)->body, "messages.0.data"), "ring");
    ck_assert_ptr_null(http_try(laptop, 100));
    publishing_queue(server, "/orders/d6", NULL, "all");
    ck_assert_str_eq(support_json(http_read(laptop)->body, "messages.0.data"), "all");
    http_close(phone);
    http_close(laptop);
}
END_TEST

static const char *const bad_paths[] = {
    "/orders/d1/",       "/orders/d1/-",
    "/orders/d1/a%20b",  "/orders/d1/j%C3%BC",
    "/orders/d1/a/b",    "/orders/d1%2Fa%2Fb",
    "/orders?to=d1/",    "/orders?to=d1//a",
    "/orders?to=/a",     "/orders?to=d1/a/b",
    "/orders?to=d1%2F-", "/orders/d1/a23456789012345678901234567890123",
};

START_TEST(a_bad_device_is_refused)
{
    http_answer *answer = post(bad_paths[_i], "x");

    /* httpd itself refuses an encoded slash in a path with 404. */
    if (answer->status != 404)
        publishing_expect_problem(answer, 400, "malformed");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("receivers");
    TCase *tc = tcase_create("receivers");

    support_need_httpd();
    tcase_add_unchecked_fixture(tc, start, end);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_client_hears_on_all_its_devices);
    tcase_add_test(tc, a_device_in_the_path_hears_alone);
    tcase_add_test(tc, a_message_waits_for_a_device_that_never_came);
    tcase_add_test(tc, a_client_and_its_device_count_once);
    tcase_add_test(tc, a_full_device_refuses_what_is_for_it_alone);
    tcase_add_test(tc, a_held_poll_of_a_device_is_answered);
    tcase_add_loop_test(tc, a_bad_device_is_refused, 0,
                        (int)(sizeof(bad_paths) / sizeof(*bad_paths)));
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
