/* SPDX-License-Identifier: Apache-2.0
 * mutation.c - see mutation.h.
 */
#include "mutation.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "support/support.h"

#define LONGEST_FIELD 20000 /* httpd takes 8190                              */
#define LONGEST_BODY  70000

typedef struct text {
    char *at;
    size_t len;
    size_t size;
} text;

unsigned mutation_draw(unsigned *state, unsigned below)
{
    unsigned x = *state ? *state : 1;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    *state = x;
    return (unsigned)((unsigned long long)x * below >> 32);
}

static int one_in(unsigned *state, unsigned n)
{
    return mutation_draw(state, n) == 0;
}

__attribute__((format(printf, 2, 3))) static void add(text *t, const char *format, ...)
{
    va_list list;
    int n;

    va_start(list, format);
    n = vsnprintf(t->at + t->len, t->size - t->len, format, list);
    va_end(list);
    if (n > 0 && t->len + (size_t)n < t->size)
        t->len += (size_t)n;
}

static void add_fill(text *t, char fill, size_t n)
{
    if (t->len + n >= t->size)
        return;
    memset(t->at + t->len, fill, n);
    t->len += n;
}

/* ---- fields ---------------------------------------------------------------- */

#define PICK(state, list) (list)[mutation_draw(state, sizeof(list) / sizeof *(list))]

static const char *const targets[] = {
    "POST /comm/publish/orders/bob",
    "POST /comm/publish/orders/carol/phone",
    "POST /comm/publish/orders?to=bob&to=dave/laptop&to=carol",
    "POST /comm/publish/orders/-/groups/night",
    "POST /comm/publish/orders/-/all",
    "PUT /comm/publish/orders/-/groups/night/bob",
    "DELETE /comm/publish/orders/-/groups/night/bob",
    "GET /comm/publish/orders/-/messages/qJhM5wVYQ0C0b1cTnC9g8A?changes=1&wait=1",
    "DELETE /comm/publish/orders/-/messages/qJhM5wVYQ0C0b1cTnC9g8A",
    "GET /comm/poll",
    "GET /comm/poll?wait=1&max=3&device=phone",
    "POST /comm/poll?wait=1",
    "POST /comm/poll?device=laptop&after=0-0",
    "GET /comm/poll?event=app&after=%00&wait=99999999999999999999",
    "GET /comm/status",
    "OPTIONS /comm/poll",
    "GET /comm/%70oll?device=%2e%2e",
    "PATCH /comm/publish/orders/bob",
    "POST /comm/publish//orders/./bob",
    "GET http://localhost/comm/poll",
};

static const char *const users[] = { "backend", "bob", "carol", "dave", "admin" };

static const char *const fields[] = {
    "Prefer: wait=1",
    "Prefer: wait=0, respond-async",
    "Prefer: wait=-1",
    "Prefer: wait=99999999999999999999",
    "Prefer: wait=1, wait=1, wait=\"1\"; x=y",
    "Prefer: return=minimal",
    "Prefer: respond-async",
    "TTL: 0",
    "TTL: 2",
    "TTL: -1",
    "TTL: 18446744073709551616",
    "TTL: 1.5",
    "Topic: weather",
    "Topic: a_topic_that_is_longer_than_32_characters",
    "Topic: ",
    "Urgency: high",
    "Urgency: very-low",
    "Urgency: HIGH, low",
    "Idempotency-Key: \"one\"",
    "Idempotency-Key: \"two\\\"\\\\\"",
    "Idempotency-Key: one",
    "Idempotency-Key: \"\"",
    "Last-Event-ID: 0",
    "Last-Event-ID: 0123456789abcdef-1.2-3.4",
    "Last-Event-ID: ffffffffffffffff-ffffffffffffffff.ffffffffffffffff",
    "Last-Event-ID: \xff\xfe",
    "Accept: text/event-stream",
    "Accept: text/event-stream;q=0.5, application/json;q=0.4",
    "Comm-Acknowledged: qJhM5wVYQ0C0b1cTnC9g8A, qJhM5wVYQ0C0b1cTnC9g8A",
    "Comm-Acknowledged: ,",
    "Content-Type: text/plain",
    "Content-Type: application/json",
    "Content-Type: text/plain; charset=\"",
    "Content-Encoding: gzip",
    "Origin: https://elsewhere.example",
    "Expect: 100-continue",
    "Expect: the-unexpected",
    "Connection: close",
    "Connection: keep-alive, close, Upgrade",
    "Upgrade: h2c",
    "Range: bytes=0-1",
    "If-None-Match: *",
};

static const char *const bodies[] = {
    "hello",    "",         "{\"a\":[1,2,{\"b\":null}]}", "{\"a\":", "\"\\ud800\"",
    "[[[[[[[[", "\x80\xff",
};

