/* SPDX-License-Identifier: Apache-2.0
 * cc_inbox_private.h - shared by the files that make up the inbox.
 *
 *   message  what waits for applications, in runs (cc_run.h). Never changed
 *            but for expires, the earliest of those that wait.
 *   given    the state of each message of a run, and the bytes of the run.
 *   seen     ids that were here, in buckets of days, so that a bucket whose
 *            time is over goes as a whole. A message that comes again has the
 *            same expiry and so falls into the same bucket.
 *   fresh    ids of the last transactions, not sorted into seen yet.
 *   gap      id is new at each change: an acknowledgement of the former state
 *            does not hide what was added.
 */
#ifndef CC_INBOX_PRIVATE_H
#define CC_INBOX_PRIVATE_H

#include "cc_compat.h"
#include "cc_inbox.h"
#include "cc_run.h"
#include "cc_seen.h"

#include <sqlite3.h>

#define CC_INBOX_APPLICATION 0x636f6d63 /* "comc", in the file's header      */

#define CC_INBOX_TABLES(X)                                                               \
    X("message", "(app TEXT NOT NULL, seq INTEGER NOT NULL,"                             \
                 " expires INTEGER NOT NULL, server TEXT NOT NULL, body BLOB NOT NULL,"  \
                 " PRIMARY KEY(app, seq)) WITHOUT ROWID")                                \
    X("given", "(app TEXT NOT NULL, seq INTEGER NOT NULL, size INTEGER NOT NULL,"        \
               " state BLOB NOT NULL, PRIMARY KEY(app, seq)) WITHOUT ROWID")             \
    X("fresh", "(number INTEGER PRIMARY KEY, ids BLOB NOT NULL)")                        \
    X("cursor", "(server TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)"                \
                " WITHOUT ROWID")                                                        \
    X("seen", "(day INTEGER NOT NULL, id TEXT NOT NULL,"                                 \
              " server TEXT NOT NULL, PRIMARY KEY(day, id, server)) WITHOUT ROWID")      \
    X("dead", "(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL,"                         \
              " size INTEGER NOT NULL, server TEXT NOT NULL, app TEXT NOT NULL,"         \
              " id TEXT NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL)")            \
    X("gap", "(app TEXT NOT NULL, server TEXT NOT NULL, id TEXT NOT NULL,"               \
             " count INTEGER NOT NULL, PRIMARY KEY(app, server)) WITHOUT ROWID")         \
    X("app", "(name TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID")

