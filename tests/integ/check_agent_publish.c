/* SPDX-License-Identifier: Apache-2.0
 * check_agent_publish.c - messages of local applications on their way up: a
 * real agent against a server that answers by script, and against httpd.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static script_server *polls, *server;
static agent *a;
static local_app *app;

#define SECTION "[server main]\nurl = %s\ndevice = test\nwait = 50\npublish = %s\n"
#define TAKEN   "{\"id\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"state\":\"queued\"}"

static const char *publish_url(const script_server *s)
{
    return support_text("http://127.0.0.1:%d/comm/publish", script_port(s));
}

static void start_agent(const char *more)
{
    a = agent_start(
        &(agent_options){ .config = support_text(SECTION "%s", script_url(polls),
                                                 publish_url(server), more) });
    script_expect(polls);
    script_nothing(polls, "e-0");
    app = local_open(a);
}

/* For an agent that stopped, or is told to read it again. */
static void write_config(const char *of_agent, const char *sections)
{
    process_write_file(agent_config(a),
                       support_text("[agent]\nsocket = %s\ninbox = %s/inbox.db\n%s%s",
                                    agent_socket(a), agent_directory(a), of_agent,
                                    sections));
}

static void set_up_servers(void)
{
    polls = script_start();
    server = script_start();
}

static void set_up(void)
{
    set_up_servers();
    start_agent("");
}

static void tear_down(void)
{
    if (app)
        local_close(app);
    app = NULL;
    agent_end(a);
    script_end(polls);
    script_end(server);
}

static void publish(const char *members)
{
    local_send(app, support_text("{\"publish\":{%s}}", members));
}

/* The next line is {"WHAT":{...}}; its member. */
static const char *read_line(const char *what, const char *member)
{
    const char *line = local_read(app);
    const char *value = support_json(line, what);

    ck_assert_msg(value != NULL, "'%s' does not come, but %s", what, line);
    value = support_json(line, support_text("%s.%s", what, member));
    return value ? value : "";
}

/* Publish and wait until it is on the disk. Returns its key. */
static const char *spool(const char *members)
{
    publish(members);
    return read_line("spooled", "key");
}

static const char *sent_key(void)
{
    const char *key = script_header(server, "Idempotency-Key");

    ck_assert_ptr_nonnull(key);
    ck_assert_uint_eq(strlen(key), 34);
    ck_assert(key[0] == '"' && key[33] == '"');
    return support_text("%.32s", key + 1);
}

static void take(void)
{
    script_answer(server, "201 Created", "Content-Type: application/json\r\n", TAKEN);
}

static void refuse(const char *status, const char *headers, const char *type)
{
    script_answer(server, status,
                  support_text("Content-Type: application/problem+json\r\n%s", headers),
                  support_text("{\"type\":\"%s\",\"detail\":\"as told\"}", type));
}

static const char *status(const char *path)
{
    local_app *asking = local_open(a);
    const char *value;

    local_send(asking, "{\"status\":true}");
    value = support_json(local_read(asking), support_text("status.%s", path));
    local_close(asking);
    return value ? value : "";
}

/* ---- what is sent ------------------------------------------------------ */

START_TEST(a_message_goes_up_as_the_protocol_says)
{
    const char *key = spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":{\"n\":1},"
                            "\"ttl\":60,\"topic\":\"t_1\",\"urgency\":\"high\","
                            "\"receipt\":true,\"ref\":\"r\\u0031\\\"\"");

    ck_assert_uint_eq(strlen(key), 32);
    script_expect(server);
    ck_assert_str_eq(script_request_line(server),
                     "POST /comm/publish/orders/bob HTTP/1.1");
    ck_assert_str_eq(sent_key(), key);
    ck_assert_str_eq(script_header(server, "Content-Type"), "application/json");
    ck_assert_str_eq(script_header(server, "TTL"), "60");
    ck_assert_str_eq(script_header(server, "Topic"), "t_1");
    ck_assert_str_eq(script_header(server, "Urgency"), "high");
    ck_assert_str_eq(script_header(server, "Prefer"), "respond-async");
    ck_assert_ptr_null(script_header(server, "Expect"));
    ck_assert_ptr_null(script_header(server, "Authorization"));
    ck_assert_str_eq(script_body(server), "{\"n\":1}");
    take();
    ck_assert_str_eq(local_read(app),
                     support_text("{\"published\":{\"key\":\"%s\",\"ref\":\"r1\\\"\","
                                  "\"id\":\"AAAAAAAAAAAAAAAAAAAAAA\","
                                  "\"state\":\"queued\"}}",
                                  key));
    ck_assert_str_eq(status("spool.messages"), "0");
}
END_TEST

