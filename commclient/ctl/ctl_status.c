/* SPDX-License-Identifier: Apache-2.0
 * ctl_status.c - "commclient status": how the agent is doing.
 */
#include "cc_compat.h"
#include "ctl.h"
#include "cc_poller.h"
#include "cc_time.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json.h>

#define ANSWER_WAIT 5000 /* ms                                              */
#define DEPTH       128  /* of nesting that json-c reads                    */

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

static void format_bytes(long long bytes, char *out, size_t size)
{
    static const char *const units[] = { "bytes", "KB", "MB", "GB", "TB" };
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(out, size, unit > 0 && value < 10 ? "%.1f %s" : "%.0f %s", value,
             units[unit]);
}

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

/* Milliseconds from the time in a member until now; 0 when it is not there. */
static int64_t age_of(struct json_object *object, const char *name)
{
    const char *text = text_of(object, name);
    int64_t time;

    if (cc_time_parse(text, strlen(text), &time) != CC_OK)
        return 0;
    return cc_time_now() - time;
}

static const char *plural(long long count)
{
    return count == 1 ? "" : "s";
}

static void print_agent(struct json_object *status)
{
    char span[32], used[32], most[32];
    struct json_object *inbox = NULL;
    long long messages;

    format_span(age_of(status, "since"), span, sizeof(span));
    printf("agent   commclient %s, process %lld, running for %s\n",
           text_of(status, "version"), number_of(status, "process"), span);
    json_object_object_get_ex(status, "inbox", &inbox);
    messages = number_of(inbox, "messages");
    format_bytes(number_of(inbox, "bytes"), used, sizeof(used));
    format_bytes(number_of(inbox, "max"), most, sizeof(most));
    printf("inbox   %lld message%s, %s of %s", messages, plural(messages), used, most);
    if (number_of(inbox, "dead") > 0)
        printf(", %lld dead", number_of(inbox, "dead"));
    printf("\n        %s\n", text_of(inbox, "path"));
}

/* A server that is being polled has a state; another one has a reason. */
static void print_state(struct json_object *server)
{
    const char *state = text_of(server, "state");
    int64_t due = -age_of(server, "next_try");
    char span[32];

    format_span(age_of(server, "since"), span, sizeof(span));
    if (strcmp(state, "connected") == 0 || strcmp(state, "starting") == 0) {
        printf("        %s, for %s\n", cc_poller_state_text(state), span);
        return;
    }
    printf("        %s\n        for %s", text_of(server, "detail"), span);
    if (due > 0) {
        format_span(due + 999, span, sizeof(span));
        printf(", next try in %s", span);
    }
    printf("\n");
}

static void print_server(struct json_object *server)
{
    long long received = number_of(server, "received");
    char span[32];

    printf("\nserver  %s  %s, device %s\n", text_of(server, "name"),
           text_of(server, "url"), text_of(server, "device"));
    print_state(server);
    printf("        %lld message%s received", received, plural(received));
    if (received > 0) {
        format_span(age_of(server, "last_message"), span, sizeof(span));
        printf(", the last %s ago", span);
    }
    printf("\n");
}

static void print_app(struct json_object *app)
{
    long long subscribers = number_of(app, "subscribers");
    long long watchers = number_of(app, "watchers");

    printf("app     %s  ", text_of(app, "name"));
    if (subscribers == 0)
        printf("no subscriber");
    else
        printf("%lld subscriber%s", subscribers, plural(subscribers));
    if (watchers > 0)
        printf(", %lld watcher%s", watchers, plural(watchers));
    printf(", %lld waiting, %lld not acknowledged yet\n", number_of(app, "waiting"),
           number_of(app, "unacknowledged"));
}

static void print_all(struct json_object *list, void (*print)(struct json_object *item))
{
    size_t i, count = list != NULL ? json_object_array_length(list) : 0;

    for (i = 0; i < count; i++)
        print(json_object_array_get_idx(list, i));
}

static void print_status(struct json_object *status)
{
    struct json_object *servers = NULL, *apps = NULL;

    json_object_object_get_ex(status, "servers", &servers);
    json_object_object_get_ex(status, "apps", &apps);
    print_agent(status);
    print_all(servers, print_server);
    if (apps != NULL && json_object_array_length(apps) > 0)
        printf("\n");
    print_all(apps, print_app);
}

/* ---- asking ---------------------------------------------------------- */

/* The value of {"status":...}, or NULL. */
static struct json_object *parse_answer(cc_slice line)
{
    struct json_tokener *tokener = json_tokener_new_ex(DEPTH);
    struct json_object *whole, *status = NULL;

    whole = json_tokener_parse_ex(tokener, line.data, (int)line.len);
    if (json_object_is_type(whole, json_type_object)
        && json_object_object_get_ex(whole, "status", &status))
        json_object_get(status);
    json_object_put(whole);
    json_tokener_free(tokener);
    return status;
}

static struct json_object *ask(ctl_connection *connection)
{
    int64_t until = cc_time_monotonic() + ANSWER_WAIT;
    struct json_object *status = NULL;
    cc_slice line;

    ctl_send(connection, "{\"status\":true}\n");
    while (status == NULL && cc_time_monotonic() < until) {
        if (ctl_receive(connection, ANSWER_WAIT, &line) != CC_OK)
            break;
        status = parse_answer(line);
    }
    return status;
}

static int show(const char *socket, int as_json)
{
    ctl_connection connection;
    struct json_object *status;
    int rv = ctl_connect(socket, &connection);

    if (rv != CTL_OK)
        return rv;
    status = ask(&connection);
    ctl_disconnect(&connection);
    if (status == NULL) {
        ctl_complain("the agent on '%s' does not answer", socket);
        return CTL_NO_AGENT;
    }
    if (as_json)
        puts(json_object_to_json_string_ext(
            status, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
                        | JSON_C_TO_STRING_NOSLASHESCAPE));
    else
        print_status(status);
    json_object_put(status);
    return CTL_OK;
}

static int run(const ctl_verb *verb, int argc, char **argv)
{
    static const struct option known[] = { { "config", required_argument, NULL, 'c' },
                                           { "socket", required_argument, NULL, 's' },
                                           { "json", no_argument, NULL, 'j' },
                                           { "help", no_argument, NULL, 'h' },
                                           { NULL, 0, NULL, 0 } };
    const char *config = NULL, *path = NULL;
    int c, as_json = 0, rv;
    char *socket;

    while ((c = getopt_long(argc, argv, "c:s:jh", known, NULL)) != -1) {
        if (c == 'c')
            config = optarg;
        else if (c == 's')
            path = optarg;
        else if (c == 'j')
            as_json = 1;
        else
            return c == 'h' ? ctl_print_help(verb) : ctl_print_usage(verb);
    }
    if (optind != argc)
        return ctl_print_usage(verb);
    socket = ctl_find_socket(path, config);
    if (socket == NULL)
        return CTL_CONFIG;
    rv = show(socket, as_json);
    free(socket);
    return rv;
}

const ctl_verb ctl_status = {
    "status", "[--json] [--config FILE | --socket PATH]",
    "Show how the agent is doing: its servers, its inbox, its applications.\n"
    "\n"
    "  -j, --json         for programs: one JSON object, described in doc/agent.md\n"
    "  -c, --config FILE  the configuration that says where the agent is\n"
    "  -s, --socket PATH  the agent's socket\n"
    "  -h, --help         show this\n"
    "\n"
    "Exit status: 0 it runs, 1 failed, 2 wrong usage, 3 no agent.\n",
    run
};
