/* SPDX-License-Identifier: Apache-2.0
 * check_cc_quota.c - applications that take less than they get.
 */
#include "cc_time.h"
#include "dispatch_fixture.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

/* A message of about 10 KB with what the inbox counts for it. */
static void add_large(cc_buffer *out, const char *app, int number)
{
    char data[10001];

    memset(data, 'x', sizeof(data) - 1);
    data[sizeof(data) - 1] = '\0';
    cc_buffer_format(out,
                     "{\"id\":\"%s%d\",\"app\":\"%s\",\"length\":10002,\"data\":\"%s\"}",
                     app, number, app, data);
}

/* Batches of ten. */
static void take_large(const char *server, const char *app, int from, int to)
{
    cc_buffer text = { NULL, 0, 0 };
    int i, j;

    for (i = from; i <= to; i += 10) {
        cc_buffer_reset(&text, 1 << 20);
        cc_buffer_format(&text, "{\"cursor\":\"e-%d\",\"messages\":[", i);
        for (j = i; j < i + 10 && j <= to; j++) {
            cc_buffer_add_text(&text, j > i ? "," : "");
            add_large(&text, app, j);
        }
        cc_buffer_add_text(&text, "]}");
        ck_assert_int_eq(take_text(server, text.data), CC_OK);
    }
    cc_buffer_clear(&text);
}

static int64_t bytes_of(const char *app)
{
    cc_app_usage usage;

    cc_inbox_app_usage(inbox, app, &usage);
    return usage.bytes;
}

static int64_t messages_of(const char *app)
{
    cc_app_usage usage;

    cc_inbox_app_usage(inbox, app, &usage);
    return usage.messages;
}

static void start_with(const char *text)
{
    read_config(text);
    crash();
}

/* A quota of 1 MB has room for 102 of these. */
static void start_small(void)
{
    start_with("[server main]\nurl=http://x/\n[app orders]\nquota=1M\n");
}

START_TEST(the_oldest_make_room_and_leave_a_gap)
{
    start_small();
    take_large("main", "orders", 1, 100);
    ck_assert_int_eq(messages_of("orders"), 100);
    take_large("main", "orders", 101, 200);
    ck_assert_int_le(bytes_of("orders"), 1 << 20);
    ck_assert_int_eq(messages_of("orders"), 102);
    subscribe(&one, "orders", 2);
    ck_assert_str_eq(told(&one), "g:orders/98 m:orders99/1 m:orders100/1 ");
}
END_TEST

START_TEST(other_applications_are_left_alone)
{
    start_small();
    take_large("main", "mail", 1, 200);
    take_large("main", "orders", 1, 200);
    ck_assert_int_eq(messages_of("mail"), 200);
    ck_assert_int_eq(messages_of("orders"), 102);
    subscribe(&one, "mail", 1);
    ck_assert_str_eq(told(&one), "m:mail1/1 ");
}
END_TEST

START_TEST(what_an_application_is_at_stays)
{
    start_small();
    subscribe(&one, "orders", 3);
    take_large("main", "orders", 1, 200);
    ck_assert_int_eq(
        strncmp(one.text, "m:orders1/1 m:orders2/1 m:orders3/1 g:orders/", 45), 0);
    told(&one);
    ack(&one, "orders2");
    ck_assert_str_eq(told(&one), "m:orders102/1 ");
    cc_dispatch_commit(dispatch);
    ck_assert_int_eq(messages_of("orders"), 101);
    detach(&one);
    attach(&one);
    subscribe(&one, "orders", 3);
    ck_assert_ptr_nonnull(strstr(one.text, "m:orders1/2 m:orders3/2 m:orders102/2 "));
    ck_assert_ptr_nonnull(strstr(one.text, "g:orders/98 "));
}
END_TEST

