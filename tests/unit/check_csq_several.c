/* SPDX-License-Identifier: Apache-2.0
 * check_csq_several.c - one message for several queues: what happens to one of
 * them while room is made for another, who is counted and who is refused.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static apr_status_t statuses[8];

static apr_status_t append_to(const csq_message *message, const char *const *texts, int n)
{
    static char buffers[8][CSQ_CLIENT_MAX + 1];
    csq_key keys[8];
    int i;

    for (i = 0; i < n; i++) {
        ck_ok(csq_key_parse(texts[i], buffers[i], &keys[i]));
        keys[i].realm = "realm";
    }
    return csq_append(fx.q, message, keys, n, fx.now, statuses, &fx.appended);
}

static const char *heard(const char *client, const char *device)
{
    ck_ok(read_as(client, device, NULL, CSQ_VERY_LOW, 100));
    return texts();
}

static void limit_queue(apr_uint32_t messages, apr_uint64_t bytes, csq_overflow overflow)
{
    fx.limits.max_queue = messages;
    fx.limits.max_queue_bytes = bytes;
    fx.limits.overflow = overflow;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
}

/* Two clients of one shard, in the order of their hashes. */
static void find_shard_mates(char first[16], char second[16])
{
    csq_key key = { "realm", first, NULL };
    csq_name one;
    csq_name other;
    int i;

    strcpy(first, "m0");
    ck_ok(csq_name_make(fx.q, &key, &one));
    for (i = 1;; i++) {
        key.client = second;
        snprintf(second, 16, "m%d", i);
        ck_ok(csq_name_make(fx.q, &key, &other));
        if (csq_name_shard(&one) == csq_name_shard(&other) && other.hash > one.hash)
            return;
        ck_assert_int_lt(i, 100000);
    }
}

static void add_member(const char *client)
{
    csq_key key = { "realm", client, NULL };
    int changed;

    ck_ok(csq_group_add(fx.q, &key, "orders", "staff", fx.now, &changed));
}

static void note_refusal(void *baton, const char *client, apr_status_t status)
{
    (void)client;
    *(apr_status_t *)baton = status;
}

static apr_status_t tell(const char *group, const char *text)
{
    csq_message message = message_of(text);

    statuses[0] = APR_SUCCESS;
    return csq_append_group(fx.q, &message, group, fx.now, note_refusal, &statuses[0],
                            &fx.appended);
}

/* ---- everybody ------------------------------------------------------------ */

START_TEST(room_made_for_one_member_forgets_no_other)
{
    char idle[16];
    char full[16];
    csq_cursor cursor;

    limit_queue(2, 1000, CSQ_OVERFLOW_REJECT);
    find_shard_mates(idle, full);
    add_member(idle);
    add_member(full);
    ck_ok(put(idle, "x"));
    ck_ok(get(idle, NULL));
    cursor = cursor_now();
    ck_status(acknowledge(idle, &cursor), CSQ_EMPTY);
    ck_ok(put(full, "1"));
    ck_ok(put(full, "2"));
    fx.now += (fx.limits.client_expiry + 10) * SECOND;
    ck_ok(tell("staff", "hello"));
    ck_assert_uint_eq(fx.appended.queues, 1);
    ck_assert_uint_eq(fx.appended.refused, 1);
    ck_assert_int_eq(statuses[0], CSQ_QUEUE_FULL);
    ck_assert(!csq_repair_wanted(fx.q));
    ck_assert_str_eq(heard(idle, NULL), "hello");
    ck_assert_str_eq(heard(full, NULL), "1 2");
}
END_TEST

/* There is room for the message, but for no entry of it. */
START_TEST(a_message_that_nobody_gets_is_not_stored)
{
    csq_message message = message_of("x");
    csq_cursor cursor;
    csq_stats stats;
    apr_status_t rv;

    limit_queue(1000000, 1 << 30, CSQ_OVERFLOW_REJECT);
    do
        rv = append(&message, "alice", NULL);
    while (rv == APR_SUCCESS);
    ck_status(rv, CSQ_SEGMENT_FULL);
    ck_ok(get_max("alice", NULL, 1));
    cursor = cursor_now();
    ck_ok(acknowledge("alice", &cursor));
    stats = stats_now();
    ck_ok(tell(NULL, "hello"));
    ck_assert_uint_eq(fx.appended.queues, 0);
    ck_assert_uint_eq(fx.appended.refused, 1);
    ck_assert_int_eq(statuses[0], CSQ_SEGMENT_FULL);
    ck_assert_uint_eq(stats_now().bytes, stats.bytes);
    ck_assert_str_eq(state_of(fx.appended.id), "dropped");
}
END_TEST

