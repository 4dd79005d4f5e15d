/* SPDX-License-Identifier: Apache-2.0
 * check_claims.c - what this system is for, claim by claim of the publication
 * US 2002/0107910 A1, each from an application behind httpd to a local
 * application, with nothing between them but what production has.
 */
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

#define MANY 300

static const char cgi_config[] = "ScriptSock @DIR@/run/cgid.sock\n"
                                 "ScriptAlias /cgi-bin/ @DIR@/cgi-bin/\n"
                                 "SetEnv LD_LIBRARY_PATH @DIR@/lib\n";

static httpd *server;

static void start_server(void)
{
    server = httpd_start(
        &(httpd_options){ .debian = 1, .modules = "cgid", .config = cgi_config });
    httpd_install_writer(server);
    httpd_install(server, support_program("examples/cgi/order"), "cgi-bin/order");
}

static void end_server(void)
{
    httpd_end(server);
}

/* ---- words --------------------------------------------------------------- */

static void publish(const char *app, const char *client, const char *type,
                    const char *body)
{
    http_answer *answer =
        http_once(server, "POST", support_text("/comm/publish/%s/%s", app, client),
                  "backend", support_text("Content-Type: %s\r\n", type), body);

    if (answer->status != 201)
        ck_abort_msg("publishing was answered %d: %s", answer->status, answer->body);
}

static const char *status_of(const httpd *of, const char *path)
{
    http_answer *answer = http_once(of, "GET", "/comm/status", "admin", NULL, NULL);

    return answer->status == 200 ? support_json(answer->body, path) : "-1";
}

/* Read the next message, check where it is from and what it says, and
 * acknowledge it. */
static void expect_message(local_app *app, const char *name, const char *data)
{
    const char *message = local_message(app);

    ck_assert_str_eq(support_json(message, "app"), name);
    ck_assert_str_eq(support_json(message, "data"), data);
    local_ack(app, support_json(message, "id"));
}

static local_app *subscriber(const agent *a, const char *name)
{
    local_app *app = local_open(a);

    local_subscribe(app, name);
    return app;
}

/* ---- claims -------------------------------------------------------------- */

/* Claims 1, 2 and 10: several server applications, one polling client, several
 * local applications; the agent takes the messages apart and gives each to the
 * application that it is for. */
START_TEST(claim_1_one_agent_polls_for_several_applications)
{
    agent *a = agent_start(&(agent_options){ .server = server, .user = "alice" });
    local_app *orders = subscriber(a, "orders");
    local_app *news = subscriber(a, "news");

    publish("orders", "alice", "text/plain", "one order");
    publish("news", "alice", "text/plain", "one headline");
    publish("orders", "alice", "text/plain", "another order");
    expect_message(orders, "orders", "one order");
    expect_message(orders, "orders", "another order");
    expect_message(news, "news", "one headline");
    ck_assert_ptr_null(local_try(orders, 0));
    ck_assert_ptr_null(local_try(news, 0));
    wait_until(strcmp(status_of(server, "waiting"), "1") == 0, 10000);
    local_close(orders);
    local_close(news);
    agent_end(a);
}
END_TEST

/* Claims 2 and 24: upon the message the application fetches from its server. */
START_TEST(claim_24_the_application_fetches_upon_the_message)
{
    agent *a = agent_start(&(agent_options){ .server = server, .user = "bob" });
    local_app *news = subscriber(a, "news");
    const char *message;

    httpd_put(server, "htdocs/latest.json", "{\"headline\":\"it rains\"}\n");
    publish("news", "bob", "application/json", "{\"url\":\"/latest.json\"}");
    message = local_message(news);
    ck_assert_str_eq(
        http_once(server, "GET", support_json(message, "data.url"), NULL, NULL, NULL)
            ->body,
        "{\"headline\":\"it rains\"}\n");
    local_ack(news, support_json(message, "id"));
    local_close(news);
    agent_end(a);
}
END_TEST

/* Claim 25: the application consumes the message itself; once acknowledged it
 * is gone from the inbox and from the server. */
START_TEST(claim_25_a_consumed_message_is_gone)
{
    agent *a = agent_start(&(agent_options){ .server = server, .user = "carol" });
    local_app *orders = subscriber(a, "orders");

    publish("orders", "carol", "text/plain", "consume me");
    expect_message(orders, "orders", "consume me");
    local_close(orders);
    wait_until(strcmp(status_of(server, "queued"), "0") == 0, 10000);
    agent_stop(a);
    agent_again(a);
    orders = subscriber(a, "orders");
    publish("orders", "carol", "text/plain", "the next");
    expect_message(orders, "orders", "the next");
    local_close(orders);
    agent_end(a);
}
END_TEST

/* Claims 13 and 21: a hash table is the buffer; among many clients each finds
 * its own. */
START_TEST(claim_13_each_of_many_clients_finds_its_own)
{
    httpd *many = httpd_start(&(httpd_options){
        .bare = 1,
        .config = "<Location /p>\nSetHandler commserver-publish\n"
                  "CommServerSender test\nRequire all granted\n</Location>\n"
                  "<Location /q>\nSetHandler commserver-poll\n"
                  "CommServerClient %{HTTP:X-Client}\nRequire all granted\n"
                  "</Location>\n" });
    http *c = http_open(many);
    int i;

    for (i = 0; i < MANY; i++)
        ck_assert_int_eq(http_call(c, "POST", support_text("/p/app/client%d", i), NULL,
                                   "Content-Type: text/plain\r\n",
                                   support_text("for %d", i))
                             ->status,
                         201);
    for (i = MANY - 1; i >= 0; i--) {
        http_answer *answer = http_call(c, "GET", "/q", NULL,
                                        support_text("X-Client: client%d\r\n", i), NULL);

        ck_assert_str_eq(support_json(answer->body, "messages.0.data"),
                         support_text("for %d", i));
        ck_assert_ptr_null(support_json(answer->body, "messages.1"));
    }
    http_close(c);
    httpd_end(many);
}
END_TEST

