/* SPDX-License-Identifier: Apache-2.0
 * ctl_screen.h - a terminal taken for a page that is drawn again and again, and
 * given back as it was.
 *
 * The page stands on the terminal's second screen, so that what the user had
 * before is there again afterwards. Whatever ends it (a key, SIGINT, SIGTERM,
 * SIGHUP) ends at ctl_screen_close(); SIGTSTP gives the terminal back while the
 * program is stopped.
 */
#ifndef CTL_SCREEN_H
#define CTL_SCREEN_H

#include "cc_compat.h"
#include "cc_memory.h"

/** Columns and lines of the terminal behind `descriptor`; COLUMNS counts first.
 *  0 where it is no terminal. */
void ctl_screen_size(int descriptor, size_t *out_columns, size_t *out_lines);

/** Take over standard output, and standard input where that is a terminal. */
void ctl_screen_open(void);

/** Show a page. Lines that do not fit are left out at the end. */
void ctl_screen_draw(const cc_buffer *page);

/** Catch the signals that end ctl_screen_wait(), without taking a terminal. */
void ctl_screen_catch(void);

/** Wait until something happened or `ms` are over.
 *  @return 1: go on; 0: the user, or a signal, wants an end */
int ctl_screen_wait(int ms);

/** 1 when what was drawn may not stand there any more (another size, the program
 *  was stopped); 0 from then on. */
int ctl_screen_take_lost(void);

/** 1 once a signal wants an end. */
int ctl_screen_is_ending(void);

/** Give the terminal back. Harmless when it was not taken. */
void ctl_screen_close(void);

#endif
