/* SPDX-License-Identifier: Apache-2.0
 * script_server.c - see script_server.h.
 */
#include "script_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

#define CONNECTIONS_MAX 16
#define HEAD_MAX        16384
#define EXPECT_MS       20000

typedef struct connection {
    int fd;            /* -1: not in use                                    */
    char in[HEAD_MAX]; /* a request that is not whole yet                   */
    size_t len;
} connection;

struct script_server {
    int listener;
    char host[INET_ADDRSTRLEN];
    int port;
    connection connections[CONNECTIONS_MAX];
    connection *current; /* of the last request                               */
    char head[HEAD_MAX]; /* of it                                             */
    char body[HEAD_MAX]; /* of it                                             */
    char value[HEAD_MAX];
};

script_server *script_start(void)
{
    return script_start_at("127.0.0.1");
}

script_server *script_start_at(const char *host)
{
    script_server *s = calloc(1, sizeof *s);
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t len = sizeof address;
    int i;

    inet_pton(AF_INET, host, &address.sin_addr);
    snprintf(s->host, sizeof s->host, "%s", host);
    for (i = 0; i < CONNECTIONS_MAX; i++)
        s->connections[i].fd = -1;
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(s->listener, (struct sockaddr *)&address, sizeof address) != 0
        || listen(s->listener, 16) != 0
        || getsockname(s->listener, (struct sockaddr *)&address, &len) != 0)
        ck_abort_msg("no port for the scripted server: %s", strerror(errno));
    s->port = ntohs(address.sin_port);
    return s;
}

static void close_connection(connection *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->len = 0;
}

void script_end(script_server *s)
{
    int i;

    for (i = 0; i < CONNECTIONS_MAX; i++)
        close_connection(&s->connections[i]);
    close(s->listener);
    free(s);
}

int script_port(const script_server *s)
{
    return s->port;
}

const char *script_url(const script_server *s)
{
    return support_text("http://%s:%d/comm/poll", s->host, s->port);
}

/* ---- requests ------------------------------------------------------------ */

static void take_connection(script_server *s)
{
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    int i, on = 1;

    for (i = 0; fd >= 0 && i < CONNECTIONS_MAX; i++) {
        if (s->connections[i].fd >= 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        s->connections[i].fd = fd;
        return;
    }
    ck_abort_msg("the scripted server has no room for a connection");
}

static size_t body_length(const script_server *s)
{
    const char *length = script_header(s, "Content-Length");

    return length ? strtoul(length, NULL, 10) : 0;
}

/* 1: a request is whole; it fits into HEAD_MAX bytes. */
static int take_request(script_server *s, connection *c)
{
    char *end = memmem(c->in, c->len, "\r\n\r\n", 4);
    size_t len, body;

    if (end == NULL)
        return 0;
    len = (size_t)(end - c->in) + 4;
    memcpy(s->head, c->in, len);
    s->head[len] = '\0';
    body = body_length(s);
    if (c->len < len + body)
        return 0;
    memcpy(s->body, c->in + len, body);
    s->body[body] = '\0';
    len += body;
    memmove(c->in, c->in + len, c->len - len);
    c->len -= len;
    s->current = c;
    return 1;
}

static int read_from(script_server *s, connection *c)
{
    ssize_t n = read(c->fd, c->in + c->len, sizeof c->in - 1 - c->len);

    if (n <= 0) {
        close_connection(c);
        return 0;
    }
    c->len += (size_t)n;
    return take_request(s, c);
}

static int poll_once(script_server *s, int ms)
{
    struct pollfd ready[CONNECTIONS_MAX + 1];
    int i;

    ready[CONNECTIONS_MAX] = (struct pollfd){ s->listener, POLLIN, 0 };
    for (i = 0; i < CONNECTIONS_MAX; i++)
        ready[i] = (struct pollfd){ s->connections[i].fd, POLLIN, 0 };
    if (poll(ready, CONNECTIONS_MAX + 1, ms) <= 0)
        return 0;
    if (ready[CONNECTIONS_MAX].revents)
        take_connection(s);
    for (i = 0; i < CONNECTIONS_MAX; i++) {
        if (ready[i].revents && read_from(s, &s->connections[i]))
            return 1;
    }
    return 0;
}

int script_try(script_server *s, int ms)
{
    long long end = process_now_ms() + ms, left;

    while ((left = end - process_now_ms()) > 0) {
        if (poll_once(s, (int)left))
            return 1;
    }
    return 0;
}

void script_expect(script_server *s)
{
    if (!script_try(s, process_scale(EXPECT_MS)))
        ck_abort_msg("no request came to the scripted server");
}

const char *script_head(const script_server *s)
{
    return s->head;
}

const char *script_body(const script_server *s)
{
    return s->body;
}

const char *script_request_line(const script_server *s)
{
    return support_text("%.*s", (int)strcspn(s->head, "\r"), s->head);
}

const char *script_header(const script_server *s, const char *name)
{
    const char *line = s->head;
    size_t len = strlen(name);

    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            line += len + 1;
            line += strspn(line, " ");
            return support_text("%.*s", (int)strcspn(line, "\r"), line);
        }
    }
    return NULL;
}

void script_switch(script_server *s, int number)
{
    ck_assert_int_ge(s->connections[number].fd, 0);
    s->current = &s->connections[number];
}

/* ---- answers ------------------------------------------------------------- */

void script_raw(script_server *s, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(s->current->fd, data, len, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

void script_answer(script_server *s, const char *status, const char *headers,
                   const char *body)
{
    const char *head = support_text("HTTP/1.1 %s\r\n%s", status, headers);

    script_raw(s, head, strlen(head));
    if (strncmp(status, "204", 3) != 0) {
        head = support_text("Content-Length: %zu\r\n", strlen(body));
        script_raw(s, head, strlen(head));
    }
    script_raw(s, "\r\n", 2);
    script_raw(s, body, strlen(body));
}

void script_batch(script_server *s, const char *cursor, const char *messages)
{
    size_t size = strlen(messages) + strlen(cursor) + 64;
    char *body = malloc(size);

    snprintf(body, size, "{\"cursor\":\"%s\",\"messages\":[%s]}", cursor, messages);
    script_answer(s, "200 OK", "Content-Type: application/json\r\n", body);
    free(body);
}

void script_nothing(script_server *s, const char *cursor)
{
    script_answer(s, "204 No Content",
                  cursor ? support_text("Comm-Cursor: %s\r\n", cursor) : "", "");
}

void script_cut(script_server *s)
{
    close_connection(s->current);
}

const char *script_message(const char *id, const char *app, const char *data)
{
    return support_text(
        "{\"id\":\"%s\",\"app\":\"%s\",\"from\":\"backend\","
        "\"time\":\"2026-11-23T04:00:00.000Z\",\"length\":%zu,\"data\":%s}",
        id, app, strlen(data), data);
}
