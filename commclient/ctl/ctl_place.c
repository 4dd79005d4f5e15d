/* SPDX-License-Identifier: Apache-2.0
 * ctl_place.c - put a file in its place: whole or not at all, for this user
 * alone, with a copy of what was there.
 */
#include "cc_compat.h"
#include "ctl_place.h"
#include "cc_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static cc_status write_all(int descriptor, const char *text)
{
    size_t len = strlen(text);
    ssize_t n;

    while (len > 0) {
        n = write(descriptor, text, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return CC_SYSTEM;
        text += n;
        len -= (size_t)n;
    }
    return fsync(descriptor) == 0 ? CC_OK : CC_SYSTEM;
}

cc_status ctl_place_prepare(const char *path, const char *text, char **out_name)
{
    cc_buffer name = { NULL, 0, 0 };
    int descriptor, code;
    cc_status status;

    *out_name = NULL;
    cc_buffer_format(&name, "%s.new-XXXXXX", path);
    descriptor = mkostemp(name.data, O_CLOEXEC);
    if (descriptor < 0) {
        code = errno;
        cc_buffer_clear(&name);
        errno = code;
        return CC_SYSTEM;
    }
    status = write_all(descriptor, text);
    code = errno;
    if (close(descriptor) != 0 && status == CC_OK) {
        code = errno;
        status = CC_SYSTEM;
    }
    if (status != CC_OK) {
        unlink(name.data);
        cc_buffer_clear(&name);
        errno = code;
        return status;
    }
    *out_name = name.data;
    return CC_OK;
}

/* A hard link, so that `path` is there at each moment. */
static cc_status keep_former(const char *path, int64_t now, char **out_kept)
{
    cc_buffer kept = { NULL, 0, 0 };
    time_t seconds = (time_t)(now / 1000);
    struct tm parts;
    char stamp[32];
    int tries = 0, code;

    gmtime_r(&seconds, &parts);
    strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &parts);
    do {
        cc_buffer_reset(&kept, (size_t)-1);
        cc_buffer_format(&kept, "%s.before-%s", path, stamp);
        if (tries > 0)
            cc_buffer_format(&kept, ".%d", tries);
        if (link(path, kept.data) == 0) {
            *out_kept = kept.data;
            return CC_OK;
        }
    } while (errno == EEXIST && ++tries < 1000);
    code = errno;
    cc_buffer_clear(&kept);
    errno = code;
    return code == ENOENT ? CC_OK : CC_SYSTEM;
}

static void sync_directory(const char *path)
{
    char *directory = cc_copy(path), *slash = strrchr(directory, '/');
    int descriptor;

    if (slash != NULL)
        slash[1] = '\0';
    descriptor =
        open(slash != NULL ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
    free(directory);
}

cc_status ctl_place_move(const char *name, const char *path, int64_t now, char **out_kept)
{
    int code;

    *out_kept = NULL;
    if (keep_former(path, now, out_kept) == CC_OK && rename(name, path) == 0) {
        sync_directory(path);
        return CC_OK;
    }
    code = errno;
    unlink(name);
    errno = code;
    return CC_SYSTEM;
}
