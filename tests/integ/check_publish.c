/* SPDX-License-Identifier: Apache-2.0
 * check_publish.c - what a publisher may send, and what it is told.
 *
 * One httpd for all tests of a case; each test has clients of its own.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "publishing.h"

static httpd *server;

static void start_plain(void)
{
    server = httpd_start(
        &(httpd_options){ .users = "j\303\274rgen\n",
                          .config = "CommServerMaxMessage 4096\n"
                                    "CommServerMaxQueue 5\n"
                                    "CommServerMaxQueueBytes 16384\n"
                                    "CommServerTTL 1h\n"
                                    "CommServerMaxTTL 2h\n"
                                    "<Location \"/comm/publish/open\">\n"
                                    "    AuthMerging Off\n"
                                    "    Require all granted\n"
                                    "</Location>\n"
                                    "<Location \"/comm/publish/named\">\n"
                                    "    CommServerSender \"app %{REMOTE_USER}\"\n"
                                    "    CommServerTTL 10\n"
                                    "</Location>\n"
                                    "<Location \"/comm/publish/forged\">\n"
                                    "    CommServerSender "
                                    "\"%{tolower:LOCAL}:%{REMOTE_USER}\"\n"
                                    "</Location>\n" });
}

static void end(void)
{
    httpd_end(server);
}

static http_answer *post(const char *path, const char *headers, const char *body)
{
    return http_once(server, "POST", path, "backend", headers, body);
}

static const char *waiting(const char *user)
{
    return publishing_waiting(server, user, NULL);
}

static void forget(const char *user)
{
    publishing_forget(server, user, NULL);
}

/* ---- what is accepted -------------------------------------------------- */

START_TEST(a_message_is_queued_and_read_back)
{
    http_answer *answer;
    const char *batch, *id;

    forget("alice");
    answer = post("/comm/publish/orders/alice", "Content-Type: application/json\r\n",
                  "{\"order\": 4711}");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/json");
    ck_assert_str_eq(http_header(answer, "Cache-Control"), "no-store");
    ck_assert_str_eq(http_header(answer, "TTL"), "3600");
    ck_assert_str_eq(support_json(answer->body, "state"), "queued");
    ck_assert_ptr_null(support_json(answer->body, "to"));
    id = support_json(answer->body, "id");
    ck_assert_str_eq(http_header(answer, "Location"),
                     support_text("/comm/publish/orders/-/messages/%s", id));
    ck_assert_ptr_null(http_header(answer, "Preference-Applied"));
    ck_assert_uint_eq(strlen(id), 22);
    batch = waiting("alice");
    ck_assert_str_eq(support_json(batch, "messages.0.id"), id);
    ck_assert_str_eq(support_json(batch, "messages.0.app"), "orders");
    ck_assert_str_eq(support_json(batch, "messages.0.from"), "backend");
    ck_assert_str_eq(support_json(batch, "messages.0.type"), "application/json");
    ck_assert_ptr_nonnull(strstr(batch, "\"length\":15,\"data\":{\"order\": 4711}}]}"));
}
END_TEST

static const struct {
    const char *type; /* header line or NULL */
    const char *body;
    const char *wire; /* as it must be in the answer to a poll */
} payloads[] = {
    { NULL, "", "\"length\":2,\"data\":\"\"}" },
    { NULL, "hi", "\"length\":4,\"data\":\"hi\"}" },
    { "Content-Type: text/plain\r\n", "a\"b\\c\n",
      "\"length\":11,\"data\":\"a\\\"b\\\\c\\n\"}" },
    { "Content-Type: image/png\r\n", "j\303\274",
      "\"length\":5,\"data\":\"j\303\274\"}" },
    { "Content-Type: text/plain\r\n", "\377",
      "\"base64\":true,\"length\":6,\"data\":\"/w==\"}" },
    { "Content-Type: application/json\r\n", "[1,\r\n2]",
      "\"length\":7,\"data\":[1,  2]}" },
    { "Content-Type: application/ld+json; a=b\r\n", "12345678901234567890123",
      "\"length\":23,\"data\":12345678901234567890123}" },
    { "Content-Type: application/json\r\n", "{\"a\":\"\\ud800\",\"a\":1.0}",
      "\"length\":22,\"data\":{\"a\":\"\\ud800\",\"a\":1.0}}" },
};

