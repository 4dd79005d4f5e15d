/* SPDX-License-Identifier: Apache-2.0
 * cc_agent.c - all parts of a running agent, wired together.
 *
 * One thread, one event loop. Order of making: inbox, dispatch, outbox, socket,
 * programs, pollers and senders; the reverse when it ends, so that
 * acknowledgements which came in last are committed and answered.
 */
#include "cc_compat.h"
#include "cc_agent.h"
#include "cc_activation.h"
#include "cc_credentials.h"
#include "cc_dispatch.h"
#include "cc_exec.h"
#include "cc_inbox.h"
#include "cc_link.h"
#include "cc_local.h"
#include "cc_log.h"
#include "cc_loop.h"
#include "cc_outbox.h"
#include "cc_paths.h"
#include "cc_poller.h"
#include "cc_sender.h"
#include "cc_service.h"
#include "cc_time.h"
#include "cc_transport.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#define HEALTH_STEP 1   /* s between two looks whether the inbox is sound   */
#define APP_ENTRY   512 /* bytes that an application takes in the status    */

/* What works for one server. */
typedef struct server_parts {
    cc_poller *poller;
    cc_sender *sender; /* NULL: the section has no publish                 */
} server_parts;

struct cc_agent {
    const cc_config *config; /* what it goes by now                         */
    cc_config *reloaded;     /* the same, owned; NULL: never read again     */
    struct event_base *base;
    cc_inbox *inbox;
    cc_dispatch *dispatch;
    cc_exec *exec;
    cc_outbox *outbox;
    cc_local *local;
    cc_transport *transport;
    server_parts *parts; /* one for each server of the configuration        */
    struct event *terminate;
    struct event *interrupt;
    struct event *hangup;
    struct event *health;
    cc_link *link; /* NULL: the kernel does not tell                        */
    cc_wake wake;
    cc_service *service;
    int64_t started; /* ms since 1970                                    */
};

/* ---- status ---------------------------------------------------------- */

typedef struct list {
    cc_buffer *out;
    size_t room; /* no line may be longer than that                         */
    int any;
} list;

static void write_app(void *baton, const cc_app_info *info)
{
    list *apps = baton;

    if (apps->out->len + APP_ENTRY > apps->room)
        return;
    cc_buffer_add_text(apps->out, apps->any++ ? ",{\"name\":" : "{\"name\":");
    cc_buffer_add_json_text(apps->out, info->name);
    cc_buffer_format(apps->out,
                     ",\"subscribers\":%u,\"watchers\":%u,\"waiting\":%lld,"
                     "\"unacknowledged\":%lld,\"dead\":%lld,\"bytes\":%lld",
                     info->subscribers, info->watchers, (long long)info->waiting,
                     (long long)info->unacknowledged, (long long)info->dead,
                     (long long)info->bytes);
    if (info->quota != INT64_MAX)
        cc_buffer_format(apps->out, ",\"quota\":%lld", (long long)info->quota);
    cc_buffer_add_text(apps->out, "}");
}

static void write_inbox(const cc_agent *agent, cc_buffer *out)
{
    const char *trouble = cc_dispatch_trouble(agent->dispatch);
    cc_inbox_usage usage;

    cc_inbox_usage_get(agent->inbox, &usage);
    cc_buffer_add_text(out, ",\"inbox\":{\"path\":");
    cc_buffer_add_json_text(out, agent->config->inbox);
    cc_buffer_format(out, ",\"messages\":%lld,\"bytes\":%lld,\"max\":%lld,\"dead\":%lld",
                     (long long)usage.messages, (long long)usage.bytes,
                     (long long)agent->config->inbox_max, (long long)usage.dead);
    if (trouble != NULL) {
        cc_buffer_add_text(out, ",\"error\":");
        cc_buffer_add_json_text(out, trouble);
    }
    cc_buffer_add_text(out, "}");
}

static void write_spool(const cc_agent *agent, cc_buffer *out)
{
    cc_outbox_usage usage;

    cc_outbox_usage_get(agent->outbox, NULL, &usage);
    cc_buffer_format(out, ",\"spool\":{\"messages\":%lld,\"bytes\":%lld,\"max\":%lld}",
                     (long long)usage.messages, (long long)usage.bytes,
                     (long long)agent->config->spool_max);
}

