/* SPDX-License-Identifier: Apache-2.0
 * cs_config.c - the directives: command table, defaults, merging.
 *
 * A number has one row in a table here: where it is kept, what it may be, and
 * the words that say so when it is wrong. Unset is CS_CONFIG_UNSET for
 * numbers and NULL for the rest, so that the inner section wins only where it
 * said something.
 */
#include "cs_compat.h"
#include "cs_config.h"
#include "cs_directives.h"
#include "cs_origin.h"
#include "cs_setting.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <ap_mpm.h>
#include <http_core.h>
#include <util_cfgtree.h>

#include <stddef.h>
#include <sys/resource.h>

APLOG_USE_MODULE(commserver);

#define DAY 86400

/* Defaults; the documentation of each directive says why.                   */
#define DEFAULT_SEGMENT_SIZE    (64 * 1024 * 1024)
#define DEFAULT_MAX_MESSAGE     (1024 * 1024)
#define DEFAULT_MAX_QUEUE       10000
#define DEFAULT_MAX_QUEUE_BYTES (16 * 1024 * 1024)
#define DEFAULT_MAX_CLIENTS     200000
#define DEFAULT_CLIENT_EXPIRY   (7 * DAY)
#define DEFAULT_DEVICE_EXPIRY   (30 * DAY)
#define DEFAULT_MAX_DEVICES     16
#define DEFAULT_EVENT_THREADS   16
#define DEFAULT_TTL             DAY
#define DEFAULT_MAX_TTL         (30 * DAY)
#define DEFAULT_IDEMPOTENCY     3600
#define DEFAULT_MAX_WAIT        55
#define DEFAULT_MAX_STREAM      3600
#define DEFAULT_MAX_BATCH       (1024 * 1024)

/* ---- one row a number -------------------------------------------------- */

#define GLOBAL(member) offsetof(cs_config_server, member)
#define LOCAL(member)  offsetof(cs_config_dir, member)
#define KB ((apr_int64_t)1024)
#define MB (1024 * KB)
#define GB (1024 * MB)

static const cs_setting segment_size = {
    CS_SEGMENT_SIZE, "1M to 192G", GLOBAL(segment_size), MB, 192 * GB,
    CS_SETTING_SIZE, 1 };
static const cs_setting max_message = {
    CS_MAX_MESSAGE, "1 to 1G", GLOBAL(max_message), 1, GB, CS_SETTING_SIZE, 1 };
static const cs_setting max_queue = {
    CS_MAX_QUEUE, "1 to 100000000", GLOBAL(max_queue), 1, 100000000,
    CS_SETTING_COUNT, 1 };
static const cs_setting max_queue_bytes = {
    CS_MAX_QUEUE_BYTES, "1 to 256G", GLOBAL(max_queue_bytes), 1, 256 * GB,
    CS_SETTING_SIZE, 1 };
static const cs_setting max_clients = {
    CS_MAX_CLIENTS, "1 to 100000000", GLOBAL(max_clients), 1, 100000000,
    CS_SETTING_COUNT, 1 };
static const cs_setting client_expiry = {
    CS_CLIENT_EXPIRY, "1 second to 3650 days", GLOBAL(client_expiry), 1,
    (apr_int64_t)3650 * DAY, CS_SETTING_SECONDS, 1 };
static const cs_setting device_expiry = {
    CS_DEVICE_EXPIRY, "1 second to 3650 days", GLOBAL(device_expiry), 1,
    (apr_int64_t)3650 * DAY, CS_SETTING_SECONDS, 1 };
static const cs_setting max_devices = {
    CS_MAX_DEVICES, "1 to 64", GLOBAL(max_devices), 1, CSQ_DEVICES_MAX, CS_SETTING_COUNT,
    1 };
static const cs_setting blocking_polls = {
    CS_BLOCKING_POLLS, "0 to 100000", GLOBAL(blocking_polls), 0, 100000,
    CS_SETTING_COUNT, 1 };
static const cs_setting max_parked = {
    CS_MAX_PARKED, "0 to 10000000", GLOBAL(max_parked), 0, 10000000,
    CS_SETTING_COUNT, 1 };
static const cs_setting max_event_threads = {
    CS_MAX_EVENT_THREADS, "2 to 64", GLOBAL(max_event_threads), 2, 64,
    CS_SETTING_COUNT, 1 };
