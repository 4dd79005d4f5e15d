/* SPDX-License-Identifier: Apache-2.0
 * check_csq_state_damage.c - a saved state that is damaged anywhere gives what
 * is whole, and the rest hears of a gap.
 */
#include "cs_compat.h"
#include "csq_state.h"
#include "csq_saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- damage ---------------------------------------------------------------- */

static size_t file_size(void)
{
    struct stat info;

    ck_assert_int_eq(stat(state_path(".kept"), &info), 0);
    return (size_t)info.st_size;
}

/* Start on what is left: it starts, is whole, and nobody misses anything without
 * hearing of it. @return clients that are whole */
static int start_on_damage(void)
{
    int whole = 0, i;

    ck_ok(state_try_start(FIXTURE_SIZE, FIXTURE_SLOTS));
    fixture_audit();
    ck_assert_ptr_nonnull(state_outcome.state_aside);
    ck_ok(state_outcome.state_kept);
    ck_assert_int_eq(state_there(state_path("")), 0);
    ck_assert_int_eq(state_there(state_path(".damaged")), 1);
    for (i = 0; i < STATE_CLIENTS; i++)
        whole += state_client_is_whole(i);
    ck_ok(put("somebody", "x"));
    state_end();
    return whole;
}

static void keep_state(void)
{
    state_fill();
    state_stop();
    ck_assert_int_eq(rename(state_path(""), state_path(".kept")), 0);
}

START_TEST(a_file_may_end_anywhere)
{
    size_t size, len;
    int whole = 0, before = 0;

    keep_state();
    size = file_size();
    for (len = 0; len < size; len += len < 200 ? 1 : 29) {
        state_copy_file(state_path(".kept"), state_path(""));
        ck_assert_int_eq(truncate(state_path(""), (off_t)len), 0);
        whole = start_on_damage();
        ck_assert_int_ge(whole, before);
        before = whole;
    }
    state_copy_file(state_path(".kept"), state_path(""));
    ck_assert_int_eq(truncate(state_path(""), (off_t)size - 1), 0);
    ck_assert_int_eq(start_on_damage(), STATE_CLIENTS);
    unlink(state_path(".kept"));
}
END_TEST

START_TEST(any_byte_may_be_wrong)
{
    size_t size, at;
    char byte;
    int fd;

    keep_state();
    size = file_size();
    for (at = (size_t)_i; at < size; at += 331) {
        state_copy_file(state_path(".kept"), state_path(""));
        fd = open(state_path(""), O_RDWR);
        ck_assert_int_eq(pread(fd, &byte, 1, (off_t)at), 1);
        byte = (char)(byte ^ (1 << at % 8));
        ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
        close(fd);
        start_on_damage();
    }
    unlink(state_path(".kept"));
}
END_TEST

START_TEST(a_file_of_another_version_is_set_aside)
{
    int fd;

    keep_state();
    ck_assert_int_eq(rename(state_path(".kept"), state_path("")), 0);
    fd = open(state_path(""), O_RDWR);
    ck_assert_int_eq(pwrite(fd, "\7", 1, 8), 1);
    close(fd);
    ck_assert_int_eq(start_on_damage(), 0);
    ck_assert_int_eq(state_outcome.state_reason, CSQ_LAYOUT);
    ck_assert_int_eq(state_outcome.restored, 0);
}
END_TEST

START_TEST(what_others_can_write_is_not_read)
{
    keep_state();
    ck_assert_int_eq(rename(state_path(".kept"), state_path("")), 0);
    ck_assert_int_eq(chmod(state_path(""), 0666), 0);
    ck_assert_int_eq(start_on_damage(), 0);
    ck_assert_int_eq(state_outcome.state_reason, APR_EACCES);
}
END_TEST

/* ---- records that are well-formed and wrong --------------------------------- */

