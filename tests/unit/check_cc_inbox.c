/* SPDX-License-Identifier: Apache-2.0
 * check_cc_inbox.c - messages, cursors and gaps in the durable store.
 */
#include "inbox_fixture.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct order {
    int count;
    int last;
    int64_t seq;
} order;

static void note_order(void *baton, const cc_stored *stored)
{
    order *o = baton;
    int round, number;

    ck_assert_int_eq(sscanf(stored->id, "%d-%d", &round, &number), 2);
    ck_assert_int_gt(round * 3000 + number, o->last);
    o->last = round * 3000 + number;
    o->seq = stored->seq;
    o->count++;
}

static void check_order(int expected)
{
    order o = { 0, -1, 0 };

    while (cc_inbox_load(inbox, "orders", o.seq, NOW, 700, 1 << 20, note_order, &o)
           == CC_OK)
        ;
    ck_assert_int_eq(o.count, expected);
}

START_TEST(what_was_committed_is_there_after_reopening)
{
    char cursor[CC_CURSOR_MAX + 1];
    loaded l;

    ck_assert_int_eq(cc_inbox_cursor_get(inbox, "main", cursor), CC_EMPTY);
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(inbox_put("main", "a", 0, NOW), CC_OK);
    ck_assert_int_eq(inbox_put("main", "b", 0, NOW), CC_OK);
    ck_assert_int_eq(cc_inbox_cursor_set(inbox, "main", cc_slice_of("e-2")), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    inbox_reopen();
    ck_assert_int_eq(cc_inbox_cursor_get(inbox, "main", cursor), CC_OK);
    ck_assert_str_eq(cursor, "e-2");
    ck_assert_int_eq(cc_inbox_cursor_get(inbox, "other", cursor), CC_EMPTY);
    ck_assert_int_eq(inbox_count(), 2);
    l = inbox_load(0, 10);
    ck_assert_str_eq(l.ids, "ab");
}
END_TEST

START_TEST(what_was_rolled_back_never_was)
{
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(inbox_put("main", "a", 0, NOW), CC_OK);
    ck_assert_int_eq(inbox_count(), 1);
    cc_inbox_rollback(inbox);
    ck_assert_int_eq(inbox_count(), 0);
    ck_assert_int_eq(inbox_add("a"), CC_OK);
}
END_TEST

START_TEST(a_message_counts_once)
{
    ck_assert_int_eq(inbox_add("a"), CC_OK);
    ck_assert_int_eq(inbox_add("a"), CC_DUPLICATE);
    inbox_remove(inbox_load(0, 1).seq);
    ck_assert_int_eq(inbox_count(), 0);
    ck_assert_int_eq(inbox_add("a"), CC_DUPLICATE);
    inbox_reopen();
    ck_assert_int_eq(inbox_add("a"), CC_DUPLICATE);
    ck_assert_int_eq(inbox_add_expiring("other", "a", NOW + DAY, NOW), CC_OK);
}
END_TEST

START_TEST(ids_are_remembered_until_expiry_and_a_day)
{
    int64_t dropped;

    ck_assert_int_eq(inbox_add_expiring("main", "a", NOW + DAY, NOW), CC_OK);
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 2 * DAY - 1, &dropped), CC_OK);
    ck_assert_int_eq(dropped, 1);
    ck_assert_int_eq(inbox_add_expiring("main", "a", NOW + DAY, NOW + 2 * DAY),
                     CC_DUPLICATE);
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 4 * DAY, &dropped), CC_OK);
    ck_assert_int_eq(inbox_add_expiring("main", "a", NOW + DAY, NOW), CC_OK);
}
END_TEST

