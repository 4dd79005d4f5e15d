/* SPDX-License-Identifier: Apache-2.0
 * cs_read_time.h - how long a request may take to come, as mod_reqtimeout has
 * it: "20-40,MinRate=500" is 20 seconds, one more for each 500 bytes, 40 at
 * most.
 *
 * mod_reqtimeout counts while httpd reads. On an event thread nothing is read
 * before it is there, so its rule is kept here, from the same directive.
 */
#ifndef CS_READ_TIME_H
#define CS_READ_TIME_H

#include <apr_time.h>

typedef struct cs_read_time {
    apr_interval_time_t first; /* 0: no limit                             */
    apr_interval_time_t most;  /* 0: as long as bytes come                */
    apr_uint32_t rate;         /* bytes for one second more; 0: none      */
} cs_read_time;

typedef struct cs_read_times {
    cs_read_time header;
    cs_read_time body;
} cs_read_times;

/** mod_reqtimeout's own defaults. */
void cs_read_times_init(cs_read_times *times);

/** What the arguments of one RequestReadTimeout change. mod_reqtimeout has
 *  checked them; what is not understood changes nothing. */
void cs_read_times_parse(cs_read_times *times, const char *arguments);

/** @return from when on it took too long, given what has come; 0: never */
apr_time_t cs_read_time_end(const cs_read_time *time, apr_time_t began,
                            apr_uint64_t bytes);

#endif
