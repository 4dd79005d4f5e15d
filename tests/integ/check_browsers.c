/* SPDX-License-Identifier: Apache-2.0
 * check_browsers.c - requests of web pages: origins, sites, preflights.
 */
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

#define GOOD "https://app.example:8443"

static httpd *server;

static void start(void)
{
    server = httpd_start(&(httpd_options){
        .tls = 1,
        .config =
            "<Location \"/comm\">\n"
            "    CommServerAllowOrigin HTTPS://App.Example:8443 http://b.example:80\n"
            "</Location>\n"
            "<Location \"/comm/status\">\n"
            "    CommServerAllowOrigin none\n"
            "</Location>\n" });
}

static void end(void)
{
    httpd_end(server);
}

static void expect_origin_problem(const http_answer *answer)
{
    ck_assert_msg(answer->status == 403, "%d: %s", answer->status, answer->body);
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/problem+json");
    ck_assert_str_eq(support_json(answer->body, "type"), "origin");
    ck_assert_ptr_null(http_header(answer, "Access-Control-Allow-Origin"));
}

static const char *const places[][2] = {
    { "POST", "/comm/publish/orders/alice" },
    { "GET", "/comm/poll" },
    { "POST", "/comm/poll" },
    { "GET", "/comm/status" },
};

static const char *const foreign[] = {
    "Sec-Fetch-Site: cross-site\r\n",
    "Origin: null\r\n",
    "Origin: https://evil.example\r\n",
    "Origin: https://app.example\r\n",
    "Origin: https://app.example:8443.evil.example\r\n",
    "Origin: http://app.example:8443\r\n",
    "Origin: http://localhost:1\r\n",
    "Origin: https://app.example:8443, https://app.example:8443\r\n",
    "Origin: https://evil.example\r\nSec-Fetch-Site: same-origin\r\n",
};

START_TEST(a_foreign_page_is_refused_on_all_handlers_with_and_without_user)
{
    size_t i;

    for (i = 0; i < sizeof(places) / sizeof(*places); i++) {
        expect_origin_problem(
            http_once(server, places[i][0], places[i][1], "admin", foreign[_i], NULL));
        expect_origin_problem(
            http_once(server, places[i][0], places[i][1], NULL, foreign[_i], NULL));
    }
}
END_TEST

START_TEST(own_pages_and_programs_pass)
{
    const char *own = support_text("Origin: http://localhost:%d\r\nHost: localhost:%d\r\n"
                                   "Sec-Fetch-Site: same-origin\r\n",
                                   httpd_port(server), httpd_port(server));
    http *c = http_open(server);

    ck_assert_int_eq(http_once(server, "GET", "/comm/poll", "alice", NULL, NULL)->status,
                     204);
    ck_assert_int_eq(http_once(server, "GET", "/comm/poll", "alice",
                               "Sec-Fetch-Site: same-origin\r\n", NULL)
                         ->status,
                     204);
    ck_assert_int_eq(
        http_once(server, "GET", "/comm/poll", "alice", "Sec-Fetch-Site: none\r\n", NULL)
            ->status,
        204);
    http_send(
        c, support_text("GET /comm/poll HTTP/1.1\r\n%s%s\r\n", own, http_auth("alice")));
    ck_assert_int_eq(http_read(c)->status, 204);
    http_close(c);
}
END_TEST

START_TEST(over_tls_the_own_origin_is_https)
{
    const char *form = "GET /comm/poll HTTP/1.1\r\nHost: localhost:%d\r\n"
                       "Origin: %s://localhost:%d\r\n%s\r\n";
    http *c = http_open_tls(server);
    int port = httpd_tls_port(server);

    http_send(c, support_text(form, port, "https", port, http_auth("alice")));
    ck_assert_int_eq(http_read(c)->status, 204);
    http_send(c, support_text(form, port, "http", port, http_auth("alice")));
    expect_origin_problem(http_read(c));
    http_close(c);
}
END_TEST

