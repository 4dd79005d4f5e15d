/* SPDX-License-Identifier: Apache-2.0
 * check_cc_dead.c - what the user does with the dead list.
 */
#include "cc_time.h"
#include "dispatch_fixture.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>

static const cc_dead_choice all = { "", "" };

static char listed[4096];

static void note_dead(void *baton, const cc_dead *dead)
{
    char id[CC_DEAD_ID_MAX];
    size_t len = strlen(listed);

    (void)baton;
    cc_dispatch_dead_id(dead, id);
    snprintf(listed + len, sizeof(listed) - len, "%s/%s/%d ", id, dead->app,
             dead->attempt);
}

static const char *list(const char *id, const char *app)
{
    cc_dead_choice choice = { id, app };

    listed[0] = '\0';
    if (cc_dispatch_dead_list(dispatch, &choice, note_dead, NULL) == CC_NOT_FOUND)
        return "not found";
    return listed;
}

static void retry(const char *id, size_t retried, size_t left)
{
    cc_dead_choice choice = { id, "" };
    size_t given, stayed;

    ck_assert_int_eq(
        cc_dispatch_dead_retry(dispatch, &choice, cc_time_now(), &given, &stayed), CC_OK);
    ck_assert_uint_eq(given, retried);
    ck_assert_uint_eq(stayed, left);
}

static void reject_range(const char *app, const char *prefix, int from, int to)
{
    int i;

    subscribe(&one, app, to + 9);
    take_range(app, prefix, from, to);
    for (i = from; i <= to; i++)
        ck_assert_int_eq(
            cc_dispatch_reject(one.client, support_text("%s%d", prefix, i), NULL), CC_OK);
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    told(&one);
}

/* What has no id, what is no message, and what may not come from that server. */
static void bury_three(void)
{
    read_config("[server main]\nurl=http://x/\n[server other]\nurl=http://y/\n"
                "[app orders]\nservers=main\n[app mail]\nservers=other\n");
    crash();
    ck_assert_int_eq(take_text("main",
                               "{\"cursor\":\"e-1\",\"messages\":[{\"app\":\"a\"},"
                               "{\"id\":\"m\",\"app\":\"mail\",\"length\":1,"
                               "\"data\":1}]}"),
                     CC_OK);
    ck_assert_int_eq(cc_dispatch_take_unusable(dispatch, "main", cc_slice_of("e-2"),
                                               "why", cc_slice_of("<html>"),
                                               cc_time_now()),
                     CC_OK);
}

START_TEST(entries_are_found_by_id_number_and_application)
{
    reject_range("orders", "x", 1, 2);
    reject_range("mail", "y", 1, 1);
    ck_assert_str_eq(list("", ""), "x1/orders/1 x2/orders/1 y1/mail/1 ");
    ck_assert_str_eq(list("", "orders"), "x1/orders/1 x2/orders/1 ");
    ck_assert_str_eq(list("x2", ""), "x2/orders/1 ");
    ck_assert_str_eq(list("dead.3", ""), "y1/mail/1 ");
    ck_assert_str_eq(list("x2", "mail"), "not found");
    ck_assert_str_eq(list("x3", ""), "not found");
    ck_assert_str_eq(list("", "none"), "");
    bury_three();
    ck_assert_str_eq(list("dead.4", ""), "dead.4/a/0 ");
    ck_assert_str_eq(list("dead.6", ""), "dead.6//0 ");
}
END_TEST

START_TEST(a_message_given_again_comes_last_and_counts_on)
{
    reject_range("orders", "x", 1, 2);
    take_range("orders", "z", 1, 1);
    ck_assert_str_eq(told(&one), "m:z1/1 ");
    retry("x2", 1, 0);
    ck_assert_str_eq(told(&one), "m:x2/2 ");
    ck_assert_str_eq(list("", ""), "x1/orders/1 ");
    retry("", 1, 0);
    ck_assert_str_eq(told(&one), "m:x1/2 ");
    ack(&one, "x1");
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    crash();
    subscribe(&one, "orders", 9);
    ck_assert_str_eq(told(&one), "m:z1/2 m:x2/3 ");
    ck_assert_str_eq(list("", ""), "");
}
END_TEST

START_TEST(it_waits_for_an_application_that_is_not_there)
{
    reject_range("orders", "x", 1, 2);
    detach(&one);
    attach(&one);
    retry("", 2, 0);
    crash();
    subscribe(&one, "orders", 9);
    ck_assert_str_eq(told(&one), "m:x1/2 m:x2/2 ");
}
END_TEST

/* By its id, before anybody was given it. */
START_TEST(what_was_rejected_unseen_is_given_again)
{
    take_range("orders", "x", 1, 2);
    ck_assert_int_eq(cc_dispatch_reject(one.client, "x2", NULL), CC_OK);
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    told(&one);
    retry("x2", 1, 0);
    subscribe(&one, "orders", 9);
    ck_assert_str_eq(told(&one), "m:x1/1 m:x2/2 ");
}
END_TEST

