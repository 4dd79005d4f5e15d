/* SPDX-License-Identifier: Apache-2.0
 * check_handover.c - requests for anything else on adopted connections: they
 * run as if they had come on a connection of their own.
 */
#include "parking.h"

#define SLOW_CGI                                                                         \
    "ScriptAlias /cgi/ \"@DIR@/htdocs/\"\n"                                              \
    "<Directory \"@DIR@/htdocs\">\nRequire all granted\n</Directory>\n"

START_TEST(a_page_on_an_adopted_connection_closes_it)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .tls = 1, .debian = 1 });
    http *c = _i ? http_open_tls(server) : http_open(server);
    http_answer *answer;

    ck_assert_int_eq(
        http_call(c, "GET", "/comm/poll", "alice", "Prefer: wait=1\r\n", NULL)->status,
        204);
    answer = http_call(c, "GET", "/index.html", NULL, NULL, NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(answer->body, "a page\n");
    ck_assert_int_eq(answer->keep_alive, 0);
    ck_assert_int_eq(http_closed(c, 5000), 1);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_large_page_goes_to_a_slow_reader)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 1 });
    http *c = http_open(server);
    size_t len = 8 << 20;
    char *page = malloc(len + 1);
    http_answer *answer;

    memset(page, 'p', len);
    page[len] = '\0';
    httpd_put(server, "htdocs/large.html", page);
    ck_assert_int_eq(
        http_call(c, "GET", "/comm/poll", "alice", "Prefer: wait=1\r\n", NULL)->status,
        204);
    http_ask(c, "GET", "/large.html", NULL, NULL, NULL);
    /* While its reader does not read, others are served. */
    parking_publish(server, "bob", "meanwhile");
    answer = http_read(c);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_uint_eq(answer->len, len);
    free(page);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_slow_program_delays_nobody)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1, .modules = "alias cgid", .config = SLOW_CGI });
    http *slow[3], *held = parking_poll(server, "bob");
    http_answer *answer;
    int i;

    /* It ends when the test says so: a file appears. */
    httpd_put(server, "htdocs/wait.cgi",
              "#!/bin/sh\nuntil [ -e \"${0%/*}/go\" ]; do sleep 0.05; done\n"
              "printf 'Content-Type: text/plain\\n\\ndone\\n'\n");
    process_must((const char *const[]){
        "chmod", "755", support_text("%s/htdocs/wait.cgi", httpd_directory(server)),
        NULL });
    for (i = 0; i < 3; i++) {
        slow[i] = http_open(server);
        ck_assert_int_eq(
            http_call(slow[i], "GET", "/comm/poll", "alice", "Prefer: wait=1\r\n", NULL)
                ->status,
            204);
        http_ask(slow[i], "GET", "/cgi/wait.cgi", NULL, NULL, NULL);
    }
    parking_await(server, 1);
    parking_publish(server, "bob", "not delayed");
    parking_expect(http_read(held), "not delayed");
    ck_assert_ptr_null(http_try(slow[0], 1));
    httpd_put(server, "htdocs/go", "");
    for (i = 0; i < 3; i++) {
        answer = http_read(slow[i]);
        ck_assert_int_eq(answer->status, 200);
        ck_assert_str_eq(answer->body, "done\n");
        http_close(slow[i]);
    }
    http_close(held);
    httpd_end(server);
}
END_TEST

/* ---- hooks of other modules --------------------------------------------------- */

#define CERTIFICATE_WANTED                                                               \
    "SSLCACertificateFile @DIR@/client.pem\n"                                            \
    "<Location \"/index.html\">\nSSLVerifyClient require\n</Location>\n"

static void make_certificate(const httpd *server)
{
    const char *directory = httpd_directory(server);

    process_must((const char *const[]){
        "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
        "/CN=alice", "-keyout", support_text("%s/client.key", directory), "-out",
        support_text("%s/client.pem", directory), NULL });
}

/* A poll, then the page, on one connection. @return what curl says of both */
static process_result poll_then_page(const httpd *server, const char *version)
{
    const char *directory = httpd_directory(server);
    const char *certificate = support_text("%s/client.pem", directory);
    const char *key = support_text("%s/client.key", directory);
    int port = httpd_tls_port(server);

    return process_run(&(process_options){
        .argv = (const char *const[]){
            "curl",
            "-sk",
            "--noproxy",
            "*",
            "--http1.1",
            "--tls-max",
            version,
            "--cert",
            certificate,
            "--key",
            key,
            "-u",
            "alice:" HTTPD_PASSWORD,
            "-w",
            "%{http_code} %{num_connects}\n",
            "-o",
            "/dev/null",
            support_text("https://localhost:%d/comm/poll?wait=1", port),
            "--next",
            "-sk",
            "--noproxy",
            "*",
            "--http1.1",
            "--tls-max",
            version,
            "--cert",
            certificate,
            "--key",
            key,
            "-w",
            "%{http_code} %{num_connects}\n",
            "-o",
            "/dev/null",
            support_text("https://localhost:%d/index.html", port),
            NULL } });
}

