/* SPDX-License-Identifier: Apache-2.0
 * check_csq_payload.c - what a body becomes, and what counts as JSON.
 */
#include "cs_compat.h"
#include "csq_fixture.h"
#include "csq_json.h"

#include <apr_general.h>
#include <stdio.h>
#include <stdlib.h>

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

static void expect(const char *type, const char *body, apr_size_t len,
                   csq_encoding encoding, const char *data)
{
    csq_encoding got;
    const char *out;
    apr_size_t out_len;

    ck_ok(csq_payload_encode(type, body, len, pool, &got, &out, &out_len));
    ck_assert_int_eq(got, encoding);
    ck_assert_str_eq(apr_pstrmemdup(pool, out, out_len), data);
}

static apr_status_t encode(const char *type, const char *body)
{
    csq_encoding got;
    const char *out;
    apr_size_t out_len;

    return csq_payload_encode(type, body, strlen(body), pool, &got, &out, &out_len);
}

START_TEST(json_travels_as_it_is)
{
    static const char body[] = "{\"a\": [1.50, 1e400, \"\\ud800\"], \"a\":null}";
    csq_encoding encoding;
    const char *out;
    apr_size_t len;

    ck_ok(csq_payload_encode("application/json", body, strlen(body), pool, &encoding,
                             &out, &len));
    ck_assert_ptr_eq(out, body);
    expect("application/json", "[1,\r\n2]", 7, CSQ_JSON, "[1,  2]");
    expect("Application/JSON; charset=utf-8", "1", 1, CSQ_JSON, "1");
    expect("application/vnd.a+json ;x", "{}", 2, CSQ_JSON, "{}");
    ck_status(encode("application/json", ""), CSQ_BAD_JSON);
    ck_status(encode("application/ld+json", "{"), CSQ_BAD_JSON);
    ck_status(encode("application/json", "\xef\xbb\xbf{}"), CSQ_BAD_JSON);
    ck_status(encode("application/json", "\"\xff\""), CSQ_BAD_JSON);
}
END_TEST

START_TEST(text_becomes_a_string)
{
    expect("text/plain", "hello", 5, CSQ_TEXT, "\"hello\"");
    expect(NULL, "", 0, CSQ_TEXT, "\"\"");
    expect("application/jsonp", "{", 1, CSQ_TEXT, "\"{\"");
    expect(NULL, "a\"b\\c\n\r\t\b\f\x01\x1f\x7f/", 14, CSQ_TEXT,
           "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001f\x7f/\"");
    expect("image/png", "j\xc3\xbcrgen \xf0\x9f\x98\x80", 12, CSQ_TEXT,
           "\"j\xc3\xbcrgen \xf0\x9f\x98\x80\"");
}
END_TEST

/* Wherever it stands: several bytes are looked at together. */
START_TEST(what_must_be_escaped_is_found_anywhere)
{
    static const char special[] = "\x01\x1f\"\\\n \x7f!#[]";
    char body[40], wanted[64];
    size_t len, at, i;

    for (len = 1; len < sizeof body; len++)
        for (at = 0; at < len; at++)
            for (i = 0; i < sizeof special - 1; i++) {
                unsigned char c = (unsigned char)special[i];
                char as[8] = { (char)c, 0 };

                if (c == '\n')
                    strcpy(as, "\\n");
                else if (c < 0x20)
                    snprintf(as, sizeof as, "\\u%04x", c);
                else if (c == '"' || c == '\\')
                    snprintf(as, sizeof as, "\\%c", c);
                memset(body, 'x', len);
                body[at] = (char)c;
                snprintf(wanted, sizeof wanted, "\"%.*s%s%.*s\"", (int)at, body, as,
                         (int)(len - at - 1), body + at + 1);
                expect(NULL, body, len, CSQ_TEXT, wanted);
            }
}
END_TEST

START_TEST(the_rest_becomes_base64)
{
    expect(NULL, "a\0b", 3, CSQ_BINARY, "\"YQBi\"");
    expect("text/plain", "\xff", 1, CSQ_BINARY, "\"/w==\"");
    expect("text/plain", "\xff\xfe", 2, CSQ_BINARY, "\"//4=\"");
    expect("text/plain", "\xff\xfe\xfd\xfc", 4, CSQ_BINARY, "\"//79/A==\"");
    expect("text/plain", "\xc3", 1, CSQ_BINARY, "\"ww==\"");
}
END_TEST

START_TEST(escaped_text_is_json)
{
    char body[256];
    csq_encoding encoding;
    const char *out;
    apr_size_t len;
    int i;

    for (i = 0; i < 127; i++)
        body[i] = (char)(i + 1);
    ck_ok(csq_payload_encode(NULL, body, 127, pool, &encoding, &out, &len));
    ck_assert_int_eq(encoding, CSQ_TEXT);
    ck_assert_int_eq(csq_json_valid(out, len), 1);
    ck_assert_ptr_null(memchr(out, '\n', len));
    ck_assert_ptr_null(memchr(out, '\r', len));
}
END_TEST

