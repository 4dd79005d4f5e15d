/* SPDX-License-Identifier: Apache-2.0
 * check_csq_group.c - groups and everybody: one message for many.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static int refusals;

static void count_refusal(void *baton, const char *client, apr_status_t status)
{
    (void)client;
    (void)status;
    ++*(int *)baton;
}

static int add(const char *group, const char *client)
{
    csq_key key = { "realm", client, NULL };
    int changed;

    ck_ok(csq_group_add(fx.q, &key, "orders", group, fx.now, &changed));
    return changed;
}

static int take_out(const char *group, const char *client)
{
    csq_key key = { "realm", client, NULL };
    int changed;

    ck_ok(csq_group_remove(fx.q, &key, "orders", group, fx.now, &changed));
    return changed;
}

static apr_status_t tell(const char *group, const char *text)
{
    csq_message message = message_of(text);

    refusals = 0;
    return csq_append_group(fx.q, &message, group, fx.now, count_refusal, &refusals,
                            &fx.appended);
}

static const char *heard(const char *client)
{
    read_as(client, NULL, NULL, CSQ_VERY_LOW, 100);
    return texts();
}

START_TEST(members_get_what_is_sent_to_the_group)
{
    ck_assert_int_eq(add("staff", "alice"), 1);
    ck_assert_int_eq(add("staff", "alice"), 0);
    ck_assert_int_eq(add("staff", "bob"), 1);
    ck_ok(put("carol", "x"));
    ck_ok(tell("staff", "hello"));
    ck_assert_uint_eq(fx.appended.receivers, 2);
    ck_assert_str_eq(heard("alice"), "hello");
    ck_assert_str_eq(heard("bob"), "hello");
    ck_assert_str_eq(heard("carol"), "x");
    ck_assert_int_eq(take_out("staff", "bob"), 1);
    ck_assert_int_eq(take_out("staff", "bob"), 0);
    ck_assert_int_eq(take_out("nobody", "bob"), 0);
    ck_ok(tell("staff", "again"));
    ck_assert_str_eq(heard("bob"), "hello");
    ck_assert_str_eq(heard("alice"), "hello again");
}
END_TEST

START_TEST(an_empty_group_is_fine)
{
    ck_ok(tell("staff", "hello"));
    ck_assert_uint_eq(fx.appended.queues, 0);
    ck_assert_str_eq(state_of(fx.appended.id), "dropped");
    ck_assert_uint_eq(stats_now().queued, 0);
}
END_TEST

START_TEST(a_group_is_of_one_application_and_realm)
{
    csq_message message = message_of("x");

    add("staff", "alice");
    message.app = "billing";
    ck_ok(csq_append_group(fx.q, &message, "staff", fx.now, NULL, NULL, &fx.appended));
    ck_assert_uint_eq(fx.appended.queues, 0);
    message = message_of("x");
    message.realm = "elsewhere";
    ck_ok(csq_append_group(fx.q, &message, "staff", fx.now, NULL, NULL, &fx.appended));
    ck_assert_uint_eq(fx.appended.queues, 0);
}
END_TEST

START_TEST(ten_thousand_receivers_cost_one_payload)
{
    enum { N = 10000 };
    csq_stats before;
    csq_stats after;
    char name[16];
    int i;

    apr_pool_clear(fx.pool);
    fx.limits.max_clients = 20000;
    ck_assert_int_eq(apr_pool_create(&fx.pool, NULL), APR_SUCCESS);
    fixture_create(16 * 1024 * 1024, 4);
    for (i = 0; i < N; i++) {
        snprintf(name, sizeof name, "c%d", i);
        add("staff", name);
    }
    before = stats_now();
    ck_ok(tell("staff", "hello"));
    after = stats_now();
    ck_assert_uint_eq(fx.appended.receivers, N);
    ck_assert_uint_eq(after.queued, N);
    ck_assert_uint_eq(after.bytes, 7);
    ck_assert_uint_le(after.segment_used - before.segment_used, (2 * N + 3) * 96);
    ck_ok(tell("staff", "again"));
    ck_assert_uint_eq(stats_now().segment_used - after.segment_used, (N + 2) * 96 - 96);
    for (i = 0; i < N; i++) {
        csq_cursor cursor;

        snprintf(name, sizeof name, "c%d", i);
        ck_assert_str_eq(heard(name), "hello again");
        cursor = cursor_now();
        ck_status(read_as(name, NULL, &cursor, CSQ_VERY_LOW, 10), CSQ_EMPTY);
    }
    ck_assert_uint_eq(stats_now().bytes, 0);
    ck_assert_str_eq(state_of(fx.appended.id), "received");
}
END_TEST

START_TEST(everybody_is_everybody_of_the_realm)
{
    csq_key elsewhere = { "elsewhere", "dave", NULL };
    csq_message message = message_of("x");

    ck_ok(put("alice", "1"));
    ck_ok(put("bob", "2"));
    ck_ok(csq_append(fx.q, &message, &elsewhere, 1, fx.now, NULL, NULL));
    ck_ok(tell(NULL, "all"));
    ck_assert_uint_eq(fx.appended.receivers, 2);
    ck_assert_str_eq(heard("alice"), "1 all");
    ck_assert_str_eq(heard("bob"), "2 all");
}
END_TEST

START_TEST(a_dead_client_does_not_veto)
{
    int i;

    fx.limits.max_queue = 3;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    add("staff", "alice");
    add("staff", "bob");
    for (i = 0; i < 3; i++)
        ck_ok(put("alice", "x"));
    ck_ok(tell("staff", "hello"));
    ck_assert_int_eq(refusals, 1);
    ck_assert_uint_eq(fx.appended.refused, 1);
    ck_assert_uint_eq(fx.appended.receivers, 1);
    ck_assert_str_eq(heard("bob"), "hello");
}
END_TEST

START_TEST(a_full_segment_serves_those_it_can)
{
    char name[16];
    char *text = apr_palloc(fx.pool, 3001);
    int i;

    memset(text, 'x', 3000);
    text[3000] = '\0';
    for (i = 0; i < 900; i++) {
        snprintf(name, sizeof name, "c%d", i);
        add("staff", name);
    }
    for (i = 0; put_full("a", "filler", text, fx.now + 3600 * SECOND) == APR_SUCCESS; i++)
        ;
    ck_assert_int_gt(i, 100);
    i = 0;
    while (tell("staff", "hello") == APR_SUCCESS && fx.appended.refused == 0
           && i++ < 1000)
        ;
    ck_assert_uint_gt(fx.appended.refused, 0);
    ck_assert_int_eq(refusals, (int)fx.appended.refused);
    fixture_audit();
}
END_TEST

START_TEST(a_member_is_known_without_a_queue_and_goes_with_its_membership)
{
    fx.limits.client_expiry = 1;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    add("staff", "alice");
    ck_assert_uint_eq(stats_now().clients, 1);
    fx.now += 100 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 1000));
    ck_assert_uint_eq(stats_now().clients, 1);
    fixture_audit();
    take_out("staff", "alice");
    ck_assert_uint_eq(stats_now().clients, 0);
    ck_assert_uint_eq(stats_now().segment_used, 0);
}
END_TEST

START_TEST(bad_names_are_refused)
{
    csq_key key = { "realm", "alice", NULL };
    int changed;

    ck_status(csq_group_add(fx.q, &key, "orders", "-", fx.now, &changed), CSQ_BAD_NAME);
    ck_status(csq_group_add(fx.q, &key, "", "g", fx.now, &changed), CSQ_BAD_NAME);
    key.client = "a/b";
    ck_status(csq_group_add(fx.q, &key, "orders", "g", fx.now, &changed), CSQ_BAD_NAME);
    ck_status(tell("a b", "x"), CSQ_BAD_NAME);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_group");
    TCase *tc = tcase_create("group");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, members_get_what_is_sent_to_the_group);
    tcase_add_test(tc, an_empty_group_is_fine);
    tcase_add_test(tc, a_group_is_of_one_application_and_realm);
    tcase_add_test(tc, ten_thousand_receivers_cost_one_payload);
    tcase_add_test(tc, everybody_is_everybody_of_the_realm);
    tcase_add_test(tc, a_dead_client_does_not_veto);
    tcase_add_test(tc, a_full_segment_serves_those_it_can);
    tcase_add_test(tc, a_member_is_known_without_a_queue_and_goes_with_its_membership);
    tcase_add_test(tc, bad_names_are_refused);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
