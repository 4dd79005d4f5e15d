/* SPDX-License-Identifier: Apache-2.0
 * check_csq_message.c - what became of a message: every state, how it changes,
 * who is told, and taking one back.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <stdlib.h>

static unsigned char id[CSQ_ID_BYTES];

static void say_to(const csq_message *message, const char *client)
{
    ck_ok(append(message, client, NULL));
    memcpy(id, fx.appended.id, sizeof id);
}

static void say(int receipt)
{
    csq_message message = message_of("x");

    message.receipt = receipt != 0;
    say_to(&message, "alice");
}

static void take(const char *client)
{
    csq_cursor cursor;

    ck_ok(get(client, NULL));
    cursor = cursor_now();
    ck_status(acknowledge(client, &cursor), CSQ_EMPTY);
}

static csq_message_key key_of(const char *app, const char *sender)
{
    csq_message_key key = { "realm", app, sender, { 0 } };

    memcpy(key.id, id, sizeof key.id);
    return key;
}

static apr_status_t withdraw(const char *sender)
{
    csq_message_key key = key_of("orders", sender);

    return csq_message_withdraw(fx.q, &key, &fx.info);
}

START_TEST(from_queued_to_received)
{
    say(_i);
    ck_assert_str_eq(state_of(id), "queued");
    ck_assert_int_eq(fx.info.handed, 0);
    ck_ok(get("alice", NULL));
    ck_assert_str_eq(state_of(id), "handed-out");
    ck_assert_int_eq(fx.info.handed, 1);
    take("alice");
    ck_assert_str_eq(state_of(id), "received");
    ck_assert_int_eq(fx.info.handed, 1);
    ck_assert_int_eq(csq_batch_count(fx.batch), 0);
}
END_TEST

START_TEST(an_application_acknowledges)
{
    unsigned char ids[2][CSQ_ID_BYTES] = { { 0 } };

    say(1);
    ck_ok(get("alice", NULL));
    ck_assert_int_eq(csq_batch_get(fx.batch, 0)->receipt, 1);
    take("alice");
    memcpy(ids[1], id, sizeof id);
    ck_ok(csq_message_acknowledged(fx.q, "elsewhere",
                                   (const unsigned char(*)[CSQ_ID_BYTES])ids, 2));
    ck_assert_str_eq(state_of(id), "received");
    ck_ok(csq_message_acknowledged(fx.q, "realm",
                                   (const unsigned char(*)[CSQ_ID_BYTES])ids, 2));
    ck_assert_str_eq(state_of(id), "acknowledged");
    ck_ok(csq_message_acknowledged(fx.q, "realm",
                                   (const unsigned char(*)[CSQ_ID_BYTES])ids, 2));
    ck_assert_uint_eq(fx.info.counts[CSQ_STATE_ACKNOWLEDGED], 1);
}
END_TEST

START_TEST(an_application_may_be_faster_than_its_agent)
{
    unsigned char ids[1][CSQ_ID_BYTES];

    say(1);
    ck_ok(get("alice", NULL));
    memcpy(ids[0], id, sizeof id);
    ck_ok(csq_message_acknowledged(fx.q, "realm",
                                   (const unsigned char(*)[CSQ_ID_BYTES])ids, 1));
    ck_assert_str_eq(state_of(id), "handed-out");
    take("alice");
    ck_assert_str_eq(state_of(id), "acknowledged");
}
END_TEST

START_TEST(it_expires)
{
    csq_message message = message_of("x");

    message.expires = fx.now + SECOND;
    message.receipt = _i != 0;
    say_to(&message, "alice");
    fx.now += 3 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_str_eq(state_of(id), "expired");
    ck_status(withdraw("tester"), CSQ_FINISHED);
}
END_TEST

START_TEST(it_is_replaced)
{
    csq_message message = message_of("x");

    message.topic = "t";
    message.receipt = _i != 0;
    say_to(&message, "alice");
    ck_ok(append(&message, "alice", NULL));
    ck_assert_str_eq(state_of(id), "replaced");
    ck_assert_str_eq(state_of(fx.appended.id), "queued");
}
END_TEST

START_TEST(it_is_dropped)
{
    fx.limits.max_queue = 1;
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    say(_i);
    ck_ok(put("alice", "y"));
    ck_assert_str_eq(state_of(id), "dropped");
}
END_TEST

START_TEST(a_message_for_now_goes_to_who_is_there)
{
    csq_message message = message_of("now");
    csq_key keys[2] = { { "realm", "alice", NULL }, { "realm", "bob", NULL } };

    message.expires = message.time;
    say_to(&message, "alice");
    ck_assert_uint_eq(fx.appended.queues, 0);
    ck_assert_str_eq(state_of(id), "dropped");
    ck_assert_uint_eq(stats_now().clients, 0);
    ck_status(get("alice", NULL), CSQ_EMPTY);
    message = message_of("now");
    message.expires = message.time;
    ck_ok(csq_append(fx.q, &message, keys, 2, fx.now, NULL, &fx.appended));
    ck_assert_uint_eq(fx.appended.receivers, 1);
    ck_ok(get("alice", NULL));
    fx.now += 20 * SECOND;
    ck_status(get("alice", NULL), CSQ_EMPTY);
    fx.now += 20 * SECOND;
    message = message_of("now");
    message.expires = message.time;
    say_to(&message, "alice");
    ck_assert_uint_eq(fx.appended.queues, 0);
}
END_TEST

START_TEST(a_sender_takes_it_back)
{
    say(_i);
    ck_status(withdraw("mallory"), CSQ_EMPTY);
    ck_ok(withdraw("tester"));
    ck_assert_int_eq(fx.info.handed, 0);
    ck_assert_str_eq(state_of(id), "withdrawn");
    ck_status(get("alice", NULL), CSQ_EMPTY);
    ck_status(withdraw("tester"), CSQ_FINISHED);
    say(_i);
    ck_ok(get("alice", NULL));
    ck_ok(withdraw("tester"));
    ck_assert_int_eq(fx.info.handed, 1);
    say(_i);
    take("alice");
    ck_status(withdraw("tester"), CSQ_FINISHED);
    ck_assert_int_eq(fx.info.state, CSQ_STATE_RECEIVED);
}
END_TEST

START_TEST(it_is_of_one_application)
{
    csq_message_key key;

    say(_i);
    key = key_of("billing", NULL);
    ck_status(csq_message_get(fx.q, &key, 0, NULL, &fx.info), CSQ_EMPTY);
    ck_status(csq_message_withdraw(fx.q, &key, &fx.info), CSQ_EMPTY);
    key.realm = "elsewhere";
    key.app = "orders";
    ck_status(csq_message_get(fx.q, &key, 0, NULL, &fx.info), CSQ_EMPTY);
    take("alice");
    ck_status(csq_message_get(fx.q, &key, 0, NULL, &fx.info), CSQ_EMPTY);
    key = key_of("orders", "mallory");
    ck_status(csq_message_get(fx.q, &key, 0, NULL, &fx.info), CSQ_EMPTY);
}
END_TEST

START_TEST(several_receivers_are_counted)
{
    csq_message message = message_of("x");
    csq_key keys[4] = { { "realm", "a", NULL },
                        { "realm", "b", NULL },
                        { "realm", "c", NULL },
                        { "realm", "d", NULL } };

    message.receipt = _i != 0;
    ck_ok(csq_append(fx.q, &message, keys, 4, fx.now, NULL, &fx.appended));
    memcpy(id, fx.appended.id, sizeof id);
    ck_assert_str_eq(state_of(id), "queued");
    ck_assert_uint_eq(fx.info.queues, 4);
    ck_assert_uint_eq(fx.info.counts[CSQ_STATE_QUEUED], 4);
    ck_ok(get("a", NULL));
    take("b");
    ck_assert_str_eq(state_of(id), "queued");
    ck_assert_uint_eq(fx.info.counts[CSQ_STATE_QUEUED], 2);
    ck_assert_uint_eq(fx.info.counts[CSQ_STATE_HANDED_OUT], 1);
    ck_assert_uint_eq(fx.info.counts[CSQ_STATE_RECEIVED], _i ? 1 : 0);
    ck_ok(withdraw("tester"));
    ck_assert_str_eq(state_of(id), _i ? "received" : "received");
    ck_assert_uint_eq(fx.info.counts[CSQ_STATE_WITHDRAWN], _i ? 3 : 0);
    ck_status(get("c", NULL), CSQ_EMPTY);
    ck_assert_uint_eq(stats_now().queued, 0);
}
END_TEST

/* ---- waiting ------------------------------------------------------------------ */

