/* SPDX-License-Identifier: Apache-2.0
 * util.c - memory, time, random numbers, growing buffers, samples.
 */
#include "pushbench.h"

void die(const char *f, ...)
{
    va_list a;
    va_start(a, f);
    fprintf(stderr, "pushbench: ");
    vfprintf(stderr, f, a);
    fputc('\n', stderr);
    va_end(a);
    exit(2);
}

void *xrealloc(void *p, size_t n)
{
    p = realloc(p, n);
    if (!p)
        die("out of memory");
    return p;
}

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + t.tv_nsec;
}

static uint64_t random_state = 88172645463325252ull;

void random_seed(uint64_t seed)
{
    random_state ^= seed;
}

uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

void buffer_add(buffer *b, const void *s, size_t n)
{
    if (b->len + n > b->cap) {
        b->cap = (b->len + n) * 2 + 256;
        b->p = xrealloc(b->p, b->cap);
    }
    memcpy(b->p + b->len, s, n);
    b->len += n;
}

void buffer_free(buffer *b)
{
    free(b->p);
    memset(b, 0, sizeof *b);
}
void buffer_cut(buffer *b, size_t n)
{
    if (n >= b->len) {
        if (b->cap > 8192)
            buffer_free(b);
        else
            b->len = 0;
        return;
    }
    memmove(b->p, b->p + n, b->len - n);
    b->len -= n;
}

void samples_add(samples *s, uint64_t ns)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? s->cap * 2 : 65536;
        s->v = xrealloc(s->v, s->cap * 4);
    }
    uint64_t x = ns / 100;
    s->v[s->n++] = x > 0xffffffffu ? 0xffffffffu : (uint32_t)x;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(uint32_t *)a, y = *(uint32_t *)b;
    return x < y ? -1 : x > y;
}
void samples_sort(samples *s)
{
    qsort(s->v, s->n, sizeof *s->v, compare_numbers);
}
double percentile(samples *s, double p)
{ /* us; sorted */
    if (!s->n)
        return 0;
    size_t i = (size_t)(p / 100 * s->n);
    if (i >= s->n)
        i = s->n - 1;
    return s->v[i] / 10.0;
}
void set_text(char *d, size_t cap, const char *s, size_t n)
{
    if (n >= cap)
        n = cap - 1;
    memcpy(d, s, n);
    d[n] = 0;
}
