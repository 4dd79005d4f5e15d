/* SPDX-License-Identifier: Apache-2.0
 * check_cc_inbox.c - the durable store, and what it does with files that are
 * not as it left them.
 */
#include "cc_inbox.h"
#include "support/support.h"

#include <fcntl.h>
#include <glob.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOW 1800000000000ll /* ms                                           */
#define DAY 86400000ll

static cc_inbox *inbox;
static char path[256];
static char *error;

static void open_inbox(void)
{
    ck_assert_int_eq(cc_inbox_open(path, NOW, &inbox, &error), CC_OK);
    ck_assert_ptr_null(error);
}

static void reopen(void)
{
    cc_inbox_close(inbox);
    open_inbox();
}

static void set_up(void)
{
    snprintf(path, sizeof(path), "%s/inbox.db", reaper_temporary());
    open_inbox();
}

static void tear_down(void)
{
    cc_inbox_close(inbox);
    inbox = NULL;
    free(error);
    error = NULL;
}

/* The text lives until the next call. */
static cc_envelope make_message(const char *id, const char *app, const char *data)
{
    static char text[4096];
    cc_envelope envelope;

    snprintf(text, sizeof(text),
             "{\"id\":\"%s\",\"app\":\"%s\",\"length\":%zu,\"data\":%s}", id, app,
             strlen(data), data);
    ck_assert_int_eq(cc_envelope_parse(text, strlen(text), &envelope), CC_OK);
    ck_assert_ptr_null(envelope.unusable);
    return envelope;
}

/* Within a transaction. */
static cc_status put(const char *server, const char *id, int64_t expires, int64_t now)
{
    cc_envelope envelope = make_message(id, "orders", "1");
    int64_t seq = 0;

    envelope.expires = expires;
    return cc_inbox_add(inbox, server, &envelope, 0, now, 0, &seq);
}

/* In a transaction of its own. */
static cc_status add_expiring(const char *server, const char *id, int64_t expires,
                              int64_t now)
{
    cc_status status;

    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    status = put(server, id, expires, now);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    return status;
}

static cc_status add(const char *id)
{
    return add_expiring("main", id, NOW + DAY, NOW);
}

static void remove_message(int64_t seq)
{
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_remove(inbox, "orders", seq), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
}

static int64_t count_messages(void)
{
    cc_inbox_usage usage;

    cc_inbox_usage_get(inbox, &usage);
    return usage.messages;
}

typedef struct loaded {
    int count;
    char ids[256];
    int attempt; /* of the last                                           */
    int64_t seq; /* of the last                                           */
} loaded;

static void note_loaded(void *baton, const cc_stored *stored)
{
    loaded *l = baton;

    l->count++;
    strcat(l->ids, stored->id);
    l->attempt = stored->attempt;
    l->seq = stored->seq;
    ck_assert_uint_lt(stored->head_len, stored->body.len);
    ck_assert_int_eq(stored->body.data[stored->head_len], ',');
}

static loaded load(int64_t after, int limit)
{
    loaded l = { 0, "", 0, 0 };
    cc_status status =
        cc_inbox_load(inbox, "orders", after, limit, 1 << 20, note_loaded, &l);

    ck_assert_int_eq(status, l.count > 0 ? CC_OK : CC_EMPTY);
    return l;
}

typedef struct order {
    int count;
    int last;
    int64_t seq;
} order;

static void note_order(void *baton, const cc_stored *stored)
{
    order *o = baton;
    int round, number;

    ck_assert_int_eq(sscanf(stored->id, "%d-%d", &round, &number), 2);
    ck_assert_int_gt(round * 3000 + number, o->last);
    o->last = round * 3000 + number;
    o->seq = stored->seq;
    o->count++;
}

static void check_order(int expected)
{
    order o = { 0, -1, 0 };

    while (cc_inbox_load(inbox, "orders", o.seq, 700, 1 << 20, note_order, &o) == CC_OK)
        ;
    ck_assert_int_eq(o.count, expected);
}