static const cs_setting ttl = {
    CS_TTL, "1 second to 3650 days", LOCAL(ttl), 1, (apr_int64_t)3650 * DAY,
    CS_SETTING_SECONDS, 0 };
static const cs_setting max_ttl = {
    CS_MAX_TTL, "1 second to 3650 days", LOCAL(max_ttl), 1, (apr_int64_t)3650 * DAY,
    CS_SETTING_SECONDS, 0 };
static const cs_setting idempotency_window = {
    CS_IDEMPOTENCY_WINDOW, "1 second to 7 days", LOCAL(idempotency_window), 1, 7 * DAY,
    CS_SETTING_SECONDS, 0 };
static const cs_setting max_wait = {
    CS_MAX_WAIT, "0 seconds to 1 hour", LOCAL(max_wait), 0, 3600, CS_SETTING_SECONDS, 0 };
static const cs_setting max_stream = {
    CS_MAX_STREAM, "0 seconds to 1 day", LOCAL(max_stream), 0, DAY,
    CS_SETTING_SECONDS, 0 };
static const cs_setting max_batch = {
    CS_MAX_BATCH, "1K to 1G", LOCAL(max_batch), KB, GB, CS_SETTING_SIZE, 0 };

/* ---- the other directives ---------------------------------------------- */

static const char *set_base(cmd_parms *cmd, void *dir, const char *arg)
{
    cs_config_dir *config = dir;
    apr_size_t len = strlen(arg);

    if (*arg != '/' || strstr(arg, "//")) {
        return apr_psprintf(cmd->pool, CS_BASE " must be a path that begins with one "
                            "'/', not '%s'", arg);
    }
    while (len && arg[len - 1] == '/')
        len--;
    config->base = apr_pstrmemdup(cmd->pool, arg, len);
    return NULL;
}

static const char *set_expression(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *error = NULL;
    const ap_expr_info_t *expression;

    expression = ap_expr_parse_cmd(cmd, arg,
                                   AP_EXPR_FLAG_STRING_RESULT | AP_EXPR_FLAG_DONT_VARY,
                                   &error, NULL);
    if (error) {
        return apr_psprintf(cmd->pool, "%s must be a string expression such as "
                            "%%{REMOTE_USER}: %s", cmd->cmd->name, error);
    }
    if (!ap_cstr_casecmpn(arg, "local:", 6))
        return apr_psprintf(cmd->pool, "%s must not begin with 'local:', which is for "
                            "processes of this machine: '%s'", cmd->cmd->name, arg);
    *(const ap_expr_info_t **)(void *)((char *)dir + (apr_size_t)cmd->info) = expression;
    return NULL;
}

static const char *set_realm(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *error = ap_check_cmd_context(cmd, NOT_IN_DIR_LOC_FILE);

    (void)dir;
    if (error)
        return error;
    if (csq_client_check(arg, strlen(arg)) != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, CS_REALM " must be 1 to %d bytes of UTF-8 without "
                            "'/' and control characters, not '%s'", CSQ_REALM_MAX, arg);
    }
    cs_config_server_get(cmd->server)->realm = arg;
    return NULL;
}

static const char *set_state_dir(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (error)
        return error;
    cs_config_server_get(cmd->server)->state_dir = arg;
    return NULL;
}

static const char *set_overflow(cmd_parms *cmd, void *dir, const char *arg)
{
    cs_config_server *config = cs_config_server_get(cmd->server);
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    (void)dir;
    if (error)
        return error;
    if (!ap_cstr_casecmp(arg, "reject"))
        config->overflow = CSQ_OVERFLOW_REJECT;
    else if (!ap_cstr_casecmp(arg, "drop-oldest"))
        config->overflow = CSQ_OVERFLOW_DROP_OLDEST;
    else
        return apr_psprintf(cmd->pool, CS_OVERFLOW " must be reject or drop-oldest, "
                            "not '%s'", arg);
    return NULL;
}

