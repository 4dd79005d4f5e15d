/* SPDX-License-Identifier: Apache-2.0
 * ctl_ask.h - verbs that ask a running agent something and show the answer.
 */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include "ctl.h"

/* What says where the agent is; options of all such verbs. */
typedef struct ctl_where {
    const char *config;
    const char *socket;
} ctl_where;

/** Connect to the agent; complains.
 *  @return CTL_OK, CTL_NO_AGENT, CTL_CONFIG */
int ctl_ask_connect(const ctl_where *where, ctl_connection *out_connection);

/**
 * Send a line and wait for its answer, 10 seconds at most; complains.
 * @param member  of the answer
 * @param out_value  the member's value, as it was written, until the next line is
 *                   received
 * @return CTL_OK; CTL_FAILED: the agent answered with an error; CTL_NO_AGENT: it
 *         did not answer
 */
int ctl_ask(ctl_connection *connection, const char *line, const char *member,
            cc_slice *out_value);

struct json_object;

/** The same for an answer that is to be looked into.
 *  @param out_value  json_object_put() it; NULL unless CTL_OK */
int ctl_ask_json(ctl_connection *connection, const char *line, const char *member,
                 struct json_object **out_value);

/** Print a JSON value and a line feed, on a terminal as ctl_text_json(). */
void ctl_ask_print_line(const char *json, size_t len);

/** Print a value for programs, indented; as ctl_ask_print_line(). */
void ctl_ask_print_json(struct json_object *value);

#endif