static void write_server(const cc_agent *agent, size_t i, cc_buffer *out)
{
    const server_parts *parts = &agent->parts[i];

    cc_poller_write_status(parts->poller, out);
    if (parts->sender != NULL) {
        cc_buffer_add_text(out, ",\"publish\":");
        cc_sender_write_status(parts->sender, out);
    }
    cc_buffer_add_text(out, "}");
}

static void write_status(void *baton, cc_buffer *out)
{
    cc_agent *agent = baton;
    list apps = { out, cc_dispatch_max_line(agent->dispatch), 0 };
    char since[CC_TIME_TEXT];
    size_t i;

    cc_time_format(agent->started, since);
    cc_buffer_format(out,
                     "{\"version\":\"%s\",\"process\":%ld,\"since\":\"%s\","
                     "\"connections\":%u",
                     PACKAGE_VERSION, (long)getpid(), since,
                     cc_local_count(agent->local));
    write_inbox(agent, out);
    write_spool(agent, out);
    cc_buffer_add_text(out, ",\"servers\":[");
    for (i = 0; i < agent->config->server_count; i++) {
        if (i > 0)
            cc_buffer_add_text(out, ",");
        write_server(agent, i, out);
    }
    cc_buffer_add_text(out, "],\"apps\":[");
    cc_dispatch_apps(agent->dispatch, write_app, &apps);
    cc_buffer_add_text(out, "]}");
}

/* ---- events ---------------------------------------------------------- */

static void on_signal(evutil_socket_t number, short what, void *baton)
{
    cc_agent *agent = baton;

    (void)what;
    cc_log(CC_LOG_NOTICE, "stopping (%s)", strsignal((int)number));
    cc_service_stopping(agent->service);
    event_base_loopbreak(agent->base);
}

static int is_healthy(void *baton)
{
    const cc_agent *agent = baton;

    return agent->dispatch == NULL || !cc_dispatch_is_damaged(agent->dispatch);
}

static void tell_service(cc_agent *agent)
{
    size_t i, connected = 0, count = agent->config->server_count;
    char text[64];

    for (i = 0; i < count; i++)
        connected += cc_poller_state_get(agent->parts[i].poller) == CC_POLLER_CONNECTED;
    snprintf(text, sizeof(text), "connected to %zu of %zu server%s", connected, count,
             count == 1 ? "" : "s");
    cc_service_status(agent->service, text);
}

/* All connections after a sleep, those that the change concerns else. */
static void look_at_network(cc_agent *agent)
{
    cc_wake_reason reason =
        cc_wake_look(&agent->wake, cc_time_boot(), cc_time_monotonic());
    size_t i;

    for (i = 0; reason != CC_WAKE_NOTHING && i < agent->config->server_count; i++) {
        if (reason == CC_WAKE_SLEPT || cc_poller_is_moved(agent->parts[i].poller))
            cc_poller_renew(agent->parts[i].poller);
    }
}

static void on_network(void *baton)
{
    cc_agent *agent = baton;

    cc_wake_note_change(&agent->wake, cc_time_boot());
}

static void on_reports(void *baton, const char *server)
{
    cc_agent *agent = baton;
    const cc_server_config *found = cc_config_find_server(agent->config, server);
    cc_poller *poller = NULL;

    if (found != NULL && agent->parts != NULL)
        poller = agent->parts[found - agent->config->servers].poller;
    if (poller != NULL) /* one that is made anew looks by itself               */
        cc_poller_report(poller);
}

static void on_health(evutil_socket_t descriptor, short what, void *baton)
{
    cc_agent *agent = baton;
    struct timeval step = { HEALTH_STEP, 0 };

    (void)descriptor;
    (void)what;
    if (cc_dispatch_is_damaged(agent->dispatch)) {
        cc_log(CC_LOG_ERROR, "stopping: the inbox is damaged; it is set aside, and the"
                             " next start begins a new one");
        event_base_loopbreak(agent->base);
        return;
    }
    look_at_network(agent);
    tell_service(agent);
    event_add(agent->health, &step);
}

