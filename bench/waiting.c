/* SPDX-License-Identifier: Apache-2.0
 * waiting.c - many clients wait at once: what each costs, and that each gets
 * its message.
 *
 *   waiting --server 127.0.0.1:PORT --pid PID [-n 10000] [--tls]
 *
 * The server names clients by the header X-Client and has its handlers below
 * /comm (conf/commserver.conf.in). Steps: PSS of the server; open all and
 * poll; PSS again; latency of a static page meanwhile; one message to each;
 * all leave; PSS again. One line of results, status 1 if a message is missing.
 */
#include <openssl/ssl.h>

#include "pushbench/pushbench.h"

#define ADDRESS_CLIENTS 4000 /* connections from one source address           */
#define CONNECTING_MAX  64
#define PAGE_REQUESTS   500
#define PUBLISH_BATCH   64
#define OPEN_S          120
#define LEAVE_S         30

int root_pids[ROOTS_MAX], n_root;

typedef struct waiter {
    int fd;
    SSL *tls;
    enum { W_CLOSED, W_CONNECTING, W_HANDSHAKE, W_WAITING, W_DONE } state;
    char in[2048]; /* an answer; a longer one is cut                           */
    int len;
} waiter;

static struct sockaddr_in server;
static int total = 10000, use_tls, epoll;
static int opened, connecting, next, delivered, wrong, again;
static waiter *waiters;
static SSL_CTX *context;

/* ---- waiting clients ----------------------------------------------------- */

static void watch(waiter *w, uint32_t events, int operation)
{
    struct epoll_event event = { .events = events, .data.ptr = w };

    epoll_ctl(epoll, operation, w->fd, &event);
}

