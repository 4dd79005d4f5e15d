/* SPDX-License-Identifier: Apache-2.0
 * check_agent_status.c - "commclient status" on a terminal and in a pipe, with a
 * real agent.
 */
#include "support/script_server.h"
#include "support/support.h"
#include "support/terminal.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const char leave[] = "\033[?7h\033[?25h\033[?1049l";

static script_server *server;
static agent *a;
static terminal *t;

static void set_up(void)
{
    server = script_start();
    a = agent_start(&(agent_options){
        .may_fail = 1,
        .config = support_text("[server main]\nurl = %s\ndevice = test\n",
                               script_url(server)) });
    script_expect(server);
    script_nothing(server, "e-0");
    script_expect(server);
    t = NULL;
}

static void tear_down(void)
{
    if (t)
        terminal_end(t);
    agent_end(a);
    script_end(server);
}

static void run_on_terminal(const char *option, const char *variable, int columns)
{
    const char *const argv[] = { support_program("commclient/commclient"),
                                 "status",
                                 "--socket",
                                 agent_socket(a),
                                 option,
                                 NULL };
    const char *const environment[] = { "TERM=xterm", "LC_ALL=C.UTF-8", variable, NULL };

    t = terminal_start(argv, environment, columns, 24);
}

/* ---- once --------------------------------------------------------------- */

START_TEST(a_terminal_gets_colors)
{
    run_on_terminal(NULL, "NO_COLOR=", 80);
    terminal_expect(t, "\033[32mconnected");
    ck_assert_int_eq(terminal_wait(t), 0);
}
END_TEST

START_TEST(no_color_means_none)
{
    run_on_terminal(NULL, "NO_COLOR=1", 80);
    terminal_expect(t, "connected");
    ck_assert_int_eq(terminal_wait(t), 0);
    ck_assert_ptr_null(strchr(terminal_output(t), '\033'));
}
END_TEST

START_TEST(it_fits_a_narrow_terminal)
{
    const char *line;
    size_t len;

    run_on_terminal(NULL, "NO_COLOR=1", 40);
    terminal_expect(t, "connected");
    ck_assert_int_eq(terminal_wait(t), 0);
    for (line = terminal_output(t); *line; line += len + strspn(line + len, "\r\n")) {
        len = strcspn(line, "\r\n");
        ck_assert_msg(len <= 40, "%d columns: %s", (int)len, line);
    }
}
END_TEST

START_TEST(a_pipe_gets_no_colors_and_whole_lines)
{
    const char *const argv[] = { support_program("commclient/commclient"), "status",
                                 "--socket", agent_socket(a), NULL };
    process_result result = process_run(&(process_options){ .argv = argv });

    ck_assert_int_eq(result.status, 0);
    ck_assert_ptr_null(strchr(result.output, '\033'));
    ck_assert_ptr_nonnull(strstr(result.output, script_url(server)));
    process_result_clear(&result);
}
END_TEST

START_TEST(a_problem_comes_first_with_its_remedy)
{
    script_answer(server, "401 Unauthorized", "", "");
    run_on_terminal("--watch", "NO_COLOR=1", 80);
    terminal_expect(t, "! server main: refused with 401");
    terminal_expect(t, "'commclient check'");
}
END_TEST

/* ---- all the time ------------------------------------------------------- */

START_TEST(a_change_is_shown)
{
    run_on_terminal("--watch", "NO_COLOR=1", 80);
    terminal_expect(t, "0 messages, ");
    terminal_forget(t);
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    script_expect(server);
    terminal_expect(t, "1 message, ");
    terminal_expect(t, "! app orders: 1 message waits");
}
END_TEST

START_TEST(control_c_leaves_a_clean_terminal)
{
    run_on_terminal("--watch", "NO_COLOR=1", 80);
    terminal_expect(t, "connected");
    ck_assert(!terminal_echoes(t));
    terminal_type(t, "\003");
    ck_assert_int_eq(terminal_wait(t), 0);
    terminal_expect(t, leave);
    ck_assert(terminal_echoes(t));
}
END_TEST

START_TEST(q_ends_it_too)
{
    run_on_terminal("--watch", "NO_COLOR=1", 80);
    terminal_expect(t, "connected");
    terminal_type(t, "q");
    ck_assert_int_eq(terminal_wait(t), 0);
    terminal_expect(t, leave);
    ck_assert(terminal_echoes(t));
}
END_TEST

