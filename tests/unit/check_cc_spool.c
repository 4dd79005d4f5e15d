/* SPDX-License-Identifier: Apache-2.0
 * check_cc_spool.c - what waits to be published: the table on disk, the lanes
 * in memory, and what an answer of a server says about a message.
 */
#include "cc_outbox.h"
#include "cc_sender.h"
#include "cc_spool.h"
#include "cc_time.h"
#include "support/support.h"

#include <event2/event.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW 1800000000000ll /* ms                                           */

static char path[256];
static cc_inbox *inbox;
static cc_spool *spool;
static struct event_base *base;
static cc_config *config;
static cc_dispatch *dispatch;
static cc_outbox *outbox;
static int64_t taken_at; /* ms since 1970                                   */
static char said[4096];  /* of messages that were read, or of outcomes        */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
    size_t len = strlen(said);
    va_list args;

    va_start(args, format);
    vsnprintf(said + len, sizeof said - len, format, args);
    va_end(args);
}

static void expect_said(const char *text)
{
    ck_assert_str_eq(said, text);
    said[0] = '\0';
}

static void open_inbox(void)
{
    char *error = NULL;

    ck_assert_int_eq(cc_inbox_open(path, NOW, &inbox, &error), CC_OK);
}

/* ---- the table --------------------------------------------------------- */

static void set_up_spool(void)
{
    snprintf(path, sizeof path, "%s/inbox.db", reaper_temporary());
    open_inbox();
    ck_assert_int_eq(cc_spool_open(inbox, &spool), CC_OK);
    said[0] = '\0';
}

static void tear_down_spool(void)
{
    cc_spool_close(spool);
    cc_inbox_close(inbox);
}

static cc_spooled message_of(int64_t seq)
{
    cc_spooled m;

    memset(&m, 0, sizeof m);
    m.seq = seq;
    m.server = "main";
    m.app = "orders";
    m.key = "00112233445566778899aabbccddeeff";
    m.place = "/bob";
    m.type = "text/plain; charset=\"\xc3\xa9\"";
    m.topic = "t-1";
    m.urgency = "very-low";
    m.receipt = 1;
    m.ttl = 60;
    m.expires = NOW + 60000;
    m.body.data = "a\0b";
    m.body.len = 3;
    return m;
}

static void add(const cc_spooled *m)
{
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_spool_add(spool, m), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
}

static void say_message(void *baton, const cc_spooled *m)
{
    (void)baton;
    say("%lld %s %s %s %s %s %s %s %d %lld %lld %zu;", (long long)m->seq, m->server,
        m->app, m->key, m->place, m->type, m->topic, m->urgency, m->receipt,
        (long long)m->ttl, (long long)(m->expires - NOW), m->size);
    if (m->body.data)
        ck_assert_int_eq(memcmp(m->body.data, "a\0b", 3), 0);
}

static void say_seq(void *baton, const cc_spooled *m)
{
    (void)baton;
    say("%lld ", (long long)m->seq);
}

#define WHOLE                                                                            \
    "7 main orders 00112233445566778899aabbccddeeff /bob text/plain; "                   \
    "charset=\"\xc3\xa9\" t-1 very-low 1 60 60000 3;"

START_TEST(what_was_added_is_read_again)
{
    cc_spooled m = message_of(7);

    add(&m);
    tear_down_spool();
    open_inbox();
    ck_assert_int_eq(cc_spool_open(inbox, &spool), CC_OK);
    ck_assert_int_eq(cc_spool_read(spool, 7, say_message, NULL), CC_OK);
    expect_said(WHOLE);
    ck_assert_int_eq(cc_spool_list(spool, say_message, NULL), CC_OK);
    expect_said(WHOLE);
    ck_assert_int_eq(cc_spool_read(spool, 8, say_message, NULL), CC_EMPTY);
    expect_said("");
}
END_TEST

