/* SPDX-License-Identifier: Apache-2.0
 * check_cc_envelope.c - batches and messages, as they should be and not.
 */
#include "cc_envelope.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cc_envelope envelope;
static cc_batch batch;

static const char *why(const char *text)
{
    if (cc_envelope_parse(text, strlen(text), &envelope) != CC_OK)
        return "malformed";
    return envelope.unusable;
}

static cc_status parse_batch(const char *text)
{
    return cc_batch_parse(&batch, text, strlen(text));
}

#define HEAD                                                                             \
    "\"id\":\"abc-_123\",\"app\":\"orders\",\"from\":\"b\","                             \
    "\"time\":\"2026-11-23T04:00:00.000Z\""
#define PLAIN "{" HEAD ",\"length\":7,\"data\":{\"n\":1}}"

START_TEST(a_message_is_cut_into_slices)
{
    ck_assert_ptr_null(why(PLAIN));
    ck_assert(cc_slice_is(envelope.id, "abc-_123"));
    ck_assert(cc_slice_is(envelope.app, "orders"));
    ck_assert(cc_slice_is(envelope.body, HEAD ",\"length\":7,\"data\":{\"n\":1}"));
    ck_assert_uint_eq(envelope.head_len, strlen(HEAD));
    ck_assert_int_eq(envelope.expires, 0);
}
END_TEST

START_TEST(expiry_is_read)
{
    ck_assert_ptr_null(why("{\"id\":\"a\",\"app\":\"b\","
                           "\"expires\":\"1970-01-01T00:00:01.250Z\","
                           "\"length\":1,\"data\":1}"));
    ck_assert_int_eq(envelope.expires, 1250);
}
END_TEST

/* What json-c would change must pass as it is. */
static const char *const payloads[] = {
    "123456789012345678901234567890.000",
    "1e400",
    "-0",
    "\"\\ud800\"",
    "{\"a\":1,\"a\":2}",
    "\"\\u0000\"",
    "[ 1 ,\t2 ]",
    "\"\xf0\x9f\x98\x80\"",
    "\"\"",
    "null",
    "{\"server\":\"x\",\"attempt\":9,\"length\":1,\"data\":2}",
    "\"}}\"",
    "[[[]]]",
};

START_TEST(payloads_pass_unchanged)
{
    char text[512], tail[256];

    snprintf(tail, sizeof(tail), ",\"length\":%zu,\"data\":%s", strlen(payloads[_i]),
             payloads[_i]);
    snprintf(text, sizeof(text), "{\"id\":\"a\",\"app\":\"b\"%s}", tail);
    ck_assert_ptr_null(why(text));
    ck_assert_uint_eq(envelope.body.len - envelope.head_len, strlen(tail));
    ck_assert_mem_eq(envelope.body.data + envelope.head_len, tail, strlen(tail));
}
END_TEST

