/* SPDX-License-Identifier: Apache-2.0
 * check_groups.c - groups of an application, and everybody.
 *
 * One httpd for all tests of a case; each test has an application and clients
 * of its own.
 */
#include "publishing.h"

static httpd *server;

static void start_as(const char *mpm)
{
    server = httpd_start(
        &(httpd_options){ .mpm = mpm,
                          .users = "g1\ng2\ng3\ng4\ng5\ng6\nj\303\274rgen\n",
                          .config = "LoadModule cstest_module "
                                    "\"@BUILD@/tests/integ/.libs/mod_cstest.so\"\n"
                                    "CommServerMaxQueue 2\n"
                                    "CommServerMaxClients 150\n"
                                    "CommServerAllowOrigin https://page.example\n"
                                    "<Location \"/comm/publish/direct\">\n"
                                    "    CommServerDirect on\n"
                                    "    Require valid-user\n"
                                    "</Location>\n"
                                    "<Location \"/comm/publish/guarded\">\n"
                                    "    AuthMerging Off\n"
                                    "    Require user admin\n"
                                    "</Location>\n" });
}

static void start_event(void)
{
    start_as("event");
}

static void start_worker(void)
{
    start_as("worker");
}

static void start_prefork(void)
{
    start_as("prefork");
}

static void end(void)
{
    httpd_end(server);
}

static http_answer *call(const char *method, const char *path, const char *body)
{
    return http_once(server, method, support_text("/comm/publish%s", path), "backend",
                     NULL, body);
}

static void join(const char *group, const char *client)
{
    http_answer *answer = call("PUT", support_text("%s/%s", group, client), NULL);

    ck_assert_msg(answer->status == 201, "%d: %s", answer->status, answer->body);
}

/* ---- members ------------------------------------------------------------- */

START_TEST(a_client_joins_and_leaves)
{
    static const char path[] = "/a1/-/groups/night/g1";
    http_answer *answer = call("DELETE", path, NULL);

    publishing_expect_problem(answer, 404, "unknown");
    answer = call("PUT", path, NULL);
    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(answer->body, "{\"group\":\"night\",\"client\":\"g1\"}");
    answer = call("PUT", path, NULL);
    ck_assert_int_eq(answer->status, 204);
    ck_assert_uint_eq(answer->len, 0);
    ck_assert_int_eq(call("PUT", "/a1/-/groups/day/g1", "a body")->status, 201);
    ck_assert_int_eq(call("PUT", "/a1/-/groups/night/j%C3%BCrgen", NULL)->status, 201);
    ck_assert_int_eq(call("DELETE", path, NULL)->status, 204);
    publishing_expect_problem(call("DELETE", path, NULL), 404, "unknown");
    ck_assert_int_eq(call("DELETE", "/a1/-/groups/day/g1", NULL)->status, 204);
}
END_TEST

START_TEST(a_connection_is_in_order_after_a_body)
{
    http *c = http_open(server);
    int i;

    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(http_call(c, i % 2 ? "DELETE" : "PUT",
                                   "/comm/publish/a2/-/groups/g/g1", "backend", NULL,
                                   "some body")
                             ->status,
                         i % 2 ? 204 : 201);
    }
    http_close(c);
    c = http_open(server);
    http_send(c, support_text("PUT /comm/publish/a2/-/groups/g/g1 HTTP/1.1\r\n"
                              "Host: localhost\r\n%sContent-Length: 70000\r\n\r\n",
                              http_auth("backend")));
    publishing_expect_problem(http_read(c), 413, "too-large");
    http_close(c);
}
END_TEST

/* On a connection that an event thread reads. */
START_TEST(members_change_between_publishes)
{
    http *c = http_open(server);
    int i;

    for (i = 0; i < 3; i++) {
        http_call(c, "POST", "/comm/publish/a3/-/groups/g", "backend", NULL, "x");
    }
    http_ask(c, "PUT", "/comm/publish/a3/-/groups/g/g1", "backend", NULL, NULL);
    ck_assert_int_eq(http_read(c)->status, 201);
    http_send(c, support_text("PUT /comm/publish/a3/-/groups/g/g2 HTTP/1.1\r\n"
                              "Host: localhost\r\n%sContent-Length: 4\r\n\r\n",
                              http_auth("backend")));
    ck_assert_ptr_null(http_try(c, 100));
    http_send(c, "body");
    ck_assert_int_eq(http_read(c)->status, 201);
    http_ask(c, "PUT", "/comm/publish/a3/-/groups/g/g2", "backend", NULL, NULL);
    ck_assert_int_eq(http_read(c)->status, 204);
    http_ask(c, "DELETE", "/comm/publish/a3/-/groups/g/g2", "backend", NULL, NULL);
    ck_assert_int_eq(http_read(c)->status, 204);
    http_close(c);
}
END_TEST

