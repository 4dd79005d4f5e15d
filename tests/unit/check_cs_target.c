/* SPDX-License-Identifier: Apache-2.0
 * check_cs_target.c - paths below a publish handler, good and bad.
 */
#include "cs_compat.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cs_target.h"

#define ID "qJhM5wVYQ0C0b1cTnC9g8A"

static apr_pool_t *pool;
static const char *detail;

static void setup(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    detail = NULL;
}

static void teardown(void)
{
    apr_pool_destroy(pool);
    apr_terminate();
}

/* `count` times the character c. */
static char *repeated(char c, size_t count)
{
    char *text = apr_palloc(pool, count + 1);

    memset(text, c, count);
    text[count] = '\0';
    return text;
}

static cs_target parsed(const char *path)
{
    cs_target target;

    ck_assert_msg(cs_target_parse(path, pool, &target, &detail) == APR_SUCCESS,
                  "'%s': %s", path, detail);
    return target;
}

START_TEST(a_target_is_app_client_and_device)
{
    cs_target target = parsed("/orders");

    ck_assert_int_eq(target.kind, CS_TARGET_SEVERAL);
    ck_assert_str_eq(target.app, "orders");
    ck_assert_ptr_null(target.client);
    target = parsed("/orders/alice@example.org");
    ck_assert_int_eq(target.kind, CS_TARGET_CLIENT);
    ck_assert_str_eq(target.client, "alice@example.org");
    ck_assert_ptr_null(target.device);
    target = parsed("/o.1_2-3/CN=Alice Smith/d1");
    ck_assert_int_eq(target.kind, CS_TARGET_CLIENT);
    ck_assert_str_eq(target.app, "o.1_2-3");
    ck_assert_str_eq(target.client, "CN=Alice Smith");
    ck_assert_str_eq(target.device, "d1");
}
END_TEST

START_TEST(behind_a_dash_are_groups_messages_and_everybody)
{
    char text[CSQ_ID_TEXT + 1];
    cs_target target = parsed("/orders/-/all");

    ck_assert_int_eq(target.kind, CS_TARGET_ALL);
    ck_assert_str_eq(target.app, "orders");
    target = parsed("/orders/-/groups/night.shift");
    ck_assert_int_eq(target.kind, CS_TARGET_GROUP);
    ck_assert_str_eq(target.group, "night.shift");
    ck_assert_ptr_null(target.client);
    target = parsed("/orders/-/groups/all/j\303\274rgen");
    ck_assert_int_eq(target.kind, CS_TARGET_MEMBER);
    ck_assert_str_eq(target.group, "all");
    ck_assert_str_eq(target.client, "j\303\274rgen");
    target = parsed("/orders/-/messages/" ID);
    ck_assert_int_eq(target.kind, CS_TARGET_MESSAGE);
    csq_id_format(target.id, text);
    ck_assert_str_eq(text, ID);
}
END_TEST

START_TEST(each_kind_has_its_methods)
{
    ck_assert_str_eq(cs_target_methods(CS_TARGET_SEVERAL), "POST, OPTIONS");
    ck_assert_str_eq(cs_target_methods(CS_TARGET_CLIENT), "POST, OPTIONS");
    ck_assert_str_eq(cs_target_methods(CS_TARGET_ALL), "POST, OPTIONS");
    ck_assert_str_eq(cs_target_methods(CS_TARGET_GROUP), "POST, OPTIONS");
    ck_assert_str_eq(cs_target_methods(CS_TARGET_MEMBER), "PUT, DELETE, OPTIONS");
    ck_assert_str_eq(cs_target_methods(CS_TARGET_MESSAGE), "GET, HEAD, DELETE, OPTIONS");
}
END_TEST

static int is_bad(const char *path)
{
    cs_target target;

    return cs_target_parse(path, pool, &target, &detail) == APR_EINVAL;
}

