/* SPDX-License-Identifier: Apache-2.0
 * cs_setting.c - directives whose value is a number, a size or a time.
 */
#include "cs_compat.h"
#include "cs_setting.h"
#include "cs_config.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>

#include <errno.h>

static apr_status_t parse_number(const char *text, const char **out_end,
                                 apr_int64_t *out_value)
{
    char *end;

    if (!apr_isdigit(*text))
        return APR_EINVAL;
    errno = 0;
    *out_value = apr_strtoi64(text, &end, 10);
    *out_end = end;
    return errno ? APR_EINVAL : APR_SUCCESS;
}

static apr_status_t parse_size(const char *text, apr_int64_t *out_value)
{
    const char *end;
    apr_int64_t unit = 1;

    if (parse_number(text, &end, out_value) != APR_SUCCESS)
        return APR_EINVAL;
    switch (apr_toupper(*end)) {
    case 'G':
        unit = (apr_int64_t)1 << 30;
        break;
    case 'M':
        unit = (apr_int64_t)1 << 20;
        break;
    case 'K':
        unit = 1 << 10;
        break;
    case '\0':
        return APR_SUCCESS;
    default:
        return APR_EINVAL;
    }
    if (end[1] || *out_value > APR_INT64_MAX / unit)
        return APR_EINVAL;
    *out_value *= unit;
    return APR_SUCCESS;
}

static apr_status_t parse_seconds(const char *text, apr_int64_t *out_value)
{
    apr_interval_time_t interval;

    if (!apr_isdigit(*text)
        || ap_timeout_parameter_parse(text, &interval, "s") != APR_SUCCESS
        || interval % APR_USEC_PER_SEC)
        return APR_EINVAL;
    *out_value = apr_time_sec(interval);
    return APR_SUCCESS;
}

static apr_status_t parse_count(const char *text, apr_int64_t *out_value)
{
    const char *end;

    if (parse_number(text, &end, out_value) != APR_SUCCESS || *end)
        return APR_EINVAL;
    return APR_SUCCESS;
}

const char *cs_setting_set(cmd_parms *cmd, void *dir, const char *arg)
{
    static const char *const words[] = { "a number from",
                                         "a size in bytes, or with K, M or G, from",
                                         "a time in seconds, or with s, mi or h, from" };
    const cs_setting *row = cmd->info;
    apr_int64_t value;
    apr_status_t rv;
    char *place;

    if (row->global) {
        const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

        if (error)
            return error;
    }
    switch (row->kind) {
    case CS_SETTING_SIZE:
        rv = parse_size(arg, &value);
        break;
    case CS_SETTING_SECONDS:
        rv = parse_seconds(arg, &value);
        break;
    default:
        rv = parse_count(arg, &value);
    }
    if (rv != APR_SUCCESS || value < row->min || value > row->max) {
        return apr_psprintf(cmd->pool, "%s must be %s %s, not '%s'", row->name,
                            words[row->kind], row->range, arg);
    }
    place = row->global ? (char *)cs_config_server_get(cmd->server) : dir;
    *(apr_int64_t *)(void *)(place + row->offset) = value;
    return NULL;
}
