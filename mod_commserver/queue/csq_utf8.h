/* SPDX-License-Identifier: Apache-2.0
 * csq_utf8.h - UTF-8 as RFC 3629 has it: no overlong forms, no surrogates,
 * nothing above U+10FFFF. Pure functions.
 */
#ifndef CSQ_UTF8_H
#define CSQ_UTF8_H

#include <stddef.h>

/**
 * The length of the sequence that begins at `at`, a byte of 0x80 or above.
 * @return 2, 3, 4; 0: not well-formed, or it ends too early.
 */
size_t csq_utf8_sequence(const unsigned char *at, const unsigned char *end);

/** 1: all of it is UTF-8. */
int csq_utf8_valid(const char *data, size_t len);

#endif
