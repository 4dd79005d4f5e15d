/* SPDX-License-Identifier: Apache-2.0
 * check_cc_dispatch.c - who gets which message, and what is kept of it.
 */
#include "dispatch_fixture.h"
#include "cc_time.h"
#include "support/support.h"

#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

START_TEST(messages_are_given_in_order_as_they_come)
{
    char cursor[CC_CURSOR_MAX + 1];

    subscribe(&one, "orders", 0);
    take_range("orders", "x", 1, 3);
    ck_assert_str_eq(told(&one), "m:x1/1 m:x2/1 m:x3/1 ");
    ck_assert_int_eq(cc_dispatch_cursor(dispatch, "main", cursor), CC_OK);
    ck_assert_str_eq(cursor, "e-3");
    take_range("mail", "y", 1, 1);
    ck_assert_str_eq(told(&one), "");
}
END_TEST

START_TEST(the_window_bounds_what_is_unacknowledged)
{
    subscribe(&one, "orders", 2);
    take_range("orders", "x", 1, 4);
    ck_assert_str_eq(told(&one), "m:x1/1 m:x2/1 ");
    ack(&one, "x2");
    ck_assert_str_eq(told(&one), "m:x3/1 ");
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    ck_assert_str_eq(told(&one), "a:x2 ");
    subscribe(&one, "orders", 10);
    ck_assert_str_eq(told(&one), "m:x4/1 ");
}
END_TEST

START_TEST(the_configured_window_counts_when_none_is_named)
{
    subscribe(&one, "narrow", 0);
    take_range("narrow", "x", 1, 4);
    ck_assert_str_eq(told(&one), "m:x1/1 m:x2/1 ");
    subscribe(&two, "orders", 0);
    take_range("orders", "y", 1, 20);
    ck_assert_ptr_nonnull(strstr(two.text, "m:y16/1"));
    ck_assert_ptr_null(strstr(two.text, "m:y17/1"));
}
END_TEST

START_TEST(what_came_before_the_subscriber_is_given_first)
{
    take_range("orders", "x", 1, 3);
    subscribe(&one, "orders", 0);
    take_range("orders", "y", 1, 2);
    ck_assert_str_eq(told(&one), "m:x1/1 m:x2/1 m:x3/1 m:y1/1 m:y2/1 ");
}
END_TEST

START_TEST(a_long_backlog_comes_whole_and_in_order)
{
    char expected[16];
    int i, batch;

    for (batch = 0; batch < 10; batch++)
        take_range("orders", "x", batch * 500 + 1, batch * 500 + 500);
    one.no_acked = 1;
    subscribe(&one, "orders", 7);
    for (i = 1; i <= 5000; i++) {
        if (i == 2500)
            take_range("orders", "x", 5001, 5100);
        snprintf(expected, sizeof(expected), "x%d", i);
        ack(&one, expected);
    }
    for (i = 1; i <= 5007; i++) {
        const char *at = one.text;
        int number = 0, attempt = 0, used = 0;

        ck_assert_int_eq(sscanf(at, "m:x%d/%d %n", &number, &attempt, &used), 2);
        ck_assert_int_eq(number, i);
        ck_assert_int_eq(attempt, 1);
        memmove(one.text, at + used, strlen(at + used) + 1);
    }
    ck_assert_str_eq(one.text, "");
}
END_TEST

START_TEST(subscribers_share)
{
    subscribe(&one, "orders", 0);
    subscribe(&two, "orders", 0);
    take_range("orders", "x", 1, 4);
    ck_assert_str_eq(told(&one), "m:x1/1 m:x3/1 ");
    ck_assert_str_eq(told(&two), "m:x2/1 m:x4/1 ");
}
END_TEST

START_TEST(a_slow_subscriber_is_passed_over)
{
    subscribe(&one, "orders", 0);
    subscribe(&two, "orders", 0);
    one.room = 1;
    take_range("orders", "x", 1, 4);
    ck_assert_str_eq(told(&one), "m:x1/1 ");
    ck_assert_str_eq(told(&two), "m:x2/1 m:x3/1 m:x4/1 ");
    one.room = 0;
    two.room = 0;
    take_range("orders", "y", 1, 2);
    ck_assert_str_eq(told(&two), "");
    two.room = 9;
    cc_dispatch_ready(two.client);
    ck_assert_str_eq(told(&two), "m:y1/1 m:y2/1 ");
}
END_TEST