START_TEST(the_list_begins_with_the_oldest)
{
    static const int64_t order[] = { 30, 10, 20 };
    cc_spooled m;
    size_t i;

    for (i = 0; i < 3; i++) {
        m = message_of(order[i]);
        add(&m);
    }
    ck_assert_int_eq(cc_spool_list(spool, say_seq, NULL), CC_OK);
    expect_said("10 20 30 ");
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_spool_remove(spool, 20), CC_OK);
    ck_assert_int_eq(cc_spool_remove(spool, 99), CC_OK);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    ck_assert_int_eq(cc_spool_list(spool, say_seq, NULL), CC_OK);
    expect_said("10 30 ");
}
END_TEST

START_TEST(a_rollback_takes_changes_back)
{
    cc_spooled m = message_of(1);

    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_spool_add(spool, &m), CC_OK);
    cc_inbox_rollback(inbox);
    ck_assert_int_eq(cc_spool_list(spool, say_seq, NULL), CC_OK);
    expect_said("");
    add(&m);
    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    ck_assert_int_eq(cc_spool_add(spool, &m), CC_STORAGE);
    cc_inbox_rollback(inbox);
}
END_TEST

/* What somebody could write into the file, and what would reach a header. */
static const char *const tampered[] = {
    "app = 'a/b'",
    "key = ''",
    "key = '00112233445566778899aabbccddee\"f'",
    "place = ''",
    "place = 'bob'",
    "place = '/b ob'",
    "place = '/b' || char(13) || char(10)",
    "place = '/b#c'",
    "type = 'a' || char(10) || 'X: y'",
    "topic = 'a b'",
    "topic = 'a2345678901234567890123456789012345'",
    "urgency = 'urgent'",
    "ttl = -2",
    "ttl = 2147483648",
    "expires = -1",
    "server = x'00', app = x'00'",
};

START_TEST(a_row_that_is_not_right_is_not_used)
{
    cc_spooled m = message_of(1);
    sqlite3 *db;

    add(&m);
    tear_down_spool();
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, support_text("UPDATE spool SET %s", tampered[_i]),
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(db);
    open_inbox();
    ck_assert_int_eq(cc_spool_open(inbox, &spool), CC_OK);
    ck_assert_int_eq(cc_spool_read(spool, 1, say_message, NULL), CC_MALFORMED);
    expect_said("");
}
END_TEST

/* ---- the outbox -------------------------------------------------------- */

static void say_spooled(void *baton, const cc_outcome *o)
{
    (void)baton;
    ck_assert_uint_eq(strlen(o->key), CC_KEY_MAX);
    say("spooled %s;", o->ref ? o->ref : "-");
}

static void say_finished(void *baton, const cc_outcome *o)
{
    (void)baton;
    say("%s %s %s%s;", o->error ? cc_command_error_code(o->error) : "published",
        o->ref ? o->ref : "-", o->id, o->detail);
}

static const cc_outbox_calls calls = { say_spooled, say_finished };

static void open_outbox(void)
{
    open_inbox();
    base = event_base_new();
    dispatch = cc_dispatch_create(config, inbox, base);
    ck_assert_int_eq(cc_outbox_create(config, inbox, dispatch, base, &outbox), CC_OK);
}

static void close_outbox(void)
{
    cc_outbox_destroy(outbox);
    cc_dispatch_destroy(dispatch);
    cc_inbox_close(inbox);
    event_base_free(base);
}

static void set_up_outbox(void)
{
    const char *directory = reaper_temporary();
    const char *file = support_text("%s/c.conf", directory);
    char *error = NULL;

    snprintf(path, sizeof path, "%s/inbox.db", directory);
    process_write_file(file, "[agent]\nsocket = s\ninbox = inbox.db\nspool_max = 1M\n"
                             "[server one]\nurl = http://x/\npublish = http://x/p\n"
                             "[server two]\nurl = http://y/\npublish = http://y/p\n"
                             "[server three]\nurl = http://z/\n");
    ck_assert_int_eq(cc_config_read(file, &config, &error), CC_OK);
    said[0] = '\0';
    taken_at = cc_time_now();
    open_outbox();
}

static void tear_down_outbox(void)
{
    close_outbox();
    cc_config_destroy(config);
}