START_TEST(a_page_may_ask_for_a_certificate)
{
    static const char *const versions[] = { "1.2", "1.3" };
    httpd *server = httpd_start(&(httpd_options){ .children = 1, .tls = 1 });
    process_result result;

    make_certificate(server);
    httpd_configure(server, CERTIFICATE_WANTED);
    httpd_restart(server);
    result = poll_then_page(server, versions[_i]);
    ck_assert_str_eq(result.output, "204 1\n200 0\n");
    process_result_clear(&result);
    httpd_end(server);
}
END_TEST

START_TEST(a_page_may_come_from_a_cache)
{
    httpd *server =
        httpd_start(&(httpd_options){ .children = 1,
                                      .modules = "cache cache_disk",
                                      .config = "CacheEnable disk /index.html\n"
                                                "CacheRoot \"@DIR@/htdocs\"\n" });
    http *c = http_open(server);

    ck_assert_int_eq(
        http_call(c, "GET", "/comm/poll", "alice", "Prefer: wait=1\r\n", NULL)->status,
        204);
    ck_assert_int_eq(http_call(c, "GET", "/index.html", NULL, NULL, NULL)->status, 200);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(a_refusal_may_have_a_page_of_its_own)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1, .config = "ErrorDocument 401 /index.html\n" });
    http *c = parking_adopt(server);
    http_answer *answer = http_call(c, "GET", "/comm/poll", NULL, NULL, NULL);

    ck_assert_int_eq(answer->status, 401);
    ck_assert_str_eq(answer->body, "a page\n");
    http_close(c);
    httpd_end(server);
}
END_TEST

/* ---- other names for our places ------------------------------------------------- */

#define OTHER_NAME "RewriteEngine on\nRewriteRule \"^/p$\" \"/comm/poll\" [PT]\n"

static http_answer *poll_and_publish(const httpd *server, http *c, const char *path,
                                     const char *text)
{
    http_ask(c, "GET", path, "alice", WAIT_LONG, NULL);
    parking_await(server, 1);
    parking_publish(server, "alice", text);
    return http_read(c);
}

START_TEST(a_poll_by_another_name_keeps_its_connection)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1, .modules = "rewrite", .config = OTHER_NAME });
    http *c = http_open(server);
    int i;

    for (i = 0; i < 5; i++) {
        http_answer *answer = poll_and_publish(server, c, "/p", "hello");

        parking_expect(answer, "hello");
        ck_assert_int_eq(answer->keep_alive, 1);
        parking_next(c, "alice", support_json(answer->body, "cursor"),
                     "Prefer: return=minimal\r\n");
    }
    http_close(c);
    httpd_end(server);
}
END_TEST

/* It is given to a worker before anybody knows; there it is held all the same. */
START_TEST(a_poll_by_another_name_after_one_by_its_own)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 1, .modules = "rewrite", .config = OTHER_NAME });
    http *c = http_open(server);
    http_answer *answer;

    ck_assert_int_eq(
        http_call(c, "GET", "/comm/poll", "alice", "Prefer: wait=1\r\n", NULL)->status,
        204);
    answer = poll_and_publish(server, c, "/p", "hello");
    parking_expect(answer, "hello");
    ck_assert_int_eq(http_closed(c, 5000), 1);
    parking_await(server, 0);
    http_close(c);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("handover");
    TCase *elsewhere = tcase_create("elsewhere");

    support_need_httpd();
    tcase_set_timeout(elsewhere, 60);
    tcase_add_loop_test(elsewhere, a_page_on_an_adopted_connection_closes_it, 0, 2);
    tcase_add_test(elsewhere, a_large_page_goes_to_a_slow_reader);
    tcase_add_test(elsewhere, a_slow_program_delays_nobody);
    tcase_add_loop_test(elsewhere, a_page_may_ask_for_a_certificate, 0, 2);
    tcase_add_test(elsewhere, a_page_may_come_from_a_cache);
    tcase_add_test(elsewhere, a_refusal_may_have_a_page_of_its_own);
    tcase_add_test(elsewhere, a_poll_by_another_name_keeps_its_connection);
    tcase_add_test(elsewhere, a_poll_by_another_name_after_one_by_its_own);
    suite_add_tcase(suite, elsewhere);
    return support_run(suite);
}
