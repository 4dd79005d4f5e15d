/* SPDX-License-Identifier: Apache-2.0
 * cc_run.c - runs of messages: adding, reading, marking, expiring.
 */
#include "cc_compat.h"
#include "cc_run.h"
#include "cc_inbox_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WANTS_RECEIPT 0x80000000u /* in head_len of a record                  */

/* ---- records --------------------------------------------------------- */

static void pack_record(cc_buffer *body, const cc_envelope *envelope, int64_t expires)
{
    uint32_t head_len =
        (uint32_t)envelope->head_len | (envelope->receipt ? WANTS_RECEIPT : 0);
    uint8_t id_len = (uint8_t)envelope->id.len;
    uint32_t len = (uint32_t)(sizeof(expires) + sizeof(head_len) + sizeof(id_len) + id_len
                              + envelope->body.len);

    cc_buffer_add(body, (const char *)&len, sizeof(len));
    cc_buffer_add(body, (const char *)&expires, sizeof(expires));
    cc_buffer_add(body, (const char *)&head_len, sizeof(head_len));
    cc_buffer_add(body, (const char *)&id_len, sizeof(id_len));
    cc_buffer_add(body, envelope->id.data, envelope->id.len);
    cc_buffer_add(body, envelope->body.data, envelope->body.len);
}

/* A run as it was read: `blob` holds what is not read yet. */
typedef struct reading {
    cc_slice blob;
    cc_slice state;
    int64_t first;
    size_t next; /* number of the next record                    */
    char server[CC_SERVER_MAX + 1];
    char id[CC_ID_MAX + 1]; /* of the last record                           */
} reading;

static int take_bytes(cc_slice *from, void *out, size_t len)
{
    if (from->len < len)
        return 0;
    memcpy(out, from->data, len);
    from->data += len;
    from->len -= len;
    return 1;
}

static cc_status damaged(cc_inbox *inbox)
{
    snprintf(inbox->error, sizeof(inbox->error),
             "messages in it are not as the agent writes them");
    return CC_DAMAGED;
}

static int is_sound(const cc_stored *stored)
{
    return stored->head_len > 0 && stored->head_len < stored->body.len
           && stored->body.data[stored->head_len] == ','
           && memchr(stored->body.data, '\n', stored->body.len) == NULL
           && cc_name_id_check(stored->id, strlen(stored->id)) == CC_OK;
}

/* Read the next record. CC_EMPTY: that was the last; CC_DAMAGED: nobody wrote
 * it so. */
static cc_status next_record(reading *r, cc_stored *out)
{
    cc_slice record;
    uint32_t len, head_len;
    uint8_t id_len;

    if (r->blob.len == 0)
        return r->next == r->state.len ? CC_EMPTY : CC_DAMAGED;
    if (r->next == r->state.len || !take_bytes(&r->blob, &len, sizeof(len))
        || len > r->blob.len)
        return CC_DAMAGED;
    record.data = r->blob.data;
    record.len = len;
    r->blob.data += len;
    r->blob.len -= len;
    if (!take_bytes(&record, &out->expires, sizeof(out->expires))
        || !take_bytes(&record, &head_len, sizeof(head_len))
        || !take_bytes(&record, &id_len, sizeof(id_len)) || id_len > CC_ID_MAX
        || !take_bytes(&record, r->id, id_len))
        return CC_DAMAGED;
    r->id[id_len] = '\0';
    out->seq = r->first + (int64_t)r->next;
    out->id = r->id;
    out->server = r->server;
    out->attempt = (unsigned char)r->state.data[r->next++];
    out->body = record;
    out->head_len = head_len & ~WANTS_RECEIPT;
    out->receipt = (head_len & WANTS_RECEIPT) != 0;
    out->due = 0;
    return is_sound(out) ? CC_OK : CC_DAMAGED;
}

/* Columns: seq, server, body, size, state, app. */
static cc_status begin_reading(sqlite3_stmt *statement, reading *r)
{
    cc_slice server = cc_inbox_column(statement, 1);

    memset(r, 0, sizeof(*r));
    r->first = sqlite3_column_int64(statement, 0);
    r->blob = cc_inbox_column(statement, 2);
    r->state = cc_inbox_column(statement, 4);
    if (cc_name_check(server.data, server.len, CC_SERVER_MAX) != CC_OK
        || r->state.len == 0 || r->state.len > CC_RUN_MAX)
        return CC_DAMAGED;
    memcpy(r->server, server.data, server.len);
    return CC_OK;
}

