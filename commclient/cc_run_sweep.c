/* SPDX-License-Identifier: Apache-2.0
 * cc_run_sweep.c - looking through the runs: for an id, for what has expired, for
 * what is over a quota, and for how much there is.
 */
#include "cc_compat.h"
#include "cc_run.h"
#include "cc_inbox_private.h"

#include <string.h>

/* The same, and whose it is. */
static cc_status begin_reading_any(sqlite3_stmt *statement, cc_run_reading *r,
                                   char *out_app)
{
    cc_slice app = cc_inbox_column(statement, 5);

    if (cc_name_check(app.data, app.len, CC_APP_MAX) != CC_OK)
        return CC_DAMAGED;
    memcpy(out_app, app.data, app.len);
    out_app[app.len] = '\0';
    return cc_run_read_begin(statement, r);
}

/* CC_OK: it is in this row; CC_EMPTY: it is not. */
static cc_status find_in_row(sqlite3_stmt *statement, const char *id, cc_place *out)
{
    cc_stored stored;
    cc_run_reading r;
    cc_status status = begin_reading_any(statement, &r, out->app);

    while (status == CC_OK && (status = cc_run_read_next(&r, &stored)) == CC_OK) {
        if (stored.attempt == CC_RUN_DONE || strcmp(stored.id, id) != 0)
            continue;
        out->seq = stored.seq;
        out->size = (int64_t)stored.body.len;
        out->attempt = stored.attempt;
        out->receipt = stored.receipt;
        memcpy(out->server, r.server, sizeof(out->server));
        return CC_OK;
    }
    return status;
}

cc_status cc_inbox_find(cc_inbox *inbox, const char *id, cc_place *out_place)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_ALL];
    cc_status found = CC_EMPTY, status = cc_seen_find(inbox, id);

    if (status != CC_OK)
        return status == CC_EMPTY ? CC_NOT_FOUND : status;
    while (found == CC_EMPTY && (status = cc_inbox_step(inbox, CC_SQL_ALL)) == CC_OK)
        found = find_in_row(statement, id, out_place);
    sqlite3_reset(statement);
    if (found == CC_DAMAGED)
        return cc_run_damaged(inbox);
    return found == CC_OK ? CC_OK : status;
}

/* Mark what has expired, and note when the next of the run does. */
static cc_status expire_row(cc_inbox *inbox, sqlite3_stmt *statement, int64_t now,
                            int64_t *dropped)
{
    char app[CC_APP_MAX + 1];
    int64_t earliest = 0;
    cc_stored stored;
    cc_run *run;
    cc_run_reading r;
    cc_status status = begin_reading_any(statement, &r, app);

    if (status == CC_OK)
        status = cc_run_find(inbox, app, r.first, &run);
    if (status != CC_OK)
        return status == CC_EMPTY ? CC_OK : status;
    while ((status = cc_run_read_next(&r, &stored)) == CC_OK) {
        if (stored.attempt == CC_RUN_DONE || stored.expires <= 0)
            continue;
        if (stored.expires <= now) {
            status = cc_run_finish(inbox, run, stored.seq, (int64_t)stored.body.len);
            if (status != CC_OK)
                return status;
            ++*dropped;
        }
        else if (earliest == 0 || stored.expires < earliest) {
            earliest = stored.expires;
        }
    }
    run->expires = earliest;
    run->is_dirty = run->has_expiry = 1;
    return status == CC_EMPTY ? CC_OK : status;
}

cc_status cc_run_expire(cc_inbox *inbox, int64_t now, int64_t *out_dropped)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_EXPIRED];
    cc_status row = CC_OK, status = CC_OK;

    *out_dropped = 0;
    sqlite3_bind_int64(statement, 1, now);
    while (row == CC_OK && (status = cc_inbox_step(inbox, CC_SQL_EXPIRED)) == CC_OK)
        row = expire_row(inbox, statement, now, out_dropped);
    sqlite3_reset(statement);
    if (row == CC_DAMAGED)
        return cc_run_damaged(inbox);
    if (row != CC_OK)
        return row;
    return status == CC_EMPTY ? CC_OK : status;
}

/* ---- making room ------------------------------------------------------- */

typedef struct shedding {
    cc_inbox *inbox;
    const cc_usage_entry *usage;
    int64_t most;
    int (*drop)(void *baton, const cc_stored *stored);
    void *baton;
} shedding;

static int is_enough(const shedding *s)
{
    return s->usage->bytes + s->usage->messages * CC_INBOX_MESSAGE_COST <= s->most;
}

