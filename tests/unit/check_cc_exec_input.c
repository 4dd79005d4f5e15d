/* SPDX-License-Identifier: Apache-2.0
 * check_cc_exec_input.c - a message as a program gets it.
 */
#include "cc_exec.h"
#include "cc_exec_input.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>

#define HEAD "\"id\":\"id1\",\"app\":\"orders\""

static cc_exec_input input;
static const char *why;

static void set_up(void)
{
    clearenv();
}

static void tear_down(void)
{
    cc_exec_input_clear(&input);
}

static cc_status make(const char *head, const char *data, size_t len)
{
    cc_buffer body = { NULL, 0, 0 };
    cc_delivery delivery;
    cc_status status;

    cc_exec_input_clear(&input);
    cc_buffer_format(&body, "%s,\"length\":%zu,\"data\":", head, len);
    cc_buffer_add(&body, data, len);
    memset(&delivery, 0, sizeof(delivery));
    delivery.id = "id1";
    delivery.body.data = body.data;
    delivery.body.len = body.len;
    delivery.head_len = strlen(head);
    delivery.server = "main";
    delivery.attempt = 7;
    status = cc_exec_input_make(&delivery, &input, &why);
    cc_buffer_clear(&body);
    return status;
}

static const char *variable(const char *name)
{
    size_t i, len = strlen(name);
    const char *found = NULL;

    for (i = 0; input.environment[i] != NULL; i++) {
        if (strncmp(input.environment[i], name, len) == 0
            && input.environment[i][len] == '=') {
            ck_assert_ptr_null(found);
            found = input.environment[i] + len + 1;
        }
    }
    ck_assert_uint_eq(i, input.count);
    return found;
}

static void expect_payload(const char *data, size_t len)
{
    ck_assert_uint_eq(input.payload.len, len);
    if (len > 0)
        ck_assert_mem_eq(input.payload.data, data, len);
}

START_TEST(members_become_variables)
{
    ck_assert_int_eq(make(HEAD ",\"from\":\"J\\u00fcrgen \\\"J\\\"\",\"time\":\"T\","
                               "\"expires\":\"E\",\"type\":\"text/plain\","
                               "\"topic\":\"\",\"urgency\":\"high\",\"receipt\":true,"
                               "\"x\":{\"from\":\"nobody\"}",
                          "\"\"", 2),
                     CC_OK);
    ck_assert_ptr_null(why);
    ck_assert_str_eq(variable("COMM_ID"), "id1");
    ck_assert_str_eq(variable("COMM_APP"), "orders");
    ck_assert_str_eq(variable("COMM_FROM"), "J\xc3\xbcrgen \"J\"");
    ck_assert_str_eq(variable("COMM_SERVER"), "main");
    ck_assert_str_eq(variable("COMM_TIME"), "T");
    ck_assert_str_eq(variable("COMM_EXPIRES"), "E");
    ck_assert_str_eq(variable("COMM_TYPE"), "text/plain");
    ck_assert_str_eq(variable("COMM_TOPIC"), "");
    ck_assert_str_eq(variable("COMM_URGENCY"), "high");
    ck_assert_str_eq(variable("COMM_ATTEMPT"), "7");
    ck_assert_uint_eq(input.count, 10);
    cc_exec_input_attempt_set(&input, 8);
    ck_assert_str_eq(variable("COMM_ATTEMPT"), "8");
}
END_TEST

START_TEST(what_is_not_there_is_not_set)
{
    ck_assert_int_eq(make(HEAD, "1", 1), CC_OK);
    ck_assert_uint_eq(input.count, 4);
    ck_assert_ptr_null(variable("COMM_TYPE"));
    expect_payload("1", 1);
}
END_TEST

START_TEST(only_what_is_known_is_passed_on)
{
    setenv("PATH", "/bin", 1);
    setenv("HOME", "/home/somebody", 1);
    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("XDG_RUNTIME_DIR", "/run/user/1", 1);
    setenv("https_proxy", "http://user:password@proxy", 1);
    setenv("NOTIFY_SOCKET", "/run/notify", 1);
    setenv("COMM_FROM", "nobody", 1);
    setenv("PATHS", "x", 1);
    setenv("CREDENTIALS_DIRECTORY", "/run/secret", 1);
    ck_assert_int_eq(make(HEAD, "1", 1), CC_OK);
    ck_assert_str_eq(variable("PATH"), "/bin");
    ck_assert_str_eq(variable("HOME"), "/home/somebody");
    ck_assert_str_eq(variable("LC_ALL"), "C.UTF-8");
    ck_assert_str_eq(variable("XDG_RUNTIME_DIR"), "/run/user/1");
    ck_assert_uint_eq(input.count, 8);
    ck_assert_ptr_null(variable("COMM_FROM"));
}
END_TEST

static const struct {
    const char *head;
    const char *data;
    const char *payload;
} payloads[] = {
    { ",\"type\":\"application/json\"", "{ \"a\":1.0e2,\"a\":\"\\ud800\" }",
      "{ \"a\":1.0e2,\"a\":\"\\ud800\" }" },
    { ",\"type\":\"application/json\"", "\"text\"", "\"text\"" },
    { ",\"type\":\"Application/JSON; charset=utf-8\"", "\"text\"", "\"text\"" },
    { ",\"type\":\"application/problem+json\"", "\"text\"", "\"text\"" },
    { ",\"type\":\"application/jsonp\"", "\"text\"", "text" },
    { ",\"type\":\"+json\"", "\"text\"", "text" },
    { "", "[1]", "[1]" },
    { ",\"type\":\"text/plain\"", "\"a\\n\\\"\\\\\\u00fc\\ud83d\\ude00\xc3\xbc/\\/\"",
      "a\n\"\\\xc3\xbc\xf0\x9f\x98\x80\xc3\xbc//" },
    { ",\"base64\":false", "\"YQ==\"", "YQ==" },
    { ",\"base64\":true", "\"YQ==\"", "a" },
    { ",\"type\":\"application/json\",\"base64\":true", "\"YWI=\"", "ab" },
    { ",\"base64\":true", "\"YWJj\"", "abc" },
    { ",\"base64\":true", "\"\"", "" },
};