START_TEST(what_a_subscriber_leaves_goes_to_another_in_order)
{
    subscribe(&one, "orders", 3);
    take_range("orders", "x", 1, 5);
    ack(&one, "x2");
    ck_assert_str_eq(told(&one), "m:x1/1 m:x2/1 m:x3/1 m:x4/1 ");
    subscribe(&two, "orders", 10);
    ck_assert_str_eq(told(&two), "m:x5/1 ");
    detach(&one);
    ck_assert_str_eq(told(&two), "m:x1/2 m:x3/2 m:x4/2 ");
}
END_TEST

START_TEST(what_the_last_subscriber_leaves_is_given_again)
{
    subscribe(&one, "orders", 2);
    take_range("orders", "x", 1, 4);
    detach(&one);
    attach(&one);
    subscribe(&one, "orders", 3);
    ck_assert_str_eq(told(&one), "m:x1/2 m:x2/2 m:x3/1 ");
    detach(&one);
    attach(&one);
    subscribe(&one, "orders", 4);
    ck_assert_str_eq(told(&one), "m:x1/3 m:x2/3 m:x3/2 m:x4/1 ");
}
END_TEST

START_TEST(after_a_crash_nothing_on_its_way_is_a_first_attempt)
{
    subscribe(&one, "orders", 0);
    take_range("orders", "x", 1, 2);
    take_range("mail", "y", 1, 1);
    ack(&one, "x1");
    crash();
    subscribe(&one, "orders", 0);
    subscribe(&one, "mail", 0);
    ck_assert_str_eq(told(&one), "m:x1/2 m:x2/2 m:y1/1 ");
}
END_TEST

START_TEST(an_acknowledged_message_never_comes_again)
{
    subscribe(&one, "orders", 0);
    take("x");
    ack(&one, "x1");
    cc_dispatch_commit(dispatch);
    ck_assert_str_eq(told(&one), "m:x1/1 a:x1 ");
    crash();
    subscribe(&one, "orders", 0);
    take("x");
    ck_assert_uint_eq(intake.duplicates, 1);
    ck_assert_str_eq(told(&one), "");
}
END_TEST

START_TEST(acknowledging_again_is_harmless)
{
    subscribe(&one, "orders", 0);
    take("x");
    ack(&one, "x1");
    ack(&one, "x1");
    cc_dispatch_commit(dispatch);
    ack(&two, "x1");
    cc_dispatch_commit(dispatch);
    ck_assert_str_eq(told(&one), "m:x1/1 a:x1 a:x1 ");
    ck_assert_str_eq(told(&two), "a:x1 ");
    ck_assert_int_eq(cc_dispatch_acknowledge(one.client, "never"), CC_NOT_FOUND);
    ck_assert_int_eq(cc_dispatch_acknowledge(one.client, ""), CC_NOT_FOUND);
    ck_assert_int_eq(cc_dispatch_acknowledge(one.client, "a b"), CC_NOT_FOUND);
}
END_TEST

START_TEST(a_message_not_in_memory_can_be_acknowledged)
{
    take("x");
    ack(&one, "x1");
    cc_dispatch_commit(dispatch);
    ck_assert_str_eq(told(&one), "a:x1 ");
    subscribe(&one, "orders", 0);
    ck_assert_str_eq(told(&one), "");
}
END_TEST

START_TEST(who_is_gone_is_not_answered)
{
    subscribe(&one, "orders", 0);
    take("x");
    ack(&one, "x1");
    detach(&one);
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    ck_assert_str_eq(one.text, "m:x1/1 ");
}
END_TEST

START_TEST(acknowledgements_are_committed_by_the_event_loop)
{
    subscribe(&one, "orders", 0);
    take("x");
    ack(&one, "x1");
    ck_assert_str_eq(told(&one), "m:x1/1 ");
    wait_until((event_base_loop(base, EVLOOP_NONBLOCK), one.text[0] != '\0'), 5000);
    ck_assert_str_eq(told(&one), "a:x1 ");
}
END_TEST

START_TEST(a_batch_commits_acknowledgements_along)
{
    subscribe(&one, "orders", 0);
    take("x");
    ack(&one, "x1");
    take("y");
    ck_assert_str_eq(told(&one), "m:x1/1 a:x1 m:y1/1 ");
}
END_TEST

