/* SPDX-License-Identifier: Apache-2.0
 * cc_dispatch.c - clients, subscriptions, acknowledgements and their commits.
 *
 * Batches from servers are cc_intake.c, giving messages is cc_queue.c.
 */
#include "cc_compat.h"
#include "cc_dispatch_private.h"
#include "cc_log.h"
#include "cc_time.h"

#include <stdlib.h>
#include <string.h>

#define COMMIT_STEP     2       /* ms between two commits while much happens     */
#define COMMIT_STEP_MAX 50      /* ms, on a slow disk                            */
#define COMMIT_SHARE    4       /* parts of the time, of which commits take one  */
#define COMMIT_RETRY    1000    /* ms after one that failed                      */
#define EXPIRY_STEP     5000    /* ms between two looks for expired messages     */
#define LINE_FRAME      4096    /* bytes of a line beside the message            */
#define EXPIRY_ALL      3600000 /* ms after which ids are looked through too     */

static void set_timer(struct event *timer, int64_t ms)
{
    struct timeval delay;

    delay.tv_sec = (time_t)(ms / 1000);
    delay.tv_usec = (suseconds_t)(ms % 1000 * 1000);
    event_add(timer, &delay);
}

/* ---- commits --------------------------------------------------------- */

/* The slower the disk, the more goes into one commit. */
static int64_t commit_step(const cc_dispatch *d)
{
    int64_t step = d->commit_cost * COMMIT_SHARE;

    if (step < COMMIT_STEP)
        return COMMIT_STEP;
    return step < COMMIT_STEP_MAX ? step : COMMIT_STEP_MAX;
}

void cc_dispatch_schedule(cc_dispatch *d)
{
    int64_t wait;

    if (event_pending(d->commit_timer, EV_TIMEOUT, NULL))
        return;
    wait = d->last_commit + commit_step(d) - cc_time_monotonic();
    if (d->failing)
        wait = COMMIT_RETRY;
    set_timer(d->commit_timer, wait > 0 ? wait : 0);
}

cc_change *cc_dispatch_add_change(cc_dispatch *d, cc_change_kind kind)
{
    cc_change *change;

    if (d->change_count == d->change_room) {
        d->change_room = d->change_room ? d->change_room * 2 : 64;
        d->changes = cc_realloc(d->changes, d->change_room * sizeof(*d->changes));
    }
    change = &d->changes[d->change_count++];
    memset(change, 0, sizeof(*change));
    change->kind = kind;
    cc_dispatch_schedule(d);
    return change;
}

static cc_status apply_change(cc_dispatch *d, const cc_change *change)
{
    switch (change->kind) {
    case CC_CHANGE_REMOVE:
        return cc_inbox_remove(d->inbox, change->app, change->seq);
    case CC_CHANGE_ATTEMPT:
        return cc_inbox_attempt_set(d->inbox, change->app, change->seq, change->attempt);
    case CC_CHANGE_GAP:
        return cc_inbox_gap_remove(d->inbox, change->id);
    case CC_CHANGE_NONE:
        break;
    }
    return CC_OK;
}

cc_status cc_dispatch_apply(cc_dispatch *d)
{
    size_t i;
    cc_status status = CC_OK;

    for (i = 0; i < d->change_count && status == CC_OK; i++)
        status = apply_change(d, &d->changes[i]);
    return status;
}

/* Say once when the inbox begins to fail, and once when it works again. */
void cc_dispatch_note(cc_dispatch *d, cc_status status)
{
    if (status == CC_DAMAGED)
        d->damaged = 1;
    if (status != CC_OK && !d->failing)
        cc_log(CC_LOG_ERROR,
               "inbox cannot be used: %s; trying again, nothing is"
               " acknowledged meanwhile",
               cc_inbox_error(d->inbox));
    if (status == CC_OK && d->failing)
        cc_log(CC_LOG_NOTICE, "inbox can be used again");
    d->failing = status != CC_OK;
    if (d->failing)
        set_timer(d->commit_timer, COMMIT_RETRY);
}

