/* SPDX-License-Identifier: Apache-2.0
 * ctl_send.c - "commclient send": publish a message through the agent.
 *
 * The message travels to the agent as base64, so that it arrives as the bytes
 * it is; what of it is text or JSON is for type, and the server, to say.
 */
#include "cc_compat.h"
#include "ctl_options.h"
#include "cc_base64.h"
#include "cc_json.h"
#include "cc_publication.h"
#include "cc_time.h"
#include "cc_utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ANSWER_WAIT     10000 /* ms until the agent has it on the disk         */
#define TIMEOUT_DEFAULT 60    /* s that --wait waits                           */
#define TIMEOUT_MAX     86400 /* s                                             */
#define READ_STEP       65536 /* bytes                                         */

typedef struct options {
    const char *config, *socket;
    const char *app, *group, *type, *topic, *urgency, *server;
    const char *data, *file; /* NULL: standard input                         */
    const char *to[CC_RECEIVER_MAX];
    int to_count;
    long ttl; /* s; -1: not given                                            */
    long timeout;
    int all, receipt, wait;
} options;

typedef struct answer {
    char what[16]; /* "spooled", "published", "error"; "": something else      */
    char id[CC_ID_MAX + 1];
    char key[CC_KEY_MAX + 1];
    char code[32];
    char text[512];
    char detail[512];
} answer;

/* ---- the command line -------------------------------------------------- */

static int complain_usage(const char *what, const char *value)
{
    ctl_complain("%s '%s'", what, value);
    return 0;
}

static int read_seconds(const char *name, const char *argument, long low, long high,
                        long *out)
{
    char *end;

    errno = 0;
    *out = strtol(argument, &end, 10);
    if (*argument >= '0' && *argument <= '9' && *end == '\0' && errno == 0 && *out >= low
        && *out <= high)
        return 1;
    ctl_complain("--%s must be a number of seconds from %ld to %ld, not '%s'", name, low,
                 high, argument);
    return 0;
}

static int read_ttl(void *baton, const char *argument)
{
    options *o = baton;

    return read_seconds("ttl", argument, 0, CC_TTL_MAX, &o->ttl);
}

static int read_timeout(void *baton, const char *argument)
{
    options *o = baton;

    return read_seconds("timeout", argument, 1, TIMEOUT_MAX, &o->timeout);
}

static int add_receiver(void *baton, const char *client)
{
    options *o = baton;

    if (o->to_count == CC_RECEIVER_MAX)
        return complain_usage("at most 100 clients can be given; one too many is",
                              client);
    o->to[o->to_count++] = client;
    return 1;
}

static int is_text(const char *text)
{
    const char *end = text + strlen(text);
    size_t n;

    while (text < end && (n = cc_utf8_length(text, end)) > 0)
        text += n;
    return text == end;
}

/* The rest is for the agent to judge; but a name must reach it as it is. */
static int check_options(const options *o)
{
    const char *const texts[] = { o->app,   o->group,   o->type,
                                  o->topic, o->urgency, o->server };
    size_t i;

    if (o->app == NULL) {
        ctl_complain("--app is missing");
        return 0;
    }
    if ((o->to_count > 0) + (o->group != NULL) + o->all != 1) {
        ctl_complain("one of TO, --group and --all is needed");
        return 0;
    }
    if (o->data != NULL && o->file != NULL) {
        ctl_complain("--data or --file can be given, not both");
        return 0;
    }
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i] != NULL && !is_text(texts[i]))
            return complain_usage("is not UTF-8:", texts[i]);
    }
    for (i = 0; i < (size_t)o->to_count; i++) {
        if (!is_text(o->to[i]))
            return complain_usage("is not UTF-8:", o->to[i]);
    }
    return 1;
}

