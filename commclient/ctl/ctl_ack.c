/* SPDX-License-Identifier: Apache-2.0
 * ctl_ack.c - "commclient ack": acknowledge messages from a shell.
 */
#include "cc_compat.h"
#include "ctl_ask.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static int read_options(int argc, char **argv, ctl_where *where, int *out_help)
{
    static const struct option known[] = { { "config", required_argument, NULL, 'c' },
                                           { "socket", required_argument, NULL, 's' },
                                           { "help", no_argument, NULL, 'h' },
                                           { NULL, 0, NULL, 0 } };
    int c;

    *out_help = 0;
    while ((c = getopt_long(argc, argv, "c:s:h", known, NULL)) != -1) {
        if (c == 'c')
            where->config = optarg;
        else if (c == 's')
            where->socket = optarg;
        else if (c == 'h')
            *out_help = 1;
        else
            return 0;
    }
    return *out_help || optind < argc;
}

static int acknowledge(ctl_connection *connection, const char *id)
{
    cc_buffer line = { NULL, 0, 0 };
    cc_slice ignored;
    int rv;

    cc_buffer_add_text(&line, "{\"ack\":");
    cc_buffer_add_json_text(&line, id);
    cc_buffer_add_text(&line, "}\n");
    rv = ctl_ask(connection, line.data, "acked", &ignored);
    cc_buffer_clear(&line);
    if (rv == CTL_FAILED)
        ctl_complain("'%s' was not acknowledged", id);
    return rv;
}

/* All are tried, unless the agent is gone. */
static int run(const ctl_verb *verb, int argc, char **argv)
{
    ctl_where where = { NULL, NULL };
    ctl_connection connection;
    int i, help, rv, result = CTL_OK;

    if (!read_options(argc, argv, &where, &help))
        return ctl_print_usage(verb);
    if (help)
        return ctl_print_help(verb);
    result = ctl_ask_connect(&where, &connection);
    if (result != CTL_OK)
        return result;
    for (i = optind; i < argc && result != CTL_NO_AGENT; i++) {
        rv = acknowledge(&connection, argv[i]);
        if (rv != CTL_OK)
            result = rv;
    }
    ctl_disconnect(&connection);
    return result;
}

const ctl_verb ctl_ack = {
    "ack", "ID... [--config FILE | --socket PATH]",
    "Acknowledge messages or gaps: they never come again. For example what\n"
    "'commclient listen APP --take --no-ack' has shown.\n"
    "\n"
    "  -c, --config FILE  the configuration that says where the agent is\n"
    "  -s, --socket PATH  the agent's socket\n"
    "  -h, --help         show this\n"
    "\n"
    "Exit status: 0 they are acknowledged, 1 there never was one of these, 2 wrong\n"
    "usage, 3 no agent.\n",
    run
};
