/* SPDX-License-Identifier: Apache-2.0
 * cc_command.c - one line that an application sends to the agent.
 */
#include "cc_compat.h"
#include "cc_command.h"
#include "cc_config.h"
#include "cc_inbox.h"
#include "cc_json.h"

#include <string.h>

static const char *const codes[] = { "",
#define CC_ERROR_CODE(name, code, text) code,
                                     CC_COMMAND_ERRORS(CC_ERROR_CODE)
#undef CC_ERROR_CODE
};

static const char *const texts[] = { "",
#define CC_ERROR_TEXT(name, code, text) text,
                                     CC_COMMAND_ERRORS(CC_ERROR_TEXT)
#undef CC_ERROR_TEXT
};

const char *cc_command_error_code(cc_command_error error)
{
    return codes[error];
}

const char *cc_command_error_text(cc_command_error error)
{
    return texts[error];
}

int cc_command_error_retry(cc_command_error error)
{
    switch (error) {
    case CC_ERROR_FULL:
        return 10;
    case CC_ERROR_STORAGE:
    case CC_ERROR_BUSY:
        return 5;
    default:
        return 0;
    }
}

typedef struct reading {
    cc_json json;
    cc_command *command;
    int commands;           /* how many came                              */
    cc_command_error error; /* the first one                              */
} reading;

static void refuse(reading *r, cc_command_error error)
{
    if (r->error == CC_ERROR_NONE)
        r->error = error;
}

static void read_text(reading *r, char *out, size_t size, cc_command_error too_long)
{
    cc_slice raw;

    if (cc_json_peek(&r->json) != '"') {
        cc_json_skip(&r->json, NULL, NULL);
        refuse(r, CC_ERROR_BAD_COMMAND);
    }
    else if (cc_json_string(&r->json, &raw) == CC_OK
             && cc_json_decode(raw, out, size) != CC_OK) {
        refuse(r, too_long);
    }
}

static void read_app(reading *r)
{
    cc_command *command = r->command;

    read_text(r, command->app, sizeof(command->app), CC_ERROR_BAD_NAME);
    if (r->error == CC_ERROR_NONE && !r->json.bad
        && cc_name_check(command->app, strlen(command->app), CC_APP_MAX) != CC_OK)
        refuse(r, CC_ERROR_BAD_NAME);
}

static void read_subscribe(reading *r)
{
    r->command->kind = CC_COMMAND_SUBSCRIBE;
    r->commands++;
    read_app(r);
}

static void read_id(reading *r, cc_command_kind kind)
{
    r->command->kind = kind;
    r->commands++;
    read_text(r, r->command->id, sizeof(r->command->id), CC_ERROR_UNKNOWN_ID);
}

static void read_ack(reading *r)
{
    read_id(r, CC_COMMAND_ACK);
}

static void read_nack(reading *r)
{
    read_id(r, CC_COMMAND_NACK);
}

static void read_reject(reading *r)
{
    read_id(r, CC_COMMAND_REJECT);
}

static void read_publish(reading *r)
{
    int is_object = cc_json_peek(&r->json) == '{';

    r->command->kind = CC_COMMAND_PUBLISH;
    r->commands++;
    cc_json_skip(&r->json, &r->command->publish, NULL);
    if (!is_object)
        refuse(r, CC_ERROR_BAD_COMMAND);
}

static void read_status(reading *r)
{
    r->command->kind = CC_COMMAND_STATUS;
    r->commands++;
    cc_json_skip(&r->json, NULL, NULL);
}

/* An id, or true for all that there are. */
static void read_choice(reading *r, cc_dead_action action)
{
    int all = 0;

    r->command->action = action;
    if (cc_json_peek(&r->json) == '"') {
        read_text(r, r->command->id, sizeof(r->command->id), CC_ERROR_NOT_DEAD);
        if (r->command->id[0] == '\0' && !r->json.bad)
            refuse(r, CC_ERROR_NOT_DEAD);
        all = action == CC_DEAD_LIST;
    }
    else if (cc_json_peek(&r->json) == 't') {
        cc_json_boolean(&r->json, &all);
        all = action == CC_DEAD_SHOW;
    }
    else {
        cc_json_skip(&r->json, NULL, NULL);
        all = 1;
    }
    if (all)
        refuse(r, CC_ERROR_BAD_COMMAND);
}

