/* SPDX-License-Identifier: Apache-2.0
 * cc_intake.c - taking over what a server has sent.
 *
 * One transaction: the new messages, the dead, the gap, the cursor, and the
 * acknowledgements collected meanwhile. When it has succeeded the messages
 * are handed on from the answer itself, not read back.
 */
#include "cc_compat.h"
#include "cc_dispatch_private.h"
#include "cc_log.h"
#include "cc_time.h"

#include <stdlib.h>
#include <string.h>

#define DEAD_LINES_MAX 5     /* log lines about dead messages for one batch */
#define MINUTE         60000 /* ms                                          */
#define LINES_MAX      30    /* of one kind in a minute                     */

/* A message of the batch that is new, and where it lies in the inbox. */
struct accepted {
    const cc_envelope *envelope;
    cc_app *app; /* NULL: nobody is there                            */
    int64_t seq;
    int64_t expires;
    int hold; /* it goes into memory                              */
};

typedef struct taking {
    cc_dispatch *d;
    const char *server;
    int64_t skew;
    int64_t now;
    size_t count; /* of accepted                                      */
    cc_intake *intake;
} taking;

/* 1: it may be said; the last one says that it is. */
static int may_say(cc_ration *ration)
{
    int64_t now = cc_time_monotonic();

    if (ration->begun == 0 || now - ration->begun >= MINUTE) {
        ration->begun = now;
        ration->lines = 0;
    }
    if (ration->lines > LINES_MAX)
        return 0;
    if (ration->lines++ < LINES_MAX)
        return 1;
    cc_log(CC_LOG_WARNING, "more lines like the last ones are left out for a minute");
    return 0;
}

/* A name that is not allowed is not repeated: it may be a megabyte long. */
static cc_slice shown_name(cc_slice name)
{
    cc_slice hidden = { "", 0 };

    return cc_name_check(name.data, name.len, CC_APP_MAX) == CC_OK ? name : hidden;
}

static cc_slice shown_id(cc_slice id)
{
    cc_slice hidden = { "", 0 };

    return cc_name_id_check(id.data, id.len) == CC_OK ? id : hidden;
}

static cc_status bury(taking *t, const cc_envelope *e, const char *why)
{
    cc_slice app = shown_name(e->app), id = shown_id(e->id);

    t->intake->buried++;
    if (t->intake->buried <= DEAD_LINES_MAX && may_say(&t->d->dead_lines))
        cc_log(CC_LOG_WARNING,
               "server '%s': a message cannot be used and goes to the"
               " dead list: %s (id '%.*s', app '%.*s')",
               t->server, why, (int)id.len, id.data, (int)app.len, app.data);
    return cc_inbox_bury(t->d->inbox, t->server, app, id, why, e->raw, t->now);
}

static int64_t local_expiry(const taking *t, const cc_envelope *e)
{
    return e->expires > 0 ? e->expires - t->skew : 0;
}

static void accept_message(taking *t, const cc_envelope *e, cc_app *app, int64_t seq,
                           int hold)
{
    struct accepted *a;

    if (t->count == t->d->accepted_room) {
        t->d->accepted_room = t->count ? t->count * 2 : 128;
        t->d->accepted =
            cc_realloc(t->d->accepted, t->d->accepted_room * sizeof(*t->d->accepted));
    }
    a = &t->d->accepted[t->count++];
    a->envelope = e;
    a->app = app;
    a->seq = seq;
    a->expires = local_expiry(t, e);
    a->hold = hold;
    if (app != NULL)
        app->incoming += hold;
}