static csq_slot *slot;

static void expect_ring(apr_uint32_t number)
{
    apr_uint32_t numbers[8];
    int all;
    int n = hear(slot, numbers, 8, &all);

    ck_assert_int_ge(n, 1);
    ck_assert_uint_eq(numbers[n - 1], number);
}

static void await_change(apr_uint32_t number)
{
    csq_message_key key = key_of("orders", NULL);
    apr_uint32_t changes;

    ck_ok(csq_message_get(fx.q, &key, 0, NULL, &fx.info));
    changes = fx.info.changes;
    ck_ok(csq_message_get(fx.q, &key, csq_waiter_make(slot, number), &changes, &fx.info));
    ck_assert_int_eq(fx.info.waiting, 1);
}

START_TEST(who_waits_is_rung_at_each_change)
{
    unsigned char ids[1][CSQ_ID_BYTES];
    csq_message_key key;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    say(_i);
    await_change(5);
    ck_ok(get("alice", NULL));
    expect_ring(5);
    await_change(6);
    take("alice");
    expect_ring(6);
    ck_assert_str_eq(state_of(id), "received");
    if (!_i) { /* nobody was asked to tell more */
        key = key_of("orders", NULL);
        ck_ok(csq_message_get(fx.q, &key, csq_waiter_make(slot, 7), &fx.info.changes,
                              &fx.info));
        ck_assert_int_eq(fx.info.waiting, 0);
        return;
    }
    await_change(7);
    memcpy(ids[0], id, sizeof id);
    ck_ok(csq_message_acknowledged(fx.q, "realm",
                                   (const unsigned char(*)[CSQ_ID_BYTES])ids, 1));
    expect_ring(7);
    ck_assert_str_eq(state_of(id), "acknowledged");
    key = key_of("orders", NULL);
    ck_ok(csq_message_get(fx.q, &key, csq_waiter_make(slot, 8), &fx.info.changes,
                          &fx.info));
    ck_assert_int_eq(fx.info.waiting, 0);
}
END_TEST

