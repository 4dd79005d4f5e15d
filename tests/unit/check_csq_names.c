/* SPDX-License-Identifier: Apache-2.0
 * check_csq_names.c - names, ids, cursors, statuses: the pure functions.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <stdlib.h>

static apr_status_t app(const char *name)
{
    return csq_app_check(name, strlen(name));
}

static apr_status_t client(const char *name)
{
    return csq_client_check(name, strlen(name));
}

START_TEST(applications_are_short_tokens)
{
    char name[CSQ_APP_MAX + 2];

    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    ck_ok(app("orders"));
    ck_ok(app("0"));
    ck_ok(app("A.b_c-9"));
    ck_ok(csq_app_check(name, CSQ_APP_MAX));
    ck_status(csq_app_check(name, CSQ_APP_MAX + 1), CSQ_BAD_NAME);
    ck_status(app(""), CSQ_BAD_NAME);
    ck_status(app("-"), CSQ_BAD_NAME);
    ck_status(app(".."), CSQ_BAD_NAME);
    ck_status(app("_a"), CSQ_BAD_NAME);
    ck_status(app("a/b"), CSQ_BAD_NAME);
    ck_status(app("a b"), CSQ_BAD_NAME);
    ck_status(app("\xc3\xa4"), CSQ_BAD_NAME);
    ck_status(csq_app_check("a\0b", 3), CSQ_BAD_NAME);
}
END_TEST

START_TEST(devices_are_tokens_of_32)
{
    ck_ok(csq_device_check("phone", 5));
    ck_ok(csq_device_check("01234567890123456789012345678901", 32));
    ck_status(csq_device_check("012345678901234567890123456789012", 33), CSQ_BAD_NAME);
    ck_status(csq_device_check("", 0), CSQ_BAD_NAME);
}
END_TEST

START_TEST(clients_are_any_text_on_one_line)
{
    char name[CSQ_CLIENT_MAX + 2];

    memset(name, 'c', sizeof name);
    ck_ok(client("alice@example.org"));
    ck_ok(client("CN=Alice Smith"));
    ck_ok(client("j\xc3\xbcrgen"));
    ck_ok(client("-a"));
    ck_ok(client("..."));
    ck_ok(client("\xf0\x9f\x98\x80"));
    ck_ok(csq_client_check(name, CSQ_CLIENT_MAX));
    ck_status(csq_client_check(name, CSQ_CLIENT_MAX + 1), CSQ_BAD_NAME);
    ck_status(client(""), CSQ_BAD_NAME);
    ck_status(client("-"), CSQ_BAD_NAME);
    ck_status(client("."), CSQ_BAD_NAME);
    ck_status(client(".."), CSQ_BAD_NAME);
    ck_status(client("a/b"), CSQ_BAD_NAME);
    ck_status(client("a\nb"), CSQ_BAD_NAME);
    ck_status(client("a\x7f"), CSQ_BAD_NAME);
    ck_status(client("\xc2\x85"), CSQ_BAD_NAME);
    ck_status(client("\xff"), CSQ_BAD_NAME);
    ck_status(client("\xc0\xaf"), CSQ_BAD_NAME);
    ck_status(client("\xed\xa0\x80"), CSQ_BAD_NAME);
    ck_status(csq_client_check("a\0b", 3), CSQ_BAD_NAME);
}
END_TEST

START_TEST(a_receiver_is_a_client_or_a_device)
{
    static const char *const bad[] = { "",  "-",   "/d",  "a/",   "a/b/c",
                                       "/", "-/d", "a/-", "a/ b", "a\n/d" };
    char buffer[CSQ_CLIENT_MAX + 1];
    char name[CSQ_CLIENT_MAX + 4];
    csq_key key;
    size_t i;

    ck_ok(csq_key_parse("alice", buffer, &key));
    ck_assert_str_eq(key.client, "alice");
    ck_assert_ptr_null(key.device);
    ck_ok(csq_key_parse("alice/d1", buffer, &key));
    ck_assert_str_eq(key.client, "alice");
    ck_assert_str_eq(key.device, "d1");
    memset(name, 'c', sizeof name);
    memcpy(name + CSQ_CLIENT_MAX, "/d", 3);
    ck_ok(csq_key_parse(name, buffer, &key));
    ck_assert_uint_eq(strlen(key.client), CSQ_CLIENT_MAX);
    memcpy(name + CSQ_CLIENT_MAX, "c/d", 4);
    ck_status(csq_key_parse(name, buffer, &key), CSQ_BAD_NAME);
    for (i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_status(csq_key_parse(bad[i], buffer, &key), CSQ_BAD_NAME);
}
END_TEST

START_TEST(texts_have_no_control_characters)
{
    ck_ok(csq_text_check("", 0));
    ck_ok(csq_text_check("text/plain; charset=utf-8", 25));
    ck_ok(csq_text_check("j\xc3\xbcrgen", 7));
    ck_status(csq_text_check("a\tb", 3), CSQ_BAD_NAME);
    ck_status(csq_text_check("a\0b", 3), CSQ_BAD_NAME);
    ck_status(csq_text_check("\xc2\x85", 2), CSQ_BAD_NAME);
    ck_status(csq_text_check("\xe4", 1), CSQ_BAD_NAME);
}
END_TEST

START_TEST(ids_are_base64url)
{
    unsigned char id[CSQ_ID_BYTES];
    char text[CSQ_ID_TEXT + 1];

    memset(id, 0xff, sizeof id);
    csq_id_format(id, text);
    ck_assert_str_eq(text, "_____________________w");
    memset(id, 0, sizeof id);
    csq_id_format(id, text);
    ck_assert_str_eq(text, "AAAAAAAAAAAAAAAAAAAAAA");
    memcpy(id, "0123456789abcdef", sizeof id);
    csq_id_format(id, text);
    ck_assert_str_eq(text, "MDEyMzQ1Njc4OWFiY2RlZg");
}
END_TEST

static apr_status_t parse(const char *text)
{
    csq_cursor cursor;

    return csq_cursor_parse(text, strlen(text), &cursor);
}

START_TEST(cursors_have_one_text)
{
    csq_cursor cursor = { .epoch = UINT64_C(0x0123456789abcdef), .sequence = UINT64_MAX };
    csq_cursor parsed;
    char text[CSQ_CURSOR_TEXT];

    csq_cursor_format(&cursor, text);
    ck_assert_str_eq(text, "0123456789abcdef-18446744073709551615");
    ck_ok(csq_cursor_parse(text, strlen(text), &parsed));
    ck_assert_uint_eq(parsed.epoch, cursor.epoch);
    ck_assert_uint_eq(parsed.sequence, cursor.sequence);
    ck_ok(parse("0000000000000000-0"));
    ck_status(parse(""), CSQ_BAD_CURSOR);
    ck_status(parse("0123456789abcdef-"), CSQ_BAD_CURSOR);
    ck_status(parse("0123456789abcdef"), CSQ_BAD_CURSOR);
    ck_status(parse("0123456789abcde-1"), CSQ_BAD_CURSOR);
    ck_status(parse("0123456789ABCDEF-1"), CSQ_BAD_CURSOR);
    ck_status(parse("0123456789abcdef-01"), CSQ_BAD_CURSOR);
    ck_status(parse("0123456789abcdef--1"), CSQ_BAD_CURSOR);
    ck_status(parse("0123456789abcdef-1 "), CSQ_BAD_CURSOR);
    ck_status(parse("0123456789abcdef-18446744073709551616"), CSQ_BAD_CURSOR);
    ck_status(parse("0123456789abcdef-99999999999999999999999"), CSQ_BAD_CURSOR);
}
END_TEST

START_TEST(every_status_has_a_text_of_its_own)
{
    char text[64];
    int status;

    for (status = CSQ_STATUS_BASE + 1; status < CSQ_STATUS_END; status++)
        ck_assert_str_ne(csq_strerror(status, text, sizeof text),
                         csq_strerror(status + 1, text, sizeof text));
    ck_assert_str_eq(csq_strerror(CSQ_EMPTY, text, sizeof text),
                     "no message after the given cursor");
    ck_assert_ptr_eq(csq_strerror(APR_ENOENT, text, sizeof text), text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_names");
    TCase *tc = tcase_create("names");
    SRunner *runner;
    int failed;

    tcase_add_test(tc, applications_are_short_tokens);
    tcase_add_test(tc, devices_are_tokens_of_32);
    tcase_add_test(tc, clients_are_any_text_on_one_line);
    tcase_add_test(tc, a_receiver_is_a_client_or_a_device);
    tcase_add_test(tc, texts_have_no_control_characters);
    tcase_add_test(tc, ids_are_base64url);
    tcase_add_test(tc, cursors_have_one_text);
    tcase_add_test(tc, every_status_has_a_text_of_its_own);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
