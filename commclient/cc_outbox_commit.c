/* SPDX-License-Identifier: Apache-2.0
 * cc_outbox_commit.c - messages that come and go, written together.
 */
#include "cc_compat.h"
#include "cc_outbox_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COMMIT_RETRY 1000 /* ms after one that failed                      */

void cc_outgoing_free(cc_outgoing *m)
{
    if (m->publication != NULL)
        cc_publication_clear(m->publication);
    free(m->publication);
    free(m->ending);
    free(m->ref);
    free(m);
}

void cc_outbox_commit_soon(cc_outbox *o)
{
    event_active(o->flush, EV_TIMEOUT, 0);
}

void cc_outbox_commit_within(cc_outbox *o, int ms)
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

cc_ending *cc_outgoing_end(cc_outgoing *m, cc_command_error error, const char *detail)
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
        cc_outbox_take_from_lane(o, m);
        cc_outbox_release_lane(o, lane);
        cc_outgoing_end(m, CC_ERROR_STORAGE, "");
        tell(m);
        cc_outgoing_free(m);
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
        cc_outbox_call_watchers(o, m->lane->server);
    }
}

static void let_finished_go(cc_outbox *o)
{
    cc_outgoing *m;

    while ((m = TAILQ_FIRST(&o->finished)) != NULL) {
        TAILQ_REMOVE(&o->finished, m, link);
        tell(m);
        cc_outgoing_free(m);
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
        cc_outbox_commit_within(o, COMMIT_RETRY);
        return;
    }
    begin_waiting(o);
    let_finished_go(o);
}

void cc_outbox_on_flush(evutil_socket_t descriptor, short what, void *baton)
{
    (void)descriptor;
    (void)what;
    cc_outbox_commit(baton);
}