static const struct {
    const char *text;
    const char *why;
} unusable[] = {
    { "{\"app\":\"b\",\"length\":1,\"data\":1}", "no 'id'" },
    { "{\"id\":\"a\",\"length\":1,\"data\":1}", "no 'app'" },
    { "{\"id\":\"a\",\"app\":\"b\"}", "no 'data'" },
    { "{}", "no 'id'" },
    { "{\"id\":\"a\",\"app\":\"b\",\"data\":1}", "right before 'data'" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":2,\"data\":1}", "not that of 'data'" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":0,\"data\":1}", "not that of 'data'" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":-1,\"data\":1}", "number of bytes" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":1.0,\"data\":1}", "number of bytes" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":\"1\",\"data\":1}", "number of bytes" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":99999999999999999999999,\"data\":1}",
      "number of bytes" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":1,\"data\": 1}", "not that of 'data'" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":1, \"data\":1}", "right before 'data'" },
    { "{\"id\":\"a\",\"app\":\"b\", \"length\":1,\"data\":1}", "out of place" },
    { "{\"length\":1,\"data\":1,\"id\":\"a\",\"app\":\"b\"}", "not the last" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":1,\"data\":1,\"x\":2}", "not the last" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":1,\"x\":2,\"data\":1}",
      "right before 'data'" },
    { "{\"id\":\"\",\"app\":\"b\",\"length\":1,\"data\":1}", "'id' is not allowed" },
    { "{\"id\":\"a.b\",\"app\":\"b\",\"length\":1,\"data\":1}", "'id' is not allowed" },
    { "{\"id\":\"\\u0061\",\"app\":\"b\",\"length\":1,\"data\":1}",
      "'id' is not allowed" },
    { "{\"id\":7,\"app\":\"b\",\"length\":1,\"data\":1}", "'id' is not a string" },
    { "{\"id\":{\"x\":[1]},\"app\":\"b\",\"length\":1,\"data\":1}",
      "'id' is not a string" },
    { "{\"id\":\"a\",\"app\":\"-\",\"length\":1,\"data\":1}", "'app' is not allowed" },
    { "{\"id\":\"a\",\"app\":\"../x\",\"length\":1,\"data\":1}", "'app' is not allowed" },
    { "{\"id\":\"a\",\"app\":null,\"length\":1,\"data\":1}", "'app' is not a string" },
    { "{\"id\":\"a\",\"app\":\"b\",\"expires\":\"soon\",\"length\":1,\"data\":1}",
      "not a time" },
    { "{\"id\":\"a\",\"app\":\"b\",\"expires\":1,\"length\":1,\"data\":1}",
      "not a string" },
    { "{\"id\":\"a\",\"app\":\"b\",\"from\":1,\"length\":1,\"data\":1}", "no string" },
    { "{\"id\":\"a\",\"app\":\"b\",\"base64\":1,\"length\":1,\"data\":1}", "'base64'" },
    { "{\"id\":\"a\",\"app\":\"b\",\"server\":\"x\",\"length\":1,\"data\":1}",
      "only the agent" },
    { "{\"id\":\"a\",\"app\":\"b\",\"attempt\":1,\"length\":1,\"data\":1}",
      "only the agent" },
    { "{\"id\":\"a\",\"app\":\"b\",\"\\u0069d\":\"c\",\"length\":1,\"data\":1}",
      "escaped" },
    { "{\"id\":\"a\",\"id\":\"b\",\"app\":\"b\",\"length\":1,\"data\":1}", "twice" },
    { "{\"id\":\"a\",\"app\":\"b\",\"app\":\"c\",\"length\":1,\"data\":1}", "twice" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":1,\"data\":1,\"data\":2}", "not the last" },
    { "{\"id\":\"a\",\"app\":\"b\",\n\"length\":1,\"data\":1}", "line break" },
    { "{\"id\":\"a\",\"app\":\"b\",\"length\":4,\"data\":[\n1]}", "line break" },
    { "[1,2]", "not an object" },
    { "null", "not an object" },
};

START_TEST(an_unusable_message_says_why)
{
    const char *reason = why(unusable[_i].text);

    ck_assert_msg(reason != NULL && strstr(reason, unusable[_i].why) != NULL, "%s: '%s'",
                  unusable[_i].text, reason ? reason : "(usable)");
}
END_TEST

START_TEST(a_payload_nested_too_deeply_is_unusable)
{
    char data[2 * CC_PAYLOAD_DEPTH + 8], text[1024];
    int depth;

    for (depth = CC_PAYLOAD_DEPTH; depth <= CC_PAYLOAD_DEPTH + 1; depth++) {
        memset(data, '[', (size_t)depth);
        memset(data + depth, ']', (size_t)depth);
        data[2 * depth] = '\0';
        snprintf(text, sizeof(text),
                 "{\"id\":\"a\",\"app\":\"b\",\"length\":%d,\"data\":%s}", 2 * depth,
                 data);
        if (depth == CC_PAYLOAD_DEPTH)
            ck_assert_ptr_null(why(text));
        else
            ck_assert_ptr_nonnull(strstr(why(text), "too deeply"));
    }
}
END_TEST

