/* SPDX-License-Identifier: Apache-2.0
 * pushbench.h - what the parts of pushbench share.
 *
 * pushbench is a load generator for servers that hold a queue per client and
 * deliver by long poll or event stream, with MQTT and Redis streams for
 * comparison. One process, one thread, one epoll set; so plain variables are
 * the state of a run: the options, the connections and the counters.
 */
#ifndef PUSHBENCH_H
#define PUSHBENCH_H

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

#define MARK    "~PB~"
#define MARKLEN 4
#define HDRLEN  (4 + 8 + 8 + 8 + 16 + 1)

/* ---- types --------------------------------------------------------------- */

typedef struct {
    char *p;
    size_t len, cap;
} buffer;

/* Times, in tenths of a microsecond. */
typedef struct {
    uint32_t *v;
    size_t n, cap;
} samples;

/* A text cut into literals and words. */
typedef struct {
    int n;
    struct {
        int v, l;
        const char *s;
    } g[48];
} template;

/* A publish without an answer yet. */
typedef struct {
    uint32_t client, seq;
    uint64_t t;
    uint32_t pid;
} pending_publish;

/* A publish that waits for its connection. */
typedef struct {
    uint32_t client;
    uint64_t sched;
} job;

enum { STATE_CLOSED, STATE_CONNECTING, STATE_HELLO, STATE_SUBSCRIBING, STATE_READY,
       STATE_WAITING };
enum { READ_HEAD, READ_LENGTH, READ_CHUNK_SIZE, READ_CHUNK, READ_CHUNK_END, READ_TRAILER,
       READ_TO_END };

typedef struct connection {
    int fd, id;
    uint32_t gen;      /* raised when it is opened or closed                    */
    uint8_t pub;       /* a publisher, else a client that waits                 */
    uint8_t state, reading, chunked, closes, want_out, opened, no_body;
    int status;
    long remain;       /* bytes of the body or chunk to come                    */
    buffer in, out, body;
    char cursor[72], last_modified[40], etag[40];
    /* publishers only */
    pending_publish *ring;
    int ring_head, ring_len;
    job *q;
    size_t queue_head, queue_len, queue_size;
    uint32_t next_client;
    uint32_t pid;      /* packet id of MQTT                                     */
} connection;

/* What is known of one client's messages; win: which of the last 64 came. */
typedef struct {
    uint32_t sent, acknowledged, max, got;
    uint64_t win;
} client_state;

/* ---- options (main.c) ---------------------------------------------------- */

enum { DRIVER_POLL, DRIVER_SSE, DRIVER_MQTT, DRIVER_REDIS };
enum { CURSOR_NONE, CURSOR_LMETAG, CURSOR_HEADER, CURSOR_BODY, CURSOR_SSE_ID };
enum { MODE_IDLE, MODE_LATENCY, MODE_THROUGHPUT, MODE_FANOUT, MODE_DRAIN };

#define HEADERS_MAX  16
#define STATUSES_MAX 16
#define ROOTS_MAX    32

extern int driver, mode, cursor_kind, keepalive, idle_after_response;
extern char cursor_name[64], cursor0[128];
extern struct sockaddr_in poll_address, publish_address;
extern char poll_host[64], publish_host[64];
extern template poll_url, poll_body, publish_url, publish_body, mqtt_topic, redis_key;
extern template poll_headers[HEADERS_MAX], publish_headers[HEADERS_MAX];
extern int n_poll_headers, n_publish_headers, has_poll_body;
extern const char *poll_method, *publish_method;
extern int ok_publish[STATUSES_MAX], n_ok_publish;
extern int ok_poll[STATUSES_MAX], n_ok_poll;
extern int ok_empty[STATUSES_MAX], n_ok_empty;
extern int client_count, publisher_count, depth, window_size, rounds, messages;
extern double rate, duration, warmup, hold, drain_time, stall_ms;
extern int size, redis_maxlen, redis_count, connecting_max;
extern char prefix[64], fanout_channel[64];
extern const char *label;
extern uint32_t run_id;
extern uint32_t source_first;
extern int source_count;
extern int root_pids[ROOTS_MAX], n_root;
extern int helper_count;

