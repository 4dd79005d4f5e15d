/* SPDX-License-Identifier: Apache-2.0
 * cc_queue.c - the messages of an application in memory, and giving them.
 *
 * Memory holds a stretch of what lies in the inbox: it begins at the oldest,
 * is filled by what arrives while it is short, and otherwise from the inbox
 * when it has run empty. Bodies are in memory only until they are given.
 */
#include "cc_compat.h"
#include "cc_dispatch_private.h"
#include "cc_log.h"
#include "cc_time.h"

#include <stdlib.h>
#include <string.h>

#define PENDING_MAX       1024       /* messages in memory not yet given     */
#define PENDING_BYTES_MAX (2u << 20) /* bytes of their bodies                */
#define LOAD_LEAST        256        /* messages read from the inbox at once */
#define LATER_MAX         10000      /* messages put off; more: none is given */
#define WAKE_MAX          60000      /* ms: the clock may be set meanwhile   */

/* ---- messages -------------------------------------------------------- */

static void forget_body(cc_message *message)
{
    if (message->body == NULL)
        return;
    message->app->pending_bytes -= message->body_len;
    free(message->body);
    message->body = NULL;
}

static void unlink_message(cc_message *message)
{
    if (message->owner != NULL) {
        TAILQ_REMOVE(&message->owner->given, message, link);
        message->owner->count--;
        message->owner = NULL;
    }
    else if (message->due > 0) {
        TAILQ_REMOVE(&message->app->later, message, link);
        message->app->later_count--;
        message->due = 0;
    }
    else {
        TAILQ_REMOVE(&message->app->pending, message, link);
        message->app->pending_count--;
    }
}

void cc_queue_drop(cc_dispatch *d, cc_message *message)
{
    unlink_message(message);
    forget_body(message);
    cc_queue_unindex(d, message);
    free(message);
}

int cc_queue_can_hold(const cc_app *app)
{
    return !TAILQ_EMPTY(&app->takers) && !app->more
           && app->pending_count + (size_t)app->incoming < PENDING_MAX;
}

/* The latest comes last, as most do. */
static void insert_later(cc_message *message, int64_t due)
{
    struct cc_messages *list = &message->app->later;
    cc_message *place = TAILQ_LAST(list, cc_messages);

    while (place != NULL && place->due > due)
        place = TAILQ_PREV(place, cc_messages, link);
    if (place != NULL)
        TAILQ_INSERT_AFTER(list, place, message, link);
    else
        TAILQ_INSERT_HEAD(list, message, link);
    message->due = due;
    message->app->later_count++;
}

/* By the clock of the wall, as it is on the disk: so it is looked at again and
 * again, and what a clock that was set back would put off for long is due. */
static void set_due_timer(cc_dispatch *d, int64_t due, int64_t now)
{
    int64_t wait = due > now ? due - now : 0;

    if (wait > WAKE_MAX)
        wait = WAKE_MAX;
    if (d->next_wake != 0 && d->next_wake <= now + wait && d->next_wake > now)
        return;
    d->next_wake = now + wait;
    cc_commit_set_timer(d->due_timer, wait);
}

/* stored.attempt counts the times before: told is one more. */
void cc_queue_append(cc_dispatch *d, cc_app *app, const cc_stored *stored)
{
    cc_message *message = cc_alloc(sizeof(*message));
    int64_t now = stored->due > 0 ? cc_time_now() : 0;

    message->app = app;
    message->seq = stored->seq;
    message->expires = stored->expires;
    message->attempt = stored->attempt + 1;
    message->receipt = stored->receipt;
    message->body_len = stored->body.len;
    message->head_len = stored->head_len;
    memcpy(message->id, stored->id, strlen(stored->id) + 1);
    memcpy(message->server, stored->server, strlen(stored->server) + 1);
    app->loaded = stored->seq;
    cc_queue_index(d, message);
    if (stored->due > now) {
        insert_later(message, stored->due);
        set_due_timer(d, stored->due, now);
        return;
    }
    if (app->pending_bytes < PENDING_BYTES_MAX) {
        message->body = cc_copy_bytes(stored->body.data, stored->body.len);
        app->pending_bytes += stored->body.len;
    }
    TAILQ_INSERT_TAIL(&app->pending, message, link);
    app->pending_count++;
}

/* Lists are nearly always appended to or prepended to in order. */
static void insert_sorted(struct cc_messages *list, cc_message *message)
{
    cc_message *place = TAILQ_FIRST(list);

    while (place != NULL && place->seq < message->seq)
        place = TAILQ_NEXT(place, link);
    if (place != NULL)
        TAILQ_INSERT_BEFORE(place, message, link);
    else
        TAILQ_INSERT_TAIL(list, message, link);
}

static void insert_given(struct cc_messages *list, cc_message *message)
{
    cc_message *last = TAILQ_LAST(list, cc_messages);

    if (last == NULL || last->seq < message->seq)
        TAILQ_INSERT_TAIL(list, message, link);
    else
        insert_sorted(list, message);
}

