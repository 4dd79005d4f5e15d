/* SPDX-License-Identifier: Apache-2.0
 * ctl_place.h - put a file in its place: whole or not at all, for this user
 * alone, with a copy of what was there.
 */
#ifndef CTL_PLACE_H
#define CTL_PLACE_H

#include "cc_compat.h"
#include "cc_status.h"

/** Write a new file beside `path`, mode 0600, synced to the disk.
 *  @param out_name  of the new file, to be freed
 *  @return CC_OK; CC_SYSTEM with errno */
cc_status ctl_place_prepare(const char *path, const char *text, char **out_name);

/** Move what was prepared to `path`. What is there keeps a second name.
 *  @param now       ms since 1970, for that name
 *  @param out_kept  the second name, to be freed; NULL: nothing was there
 *  @return CC_OK; CC_SYSTEM with errno, then the prepared file is removed */
cc_status ctl_place_move(const char *name, const char *path, int64_t now,
                         char **out_kept);

#endif