/* Claim 14: a message names its client and its application, and only that
 * client gets it. */
START_TEST(claim_14_a_message_names_its_client_and_application)
{
    agent *alice = agent_start(&(agent_options){ .server = server, .user = "alice" });
    agent *bob = agent_start(&(agent_options){ .server = server, .user = "bob" });
    local_app *of_alice = subscriber(alice, "chat");
    local_app *of_bob = subscriber(bob, "chat");

    publish("chat", "alice", "text/plain", "for alice");
    publish("chat", "bob", "text/plain", "for bob");
    expect_message(of_alice, "chat", "for alice");
    expect_message(of_bob, "chat", "for bob");
    ck_assert_ptr_null(local_try(of_alice, 0));
    ck_assert_ptr_null(local_try(of_bob, 0));
    local_close(of_alice);
    local_close(of_bob);
    agent_end(alice);
    agent_end(bob);
}
END_TEST

/* Claims 15 and 26: messages of several server applications come in the same
 * poll response, or in consecutive ones. */
START_TEST(claim_15_one_response_carries_messages_of_several_applications)
{
    http *c = http_open(server);
    http_answer *answer;
    const char *cursor;

    publish("orders", "dave", "text/plain", "an order");
    publish("news", "dave", "text/plain", "a headline");
    answer = http_call(c, "GET", "/comm/poll", "dave", NULL, NULL);
    ck_assert_str_eq(support_json(answer->body, "messages.0.app"), "orders");
    ck_assert_str_eq(support_json(answer->body, "messages.1.app"), "news");

    answer = http_call(c, "GET", "/comm/poll?max=1", "dave", NULL, NULL);
    cursor = support_json(answer->body, "cursor");
    ck_assert_str_eq(support_json(answer->body, "messages.0.app"), "orders");
    answer = http_call(c, "POST", support_text("/comm/poll?max=1&after=%s", cursor),
                       "dave", NULL, NULL);
    cursor = support_json(answer->body, "cursor");
    ck_assert_str_eq(support_json(answer->body, "messages.0.app"), "news");
    answer = http_call(c, "POST", support_text("/comm/poll?after=%s", cursor), "dave",
                       NULL, NULL);
    ck_assert_int_eq(answer->status, 204);
    http_close(c);
}
END_TEST

/* Claims 15 and 26 again: one agent for the applications of several servers. */
START_TEST(claim_26_one_agent_serves_several_servers)
{
    httpd *second = httpd_start(&(httpd_options){ .mpm = "worker" });
    agent *a = agent_start(&(agent_options){
        .server = server,
        .user = "alice",
        .config = support_text("[server second]\nurl = http://localhost:%d/comm/poll\n"
                               "user = bob\npassword_file = @DIR@/password\n"
                               "[app orders]\nservers = main\n"
                               "[app stock]\nservers = second\n",
                               httpd_port(second)) });
    local_app *orders = subscriber(a, "orders");
    local_app *stock = subscriber(a, "stock");

    ck_assert_int_eq(http_once(second, "POST", "/comm/publish/stock/bob", "backend",
                               "Content-Type: text/plain\r\n", "from the second")
                         ->status,
                     201);
    publish("orders", "alice", "text/plain", "from the first");
    expect_message(stock, "stock", "from the second");
    expect_message(orders, "orders", "from the first");
    local_close(orders);
    local_close(stock);
    agent_end(a);
    httpd_end(second);
}
END_TEST

/* Claim 1 once more, in the other direction of the arrow: a CGI program of the
 * server is the application that has something to say. */
START_TEST(a_cgi_program_reaches_a_local_application)
{
    agent *a = agent_start(&(agent_options){ .server = server, .user = "alice" });
    local_app *orders = subscriber(a, "orders");
    const char *message;
    http_answer *answer;

    answer = http_once(server, "GET", "/cgi-bin/order?tea", NULL, NULL, NULL);
    if (answer->status != 202)
        ck_abort_msg("the CGI program answered %d: %s", answer->status, answer->body);
    message = local_message(orders);
    ck_assert_str_eq(support_json(message, "data.item"), "tea");
    ck_assert_ptr_nonnull(strstr(support_json(message, "from"), "local:"));
    local_ack(orders, support_json(message, "id"));
    local_close(orders);
    agent_end(a);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("claims");
    TCase *tc = tcase_create("claims");

    support_need_httpd();
    tcase_set_timeout(tc, 120);
    tcase_add_unchecked_fixture(tc, start_server, end_server);
    tcase_add_test(tc, claim_1_one_agent_polls_for_several_applications);
    tcase_add_test(tc, claim_24_the_application_fetches_upon_the_message);
    tcase_add_test(tc, claim_25_a_consumed_message_is_gone);
    tcase_add_test(tc, claim_13_each_of_many_clients_finds_its_own);
    tcase_add_test(tc, claim_14_a_message_names_its_client_and_application);
    tcase_add_test(tc, claim_15_one_response_carries_messages_of_several_applications);
    tcase_add_test(tc, claim_26_one_agent_serves_several_servers);
    tcase_add_test(tc, a_cgi_program_reaches_a_local_application);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