static const char *set_origin(cmd_parms *cmd, void *dir, const char *arg)
{
    cs_config_dir *config = dir;
    const char *origin;

    if (config->origins_none || (config->origins && config->origins->nelts
                                 && !ap_cstr_casecmp(arg, "none")))
        return CS_ALLOW_ORIGIN " none stands alone, without origins beside it";
    if (!config->origins)
        config->origins = apr_array_make(cmd->pool, 4, sizeof(const char *));
    if (!ap_cstr_casecmp(arg, "none")) {
        config->origins_none = 1;
        return NULL;
    }
    if (cs_origin_normalize(arg, cmd->pool, &origin) != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, CS_ALLOW_ORIGIN " must be none or origins such as "
                            "https://www.example.org or http://localhost:8080 "
                            "(no path, no wildcard), not '%s'", arg);
    }
    APR_ARRAY_PUSH(config->origins, const char *) = origin;
    return NULL;
}

static const char *set_direct(cmd_parms *cmd, void *dir, int on)
{
    (void)cmd;
    ((cs_config_dir *)dir)->direct = on != 0;
    return NULL;
}

static const char *set_shortcuts(cmd_parms *cmd, void *dir, int on)
{
    (void)dir;
    cs_config_server_get(cmd->server)->shortcuts = on != 0;
    return NULL;
}

#define ANYWHERE (RSRC_CONF | ACCESS_CONF)
/* A number: its setting is the info of the row.                             */
#define ROW(name, setting, where, text)                                       \
    AP_INIT_TAKE1(name, cs_setting_set, (void *)&(setting), where, text)

const command_rec cs_config_commands[] = {
    AP_INIT_ITERATE(CS_ALLOW_ORIGIN, set_origin, NULL, ANYWHERE,
                    "origins of web pages that may use the handlers, or none"),
    AP_INIT_TAKE1(CS_BASE, set_base, NULL, ANYWHERE | OR_FILEINFO,
                  "path after which {app} begins, where no plain Location tells it"),
    AP_INIT_TAKE1(CS_CLIENT, set_expression, (void *)LOCAL(client), ANYWHERE,
                  "expression whose value is the client that polls"),
    AP_INIT_TAKE1(CS_SENDER, set_expression, (void *)LOCAL(sender), ANYWHERE,
                  "expression whose value is the sender of a message"),
    AP_INIT_FLAG(CS_DIRECT, set_direct, NULL, ANYWHERE,
                 "on: leave out the file system, Directory sections and .htaccess"),
    AP_INIT_FLAG(CS_SHORTCUTS, set_shortcuts, NULL, RSRC_CONF,
                 "off: read and answer through all filters of httpd"),
    AP_INIT_TAKE1(CS_OVERFLOW, set_overflow, NULL, RSRC_CONF,
                  "what a full queue does: reject or drop-oldest"),
    AP_INIT_TAKE1(CS_STATE_DIR, set_state_dir, NULL, RSRC_CONF,
                  "directory that keeps what is queued while httpd is stopped"),
    AP_INIT_TAKE1(CS_REALM, set_realm, NULL, RSRC_CONF,
                  "name that keeps the clients of this virtual host apart"),
    ROW(CS_TTL, ttl, ANYWHERE, "lifetime of messages that name none"),
    ROW(CS_MAX_TTL, max_ttl, ANYWHERE, "longest lifetime of a message"),
    ROW(CS_IDEMPOTENCY_WINDOW, idempotency_window, ANYWHERE,
        "how long an Idempotency-Key is remembered"),
    ROW(CS_MAX_WAIT, max_wait, ANYWHERE, "longest time that a poll is held"),
    ROW(CS_MAX_STREAM, max_stream, ANYWHERE, "longest time that an event stream lasts"),
    ROW(CS_MAX_BATCH, max_batch, ANYWHERE, "bytes of payload of one answer"),
    ROW(CS_BLOCKING_POLLS, blocking_polls, RSRC_CONF,
        "polls a child may hold by blocking a thread"),
    ROW(CS_CLIENT_EXPIRY, client_expiry, RSRC_CONF,
        "how long a client with an empty queue is remembered"),
    ROW(CS_DEVICE_EXPIRY, device_expiry, RSRC_CONF,
        "how long a device that does not poll is kept"),
    ROW(CS_MAX_CLIENTS, max_clients, RSRC_CONF, "clients with a queue"),
    ROW(CS_MAX_DEVICES, max_devices, RSRC_CONF, "devices of a client"),
    ROW(CS_MAX_EVENT_THREADS, max_event_threads, RSRC_CONF,
        "threads of a child that serve parked polls and their connections"),
    ROW(CS_MAX_MESSAGE, max_message, RSRC_CONF, "bytes of a message"),
    ROW(CS_MAX_PARKED, max_parked, RSRC_CONF, "polls that a child may park"),
    ROW(CS_MAX_QUEUE, max_queue, RSRC_CONF, "messages in a queue"),
    ROW(CS_MAX_QUEUE_BYTES, max_queue_bytes, RSRC_CONF, "bytes of payload in a queue"),
    ROW(CS_SEGMENT_SIZE, segment_size, RSRC_CONF,
        "bytes of shared memory for all queues"),
    { NULL }
};

