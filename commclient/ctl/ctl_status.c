/* SPDX-License-Identifier: Apache-2.0
 * ctl_status.c - "commclient status": how the agent is doing, once or all the
 * time.
 */
#include "cc_compat.h"
#include "ctl_ask.h"
#include "ctl_options.h"
#include "ctl_screen.h"
#include "ctl_status_ask.h"
#include "ctl_status_view.h"
#include "ctl_text.h"
#include "cc_time.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json.h>

#define ANSWER_WAIT 5000 /* ms                                              */
#define STEP        250  /* ms between two looks of --watch                 */
#define DEPTH       128  /* of nesting that json-c reads                    */

#define JSON_LINE JSON_C_TO_STRING_NOSLASHESCAPE

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

/* A signal that ends all ends the waiting too, others do not. */
struct json_object *ctl_status_ask(ctl_connection *connection)
{
    int64_t until = cc_time_monotonic() + ANSWER_WAIT;
    struct json_object *status = NULL;
    cc_status received = ctl_send(connection, "{\"status\":true}\n");
    cc_slice line;

    while (status == NULL && received != CC_CLOSED && !ctl_screen_is_ending()
           && cc_time_monotonic() < until) {
        received = ctl_receive(connection, STEP, &line);
        if (received == CC_OK)
            status = parse_answer(line);
    }
    return status;
}

/* ---- once ------------------------------------------------------------ */

static void write_page(struct json_object *status, cc_buffer *out)
{
    ctl_view view;
    size_t lines;

    ctl_screen_size(STDOUT_FILENO, &view.width, &lines);
    view.colored = ctl_text_colored(STDOUT_FILENO);
    view.now = cc_time_now();
    ctl_status_write(&view, status, out);
}

static void print_page(struct json_object *status)
{
    cc_buffer page = { NULL, 0, 0 };

    write_page(status, &page);
    fwrite(page.data, 1, page.len, stdout);
    cc_buffer_clear(&page);
}

static int show(const char *socket, int as_json)
{
    ctl_connection connection;
    struct json_object *status;
    int rv = ctl_connect(socket, &connection);

    if (rv != CTL_OK)
        return rv;
    status = ctl_status_ask(&connection);
    ctl_disconnect(&connection);
    if (status == NULL) {
        ctl_complain("the agent on '%s' does not answer", socket);
        return CTL_NO_AGENT;
    }
    if (as_json)
        ctl_ask_print_json(status);
    else
        print_page(status);
    json_object_put(status);
    return CTL_OK;
}

/* ---- all the time ---------------------------------------------------- */

typedef struct watching {
    const char *socket;
    int as_json;
    ctl_connection connection;
    int is_connected;
    cc_buffer shown; /* what stands there                                   */
} watching;

/* NULL when there is no agent; `out_error` then says so, to be freed. */
static struct json_object *look(watching *w, char **out_error)
{
    struct json_object *status = NULL;

    *out_error = NULL;
    if (!w->is_connected)
        w->is_connected =
            ctl_connect_quietly(w->socket, &w->connection, out_error) == CTL_OK;
    if (!w->is_connected)
        return NULL;
    status = ctl_status_ask(&w->connection);
    if (status == NULL) {
        *out_error = cc_copy("the agent went away");
        ctl_disconnect(&w->connection);
        w->is_connected = 0;
    }
    return status;
}

static void write_absence(const char *error, cc_buffer *out)
{
    size_t columns, lines;
    int colored = ctl_text_colored(STDOUT_FILENO);

    ctl_screen_size(STDOUT_FILENO, &columns, &lines);
    ctl_text_color(out, colored, CTL_RED);
    cc_buffer_add_text(out, "! ");
    ctl_text_wrap(out, error, 2, columns);
    ctl_text_plain(out, colored, CTL_RED);
    cc_buffer_add_text(out, "\n\nwaiting for it; q or Ctrl-C ends\n");
}