START_TEST(the_payload_is_what_was_published)
{
    ck_assert_int_eq(make(support_text(HEAD "%s", payloads[_i].head), payloads[_i].data,
                          strlen(payloads[_i].data)),
                     CC_OK);
    expect_payload(payloads[_i].payload, strlen(payloads[_i].payload));
}
END_TEST

START_TEST(every_byte_survives_base64)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned char bytes[258];
    char text[345] = "";
    size_t i;

    for (i = 0; i < sizeof(bytes); i++)
        bytes[i] = (unsigned char)(i * 7 + 1);
    for (i = 0; i < sizeof(bytes); i += 3) {
        unsigned long three =
            (unsigned long)bytes[i] << 16 | bytes[i + 1] << 8 | bytes[i + 2];

        text[i / 3 * 4] = digits[three >> 18];
        text[i / 3 * 4 + 1] = digits[three >> 12 & 63];
        text[i / 3 * 4 + 2] = digits[three >> 6 & 63];
        text[i / 3 * 4 + 3] = digits[three & 63];
    }
    ck_assert_int_eq(make(HEAD ",\"base64\":true", support_text("\"%s\"", text), 346),
                     CC_OK);
    expect_payload((const char *)bytes, sizeof(bytes));
}
END_TEST

static const char *const not_base64[] = { "Y",    "YQ",    "YQ=",    "=YQ=", "Y===",
                                          "YQ =", "YQ==Y", "Y\\nQ=", "YQ-_", "====" };

START_TEST(what_is_no_base64_is_told)
{
    const char *data = support_text("\"%s\"", not_base64[_i]);

    ck_assert_int_eq(make(HEAD ",\"base64\":true", data, strlen(data)), CC_MALFORMED);
    ck_assert_ptr_nonnull(strstr(why, "base64"));
}
END_TEST

START_TEST(what_no_program_can_be_given_is_told)
{
    char head[9000];

    ck_assert_int_eq(make(HEAD, "\"a\\u0000b\"", 10), CC_MALFORMED);
    ck_assert_ptr_nonnull(strstr(why, "NUL"));
    ck_assert_int_eq(make(HEAD, "\"\\ud800\"", 8), CC_MALFORMED);
    ck_assert_int_eq(make(HEAD ",\"from\":\"\\u0000\"", "1", 1), CC_MALFORMED);
    ck_assert_int_eq(make(HEAD ",\"base64\":true", "1", 1), CC_MALFORMED);
    ck_assert_int_eq(make("\"id\":\"id1\"", "", 0), CC_MALFORMED);
    ck_assert_int_eq(make("nonsense", "1", 1), CC_MALFORMED);
    ck_assert_ptr_nonnull(strstr(why, "not as it was"));
    memset(head, 'x', sizeof(head));
    memcpy(head, HEAD ",\"topic\":\"", strlen(HEAD ",\"topic\":\""));
    memcpy(head + sizeof(head) - 2, "\"", 2);
    ck_assert_int_eq(make(head, "1", 1), CC_MALFORMED);
    ck_assert_ptr_nonnull(strstr(why, "too long"));
}
END_TEST

static void expect_quoted(const char *bytes, size_t len, const char *expected)
{
    cc_slice slice = { bytes, len };
    char *text = cc_exec_quote(slice);

    ck_assert_str_eq(text, expected);
    free(text);
}

START_TEST(what_a_program_says_is_quoted_for_the_log)
{
    char many[2000];
    cc_slice slice = { many, sizeof(many) };
    char *text;

    expect_quoted("", 0, "");
    expect_quoted("plain\n\n", 7, "plain");
    expect_quoted("a\nb\t\x1b[31m\x7f", 10, "a\\nb\\x09\\x1b[31m\\x7f");
    expect_quoted("\xc3\xbc\xff\xc2\x9b\0x", 7, "\xc3\xbc\\xff\\xc2\\x9b\\x00x");
    memset(many, 'x', sizeof(many));
    memcpy(many + sizeof(many) - 4, "last", 4);
    text = cc_exec_quote(slice);
    ck_assert_uint_eq(strlen(text), 1000);
    ck_assert_str_eq(text + 996, "last");
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_exec_input");
    TCase *c = tcase_create("input");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, members_become_variables);
    tcase_add_test(c, what_is_not_there_is_not_set);
    tcase_add_test(c, only_what_is_known_is_passed_on);
    tcase_add_loop_test(c, the_payload_is_what_was_published, 0,
                        (int)(sizeof(payloads) / sizeof(payloads[0])));
    tcase_add_test(c, every_byte_survives_base64);
    tcase_add_loop_test(c, what_is_no_base64_is_told, 0,
                        (int)(sizeof(not_base64) / sizeof(not_base64[0])));
    tcase_add_test(c, what_no_program_can_be_given_is_told);
    tcase_add_test(c, what_a_program_says_is_quoted_for_the_log);
    suite_add_tcase(s, c);
    return support_run(s);
}
