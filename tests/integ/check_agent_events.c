/* SPDX-License-Identifier: Apache-2.0
 * check_agent_events.c - a real agent in mode stream, against a server that
 * answers by script: what it asks, what it acknowledges and when, and what it
 * does with streams that no real server would send.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATE_MS 10000

#define STREAM_HEAD                                                                      \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"                             \
    "Connection: close\r\n\r\n"

static script_server *server;
static agent *a;
static local_app *app;
static char config[1024];

static void set_up(void)
{
    server = script_start();
    snprintf(config, sizeof config,
             "[server main]\nurl = %s\ndevice = test\n"
             "mode = stream\n",
             script_url(server));
}

static void tear_down(void)
{
    if (app)
        local_close(app);
    if (a)
        agent_end(a);
    app = NULL;
    a = NULL;
    script_end(server);
}

static int logged(const char *text)
{
    return agent_log_count(a, text);
}

static const char *status(const char *path)
{
    local_app *asking = local_open(a);
    const char *value;

    local_send(asking, "{\"status\":true}");
    value = support_json(local_read(asking), support_text("status.%s", path));
    local_close(asking);
    return value;
}

static int is_state(const char *state)
{
    return strcmp(status("servers.0.state"), state) == 0;
}

static void say(const char *text)
{
    script_raw(server, text, strlen(text));
}

static int asks_for_stream(void)
{
    const char *accept = script_header(server, "Accept");

    return strncmp(script_request_line(server), "GET ", 4) == 0 && accept
           && strcmp(accept, "text/event-stream") == 0;
}

/* The next request asks for a stream; its head is sent. */
static void open_stream(void)
{
    script_expect(server);
    ck_assert(asks_for_stream());
    say(STREAM_HEAD);
}

static void start(void)
{
    a = agent_start(&(agent_options){ .config = config });
    open_stream();
}

static void subscribe(void)
{
    app = local_open(a);
    local_subscribe(app, "orders");
}

static const char *event(const char *cursor, const char *id)
{
    return support_text("id: %s\ndata: %s\n\n", cursor,
                        script_message(id, "orders", "{\"n\":1}"));
}

/* The next request acknowledges this cursor; it is answered. */
static void expect_acknowledged(const char *cursor)
{
    script_expect(server);
    ck_assert_str_eq(
        script_request_line(server),
        support_text("POST /comm/poll?device=test&after=%s HTTP/1.1", cursor));
    ck_assert_str_eq(script_header(server, "Prefer"), "return=minimal");
    script_nothing(server, NULL);
}

static void expect_message(const char *id)
{
    ck_assert_str_eq(support_json(local_message(app), "id"), id);
}

START_TEST(it_asks_for_a_stream_and_acknowledges_beside_it)
{
    long long taken;

    start();
    ck_assert_str_eq(script_request_line(server), "GET /comm/poll?device=test HTTP/1.1");
    ck_assert_ptr_null(script_header(server, "Last-Event-ID"));
    say("retry: 3000\n\n");
    wait_until(is_state("connected"), STATE_MS);
    subscribe();
    say(event("e-1", "id1"));
    say(event("e-2", "id2"));
    expect_message("id1");
    taken = process_now_ms();
    expect_message("id2");
    expect_acknowledged("e-2");
    ck_assert_int_le(process_now_ms() - taken, process_scale(1000));
    ck_assert_int_eq(logged("connected to"), 1);
}
END_TEST

START_TEST(an_event_may_come_byte_by_byte)
{
    const char *text;

    start();
    subscribe();
    for (text = event("e-1", "id1"); *text; text++)
        script_raw(server, text, 1);
    expect_message("id1");
}
END_TEST

/* What the server knows is not said again; what it may not know is, first. */
START_TEST(it_goes_on_from_where_the_inbox_stands)
{
    start();
    say(event("e-1", "id1"));
    expect_acknowledged("e-1");
    agent_kill(a);
    agent_again(a);
    expect_acknowledged("e-1");
    open_stream();
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-1");
    say("retry: 1000\n\n");
    script_cut(server);
    open_stream();
    ck_assert_str_eq(script_header(server, "Last-Event-ID"), "e-1");
    ck_assert_str_eq(status("inbox.messages"), "1");
}
END_TEST

START_TEST(a_cursor_is_opaque)
{
    start();
    say(event("a&b=%2", "id1"));
    expect_acknowledged("a%26b%3D%252");
}
END_TEST

START_TEST(a_gap_is_told_once)
{
    start();
    subscribe();
    say("event: commserver:gap\ndata: {\"apps\":{\"orders\":3}}\n\n");
    ck_assert(!local_try(app, 300));
    say(event("e-5", "id5"));
    ck_assert_str_eq(support_json(local_read(app), "gap.count"), "3");
    expect_message("id5");
    expect_acknowledged("e-5");
}
END_TEST

