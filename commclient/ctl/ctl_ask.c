/* SPDX-License-Identifier: Apache-2.0
 * ctl_ask.c - verbs that ask a running agent something and show the answer.
 */
#include "cc_compat.h"
#include "ctl_ask.h"
#include "cc_json.h"
#include "cc_time.h"
#include "ctl_text.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json.h>

#define ANSWER_WAIT 10000 /* ms                                               */
#define DEPTH       128   /* of nesting that json-c reads                     */

int ctl_ask_connect(const ctl_where *where, ctl_connection *out_connection)
{
    char *socket = ctl_find_socket(where->socket, where->config);
    int rv;

    if (socket == NULL)
        return CTL_CONFIG;
    rv = ctl_connect(socket, out_connection);
    free(socket);
    return rv;
}

static void complain_of_error(cc_json *json)
{
    char text[512] = "the agent refuses";
    cc_slice name, raw;
    int first = 1;

    cc_json_enter(json, '{');
    while (cc_json_next_member(json, &first, &name)) {
        if (!cc_slice_is(name, "text") || cc_json_peek(json) != '"')
            cc_json_skip(json, NULL, NULL);
        else if (cc_json_string(json, &raw) == CC_OK)
            cc_json_decode(raw, text, sizeof(text));
    }
    ctl_complain("%s", text);
}

/* CTL_OK: it is the answer; CTL_FAILED: it is an error; -1: neither. */
static int take_line(cc_slice line, const char *member, cc_slice *out_value)
{
    cc_json json;
    cc_slice name;
    int first = 1;

    cc_json_init(&json, line.data, line.len);
    cc_json_enter(&json, '{');
    while (cc_json_next_member(&json, &first, &name)) {
        if (cc_slice_is(name, "error")) {
            complain_of_error(&json);
            return CTL_FAILED;
        }
        cc_json_skip(&json, out_value, NULL);
        if (!json.bad && cc_slice_is(name, member))
            return CTL_OK;
    }
    return -1;
}

int ctl_ask(ctl_connection *connection, const char *line, const char *member,
            cc_slice *out_value)
{
    int64_t until = cc_time_monotonic() + ANSWER_WAIT, left;
    cc_slice answer;
    int rv = -1;

    if (ctl_send(connection, line) != CC_OK) {
        ctl_complain("the agent has gone away");
        return CTL_NO_AGENT;
    }
    while (rv < 0) {
        left = until - cc_time_monotonic();
        if (left <= 0 || ctl_receive(connection, (int)left, &answer) == CC_CLOSED) {
            ctl_complain("the agent does not answer");
            return CTL_NO_AGENT;
        }
        if (cc_time_monotonic() < until)
            rv = take_line(answer, member, out_value);
    }
    return rv;
}

int ctl_ask_json(ctl_connection *connection, const char *line, const char *member,
                 struct json_object **out_value)
{
    struct json_tokener *tokener;
    cc_slice value;
    int rv = ctl_ask(connection, line, member, &value);

    *out_value = NULL;
    if (rv != CTL_OK)
        return rv;
    tokener = json_tokener_new_ex(DEPTH);
    *out_value = json_tokener_parse_ex(tokener, value.data, (int)value.len);
    json_tokener_free(tokener);
    if (*out_value != NULL)
        return CTL_OK;
    ctl_complain("the answer of the agent is not right");
    return CTL_FAILED;
}

void ctl_ask_print_line(const char *json, size_t len)
{
    cc_buffer safe = { NULL, 0, 0 };

    setlocale(LC_CTYPE, "");
    if (isatty(STDOUT_FILENO))
        ctl_text_json(&safe, json, len);
    else
        cc_buffer_add(&safe, json, len);
    cc_buffer_add_text(&safe, "\n");
    fwrite(safe.data, 1, safe.len, stdout);
    cc_buffer_clear(&safe);
}

void ctl_ask_print_json(struct json_object *value)
{
    const char *text = json_object_to_json_string_ext(
        value, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
                   | JSON_C_TO_STRING_NOSLASHESCAPE);

    ctl_ask_print_line(text, strlen(text));
}
