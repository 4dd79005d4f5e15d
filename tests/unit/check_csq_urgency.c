/* SPDX-License-Identifier: Apache-2.0
 * check_csq_urgency.c - reading urgent messages only, and topics: what takes
 * the place of what.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <stdlib.h>

static void say(const char *text, csq_urgency urgency)
{
    csq_message message = message_of(text);

    message.urgency = urgency;
    ck_ok(append(&message, "alice", NULL));
}

static apr_status_t say_on(const char *text, const char *topic)
{
    csq_message message = message_of(text);

    message.topic = topic;
    return append(&message, "alice", NULL);
}

/* Read on from the cursor of the last batch. */
static const char *next(csq_urgency urgency, unsigned max)
{
    csq_cursor cursor = cursor_now();
    char text[CSQ_CURSOR_TEXT];
    csq_cursor parsed;

    csq_cursor_format(&cursor, text);
    ck_ok(csq_cursor_parse(text, strlen(text), &parsed));
    ck_assert_mem_eq(&parsed, &cursor, sizeof cursor);
    read_as("alice", NULL, &parsed, urgency, max);
    return texts();
}

static const char *first(csq_urgency urgency, unsigned max)
{
    read_as("alice", NULL, NULL, urgency, max);
    return texts();
}

START_TEST(what_is_less_urgent_stays_for_later)
{
    csq_cursor cursor;

    say("n1", CSQ_NORMAL);
    say("h2", CSQ_HIGH);
    say("l3", CSQ_LOW);
    say("h4", CSQ_HIGH);
    ck_assert_str_eq(first(CSQ_HIGH, 10), "h2 h4");
    ck_assert_str_eq(next(CSQ_HIGH, 10), "");
    ck_assert_uint_eq(stats_now().queued, 2);
    say("n5", CSQ_NORMAL);
    ck_assert_str_eq(next(CSQ_HIGH, 10), "");
    say("h6", CSQ_HIGH);
    ck_assert_str_eq(next(CSQ_NORMAL, 10), "n1 n5 h6");
    ck_assert_str_eq(next(CSQ_VERY_LOW, 10), "l3");
    ck_assert_str_eq(next(CSQ_VERY_LOW, 10), "");
    ck_assert_uint_eq(stats_now().queued, 0);
    cursor = cursor_now();
    ck_assert_uint_eq(cursor.behind[CSQ_NORMAL], 0);
    ck_assert_uint_eq(cursor.behind[CSQ_VERY_LOW], 0);
}
END_TEST

START_TEST(small_batches_lose_nothing)
{
    say("n1", CSQ_NORMAL);
    say("n2", CSQ_NORMAL);
    say("h3", CSQ_HIGH);
    say("n4", CSQ_NORMAL);
    say("h5", CSQ_HIGH);
    ck_assert_str_eq(first(CSQ_HIGH, 1), "h3");
    ck_assert_str_eq(next(CSQ_NORMAL, 1), "n1");
    ck_assert_str_eq(next(CSQ_HIGH, 1), "h5");
    ck_assert_str_eq(next(CSQ_NORMAL, 1), "n2");
    ck_assert_str_eq(next(CSQ_NORMAL, 1), "n4");
    ck_assert_str_eq(next(CSQ_NORMAL, 1), "");
    ck_assert_uint_eq(stats_now().queued, 0);
}
END_TEST

START_TEST(any_mixture_gives_each_message_once)
{
    unsigned state = 7;
    unsigned sent = 0;
    unsigned got = 0;
    csq_cursor cursor;
    int round;

    first(CSQ_VERY_LOW, 1);
    cursor = cursor_now();
    for (round = 0; round < 2000; round++) {
        csq_urgency least =
            round < 1900 ? (csq_urgency)(rand_r(&state) % 4) : CSQ_VERY_LOW;

        if (round < 1900 && rand_r(&state) % 3) {
            say("x", (csq_urgency)(rand_r(&state) % 4));
            sent++;
        }
        read_as("alice", NULL, &cursor, least, 1 + (unsigned)rand_r(&state) % 20);
        cursor = cursor_now();
        got += csq_batch_count(fx.batch);
    }
    ck_assert_uint_eq(got, sent);
    ck_assert_uint_eq(stats_now().queued, 0);
}
END_TEST

