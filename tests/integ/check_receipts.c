/* SPDX-License-Identifier: Apache-2.0
 * check_receipts.c - who published hears that the application has taken it.
 */
#include "parking.h"

#define MESSAGES "/comm/publish/orders/-/messages/"
#define ASK      "Prefer: respond-async\r\n"
#define MINIMAL  "Prefer: return=minimal\r\n"

/* @return the id; it lives until the 128th next call */
static const char *publish(const httpd *server, const char *to, const char *headers)
{
    static char ids[128][32];
    static unsigned next;
    http_answer *answer = http_once(server, "POST", support_text("/comm/publish/%s", to),
                                    "backend", headers, "hello");

    ck_assert_msg(answer->status == 201, "publish: %d %s", answer->status, answer->body);
    return strcpy(ids[next++ % 128], support_json(answer->body, "id"));
}

static http_answer *ask(const httpd *server, const char *id)
{
    http_answer *answer =
        http_once(server, "GET", support_text(MESSAGES "%s", id), "backend", NULL, NULL);

    ck_assert_msg(answer->status == 200, "%d %s", answer->status, answer->body);
    return answer;
}

static const char *state(const httpd *server, const char *id)
{
    return support_json(ask(server, id)->body, "state");
}

static http_answer *report(const httpd *server, const char *user, const char *query,
                           const char *headers, const char *ids)
{
    return http_once(server, "POST", support_text("/comm/poll%s", query), user,
                     support_text("%sComm-Acknowledged: %s\r\n", headers, ids), NULL);
}

/* @return the cursor */
static const char *hand_out(const httpd *server, const char *user)
{
    http_answer *answer = http_once(server, "GET", "/comm/poll", user, NULL, NULL);

    ck_assert_int_eq(answer->status, 200);
    return support_json(answer->body, "cursor");
}

static void receive(const httpd *server, const char *user)
{
    const char *cursor = hand_out(server, user);

    ck_assert_int_eq(http_once(server, "POST",
                               support_text("/comm/poll?after=%s", cursor), user, MINIMAL,
                               NULL)
                         ->status,
                     204);
}

/* ---- receipts --------------------------------------------------------------------- */

START_TEST(a_receiver_is_asked_and_the_sender_hears)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2 });
    const char *id = publish(server, "orders/alice", ASK);
    http_answer *answer = http_once(server, "GET", "/comm/poll", "alice", NULL, NULL);
    http *c = http_open(server);

    ck_assert_str_eq(support_json(answer->body, "messages.0.receipt"), "true");
    ck_assert_ptr_nonnull(strstr(answer->body, "\"receipt\":true,\"length\":"));
    receive(server, "alice");
    ck_assert_str_eq(state(server, id), "received");
    http_ask(c, "GET", support_text(MESSAGES "%s", id), "backend", WAIT_LONG, NULL);
    parking_await(server, 1);
    answer = report(server, "alice", "", MINIMAL, id);
    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "return=minimal");
    answer = http_read(c);
    ck_assert_str_eq(support_json(answer->body, "state"), "acknowledged");
    answer = http_once(server, "DELETE", support_text(MESSAGES "%s", id), "backend", NULL,
                       NULL);
    ck_assert_int_eq(answer->status, 410);
    ck_assert_str_eq(support_json(answer->body, "detail"), "its state is acknowledged");
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(who_was_not_asked_changes_nothing)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    const char *id = publish(server, "orders/alice", NULL);
    http_answer *answer = http_once(server, "GET", "/comm/poll", "alice", NULL, NULL);

    ck_assert_ptr_null(support_json(answer->body, "messages.0.receipt"));
    receive(server, "alice");
    ck_assert_int_eq(report(server, "alice", "", MINIMAL, id)->status, 204);
    ck_assert_str_eq(state(server, id), "received");
    httpd_end(server);
}
END_TEST

START_TEST(each_of_several_counts)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    const char *id = publish(server, "orders?to=alice&to=bob", ASK);
    http_answer *answer;

    receive(server, "alice");
    report(server, "alice", "", MINIMAL, id);
    answer = ask(server, id);
    ck_assert_str_eq(support_json(answer->body, "state"), "queued");
    ck_assert_str_eq(support_json(answer->body, "queues"), "2");
    ck_assert_str_eq(support_json(answer->body, "acknowledged"), "1");
    receive(server, "bob");
    answer = ask(server, id);
    ck_assert_str_eq(support_json(answer->body, "state"), "received");
    ck_assert_str_eq(support_json(answer->body, "received"), "1");
    report(server, "bob", "", MINIMAL, id);
    answer = ask(server, id);
    ck_assert_str_eq(support_json(answer->body, "state"), "acknowledged");
    ck_assert_str_eq(support_json(answer->body, "acknowledged"), "2");
    httpd_end(server);
}
END_TEST

/* What one receiver reports, however often a request names it, is one receipt. */
START_TEST(named_twice_it_counts_once)
{
    static const char *const between[] = { ", ", ",", "\r\nComm-Acknowledged: ", " , ," };
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    const char *id = publish(server, "orders?to=alice&to=bob", ASK);
    http_answer *answer;

    receive(server, "alice");
    receive(server, "bob");
    answer =
        report(server, "alice", "", MINIMAL, support_text("%s%s%s", id, between[_i], id));
    ck_assert_int_eq(answer->status, 204);
    answer = ask(server, id);
    ck_assert_str_eq(support_json(answer->body, "state"), "received");
    ck_assert_str_eq(support_json(answer->body, "acknowledged"), "1");
    httpd_end(server);
}
END_TEST

/* ---- ways of reporting ------------------------------------------------------ */

