/* SPDX-License-Identifier: Apache-2.0
 * ctl_status_view.h - what the agent says of itself, as a page for people.
 */
#ifndef CTL_STATUS_VIEW_H
#define CTL_STATUS_VIEW_H

#include "cc_compat.h"
#include "cc_memory.h"

struct json_object;

typedef struct ctl_view {
    size_t width; /* columns of a line; 0: no limit                         */
    int colored;
    int64_t now; /* ms since 1970                                           */
} ctl_view;

/** Write the page: first what is wrong, with what to do about it, then the
 *  agent, its servers and its applications. Members that are missing or of
 *  another type are taken as empty; nothing in them steers the terminal.
 *  @param status  the value of {"status":...} */
void ctl_status_write(const ctl_view *view, struct json_object *status, cc_buffer *out);

#endif
