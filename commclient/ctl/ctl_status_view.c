/* SPDX-License-Identifier: Apache-2.0
 * ctl_status_view.c - what the agent says of itself, as a page for people.
 */
#include "cc_compat.h"
#include "ctl_status_view.h"
#include "ctl_text.h"
#include "cc_poller.h"
#include "cc_time.h"

#include <stdio.h>
#include <string.h>

#include <json.h>

/* ---- members --------------------------------------------------------- */

static const char *text_of(struct json_object *object, const char *name)
{
    struct json_object *member = NULL;

    json_object_object_get_ex(object, name, &member);
    return json_object_is_type(member, json_type_string) ? json_object_get_string(member)
                                                         : "";
}

static long long number_of(struct json_object *object, const char *name)
{
    struct json_object *member = NULL;

    json_object_object_get_ex(object, name, &member);
    return member != NULL ? (long long)json_object_get_int64(member) : 0;
}

static struct json_object *list_of(struct json_object *object, const char *name)
{
    struct json_object *member = NULL;

    json_object_object_get_ex(object, name, &member);
    return json_object_is_type(member, json_type_array) ? member : NULL;
}

static size_t count_of(struct json_object *list)
{
    return list != NULL ? json_object_array_length(list) : 0;
}

/* Milliseconds from the time in a member until now; 0 when it is not there. */
static int64_t age_of(const ctl_view *view, struct json_object *object, const char *name)
{
    const char *text = text_of(object, name);
    int64_t time;

    if (cc_time_parse(text, strlen(text), &time) != CC_OK)
        return 0;
    return view->now - time;
}

/* ---- words ----------------------------------------------------------- */

/* "3 s", "5 min", "2 h 10 min", "4 days" */
static void format_span(int64_t ms, char *out, size_t size)
{
    long long seconds = ms > 0 ? (long long)(ms / 1000) : 0;

    if (seconds < 60)
        snprintf(out, size, "%lld s", seconds);
    else if (seconds < 3600)
        snprintf(out, size, "%lld min", seconds / 60);
    else if (seconds < 86400)
        snprintf(out, size, "%lld h %lld min", seconds / 3600, seconds / 60 % 60);
    else
        snprintf(out, size, "%lld day%s", seconds / 86400, seconds < 172800 ? "" : "s");
}

static const char *plural(long long count)
{
    return count == 1 ? "" : "s";
}

static int is_state(struct json_object *server, cc_poller_state state)
{
    return strcmp(text_of(server, "state"), cc_poller_state_name(state)) == 0;
}

/* ---- problems -------------------------------------------------------- */

#define MARK "! "

/* "! what is wrong", then below it what to do. */
static void write_problem(const ctl_view *view, cc_buffer *out, const char *what,
                          const char *remedy)
{
    ctl_text_color(out, view->colored, CTL_RED);
    cc_buffer_add_text(out, MARK);
    ctl_text_wrap(out, what, sizeof(MARK) - 1, view->width);
    ctl_text_plain(out, view->colored, CTL_RED);
    if (remedy != NULL) {
        cc_buffer_add_text(out, "\n  ");
        ctl_text_wrap(out, remedy, sizeof(MARK) - 1, view->width);
    }
    cc_buffer_add_text(out, "\n");
}

/* What to do about a server's state; NULL: wait. */
static const struct {
    cc_poller_state state;
    const char *text;
} remedies[] = {
    { CC_POLLER_UNREACHABLE, "'commclient check' finds out why" },
    { CC_POLLER_REFUSED, "Is the password or token still right? 'commclient check' tries"
                         " it; a changed file is used at once" },
    { CC_POLLER_REPLACED, "Stop the other agent, or give this one another 'device' in its"
                          " [server] section" },
    { CC_POLLER_FAULTY, "Does 'url' name the poll handler? 'commclient check' tries it" },
    { CC_POLLER_SECRET, "Mend the file; it is read again at once" },
    { CC_POLLER_FULL, "Start the application that has most waiting below, or raise"
                      " 'inbox_max'" },
};