/* ---- create and merge -------------------------------------------------- */

void *cs_config_server_create(apr_pool_t *p, server_rec *s)
{
    cs_config_server *config = apr_pcalloc(p, sizeof(*config));

    (void)s;
    config->realm = NULL;
    config->bases = NULL;
    config->state_dir = NULL;
    config->segment_size = CS_CONFIG_UNSET;
    config->max_message = CS_CONFIG_UNSET;
    config->max_queue_bytes = CS_CONFIG_UNSET;
    config->max_queue = CS_CONFIG_UNSET;
    config->max_clients = CS_CONFIG_UNSET;
    config->client_expiry = CS_CONFIG_UNSET;
    config->device_expiry = CS_CONFIG_UNSET;
    config->max_devices = CS_CONFIG_UNSET;
    config->overflow = CS_CONFIG_UNSET;
    config->blocking_polls = CS_CONFIG_UNSET;
    config->blocking_shared = 0;
    config->max_parked = CS_CONFIG_UNSET;
    config->max_event_threads = CS_CONFIG_UNSET;
    config->shortcuts = CS_CONFIG_UNSET;
    return config;
}

static apr_int64_t merge_number(apr_int64_t base, apr_int64_t add)
{
    return add == CS_CONFIG_UNSET ? base : add;
}

void *cs_config_server_merge(apr_pool_t *p, void *base, void *add)
{
    const cs_config_server *b = base, *a = add;
    cs_config_server *c = apr_pcalloc(p, sizeof(*c));

    c->realm = a->realm ? a->realm : b->realm;
    c->bases = NULL;
    c->state_dir = a->state_dir ? a->state_dir : b->state_dir;
    c->segment_size = merge_number(b->segment_size, a->segment_size);
    c->max_message = merge_number(b->max_message, a->max_message);
    c->max_queue_bytes = merge_number(b->max_queue_bytes, a->max_queue_bytes);
    c->max_queue = merge_number(b->max_queue, a->max_queue);
    c->max_clients = merge_number(b->max_clients, a->max_clients);
    c->client_expiry = merge_number(b->client_expiry, a->client_expiry);
    c->device_expiry = merge_number(b->device_expiry, a->device_expiry);
    c->max_devices = merge_number(b->max_devices, a->max_devices);
    c->overflow = merge_number(b->overflow, a->overflow);
    c->blocking_polls = merge_number(b->blocking_polls, a->blocking_polls);
    c->blocking_shared = 0;
    c->max_parked = merge_number(b->max_parked, a->max_parked);
    c->max_event_threads = merge_number(b->max_event_threads, a->max_event_threads);
    c->shortcuts = merge_number(b->shortcuts, a->shortcuts);
    return c;
}

void *cs_config_dir_create(apr_pool_t *p, char *path)
{
    cs_config_dir *config = apr_pcalloc(p, sizeof(*config));

    (void)path;
    config->base = NULL;
    config->client = NULL;
    config->sender = NULL;
    config->origins = NULL;
    config->ttl = CS_CONFIG_UNSET;
    config->max_ttl = CS_CONFIG_UNSET;
    config->idempotency_window = CS_CONFIG_UNSET;
    config->max_wait = CS_CONFIG_UNSET;
    config->max_stream = CS_CONFIG_UNSET;
    config->max_batch = CS_CONFIG_UNSET;
    config->direct = CS_CONFIG_UNSET;
    return config;
}

