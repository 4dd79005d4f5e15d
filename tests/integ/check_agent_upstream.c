/* SPDX-License-Identifier: Apache-2.0
 * check_agent_upstream.c - messages of local applications on their way up to the
 * real server, and down again.
 */
#include "uplink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- against httpd ----------------------------------------------------- */

static httpd *web;

static void start_web(const char *config)
{
    web = httpd_start(&(httpd_options){ .config = config });
    uplink.agent = agent_start(&(agent_options){
        .server = web,
        .config = support_text("publish = %s\n", httpd_url(web, "/comm/publish")) });
    uplink.app = local_open(uplink.agent);
}

static void tear_down_web(void)
{
    uplink_tear_down();
    httpd_end(web);
}

/* Read lines until the message comes, whatever is said of those that went up. */
static const char *next_message(void)
{
    const char *message;

    do
        message = support_json(local_read(uplink.app), "message");
    while (!message);
    return message;
}

START_TEST(up_to_httpd_and_down_again)
{
    const char *line;

    start_web("");
    local_subscribe(uplink.app, "orders");
    local_send(uplink.app, "{\"publish\":{\"to\":[\"alice\",\"bob\"],\"ttl\":60,\"data\":"
                           "{\"n\":12345678901234567890.10}}}");
    do
        line = local_read(uplink.app);
    while (!strstr(line, "\"message\""));
    ck_assert_ptr_nonnull(strstr(line, "\"data\":{\"n\":12345678901234567890.10}}}"));
    ck_assert_str_eq(support_json(line, "message.from"), "alice");
    uplink_publish("\"to\":\"alice\",\"type\":\"text/plain\",\"data\":\"h\\u00e9\"");
    line = next_message();
    ck_assert_str_eq(support_json(line, "type"), "text/plain");
    ck_assert_str_eq(support_json(line, "data"), "h\xc3\xa9");
    uplink_publish("\"to\":\"alice\",\"base64\":true,\"data\":\"/wA=\"");
    line = next_message();
    ck_assert_str_eq(support_json(line, "base64"), "true");
    ck_assert_str_eq(support_json(line, "data"), "/wA=");
    ck_assert_int_eq(UPLINK_SEND("from a shell", "--app", "orders", "alice", "--wait"),
                     0);
    ck_assert_uint_eq(strlen(uplink_output), 23);
    line = next_message();
    ck_assert_str_eq(support_json(line, "data"), "from a shell");
    ck_assert_str_eq(support_json(line, "id"), support_text("%.22s", uplink_output));
}
END_TEST

START_TEST(httpd_refuses_for_good_what_is_too_large)
{
    start_web("CommServerMaxMessage 1000\n");
    ck_assert_int_eq(
        UPLINK_SEND(support_text("%01500d", 7), "--app", "orders", "alice", "-w"), 6);
    ck_assert_ptr_nonnull(
        strstr(uplink_output, "refused the message for good: 413 too-large"));
    ck_assert_int_eq(UPLINK_SEND("{\"a\"", "--app", "orders", "alice", "-w", "--type",
                                 "application/json"),
                     6);
    ck_assert_int_eq(
        UPLINK_SEND("{}", "--app", "orders", "alice", "-w", "--type", "application/json"),
        0);
}
END_TEST

/* The server is away, the agent dies: all arrive, once, in their order. */
START_TEST(nothing_is_lost_while_httpd_is_away)
{
    const char *message;
    int i;

    start_web("");
    wait_until(strcmp(uplink_status("servers.0.state"), "connected") == 0, 20000);
    httpd_stop(web);
    for (i = 0; i < 5; i++)
        uplink_spool(support_text("\"app\":\"orders\",\"to\":\"alice\",\"data\":%d", i));
    wait_until(strcmp(uplink_status("servers.0.publish.state"), "unreachable") == 0,
               20000);
    agent_kill(uplink.agent);
    local_close(uplink.app);
    agent_again(uplink.agent);
    uplink.app = local_open(uplink.agent);
    uplink_spool("\"app\":\"orders\",\"to\":\"alice\",\"data\":5");
    httpd_again(web);
    local_subscribe(uplink.app, "orders");
    for (i = 0; i < 6; i++) {
        message = next_message();
        ck_assert_str_eq(support_json(message, "data"), support_text("%d", i));
        local_send(uplink.app,
                   support_text("{\"ack\":\"%s\"}", support_json(message, "id")));
    }
    wait_until(strcmp(uplink_status("spool.messages"), "0") == 0, 20000);
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
    local_subscribe(uplink.app, "orders");
    uplink_publish("\"group\":\"sales\",\"data\":1,\"topic\":\"t\",\"urgency\":\"high\","
                   "\"receipt\":true");
    line = next_message();
    ck_assert_str_eq(support_json(line, "topic"), "t");
    ck_assert_str_eq(support_json(line, "urgency"), "high");
    ck_assert_str_eq(support_json(line, "receipt"), "true");
    uplink_publish("\"all\":true,\"data\":2");
    ck_assert_str_eq(support_json(next_message(), "data"), "2");
}
END_TEST

/* What the agent would send again, had it got no answer. */
START_TEST(httpd_queues_a_repeated_message_once)
{
    const char *line, *key, *id;
    http_answer *again;

    start_web("");
    wait_until(strcmp(uplink_status("servers.0.state"), "connected") == 0, 20000);
    uplink_spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ttl\":60");
    line = local_read(uplink.app);
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

int main(void)
{
    Suite *s = suite_create("agent_upstream");
    TCase *c;

    support_need_httpd();
    c = tcase_create("httpd");
    tcase_add_checked_fixture(c, NULL, tear_down_web);
    tcase_add_test(c, up_to_httpd_and_down_again);
    tcase_add_test(c, httpd_refuses_for_good_what_is_too_large);
    tcase_add_test(c, nothing_is_lost_while_httpd_is_away);
    tcase_add_test(c, httpd_gets_topic_urgency_and_groups);
    tcase_add_test(c, httpd_queues_a_repeated_message_once);
    suite_add_tcase(s, c);
    return support_run(s);
}