START_TEST(a_signal_leaves_a_clean_terminal)
{
    run_on_terminal("--watch", "NO_COLOR=1", 80);
    terminal_expect(t, "connected");
    terminal_resize(t, 60, 20);
    terminal_forget(t);
    terminal_expect(t, "\033[H");
    terminal_signal(t, SIGTERM);
    ck_assert_int_eq(terminal_wait(t), 0);
    terminal_expect(t, leave);
    ck_assert(terminal_echoes(t));
}
END_TEST

START_TEST(while_stopped_the_terminal_is_the_users)
{
    run_on_terminal("--watch", "NO_COLOR=1", 80);
    terminal_expect(t, "connected");
    terminal_forget(t);
    terminal_type(t, "\032");
    terminal_wait_stop(t);
    terminal_expect(t, leave);
    ck_assert(terminal_echoes(t));
    terminal_forget(t);
    terminal_signal(t, SIGCONT);
    terminal_expect(t, "connected");
    ck_assert(!terminal_echoes(t));
    terminal_type(t, "q");
    ck_assert_int_eq(terminal_wait(t), 0);
}
END_TEST

START_TEST(an_agent_may_go_and_come_back)
{
    run_on_terminal("--watch", "NO_COLOR=1", 80);
    terminal_expect(t, "connected");
    agent_stop(a);
    terminal_expect(t, "no agent runs on");
    terminal_forget(t);
    agent_again(a);
    terminal_expect(t, "SERVER");
    terminal_type(t, "\003");
    ck_assert_int_eq(terminal_wait(t), 0);
}
END_TEST

START_TEST(for_programs_each_change_is_a_line)
{
    run_on_terminal("--json", NULL, 80);
    ck_assert_int_eq(terminal_wait(t), 0);
    terminal_end(t);
    t = NULL;
    const char *const argv[] = { support_program("commclient/commclient"),
                                 "status",
                                 "--json",
                                 "--watch",
                                 "--socket",
                                 agent_socket(a),
                                 NULL };

    t = terminal_start(argv, NULL, 80, 24);
    terminal_expect(t, "\"state\":\"connected\"");
    agent_stop(a);
    terminal_expect(t, "null");
    agent_again(a);
    terminal_type(t, "\003");
    ck_assert_int_eq(terminal_wait(t), 0);
    ck_assert_ptr_null(strchr(terminal_output(t), '\033'));
}
END_TEST

START_TEST(a_pipe_is_not_drawn_on)
{
    const char *const argv[] = { support_program("commclient/commclient"),
                                 "status",
                                 "--watch",
                                 "--socket",
                                 agent_socket(a),
                                 NULL };
    process_result result = process_run(&(process_options){ .argv = argv });

    ck_assert_int_eq(result.status, 2);
    ck_assert_ptr_nonnull(strstr(result.output, "--watch needs a terminal"));
    process_result_clear(&result);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent_status");
    TCase *once = tcase_create("once"), *watch = tcase_create("watch");

    tcase_add_checked_fixture(once, set_up, tear_down);
    tcase_add_test(once, a_terminal_gets_colors);
    tcase_add_test(once, no_color_means_none);
    tcase_add_test(once, it_fits_a_narrow_terminal);
    tcase_add_test(once, a_pipe_gets_no_colors_and_whole_lines);
    tcase_add_test(once, a_problem_comes_first_with_its_remedy);
    suite_add_tcase(suite, once);
    tcase_add_checked_fixture(watch, set_up, tear_down);
    tcase_add_test(watch, a_change_is_shown);
    tcase_add_test(watch, control_c_leaves_a_clean_terminal);
    tcase_add_test(watch, q_ends_it_too);
    tcase_add_test(watch, a_signal_leaves_a_clean_terminal);
    tcase_add_test(watch, while_stopped_the_terminal_is_the_users);
    tcase_add_test(watch, an_agent_may_go_and_come_back);
    tcase_add_test(watch, for_programs_each_change_is_a_line);
    tcase_add_test(watch, a_pipe_is_not_drawn_on);
    suite_add_tcase(suite, watch);
    return support_run(suite);
}
