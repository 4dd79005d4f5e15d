/* SPDX-License-Identifier: Apache-2.0
 * cc_inbox_dead.c - the dead list of the inbox: what cannot be used, and what
 * applications rejected.
 */
#include "cc_compat.h"
#include "cc_inbox_private.h"

#define DEAD_MAX       1000       /* messages on the dead list              */
#define DEAD_BYTES_MAX (64 << 20) /* bytes of them                          */

static cc_status remove_dead(cc_inbox *inbox, int64_t seq, int64_t size)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_DEAD_REMOVE];

    sqlite3_bind_int64(statement, 1, seq);
    inbox->totals.dead--;
    inbox->totals.dead_bytes -= size;
    return cc_inbox_run(inbox, CC_SQL_DEAD_REMOVE);
}

static cc_status drop_oldest_dead(cc_inbox *inbox)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_DEAD_OLDEST];
    int64_t seq = 0, size = 0;
    cc_status status;

    status = cc_inbox_step(inbox, CC_SQL_DEAD_OLDEST);
    if (status == CC_OK) {
        seq = sqlite3_column_int64(statement, 0);
        size = sqlite3_column_int64(statement, 1);
    }
    sqlite3_reset(statement);
    if (status != CC_OK)
        return status;
    return remove_dead(inbox, seq, size);
}

static cc_status make_room(cc_inbox *inbox)
{
    const cc_inbox_totals *totals = &inbox->totals;
    cc_status status = CC_OK;

    while (status == CC_OK && totals->dead > 1
           && (totals->dead > DEAD_MAX || totals->dead_bytes > DEAD_BYTES_MAX))
        status = drop_oldest_dead(inbox);
    return status == CC_EMPTY ? CC_OK : status;
}

/* What of a cc_dead is known by slices. */
typedef struct burial {
    const char *server;
    cc_slice app;
    cc_slice id;
    const char *why;
    cc_slice raw;
    int attempt;
} burial;

static cc_status bury(cc_inbox *inbox, const burial *b, int64_t now)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_BURY];
    cc_status status;

    sqlite3_bind_int64(statement, 1, now);
    sqlite3_bind_int64(statement, 2, (int64_t)b->raw.len);
    cc_inbox_bind_text(statement, 3, b->server);
    cc_inbox_bind(statement, 4, b->app);
    cc_inbox_bind(statement, 5, b->id);
    cc_inbox_bind_text(statement, 6, b->why);
    sqlite3_bind_blob(statement, 7, b->raw.len ? b->raw.data : "", (int)b->raw.len,
                      SQLITE_STATIC);
    sqlite3_bind_int64(statement, 8, b->attempt);
    status = cc_inbox_run(inbox, CC_SQL_BURY);
    if (status != CC_OK)
        return status;
    inbox->totals.dead++;
    inbox->totals.dead_bytes += (int64_t)b->raw.len;
    return make_room(inbox);
}

cc_status cc_inbox_bury(cc_inbox *inbox, const char *server, cc_slice app, cc_slice id,
                        const char *why, cc_slice raw, int64_t now)
{
    burial b = { server, app, id, why, raw, 0 };

    return bury(inbox, &b, now);
}

/* ---- rejecting --------------------------------------------------------- */

typedef struct rejecting {
    cc_inbox *inbox;
    const char *app;
    const char *why;
    int64_t now;
    cc_status status;
} rejecting;

/* One that was here counts as given: cc_inbox_restore() takes others that came
 * again for doubles. */
static void bury_stored(void *baton, const cc_stored *stored)
{
    rejecting *r = baton;
    cc_buffer raw = { NULL, 0, 0 };
    burial b = {
        stored->server, cc_slice_of(r->app), cc_slice_of(stored->id),
        r->why,         { NULL, 0 },         stored->attempt > 0 ? stored->attempt : 1
    };

    cc_buffer_add_text(&raw, "{");
    cc_buffer_add(&raw, stored->body.data, stored->body.len);
    cc_buffer_add_text(&raw, "}");
    b.raw.data = raw.data;
    b.raw.len = raw.len;
    r->status = bury(r->inbox, &b, r->now);
    cc_buffer_clear(&raw);
}

cc_status cc_inbox_reject(cc_inbox *inbox, const char *app, int64_t seq, int64_t size,
                          const char *why, int64_t now)
{
    rejecting r = { inbox, app, why, now, CC_OK };
    cc_status status = cc_inbox_remove(inbox, app, seq, size);

    if (status != CC_OK)
        return status;
    status = cc_inbox_read(inbox, app, seq, bury_stored, &r);
    return status == CC_OK ? r.status : status;
}

/* ---- reading ----------------------------------------------------------- */

static void read_row(sqlite3_stmt *statement, cc_dead *out)
{
    out->number = sqlite3_column_int64(statement, 0);
    out->time = sqlite3_column_int64(statement, 1);
    out->size = sqlite3_column_int64(statement, 2);
    out->server = cc_inbox_column_text(statement, 3);
    out->app = cc_inbox_column_text(statement, 4);
    out->id = cc_inbox_column_text(statement, 5);
    out->reason = cc_inbox_column_text(statement, 6);
    out->attempt = sqlite3_column_int(statement, 7);
    out->raw.data = "";
    out->raw.len = 0;
}

cc_status cc_inbox_dead_list(cc_inbox *inbox,
                             void (*each)(void *baton, const cc_dead *dead), void *baton)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_DEAD_LIST];
    cc_status status;
    cc_dead dead;

    while ((status = cc_inbox_step(inbox, CC_SQL_DEAD_LIST)) == CC_OK) {
        read_row(statement, &dead);
        each(baton, &dead);
    }
    sqlite3_reset(statement);
    return status == CC_EMPTY ? CC_OK : status;
}

cc_status cc_inbox_dead_apps(cc_inbox *inbox,
                             void (*each)(void *baton, const char *app, int64_t count),
                             void *baton)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_DEAD_APPS];
    cc_status status;

    while ((status = cc_inbox_step(inbox, CC_SQL_DEAD_APPS)) == CC_OK)
        each(baton, cc_inbox_column_text(statement, 0),
             sqlite3_column_int64(statement, 1));
    sqlite3_reset(statement);
    return status == CC_EMPTY ? CC_OK : status;
}

cc_status cc_inbox_dead_get(cc_inbox *inbox, int64_t number,
                            void (*each)(void *baton, const cc_dead *dead), void *baton)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_DEAD_GET];
    cc_status status;
    cc_dead dead;

    sqlite3_bind_int64(statement, 1, number);
    status = cc_inbox_step(inbox, CC_SQL_DEAD_GET);
    if (status == CC_OK) {
        read_row(statement, &dead);
        dead.raw = cc_inbox_column(statement, 8);
        each(baton, &dead);
    }
    sqlite3_reset(statement);
    return status;
}

static void note_size(void *baton, const cc_dead *dead)
{
    *(int64_t *)baton = dead->size;
}

cc_status cc_inbox_dead_remove(cc_inbox *inbox, int64_t number)
{
    int64_t size = 0;
    cc_status status = cc_inbox_dead_get(inbox, number, note_size, &size);

    return status == CC_OK ? remove_dead(inbox, number, size) : status;
}