void cc_dispatch_applied(cc_dispatch *d, cc_status status)
{
    size_t i, count = d->change_count;

    d->last_commit = cc_time_monotonic();
    d->commit_cost = d->last_commit - d->commit_begun;
    cc_dispatch_note(d, status);
    if (status != CC_OK)
        return;
    for (i = 0; i < count; i++) {
        cc_client *client = d->changes[i].answer;

        if (client != NULL)
            client->calls->acked(client->baton, d->changes[i].id);
    }
    d->change_count = 0;
    if (d->change_room > 65536) {
        free(d->changes);
        d->changes = NULL;
        d->change_room = 0;
    }
    event_del(d->commit_timer);
}

cc_status cc_dispatch_begin(cc_dispatch *d)
{
    d->commit_begun = cc_time_monotonic();
    return cc_inbox_begin(d->inbox);
}

cc_status cc_dispatch_commit(cc_dispatch *d)
{
    cc_status status;

    if (d->change_count == 0)
        return CC_OK;
    status = cc_dispatch_begin(d);
    if (status == CC_OK) {
        status = cc_dispatch_apply(d);
        if (status == CC_OK)
            status = cc_inbox_commit(d->inbox);
        else
            cc_inbox_rollback(d->inbox);
    }
    cc_dispatch_applied(d, status);
    return status;
}

static void pump_all(cc_dispatch *d)
{
    cc_app *app;
    int i;

    for (i = 0; i < CC_APP_BUCKETS; i++) {
        for (app = d->apps[i]; app != NULL; app = app->next)
            cc_queue_pump(d, app);
    }
}

/* That it works again is said after a commit that wrote something: an empty
 * one succeeds on a full disk, too. */
static void on_commit_timer(evutil_socket_t descriptor, short what, void *baton)
{
    cc_dispatch *d = baton;
    int failed = d->failing;

    (void)descriptor;
    (void)what;
    if (cc_dispatch_commit(d) != CC_OK || !failed)
        return;
    pump_all(d);
    if (d->failing)
        set_timer(d->commit_timer, COMMIT_RETRY);
}

static void on_expiry_timer(evutil_socket_t descriptor, short what, void *baton)
{
    cc_dispatch *d = baton;
    int64_t now = cc_time_now(), dropped = 0;
    cc_status status;

    (void)descriptor;
    (void)what;
    set_timer(d->expiry_timer, EXPIRY_STEP);
    if (now < cc_inbox_next_expiry(d->inbox) && llabs(now - d->last_expiry) < EXPIRY_ALL)
        return;
    d->last_expiry = now;
    status = cc_inbox_expire(d->inbox, now, &dropped);
    if (status != CC_OK)
        cc_dispatch_note(d, status);
    else if (dropped > 0)
        cc_log(CC_LOG_NOTICE, "%lld messages expired before an application took them",
               (long long)dropped);
}

/* ---- life cycle ------------------------------------------------------ */

cc_dispatch *cc_dispatch_create(const cc_config *config, cc_inbox *inbox,
                                struct event_base *base)
{
    cc_dispatch *d = cc_alloc(sizeof(*d));

    d->config = config;
    d->inbox = inbox;
    d->commit_timer = evtimer_new(base, on_commit_timer, d);
    d->expiry_timer = evtimer_new(base, on_expiry_timer, d);
    set_timer(d->expiry_timer, 0);
    return d;
}

void cc_dispatch_config_set(cc_dispatch *d, const cc_config *config)
{
    d->config = config;
}

void cc_dispatch_destroy(cc_dispatch *d)
{
    if (d == NULL)
        return;
    cc_dispatch_commit(d);
    event_free(d->commit_timer);
    event_free(d->expiry_timer);
    free(d->table);
    free(d->changes);
    free(d->accepted);
    free(d);
}

cc_client *cc_dispatch_attach(cc_dispatch *d, const cc_client_calls *calls, void *baton)
{
    cc_client *client = cc_alloc(sizeof(*client));

    client->dispatch = d;
    client->calls = calls;
    client->baton = baton;
    TAILQ_INIT(&client->subscriptions);
    return client;
}