/* ---- who is counted, who is refused ---------------------------------------- */

START_TEST(devices_of_a_new_client_count_as_one_client)
{
    static const char *const to[] = { "alice/phone", "alice/desk" };
    static const char *const more[] = { "bob/phone", "bob/desk" };
    csq_message message = message_of("hello");

    fx.limits.max_clients = 1;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(append_to(&message, to, 2));
    ck_assert_uint_eq(fx.appended.receivers, 2);
    ck_assert_str_eq(heard("alice", "phone"), "hello");
    ck_assert_str_eq(heard("alice", "desk"), "hello");
    ck_status(append_to(&message, more, 2), CSQ_REFUSED);
    ck_assert_int_eq(statuses[0], CSQ_CLIENTS_FULL);
    ck_assert_int_eq(statuses[1], CSQ_CLIENTS_FULL);
}
END_TEST

START_TEST(one_call_cannot_make_more_devices_than_allowed)
{
    static const char *const to[] = { "alice/a", "alice/b", "alice/c" };
    csq_message message = message_of("hello");

    fx.limits.max_devices = 2;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_status(append_to(&message, to, 3), CSQ_REFUSED);
    ck_assert_int_eq(statuses[2], CSQ_DEVICES_FULL);
    ck_ok(append_to(&message, to, 1));
    ck_status(append_to(&message, to, 3), CSQ_REFUSED);
    ck_assert_int_eq(statuses[0], APR_SUCCESS);
    ck_assert_int_eq(statuses[1], APR_SUCCESS);
    ck_assert_int_eq(statuses[2], CSQ_DEVICES_FULL);
    message.lenient = 1;
    ck_ok(append_to(&message, to, 3));
    ck_assert_uint_eq(fx.appended.receivers, 2);
    ck_status(read_as("alice", "c", NULL, CSQ_VERY_LOW, 10), CSQ_DEVICES_FULL);
}
END_TEST

START_TEST(what_waits_for_the_first_device_is_no_device_more)
{
    csq_message message = message_of("one");

    fx.limits.max_devices = 1;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(append(&message, "alice", "phone"));
    message = message_of("two");
    ck_ok(append(&message, "alice", NULL));
    ck_status(read_as("alice", "desk", NULL, CSQ_VERY_LOW, 10), CSQ_DEVICES_FULL);
    ck_status(read_as("alice", NULL, NULL, CSQ_VERY_LOW, 10), CSQ_DEVICES_FULL);
    ck_assert_str_eq(heard("alice", "phone"), "one two");
}
END_TEST

