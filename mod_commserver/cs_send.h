/* SPDX-License-Identifier: Apache-2.0
 * cs_send.h - hand an answer to httpd.
 *
 * Each function is the end of a handler: `return cs_send_...(...)`. None
 * blocks and none reads what is left of a request body; a connection on which
 * one is left is closed behind the answer.
 */
#ifndef CS_SEND_H
#define CS_SEND_H

#include <httpd.h>
#include <apr_buckets.h>

#include "cs_problem.h"
#include "cs_response.h"

/** Memory for an answer, as long as r lives. */
char *cs_send_buffer(request_rec *r, apr_size_t size);

/** Send `len` bytes of a cs_send_buffer() as application/json. @return OK, or
 *  what else cs_output_pass() does */
int cs_send_json(request_rec *r, int status, char *buffer, apr_size_t len);

/** Set status and fields of an event stream. */
void cs_send_events_head(request_rec *r);

/** Send an event stream that ends at once. @return as cs_output_pass() */
int cs_send_events(request_rec *r, apr_bucket_brigade *events);

/** Send an answer without a body. @return OK */
int cs_send_empty(request_rec *r, int status);

/** Send a problem and count it. @param detail  NULL: none.
 *  @return as cs_output_pass() */
int cs_send_problem(request_rec *r, cs_problem problem, const char *detail);

/** The same with a list of refused clients, or another HTTP status (0: that
 *  of the problem). */
int cs_send_refusals(request_rec *r, cs_problem problem, int status, const char *detail,
                     const cs_refusal *refusals, int n);

/** Set Retry-After to `least` seconds and a random share of `spread`. */
void cs_send_retry_after(request_rec *r, unsigned least, unsigned spread);

/** Tell how many seconds the request may have been held. */
void cs_send_wait_applied(request_rec *r, apr_int64_t seconds);

/** Set a header field of the answer to a number. */
void cs_send_number(request_rec *r, const char *field, apr_int64_t value);

/** Send the methods that are allowed, as 405 or as the answer to OPTIONS. */
int cs_send_methods(request_rec *r, const char *allow);

#endif
