/* SPDX-License-Identifier: Apache-2.0
 * check_support.c - what the other integration tests stand on: httpd starts,
 * restarts, stops and is gone; the raw client takes answers apart.
 */
#include <string.h>

#include "support/core.h"
#include "support/support.h"

static const char *const mpms[] = { "event", "worker", "prefork" };

START_TEST(a_page_comes_from_each_mpm)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = mpms[_i], .no_module = 1 });
    http *c = http_open(server);
    http_answer *answer = http_call(c, "GET", "/index.html", NULL, NULL, NULL);

    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(answer->body, "a page\n");
    ck_assert_int_eq(answer->keep_alive, 1);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(requests_can_be_pipelined_and_split)
{
    httpd *server = httpd_start(&(httpd_options){ .no_module = 1, .debian = 1 });
    http *c = http_open(server);

    http_send(c, "GET /index.html HTTP/1.1\r\nHost: localhost\r\n\r\nGET /none HT");
    ck_assert_int_eq(http_read(c)->status, 200);
    ck_assert_ptr_null(http_try(c, 50));
    http_send(c, "TP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    ck_assert_int_eq(http_read(c)->status, 404);
    ck_assert_int_eq(http_closed(c, 5000), 1);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(tls_and_http2_reach_it)
{
    httpd *server = httpd_start(&(httpd_options){ .no_module = 1, .tls = 1, .http2 = 1 });
    http *c = http_open_tls(server);

    ck_assert_int_eq(http_call(c, "GET", "/index.html", NULL, NULL, NULL)->status, 200);
    http_close(c);
    ck_assert_str_eq(http2_once(server, 0, "GET", "/index.html", NULL, NULL, NULL)->body,
                     "a page\n");
    ck_assert_int_eq(
        http2_once(server, 1, "HEAD", "/index.html", NULL, NULL, NULL)->status, 200);
    httpd_end(server);
}
END_TEST

START_TEST(basic_users_are_known)
{
    httpd *server = httpd_start(&(httpd_options){
        .no_module = 1,
        .users = "j\303\274rgen\n",
        .config = "<Location />\nAuthType Basic\nAuthName x\nAuthUserFile @DIR@/users\n"
                  "Require valid-user\n</Location>\n" });

    ck_assert_int_eq(http_once(server, "GET", "/", NULL, NULL, NULL)->status, 401);
    ck_assert_int_eq(http_once(server, "GET", "/index.html", "alice", NULL, NULL)->status,
                     200);
    ck_assert_int_eq(
        http_once(server, "GET", "/index.html", "j\303\274rgen", NULL, NULL)->status,
        200);
    httpd_end(server);
}
END_TEST

START_TEST(restarts_bring_new_children)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = mpms[_i], .no_module = 1 });
    pid_t before[16], after[16];
    int n = httpd_children(server, before, 16);

    ck_assert_int_gt(n, 0);
    httpd_graceful(server);
    httpd_restart(server);
    wait_until(httpd_children(server, after, 16) == n, 10000);
    ck_assert_int_ne(before[0], after[0]);
    httpd_graceful_stop(server);
    httpd_again(server);
    ck_assert_int_eq(http_once(server, "GET", "/index.html", NULL, NULL, NULL)->status,
                     200);
    httpd_end(server);
}
END_TEST

START_TEST(a_bad_configuration_is_refused)
{
    const char *said =
        httpd_refused(&(httpd_options){ .no_module = 1, .config = "Nonsense 1" });

    ck_assert_ptr_nonnull(strstr(said, "Nonsense"));
}
END_TEST

START_TEST(kill_ends_all_of_it)
{
    httpd *server = httpd_start(&(httpd_options){ .no_module = 1 });
    pid_t children[16];
    int n = httpd_children(server, children, 16);

    httpd_kill(server);
    while (n-- > 0)
        ck_assert_int_eq(process_alive(children[n]), 0);
    httpd_again(server);
    httpd_end(server);
}
END_TEST

START_TEST(json_members_are_found_by_path)
{
    const char *json = "{\"a\":{\"b\":[1,\"two\",{\"c\":null}]}}";

    ck_assert_str_eq(support_json(json, "a.b.1"), "two");
    ck_assert_str_eq(support_json(json, "a.b.0"), "1");
    ck_assert_ptr_null(support_json(json, "a.x"));
}
END_TEST

#define IDLE                                                                             \
    "Thread 2 (LWP 2):\n#0  0x1 in munmap () at x.c:1\n#1  0x2 in start_thread ()\n\n"
#define EVENT "#1  0x2 in ?? () from /usr/lib/apache2/modules/mod_mpm_event.so\n"

START_TEST(crashes_are_told_apart)
{
    static const struct {
        const char *trace;
        core_owner owner;
    } cores[] = {
        { IDLE
          "Thread 1 (LWP 1):\n#0  0x1 in apr_os_sock_get () from libapr-1.so.0\n" EVENT
          "#2  0x3 in ap_run_mpm ()\n#3  0x4 in main ()\n",
          CORE_HTTPD },
        { IDLE
          "Thread 1 (LWP 1):\n#0  0x1 in apr_allocator_destroy () from libapr-1.so.0\n"
          "#1  0x1 in ap_queue_info_push_pool ()\n" EVENT "#3  0x3 in start_thread ()\n",
          CORE_HTTPD },
        /* The signal was sent again, and another thread took it. */
        { "Thread 2 (LWP 2):\n#0  0x1 in kill ()\n#1  <signal handler called>\n"
          "#2  0x1 in cs_park_step () from /m/mod_commserver.so\n\n"
          "Thread 1 (LWP 1):\n#0  0x1 in poll ()\n#1  0x3 in start_thread ()\n",
          CORE_OURS },
        { IDLE "Thread 1 (LWP 1):\n#0  0x1 in apr_pool_destroy () from libapr-1.so.0\n"
               "#1  0x1 in cs_park_bury () from /m/mod_commserver.so\n"
               "#2  0x3 in start_thread ()\n",
          CORE_OURS },
        { IDLE "Thread 1 (LWP 1):\n#0  0x1 in memcpy ()\n" EVENT
               "#2  0x3 in ap_run_mpm ()\n",
          CORE_UNKNOWN },
        { IDLE "Thread 1 (LWP 1):\n#0  0x1 in apr_os_sock_get () from libapr-1.so.0\n"
               "#1  0x3 in start_thread ()\n",
          CORE_UNKNOWN },
        { "", CORE_UNKNOWN },
    };

    ck_assert_int_eq(core_judge(cores[_i].trace), cores[_i].owner);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("support");
    TCase *tc = tcase_create("support");

    support_need_httpd();
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_page_comes_from_each_mpm, 0, 3);
    tcase_add_test(tc, requests_can_be_pipelined_and_split);
    tcase_add_test(tc, tls_and_http2_reach_it);
    tcase_add_test(tc, basic_users_are_known);
    tcase_add_loop_test(tc, restarts_bring_new_children, 0, 3);
    tcase_add_test(tc, a_bad_configuration_is_refused);
    tcase_add_test(tc, kill_ends_all_of_it);
    tcase_add_test(tc, json_members_are_found_by_path);
    tcase_add_loop_test(tc, crashes_are_told_apart, 0, 7);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