static cc_command_error take(const char *app, const char *members)
{
    const char *object = support_text("{\"to\":\"bob\",%s}", members);
    cc_command_error error;
    cc_publication p;

    ck_assert_int_eq(cc_publication_parse((cc_slice){ object, strlen(object) }, &p),
                     CC_ERROR_NONE);
    error = cc_outbox_take(outbox, &p, app, taken_at, &calls, NULL);
    cc_publication_clear(&p);
    return error;
}

static void spool_one(const char *app, const char *ref)
{
    ck_assert_int_eq(
        take(app, support_text("\"server\":\"one\",\"data\":1,\"ref\":\"%s\"", ref)),
        CC_ERROR_NONE);
    cc_outbox_commit(outbox);
    expect_said(support_text("spooled %s;", ref));
}

static cc_lane *next(void)
{
    int64_t wait;

    return cc_outbox_next(outbox, "one", 1000, &wait);
}

static void say_body(void *baton, const cc_spooled *m)
{
    (void)baton;
    say("%s %.*s;", m->app, (int)m->body.len, m->body.data);
}

START_TEST(nothing_is_spooled_before_the_commit)
{
    ck_assert_int_eq(take("orders", "\"server\":\"one\",\"data\":1"), CC_ERROR_NONE);
    expect_said("");
    ck_assert_ptr_null(next());
    cc_outbox_commit(outbox);
    expect_said("spooled -;");
    ck_assert_ptr_nonnull(next());
}
END_TEST

/* Committed without anybody asking, in the same turn of the event loop. */
START_TEST(the_commit_comes_by_itself)
{
    ck_assert_int_eq(take("orders", "\"server\":\"one\",\"data\":1"), CC_ERROR_NONE);
    ck_assert_int_eq(take("orders", "\"server\":\"one\",\"data\":2"), CC_ERROR_NONE);
    event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    expect_said("spooled -;spooled -;");
}
END_TEST

START_TEST(a_lane_gives_one_after_the_other)
{
    cc_lane *lane, *other;

    spool_one("orders", "a");
    spool_one("orders", "b");
    spool_one("news", "c");
    lane = next();
    ck_assert_str_eq(lane->app, "orders");
    other = next();
    ck_assert_str_eq(other->app, "news");
    ck_assert_ptr_null(next());
    cc_outbox_published(outbox, lane, "id1", "queued");
    cc_outbox_refused(outbox, other, CC_ERROR_REFUSED, "400");
    expect_said("");
    cc_outbox_commit(outbox);
    expect_said("published a id1;refused c 400;");
    lane = next();
    ck_assert_int_eq(cc_outbox_read(outbox, lane, say_body, NULL), CC_OK);
    expect_said("orders 1;");
    cc_outbox_keep(outbox, lane);
    ck_assert_ptr_eq(next(), lane);
}
END_TEST

START_TEST(a_lane_that_rests_is_passed_over)
{
    cc_lane *lane;
    int64_t wait;

    spool_one("orders", "a");
    spool_one("news", "b");
    lane = next();
    lane->not_before = 1500;
    cc_outbox_keep(outbox, lane);
    lane = next();
    ck_assert_str_eq(lane->app, "news");
    ck_assert_ptr_null(cc_outbox_next(outbox, "one", 1000, &wait));
    ck_assert_int_eq(wait, 500);
    ck_assert_str_eq(cc_outbox_next(outbox, "one", 1500, &wait)->app, "orders");
    ck_assert_ptr_null(cc_outbox_next(outbox, "one", 1500, &wait));
    ck_assert_int_eq(wait, -1);
}
END_TEST