START_TEST(what_is_not_given_is_not_sent)
{
    local_subscribe(app, "orders");
    spool("\"to\":\"bob\",\"data\":1,\"unknown\":[{}]");
    script_expect(server);
    ck_assert_str_eq(script_request_line(server),
                     "POST /comm/publish/orders/bob HTTP/1.1");
    ck_assert_ptr_null(script_header(server, "TTL"));
    ck_assert_ptr_null(script_header(server, "Topic"));
    ck_assert_ptr_null(script_header(server, "Urgency"));
    ck_assert_ptr_null(script_header(server, "Prefer"));
    take();
    ck_assert_str_eq(read_line("published", "ref"), "");
}
END_TEST

static const char *const receivers[][2] = {
    { "\"to\":\"bob\"", "/bob" },
    { "\"to\":\"bob/phone\"", "/bob/phone" },
    { "\"to\":[\"bob/phone\"]", "/bob/phone" },
    { "\"to\":\"j\xc3\xbcrgen@x.org\"", "/j%C3%BCrgen%40x.org" },
    { "\"to\":\"CN=A B?#%&+\"", "/CN%3DA%20B%3F%23%25%26%2B" },
    { "\"to\":[\"a\",\"b/d1\",\"c&d\"]", "?to=a&to=b/d1&to=c%26d" },
    { "\"group\":\"sales\"", "/-/groups/sales" },
    { "\"all\":true", "/-/all" },
};

START_TEST(receivers_go_into_the_url)
{
    spool(support_text("\"app\":\"orders\",\"data\":1,%s", receivers[_i][0]));
    script_expect(server);
    ck_assert_str_eq(
        script_request_line(server),
        support_text("POST /comm/publish/orders%s HTTP/1.1", receivers[_i][1]));
    take();
    read_line("published", "id");
}
END_TEST

static const char *const bodies[][3] = {
    { "\"data\":123456789012345678901234567890.50e-3", "application/json",
      "123456789012345678901234567890.50e-3" },
    { "\"data\": {\"a\":1, \"a\":[ ]} ", "application/json", "{\"a\":1, \"a\":[ ]}" },
    { "\"data\":\"hi\"", "application/json", "\"hi\"" },
    { "\"data\":\"\\ud800\",\"type\":\"application/x+json; v=1\"",
      "application/x+json; v=1", "\"\\ud800\"" },
    { "\"data\":\"h\\u00e9\\n\\\"\\/\",\"type\":\"text/plain\"", "text/plain",
      "h\xc3\xa9\n\"/" },
    { "\"data\":\"\",\"type\":\"text/plain\"", "text/plain", "" },
    { "\"data\":\"aGkh\",\"base64\":true", NULL, "hi!" },
    { "\"data\":\"\\/\\/4=\",\"base64\":true,\"type\":\"image/png\"", "image/png",
      "\xff\xfe" },
    { "\"data\":\"e30=\",\"base64\":true,\"type\":\"application/json\"",
      "application/json", "{}" },
    { "\"data\":null", "application/json", "null" },
};

START_TEST(the_payload_is_sent_as_it_is)
{
    const char *type;

    spool(support_text("\"app\":\"orders\",\"to\":\"bob\",%s", bodies[_i][0]));
    script_expect(server);
    type = script_header(server, "Content-Type");
    if (bodies[_i][1])
        ck_assert_str_eq(type, bodies[_i][1]);
    else
        ck_assert_ptr_null(type);
    ck_assert_str_eq(script_body(server), bodies[_i][2]);
    take();
    read_line("published", "id");
}
END_TEST

#define TO "\"app\":\"orders\",\"to\":\"bob\",\"data\":1,"
#define LONG                                                                             \
    "a1234567890123456789012345678901234567890123456789012345678901234567890123456789"   \
    "a1234567890123456789012345678901234567890123456789012345678901234567890123456789"   \
    "a1234567890123456789012345678901234567890123456789012345678901234567890123456789"   \
    "a1234567890123456789012345678901234567890123456789012345678901234567890123456789"

