/* SPDX-License-Identifier: Apache-2.0
 * cc_quota.c - an application that takes less than it gets loses its oldest
 * messages, and is told so by a gap.
 *
 * What was given and is not settled stays: the application is at it. So does
 * what has just come, that a quota may be exceeded by one answer of a server.
 */
#include "cc_compat.h"
#include "cc_dispatch_private.h"
#include "cc_log.h"

#include <stdlib.h>
#include <string.h>

/* A message that goes, if the transaction is committed. */
struct cc_shed {
    int64_t seq;
    char app[CC_APP_MAX + 1];
    char id[CC_ID_MAX + 1];
    char server[CC_SERVER_MAX + 1];
};

/* An application over its quota: said so. */
struct cc_overflow {
    struct cc_overflow *next;
    int64_t dropped;
    char app[CC_APP_MAX + 1];
};

typedef struct choosing {
    cc_dispatch *d;
    const char *app;
} choosing;

static int choose(void *baton, const cc_stored *stored)
{
    const choosing *c = baton;
    cc_dispatch *d = c->d;
    const cc_message *message = cc_queue_find_seq(d, c->app, stored->id, stored->seq);
    struct cc_shed *one;

    if (message != NULL && message->owner != NULL)
        return 0;
    if (d->shed_count == d->shed_room) {
        d->shed_room = d->shed_room ? d->shed_room * 2 : 64;
        d->shed = cc_realloc(d->shed, d->shed_room * sizeof(*d->shed));
    }
    one = &d->shed[d->shed_count++];
    one->seq = stored->seq;
    strcpy(one->app, c->app);
    strcpy(one->id, stored->id);
    strcpy(one->server, stored->server);
    return 1;
}

/* One gap for each server, counted. */
static cc_status add_gaps(cc_dispatch *d, size_t from)
{
    cc_status status = CC_OK;
    size_t to;

    for (; from < d->shed_count && status == CC_OK; from = to) {
        const struct cc_shed *first = &d->shed[from];

        for (to = from + 1; to < d->shed_count; to++) {
            if (strcmp(d->shed[to].server, first->server) != 0)
                break;
        }
        status =
            cc_inbox_gap_add(d->inbox, first->server, first->app, (int64_t)(to - from));
    }
    return status;
}

cc_status cc_quota_enforce(cc_dispatch *d, const char *app)
{
    int64_t quota = cc_config_quota(d->config, app);
    choosing c = { d, app };
    size_t from = d->shed_count;
    cc_app_usage usage;
    cc_status status;

    cc_inbox_app_usage(d->inbox, app, &usage);
    if (usage.bytes <= quota)
        return CC_OK;
    status = cc_inbox_shed(d->inbox, app, quota, choose, &c);
    return status == CC_OK ? add_gaps(d, from) : status;
}

/* ---- after the commit -------------------------------------------------- */

static void say_overflow(cc_dispatch *d, const char *app)
{
    cc_log(CC_LOG_WARNING,
           "app '%s' holds more than its quota of %lld bytes: its oldest messages are"
           " dropped, and it is told of the gap",
           app, (long long)cc_config_quota(d->config, app));
}

static struct cc_overflow *get_overflow(cc_dispatch *d, const char *app)
{
    struct cc_overflow *o = d->overflows;

    while (o != NULL && strcmp(o->app, app) != 0)
        o = o->next;
    if (o != NULL)
        return o;
    o = cc_alloc(sizeof(*o));
    strcpy(o->app, app);
    o->next = d->overflows;
    d->overflows = o;
    say_overflow(d, app);
    return o;
}

static void forget_message(cc_dispatch *d, const struct cc_shed *one)
{
    cc_message *message = cc_queue_find_seq(d, one->app, one->id, one->seq);

    if (message != NULL)
        cc_queue_drop(d, message);
}

static void tell_app(cc_dispatch *d, const char *name)
{
    cc_app *app = cc_queue_find_app(d, name, strlen(name));

    if (app != NULL && !TAILQ_EMPTY(&app->takers))
        cc_queue_read_gaps(d, app);
}

void cc_quota_end(cc_dispatch *d, cc_status status)
{
    struct cc_overflow *overflow = NULL;
    size_t i;

    for (i = 0; i < d->shed_count && status == CC_OK; i++) {
        const struct cc_shed *one = &d->shed[i];

        forget_message(d, one);
        if (overflow == NULL || strcmp(overflow->app, one->app) != 0) {
            overflow = get_overflow(d, one->app);
            tell_app(d, one->app);
        }
        overflow->dropped++;
    }
    d->shed_count = 0;
}

/* Well below the quota, so that an application at its edge is not spoken of
 * again and again. */
static int is_over(const cc_dispatch *d, const struct cc_overflow *overflow)
{
    int64_t quota = cc_config_quota(d->config, overflow->app);
    cc_app_usage usage;

    cc_inbox_app_usage(d->inbox, overflow->app, &usage);
    return usage.bytes > quota - quota / 4;
}

void cc_quota_look(cc_dispatch *d)
{
    struct cc_overflow **place = &d->overflows, *overflow;

    while ((overflow = *place) != NULL) {
        if (is_over(d, overflow)) {
            place = &overflow->next;
            continue;
        }
        cc_log(CC_LOG_NOTICE, "app '%s' is within its quota again, %lld messages dropped",
               overflow->app, (long long)overflow->dropped);
        *place = overflow->next;
        free(overflow);
    }
}

void cc_quota_clear(cc_dispatch *d)
{
    struct cc_overflow *overflow;

    while ((overflow = d->overflows) != NULL) {
        d->overflows = overflow->next;
        free(overflow);
    }
    free(d->shed);
}
