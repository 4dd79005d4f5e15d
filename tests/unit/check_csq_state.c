/* SPDX-License-Identifier: Apache-2.0
 * check_csq_state.c - save all that a segment holds, start again from it:
 * everything is there, in segments of any size, once; a file that is damaged
 * anywhere gives what is whole, and the rest hears of a gap.
 */
#include "cs_compat.h"
#include "csq_fixture.h"
#include "csq_saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CLIENTS 12
#define HANDED  2 /* of their messages, when the state is saved  */
#define WINDOW  apr_time_from_sec(3600)

static csq_outcome outcome;
static apr_pool_t *server_pool;
static csq_cursor cursors[CLIENTS];
static csq_digest keys[3], bodies[2];
static unsigned char spread_id[CSQ_ID_BYTES], gone_id[CSQ_ID_BYTES];
static unsigned char passed_id[CSQ_ID_BYTES], urgent_id[CSQ_ID_BYTES];
static csq_cursor ursula;
static unsigned char repeat_id[2][CSQ_ID_BYTES];

static const char *state_path(const char *suffix)
{
    return apr_pstrcat(fx.pool, fx.path, ".state", suffix, NULL);
}

static apr_status_t try_start(apr_size_t size, unsigned slots)
{
    csq_plan plan = { .path = fx.path,
                      .state = state_path(""),
                      .size = size,
                      .slots = slots,
                      .limits = &fx.limits };

    apr_pool_create(&server_pool, fx.pool);
    return csq_start(&plan, server_pool, &outcome, &fx.q);
}

static void start(void)
{
    ck_ok(try_start(FIXTURE_SIZE, FIXTURE_SLOTS));
    fixture_audit();
}

static void end(void)
{
    apr_pool_destroy(server_pool);
    fx.q = NULL;
}

static void stop(void)
{
    ck_ok(csq_save(fx.q, state_path("")));
    end();
}

static int there(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

static void setup(void)
{
    fixture_setup_bare();
    start();
}

static void teardown(void)
{
    const char *const suffixes[] = { "", ".new", ".damaged" };
    int i;

    for (i = 0; i < 3; i++)
        unlink(state_path(suffixes[i]));
    unlink(apr_pstrcat(fx.pool, fx.path, ".damaged", NULL));
    fixture_teardown();
}

/* ---- something of everything --------------------------------------------- */

static const char *client_name(int i)
{
    return apr_psprintf(fx.pool,
                        "client %d with a name that needs more than one chunk "
                        "of the segment, since it is as long as this is",
                        i);
}

static apr_status_t fetch_of(const char *client, const char *device,
                             const csq_cursor *after, int max, int peek)
{
    csq_key key = { "realm", client, device };
    csq_fetch what = { .after = after,
                       .max_messages = (apr_uint32_t)max,
                       .max_bytes = 1 << 30,
                       .peek = peek != 0 };

    return csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch);
}

static void publish(const csq_message *what, const csq_key *to, int n, unsigned char *id)
{
    csq_message message = *what;
    csq_appended appended;

    message.realm = "realm";
    message.app = message.app ? message.app : "orders";
    message.sender = "tester";
    message.time = fx.now;
    message.expires = message.expires ? message.expires : fx.now + 3600 * SECOND;
    message.len = strlen(message.data);
    ck_ok(csq_append(fx.q, &message, to, n, fx.now, NULL, &appended));
    if (id)
        memcpy(id, appended.id, CSQ_ID_BYTES);
}

/* Plain clients: five messages of several lengths, two handed out. */
static void fill_clients(void)
{
    char text[2000];
    int i, j;

    for (i = 0; i < CLIENTS; i++) {
        for (j = 0; j < 5; j++) {
            memset(text, 'a' + j, sizeof text);
            text[i * j * 30] = '\0';
            ck_ok(put(client_name(i), text));
        }
        ck_ok(get_max(client_name(i), NULL, HANDED));
        cursors[i] = cursor_now();
    }
}

