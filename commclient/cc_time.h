/* SPDX-License-Identifier: Apache-2.0
 * cc_time.h - the clocks, and RFC 3339.
 *
 * Times of messages are milliseconds since 1970 (wall clock); pauses and
 * deadlines are milliseconds of the monotonic clock.
 */
#ifndef CC_TIME_H
#define CC_TIME_H

#include "cc_compat.h"
#include "cc_status.h"

int64_t cc_time_now(void);
int64_t cc_time_monotonic(void);
/** As the monotonic one, but it goes on while the machine sleeps. */
int64_t cc_time_boot(void);

/** Parse an RFC 3339 date-time, in UTC of the years 1970 to 9999.
 *  @return CC_OK or CC_MALFORMED. */
cc_status cc_time_parse(const char *data, size_t len, int64_t *out_time);

#define CC_TIME_TEXT 32
/** UTC with milliseconds. */
void cc_time_format(int64_t time, char out[CC_TIME_TEXT]);

#endif
