/* SPDX-License-Identifier: Apache-2.0
 * commsend.c - publish one message from the command line.
 *
 * Reads the message from standard input and prints its id. Everything else,
 * the library does; exit codes are those of sysexits.h.
 */
#include "cs_compat.h"
#include "commserver_writer.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#ifndef CSW_VERSION
#define CSW_VERSION "unknown"
#endif

static const char help[] =
    "usage: commsend --app APP --to CLIENT [--to CLIENT ...] [options] < message\n"
    "\n"
    "Hand a message to the communication server (mod_commserver) on this machine.\n"
    "Run it as the user that httpd runs as. Prints the id of the message.\n"
    "\n"
    "  --app APP        application the message is for\n"
    "  --to CLIENT      client that gets it; up to 100: all get it or none does\n"
    "  --type TYPE      Content-Type, for example application/json (checked then)\n"
    "  --ttl SECONDS    how long it may wait, at least 1 (default: the server's)\n"
    "  --segment PATH   where the queues are (default: $COMMSERVER_SEGMENT, else\n"
    "                   %s)\n"
    "  --realm REALM    host name that the client polls at, where the server has\n"
    "                   several (default: $COMMSERVER_REALM, else the only one)\n"
    "  --help           print this\n"
    "  --version        print the version\n"
    "\n"
    "exit status:\n"
    "   0  queued\n"
    "  64  wrong usage\n"
    "  65  the message is too large or not what its type says, or a name is bad\n"
    "  66  standard input cannot be read\n"
    "  69  no server runs there\n"
    "  71  the system refused\n"
    "  75  full or busy: try again later\n"
    "  76  the server is of another build, or its memory is damaged\n"
    "  77  not permitted\n"
    "  78  the server has several realms and none was named\n";

typedef struct options {
    const char *app;
    const char *to[COMMSERVER_WRITER_MAX_TO];
    int to_count;
    const char *type;
    const char *segment;
    const char *realm;
    long ttl;
} options;

static int usage_error(const char *what, const char *value)
{
    fprintf(stderr, "commsend: %s%s%s%s\nsee commsend --help\n", what, value ? " '" : "",
            value ? value : "", value ? "'" : "");
    return EX_USAGE;
}

static int exit_code(int status)
{
    switch (status) {
    case COMMSERVER_WRITER_OK:
        return EX_OK;
    case COMMSERVER_WRITER_TOO_LARGE:
    case COMMSERVER_WRITER_BAD_NAME:
    case COMMSERVER_WRITER_BAD_JSON:
        return EX_DATAERR;
    case COMMSERVER_WRITER_NO_SERVER:
        return EX_UNAVAILABLE;
    case COMMSERVER_WRITER_QUEUE_FULL:
    case COMMSERVER_WRITER_SEGMENT_FULL:
    case COMMSERVER_WRITER_CLIENTS_FULL:
    case COMMSERVER_WRITER_REFUSED:
    case COMMSERVER_WRITER_BUSY:
        return EX_TEMPFAIL;
    case COMMSERVER_WRITER_OTHER_BUILD:
    case COMMSERVER_WRITER_DAMAGED:
        return EX_PROTOCOL;
    case COMMSERVER_WRITER_NOT_PERMITTED:
        return EX_NOPERM;
    case COMMSERVER_WRITER_NO_REALM:
        return EX_CONFIG;
    case COMMSERVER_WRITER_BAD_ARGUMENT:
        return EX_USAGE;
    default:
        return EX_OSERR;
    }
}

static int report(const char *what, const char *subject, int status)
{
    fprintf(stderr, "commsend: %s '%s': %s%s%s\n", what, subject,
            commserver_writer_text(status),
            status == COMMSERVER_WRITER_SYSTEM ? ": " : "",
            status == COMMSERVER_WRITER_SYSTEM ? strerror(errno) : "");
    return exit_code(status);
}

/* ---- the command line --------------------------------------------------- */

static int parse_ttl(const char *text, long *out_ttl)
{
    char *end;

    errno = 0;
    *out_ttl = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || *out_ttl < 1)
        return usage_error("--ttl must be a number of seconds, at least 1, not", text);
    return EX_OK;
}

static int add_receiver(options *o, const char *client)
{
    if (o->to_count == COMMSERVER_WRITER_MAX_TO)
        return usage_error("at most 100 clients can be given; one too many is", client);
    o->to[o->to_count++] = client;
    return EX_OK;
}