START_TEST(payloads_travel_as_they_are)
{
    const char *batch;

    forget("bob");
    ck_assert_int_eq(
        post("/comm/publish/orders/bob", payloads[_i].type, payloads[_i].body)->status,
        201);
    batch = waiting("bob");
    ck_assert_msg(strstr(batch, payloads[_i].wire) != NULL, "%s", batch);
}
END_TEST

START_TEST(odd_names_of_clients_are_names)
{
    forget("j\303\274rgen");
    ck_assert_int_eq(post("/comm/publish/orders/j%C3%BCrgen", NULL, "path")->status, 201);
    ck_assert_int_eq(post("/comm/publish/orders?to=j%C3%BCrgen", NULL, "query")->status,
                     201);
    ck_assert_str_eq(support_json(waiting("j\303\274rgen"), "messages.0.data"), "path");
    ck_assert_str_eq(support_json(waiting("j\303\274rgen"), "messages.1.data"), "query");
    ck_assert_int_eq(
        post("/comm/publish/orders/CN=Al%20S%C3%AD%2B%26%3F", NULL, "x")->status, 201);
    ck_assert_int_eq(post("/comm/publish/a.b_c-9/x@y.example:1", NULL, "x")->status, 201);
}
END_TEST

START_TEST(several_receivers_share_one_message)
{
    http_answer *answer;
    const char *id;

    forget("carol");
    forget("dave");
    answer = post("/comm/publish/orders?to=carol&to=dave&to=carol", NULL, "hi");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(support_json(answer->body, "to"), "2");
    id = support_json(answer->body, "id");
    ck_assert_str_eq(support_json(waiting("carol"), "messages.0.id"), id);
    ck_assert_str_eq(support_json(waiting("dave"), "messages.0.id"), id);
    ck_assert_ptr_null(support_json(waiting("carol"), "messages.1"));
    answer = post("/comm/publish/orders?to=carol", NULL, "hi");
    ck_assert_str_eq(support_json(answer->body, "to"), "1");
}
END_TEST

START_TEST(requests_without_identity_have_one_sender)
{
    forget("dave");
    ck_assert_int_eq(
        http_once(server, "POST", "/comm/publish/open/dave", NULL, NULL, "x")->status,
        201);
    ck_assert_str_eq(support_json(waiting("dave"), "messages.0.from"), "anonymous");
}
END_TEST

START_TEST(the_sender_is_an_expression)
{
    http_answer *answer;

    forget("dave");
    answer = post("/comm/publish/named/dave", NULL, "x");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(http_header(answer, "TTL"), "10");
    ck_assert_str_eq(support_json(waiting("dave"), "messages.0.from"), "app backend");
}
END_TEST

static const struct {
    const char *field, *granted; /* NULL: 400 */
} lifetimes[] = {
    { "TTL: 60\r\n", "60" },          { "TTL: 7200\r\n", "7200" },
    { "TTL: 7201\r\n", "7200" },      { "TTL: 99999999999999999999\r\n", "7200" },
    { "ttl: 007\r\n", "7" },          { "TTL: 0\r\n", "0" },
    { "TTL: -1\r\n", NULL },          { "TTL: 1.5\r\n", NULL },
    { "TTL: 60s\r\n", NULL },         { "TTL: \r\n", NULL },
    { "TTL: 1\r\nTTL: 1\r\n", NULL },
};

START_TEST(a_lifetime_is_granted_or_refused)
{
    http_answer *answer = post("/comm/publish/orders/nobody", lifetimes[_i].field, "x");

    if (lifetimes[_i].granted) {
        ck_assert_int_eq(answer->status, 201);
        ck_assert_str_eq(http_header(answer, "TTL"), lifetimes[_i].granted);
    }
    else {
        publishing_expect_problem(answer, 400, "malformed");
    }
    /* One queue takes five. */
    forget("nobody");
}
END_TEST

START_TEST(an_expired_message_is_gone)
{
    forget("alice");
    ck_assert_int_eq(post("/comm/publish/orders/alice", "TTL: 1\r\n", "x")->status, 201);
    wait_until(*waiting("alice") == '\0', 5000);
}
END_TEST

/* ---- what is refused --------------------------------------------------- */