static const char *remedy_of(struct json_object *server)
{
    size_t i;

    for (i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++) {
        if (is_state(server, remedies[i].state))
            return remedies[i].text;
    }
    return NULL;
}

/* "server main: what it is (next try in 5 min)" */
static void write_trouble(const ctl_view *view, const char *subject, const char *name,
                          struct json_object *trouble, const char *remedy, cc_buffer *out)
{
    int64_t due = -age_of(view, trouble, "next_try");
    cc_buffer what = { NULL, 0, 0 };
    char span[32];

    cc_buffer_format(&what, "%s %s: %s", subject, name, text_of(trouble, "detail"));
    if (due > 0) {
        format_span(due + 999, span, sizeof(span));
        cc_buffer_format(&what, " (next try in %s)", span);
    }
    write_problem(view, out, what.data, remedy);
    cc_buffer_clear(&what);
}

/* An inbox that cannot be used is told of once, not for each server. */
static void write_server_problem(const ctl_view *view, struct json_object *server,
                                 cc_buffer *out)
{
    struct json_object *publish = NULL;
    const char *state;

    if (!is_state(server, CC_POLLER_CONNECTED) && !is_state(server, CC_POLLER_STARTING)
        && !is_state(server, CC_POLLER_STORAGE))
        write_trouble(view, "server", text_of(server, "name"), server, remedy_of(server),
                      out);
    json_object_object_get_ex(server, "publish", &publish);
    state = text_of(publish, "state");
    if (state[0] != '\0' && strcmp(state, "ready") != 0 && strcmp(state, "starting") != 0)
        write_trouble(view, "publishing at", text_of(server, "name"), publish,
                      "What applications publish waits in the spool meanwhile", out);
}

/* Beyond its quota an application loses its oldest messages. */
static void write_quota_problem(const ctl_view *view, struct json_object *app,
                                cc_buffer *out)
{
    long long used = number_of(app, "bytes"), quota = number_of(app, "quota");
    cc_buffer what = { NULL, 0, 0 };
    char most[32];

    if (quota <= 0 || used / 9 < quota / 10)
        return;
    ctl_text_bytes(quota, most, sizeof(most));
    cc_buffer_format(&what,
                     "app %s: its quota of %s is almost full: then its oldest"
                     " messages go",
                     text_of(app, "name"), most);
    write_problem(view, out, what.data,
                  "Is the application running? Else raise 'quota' in its [app] section");
    cc_buffer_clear(&what);
}

static void write_app_problem(const ctl_view *view, struct json_object *app,
                              cc_buffer *out)
{
    long long waiting = number_of(app, "waiting");
    cc_buffer what = { NULL, 0, 0 };

    if (waiting == 0 || number_of(app, "subscribers") > 0)
        return;
    cc_buffer_format(&what, "app %s: %lld message%s wait%s, and nothing takes them",
                     text_of(app, "name"), waiting, plural(waiting),
                     waiting == 1 ? "s" : "");
    write_problem(view, out, what.data, "Start the application");
    cc_buffer_clear(&what);
}

static void write_dead(const ctl_view *view, struct json_object *status, cc_buffer *out)
{
    struct json_object *inbox = NULL;
    char what[96];
    long long dead;

    json_object_object_get_ex(status, "inbox", &inbox);
    dead = number_of(inbox, "dead");
    if (dead == 0)
        return;
    snprintf(what, sizeof(what), "%lld message%s could not be used or w%s rejected", dead,
             plural(dead), dead == 1 ? "as" : "ere");
    write_problem(view, out, what, "'commclient dead' lists them");
}