START_TEST(what_was_committed_is_there_after_reopening)
{
    char cursor[CC_CURSOR_MAX + 1];
    loaded l;

    ck_assert_int_eq(cc_inbox_cursor_get(inbox, "main", cursor), CC_EMPTY);
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(put("main", "a", 0, NOW), CC_OK);
    ck_assert_int_eq(put("main", "b", 0, NOW), CC_OK);
    ck_assert_int_eq(cc_inbox_cursor_set(inbox, "main", cc_slice_of("e-2")), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    reopen();
    ck_assert_int_eq(cc_inbox_cursor_get(inbox, "main", cursor), CC_OK);
    ck_assert_str_eq(cursor, "e-2");
    ck_assert_int_eq(cc_inbox_cursor_get(inbox, "other", cursor), CC_EMPTY);
    ck_assert_int_eq(count_messages(), 2);
    l = load(0, 10);
    ck_assert_str_eq(l.ids, "ab");
}
END_TEST

START_TEST(what_was_rolled_back_never_was)
{
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(put("main", "a", 0, NOW), CC_OK);
    ck_assert_int_eq(count_messages(), 1);
    cc_inbox_rollback(inbox);
    ck_assert_int_eq(count_messages(), 0);
    ck_assert_int_eq(add("a"), CC_OK);
}
END_TEST

START_TEST(a_message_counts_once)
{
    ck_assert_int_eq(add("a"), CC_OK);
    ck_assert_int_eq(add("a"), CC_DUPLICATE);
    remove_message(load(0, 1).seq);
    ck_assert_int_eq(count_messages(), 0);
    ck_assert_int_eq(add("a"), CC_DUPLICATE);
    reopen();
    ck_assert_int_eq(add("a"), CC_DUPLICATE);
    ck_assert_int_eq(add_expiring("other", "a", NOW + DAY, NOW), CC_OK);
}
END_TEST

START_TEST(ids_are_remembered_until_expiry_and_a_day)
{
    int64_t dropped;

    ck_assert_int_eq(add_expiring("main", "a", NOW + DAY, NOW), CC_OK);
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 2 * DAY - 1, &dropped), CC_OK);
    ck_assert_int_eq(dropped, 1);
    ck_assert_int_eq(add_expiring("main", "a", NOW + DAY, NOW + 2 * DAY), CC_DUPLICATE);
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 4 * DAY, &dropped), CC_OK);
    ck_assert_int_eq(add_expiring("main", "a", NOW + DAY, NOW), CC_OK);
}
END_TEST

START_TEST(a_message_without_expiry_is_recognized_on_another_day)
{
    ck_assert_int_eq(add_expiring("main", "a", 0, NOW), CC_OK);
    ck_assert_int_eq(add_expiring("main", "a", 0, NOW + 3 * DAY), CC_DUPLICATE);
    ck_assert_int_eq(add_expiring("main", "b", NOW + 5000 * DAY, NOW), CC_OK);
    ck_assert_int_eq(add_expiring("main", "b", NOW + 5000 * DAY, NOW + DAY),
                     CC_DUPLICATE);
}
END_TEST

START_TEST(loading_marks_as_given)
{
    loaded l;

    add("a");
    add("b");
    add("c");
    l = load(0, 2);
    ck_assert_str_eq(l.ids, "ab");
    ck_assert_int_eq(l.attempt, 0);
    ck_assert_str_eq(load(l.seq, 2).ids, "c");
    reopen();
    l = load(0, 10);
    ck_assert_str_eq(l.ids, "abc");
    ck_assert_int_eq(l.attempt, 1);
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_attempt_set(inbox, "orders", l.seq, 7), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    ck_assert_int_eq(load(0, 10).attempt, 7);
    ck_assert_int_eq(load(l.seq, 10).count, 0);
}
END_TEST

START_TEST(a_message_is_found_by_its_id)
{
    char app[CC_APP_MAX + 1];
    int64_t seq = 0;

    ck_assert_int_eq(cc_inbox_find(inbox, "a", app, &seq), CC_NOT_FOUND);
    add("a");
    ck_assert_int_eq(cc_inbox_find(inbox, "a", app, &seq), CC_OK);
    ck_assert_str_eq(app, "orders");
    remove_message(seq);
    ck_assert_int_eq(cc_inbox_find(inbox, "a", app, &seq), CC_EMPTY);
    remove_message(seq);
}
END_TEST

