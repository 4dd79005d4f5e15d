/* SPDX-License-Identifier: Apache-2.0
 * cc_inbox.c - transactions, messages, cursors, gaps and expiry of the inbox.
 *
 * Opening the file is cc_inbox_open.c, how messages lie in it cc_run.c, the ids
 * that were here cc_seen.c, the dead list cc_inbox_dead.c.
 */
#include "cc_compat.h"
#include "cc_inbox_private.h"
#include "cc_random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPIRY_STEP 30000        /* ms between two searches for the expired */
#define REPORT_AGE  2592000000ll /* ms that a report is kept                */

const char *cc_inbox_error(const cc_inbox *inbox)
{
    return inbox->error;
}

/* What the system said, where SQLite says "disk I/O error" alone; "": not known. It
 * keeps errno itself only for some calls. */
static const char *system_error(int code, int number)
{
    if (code != SQLITE_IOERR)
        return "";
    switch (number) {
    case EDQUOT:
    case EFBIG:
    case EIO:
    case ENOSPC:
    case EROFS:
        return strerror(number);
    default:
        return "";
    }
}

cc_status cc_inbox_fail(cc_inbox *inbox)
{
    int number = errno, code = sqlite3_errcode(inbox->db);
    const char *reason = system_error(code, number);

    snprintf(inbox->error, sizeof(inbox->error), "%s%s%s", sqlite3_errmsg(inbox->db),
             reason[0] != '\0' ? ": " : "", reason);
    return code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? CC_DAMAGED : CC_STORAGE;
}

sqlite3_stmt *cc_inbox_statement(cc_inbox *inbox, int statement)
{
    return inbox->statements[statement];
}

/* The bytes are bound as they are and must live until the reset. */
void cc_inbox_bind(sqlite3_stmt *statement, int index, cc_slice text)
{
    sqlite3_bind_text(statement, index, text.data ? text.data : "", (int)text.len,
                      SQLITE_STATIC);
}