START_TEST(a_second_who_waits_takes_over)
{
    csq_message_key key;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    say(_i);
    await_change(5);
    await_change(6);
    expect_ring(5);
    key = key_of("orders", NULL);
    ck_status(csq_message_unwait(fx.q, &key, csq_waiter_make(slot, 5)), CSQ_REPLACED);
    ck_ok(csq_message_unwait(fx.q, &key, csq_waiter_make(slot, 6)));
}
END_TEST

START_TEST(who_knows_an_older_state_is_answered_at_once)
{
    csq_message_key key;
    apr_uint32_t changes;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    say(1);
    state_of(id);
    changes = fx.info.changes;
    ck_ok(get("alice", NULL));
    key = key_of("orders", NULL);
    ck_ok(csq_message_get(fx.q, &key, csq_waiter_make(slot, 5), &changes, &fx.info));
    ck_assert_int_eq(fx.info.waiting, 0);
    ck_assert_int_eq(fx.info.state, CSQ_STATE_HANDED_OUT);
}
END_TEST

START_TEST(receipts_go_when_their_time_is_over)
{
    csq_stats before = stats_now();
    int i;

    for (i = 0; i < 100; i++)
        say(1);
    take("alice");
    ck_assert_str_eq(state_of(id), "received");
    fx.now += (3600 + 3600 + 1) * SECOND;
    for (i = 0; i < 70; i++, fx.now += SECOND)
        ck_ok(csq_expire(fx.q, fx.now, 1000));
    fx.now += 86400 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 100000));
    ck_assert_uint_le(stats_now().segment_used, before.segment_used + 3 * 96);
}
END_TEST

