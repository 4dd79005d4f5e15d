/* SPDX-License-Identifier: Apache-2.0
 * faults_preload.c - the n-th system call, or allocation, of a program fails that is
 * started with this library (LD_PRELOAD):
 *
 *   FAULT_CALL=N    the n-th call fails with FAULT_CODE (a number of errno)
 *   FAULT_MEMORY=N  the n-th allocation fails
 *   FAULT_COUNT=F   how many of both there were is written to this file at the end
 */
#include "call_faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);

static int memory_nth, memory_seen;

/* ---- when ---------------------------------------------------------------- */

static int number_of(const char *name)
{
    const char *text = getenv(name);

    return text != NULL ? atoi(text) : 0;
}

__attribute__((constructor)) static void begin(void)
{
    call_fault fault = { .code = number_of("FAULT_CODE"),
                         .nth = number_of("FAULT_CALL") };

    if (fault.nth == 0)
        fault.nth = INT32_MAX;
    memory_nth = number_of("FAULT_MEMORY");
    faults_arm(&fault);
}

__attribute__((destructor)) static void end(void)
{
    const char *path = getenv("FAULT_COUNT");
    int calls = faults_seen();
    FILE *file;

    faults_disarm();
    file = path != NULL ? fopen(path, "we") : NULL;
    if (file == NULL)
        return;
    fprintf(file, "%d %d\n", calls, memory_seen);
    fclose(file);
}

/* ---- memory -------------------------------------------------------------- */

static int memory_fails(void)
{
    int seen = __atomic_add_fetch(&memory_seen, 1, __ATOMIC_RELAXED);

    if (seen != memory_nth)
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return memory_fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return memory_fails() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return memory_fails() ? NULL : __libc_realloc(old, size);
}

/* ---- sockets, pipes, processes --------------------------------------------- */

static int fails(void)
{
    int first;

    return faults_next(0, &first);
}

int socket(int domain, int type, int protocol)
{
    return fails() ? -1 : (int)syscall(SYS_socket, domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int pair[2])
{
    return fails() ? -1 : (int)syscall(SYS_socketpair, domain, type, protocol, pair);
}

int bind(int descriptor, const struct sockaddr *address, socklen_t len)
{
    return fails() ? -1 : (int)syscall(SYS_bind, descriptor, address, len);
}

int listen(int descriptor, int backlog)
{
    return fails() ? -1 : (int)syscall(SYS_listen, descriptor, backlog);
}

int connect(int descriptor, const struct sockaddr *address, socklen_t len)
{
    return fails() ? -1 : (int)syscall(SYS_connect, descriptor, address, len);
}

int accept4(int descriptor, struct sockaddr *address, socklen_t *len, int flags)
{
    return fails() ? -1 : (int)syscall(SYS_accept4, descriptor, address, len, flags);
}

int getsockopt(int descriptor, int level, int name, void *value, socklen_t *len)
{
    return fails() ? -1
                   : (int)syscall(SYS_getsockopt, descriptor, level, name, value, len);
}

int setsockopt(int descriptor, int level, int name, const void *value, socklen_t len)
{
    return fails() ? -1
                   : (int)syscall(SYS_setsockopt, descriptor, level, name, value, len);
}

ssize_t send(int descriptor, const void *data, size_t len, int flags)
{
    return fails() ? -1 : syscall(SYS_sendto, descriptor, data, len, flags, NULL, 0);
}

ssize_t recv(int descriptor, void *data, size_t len, int flags)
{
    return fails() ? -1 : syscall(SYS_recvfrom, descriptor, data, len, flags, NULL, NULL);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    return fails() ? -1 : syscall(SYS_writev, descriptor, parts, count);
}

ssize_t readv(int descriptor, const struct iovec *parts, int count)
{
    return fails() ? -1 : syscall(SYS_readv, descriptor, parts, count);
}

int pipe2(int pair[2], int flags)
{
    return fails() ? -1 : (int)syscall(SYS_pipe2, pair, flags);
}

int epoll_create1(int flags)
{
    return fails() ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

int epoll_ctl(int descriptor, int what, int other, struct epoll_event *event)
{
    return fails() ? -1 : (int)syscall(SYS_epoll_ctl, descriptor, what, other, event);
}

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const argv[],
                char *const environment[])
{
    __typeof__(&posix_spawn) real;

    if (fails())
        return errno;
    *(void **)&real = dlsym(RTLD_NEXT, "posix_spawn");
    return real(pid, path, actions, attributes, argv, environment);
}