START_TEST(what_is_put_off_goes_as_the_others)
{
    start_small();
    subscribe(&one, "orders", 1);
    take_large("main", "orders", 1, 10);
    ck_assert_int_eq(cc_dispatch_put_off(one.client, "orders1", 3600), CC_OK);
    take_large("main", "orders", 11, 200);
    ck_assert_int_eq(cc_dispatch_acknowledge(one.client, "orders1"), CC_OK);
    cc_dispatch_commit(dispatch);
    ck_assert_int_eq(messages_of("orders"), 102);
    ck_assert_ptr_nonnull(strstr(one.text, "a:orders1 "));
}
END_TEST

START_TEST(each_server_has_its_gap)
{
    start_with("[server main]\nurl=http://x/\n[server other]\nurl=http://y/\n"
               "[app orders]\nservers=main other\nquota=1M\n");
    take_large("main", "orders", 1, 50);
    take_large("other", "orders", 51, 100);
    take_large("main", "orders", 101, 180);
    subscribe(&one, "orders", 1);
    ck_assert_str_eq(told(&one), "g:orders/50 g:orders/28 m:orders79/1 ");
}
END_TEST

START_TEST(half_of_the_inbox_is_the_default)
{
    start_with("[agent]\ninbox_max=4M\n[server main]\nurl=http://x/\n"
               "[app all]\nquota=none\n[app more]\nquota=3M\n");
    take_large("main", "orders", 1, 300);
    ck_assert_int_eq(messages_of("orders"), 204);
    take_large("main", "all", 1, 600);
    ck_assert_int_eq(messages_of("all"), 600);
    take_large("main", "more", 1, 400);
    ck_assert_int_eq(messages_of("more"), 306);
}
END_TEST

START_TEST(the_use_is_the_same_after_a_restart)
{
    int64_t bytes;

    start_small();
    subscribe(&one, "orders", 20);
    take_large("main", "orders", 1, 30);
    ack(&one, "orders3");
    ack(&one, "orders7");
    ack(&one, "orders15");
    cc_dispatch_commit(dispatch);
    bytes = bytes_of("orders");
    ck_assert_int_eq(messages_of("orders"), 27);
    crash();
    ck_assert_int_eq(bytes_of("orders"), bytes);
    ck_assert_int_eq(messages_of("orders"), 27);
}
END_TEST

START_TEST(what_is_done_with_counts_no_more)
{
    int i;

    start_small();
    one.no_acked = 1;
    subscribe(&one, "orders", 100);
    take_large("main", "orders", 1, 100);
    for (i = 2; i <= 100; i++)
        ack(&one, support_text("orders%d", i));
    take_large("main", "orders", 101, 190);
    ck_assert_int_eq(messages_of("orders"), 91);
    ck_assert_ptr_null(strstr(one.text, "g:"));
}
END_TEST

/* A batch that is larger than the quota is handed on whole. */
START_TEST(what_has_just_come_stays)
{
    cc_buffer text = { NULL, 0, 0 };
    int i;

    start_small();
    take_large("main", "orders", 1, 10);
    cc_buffer_add_text(&text, "{\"cursor\":\"f-1\",\"messages\":[");
    for (i = 11; i <= 160; i++) {
        cc_buffer_add_text(&text, i > 11 ? "," : "");
        add_large(&text, "orders", i);
    }
    cc_buffer_add_text(&text, "]}");
    ck_assert_int_eq(take_text("main", text.data), CC_OK);
    cc_buffer_clear(&text);
    ck_assert_int_eq(messages_of("orders"), 150);
    subscribe(&one, "orders", 1);
    ck_assert_str_eq(told(&one), "g:orders/10 m:orders11/1 ");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_quota");
    TCase *c = tcase_create("quota");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, the_oldest_make_room_and_leave_a_gap);
    tcase_add_test(c, other_applications_are_left_alone);
    tcase_add_test(c, what_an_application_is_at_stays);
    tcase_add_test(c, what_is_put_off_goes_as_the_others);
    tcase_add_test(c, each_server_has_its_gap);
    tcase_add_test(c, half_of_the_inbox_is_the_default);
    tcase_add_test(c, the_use_is_the_same_after_a_restart);
    tcase_add_test(c, what_is_done_with_counts_no_more);
    tcase_add_test(c, what_has_just_come_stays);
    suite_add_tcase(s, c);
    return support_run(s);
}
