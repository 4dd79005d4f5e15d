/* SPDX-License-Identifier: Apache-2.0
 * check_cc_command.c - lines of local applications.
 */
#include "cc_command.h"
#include "support/support.h"

#include <string.h>

static cc_command command;

static const char *parse(const char *line)
{
    return cc_command_error_code(cc_command_parse(line, strlen(line), &command));
}

START_TEST(subscribe_is_read)
{
    ck_assert_str_eq(parse("{\"subscribe\":\"orders\"}"), "");
    ck_assert_int_eq(command.kind, CC_COMMAND_SUBSCRIBE);
    ck_assert_str_eq(command.app, "orders");
    ck_assert_int_eq(command.window, 0);
    ck_assert(!command.watch);
    ck_assert_str_eq(parse(" {\"window\":32,\"watch\":true,\"x\":[{}],"
                           "\"subscr\\u0069be\":\"o\\u0072ders\"}\r"),
                     "");
    ck_assert_str_eq(command.app, "orders");
    ck_assert_int_eq(command.window, 32);
    ck_assert(command.watch);
}
END_TEST

START_TEST(ack_is_read)
{
    ck_assert_str_eq(parse("{\"ack\":\"gap.00112233\",\"note\":\"\xc3\xa9\"}"), "");
    ck_assert_int_eq(command.kind, CC_COMMAND_ACK);
    ck_assert_str_eq(command.id, "gap.00112233");
    ck_assert_str_eq(parse("{\"status\":{}}"), "");
    ck_assert_int_eq(command.kind, CC_COMMAND_STATUS);
}
END_TEST

START_TEST(nack_and_reject_are_read)
{
    ck_assert_str_eq(parse("{\"nack\":\"a\",\"delay\":30}"), "");
    ck_assert_int_eq(command.kind, CC_COMMAND_NACK);
    ck_assert_str_eq(command.id, "a");
    ck_assert_int_eq(command.delay, 30);
    ck_assert_str_eq(parse("{\"delay\":86400,\"nack\":\"b\"}"), "");
    ck_assert_int_eq(command.delay, 86400);
    ck_assert_str_eq(parse("{\"nack\":\"b\"}"), "");
    ck_assert_int_eq(command.delay, 0);
    ck_assert_str_eq(parse("{\"reject\":\"c\"}"), "");
    ck_assert_int_eq(command.kind, CC_COMMAND_REJECT);
    ck_assert_str_eq(command.id, "c");
}
END_TEST

START_TEST(what_is_to_be_done_with_the_dead_is_read)
{
    ck_assert_str_eq(parse("{\"dead\":{\"list\":true}}"), "");
    ck_assert_int_eq(command.kind, CC_COMMAND_DEAD);
    ck_assert_int_eq(command.action, CC_DEAD_LIST);
    ck_assert_str_eq(command.id, "");
    ck_assert_str_eq(command.app, "");
    ck_assert_str_eq(parse("{\"dead\":{\"app\":\"orders\",\"retry\":true,\"x\":[]}}"),
                     "");
    ck_assert_int_eq(command.action, CC_DEAD_RETRY);
    ck_assert_str_eq(command.app, "orders");
    ck_assert_str_eq(parse("{\"dead\":{\"remove\":\"dead.7\"}}"), "");
    ck_assert_int_eq(command.action, CC_DEAD_REMOVE);
    ck_assert_str_eq(command.id, "dead.7");
    ck_assert_str_eq(parse("{\"dead\":{\"show\":\"a\"}}"), "");
    ck_assert_int_eq(command.action, CC_DEAD_SHOW);
}
END_TEST

START_TEST(publish_is_read_as_it_stands)
{
    const char *line = "{\"x\":1, \"publish\" : {\"data\": 1e9 } }";

    ck_assert_str_eq(parse(line), "");
    ck_assert_int_eq(command.kind, CC_COMMAND_PUBLISH);
    ck_assert_ptr_eq(command.publish.data, strstr(line, "{\"data"));
    ck_assert(cc_slice_is(command.publish, "{\"data\": 1e9 }"));
}
END_TEST