/* ---- publishing ---------------------------------------------------------- */

START_TEST(members_get_one_message_once_each)
{
    http_answer *answer;
    const char *id;

    publishing_forget(server, "g1", "phone");
    publishing_forget(server, "g1", "laptop");
    join("/a4/-/groups/g", "g1");
    join("/a4/-/groups/g", "g2");
    join("/a4/-/groups/other", "g3");
    answer = publishing_post(server, "/a4/-/groups/g", "TTL: 60\r\n", "hello");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(http_header(answer, "TTL"), "60");
    ck_assert_str_eq(support_json(answer->body, "state"), "queued");
    ck_assert_str_eq(support_json(answer->body, "to"), "2");
    id = support_json(answer->body, "id");
    ck_assert_ptr_null(support_json(answer->body, "refused_count"));
    ck_assert_str_eq(http_header(answer, "Location"),
                     support_text("/comm/publish/a4/-/messages/%s", id));
    publishing_expect(server, "g1", "phone", "hello");
    publishing_expect(server, "g1", "laptop", "hello");
    publishing_expect(server, "g2", NULL, "hello");
    publishing_expect(server, "g3", NULL, "");
    ck_assert_str_eq(
        support_json(publishing_waiting(server, "g2", NULL), "messages.0.id"), id);
    /* Another application has groups of its own. */
    answer = publishing_post(server, "/a5/-/groups/g", NULL, "x");
    ck_assert_str_eq(support_json(answer->body, "to"), "0");
    publishing_forget(server, "g1", "phone");
    publishing_forget(server, "g1", "laptop");
    publishing_forget(server, "g2", NULL);
}
END_TEST

START_TEST(a_group_of_nobody_is_no_problem)
{
    http_answer *answer = publishing_post(server, "/a6/-/groups/none", NULL, "x");

    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(support_json(answer->body, "to"), "0");
    ck_assert_str_eq(support_json(answer->body, "state"), "dropped");
    ck_assert_ptr_nonnull(http_header(answer, "Location"));
}
END_TEST

START_TEST(one_full_member_does_not_silence_the_others)
{
    http_answer *answer;
    int i;

    join("/a7/-/groups/g", "g4");
    for (i = 0; i < 2; i++)
        publishing_queue(server, "/a7/g4", NULL, "x");
    answer = publishing_post(server, "/a7/-/groups/g", NULL, "y");
    publishing_expect_problem(answer, 507, "refused");
    ck_assert_ptr_nonnull(http_header(answer, "Retry-After"));
    ck_assert_str_eq(support_json(answer->body, "refused.0.client"), "g4");
    join("/a7/-/groups/g", "g5");
    answer =
        publishing_post(server, "/a7/-/groups/g", "Prefer: handling=lenient\r\n", "y");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(http_header(answer, "Preference-Applied"), "handling=lenient");
    ck_assert_str_eq(support_json(answer->body, "to"), "1");
    ck_assert_str_eq(support_json(answer->body, "refused_count"), "1");
    ck_assert_str_eq(support_json(answer->body, "refused.0.client"), "g4");
    ck_assert_str_eq(support_json(answer->body, "refused.0.type"), "full");
    ck_assert_ptr_null(support_json(answer->body, "refused.1"));
    publishing_expect(server, "g5", NULL, "y");
    publishing_expect(server, "g4", NULL, "x x");
    publishing_forget(server, "g4", NULL);
    publishing_forget(server, "g5", NULL);
}
END_TEST

START_TEST(everybody_is_who_is_known)
{
    http_answer *answer;

    publishing_forget(server, "g6", "phone");
    publishing_forget(server, "alice", NULL);
    answer = publishing_post(server, "/a8/-/all", "Urgency: high\r\nTTL: 0\r\n", "fire");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_int_ge(atoi(support_json(answer->body, "to")), 2);
    publishing_expect(server, "g6", "phone", "fire");
    publishing_expect(server, "alice", NULL, "fire");
    publishing_forget(server, "g6", "phone");
    publishing_forget(server, "alice", NULL);
}
END_TEST