START_TEST(what_is_unknown_is_not_found)
{
    cc_dead_choice choice = { "x1", "" };
    size_t n, left;

    ck_assert_int_eq(cc_dispatch_dead_retry(dispatch, &choice, 1, &n, &left),
                     CC_NOT_FOUND);
    ck_assert_int_eq(cc_dispatch_dead_remove(dispatch, &choice, &n), CC_NOT_FOUND);
    ck_assert_int_eq(cc_dispatch_dead_get(dispatch, &choice, note_dead, NULL),
                     CC_NOT_FOUND);
    retry("", 0, 0);
    ck_assert_int_eq(cc_dispatch_dead_remove(dispatch, &all, &n), CC_OK);
    ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(what_cannot_be_used_stays)
{
    bury_three();
    retry("", 0, 3);
    ck_assert_str_eq(list("", ""), "dead.1/a/0 m/mail/0 dead.3//0 ");
}
END_TEST

START_TEST(what_the_configuration_allows_now_is_given)
{
    bury_three();
    read_config("[server main]\nurl=http://x/\n");
    crash();
    retry("", 1, 2);
    subscribe(&one, "mail", 1);
    ck_assert_str_eq(told(&one), "m:m/1 ");
}
END_TEST

/* It was buried, came again when it could be used, and was given. */
START_TEST(what_came_another_way_is_not_given_twice)
{
    bury_three();
    read_config("[server main]\nurl=http://x/\n");
    crash();
    subscribe(&one, "mail", 1);
    take_range("mail", "m", 1, 1);
    ck_assert_int_eq(take_text("main", "{\"cursor\":\"e-3\",\"messages\":[{\"id\":\"m\","
                                       "\"app\":\"mail\",\"length\":1,\"data\":1}]}"),
                     CC_OK);
    ack(&one, "m1");
    ack(&one, "m");
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    told(&one);
    retry("m", 1, 0);
    ck_assert_str_eq(told(&one), "");
    ck_assert_str_eq(list("m", ""), "not found");
}
END_TEST

START_TEST(removed_is_gone_for_good)
{
    cc_dead_choice choice = { "x1", "" }, of_mail = { "", "mail" };
    size_t n;

    reject_range("orders", "x", 1, 3);
    reject_range("mail", "y", 1, 2);
    ck_assert_int_eq(cc_dispatch_dead_remove(dispatch, &choice, &n), CC_OK);
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(cc_dispatch_dead_remove(dispatch, &of_mail, &n), CC_OK);
    ck_assert_uint_eq(n, 2);
    crash();
    ck_assert_str_eq(list("", ""), "x2/orders/1 x3/orders/1 ");
    ck_assert_int_eq(cc_dispatch_dead_remove(dispatch, &all, &n), CC_OK);
    ck_assert_str_eq(list("", ""), "");
    take_range("orders", "x", 1, 3);
    ck_assert_uint_eq(intake.duplicates, 3);
}
END_TEST

START_TEST(one_that_has_expired_is_given_all_the_same)
{
    char time[CC_TIME_TEXT], text[512];
    int64_t expires = cc_time_now() + process_scale(300);

    cc_time_format(expires, time);
    subscribe(&one, "orders", 1);
    snprintf(text, sizeof(text),
             "{\"cursor\":\"e-1\",\"messages\":[{\"id\":\"x\","
             "\"app\":\"orders\",\"expires\":\"%s\",\"length\":1,\"data\":1}]}",
             time);
    ck_assert_int_eq(take_text("main", text), CC_OK);
    ck_assert_int_eq(cc_dispatch_reject(one.client, "x", NULL), CC_OK);
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    wait_until(cc_time_now() > expires, 5000);
    told(&one);
    retry("x", 1, 0);
    ck_assert_str_eq(told(&one), "m:x/2 ");
}
END_TEST

static char shown[256];

static void note_raw(void *baton, const cc_dead *dead)
{
    (void)baton;
    snprintf(shown, sizeof(shown), "%.*s", (int)dead->raw.len, dead->raw.data);
}

START_TEST(an_entry_is_shown_as_it_came)
{
    cc_dead_choice choice = { "x1", "" }, answer = { "dead.4", "" };

    reject_range("orders", "x", 1, 1);
    ck_assert_int_eq(cc_dispatch_dead_get(dispatch, &choice, note_raw, NULL), CC_OK);
    ck_assert_str_eq(shown, "{\"id\":\"x1\",\"app\":\"orders\",\"length\":1,\"data\":1}");
    bury_three();
    ck_assert_int_eq(cc_dispatch_dead_get(dispatch, &answer, note_raw, NULL), CC_OK);
    ck_assert_str_eq(shown, "<html>");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_dead");
    TCase *c = tcase_create("dead");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, entries_are_found_by_id_number_and_application);
    tcase_add_test(c, a_message_given_again_comes_last_and_counts_on);
    tcase_add_test(c, it_waits_for_an_application_that_is_not_there);
    tcase_add_test(c, what_was_rejected_unseen_is_given_again);
    tcase_add_test(c, what_is_unknown_is_not_found);
    tcase_add_test(c, what_cannot_be_used_stays);
    tcase_add_test(c, what_the_configuration_allows_now_is_given);
    tcase_add_test(c, what_came_another_way_is_not_given_twice);
    tcase_add_test(c, removed_is_gone_for_good);
    tcase_add_test(c, one_that_has_expired_is_given_all_the_same);
    tcase_add_test(c, an_entry_is_shown_as_it_came);
    suite_add_tcase(s, c);
    return support_run(s);
}
