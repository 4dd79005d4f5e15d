/* SPDX-License-Identifier: Apache-2.0
 * cc_compat.h - config.h, and what every file of the agent may rely on.
 *
 * Included first by every .c of the agent.
 */
#ifndef CC_COMPAT_H
#define CC_COMPAT_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CC_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))

#endif
