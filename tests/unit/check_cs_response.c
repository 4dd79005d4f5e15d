/* SPDX-License-Identifier: Apache-2.0
 * check_cs_response.c - answers, byte for byte, from a segment of its own.
 */
#include "cs_compat.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cs_response.h"

/* 2026-01-31T23:59:59.007Z */
#define NOW (((apr_time_t)1769903999) * APR_USEC_PER_SEC + 7999)

static const csq_limits limits = {
    1 << 20, 1 << 16, 8, 100, 3600, 86400, 3600, 86400, 16, CSQ_OVERFLOW_DROP_OLDEST
};
static const csq_key alice = { "localhost", "alice", NULL };

static apr_pool_t *pool;
static char *directory;
static csq *queue;
static csq_batch *batch;

static void setup(void)
{
    apr_status_t rv;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    directory = apr_pstrdup(pool, "/tmp/check-response-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    rv = csq_create(apr_pstrcat(pool, directory, "/queue", NULL), 4 << 20, 4, &limits,
                    pool, &queue);
    ck_assert_msg(rv == APR_SUCCESS, "cannot create a segment: %d", rv);
    batch = csq_batch_create();
}

static void teardown(void)
{
    char *path = strdup(directory);

    csq_batch_destroy(batch);
    apr_pool_destroy(pool);
    ck_assert_int_eq(rmdir(path), 0);
    free(path);
    apr_terminate();
}

/* @return the id of the message, as text in the pool */
static char *append_message(csq_message message, const char *body, apr_size_t len)
{
    csq_appended appended;
    char *text = apr_palloc(pool, CSQ_ID_TEXT + 1);

    message.realm = alice.realm;
    message.time = NOW;
    message.expires = NOW + apr_time_from_sec(86400);
    ck_assert_int_eq(csq_payload_encode(message.type, body, len, pool, &message.encoding,
                                        &message.data, &message.len),
                     APR_SUCCESS);
    ck_assert_int_eq(csq_append(queue, &message, &alice, 1, NOW, NULL, &appended),
                     APR_SUCCESS);
    csq_id_format(appended.id, text);
    return text;
}

static char *append(const char *app, const char *sender, const char *type,
                    const char *body, apr_size_t len)
{
    csq_message message = {
        .app = app, .sender = sender, .type = type, .urgency = CSQ_NORMAL
    };

    return append_message(message, body, len);
}

static apr_status_t fetch(void)
{
    csq_fetch request;

    memset(&request, 0, sizeof(request));
    request.max_messages = 100;
    request.max_bytes = 1 << 20;
    return csq_fetch_batch(queue, &alice, &request, NOW, batch);
}

/* The answer, which must fit into the size that was told.                   */
static char *write_batch(void)
{
    apr_size_t size = cs_response_batch_size(batch);
    char *out = apr_pcalloc(pool, size + 1);
    apr_size_t len = cs_response_batch(batch, out);

    ck_assert_uint_le(len, size);
    out[len] = '\0';
    return out;
}

static char *write_events(int named)
{
    apr_size_t size = cs_response_events_size(batch);
    char *out = apr_pcalloc(pool, size + 1);
    apr_size_t len = cs_response_events(batch, named, out);

    ck_assert_uint_le(len, size);
    out[len] = '\0';
    return out;
}

static const char *cursor(void)
{
    csq_cursor stand = csq_batch_cursor(batch);
    char *text = apr_palloc(pool, CSQ_CURSOR_TEXT);

    csq_cursor_format(&stand, text);
    return text;
}

START_TEST(a_message_has_its_members_in_order)
{
    const char *id = append("orders", "shop", "application/json", "{\"a\":1}", 7);

    ck_assert_int_eq(fetch(), APR_SUCCESS);
    ck_assert_str_eq(
        write_batch(),
        apr_pstrcat(pool, "{\"cursor\":\"", cursor(),
                    "\",\"messages\":["
                    "{\"id\":\"",
                    id,
                    "\",\"app\":\"orders\",\"from\":\"shop\","
                    "\"time\":\"2026-01-31T23:59:59.007Z\","
                    "\"expires\":\"2026-02-01T23:59:59.007Z\","
                    "\"type\":\"application/json\",\"length\":7,\"data\":{\"a\":1}}]}",
                    NULL));
}
END_TEST

