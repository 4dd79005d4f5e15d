/* SPDX-License-Identifier: Apache-2.0
 * cs_beginning.c - see cs_beginning.h.
 */
#include "cs_compat.h"
#include "cs_beginning.h"
#include "cs_directives.h"

#include <apr_strings.h>
#include <http_log.h>

#include <stdio.h>
#include <string.h>

APLOG_USE_MODULE(commserver);

#define HOLDERS_SHOWN 16

/* ---- failures ------------------------------------------------------------ */

/* "1234 1240 ..." */
static const char *list_holders(const char *path, char *buffer, size_t size)
{
    apr_uint32_t processes[HOLDERS_SHOWN];
    int n = csq_holders(path, processes, HOLDERS_SHOWN);
    size_t len = 0;
    int i;

    for (i = 0; i < n && i < HOLDERS_SHOWN && len + 16 < size; i++)
        len += (size_t)snprintf(buffer + len, size - len, " %u", (unsigned)processes[i]);
    if (n > HOLDERS_SHOWN)
        snprintf(buffer + len, size - len, " ...");
    return n > 0 ? buffer : " unknown";
}

static void log_in_use(server_rec *s, const char *path)
{
    char buffer[HOLDERS_SHOWN * 12 + 16] = "";

    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                 "CS0002: the segment '%s' is in use, by another server or by children "
                 "that outlived theirs (processes:%s): give each server its own PidFile "
                 "or DefaultRuntimeDir, or end those children",
                 path, list_holders(path, buffer, sizeof(buffer)));
}

void cs_beginning_log_failure(server_rec *s, apr_status_t rv, const char *path,
                              apr_int64_t size, unsigned slots)
{
    char buffer[160];

    switch (rv) {
    case CSQ_IN_USE:
        log_in_use(s, path);
        break;
    case CSQ_NO_MEMORY:
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "CS0003: shared memory has no room for " CS_SEGMENT_SIZE
                     " (%" APR_INT64_T_FMT " bytes): enlarge /dev/shm or lower the size",
                     size);
        break;
    case APR_EINVAL:
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "CS0004: " CS_SEGMENT_SIZE " (%" APR_INT64_T_FMT " bytes) cannot "
                     "hold the tables of %u server processes: change the size or lower "
                     "ServerLimit",
                     size, slots);
        break;
    default:
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "CS0005: cannot create the segment '%s': %s", path,
                     csq_strerror(rv, buffer, sizeof(buffer)));
    }
}

/* ---- success ------------------------------------------------------------- */

static void log_taken_over(server_rec *s, const char *path, apr_int64_t size,
                           unsigned slots, const csq_outcome *outcome)
{
    ap_log_error(
        APLOG_MARK, APLOG_NOTICE, 0, s,
        "CS0020: httpd was killed: its segment '%s' is taken over with %" APR_UINT64_T_FMT
        " messages for %" APR_UINT64_T_FMT " clients",
        path, outcome->messages, outcome->clients);
    if (outcome->mended) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "CS0021: the segment '%s' was damaged and is mended: clients that "
                     "may have lost messages hear of a gap",
                     path);
    }
    if ((apr_int64_t)outcome->size != size || outcome->slots < slots) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "CS0022: the segment '%s' keeps its %" APR_SIZE_T_FMT " bytes for "
                     "%u server processes until httpd is stopped and started",
                     path, outcome->size, outcome->slots);
    }
}

static const char *aside_reason(const csq_outcome *outcome, char *buffer, size_t size)
{
    if (outcome->reason == CSQ_NO_SERVER)
        return "its lock file is missing or not its own, so that another server may "
               "still run on it";
    return csq_strerror(outcome->reason, buffer, size);
}

static void log_set_aside(server_rec *s, const char *path, const csq_outcome *outcome)
{
    char why[160], error[160];
    const char *reason = aside_reason(outcome, why, sizeof(why));

    ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                 "CS0023: the segment '%s' that was left behind cannot be used, httpd "
                 "starts with an empty one: %s%s%s",
                 path, reason, outcome->problem ? ": " : "",
                 outcome->problem ? outcome->problem : "");
    if (outcome->copied == APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "CS0024: its bytes are kept in '%s'",
                     outcome->aside);
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     "CS0025: its bytes could not be kept in '%s': %s", outcome->aside,
                     csq_strerror(outcome->copied, error, sizeof(error)));
    }
}

void cs_beginning_log(server_rec *s, const char *path, apr_int64_t size, unsigned slots,
                      const csq_outcome *outcome)
{
    switch (outcome->beginning) {
    case CSQ_BEGUN_TAKEN_OVER:
        log_taken_over(s, path, size, slots, outcome);
        break;
    case CSQ_BEGUN_SET_ASIDE:
        log_set_aside(s, path, outcome);
        break;
    default:
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, s,
                     "CS0026: the segment '%s' is new, %" APR_SIZE_T_FMT " bytes", path,
                     outcome->size);
    }
}