static void fill_devices(void)
{
    csq_key key = { "realm", "alice", NULL };
    csq_key both[2] = { { "realm", "alice", NULL }, { "realm", "bob", NULL } };

    ck_status(fetch_of("alice", "laptop", NULL, 10, 0), CSQ_EMPTY);
    ck_status(fetch_of("alice", "phone", NULL, 10, 0), CSQ_EMPTY);
    publish(&(csq_message){ .data = "\"one\"", .topic = "t1", .urgency = CSQ_HIGH }, &key,
            1, NULL);
    publish(&(csq_message){ .data = "\"both\"", .receipt = 1 }, both, 2, spread_id);
    ck_ok(fetch_of("alice", "phone", NULL, 1, 0));
    key.device = "tablet";
    publish(&(csq_message){ .data = "{}", .type = "application/json" }, &key, 1, NULL);
}

static void fill_gap(void)
{
    csq_key key = { "realm", "greta", NULL };
    int i;

    fx.limits.max_queue = 2;
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    for (i = 0; i < 5; i++)
        publish(&(csq_message){ .data = "\"x\"", .app = i % 2 ? "a" : "b" }, &key, 1,
                NULL);
    fx.limits.max_queue = 1000;
    fx.limits.overflow = CSQ_OVERFLOW_REJECT;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
}

static void fill_groups(void)
{
    csq_key members[3] = { { "realm", "alice", NULL },
                           { "realm", "only a member", NULL },
                           { "realm", client_name(3), NULL } };
    int changed, i;

    for (i = 0; i < 3; i++)
        ck_ok(csq_group_add(fx.q, &members[i], "orders", "staff", fx.now, &changed));
    ck_ok(csq_group_add(fx.q, &members[1], "orders", "other", fx.now, &changed));
}

static void make_digests(void)
{
    const char *strings[] = { "key 1", "key 2", "key 3", "body 1", "body 2" };
    apr_size_t length = 5;
    int i;

    for (i = 0; i < 3; i++)
        keys[i] = csq_digest_make(fx.q, &strings[i], &length, 1);
    length = 6;
    for (i = 0; i < 2; i++)
        bodies[i] = csq_digest_make(fx.q, &strings[3 + i], &length, 1);
}

/* The first is answered; of the second the server died. */
static void fill_repeats(void)
{
    char answer[400];
    apr_size_t len = sizeof answer;
    csq_key key = { "realm", "rita", NULL };
    csq_slot *slot;

    make_digests();
    ck_ok(csq_slot_claim(fx.q, server_pool, &slot));
    ck_ok(csq_repeat_begin(fx.q, &keys[0], &bodies[0], csq_waiter_make(slot, 1), WINDOW,
                           fx.now, repeat_id[0], answer, &len));
    memset(answer, 'A', sizeof answer);
    ck_ok(csq_repeat_finish(fx.q, &keys[0], answer, sizeof answer));
    ck_ok(csq_repeat_begin(fx.q, &keys[1], &bodies[1], csq_waiter_make(slot, 1), WINDOW,
                           fx.now, repeat_id[1], answer, &len));
    publish(&(csq_message){ .data = "\"r\"", .id = repeat_id[1] }, &key, 1, NULL);
}

