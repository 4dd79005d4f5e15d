/* SPDX-License-Identifier: Apache-2.0
 * cs_output.h - pass an answer to httpd without making an event thread wait.
 *
 * httpd's core output filter blocks once more than FlushMaxThreshold (64 KiB)
 * is unsent. On an event thread a long answer therefore goes out in pieces
 * below that, each when the socket has taken the one before.
 */
#ifndef CS_OUTPUT_H
#define CS_OUTPUT_H

#include <httpd.h>

#include "cs_park.h"

/**
 * Pass a whole answer, EOS at its end, no FLUSH in it. Status and headers are
 * set; a Content-Length is set here where it is needed.
 * @param brigade  of r->pool; given away
 * @return what the handler (or cs_wait_ops.answer) must return: OK; SUSPENDED,
 *         the rest is sent by itself; AP_FILTER_ERROR, the client is gone.
 */
int cs_output_pass(request_rec *r, apr_bucket_brigade *brigade);

/** Go on, in phase CS_PHASE_SEND. The client has Timeout from when it last took
 *  something. @param signals  that have come  @return as cs_output_pass(). */
int cs_output_continue(cs_park *park, unsigned signals);

/**
 * Of a stream: pass the first piece of what it has to say, park->stream, to the
 * filters. Nothing is allocated that stays: it may go on for ever.
 * @return OK or AP_FILTER_ERROR
 */
int cs_output_stream(cs_park *park, request_rec *r);

/**
 * Of a stream: have the kernel break the connection when the peer does not
 * acknowledge what it is sent. Otherwise a reader that vanished with its network
 * is held until the kernel gives up, which takes it a quarter of an hour.
 * @param time  until then; 0: as the kernel does by itself
 */
void cs_output_stream_patience(const cs_park *park, apr_interval_time_t time);

/** Whether the stream has more to say than the filters were passed. */
int cs_output_stream_pending(const cs_park *park);

/**
 * Of a stream: send what the filters hold, and pass piece after piece as the
 * socket takes them.
 * @return APR_SUCCESS: all is sent; APR_EAGAIN: wait for writability; else the
 *         connection is broken
 */
apr_status_t cs_output_stream_continue(cs_park *park);

#endif