START_TEST(replaced_it_leaves_the_other_alone)
{
    start();
    say("retry: 60000\nevent: commserver:replaced\ndata: {}\n\n");
    wait_until(is_state("replaced"), STATE_MS);
    ck_assert_int_eq(logged("another agent uses the device name 'test'"), 1);
    ck_assert(!script_try(server, 1500));
}
END_TEST

START_TEST(the_end_of_a_stream_is_no_news)
{
    static const char *const ends[] = { "", "retry: 100\n\n", ":\n\n", "data: half" };
    long long begun, ended;

    start();
    begun = process_now_ms();
    say("retry: 60000\n\n:\n\n");
    wait_until(process_now_ms() - begun > 2100, STATE_MS);
    say(ends[_i]);
    ended = process_now_ms();
    script_cut(server);
    open_stream();
    ck_assert_int_lt(process_now_ms() - ended, process_scale(1500));
    ck_assert_int_eq(logged("server 'main'"), 1);
    ck_assert(is_state("connected"));
}
END_TEST

/* So do servers that cannot hold one. */
START_TEST(streams_that_end_at_once_are_polled_at_intervals)
{
    long long ended;

    start();
    say("retry: 1500\n\n");
    script_cut(server);
    ended = process_now_ms();
    open_stream();
    ck_assert_int_ge(process_now_ms() - ended, 1450);
    say("retry: 0\n\n");
    script_cut(server);
    ended = process_now_ms();
    open_stream();
    ck_assert_int_ge(process_now_ms() - ended, 950);
    say(event("e-1", "id1"));
    say("retry: 60000\n\n");
    script_cut(server);
    expect_acknowledged("e-1");
    open_stream();
    ck_assert_int_eq(logged("connected to"), 1);
}
END_TEST

START_TEST(a_server_without_streams_is_polled)
{
    long long answered;

    a = agent_start(&(agent_options){ .config = config });
    script_expect(server);
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    expect_acknowledged("e-1");
    script_expect(server);
    ck_assert(asks_for_stream());
    answered = process_now_ms();
    script_nothing(server, "e-1");
    script_expect(server);
    ck_assert_int_ge(process_now_ms() - answered, 2900);
    ck_assert_str_eq(status("inbox.messages"), "1");
}
END_TEST

START_TEST(refusals_and_faults_are_as_for_a_poll)
{
    static const struct {
        const char *status;
        const char *headers;
        const char *state;
    } answers[] = {
        { "401 Unauthorized", "", "refused" },
        { "403 Forbidden", "", "refused" },
        { "500 Oops", "", "faulty" },
        { "404 Not Found", "", "faulty" },
        { "503 Later", "Retry-After: 60\r\n", "busy" },
        { "302 Found", "Location: /x\r\n", "faulty" },
        { "409 Conflict", "", "replaced" },
        { "200 OK", "Content-Type: text/html\r\n", "faulty" },
    };

    a = agent_start(&(agent_options){ .config = config });
    script_expect(server);
    script_answer(server, answers[_i].status, answers[_i].headers, "");
    wait_until(is_state(answers[_i].state), STATE_MS);
    ck_assert_int_eq(logged("server 'main'"), 1);
}
END_TEST

/* The acknowledgement, too, can be refused. */
START_TEST(a_refused_acknowledgement_ends_the_stream)
{
    start();
    say(event("e-1", "id1"));
    script_expect(server);
    script_answer(server, "403 Forbidden", "", "");
    wait_until(is_state("refused"), STATE_MS);
    ck_assert(!script_try(server, 1500));
}
END_TEST

START_TEST(a_cursor_the_server_does_not_take_is_left_out)
{
    start();
    say(event("e-1", "id1"));
    script_expect(server);
    script_answer(server, "400 Bad Request", "", "");
    open_stream();
    ck_assert_ptr_null(script_header(server, "Last-Event-ID"));
}
END_TEST

START_TEST(cuts_right_after_the_head_make_it_back_off)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    int i;

    a = agent_start(&(agent_options){ .config = config });
    for (i = 0; i < 4; i++) {
        script_expect(server);
        ck_assert(asks_for_stream());
        say(head);
        say("3\r\n:\n\n\r\n");
        script_cut(server);
    }
    ck_assert_int_ge(logged("cannot be reached"), 1);
}
END_TEST

START_TEST(what_cannot_be_used_jams_nothing)
{
    start();
    subscribe();
    say("id: e-1\ndata: oops\n\nid: e-2\ndata: {\"id\":\"x\"}\n\n");
    say("event: commserver:news\ndata: x\n\nid: e-3\ndata\n\n");
    say(event("e-4", "id4"));
    expect_message("id4");
    expect_acknowledged("e-4");
    ck_assert_str_eq(status("inbox.dead"), "3");
}
END_TEST

