/* SPDX-License-Identifier: Apache-2.0
 * ctl_listen.c - "commclient listen": show the messages of an application.
 *
 * It watches, so that it takes nothing away from the application; with --take
 * it is the application.
 */
#include "cc_compat.h"
#include "ctl_options.h"
#include "ctl_text.h"
#include "cc_json.h"
#include "cc_name.h"
#include "cc_utf8.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_STEP 1000  /* ms between two looks whether to stop             */
#define ACK_WAIT  10000 /* ms for the last acknowledgements                 */

typedef struct options {
    const char *config;
    const char *socket;
    const char *app;
    unsigned long count; /* messages to show; 0: no end                     */
    int as_json;
    int only_data;
    int take;
    int no_ack;
} options;

typedef struct listening {
    options given;
    ctl_connection connection;
    unsigned long shown;
    unsigned long unanswered; /* acknowledgements sent and not answered     */
    int is_terminal;
    int done;
    int status;
} listening;

static volatile sig_atomic_t stopping;

static void on_signal(int number)
{
    (void)number;
    stopping = 1;
}

static int read_count(void *baton, const char *argument)
{
    options *out = baton;
    char *end;

    out->count = strtoul(argument, &end, 10);
    if (out->count > 0 && *end == '\0' && argument[0] != '-')
        return 1;
    ctl_complain("--count must be a number from 1, not '%s'", argument);
    return 0;
}

/* Do they fit together? */
static int check_options(const options *given)
{
    if (cc_name_check(given->app, strlen(given->app), CC_APP_MAX) != CC_OK)
        ctl_complain("'%s' is not the name of an application", given->app);
    else if (given->no_ack && !given->take)
        ctl_complain("--no-ack needs --take: copies are never acknowledged");
    else if (given->as_json && given->only_data)
        ctl_complain("--json or --data can be given, not both");
    else
        return CTL_OK;
    return CTL_USAGE;
}

static int read_options(const ctl_verb *verb, int argc, char **argv, options *out,
                        int *out_status)
{
    const ctl_option known[] = {
        CTL_TEXT("config", 'c', &out->config), CTL_TEXT("socket", 's', &out->socket),
        CTL_FLAG("take", 0, &out->take),       CTL_FLAG("no-ack", 0, &out->no_ack),
        CTL_FLAG("json", 'j', &out->as_json),  CTL_FLAG("data", 'd', &out->only_data),
        CTL_TAKE("count", 'n', read_count),    CTL_OPTIONS_END
    };

    if (!ctl_options_read(verb, argc, argv, known, out, out_status))
        return 0;
    if (optind + 1 == argc) {
        out->app = argv[optind];
        *out_status = check_options(out);
    }
    else {
        *out_status = ctl_print_usage(verb);
    }
    return *out_status == CTL_OK;
}

/* ---- showing --------------------------------------------------------- */

/* On a terminal nothing that came over the network may steer it. */
static void print_safely(const listening *l, const char *data, size_t len)
{
    const char *end = data + len;

    if (!l->is_terminal) {
        fwrite(data, 1, len, stdout);
        return;
    }
    while (data < end) {
        size_t n = cc_utf8_length(data, end);
        unsigned char c = (unsigned char)*data;

        if (n == 0 || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f
            || (c == 0xc2 && (unsigned char)data[1] < 0xa0)) {
            fputc('?', stdout);
            n = n > 0 ? n : 1;
        }
        else {
            fwrite(data, 1, n, stdout);
        }
        data += n;
    }
}

/* The same for JSON, which stays JSON. */
static void print_json(const listening *l, cc_slice value)
{
    cc_buffer safe = { NULL, 0, 0 };

    if (!l->is_terminal) {
        fwrite(value.data, 1, value.len, stdout);
        return;
    }
    ctl_text_json(&safe, value.data, value.len);
    fwrite(safe.data != NULL ? safe.data : "", 1, safe.len, stdout);
    cc_buffer_clear(&safe);
}

static int base64_value(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = c != '\0' ? strchr(digits, c) : NULL;

    return found != NULL ? (int)(found - digits) : -1;
}

static void print_base64(cc_slice raw)
{
    unsigned bits = 0, count = 0;
    size_t i;

    for (i = 0; i < raw.len; i++) {
        int value = base64_value(raw.data[i]);

        if (value < 0)
            continue;
        bits = (bits << 6) | (unsigned)value;
        count += 6;
        if (count >= 8) {
            count -= 8;
            fputc((int)((bits >> count) & 0xff), stdout);
        }
    }
}

