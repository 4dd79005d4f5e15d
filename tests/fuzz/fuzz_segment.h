/* SPDX-License-Identifier: Apache-2.0
 * fuzz_segment.h - a segment with something of all kinds for fuzz targets. It
 * lies between pages that cannot be touched, is the same at the begin of each
 * input, and has no name, so that nothing is left behind.
 */
#ifndef FUZZ_SEGMENT_H
#define FUZZ_SEGMENT_H

#include "csq_everything.h"

#include "fuzz.h"

#define FUZZ_SEGMENT_SIZE (256 * 1024)

/** Make it; once. fx.q is the segment afterwards, of fx.limits; fx.pool may be
 *  cleared. */
void fuzz_segment_make(void);
/** As it was made. */
void fuzz_segment_reset(void);
/** Bytes of it, from fx.q->header on. */
size_t fuzz_segment_size(void);
/** What a server does that starts on it: all flags are its own, all that
 *  follows is made anew. */
void fuzz_segment_restart(void);
/** It keeps all its rules. */
void fuzz_segment_audit(void);
/** Write what was read last as an answer and as events, in the room that they
 *  ask for. @return the answer, with malloc, a NUL behind it; the caller frees */
char *fuzz_segment_answer(void);

/** A new folder for files, in memory if there is such a file system.
 *  fx.path is in it. */
void fuzz_folder_make(void);
/** With all that is in it. */
void fuzz_folder_remove(void);

#endif
