/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cc_json.c - the agent's JSON reader against json-c.
 *
 * Both must take the same texts and find the same values in them. Known
 * differences: json-c takes control characters within strings, gives U+FFFD for
 * a lone surrogate, keeps the last of members given twice and bends numbers to
 * what it can hold; nesting is compared where both read it.
 */
#include "cc_fuzz.h"
#include "cc_json.h"
#include "cc_utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <json.h>

#define DEPTH    64   /* levels that are compared                             */
#define TEXT_MAX 4096 /* bytes of a string                                    */

static void compare(cc_json *json, struct json_object *other);

/* ---- values ------------------------------------------------------------- */

static void compare_string(cc_json *json, struct json_object *other)
{
    char text[TEXT_MAX];
    cc_slice raw;
    size_t len;

    CC_FUZZ_CHECK(cc_json_string(json, &raw) == CC_OK, "a string that was skipped");
    CC_FUZZ_CHECK(json_object_is_type(other, json_type_string), "json-c: no string");
    if (cc_json_decode(raw, text, sizeof(text)) != CC_OK)
        return;
    len = strlen(text);
    CC_FUZZ_CHECK((size_t)json_object_get_string_len(other) == len
                      && memcmp(json_object_get_string(other), text, len) == 0,
                  "json-c: another text");
}

/* Anything that is no whole number which fits. */
static void compare_double(cc_slice value, struct json_object *other)
{
    char text[TEXT_MAX];
    double mine, others = json_object_get_double(other);

    if (value.len >= sizeof(text))
        return;
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    mine = strtod(text, NULL);
    if (json_object_is_type(other, json_type_int) && fabs(mine) > 9e15)
        return;
    CC_FUZZ_CHECK(mine == others, "json-c: another number");
}

static void compare_number(cc_json *json, struct json_object *other)
{
    cc_json again = *json;
    cc_slice value;
    uint64_t number;

    CC_FUZZ_CHECK(cc_json_skip(json, &value, NULL) == CC_OK, "a number that was skipped");
    CC_FUZZ_CHECK(json_object_is_type(other, json_type_int)
                      || json_object_is_type(other, json_type_double),
                  "json-c: no number");
    if (cc_json_integer(&again, &number) == CC_OK)
        CC_FUZZ_CHECK(again.at == json->at && json_object_get_uint64(other) == number,
                      "json-c: another whole number");
    else
        compare_double(value, other);
}

static void compare_truth(cc_json *json, struct json_object *other)
{
    int truth;

    CC_FUZZ_CHECK(cc_json_boolean(json, &truth) == CC_OK, "a truth that was skipped");
    CC_FUZZ_CHECK(json_object_is_type(other, json_type_boolean)
                      && !!json_object_get_boolean(other) == truth,
                  "json-c: another truth");
}

/* ---- arrays and objects --------------------------------------------------- */

static void compare_array(cc_json *json, struct json_object *other)
{
    size_t count = 0;
    int first = 1;

    CC_FUZZ_CHECK(json_object_is_type(other, json_type_array), "json-c: no array");
    cc_json_enter(json, '[');
    while (cc_json_next_element(json, &first)) {
        CC_FUZZ_CHECK(count < json_object_array_length(other), "json-c: fewer elements");
        compare(json, json_object_array_get_idx(other, count++));
    }
    CC_FUZZ_CHECK(count == json_object_array_length(other), "json-c: more elements");
}

/* May a member of this name come again in what follows? What is no name for the
 * agent may be any for json-c, which ends a name at a NUL. */
static int comes_again(cc_json json, const char *wanted)
{
    char name[TEXT_MAX];
    cc_slice raw;
    int first = 0;

    cc_json_skip(&json, NULL, NULL);
    while (cc_json_next_member(&json, &first, &raw)) {
        if (cc_json_decode(raw, name, sizeof(name)) != CC_OK || strcmp(name, wanted) == 0)
            return 1;
        cc_json_skip(&json, NULL, NULL);
    }
    return 0;
}

static void compare_object(cc_json *json, struct json_object *other)
{
    char name[TEXT_MAX];
    struct json_object *value;
    cc_slice raw;
    int first = 1;

    CC_FUZZ_CHECK(json_object_is_type(other, json_type_object), "json-c: no object");
    cc_json_enter(json, '{');
    while (cc_json_next_member(json, &first, &raw)) {
        if (cc_json_decode(raw, name, sizeof(name)) != CC_OK
            || comes_again(*json, name)) {
            cc_json_skip(json, NULL, NULL);
            continue;
        }
        CC_FUZZ_CHECK(json_object_object_get_ex(other, name, &value),
                      "json-c: a member is missing");
        compare(json, value);
    }
}

