/* SPDX-License-Identifier: Apache-2.0
 * check_cc_event_batch.c - events of a stream become batches.
 *
 * A batch becomes a text: "CURSOR: ID ID !WHY gap(app=N)".
 */
#include "cc_event_batch.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

static cc_event_stream stream;
static cc_event_batch events;
static cc_batch batch;
static cc_buffer told;

static void on_event(void *baton, const cc_event *event)
{
    cc_event_batch_add(baton, event);
}

static void set_up(void)
{
    memset(&stream, 0, sizeof(stream));
    memset(&events, 0, sizeof(events));
    memset(&batch, 0, sizeof(batch));
    cc_event_stream_begin(&stream, 200000, on_event, &events);
    cc_event_batch_begin(&events, "e-0");
}

static void tear_down(void)
{
    cc_event_stream_clear(&stream);
    cc_event_batch_clear(&events);
    cc_batch_clear(&batch);
    cc_buffer_clear(&told);
}

static void feed(const char *text)
{
    cc_event_stream_feed(&stream, text, strlen(text));
}

static const char *message(const char *id)
{
    return support_text("data: {\"id\":\"%s\",\"app\":\"a\",\"length\":1,\"data\":1}\n\n",
                        id);
}

/* What can be taken over now is; "" is nothing. */
static const char *take(void)
{
    size_t i;

    cc_buffer_clear(&told);
    cc_buffer_add_text(&told, "");
    if (cc_event_batch_get(&events, &batch) != CC_OK)
        return told.data;
    cc_buffer_add(&told, batch.cursor.data, batch.cursor.len);
    cc_buffer_add_text(&told, ":");
    for (i = 0; i < batch.count; i++) {
        cc_buffer_add_text(&told, batch.messages[i].unusable != NULL ? " !" : " ");
        cc_buffer_add(&told, batch.messages[i].id.data, batch.messages[i].id.len);
        if (batch.messages[i].unusable != NULL)
            cc_buffer_add_text(&told, batch.messages[i].unusable);
    }
    if (batch.has_gap)
        cc_buffer_add_text(&told, " gap");
    for (i = 0; i < batch.gap_count; i++)
        cc_buffer_format(&told, "(%.*s=%d)", (int)batch.gaps[i].app.len,
                         batch.gaps[i].app.data, (int)batch.gaps[i].count);
    cc_event_batch_taken(&events);
    return told.data;
}

START_TEST(messages_and_the_cursor_behind_them)
{
    ck_assert_str_eq(take(), "");
    feed("retry: 5\n\n:\n\n");
    ck_assert_str_eq(take(), "");
    feed(support_text("id: e-1\n%sid: e-2\n%s", message("x"), message("y")));
    ck_assert_str_eq(take(), "e-2: x y");
    ck_assert_str_eq(take(), "");
    feed(support_text("id: e-3\nevent: orders\n%s", message("z")));
    ck_assert_str_eq(take(), "e-3: z");
}
END_TEST

START_TEST(a_message_without_an_id_stands_at_the_cursor_before)
{
    feed(message("x"));
    ck_assert_str_eq(take(), "e-0: x");
}
END_TEST

START_TEST(what_is_no_message_is_told_as_unusable)
{
    feed(support_text("id: e-1\ndata: oops\n\nid: e-2\n%s", message("x")));
    ck_assert_str_eq(take(), "e-2: !it is no JSON x");
    feed("id: e-3\ndata: {\"id\":\n\nid: e-4\ndata\n\n");
    ck_assert_str_eq(take(), "e-4: !it is no JSON !it is no JSON");
}
END_TEST

START_TEST(a_message_that_is_too_large_is_passed_by)
{
    char *large = malloc(300000);

    memset(large, 'x', 299999);
    large[299999] = '\0';
    feed("id: e-1\ndata: ");
    feed(large);
    feed("\n\n");
    feed(support_text("id: e-2\n%s", message("x")));
    free(large);
    ck_assert_str_eq(take(), "e-2: !it is larger than the agent takes x");
    ck_assert_uint_eq(batch.messages[0].raw.len, CC_EVENT_RAW_MAX);
}
END_TEST

