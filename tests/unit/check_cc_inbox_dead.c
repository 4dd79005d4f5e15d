/* SPDX-License-Identifier: Apache-2.0
 * check_cc_inbox_dead.c - delays, the dead list and reports in the durable store.
 */
#include "inbox_fixture.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_off(int64_t seq, int64_t due)
{
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_put_off(inbox, "orders", seq, due), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
}

START_TEST(a_delay_outlives_the_agent_and_ends_with_its_message)
{
    int64_t seq;
    loaded l;

    inbox_add("a");
    inbox_add("b");
    seq = inbox_load(0, 1).seq;
    put_off(seq, NOW + 5000);
    put_off(seq, NOW + 6000);
    inbox_reopen();
    l = inbox_load(0, 1);
    ck_assert_str_eq(l.ids, "a");
    ck_assert_int_eq(l.due, NOW + 6000);
    ck_assert_int_eq(l.attempt, 1);
    ck_assert_int_eq(inbox_load(0, 1).attempt, 1);
    ck_assert_int_eq(inbox_load(0, 2).due, 0);
    put_off(seq, NOW - 1);
    l = inbox_load(0, 1);
    ck_assert_int_eq(l.due, NOW - 1);
    ck_assert_int_eq(inbox_load(0, 1).attempt, 2);
    put_off(seq, NOW + 366 * DAY);
    ck_assert_int_eq(inbox_load(0, 1).due, 0);
    inbox_remove(seq);
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_put_off(inbox, "orders", seq, NOW), CC_EMPTY);
    ck_assert_int_eq(cc_inbox_put_off(inbox, "mail", seq, NOW), CC_EMPTY);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    inbox_reopen();
    ck_assert_str_eq(inbox_load(0, 9).ids, "b");
}
END_TEST

static char dead_text[1024];
static int64_t dead_number;

static void note_dead(void *baton, const cc_dead *dead)
{
    size_t len = strlen(dead_text);

    (void)baton;
    dead_number = dead->number;
    snprintf(dead_text + len, sizeof(dead_text) - len, "%s %s %s %s %d %lld %.*s\n",
             dead->server, dead->app, dead->id, dead->reason, dead->attempt,
             (long long)dead->size, (int)dead->raw.len, dead->raw.data);
}

static const char *list_dead(void)
{
    dead_text[0] = '\0';
    ck_assert_int_eq(cc_inbox_dead_list(inbox, note_dead, NULL), CC_OK);
    return dead_text;
}

static cc_status reject(int64_t seq)
{
    cc_status status;

    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    status = cc_inbox_reject(inbox, "orders", seq, 1, "why", NOW);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    return status;
}

START_TEST(a_rejected_message_is_on_the_dead_list_as_it_came)
{
    const char *raw = "{\"id\":\"a\",\"app\":\"orders\",\"length\":1,\"data\":1}";
    int64_t seq;

    inbox_add("a");
    inbox_add("b");
    seq = inbox_load(0, 1).seq;
    ck_assert_int_eq(reject(seq), CC_OK);
    ck_assert_int_eq(reject(seq), CC_EMPTY);
    inbox_reopen();
    ck_assert_int_eq(inbox_count(), 1);
    ck_assert_str_eq(inbox_load(0, 9).ids, "b");
    ck_assert_str_eq(list_dead(),
                     support_text("main orders a why 1 %zu \n", strlen(raw)));
    dead_text[0] = '\0';
    ck_assert_int_eq(cc_inbox_dead_get(inbox, dead_number, note_dead, NULL), CC_OK);
    ck_assert_ptr_nonnull(strstr(dead_text, raw));
    ck_assert_int_eq(inbox_add("a"), CC_DUPLICATE);
    ck_assert_int_eq(cc_inbox_dead_remove(inbox, dead_number + 1), CC_EMPTY);
    ck_assert_int_eq(cc_inbox_dead_get(inbox, dead_number + 1, note_dead, NULL),
                     CC_EMPTY);
    ck_assert_int_eq(cc_inbox_dead_remove(inbox, dead_number), CC_OK);
    ck_assert_str_eq(list_dead(), "");
}
END_TEST

START_TEST(a_rejection_that_was_rolled_back_never_was)
{
    int64_t seq;

    inbox_add("a");
    seq = inbox_load(0, 1).seq;
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_reject(inbox, "orders", seq, 1, "why", NOW), CC_OK);
    cc_inbox_rollback(inbox);
    ck_assert_str_eq(list_dead(), "");
    ck_assert_str_eq(inbox_load(0, 9).ids, "a");
}
END_TEST

