/* SPDX-License-Identifier: Apache-2.0
 * connection.c - the life of connections, the event loop, and who publishes next.
 */
#include "pushbench.h"

connection *pollers, *publishers;
client_state *clients;
int epoll_fd, n_opened, n_connecting, next_open, open_target, pollers_stop,
    publishers_stop = 1, hold_mode;
uint64_t n_sent, n_acked, n_delivered, n_raw, n_dup, n_reord, n_stale, n_misroute,
    n_corrupt, n_puberr, n_pollerr, n_polls, n_empty, n_resp, n_reconn, n_connerr,
    n_forgiven, bytes_in, bytes_out, n_gap, n_nodata, fanout_delivered;
uint64_t pub_bytes_in, pub_bytes_out;
int last_badstatus;
uint64_t last_delivery, event_time;
samples latencies, ack_times;
int sampling;
char *payload;
static char read_buffer[1 << 18];
buffer request, request_body;

static void connection_failed(connection *c);
static void send_poll(connection *c);

static void want_output(connection *c, int out)
{
    if (c->want_out == out)
        return;
    struct epoll_event e = { .events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c };
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e);
    c->want_out = out;
}

void connection_send(connection *c, const char *p, size_t n)
{
    if (c->pub)
        pub_bytes_out += n;
    else
        bytes_out += n;
    if (!c->out.len) {
        ssize_t w = write(c->fd, p, n);
        if (w < 0) {
            if (errno != EAGAIN)
                return; /* the read side will see the error */
            w = 0;
        }
        if ((size_t)w == n)
            return;
        p += w;
        n -= w;
    }
    buffer_add(&c->out, p, n);
    want_output(c, 1);
}

void count_opened(connection *c)
{
    if (!c->opened) {
        c->opened = 1;
        if (!c->pub)
            n_opened++;
    }
}

static void publish(connection *c, uint32_t client, uint64_t ts)
{
    uint32_t seq = ++clients[client].sent;
    make_payload(client, seq, ts);
    pending_publish *o = &c->ring[(c->ring_head + c->ring_len) % depth];
    o->client = client;
    o->seq = seq;
    c->ring_len++;
    n_sent++;
    o->t = now_ns();
    if (driver == DRIVER_MQTT) {
        mqtt_publish(c, client, seq, ts);
        o->pid = c->pid;
    }
    else if (driver == DRIVER_REDIS)
        redis_publish(c, client, seq, ts);
    else
        http_publish(c, client, seq, ts);
}

int window_open(void)
{
    return !window_size
           || (int64_t)(n_sent - n_delivered - n_forgiven - n_puberr) < window_size;
}
void publisher_go_on(connection *c)
{
    if (c->state == STATE_CLOSED
        && (c->queue_len || (mode == MODE_THROUGHPUT && !publishers_stop))) {
        connection_open(c);
        return;
    }
    if (c->state != STATE_READY)
        return;
    while (c->ring_len < depth) {
        if (c->queue_len) {
            job j = c->q[c->queue_head];
            c->queue_head = (c->queue_head + 1) % c->queue_size;
            c->queue_len--;
            publish(c, j.client, j.sched);
        }
        else if (mode == MODE_THROUGHPUT && !publishers_stop && window_open()) {
            uint32_t cnt = (client_count - c->id + publisher_count - 1) / publisher_count;
            publish(c, c->id + publisher_count * (c->next_client++ % cnt), now_ns());
        }
        else
            break;
        if (!keepalive)
            break;
    }
}

void enqueue(uint32_t client, uint64_t sched)
{
    connection *c = &publishers[client % publisher_count];
    if (c->queue_len == c->queue_size) {
        size_t nc = c->queue_size ? c->queue_size * 2 : 64;
        job *q = xrealloc(NULL, nc * sizeof *q);
        for (size_t i = 0; i < c->queue_len; i++)
            q[i] = c->q[(c->queue_head + i) % c->queue_size];
        free(c->q);
        c->q = q;
        c->queue_head = 0;
        c->queue_size = nc;
    }
    c->q[(c->queue_head + c->queue_len++) % c->queue_size] = (job){ client, sched };
    publisher_go_on(c);
}