START_TEST(what_expired_is_not_given)
{
    taken_at -= 10000;
    ck_assert_int_eq(take("orders", "\"server\":\"one\",\"data\":1,\"ttl\":9,"
                                    "\"ref\":\"old\""),
                     CC_ERROR_NONE);
    ck_assert_int_eq(take("orders", "\"server\":\"one\",\"data\":2,\"ttl\":60"),
                     CC_ERROR_NONE);
    ck_assert_int_eq(take("news", "\"server\":\"one\",\"data\":3,\"ttl\":0"),
                     CC_ERROR_NONE);
    cc_outbox_commit(outbox);
    expect_said("spooled old;spooled -;spooled -;");
    ck_assert_int_eq(cc_outbox_read(outbox, next(), say_body, NULL), CC_OK);
    expect_said("orders 2;");
    ck_assert_ptr_null(next());
    cc_outbox_commit(outbox);
    expect_said("expired old ;expired - ;");
}
END_TEST

START_TEST(the_section_is_found_or_asked_for)
{
    ck_assert_int_eq(take("a", "\"data\":1"), CC_ERROR_NO_SERVER);
    ck_assert_int_eq(take("a", "\"data\":1,\"server\":\"three\""), CC_ERROR_NO_SERVER);
    ck_assert_int_eq(take("a", "\"data\":1,\"server\":\"four\""), CC_ERROR_NO_SERVER);
    ck_assert_int_eq(take("a", "\"data\":1,\"server\":\"two\""), CC_ERROR_NONE);
    cc_outbox_commit(outbox);
    expect_said("spooled -;");
    ck_assert_ptr_null(next());
}
END_TEST

START_TEST(the_bound_counts_all_that_waits)
{
    cc_outbox_usage usage;
    int count = 0;

    while (take("a", "\"data\":1,\"server\":\"one\"") == CC_ERROR_NONE)
        count++;
    ck_assert_int_eq(count, (1 << 20) / (CC_SPOOL_MESSAGE_COST + 1) / 2);
    cc_outbox_commit(outbox);
    ck_assert_int_eq(take("a", "\"data\":1,\"server\":\"one\""), CC_ERROR_FULL);
    cc_outbox_published(outbox, next(), "", "");
    ck_assert_int_eq(take("a", "\"data\":1,\"server\":\"one\""), CC_ERROR_NONE);
    cc_outbox_usage_get(outbox, NULL, &usage);
    ck_assert_int_eq(usage.messages, count);
    cc_outbox_usage_get(outbox, "two", &usage);
    ck_assert_int_eq(usage.messages, 0);
}
END_TEST

/* On whichever server it waits, and after a restart, too. */
START_TEST(one_application_leaves_room_for_others)
{
    int i = 0, count = 0;

    while (take("a", i++ % 2 ? "\"data\":1,\"server\":\"one\""
                             : "\"data\":1,\"server\":\"two\"")
           == CC_ERROR_NONE)
        count++;
    cc_outbox_commit(outbox);
    said[0] = '\0';
    close_outbox();
    open_outbox();
    ck_assert_int_eq(take("a", "\"data\":1,\"server\":\"two\""), CC_ERROR_FULL);
    for (i = 0; take("b", "\"data\":1,\"server\":\"one\"") == CC_ERROR_NONE; i++)
        ;
    ck_assert_int_ge(i, count / 2);
    ck_assert_int_eq(take("c", "\"data\":1,\"server\":\"one\""), CC_ERROR_NONE);
}
END_TEST

START_TEST(it_goes_on_after_a_restart)
{
    spool_one("orders", "a");
    spool_one("orders", "b");
    cc_outbox_published(outbox, next(), "id", "queued");
    close_outbox();
    expect_said("published a id;");
    open_outbox();
    cc_outbox_refused(outbox, next(), CC_ERROR_REFUSED, "");
    cc_outbox_commit(outbox);
    expect_said("");
    ck_assert_ptr_null(next());
}
END_TEST

START_TEST(who_has_gone_is_not_told)
{
    int who;

    ck_assert_int_eq(take("a", "\"data\":1,\"server\":\"one\""), CC_ERROR_NONE);
    cc_outbox_forget(outbox, &who);
    cc_outbox_forget(outbox, NULL);
    cc_outbox_commit(outbox);
    expect_said("");
    ck_assert_ptr_nonnull(next());
}
END_TEST

/* ---- answers ----------------------------------------------------------- */

