/* SPDX-License-Identifier: Apache-2.0
 * cc_apps.c - what is known of each application: who takes its messages, how
 * many wait, and what they take of the inbox.
 *
 * An application is known by its section, by a subscription now or ever, by
 * messages in the inbox or on the dead list.
 */
#include "cc_compat.h"
#include "cc_dispatch_private.h"

#include <stdlib.h>
#include <string.h>

typedef struct gathering {
    cc_app_info *list; /* names are owned                                   */
    size_t count;
    size_t room;
} gathering;

/* One more entry, which says a part of what is known. */
static cc_app_info *add_info(gathering *g, const char *name)
{
    cc_app_info *info;

    if (g->count == g->room) {
        g->room = g->room ? g->room * 2 : 32;
        g->list = cc_realloc(g->list, g->room * sizeof(*g->list));
    }
    info = &g->list[g->count++];
    memset(info, 0, sizeof(*info));
    info->name = cc_copy(name);
    return info;
}

static void add_name(void *baton, const char *name)
{
    if (cc_name_check(name, strlen(name), CC_APP_MAX) == CC_OK)
        add_info(baton, name);
}

static void add_usage(void *baton, const cc_app_usage *usage)
{
    cc_app_info *info = add_info(baton, usage->app);

    info->waiting = usage->messages;
    info->bytes = usage->bytes;
}

static void add_dead(void *baton, const char *app, int64_t count)
{
    if (cc_name_check(app, strlen(app), CC_APP_MAX) == CC_OK)
        add_info(baton, app)->dead = count;
}

static void add_app(gathering *g, const cc_app *app)
{
    cc_app_info *info = add_info(g, app->name);
    const cc_subscription *s;

    TAILQ_FOREACH(s, &app->takers, of_app)
    {
        info->subscribers++;
        info->unacknowledged += s->count;
    }
    TAILQ_FOREACH(s, &app->watchers, of_app)
    info->watchers++;
}

static int compare(const void *a, const void *b)
{
    const cc_app_info *one = a, *two = b;

    return strcmp(one->name, two->name);
}

static void add_up(cc_app_info *sum, const cc_app_info *part)
{
    sum->subscribers += part->subscribers;
    sum->watchers += part->watchers;
    sum->waiting += part->waiting;
    sum->unacknowledged += part->unacknowledged;
    sum->dead += part->dead;
    sum->bytes += part->bytes;
    free((char *)part->name);
}

/* One entry for each application, in their order. What was given is a part of
 * what is in the inbox. */
static void sort_and_merge(gathering *g)
{
    size_t from, to = 0;

    if (g->count == 0)
        return;
    qsort(g->list, g->count, sizeof(*g->list), compare);
    for (from = 1; from < g->count; from++) {
        if (strcmp(g->list[to].name, g->list[from].name) == 0)
            add_up(&g->list[to], &g->list[from]);
        else
            g->list[++to] = g->list[from];
    }
    g->count = to + 1;
    for (to = 0; to < g->count; to++) {
        cc_app_info *info = &g->list[to];

        info->waiting -= info->unacknowledged;
        if (info->waiting < 0)
            info->waiting = 0;
    }
}

static void gather(cc_dispatch *d, gathering *g)
{
    const cc_app *app;
    size_t i;

    for (i = 0; i < d->config->app_count; i++)
        add_name(g, d->config->apps[i].name);
    cc_inbox_app_names(d->inbox, add_name, g);
    cc_inbox_apps(d->inbox, add_usage, g);
    cc_inbox_dead_apps(d->inbox, add_dead, g);
    for (i = 0; i < CC_APP_BUCKETS; i++) {
        for (app = d->apps[i]; app != NULL; app = app->next)
            add_app(g, app);
    }
}

void cc_dispatch_apps(cc_dispatch *d, void (*each)(void *baton, const cc_app_info *info),
                      void *baton)
{
    gathering g = { NULL, 0, 0 };
    size_t i;

    gather(d, &g);
    sort_and_merge(&g);
    for (i = 0; i < g.count; i++) {
        g.list[i].quota = cc_config_quota(d->config, g.list[i].name);
        each(baton, &g.list[i]);
        free((char *)g.list[i].name);
    }
    free(g.list);
}