START_TEST(strings_are_escaped_and_absent_members_left_out)
{
    char *text;

    append("orders", "a\"b\\c", NULL, "x\ny\"", 4);
    append("orders", "j\303\274rgen", "a/b; c=\"d\"", "\000\377", 2);
    ck_assert_int_eq(fetch(), APR_SUCCESS);
    text = write_batch();
    ck_assert_ptr_nonnull(strstr(text, "\"from\":\"a\\\"b\\\\c\""));
    ck_assert_ptr_nonnull(
        strstr(text, "59.007Z\",\"length\":8,\"data\":\"x\\ny\\\"\"},{"));
    ck_assert_ptr_nonnull(strstr(text, "\"from\":\"j\303\274rgen\""));
    ck_assert_ptr_nonnull(strstr(text, "\"type\":\"a/b; c=\\\"d\\\"\",\"base64\":true,"
                                       "\"length\":6,\"data\":\"AP8=\"}]}"));
}
END_TEST

START_TEST(urgency_topic_and_receipt_come_before_the_length)
{
    static const char *const urgencies[] = { "\"urgency\":\"very-low\",",
                                             "\"urgency\":\"low\",", "",
                                             "\"urgency\":\"high\"," };
    csq_message message = { .app = "orders", .sender = "shop", .topic = "price_1-x",
                            .type = "a/b", .urgency = (csq_urgency)_i, .receipt = 1 };

    append_message(message, "\377", 1);
    ck_assert_int_eq(fetch(), APR_SUCCESS);
    ck_assert_ptr_nonnull(
        strstr(write_batch(),
               apr_pstrcat(pool, "\"type\":\"a/b\",\"topic\":\"price_1-x\",",
                           urgencies[_i],
                           "\"receipt\":true,\"base64\":true,\"length\":6,"
                           "\"data\":\"/w==\"}]}",
                           NULL)));
}
END_TEST

/* Many of the longest that there are: an error of one byte for each would show. */
START_TEST(the_longest_messages_fit_into_the_size_that_is_told)
{
    char app[CSQ_APP_MAX + 1], topic[CSQ_TOPIC_MAX + 1], sender[CSQ_SENDER_MAX + 1];
    csq_message message = { .app = app, .sender = sender, .type = sender, .receipt = 1,
                            .urgency = CSQ_VERY_LOW };
    int i;

    memset(app, 'a', sizeof(app));
    memset(sender, '"', sizeof(sender));
    app[CSQ_APP_MAX] = topic[CSQ_TOPIC_MAX] = sender[CSQ_SENDER_MAX] = '\0';
    for (i = 0; i < 8; i++) {
        memset(topic, 'a' + i, CSQ_TOPIC_MAX);
        message.topic = topic;
        append_message(message, "\377", 1);
    }
    ck_assert_int_eq(fetch(), APR_SUCCESS);
    ck_assert_uint_eq(csq_batch_count(batch), 8);
    ck_assert_ptr_nonnull(strstr(write_batch(), "\"receipt\":true"));
    ck_assert_ptr_nonnull(strstr(write_events(1), "\"receipt\":true"));
}
END_TEST

START_TEST(a_cursor_that_left_something_behind_is_longer)
{
    csq_fetch request = { .max_messages = 100, .max_bytes = 1 << 20,
                          .urgency = CSQ_HIGH };
    csq_message message = { .app = "orders", .sender = "shop", .urgency = CSQ_LOW };
    const char *stand;

    append_message(message, "low", 3);
    message.urgency = CSQ_HIGH;
    append_message(message, "high", 4);
    ck_assert_int_eq(csq_fetch_batch(queue, &alice, &request, NOW, batch), APR_SUCCESS);
    stand = cursor();
    ck_assert_str_eq(stand + 16, "-2.0.2.0");
    ck_assert_ptr_nonnull(strstr(write_batch(), stand));
    ck_assert_ptr_nonnull(
        strstr(write_events(0), apr_pstrcat(pool, "id: ", stand, "\n", NULL)));
}
END_TEST

START_TEST(a_gap_counts_by_application)
{
    int i;

    for (i = 0; i < 11; i++)
        append("orders", "shop", NULL, "x", 1);
    ck_assert_int_eq(fetch(), APR_SUCCESS);
    ck_assert_ptr_nonnull(
        strstr(write_batch(), ",\"gap\":{\"apps\":{\"orders\":3}},\"messages\":[{"));
}
END_TEST