static cc_status take_message(taking *t, const cc_envelope *e)
{
    char app_name[CC_APP_MAX + 1];
    int64_t seq = 0;
    cc_app *app;
    cc_status status;
    int hold;

    if (e->unusable != NULL)
        return bury(t, e, e->unusable);
    if (e->body.len > (size_t)t->d->config->max_message)
        return bury(t, e, "it is larger than max_message in [agent]");
    memcpy(app_name, e->app.data, e->app.len);
    app_name[e->app.len] = '\0';
    if (!cc_config_may_feed(t->d->config, t->server, app_name))
        return bury(t, e,
                    "the server may not feed this application"
                    " (servers in [app NAME])");
    if (e->expires > 0 && local_expiry(t, e) <= t->now) {
        t->intake->expired++;
        return CC_OK;
    }
    app = cc_queue_find_app(t->d, e->app.data, e->app.len);
    hold = app != NULL && cc_queue_can_hold(app);
    status = cc_inbox_add(t->d->inbox, t->server, e, t->skew, t->now, hold, &seq);
    if (status == CC_DUPLICATE) {
        t->intake->duplicates++;
        return CC_OK;
    }
    if (status != CC_OK)
        return status;
    t->intake->stored++;
    accept_message(t, e, app, seq, hold);
    return CC_OK;
}

static cc_status take_gap(taking *t, const cc_batch *batch)
{
    char app[CC_APP_MAX + 1];
    cc_status status = CC_OK;
    size_t i;

    if (!batch->has_gap)
        return CC_OK;
    if (batch->gap_count == 0)
        return cc_inbox_gap_add_unknown(t->d->inbox, t->server);
    for (i = 0; i < batch->gap_count && status == CC_OK; i++) {
        memcpy(app, batch->gaps[i].app.data, batch->gaps[i].app.len);
        app[batch->gaps[i].app.len] = '\0';
        if (cc_config_may_feed(t->d->config, t->server, app))
            status = cc_inbox_gap_add(t->d->inbox, t->server, app,
                                      (int64_t)batch->gaps[i].count);
    }
    return status;
}

static int is_same(cc_slice a, cc_slice b)
{
    return a.len == b.len && memcmp(a.data, b.data, a.len) == 0;
}

/* Of the applications that got something; after the acknowledgements. */
static cc_status enforce_quotas(taking *t)
{
    const struct accepted *a = t->d->accepted;
    char app[CC_APP_MAX + 1];
    cc_status status = CC_OK;
    size_t i;

    for (i = 0; i < t->count && status == CC_OK; i++) {
        if (i > 0 && is_same(a[i].envelope->app, a[i - 1].envelope->app))
            continue;
        memcpy(app, a[i].envelope->app.data, a[i].envelope->app.len);
        app[a[i].envelope->app.len] = '\0';
        status = cc_quota_enforce(t->d, app);
    }
    return status;
}

static cc_status store_batch(taking *t, const cc_batch *batch)
{
    cc_status status;
    size_t i;

    status = cc_commit_begin(t->d);
    if (status != CC_OK)
        return status;
    status = take_gap(t, batch);
    for (i = 0; i < batch->count && status == CC_OK; i++)
        status = take_message(t, &batch->messages[i]);
    if (status == CC_OK)
        status = cc_inbox_cursor_set(t->d->inbox, t->server, batch->cursor);
    if (status == CC_OK)
        status = cc_commit_apply(t->d);
    if (status == CC_OK)
        status = enforce_quotas(t);
    return cc_commit_end(t->d, status);
}

static void copy_to_watchers(const taking *t, const struct accepted *a)
{
    cc_subscription *s;
    cc_delivery delivery;

    memset(&delivery, 0, sizeof(delivery));
    delivery.body = a->envelope->body;
    delivery.head_len = a->envelope->head_len;
    delivery.server = t->server;
    delivery.attempt = 1;
    TAILQ_FOREACH(s, &a->app->watchers, of_app)
    s->client->calls->copy(s->client->baton, &delivery);
}

static void hold_message(const taking *t, const struct accepted *a)
{
    char id[CC_ID_MAX + 1];
    cc_stored stored;

    memset(&stored, 0, sizeof(stored));
    memcpy(id, a->envelope->id.data, a->envelope->id.len);
    id[a->envelope->id.len] = '\0';
    stored.seq = a->seq;
    stored.id = id;
    stored.server = t->server;
    stored.expires = a->expires;
    stored.receipt = a->envelope->receipt;
    stored.body = a->envelope->body;
    stored.head_len = a->envelope->head_len;
    cc_queue_append(t->d, a->app, &stored);
}