/* ---- the run (connection.c) ---------------------------------------------- */

extern connection *pollers, *publishers;
extern client_state *clients;
extern int epoll_fd, n_opened, n_connecting, next_open, open_target;
extern int pollers_stop, publishers_stop, hold_mode;
extern uint64_t n_sent, n_acked, n_delivered, n_raw, n_dup, n_reord, n_stale, n_misroute,
    n_corrupt, n_puberr, n_pollerr, n_polls, n_empty, n_resp, n_reconn, n_connerr,
    n_forgiven, bytes_in, bytes_out, n_gap, n_nodata, fanout_delivered;
extern uint64_t pub_bytes_in, pub_bytes_out;
extern int last_badstatus;
extern uint64_t last_delivery, event_time;
extern samples latencies, ack_times;
extern int sampling;
extern char *payload;
extern buffer request, request_body;   /* of the request being made */

/* ---- util.c -------------------------------------------------------------- */

void die(const char *f, ...) __attribute__((format(printf, 1, 2), noreturn));
void *xrealloc(void *p, size_t n);
uint64_t now_ns(void);
void random_seed(uint64_t seed);
uint64_t random_next(void);
void buffer_add(buffer *b, const void *s, size_t n);
void buffer_free(buffer *b);
void buffer_cut(buffer *b, size_t n);
void samples_add(samples *s, uint64_t ns);
void samples_sort(samples *s);
/** In microseconds, of sorted samples. */
double percentile(samples *s, double p);
void set_text(char *d, size_t cap, const char *s, size_t n);

/* ---- template.c ---------------------------------------------------------- */

template template_parse(const char *s);
/** Append with words filled in; 0 if a cursor word was empty. */
int template_expand(buffer *b, const template *t, connection *c, uint32_t client,
                    uint32_t seq, uint64_t ts);

/* ---- account.c ----------------------------------------------------------- */

void account_start(void);
double tree_cpu(void);  /* seconds, user and system, ended children included */
double tree_pss(void);  /* KiB */
double sock_mem(void);  /* KiB of TCP buffer pages, both ends */
double slab_mem(void);  /* KiB of kernel slab, whole machine */
double self_cpu(void);

/* ---- receipt.c ----------------------------------------------------------- */

void make_payload(uint32_t client, uint32_t seq, uint64_t ts);
void client_name(buffer *b, uint32_t id);
/** Find payloads and count them. @return how many */
int scan(connection *c, const char *p, size_t n);
/** The oldest publish without an answer has got one. */
void acknowledged(connection *c, int ok);

/* ---- http.c, mqtt.c, redis.c: feed returns the bytes that it has used ---- */

void http_reset(connection *c);
void http_poll(connection *c);
void http_publish(connection *c, uint32_t client, uint32_t seq, uint64_t ts);
void http_done(connection *c, const char *body, size_t n);
size_t http_feed(connection *c, const char *p, size_t n);
void mqtt_connect(connection *c);
void mqtt_publish(connection *c, uint32_t client, uint32_t seq, uint64_t ts);
size_t mqtt_feed(connection *c, const char *p, size_t n);
void redis_poll(connection *c);
void redis_publish(connection *c, uint32_t client, uint32_t seq, uint64_t ts);
size_t redis_feed(connection *c, const char *p, size_t n);

/* ---- connection.c -------------------------------------------------------- */

void connection_send(connection *c, const char *p, size_t n);
void count_opened(connection *c);
int window_open(void);
void publisher_go_on(connection *c);
void enqueue(uint32_t client, uint64_t sched);
void connection_open(connection *c);
void connection_close(connection *c);
void open_more(void);
void loop_once(uint64_t until);
void loop_for(double s);
/** Until the server has stopped using CPU. */
void wait_quiet(double maxs);
/** @return seconds that it took */
double open_subs(void);
void open_pubs(void);
int pubs_busy(void);
void drain_all(void);

/* ---- idle.c, modes.c ----------------------------------------------------- */

void mode_idle(void);
void mode_latency(void);
void mode_throughput(void);
void mode_fanout(void);
void mode_drain(void);
int mode_exec(char **av);

#endif