/* Long names: the list is cut to what can be kept with a key. */
START_TEST(a_long_list_of_refused_is_cut)
{
    char name[250], path[600];
    http_answer *answer;
    int i;

    memset(name, 'n', sizeof(name));
    name[249] = '\0';
    for (i = 0; i < 110; i++) {
        snprintf(path, sizeof(path), "/a9/%s%03d", name, i);
        publishing_queue(server, path, NULL, "x");
        publishing_queue(server, path, NULL, "x");
        join("/a9/-/groups/g", strrchr(path, '/') + 1);
    }
    join("/a9/-/groups/g", "bob");
    for (i = 0; i < 2; i++) {
        answer = publishing_post(server, "/a9/-/groups/g",
                                 "Idempotency-Key: \"long\"\r\n", "y");
        ck_assert_int_eq(answer->status, 201);
        ck_assert_str_eq(support_json(answer->body, "to"), "1");
        ck_assert_str_eq(support_json(answer->body, "refused_count"), "110");
        ck_assert_ptr_nonnull(support_json(answer->body, "refused.30"));
        ck_assert_ptr_null(support_json(answer->body, "refused.100"));
        ck_assert_uint_lt(answer->len, 16384);
    }
    publishing_expect(server, "bob", NULL, "y");
    publishing_forget(server, "bob", NULL);
    /* They are in the way of other tests. */
    for (i = 0; i < 110; i++) {
        snprintf(path, sizeof(path), "/a9/-/groups/g/%s%03d", name, i);
        ck_assert_int_eq(call("DELETE", path, NULL)->status, 204);
    }
}
END_TEST

/* Names that mod_mime or a folder would make something of. */
START_TEST(groups_work_past_the_file_system)
{
    ck_assert_int_eq(call("PUT", "/direct/-/groups/a.gz/g1.html", NULL)->status, 201);
    ck_assert_str_eq(
        support_json(publishing_queue(server, "/direct/-/groups/a.gz", NULL, "x"), "to"),
        "1");
    ck_assert_int_eq(call("DELETE", "/direct/-/groups/a.gz/g1.html", NULL)->status, 204);
    ck_assert_int_eq(call("DELETE", "/direct/-/groups/a.gz/g1.html", NULL)->status, 404);
}
END_TEST

/* ---- who may ------------------------------------------------------------- */

static const struct {
    const char *method, *path;
} guarded[] = {
    { "PUT", "/guarded/-/groups/g/alice" },   { "DELETE", "/guarded/-/groups/g/alice" },
    { "POST", "/guarded/-/groups/g" },        { "POST", "/guarded/-/all" },
    { "POST", "/%67uarded/-/all" },           { "POST", "//guarded/-/all" },
    { "POST", "/./guarded/-/all" },           { "POST", "/orders/../guarded/-/all" },
    { "PUT", "/guarded/%2D/groups/g/alice" },
};

START_TEST(the_location_of_an_application_guards_its_groups)
{
    ck_assert_int_eq(call(guarded[_i].method, guarded[_i].path, "x")->status, 401);
    ck_assert_int_lt(http_once(server, guarded[_i].method,
                               support_text("/comm/publish%s", guarded[_i].path), "admin",
                               NULL, "x")
                         ->status,
                     405);
}
END_TEST

static const struct {
    const char *path, *allow;
} resources[] = {
    { "/orders/alice", "POST, OPTIONS" },
    { "/orders?to=alice", "POST, OPTIONS" },
    { "/orders/-/all", "POST, OPTIONS" },
    { "/orders/-/groups/g", "POST, OPTIONS" },
    { "/orders/-/groups/g/alice", "PUT, DELETE, OPTIONS" },
    { "/orders/-/messages/qJhM5wVYQ0C0b1cTnC9g8A", "GET, HEAD, DELETE, OPTIONS" },
};

