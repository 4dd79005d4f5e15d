/* SPDX-License-Identifier: Apache-2.0
 * check_sibling.c - the hook API, used by another module (mod_cstest.c).
 */
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

#define LOAD  "LoadModule cstest_module \"@BUILD@/tests/integ/.libs/mod_cstest.so\"\n"
#define PLACE "<Location \"/cstest\">\n    SetHandler cstest\n</Location>\n"

static httpd *server;

static void start(void)
{
    server = httpd_start(&(httpd_options){
        .users = "erin\nfrank\ngrace\nheidi\n",
        .config = LOAD PLACE "CommServerMaxQueue 2\nCommServerMaxMessage 100\n" });
}

static void end(void)
{
    httpd_end(server);
}

static const char *call(const char *words)
{
    http_answer *answer =
        http_once(server, "GET", support_text("/cstest?%s", words), NULL, NULL, NULL);

    ck_assert_int_eq(answer->status, 200);
    return answer->body;
}

static const char *waiting(const char *user)
{
    http_answer *answer = http_once(server, "GET", "/comm/poll", user, NULL, NULL);

    return answer->status == 200 ? answer->body : "";
}

START_TEST(a_module_publishes_to_one)
{
    const char *said = call("publish+orders+hello+alice");
    const char *batch = waiting("alice");

    ck_assert_int_eq(strncmp(said, "0 ok\n", 5), 0);
    ck_assert_int_eq(strncmp(said + 5, support_json(batch, "messages.0.id"), 22), 0);
    ck_assert_str_eq(support_json(batch, "messages.0.from"), "cstest");
    ck_assert_str_eq(support_json(batch, "messages.0.app"), "orders");
    ck_assert_str_eq(support_json(batch, "messages.0.data"), "hello");
}
END_TEST

START_TEST(a_module_publishes_to_several_all_or_none)
{
    const char *said = call("publish+orders+hello+bob+carol+bob");

    ck_assert_int_eq(strncmp(said, "0 ok\n", 5), 0);
    ck_assert_str_eq(support_json(waiting("bob"), "messages.0.id"),
                     support_json(waiting("carol"), "messages.0.id"));
    ck_assert_ptr_null(support_json(waiting("bob"), "messages.1"));
    call("publish+orders+hello+bob");
    said = call("publish+orders+hello+dave+bob+bob");
    ck_assert_int_eq(strncmp(said, "6 ", 2), 0);
    ck_assert_ptr_nonnull(strstr(said, "\n0 ok\n2 "));
    ck_assert_str_eq(waiting("dave"), "");
    ck_assert_int_eq(strncmp(call("publish+orders+hello+bob+bob"), "6 ", 2), 0);
    ck_assert_int_eq(strncmp(call("publish+orders+hello+bob"), "2 ", 2), 0);
}
END_TEST

START_TEST(bad_calls_have_their_status)
{
    char words[300] = "publish+orders+";

    ck_assert_int_eq(strncmp(call("publish+-+x+zoe"), "16 ", 3), 0);
    ck_assert_int_eq(strncmp(call("publish+orders+x+-"), "16 ", 3), 0);
    ck_assert_int_eq(strncmp(call("publish+orders+x+a/-"), "16 ", 3), 0);
    memset(words + 15, 'x', 101);
    strcpy(words + 116, "+zoe");
    ck_assert_int_eq(strncmp(call(words), "5 ", 2), 0);
}
END_TEST

static void expect(const char *said, const char *begins)
{
    ck_assert_msg(!strncmp(said, begins, strlen(begins)), "'%s', not '%s'", said, begins);
}

START_TEST(a_module_publishes_to_devices)
{
    http_once(server, "GET", "/comm/poll?device=phone", "erin", NULL, NULL);
    http_once(server, "GET", "/comm/poll?device=laptop", "erin", NULL, NULL);
    expect(call("publish+orders+hello+erin/phone"), "0 ok\n");
    expect(call("state+erin/phone"), "0 ok\nqueued=1 ");
    expect(call("state+erin/laptop"), "0 ok\nqueued=0 ");
    expect(call("publish+orders+hello+erin/phone+erin/laptop"), "0 ok\n");
    expect(call("state+erin"), "0 ok\nqueued=3 ");
    expect(call("state+erin/tablet"), "1 ");
    expect(call("state+erin/-"), "16 ");
    expect(call("publish+orders+hello+erin/phone+erin/laptop"), "6 ");
}
END_TEST

START_TEST(a_module_says_what_a_message_is_like)
{
    const char *said;

    expect(call("flagged+htr+orders+one+frank"), "0 ok\n");
    expect(call("flagged+t+orders+two+frank"), "0 ok\n");
    ck_assert_str_eq(support_json(waiting("frank"), "messages.0.data"), "two");
    ck_assert_str_eq(support_json(waiting("frank"), "messages.0.topic"), "t");
    ck_assert_ptr_null(support_json(waiting("frank"), "messages.1"));
    expect(call("flagged+hr+orders+three+frank"), "0 ok\n");
    ck_assert_str_eq(support_json(waiting("frank"), "messages.1.urgency"), "high");
    ck_assert_str_eq(support_json(waiting("frank"), "messages.1.receipt"), "true");
    expect(call("flagged+n+orders+now+nobody-at-all"), "1 ");
    expect(call("flagged+n+orders+now+nobody-at-all+nobody-2"), "1 ");
    expect(call("flagged+b+orders+x+grace"), "16 ");
    ck_assert_int_ne(strncmp(call("flagged+u+orders+x+grace"), "0 ", 2), 0);
    /* frank is full now. */
    said = call("flagged+l+orders+four+frank+grace");
    expect(said, "0 ok\n");
    ck_assert_ptr_nonnull(strstr(said, "\n2 "));
    ck_assert_str_eq(support_json(waiting("grace"), "messages.0.data"), "four");
    said = call("flagged+l+orders+five+frank+frank");
    expect(said, "6 ");
    ck_assert_ptr_nonnull(strstr(said, "\n2 "));
}
END_TEST