void cc_inbox_bind_text(sqlite3_stmt *statement, int index, const char *text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

cc_status cc_inbox_step(cc_inbox *inbox, int statement)
{
    errno = 0;
    switch (sqlite3_step(inbox->statements[statement])) {
    case SQLITE_ROW:
        return CC_OK;
    case SQLITE_DONE:
        return CC_EMPTY;
    default:
        return cc_inbox_fail(inbox);
    }
}

cc_status cc_inbox_run(cc_inbox *inbox, int statement)
{
    cc_status status = cc_inbox_step(inbox, statement);

    sqlite3_reset(inbox->statements[statement]);
    return status == CC_EMPTY ? CC_OK : status;
}

cc_status cc_inbox_probe(cc_inbox *inbox)
{
    char sql[64];

    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", CC_INBOX_VERSION);
    return sqlite3_exec(inbox->db, sql, NULL, NULL, NULL) == SQLITE_OK
               ? CC_OK
               : cc_inbox_fail(inbox);
}

cc_status cc_inbox_begin(cc_inbox *inbox)
{
    inbox->committed = inbox->totals;
    return cc_inbox_run(inbox, CC_SQL_BEGIN);
}

cc_status cc_inbox_commit(cc_inbox *inbox)
{
    cc_status status = cc_run_flush(inbox);

    if (status == CC_OK)
        status = cc_seen_flush(inbox);
    if (status == CC_OK)
        status = cc_inbox_run(inbox, CC_SQL_COMMIT);
    if (status != CC_OK) {
        cc_inbox_rollback(inbox);
        return status;
    }
    cc_seen_committed(inbox);
    cc_usage_committed(&inbox->usage);
    return CC_OK;
}

void cc_inbox_rollback(cc_inbox *inbox)
{
    if (!sqlite3_get_autocommit(inbox->db))
        sqlite3_step(inbox->statements[CC_SQL_ROLLBACK]);
    sqlite3_reset(inbox->statements[CC_SQL_ROLLBACK]);
    cc_run_forget(inbox);
    cc_seen_rolled_back(inbox);
    cc_usage_rolled_back(&inbox->usage);
    inbox->totals = inbox->committed;
}

cc_status cc_inbox_read_two(cc_inbox *inbox, int which, int64_t *one, int64_t *two)
{
    sqlite3_stmt *statement = inbox->statements[which];
    cc_status status = cc_inbox_step(inbox, which);

    if (status == CC_OK) {
        *one = sqlite3_column_int64(statement, 0);
        *two = sqlite3_column_int64(statement, 1);
    }
    sqlite3_reset(statement);
    return status;
}

cc_status cc_inbox_count(cc_inbox *inbox)
{
    cc_inbox_totals *totals = &inbox->totals;
    int64_t last = 0, ignored = 0;
    cc_status status;

    memset(totals, 0, sizeof(*totals));
    status = cc_inbox_read_two(inbox, CC_SQL_TOTALS, &totals->bytes, &last);
    if (status == CC_OK)
        status = cc_inbox_read_two(inbox, CC_SQL_DEAD_TOTALS, &totals->dead,
                                   &totals->dead_bytes);
    if (status == CC_OK)
        status = cc_run_count(inbox);
    if (status == CC_OK)
        status = cc_inbox_read_two(inbox, CC_SQL_LATER_TOTALS, &totals->later, &ignored);
    if (status == CC_OK)
        status = cc_inbox_read_two(inbox, CC_SQL_REPORT_TOTALS, &totals->reports,
                                   &totals->last_report);
    if (status != CC_OK)
        return status;
    if (totals->bytes < 0 || last < 0 || last > INT64_MAX / 2 || totals->last_report < 0
        || totals->last_report > INT64_MAX / 2) {
        snprintf(inbox->error, sizeof(inbox->error), "its numbers are not right");
        return CC_DAMAGED;
    }
    totals->next_seq = last + CC_RUN_MAX;
    totals->next_expiry = totals->messages > 0 ? 0 : INT64_MAX;
    return CC_OK;
}

void cc_inbox_usage_get(const cc_inbox *inbox, cc_inbox_usage *out_usage)
{
    out_usage->messages = inbox->totals.messages;
    out_usage->bytes =
        inbox->totals.bytes + inbox->totals.messages * CC_INBOX_MESSAGE_COST;
    out_usage->dead = inbox->totals.dead;
}

/* ---- cursors --------------------------------------------------------- */

cc_slice cc_inbox_column(sqlite3_stmt *statement, int column)
{
    cc_slice slice;

    slice.data = sqlite3_column_blob(statement, column);
    slice.len = (size_t)sqlite3_column_bytes(statement, column);
    if (slice.data == NULL)
        slice.len = 0;
    return slice;
}

const char *cc_inbox_column_text(sqlite3_stmt *statement, int column)
{
    const unsigned char *text = sqlite3_column_text(statement, column);

    return text != NULL ? (const char *)text : "";
}

cc_status cc_inbox_cursor_get(cc_inbox *inbox, const char *server,
                              char out_cursor[CC_CURSOR_MAX + 1])
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_CURSOR_GET];
    cc_status status;
    cc_slice value;

    out_cursor[0] = '\0';
    cc_inbox_bind_text(statement, 1, server);
    status = cc_inbox_step(inbox, CC_SQL_CURSOR_GET);
    if (status == CC_OK) {
        value = cc_inbox_column(statement, 0);
        if (cc_name_cursor_check(value.data, value.len) == CC_OK) {
            memcpy(out_cursor, value.data, value.len);
            out_cursor[value.len] = '\0';
        }
        else {
            status = CC_EMPTY;
        }
    }
    sqlite3_reset(statement);
    return status;
}

cc_status cc_inbox_cursor_set(cc_inbox *inbox, const char *server, cc_slice cursor)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_CURSOR_SET];

    cc_inbox_bind_text(statement, 1, server);
    cc_inbox_bind(statement, 2, cursor);
    return cc_inbox_run(inbox, CC_SQL_CURSOR_SET);
}

/* ---- messages -------------------------------------------------------- */

