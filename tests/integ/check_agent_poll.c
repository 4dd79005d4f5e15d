/* SPDX-License-Identifier: Apache-2.0
 * check_agent_poll.c - a real agent against a server that answers by script:
 * what it asks, and what it does with every kind of answer.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static script_server *server;
static agent *a;
static char config[1024];

static void set_up(void)
{
    server = script_start();
    snprintf(config, sizeof config, "[server main]\nurl = %s\ndevice = test\nwait = 7\n",
             script_url(server));
}

static void tear_down(void)
{
    if (a)
        agent_end(a);
    a = NULL;
    script_end(server);
}

static void start_agent(void)
{
    a = agent_start(&(agent_options){ .config = config });
}

/* Up to the first held poll. */
static void connect_agent(const char *cursor)
{
    start_agent();
    script_expect(server);
    script_nothing(server, cursor);
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Prefer"), "wait=7");
}

static int logged(const char *text)
{
    return agent_log_count(a, text);
}

/* The status line of the agent's only server. */
static const char *state_of_server(void)
{
    local_app *app = local_open(a);
    const char *line;

    local_send(app, "{\"status\":true}");
    line = local_read(app);
    line = support_json(line, "status.servers.0.state");
    local_close(app);
    return line;
}

static int is_state(const char *state)
{
    return strcmp(state_of_server(), state) == 0;
}

static const char *status_number(const char *path)
{
    local_app *app = local_open(a);
    const char *value;

    local_send(app, "{\"status\":true}");
    value = support_json(local_read(app), support_text("status.%s", path));
    local_close(app);
    return value;
}

START_TEST(it_asks_as_the_protocol_says)
{
    start_agent();
    script_expect(server);
    ck_assert_str_eq(script_request_line(server),
                     "POST /comm/poll?device=test&max=500 HTTP/1.1");
    ck_assert_ptr_null(script_header(server, "Last-Event-ID"));
    ck_assert_ptr_null(script_header(server, "Prefer"));
    ck_assert_ptr_null(script_header(server, "Content-Type"));
    ck_assert_ptr_null(script_header(server, "Authorization"));
    ck_assert_str_eq(script_header(server, "Content-Length"), "0");
    ck_assert_str_eq(script_header(server, "Accept"), "application/json");
    script_nothing(server, "e-0");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Prefer"), "wait=7");
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-0");
    ck_assert_int_eq(logged("connected to"), 1);
    ck_assert(is_state("connected"));
}
END_TEST

START_TEST(a_query_in_the_url_stays)
{
    snprintf(config, sizeof config, "[server main]\nurl = %s?key=1\ndevice = test\n",
             script_url(server));
    start_agent();
    script_expect(server);
    ck_assert_str_eq(script_request_line(server),
                     "POST /comm/poll?key=1&device=test&max=500 HTTP/1.1");
    script_nothing(server, NULL);
    script_expect(server);
    ck_assert_int_eq(logged("key=1"), 0);
}
END_TEST

START_TEST(a_message_goes_from_poll_to_application_and_back)
{
    local_app *app;
    const char *message;

    connect_agent("e-0");
    app = local_open(a);
    local_subscribe(app, "orders");
    script_batch(server, "e-1", script_message("id1", "orders", "{\"n\":1}"));
    message = local_message(app);
    ck_assert_str_eq(support_json(message, "id"), "id1");
    ck_assert_str_eq(support_json(message, "data.n"), "1");
    ck_assert_str_eq(support_json(message, "server"), "main");
    ck_assert_str_eq(support_json(message, "attempt"), "1");
    ck_assert_str_eq(support_json(message, "from"), "backend");
    local_ack(app, "id1");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-1");
    local_close(app);
}
END_TEST

/* The very bytes of the payload arrive, and "data" is still the last. */
START_TEST(payload_bytes_pass_unchanged)
{
    static const char *const payloads[] = {
        "123456789012345678901234567890.5e-3",
        "\"\\ud800\"",
        "{\"a\":1,\"a\":2}",
        "[1 ,\t2]",
        "\"\\u0000\\/\"",
        "1.0",
        "\"\xe2\x82\xac\"",
        "-0",
    };
    local_app *app;
    const char *line, *tail;

    connect_agent("e-0");
    app = local_open(a);
    local_subscribe(app, "orders");
    script_batch(server, "e-1", script_message("id1", "orders", payloads[_i]));
    line = local_read(app);
    tail =
        support_text(",\"length\":%zu,\"data\":%s}}", strlen(payloads[_i]), payloads[_i]);
    ck_assert_uint_gt(strlen(line), strlen(tail));
    ck_assert_str_eq(line + strlen(line) - strlen(tail), tail);
    local_close(app);
}
END_TEST

