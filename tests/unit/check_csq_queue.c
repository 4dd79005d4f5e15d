/* SPDX-License-Identifier: Apache-2.0
 * check_csq_queue.c - append: what gets in, what is refused, all or none.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static apr_status_t put_several(const csq_key *keys, int n, apr_status_t *refused)
{
    csq_appended appended;
    csq_message message = { .app = "orders",
                            .sender = "tester",
                            .type = NULL,
                            .encoding = CSQ_JSON,
                            .time = fx.now,
                            .expires = fx.now + 60 * SECOND,
                            .data = "{}",
                            .len = 2 };

    return csq_append(fx.q, &message, keys, n, fx.now, refused, &appended);
}

START_TEST(what_was_appended_is_read_in_order)
{
    char text[32];
    int i;

    for (i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "message %d", i);
        ck_ok(put("alice", text));
    }
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 50);
    for (i = 0; i < 50; i++) {
        snprintf(text, sizeof text, "message %d", i);
        ck_assert_str_eq(text_of((unsigned)i), text);
        ck_assert_str_eq(csq_batch_get(fx.batch, (unsigned)i)->app, "orders");
        ck_assert_str_eq(csq_batch_get(fx.batch, (unsigned)i)->sender, "tester");
        ck_assert_str_eq(csq_batch_get(fx.batch, (unsigned)i)->type, "text/plain");
    }
}
END_TEST

START_TEST(messages_of_any_length_come_back_whole)
{
    static const size_t lengths[] = { 2,   19,  20,  21,   111,   112,   113,
                                      204, 205, 300, 4096, 65536, 200000 };
    csq_appended appended;
    csq_key key = { "realm", "alice", NULL };
    char *data = apr_palloc(fx.pool, 200000);
    size_t i;

    for (i = 0; i < 200000; i++)
        data[i] = (char)('a' + i * i % 23);
    for (i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        csq_message message = { .app = "a",
                                .sender = "s",
                                .type = "x/y",
                                .encoding = CSQ_JSON,
                                .time = fx.now,
                                .expires = fx.now + SECOND,
                                .data = data,
                                .len = lengths[i] };

        ck_ok(csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended));
    }
    ck_ok(get("alice", NULL));
    for (i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        const csq_view *view = csq_batch_get(fx.batch, (unsigned)i);

        ck_assert_uint_eq(view->len, lengths[i]);
        ck_assert_mem_eq(view->data, data, lengths[i]);
    }
}
END_TEST

START_TEST(time_expiry_and_id_are_kept)
{
    csq_appended appended;
    csq_key key = { "realm", "alice", NULL };
    csq_message message = { .app = "a",
                            .sender = "s",
                            .type = NULL,
                            .encoding = CSQ_BINARY,
                            .time = fx.now,
                            .expires = fx.now + 7 * SECOND,
                            .data = "\"AAAA\"",
                            .len = 6 };
    const csq_view *view;

    ck_ok(csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended));
    ck_ok(get("alice", NULL));
    view = csq_batch_get(fx.batch, 0);
    ck_assert_mem_eq(view->id, appended.id, CSQ_ID_BYTES);
    ck_assert_int_eq(view->time, fx.now / 1000 * 1000);
    ck_assert_int_eq(view->expires, (fx.now + 7 * SECOND) / 1000 * 1000);
    ck_assert_int_eq(view->encoding, CSQ_BINARY);
    ck_assert_ptr_null(view->type);
}
END_TEST

START_TEST(clients_of_two_realms_do_not_meet)
{
    csq_key keys[2] = { { "one", "alice", NULL }, { "two", "alice", NULL } };
    csq_fetch what = { .max_messages = 10, .max_bytes = 100 };

    ck_ok(put_several(&keys[0], 1, NULL));
    ck_status(csq_fetch_batch(fx.q, &keys[1], &what, fx.now, fx.batch), CSQ_EMPTY);
    ck_ok(csq_fetch_batch(fx.q, &keys[0], &what, fx.now, fx.batch));
}
END_TEST

START_TEST(a_message_to_several_is_stored_once)
{
    enum { N = 100 };
    csq_key keys[N];
    csq_key doubled[3] = { { "r", "x", NULL }, { "r", "y", NULL }, { "r", "x", NULL } };
    char names[N][16];
    csq_stats stats;
    int i;

    for (i = 0; i < N; i++) {
        snprintf(names[i], sizeof names[i], "client%d", i);
        keys[i].realm = "realm";
        keys[i].client = names[i];
        keys[i].device = NULL;
    }
    ck_ok(put_several(keys, N, NULL));
    stats = stats_now();
    ck_assert_uint_eq(stats.queued, N);
    ck_assert_uint_eq(stats.bytes, 2);
    ck_assert_uint_eq(stats.published, 1);
    fixture_audit();
    for (i = 0; i < N; i++) {
        csq_cursor cursor;

        ck_ok(get(names[i], NULL));
        ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
        cursor = cursor_now();
        ck_status(acknowledge(names[i], &cursor), CSQ_EMPTY);
    }
    ck_assert_uint_eq(stats_now().bytes, 0);
    ck_ok(put_several(doubled, 3, NULL));
    ck_assert_uint_eq(stats_now().queued, 2);
}
END_TEST

START_TEST(a_full_queue_refuses)
{
    apr_status_t refused[3] = { 0 };
    csq_key keys[3] = { { "realm", "bob", NULL },
                        { "realm", "alice", NULL },
                        { "realm", "a/b", NULL } };
    int i;

    for (i = 0; i < 1000; i++)
        ck_ok(put("alice", "x"));
    ck_status(put("alice", "x"), CSQ_QUEUE_FULL);
    ck_status(put_several(keys, 3, refused), CSQ_REFUSED);
    ck_status(refused[0], APR_SUCCESS);
    ck_status(refused[1], CSQ_QUEUE_FULL);
    ck_status(refused[2], CSQ_BAD_NAME);
    ck_assert_uint_eq(stats_now().clients, 1);
    ck_status(get("bob", NULL), CSQ_EMPTY);
}
END_TEST

START_TEST(too_many_bytes_refuse_too)
{
    fx.limits.max_queue_bytes = 20;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(put("alice", "12345678"));
    ck_ok(put("alice", "12345678"));
    ck_status(put("alice", "1"), CSQ_QUEUE_FULL);
    ck_status(put("alice", "1234567890123456789"), CSQ_TOO_LARGE);
}
END_TEST

START_TEST(too_many_clients_are_refused_until_one_is_forgotten)
{
    apr_status_t refused[2];
    csq_key keys[2] = { { "realm", "alice", NULL }, { "realm", "carol", NULL } };

    fx.limits.max_clients = 2;
    fx.limits.client_expiry = 10;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_ok(put_full("orders", "alice", "x", fx.now + SECOND));
    ck_ok(put("bob", "x"));
    ck_status(put("carol", "x"), CSQ_CLIENTS_FULL);
    ck_status(put_several(keys, 2, refused), CSQ_REFUSED);
    ck_status(refused[0], APR_SUCCESS);
    ck_status(refused[1], CSQ_CLIENTS_FULL);
    fx.now += 30 * SECOND;
    ck_ok(put("carol", "x"));
}
END_TEST

START_TEST(a_full_segment_refuses_and_recovers)
{
    char text[3000];
    char client[16];
    unsigned n = 0;
    csq_cursor cursor;
    apr_status_t rv;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    do {
        snprintf(client, sizeof client, "c%u", n / 100);
        rv = put(client, text);
    } while (rv == APR_SUCCESS && ++n < 10000);
    ck_status(rv, CSQ_SEGMENT_FULL);
    fixture_audit();
    ck_ok(get("c0", NULL));
    cursor = cursor_now();
    ck_status(acknowledge("c0", &cursor), CSQ_EMPTY);
    ck_ok(put("c0", text));
}
END_TEST

START_TEST(what_has_expired_makes_room_in_a_full_segment)
{
    char text[3000];
    char client[16];
    unsigned n = 0;
    apr_status_t rv;

    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    do {
        snprintf(client, sizeof client, "c%u", n / 100);
        rv = put_full("orders", client, text, fx.now + 5 * SECOND);
    } while (rv == APR_SUCCESS && ++n < 10000);
    ck_status(rv, CSQ_SEGMENT_FULL);
    fx.now += 10 * SECOND;
    ck_ok(put("alice", text));
    ck_assert_uint_eq(stats_now().queued, 1);
    ck_assert_uint_eq(stats_now().expired, n);
}
END_TEST

START_TEST(bad_names_and_large_messages_are_refused)
{
    csq_appended appended;
    char sender[300];
    csq_key key = { "realm", "alice", NULL };
    csq_message message = { .app = "orders",
                            .sender = "s",
                            .encoding = CSQ_JSON,
                            .time = fx.now,
                            .expires = fx.now + SECOND,
                            .data = "{}",
                            .len = 2 };

    memset(sender, 's', sizeof sender - 1);
    sender[sizeof sender - 1] = '\0';
    ck_status(put("", "x"), CSQ_BAD_NAME);
    ck_status(put("..", "x"), CSQ_BAD_NAME);
    ck_status(put_full("-orders", "alice", "x", fx.now + SECOND), CSQ_BAD_NAME);
    message.sender = "";
    ck_status(csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended), CSQ_BAD_NAME);
    message.sender = sender;
    ck_status(csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended), CSQ_BAD_NAME);
    message.sender = "s";
    message.type = sender;
    ck_status(csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended), CSQ_BAD_NAME);
    message.type = "text/plain\r\n";
    ck_status(csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended), CSQ_BAD_NAME);
    message.type = NULL;
    message.sender = "s\x7f";
    ck_status(csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended), CSQ_BAD_NAME);
    message.sender = "s";
    message.data = apr_pcalloc(fx.pool, 300000);
    message.len = 256 * 1024 + 1;
    ck_status(csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended),
              CSQ_TOO_LARGE);
    ck_status(csq_append(fx.q, &message, &key, 0, fx.now, NULL, &appended), APR_EINVAL);
    ck_assert_uint_eq(stats_now().clients, 0);
}
END_TEST

START_TEST(names_of_full_length_work)
{
    char client[CSQ_CLIENT_MAX + 1];
    char sender[CSQ_SENDER_MAX + 1];
    char type[CSQ_TYPE_MAX + 1];
    char app[CSQ_APP_MAX + 1];
    char realm[CSQ_REALM_MAX + 1];
    csq_appended appended;
    csq_key key = { realm, client, NULL };
    csq_fetch what = { .max_messages = 10, .max_bytes = 100 };
    csq_message message = { .app = app,
                            .sender = sender,
                            .type = type,
                            .encoding = CSQ_JSON,
                            .time = fx.now,
                            .expires = fx.now + SECOND,
                            .data = "{}",
                            .len = 2 };

    memset(client, 'c', sizeof client);
    memset(sender, 's', sizeof sender);
    memset(type, 't', sizeof type);
    memset(app, 'a', sizeof app);
    memset(realm, 'r', sizeof realm);
    client[CSQ_CLIENT_MAX] = sender[CSQ_SENDER_MAX] = type[CSQ_TYPE_MAX] = '\0';
    app[CSQ_APP_MAX] = realm[CSQ_REALM_MAX] = '\0';
    ck_ok(csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended));
    ck_ok(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch));
    ck_assert_str_eq(csq_batch_get(fx.batch, 0)->app, app);
    ck_assert_str_eq(csq_batch_get(fx.batch, 0)->sender, sender);
    ck_assert_str_eq(csq_batch_get(fx.batch, 0)->type, type);
}
END_TEST

START_TEST(a_message_of_200_bytes_takes_288)
{
    char text[201];
    csq_stats before;
    int i;

    memset(text, 'x', 200);
    text[200] = '\0';
    ck_ok(put("alice", text));
    before = stats_now();
    for (i = 0; i < 100; i++)
        ck_ok(put("alice", text));
    ck_assert_uint_eq((stats_now().segment_used - before.segment_used) / 100, 288);
}
END_TEST

START_TEST(a_closed_segment_says_so)
{
    ck_ok(put("alice", "x"));
    csq_close(fx.q);
    ck_status(put("alice", "x"), CSQ_CLOSED);
    ck_status(get("alice", NULL), CSQ_CLOSED);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_queue");
    TCase *tc = tcase_create("append");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, what_was_appended_is_read_in_order);
    tcase_add_test(tc, messages_of_any_length_come_back_whole);
    tcase_add_test(tc, time_expiry_and_id_are_kept);
    tcase_add_test(tc, clients_of_two_realms_do_not_meet);
    tcase_add_test(tc, a_message_to_several_is_stored_once);
    tcase_add_test(tc, a_full_queue_refuses);
    tcase_add_test(tc, too_many_bytes_refuse_too);
    tcase_add_test(tc, too_many_clients_are_refused_until_one_is_forgotten);
    tcase_add_test(tc, a_full_segment_refuses_and_recovers);
    tcase_add_test(tc, what_has_expired_makes_room_in_a_full_segment);
    tcase_add_test(tc, bad_names_and_large_messages_are_refused);
    tcase_add_test(tc, names_of_full_length_work);
    tcase_add_test(tc, a_message_of_200_bytes_takes_288);
    tcase_add_test(tc, a_closed_segment_says_so);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
