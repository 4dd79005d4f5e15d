/* SPDX-License-Identifier: Apache-2.0
 * check_cs_request.c - queries and header fields, good and bad.
 */
#include "cs_compat.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "cs_request.h"

static apr_pool_t *pool;
static const char *detail;

static void setup(void)
{
    apr_initialize();
    apr_pool_create(&pool, NULL);
    detail = NULL;
}

static void teardown(void)
{
    apr_pool_destroy(pool);
    apr_terminate();
}

/* ---- queries ------------------------------------------------------------- */

START_TEST(an_empty_query_has_nothing)
{
    static const char *const queries[] = { NULL, "", "&", "x=1&y&=2" };
    cs_query query;
    size_t i;

    for (i = 0; i < sizeof(queries) / sizeof(*queries); i++) {
        ck_assert_int_eq(cs_request_query(queries[i], pool, &query, &detail),
                         APR_SUCCESS);
        ck_assert_ptr_null(query.after);
        ck_assert_ptr_null(query.device);
        ck_assert_ptr_null(query.to);
        ck_assert_int_eq(query.wait, -1);
        ck_assert_int_eq(query.max, -1);
    }
}
END_TEST

START_TEST(a_query_is_decoded_once_and_plus_is_itself)
{
    cs_query query;

    ck_assert_int_eq(cs_request_query("to=a%2Bb+c&to=%6Aim&to=100%2525&%74o=j%C3%BC",
                                      pool, &query, &detail),
                     APR_SUCCESS);
    ck_assert_int_eq(query.to->nelts, 4);
    ck_assert_str_eq(APR_ARRAY_IDX(query.to, 0, const char *), "a+b+c");
    ck_assert_str_eq(APR_ARRAY_IDX(query.to, 1, const char *), "jim");
    ck_assert_str_eq(APR_ARRAY_IDX(query.to, 2, const char *), "100%25");
    ck_assert_str_eq(APR_ARRAY_IDX(query.to, 3, const char *), "j\303\274");
}
END_TEST

START_TEST(receivers_count_once_and_keep_their_device)
{
    cs_query query;

    ck_assert_int_eq(
        cs_request_query("to=a&to=b/d1&to=a&to=b&to=a%2Fd2", pool, &query, &detail),
        APR_SUCCESS);
    ck_assert_int_eq(query.to->nelts, 4);
    ck_assert_str_eq(APR_ARRAY_IDX(query.to, 1, const char *), "b/d1");
    ck_assert_str_eq(APR_ARRAY_IDX(query.to, 3, const char *), "a/d2");
}
END_TEST

START_TEST(a_receiver_is_a_client_or_a_device)
{
    static const char *const bad[] = { "", "/d", "a/", "a/b/c", "-", "a/-", "a/ b" };
    csq_key key;
    size_t i;

    ck_assert_int_eq(cs_request_receiver("alice", pool, &key, &detail), APR_SUCCESS);
    ck_assert_str_eq(key.client, "alice");
    ck_assert_ptr_null(key.device);
    ck_assert_int_eq(cs_request_receiver("alice/d1", pool, &key, &detail), APR_SUCCESS);
    ck_assert_str_eq(key.client, "alice");
    ck_assert_str_eq(key.device, "d1");
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        detail = NULL;
        ck_assert_int_eq(cs_request_receiver(bad[i], pool, &key, &detail), APR_EINVAL);
        ck_assert_ptr_nonnull(detail);
    }
}
END_TEST

START_TEST(a_hundred_receivers_pass_and_one_more_fails)
{
    char *text = apr_pstrdup(pool, "x");
    cs_query query;
    int i;

    for (i = 0; i < CS_TO_MAX; i++)
        text = apr_psprintf(pool, "%s&to=c%d", text, i);
    ck_assert_int_eq(cs_request_query(text, pool, &query, &detail), APR_SUCCESS);
    ck_assert_int_eq(query.to->nelts, CS_TO_MAX);
    text = apr_pstrcat(pool, text, "&to=c1&to=c7", NULL); /* counted once */
    ck_assert_int_eq(cs_request_query(text, pool, &query, &detail), APR_SUCCESS);
    ck_assert_int_eq(query.to->nelts, CS_TO_MAX);
    text = apr_pstrcat(pool, text, "&to=one-more", NULL);
    ck_assert_int_eq(cs_request_query(text, pool, &query, &detail), APR_EINVAL);
}
END_TEST

