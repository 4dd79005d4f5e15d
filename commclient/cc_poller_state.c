/* SPDX-License-Identifier: Apache-2.0
 * cc_poller_state.c - how the connection to a server stands, for log and status.
 */
#include "cc_compat.h"
#include "cc_log.h"
#include "cc_poller_private.h"
#include "cc_time.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define REPLACED_CALM 600000 /* ms without being replaced: it is over         */

static const char *const names[] = {
#define CC_POLLER_NAME(name, word, text) word,
    CC_POLLER_STATES(CC_POLLER_NAME)
#undef CC_POLLER_NAME
};

static const char *const texts[] = {
#define CC_POLLER_TEXT(name, word, text) text,
    CC_POLLER_STATES(CC_POLLER_TEXT)
#undef CC_POLLER_TEXT
};

const char *cc_poller_state_name(cc_poller_state state)
{
    return names[state];
}

const char *cc_poller_state_text(const char *name)
{
    int i;

    for (i = 0; i < CC_POLLER_STATE_COUNT; i++) {
        if (strcmp(name, names[i]) == 0)
            return texts[i];
    }
    return name;
}

/* ---- states ---------------------------------------------------------- */

/* While another agent has the name, the two take turns every minute: one line
 * says so, not two a minute. Of an inbox that cannot be used cc_commit.c speaks. */
static int is_worth_saying(const cc_poller *p, cc_poller_state before)
{
    if (p->state == CC_POLLER_STORAGE
        || (p->state == CC_POLLER_CONNECTED && before == CC_POLLER_STORAGE))
        return 0;
    if (p->replaced_last == 0)
        return 1;
    if (p->state == CC_POLLER_CONNECTED)
        return before != CC_POLLER_REPLACED;
    return p->state != CC_POLLER_REPLACED;
}

void cc_poller_set_state(cc_poller *p, cc_poller_state state, long code,
                         const char *format, ...)
{
    cc_poller_state before = p->state;
    int changed = state != before || code != p->state_code;
    va_list args;

    va_start(args, format);
    vsnprintf(p->detail, sizeof(p->detail), format, args);
    va_end(args);
    if (!changed)
        return;
    p->state = state;
    p->state_code = code;
    p->state_since = cc_time_now();
    if (is_worth_saying(p, before))
        cc_log(state == CC_POLLER_CONNECTED ? CC_LOG_NOTICE : CC_LOG_WARNING,
               "server '%s': %s", p->server->name, p->detail);
}

void cc_poller_wait(cc_poller *p, int64_t ms)
{
    struct timeval delay;

    delay.tv_sec = (time_t)(ms / 1000);
    delay.tv_usec = (suseconds_t)(ms % 1000 * 1000);
    p->next_try = cc_time_now() + ms;
    event_add(p->timer, &delay);
}

void cc_poller_back_off(cc_poller *p)
{
    cc_poller_wait(p, cc_backoff_next(&p->backoff));
}

/* ---- good and bad news ----------------------------------------------- */

void cc_poller_note_open(cc_poller *p)
{
    cc_poller_set_state(p, CC_POLLER_CONNECTED, 0, "connected to %.*s as device '%s'",
                        (int)strcspn(p->server->url, "?"), p->server->url,
                        p->server->device);
}

void cc_poller_note_connected(cc_poller *p)
{
    int64_t now = cc_time_monotonic();

    cc_backoff_reset(&p->backoff);
    p->cut_before = 0;
    if (p->replaced_last != 0 && now - p->replaced_last > REPLACED_CALM)
        p->replaced_last = 0;
    cc_poller_note_open(p);
}

void cc_poller_note_trouble(cc_poller *p, const char *why)
{
    cc_poller_set_state(p, CC_POLLER_STORAGE, 0,
                        "not polled, the inbox cannot be used: %s; the server keeps"
                        " what was not taken over",
                        why);
}

void cc_poller_note_storage(cc_poller *p)
{
    cc_poller_note_trouble(p, cc_dispatch_error(p->dispatch));
    cc_poller_back_off(p);
}

/* ---- status ---------------------------------------------------------- */

static void write_time(cc_buffer *out, const char *name, int64_t time)
{
    char text[CC_TIME_TEXT];

    if (time == 0)
        return;
    cc_time_format(time, text);
    cc_buffer_format(out, ",\"%s\":\"%s\"", name, text);
}

void cc_poller_write_status(const cc_poller *p, cc_buffer *out)
{
    cc_buffer_format(out, "{\"name\":\"%s\",\"url\":", p->server->name);
    cc_buffer_add_json(out, p->server->url, strcspn(p->server->url, "?"));
    cc_buffer_format(out,
                     ",\"device\":\"%s\",\"state\":\"%s\",\"detail\":", p->server->device,
                     names[p->state]);
    cc_buffer_add_json_text(out, p->detail);
    write_time(out, "since", p->state_since);
    write_time(out, "next_try", p->next_try);
    cc_buffer_format(out, ",\"received\":%lld", (long long)p->received);
    write_time(out, "last_message", p->last_message);
}

cc_poller_state cc_poller_state_get(const cc_poller *p)
{
    return p->state;
}
