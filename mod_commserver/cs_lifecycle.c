/* SPDX-License-Identifier: Apache-2.0
 * cs_lifecycle.c - from configuration to running children and back.
 *
 * httpd reads its configuration twice at start and once more at each restart,
 * and unloads modules in between. What must stay, the segment and its path,
 * is therefore kept as retained data in the process pool; the library itself
 * is linked so that it is never unmapped (cleanups of that pool point into
 * it).
 */
#include "cs_compat.h"
#include "cs_lifecycle.h"
#include "cs_loop.h"
#include "cs_advice.h"
#include "cs_beginning.h"
#include "cs_config.h"
#include "cs_directives.h"
#include "cs_folder.h"

#include <apr_atomic.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>
#include <ap_mpm.h>
#include <http_core.h>
#include <mpm_common.h>
#include <unixd.h>

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

APLOG_USE_MODULE(commserver);

#define RETAINED_KEY "mod_commserver"

/* Processes that may wait at once: old children linger while new ones serve. */
#define SLOTS_PER_DAEMON 2
#define SLOTS_MIN        16
#define SLOTS_MAX        1024

/* Entries looked at by one upkeep, so that no request pays for all.         */
/* Of the queues' locks, for threads that may wait; event threads may not.   */
#define LOCK_TIMEOUT apr_time_from_sec(2)

#define UPKEEP_BUDGET 256

/* What outlives a restart.                                                  */
typedef struct retained {
    apr_pool_t *pool;
    csq *queue;
    const char *directory;
    const char *path;
    const char *state_folder;/* CommServerStateDir, NULL: not given          */
    const char *state;       /* file of the saved state                      */
    const char *aside;       /* file of a segment that cannot be used        */
    apr_int64_t size;
    uid_t owner;
    pid_t parent;
} retained;

/* Set anew by every post_config; children inherit them.                     */
static csq *queue;
static const char *segment;
static server_rec *main_server;

static apr_threadkey_t *batch_key;

csq *cs_lifecycle_queue(void)
{
    return queue;
}

const char *cs_lifecycle_segment(void)
{
    return segment;
}

/* ---- files ---------------------------------------------------------------- */

/* Runs after the queue core has removed its files from it.                  */
static apr_status_t remove_directory(void *baton)
{
    const retained *kept = baton;

    if (kept->parent == getpid())
        rmdir(kept->directory);
    return APR_SUCCESS;
}

/* ---- the segment ------------------------------------------------------- */

static unsigned slots_wanted(void)
{
    int daemons = 1;

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &daemons);
    if (daemons > SLOTS_MAX / SLOTS_PER_DAEMON)
        return SLOTS_MAX;
    if (daemons < SLOTS_MIN / SLOTS_PER_DAEMON)
        return SLOTS_MIN;
    return (unsigned)daemons * SLOTS_PER_DAEMON;
}

/* Memory and files belong to whoever makes them, and their mode follows the
 * umask: so they are made as the user that will write into them.            */
typedef struct identity {
    uid_t uid;
    gid_t gid;
    mode_t mask;
    int switched;
} identity;

static apr_status_t become_server(const retained *kept, identity *own)
{
    own->uid = geteuid();
    own->gid = getegid();
    own->mask = umask(077);
    own->switched = own->uid == 0 && kept->owner != 0;
    if (own->switched
        && (setegid(ap_unixd_config.group_id) != 0 || seteuid(kept->owner) != 0))
        return APR_FROM_OS_ERROR(errno);
    return APR_SUCCESS;
}

static apr_status_t become_self(const identity *own)
{
    apr_status_t rv = APR_SUCCESS;

    if (own->switched && (seteuid(own->uid) != 0 || setegid(own->gid) != 0))
        rv = APR_FROM_OS_ERROR(errno);
    umask(own->mask);
    return rv;
}

/* ---- the saved state ----------------------------------------------------- */

/* Once the children are gone, before the queue core removes the segment. What
 * cannot be saved stays in memory, where the next start finds it.            */
static apr_status_t save_state(void *baton)
{
    retained *kept = baton;
    identity own;
    csq_stats stats;
    apr_status_t rv;
    apr_status_t back;

    if (kept->parent != getpid())
        return APR_SUCCESS;
    rv = become_server(kept, &own);
    if (rv == APR_SUCCESS)
        rv = csq_save(kept->queue, kept->state);
    back = become_self(&own);
    csq_stats_get(kept->queue, &stats);
    if (rv != APR_SUCCESS)
        csq_keep(kept->queue);
    cs_beginning_log_saved(main_server, rv, kept->state, &stats);
    return back;
}