START_TEST(that_a_receipt_is_wanted_is_kept)
{
    cc_envelope envelope = inbox_message("a", "orders", "1");
    cc_place place;
    int64_t seq;

    envelope.receipt = 1;
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_add(inbox, "main", &envelope, 0, NOW, 0, &seq), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    inbox_reopen();
    ck_assert_int_eq(cc_inbox_find(inbox, "a", &place), CC_OK);
    ck_assert(place.receipt);
    ck_assert(inbox_load(0, 9).receipt);
}
END_TEST

static cc_status add_report(const char *server, const char *id, int64_t now)
{
    return cc_inbox_report_add(inbox, server, id, now);
}

START_TEST(reports_are_kept_by_server_until_told)
{
    cc_reports reports;
    int i;

    ck_assert_int_eq(cc_inbox_report_list(inbox, "main", &reports), CC_EMPTY);
    for (i = 0; i < 150; i++)
        add_report(i % 2 ? "main" : "other", support_text("id%d", i), NOW);
    inbox_reopen();
    ck_assert_int_eq(cc_inbox_report_list(inbox, "main", &reports), CC_OK);
    ck_assert_uint_eq(reports.count, 75);
    ck_assert_str_eq(reports.ids[0], "id1");
    ck_assert_str_eq(reports.ids[74], "id149");
    add_report("main", "later", NOW);
    ck_assert_int_eq(cc_inbox_report_remove(inbox, "main", reports.last), CC_OK);
    ck_assert_int_eq(cc_inbox_report_list(inbox, "main", &reports), CC_OK);
    ck_assert_uint_eq(reports.count, 1);
    ck_assert_str_eq(reports.ids[0], "later");
    ck_assert_int_eq(cc_inbox_report_list(inbox, "other", &reports), CC_OK);
    ck_assert_uint_eq(reports.count, 75);
    ck_assert_int_eq(cc_inbox_report_list(inbox, "third", &reports), CC_EMPTY);
}
END_TEST

START_TEST(reports_are_bounded_in_number_and_age)
{
    cc_reports reports;
    int64_t dropped;
    int i;

    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    for (i = 0; i < 20001; i++)
        ck_assert_int_eq(add_report("main", support_text("id%d", i), NOW), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_report_list(inbox, "main", &reports), CC_OK);
    ck_assert_uint_eq(reports.count, CC_REPORTS_MAX);
    ck_assert_str_eq(reports.ids[0], "id1000");
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 30 * DAY, &dropped), CC_OK);
    ck_assert_int_eq(cc_inbox_report_list(inbox, "main", &reports), CC_OK);
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 30 * DAY + 1, &dropped), CC_OK);
    ck_assert_int_eq(cc_inbox_report_list(inbox, "main", &reports), CC_EMPTY);
}
END_TEST

START_TEST(the_dead_list_is_bounded)
{
    cc_slice none = { "", 0 }, raw = { NULL, 1 << 20 };
    cc_inbox_usage usage;
    int i;

    raw.data = calloc(1, raw.len);
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    for (i = 0; i < 1010; i++)
        ck_assert_int_eq(
            cc_inbox_bury(inbox, "main", none, none, "why", cc_slice_of("{}"), NOW),
            CC_OK);
    cc_inbox_usage_get(inbox, &usage);
    ck_assert_int_eq(usage.dead, 1000);
    for (i = 0; i < 70; i++)
        ck_assert_int_eq(cc_inbox_bury(inbox, "main", none, none, "why", raw, NOW),
                         CC_OK);
    cc_inbox_usage_get(inbox, &usage);
    ck_assert_int_eq(usage.dead, 64);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    free((char *)raw.data);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_inbox_dead");
    TCase *c = tcase_create("cc_inbox_dead");

    tcase_add_checked_fixture(c, inbox_set_up, inbox_tear_down);
    tcase_add_test(c, a_delay_outlives_the_agent_and_ends_with_its_message);
    tcase_add_test(c, a_rejected_message_is_on_the_dead_list_as_it_came);
    tcase_add_test(c, a_rejection_that_was_rolled_back_never_was);
    tcase_add_test(c, that_a_receipt_is_wanted_is_kept);
    tcase_add_test(c, reports_are_kept_by_server_until_told);
    tcase_add_test(c, reports_are_bounded_in_number_and_age);
    tcase_add_test(c, the_dead_list_is_bounded);
    suite_add_tcase(s, c);
    return support_run(s);
}
