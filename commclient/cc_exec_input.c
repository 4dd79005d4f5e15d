/* SPDX-License-Identifier: Apache-2.0
 * cc_exec_input.c - a message as a program gets it: bytes and variables.
 */
#include "cc_compat.h"
#include "cc_exec_input.h"
#include "cc_json.h"
#include "cc_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- base64 ---------------------------------------------------------- */

static int value_of(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

cc_status cc_exec_base64(cc_slice text, cc_buffer *out)
{
    size_t i, used = text.len, padding = 0;
    uint32_t bits = 0;
    char bytes[3];
    int value;

    while (padding < 2 && used > 0 && text.data[used - 1] == '=') {
        used--;
        padding++;
    }
    if (text.len % 4 != 0)
        return CC_MALFORMED;
    for (i = 0; i < used; i++) {
        value = value_of(text.data[i]);
        if (value < 0)
            return CC_MALFORMED;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 == 0)
            continue;
        bytes[0] = (char)(bits >> (6 - i % 4 * 2));
        cc_buffer_add(out, bytes, 1);
    }
    return CC_OK;
}

/* ---- variables ------------------------------------------------------- */

static char *format_variable(const char *name, const char *value)
{
    cc_buffer text = { NULL, 0, 0 };

    cc_buffer_format(&text, "%s=%s", name, value);
    return text.data;
}

/* Takes over `variable`. */
static void add_variable(cc_exec_input *input, char *variable)
{
    input->environment =
        cc_realloc(input->environment, (input->count + 2) * sizeof(*input->environment));
    input->environment[input->count++] = variable;
    input->environment[input->count] = NULL;
}

static int is_passed(const char *variable)
{
    static const char *const names[] = {
#define CC_EXEC_PASSED_NAME(name) name "=",
        CC_EXEC_PASSED(CC_EXEC_PASSED_NAME)
#undef CC_EXEC_PASSED_NAME
            "LC_",
        "XDG_",
    };
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(variable, names[i], strlen(names[i])) == 0)
            return 1;
    }
    return 0;
}

static void pass_environment(cc_exec_input *input)
{
    char **variable;

    for (variable = environ; variable != NULL && *variable != NULL; variable++) {
        if (is_passed(*variable))
            add_variable(input, cc_copy(*variable));
    }
}

void cc_exec_input_attempt_set(cc_exec_input *input, int attempt)
{
    char text[16];

    snprintf(text, sizeof(text), "%d", attempt);
    free(input->environment[0]);
    input->environment[0] = format_variable("COMM_ATTEMPT", text);
}

static const char *variable_of(cc_slice member)
{
    static const char *const names[][2] = {
#define CC_EXEC_VARIABLE(member, variable) { member, variable },
        CC_EXEC_VARIABLES(CC_EXEC_VARIABLE)
#undef CC_EXEC_VARIABLE
    };
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (cc_slice_is(member, names[i][0]))
            return names[i][1];
    }
    return NULL;
}

/* ---- the message ----------------------------------------------------- */

typedef struct reading {
    cc_exec_input *input;
    cc_json json;
    const char *why; /* NULL: nothing is wrong                              */
    int is_base64;
    int is_json; /* its type says so                                     */
    cc_slice data;
} reading;

static void read_variable(reading *r, const char *name)
{
    char value[CC_EXEC_VALUE_MAX + 1];
    cc_slice raw;

    if (cc_json_string(&r->json, &raw) != CC_OK)
        return;
    if (cc_json_decode(raw, value, sizeof(value)) != CC_OK) {
        r->why = "a member is too long for a variable, or holds NUL or half a character";
        return;
    }
    if (strcmp(name, "COMM_TYPE") == 0)
        r->is_json = cc_name_type_is_json(value);
    add_variable(r->input, format_variable(name, value));
}

static void read_member(reading *r, cc_slice member)
{
    const char *variable = variable_of(member);

    if (variable != NULL)
        read_variable(r, variable);
    else if (cc_slice_is(member, "base64"))
        cc_json_boolean(&r->json, &r->is_base64);
    else if (cc_slice_is(member, "data"))
        cc_json_skip(&r->json, &r->data, NULL);
    else
        cc_json_skip(&r->json, NULL, NULL);
}

static void read_members(reading *r)
{
    cc_slice member;
    int first = 1;

    cc_json_enter(&r->json, '{');
    while (r->why == NULL && cc_json_next_member(&r->json, &first, &member))
        read_member(r, member);
    if (r->why == NULL && (cc_json_finish(&r->json) != CC_OK || r->data.len == 0))
        r->why = "the message in the inbox is not as it was";
}

static void decode_text(reading *r, cc_slice raw)
{
    cc_buffer *payload = &r->input->payload;
    char *text = cc_alloc(raw.len + 1); /* decoded it is never longer          */

    if (cc_json_decode(raw, text, raw.len + 1) != CC_OK)
        r->why = "its text holds NUL or half a character";
    else
        cc_buffer_add_text(payload, text);
    free(text);
}

static void decode_data(reading *r)
{
    cc_json json;
    cc_slice raw;

    if (!r->is_base64 && (r->is_json || r->data.data[0] != '"')) {
        cc_buffer_add(&r->input->payload, r->data.data, r->data.len);
        return;
    }
    cc_json_init(&json, r->data.data, r->data.len);
    if (cc_json_string(&json, &raw) != CC_OK)
        r->why = "its data is marked as base64, but is no string";
    else if (!r->is_base64)
        decode_text(r, raw);
    else if (cc_exec_base64(raw, &r->input->payload) != CC_OK)
        r->why = "its data is marked as base64, but is not";
}

cc_status cc_exec_input_make(const cc_delivery *delivery, cc_exec_input *out_input,
                             const char **out_why)
{
    cc_buffer object = { NULL, 0, 0 };
    reading r;

    memset(out_input, 0, sizeof(*out_input));
    memset(&r, 0, sizeof(r));
    r.input = out_input;
    add_variable(out_input, NULL);
    cc_exec_input_attempt_set(out_input, delivery->attempt);
    add_variable(out_input, format_variable("COMM_SERVER", delivery->server));
    pass_environment(out_input);
    cc_buffer_add_text(&object, "{");
    cc_buffer_add(&object, delivery->body.data, delivery->body.len);
    cc_buffer_add_text(&object, "}");
    cc_json_init(&r.json, object.data, object.len);
    read_members(&r);
    if (r.why == NULL)
        decode_data(&r);
    cc_buffer_clear(&object);
    *out_why = r.why;
    return r.why == NULL ? CC_OK : CC_MALFORMED;
}

void cc_exec_input_clear(cc_exec_input *input)
{
    size_t i;

    for (i = 0; i < input->count; i++)
        free(input->environment[i]);
    free(input->environment);
    cc_buffer_clear(&input->payload);
    memset(input, 0, sizeof(*input));
}
