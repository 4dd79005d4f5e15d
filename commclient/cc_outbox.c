/* SPDX-License-Identifier: Apache-2.0
 * cc_outbox.c - messages on their way from local applications to the servers: taking
 * them, and the life of it all.
 *
 * Lanes are cc_outbox_lane.c, the commits cc_outbox_commit.c.
 */
#include "cc_compat.h"
#include "cc_log.h"
#include "cc_outbox_private.h"
#include "cc_random.h"
#include "cc_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW_GRACE 5000 /* ms in which a ttl of 0 must be taken          */

/* ---- taking ---------------------------------------------------------- */

/* The server that a publication names, or the only one that publishes. */
static const cc_server_config *find_server(const cc_config *config, const char *name)
{
    const cc_server_config *found = NULL;
    size_t i;

    for (i = 0; i < config->server_count; i++) {
        const cc_server_config *server = &config->servers[i];

        if (server->publish == NULL
            || (name[0] != '\0' && strcmp(server->name, name) != 0))
            continue;
        if (found != NULL)
            return NULL;
        found = server;
    }
    return found;
}

static void draw_key(char out[CC_KEY_MAX + 1])
{
    unsigned char bytes[CC_KEY_BYTES];
    size_t i;

    cc_random_fill(bytes, sizeof(bytes));
    for (i = 0; i < sizeof(bytes); i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

static int64_t expiry_of(const cc_publication *p, int64_t now)
{
    if (p->ttl < 0)
        return 0;
    return now + (p->ttl == 0 ? NOW_GRACE : p->ttl * 1000);
}

/* A body that is a slice of the line is copied. */
static cc_publication *take_over(cc_publication *publication, const char *server,
                                 const char *app)
{
    cc_publication *own = cc_alloc(sizeof(*own));

    *own = *publication;
    snprintf(own->server, sizeof(own->server), "%s", server);
    if (app != publication->app)
        snprintf(own->app, sizeof(own->app), "%s", app);
    memset(publication, 0, sizeof(*publication));
    if (own->body.len > 0 && own->body.data != own->decoded.data) {
        cc_buffer_add(&own->decoded, own->body.data, own->body.len);
        own->body.data = own->decoded.data;
    }
    return own;
}

/* What the application has in the spool, for all servers. */
static cc_outbox_usage usage_of(const cc_outbox *o, const char *app)
{
    cc_outbox_usage usage = { 0, 0 };
    const cc_lane *lane;

    TAILQ_FOREACH(lane, &o->lanes, link)
    {
        if (strcmp(lane->app, app) != 0)
            continue;
        usage.messages += lane->count;
        usage.bytes += lane->bytes;
    }
    return usage;
}

/* One application takes no more than it leaves free; its first message always
 * has a chance. */
static int has_room(const cc_outbox *o, const char *app, size_t size)
{
    cc_outbox_usage own = usage_of(o, app);
    int64_t count = CC_SPOOL_COUNT_MAX - o->usage.messages - 1;
    int64_t bytes =
        o->config->spool_max - o->usage.bytes - (int64_t)size - CC_SPOOL_MESSAGE_COST;

    if (count < 0 || bytes < 0)
        return 0;
    return own.messages == 0
           || (own.messages + 1 <= count
               && own.bytes + (int64_t)size + CC_SPOOL_MESSAGE_COST <= bytes);
}

cc_command_error cc_outbox_take(cc_outbox *o, cc_publication *publication,
                                const char *app, int64_t now,
                                const cc_outbox_calls *calls, void *baton)
{
    const cc_server_config *server = find_server(o->config, publication->server);
    cc_outgoing *m;

    if (server == NULL)
        return CC_ERROR_NO_SERVER;
    if (!has_room(o, app, publication->body.len))
        return CC_ERROR_FULL;
    m = cc_alloc(sizeof(*m));
    m->calls = calls;
    m->baton = baton;
    m->ref = publication->has_ref ? cc_copy(publication->ref) : NULL;
    m->size = publication->body.len;
    m->expires = expiry_of(publication, now);
    m->seq = o->next_seq++;
    m->publication = take_over(publication, server->name, app);
    draw_key(m->key);
    cc_outbox_put_in_lane(o, m, m->publication->server, m->publication->app);
    TAILQ_INSERT_TAIL(&o->incoming, m, link);
    cc_outbox_commit_soon(o);
    return CC_ERROR_NONE;
}

static void forget_in(struct cc_outgoing_list *list, const void *baton)
{
    cc_outgoing *m;

    TAILQ_FOREACH(m, list, link)
    {
        if (m->baton == baton)
            m->calls = NULL;
    }
}

void cc_outbox_forget(cc_outbox *o, const void *baton)
{
    cc_outgoing *m;
    cc_lane *lane;

    forget_in(&o->incoming, baton);
    forget_in(&o->finished, baton);
    TAILQ_FOREACH(lane, &o->lanes, link)
    {
        TAILQ_FOREACH(m, &lane->messages, link)
        {
            if (m->baton == baton)
                m->calls = NULL;
        }
    }
}

/* ---- life ------------------------------------------------------------ */

static void load_message(void *baton, const cc_spooled *row)
{
    cc_outbox *o = baton;
    cc_outgoing *m = cc_alloc(sizeof(*m));

    m->seq = row->seq;
    m->expires = row->expires;
    m->size = row->size;
    snprintf(m->key, sizeof(m->key), "%s", row->key);
    cc_outbox_put_in_lane(o, m, row->server, row->app);
    TAILQ_INSERT_TAIL(&m->lane->messages, m, link);
    if (row->seq >= o->next_seq && row->seq < INT64_MAX / 2)
        o->next_seq = row->seq + 1;
}

/* Messages of a server that has gone from the configuration wait for it. */
static void warn_of_stranded(const cc_outbox *o)
{
    const cc_server_config *server;
    cc_lane *lane;

    TAILQ_FOREACH(lane, &o->lanes, link)
    {
        server = cc_config_find_server(o->config, lane->server);
        if (server == NULL || server->publish == NULL)
            cc_log(CC_LOG_WARNING,
                   "messages of '%s' wait for [server %s], which has no publish: they"
                   " stay in the spool until it has, or they expire",
                   lane->app, lane->server);
    }
}

cc_status cc_outbox_create(const cc_config *config, cc_inbox *inbox,
                           cc_dispatch *dispatch, struct event_base *base,
                           cc_outbox **out_outbox)
{
    cc_outbox *o = cc_alloc(sizeof(*o));
    cc_status status;

    o->config = config;
    o->inbox = inbox;
    o->dispatch = dispatch;
    o->next_seq = 1;
    TAILQ_INIT(&o->incoming);
    TAILQ_INIT(&o->finished);
    TAILQ_INIT(&o->lanes);
    TAILQ_INIT(&o->watchers);
    o->flush = event_new(base, -1, 0, cc_outbox_on_flush, o);
    o->expiry = evtimer_new(base, cc_outbox_on_expiry, o);
    status = cc_spool_open(inbox, &o->spool);
    if (status == CC_OK)
        status = cc_spool_list(o->spool, load_message, o);
    if (status != CC_OK) {
        cc_outbox_destroy(o);
        return status;
    }
    warn_of_stranded(o);
    cc_outbox_on_expiry(-1, 0, o);
    *out_outbox = o;
    return CC_OK;
}

static void free_list(struct cc_outgoing_list *list)
{
    cc_outgoing *m;

    while ((m = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, m, link);
        cc_outgoing_free(m);
    }
}

void cc_outbox_destroy(cc_outbox *o)
{
    cc_outgoing *m;
    cc_lane *lane;

    if (o == NULL)
        return;
    if (o->spool != NULL)
        cc_outbox_commit(o);
    free_list(&o->incoming);
    free_list(&o->finished);
    while ((lane = TAILQ_FIRST(&o->lanes)) != NULL) {
        while ((m = TAILQ_FIRST(&lane->messages)) != NULL) {
            TAILQ_REMOVE(&lane->messages, m, link);
            cc_outgoing_free(m);
        }
        TAILQ_REMOVE(&o->lanes, lane, link);
        free(lane);
    }
    cc_spool_close(o->spool);
    event_free(o->flush);
    event_free(o->expiry);
    free(o);
}

void cc_outbox_config_set(cc_outbox *o, const cc_config *config)
{
    o->config = config;
    warn_of_stranded(o);
}

void cc_outbox_usage_get(const cc_outbox *o, const char *server,
                         cc_outbox_usage *out_usage)
{
    const cc_outgoing *m;
    const cc_lane *lane;

    *out_usage = o->usage;
    if (server == NULL)
        return;
    memset(out_usage, 0, sizeof(*out_usage));
    TAILQ_FOREACH(lane, &o->lanes, link)
    {
        if (strcmp(lane->server, server) != 0)
            continue;
        TAILQ_FOREACH(m, &lane->messages, link)
        {
            out_usage->messages++;
            out_usage->bytes += (int64_t)m->size + CC_SPOOL_MESSAGE_COST;
        }
    }
}