void *cs_config_dir_merge(apr_pool_t *p, void *base, void *add)
{
    const cs_config_dir *b = base, *a = add;
    cs_config_dir *c = apr_pcalloc(p, sizeof(*c));

    c->base = a->base ? a->base : b->base;
    c->client = a->client ? a->client : b->client;
    c->sender = a->sender ? a->sender : b->sender;
    c->origins = a->origins ? a->origins : b->origins;
    c->ttl = merge_number(b->ttl, a->ttl);
    c->max_ttl = merge_number(b->max_ttl, a->max_ttl);
    c->idempotency_window = merge_number(b->idempotency_window, a->idempotency_window);
    c->max_wait = merge_number(b->max_wait, a->max_wait);
    c->max_stream = merge_number(b->max_stream, a->max_stream);
    c->max_batch = merge_number(b->max_batch, a->max_batch);
    c->direct = merge_number(b->direct, a->direct);
    return c;
}

/* ---- what only the whole configuration can tell ------------------------ */

static void set_default(apr_int64_t *member, apr_int64_t value)
{
    if (*member == CS_CONFIG_UNSET)
        *member = value;
}

/* Descriptors that are left when httpd's own needs are served: EMFILE in
 * accept() would end the child.                                             */
static apr_int64_t parked_by_descriptors(int threads)
{
    struct rlimit limit;
    apr_int64_t left = 1024;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        left = (apr_int64_t)limit.rlim_cur;
    left -= 4 * (apr_int64_t)threads + 200;
    return left > 0 ? left : 0;
}

static void resolve_numbers(cs_config_server *config)
{
    int threads = 1, daemons = 1, workers;

    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    if (threads < 1)
        threads = 1;
    set_default(&config->segment_size, DEFAULT_SEGMENT_SIZE);
    set_default(&config->max_message, DEFAULT_MAX_MESSAGE);
    set_default(&config->max_queue_bytes, DEFAULT_MAX_QUEUE_BYTES);
    set_default(&config->max_queue, DEFAULT_MAX_QUEUE);
    set_default(&config->max_clients, DEFAULT_MAX_CLIENTS);
    set_default(&config->client_expiry, DEFAULT_CLIENT_EXPIRY);
    set_default(&config->device_expiry, DEFAULT_DEVICE_EXPIRY);
    set_default(&config->max_devices, DEFAULT_MAX_DEVICES);
    set_default(&config->overflow, CSQ_OVERFLOW_REJECT);
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons);
    config->blocking_shared = threads == 1;
    workers = config->blocking_shared ? daemons : threads;
    set_default(&config->blocking_polls, workers < 4 ? 1 : workers / 4);
    set_default(&config->max_parked, parked_by_descriptors(threads));
    set_default(&config->max_event_threads, DEFAULT_EVENT_THREADS);
    set_default(&config->shortcuts, 1);
}

static int shorter_base_first(const void *left, const void *right)
{
    const cs_base *a = left, *b = right;

    return a->len < b->len ? -1 : a->len > b->len;
}

/* Sections are merged in their order, not in that of their length, so every
 * plain Location with a handler is a candidate; at request time the shortest
 * that matches and sets the handler in question is the outermost.           */
static apr_array_header_t *find_bases(apr_pool_t *p, server_rec *s)
{
    core_server_config *core = ap_get_core_module_config(s->module_config);
    apr_array_header_t *bases = apr_array_make(p, 4, sizeof(cs_base));
    ap_conf_vector_t **sections = (ap_conf_vector_t **)core->sec_url->elts;
    int i;

    for (i = 0; i < core->sec_url->nelts; i++) {
        core_dir_config *section = ap_get_core_module_config(sections[i]);
        cs_base *base;

        if (!section->expr_handler || section->r || section->d_is_fnmatch
            || !section->d || *section->d != '/')
            continue;
        base = apr_array_push(bases);
        base->path = section->d;
        base->len = strlen(section->d);
        base->handler = section->expr_handler;
        while (base->len && base->path[base->len - 1] == '/')
            base->len--;
    }
    qsort(bases->elts, (size_t)bases->nelts, sizeof(cs_base), shorter_base_first);
    return bases;
}

/* A virtual host's section in the tree of directives is known by its place. */
static int is_section_of(const ap_directive_t *node, const server_rec *s)
{
    return s->defn_name && node->line_num == (int)s->defn_line_number
           && !strcmp(node->filename, s->defn_name);
}

static int is_virtual_host(const ap_directive_t *node)
{
    return !ap_cstr_casecmp(node->directive, "<VirtualHost");
}