static void fill_fates(void)
{
    csq_key key = { "realm", "fred", NULL };
    csq_cursor cursor;

    publish(&(csq_message){ .data = "\"gone\"" }, &key, 1, gone_id);
    ck_ok(get("fred", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("fred", &cursor), CSQ_EMPTY);
}

/* One that was passed over by a poll for urgent ones, and one handed out. */
static void fill_urgency(void)
{
    csq_key key = { "realm", "ursula", NULL };
    csq_fetch what = { .max_messages = 10, .max_bytes = 1 << 30, .urgency = CSQ_HIGH };

    publish(&(csq_message){ .data = "\"later\"", .receipt = 1 }, &key, 1, passed_id);
    publish(&(csq_message){ .data = "\"now\"", .urgency = CSQ_HIGH, .receipt = 1 }, &key,
            1, urgent_id);
    ck_ok(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    ursula = cursor_now();
}

static void fill(void)
{
    fill_urgency();
    fill_clients();
    fill_devices();
    fill_gap();
    fill_groups();
    fill_repeats();
    fill_fates();
    csq_counter_add(fx.q, 5, 77);
}

/* ---- is it all there? ----------------------------------------------------- */

static int has_gap(void)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    return csq_batch_gap(fx.batch, &gaps, &n);
}

/* @return 1: whole, its cursor good; 0: it hears of a gap. */
static int client_is_whole(int i)
{
    int first = 0, j;
    apr_status_t rv = fetch_of(client_name(i), NULL, &cursors[i], 10, 1);

    ck_assert(rv == APR_SUCCESS || rv == CSQ_EMPTY);
    if (has_gap())
        return 0;
    ck_assert_int_eq(csq_batch_count(fx.batch), 5 - HANDED);
    for (j = HANDED; j < 5; j++) {
        const csq_view *view = csq_batch_get(fx.batch, (apr_uint32_t)first++);

        ck_assert_uint_eq(view->len, (apr_size_t)(i * j * 30) + 2);
        ck_assert(view->len == 2 || view->data[1] == 'a' + j);
        ck_assert_str_eq(view->sender, "tester");
        ck_assert_int_eq(view->expires, (fx.now / 1000 + 3600 * 1000) * 1000);
    }
    return 1;
}

static void expect_clients(void)
{
    int i;

    for (i = 0; i < CLIENTS; i++)
        ck_assert_msg(client_is_whole(i), "client %d hears of a gap", i);
}

static void expect_devices(void)
{
    csq_key key = { "realm", "alice", "phone" };
    csq_message_key message = { .realm = "realm", .app = "orders", .sender = "tester" };
    csq_message_info info;
    csq_client_info client;

    ck_ok(fetch_of("alice", "laptop", NULL, 10, 1));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
    ck_assert_str_eq(csq_batch_get(fx.batch, 0)->topic, "t1");
    ck_assert_int_eq(csq_batch_get(fx.batch, 0)->urgency, CSQ_HIGH);
    ck_assert_int_eq(csq_batch_get(fx.batch, 1)->receipt, 1);
    ck_ok(fetch_of("alice", "tablet", NULL, 10, 1));
    ck_assert_str_eq(csq_batch_get(fx.batch, 0)->type, "application/json");
    ck_ok(csq_client_info_get(fx.q, &key, &client));
    ck_assert_int_eq(client.last_seen / SECOND, fx.now / SECOND);
    memcpy(message.id, spread_id, CSQ_ID_BYTES);
    ck_ok(csq_message_get(fx.q, &message, 0, NULL, &info));
    ck_assert_uint_eq(info.queues, 3);
    ck_assert_int_eq(info.state, CSQ_STATE_QUEUED);
    memcpy(message.id, gone_id, CSQ_ID_BYTES);
    ck_ok(csq_message_get(fx.q, &message, 0, NULL, &info));
    ck_assert_int_eq(info.state, CSQ_STATE_RECEIVED);
}

static csq_state became(const unsigned char *id)
{
    csq_message_key message = { .realm = "realm", .app = "orders", .sender = "tester" };
    csq_message_info info;

    memcpy(message.id, id, CSQ_ID_BYTES);
    ck_ok(csq_message_get(fx.q, &message, 0, NULL, &info));
    return info.state;
}

static void expect_urgency(void)
{
    ck_assert_int_eq(became(passed_id), CSQ_STATE_QUEUED);
    ck_assert_int_eq(became(urgent_id), CSQ_STATE_HANDED_OUT);
    ck_ok(fetch_of("ursula", NULL, &ursula, 10, 1));
    ck_assert_int_eq(has_gap(), 0);
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    ck_assert_str_eq(text_of(0), "later");
}

/* The receipts of those who asked still count. */
static void expect_receipts(void)
{
    csq_message_key message = { .realm = "realm", .app = "orders", .sender = "tester" };
    unsigned char ids[1][CSQ_ID_BYTES];
    csq_message_info info;

    ck_ok(acknowledge("ursula", &ursula));
    memcpy(ids[0], urgent_id, CSQ_ID_BYTES);
    memcpy(message.id, urgent_id, CSQ_ID_BYTES);
    ck_ok(csq_message_acknowledged(fx.q, "realm",
                                   (const unsigned char(*)[CSQ_ID_BYTES])ids, 1));
    ck_ok(csq_message_get(fx.q, &message, 0, NULL, &info));
    ck_assert_uint_eq(info.counts[CSQ_STATE_ACKNOWLEDGED], 1);
}

static void expect_gap(void)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    ck_ok(fetch_of("greta", NULL, NULL, 10, 1));
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 1);
    ck_assert_uint_eq(n, 2);
    ck_assert_uint_eq(gaps[0].count + gaps[1].count, 3);
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
}

