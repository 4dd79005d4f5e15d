/* SPDX-License-Identifier: Apache-2.0
 * csq_cursor.c - the text form of a cursor: 16 lower-case hex digits, '-',
 * decimal sequence without leading zeros; where something is behind, '.' and
 * how much for normal, low and very-low urgency. One text for one cursor.
 */
#include "cs_compat.h"
#include "csq.h"

#include <string.h>

#define EPOCH_DIGITS 16

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

static apr_status_t parse_sequence(const char *text, apr_size_t len, apr_uint64_t *out)
{
    apr_uint64_t value = 0;
    apr_size_t i;

    if (len < 1 || (text[0] == '0' && len > 1))
        return CSQ_BAD_CURSOR;
    for (i = 0; i < len; i++) {
        unsigned digit = (unsigned char)text[i] - (unsigned)'0';

        if (digit > 9 || __builtin_mul_overflow(value, 10, &value)
            || __builtin_add_overflow(value, digit, &value))
            return CSQ_BAD_CURSOR;
    }
    *out = value;
    return APR_SUCCESS;
}

static int all_zero(const csq_cursor *cursor)
{
    int i;

    for (i = 0; i < CSQ_HIGH; i++)
        if (cursor->behind[i])
            return 0;
    return 1;
}

static apr_status_t parse_behind(const char *text, apr_size_t len, csq_cursor *cursor)
{
    const char *dot;
    apr_size_t part;
    int i;

    for (i = CSQ_HIGH - 1; i >= 0; i--) {
        dot = i ? memchr(text, '.', len) : text + len;
        if (!dot)
            return CSQ_BAD_CURSOR;
        part = (apr_size_t)(dot - text);
        if (parse_sequence(text, part, &cursor->behind[i]) != APR_SUCCESS
            || cursor->behind[i] > cursor->sequence)
            return CSQ_BAD_CURSOR;
        text += part + (i != 0);
        len -= part + (i != 0);
    }
    return all_zero(cursor) ? CSQ_BAD_CURSOR : APR_SUCCESS;
}

apr_status_t csq_cursor_parse(const char *text, apr_size_t len, csq_cursor *out_cursor)
{
    apr_uint64_t epoch = 0;
    const char *dot;
    apr_size_t first;
    apr_status_t rv;
    int i;

    memset(out_cursor, 0, sizeof *out_cursor);
    if (len < EPOCH_DIGITS + 2 || text[EPOCH_DIGITS] != '-')
        return CSQ_BAD_CURSOR;
    for (i = 0; i < EPOCH_DIGITS; i++) {
        int value = hex_value(text[i]);

        if (value < 0)
            return CSQ_BAD_CURSOR;
        epoch = epoch << 4 | (apr_uint64_t)value;
    }
    out_cursor->epoch = epoch;
    text += EPOCH_DIGITS + 1;
    len -= EPOCH_DIGITS + 1;
    dot = memchr(text, '.', len);
    first = dot ? (apr_size_t)(dot - text) : len;
    rv = parse_sequence(text, first, &out_cursor->sequence);
    if (rv == APR_SUCCESS && dot)
        rv = parse_behind(dot + 1, len - first - 1, out_cursor);
    return rv;
}

/* By hand: each answer has a cursor, and printf costs more than the rest. */
void csq_cursor_format(const csq_cursor *cursor, char out[CSQ_CURSOR_TEXT])
{
    static const char hex[] = "0123456789abcdef";
    char *end = out + EPOCH_DIGITS;
    int i;

    for (i = 0; i < EPOCH_DIGITS; i++)
        out[i] = hex[cursor->epoch >> (60 - 4 * i) & 15];
    *end++ = '-';
    end += csq_number_format(cursor->sequence, end);
    for (i = CSQ_HIGH - 1; i >= 0 && !all_zero(cursor); i--) {
        *end++ = '.';
        end += csq_number_format(cursor->behind[i], end);
    }
    *end = '\0';
}
