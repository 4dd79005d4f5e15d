/* SPDX-License-Identifier: Apache-2.0
 * check_cc_secret.c - files that hold a password or a token.
 */
#include "cc_secret.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static cc_secret secret;
static char file[256];

static void set_up(void)
{
    snprintf(file, sizeof(file), "%s/secret", reaper_temporary());
    memset(&secret, 0, sizeof(secret));
    secret.name = "password_file";
    secret.path = file;
}

static void tear_down(void)
{
    cc_secret_clear(&secret);
}

static void write_secret(const char *text, mode_t mode)
{
    unlink(file);
    process_write_file(file, text);
    chmod(file, mode);
}

START_TEST(one_line_is_the_secret)
{
    write_secret("pass word\xc3\xa9\r\n", 0600);
    ck_assert_int_eq(cc_secret_read(&secret), CC_OK);
    ck_assert_str_eq(secret.text, "pass word\xc3\xa9");
    write_secret("x", 0400);
    ck_assert(cc_secret_changed(&secret));
    ck_assert_int_eq(cc_secret_read(&secret), CC_OK);
    ck_assert_str_eq(secret.text, "x");
    ck_assert(!cc_secret_changed(&secret));
}
END_TEST

START_TEST(a_file_others_can_read_is_refused)
{
    static const mode_t modes[] = { 0644, 0640, 0604, 0620, 0602, 0610 };
    size_t i;

    for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        write_secret("topsecret\n", modes[i]);
        ck_assert_int_eq(cc_secret_read(&secret), CC_NOT_PERMITTED);
        ck_assert_ptr_null(secret.text);
        ck_assert_ptr_nonnull(strstr(secret.error, "0600"));
        ck_assert_ptr_null(strstr(secret.error, "topsecret"));
    }
}
END_TEST

START_TEST(a_file_of_another_user_is_refused)
{
    if (geteuid() != 0)
        return;
    write_secret("x\n", 0600);
    ck_assert_int_eq(chown(file, 12345, 0), 0);
    ck_assert_int_eq(cc_secret_read(&secret), CC_NOT_PERMITTED);
}
END_TEST

START_TEST(what_is_no_secret_is_refused)
{
    char big[CC_SECRET_MAX + 10];

    write_secret("", 0600);
    ck_assert_int_eq(cc_secret_read(&secret), CC_MALFORMED);
    write_secret("\n", 0600);
    ck_assert_int_eq(cc_secret_read(&secret), CC_MALFORMED);
    write_secret("one\ntwo\n", 0600);
    ck_assert_int_eq(cc_secret_read(&secret), CC_MALFORMED);
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    write_secret(big, 0600);
    ck_assert_int_eq(cc_secret_read(&secret), CC_MALFORMED);
    unlink(file);
    ck_assert_int_eq(cc_secret_read(&secret), CC_NOT_FOUND);
    ck_assert_str_eq(
        secret.error,
        support_text("cannot read password_file '%s': No such file or directory", file));
    ck_assert_int_eq(mkfifo(file, 0600), 0);
    ck_assert_int_eq(cc_secret_read(&secret), CC_NOT_PERMITTED);
}
END_TEST

START_TEST(a_secret_that_becomes_bad_is_forgotten)
{
    write_secret("good\n", 0600);
    ck_assert_int_eq(cc_secret_read(&secret), CC_OK);
    chmod(file, 0644);
    ck_assert(cc_secret_changed(&secret));
    ck_assert_int_eq(cc_secret_read(&secret), CC_NOT_PERMITTED);
    ck_assert_ptr_null(secret.text);
    chmod(file, 0600);
    ck_assert_int_eq(cc_secret_read(&secret), CC_OK);
    ck_assert_str_eq(secret.text, "good");
}
END_TEST

START_TEST(a_file_that_is_only_inspected_is_not_read)
{
    char big[CC_SECRET_MAX + 10];

    memset(big, 'x', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    ck_assert_int_eq(cc_secret_inspect(&secret), CC_NOT_FOUND);
    write_secret(big, 0600);
    ck_assert(cc_secret_changed(&secret));
    ck_assert_int_eq(cc_secret_inspect(&secret), CC_OK);
    ck_assert_ptr_null(secret.text);
    ck_assert(!cc_secret_changed(&secret));
    chmod(file, 0640);
    ck_assert(cc_secret_changed(&secret));
    ck_assert_int_eq(cc_secret_inspect(&secret), CC_NOT_PERMITTED);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_secret");
    TCase *c = tcase_create("secret");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, one_line_is_the_secret);
    tcase_add_test(c, a_file_others_can_read_is_refused);
    tcase_add_test(c, a_file_of_another_user_is_refused);
    tcase_add_test(c, what_is_no_secret_is_refused);
    tcase_add_test(c, a_secret_that_becomes_bad_is_forgotten);
    tcase_add_test(c, a_file_that_is_only_inspected_is_not_read);
    suite_add_tcase(s, c);
    return support_run(s);
}
