/* SPDX-License-Identifier: Apache-2.0
 * redis.c - Redis streams, XADD and XREAD.
 */
#include "pushbench.h"

static void redis_bulk(buffer *b, const char *s, size_t n)
{
    char x[32];
    int l = snprintf(x, sizeof x, "$%zu\r\n", n);
    buffer_add(b, x, l);
    buffer_add(b, s, n);
    buffer_add(b, "\r\n", 2);
}
#define REDIS_WORD(b, lit) redis_bulk(b, lit, sizeof(lit) - 1)
void redis_poll(connection *c)
{
    static buffer k;
    char x[16];
    k.len = 0;
    request.len = 0;
    template_expand(&k, &redis_key, c, c->id, 0, 0);
    buffer_add(&request, "*8\r\n", 4);
    REDIS_WORD(&request, "XREAD");
    REDIS_WORD(&request, "COUNT");
    redis_bulk(&request, x, snprintf(x, sizeof x, "%d", redis_count));
    REDIS_WORD(&request, "BLOCK");
    REDIS_WORD(&request, "0");
    REDIS_WORD(&request, "STREAMS");
    redis_bulk(&request, k.p, k.len);
    if (c->cursor[0])
        redis_bulk(&request, c->cursor, strlen(c->cursor));
    else
        REDIS_WORD(&request, "0");
    c->state = STATE_WAITING;
    n_polls++;
    connection_send(c, request.p, request.len);
    count_opened(c);
}

void redis_publish(connection *c, uint32_t client, uint32_t seq, uint64_t ts)
{
    static buffer k;
    char x[16];
    k.len = 0;
    request.len = 0;
    template_expand(&k, &redis_key, c, client, seq, ts);
    if (redis_maxlen)
        buffer_add(&request, "*8\r\n", 4);
    else
        buffer_add(&request, "*5\r\n", 4);
    REDIS_WORD(&request, "XADD");
    redis_bulk(&request, k.p, k.len);
    if (redis_maxlen) {
        REDIS_WORD(&request, "MAXLEN");
        REDIS_WORD(&request, "~");
        redis_bulk(&request, x, snprintf(x, sizeof x, "%d", redis_maxlen));
    }
    REDIS_WORD(&request, "*");
    REDIS_WORD(&request, "m");
    redis_bulk(&request, payload, size);
    connection_send(c, request.p, request.len);
}

static const char *entry_id;
static size_t entry_id_len;
static const char *redis_parse(const char *p, const char *e, int lvl, int idx)
{
    const char *nl = memchr(p, '\n', e - p);
    if (!nl)
        return NULL;
    long v = strtol(p + 1, NULL, 10);
    switch (*p) {
    case '*':
        p = nl + 1;
        for (long i = 0; i < v; i++) {
            if (p >= e || !(p = redis_parse(p, e, lvl + 1, i)))
                return NULL;
        }
        return p;
    case '$':
        if (v < 0)
            return nl + 1;
        if (e - nl - 1 < v + 2)
            return NULL;
        if (lvl == 4 && idx == 0) {
            entry_id = nl + 1;
            entry_id_len = v;
        }
        return nl + 1 + v + 2;
    default:
        return nl + 1;
    }
}

size_t redis_feed(connection *c, const char *p, size_t n)
{
    const char *s = p, *e = p + n, *q;
    while (p < e) {
        entry_id = NULL;
        if (!(q = redis_parse(p, e, 0, 0)))
            break;
        if (*p == '-') {
            if (n_pollerr + n_puberr < 3)
                fprintf(stderr, "redis: %.*s\n", q - p > 120 ? 120 : (int)(q - p), p);
            if (c->pub)
                acknowledged(c, 0);
            else
                n_pollerr++;
            p = q;
            if (n_pollerr > 100)
                die("redis errors");
            continue;
        }
        if (c->pub) {
            acknowledged(c, 1);
            p = q;
            publisher_go_on(c);
            continue;
        }
        n_resp++;
        if (entry_id)
            set_text(c->cursor, sizeof c->cursor, entry_id, entry_id_len);
        if (!scan(c, p, q - p))
            n_nodata++;
        p = q;
        c->state = STATE_READY;
        if (!pollers_stop)
            redis_poll(c);
    }
    return p - s;
}
