/* SPDX-License-Identifier: Apache-2.0
 * cc_inbox_report.c - acknowledgements that servers are to be told of.
 */
#include "cc_compat.h"
#include "cc_inbox_private.h"

#include <string.h>

#define REPORTS_KEPT 20000 /* of all servers                                  */
#define TRIM_STEP    1000  /* that go at once when there are more             */

static cc_status trim_reports(cc_inbox *inbox)
{
    cc_status status;

    sqlite3_bind_int64(inbox->statements[CC_SQL_REPORT_TRIM], 1, TRIM_STEP - 1);
    status = cc_inbox_run(inbox, CC_SQL_REPORT_TRIM);
    if (status == CC_OK)
        inbox->totals.reports -= sqlite3_changes(inbox->db);
    return status;
}

cc_status cc_inbox_report_add(cc_inbox *inbox, const char *server, const char *id,
                              int64_t now)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_REPORT_ADD];
    cc_status status;

    cc_inbox_bind_text(statement, 1, server);
    sqlite3_bind_int64(statement, 2, inbox->totals.last_report + 1);
    sqlite3_bind_int64(statement, 3, now);
    cc_inbox_bind_text(statement, 4, id);
    status = cc_inbox_run(inbox, CC_SQL_REPORT_ADD);
    if (status != CC_OK)
        return status;
    inbox->totals.last_report++;
    inbox->totals.reports++;
    return inbox->totals.reports > REPORTS_KEPT ? trim_reports(inbox) : CC_OK;
}

/* The ids go into a header line: one that nobody wrote so is passed over. */
static void take_id(cc_reports *reports, cc_slice id)
{
    char *place = reports->ids[reports->count];

    if (id.len > CC_ID_MAX || cc_name_id_check(id.data, id.len) != CC_OK)
        return;
    memcpy(place, id.data, id.len);
    place[id.len] = '\0';
    reports->count++;
}

cc_status cc_inbox_report_list(cc_inbox *inbox, const char *server,
                               cc_reports *out_reports)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_REPORT_LIST];
    cc_status status;

    out_reports->count = 0;
    out_reports->last = 0;
    if (inbox->totals.reports == 0)
        return CC_EMPTY;
    cc_inbox_bind_text(statement, 1, server);
    sqlite3_bind_int64(statement, 2, CC_REPORTS_MAX);
    while ((status = cc_inbox_step(inbox, CC_SQL_REPORT_LIST)) == CC_OK) {
        out_reports->last = sqlite3_column_int64(statement, 0);
        take_id(out_reports, cc_inbox_column(statement, 1));
    }
    sqlite3_reset(statement);
    if (status != CC_EMPTY || out_reports->count > 0)
        return status == CC_EMPTY ? CC_OK : status;
    if (out_reports->last != 0)
        status = cc_inbox_report_remove(inbox, server, out_reports->last);
    return status == CC_OK ? CC_EMPTY : status;
}

cc_status cc_inbox_report_remove(cc_inbox *inbox, const char *server, int64_t last)
{
    sqlite3_stmt *statement = inbox->statements[CC_SQL_REPORT_REMOVE];
    cc_status status;

    cc_inbox_bind_text(statement, 1, server);
    sqlite3_bind_int64(statement, 2, last);
    status = cc_inbox_run(inbox, CC_SQL_REPORT_REMOVE);
    if (status == CC_OK)
        inbox->totals.reports -= sqlite3_changes(inbox->db);
    return status;
}

cc_status cc_inbox_report_expire(cc_inbox *inbox, int64_t before)
{
    cc_status status;

    if (inbox->totals.reports == 0)
        return CC_OK;
    sqlite3_bind_int64(inbox->statements[CC_SQL_REPORT_EXPIRE], 1, before);
    status = cc_inbox_run(inbox, CC_SQL_REPORT_EXPIRE);
    if (status == CC_OK)
        inbox->totals.reports -= sqlite3_changes(inbox->db);
    return status;
}
