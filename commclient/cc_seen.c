/* SPDX-License-Identifier: Apache-2.0
 * cc_seen.c - the ids that were here before.
 *
 * An id is kept until its message has expired and a day more, in a bucket
 * named by the day on which that is. A message without expiry, or with one
 * that is years away, is kept for SEEN_DAYS; as its bucket depends on when
 * it came, all buckets are asked for it.
 */
#include "cc_compat.h"
#include "cc_inbox_private.h"

#define DAY          86400000 /* ms                                          */
#define SEEN_DAYS    40       /* longer than any server keeps by default     */
#define HORIZON_DAYS 400      /* later expiries count as never               */

static int64_t bucket_of(int64_t expires, int64_t now, int *out_certain)
{
    *out_certain = expires > 0 && expires < now + (int64_t)HORIZON_DAYS * DAY;
    if (*out_certain)
        return expires / DAY + 1;
    return now / DAY + SEEN_DAYS;
}

static cc_status next_bucket(cc_inbox *inbox, int64_t after, int64_t *out_day)
{
    sqlite3_stmt *statement = cc_inbox_statement(inbox, CC_SQL_SEEN_DAY);
    cc_status status;

    sqlite3_bind_int64(statement, 1, after);
    status = cc_inbox_step(inbox, CC_SQL_SEEN_DAY);
    if (status == CC_OK) {
        if (sqlite3_column_type(statement, 0) != SQLITE_INTEGER)
            status = CC_EMPTY;
        *out_day = sqlite3_column_int64(statement, 0);
    }
    sqlite3_reset(statement);
    return status;
}

/* CC_OK: it is in this bucket; CC_EMPTY: not. Any server: NULL. */
static cc_status ask_bucket(cc_inbox *inbox, int64_t day, cc_slice id, const char *server)
{
    int which = server != NULL ? CC_SQL_SEEN_FIND : CC_SQL_SEEN_FIND_ID;
    sqlite3_stmt *statement = cc_inbox_statement(inbox, which);
    cc_status status;

    sqlite3_bind_int64(statement, 1, day);
    cc_inbox_bind(statement, 2, id);
    if (server != NULL)
        cc_inbox_bind_text(statement, 3, server);
    status = cc_inbox_step(inbox, which);
    sqlite3_reset(statement);
    return status;
}

static cc_status ask_all_buckets(cc_inbox *inbox, cc_slice id, const char *server)
{
    int64_t day = INT64_MIN;
    cc_status status;

    for (;;) {
        status = next_bucket(inbox, day, &day);
        if (status != CC_OK)
            return status;
        status = ask_bucket(inbox, day, id, server);
        if (status != CC_EMPTY)
            return status;
    }
}

cc_status cc_seen_add(cc_inbox *inbox, const char *server, cc_slice id, int64_t expires,
                      int64_t now)
{
    int certain;
    int64_t day = bucket_of(expires, now, &certain);
    sqlite3_stmt *statement;
    cc_status status;

    if (!certain) {
        status = ask_all_buckets(inbox, id, server);
        if (status != CC_EMPTY)
            return status == CC_OK ? CC_DUPLICATE : status;
    }
    statement = cc_inbox_statement(inbox, CC_SQL_SEEN_ADD);
    sqlite3_bind_int64(statement, 1, day);
    cc_inbox_bind(statement, 2, id);
    cc_inbox_bind_text(statement, 3, server);
    status = cc_inbox_run(inbox, CC_SQL_SEEN_ADD);
    if (status == CC_OK && sqlite3_changes(inbox->db) == 0)
        return CC_DUPLICATE;
    return status;
}

cc_status cc_seen_find(cc_inbox *inbox, const char *id)
{
    return ask_all_buckets(inbox, cc_slice_of(id), NULL);
}

cc_status cc_seen_expire(cc_inbox *inbox, int64_t now)
{
    sqlite3_stmt *statement = cc_inbox_statement(inbox, CC_SQL_SEEN_EXPIRE);

    sqlite3_bind_int64(statement, 1, now / DAY);
    return cc_inbox_run(inbox, CC_SQL_SEEN_EXPIRE);
}
