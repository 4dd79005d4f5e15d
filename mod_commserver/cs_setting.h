/* SPDX-License-Identifier: Apache-2.0
 * cs_setting.h - directives whose value is a number, a size or a time: one row
 * says where it is kept, what it may be, and in which words it is refused.
 */
#ifndef CS_SETTING_H
#define CS_SETTING_H

#include <httpd.h>
#include <http_config.h>

typedef enum { CS_SETTING_COUNT, CS_SETTING_SIZE, CS_SETTING_SECONDS } cs_setting_kind;

typedef struct cs_setting {
    const char *name;
    const char *range; /* how the error message says what is allowed    */
    apr_size_t offset; /* of an apr_int64_t                             */
    apr_int64_t min, max;
    cs_setting_kind kind;
    int global; /* kept in the main server's cs_config_server    */
} cs_setting;

/** A TAKE1 directive; the cs_setting is the info of its row in the command
 *  table. @return what httpd is to refuse the configuration with, or NULL */
const char *cs_setting_set(cmd_parms *cmd, void *dir, const char *arg);

#endif
