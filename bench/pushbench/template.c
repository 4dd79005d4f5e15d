/* SPDX-License-Identifier: Apache-2.0
 * template.c - texts with words in braces that are filled in for each request.
 */
#include "pushbench.h"

enum {
    WORD_LITERAL,
    WORD_CLIENT,
    WORD_CURSOR,
    WORD_LAST_MODIFIED,
    WORD_ETAG,
    WORD_PAYLOAD,
    WORD_TIME,
    WORD_SEQUENCE,
    WORD_INDEX,
    WORD_PREVIOUS
};
static const char *word_names[] = { "",        "{client}",  "{cursor}", "{lm}",
                                    "{etag}",  "{payload}", "{ts}",     "{seq}",
                                    "{index}", "{prevseq}", NULL };
template template_parse(const char *s)
{
    template t = { 0 };
    const char *lit = s;
    while (1) {
        int v = 0;
        if (*s == '{')
            for (v = 1; word_names[v] && strncmp(s, word_names[v], strlen(word_names[v]));
                 v++)
                ;
        if (*s == '{' && !word_names[v])
            v = 0;
        if (v || !*s) {
            if (t.n > 45)
                die("template too long");
            if (s > lit) {
                t.g[t.n].v = WORD_LITERAL;
                t.g[t.n].s = lit;
                t.g[t.n++].l = s - lit;
            }
            if (!*s)
                break;
            t.g[t.n++].v = v;
            s += strlen(word_names[v]);
            lit = s;
        }
        else
            s++;
    }
    return t;
}

int template_expand(buffer *b, const template *t, connection *c, uint32_t client,
                    uint32_t seq, uint64_t ts)
{ /* 0 if a cursor variable was empty */
    int ok = 1, n;
    char x[32];
    for (int i = 0; i < t->n; i++) {
        switch (t->g[i].v) {
        case WORD_LITERAL:
            buffer_add(b, t->g[i].s, t->g[i].l);
            break;
        case WORD_CLIENT:
            client_name(b, client);
            break;
        case WORD_CURSOR:
            if (!c->cursor[0])
                ok = 0;
            else
                buffer_add(b, c->cursor, strlen(c->cursor));
            break;
        case WORD_LAST_MODIFIED:
            if (!c->last_modified[0])
                ok = 0;
            else
                buffer_add(b, c->last_modified, strlen(c->last_modified));
            break;
        case WORD_ETAG:
            if (!c->etag[0])
                ok = 0;
            else
                buffer_add(b, c->etag, strlen(c->etag));
            break;
        case WORD_PAYLOAD:
            buffer_add(b, payload, size);
            break;
        case WORD_TIME:
            n = snprintf(x, sizeof x, "%llu", (unsigned long long)ts);
            buffer_add(b, x, n);
            break;
        case WORD_SEQUENCE:
            n = snprintf(x, sizeof x, "%u", seq);
            buffer_add(b, x, n);
            break;
        case WORD_PREVIOUS:
            n = snprintf(x, sizeof x, "%u", seq - 1);
            buffer_add(b, x, n);
            break;
        case WORD_INDEX:
            n = snprintf(x, sizeof x, "%u", client);
            buffer_add(b, x, n);
            break;
        }
    }
    return ok;
}
