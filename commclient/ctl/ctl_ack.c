/* SPDX-License-Identifier: Apache-2.0
 * ctl_ack.c - "commclient ack": acknowledge messages from a shell.
 */
#include "cc_compat.h"
#include "ctl_ask.h"
#include "ctl_options.h"

#include <stdlib.h>
#include <string.h>

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
    const ctl_option known[] = { CTL_TEXT("config", 'c', &where.config),
                                 CTL_TEXT("socket", 's', &where.socket),
                                 CTL_OPTIONS_END };
    ctl_connection connection;
    int i, rv, result;

    if (!ctl_options_read(verb, argc, argv, known, NULL, &result))
        return result;
    if (optind == argc)
        return ctl_print_usage(verb);
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
