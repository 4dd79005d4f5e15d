/* SPDX-License-Identifier: Apache-2.0
 * cs_blocked.h - waiting with a thread, where httpd cannot let go.
 *
 * prefork, worker, and HTTP/2 streams: the thread that runs the handler sleeps
 * until its record is signaled. How many may do so at once is bounded.
 */
#ifndef CS_BLOCKED_H
#define CS_BLOCKED_H

#include "cs_park.h"

/** @return 0: as many as allowed sleep already. */
int cs_blocked_enter(int max);
void cs_blocked_leave(void);

/** Sleep until the record has a signal or the deadline passes.
 *  @return the signals, cleared; 0: the deadline. */
unsigned cs_blocked_sleep(cs_park *park, apr_time_t deadline);

/** Wake those that have a signal. Any thread. */
void cs_blocked_wake(void);

#endif
