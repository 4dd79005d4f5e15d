/* SPDX-License-Identifier: Apache-2.0
 * check_agent_login.c - how a real agent shows a server who it is, and whom it
 * never shows it.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define STATE_MS 10000

/* user:password in base64 */
#define OF_ALICE "Basic YWxpY2U6b3Blbg=="
#define OF_BOB   "Basic Ym9iOmNsb3NlZA=="

static script_server *server;
static agent *a;
static char directory[256];

static void set_up(void)
{
    server = script_start();
    snprintf(directory, sizeof directory, "%s", reaper_temporary());
}

static void tear_down(void)
{
    if (a)
        agent_end(a);
    a = NULL;
    script_end(server);
}

static const char *file_in(const char *name, const char *text)
{
    const char *path = support_text("%s/%s", directory, name);

    process_write_file(path, text);
    chmod(path, 0600);
    return path;
}

static void start_agent(const char *key, const char *value)
{
    a = agent_start(&(agent_options){
        .config = support_text("[server main]\nurl = %s\ndevice = test\n%s = %s\n",
                               script_url(server), key, value) });
}

static int is_state(const char *state)
{
    local_app *app = local_open(a);
    const char *found;

    local_send(app, "{\"status\":true}");
    found = support_json(local_read(app), "status.servers.0.state");
    local_close(app);
    return strcmp(found, state) == 0;
}

START_TEST(a_netrc_file_is_read_at_each_poll)
{
    const char *netrc =
        file_in("netrc", "machine elsewhere login eve password x\n"
                         "machine 127.0.0.1\n  login alice\n  password open\n");

    start_agent("netrc", netrc);
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Authorization"), OF_ALICE);
    file_in("netrc", "machine 127.0.0.1 login bob password closed\n");
    script_nothing(server, "e-0");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Authorization"), OF_BOB);
}
END_TEST

START_TEST(a_host_that_is_not_in_the_netrc_file_gets_nothing)
{
    start_agent("netrc", file_in("netrc", "machine elsewhere login eve password x\n"));
    script_expect(server);
    ck_assert_ptr_null(script_header(server, "Authorization"));
}
END_TEST

START_TEST(a_refused_netrc_file_is_tried_again_when_it_changes)
{
    start_agent("netrc",
                file_in("netrc", "machine 127.0.0.1 login bob password closed\n"));
    script_expect(server);
    script_answer(server, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n",
                  "");
    wait_until(is_state("refused"), STATE_MS);
    file_in("netrc", "machine 127.0.0.1 login alice password open\n");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Authorization"), OF_ALICE);
}
END_TEST

START_TEST(a_netrc_file_that_others_can_read_is_not_used)
{
    static const char text[] = "default login alice password open\n";

    start_agent("netrc", file_in("netrc", text));
    script_expect(server);
    chmod(file_in("netrc", text), 0640);
    script_nothing(server, "e-0");
    wait_until(is_state("secret"), STATE_MS);
    ck_assert_int_eq(agent_log_count(a, "not polled: netrc '"), 1);
    file_in("netrc", text);
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Authorization"), OF_ALICE);
}
END_TEST

/* Neither to another port, nor back to the same place. */
START_TEST(a_redirect_carries_no_credentials_anywhere)
{
    static const char *const statuses[] = { "301 Moved", "302 Found", "303 See Other",
                                            "307 Temporary", "308 Permanent" };
    script_server *other = script_start();

    start_agent("token_file", file_in("token", "secret-token\n"));
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Authorization"), "Bearer secret-token");
    script_answer(server, statuses[_i],
                  support_text("Location: %s\r\n", script_url(other)), "");
    wait_until(is_state("faulty"), STATE_MS);
    script_expect(server);
    ck_assert_ptr_nonnull(strstr(script_request_line(server), "POST /comm/poll?"));
    ck_assert(!script_try(other, 300));
    script_end(other);
}
END_TEST

/* ---- through a proxy ------------------------------------------------------ */

static void start_behind_proxy(const char *url)
{
    a = agent_start(&(agent_options){
        .config =
            support_text("[server main]\nurl = %s\ndevice = test\n"
                         "token_file = %s\nproxy = http://127.0.0.1:%d\n",
                         url, file_in("token", "secret-token\n"), script_port(server)) });
    script_expect(server);
}

START_TEST(a_proxy_is_asked_for_the_whole_url)
{
    start_behind_proxy("http://far.invalid/comm/poll");
    ck_assert_str_eq(script_request_line(server), "POST http://far.invalid/comm/poll"
                                                  "?device=test&max=500 HTTP/1.1");
    ck_assert_str_eq(script_header(server, "Host"), "far.invalid");
    script_nothing(server, "e-0");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-0");
    ck_assert(is_state("connected"));
}
END_TEST

/* What is for the server is not for the proxy between. */
START_TEST(a_proxy_that_tunnels_sees_no_credentials)
{
    start_behind_proxy("https://far.invalid:8443/comm/poll");
    ck_assert_str_eq(script_request_line(server), "CONNECT far.invalid:8443 HTTP/1.1");
    ck_assert_ptr_null(script_header(server, "Authorization"));
    ck_assert_ptr_null(strstr(script_head(server), "secret-token"));
}
END_TEST

START_TEST(a_proxy_that_refuses_is_not_asked_all_the_time)
{
    start_behind_proxy("http://far.invalid/comm/poll");
    script_answer(server, "407 Proxy Authentication Required",
                  "Proxy-Authenticate: Basic realm=\"proxy\"\r\n", "");
    wait_until(is_state("refused"), STATE_MS);
    ck_assert_int_eq(agent_log_count(a, "refused with 407"), 1);
    ck_assert(!script_try(server, 1500));
}
END_TEST

START_TEST(a_proxy_that_opens_no_tunnel_makes_it_back_off)
{
    start_behind_proxy("https://far.invalid/comm/poll");
    script_answer(server, "502 Bad Gateway",
                  "Comm-Cursor: smuggled\r\nContent-Type: application/json\r\n", "");
    wait_until(is_state("unreachable"), STATE_MS);
    script_expect(server);
    ck_assert_str_eq(script_request_line(server), "CONNECT far.invalid:443 HTTP/1.1");
    ck_assert_int_eq(agent_log_count(a, "cannot be reached"), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_login");
    TCase *c = tcase_create("login");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_netrc_file_is_read_at_each_poll);
    tcase_add_test(c, a_host_that_is_not_in_the_netrc_file_gets_nothing);
    tcase_add_test(c, a_refused_netrc_file_is_tried_again_when_it_changes);
    tcase_add_test(c, a_netrc_file_that_others_can_read_is_not_used);
    tcase_add_loop_test(c, a_redirect_carries_no_credentials_anywhere, 0, 5);
    tcase_add_test(c, a_proxy_is_asked_for_the_whole_url);
    tcase_add_test(c, a_proxy_that_tunnels_sees_no_credentials);
    tcase_add_test(c, a_proxy_that_refuses_is_not_asked_all_the_time);
    tcase_add_test(c, a_proxy_that_opens_no_tunnel_makes_it_back_off);
    suite_add_tcase(s, c);
    return support_run(s);
}
