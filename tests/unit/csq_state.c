/* SPDX-License-Identifier: Apache-2.0
 * csq_state.c - a segment with something of everything in it.
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

#define HANDED 2 /* of their messages, when the state is saved  */
#define WINDOW apr_time_from_sec(3600)

csq_outcome state_outcome;
static apr_pool_t *server_pool;
static csq_cursor cursors[STATE_CLIENTS];
static csq_digest keys[3], bodies[2];
static unsigned char spread_id[CSQ_ID_BYTES], gone_id[CSQ_ID_BYTES];
static unsigned char passed_id[CSQ_ID_BYTES], urgent_id[CSQ_ID_BYTES];
static csq_cursor ursula;
static unsigned char repeat_id[2][CSQ_ID_BYTES];

const char *state_path(const char *suffix)
{
    return apr_pstrcat(fx.pool, fx.path, ".state", suffix, NULL);
}

apr_status_t state_try_start(apr_size_t size, unsigned slots)
{
    csq_plan plan = { .path = fx.path,
                      .state = state_path(""),
                      .size = size,
                      .slots = slots,
                      .limits = &fx.limits };

    apr_pool_create(&server_pool, fx.pool);
    return csq_start(&plan, server_pool, &state_outcome, &fx.q);
}

void state_start(void)
{
    ck_ok(state_try_start(FIXTURE_SIZE, FIXTURE_SLOTS));
    fixture_audit();
}

void state_end(void)
{
    apr_pool_destroy(server_pool);
    fx.q = NULL;
}

void state_stop(void)
{
    ck_ok(csq_save(fx.q, state_path("")));
    state_end();
}

int state_there(const char *path)
{
    struct stat info;

    return lstat(path, &info) == 0;
}

void state_setup(void)
{
    fixture_setup_bare();
    state_start();
}

void state_teardown(void)
{
    const char *const suffixes[] = { "", ".new", ".damaged" };
    int i;

    for (i = 0; i < 3; i++)
        unlink(state_path(suffixes[i]));
    unlink(apr_pstrcat(fx.pool, fx.path, ".damaged", NULL));
    fixture_teardown();
}

/* ---- something of everything --------------------------------------------- */

const char *state_client_name(int i)
{
    return apr_psprintf(fx.pool,
                        "client %d with a name that needs more than one chunk "
                        "of the segment, since it is as long as this is",
                        i);
}

apr_status_t state_fetch(const char *client, const char *device, const csq_cursor *after,
                         int max, int peek)
{
    csq_key key = { "realm", client, device };
    csq_fetch what = { .after = after,
                       .max_messages = (apr_uint32_t)max,
                       .max_bytes = 1 << 30,
                       .peek = peek != 0 };

    return csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch);
}

void state_publish(const csq_message *what, const csq_key *to, int n, unsigned char *id)
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

    for (i = 0; i < STATE_CLIENTS; i++) {
        for (j = 0; j < 5; j++) {
            memset(text, 'a' + j, sizeof text);
            text[i * j * 30] = '\0';
            ck_ok(put(state_client_name(i), text));
        }
        ck_ok(get_max(state_client_name(i), NULL, HANDED));
        cursors[i] = cursor_now();
    }
}

static void fill_devices(void)
{
    csq_key key = { "realm", "alice", NULL };
    csq_key both[2] = { { "realm", "alice", NULL }, { "realm", "bob", NULL } };

    ck_status(state_fetch("alice", "laptop", NULL, 10, 0), CSQ_EMPTY);
    ck_status(state_fetch("alice", "phone", NULL, 10, 0), CSQ_EMPTY);
    state_publish(&(csq_message){ .data = "\"one\"", .topic = "t1", .urgency = CSQ_HIGH },
                  &key, 1, NULL);
    state_publish(&(csq_message){ .data = "\"both\"", .receipt = 1 }, both, 2, spread_id);
    ck_ok(state_fetch("alice", "phone", NULL, 1, 0));
    key.device = "tablet";
    state_publish(&(csq_message){ .data = "{}", .type = "application/json" }, &key, 1,
                  NULL);
}

