/* SPDX-License-Identifier: Apache-2.0
 * cc_fuzz.h - what the fuzz targets of the agent share: files in memory, and
 * ends that a fuzzer notices.
 */
#ifndef CC_FUZZ_H
#define CC_FUZZ_H

#include "cc_compat.h"
#include "cc_memory.h"
#include "fuzz.h"

/** Abort, saying what is wrong, unless `right`. */
#define CC_FUZZ_CHECK(right, what)                                                       \
    do {                                                                                 \
        if (!(right))                                                                    \
            cc_fuzz_fail(__FILE__, __LINE__, what);                                      \
    } while (0)

void cc_fuzz_fail(const char *file, int line, const char *what)
    __attribute__((__noreturn__));

/** A directory of this process for files, in memory where there is such a place;
 *  removed at its end. */
const char *cc_fuzz_directory(void);

/** The path of a file in that directory; lives until the fourth call after. */
const char *cc_fuzz_path(const char *name);

/** Write a file there, of mode 0600. @return its path */
const char *cc_fuzz_write(const char *name, const void *data, size_t len);

/** Add what is in a file. */
void cc_fuzz_read(const char *path, cc_buffer *out);

/** Remove all files from that directory. */
void cc_fuzz_clean(void);

/** Nothing is logged from now on. */
void cc_fuzz_quiet(void);

/** What comes before the next line feed, or all. @return 0 at the end */
int cc_fuzz_line(fuzz_input *input, cc_slice *out_line);

/** Is there anything that could steer a terminal: a control character but line
 *  feed and tab, or what is no UTF-8? */
int cc_fuzz_is_raw(const char *data, size_t len);

#endif