static void end_subscription(cc_dispatch *d, cc_subscription *s)
{
    cc_app *app = s->app;

    TAILQ_REMOVE(s->watch ? &app->watchers : &app->takers, s, of_app);
    TAILQ_REMOVE(&s->client->subscriptions, s, of_client);
    if (!s->watch) {
        if (TAILQ_EMPTY(&app->takers)) {
            cc_queue_forget(d, app, s);
        }
        else {
            cc_queue_take_back(d, s);
            cc_queue_pump(d, app);
        }
    }
    free(s);
    cc_queue_release_app(d, app);
}

void cc_dispatch_detach(cc_client *client)
{
    cc_dispatch *d = client->dispatch;
    cc_subscription *s;
    size_t i;

    while ((s = TAILQ_FIRST(&client->subscriptions)) != NULL)
        end_subscription(d, s);
    for (i = 0; i < d->change_count; i++) {
        if (d->changes[i].answer == client)
            d->changes[i].answer = NULL;
    }
    free(client);
}

/* ---- subscriptions --------------------------------------------------- */

static int configured_window(const cc_dispatch *d, const char *app)
{
    const cc_app_config *found = cc_config_find_app(d->config, app);

    return found != NULL ? found->window : CC_WINDOW_DEFAULT;
}

static cc_subscription *find_subscription(const cc_client *client, const char *app)
{
    cc_subscription *s;

    TAILQ_FOREACH(s, &client->subscriptions, of_client)
    {
        if (strcmp(s->app->name, app) == 0)
            return s;
    }
    return NULL;
}

static cc_status begin_taking(cc_dispatch *d, cc_app *app)
{
    cc_status status = cc_inbox_app_add(d->inbox, app->name);

    if (status != CC_OK) {
        cc_dispatch_note(d, status);
        return status;
    }
    if (TAILQ_EMPTY(&app->takers)) {
        app->loaded = 0;
        app->more = 1;
        cc_queue_read_gaps(d, app);
    }
    return CC_OK;
}

cc_status cc_dispatch_subscribe(cc_client *client, const char *app_name, int window,
                                int watch)
{
    cc_dispatch *d = client->dispatch;
    cc_subscription *s = find_subscription(client, app_name);
    cc_app *app;

    if (window <= 0)
        window = configured_window(d, app_name);
    if (s != NULL) {
        s->window = window;
        return s->watch == watch ? CC_OK : CC_DUPLICATE;
    }
    if (client->subscription_count == CC_SUBSCRIPTIONS_MAX)
        return CC_TOO_LARGE;
    app = cc_queue_get_app(d, app_name);
    if (!watch && begin_taking(d, app) != CC_OK) {
        cc_queue_release_app(d, app);
        return CC_STORAGE;
    }
    s = cc_alloc(sizeof(*s));
    s->app = app;
    s->client = client;
    s->window = window;
    s->watch = watch;
    TAILQ_INIT(&s->given);
    TAILQ_INSERT_TAIL(watch ? &app->watchers : &app->takers, s, of_app);
    TAILQ_INSERT_TAIL(&client->subscriptions, s, of_client);
    client->subscription_count++;
    return CC_OK;
}

void cc_dispatch_ready(cc_client *client)
{
    cc_subscription *s;

    TAILQ_FOREACH(s, &client->subscriptions, of_client)
    {
        if (!s->watch)
            cc_queue_pump(client->dispatch, s->app);
    }
}

/* ---- acknowledgements ------------------------------------------------ */

static cc_status acknowledge_gap(cc_client *client, const char *id)
{
    cc_dispatch *d = client->dispatch;
    cc_change *change = cc_dispatch_add_change(d, CC_CHANGE_GAP);
    cc_gap *gap;
    cc_app *app;
    int i;

    change->answer = client;
    memcpy(change->id, id, strlen(id) + 1);
    for (i = 0; i < CC_APP_BUCKETS; i++) {
        for (app = d->apps[i]; app != NULL; app = app->next) {
            TAILQ_FOREACH(gap, &app->gaps, link)
            {
                if (strcmp(gap->id, id) == 0)
                    break;
            }
            if (gap == NULL)
                continue;
            TAILQ_REMOVE(&app->gaps, gap, link);
            free(gap);
            return CC_OK;
        }
    }
    return CC_OK;
}

