/* SPDX-License-Identifier: Apache-2.0
 * cc_config_app.c - [app NAME].
 */
#include "cc_compat.h"
#include "cc_config_private.h"
#include "cc_memory.h"

#include <stdlib.h>
#include <string.h>

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

static const cc_config_key app_keys[] = { { "quota", set_quota },
                                          { "servers", set_servers },
                                          { "window", set_window },
                                          { NULL, NULL } };

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
    return CC_OK;
}

void cc_config_app_clear(cc_app_config *app)
{
    size_t i;

    for (i = 0; i < app->server_count; i++)
        free(app->servers[i]);
    free(app->servers);
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