START_TEST(an_event_above_all_bounds_jams_nothing)
{
    char piece[65536];
    int i;

    start();
    subscribe();
    memset(piece, 'x', sizeof piece);
    say("id: e-1\ndata: ");
    for (i = 0; i < 20 * 16; i++) /* 20 MB; max_message is 8 */
        script_raw(server, piece, sizeof piece);
    say("\n\n");
    say(event("e-2", "id2"));
    expect_message("id2");
    ck_assert_str_eq(status("inbox.dead"), "1");
    ck_assert_int_eq(logged("larger than the agent takes"), 1);
}
END_TEST

START_TEST(ids_that_are_no_cursors_make_it_back_off)
{
    start();
    say("id: a b\ndata: {}\n\n");
    wait_until(is_state("faulty"), STATE_MS);
    open_stream();
    ck_assert_int_eq(logged("no id is a cursor"), 1);
    ck_assert_str_eq(status("inbox.messages"), "0");
}
END_TEST

static void send_events(int from, int to)
{
    int i;

    for (i = from; i <= to; i++)
        say(event(support_text("e-%d", i), support_text("id%d", i)));
}

static int messages_kept(void)
{
    return atoi(status("inbox.messages"));
}

/* No more than a batch is taken while an acknowledgement is on its way. */
START_TEST(a_server_that_acknowledges_slowly_is_not_read_on)
{
    int kept;

    start();
    send_events(1, 600);
    script_expect(server);
    ck_assert_ptr_nonnull(strstr(script_request_line(server), "&after=e-"));
    script_switch(server, 0);
    send_events(601, 5000);
    wait_until(messages_kept() >= 1000, STATE_MS);
    ck_assert(!script_try(server, 500));
    kept = messages_kept();
    ck_assert_int_lt(kept, 3500);
    ck_assert(!script_try(server, 500));
    ck_assert_int_eq(messages_kept(), kept);
    script_switch(server, 1);
    do {
        script_nothing(server, NULL);
    } while (script_try(server, 1500));
    ck_assert_int_eq(messages_kept(), 5000);
}
END_TEST

static const char *number_event(char *out, int number, const char *data)
{
    sprintf(out,
            "id: e-%d\ndata: {\"id\":\"id%d\",\"app\":\"orders\",\"length\":%zu,"
            "\"data\":%s}\n\n",
            number, number, strlen(data), data);
    return out;
}

START_TEST(a_full_inbox_stops_the_reading_until_there_is_room)
{
    char *data = malloc(300001), *text = malloc(300200);
    int i;

    snprintf(config, sizeof config,
             "inbox_max = 1M\n[server main]\nurl = %s\ndevice = test\nmode = stream\n"
             "[app orders]\nquota = none\n",
             script_url(server));
    start();
    memset(data, 'x', 300000);
    data[0] = data[299999] = '"';
    data[300000] = '\0';
    for (i = 1; i <= 4; i++)
        say(number_event(text, i, data));
    wait_until(is_state("full"), STATE_MS);
    ck_assert_int_eq(logged("inbox_max"), 1);
    ck_assert_str_eq(status("inbox.messages"), "4");
    expect_acknowledged("e-4");
    subscribe();
    for (i = 1; i <= 4; i++)
        ck_assert_ptr_nonnull(
            strstr(local_read(app), support_text("{\"message\":{\"id\":\"id%d\"", i)));
    for (i = 1; i <= 4; i++)
        local_ack(app, support_text("id%d", i));
    wait_until(is_state("connected"), STATE_MS);
    free(data);
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_events");
    TCase *c = tcase_create("events");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, it_asks_for_a_stream_and_acknowledges_beside_it);
    tcase_add_test(c, an_event_may_come_byte_by_byte);
    tcase_add_test(c, it_goes_on_from_where_the_inbox_stands);
    tcase_add_test(c, a_cursor_is_opaque);
    tcase_add_test(c, a_gap_is_told_once);
    tcase_add_test(c, replaced_it_leaves_the_other_alone);
    tcase_add_loop_test(c, the_end_of_a_stream_is_no_news, 0, 4);
    tcase_add_test(c, streams_that_end_at_once_are_polled_at_intervals);
    tcase_add_test(c, a_server_without_streams_is_polled);
    tcase_add_loop_test(c, refusals_and_faults_are_as_for_a_poll, 0, 8);
    tcase_add_test(c, a_refused_acknowledgement_ends_the_stream);
    tcase_add_test(c, a_cursor_the_server_does_not_take_is_left_out);
    tcase_add_test(c, cuts_right_after_the_head_make_it_back_off);
    tcase_add_test(c, what_cannot_be_used_jams_nothing);
    tcase_add_test(c, an_event_above_all_bounds_jams_nothing);
    tcase_add_test(c, ids_that_are_no_cursors_make_it_back_off);
    tcase_add_test(c, a_server_that_acknowledges_slowly_is_not_read_on);
    tcase_add_test(c, a_full_inbox_stops_the_reading_until_there_is_room);
    suite_add_tcase(s, c);
    return support_run(s);
}
