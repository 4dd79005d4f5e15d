/* SPDX-License-Identifier: Apache-2.0
 * cc_run_compact.c - taking out of runs what is done with.
 *
 * Nearly always a run is done with as a whole, soon. An application that puts
 * single messages off for hours would hold all runs in the file which they came
 * with; then the runs are written anew.
 */
#include "cc_compat.h"
#include "cc_run.h"
#include "cc_inbox_private.h"

#include <stdlib.h>
#include <string.h>

int cc_inbox_is_sparse(const cc_inbox *inbox)
{
    const cc_usage_entry *entry;
    int64_t used = 0;
    size_t i;

    for (i = 0; i < CC_USAGE_BUCKETS; i++) {
        for (entry = inbox->usage.buckets[i]; entry != NULL; entry = entry->next)
            used += entry->bytes;
    }
    return used < inbox->totals.bytes / 2;
}

/* A run that may be worth it. */
typedef struct candidate {
    int64_t first;
    int64_t size;
    char app[CC_APP_MAX + 1];
} candidate;

typedef struct candidates {
    candidate *list;
    size_t count;
    size_t room;
} candidates;

static int has_done(cc_slice state)
{
    return memchr(state.data, CC_RUN_DONE, state.len) != NULL;
}

/* Columns: seq, app, size, state. */
static void note_row(candidates *c, sqlite3_stmt *statement)
{
    cc_slice app = cc_inbox_column(statement, 1);
    candidate *one;

    if (!has_done(cc_inbox_column(statement, 3))
        || cc_name_check(app.data, app.len, CC_APP_MAX) != CC_OK)
        return;
    if (c->count == c->room) {
        c->room = c->room ? c->room * 2 : 64;
        c->list = cc_realloc(c->list, c->room * sizeof(*c->list));
    }
    one = &c->list[c->count++];
    memset(one, 0, sizeof(*one));
    memcpy(one->app, app.data, app.len);
    one->first = sqlite3_column_int64(statement, 0);
    one->size = sqlite3_column_int64(statement, 2);
}

static cc_status find_candidates(cc_inbox *inbox, candidates *c)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_STATES];
    cc_status status;

    while ((status = cc_inbox_step(inbox, CC_SQL_STATES)) == CC_OK)
        note_row(c, statement);
    sqlite3_reset(statement);
    return status == CC_EMPTY ? CC_OK : status;
}

static sqlite3_stmt *bind_candidate(cc_inbox *inbox, int which, const candidate *c)
{
    sqlite3_stmt *statement = inbox->statements[which];

    cc_inbox_bind_text(statement, 1, c->app);
    sqlite3_bind_int64(statement, 2, c->first);
    return statement;
}

/* The blob without what is done, and the bytes of the bodies in it. */
static cc_status pack_again(cc_inbox *inbox, const candidate *c, cc_buffer *out,
                            int64_t *out_size)
{
    sqlite3_stmt *statement = bind_candidate(inbox, CC_SQL_ROW, c);
    cc_status status = cc_inbox_step(inbox, CC_SQL_ROW);
    cc_stored stored;
    cc_run_reading r;
    const char *start;

    *out_size = 0;
    if (status == CC_OK)
        status = cc_run_read_begin(statement, &r);
    while (status == CC_OK) {
        start = r.blob.data;
        status = cc_run_read_next(&r, &stored);
        if (status == CC_OK && stored.attempt == CC_RUN_DONE) {
            cc_run_pack_empty(out);
        }
        else if (status == CC_OK) {
            cc_buffer_add(out, start, (size_t)(r.blob.data - start));
            *out_size += (int64_t)stored.body.len;
        }
    }
    sqlite3_reset(statement);
    if (status == CC_DAMAGED)
        return cc_run_damaged(inbox);
    return status == CC_EMPTY ? CC_OK : status;
}

static cc_status compact_run(cc_inbox *inbox, const candidate *c)
{
    cc_buffer body = { NULL, 0, 0 };
    sqlite3_stmt *statement;
    int64_t size;
    cc_status status = pack_again(inbox, c, &body, &size);

    if (status == CC_OK && body.len > 0 && size < c->size / 2) {
        statement = bind_candidate(inbox, CC_SQL_BODY_SET, c);
        sqlite3_bind_blob(statement, 3, body.data, (int)body.len, SQLITE_STATIC);
        status = cc_inbox_run(inbox, CC_SQL_BODY_SET);
        if (status == CC_OK) {
            sqlite3_bind_int64(bind_candidate(inbox, CC_SQL_SIZE_SET, c), 3, size);
            status = cc_inbox_run(inbox, CC_SQL_SIZE_SET);
        }
        inbox->totals.bytes -= c->size - size;
    }
    cc_buffer_clear(&body);
    return status;
}

cc_status cc_inbox_compact(cc_inbox *inbox)
{
    candidates c = { NULL, 0, 0 };
    cc_status status = cc_inbox_begin(inbox);
    size_t i;

    if (status != CC_OK)
        return status;
    status = find_candidates(inbox, &c);
    for (i = 0; i < c.count && status == CC_OK; i++)
        status = compact_run(inbox, &c.list[i]);
    free(c.list);
    if (status == CC_OK)
        return cc_inbox_commit(inbox);
    cc_inbox_rollback(inbox);
    return status;
}
