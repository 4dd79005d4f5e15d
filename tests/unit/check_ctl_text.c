/* SPDX-License-Identifier: Apache-2.0
 * check_ctl_text.c - text for a terminal, and the page of "commclient status".
 */
#include "ctl/ctl_status_view.h"
#include "ctl/ctl_text.h"
#include "cc_time.h"
#include "cc_utf8.h"

#include "support/support.h"

#include <json.h>
#include <locale.h>
#include <string.h>

static cc_buffer out;

static void set_up(void)
{
    ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C.UTF-8"));
    memset(&out, 0, sizeof(out));
}

static void tear_down(void)
{
    cc_buffer_clear(&out);
}

static const char *added(const char *text, size_t columns)
{
    cc_buffer_reset(&out, 4096);
    ctl_text_add(&out, text, columns);
    return out.data;
}

START_TEST(nothing_in_a_text_steers_the_terminal)
{
    ck_assert_str_eq(added("a\033[31mb", 0), "a\\x1b[31mb");
    ck_assert_str_eq(added("a\nb\tc\x7f", 0), "a\\x0ab\\x09c\\x7f");
    ck_assert_str_eq(added("\xe2\x80\xae", 0), "\\u202e");
    ck_assert_str_eq(added("\xc2\x9b", 0), "\\u009b");
    ck_assert_str_eq(added("\xff\xc3", 0), "\\xff\\xc3");
}
END_TEST

static const char *as_json(const char *json)
{
    cc_buffer_reset(&out, 4096);
    ctl_text_json(&out, json, strlen(json));
    return out.data;
}

START_TEST(json_for_a_terminal_is_the_same_json)
{
    ck_assert_str_eq(as_json("{\"a\":\r\n[1,\t\"J\xc3\xbcrgen\"]}"),
                     "{\"a\": \n[1,\t\"J\xc3\xbcrgen\"]}");
    ck_assert_str_eq(as_json("\"\x7f\xc2\x9b\xe2\x80\xae\""),
                     "\"\\u007f\\u009b\\u202e\"");
    ck_assert_str_eq(as_json("\"\xf3\xa0\x80\x81\xff\""), "\"\\udb40\\udc01\\ufffd\"");
    ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C"));
    ck_assert_str_eq(as_json("\"\xc3\xbc\""), "\"\\u00fc\"");
}
END_TEST

START_TEST(nothing_in_a_line_of_the_log_steers_the_terminal)
{
    char text[] = "a\033[2J\n\302\233b\177 \303\244 \302\240 \233\302";
    char lines[] = "one\ntwo\r";

    cc_utf8_hide_controls(text, 0);
    ck_assert_str_eq(text, "a?[2J???b? \303\244 \302\240 ??");
    cc_utf8_hide_controls(lines, 1);
    ck_assert_str_eq(lines, "one\ntwo?");
}
END_TEST

START_TEST(columns_are_counted_not_bytes)
{
    ck_assert_uint_eq(ctl_text_width("J\xc3\xbcrgen"), 6);
    ck_assert_uint_eq(ctl_text_width("\xe6\xbc\xa2\xe5\xad\x97"), 4);
    ck_assert_str_eq(added("J\xc3\xbcrgen", 6), "J\xc3\xbcrgen");
    ck_assert_str_eq(added("J\xc3\xbcrgen", 5), "J\xc3\xbcrg\xe2\x80\xa6");
    ck_assert_str_eq(added("\xe6\xbc\xa2\xe5\xad\x97", 3), "\xe6\xbc\xa2\xe2\x80\xa6");
    ck_assert_str_eq(added("\033", 2), "\xe2\x80\xa6");
}
END_TEST

START_TEST(in_a_locale_without_utf8_bytes_are_shown_by_number)
{
    ck_assert_ptr_nonnull(setlocale(LC_CTYPE, "C"));
    ck_assert_str_eq(added("\xc3\xbc", 0), "\\xc3\\xbc");
    ck_assert_str_eq(added("abcdef", 4), "abc~");
}
END_TEST

START_TEST(lines_are_broken_between_words)
{
    cc_buffer_add_text(&out, "! ");
    ctl_text_wrap(&out, "one two  three", 2, 10);
    ck_assert_str_eq(out.data, "! one two\n  three");
    cc_buffer_reset(&out, 4096);
    ctl_text_wrap(&out, "ab abcdefghijklmn o", 0, 8);
    ck_assert_str_eq(out.data, "ab\nabcdefgh\nijklmn o");
    cc_buffer_reset(&out, 4096);
    ctl_text_wrap(&out, "a b", 9, 4);
    ck_assert_str_eq(out.data, "a\n         b");
}
END_TEST