static const char *const bad_paths[] = {
    "/comm/publish",
    "/comm/publish/",
    "/comm/publish/orders",
    "/comm/publish/orders/",
    "/comm/publish/-/alice",
    "/comm/publish/orders/-",
    "/comm/publish/orders/-/all/x",
    "/comm/publish/orders/-/all?to=a",
    "/comm/publish/orders/-/groups",
    "/comm/publish/orders/-/groups/-",
    "/comm/publish/orders/-/groups/g?to=a",
    "/comm/publish/orders/-/nothing",
    "/comm/publish/or%20ders/alice",
    "/comm/publish/.orders/alice",
    "/comm/publish/orders/a%01",
    "/comm/publish/orders/a%FF",
    "/comm/publish/orders/alice/",
    "/comm/publish/orders/alice/-",
    "/comm/publish/orders/alice/d1/x",
    "/comm/publish/orders/alice?to=bob",
    "/comm/publish/orders?to=",
    "/comm/publish/orders?to=a&to=b/-",
    "/comm/publish/orders?to=%00",
    "/comm/publish/orders?to=%",
    "/comm/publish?to=a",
    "/comm/publish/orders?other=a",
    "/comm/publish/orders/alice?wait=x",
};

START_TEST(a_bad_path_is_malformed)
{
    http_answer *answer = post(bad_paths[_i], NULL, "x");

    publishing_expect_problem(answer, 400, "malformed");
    ck_assert_ptr_nonnull(support_json(answer->body, "detail"));
}
END_TEST

START_TEST(more_than_a_hundred_receivers_are_malformed)
{
    char path[2048] = "/comm/publish/orders?to=x";
    int i;

    for (i = 0; i < 99; i++)
        strcat(path, support_text("&to=c%d", i));
    ck_assert_str_eq(support_json(post(path, NULL, "x")->body, "to"), "100");
    strcat(path, "&to=y");
    publishing_expect_problem(post(path, NULL, "x"), 400, "malformed");
}
END_TEST

static const char *const bad_json[] = {
    "", " ", "{", "{\"a\":1}}", "{'a':1}", "[1,]", "nul", "\"\377\"", "01", "\"a\nb\"",
};

START_TEST(json_that_is_none_is_malformed)
{
    publishing_expect_problem(post("/comm/publish/orders/alice",
                                   "Content-Type: application/json\r\n", bad_json[_i]),
                              400, "malformed");
}
END_TEST

START_TEST(json_may_be_nested_64_deep)
{
    char text[200];

    memset(text, '[', 64);
    memset(text + 64, ']', 64);
    text[128] = '\0';
    forget("alice");
    ck_assert_int_eq(
        post("/comm/publish/orders/alice", "Content-Type: application/json\r\n", text)
            ->status,
        201);
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    text[130] = '\0';
    publishing_expect_problem(
        post("/comm/publish/orders/alice", "Content-Type: application/json\r\n", text),
        400, "malformed");
}
END_TEST

START_TEST(an_encoded_body_is_refused)
{
    publishing_expect_problem(
        post("/comm/publish/orders/alice", "Content-Encoding: gzip\r\n", "x"), 415,
        "encoding");
    forget("alice");
    ck_assert_int_eq(
        post("/comm/publish/orders/alice", "Content-Encoding: identity\r\n", "x")->status,
        201);
}
END_TEST

START_TEST(a_long_content_type_is_malformed)
{
    char field[400] = "Content-Type: text/";

    memset(field + strlen(field), 'x', 300);
    strcpy(field + 319, "\r\n");
    publishing_expect_problem(post("/comm/publish/orders/alice", field, "x"), 400,
                              "malformed");
}
END_TEST

START_TEST(a_long_message_is_refused_whichever_way_it_comes)
{
    static char body[4098];
    http *c;

    memset(body, 'x', 4097);
    publishing_expect_problem(post("/comm/publish/orders/alice", NULL, body), 413,
                              "too-large");
    c = http_open(server);
    http_send(c, support_text("POST /comm/publish/orders/alice HTTP/1.1\r\n"
                              "Host: localhost\r\n%sTransfer-Encoding: chunked\r\n\r\n",
                              http_auth("backend")));
    http_send(c, "1001\r\n");
    http_send(c, body);
    http_send(c, "\r\n0\r\n\r\n");
    publishing_expect_problem(http_read(c), 413, "too-large");
    http_close(c);
    body[4096] = '\0';
    forget("alice");
    ck_assert_int_eq(post("/comm/publish/orders/alice", NULL, body)->status, 201);
}
END_TEST

