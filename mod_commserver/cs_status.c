/* SPDX-License-Identifier: Apache-2.0
 * cs_status.c - handler: numbers of the whole server, as JSON.
 */
#include "cs_compat.h"
#include "cs_entry.h"
#include "cs_lifecycle.h"
#include "cs_send.h"

int cs_status_handler(request_rec *r)
{
    csq_stats stats;
    const char *path;
    apr_size_t len;
    char *text;
    int result;

    if (!cs_entry_check(r, CS_KIND_STATUS, &path, &result))
        return result;
    if (r->method_number != M_GET)
        return cs_send_methods(r, cs_entry_methods(r, CS_KIND_STATUS));
    if (*path)
        return cs_send_problem(r, CS_PROBLEM_MALFORMED,
                               "the status names nothing in its path");
    csq_stats_get(cs_lifecycle_queue(), &stats);
    text = cs_response_status(&stats, r->pool, &len);
    return cs_send_json(r, HTTP_OK, text, len);
}
