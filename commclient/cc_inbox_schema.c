/* SPDX-License-Identifier: Apache-2.0
 * cc_inbox_schema.c - the tables of the inbox: making, checking, upgrading.
 *
 * Tables are compared word for word with what this or an older version makes;
 * nothing else may be in the file. An older inbox is checked as one of its own
 * version first, then brought up to date in one transaction.
 */
#include "cc_compat.h"
#include "cc_inbox_private.h"

#include <stdio.h>
#include <string.h>

static const struct table {
    const char *name;
    int from;  /* the first version of the file that has it so             */
    int until; /* the last one; 0: none yet                                */
    const char *columns;
} tables[] = {
#define CC_INBOX_TABLE(name, from, until, columns) { name, from, until, columns },
    CC_INBOX_TABLES(CC_INBOX_TABLE)
#undef CC_INBOX_TABLE
};

#define TABLE_COUNT (sizeof(tables) / sizeof(tables[0]))

static const struct upgrade {
    int version;
    const char *sql;
} upgrades[] = {
#define CC_INBOX_UPGRADE(version, sql) { version, sql },
    CC_INBOX_UPGRADES(CC_INBOX_UPGRADE)
#undef CC_INBOX_UPGRADE
};

#define UPGRADE_COUNT (sizeof(upgrades) / sizeof(upgrades[0]))

/* The status of SQLite's last error while opening. */
static cc_status open_status(sqlite3 *db)
{
    switch (sqlite3_errcode(db)) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return CC_IN_USE;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
        return CC_DAMAGED;
    default:
        return CC_STORAGE;
    }
}

