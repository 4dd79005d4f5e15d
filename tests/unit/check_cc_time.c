/* SPDX-License-Identifier: Apache-2.0
 * check_cc_time.c - RFC 3339 times.
 */
#include "cc_time.h"
#include "support/support.h"

#include <string.h>

static const struct {
    const char *text;
    int64_t time;
} good[] = {
    { "1970-01-01T00:00:00Z", 0 },
    { "1970-01-01T00:00:00.001Z", 1 },
    { "2026-11-23T04:16:54.123Z", 1795407414123 },
    { "2026-11-23t04:16:54.123456789z", 1795407414123 },
    { "2026-11-23T05:16:54.1+01:00", 1795407414100 },
    { "2026-11-22T23:46:54-04:30", 1795407414000 },
    { "2024-02-29T00:00:00Z", 1709164800000 },
    { "9999-12-31T23:59:59Z", 253402300799000 },
};

static const char *const bad[] = {
    "",
    "now",
    "2026-11-23",
    "2026-11-23T04:16:54",
    "2026-13-01T00:00:00Z",
    "2026-02-29T00:00:00Z",
    "2026-00-01T00:00:00Z",
    "2026-11-23T24:00:00Z",
    "2026-11-23T04:60:00Z",
    "2026-11-23T04:16:61Z",
    "2026-11-23T04:16:54.Z",
    "2026-11-23T04:16:54Zx",
    "2026-11-23T04:16:54+1:00",
    "2026-11-23T04:16:54+24:00",
    "-026-11-23T04:16:54Z",
    "26-11-23T04:16:54Z",
    "2026-11-23 04:16:54Z",
    "1969-12-31T23:59:59Z",
    "1970-01-01T00:00:59.5+00:01",
    "9999-12-31T23:59:59-00:01",
    "9999-12-31T23:59:60Z",
};

START_TEST(times_are_read)
{
    int64_t time = -1;

    ck_assert_int_eq(cc_time_parse(good[_i].text, strlen(good[_i].text), &time), CC_OK);
    ck_assert_int_eq(time, good[_i].time);
}
END_TEST

START_TEST(other_texts_are_refused)
{
    int64_t time;

    ck_assert_int_eq(cc_time_parse(bad[_i], strlen(bad[_i]), &time), CC_MALFORMED);
}
END_TEST

START_TEST(what_is_written_can_be_read)
{
    char text[CC_TIME_TEXT];
    int64_t time = 0;

    cc_time_format(1795407414007, text);
    ck_assert_str_eq(text, "2026-11-23T04:16:54.007Z");
    ck_assert_int_eq(cc_time_parse(text, strlen(text), &time), CC_OK);
    ck_assert_int_eq(time, 1795407414007);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_time");
    TCase *c = tcase_create("time");

    tcase_add_loop_test(c, times_are_read, 0, (int)(sizeof(good) / sizeof(good[0])));
    tcase_add_loop_test(c, other_texts_are_refused, 0,
                        (int)(sizeof(bad) / sizeof(bad[0])));
    tcase_add_test(c, what_is_written_can_be_read);
    suite_add_tcase(s, c);
    return support_run(s);
}