/* ---- runs that are open ---------------------------------------------- */

static cc_run *open_run(cc_inbox *inbox, const char *app, size_t app_len, int64_t first)
{
    cc_runs *runs = &inbox->runs;
    cc_run *run;

    if (runs->count == runs->room) {
        runs->room = runs->room ? runs->room * 2 : 8;
        runs->list = cc_realloc(runs->list, runs->room * sizeof(*runs->list));
    }
    run = &runs->list[runs->count++];
    memset(run, 0, sizeof(*run));
    memcpy(run->app, app, app_len);
    run->first = first;
    return run;
}

void cc_run_forget(cc_inbox *inbox)
{
    size_t i;

    for (i = 0; i < inbox->runs.count; i++) {
        cc_buffer_clear(&inbox->runs.list[i].state);
        cc_buffer_clear(&inbox->runs.list[i].body);
    }
    inbox->runs.count = 0;
}

static int is_of_app(const cc_run *run, cc_slice app)
{
    return memcmp(run->app, app.data, app.len) == 0 && run->app[app.len] == '\0';
}

/* The run that is being made for this application, or a new one. */
static cc_run *run_for(cc_inbox *inbox, const char *server, cc_slice app)
{
    size_t i = inbox->runs.count;
    cc_run *run;

    while (i-- > 0) {
        run = &inbox->runs.list[i];
        if (!run->is_new || !is_of_app(run, app))
            continue;
        if (run->state.len < CC_RUN_MAX && run->body.len < CC_RUN_BYTES)
            return run;
        break;
    }
    run = open_run(inbox, app.data, app.len, inbox->totals.next_seq);
    inbox->totals.next_seq += CC_RUN_MAX;
    strcpy(run->server, server);
    run->is_new = 1;
    return run;
}

cc_status cc_run_add(cc_inbox *inbox, const char *server, const cc_envelope *envelope,
                     int64_t expires, int attempt, int64_t *out_seq)
{
    cc_run *run = run_for(inbox, server, envelope->app);
    char state = (char)(attempt < CC_RUN_ATTEMPTS ? attempt : CC_RUN_ATTEMPTS);

    *out_seq = run->first + (int64_t)run->state.len;
    cc_buffer_add(&run->state, &state, 1);
    pack_record(&run->body, envelope, expires);
    run->size += (int64_t)envelope->body.len;
    if (expires > 0 && (run->expires == 0 || expires < run->expires))
        run->expires = expires;
    inbox->totals.messages++;
    inbox->totals.bytes += (int64_t)envelope->body.len;
    if (expires > 0 && expires < inbox->totals.next_expiry)
        inbox->totals.next_expiry = expires;
    return CC_OK;
}

static int covers(const cc_run *run, const char *app, int64_t seq)
{
    return seq >= run->first && seq - run->first < (int64_t)run->state.len
           && strcmp(run->app, app) == 0;
}

/* The run of a message, open from now on. CC_EMPTY: it is gone. */
static cc_status find_run(cc_inbox *inbox, const char *app, int64_t seq, cc_run **out_run)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_STATE];
    size_t i = inbox->runs.count;
    cc_slice state;
    cc_status status;

    while (i-- > 0) {
        *out_run = &inbox->runs.list[i];
        if (covers(*out_run, app, seq))
            return CC_OK;
    }
    cc_inbox_bind_text(statement, 1, app);
    sqlite3_bind_int64(statement, 2, seq);
    status = cc_inbox_step(inbox, CC_SQL_STATE);
    if (status == CC_OK) {
        state = cc_inbox_column(statement, 2);
        if (seq - sqlite3_column_int64(statement, 0) < (int64_t)state.len) {
            *out_run =
                open_run(inbox, app, strlen(app), sqlite3_column_int64(statement, 0));
            (*out_run)->size = sqlite3_column_int64(statement, 1);
            cc_buffer_add(&(*out_run)->state, state.data, state.len);
        }
        else {
            status = CC_EMPTY;
        }
    }
    sqlite3_reset(statement);
    return status;
}

