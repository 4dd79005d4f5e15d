/* SPDX-License-Identifier: Apache-2.0
 * csq_status.c - the texts of the statuses, made from the one table in csq.h.
 */
#include "cs_compat.h"
#include "csq.h"

#define CSQ_STATUS_TEXT(name, offset, text) \
    case CSQ_##name: \
        return text;

const char *csq_strerror(apr_status_t status, char *buf, apr_size_t size)
{
    switch (status) {
    CSQ_STATUS_MAP(CSQ_STATUS_TEXT)
    default:
        return apr_strerror(status, buf, size);
    }
}