static void write_inbox_problem(const ctl_view *view, struct json_object *status,
                                cc_buffer *out)
{
    struct json_object *inbox = NULL;
    cc_buffer what = { NULL, 0, 0 };
    const char *error;

    json_object_object_get_ex(status, "inbox", &inbox);
    error = text_of(inbox, "error");
    if (error[0] == '\0')
        return;
    cc_buffer_format(&what,
                     "inbox: cannot be used now: %s; nothing is taken over, "
                     "acknowledged or published",
                     error);
    write_problem(view, out, what.data, "Is the disk full? 'commclient check' looks");
    cc_buffer_clear(&what);
}

static void write_problems(const ctl_view *view, struct json_object *status,
                           cc_buffer *out)
{
    struct json_object *servers = list_of(status, "servers");
    struct json_object *apps = list_of(status, "apps");
    size_t i, before = out->len;

    write_inbox_problem(view, status, out);
    for (i = 0; i < count_of(servers); i++)
        write_server_problem(view, json_object_array_get_idx(servers, i), out);
    for (i = 0; i < count_of(apps); i++) {
        write_app_problem(view, json_object_array_get_idx(apps, i), out);
        write_quota_problem(view, json_object_array_get_idx(apps, i), out);
    }
    write_dead(view, status, out);
    if (out->len > before)
        cc_buffer_add_text(out, "\n");
}

/* ---- the agent ------------------------------------------------------- */

static void write_label(const ctl_view *view, const char *label, cc_buffer *out)
{
    ctl_text_color(out, view->colored, CTL_DIM);
    cc_buffer_format(out, "%-7s", label);
    ctl_text_plain(out, view->colored, CTL_DIM);
}

static void write_line(const ctl_view *view, const char *label, const char *text,
                       cc_buffer *out)
{
    write_label(view, label, out);
    ctl_text_wrap(out, text, 7, view->width);
    cc_buffer_add_text(out, "\n");
}

static void write_agent(const ctl_view *view, struct json_object *status, cc_buffer *out)
{
    long long connections = number_of(status, "connections");
    cc_buffer text = { NULL, 0, 0 };
    char span[32];

    format_span(age_of(view, status, "since"), span, sizeof(span));
    cc_buffer_format(&text,
                     "commclient %s, process %lld, running for %s, %lld connection%s",
                     text_of(status, "version"), number_of(status, "process"), span,
                     connections, plural(connections));
    write_line(view, "agent", text.data, out);
    cc_buffer_clear(&text);
}

static void write_inbox(const ctl_view *view, struct json_object *status, cc_buffer *out)
{
    struct json_object *inbox = NULL;
    cc_buffer text = { NULL, 0, 0 };
    char used[32], most[32];
    long long messages;

    json_object_object_get_ex(status, "inbox", &inbox);
    messages = number_of(inbox, "messages");
    ctl_text_bytes(number_of(inbox, "bytes"), used, sizeof(used));
    ctl_text_bytes(number_of(inbox, "max"), most, sizeof(most));
    cc_buffer_format(&text, "%lld message%s, %s of %s in %s", messages, plural(messages),
                     used, most, text_of(inbox, "path"));
    write_line(view, "inbox", text.data, out);
    cc_buffer_clear(&text);
}

static void write_spool(const ctl_view *view, struct json_object *status, cc_buffer *out)
{
    struct json_object *spool = NULL;
    cc_buffer text = { NULL, 0, 0 };
    char used[32], most[32];
    long long messages;

    json_object_object_get_ex(status, "spool", &spool);
    messages = number_of(spool, "messages");
    if (messages == 0)
        return;
    ctl_text_bytes(number_of(spool, "bytes"), used, sizeof(used));
    ctl_text_bytes(number_of(spool, "max"), most, sizeof(most));
    cc_buffer_format(&text, "%lld message%s to be published, %s of %s", messages,
                     plural(messages), used, most);
    write_line(view, "spool", text.data, out);
    cc_buffer_clear(&text);
}

/* ---- servers and applications ---------------------------------------- */

