/* SPDX-License-Identifier: Apache-2.0
 * cc_json.c - a strict JSON reader over bytes that stay where they are.
 */
#include "cc_compat.h"
#include "cc_json.h"
#include "cc_utf8.h"

#include <string.h>

#define NAME_BYTES 32 /* of the longest name in a table, its end included     */

/* What a byte within a string may be: 0 plain ASCII, else look closer. */
enum { PLAIN, QUOTE, ESCAPE, CONTROL, MULTIBYTE };

static const unsigned char kinds[256] = {
    [0x00 ... 0x1f] = CONTROL,
    ['"'] = QUOTE,
    ['\\'] = ESCAPE,
    [0x80 ... 0xff] = MULTIBYTE,
};

static cc_status fail(cc_json *json)
{
    json->bad = 1;
    json->at = json->end;
    return CC_MALFORMED;
}

void cc_json_init(cc_json *json, const char *data, size_t len)
{
    json->at = data;
    json->end = data + len;
    json->bad = 0;
}

char cc_json_peek(cc_json *json)
{
    while (json->at < json->end) {
        char c = *json->at;

        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            return c;
        json->at++;
    }
    return '\0';
}

cc_status cc_json_enter(cc_json *json, char bracket)
{
    if (json->bad || cc_json_peek(json) != bracket)
        return fail(json);
    json->at++;
    return CC_OK;
}

/* After an opening bracket or a value: is there one more? */
static int go_on(cc_json *json, int *first, char closing)
{
    char c = cc_json_peek(json);

    if (json->bad)
        return 0;
    if (c == closing) {
        json->at++;
        return 0;
    }
    if (*first) {
        *first = 0;
        return 1;
    }
    if (c != ',') {
        fail(json);
        return 0;
    }
    json->at++;
    return 1;
}

int cc_json_next_member(cc_json *json, int *first, cc_slice *out_name)
{
    if (!go_on(json, first, '}'))
        return 0;
    if (cc_json_string(json, out_name) != CC_OK)
        return 0;
    if (cc_json_peek(json) != ':') {
        fail(json);
        return 0;
    }
    json->at++;
    return 1;
}

