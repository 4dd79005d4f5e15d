/* SPDX-License-Identifier: Apache-2.0
 * check_agent_spool.c - what an agent keeps until a server has taken it: what the
 * server answers, and what happens to the agent meanwhile.
 */
#include "uplink.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- what the server answers ------------------------------------------- */

START_TEST(a_cut_connection_is_tried_again_with_the_same_key)
{
    const char *key = uplink_spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1");

    script_expect(uplink.server);
    ck_assert_str_eq(uplink_sent_key(), key);
    script_cut(uplink.server);
    script_expect(uplink.server);
    ck_assert_str_eq(uplink_sent_key(), key);
    ck_assert_str_eq(script_body(uplink.server), "1");
    uplink_take();
    ck_assert_str_eq(uplink_read_line("published", "key"), key);
    uplink_spool_number(2);
    script_expect(uplink.server);
    ck_assert_str_ne(uplink_sent_key(), key);
    uplink_take();
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
    const char *key = uplink_spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1");
    long long begun;

    script_expect(uplink.server);
    begun = process_now_ms();
    uplink_refuse(pauses[_i], "Retry-After: 1\r\n", "busy");
    script_expect(uplink.server);
    ck_assert_int_ge(process_now_ms() - begun, 950);
    ck_assert_str_eq(uplink_sent_key(), key);
    uplink_take();
    ck_assert_str_eq(uplink_read_line("published", "key"), key);
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

    uplink_spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ref\":\"one\"");
    uplink_spool_number(2);
    script_expect(uplink.server);
    uplink_refuse(finals[_i][0], "", finals[_i][1]);
    line = local_read(uplink.app);
    ck_assert_str_eq(support_json(line, "error.code"), "refused");
    ck_assert_str_eq(support_json(line, "error.ref"), "one");
    ck_assert_str_eq(support_json(line, "error.detail"),
                     support_text("%.3s %s: as told", finals[_i][0], finals[_i][1]));
    ck_assert_int_eq(
        agent_log_count(uplink.agent, "refused a message of 'orders' for good"), 1);
    script_expect(uplink.server);
    ck_assert_str_eq(script_body(uplink.server), "2");
    uplink_take();
    uplink_read_line("published", "id");
}
END_TEST

/* The answer to a try before was lost; by then less was left of the ttl. */
START_TEST(a_key_that_is_known_was_taken)
{
    uplink_spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ttl\":60,\"ref\":\"r\"");
    script_expect(uplink.server);
    script_cut(uplink.server);
    script_expect(uplink.server);
    uplink_refuse("422 Unprocessable Content", "", "idempotency-mismatch");
    ck_assert_str_eq(uplink_read_line("published", "ref"), "r");
    ck_assert_str_eq(uplink_status("spool.messages"), "0");
    ck_assert_int_eq(agent_log_count(uplink.agent, "refused"), 0);
}
END_TEST

/* A page of somebody else at this place: the message is kept. */
START_TEST(a_wrong_place_loses_nothing)
{
    static const char *const answers[] = { "404 Not Found", "405 Method Not Allowed",
                                           "200 OK", "307 Temporary Redirect" };
    script_server *other = script_start();

    uplink_spool_number(1);
    script_expect(uplink.server);
    script_answer(uplink.server, answers[_i],
                  support_text("Content-Type: text/html\r\nLocation: %s\r\n",
                               uplink_publish_url(other)),
                  "<html>");
    script_expect(uplink.server);
    uplink_take();
    uplink_read_line("published", "id");
    ck_assert(!script_try(other, 0));
    script_end(other);
}
END_TEST

START_TEST(one_application_does_not_hold_up_another)
{
    uplink_spool_number(1);
    uplink_spool_number(2);
    script_expect(uplink.server);
    uplink_refuse("507 Insufficient Storage", "Retry-After: 2\r\n", "full");
    uplink_spool("\"app\":\"news\",\"to\":\"bob\",\"data\":3,\"ref\":\"n\"");
    script_expect(uplink.server);
    ck_assert_str_eq(script_body(uplink.server), "3");
    uplink_take();
    ck_assert_str_eq(uplink_read_line("published", "ref"), "n");
    script_expect(uplink.server);
    ck_assert_str_eq(script_body(uplink.server), "1");
    uplink_take();
    script_expect(uplink.server);
    ck_assert_str_eq(script_body(uplink.server), "2");
    uplink_take();
    ck_assert_int_eq(
        agent_log_count(uplink.agent, "does not take messages of 'orders' now"), 1);
    wait_until(agent_log_count(uplink.agent, "messages of 'orders' are published again")
                   == 1,
               5000);
}
END_TEST