static const char *const wrong[][2] = {
    { "\"app\":\"a/b\",\"to\":\"bob\",\"data\":1", "bad-name" },
    { "\"app\":7,\"to\":\"bob\",\"data\":1", "bad-name" },
    { "\"to\":\"bob\",\"data\":1", "no-app" },
    { "\"app\":\"a\",\"data\":1", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":\"\"", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":\"-\"", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":\"..\"", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":\"a/b/c\"", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":\"a/\"", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":\"a\\r\\nX: y\"", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":\"" LONG "\"", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":[]", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":[\"a\",7]", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":{}", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":\"a\",\"group\":\"g\"", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"to\":\"a\",\"all\":true", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"all\":false", "bad-receiver" },
    { "\"app\":\"a\",\"data\":1,\"group\":\"g/h\"", "bad-receiver" },
    { "\"app\":\"a\",\"to\":\"b\"", "bad-data" },
    { "\"app\":\"a\",\"to\":\"b\",\"data\":1,\"base64\":true", "bad-data" },
    { "\"app\":\"a\",\"to\":\"b\",\"data\":\"a\",\"base64\":true", "bad-data" },
    { "\"app\":\"a\",\"to\":\"b\",\"data\":\"ab==cd==\",\"base64\":true", "bad-data" },
    { "\"app\":\"a\",\"to\":\"b\",\"data\":\"YR==\",\"base64\":true", "bad-data" },
    { "\"app\":\"a\",\"to\":\"b\",\"data\":{},\"type\":\"text/plain\"", "bad-data" },
    { "\"app\":\"a\",\"to\":\"b\",\"data\":\"\\u0000\",\"type\":\"x\"", "bad-data" },
    { TO "\"base64\":1", "bad-command" },
    { TO "\"receipt\":\"yes\"", "bad-command" },
    { TO "\"type\":\"\"", "bad-type" },
    { TO "\"type\":\"a\\r\\nX: y\"", "bad-type" },
    { TO "\"type\":\"" LONG "\"", "bad-type" },
    { TO "\"type\":null", "bad-type" },
    { TO "\"ttl\":-1", "bad-ttl" },
    { TO "\"ttl\":1.5", "bad-ttl" },
    { TO "\"ttl\":\"60\"", "bad-ttl" },
    { TO "\"ttl\":2147483648", "bad-ttl" },
    { TO "\"topic\":\"\"", "bad-topic" },
    { TO "\"topic\":\"a b\"", "bad-topic" },
    { TO "\"topic\":\"a23456789012345678901234567890123\"", "bad-topic" },
    { TO "\"urgency\":\"urgent\"", "bad-urgency" },
    { TO "\"urgency\":1", "bad-urgency" },
    { TO "\"server\":\"other\"", "no-server" },
    { TO "\"server\":[]", "no-server" },
};

/* The error says of which message it speaks; the connection stays. */
START_TEST(bad_input_is_refused)
{
    publish(support_text("%s,\"ref\":\"r1\"", wrong[_i][0]));
    ck_assert_str_eq(read_line("error", "code"), wrong[_i][1]);
    publish(support_text("\"ref\":\"r2\",%s", wrong[_i][0]));
    ck_assert_str_eq(read_line("error", "ref"), "r2");
    ck_assert_str_eq(status("spool.messages"), "0");
}
END_TEST

START_TEST(a_bad_ref_is_refused)
{
    publish(TO "\"ref\":\"a2345678901234567890123456789012345678901234567890123456789012"
               "345\"");
    ck_assert_str_eq(read_line("error", "code"), "bad-ref");
    publish(TO "\"ref\":7");
    ck_assert_str_eq(read_line("error", "code"), "bad-ref");
    local_send(app, "{\"publish\":[]}");
    ck_assert_str_eq(read_line("error", "code"), "bad-command");
    local_send(app, "{\"publish\":{" TO "}}");
    ck_assert_str_eq(read_line("error", "code"), "bad-json");
}
END_TEST

START_TEST(without_a_place_to_publish_it_is_refused)
{
    agent_stop(a);
    local_close(app);
    write_config("", support_text("[server main]\nurl = %s\n", script_url(polls)));
    agent_again(a);
    app = local_open(a);
    publish("\"app\":\"a\",\"to\":\"b\",\"data\":1");
    ck_assert_str_eq(read_line("error", "code"), "no-server");
    publish("\"app\":\"a\",\"to\":\"b\",\"data\":1,\"server\":\"main\"");
    ck_assert_str_eq(read_line("error", "code"), "no-server");
}
END_TEST

/* ---- what the server answers ------------------------------------------- */

static void spool_number(int number)
{
    spool(support_text("\"app\":\"orders\",\"to\":\"bob\",\"data\":%d", number));
}

START_TEST(a_cut_connection_is_tried_again_with_the_same_key)
{
    const char *key = spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1");

    script_expect(server);
    ck_assert_str_eq(sent_key(), key);
    script_cut(server);
    script_expect(server);
    ck_assert_str_eq(sent_key(), key);
    ck_assert_str_eq(script_body(server), "1");
    take();
    ck_assert_str_eq(read_line("published", "key"), key);
    spool_number(2);
    script_expect(server);
    ck_assert_str_ne(sent_key(), key);
    take();
}
END_TEST

static const char *const pauses[] = {
    "503 Service Unavailable",
    "507 Insufficient Storage",
    "409 Conflict",
    "425 Too Early",
    "429 Too Many Requests",
    "408 Request Timeout",
    "500 Internal Server Error",
};