START_TEST(a_message_without_expiry_is_recognized_on_another_day)
{
    ck_assert_int_eq(inbox_add_expiring("main", "a", 0, NOW), CC_OK);
    ck_assert_int_eq(inbox_add_expiring("main", "a", 0, NOW + 3 * DAY), CC_DUPLICATE);
    ck_assert_int_eq(inbox_add_expiring("main", "b", NOW + 5000 * DAY, NOW), CC_OK);
    ck_assert_int_eq(inbox_add_expiring("main", "b", NOW + 5000 * DAY, NOW + DAY),
                     CC_DUPLICATE);
}
END_TEST

START_TEST(loading_marks_as_given)
{
    loaded l;

    inbox_add("a");
    inbox_add("b");
    inbox_add("c");
    l = inbox_load(0, 2);
    ck_assert_str_eq(l.ids, "ab");
    ck_assert_int_eq(l.attempt, 0);
    ck_assert_str_eq(inbox_load(l.seq, 2).ids, "c");
    inbox_reopen();
    l = inbox_load(0, 10);
    ck_assert_str_eq(l.ids, "abc");
    ck_assert_int_eq(l.attempt, 1);
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_attempt_set(inbox, "orders", l.seq, 7), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    ck_assert_int_eq(inbox_load(0, 10).attempt, 7);
    ck_assert_int_eq(inbox_load(l.seq, 10).count, 0);
}
END_TEST

START_TEST(a_message_is_found_by_its_id)
{
    cc_place place;

    ck_assert_int_eq(cc_inbox_find(inbox, "a", &place), CC_NOT_FOUND);
    inbox_add("a");
    ck_assert_int_eq(cc_inbox_find(inbox, "a", &place), CC_OK);
    ck_assert_str_eq(place.app, "orders");
    ck_assert_str_eq(place.server, "main");
    ck_assert_int_eq(place.attempt, 0);
    ck_assert(!place.receipt);
    inbox_remove(place.seq);
    ck_assert_int_eq(cc_inbox_find(inbox, "a", &place), CC_EMPTY);
    inbox_remove(place.seq);
}
END_TEST

START_TEST(the_expired_go_and_the_others_stay)
{
    int64_t dropped = -1;

    inbox_add_expiring("main", "late", NOW + DAY, NOW);
    inbox_add_expiring("main", "soon", NOW + 1000, NOW);
    inbox_add_expiring("main", "never", 0, NOW);
    ck_assert_int_eq(cc_inbox_next_expiry(inbox), NOW + 1000);
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 1000, &dropped), CC_OK);
    ck_assert_int_eq(dropped, 1);
    ck_assert_int_eq(inbox_count(), 2);
    ck_assert_str_eq(inbox_load(0, 10).ids, "latenever");
    ck_assert_int_eq(cc_inbox_next_expiry(inbox), NOW + DAY);
}
END_TEST

static int64_t bytes_used(void)
{
    cc_inbox_usage usage;

    cc_inbox_usage_get(inbox, &usage);
    return usage.bytes;
}

/* Messages that came together: one done with leaves the others as they are. */
START_TEST(messages_that_came_together_go_one_by_one)
{
    char id[16];
    loaded l;
    int i;

    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    for (i = 0; i < 10; i++) {
        snprintf(id, sizeof(id), "%d", i);
        ck_assert_int_eq(inbox_put("main", id,
                                   i == 7   ? NOW + 10
                                   : i == 8 ? NOW + 20
                                            : 0,
                                   NOW),
                         CC_OK);
    }
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    l = inbox_load(0, 3);
    inbox_remove(l.seq - 1);
    inbox_remove(l.seq + 3);
    inbox_remove(l.seq + 3);
    ck_assert_int_eq(inbox_count(), 8);
    inbox_reopen();
    ck_assert_int_eq(inbox_count(), 8);
    ck_assert_str_eq(inbox_load(0, 2).ids, "02");
    ck_assert_str_eq(inbox_load(l.seq, 99).ids, "346789");
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 15, &(int64_t){ 0 }), CC_OK);
    ck_assert_str_eq(inbox_load(0, 99).ids, "0234689");
    ck_assert_int_gt(cc_inbox_next_expiry(inbox), NOW + 15);
    for (i = 0; i < 10; i++)
        inbox_remove(l.seq - 2 + i);
    ck_assert_int_eq(inbox_count(), 0);
    ck_assert_int_eq(bytes_used(), 0);
    inbox_reopen();
    ck_assert_int_eq(bytes_used(), 0);
}
END_TEST