/* What is said outside of virtual hosts. */
static void collect_read_times(const ap_directive_t *node, cs_read_times *times)
{
    for (; node; node = node->next) {
        if (!ap_cstr_casecmp(node->directive, "RequestReadTimeout"))
            cs_read_times_parse(times, node->args);
        else if (node->first_child && !is_virtual_host(node))
            collect_read_times(node->first_child, times);
    }
}

/* What its own section says counts more, wherever that stands. */
static void collect_own_read_times(const ap_directive_t *node, const server_rec *s,
                                   cs_read_times *times)
{
    for (; node; node = node->next) {
        if (node->first_child && !is_virtual_host(node))
            collect_own_read_times(node->first_child, s, times);
        else if (node->first_child && is_section_of(node, s))
            collect_read_times(node->first_child, times);
    }
}

/* mod_reqtimeout does not tell how it is configured.                        */
static void find_read_times(const server_rec *s, cs_read_times *times)
{
    memset(times, 0, sizeof(*times));
    if (!ap_find_linked_module("mod_reqtimeout.c"))
        return;
    cs_read_times_init(times);
    collect_read_times(ap_conftree, times);
    collect_own_read_times(ap_conftree, s, times);
}

static const char *default_realm(apr_pool_t *p, server_rec *s)
{
    char *realm;

    if (!s->server_hostname)
        return "localhost";
    realm = apr_pstrdup(p, s->server_hostname);
    ap_str_tolower(realm);
    return realm;
}

static int resolve_host(apr_pool_t *p, server_rec *s)
{
    cs_config_server *config = cs_config_server_get(s);

    resolve_numbers(config);
    config->bases = find_bases(p, s);
    find_read_times(s, &config->read_times);
    if (config->realm)
        return OK;
    config->realm = default_realm(p, s);
    if (csq_client_check(config->realm, strlen(config->realm)) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     "CS0001: ServerName '%s' cannot be a realm: give " CS_REALM,
                     config->realm);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}

/* httpd gives the struct of the main server itself to a virtual host that has
 * none of our directives; but each has a name and bases of its own.         */
static void own_config(apr_pool_t *p, server_rec *s, const cs_config_server *main_config)
{
    if (cs_config_server_get(s) == main_config) {
        ap_set_module_config(s->module_config, &commserver_module,
                             apr_pmemdup(p, main_config, sizeof(*main_config)));
    }
}

int cs_config_resolve(apr_pool_t *p, server_rec *main_server)
{
    server_rec *s;
    int result;

    for (s = main_server->next; s; s = s->next)
        own_config(p, s, cs_config_server_get(main_server));
    for (s = main_server; s; s = s->next) {
        result = resolve_host(p, s);
        if (result != OK)
            return result;
    }
    return OK;
}

/* ---- reading ----------------------------------------------------------- */

cs_config_server *cs_config_server_get(server_rec *s)
{
    return ap_get_module_config(s->module_config, &commserver_module);
}

cs_config_dir *cs_config_dir_get(request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &commserver_module);
}

cs_config_dir *cs_config_dir_default(server_rec *s)
{
    return ap_get_module_config(s->lookup_defaults, &commserver_module);
}

apr_int64_t cs_config_max_ttl(const cs_config_dir *dir)
{
    return dir->max_ttl == CS_CONFIG_UNSET ? DEFAULT_MAX_TTL : dir->max_ttl;
}

apr_int64_t cs_config_ttl(const cs_config_dir *dir)
{
    apr_int64_t value = dir->ttl == CS_CONFIG_UNSET ? DEFAULT_TTL : dir->ttl;
    apr_int64_t longest = cs_config_max_ttl(dir);

    return value < longest ? value : longest;
}

apr_int64_t cs_config_idempotency_window(const cs_config_dir *dir)
{
    return dir->idempotency_window == CS_CONFIG_UNSET ? DEFAULT_IDEMPOTENCY
                                                      : dir->idempotency_window;
}

apr_int64_t cs_config_max_wait(const cs_config_dir *dir)
{
    return dir->max_wait == CS_CONFIG_UNSET ? DEFAULT_MAX_WAIT : dir->max_wait;
}

apr_int64_t cs_config_max_stream(const cs_config_dir *dir)
{
    return dir->max_stream == CS_CONFIG_UNSET ? DEFAULT_MAX_STREAM : dir->max_stream;
}

