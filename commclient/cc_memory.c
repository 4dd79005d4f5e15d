/* SPDX-License-Identifier: Apache-2.0
 * cc_memory.c - allocation that does not fail, slices, and a growing buffer.
 */
#include "cc_compat.h"
#include "cc_memory.h"
#include "cc_utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory)
{
    if (memory == NULL) {
        fputs("commclient: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *cc_alloc(size_t size)
{
    return checked(calloc(1, size ? size : 1));
}

void *cc_realloc(void *old, size_t size)
{
    return checked(realloc(old, size ? size : 1));
}

char *cc_copy(const char *text)
{
    return checked(strdup(text));
}

char *cc_copy_bytes(const char *data, size_t len)
{
    char *copy = checked(malloc(len + 1));

    if (len > 0)
        memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}

cc_slice cc_slice_of(const char *text)
{
    cc_slice slice = { text, strlen(text) };

    return slice;
}

int cc_slice_is(cc_slice slice, const char *text)
{
    return slice.len == strlen(text) && memcmp(slice.data, text, slice.len) == 0;
}

static void reserve(cc_buffer *buffer, size_t more)
{
    size_t need = buffer->len + more + 1;
    size_t room = buffer->room ? buffer->room : 256;

    if (need <= buffer->room)
        return;
    while (room < need)
        room *= 2;
    buffer->data = cc_realloc(buffer->data, room);
    buffer->room = room;
}

void cc_buffer_add(cc_buffer *buffer, const char *data, size_t len)
{
    reserve(buffer, len);
    if (len > 0)
        memcpy(buffer->data + buffer->len, data, len);
    buffer->len += len;
    buffer->data[buffer->len] = '\0';
}

void cc_buffer_add_text(cc_buffer *buffer, const char *text)
{
    cc_buffer_add(buffer, text, strlen(text));
}

void cc_buffer_format(cc_buffer *buffer, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n <= 0)
        return;
    reserve(buffer, (size_t)n);
    va_start(args, format);
    vsnprintf(buffer->data + buffer->len, (size_t)n + 1, format, args);
    va_end(args);
    buffer->len += (size_t)n;
}

void cc_buffer_add_json(cc_buffer *buffer, const char *data, size_t len)
{
    const char *end = data + len;

    cc_buffer_add(buffer, "\"", 1);
    while (data < end) {
        unsigned char c = (unsigned char)*data;
        size_t n = cc_utf8_length(data, end);

        if (n == 0) {
            cc_buffer_add_text(buffer, "\\ufffd");
            n = 1;
        }
        else if (c == '"' || c == '\\') {
            cc_buffer_format(buffer, "\\%c", c);
        }
        else if (c < 0x20 || c == 0x7f) {
            cc_buffer_format(buffer, "\\u%04x", c);
        }
        else {
            cc_buffer_add(buffer, data, n);
        }
        data += n;
    }
    cc_buffer_add(buffer, "\"", 1);
}

void cc_buffer_add_json_text(cc_buffer *buffer, const char *text)
{
    cc_buffer_add_json(buffer, text, strlen(text));
}

void cc_buffer_reset(cc_buffer *buffer, size_t keep)
{
    if (buffer->room > keep)
        cc_buffer_clear(buffer);
    buffer->len = 0;
}

void cc_buffer_clear(cc_buffer *buffer)
{
    free(buffer->data);
    memset(buffer, 0, sizeof(*buffer));
}
