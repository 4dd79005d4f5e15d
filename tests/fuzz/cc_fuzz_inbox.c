/* SPDX-License-Identifier: Apache-2.0
 * cc_fuzz_inbox.c - the file of an inbox, changed by bytes of a fuzzer.
 *
 *   changes   a byte: how many; each: a byte, what (enum change), then
 *     of rows   a byte: table, a byte: row, a byte: column, then
 *       SET, COPY    a value: a byte, of what kind, then its bytes
 *       PATCH        two bytes: where; a byte: how many; those bytes
 *       DELETE       nothing
 *     NUMBER    a byte: which of the header's; a value
 *     BYTES     three bytes: where in the file; a byte: how many; those bytes
 *     CUT       three bytes: the length of the file
 */
#include "cc_compat.h"
#include "cc_fuzz_inbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3.h>

#define CHANGES_MAX 16

enum change { SET, PATCH, COPY, DELETE, NUMBER, BYTES, CUT, CHANGE_COUNT };

#define COLUMNS_MAX 12

static const struct table {
    const char *name;
    const char *key; /* columns by which a row is found                       */
    const char *columns[COLUMNS_MAX];
} tables[] = {
    { "message", "app, seq", { "app", "seq", "expires", "server", "body" } },
    { "given", "app, seq", { "app", "seq", "size", "state" } },
    { "later", "app, seq", { "app", "seq", "due" } },
    { "fresh", "number", { "number", "ids" } },
    { "cursor", "server", { "server", "value" } },
    { "seen", "day, id, server", { "day", "id", "server" } },
    { "dead",
      "seq",
      { "seq", "time", "size", "server", "app", "id", "reason", "body", "attempt" } },
    { "report", "server, number", { "server", "number", "time", "id" } },
    { "spool",
      "seq",
      { "seq", "server", "app", "key", "place", "type", "topic", "urgency", "receipt",
        "ttl", "expires", "body" } },
    { "gap", "app, server", { "app", "server", "id", "count" } },
    { "app", "name", { "name" } },
};

#define TABLE_COUNT (sizeof(tables) / sizeof(tables[0]))

/* Where a change is made. */
typedef struct place {
    const struct table *table;
    unsigned row;
    const char *column;
} place;

static place take_place(fuzz_input *input)
{
    place p;
    unsigned count = 0;

    p.table = &tables[fuzz_take_byte(input) % TABLE_COUNT];
    p.row = fuzz_take_byte(input) % 8;
    while (count < COLUMNS_MAX && p.table->columns[count] != NULL)
        count++;
    p.column = p.table->columns[fuzz_take_byte(input) % count];
    return p;
}

static void bind_value(sqlite3_stmt *statement, int index, fuzz_input *input)
{
    unsigned kind = fuzz_take_byte(input) % 6;
    size_t len = 0;
    uint8_t *bytes;

    if (kind == 0) {
        sqlite3_bind_int64(statement, index, (int8_t)fuzz_take_byte(input));
        return;
    }
    if (kind == 1) {
        sqlite3_bind_int64(statement, index, (int64_t)fuzz_take_number(input, 8));
        return;
    }
    if (kind == 2) {
        sqlite3_bind_double(statement, index, (double)fuzz_take_number(input, 8) / 3);
        return;
    }
    if (kind == 3)
        return;
    bytes = fuzz_take_bytes(input, fuzz_take_byte(input), &len);
    if (kind == 4)
        sqlite3_bind_text(statement, index, (const char *)bytes, (int)len,
                          SQLITE_TRANSIENT);
    else
        sqlite3_bind_blob(statement, index, bytes, (int)len, SQLITE_TRANSIENT);
    free(bytes);
}

static sqlite3_stmt *prepare(sqlite3 *db, const cc_buffer *sql)
{
    sqlite3_stmt *statement = NULL;

    sqlite3_prepare_v2(db, sql->data, -1, &statement, NULL);
    CC_FUZZ_CHECK(statement != NULL, sql->data);
    return statement;
}

static void add_where(cc_buffer *sql, const place *p)
{
    cc_buffer_format(sql, " WHERE (%s) IN (SELECT %s FROM %s LIMIT 1 OFFSET %u)",
                     p->table->key, p->table->key, p->table->name, p->row);
}

/* What the tables themselves forbid fails, and that is all right. */
static void run(sqlite3_stmt *statement, cc_buffer *sql)
{
    sqlite3_step(statement);
    sqlite3_finalize(statement);
    cc_buffer_clear(sql);
}

static sqlite3_stmt *prepare_update(sqlite3 *db, const place *p, cc_buffer *sql)
{
    cc_buffer_format(sql, "UPDATE %s SET %s = ?1", p->table->name, p->column);
    add_where(sql, p);
    return prepare(db, sql);
}

static void set(sqlite3 *db, const place *p, fuzz_input *input)
{
    cc_buffer sql = { NULL, 0, 0 };
    sqlite3_stmt *statement = prepare_update(db, p, &sql);

    bind_value(statement, 1, input);
    run(statement, &sql);
}

static void read_value(sqlite3 *db, const place *p, cc_buffer *out)
{
    cc_buffer sql = { NULL, 0, 0 };
    sqlite3_stmt *statement;

    cc_buffer_format(&sql, "SELECT CAST(%s AS BLOB) FROM %s", p->column, p->table->name);
    add_where(&sql, p);
    statement = prepare(db, &sql);
    if (sqlite3_step(statement) == SQLITE_ROW)
        cc_buffer_add(out, sqlite3_column_blob(statement, 0),
                      (size_t)sqlite3_column_bytes(statement, 0));
    sqlite3_finalize(statement);
    cc_buffer_clear(&sql);
}