#define CC_INBOX_STATEMENTS(X)                                                           \
    X(BEGIN, "BEGIN IMMEDIATE")                                                          \
    X(COMMIT, "COMMIT")                                                                  \
    X(ROLLBACK, "ROLLBACK")                                                              \
    X(TOTALS, "SELECT coalesce(sum(size), 0), coalesce(max(seq), 0) FROM"                \
              " given")                                                                  \
    X(STATES, "SELECT state, app FROM given ORDER BY app")                               \
    X(DEAD_TOTALS, "SELECT count(*), coalesce(sum(size), 0) FROM dead")                  \
    X(CURSOR_GET, "SELECT value FROM cursor WHERE server = ?1")                          \
    X(CURSOR_SET, "INSERT OR REPLACE INTO cursor VALUES (?1, ?2)")                       \
    X(ADD, "INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5)")                            \
    X(STATE_ADD, "INSERT INTO given VALUES (?1, ?2, ?3, ?4)")                            \
    X(STATE, "SELECT seq, size, state FROM given WHERE app = ?1 AND seq <="              \
             " ?2 ORDER BY seq DESC LIMIT 1")                                            \
    X(STATE_SET, "UPDATE given SET state = ?3 WHERE app = ?1 AND seq = ?2")              \
    X(EXPIRES_SET, "UPDATE message SET expires = ?3 WHERE app = ?1 AND seq = ?2")        \
    X(REMOVE, "DELETE FROM message WHERE app = ?1 AND seq = ?2")                         \
    X(STATE_REMOVE, "DELETE FROM given WHERE app = ?1 AND seq = ?2")                     \
    X(LOAD, "SELECT m.seq, m.server, m.body, g.size, g.state FROM message"               \
            " m JOIN given g ON g.app = m.app AND g.seq = m.seq WHERE"                   \
            " m.app = ?1 AND m.seq >= (SELECT coalesce(max(seq), 0) FROM"                \
            " message WHERE app = ?1 AND seq <= ?2) ORDER BY m.seq")                     \
    X(ALL, "SELECT m.seq, m.server, m.body, g.size, g.state, m.app FROM"                 \
           " message m JOIN given g ON g.app = m.app AND g.seq = m.seq")                 \
    X(EXPIRED, "SELECT m.seq, m.server, m.body, g.size, g.state, m.app FROM"             \
               " message m JOIN given g ON g.app = m.app AND g.seq = m.seq"              \
               " WHERE m.expires > 0 AND m.expires <= ?1")                               \
    X(NEXT_EXPIRY, "SELECT min(expires) FROM message WHERE expires > 0")                 \
    X(FRESH_ADD, "INSERT INTO fresh (ids) VALUES (?1)")                                  \
    X(FRESH, "SELECT ids FROM fresh ORDER BY number")                                    \
    X(FRESH_CLEAR, "DELETE FROM fresh")                                                  \
    X(SEEN_ADD, "INSERT OR IGNORE INTO seen VALUES (?1, ?2, ?3)")                        \
    X(SEEN_FIND, "SELECT 1 FROM seen WHERE day = ?1 AND id = ?2 AND server ="            \
                 " ?3")                                                                  \
    X(SEEN_FIND_ID, "SELECT 1 FROM seen WHERE day = ?1 AND id = ?2 LIMIT 1")             \
    X(SEEN_ALL, "SELECT id FROM seen")                                                   \
    X(SEEN_DAY, "SELECT min(day) FROM seen WHERE day > ?1")                              \
    X(SEEN_EXPIRE, "DELETE FROM seen WHERE day < ?1")                                    \
    X(BURY, "INSERT INTO dead (time, size, server, app, id, reason, body)"               \
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")                                      \
    X(DEAD_OLDEST, "SELECT seq, size FROM dead ORDER BY seq LIMIT 1")                    \
    X(DEAD_REMOVE, "DELETE FROM dead WHERE seq = ?1")                                    \
    X(GAP_ADD, "INSERT INTO gap VALUES (?1, ?2, ?3, ?4) ON CONFLICT(app,"                \
               " server) DO UPDATE SET id = excluded.id, count = CASE WHEN"              \
               " count = 0 OR excluded.count = 0 THEN 0 ELSE min(count,"                 \
               " 4611686018427387903) + min(excluded.count,"                             \
               " 4611686018427387903) END")                                              \
    X(GAP_REMOVE, "DELETE FROM gap WHERE id = ?1")                                       \
    X(GAPS, "SELECT server, id, count FROM gap WHERE app = ?1")                          \
    X(APP_ADD, "INSERT OR IGNORE INTO app VALUES (?1)")                                  \
    X(APP_NAMES, "SELECT name FROM app")

enum {
#define CC_INBOX_ENUM(name, sql) CC_SQL_##name,
    CC_INBOX_STATEMENTS(CC_INBOX_ENUM)
#undef CC_INBOX_ENUM
        CC_SQL_COUNT
};

typedef struct cc_inbox_totals {
    int64_t messages;
    int64_t bytes; /* of bodies                                       */
    int64_t dead;
    int64_t dead_bytes;
    int64_t next_seq;
    int64_t next_expiry;
} cc_inbox_totals;

struct cc_inbox {
    sqlite3 *db;
    sqlite3_stmt *statements[CC_SQL_COUNT];
    cc_inbox_totals totals;    /* as they are now                            */
    cc_inbox_totals committed; /* as they were at the last commit            */
    cc_runs runs;              /* of the transaction                          */
    cc_fresh fresh;            /* ids not sorted into the table yet           */
    char error[256];
};

/* Run a statement that was bound; it is reset after. CC_EMPTY: no row. With
 * CC_OK and a row the caller reads the columns, then resets by itself.       */
cc_status cc_inbox_step(cc_inbox *inbox, int statement);
cc_status cc_inbox_run(cc_inbox *inbox, int statement);
cc_status cc_inbox_fail(cc_inbox *inbox);
sqlite3_stmt *cc_inbox_statement(cc_inbox *inbox, int statement);
void cc_inbox_bind(sqlite3_stmt *statement, int index, cc_slice text);
cc_slice cc_inbox_column(sqlite3_stmt *statement, int column);
void cc_inbox_bind_text(sqlite3_stmt *statement, int index, const char *text);

/* Read the totals from the tables. */
cc_status cc_inbox_count(cc_inbox *inbox);

#endif
