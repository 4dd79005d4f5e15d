/* SPDX-License-Identifier: Apache-2.0
 * cc_time.c - the clocks, and RFC 3339.
 */
#include "cc_compat.h"
#include "cc_time.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define LATEST 253402300800 /* s; the year 10000 begins                       */

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t cc_time_now(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t cc_time_monotonic(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t cc_time_boot(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

typedef struct reader {
    const char *at;
    const char *end;
    int bad;
} reader;

static int take_number(reader *r, int digits, int low, int high)
{
    int value = 0;

    while (digits-- > 0) {
        if (r->at == r->end || *r->at < '0' || *r->at > '9') {
            r->bad = 1;
            return low;
        }
        value = value * 10 + (*r->at++ - '0');
    }
    if (value < low || value > high) {
        r->bad = 1;
        return low;
    }
    return value;
}

static char take_one_of(reader *r, const char *allowed)
{
    if (r->at == r->end || *r->at == '\0' || strchr(allowed, *r->at) == NULL) {
        r->bad = 1;
        return '\0';
    }
    return *r->at++;
}

static int take_fraction(reader *r)
{
    int milliseconds = 0, digits = 0;

    if (r->at == r->end || *r->at != '.')
        return 0;
    for (r->at++; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++) {
        if (digits++ < 3)
            milliseconds = milliseconds * 10 + (*r->at - '0');
    }
    if (digits == 0)
        r->bad = 1;
    for (; digits < 3; digits++)
        milliseconds *= 10;
    return milliseconds;
}

static int take_offset_minutes(reader *r)
{
    char sign = take_one_of(r, "Zz+-");
    int minutes;

    if (sign != '+' && sign != '-')
        return 0;
    minutes = take_number(r, 2, 0, 23) * 60;
    take_one_of(r, ":");
    minutes += take_number(r, 2, 0, 59);
    return sign == '+' ? minutes : -minutes;
}

static int days_of_month(int year, int month)
{
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

cc_status cc_time_parse(const char *data, size_t len, int64_t *out_time)
{
    reader r = { data, data + len, 0 };
    struct tm parts;
    int milliseconds, offset;
    int64_t seconds;

    memset(&parts, 0, sizeof(parts));
    parts.tm_year = take_number(&r, 4, 1970, 9999) - 1900;
    take_one_of(&r, "-");
    parts.tm_mon = take_number(&r, 2, 1, 12) - 1;
    take_one_of(&r, "-");
    parts.tm_mday =
        take_number(&r, 2, 1, days_of_month(parts.tm_year + 1900, parts.tm_mon + 1));
    take_one_of(&r, "Tt");
    parts.tm_hour = take_number(&r, 2, 0, 23);
    take_one_of(&r, ":");
    parts.tm_min = take_number(&r, 2, 0, 59);
    take_one_of(&r, ":");
    parts.tm_sec = take_number(&r, 2, 0, 60);
    milliseconds = take_fraction(&r);
    offset = take_offset_minutes(&r);
    if (r.bad || r.at != r.end)
        return CC_MALFORMED;
    seconds = (int64_t)timegm(&parts) - (int64_t)offset * 60;
    if (seconds < 0 || seconds >= LATEST)
        return CC_MALFORMED;
    *out_time = seconds * 1000 + milliseconds;
    return CC_OK;
}

void cc_time_format(int64_t time, char out[CC_TIME_TEXT])
{
    time_t seconds = (time_t)(time / 1000);
    struct tm parts;
    size_t n;

    gmtime_r(&seconds, &parts);
    n = strftime(out, CC_TIME_TEXT, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + n, CC_TIME_TEXT - n, ".%03dZ", (int)(time % 1000));
}
