/* SPDX-License-Identifier: Apache-2.0
 * check_agent_tls.c - a real agent and a real httpd over TLS: whom the agent
 * trusts, and how it shows who it is.
 */
#include <stdio.h>
#include <string.h>

#include "support/support.h"

#define TRIES_MS 30000

static void publish(const httpd *server, const char *body)
{
    http_answer *answer =
        http_once(server, "POST", "/comm/publish/orders/alice", "backend",
                  "Content-Type: application/json\r\n", body);

    if (answer->status != 201)
        ck_abort_msg("publishing was answered %d: %s", answer->status, answer->body);
}

/* What is published reaches a local application. */
static void check_delivery(const httpd *server, const agent *a, const char *body)
{
    local_app *app = local_open(a);
    const char *message;

    local_subscribe(app, "orders");
    publish(server, body);
    message = local_message(app);
    ck_assert_str_eq(support_json(message, "data"), body);
    local_ack(app, support_json(message, "id"));
    local_close(app);
}

/* cert.pem and key.pem, signed by itself. Returns the directory, which lives until
 * the next call. */
static const char *make_certificate(const char *name)
{
    static char directory[256];

    snprintf(directory, sizeof directory, "%s", reaper_temporary());
    process_must((const char *const[]){
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
        support_text("/CN=%s", name), "-keyout", support_text("%s/key.pem", directory),
        "-out", support_text("%s/cert.pem", directory), NULL });
    return directory;
}

static const char *section(const httpd *server, const char *path, const char *ca)
{
    return support_text("[server main]\nurl = https://localhost:%d%s\nca = %s/cert.pem\n"
                        "device = test\n",
                        httpd_tls_port(server), path, ca);
}

static int is_state(const agent *a, const char *state)
{
    local_app *app = local_open(a);
    const char *found;

    local_send(app, "{\"status\":true}");
    found = support_json(local_read(app), "status.servers.0.state");
    local_close(app);
    return strcmp(found, state) == 0;
}

START_TEST(a_trusted_server_is_polled)
{
    httpd *server = httpd_start(&(httpd_options){ .tls = 1 });
    agent *a = agent_start(&(agent_options){ .server = server, .tls = 1 });

    check_delivery(server, a, "{\"order\":12}");
    ck_assert_int_eq(agent_log_count(a, "connected to https://localhost:"), 1);
    agent_end(a);
    httpd_end(server);
}
END_TEST

/* Said once; the server sees attempts go on, with growing pauses between. */
START_TEST(a_server_that_is_not_trusted_is_refused)
{
    httpd *server = httpd_start(&(httpd_options){ .tls = 1 });
    agent *a = agent_start(&(agent_options){
        .config = section(server, "/comm/poll", make_certificate("other")) });

    wait_until(httpd_log_count(server, "alert unknown ca") >= 3, TRIES_MS);
    ck_assert(is_state(a, "unreachable"));
    ck_assert_int_eq(agent_log_count(a, "server 'main': cannot be reached: SSL "), 1);
    ck_assert_int_eq(agent_log_count(a, "trying again with growing pauses"), 1);
    ck_assert_int_eq(httpd_access_count(server, "/comm/poll"), 0);
    agent_end(a);
    httpd_end(server);
}
END_TEST

static httpd *start_wanting_certificate(const char *client)
{
    return httpd_start(&(httpd_options){
        .tls = 1,
        .config = support_text("SSLCACertificateFile \"%s/cert.pem\"\n"
                               "SSLVerifyClient require\n"
                               "<Location \"/certified\">\n"
                               "    SetHandler commserver-poll\n"
                               "    CommServerClient \"%%{SSL_CLIENT_S_DN_CN}\"\n"
                               "    Require ssl-verify-client\n"
                               "</Location>\n",
                               client) });
}

START_TEST(a_client_certificate_says_who_the_agent_is)
{
    const char *client = make_certificate("alice");
    httpd *server = start_wanting_certificate(client);
    agent *a = agent_start(&(agent_options){
        .config = support_text("%scert = %s/cert.pem\nkey = %s/key.pem\n",
                               section(server, "/certified", httpd_directory(server)),
                               client, client) });

    check_delivery(server, a, "{\"for\":\"alice\"}");
    agent_end(a);
    httpd_end(server);
}
END_TEST

START_TEST(without_the_certificate_there_is_no_poll)
{
    httpd *server = start_wanting_certificate(make_certificate("alice"));
    agent *a = agent_start(&(agent_options){
        .config = section(server, "/certified", httpd_directory(server)) });

    wait_until(is_state(a, "unreachable"), TRIES_MS);
    ck_assert_int_eq(agent_log_count(a, "cannot be reached"), 1);
    ck_assert_int_eq(httpd_access_count(server, "/certified"), 0);
    agent_end(a);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent_tls");
    TCase *tc = tcase_create("tls");

    support_need_httpd();
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_trusted_server_is_polled);
    tcase_add_test(tc, a_server_that_is_not_trusted_is_refused);
    tcase_add_test(tc, a_client_certificate_says_who_the_agent_is);
    tcase_add_test(tc, without_the_certificate_there_is_no_poll);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