/* @return EX_OK, EX_USAGE; -1: there is nothing more to do. */
static int parse_option(options *o, int option)
{
    switch (option) {
    case 'a':
        o->app = optarg;
        return EX_OK;
    case 't':
        return add_receiver(o, optarg);
    case 'y':
        o->type = optarg;
        return EX_OK;
    case 'l':
        return parse_ttl(optarg, &o->ttl);
    case 's':
        o->segment = optarg;
        return EX_OK;
    case 'r':
        o->realm = optarg;
        return EX_OK;
    case 'h':
        printf(help, commserver_writer_segment(NULL));
        return -1;
    case 'v':
        puts("commsend " CSW_VERSION);
        return -1;
    default:
        fputs("see commsend --help\n", stderr);
        return EX_USAGE;
    }
}

static int parse_options(options *o, int argc, char **argv)
{
    static const struct option table[] = {
        { "app", required_argument, NULL, 'a' },
        { "to", required_argument, NULL, 't' },
        { "type", required_argument, NULL, 'y' },
        { "ttl", required_argument, NULL, 'l' },
        { "segment", required_argument, NULL, 's' },
        { "realm", required_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 }
    };
    int option;
    int code = EX_OK;

    while (code == EX_OK && (option = getopt_long(argc, argv, "", table, NULL)) != -1)
        code = parse_option(o, option);
    if (code != EX_OK)
        return code;
    if (optind < argc)
        return usage_error("the message comes from standard input; not understood:",
                           argv[optind]);
    if (!o->app)
        return usage_error("--app is missing", NULL);
    if (!o->to_count)
        return usage_error("--to is missing", NULL);
    return EX_OK;
}

/* ---- the message -------------------------------------------------------- */

/* All of standard input, but not more than max + 1 bytes. */
static int read_input(size_t max, char **out_data, size_t *out_length)
{
    size_t room = max < 65536 ? max + 1 : 65536;
    size_t length = 0;
    char *data = malloc(room);
    ssize_t n = 1;

    while (data && n > 0 && length <= max) {
        if (length == room) {
            char *larger;

            room = room > max / 2 ? max + 1 : room * 2;
            larger = realloc(data, room);
            if (!larger)
                free(data);
            data = larger;
            continue;
        }
        do
            n = read(STDIN_FILENO, data + length, room - length);
        while (n < 0 && errno == EINTR);
        length += n > 0 ? (size_t)n : 0;
    }
    if (!data || n < 0) {
        fprintf(stderr, "commsend: standard input: %s\n", strerror(errno));
        free(data);
        return EX_NOINPUT;
    }
    *out_data = data;
    *out_length = length;
    return EX_OK;
}

static void report_refused(const options *o, const int *statuses)
{
    int i;

    for (i = 0; i < o->to_count; i++)
        if (statuses[i] != COMMSERVER_WRITER_OK)
            fprintf(stderr, "commsend: client '%s': %s\n", o->to[i],
                    commserver_writer_text(statuses[i]));
}

static int publish(commserver_writer *writer, const options *o, const char *data,
                   size_t length)
{
    commserver_writer_message message = COMMSERVER_WRITER_MESSAGE_INIT;
    int statuses[COMMSERVER_WRITER_MAX_TO];
    char id[COMMSERVER_WRITER_ID_SIZE];
    int status;

    message.app = o->app;
    message.to = o->to;
    message.to_count = o->to_count;
    message.type = o->type;
    message.data = data;
    message.length = length;
    message.ttl = o->ttl;
    status = commserver_writer_publish(writer, &message, statuses, id);
    if (status == COMMSERVER_WRITER_OK)
        return puts(id) == EOF || fflush(stdout) == EOF ? EX_OSERR : EX_OK;
    if (status == COMMSERVER_WRITER_REFUSED)
        report_refused(o, statuses);
    if (status == COMMSERVER_WRITER_TOO_LARGE)
        fprintf(stderr, "commsend: at most %zu bytes are allowed\n",
                commserver_writer_max_message(writer));
    return report("message for", o->to[0], status);
}

int main(int argc, char **argv)
{
    options o = { .app = NULL };
    commserver_writer *writer = NULL;
    char *data = NULL;
    size_t length = 0;
    int status;
    int code = parse_options(&o, argc, argv);

    if (code != EX_OK)
        return code < 0 ? EX_OK : code;
    status = commserver_writer_open(o.segment, o.realm, &writer);
    if (status != COMMSERVER_WRITER_OK)
        return report("segment", commserver_writer_segment(o.segment), status);
    code = read_input(commserver_writer_max_message(writer), &data, &length);
    if (code == EX_OK)
        code = publish(writer, &o, data, length);
    free(data);
    commserver_writer_close(writer);
    return code;
}