/* ---- what is checked -------------------------------------------------- */

static cc_status check_files(const cc_config *config, char **out_error)
{
    size_t i;

    for (i = 0; i < config->server_count; i++) {
        if (cc_credentials_check(&config->servers[i], out_error) != CC_OK)
            return CC_BAD_CONFIG;
    }
    return cc_exec_check(config, out_error);
}

static int is_here(const char *host)
{
    return strncmp(host, "localhost", 9) == 0 || strncmp(host, "127.", 4) == 0
           || strncmp(host, "[::1]", 5) == 0;
}

static int is_plain(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0 && !is_here(url + 7);
}

/* Allowed, as a proxy in between may encrypt; but rarely meant. */
static void warn_of_plain_secret(const cc_server_config *server)
{
    if ((server->password_file != NULL || server->token_file != NULL
         || server->netrc != NULL)
        && (is_plain(server->url)
            || (server->publish != NULL && is_plain(server->publish))))
        cc_log(CC_LOG_WARNING,
               "[server %s]: the password or token goes over the network unencrypted,"
               " https:// would protect it",
               server->name);
}

/* ---- servers --------------------------------------------------------- */

static void make_parts(cc_agent *agent, const cc_server_config *server,
                       server_parts *parts)
{
    warn_of_plain_secret(server);
    parts->poller =
        cc_poller_create(server, agent->transport, agent->dispatch, agent->base);
    if (server->publish != NULL)
        parts->sender =
            cc_sender_create(server, agent->transport, agent->outbox, agent->base);
}

static void destroy_parts(server_parts *parts, size_t count)
{
    size_t i;

    for (i = 0; parts != NULL && i < count; i++) {
        cc_poller_destroy(parts[i].poller);
        cc_sender_destroy(parts[i].sender);
    }
    free(parts);
}

/* ---- reading the configuration again --------------------------------- */

/* Returns 1 when the file names another path than the one in use. */
static int keep_path(char **path, const char *used, int given)
{
    int differs = !given && strcmp(*path, used) != 0;

    free(*path);
    *path = cc_copy(used);
    return differs;
}

/* Applications know the socket and the longest line, the inbox is open. */
static void keep_for_life(const cc_config *used, cc_config *fresh)
{
    int differs = keep_path(&fresh->socket, used->socket, used->socket_given);

    differs |= keep_path(&fresh->inbox, used->inbox, used->inbox_given);
    differs |= fresh->max_message != used->max_message;
    fresh->socket_given = used->socket_given;
    fresh->inbox_given = used->inbox_given;
    fresh->max_message = used->max_message;
    if (differs)
        cc_log(CC_LOG_WARNING, "socket, inbox and max_message stay as they are until a"
                               " restart");
}

/* What became of the servers, for the log. */
typedef struct turnover {
    size_t unchanged;
    size_t changed;
} turnover;

/* Move the parts of servers that are as before. */
static turnover keep_parts(cc_agent *agent, const cc_config *fresh, server_parts *parts)
{
    const cc_config *used = agent->config;
    const cc_server_config *before;
    turnover result = { 0, 0 };
    size_t i;

    for (i = 0; i < fresh->server_count; i++) {
        before = cc_config_find_server(used, fresh->servers[i].name);
        if (before == NULL)
            continue;
        if (!cc_config_same_server(before, &fresh->servers[i])) {
            result.changed++;
            continue;
        }
        parts[i] = agent->parts[before - used->servers];
        memset(&agent->parts[before - used->servers], 0, sizeof(*parts));
        cc_poller_server_set(parts[i].poller, &fresh->servers[i]);
        if (parts[i].sender != NULL)
            cc_sender_server_set(parts[i].sender, &fresh->servers[i]);
        result.unchanged++;
    }
    return result;
}

static void say_turnover(const cc_config *former, const cc_config *fresh, turnover result)
{
    size_t stayed = result.unchanged + result.changed;

    cc_log(CC_LOG_NOTICE,
           "configuration '%s' is read again: servers: %zu unchanged, %zu changed,"
           " %zu new, %zu removed",
           fresh->file, result.unchanged, result.changed, fresh->server_count - stayed,
           former->server_count - stayed);
}

