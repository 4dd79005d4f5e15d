/* SPDX-License-Identifier: Apache-2.0
 * cc_inbox_open.c - open the inbox, or set a damaged one aside and begin anew.
 *
 * What is found may be anything: another program's file, one of a newer
 * version, a torn one, one that somebody prepared. It is used only when its
 * header, its tables (cc_inbox_schema.c) and SQLite's own check are right;
 * triggers and views are switched off. Until it is known to be an inbox,
 * nothing of it is changed.
 */
#include "cc_compat.h"
#include "cc_inbox_private.h"
#include "cc_log.h"
#include "cc_time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAGIC     "SQLite format 3" /* with its NUL: the first 16 bytes          */
#define READ_STEP 65536             /* bytes                                     */

static const char *const statement_sql[] = {
#define CC_INBOX_SQL(name, sql) sql,
    CC_INBOX_STATEMENTS(CC_INBOX_SQL)
#undef CC_INBOX_SQL
};

static char *format_error(const char *path, const char *what)
{
    cc_buffer text = { NULL, 0, 0 };

    cc_buffer_format(&text, "inbox '%s' %s", path, what);
    return text.data;
}

static cc_status configure(cc_inbox *inbox)
{
    sqlite3_db_config(inbox->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(inbox->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(inbox->db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_db_config(inbox->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    return cc_schema_execute(inbox, "PRAGMA locking_mode = EXCLUSIVE;"
                                    "PRAGMA cell_size_check = ON;"
                                    "PRAGMA synchronous = FULL;"
                                    "PRAGMA wal_autocheckpoint = 4000;"
                                    "PRAGMA journal_size_limit = 33554432;"
                                    "PRAGMA cache_size = -16384;"
                                    "PRAGMA temp_store = MEMORY;"
                                    "BEGIN EXCLUSIVE; COMMIT;");
}

static cc_status prepare_statements(cc_inbox *inbox)
{
    int i;

    for (i = 0; i < CC_SQL_COUNT; i++) {
        if (sqlite3_prepare_v3(inbox->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
                               &inbox->statements[i], NULL)
            != SQLITE_OK)
            return cc_inbox_fail(inbox);
    }
    return CC_OK;
}

/* An empty file becomes an inbox; one of SQLite's may be one. */
static cc_status check_magic(const char *path, int descriptor, char **out_error)
{
    char head[sizeof(MAGIC)];
    ssize_t len = pread(descriptor, head, sizeof(head), 0);

    if (len == 0 || (len == sizeof(head) && memcmp(head, MAGIC, sizeof(head)) == 0))
        return CC_OK;
    *out_error = format_error(path, "is a file of another program, which is left alone:"
                                    " inbox must name an inbox, or a new file");
    return CC_NOT_PERMITTED;
}

static cc_status check_file(const char *path, char **out_error)
{
    struct stat info;
    int descriptor;
    cc_status status = CC_OK;

    descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
    if (descriptor < 0 || fstat(descriptor, &info) != 0) {
        cc_buffer text = { NULL, 0, 0 };

        cc_buffer_format(&text, "cannot be opened: %s", strerror(errno));
        *out_error = format_error(path, text.data);
        cc_buffer_clear(&text);
        status = CC_SYSTEM;
    }
    else if (!S_ISREG(info.st_mode) || info.st_uid != geteuid()) {
        *out_error = format_error(path, "is not a file of this user");
        status = CC_NOT_PERMITTED;
    }
    else {
        status = check_magic(path, descriptor, out_error);
    }
    if (descriptor >= 0)
        close(descriptor);
    return status;
}

/* The file must be ours alone: it holds what was sent to this user. */
static cc_status take_over(cc_inbox *inbox, const char *path)
{
    if (chmod(path, 0600) != 0) {
        snprintf(inbox->error, sizeof(inbox->error), "cannot be closed to others: %s",
                 strerror(errno));
        return CC_STORAGE;
    }
    return cc_schema_execute(inbox, "PRAGMA journal_mode = WAL;");
}

static cc_status try_open(const char *path, cc_inbox **out_inbox, char *error,
                          size_t size)
{
    cc_inbox *inbox = cc_alloc(sizeof(*inbox));
    cc_status status;

    if (sqlite3_open_v2(path, &inbox->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                        NULL)
        != SQLITE_OK)
        status = cc_inbox_fail(inbox);
    else
        status = configure(inbox);
    if (status == CC_OK)
        status = cc_schema_open(inbox);
    if (status == CC_OK)
        status = take_over(inbox, path);
    if (status == CC_OK)
        status = prepare_statements(inbox);
    if (status == CC_OK)
        status = cc_inbox_check_runs(inbox);
    if (status == CC_OK)
        status = cc_inbox_count(inbox);
    if (status == CC_OK)
        status = cc_seen_open(inbox);
    if (status != CC_OK) {
        snprintf(error, size, "%s", inbox->error);
        cc_inbox_close(inbox);
        return status;
    }
    inbox->committed = inbox->totals;
    cc_usage_committed(&inbox->usage);
    inbox->error[0] = '\0';
    *out_inbox = inbox;
    return CC_OK;
}

/* CC_OK: all of it can be read, or it is not there. */
static cc_status read_part(const char *path, const char *suffix, char *error, size_t size)
{
    cc_buffer name = { NULL, 0, 0 };
    char *step = cc_alloc(READ_STEP);
    int descriptor;
    ssize_t n = 0;

    cc_buffer_format(&name, "%s%s", path, suffix);
    descriptor = open(name.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    while (descriptor >= 0 && (n = read(descriptor, step, READ_STEP)) > 0)
        ;
    if (descriptor < 0 && errno != ENOENT)
        n = -1;
    if (n < 0)
        snprintf(error, size, "cannot be read: %s", strerror(errno));
    if (descriptor >= 0)
        close(descriptor);
    cc_buffer_clear(&name);
    free(step);
    return n < 0 ? CC_STORAGE : CC_OK;
}

/* SQLite says of a page that it could not read, too, that something is wrong with
 * the file. A disk that fails now, or no memory, is no damage: the file stays. So it
 * is damaged when it can be read, and seems so again. */
static cc_status open_surely(const char *path, cc_inbox **out_inbox, char *error,
                             size_t size)
{
    cc_status status = try_open(path, out_inbox, error, size);

    if (status != CC_DAMAGED)
        return status;
    status = read_part(path, "", error, size);
    if (status == CC_OK)
        status = read_part(path, "-wal", error, size);
    return status == CC_OK ? try_open(path, out_inbox, error, size) : status;
}

static cc_status rename_part(const char *path, const char *aside, const char *suffix)
{
    cc_buffer from = { NULL, 0, 0 }, to = { NULL, 0, 0 };
    cc_status status = CC_OK;

    cc_buffer_format(&from, "%s%s", path, suffix);
    cc_buffer_format(&to, "%s%s", aside, suffix);
    if (rename(from.data, to.data) != 0 && errno != ENOENT)
        status = CC_SYSTEM;
    cc_buffer_clear(&from);
    cc_buffer_clear(&to);
    return status;
}

/* Rename the damaged file so that nothing in it is lost to who can read it. Its
 * log goes after it: without, the file could be one of a former time. */
static cc_status set_aside(const char *path, int64_t now, const char *why)
{
    char stamp[32], aside[4096];
    time_t seconds = (time_t)(now / 1000);
    struct tm parts;
    struct stat info;
    int i = 0;

    gmtime_r(&seconds, &parts);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &parts);
    snprintf(aside, sizeof(aside), "%s.damaged-%s", path, stamp);
    while (lstat(aside, &info) == 0 && ++i < 1000)
        snprintf(aside, sizeof(aside), "%s.damaged-%s.%d", path, stamp, i);
    if (rename_part(path, aside, "") != CC_OK || rename_part(path, aside, "-wal") != CC_OK
        || rename_part(path, aside, "-shm") != CC_OK)
        return CC_SYSTEM;
    cc_log(CC_LOG_ERROR,
           "inbox '%s' is damaged (%s): it is kept as '%s' and a new one"
           " is begun; messages that were only in it are not delivered",
           path, why, aside);
    return CC_OK;
}

static const char *describe(cc_status status, const char *detail)
{
    switch (status) {
    case CC_IN_USE:
        return "is in use by another agent";
    case CC_NEWER:
        return "was made by a newer version of commclient";
    case CC_NOT_PERMITTED:
        return "is the database of another program, which is left alone: inbox must name"
               " an inbox, or a new file";
    default:
        return detail;
    }
}

cc_status cc_inbox_open(const char *path, int64_t now, cc_inbox **out_inbox,
                        char **out_error)
{
    char detail[256] = "";
    cc_status status;

    *out_error = NULL;
    status = check_file(path, out_error);
    if (status != CC_OK)
        return status;
    status = open_surely(path, out_inbox, detail, sizeof(detail));
    if (status == CC_DAMAGED) {
        status = set_aside(path, now, detail);
        if (status == CC_OK)
            status = check_file(path, out_error);
        if (status == CC_OK)
            status = try_open(path, out_inbox, detail, sizeof(detail));
    }
    if (status == CC_OK)
        (*out_inbox)->path = cc_copy(path);
    else if (*out_error == NULL)
        *out_error = format_error(path, describe(status, detail));
    return status;
}

cc_status cc_inbox_verify(const char *path, char **out_error)
{
    char detail[256] = "";
    cc_inbox *inbox = NULL;
    cc_status status;

    *out_error = NULL;
    status = check_file(path, out_error);
    if (status == CC_OK)
        status = open_surely(path, &inbox, detail, sizeof(detail));
    if (status == CC_OK)
        cc_inbox_close(inbox);
    else if (*out_error == NULL)
        *out_error = format_error(path, describe(status, detail));
    return status;
}

void cc_inbox_close(cc_inbox *inbox)
{
    int i;

    if (inbox == NULL)
        return;
    for (i = 0; i < CC_SQL_COUNT; i++)
        sqlite3_finalize(inbox->statements[i]);
    sqlite3_close(inbox->db);
    if (inbox->is_unsound && inbox->path != NULL)
        set_aside(inbox->path, cc_time_now(), inbox->error);
    free(inbox->path);
    cc_run_forget(inbox);
    free(inbox->runs.list);
    cc_seen_close(inbox);
    cc_usage_clear(&inbox->usage);
    free(inbox);
}