START_TEST(the_expired_go_and_the_others_stay)
{
    int64_t dropped = -1;

    add_expiring("main", "late", NOW + DAY, NOW);
    add_expiring("main", "soon", NOW + 1000, NOW);
    add_expiring("main", "never", 0, NOW);
    ck_assert_int_eq(cc_inbox_next_expiry(inbox), NOW + 1000);
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 1000, &dropped), CC_OK);
    ck_assert_int_eq(dropped, 1);
    ck_assert_int_eq(count_messages(), 2);
    ck_assert_str_eq(load(0, 10).ids, "latenever");
    ck_assert_int_eq(cc_inbox_next_expiry(inbox), NOW + DAY);
}
END_TEST

static int64_t bytes_used(void)
{
    cc_inbox_usage usage;

    cc_inbox_usage_get(inbox, &usage);
    return usage.bytes;
}

/* Messages that came together: one done with leaves the others as they are. */
START_TEST(messages_that_came_together_go_one_by_one)
{
    char id[16];
    loaded l;
    int i;

    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    for (i = 0; i < 10; i++) {
        snprintf(id, sizeof(id), "%d", i);
        ck_assert_int_eq(put("main", id,
                             i == 7   ? NOW + 10
                             : i == 8 ? NOW + 20
                                      : 0,
                             NOW),
                         CC_OK);
    }
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    l = load(0, 3);
    remove_message(l.seq - 1);
    remove_message(l.seq + 3);
    remove_message(l.seq + 3);
    ck_assert_int_eq(count_messages(), 8);
    reopen();
    ck_assert_int_eq(count_messages(), 8);
    ck_assert_str_eq(load(0, 2).ids, "02");
    ck_assert_str_eq(load(l.seq, 99).ids, "346789");
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 15, &(int64_t){ 0 }), CC_OK);
    ck_assert_str_eq(load(0, 99).ids, "0234689");
    ck_assert_int_gt(cc_inbox_next_expiry(inbox), NOW + 15);
    for (i = 0; i < 10; i++)
        remove_message(l.seq - 2 + i);
    ck_assert_int_eq(count_messages(), 0);
    ck_assert_int_eq(bytes_used(), 0);
    reopen();
    ck_assert_int_eq(bytes_used(), 0);
}
END_TEST

/* More than one run, more than one transaction, two applications in turns. */
START_TEST(many_messages_keep_their_order_and_their_ids)
{
    char id[32];
    int64_t seq;
    int i, round;

    for (round = 0; round < 10; round++) {
        ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
        for (i = 0; i < 3000; i++) {
            cc_envelope envelope;

            snprintf(id, sizeof(id), "%d-%d", round, i);
            envelope = make_message(id, i % 3 ? "orders" : "mail", "1");
            ck_assert_int_eq(cc_inbox_add(inbox, "main", &envelope, 0, NOW, 0, &seq),
                             CC_OK);
        }
        ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    }
    ck_assert_int_eq(count_messages(), 30000);
    check_order(20000);
    reopen();
    ck_assert_int_eq(count_messages(), 30000);
    check_order(20000);
    for (round = 0; round < 10; round++) {
        for (i = 0; i < 3000; i += 251) {
            snprintf(id, sizeof(id), "%d-%d", round, i);
            ck_assert_int_eq(add_expiring("main", id, 0, NOW), CC_DUPLICATE);
        }
    }
}
END_TEST

START_TEST(a_rolled_back_removal_is_undone)
{
    int64_t seq;

    add("a");
    seq = load(0, 1).seq;
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_remove(inbox, "orders", seq), CC_OK);
    ck_assert_int_eq(count_messages(), 0);
    cc_inbox_rollback(inbox);
    ck_assert_int_eq(count_messages(), 1);
    ck_assert_int_eq(load(0, 1).count, 1);
    remove_message(seq);
    ck_assert_int_eq(load(0, 1).count, 0);
}
END_TEST

