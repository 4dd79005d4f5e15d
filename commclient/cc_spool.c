/* SPDX-License-Identifier: Apache-2.0
 * cc_spool.c - the table of messages that wait to be published.
 */
#include "cc_compat.h"
#include "cc_spool.h"
#include "cc_inbox_private.h"

#include <string.h>
#include <stdlib.h>

enum { ADD, REMOVE, LIST, READ, STATEMENT_COUNT };

/* Columns of LIST and READ, in their order. */
enum {
    SEQ,
    SERVER,
    APP,
    KEY,
    PLACE,
    TYPE,
    TOPIC,
    URGENCY,
    RECEIPT,
    TTL,
    EXPIRES,
    SIZE,
    BODY
};

#define COLUMNS                                                                          \
    "seq, server, app, key, place, type, topic, urgency, receipt, ttl, expires"

static const char *const statement_sql[STATEMENT_COUNT] = {
    "INSERT INTO spool VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    "DELETE FROM spool WHERE seq = ?1",
    "SELECT " COLUMNS ", length(body) FROM spool ORDER BY seq",
    "SELECT " COLUMNS ", length(body), body FROM spool WHERE seq = ?1",
};

struct cc_spool {
    cc_inbox *inbox;
    sqlite3_stmt *statements[STATEMENT_COUNT];
};

cc_status cc_spool_open(cc_inbox *inbox, cc_spool **out_spool)
{
    cc_spool *spool = cc_alloc(sizeof(*spool));
    int i;

    spool->inbox = inbox;
    for (i = 0; i < STATEMENT_COUNT; i++) {
        if (sqlite3_prepare_v3(inbox->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &spool->statements[i], NULL)
            != SQLITE_OK) {
            cc_spool_close(spool);
            return cc_inbox_fail(inbox);
        }
    }
    *out_spool = spool;
    return CC_OK;
}

void cc_spool_close(cc_spool *spool)
{
    int i;

    if (spool == NULL)
        return;
    for (i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(spool->statements[i]);
    free(spool);
}

/* CC_OK: a row is there; CC_EMPTY: none. */
static cc_status step(cc_spool *spool, int statement)
{
    switch (sqlite3_step(spool->statements[statement])) {
    case SQLITE_ROW:
        return CC_OK;
    case SQLITE_DONE:
        return CC_EMPTY;
    default:
        return cc_inbox_fail(spool->inbox);
    }
}

static cc_status run(cc_spool *spool, int statement)
{
    cc_status status = step(spool, statement);

    sqlite3_reset(spool->statements[statement]);
    sqlite3_clear_bindings(spool->statements[statement]);
    return status == CC_EMPTY ? CC_OK : status;
}

cc_status cc_spool_add(cc_spool *spool, const cc_spooled *message)
{
    sqlite3_stmt *statement = spool->statements[ADD];
    const char *body = message->body.len > 0 ? message->body.data : "";

    sqlite3_bind_int64(statement, SEQ + 1, message->seq);
    cc_inbox_bind_text(statement, SERVER + 1, message->server);
    cc_inbox_bind_text(statement, APP + 1, message->app);
    cc_inbox_bind_text(statement, KEY + 1, message->key);
    cc_inbox_bind_text(statement, PLACE + 1, message->place);
    cc_inbox_bind_text(statement, TYPE + 1, message->type);
    cc_inbox_bind_text(statement, TOPIC + 1, message->topic);
    cc_inbox_bind_text(statement, URGENCY + 1, message->urgency);
    sqlite3_bind_int(statement, RECEIPT + 1, message->receipt);
    sqlite3_bind_int64(statement, TTL + 1, message->ttl);
    sqlite3_bind_int64(statement, EXPIRES + 1, message->expires);
    sqlite3_bind_blob(statement, BODY, body, (int)message->body.len, SQLITE_STATIC);
    return run(spool, ADD);
}

cc_status cc_spool_remove(cc_spool *spool, int64_t seq)
{
    sqlite3_bind_int64(spool->statements[REMOVE], 1, seq);
    return run(spool, REMOVE);
}

/* ---- reading --------------------------------------------------------- */

static const char *text_of(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);

    return text != NULL ? text : "";
}

static void read_row(sqlite3_stmt *statement, cc_spooled *out)
{
    memset(out, 0, sizeof(*out));
    out->seq = sqlite3_column_int64(statement, SEQ);
    out->server = text_of(statement, SERVER);
    out->app = text_of(statement, APP);
    out->key = text_of(statement, KEY);
    out->place = text_of(statement, PLACE);
    out->type = text_of(statement, TYPE);
    out->topic = text_of(statement, TOPIC);
    out->urgency = text_of(statement, URGENCY);
    out->receipt = sqlite3_column_int(statement, RECEIPT) != 0;
    out->ttl = sqlite3_column_int64(statement, TTL);
    out->expires = sqlite3_column_int64(statement, EXPIRES);
    out->size = (size_t)sqlite3_column_int64(statement, SIZE);
}

static int is_key(const char *key)
{
    return strlen(key) == CC_KEY_MAX && strspn(key, "0123456789abcdef") == CC_KEY_MAX;
}

static int is_absent_or(const char *text, int (*check)(const char *text, size_t len))
{
    return text[0] == '\0' || check(text, strlen(text));
}

static int is_sound(const cc_spooled *m)
{
    return cc_name_check(m->app, strlen(m->app), CC_APP_MAX) == CC_OK && is_key(m->key)
           && cc_publication_is_place(m->place, strlen(m->place))
           && is_absent_or(m->type, cc_publication_is_type)
           && is_absent_or(m->topic, cc_publication_is_topic)
           && (m->urgency[0] == '\0' || cc_publication_is_urgency(m->urgency))
           && m->ttl >= -1 && m->ttl <= CC_TTL_MAX && m->expires >= 0;
}

cc_status cc_spool_list(cc_spool *spool,
                        void (*each)(void *baton, const cc_spooled *message), void *baton)
{
    sqlite3_stmt *statement = spool->statements[LIST];
    cc_spooled message;
    cc_status status;

    while ((status = step(spool, LIST)) == CC_OK) {
        read_row(statement, &message);
        each(baton, &message);
    }
    sqlite3_reset(statement);
    return status == CC_EMPTY ? CC_OK : status;
}

cc_status cc_spool_read(cc_spool *spool, int64_t seq,
                        void (*each)(void *baton, const cc_spooled *message), void *baton)
{
    sqlite3_stmt *statement = spool->statements[READ];
    cc_spooled message;
    cc_status status;

    sqlite3_bind_int64(statement, 1, seq);
    status = step(spool, READ);
    if (status == CC_OK) {
        read_row(statement, &message);
        message.body.data = sqlite3_column_blob(statement, BODY);
        message.body.len = (size_t)sqlite3_column_bytes(statement, BODY);
        if (is_sound(&message))
            each(baton, &message);
        else
            status = CC_MALFORMED;
    }
    sqlite3_reset(statement);
    return status;
}