/* Its length tells: neither is it asked for nor waited for. */
START_TEST(a_long_message_is_refused_before_it_comes)
{
    http *c = http_open(server);

    http_send(c,
              support_text("POST /comm/publish/orders/alice HTTP/1.1\r\n"
                           "Host: localhost\r\n%s%sContent-Length: 4097\r\n\r\n",
                           http_auth("backend"), _i ? "Expect: 100-continue\r\n" : ""));
    publishing_expect_problem(http_read(c), 413, "too-large");
    http_close(c);
}
END_TEST

START_TEST(the_limit_counts_bytes_as_published)
{
    static char body[4097];

    memset(body, '\n', 4096);
    forget("bob");
    ck_assert_int_eq(post("/comm/publish/orders/bob", NULL, body)->status, 201);
    memset(body, '\377', 4096);
    forget("bob");
    ck_assert_int_eq(post("/comm/publish/orders/bob", NULL, body)->status, 201);
    forget("bob");
}
END_TEST

START_TEST(a_chunked_message_is_taken)
{
    http *c = http_open(server);

    forget("bob");
    http_send(c, support_text("POST /comm/publish/orders/bob HTTP/1.1\r\n"
                              "Host: localhost\r\n%sTransfer-Encoding: chunked\r\n\r\n"
                              "2\r\nab\r\n3\r\ncde\r\n0\r\n\r\n",
                              http_auth("backend")));
    ck_assert_int_eq(http_read(c)->status, 201);
    ck_assert_str_eq(support_json(waiting("bob"), "messages.0.data"), "abcde");
    http_close(c);
}
END_TEST

START_TEST(who_expects_100_is_refused_before_it)
{
    http *c = http_open(server);
    char first[12];

    http_send(c, support_text("POST /comm/publish/-/alice HTTP/1.1\r\nHost: localhost\r\n"
                              "%sExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
                              http_auth("backend")));
    publishing_expect_problem(http_read(c), 400, "malformed");
    http_close(c);
    forget("bob");
    c = http_open(server);
    http_send(c, support_text("POST /comm/publish/a/bob HTTP/1.1\r\nHost: localhost\r\n"
                              "%sExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
                              http_auth("backend")));
    wait_until(recv(http_socket(c), first, sizeof(first), MSG_PEEK) == sizeof(first),
               5000);
    ck_assert_int_eq(memcmp(first, "HTTP/1.1 100", sizeof(first)), 0);
    http_send(c, "abcde");
    ck_assert_int_eq(http_read(c)->status, 201);
    http_close(c);
}
END_TEST

START_TEST(a_refusal_leaves_the_connection_in_order)
{
    http *c = http_open(server);
    http_answer *answer;

    answer = http_call(c, "POST", "/comm/publish/orders/alice", "backend",
                       "Content-Encoding: br\r\n", "some body");
    publishing_expect_problem(answer, 415, "encoding");
    ck_assert_int_eq(answer->keep_alive, 1);
    forget("alice");
    ck_assert_int_eq(
        http_call(c, "POST", "/comm/publish/orders/alice", "backend", NULL, "x")->status,
        201);
    http_close(c);
}
END_TEST

static const char *const other_methods[] = { "GET",   "HEAD",     "PUT",     "DELETE",
                                             "PATCH", "PROPFIND", "NONSENSE" };

START_TEST(other_methods_are_not_allowed)
{
    http *c = http_open(server);
    http_answer *answer;

    http_ask(c, other_methods[_i], "/comm/publish/orders/alice", "backend", NULL, NULL);
    answer = strcmp(other_methods[_i], "HEAD") ? http_read(c) : http_read_head(c);
    ck_assert_int_eq(answer->status, 405);
    ck_assert_str_eq(http_header(answer, "Allow"), "POST, OPTIONS");
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/problem+json");
    http_close(c);
}
END_TEST

START_TEST(options_tells_the_methods)
{
    http_answer *answer =
        http_once(server, "OPTIONS", "/comm/publish/orders/alice", "backend", NULL, NULL);

    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(http_header(answer, "Allow"), "POST, OPTIONS");
}
END_TEST