START_TEST(poll_parameters_are_read)
{
    cs_query query;

    ck_assert_int_eq(cs_request_query("after=9-1&wait=55&max=7&device=laptop-1", pool,
                                      &query, &detail),
                     APR_SUCCESS);
    ck_assert_str_eq(query.after, "9-1");
    ck_assert_int_eq(query.wait, 55);
    ck_assert_int_eq(query.max, 7);
    ck_assert_str_eq(query.device, "laptop-1");
    ck_assert_int_eq(query.changes, -1);
    ck_assert_int_eq(cs_request_query("changes=4294967295", pool, &query, &detail),
                     APR_SUCCESS);
    ck_assert_int_eq(query.changes, APR_UINT32_MAX);
    ck_assert_int_eq(
        cs_request_query("wait=0&max=99999999999999999999999", pool, &query, &detail),
        APR_SUCCESS);
    ck_assert_int_eq(query.wait, 0);
    ck_assert_int_gt(query.max, APR_INT32_MAX);
}
END_TEST

static const char *const bad_queries[] = {
    "wait=-1",
    "wait=+1",
    "wait=",
    "wait",
    "wait=1s",
    "wait=1.5",
    "wait= 1",
    "max=0",
    "max=-1",
    "max=x",
    "max=",
    "changes=",
    "changes=-1",
    "changes=4294967296",
    "changes=1&changes=1",
    "device=",
    "device=-",
    "device=a/b",
    "device=a%20b",
    "wait=1&wait=2",
    "max=1&max=1",
    "after=1-1&after=1-1",
    "device=a&device=a",
    "to=",
    "to",
    "to=a/",
    "to=/d",
    "to=a/b/c",
    "to=-",
    "to=.",
    "to=..",
    "to=a%00",
    "to=a%",
    "to=a%2",
    "to=a%2g",
    "to=%zz",
    "x=%",
    "%=x",
    "to=%ff",
    "to=%0a",
};

START_TEST(a_bad_query_is_refused_with_words)
{
    cs_query query;

    ck_assert_int_eq(cs_request_query(bad_queries[_i], pool, &query, &detail),
                     APR_EINVAL);
    ck_assert_ptr_nonnull(detail);
}
END_TEST

/* ---- Prefer and TTL -------------------------------------------------------- */

static const struct {
    const char *field;
    int wait;
    int minimal;
    int lenient;
    int async;
} preferences[] = {
    { NULL, -1, 0, 0, 0 },
    { "", -1, 0, 0, 0 },
    { "wait=10", 10, 0, 0, 0 },
    { "Wait = 10", 10, 0, 0, 0 },
    { "wait=\"10\"", 10, 0, 0, 0 },
    { "respond-async, wait=10", 10, 0, 0, 1 },
    { "wait=10, wait=20", 10, 0, 0, 0 },
    { "wait=10; x=1, return=minimal", 10, 1, 0, 0 },
    { "return=minimal", -1, 1, 0, 0 },
    { "return=\"minimal\"", -1, 1, 0, 0 },
    { "return=representation, return=minimal", -1, 0, 0, 0 },
    { "foo=\"a,wait=3\", wait=4", 4, 0, 0, 0 },
    { "foo=\"a\\\",wait=3\", wait=4", 4, 0, 0, 0 },
    { "foo; wait=3", -1, 0, 0, 0 },
    { ", ,wait=5", 5, 0, 0, 0 },
    { "handling=lenient", -1, 0, 1, 0 },
    { "Handling=\"Lenient\",Respond-Async", -1, 0, 1, 1 },
    { "handling=strict, handling=lenient", -1, 0, 0, 0 },
    { "handling; respond-async", -1, 0, 0, 0 },
};

START_TEST(preferences_are_found)
{
    cs_prefer prefer;

    ck_assert_int_eq(cs_request_prefer(preferences[_i].field, pool, &prefer, &detail),
                     APR_SUCCESS);
    ck_assert_int_eq(prefer.wait, preferences[_i].wait);
    ck_assert_int_eq(prefer.minimal, preferences[_i].minimal);
    ck_assert_int_eq(prefer.lenient, preferences[_i].lenient);
    ck_assert_int_eq(prefer.async, preferences[_i].async);
}
END_TEST