static void expect_repeats(void)
{
    unsigned char id[CSQ_ID_BYTES];
    char answer[500];
    apr_size_t len = sizeof answer;

    make_digests();
    ck_status(
        csq_repeat_begin(fx.q, &keys[0], &bodies[0], 1, WINDOW, fx.now, id, answer, &len),
        CSQ_REPEATED);
    ck_assert_uint_eq(len, 400);
    ck_assert_int_eq(answer[399], 'A');
    ck_assert_mem_eq(id, repeat_id[0], CSQ_ID_BYTES);
    ck_status(
        csq_repeat_begin(fx.q, &keys[0], &bodies[1], 1, WINDOW, fx.now, id, answer, &len),
        CSQ_OTHER_BODY);
    len = sizeof answer;
    ck_status(
        csq_repeat_begin(fx.q, &keys[1], &bodies[1], 1, WINDOW, fx.now, id, answer, &len),
        CSQ_REPEATED);
    ck_assert_uint_eq(len, 0);
    ck_assert_mem_eq(id, repeat_id[1], CSQ_ID_BYTES);
}

/* A message to the group reaches its members; the one who never had a queue,
 * too. So this comes last.                                                    */
static void expect_groups(void)
{
    csq_message message = { .realm = "realm",
                            .app = "orders",
                            .sender = "tester",
                            .time = fx.now,
                            .expires = fx.now + SECOND,
                            .data = "\"g\"",
                            .len = 3 };
    csq_appended appended;

    ck_ok(csq_append_group(fx.q, &message, "other", fx.now, NULL, NULL, &appended));
    ck_assert_uint_eq(appended.receivers, 1);
    ck_ok(csq_append_group(fx.q, &message, "staff", fx.now, NULL, NULL, &appended));
    ck_assert_uint_eq(appended.receivers, 3);
}

static void expect_everything(void)
{
    expect_clients();
    expect_devices();
    expect_urgency();
    expect_gap();
    if (outcome.restored)
        expect_repeats();
}

static void expect_restored(void)
{
    ck_assert_int_eq(outcome.beginning, CSQ_BEGUN_NEW);
    ck_assert_int_eq(outcome.restored, 1);
    ck_assert_msg(!outcome.state_aside, "set aside: %d, %s", (int)outcome.state_reason,
                  outcome.state_problem ? outcome.state_problem : "no problem");
    ck_assert_int_eq(there(state_path("")), 0);
}

/* ---- whole ---------------------------------------------------------------- */

START_TEST(everything_is_there_after_stop_and_start)
{
    csq_stats before, after;
    int round;

    fill();
    for (round = 0; round < 3; round++) {
        expect_everything();
        before = stats_now();
        stop();
        start();
        expect_restored();
        after = stats_now();
        ck_assert_uint_eq(after.clients, before.clients);
        ck_assert_uint_eq(outcome.clients, before.clients);
        ck_assert_uint_eq(after.queued, before.queued);
        ck_assert_uint_eq(outcome.messages, before.queued);
        ck_assert_uint_eq(after.bytes, before.bytes);
        ck_assert_uint_eq(after.segment_used, before.segment_used);
        ck_assert_uint_eq(after.published, before.published);
        ck_assert_uint_eq(after.acknowledged, before.acknowledged);
        ck_assert_uint_eq(after.dropped, before.dropped);
        ck_assert_uint_eq(after.counters[5], 77);
    }
    expect_everything();
    expect_receipts();
    expect_groups();
}
END_TEST

START_TEST(a_topic_is_replaced_across_stop_and_start)
{
    csq_key key = { "realm", "alice", NULL };

    fill();
    stop();
    start();
    publish(&(csq_message){ .data = "\"two\"", .topic = "t1" }, &key, 1, NULL);
    ck_ok(fetch_of("alice", "laptop", NULL, 10, 1));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
    ck_assert_str_eq(text_of(1), "two");
}
END_TEST

