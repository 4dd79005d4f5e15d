/* SPDX-License-Identifier: Apache-2.0
 * csq_json.c - a checker of JSON, not a parser: nothing is built.
 *
 * Numbers of any size, lone surrogates as \u escapes and repeated members are
 * well-formed and pass. The nesting is kept as one bit a level.
 */
#include "cs_compat.h"
#include "csq_json.h"
#include "csq_utf8.h"

#include <stdint.h>
#include <string.h>

typedef struct reader {
    const unsigned char *at;
    const unsigned char *end;
} reader;

static void skip_blanks(reader *r)
{
    while (r->at < r->end
           && (*r->at == ' ' || *r->at == '\n' || *r->at == '\r' || *r->at == '\t'))
        r->at++;
}

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

/* Some byte of the eight is not ASCII, a quote, a backslash or a control. */
static int needs_a_look(uint64_t eight)
{
    uint64_t quote = eight ^ (ONES * '"');
    uint64_t slash = eight ^ (ONES * '\\');

    return (((quote - ONES) & ~quote) | ((slash - ONES) & ~slash)
            | ((eight - ONES * 0x20) & ~eight) | eight)
           & HIGHS ? 1 : 0;
}

static int is_hex(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Behind a backslash. */
static int read_escape(reader *r)
{
    int i;

    if (r->at == r->end)
        return 0;
    if (*r->at != 'u')
        return *r->at && strchr("\"\\/bfnrt", *r->at++) != NULL;
    r->at++;
    for (i = 0; i < 4; i++)
        if (r->at == r->end || !is_hex(*r->at++))
            return 0;
    return 1;
}

/* Behind the opening quote. */
static int read_string(reader *r)
{
    uint64_t eight;
    size_t step;

    for (;;) {
        while (r->end - r->at >= 8) {
            memcpy(&eight, r->at, 8);
            if (needs_a_look(eight))
                break;
            r->at += 8;
        }
        if (r->at == r->end || *r->at < 0x20)
            return 0;
        if (*r->at >= 0x80) {
            step = csq_utf8_sequence(r->at, r->end);
            if (!step)
                return 0;
            r->at += step;
            continue;
        }
        switch (*r->at++) {
        case '"':
            return 1;
        case '\\':
            if (!read_escape(r))
                return 0;
            break;
        default:
            break;
        }
    }
}

static int read_digits(reader *r)
{
    const unsigned char *start = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > start;
}

static int read_number(reader *r)
{
    if (*r->at == '-')
        r->at++;
    if (r->at < r->end && *r->at == '0')
        r->at++;
    else if (!read_digits(r))
        return 0;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!read_digits(r))
            return 0;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        if (!read_digits(r))
            return 0;
    }
    return 1;
}

static int read_word(reader *r, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(r->end - r->at) < len || memcmp(r->at, word, len) != 0)
        return 0;
    r->at += len;
    return 1;
}

/* A value that holds no others. */
static int read_scalar(reader *r)
{
    switch (*r->at) {
    case '"':
        r->at++;
        return read_string(r);
    case 't':
        return read_word(r, "true");
    case 'f':
        return read_word(r, "false");
    case 'n':
        return read_word(r, "null");
    default:
        return read_number(r);
    }
}

/* The name of a member and the colon; r->at is behind them and blanks. */
static int read_member_name(reader *r)
{
    if (r->at == r->end || *r->at++ != '"' || !read_string(r))
        return 0;
    skip_blanks(r);
    if (r->at == r->end || *r->at++ != ':')
        return 0;
    skip_blanks(r);
    return 1;
}

/* Open arrays and objects until a scalar or an empty one was read.
 * `objects` has one bit a level, the innermost lowest.                       */
static int read_value(reader *r, uint64_t *objects, int *depth)
{
    for (;;) {
        int object;

        if (r->at == r->end)
            return 0;
        if (*r->at != '[' && *r->at != '{')
            return read_scalar(r);
        if (*depth == CSQ_JSON_DEPTH)
            return 0;
        object = *r->at++ == '{';
        skip_blanks(r);
        if (r->at < r->end && *r->at == (object ? '}' : ']')) {
            r->at++;
            return 1;
        }
        *objects = *objects << 1 | (uint64_t)object;
        ++*depth;
        if (object && !read_member_name(r))
            return 0;
    }
}

int csq_json_valid(const char *text, size_t len)
{
    reader r = { (const unsigned char *)text, (const unsigned char *)text + len };
    uint64_t objects = 0;
    int depth = 0;

    skip_blanks(&r);
    for (;;) {
        if (!read_value(&r, &objects, &depth))
            return 0;
        skip_blanks(&r);
        while (depth && r.at < r.end && *r.at == (objects & 1 ? '}' : ']')) {
            r.at++;
            objects >>= 1;
            depth--;
            skip_blanks(&r);
        }
        if (!depth)
            return r.at == r.end;
        if (r.at == r.end || *r.at++ != ',')
            return 0;
        skip_blanks(&r);
        if ((objects & 1) && !read_member_name(&r))
            return 0;
    }
}