/* Write a file whose checksums are right, with one record that is not. */
static void copy_with(csq_record type, size_t at, const char *bytes, size_t len)
{
    csq_saved_begin begin;
    csq_reader reader;
    csq_writer writer;
    csq_record found;
    int done = 0;

    ck_ok(csq_reader_open(&reader, state_path(".kept"), &begin));
    csq_writer_open(&writer, state_path(""));
    csq_writer_record(&writer, CSQ_RECORD_BEGIN);
    csq_writer_bytes(&writer, reader.contents, reader.len);
    csq_writer_done(&writer);
    do {
        ck_ok(csq_reader_next(&reader, &found));
        csq_writer_record(&writer, found);
        csq_writer_bytes(&writer, reader.contents, reader.len);
        if (found == type && !done) {
            ck_assert_uint_le(at + len, reader.len);
            memcpy(writer.record + CSQ_SAVED_HEAD + at, bytes, len);
            done = 1;
        }
        csq_writer_done(&writer);
    } while (found != CSQ_RECORD_END);
    ck_assert_int_eq(done, 1);
    ck_ok(csq_writer_close(&writer));
    csq_reader_close(&reader);
}

START_TEST(records_that_do_not_fit_end_the_reading)
{
    static const struct {
        csq_record type;
        size_t at;
        const char *bytes;
        size_t len;
    } cases[] = {
        { CSQ_RECORD_GROUP, 0, "\xff", 1 },           /* longer than it is          */
        { CSQ_RECORD_GROUP, 3, "\0", 1 },             /* a NUL in a name            */
        { CSQ_RECORD_MEMBER, 2, "x", 1 },             /* of another realm           */
        { CSQ_RECORD_ORIGIN, 4, "/", 1 },             /* no name of an application  */
        { CSQ_RECORD_REPEAT, 52, "\43", 1 },          /* more shards than there are */
        { CSQ_RECORD_RECEIPT, 16, "\2", 1 },          /* neither asked nor not */
        { CSQ_RECORD_RECEIPT, 17, "\xff\xff", 2 },    /* no such origin             */
        { CSQ_RECORD_RECEIPT, 37, "\xff", 1 },        /* more left than there were */
        { CSQ_RECORD_MESSAGE, 9, "\x50", 1 },         /* no such fate               */
        { CSQ_RECORD_FATE, 26, "\x50", 1 },           /* no such fate               */
        { CSQ_RECORD_CLIENT, 7, "\1", 1 },            /* a control character        */
        { CSQ_RECORD_QUEUE, 0, "\2", 1 },             /* neither known nor not      */
        { CSQ_RECORD_QUEUE, 1, "\0\0\0\0\0\0\0", 8 }, /* no epoch                   */
        { CSQ_RECORD_QUEUE, 16, "\1", 1 },            /* a sequence of 57 bits      */
        { CSQ_RECORD_QUEUE, 24, "\1", 1 },            /* more handed out than is    */
        { CSQ_RECORD_QUEUE, 33, "\1", 1 },            /* a device that is not there */
        { CSQ_RECORD_GAP, 0, "\2", 1 },
        { CSQ_RECORD_GAP, 8, "\1", 1 },               /* a gap of the far future    */
        { CSQ_RECORD_MESSAGE, 0, "\0\0\0", 4 },       /* no origin                  */
        { CSQ_RECORD_MESSAGE, 4, "\3", 1 },           /* no such encoding           */
        { CSQ_RECORD_MESSAGE, 36, "\1", 1 },          /* time of 57 bits            */
        { CSQ_RECORD_ENTRY, 0, "\xff\xff", 2 },       /* no such message            */
        { CSQ_RECORD_ENTRY, 4, "\0\0\0\0\0\0\0", 8 }, /* no sequence                */
        { CSQ_RECORD_ENTRY, 12, "\4", 1 },            /* a mark that is none    */
        { CSQ_RECORD_ENTRY, 13, "\1", 1 }             /* a topic that is not there  */
    };
    const char *was;

    keep_state();
    copy_with(cases[_i].type, cases[_i].at, cases[_i].bytes, cases[_i].len);
    start_on_damage();
    ck_assert_int_eq(state_outcome.state_reason, CSQ_DAMAGED);
    was = state_outcome.state_problem;
    ck_assert_ptr_nonnull(was);
    ck_assert_int_eq(state_there(state_path(".damaged")), 1);
    unlink(state_path(".kept"));
}
END_TEST