cc_status cc_schema_execute(cc_inbox *inbox, const char *sql)
{
    if (sqlite3_exec(inbox->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return CC_OK;
    snprintf(inbox->error, sizeof(inbox->error), "%s", sqlite3_errmsg(inbox->db));
    return open_status(inbox->db);
}

/* The number that a query answers with; INT64_MIN: none. */
static cc_status query_number(cc_inbox *inbox, const char *sql, int64_t *out)
{
    sqlite3_stmt *statement = NULL;
    cc_status status = CC_OK;

    *out = INT64_MIN;
    if (sqlite3_prepare_v2(inbox->db, sql, -1, &statement, NULL) == SQLITE_OK
        && sqlite3_step(statement) == SQLITE_ROW)
        *out = sqlite3_column_int64(statement, 0);
    else
        status = cc_inbox_fail(inbox);
    if (status != CC_OK)
        status = open_status(inbox->db);
    sqlite3_finalize(statement);
    return status;
}

static int is_of_version(const struct table *table, int64_t version)
{
    return table->from <= version && (table->until == 0 || version <= table->until);
}

/* Another form of it ended with the version before. */
static int is_changed(const struct table *table)
{
    size_t i;

    for (i = 0; i < TABLE_COUNT; i++) {
        if (tables[i].until == table->from - 1 && tables[i].until != 0
            && strcmp(tables[i].name, table->name) == 0)
            return 1;
    }
    return 0;
}

static void add_create(cc_buffer *sql, const struct table *table)
{
    cc_buffer_format(sql, "CREATE TABLE %s%s;", table->name, table->columns);
}

static void add_header(cc_buffer *sql)
{
    cc_buffer_format(sql, "PRAGMA application_id = %d;PRAGMA user_version = %d;COMMIT;",
                     CC_INBOX_APPLICATION, CC_INBOX_VERSION);
}

static cc_status create_tables(cc_inbox *inbox)
{
    cc_buffer sql = { NULL, 0, 0 };
    cc_status status;
    size_t i;

    cc_buffer_add_text(&sql, "BEGIN EXCLUSIVE;");
    for (i = 0; i < TABLE_COUNT; i++) {
        if (is_of_version(&tables[i], CC_INBOX_VERSION))
            add_create(&sql, &tables[i]);
    }
    add_header(&sql);
    status = cc_schema_execute(inbox, sql.data);
    cc_buffer_clear(&sql);
    return status;
}

static void add_upgrade(cc_buffer *sql, int version)
{
    size_t i;

    for (i = 0; i < UPGRADE_COUNT; i++) {
        if (upgrades[i].version == version)
            cc_buffer_add_text(sql, upgrades[i].sql);
    }
    for (i = 0; i < TABLE_COUNT; i++) {
        if (tables[i].from == version && !is_changed(&tables[i]))
            add_create(sql, &tables[i]);
    }
}

static cc_status upgrade_tables(cc_inbox *inbox, int version)
{
    cc_buffer sql = { NULL, 0, 0 };
    cc_status status;

    cc_buffer_add_text(&sql, "BEGIN EXCLUSIVE;");
    while (version < CC_INBOX_VERSION)
        add_upgrade(&sql, ++version);
    add_header(&sql);
    status = cc_schema_execute(inbox, sql.data);
    cc_buffer_clear(&sql);
    return status;
}

static int is_expected_table(const char *sql, int64_t version)
{
    char expected[1024];
    size_t i;

    for (i = 0; i < TABLE_COUNT; i++) {
        if (!is_of_version(&tables[i], version))
            continue;
        snprintf(expected, sizeof(expected), "CREATE TABLE %s%s", tables[i].name,
                 tables[i].columns);
        if (strcmp(sql, expected) == 0)
            return 1;
    }
    return 0;
}

static size_t count_tables(int64_t version)
{
    size_t i, count = 0;

    for (i = 0; i < TABLE_COUNT; i++)
        count += (size_t)is_of_version(&tables[i], version);
    return count;
}

static cc_status check_tables(cc_inbox *inbox, int64_t version)
{
    sqlite3_stmt *statement = NULL;
    size_t found = 0, unknown = 0;
    int rv = SQLITE_ERROR;

    if (sqlite3_prepare_v2(inbox->db,
                           "SELECT sql FROM sqlite_schema"
                           " WHERE name NOT LIKE 'sqlite_autoindex%'",
                           -1, &statement, NULL)
        == SQLITE_OK) {
        while ((rv = sqlite3_step(statement)) == SQLITE_ROW) {
            const char *sql = (const char *)sqlite3_column_text(statement, 0);

            if (sql != NULL && is_expected_table(sql, version))
                found++;
            else
                unknown++;
        }
    }
    sqlite3_finalize(statement);
    if (rv != SQLITE_DONE)
        return open_status(inbox->db);
    snprintf(inbox->error, sizeof(inbox->error), "its tables are not those of an inbox");
    return found == count_tables(version) && unknown == 0 ? CC_OK : CC_DAMAGED;
}

static cc_status check_integrity(cc_inbox *inbox)
{
    sqlite3_stmt *statement = NULL;
    const char *text = NULL;
    cc_status status = CC_OK;

    if (sqlite3_prepare_v2(inbox->db, "PRAGMA quick_check(1)", -1, &statement, NULL)
            == SQLITE_OK
        && sqlite3_step(statement) == SQLITE_ROW)
        text = (const char *)sqlite3_column_text(statement, 0);
    if (text == NULL)
        status = open_status(inbox->db);
    else if (strcmp(text, "ok") != 0)
        status = CC_DAMAGED;
    snprintf(inbox->error, sizeof(inbox->error), "%s",
             text != NULL ? text : sqlite3_errmsg(inbox->db));
    sqlite3_finalize(statement);
    return status;
}

/* What is in the file: nothing yet, an inbox, or something else. */
cc_status cc_schema_open(cc_inbox *inbox)
{
    int64_t application = 0, version = 0, objects = 0;
    cc_status status;

    status = query_number(inbox, "SELECT count(*) FROM sqlite_schema", &objects);
    if (status == CC_OK)
        status = query_number(inbox, "PRAGMA application_id", &application);
    if (status == CC_OK)
        status = query_number(inbox, "PRAGMA user_version", &version);
    if (status != CC_OK)
        return status;
    if (objects == 0 && application == 0 && version == 0)
        return create_tables(inbox);
    if (application != CC_INBOX_APPLICATION)
        return CC_NOT_PERMITTED;
    if (version > CC_INBOX_VERSION)
        return CC_NEWER;
    status = check_tables(inbox, version);
    if (status == CC_OK)
        status = check_integrity(inbox);
    if (status == CC_OK && version < CC_INBOX_VERSION) {
        status = upgrade_tables(inbox, (int)version);
        if (status == CC_OK)
            status = check_tables(inbox, CC_INBOX_VERSION);
    }
    return status;
}
