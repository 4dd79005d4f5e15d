/* SPDX-License-Identifier: Apache-2.0
 * cc_outbox.c - messages on their way from local applications to the servers.
 *
 * In memory is what is needed to choose the next one; bodies are read when they
 * are sent. A message is first incoming (it waits for the commit), then in its
 * lane, then finished (it waits for the commit that removes it).
 */
#include "cc_compat.h"
#include "cc_outbox.h"
#include "cc_log.h"
#include "cc_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <event2/event.h>

#define NOW_GRACE    5000 /* ms in which a ttl of 0 must be taken          */
#define EXPIRY_STEP  5000 /* ms between two looks for expired messages     */
#define COMMIT_RETRY 1000 /* ms after one that failed                      */
#define REMOVE_STEP  5    /* ms that removals wait for each other           */

typedef struct ending {
    cc_command_error error;
    char id[CC_ID_MAX + 1];
    char state[CC_STATE_MAX + 1];
    char detail[256];
} ending;

typedef struct cc_outgoing {
    TAILQ_ENTRY(cc_outgoing) link;
    const cc_outbox_calls *calls; /* NULL: nobody is told                    */
    void *baton;
    char *ref;                   /* NULL: none                              */
    cc_publication *publication; /* NULL: it is committed                   */
    ending *ending;              /* NULL: not finished                      */
    cc_lane *lane;               /* NULL: finished                          */
    int64_t seq;
    int64_t expires; /* ms since 1970; 0: never                              */
    size_t size;     /* of the body                                          */
    char key[CC_KEY_MAX + 1];
} cc_outgoing;

typedef struct watcher {
    TAILQ_ENTRY(watcher) link;
    const char *server;
    void (*ready)(void *baton);
    void *baton;
} watcher;

TAILQ_HEAD(outgoing_list, cc_outgoing);

struct cc_outbox {
    const cc_config *config;
    cc_inbox *inbox;
    cc_dispatch *dispatch;
    cc_spool *spool;
    struct event *flush; /* made active by hand, or a timer after a failure */
    struct event *expiry;
    struct outgoing_list incoming;
    struct outgoing_list finished;
    TAILQ_HEAD(, cc_lane) lanes;
    TAILQ_HEAD(, watcher) watchers;
    cc_outbox_usage usage; /* of all but the finished                        */
    int64_t next_seq;
};

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

static void release_lane(cc_outbox *o, cc_lane *lane)
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
static void put_in_lane(cc_outbox *o, cc_outgoing *m, const char *server, const char *app)
{
    m->lane = get_lane(o, server, app);
    count_message(o, m, 1);
}

static void take_from_lane(cc_outbox *o, cc_outgoing *m)
{
    count_message(o, m, -1);
    m->lane = NULL;
}

static void call_watchers(cc_outbox *o, const char *server)
{
    watcher *w;

    TAILQ_FOREACH(w, &o->watchers, link)
    {
        if (strcmp(w->server, server) == 0)
            w->ready(w->baton);
    }
}

static void free_outgoing(cc_outgoing *m)
{
    if (m->publication != NULL)
        cc_publication_clear(m->publication);
    free(m->publication);
    free(m->ending);
    free(m->ref);
    free(m);
}

/* ---- commits --------------------------------------------------------- */

static void commit_soon(cc_outbox *o)
{
    event_active(o->flush, EV_TIMEOUT, 0);
}

static void commit_within(cc_outbox *o, int ms)
{
    struct timeval delay = { ms / 1000, ms % 1000 * 1000 };

    if (!event_pending(o->flush, EV_TIMEOUT, NULL))
        event_add(o->flush, &delay);
}

static void tell(const cc_outgoing *m)
{
    cc_outcome outcome = { m->ref, m->key, "", "", CC_ERROR_NONE, "" };

    if (m->calls == NULL)
        return;
    if (m->ending == NULL) {
        m->calls->spooled(m->baton, &outcome);
        return;
    }
    outcome.id = m->ending->id;
    outcome.state = m->ending->state;
    outcome.error = m->ending->error;
    outcome.detail = m->ending->detail;
    m->calls->finished(m->baton, &outcome);
}

static cc_status write_message(cc_outbox *o, const cc_outgoing *m)
{
    const cc_publication *p = m->publication;
    cc_spooled row;

    memset(&row, 0, sizeof(row));
    row.seq = m->seq;
    row.server = p->server;
    row.app = p->app;
    row.key = m->key;
    row.place = p->place.data;
    row.type = p->type;
    row.topic = p->topic;
    row.urgency = p->urgency;
    row.receipt = p->receipt;
    row.ttl = p->ttl;
    row.expires = m->expires;
    row.body = p->body;
    return cc_spool_add(o->spool, &row);
}

