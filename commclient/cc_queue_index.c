/* SPDX-License-Identifier: Apache-2.0
 * cc_queue_index.c - applications by name and messages in memory by id.
 */
#include "cc_compat.h"
#include "cc_dispatch_private.h"

#include <stdlib.h>
#include <string.h>

static uint32_t hash_bytes(const char *data, size_t len)
{
    uint32_t hash = 2166136261u;

    while (len-- > 0)
        hash = (hash ^ (unsigned char)*data++) * 16777619u;
    return hash;
}

/* ---- applications ---------------------------------------------------- */

cc_app *cc_queue_find_app(cc_dispatch *d, const char *data, size_t len)
{
    cc_app *app = d->apps[hash_bytes(data, len) % CC_APP_BUCKETS];

    while (app != NULL && (strlen(app->name) != len || memcmp(app->name, data, len) != 0))
        app = app->next;
    return app;
}

cc_app *cc_queue_get_app(cc_dispatch *d, const char *name)
{
    size_t len = strlen(name);
    cc_app *app = cc_queue_find_app(d, name, len);
    uint32_t bucket = hash_bytes(name, len) % CC_APP_BUCKETS;

    if (app != NULL)
        return app;
    app = cc_alloc(sizeof(*app));
    memcpy(app->name, name, len + 1);
    TAILQ_INIT(&app->pending);
    TAILQ_INIT(&app->later);
    TAILQ_INIT(&app->gaps);
    TAILQ_INIT(&app->takers);
    TAILQ_INIT(&app->watchers);
    app->next = d->apps[bucket];
    d->apps[bucket] = app;
    return app;
}

void cc_queue_release_app(cc_dispatch *d, cc_app *app)
{
    cc_app **place = &d->apps[hash_bytes(app->name, strlen(app->name)) % CC_APP_BUCKETS];

    if (!TAILQ_EMPTY(&app->takers) || !TAILQ_EMPTY(&app->watchers))
        return;
    while (*place != app)
        place = &(*place)->next;
    *place = app->next;
    free(app);
}

/* ---- the table by id ------------------------------------------------- */

static cc_message **bucket_of(cc_dispatch *d, const char *id)
{
    return &d->table[hash_bytes(id, strlen(id)) & (d->buckets - 1)];
}

static void grow_table(cc_dispatch *d)
{
    cc_message **old = d->table, *message, *next;
    size_t count = d->buckets, i;

    d->buckets = count ? count * 2 : 256;
    d->table = cc_alloc(d->buckets * sizeof(*d->table));
    for (i = 0; i < count; i++) {
        for (message = old[i]; message != NULL; message = next) {
            cc_message **place = bucket_of(d, message->id);

            next = message->next;
            message->next = *place;
            *place = message;
        }
    }
    free(old);
}

void cc_queue_index(cc_dispatch *d, cc_message *message)
{
    cc_message **place;

    if (d->message_count >= d->buckets)
        grow_table(d);
    place = bucket_of(d, message->id);
    message->next = *place;
    *place = message;
    d->message_count++;
}

void cc_queue_unindex(cc_dispatch *d, cc_message *message)
{
    cc_message **place = bucket_of(d, message->id);

    while (*place != message)
        place = &(*place)->next;
    *place = message->next;
    d->message_count--;
}

/* Two servers may use one id: that which the client was given comes first. */
cc_message *cc_queue_find(cc_dispatch *d, const char *id, const cc_client *client)
{
    cc_message *message, *found = NULL;

    if (d->buckets == 0)
        return NULL;
    for (message = *bucket_of(d, id); message != NULL; message = message->next) {
        if (strcmp(message->id, id) != 0)
            continue;
        if (message->owner != NULL && message->owner->client == client)
            return message;
        if (found == NULL)
            found = message;
    }
    return found;
}

cc_message *cc_queue_find_seq(cc_dispatch *d, const char *app, const char *id,
                              int64_t seq)
{
    cc_message *message = d->buckets > 0 ? *bucket_of(d, id) : NULL;

    while (message != NULL
           && (message->seq != seq || strcmp(message->app->name, app) != 0))
        message = message->next;
    return message;
}
