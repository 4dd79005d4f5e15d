/* SPDX-License-Identifier: Apache-2.0
 * cs_poll.h - a poll, parsed: for its answer as JSON (cs_poll.c) or as a
 * stream of events (cs_stream.c).
 */
#ifndef CS_POLL_H
#define CS_POLL_H

#include <httpd.h>

#include "cs_wait.h"
#include "queue/csq.h"

typedef struct cs_poll_request {
    csq_key key;
    csq_cursor after;
    apr_array_header_t *acknowledged; /* ids of messages that applications have
                               taken, of cs_id; NULL: none                   */
    csq_fetch fetch;        /* points at `after` where one was given         */
    csq_cursor stand;       /* where the client stands, after an empty fetch */
    cs_hold *hold;
    apr_time_t began;
    apr_int64_t wait;       /* seconds granted; -1: none asked for           */
    unsigned minimal : 1;   /* acknowledge only                              */
    unsigned stream : 1;    /* an event stream is preferred                  */
    unsigned named_events : 1;
} cs_poll_request;

/** Answer as a stream. In r's handler, the body is read.
 *  @return what the handler must return */
int cs_stream_serve(request_rec *r, cs_poll_request *poll);

#endif
