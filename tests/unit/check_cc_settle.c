/* SPDX-License-Identifier: Apache-2.0
 * check_cc_settle.c - messages that applications put off or reject, and what
 * servers are told of those that they acknowledge.
 */
#include "cc_time.h"
#include "dispatch_fixture.h"
#include "support/support.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_off(recorder *r, const char *id, int delay)
{
    ck_assert_int_eq(cc_dispatch_put_off(r->client, id, delay), CC_OK);
}

static void reject(recorder *r, const char *id)
{
    ck_assert_int_eq(cc_dispatch_reject(r->client, id, NULL), CC_OK);
}

static void commit(void)
{
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
}

static void run_until_told(recorder *r, const char *text)
{
    wait_until((event_base_loop(base, EVLOOP_NONBLOCK), strstr(r->text, text) != NULL),
               10000);
}

static char dead[2048];

static void note_dead(void *baton, const cc_dead *entry)
{
    size_t len = strlen(dead);

    (void)baton;
    snprintf(dead + len, sizeof(dead) - len, "%s/%s/%d ", entry->id, entry->reason,
             entry->attempt);
}

static const char *list_dead(void)
{
    dead[0] = '\0';
    ck_assert_int_eq(cc_inbox_dead_list(inbox, note_dead, NULL), CC_OK);
    return dead;
}

/* ---- putting off --------------------------------------------------------- */

START_TEST(what_is_put_off_is_given_again_with_the_next_attempt)
{
    subscribe(&one, "orders", 1);
    take_range("orders", "x", 1, 2);
    ck_assert_str_eq(told(&one), "m:x1/1 ");
    put_off(&one, "x1", 0);
    ck_assert_str_eq(told(&one), "m:x2/1 ");
    commit();
    ck_assert_str_eq(told(&one), "n:x1 ");
    ack(&one, "x2");
    run_until_told(&one, "m:x1/2 ");
    put_off(&one, "x1", 0);
    run_until_told(&one, "m:x1/3 ");
}
END_TEST

/* The messages of "mail" are put off just after the others: when they are given
 * again, those are due. */
START_TEST(what_is_due_again_comes_before_what_is_newer)
{
    subscribe(&one, "orders", 2);
    subscribe(&two, "mail", 2);
    take_range("orders", "x", 1, 6);
    take_range("mail", "y", 1, 2);
    put_off(&one, "x1", 1);
    put_off(&one, "x2", 0);
    put_off(&two, "y1", 1);
    put_off(&two, "y2", 0);
    ck_assert_str_eq(told(&one), "m:x1/1 m:x2/1 m:x3/1 m:x4/1 ");
    run_until_told(&two, "m:y2/2 ");
    told(&one);
    ack(&one, "x3");
    ck_assert_str_eq(told(&one), "m:x2/2 ");
    run_until_told(&two, "m:y1/2 ");
    told(&one);
    ack(&one, "x4");
    ck_assert_str_eq(told(&one), "m:x1/2 ");
    ack(&one, "x2");
    ck_assert_str_eq(told(&one), "m:x5/1 ");
}
END_TEST

START_TEST(it_may_go_to_another_subscriber)
{
    subscribe(&one, "orders", 1);
    subscribe(&two, "orders", 1);
    take("x");
    ck_assert_str_eq(told(&one), "m:x1/1 ");
    take("y");
    ck_assert_str_eq(told(&two), "m:y1/1 ");
    ack(&two, "y1");
    put_off(&one, "x1", 0);
    one.room = 0;
    run_until_told(&two, "m:x1/2 ");
}
END_TEST

START_TEST(a_delay_outlives_subscribers_and_agents)
{
    subscribe(&one, "orders", 0);
    take_range("orders", "x", 1, 3);
    put_off(&one, "x2", 3600);
    detach(&one);
    attach(&one);
    subscribe(&one, "orders", 0);
    ck_assert_str_eq(told(&one), "m:x1/2 m:x3/2 ");
    crash();
    subscribe(&one, "orders", 0);
    ck_assert_str_eq(told(&one), "m:x1/3 m:x3/3 ");
    put_off(&one, "x2", 1);
    run_until_told(&one, "m:x2/2 ");
}
END_TEST

