/* SPDX-License-Identifier: Apache-2.0
 * terminal.h - a program on a terminal of its own, as a user would see it.
 */
#ifndef TERMINAL_H
#define TERMINAL_H

#include <sys/types.h>

typedef struct terminal terminal;

/** Run a program on a new terminal of this size.
 *  @param environment  "NAME=value" added, NULL at the end; NULL: none */
terminal *terminal_start(const char *const *argv, const char *const *environment,
                         int columns, int lines);

/** Wait until what it wrote since the last terminal_forget() has `text`. */
void terminal_expect(terminal *t, const char *text);

/** All that it wrote since then; lives until the next call. */
const char *terminal_output(terminal *t);
void terminal_forget(terminal *t);

/** As if typed; "\003" is Ctrl-C. */
void terminal_type(terminal *t, const char *keys);

/** A signal to the program. */
void terminal_signal(terminal *t, int number);

/** Another size; the program gets SIGWINCH. */
void terminal_resize(terminal *t, int columns, int lines);

/** 1: what is typed is shown. */
int terminal_echoes(terminal *t);

/** Wait until it is stopped, as by Ctrl-Z. */
void terminal_wait_stop(terminal *t);

/** Wait for the end. @return the exit code; 128 + N when killed by signal N */
int terminal_wait(terminal *t);

/** Free it; kills the program if it still runs. */
void terminal_end(terminal *t);

#endif
