/* SPDX-License-Identifier: Apache-2.0
 * cc_control.c - commands that a user gives the agent over the local socket.
 *
 * What is on the dead list may be anything: names are written as JSON text, and
 * a message as it came only when it is one JSON value on one line.
 */
#include "cc_compat.h"
#include "cc_control.h"
#include "cc_json.h"
#include "cc_time.h"

#include <string.h>

#define FRAME  2048 /* bytes of a line beside the message                   */
#define ESCAPE 6    /* bytes that a byte may take in JSON                   */
#define TEXT   300  /* bytes of a text that are shown                       */

typedef struct writing {
    cc_dispatch *dispatch;
    cc_buffer *out;
    int count;
} writing;

static void add_member(cc_buffer *out, const char *name, const char *text)
{
    size_t len = strlen(text);

    cc_buffer_format(out, "\"%s\":", name);
    cc_buffer_add_json(out, text, len < TEXT ? len : TEXT);
    cc_buffer_add_text(out, ",");
}

/* Members of an entry, without its braces. */
static void write_entry(cc_buffer *out, const cc_dead *dead)
{
    char id[CC_DEAD_ID_MAX], time[CC_TIME_TEXT];

    cc_dispatch_dead_id(dead, id);
    cc_time_format(dead->time, time);
    add_member(out, "id", id);
    add_member(out, "app", dead->app);
    add_member(out, "server", dead->server);
    add_member(out, "time", time);
    add_member(out, "why", dead->reason);
    cc_buffer_format(out, "\"size\":%lld,\"attempts\":%d", (long long)dead->size,
                     dead->attempt);
}

static void list_entry(void *baton, const cc_dead *dead)
{
    writing *w = baton;

    cc_buffer_add_text(w->out, w->count++ > 0 ? ",{" : "{");
    write_entry(w->out, dead);
    cc_buffer_add_text(w->out, "}");
}

static int is_one_value(cc_slice raw)
{
    cc_json json;

    cc_json_init(&json, raw.data, raw.len);
    return memchr(raw.data, '\n', raw.len) == NULL
           && cc_json_skip(&json, NULL, NULL) == CC_OK && cc_json_finish(&json) == CC_OK;
}

/* No line may be longer than max_line. */
static void show_entry(void *baton, const cc_dead *dead)
{
    writing *w = baton;
    size_t room = cc_dispatch_max_line(w->dispatch) - FRAME;
    size_t shown = dead->raw.len < room / ESCAPE ? dead->raw.len : room / ESCAPE;

    cc_buffer_add_text(w->out, "{\"dead\":{");
    write_entry(w->out, dead);
    if (dead->raw.len <= room && is_one_value(dead->raw)) {
        cc_buffer_add_text(w->out, ",\"message\":");
        cc_buffer_add(w->out, dead->raw.data, dead->raw.len);
    }
    else {
        cc_buffer_add_text(w->out, ",\"text\":");
        cc_buffer_add_json(w->out, dead->raw.data, shown);
    }
    cc_buffer_add_text(w->out, "}}\n");
}

static cc_command_error error_of(cc_status status)
{
    switch (status) {
    case CC_OK:
        return CC_ERROR_NONE;
    case CC_NOT_FOUND:
        return CC_ERROR_NOT_DEAD;
    default:
        return CC_ERROR_STORAGE;
    }
}

static cc_command_error list(cc_dispatch *d, const cc_dead_choice *choice, cc_buffer *out)
{
    cc_buffer entries = { NULL, 0, 0 };
    writing w = { d, &entries, 0 };
    cc_status status = cc_dispatch_dead_list(d, choice, list_entry, &w);

    if (status == CC_OK)
        cc_buffer_format(out, "{\"dead\":[%s]}\n", entries.len > 0 ? entries.data : "");
    cc_buffer_clear(&entries);
    return error_of(status);
}

static cc_command_error retry(cc_dispatch *d, const cc_dead_choice *choice,
                              cc_buffer *out)
{
    size_t retried = 0, left = 0;
    cc_status status = cc_dispatch_dead_retry(d, choice, cc_time_now(), &retried, &left);

    if (status != CC_OK)
        return error_of(status);
    if (choice->id[0] != '\0' && retried == 0)
        return CC_ERROR_UNUSABLE;
    cc_buffer_format(out, "{\"dead\":{\"retried\":%zu,\"left\":%zu}}\n", retried, left);
    return CC_ERROR_NONE;
}

cc_command_error cc_control_dead(cc_dispatch *d, const cc_command *command,
                                 cc_buffer *out)
{
    cc_dead_choice choice = { command->id, command->app };
    writing w = { d, out, 0 };
    size_t removed = 0;
    cc_status status;

    switch (command->action) {
    case CC_DEAD_LIST:
        return list(d, &choice, out);
    case CC_DEAD_SHOW:
        return error_of(cc_dispatch_dead_get(d, &choice, show_entry, &w));
    case CC_DEAD_RETRY:
        return retry(d, &choice, out);
    default:
        status = cc_dispatch_dead_remove(d, &choice, &removed);
        if (status == CC_OK)
            cc_buffer_format(out, "{\"dead\":{\"removed\":%zu}}\n", removed);
        return error_of(status);
    }
}