/* It was handed out, but not kept: the agent was killed, and comes back on a
 * battery.                                                                   */
START_TEST(what_was_passed_over_the_second_time_is_missed_when_dropped)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    fx.limits.max_queue = 2;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    say("l1", CSQ_LOW);
    say("h2", CSQ_HIGH);
    ck_assert_str_eq(first(CSQ_VERY_LOW, 10), "l1 h2");
    ck_assert_str_eq(first(CSQ_HIGH, 10), "h2");
    say("h3", CSQ_HIGH);
    ck_assert_str_eq(next(CSQ_VERY_LOW, 10), "h3");
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 1);
    ck_assert_uint_eq(gaps[0].count, 1);
    ck_assert_str_eq(next(CSQ_VERY_LOW, 10), "");
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 0);
}
END_TEST

/* The same, when it comes to what it had passed over. */
START_TEST(what_was_behind_and_not_kept_is_missed_when_dropped)
{
    const csq_gap *gaps;
    csq_cursor cursor;
    apr_uint32_t n;

    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    fx.limits.max_queue = 2;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    say("l1", CSQ_LOW);
    say("h2", CSQ_HIGH);
    ck_assert_str_eq(first(CSQ_HIGH, 10), "h2");
    cursor = cursor_now();
    ck_ok(read_as("alice", NULL, &cursor, CSQ_VERY_LOW, 10));
    ck_assert_str_eq(texts(), "l1");
    say("h3", CSQ_HIGH);
    say("h4", CSQ_HIGH);
    ck_ok(read_as("alice", NULL, &cursor, CSQ_VERY_LOW, 10));
    ck_assert_str_eq(texts(), "h3 h4");
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 1);
    ck_assert_uint_eq(gaps[0].count, 1);
    ck_assert_str_eq(next(CSQ_VERY_LOW, 10), "");
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 0);
}
END_TEST

START_TEST(a_gap_does_not_hide_what_lies_before_it)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    fx.limits.max_queue = 4;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    say("l1", CSQ_LOW);
    say("h2", CSQ_HIGH);
    say("n3", CSQ_NORMAL);
    say("n4", CSQ_NORMAL);
    ck_assert_str_eq(first(CSQ_HIGH, 10), "h2");
    say("n5", CSQ_NORMAL);
    ck_assert_str_eq(next(CSQ_VERY_LOW, 1), "n3");
    ck_assert_str_eq(next(CSQ_VERY_LOW, 1), "n4");
    ck_assert_str_eq(next(CSQ_VERY_LOW, 1), "n5");
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 1);
    ck_assert_uint_eq(gaps[0].count, 1);
    ck_assert_str_eq(next(CSQ_VERY_LOW, 1), "");
}
END_TEST

START_TEST(a_topic_takes_the_place_of_what_waits)
{
    unsigned char id[CSQ_ID_BYTES];
    csq_cursor cursor;

    ck_ok(say_on("weather 1", "weather"));
    memcpy(id, fx.appended.id, sizeof id);
    ck_ok(say_on("news 1", "news"));
    ck_assert_str_eq(first(CSQ_VERY_LOW, 10), "weather 1 news 1");
    cursor = cursor_now();
    ck_assert_str_eq(csq_batch_get(fx.batch, 0)->topic, "weather");
    ck_ok(say_on("weather 2", "weather"));
    ck_assert_str_eq(state_of(id), "replaced");
    ck_assert_str_eq(first(CSQ_VERY_LOW, 10), "news 1 weather 2");
    read_as("alice", NULL, &cursor, CSQ_VERY_LOW, 10);
    ck_assert_str_eq(texts(), "weather 2");
    ck_assert_uint_eq(stats_now().queued, 1);
}
END_TEST

