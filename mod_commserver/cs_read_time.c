/* SPDX-License-Identifier: Apache-2.0
 * cs_read_time.c - how long a request may take to come; see cs_read_time.h.
 */
#include "cs_compat.h"

#include "cs_read_time.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RATE "MinRate="

void cs_read_times_init(cs_read_times *times)
{
    memset(times, 0, sizeof(*times));
    times->header.first = apr_time_from_sec(20);
    times->header.most = apr_time_from_sec(40);
    times->header.rate = 500;
    times->body.first = apr_time_from_sec(20);
    times->body.rate = 500;
}

/* "20", "20-40", "20,MinRate=500", "20-40,MinRate=500" */
static void parse_time(const char *text, cs_read_time *time)
{
    char *end;

    memset(time, 0, sizeof(*time));
    time->first = apr_time_from_sec(strtol(text, &end, 10));
    if (*end == '-') {
        time->most = apr_time_from_sec(strtol(end + 1, &end, 10));
    }
    if (*end == ',' && strncasecmp(end + 1, RATE, sizeof(RATE) - 1) == 0) {
        time->rate = (apr_uint32_t)strtoul(end + sizeof(RATE), NULL, 10);
    }
}

void cs_read_times_parse(cs_read_times *times, const char *arguments)
{
    const char *word = arguments + strspn(arguments, " \t");

    while (*word != '\0') {
        if (strncasecmp(word, "header=", 7) == 0) {
            parse_time(word + 7, &times->header);
        }
        else if (strncasecmp(word, "body=", 5) == 0) {
            parse_time(word + 5, &times->body);
        }
        word += strcspn(word, " \t");
        word += strspn(word, " \t");
    }
}

apr_time_t cs_read_time_end(const cs_read_time *time, apr_time_t began,
                            apr_uint64_t bytes)
{
    apr_interval_time_t allowed = time->first;

    if (allowed <= 0) {
        return 0;
    }
    if (time->rate > 0) {
        allowed += apr_time_from_sec((apr_time_t)(bytes / time->rate));
    }
    if (time->most > 0 && allowed > time->most) {
        allowed = time->most;
    }
    return began + allowed;
}
