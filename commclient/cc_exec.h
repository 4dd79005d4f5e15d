/* SPDX-License-Identifier: Apache-2.0
 * cc_exec.h - applications that are programs: one process for each message.
 *
 * For every [app NAME] with exec there is a subscriber that is this agent
 * itself. A message is acknowledged when its process has ended with 0; goes to
 * the dead list when it ends with CC_EXEC_REJECT, or has failed once more than
 * retries allow; and is tried again otherwise, after 1 s, 2 s and so on at
 * most. While it waits it keeps its place: with parallel = 1 what comes behind
 * it waits too, so the order is kept.
 *
 * That the program cannot be started at all is not the message's fault: it is
 * tried until it can.
 */
#ifndef CC_EXEC_H
#define CC_EXEC_H

#include "cc_compat.h"
#include "cc_config.h"
#include "cc_dispatch.h"
#include "cc_status.h"

struct event_base;

#define CC_EXEC_REJECT 65 /* EX_DATAERR: it will never be dealt with            */

typedef struct cc_exec cc_exec;

/** Is every program there, and may this user run it?
 *  @param out_error  text for the user, to be freed; NULL when CC_OK
 *  @return CC_OK or CC_BAD_CONFIG */
cc_status cc_exec_check(const cc_config *config, char **out_error);
/** The same of one application; CC_OK also when it has no program. */
cc_status cc_exec_check_app(const cc_app_config *app, char **out_error);

/** `config`, `dispatch` and `base` must outlive it. */
cc_exec *cc_exec_create(const cc_config *config, cc_dispatch *dispatch,
                        struct event_base *base);

/** From now on go by `config`. What runs now goes on to its end, also where its
 *  application has no exec any more. */
void cc_exec_config_set(cc_exec *exec, const cc_config *config);

/** Start nothing more, terminate what runs, and wait for it (the loop of events
 *  runs meanwhile), some seconds at most. What has not ended with 0 is given
 *  again by the next agent. */
void cc_exec_stop(cc_exec *exec);

void cc_exec_destroy(cc_exec *exec);

/** Bytes that a program wrote, as they may stand in a log: one line, the last
 *  characters of it. Exposed for tests. To be freed. */
char *cc_exec_quote(cc_slice bytes);

#endif
