/* SPDX-License-Identifier: Apache-2.0
 * check_policy.c - the example module, built with apxs against the installed
 * header alone, refuses messages and publishes.
 */
#include <string.h>
#include <unistd.h>

#include "support/support.h"

static const char policy[] = "LoadModule comm_policy_module \"%s\"\n"
                             "CommPolicyTypes orders application/json text/csv\n"
                             "CommPolicyAll alarm\n"
                             "CommPolicyReport admin\n";

/* In a folder that has the header and the source, and nothing else of ours. */
static const char *build_module(void)
{
    const char *folder = reaper_temporary();
    const char *const argv[] = {
        "sh",
        "-c",
        "cp \"$0\" \"$1\" . && \"$2\" -c -I. -Wc,-Wall -Wc,-Wextra mod_comm_policy.c",
        support_source_path("mod_commserver/mod_commserver.h"),
        support_source_path("examples/mod_comm_policy/mod_comm_policy.c"),
        APXS,
        NULL
    };
    process_result result =
        process_run(&(process_options){ .argv = argv, .directory = folder });

    ck_assert_msg(result.status == 0, "apxs: %s", result.output);
    ck_assert_msg(!strstr(result.output, "warning:"), "%s", result.output);
    process_result_clear(&result);
    return support_text("%s/.libs/mod_comm_policy.so", folder);
}

static http_answer *publish(const httpd *server, const char *type, const char *body)
{
    return http_once(server, "POST", "/comm/publish/orders/alice", "backend", type, body);
}

START_TEST(a_sibling_refuses_and_publishes)
{
    httpd *server =
        httpd_start(&(httpd_options){ .mpm = _i ? "prefork" : "event",
                                      .config = support_text(policy, build_module()) });
    http_answer *answer = publish(server, "Content-Type: text/html\r\n", "<p>no</p>");

    ck_assert_int_eq(answer->status, 415);
    ck_assert_str_eq(support_json(answer->body, "type"), "policy");
    ck_assert_str_eq(support_json(answer->body, "detail"),
                     "'orders' may not send this type of content");
    /* It is told after the answer, maybe by another process than the next. */
    answer = http_once(server, "GET", "/comm/poll?wait=10", "admin", NULL, NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(support_json(answer->body, "messages.0.app"), "policy");
    ck_assert_str_eq(support_json(answer->body, "messages.0.from"), "mod_comm_policy");
    ck_assert_str_eq(support_json(answer->body, "messages.0.data.refused"), "orders");
    ck_assert_str_eq(support_json(answer->body, "messages.0.data.type"), "text/html");
    ck_assert_str_eq(support_json(answer->body, "messages.0.data.user"), "backend");
    answer = publish(server, "Content-Type: text/csv; charset=utf-8\r\n", "1,2\n");
    ck_assert_int_eq(answer->status, 201);
    answer = publish(server, NULL, "no type");
    ck_assert_int_eq(answer->status, 415);
    answer = http_once(server, "GET", "/comm/poll", "alice", NULL, NULL);
    ck_assert_ptr_null(support_json(answer->body, "messages.1"));
    httpd_end(server);
}
END_TEST

static http_answer *publish_to(const httpd *server, const char *where, const char *type)
{
    return http_once(server, "POST", support_text("/comm/publish%s", where), "backend",
                     type, "x");
}

START_TEST(a_sibling_decides_about_groups_and_everybody)
{
    httpd *server =
        httpd_start(&(httpd_options){ .config = support_text(policy, build_module()) });
    http_answer *answer;

    http_once(server, "GET", "/comm/poll", "alice", NULL, NULL);
    answer = publish_to(server, "/orders/-/groups/night", "Content-Type: text/html\r\n");
    ck_assert_int_eq(answer->status, 415);
    answer = publish_to(server, "/orders/-/groups/night", "Content-Type: text/csv\r\n");
    ck_assert_int_eq(answer->status, 201);
    answer = publish_to(server, "/news/-/all", NULL);
    ck_assert_int_eq(answer->status, 403);
    ck_assert_str_eq(support_json(answer->body, "type"), "policy");
    ck_assert_str_eq(support_json(answer->body, "detail"),
                     "'news' may not send to everybody");
    answer = publish_to(server, "/alarm/-/all", NULL);
    ck_assert_int_eq(answer->status, 201);
    answer = http_once(server, "GET", "/comm/poll", "alice", NULL, NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.app"), "alarm");
    ck_assert_ptr_null(support_json(answer->body, "messages.1"));
    httpd_end(server);
}
END_TEST

/* What a sibling publishes wakes a poll that is held. */
START_TEST(a_sibling_wakes_a_held_poll)
{
    httpd *server =
        httpd_start(&(httpd_options){ .config = support_text(policy, build_module()) });
    http *c = http_open(server);

    http_ask(c, "GET", "/comm/poll", "admin", "Prefer: wait=20\r\n", NULL);
    ck_assert_ptr_null(http_try(c, 100));
    ck_assert_int_eq(publish(server, "Content-Type: text/html\r\n", "x")->status, 415);
    ck_assert_str_eq(support_json(http_read(c)->body, "messages.0.app"), "policy");
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_sibling_starts_without_the_module)
{
    httpd *server = httpd_start(&(httpd_options){
        .no_module = 1, .config = support_text(policy, build_module()) });

    ck_assert_int_eq(http_once(server, "GET", "/index.html", NULL, NULL, NULL)->status,
                     200);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("policy");
    TCase *tc = tcase_create("policy");

    support_need_httpd();
    if (access(APXS, X_OK) != 0)
        support_skip("there is no apxs here (Debian: install apache2-dev)");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_sibling_refuses_and_publishes, 0, 2);
    tcase_add_test(tc, a_sibling_decides_about_groups_and_everybody);
    tcase_add_test(tc, a_sibling_wakes_a_held_poll);
    tcase_add_test(tc, a_sibling_starts_without_the_module);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
