/* SPDX-License-Identifier: Apache-2.0
 * cc_loop.c - the event loop when it cannot do what it was told.
 */
#include "cc_compat.h"
#include "cc_loop.h"
#include "cc_log.h"
#include "cc_memory.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

static void *take_memory(size_t size)
{
    return cc_realloc(NULL, size);
}

/* After errors libevent ends the process itself. */
static void on_trouble(int severity, const char *what)
{
    static const char not_watched[] = "Epoll ADD";

    if (severity < EVENT_LOG_WARN)
        return;
    cc_log(CC_LOG_ERROR, "event loop: %s", what);
    if (strncmp(what, not_watched, strlen(not_watched)) == 0)
        abort();
}

struct event_base *cc_loop_create(void)
{
    struct event_base *base;

    event_set_mem_functions(take_memory, cc_realloc, free);
    event_set_log_callback(on_trouble);
    base = event_base_new();
    if (base == NULL)
        cc_log(CC_LOG_ERROR, "the event loop cannot be made");
    return base;
}
