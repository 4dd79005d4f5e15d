/* SPDX-License-Identifier: Apache-2.0
 * inbox_acts.c - see inbox_acts.h.
 */
#include "inbox_acts.h"
#include "cc_inbox_private.h"
#include "cc_outbox.h"
#include "cc_time.h"
#include "support/support.h"

#include <event2/event.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOUR 3600000ll  /* ms                                               */
#define DAY  86400000ll /* ms                                               */
#define BIG  400000     /* bytes of a message that counts                   */

static int told_here;
volatile int *act_told = &told_here;

static char directory[256];
static cc_config *config;
static struct event_base *base;
static cc_inbox *inbox;
static cc_dispatch *dispatch;
static cc_outbox *outbox;
static cc_client *client;
static int last_state; /* of the act                                           */
static int step;       /* the state that is told when somebody is told something     */

/* What failed at first may be told together with what came after it. */
static void tell(int state)
{
    if (state > last_state)
        state = last_state;
    if (state > *act_told)
        *act_told = state;
}

/* ---- open and close -------------------------------------------------- */

void act_directory_set(const char *path)
{
    snprintf(directory, sizeof(directory), "%s", path);
}

const char *act_path(const char *suffix)
{
    return support_text("%s/inbox.db%s", directory, suffix);
}

static int has_room(void *baton)
{
    (void)baton;
    return 1;
}

static void take_message(void *baton, const cc_delivery *delivery)
{
    (void)baton;
    if (delivery->id != NULL)
        tell(step);
}

static void take_gap(void *baton, const cc_gap_notice *gap)
{
    (void)baton;
    (void)gap;
}

static void take_settled(void *baton, cc_settled settled, const char *id)
{
    (void)baton;
    (void)settled;
    (void)id;
    tell(step);
}

static const cc_client_calls client_calls = { has_room, take_message, take_message,
                                              take_gap, take_settled };

static void take_outcome(void *baton, const cc_outcome *outcome)
{
    (void)baton;
    if (outcome->error == CC_ERROR_NONE)
        tell(step);
}

static const cc_outbox_calls outbox_calls = { take_outcome, take_outcome };

/* What outlives an inbox. */
static void have_world(void)
{
    const char *file = support_text("%s/c.conf", directory);
    char *error = NULL;

    if (base != NULL)
        return;
    base = event_base_new();
    process_write_file(file, "[agent]\nsocket = s\ninbox = inbox.db\n"
                             "[server main]\nurl = http://x/\npublish = http://x/p\n"
                             "[app small]\nquota = 1M\n");
    ck_assert_int_eq(cc_config_read(file, &config, &error), CC_OK);
    unlink(file);
}

cc_status act_open(void)
{
    char *error = NULL;
    cc_status status;

    have_world();
    status = cc_inbox_open(act_path(""), cc_time_now(), &inbox, &error);

    free(error);
    if (status != CC_OK) {
        inbox = NULL;
        return status;
    }
    dispatch = cc_dispatch_create(config, inbox, base);
    status = cc_outbox_create(config, inbox, dispatch, base, &outbox);
    if (status == CC_OK) {
        client = cc_dispatch_attach(dispatch, &client_calls, NULL);
        return CC_OK;
    }
    cc_dispatch_destroy(dispatch);
    cc_inbox_close(inbox);
    inbox = NULL;
    return status;
}

void act_close(void)
{
    if (inbox == NULL)
        return;
    cc_dispatch_detach(client);
    cc_outbox_destroy(outbox);
    cc_dispatch_destroy(dispatch);
    cc_inbox_close(inbox);
    inbox = NULL;
}

int act_is_open(void)
{
    return inbox != NULL;
}

void act_prepare(const inbox_act *act)
{
    have_world();
    last_state = act_last_state(act);
    if (act->file != NULL)
        act->file();
    if (!act->closed) {
        ck_assert_int_eq(act_open(), CC_OK);
        if (act->prepare != NULL)
            act->prepare();
    }
    *act_told = 0;
}

int act_last_state(const inbox_act *act)
{
    int count = 0;

    while (count < ACT_STATES_MAX && act->states[count] != NULL)
        count++;
    return count - 1;
}

void act_run(const inbox_act *act)
{
    step = 1;
    act->act();
}

