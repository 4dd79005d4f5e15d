/* SPDX-License-Identifier: Apache-2.0
 * cc_agent.c - all parts of a running agent, wired together.
 *
 * One thread, one event loop. Order of making: inbox, dispatch, socket,
 * pollers; the reverse when it ends, so that acknowledgements which came in
 * last are committed and answered.
 */
#include "cc_compat.h"
#include "cc_agent.h"
#include "cc_credentials.h"
#include "cc_dispatch.h"
#include "cc_inbox.h"
#include "cc_local.h"
#include "cc_log.h"
#include "cc_notify.h"
#include "cc_paths.h"
#include "cc_poller.h"
#include "cc_time.h"
#include "cc_transport.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#define HEALTH_STEP 1 /* s between two looks whether the inbox is sound     */

struct cc_agent {
    const cc_config *config;
    struct event_base *base;
    cc_inbox *inbox;
    cc_dispatch *dispatch;
    cc_local *local;
    cc_transport *transport;
    cc_poller **pollers;
    struct event *terminate;
    struct event *interrupt;
    struct event *health;
    int64_t started; /* ms since 1970                                    */
};

/* ---- status ---------------------------------------------------------- */

typedef struct list {
    cc_buffer *out;
    int any;
} list;

static void write_app(void *baton, const cc_app_info *info)
{
    list *apps = baton;

    cc_buffer_add_text(apps->out, apps->any++ ? ",{\"name\":" : "{\"name\":");
    cc_buffer_add_json_text(apps->out, info->name);
    cc_buffer_format(apps->out,
                     ",\"subscribers\":%u,\"watchers\":%u,\"waiting\":%lld,"
                     "\"unacknowledged\":%lld}",
                     info->subscribers, info->watchers, (long long)info->waiting,
                     (long long)info->unacknowledged);
}

static void write_inbox(const cc_agent *agent, cc_buffer *out)
{
    cc_inbox_usage usage;

    cc_inbox_usage_get(agent->inbox, &usage);
    cc_buffer_add_text(out, ",\"inbox\":{\"path\":");
    cc_buffer_add_json_text(out, agent->config->inbox);
    cc_buffer_format(out, ",\"messages\":%lld,\"bytes\":%lld,\"max\":%lld,\"dead\":%lld}",
                     (long long)usage.messages, (long long)usage.bytes,
                     (long long)agent->config->inbox_max, (long long)usage.dead);
}

