/* SPDX-License-Identifier: Apache-2.0
 * cl_event.h - what a line of the agent says, in the terms of commclient.h.
 */
#ifndef CL_EVENT_H
#define CL_EVENT_H

#include "cc_compat.h"
#include "cc_memory.h"
#include "commclient.h"

typedef enum cl_line_kind {
    CL_LINE_OTHER,     /* nothing that concerns us                          */
    CL_LINE_HELLO,
    CL_LINE_MESSAGE,
    CL_LINE_GAP,
    CL_LINE_SETTLED,   /* acked, nacked, rejected                           */
    CL_LINE_SPOOLED,
    CL_LINE_PUBLISHED,
    CL_LINE_ERROR
} cl_line_kind;

#define CL_SHORT 72 /* bytes for ids, refs and codes, the NUL included          */

/* What lines have besides messages. */
typedef struct cl_line {
    cl_line_kind kind;
    cc_slice value;          /* of the member that names the kind            */
    char id[CL_SHORT];
    char ref[CL_SHORT];
    char state[CL_SHORT];
    char code[CL_SHORT];
    char text[512];
    uint64_t max_line;
    int has_retry_after;
} cl_line;

/** @return 0: it is no line of the protocol. */
int cl_line_read(cc_slice text, cl_line *out_line);

/** The event of a message or gap.
 *  @param value   the object, as cl_line.value
 *  @param memory  keeps its strings; emptied first
 *  @return 0: it is no line of the protocol */
int cl_event_read(cc_slice value, int kind, cc_buffer *memory,
                  commclient_event *out_event);

/** The event of a CL_LINE_PUBLISHED or of an error about one; its strings stay in
 *  `line`. */
void cl_event_of_publication(const cl_line *line, commclient_event *out_event);

#endif
