/* SPDX-License-Identifier: Apache-2.0
 * check_cc_json.c - the strict JSON reader, on good, bad and hostile bytes.
 */
#include "cc_json.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

/* In memory of its own without a NUL, so that a read beyond the end is seen. */
static cc_status skip_whole(const char *data, size_t len, unsigned *out_depth)
{
    char *copy = cc_alloc(len);
    cc_json json;
    cc_status status;

    memcpy(copy, data, len);
    cc_json_init(&json, copy, len);
    status = cc_json_skip(&json, NULL, out_depth);
    if (status == CC_OK)
        status = cc_json_finish(&json);
    free(copy);
    return status;
}

static const char *const good[] = {
    "0",
    "-0",
    "1.5e+10",
    "1E5",
    "123456789012345678901234567890",
    "0.1",
    "true",
    "false",
    "null",
    "\"\"",
    "\"a\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"\\\\\\\"\\/\\b\"",
    "[]",
    "{}",
    " [ 1 , 2 ] ",
    "{\"a\":1,\"a\":2}",
    "[[[]],{}]",
    "\t\r\n1\n",
    "{\"a\":{\"b\":[{\"c\":null}]}}",
    "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
    "[[],[],{\"x\":[]}]",
    "\"\x7f\"",
};

static const char *const bad[] = {
    "",
    " ",
    "-",
    "01",
    "1.",
    ".5",
    "1e",
    "1e+",
    "+1",
    "0x10",
    "tru",
    "truefalse",
    "nul",
    "True",
    "\"",
    "\"\\\"",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\\u12g4\"",
    "\"\n\"",
    "\"\t\"",
    "[",
    "]",
    "[1",
    "[1,",
    "[1,]",
    "[,1]",
    "[1 2]",
    "{",
    "}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{a:1}",
    "{\"a\":1 \"b\":2}",
    "{\"a\" 1}",
    "[}",
    "{]",
    "1 2",
    "[1]]",
    "'a'",
    "NaN",
    "Infinity",
    "\"\x80\"",
    "\"\xc0\xaf\"",
    "\"\xed\xa0\x80\"",
    "\"\xf5\x80\x80\x80\"",
    "\"\xe2\x82\"",
    "\xef\xbb\xbf"
    "1",
    "/**/1",
    "[1]//x",
    "\"\xf4\x90\x80\x80\"",
    "\"\xe0\x80\x80\"",
};

START_TEST(well_formed_values_are_read)
{
    ck_assert_int_eq(skip_whole(good[_i], strlen(good[_i]), NULL), CC_OK);
}
END_TEST

START_TEST(anything_else_is_refused)
{
    ck_assert_int_eq(skip_whole(bad[_i], strlen(bad[_i]), NULL), CC_MALFORMED);
}
END_TEST

START_TEST(a_nul_is_no_end)
{
    ck_assert_int_eq(skip_whole("1\0", 2, NULL), CC_MALFORMED);
    ck_assert_int_eq(skip_whole("[1,\0]", 5, NULL), CC_MALFORMED);
    ck_assert_int_eq(skip_whole("\"\0\"", 3, NULL), CC_MALFORMED);
}
END_TEST

START_TEST(every_beginning_of_a_value_is_refused)
{
    static const char text[] =
        "{\"a\":[1,-2.5e3,\"\\u00e9\xc3\xa9\",true,null],\"b\":{}}";
    size_t len;

    for (len = 0; len < strlen(text); len++)
        ck_assert_int_eq(skip_whole(text, len, NULL), CC_MALFORMED);
    ck_assert_int_eq(skip_whole(text, len, NULL), CC_OK);
}
END_TEST

static cc_status skip_nested(size_t depth, unsigned *out_depth)
{
    char *text = cc_alloc(2 * depth);
    cc_status status;

    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    status = skip_whole(text, 2 * depth, out_depth);
    free(text);
    return status;
}

START_TEST(depth_is_told_and_bounded)
{
    unsigned depth = 99;

    ck_assert_int_eq(skip_whole("1", 1, &depth), CC_OK);
    ck_assert_uint_eq(depth, 0);
    ck_assert_int_eq(skip_whole("[{\"a\":[]},[]]", 13, &depth), CC_OK);
    ck_assert_uint_eq(depth, 3);
    ck_assert_int_eq(skip_nested(CC_JSON_DEPTH, &depth), CC_OK);
    ck_assert_uint_eq(depth, CC_JSON_DEPTH);
    ck_assert_int_eq(skip_nested(CC_JSON_DEPTH + 1, &depth), CC_MALFORMED);
    ck_assert_int_eq(skip_nested(1000000, &depth), CC_MALFORMED);
}
END_TEST