START_TEST(watchers_get_copies_and_take_nothing)
{
    ck_assert_int_eq(cc_dispatch_subscribe(one.client, "orders", 0, 1), CC_OK);
    take("x");
    subscribe(&two, "orders", 0);
    take("y");
    ck_assert_str_eq(told(&one), "c:x1 c:y1 ");
    ck_assert_str_eq(told(&two), "m:x1/1 m:y1/1 ");
    ck_assert_int_eq(cc_dispatch_subscribe(one.client, "orders", 0, 0), CC_DUPLICATE);
    ck_assert_int_eq(cc_dispatch_subscribe(two.client, "orders", 0, 1), CC_DUPLICATE);
}
END_TEST

START_TEST(a_gap_is_told_before_what_follows_until_acknowledged)
{
    char id[64];

    subscribe(&one, "orders", 0);
    ck_assert_int_eq(take_text("main", "{\"cursor\":\"e-9\",\"messages\":[{\"id\":\"x\","
                                       "\"app\":\"orders\",\"length\":1,\"data\":1}],"
                                       "\"gap\":{\"apps\":{\"orders\":3}}}"),
                     CC_OK);
    ck_assert_str_eq(told(&one), "g:orders/3 m:x/1 ");
    strcpy(id, one.gap);
    detach(&one);
    subscribe(&two, "orders", 0);
    ck_assert_str_eq(told(&two), "g:orders/3 m:x/2 ");
    ack(&two, id);
    cc_dispatch_commit(dispatch);
    ck_assert_str_eq(told(&two), support_text("a:%s ", id));
    crash();
    subscribe(&one, "orders", 0);
    ck_assert_str_eq(told(&one), "m:x/3 ");
}
END_TEST

START_TEST(an_unknown_gap_reaches_who_ever_subscribed)
{
    subscribe(&one, "orders", 0);
    detach(&one);
    attach(&one);
    ck_assert_int_eq(take_text("main", "{\"cursor\":\"f-1\",\"messages\":[],"
                                       "\"gap\":{\"apps\":{}}}"),
                     CC_OK);
    subscribe(&one, "orders", 0);
    subscribe(&one, "mail", 0);
    ck_assert_str_eq(told(&one), "g:orders/0 ");
}
END_TEST

START_TEST(the_unusable_is_buried_and_the_cursor_moves_on)
{
    char cursor[CC_CURSOR_MAX + 1];
    cc_inbox_usage usage;

    subscribe(&one, "orders", 0);
    ck_assert_int_eq(
        take_text("main", "{\"cursor\":\"e-5\",\"messages\":[{\"id\":7},"
                          "{\"id\":\"x\",\"app\":\"orders\",\"length\":1,\"data\":1},"
                          "{\"id\":\"y\",\"app\":\"orders\",\"length\":2,\"data\":1}]}"),
        CC_OK);
    ck_assert_str_eq(told(&one), "m:x/1 ");
    ck_assert_uint_eq(intake.buried, 2);
    cc_inbox_usage_get(inbox, &usage);
    ck_assert_int_eq(usage.dead, 2);
    cc_dispatch_cursor(dispatch, "main", cursor);
    ck_assert_str_eq(cursor, "e-5");
}
END_TEST

START_TEST(an_expired_message_is_never_given)
{
    char text[512], time[CC_TIME_TEXT];

    cc_time_format(cc_time_now() - 1000, time);
    subscribe(&one, "orders", 0);
    snprintf(text, sizeof(text),
             "{\"cursor\":\"e-1\",\"messages\":[{\"id\":\"x\","
             "\"app\":\"orders\",\"expires\":\"%s\",\"length\":1,\"data\":1}]}",
             time);
    ck_assert_int_eq(take_text("main", text), CC_OK);
    ck_assert_uint_eq(intake.expired, 1);
    ck_assert_str_eq(told(&one), "");
}
END_TEST

START_TEST(a_message_that_expires_while_it_waits_is_never_given)
{
    char text[512], time[CC_TIME_TEXT];
    int64_t expires = cc_time_now() + process_scale(150);

    cc_time_format(expires, time);
    subscribe(&one, "orders", 0);
    one.room = 0;
    snprintf(text, sizeof(text),
             "{\"cursor\":\"e-1\",\"messages\":[{\"id\":\"x\","
             "\"app\":\"orders\",\"expires\":\"%s\",\"length\":1,\"data\":1}]}",
             time);
    ck_assert_int_eq(take_text("main", text), CC_OK);
    ck_assert_uint_eq(intake.stored, 1);
    wait_until(cc_time_now() >= expires, 5000);
    one.room = 9;
    cc_dispatch_ready(one.client);
    ck_assert_str_eq(told(&one), "");
}
END_TEST

