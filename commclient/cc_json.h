/* SPDX-License-Identifier: Apache-2.0
 * cc_json.h - a strict JSON reader over bytes that stay where they are.
 *
 * It builds nothing and copies nothing: callers ask for the next member and
 * get slices. So a payload is passed on exactly as it was written (numbers of
 * any size, lone surrogate escapes, members given twice), and reading a batch
 * allocates nothing. Hostile input is its normal input: every read is bounded
 * by `end`, nesting by CC_JSON_DEPTH, and the first error sticks.
 *
 * Accepted is RFC 8259 in UTF-8, nothing else.
 */
#ifndef CC_JSON_H
#define CC_JSON_H

#include "cc_compat.h"
#include "cc_memory.h"
#include "cc_status.h"

#define CC_JSON_DEPTH 512 /* levels that are read at all                     */

typedef struct cc_json {
    const char *at; /* next byte to read                                 */
    const char *end;
    int bad; /* an error was found: nothing more is read          */
} cc_json;

void cc_json_init(cc_json *json, const char *data, size_t len);

/** The next byte that is no blank, not taken; 0 at the end or after an error. */
char cc_json_peek(cc_json *json);

/** Enter an object or an array. @return CC_OK; CC_MALFORMED: it is none. */
cc_status cc_json_enter(cc_json *json, char bracket);

/** Go to the next member of the object that was entered. The member's value
 *  must have been taken before the next call.
 *  @param first    1 before the first call; kept by this function
 *  @param out_name raw, escapes and all, without quotes
 *  @return 1: the value comes next; 0: that was the end, or an error. */
int cc_json_next_member(cc_json *json, int *first, cc_slice *out_name);

/** The same for an array. */
int cc_json_next_element(cc_json *json, int *first);

/** Take a string. out_raw: between the quotes, escapes and all. */
cc_status cc_json_string(cc_json *json, cc_slice *out_raw);

/** Take a whole number without sign, fraction and exponent. */
cc_status cc_json_integer(cc_json *json, uint64_t *out_number);

/** Take `true` or `false`. */
cc_status cc_json_boolean(cc_json *json, int *out_value);

/** Take any value.
 *  @param out_value as written; NULL allowed
 *  @param out_depth how deep it is nested: 0 for a number, 1 for []; NULL
 *         allowed
 *  @return CC_OK; CC_MALFORMED, also above CC_JSON_DEPTH. */
cc_status cc_json_skip(cc_json *json, cc_slice *out_value, unsigned *out_depth);

/** CC_OK when nothing but blanks is left and nothing was wrong. */
cc_status cc_json_finish(cc_json *json);

/** Look for a name in a table, each row of which begins with a `const char *`.
 *  @param raw    as cc_json_next_member gives it
 *  @param size   of a row, bytes
 *  @return the index of the row; -1: it is in none. */
int cc_json_find(cc_slice raw, const void *rows, size_t count, size_t size);

/** Decode a raw string into `out` and end it with NUL.
 *  @return CC_OK; CC_TOO_LARGE; CC_MALFORMED: it has a NUL or a lone
 *          surrogate, which no name has. */
cc_status cc_json_decode(cc_slice raw, char *out, size_t size);

#endif