static void remember_attempt(cc_dispatch *d, const cc_message *message)
{
    cc_change *change = cc_commit_add(d, CC_CHANGE_ATTEMPT);

    change->attempt = message->attempt;
    change->seq = message->seq;
    memcpy(change->app, message->app->name, sizeof(change->app));
}

void cc_queue_take_back(cc_dispatch *d, cc_subscription *subscription)
{
    cc_app *app = subscription->app;
    cc_message *message;
    cc_gap *gap;

    while ((message = TAILQ_LAST(&subscription->given, cc_messages)) != NULL) {
        unlink_message(message);
        message->attempt++;
        insert_sorted(&app->pending, message);
        app->pending_count++;
        remember_attempt(d, message);
    }
    TAILQ_FOREACH(gap, &app->gaps, link)
    {
        if (gap->owner == subscription)
            gap->owner = NULL;
    }
}

/* ---- putting off --------------------------------------------------------- */

void cc_queue_put_off(cc_dispatch *d, cc_message *message, int64_t due)
{
    cc_app *app = message->app;

    if (message->owner != NULL)
        message->attempt++;
    unlink_message(message);
    forget_body(message);
    insert_later(message, due);
    set_due_timer(d, due, cc_time_now());
    cc_queue_pump(d, app);
}

static int is_due(const cc_message *message, int64_t now)
{
    return message->due <= now || message->due - now > CC_DELAY_MAX * (int64_t)1000;
}

static void wake_app(cc_dispatch *d, cc_app *app, int64_t now)
{
    cc_message *message;

    while ((message = TAILQ_FIRST(&app->later)) != NULL && is_due(message, now)) {
        unlink_message(message);
        insert_sorted(&app->pending, message);
        app->pending_count++;
        remember_attempt(d, message);
    }
    cc_queue_pump(d, app);
}

void cc_queue_wake(cc_dispatch *d)
{
    int64_t now = cc_time_now(), next = INT64_MAX;
    const cc_message *first;
    cc_app *app;
    int i;

    d->next_wake = 0;
    for (i = 0; i < CC_APP_BUCKETS; i++) {
        for (app = d->apps[i]; app != NULL; app = app->next) {
            if (TAILQ_EMPTY(&app->later))
                continue;
            wake_app(d, app, now);
            first = TAILQ_FIRST(&app->later);
            if (first != NULL && first->due < next)
                next = first->due;
        }
    }
    if (next != INT64_MAX)
        set_due_timer(d, next, now);
}

/* What was loaded but not given is marked as it was before. */
void cc_queue_forget(cc_dispatch *d, cc_app *app, cc_subscription *subscription)
{
    cc_message *message;
    cc_gap *gap;

    while ((message = TAILQ_FIRST(&subscription->given)) != NULL)
        cc_queue_drop(d, message);
    while ((message = TAILQ_FIRST(&app->pending)) != NULL) {
        message->attempt--;
        remember_attempt(d, message);
        cc_queue_drop(d, message);
    }
    while ((message = TAILQ_FIRST(&app->later)) != NULL)
        cc_queue_drop(d, message);
    while ((gap = TAILQ_FIRST(&app->gaps)) != NULL) {
        TAILQ_REMOVE(&app->gaps, gap, link);
        free(gap);
    }
    app->loaded = 0;
    app->more = 0;
}

/* ---- giving ---------------------------------------------------------- */

typedef struct load_baton {
    cc_dispatch *dispatch;
    cc_app *app;
    const cc_subscription *subscription;
    cc_message *message;
} load_baton;

static void append_loaded(void *baton, const cc_stored *stored)
{
    load_baton *load = baton;

    cc_queue_append(load->dispatch, load->app, stored);
}

static int load_limit(const cc_app *app)
{
    const cc_subscription *s;
    int limit = 0;

    TAILQ_FOREACH(s, &app->takers, of_app)
    {
        limit += s->window;
        if (limit >= PENDING_MAX / 2)
            return PENDING_MAX;
    }
    return limit * 2 > LOAD_LEAST ? limit * 2 : LOAD_LEAST;
}

/* The reading failed: nothing above `loaded` is in memory. */
static void unload(cc_dispatch *d, cc_app *app, int64_t loaded)
{
    cc_message *message, *next;

    while (!TAILQ_EMPTY(&app->pending))
        cc_queue_drop(d, TAILQ_FIRST(&app->pending));
    for (message = TAILQ_FIRST(&app->later); message != NULL; message = next) {
        next = TAILQ_NEXT(message, link);
        if (message->seq > loaded)
            cc_queue_drop(d, message);
    }
    app->loaded = loaded;
}

/* Fill memory from the inbox. 1: there is something now. What was acknowledged
 * must be gone from it before. */
static int load_more(cc_dispatch *d, cc_app *app)
{
    load_baton load = { d, app, NULL, NULL };
    int64_t before = app->loaded;
    cc_status status;

    if (!app->more || cc_dispatch_commit(d) != CC_OK)
        return 0;
    status = cc_inbox_load(d->inbox, app->name, app->loaded, cc_time_now(),
                           load_limit(app), PENDING_BYTES_MAX, append_loaded, &load);
    if (status == CC_OK) {
        cc_commit_note(d, CC_OK);
        return 1;
    }
    if (status == CC_EMPTY) {
        app->more = 0;
        return 0;
    }
    unload(d, app, before);
    cc_commit_note(d, status);
    return 0;
}

