/* SPDX-License-Identifier: Apache-2.0
 * cs_chunks.h - where a chunked body (RFC 9112, 7.1) ends. Pure.
 *
 * httpd's own parser blocks for the trailer behind the last chunk. On an event
 * thread it is therefore run only once the body is there to its last byte;
 * this finds that byte. It judges nothing: what is not well-formed is given to
 * the parser as it is, which refuses it.
 */
#ifndef CS_CHUNKS_H
#define CS_CHUNKS_H

#include <apr.h>

typedef enum { CS_CHUNKS_MORE, CS_CHUNKS_WHOLE, CS_CHUNKS_BROKEN } cs_chunks_result;

typedef struct cs_chunks {
    int state;          /* 0 to begin with                                 */
    int digits;         /* of the size that is being read                  */
    apr_uint64_t left;  /* of the chunk that is being passed over          */
    apr_size_t scanned; /* bytes looked at                                 */
} cs_chunks;

/** Go on with a body that begins at data and of which len bytes are there;
 *  no byte is looked at twice. */
cs_chunks_result cs_chunks_scan(cs_chunks *chunks, const char *data, apr_size_t len);

#endif
