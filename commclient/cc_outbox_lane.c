/* SPDX-License-Identifier: Apache-2.0
 * cc_outbox_lane.c - lanes: what waits in them, what goes next, what has expired.
 */
#include "cc_compat.h"
#include "cc_log.h"
#include "cc_outbox_private.h"
#include "cc_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPIRY_STEP 5000 /* ms between two looks for expired messages     */
#define REMOVE_STEP 5    /* ms that removals wait for each other           */

/* ---- lanes ----------------------------------------------------------- */

static cc_lane *get_lane(cc_outbox *o, const char *server, const char *app)
{
    cc_lane *lane;

    TAILQ_FOREACH(lane, &o->lanes, link)
    {
        if (strcmp(lane->app, app) == 0 && strcmp(lane->server, server) == 0)
            return lane;
    }
    lane = cc_alloc(sizeof(*lane));
    snprintf(lane->server, sizeof(lane->server), "%s", server);
    snprintf(lane->app, sizeof(lane->app), "%s", app);
    TAILQ_INIT(&lane->messages);
    TAILQ_INSERT_TAIL(&o->lanes, lane, link);
    return lane;
}

void cc_outbox_release_lane(cc_outbox *o, cc_lane *lane)
{
    if (lane->busy || lane->count > 0)
        return;
    TAILQ_REMOVE(&o->lanes, lane, link);
    free(lane);
}

static void count_message(cc_outbox *o, const cc_outgoing *m, int direction)
{
    int64_t bytes = direction * ((int64_t)m->size + CC_SPOOL_MESSAGE_COST);

    o->usage.messages += direction;
    o->usage.bytes += bytes;
    m->lane->count += direction;
    m->lane->bytes += bytes;
}

/* Before it goes into a lane, and the lane is kept for it. */
void cc_outbox_put_in_lane(cc_outbox *o, cc_outgoing *m, const char *server,
                           const char *app)
{
    m->lane = get_lane(o, server, app);
    count_message(o, m, 1);
}

void cc_outbox_take_from_lane(cc_outbox *o, cc_outgoing *m)
{
    count_message(o, m, -1);
    m->lane = NULL;
}

void cc_outbox_call_watchers(cc_outbox *o, const char *server)
{
    cc_outbox_watcher *w;

    TAILQ_FOREACH(w, &o->watchers, link)
    {
        if (strcmp(w->server, server) == 0)
            w->ready(w->baton);
    }
}

/* The first message of the lane, or one that is not being sent, is over. Should
 * the agent die before the commit, it is sent again with the same key.       */
static cc_ending *finish(cc_outbox *o, cc_lane *lane, cc_outgoing *m,
                         cc_command_error error, const char *detail)
{
    TAILQ_REMOVE(&lane->messages, m, link);
    TAILQ_INSERT_TAIL(&o->finished, m, link);
    cc_outbox_take_from_lane(o, m);
    cc_outbox_commit_within(o, REMOVE_STEP);
    return cc_outgoing_end(m, error, detail);
}

/* ---- expiry ---------------------------------------------------------- */

static int is_expired(const cc_outgoing *m, int64_t now)
{
    return m->expires != 0 && m->expires <= now;
}

static void say_expired(const cc_lane *lane, long count)
{
    if (count > 0)
        cc_log(CC_LOG_WARNING,
               "server '%s': %ld message%s of '%s' expired before it took %s",
               lane->server, count, count == 1 ? "" : "s", lane->app,
               count == 1 ? "it" : "them");
}

/* All but the one that is being sent. */
static void expire_lane(cc_outbox *o, cc_lane *lane, int64_t now)
{
    cc_outgoing *m = TAILQ_FIRST(&lane->messages), *next;
    long count = 0;

    if (m != NULL && lane->busy)
        m = TAILQ_NEXT(m, link);
    for (; m != NULL; m = next) {
        next = TAILQ_NEXT(m, link);
        if (!is_expired(m, now))
            continue;
        finish(o, lane, m, CC_ERROR_EXPIRED, "");
        count++;
    }
    say_expired(lane, count);
}

