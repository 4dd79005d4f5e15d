/* SPDX-License-Identifier: Apache-2.0
 * cc_agent.h - all parts of a running agent, wired together.
 */
#ifndef CC_AGENT_H
#define CC_AGENT_H

#include "cc_config.h"
#include "cc_status.h"

typedef struct cc_agent cc_agent;

/**
 * Open inbox and socket, prepare the connections. `config` must outlive it.
 * @param out_error  text for the user, to be freed; NULL when CC_OK
 * @return CC_OK; CC_BAD_CONFIG: a file of a server cannot be used; CC_IN_USE:
 *         another agent runs; CC_NOT_PERMITTED: something else is where
 *         inbox or socket should be; else what the inbox or the socket says.
 */
cc_status cc_agent_create(const cc_config *config, cc_agent **out_agent,
                          char **out_error);

/** Run until SIGTERM or SIGINT. SIGHUP reads the configuration again; one that
 *  is not right leaves all as it was.
 *  @return CC_OK; CC_DAMAGED: the inbox broke, start again. */
cc_status cc_agent_run(cc_agent *agent);

void cc_agent_destroy(cc_agent *agent);

#endif