/* A run says what the transaction did to it already, the row does not yet. */
static cc_status shed_row(shedding *s, sqlite3_stmt *statement)
{
    cc_stored stored;
    cc_run_reading r;
    cc_run *run;
    cc_status status = cc_run_read_begin(statement, &r);

    if (status == CC_OK)
        status = cc_run_find(s->inbox, s->usage->app, r.first, &run);
    while (status == CC_OK && !is_enough(s)) {
        status = cc_run_read_next(&r, &stored);
        if (status != CC_OK)
            break;
        stored.attempt = (unsigned char)run->state.data[stored.seq - run->first];
        if (stored.attempt != CC_RUN_DONE && s->drop(s->baton, &stored))
            status = cc_run_finish(s->inbox, run, stored.seq, (int64_t)stored.body.len);
    }
    if (status == CC_DAMAGED)
        return cc_run_damaged(s->inbox);
    return status == CC_EMPTY ? CC_OK : status;
}

cc_status cc_inbox_shed(cc_inbox *inbox, const char *app, int64_t most,
                        int (*drop)(void *baton, const cc_stored *stored), void *baton)
{
    shedding s = { inbox, cc_usage_find(&inbox->usage, app), most, drop, baton };
    sqlite3_stmt *statement = inbox->statements[CC_SQL_LOAD];
    cc_status row = CC_OK, status = CC_OK;

    if (s.usage == NULL)
        return CC_OK;
    cc_inbox_bind_text(statement, 1, app);
    sqlite3_bind_int64(statement, 2, 0);
    while (row == CC_OK && !is_enough(&s)
           && (status = cc_inbox_step(inbox, CC_SQL_LOAD)) == CC_OK)
        row = shed_row(&s, statement);
    sqlite3_reset(statement);
    if (row != CC_OK)
        return row;
    return status == CC_EMPTY ? CC_OK : status;
}

/* ---- counting ---------------------------------------------------------- */

/* Bytes of those messages of a run that are not done with. */
static cc_status measure_run(cc_inbox *inbox, const char *app, int64_t first,
                             int64_t *out_bytes)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_ROW];
    cc_stored stored;
    cc_run_reading r;
    cc_status status;

    *out_bytes = 0;
    cc_inbox_bind_text(statement, 1, app);
    sqlite3_bind_int64(statement, 2, first);
    status = cc_inbox_step(inbox, CC_SQL_ROW);
    if (status == CC_OK)
        status = cc_run_read_begin(statement, &r);
    while (status == CC_OK && (status = cc_run_read_next(&r, &stored)) == CC_OK) {
        if (stored.attempt != CC_RUN_DONE)
            *out_bytes += (int64_t)stored.body.len;
    }
    sqlite3_reset(statement);
    return status == CC_STORAGE ? status : CC_OK;
}

static int64_t count_waiting(cc_slice state)
{
    int64_t count = 0;
    size_t i;

    for (i = 0; i < state.len; i++)
        count += (unsigned char)state.data[i] != CC_RUN_DONE;
    return count;
}

/* Columns: seq, app, size, state. What is damaged is found when it is read. */
static cc_status count_row(cc_inbox *inbox, sqlite3_stmt *statement)
{
    cc_slice name = cc_inbox_column(statement, 1), state = cc_inbox_column(statement, 3);
    int64_t bytes = sqlite3_column_int64(statement, 2);
    int64_t messages = count_waiting(state);
    char app[CC_APP_MAX + 1];
    cc_status status = CC_OK;

    inbox->totals.messages += messages;
    if (cc_name_check(name.data, name.len, CC_APP_MAX) != CC_OK)
        return CC_OK;
    memcpy(app, name.data, name.len);
    app[name.len] = '\0';
    if (messages < (int64_t)state.len)
        status = measure_run(inbox, app, sqlite3_column_int64(statement, 0), &bytes);
    if (status == CC_OK)
        cc_usage_add(&inbox->usage, app, name.len, messages, bytes);
    return status;
}

cc_status cc_run_count(cc_inbox *inbox)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_STATES];
    cc_status row = CC_OK, status = CC_OK;

    while (row == CC_OK && (status = cc_inbox_step(inbox, CC_SQL_STATES)) == CC_OK)
        row = count_row(inbox, statement);
    sqlite3_reset(statement);
    if (row != CC_OK)
        return row;
    return status == CC_EMPTY ? CC_OK : status;
}
