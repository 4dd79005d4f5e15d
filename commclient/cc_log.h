/* SPDX-License-Identifier: Apache-2.0
 * cc_log.h - one line on stderr for each thing worth knowing.
 *
 * Under systemd (JOURNAL_STREAM) a line carries its priority; otherwise the
 * time. Control characters in what others sent are made visible. Never give
 * it a payload or a secret.
 */
#ifndef CC_LOG_H
#define CC_LOG_H

#include "cc_compat.h"

typedef enum {
    CC_LOG_ERROR = 3,
    CC_LOG_WARNING = 4,
    CC_LOG_NOTICE = 5,
    CC_LOG_DEBUG = 7
} cc_log_level;

/** Everything up to `level` is written from now on (default NOTICE). */
void cc_log_level_set(cc_log_level level);

void cc_log(cc_log_level level, const char *format, ...) CC_PRINTF(2, 3);

#endif
