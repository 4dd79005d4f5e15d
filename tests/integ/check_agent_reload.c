/* SPDX-License-Identifier: Apache-2.0
 * check_agent_reload.c - a running agent reads its configuration again.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

static script_server *server, *second;
static agent *a;

#define SECTION   "[server main]\nurl = %s\ndevice = test\nwait = 7\n"
#define READ_MS   10000
#define READ_LINE "is read again: servers: "

static void expect_held(script_server *s)
{
    script_expect(s);
    script_nothing(s, "e-0");
    script_expect(s);
    ck_assert_ptr_nonnull(script_header(s, "Prefer"));
}

static void set_up(void)
{
    server = script_start();
    second = script_start();
    a = agent_start(
        &(agent_options){ .config = support_text(SECTION, script_url(server)) });
    expect_held(server);
}

static void tear_down(void)
{
    agent_end(a);
    script_end(server);
    script_end(second);
}

static const char *own_section(void)
{
    return support_text("[agent]\nsocket = %s\ninbox = %s/inbox.db\n", agent_socket(a),
                        agent_directory(a));
}

/* Write the file anew, send SIGHUP and wait for a line that holds `said`. */
static void reload_all(const char *text, const char *said)
{
    int before = agent_log_count(a, said);

    process_write_file(agent_config(a), text);
    kill(agent_pid(a), SIGHUP);
    wait_until(agent_log_count(a, said) > before, READ_MS);
}

static void reload(const char *sections, const char *said)
{
    reload_all(support_text("%s%s", own_section(), sections), said);
}

static const char *status(const char *path)
{
    local_app *app = local_open(a);
    const char *value;

    local_send(app, "{\"status\":true}");
    value = support_json(local_read(app), support_text("status.%s", path));
    local_close(app);
    return value;
}

/* The message comes to this application; it is acknowledged. */
static void expect_message(local_app *app, const char *id)
{
    ck_assert_str_eq(support_json(local_message(app), "id"), id);
    local_ack(app, id);
}

START_TEST(an_unchanged_server_keeps_its_poll)
{
    local_app *app = local_open(a);

    local_subscribe(app, "orders");
    reload(support_text("# elsewhere in the file\n" SECTION "[app orders]\nwindow = 5\n",
                        script_url(server)),
           READ_LINE "1 unchanged, 0 changed, 0 new, 0 removed");
    ck_assert(!script_try(server, 200));
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    expect_message(app, "id1");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-1");
    local_close(app);
}
END_TEST

START_TEST(a_changed_server_is_polled_anew_from_its_cursor)
{
    reload(support_text("[server main]\nurl = %s\ndevice = other\n", script_url(server)),
           READ_LINE "0 unchanged, 1 changed, 0 new, 0 removed");
    script_expect(server);
    ck_assert_ptr_nonnull(strstr(script_request_line(server), "device=other&"));
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-0");
    script_nothing(server, "e-0");
    script_expect(server);
    ck_assert_str_eq(status("servers.0.device"), "other");
}
END_TEST

START_TEST(servers_come_and_go)
{
    reload(support_text(SECTION "[server more]\nurl = %s\n", script_url(server),
                        script_url(second)),
           READ_LINE "1 unchanged, 0 changed, 1 new, 0 removed");
    expect_held(second);
    ck_assert_str_eq(status("servers.1.name"), "more");
    reload(support_text("[server more]\nurl = %s\n", script_url(second)),
           READ_LINE "1 unchanged, 0 changed, 0 new, 1 removed");
    ck_assert_str_eq(status("servers.0.name"), "more");
    ck_assert_str_eq(status("servers.0.state"), "connected");
    ck_assert_ptr_null(status("servers.1.name"));
    ck_assert(!script_try(second, 200));
}
END_TEST

START_TEST(who_may_feed_an_application_is_changed)
{
    const char *both = support_text(SECTION "[server more]\nurl = %s\n",
                                    script_url(server), script_url(second));
    local_app *app = local_open(a);

    local_subscribe(app, "orders");
    reload(support_text("%s[app orders]\nservers = main\n", both), READ_LINE);
    expect_held(second);
    script_batch(second, "e-1", script_message("id1", "orders", "1"));
    script_expect(second);
    ck_assert_str_eq(status("inbox.dead"), "1");
    reload(support_text("%s[app orders]\nservers = more\n", both), READ_LINE);
    script_batch(second, "e-2", script_message("id2", "orders", "1"));
    expect_message(app, "id2");
    local_close(app);
}
END_TEST

/* Files that are not right, and what is said of each. */
static const char *const bad[][2] = {
    { "[server main]\nurl = nonsense\n", "commclient.conf:5: url is 'nonsense'" },
    { "", "there is no [server NAME]" },
    { "[server main]\nurl = https://x/\nca = nofile\n", "cannot read ca '" },
    { "[server main]\nurl = https://x/\ntoken_file = nofile\n",
      "cannot read token_file '" },
};

START_TEST(a_file_that_is_not_right_changes_nothing)
{
    reload(bad[_i][0], "configuration stays as it was: ");
    ck_assert_int_eq(agent_log_count(a, bad[_i][1]), 1);
    ck_assert(!script_try(server, 200));
    script_nothing(server, "e-1");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-1");
    unlink(agent_config(a));
    kill(agent_pid(a), SIGHUP);
    wait_until(agent_log_count(a, "configuration stays as it was: ") == 2, READ_MS);
    ck_assert_str_eq(status("servers.0.state"), "connected");
}
END_TEST

START_TEST(socket_inbox_and_longest_line_stay)
{
    const char *text = support_text(
        "[agent]\nsocket = other\ninbox = other.db\nmax_message = 20M\ninbox_max = 2M\n"
        "" SECTION,
        script_url(server));

    reload_all(text, "stay as they are until a restart");
    wait_until(agent_log_count(a, READ_LINE "1 unchanged") == 1, READ_MS);
    ck_assert_str_eq(status("inbox.max"), "2097152");
    ck_assert_ptr_nonnull(strstr(status("inbox.path"), "/inbox.db"));
    ck_assert_int_ne(access(support_text("%s/other", agent_directory(a)), F_OK), 0);
}
END_TEST

/* After many of them the agent still ends in order and removes its socket. */
START_TEST(again_and_again)
{
    int i;

    for (i = 0; i < 20; i++) {
        reload(support_text("[server main]\nurl = %s\ndevice = test%d\n",
                            script_url(server), i),
               READ_LINE);
        expect_held(server);
    }
    agent_stop(a);
    ck_assert_int_ne(access(agent_socket(a), F_OK), 0);
    agent_again(a);
    script_expect(server);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_reload");
    TCase *c = tcase_create("reload");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, an_unchanged_server_keeps_its_poll);
    tcase_add_test(c, a_changed_server_is_polled_anew_from_its_cursor);
    tcase_add_test(c, servers_come_and_go);
    tcase_add_test(c, who_may_feed_an_application_is_changed);
    tcase_add_loop_test(c, a_file_that_is_not_right_changes_nothing, 0,
                        (int)(sizeof bad / sizeof *bad));
    tcase_add_test(c, socket_inbox_and_longest_line_stay);
    tcase_add_test(c, again_and_again);
    suite_add_tcase(s, c);
    return support_run(s);
}
