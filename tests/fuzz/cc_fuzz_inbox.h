/* SPDX-License-Identifier: Apache-2.0
 * cc_fuzz_inbox.h - the file of an inbox, changed by bytes of a fuzzer.
 *
 * Rows are changed by SQL, so that what SQLite itself checks stays right and the
 * agent's own checks are asked; bytes of the file, too.
 */
#ifndef CC_FUZZ_INBOX_H
#define CC_FUZZ_INBOX_H

#include "cc_fuzz.h"

/** Make the file of an inbox as in `whole`, changed as the input says.
 *  @param whole  of a file without a log (cc_fuzz_inbox_settle())
 *  @return the number of changes of its bytes, which SQLite may notice */
unsigned cc_fuzz_inbox_make(const cc_buffer *whole, fuzz_input *input, const char *name);

/** Take a file out of the mode in which it has a log beside it. */
void cc_fuzz_inbox_settle(const char *path);

#endif
