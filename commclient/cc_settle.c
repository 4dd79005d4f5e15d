/* SPDX-License-Identifier: Apache-2.0
 * cc_settle.c - what becomes of a message that was given: acknowledged, put off
 * or rejected.
 *
 * Memory is changed at once, so that others are given the message, or none is;
 * the inbox with the next commit, after which the client is answered.
 */
#include "cc_compat.h"
#include "cc_dispatch_private.h"
#include "cc_time.h"

#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST 100   /* ms, after the first attempt                     */
#define BACKOFF_MAX   10000 /* ms                                              */
#define REASON_MAX    200   /* bytes kept of why a message was rejected        */
#define CHANGES_MAX   50000 /* that wait for an inbox which cannot be written  */

static cc_gap *find_gap(cc_dispatch *d, const char *id, cc_app **out_app)
{
    cc_gap *gap;
    cc_app *app;
    int i;

    for (i = 0; i < CC_APP_BUCKETS; i++) {
        for (app = d->apps[i]; app != NULL; app = app->next) {
            TAILQ_FOREACH(gap, &app->gaps, link)
            {
                if (strcmp(gap->id, id) != 0)
                    continue;
                *out_app = app;
                return gap;
            }
        }
    }
    return NULL;
}

/* CC_OK also when it is gone. */
static cc_status check_gap_user(cc_client *client, const char *id, const cc_app *app)
{
    cc_dispatch *d = client->dispatch;
    char name[CC_APP_MAX + 1];
    cc_status status;

    if (app != NULL)
        return cc_dispatch_may_use(client, app->name) ? CC_OK : CC_NOT_PERMITTED;
    status = cc_inbox_gap_app(d->inbox, id, name);
    if (status == CC_EMPTY)
        return CC_OK;
    if (status == CC_OK)
        return cc_dispatch_may_use(client, name) ? CC_OK : CC_NOT_PERMITTED;
    cc_commit_note(d, status);
    return status;
}

static cc_status acknowledge_gap(cc_client *client, const char *id)
{
    cc_dispatch *d = client->dispatch;
    cc_app *app = NULL;
    cc_gap *gap = find_gap(d, id, &app);
    cc_status status = check_gap_user(client, id, app);
    cc_change *change;

    if (status != CC_OK)
        return status;
    change = cc_commit_add(d, CC_CHANGE_GAP);
    change->client = client;
    memcpy(change->id, id, strlen(id) + 1);
    if (gap != NULL) {
        TAILQ_REMOVE(&app->gaps, gap, link);
        free(gap);
    }
    return CC_OK;
}

/* The change for a message, with who asked for it. */
static cc_change *add_settling(cc_client *client, const char *id, cc_change_kind kind,
                               cc_settled settled)
{
    cc_change *change = cc_commit_add(client->dispatch, kind);

    change->client = client;
    change->settled = settled;
    memcpy(change->id, id, strlen(id) + 1);
    return change;
}

/* Where the message lies, in memory or not. CC_EMPTY: it is done with. */
static cc_status find_message(cc_client *client, const char *id, cc_message **out_message,
                              cc_place *out_place)
{
    cc_dispatch *d = client->dispatch;
    cc_message *message;
    cc_status status;

    *out_message = NULL;
    if (cc_name_id_check(id, strlen(id)) != CC_OK)
        return CC_NOT_FOUND;
    message = *out_message = cc_queue_find(d, id, client);
    if (message != NULL) {
        out_place->seq = message->seq;
        out_place->size = (int64_t)message->body_len;
        out_place->attempt = message->attempt;
        out_place->receipt = message->receipt;
        memcpy(out_place->app, message->app->name, sizeof(out_place->app));
        memcpy(out_place->server, message->server, sizeof(out_place->server));
        return CC_OK;
    }
    status = cc_inbox_find(d->inbox, id, out_place);
    if (status == CC_STORAGE || status == CC_DAMAGED)
        cc_commit_note(d, status);
    return status;
}