START_TEST(the_clock_of_the_server_is_allowed_for)
{
    cc_envelope envelope = make_message("a", "orders", "1");
    int64_t seq, dropped;

    envelope.expires = NOW + DAY + 5000;
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_add(inbox, "main", &envelope, DAY, NOW, 0, &seq), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    ck_assert_int_eq(cc_inbox_next_expiry(inbox), NOW + 5000);
    ck_assert_int_eq(cc_inbox_expire(inbox, NOW + 4999, &dropped), CC_OK);
    ck_assert_int_eq(dropped, 0);
}
END_TEST

static char gap_text[256];

static void note_gap(void *baton, const char *server, const char *id, int64_t count)
{
    (void)baton;
    snprintf(gap_text, sizeof(gap_text), "%s %lld %s", server, (long long)count, id);
}

START_TEST(gaps_add_up_and_get_new_ids)
{
    char before[256];

    ck_assert_int_eq(cc_inbox_gap_add(inbox, "main", "orders", 5), CC_OK);
    cc_inbox_gaps(inbox, "orders", note_gap, NULL);
    strcpy(before, gap_text);
    ck_assert_int_eq(strncmp(before, "main 5 gap.", 11), 0);
    ck_assert_int_eq(cc_inbox_gap_add(inbox, "main", "orders", 7), CC_OK);
    ck_assert_int_eq(cc_inbox_gap_remove(inbox, before + 7), CC_OK);
    cc_inbox_gaps(inbox, "orders", note_gap, NULL);
    ck_assert_int_eq(strncmp(gap_text, "main 12 gap.", 12), 0);
    ck_assert_int_eq(cc_inbox_gap_add(inbox, "main", "orders", INT64_MAX), CC_OK);
    ck_assert_int_eq(cc_inbox_gap_add(inbox, "main", "orders", INT64_MAX), CC_OK);
    cc_inbox_gaps(inbox, "orders", note_gap, NULL);
    ck_assert_ptr_null(strchr(gap_text, '-'));
    ck_assert_int_eq(cc_inbox_gap_remove(inbox, strstr(gap_text, "gap.")), CC_OK);
    gap_text[0] = '\0';
    cc_inbox_gaps(inbox, "orders", note_gap, NULL);
    ck_assert_str_eq(gap_text, "");
}
END_TEST

START_TEST(an_unknown_gap_is_told_to_who_subscribed)
{
    ck_assert_int_eq(cc_inbox_app_add(inbox, "orders"), CC_OK);
    ck_assert_int_eq(cc_inbox_app_add(inbox, "orders"), CC_OK);
    ck_assert_int_eq(cc_inbox_gap_add(inbox, "main", "orders", 5), CC_OK);
    ck_assert_int_eq(cc_inbox_gap_add_unknown(inbox, "main"), CC_OK);
    cc_inbox_gaps(inbox, "orders", note_gap, NULL);
    ck_assert_int_eq(strncmp(gap_text, "main 0 gap.", 11), 0);
    gap_text[0] = '\0';
    cc_inbox_gaps(inbox, "mail", note_gap, NULL);
    ck_assert_str_eq(gap_text, "");
}
END_TEST

START_TEST(the_dead_list_is_bounded)
{
    cc_slice none = { "", 0 }, raw = { NULL, 1 << 20 };
    cc_inbox_usage usage;
    int i;

    raw.data = calloc(1, raw.len);
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    for (i = 0; i < 1010; i++)
        ck_assert_int_eq(
            cc_inbox_bury(inbox, "main", none, none, "why", cc_slice_of("{}"), NOW),
            CC_OK);
    cc_inbox_usage_get(inbox, &usage);
    ck_assert_int_eq(usage.dead, 1000);
    for (i = 0; i < 70; i++)
        ck_assert_int_eq(cc_inbox_bury(inbox, "main", none, none, "why", raw, NOW),
                         CC_OK);
    cc_inbox_usage_get(inbox, &usage);
    ck_assert_int_eq(usage.dead, 64);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    free((char *)raw.data);
}
END_TEST