START_TEST(a_sender_cannot_pass_for_a_local_process)
{
    publishing_expect_problem(post("/comm/publish/forged/alice", NULL, "x"), 403,
                              "identity");
    ck_assert_int_ge(httpd_log_count(server, "CS0032"), 1);
}
END_TEST

START_TEST(no_credentials_no_queue)
{
    http_answer *answer =
        http_once(server, "POST", "/comm/publish/orders/alice", NULL, NULL, "x");

    ck_assert_int_eq(answer->status, 401);
    ck_assert_ptr_null(strstr(http_header(answer, "Content-Type"), "problem"));
}
END_TEST

/* ---- full -------------------------------------------------------------- */

START_TEST(a_full_queue_refuses_until_it_is_read)
{
    http_answer *answer;
    int i;

    forget("carol");
    for (i = 0; i < 5; i++)
        ck_assert_int_eq(post("/comm/publish/orders/carol", NULL, "x")->status, 201);
    answer = post("/comm/publish/orders/carol", NULL, "x");
    publishing_expect_problem(answer, 507, "full");
    ck_assert_int_ge(atoi(http_header(answer, "Retry-After")), 1);
    forget("carol");
    ck_assert_int_eq(post("/comm/publish/orders/carol", NULL, "x")->status, 201);
}
END_TEST

START_TEST(one_full_queue_of_several_refuses_all)
{
    http_answer *answer;
    int i;

    forget("alice");
    forget("bob");
    for (i = 0; i < 5; i++)
        post("/comm/publish/orders/bob", NULL, "x");
    answer = post("/comm/publish/orders?to=alice&to=bob", NULL, "x");
    publishing_expect_problem(answer, 507, "refused");
    ck_assert_ptr_nonnull(http_header(answer, "Retry-After"));
    ck_assert_str_eq(support_json(answer->body, "refused.0.client"), "bob");
    ck_assert_str_eq(support_json(answer->body, "refused.0.type"), "full");
    ck_assert_str_eq(support_json(answer->body, "refused.0.status"), "507");
    ck_assert_ptr_null(support_json(answer->body, "refused.1"));
    ck_assert_str_eq(waiting("alice"), "");
}
END_TEST

START_TEST(a_queue_full_of_bytes_refuses)
{
    static char body[4001];
    int i;

    memset(body, 'x', 4000);
    forget("dave");
    for (i = 0; i < 4; i++)
        ck_assert_int_eq(post("/comm/publish/orders/dave", NULL, body)->status, 201);
    publishing_expect_problem(post("/comm/publish/orders/dave", NULL, body), 507, "full");
    forget("dave");
}
END_TEST

static void start_small(void)
{
    server =
        httpd_start(&(httpd_options){ .config = "CommServerSegmentSize 1M\n"
                                                "CommServerMaxClients 3\n"
                                                "CommServerMaxQueue 3\n"
                                                "CommServerOverflow drop-oldest\n" });
}

START_TEST(a_full_table_of_clients_refuses_new_ones)
{
    http_answer *answer;

    ck_assert_int_eq(post("/comm/publish/orders?to=a&to=b&to=alice", NULL, "x")->status,
                     201);
    answer = post("/comm/publish/orders/d", NULL, "x");
    publishing_expect_problem(answer, 507, "full");
    ck_assert_int_eq(post("/comm/publish/orders/b", NULL, "x")->status, 201);
    answer = post("/comm/publish/orders?to=b&to=d", NULL, "x");
    publishing_expect_problem(answer, 507, "refused");
    ck_assert_str_eq(support_json(answer->body, "refused.0.client"), "d");
    answer = http_once(server, "GET", "/comm/poll?wait=1", "dave", NULL, NULL);
    publishing_expect_problem(answer, 507, "full");
    ck_assert_int_ge(httpd_log_count(server, "CS0037"), 1);
}
END_TEST

START_TEST(the_oldest_goes_and_leaves_a_gap)
{
    const char *batch;
    int i;

    forget("alice");
    for (i = 0; i < 5; i++) {
        ck_assert_int_eq(
            post("/comm/publish/orders/alice", NULL, support_text("%d", i))->status, 201);
    }
    batch = waiting("alice");
    ck_assert_str_eq(support_json(batch, "gap.apps.orders"), "2");
    ck_assert_str_eq(support_json(batch, "messages.0.data"), "2");
}
END_TEST

