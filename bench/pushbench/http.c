/* SPDX-License-Identifier: Apache-2.0
 * http.c - long polls, event streams and publishing over HTTP/1.1.
 */
#include "pushbench.h"

static int in_set(int s, int *v, int n)
{
    for (int i = 0; i < n; i++)
        if (v[i] == s)
            return 1;
    return 0;
}
static void add_head(const char *m, const template *url, const char *host, connection *c,
                     uint32_t client, uint32_t seq, uint64_t ts)
{
    request.len = 0;
    buffer_add(&request, m, strlen(m));
    buffer_add(&request, " ", 1);
    template_expand(&request, url, c, client, seq, ts);
    buffer_add(&request, " HTTP/1.1\r\nHost: ", 17);
    buffer_add(&request, host, strlen(host));
    buffer_add(&request, "\r\n", 2);
    if (!keepalive)
        buffer_add(&request, "Connection: close\r\n", 19);
}

static void add_headers(const template *h, int n, connection *c, uint32_t client,
                        uint32_t seq, uint64_t ts)
{
    for (int i = 0; i < n; i++) {
        size_t at = request.len;
        if (template_expand(&request, &h[i], c, client, seq, ts))
            buffer_add(&request, "\r\n", 2);
        else
            request.len = at;
    }
}

static void add_body(const template *t, connection *c, uint32_t client, uint32_t seq,
                     uint64_t ts)
{
    char x[64];
    request_body.len = 0;
    template_expand(&request_body, t, c, client, seq, ts);
    int n = snprintf(x, sizeof x, "Content-Length: %zu\r\n\r\n", request_body.len);
    buffer_add(&request, x, n);
    buffer_add(&request, request_body.p, request_body.len);
}

void http_reset(connection *c)
{
    c->reading = READ_HEAD;
    c->status = 0;
    c->remain = -1;
    c->chunked = c->closes = c->no_body = 0;
    if (c->body.p)
        buffer_free(&c->body);
}
void http_poll(connection *c)
{
    add_head(poll_method, &poll_url, poll_host, c, c->id, 0, 0);
    if (driver == DRIVER_SSE)
        buffer_add(&request, "Accept: text/event-stream\r\n", 27);
    add_headers(poll_headers, n_poll_headers, c, c->id, 0, 0);
    if (has_poll_body)
        add_body(&poll_body, c, c->id, 0, 0);
    else
        buffer_add(&request, "\r\n", 2);
    http_reset(c);
    c->state = STATE_WAITING;
    n_polls++;
    connection_send(c, request.p, request.len);
    count_opened(c);
}

static void http_head(connection *c, const char *p, const char *e)
{
    c->status = 0;
    if (e - p > 12 && !strncmp(p, "HTTP/1.", 7)) {
        c->status = atoi(p + 9);
        if (p[7] == '0')
            c->closes = 1;
    }
    const char *l = memchr(p, '\n', e - p);
    while (l && ++l < e) {
        const char *nl = memchr(l, '\n', e - l);
        const char *end = nl ? nl : e;
        if (end > l && end[-1] == '\r')
            end--;
        const char *col = memchr(l, ':', end - l);
        if (col) {
            size_t kn = col - l;
            const char *v = col + 1;
            while (v < end && *v == ' ')
                v++;
            size_t vn = end - v;
            if (kn == 14 && !strncasecmp(l, "content-length", 14))
                c->remain = strtol(v, NULL, 10);
            else if (kn == 17 && !strncasecmp(l, "transfer-encoding", 17))
                c->chunked = vn >= 7 && !strncasecmp(v, "chunked", 7);
            else if (kn == 10 && !strncasecmp(l, "connection", 10)) {
                if (vn >= 5 && !strncasecmp(v, "close", 5))
                    c->closes = 1;
            }
            else if (!c->pub && cursor_kind == CURSOR_LMETAG && kn == 13
                     && !strncasecmp(l, "last-modified", 13))
                set_text(c->last_modified, sizeof c->last_modified, v, vn);
            else if (!c->pub && cursor_kind == CURSOR_LMETAG && kn == 4
                     && !strncasecmp(l, "etag", 4))
                set_text(c->etag, sizeof c->etag, v, vn);
            else if (!c->pub && cursor_kind == CURSOR_HEADER && kn == strlen(cursor_name)
                     && !strncasecmp(l, cursor_name, kn))
                set_text(c->cursor, sizeof c->cursor, v, vn);
        }
        l = nl;
    }
}

void http_done(connection *c, const char *body, size_t n)
{
    int cl = c->closes || !keepalive || c->reading == READ_TO_END;
    c->reading = READ_HEAD;
    if (c->pub) {
        int ok = in_set(c->status, ok_publish, n_ok_publish);
        if (!ok)
            last_badstatus = c->status;
        acknowledged(c, ok);
        c->state = STATE_READY;
        if (cl) {
            connection_close(c);
            if (!publishers_stop || c->queue_len)
                connection_open(c);
        }
        else
            publisher_go_on(c);
        return;
    }
    n_resp++;
    if (in_set(c->status, ok_poll, n_ok_poll)) {
        int g = scan(c, body, n);
        if (!g && !idle_after_response)
            n_nodata++;
        if (cursor_kind == CURSOR_BODY) {
            const char *q = memmem(body, n, cursor_name, strlen(cursor_name));
            if (q) {
                q += strlen(cursor_name);
                const char *z = q;
                while (z < body + n && *z != '"' && *z != ',' && *z != '}' && *z != '\n'
                       && *z != '\r')
                    z++;
                set_text(c->cursor, sizeof c->cursor, q, z - q);
            }
        }
    }
    else if (in_set(c->status, ok_empty, n_ok_empty))
        n_empty++;
    else {
        last_badstatus = c->status;
        if (++n_pollerr > 1000 && n_pollerr * 2 > n_resp)
            die("too many poll errors, last status %d", c->status);
    }
    if (c->body.p)
        buffer_free(&c->body);
    c->state = STATE_READY;
    if (cl) {
        connection_close(c);
        if (!pollers_stop && !idle_after_response)
            connection_open(c);
    }
    else if (!pollers_stop && !idle_after_response)
        http_poll(c);
}