/* ---- files that are not as they should be ---------------------------- */

static void write_at(long offset, const char *data, size_t len)
{
    int descriptor = open(path, O_WRONLY | O_CREAT, 0600);

    ck_assert_int_eq(pwrite(descriptor, data, len, offset), (ssize_t)len);
    close(descriptor);
}

static size_t count_set_aside(void)
{
    glob_t found;
    size_t count = 0;

    if (glob(support_text("%s.damaged-*", path), 0, NULL, &found) == 0)
        count = found.gl_pathc;
    globfree(&found);
    return count;
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

    chmod(path, 0644);
    ck_assert_int_eq(stat(path, &info), 0);
    before = process_read_file(path);
    ck_assert_int_eq(open_refused(why), CC_NOT_PERMITTED);
    after = process_read_file(path);
    ck_assert_mem_eq(after, before, (size_t)info.st_size);
    ck_assert_int_eq(stat(path, &info), 0);
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
    unlink(path);
    process_write_file(path, texts[_i]);
    check_left_alone("is a file of another program");
}
END_TEST

START_TEST(an_empty_file_becomes_an_inbox)
{
    close_inbox();
    unlink(path);
    process_write_file(path, "");
    open_inbox();
    ck_assert_int_eq(add("a"), CC_OK);
    reopen();
    ck_assert_int_eq(count_messages(), 1);
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
        unlink(path);
        close_inbox();
        open_inbox();
        add("a");
        add("b");
        close_inbox();
        ck_assert_int_eq(stat(path, &info), 0);
        if (offset >= info.st_size)
            break;
        write_at(offset, garbage, sizeof(garbage));
        open_inbox();
        add("c");
        load(0, 10);
    }
    ck_assert_uint_ge(count_set_aside(), 5);
    open_inbox();
}
END_TEST

static void change(const char *sql)
{
    sqlite3 *db;
    char *message = NULL;

    close_inbox();
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
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
    open_inbox();
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
        "UPDATE message SET body = substr(body, 1, 20)",
        "UPDATE message SET body = x'ffffffff'",
        "UPDATE message SET body = x'00'",
        "UPDATE message SET body = substr(body, 1, 12) || x'01000000' || substr(body, "
        "17)",
        "UPDATE message SET body = substr(body, 1, 12) || x'00ffff7f' || substr(body, "
        "17)",
        "UPDATE message SET body = substr(body, 1, 16) || x'ff' || substr(body, 18)",
        "UPDATE message SET body = substr(body, 1, 16) || x'0120' || substr(body, 19)",
        "UPDATE message SET body = replace(body, x'31', x'0a')",
        "UPDATE message SET server = '\"'",
        "UPDATE message SET body = x''",
        "UPDATE given SET state = x''",
        "UPDATE given SET state = x'0000'",
        "UPDATE given SET state = zeroblob(100000)",
    };

    add("a");
    change(changes[_i]);
    open_inbox();
    ck_assert_int_eq(cc_inbox_load(inbox, "orders", 0, 9, 99, ignore_loaded, NULL),
                     CC_DAMAGED);
}
END_TEST

START_TEST(a_list_of_ids_nobody_wrote_is_set_aside)
{
    static const char *const changes[] = {
        "UPDATE fresh SET ids = x'00'",
        "UPDATE fresh SET ids = x'0000000000000000ff40'",
        "UPDATE fresh SET ids = x'000000000000000001012062'",
        "UPDATE given SET size = -1",
    };

    add("a");
    change(changes[_i]);
    open_inbox();
    ck_assert_uint_eq(count_set_aside(), 1);
}
END_TEST

START_TEST(a_cursor_nobody_wrote_is_no_cursor)
{
    char cursor[CC_CURSOR_MAX + 1];

    ck_assert_int_eq(cc_inbox_cursor_set(inbox, "main", cc_slice_of("e-1")), CC_OK);
    change("UPDATE cursor SET value = 'e-1' || char(13, 10) || 'X: y'");
    open_inbox();
    ck_assert_int_eq(cc_inbox_cursor_get(inbox, "main", cursor), CC_EMPTY);
}
END_TEST