static const char *const wrong[][2] = {
    { "x", "bad-json" },
    { "{", "bad-json" },
    { "[]", "bad-json" },
    { "{\"ack\":\"a\"} {\"ack\":\"b\"}", "bad-json" },
    { "{\"ack\":\"\x80\"}", "bad-json" },
    { "{\"subscribe\":\"a\",}", "bad-json" },
    { "{}", "unknown-command" },
    { "{\"nack\":7}", "bad-command" },
    { "{\"nack\":\"a\",\"delay\":-1}", "bad-delay" },
    { "{\"nack\":\"a\",\"delay\":86401}", "bad-delay" },
    { "{\"nack\":\"a\",\"delay\":1.5}", "bad-delay" },
    { "{\"nack\":\"a\",\"delay\":\"1\"}", "bad-delay" },
    { "{\"nack\":\"a\",\"delay\":null}", "bad-delay" },
    { "{\"delay\":99999999999999999999999999,\"nack\":\"a\"}", "bad-delay" },
    { "{\"nack\":\"a\",\"reject\":\"a\"}", "bad-command" },
    { "{\"reject\":{}}", "bad-command" },
    { "{\"delay\":1}", "unknown-command" },
    { "{\"dead\":true}", "bad-command" },
    { "{\"dead\":{}}", "bad-command" },
    { "{\"dead\":{\"list\":true,\"retry\":true}}", "bad-command" },
    { "{\"dead\":{\"list\":\"a\"}}", "bad-command" },
    { "{\"dead\":{\"list\":false}}", "bad-command" },
    { "{\"dead\":{\"show\":true}}", "bad-command" },
    { "{\"dead\":{\"retry\":7}}", "bad-command" },
    { "{\"dead\":{\"remove\":\"\"}}", "not-dead" },
    { "{\"dead\":{\"remove\":"
      "\"a23456789012345678901234567890123456789012345678901234567890"
      "123456\"}}",
      "not-dead" },
    { "{\"dead\":{\"list\":true,\"app\":\"a b\"}}", "bad-name" },
    { "{\"dead\":{\"list\":true,\"app\":7}}", "bad-command" },
    { "{\"dead\":{\"list\":true},\"ack\":\"a\"}", "bad-command" },
    { "{\"dead\":{\"list\":true}", "bad-json" },
    { "{\"window\":16}", "unknown-command" },
    { "{\"subscribe\":\"a\",\"ack\":\"b\"}", "bad-command" },
    { "{\"ack\":\"a\",\"ack\":\"b\"}", "bad-command" },
    { "{\"subscribe\":7}", "bad-command" },
    { "{\"publish\":7}", "bad-command" },
    { "{\"publish\":[]}", "bad-command" },
    { "{\"publish\":{},\"ack\":\"a\"}", "bad-command" },
    { "{\"ack\":null}", "bad-command" },
    { "{\"subscribe\":\"a\",\"watch\":1}", "bad-command" },
    { "{\"subscribe\":\"\"}", "bad-name" },
    { "{\"subscribe\":\"-\"}", "bad-name" },
    { "{\"subscribe\":\"a/b\"}", "bad-name" },
    { "{\"subscribe\":\"\\u0000\"}", "bad-name" },
    { "{\"subscribe\":"
      "\"a234567890123456789012345678901234567890123456789012345678901234"
      "x\"}",
      "bad-name" },
    { "{\"subscribe\":\"a\",\"window\":0}", "bad-window" },
    { "{\"subscribe\":\"a\",\"window\":10001}", "bad-window" },
    { "{\"subscribe\":\"a\",\"window\":-1}", "bad-window" },
    { "{\"subscribe\":\"a\",\"window\":\"16\"}", "bad-window" },
    { "{\"subscribe\":\"a\",\"window\":99999999999999999999999999}", "bad-window" },
    { "{\"ack\":"
      "\"a23456789012345678901234567890123456789012345678901234567890123456\"}",
      "unknown-id" },
};

START_TEST(wrong_lines_say_what_is_wrong)
{
    ck_assert_str_eq(parse(wrong[_i][0]), wrong[_i][1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_command");
    TCase *c = tcase_create("command");

    tcase_add_test(c, subscribe_is_read);
    tcase_add_test(c, ack_is_read);
    tcase_add_test(c, nack_and_reject_are_read);
    tcase_add_test(c, what_is_to_be_done_with_the_dead_is_read);
    tcase_add_test(c, publish_is_read_as_it_stands);
    tcase_add_loop_test(c, wrong_lines_say_what_is_wrong, 0,
                        (int)(sizeof(wrong) / sizeof(wrong[0])));
    suite_add_tcase(s, c);
    return support_run(s);
}