/* Four applications' requests are on their way; of each application one. */
START_TEST(applications_are_sent_side_by_side)
{
    int i;

    uplink_spool("\"app\":\"first\",\"to\":\"bob\",\"data\":0");
    script_expect(uplink.server);
    uplink_take();
    uplink_read_line("published", "id");
    for (i = 0; i < 12; i++)
        uplink_spool(
            support_text("\"app\":\"app%d\",\"to\":\"bob\",\"data\":%d", i % 6, i));
    for (i = 0; i < 4; i++) {
        script_expect(uplink.server);
        ck_assert_str_eq(script_body(uplink.server), support_text("%d", i));
    }
    ck_assert(!script_try(uplink.server, 100));
    uplink_take();
    script_expect(uplink.server);
    ck_assert_str_eq(script_body(uplink.server), "4");
}
END_TEST

START_TEST(refused_credentials_wait_for_another_password)
{
    uplink.app = NULL;
    uplink_start_agent("user = alice\npassword_file = password\n");
    uplink_spool_number(1);
    script_expect(uplink.server);
    ck_assert_ptr_nonnull(script_header(uplink.server, "Authorization"));
    script_answer(uplink.server, _i ? "403 Forbidden" : "401 Unauthorized", "", "");
    ck_assert(!script_try(uplink.server, 1500));
    ck_assert_str_eq(uplink_status("servers.0.publish.waiting"), "1");
    ck_assert_str_eq(uplink_status("servers.0.publish.state"), _i ? "ready" : "refused");
    process_write_file(support_text("%s/password", agent_directory(uplink.agent)),
                       "another\n");
    script_expect(uplink.server);
    uplink_take();
    uplink_read_line("published", "id");
}
END_TEST

START_TEST(ttl_is_what_is_left_of_it)
{
    uplink_spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ttl\":100");
    script_expect(uplink.server);
    ck_assert_str_eq(script_header(uplink.server, "TTL"), "100");
    uplink_refuse("503 Service Unavailable", "Retry-After: 2\r\n", "busy");
    script_expect(uplink.server);
    ck_assert_int_le(atoi(script_header(uplink.server, "TTL")), 98);
    ck_assert_int_ge(atoi(script_header(uplink.server, "TTL")), 70);
    uplink_take();
    uplink_read_line("published", "id");
    uplink_spool("\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ttl\":0");
    script_expect(uplink.server);
    ck_assert_str_eq(script_header(uplink.server, "TTL"), "0");
}
END_TEST

START_TEST(what_expired_is_not_sent)
{
    uplink_spool(
        "\"app\":\"orders\",\"to\":\"bob\",\"data\":1,\"ttl\":1,\"ref\":\"gone\"");
    uplink_spool_number(2);
    script_expect(uplink.server);
    uplink_refuse("503 Service Unavailable", "Retry-After: 2\r\n", "busy");
    script_expect(uplink.server);
    ck_assert_str_eq(script_body(uplink.server), "2");
    uplink_take();
    ck_assert_str_eq(uplink_read_line("error", "code"), "expired");
    uplink_read_line("published", "id");
    ck_assert_int_eq(
        agent_log_count(uplink.agent, "1 message of 'orders' expired before it took"), 1);
}
END_TEST

/* ---- the spool --------------------------------------------------------- */

START_TEST(the_spool_outlives_a_killed_agent)
{
    char keys[3][33];
    int i;

    for (i = 0; i < 3; i++)
        snprintf(keys[i], sizeof keys[i], "%s",
                 uplink_spool(
                     support_text("\"app\":\"orders\",\"to\":\"bob\",\"data\":%d", i)));
    script_expect(uplink.server);
    agent_kill(uplink.agent);
    local_close(uplink.app);
    agent_again(uplink.agent);
    uplink.app = local_open(uplink.agent);
    ck_assert_str_eq(uplink_status("spool.messages"), "3");
    for (i = 0; i < 3; i++) {
        script_expect(uplink.server);
        ck_assert_str_eq(script_body(uplink.server), support_text("%d", i));
        ck_assert_str_eq(uplink_sent_key(), keys[i]);
        uplink_take();
    }
    wait_until(strcmp(uplink_status("spool.messages"), "0") == 0, 5000);
}
END_TEST