static int read_options(const ctl_verb *verb, int argc, char **argv, options *o,
                        int *out_status)
{
    const ctl_option known[] = { CTL_TEXT("app", 0, &o->app),
                                 CTL_TAKE("to", 0, add_receiver),
                                 CTL_TEXT("group", 0, &o->group),
                                 CTL_FLAG("all", 0, &o->all),
                                 CTL_TEXT("type", 0, &o->type),
                                 CTL_TAKE("ttl", 0, read_ttl),
                                 CTL_TEXT("topic", 0, &o->topic),
                                 CTL_TEXT("urgency", 0, &o->urgency),
                                 CTL_FLAG("receipt", 0, &o->receipt),
                                 CTL_TEXT("server", 0, &o->server),
                                 CTL_TEXT("data", 'd', &o->data),
                                 CTL_TEXT("file", 'f', &o->file),
                                 CTL_FLAG("wait", 'w', &o->wait),
                                 CTL_TAKE("timeout", 0, read_timeout),
                                 CTL_TEXT("config", 'c', &o->config),
                                 CTL_TEXT("socket", 's', &o->socket),
                                 CTL_OPTIONS_END };

    if (!ctl_options_read(verb, argc, argv, known, o, out_status))
        return 0;
    while (optind < argc && add_receiver(o, argv[optind]))
        optind++;
    if (optind == argc && check_options(o))
        return 1;
    *out_status = ctl_print_usage(verb);
    return 0;
}

/* ---- the message ------------------------------------------------------- */

/* All that can be read, but not much more than `most` bytes. */
static int read_all(int descriptor, const char *name, size_t most, cc_buffer *out)
{
    char step[READ_STEP];
    ssize_t n = 1;

    while (n > 0 && out->len <= most) {
        do
            n = read(descriptor, step, sizeof(step));
        while (n < 0 && errno == EINTR);
        if (n > 0)
            cc_buffer_add(out, step, (size_t)n);
    }
    if (n >= 0)
        return CTL_OK;
    ctl_complain("cannot read %s: %s", name, strerror(errno));
    return CTL_FAILED;
}

static int read_file(const char *file, size_t most, cc_buffer *out)
{
    int descriptor = open(file, O_RDONLY | O_CLOEXEC), status;

    if (descriptor < 0) {
        ctl_complain("cannot open '%s': %s", file, strerror(errno));
        return CTL_FAILED;
    }
    status = read_all(descriptor, file, most, out);
    close(descriptor);
    return status;
}

static int read_message(const options *o, size_t most, cc_buffer *out)
{
    int status = CTL_OK;

    cc_buffer_add(out, "", 0);
    if (o->data != NULL)
        cc_buffer_add_text(out, o->data);
    else if (o->file != NULL)
        status = read_file(o->file, most, out);
    else
        status = read_all(STDIN_FILENO, "standard input", most, out);
    if (status == CTL_OK && out->len > most) {
        ctl_complain("the message is longer than the %zu bytes that the agent takes: "
                     "max_message in [agent] sets them",
                     most);
        status = CTL_FAILED;
    }
    return status;
}

static void add_text_member(cc_buffer *line, const char *name, const char *value)
{
    if (value == NULL)
        return;
    cc_buffer_format(line, "\"%s\":", name);
    cc_buffer_add_json_text(line, value);
    cc_buffer_add_text(line, ",");
}

static void add_receivers(cc_buffer *line, const options *o)
{
    int i;

    add_text_member(line, "group", o->group);
    if (o->all)
        cc_buffer_add_text(line, "\"all\":true,");
    if (o->to_count == 0)
        return;
    for (i = 0; i < o->to_count; i++) {
        cc_buffer_add_text(line, i == 0 ? "\"to\":[" : ",");
        cc_buffer_add_json_text(line, o->to[i]);
    }
    cc_buffer_add_text(line, "],");
}