START_TEST(a_bad_message_does_not_spoil_the_batch)
{
    ck_assert_int_eq(parse_batch("{\"cursor\":\"e-3\",\"messages\":[" PLAIN
                                 ",{\"id\":7},17," PLAIN "]}"),
                     CC_OK);
    ck_assert(cc_slice_is(batch.cursor, "e-3"));
    ck_assert_uint_eq(batch.count, 4);
    ck_assert_ptr_null(batch.messages[0].unusable);
    ck_assert_ptr_nonnull(batch.messages[1].unusable);
    ck_assert(cc_slice_is(batch.messages[1].raw, "{\"id\":7}"));
    ck_assert_ptr_nonnull(batch.messages[2].unusable);
    ck_assert_ptr_null(batch.messages[3].unusable);
    ck_assert(!batch.has_gap);
}
END_TEST

START_TEST(a_batch_may_be_large)
{
    cc_buffer text = { NULL, 0, 0 };
    int i;

    cc_buffer_add_text(&text, "{\"messages\":[");
    for (i = 0; i < 1000; i++)
        cc_buffer_add_text(&text, i ? "," PLAIN : PLAIN);
    cc_buffer_add_text(&text, "],\"more\":{\"x\":[]},\"cursor\":\"e-3\"}");
    ck_assert_int_eq(cc_batch_parse(&batch, text.data, text.len), CC_OK);
    ck_assert_uint_eq(batch.count, 1000);
    ck_assert_ptr_null(batch.messages[999].unusable);
    cc_buffer_clear(&text);
}
END_TEST

static const char *const no_batches[] = {
    "",
    "[]",
    "{}",
    "{\"messages\":[]}",
    "{\"cursor\":7,\"messages\":[]}",
    "{\"cursor\":\"\",\"messages\":[]}",
    "{\"cursor\":\"a b\",\"messages\":[]}",
    "{\"cursor\":\"a\\u000d\\u000aX: y\",\"messages\":[]}",
    "{\"cursor\":\"e-1\",\"messages\":{}}",
    "{\"cursor\":\"e-1\",\"messages\":[}",
    "{\"cursor\":\"e-1\",\"messages\":[]} x",
    "{\"cursor\":\"e-1\",\"messages\":[]",
    "<html>",
    "{\"cursor\":\"e-1\",\"messages\":[{\"id\":\"\x80\"}]}",
    "{\"cursor\":\"0123456789012345678901234567890123456789012345678901234567890123456789"
    "012345678901234567890123456789012345678901234567890123456789\",\"messages\":[]}",
};

START_TEST(what_is_no_batch_is_refused)
{
    ck_assert_int_eq(parse_batch(no_batches[_i]), CC_MALFORMED);
}
END_TEST

START_TEST(gaps_are_read)
{
    ck_assert_int_eq(parse_batch("{\"cursor\":\"e-1\",\"messages\":[],"
                                 "\"gap\":{\"apps\":{\"orders\":12,\"mail\":1}}}"),
                     CC_OK);
    ck_assert(batch.has_gap);
    ck_assert_uint_eq(batch.gap_count, 2);
    ck_assert(cc_slice_is(batch.gaps[0].app, "orders"));
    ck_assert_uint_eq(batch.gaps[0].count, 12);
    ck_assert_int_eq(parse_batch("{\"cursor\":\"e-1\",\"messages\":[]}"), CC_OK);
    ck_assert(!batch.has_gap);
}
END_TEST

static const char *const unknown_gaps[] = {
    "{}",
    "null",
    "7",
    "{\"apps\":{}}",
    "{\"apps\":7}",
    "{\"apps\":{\"orders\":-1}}",
    "{\"apps\":{\"orders\":\"x\"}}",
    "{\"apps\":{\"-\":1}}",
    "{\"apps\":{\"ok\":1,\"orders\":9999999999999999999}}",
};

START_TEST(a_gap_not_understood_is_an_unknown_one)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"cursor\":\"e-1\",\"messages\":[],\"gap\":%s}",
             unknown_gaps[_i]);
    ck_assert_int_eq(parse_batch(text), CC_OK);
    ck_assert(batch.has_gap);
    ck_assert_uint_eq(batch.gap_count, 0);
}
END_TEST

