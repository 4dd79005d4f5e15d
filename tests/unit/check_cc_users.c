/* SPDX-License-Identifier: Apache-2.0
 * check_cc_users.c - what the dispatch lets other users do.
 */
#include "dispatch_fixture.h"
#include "support/support.h"

#include <string.h>
#include <unistd.h>

#define SERVER "[server main]\nurl = https://x/\n"

static uid_t other;

/* `two` is somebody else, who may use "orders" alone. */
static void set_up_users(void)
{
    set_up();
    other = geteuid() + 77;
    read_config(support_text(SERVER "[app orders]\nusers = %lu\n", (unsigned long)other));
    crash();
    cc_dispatch_user_set(two.client, other);
}

START_TEST(a_user_may_subscribe_to_its_application_alone)
{
    ck_assert_int_eq(cc_dispatch_subscribe(two.client, "orders", 1, 0), CC_OK);
    ck_assert_int_eq(cc_dispatch_subscribe(two.client, "news", 1, 0), CC_NOT_PERMITTED);
    ck_assert_int_eq(cc_dispatch_subscribe(two.client, "news", 1, 1), CC_NOT_PERMITTED);
    ck_assert(cc_dispatch_may_use(two.client, "orders"));
    ck_assert(!cc_dispatch_may_use(two.client, "news"));
    ck_assert(cc_dispatch_may_use(one.client, "news"));
}
END_TEST

static void expect_all_refused(const char *id)
{
    ck_assert_int_eq(cc_dispatch_acknowledge(two.client, id), CC_NOT_PERMITTED);
    ck_assert_int_eq(cc_dispatch_put_off(two.client, id, 1), CC_NOT_PERMITTED);
    ck_assert_int_eq(cc_dispatch_reject(two.client, id, NULL), CC_NOT_PERMITTED);
}

START_TEST(messages_of_others_cannot_be_settled)
{
    take_range("news", "x", 1, 1);
    expect_all_refused("x1");
    subscribe(&one, "news", 1);
    ck_assert_str_eq(told(&one), "m:x1/1 ");
    expect_all_refused("x1");
    ack(&one, "x1");
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    ck_assert_str_eq(told(&one), "a:x1 ");
    ck_assert_str_eq(told(&two), "");
    ck_assert_int_eq(cc_dispatch_acknowledge(two.client, "x2"), CC_NOT_FOUND);
}
END_TEST

START_TEST(what_a_user_may_use_can_be_settled_unseen)
{
    take("x");
    ack(&two, "x1");
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    ck_assert_str_eq(told(&two), "a:x1 ");
}
END_TEST

START_TEST(gaps_of_others_cannot_be_acknowledged)
{
    char gap[64];

    subscribe(&one, "news", 1);
    ck_assert_int_eq(take_text("main", "{\"cursor\":\"e-9\",\"messages\":[],"
                                       "\"gap\":{\"apps\":{\"news\":3}}}"),
                     CC_OK);
    ck_assert_str_eq(told(&one), "g:news/3 ");
    strcpy(gap, one.gap);
    ck_assert_int_eq(cc_dispatch_acknowledge(two.client, gap), CC_NOT_PERMITTED);
    detach(&one);
    ck_assert_int_eq(cc_dispatch_acknowledge(two.client, gap), CC_NOT_PERMITTED);
    attach(&one);
    ack(&one, gap);
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    ck_assert_int_eq(cc_dispatch_acknowledge(two.client, gap), CC_OK);
}
END_TEST

START_TEST(who_may_stay_changes_with_the_configuration)
{
    subscribe(&two, "orders", 1);
    ck_assert(cc_dispatch_may_stay(two.client));
    read_config(SERVER);
    cc_dispatch_config_set(dispatch, config);
    ck_assert(!cc_dispatch_may_stay(two.client));
    ck_assert(cc_dispatch_may_stay(one.client));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_users");
    TCase *c = tcase_create("users");

    tcase_add_checked_fixture(c, set_up_users, tear_down);
    tcase_add_test(c, a_user_may_subscribe_to_its_application_alone);
    tcase_add_test(c, messages_of_others_cannot_be_settled);
    tcase_add_test(c, what_a_user_may_use_can_be_settled_unseen);
    tcase_add_test(c, gaps_of_others_cannot_be_acknowledged);
    tcase_add_test(c, who_may_stay_changes_with_the_configuration);
    suite_add_tcase(s, c);
    return support_run(s);
}
