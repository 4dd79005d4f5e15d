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
    csq *queue;
    const char *directory;
    const char *path;
    apr_int64_t size;
    uid_t owner;
    pid_t parent;
} retained;

/* Set anew by every post_config; children inherit them.                     */
static csq *queue;
static const char *segment;

static apr_threadkey_t *batch_key;

csq *cs_lifecycle_queue(void)
{
    return queue;
}

const char *cs_lifecycle_segment(void)
{
    return segment;
}

/* ---- the directory of the segment -------------------------------------- */

static apr_uint32_t hash_text(const char *text)
{
    apr_uint32_t hash = 2166136261u;

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

/* One name per server instance: that of its pid file, which no two running
 * servers share. The hash tells apart pid files of one name that lie outside
 * of the runtime directory.                                                 */
static char *instance_directory(apr_pool_t *p)
{
    const char *pid = ap_runtime_dir_relative(p, ap_pid_fname);
    const char *plain = ap_runtime_dir_relative(p, apr_filepath_name_get(pid));
    char *stem = apr_pstrdup(p, apr_filepath_name_get(pid));
    apr_size_t len = strlen(stem);
    char *c;
    int odd = strcmp(pid, plain) != 0;

    if (len > 4 && !strcmp(stem + len - 4, ".pid"))
        stem[len - 4] = '\0';
    for (c = stem; *c; c++) {
        if (!apr_isalnum(*c) && !strchr("._-", *c)) {
            *c = '_';
            odd = 1;
        }
    }
    stem = odd ? apr_psprintf(p, "commserver-%s-%08x", stem, hash_text(pid))
               : apr_pstrcat(p, "commserver-", stem, NULL);
    return ap_runtime_dir_relative(p, stem);
}

/* The user that children and CGI programs run as.                           */
static uid_t server_uid(void)
{
    return geteuid() == 0 && ap_unixd_config.user_id != (uid_t)-1
               ? ap_unixd_config.user_id : geteuid();
}

/* It is the server's own: made by us, or left behind by an earlier run of the
 * same user.                                                                */
static apr_status_t make_directory(const char *directory)
{
    struct stat info;

    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return APR_FROM_OS_ERROR(errno);
    if (lstat(directory, &info) != 0)
        return APR_FROM_OS_ERROR(errno);
    if (!S_ISDIR(info.st_mode))
        return APR_ENOTDIR;
    if (info.st_uid != geteuid() && info.st_uid != server_uid())
        return APR_EACCES;
    if (geteuid() == 0
        && lchown(directory, server_uid(), ap_unixd_config.group_id) != 0)
        return APR_FROM_OS_ERROR(errno);
    return chmod(directory, 0700) == 0 ? APR_SUCCESS : APR_FROM_OS_ERROR(errno);
}

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

/* The shared memory belongs to whoever makes it, and its mode follows the
 * umask: so it is made as the user that will write into it.                 */
static apr_status_t start_as_server(retained *kept, const csq_limits *limits,
                                    apr_pool_t *pool, csq_outcome *out_outcome)
{
    csq_plan plan = { .path = kept->path, .size = (apr_size_t)kept->size,
                      .slots = slots_wanted(), .limits = limits };
    uid_t uid = geteuid();
    gid_t gid = getegid();
    mode_t mask = umask(077);
    int switched = uid == 0 && kept->owner != 0;
    apr_status_t rv = APR_SUCCESS;

    if (switched
        && (setegid(ap_unixd_config.group_id) != 0 || seteuid(kept->owner) != 0))
        rv = APR_FROM_OS_ERROR(errno);
    if (rv == APR_SUCCESS)
        rv = csq_start(&plan, pool, out_outcome, &kept->queue);
    if (switched && (seteuid(uid) != 0 || setegid(gid) != 0))
        rv = rv == APR_SUCCESS ? APR_FROM_OS_ERROR(errno) : rv;
    umask(mask);
    if (rv == APR_SUCCESS)
        csq_lock_timeout_set(kept->queue, LOCK_TIMEOUT);
    return rv;
}

static int create_segment(server_rec *s, retained *kept, const csq_limits *limits)
{
    apr_pool_t *pool;
    apr_status_t rv;
    csq_outcome outcome;
    char buffer[160];

    apr_pool_create(&pool, s->process->pool);
    apr_pool_tag(pool, "commserver");
    kept->directory = instance_directory(pool);
    kept->path = apr_pstrcat(pool, kept->directory, "/queue", NULL);
    kept->size = cs_config_server_get(s)->segment_size;
    kept->owner = server_uid();
    kept->parent = getpid();
    rv = make_directory(kept->directory);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "CS0006: cannot use the directory '%s': %s (it must be in a "
                     "DefaultRuntimeDir that httpd may write to, and belong to httpd's "
                     "User)", kept->directory, apr_strerror(rv, buffer, sizeof(buffer)));
        apr_pool_destroy(pool);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    apr_pool_cleanup_register(pool, kept, remove_directory, apr_pool_cleanup_null);
    rv = start_as_server(kept, limits, pool, &outcome);
    if (rv != APR_SUCCESS) {
        cs_beginning_log_failure(s, rv, kept->path, kept->size, slots_wanted());
        kept->queue = NULL;
        apr_pool_destroy(pool);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    cs_beginning_log(s, kept->path, kept->size, slots_wanted(), &outcome);
    kept->size = (apr_int64_t)outcome.size;
    return OK;
}

static int update_segment(server_rec *s, const retained *kept, const csq_limits *limits)
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
    if (kept->owner != server_uid()) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     "CS0009: User has changed: the segment '%s' stays with the old one "
                     "until httpd is stopped and started", kept->path);
    }
    return OK;
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
    result = kept->queue ? update_segment(s, kept, &limits)
                         : create_segment(s, kept, &limits);
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

void cs_lifecycle_upkeep(apr_time_t now)
{
    static apr_uint32_t last_second;
    apr_uint32_t second = (apr_uint32_t)apr_time_sec(now);
    apr_uint32_t last = apr_atomic_read32(&last_second);

    if (second == last || apr_atomic_cas32(&last_second, second, last) != last)
        return;
    if (csq_expire(queue, now, UPKEEP_BUDGET) == APR_INCOMPLETE)
        apr_atomic_cas32(&last_second, last, second);
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
