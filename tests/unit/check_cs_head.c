/* SPDX-License-Identifier: Apache-2.0
 * check_cs_head.c - where a request head ends.
 */
#include <check.h>
#include <string.h>

#include "cs_head.h"

static const struct {
    const char *data;
    apr_size_t expected;
} cases[] = {
    { "", 0 },
    { "GET / HTTP/1.1", 0 },
    { "GET / HTTP/1.1\r\n", 0 },
    { "GET / HTTP/1.1\r\n\r", 0 },
    { "GET / HTTP/1.1\r\n\r\n", 18 },
    { "GET / HTTP/1.1\n\n", 16 },
    { "GET / HTTP/1.1\nHost: a\r\n\nbody", 25 },
    { "\r\n\r\nGET / HTTP/1.1\r\n\r\n", 22 },
    { "\r\n\r\n", 0 },
    { "a\r\n\r\nb\r\n\r\n", 5 },
    { "a\r\n \r\n\r\n", 8 },
};

START_TEST(ends_behind_the_blank_line)
{
    const char *data = cases[_i].data;

    ck_assert_uint_eq(cs_head_length(data, strlen(data), 0), cases[_i].expected);
}
END_TEST

/* Byte by byte, looking again at the last three bytes only. */
START_TEST(found_when_it_comes_in_pieces)
{
    const char *data = cases[_i].data;
    apr_size_t len, length = 0;

    for (len = 1; len <= strlen(data) && length == 0; len++) {
        length = cs_head_length(data, len, len > 4 ? len - 4 : 0);
    }
    ck_assert_uint_eq(length, cases[_i].expected);
}
END_TEST

int main(void)
{
    const int n = (int)(sizeof(cases) / sizeof(cases[0]));
    Suite *suite = suite_create("cs_head");
    TCase *lengths = tcase_create("length");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(lengths, ends_behind_the_blank_line, 0, n);
    tcase_add_loop_test(lengths, found_when_it_comes_in_pieces, 0, n);
    suite_add_tcase(suite, lengths);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