static ctl_color color_of(struct json_object *server)
{
    if (is_state(server, CC_POLLER_CONNECTED))
        return CTL_GREEN;
    if (is_state(server, CC_POLLER_STARTING) || is_state(server, CC_POLLER_BUSY))
        return CTL_YELLOW;
    return CTL_RED;
}

static void add_number(ctl_table *table, long long number)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", number);
    ctl_table_add(table, text, CTL_PLAIN);
}

static void add_server(const ctl_view *view, struct json_object *server, ctl_table *table)
{
    char span[32], last[40] = "-";

    ctl_table_add(table, text_of(server, "name"), CTL_BOLD);
    ctl_table_add(table, text_of(server, "state"), color_of(server));
    format_span(age_of(view, server, "since"), span, sizeof(span));
    ctl_table_add(table, span, CTL_PLAIN);
    add_number(table, number_of(server, "received"));
    if (text_of(server, "last_message")[0] != '\0') {
        format_span(age_of(view, server, "last_message"), span, sizeof(span));
        snprintf(last, sizeof(last), "%s ago", span);
    }
    ctl_table_add(table, last, CTL_PLAIN);
    ctl_table_add(table, text_of(server, "device"), CTL_PLAIN);
    ctl_table_add(table, text_of(server, "url"), CTL_PLAIN);
}

static void write_servers(const ctl_view *view, struct json_object *servers,
                          cc_buffer *out)
{
    static const ctl_column columns[] = { { "SERVER", 0, 0, 0 }, { "STATE", 0, 0, 0 },
                                          { "FOR", 0, 1, 0 },    { "RECEIVED", 1, 1, 0 },
                                          { "LAST", 0, 1, 0 },   { "DEVICE", 0, 1, 0 },
                                          { "URL", 0, 1, 12 } };
    ctl_table table = { columns, sizeof(columns) / sizeof(columns[0]), NULL, 0 };
    size_t i;

    for (i = 0; i < count_of(servers); i++)
        add_server(view, json_object_array_get_idx(servers, i), &table);
    if (i > 0) {
        cc_buffer_add_text(out, "\n");
        ctl_table_write(&table, view->width, view->colored, out);
    }
    ctl_table_clear(&table);
}

static void add_app(struct json_object *app, ctl_table *table)
{
    long long waiting = number_of(app, "waiting");
    long long subscribers = number_of(app, "subscribers");
    char text[32];

    ctl_table_add(table, text_of(app, "name"), CTL_BOLD);
    snprintf(text, sizeof(text), "%lld", waiting);
    ctl_table_add(table, text, waiting > 0 && subscribers == 0 ? CTL_RED : CTL_PLAIN);
    add_number(table, number_of(app, "unacknowledged"));
    add_number(table, subscribers);
    add_number(table, number_of(app, "watchers"));
}

static void write_apps(const ctl_view *view, struct json_object *apps, cc_buffer *out)
{
    static const ctl_column columns[] = { { "APP", 0, 0, 0 },
                                          { "WAITING", 1, 0, 0 },
                                          { "UNACKED", 1, 1, 0 },
                                          { "SUBSCRIBERS", 1, 1, 0 },
                                          { "WATCHERS", 1, 1, 0 } };
    ctl_table table = { columns, sizeof(columns) / sizeof(columns[0]), NULL, 0 };
    size_t i;

    for (i = 0; i < count_of(apps); i++)
        add_app(json_object_array_get_idx(apps, i), &table);
    if (i > 0) {
        cc_buffer_add_text(out, "\n");
        ctl_table_write(&table, view->width, view->colored, out);
    }
    ctl_table_clear(&table);
}

void ctl_status_write(const ctl_view *view, struct json_object *status, cc_buffer *out)
{
    write_problems(view, status, out);
    write_agent(view, status, out);
    write_inbox(view, status, out);
    write_spool(view, status, out);
    write_servers(view, list_of(status, "servers"), out);
    write_apps(view, list_of(status, "apps"), out);
}