START_TEST(a_delay_that_passed_while_nobody_was_there_is_over)
{
    int64_t until;

    subscribe(&one, "orders", 0);
    take("x");
    put_off(&one, "x1", 1);
    commit();
    until = cc_time_now() + 1000;
    crash();
    wait_until(cc_time_now() >= until, 5000);
    subscribe(&one, "orders", 0);
    ck_assert_str_eq(told(&one), "m:x1/2 ");
}
END_TEST

START_TEST(what_is_put_off_can_be_acknowledged_and_rejected)
{
    subscribe(&one, "orders", 0);
    take_range("orders", "x", 1, 2);
    put_off(&one, "x1", 3600);
    put_off(&one, "x2", 3600);
    ack(&one, "x1");
    reject(&one, "x2");
    commit();
    ck_assert_str_eq(told(&one), "m:x1/1 m:x2/1 n:x1 n:x2 a:x1 r:x2 ");
    crash();
    subscribe(&one, "orders", 0);
    ck_assert_str_eq(told(&one), "");
    ck_assert_str_eq(list_dead(), "x2/rejected by the application/1 ");
}
END_TEST

START_TEST(a_message_not_in_memory_can_be_put_off)
{
    take_range("orders", "x", 1, 2);
    put_off(&one, "x1", 3600);
    commit();
    ck_assert_str_eq(told(&one), "n:x1 ");
    subscribe(&one, "orders", 0);
    ck_assert_str_eq(told(&one), "m:x2/1 ");
}
END_TEST

START_TEST(what_is_done_with_stays_so)
{
    subscribe(&one, "orders", 0);
    take("x");
    ack(&one, "x1");
    put_off(&one, "x1", 0);
    reject(&one, "x1");
    commit();
    put_off(&one, "x1", 0);
    reject(&one, "x1");
    commit();
    ck_assert_str_eq(told(&one), "m:x1/1 a:x1 n:x1 r:x1 n:x1 r:x1 ");
    ck_assert_str_eq(list_dead(), "");
    crash();
    subscribe(&one, "orders", 0);
    ck_assert_str_eq(told(&one), "");
}
END_TEST

START_TEST(unknown_ids_are_refused)
{
    static const char *const ids[] = {
        "never", "", "a b", "gap.0123456789abcdef",
        "a234567890123456789012345678901234567890123456789012345678901234567890"
    };

    ck_assert_int_eq(cc_dispatch_put_off(one.client, ids[_i], 1), CC_NOT_FOUND);
    ck_assert_int_eq(cc_dispatch_reject(one.client, ids[_i], NULL), CC_NOT_FOUND);
}
END_TEST

/* Memory holds no more than that; the rest waits in the inbox. */
START_TEST(an_application_puts_off_a_bounded_number)
{
    int i, batch;

    for (batch = 0; batch < 11; batch++)
        take_range("orders", "x", batch * 1000 + 1, batch * 1000 + 1000);
    subscribe(&one, "orders", 1);
    for (i = 1; i <= 10000; i++) {
        ck_assert_ptr_nonnull(strstr(one.text, support_text("m:x%d/1", i)));
        one.text[0] = '\0';
        put_off(&one, support_text("x%d", i), 3600);
    }
    commit();
    ck_assert_ptr_null(strstr(one.text, "m:x10001/1"));
    ack(&one, "x5000");
    ck_assert_ptr_nonnull(strstr(one.text, "m:x10001/1"));
}
END_TEST

/* ---- rejecting ----------------------------------------------------------- */

START_TEST(a_rejected_message_is_not_given_again)
{
    subscribe(&one, "orders", 1);
    take_range("orders", "x", 1, 2);
    reject(&one, "x1");
    reject(&one, "x1");
    ck_assert_str_eq(told(&one), "m:x1/1 m:x2/1 ");
    commit();
    ck_assert_str_eq(told(&one), "r:x1 r:x1 ");
    ck_assert_int_eq(cc_dispatch_reject(one.client, "x2", "it has no price"), CC_OK);
    commit();
    ck_assert_str_eq(list_dead(), "x1/rejected by the application/1 "
                                  "x2/it has no price/1 ");
    crash();
    subscribe(&one, "orders", 0);
    ck_assert_str_eq(told(&one), "");
    take_range("orders", "x", 1, 2);
    ck_assert_uint_eq(intake.duplicates, 2);
}
END_TEST

START_TEST(a_message_not_in_memory_can_be_rejected)
{
    take("x");
    reject(&one, "x1");
    reject(&one, "x1");
    commit();
    ck_assert_str_eq(told(&one), "r:x1 r:x1 ");
    ck_assert_str_eq(list_dead(), "x1/rejected by the application/1 ");
}
END_TEST

