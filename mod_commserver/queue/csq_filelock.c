/* SPDX-License-Identifier: Apache-2.0
 * csq_filelock.c - locks on path.lock that tell who lives.
 *
 * Open-file-description locks on single bytes: one says that a server runs,
 * one that its segment is being made, one for each slot that its process is
 * alive. The kernel gives them up when the last descriptor is closed, so a
 * process that was killed holds none. All descriptors are close-on-exec.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

apr_status_t csq_filelock_open(const char *path, int flags, int *out_fd)
{
    int fd;

    do
        fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return errno;
    *out_fd = fd;
    return APR_SUCCESS;
}

static struct flock one_byte(int byte, short type)
{
    struct flock lock = {
        .l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1, .l_pid = 0
    };

    return lock;
}

apr_status_t csq_filelock_take(int fd, int byte, int exclusive)
{
    struct flock lock = one_byte(byte, exclusive ? F_WRLCK : F_RDLCK);

    if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
        return APR_SUCCESS;
    return errno == EACCES ? APR_EAGAIN : errno;
}

void csq_filelock_drop(int fd, int byte)
{
    struct flock lock = one_byte(byte, F_UNLCK);

    fcntl(fd, F_OFD_SETLK, &lock);
}

int csq_filelock_held(int fd, int byte)
{
    struct flock lock = one_byte(byte, F_WRLCK);

    return fcntl(fd, F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

static apr_status_t same_file(const struct stat *one, const struct stat *other)
{
    return one->st_dev == other->st_dev && one->st_ino == other->st_ino ? APR_SUCCESS
                                                                        : APR_ENOENT;
}

apr_status_t csq_filelock_current(int fd, const char *path)
{
    struct stat by_descriptor;
    struct stat by_name;

    if (fstat(fd, &by_descriptor) != 0 || lstat(path, &by_name) != 0)
        return errno;
    return same_file(&by_descriptor, &by_name);
}

apr_status_t csq_filelock_same(int fd, int other)
{
    struct stat one;
    struct stat two;

    if (fstat(fd, &one) != 0 || fstat(other, &two) != 0)
        return errno;
    return same_file(&one, &two);
}