/* Returns 1 when the member was an action. */
static int read_action(reading *r, cc_slice name)
{
    static const char *const actions[] = { "list", "show", "retry", "remove" };
    int i;

    for (i = 0; i < CC_DEAD_COUNT; i++) {
        if (cc_slice_is(name, actions[i])) {
            read_choice(r, (cc_dead_action)i);
            return 1;
        }
    }
    return 0;
}

static void read_dead(reading *r)
{
    cc_slice name;
    int first = 1, actions = 0;

    r->command->kind = CC_COMMAND_DEAD;
    r->commands++;
    if (cc_json_peek(&r->json) != '{') {
        cc_json_skip(&r->json, NULL, NULL);
        refuse(r, CC_ERROR_BAD_COMMAND);
        return;
    }
    cc_json_enter(&r->json, '{');
    while (cc_json_next_member(&r->json, &first, &name)) {
        if (read_action(r, name))
            actions++;
        else if (cc_slice_is(name, "app"))
            read_app(r);
        else
            cc_json_skip(&r->json, NULL, NULL);
    }
    if (actions != 1)
        refuse(r, CC_ERROR_BAD_COMMAND);
}

static void read_number(reading *r, int low, int high, cc_command_error error, int *out)
{
    cc_slice value;
    cc_json number;
    uint64_t read = 0;

    if (cc_json_skip(&r->json, &value, NULL) != CC_OK)
        return;
    cc_json_init(&number, value.data, value.len);
    if (cc_json_integer(&number, &read) != CC_OK || cc_json_finish(&number) != CC_OK
        || read < (uint64_t)low || read > (uint64_t)high)
        refuse(r, error);
    else
        *out = (int)read;
}

static void read_window(reading *r)
{
    read_number(r, 1, CC_WINDOW_MAX, CC_ERROR_BAD_WINDOW, &r->command->window);
}

static void read_delay(reading *r)
{
    read_number(r, 0, CC_DELAY_MAX, CC_ERROR_BAD_DELAY, &r->command->delay);
}

static void read_watch(reading *r)
{
    char c = cc_json_peek(&r->json);

    if (c == 't' || c == 'f') {
        cc_json_boolean(&r->json, &r->command->watch);
        return;
    }
    cc_json_skip(&r->json, NULL, NULL);
    refuse(r, CC_ERROR_BAD_COMMAND);
}

static const struct member {
    const char *name;
    void (*read)(reading *r);
} members[] = {
    { "subscribe", read_subscribe }, { "ack", read_ack },
    { "nack", read_nack },           { "reject", read_reject },
    { "publish", read_publish },     { "status", read_status },
    { "window", read_window },       { "watch", read_watch },
    { "delay", read_delay },         { "dead", read_dead },
};

static void read_member(reading *r, cc_slice name)
{
    int i = cc_json_find(name, members, sizeof(members) / sizeof(members[0]),
                         sizeof(members[0]));

    if (i >= 0)
        members[i].read(r);
    else
        cc_json_skip(&r->json, NULL, NULL);
}

cc_command_error cc_command_parse(const char *data, size_t len, cc_command *out_command)
{
    reading r;
    cc_slice name;
    int first = 1;

    memset(out_command, 0, sizeof(*out_command));
    memset(&r, 0, sizeof(r));
    r.command = out_command;
    cc_json_init(&r.json, data, len);
    if (cc_json_enter(&r.json, '{') != CC_OK)
        return CC_ERROR_BAD_JSON;
    while (cc_json_next_member(&r.json, &first, &name))
        read_member(&r, name);
    if (cc_json_finish(&r.json) != CC_OK)
        return CC_ERROR_BAD_JSON;
    if (r.commands == 0)
        return CC_ERROR_UNKNOWN_COMMAND;
    if (r.commands > 1)
        return CC_ERROR_BAD_COMMAND;
    return r.error;
}