START_TEST(a_bad_wait_is_refused)
{
    static const char *const fields[] = { "wait=-1", "wait",         "wait=",
                                          "wait=x",  "foo, wait=1x", "wait=\"\"" };
    cs_prefer prefer;
    size_t i;

    for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        ck_assert_int_eq(cs_request_prefer(fields[i], pool, &prefer, &detail),
                         APR_EINVAL);
    }
}
END_TEST

START_TEST(a_stream_is_preferred_only_by_name)
{
    static const struct {
        const char *accept;
        int stream;
    } rows[] = {
        { NULL, 0 },
        { "", 0 },
        { "*/*", 0 },
        { "text/*", 0 },
        { "text/event-stream", 1 },
        { "Text/Event-Stream", 1 },
        { " text/event-stream ; charset=utf-8", 1 },
        { "text/event-stream;q=0", 0 },
        { "text/event-stream;q=0.000", 0 },
        { "text/event-stream;q=0.001", 1 },
        { "text/event-stream, */*", 1 },
        { "text/event-stream;q=0.9, */*", 0 },
        { "text/event-stream;q=0.9, */*;q=0.8", 1 },
        { "application/json, text/event-stream", 1 },
        { "application/json, text/event-stream;q=0.5", 0 },
        { "application/json;q=0.5, text/event-stream;q=0.5", 1 },
        { "application/json;q=0.4, */*, text/event-stream;q=0.5", 1 },
        { "*/*, application/*;q=0.3, text/event-stream;q=0.3", 1 },
        { "text/event-streams", 0 },
        { "text/event-stream;q=", 1 },
        { ",,;q=1,text/event-stream", 1 },
        { ";", 0 },
        { "text/event-stream;", 1 },
    };
    unsigned i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int stream = cs_request_prefers_stream(rows[i].accept);

        ck_assert_msg(stream == rows[i].stream, "'%s': %d", rows[i].accept, stream);
    }
}
END_TEST

START_TEST(a_ttl_is_clamped_or_refused)
{
    static const char *const bad[] = { "", "-0", "-1", "+1", "1s", "1, 2", "0x10", " 1" };
    apr_int64_t seconds;
    size_t i;

    ck_assert_int_eq(cs_request_ttl("60", 3600, &seconds, &detail), APR_SUCCESS);
    ck_assert_int_eq(seconds, 60);
    ck_assert_int_eq(cs_request_ttl("3601", 3600, &seconds, &detail), APR_SUCCESS);
    ck_assert_int_eq(seconds, 3600);
    ck_assert_int_eq(cs_request_ttl("99999999999999999999", 3600, &seconds, &detail),
                     APR_SUCCESS);
    ck_assert_int_eq(seconds, 3600);
    ck_assert_int_eq(cs_request_ttl("0", 3600, &seconds, &detail), APR_SUCCESS);
    ck_assert_int_eq(seconds, 0);
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_int_eq(cs_request_ttl(bad[i], 3600, &seconds, &detail), APR_EINVAL);
}
END_TEST

START_TEST(a_topic_is_short_and_of_base64url)
{
    static const char *const bad[] = {
        "",    "a b", "a, b",     "a/b",
        "a+b", "a=",  "\303\274", "123456789012345678901234567890123"
    };
    size_t i;

    ck_assert_int_eq(cs_request_topic("weather-1_A", &detail), APR_SUCCESS);
    ck_assert_int_eq(cs_request_topic("12345678901234567890123456789012", &detail),
                     APR_SUCCESS);
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        detail = NULL;
        ck_assert_int_eq(cs_request_topic(bad[i], &detail), APR_EINVAL);
        ck_assert_ptr_nonnull(detail);
    }
}
END_TEST

START_TEST(an_urgency_is_one_of_four_words)
{
    static const char *const good[] = { "very-low", "low", "Normal", "HIGH" };
    static const char *const bad[] = { "",     "urgent", "high,low", "high, high",
                                       " low", "high ",  "3",        "very low" };
    csq_urgency urgency;
    int i;

    for (i = 0; i < 4; i++) {
        ck_assert_int_eq(cs_request_urgency(good[i], &urgency, &detail), APR_SUCCESS);
        ck_assert_int_eq(urgency, i);
    }
    for (i = 0; i < (int)(sizeof(bad) / sizeof(*bad)); i++) {
        detail = NULL;
        ck_assert_int_eq(cs_request_urgency(bad[i], &urgency, &detail), APR_EINVAL);
        ck_assert_ptr_nonnull(detail);
    }
}
END_TEST

/* ---- acknowledged messages ------------------------------------------------ */