static void give_body(const cc_subscription *s, const cc_message *message, cc_slice body,
                      size_t head_len)
{
    cc_delivery delivery;

    delivery.id = message->id;
    delivery.expires = message->expires;
    delivery.body = body;
    delivery.head_len = head_len;
    delivery.server = message->server;
    delivery.attempt = message->attempt;
    s->client->calls->message(s->client->baton, &delivery);
}

static void give_read(void *baton, const cc_stored *stored)
{
    load_baton *load = baton;

    give_body(load->subscription, load->message, stored->body, stored->head_len);
}

static cc_status give_message(cc_dispatch *d, cc_subscription *s, cc_message *message)
{
    load_baton load = { d, s->app, s, message };
    cc_slice body = { message->body, message->body_len };

    if (message->body == NULL)
        return cc_inbox_read(d->inbox, s->app->name, message->seq, give_read, &load);
    give_body(s, message, body, message->head_len);
    return CC_OK;
}

static void move_to_subscription(cc_subscription *s, cc_message *message)
{
    unlink_message(message);
    forget_body(message);
    message->owner = s;
    insert_given(&s->given, message);
    s->count++;
    TAILQ_REMOVE(&s->app->takers, s, of_app);
    TAILQ_INSERT_TAIL(&s->app->takers, s, of_app);
}

static int has_room(const cc_subscription *s)
{
    return s->client->calls->has_room(s->client->baton);
}

static cc_subscription *find_taker(const cc_app *app)
{
    cc_subscription *s;

    if (app->later_count >= LATER_MAX)
        return NULL;
    TAILQ_FOREACH(s, &app->takers, of_app)
    {
        if (s->count < s->window && has_room(s))
            return s;
    }
    return NULL;
}

static void give_gaps(cc_app *app)
{
    cc_subscription *s;
    cc_gap_notice notice;
    cc_gap *gap;

    TAILQ_FOREACH(gap, &app->gaps, link)
    {
        if (gap->owner != NULL)
            continue;
        TAILQ_FOREACH(s, &app->takers, of_app)
        {
            if (has_room(s))
                break;
        }
        if (s == NULL)
            return;
        gap->owner = s;
        notice.id = gap->id;
        notice.app = app->name;
        notice.server = gap->server;
        notice.count = gap->count;
        s->client->calls->gap(s->client->baton, &notice);
    }
}

static void drop_expired(cc_dispatch *d, cc_message *message)
{
    cc_change *change = cc_commit_add(d, CC_CHANGE_REMOVE);

    change->seq = message->seq;
    change->size = (int64_t)message->body_len;
    memcpy(change->app, message->app->name, sizeof(change->app));
    cc_queue_drop(d, message);
}

void cc_queue_pump(cc_dispatch *d, cc_app *app)
{
    int64_t now = cc_time_now();
    cc_subscription *s;
    cc_message *message;
    cc_status status;

    give_gaps(app);
    while ((s = find_taker(app)) != NULL) {
        message = TAILQ_FIRST(&app->pending);
        if (message == NULL) {
            if (!load_more(d, app))
                return;
            continue;
        }
        if (message->expires > 0 && message->expires <= now) {
            drop_expired(d, message);
            continue;
        }
        status = give_message(d, s, message);
        if (status == CC_OK) {
            move_to_subscription(s, message);
        }
        else if (status == CC_EMPTY) {
            cc_queue_drop(d, message);
        }
        else {
            cc_commit_note(d, status);
            return;
        }
    }
}

/* ---- gaps ------------------------------------------------------------ */

static void note_gap(void *baton, const char *server, const char *id, int64_t count)
{
    cc_app *app = baton;
    cc_gap *gap;

    if (strlen(id) >= sizeof(gap->id) || strlen(server) >= sizeof(gap->server))
        return;
    TAILQ_FOREACH(gap, &app->gaps, link)
    {
        if (strcmp(gap->id, id) == 0) {
            gap->listed = 1;
            return;
        }
    }
    gap = cc_alloc(sizeof(*gap));
    strcpy(gap->id, id);
    strcpy(gap->server, server);
    gap->count = count < 0 ? 0 : count;
    gap->listed = 1;
    TAILQ_INSERT_TAIL(&app->gaps, gap, link);
}

void cc_queue_read_gaps(cc_dispatch *d, cc_app *app)
{
    cc_gap *gap, *next;

    TAILQ_FOREACH(gap, &app->gaps, link)
    gap->listed = 0;
    if (cc_inbox_gaps(d->inbox, app->name, note_gap, app) != CC_OK)
        return;
    for (gap = TAILQ_FIRST(&app->gaps); gap != NULL; gap = next) {
        next = TAILQ_NEXT(gap, link);
        if (!gap->listed) {
            TAILQ_REMOVE(&app->gaps, gap, link);
            free(gap);
        }
    }
}