/* Of BEGIN only the size, at the end of what stands before it. */
#define AT_SIZE (CSQ_SAVED_ID + 24)

static void copy_with_size(uint64_t size)
{
    csq_saved_begin begin;
    csq_reader reader;
    csq_writer writer;
    csq_record found = CSQ_RECORD_BEGIN;

    ck_ok(csq_reader_open(&reader, state_path(".kept"), &begin));
    csq_writer_open(&writer, state_path(""));
    do {
        csq_writer_record(&writer, found);
        csq_writer_bytes(&writer, reader.contents, reader.len);
        if (found == CSQ_RECORD_BEGIN)
            memcpy(writer.record + CSQ_SAVED_HEAD + AT_SIZE, &size, sizeof size);
        csq_writer_done(&writer);
    } while (csq_reader_next(&reader, &found) == APR_SUCCESS);
    ck_ok(csq_writer_close(&writer));
    csq_reader_close(&reader);
}

/* As large as what is in it can need is enough. */
START_TEST(a_size_that_it_cannot_have_had_is_not_believed)
{
    char text[2000];
    int i;

    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    for (i = 0; i < 100; i++)
        ck_ok(put("carl", text));
    keep_state();
    copy_with_size((uint64_t)1 << 30);
    fx.limits.max_clients = 100;
    ck_ok(state_try_start((apr_size_t)192 * 1024, 1));
    ck_assert_int_eq(state_outcome.restored, 1);
    ck_assert_ptr_null(state_outcome.state_aside);
    ck_assert_uint_gt(state_outcome.size, 192 * 1024);
    ck_assert_uint_lt(state_outcome.size, 16 * 1024 * 1024);
    fixture_audit();
    state_end();
    unlink(state_path(".kept"));
}
END_TEST

#define WRONG_RECORDS 25

/* Contents at random behind checksums that are right: it starts, whole. */
START_TEST(contents_may_be_anything)
{
    static const csq_record types[] = {
        CSQ_RECORD_GROUP,   CSQ_RECORD_MEMBER,  CSQ_RECORD_ORIGIN, CSQ_RECORD_REPEAT,
        CSQ_RECORD_RECEIPT, CSQ_RECORD_FATE,    CSQ_RECORD_CLIENT, CSQ_RECORD_QUEUE,
        CSQ_RECORD_GAP,     CSQ_RECORD_MESSAGE, CSQ_RECORD_ENTRY
    };
    unsigned seed = (unsigned)_i;
    int i;

    keep_state();
    for (i = 0; i < 60; i++) {
        char byte = (char)rand_r(&seed);

        copy_with(types[rand_r(&seed) % 11], (size_t)rand_r(&seed) % 10, &byte, 1);
        ck_ok(state_try_start(FIXTURE_SIZE, FIXTURE_SLOTS));
        fixture_audit();
        ck_ok(put("somebody", "x"));
        state_end();
        unlink(state_path(""));
    }
    unlink(state_path(".kept"));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_state_damage");
    TCase *tc = tcase_create("state_damage");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, state_setup, state_teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_file_may_end_anywhere);
    tcase_add_loop_test(tc, any_byte_may_be_wrong, 0, 8);
    tcase_add_test(tc, a_file_of_another_version_is_set_aside);
    tcase_add_test(tc, what_others_can_write_is_not_read);
    tcase_add_loop_test(tc, records_that_do_not_fit_end_the_reading, 0, WRONG_RECORDS);
    tcase_add_test(tc, a_size_that_it_cannot_have_had_is_not_believed);
    tcase_add_loop_test(tc, contents_may_be_anything, 0, 4);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
