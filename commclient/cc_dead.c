/* SPDX-License-Identifier: Apache-2.0
 * cc_dead.c - what the user does with the dead list.
 */
#include "cc_compat.h"
#include "cc_dispatch_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cc_dispatch_dead_id(const cc_dead *dead, char out_id[CC_DEAD_ID_MAX])
{
    if (dead->id[0] != '\0')
        snprintf(out_id, CC_DEAD_ID_MAX, "%s", dead->id);
    else
        snprintf(out_id, CC_DEAD_ID_MAX, "dead.%lld", (long long)dead->number);
}

static int is_meant(const cc_dead_choice *choice, const cc_dead *dead)
{
    char number[CC_DEAD_ID_MAX];

    if (choice->app[0] != '\0' && strcmp(choice->app, dead->app) != 0)
        return 0;
    snprintf(number, sizeof(number), "dead.%lld", (long long)dead->number);
    return choice->id[0] == '\0' || strcmp(choice->id, dead->id) == 0
           || strcmp(choice->id, number) == 0;
}

/* ---- finding ------------------------------------------------------------- */

/* The numbers of those that are meant. */
typedef struct finding {
    const cc_dead_choice *choice;
    void (*each)(void *baton, const cc_dead *dead); /* or NULL                 */
    void *baton;
    int64_t *numbers;
    size_t count;
    size_t room;
} finding;

static void find_one(void *baton, const cc_dead *dead)
{
    finding *f = baton;

    if (!is_meant(f->choice, dead))
        return;
    if (f->count == f->room) {
        f->room = f->room ? f->room * 2 : 64;
        f->numbers = cc_realloc(f->numbers, f->room * sizeof(*f->numbers));
    }
    f->numbers[f->count++] = dead->number;
    if (f->each != NULL)
        f->each(f->baton, dead);
}

static cc_status find(cc_dispatch *d, finding *f)
{
    cc_status status = cc_inbox_dead_list(d->inbox, find_one, f);

    if (status != CC_OK)
        cc_commit_note(d, status);
    else if (f->count == 0 && f->choice->id[0] != '\0')
        status = CC_NOT_FOUND;
    return status;
}

cc_status cc_dispatch_dead_list(cc_dispatch *d, const cc_dead_choice *choice,
                                void (*each)(void *baton, const cc_dead *dead),
                                void *baton)
{
    finding f = { choice, each, baton, NULL, 0, 0 };
    cc_status status = find(d, &f);

    free(f.numbers);
    return status;
}

cc_status cc_dispatch_dead_get(cc_dispatch *d, const cc_dead_choice *choice,
                               void (*each)(void *baton, const cc_dead *dead),
                               void *baton)
{
    finding f = { choice, NULL, NULL, NULL, 0, 0 };
    cc_status status = find(d, &f);

    if (status == CC_OK && f.count > 0)
        status = cc_inbox_dead_get(d->inbox, f.numbers[f.count - 1], each, baton);
    free(f.numbers);
    return status;
}

/* ---- removing ------------------------------------------------------------ */

static cc_status remove_found(cc_dispatch *d, const finding *f)
{
    cc_status status = CC_OK;
    size_t i;

    for (i = 0; i < f->count && status == CC_OK; i++)
        status = cc_inbox_dead_remove(d->inbox, f->numbers[i]);
    return status;
}

cc_status cc_dispatch_dead_remove(cc_dispatch *d, const cc_dead_choice *choice,
                                  size_t *out_removed)
{
    finding f = { choice, NULL, NULL, NULL, 0, 0 };
    cc_status status = find(d, &f);

    *out_removed = 0;
    if (status == CC_OK && f.count > 0) {
        status = cc_commit_begin(d);
        if (status == CC_OK)
            status = cc_commit_end(d, remove_found(d, &f));
        cc_commit_note(d, status);
        *out_removed = status == CC_OK ? f.count : 0;
    }
    free(f.numbers);
    return status;
}

/* ---- giving again -------------------------------------------------------- */

typedef struct retrying {
    cc_dispatch *d;
    int64_t now;
    cc_status status; /* of the last one                                     */
    size_t retried;
    size_t left;
} retrying;

static int can_be_given(const cc_dispatch *d, const cc_dead *dead, cc_envelope *out)
{
    char app[CC_APP_MAX + 1];

    if (cc_envelope_parse(dead->raw.data, dead->raw.len, out) != CC_OK
        || out->unusable != NULL || out->body.len > (size_t)d->config->max_message)
        return 0;
    memcpy(app, out->app.data, out->app.len);
    app[out->app.len] = '\0';
    return cc_config_may_feed(d->config, dead->server, app);
}

/* Until all are committed, `touched` says which applications got something. */
static void restore(void *baton, const cc_dead *dead)
{
    retrying *r = baton;
    cc_envelope envelope;
    int64_t seq = 0;
    cc_app *app;

    if (!can_be_given(r->d, dead, &envelope)) {
        r->status = CC_MALFORMED;
        return;
    }
    r->status = cc_inbox_restore(r->d->inbox, dead->server, &envelope, r->now,
                                 dead->attempt, &seq);
    if (r->status == CC_DUPLICATE)
        r->status = CC_OK;
    app = cc_queue_find_app(r->d, envelope.app.data, envelope.app.len);
    if (app != NULL)
        app->touched = 1;
}

static cc_status restore_found(retrying *r, const finding *f)
{
    cc_status status = CC_OK;
    size_t i;

    for (i = 0; i < f->count && status == CC_OK; i++) {
        status = cc_inbox_dead_get(r->d->inbox, f->numbers[i], restore, r);
        if (status == CC_OK)
            status = r->status;
        if (status == CC_OK)
            status = cc_inbox_dead_remove(r->d->inbox, f->numbers[i]);
        r->retried += status == CC_OK;
        r->left += status == CC_MALFORMED;
        if (status == CC_MALFORMED)
            status = CC_OK;
    }
    return status;
}

static void give_restored(cc_dispatch *d, cc_status status)
{
    cc_app *app;
    int i;

    for (i = 0; i < CC_APP_BUCKETS; i++) {
        for (app = d->apps[i]; app != NULL; app = app->next) {
            if (!app->touched)
                continue;
            app->touched = 0;
            app->more = 1;
            if (status == CC_OK && !TAILQ_EMPTY(&app->takers))
                cc_queue_pump(d, app);
        }
    }
}

cc_status cc_dispatch_dead_retry(cc_dispatch *d, const cc_dead_choice *choice,
                                 int64_t now, size_t *out_retried, size_t *out_left)
{
    finding f = { choice, NULL, NULL, NULL, 0, 0 };
    retrying r = { d, now, CC_OK, 0, 0 };
    cc_status status = find(d, &f);

    *out_retried = *out_left = 0;
    if (status == CC_OK && f.count > 0) {
        status = cc_commit_begin(d);
        if (status == CC_OK)
            status = cc_commit_end(d, restore_found(&r, &f));
        cc_commit_note(d, status);
        give_restored(d, status);
        if (status == CC_OK) {
            *out_retried = r.retried;
            *out_left = r.left;
        }
    }
    free(f.numbers);
    return status;
}
