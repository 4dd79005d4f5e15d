/* SPDX-License-Identifier: Apache-2.0
 * load.h - processes that send requests without a pause while a test does
 * something to the server, and write down what became of each.
 *
 *   load *busy = load_start(&(load_plan){ .port = port, .write = write_publish });
 *   ...
 *   load_end(busy);
 *   for (i = 0; i < load_count(busy); i++)
 *       if (load_fate(busy, i) == 201) ...
 *   load_free(busy);
 *
 * A connection that breaks, or cannot be made, is tried again.
 */
#ifndef LOAD_H
#define LOAD_H

#include <stddef.h>

#define LOAD_MAX 100000 /* requests of one process; it ends after them */

/** What became of a request, if not the status of its answer. */
enum { LOAD_UNSENT = 0, LOAD_SENT = 1, LOAD_CUT = 2 };

typedef struct load_plan {
    int port;
    int keep;     /* requests share a connection as long as the server lets them */
    int pause_ms; /* after each                                                 */
    /* Write request `number` as it goes over the wire, a NUL behind it. */
    void (*write)(char *buffer, size_t size, int number, const void *baton);
    const void *baton;
} load_plan;

typedef struct load load;

/** Fork a process that sends. The test fails where that is not possible. */
load *load_start(const load_plan *plan);

/** Have it finish the request on the way, and wait until it is gone. */
void load_end(load *busy);

/** Requests begun so far. */
int load_count(const load *busy);

/** A status, or one of LOAD_. A request that was cut off may have been served. */
int load_fate(const load *busy, int number);

/** Requests that were answered with this status. */
int load_answered(const load *busy, int status);

/** The longest that an answer took, ms. */
int load_slowest(const load *busy);

void load_free(load *busy);

#endif
