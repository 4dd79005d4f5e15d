/* SPDX-License-Identifier: Apache-2.0
 * csq_json.h - is this text JSON? RFC 8259, UTF-8, a bounded depth.
 */
#ifndef CSQ_JSON_H
#define CSQ_JSON_H

#include <stddef.h>

#define CSQ_JSON_DEPTH 64      /* arrays and objects within each other        */

/** 1: one well-formed value with nothing but blanks around it. Reads the text
 *  once, allocates nothing, does not recurse. */
int csq_json_valid(const char *text, size_t len);

#endif