static void expect_shared(const http_answer *answer)
{
    const char *exposed = http_header(answer, "Access-Control-Expose-Headers");

    ck_assert_str_eq(http_header(answer, "Access-Control-Allow-Origin"), GOOD);
    ck_assert_str_eq(http_header(answer, "Access-Control-Allow-Credentials"), "true");
    ck_assert_str_eq(http_header(answer, "Vary"), "Origin");
    ck_assert_ptr_nonnull(strstr(exposed, "Comm-Cursor"));
    ck_assert_ptr_nonnull(strstr(exposed, "Retry-After"));
}

START_TEST(an_allowed_page_reads_every_answer)
{
    const char *fields = "Origin: " GOOD "\r\nSec-Fetch-Site: cross-site\r\n";
    http_answer *answer = http_once(server, "GET", "/comm/poll", "alice", fields, NULL);

    ck_assert_int_eq(answer->status, 204);
    expect_shared(answer);
    answer = http_once(server, "GET", "/comm/poll?max=0", "alice", fields, NULL);
    ck_assert_int_eq(answer->status, 400);
    expect_shared(answer);
    answer = http_once(server, "GET", "/comm/poll", NULL, fields, NULL);
    ck_assert_int_eq(answer->status, 401);
    expect_shared(answer);
    answer =
        http_once(server, "POST", "/comm/publish/orders/zoe", "backend", fields, "x");
    ck_assert_int_eq(answer->status, 201);
    expect_shared(answer);
}
END_TEST

START_TEST(a_preflight_needs_no_password)
{
    http_answer *answer = http_once(server, "OPTIONS", "/comm/poll", NULL,
                                    "Origin: " GOOD "\r\n"
                                    "Access-Control-Request-Method: POST\r\n"
                                    "Access-Control-Request-Headers: prefer\r\n",
                                    NULL);

    ck_assert_int_eq(answer->status, 204);
    expect_shared(answer);
    ck_assert_str_eq(http_header(answer, "Access-Control-Allow-Methods"),
                     "GET, HEAD, POST, OPTIONS");
    ck_assert_ptr_nonnull(
        strstr(http_header(answer, "Access-Control-Allow-Headers"), "Prefer"));
    ck_assert_ptr_nonnull(
        strstr(http_header(answer, "Access-Control-Allow-Headers"), "Authorization"));
    ck_assert_int_gt(atoi(http_header(answer, "Access-Control-Max-Age")), 0);
}
END_TEST

START_TEST(a_preflight_of_others_is_refused)
{
    expect_origin_problem(http_once(server, "OPTIONS", "/comm/poll", NULL,
                                    "Origin: https://evil.example\r\n"
                                    "Access-Control-Request-Method: POST\r\n",
                                    NULL));
    expect_origin_problem(http_once(server, "OPTIONS", "/comm/status", NULL,
                                    "Origin: " GOOD "\r\n"
                                    "Access-Control-Request-Method: GET\r\n",
                                    NULL));
    ck_assert_int_eq(
        http_once(server, "OPTIONS", "/comm/poll", NULL, "Origin: " GOOD "\r\n", NULL)
            ->status,
        401);
    ck_assert_int_eq(http_once(server, "OPTIONS", "/comm/poll", NULL, NULL, NULL)->status,
                     401);
}
END_TEST

START_TEST(a_refused_body_does_not_become_a_request)
{
    http *c = http_open(server);

    http_send(c, "POST /comm/publish/orders/alice HTTP/1.1\r\nHost: localhost\r\n"
                 "Origin: https://evil.example\r\nContent-Length: 60\r\n\r\n"
                 "GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\n");
    expect_origin_problem(http_read(c));
    ck_assert_int_eq(http_closed(c, 5000), 1);
    http_close(c);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

int main(void)
{
    Suite *suite = suite_create("browsers");
    TCase *tc = tcase_create("browsers");

    support_need_httpd();
    tcase_add_unchecked_fixture(tc, start, end);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc,
                        a_foreign_page_is_refused_on_all_handlers_with_and_without_user,
                        0, COUNT(foreign));
    tcase_add_test(tc, own_pages_and_programs_pass);
    tcase_add_test(tc, over_tls_the_own_origin_is_https);
    tcase_add_test(tc, an_allowed_page_reads_every_answer);
    tcase_add_test(tc, a_preflight_needs_no_password);
    tcase_add_test(tc, a_preflight_of_others_is_refused);
    tcase_add_test(tc, a_refused_body_does_not_become_a_request);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