static cc_status open_refused(const char *text)
{
    cc_status status = cc_inbox_open(path, NOW, &inbox, &error);

    ck_assert_ptr_nonnull(error);
    ck_assert_msg(strstr(error, text) != NULL, "%s", error);
    ck_assert_uint_eq(count_set_aside(), 0);
    return status;
}

START_TEST(a_newer_version_is_left_alone)
{
    change("PRAGMA user_version = 2");
    ck_assert_int_eq(open_refused("newer version"), CC_NEWER);
}
END_TEST

START_TEST(the_database_of_another_program_is_left_alone)
{
    close_inbox();
    unlink(path);
    change("CREATE TABLE bookmarks(url)");
    check_left_alone("is the database of another program");
}
END_TEST

START_TEST(a_second_agent_is_kept_out)
{
    cc_inbox *second = NULL;

    ck_assert_int_eq(cc_inbox_open(path, NOW, &second, &error), CC_IN_USE);
    ck_assert_ptr_nonnull(strstr(error, "in use by another agent"));
}
END_TEST

START_TEST(the_file_is_closed_to_others)
{
    struct stat info;

    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
    chmod(path, 0666);
    reopen();
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
}
END_TEST

START_TEST(a_link_is_not_followed)
{
    close_inbox();
    unlink(path);
    ck_assert_int_eq(symlink("elsewhere", path), 0);
    ck_assert_int_eq(open_refused("cannot be opened"), CC_SYSTEM);
}
END_TEST

static void add_store_tests(TCase *c)
{
    tcase_add_test(c, what_was_committed_is_there_after_reopening);
    tcase_add_test(c, what_was_rolled_back_never_was);
    tcase_add_test(c, a_message_counts_once);
    tcase_add_test(c, ids_are_remembered_until_expiry_and_a_day);
    tcase_add_test(c, a_message_without_expiry_is_recognized_on_another_day);
    tcase_add_test(c, loading_marks_as_given);
    tcase_add_test(c, a_message_is_found_by_its_id);
    tcase_add_test(c, the_expired_go_and_the_others_stay);
    tcase_add_test(c, messages_that_came_together_go_one_by_one);
    tcase_add_test(c, many_messages_keep_their_order_and_their_ids);
    tcase_add_test(c, a_rolled_back_removal_is_undone);
    tcase_add_test(c, the_clock_of_the_server_is_allowed_for);
    tcase_add_test(c, gaps_add_up_and_get_new_ids);
    tcase_add_test(c, an_unknown_gap_is_told_to_who_subscribed);
    tcase_add_test(c, the_dead_list_is_bounded);
}

static void add_file_tests(TCase *c)
{
    tcase_add_loop_test(c, a_file_that_is_no_database_is_left_alone, 0, 3);
    tcase_add_test(c, an_empty_file_becomes_an_inbox);
    tcase_add_test(c, a_torn_file_never_stops_the_agent);
    tcase_add_loop_test(c, foreign_tables_triggers_and_columns_are_set_aside, 0, 6);
    tcase_add_loop_test(c, rows_nobody_wrote_are_found_damaged, 0, 13);
    tcase_add_loop_test(c, a_list_of_ids_nobody_wrote_is_set_aside, 0, 4);
    tcase_add_test(c, a_cursor_nobody_wrote_is_no_cursor);
    tcase_add_test(c, a_newer_version_is_left_alone);
    tcase_add_test(c, the_database_of_another_program_is_left_alone);
    tcase_add_test(c, a_second_agent_is_kept_out);
    tcase_add_test(c, the_file_is_closed_to_others);
    tcase_add_test(c, a_link_is_not_followed);
}

int main(void)
{
    Suite *s = suite_create("cc_inbox");
    TCase *store = tcase_create("store");
    TCase *files = tcase_create("files");

    tcase_add_checked_fixture(store, set_up, tear_down);
    add_store_tests(store);
    suite_add_tcase(s, store);
    tcase_add_checked_fixture(files, set_up, tear_down);
    add_file_tests(files);
    suite_add_tcase(s, files);
    return support_run(s);
}