/* ---- tables ----------------------------------------------------------- */

static const ctl_column columns[] = { { "NAME", 0, 0, 0 },
                                      { "N", 1, 0, 0 },
                                      { "URL", 0, 1, 6 } };

static const char *table_in(size_t width, const char *name, const char *url)
{
    ctl_table table = { columns, 3, NULL, 0 };

    cc_buffer_reset(&out, 4096);
    ctl_table_add(&table, name, CTL_BOLD);
    ctl_table_add(&table, "12", CTL_PLAIN);
    ctl_table_add(&table, url, CTL_PLAIN);
    ctl_table_write(&table, width, 0, &out);
    ctl_table_clear(&table);
    return out.data;
}

START_TEST(a_table_is_aligned)
{
    ck_assert_str_eq(table_in(0, "orders", "http://a"),
                     "NAME     N  URL\norders  12  http://a\n");
}
END_TEST

START_TEST(a_table_fits_its_width)
{
    ck_assert_str_eq(table_in(18, "orders", "http://a"),
                     "NAME     N  URL\norders  12  http:\xe2\x80\xa6\n");
    ck_assert_str_eq(table_in(16, "orders", "http://a"), "NAME     N\norders  12\n");
    ck_assert_str_eq(table_in(13, "abcdefghijklmnop", "http://a"),
                     "NAME        N\nabcdefgh\xe2\x80\xa6  12\n");
}
END_TEST

/* ---- the page --------------------------------------------------------- */

static const char *page_of(const char *json, size_t width, int colored)
{
    ctl_view view = { width, colored, 0 };
    struct json_object *status = json_tokener_parse(json);

    cc_time_parse("2026-01-01T12:00:00Z", 20, &view.now);
    cc_buffer_reset(&out, 4096);
    ctl_status_write(&view, status, &out);
    json_object_put(status);
    return out.data;
}

static const char page[] =
    "{\"version\":\"1.0\",\"process\":7,\"since\":\"2026-01-01T09:50:00Z\","
    "\"connections\":1,\"inbox\":{\"path\":\"/i\",\"messages\":1,\"bytes\":1536,"
    "\"max\":1073741824,\"dead\":1},\"servers\":[{\"name\":\"main\",\"url\":\"http://a\","
    "\"device\":\"d\",\"state\":\"connected\",\"since\":\"2026-01-01T11:59:01Z\","
    "\"received\":3,\"last_message\":\"2025-12-28T12:00:00Z\"},{\"name\":\"two\","
    "\"url\":\"http://b\",\"device\":\"d\",\"state\":\"refused\",\"detail\":\"refused"
    " with 401\",\"since\":\"2026-01-01T11:55:00Z\",\"next_try\":"
    "\"2026-01-01T12:01:00Z\",\"received\":0}],\"apps\":[{\"name\":\"orders\","
    "\"subscribers\":0,\"watchers\":0,\"waiting\":1,\"unacknowledged\":0}]}";

START_TEST(what_is_wrong_comes_first)
{
    ck_assert_str_eq(
        page_of(page, 0, 0),
        "! server two: refused with 401 (next try in 1 min)\n"
        "  Is the password or token still right? 'commclient check' tries it; a changed"
        " file is used at once\n"
        "! app orders: 1 message waits, and nothing takes them\n"
        "  Start the application\n"
        "! 1 message could not be used or was rejected\n"
        "  'commclient dead' lists them\n"
        "\n"
        "agent  commclient 1.0, process 7, running for 2 h 10 min, 1 connection\n"
        "inbox  1 message, 1.5 KB of 1.0 GB in /i\n"
        "\n"
        "SERVER  STATE      FOR    RECEIVED  LAST        DEVICE  URL\n"
        "main    connected  59 s          3  4 days ago  d       http://a\n"
        "two     refused    5 min         0  -           d       http://b\n"
        "\n"
        "APP     WAITING  UNACKED  SUBSCRIBERS  WATCHERS\n"
        "orders        1        0            0         0\n");
}
END_TEST