/* One of each 100 is not done with: it holds its run in the file. */
START_TEST(what_single_messages_hold_can_be_had_back)
{
    char id[32];
    int64_t before, first;
    int i;

    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    for (i = 0; i < 2000; i++) {
        snprintf(id, sizeof(id), "%d", i);
        ck_assert_int_eq(inbox_put("main", id, i == 700 ? NOW + 10 : 0, NOW), CC_OK);
    }
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    ck_assert(!cc_inbox_is_sparse(inbox));
    before = bytes_used();
    first = inbox_load(0, 1).seq;
    for (i = 0; i < 2000; i++) {
        if (i % 100 != 0)
            inbox_remove(first + i);
    }
    ck_assert_int_eq(inbox_count(), 20);
    ck_assert(cc_inbox_is_sparse(inbox));
    ck_assert_int_gt(bytes_used(), before / 6);
    ck_assert_int_eq(cc_inbox_compact(inbox), CC_OK);
    ck_assert_int_lt(bytes_used(), before / 50);
    ck_assert(!cc_inbox_is_sparse(inbox));
    inbox_reopen();
    ck_assert_int_lt(bytes_used(), before / 50);
    ck_assert_str_eq(inbox_load(0, 3).ids, "0100200");
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 20, &(int64_t){ 0 }), CC_OK);
    ck_assert_int_eq(inbox_count(), 19);
    for (i = 0; i < 2000; i += 100)
        inbox_remove(first + i);
    ck_assert_int_eq(bytes_used(), 0);
}
END_TEST

/* More than one run, more than one transaction, two applications in turns. */
START_TEST(many_messages_keep_their_order_and_their_ids)
{
    char id[32];
    int64_t seq;
    int i, round;

    for (round = 0; round < 10; round++) {
        ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
        for (i = 0; i < 3000; i++) {
            cc_envelope envelope;

            snprintf(id, sizeof(id), "%d-%d", round, i);
            envelope = inbox_message(id, i % 3 ? "orders" : "mail", "1");
            ck_assert_int_eq(cc_inbox_add(inbox, "main", &envelope, 0, NOW, 0, &seq),
                             CC_OK);
        }
        ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    }
    ck_assert_int_eq(inbox_count(), 30000);
    check_order(20000);
    inbox_reopen();
    ck_assert_int_eq(inbox_count(), 30000);
    check_order(20000);
    for (round = 0; round < 10; round++) {
        for (i = 0; i < 3000; i += 251) {
            snprintf(id, sizeof(id), "%d-%d", round, i);
            ck_assert_int_eq(inbox_add_expiring("main", id, 0, NOW), CC_DUPLICATE);
        }
    }
}
END_TEST

START_TEST(a_rolled_back_removal_is_undone)
{
    int64_t seq;

    inbox_add("a");
    seq = inbox_load(0, 1).seq;
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_remove(inbox, "orders", seq, 1), CC_OK);
    ck_assert_int_eq(inbox_count(), 0);
    cc_inbox_rollback(inbox);
    ck_assert_int_eq(inbox_count(), 1);
    ck_assert_int_eq(inbox_load(0, 1).count, 1);
    inbox_remove(seq);
    ck_assert_int_eq(inbox_load(0, 1).count, 0);
}
END_TEST

START_TEST(the_clock_of_the_server_is_allowed_for)
{
    cc_envelope envelope = inbox_message("a", "orders", "1");
    int64_t seq, dropped;

    envelope.expires = NOW + DAY + 5000;
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_add(inbox, "main", &envelope, DAY, NOW, 0, &seq), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_next_expiry(inbox), NOW + 5000);
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 4999, &dropped), CC_OK);
    ck_assert_int_eq(dropped, 0);
}
END_TEST

