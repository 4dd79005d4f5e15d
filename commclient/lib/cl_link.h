/* SPDX-License-Identifier: Apache-2.0
 * cl_link.h - the connection to the agent, which comes and goes.
 *
 * One descriptor for all: an epoll set with the socket in it, and a timer that
 * says when to try again. Nothing here waits but cl_link_wait().
 */
#ifndef CL_LINK_H
#define CL_LINK_H

#include "cc_compat.h"
#include "cc_memory.h"

typedef struct cl_link {
    char *path;       /* of the agent's socket                              */
    int set;          /* the epoll set                                      */
    int timer;
    int socket;       /* -1: there is none                                  */
    int is_greeted;   /* the agent has said hello                           */
    unsigned pause;   /* ms until the next try                              */
    uint64_t max_line; /* bytes that the agent takes; 0: any number         */
    cc_buffer in;
    size_t taken;     /* bytes of `in` that were handed out                 */
    size_t scanned;   /* bytes of `in` that have no line feed               */
    cc_buffer out;
    size_t sent;      /* bytes of `out` that are gone                       */
    int waits_to_send;
    char error[200];  /* why there is no connection                         */
} cl_link;

/** @param path  given away
 *  @return 0: no descriptors are to be had, errno says why */
int cl_link_open(cl_link *link, char *path);
void cl_link_close(cl_link *link);

/** @return 1: the time of cl_link_wake() has come. */
int cl_link_is_due(cl_link *link);

/** Connect, where there is no connection; try later if that fails. */
void cl_link_connect(cl_link *link);

/** The agent has said hello, and how long a line may be; 0: it did not. */
void cl_link_greeted(cl_link *link, uint64_t max_line);

/** The connection is of no use: end it, and try again after a pause. */
void cl_link_drop(cl_link *link, const char *why);

/** Send a line, or keep it until it can be; the line feed is added. */
void cl_link_say(cl_link *link, const char *line, size_t len);

/** Send what can be now. @return 0: the connection has ended. */
int cl_link_send(cl_link *link);

/** Send and receive what can be now. @return 0: the connection has ended. */
int cl_link_move(cl_link *link);

/** The next line that has come, without its line feed, with a NUL in its place.
 *  It lives until the next cl_link_move(). @return 0: there is none yet. */
int cl_link_line(cl_link *link, cc_slice *out_line);

/** Be woken in so many ms. */
void cl_link_wake(cl_link *link, unsigned ms);

/** Wait until something can be done. @param timeout  ms, -1: for ever
 *  @return 1; 0: the time is up; -1: errno says what is wrong */
int cl_link_wait(cl_link *link, int timeout);

#endif