void act_go_on(void)
{
    ck_assert_int_eq(cc_dispatch_commit(dispatch), CC_OK);
    cc_outbox_commit(outbox);
}

/* Within an act Check must not allocate. */
static void must(int holds)
{
    if (!holds)
        support_fail("an act does not work");
}

/* ---- what a server sends ----------------------------------------------- */

static void write_data(cc_buffer *out, const char *id, int is_big, int is_wrong)
{
    size_t len = strlen(id) + 2 + (is_big ? BIG : 0);
    size_t i;

    cc_buffer_format(out, ",\"length\":%zu,\"data\":\"%s", is_wrong ? len + 1 : len, id);
    for (i = 0; is_big && i < BIG; i++)
        cc_buffer_add(out, "x", 1);
    cc_buffer_add_text(out, "\"}");
}

/* "APP:ID", with "!" behind it: a receipt is wanted, "~": it expires in an hour,
 * "*": it is big, "?": it cannot be used. */
static void write_message(cc_buffer *out, const char *word, size_t len)
{
    size_t app_len = strcspn(word, ":"), end = strcspn(word, "!~*? ");
    const char *flags = support_text("%.*s", (int)(len - end), word + end);
    const char *id = support_text("%.*s", (int)(end - app_len - 1), word + app_len + 1);
    char expires[CC_TIME_TEXT];

    cc_time_format(cc_time_now() + HOUR, expires);
    cc_buffer_format(out, "{\"id\":\"%s\",\"app\":\"%.*s\"", id, (int)app_len, word);
    if (strchr(flags, '~') != NULL)
        cc_buffer_format(out, ",\"expires\":\"%s\"", expires);
    if (strchr(flags, '!') != NULL)
        cc_buffer_add_text(out, ",\"receipt\":true");
    write_data(out, id, strchr(flags, '*') != NULL, strchr(flags, '?') != NULL);
}

/* Messages as words, with blanks between.
 * @param gap  {"apps":...}; NULL: none */
static cc_status take(const char *cursor, const char *gap, const char *words)
{
    cc_buffer text = { NULL, 0, 0 };
    cc_intake intake;
    cc_batch batch;
    cc_status status;

    cc_buffer_format(&text, "{\"cursor\":\"%s\",", cursor);
    if (gap != NULL)
        cc_buffer_format(&text, "\"gap\":%s,", gap);
    cc_buffer_add_text(&text, "\"messages\":[");
    while (*words != '\0') {
        size_t len = strcspn(words, " ");

        write_message(&text, words, len);
        words += len;
        words += strspn(words, " ");
        cc_buffer_add_text(&text, *words != '\0' ? "," : "");
    }
    cc_buffer_add_text(&text, "]}");
    memset(&batch, 0, sizeof(batch));
    must(cc_batch_parse(&batch, text.data, text.len) == CC_OK);
    status = cc_dispatch_take(dispatch, "main", &batch, 0, cc_time_now(), &intake);
    cc_batch_clear(&batch);
    cc_buffer_clear(&text);
    return status;
}

static void subscribe(const char *app)
{
    if (cc_dispatch_subscribe(client, app, 0, 0) == CC_OK)
        tell(step);
    step++;
    cc_dispatch_ready(client);
}

static void acknowledge(const char *id)
{
    cc_dispatch_acknowledge(client, id);
    cc_dispatch_commit(dispatch);
    step++;
}

/* ---- the acts ------------------------------------------------------------ */