START_TEST(it_comes_back_when_the_server_says_so)
{
    const char *key = spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1");
    long long begun;

    script_expect(server);
    begun = process_now_ms();
    refuse(pauses[_i], "Retry-After: 1\r\n", "busy");
    script_expect(server);
    ck_assert_int_ge(process_now_ms() - begun, 950);
    ck_assert_str_eq(sent_key(), key);
    take();
    ck_assert_str_eq(read_line("published", "key"), key);
}
END_TEST

static const char *const finals[][2] = {
    { "422 Unprocessable Content", "unprocessable" },
    { "400 Bad Request", "malformed" },
    { "413 Content Too Large", "too-large" },
    { "415 Unsupported Media Type", "encoding" },
    { "404 Not Found", "unknown" },
    { "403 Forbidden", "policy" },
};

START_TEST(what_is_refused_for_good_is_dropped_and_told)
{
    const char *line;

    spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ref\":\"one\"");
    spool_number(2);
    script_expect(server);
    refuse(finals[_i][0], "", finals[_i][1]);
    line = local_read(app);
    ck_assert_str_eq(support_json(line, "error.code"), "refused");
    ck_assert_str_eq(support_json(line, "error.ref"), "one");
    ck_assert_str_eq(support_json(line, "error.detail"),
                     support_text("%.3s %s: as told", finals[_i][0], finals[_i][1]));
    ck_assert_int_eq(agent_log_count(a, "refused a message of 'orders' for good"), 1);
    script_expect(server);
    ck_assert_str_eq(script_body(server), "2");
    take();
    read_line("published", "id");
}
END_TEST

/* The answer to a try before was lost; by then less was left of the ttl. */
START_TEST(a_key_that_is_known_was_taken)
{
    spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ttl\":60,\"ref\":\"r\"");
    script_expect(server);
    script_cut(server);
    script_expect(server);
    refuse("422 Unprocessable Content", "", "idempotency-mismatch");
    ck_assert_str_eq(read_line("published", "ref"), "r");
    ck_assert_str_eq(status("spool.messages"), "0");
    ck_assert_int_eq(agent_log_count(a, "refused"), 0);
}
END_TEST

/* A page of somebody else at this place: the message is kept. */
START_TEST(a_wrong_place_loses_nothing)
{
    static const char *const answers[] = { "404 Not Found", "405 Method Not Allowed",
                                           "200 OK", "307 Temporary Redirect" };
    script_server *other = script_start();

    spool_number(1);
    script_expect(server);
    script_answer(
        server, answers[_i],
        support_text("Content-Type: text/html\r\nLocation: %s\r\n", publish_url(other)),
        "<html>");
    script_expect(server);
    take();
    read_line("published", "id");
    ck_assert(!script_try(other, 0));
    script_end(other);
}
END_TEST

START_TEST(one_application_does_not_hold_up_another)
{
    spool_number(1);
    spool_number(2);
    script_expect(server);
    refuse("507 Insufficient Storage", "Retry-After: 2\r\n", "full");
    spool("\"app\":\"news\",\"to\":\"bob\",\"data\":3,\"ref\":\"n\"");
    script_expect(server);
    ck_assert_str_eq(script_body(server), "3");
    take();
    ck_assert_str_eq(read_line("published", "ref"), "n");
    script_expect(server);
    ck_assert_str_eq(script_body(server), "1");
    take();
    script_expect(server);
    ck_assert_str_eq(script_body(server), "2");
    take();
    ck_assert_int_eq(agent_log_count(a, "does not take messages of 'orders' now"), 1);
    wait_until(agent_log_count(a, "messages of 'orders' are published again") == 1, 5000);
}
END_TEST

/* Four applications' requests are on their way; of each application one. */
START_TEST(applications_are_sent_side_by_side)
{
    int i;

    spool("\"app\":\"first\",\"to\":\"bob\",\"data\":0");
    script_expect(server);
    take();
    read_line("published", "id");
    for (i = 0; i < 12; i++)
        spool(support_text("\"app\":\"app%d\",\"to\":\"bob\",\"data\":%d", i % 6, i));
    for (i = 0; i < 4; i++) {
        script_expect(server);
        ck_assert_str_eq(script_body(server), support_text("%d", i));
    }
    ck_assert(!script_try(server, 100));
    take();
    script_expect(server);
    ck_assert_str_eq(script_body(server), "4");
}
END_TEST

