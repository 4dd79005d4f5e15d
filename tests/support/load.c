/* SPDX-License-Identifier: Apache-2.0
 * load.c - see load.h.
 *
 * The process shares a board with the test, on which each request has a number
 * and a fate. It uses nothing that ends a test.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "support.h"

#define REQUEST_BYTES 8192
#define ANSWER_BYTES  16384
#define ANSWER_S      20
#define RETRY_MS      2
#define END_MS        30000

typedef struct board {
    int stop;
    int count;
    int slowest;
    short fate[LOAD_MAX];
} board;

struct load {
    board *board;
    pid_t pid; /* 0: it has been waited for */
};

/* ---- in the process ------------------------------------------------------ */

static int open_connection(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct timeval limit = { ANSWER_S, 0 };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

/* Bytes of the whole answer in text, 0: not yet. */
static size_t answer_length(const char *text)
{
    const char *blank = strstr(text, "\r\n\r\n");
    const char *field = blank ? strcasestr(text, "\r\nContent-Length:") : NULL;
    size_t body = field && field < blank ? strtoul(field + 17, NULL, 10) : 0;

    return blank ? blank + 4 - text + body : 0;
}

/* @return the status, or LOAD_CUT; *out_keep: the connection goes on */
static int read_answer(int fd, int *out_keep)
{
    char text[ANSWER_BYTES];
    size_t len = 0, whole = 0;
    int status = 0;

    text[0] = '\0';
    *out_keep = 0;
    while (whole == 0 || len < whole) {
        ssize_t n = read(fd, text + len, sizeof text - 1 - len);

        if (n <= 0)
            return LOAD_CUT;
        len += n;
        text[len] = '\0';
        whole = answer_length(text);
    }
    if (sscanf(text, "HTTP/1.1 %d", &status) != 1)
        return LOAD_CUT;
    *out_keep = strcasestr(text, "\r\nConnection: close") == NULL;
    return status;
}

/* @return the connection, -1: it is closed */
static int exchange(const load_plan *plan, board *b, int fd, int number)
{
    char request[REQUEST_BYTES];
    long long begin = process_now_ms();
    int keep = 0, took;

    plan->write(request, sizeof request, number, plan->baton);
    b->fate[number] = LOAD_SENT;
    b->count = number + 1;
    if (send(fd, request, strlen(request), MSG_NOSIGNAL) < 0)
        b->fate[number] = LOAD_CUT;
    else
        b->fate[number] = (short)read_answer(fd, &keep);
    took = (int)(process_now_ms() - begin);
    if (b->fate[number] > LOAD_CUT && took > b->slowest)
        b->slowest = took;
    if (keep && plan->keep)
        return fd;
    close(fd);
    return -1;
}

static void work(const load_plan *plan, board *b)
{
    int fd = -1, number = 0;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close_range(3, ~0u, 0); /* connections of the test end when it closes them */
    while (number < LOAD_MAX && !__atomic_load_n(&b->stop, __ATOMIC_ACQUIRE)) {
        if (fd < 0)
            fd = open_connection(plan->port);
        if (fd >= 0)
            fd = exchange(plan, b, fd, number++);
        else
            poll(NULL, 0, RETRY_MS);
        if (plan->pause_ms)
            poll(NULL, 0, plan->pause_ms);
    }
    _exit(0);
}

/* ---- in the test --------------------------------------------------------- */

load *load_start(const load_plan *plan)
{
    load *busy = calloc(1, sizeof *busy);

    busy->board = mmap(NULL, sizeof *busy->board, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (busy->board == MAP_FAILED)
        ck_abort_msg("no memory for a load: %s", strerror(errno));
    busy->pid = fork();
    if (busy->pid < 0)
        ck_abort_msg("cannot fork: %s", strerror(errno));
    if (busy->pid == 0)
        work(plan, busy->board);
    return busy;
}

void load_end(load *busy)
{
    __atomic_store_n(&busy->board->stop, 1, __ATOMIC_RELEASE);
    if (busy->pid > 0)
        process_wait(busy->pid, END_MS, "a load");
    busy->pid = 0;
}

int load_count(const load *busy)
{
    return busy->board->count;
}

int load_fate(const load *busy, int number)
{
    return busy->board->fate[number];
}

int load_answered(const load *busy, int status)
{
    int i, n = 0;

    for (i = 0; i < busy->board->count; i++)
        n += busy->board->fate[i] == status;
    return n;
}

int load_slowest(const load *busy)
{
    return busy->board->slowest;
}

void load_free(load *busy)
{
    load_end(busy);
    munmap(busy->board, sizeof *busy->board);
    free(busy);
}
