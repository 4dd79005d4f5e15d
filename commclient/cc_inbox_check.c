/* SPDX-License-Identifier: Apache-2.0
 * cc_inbox_check.c - are the runs of messages as the agent writes them?
 *
 * SQLite's own check knows pages and types, not what they mean. What places are
 * reckoned from is looked at here, when the file is opened: a run whose sequences
 * lie in another, or whose size is not its own, would be found by nobody later.
 * What is wrong within a body is found when it is read.
 */
#include "cc_compat.h"
#include "cc_inbox_private.h"

#include <stdio.h>

/* Up to 2^61: some of them can be added up. */
#define NUMBER(column)                                                                   \
    "typeof(" column ") = 'integer' AND " column " BETWEEN 0 AND 2305843009213693952"

/* As cc_name_check(); a NUL would hide what comes behind it. */
#define NAME(column)                                                                     \
    "typeof(" column ") = 'text' AND length(CAST(" column " AS BLOB)) BETWEEN 1 AND 64"  \
    " AND length(" column ") = length(CAST(" column " AS BLOB)) AND " column             \
    " GLOB '[A-Za-z0-9]*' AND " column " NOT GLOB '*[^A-Za-z0-9._-]*'"

#define BLOB(column) "typeof(" column ") = 'blob'"

/* Each has no row in an inbox. */
static const char *const questions[] = {
    "SELECT 1 FROM message WHERE NOT (" NAME("app") " AND " NUMBER("seq") " AND " NUMBER(
        "expires") " AND " NAME("server") " AND " BLOB("body") ")",
    "SELECT 1 FROM given WHERE NOT (" NAME("app") " AND " NUMBER("seq") " AND " NUMBER(
        "size") " AND " BLOB("state") " AND length(state) BETWEEN 1 AND 1024)",
    "SELECT 1 FROM message m LEFT JOIN given g ON g.app = m.app AND g.seq = m.seq"
    " WHERE g.app IS NULL OR g.size > length(m.body)",
    "SELECT 1 FROM given g LEFT JOIN message m ON m.app = g.app AND m.seq = g.seq"
    " WHERE m.app IS NULL",
    "SELECT 1 FROM given g JOIN given n ON n.app = g.app AND n.seq > g.seq"
    " AND n.seq < g.seq + length(g.state)",
};

/* CC_EMPTY: there is no row, as it should be. */
static cc_status ask(cc_inbox *inbox, const char *question)
{
    sqlite3_stmt *statement = NULL;
    cc_status status;

    if (sqlite3_prepare_v2(inbox->db, question, -1, &statement, NULL) != SQLITE_OK)
        return cc_inbox_fail(inbox);
    switch (sqlite3_step(statement)) {
    case SQLITE_ROW:
        status = CC_OK;
        break;
    case SQLITE_DONE:
        status = CC_EMPTY;
        break;
    default:
        status = cc_inbox_fail(inbox);
        break;
    }
    sqlite3_finalize(statement);
    return status;
}

cc_status cc_inbox_check_runs(cc_inbox *inbox)
{
    cc_status status = CC_EMPTY;
    size_t i;

    for (i = 0; i < sizeof(questions) / sizeof(questions[0]) && status == CC_EMPTY; i++)
        status = ask(inbox, questions[i]);
    if (status == CC_EMPTY)
        return CC_OK;
    if (status != CC_OK)
        return status;
    snprintf(inbox->error, sizeof(inbox->error),
             "runs of messages in it are not as the agent writes them");
    return CC_DAMAGED;
}