START_TEST(refused_credentials_wait_for_another_password)
{
    app = NULL;
    start_agent("user = alice\npassword_file = password\n");
    spool_number(1);
    script_expect(server);
    ck_assert_ptr_nonnull(script_header(server, "Authorization"));
    script_answer(server, _i ? "403 Forbidden" : "401 Unauthorized", "", "");
    ck_assert(!script_try(server, 1500));
    ck_assert_str_eq(status("servers.0.publish.waiting"), "1");
    ck_assert_str_eq(status("servers.0.publish.state"), _i ? "ready" : "refused");
    process_write_file(support_text("%s/password", agent_directory(a)), "another\n");
    script_expect(server);
    take();
    read_line("published", "id");
}
END_TEST

START_TEST(ttl_is_what_is_left_of_it)
{
    spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ttl\":100");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "TTL"), "100");
    refuse("503 Service Unavailable", "Retry-After: 2\r\n", "busy");
    script_expect(server);
    ck_assert_int_le(atoi(script_header(server, "TTL")), 98);
    ck_assert_int_ge(atoi(script_header(server, "TTL")), 70);
    take();
    read_line("published", "id");
    spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ttl\":0");
    script_expect(server);
    ck_assert_str_eq(script_header(server, "TTL"), "0");
}
END_TEST

START_TEST(what_expired_is_not_sent)
{
    spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ttl\":1,\"ref\":\"gone\"");
    spool_number(2);
    script_expect(server);
    refuse("503 Service Unavailable", "Retry-After: 2\r\n", "busy");
    script_expect(server);
    ck_assert_str_eq(script_body(server), "2");
    take();
    ck_assert_str_eq(read_line("error", "code"), "expired");
    read_line("published", "id");
    ck_assert_int_eq(agent_log_count(a, "1 message of 'orders' expired before it took"),
                     1);
}
END_TEST

/* ---- the spool --------------------------------------------------------- */

START_TEST(the_spool_outlives_a_killed_agent)
{
    char keys[3][33];
    int i;

    for (i = 0; i < 3; i++)
        snprintf(keys[i], sizeof keys[i], "%s",
                 spool(support_text("\"app\":\"orders\",\"to\":\"bob\",\"data\":%d", i)));
    script_expect(server);
    agent_kill(a);
    local_close(app);
    agent_again(a);
    app = local_open(a);
    ck_assert_str_eq(status("spool.messages"), "3");
    for (i = 0; i < 3; i++) {
        script_expect(server);
        ck_assert_str_eq(script_body(server), support_text("%d", i));
        ck_assert_str_eq(sent_key(), keys[i]);
        take();
    }
    wait_until(strcmp(status("spool.messages"), "0") == 0, 5000);
}
END_TEST

/* All headers come from the disk as they were given. */
START_TEST(the_spool_keeps_all_that_was_said)
{
    spool(
        "\"app\":\"orders\",\"to\":[\"a\",\"b\"],\"data\":\"x\",\"type\":\"text/plain\","
        "\"topic\":\"t\",\"urgency\":\"low\",\"receipt\":true,\"ttl\":3600");
    script_expect(server);
    agent_kill(a);
    agent_again(a);
    script_expect(server);
    ck_assert_str_eq(script_request_line(server),
                     "POST /comm/publish/orders?to=a&to=b HTTP/1.1");
    ck_assert_str_eq(script_header(server, "Content-Type"), "text/plain");
    ck_assert_str_eq(script_header(server, "Topic"), "t");
    ck_assert_str_eq(script_header(server, "Urgency"), "low");
    ck_assert_str_eq(script_header(server, "Prefer"), "respond-async");
    ck_assert_int_gt(atoi(script_header(server, "TTL")), 3500);
    ck_assert_str_eq(script_body(server), "x");
    take();
}
END_TEST

START_TEST(a_full_spool_says_so_and_loses_nothing)
{
    char *line = malloc(700000);
    size_t len =
        (size_t)sprintf(line, "{\"publish\":{\"app\":\"a\",\"to\":\"b\",\"data\":\"");

    agent_stop(a);
    local_close(app);
    write_config("spool_max = 1M\n",
                 support_text(SECTION, script_url(polls), publish_url(server)));
    agent_again(a);
    app = local_open(a);
    memset(line + len, 'x', 600000);
    strcpy(line + len + 600000, "\"}}");
    local_send(app, line);
    read_line("spooled", "key");
    local_send(app, line);
    ck_assert_str_eq(read_line("error", "code"), "full");
    spool_number(1);
    ck_assert_str_eq(status("spool.messages"), "2");
    ck_assert_str_eq(status("spool.max"), "1048576");
    free(line);
}
END_TEST