static const char *const from_main =
    "{\"cursor\":\"e-1\",\"messages\":[{\"id\":\"x\",\"app\":\"orders\",\"length\":1,"
    "\"data\":1}],\"gap\":{\"apps\":{\"orders\":2}}}";

START_TEST(a_server_that_may_not_feed_an_application_does_not)
{
    read_config("[server main]\nurl=http://x/\n[server other]\nurl=http://y/\n"
                "[app orders]\nservers=other\n");
    crash();
    subscribe(&one, "orders", 0);
    ck_assert_int_eq(take_text("main", from_main), CC_OK);
    ck_assert_uint_eq(intake.buried, 1);
    ck_assert_str_eq(told(&one), "");
    ck_assert_int_eq(take_text("other", from_main), CC_OK);
    ck_assert_str_eq(told(&one), "g:orders/2 m:x/1 ");
}
END_TEST

START_TEST(one_id_of_two_servers_is_two_messages)
{
    read_config("[server main]\nurl=http://x/\n[server other]\nurl=http://y/\n"
                "[app orders]\nservers=other, main\n");
    crash();
    subscribe(&one, "orders", 0);
    ck_assert_int_eq(take_text("main", from_main), CC_OK);
    ck_assert_int_eq(take_text("other", from_main), CC_OK);
    ck_assert_ptr_nonnull(strstr(one.text, "m:x/1 g:orders/2 m:x/1"));
    told(&one);
    ack(&one, "x");
    ack(&one, "x");
    cc_dispatch_commit(dispatch);
    crash();
    subscribe(&one, "orders", 0);
    ck_assert_ptr_null(strstr(one.text, "m:x"));
}
END_TEST

START_TEST(a_full_inbox_says_so)
{
    read_config("[agent]\ninbox_max=1M\n[server main]\nurl=http://x/\n"
                "[app orders]\nquota=none\n");
    crash();
    ck_assert(!cc_dispatch_is_full(dispatch));
    take_range("orders", "x", 1, 5000);
    ck_assert(cc_dispatch_is_full(dispatch));
}
END_TEST

/* A message whose body is of just this size. */
static void take_large(const char *id, size_t size)
{
    cc_buffer text = { NULL, 0, 0 };
    cc_buffer data = { NULL, 0, 0 };
    size_t head = strlen("\"id\":\"\",\"app\":\"orders\",\"length\":,\"data\":\"\"");
    size_t len = size - head - strlen(id) - 7; /* digits of the length        */

    while (data.len < len)
        cc_buffer_add_text(&data, "x");
    cc_buffer_format(&text,
                     "{\"cursor\":\"e-%s\",\"messages\":[{\"id\":\"%s\",\"app\":"
                     "\"orders\",\"length\":%zu,\"data\":\"%s\"}]}",
                     id, id, len + 2, data.data);
    ck_assert_int_eq(take_text("main", text.data), CC_OK);
    cc_buffer_clear(&text);
    cc_buffer_clear(&data);
}

START_TEST(a_message_above_max_message_is_buried)
{
    ck_assert_uint_eq(cc_dispatch_max_line(dispatch), (8u << 20) + 4096);
    take_large("1", 8u << 20);
    ck_assert_uint_eq(intake.stored, 1);
    take_large("2", (8u << 20) + 1);
    ck_assert_uint_eq(intake.buried, 1);
    read_config("[agent]\nmax_message=9M\n[server main]\nurl=http://x/\n");
    crash();
    take_large("3", (8u << 20) + 1);
    ck_assert_uint_eq(intake.stored, 1);
    ck_assert_uint_eq(cc_dispatch_max_line(dispatch), (9u << 20) + 4096);
}
END_TEST