static int64_t local_expiry(int64_t expires, int64_t skew)
{
    if (expires <= 0)
        return 0;
    return expires - skew > 1 ? expires - skew : 1;
}

cc_status cc_inbox_add(cc_inbox *inbox, const char *server, const cc_envelope *envelope,
                       int64_t skew, int64_t now, int attempt, int64_t *out_seq)
{
    cc_status status;

    status = cc_seen_add(inbox, server, envelope->id, envelope->expires, now);
    if (status != CC_OK)
        return status;
    return cc_run_add(inbox, server, envelope, local_expiry(envelope->expires, skew),
                      attempt, out_seq);
}

cc_status cc_inbox_restore(cc_inbox *inbox, const char *server,
                           const cc_envelope *envelope, int64_t now, int attempt,
                           int64_t *out_seq)
{
    int64_t expires = envelope->expires > now ? envelope->expires : 0;
    cc_status status = cc_seen_add(inbox, server, envelope->id, expires, now);

    if (status != CC_OK && (status != CC_DUPLICATE || attempt == 0))
        return status;
    return cc_run_add(inbox, server, envelope, expires, attempt, out_seq);
}

/* ---- what applications take ------------------------------------------- */

static void report_usage(const cc_usage_entry *entry, cc_app_usage *out)
{
    out->app = entry->app;
    out->messages = entry->messages;
    out->bytes = entry->bytes + entry->messages * CC_INBOX_MESSAGE_COST;
}

void cc_inbox_app_usage(const cc_inbox *inbox, const char *app, cc_app_usage *out_usage)
{
    const cc_usage_entry *entry = cc_usage_find(&inbox->usage, app);

    memset(out_usage, 0, sizeof(*out_usage));
    out_usage->app = app;
    if (entry != NULL)
        report_usage(entry, out_usage);
}

void cc_inbox_apps(const cc_inbox *inbox,
                   void (*each)(void *baton, const cc_app_usage *usage), void *baton)
{
    const cc_usage_entry *entry;
    cc_app_usage usage;
    size_t i;

    for (i = 0; i < CC_USAGE_BUCKETS; i++) {
        for (entry = inbox->usage.buckets[i]; entry != NULL; entry = entry->next) {
            if (entry->messages == 0)
                continue;
            report_usage(entry, &usage);
            each(baton, &usage);
        }
    }
}

/* ---- gaps ------------------------------------------------------------ */

static void new_gap_id(char out[CC_GAP_ID_MAX])
{
    uint64_t number = 0;

    cc_random_fill(&number, sizeof(number));
    snprintf(out, CC_GAP_ID_MAX, "gap.%016llx", (unsigned long long)number);
}

cc_status cc_inbox_gap_add(cc_inbox *inbox, const char *server, const char *app,
                           int64_t count)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_GAP_ADD];
    char id[CC_GAP_ID_MAX];

    new_gap_id(id);
    cc_inbox_bind_text(statement, 1, app);
    cc_inbox_bind_text(statement, 2, server);
    cc_inbox_bind_text(statement, 3, id);
    sqlite3_bind_int64(statement, 4, count);
    return cc_inbox_run(inbox, CC_SQL_GAP_ADD);
}

cc_status cc_inbox_gap_add_unknown(cc_inbox *inbox, const char *server)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_APP_NAMES];
    cc_status status, added = CC_OK;

    while (added == CC_OK && (status = cc_inbox_step(inbox, CC_SQL_APP_NAMES)) == CC_OK) {
        const char *app = cc_inbox_column_text(statement, 0);

        if (cc_name_check(app, strlen(app), CC_APP_MAX) == CC_OK)
            added = cc_inbox_gap_add(inbox, server, app, 0);
    }
    sqlite3_reset(statement);
    if (added != CC_OK)
        return added;
    return status == CC_EMPTY ? CC_OK : status;
}

cc_status cc_inbox_gap_remove(cc_inbox *inbox, const char *id)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_GAP_REMOVE];

    cc_inbox_bind_text(statement, 1, id);
    return cc_inbox_run(inbox, CC_SQL_GAP_REMOVE);
}

