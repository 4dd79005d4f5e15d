/* SPDX-License-Identifier: Apache-2.0
 * csq_status.c - the texts of the statuses, made from the one table in csq.h,
 * and which of those of the system pass by themselves.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <errno.h>

#define CSQ_STATUS_TEXT(name, offset, text)                                              \
    case CSQ_##name:                                                                     \
        return text;

const char *csq_strerror(apr_status_t status, char *buf, apr_size_t size)
{
    switch (status) {
        CSQ_STATUS_MAP(CSQ_STATUS_TEXT)
    default:
        return apr_strerror(status, buf, size);
    }
}

int csq_is_passing(apr_status_t status)
{
    switch (status) {
    case CSQ_NO_MEMORY:
    case CSQ_BUSY:
    case ENOMEM:
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT:
    case EINTR:
    case EAGAIN:
        return 1;
    default:
        return 0;
    }
}
