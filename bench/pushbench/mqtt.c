/* SPDX-License-Identifier: Apache-2.0
 * mqtt.c - MQTT 3.1.1 with QoS 1, for mosquitto.
 */
#include "pushbench.h"

static void mqtt_length(buffer *b, uint32_t n)
{
    do {
        char x = n & 127;
        n >>= 7;
        if (n)
            x |= 128;
        buffer_add(b, &x, 1);
    } while (n);
}
static void mqtt_string(buffer *b, const char *s, size_t n)
{
    char h[2] = { n >> 8, n };
    buffer_add(b, h, 2);
    buffer_add(b, s, n);
}
void mqtt_connect(connection *c)
{
    request_body.len = 0;
    request.len = 0;
    mqtt_string(&request_body, "MQTT", 4);
    char f[4] = { 4, c->pub ? 2 : 0, 0, 0 };
    buffer_add(&request_body, f, 4);
    char id[96];
    snprintf(id, sizeof id, "%s%s%d", prefix, c->pub ? "p" : "s", c->id);
    mqtt_string(&request_body, id, strlen(id));
    buffer_add(&request, "\x10", 1);
    mqtt_length(&request, request_body.len);
    buffer_add(&request, request_body.p, request_body.len);
    c->state = STATE_HELLO;
    connection_send(c, request.p, request.len);
}

static void mqtt_subscribe(connection *c)
{
    buffer t = { 0 };
    template_expand(&t, &mqtt_topic, c, c->id, 0, 0);
    request_body.len = 0;
    request.len = 0;
    buffer_add(&request_body, "\0\1", 2);
    mqtt_string(&request_body, t.p, t.len);
    buffer_add(&request_body, "\1", 1);
    buffer_add(&request, "\x82", 1);
    mqtt_length(&request, request_body.len);
    buffer_add(&request, request_body.p, request_body.len);
    buffer_free(&t);
    c->state = STATE_SUBSCRIBING;
    connection_send(c, request.p, request.len);
}

void mqtt_publish(connection *c, uint32_t client, uint32_t seq, uint64_t ts)
{
    static buffer t;
    t.len = 0;
    template_expand(&t, &mqtt_topic, c, client, seq, ts);
    request_body.len = 0;
    request.len = 0;
    mqtt_string(&request_body, t.p, t.len);
    c->pid = c->pid % 65535 + 1;
    char x[2] = { c->pid >> 8, c->pid };
    buffer_add(&request_body, x, 2);
    buffer_add(&request_body, payload, size);
    buffer_add(&request, "\x32", 1);
    mqtt_length(&request, request_body.len);
    buffer_add(&request, request_body.p, request_body.len);
    connection_send(c, request.p, request.len);
}

size_t mqtt_feed(connection *c, const char *p, size_t n)
{
    const unsigned char *s = (const unsigned char *)p;
    size_t o = 0;
    buffer acks = { 0 };
    uint32_t gen = c->gen;
    while (n - o >= 2) {
        uint32_t len = 0, sh = 0;
        size_t i = o + 1;
        int more = 1;
        while (i < n && sh < 28) {
            len |= (s[i] & 127u) << sh;
            sh += 7;
            if (!(s[i++] & 128)) {
                more = 0;
                break;
            }
        }
        if (more || i + len > n)
            break;
        int type = s[o] >> 4;
        if (type == 2) {
            if (len < 2 || s[i + 1])
                die("mqtt: connection refused, code %d", s[i + 1]);
            if (c->pub) {
                c->state = STATE_READY;
                count_opened(c);
                publisher_go_on(c);
            }
            else
                mqtt_subscribe(c);
        }
        else if (type == 9) {
            c->state = STATE_WAITING;
            count_opened(c);
        }
        else if (type == 4) {
            if (c->ring_len
                && c->ring[c->ring_head].pid != (uint32_t)(s[i] << 8 | s[i + 1]))
                n_reord++;
            acknowledged(c, 1);
            publisher_go_on(c);
        }
        else if (type == 3) {
            int qos = s[o] >> 1 & 3;
            size_t tl = s[i] << 8 | s[i + 1], k = i + 2 + tl;
            if (qos) {
                char a[4] = { 0x40, 2, s[k], s[k + 1] };
                buffer_add(&acks, a, 4);
                k += 2;
            }
            if (k <= i + len && !scan(c, p + k, i + len - k))
                n_nodata++;
            n_resp++;
        }
        o = i + len;
        if (c->gen != gen) {
            buffer_free(&acks);
            return n;
        }
    }
    if (acks.len)
        connection_send(c, acks.p, acks.len);
    buffer_free(&acks);
    return o;
}
