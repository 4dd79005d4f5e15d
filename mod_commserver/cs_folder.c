/* SPDX-License-Identifier: Apache-2.0
 * cs_folder.c - see cs_folder.h.
 */
#include "cs_compat.h"
#include "cs_folder.h"

#include <apr_file_info.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <http_config.h>
#include <mpm_common.h>
#include <unixd.h>

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static apr_uint32_t hash_text(const char *text)
{
    apr_uint32_t hash = 2166136261u;

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

/* One name per server instance: that of its pid file, which no two running
 * servers share. The hash tells apart pid files of one name that lie outside
 * of the runtime directory.                                                 */
char *cs_folder_of_instance(apr_pool_t *p)
{
    const char *pid = ap_runtime_dir_relative(p, ap_pid_fname);
    const char *plain = ap_runtime_dir_relative(p, apr_filepath_name_get(pid));
    char *stem = apr_pstrdup(p, apr_filepath_name_get(pid));
    apr_size_t len = strlen(stem);
    char *c;
    int odd = strcmp(pid, plain) != 0;

    if (len > 4 && !strcmp(stem + len - 4, ".pid"))
        stem[len - 4] = '\0';
    for (c = stem; *c; c++) {
        if (!apr_isalnum(*c) && !strchr("._-", *c)) {
            *c = '_';
            odd = 1;
        }
    }
    stem = odd ? apr_psprintf(p, "commserver-%s-%08x", stem, hash_text(pid))
               : apr_pstrcat(p, "commserver-", stem, NULL);
    return ap_runtime_dir_relative(p, stem);
}

uid_t cs_folder_owner(void)
{
    return geteuid() == 0 && ap_unixd_config.user_id != (uid_t)-1
               ? ap_unixd_config.user_id
               : geteuid();
}

/* It is the server's own: made by us, or left behind by an earlier run of the
 * same user.                                                                */
apr_status_t cs_folder_make(const char *directory)
{
    struct stat info;

    if (mkdir(directory, 0700) != 0 && errno != EEXIST)
        return APR_FROM_OS_ERROR(errno);
    if (lstat(directory, &info) != 0)
        return APR_FROM_OS_ERROR(errno);
    if (!S_ISDIR(info.st_mode))
        return APR_ENOTDIR;
    if (info.st_uid != geteuid() && info.st_uid != cs_folder_owner())
        return APR_EACCES;
    if (geteuid() == 0
        && lchown(directory, cs_folder_owner(), ap_unixd_config.group_id) != 0)
        return APR_FROM_OS_ERROR(errno);
    return chmod(directory, 0700) == 0 ? APR_SUCCESS : APR_FROM_OS_ERROR(errno);
}

apr_status_t cs_folder_make_state(const char *directory, uid_t owner)
{
    struct stat info;

    if (mkdir(directory, 0700) == 0) {
        if (geteuid() == 0 && lchown(directory, owner, ap_unixd_config.group_id) != 0)
            return APR_FROM_OS_ERROR(errno);
    }
    else if (errno != EEXIST)
        return APR_FROM_OS_ERROR(errno);
    if (stat(directory, &info) != 0)
        return APR_FROM_OS_ERROR(errno);
    if (!S_ISDIR(info.st_mode))
        return APR_ENOTDIR;
    if (info.st_uid != owner || (info.st_mode & (S_IWGRP | S_IWOTH)))
        return APR_EACCES;
    return APR_SUCCESS;
}