/* A field is long, given twice, or without an end. */
static void add_field(text *t, unsigned *state)
{
    const char *field = PICK(state, fields);

    add(t, "%s", field);
    if (one_in(state, 25))
        add_fill(t, 'x', mutation_draw(state, LONGEST_FIELD));
    add(t, "%s", one_in(state, 60) ? "\n" : one_in(state, 60) ? "\r\n " : "\r\n");
    if (one_in(state, 12))
        add(t, "%s\r\n", field);
}

static void add_chunked(text *t, unsigned *state, const char *body)
{
    static const char *const sizes[] = {
        "%zx", "0%zx;a=b", "%zX ;\"", "-%zx", "ffffffffffffffff%zx", "%zxg"
    };
    unsigned which = one_in(state, 3) ? mutation_draw(state, 6) : 0;
    char size[64];

    snprintf(size, sizeof size, sizes[which], strlen(body));
    add(t, "Transfer-Encoding: chunked\r\n");
    if (one_in(state, 8))
        add(t, "Content-Length: 3\r\n");
    add(t, "\r\n%s\r\n%s\r\n", size, body);
    add(t, "%s", one_in(state, 8) ? "0\r\nX-Trailer: 1\r\n\r\n" : "0\r\n\r\n");
}

static void add_counted(text *t, unsigned *state, const char *body)
{
    size_t len = strlen(body),
           filled = one_in(state, 20) ? mutation_draw(state, LONGEST_BODY) : 0;

    if (one_in(state, 12))
        add(t, "Content-Length: %s\r\n",
            one_in(state, 2) ? "-1" : "99999999999999999999");
    else if (one_in(state, 12))
        add(t, "Content-Length: %u\r\n", mutation_draw(state, 20));
    else
        add(t, "Content-Length: %zu\r\n", len + filled);
    add(t, "\r\n%s", body);
    add_fill(t, 'y', filled);
}

static void add_request(text *t, unsigned *state)
{
    const char *target = PICK(state, targets), *user = PICK(state, users);
    int n = (int)mutation_draw(state, 5), has_body = target[0] == 'P';

    if (strstr(target, "publish") && !one_in(state, 4))
        user = "backend";
    add(t, "%s HTTP/1.%d\r\n", target, one_in(state, 15) ? 0 : 1);
    if (!one_in(state, 30))
        add(t, "Host: localhost\r\n");
    if (!one_in(state, 30))
        add(t, "%s", http_auth(user));
    while (n--)
        add_field(t, state);
    if (!has_body)
        add(t, "\r\n");
    else if (one_in(state, 3))
        add_chunked(t, state, PICK(state, bodies));
    else
        add_counted(t, state, PICK(state, bodies));
}

/* ---- bytes ----------------------------------------------------------------- */

static void flip(text *t, unsigned *state)
{
    unsigned n = 1 + mutation_draw(state, 4);

    while (n--)
        t->at[mutation_draw(state, (unsigned)t->len)] ^=
            (char)(1 << mutation_draw(state, 8));
}

static void cut_out(text *t, unsigned *state)
{
    size_t from = mutation_draw(state, (unsigned)t->len);
    size_t n = 1 + mutation_draw(state, (unsigned)(t->len - from));

    n = n > 64 ? 1 + n % 64 : n;
    memmove(t->at + from, t->at + from + n, t->len - from - n);
    t->len -= n;
}

static void double_piece(text *t, unsigned *state)
{
    size_t from = mutation_draw(state, (unsigned)t->len), n = t->len - from;

    n = n > 100 ? 1 + n % 100 : n;
    if (t->len + n >= t->size)
        return;
    memmove(t->at + from + n, t->at + from, t->len - from);
    t->len += n;
}

static void replace_byte(text *t, unsigned *state)
{
    static const char bytes[] = {
        '\0', '\r', '\n', ' ', ':', '%', '"', ',', ';', '\x7f'
    };

    t->at[mutation_draw(state, (unsigned)t->len)] = PICK(state, bytes);
}

static void cut_off(text *t, unsigned *state)
{
    t->len = mutation_draw(state, (unsigned)t->len) + 1;
}

size_t mutation_write(char *out, unsigned *state)
{
    static void (*const ways[])(text *, unsigned *) = { flip, cut_out, double_piece,
                                                        replace_byte, cut_off };
    text t = { out, 0, MUTATION_SIZE };
    unsigned n = one_in(state, 3) ? 2 + mutation_draw(state, 5) : 1;

    while (n--)
        add_request(&t, state);
    for (n = one_in(state, 3) ? 0 : mutation_draw(state, 3); n > 0 && t.len > 1; n--)
        PICK(state, ways)(&t, state);
    return t.len;
}
