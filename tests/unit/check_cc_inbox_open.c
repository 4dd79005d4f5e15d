/* SPDX-License-Identifier: Apache-2.0
 * check_cc_inbox_open.c - what the store does with files that are not as it
 * left them.
 */
#include "inbox_fixture.h"
#include "support/support.h"

#include <fcntl.h>
#include <glob.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_at(long offset, const char *data, size_t len)
{
    int descriptor = open(inbox_path, O_WRONLY | O_CREAT, 0600);

    ck_assert_int_eq(pwrite(descriptor, data, len, offset), (ssize_t)len);
    close(descriptor);
}

static size_t count_set_aside(void)
{
    glob_t found;
    size_t count = 0;

    if (glob(support_text("%s.damaged-*", inbox_path), 0, NULL, &found) == 0)
        count = found.gl_pathc;
    globfree(&found);
    return count;
}

static int64_t count_dead(void)
{
    cc_inbox_usage usage;

    cc_inbox_usage_get(inbox, &usage);
    return usage.dead;
}

static void close_inbox(void)
{
    cc_inbox_close(inbox);
    inbox = NULL;
}

static cc_status open_refused(const char *why);

/* Refused, and as it was: bytes, mode, nothing beside it. */
static void check_left_alone(const char *why)
{
    char *before, *after;
    struct stat info;

    chmod(inbox_path, 0644);
    ck_assert_int_eq(stat(inbox_path, &info), 0);
    before = process_read_file(inbox_path);
    ck_assert_int_eq(open_refused(why), CC_NOT_PERMITTED);
    after = process_read_file(inbox_path);
    ck_assert_mem_eq(after, before, (size_t)info.st_size);
    ck_assert_int_eq(stat(inbox_path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0644);
    ck_assert_uint_eq(count_set_aside(), 0);
    free(before);
    free(after);
}

START_TEST(a_file_that_is_no_database_is_left_alone)
{
    static const char *const texts[] = {
        "x\n", "SQLite format 3",
        "this is certainly not an SQLite file, but long enough for one..."
    };

    close_inbox();
    unlink(inbox_path);
    process_write_file(inbox_path, texts[_i]);
    check_left_alone("is a file of another program");
}
END_TEST

START_TEST(an_empty_file_becomes_an_inbox)
{
    close_inbox();
    unlink(inbox_path);
    process_write_file(inbox_path, "");
    inbox_open_again();
    ck_assert_int_eq(inbox_add("a"), CC_OK);
    inbox_reopen();
    ck_assert_int_eq(inbox_count(), 1);
}
END_TEST

/* Any page of it overwritten: set aside, or right enough to go on. */
START_TEST(a_torn_file_never_stops_the_agent)
{
    char garbage[512];
    struct stat info;
    long offset;

    memset(garbage, 0xa5, sizeof(garbage));
    for (offset = 16;; offset += 1000) {
        unlink(inbox_path);
        close_inbox();
        inbox_open_again();
        inbox_add("a");
        inbox_add("b");
        close_inbox();
        ck_assert_int_eq(stat(inbox_path, &info), 0);
        if (offset >= info.st_size)
            break;
        write_at(offset, garbage, sizeof(garbage));
        inbox_open_again();
        inbox_add("c");
        inbox_load(0, 10);
    }
    ck_assert_uint_ge(count_set_aside(), 5);
    inbox_open_again();
}
END_TEST

static void change(const char *sql)
{
    sqlite3 *db;
    char *message = NULL;

    close_inbox();
    ck_assert_int_eq(sqlite3_open(inbox_path, &db), SQLITE_OK);
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, &message) == SQLITE_OK, "%s",
                  message);
    sqlite3_close(db);
}

START_TEST(foreign_tables_triggers_and_columns_are_set_aside)
{
    static const char *const changes[] = {
        "CREATE TABLE more(x)",
        "CREATE TRIGGER t AFTER INSERT ON message BEGIN DELETE FROM cursor; END",
        "CREATE VIEW v AS SELECT 1",
        "DROP TABLE gap",
        "ALTER TABLE cursor ADD COLUMN x",
        "CREATE INDEX i ON message(server)",
    };

    change(changes[_i]);
    inbox_open_again();
    ck_assert_uint_eq(count_set_aside(), 1);
}
END_TEST