static int check_folder(server_rec *s, const retained *kept, const char *folder)
{
    char buffer[160];
    apr_status_t rv = cs_folder_make_state(folder, kept->owner);

    if (rv == APR_SUCCESS)
        return OK;
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                 "CS0014: cannot use " CS_STATE_DIR " '%s': %s (it must belong to "
                 "httpd's User, and nobody else may write there)", folder,
                 apr_strerror(rv, buffer, sizeof(buffer)));
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* Where the state is kept from now on.                                      */
static int choose_state(server_rec *s, retained *kept, apr_pool_t *ptemp)
{
    const char *name = apr_filepath_name_get(kept->directory);
    const char *folder = cs_config_server_get(s)->state_dir;

    if (folder)
        folder = ap_server_root_relative(ptemp, folder);
    if (folder && check_folder(s, kept, folder) != OK)
        return HTTP_INTERNAL_SERVER_ERROR;
    if (kept->state && (folder ? kept->state_folder && !strcmp(folder, kept->state_folder)
                               : !kept->state_folder))
        return OK;
    kept->state_folder = folder ? apr_pstrdup(kept->pool, folder) : NULL;
    if (folder) {
        kept->state = apr_pstrcat(kept->pool, folder, "/", name, ".state", NULL);
        kept->aside = apr_pstrcat(kept->pool, folder, "/", name, ".damaged", NULL);
    }
    else {
        kept->state = apr_pstrcat(kept->pool, kept->path, ".state", NULL);
        kept->aside = apr_pstrcat(kept->pool, kept->path, ".damaged", NULL);
    }
    return OK;
}

/* ---- the segment ------------------------------------------------------- */

static apr_status_t start_as_server(retained *kept, const csq_limits *limits,
                                    csq_outcome *out_outcome)
{
    csq_plan plan = { .path = kept->path, .aside = kept->aside, .state = kept->state,
                      .size = (apr_size_t)kept->size, .slots = slots_wanted(),
                      .limits = limits };
    identity own;
    apr_status_t rv = become_server(kept, &own);
    apr_status_t back;

    if (rv == APR_SUCCESS)
        rv = csq_start(&plan, kept->pool, out_outcome, &kept->queue);
    back = become_self(&own);
    if (rv == APR_SUCCESS)
        rv = back;
    if (rv == APR_SUCCESS)
        csq_lock_timeout_set(kept->queue, LOCK_TIMEOUT);
    return rv;
}

static int start_segment(server_rec *s, retained *kept, const csq_limits *limits)
{
    csq_outcome outcome;
    apr_status_t rv = start_as_server(kept, limits, &outcome);

    if (rv != APR_SUCCESS) {
        cs_beginning_log_failure(s, rv, kept->path, kept->size, slots_wanted());
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    apr_pool_cleanup_register(kept->pool, kept, save_state, apr_pool_cleanup_null);
    cs_beginning_log(s, kept->path, kept->state, kept->size, slots_wanted(), &outcome);
    kept->size = (apr_int64_t)outcome.size;
    return OK;
}

static int make_directory(server_rec *s, retained *kept)
{
    char buffer[160];
    apr_status_t rv = cs_folder_make(kept->directory);

    if (rv == APR_SUCCESS) {
        apr_pool_cleanup_register(kept->pool, kept, remove_directory,
                                  apr_pool_cleanup_null);
        return OK;
    }
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                 "CS0006: cannot use the directory '%s': %s (it must be in a "
                 "DefaultRuntimeDir that httpd may write to, and belong to httpd's "
                 "User)", kept->directory, apr_strerror(rv, buffer, sizeof(buffer)));
    return HTTP_INTERNAL_SERVER_ERROR;
}

static int create_segment(server_rec *s, retained *kept, const csq_limits *limits,
                          apr_pool_t *ptemp)
{
    int result;

    apr_pool_create(&kept->pool, s->process->pool);
    apr_pool_tag(kept->pool, "commserver");
    kept->directory = cs_folder_of_instance(kept->pool);
    kept->path = apr_pstrcat(kept->pool, kept->directory, "/queue", NULL);
    kept->size = cs_config_server_get(s)->segment_size;
    kept->owner = cs_folder_owner();
    kept->parent = getpid();
    result = make_directory(s, kept);
    if (result == OK)
        result = choose_state(s, kept, ptemp);
    if (result == OK)
        result = start_segment(s, kept, limits);
    if (result != OK) {
        kept->queue = NULL;
        kept->state = NULL;
        apr_pool_destroy(kept->pool);
    }
    return result;
}