static char gap_text[256];

static void note_gap(void *baton, const char *server, const char *id, int64_t count)
{
    (void)baton;
    snprintf(gap_text, sizeof(gap_text), "%s %lld %s", server, (long long)count, id);
}

START_TEST(gaps_add_up_and_get_new_ids)
{
    char before[256];

    ck_assert_int_eq(cc_inbox_gap_add(inbox, "main", "orders", 5), CC_OK);
    cc_inbox_gaps(inbox, "orders", note_gap, NULL);
    strcpy(before, gap_text);
    ck_assert_int_eq(strncmp(before, "main 5 gap.", 11), 0);
    ck_assert_int_eq(cc_inbox_gap_add(inbox, "main", "orders", 7), CC_OK);
    ck_assert_int_eq(cc_inbox_gap_remove(inbox, before + 7), CC_OK);
    cc_inbox_gaps(inbox, "orders", note_gap, NULL);
    ck_assert_int_eq(strncmp(gap_text, "main 12 gap.", 12), 0);
    ck_assert_int_eq(cc_inbox_gap_add(inbox, "main", "orders", INT64_MAX), CC_OK);
    ck_assert_int_eq(cc_inbox_gap_add(inbox, "main", "orders", INT64_MAX), CC_OK);
    cc_inbox_gaps(inbox, "orders", note_gap, NULL);
    ck_assert_ptr_null(strchr(gap_text, '-'));
    ck_assert_int_eq(cc_inbox_gap_remove(inbox, strstr(gap_text, "gap.")), CC_OK);
    gap_text[0] = '\0';
    cc_inbox_gaps(inbox, "orders", note_gap, NULL);
    ck_assert_str_eq(gap_text, "");
}
END_TEST

START_TEST(an_unknown_gap_is_told_to_who_subscribed)
{
    ck_assert_int_eq(cc_inbox_app_add(inbox, "orders"), CC_OK);
    ck_assert_int_eq(cc_inbox_app_add(inbox, "orders"), CC_OK);
    ck_assert_int_eq(cc_inbox_gap_add(inbox, "main", "orders", 5), CC_OK);
    ck_assert_int_eq(cc_inbox_gap_add_unknown(inbox, "main"), CC_OK);
    cc_inbox_gaps(inbox, "orders", note_gap, NULL);
    ck_assert_int_eq(strncmp(gap_text, "main 0 gap.", 11), 0);
    gap_text[0] = '\0';
    cc_inbox_gaps(inbox, "mail", note_gap, NULL);
    ck_assert_str_eq(gap_text, "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_inbox");
    TCase *c = tcase_create("cc_inbox");

    tcase_add_checked_fixture(c, inbox_set_up, inbox_tear_down);
    tcase_add_test(c, what_was_committed_is_there_after_reopening);
    tcase_add_test(c, what_was_rolled_back_never_was);
    tcase_add_test(c, a_message_counts_once);
    tcase_add_test(c, ids_are_remembered_until_expiry_and_a_day);
    tcase_add_test(c, a_message_without_expiry_is_recognized_on_another_day);
    tcase_add_test(c, loading_marks_as_given);
    tcase_add_test(c, a_message_is_found_by_its_id);
    tcase_add_test(c, the_expired_go_and_the_others_stay);
    tcase_add_test(c, messages_that_came_together_go_one_by_one);
    tcase_add_test(c, what_single_messages_hold_can_be_had_back);
    tcase_add_test(c, many_messages_keep_their_order_and_their_ids);
    tcase_add_test(c, a_rolled_back_removal_is_undone);
    tcase_add_test(c, the_clock_of_the_server_is_allowed_for);
    tcase_add_test(c, gaps_add_up_and_get_new_ids);
    tcase_add_test(c, an_unknown_gap_is_told_to_who_subscribed);
    suite_add_tcase(s, c);
    return support_run(s);
}