static void ignore_loaded(void *baton, const cc_stored *stored)
{
    (void)baton;
    (void)stored;
}

START_TEST(rows_nobody_wrote_are_found_damaged)
{
    static const char *const changes[] = {
        "UPDATE message SET body = CAST(x'ffffffff' || zeroblob(99) AS BLOB)",
        "UPDATE message SET body = CAST(x'00' || zeroblob(99) AS BLOB)",
        "UPDATE message SET body = CAST(substr(body, 1, 12) || x'01000000'"
        " || substr(body, 17) AS BLOB)",
        "UPDATE message SET body = CAST(substr(body, 1, 12) || x'00ffff7f'"
        " || substr(body, 17) AS BLOB)",
        "UPDATE message SET body = CAST(substr(body, 1, 16) || x'ff'"
        " || substr(body, 18) AS BLOB)",
        "UPDATE message SET body = CAST(substr(body, 1, 16) || x'0120'"
        " || substr(body, 19) AS BLOB)",
        "UPDATE message SET body = CAST(replace(body, x'31', x'0a') AS BLOB)",
        "UPDATE message SET body = CAST(replace(body, x'31', x'5d') AS BLOB)",
        "UPDATE message SET body = CAST(replace(body, '\"data\"', '\"data ') AS BLOB)",
        "UPDATE message SET body = CAST(replace(body, 'orders\",', 'orders,\"') AS BLOB)",
        "UPDATE given SET state = x'0000'",
    };

    inbox_add("a");
    change(changes[_i]);
    inbox_open_again();
    ck_assert_int_eq(cc_inbox_load(inbox, "orders", 0, NOW, 9, 99, ignore_loaded, NULL),
                     CC_DAMAGED);
    ck_assert_uint_eq(count_set_aside(), 0);
    inbox_reopen();
    ck_assert_uint_eq(count_set_aside(), 1);
    ck_assert_int_eq(inbox_add("b"), CC_OK);
    ck_assert_str_eq(inbox_load(0, 9).ids, "b");
}
END_TEST

/* Places are reckoned from these: a wrong one is not waited for. */
START_TEST(runs_nobody_wrote_are_set_aside)
{
    static const char *const changes[] = {
        "UPDATE message SET body = substr(body, 1, 20)",
        "UPDATE message SET body = x''",
        "UPDATE message SET body = 'text'",
        "UPDATE message SET server = '\"'",
        "UPDATE message SET expires = -1",
        "UPDATE given SET state = x''",
        "UPDATE given SET state = zeroblob(1025)",
        "UPDATE given SET state = 'text'",
        "UPDATE given SET size = -1",
        "UPDATE given SET size = 4611686018427387904",
        "UPDATE given SET seq = 5; UPDATE message SET seq = 6",
        "UPDATE given SET seq = -9223372036854775807;"
        "UPDATE message SET seq = -9223372036854775807",
        "UPDATE given SET app = 'a b'; UPDATE message SET app = 'a b'",
        "UPDATE given SET app = CAST(app AS BLOB);"
        "UPDATE message SET app = CAST(app AS BLOB)",
        "UPDATE given SET app = app || char(0) || 'x';"
        "UPDATE message SET app = app || char(0) || 'x'",
        "DELETE FROM message",
        "DELETE FROM given",
        "UPDATE given SET state = zeroblob(9);"
        "INSERT INTO message SELECT app, seq + 8, expires, server, body FROM message;"
        "INSERT INTO given SELECT app, seq + 8, size, state FROM given",
    };

    inbox_add("a");
    change(changes[_i]);
    inbox_open_again();
    ck_assert_uint_eq(count_set_aside(), 1);
    ck_assert_int_eq(inbox_add("b"), CC_OK);
    ck_assert_str_eq(inbox_load(0, 9).ids, "b");
}
END_TEST

