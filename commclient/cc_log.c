/* SPDX-License-Identifier: Apache-2.0
 * cc_log.c - one line on stderr for each thing worth knowing.
 */
#include "cc_compat.h"
#include "cc_log.h"
#include "cc_utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 2048

static cc_log_level highest = CC_LOG_NOTICE;

void cc_log_level_set(cc_log_level level)
{
    highest = level;
}

static size_t format_start(char *line, size_t size, cc_log_level level)
{
    struct timespec now;
    struct tm parts;

    if (getenv("JOURNAL_STREAM") != NULL)
        return (size_t)snprintf(line, size, "<%d>", (int)level);
    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &parts);
    return strftime(line, size, "%Y-%m-%d %H:%M:%S commclient: ", &parts);
}

void cc_log(cc_log_level level, const char *format, ...)
{
    char line[LINE_MAX_BYTES];
    size_t at;
    va_list args;
    ssize_t ignored;

    if (level > highest)
        return;
    at = format_start(line, sizeof(line), level);
    va_start(args, format);
    vsnprintf(line + at, sizeof(line) - at - 1, format, args);
    va_end(args);
    cc_utf8_hide_controls(line + at, 0);
    at = strlen(line);
    line[at++] = '\n';
    ignored = write(STDERR_FILENO, line, at);
    (void)ignored;
}