START_TEST(each_message_is_an_event_with_its_cursor)
{
    const char *text, *epoch;

    append("orders", "shop", NULL, "one", 3);
    append("news", "shop", NULL, "two\nlines", 9);
    ck_assert_int_eq(fetch(), APR_SUCCESS);
    text = write_events(1);
    epoch = apr_pstrmemdup(pool, cursor(), 16);
    ck_assert_ptr_eq(strstr(text, apr_pstrcat(pool, "event: orders\nid: ", epoch,
                                              "-1\ndata: {\"id\":\"", NULL)),
                     text);
    ck_assert_ptr_nonnull(
        strstr(text, apr_pstrcat(pool, "\"data\":\"one\"}\n\nevent: news\nid: ", epoch,
                                 "-2\ndata: {\"id\":\"", NULL)));
    ck_assert_str_eq(strstr(text, "\"data\":\"two"), "\"data\":\"two\\nlines\"}\n\n");
    ck_assert_ptr_null(strstr(write_events(0), "event: "));
}
END_TEST

START_TEST(a_gap_is_an_event_before_the_messages)
{
    static const char gap[] = "event: commserver:gap\ndata: "
                              "{\"apps\":{\"orders\":3}}\n\nid: ";
    int i;

    for (i = 0; i < 11; i++)
        append("orders", "shop", NULL, "x", 1);
    ck_assert_int_eq(fetch(), APR_SUCCESS);
    ck_assert_int_eq(strncmp(write_events(0), gap, sizeof(gap) - 1), 0);
}
END_TEST

START_TEST(an_unknown_cursor_is_a_gap_that_nobody_knows)
{
    csq_cursor old = { .epoch = 1, .sequence = 1 };
    csq_fetch request;

    append("orders", "shop", NULL, "x", 1);
    memset(&request, 0, sizeof(request));
    request.after = &old;
    request.max_messages = 1;
    request.max_bytes = 1;
    ck_assert_int_eq(csq_fetch_batch(queue, &alice, &request, NOW, batch), APR_SUCCESS);
    ck_assert_ptr_nonnull(strstr(write_batch(), ",\"gap\":{},\"messages\":[{"));
}
END_TEST

static const char *write_receipt(const cs_receipt *receipt)
{
    apr_size_t size = cs_response_receipt_size(receipt);
    char *out = apr_palloc(pool, size + 1);
    apr_size_t len = cs_response_receipt(receipt, out);

    ck_assert_uint_le(len, size);
    out[len] = '\0';
    return out;
}

#define RECEIPT "{\"id\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"state\":\""

START_TEST(a_receipt_tells_receivers_where_several_were_named)
{
    static const unsigned char id[CSQ_ID_BYTES] = { 0 };
    static const cs_refusal refusals[] = { { "b\\ob/d1", CS_PROBLEM_FULL },
                                           { NULL, CS_PROBLEM_BUSY } };
    cs_receipt receipt = { .id = id, .state = "queued", .to = 7 };

    ck_assert_str_eq(write_receipt(&receipt), RECEIPT "queued\"}");
    receipt.several = 1;
    receipt.to = APR_UINT32_MAX;
    ck_assert_str_eq(write_receipt(&receipt), RECEIPT "queued\",\"to\":4294967295}");
    receipt.refused = APR_UINT32_MAX;
    receipt.refusals = refusals;
    receipt.n = 2;
    receipt.state = cs_response_state(CSQ_STATE_ACKNOWLEDGED);
    ck_assert_str_eq(
        write_receipt(&receipt),
        RECEIPT "acknowledged\",\"to\":4294967295,\"refused_count\":4294967295,"
                "\"refused\":["
                "{\"client\":\"b\\\\ob/d1\",\"type\":\"full\",\"status\":507},"
                "{\"type\":\"busy\",\"status\":503}]}");
}
END_TEST

START_TEST(each_state_has_a_word)
{
    int i;

    for (i = 0; i < CSQ_STATES; i++)
        ck_assert_ptr_nonnull(cs_response_state((csq_state)i));
    ck_assert_str_eq(cs_response_state(CSQ_STATE_HANDED_OUT), "handed-out");
}
END_TEST

START_TEST(a_membership_names_group_and_client)
{
    apr_size_t len;
    char *text = cs_response_member("night", "al\"ice", pool, &len);

    ck_assert_str_eq(text, "{\"group\":\"night\",\"client\":\"al\\\"ice\"}");
    ck_assert_uint_eq(len, strlen(text));
}
END_TEST