START_TEST(a_list_of_ids_nobody_wrote_is_set_aside)
{
    static const char *const changes[] = {
        "UPDATE fresh SET ids = x'00'",
        "UPDATE fresh SET ids = x'0000000000000000ff40'",
        "UPDATE fresh SET ids = x'000000000000000001012062'",
    };

    inbox_add("a");
    change(changes[_i]);
    inbox_open_again();
    ck_assert_uint_eq(count_set_aside(), 1);
}
END_TEST

START_TEST(a_cursor_nobody_wrote_is_no_cursor)
{
    char cursor[CC_CURSOR_MAX + 1];

    ck_assert_int_eq(cc_inbox_cursor_set(inbox, "main", cc_slice_of("e-1")), CC_OK);
    change("UPDATE cursor SET value = 'e-1' || char(13, 10) || 'X: y'");
    inbox_open_again();
    ck_assert_int_eq(cc_inbox_cursor_get(inbox, "main", cursor), CC_EMPTY);
}
END_TEST

static cc_status open_refused(const char *text)
{
    cc_status status = cc_inbox_open(inbox_path, NOW, &inbox, &inbox_error);

    ck_assert_ptr_nonnull(inbox_error);
    ck_assert_msg(strstr(inbox_error, text) != NULL, "%s", inbox_error);
    ck_assert_uint_eq(count_set_aside(), 0);
    return status;
}

START_TEST(a_report_nobody_wrote_is_no_report)
{
    cc_reports reports;

    ck_assert_int_eq(cc_inbox_report_add(inbox, "main", "a", NOW), CC_OK);
    change("UPDATE report SET id = 'a' || char(13, 10) || 'X: y'");
    inbox_open_again();
    ck_assert_int_eq(cc_inbox_report_list(inbox, "main", &reports), CC_EMPTY);
    ck_assert_int_eq(cc_inbox_report_add(inbox, "main", "b", NOW), CC_OK);
    ck_assert_int_eq(cc_inbox_report_list(inbox, "main", &reports), CC_OK);
    ck_assert_uint_eq(reports.count, 1);
    ck_assert_str_eq(reports.ids[0], "b");
}
END_TEST

START_TEST(delays_and_dead_nobody_wrote_do_no_harm)
{
    inbox_add("a");
    change("INSERT INTO later SELECT app, seq, -5 FROM message;"
           "INSERT INTO later VALUES('orders', 7, 9223372036854775807);"
           "INSERT INTO dead VALUES(-3, -1, -7, x'00', 'a b', x'ff22', x'5c', '', -2)");
    inbox_open_again();
    ck_assert_str_eq(inbox_load(0, 9).ids, "a");
    ck_assert_int_eq(cc_inbox_dead_remove(inbox, -3), CC_OK);
    ck_assert_int_eq(cc_inbox_dead_remove(inbox, -3), CC_EMPTY);
    ck_assert_uint_eq(count_set_aside(), 0);
}
END_TEST

START_TEST(dead_of_any_size_nobody_wrote_do_no_harm)
{
    cc_slice none = { "", 0 };

    inbox_add("a");
    ck_assert_int_eq(cc_inbox_bury(inbox, "main", none, none, "why", none, NOW), CC_OK);
    ck_assert_int_eq(cc_inbox_bury(inbox, "main", none, none, "why", none, NOW), CC_OK);
    change("UPDATE dead SET size = 9223372036854775807");
    inbox_open_again();
    ck_assert_str_eq(inbox_load(0, 9).ids, "a");
    ck_assert_int_eq(cc_inbox_bury(inbox, "main", none, none, "why", none, NOW), CC_OK);
    ck_assert_int_eq(count_dead(), 3);
}
END_TEST

static void count_gap(void *baton, const char *server, const char *id, int64_t count)
{
    ck_assert_str_eq(server, "main");
    ck_assert_mem_eq(id, "gap.", 4);
    ck_assert_int_eq(count, 2);
    ++*(int *)baton;
}