START_TEST(who_is_gone_is_not_told_of_a_rejection)
{
    subscribe(&one, "orders", 1);
    take("x");
    reject(&one, "x1");
    detach(&one);
    commit();
    ck_assert_str_eq(one.text, "m:x1/1 ");
    ck_assert_str_eq(list_dead(), "x1/rejected by the application/1 ");
}
END_TEST

/* ---- reports ------------------------------------------------------------- */

static int calls;

static void note_report(void *baton, const char *server)
{
    ck_assert_ptr_eq(baton, &calls);
    ck_assert_str_eq(server, "main");
    calls++;
}

/* "x" wants a receipt, "y" does not. */
static void take_both(void)
{
    calls = 0;
    cc_dispatch_report_call_set(dispatch, note_report, &calls);
    ck_assert_int_eq(
        take_text("main",
                  "{\"cursor\":\"e-2\",\"messages\":["
                  "{\"id\":\"x\",\"app\":\"orders\",\"receipt\":true,\"length\":1,"
                  "\"data\":1},"
                  "{\"id\":\"y\",\"app\":\"orders\",\"receipt\":false,\"length\":1,"
                  "\"data\":1}]}"),
        CC_OK);
}

static const char *reports(void)
{
    static cc_reports list;
    cc_status status = cc_dispatch_reports(dispatch, "main", &list);

    ck_assert_int_eq(status, list.count > 0 ? CC_OK : CC_EMPTY);
    ck_assert_uint_le(list.count, 1);
    return list.count > 0 ? list.ids[0] : "";
}

static void reported(void)
{
    cc_reports list;

    ck_assert_int_eq(cc_dispatch_reports(dispatch, "main", &list), CC_OK);
    ck_assert_int_eq(cc_dispatch_reported(dispatch, "main", list.last), CC_OK);
}

START_TEST(an_acknowledgement_is_reported_when_it_is_committed)
{
    subscribe(&one, "orders", 0);
    take_both();
    ack(&one, "x");
    ack(&one, "x");
    ack(&one, "y");
    ck_assert_str_eq(reports(), "");
    ck_assert_int_eq(calls, 0);
    commit();
    ck_assert_int_ge(calls, 1);
    ck_assert_str_eq(reports(), "x");
    crash();
    ck_assert_str_eq(reports(), "x");
    reported();
    ck_assert_str_eq(reports(), "");
    crash();
    ck_assert_str_eq(reports(), "");
    ack(&one, "x");
    commit();
    ck_assert_str_eq(reports(), "");
}
END_TEST

START_TEST(it_is_reported_whether_the_message_was_in_memory_or_not)
{
    take_both();
    ack(&one, "y");
    ack(&one, "x");
    commit();
    ck_assert_str_eq(reports(), "x");
}
END_TEST

START_TEST(the_wish_for_a_receipt_outlives_the_agent)
{
    take_both();
    crash();
    subscribe(&one, "orders", 0);
    ack(&one, "x");
    commit();
    ck_assert_str_eq(reports(), "x");
}
END_TEST

START_TEST(what_was_not_acknowledged_is_not_reported)
{
    subscribe(&one, "orders", 0);
    take_both();
    put_off(&one, "x", 1);
    reject(&one, "x");
    commit();
    ck_assert_int_eq(calls, 0);
    ck_assert_str_eq(reports(), "");
}
END_TEST

/* ---- all of it at random ------------------------------------------------- */

#define LAST 400 /* messages                                                  */

static unsigned state = 7;

static unsigned draw(unsigned below)
{
    state = state * 1103515245u + 12345u;
    return (state >> 12) % below;
}

/* The next message that it was told of; "" when there is none. Answers are
 * thrown away. */
static const char *next_told(recorder *r)
{
    static char id[32];
    char word[64];
    int used = 0;

    while (sscanf(r->text, "%63s %n", word, &used) == 1) {
        memmove(r->text, r->text + used, strlen(r->text + used) + 1);
        if (sscanf(word, "m:%31[^/]", id) == 1)
            return id;
    }
    return "";
}