static void fill_gap(void)
{
    csq_key key = { "realm", "greta", NULL };
    int i;

    fx.limits.max_queue = 2;
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    for (i = 0; i < 5; i++)
        state_publish(&(csq_message){ .data = "\"x\"", .app = i % 2 ? "a" : "b" }, &key,
                      1, NULL);
    fx.limits.max_queue = 1000;
    fx.limits.overflow = CSQ_OVERFLOW_REJECT;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
}

static void fill_groups(void)
{
    csq_key members[3] = { { "realm", "alice", NULL },
                           { "realm", "only a member", NULL },
                           { "realm", state_client_name(3), NULL } };
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
    state_publish(&(csq_message){ .data = "\"r\"", .id = repeat_id[1] }, &key, 1, NULL);
}

static void fill_fates(void)
{
    csq_key key = { "realm", "fred", NULL };
    csq_cursor cursor;

    state_publish(&(csq_message){ .data = "\"gone\"" }, &key, 1, gone_id);
    ck_ok(get("fred", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("fred", &cursor), CSQ_EMPTY);
}

/* One that was passed over by a poll for urgent ones, and one handed out. */
static void fill_urgency(void)
{
    csq_key key = { "realm", "ursula", NULL };
    csq_fetch what = { .max_messages = 10, .max_bytes = 1 << 30, .urgency = CSQ_HIGH };

    state_publish(&(csq_message){ .data = "\"later\"", .receipt = 1 }, &key, 1,
                  passed_id);
    state_publish(&(csq_message){ .data = "\"now\"", .urgency = CSQ_HIGH, .receipt = 1 },
                  &key, 1, urgent_id);
    ck_ok(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    ursula = cursor_now();
}

void state_fill(void)
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

int state_has_gap(void)
{
    const csq_gap *gaps;
    apr_uint32_t n;

    return csq_batch_gap(fx.batch, &gaps, &n);
}

/* @return 1: whole, its cursor good; 0: it hears of a gap. */
int state_client_is_whole(int i)
{
    int first = 0, j;
    apr_status_t rv = state_fetch(state_client_name(i), NULL, &cursors[i], 10, 1);

    ck_assert(rv == APR_SUCCESS || rv == CSQ_EMPTY);
    if (state_has_gap())
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

    for (i = 0; i < STATE_CLIENTS; i++)
        ck_assert_msg(state_client_is_whole(i), "client %d hears of a gap", i);
}

static void expect_devices(void)
{
    csq_key key = { "realm", "alice", "phone" };
    csq_message_key message = { .realm = "realm", .app = "orders", .sender = "tester" };
    csq_message_info info;
    csq_client_info client;

    ck_ok(state_fetch("alice", "laptop", NULL, 10, 1));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 2);
    ck_assert_str_eq(csq_batch_get(fx.batch, 0)->topic, "t1");
    ck_assert_int_eq(csq_batch_get(fx.batch, 0)->urgency, CSQ_HIGH);
    ck_assert_int_eq(csq_batch_get(fx.batch, 1)->receipt, 1);
    ck_ok(state_fetch("alice", "tablet", NULL, 10, 1));
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
    ck_ok(state_fetch("ursula", NULL, &ursula, 10, 1));
    ck_assert_int_eq(state_has_gap(), 0);
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    ck_assert_str_eq(text_of(0), "later");
}

/* The receipts of those who asked still count. */
void state_expect_receipts(void)
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

    ck_ok(state_fetch("greta", NULL, NULL, 10, 1));
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
void state_expect_groups(void)
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

void state_expect_everything(void)
{
    expect_clients();
    expect_devices();
    expect_urgency();
    expect_gap();
    if (state_outcome.restored)
        expect_repeats();
}

void state_expect_restored(void)
{
    ck_assert_int_eq(state_outcome.beginning, CSQ_BEGUN_NEW);
    ck_assert_int_eq(state_outcome.restored, 1);
    ck_assert_msg(
        !state_outcome.state_aside, "set aside: %d, %s", (int)state_outcome.state_reason,
        state_outcome.state_problem ? state_outcome.state_problem : "no problem");
    ck_assert_int_eq(state_there(state_path("")), 0);
}

void state_copy_file(const char *from, const char *to)
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
