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
    if (!outcome->restored
        && ((apr_int64_t)outcome->size != size || outcome->slots < slots)) {
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

static const char *state_reason(const csq_outcome *outcome, char *buffer, size_t size)
{
    switch (outcome->state_reason) {
    case CSQ_DAMAGED:
        return "it is damaged";
    case CSQ_LAYOUT:
        return "it was written by another version";
    case CSQ_SEGMENT_FULL:
        return "shared memory has no room for all of it";
    case CSQ_IN_USE:
        return "it does not belong to the segment that was taken over";
    default:
        return csq_strerror(outcome->state_reason, buffer, size);
    }
}

static void log_state_aside(server_rec *s, const char *state, const csq_outcome *outcome)
{
    char why[160], error[160];
    const char *problem = outcome->state_problem;

    ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                 "CS0018: the saved state '%s' is %s: %s%s%s", state,
                 outcome->restored ? "restored in part, clients hear of a gap where "
                                     "something is missing"
                                   : "not restored",
                 state_reason(outcome, why, sizeof(why)), problem ? ": " : "",
                 problem ? problem : "");
    if (outcome->state_kept == APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "CS0019: it is kept as '%s'",
                     outcome->state_aside);
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     "CS0027: it could not be renamed to '%s': %s", outcome->state_aside,
                     csq_strerror(outcome->state_kept, error, sizeof(error)));
    }
}

static void log_restored(server_rec *s, const char *state, const csq_outcome *outcome)
{
    ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                 "CS0017: restored from '%s': %" APR_UINT64_T_FMT
                 " messages for %" APR_UINT64_T_FMT " clients",
                 state, outcome->messages, outcome->clients);
}

static void log_larger(server_rec *s, apr_int64_t size, const csq_outcome *outcome)
{
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "CS0028: " CS_SEGMENT_SIZE " (%" APR_INT64_T_FMT " bytes) is too small "
                 "for what is queued: the segment has %" APR_SIZE_T_FMT " bytes until "
                 "httpd is stopped and started",
                 size, outcome->size);
}

void cs_beginning_log(server_rec *s, const char *path, const char *state,
                      apr_int64_t size, unsigned slots, const csq_outcome *outcome)
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
    if (outcome->restored && outcome->beginning != CSQ_BEGUN_TAKEN_OVER)
        log_restored(s, state, outcome);
    if (outcome->restored && (apr_int64_t)outcome->size > size)
        log_larger(s, size, outcome);
    if (outcome->state_aside)
        log_state_aside(s, state, outcome);
}

void cs_beginning_log_saved(server_rec *s, apr_status_t rv, const char *state,
                            const csq_stats *stats)
{
    char buffer[160];

    if (rv == APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "CS0015: saved in '%s': %" APR_UINT64_T_FMT
                     " messages for %" APR_UINT64_T_FMT " clients",
                     state, stats->queued, stats->clients);
        return;
    }
    ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                 "CS0016: cannot save the state in '%s', it stays in memory for the next "
                 "start: %s",
                 state, csq_strerror(rv, buffer, sizeof(buffer)));
}
