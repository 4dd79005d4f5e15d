/* SPDX-License-Identifier: Apache-2.0
 * cc_paths.h - where things are by default, and making directories.
 */
#ifndef CC_PATHS_H
#define CC_PATHS_H

#include "cc_compat.h"
#include "cc_status.h"

/* Where things are when nobody says. Each is to be freed; NULL when it is not
 * known.                                                                     */

/** $XDG_CONFIG_HOME/commclient or ~/.config/commclient for a user,
 *  /etc/commclient for root. */
char *cc_paths_config(void);
/** The runtime directory of the service, /run/commclient for root,
 *  $XDG_RUNTIME_DIR/commclient for a user. */
char *cc_paths_socket(void);
/** The state directory of the service, /var/lib/commclient for root,
 *  $XDG_STATE_HOME/commclient or ~/.local/state/commclient for a user. */
char *cc_paths_inbox(void);

/** `value` with a leading "~/" replaced by the home directory, and relative
 *  paths taken from the directory of `file`. To be freed. */
char *cc_paths_resolve(const char *value, const char *file);

/** Make the directory in which `path` lies, and those above it, for this user
 *  only. @return CC_OK or CC_SYSTEM with errno. */
cc_status cc_paths_make_parent(const char *path);

#endif