START_TEST(an_application_that_sends_and_ends_is_answered)
{
    char text[512] = "";
    struct timeval limit = { 10, 0 };
    ssize_t n;
    size_t len = 0;
    int fd = local_socket(app);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    publish("\"app\":\"orders\",\"to\":\"bob\",\"data\":1");
    shutdown(fd, SHUT_WR);
    while (len < sizeof text - 1
           && (n = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0)
        len += (size_t)n;
    ck_assert_ptr_nonnull(strstr(text, "{\"spooled\":{\"key\":\""));
    script_expect(server);
    take();
}
END_TEST

START_TEST(a_changed_section_publishes_to_the_new_place)
{
    script_server *other = script_start();

    spool_number(1);
    script_expect(server);
    write_config("", support_text(SECTION, script_url(polls),
                                  support_text("%s/?key=1", publish_url(other))));
    kill(agent_pid(a), SIGHUP);
    script_expect(other);
    ck_assert_str_eq(script_request_line(other),
                     "POST /comm/publish/orders/bob?key=1 HTTP/1.1");
    script_answer(other, "201 Created", "", TAKEN);
    ck_assert_str_eq(read_line("published", "state"), "queued");
    script_end(other);
}
END_TEST

/* ---- commclient send --------------------------------------------------- */

static char *output;

/* Run "commclient send --socket ..." with these words, NULL behind the last. */
static int run_send(const char *input, const char *const *words)
{
    const char *argv[24] = { support_build_path("commclient/commclient"), "send",
                             "--socket", agent_socket(a) };
    process_result result;
    int n = 4;

    while (n < 23 && *words)
        argv[n++] = *words++;
    argv[n] = NULL;
    result = process_run(&(process_options){ .argv = argv, .input = input });
    free(output);
    output = result.output;
    return result.status;
}

#define SEND(input, ...) run_send(input, (const char *const[]){ __VA_ARGS__, NULL })

START_TEST(send_hands_its_input_to_the_agent)
{
    ck_assert_int_eq(SEND("{ \"n\":\n1 }", "--app", "orders", "--to", "bob", "carol/d",
                          "--type", "application/json", "--ttl", "60", "--topic", "t",
                          "--urgency", "low", "--receipt"),
                     0);
    ck_assert_str_eq(output, "");
    script_expect(server);
    ck_assert_str_eq(script_request_line(server),
                     "POST /comm/publish/orders?to=bob&to=carol/d HTTP/1.1");
    ck_assert_str_eq(script_header(server, "Content-Type"), "application/json");
    ck_assert_str_eq(script_header(server, "TTL"), "60");
    ck_assert_str_eq(script_header(server, "Topic"), "t");
    ck_assert_str_eq(script_header(server, "Urgency"), "low");
    ck_assert_str_eq(script_header(server, "Prefer"), "respond-async");
    ck_assert_str_eq(script_body(server), "{ \"n\":\n1 }");
    take();
    ck_assert_int_eq(SEND(NULL, "--app", "orders", "--group", "g", "--data", "hi"), 0);
    script_expect(server);
    ck_assert_str_eq(script_request_line(server),
                     "POST /comm/publish/orders/-/groups/g HTTP/1.1");
    ck_assert_ptr_null(script_header(server, "Content-Type"));
    ck_assert_str_eq(script_body(server), "hi");
    take();
}
END_TEST

START_TEST(send_says_what_is_wrong)
{
    ck_assert_int_eq(SEND("x", "bob"), 2);
    ck_assert_ptr_nonnull(strstr(output, "--app is missing"));
    ck_assert_int_eq(SEND("x", "--app", "orders"), 2);
    ck_assert_ptr_nonnull(strstr(output, "one of TO, --group and --all is needed"));
    ck_assert_int_eq(SEND("x", "--app", "orders", "--all", "bob"), 2);
    ck_assert_int_eq(SEND("x", "--app", "orders", "bob", "--ttl", "1x"), 2);
    ck_assert_int_eq(SEND("x", "--app", "orders", "bob", "--timeout", "0"), 2);
    ck_assert_int_eq(SEND("x", "--app", "orders", "b\xff"), 2);
    ck_assert_ptr_nonnull(strstr(output, "is not UTF-8"));
    ck_assert_int_eq(SEND("x", "--app", "orders", "bob", "-d", "x", "-f", "y"), 2);
    ck_assert_int_eq(SEND("x", "--app", "orders", "a/b/c"), 2);
    ck_assert_ptr_nonnull(strstr(output, "one of to, group and all says"));
    ck_assert_int_eq(SEND("x", "--app", "orders", "bob", "--urgency", "x"), 2);
    ck_assert_int_eq(SEND("x", "--app", "orders", "bob", "--server", "x"), 2);
    ck_assert_int_eq(SEND("x", "--app", "orders", "bob", "-f", "/nonexistent"), 1);
    ck_assert_int_eq(SEND("x", "--app", "orders", "bob", "-s", "/nonexistent"), 3);
    ck_assert_str_eq(status("spool.messages"), "0");
}
END_TEST

START_TEST(send_waits_not_longer_than_it_is_told)
{
    ck_assert_int_eq(SEND("x", "--app", "orders", "bob", "--wait", "--timeout", "1"), 7);
    ck_assert_ptr_nonnull(strstr(output, "it stays with the agent, with key "));
    script_expect(server);
    take();
}
END_TEST

/* ---- against httpd ----------------------------------------------------- */

static httpd *web;

static void start_web(const char *config)
{
    web = httpd_start(&(httpd_options){ .config = config });
    a = agent_start(&(agent_options){
        .server = web,
        .config = support_text("publish = %s\n", httpd_url(web, "/comm/publish")) });
    app = local_open(a);
}

static void tear_down_web(void)
{
    local_close(app);
    app = NULL;
    agent_end(a);
    httpd_end(web);
    free(output);
    output = NULL;
}

/* Read lines until the message comes, whatever is said of those that went up. */
static const char *next_message(void)
{
    const char *message;

    do
        message = support_json(local_read(app), "message");
    while (!message);
    return message;
}

START_TEST(up_to_httpd_and_down_again)
{
    const char *line;

    start_web("");
    local_subscribe(app, "orders");
    local_send(app, "{\"publish\":{\"to\":[\"alice\",\"bob\"],\"ttl\":60,\"data\":"
                    "{\"n\":12345678901234567890.10}}}");
    do
        line = local_read(app);
    while (!strstr(line, "\"message\""));
    ck_assert_ptr_nonnull(strstr(line, "\"data\":{\"n\":12345678901234567890.10}}}"));
    ck_assert_str_eq(support_json(line, "message.from"), "alice");
    publish("\"to\":\"alice\",\"type\":\"text/plain\",\"data\":\"h\\u00e9\"");
    line = next_message();
    ck_assert_str_eq(support_json(line, "type"), "text/plain");
    ck_assert_str_eq(support_json(line, "data"), "h\xc3\xa9");
    publish("\"to\":\"alice\",\"base64\":true,\"data\":\"/wA=\"");
    line = next_message();
    ck_assert_str_eq(support_json(line, "base64"), "true");
    ck_assert_str_eq(support_json(line, "data"), "/wA=");
    ck_assert_int_eq(SEND("from a shell", "--app", "orders", "alice", "--wait"), 0);
    ck_assert_uint_eq(strlen(output), 23);
    line = next_message();
    ck_assert_str_eq(support_json(line, "data"), "from a shell");
    ck_assert_str_eq(support_json(line, "id"), support_text("%.22s", output));
}
END_TEST

START_TEST(httpd_refuses_for_good_what_is_too_large)
{
    start_web("CommServerMaxMessage 1000\n");
    ck_assert_int_eq(SEND(support_text("%01500d", 7), "--app", "orders", "alice", "-w"),
                     6);
    ck_assert_ptr_nonnull(strstr(output, "refused the message for good: 413 too-large"));
    ck_assert_int_eq(
        SEND("{\"a\"", "--app", "orders", "alice", "-w", "--type", "application/json"),
        6);
    ck_assert_int_eq(
        SEND("{}", "--app", "orders", "alice", "-w", "--type", "application/json"), 0);
}
END_TEST

/* The server is away, the agent dies: all arrive, once, in their order. */
START_TEST(nothing_is_lost_while_httpd_is_away)
{
    const char *message;
    int i;

    start_web("");
    wait_until(strcmp(status("servers.0.state"), "connected") == 0, 20000);
    httpd_stop(web);
    for (i = 0; i < 5; i++)
        spool(support_text("\"app\":\"orders\",\"to\":\"alice\",\"data\":%d", i));
    wait_until(strcmp(status("servers.0.publish.state"), "unreachable") == 0, 20000);
    agent_kill(a);
    local_close(app);
    agent_again(a);
    app = local_open(a);
    spool("\"app\":\"orders\",\"to\":\"alice\",\"data\":5");
    httpd_again(web);
    local_subscribe(app, "orders");
    for (i = 0; i < 6; i++) {
        message = next_message();
        ck_assert_str_eq(support_json(message, "data"), support_text("%d", i));
        local_send(app, support_text("{\"ack\":\"%s\"}", support_json(message, "id")));
    }
    wait_until(strcmp(status("spool.messages"), "0") == 0, 20000);
}
END_TEST

START_TEST(httpd_gets_topic_urgency_and_groups)
{
    const char *line;

    start_web("");
    ck_assert_int_eq(http_once(web, "PUT", "/comm/publish/orders/-/groups/sales/alice",
                               "backend", NULL, NULL)
                         ->status,
                     201);
    local_subscribe(app, "orders");
    publish("\"group\":\"sales\",\"data\":1,\"topic\":\"t\",\"urgency\":\"high\","
            "\"receipt\":true");
    line = next_message();
    ck_assert_str_eq(support_json(line, "topic"), "t");
    ck_assert_str_eq(support_json(line, "urgency"), "high");
    ck_assert_str_eq(support_json(line, "receipt"), "true");
    publish("\"all\":true,\"data\":2");
    ck_assert_str_eq(support_json(next_message(), "data"), "2");
}
END_TEST

/* What the agent would send again, had it got no answer. */
START_TEST(httpd_queues_a_repeated_message_once)
{
    const char *line, *key, *id;
    http_answer *again;

    start_web("");
    wait_until(strcmp(status("servers.0.state"), "connected") == 0, 20000);
    spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ttl\":60");
    line = local_read(app);
    key = support_json(line, "published.key");
    id = support_json(line, "published.id");
    again = http_once(web, "POST", "/comm/publish/orders/bob", "alice",
                      support_text("Content-Type: application/json\r\nTTL: 60\r\n"
                                   "Idempotency-Key: \"%s\"\r\n",
                                   key),
                      "1");
    ck_assert_int_eq(again->status, 201);
    ck_assert_str_eq(support_json(again->body, "id"), id);
    again = http_once(web, "POST", "/comm/publish/orders/bob", "alice",
                      support_text("Content-Type: application/json\r\nTTL: 50\r\n"
                                   "Idempotency-Key: \"%s\"\r\n",
                                   key),
                      "1");
    ck_assert(again->status == 201 || again->status == 422);
    again = http_once(web, "GET", "/comm/poll", "bob", NULL, NULL);
    ck_assert_str_eq(support_json(again->body, "messages.0.id"), id);
    ck_assert_ptr_null(support_json(again->body, "messages.1"));
}
END_TEST

