/* SPDX-License-Identifier: Apache-2.0
 * cc_utf8.c - one question about UTF-8 (Unicode, table 3-7).
 */
#include "cc_compat.h"
#include "cc_utf8.h"

#include <string.h>

static int between(const char *data, unsigned low, unsigned high)
{
    unsigned char c = (unsigned char)*data;

    return c >= low && c <= high;
}

size_t cc_utf8_length(const char *data, const char *end)
{
    unsigned char c;
    size_t n, i;
    unsigned low = 0x80, high = 0xbf;

    if (data >= end)
        return 0;
    c = (unsigned char)*data;
    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    n = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if ((size_t)(end - data) < n)
        return 0;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (!between(data + 1, low, high))
        return 0;
    for (i = 2; i < n; i++) {
        if (!between(data + i, 0x80, 0xbf))
            return 0;
    }
    return n;
}

void cc_utf8_hide_controls(char *text, int keep_lines)
{
    const char *end = text + strlen(text);
    size_t n;

    for (; text < end; text += n) {
        unsigned char c = (unsigned char)text[0];

        n = cc_utf8_length(text, end);
        if (c == 0xc2 && n == 2 && (unsigned char)text[1] < 0xa0)
            text[0] = text[1] = '?';
        else if (n == 0 || (c < 0x20 && !(keep_lines && c == '\n')) || c == 0x7f)
            text[0] = '?';
        n += n == 0;
    }
}