/* An absent agent is `null` for programs. */
static void write_look(const watching *w, struct json_object *status, const char *error,
                       cc_buffer *out)
{
    if (w->as_json)
        cc_buffer_add_text(out, status != NULL
                                    ? json_object_to_json_string_ext(status, JSON_LINE)
                                    : "null");
    else if (status != NULL)
        write_page(status, out);
    else
        write_absence(error, out);
}

static int is_shown(const watching *w, const cc_buffer *page)
{
    return w->shown.len == page->len && w->shown.data != NULL
           && memcmp(w->shown.data, page->data, page->len) == 0;
}

/* Returns 0 when nobody reads any more. */
static int update(watching *w)
{
    cc_buffer page = { NULL, 0, 0 };
    char *error;
    struct json_object *status = look(w, &error);

    write_look(w, status, error, &page);
    json_object_put(status);
    free(error);
    if (!ctl_screen_take_lost() && is_shown(w, &page)) {
        cc_buffer_clear(&page);
        return 1;
    }
    cc_buffer_clear(&w->shown);
    w->shown = page;
    if (w->as_json) {
        ctl_ask_print_line(page.data, page.len);
        return fflush(stdout) == 0 && !ferror(stdout);
    }
    ctl_screen_draw(&page);
    return 1;
}

static int watch(const char *socket, int as_json)
{
    watching w = { .socket = socket, .as_json = as_json };

    if (as_json)
        ctl_screen_catch();
    else
        ctl_screen_open();
    while (update(&w) && ctl_screen_wait(STEP))
        ;
    ctl_screen_close();
    if (w.is_connected)
        ctl_disconnect(&w.connection);
    cc_buffer_clear(&w.shown);
    return CTL_OK;
}

/* ---- the verb -------------------------------------------------------- */

typedef struct options {
    const char *config;
    const char *socket;
    int as_json;
    int watch;
} options;

static int read_options(const ctl_verb *verb, int argc, char **argv, options *out,
                        int *out_status)
{
    const ctl_option known[] = { CTL_TEXT("config", 'c', &out->config),
                                 CTL_TEXT("socket", 's', &out->socket),
                                 CTL_FLAG("json", 'j', &out->as_json),
                                 CTL_FLAG("watch", 'w', &out->watch), CTL_OPTIONS_END };

    if (!ctl_options_read(verb, argc, argv, known, NULL, out_status))
        return 0;
    if (optind == argc)
        return 1;
    *out_status = ctl_print_usage(verb);
    return 0;
}

static int run(const ctl_verb *verb, int argc, char **argv)
{
    options given = { NULL, NULL, 0, 0 };
    char *socket;
    int rv;

    if (!read_options(verb, argc, argv, &given, &rv))
        return rv;
    if (given.watch && !given.as_json && !isatty(STDOUT_FILENO)) {
        ctl_complain("--watch needs a terminal: with --json it prints a line for each"
                     " change");
        return CTL_USAGE;
    }
    setlocale(LC_CTYPE, "");
    socket = ctl_find_socket(given.socket, given.config);
    if (socket == NULL)
        return CTL_CONFIG;
    rv = given.watch ? watch(socket, given.as_json) : show(socket, given.as_json);
    free(socket);
    return rv;
}

const ctl_verb ctl_status = {
    "status", "[--json] [--watch] [--config FILE | --socket PATH]",
    "Show how the agent is doing: first what is wrong and what to do about it, then\n"
    "its inbox, its servers and its applications.\n"
    "\n"
    "  -j, --json         for programs: one JSON object, described in doc/agent.md\n"
    "  -w, --watch        show it all the time, until q or Ctrl-C; with --json a line\n"
    "                     for each change, 'null' while no agent runs\n"
    "  -c, --config FILE  the configuration that says where the agent is\n"
    "  -s, --socket PATH  the agent's socket\n"
    "  -h, --help         show this\n"
    "\n"
    "Colors are used on a terminal, unless NO_COLOR is set.\n"
    "\n"
    "Exit status: 0 it runs, 1 failed, 2 wrong usage, 3 no agent, 4 the configuration\n"
    "is not right.\n",
    run
};
