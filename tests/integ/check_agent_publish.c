/* SPDX-License-Identifier: Apache-2.0
 * check_agent_publish.c - messages of local applications on their way up: what is
 * sent, and what is refused at once; and "commclient send".
 */
#include "uplink.h"

#include <stdlib.h>
#include <string.h>

/* ---- what is sent ------------------------------------------------------ */

START_TEST(a_message_goes_up_as_the_protocol_says)
{
    const char *key = uplink_spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":{\"n\":1},"
                                   "\"ttl\":60,\"topic\":\"t_1\",\"urgency\":\"high\","
                                   "\"receipt\":true,\"ref\":\"r\\u0031\\\"\"");

    ck_assert_uint_eq(strlen(key), 32);
    script_expect(uplink.server);
    ck_assert_str_eq(script_request_line(uplink.server),
                     "POST /comm/publish/orders/bob HTTP/1.1");
    ck_assert_str_eq(uplink_sent_key(), key);
    ck_assert_str_eq(script_header(uplink.server, "Content-Type"), "application/json");
    ck_assert_str_eq(script_header(uplink.server, "TTL"), "60");
    ck_assert_str_eq(script_header(uplink.server, "Topic"), "t_1");
    ck_assert_str_eq(script_header(uplink.server, "Urgency"), "high");
    ck_assert_str_eq(script_header(uplink.server, "Prefer"), "respond-async");
    ck_assert_ptr_null(script_header(uplink.server, "Expect"));
    ck_assert_ptr_null(script_header(uplink.server, "Authorization"));
    ck_assert_str_eq(script_body(uplink.server), "{\"n\":1}");
    uplink_take();
    ck_assert_str_eq(local_read(uplink.app),
                     support_text("{\"published\":{\"key\":\"%s\",\"ref\":\"r1\\\"\","
                                  "\"id\":\"AAAAAAAAAAAAAAAAAAAAAA\","
                                  "\"state\":\"queued\"}}",
                                  key));
    ck_assert_str_eq(uplink_status("spool.messages"), "0");
}
END_TEST

START_TEST(what_is_not_given_is_not_sent)
{
    local_subscribe(uplink.app, "orders");
    uplink_spool("\"to\":\"bob\",\"data\":1,\"unknown\":[{}]");
    script_expect(uplink.server);
    ck_assert_str_eq(script_request_line(uplink.server),
                     "POST /comm/publish/orders/bob HTTP/1.1");
    ck_assert_ptr_null(script_header(uplink.server, "TTL"));
    ck_assert_ptr_null(script_header(uplink.server, "Topic"));
    ck_assert_ptr_null(script_header(uplink.server, "Urgency"));
    ck_assert_ptr_null(script_header(uplink.server, "Prefer"));
    uplink_take();
    ck_assert_str_eq(uplink_read_line("published", "ref"), "");
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
    uplink_spool(support_text("\"app\":\"orders\",\"data\":1,%s", receivers[_i][0]));
    script_expect(uplink.server);
    ck_assert_str_eq(
        script_request_line(uplink.server),
        support_text("POST /comm/publish/orders%s HTTP/1.1", receivers[_i][1]));
    uplink_take();
    uplink_read_line("published", "id");
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

    uplink_spool(support_text("\"app\":\"orders\",\"to\":\"bob\",%s", bodies[_i][0]));
    script_expect(uplink.server);
    type = script_header(uplink.server, "Content-Type");
    if (bodies[_i][1])
        ck_assert_str_eq(type, bodies[_i][1]);
    else
        ck_assert_ptr_null(type);
    ck_assert_str_eq(script_body(uplink.server), bodies[_i][2]);
    uplink_take();
    uplink_read_line("published", "id");
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
    uplink_publish(support_text("%s,\"ref\":\"r1\"", wrong[_i][0]));
    ck_assert_str_eq(uplink_read_line("error", "code"), wrong[_i][1]);
    uplink_publish(support_text("\"ref\":\"r2\",%s", wrong[_i][0]));
    ck_assert_str_eq(uplink_read_line("error", "ref"), "r2");
    ck_assert_str_eq(uplink_status("spool.messages"), "0");
}
END_TEST

START_TEST(a_bad_ref_is_refused)
{
    uplink_publish(
        TO "\"ref\":\"a2345678901234567890123456789012345678901234567890123456789012"
           "345\"");
    ck_assert_str_eq(uplink_read_line("error", "code"), "bad-ref");
    uplink_publish(TO "\"ref\":7");
    ck_assert_str_eq(uplink_read_line("error", "code"), "bad-ref");
    local_send(uplink.app, "{\"publish\":[]}");
    ck_assert_str_eq(uplink_read_line("error", "code"), "bad-command");
    local_send(uplink.app, "{\"publish\":{" TO "}}");
    ck_assert_str_eq(uplink_read_line("error", "code"), "bad-json");
}
END_TEST

START_TEST(without_a_place_to_publish_it_is_refused)
{
    agent_stop(uplink.agent);
    local_close(uplink.app);
    uplink_write_config(
        "", support_text("[server main]\nurl = %s\n", script_url(uplink.polls)));
    agent_again(uplink.agent);
    uplink.app = local_open(uplink.agent);
    uplink_publish("\"app\":\"a\",\"to\":\"b\",\"data\":1");
    ck_assert_str_eq(uplink_read_line("error", "code"), "no-server");
    uplink_publish("\"app\":\"a\",\"to\":\"b\",\"data\":1,\"server\":\"main\"");
    ck_assert_str_eq(uplink_read_line("error", "code"), "no-server");
}
END_TEST

