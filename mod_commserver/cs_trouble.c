/* SPDX-License-Identifier: Apache-2.0
 * cs_trouble.c - what the administrator should know of, once and not for
 * every request.
 */
#include "cs_compat.h"
#include "cs_trouble.h"
#include "cs_config.h"
#include "cs_directives.h"
#include "cs_lifecycle.h"
#include "cs_problem.h"
#include "cs_send.h"

#include <apr_atomic.h>
#include <http_log.h>

APLOG_USE_MODULE(commserver);

#define QUIET_SECONDS 10

typedef enum {
    KIND_BUSY,
    KIND_INTERNAL,
    KIND_SEGMENT,
    KIND_CLIENTS,
    KIND_PARKED,
    KIND_BLOCKING,
    KIND_WATCH,
    KINDS
} kind;

/* Of two threads that meet the same trouble one may log.                    */
static int may_log(kind which)
{
    static apr_uint32_t quiet_until[KINDS];
    apr_uint32_t now = (apr_uint32_t)apr_time_sec(apr_time_now());
    apr_uint32_t until = apr_atomic_read32(&quiet_until[which]);

    return now >= until
           && apr_atomic_cas32(&quiet_until[which], now + QUIET_SECONDS, until) == until;
}

static void log_failure(request_rec *r, apr_status_t rv)
{
    char buffer[160];

    ap_log_rerror(APLOG_MARK, APLOG_CRIT, 0, r, "CS0034: the queues cannot be used: %s",
                  csq_strerror(rv, buffer, sizeof(buffer)));
}

void cs_trouble_status(request_rec *r, apr_status_t rv)
{
    switch (rv) {
    case CSQ_BUSY:
        if (may_log(KIND_BUSY)) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                          "CS0035: a lock of the queues was not to be had: process %u "
                          "holds it", (unsigned)csq_lock_holder(cs_lifecycle_queue()));
        }
        break;
    case CSQ_SEGMENT_FULL:
        if (may_log(KIND_SEGMENT)) {
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                          "CS0036: the shared segment is full: raise " CS_SEGMENT_SIZE
                          ", or lower " CS_MAX_QUEUE_BYTES " or " CS_MAX_TTL);
        }
        break;
    case CSQ_CLIENTS_FULL:
        if (may_log(KIND_CLIENTS)) {
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                          "CS0037: there are as many clients as " CS_MAX_CLIENTS
                          " allows: raise it, or lower " CS_CLIENT_EXPIRY);
        }
        break;
    case CSQ_NO_MEMORY:
        if (may_log(KIND_INTERNAL))
            log_failure(r, rv);
        break;
    default:
        if (cs_problem_of_status(rv) == CS_PROBLEM_INTERNAL && may_log(KIND_INTERNAL))
            log_failure(r, rv);
    }
}

void cs_trouble_parked(request_rec *r)
{
    if (may_log(KIND_PARKED)) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      "CS0038: this child parks as many polls as " CS_MAX_PARKED
                      " allows (%" APR_INT64_T_FMT "): raise it and the limit of open "
                      "files", cs_config_server_get(r->server)->max_parked);
    }
}

void cs_trouble_blocking(request_rec *r)
{
    if (may_log(KIND_BLOCKING)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      "CS0039: as many polls block a thread as " CS_BLOCKING_POLLS
                      " allows (%" APR_INT64_T_FMT "): others come back later",
                      cs_config_server_get(r->server)->blocking_polls);
    }
}

void cs_trouble_watch(conn_rec *c, apr_status_t rv)
{
    if (may_log(KIND_WATCH)) {
        ap_log_cerror(APLOG_MARK, APLOG_ERR, rv, c,
                      "CS0044: the kernel has no room to report the events of a "
                      "connection: it is looked at once a second (see "
                      "/proc/sys/fs/epoll/max_user_watches)");
    }
}

int cs_trouble_answer(request_rec *r, apr_status_t rv)
{
    char buffer[160];

    cs_trouble_status(r, rv);
    return cs_send_problem(r, cs_problem_of_status(rv),
                           csq_strerror(rv, buffer, sizeof(buffer)));
}