/* All headers come from the disk as they were given. */
START_TEST(the_spool_keeps_all_that_was_said)
{
    uplink_spool(
        "\"app\":\"orders\",\"to\":[\"a\",\"b\"],\"data\":\"x\",\"type\":\"text/plain\","
        "\"topic\":\"t\",\"urgency\":\"low\",\"receipt\":true,\"ttl\":3600");
    script_expect(uplink.server);
    agent_kill(uplink.agent);
    agent_again(uplink.agent);
    script_expect(uplink.server);
    ck_assert_str_eq(script_request_line(uplink.server),
                     "POST /comm/publish/orders?to=a&to=b HTTP/1.1");
    ck_assert_str_eq(script_header(uplink.server, "Content-Type"), "text/plain");
    ck_assert_str_eq(script_header(uplink.server, "Topic"), "t");
    ck_assert_str_eq(script_header(uplink.server, "Urgency"), "low");
    ck_assert_str_eq(script_header(uplink.server, "Prefer"), "respond-async");
    ck_assert_int_gt(atoi(script_header(uplink.server, "TTL")), 3500);
    ck_assert_str_eq(script_body(uplink.server), "x");
    uplink_take();
}
END_TEST

START_TEST(a_full_spool_says_so_and_loses_nothing)
{
    char *line = malloc(700000);
    size_t len =
        (size_t)sprintf(line, "{\"publish\":{\"app\":\"a\",\"to\":\"b\",\"data\":\"");

    agent_stop(uplink.agent);
    local_close(uplink.app);
    uplink_write_config("spool_max = 1M\n",
                        support_text(UPLINK_SECTION, script_url(uplink.polls),
                                     uplink_publish_url(uplink.server)));
    agent_again(uplink.agent);
    uplink.app = local_open(uplink.agent);
    memset(line + len, 'x', 600000);
    strcpy(line + len + 600000, "\"}}");
    local_send(uplink.app, line);
    uplink_read_line("spooled", "key");
    local_send(uplink.app, line);
    ck_assert_str_eq(uplink_read_line("error", "code"), "full");
    uplink_spool_number(1);
    ck_assert_str_eq(uplink_status("spool.messages"), "2");
    ck_assert_str_eq(uplink_status("spool.max"), "1048576");
    free(line);
}
END_TEST

START_TEST(an_application_that_sends_and_ends_is_answered)
{
    char text[512] = "";
    struct timeval limit = { 10, 0 };
    ssize_t n;
    size_t len = 0;
    int fd = local_socket(uplink.app);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    uplink_publish("\"app\":\"orders\",\"to\":\"bob\",\"data\":1");
    shutdown(fd, SHUT_WR);
    while (len < sizeof text - 1
           && (n = recv(fd, text + len, sizeof text - 1 - len, 0)) > 0)
        len += (size_t)n;
    ck_assert_ptr_nonnull(strstr(text, "{\"spooled\":{\"key\":\""));
    script_expect(uplink.server);
    uplink_take();
}
END_TEST

START_TEST(a_changed_section_publishes_to_the_new_place)
{
    script_server *other = script_start();

    uplink_spool_number(1);
    script_expect(uplink.server);
    uplink_write_config(
        "", support_text(UPLINK_SECTION, script_url(uplink.polls),
                         support_text("%s/?key=1", uplink_publish_url(other))));
    kill(agent_pid(uplink.agent), SIGHUP);
    script_expect(other);
    ck_assert_str_eq(script_request_line(other),
                     "POST /comm/publish/orders/bob?key=1 HTTP/1.1");
    script_answer(other, "201 Created", "", UPLINK_TAKEN);
    ck_assert_str_eq(uplink_read_line("published", "state"), "queued");
    script_end(other);
}
END_TEST

#define COUNT(list) ((int)(sizeof(list) / sizeof(list[0])))

int main(void)
{
    Suite *s = suite_create("agent_spool");
    TCase *c;

    c = tcase_create("server");
    tcase_add_checked_fixture(c, uplink_set_up, uplink_tear_down);
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
    suite_add_tcase(s, c);
    c = tcase_create("password");
    tcase_add_checked_fixture(c, uplink_set_up_servers, uplink_tear_down);
    tcase_add_loop_test(c, refused_credentials_wait_for_another_password, 0, 2);
    suite_add_tcase(s, c);
    c = tcase_create("spool");
    tcase_add_checked_fixture(c, uplink_set_up, uplink_tear_down);
    tcase_add_test(c, the_spool_outlives_a_killed_agent);
    tcase_add_test(c, the_spool_keeps_all_that_was_said);
    tcase_add_test(c, a_full_spool_says_so_and_loses_nothing);
    tcase_add_test(c, an_application_that_sends_and_ends_is_answered);
    tcase_add_test(c, a_changed_section_publishes_to_the_new_place);
    suite_add_tcase(s, c);
    return support_run(s);
}
