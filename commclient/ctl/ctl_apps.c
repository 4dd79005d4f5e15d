/* SPDX-License-Identifier: Apache-2.0
 * ctl_apps.c - "commclient apps": the applications that the agent knows.
 */
#include "cc_compat.h"
#include "ctl_ask.h"
#include "ctl_options.h"
#include "ctl_screen.h"
#include "ctl_text.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <json.h>

static const ctl_column columns[] = { { "APP", 0, 0, 0 },      { "SUBSCRIBERS", 1, 0, 0 },
                                      { "WATCHERS", 1, 1, 0 }, { "WAITING", 1, 0, 0 },
                                      { "UNACKED", 1, 0, 0 },  { "DEAD", 1, 0, 0 },
                                      { "USED", 1, 1, 0 },     { "QUOTA", 1, 1, 0 } };

static long long number_of(struct json_object *app, const char *name)
{
    struct json_object *member = NULL;

    json_object_object_get_ex(app, name, &member);
    return member != NULL ? (long long)json_object_get_int64(member) : 0;
}

static void add_number(ctl_table *table, long long number, ctl_color color)
{
    char text[32];

    snprintf(text, sizeof(text), "%lld", number);
    ctl_table_add(table, text, color);
}

static void add_bytes(ctl_table *table, struct json_object *app, const char *name)
{
    char text[32] = "none";

    if (json_object_object_get_ex(app, name, NULL))
        ctl_text_bytes(number_of(app, name), text, sizeof(text));
    ctl_table_add(table, text, CTL_PLAIN);
}

static void add_app(ctl_table *table, struct json_object *app)
{
    struct json_object *name = NULL;
    long long waiting = number_of(app, "waiting");
    long long subscribers = number_of(app, "subscribers"), dead = number_of(app, "dead");

    json_object_object_get_ex(app, "name", &name);
    ctl_table_add(table, name != NULL ? json_object_get_string(name) : "", CTL_BOLD);
    add_number(table, subscribers, CTL_PLAIN);
    add_number(table, number_of(app, "watchers"), CTL_PLAIN);
    add_number(table, waiting, waiting > 0 && subscribers == 0 ? CTL_RED : CTL_PLAIN);
    add_number(table, number_of(app, "unacknowledged"), CTL_PLAIN);
    add_number(table, dead, dead > 0 ? CTL_RED : CTL_PLAIN);
    add_bytes(table, app, "bytes");
    add_bytes(table, app, "quota");
}

static void print_apps(struct json_object *apps)
{
    ctl_table table = { columns, sizeof(columns) / sizeof(columns[0]), NULL, 0 };
    size_t i, width, lines, count = json_object_array_length(apps);
    cc_buffer out = { NULL, 0, 0 };

    if (count == 0) {
        puts("no application is known yet");
        return;
    }
    for (i = 0; i < count; i++)
        add_app(&table, json_object_array_get_idx(apps, i));
    ctl_screen_size(STDOUT_FILENO, &width, &lines);
    ctl_table_write(&table, width, ctl_text_colored(STDOUT_FILENO), &out);
    fwrite(out.data, 1, out.len, stdout);
    cc_buffer_clear(&out);
    ctl_table_clear(&table);
}

static int show(const ctl_where *where, int as_json)
{
    struct json_object *status = NULL, *apps = NULL;
    ctl_connection connection;
    int rv = ctl_ask_connect(where, &connection);

    if (rv != CTL_OK)
        return rv;
    rv = ctl_ask_json(&connection, "{\"status\":true}\n", "status", &status);
    if (rv == CTL_OK
        && (!json_object_object_get_ex(status, "apps", &apps)
            || !json_object_is_type(apps, json_type_array))) {
        ctl_complain("the answer of the agent is not right");
        rv = CTL_FAILED;
    }
    if (rv == CTL_OK && as_json)
        ctl_ask_print_json(apps);
    else if (rv == CTL_OK)
        print_apps(apps);
    json_object_put(status);
    ctl_disconnect(&connection);
    return rv;
}

static int run(const ctl_verb *verb, int argc, char **argv)
{
    ctl_where where = { NULL, NULL };
    int as_json = 0, rv;
    const ctl_option known[] = { CTL_TEXT("config", 'c', &where.config),
                                 CTL_TEXT("socket", 's', &where.socket),
                                 CTL_FLAG("json", 'j', &as_json), CTL_OPTIONS_END };

    if (!ctl_options_read(verb, argc, argv, known, NULL, &rv))
        return rv;
    if (optind != argc)
        return ctl_print_usage(verb);
    setlocale(LC_CTYPE, "");
    return show(&where, as_json);
}

const ctl_verb ctl_apps = {
    "apps", "[--json] [--config FILE | --socket PATH]",
    "Show the applications that the agent knows: who takes their messages, how many\n"
    "wait, were given and are not acknowledged, or are dead, and how much of its quota\n"
    "each uses.\n"
    "\n"
    "  -j, --json         for programs: 'apps' of the object that doc/agent.md "
    "describes\n"
    "  -c, --config FILE  the configuration that says where the agent is\n"
    "  -s, --socket PATH  the agent's socket\n"
    "  -h, --help         show this\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no agent, 4 the configuration is\n"
    "not right.\n",
    run
};