static void write_status(void *baton, cc_buffer *out)
{
    cc_agent *agent = baton;
    list apps = { out, 0 };
    char since[CC_TIME_TEXT];
    size_t i;

    cc_time_format(agent->started, since);
    cc_buffer_format(out,
                     "{\"version\":\"%s\",\"process\":%ld,\"since\":\"%s\","
                     "\"connections\":%u",
                     PACKAGE_VERSION, (long)getpid(), since,
                     cc_local_count(agent->local));
    write_inbox(agent, out);
    cc_buffer_add_text(out, ",\"servers\":[");
    for (i = 0; i < agent->config->server_count; i++) {
        if (i > 0)
            cc_buffer_add_text(out, ",");
        cc_poller_write_status(agent->pollers[i], out);
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
    cc_notify("STOPPING=1");
    event_base_loopbreak(agent->base);
}

static void on_health(evutil_socket_t descriptor, short what, void *baton)
{
    cc_agent *agent = baton;
    struct timeval step = { HEALTH_STEP, 0 };

    (void)descriptor;
    (void)what;
    if (cc_dispatch_is_damaged(agent->dispatch)) {
        cc_log(CC_LOG_ERROR, "stopping: the inbox is damaged; the next start sets it"
                             " aside");
        event_base_loopbreak(agent->base);
        return;
    }
    event_add(agent->health, &step);
}

/* ---- life ------------------------------------------------------------ */

static cc_status check_credentials(const cc_config *config, char **out_error)
{
    size_t i;

    for (i = 0; i < config->server_count; i++) {
        if (cc_credentials_check(&config->servers[i], out_error) != CC_OK)
            return CC_BAD_CONFIG;
    }
    return CC_OK;
}

static int is_here(const char *host)
{
    return strncmp(host, "localhost", 9) == 0 || strncmp(host, "127.", 4) == 0
           || strncmp(host, "[::1]", 5) == 0;
}

/* Allowed, as a proxy in between may encrypt; but rarely meant. */
static void warn_of_plain_secrets(const cc_config *config)
{
    size_t i;

    for (i = 0; i < config->server_count; i++) {
        const cc_server_config *server = &config->servers[i];

        if ((server->password_file != NULL || server->token_file != NULL)
            && strncasecmp(server->url, "http://", 7) == 0 && !is_here(server->url + 7))
            cc_log(CC_LOG_WARNING,
                   "[server %s]: the password or token goes over the"
                   " network unencrypted, https:// would protect it",
                   server->name);
    }
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

static cc_status make_pollers(cc_agent *agent, char **out_error)
{
    const cc_config *config = agent->config;
    size_t i;

    agent->transport = cc_transport_create(agent->base, (size_t)config->max_message);
    if (agent->transport == NULL) {
        *out_error = cc_copy("libcurl cannot be used");
        return CC_SYSTEM;
    }
    agent->pollers = cc_alloc(config->server_count * sizeof(*agent->pollers));
    for (i = 0; i < config->server_count; i++)
        agent->pollers[i] = cc_poller_create(&config->servers[i], agent->transport,
                                             agent->dispatch, agent->base);
    return CC_OK;
}

static void watch_signals(cc_agent *agent)
{
    signal(SIGPIPE, SIG_IGN);
    agent->terminate = evsignal_new(agent->base, SIGTERM, on_signal, agent);
    agent->interrupt = evsignal_new(agent->base, SIGINT, on_signal, agent);
    agent->health = evtimer_new(agent->base, on_health, agent);
    event_add(agent->terminate, NULL);
    event_add(agent->interrupt, NULL);
}

cc_status cc_agent_create(const cc_config *config, cc_agent **out_agent, char **out_error)
{
    cc_agent *agent;
    cc_status status;

    *out_error = NULL;
    umask(077);
    status = check_credentials(config, out_error);
    if (status != CC_OK)
        return status;
    warn_of_plain_secrets(config);
    agent = cc_alloc(sizeof(*agent));
    agent->config = config;
    agent->started = cc_time_now();
    agent->base = event_base_new();
    watch_signals(agent);
    status = open_inbox(agent, out_error);
    if (status == CC_OK) {
        agent->dispatch = cc_dispatch_create(config, agent->inbox, agent->base);
        status = cc_local_open(config->socket, agent->base, agent->dispatch, write_status,
                               agent, &agent->local, out_error);
    }
    if (status == CC_OK)
        status = make_pollers(agent, out_error);
    if (status != CC_OK) {
        cc_agent_destroy(agent);
        return status;
    }
    on_health(-1, 0, agent);
    *out_agent = agent;
    return CC_OK;
}

cc_status cc_agent_run(cc_agent *agent)
{
    cc_log(CC_LOG_NOTICE, "ready on socket '%s'", agent->config->socket);
    cc_notify("READY=1");
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
    size_t i;

    if (agent == NULL)
        return;
    for (i = 0; agent->pollers != NULL && i < agent->config->server_count; i++)
        cc_poller_destroy(agent->pollers[i]);
    free(agent->pollers);
    cc_transport_destroy(agent->transport);
    if (agent->dispatch != NULL)
        cc_dispatch_commit(agent->dispatch);
    cc_local_close(agent->local);
    cc_dispatch_destroy(agent->dispatch);
    cc_inbox_close(agent->inbox);
    free_event(agent->terminate);
    free_event(agent->interrupt);
    free_event(agent->health);
    event_base_free(agent->base);
    free(agent);
}
