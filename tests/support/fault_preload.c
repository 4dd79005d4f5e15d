/* SPDX-License-Identifier: Apache-2.0
 * fault_preload.c - loaded before httpd: its children's calls fail as the file
 * named by COMM_FAULTS says. See faults.h.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "faults.h"

extern void *__libc_calloc(size_t count, size_t size);

static fault_page *page;
static pid_t parent;

__attribute__((constructor)) static void find_page(void)
{
    const char *path = getenv("COMM_FAULTS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at;

    if (fd < 0)
        return;
    at = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    parent = getpid();
    if (at != MAP_FAILED)
        page = at;
}

static int is_of_module(const void *caller)
{
    Dl_info info;

    return dladdr(caller, &info) && info.dli_fname
           && strstr(info.dli_fname, "mod_commserver");
}

/* caller NULL: whoever calls. */
static int is_planned(fault_call call, const void *caller)
{
    return page && __atomic_load_n(&page->call, __ATOMIC_SEQ_CST) == call
           && getpid() != parent && (!caller || is_of_module(caller));
}

static int fails(fault_call call, const void *caller)
{
    if (!is_planned(call, caller)
        || __atomic_sub_fetch(&page->left, 1, __ATOMIC_SEQ_CST) > 0
        || __atomic_fetch_sub(&page->times, 1, __ATOMIC_SEQ_CST) <= 0)
        return 0;
    __atomic_add_fetch(&page->hits, 1, __ATOMIC_SEQ_CST);
    errno = page->error;
    return 1;
}

#define CALLER __builtin_return_address(0)

/* The real function, found once. */
#define REAL(name)                                                                       \
    static __typeof__(&name) real;                                                       \
    if (!real)                                                                           \
    real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

int epoll_ctl(int epoll, int what, int fd, struct epoll_event *event)
{
    REAL(epoll_ctl);
    return what != EPOLL_CTL_DEL && fails(FAULT_EPOLL_CTL, CALLER)
               ? -1
               : real(epoll, what, fd, event);
}

int epoll_wait(int epoll, struct epoll_event *events, int max, int timeout)
{
    REAL(epoll_wait);
    return fails(FAULT_EPOLL_WAIT, CALLER) ? -1 : real(epoll, events, max, timeout);
}

int eventfd(unsigned value, int flags)
{
    REAL(eventfd);
    return fails(FAULT_EVENTFD, CALLER) ? -1 : real(value, flags);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    REAL(open);
    va_start(arguments, flags);
    mode = flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    return fails(FAULT_OPEN, CALLER) ? -1 : real(path, flags, mode);
}

ssize_t write(int fd, const void *data, size_t len)
{
    REAL(write);
    return fails(FAULT_WRITE, CALLER) ? -1 : real(fd, data, len);
}

/* Somebody has the lock for as long as the plan says. */
int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    REAL(pthread_mutex_trylock);
    return is_planned(FAULT_LOCK, CALLER) ? EBUSY : real(mutex);
}

int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock,
                            const struct timespec *deadline)
{
    REAL(pthread_mutex_clocklock);
    return fails(FAULT_LOCK, CALLER) ? ETIMEDOUT : real(mutex, clock, deadline);
}

void *calloc(size_t count, size_t size)
{
    return count * size >= 2000 && fails(FAULT_CALLOC, CALLER)
               ? NULL
               : __libc_calloc(count, size);
}

static void limit_descriptors(void)
{
    uint32_t wanted = page ? __atomic_load_n(&page->descriptors, __ATOMIC_SEQ_CST) : 0;
    struct rlimit limit;

    if (wanted && getpid() != parent && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = wanted;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int accept4(int fd, struct sockaddr *address, socklen_t *len, int flags)
{
    REAL(accept4);
    limit_descriptors();
    return fails(FAULT_ACCEPT, NULL) ? -1 : real(fd, address, len, flags);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    return fails(FAULT_WRITEV, NULL) ? -1 : real(fd, parts, count);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                   void *(*run)(void *), void *argument)
{
    REAL(pthread_create);
    return fails(FAULT_THREAD, NULL) ? errno : real(thread, attributes, run, argument);
}