START_TEST(a_cursor_of_a_queue_that_was_forgotten_stays_genuine)
{
    csq_cursor cursor;

    ck_ok(put("alice", "x"));
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    fx.now += 2 * 600 * SECOND;
    ck_ok(csq_expire(fx.q, fx.now, 100000));
    ck_assert_uint_eq(stats_now().clients, 0);
    stop();
    start();
    ck_ok(put("alice", "y"));
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_int_eq(has_gap(), 0);
}
END_TEST

START_TEST(the_file_is_private_and_goes)
{
    struct stat info;

    ck_ok(put("alice", "x"));
    stop();
    ck_assert_int_eq(stat(state_path(""), &info), 0);
    ck_assert_uint_eq(info.st_mode, S_IFREG | 0600);
    ck_assert_int_eq(there(state_path(".new")), 0);
    start();
    expect_restored();
    stop();
}
END_TEST

START_TEST(what_has_expired_meanwhile_expires)
{
    ck_ok(put_full("orders", "alice", "short", fx.now + SECOND));
    ck_ok(put("alice", "long"));
    stop();
    start();
    ck_ok(csq_expire(fx.q, fx.now + 10 * SECOND, 1000));
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    ck_assert_str_eq(text_of(0), "long");
}
END_TEST

START_TEST(who_asks_after_the_save_is_told)
{
    ck_ok(csq_save(fx.q, state_path("")));
    ck_status(put("alice", "x"), CSQ_CLOSED);
}
END_TEST

START_TEST(a_larger_segment_takes_it)
{
    fill();
    stop();
    ck_ok(try_start(4 * FIXTURE_SIZE, 2 * FIXTURE_SLOTS));
    fixture_audit();
    expect_restored();
    ck_assert_uint_eq(outcome.size, 4 * FIXTURE_SIZE);
    ck_assert_uint_eq(outcome.slots, 2 * FIXTURE_SLOTS);
    expect_everything();
    expect_groups();
}
END_TEST

START_TEST(a_smaller_segment_takes_what_fits)
{
    fill();
    stop();
    ck_ok(try_start(FIXTURE_SIZE / 2, FIXTURE_SLOTS));
    fixture_audit();
    expect_restored();
    ck_assert_uint_eq(outcome.size, FIXTURE_SIZE / 2);
    expect_everything();
}
END_TEST

static void fill_up(void)
{
    char text[4000];
    int i;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    fx.limits.max_queue_bytes = 1 << 30;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    for (i = 0; put(apr_psprintf(fx.pool, "%d", i % 50), text) == APR_SUCCESS; i++)
        ck_assert_int_lt(i, 10000);
}

START_TEST(one_that_is_too_small_is_made_larger)
{
    uint64_t queued;

    fill_up();
    queued = stats_now().queued;
    stop();
    ck_ok(try_start(FIXTURE_SIZE / 2, FIXTURE_SLOTS));
    fixture_audit();
    expect_restored();
    ck_assert_uint_eq(outcome.size, FIXTURE_SIZE);
    ck_assert_uint_eq(stats_now().queued, queued);
}
END_TEST

START_TEST(larger_tables_make_it_larger_still)
{
    uint64_t queued;

    fill_up();
    queued = stats_now().queued;
    stop();
    fx.limits.max_clients = 100000;
    ck_ok(try_start(FIXTURE_SIZE, 2 * FIXTURE_SLOTS));
    fixture_audit();
    expect_restored();
    ck_assert_uint_gt(outcome.size, FIXTURE_SIZE);
    ck_assert_uint_eq(stats_now().queued, queued);
}
END_TEST

START_TEST(lower_limits_keep_what_is_there)
{
    fill();
    stop();
    fx.limits.max_clients = 1;
    fx.limits.max_queue = 1;
    start();
    expect_restored();
    expect_everything();
    ck_status(put("someone new", "x"), CSQ_CLIENTS_FULL);
}
END_TEST

/* ---- the file and the segment ---------------------------------------------- */

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n;

    ck_assert_int_ge(in, 0);
    ck_assert_int_ge(out, 0);
    while ((n = read(in, bytes, sizeof bytes)) > 0)
        ck_assert_int_eq(write(out, bytes, (size_t)n), n);
    close(in);
    close(out);
}