START_TEST(a_cursor_is_sent_only_when_its_batch_is_committed)
{
    connect_agent("e-0");
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-1");
    agent_kill(a);
    agent_again(a);
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-1");
    ck_assert_str_eq(status_number("inbox.messages"), "1");
}
END_TEST

START_TEST(a_message_sent_again_is_given_once)
{
    local_app *app;

    connect_agent("e-0");
    app = local_open(a);
    local_subscribe(app, "orders");
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    local_message(app);
    local_ack(app, "id1");
    script_expect(server);
    script_batch(server, "f-9",
                 support_text("%s,%s", script_message("id1", "orders", "1"),
                              script_message("id2", "orders", "2")));
    ck_assert_str_eq(support_json(local_message(app), "id"), "id2");
    local_close(app);
}
END_TEST

START_TEST(a_cut_poll_is_tried_again_within_a_second_and_not_logged)
{
    long long cut;

    connect_agent("e-0");
    cut = process_now_ms();
    script_cut(server);
    script_expect(server);
    ck_assert_int_lt(process_now_ms() - cut, process_scale(1500));
    ck_assert_int_eq(logged("cannot be reached"), 0);
    script_nothing(server, "e-0");
    script_expect(server);
    ck_assert(is_state("connected"));
}
END_TEST

START_TEST(an_unreachable_server_is_told_once)
{
    connect_agent("e-0");
    do {
        script_cut(server);
        script_expect(server);
    } while (script_header(server, "Prefer") != NULL);
    ck_assert(is_state("unreachable"));
    script_cut(server);
    script_expect(server);
    ck_assert_int_eq(logged("cannot be reached"), 1);
    script_nothing(server, "e-0");
    script_expect(server);
    ck_assert_int_eq(logged("connected to"), 2);
}
END_TEST

START_TEST(faulty_answers_make_it_back_off)
{
    static const struct {
        const char *status;
        const char *headers;
        const char *body;
        const char *text;
    } answers[] = {
        { "500 Oops", "", "", "answered 500" },
        { "404 Not Found", "Content-Type: application/problem+json\r\n",
          "{\"type\":\"no-such\"}", "answered 404 no-such" },
        { "302 Found", "Location: http://127.0.0.1:1/x\r\n", "", "redirects are not" },
        { "200 OK", "Content-Type: text/html\r\n", "<html>", "answers with 'text/html'" },
        { "200 OK", "Content-Type: application/json\r\n", "{\"cursor\":", "not a batch" },
        { "418 Teapot", "", "{}", "answered 418" },
    };

    connect_agent("e-0");
    script_answer(server, answers[_i].status, answers[_i].headers, answers[_i].body);
    wait_until(is_state("faulty"), 10000);
    ck_assert_int_eq(logged(answers[_i].text), 1);
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-0");
    script_nothing(server, "e-0");
    script_expect(server);
    ck_assert(is_state("connected"));
}
END_TEST

START_TEST(retry_after_is_obeyed)
{
    static const char *const statuses[] = {
        "503 Later",
        "429 Too Fast",
        "204 No Content",
        "507 Full",
    };
    long long asked;

    connect_agent("e-0");
    asked = process_now_ms();
    script_answer(server, statuses[_i], "Retry-After: 1\r\n", "");
    script_expect(server);
    ck_assert_int_ge(process_now_ms() - asked, 995);
    script_nothing(server, "e-0");
    ck_assert_int_eq(logged("come back in 1 s"), strncmp(statuses[_i], "204", 3) != 0);
}
END_TEST

START_TEST(a_date_in_retry_after_is_obeyed)
{
    char date[64];
    time_t then = time(NULL) + 3;
    struct tm parts;
    long long asked = process_now_ms();

    connect_agent("e-0");
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&then, &parts));
    script_answer(server, "503 Later", support_text("Retry-After: %s\r\n", date), "");
    script_expect(server);
    ck_assert_int_ge(process_now_ms() - asked, 900);
}
END_TEST

START_TEST(an_empty_answer_that_was_not_held_makes_no_busy_loop)
{
    connect_agent("e-0");
    script_nothing(server, "e-0");
    ck_assert(!script_try(server, 900));
    script_expect(server);
    ck_assert_int_eq(logged("connected to"), 1);
}
END_TEST