#define ID_A "AAAAAAAAAAAAAAAAAAAAAA"
#define ID_B "qJhM5wVYQ0C0b1cTnC9g8A"

START_TEST(acknowledged_ids_are_a_list)
{
    static const char *const good[] = { ID_B "," ID_A, "\t" ID_B " ,, " ID_A " ,",
                                        ID_B ", " ID_A ", " ID_B };
    apr_array_header_t *ids;
    char text[CSQ_ID_TEXT + 1];
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        ck_assert_int_eq(cs_request_ids(good[i], pool, &ids, &detail), APR_SUCCESS);
        ck_assert_int_eq(ids->nelts, 2);
        csq_id_format(APR_ARRAY_IDX(ids, 0, cs_id), text);
        ck_assert_str_eq(text, ID_B);
        csq_id_format(APR_ARRAY_IDX(ids, 1, cs_id), text);
        ck_assert_str_eq(text, ID_A);
    }
}
END_TEST

static char *list_of_ids(int n)
{
    char *list = apr_pstrdup(pool, "");
    int i;

    for (i = 0; i < n; i++) {
        unsigned char id[CSQ_ID_BYTES] = { (unsigned char)i };
        char text[CSQ_ID_TEXT + 1];

        csq_id_format(id, text);
        list = apr_pstrcat(pool, list, i ? ", " : "", text, NULL);
    }
    return list;
}

START_TEST(a_bad_list_of_ids_is_refused_with_words)
{
    static const char *const bad[] = {
        "", " ", ",", ", ,", "x", ID_A "A", ID_A " " ID_B, ID_A ";" ID_B, "\"" ID_A "\"",
        /* Its last bits are not 0. */
        "AAAAAAAAAAAAAAAAAAAAAB", ID_A ", AAAAAAAAAAAAAAAAAAAAA+"
    };
    apr_array_header_t *ids;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        detail = NULL;
        ck_assert_msg(cs_request_ids(bad[i], pool, &ids, &detail) == APR_EINVAL, "'%s'",
                      bad[i]);
        ck_assert_ptr_nonnull(detail);
    }
    ck_assert_int_eq(cs_request_ids(list_of_ids(100), pool, &ids, &detail), APR_SUCCESS);
    ck_assert_int_eq(ids->nelts, 100);
    ck_assert_int_eq(cs_request_ids(list_of_ids(101), pool, &ids, &detail), APR_EINVAL);
}
END_TEST

static const struct {
    const char *field, *key; /* NULL: 400 */
} keys[] = {
    { "\"8e03978e-40d5-43dd-bc93-6894a57f9324\"",
      "8e03978e-40d5-43dd-bc93-6894a57f9324" },
    { "\" a, b; c \"", " a, b; c " },
    { "\"a\\\"b\\\\\"", "a\"b\\" },
    { "", NULL },
    { "\"\"", NULL },
    { "\"", NULL },
    { "token", NULL },
    { "8e03978e", NULL },
    { "\"a", NULL },
    { "\"a\\", NULL },
    { "\"a\\\"", NULL },
    { "\"a\\b\"", NULL },
    { "\"a\", \"b\"", NULL },
    { "\"a\";x=1", NULL },
    { "\"a\" ", NULL },
    { "\"a\tb\"", NULL },
    { "\"\303\274\"", NULL },
    { "\"\177\"", NULL },
    { ":YWJj:", NULL },
};

START_TEST(an_idempotency_key_is_a_string)
{
    const char *key;
    apr_status_t rv;

    rv = cs_request_idempotency_key(keys[_i].field, pool, &key, &detail);
    if (keys[_i].key) {
        ck_assert_int_eq(rv, APR_SUCCESS);
        ck_assert_str_eq(key, keys[_i].key);
    }
    else {
        ck_assert_int_eq(rv, APR_EINVAL);
        ck_assert_ptr_nonnull(detail);
    }
}
END_TEST

START_TEST(an_idempotency_key_has_255_characters_at_most)
{
    char field[300];
    const char *key;

    memset(field, 'k', sizeof(field));
    field[0] = '"';
    memcpy(field + 256, "\"", 2);
    ck_assert_int_eq(cs_request_idempotency_key(field, pool, &key, &detail), APR_SUCCESS);
    ck_assert_uint_eq(strlen(key), 255);
    memcpy(field + 256, "k\"", 3);
    ck_assert_int_eq(cs_request_idempotency_key(field, pool, &key, &detail), APR_EINVAL);
}
END_TEST

