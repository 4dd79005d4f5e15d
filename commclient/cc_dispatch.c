/* SPDX-License-Identifier: Apache-2.0
 * cc_dispatch.c - clients, subscriptions and upkeep.
 *
 * Batches from servers are cc_intake.c, giving messages is cc_queue.c, what
 * becomes of them then cc_settle.c, and the commits cc_commit.c.
 */
#include "cc_compat.h"
#include "cc_dispatch_private.h"
#include "cc_log.h"
#include "cc_time.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPIRY_STEP 5000    /* ms between two looks for expired messages     */
#define LINE_FRAME  4096    /* bytes of a line beside the message            */
#define EXPIRY_ALL  3600000 /* ms after which ids are looked through too     */

/* When half of the inbox is used up, and most of that for nothing. */
static void have_room_back(cc_dispatch *d)
{
    cc_inbox_usage usage;
    cc_status status;

    cc_inbox_usage_get(d->inbox, &usage);
    if (usage.bytes < d->config->inbox_max / 2 || !cc_inbox_is_sparse(d->inbox))
        return;
    status = cc_inbox_compact(d->inbox);
    if (status != CC_OK)
        cc_commit_note(d, status);
}

static void on_expiry_timer(evutil_socket_t descriptor, short what, void *baton)
{
    cc_dispatch *d = baton;
    int64_t now = cc_time_now(), dropped = 0;
    cc_status status;

    (void)descriptor;
    (void)what;
    cc_commit_set_timer(d->expiry_timer, EXPIRY_STEP);
    cc_commit_look(d);
    cc_quota_look(d);
    have_room_back(d);
    if (now < cc_inbox_next_expiry(d->inbox) && llabs(now - d->last_expiry) < EXPIRY_ALL)
        return;
    d->last_expiry = now;
    status = cc_inbox_expire(d->inbox, now, &dropped);
    if (status != CC_OK)
        cc_commit_note(d, status);
    else if (dropped > 0)
        cc_log(CC_LOG_NOTICE, "%lld messages expired before an application took them",
               (long long)dropped);
}

static void on_due_timer(evutil_socket_t descriptor, short what, void *baton)
{
    (void)descriptor;
    (void)what;
    cc_queue_wake(baton);
}

/* ---- life cycle ------------------------------------------------------ */

cc_dispatch *cc_dispatch_create(const cc_config *config, cc_inbox *inbox,
                                struct event_base *base)
{
    cc_dispatch *d = cc_alloc(sizeof(*d));

    d->config = config;
    d->inbox = inbox;
    d->commit_timer = evtimer_new(base, cc_commit_on_timer, d);
    d->expiry_timer = evtimer_new(base, on_expiry_timer, d);
    d->due_timer = evtimer_new(base, on_due_timer, d);
    cc_commit_set_timer(d->expiry_timer, 0);
    return d;
}

void cc_dispatch_config_set(cc_dispatch *d, const cc_config *config)
{
    d->config = config;
}

void cc_dispatch_report_call_set(cc_dispatch *d,
                                 void (*call)(void *baton, const char *server),
                                 void *baton)
{
    d->report_call = call;
    d->report_baton = baton;
}

void cc_dispatch_destroy(cc_dispatch *d)
{
    if (d == NULL)
        return;
    cc_dispatch_commit(d);
    event_free(d->commit_timer);
    event_free(d->expiry_timer);
    event_free(d->due_timer);
    cc_commit_clear(d);
    cc_quota_clear(d);
    free(d->table);
    free(d->accepted);
    free(d);
}

cc_client *cc_dispatch_attach(cc_dispatch *d, const cc_client_calls *calls, void *baton)
{
    cc_client *client = cc_alloc(sizeof(*client));

    client->dispatch = d;
    client->calls = calls;
    client->baton = baton;
    client->user = geteuid();
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

    while ((s = TAILQ_FIRST(&client->subscriptions)) != NULL)
        end_subscription(d, s);
    cc_commit_forget_client(d, client);
    free(client);
}

/* ---- users ----------------------------------------------------------- */

void cc_dispatch_user_set(cc_client *client, uid_t user)
{
    client->user = user;
}

int cc_dispatch_may_use(const cc_client *client, const char *app)
{
    return cc_config_may_use(client->dispatch->config, app, client->user);
}

int cc_dispatch_may_stay(const cc_client *client)
{
    const cc_subscription *s;

    TAILQ_FOREACH(s, &client->subscriptions, of_client)
    {
        if (!cc_dispatch_may_use(client, s->app->name))
            return 0;
    }
    return 1;
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
        cc_commit_note(d, status);
        return status;
    }
    if (TAILQ_EMPTY(&app->takers)) {
        cc_dispatch_commit(d); /* gaps acknowledged a moment ago              */
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

    if (!cc_dispatch_may_use(client, app_name))
        return CC_NOT_PERMITTED;
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

const char *cc_dispatch_only_app(const cc_client *client)
{
    const cc_subscription *s = TAILQ_FIRST(&client->subscriptions);

    return client->subscription_count == 1 ? s->app->name : NULL;
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

const char *cc_dispatch_trouble(const cc_dispatch *d)
{
    return d->failing ? d->trouble : NULL;
}

const char *cc_dispatch_error(const cc_dispatch *d)
{
    return cc_inbox_error(d->inbox);
}
