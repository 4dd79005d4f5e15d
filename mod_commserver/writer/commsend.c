/* SPDX-License-Identifier: Apache-2.0
 * commsend.c - publish one message from the command line.
 *
 * Reads the message from standard input and prints its id. Everything else,
 * the library does; exit codes are those of sysexits.h.
 */
#include "cs_compat.h"
#include "commserver_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
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
    "       commsend --app APP --group GROUP [options] < message\n"
    "       commsend --app APP --all [options] < message\n"
    "\n"
    "Hand a message to the communication server (mod_commserver) on this machine.\n"
    "Run it as the user that httpd runs as. Prints the id of the message.\n"
    "\n"
    "  --app APP        application the message is for\n"
    "  --to CLIENT      client that gets it, on all its devices, or CLIENT/DEVICE;\n"
    "                   up to 100: all get it or none does\n"
    "  --group GROUP    the members of a group of the application get it\n"
    "  --all            every client that the server knows gets it\n"
    "  --lenient        of several --to those get it for whom it can be queued;\n"
    "                   always so with --group and --all\n"
    "  --type TYPE      Content-Type, for example application/json (checked then)\n"
    "  --ttl SECONDS    how long it may wait (default: the server's); 0: only for\n"
    "                   who waits for messages now, or did in the last seconds\n"
    "  --topic TOPIC    take the place of what waits under the same application,\n"
    "                   sender and topic: 1 to 32 letters, digits, '-', '_'\n"
    "  --urgency WORD   very-low, low, normal or high (default: normal)\n"
    "  --receipt        have the application's acknowledgement reported; the server\n"
    "                   tells what became of the message by its id\n"
    "  --segment PATH   where the queues are (default: $COMMSERVER_SEGMENT, else\n"
    "                   %s)\n"
    "  --realm REALM    host name that the client polls at, where the server has\n"
    "                   several (default: $COMMSERVER_REALM, else the only one)\n"
    "  --help           print this\n"
    "  --version        print the version\n"
    "\n"
    "exit status:\n"
    "   0  queued; if its id cannot be written, standard error says so, and also\n"
    "      for whom it was not queued, if it was to be lenient\n"
    "  64  wrong usage\n"
    "  65  the message is too large or not what its type says, or a name is bad\n"
    "  66  standard input is closed or cannot be read\n"
    "  69  no server runs there\n"
    "  71  the system refused\n"
    "  75  full or busy: try again later; or nobody is there, with --ttl 0\n"
    "  76  the server is of another build, or its memory is damaged\n"
    "  77  not permitted\n"
    "  78  the server has several realms and none was named, or not this one\n";

typedef struct options {
    const char *app;
    const char *to[COMMSERVER_WRITER_MAX_TO];
    int to_count;
    const char *type;
    const char *segment;
    const char *realm;
    long ttl;
    const char *topic;
    const char *group;
    int urgency;
    unsigned flags;
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
    case COMMSERVER_WRITER_DEVICES_FULL:
    case COMMSERVER_WRITER_NOBODY:
    case COMMSERVER_WRITER_REFUSED:
    case COMMSERVER_WRITER_BUSY:
        return EX_TEMPFAIL;
    case COMMSERVER_WRITER_OTHER_BUILD:
    case COMMSERVER_WRITER_DAMAGED:
        return EX_PROTOCOL;
    case COMMSERVER_WRITER_NOT_PERMITTED:
        return EX_NOPERM;
    case COMMSERVER_WRITER_NO_REALM:
    case COMMSERVER_WRITER_OTHER_REALM:
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

/* The realm was given where its name or its absence is the trouble. */
static int report_open(const options *o, int status)
{
    const char *realm = o->realm ? o->realm : getenv("COMMSERVER_REALM");
    char only[COMMSERVER_WRITER_REALM_SIZE];

    if (status == COMMSERVER_WRITER_BAD_NAME)
        return report("realm", realm, status);
    if (status != COMMSERVER_WRITER_OTHER_REALM
        || commserver_writer_realm(o->segment, only) != COMMSERVER_WRITER_OK)
        return report("segment", commserver_writer_segment(o->segment), status);
    fprintf(stderr, "commsend: realm '%s': the only realm of the server is '%s'\n", realm,
            only);
    return exit_code(status);
}

/* ---- the command line --------------------------------------------------- */

static int parse_ttl(const char *text, options *o)
{
    char *end;

    errno = 0;
    o->ttl = strtol(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno)
        return usage_error("--ttl must be a number of seconds, not", text);
    o->flags &= ~(unsigned)COMMSERVER_WRITER_NOW;
    if (!o->ttl)
        o->flags |= COMMSERVER_WRITER_NOW;
    return EX_OK;
}

static int parse_urgency(const char *text, int *out_urgency)
{
    static const char *const words[] = { "very-low", "low", "normal", "high" };
    int i;

    for (i = 0; i < 4; i++)
        if (strcmp(text, words[i]) == 0) {
            *out_urgency = COMMSERVER_WRITER_VERY_LOW + i;
            return EX_OK;
        }
    return usage_error("--urgency must be very-low, low, normal or high, not", text);
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
        return parse_ttl(optarg, o);
    case 'u':
        return parse_urgency(optarg, &o->urgency);
    case 'o':
        o->topic = optarg;
        return EX_OK;
    case 'g':
        o->group = optarg;
        return EX_OK;
    case COMMSERVER_WRITER_ALL:
    case COMMSERVER_WRITER_LENIENT:
    case COMMSERVER_WRITER_RECEIPT:
        o->flags |= (unsigned)option;
        return EX_OK;
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
        { "topic", required_argument, NULL, 'o' },
        { "urgency", required_argument, NULL, 'u' },
        { "group", required_argument, NULL, 'g' },
        { "all", no_argument, NULL, COMMSERVER_WRITER_ALL },
        { "lenient", no_argument, NULL, COMMSERVER_WRITER_LENIENT },
        { "receipt", no_argument, NULL, COMMSERVER_WRITER_RECEIPT },
        { "segment", required_argument, NULL, 's' },
        { "realm", required_argument, NULL, 'r' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 }
    };
    int option;
    int code = EX_OK;
    int ways;

    while (code == EX_OK && (option = getopt_long(argc, argv, "", table, NULL)) != -1)
        code = parse_option(o, option);
    if (code != EX_OK)
        return code;
    if (optind < argc)
        return usage_error("the message comes from standard input; not understood:",
                           argv[optind]);
    ways = (o->to_count > 0) + (o->group != NULL)
           + ((o->flags & COMMSERVER_WRITER_ALL) != 0);
    if (!o->app)
        return usage_error("--app is missing", NULL);
    if (!ways)
        return usage_error("--to is missing", NULL);
    if (ways > 1)
        return usage_error("only one of --to, --group and --all can be given", NULL);
    return EX_OK;
}

