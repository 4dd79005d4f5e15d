/* SPDX-License-Identifier: Apache-2.0
 * cs_folder.h - where a server keeps its files: the folder of the segment in
 * the runtime directory, and the folder of the saved state.
 *
 * Parent only, from post_config.
 */
#ifndef CS_FOLDER_H
#define CS_FOLDER_H

#include <httpd.h>

/** The folder of the segment of this server instance, in `p`. */
char *cs_folder_of_instance(apr_pool_t *p);

/** The user that children and CGI programs run as. */
uid_t cs_folder_owner(void);

/** Make the folder of the segment, or take the one of an earlier run: it belongs
 *  to the owner alone then. @return APR_SUCCESS, APR_EACCES: it belongs to
 *  somebody else; else APR's own. */
apr_status_t cs_folder_make(const char *directory);

/** Make the folder of the state, for this owner, if it is not there, else look
 *  at it; what the administrator has made is not changed.
 *  @return APR_SUCCESS, APR_ENOTDIR, APR_EACCES: the owner may not write there,
 *          or others may; else APR's own. */
apr_status_t cs_folder_make_state(const char *directory, uid_t owner);

#endif
