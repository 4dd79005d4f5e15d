/* SPDX-License-Identifier: Apache-2.0
 * cc_run.c - runs of messages: their records, adding, marking, writing.
 *
 * Reading for applications is cc_run_read.c, looking through all cc_run_sweep.c.
 */
#include "cc_compat.h"
#include "cc_run.h"
#include "cc_inbox_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WANTS_RECEIPT 0x80000000u /* in head_len of a record                  */

/* ---- records --------------------------------------------------------- */

void cc_run_pack_empty(cc_buffer *body)
{
    static const char nothing[sizeof(int64_t) + sizeof(uint32_t) + sizeof(uint8_t)];
    uint32_t len = sizeof(nothing);

    cc_buffer_add(body, (const char *)&len, sizeof(len));
    cc_buffer_add(body, nothing, sizeof(nothing));
}

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

static int take_bytes(cc_slice *from, void *out, size_t len)
{
    if (from->len < len)
        return 0;
    memcpy(out, from->data, len);
    from->data += len;
    from->len -= len;
    return 1;
}

cc_status cc_run_damaged(cc_inbox *inbox)
{
    if (sqlite3_errcode(inbox->db) == SQLITE_NOMEM)
        return cc_inbox_fail(inbox); /* columns were empty for that              */
    snprintf(inbox->error, sizeof(inbox->error),
             "messages in it are not as the agent writes them");
    inbox->is_unsound = 1;
    return CC_DAMAGED;
}

static int is_sound(const cc_stored *stored)
{
    return stored->head_len > 0 && stored->head_len < stored->body.len
           && stored->body.data[stored->head_len] == ','
           && memchr(stored->body.data, '\n', stored->body.len) == NULL
           && cc_name_id_check(stored->id, strlen(stored->id)) == CC_OK;
}

cc_status cc_run_read_next(cc_run_reading *r, cc_stored *out)
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
    if (out->attempt == CC_RUN_DONE)
        return CC_OK;
    return is_sound(out) ? CC_OK : CC_DAMAGED;
}

cc_status cc_run_read_begin(sqlite3_stmt *statement, cc_run_reading *r)
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

cc_run *cc_run_open(cc_inbox *inbox, const char *app, size_t app_len, int64_t first)
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
    run = cc_run_open(inbox, app.data, app.len, inbox->totals.next_seq);
    inbox->totals.next_seq += CC_RUN_MAX;
    strcpy(run->server, server);
    run->is_new = 1;
    return run;
}

static unsigned char limited(int attempt)
{
    return (unsigned char)(attempt < CC_RUN_ATTEMPTS ? attempt : CC_RUN_ATTEMPTS);
}

cc_status cc_run_add(cc_inbox *inbox, const char *server, const cc_envelope *envelope,
                     int64_t expires, int attempt, int64_t *out_seq)
{
    cc_run *run = run_for(inbox, server, envelope->app);
    char state = (char)limited(attempt);

    *out_seq = run->first + (int64_t)run->state.len;
    cc_buffer_add(&run->state, &state, 1);
    pack_record(&run->body, envelope, expires);
    run->size += (int64_t)envelope->body.len;
    if (expires > 0 && (run->expires == 0 || expires < run->expires))
        run->expires = expires;
    inbox->totals.messages++;
    inbox->totals.bytes += (int64_t)envelope->body.len;
    cc_usage_add(&inbox->usage, envelope->app.data, envelope->app.len, 1,
                 (int64_t)envelope->body.len);
    if (expires > 0 && expires < inbox->totals.next_expiry)
        inbox->totals.next_expiry = expires;
    return CC_OK;
}

static int covers(const cc_run *run, const char *app, int64_t seq)
{
    return seq >= run->first && seq - run->first < (int64_t)run->state.len
           && strcmp(run->app, app) == 0;
}

cc_status cc_run_find(cc_inbox *inbox, const char *app, int64_t seq, cc_run **out_run)
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
                cc_run_open(inbox, app, strlen(app), sqlite3_column_int64(statement, 0));
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

void cc_run_state_set(cc_run *run, int64_t seq, unsigned char state)
{
    run->state.data[seq - run->first] = (char)state;
    run->is_dirty = 1;
}

static int is_message_done(const cc_run *run, int64_t seq)
{
    return (unsigned char)run->state.data[seq - run->first] == CC_RUN_DONE;
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

cc_status cc_run_finish(cc_inbox *inbox, cc_run *run, int64_t seq, int64_t size)
{
    cc_run_state_set(run, seq, CC_RUN_DONE);
    inbox->totals.messages--;
    cc_usage_add(&inbox->usage, run->app, strlen(run->app), -1, -size);
    return forget_delay(inbox, run->app, seq);
}

cc_status cc_inbox_remove(cc_inbox *inbox, const char *app, int64_t seq, int64_t size)
{
    cc_run *run;
    cc_status status = cc_run_find(inbox, app, seq, &run);

    if (status != CC_OK)
        return status;
    return is_message_done(run, seq) ? CC_EMPTY : cc_run_finish(inbox, run, seq, size);
}

cc_status cc_inbox_attempt_set(cc_inbox *inbox, const char *app, int64_t seq, int attempt)
{
    cc_run *run;
    cc_status status = cc_run_find(inbox, app, seq, &run);

    if (status == CC_OK && !is_message_done(run, seq))
        cc_run_state_set(run, seq, limited(attempt));
    return status == CC_EMPTY ? CC_OK : status;
}

cc_status cc_inbox_put_off(cc_inbox *inbox, const char *app, int64_t seq, int64_t due)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_LATER_SET];
    cc_run *run;
    cc_status status = cc_run_find(inbox, app, seq, &run);

    if (status != CC_OK)
        return status;
    if (is_message_done(run, seq))
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
