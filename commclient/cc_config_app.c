/* SPDX-License-Identifier: Apache-2.0
 * cc_config_app.c - [app NAME].
 */
#include "cc_compat.h"
#include "cc_config_private.h"
#include "cc_memory.h"
#include "cc_paths.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PARALLEL_DEFAULT 1
#define TIMEOUT_DEFAULT  60
#define RETRIES_DEFAULT  5

static cc_app_config *last_app(cc_config_parser *p)
{
    return &p->config->apps[p->config->app_count - 1];
}

static cc_status set_window(cc_config_parser *p, const char *value)
{
    return cc_config_set_number(p, &last_app(p)->window, value, "window", 1,
                                CC_WINDOW_MAX);
}

static cc_status set_servers(cc_config_parser *p, const char *value)
{
    cc_app_config *app = last_app(p);
    size_t len;

    while ((len = cc_config_next_name(&value)) > 0) {
        if (cc_name_check(value, len, CC_SERVER_MAX) != CC_OK)
            return cc_config_fail(
                p, "servers holds '%.*s', which is not the name of a server", (int)len,
                value);
        app->servers =
            cc_realloc(app->servers, (app->server_count + 1) * sizeof(*app->servers));
        app->servers[app->server_count++] = cc_copy_bytes(value, len);
        value += len;
    }
    return CC_OK;
}

static cc_status set_quota(cc_config_parser *p, const char *value)
{
    if (strcmp(value, "none") == 0) {
        last_app(p)->quota = INT64_MAX;
        return CC_OK;
    }
    return cc_config_set_size(p, &last_app(p)->quota, value, "quota", CC_INBOX_MAX_MOST);
}

/* A name of the system's, or a number. */
static cc_status find_user(cc_config_parser *p, const char *name, uid_t *out_user)
{
    const struct passwd *entry;
    unsigned long long number;
    char *end;

    errno = 0;
    number = strtoull(name, &end, 10);
    if (name[0] >= '0' && name[0] <= '9' && *end == '\0') {
        if (errno != 0 || number >= (uid_t)-1)
            return cc_config_fail(p, "users holds %s, which is no number of a user",
                                  name);
        *out_user = (uid_t)number;
        return CC_OK;
    }
    entry = getpwnam(name);
    if (entry == NULL)
        return cc_config_fail(p, "users holds '%s', which is no user of this machine",
                              name);
    *out_user = entry->pw_uid;
    return CC_OK;
}

static cc_status set_users(cc_config_parser *p, const char *value)
{
    cc_app_config *app = last_app(p);
    cc_status status = CC_OK;
    uid_t user = 0;
    size_t len;
    char *name;

    while (status == CC_OK && (len = cc_config_next_name(&value)) > 0) {
        name = cc_copy_bytes(value, len);
        status = find_user(p, name, &user);
        free(name);
        app->users = cc_realloc(app->users, (app->user_count + 1) * sizeof(*app->users));
        app->users[app->user_count++] = user;
        value += len;
    }
    return status;
}

static cc_status set_exec(cc_config_parser *p, const char *value)
{
    cc_app_config *app = last_app(p);
    char *program;

    if (cc_config_split_words(value, &app->exec) != CC_OK)
        return cc_config_fail(p, "exec has a quote that is not closed, or ends with a"
                                 " backslash");
    if (app->exec[0] == NULL || app->exec[0][0] == '\0')
        return cc_config_fail(p, "exec names no program");
    program = cc_paths_resolve(app->exec[0], p->config->file);
    free(app->exec[0]);
    app->exec[0] = program;
    return CC_OK;
}

static cc_status set_parallel(cc_config_parser *p, const char *value)
{
    return cc_config_set_number(p, &last_app(p)->parallel, value, "parallel", 1,
                                CC_PARALLEL_MAX);
}

static cc_status set_timeout(cc_config_parser *p, const char *value)
{
    return cc_config_set_number(p, &last_app(p)->timeout, value, "timeout", 1,
                                CC_TIMEOUT_MAX);
}

static cc_status set_retries(cc_config_parser *p, const char *value)
{
    return cc_config_set_number(p, &last_app(p)->retries, value, "retries", 0,
                                CC_RETRIES_MAX);
}