/* The former pollers end before new ones begin: they may use one device name. */
static void change_config(cc_agent *agent, cc_config *fresh)
{
    server_parts *parts = cc_alloc(fresh->server_count * sizeof(*parts));
    size_t i;

    say_turnover(agent->config, fresh, keep_parts(agent, fresh, parts));
    destroy_parts(agent->parts, agent->config->server_count);
    agent->parts = parts;
    agent->config = fresh;
    cc_dispatch_config_set(agent->dispatch, fresh);
    cc_exec_config_set(agent->exec, fresh);
    cc_outbox_config_set(agent->outbox, fresh);
    cc_local_config_set(agent->local, fresh);
    for (i = 0; i < fresh->server_count; i++) {
        if (parts[i].poller == NULL)
            make_parts(agent, &fresh->servers[i], &parts[i]);
    }
    cc_config_destroy(agent->reloaded);
    agent->reloaded = fresh;
}

static void reload(cc_agent *agent)
{
    cc_config *fresh = NULL;
    char *error = NULL;
    cc_status status = cc_config_read(agent->config->file, &fresh, &error);

    if (status == CC_OK)
        status = check_files(fresh, &error);
    if (status == CC_OK) {
        keep_for_life(agent->config, fresh);
        change_config(agent, fresh);
        return;
    }
    cc_log(CC_LOG_ERROR, "configuration stays as it was: %s", error);
    free(error);
    cc_config_destroy(fresh);
}

static void on_hangup(evutil_socket_t number, short what, void *baton)
{
    cc_agent *agent = baton;

    (void)number;
    (void)what;
    cc_service_reloading(agent->service);
    reload(agent);
    cc_service_ready(agent->service);
}

/* ---- life ------------------------------------------------------------ */

/* A file that is as large as it may be (RLIMIT_FSIZE) is a disk that is full. */
static void prepare_process(void)
{
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    umask(077);
}

/* Started without stdin, stdout or stderr, the inbox would be one of them. */
static void fill_standard_descriptors(void)
{
    int descriptor;

    do
        descriptor = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (descriptor >= 0 && descriptor <= STDERR_FILENO);
    if (descriptor >= 0)
        close(descriptor);
}

static cc_status open_inbox(cc_agent *agent, char **out_error)
{
    cc_buffer text = { NULL, 0, 0 };

    if (cc_paths_make_parent(agent->config->inbox) != CC_OK) {
        cc_buffer_format(&text, "inbox '%s' cannot have its directory made: %s",
                         agent->config->inbox, strerror(errno));
        *out_error = text.data;
        return CC_SYSTEM;
    }
    return cc_inbox_open(agent->config->inbox, cc_time_now(), &agent->inbox, out_error);
}

static cc_status open_outbox(cc_agent *agent, char **out_error)
{
    cc_status status = cc_outbox_create(agent->config, agent->inbox, agent->dispatch,
                                        agent->base, &agent->outbox);

    if (status != CC_OK)
        *out_error = cc_copy(cc_inbox_error(agent->inbox));
    return status;
}

/* Made by a service manager, or here. */
static cc_status open_local(cc_agent *agent, char **out_error)
{
    const char *path = agent->config->socket;
    char *passed_path;
    int passed;
    cc_status status = cc_activation_take(&passed, &passed_path, out_error);

    if (status != CC_OK && status != CC_EMPTY)
        return status;
    if (passed_path != NULL && strcmp(passed_path, path) != 0)
        cc_log(CC_LOG_WARNING,
               "the service manager made the socket at '%s', the configuration says '%s':"
               " only the former is there",
               passed_path, path);
    status = cc_local_open(passed_path != NULL ? passed_path : path, passed, agent->base,
                           agent->config, agent->dispatch, agent->outbox, write_status,
                           agent, &agent->local, out_error);
    free(passed_path);
    return status;
}

