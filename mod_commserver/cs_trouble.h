/* SPDX-License-Identifier: Apache-2.0
 * cs_trouble.h - what the administrator should know of, once and not for
 * every request.
 */
#ifndef CS_TROUBLE_H
#define CS_TROUBLE_H

#include <httpd.h>

/**
 * Log that the queue core failed with this status, if that is the server's
 * trouble and not the client's. A line of each kind comes at most every ten
 * seconds from a child, however many requests meet it.
 */
void cs_trouble_status(request_rec *r, apr_status_t rv);

/** The same for polls that are not held: as many are parked as may be. */
void cs_trouble_parked(request_rec *r);
/** As many polls block a thread as may. */
void cs_trouble_blocking(request_rec *r);

/** The same for a connection whose events cannot be had. */
void cs_trouble_watch(conn_rec *c, apr_status_t rv);

/** Log if need be, and answer with the problem of the status. @return as
 *  cs_send_problem() */
int cs_trouble_answer(request_rec *r, apr_status_t rv);

#endif
