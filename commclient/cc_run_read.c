/* SPDX-License-Identifier: Apache-2.0
 * cc_run_read.c - reading messages of one application from their runs.
 */
#include "cc_compat.h"
#include "cc_run.h"
#include "cc_inbox_private.h"
#include "cc_json.h"

#include <string.h>

typedef struct loading {
    int64_t after;
    int64_t now;
    int limit;
    size_t max_bytes;
    int count;
    size_t bytes;
    void (*each)(void *baton, const cc_stored *stored);
    void *baton;
} loading;

static int is_filled(const loading *l)
{
    return l->count >= l->limit || l->bytes >= l->max_bytes;
}

static unsigned char one_more(int attempt)
{
    return (unsigned char)(attempt < CC_RUN_ATTEMPTS ? attempt + 1 : CC_RUN_ATTEMPTS);
}

/* Until when it was put off; 0: it was not. */
static cc_status read_delay(cc_inbox *inbox, const char *app, int64_t seq,
                            int64_t *out_due)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_LATER_GET];
    cc_status status;

    *out_due = 0;
    if (inbox->totals.later == 0)
        return CC_OK;
    cc_inbox_bind_text(statement, 1, app);
    sqlite3_bind_int64(statement, 2, seq);
    status = cc_inbox_step(inbox, CC_SQL_LATER_GET);
    if (status == CC_OK)
        *out_due = sqlite3_column_int64(statement, 0);
    sqlite3_reset(statement);
    return status == CC_EMPTY ? CC_OK : status;
}

/* What is handed out becomes a line of JSON, with something put in at head_len:
 * members must stand there, and one must end there. */
static int is_readable(const cc_stored *stored)
{
    const char *cut = stored->body.data + stored->head_len;
    int is_cut_well = 0;
    cc_slice ignored;
    cc_json json;

    cc_json_init(&json, stored->body.data, stored->body.len);
    for (;;) {
        if (cc_json_string(&json, &ignored) != CC_OK || cc_json_peek(&json) != ':')
            return 0;
        json.at++;
        if (cc_json_skip(&json, NULL, NULL) != CC_OK)
            return 0;
        is_cut_well |= json.at == cut;
        if (cc_json_peek(&json) != ',')
            return is_cut_well && cc_json_finish(&json) == CC_OK;
        json.at++;
    }
}

static cc_status hand_out(cc_inbox *inbox, const char *app, cc_stored *stored, loading *l)
{
    cc_status status;

    if (!is_readable(stored))
        return cc_run_damaged(inbox);
    status = read_delay(inbox, app, stored->seq, &stored->due);
    if (status != CC_OK)
        return status;
    if (stored->due > l->now + CC_DELAY_MAX * (int64_t)1000)
        stored->due = 0;
    l->each(l->baton, stored);
    l->count++;
    l->bytes += stored->body.len;
    return CC_OK;
}

/* Hand out what of the run in this row is waiting, and mark it as given. */
static cc_status load_row(cc_inbox *inbox, sqlite3_stmt *statement, const char *app,
                          loading *l)
{
    cc_run_reading r;
    cc_stored stored;
    cc_run *run;
    cc_status status = cc_run_read_begin(statement, &r);

    if (status != CC_OK)
        return cc_run_damaged(inbox);
    run = cc_run_open(inbox, app, strlen(app), r.first);
    run->size = sqlite3_column_int64(statement, 3);
    cc_buffer_add(&run->state, r.state.data, r.state.len);
    while (!is_filled(l) && (status = cc_run_read_next(&r, &stored)) == CC_OK) {
        if (stored.seq <= l->after || stored.attempt == CC_RUN_DONE)
            continue;
        status = hand_out(inbox, app, &stored, l);
        if (status != CC_OK)
            return status;
        if (stored.due <= l->now)
            cc_run_state_set(run, stored.seq, one_more(stored.attempt));
    }
    return status == CC_DAMAGED ? cc_run_damaged(inbox) : CC_OK;
}

static cc_status load_rows(cc_inbox *inbox, const char *app, loading *l)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_LOAD];
    cc_status status = CC_OK;

    cc_inbox_bind_text(statement, 1, app);
    sqlite3_bind_int64(statement, 2, l->after);
    while (status == CC_OK && !is_filled(l)) {
        status = cc_inbox_step(inbox, CC_SQL_LOAD);
        if (status == CC_OK)
            status = load_row(inbox, statement, app, l);
    }
    sqlite3_reset(statement);
    return status == CC_EMPTY ? CC_OK : status;
}

cc_status cc_inbox_load(cc_inbox *inbox, const char *app, int64_t after, int64_t now,
                        int limit, size_t max_bytes,
                        void (*each)(void *baton, const cc_stored *stored), void *baton)
{
    loading l = { after, now, limit, max_bytes, 0, 0, each, baton };
    cc_status status = cc_inbox_begin(inbox);

    if (status != CC_OK)
        return status;
    status = load_rows(inbox, app, &l);
    if (status != CC_OK) {
        cc_inbox_rollback(inbox);
        return status;
    }
    status = cc_inbox_commit(inbox);
    return status == CC_OK && l.count == 0 ? CC_EMPTY : status;
}

static cc_status read_record(cc_inbox *inbox, sqlite3_stmt *statement, int64_t seq,
                             cc_stored *out, cc_run_reading *r)
{
    cc_status status = cc_run_read_begin(statement, r);

    while (status == CC_OK) {
        status = cc_run_read_next(r, out);
        if (status == CC_OK && out->seq == seq) {
            if (out->attempt == CC_RUN_DONE)
                return CC_EMPTY;
            return is_readable(out) ? CC_OK : cc_run_damaged(inbox);
        }
    }
    return status == CC_EMPTY ? CC_EMPTY : cc_run_damaged(inbox);
}

cc_status cc_inbox_read(cc_inbox *inbox, const char *app, int64_t seq,
                        void (*each)(void *baton, const cc_stored *stored), void *baton)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_LOAD];
    cc_stored stored;
    cc_run_reading r;
    cc_status status;

    cc_inbox_bind_text(statement, 1, app);
    sqlite3_bind_int64(statement, 2, seq);
    status = cc_inbox_step(inbox, CC_SQL_LOAD);
    if (status == CC_OK)
        status = read_record(inbox, statement, seq, &stored, &r);
    if (status == CC_OK)
        each(baton, &stored);
    sqlite3_reset(statement);
    return status;
}
