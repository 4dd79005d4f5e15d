/* SPDX-License-Identifier: Apache-2.0
 * http.c - see http.h.
 *
 * Sockets do not block; each read and write waits with poll() up to a
 * deadline. TLS goes through OpenSSL on the same socket.
 */
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

#define ANSWER_MS 20000
#define ONCE_RING 4

struct http {
    int fd;
    SSL *tls; /* NULL: plain                                       */
    char *in; /* received, not yet given out                       */
    size_t in_len;
    size_t in_size;
    int ended;          /* the peer has closed                               */
    http_answer answer; /* the last one                                      */
};

/* ---- connections --------------------------------------------------------- */

static SSL_CTX *tls_context(void)
{
    static SSL_CTX *context;

    if (!context) {
        context = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE);
    }
    return context;
}

static int connect_to(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        ck_abort_msg("cannot connect to port %d: %s", port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

http *http_open_port(int port, int tls)
{
    http *c = calloc(1, sizeof *c);

    c->fd = connect_to(port);
    if (tls) {
        c->tls = SSL_new(tls_context());
        SSL_set_fd(c->tls, c->fd);
        if (SSL_connect(c->tls) != 1)
            ck_abort_msg("no TLS on port %d", port);
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    return c;
}

http *http_open(const httpd *server)
{
    return http_open_port(httpd_port(server), 0);
}

http *http_open_tls(const httpd *server)
{
    return http_open_port(httpd_tls_port(server), 1);
}

static void clear_answer(http_answer *answer)
{
    free(answer->head);
    free(answer->body);
    memset(answer, 0, sizeof *answer);
}

static void release(http *c)
{
    SSL_free(c->tls);
    close(c->fd);
    clear_answer(&c->answer);
    free(c->in);
    free(c);
}

void http_close(http *c)
{
    int none = 0;

    setsockopt(c->fd, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof none);
    if (c->tls && !c->ended)
        SSL_shutdown(c->tls);
    release(c);
}

void http_reset(http *c)
{
    struct linger now = { 1, 0 };

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    release(c);
}

void http_half_close(http *c)
{
    if (c->tls)
        SSL_shutdown(c->tls);
    shutdown(c->fd, SHUT_WR);
}

void http_vanish(http *c)
{
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    struct sock_fprog all = { 1, &drop };

    ck_assert_int_eq(setsockopt(c->fd, SOL_SOCKET, SO_ATTACH_FILTER, &all, sizeof all),
                     0);
}

int http_socket(http *c)
{
    return c->fd;
}

/* ---- bytes --------------------------------------------------------------- */

/* Wait for events until the end; 0: it has passed. */
static int wait_for(http *c, short events, long long end)
{
    struct pollfd one = { c->fd, events, 0 };
    long long left = end - process_now_ms();

    return poll(&one, 1, left > 0 ? (int)left : 0) > 0;
}

static short tls_events(SSL *tls, int result)
{
    switch (SSL_get_error(tls, result)) {
    case SSL_ERROR_WANT_READ:
        return POLLIN;
    case SSL_ERROR_WANT_WRITE:
        return POLLOUT;
    default:
        return 0;
    }
}

/* One attempt. >0: bytes; 0: the end; -1: wait for *out_events. */
static ssize_t read_some(http *c, char *buffer, size_t size, short *out_events)
{
    ssize_t n;

    if (c->tls) {
        n = SSL_read(c->tls, buffer, (int)size);
        if (n > 0)
            return n;
        *out_events = tls_events(c->tls, (int)n);
        return *out_events ? -1 : 0;
    }
    n = read(c->fd, buffer, size);
    if (n >= 0)
        return n;
    *out_events = POLLIN;
    return errno == EAGAIN || errno == EINTR ? -1 : 0;
}

static ssize_t write_some(http *c, const char *data, size_t len, short *out_events)
{
    ssize_t n;

    if (c->tls) {
        n = SSL_write(c->tls, data, (int)len);
        if (n > 0)
            return n;
        *out_events = tls_events(c->tls, (int)n);
        return *out_events ? -1 : 0;
    }
    n = send(c->fd, data, len, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    *out_events = POLLOUT;
    return errno == EAGAIN || errno == EINTR ? -1 : 0;
}

/* Receive more. 1: something came; 0: the deadline passed or the peer closed. */
static int receive(http *c, long long end)
{
    short events = POLLIN;
    ssize_t n;

    if (c->ended)
        return 0;
    if (c->in_size - c->in_len < 4096) {
        c->in_size = c->in_size * 2 + 16384;
        c->in = realloc(c->in, c->in_size);
    }
    while ((n = read_some(c, c->in + c->in_len, c->in_size - c->in_len - 1, &events)) < 0)
        if (!wait_for(c, events, end))
            return 0;
    c->in_len += n;
    c->in[c->in_len] = '\0';
    c->ended = n == 0;
    return n > 0;
}

void http_send_bytes(http *c, const void *data, size_t len)
{
    long long end = process_now_ms() + process_scale(ANSWER_MS);
    const char *at = data;
    short events = POLLOUT;

    while (len > 0) {
        ssize_t n = write_some(c, at, len, &events);

        if (n == 0)
            ck_abort_msg("the server closed while being sent to: %s", strerror(errno));
        if (n < 0 && !wait_for(c, events, end))
            ck_abort_msg("the server does not take what is sent");
        if (n > 0) {
            at += n;
            len -= n;
        }
    }
}

void http_send(http *c, const char *text)
{
    http_send_bytes(c, text, strlen(text));
}

/* ---- requests ------------------------------------------------------------ */

const char *http_auth(const char *user)
{
    const char *pair = support_text("%s:%s", user, HTTPD_PASSWORD);
    char *encoded = malloc(strlen(pair) * 2 + 8);
    const char *text;

    EVP_EncodeBlock((unsigned char *)encoded, (const unsigned char *)pair, strlen(pair));
    text = support_text("Authorization: Basic %s\r\n", encoded);
    free(encoded);
    return text;
}

static const char *request_head(const char *method, const char *path, const char *user,
                                const char *headers, const char *body)
{
    const char *length = "";

    if (body)
        length = support_text("Content-Length: %zu\r\n", strlen(body));
    return support_text("%s %s HTTP/1.1\r\nHost: localhost\r\n%s%s%s\r\n", method, path,
                        user ? http_auth(user) : "", length, headers ? headers : "");
}

const char *http_request(const char *method, const char *path, const char *user,
                         const char *headers, const char *body)
{
    return support_text("%s%s", request_head(method, path, user, headers, body),
                        body ? body : "");
}

void http_ask(http *c, const char *method, const char *path, const char *user,
              const char *headers, const char *body)
{
    http_send(c, request_head(method, path, user, headers, body));
    if (body)
        http_send(c, body);
}

/* ---- answers ------------------------------------------------------------- */

/* Take len bytes from the front of what was received. */
static char *take(http *c, size_t len)
{
    char *text = malloc(len + 1);

    memcpy(text, c->in, len);
    text[len] = '\0';
    c->in_len -= len;
    memmove(c->in, c->in + len, c->in_len + 1);
    return text;
}

static void need(http *c, long long end, const char *what)
{
    if (receive(c, end))
        return;
    ck_abort_msg("%s while waiting for %s; received: '%.300s'",
                 c->ended ? "the server closed" : "the deadline passed", what,
                 c->in ? c->in : "");
}

/* Length of a head that is whole, the empty line included; 0: not yet. */
static size_t head_length(const http *c)
{
    char *blank = c->in_len ? strstr(c->in, "\r\n\r\n") : NULL;

    return blank ? blank + 4 - c->in : 0;
}

static void append_body(http_answer *answer, const char *data, size_t len)
{
    answer->body = realloc(answer->body, answer->len + len + 1);
    memcpy(answer->body + answer->len, data, len);
    answer->len += len;
    answer->body[answer->len] = '\0';
}

static char *take_line(http *c, long long end)
{
    char *newline;

    while (!c->in_len || (newline = strstr(c->in, "\r\n")) == NULL)
        need(c, end, "a line of a chunked body");
    return take(c, newline + 2 - c->in);
}

static void take_bytes(http *c, size_t len, long long end, http_answer *answer)
{
    char *data;

    while (c->in_len < len)
        need(c, end, "the rest of a body");
    data = take(c, len);
    append_body(answer, data, len);
    free(data);
}

static void read_chunks(http *c, long long end, http_answer *answer)
{
    for (;;) {
        char *line = take_line(c, end);
        size_t len = strtoul(line, NULL, 16);

        free(line);
        if (len == 0)
            break;
        take_bytes(c, len, end, answer);
        free(take_line(c, end));
    }
    for (;;) {
        char *line = take_line(c, end);
        int last = strcmp(line, "\r\n") == 0;

        free(line);
        if (last)
            return;
    }
}

static int has_word(const char *value, const char *word)
{
    return value && strcasestr(value, word) != NULL;
}

static void read_body(http *c, long long end, http_answer *answer)
{
    const char *length = http_header(answer, "Content-Length");

    append_body(answer, "", 0);
    if (answer->status == 204 || answer->status == 304)
        return;
    if (has_word(http_header(answer, "Transfer-Encoding"), "chunked")) {
        read_chunks(c, end, answer);
    }
    else if (length) {
        take_bytes(c, strtoul(length, NULL, 10), end, answer);
    }
    else {
        while (receive(c, end))
            continue;
        take_bytes(c, c->in_len, end, answer);
        answer->keep_alive = 0;
    }
}

static void read_head(http *c, long long end, http_answer *answer)
{
    size_t len;

    do {
        clear_answer(answer);
        while ((len = head_length(c)) == 0)
            need(c, end, "the head of an answer");
        answer->head = take(c, len);
        if (sscanf(answer->head, "HTTP/1.%*d %d", &answer->status) != 1)
            ck_abort_msg("not an HTTP/1 answer: '%.200s'", answer->head);
    } while (answer->status < 200 && answer->status != 101);
    answer->keep_alive = !has_word(http_header(answer, "Connection"), "close");
}

static http_answer *read_answer(http *c, int to_head)
{
    long long end = process_now_ms() + process_scale(ANSWER_MS);

    read_head(c, end, &c->answer);
    if (to_head)
        append_body(&c->answer, "", 0);
    else
        read_body(c, end, &c->answer);
    return &c->answer;
}

http_answer *http_read(http *c)
{
    return read_answer(c, 0);
}

http_answer *http_read_head(http *c)
{
    return read_answer(c, 1);
}

http_answer *http_try(http *c, int ms)
{
    if (c->in_len == 0 && !receive(c, process_now_ms() + ms))
        return NULL;
    return read_answer(c, 0);
}

const char *http_await(http *c, const char *text)
{
    long long end = process_now_ms() + process_scale(ANSWER_MS);

    while (!c->in || !memmem(c->in, c->in_len, text, strlen(text)))
        if (!receive(c, end))
            support_fail("not received: '%s', but: %.2000s", text,
                         c->in_len > 0 ? c->in : "");
    return c->in;
}

void http_forget(http *c)
{
    c->in_len = 0;
}

int http_readable(http *c)
{
    struct pollfd p = { .fd = c->fd, .events = POLLIN };

    return poll(&p, 1, 0) > 0;
}

http_answer *http_call(http *c, const char *method, const char *path, const char *user,
                       const char *headers, const char *body)
{
    http_ask(c, method, path, user, headers, body);
    return read_answer(c, strcmp(method, "HEAD") == 0);
}

/* The connection is closed at once: kept alive it would hold a child of
 * prefork. */
http_answer *http_once(const httpd *server, const char *method, const char *path,
                       const char *user, const char *headers, const char *body)
{
    static http_answer ring[ONCE_RING];
    static unsigned next;
    http_answer *answer = &ring[next++ % ONCE_RING];
    http *c = http_open(server);

    clear_answer(answer);
    *answer = *http_call(c, method, path, user, headers, body);
    memset(&c->answer, 0, sizeof c->answer);
    http_close(c);
    return answer;
}

int http_closed(http *c, int ms)
{
    long long end = process_now_ms() + process_scale(ms);

    while (receive(c, end))
        c->in_len = 0;
    return c->ended;
}

const char *http_header(const http_answer *answer, const char *name)
{
    size_t len = strlen(name);
    const char *line = answer->head;

    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1;
            line += strspn(line, " \t");
            return support_text("%.*s", (int)strcspn(line, "\r\n"), line);
        }
    }
    return NULL;
}