static void start_tiny(void)
{
    server = httpd_start(&(httpd_options){ .config = "CommServerSegmentSize 1M\n"
                                                     "CommServerMaxClients 100\n" });
}

START_TEST(a_full_segment_says_so)
{
    static char body[65537];
    http_answer *answer = NULL;
    int i;

    memset(body, 'x', 65536);
    for (i = 0; i < 40; i++) {
        answer = post(support_text("/comm/publish/orders/c%d", i), NULL, body);
        if (answer->status != 201)
            break;
    }
    ck_assert_int_gt(i, 5);
    publishing_expect_problem(answer, 507, "full");
    ck_assert_ptr_nonnull(strstr(support_json(answer->body, "detail"), "segment"));
    ck_assert_int_ge(atoi(http_header(answer, "Retry-After")), 1);
    ck_assert_int_ge(httpd_log_count(server, "CS0036"), 1);
    for (i = 0; i < 20; i++)
        post("/comm/publish/orders/x", NULL, body);
    ck_assert_int_le(httpd_log_count(server, "CS0036"), 4);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

static TCase *make_case(const char *name, void (*start)(void))
{
    TCase *tc = tcase_create(name);

    tcase_add_unchecked_fixture(tc, start, end);
    tcase_set_timeout(tc, 60);
    return tc;
}

static TCase *plain_case(void)
{
    TCase *tc = make_case("plain", start_plain);

    tcase_add_test(tc, a_message_is_queued_and_read_back);
    tcase_add_loop_test(tc, payloads_travel_as_they_are, 0, COUNT(payloads));
    tcase_add_test(tc, odd_names_of_clients_are_names);
    tcase_add_test(tc, several_receivers_share_one_message);
    tcase_add_test(tc, requests_without_identity_have_one_sender);
    tcase_add_test(tc, the_sender_is_an_expression);
    tcase_add_loop_test(tc, a_lifetime_is_granted_or_refused, 0, COUNT(lifetimes));
    tcase_add_test(tc, an_expired_message_is_gone);
    tcase_add_loop_test(tc, a_bad_path_is_malformed, 0, COUNT(bad_paths));
    tcase_add_test(tc, more_than_a_hundred_receivers_are_malformed);
    tcase_add_loop_test(tc, json_that_is_none_is_malformed, 0, COUNT(bad_json));
    tcase_add_test(tc, json_may_be_nested_64_deep);
    tcase_add_test(tc, an_encoded_body_is_refused);
    tcase_add_test(tc, a_long_content_type_is_malformed);
    tcase_add_test(tc, a_long_message_is_refused_whichever_way_it_comes);
    tcase_add_loop_test(tc, a_long_message_is_refused_before_it_comes, 0, 2);
    tcase_add_test(tc, the_limit_counts_bytes_as_published);
    tcase_add_test(tc, a_chunked_message_is_taken);
    tcase_add_test(tc, who_expects_100_is_refused_before_it);
    tcase_add_test(tc, a_refusal_leaves_the_connection_in_order);
    tcase_add_loop_test(tc, other_methods_are_not_allowed, 0, COUNT(other_methods));
    tcase_add_test(tc, options_tells_the_methods);
    tcase_add_test(tc, a_sender_cannot_pass_for_a_local_process);
    tcase_add_test(tc, no_credentials_no_queue);
    tcase_add_test(tc, a_full_queue_refuses_until_it_is_read);
    tcase_add_test(tc, one_full_queue_of_several_refuses_all);
    tcase_add_test(tc, a_queue_full_of_bytes_refuses);
    return tc;
}

int main(void)
{
    Suite *suite = suite_create("publish");
    TCase *tc;

    support_need_httpd();
    suite_add_tcase(suite, plain_case());
    tc = make_case("small", start_small);
    tcase_add_test(tc, a_full_table_of_clients_refuses_new_ones);
    tcase_add_test(tc, the_oldest_goes_and_leaves_a_gap);
    suite_add_tcase(suite, tc);
    tc = make_case("tiny", start_tiny);
    tcase_add_test(tc, a_full_segment_says_so);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