START_TEST(many_messages_are_remembered_for_a_while)
{
    unsigned char first[CSQ_ID_BYTES];
    int known = 0;
    int i;

    say(0);
    memcpy(first, id, sizeof first);
    take("alice");
    ck_assert_str_eq(state_of(first), "received");
    for (i = 0; i < 500; i++) {
        say(0);
        take("alice");
        known += strcmp(state_of(id), "received") == 0;
    }
    ck_assert_int_eq(known, 500);
}
END_TEST

START_TEST(ids_have_one_text)
{
    char text[CSQ_ID_TEXT + 1];
    unsigned char parsed[CSQ_ID_BYTES];

    say(0);
    csq_id_format(id, text);
    ck_ok(csq_id_parse(text, CSQ_ID_TEXT, parsed));
    ck_assert_mem_eq(parsed, id, sizeof id);
    ck_status(csq_id_parse(text, CSQ_ID_TEXT - 1, parsed), CSQ_BAD_NAME);
    ck_status(csq_id_parse("AAAAAAAAAAAAAAAAAAAAAB", 22, parsed), CSQ_BAD_NAME);
    ck_status(csq_id_parse("AAAAAAAAAAAAAAAAAAAA+A", 22, parsed), CSQ_BAD_NAME);
}
END_TEST

START_TEST(a_receipt_of_a_message_without_an_end_stays)
{
    csq_message message = message_of("one");
    csq_cursor cursor;

    message.receipt = 1;
    message.expires = fx.now + UINT32_MAX * SECOND;
    ck_ok(append(&message, "alice", NULL));
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_ok(csq_expire(fx.q, fx.now, 100000));
    ck_ok(csq_message_acknowledged(fx.q, "realm", &fx.appended.id, 1));
    ck_assert_str_eq(state_of(fx.appended.id), "acknowledged");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_message");
    TCase *tc = tcase_create("message");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_loop_test(tc, from_queued_to_received, 0, 2);
    tcase_add_test(tc, an_application_acknowledges);
    tcase_add_test(tc, an_application_may_be_faster_than_its_agent);
    tcase_add_loop_test(tc, it_expires, 0, 2);
    tcase_add_loop_test(tc, it_is_replaced, 0, 2);
    tcase_add_loop_test(tc, it_is_dropped, 0, 2);
    tcase_add_test(tc, a_message_for_now_goes_to_who_is_there);
    tcase_add_loop_test(tc, a_sender_takes_it_back, 0, 2);
    tcase_add_loop_test(tc, it_is_of_one_application, 0, 2);
    tcase_add_loop_test(tc, several_receivers_are_counted, 0, 2);
    tcase_add_loop_test(tc, who_waits_is_rung_at_each_change, 0, 2);
    tcase_add_loop_test(tc, a_second_who_waits_takes_over, 0, 2);
    tcase_add_test(tc, who_knows_an_older_state_is_answered_at_once);
    tcase_add_test(tc, receipts_go_when_their_time_is_over);
    tcase_add_test(tc, a_receipt_of_a_message_without_an_end_stays);
    tcase_add_test(tc, many_messages_are_remembered_for_a_while);
    tcase_add_test(tc, ids_have_one_text);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