START_TEST(a_key_given_twice_is_refused_for_its_own_reason)
{
    static const char *const to[] = { "alice/new", "alice", "alice/new" };
    csq_message message = message_of("hello");

    limit_queue(1, 1000, CSQ_OVERFLOW_REJECT);
    ck_status(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    ck_ok(append(&message, "alice", "new"));
    message.lenient = 1;
    ck_ok(append_to(&message, to, 3));
    ck_assert_int_eq(statuses[0], CSQ_QUEUE_FULL);
    ck_assert_int_eq(statuses[1], APR_SUCCESS);
    ck_assert_int_eq(statuses[2], CSQ_QUEUE_FULL);
    ck_assert_uint_eq(fx.appended.receivers, 1);
    ck_assert_uint_eq(fx.appended.refused, 1);
}
END_TEST

START_TEST(who_shares_a_queue_that_is_full_is_refused_too)
{
    static const char *const to[] = { "alice/phone", "alice" };
    csq_message message = message_of("hello");

    limit_queue(1, 1000, CSQ_OVERFLOW_REJECT);
    ck_status(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    ck_ok(append_to(&message, to, 2));
    ck_assert_uint_eq(fx.appended.receivers, 2);
    ck_assert_uint_eq(fx.appended.queues, 1);
    message.lenient = 1;
    ck_ok(append_to(&message, to, 2));
    ck_assert_int_eq(statuses[0], CSQ_QUEUE_FULL);
    ck_assert_int_eq(statuses[1], CSQ_QUEUE_FULL);
    ck_assert_uint_eq(fx.appended.refused, 2);
    ck_assert_uint_eq(fx.appended.queues, 0);
}
END_TEST

START_TEST(a_copy_is_not_refused_because_its_device_is_named_too)
{
    static const char *const to[] = { "alice/phone", "alice" };
    csq_message message = message_of("old");

    limit_queue(1, 1000, CSQ_OVERFLOW_REJECT);
    ck_status(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    ck_status(read_as("alice", "desk", NULL, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    ck_ok(append(&message, "alice", "phone"));
    message = message_of("new");
    ck_ok(append_to(&message, to, 2));
    ck_assert_str_eq(heard("alice", "phone"), "new");
    ck_assert_str_eq(heard("alice", "desk"), "new");
}
END_TEST

/* ---- topics ---------------------------------------------------------------- */

static csq_message topic_of(char fill, int len, int seconds)
{
    char text[256];
    csq_message message;

    memset(text, fill, sizeof text);
    text[len] = '\0';
    message = message_of(text);
    message.topic = "t";
    message.expires = fx.now + seconds * SECOND;
    return message;
}

/* What it would replace expires while room is made for the other one. */
START_TEST(nothing_is_dropped_for_what_has_left_already)
{
    char first[16];
    char other[16];
    const char *to[] = { first, other };
    csq_message message;
    const csq_gap *gaps;
    apr_uint32_t n;

    limit_queue(100, 200, CSQ_OVERFLOW_DROP_OLDEST);
    find_shard_mates(first, other);
    message = topic_of('a', 150, 10);
    message.topic = NULL;
    ck_ok(append(&message, first, NULL));
    message.topic = "t";
    ck_ok(append(&message, first, NULL));
    ck_ok(put(first, "small"));
    message = topic_of('b', 190, 3600);
    message.topic = NULL;
    ck_ok(append(&message, other, NULL));
    fx.now += 20 * SECOND;
    message = topic_of('c', 100, 3600);
    ck_ok(append_to(&message, to, 2));
    ck_ok(get(first, NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
    ck_assert_str_eq(text_of(0), "small");
    ck_assert(csq_batch_gap(fx.batch, &gaps, &n));
    ck_assert_uint_eq(gaps[0].count, 1);
}
END_TEST

START_TEST(a_replaced_message_at_the_head_does_not_end_the_dropping)
{
    csq_key key = { "realm", "alice", NULL };
    csq_message message;
    csq_client_info info;

    limit_queue(100, 100, CSQ_OVERFLOW_DROP_OLDEST);
    message = topic_of('a', 8, 3600);
    ck_ok(append(&message, "alice", NULL));
    message = topic_of('b', 78, 3600);
    message.topic = NULL;
    ck_ok(append(&message, "alice", NULL));
    message = topic_of('c', 58, 3600);
    ck_ok(append(&message, "alice", NULL));
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_uint_eq(info.queued, 1);
    ck_assert_uint_le(info.bytes, 100);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_several");
    TCase *tc = tcase_create("several");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, room_made_for_one_member_forgets_no_other);
    tcase_add_test(tc, a_message_that_nobody_gets_is_not_stored);
    tcase_add_test(tc, devices_of_a_new_client_count_as_one_client);
    tcase_add_test(tc, one_call_cannot_make_more_devices_than_allowed);
    tcase_add_test(tc, what_waits_for_the_first_device_is_no_device_more);
    tcase_add_test(tc, a_key_given_twice_is_refused_for_its_own_reason);
    tcase_add_test(tc, who_shares_a_queue_that_is_full_is_refused_too);
    tcase_add_test(tc, a_copy_is_not_refused_because_its_device_is_named_too);
    tcase_add_test(tc, nothing_is_dropped_for_what_has_left_already);
    tcase_add_test(tc, a_replaced_message_at_the_head_does_not_end_the_dropping);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
