/* SPDX-License-Identifier: Apache-2.0
 * check_agent_proxy.c - a real agent reaches a real httpd through another one
 * that is a proxy (mod_proxy): over HTTP, and over TLS in a tunnel.
 */
#include "support/support.h"

#include <string.h>

static httpd *server, *proxy;

static void set_up(void)
{
    server = httpd_start(&(httpd_options){ .tls = 1 });
    proxy = httpd_start(&(httpd_options){
        .bare = 1,
        .no_module = 1,
        .modules = "proxy proxy_http proxy_connect",
        .config = support_text("ProxyRequests On\nAllowCONNECT %d\n"
                               "<Proxy \"*\">\n    Require all granted\n</Proxy>\n",
                               httpd_tls_port(server)) });
}

static void tear_down(void)
{
    httpd_end(proxy);
    httpd_end(server);
}

static void check_delivery(const agent *a, const char *body)
{
    local_app *app = local_open(a);
    const char *message;

    local_subscribe(app, "orders");
    ck_assert_int_eq(http_once(server, "POST", "/comm/publish/orders/alice", "backend",
                               "Content-Type: application/json\r\n", body)
                         ->status,
                     201);
    message = local_message(app);
    ck_assert_str_eq(support_json(message, "data"), body);
    local_ack(app, support_json(message, "id"));
    local_close(app);
}

START_TEST(messages_come_through_a_proxy)
{
    agent *a = agent_start(&(agent_options){
        .server = server,
        .tls = _i > 0,
        .config = support_text("proxy = 127.0.0.1:%d\n", httpd_port(proxy)) });
    const char *line =
        _i > 0 ? support_text("\"CONNECT localhost:%d HTTP/1.1\" 200",
                              httpd_tls_port(server))
               : support_text("\"POST http://localhost:%d/comm/poll", httpd_port(server));

    check_delivery(a, "{\"n\":1}");
    check_delivery(a, "{\"n\":2}");
    agent_end(a);
    wait_until(httpd_access_count(proxy, line) >= 1, 10000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_proxy");
    TCase *c = tcase_create("proxy");

    support_need_httpd();
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, messages_come_through_a_proxy, 0, 2);
    suite_add_tcase(s, c);
    return support_run(s);
}
