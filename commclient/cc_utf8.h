/* SPDX-License-Identifier: Apache-2.0
 * cc_utf8.h - questions about UTF-8.
 */
#ifndef CC_UTF8_H
#define CC_UTF8_H

#include <stddef.h>

/** Bytes of the character at `data` (1..4), which ends before `end`; 0 when
 *  they are not UTF-8 (overlong, surrogate, above U+10FFFF, cut off). */
size_t cc_utf8_length(const char *data, const char *end);

/** Make '?' of each byte of a control character (U+0000 to U+001F, U+007F to
 *  U+009F) but the line feed, where `keep_lines` is set, and of each byte that is
 *  no UTF-8: what steers a terminal. */
void cc_utf8_hide_controls(char *text, int keep_lines);

#endif
