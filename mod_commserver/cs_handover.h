/* SPDX-License-Identifier: Apache-2.0
 * cs_handover.h - requests for anything else on an adopted connection.
 *
 * A page, a CGI program, a proxied application may block, so none of them runs
 * on an event thread: the request is given to a worker thread of the MPM, and
 * the connection closes after the answer, so that the client's next request
 * reaches the MPM anew.
 *
 * Mostly the URL tells whose a request is. Then no other module's hooks run on
 * the event thread at all: a renegotiation of TLS, a directory asked for a
 * password, a cache have a thread that may wait. Where rewriting or a
 * LocationMatch decide, the request is given away once its handler is known.
 */
#ifndef CS_HANDOVER_H
#define CS_HANDOVER_H

#include <httpd.h>

#include "cs_park.h"

/** Hook quick_handler, before all others: suspend what is surely not ours. */
int cs_handover_quick_handler(request_rec *r, int lookup);

/** Hook handler, before all others: suspend what is not ours. */
int cs_handover_handler(request_rec *r);

/** Have a worker run the suspended request, at once or when others are done. */
cs_step cs_handover_start(cs_park *park);

/** @param max  requests handed over at the same time */
void cs_handover_init(unsigned max);

#endif
