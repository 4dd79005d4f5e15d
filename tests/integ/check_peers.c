/* SPDX-License-Identifier: Apache-2.0
 * check_peers.c - peers that misbehave without a pause, many more than there are
 * threads, while an honest client is served: how long each of its messages takes
 * from publish to delivery is measured, and compared with a quiet server.
 * Afterwards the server has no more memory and descriptors than before.
 *
 * PEERS_CONNECTS: connections that are opened and closed in a row (4000).
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "parking.h"

#define PEERS        64  /* the server has 2 times 8 workers, 4 event threads  */
#define DISTURBED_MS 800 /* each kind of peers' turn, at least               */
#define MESSAGES     100
#define LONGEST_MS   5000 /* a message may take, however busy the machine is  */
#define CONNECTS     4000
#define ADDRESSES    8     /* 127.0.0.2 and following, for ephemeral ports     */
#define GROWTH_KB    40000 /* resident memory, of all children                 */
/* A peer that was killed while its connect was half done leaves a connection of
 * which no end is heard: the time for a head, and httpd's 30 s of lingering.  */
#define GONE_MS 60000
#define DRIP_MS 20
#define PIECE   4096

/* ---- peers, in a process of their own ------------------------------------ */

typedef struct peers {
    int port;
    int tls_port;
    int fds[PEERS];
} peers;

typedef void misbehave(peers *all);

