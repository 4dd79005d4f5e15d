/* SPDX-License-Identifier: Apache-2.0
 * ctl_report.h - a list of findings on standard output, each with its remedy.
 */
#ifndef CTL_REPORT_H
#define CTL_REPORT_H

#include "cc_compat.h"

typedef enum {
    CTL_FINE, /* as it should be                                            */
    CTL_NOTE, /* worth knowing; it works                                    */
    CTL_FAULT /* it does not work, or not for long                          */
} ctl_level;

typedef struct ctl_report {
    size_t width; /* of a line; 0: no limit                                 */
    int colored;
    int notes;
    int faults;
} ctl_report;

/** For standard output as it is. */
void ctl_report_init(ctl_report *report);

/** Write a finding at once.
 *  @param subject  what was looked at: "server main", "socket"
 *  @param remedy   what to do; NULL: nothing */
void ctl_report_add(ctl_report *report, ctl_level level, const char *subject,
                    const char *what, const char *remedy);

/** The same, `what` formatted. */
void ctl_report_format(ctl_report *report, ctl_level level, const char *subject,
                       const char *remedy, const char *format, ...) CC_PRINTF(5, 6);

#endif