/* ---- commclient send --------------------------------------------------- */

START_TEST(send_hands_its_input_to_the_agent)
{
    ck_assert_int_eq(UPLINK_SEND("{ \"n\":\n1 }", "--app", "orders", "--to", "bob",
                                 "carol/d", "--type", "application/json", "--ttl", "60",
                                 "--topic", "t", "--urgency", "low", "--receipt"),
                     0);
    ck_assert_str_eq(uplink_output, "");
    script_expect(uplink.server);
    ck_assert_str_eq(script_request_line(uplink.server),
                     "POST /comm/publish/orders?to=bob&to=carol/d HTTP/1.1");
    ck_assert_str_eq(script_header(uplink.server, "Content-Type"), "application/json");
    ck_assert_str_eq(script_header(uplink.server, "TTL"), "60");
    ck_assert_str_eq(script_header(uplink.server, "Topic"), "t");
    ck_assert_str_eq(script_header(uplink.server, "Urgency"), "low");
    ck_assert_str_eq(script_header(uplink.server, "Prefer"), "respond-async");
    ck_assert_str_eq(script_body(uplink.server), "{ \"n\":\n1 }");
    uplink_take();
    ck_assert_int_eq(UPLINK_SEND(NULL, "--app", "orders", "--group", "g", "--data", "hi"),
                     0);
    script_expect(uplink.server);
    ck_assert_str_eq(script_request_line(uplink.server),
                     "POST /comm/publish/orders/-/groups/g HTTP/1.1");
    ck_assert_ptr_null(script_header(uplink.server, "Content-Type"));
    ck_assert_str_eq(script_body(uplink.server), "hi");
    uplink_take();
}
END_TEST

START_TEST(send_says_what_is_wrong)
{
    ck_assert_int_eq(UPLINK_SEND("x", "bob"), 2);
    ck_assert_ptr_nonnull(strstr(uplink_output, "--app is missing"));
    ck_assert_int_eq(UPLINK_SEND("x", "--app", "orders"), 2);
    ck_assert_ptr_nonnull(
        strstr(uplink_output, "one of TO, --group and --all is needed"));
    ck_assert_int_eq(UPLINK_SEND("x", "--app", "orders", "--all", "bob"), 2);
    ck_assert_int_eq(UPLINK_SEND("x", "--app", "orders", "bob", "--ttl", "1x"), 2);
    ck_assert_int_eq(UPLINK_SEND("x", "--app", "orders", "bob", "--timeout", "0"), 2);
    ck_assert_int_eq(UPLINK_SEND("x", "--app", "orders", "b\xff"), 2);
    ck_assert_ptr_nonnull(strstr(uplink_output, "is not UTF-8"));
    ck_assert_int_eq(UPLINK_SEND("x", "--app", "orders", "bob", "-d", "x", "-f", "y"), 2);
    ck_assert_int_eq(UPLINK_SEND("x", "--app", "orders", "a/b/c"), 2);
    ck_assert_ptr_nonnull(strstr(uplink_output, "one of to, group and all says"));
    ck_assert_int_eq(UPLINK_SEND("x", "--app", "orders", "bob", "--urgency", "x"), 2);
    ck_assert_int_eq(UPLINK_SEND("x", "--app", "orders", "bob", "--server", "x"), 2);
    ck_assert_int_eq(UPLINK_SEND("x", "--app", "orders", "bob", "-f", "/nonexistent"), 1);
    ck_assert_int_eq(UPLINK_SEND("x", "--app", "orders", "bob", "-s", "/nonexistent"), 3);
    ck_assert_str_eq(uplink_status("spool.messages"), "0");
}
END_TEST

START_TEST(send_waits_not_longer_than_it_is_told)
{
    ck_assert_int_eq(
        UPLINK_SEND("x", "--app", "orders", "bob", "--wait", "--timeout", "1"), 7);
    ck_assert_ptr_nonnull(strstr(uplink_output, "it stays with the agent, with key "));
    script_expect(uplink.server);
    uplink_take();
}
END_TEST

#define COUNT(list) ((int)(sizeof(list) / sizeof(list[0])))

int main(void)
{
    Suite *s = suite_create("agent_publish");
    TCase *c;

    c = tcase_create("applications");
    tcase_add_checked_fixture(c, uplink_set_up, uplink_tear_down);
    tcase_add_test(c, a_message_goes_up_as_the_protocol_says);
    tcase_add_test(c, what_is_not_given_is_not_sent);
    tcase_add_loop_test(c, receivers_go_into_the_url, 0, COUNT(receivers));
    tcase_add_loop_test(c, the_payload_is_sent_as_it_is, 0, COUNT(bodies));
    tcase_add_loop_test(c, bad_input_is_refused, 0, COUNT(wrong));
    tcase_add_test(c, a_bad_ref_is_refused);
    tcase_add_test(c, without_a_place_to_publish_it_is_refused);
    suite_add_tcase(s, c);
    c = tcase_create("commclient send");
    tcase_add_checked_fixture(c, uplink_set_up, uplink_tear_down);
    tcase_add_test(c, send_hands_its_input_to_the_agent);
    tcase_add_test(c, send_says_what_is_wrong);
    tcase_add_test(c, send_waits_not_longer_than_it_is_told);
    suite_add_tcase(s, c);
    return support_run(s);
}
