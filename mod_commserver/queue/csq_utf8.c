/* SPDX-License-Identifier: Apache-2.0
 * csq_utf8.c - UTF-8 checks, eight bytes at a time where they are ASCII.
 */
#include "cs_compat.h"
#include "csq_utf8.h"

#include <stdint.h>
#include <string.h>

/* What the second byte may be depends on the first; the others are 80..BF. */
size_t csq_utf8_sequence(const unsigned char *at, const unsigned char *end)
{
    size_t left = (size_t)(end - at);
    size_t len;
    unsigned char low = 0x80;
    unsigned char high = 0xbf;

    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    len = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (len > left)
        return 0;
    if (at[0] == 0xe0)
        low = 0xa0;
    else if (at[0] == 0xed)
        high = 0x9f;
    else if (at[0] == 0xf0)
        low = 0x90;
    else if (at[0] == 0xf4)
        high = 0x8f;
    if (at[1] < low || at[1] > high)
        return 0;
    if (len > 2 && (at[2] & 0xc0) != 0x80)
        return 0;
    if (len > 3 && (at[3] & 0xc0) != 0x80)
        return 0;
    return len;
}

int csq_utf8_valid(const char *data, size_t len)
{
    const unsigned char *at = (const unsigned char *)data;
    const unsigned char *end = at + len;
    uint64_t eight;
    size_t step;

    while (at < end) {
        if (end - at >= 8) {
            memcpy(&eight, at, 8);
            if (!(eight & UINT64_C(0x8080808080808080))) {
                at += 8;
                continue;
            }
        }
        if (*at < 0x80) {
            at++;
            continue;
        }
        step = csq_utf8_sequence(at, end);
        if (!step)
            return 0;
        at += step;
    }
    return 1;
}
