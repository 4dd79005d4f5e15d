/* SPDX-License-Identifier: Apache-2.0
 * cs_beginning.h - what the log says when a server starts on its segment.
 *
 * Parent only, from post_config.
 */
#ifndef CS_BEGINNING_H
#define CS_BEGINNING_H

#include <httpd.h>

#include "queue/csq.h"

/** Say what was found: nothing, a segment that goes on, one set aside. Size
 *  and slots are those wanted. */
void cs_beginning_log(server_rec *s, const char *path, apr_int64_t size, unsigned slots,
                      const csq_outcome *outcome);

/** Say why csq_start() failed. */
void cs_beginning_log_failure(server_rec *s, apr_status_t rv, const char *path,
                              apr_int64_t size, unsigned slots);

#endif