static void connection_ready(connection *c)
{ /* TCP is up */
    if (c->pub) {
        if (driver == DRIVER_MQTT)
            mqtt_connect(c);
        else {
            c->state = STATE_READY;
            count_opened(c);
            publisher_go_on(c);
        }
    }
    else
        send_poll(c);
}

static void send_poll(connection *c)
{
    if (driver == DRIVER_MQTT)
        mqtt_connect(c);
    else if (driver == DRIVER_REDIS)
        redis_poll(c);
    else
        http_poll(c);
}

void connection_open(connection *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (source_count) {
        struct sockaddr_in a = { .sin_family = AF_INET };
        a.sin_addr.s_addr = htonl(source_first + c->id % source_count);
        setsockopt(c->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(c->fd, (void *)&a, sizeof a))
            die("bind source address: %s", strerror(errno));
    }
    http_reset(c);
    c->gen++;
    c->in.len = 0;
    c->out.len = 0;
    struct sockaddr_in *to = c->pub ? &publish_address : &poll_address;
    int r = connect(c->fd, (void *)to, sizeof *to);
    if (r && errno != EINPROGRESS) { /* e.g. EADDRNOTAVAIL */
        n_connerr++;
        close(c->fd);
        c->state = STATE_CLOSED;
        c->fd = -1;
        if (n_connerr > 10000)
            die("connect: %s", strerror(errno));
        return;
    }
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT, .data.ptr = c };
    c->want_out = 1;
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e);
    c->state = STATE_CONNECTING;
    n_connecting++;
}

void connection_close(connection *c)
{
    if (c->state == STATE_CLOSED)
        return;
    if (c->state == STATE_CONNECTING)
        n_connecting--;
    close(c->fd);
    c->fd = -1;
    c->state = STATE_CLOSED;
    c->gen++;
    buffer_free(&c->in);
    buffer_free(&c->out);
    buffer_free(&c->body);
}

static void connection_failed(connection *c)
{ /* closed by the peer, or error */
    if (c->state == STATE_CONNECTING) {
        if (++n_connerr > 20000)
            die("too many connect errors");
    }
    else if ((driver == DRIVER_POLL || driver == DRIVER_SSE) && c->reading == READ_TO_END
             && c->state == STATE_WAITING && !c->pub) {
        http_done(c, c->body.p, c->body.len);
        return;
    }
    else
        n_reconn++;
    if (n_reconn > 200000)
        die("too many reconnects");
    while (c->ring_len)
        acknowledged(c, 0);
    connection_close(c);
    if (c->pub) {
        if (c->queue_len || !publishers_stop)
            connection_open(c);
    }
    else if (!pollers_stop && !hold_mode && !idle_after_response)
        connection_open(c);
}

static size_t feed(connection *c, const char *p, size_t n)
{
    return driver == DRIVER_MQTT    ? mqtt_feed(c, p, n)
           : driver == DRIVER_REDIS ? redis_feed(c, p, n)
                                    : http_feed(c, p, n);
}

