/* SPDX-License-Identifier: Apache-2.0
 * cc_commit.c - changes to the inbox that wait for each other, and are
 * committed together.
 */
#include "cc_compat.h"
#include "cc_dispatch_private.h"
#include "cc_log.h"
#include "cc_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_STEP     2     /* ms between two commits while much happens     */
#define COMMIT_STEP_MAX 50    /* ms, on a slow disk                            */
#define COMMIT_SHARE    4     /* parts of the time, of which commits take one  */
#define COMMIT_RETRY    1000  /* ms after one that failed                      */
#define WELL_AGAIN      3000  /* ms after the last one that failed             */
#define REJECT_LINE     60000 /* ms between two lines about rejected messages  */

void cc_commit_set_timer(struct event *timer, int64_t ms)
{
    struct timeval delay;

    delay.tv_sec = (time_t)(ms / 1000);
    delay.tv_usec = (suseconds_t)(ms % 1000 * 1000);
    event_add(timer, &delay);
}

/* The slower the disk, the more goes into one commit. */
static int64_t commit_step(const cc_dispatch *d)
{
    int64_t step = d->commit_cost * COMMIT_SHARE;

    if (step < COMMIT_STEP)
        return COMMIT_STEP;
    return step < COMMIT_STEP_MAX ? step : COMMIT_STEP_MAX;
}

static void schedule(cc_dispatch *d)
{
    int64_t wait;

    if (event_pending(d->commit_timer, EV_TIMEOUT, NULL))
        return;
    wait = d->last_commit + commit_step(d) - cc_time_monotonic();
    if (d->failing)
        wait = COMMIT_RETRY;
    cc_commit_set_timer(d->commit_timer, wait > 0 ? wait : 0);
}

cc_change *cc_commit_add(cc_dispatch *d, cc_change_kind kind)
{
    cc_change *change;

    if (d->change_count == d->change_room) {
        d->change_room = d->change_room ? d->change_room * 2 : 64;
        d->changes = cc_realloc(d->changes, d->change_room * sizeof(*d->changes));
    }
    change = &d->changes[d->change_count++];
    memset(change, 0, sizeof(*change));
    change->kind = kind;
    schedule(d);
    return change;
}

/* What was removed before is not reported again. */
static cc_status remove_message(cc_dispatch *d, const cc_change *change)
{
    cc_status status = cc_inbox_remove(d->inbox, change->app, change->seq, change->size);

    if (status == CC_OK && change->receipt)
        status = cc_inbox_report_add(d->inbox, change->server, change->id, cc_time_now());
    return status;
}

static cc_status apply_change(cc_dispatch *d, const cc_change *change)
{
    switch (change->kind) {
    case CC_CHANGE_REMOVE:
        return remove_message(d, change);
    case CC_CHANGE_ATTEMPT:
        return cc_inbox_attempt_set(d->inbox, change->app, change->seq, change->attempt);
    case CC_CHANGE_PUT_OFF:
        return cc_inbox_put_off(d->inbox, change->app, change->seq, change->due);
    case CC_CHANGE_REJECT:
        return cc_inbox_reject(d->inbox, change->app, change->seq, change->size,
                               change->why, cc_time_now());
    case CC_CHANGE_GAP:
        return cc_inbox_gap_remove(d->inbox, change->id);
    case CC_CHANGE_NONE:
        break;
    }
    return CC_OK;
}

cc_status cc_commit_apply(cc_dispatch *d)
{
    size_t i;
    cc_status status = CC_OK;

    for (i = 0; i < d->change_count && status == CC_OK; i++) {
        status = apply_change(d, &d->changes[i]);
        if (status == CC_EMPTY)
            status = CC_OK;
    }
    return status;
}

/* Said once when the inbox begins to fail. A disk that is nearly full takes what is
 * small and refuses what is large: that it works again is said when it has worked
 * for a while. */
