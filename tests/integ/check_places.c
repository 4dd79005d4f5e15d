/* SPDX-License-Identifier: Apache-2.0
 * check_places.c - httpd's own configuration decides: Location, vhosts, and
 * the modules that map, rewrite and deny, with CommServerDirect on and off.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/support.h"

static httpd *server;

static void end(void)
{
    httpd_end(server);
}

static int post(const char *path, const char *user)
{
    return http_once(server, "POST", path, user, NULL, "x")->status;
}

static int waits_for(const char *user)
{
    return http_once(server, "GET", "/comm/poll", user, NULL, NULL)->status == 200;
}

/* ---- Location guards, whatever the spelling ---------------------------- */

static void start_guarded(void)
{
    server = httpd_start(
        &(httpd_options){ .debian = 1,
                          .config = "<Location \"/comm\">\n"
                                    "    CommServerDirect on\n"
                                    "</Location>\n"
                                    "<Location \"/comm/publish/orders\">\n"
                                    "    SetHandler commserver-publish\n"
                                    "    Require user backend\n"
                                    "</Location>\n"
                                    "<LocationMatch \"^/comm/publish/closed\">\n"
                                    "    Require all denied\n"
                                    "</LocationMatch>\n" });
}

static const char *const spellings[] = {
    "/comm/publish/orders/alice",     "/comm/publish/%6frders/alice",
    "/comm/publish/./orders/alice",   "/comm//publish/orders/alice",
    "/comm/publish//orders/alice",    "/comm/publish/x/../orders/alice",
    "/comm/publish/%6Frders/./alice", "/./comm/publish/orders/alice",
    "/comm/publish/%2e/orders/alice", "/comm/publish/x/%2e%2e/orders/alice",
    "/%63omm/publish/orders/alice",   "/comm/publish/orders?to=alice",
    "//comm/publish/orders/alice",
};

START_TEST(no_spelling_passes_by_a_location)
{
    ck_assert_int_eq(post(spellings[_i], "alice"), 401);
    ck_assert_int_eq(post(spellings[_i], "backend"), 201);
}
END_TEST

START_TEST(a_location_inside_does_not_move_the_base)
{
    http_answer *answer;

    ck_assert_int_eq(post("/comm/publish/orders/zoe", "backend"), 201);
    answer = http_once(server, "POST", "/comm/publish/zoe", "backend", NULL, "x");
    ck_assert_int_eq(answer->status, 400);
}
END_TEST

START_TEST(encoded_slashes_are_not_found)
{
    ck_assert_int_eq(post("/comm/publish/orders%2falice", "backend"), 404);
    ck_assert_int_eq(post("/comm/publish/orders/a%2Fb", "backend"), 404);
}
END_TEST

START_TEST(a_match_denies)
{
    ck_assert_int_eq(post("/comm/publish/closed/alice", "backend"), 403);
    ck_assert_int_eq(post("/comm/publish/%63losed/alice", "backend"), 403);
}
END_TEST

START_TEST(names_that_look_like_files_are_names)
{
    http_answer *answer;

    answer =
        http_once(server, "POST", "/comm/publish/orders/alice.gz", "backend", NULL, "x");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_ptr_null(http_header(answer, "Content-Encoding"));
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/json");
    answer = http_once(server, "POST", "/comm/publish/orders/index.html.en", "backend",
                       "Accept: text/html\r\nAccept-Language: de\r\n", "x");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_ptr_null(http_header(answer, "Content-Language"));
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/json");
}
END_TEST