static void settle_next(recorder *r, char *acked, int *count, unsigned how)
{
    const char *id = next_told(r);
    int number;

    if (id[0] == '\0')
        return;
    number = atoi(id + 1);
    ck_assert_msg(!acked[number], "%s was acknowledged and came again", id);
    if (how < 2) {
        put_off(r, id, 0);
    }
    else if (how < 4) {
        reject(r, id);
    }
    else {
        ack(r, id);
        commit();
        acked[number] = 1;
        ++*count;
    }
}

static void retry_all(void)
{
    static const cc_dead_choice all = { "", "" };
    size_t retried, left;

    commit();
    ck_assert_int_eq(
        cc_dispatch_dead_retry(dispatch, &all, cc_time_now(), &retried, &left), CC_OK);
    ck_assert_uint_eq(left, 0);
}

static void do_something(recorder *r, int *next)
{
    switch (draw(24)) {
    case 0:
        detach(r);
        attach(r);
        break;
    case 1:
        take_range("orders", "x", *next, *next + 4);
        *next += 5;
        break;
    case 2:
        retry_all();
        break;
    case 3:
        if (draw(4) == 0)
            crash();
        break;
    default:
        subscribe(r, "orders", 1 + (int)draw(8));
    }
}

/* What is put off until later or waits is acknowledged from where it lies. */
static int acknowledge_rest(const char *acked, int last)
{
    cc_app_usage usage;
    int i, count = 0;

    retry_all();
    cc_inbox_app_usage(inbox, "orders", &usage);
    for (i = 1; i <= last; i++) {
        if (acked[i])
            continue;
        ack(&one, support_text("x%d", i));
        count++;
    }
    ck_assert_int_eq(usage.messages, count);
    commit();
    return count;
}

/* Every message is acknowledged once, and none is lost. */
START_TEST(nothing_is_lost_whatever_is_put_off_and_rejected)
{
    char acked[LAST + 1] = "";
    int next = 1, count = 0;

    while (next <= LAST) {
        recorder *r = draw(2) ? &one : &two;

        event_base_loop(base, EVLOOP_NONBLOCK);
        if (draw(4) == 0)
            do_something(r, &next);
        settle_next(r, acked, &count, draw(10));
    }
    ck_assert_int_gt(count, LAST / 4);
    count += acknowledge_rest(acked, next - 1);
    ck_assert_int_eq(count, LAST);
    crash();
    ck_assert_str_eq(list_dead(), "");
    subscribe(&one, "orders", 10);
    ck_assert_str_eq(told(&one), "");
}
END_TEST

static void add_settling(TCase *c)
{
    tcase_add_test(c, what_is_put_off_is_given_again_with_the_next_attempt);
    tcase_add_test(c, what_is_due_again_comes_before_what_is_newer);
    tcase_add_test(c, it_may_go_to_another_subscriber);
    tcase_add_test(c, a_delay_outlives_subscribers_and_agents);
    tcase_add_test(c, a_delay_that_passed_while_nobody_was_there_is_over);
    tcase_add_test(c, what_is_put_off_can_be_acknowledged_and_rejected);
    tcase_add_test(c, a_message_not_in_memory_can_be_put_off);
    tcase_add_test(c, what_is_done_with_stays_so);
    tcase_add_loop_test(c, unknown_ids_are_refused, 0, 5);
    tcase_add_test(c, an_application_puts_off_a_bounded_number);
    tcase_add_test(c, a_rejected_message_is_not_given_again);
    tcase_add_test(c, a_message_not_in_memory_can_be_rejected);
    tcase_add_test(c, who_is_gone_is_not_told_of_a_rejection);
    tcase_add_test(c, nothing_is_lost_whatever_is_put_off_and_rejected);
}

static void add_reporting(TCase *c)
{
    tcase_add_test(c, an_acknowledgement_is_reported_when_it_is_committed);
    tcase_add_test(c, it_is_reported_whether_the_message_was_in_memory_or_not);
    tcase_add_test(c, the_wish_for_a_receipt_outlives_the_agent);
    tcase_add_test(c, what_was_not_acknowledged_is_not_reported);
}

int main(void)
{
    Suite *s = suite_create("cc_settle");
    TCase *settling = tcase_create("settling");
    TCase *reporting = tcase_create("reporting");

    tcase_add_checked_fixture(settling, set_up, tear_down);
    tcase_add_checked_fixture(reporting, set_up, tear_down);
    add_settling(settling);
    add_reporting(reporting);
    suite_add_tcase(s, settling);
    suite_add_tcase(s, reporting);
    return support_run(s);
}