START_TEST(each_resource_has_its_methods)
{
    static const char *const methods[] = { "GET", "POST", "PUT", "DELETE", "PATCH" };
    const char *path = support_text("/comm/publish%s", resources[_i].path);
    http_answer *answer;
    int i;

    for (i = 0; i < 5; i++) {
        if (strstr(resources[_i].allow, methods[i]))
            continue;
        answer = http_once(server, methods[i], path, "backend", NULL, NULL);
        publishing_expect_problem(answer, 405, "method");
        ck_assert_str_eq(http_header(answer, "Allow"), resources[_i].allow);
    }
    answer = http_once(server, "OPTIONS", path, "backend", NULL, NULL);
    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(http_header(answer, "Allow"), resources[_i].allow);
    /* A page asks before it has a password. */
    answer = http_once(server, "OPTIONS", path, NULL,
                       "Origin: https://page.example\r\n"
                       "Access-Control-Request-Method: PUT\r\n",
                       NULL);
    ck_assert_int_eq(answer->status, 204);
    ck_assert_str_eq(http_header(answer, "Access-Control-Allow-Methods"),
                     resources[_i].allow);
    ck_assert_ptr_nonnull(
        strstr(http_header(answer, "Access-Control-Allow-Headers"), "Idempotency-Key"));
}
END_TEST

static const struct {
    const char *method, *path;
} bad[] = {
    { "POST", "/orders/-" },
    { "POST", "/orders/-/" },
    { "POST", "/orders/-/groups" },
    { "POST", "/orders/-/groups/" },
    { "POST", "/orders/-/groups/-" },
    { "POST", "/orders/-/groups/a%20b" },
    { "POST", "/orders/-/groups/g?to=alice" },
    { "POST", "/orders/-/all?to=alice" },
    { "POST", "/orders/-/all/alice" },
    { "POST", "/-/-/all" },
    { "PUT", "/orders/-/groups/g/-" },
    { "PUT", "/orders/-/groups/g/alice/phone" },
    { "PUT", "/orders/-/groups/g/" },
    { "PUT", "/orders/-/groups/g/a%01" },
    { "DELETE", "/orders/-/groups/g/%FF" },
};

/* What names nothing allows POST alone. */
START_TEST(a_bad_path_is_refused)
{
    http_answer *answer = call(bad[_i].method, bad[_i].path, "x");

    if (answer->status != 405)
        publishing_expect_problem(answer, 400, "malformed");
}
END_TEST

/* ---- siblings ------------------------------------------------------------ */

START_TEST(a_sibling_is_asked_about_groups)
{
    http_answer *answer;

    publishing_forget(server, "g3", NULL);
    join("/a10/-/groups/g", "g3");
    answer = publishing_post(server, "/a10/-/groups/g", NULL, "rude");
    publishing_expect_problem(answer, 422, "policy");
    answer = publishing_post(server, "/a10/-/groups/g", NULL, "who");
    publishing_expect_problem(answer, 409, "policy");
    ck_assert_str_eq(support_json(answer->body, "detail"), "the group g, 0 clients");
    answer = publishing_post(server, "/a10/-/all", NULL, "who");
    ck_assert_str_eq(support_json(answer->body, "detail"), "everybody, 0 clients");
    answer = publishing_post(server, "/a10?to=g3&to=g3/phone", NULL, "who");
    ck_assert_str_eq(support_json(answer->body, "detail"), "g3/phone, 2 clients");
    publishing_expect(server, "g3", NULL, "");
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

int main(void)
{
    static void (*const starts[])(void) = { start_event, start_worker, start_prefork };
    static const char *const names[] = { "event", "worker", "prefork" };
    Suite *suite = suite_create("groups");
    int i;

    support_need_httpd();
    for (i = 0; i < 3; i++) {
        TCase *tc = tcase_create(names[i]);

        tcase_add_unchecked_fixture(tc, starts[i], end);
        tcase_set_timeout(tc, 60);
        tcase_add_test(tc, a_client_joins_and_leaves);
        tcase_add_test(tc, a_connection_is_in_order_after_a_body);
        tcase_add_test(tc, members_change_between_publishes);
        tcase_add_test(tc, members_get_one_message_once_each);
        tcase_add_test(tc, a_group_of_nobody_is_no_problem);
        tcase_add_test(tc, one_full_member_does_not_silence_the_others);
        tcase_add_test(tc, everybody_is_who_is_known);
        tcase_add_test(tc, a_sibling_is_asked_about_groups);
        if (i == 0) {
            tcase_add_test(tc, groups_work_past_the_file_system);
            tcase_add_loop_test(tc, the_location_of_an_application_guards_its_groups, 0,
                                COUNT(guarded));
            tcase_add_loop_test(tc, each_resource_has_its_methods, 0, COUNT(resources));
            tcase_add_loop_test(tc, a_bad_path_is_refused, 0, COUNT(bad));
            tcase_add_test(tc, a_long_list_of_refused_is_cut);
        }
        suite_add_tcase(suite, tc);
    }
    return support_run(suite);
}
