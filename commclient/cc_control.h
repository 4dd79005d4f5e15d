/* SPDX-License-Identifier: Apache-2.0
 * cc_control.h - commands that a user gives the agent over the local socket, as
 * the verbs of the command line do.
 */
#ifndef CC_CONTROL_H
#define CC_CONTROL_H

#include "cc_compat.h"
#include "cc_command.h"
#include "cc_dispatch.h"

/**
 * Do what {"dead":...} asks for and write the answer, with its line feed.
 * @param out  nothing is added unless CC_ERROR_NONE
 */
cc_command_error cc_control_dead(cc_dispatch *dispatch, const cc_command *command,
                                 cc_buffer *out);

#endif