START_TEST(a_module_has_groups)
{
    expect(call("add+orders+night+heidi"), "0 ok\nchanged=1");
    expect(call("add+orders+night+heidi"), "0 ok\nchanged=0");
    expect(call("add+orders+-+heidi"), "16 ");
    expect(call("add+orders+night+heidi/phone"), "16 ");
    expect(call("group+orders+hello+night"), "0 ok\nto=1 refused=0\n");
    expect(call("group+orders+hello+day"), "0 ok\nto=0 refused=0\n");
    expect(call("group+orders+hello+-"), "16 ");
    expect(call("group+orders+rude+night"), "-");
    ck_assert_str_eq(support_json(waiting("heidi"), "messages.0.data"), "hello");
    expect(call("group+orders+again+night"), "0 ok\nto=1 refused=0\n");
    expect(call("group+orders+full+night"), "6 ");
    expect(call("remove+orders+night+heidi"), "0 ok\nchanged=1");
    expect(call("remove+orders+night+heidi"), "0 ok\nchanged=0");
    expect(call("group+orders+x"), "0 ok\nto=");
}
END_TEST

START_TEST(a_module_asks_for_the_state_of_a_client)
{
    http *c = http_open(server);

    ck_assert_ptr_nonnull(
        strstr(call("state+nobody"), "queued=0 bytes=0 waiting=0 seen=0"));
    ck_assert_int_eq(strncmp(call("state+nobody"), "1 ", 2), 0);
    call("publish+orders+hello+admin");
    ck_assert_ptr_nonnull(
        strstr(call("state+admin"), "queued=1 bytes=7 waiting=0 seen=0"));
    http_ask(c, "GET", "/comm/poll?wait=10", "dave", NULL, NULL);
    wait_until(strstr(call("state+dave"), "waiting=1") != NULL, 5000);
    call("publish+orders+hello+dave");
    ck_assert_int_eq(http_read(c)->status, 200);
    ck_assert_ptr_nonnull(
        strstr(call("state+dave"), "queued=1 bytes=7 waiting=0 seen=1"));
    http_close(c);
}
END_TEST

START_TEST(a_module_refuses_messages)
{
    http_answer *answer = http_once(server, "POST", "/comm/publish/orders/backend",
                                    "backend", NULL, "rude");

    ck_assert_int_eq(answer->status, 422);
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/problem+json");
    ck_assert_str_eq(support_json(answer->body, "type"), "policy");
    ck_assert_str_eq(support_json(answer->body, "status"), "422");
    ck_assert_str_eq(support_json(answer->body, "detail"), "mind your language");
    answer =
        http_once(server, "POST", "/comm/publish/orders/backend", "backend", NULL, "odd");
    ck_assert_int_eq(answer->status, 500);
    ck_assert_int_ne(strncmp(call("publish+orders+rude+backend"), "0 ", 2), 0);
    ck_assert_str_eq(waiting("backend"), "");
}
END_TEST

START_TEST(load_order_does_not_matter_and_absence_is_no_crash)
{
    http_answer *answer;
    httpd *other;

    other = httpd_start(&(httpd_options){ .no_module = 1, .config = LOAD PLACE });
    answer = http_once(other, "GET", "/cstest?state+x", NULL, NULL, NULL);
    ck_assert_str_eq(answer->body, "no commserver\n");
    httpd_end(other);
    other = httpd_start(&(httpd_options){
        .no_module = 1,
        .config = LOAD "LoadModule commserver_module "
                       "\"@BUILD@/mod_commserver/.libs/mod_commserver.so\"\n"
                       "CommServerSegmentSize 16M\n" PLACE });
    answer = http_once(other, "GET", "/cstest?publish+orders+x+zoe", NULL, NULL, NULL);
    ck_assert_int_eq(strncmp(answer->body, "0 ok\n", 5), 0);
    httpd_graceful(other);
    answer = http_once(other, "GET", "/cstest?publish+orders+x+zoe", NULL, NULL, NULL);
    ck_assert_int_eq(strncmp(answer->body, "0 ok\n", 5), 0);
    httpd_end(other);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sibling");
    TCase *tc = tcase_create("sibling");

    support_need_httpd();
    tcase_add_unchecked_fixture(tc, start, end);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_module_publishes_to_one);
    tcase_add_test(tc, a_module_publishes_to_several_all_or_none);
    tcase_add_test(tc, bad_calls_have_their_status);
    tcase_add_test(tc, a_module_asks_for_the_state_of_a_client);
    tcase_add_test(tc, a_module_refuses_messages);
    tcase_add_test(tc, a_module_publishes_to_devices);
    tcase_add_test(tc, a_module_says_what_a_message_is_like);
    tcase_add_test(tc, a_module_has_groups);
    tcase_add_test(tc, load_order_does_not_matter_and_absence_is_no_crash);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