START_TEST(answers_are_not_compressed)
{
    static char body[2001];
    http_answer *answer;

    memset(body, 'x', 2000);
    http_once(server, "POST", "/comm/publish/orders/dave", "backend", NULL, body);
    answer =
        http_once(server, "GET", "/comm/poll", "dave", "Accept-Encoding: gzip\r\n", NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_ptr_null(http_header(answer, "Content-Encoding"));
    answer = http_once(server, "GET", "/comm/poll", "dave", "Range: bytes=0-1\r\n", NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_ptr_null(http_header(answer, "Content-Range"));
}
END_TEST

/* ---- without the short cut, all the same ------------------------------- */

static void start_walking(void)
{
    server = httpd_start(
        &(httpd_options){ .debian = 1,
                          .config = "<Location \"/comm/publish/orders\">\n"
                                    "    Require user backend\n"
                                    "</Location>\n"
                                    "<LocationMatch \"^/comm/publish/closed\">\n"
                                    "    Require all denied\n"
                                    "</LocationMatch>\n" });
}

/* ---- modules that deny ------------------------------------------------- */

static void start_denied(void)
{
    server = httpd_start(&(httpd_options){
        .debian = 1,
        .modules = "rewrite proxy proxy_http",
        .config = "<Location \"/comm\">\n"
                  "    CommServerDirect on\n"
                  "</Location>\n"
                  "RewriteEngine on\n"
                  "RewriteRule \"^/comm/publish/rewritten\" - [F]\n"
                  "RewriteRule \"^/comm/publish/gone\" - [G]\n"
                  "RewriteRule \"^/comm/publish/old/(.*)\" /comm/publish/new/$1 [PT]\n"
                  "Redirect 410 /comm/publish/redirected\n"
                  "RedirectMatch 403 ^/comm/publish/forbidden\n"
                  "Alias /comm/publish/aliased @DIR@/cgi-bin\n"
                  "<Directory \"@DIR@/cgi-bin\">\n"
                  "    CommServerTTL 7\n"
                  "</Directory>\n"
                  "<Directory \"@DIR@/htdocs\">\n"
                  "    CommServerMaxTTL 77\n"
                  "</Directory>\n"
                  "ProxyPass /comm/publish/proxied http://127.0.0.1:1/\n" });
}

START_TEST(rewriting_denies_and_moves)
{
    ck_assert_int_eq(post("/comm/publish/rewritten/alice", "backend"), 403);
    ck_assert_int_eq(post("/comm/publish/%72ewritten/alice", "backend"), 403);
    ck_assert_int_eq(post("/comm/publish/gone/alice", "backend"), 410);
    ck_assert_int_eq(post("/comm/publish/open/alice", "backend"), 201);
}
END_TEST

START_TEST(a_rewritten_path_names_the_new_application)
{
    http_answer *answer;

    ck_assert_int_eq(post("/comm/publish/old/carol", "backend"), 201);
    answer = http_once(server, "GET", "/comm/poll", "carol", NULL, NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.app"), "new");
}
END_TEST

START_TEST(redirects_deny)
{
    ck_assert_int_eq(post("/comm/publish/redirected/alice", "backend"), 410);
    ck_assert_int_eq(post("/comm/publish/forbidden/alice", "backend"), 403);
}
END_TEST

/* Lifetimes tell which Directory sections were walked through. */
START_TEST(an_alias_leads_to_its_directory_and_nothing_else_does)
{
    http_answer *answer =
        http_once(server, "POST", "/comm/publish/aliased/zoe", "backend", NULL, "x");

    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(http_header(answer, "TTL"), "7");
    answer = http_once(server, "POST", "/comm/publish/open/zoe", "backend", NULL, "x");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(http_header(answer, "TTL"), "86400");
}
END_TEST

START_TEST(a_proxy_takes_its_path)
{
    ck_assert_int_ne(post("/comm/publish/proxied/bob", "backend"), 201);
    ck_assert_int_eq(waits_for("bob"), 0);
}
END_TEST

/* ---- subrequests and internal redirects -------------------------------- */

static void start_inner(void)
{
    server = httpd_start(&(httpd_options){ .modules = "include mime",
                                           .config = "TypesConfig /dev/null\n"
                                                     "AddOutputFilter INCLUDES .shtml\n"
                                                     "<Directory \"@DIR@/htdocs\">\n"
                                                     "    Options +Includes\n"
                                                     "</Directory>\n"
                                                     "<Location \"/comm/poll\">\n"
                                                     "    AuthMerging Off\n"
                                                     "    Require all granted\n"
                                                     "    CommServerClient \"dave\"\n"
                                                     "</Location>\n"
                                                     "ErrorDocument 404 /comm/poll\n" });
    httpd_put(server, "htdocs/a.shtml",
              "before <!--#include virtual=\"/comm/poll\" --> after\n");
}

START_TEST(an_include_does_not_poll)
{
    http_answer *answer;

    post("/comm/publish/orders/dave", "backend");
    answer = http_once(server, "GET", "/a.shtml", NULL, NULL, NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_ptr_nonnull(strstr(answer->body, "before"));
    ck_assert_ptr_null(strstr(answer->body, "cursor"));
    ck_assert_ptr_null(strstr(answer->body, "messages"));
}
END_TEST

START_TEST(an_error_document_does_not_poll)
{
    http_answer *answer = http_once(server, "GET", "/none", NULL, NULL, NULL);

    ck_assert_ptr_null(strstr(answer->body, "cursor"));
    ck_assert_ptr_null(strstr(answer->body, "messages"));
    ck_assert_int_ge(answer->status, 400);
}
END_TEST

/* ---- bases ------------------------------------------------------------- */

static void make_folder(const char *name)
{
    ck_assert_int_eq(
        mkdir(support_text("%s/htdocs/%s", httpd_directory(server), name), 0755), 0);
}

static void start_bases(void)
{
    server =
        httpd_start(&(httpd_options){ .bare = 1,
                                      .config = "<Directory \"@DIR@/htdocs\">\n"
                  "    AllowOverride FileInfo\n"
                  "</Directory>\n"
                  "<LocationMatch \"^/m[0-9]\">\n"
                                                "    SetHandler commserver-publish\n"
                                                "</LocationMatch>\n"
                                                "<LocationMatch \"^/n[0-9]\">\n"
                                                "    SetHandler commserver-publish\n"
                                                "</LocationMatch>\n"
                                                "<Location \"/n1\">\n"
                                                "    CommServerBase /n1/\n"
                                                "</Location>\n"
                                                "<Location \"/wild*/orders/*\">\n"
                                                "    SetHandler commserver-publish\n"
                                                "</Location>\n"
                                                "<Location \"/slash/\">\n"
                                                "    SetHandler commserver-publish\n"
                                                "</Location>\n"
                                                "<Location \"/outer/inner\">\n"
                                                "    SetHandler commserver-publish\n"
                                                "</Location>\n"
                                                "<Location \"/outer\">\n"
                                                "    SetHandler commserver-publish\n"
                                                "</Location>\n"
                                                "<Location \"/outer/poll\">\n"
                                                "    SetHandler commserver-poll\n"
                                                "    CommServerClient \"zoe\"\n"
                                                "</Location>\n"
                                                "<If \"%{REQUEST_URI} =~ m#^/if/#\">\n"
                                                "    SetHandler commserver-publish\n"
                                                "</If>\n" });
    make_folder("folder");
    make_folder("bare");
    httpd_put(server, "htdocs/folder/.htaccess",
              "SetHandler commserver-publish\nCommServerBase /folder\n");
    httpd_put(server, "htdocs/bare/.htaccess", "SetHandler commserver-publish\n");
}

START_TEST(a_base_that_cannot_be_known_is_an_error_of_configuration)
{
    static const char *const paths[] = { "/m1/orders/zoe", "/wildcat/orders/zoe",
                                         "/n2/orders/zoe", "/if/orders/zoe" };
    http_answer *answer;
    size_t i;

    for (i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
        answer = http_once(server, "POST", paths[i], NULL, NULL, "x");
        ck_assert_int_eq(answer->status, 500);
        ck_assert_str_eq(support_json(answer->body, "type"), "configuration");
    }
    ck_assert_int_ge(httpd_log_count(server, "CS0033"), 4);
}
END_TEST

START_TEST(a_folder_can_have_handler_and_base)
{
    ck_assert_int_eq(post("/folder/orders/zoe", NULL), 201);
    ck_assert_int_eq(post("/bare/orders/zoe", NULL), 500);
}
END_TEST

START_TEST(a_base_is_given_or_found)
{
    ck_assert_int_eq(post("/n1/orders/zoe", NULL), 201);
    ck_assert_int_eq(post("/slash/orders/zoe", NULL), 201);
    ck_assert_int_eq(post("/outer/orders/zoe", NULL), 201);
    ck_assert_int_eq(post("/outer/inner/zoe", NULL), 201);
    ck_assert_int_eq(http_once(server, "GET", "/outer/poll", NULL, NULL, NULL)->status,
                     200);
}
END_TEST

/* ---- virtual hosts and realms ------------------------------------------ */

static void start_hosts(void)
{
    server = httpd_start(&(httpd_options){
        .bare = 1,
        .config = "<Location \"/pub\">\n    SetHandler commserver-publish\n</Location>\n"
                  "<Location \"/poll\">\n    SetHandler commserver-poll\n"
                  "    CommServerClient \"alice\"\n</Location>\n"
                  "<VirtualHost *:*>\n    ServerName one.example:8080\n</VirtualHost>\n"
                  "<VirtualHost *:*>\n    ServerName two.example\n</VirtualHost>\n"
                  "<VirtualHost *:*>\n    ServerName TWO.example\n"
                  "    ServerAlias twin.example\n</VirtualHost>\n"
                  "<VirtualHost *:*>\n    ServerName three.example\n"
                  "    CommServerRealm one.example\n</VirtualHost>\n" });
}

static http_answer *at_host(const char *host, const char *method, const char *path)
{
    static http *c;

    if (c)
        http_close(c);
    c = http_open(server);
    http_send(c, support_text("%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n",
                              method, path, host));
    return http_read(c);
}

START_TEST(alice_of_one_realm_is_not_alice_of_another)
{
    ck_assert_int_eq(at_host("one.example", "POST", "/pub/orders/alice")->status, 201);
    ck_assert_int_eq(at_host("two.example", "GET", "/poll")->status, 204);
    ck_assert_int_eq(at_host("one.example", "GET", "/poll")->status, 200);
    ck_assert_int_eq(at_host("three.example", "GET", "/poll")->status, 200);
    ck_assert_int_eq(at_host("two.example", "POST", "/pub/orders/alice")->status, 201);
    ck_assert_int_eq(at_host("twin.example", "GET", "/poll")->status, 200);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

static TCase *make_case(Suite *suite, const char *name, void (*start)(void))
{
    TCase *tc = tcase_create(name);

    tcase_add_unchecked_fixture(tc, start, end);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(suite, tc);
    return tc;
}

static void add_guarded(TCase *tc)
{
    tcase_add_loop_test(tc, no_spelling_passes_by_a_location, 0, COUNT(spellings));
    tcase_add_test(tc, a_location_inside_does_not_move_the_base);
    tcase_add_test(tc, encoded_slashes_are_not_found);
    tcase_add_test(tc, a_match_denies);
    tcase_add_test(tc, names_that_look_like_files_are_names);
    tcase_add_test(tc, answers_are_not_compressed);
}

int main(void)
{
    Suite *suite = suite_create("places");
    TCase *tc;

    support_need_httpd();
    add_guarded(make_case(suite, "direct", start_guarded));
    add_guarded(make_case(suite, "walking", start_walking));
    tc = make_case(suite, "denied", start_denied);
    tcase_add_test(tc, rewriting_denies_and_moves);
    tcase_add_test(tc, a_rewritten_path_names_the_new_application);
    tcase_add_test(tc, redirects_deny);
    tcase_add_test(tc, an_alias_leads_to_its_directory_and_nothing_else_does);
    tcase_add_test(tc, a_proxy_takes_its_path);
    tc = make_case(suite, "inner", start_inner);
    tcase_add_test(tc, an_include_does_not_poll);
    tcase_add_test(tc, an_error_document_does_not_poll);
    tc = make_case(suite, "bases", start_bases);
    tcase_add_test(tc, a_base_that_cannot_be_known_is_an_error_of_configuration);
    tcase_add_test(tc, a_folder_can_have_handler_and_base);
    tcase_add_test(tc, a_base_is_given_or_found);
    tc = make_case(suite, "hosts", start_hosts);
    tcase_add_test(tc, alice_of_one_realm_is_not_alice_of_another);
    return support_run(suite);
}