START_TEST(text_is_utf8_without_controls)
{
    static const char *const good[] = {
        "", "abc", "j\303\274rgen", "\342\202\254", "\360\237\230\200", "a/b"
    };
    static const char *const bad[] = { "\t",
                                       "a\n",
                                       "\177",
                                       "\302\200",
                                       "\303",
                                       "\300\200",
                                       "\355\240\200",
                                       "\364\220\200\200",
                                       "\370\210",
                                       "\340\200\200",
                                       "\360\200\200\200" };
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(*good); i++)
        ck_assert_int_ne(cs_request_is_text(good[i]), 0);
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        ck_assert_int_eq(cs_request_is_text(bad[i]), 0);
}
END_TEST

/* ---- anything at all ----------------------------------------------------- */

#define ROUNDS 200000

/* Texts of the characters that mean something, from a generator with a fixed
 * start: what fails once fails always. */
static char *anything(unsigned *state)
{
    static const char characters[] =
        "aZ09-./%%%&&===+,;\"\\ \t?waitomxfrdevc\303\274\377\001";
    static char text[64];
    unsigned i, len;

    *state = *state * 1103515245u + 12345u;
    len = (*state >> 16) % (sizeof(text) - 1);
    for (i = 0; i < len; i++) {
        *state = *state * 1103515245u + 12345u;
        text[i] = characters[(*state >> 16) % (sizeof(characters) - 1)];
    }
    text[len] = '\0';
    return text;
}

START_TEST(any_text_is_taken_or_refused)
{
    unsigned state = 1;
    int i;

    for (i = 0; i < ROUNDS; i++) {
        const char *text = anything(&state);
        apr_int64_t seconds;
        apr_array_header_t *ids;
        csq_urgency urgency;
        cs_prefer prefer;
        cs_query query;
        const char *key;

        ck_assert_int_eq(cs_request_urgency(text, &urgency, &detail), APR_EINVAL);
        ck_assert_int_eq(cs_request_ids(text, pool, &ids, &detail), APR_EINVAL);
        if (cs_request_query(text, pool, &query, &detail) == APR_SUCCESS)
            ck_assert(!query.to || query.to->nelts > 0);
        if (cs_request_prefer(text, pool, &prefer, &detail) == APR_SUCCESS)
            ck_assert_int_ge(prefer.wait, -1);
        if (cs_request_ttl(text, 100, &seconds, &detail) == APR_SUCCESS)
            ck_assert(seconds >= 0 && seconds <= 100);
        if (cs_request_idempotency_key(text, pool, &key, &detail) == APR_SUCCESS)
            ck_assert(*key);
        (void)cs_request_is_text(text);
        if (i % 1000 == 0)
            apr_pool_clear(pool);
    }
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

int main(void)
{
    Suite *suite = suite_create("cs_request");
    TCase *tc = tcase_create("cs_request");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, an_empty_query_has_nothing);
    tcase_add_test(tc, a_query_is_decoded_once_and_plus_is_itself);
    tcase_add_test(tc, receivers_count_once_and_keep_their_device);
    tcase_add_test(tc, a_receiver_is_a_client_or_a_device);
    tcase_add_test(tc, a_hundred_receivers_pass_and_one_more_fails);
    tcase_add_test(tc, poll_parameters_are_read);
    tcase_add_loop_test(tc, a_bad_query_is_refused_with_words, 0, COUNT(bad_queries));
    tcase_add_loop_test(tc, preferences_are_found, 0, COUNT(preferences));
    tcase_add_test(tc, a_bad_wait_is_refused);
    tcase_add_test(tc, a_ttl_is_clamped_or_refused);
    tcase_add_test(tc, a_stream_is_preferred_only_by_name);
    tcase_add_test(tc, an_urgency_is_one_of_four_words);
    tcase_add_test(tc, acknowledged_ids_are_a_list);
    tcase_add_test(tc, a_bad_list_of_ids_is_refused_with_words);
    tcase_add_test(tc, a_topic_is_short_and_of_base64url);
    tcase_add_loop_test(tc, an_idempotency_key_is_a_string, 0, COUNT(keys));
    tcase_add_test(tc, an_idempotency_key_has_255_characters_at_most);
    tcase_add_test(tc, text_is_utf8_without_controls);
    tcase_add_test(tc, any_text_is_taken_or_refused);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