typedef struct message {
    char id[CC_ID_MAX + 1];
    char from[256 * 6 + 1];
    char time[64];
    cc_slice whole; /* the object                                      */
    cc_slice data;  /* as written                                      */
    int base64;
} message;

static void print_text(const listening *l, cc_slice raw)
{
    char *text = cc_alloc(raw.len + 1);

    if (cc_json_decode(raw, text, raw.len + 1) == CC_OK)
        print_safely(l, text, strlen(text));
    else
        print_safely(l, raw.data, raw.len);
    free(text);
}

static void print_data(const listening *l, const message *m)
{
    cc_slice inner = { m->data.data + 1, m->data.len - 2 };

    if (m->data.len < 2 || m->data.data[0] != '"')
        print_json(l, m->data);
    else if (!m->base64)
        print_text(l, inner);
    else if (l->given.only_data && !l->is_terminal)
        print_base64(inner);
    else {
        printf("(binary, %zu bytes in base64) ", inner.len);
        print_safely(l, inner.data, inner.len);
    }
}

static void print_message(const listening *l, const message *m)
{
    if (l->given.as_json) {
        print_json(l, m->whole);
    }
    else {
        if (!l->given.only_data) {
            print_safely(l, m->time, strlen(m->time));
            fputs("  ", stdout);
            print_safely(l, m->from, strlen(m->from));
            fputs(m->from[0] != '\0' ? ": " : "", stdout);
        }
        print_data(l, m);
    }
    if (!l->given.only_data || !m->base64 || l->is_terminal)
        fputc('\n', stdout);
}

/* ---- lines of the agent ---------------------------------------------- */

static void read_member_text(cc_json *json, char *out, size_t size)
{
    cc_slice raw;

    if (cc_json_peek(json) != '"')
        cc_json_skip(json, NULL, NULL);
    else if (cc_json_string(json, &raw) == CC_OK
             && cc_json_decode(raw, out, size) != CC_OK)
        out[0] = '\0';
}

static void read_message(cc_json *json, message *out)
{
    cc_slice name;
    int first = 1;

    memset(out, 0, sizeof(*out));
    cc_json_peek(json);
    out->whole.data = json->at;
    cc_json_enter(json, '{');
    while (cc_json_next_member(json, &first, &name)) {
        if (cc_slice_is(name, "id"))
            read_member_text(json, out->id, sizeof(out->id));
        else if (cc_slice_is(name, "from"))
            read_member_text(json, out->from, sizeof(out->from));
        else if (cc_slice_is(name, "time"))
            read_member_text(json, out->time, sizeof(out->time));
        else if (cc_slice_is(name, "base64"))
            cc_json_boolean(json, &out->base64);
        else if (cc_slice_is(name, "data"))
            cc_json_skip(json, &out->data, NULL);
        else
            cc_json_skip(json, NULL, NULL);
    }
    out->whole.len = (size_t)(json->at - out->whole.data);
}

static void acknowledge(listening *l, const char *id)
{
    char line[CC_ID_MAX + 16];

    snprintf(line, sizeof(line), "{\"ack\":\"%s\"}\n", id);
    l->unanswered++;
    ctl_send(&l->connection, line);
}

static void take_message(listening *l, cc_json *json)
{
    message m;

    read_message(json, &m);
    if (json->bad || (l->given.count > 0 && l->shown >= l->given.count))
        return;
    print_message(l, &m);
    if (fflush(stdout) != 0) {
        ctl_complain("cannot write: %s", strerror(errno));
        l->status = CTL_FAILED;
        l->done = 1;
        return;
    }
    l->shown++;
    if (l->given.take && !l->given.no_ack)
        acknowledge(l, m.id);
}

static void take_gap(listening *l, cc_json *json)
{
    char id[CC_ID_MAX + 1] = "";
    uint64_t count = 0;
    cc_slice name;
    int first = 1;

    cc_json_enter(json, '{');
    while (cc_json_next_member(json, &first, &name)) {
        if (cc_slice_is(name, "id"))
            read_member_text(json, id, sizeof(id));
        else if (cc_slice_is(name, "count"))
            cc_json_integer(json, &count);
        else
            cc_json_skip(json, NULL, NULL);
    }
    if (count > 0)
        ctl_complain("%llu messages are missing here", (unsigned long long)count);
    else
        ctl_complain("messages may be missing here, nobody knows how many");
    if (l->given.take && !l->given.no_ack)
        acknowledge(l, id);
}

