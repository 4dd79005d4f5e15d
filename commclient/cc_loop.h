/* SPDX-License-Identifier: Apache-2.0
 * cc_loop.h - the event loop when it cannot do what it was told.
 *
 * libevent goes on without memory, or when the kernel does not take a descriptor to
 * watch, and does less: the agent would wait for ever, for a signal as well. Rather
 * the process ends with one line, as everywhere (cc_memory.h).
 */
#ifndef CC_LOOP_H
#define CC_LOOP_H

#include "cc_compat.h"
#include "cc_status.h"

struct event_base;

/** Before all else that is libevent's.
 *  @return NULL: it cannot be made; said so in the log */
struct event_base *cc_loop_create(void);

#endif