START_TEST(subscriptions_of_a_connection_are_bounded)
{
    int i;

    for (i = 0; i < CC_SUBSCRIPTIONS_MAX; i++)
        ck_assert_int_eq(
            cc_dispatch_subscribe(one.client, support_text("app%d", i), 0, 0), CC_OK);
    ck_assert_int_eq(cc_dispatch_subscribe(one.client, "more", 0, 0), CC_TOO_LARGE);
    ck_assert_int_eq(cc_dispatch_subscribe(one.client, "app7", 5, 0), CC_OK);
}
END_TEST

static char report[512];

static void note_app(void *baton, const cc_app_info *info)
{
    size_t len = strlen(report);

    (void)baton;
    snprintf(report + len, sizeof(report) - len, "%s:%u,%u,%d,%d ", info->name,
             info->subscribers, info->watchers, (int)info->waiting,
             (int)info->unacknowledged);
}

START_TEST(the_numbers_are_right)
{
    subscribe(&one, "orders", 2);
    ck_assert_int_eq(cc_dispatch_subscribe(two.client, "orders", 0, 1), CC_OK);
    take_range("orders", "x", 1, 5);
    take_range("mail", "y", 1, 2);
    subscribe(&two, "idle", 1);
    report[0] = '\0';
    cc_dispatch_apps(dispatch, note_app, NULL);
    ck_assert_str_eq(report, "idle:1,0,0,0 mail:0,0,2,0 narrow:0,0,0,0 orders:1,1,3,2 ");
    report[0] = '\0';
    cc_dispatch_apps(dispatch, note_app, NULL);
    ck_assert_str_eq(report, "idle:1,0,0,0 mail:0,0,2,0 narrow:0,0,0,0 orders:1,1,3,2 ");
}
END_TEST

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* What is asked for meanwhile does not pile up without end. */
START_TEST(a_full_disk_clogs_after_a_while)
{
    struct stat info;
    int i;

    signal(SIGXFSZ, SIG_IGN);
    subscribe(&one, "orders", 0);
    take_range("orders", "x", 1, 1);
    ck_assert_int_eq(stat(inbox_path("-wal"), &info), 0);
    limit_files((rlim_t)info.st_size);
    ack(&one, "x1");
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_STORAGE);
    one.no_acked = 1;
    for (i = 0; !cc_dispatch_is_clogged(dispatch) && i < 200000; i++)
        cc_dispatch_acknowledge(one.client, "gap.x");
    limit_files(RLIM_INFINITY);
    ck_assert_int_lt(i, 200000);
    ck_assert_int_gt(i, 10000);
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    ck_assert(!cc_dispatch_is_clogged(dispatch));
}
END_TEST

/* A full disk, for the process: files grow no more. */
START_TEST(a_full_disk_loses_nothing_and_claims_nothing)
{
    char cursor[CC_CURSOR_MAX + 1];
    struct stat info;

    signal(SIGXFSZ, SIG_IGN);
    subscribe(&one, "orders", 0);
    take_range("orders", "x", 1, 2);
    ck_assert_str_eq(told(&one), "m:x1/1 m:x2/1 ");
    ck_assert_int_eq(stat(inbox_path("-wal"), &info), 0);
    limit_files((rlim_t)info.st_size);
    ack(&one, "x1");
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_STORAGE);
    ck_assert_int_eq(take_text("main", from_main), CC_STORAGE);
    ck_assert_int_eq(take_text("main", from_main), CC_STORAGE);
    ck_assert_str_eq(told(&one), "");
    ck_assert_int_eq(cc_dispatch_cursor(dispatch, "main", cursor), CC_OK);
    ck_assert_str_eq(cursor, "e-2");
    limit_files(RLIM_INFINITY);
    wait_until((event_base_loop(base, EVLOOP_NONBLOCK), one.text[0] != '\0'), 5000);
    ck_assert_str_eq(told(&one), "a:x1 ");
    ck_assert_int_eq(take_text("main", from_main), CC_OK);
    ck_assert_str_eq(told(&one), "g:orders/2 m:x/1 ");
    crash();
    subscribe(&one, "orders", 0);
    ck_assert_str_eq(told(&one), "g:orders/2 m:x2/2 m:x/2 ");
}
END_TEST

/* Two clients come, go, take and acknowledge at random; every message is
 * acknowledged once, and none is lost. */
