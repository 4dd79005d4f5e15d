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
 *   later    messages that were put off, and until when. A row goes with its
 *            message; one whose time is over says nothing.
 *   dead     the whole object as it came from the server.
 *   report   ids that were acknowledged and of which the server is to be told.
 *   spool    what waits to be published; its rows are cc_spool.c's.
 *   gap      id is new at each change: an acknowledgement of the former state
 *            does not hide what was added.
 */
#ifndef CC_INBOX_PRIVATE_H
#define CC_INBOX_PRIVATE_H

#include "cc_compat.h"
#include "cc_inbox.h"
#include "cc_run.h"
#include "cc_seen.h"
#include "cc_usage.h"

#include <sqlite3.h>

#define CC_INBOX_APPLICATION 0x636f6d63 /* "comc", in the file's header      */

/* X(name, from, until, columns): the versions of the file that have it so;
 * until 0: the present one. A table more: raise CC_INBOX_VERSION and give it a
 * row here; a table that changes: end its row, give it another, and say in
 * CC_INBOX_UPGRADES how the one becomes the other.                           */
#define CC_INBOX_TABLES(X)                                                               \
    X("message", 1, 0,                                                                   \
      "(app TEXT NOT NULL, seq INTEGER NOT NULL,"                                        \
      " expires INTEGER NOT NULL, server TEXT NOT NULL, body BLOB NOT NULL,"             \
      " PRIMARY KEY(app, seq)) WITHOUT ROWID")                                           \
    X("given", 1, 0,                                                                     \
      "(app TEXT NOT NULL, seq INTEGER NOT NULL, size INTEGER NOT NULL,"                 \
      " state BLOB NOT NULL, PRIMARY KEY(app, seq)) WITHOUT ROWID")                      \
    X("later", 2, 0,                                                                     \
      "(app TEXT NOT NULL, seq INTEGER NOT NULL, due INTEGER NOT NULL,"                  \
      " PRIMARY KEY(app, seq)) WITHOUT ROWID")                                           \
    X("fresh", 1, 0, "(number INTEGER PRIMARY KEY, ids BLOB NOT NULL)")                  \
    X("cursor", 1, 0,                                                                    \
      "(server TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL)"                          \
      " WITHOUT ROWID")                                                                  \
    X("seen", 1, 0,                                                                      \
      "(day INTEGER NOT NULL, id TEXT NOT NULL,"                                         \
      " server TEXT NOT NULL, PRIMARY KEY(day, id, server)) WITHOUT ROWID")              \
    X("dead", 1, 1,                                                                      \
      "(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL,"                                 \
      " size INTEGER NOT NULL, server TEXT NOT NULL, app TEXT NOT NULL,"                 \
      " id TEXT NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL)")                    \
    X("dead", 2, 0,                                                                      \
      "(seq INTEGER PRIMARY KEY, time INTEGER NOT NULL,"                                 \
      " size INTEGER NOT NULL, server TEXT NOT NULL, app TEXT NOT NULL,"                 \
      " id TEXT NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL,"                     \
      " attempt INTEGER NOT NULL DEFAULT 0)")                                            \
    X("report", 2, 0,                                                                    \
      "(server TEXT NOT NULL, number INTEGER NOT NULL,"                                  \
      " time INTEGER NOT NULL, id TEXT NOT NULL,"                                        \
      " PRIMARY KEY(server, number)) WITHOUT ROWID")                                     \
    X("spool", 2, 0,                                                                     \
      "(seq INTEGER PRIMARY KEY, server TEXT NOT NULL,"                                  \
      " app TEXT NOT NULL, key TEXT NOT NULL, place TEXT NOT NULL,"                      \
      " type TEXT NOT NULL, topic TEXT NOT NULL, urgency TEXT NOT NULL,"                 \
      " receipt INTEGER NOT NULL, ttl INTEGER NOT NULL,"                                 \
      " expires INTEGER NOT NULL, body BLOB NOT NULL)")                                  \
    X("gap", 1, 0,                                                                       \
      "(app TEXT NOT NULL, server TEXT NOT NULL, id TEXT NOT NULL,"                      \
      " count INTEGER NOT NULL, PRIMARY KEY(app, server)) WITHOUT ROWID")                \
    X("app", 1, 0, "(name TEXT PRIMARY KEY NOT NULL) WITHOUT ROWID")

/* X(version, sql): from the version before. SQLite keeps the text of a table
 * with the column put before its last bracket: the new row must say the same. */
#define CC_INBOX_UPGRADES(X)                                                             \
    X(2, "ALTER TABLE dead ADD COLUMN attempt INTEGER NOT NULL DEFAULT 0;")