void cc_commit_note(cc_dispatch *d, cc_status status)
{
    if (status == CC_DAMAGED)
        d->damaged = 1;
    d->failing = status != CC_OK;
    if (!d->failing)
        return;
    d->last_failure = cc_time_monotonic();
    snprintf(d->trouble, sizeof(d->trouble), "%s", cc_inbox_error(d->inbox));
    if (!d->failing_said)
        cc_log(CC_LOG_ERROR,
               "inbox cannot be used: %s; trying again, nothing is taken over or"
               " acknowledged meanwhile",
               d->trouble);
    d->failing_said = 1;
    cc_commit_set_timer(d->commit_timer, COMMIT_RETRY);
}

void cc_commit_look(cc_dispatch *d)
{
    if (!d->failing_said || d->failing
        || cc_time_monotonic() - d->last_failure < WELL_AGAIN)
        return;
    d->failing_said = 0;
    cc_log(CC_LOG_NOTICE, "inbox can be used again");
}

void cc_dispatch_note(cc_dispatch *d, cc_status status)
{
    cc_commit_note(d, status);
}

static void tell_change(cc_dispatch *d, const cc_change *change)
{
    const cc_client *client = change->client;

    if (client != NULL)
        client->calls->settled(client->baton, change->settled, change->id);
    if (change->receipt && d->report_call != NULL)
        d->report_call(d->report_baton, change->server);
}

/* One line, then at most one a minute. */
static void say_rejects(cc_dispatch *d, size_t count)
{
    int64_t now = cc_time_monotonic();

    d->rejects += count;
    if (d->rejects_said != 0 && now - d->rejects_said < REJECT_LINE)
        return;
    d->rejects_said = now;
    cc_log(CC_LOG_WARNING,
           "%zu message%s went to the dead list: rejected ('commclient dead' shows them)",
           d->rejects, d->rejects == 1 ? "" : "s");
    d->rejects = 0;
}

void cc_commit_applied(cc_dispatch *d, cc_status status)
{
    size_t i, count = d->change_count, rejects = 0;

    d->last_commit = cc_time_monotonic();
    d->commit_cost = d->last_commit - d->commit_begun;
    cc_commit_note(d, status);
    if (status != CC_OK)
        return;
    for (i = 0; i < count; i++) {
        tell_change(d, &d->changes[i]);
        rejects += d->changes[i].kind == CC_CHANGE_REJECT;
        free(d->changes[i].why);
    }
    d->change_count = 0;
    if (rejects > 0)
        say_rejects(d, rejects);
    if (d->change_room > 65536) {
        free(d->changes);
        d->changes = NULL;
        d->change_room = 0;
    }
    event_del(d->commit_timer);
}

cc_status cc_commit_begin(cc_dispatch *d)
{
    d->commit_begun = cc_time_monotonic();
    return cc_inbox_begin(d->inbox);
}

cc_status cc_commit_end(cc_dispatch *d, cc_status status)
{
    if (status == CC_OK)
        return cc_inbox_commit(d->inbox);
    cc_inbox_rollback(d->inbox);
    return status;
}

cc_status cc_dispatch_commit(cc_dispatch *d)
{
    cc_status status;

    if (d->change_count == 0)
        return CC_OK;
    status = cc_commit_begin(d);
    if (status == CC_OK)
        status = cc_commit_end(d, cc_commit_apply(d));
    cc_commit_applied(d, status);
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

/* When nothing waits for a commit, it is tried whether one would succeed. */
void cc_commit_on_timer(int descriptor, short what, void *baton)
{
    cc_dispatch *d = baton;
    int failed = d->failing;

    (void)descriptor;
    (void)what;
    if (d->change_count > 0)
        cc_dispatch_commit(d);
    else if (failed)
        cc_commit_note(d, cc_inbox_probe(d->inbox));
    if (failed && !d->failing)
        pump_all(d);
}

void cc_commit_forget_client(cc_dispatch *d, const cc_client *client)
{
    size_t i;

    for (i = 0; i < d->change_count; i++) {
        if (d->changes[i].client == client)
            d->changes[i].client = NULL;
    }
}

void cc_commit_clear(cc_dispatch *d)
{
    size_t i;

    for (i = 0; i < d->change_count; i++)
        free(d->changes[i].why);
    free(d->changes);
}