START_TEST(a_gap_waits_for_its_cursor)
{
    feed(support_text("id: e-1\n%sevent: commserver:gap\ndata: {\"apps\":{\"a\":3}}\n\n",
                      message("x")));
    ck_assert_str_eq(take(), "e-1: x");
    ck_assert_str_eq(take(), "");
    feed("event: commserver:gap\ndata: {\"apps\":{\"b\":1,\"c\":2}}\n\n");
    ck_assert_str_eq(take(), "");
    feed(support_text("id: e-2\n%s", message("y")));
    ck_assert_str_eq(take(), "e-2: y gap(a=3)(b=1)(c=2)");
    ck_assert_str_eq(take(), "");
}
END_TEST

START_TEST(a_gap_with_an_id_stands_alone)
{
    feed("id: e-5\nevent: commserver:gap\ndata: {\"apps\":{\"a\":3}}\n\n");
    ck_assert_str_eq(take(), "e-5: gap(a=3)");
}
END_TEST

START_TEST(a_gap_that_cannot_be_read_is_unknown)
{
    static const char *const gaps[] = { "{}",
                                        "oops",
                                        "{\"apps\":7}",
                                        "[]",
                                        "",
                                        "{\"apps\":{\"a\":-1}}",
                                        "{\"apps\":{\"a\":1}" };

    feed(support_text("event: commserver:gap\ndata: {\"apps\":{\"a\":3}}\n\n"
                      "id: e-1\nevent: commserver:gap\ndata: %s\n\n",
                      gaps[_i]));
    ck_assert_str_eq(take(), "e-1: gap");
    feed("event: commserver:gap\ndata: {}\n\n"
         "id: e-2\nevent: commserver:gap\ndata: {\"apps\":{\"a\":3}}\n\n");
    ck_assert_str_eq(take(), "e-2: gap");
}
END_TEST

START_TEST(gaps_without_end_take_no_memory)
{
    int i;

    for (i = 0; i < 1000; i++)
        feed("event: commserver:gap\ndata: {\"apps\":{\"a\":3}}\n\n");
    ck_assert_int_eq(events.end, CC_EVENTS_BAD_ID);
    ck_assert_uint_le(events.count, 64);
    ck_assert_str_eq(take(), "");
}
END_TEST

START_TEST(replaced_is_the_last_word)
{
    feed(support_text("id: e-1\n%sevent: commserver:replaced\ndata: {}\n\nid: e-2\n%s",
                      message("x"), message("y")));
    ck_assert_int_eq(events.end, CC_EVENTS_REPLACED);
    ck_assert_str_eq(take(), "e-1: x");
}
END_TEST

START_TEST(own_events_that_are_not_known_mean_nothing)
{
    feed("id: e-1\nevent: commserver:news\ndata: {}\n\n");
    ck_assert_int_eq(events.end, CC_EVENTS_GO_ON);
    ck_assert_str_eq(take(), "");
}
END_TEST

START_TEST(an_id_must_be_a_cursor)
{
    static const char *const ids[] = { "id: a b\n", "id:\n", "id\n", "id: \x01\n", "" };
    char long_id[200];

    memset(long_id, 'x', sizeof(long_id));
    long_id[sizeof(long_id) - 1] = '\0';
    cc_event_batch_begin(&events, "");
    if (_i == 5)
        feed(support_text("id: %s\n%s", long_id, message("x")));
    else
        feed(support_text("%s%s", ids[_i], message("x")));
    ck_assert_int_eq(events.end, CC_EVENTS_BAD_ID);
    ck_assert_str_eq(take(), "");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_event_batch");
    TCase *c = tcase_create("batch");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, messages_and_the_cursor_behind_them);
    tcase_add_test(c, a_message_without_an_id_stands_at_the_cursor_before);
    tcase_add_test(c, what_is_no_message_is_told_as_unusable);
    tcase_add_test(c, a_message_that_is_too_large_is_passed_by);
    tcase_add_test(c, a_gap_waits_for_its_cursor);
    tcase_add_test(c, a_gap_with_an_id_stands_alone);
    tcase_add_loop_test(c, a_gap_that_cannot_be_read_is_unknown, 0, 7);
    tcase_add_test(c, gaps_without_end_take_no_memory);
    tcase_add_test(c, replaced_is_the_last_word);
    tcase_add_test(c, own_events_that_are_not_known_mean_nothing);
    tcase_add_loop_test(c, an_id_must_be_a_cursor, 0, 6);
    suite_add_tcase(s, c);
    return support_run(s);
}