static int open_from(int port, int address)
{
    struct sockaddr_in from = { .sin_family = AF_INET };
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + address % ADDRESSES);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (fd >= 0
        && (bind(fd, (struct sockaddr *)&from, sizeof from) != 0
            || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Read and throw away. @return 0: it has ended */
static int alive(int fd)
{
    char buffer[4096];
    ssize_t n;

    do {
        n = recv(fd, buffer, sizeof buffer, MSG_DONTWAIT);
    } while (n > 0);
    return n < 0 && errno == EAGAIN;
}

/* A publish before, and another: from then on it is an event thread's. */
static int open_adopted(int port)
{
    const char *publish =
        http_request("POST", "/comm/publish/orders/nobody", "backend", NULL, "x");
    int fd = open_from(port, 0), i;
    struct pollfd p = { .fd = fd, .events = POLLIN };

    for (i = 0; i < 2; i++) {
        send(fd, publish, strlen(publish), MSG_NOSIGNAL);
        poll(&p, 1, 5000);
        alive(fd);
    }
    return fd;
}

/* All of them say the next piece of a text that never ends, each time they can. */
static void say_for_ever(peers *all, const char *first, const char *piece, int pause_ms)
{
    int i;

    for (i = 0; i < PEERS; i++)
        all->fds[i] = -1;
    for (i = 0;; i = (i + 1) % PEERS) {
        int *fd = &all->fds[i];

        if (*fd < 0 && (*fd = open_adopted(all->port)) >= 0)
            send(*fd, first, strlen(first), MSG_NOSIGNAL | MSG_DONTWAIT);
        else if (*fd >= 0)
            send(*fd, piece, strlen(piece), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (*fd >= 0 && !alive(*fd)) {
            close(*fd);
            *fd = -1;
        }
        if (i == 0)
            poll(NULL, 0, pause_ms);
    }
}

static const char *start_of_publish(const char *more)
{
    return support_text("POST /comm/publish/orders/nobody HTTP/1.1\r\n"
                        "Host: localhost\r\n%s%s",
                        http_auth("backend"), more);
}

static const char *long_piece(const char *start, char fill, const char *end)
{
    static char text[PIECE + 1];
    size_t from = strlen(start), to = PIECE - strlen(end);

    memcpy(text, start, from);
    memset(text + from, fill, to - from);
    strcpy(text + to, end);
    return text;
}

static void slow_heads(peers *all)
{
    say_for_ever(all, "GET /comm/poll HTTP/1.1\r\nX-Slow: ", "x", DRIP_MS);
}

static void endless_first_lines(peers *all)
{
    say_for_ever(all, "GET /", long_piece("", 'x', ""), 0);
}

static void endless_heads(peers *all)
{
    say_for_ever(all, "GET / HTTP/1.1\r\n", long_piece("X-More: ", 'x', "\r\n"), 0);
}

static void endless_small_fields(peers *all)
{
    say_for_ever(all, "GET / HTTP/1.1\r\n", "a:b\r\nc:d\r\ne:f\r\ng:h\r\n", 0);
}

static void slow_bodies(peers *all)
{
    say_for_ever(all, start_of_publish("Content-Length: 60000\r\n\r\n"), "x", DRIP_MS);
}

static void endless_chunks(peers *all)
{
    say_for_ever(all, start_of_publish("Transfer-Encoding: chunked\r\n\r\n"),
                 long_piece("fe0\r\n", 'x', "\r\n"), 0);
}

static void endless_chunk_extensions(peers *all)
{
    say_for_ever(all, start_of_publish("Transfer-Encoding: chunked\r\n\r\n1"),
                 long_piece(";more=", 'x', ""), 0);
}

static void endless_trailers(peers *all)
{
    say_for_ever(all,
                 start_of_publish("Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"),
                 long_piece("X-More: ", 'x', "\r\n"), 0);
}

/* The first bytes of a hello of 512, and then one at a time. httpd's workers wait
 * for these, as before any request.                                          */
static void slow_handshakes(peers *all)
{
    static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    int i;

    for (i = 0; i < PEERS; i++)
        all->fds[i] = -1;
    for (i = 0;; i = (i + 1) % PEERS) {
        int *fd = &all->fds[i];

        if (*fd < 0 && (*fd = open_from(all->tls_port, 0)) >= 0)
            send(*fd, hello, sizeof hello - 1, MSG_NOSIGNAL);
        else if (*fd >= 0)
            send(*fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (*fd >= 0 && !alive(*fd)) {
            close(*fd);
            *fd = -1;
        }
        if (i == 0)
            poll(NULL, 0, DRIP_MS);
    }
}

/* On connections that are adopted: the head of a TLS record of 16 KiB, and then
 * of its body a byte at a time, which mod_ssl cannot decipher before the last. */
static void slow_records(peers *all)
{
    static const char record[] = "\x17\x03\x03\x40\x00";
    http *open[PEERS];
    int i, n;

    for (i = 0; i < PEERS; i++) {
        open[i] = http_open_port(all->tls_port, 1);
        for (n = 0; n < 2; n++)
            http_call(open[i], "POST", "/comm/publish/orders/nobody", "backend", NULL,
                      "x");
        send(http_socket(open[i]), record, sizeof record - 1, MSG_NOSIGNAL);
    }
    for (i = 0;; i = (i + 1) % PEERS) {
        send(http_socket(open[i]), "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (i == 0)
            poll(NULL, 0, DRIP_MS);
    }
}

/* Who polls and shuts down its side is gone. */
static void half_closed_polls(peers *all)
{
    const char *ask = http_request("GET", "/comm/poll", "bob", WAIT_LONG, NULL);
    int i;

    for (i = 0;; i = (i + 1) % PEERS) {
        if (all->fds[i] > 0)
            close(all->fds[i]);
        all->fds[i] = open_from(all->port, 0);
        send(all->fds[i], ask, strlen(ask), MSG_NOSIGNAL);
        shutdown(all->fds[i], SHUT_WR);
        if (i == 0)
            poll(NULL, 0, DRIP_MS);
    }
}

/* Polls that are given up with a reset, while they are read and when held. */
static void reset_polls(peers *all)
{
    const char *ask = http_request("GET", "/comm/poll", "bob", WAIT_LONG, NULL);
    struct linger now = { 1, 0 };
    int i;

    for (i = 0;; i = (i + 1) % PEERS) {
        if (all->fds[i] > 0) {
            setsockopt(all->fds[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
            close(all->fds[i]);
        }
        all->fds[i] = open_from(all->port, 0);
        send(all->fds[i], ask, strlen(ask), MSG_NOSIGNAL);
        if (i == 0)
            poll(NULL, 0, DRIP_MS);
    }
}

static int connects_wanted(void)
{
    const char *text = getenv("PEERS_CONNECTS");

    return text && atoi(text) > 0 ? atoi(text) : CONNECTS;
}

/* Opened and closed at once, some with a byte, some with a reset. */
static void connects_in_a_row(peers *all)
{
    struct linger now = { 1, 0 };
    int i, n = connects_wanted();

    for (i = 0; i < n; i++) {
        int fd = open_from(i % 5 == 4 && all->tls_port ? all->tls_port : all->port, i);

        if (i % 3 == 1)
            send(fd, "G", 1, MSG_NOSIGNAL);
        if (i % 2)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close(fd);
    }
    _exit(0);
}

/* As many as descriptors allow, open at once. */
static void connects_at_once(peers *all)
{
    int i;

    for (i = 0; i < connects_wanted(); i++)
        if (open_from(all->port, i) < 0 && errno == EMFILE)
            break;
    pause();
}

static pid_t start_peers(const httpd *server, misbehave *how)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        static peers all;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close_range(3, ~0u, 0);
        all.port = httpd_port(server);
        all.tls_port = httpd_tls_port(server);
        how(&all);
        _exit(0);
    }
    return pid;
}

/* ---- the honest client --------------------------------------------------- */

typedef struct honest {
    http *publisher;
    http *poller;
    char cursor[128];
} honest;

static int now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int)(now.tv_sec % 1000 * 1000000 + now.tv_nsec / 1000);
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* From publish to delivery. @return the median, us; *out_worst likewise */
static int measure(honest *client, int *out_worst)
{
    static int took[MESSAGES];
    int i;

    for (i = 0; i < MESSAGES; i++) {
        const char *text = support_text("message %d", i);
        const char *after = client->cursor[0]
                                ? support_text("Last-Event-ID: %s\r\n", client->cursor)
                                : "";
        const http_answer *answer;
        int begin;

        http_ask(client->poller, "POST", "/comm/poll", "alice",
                 support_text("%s" WAIT_LONG, after), "");
        begin = now_us();
        answer = http_call(client->publisher, "POST", "/comm/publish/orders/alice",
                           "backend", "Content-Type: text/plain\r\n", text);
        ck_assert_msg(answer->status == 201, "%d %s", answer->status, answer->body);
        answer = http_read(client->poller);
        took[i] = now_us() - begin;
        parking_expect(answer, text);
        snprintf(client->cursor, sizeof client->cursor, "%s",
                 support_json(answer->body, "cursor"));
    }
    qsort(took, MESSAGES, sizeof *took, compare);
    *out_worst = took[MESSAGES - 1];
    return took[MESSAGES / 2];
}

/* ---- what the server has ------------------------------------------------- */

typedef struct holdings {
    int memory_kb;
    int sockets;
} holdings;

static int count_sockets(pid_t child)
{
    const char *folder = support_text("/proc/%d/fd", (int)child);
    DIR *list = opendir(folder);
    struct dirent *entry;
    int n = 0;

    while (list && (entry = readdir(list)) != NULL) {
        char target[64] = "";

        if (readlink(support_text("%s/%s", folder, entry->d_name), target,
                     sizeof target - 1)
            > 0)
            n += strncmp(target, "socket:", 7) == 0;
    }
    if (list)
        closedir(list);
    return n;
}

static int memory_of(pid_t child)
{
    FILE *file = fopen(support_text("/proc/%d/status", (int)child), "re");
    char line[256];
    int kb = 0;

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "RssAnon: %d", &kb) == 1)
            break;
    if (file)
        fclose(file);
    return kb;
}

static holdings count_holdings(const httpd *server)
{
    pid_t children[16];
    int n = httpd_children(server, children, 16), i;
    holdings all = { 0, 0 };

    for (i = 0; i < n; i++) {
        all.sockets += count_sockets(children[i]);
        all.memory_kb += memory_of(children[i]);
    }
    return all;
}

/* ---- tests --------------------------------------------------------------- */

static const struct {
    const char *what;
    misbehave *how;
    int ends; /* by itself                                                     */
} kinds[] = {
    { "slow heads", slow_heads, 0 },
    { "endless first lines", endless_first_lines, 0 },
    { "endless heads", endless_heads, 0 },
    { "endless small fields", endless_small_fields, 0 },
    { "slow bodies", slow_bodies, 0 },
    { "endless chunks", endless_chunks, 0 },
    { "endless chunk extensions", endless_chunk_extensions, 0 },
    { "endless trailers", endless_trailers, 0 },
    { "slow TLS handshakes", slow_handshakes, 0 },
    { "slow TLS records", slow_records, 0 },
    { "half-closed polls", half_closed_polls, 0 },
    { "polls that are reset", reset_polls, 0 },
    { "connects in a row", connects_in_a_row, 1 },
    { "connects at once", connects_at_once, 0 },
};
#define KINDS ((int)(sizeof kinds / sizeof *kinds))

/* @return the longest that a message took, us */
static int be_disturbed(const httpd *server, honest *client, int i, int quiet)
{
    pid_t pid = start_peers(server, kinds[i].how);
    long long end = process_now_ms() + DISTURBED_MS;
    int ended = 0, worst, longest = 0, status, busy;

    do {
        busy = measure(client, &worst);
        longest = worst > longest ? worst : longest;
        ended = ended || process_ended(pid, &status);
    } while (process_now_ms() < end || (kinds[i].ends && !ended));
    if (!ended) {
        kill(pid, SIGKILL);
        process_wait(pid, 5000, "peers");
    }
    printf("%s: %d us, which is %.1f times as long as alone; longest %d us\n",
           kinds[i].what, busy, (double)busy / quiet, longest);
    return longest;
}

START_TEST(an_honest_client_is_not_delayed)
{
    httpd *server = httpd_start(
        &(httpd_options){ .children = 2,
                          .threads = 8,
                          .tls = 1,
                          .modules = "reqtimeout",
                          .log_level = "warn",
                          .config = "CommServerMaxEventThreads 4\nRequestReadTimeout "
                                    "handshake=10 header=10 body=10\n"
                                    "KeepAliveTimeout 100\n" });
    honest client = { parking_adopt(server), parking_adopt(server), "" };
    holdings before, after;
    int quiet, worst, i;

    measure(&client, &worst); /* everything has been used once */
    quiet = measure(&client, &worst);
    printf("alone: %d us; longest %d us\n", quiet, worst);
    before = count_holdings(server);
    for (i = 0; i < KINDS; i++) {
        worst = be_disturbed(server, &client, i, quiet);
        ck_assert_msg(worst < process_scale(LONGEST_MS) * 1000,
                      "%s: a message took %d us", kinds[i].what, worst);
    }
    wait_until(count_holdings(server).sockets <= before.sockets, GONE_MS);
    after = count_holdings(server);
    printf("memory: %d KB before, %d KB after\n", before.memory_kb, after.memory_kb);
    if (!support_sanitized())
        ck_assert_int_lt(after.memory_kb, before.memory_kb + GROWTH_KB);
    http_close(client.publisher);
    http_close(client.poller);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("peers");
    TCase *peers_case = tcase_create("peers");

    support_need_httpd();
    setvbuf(stdout, NULL, _IOLBF, 0);
    tcase_set_timeout(peers_case, 300);
    tcase_add_test(peers_case, an_honest_client_is_not_delayed);
    suite_add_tcase(suite, peers_case);
    return support_run(suite);
}