static void sse_lines(connection *c)
{
    char *p = c->body.p, *e = p + c->body.len;
    while (p < e) {
        char *nl = memchr(p, '\n', e - p);
        if (!nl)
            break;
        char *end = nl;
        if (end > p && end[-1] == '\r')
            end--;
        if (end - p > 5 && !memcmp(p, "data:", 5)) {
            if (!scan(c, p + 5, end - p - 5))
                n_nodata++;
        }
        else if (end - p > 3 && !memcmp(p, "id:", 3) && cursor_kind == CURSOR_SSE_ID) {
            char *v = p + 3;
            while (v < end && *v == ' ')
                v++;
            set_text(c->cursor, sizeof c->cursor, v, end - v);
        }
        p = nl + 1;
    }
    buffer_cut(&c->body, p - c->body.p);
}

static void body_part(connection *c, const char *p, size_t n)
{
    if (c->pub)
        return;
    buffer_add(&c->body, p, n);
    if (driver == DRIVER_SSE && in_set(c->status, ok_poll, n_ok_poll))
        sse_lines(c);
}

/* Each step takes bytes from the front, and returns how many; 0: it needs more.
 * An answer that is whole may open or close the connection: http_feed() sees
 * that by c->gen. */

static size_t feed_head(connection *c, const char *p, const char *e)
{
    const char *blank = memmem(p, e - p, "\r\n\r\n", 4);
    size_t used;

    if (!blank)
        return 0;
    c->chunked = 0;
    c->remain = -1;
    c->closes = 0;
    http_head(c, p, blank + 2);
    used = blank + 4 - p;
    if (c->status >= 100 && c->status < 200)
        return used;
    if ((c->status == 204 || c->status == 304 || c->remain == 0)
        && (!c->chunked || c->status != 200)) {
        http_done(c, p + used, 0);
        return used;
    }
    c->reading = c->remain >= 0 ? READ_LENGTH : READ_TO_END;
    if (c->chunked)
        c->reading = READ_CHUNK_SIZE;
    if (c->reading == READ_LENGTH && (size_t)c->remain <= (size_t)(e - p) - used
        && driver != DRIVER_SSE) { /* whole already: no copy */
        size_t len = c->remain;

        http_done(c, p + used, len);
        used += len;
    }
    return used;
}

static size_t feed_bytes(connection *c, const char *p, const char *e)
{
    size_t left = e - p;
    size_t used = left < (size_t)c->remain ? left : (size_t)c->remain;

    body_part(c, p, used);
    c->remain -= used;
    if (!c->remain && c->reading == READ_CHUNK)
        c->reading = READ_CHUNK_END;
    else if (!c->remain)
        http_done(c, c->body.p, c->body.len);
    return used;
}

static size_t feed_line(connection *c, const char *p, const char *e)
{
    const char *newline = memchr(p, '\n', e - p);

    if (!newline)
        return 0;
    if (c->reading == READ_CHUNK_SIZE) {
        c->remain = strtol(p, NULL, 16);
        c->reading = c->remain ? READ_CHUNK : READ_TRAILER;
    }
    else if (newline == p || (newline == p + 1 && *p == '\r')) {
        http_done(c, c->body.p, c->body.len);
    }
    return newline + 1 - p;
}

static size_t feed_step(connection *c, const char *p, const char *e)
{
    switch (c->reading) {
    case READ_HEAD:
        return feed_head(c, p, e);
    case READ_LENGTH:
    case READ_CHUNK:
        return feed_bytes(c, p, e);
    case READ_CHUNK_SIZE:
    case READ_TRAILER:
        return feed_line(c, p, e);
    case READ_CHUNK_END:
        if (e - p < 2)
            return 0;
        c->reading = READ_CHUNK_SIZE;
        return 2;
    default:
        body_part(c, p, e - p);
        return e - p;
    }
}

size_t http_feed(connection *c, const char *p, size_t n)
{
    const char *start = p, *e = p + n;
    uint32_t gen = c->gen;

    while (p < e) {
        size_t used = feed_step(c, p, e);

        if (c->gen != gen)
            return n;
        if (used == 0)
            break;
        p += used;
    }
    return p - start;
}

void http_publish(connection *c, uint32_t client, uint32_t seq, uint64_t ts)
{
    add_head(publish_method, &publish_url, publish_host, c, client, seq, ts);
    add_headers(publish_headers, n_publish_headers, c, client, seq, ts);
    add_body(&publish_body, c, client, seq, ts);
    connection_send(c, request.p, request.len);
}
