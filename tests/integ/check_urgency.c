/* SPDX-License-Identifier: Apache-2.0
 * check_urgency.c - polls and streams that want urgent messages only.
 */
#include "parking.h"

static void publish(const httpd *server, const char *urgency, const char *text)
{
    http_answer *answer =
        http_once(server, "POST", "/comm/publish/orders/alice", "backend",
                  urgency ? support_text("Urgency: %s\r\n", urgency) : NULL, text);

    ck_assert_msg(answer->status == 201, "publish: %d %s", answer->status, answer->body);
}

static http_answer *poll_for(const httpd *server, const char *method, const char *urgency,
                             const char *cursor, const char *query)
{
    const char *headers = urgency ? support_text("Urgency: %s\r\n", urgency) : "";

    if (cursor)
        headers = support_text("%sLast-Event-ID: %s\r\n", headers, cursor);
    return http_once(server, method, support_text("/comm/poll%s", query), "alice",
                     headers, NULL);
}

/* The texts of a batch, each with a blank behind it. */
static const char *texts_of(const http_answer *answer)
{
    const char *all = "", *text;
    int i;

    ck_assert_msg(answer->status == 200, "poll: %d %s", answer->status, answer->body);
    for (i = 0; (text = support_json(answer->body, support_text("messages.%d.data", i)));
         i++)
        all = support_text("%s%s ", all, text);
    return all;
}

static const char *cursor_of(const http_answer *answer)
{
    return answer->status == 204 ? http_header(answer, "Comm-Cursor")
                                 : support_json(answer->body, "cursor");
}

static void publish_one_of_each(const httpd *server)
{
    publish(server, "very-low", "v1");
    publish(server, "low", "l2");
    publish(server, NULL, "n3");
    publish(server, "high", "h4");
    publish(server, "Normal", "n5");
}

/* ---- polls --------------------------------------------------------------------- */

START_TEST(the_urgency_travels_with_the_message)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http_answer *answer;

    publish_one_of_each(server);
    answer = poll_for(server, "GET", NULL, NULL, "");
    ck_assert_str_eq(texts_of(answer), "v1 l2 n3 h4 n5 ");
    ck_assert_str_eq(support_json(answer->body, "messages.0.urgency"), "very-low");
    ck_assert_str_eq(support_json(answer->body, "messages.1.urgency"), "low");
    ck_assert_ptr_null(support_json(answer->body, "messages.2.urgency"));
    ck_assert_str_eq(support_json(answer->body, "messages.3.urgency"), "high");
    ck_assert_ptr_null(support_json(answer->body, "messages.4.urgency"));
    httpd_end(server);
}
END_TEST

START_TEST(a_poll_gets_what_is_urgent_enough)
{
    static const struct {
        const char *urgency;
        const char *texts;
    } rows[] = { { "very-low", "v1 l2 n3 h4 n5 " },
                 { "low", "l2 n3 h4 n5 " },
                 { "normal", "n3 h4 n5 " },
                 { "High", "h4 " } };
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    size_t i;

    publish_one_of_each(server);
    for (i = 0; i < sizeof(rows) / sizeof(*rows); i++)
        ck_assert_str_eq(texts_of(poll_for(server, "GET", rows[i].urgency, NULL, "")),
                         rows[i].texts);
    httpd_end(server);
}
END_TEST

START_TEST(what_was_passed_over_comes_later_from_the_same_cursor)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2 });
    http_answer *answer;
    const char *cursor;

    publish_one_of_each(server);
    answer = poll_for(server, "POST", "high", NULL, "");
    ck_assert_str_eq(texts_of(answer), "h4 ");
    cursor = cursor_of(answer);
    ck_assert_ptr_nonnull(strchr(cursor, '.'));
    /* Acknowledged is what was handed out, and no more. */
    answer = poll_for(server, "POST", "high", cursor, "");
    ck_assert_int_eq(answer->status, 204);
    cursor = cursor_of(answer);
    answer = poll_for(server, "POST", "normal", cursor, "?max=1");
    ck_assert_str_eq(texts_of(answer), "n3 ");
    cursor = cursor_of(answer);
    publish(server, "high", "h6");
    answer = poll_for(server, "POST", "normal", cursor, "");
    ck_assert_str_eq(texts_of(answer), "n5 h6 ");
    cursor = cursor_of(answer);
    answer = poll_for(server, "POST", NULL, cursor, "");
    ck_assert_str_eq(texts_of(answer), "v1 l2 ");
    ck_assert_ptr_null(support_json(answer->body, "gap"));
    cursor = cursor_of(answer);
    ck_assert_ptr_null(strchr(cursor, '.'));
    answer = poll_for(server, "POST", NULL, cursor, "");
    ck_assert_int_eq(answer->status, 204);
    answer = poll_for(server, "GET", NULL, NULL, "");
    ck_assert_int_eq(answer->status, 204);
    httpd_end(server);
}
END_TEST

static const char *const mpms[] = { "event", "worker", "prefork" };

