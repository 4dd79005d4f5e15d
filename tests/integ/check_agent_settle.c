/* SPDX-License-Identifier: Apache-2.0
 * check_agent_settle.c - messages that applications put off or reject, with a
 * real agent that is also killed and started again.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

static script_server *server;
static agent *a;
static int sequence;

static void set_up(void)
{
    server = script_start();
    sequence = 0;
    a = agent_start(&(agent_options){
        .config = support_text("[server main]\nurl = %s\ndevice = test\n",
                               script_url(server)) });
    script_expect(server);
    script_nothing(server, "e-0");
    script_expect(server);
}

static void tear_down(void)
{
    if (a)
        agent_end(a);
    a = NULL;
    if (server)
        script_end(server);
    server = NULL;
}

/* The next poll says that they are committed. */
static void publish(const char *messages)
{
    script_batch(server, support_text("e-%d", ++sequence), messages);
    script_expect(server);
}

static void publish_two(void)
{
    publish(support_text("%s,%s", script_message("id1", "orders", "1"),
                         script_message("id2", "orders", "2")));
}

static void check_next(local_app *app, const char *id, const char *attempt)
{
    const char *message = local_message(app);

    ck_assert_str_eq(support_json(message, "id"), id);
    ck_assert_str_eq(support_json(message, "attempt"), attempt);
}

static void check_answer(local_app *app, const char *line, const char *answer)
{
    local_send(app, line);
    ck_assert_str_eq(local_read(app), answer);
}

static local_app *subscribe(void)
{
    local_app *app = local_open(a);

    local_subscribe(app, "orders");
    return app;
}

START_TEST(a_nacked_message_comes_again_after_its_delay)
{
    local_app *app = subscribe();
    int64_t began;

    publish_two();
    check_next(app, "id1", "1");
    check_next(app, "id2", "1");
    began = process_now_ms();
    check_answer(app, "{\"nack\":\"id1\",\"delay\":1}", "{\"nacked\":\"id1\"}");
    check_answer(app, "{\"nack\":\"id2\"}", "{\"nacked\":\"id2\"}");
    check_next(app, "id2", "2");
    check_next(app, "id1", "2");
    ck_assert_int_ge(process_now_ms() - began, 1000);
    local_ack(app, "id1");
    local_close(app);
}
END_TEST

START_TEST(a_delay_outlives_a_kill)
{
    local_app *app = subscribe();

    publish_two();
    check_next(app, "id1", "1");
    check_next(app, "id2", "1");
    check_answer(app, "{\"nack\":\"id1\",\"delay\":600}", "{\"nacked\":\"id1\"}");
    agent_kill(a);
    local_close(app);
    agent_again(a);
    app = subscribe();
    check_next(app, "id2", "2");
    ck_assert_ptr_null(local_try(app, 300));
    check_answer(app, "{\"nack\":\"id1\",\"delay\":0}", "{\"nacked\":\"id1\"}");
    check_next(app, "id1", "2");
    local_close(app);
}
END_TEST

START_TEST(a_rejected_message_never_comes_again)
{
    local_app *app = subscribe();

    publish_two();
    check_next(app, "id1", "1");
    check_next(app, "id2", "1");
    check_answer(app, "{\"reject\":\"id1\"}", "{\"rejected\":\"id1\"}");
    agent_kill(a);
    local_close(app);
    agent_again(a);
    app = subscribe();
    check_next(app, "id2", "2");
    check_answer(app, "{\"reject\":\"id1\"}", "{\"rejected\":\"id1\"}");
    local_send(app, "{\"status\":true}");
    ck_assert_str_eq(support_json(local_read(app), "status.inbox.dead"), "1");
    ck_assert_int_eq(agent_log_count(a, "went to the dead list: rejected"), 1);
    local_close(app);
}
END_TEST

START_TEST(from_a_shell_a_message_can_be_settled_that_another_has)
{
    local_app *app = subscribe(), *shell = local_open(a);

    publish_two();
    check_next(app, "id1", "1");
    check_next(app, "id2", "1");
    check_answer(shell, "{\"nack\":\"id1\"}", "{\"nacked\":\"id1\"}");
    check_next(app, "id1", "2");
    check_answer(shell, "{\"reject\":\"id1\"}", "{\"rejected\":\"id1\"}");
    check_answer(shell, "{\"ack\":\"id2\"}", "{\"acked\":\"id2\"}");
    local_close(shell);
    local_close(app);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_settle");
    TCase *c = tcase_create("settle");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_nacked_message_comes_again_after_its_delay);
    tcase_add_test(c, a_delay_outlives_a_kill);
    tcase_add_test(c, a_rejected_message_never_comes_again);
    tcase_add_test(c, from_a_shell_a_message_can_be_settled_that_another_has);
    suite_add_tcase(s, c);
    return support_run(s);
}
