/* SPDX-License-Identifier: Apache-2.0
 * cs_body.h - read a request body without making a thread wait for a peer.
 *
 * What is there is read; if the rest has yet to come, the request is suspended
 * and goes on, on an event thread, when the connection is readable. So what
 * needs the body is a function that is called once, now or later. Only where
 * httpd cannot let go of a connection (prefork, worker, HTTP/2) is it read
 * blocking.
 */
#ifndef CS_BODY_H
#define CS_BODY_H

#include <httpd.h>

/**
 * Called once with the whole body.
 * @param status  APR_SUCCESS; APR_ENOSPC: longer than the limit (body is NULL,
 *                len is 0; the rest is discarded by httpd)
 * @param body    in r->pool, a NUL behind it
 * @return what a handler returns.
 */
typedef int cs_body_done(request_rec *r, void *baton, apr_status_t status,
                         const char *body, apr_size_t len);

/**
 * Read the body of r, at most `limit` bytes, then call done. Transfer codings
 * are undone; a body that breaks off or breaks the rules is answered here
 * with httpd's own status (400, 408, 413).
 * @return what the handler must return.
 */
int cs_body_read(request_rec *r, apr_size_t limit, cs_body_done *done, void *baton);

/** Whether the length that r announces, if it does, is within the limit: else
 *  nothing of it need be read. */
int cs_body_fits(request_rec *r, apr_size_t limit);

#endif
