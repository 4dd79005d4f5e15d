/* SPDX-License-Identifier: Apache-2.0
 * check_cc_event_stream.c - event streams, whole, in pieces and broken.
 *
 * What is handed on becomes a text: "[NAME|ID|DATA]", with '!' behind an id
 * that is the event's own and '~' behind data that were cut.
 */
#include "cc_event_stream.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX 64

static cc_event_stream stream;
static cc_buffer told;

static void on_event(void *baton, const cc_event *event)
{
    ck_assert_ptr_eq(baton, &told);
    cc_buffer_add_text(&told, "[");
    cc_buffer_add(&told, event->name.data, event->name.len);
    cc_buffer_add_text(&told, "|");
    cc_buffer_add(&told, event->id.data, event->id.len);
    cc_buffer_add_text(&told, event->has_id ? "!|" : "|");
    cc_buffer_add(&told, event->data.data, event->data.len);
    cc_buffer_add_text(&told, event->too_large ? "~]" : "]");
}

static void begin(void)
{
    cc_buffer_clear(&told);
    cc_buffer_add_text(&told, "");
    cc_event_stream_begin(&stream, MAX, on_event, &told);
}

/* Each piece in memory of its own, so that a read beyond it is seen. */
static void feed(const char *data, size_t len)
{
    char *copy = malloc(len ? len : 1);

    memcpy(copy, data, len);
    cc_event_stream_feed(&stream, copy, len);
    free(copy);
}

static void set_up(void)
{
    memset(&stream, 0, sizeof(stream));
    begin();
}

static void tear_down(void)
{
    cc_event_stream_clear(&stream);
    cc_buffer_clear(&told);
}

/* The text gives these events, wherever it is split. */
static void check_bytes(const char *text, size_t len, const char *events)
{
    size_t first, second;

    for (first = 0; first <= len; first++) {
        for (second = first; second <= len; second++) {
            begin();
            feed(text, first);
            feed(text + first, second - first);
            feed(text + second, len - second);
            ck_assert_str_eq(told.data, events);
        }
    }
    begin();
    for (first = 0; first < len; first++)
        feed(text + first, 1);
    ck_assert_str_eq(told.data, events);
}

static void check_text(const char *text, const char *events)
{
    check_bytes(text, strlen(text), events);
}

static const struct {
    const char *text;
    const char *events;
} examples[] = {
    { "data: one\n\n", "[||one]" },
    { "data:one\n\n", "[||one]" },
    { "data:  one\n\n", "[|| one]" },
    { "data: one\r\n\r\n", "[||one]" },
    { "data: one\r\r", "[||one]" },
    { "data: one\n\r\n", "[||one]" },
    { "data: one\r\n\rdata: two\n\n", "[||one][||two]" },
    { "\xef\xbb\xbf"
      "data: one\n\n",
      "[||one]" },
    { "\xef\xbb\xbf\xef\xbb\xbf"
      "data: one\n\ndata: two\n\n",
      "[||two]" },
    { "\n\xef\xbb\xbf"
      "data: one\n\n",
      "" },
    { "data: one", "" },
    { "data: one\n", "" },
    { "data: a\ndata: b\ndata:\ndata: c\n\n", "[||a\nb\n\nc]" },
    { "data\n\n", "[||]" },
    { "data:\n\n", "[||]" },
    { "data\ndata\n\n", "[||\n]" },
    { "data: : a\n\n", "[||: a]" },
    { "datum: a\n\ndatb\n\ndat\n\ndata : a\n\nDATA: a\n\n", "" },
    { ": comment\ndata: one\n:\n\n:\n\n", "[||one]" },
    { "unknown: x\nwithout a colon\n another\ndata: one\n\n", "[||one]" },
    { "id: 1\ndata: a\n\ndata: b\n\nid: 2\ndata: c\n\n", "[|1!|a][|1|b][|2!|c]" },
    { "data: a\nid: 1\n\n", "[|1!|a]" },
    { "id: 1\n\ndata: b\n\n", "[|1|b]" },
    { "id: 1\ndata: a\n\nid\ndata: b\n\n", "[|1!|a][|!|b]" },
    { "id: 1\nid: 2\ndata: a\n\n", "[|2!|a]" },
    { "event: x\ndata: a\n\ndata: b\n\n", "[x||a][||b]" },
    { "event: x\n\ndata: b\n\n", "[||b]" },
    { "event: x\nevent: y\ndata: b\n\n", "[y||b]" },
    { "event:\ndata: b\n\n", "[||b]" },
    { "\n\n\n\r\r\n", "" },
    { "", "" },
    { "data: \xff\xfe\n\n", "[||\xff\xfe]" },
};

START_TEST(events_come_out_wherever_the_bytes_are_split)
{
    check_text(examples[_i].text, examples[_i].events);
}
END_TEST

START_TEST(an_id_with_NUL_is_ignored)
{
    static const char text[] = "id: 1\ndata: a\n\nid: 2\0003\ndata: b\n\n";

    check_bytes(text, sizeof(text) - 1, "[|1!|a][|1|b]");
}
END_TEST

