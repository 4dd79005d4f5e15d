/* SPDX-License-Identifier: Apache-2.0
 * cc_exec_input.h - a message as a program gets it: bytes and variables. Pure,
 * but for what of the agent's own environment is passed on.
 *
 * The payload is what the publisher sent: JSON as it is written, text and
 * binary decoded. Every value of a variable is the sender's or the server's
 * and may hold anything but NUL.
 */
#ifndef CC_EXEC_INPUT_H
#define CC_EXEC_INPUT_H

#include "cc_compat.h"
#include "cc_dispatch.h"
#include "cc_memory.h"

#define CC_EXEC_VALUE_MAX 8192 /* bytes of a variable                         */

/* The variables of a message, beside COMM_SERVER and COMM_ATTEMPT: the member
 * and its variable. One that the message does not have is not set.           */
#define CC_EXEC_VARIABLES(X)                                                             \
    X("id", "COMM_ID")                                                                   \
    X("app", "COMM_APP")                                                                 \
    X("from", "COMM_FROM")                                                               \
    X("time", "COMM_TIME")                                                               \
    X("expires", "COMM_EXPIRES")                                                         \
    X("type", "COMM_TYPE")                                                               \
    X("topic", "COMM_TOPIC")                                                             \
    X("urgency", "COMM_URGENCY")

/* What of the agent's environment a program gets, and all that begins with
 * LC_ or XDG_. No proxies (they may hold passwords), nothing of the service
 * manager.                                                                   */
#define CC_EXEC_PASSED(X)                                                                \
    X("PATH")                                                                            \
    X("HOME")                                                                            \
    X("USER")                                                                            \
    X("LOGNAME")                                                                         \
    X("SHELL")                                                                           \
    X("LANG")                                                                            \
    X("LANGUAGE")                                                                        \
    X("TZ")                                                                              \
    X("TMPDIR")                                                                          \
    X("DISPLAY")                                                                         \
    X("WAYLAND_DISPLAY")                                                                 \
    X("XAUTHORITY")                                                                      \
    X("DBUS_SESSION_BUS_ADDRESS")

typedef struct cc_exec_input {
    cc_buffer payload;
    char **environment; /* NULL at the end; [0] is COMM_ATTEMPT              */
    size_t count;
} cc_exec_input;

/**
 * @param out_input  to be cleared, whatever is returned
 * @param out_why    why it cannot be made, for the user; a constant
 * @return CC_OK or CC_MALFORMED
 */
cc_status cc_exec_input_make(const cc_delivery *delivery, cc_exec_input *out_input,
                             const char **out_why);
void cc_exec_input_clear(cc_exec_input *input);

/** Tell another attempt, 1 and up. */
void cc_exec_input_attempt_set(cc_exec_input *input, int attempt);

/** Decode base64 with its padding. Exposed for tests.
 *  @return CC_OK or CC_MALFORMED */
cc_status cc_exec_base64(cc_slice text, cc_buffer *out);

#endif