static void tell_gaps(cc_dispatch *d)
{
    cc_app *app;
    int i;

    for (i = 0; i < CC_APP_BUCKETS; i++) {
        for (app = d->apps[i]; app != NULL; app = app->next) {
            if (TAILQ_EMPTY(&app->takers))
                continue;
            cc_queue_read_gaps(d, app);
            cc_queue_pump(d, app);
        }
    }
}

/* Hand on what was committed, then see to each application once. */
static void hand_on(taking *t)
{
    struct accepted *a;
    size_t i;

    for (i = 0; i < t->count; i++) {
        a = &t->d->accepted[i];
        if (a->app == NULL)
            continue;
        copy_to_watchers(t, a);
        if (a->hold)
            hold_message(t, a);
        else
            a->app->more = 1;
        a->app->incoming = 0;
        a->app->touched = 1;
    }
    for (i = 0; i < t->count; i++) {
        a = &t->d->accepted[i];
        if (a->app == NULL || !a->app->touched)
            continue;
        a->app->touched = 0;
        if (!TAILQ_EMPTY(&a->app->takers))
            cc_queue_pump(t->d, a->app);
    }
}

static void forget_incoming(taking *t)
{
    size_t i;

    for (i = 0; i < t->count; i++) {
        if (t->d->accepted[i].app != NULL)
            t->d->accepted[i].app->incoming = 0;
    }
}

cc_status cc_dispatch_take(cc_dispatch *d, const char *server, const cc_batch *batch,
                           int64_t skew, int64_t now, cc_intake *out_intake)
{
    taking t = { d, server, skew, now, 0, out_intake };
    cc_status status;

    memset(out_intake, 0, sizeof(*out_intake));
    status = store_batch(&t, batch);
    cc_commit_applied(d, status);
    cc_quota_end(d, status);
    if (status != CC_OK) {
        forget_incoming(&t);
        return status;
    }
    if (out_intake->buried > DEAD_LINES_MAX && may_say(&d->dead_lines))
        cc_log(CC_LOG_WARNING,
               "server '%s': %zu more messages of this answer went to"
               " the dead list",
               server, out_intake->buried - DEAD_LINES_MAX);
    if (batch->has_gap) {
        if (may_say(&d->gap_lines))
            cc_log(CC_LOG_WARNING,
                   "server '%s': messages are missing, the applications are told",
                   server);
        tell_gaps(d);
    }
    hand_on(&t);
    return CC_OK;
}

static cc_status finish(cc_dispatch *d, cc_status status)
{
    status = cc_commit_end(d, status);
    cc_commit_note(d, status);
    return status;
}

cc_status cc_dispatch_take_cursor(cc_dispatch *d, const char *server, cc_slice cursor)
{
    cc_status status = cc_inbox_begin(d->inbox);

    if (status == CC_OK)
        status = cc_inbox_cursor_set(d->inbox, server, cursor);
    return finish(d, status);
}

cc_status cc_dispatch_take_unusable(cc_dispatch *d, const char *server, cc_slice cursor,
                                    const char *why, cc_slice raw, int64_t now)
{
    cc_slice none = { "", 0 };
    cc_status status = cc_inbox_begin(d->inbox);

    if (may_say(&d->dead_lines))
        cc_log(CC_LOG_WARNING,
               "server '%s': a message cannot be used and goes to the dead list: %s",
               server, why);
    if (status == CC_OK)
        status = cc_inbox_bury(d->inbox, server, none, none, why, raw, now);
    if (status == CC_OK)
        status = cc_inbox_cursor_set(d->inbox, server, cursor);
    return finish(d, status);
}

cc_status cc_dispatch_cursor(cc_dispatch *d, const char *server,
                             char out_cursor[CC_CURSOR_MAX + 1])
{
    return cc_inbox_cursor_get(d->inbox, server, out_cursor);
}