START_TEST(retry_is_a_number_of_milliseconds)
{
    static const struct {
        const char *text;
        int64_t retry;
    } retries[] = {
        { "retry: 3127\n\n", 3127 },
        { "retry:0\n", 0 },
        { "retry: 10\nretry: 20\n", 20 },
        { "retry: 10\nretry: -1\nretry: 1.5\nretry:  7\nretry: 7s\nretry\nretry:\n", 10 },
        { "retry: 99999999999999999999999999999999\n", CC_EVENT_RETRY_MAX },
        { "retry: 86400001\n", CC_EVENT_RETRY_MAX },
        { ": retry: 5\n", -1 },
        { "retry: 7", -1 },
    };

    feed(retries[_i].text, strlen(retries[_i].text));
    ck_assert_int_eq(stream.retry, retries[_i].retry);
}
END_TEST

START_TEST(a_retry_is_the_last_word_until_another_line_comes)
{
    feed("retry: 7\n\n\n\n", 12);
    ck_assert(stream.retry_is_last);
    feed(":\n\n", 3);
    ck_assert(!stream.retry_is_last);
    feed("retry: 7\n\ndata: a\n\n", 19);
    ck_assert(!stream.retry_is_last);
    feed("retry: 8\n\n", 10);
    ck_assert(stream.retry_is_last);
    ck_assert_int_eq(stream.retry, 8);
}
END_TEST

START_TEST(an_event_that_is_too_large_is_told_with_its_beginning)
{
    char text[MAX * 3 + 64], events[MAX * 3];
    int i, len = sprintf(text, "id: 1\ndata: ");

    for (i = 0; i < MAX + 1; i++)
        text[len++] = (char)('a' + i % 26);
    len += sprintf(text + len, "\ndata: more\n\nid: 2\ndata: b\n\n");
    sprintf(events, "[|1!|%.*s~][|2!|b]", MAX, text + strlen("id: 1\ndata: "));
    check_bytes(text, (size_t)len, events);
}
END_TEST

START_TEST(an_event_of_the_largest_size_is_whole)
{
    char text[MAX + 64], events[MAX + 64], data[MAX + 1];

    memset(data, 'x', MAX);
    data[MAX] = '\0';
    sprintf(text, "data: %s\n\n", data);
    sprintf(events, "[||%s]", data);
    check_text(text, events);
}
END_TEST

/* Each of these lines is longer than all that is kept of it. */
START_TEST(long_lines_of_other_kinds_take_no_memory)
{
    static const char *const lines[] = { ":",      "unknown:", "xxxxxxxx",
                                         "event:", "id: ",     "retry: 1" };
    char piece[4096];
    size_t i;

    memset(piece, '1', sizeof(piece));
    feed(lines[_i], strlen(lines[_i]));
    for (i = 0; i < 64; i++)
        feed(piece, sizeof(piece));
    feed("\ndata: a\n\n", 10);
    ck_assert_uint_le(stream.data.room, 65536);
    ck_assert_int_eq(stream.retry, -1);
    if (lines[_i][0] == 'i')
        ck_assert_uint_eq(stream.id_len, CC_CURSOR_MAX + 1);
    else if (lines[_i][0] == 'e')
        ck_assert_uint_eq(strlen(told.data), CC_EVENT_NAME + strlen("[||a]"));
    else
        ck_assert_str_eq(told.data, "[||a]");
}
END_TEST

START_TEST(one_is_used_again_as_if_new)
{
    feed("id: 1\nretry: 5\nevent: x\ndata: half", 34);
    begin();
    ck_assert_int_eq(stream.retry, -1);
    feed("\xef\xbb\xbf"
         "data: a\n\n",
         12);
    ck_assert_str_eq(told.data, "[||a]");
}
END_TEST

/* Nothing but that it ends, and stays within bounds (sanitizers). */
START_TEST(noise_does_no_harm)
{
    static const char letters[] = "dataideventry: \n\r\n\r\n:\0\xef\xbb\xbf";
    char piece[97];
    unsigned seed = (unsigned)_i;
    int round;
    size_t i;

    for (round = 0; round < 400; round++) {
        for (i = 0; i < sizeof(piece); i++) {
            seed = seed * 1103515245u + 12345u;
            piece[i] = letters[(seed >> 16) % (sizeof(letters) - 1)];
        }
        feed(piece, (seed >> 8) % sizeof(piece));
        ck_assert_uint_le(stream.data.len, MAX);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_event_stream");
    TCase *c = tcase_create("stream");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, events_come_out_wherever_the_bytes_are_split, 0,
                        (int)(sizeof(examples) / sizeof(examples[0])));
    tcase_add_test(c, an_id_with_NUL_is_ignored);
    tcase_add_loop_test(c, retry_is_a_number_of_milliseconds, 0, 8);
    tcase_add_test(c, a_retry_is_the_last_word_until_another_line_comes);
    tcase_add_test(c, an_event_that_is_too_large_is_told_with_its_beginning);
    tcase_add_test(c, an_event_of_the_largest_size_is_whole);
    tcase_add_loop_test(c, long_lines_of_other_kinds_take_no_memory, 0, 6);
    tcase_add_test(c, one_is_used_again_as_if_new);
    tcase_add_loop_test(c, noise_does_no_harm, 0, 20);
    suite_add_tcase(s, c);
    return support_run(s);
}
