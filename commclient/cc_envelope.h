/* SPDX-License-Identifier: Apache-2.0
 * cc_envelope.h - what a poll brings: a batch of messages, as slices.
 *
 * A message travels as
 *     {"id":..,"app":..,...,"length":N,"data":VALUE}
 * and is handed on as it came: `body` is all between its braces, of which the
 * first `head_len` bytes come before the comma that stands before "length".
 * The agent puts its own members there and never re-encodes anything. So the
 * head may not hold members that an application could take for the agent's
 * ("server", "attempt"), members given twice, or escaped member names.
 *
 * A message that cannot be used spoils no other: it carries `unusable`, why.
 * Only when the answer as a whole is no JSON is there no batch. How large a
 * message may be is not looked at here.
 */
#ifndef CC_ENVELOPE_H
#define CC_ENVELOPE_H

#include "cc_compat.h"
#include "cc_memory.h"
#include "cc_status.h"

#define CC_PAYLOAD_DEPTH 100 /* levels of nesting an application gets         */

typedef struct cc_envelope {
    cc_slice raw;         /* the object as it came                            */
    const char *unusable; /* NULL: it can be used; else why not               */
    cc_slice id;
    cc_slice app;
    int64_t expires; /* ms since 1970 by the server's clock; 0: never    */
    int receipt;     /* the server wants to know when it is acknowledged */
    cc_slice body;
    size_t head_len;
} cc_envelope;

typedef struct cc_gap_entry {
    cc_slice app;
    uint64_t count;
} cc_gap_entry;

/* All zero is an empty batch; one is used again and again. The slices point
 * into what was parsed.                                                      */
typedef struct cc_batch {
    cc_slice cursor;
    cc_envelope *messages;
    size_t count, room;
    int has_gap; /* something is missing; no entries: unknown what   */
    cc_gap_entry *gaps;
    size_t gap_count, gap_room;
} cc_batch;

/** @return CC_OK; CC_MALFORMED: no batch, or without a usable cursor. */
cc_status cc_batch_parse(cc_batch *batch, const char *data, size_t len);
void cc_batch_clear(cc_batch *batch);

/* The same piece by piece: what is added is read at once. */
void cc_batch_begin(cc_batch *batch, cc_slice cursor);
/** @param unusable  why it cannot be used, whatever it holds; NULL: it may be */
void cc_batch_add_message(cc_batch *batch, const char *data, size_t len,
                          const char *unusable);
/** @param data  {"apps":{...}} or {}; what cannot be read is an unknown gap */
void cc_batch_add_gap(cc_batch *batch, const char *data, size_t len);

/** The cursor of an answer that is too large or otherwise no batch: it can be
 *  read when it is the first member, as the server writes it.
 *  @return CC_OK or CC_MALFORMED. */
cc_status cc_batch_peek_cursor(const char *data, size_t len, cc_slice *out_cursor);

/** Read one message object. Exposed for tests. */
cc_status cc_envelope_parse(const char *data, size_t len, cc_envelope *out_envelope);

/** The `type` of a problem document (RFC 9457), its part behind the last '/',
 *  '#' or ':'; "" when there is none. */
void cc_problem_type(const char *data, size_t len, char *out, size_t size);

#endif