START_TEST(a_topic_is_of_one_application_sender_and_receiver)
{
    csq_message message = message_of("other app");
    csq_key keys[2] = { { "realm", "alice", NULL }, { "realm", "bob", NULL } };

    message.topic = "t";
    message.app = "billing";
    ck_ok(say_on("one", "t"));
    ck_ok(append(&message, "alice", NULL));
    message = message_of("other sender");
    message.topic = "t";
    message.sender = "mallory";
    ck_ok(append(&message, "alice", NULL));
    ck_assert_uint_eq(stats_now().queued, 3);
    message = message_of("both");
    message.topic = "t";
    message.type = "text/other";
    ck_ok(csq_append(fx.q, &message, keys, 2, fx.now, NULL, NULL));
    ck_assert_uint_eq(stats_now().queued, 4);
    ck_assert_str_eq(first(CSQ_VERY_LOW, 10), "other app other sender both");
}
END_TEST

START_TEST(a_full_queue_takes_what_replaces)
{
    fx.limits.max_queue = 2;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(say_on("a1", "a"));
    ck_ok(say_on("b1", "b"));
    ck_status(say_on("c1", "c"), CSQ_QUEUE_FULL);
    ck_ok(say_on("a2", "a"));
    ck_assert_str_eq(first(CSQ_VERY_LOW, 10), "b1 a2");
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(say_on("b2", "b"));
    ck_assert_str_eq(first(CSQ_VERY_LOW, 10), "a2 b2");
    ck_ok(say_on("c1", "c"));
    ck_assert_str_eq(first(CSQ_VERY_LOW, 10), "b2 c1");
}
END_TEST

START_TEST(bad_topics_are_refused)
{
    ck_status(say_on("x", ""), CSQ_BAD_NAME);
    ck_status(say_on("x", "a b"), CSQ_BAD_NAME);
    ck_status(say_on("x", "123456789012345678901234567890123"), CSQ_BAD_NAME);
    ck_ok(say_on("x", "-_A9567890123456789012345678901z"));
}
END_TEST

START_TEST(cursors_with_nonsense_are_refused)
{
    static const char *const bad[] = {
        "0123456789abcdef-5.1.1",   "0123456789abcdef-5.0.0.0",
        "0123456789abcdef-5.1.1.6", "0123456789abcdef-5.1.1.1.1",
        "0123456789abcdef-5.",      "0123456789abcdef-5.1.1.",
        "0123456789abcdef-5.01.1.1"
    };
    csq_cursor cursor;
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_status(csq_cursor_parse(bad[i], strlen(bad[i]), &cursor), CSQ_BAD_CURSOR);
    ck_ok(csq_cursor_parse("0123456789abcdef-5.0.2.5", 24, &cursor));
    ck_assert_uint_eq(cursor.behind[CSQ_VERY_LOW], 5);
    ck_assert_uint_eq(cursor.behind[CSQ_LOW], 2);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_urgency");
    TCase *tc = tcase_create("urgency");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, what_is_less_urgent_stays_for_later);
    tcase_add_test(tc, small_batches_lose_nothing);
    tcase_add_test(tc, any_mixture_gives_each_message_once);
    tcase_add_test(tc, what_was_passed_over_the_second_time_is_missed_when_dropped);
    tcase_add_test(tc, what_was_behind_and_not_kept_is_missed_when_dropped);
    tcase_add_test(tc, a_gap_does_not_hide_what_lies_before_it);
    tcase_add_test(tc, a_topic_takes_the_place_of_what_waits);
    tcase_add_test(tc, a_topic_is_of_one_application_sender_and_receiver);
    tcase_add_test(tc, a_full_queue_takes_what_replaces);
    tcase_add_test(tc, bad_topics_are_refused);
    tcase_add_test(tc, cursors_with_nonsense_are_refused);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