static cc_status peek(const char *text, cc_slice *out)
{
    return cc_batch_peek_cursor(text, strlen(text), out);
}

START_TEST(the_cursor_of_a_broken_answer_is_found)
{
    cc_slice cursor;

    ck_assert_int_eq(peek("{\"cursor\":\"e-7\",\"messages\":[{\"da", &cursor), CC_OK);
    ck_assert(cc_slice_is(cursor, "e-7"));
    ck_assert_int_eq(peek("{\"cursor\":\"e-7", &cursor), CC_MALFORMED);
    ck_assert_int_eq(peek("{\"cursor\":\"e-7\"", &cursor), CC_MALFORMED);
    ck_assert_int_eq(peek("{\"messages\":[],\"cursor\":\"e-7\",", &cursor), CC_MALFORMED);
    ck_assert_int_eq(peek("{\"cursor\":\"e\\n7\",", &cursor), CC_MALFORMED);
    ck_assert_int_eq(peek("<html>", &cursor), CC_MALFORMED);
}
END_TEST

START_TEST(the_type_of_a_problem_is_found)
{
    static const char *const texts[][2] = {
        { "{\"type\":\"replaced\",\"status\":409}", "replaced" },
        { "{\"title\":1,\"type\":\"https://x/y#replaced\"}", "replaced" },
        { "{\"type\":\"urn:commserver:full\"}", "full" },
        { "{\"type\":7}", "" },
        { "<html>", "" },
        { "", "" },
        { "{\"type\":\"0123456789012345678901234567890123456789\"}", "" },
    };
    char type[32];
    size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        cc_problem_type(texts[i][0], strlen(texts[i][0]), type, sizeof(type));
        ck_assert_str_eq(type, texts[i][1]);
    }
}
END_TEST

START_TEST(damaged_batches_do_no_harm)
{
    static const char seed[] = "{\"cursor\":\"e-3\",\"messages\":[" PLAIN "," PLAIN
                               "],\"gap\":{\"apps\":{\"orders\":12}}}";
    unsigned state = 4711;
    int round, i;

    for (round = 0; round < 20000; round++) {
        size_t len = strlen(seed) - (state >> 16) % 3;
        char *text = cc_alloc(len);

        memcpy(text, seed, len);
        for (i = 0; i < 2; i++) {
            state = state * 1103515245u + 12345u;
            text[(state >> 16) % len] = "{}[]\",:\\a0\n\x80"[(state >> 8) % 12];
        }
        cc_batch_parse(&batch, text, len);
        free(text);
    }
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof((array)[0]))

static void clear_batch(void)
{
    cc_batch_clear(&batch);
}

int main(void)
{
    Suite *s = suite_create("cc_envelope");
    TCase *c = tcase_create("message");
    TCase *b = tcase_create("batch");

    tcase_add_test(c, a_message_is_cut_into_slices);
    tcase_add_test(c, expiry_is_read);
    tcase_add_loop_test(c, payloads_pass_unchanged, 0, COUNT(payloads));
    tcase_add_loop_test(c, an_unusable_message_says_why, 0, COUNT(unusable));
    tcase_add_test(c, a_payload_nested_too_deeply_is_unusable);
    suite_add_tcase(s, c);
    tcase_add_checked_fixture(b, NULL, clear_batch);
    tcase_add_test(b, a_bad_message_does_not_spoil_the_batch);
    tcase_add_test(b, a_batch_may_be_large);
    tcase_add_loop_test(b, what_is_no_batch_is_refused, 0, COUNT(no_batches));
    tcase_add_test(b, gaps_are_read);
    tcase_add_loop_test(b, a_gap_not_understood_is_an_unknown_one, 0,
                        COUNT(unknown_gaps));
    tcase_add_test(b, the_cursor_of_a_broken_answer_is_found);
    tcase_add_test(b, the_type_of_a_problem_is_found);
    tcase_add_test(b, damaged_batches_do_no_harm);
    suite_add_tcase(s, b);
    return support_run(s);
}