START_TEST(nothing_is_lost_whatever_comes_and_goes)
{
    recorder *clients[2] = { &one, &two };
    unsigned state = 99;
    int round, next = 1, acked = 0;

    for (round = 0; round < 1000 || acked < next - 1; round++) {
        recorder *r;
        char id[32];
        int used = 0;

        ck_assert_int_lt(round, 100000);
        state = state * 1103515245u + 12345u;
        r = clients[(state >> 8) & 1];
        if (r->client == NULL)
            attach(r);
        switch ((state >> 16) % 16) {
        case 0:
            detach(r);
            r->text[0] = '\0';
            break;
        case 1:
            if (round < 1000) {
                take_range("orders", "x", next, next + 4);
                next += 5;
            }
            break;
        case 2:
            if (state >> 20 & 1)
                crash();
            break;
        case 3:
            subscribe(r, "orders", 1 + (int)((state >> 20) % 8));
            break;
        default:
            if (sscanf(r->text, "m:%31[^/]/%*d %n", id, &used) == 1 && used > 0) {
                ack(r, id);
                ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
                acked++;
                memmove(r->text, r->text + used, strlen(r->text + used) + 1);
            }
            while (sscanf(r->text, "a:%31s %n", id, &used) == 1)
                memmove(r->text, r->text + used, strlen(r->text + used) + 1);
        }
    }
    ck_assert_int_eq(acked, next - 1);
}
END_TEST

static void add_giving(TCase *c)
{
    tcase_add_test(c, messages_are_given_in_order_as_they_come);
    tcase_add_test(c, the_window_bounds_what_is_unacknowledged);
    tcase_add_test(c, the_configured_window_counts_when_none_is_named);
    tcase_add_test(c, what_came_before_the_subscriber_is_given_first);
    tcase_add_test(c, a_long_backlog_comes_whole_and_in_order);
    tcase_add_test(c, subscribers_share);
    tcase_add_test(c, a_slow_subscriber_is_passed_over);
    tcase_add_test(c, what_a_subscriber_leaves_goes_to_another_in_order);
    tcase_add_test(c, what_the_last_subscriber_leaves_is_given_again);
    tcase_add_test(c, after_a_crash_nothing_on_its_way_is_a_first_attempt);
    tcase_add_test(c, watchers_get_copies_and_take_nothing);
    tcase_add_test(c, subscriptions_of_a_connection_are_bounded);
    tcase_add_test(c, the_numbers_are_right);
    tcase_add_test(c, nothing_is_lost_whatever_comes_and_goes);
}

static void add_acknowledging(TCase *c)
{
    tcase_add_test(c, an_acknowledged_message_never_comes_again);
    tcase_add_test(c, acknowledging_again_is_harmless);
    tcase_add_test(c, a_message_not_in_memory_can_be_acknowledged);
    tcase_add_test(c, who_is_gone_is_not_answered);
    tcase_add_test(c, acknowledgements_are_committed_by_the_event_loop);
    tcase_add_test(c, a_batch_commits_acknowledgements_along);
}

static void add_taking(TCase *c)
{
    tcase_add_test(c, a_gap_is_told_before_what_follows_until_acknowledged);
    tcase_add_test(c, an_unknown_gap_reaches_who_ever_subscribed);
    tcase_add_test(c, the_unusable_is_buried_and_the_cursor_moves_on);
    tcase_add_test(c, an_expired_message_is_never_given);
    tcase_add_test(c, a_message_that_expires_while_it_waits_is_never_given);
    tcase_add_test(c, a_server_that_may_not_feed_an_application_does_not);
    tcase_add_test(c, one_id_of_two_servers_is_two_messages);
    tcase_add_test(c, a_full_inbox_says_so);
    tcase_add_test(c, a_message_above_max_message_is_buried);
    tcase_add_test(c, a_full_disk_loses_nothing_and_claims_nothing);
    tcase_add_test(c, a_full_disk_clogs_after_a_while);
}

int main(void)
{
    Suite *s = suite_create("cc_dispatch");
    TCase *giving = tcase_create("giving");
    TCase *acknowledging = tcase_create("acknowledging");
    TCase *taking = tcase_create("taking");

    tcase_add_checked_fixture(giving, set_up, tear_down);
    tcase_add_checked_fixture(acknowledging, set_up, tear_down);
    tcase_add_checked_fixture(taking, set_up, tear_down);
    add_giving(giving);
    add_acknowledging(acknowledging);
    add_taking(taking);
    suite_add_tcase(s, giving);
    suite_add_tcase(s, acknowledging);
    suite_add_tcase(s, taking);
    return support_run(s);
}
