/* SPDX-License-Identifier: Apache-2.0
 * ctl.h - the verbs of the command line, and what they share.
 */
#ifndef CTL_H
#define CTL_H

#include "cc_compat.h"
#include "cc_memory.h"
#include "cc_status.h"

/* How commclient ends; doc/agent.md has the table. */
enum {
    CTL_OK = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_NO_AGENT = 3, /* none runs on the socket, or it went away          */
    CTL_CONFIG = 4,
    CTL_IN_USE = 5,  /* another agent runs                                */
    CTL_REFUSED = 6, /* the server does not want the message              */
    CTL_TIMEOUT = 7,
    CTL_FULL = 8 /* the agent takes no message more now               */
};

typedef struct ctl_verb {
    const char *name;
    const char *args;
    const char *help; /* first line: what it does; then options, and more  */
    int (*run)(const struct ctl_verb *verb, int argc, char **argv);
} ctl_verb;

extern const ctl_verb ctl_run;
extern const ctl_verb ctl_check;
extern const ctl_verb ctl_setup;
extern const ctl_verb ctl_listen;
extern const ctl_verb ctl_ack;
extern const ctl_verb ctl_apps;
extern const ctl_verb ctl_dead;
extern const ctl_verb ctl_send_verb;
extern const ctl_verb ctl_status;

/** Print the help of a verb to stdout. @return CTL_OK */
int ctl_print_help(const ctl_verb *verb);

/** Say on stderr how the verb is called. @return CTL_USAGE */
int ctl_print_usage(const ctl_verb *verb);

/** Write "commclient: ..." to stderr. */
void ctl_complain(const char *format, ...) CC_PRINTF(1, 2);

/** Where the agent listens: `socket` if given, else what the configuration
 *  says, else the default. To be freed; NULL (it complained) when unknown. */
char *ctl_find_socket(const char *socket, const char *config);

/* A connection to the agent. */
typedef struct ctl_connection {
    int descriptor;
    cc_buffer in;
    size_t taken;    /* bytes of `in` that were handed out             */
    size_t scanned;  /* bytes of `in` without a line feed              */
    size_t max_line; /* bytes, as the agent said hello                 */
} ctl_connection;

/** Connect and read the agent's hello.
 *  @return CTL_OK, or CTL_NO_AGENT after a complaint. */
int ctl_connect(const char *socket, ctl_connection *out_connection);
/** The same; what is wrong is returned instead of written.
 *  @param out_error  to be freed; NULL when CTL_OK */
int ctl_connect_quietly(const char *socket, ctl_connection *out_connection,
                        char **out_error);
void ctl_disconnect(ctl_connection *connection);

/** @return CC_OK or CC_CLOSED. */
cc_status ctl_send(ctl_connection *connection, const char *line);

/** Wait for the next line, without its line feed.
 *  @param timeout  ms; -1: for ever
 *  @param out_line lives until the next call
 *  @return CC_OK; CC_EMPTY: none in time; CC_CLOSED. */
cc_status ctl_receive(ctl_connection *connection, int timeout, cc_slice *out_line);

#endif