static void on_event(connection *c, uint32_t ev)
{
    if (c->state == STATE_CLOSED)
        return;
    if (c->state == STATE_CONNECTING) {
        int err = 0;
        socklen_t l = sizeof err;
        if (!(ev & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &err, &l);
        if (err || (ev & EPOLLERR)) {
            connection_failed(c);
            return;
        }
        n_connecting--;
        c->state = STATE_READY;
        want_output(c, 0);
        connection_ready(c);
        return;
    }
    if ((ev & EPOLLOUT) && c->out.len) {
        ssize_t w = write(c->fd, c->out.p, c->out.len);
        if (w > 0) {
            if ((size_t)w == c->out.len) {
                buffer_free(&c->out);
                want_output(c, 0);
            }
            else
                buffer_cut(&c->out, w);
        }
    }
    if (ev & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
        uint32_t gen = c->gen;
        for (;;) {
            ssize_t n = read(c->fd, read_buffer, sizeof read_buffer);
            if (n < 0) {
                if (errno == EAGAIN)
                    return;
                connection_failed(c);
                return;
            }
            if (n == 0) {
                connection_failed(c);
                return;
            }
            event_time = now_ns();
            if (c->pub)
                pub_bytes_in += n;
            else
                bytes_in += n;
            if (c->in.len) {
                buffer_add(&c->in, read_buffer, n);
                buffer t = c->in;
                memset(&c->in, 0, sizeof c->in);
                size_t k = feed(c, t.p, t.len);
                if (c->gen != gen) {
                    buffer_free(&t);
                    return;
                }
                buffer_cut(&t, k);
                if (t.len)
                    c->in = t;
                else
                    buffer_free(&t);
            }
            else {
                size_t k = feed(c, read_buffer, n);
                if (c->gen != gen)
                    return;
                if (k < (size_t)n)
                    buffer_add(&c->in, read_buffer + k, n - k);
            }
            if (n < (ssize_t)sizeof read_buffer)
                return;
        }
    }
}

void open_more(void)
{
    while (next_open < open_target && n_connecting < connecting_max
           && (driver != DRIVER_MQTT || next_open - n_opened < connecting_max)) {
        int before = n_connecting;
        connection_open(&pollers[next_open]);
        if (n_connecting == before)
            return;
        next_open++;
    }
}

void loop_once(uint64_t until)
{
    static struct epoll_event ev[512];
    uint64_t n0 = now_ns();
    uint64_t w = until > n0 ? until - n0 : 0;
    if (w > 50000000)
        w = 50000000;
    struct timespec ts = { w / 1000000000ull, w % 1000000000ull };
    int n = epoll_pwait2(epoll_fd, ev, 512, &ts, NULL);
    event_time = now_ns();
    for (int i = 0; i < n; i++)
        on_event(ev[i].data.ptr, ev[i].events);
    if (next_open < open_target)
        open_more();
}

void loop_for(double s)
{
    uint64_t t = now_ns() + (uint64_t)(s * 1e9);
    while (now_ns() < t)
        loop_once(t);
}
void wait_quiet(double maxs)
{ /* until the server has stopped using CPU */
    uint64_t t0 = now_ns();
    double a = tree_cpu();
    if (!n_root) {
        loop_for(0.5);
        return;
    }
    while ((now_ns() - t0) / 1e9 < maxs) {
        loop_for(0.25);
        double b = tree_cpu();
        if (b - a < 0.015)
            return;
        a = b;
    }
}

double open_subs(void)
{ /* returns seconds */
    uint64_t t0 = now_ns();
    open_target = client_count;
    open_more();
    while (n_opened < client_count) {
        loop_once(t0 + 1000000000000ull);
        if (now_ns() - t0 > 120000000000ull)
            die("only %d of %d connections after 120 s", n_opened, client_count);
    }
    return (now_ns() - t0) / 1e9;
}

void open_pubs(void)
{
    for (int i = 0; i < publisher_count; i++)
        connection_open(&publishers[i]);
    uint64_t t0 = now_ns();
    for (;;) {
        int k = 0;
        for (int i = 0; i < publisher_count; i++)
            k += publishers[i].opened;
        if (k == publisher_count)
            break;
        loop_once(t0 + 1000000000000ull);
        if (now_ns() - t0 > 10000000000ull)
            die("publishers could not connect");
    }
}

int pubs_busy(void)
{
    for (int i = 0; i < publisher_count; i++)
        if (publishers[i].ring_len || publishers[i].queue_len)
            return 1;
    return 0;
}
void drain_all(void)
{
    uint64_t t0 = now_ns(), lim = t0 + (uint64_t)(drain_time * 1e9);
    while (pubs_busy() && now_ns() < lim)
        loop_once(lim);
    while (n_delivered < n_acked && now_ns() < lim)
        loop_once(lim);
    loop_for(0.2); /* late duplicates */
}