cc_status cc_inbox_gap_app(cc_inbox *inbox, const char *id, char out_app[CC_APP_MAX + 1])
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_GAP_APP];
    cc_status status;

    cc_inbox_bind_text(statement, 1, id);
    status = cc_inbox_step(inbox, CC_SQL_GAP_APP);
    if (status == CC_OK)
        snprintf(out_app, CC_APP_MAX + 1, "%s", cc_inbox_column_text(statement, 0));
    sqlite3_reset(statement);
    return status;
}

/* They go into lines to applications: what nobody wrote so is passed over. */
static int is_gap(const char *server, const char *id)
{
    return cc_name_check(server, strlen(server), CC_SERVER_MAX) == CC_OK
           && strlen(id) < CC_GAP_ID_MAX && strncmp(id, "gap.", 4) == 0
           && cc_name_check(id, strlen(id), CC_GAP_ID_MAX) == CC_OK;
}

cc_status cc_inbox_gaps(cc_inbox *inbox, const char *app,
                        void (*each)(void *baton, const char *server, const char *id,
                                     int64_t count),
                        void *baton)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_GAPS];
    cc_status status;

    cc_inbox_bind_text(statement, 1, app);
    while ((status = cc_inbox_step(inbox, CC_SQL_GAPS)) == CC_OK) {
        const char *server = cc_inbox_column_text(statement, 0);
        const char *id = cc_inbox_column_text(statement, 1);

        if (is_gap(server, id))
            each(baton, server, id, sqlite3_column_int64(statement, 2));
    }
    sqlite3_reset(statement);
    return status == CC_EMPTY ? CC_OK : status;
}

cc_status cc_inbox_app_add(cc_inbox *inbox, const char *app)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_APP_ADD];

    cc_inbox_bind_text(statement, 1, app);
    return cc_inbox_run(inbox, CC_SQL_APP_ADD);
}

cc_status cc_inbox_app_names(cc_inbox *inbox, void (*each)(void *baton, const char *app),
                             void *baton)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_APP_NAMES];
    cc_status status;

    while ((status = cc_inbox_step(inbox, CC_SQL_APP_NAMES)) == CC_OK)
        each(baton, cc_inbox_column_text(statement, 0));
    sqlite3_reset(statement);
    return status == CC_EMPTY ? CC_OK : status;
}

/* ---- expiry ---------------------------------------------------------- */

int64_t cc_inbox_next_expiry(const cc_inbox *inbox)
{
    return inbox->totals.next_expiry;
}

static cc_status find_next_expiry(cc_inbox *inbox, int64_t now)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_NEXT_EXPIRY];
    int64_t next = INT64_MAX;
    cc_status status;

    status = cc_inbox_step(inbox, CC_SQL_NEXT_EXPIRY);
    if (status == CC_OK && sqlite3_column_type(statement, 0) == SQLITE_INTEGER) {
        next = sqlite3_column_int64(statement, 0);
        if (next < now + EXPIRY_STEP)
            next = now + EXPIRY_STEP;
    }
    sqlite3_reset(statement);
    inbox->totals.next_expiry = next;
    return status;
}

cc_status cc_inbox_expire(cc_inbox *inbox, int64_t now, int64_t *out_dropped)
{
    int64_t ignored = 0;
    cc_status status;

    *out_dropped = 0;
    status = cc_inbox_begin(inbox);
    if (status != CC_OK)
        return status;
    status = cc_run_expire(inbox, now, out_dropped);
    if (status == CC_OK)
        status = cc_run_flush(inbox);
    if (status == CC_OK)
        status = cc_seen_expire(inbox, now);
    if (status == CC_OK)
        status = cc_inbox_report_expire(inbox, now - REPORT_AGE);
    if (status == CC_OK)
        status =
            cc_inbox_read_two(inbox, CC_SQL_LATER_TOTALS, &inbox->totals.later, &ignored);
    if (status == CC_OK)
        status = find_next_expiry(inbox, now);
    if (status != CC_OK) {
        cc_inbox_rollback(inbox);
        return status;
    }
    return cc_inbox_commit(inbox);
}
