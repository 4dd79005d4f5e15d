/* SPDX-License-Identifier: Apache-2.0
 * cc_random.h - random numbers that nobody can guess.
 */
#ifndef CC_RANDOM_H
#define CC_RANDOM_H

#include "cc_compat.h"

#include <stddef.h>

/** Fill `len` bytes, 256 at most. Where the kernel has none, which it always has, the
 *  process ends with one line. */
void cc_random_fill(void *out, size_t len);

#endif
