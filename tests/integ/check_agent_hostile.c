/* SPDX-License-Identifier: Apache-2.0
 * check_agent_hostile.c - applications and servers that do what they can to make
 * the agent grow, to hold others up, or to fill the log.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BIG   900000 /* bytes of a large message                             */
#define SHOWS 200    /* times that it is asked for in one go                 */
#define LINES 5000   /* in one go, all wrong                                 */
#define APPS  9000   /* that one server names                                */

static script_server *server;
static agent *a;
static local_app *app;

static void set_up(void)
{
    server = script_start();
    a = agent_start(&(agent_options){
        .config = support_text("max_message = 1M\ninbox_max = 64M\n"
                               "[server main]\nurl = %s\ndevice = test\n",
                               script_url(server)) });
    script_expect(server);
    script_nothing(server, "e-0");
    script_expect(server);
    app = local_open(a);
}

static void tear_down(void)
{
    local_close(app);
    agent_end(a);
    script_end(server);
}

/* ---- applications ---------------------------------------------------- */

static void publish_big(void)
{
    char *data = malloc(BIG + 3), *message = malloc(BIG + 200);

    memset(data, 'x', BIG + 2);
    data[0] = data[BIG + 1] = '"';
    data[BIG + 2] = '\0';
    sprintf(message, "{\"id\":\"big\",\"app\":\"orders\",\"length\":%d,\"data\":%s}",
            BIG + 2, data);
    script_batch(server, "e-1", message);
    script_expect(server);
    free(data);
    free(message);
}

/* What is asked for in one go, and not read, is not written in one go. */
START_TEST(long_answers_that_nobody_reads_take_no_memory)
{
    local_app *other;
    long before;
    int i;

    publish_big();
    local_send(app, "{\"reject\":\"big\"}");
    ck_assert_str_eq(local_read(app), "{\"rejected\":\"big\"}");
    before = process_memory(agent_pid(a));
    local_send_often(app, "{\"dead\":{\"show\":\"big\"}}", SHOWS);
    other = local_open(a);
    for (i = 0; i < 3; i++) {
        local_send(other, "{\"status\":true}");
        ck_assert_ptr_nonnull(strstr(local_read(other), "\"status\""));
    }
    ck_assert_int_lt(process_memory(agent_pid(a)) - before, (long)SHOWS * BIG / 3);
    local_close(other);
    for (i = 0; i < SHOWS; i++)
        ck_assert_int_gt(strlen(local_read(app)), BIG);
}
END_TEST

/* However many turns they take, lines are obeyed in order, the last ones before
 * the end of input, too. */
START_TEST(many_lines_in_one_go_are_all_answered_in_order)
{
    char *lines = malloc(LINES * 32), *at = lines;
    const char *line;
    int i;

    for (i = 0; i < LINES; i++)
        at += sprintf(at, "{\"ack\":\"unknown%d\"}\n", i);
    local_send_bytes(app, lines, at - lines);
    shutdown(local_socket(app), SHUT_WR);
    free(lines);
    for (i = 0; i < LINES; i++) {
        line = local_read(app);
        ck_assert_str_eq(support_json(line, "error.id"), support_text("unknown%d", i));
    }
    ck_assert(local_closed(app, 10000));
}
END_TEST

/* ---- servers --------------------------------------------------------- */

static void answer_gap(int number)
{
    const char *body = support_text("{\"cursor\":\"e-%d\",\"gap\":{\"apps\":{\"a\":1}},"
                                    "\"messages\":[{\"id\":\"i%d\"}]}",
                                    number, number);

    script_answer(server, "200 OK", "Content-Type: application/json\r\n", body);
    script_expect(server);
}

START_TEST(a_server_cannot_fill_the_log)
{
    int i;

    for (i = 1; i <= 80; i++)
        answer_gap(i);
    ck_assert_int_ge(agent_log_count(a, "messages are missing"), 1);
    ck_assert_int_le(agent_log_count(a, "messages are missing"), 40);
    ck_assert_int_ge(agent_log_count(a, "goes to the dead list"), 1);
    ck_assert_int_le(agent_log_count(a, "goes to the dead list"), 40);
    ck_assert_int_eq(agent_log_count(a, "are left out for a minute"), 2);
}
END_TEST

START_TEST(a_server_that_names_many_applications_makes_no_line_too_long)
{
    char *messages = malloc(APPS * 128), *at = messages;
    const char *line;
    int i;

    for (i = 0; i < APPS; i++)
        at += sprintf(at, "%s{\"id\":\"i%d\",\"app\":\"%040d\",\"length\":1,\"data\":1}",
                      i > 0 ? "," : "", i, i);
    script_batch(server, "e-1", messages);
    script_expect(server);
    local_send(app, "{\"status\":true}");
    line = local_read(app);
    ck_assert_int_le(strlen(line), (1 << 20) + 4096);
    ck_assert_str_eq(support_json(line, "status.inbox.messages"),
                     support_text("%d", APPS));
    ck_assert_ptr_nonnull(support_json(line, "status.apps.0.name"));
    free(messages);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_hostile");
    TCase *c = tcase_create("agent_hostile");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, long_answers_that_nobody_reads_take_no_memory);
    tcase_add_test(c, many_lines_in_one_go_are_all_answered_in_order);
    tcase_add_test(c, a_server_cannot_fill_the_log);
    tcase_add_test(c, a_server_that_names_many_applications_makes_no_line_too_long);
    suite_add_tcase(s, c);
    return support_run(s);
}
