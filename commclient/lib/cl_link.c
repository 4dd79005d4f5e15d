/* SPDX-License-Identifier: Apache-2.0
 * cl_link.c - see cl_link.h.
 */
#include "cc_compat.h"
#include "cl_link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#define PAUSE_FIRST   100 /* ms until it is tried again                       */
#define PAUSE_HIGHEST 5000
#define READ_SIZE     65536
#define READ_MOST     (1024 * 1024) /* bytes of lines that nobody has taken     */
#define LINE_MOST     (64 * 1024 * 1024)

/* ---- descriptors ------------------------------------------------------- */

static int watch(cl_link *link, int descriptor, uint32_t events, int operation)
{
    struct epoll_event event = { .events = events, .data.fd = descriptor };

    return epoll_ctl(link->set, operation, descriptor, &event);
}

int cl_link_open(cl_link *link, char *path)
{
    memset(link, 0, sizeof(*link));
    link->path = path;
    link->socket = -1;
    link->pause = PAUSE_FIRST;
    link->set = epoll_create1(EPOLL_CLOEXEC);
    link->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (link->set >= 0 && link->timer >= 0
        && watch(link, link->timer, EPOLLIN, EPOLL_CTL_ADD) == 0) {
        cl_link_wake(link, 0);
        return 1;
    }
    cl_link_close(link);
    return 0;
}

static void forget_lines(cl_link *link)
{
    link->in.len = link->taken = link->scanned = 0;
    link->out.len = link->sent = 0;
    link->is_greeted = link->waits_to_send = 0;
}

void cl_link_close(cl_link *link)
{
    int error = errno;

    if (link->socket >= 0)
        close(link->socket);
    if (link->timer >= 0)
        close(link->timer);
    if (link->set >= 0)
        close(link->set);
    cc_buffer_clear(&link->in);
    cc_buffer_clear(&link->out);
    free(link->path);
    errno = error;
}

void cl_link_wake(cl_link *link, unsigned ms)
{
    struct itimerspec when = { .it_value = { ms / 1000, ms % 1000 * 1000000L } };

    if (ms == 0)
        when.it_value.tv_nsec = 1;
    timerfd_settime(link->timer, 0, &when, NULL);
}

/* ---- coming and going ---------------------------------------------------- */

static void try_later(cl_link *link)
{
    cl_link_wake(link, link->pause);
    link->pause = link->pause * 2 < PAUSE_HIGHEST ? link->pause * 2 : PAUSE_HIGHEST;
}

void cl_link_drop(cl_link *link, const char *why)
{
    if (link->socket >= 0) {
        close(link->socket); /* and it is in no set any more                  */
        link->socket = -1;
    }
    forget_lines(link);
    snprintf(link->error, sizeof(link->error), "no agent: %s, on '%s'", why, link->path);
    try_later(link);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int descriptor, error;

    if (strlen(path) >= sizeof(address.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy(address.sun_path, path);
    descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0)
        return -1;
    if (connect(descriptor, (struct sockaddr *)&address, sizeof(address)) == 0)
        return descriptor;
    error = errno;
    close(descriptor);
    errno = error;
    return -1;
}

int cl_link_is_due(cl_link *link)
{
    uint64_t expired;

    return read(link->timer, &expired, sizeof(expired)) > 0;
}

void cl_link_connect(cl_link *link)
{
    if (link->socket >= 0)
        return;
    link->socket = connect_to(link->path);
    if (link->socket < 0 || watch(link, link->socket, EPOLLIN, EPOLL_CTL_ADD) != 0)
        cl_link_drop(link, strerror(errno));
}

void cl_link_greeted(cl_link *link, uint64_t max_line)
{
    link->is_greeted = 1;
    link->max_line = max_line;
    link->pause = PAUSE_FIRST;
    link->error[0] = '\0';
}

/* ---- lines ------------------------------------------------------------------ */

void cl_link_say(cl_link *link, const char *line, size_t len)
{
    if (link->socket < 0)
        return;
    cc_buffer_add(&link->out, line, len);
    cc_buffer_add(&link->out, "\n", 1);
}

static void want_to_send(cl_link *link, int wanted)
{
    if (link->waits_to_send == wanted)
        return;
    link->waits_to_send = wanted;
    watch(link, link->socket, wanted ? EPOLLIN | EPOLLOUT : EPOLLIN, EPOLL_CTL_MOD);
}

static int send_lines(cl_link *link)
{
    while (link->sent < link->out.len) {
        ssize_t n = send(link->socket, link->out.data + link->sent,
                         link->out.len - link->sent, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            return 0;
        link->sent += (size_t)n;
    }
    if (link->sent == link->out.len) {
        link->sent = 0;
        cc_buffer_reset(&link->out, READ_SIZE);
    }
    want_to_send(link, link->out.len > 0);
    return 1;
}

static void move_to_front(cl_link *link)
{
    size_t left = link->in.len - link->taken;

    if (link->taken == 0)
        return;
    memmove(link->in.data, link->in.data + link->taken, left + 1);
    link->in.len = left;
    link->taken = link->scanned = 0;
}

/* Enough has come, unless all of it is the beginning of one line. */
static int has_enough(const cl_link *link)
{
    return link->in.len - link->taken > READ_MOST && link->scanned < link->in.len;
}

/* @return 0: it has ended. */
static int receive_lines(cl_link *link)
{
    char buffer[READ_SIZE];
    ssize_t n;

    move_to_front(link);
    while (!has_enough(link)) {
        n = recv(link->socket, buffer, sizeof(buffer), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0) {
            errno = ECONNRESET;
            return 0;
        }
        cc_buffer_add(&link->in, buffer, (size_t)n);
        if (link->in.len > LINE_MOST) {
            cl_link_drop(link, "it sends a line without end");
            return 1;
        }
        if (n < (ssize_t)sizeof(buffer))
            return 1;
    }
    return 1;
}

int cl_link_send(cl_link *link)
{
    if (link->socket < 0 || send_lines(link))
        return 1;
    cl_link_drop(link, strerror(errno));
    return 0;
}

int cl_link_move(cl_link *link)
{
    if (!cl_link_send(link))
        return 0;
    if (link->socket < 0 || receive_lines(link))
        return 1;
    cl_link_drop(link, strerror(errno));
    return 0;
}

int cl_link_line(cl_link *link, cc_slice *out_line)
{
    char *start, *end;

    if (link->scanned < link->taken)
        link->scanned = link->taken;
    if (link->scanned == link->in.len)
        return 0;
    start = link->in.data + link->scanned;
    end = memchr(start, '\n', link->in.len - link->scanned);
    if (end == NULL) {
        link->scanned = link->in.len;
        return 0;
    }
    *end = '\0';
    out_line->data = link->in.data + link->taken;
    out_line->len = (size_t)(end - out_line->data);
    link->taken += out_line->len + 1;
    link->scanned = link->taken;
    return 1;
}

int cl_link_wait(cl_link *link, int timeout)
{
    struct epoll_event event;
    int n = epoll_wait(link->set, &event, 1, timeout);

    return n < 0 && errno != EINTR ? -1 : n != 0;
}
