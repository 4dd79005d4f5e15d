/* SPDX-License-Identifier: Apache-2.0
 * cs_advice.c - does the configuration of the MPM fit held polls, and do the
 * limits fit each other?
 *
 * A parked poll occupies no thread, but httpd does not know that: the event
 * MPM accepts fewer connections the more it has, and its parent ends children
 * that look idle. Both are told at start, with the line to write.
 */
#include "cs_compat.h"
#include "cs_advice.h"
#include "cs_config.h"
#include "cs_directives.h"

#include <apr_strings.h>
#include <ap_mpm.h>
#include <http_log.h>
#include <util_cfgtree.h>

#include <stdlib.h>

APLOG_USE_MODULE(commserver);

/* httpd's own, for want of a way to ask it.                                 */
#define DEFAULT_FACTOR 2.0
#define DEFAULT_START  3

static int polls_are_served(const ap_directive_t *node)
{
    for (; node; node = node->next) {
        if ((node->first_child && polls_are_served(node->first_child))
            || (!ap_cstr_casecmp(node->directive, "SetHandler")
                && strstr(node->args, CS_HANDLER_POLL)))
            return 1;
    }
    return 0;
}

/* The last value given to a directive that no query tells, or NULL.         */
static const char *find_value(const ap_directive_t *node, const char *name)
{
    const char *found = NULL;

    for (; node; node = node->next) {
        const char *inner =
            node->first_child ? find_value(node->first_child, name) : NULL;

        if (inner)
            found = inner;
        else if (!ap_cstr_casecmp(node->directive, name))
            found = node->args;
    }
    return found;
}

static void advise_factor(server_rec *s)
{
    const char *given = find_value(ap_conftree, "AsyncRequestWorkerFactor");
    double factor = given ? atof(given) : DEFAULT_FACTOR;
    apr_int64_t parked = cs_config_server_get(s)->max_parked;

    if (factor >= (double)parked)
        return;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "CS0012: AsyncRequestWorkerFactor %g: a busy child refuses connections "
                 "long before it parks " CS_MAX_PARKED " %" APR_INT64_T_FMT " polls: set "
                 "the factor to the polls that a child shall hold",
                 factor, parked);
}

static int start_servers(void)
{
    const char *given = find_value(ap_conftree, "StartServers");

    return given ? atoi(given) : DEFAULT_START;
}

/* A child that still serves a long request keeps its place after a graceful
 * restart; without another the new children cannot start.                   */
static void advise_limit(server_rec *s)
{
    int limit = 0;

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &limit);
    if (limit > start_servers())
        return;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "CS0041: ServerLimit %d leaves no place for new children while old ones "
                 "finish: after a graceful restart nothing is served until they end: set "
                 "ServerLimit %d",
                 limit, limit * 4);
}

static void advise_idle(server_rec *s, int daemons, int workers)
{
    int start = start_servers();
    int min_spare = 0, max_spare = 0;

    ap_mpm_query(AP_MPMQ_MIN_SPARE_THREADS, &min_spare);
    ap_mpm_query(AP_MPMQ_MAX_SPARE_THREADS, &max_spare);
    if (max_spare >= workers && min_spare >= workers && start >= daemons)
        return;
    ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                 "CS0013: StartServers %d, MinSpareThreads %d, MaxSpareThreads %d: httpd "
                 "ends children that hold polls, since they look idle: set StartServers "
                 "%d, MinSpareThreads %d, MaxSpareThreads %d",
                 start, min_spare, max_spare, daemons, workers, workers);
}

static void advise_limits(server_rec *s)
{
    const cs_config_server *config = cs_config_server_get(s);
    const cs_config_dir *dir = cs_config_dir_default(s);
    apr_int64_t room = config->max_queue_bytes < config->segment_size
                           ? config->max_queue_bytes
                           : config->segment_size;

    if (config->max_message > room)
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "CS0042: " CS_MAX_MESSAGE
                     " is more than a queue (" CS_MAX_QUEUE_BYTES
                     ") or the segment (" CS_SEGMENT_SIZE ") can hold: messages of more "
                     "than %" APR_INT64_T_FMT " bytes are refused all the same",
                     room);
    if (dir->ttl > cs_config_max_ttl(dir))
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "CS0043: " CS_TTL " %" APR_INT64_T_FMT " is longer than " CS_MAX_TTL
                     " %" APR_INT64_T_FMT ": messages get the shorter one",
                     dir->ttl, (apr_int64_t)cs_config_max_ttl(dir));
}

void cs_advice_log(apr_pool_t *ptemp, server_rec *s)
{
    int async = 0, daemons = 0, threads = 0;

    (void)ptemp;
    advise_limits(s);
    if (ap_mpm_query(AP_MPMQ_IS_ASYNC, &async) != APR_SUCCESS || !async
        || !polls_are_served(ap_conftree))
        return;
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    advise_factor(s);
    advise_limit(s);
    advise_idle(s, daemons, daemons * threads);
}