/* They go into lines of JSON as they are. */
START_TEST(gaps_nobody_wrote_are_passed_over)
{
    int count = 0;

    inbox_add("a");
    ck_assert_int_eq(cc_inbox_app_add(inbox, "orders"), CC_OK);
    ck_assert_int_eq(cc_inbox_gap_add(inbox, "main", "orders", 2), CC_OK);
    change("INSERT INTO gap VALUES('orders', 'b\"', 'gap.1', 1);"
           "INSERT INTO gap VALUES('orders', 'b', 'gap.\"', 1);"
           "INSERT INTO gap VALUES('orders', 'c', 'other', 1);"
           "INSERT INTO gap VALUES('orders', 'd', 'gap.' || hex(zeroblob(30)), 1);"
           "INSERT INTO app VALUES('\"'); INSERT INTO app VALUES(x'00')");
    inbox_open_again();
    ck_assert_int_eq(cc_inbox_gaps(inbox, "orders", count_gap, &count), CC_OK);
    ck_assert_int_eq(count, 1);
    ck_assert_int_eq(cc_inbox_gap_add_unknown(inbox, "other"), CC_OK);
    count = 0;
    ck_assert_int_eq(cc_inbox_gaps(inbox, "\"", count_gap, &count), CC_OK);
    ck_assert_int_eq(count, 0);
}
END_TEST

START_TEST(a_newer_version_is_left_alone)
{
    change("PRAGMA user_version = 1000");
    ck_assert_int_eq(open_refused("newer version"), CC_NEWER);
}
END_TEST

/* What the first version made, word for word. */
static const char first_version[] =
    "CREATE TABLE message(app TEXT NOT NULL, seq INTEGER NOT NULL,"
    " expires INTEGER NOT NULL, server TEXT NOT NULL, body BLOB NOT NULL,"
    " PRIMARY KEY(app, seq)) WITHOUT ROWID;"
    "CREATE TABLE given(app TEXT NOT NULL, seq INTEGER NOT NULL, size INTEGER NOT NULL,"
    " state BLOB NOT NULL, PRIMARY KEY(app, seq)) WITHOUT ROWID;"
    "CREATE TABLE fresh(number INTEGER PRIMARY KEY, ids BLOB NOT NULL);"
    "CREATE TABLE cursor(server TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)"
    " WITHOUT ROWID;"
    "CREATE TABLE seen(day INTEGER NOT NULL, id TEXT NOT NULL,"
    " server TEXT NOT NULL, PRIMARY KEY(day, id, server)) WITHOUT ROWID;"
    "CREATE TABLE dead(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL,"
    " size INTEGER NOT NULL, server TEXT NOT NULL, app TEXT NOT NULL,"
    " id TEXT NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL);"
    "CREATE TABLE gap(app TEXT NOT NULL, server TEXT NOT NULL, id TEXT NOT NULL,"
    " count INTEGER NOT NULL, PRIMARY KEY(app, server)) WITHOUT ROWID;"
    "CREATE TABLE app(name TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID;"
    "INSERT INTO cursor VALUES('main','e-7');"
    "INSERT INTO dead VALUES(5,1,2,'main','orders','x','old',x'7b7d');"
    "PRAGMA application_id = 1668246883; PRAGMA user_version = 1;";

static void check_old_dead(void *baton, const cc_dead *dead)
{
    (void)baton;
    ck_assert_str_eq(dead->id, "x");
    ck_assert_str_eq(dead->reason, "old");
    ck_assert_int_eq(dead->attempt, 0);
    ck_assert_uint_eq(dead->raw.len, 2);
}

