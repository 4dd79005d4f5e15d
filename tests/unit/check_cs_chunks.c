/* SPDX-License-Identifier: Apache-2.0
 * check_cs_chunks.c - where a chunked body ends.
 */
#include <check.h>
#include <string.h>

#include "cs_chunks.h"

static const struct {
    const char *data;
    cs_chunks_result expected;
    apr_size_t end; /* bytes of the body, if it is whole        */
} cases[] = {
    { "", CS_CHUNKS_MORE, 0 },
    { "0\r\n\r\n", CS_CHUNKS_WHOLE, 5 },
    { "0\n\n", CS_CHUNKS_WHOLE, 3 },
    { "3\r\nabc\r\n0\r\n\r\nGET /", CS_CHUNKS_WHOLE, 13 },
    { "0003\r\nabc\r\n0\r\n\r\n", CS_CHUNKS_WHOLE, 16 },
    { "3\r\nabc\r\n0\r\n", CS_CHUNKS_MORE, 0 },
    { "3\r\nabc\r\n0\r\n\r", CS_CHUNKS_MORE, 0 },
    { "3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n", CS_CHUNKS_WHOLE, 25 },
    { "3;name=\"0\r\nabc\r\n0;x\r\n\r\n", CS_CHUNKS_WHOLE, 23 },
    { "a\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", CS_CHUNKS_WHOLE, 20 },
    { "g\r\n", CS_CHUNKS_BROKEN, 0 },
    { "\r\n", CS_CHUNKS_BROKEN, 0 },
    { "3\r\nabcd\r\n", CS_CHUNKS_BROKEN, 0 },
    { "11111111111111111\r\n", CS_CHUNKS_BROKEN, 0 },
};

static cs_chunks_result scan_in_steps(const char *data, apr_size_t step,
                                      apr_size_t *out_end)
{
    cs_chunks chunks = { 0 };
    apr_size_t len = strlen(data), have = 0;
    cs_chunks_result result = CS_CHUNKS_MORE;

    while (result == CS_CHUNKS_MORE && have < len) {
        have = have + step < len ? have + step : len;
        result = cs_chunks_scan(&chunks, data, have);
    }
    *out_end = chunks.scanned;
    return result;
}

START_TEST(ends_behind_the_trailer)
{
    apr_size_t end, step;

    for (step = 1; step < 30; step++) {
        ck_assert_int_eq(scan_in_steps(cases[_i].data, step, &end), cases[_i].expected);
        if (cases[_i].expected == CS_CHUNKS_WHOLE) {
            ck_assert_uint_eq(end, cases[_i].end);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cs_chunks");
    TCase *ends = tcase_create("end");
    SRunner *runner;
    int failed;

    tcase_add_loop_test(ends, ends_behind_the_trailer, 0,
                        (int)(sizeof(cases) / sizeof(cases[0])));
    suite_add_tcase(suite, ends);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