START_TEST(names_at_their_limits_pass_and_beyond_fail)
{
    const char *app = repeated('a', 64), *client = repeated('c', 255);
    const char *device = repeated('d', 32);

    parsed(apr_pstrcat(pool, "/", app, "/", client, "/", device, NULL));
    parsed(apr_pstrcat(pool, "/", app, "/-/groups/", app, "/", client, NULL));
    ck_assert(is_bad(apr_pstrcat(pool, "/a", app, NULL)));
    ck_assert(is_bad(apr_pstrcat(pool, "/a/c", client, NULL)));
    ck_assert(is_bad(apr_pstrcat(pool, "/a/c/d", device, NULL)));
    ck_assert(is_bad(apr_pstrcat(pool, "/a/-/groups/g", app, NULL)));
    ck_assert(is_bad(apr_pstrcat(pool, "/a/-/groups/g/c", client, NULL)));
    ck_assert(is_bad("/a/-/messages/" ID "A"));
}
END_TEST

static const char *const bad_targets[] = {
    "",
    "/",
    "//alice",
    "/-/alice",
    "/-/all",
    "/.app/alice",
    "/_app/alice",
    "/a b/alice",
    "/j\303\274/alice",
    "/orders/",
    "/orders/.",
    "/orders/..",
    "/orders/a\001b",
    "/orders/a\177",
    "/orders/a\302\205",
    "/orders/\300\257",
    "/orders/\355\240\200",
    "/orders/a\377",
    "/orders/alice/",
    "/orders/alice/-",
    "/orders/alice/a b",
    "/orders/alice/d1/x",
    "/orders/alice/d1/",
    "/orders//alice",
    "orders/alice",
    "/orders/-",
    "/orders/-/",
    "/orders/-/none",
    "/orders/-/all/",
    "/orders/-/all/alice",
    "/orders/-/groups",
    "/orders/-/groups/",
    "/orders/-/groups/-",
    "/orders/-/groups/a b",
    "/orders/-/groups/g/",
    "/orders/-/groups/g/-",
    "/orders/-/groups/g/alice/d1",
    "/orders/-/groups/g/alice/",
    "/orders/-/messages",
    "/orders/-/messages/",
    "/orders/-/messages/x",
    "/orders/-/messages/" ID "/",
    "/orders/-/messages/qJhM5wVYQ0C0b1cTnC9g8B",
};

START_TEST(a_bad_target_is_refused_with_words)
{
    ck_assert(is_bad(bad_targets[_i]));
    ck_assert_ptr_nonnull(detail);
}
END_TEST

/* Paths of words that mean something, from a generator with a fixed start:
 * what fails once fails always. */
START_TEST(any_path_is_taken_or_refused)
{
    static const char *const words[] = { "/",      "/",        "-",  "all", "groups",
                                         "groups", "messages", "ab", ID,    "\303" };
    unsigned state = 1;
    int i, j;

    for (i = 0; i < 100000; i++) {
        char path[256] = "";
        cs_target target;

        for (j = 0; j < 8; j++) {
            state = state * 1103515245u + 12345u;
            strcat(path, words[(state >> 16) % (sizeof(words) / sizeof(*words))]);
        }
        detail = NULL;
        if (cs_target_parse(path, pool, &target, &detail) == APR_SUCCESS)
            ck_assert_ptr_nonnull(target.app);
        else
            ck_assert_ptr_nonnull(detail);
        if (i % 1000 == 0)
            apr_pool_clear(pool);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cs_target");
    TCase *tc = tcase_create("cs_target");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_target_is_app_client_and_device);
    tcase_add_test(tc, behind_a_dash_are_groups_messages_and_everybody);
    tcase_add_test(tc, each_kind_has_its_methods);
    tcase_add_test(tc, names_at_their_limits_pass_and_beyond_fail);
    tcase_add_loop_test(tc, a_bad_target_is_refused_with_words, 0,
                        (int)(sizeof(bad_targets) / sizeof(*bad_targets)));
    tcase_add_test(tc, any_path_is_taken_or_refused);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