static cc_status write_changes(cc_outbox *o)
{
    cc_status status = cc_inbox_begin(o->inbox);
    cc_outgoing *m;

    if (status != CC_OK)
        return status;
    TAILQ_FOREACH(m, &o->incoming, link)
    {
        if (status == CC_OK)
            status = write_message(o, m);
    }
    TAILQ_FOREACH(m, &o->finished, link)
    {
        if (status == CC_OK)
            status = cc_spool_remove(o->spool, m->seq);
    }
    if (status == CC_OK)
        return cc_inbox_commit(o->inbox);
    cc_inbox_rollback(o->inbox);
    return status;
}

static ending *end_with(cc_outgoing *m, cc_command_error error, const char *detail)
{
    m->ending = cc_alloc(sizeof(*m->ending));
    m->ending->error = error;
    snprintf(m->ending->detail, sizeof(m->ending->detail), "%s", detail);
    return m->ending;
}

/* It is not on the disk, so it was not taken. */
static void give_up_incoming(cc_outbox *o)
{
    cc_outgoing *m;
    cc_lane *lane;

    while ((m = TAILQ_FIRST(&o->incoming)) != NULL) {
        lane = m->lane;
        TAILQ_REMOVE(&o->incoming, m, link);
        take_from_lane(o, m);
        release_lane(o, lane);
        end_with(m, CC_ERROR_STORAGE, "");
        tell(m);
        free_outgoing(m);
    }
}

static void begin_waiting(cc_outbox *o)
{
    cc_outgoing *m;

    while ((m = TAILQ_FIRST(&o->incoming)) != NULL) {
        TAILQ_REMOVE(&o->incoming, m, link);
        tell(m);
        cc_publication_clear(m->publication);
        free(m->publication);
        m->publication = NULL;
        TAILQ_INSERT_TAIL(&m->lane->messages, m, link);
        call_watchers(o, m->lane->server);
    }
}

static void let_finished_go(cc_outbox *o)
{
    cc_outgoing *m;

    while ((m = TAILQ_FIRST(&o->finished)) != NULL) {
        TAILQ_REMOVE(&o->finished, m, link);
        tell(m);
        free_outgoing(m);
    }
}

void cc_outbox_commit(cc_outbox *o)
{
    cc_status status;

    if (TAILQ_EMPTY(&o->incoming) && TAILQ_EMPTY(&o->finished))
        return;
    status = write_changes(o);
    cc_dispatch_note(o->dispatch, status);
    if (status != CC_OK) {
        give_up_incoming(o);
        commit_within(o, COMMIT_RETRY);
        return;
    }
    begin_waiting(o);
    let_finished_go(o);
}

static void on_flush(evutil_socket_t descriptor, short what, void *baton)
{
    (void)descriptor;
    (void)what;
    cc_outbox_commit(baton);
}

/* The first message of the lane, or one that is not being sent, is over. Should
 * the agent die before the commit, it is sent again with the same key.       */
static ending *finish(cc_outbox *o, cc_lane *lane, cc_outgoing *m, cc_command_error error,
                      const char *detail)
{
    TAILQ_REMOVE(&lane->messages, m, link);
    TAILQ_INSERT_TAIL(&o->finished, m, link);
    take_from_lane(o, m);
    commit_within(o, REMOVE_STEP);
    return end_with(m, error, detail);
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

static void on_expiry(evutil_socket_t descriptor, short what, void *baton)
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
        release_lane(o, lane);
    }
}

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

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        abort();
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
    put_in_lane(o, m, m->publication->server, m->publication->app);
    TAILQ_INSERT_TAIL(&o->incoming, m, link);
    commit_soon(o);
    return CC_ERROR_NONE;
}

static void forget_in(struct outgoing_list *list, const void *baton)
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

/* ---- giving ---------------------------------------------------------- */

void cc_outbox_watch(cc_outbox *o, const char *server, void (*ready)(void *baton),
                     void *baton)
{
    watcher *w = cc_alloc(sizeof(*w));

    w->server = server;
    w->ready = ready;
    w->baton = baton;
    TAILQ_INSERT_TAIL(&o->watchers, w, link);
}

void cc_outbox_unwatch(cc_outbox *o, const void *baton)
{
    watcher *w, *next;

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
            release_lane(o, lane);
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
    ending *how = finish(o, lane, TAILQ_FIRST(&lane->messages), CC_ERROR_NONE, "");

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
    release_lane(o, lane);
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
    put_in_lane(o, m, row->server, row->app);
    TAILQ_INSERT_TAIL(&m->lane->messages, m, link);
    if (row->seq >= o->next_seq && row->seq < INT64_MAX)
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
    o->flush = event_new(base, -1, 0, on_flush, o);
    o->expiry = evtimer_new(base, on_expiry, o);
    status = cc_spool_open(inbox, &o->spool);
    if (status == CC_OK)
        status = cc_spool_list(o->spool, load_message, o);
    if (status != CC_OK) {
        cc_outbox_destroy(o);
        return status;
    }
    warn_of_stranded(o);
    on_expiry(-1, 0, o);
    *out_outbox = o;
    return CC_OK;
}

static void free_list(struct outgoing_list *list)
{
    cc_outgoing *m;

    while ((m = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, m, link);
        free_outgoing(m);
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
            free_outgoing(m);
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
