/* SPDX-License-Identifier: Apache-2.0
 * cs_beginning.h - what the log says when a server starts on its
 * segment, and when it stops.
 *
 * Parent only, from post_config and at its end.
 */
#ifndef CS_BEGINNING_H
#define CS_BEGINNING_H

#include <httpd.h>

#include "queue/csq.h"

/** Say what was found: nothing, a segment that goes on, one set aside, a saved
 *  state. Size and slots are those wanted. */
void cs_beginning_log(server_rec *s, const char *path, const char *state,
                      apr_int64_t size, unsigned slots, const csq_outcome *outcome);

/** Say how saving the state went. From the parent's end. */
void cs_beginning_log_saved(server_rec *s, apr_status_t rv, const char *state,
                            const csq_stats *stats);

/** Say why csq_start() failed. */
void cs_beginning_log_failure(server_rec *s, apr_status_t rv, const char *path,
                              apr_int64_t size, unsigned slots);

#endif