static void compare(cc_json *json, struct json_object *other)
{
    switch (cc_json_peek(json)) {
    case '{':
        compare_object(json, other);
        break;
    case '[':
        compare_array(json, other);
        break;
    case '"':
        compare_string(json, other);
        break;
    case 't':
    case 'f':
        compare_truth(json, other);
        break;
    case 'n':
        CC_FUZZ_CHECK(other == NULL, "json-c: not null");
        cc_json_skip(json, NULL, NULL);
        break;
    default:
        compare_number(json, other);
        break;
    }
}

/* ---- the whole ------------------------------------------------------------ */

static struct json_object *parse(const char *data, size_t len, int *out_taken)
{
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH);
    struct json_object *value;

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    value = json_tokener_parse_ex(tokener, data, (int)len);
    /* A number by itself ends only with what follows. */
    if (json_tokener_get_error(tokener) == json_tokener_continue)
        value = json_tokener_parse_ex(tokener, " ", 1);
    *out_taken = json_tokener_get_error(tokener) == json_tokener_success;
    json_tokener_free(tokener);
    return value;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* A run of bytes that numbers are made of: is it one, by the grammar? */
static int is_number(const char *at, const char *end)
{
    const char *digits;

    at += at < end && *at == '-';
    digits = at;
    at = skip_digits(at, end);
    if (at == digits || (*digits == '0' && at - digits > 1))
        return 0;
    if (at < end && *at == '.') {
        digits = ++at;
        at = skip_digits(at, end);
        if (at == digits)
            return 0;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        digits = at;
        at = skip_digits(at, end);
        if (at == digits)
            return 0;
    }
    return at == end;
}

/* What json-c takes although it is not JSON: control characters in strings,
 * overlong UTF-8, a NUL as the end of all, numbers of other forms, NaN, Infinity,
 * and names in apostrophes.                                                 */
static int is_lax(const char *data, size_t len)
{
    const char *at = data, *end = data + len, *run;
    int in_string = 0;

    while (at < end) {
        if (*at == '\0' || (in_string && (unsigned char)*at < 0x20)
            || (!in_string && strchr("NIiy'", *at) != NULL)
            || ((unsigned char)*at >= 0xc0 && cc_utf8_length(at, end) == 0))
            return 1;
        if (*at == '"')
            in_string = !in_string;
        else if (in_string && *at == '\\')
            at++;
        else if (!in_string && (*at == '-' || (*at >= '0' && *at <= '9'))) {
            for (run = at; at < end && *at != '\0' && strchr("0123456789+-.eE", *at);)
                at++;
            if (!is_number(run, at))
                return 1;
            continue;
        }
        at++;
    }
    return 0;
}

static void check_reading(const char *data, size_t len)
{
    cc_json json;
    cc_slice value;
    unsigned depth = 0;
    struct json_object *other;
    int taken, mine;

    cc_json_init(&json, data, len);
    mine = cc_json_skip(&json, &value, &depth) == CC_OK && cc_json_finish(&json) == CC_OK;
    CC_FUZZ_CHECK(!mine || depth <= CC_JSON_DEPTH, "deeper than it says");
    if (mine && depth >= DEPTH)
        return;
    other = parse(data, len, &taken);
    CC_FUZZ_CHECK(!mine || taken, "json-c does not take it");
    CC_FUZZ_CHECK(mine || !taken || is_lax(data, len), "only json-c takes it");
    if (mine) {
        cc_json_init(&json, data, len);
        compare(&json, other);
        CC_FUZZ_CHECK(cc_json_finish(&json) == CC_OK, "what was skipped cannot be read");
    }
    json_object_put(other);
}

/* Any bytes become a JSON string that both read alike. */
static void check_writing(const char *data, size_t len)
{
    cc_buffer text = { NULL, 0, 0 };
    struct json_object *other;
    cc_json json;
    int taken;

    cc_buffer_add_json(&text, data, len);
    CC_FUZZ_CHECK(!cc_fuzz_is_raw(text.data, text.len) || memchr(data, 0xc2, len) != NULL,
                  "a control character was written");
    cc_json_init(&json, text.data, text.len);
    other = parse(text.data, text.len, &taken);
    CC_FUZZ_CHECK(taken, "json-c does not take what was written");
    if (memchr(data, '\0', len) == NULL)
        compare(&json, other);
    json_object_put(other);
    cc_buffer_clear(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Of its own length, so that a byte too much is noticed. */
    char *copy = cc_alloc(size);

    if (size > 0)
        memcpy(copy, data, size);
    check_reading(copy, size);
    check_writing(copy, size);
    free(copy);
    return 0;
}
