/* SPDX-License-Identifier: Apache-2.0
 * check_agent_slow.c - deadlines of the agent that take their seconds.
 *
 * A program of its own, so that it runs beside the others.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <string.h>

static script_server *server;
static agent *a;

static void set_up(void)
{
    server = script_start();
    a = agent_start(&(agent_options){
        .config = support_text("[server main]\nurl = %s\ndevice = test\nwait = 9\n",
                               script_url(server)) });
    script_expect(server);
}

static void tear_down(void)
{
    agent_end(a);
    script_end(server);
}

/* Granted one second, whatever was asked for: after eleven it gives up on a
 * server that says nothing, and asks once more. */
START_TEST(a_silent_server_is_given_up_after_the_wait_and_ten_seconds)
{
    long long asked;

    script_answer(server, "204 No Content",
                  "Comm-Cursor: e-0\r\nPreference-Applied: wait=1\r\n", "");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Prefer"), "wait=9");
    asked = process_now_ms();
    ck_assert(!script_try(server, 10500));
    script_expect(server);
    ck_assert_int_lt(process_now_ms() - asked, process_scale(13500));
    ck_assert_int_eq(agent_log_count(a, "cannot be reached"), 0);
}
END_TEST

/* While one server says nothing, applications are served. */
START_TEST(a_silent_server_holds_nobody_up)
{
    local_app *app;

    script_nothing(server, "e-0");
    script_expect(server);
    script_raw(server, "HTTP/1.1 200 OK\r\nContent-Ty", 27);
    app = local_open(a);
    local_subscribe(app, "orders");
    local_send(app, "{\"status\":true}");
    ck_assert_str_eq(support_json(local_read(app), "status.servers.0.state"),
                     "connected");
    local_close(app);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_slow");
    TCase *c = tcase_create("deadlines");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_silent_server_is_given_up_after_the_wait_and_ten_seconds);
    tcase_add_test(c, a_silent_server_holds_nobody_up);
    suite_add_tcase(s, c);
    return support_run(s);
}