static void make_old(void)
{
    static const char downgrade[] =
        "DROP TABLE later; DROP TABLE report; DROP TABLE spool;"
        "ALTER TABLE dead DROP COLUMN attempt; PRAGMA user_version = 1;";
    sqlite3 *db;

    ck_assert_int_eq(act_open(), CC_OK);
    ck_assert_int_eq(take("c1", NULL, "orders:a1 news:b1 orders:x1?"), CC_OK);
    act_close();
    ck_assert_int_eq(sqlite3_open(act_path(""), &db), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(db, downgrade, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void open_it(void)
{
    if (act_is_open() || act_open() == CC_OK)
        tell(1);
}

static void have_one_acknowledged(void)
{
    subscribe("orders");
    ck_assert_int_eq(take("c1", NULL, "orders:a1!"), CC_OK);
    ck_assert_int_eq(cc_dispatch_acknowledge(client, "a1"), CC_OK);
}

static void take_batch(void)
{
    if (take("c2", "{\"apps\":{\"orders\":2}}", "orders:a2 news:b1 news:b2 orders:x1?")
        == CC_OK)
        tell(1);
}

static void have_two(void)
{
    ck_assert_int_eq(take("c1", NULL, "orders:a1! orders:a2"), CC_OK);
}

static void give(void)
{
    subscribe("orders");
}

static void have_two_given(void)
{
    have_two();
    subscribe("orders");
}

static void acknowledge_both(void)
{
    acknowledge("a1");
    acknowledge("a2");
}

static void put_one_off(void)
{
    cc_dispatch_put_off(client, "a1", 100);
    cc_dispatch_commit(dispatch);
}

static void put_one_off_and_take_it(void)
{
    put_one_off();
    step++;
    acknowledge("a1");
}

static void reject(void)
{
    cc_dispatch_reject(client, "a1", "too heavy");
    cc_dispatch_commit(dispatch);
}

static void have_one_dead(void)
{
    have_two();
    reject();
}

static void retry_dead(void)
{
    cc_dead_choice all = { "", "" };
    size_t retried, left;

    if (cc_dispatch_dead_retry(dispatch, &all, cc_time_now(), &retried, &left) == CC_OK)
        tell(1);
}

static void remove_dead(void)
{
    cc_dead_choice all = { "", "" };
    size_t removed;

    if (cc_dispatch_dead_remove(dispatch, &all, &removed) == CC_OK)
        tell(1);
}

static void have_two_big(void)
{
    ck_assert_int_eq(take("c1", NULL, "small:a1* small:a2*"), CC_OK);
}

static void exceed_quota(void)
{
    if (take("c2", NULL, "small:a3*") == CC_OK)
        tell(1);
}

static void have_gap(void)
{
    subscribe("orders");
    ck_assert_int_eq(take("c1", "{\"apps\":{\"orders\":3}}", "orders:a1"), CC_OK);
}

static void note_gap(void *baton, const char *server, const char *id, int64_t count)
{
    (void)server;
    (void)count;
    snprintf(baton, CC_GAP_ID_MAX, "%s", id);
}

static void acknowledge_gap(void)
{
    char id[CC_GAP_ID_MAX] = "";

    if (cc_inbox_gaps(inbox, "orders", note_gap, id) == CC_OK && id[0] != '\0')
        acknowledge(id);
}

static void have_many_done(void)
{
    ck_assert_int_eq(take("c1", NULL, "orders:a1 orders:a2* orders:a3 orders:a4*"),
                     CC_OK);
    acknowledge("a2");
    acknowledge("a4");
}

static void compact(void)
{
    if (cc_inbox_compact(inbox) == CC_OK)
        tell(1);
}

/* The first run is done with as a whole, the second in part. */
static void have_expiring(void)
{
    ck_assert_int_eq(take("c1", NULL, "orders:a1~ orders:a2~"), CC_OK);
    ck_assert_int_eq(take("c2", NULL, "orders:a3~! orders:a4"), CC_OK);
    acknowledge("a3");
}

static void expire(void)
{
    int64_t dropped;

    if (cc_inbox_expire(inbox, cc_time_now() + 31 * DAY, &dropped) == CC_OK)
        tell(1);
}

static void have_report(void)
{
    have_two();
    acknowledge("a1");
}

static void report(void)
{
    cc_reports reports;
    cc_status status = cc_dispatch_reports(dispatch, "main", &reports);

    if (status == CC_OK)
        status = cc_dispatch_reported(dispatch, "main", reports.last);
    if (status == CC_OK)
        tell(1);
}

static void publish(const char *data)
{
    const char *text =
        support_text("{\"app\":\"orders\",\"to\":\"bob\",\"data\":%s}", data);
    cc_publication publication;

    must(cc_publication_parse(cc_slice_of(text), &publication) == CC_ERROR_NONE);
    cc_outbox_take(outbox, &publication, "orders", cc_time_now(), &outbox_calls, &step);
    cc_publication_clear(&publication);
    cc_outbox_commit(outbox);
    step++;
}

static void publish_one(void)
{
    publish("1");
}

static void have_published(void)
{
    publish("1");
    publish("2");
}

static void send_first(void)
{
    int64_t wait;
    cc_lane *lane = cc_outbox_next(outbox, "main", cc_time_monotonic(), &wait);

    if (lane != NULL)
        cc_outbox_published(outbox, lane, "s1", "queued");
    cc_outbox_commit(outbox);
}

/* As SQLite does by itself when the log has 4,000 pages; what comes then is
 * written at its beginning again. */
static void checkpoint(void)
{
    sqlite3_wal_checkpoint_v2(inbox->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (take("c2", NULL, "news:b1 orders:a3") == CC_OK)
        tell(1);
}

/* The main file is no database, its log holds committed pages. */
static void make_damaged(void)
{
    char noise[512];
    int descriptor, page;

    ck_assert_int_eq(act_open(), CC_OK);
    have_two();
    act_close();
    ck_assert_int_eq(act_open(), CC_OK);
    ck_assert_int_eq(take("c2", NULL, "orders:a3"), CC_OK);
    ck_assert_int_eq(link(act_path("-wal"), act_path("-kept")), 0);
    act_close();
    ck_assert_int_eq(rename(act_path("-kept"), act_path("-wal")), 0);
    memset(noise, 0xa5, sizeof(noise));
    descriptor = open(act_path(""), O_WRONLY | O_CLOEXEC);
    for (page = 2; page < 12; page++)
        ck_assert_int_eq(pwrite(descriptor, noise, sizeof(noise), page * 4096), 512);
    close(descriptor);
}

const inbox_act inbox_acts[] = {
    { "open a new file", NULL, NULL, open_it, 1, ACT_NEXT_AGENT, { "", "" } },
    { "open an old file",
      make_old,
      NULL,
      open_it,
      1,
      ACT_NEXT_AGENT,
      { "@c1 orders:a1/0 news:b1/0 dead:x1/0", "@c1 orders:a1/0 news:b1/0 dead:x1/0" } },
    { "set a damaged file aside",
      make_damaged,
      NULL,
      open_it,
      1,
      ACT_NEXT_AGENT,
      { "", "" } },
    { "take a batch",
      NULL,
      have_one_acknowledged,
      take_batch,
      0,
      ACT_SAME_AGENT,
      { "@c1 orders:a1/1 app:orders",
        "@c2 -a1 orders:a2/1 news:b1/0 news:b2/0 dead:x1/0 report:a1 gap:orders/2"
        " app:orders" } },
    { "give",
      NULL,
      have_two,
      give,
      0,
      ACT_NEVER_AGAIN,
      { "@c1 orders:a1/0 orders:a2/0", "@c1 orders:a1/0 orders:a2/0 app:orders",
        "@c1 orders:a1/1 orders:a2/1 app:orders" } },
    { "acknowledge",
      NULL,
      have_two_given,
      acknowledge_both,
      0,
      ACT_NEXT_AGENT,
      { "@c1 orders:a1/1 orders:a2/1 app:orders",
        "@c1 -a1 orders:a2/1 report:a1 app:orders",
        "@c1 -a1 -a2 report:a1 app:orders" } },
    { "put off",
      NULL,
      have_two_given,
      put_one_off_and_take_it,
      0,
      ACT_NEVER_AGAIN,
      { "@c1 orders:a1/1 orders:a2/1 app:orders",
        "@c1 orders:a1/1+ orders:a2/1 app:orders",
        "@c1 -a1 orders:a2/1 report:a1 app:orders" } },
    { "reject",
      NULL,
      have_two_given,
      reject,
      0,
      ACT_NEXT_AGENT,
      { "@c1 orders:a1/1 orders:a2/1 app:orders",
        "@c1 -a1 orders:a2/1 dead:a1/1 app:orders" } },
    { "retry what is dead",
      NULL,
      have_one_dead,
      retry_dead,
      0,
      ACT_NEXT_AGENT,
      { "@c1 -a1 orders:a2/0 dead:a1/1", "@c1 orders:a1/1 orders:a2/0" } },
    { "remove what is dead",
      NULL,
      have_one_dead,
      remove_dead,
      0,
      ACT_NEXT_AGENT,
      { "@c1 -a1 orders:a2/0 dead:a1/1", "@c1 -a1 orders:a2/0" } },
    { "drop what is over a quota",
      NULL,
      have_two_big,
      exceed_quota,
      0,
      ACT_NEXT_AGENT,
      { "@c1 small:a1/0 small:a2/0", "@c2 -a1 small:a2/0 small:a3/0 gap:small/1" } },
    { "acknowledge a gap",
      NULL,
      have_gap,
      acknowledge_gap,
      0,
      ACT_NEXT_AGENT,
      { "@c1 orders:a1/1 gap:orders/3 app:orders", "@c1 orders:a1/1 app:orders" } },
    { "compact",
      NULL,
      have_many_done,
      compact,
      0,
      ACT_NEXT_AGENT,
      { "@c1 orders:a1/0 -a2 orders:a3/0 -a4", "@c1 orders:a1/0 -a2 orders:a3/0 -a4" } },
    { "let expire",
      NULL,
      have_expiring,
      expire,
      0,
      ACT_NEXT_AGENT,
      { "@c2 orders:a1/0 orders:a2/0 -a3 orders:a4/0 report:a3", "@c2 orders:a4/0" } },
    { "report",
      NULL,
      have_report,
      report,
      0,
      ACT_NEVER_AGAIN,
      { "@c1 -a1 orders:a2/0 report:a1", "@c1 -a1 orders:a2/0" } },
    { "publish", NULL, NULL, publish_one, 0, ACT_NEVER_AGAIN, { "", "spool:1" } },
    { "send what was published",
      NULL,
      have_published,
      send_first,
      0,
      ACT_NEVER_AGAIN,
      { "spool:1 spool:2", "spool:2" } },
    { "checkpoint",
      NULL,
      have_two,
      checkpoint,
      0,
      ACT_NEXT_AGENT,
      { "@c1 orders:a1/0 orders:a2/0",
        "@c2 orders:a1/0 orders:a2/0 orders:a3/0 news:b1/0" } },
    { "close",
      NULL,
      have_two_given,
      act_close,
      0,
      ACT_NEVER_AGAIN,
      { "@c1 orders:a1/1 orders:a2/1 app:orders",
        "@c1 orders:a1/1 orders:a2/1 app:orders" } },
};

const size_t inbox_act_count = sizeof(inbox_acts) / sizeof(inbox_acts[0]);

/* ---- what is in the inbox ------------------------------------------------ */

static char text[2048];

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
    size_t len = strlen(text);
    va_list args;

    va_start(args, format);
    vsnprintf(text + len, sizeof(text) - len, format, args);
    va_end(args);
}

/* What messages take, as they are found one by one. */
typedef struct found {
    char app[CC_APP_MAX + 1];
    int64_t messages;
    int64_t bytes;
} found;

static found apps[4];
static int app_count;

static void count_found(const cc_place *place)
{
    int i = 0;

    while (i < app_count && strcmp(apps[i].app, place->app) != 0)
        i++;
    ck_assert_int_lt(i, 4);
    if (i == app_count) {
        memset(&apps[i], 0, sizeof(apps[i]));
        snprintf(apps[app_count++].app, sizeof(apps[i].app), "%s", place->app);
    }
    apps[i].messages++;
    apps[i].bytes += place->size + CC_INBOX_MESSAGE_COST;
}

static void check_whole(void *baton, const cc_stored *stored)
{
    const char *start = support_text("\"id\":\"%s\"", (const char *)baton);

    ck_assert_mem_eq(stored->body.data, start, strlen(start));
    ck_assert_int_eq(stored->body.data[stored->body.len - 1], '"');
    ck_assert_str_eq(stored->server, "main");
}

static int is_put_off(const cc_place *place)
{
    sqlite3_stmt *statement = cc_inbox_statement(inbox, CC_SQL_LATER_GET);
    cc_status status;

    cc_inbox_bind_text(statement, 1, place->app);
    sqlite3_bind_int64(statement, 2, place->seq);
    status = cc_inbox_step(inbox, CC_SQL_LATER_GET);
    sqlite3_reset(statement);
    return status == CC_OK;
}

static void say_message(const char *id)
{
    cc_place place;
    cc_status status = cc_inbox_find(inbox, id, &place);

    if (status == CC_NOT_FOUND)
        return;
    if (status == CC_EMPTY) {
        say(" -%s", id);
        return;
    }
    ck_assert_int_eq(status, CC_OK);
    ck_assert_int_eq(
        cc_inbox_read(inbox, place.app, place.seq, check_whole, (void *)(uintptr_t)id),
        CC_OK);
    count_found(&place);
    say(" %s:%s/%d%s", place.app, id, place.attempt, is_put_off(&place) ? "+" : "");
}

static void say_dead(void *baton, const cc_dead *dead)
{
    (void)baton;
    say(" dead:%s/%d", dead->id, dead->attempt);
}

static void say_gap(void *baton, const char *server, const char *id, int64_t count)
{
    (void)server;
    (void)id;
    say(" gap:%s/%d", (const char *)baton, (int)count);
}

static void say_app(void *baton, const char *app)
{
    (void)baton;
    say(" app:%s", app);
}

static void say_spooled(void *baton, const cc_spooled *message)
{
    (void)baton;
    say(" spool:%.*s", (int)message->body.len, message->body.data);
}

static void say_reports(void)
{
    cc_reports reports;
    size_t i;

    if (cc_inbox_report_list(inbox, "main", &reports) != CC_OK)
        return;
    for (i = 0; i < reports.count; i++)
        say(" report:%s", reports.ids[i]);
}

static void say_spool(void)
{
    cc_spool *spool = NULL;
    int64_t seq;

    ck_assert_int_eq(cc_spool_open(inbox, &spool), CC_OK);
    for (seq = 1; seq < 5; seq++)
        cc_spool_read(spool, seq, say_spooled, NULL);
    cc_spool_close(spool);
}

static void check_app_usage(void *baton, const cc_app_usage *usage)
{
    int i = 0;

    while (i < app_count && strcmp(apps[i].app, usage->app) != 0)
        i++;
    ck_assert_msg(i < app_count, "usage of '%s', which has no messages", usage->app);
    ck_assert_int_eq(usage->messages, apps[i].messages);
    ck_assert_int_eq(usage->bytes, apps[i].bytes);
    *(int64_t *)baton += usage->messages;
}

/* The numbers that are kept in memory, against what is found. */
static void check_usage(void)
{
    int64_t counted = 0, all = 0, sizes = 0, ignored = 0;
    cc_inbox_usage usage;
    int i;

    cc_inbox_usage_get(inbox, &usage);
    cc_inbox_apps(inbox, check_app_usage, &counted);
    for (i = 0; i < app_count; i++)
        all += apps[i].messages;
    ck_assert_int_eq(counted, all);
    ck_assert_int_eq(usage.messages, all);
    ck_assert_int_eq(cc_inbox_read_two(inbox, CC_SQL_TOTALS, &sizes, &ignored), CC_OK);
    ck_assert_int_eq(usage.bytes, sizes + all * CC_INBOX_MESSAGE_COST);
}

const char *act_text(void)
{
    static const char *const ids[] = { "a1", "a2", "a3", "a4", "b1", "b2", "x1" };
    static const char *const names[] = { "orders", "news", "small" };
    char cursor[CC_CURSOR_MAX + 1];
    size_t i;

    text[0] = '\0';
    app_count = 0;
    if (cc_inbox_cursor_get(inbox, "main", cursor) == CC_OK)
        say(" @%s", cursor);
    for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        say_message(ids[i]);
    ck_assert_int_eq(cc_inbox_dead_list(inbox, say_dead, NULL), CC_OK);
    say_reports();
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        ck_assert_int_eq(
            cc_inbox_gaps(inbox, names[i], say_gap, (void *)(uintptr_t)names[i]), CC_OK);
    say_spool();
    ck_assert_int_eq(cc_inbox_app_names(inbox, say_app, NULL), CC_OK);
    check_usage();
    return text[0] == ' ' ? text + 1 : text;
}

const char *act_integrity(void)
{
    static char answer[256];
    sqlite3_stmt *statement = NULL;
    sqlite3 *db = NULL;

    snprintf(answer, sizeof(answer), "cannot be asked");
    if (sqlite3_open_v2(act_path(""), &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK
        && sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL)
               == SQLITE_OK
        && sqlite3_step(statement) == SQLITE_ROW)
        snprintf(answer, sizeof(answer), "%s", sqlite3_column_text(statement, 0));
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return answer;
}

int act_count_damaged(void)
{
    glob_t match;
    int count = 0;

    if (glob(act_path(".damaged-*"), 0, NULL, &match) == 0)
        count = (int)match.gl_pathc;
    globfree(&match);
    return count;
}