/* The first that can still be sent becomes the first. */
static void expire_first(cc_outbox *o, cc_lane *lane, int64_t now)
{
    cc_outgoing *m;
    long count = 0;

    while ((m = TAILQ_FIRST(&lane->messages)) != NULL && is_expired(m, now)) {
        finish(o, lane, m, CC_ERROR_EXPIRED, "");
        count++;
    }
    say_expired(lane, count);
}

void cc_outbox_on_expiry(evutil_socket_t descriptor, short what, void *baton)
{
    struct timeval step = { EXPIRY_STEP / 1000, 0 };
    cc_outbox *o = baton;
    cc_lane *lane, *next;

    (void)descriptor;
    (void)what;
    event_add(o->expiry, &step);
    for (lane = TAILQ_FIRST(&o->lanes); lane != NULL; lane = next) {
        next = TAILQ_NEXT(lane, link);
        expire_lane(o, lane, cc_time_now());
        cc_outbox_release_lane(o, lane);
    }
}

/* ---- giving ---------------------------------------------------------- */

void cc_outbox_watch(cc_outbox *o, const char *server, void (*ready)(void *baton),
                     void *baton)
{
    cc_outbox_watcher *w = cc_alloc(sizeof(*w));

    w->server = server;
    w->ready = ready;
    w->baton = baton;
    TAILQ_INSERT_TAIL(&o->watchers, w, link);
}

void cc_outbox_unwatch(cc_outbox *o, const void *baton)
{
    cc_outbox_watcher *w, *next;

    for (w = TAILQ_FIRST(&o->watchers); w != NULL; w = next) {
        next = TAILQ_NEXT(w, link);
        if (w->baton != baton)
            continue;
        TAILQ_REMOVE(&o->watchers, w, link);
        free(w);
    }
}

cc_lane *cc_outbox_next(cc_outbox *o, const char *server, int64_t now, int64_t *out_wait)
{
    cc_lane *lane, *next, *best = NULL;
    int64_t oldest = INT64_MAX, wait = INT64_MAX;

    for (lane = TAILQ_FIRST(&o->lanes); lane != NULL; lane = next) {
        next = TAILQ_NEXT(lane, link);
        if (lane->busy || strcmp(lane->server, server) != 0)
            continue;
        expire_first(o, lane, cc_time_now());
        if (TAILQ_EMPTY(&lane->messages)) {
            cc_outbox_release_lane(o, lane);
        }
        else if (lane->not_before > now) {
            if (lane->not_before - now < wait)
                wait = lane->not_before - now;
        }
        else if (TAILQ_FIRST(&lane->messages)->seq < oldest) {
            oldest = TAILQ_FIRST(&lane->messages)->seq;
            best = lane;
        }
    }
    *out_wait = wait == INT64_MAX ? -1 : wait;
    if (best != NULL)
        best->busy = 1;
    return best;
}

void cc_outbox_lanes(cc_outbox *o, const char *server,
                     void (*each)(void *baton, cc_lane *lane), void *baton)
{
    cc_lane *lane;

    TAILQ_FOREACH(lane, &o->lanes, link)
    {
        if (strcmp(lane->server, server) == 0)
            each(baton, lane);
    }
}

cc_status cc_outbox_read(cc_outbox *o, const cc_lane *lane,
                         void (*each)(void *baton, const cc_spooled *message),
                         void *baton)
{
    cc_status status =
        cc_spool_read(o->spool, TAILQ_FIRST(&lane->messages)->seq, each, baton);

    if (status == CC_STORAGE || status == CC_DAMAGED)
        cc_dispatch_note(o->dispatch, status);
    return status;
}

void cc_outbox_published(cc_outbox *o, cc_lane *lane, const char *id, const char *state)
{
    cc_ending *how = finish(o, lane, TAILQ_FIRST(&lane->messages), CC_ERROR_NONE, "");

    snprintf(how->id, sizeof(how->id), "%s", id);
    snprintf(how->state, sizeof(how->state), "%s", state);
    cc_outbox_keep(o, lane);
}

void cc_outbox_refused(cc_outbox *o, cc_lane *lane, cc_command_error error,
                       const char *detail)
{
    finish(o, lane, TAILQ_FIRST(&lane->messages), error, detail);
    cc_outbox_keep(o, lane);
}

void cc_outbox_keep(cc_outbox *o, cc_lane *lane)
{
    lane->busy = 0;
    cc_outbox_release_lane(o, lane);
}