START_TEST(a_server_that_repeats_itself_makes_no_busy_loop)
{
    int i;

    connect_agent("e-0");
    for (i = 0; i < 3; i++) {
        script_batch(server, "e-1", script_message("id1", "orders", "1"));
        script_expect(server);
    }
    ck_assert_int_eq(logged("acknowledged before"), 1);
}
END_TEST

START_TEST(refused_it_waits_for_the_secret_to_change)
{
    const char *password;

    snprintf(config, sizeof config,
             "[server main]\nurl = %s\ndevice = test\n"
             "user = alice\npassword_file = @DIR@/password\n",
             script_url(server));
    start_agent();
    password = support_text("%s/password", agent_directory(a));
    script_expect(server);
    ck_assert_ptr_nonnull(script_header(server, "Authorization"));
    script_answer(server, "401 Unauthorized", "WWW-Authenticate: Basic realm=\"x\"\r\n",
                  "");
    wait_until(is_state("refused"), 10000);
    ck_assert(!script_try(server, 1500));
    process_write_file(password, "changed\n");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Authorization"),
                     "Basic YWxpY2U6Y2hhbmdlZA==");
    script_nothing(server, "e-0");
    script_expect(server);
    ck_assert_int_eq(logged("refused with 401"), 1);
    ck_assert_int_eq(logged("changed\n"), 0);
}
END_TEST

START_TEST(a_secret_that_others_can_read_is_not_used)
{
    const char *password;

    snprintf(config, sizeof config,
             "[server main]\nurl = %s\ndevice = test\nwait = 7\n"
             "token_file = @DIR@/password\n",
             script_url(server));
    start_agent();
    password = support_text("%s/password", agent_directory(a));
    script_expect(server);
    ck_assert_ptr_nonnull(strstr(script_header(server, "Authorization"), "Bearer "));
    chmod(password, 0644);
    script_nothing(server, "e-0");
    wait_until(is_state("secret"), 10000);
    ck_assert_int_eq(logged("not polled: token_file '"), 1);
    chmod(password, 0600);
    script_expect(server);
}
END_TEST

START_TEST(replaced_it_leaves_the_other_alone)
{
    connect_agent("e-0");
    script_answer(server, "409 Conflict", "Content-Type: application/problem+json\r\n",
                  "{\"type\":\"replaced\",\"status\":409}");
    wait_until(is_state("replaced"), 10000);
    ck_assert_int_eq(logged("another agent uses the device name 'test'"), 1);
    ck_assert(!script_try(server, 1500));
}
END_TEST

START_TEST(a_cursor_the_server_does_not_take_is_left_out)
{
    connect_agent("bad-cursor");
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "bad-cursor");
    script_answer(server, "400 Bad Request", "", "");
    script_expect(server);
    ck_assert_ptr_null(script_header(server, "Last-Event-ID"));
    script_batch(server, "g-1", script_message("id1", "orders", "1"));
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "g-1");
}
END_TEST

START_TEST(unusable_messages_go_to_the_dead_list)
{
    local_app *app;

    connect_agent("e-0");
    app = local_open(a);
    local_subscribe(app, "orders");
    script_batch(server, "e-4",
                 support_text("{\"id\":1},{\"id\":\"a\",\"app\":\"/\",\"length\":1,"
                              "\"data\":1},7,%s",
                              script_message("id1", "orders", "1")));
    ck_assert_str_eq(support_json(local_message(app), "id"), "id1");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-4");
    ck_assert_str_eq(status_number("inbox.dead"), "3");
    ck_assert_int_eq(logged("goes to the dead list"), 3);
    local_close(app);
}
END_TEST

/* No batch at all: the message in it is asked for alone, then passed by. */
START_TEST(an_answer_that_stays_malformed_does_not_jam_the_queue)
{
    static const char broken[] =
        "{\"cursor\":\"e-1\",\"messages\":[{\"id\":\"a\",\"data\":oops}]}";

    connect_agent("e-0");
    script_answer(server, "200 OK", "Content-Type: application/json\r\n", broken);
    script_expect(server);
    ck_assert_ptr_nonnull(strstr(script_request_line(server), "max=1 "));
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-0");
    script_answer(server, "200 OK", "Content-Type: application/json\r\n", broken);
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-1");
    ck_assert_str_eq(status_number("inbox.dead"), "1");
}
END_TEST

