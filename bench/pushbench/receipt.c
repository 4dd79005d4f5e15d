/* SPDX-License-Identifier: Apache-2.0
 * receipt.c - payloads: made on publishing, found and judged on receipt.
 *
 * Every payload starts with  ~PB~ RRRRRRRR CCCCCCCC SSSSSSSS TTTTTTTTTTTTTTTT .
 * (run id, client number, sequence number of the client, CLOCK_MONOTONIC ns;
 * hex, without the blanks) and ends with ~, so it can be found in any framing,
 * and latency, loss, doubles and order are all counted on receipt.
 */
#include "pushbench.h"

static const char hex_digits[] = "0123456789abcdef";
static void put_hex(char *d, uint64_t v, int n)
{
    while (n--) {
        d[n] = hex_digits[v & 15];
        v >>= 4;
    }
}
static int get_hex(const char *s, int n, uint64_t *o)
{
    uint64_t v = 0;
    while (n--) {
        int c = *s++;
        if (c >= '0' && c <= '9')
            c -= '0';
        else if (c >= 'a' && c <= 'f')
            c -= 'a' - 10;
        else
            return 0;
        v = v << 4 | c;
    }
    *o = v;
    return 1;
}

void make_payload(uint32_t client, uint32_t seq, uint64_t ts)
{
    char *p = payload;
    memcpy(p, MARK, 4);
    put_hex(p + 4, run_id, 8);
    put_hex(p + 12, client, 8);
    put_hex(p + 20, seq, 8);
    put_hex(p + 28, ts, 16);
}

void client_name(buffer *b, uint32_t id)
{
    char t[96];
    int n;
    if (fanout_channel[0])
        n = snprintf(t, sizeof t, "%s%s", prefix, fanout_channel);
    else
        n = snprintf(t, sizeof t, "%s%u", prefix, id);
    buffer_add(b, t, n);
}

static void on_msg(connection *c, uint32_t run, uint32_t client, uint32_t seq,
                   uint64_t ts)
{
    n_raw++;
    if (run != run_id) {
        n_stale++;
        return;
    }
    if (mode == MODE_FANOUT) {
        client_state *k = &clients[c->id];
        if (seq > k->max) {
            k->max = seq;
            k->got++;
            fanout_delivered++;
            n_delivered++;
            last_delivery = event_time;
            if (sampling)
                samples_add(&latencies, event_time - ts);
        }
        else
            n_dup++;
        return;
    }
    if (client != (uint32_t)c->id) {
        n_misroute++;
        return;
    }
    client_state *k = &clients[client];
    if (seq > k->max) {
        uint32_t d = seq - k->max;
        n_gap += d - 1;
        k->win = d >= 64 ? 0 : k->win << d;
        k->win |= 1;
        k->max = seq;
    }
    else {
        uint32_t d = k->max - seq;
        if (d >= 64 || (k->win >> d & 1)) {
            n_dup++;
            return;
        }
        k->win |= 1ull << d;
        n_reord++;
        n_gap--;
    }
    k->got++;
    n_delivered++;
    last_delivery = event_time;
    if (sampling)
        samples_add(&latencies, event_time > ts ? event_time - ts : 0);
}

int scan(connection *c, const char *p, size_t n)
{
    const char *e = p + n;
    int got = 0;
    while ((size_t)(e - p) >= (size_t)size && (p = memmem(p, e - p, MARK, MARKLEN))) {
        uint64_t run, cl, sq, ts;
        if (e - p < size)
            break;
        if (get_hex(p + 4, 8, &run) && get_hex(p + 12, 8, &cl) && get_hex(p + 20, 8, &sq)
            && get_hex(p + 28, 16, &ts) && p[44] == '.') {
            if (p[size - 1] == '~') {
                on_msg(c, run, cl, sq, ts);
                p += size;
                got++;
                continue;
            }
            n_corrupt++;
        }
        p += MARKLEN;
    }
    return got;
}

void acknowledged(connection *c, int ok)
{
    if (!c->ring_len)
        return;
    pending_publish *o = &c->ring[c->ring_head];
    if (ok) {
        n_acked++;
        clients[o->client].acknowledged++;
        if (sampling)
            samples_add(&ack_times, event_time - o->t);
    }
    else
        n_puberr++;
    c->ring_head = (c->ring_head + 1) % depth;
    c->ring_len--;
}