#define CC_INBOX_STATEMENTS(X)                                                           \
    X(BEGIN, "BEGIN IMMEDIATE")                                                          \
    X(COMMIT, "COMMIT")                                                                  \
    X(ROLLBACK, "ROLLBACK")                                                              \
    X(TOTALS, "SELECT coalesce(sum(size), 0), coalesce(max(seq), 0) FROM"                \
              " given")                                                                  \
    X(STATES, "SELECT seq, app, size, state FROM given")                                 \
    X(ROW, "SELECT m.seq, m.server, m.body, g.size, g.state FROM message"                \
           " m JOIN given g ON g.app = m.app AND g.seq = m.seq WHERE"                    \
           " m.app = ?1 AND m.seq = ?2")                                                 \
    X(DEAD_TOTALS, "SELECT count(*), coalesce(sum(length(body)), 0) FROM dead")          \
    X(CURSOR_GET, "SELECT value FROM cursor WHERE server = ?1")                          \
    X(CURSOR_SET, "INSERT OR REPLACE INTO cursor VALUES (?1, ?2)")                       \
    X(ADD, "INSERT INTO message VALUES (?1, ?2, ?3, ?4, ?5)")                            \
    X(STATE_ADD, "INSERT INTO given VALUES (?1, ?2, ?3, ?4)")                            \
    X(STATE, "SELECT seq, size, state FROM given WHERE app = ?1 AND seq <="              \
             " ?2 ORDER BY seq DESC LIMIT 1")                                            \
    X(STATE_SET, "UPDATE given SET state = ?3 WHERE app = ?1 AND seq = ?2")              \
    X(BODY_SET, "UPDATE message SET body = ?3 WHERE app = ?1 AND seq = ?2")              \
    X(SIZE_SET, "UPDATE given SET size = ?3 WHERE app = ?1 AND seq = ?2")                \
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
    X(LATER_SET, "INSERT OR REPLACE INTO later VALUES (?1, ?2, ?3)")                     \
    X(LATER_GET, "SELECT due FROM later WHERE app = ?1 AND seq = ?2")                    \
    X(LATER_REMOVE, "DELETE FROM later WHERE app = ?1 AND seq = ?2")                     \
    X(LATER_TOTALS, "SELECT count(*), 0 FROM later")                                     \
    X(BURY, "INSERT INTO dead (time, size, server, app, id, reason, body,"               \
            " attempt) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                         \
    X(DEAD_LIST, "SELECT seq, time, length(body), server, app, id, reason, attempt"      \
                 " FROM dead ORDER BY seq")                                              \
    X(DEAD_APPS, "SELECT app, count(*) FROM dead GROUP BY app")                          \
    X(DEAD_GET, "SELECT seq, time, length(body), server, app, id, reason, attempt,"      \
                " body FROM dead WHERE seq = ?1")                                        \
    X(DEAD_OLDEST, "SELECT seq, length(body) FROM dead ORDER BY seq LIMIT 1")            \
    X(DEAD_REMOVE, "DELETE FROM dead WHERE seq = ?1")                                    \
    X(REPORT_ADD, "INSERT INTO report VALUES (?1, ?2, ?3, ?4)")                          \
    X(REPORT_LIST, "SELECT number, id FROM report WHERE server = ?1"                     \
                   " ORDER BY number LIMIT ?2")                                          \
    X(REPORT_REMOVE, "DELETE FROM report WHERE server = ?1 AND number <= ?2")            \
    X(REPORT_EXPIRE, "DELETE FROM report WHERE time < ?1")                               \
    X(REPORT_TRIM, "DELETE FROM report WHERE number <= (SELECT number FROM"              \
                   " report ORDER BY number LIMIT 1 OFFSET ?1)")                         \
    X(REPORT_TOTALS, "SELECT count(*), coalesce(max(number), 0) FROM report")            \
    X(GAP_ADD, "INSERT INTO gap VALUES (?1, ?2, ?3, ?4) ON CONFLICT(app,"                \
               " server) DO UPDATE SET id = excluded.id, count = CASE WHEN"              \
               " count = 0 OR excluded.count = 0 THEN 0 ELSE min(count,"                 \
               " 4611686018427387903) + min(excluded.count,"                             \
               " 4611686018427387903) END")                                              \
    X(GAP_REMOVE, "DELETE FROM gap WHERE id = ?1")                                       \
    X(GAPS, "SELECT server, id, count FROM gap WHERE app = ?1")                          \
    X(GAP_APP, "SELECT app FROM gap WHERE id = ?1")                                      \
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
    int64_t later; /* at least as many rows as `later` has            */
    int64_t reports;
    int64_t last_report; /* number of the newest                            */
    int64_t next_seq;
    int64_t next_expiry;
} cc_inbox_totals;

struct cc_inbox {
    sqlite3 *db;
    sqlite3_stmt *statements[CC_SQL_COUNT];
    cc_inbox_totals totals;    /* as they are now                            */
    cc_inbox_totals committed; /* as they were at the last commit            */
    cc_usage usage;            /* of each application                         */
    cc_runs runs;              /* of the transaction                          */
    cc_fresh fresh;            /* ids not sorted into the table yet           */
    char *path;                /* NULL: it is only looked at                  */
    int is_unsound;            /* rows were found that nobody wrote so        */
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

const char *cc_inbox_column_text(sqlite3_stmt *statement, int column);

/* Two numbers that a query answers with. */
cc_status cc_inbox_read_two(cc_inbox *inbox, int statement, int64_t *one, int64_t *two);

/* cc_inbox_schema.c: make the tables, or check that they are those of an inbox
 * and bring those of an older version up to date. CC_DAMAGED, CC_NEWER,
 * CC_NOT_PERMITTED: it is another program's; CC_IN_USE, CC_STORAGE.           */
cc_status cc_schema_open(cc_inbox *inbox);
cc_status cc_schema_execute(cc_inbox *inbox, const char *sql);

/* cc_inbox_check.c: look at all runs, but not into bodies. CC_DAMAGED: one is not
 * as the agent writes it; CC_STORAGE.                                         */
cc_status cc_inbox_check_runs(cc_inbox *inbox);

/* Forget the reports made before this time. */
cc_status cc_inbox_report_expire(cc_inbox *inbox, int64_t before);

/* Read the totals from the tables. */
cc_status cc_inbox_count(cc_inbox *inbox);

#endif
