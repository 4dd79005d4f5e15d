/* SPDX-License-Identifier: Apache-2.0
 * cc_status.c - the texts of the statuses.
 */
#include "cc_compat.h"
#include "cc_status.h"

static const char *const texts[] = {
#define CC_STATUS_TEXT(name, text) text,
    CC_STATUS_MAP(CC_STATUS_TEXT)
#undef CC_STATUS_TEXT
};

const char *cc_status_text(cc_status status)
{
    if ((unsigned)status >= CC_STATUS_COUNT)
        return "unknown status";
    return texts[status];
}
