/* SPDX-License-Identifier: Apache-2.0
 * cs_input.h - a connection input filter that holds a head until it is whole.
 *
 * httpd's request parser blocks for the rest of a head. On an event thread
 * nothing may block; so the head is read here first, without blocking, and
 * the parser is run once it is whole, and then reads from here. The filter
 * stands above mod_ssl and sees plain bytes.
 */
#ifndef CS_INPUT_H
#define CS_INPUT_H

#include <httpd.h>
#include <util_filter.h>

#include "cs_chunks.h"

typedef struct cs_input {
    ap_filter_t *filter; /* where we stand; NULL before adoption          */
    void *reqtimeout;    /* of its filter, which was taken off; NULL: none */
    apr_bucket_brigade *brigade;
    char *data;           /* malloc'ed; NULL when nothing is held          */
    apr_size_t size;      /* of data                                       */
    apr_size_t start;     /* first byte not yet given on                   */
    apr_size_t end;       /* behind the last byte held                     */
    apr_size_t scanned;   /* no end of a head begins before it             */
    unsigned drained : 1; /* the socket had no more when it was read last  */
    unsigned secure : 1;  /* TLS: a layer below may hold more bytes         */
    unsigned plain : 1;   /* nothing between us and httpd's core filter       */
    unsigned direct : 1;  /* that filter holds nothing: the socket may be read */
    unsigned eof : 1;     /* the peer has sent its last byte               */
} cs_input;

/** Register the filter. Hook registration time. */
void cs_input_register(void);

/** Put the filter on c. @param r  a request whose body is still to be read, or NULL */
void cs_input_open(cs_input *input, conn_rec *c, request_rec *r);
/** Put what limits the time of reading back: a worker reads from now on. */
void cs_input_limit(cs_input *input, conn_rec *c);
/** Forget what is held. The filter itself goes with the connection. */
void cs_input_clear(cs_input *input);

/** Bytes are held that were not yet given on. */
int cs_input_pending(const cs_input *input);
/** At least len bytes are. */
int cs_input_holds(const cs_input *input, apr_off_t len);

/**
 * Have the filters below let go of what they have given on: httpd's core keeps
 * the buffer of its last read, 8 KB, until it is asked again. What comes by
 * that is held as from cs_input_fill(), which also tells if the peer has gone.
 */
void cs_input_settle(cs_input *input, conn_rec *c);

/**
 * Read what is there.
 * @return APR_SUCCESS: a whole head is held, or so much that the parser will
 *         refuse it; APR_INCOMPLETE: not yet whole; APR_EAGAIN: nothing is
 *         held at all; APR_EOF: the peer has closed; else a broken connection.
 */
apr_status_t cs_input_fill(cs_input *input, conn_rec *c);

/**
 * Read what is there of a chunked body, none of which was given on yet.
 * @param chunks  how far it was looked at; begun with zeros
 * @param limit   bytes that may be held
 * @return APR_SUCCESS: it is there to its last byte, or is so long or so
 *         broken that the parser will refuse it; APR_EAGAIN: not yet;
 *         APR_EOF: the peer has closed; else a broken connection.
 */
apr_status_t cs_input_fill_chunked(cs_input *input, conn_rec *c, cs_chunks *chunks,
                                   apr_size_t limit);

#endif