/* All before the text of the message. */
static void begin_line(cc_buffer *line, const options *o)
{
    cc_buffer_add_text(line, "{\"publish\":{");
    add_text_member(line, "app", o->app);
    add_receivers(line, o);
    add_text_member(line, "type", o->type);
    add_text_member(line, "topic", o->topic);
    add_text_member(line, "urgency", o->urgency);
    add_text_member(line, "server", o->server);
    if (o->ttl >= 0)
        cc_buffer_format(line, "\"ttl\":%ld,", o->ttl);
    if (o->receipt)
        cc_buffer_add_text(line, "\"receipt\":true,");
    cc_buffer_add_text(line, "\"base64\":true,\"data\":\"");
}

#define LINE_END "\"}}\n"

static int make_line(const options *o, size_t max_line, cc_buffer *line)
{
    cc_buffer message = { NULL, 0, 0 };
    size_t frame, most;
    int status;

    begin_line(line, o);
    frame = line->len + sizeof(LINE_END);
    most = max_line > frame ? (max_line - frame) / 4 * 3 : 0;
    status = read_message(o, most, &message);
    if (status == CTL_OK) {
        cc_base64_encode(line, message.data, message.len);
        cc_buffer_add_text(line, LINE_END);
    }
    cc_buffer_clear(&message);
    return status;
}

/* ---- the answer -------------------------------------------------------- */

static void read_string(cc_json *json, char *out, size_t size)
{
    cc_slice raw;

    if (cc_json_peek(json) != '"')
        cc_json_skip(json, NULL, NULL);
    else if (cc_json_string(json, &raw) == CC_OK
             && cc_json_decode(raw, out, size) != CC_OK)
        out[0] = '\0';
}

static void read_object(cc_json *json, answer *out)
{
    cc_slice name;
    int first = 1;

    if (cc_json_enter(json, '{') != CC_OK)
        return;
    while (cc_json_next_member(json, &first, &name)) {
        if (cc_slice_is(name, "id"))
            read_string(json, out->id, sizeof(out->id));
        else if (cc_slice_is(name, "key"))
            read_string(json, out->key, sizeof(out->key));
        else if (cc_slice_is(name, "code"))
            read_string(json, out->code, sizeof(out->code));
        else if (cc_slice_is(name, "text"))
            read_string(json, out->text, sizeof(out->text));
        else if (cc_slice_is(name, "detail"))
            read_string(json, out->detail, sizeof(out->detail));
        else
            cc_json_skip(json, NULL, NULL);
    }
}

static void parse_answer(cc_slice line, answer *out)
{
    cc_slice name;
    cc_json json;
    int first = 1;

    memset(out, 0, sizeof(*out));
    cc_json_init(&json, line.data, line.len);
    if (cc_json_enter(&json, '{') != CC_OK || !cc_json_next_member(&json, &first, &name))
        return;
    if (name.len < sizeof(out->what))
        memcpy(out->what, name.data, name.len);
    read_object(&json, out);
}

static int exit_code(const answer *a)
{
    static const struct {
        const char *code;
        int status;
    } known[] = { { "refused", CTL_REFUSED },
                  { "expired", CTL_REFUSED },
                  { "full", CTL_FULL },
                  { "storage", CTL_FULL } };
    size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(a->code, known[i].code) == 0)
            return known[i].status;
    }
    if (strncmp(a->code, "bad-", 4) == 0 || strncmp(a->code, "no-", 3) == 0)
        return CTL_USAGE;
    return CTL_FAILED;
}

static int report_error(const answer *a)
{
    ctl_complain("%s%s%s", a->text, a->detail[0] != '\0' ? ": " : "", a->detail);
    return exit_code(a);
}

static int report_silence(const options *o, const char *key)
{
    if (key[0] == '\0') {
        ctl_complain("the agent does not answer");
        return CTL_NO_AGENT;
    }
    ctl_complain("the server has not taken the message within %ld seconds: it stays with"
                 " the agent, with key %s",
                 o->timeout, key);
    return CTL_TIMEOUT;
}

