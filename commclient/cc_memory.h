/* SPDX-License-Identifier: Apache-2.0
 * cc_memory.h - allocation that does not fail, slices, and a growing buffer.
 *
 * When there is no memory the process is aborted with one line: an agent that
 * has its messages on disk loses nothing by being started anew, and no caller
 * carries an error path that no test can reach.
 */
#ifndef CC_MEMORY_H
#define CC_MEMORY_H

#include <stddef.h>

#include "cc_compat.h"

/** Zeroed memory; never NULL. free() gives it back. */
void *cc_alloc(size_t size);
/** As realloc, never NULL. */
void *cc_realloc(void *old, size_t size);
/** Copies of a string; never NULL. */
char *cc_copy(const char *text);
char *cc_copy_bytes(const char *data, size_t len);

/* Bytes that belong to somebody else. */
typedef struct cc_slice {
    const char *data;
    size_t len;
} cc_slice;

cc_slice cc_slice_of(const char *text);
/** 1 when the slice holds just the bytes of `text`. */
int cc_slice_is(cc_slice slice, const char *text);

/* A growing buffer; all zero is empty. `data` ends with a NUL behind `len`. */
typedef struct cc_buffer {
    char *data;
    size_t len;
    size_t room;
} cc_buffer;

void cc_buffer_add(cc_buffer *buffer, const char *data, size_t len);
void cc_buffer_add_text(cc_buffer *buffer, const char *text);
void cc_buffer_format(cc_buffer *buffer, const char *format, ...) CC_PRINTF(2, 3);
/** Add `len` bytes as a JSON string with its quotes. Bytes that are not UTF-8
 *  become U+FFFD. */
void cc_buffer_add_json(cc_buffer *buffer, const char *data, size_t len);
void cc_buffer_add_json_text(cc_buffer *buffer, const char *text);
/** Empty it, keep the memory unless it is more than `keep` bytes. */
void cc_buffer_reset(cc_buffer *buffer, size_t keep);
void cc_buffer_clear(cc_buffer *buffer);

#endif
