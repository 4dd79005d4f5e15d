/* SPDX-License-Identifier: Apache-2.0
 * cs_problem.c - everything that can be answered but success (RFC 9457).
 */
#include "cs_compat.h"
#include "cs_problem.h"

#include "queue/csq.h"

typedef char problems_fit_the_counters[CS_PROBLEM_END <= CSQ_COUNTERS ? 1 : -1];

#define ROW(name, type, status, retry, title) { type, status, retry, title },
static const cs_problem_row rows[] = { CS_PROBLEM_MAP(ROW) };

const cs_problem_row *cs_problem_get(cs_problem problem)
{
    return &rows[problem];
}

cs_problem cs_problem_of_status(apr_status_t status)
{
    switch (status) {
    case APR_SUCCESS:
        return CS_PROBLEM_NONE;
    case CSQ_QUEUE_FULL:
    case CSQ_SEGMENT_FULL:
    case CSQ_CLIENTS_FULL:
    case CSQ_DEVICES_FULL:
        return CS_PROBLEM_FULL;
    case CSQ_REFUSED:
        return CS_PROBLEM_REFUSED;
    case CSQ_TOO_LARGE:
        return CS_PROBLEM_TOO_LARGE;
    case CSQ_FINISHED:
        return CS_PROBLEM_FINISHED;
    case CSQ_REPLACED:
        return CS_PROBLEM_REPLACED;
    case CSQ_RUNNING:
        return CS_PROBLEM_RUNNING;
    case CSQ_OTHER_BODY:
        return CS_PROBLEM_OTHER_BODY;
    case CSQ_BUSY:
    case CSQ_NO_MEMORY:
        return CS_PROBLEM_BUSY;
    case CSQ_CLOSED:
        return CS_PROBLEM_STOPPING;
    case CSQ_BAD_NAME:
    case CSQ_BAD_JSON:
    case CSQ_BAD_CURSOR:
        return CS_PROBLEM_MALFORMED;
    default:
        return CS_PROBLEM_INTERNAL;
    }
}