START_TEST(an_inbox_of_the_first_version_is_brought_up_to_date)
{
    char cursor[CC_CURSOR_MAX + 1];
    int64_t seq;

    close_inbox();
    unlink(inbox_path);
    change(first_version);
    inbox_open_again();
    ck_assert_uint_eq(count_set_aside(), 0);
    ck_assert_int_eq(cc_inbox_cursor_get(inbox, "main", cursor), CC_OK);
    ck_assert_str_eq(cursor, "e-7");
    ck_assert_int_eq(cc_inbox_dead_get(inbox, 5, check_old_dead, NULL), CC_OK);
    inbox_add("a");
    seq = inbox_load(0, 1).seq;
    ck_assert_int_eq(cc_inbox_put_off(inbox, "orders", seq, NOW + 5000), CC_OK);
    inbox_reopen();
    ck_assert_int_eq(inbox_load(0, 1).due, NOW + 5000);
}
END_TEST

START_TEST(an_old_inbox_with_more_in_it_is_set_aside)
{
    static const char *const changes[] = {
        "CREATE TABLE later(x)",
        "CREATE TABLE more(x)",
        "ALTER TABLE dead ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0",
    };

    close_inbox();
    unlink(inbox_path);
    change(first_version);
    change(changes[_i]);
    inbox_open_again();
    ck_assert_uint_eq(count_set_aside(), 1);
}
END_TEST

START_TEST(the_database_of_another_program_is_left_alone)
{
    close_inbox();
    unlink(inbox_path);
    change("CREATE TABLE bookmarks(url)");
    check_left_alone("is the database of another program");
}
END_TEST

START_TEST(a_second_agent_is_kept_out)
{
    cc_inbox *second = NULL;

    ck_assert_int_eq(cc_inbox_open(inbox_path, NOW, &second, &inbox_error), CC_IN_USE);
    ck_assert_ptr_nonnull(strstr(inbox_error, "in use by another agent"));
}
END_TEST

START_TEST(the_file_is_closed_to_others)
{
    struct stat info;

    ck_assert_int_eq(stat(inbox_path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
    chmod(inbox_path, 0666);
    inbox_reopen();
    ck_assert_int_eq(stat(inbox_path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
}
END_TEST

START_TEST(a_link_is_not_followed)
{
    close_inbox();
    unlink(inbox_path);
    ck_assert_int_eq(symlink("elsewhere", inbox_path), 0);
    ck_assert_int_eq(open_refused("cannot be opened"), CC_SYSTEM);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_inbox_open");
    TCase *c = tcase_create("cc_inbox_open");

    tcase_add_checked_fixture(c, inbox_set_up, inbox_tear_down);
    tcase_add_loop_test(c, a_file_that_is_no_database_is_left_alone, 0, 3);
    tcase_add_test(c, an_empty_file_becomes_an_inbox);
    tcase_add_test(c, a_torn_file_never_stops_the_agent);
    tcase_add_loop_test(c, foreign_tables_triggers_and_columns_are_set_aside, 0, 6);
    tcase_add_loop_test(c, rows_nobody_wrote_are_found_damaged, 0, 11);
    tcase_add_loop_test(c, runs_nobody_wrote_are_set_aside, 0, 18);
    tcase_add_loop_test(c, a_list_of_ids_nobody_wrote_is_set_aside, 0, 3);
    tcase_add_test(c, a_cursor_nobody_wrote_is_no_cursor);
    tcase_add_test(c, a_report_nobody_wrote_is_no_report);
    tcase_add_test(c, delays_and_dead_nobody_wrote_do_no_harm);
    tcase_add_test(c, dead_of_any_size_nobody_wrote_do_no_harm);
    tcase_add_test(c, gaps_nobody_wrote_are_passed_over);
    tcase_add_test(c, a_newer_version_is_left_alone);
    tcase_add_test(c, an_inbox_of_the_first_version_is_brought_up_to_date);
    tcase_add_loop_test(c, an_old_inbox_with_more_in_it_is_set_aside, 0, 3);
    tcase_add_test(c, the_database_of_another_program_is_left_alone);
    tcase_add_test(c, a_second_agent_is_kept_out);
    tcase_add_test(c, the_file_is_closed_to_others);
    tcase_add_test(c, a_link_is_not_followed);
    suite_add_tcase(s, c);
    return support_run(s);
}
