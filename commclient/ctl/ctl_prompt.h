/* SPDX-License-Identifier: Apache-2.0
 * ctl_prompt.h - ask the user at the terminal.
 */
#ifndef CTL_PROMPT_H
#define CTL_PROMPT_H

#include "cc_compat.h"
#include "cc_status.h"

/** Ask on the terminal of this process, whatever standard input is.
 *  @param hidden  what is typed is not shown
 *  @param out     one line without its end; "" when nothing was typed
 *  @return CC_OK; CC_NOT_FOUND: there is no terminal; CC_CLOSED: the user gave
 *          up (Ctrl-C, end of file); CC_TOO_LARGE */
cc_status ctl_prompt(const char *question, int hidden, char *out, size_t size);

/** Read a secret from a file, "-" for standard input: its first line must be
 *  all it holds.
 *  @return CC_OK; CC_NOT_FOUND: cannot be read, errno says why; CC_MALFORMED */
cc_status ctl_prompt_file(const char *path, char *out, size_t size);

/** May this be a secret? Not empty, no control characters. */
int ctl_prompt_is_secret(const char *text);

#endif