#define COUNT(list) ((int)(sizeof(list) / sizeof(list[0])))

static void add_scripted(Suite *s)
{
    TCase *c = tcase_create("script");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_message_goes_up_as_the_protocol_says);
    tcase_add_test(c, what_is_not_given_is_not_sent);
    tcase_add_loop_test(c, receivers_go_into_the_url, 0, COUNT(receivers));
    tcase_add_loop_test(c, the_payload_is_sent_as_it_is, 0, COUNT(bodies));
    tcase_add_loop_test(c, bad_input_is_refused, 0, COUNT(wrong));
    tcase_add_test(c, a_bad_ref_is_refused);
    tcase_add_test(c, without_a_place_to_publish_it_is_refused);
    tcase_add_test(c, a_cut_connection_is_tried_again_with_the_same_key);
    tcase_add_loop_test(c, it_comes_back_when_the_server_says_so, 0, COUNT(pauses));
    tcase_add_loop_test(c, what_is_refused_for_good_is_dropped_and_told, 0,
                        COUNT(finals));
    tcase_add_test(c, a_key_that_is_known_was_taken);
    tcase_add_loop_test(c, a_wrong_place_loses_nothing, 0, 4);
    tcase_add_test(c, one_application_does_not_hold_up_another);
    tcase_add_test(c, applications_are_sent_side_by_side);
    tcase_add_test(c, ttl_is_what_is_left_of_it);
    tcase_add_test(c, what_expired_is_not_sent);
    tcase_add_test(c, the_spool_outlives_a_killed_agent);
    tcase_add_test(c, the_spool_keeps_all_that_was_said);
    tcase_add_test(c, a_full_spool_says_so_and_loses_nothing);
    tcase_add_test(c, an_application_that_sends_and_ends_is_answered);
    tcase_add_test(c, a_changed_section_publishes_to_the_new_place);
    tcase_add_test(c, send_hands_its_input_to_the_agent);
    tcase_add_test(c, send_says_what_is_wrong);
    tcase_add_test(c, send_waits_not_longer_than_it_is_told);
    suite_add_tcase(s, c);
    c = tcase_create("configured");
    tcase_add_checked_fixture(c, set_up_servers, tear_down);
    tcase_add_loop_test(c, refused_credentials_wait_for_another_password, 0, 2);
    suite_add_tcase(s, c);
}

int main(void)
{
    Suite *s = suite_create("agent_publish");
    TCase *c = tcase_create("httpd");

    support_need_httpd();
    add_scripted(s);
    tcase_add_checked_fixture(c, NULL, tear_down_web);
    tcase_add_test(c, up_to_httpd_and_down_again);
    tcase_add_test(c, httpd_refuses_for_good_what_is_too_large);
    tcase_add_test(c, httpd_gets_topic_urgency_and_groups);
    tcase_add_test(c, httpd_queues_a_repeated_message_once);
    tcase_add_test(c, nothing_is_lost_while_httpd_is_away);
    suite_add_tcase(s, c);
    return support_run(s);
}