apr_size_t cs_config_max_batch(const cs_config_dir *dir)
{
    return (apr_size_t)(dir->max_batch == CS_CONFIG_UNSET ? DEFAULT_MAX_BATCH
                                                          : dir->max_batch);
}

void cs_config_limits(server_rec *main_server, csq_limits *out_limits)
{
    const cs_config_server *config = cs_config_server_get(main_server);
    const cs_config_dir *dir = cs_config_dir_default(main_server);

    memset(out_limits, 0, sizeof(*out_limits));
    out_limits->max_queue_bytes = (apr_uint64_t)config->max_queue_bytes;
    out_limits->max_message = (apr_uint32_t)config->max_message;
    out_limits->max_queue = (apr_uint32_t)config->max_queue;
    out_limits->max_clients = (apr_uint32_t)config->max_clients;
    out_limits->default_ttl = (apr_uint32_t)cs_config_ttl(dir);
    out_limits->max_ttl = (apr_uint32_t)cs_config_max_ttl(dir);
    out_limits->client_expiry = (apr_uint32_t)config->client_expiry;
    out_limits->device_expiry = (apr_uint32_t)config->device_expiry;
    out_limits->max_devices = (apr_uint32_t)config->max_devices;
    out_limits->overflow = (csq_overflow)config->overflow;
}

/* ---- which handler, and what of the path is its ------------------------ */

cs_kind cs_handler_kind_of(const char *name)
{
    if (!name || strncmp(name, CS_HANDLER_PREFIX, sizeof(CS_HANDLER_PREFIX) - 1))
        return CS_KIND_NONE;
    if (!strcmp(name, CS_HANDLER_PUBLISH))
        return CS_KIND_PUBLISH;
    if (!strcmp(name, CS_HANDLER_POLL))
        return CS_KIND_POLL;
    if (!strcmp(name, CS_HANDLER_STATUS))
        return CS_KIND_STATUS;
    return CS_KIND_NONE;
}

/* Of a constant, which it nearly always is, this costs nothing.             */
static cs_kind evaluate_kind(request_rec *r, const ap_expr_info_t *handler)
{
    const char *error = NULL;
    const char *name = ap_expr_str_exec(r, handler, &error);

    return error ? CS_KIND_NONE : cs_handler_kind_of(name);
}

cs_kind cs_handler_kind(request_rec *r)
{
    core_dir_config *core;

    if (r->handler)
        return cs_handler_kind_of(r->handler);
    core = ap_get_core_module_config(r->per_dir_config);
    return core->expr_handler ? evaluate_kind(r, core->expr_handler)
                              : cs_handler_kind_of(core->handler);
}

int cs_handler_is_ours(request_rec *r)
{
    return cs_handler_kind(r) != CS_KIND_NONE;
}

static int path_begins_with(const char *path, const char *base, apr_size_t len)
{
    return !strncmp(path, base, len) && (path[len] == '/' || path[len] == '\0');
}

int cs_config_may_be_ours(request_rec *r)
{
    const apr_array_header_t *bases = cs_config_server_get(r->server)->bases;
    const char *path = r->parsed_uri.path;
    int i;

    if (!path || strchr(path, '%') || strstr(path, "//") || strstr(path, "/."))
        return 1;
    for (i = 0; i < bases->nelts; i++) {
        const cs_base *base = &APR_ARRAY_IDX(bases, i, cs_base);

        if (path_begins_with(path, base->path, base->len))
            return 1;
    }
    return 0;
}

const char *cs_config_path_info(request_rec *r, cs_kind kind)
{
    const cs_config_dir *dir = cs_config_dir_get(r);
    const apr_array_header_t *bases = cs_config_server_get(r->server)->bases;
    int i;

    if (dir->base) {
        apr_size_t len = strlen(dir->base);

        return path_begins_with(r->uri, dir->base, len) ? r->uri + len : NULL;
    }
    for (i = 0; i < bases->nelts; i++) {
        const cs_base *base = &APR_ARRAY_IDX(bases, i, cs_base);

        if (path_begins_with(r->uri, base->path, base->len)
            && evaluate_kind(r, base->handler) == kind)
            return r->uri + base->len;
    }
    return NULL;
}
