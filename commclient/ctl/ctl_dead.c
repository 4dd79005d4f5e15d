/* SPDX-License-Identifier: Apache-2.0
 * ctl_dead.c - "commclient dead": messages that could not be used or were
 * rejected.
 */
#include "cc_compat.h"
#include "ctl_ask.h"
#include "ctl_options.h"
#include "ctl_screen.h"
#include "ctl_text.h"
#include "cc_json.h"
#include "cc_name.h"
#include "cc_time.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <json.h>

typedef struct options {
    ctl_where where;
    const char *action; /* list, show, retry, remove                            */
    const char *id;     /* NULL: none                                           */
    const char *app;    /* NULL: any                                            */
    int all;
    int as_json;
} options;

/* ---- asking -------------------------------------------------------------- */

/* {"dead":{"ACTION":ID or true,"app":APP}} */
static void write_question(const options *given, cc_buffer *out)
{
    cc_buffer_format(out, "{\"dead\":{\"%s\":", given->action);
    if (given->id != NULL)
        cc_buffer_add_json_text(out, given->id);
    else
        cc_buffer_add_text(out, "true");
    if (given->app != NULL) {
        cc_buffer_add_text(out, ",\"app\":");
        cc_buffer_add_json_text(out, given->app);
    }
    cc_buffer_add_text(out, "}}\n");
}

static const char *text_of(struct json_object *object, const char *name)
{
    struct json_object *member = NULL;
    const char *text;

    json_object_object_get_ex(object, name, &member);
    text = member != NULL ? json_object_get_string(member) : NULL;
    return text != NULL ? text : "";
}

static long long number_of(struct json_object *object, const char *name)
{
    struct json_object *member = NULL;

    json_object_object_get_ex(object, name, &member);
    return member != NULL ? (long long)json_object_get_int64(member) : 0;
}

/* ---- list ---------------------------------------------------------------- */

static void add_time(ctl_table *table, const char *text)
{
    char local[32] = "";
    int64_t ms = 0;
    struct tm parts;
    time_t seconds;

    if (cc_time_parse(text, strlen(text), &ms) == CC_OK) {
        seconds = (time_t)(ms / 1000);
        localtime_r(&seconds, &parts);
        strftime(local, sizeof(local), "%Y-%m-%d %H:%M", &parts);
    }
    ctl_table_add(table, local, CTL_PLAIN);
}

static void print_list(struct json_object *list)
{
    static const ctl_column columns[] = { { "ID", 0, 0, 0 },
                                          { "APP", 0, 0, 0 },
                                          { "SERVER", 0, 1, 0 },
                                          { "SINCE", 0, 1, 0 },
                                          { "WHY", 0, 0, 20 } };
    ctl_table table = { columns, sizeof(columns) / sizeof(columns[0]), NULL, 0 };
    size_t i, width, lines, count = json_object_array_length(list);
    cc_buffer out = { NULL, 0, 0 };

    for (i = 0; i < count; i++) {
        struct json_object *entry = json_object_array_get_idx(list, i);

        ctl_table_add(&table, text_of(entry, "id"), CTL_BOLD);
        ctl_table_add(&table, text_of(entry, "app"), CTL_PLAIN);
        ctl_table_add(&table, text_of(entry, "server"), CTL_PLAIN);
        add_time(&table, text_of(entry, "time"));
        ctl_table_add(&table, text_of(entry, "why"), CTL_PLAIN);
    }
    ctl_screen_size(STDOUT_FILENO, &width, &lines);
    ctl_table_write(&table, width, ctl_text_colored(STDOUT_FILENO), &out);
    if (count > 0)
        fwrite(out.data, 1, out.len, stdout);
    else
        puts("no message is dead");
    cc_buffer_clear(&out);
    ctl_table_clear(&table);
}

static int list(const options *given, ctl_connection *connection, const char *question)
{
    struct json_object *answer;
    int rv = ctl_ask_json(connection, question, "dead", &answer);

    if (rv != CTL_OK)
        return rv;
    if (!json_object_is_type(answer, json_type_array)) {
        ctl_complain("the answer of the agent is not right");
        rv = CTL_FAILED;
    }
    else if (given->as_json)
        ctl_ask_print_json(answer);
    else
        print_list(answer);
    json_object_put(answer);
    return rv;
}

/* ---- show ---------------------------------------------------------------- */

/* What is no message is shown as the text of a JSON string. */
static void print_message(const options *given, cc_slice answer)
{
    cc_slice name, value;
    cc_json json;
    int first = 1;

    if (given->as_json) {
        ctl_ask_print_line(answer.data, answer.len);
        return;
    }
    cc_json_init(&json, answer.data, answer.len);
    cc_json_enter(&json, '{');
    while (cc_json_next_member(&json, &first, &name)) {
        cc_json_skip(&json, &value, NULL);
        if (!json.bad && (cc_slice_is(name, "message") || cc_slice_is(name, "text")))
            ctl_ask_print_line(value.data, value.len);
    }
}