static void take_error(listening *l, cc_json *json)
{
    char code[32] = "", text[256] = "";
    cc_slice name;
    int first = 1;

    cc_json_enter(json, '{');
    while (cc_json_next_member(json, &first, &name)) {
        if (cc_slice_is(name, "code"))
            read_member_text(json, code, sizeof(code));
        else if (cc_slice_is(name, "text"))
            read_member_text(json, text, sizeof(text));
        else
            cc_json_skip(json, NULL, NULL);
    }
    ctl_complain("%s", text);
    if (strcmp(code, "left-out") == 0)
        return;
    l->status = CTL_FAILED;
    l->done = 1;
}

static void take_line(listening *l, cc_slice line)
{
    cc_json json;
    cc_slice name;
    int first = 1;

    cc_json_init(&json, line.data, line.len);
    cc_json_enter(&json, '{');
    while (cc_json_next_member(&json, &first, &name)) {
        if (cc_slice_is(name, "message")) {
            take_message(l, &json);
        }
        else if (cc_slice_is(name, "gap")) {
            take_gap(l, &json);
        }
        else if (cc_slice_is(name, "error")) {
            take_error(l, &json);
        }
        else {
            l->unanswered -= cc_slice_is(name, "acked") && l->unanswered > 0;
            cc_json_skip(&json, NULL, NULL);
        }
    }
}

static int is_finished(const listening *l)
{
    return l->done || (l->given.count > 0 && l->shown >= l->given.count);
}

static void listen_on(listening *l)
{
    cc_slice line;
    cc_status status;
    int waited = 0;

    while (!stopping && !l->done) {
        if (is_finished(l) && (l->unanswered == 0 || waited >= ACK_WAIT))
            return;
        status = ctl_receive(&l->connection, POLL_STEP, &line);
        if (status == CC_OK) {
            take_line(l, line);
        }
        else if (status == CC_CLOSED) {
            ctl_complain("the agent has gone away");
            l->status = CTL_NO_AGENT;
            return;
        }
        else if (is_finished(l)) {
            waited += POLL_STEP;
        }
    }
}

static void subscribe(listening *l)
{
    cc_buffer line = { NULL, 0, 0 };

    cc_buffer_add_text(&line, "{\"subscribe\":");
    cc_buffer_add_json_text(&line, l->given.app);
    if (!l->given.take)
        cc_buffer_add_text(&line, ",\"watch\":true");
    cc_buffer_add_text(&line, "}\n");
    ctl_send(&l->connection, line.data);
    cc_buffer_clear(&line);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "listening to '%s' (%s), Ctrl-C ends\n", l->given.app,
                l->given.take ? "taking its messages"
                              : "copies only, --take takes the messages");
}

static void watch_signals(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int run(const ctl_verb *verb, int argc, char **argv)
{
    listening l;
    char *socket;

    memset(&l, 0, sizeof(l));
    if (!read_options(verb, argc, argv, &l.given, &l.status))
        return l.status;
    socket = ctl_find_socket(l.given.socket, l.given.config);
    if (socket == NULL)
        return CTL_CONFIG;
    l.status = ctl_connect(socket, &l.connection);
    free(socket);
    if (l.status != CTL_OK)
        return l.status;
    setlocale(LC_CTYPE, "");
    l.is_terminal = isatty(STDOUT_FILENO);
    watch_signals();
    subscribe(&l);
    listen_on(&l);
    ctl_disconnect(&l.connection);
    return l.status;
}

const ctl_verb ctl_listen = {
    "listen", "APP [--take] [--no-ack] [--json | --data] [--count N]",
    "Show the messages of an application as they arrive: copies, so that nothing is\n"
    "taken away from the application.\n"
    "\n"
    "      --take         take the messages and acknowledge each once it is shown\n"
    "      --no-ack       with --take: do not acknowledge; they are given again\n"
    "  -j, --json         show whole messages, one JSON object a line\n"
    "  -d, --data         show only what was sent; binary as it is, unless the\n"
    "                     output is a terminal\n"
    "  -n, --count N      end after N messages\n"
    "  -c, --config FILE  the configuration that says where the agent is\n"
    "  -s, --socket PATH  the agent's socket\n"
    "  -h, --help         show this\n"
    "\n"
    "Exit status: 0 ended by --count or Ctrl-C, 1 failed, 2 wrong usage, 3 no agent.\n",
    run
};
