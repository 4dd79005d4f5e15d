/* SPDX-License-Identifier: Apache-2.0
 * check_cc_publication.c - what applications want published; base64.
 */
#include "cc_base64.h"
#include "cc_publication.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cc_publication p;

static const char *parse(const char *object)
{
    cc_publication_clear(&p);
    return cc_command_error_code(
        cc_publication_parse((cc_slice){ object, strlen(object) }, &p));
}

static void tear_down(void)
{
    cc_publication_clear(&p);
}

START_TEST(all_members_are_read)
{
    ck_assert_str_eq(
        parse("{\"app\":\"orders\",\"to\":[\"a\",\"b/d\"],\"data\":[1 ],"
              "\"type\":\"Application/JSON;x=1\",\"ttl\":0,\"topic\":\"T_-1\","
              "\"urgency\":\"very-low\",\"receipt\":true,\"base64\":false,"
              "\"server\":\"main\",\"ref\":\"r\\u00e9f\",\"else\":{}}"),
        "");
    ck_assert_str_eq(p.app, "orders");
    ck_assert_str_eq(p.place.data, "?to=a&to=b/d");
    ck_assert(cc_slice_is(p.body, "[1 ]"));
    ck_assert_str_eq(p.type, "Application/JSON;x=1");
    ck_assert_int_eq(p.ttl, 0);
    ck_assert_str_eq(p.topic, "T_-1");
    ck_assert_str_eq(p.urgency, "very-low");
    ck_assert(p.receipt);
    ck_assert_str_eq(p.server, "main");
    ck_assert_str_eq(p.ref, "r\xc3\xa9"
                            "f");
    ck_assert(p.has_ref);
}
END_TEST

START_TEST(what_is_left_out_has_a_default)
{
    ck_assert_str_eq(parse("{\"to\":\"a\",\"data\":\"x\"}"), "");
    ck_assert_str_eq(p.app, "");
    ck_assert_str_eq(p.type, "application/json");
    ck_assert(cc_slice_is(p.body, "\"x\""));
    ck_assert_int_eq(p.ttl, -1);
    ck_assert(!p.has_ref);
    ck_assert_str_eq(parse("{\"to\":\"a\",\"data\":\"eA==\",\"base64\":true}"), "");
    ck_assert_str_eq(p.type, "");
    ck_assert(cc_slice_is(p.body, "x"));
}
END_TEST

/* The first thing that is wrong counts; the ref is read all the same. */
START_TEST(the_ref_is_known_where_something_is_wrong)
{
    ck_assert_str_eq(parse("{\"ttl\":-1,\"topic\":\"a b\",\"ref\":\"r\"}"), "bad-ttl");
    ck_assert_str_eq(p.ref, "r");
    ck_assert_str_eq(parse("{\"ref\":\"\\ud800\",\"to\":\"a\",\"data\":1}"), "bad-ref");
    ck_assert(!p.has_ref);
    ck_assert_str_eq(parse("{\"ref\":\"\",\"to\":\"a\",\"data\":1}"), "");
    ck_assert(p.has_ref);
}
END_TEST

static void make_list(char *out, int count, const char *name)
{
    int i;

    strcpy(out, "{\"data\":1,\"to\":[");
    for (i = 0; i < count; i++)
        sprintf(out + strlen(out), "%s\"%s%d\"", i ? "," : "", name, i);
    strcat(out, "]}");
}

START_TEST(a_hundred_receivers_and_no_more)
{
    static char object[65536];
    const char *name = "n234567890123456789012345678901234567890123456789012345678901234"
                       "5678901234567890";

    make_list(object, 100, "n");
    ck_assert_str_eq(parse(object), "");
    make_list(object, 101, "n");
    ck_assert_str_eq(parse(object), "bad-receiver");
    make_list(object, 80, name);
    ck_assert_str_eq(parse(object), "");
    make_list(object, 90, name);
    ck_assert_str_eq(parse(object), "bad-receiver");
}
END_TEST

static const char *const urls[][4] = {
    { "http://x/p", "a", "/bob", "http://x/p/a/bob" },
    { "http://x/p/", "a", "/bob", "http://x/p/a/bob" },
    { "http://x", "a", "/-/all", "http://x/a/-/all" },
    { "http://x/p?k=1", "a", "/bob", "http://x/p/a/bob?k=1" },
    { "http://x/p/?k=1&l", "a", "?to=b&to=c", "http://x/p/a?to=b&to=c&k=1&l" },
    { "http://x/p?", "a", "?to=b", "http://x/p/a?to=b" },
};

START_TEST(the_url_has_application_and_place)
{
    cc_buffer url = { NULL, 0, 0 };

    cc_publication_url(&url, urls[_i][0], urls[_i][1], urls[_i][2]);
    ck_assert_str_eq(url.data, urls[_i][3]);
    cc_buffer_clear(&url);
}
END_TEST

/* The vectors of RFC 4648. */
static const char *const vectors[][2] = {
    { "", "" },
    { "f", "Zg==" },
    { "fo", "Zm8=" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg==" },
    { "fooba", "Zm9vYmE=" },
    { "foobar", "Zm9vYmFy" },
    { "\xfb\xff\xfe", "+//+" },
};

START_TEST(base64_goes_there_and_back)
{
    cc_buffer out = { NULL, 0, 0 };

    cc_buffer_add(&out, "", 0);
    cc_base64_encode(&out, vectors[_i][0], strlen(vectors[_i][0]));
    ck_assert_str_eq(out.data, vectors[_i][1]);
    cc_buffer_reset(&out, 64);
    cc_buffer_add(&out, "", 0);
    ck_assert_int_eq(cc_base64_decode(&out, vectors[_i][1], strlen(vectors[_i][1])),
                     CC_OK);
    ck_assert_str_eq(out.data, vectors[_i][0]);
    cc_buffer_clear(&out);
}
END_TEST

static const char *const bad_base64[] = {
    "Z",        "Zg",   "Zg=",  "=",    "====",   "Z===",
    "Zg==Zg==", "Zh==", "Zm9=", "Zm-_", "Zm9v\n", "Zm 9",
};

START_TEST(what_is_no_base64_is_refused)
{
    cc_buffer out = { NULL, 0, 0 };

    ck_assert_int_eq(cc_base64_decode(&out, bad_base64[_i], strlen(bad_base64[_i])),
                     CC_MALFORMED);
    cc_buffer_clear(&out);
}
END_TEST

#define COUNT(list) ((int)(sizeof(list) / sizeof(list[0])))

int main(void)
{
    Suite *s = suite_create("cc_publication");
    TCase *c = tcase_create("publication");

    tcase_add_checked_fixture(c, NULL, tear_down);
    tcase_add_test(c, all_members_are_read);
    tcase_add_test(c, what_is_left_out_has_a_default);
    tcase_add_test(c, the_ref_is_known_where_something_is_wrong);
    tcase_add_test(c, a_hundred_receivers_and_no_more);
    tcase_add_loop_test(c, the_url_has_application_and_place, 0, COUNT(urls));
    tcase_add_loop_test(c, base64_goes_there_and_back, 0, COUNT(vectors));
    tcase_add_loop_test(c, what_is_no_base64_is_refused, 0, COUNT(bad_base64));
    suite_add_tcase(s, c);
    return support_run(s);
}