START_TEST(what_became_of_a_message_counts_only_where_it_went_to_several)
{
    static const unsigned char id[CSQ_ID_BYTES] = { 0 };
    csq_message_info info = { .state = CSQ_STATE_HANDED_OUT, .queues = 1, .changes = 1 };
    char out[CS_MESSAGE_TEXT];
    apr_size_t len;
    int i;

    info.counts[CSQ_STATE_HANDED_OUT] = 1;
    len = cs_response_message(id, &info, out);
    ck_assert_str_eq(apr_pstrmemdup(pool, out, len),
                     "{\"id\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"state\":\"handed-out\","
                     "\"changes\":1}");
    info.queues = 2;
    info.counts[CSQ_STATE_EXPIRED] = 1;
    len = cs_response_message(id, &info, out);
    ck_assert_str_eq(apr_pstrmemdup(pool, out, len),
                     "{\"id\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"state\":\"handed-out\","
                     "\"changes\":1,\"queues\":2,\"handed_out\":1,\"expired\":1}");
    info.state = CSQ_STATE_ACKNOWLEDGED;
    info.queues = info.changes = APR_UINT32_MAX;
    for (i = 0; i < CSQ_STATES; i++)
        info.counts[i] = APR_UINT32_MAX;
    ck_assert_uint_le(cs_response_message(id, &info, out), sizeof(out));
}
END_TEST

START_TEST(a_problem_has_type_title_status_and_more)
{
    static const cs_refusal refusals[] = { { "al\"ice", CS_PROBLEM_FULL },
                                           { "bob", CS_PROBLEM_FULL } };
    apr_size_t len;
    char *text =
        cs_response_problem(CS_PROBLEM_MALFORMED, 0, "say \"it\"", NULL, 0, pool, &len);

    ck_assert_str_eq(text,
                     "{\"type\":\"malformed\",\"title\":\"the request is malformed\","
                     "\"status\":400,\"detail\":\"say \\\"it\\\"\"}");
    ck_assert_uint_eq(len, strlen(text));
    text = cs_response_problem(CS_PROBLEM_REFUSED, 0, NULL, refusals, 2, pool, &len);
    ck_assert_ptr_nonnull(
        strstr(text, "\"status\":507,\"refused\":["
                     "{\"client\":\"al\\\"ice\",\"type\":\"full\",\"status\":507},"
                     "{\"client\":\"bob\",\"type\":\"full\",\"status\":507}]}"));
    text = cs_response_problem(CS_PROBLEM_POLICY, 429, NULL, NULL, 0, pool, &len);
    ck_assert_ptr_nonnull(strstr(text, "\"type\":\"policy\""));
    ck_assert_ptr_nonnull(strstr(text, "\"status\":429}"));
}
END_TEST

START_TEST(control_characters_of_a_detail_become_escapes)
{
    apr_size_t len;
    char *text =
        cs_response_problem(CS_PROBLEM_POLICY, 0, "a\001\n\037z", NULL, 0, pool, &len);

    ck_assert_ptr_nonnull(strstr(text, "\"detail\":\"a\\u0001\\u000a\\u001fz\"}"));
}
END_TEST

static const struct {
    apr_int64_t seconds;
    const char *text;
} times[] = {
    { 0, "1970-01-01T00:00:00.000Z" },
    { 951782399, "2000-02-28T23:59:59.000Z" },
    { 951782400, "2000-02-29T00:00:00.000Z" },
    { 951868800, "2000-03-01T00:00:00.000Z" },
    { 1735689599, "2024-12-31T23:59:59.000Z" },
    { 1735689600, "2025-01-01T00:00:00.000Z" },
    { 4107542400, "2100-03-01T00:00:00.000Z" },
    { 4107542399, "2100-02-28T23:59:59.000Z" },
};

START_TEST(times_are_of_the_gregorian_calendar)
{
    char out[CS_TIME_TEXT + 1];

    cs_response_time(times[_i].seconds * APR_USEC_PER_SEC, out);
    out[CS_TIME_TEXT] = '\0';
    ck_assert_str_eq(out, times[_i].text);
}
END_TEST