/* Until the agent has it, or with --wait the server. */
static int await_answer(ctl_connection *connection, const options *o)
{
    int64_t until = cc_time_monotonic() + ANSWER_WAIT, left;
    char key[CC_KEY_MAX + 1] = "";
    cc_status status = CC_OK;
    cc_slice line;
    answer a;

    for (;;) {
        left = until - cc_time_monotonic();
        status = left > 0 ? ctl_receive(connection, (int)left, &line) : CC_EMPTY;
        if (status == CC_EMPTY && left > 0)
            continue;
        if (status == CC_CLOSED) {
            ctl_complain("the agent went away");
            return CTL_NO_AGENT;
        }
        if (status != CC_OK)
            return report_silence(o, key);
        parse_answer(line, &a);
        if (strcmp(a.what, "error") == 0)
            return report_error(&a);
        if (strcmp(a.what, "published") == 0) {
            puts(a.id);
            return fflush(stdout) == 0 ? CTL_OK : CTL_FAILED;
        }
        if (strcmp(a.what, "spooled") != 0)
            continue;
        if (!o->wait)
            return CTL_OK;
        memcpy(key, a.key, sizeof(key));
        until = cc_time_monotonic() + o->timeout * 1000;
    }
}

static int send_message(const char *socket, const options *o)
{
    cc_buffer line = { NULL, 0, 0 };
    ctl_connection connection;
    int status = ctl_connect(socket, &connection);

    if (status != CTL_OK)
        return status;
    status = make_line(o, connection.max_line, &line);
    if (status == CTL_OK) {
        if (ctl_send(&connection, line.data) == CC_OK) {
            status = await_answer(&connection, o);
        }
        else {
            ctl_complain("the agent went away");
            status = CTL_NO_AGENT;
        }
    }
    ctl_disconnect(&connection);
    cc_buffer_clear(&line);
    return status;
}

static int run(const ctl_verb *verb, int argc, char **argv)
{
    options o;
    char *socket;
    int status;

    memset(&o, 0, sizeof(o));
    o.ttl = -1;
    o.timeout = TIMEOUT_DEFAULT;
    if (!read_options(verb, argc, argv, &o, &status))
        return status;
    socket = ctl_find_socket(o.socket, o.config);
    if (socket == NULL)
        return CTL_CONFIG;
    status = send_message(socket, &o);
    free(socket);
    return status;
}

const ctl_verb ctl_send_verb = {
    "send", "--app=APP TO... [options] < message",
    "Publish a message to the server: the agent keeps it on the disk until the server\n"
    "has taken it, however long that is.\n"
    "\n"
    "      --app APP      application the message is for\n"
    "      --to CLIENT    client that gets it, CLIENT or CLIENT/DEVICE, the same as TO;\n"
    "                     up to 100\n"
    "      --group G      all clients of this group get it\n"
    "      --all          all clients get it\n"
    "      --type TYPE    Content-Type, for example application/json\n"
    "      --ttl SECONDS  how long it may wait; 0: only for who can get it at once\n"
    "      --topic T      replaces what waits of the same topic\n"
    "      --urgency U    very-low, low, normal or high\n"
    "      --receipt      the server is to be told when an application has taken it\n"
    "      --server NAME  the [server] section, where several have publish\n"
    "  -d, --data TEXT    the message; else it is read from standard input\n"
    "  -f, --file FILE    the message is in this file\n"
    "  -w, --wait         wait until the server has taken it, and print its id\n"
    "      --timeout S    seconds that --wait waits, 60 if not given\n"
    "  -c, --config FILE  the configuration that says where the agent is\n"
    "  -s, --socket PATH  the agent's socket\n"
    "  -h, --help         show this\n"
    "\n"
    "Exit status: 0 the agent has it, with --wait the server; 1 failed, 2 wrong usage,\n"
    "3 no agent, 6 refused by the server or expired, 7 not taken in time (the agent\n"
    "keeps it and goes on), 8 too much waits to be published already.\n",
    run
};
