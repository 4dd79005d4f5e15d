/* SPDX-License-Identifier: Apache-2.0
 * check_cs_origin.c - which web pages may talk to the handlers.
 */
#include "cs_compat.h"

#include <apr_general.h>
#include <check.h>
#include <stdlib.h>

#include "cs_origin.h"

static apr_pool_t *pool;

static void setup(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
}

static void teardown(void)
{
    apr_pool_destroy(pool);
    apr_terminate();
}

static const struct {
    const char *text;
    const char *origin; /* NULL: refused */
} forms[] = {
    { "http://a.example", "http://a.example" },
    { "HTTPS://A.Example", "https://a.example" },
    { "https://a.example:443", "https://a.example" },
    { "http://a.example:80", "http://a.example" },
    { "http://a.example:443", "http://a.example:443" },
    { "http://localhost:8080", "http://localhost:8080" },
    { "http://127.0.0.1:1", "http://127.0.0.1:1" },
    { "http://[::1]:8080", "http://[::1]:8080" },
    { "http://[::1]", "http://[::1]" },
    { "chrome-extension://abcdef", "chrome-extension://abcdef" },
    { "", NULL },
    { "null", NULL },
    { "*", NULL },
    { "a.example", NULL },
    { "http://", NULL },
    { "http:/a.example", NULL },
    { "http://a.example/", NULL },
    { "http://a.example:", NULL },
    { "http://a.example:65536", NULL },
    { "http://a.example:123456", NULL },
    { "http://a.example:8o", NULL },
    { "http://*.example", NULL },
    { "http://u@a.example", NULL },
    { "http://a.example, http://b.example", NULL },
    { "http://[::1", NULL },
    { "http://[]", NULL },
    { "http://[::1]x", NULL },
    { "://a.example", NULL },
};

START_TEST(an_origin_has_one_form)
{
    const char *origin = NULL;
    apr_status_t rv = cs_origin_normalize(forms[_i].text, pool, &origin);

    if (forms[_i].origin) {
        ck_assert_int_eq(rv, APR_SUCCESS);
        ck_assert_str_eq(origin, forms[_i].origin);
    }
    else {
        ck_assert_int_eq(rv, APR_EINVAL);
    }
}
END_TEST

static const struct {
    const char *origin, *site, *scheme, *host;
    cs_origin_verdict verdict;
} cases[] = {
    { NULL, NULL, "http", "a.example", CS_ORIGIN_OWN },
    { NULL, "same-origin", "http", "a.example", CS_ORIGIN_OWN },
    { NULL, "none", "http", "a.example", CS_ORIGIN_OWN },
    { NULL, "cross-site", "http", "a.example", CS_ORIGIN_FOREIGN },
    { NULL, "Cross-Site", "http", "a.example", CS_ORIGIN_FOREIGN },
    { "http://a.example", NULL, "http", "a.example", CS_ORIGIN_OWN },
    { "http://a.example", NULL, "http", "A.example:80", CS_ORIGIN_OWN },
    { "http://a.example:81", NULL, "http", "a.example:81", CS_ORIGIN_OWN },
    { "http://a.example", NULL, "https", "a.example", CS_ORIGIN_FOREIGN },
    { "http://a.example:81", NULL, "http", "a.example", CS_ORIGIN_FOREIGN },
    { "http://a.example", "cross-site", "http", "a.example", CS_ORIGIN_FOREIGN },
    { "http://a.example", NULL, "http", NULL, CS_ORIGIN_FOREIGN },
    { "http://evil.example", NULL, "http", "a.example", CS_ORIGIN_FOREIGN },
    { "http://evil.example", "same-site", "http", "a.example", CS_ORIGIN_FOREIGN },
    { "null", NULL, "http", "a.example", CS_ORIGIN_FOREIGN },
    { "", NULL, "http", "a.example", CS_ORIGIN_FOREIGN },
    { "https://ok.example", "cross-site", "http", "a.example", CS_ORIGIN_ALLOWED },
    { "HTTPS://OK.example:443", NULL, "http", "a.example", CS_ORIGIN_ALLOWED },
    { "http://ok.example", NULL, "http", "a.example", CS_ORIGIN_FOREIGN },
};

START_TEST(a_page_is_judged_by_origin_and_site)
{
    apr_array_header_t *allowed = apr_array_make(pool, 1, sizeof(const char *));
    cs_origin_fields fields;
    const char *origin = NULL;

    APR_ARRAY_PUSH(allowed, const char *) = "https://ok.example";
    fields.origin = cases[_i].origin;
    fields.fetch_site = cases[_i].site;
    fields.scheme = cases[_i].scheme;
    fields.host = cases[_i].host;
    ck_assert_int_eq(cs_origin_decide(&fields, allowed, pool, &origin),
                     cases[_i].verdict);
    if (cases[_i].verdict == CS_ORIGIN_ALLOWED)
        ck_assert_str_eq(origin, cases[_i].origin);
}
END_TEST

START_TEST(no_list_allows_nobody)
{
    cs_origin_fields fields = { "https://ok.example", NULL, "http", "a.example" };
    const char *origin = NULL;

    ck_assert_int_eq(cs_origin_decide(&fields, NULL, pool, &origin), CS_ORIGIN_FOREIGN);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

int main(void)
{
    Suite *suite = suite_create("cs_origin");
    TCase *tc = tcase_create("cs_origin");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, an_origin_has_one_form, 0, COUNT(forms));
    tcase_add_loop_test(tc, a_page_is_judged_by_origin_and_site, 0, COUNT(cases));
    tcase_add_test(tc, no_list_allows_nobody);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