static void open_waiter(waiter *w)
{
    struct sockaddr_in from = { .sin_family = AF_INET };
    int one = 1;

    w->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (w->fd < 0)
        die("socket: %s", strerror(errno));
    from.sin_addr.s_addr = htonl(0x7f000002u + (uint32_t)(w - waiters) / ADDRESS_CLIENTS);
    setsockopt(w->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    setsockopt(w->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (bind(w->fd, (struct sockaddr *)&from, sizeof from))
        die("bind: %s", strerror(errno));
    if (connect(w->fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS)
        die("connect: %s", strerror(errno));
    w->state = W_CONNECTING;
    connecting++;
    watch(w, EPOLLIN | EPOLLOUT, EPOLL_CTL_ADD);
}

static void write_all(waiter *w, const char *text, int len)
{
    int n = w->tls ? SSL_write(w->tls, text, len) : (int)write(w->fd, text, len);

    if (n != len)
        die("client %ld could not send its poll", (long)(w - waiters));
}

static void send_poll(waiter *w)
{
    char text[256];
    int len = snprintf(text, sizeof text,
                       "POST /comm/poll HTTP/1.1\r\nHost: localhost\r\nX-Client: w%ld\r\n"
                       "Prefer: wait=50\r\n\r\n",
                       (long)(w - waiters));

    write_all(w, text, len);
    w->len = 0;
}

static void begin_waiting(waiter *w)
{
    w->state = W_WAITING;
    connecting--;
    opened++;
    watch(w, EPOLLIN, EPOLL_CTL_MOD);
    send_poll(w);
}

static void shake_hands(waiter *w)
{
    int result;

    if (!w->tls) {
        w->tls = SSL_new(context);
        SSL_set_fd(w->tls, w->fd);
        w->state = W_HANDSHAKE;
    }
    result = SSL_connect(w->tls);
    if (result == 1) {
        begin_waiting(w);
        return;
    }
    switch (SSL_get_error(w->tls, result)) {
    case SSL_ERROR_WANT_READ:
        watch(w, EPOLLIN, EPOLL_CTL_MOD);
        break;
    case SSL_ERROR_WANT_WRITE:
        watch(w, EPOLLOUT, EPOLL_CTL_MOD);
        break;
    default:
        die("client %ld: TLS failed", (long)(w - waiters));
    }
}

static int read_some(waiter *w)
{
    int room = (int)sizeof w->in - 1 - w->len;
    int n = w->tls ? SSL_read(w->tls, w->in + w->len, room)
                   : (int)read(w->fd, w->in + w->len, room);

    if (n > 0) {
        w->len += n;
        w->in[w->len] = '\0';
        return 1;
    }
    if (w->tls ? SSL_get_error(w->tls, n) == SSL_ERROR_WANT_READ
               : n < 0 && errno == EAGAIN)
        return 0;
    die("client %ld: the server closed while it waited", (long)(w - waiters));
}

/* A 204 is polled again; a 200 must carry this client's message. */
static void take_answer(waiter *w)
{
    char expected[32];

    while (read_some(w))
        continue;
    if (!strstr(w->in, "\r\n\r\n"))
        return;
    if (strncmp(w->in, "HTTP/1.1 204", 12) == 0) {
        again++;
        send_poll(w);
        return;
    }
    snprintf(expected, sizeof expected, "\"for w%ld.\"", (long)(w - waiters));
    if (strncmp(w->in, "HTTP/1.1 200", 12) == 0 && !strstr(w->in, "]}"))
        return; /* the rest of the body has yet to come */
    if (strstr(w->in, expected)) {
        delivered++;
    }
    else {
        if (++wrong < 4)
            fprintf(stderr, "client %ld got: %.300s\n", (long)(w - waiters), w->in);
    }
    w->state = W_DONE;
}

static void on_event(waiter *w)
{
    int error = 0;
    socklen_t len = sizeof error;

    if (w->state == W_CONNECTING) {
        getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error)
            die("connect: %s", strerror(error));
    }
    if (w->state == W_CONNECTING && !use_tls)
        begin_waiting(w);
    else if (w->state == W_CONNECTING || w->state == W_HANDSHAKE)
        shake_hands(w);
    else if (w->state == W_WAITING)
        take_answer(w);
}

static void turn(int timeout_ms)
{
    struct epoll_event events[512];
    int n, i;

    while (next < total && connecting < CONNECTING_MAX)
        open_waiter(&waiters[next++]);
    n = epoll_wait(epoll, events, 512, timeout_ms);
    for (i = 0; i < n; i++)
        on_event(events[i].data.ptr);
}

/* ---- one connection that blocks: page, status, publishing ---------------- */

static SSL *side_tls;
static int side_fd = -1;

static void side_open(void)
{
    int one = 1;

    side_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(side_fd, (struct sockaddr *)&server, sizeof server))
        die("connect: %s", strerror(errno));
    setsockopt(side_fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (use_tls) {
        side_tls = SSL_new(context);
        SSL_set_fd(side_tls, side_fd);
        if (SSL_connect(side_tls) != 1)
            die("TLS failed");
    }
}

static void side_close(void)
{
    SSL_free(side_tls);
    side_tls = NULL;
    close(side_fd);
}

/* A request on a connection of its own. @return the whole answer */
static const char *ask(const char *method, const char *path, const char *body)
{
    static char text[16384];
    int len = 0, n;

    side_open();
    n = snprintf(text, sizeof text,
                 "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s",
                 method, path, strlen(body), body);
    n = side_tls ? SSL_write(side_tls, text, n) : (int)write(side_fd, text, n);
    while (len < (int)sizeof text - 1) {
        n = side_tls ? SSL_read(side_tls, text + len, sizeof text - 1 - len)
                     : (int)read(side_fd, text + len, sizeof text - 1 - len);
        if (n <= 0)
            break;
        len += n;
    }
    text[len] = '\0';
    side_close();
    return text;
}

static long waiting_at_server(void)
{
    const char *answer = ask("GET", "/comm/status", "");
    const char *number = strstr(answer, "\"waiting\":");

    if (!number)
        die("no status: %.200s", answer);
    return atol(number + strlen("\"waiting\":"));
}

static void page_latency(samples *out)
{
    int i;

    for (i = 0; i < PAGE_REQUESTS; i++) {
        uint64_t start = now_ns();

        if (strncmp(ask("GET", "/index.html", ""), "HTTP/1.1 200", 12))
            die("the page did not come");
        samples_add(out, now_ns() - start);
        turn(0);
    }
    samples_sort(out);
}

static void publish_to_all(void)
{
    char path[64], body[64];
    int i;

    for (i = 0; i < total; i++) {
        snprintf(path, sizeof path, "/comm/publish/bench/w%d", i);
        snprintf(body, sizeof body, "for w%d.", i);
        if (strncmp(ask("POST", path, body), "HTTP/1.1 201", 12))
            die("publishing failed");
        if (i % PUBLISH_BATCH == 0)
            turn(0);
    }
}

/* ---- the run ------------------------------------------------------------- */

static double seconds_since(uint64_t start)
{
    return (now_ns() - start) / 1e9;
}

static void open_all(void)
{
    uint64_t start = now_ns();

    while (opened < total || waiting_at_server() < total) {
        turn(opened < total ? 1000 : 50);
        if (seconds_since(start) > OPEN_S)
            die("only %d of %d wait after %d s", opened, total, OPEN_S);
    }
}

static void leave_all(void)
{
    uint64_t start = now_ns();
    int i;

    for (i = 0; i < total; i++) {
        SSL_free(waiters[i].tls);
        close(waiters[i].fd);
    }
    while (waiting_at_server() > 0 && seconds_since(start) < LEAVE_S)
        turn(50);
}

/* Memory is given back some seconds after the last connection has gone; this
 * waits until nearly all of it was. */
static double pss_after_leaving(double before)
{
    uint64_t start = now_ns();

    while (tree_pss() > before * 1.02 && seconds_since(start) < LEAVE_S)
        turn(500);
    return tree_pss();
}

/* Nor is what a connection needs while it opens held for good: until no tenth of a
 * percent goes within a second. */
static double pss_while_waiting(void)
{
    double now = tree_pss(), last;

    do {
        last = now;
        turn(1000);
        now = tree_pss();
    } while (now < last * 0.999);
    return now;
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = { { "server", required_argument, NULL, 's' },
                                             { "pid", required_argument, NULL, 'p' },
                                             { "tls", no_argument, NULL, 't' },
                                             { NULL, 0, NULL, 0 } };
    int found;
    char *colon;

    while ((found = getopt_long(argc, argv, "n:", options, NULL)) != -1) {
        switch (found) {
        case 'n':
            total = atoi(optarg);
            break;
        case 'p':
            root_pids[n_root++] = atoi(optarg);
            break;
        case 't':
            use_tls = 1;
            break;
        case 's':
            colon = strrchr(optarg, ':');
            server.sin_port = htons(colon ? atoi(colon + 1) : 0);
            if (colon)
                *colon = '\0';
            server.sin_family = AF_INET;
            server.sin_addr.s_addr = inet_addr(optarg);
            break;
        default:
            exit(2);
        }
    }
    if (!server.sin_port || !n_root)
        die("usage: waiting --server 127.0.0.1:PORT --pid PID [-n CLIENTS] [--tls]");
}

int main(int argc, char **argv)
{
    samples page = { NULL, 0, 0 };
    double before, waiting, after, open_s, deliver_s;
    uint64_t start;

    parse(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    account_start();
    context = SSL_CTX_new(TLS_client_method());
    epoll = epoll_create1(EPOLL_CLOEXEC);
    waiters = calloc(total, sizeof *waiters);

    ask("GET", "/index.html", "");
    before = tree_pss();
    start = now_ns();
    open_all();
    open_s = seconds_since(start);
    waiting = pss_while_waiting();
    page_latency(&page);
    start = now_ns();
    publish_to_all();
    while (delivered + wrong < total && seconds_since(start) < OPEN_S)
        turn(1000);
    deliver_s = seconds_since(start);
    leave_all();
    start = now_ns();
    after = pss_after_leaving(before);
    printf("RESULT mode=waiting tls=%d n=%d open_s=%.1f pss_before_mb=%.1f "
           "pss_waiting_mb=%.1f pss_after_mb=%.1f pss_b_per_client=%.0f "
           "page_p50_us=%.0f page_p99_us=%.0f page_max_us=%.0f delivered=%d wrong=%d "
           "missing=%d polled_again=%d deliver_s=%.1f give_back_s=%.1f\n",
           use_tls, total, open_s, before / 1024, waiting / 1024, after / 1024,
           (waiting - before) * 1024 / total, percentile(&page, 50),
           percentile(&page, 99), percentile(&page, 100), delivered, wrong,
           total - delivered - wrong, again, deliver_s, seconds_since(start));
    return delivered == total ? 0 : 1;
}