int cc_json_next_element(cc_json *json, int *first)
{
    return go_on(json, first, ']');
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The four digits of \uXXXX at `at`; -1 when they are not there. */
static int read_hex4(const char *at, const char *end)
{
    int value = 0, i;

    if (end - at < 4)
        return -1;
    for (i = 0; i < 4; i++) {
        int digit = hex_value(at[i]);

        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* Bytes of the escape at `at` (a backslash); 0 when it is none. */
static size_t escape_length(const char *at, const char *end)
{
    if (end - at < 2)
        return 0;
    if (at[1] == 'u')
        return read_hex4(at + 2, end) < 0 ? 0 : 6;
    return at[1] != '\0' && strchr("\"\\/bfnrt", at[1]) != NULL ? 2 : 0;
}

cc_status cc_json_string(cc_json *json, cc_slice *out_raw)
{
    const char *at, *end = json->end;
    size_t n;

    if (json->bad || cc_json_peek(json) != '"')
        return fail(json);
    at = ++json->at;
    for (;;) {
        unsigned char kind = QUOTE;

        while (at < end && (kind = kinds[(unsigned char)*at]) == PLAIN)
            at++;
        if (at == end || kind == CONTROL)
            return fail(json);
        if (kind == QUOTE)
            break;
        n = kind == ESCAPE ? escape_length(at, end) : cc_utf8_length(at, end);
        if (n == 0)
            return fail(json);
        at += n;
    }
    out_raw->data = json->at;
    out_raw->len = (size_t)(at - json->at);
    json->at = at + 1;
    return CC_OK;
}

static int is_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

static const char *skip_digits(const char *at, const char *end)
{
    while (is_digit(at, end))
        at++;
    return at;
}

static cc_status skip_number(cc_json *json)
{
    const char *at = json->at, *end = json->end;

    if (at < end && *at == '-')
        at++;
    if (!is_digit(at, end))
        return fail(json);
    at = *at == '0' ? at + 1 : skip_digits(at, end);
    if (at < end && *at == '.') {
        at++;
        if (!is_digit(at, end))
            return fail(json);
        at = skip_digits(at, end);
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        if (!is_digit(at, end))
            return fail(json);
        at = skip_digits(at, end);
    }
    json->at = at;
    return CC_OK;
}

static cc_status skip_word(cc_json *json, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(json->end - json->at) < len || memcmp(json->at, word, len) != 0)
        return fail(json);
    json->at += len;
    return CC_OK;
}

static cc_status skip_scalar(cc_json *json)
{
    cc_slice ignored;

    switch (cc_json_peek(json)) {
    case '"':
        return cc_json_string(json, &ignored);
    case 't':
        return skip_word(json, "true");
    case 'f':
        return skip_word(json, "false");
    case 'n':
        return skip_word(json, "null");
    default:
        return skip_number(json);
    }
}

cc_status cc_json_integer(cc_json *json, uint64_t *out_number)
{
    uint64_t number = 0;
    const char *at;

    cc_json_peek(json);
    at = json->at;
    if (json->bad || !is_digit(at, json->end))
        return fail(json);
    if (skip_number(json) != CC_OK)
        return CC_MALFORMED;
    for (; at < json->at; at++) {
        if (!is_digit(at, json->at) || number > (UINT64_MAX - 9) / 10)
            return fail(json);
        number = number * 10 + (uint64_t)(*at - '0');
    }
    *out_number = number;
    return CC_OK;
}

cc_status cc_json_boolean(cc_json *json, int *out_value)
{
    char c = json->bad ? '\0' : cc_json_peek(json);

    *out_value = c == 't';
    if (c != 't' && c != 'f')
        return fail(json);
    return skip_word(json, c == 't' ? "true" : "false");
}

/* The open brackets around the place that is being read, innermost last. */
typedef struct nest {
    char closing[CC_JSON_DEPTH];
    unsigned depth;
    unsigned deepest;
} nest;

static int open_bracket(cc_json *json, nest *open)
{
    char c = *json->at;

    if (open->depth == CC_JSON_DEPTH) {
        fail(json);
        return 0;
    }
    open->closing[open->depth++] = c == '{' ? '}' : ']';
    if (open->depth > open->deepest)
        open->deepest = open->depth;
    json->at++;
    return 1;
}

/* Go to the next value inside the innermost bracket, closing those that end.
 * Returns 0 when the outermost has ended, or on an error. */
static int next_value(cc_json *json, nest *open, int *first)
{
    cc_slice ignored;

    while (open->depth > 0) {
        int more = open->closing[open->depth - 1] == '}'
                       ? cc_json_next_member(json, first, &ignored)
                       : cc_json_next_element(json, first);

        if (more)
            return 1;
        if (json->bad)
            return 0;
        open->depth--;
        *first = 0;
    }
    return 0;
}

cc_status cc_json_skip(cc_json *json, cc_slice *out_value, unsigned *out_depth)
{
    nest open;
    const char *start;
    int first = 0;
    char c;

    open.depth = open.deepest = 0;
    cc_json_peek(json);
    start = json->at;
    do {
        c = cc_json_peek(json);
        if (json->bad)
            break;
        if (c == '{' || c == '[') {
            open_bracket(json, &open);
            first = 1;
        }
        else {
            skip_scalar(json);
            first = 0;
        }
    } while (!json->bad && next_value(json, &open, &first));
    if (json->bad)
        return CC_MALFORMED;
    if (out_value != NULL) {
        out_value->data = start;
        out_value->len = (size_t)(json->at - start);
    }
    if (out_depth != NULL)
        *out_depth = open.deepest;
    return CC_OK;
}

cc_status cc_json_finish(cc_json *json)
{
    cc_json_peek(json);
    return json->bad || json->at != json->end ? CC_MALFORMED : CC_OK;
}

static size_t encode_utf8(unsigned long c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | (c >> 6));
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | (c >> 12));
        out[1] = (char)(0x80 | ((c >> 6) & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (c >> 18));
    out[1] = (char)(0x80 | ((c >> 12) & 0x3f));
    out[2] = (char)(0x80 | ((c >> 6) & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

/* The character of the escape at `at`; sets *out_used. 0: not a character. */
static unsigned long read_escape(const char *at, const char *end, size_t *out_used)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    const char *simple;
    long c, low;

    *out_used = 2;
    if (at[1] != 'u') {
        simple = strchr(from, at[1]);
        return (unsigned char)(simple != NULL ? to[simple - from] : at[1]);
    }
    *out_used = 6;
    c = read_hex4(at + 2, end);
    if (c >= 0xdc00 && c <= 0xdfff)
        return 0;
    if (c < 0xd800 || c > 0xdbff)
        return c < 0 ? 0 : (unsigned long)c;
    if (end - at < 12 || at[6] != '\\' || at[7] != 'u')
        return 0;
    low = read_hex4(at + 8, end);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *out_used = 12;
    return 0x10000ul + (((unsigned long)c - 0xd800) << 10)
           + ((unsigned long)low - 0xdc00);
}

cc_status cc_json_decode(cc_slice raw, char *out, size_t size)
{
    const char *at = raw.data, *end = raw.data + raw.len;
    size_t n = 0;

    while (at < end) {
        char bytes[4];
        size_t used = 1, count = 1;

        bytes[0] = *at;
        if (*at == '\\') {
            unsigned long c = read_escape(at, end, &used);

            if (c == 0)
                return CC_MALFORMED;
            count = encode_utf8(c, bytes);
        }
        if (size - n <= count)
            return CC_TOO_LARGE;
        memcpy(out + n, bytes, count);
        n += count;
        at += used;
    }
    if (n >= size)
        return CC_TOO_LARGE;
    out[n] = '\0';
    return CC_OK;
}

int cc_json_find(cc_slice raw, const void *rows, size_t count, size_t size)
{
    const char *row = rows;
    char name[NAME_BYTES];
    size_t i;

    if (cc_json_decode(raw, name, sizeof(name)) != CC_OK)
        return -1;
    for (i = 0; i < count; i++, row += size) {
        if (strcmp(name, *(const char *const *)row) == 0)
            return (int)i;
    }
    return -1;
}