START_TEST(members_come_as_slices)
{
    static const char text[] = " { \"a\" : 1 , \"\\u0062\":[2,3]}";
    cc_json json;
    cc_slice name, value;
    int first = 1;

    cc_json_init(&json, text, strlen(text));
    ck_assert_int_eq(cc_json_enter(&json, '{'), CC_OK);
    ck_assert(cc_json_next_member(&json, &first, &name));
    ck_assert(cc_slice_is(name, "a"));
    ck_assert_int_eq(cc_json_skip(&json, &value, NULL), CC_OK);
    ck_assert(cc_slice_is(value, "1"));
    ck_assert(cc_json_next_member(&json, &first, &name));
    ck_assert(cc_slice_is(name, "\\u0062"));
    ck_assert_int_eq(cc_json_skip(&json, &value, NULL), CC_OK);
    ck_assert(cc_slice_is(value, "[2,3]"));
    ck_assert(!cc_json_next_member(&json, &first, &name));
    ck_assert_int_eq(cc_json_finish(&json), CC_OK);
}
END_TEST

static cc_status read_integer(const char *text, uint64_t *out)
{
    cc_json json;
    cc_status status;

    cc_json_init(&json, text, strlen(text));
    status = cc_json_integer(&json, out);
    return status == CC_OK ? cc_json_finish(&json) : status;
}

START_TEST(integers_are_whole_and_fit)
{
    uint64_t number = 0;

    ck_assert_int_eq(read_integer("1800000000000000000", &number), CC_OK);
    ck_assert_uint_eq(number, 1800000000000000000u);
    ck_assert_int_eq(read_integer("99999999999999999999999", &number), CC_MALFORMED);
    ck_assert_int_eq(read_integer("-1", &number), CC_MALFORMED);
    ck_assert_int_eq(read_integer("1.0", &number), CC_MALFORMED);
    ck_assert_int_eq(read_integer("1e3", &number), CC_MALFORMED);
    ck_assert_int_eq(read_integer("\"1\"", &number), CC_MALFORMED);
    ck_assert_int_eq(read_integer("007", &number), CC_MALFORMED);
    ck_assert_int_eq(read_integer("", &number), CC_MALFORMED);
}
END_TEST

static cc_status decode(const char *raw, char *out, size_t size)
{
    return cc_json_decode(cc_slice_of(raw), out, size);
}

START_TEST(strings_are_decoded)
{
    char out[64];

    ck_assert_int_eq(decode("a\\n\\u00e9\\ud83d\\ude00\\/", out, sizeof(out)), CC_OK);
    ck_assert_str_eq(out, "a\n\xc3\xa9\xf0\x9f\x98\x80/");
    ck_assert_int_eq(decode("\\u0000", out, sizeof(out)), CC_MALFORMED);
    ck_assert_int_eq(decode("\\ud800", out, sizeof(out)), CC_MALFORMED);
    ck_assert_int_eq(decode("\\ud800\\u0041", out, sizeof(out)), CC_MALFORMED);
    ck_assert_int_eq(decode("\\udc00", out, sizeof(out)), CC_MALFORMED);
    ck_assert_int_eq(decode("abcd", out, 4), CC_TOO_LARGE);
    ck_assert_int_eq(decode("abc", out, 4), CC_OK);
    ck_assert_int_eq(decode("\xc3\xa9", out, 2), CC_TOO_LARGE);
}
END_TEST

/* Whatever is done to a text, it is read within its bounds and to an end. */
START_TEST(damaged_texts_do_no_harm)
{
    static const char seed[] = "{\"cursor\":\"a-1\",\"messages\":[{\"id\":\"x\",\"data\":"
                               "[1,{\"\\u00e9\":null}]}]}";
    char text[sizeof(seed)];
    unsigned state = 12345;
    int round, i;

    for (round = 0; round < 20000; round++) {
        memcpy(text, seed, sizeof(seed));
        for (i = 0; i < 3; i++) {
            state = state * 1103515245u + 12345u;
            text[(state >> 16) % (sizeof(seed) - 1)] = (char)(state >> 8);
        }
        skip_whole(text, (state >> 4) % sizeof(seed), NULL);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_json");
    TCase *c = tcase_create("json");

    tcase_add_loop_test(c, well_formed_values_are_read, 0,
                        (int)(sizeof(good) / sizeof(good[0])));
    tcase_add_loop_test(c, anything_else_is_refused, 0,
                        (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(c, a_nul_is_no_end);
    tcase_add_test(c, every_beginning_of_a_value_is_refused);
    tcase_add_test(c, depth_is_told_and_bounded);
    tcase_add_test(c, members_come_as_slices);
    tcase_add_test(c, integers_are_whole_and_fit);
    tcase_add_test(c, strings_are_decoded);
    tcase_add_test(c, damaged_texts_do_no_harm);
    suite_add_tcase(s, c);
    return support_run(s);
}