START_TEST(a_held_poll_is_not_answered_by_less_urgent_messages)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = mpms[_i] });
    http *c = http_open(server);
    http_answer *answer;

    http_ask(c, "GET", "/comm/poll", "alice", WAIT_LONG "Urgency: high\r\n", NULL);
    parking_await(server, 1);
    publish(server, NULL, "n1");
    publish(server, "low", "l2");
    ck_assert_ptr_null(http_try(c, 300));
    publish(server, "high", "h3");
    answer = http_read(c);
    ck_assert_str_eq(texts_of(answer), "h3 ");
    ck_assert_str_eq(texts_of(poll_for(server, "GET", NULL, cursor_of(answer), "")),
                     "n1 l2 ");
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_poll_that_ends_with_nothing_keeps_what_was_passed_over)
{
    httpd *server =
        httpd_start(&(httpd_options){ .children = 1, .config = "CommServerMaxWait 1\n" });
    http *c = http_open(server);
    http_answer *answer;

    http_ask(c, "GET", "/comm/poll", "alice", WAIT_LONG "Urgency: high\r\n", NULL);
    parking_await(server, 1);
    publish(server, "low", "l1");
    answer = http_read(c);
    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(texts_of(poll_for(server, "POST", NULL, cursor_of(answer), "")),
                     "l1 ");
    http_close(c);
    httpd_end(server);
}
END_TEST

/* ---- streams --------------------------------------------------------------------- */

static http *stream(const httpd *server, const char *headers)
{
    http *c = http_open(server);

    http_ask(c, "GET", "/comm/poll", "alice",
             support_text("Accept: text/event-stream\r\n%s", headers), NULL);
    http_await(c, "retry: ");
    return c;
}

START_TEST(a_stream_passes_over_and_another_goes_on_from_its_id)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2 });
    http *c = stream(server, "Urgency: high\r\n");
    const char *received, *id;

    parking_await(server, 1);
    publish(server, "low", "l1");
    publish(server, "high", "h2");
    publish(server, NULL, "n3");
    publish(server, "high", "h4");
    received = http_await(c, "\"h4\"}\n\n");
    ck_assert_ptr_null(strstr(received, "\"l1\"}"));
    ck_assert_ptr_null(strstr(received, "\"n3\"}"));
    id = strstr(received, "\nid: ") + 5;
    id = support_text("%.*s", (int)strcspn(id, "\n"), id);
    ck_assert_ptr_nonnull(strchr(id, '.'));
    http_close(c);
    parking_await(server, 0);
    /* Behind h2: what was passed over before it, and all that came after. */
    c = stream(server, support_text("Last-Event-ID: %s\r\n", id));
    received = http_await(c, "\"h4\"}\n\n");
    ck_assert_ptr_nonnull(strstr(received, "\"l1\"}"));
    ck_assert_ptr_nonnull(strstr(received, "\"n3\"}"));
    ck_assert_ptr_null(strstr(received, "\"h2\"}"));
    http_close(c);
    httpd_end(server);
}
END_TEST

/* ---- bad input --------------------------------------------------------------------- */

START_TEST(a_word_that_is_none_is_malformed)
{
    static const char *const bad[] = {
        "Urgency: \r\n",          "Urgency: urgent\r\n",
        "Urgency: high, low\r\n", "Urgency: low\r\nUrgency: low\r\n",
        "Urgency: high;q=1\r\n",  "Urgency: 4\r\n"
    };
    static const char *const methods[] = { "GET", "POST" };
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    size_t i, j;

    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        for (j = 0; j < 2; j++) {
            http_answer *answer =
                http_once(server, methods[j], "/comm/poll", "alice", bad[i], NULL);

            ck_assert_msg(answer->status == 400, "'%s': %d", bad[i], answer->status);
            ck_assert_str_eq(support_json(answer->body, "type"), "malformed");
        }
    }
    httpd_end(server);
}
END_TEST

START_TEST(cursors_of_any_length_are_checked)
{
    static const char *const bad[] = {
        "0123456789abcdef-5.1",       "0123456789abcdef-5.1.2",
        "0123456789abcdef-5.1.2.3.4", "0123456789abcdef-5.1.2.x",
        "0123456789abcdef-5.0.0.0",   "0123456789abcdef-5.01.0.0",
        "0123456789abcdef-5.6.0.0.",  "0123456789abcdef-5.99999999999999999999.0.0"
    };
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    size_t i;

    publish(server, NULL, "one");
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        http_answer *answer = poll_for(server, "POST", NULL, bad[i], "");

        ck_assert_msg(answer->status == 400, "'%s': %d", bad[i], answer->status);
    }
    /* Well-formed, but of another life: nothing is removed. */
    ck_assert_str_eq(
        texts_of(poll_for(server, "POST", NULL, "0123456789abcdef-5.1.2.3", "")), "one ");
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("urgency");
    TCase *tc = tcase_create("urgency");

    support_need_httpd();
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_urgency_travels_with_the_message);
    tcase_add_test(tc, a_poll_gets_what_is_urgent_enough);
    tcase_add_test(tc, what_was_passed_over_comes_later_from_the_same_cursor);
    tcase_add_loop_test(tc, a_held_poll_is_not_answered_by_less_urgent_messages, 0, 3);
    tcase_add_test(tc, a_poll_that_ends_with_nothing_keeps_what_was_passed_over);
    tcase_add_test(tc, a_stream_passes_over_and_another_goes_on_from_its_id);
    tcase_add_test(tc, a_word_that_is_none_is_malformed);
    tcase_add_test(tc, cursors_of_any_length_are_checked);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