START_TEST(a_quota_that_is_almost_full_is_told)
{
    ck_assert_ptr_nonnull(strstr(
        page_of("{\"apps\":[{\"name\":\"a\",\"bytes\":950,\"quota\":1000}]}", 0, 0),
        "! app a: its quota of 1000 bytes is almost full"));
    ck_assert_ptr_null(strstr(
        page_of("{\"apps\":[{\"name\":\"a\",\"bytes\":890,\"quota\":1000}]}", 0, 0),
        "quota"));
}
END_TEST

START_TEST(publishing_has_its_troubles)
{
    page_of("{\"servers\":[{\"name\":\"main\",\"state\":\"connected\",\"publish\":"
            "{\"state\":\"refused\",\"detail\":\"refused with 403\",\"next_try\":"
            "\"2026-01-01T12:01:00Z\"}}],\"spool\":{\"messages\":1,\"bytes\":300,"
            "\"max\":67108864}}",
            0, 0);
    ck_assert_ptr_nonnull(
        strstr(out.data, "! publishing at main: refused with 403 (next try in 1 min)\n"));
    ck_assert_ptr_nonnull(
        strstr(out.data, "\nspool  1 message to be published, 300 bytes of 64 MB\n"));
    page_of("{\"servers\":[{\"name\":\"main\",\"state\":\"connected\",\"publish\":"
            "{\"state\":\"ready\"}}],\"spool\":{\"messages\":0}}",
            0, 0);
    ck_assert_ptr_null(strchr(out.data, '!'));
    ck_assert_ptr_null(strstr(out.data, "spool"));
}
END_TEST

static size_t longest_line(const char *text)
{
    size_t longest = 0, len;
    char line[512];

    for (; *text != '\0'; text += len + (text[len] == '\n')) {
        len = strcspn(text, "\n");
        ck_assert_uint_lt(len, sizeof(line));
        memcpy(line, text, len);
        line[len] = '\0';
        if (ctl_text_width(line) > longest)
            longest = ctl_text_width(line);
    }
    return longest;
}

START_TEST(no_line_is_longer_than_the_terminal)
{
    size_t width;

    for (width = 30; width < 120; width++)
        ck_assert_uint_le(longest_line(page_of(page, width, 0)), width);
}
END_TEST

START_TEST(colors_are_there_when_they_are_wanted)
{
    ck_assert_ptr_null(strchr(page_of(page, 80, 0), '\033'));
    ck_assert_ptr_nonnull(strstr(page_of(page, 80, 1), "\033[32mconnected"));
    ck_assert_ptr_nonnull(strstr(out.data, "\033[31mrefused"));
}
END_TEST

START_TEST(whatever_the_agent_says_is_shown_without_harm)
{
    static const char *const texts[] = {
        "{}",
        "null",
        "[]",
        "{\"servers\":{},\"apps\":1,\"inbox\":[]}",
        "{\"servers\":[null,1,[],{\"name\":1,\"state\":{}}],\"apps\":[null]}",
        "{\"version\":\"\\u001b[2J\",\"servers\":[{\"name\":\"\\u001b]0;x\\u0007\","
        "\"state\":\"\\u009b31m\",\"detail\":\"\\u202e\"}]}",
    };
    size_t i, at;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        page_of(texts[i], 40, 0);
        for (at = 0; at < out.len; at++)
            ck_assert(out.data[at] == '\n' || (unsigned char)out.data[at] >= 0x20);
        ck_assert_ptr_null(strstr(out.data, "\xc2\x9b"));
        ck_assert_ptr_null(strstr(out.data, "\xe2\x80\xae"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ctl_text");
    TCase *tc = tcase_create("text");

    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, nothing_in_a_text_steers_the_terminal);
    tcase_add_test(tc, json_for_a_terminal_is_the_same_json);
    tcase_add_test(tc, nothing_in_a_line_of_the_log_steers_the_terminal);
    tcase_add_test(tc, columns_are_counted_not_bytes);
    tcase_add_test(tc, in_a_locale_without_utf8_bytes_are_shown_by_number);
    tcase_add_test(tc, lines_are_broken_between_words);
    tcase_add_test(tc, a_table_is_aligned);
    tcase_add_test(tc, a_table_fits_its_width);
    tcase_add_test(tc, what_is_wrong_comes_first);
    tcase_add_test(tc, a_quota_that_is_almost_full_is_told);
    tcase_add_test(tc, publishing_has_its_troubles);
    tcase_add_test(tc, no_line_is_longer_than_the_terminal);
    tcase_add_test(tc, colors_are_there_when_they_are_wanted);
    tcase_add_test(tc, whatever_the_agent_says_is_shown_without_harm);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
