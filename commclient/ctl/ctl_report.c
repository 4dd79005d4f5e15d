/* SPDX-License-Identifier: Apache-2.0
 * ctl_report.c - a list of findings on standard output, each with its remedy.
 */
#include "cc_compat.h"
#include "ctl_report.h"
#include "ctl_screen.h"
#include "ctl_text.h"

#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *const words[] = { "ok    ", "note  ", "FAULT " };
static const ctl_color colors[] = { CTL_GREEN, CTL_YELLOW, CTL_RED };

#define INDENT 6 /* columns that a word takes                               */

void ctl_report_init(ctl_report *report)
{
    size_t lines;

    setlocale(LC_CTYPE, "");
    memset(report, 0, sizeof(*report));
    ctl_screen_size(STDOUT_FILENO, &report->width, &lines);
    report->colored = ctl_text_colored(STDOUT_FILENO);
}

void ctl_report_add(ctl_report *report, ctl_level level, const char *subject,
                    const char *what, const char *remedy)
{
    cc_buffer line = { NULL, 0, 0 }, text = { NULL, 0, 0 };

    report->notes += level == CTL_NOTE;
    report->faults += level == CTL_FAULT;
    ctl_text_color(&line, report->colored, colors[level]);
    cc_buffer_add_text(&line, words[level]);
    ctl_text_plain(&line, report->colored, colors[level]);
    cc_buffer_format(&text, "%s: %s", subject, what);
    ctl_text_wrap(&line, text.data, INDENT, report->width);
    if (remedy != NULL) {
        cc_buffer_format(&line, "\n%*s", INDENT + 2, "");
        ctl_text_wrap(&line, remedy, INDENT + 2, report->width);
    }
    puts(line.data);
    fflush(stdout);
    cc_buffer_clear(&line);
    cc_buffer_clear(&text);
}

void ctl_report_format(ctl_report *report, ctl_level level, const char *subject,
                       const char *remedy, const char *format, ...)
{
    char what[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    ctl_report_add(report, level, subject, what, remedy);
}