static void send_large(const char *cursor, size_t len)
{
    char piece[65536];
    const char *head =
        support_text("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                     "Connection: close\r\n\r\n"
                     "{\"cursor\":\"%s\",\"messages\":[\"",
                     cursor);

    memset(piece, 'x', sizeof piece);
    script_raw(server, head, strlen(head));
    for (; len > 0; len -= sizeof piece)
        script_raw(server, piece, sizeof piece);
    script_cut(server);
}

START_TEST(an_answer_too_large_does_not_jam_the_queue)
{
    connect_agent("e-0");
    send_large("e-1", 33u << 20);
    script_expect(server);
    ck_assert_ptr_nonnull(strstr(script_request_line(server), "max=1 "));
    send_large("e-1", 33u << 20);
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-1");
    ck_assert_str_eq(status_number("inbox.dead"), "1");
    ck_assert_int_eq(logged("larger than the agent takes"), 2);
}
END_TEST

START_TEST(a_header_cannot_smuggle_a_cursor)
{
    connect_agent("e-0");
    script_answer(server, "204 No Content", "Comm-Cursor: a b\r\n", "");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-0");
}
END_TEST

static void send_many(int from, int count)
{
    char *many = malloc((size_t)count * 256);
    size_t len = 0;
    int i;

    for (i = from; i < from + count; i++)
        len += (size_t)sprintf(many + len, "%s%s", i > from ? "," : "",
                               script_message(support_text("id%d", i), "orders", "1"));
    script_batch(server, support_text("e-%d", from), many);
    free(many);
}

START_TEST(a_full_inbox_stops_the_polls_until_there_is_room)
{
    local_app *app;
    int count, i;

    snprintf(config, sizeof config,
             "inbox_max = 1M\n[server main]\nurl = %s\n"
             "device = test\nwait = 7\n[app orders]\nwindow = 10000\nquota = none\n",
             script_url(server));
    start_agent();
    for (count = 0; script_try(server, 1500); count += 400)
        send_many(count, 400);
    ck_assert_int_gt(count, 2000);
    ck_assert(is_state("full"));
    ck_assert_int_eq(logged("inbox_max"), 1);
    app = local_open(a);
    local_subscribe(app, "orders");
    for (i = 0; i < count; i++)
        ck_assert_str_eq(support_json(local_message(app), "id"), support_text("id%d", i));
    for (i = 0; i < count; i++)
        local_send(app, support_text("{\"ack\":\"id%d\"}", i));
    script_expect(server);
    ck_assert_str_eq(script_header(server, "Last-Event-ID"),
                     support_text("e-%d", count - 400));
    local_close(app);
}
END_TEST

static void add_answers(TCase *c)
{
    tcase_add_loop_test(c, faulty_answers_make_it_back_off, 0, 6);
    tcase_add_loop_test(c, retry_after_is_obeyed, 0, 4);
    tcase_add_test(c, a_date_in_retry_after_is_obeyed);
    tcase_add_test(c, an_empty_answer_that_was_not_held_makes_no_busy_loop);
    tcase_add_test(c, a_server_that_repeats_itself_makes_no_busy_loop);
    tcase_add_test(c, refused_it_waits_for_the_secret_to_change);
    tcase_add_test(c, a_secret_that_others_can_read_is_not_used);
    tcase_add_test(c, replaced_it_leaves_the_other_alone);
    tcase_add_test(c, a_cursor_the_server_does_not_take_is_left_out);
    tcase_add_test(c, unusable_messages_go_to_the_dead_list);
    tcase_add_test(c, an_answer_that_stays_malformed_does_not_jam_the_queue);
    tcase_add_test(c, an_answer_too_large_does_not_jam_the_queue);
    tcase_add_test(c, a_header_cannot_smuggle_a_cursor);
    tcase_add_test(c, a_full_inbox_stops_the_polls_until_there_is_room);
}

int main(void)
{
    Suite *s = suite_create("agent_poll");
    TCase *c = tcase_create("poll");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, it_asks_as_the_protocol_says);
    tcase_add_test(c, a_query_in_the_url_stays);
    tcase_add_test(c, a_message_goes_from_poll_to_application_and_back);
    tcase_add_loop_test(c, payload_bytes_pass_unchanged, 0, 8);
    tcase_add_test(c, a_cursor_is_sent_only_when_its_batch_is_committed);
    tcase_add_test(c, a_message_sent_again_is_given_once);
    tcase_add_test(c, a_cut_poll_is_tried_again_within_a_second_and_not_logged);
    tcase_add_test(c, an_unreachable_server_is_told_once);
    add_answers(c);
    suite_add_tcase(s, c);
    return support_run(s);
}
