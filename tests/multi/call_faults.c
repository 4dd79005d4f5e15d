/* SPDX-License-Identifier: Apache-2.0
 * call_faults.c - see call_faults.h.
 *
 * The headers that declare these functions are left out: with some options they
 * define them.
 */
#include "call_faults.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>

#define CREATES 0100 /* O_CREAT                                              */

long syscall(long number, ...);

int open(const char *path, int flags, ...);
int open64(const char *path, int flags, ...);
ssize_t read(int descriptor, void *data, size_t len);
ssize_t pread(int descriptor, void *data, size_t len, off_t offset);
ssize_t pread64(int descriptor, void *data, size_t len, off_t offset);
ssize_t write(int descriptor, const void *data, size_t len);
ssize_t pwrite(int descriptor, const void *data, size_t len, off_t offset);
ssize_t pwrite64(int descriptor, const void *data, size_t len, off_t offset);
int ftruncate(int descriptor, off_t len);
int ftruncate64(int descriptor, off_t len);
int fsync(int descriptor);
int fdatasync(int descriptor);
int unlink(const char *path);
int rename(const char *path, const char *to);

static call_fault fault;
static int armed, seen, failed;

void faults_arm(const call_fault *f)
{
    fault = *f;
    seen = failed = 0;
    armed = 1;
}

int faults_disarm(void)
{
    armed = 0;
    return failed;
}

int faults_seen(void)
{
    return seen;
}

int faults_next(int grows, int *out_first)
{
    if (!armed || (fault.growing && !grows))
        return 0;
    __atomic_add_fetch(&seen, 1, __ATOMIC_RELAXED);
    if (seen < fault.nth || (seen > fault.nth && !fault.lasting))
        return 0;
    *out_first = failed++ == 0;
    errno = fault.code;
    return 1;
}

/* ---- opening and reading ------------------------------------------------- */

static int open_file(const char *path, int flags, int mode)
{
    int first;

    if (faults_next((flags & CREATES) != 0, &first))
        return -1;
    return (int)syscall(SYS_openat, -100, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list args;
    int mode;

    va_start(args, flags);
    mode = va_arg(args, int);
    va_end(args);
    return open_file(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list args;
    int mode;

    va_start(args, flags);
    mode = va_arg(args, int);
    va_end(args);
    return open_file(path, flags, mode);
}

ssize_t read(int descriptor, void *data, size_t len)
{
    int first;

    return faults_next(0, &first) ? -1 : syscall(SYS_read, descriptor, data, len);
}

ssize_t pread(int descriptor, void *data, size_t len, off_t offset)
{
    int first;

    return faults_next(0, &first) ? -1
                                  : syscall(SYS_pread64, descriptor, data, len, offset);
}

ssize_t pread64(int descriptor, void *data, size_t len, off_t offset)
{
    return pread(descriptor, data, len, offset);
}

/* ---- changing ------------------------------------------------------------ */

ssize_t write(int descriptor, const void *data, size_t len)
{
    int first = 0;

    return faults_next(1, &first) ? -1 : syscall(SYS_write, descriptor, data, len);
}

/* A disk that runs full takes what fits. */
ssize_t pwrite(int descriptor, const void *data, size_t len, off_t offset)
{
    int first = 0;

    if (!faults_next(1, &first))
        return syscall(SYS_pwrite64, descriptor, data, len, offset);
    if (!first || !fault.growing || !fault.lasting || len < 2)
        return -1;
    return syscall(SYS_pwrite64, descriptor, data, len / 2, offset);
}

ssize_t pwrite64(int descriptor, const void *data, size_t len, off_t offset)
{
    return pwrite(descriptor, data, len, offset);
}

int ftruncate(int descriptor, off_t len)
{
    int first;

    return faults_next(1, &first) ? -1 : (int)syscall(SYS_ftruncate, descriptor, len);
}

int ftruncate64(int descriptor, off_t len)
{
    return ftruncate(descriptor, len);
}

int fsync(int descriptor)
{
    int first;

    return faults_next(1, &first) ? -1 : (int)syscall(SYS_fsync, descriptor);
}

int fdatasync(int descriptor)
{
    int first;

    return faults_next(1, &first) ? -1 : (int)syscall(SYS_fdatasync, descriptor);
}

int unlink(const char *path)
{
    int first;

    return faults_next(0, &first) ? -1 : (int)syscall(SYS_unlinkat, -100, path, 0);
}

int rename(const char *path, const char *to)
{
    int first;

    return faults_next(0, &first) ? -1
                                  : (int)syscall(SYS_renameat2, -100, path, -100, to, 0);
}