/* Settle a message in one way. *out_change is NULL when it was done with. */
static cc_status settle(cc_client *client, const char *id, cc_change_kind kind,
                        cc_settled settled, cc_message **out_message,
                        cc_change **out_change)
{
    cc_place place;
    cc_status status = find_message(client, id, out_message, &place);

    *out_change = NULL;
    if (status == CC_EMPTY) {
        add_settling(client, id, CC_CHANGE_NONE, settled);
        return CC_OK;
    }
    if (status != CC_OK)
        return status;
    if (!cc_dispatch_may_use(client, place.app)) {
        *out_message = NULL;
        return CC_NOT_PERMITTED;
    }
    *out_change = add_settling(client, id, kind, settled);
    (*out_change)->seq = place.seq;
    (*out_change)->size = place.size;
    (*out_change)->attempt = place.attempt;
    (*out_change)->receipt = kind == CC_CHANGE_REMOVE && place.receipt;
    memcpy((*out_change)->app, place.app, sizeof(place.app));
    memcpy((*out_change)->server, place.server, sizeof(place.server));
    return CC_OK;
}

/* The message is nobody's any more: who had it may be given another. */
static void drop_message(cc_dispatch *d, cc_message *message)
{
    cc_app *app;

    if (message == NULL)
        return;
    app = message->app;
    cc_queue_drop(d, message);
    cc_queue_pump(d, app);
}

cc_status cc_dispatch_acknowledge(cc_client *client, const char *id)
{
    cc_message *message;
    cc_change *change;
    cc_status status;

    if (strlen(id) > CC_ID_MAX)
        return CC_NOT_FOUND;
    if (strncmp(id, "gap.", 4) == 0)
        return acknowledge_gap(client, id);
    status = settle(client, id, CC_CHANGE_REMOVE, CC_SETTLED_ACKED, &message, &change);
    drop_message(client->dispatch, message);
    return status;
}

static char *copy_reason(const char *why)
{
    size_t len = strlen(why);

    return cc_copy_bytes(why, len < REASON_MAX ? len : REASON_MAX);
}

cc_status cc_dispatch_reject(cc_client *client, const char *id, const char *why)
{
    cc_message *message;
    cc_change *change;
    cc_status status;

    if (strlen(id) > CC_ID_MAX)
        return CC_NOT_FOUND;
    status = settle(client, id, CC_CHANGE_REJECT, CC_SETTLED_REJECTED, &message, &change);
    if (change != NULL)
        change->why = copy_reason(why != NULL ? why : "rejected by the application");
    drop_message(client->dispatch, message);
    return status;
}

static int64_t backoff_after(int attempt)
{
    int64_t wait = BACKOFF_FIRST;

    while (--attempt > 0 && wait < BACKOFF_MAX)
        wait *= 2;
    return wait < BACKOFF_MAX ? wait : BACKOFF_MAX;
}

cc_status cc_dispatch_put_off(cc_client *client, const char *id, int delay)
{
    cc_dispatch *d = client->dispatch;
    cc_message *message;
    cc_change *change;
    cc_status status;
    int64_t due;

    if (strlen(id) > CC_ID_MAX)
        return CC_NOT_FOUND;
    status = settle(client, id, CC_CHANGE_PUT_OFF, CC_SETTLED_NACKED, &message, &change);
    if (change == NULL)
        return status;
    due = cc_time_now()
          + (delay > 0 ? delay * (int64_t)1000 : backoff_after(change->attempt));
    change->due = due;
    if (message != NULL)
        cc_queue_put_off(d, message, due);
    return CC_OK;
}

int cc_dispatch_is_clogged(const cc_dispatch *d)
{
    return d->failing && d->change_count >= CHANGES_MAX;
}

/* ---- reports ----------------------------------------------------------- */

cc_status cc_dispatch_reports(cc_dispatch *d, const char *server, cc_reports *out_reports)
{
    cc_status status = cc_inbox_report_list(d->inbox, server, out_reports);

    if (status != CC_OK && status != CC_EMPTY)
        cc_commit_note(d, status);
    return status;
}

cc_status cc_dispatch_reported(cc_dispatch *d, const char *server, int64_t last)
{
    cc_status status = cc_commit_begin(d);

    if (status == CC_OK)
        status = cc_commit_end(d, cc_inbox_report_remove(d->inbox, server, last));
    cc_commit_note(d, status);
    return status;
}
