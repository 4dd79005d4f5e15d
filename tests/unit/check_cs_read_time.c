/* SPDX-License-Identifier: Apache-2.0
 * check_cs_read_time.c - RequestReadTimeout, as mod_reqtimeout means it.
 */
#include "cs_compat.h"

#include "cs_read_time.h"

#include <check.h>
#include <stdlib.h>

#define BEGAN apr_time_from_sec(1000)

/* Seconds from the beginning; -1: for ever. */
static int seconds(const cs_read_time *time, apr_uint64_t bytes)
{
    apr_time_t end = cs_read_time_end(time, BEGAN, bytes);

    return end == 0 ? -1 : (int)apr_time_sec(end - BEGAN);
}

START_TEST(nothing_given_is_the_default)
{
    cs_read_times times;

    cs_read_times_init(&times);
    ck_assert_int_eq(seconds(&times.header, 0), 20);
    ck_assert_int_eq(seconds(&times.header, 499), 20);
    ck_assert_int_eq(seconds(&times.header, 5000), 30);
    ck_assert_int_eq(seconds(&times.header, 1000000), 40);
    ck_assert_int_eq(seconds(&times.body, 0), 20);
    ck_assert_int_eq(seconds(&times.body, 50000), 120);
}
END_TEST

START_TEST(what_is_given_counts)
{
    static const struct {
        const char *text;
        int header, header_1000, body, body_1000;
    } rows[] = {
        { "header=3 body=4", 3, 3, 4, 4 },
        { "HEADER=3", 3, 3, 20, 22 },
        { "header=0 body=0", -1, -1, -1, -1 },
        { "body=10,minrate=100", 20, 22, 10, 20 },
        { "body=10-15,MinRate=100", 20, 22, 10, 15 },
        { "  header=5-6,MinRate=1000\tbody=2 ", 5, 6, 2, 2 },
        { "handshake=5", 20, 22, 20, 22 },
        { "", 20, 22, 20, 22 },
    };
    unsigned i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cs_read_times times;

        cs_read_times_init(&times);
        cs_read_times_parse(&times, rows[i].text);
        ck_assert_msg(seconds(&times.header, 0) == rows[i].header
                          && seconds(&times.header, 1000) == rows[i].header_1000
                          && seconds(&times.body, 0) == rows[i].body
                          && seconds(&times.body, 1000) == rows[i].body_1000,
                      "'%s': %d %d %d %d", rows[i].text, seconds(&times.header, 0),
                      seconds(&times.header, 1000), seconds(&times.body, 0),
                      seconds(&times.body, 1000));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cs_read_time");
    TCase *times = tcase_create("times");
    SRunner *runner;
    int failed;

    tcase_add_test(times, nothing_given_is_the_default);
    tcase_add_test(times, what_is_given_counts);
    suite_add_tcase(suite, times);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
