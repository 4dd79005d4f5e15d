/* SPDX-License-Identifier: Apache-2.0
 * cs_lifecycle.h - from configuration to running children and back.
 *
 * The parent makes the segment once and keeps it over restarts (it lives in
 * the process pool, not in pconf); a child uses the handle it inherited.
 */
#ifndef CS_LIFECYCLE_H
#define CS_LIFECYCLE_H

#include <httpd.h>

#include "queue/csq.h"

/** Hook post_config: the segment, the realms, warnings about the MPM. */
int cs_lifecycle_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                             server_rec *s);

/** Hook child_init. */
void cs_lifecycle_child_init(apr_pool_t *pchild, server_rec *s);

/** Hook monitor (parent): removes what expired when nobody asks for it. */
int cs_lifecycle_monitor(apr_pool_t *p, server_rec *s);

/** The queues; NULL before the parent has made them. */
csq *cs_lifecycle_queue(void);

/** Path that names the segment (COMMSERVER_SEGMENT); NULL before it is made. */
const char *cs_lifecycle_segment(void);

/** Let expired messages and clients go; does something at most once a second
 *  in a process, a portion of what is due, and is cheap otherwise. Any thread.
 *  @return 1: there is more, call it again soon; 0 */
int cs_lifecycle_upkeep(apr_time_t now);

/** The calling thread's batch, to be used until the thread does something
 *  else; never NULL. */
csq_batch *cs_lifecycle_batch(void);

/** A pseudo-random number below `bound`, for jitter. Any thread. */
unsigned cs_lifecycle_jitter(unsigned bound);

#endif