static const struct {
    int status; /* 0: no answer */
    const char *type;
    cc_verdict verdict;
} answers[] = {
    { 0, "", CC_VERDICT_PAUSE },
    { 200, "", CC_VERDICT_PAUSE },
    { 201, "", CC_VERDICT_TAKEN },
    { 204, "", CC_VERDICT_PAUSE },
    { 302, "", CC_VERDICT_PAUSE },
    { 400, "", CC_VERDICT_REFUSED },
    { 400, "malformed", CC_VERDICT_REFUSED },
    { 401, "", CC_VERDICT_UNAUTHORIZED },
    { 403, "", CC_VERDICT_FORBIDDEN },
    { 403, "identity", CC_VERDICT_FORBIDDEN },
    { 403, "policy", CC_VERDICT_REFUSED },
    { 404, "", CC_VERDICT_LATER },
    { 404, "unknown", CC_VERDICT_REFUSED },
    { 405, "", CC_VERDICT_LATER },
    { 407, "", CC_VERDICT_UNAUTHORIZED },
    { 408, "", CC_VERDICT_PAUSE },
    { 409, "idempotency-running", CC_VERDICT_LATER },
    { 409, "policy", CC_VERDICT_REFUSED },
    { 413, "", CC_VERDICT_REFUSED },
    { 414, "", CC_VERDICT_REFUSED },
    { 422, "", CC_VERDICT_REFUSED },
    { 422, "idempotency-mismatch", CC_VERDICT_TAKEN },
    { 425, "policy", CC_VERDICT_LATER },
    { 429, "policy", CC_VERDICT_PAUSE },
    { 500, "", CC_VERDICT_LATER },
    { 502, "", CC_VERDICT_PAUSE },
    { 503, "busy", CC_VERDICT_PAUSE },
    { 504, "", CC_VERDICT_PAUSE },
    { 507, "full", CC_VERDICT_LATER },
    { 599, "policy", CC_VERDICT_LATER },
};

START_TEST(an_answer_says_what_becomes_of_the_message)
{
    cc_answer answer;

    memset(&answer, 0, sizeof answer);
    answer.kind = answers[_i].status ? CC_ANSWERED : CC_CUT;
    answer.status = answers[_i].status;
    ck_assert_int_eq(cc_sender_judge(&answer, answers[_i].type), answers[_i].verdict);
}
END_TEST

#define COUNT(list) ((int)(sizeof(list) / sizeof(list[0])))

int main(void)
{
    Suite *s = suite_create("cc_spool");
    TCase *c = tcase_create("spool");

    tcase_add_checked_fixture(c, set_up_spool, tear_down_spool);
    tcase_add_test(c, what_was_added_is_read_again);
    tcase_add_test(c, the_list_begins_with_the_oldest);
    tcase_add_test(c, a_rollback_takes_changes_back);
    tcase_add_loop_test(c, a_row_that_is_not_right_is_not_used, 0, COUNT(tampered));
    suite_add_tcase(s, c);
    c = tcase_create("outbox");
    tcase_add_checked_fixture(c, set_up_outbox, tear_down_outbox);
    tcase_add_test(c, nothing_is_spooled_before_the_commit);
    tcase_add_test(c, the_commit_comes_by_itself);
    tcase_add_test(c, a_lane_gives_one_after_the_other);
    tcase_add_test(c, a_lane_that_rests_is_passed_over);
    tcase_add_test(c, what_expired_is_not_given);
    tcase_add_test(c, the_section_is_found_or_asked_for);
    tcase_add_test(c, the_bound_counts_all_that_waits);
    tcase_add_test(c, one_application_leaves_room_for_others);
    tcase_add_test(c, it_goes_on_after_a_restart);
    tcase_add_test(c, who_has_gone_is_not_told);
    suite_add_tcase(s, c);
    c = tcase_create("answers");
    tcase_add_loop_test(c, an_answer_says_what_becomes_of_the_message, 0, COUNT(answers));
    suite_add_tcase(s, c);
    return support_run(s);
}
