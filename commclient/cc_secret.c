/* SPDX-License-Identifier: Apache-2.0
 * cc_secret.c - a password or a token in a file of its own.
 */
#include "cc_compat.h"
#include "cc_secret.h"
#include "cc_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size
           && a->st_mode == b->st_mode && a->st_uid == b->st_uid
           && a->st_mtim.tv_sec == b->st_mtim.tv_sec
           && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec
           && a->st_ctim.tv_sec == b->st_ctim.tv_sec
           && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static void wipe_text(cc_secret *secret)
{
    if (secret->text != NULL)
        explicit_bzero(secret->text, strlen(secret->text));
    free(secret->text);
    secret->text = NULL;
}

int cc_secret_changed(const cc_secret *secret)
{
    struct stat now;

    if (stat(secret->path, &now) != 0)
        memset(&now, 0, sizeof(now));
    return !same_file(&now, &secret->seen);
}

static cc_status refuse(cc_secret *secret, cc_status status, const char *why)
{
    snprintf(secret->error, sizeof(secret->error), "%s '%s' %s", secret->name,
             secret->path, why);
    return status;
}

/* That may pass without a change of the file: it counts as changed. */
static cc_status refuse_unreadable(cc_secret *secret, int code)
{
    memset(&secret->seen, 0, sizeof(secret->seen));
    snprintf(secret->error, sizeof(secret->error), "cannot read %s '%s': %s",
             secret->name, secret->path, strerror(code));
    return code == ENOENT ? CC_NOT_FOUND : CC_SYSTEM;
}

const char *cc_secret_check_file(const struct stat *info)
{
    if (!S_ISREG(info->st_mode))
        return "is not a plain file";
    if (info->st_uid != geteuid() && info->st_uid != 0)
        return "does not belong to this user or to root";
    if ((info->st_mode & 077) != 0)
        return "can be read or written by others: mode 0600 is needed";
    return NULL;
}

static cc_status check_seen(cc_secret *secret)
{
    const char *why = cc_secret_check_file(&secret->seen);

    return why != NULL ? refuse(secret, CC_NOT_PERMITTED, why) : CC_OK;
}

static cc_status check_text(cc_secret *secret, char *text, size_t len)
{
    size_t i;

    if (len > 0 && text[len - 1] == '\n')
        text[--len] = '\0';
    if (len > 0 && text[len - 1] == '\r')
        text[--len] = '\0';
    if (len == 0)
        return refuse(secret, CC_MALFORMED, "is empty");
    for (i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return refuse(secret, CC_MALFORMED,
                          "holds more than one line, or control"
                          " characters");
    }
    return CC_OK;
}

static cc_status read_text(cc_secret *secret, int descriptor)
{
    char text[CC_SECRET_MAX + 1];
    size_t len = 0;
    ssize_t n;
    cc_status status;

    if (secret->seen.st_size > CC_SECRET_MAX)
        return refuse(secret, CC_MALFORMED, "is too long for a secret");
    while ((n = read(descriptor, text + len, sizeof(text) - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    if (n < 0)
        status = refuse_unreadable(secret, errno);
    else
        status = check_text(secret, text, len);
    if (status == CC_OK)
        secret->text = cc_copy(text);
    explicit_bzero(text, sizeof(text));
    return status;
}

/* Open the file and see whether it may hold a secret. */
static cc_status open_file(cc_secret *secret, int *out_descriptor)
{
    cc_status status;
    int descriptor;

    memset(&secret->seen, 0, sizeof(secret->seen));
    descriptor = open(secret->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0)
        return refuse_unreadable(secret, errno);
    if (fstat(descriptor, &secret->seen) != 0)
        status = refuse_unreadable(secret, errno);
    else
        status = check_seen(secret);
    if (status != CC_OK)
        close(descriptor);
    *out_descriptor = descriptor;
    return status;
}

cc_status cc_secret_read(cc_secret *secret)
{
    int descriptor;
    cc_status status;

    if (secret->text != NULL && !cc_secret_changed(secret))
        return CC_OK;
    wipe_text(secret);
    status = open_file(secret, &descriptor);
    if (status != CC_OK)
        return status;
    status = read_text(secret, descriptor);
    close(descriptor);
    return status;
}

cc_status cc_secret_inspect(cc_secret *secret)
{
    int descriptor;
    cc_status status = open_file(secret, &descriptor);

    if (status == CC_OK)
        close(descriptor);
    return status;
}

void cc_secret_clear(cc_secret *secret)
{
    wipe_text(secret);
}