static cc_status connect_servers(cc_agent *agent, char **out_error)
{
    const cc_config *config = agent->config;
    size_t i;

    agent->transport = cc_transport_create(agent->base, (size_t)config->max_message);
    if (agent->transport == NULL) {
        *out_error = cc_copy("libcurl cannot be used");
        return CC_SYSTEM;
    }
    agent->parts = cc_alloc(config->server_count * sizeof(*agent->parts));
    for (i = 0; i < config->server_count; i++)
        make_parts(agent, &config->servers[i], &agent->parts[i]);
    return CC_OK;
}

static void watch_network(cc_agent *agent)
{
    cc_wake_init(&agent->wake, cc_time_boot(), cc_time_monotonic());
    agent->link = cc_link_open(agent->base, on_network, agent);
    if (agent->link == NULL)
        cc_log(CC_LOG_WARNING,
               "changes of the network are not noticed before a time-out: %s",
               strerror(errno));
}

static void watch_signals(cc_agent *agent)
{
    agent->terminate = evsignal_new(agent->base, SIGTERM, on_signal, agent);
    agent->interrupt = evsignal_new(agent->base, SIGINT, on_signal, agent);
    agent->hangup = evsignal_new(agent->base, SIGHUP, on_hangup, agent);
    agent->health = evtimer_new(agent->base, on_health, agent);
    event_add(agent->terminate, NULL);
    event_add(agent->interrupt, NULL);
    event_add(agent->hangup, NULL);
}

cc_status cc_agent_create(const cc_config *config, cc_agent **out_agent, char **out_error)
{
    struct event_base *base;
    cc_agent *agent;
    cc_status status;

    *out_error = NULL;
    fill_standard_descriptors();
    prepare_process();
    status = check_files(config, out_error);
    if (status != CC_OK)
        return status;
    base = cc_loop_create();
    if (base == NULL)
        return CC_SYSTEM;
    agent = cc_alloc(sizeof(*agent));
    agent->config = config;
    agent->started = cc_time_now();
    agent->base = base;
    watch_signals(agent);
    watch_network(agent);
    agent->service = cc_service_create(agent->base, is_healthy, agent);
    status = open_inbox(agent, out_error);
    if (status == CC_OK) {
        agent->dispatch = cc_dispatch_create(config, agent->inbox, agent->base);
        cc_dispatch_report_call_set(agent->dispatch, on_reports, agent);
        status = open_outbox(agent, out_error);
    }
    if (status == CC_OK)
        status = open_local(agent, out_error);
    if (status == CC_OK) {
        agent->exec = cc_exec_create(config, agent->dispatch, agent->base);
        status = connect_servers(agent, out_error);
    }
    if (status != CC_OK) {
        cc_agent_destroy(agent);
        return status;
    }
    *out_agent = agent;
    return CC_OK;
}

cc_status cc_agent_run(cc_agent *agent)
{
    cc_log(CC_LOG_NOTICE, "ready on socket '%s'", agent->config->socket);
    cc_service_ready(agent->service);
    on_health(-1, 0, agent);
    event_base_dispatch(agent->base);
    return cc_dispatch_is_damaged(agent->dispatch) ? CC_DAMAGED : CC_OK;
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

void cc_agent_destroy(cc_agent *agent)
{
    if (agent == NULL)
        return;
    if (agent->exec != NULL)
        cc_exec_stop(agent->exec); /* the loop runs, so all must be there       */
    destroy_parts(agent->parts, agent->config->server_count);
    agent->parts = NULL;
    cc_transport_destroy(agent->transport);
    if (agent->dispatch != NULL)
        cc_dispatch_commit(agent->dispatch);
    cc_exec_destroy(agent->exec);
    if (agent->outbox != NULL)
        cc_outbox_commit(agent->outbox);
    cc_local_close(agent->local);
    cc_outbox_destroy(agent->outbox);
    cc_dispatch_destroy(agent->dispatch);
    cc_inbox_close(agent->inbox);
    free_event(agent->terminate);
    free_event(agent->interrupt);
    free_event(agent->hangup);
    free_event(agent->health);
    cc_link_close(agent->link);
    cc_service_destroy(agent->service);
    event_base_free(agent->base);
    cc_config_destroy(agent->reloaded);
    free(agent);
}