static int show(const options *given, ctl_connection *connection, const char *question)
{
    cc_slice answer;
    int rv = ctl_ask(connection, question, "dead", &answer);

    if (rv == CTL_OK)
        print_message(given, answer);
    return rv;
}

/* ---- retry and remove ---------------------------------------------------- */

static void print_count(long long count, const char *what)
{
    printf("%lld message%s %s\n", count, count == 1 ? "" : "s", what);
}

static int change(const options *given, ctl_connection *connection, const char *question)
{
    struct json_object *answer;
    int rv = ctl_ask_json(connection, question, "dead", &answer);

    if (rv != CTL_OK)
        return rv;
    if (given->as_json)
        ctl_ask_print_json(answer);
    else if (strcmp(given->action, "remove") == 0)
        print_count(number_of(answer, "removed"), "removed");
    else
        print_count(number_of(answer, "retried"), "given to the application again");
    if (!given->as_json && number_of(answer, "left") > 0)
        print_count(number_of(answer, "left"), "cannot be used and left");
    json_object_put(answer);
    return CTL_OK;
}

/* ---- the verb ------------------------------------------------------------ */

static const struct action {
    const char *name;
    int (*run)(const options *given, ctl_connection *connection, const char *question);
    int takes_id;  /* 1: needs one, 2: one or --all                             */
    int takes_app; /* it may be one of several                                  */
} actions[] = {
    { "list", list, 0, 1 },
    { "show", show, 1, 0 },
    { "retry", change, 2, 1 },
    { "remove", change, 2, 1 },
};

static const struct action *find_action(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
        if (strcmp(actions[i].name, name) == 0)
            return &actions[i];
    }
    return NULL;
}

static int read_options(const ctl_verb *verb, int argc, char **argv, options *out,
                        int *out_status)
{
    const ctl_option known[] = { CTL_TEXT("app", 'a', &out->app),
                                 CTL_FLAG("all", 0, &out->all),
                                 CTL_TEXT("config", 'c', &out->where.config),
                                 CTL_TEXT("socket", 's', &out->where.socket),
                                 CTL_FLAG("json", 'j', &out->as_json),
                                 CTL_OPTIONS_END };

    if (!ctl_options_read(verb, argc, argv, known, NULL, out_status))
        return 0;
    out->action = optind < argc ? argv[optind++] : "list";
    out->id = optind < argc ? argv[optind++] : NULL;
    if (optind == argc)
        return 1;
    *out_status = ctl_print_usage(verb);
    return 0;
}

/* Does what was given fit together? */
static int is_sound(const struct action *action, const options *given)
{
    if (action == NULL || (given->app != NULL && !action->takes_app)
        || (given->all && action->takes_id != 2) || (given->all && given->id != NULL))
        return 0;
    if (action->takes_id == 0)
        return given->id == NULL;
    return given->id != NULL || given->all;
}

static int ask(const struct action *action, const options *given)
{
    cc_buffer question = { NULL, 0, 0 };
    ctl_connection connection;
    int rv = ctl_ask_connect(&given->where, &connection);

    if (rv != CTL_OK)
        return rv;
    write_question(given, &question);
    rv = action->run(given, &connection, question.data);
    cc_buffer_clear(&question);
    ctl_disconnect(&connection);
    return rv;
}

static int run(const ctl_verb *verb, int argc, char **argv)
{
    const struct action *action;
    options given;
    int rv;

    memset(&given, 0, sizeof(given));
    if (!read_options(verb, argc, argv, &given, &rv))
        return rv;
    action = find_action(given.action);
    if (!is_sound(action, &given))
        return ctl_print_usage(verb);
    if (given.app != NULL
        && cc_name_check(given.app, strlen(given.app), CC_APP_MAX) != CC_OK) {
        ctl_complain("'%s' is not the name of an application", given.app);
        return CTL_USAGE;
    }
    setlocale(LC_CTYPE, "");
    return ask(action, &given);
}

const ctl_verb ctl_dead = {
    "dead", "[list | show ID | retry ID | remove ID] [--all] [--app NAME] [--json]",
    "Look after dead messages, those that could not be used or were rejected: list\n"
    "them, show one, give it to its application again, or remove it.\n"
    "\n"
    "      --all          with retry and remove: all, instead of one ID\n"
    "  -a, --app NAME     only those of this application\n"
    "  -j, --json         for programs; described in doc/agent.md\n"
    "  -c, --config FILE  the configuration that says where the agent is\n"
    "  -s, --socket PATH  the agent's socket\n"
    "  -h, --help         show this\n"
    "\n"
    "'show' prints the message as it came from the server, one JSON object; what came\n"
    "and is none, as the text of a JSON string.\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 3 no agent, 4 the configuration is\n"
    "not right.\n",
    run
};
