/* SPDX-License-Identifier: Apache-2.0
 * cc_base64.c - base64 of RFC 4648, with padding.
 */
#include "cc_compat.h"
#include "cc_base64.h"

#include <string.h>

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void cc_base64_encode(cc_buffer *out, const char *data, size_t len)
{
    const unsigned char *at = (const unsigned char *)data;
    char four[4];

    for (; len > 0; len -= len < 3 ? len : 3, at += 3) {
        unsigned long bits = (unsigned long)at[0] << 16;

        if (len > 1)
            bits |= (unsigned long)at[1] << 8;
        if (len > 2)
            bits |= at[2];
        four[0] = digits[bits >> 18];
        four[1] = digits[(bits >> 12) & 63];
        four[2] = '=';
        four[3] = '=';
        if (len > 1)
            four[2] = digits[(bits >> 6) & 63];
        if (len > 2)
            four[3] = digits[bits & 63];
        cc_buffer_add(out, four, sizeof(four));
    }
}

/* The number of a digit; 64: it is none. */
static unsigned value_of(char c)
{
    const char *found = c != '\0' ? strchr(digits, c) : NULL;

    return found != NULL ? (unsigned)(found - digits) : 64;
}

/* Four characters, of which the last `padding` are '='. */
static cc_status decode_four(cc_buffer *out, const char *text, unsigned padding)
{
    unsigned long bits = 0;
    char three[3];
    unsigned i;

    for (i = 0; i < 4; i++) {
        unsigned value = i < 4 - padding ? value_of(text[i]) : 0;

        if (value > 63)
            return CC_MALFORMED;
        bits = (bits << 6) | value;
    }
    three[0] = (char)(bits >> 16);
    three[1] = (char)(bits >> 8);
    three[2] = (char)bits;
    if ((padding > 0 && three[2] != 0) || (padding > 1 && three[1] != 0))
        return CC_MALFORMED;
    cc_buffer_add(out, three, 3 - padding);
    return CC_OK;
}

cc_status cc_base64_decode(cc_buffer *out, const char *text, size_t len)
{
    unsigned padding = 0;
    size_t i;

    if (len % 4 != 0)
        return CC_MALFORMED;
    if (len > 0 && text[len - 1] == '=')
        padding = text[len - 2] == '=' ? 2 : 1;
    for (i = 0; i < len; i += 4) {
        if (decode_four(out, text + i, i + 4 == len ? padding : 0) != CC_OK)
            return CC_MALFORMED;
    }
    return CC_OK;
}