START_TEST(a_death_between_save_and_removal_restores_nothing_twice)
{
    fill();
    ck_ok(csq_save(fx.q, state_path("")));
    csq_keep(fx.q);
    end();
    start();
    ck_assert_int_eq(outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    ck_assert_int_eq(outcome.restored, 0);
    ck_assert_ptr_null(outcome.state_aside);
    ck_assert_int_eq(there(state_path("")), 0);
    expect_everything();
}
END_TEST

START_TEST(a_death_before_the_file_goes_restores_nothing_twice)
{
    csq_cursor cursor;

    ck_ok(put("alice", "x"));
    stop();
    copy_file(state_path(""), state_path(".kept"));
    start();
    ck_ok(get("alice", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("alice", &cursor), CSQ_EMPTY);
    ck_assert_int_eq(rename(state_path(".kept"), state_path("")), 0);
    csq_keep(fx.q);
    end();
    start();
    ck_assert_int_eq(outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    ck_assert_int_eq(there(state_path("")), 0);
    ck_status(get("alice", NULL), CSQ_EMPTY);
}
END_TEST

START_TEST(a_file_that_does_not_belong_is_set_aside)
{
    ck_ok(put("alice", "old"));
    stop();
    copy_file(state_path(""), state_path(".kept"));
    start();
    stop();
    start();
    ck_assert_int_eq(rename(state_path(".kept"), state_path("")), 0);
    csq_keep(fx.q);
    end();
    start();
    ck_assert_int_eq(outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    ck_assert_int_eq(outcome.state_reason, CSQ_IN_USE);
    ck_assert_str_eq(outcome.state_aside, state_path(".damaged"));
    ck_assert_int_eq(there(state_path(".damaged")), 1);
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
}
END_TEST

/* The segment of a killed server cannot be used; the file is older. */
START_TEST(an_old_file_beside_a_bad_segment_gives_new_epochs)
{
    fill();
    stop();
    copy_file(state_path(""), state_path(".kept"));
    start();
    ck_assert_int_eq(rename(state_path(".kept"), state_path("")), 0);
    fx.q->header->layout++;
    csq_keep(fx.q);
    end();
    start();
    ck_assert_int_eq(outcome.beginning, CSQ_BEGUN_SET_ASIDE);
    ck_assert_int_eq(outcome.restored, 1);
    ck_assert_int_eq(client_is_whole(0), 0);
    ck_ok(fetch_of(client_name(1), NULL, NULL, 10, 1));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 5);
}
END_TEST

START_TEST(one_taken_over_gets_the_size_that_is_wanted)
{
    fill();
    csq_keep(fx.q);
    end();
    ck_ok(try_start(2 * FIXTURE_SIZE, 2 * FIXTURE_SLOTS));
    fixture_audit();
    ck_assert_int_eq(outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    ck_assert_uint_eq(outcome.size, 2 * FIXTURE_SIZE);
    ck_assert_uint_eq(outcome.slots, 2 * FIXTURE_SLOTS);
    ck_assert_int_eq(there(state_path("")), 0);
    expect_everything();
}
END_TEST

START_TEST(what_cannot_be_saved_stays_in_memory)
{
    fill();
    ck_status(csq_save(fx.q, "/nonexistent/folder/state"), ENOENT);
    csq_keep(fx.q);
    end();
    start();
    ck_assert_int_eq(outcome.beginning, CSQ_BEGUN_TAKEN_OVER);
    expect_everything();
}
END_TEST

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

    ck_ok(try_start(FIXTURE_SIZE, FIXTURE_SLOTS));
    fixture_audit();
    ck_assert_ptr_nonnull(outcome.state_aside);
    ck_ok(outcome.state_kept);
    ck_assert_int_eq(there(state_path("")), 0);
    ck_assert_int_eq(there(state_path(".damaged")), 1);
    for (i = 0; i < CLIENTS; i++)
        whole += client_is_whole(i);
    ck_ok(put("somebody", "x"));
    end();
    return whole;
}

static void keep_state(void)
{
    fill();
    stop();
    ck_assert_int_eq(rename(state_path(""), state_path(".kept")), 0);
}

START_TEST(a_file_may_end_anywhere)
{
    size_t size, len;
    int whole = 0, before = 0;

    keep_state();
    size = file_size();
    for (len = 0; len < size; len += len < 200 ? 1 : 29) {
        copy_file(state_path(".kept"), state_path(""));
        ck_assert_int_eq(truncate(state_path(""), (off_t)len), 0);
        whole = start_on_damage();
        ck_assert_int_ge(whole, before);
        before = whole;
    }
    copy_file(state_path(".kept"), state_path(""));
    ck_assert_int_eq(truncate(state_path(""), (off_t)size - 1), 0);
    ck_assert_int_eq(start_on_damage(), CLIENTS);
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
        copy_file(state_path(".kept"), state_path(""));
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
    ck_assert_int_eq(outcome.state_reason, CSQ_LAYOUT);
    ck_assert_int_eq(outcome.restored, 0);
}
END_TEST

START_TEST(what_others_can_write_is_not_read)
{
    keep_state();
    ck_assert_int_eq(rename(state_path(".kept"), state_path("")), 0);
    ck_assert_int_eq(chmod(state_path(""), 0666), 0);
    ck_assert_int_eq(start_on_damage(), 0);
    ck_assert_int_eq(outcome.state_reason, APR_EACCES);
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
        { CSQ_RECORD_REPEAT, 52, "\2", 1 },           /* neither finished nor not   */
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
        { CSQ_RECORD_ENTRY, 12, "\2", 1 },            /* neither passed nor not */
        { CSQ_RECORD_ENTRY, 13, "\1", 1 }             /* a topic that is not there  */
    };
    const char *was;

    keep_state();
    copy_with(cases[_i].type, cases[_i].at, cases[_i].bytes, cases[_i].len);
    start_on_damage();
    ck_assert_int_eq(outcome.state_reason, CSQ_DAMAGED);
    was = outcome.state_problem;
    ck_assert_ptr_nonnull(was);
    ck_assert_int_eq(there(state_path(".damaged")), 1);
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
        ck_ok(try_start(FIXTURE_SIZE, FIXTURE_SLOTS));
        fixture_audit();
        ck_ok(put("somebody", "x"));
        end();
        unlink(state_path(""));
    }
    unlink(state_path(".kept"));
}
END_TEST

static void add_whole(TCase *tc)
{
    tcase_add_test(tc, everything_is_there_after_stop_and_start);
    tcase_add_test(tc, a_topic_is_replaced_across_stop_and_start);
    tcase_add_test(tc, a_cursor_of_a_queue_that_was_forgotten_stays_genuine);
    tcase_add_test(tc, the_file_is_private_and_goes);
    tcase_add_test(tc, what_has_expired_meanwhile_expires);
    tcase_add_test(tc, who_asks_after_the_save_is_told);
    tcase_add_test(tc, a_larger_segment_takes_it);
    tcase_add_test(tc, a_smaller_segment_takes_what_fits);
    tcase_add_test(tc, one_that_is_too_small_is_made_larger);
    tcase_add_test(tc, larger_tables_make_it_larger_still);
    tcase_add_test(tc, lower_limits_keep_what_is_there);
    tcase_add_test(tc, a_death_between_save_and_removal_restores_nothing_twice);
    tcase_add_test(tc, a_death_before_the_file_goes_restores_nothing_twice);
    tcase_add_test(tc, a_file_that_does_not_belong_is_set_aside);
    tcase_add_test(tc, an_old_file_beside_a_bad_segment_gives_new_epochs);
    tcase_add_test(tc, one_taken_over_gets_the_size_that_is_wanted);
    tcase_add_test(tc, what_cannot_be_saved_stays_in_memory);
}

static void add_damaged(TCase *tc)
{
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, a_file_may_end_anywhere);
    tcase_add_loop_test(tc, any_byte_may_be_wrong, 0, 8);
    tcase_add_test(tc, a_file_of_another_version_is_set_aside);
    tcase_add_test(tc, what_others_can_write_is_not_read);
    tcase_add_loop_test(tc, records_that_do_not_fit_end_the_reading, 0, WRONG_RECORDS);
    tcase_add_loop_test(tc, contents_may_be_anything, 0, 4);
}

int main(void)
{
    Suite *suite = suite_create("csq_state");
    TCase *whole = tcase_create("whole");
    TCase *damaged = tcase_create("damaged");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(whole, setup, teardown);
    tcase_add_checked_fixture(damaged, setup, teardown);
    add_whole(whole);
    add_damaged(damaged);
    suite_add_tcase(suite, whole);
    suite_add_tcase(suite, damaged);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