static int update_segment(server_rec *s, retained *kept, const csq_limits *limits,
                          apr_pool_t *ptemp)
{
    char buffer[160];
    apr_status_t rv = csq_limits_set(kept->queue, limits);

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "CS0007: cannot set the limits of the segment '%s': %s", kept->path,
                     csq_strerror(rv, buffer, sizeof(buffer)));
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (kept->size != cs_config_server_get(s)->segment_size) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                     "CS0008: " CS_SEGMENT_SIZE " stays %" APR_INT64_T_FMT " bytes until "
                     "httpd is stopped and started", kept->size);
    }
    if (kept->owner != cs_folder_owner()) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "CS0009: User has changed: the segment '%s' stays with the old one "
                     "until httpd is stopped and started", kept->path);
    }
    return choose_state(s, kept, ptemp);
}

/* Several virtual hosts may share a realm; the queue core wants each once.  */
static int register_realms(apr_pool_t *ptemp, server_rec *s)
{
    apr_array_header_t *realms = apr_array_make(ptemp, 8, sizeof(const char *));
    server_rec *host;
    apr_status_t rv;
    char buffer[160];

    for (host = s; host; host = host->next) {
        const char *realm = cs_config_server_get(host)->realm;

        if (!ap_array_str_contains(realms, realm))
            APR_ARRAY_PUSH(realms, const char *) = realm;
    }
    rv = csq_realms_set(queue, (const char *const *)(void *)realms->elts, realms->nelts);
    if (rv == APR_SUCCESS)
        return OK;
    ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                 "CS0010: cannot name %d realms in the segment: %s", realms->nelts,
                 csq_strerror(rv, buffer, sizeof(buffer)));
    return HTTP_INTERNAL_SERVER_ERROR;
}

/* A restart may fail before there is another one; then there is none to log. */
static apr_status_t forget_server(void *unused)
{
    (void)unused;
    main_server = NULL;
    return APR_SUCCESS;
}

int cs_lifecycle_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                             server_rec *s)
{
    retained *kept;
    csq_limits limits;
    int result;

    (void)plog;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG)
        return OK;
    result = cs_config_resolve(pconf, s);
    if (result != OK)
        return result;
    kept = ap_retained_data_get(RETAINED_KEY);
    if (!kept)
        kept = ap_retained_data_create(RETAINED_KEY, sizeof(*kept));
    cs_config_limits(s, &limits);
    main_server = s;
    apr_pool_cleanup_register(pconf, NULL, forget_server, apr_pool_cleanup_null);
    result = kept->queue ? update_segment(s, kept, &limits, ptemp)
                         : create_segment(s, kept, &limits, ptemp);
    if (result != OK)
        return result;
    queue = kept->queue;
    segment = kept->path;
    cs_advice_log(ptemp, s);
    return register_realms(ptemp, s);
}

/* ---- children ---------------------------------------------------------- */

static void destroy_batch(void *batch)
{
    csq_batch_destroy(batch);
}

void cs_lifecycle_child_init(apr_pool_t *pchild, server_rec *s)
{
    char buffer[160];
    apr_status_t rv = apr_threadkey_private_create(&batch_key, destroy_batch, pchild);

    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, "CS0011: no key for thread data: %s",
                     apr_strerror(rv, buffer, sizeof(buffer)));
        exit(APEXIT_CHILDSICK);
    }
    rv = cs_loop_child_init(pchild, s, queue);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     "CS0040: no event threads, polls are not held: %s",
                     csq_strerror(rv, buffer, sizeof(buffer)));
    }
}

csq_batch *cs_lifecycle_batch(void)
{
    void *batch = NULL;

    apr_threadkey_private_get(&batch, batch_key);
    if (!batch) {
        batch = csq_batch_create();
        apr_threadkey_private_set(batch, batch_key);
    }
    return batch;
}

/* ---- upkeep ------------------------------------------------------------ */

int cs_lifecycle_upkeep(apr_time_t now)
{
    static apr_uint32_t last_second;
    apr_uint32_t second = (apr_uint32_t)apr_time_sec(now);
    apr_uint32_t last = apr_atomic_read32(&last_second);

    if (second == last || apr_atomic_cas32(&last_second, second, last) != last)
        return 0;
    if (csq_expire(queue, now, UPKEEP_BUDGET) != APR_INCOMPLETE)
        return 0;
    apr_atomic_cas32(&last_second, last, second);
    return 1;
}

int cs_lifecycle_monitor(apr_pool_t *p, server_rec *s)
{
    (void)p;
    (void)s;
    if (queue)
        cs_lifecycle_upkeep(apr_time_now());
    return OK;
}

unsigned cs_lifecycle_jitter(unsigned bound)
{
    static apr_uint32_t state;
    apr_uint32_t x = apr_atomic_add32(&state, 0x9e3779b9u);

    x ^= (apr_uint32_t)apr_time_now() ^ ((apr_uint32_t)getpid() << 16);
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return bound ? x % bound : 0;
}
