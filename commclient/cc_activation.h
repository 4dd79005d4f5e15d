/* SPDX-License-Identifier: Apache-2.0
 * cc_activation.h - the socket that a service manager has opened for the agent.
 *
 * The protocol is that of sd_listen_fds(3): LISTEN_PID names this process,
 * LISTEN_FDS says how many descriptors lie from 3 on, LISTEN_FDNAMES how they
 * are called, with colons between.
 */
#ifndef CC_ACTIVATION_H
#define CC_ACTIVATION_H

#include "cc_compat.h"
#include "cc_status.h"

/* Which one is meant where several are passed: FileDescriptorName= of the unit. */
#define CC_ACTIVATION_NAME "agent"

/**
 * Take the listening socket, if one was passed. The variables are taken out of
 * the environment: they are for this process alone. Descriptors that are not
 * it are closed.
 * @param out_descriptor  close-on-exec, does not block; -1 unless CC_OK
 * @param out_path   of the socket, to be freed; NULL unless CC_OK
 * @param out_error  text for the user, to be freed; NULL when CC_OK or CC_EMPTY
 * @return CC_OK; CC_EMPTY: none was passed; CC_BAD_CONFIG: what was passed is
 *         not one listening Unix stream socket with a path
 */
cc_status cc_activation_take(int *out_descriptor, char **out_path, char **out_error);

/** Does a process listen on this path? Asks the system; connects to nothing, as
 *  that would start a service. 0 also when the system does not say. */
int cc_activation_is_listened(const char *path);

#endif