static const char *const good[] = { "null",
                                    "true",
                                    "false",
                                    "0",
                                    "-0",
                                    "1.5",
                                    "1e5",
                                    "1E+5",
                                    "-1.25e-10",
                                    "\"\"",
                                    "\"abcdefghijklmnop\"",
                                    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e4\"",
                                    "[]",
                                    "{}",
                                    " [ ] ",
                                    "[1,2,3]",
                                    "{\"a\":1}",
                                    "{\"a\":{\"b\":[{},[],\"\"]},\"c\":[]}",
                                    "\t\r\n {\"a\" : 1 , \"b\" : 2} \n",
                                    "[[[[[[[[]]]]]]]]",
                                    "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"",
                                    "\"\x7f\"",
                                    "{\"\":0}",
                                    "123456789012345678901234567890",
                                    "\"12345678\\n12345678\"" };

static const char *const bad[] = { "",
                                   " ",
                                   "nul",
                                   "nulll",
                                   "True",
                                   "01",
                                   "-",
                                   "+1",
                                   "1.",
                                   ".5",
                                   "1e",
                                   "1e+",
                                   "0x1",
                                   "\"",
                                   "\"a",
                                   "\"\\x\"",
                                   "\"\\u12g4\"",
                                   "\"\\u123\"",
                                   "\"\n\"",
                                   "\"\t\"",
                                   "\"\x01\"",
                                   "[",
                                   "]",
                                   "[1,]",
                                   "[,1]",
                                   "[1 2]",
                                   "{",
                                   "}",
                                   "{a:1}",
                                   "{\"a\"}",
                                   "{\"a\":}",
                                   "{\"a\":1,}",
                                   "{,}",
                                   "{\"a\" 1}",
                                   "{1:2}",
                                   "[1}",
                                   "{\"a\":1]",
                                   "1 2",
                                   "{}{}",
                                   "'a'",
                                   "NaN",
                                   "Infinity",
                                   "[1]]",
                                   "\"\xc0\x80\"",
                                   "\"\xed\xa0\x80\"",
                                   "\"\xf5\"",
                                   "\"\xc3\"",
                                   "\"\xe2\x82\"",
                                   "\"\\",
                                   "\"\\u",
                                   "//",
                                   "[1,/**/2]",
                                   "\"12345678\x02\"",
                                   "\"1234567\xff\"",
                                   "{\"a\":1 \"b\":2}",
                                   "[[]" };

START_TEST(well_formed_json_is_taken)
{
    size_t i;

    for (i = 0; i < sizeof good / sizeof good[0]; i++)
        ck_assert_msg(csq_json_valid(good[i], strlen(good[i])), "refused: %s", good[i]);
}
END_TEST

START_TEST(anything_else_is_refused)
{
    size_t i;

    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!csq_json_valid(bad[i], strlen(bad[i])), "taken: %s", bad[i]);
    ck_assert_int_eq(csq_json_valid("\"a\0b\"", 5), 0);
    ck_assert_int_eq(csq_json_valid("\"\\\0\"", 4), 0);
    ck_assert_int_eq(csq_json_valid("1\0", 2), 0);
}
END_TEST

START_TEST(no_prefix_of_json_is_json)
{
    static const char text[] = "{\"a\\u00e4\":[1.5e+3,{\"b\":[true,null]}],\"c\":\"x\"}";
    size_t i;

    for (i = 0; i < sizeof text - 1; i++) {
        char *copy = malloc(i ? i : 1);

        memcpy(copy, text, i);
        ck_assert_int_eq(csq_json_valid(copy, i), 0);
        free(copy);
    }
    ck_assert_int_eq(csq_json_valid(text, i), 1);
}
END_TEST

START_TEST(nesting_ends_at_64)
{
    char text[300];
    int depth;
    int object;

    for (object = 0; object < 2; object++)
        for (depth = 63; depth <= 66; depth++) {
            int at = 0;
            int i;

            for (i = 0; i < depth; i++) {
                if (object && i % 2)
                    at += sprintf(text + at, i == depth - 1 ? "{" : "{\"\":");
                else
                    text[at++] = '[';
            }
            for (i = depth - 1; i >= 0; i--)
                text[at++] = object && i % 2 ? '}' : ']';
            ck_assert_int_eq(csq_json_valid(text, (size_t)at), depth <= 64);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_payload");
    TCase *tc = tcase_create("payload");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, json_travels_as_it_is);
    tcase_add_test(tc, text_becomes_a_string);
    tcase_add_test(tc, what_must_be_escaped_is_found_anywhere);
    tcase_add_test(tc, the_rest_becomes_base64);
    tcase_add_test(tc, escaped_text_is_json);
    tcase_add_test(tc, well_formed_json_is_taken);
    tcase_add_test(tc, anything_else_is_refused);
    tcase_add_test(tc, no_prefix_of_json_is_json);
    tcase_add_test(tc, nesting_ends_at_64);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