START_TEST(a_report_goes_with_any_poll)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    const char *first = publish(server, "orders/alice", ASK), *second, *cursor;
    http_answer *answer;

    cursor = hand_out(server, "alice");
    second = publish(server, "orders/alice", ASK);
    /* Acknowledges, reports and reads. */
    answer = report(server, "alice", support_text("?after=%s", cursor), "", first);
    parking_expect(answer, "hello");
    ck_assert_str_eq(support_json(answer->body, "messages.0.id"), second);
    ck_assert_str_eq(state(server, first), "acknowledged");
    ck_assert_str_eq(state(server, second), "handed-out");
    cursor = support_json(answer->body, "cursor");
    answer = report(server, "alice", support_text("?after=%s", cursor), MINIMAL, second);
    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(state(server, second), "acknowledged");
    httpd_end(server);
}
END_TEST

START_TEST(a_report_disturbs_no_poll_that_is_held)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2 });
    const char *id = publish(server, "orders/alice", ASK);
    http *c = http_open(server);

    receive(server, "alice");
    http_ask(c, "GET", "/comm/poll", "alice", WAIT_LONG, NULL);
    parking_await(server, 1);
    ck_assert_int_eq(report(server, "alice", "", MINIMAL, id)->status, 204);
    ck_assert_str_eq(state(server, id), "acknowledged");
    ck_assert_ptr_null(http_try(c, 200));
    publish(server, "orders/alice", NULL);
    parking_expect(http_read(c), "hello");
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_hundred_in_several_fields)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    const char *ids[100], *headers = MINIMAL;
    char list[100 * 24 + 32];
    int i;

    list[0] = '\0';
    for (i = 0; i < 100; i++) {
        ids[i] = publish(server, "orders/alice", ASK);
        strcat(strcat(list, ids[i]), i == 49  ? "\r\nComm-Acknowledged: "
                                     : i < 99 ? ", "
                                              : "");
    }
    receive(server, "alice");
    ck_assert_int_eq(report(server, "alice", "", headers, list)->status, 204);
    for (i = 0; i < 100; i++)
        ck_assert_str_eq(state(server, ids[i]), "acknowledged");
    httpd_end(server);
}
END_TEST

START_TEST(unknown_ids_are_passed_over_and_repeats_count_once)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    const char *id = publish(server, "orders/alice", ASK);
    int i;

    receive(server, "alice");
    for (i = 0; i < 3; i++) {
        http_answer *answer =
            report(server, "alice", "", MINIMAL,
                   support_text("qJhM5wVYQ0C0b1cTnC9g8A, %s, %s", id, id));

        ck_assert_int_eq(answer->status, 204);
        ck_assert_str_eq(state(server, id), "acknowledged");
    }
    httpd_end(server);
}
END_TEST

/* ---- bad input --------------------------------------------------------------------- */

static void expect_malformed(const http_answer *answer)
{
    ck_assert_msg(answer->status == 400, "%d: %s", answer->status, answer->body);
    ck_assert_str_eq(support_json(answer->body, "type"), "malformed");
    ck_assert_ptr_nonnull(
        strstr(support_json(answer->body, "detail"), "Comm-Acknowledged"));
}

START_TEST(a_list_that_is_none_is_malformed_and_nothing_is_noted)
{
    static const char *const bad[] = {
        "", ",", "x", "%s x", "%s, %sx", "\"%s\"", "%s;q=1", "%s, AAAAAAAAAAAAAAAAAAAAAB"
    };
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    const char *id = publish(server, "orders/alice", ASK);
    size_t i;

    receive(server, "alice");
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char text[128], *at = text;
        const char *b;

        for (b = bad[i]; *b; b++) {
            if (*b == '%') {
                strcpy(at, id);
                at += strlen(at);
                b++;
            }
            else {
                *at++ = *b;
            }
        }
        *at = '\0';
        expect_malformed(report(server, "alice", "", MINIMAL, text));
    }
    expect_malformed(http_once(server, "GET", "/comm/poll", "alice",
                               support_text("Comm-Acknowledged: %s\r\n", id), NULL));
    ck_assert_str_eq(state(server, id), "received");
    httpd_end(server);
}
END_TEST

START_TEST(pages_of_allowed_origins_may_report)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1,
                          .config = "<Location \"/comm/poll\">\n"
                                    "    CommServerAllowOrigin https://app.example\n"
                                    "</Location>\n" });
    http_answer *answer =
        http_once(server, "OPTIONS", "/comm/poll", NULL,
                  "Origin: https://app.example\r\n"
                  "Access-Control-Request-Method: POST\r\n"
                  "Access-Control-Request-Headers: comm-acknowledged, urgency\r\n",
                  NULL);
    const char *allowed;

    ck_assert_int_eq(answer->status, 204);
    allowed = http_header(answer, "Access-Control-Allow-Headers");
    ck_assert_ptr_nonnull(strstr(allowed, "Comm-Acknowledged"));
    ck_assert_ptr_nonnull(strstr(allowed, "Urgency"));
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("receipts");
    TCase *tc = tcase_create("receipts");

    support_need_httpd();
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_receiver_is_asked_and_the_sender_hears);
    tcase_add_test(tc, who_was_not_asked_changes_nothing);
    tcase_add_test(tc, each_of_several_counts);
    tcase_add_loop_test(tc, named_twice_it_counts_once, 0, 4);
    tcase_add_test(tc, a_report_goes_with_any_poll);
    tcase_add_test(tc, a_report_disturbs_no_poll_that_is_held);
    tcase_add_test(tc, a_hundred_in_several_fields);
    tcase_add_test(tc, unknown_ids_are_passed_over_and_repeats_count_once);
    tcase_add_test(tc, a_list_that_is_none_is_malformed_and_nothing_is_noted);
    tcase_add_test(tc, pages_of_allowed_origins_may_report);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