static const cc_config_key app_keys[] = {
    { "quota", set_quota },     { "servers", set_servers }, { "window", set_window },
    { "users", set_users },     { "exec", set_exec },       { "parallel", set_parallel },
    { "timeout", set_timeout }, { "retries", set_retries }, { NULL, NULL }
};

static cc_status begin_app(cc_config_parser *p, const char *name)
{
    cc_config *config = p->config;
    cc_app_config *app;

    if (cc_config_check_section_name(p, "app", name) != CC_OK)
        return CC_BAD_CONFIG;
    if (cc_config_find_app(config, name) != NULL)
        return cc_config_fail(p, "[app %s] is given twice", name);
    config->apps =
        cc_realloc(config->apps, (config->app_count + 1) * sizeof(*config->apps));
    app = &config->apps[config->app_count++];
    memset(app, 0, sizeof(*app));
    strcpy(app->name, name);
    app->window = CC_WINDOW_DEFAULT;
    app->parallel = PARALLEL_DEFAULT;
    app->timeout = TIMEOUT_DEFAULT;
    app->retries = RETRIES_DEFAULT;
    app->line = p->line;
    return CC_OK;
}

const cc_config_section cc_config_app_section = { "app", app_keys, begin_app };

cc_status cc_config_app_check(cc_config_parser *p, const cc_app_config *app)
{
    size_t i;

    p->line = app->line;
    for (i = 0; i < app->server_count; i++) {
        if (cc_config_find_server(p->config, app->servers[i]) == NULL)
            return cc_config_fail(p, "[app %s] names server '%s', which has no section",
                                  app->name, app->servers[i]);
    }
    if (app->quota > p->config->inbox_max && app->quota != INT64_MAX)
        return cc_config_fail(p,
                              "[app %s] has a quota above inbox_max: up to that, or none,"
                              " is allowed",
                              app->name);
    if (app->exec != NULL && app->server_count == 0)
        return cc_config_fail(p,
                              "[app %s] has exec, but no servers: it must say who may"
                              " feed it",
                              app->name);
    if (app->server_count == 0 && p->config->server_count > 1)
        return cc_config_fail(p,
                              "[app %s] has no servers: where there are several, it"
                              " must say who may feed it",
                              app->name);
    return CC_OK;
}

void cc_config_app_clear(cc_app_config *app)
{
    size_t i;

    for (i = 0; i < app->server_count; i++)
        free(app->servers[i]);
    free(app->servers);
    free(app->users);
    cc_config_free_words(app->exec);
}

int64_t cc_config_quota(const cc_config *config, const char *app)
{
    const cc_app_config *found = cc_config_find_app(config, app);

    return found != NULL && found->quota > 0 ? found->quota : config->inbox_max / 2;
}

int cc_config_may_feed(const cc_config *config, const char *server, const char *app)
{
    const cc_app_config *found = cc_config_find_app(config, app);
    size_t i;

    if (found == NULL || found->server_count == 0)
        return config->server_count == 1;
    for (i = 0; i < found->server_count; i++) {
        if (strcmp(found->servers[i], server) == 0)
            return 1;
    }
    return 0;
}

int cc_config_may_control(uid_t user)
{
    return user == geteuid() || user == 0;
}

int cc_config_may_use(const cc_config *config, const char *app, uid_t user)
{
    const cc_app_config *found = cc_config_find_app(config, app);
    size_t i;

    if (cc_config_may_control(user))
        return 1;
    for (i = 0; found != NULL && i < found->user_count; i++) {
        if (found->users[i] == user)
            return 1;
    }
    return 0;
}

int cc_config_may_connect(const cc_config *config, uid_t user)
{
    size_t i;

    for (i = 0; i < config->app_count; i++) {
        if (cc_config_may_use(config, config->apps[i].name, user))
            return 1;
    }
    return cc_config_may_control(user);
}

int cc_config_has_users(const cc_config *config)
{
    size_t i;

    for (i = 0; i < config->app_count; i++) {
        if (config->apps[i].user_count > 0)
            return 1;
    }
    return 0;
}
