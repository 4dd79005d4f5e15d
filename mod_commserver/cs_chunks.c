/* SPDX-License-Identifier: Apache-2.0
 * cs_chunks.c - where a chunked body ends; see cs_chunks.h.
 */
#include "cs_compat.h"

#include "cs_chunks.h"

#define MAX_DIGITS 16

enum {
    STATE_SIZE,      /* hex digits                                      */
    STATE_EXTENSION, /* up to the end of the line of the size           */
    STATE_DATA,
    STATE_DATA_END,   /* the line end behind a chunk                     */
    STATE_LINE_START, /* of a line of the trailer                        */
    STATE_LINE,
    STATE_WHOLE
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int after_size_line(const cs_chunks *chunks)
{
    return chunks->left > 0 ? STATE_DATA : STATE_LINE_START;
}

/* @return the next state; -1: broken. */
static int read_size(cs_chunks *chunks, char c)
{
    int value = hex_value(c);

    if (value >= 0 && chunks->digits < MAX_DIGITS) {
        chunks->left = chunks->left * 16 + (apr_uint64_t)value;
        chunks->digits++;
        return STATE_SIZE;
    }
    if (value >= 0 || chunks->digits == 0) {
        return -1;
    }
    return c == '\n' ? after_size_line(chunks) : STATE_EXTENSION;
}

static int read_data_end(cs_chunks *chunks, char c)
{
    if (c == '\r') {
        return STATE_DATA_END;
    }
    chunks->left = 0;
    chunks->digits = 0;
    return c == '\n' ? STATE_SIZE : -1;
}

static int read_line_start(char c)
{
    if (c == '\r') {
        return STATE_LINE_START;
    }
    return c == '\n' ? STATE_WHOLE : STATE_LINE;
}

static int next_state(cs_chunks *chunks, char c)
{
    switch (chunks->state) {
    case STATE_SIZE:
        return read_size(chunks, c);
    case STATE_EXTENSION:
        return c == '\n' ? after_size_line(chunks) : STATE_EXTENSION;
    case STATE_DATA_END:
        return read_data_end(chunks, c);
    case STATE_LINE_START:
        return read_line_start(c);
    default:
        return c == '\n' ? STATE_LINE_START : STATE_LINE;
    }
}

static void pass_over_data(cs_chunks *chunks, apr_size_t len)
{
    apr_uint64_t here = len - chunks->scanned;

    if (here > chunks->left) {
        here = chunks->left;
    }
    chunks->scanned += (apr_size_t)here;
    chunks->left -= here;
    if (chunks->left == 0) {
        chunks->state = STATE_DATA_END;
    }
}

cs_chunks_result cs_chunks_scan(cs_chunks *chunks, const char *data, apr_size_t len)
{
    while (chunks->scanned < len && chunks->state != STATE_WHOLE) {
        if (chunks->state == STATE_DATA) {
            pass_over_data(chunks, len);
            continue;
        }
        chunks->state = next_state(chunks, data[chunks->scanned++]);
        if (chunks->state < 0) {
            return CS_CHUNKS_BROKEN;
        }
    }
    return chunks->state == STATE_WHOLE ? CS_CHUNKS_WHOLE : CS_CHUNKS_MORE;
}