static void patch(sqlite3 *db, const place *p, fuzz_input *input)
{
    cc_buffer value = { NULL, 0, 0 }, sql = { NULL, 0, 0 };
    size_t at = fuzz_take_number(input, 2), len, i;
    uint8_t *bytes = fuzz_take_bytes(input, fuzz_take_byte(input), &len);
    sqlite3_stmt *statement;

    read_value(db, p, &value);
    for (i = 0; i < len && value.len > 0; i++)
        value.data[(at + i) % value.len] = (char)bytes[i];
    statement = prepare_update(db, p, &sql);
    if (value.len > 0)
        sqlite3_bind_blob(statement, 1, value.data, (int)value.len, SQLITE_TRANSIENT);
    run(statement, &sql);
    cc_buffer_clear(&value);
    free(bytes);
}

/* A row once more, that differs in one column. */
static void copy_row(sqlite3 *db, const place *p, fuzz_input *input)
{
    cc_buffer sql = { NULL, 0, 0 };
    sqlite3_stmt *statement;
    unsigned i;

    cc_buffer_format(&sql, "INSERT INTO %s SELECT ", p->table->name);
    for (i = 0; i < COLUMNS_MAX && p->table->columns[i] != NULL; i++)
        cc_buffer_format(&sql, "%s%s", i > 0 ? ", " : "",
                         p->table->columns[i] == p->column ? "?1" : p->table->columns[i]);
    cc_buffer_format(&sql, " FROM %s", p->table->name);
    add_where(&sql, p);
    statement = prepare(db, &sql);
    bind_value(statement, 1, input);
    run(statement, &sql);
}

static void delete_row(sqlite3 *db, const place *p)
{
    cc_buffer sql = { NULL, 0, 0 };

    cc_buffer_format(&sql, "DELETE FROM %s", p->table->name);
    add_where(&sql, p);
    run(prepare(db, &sql), &sql);
}

static void set_number(sqlite3 *db, fuzz_input *input)
{
    static const char *const names[] = { "user_version", "application_id",
                                         "schema_version" };
    cc_buffer sql = { NULL, 0, 0 };
    unsigned which = fuzz_take_byte(input) % 3;

    cc_buffer_format(&sql, "PRAGMA %s = %d", names[which],
                     (int)(int32_t)fuzz_take_number(input, 4));
    run(prepare(db, &sql), &sql);
}

static void change_rows(sqlite3 *db, enum change what, fuzz_input *input)
{
    place p;

    if (what == NUMBER) {
        set_number(db, input);
        return;
    }
    p = take_place(input);
    if (what == SET)
        set(db, &p, input);
    else if (what == PATCH)
        patch(db, &p, input);
    else if (what == COPY)
        copy_row(db, &p, input);
    else
        delete_row(db, &p);
}

/* ---- the file ------------------------------------------------------------- */

static sqlite3 *open_file(const char *path)
{
    sqlite3 *db = NULL;

    if (sqlite3_open(path, &db) != SQLITE_OK)
        CC_FUZZ_CHECK(0, "the file cannot be opened");
    sqlite3_exec(db,
                 "PRAGMA locking_mode = EXCLUSIVE; PRAGMA synchronous = OFF;"
                 "PRAGMA journal_mode = MEMORY;",
                 NULL, NULL, NULL);
    return db;
}

void cc_fuzz_inbox_settle(const char *path)
{
    sqlite3 *db = open_file(path);

    sqlite3_exec(db, "PRAGMA journal_mode = DELETE; VACUUM;", NULL, NULL, NULL);
    CC_FUZZ_CHECK(sqlite3_close(db) == SQLITE_OK, "the file is in use");
}

static void change_bytes(const char *name, enum change what, fuzz_input *input)
{
    cc_buffer file = { NULL, 0, 0 };
    size_t at = fuzz_take_number(input, 3), len, i;
    uint8_t *bytes;

    cc_fuzz_read(cc_fuzz_path(name), &file);
    if (what == CUT) {
        if (at < file.len)
            file.len = at;
    }
    else {
        bytes = fuzz_take_bytes(input, fuzz_take_byte(input), &len);
        for (i = 0; i < len && file.len > 0; i++)
            file.data[(at + i) % file.len] = (char)bytes[i];
        free(bytes);
    }
    cc_fuzz_write(name, file.data, file.len);
    cc_buffer_clear(&file);
}

unsigned cc_fuzz_inbox_make(const cc_buffer *whole, fuzz_input *input, const char *name)
{
    unsigned count = fuzz_take_byte(input) % CHANGES_MAX, of_bytes = 0;
    sqlite3 *db = NULL;

    cc_fuzz_write(name, whole->data, whole->len);
    while (count-- > 0) {
        enum change what = (enum change)(fuzz_take_byte(input) % CHANGE_COUNT);

        if (what != BYTES && what != CUT && of_bytes == 0) {
            if (db == NULL)
                db = open_file(cc_fuzz_path(name));
            change_rows(db, what, input);
            continue;
        }
        sqlite3_close(db);
        db = NULL;
        change_bytes(name, what, input);
        of_bytes++;
    }
    sqlite3_close(db);
    return of_bytes;
}