/* One that is not in memory: given before a restart, or long done with. */
static cc_status acknowledge_stored(cc_client *client, const char *id)
{
    cc_dispatch *d = client->dispatch;
    char app[CC_APP_MAX + 1] = "";
    int64_t seq = 0;
    cc_change *change;
    cc_status status;

    status = cc_inbox_find(d->inbox, id, app, &seq);
    if (status != CC_OK && status != CC_EMPTY) {
        if (status != CC_NOT_FOUND)
            cc_dispatch_note(d, status);
        return status;
    }
    change =
        cc_dispatch_add_change(d, status == CC_OK ? CC_CHANGE_REMOVE : CC_CHANGE_NONE);
    change->seq = seq;
    change->answer = client;
    memcpy(change->app, app, sizeof(change->app));
    memcpy(change->id, id, strlen(id) + 1);
    return CC_OK;
}

cc_status cc_dispatch_acknowledge(cc_client *client, const char *id)
{
    cc_dispatch *d = client->dispatch;
    cc_message *message;
    cc_change *change;
    cc_app *app;

    if (strlen(id) > CC_ID_MAX)
        return CC_NOT_FOUND;
    if (strncmp(id, "gap.", 4) == 0)
        return acknowledge_gap(client, id);
    if (cc_name_id_check(id, strlen(id)) != CC_OK)
        return CC_NOT_FOUND;
    message = cc_queue_find(d, id, client);
    if (message == NULL)
        return acknowledge_stored(client, id);
    app = message->app;
    change = cc_dispatch_add_change(d, CC_CHANGE_REMOVE);
    change->seq = message->seq;
    change->answer = client;
    memcpy(change->app, app->name, sizeof(change->app));
    memcpy(change->id, id, strlen(id) + 1);
    cc_queue_drop(d, message);
    cc_queue_pump(d, app);
    return CC_OK;
}

/* ---- numbers --------------------------------------------------------- */

size_t cc_dispatch_max_line(const cc_dispatch *d)
{
    return (size_t)d->config->max_message + LINE_FRAME;
}

int cc_dispatch_is_full(const cc_dispatch *d)
{
    cc_inbox_usage usage;

    cc_inbox_usage_get(d->inbox, &usage);
    return usage.bytes >= d->config->inbox_max;
}

int cc_dispatch_is_damaged(const cc_dispatch *d)
{
    return d->damaged;
}

const char *cc_dispatch_error(const cc_dispatch *d)
{
    return cc_inbox_error(d->inbox);
}

typedef struct apps_baton {
    cc_dispatch *dispatch;
    void (*each)(void *baton, const cc_app_info *info);
    void *baton;
} apps_baton;

static void fill_info(const cc_app *app, int64_t stored, cc_app_info *info)
{
    const cc_subscription *s;

    TAILQ_FOREACH(s, &app->takers, of_app)
    {
        info->subscribers++;
        info->unacknowledged += s->count;
    }
    TAILQ_FOREACH(s, &app->watchers, of_app)
    info->watchers++;
    info->waiting = stored - info->unacknowledged;
    if (info->waiting < 0)
        info->waiting = 0;
}

static void report_stored(void *baton, const char *name, int64_t count)
{
    apps_baton *report = baton;
    cc_app *app = cc_queue_find_app(report->dispatch, name, strlen(name));
    cc_app_info info;

    memset(&info, 0, sizeof(info));
    info.name = name;
    info.waiting = count;
    if (app != NULL) {
        fill_info(app, count, &info);
        app->touched = 1;
    }
    report->each(report->baton, &info);
}

void cc_dispatch_apps(cc_dispatch *d, void (*each)(void *baton, const cc_app_info *info),
                      void *baton)
{
    apps_baton report = { d, each, baton };
    cc_app_info info;
    cc_app *app;
    int i;

    cc_inbox_apps(d->inbox, report_stored, &report);
    for (i = 0; i < CC_APP_BUCKETS; i++) {
        for (app = d->apps[i]; app != NULL; app = app->next) {
            if (!app->touched) {
                memset(&info, 0, sizeof(info));
                info.name = app->name;
                fill_info(app, 0, &info);
                each(baton, &info);
            }
            app->touched = 0;
        }
    }
}
