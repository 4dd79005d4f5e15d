/* SPDX-License-Identifier: Apache-2.0
 * cc_process.h - a program that is run with bytes on its stdin, to its end.
 *
 * It gets a session and process group of its own, the environment it is given
 * and nothing else, "/" as its directory, signals as they are by default,
 * stdout to /dev/null, stderr to a pipe, and no other descriptor. How fast it
 * reads and writes, or whether at all, disturbs nobody.
 *
 * It ends when the program that was started has ended. What that has left in
 * the background is left alone, except after cc_process_terminate(): then all
 * of its process group must go.
 */
#ifndef CC_PROCESS_H
#define CC_PROCESS_H

#include "cc_compat.h"
#include "cc_memory.h"
#include "cc_status.h"

struct event_base;

#define CC_PROCESS_GRACE  5    /* s between SIGTERM and SIGKILL                */
#define CC_PROCESS_ERRORS 1024 /* bytes of stderr that are kept, the last ones */

typedef struct cc_process cc_process;

typedef struct cc_process_end {
    int status;      /* as waitpid() gives it                               */
    int timed_out;   /* it was terminated because its time was over         */
    cc_slice errors; /* the last of what it wrote to stderr; any bytes      */
} cc_process_end;

typedef struct cc_process_options {
    char *const *argv;        /* argv[0] is a path; NULL at the end           */
    char *const *environment; /* "NAME=value", NULL at the end                */
    cc_slice input;           /* for its stdin; must live until the end       */
    int timeout;              /* s until it is terminated                     */
    /* It has ended and is freed when this returns. From the event loop.     */
    void (*ended)(void *baton, const cc_process_end *end);
    void *baton;
} cc_process_options;

/** Start it. `argv` and `environment` are not needed when this returns.
 *  @return CC_OK; CC_SYSTEM with errno: it cannot be run. */
cc_status cc_process_start(struct event_base *base, const cc_process_options *options,
                           cc_process **out_process);

/** SIGTERM to its group, SIGKILL after CC_PROCESS_GRACE. `ended` is called as
 *  ever. Again: changes nothing. */
void cc_process_terminate(cc_process *process);

/** SIGKILL to its group, and no call of `ended`. */
void cc_process_destroy(cc_process *process);

#endif