static void set_state(cc_inbox *inbox, cc_run *run, int64_t seq, unsigned char state)
{
    char *place = &run->state.data[seq - run->first];

    if (state == CC_RUN_DONE)
        inbox->totals.messages--;
    *place = (char)state;
    run->is_dirty = 1;
}

static cc_status forget_delay(cc_inbox *inbox, const char *app, int64_t seq)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_LATER_REMOVE];
    cc_status status;

    if (inbox->totals.later == 0)
        return CC_OK;
    cc_inbox_bind_text(statement, 1, app);
    sqlite3_bind_int64(statement, 2, seq);
    status = cc_inbox_run(inbox, CC_SQL_LATER_REMOVE);
    if (status == CC_OK)
        inbox->totals.later -= sqlite3_changes(inbox->db);
    return status;
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

cc_status cc_run_set(cc_inbox *inbox, const char *app, int64_t seq, unsigned char state)
{
    cc_run *run;
    cc_status status = find_run(inbox, app, seq, &run);

    if (status != CC_OK)
        return status;
    if ((unsigned char)run->state.data[seq - run->first] == CC_RUN_DONE)
        return CC_EMPTY;
    set_state(inbox, run, seq, state);
    return state == CC_RUN_DONE ? forget_delay(inbox, app, seq) : CC_OK;
}

cc_status cc_inbox_put_off(cc_inbox *inbox, const char *app, int64_t seq, int64_t due)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_LATER_SET];
    cc_run *run;
    cc_status status = find_run(inbox, app, seq, &run);

    if (status != CC_OK)
        return status;
    if ((unsigned char)run->state.data[seq - run->first] == CC_RUN_DONE)
        return CC_EMPTY;
    cc_inbox_bind_text(statement, 1, app);
    sqlite3_bind_int64(statement, 2, seq);
    sqlite3_bind_int64(statement, 3, due);
    inbox->totals.later++;
    return cc_inbox_run(inbox, CC_SQL_LATER_SET);
}

/* ---- writing --------------------------------------------------------- */

static int is_done(const cc_run *run)
{
    size_t i;

    for (i = 0; i < run->state.len; i++) {
        if ((unsigned char)run->state.data[i] != CC_RUN_DONE)
            return 0;
    }
    return 1;
}

static sqlite3_stmt *bind_run(cc_inbox *inbox, int which, const cc_run *run)
{
    sqlite3_stmt *statement = inbox->statements[which];

    cc_inbox_bind_text(statement, 1, run->app);
    sqlite3_bind_int64(statement, 2, run->first);
    return statement;
}

static void bind_blob(sqlite3_stmt *statement, int index, const cc_buffer *blob)
{
    sqlite3_bind_blob(statement, index, blob->data, (int)blob->len, SQLITE_STATIC);
}

static cc_status write_new(cc_inbox *inbox, const cc_run *run)
{
    sqlite3_stmt *statement = bind_run(inbox, CC_SQL_ADD, run);
    cc_status status;

    sqlite3_bind_int64(statement, 3, run->expires);
    cc_inbox_bind_text(statement, 4, run->server);
    bind_blob(statement, 5, &run->body);
    status = cc_inbox_run(inbox, CC_SQL_ADD);
    if (status != CC_OK)
        return status;
    statement = bind_run(inbox, CC_SQL_STATE_ADD, run);
    sqlite3_bind_int64(statement, 3, run->size);
    bind_blob(statement, 4, &run->state);
    return cc_inbox_run(inbox, CC_SQL_STATE_ADD);
}

static cc_status write_expiry(cc_inbox *inbox, const cc_run *run)
{
    sqlite3_bind_int64(bind_run(inbox, CC_SQL_EXPIRES_SET, run), 3, run->expires);
    return cc_inbox_run(inbox, CC_SQL_EXPIRES_SET);
}

static cc_status write_changed(cc_inbox *inbox, const cc_run *run)
{
    cc_status status;

    if (!is_done(run)) {
        if (run->has_expiry && write_expiry(inbox, run) != CC_OK)
            return cc_inbox_fail(inbox);
        bind_blob(bind_run(inbox, CC_SQL_STATE_SET, run), 3, &run->state);
        return cc_inbox_run(inbox, CC_SQL_STATE_SET);
    }
    inbox->totals.bytes -= run->size;
    bind_run(inbox, CC_SQL_REMOVE, run);
    status = cc_inbox_run(inbox, CC_SQL_REMOVE);
    if (status != CC_OK)
        return status;
    bind_run(inbox, CC_SQL_STATE_REMOVE, run);
    return cc_inbox_run(inbox, CC_SQL_STATE_REMOVE);
}