START_TEST(every_day_agrees_with_the_library)
{
    apr_int64_t day;

    for (day = 0; day < 80000; day++) {
        apr_time_t time = apr_time_from_sec(day * 86400 + 3661);
        char out[CS_TIME_TEXT + 1], *expected;
        apr_time_exp_t parts;

        apr_time_exp_gmt(&parts, time);
        cs_response_time(time, out);
        out[CS_TIME_TEXT] = '\0';
        expected = apr_psprintf(pool, "%04d-%02d-%02dT01:01:01.000Z",
                                parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
        ck_assert_str_eq(out, expected);
    }
}
END_TEST

START_TEST(the_status_counts_refusals_by_type)
{
    csq_stats stats;
    apr_size_t len;
    char *text;

    csq_counter_add(queue, CS_PROBLEM_FULL, 2);
    csq_counter_add(queue, CS_PROBLEM_MALFORMED, 1);
    append("orders", "shop", NULL, "x", 1);
    csq_stats_get(queue, &stats);
    text = cs_response_status(&stats, pool, &len);
    ck_assert_ptr_nonnull(strstr(text, "{\"clients\":1,\"waiting\":0,\"queued\":1,"));
    ck_assert_ptr_nonnull(strstr(text, ",\"refused\":{\"malformed\":1,\"full\":2},"));
    ck_assert_ptr_nonnull(strstr(text, ",\"published\":1,"));
}
END_TEST

START_TEST(each_status_of_the_queue_is_answered)
{
    ck_assert_int_eq(cs_problem_of_status(APR_SUCCESS), CS_PROBLEM_NONE);
    ck_assert_int_eq(cs_problem_of_status(CSQ_QUEUE_FULL), CS_PROBLEM_FULL);
    ck_assert_int_eq(cs_problem_of_status(CSQ_SEGMENT_FULL), CS_PROBLEM_FULL);
    ck_assert_int_eq(cs_problem_of_status(CSQ_CLIENTS_FULL), CS_PROBLEM_FULL);
    ck_assert_int_eq(cs_problem_of_status(CSQ_REFUSED), CS_PROBLEM_REFUSED);
    ck_assert_int_eq(cs_problem_of_status(CSQ_TOO_LARGE), CS_PROBLEM_TOO_LARGE);
    ck_assert_int_eq(cs_problem_of_status(CSQ_REPLACED), CS_PROBLEM_REPLACED);
    ck_assert_int_eq(cs_problem_of_status(CSQ_BUSY), CS_PROBLEM_BUSY);
    ck_assert_int_eq(cs_problem_of_status(CSQ_CLOSED), CS_PROBLEM_STOPPING);
    ck_assert_int_eq(cs_problem_of_status(CSQ_BAD_JSON), CS_PROBLEM_MALFORMED);
    ck_assert_int_eq(cs_problem_of_status(CSQ_DAMAGED), CS_PROBLEM_INTERNAL);
    ck_assert_int_eq(cs_problem_of_status(APR_ENOMEM), CS_PROBLEM_INTERNAL);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

int main(void)
{
    Suite *suite = suite_create("cs_response");
    TCase *tc = tcase_create("cs_response");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_message_has_its_members_in_order);
    tcase_add_test(tc, strings_are_escaped_and_absent_members_left_out);
    tcase_add_loop_test(tc, urgency_topic_and_receipt_come_before_the_length, 0, 4);
    tcase_add_test(tc, the_longest_messages_fit_into_the_size_that_is_told);
    tcase_add_test(tc, a_cursor_that_left_something_behind_is_longer);
    tcase_add_test(tc, a_gap_counts_by_application);
    tcase_add_test(tc, each_message_is_an_event_with_its_cursor);
    tcase_add_test(tc, a_gap_is_an_event_before_the_messages);
    tcase_add_test(tc, an_unknown_cursor_is_a_gap_that_nobody_knows);
    tcase_add_test(tc, a_receipt_tells_receivers_where_several_were_named);
    tcase_add_test(tc, each_state_has_a_word);
    tcase_add_test(tc, a_membership_names_group_and_client);
    tcase_add_test(tc, what_became_of_a_message_counts_only_where_it_went_to_several);
    tcase_add_test(tc, a_problem_has_type_title_status_and_more);
    tcase_add_test(tc, control_characters_of_a_detail_become_escapes);
    tcase_add_loop_test(tc, times_are_of_the_gregorian_calendar, 0, COUNT(times));
    tcase_add_test(tc, every_day_agrees_with_the_library);
    tcase_add_test(tc, the_status_counts_refusals_by_type);
    tcase_add_test(tc, each_status_of_the_queue_is_answered);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