/* ---- the message -------------------------------------------------------- */

/* A segment must never be taken for one of the standard streams. What stands
 * in for an output that is closed cannot be written either.                 */
static int hold_streams(void)
{
    int fd;

    if (fcntl(STDIN_FILENO, F_GETFD) < 0) {
        fputs("commsend: standard input is closed\n", stderr);
        return EX_NOINPUT;
    }
    do
        fd = open("/dev/null", O_RDONLY);
    while (fd == STDOUT_FILENO || fd == STDERR_FILENO);
    if (fd < 0) {
        fprintf(stderr, "commsend: /dev/null: %s\n", strerror(errno));
        return EX_OSERR;
    }
    close(fd);
    return EX_OK;
}

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

/* A name stays bad, a queue does not stay full: the name decides. */
static int list_refused(const options *o, const int *statuses)
{
    int code = EX_TEMPFAIL;
    int i;

    for (i = 0; i < o->to_count; i++) {
        if (statuses[i] == COMMSERVER_WRITER_OK)
            continue;
        fprintf(stderr, "commsend: client '%s': %s\n", o->to[i],
                commserver_writer_text(statuses[i]));
        if (statuses[i] == COMMSERVER_WRITER_BAD_NAME)
            code = EX_DATAERR;
    }
    return code;
}

static int report_refused(const options *o, const int *statuses)
{
    int code = list_refused(o, statuses);

    fputs("commsend: queued for none of the clients\n", stderr);
    return code;
}

/* It is queued, but maybe not for all. */
static void report_lenient(const options *o, const commserver_writer *writer,
                           const int *statuses)
{
    if (o->flags & COMMSERVER_WRITER_LENIENT)
        list_refused(o, statuses);
    if (commserver_writer_refused(writer))
        fprintf(stderr, "commsend: queued for %u, not queued for %u\n",
                commserver_writer_queued(writer), commserver_writer_refused(writer));
    else if (!commserver_writer_queued(writer))
        fputs("commsend: there is nobody to get it\n", stderr);
}

/* Which of them it is, the library does not tell. */
static int report_names(const options *o)
{
    fprintf(stderr, "commsend: application '%s'", o->app);
    if (o->group)
        fprintf(stderr, ", group '%s'", o->group);
    if (o->topic)
        fprintf(stderr, ", topic '%s'", o->topic);
    if (o->to_count == 1)
        fprintf(stderr, "%s client '%s'", o->type ? "," : " or", o->to[0]);
    if (o->type)
        fprintf(stderr, " or type '%s'", o->type);
    fprintf(stderr, ": %s\n", commserver_writer_text(COMMSERVER_WRITER_BAD_NAME));
    return EX_DATAERR;
}

static int report_too_large(const commserver_writer *writer, size_t length)
{
    size_t max = commserver_writer_max_message(writer);

    fprintf(stderr,
            "commsend: the message is too large: at most %zu bytes are "
            "allowed%s\n",
            max, length > max ? "" : ", text as quoted, other data as base64");
    return EX_DATAERR;
}

/* The message cannot be called back, and whoever is told of a failure sends it
 * again: so this is none.                                                   */
static int print_id(const char *id)
{
    if (puts(id) == EOF || fflush(stdout) == EOF)
        fprintf(stderr,
                "commsend: the message is queued with id '%s', which cannot be "
                "written to standard output: %s\n",
                id, strerror(errno));
    return EX_OK;
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
    message.topic = o->topic;
    message.urgency = o->urgency;
    message.flags = o->flags;
    message.group = o->group;
    status = commserver_writer_publish(writer, &message, statuses, id);
    if (status == COMMSERVER_WRITER_OK) {
        report_lenient(o, writer, statuses);
        return print_id(id);
    }
    if (status == COMMSERVER_WRITER_REFUSED)
        return report_refused(o, statuses);
    if (status == COMMSERVER_WRITER_BAD_NAME)
        return report_names(o);
    if (status == COMMSERVER_WRITER_TOO_LARGE)
        return report_too_large(writer, length);
    return report("message for",
                  o->to_count ? o->to[0]
                  : o->group  ? o->group
                              : "all",
                  status);
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
    signal(SIGPIPE, SIG_IGN);
    code = hold_streams();
    if (code != EX_OK)
        return code;
    status = commserver_writer_open(o.segment, o.realm, &writer);
    if (status != COMMSERVER_WRITER_OK)
        return report_open(&o, status);
    code = read_input(commserver_writer_max_message(writer), &data, &length);
    if (code == EX_OK)
        code = publish(writer, &o, data, length);
    free(data);
    commserver_writer_close(writer);
    return code;
}