cc_status cc_run_flush(cc_inbox *inbox)
{
    cc_status status = CC_OK;
    size_t i;

    for (i = 0; i < inbox->runs.count && status == CC_OK; i++) {
        const cc_run *run = &inbox->runs.list[i];

        if (run->is_new)
            status = write_new(inbox, run);
        else if (run->is_dirty)
            status = write_changed(inbox, run);
    }
    cc_run_forget(inbox);
    return status;
}

/* ---- reading --------------------------------------------------------- */

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

static cc_status hand_out(cc_inbox *inbox, const char *app, cc_stored *stored, loading *l)
{
    cc_status status = read_delay(inbox, app, stored->seq, &stored->due);

    if (status != CC_OK)
        return status;
    if (stored->due - l->now > CC_DELAY_MAX * (int64_t)1000)
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
    reading r;
    cc_stored stored;
    cc_run *run;
    cc_status status = begin_reading(statement, &r);

    if (status != CC_OK)
        return damaged(inbox);
    run = open_run(inbox, app, strlen(app), r.first);
    run->size = sqlite3_column_int64(statement, 3);
    cc_buffer_add(&run->state, r.state.data, r.state.len);
    while (!is_filled(l) && (status = next_record(&r, &stored)) == CC_OK) {
        if (stored.seq <= l->after || stored.attempt == CC_RUN_DONE)
            continue;
        status = hand_out(inbox, app, &stored, l);
        if (status != CC_OK)
            return status;
        if (stored.due <= l->now)
            set_state(inbox, run, stored.seq, one_more(stored.attempt));
    }
    return status == CC_DAMAGED ? damaged(inbox) : CC_OK;
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
                             cc_stored *out, reading *r)
{
    cc_status status = begin_reading(statement, r);

    while (status == CC_OK) {
        status = next_record(r, out);
        if (status == CC_OK && out->seq == seq)
            return out->attempt == CC_RUN_DONE ? CC_EMPTY : CC_OK;
    }
    return status == CC_EMPTY ? CC_EMPTY : damaged(inbox);
}

cc_status cc_inbox_read(cc_inbox *inbox, const char *app, int64_t seq,
                        void (*each)(void *baton, const cc_stored *stored), void *baton)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_LOAD];
    cc_stored stored;
    reading r;
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

/* ---- looking through all --------------------------------------------- */

/* The same, and whose it is. */
static cc_status begin_reading_any(sqlite3_stmt *statement, reading *r, char *out_app)
{
    cc_slice app = cc_inbox_column(statement, 5);

    if (cc_name_check(app.data, app.len, CC_APP_MAX) != CC_OK)
        return CC_DAMAGED;
    memcpy(out_app, app.data, app.len);
    out_app[app.len] = '\0';
    return begin_reading(statement, r);
}

/* CC_OK: it is in this row; CC_EMPTY: it is not. */
static cc_status find_in_row(sqlite3_stmt *statement, const char *id, cc_place *out)
{
    cc_stored stored;
    reading r;
    cc_status status = begin_reading_any(statement, &r, out->app);

    while (status == CC_OK && (status = next_record(&r, &stored)) == CC_OK) {
        if (stored.attempt == CC_RUN_DONE || strcmp(stored.id, id) != 0)
            continue;
        out->seq = stored.seq;
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
        return damaged(inbox);
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
    reading r;
    cc_status status = begin_reading_any(statement, &r, app);

    if (status == CC_OK)
        status = find_run(inbox, app, r.first, &run);
    if (status != CC_OK)
        return status == CC_EMPTY ? CC_OK : status;
    while ((status = next_record(&r, &stored)) == CC_OK) {
        if (stored.attempt == CC_RUN_DONE || stored.expires <= 0)
            continue;
        if (stored.expires <= now) {
            set_state(inbox, run, stored.seq, CC_RUN_DONE);
            status = forget_delay(inbox, app, stored.seq);
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
        return damaged(inbox);
    if (row != CC_OK)
        return row;
    return status == CC_EMPTY ? CC_OK : status;
}
