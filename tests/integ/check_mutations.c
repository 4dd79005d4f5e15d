/* SPDX-License-Identifier: Apache-2.0
 * check_mutations.c - requests that are nearly right, over plain sockets, without
 * a pause, while an honest client publishes and polls. Every answer is whole, of
 * a status that is documented; no child ends; the honest client gets each of its
 * messages once and in time; afterwards nothing is held, nothing is kept.
 *
 * COMM_MUTATION_SEED plays the same requests again, COMM_MUTATION_SECONDS (6)
 * says for how long.
 */
#include <arpa/inet.h>
#include <csq.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mutation.h"
#include "parking.h"

#define MUTATORS   3
#define SECONDS    6
#define ANSWERS_MS 20000 /* until a connection that is half closed ends        */
#define HONEST_MS  5000  /* a message may take, however busy the machine is    */
#define EMPTY_MS   30000
#define GROWTH_KB  40000
#define RECEIVED   (4 << 20)

typedef struct tally {
    unsigned exchanges;
    unsigned statuses[600];
    unsigned resets;
    char complaint[1024];
} tally;

/* Of all mutators, one each; in memory that they share with the test. */
static tally *tallies;

/* ---- what answers may be ------------------------------------------------------ */

/* Those of httpd itself, for what is no request or not for us. */
static const int httpds_own[] = { 400, 401, 403, 404, 405, 408, 411,
                                  413, 414, 417, 431, 501, 505 };

static const char *const types[] = {
    "malformed",
    "origin",
    "identity",
    "subrequest",
    "policy",
    "method",
    "unknown",
    "unknown-message",
    "finished",
    "replaced",
    "idempotency-running",
    "too-large",
    "encoding",
    "idempotency-mismatch",
    "starting",
    "stopping",
    "busy",
    "full",
    "refused",
};

static int is_status_of_httpd(int status)
{
    size_t i;

    for (i = 0; i < sizeof httpds_own / sizeof *httpds_own; i++)
        if (httpds_own[i] == status)
            return 1;
    return 0;
}

static int is_type_known(const char *body)
{
    size_t i;

    for (i = 0; i < sizeof types / sizeof *types; i++) {
        const char *begin = support_text("{\"type\":\"%s\",\"title\":\"", types[i]);

        if (strncmp(body, begin, strlen(begin)) == 0)
            return 1;
    }
    return 0;
}

typedef struct answer {
    char *head; /* a NUL in place of its last line end                          */
    char *body; /* a NUL behind it, on a copy                                   */
    size_t len;
    int status;
} answer;

static const char *field(const answer *a, const char *name)
{
    const char *line = a->head;
    size_t len = strlen(name);

    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':')
            return line + len + 2;
    }
    return NULL;
}

static int field_is(const answer *a, const char *name, const char *value)
{
    const char *text = field(a, name);

    return text && strncasecmp(text, value, strlen(value)) == 0;
}

/* @return what is wrong with it, NULL: nothing */
static const char *judge(const answer *a)
{
    if (field_is(a, "Content-Type", "application/problem+json")) {
        if (a->status < 400 || !is_type_known(a->body))
            return "not a problem that is documented";
        if (!strstr(a->body, support_text("\"status\":%d", a->status)))
            return "a problem with another status than its answer";
        if ((a->status >= 500 || a->status == 409) && !field(a, "Retry-After"))
            return "nobody is told when to come back";
        return NULL;
    }
    if (a->status == 200 || a->status == 201 || a->status == 204)
        return NULL;
    return is_status_of_httpd(a->status) ? NULL : "a status that is not documented";
}

/* ---- answers, one behind the other ---------------------------------------------- */

/* @return bytes of a chunked body, 0: not whole, -1: none. It becomes plain. */
static long undo_chunks(char *at, const char *end, size_t *out_len)
{
    char *begin = at, *to = at;

    for (;;) {
        char *line_end = memmem(at, (size_t)(end - at), "\r\n", 2), *rest;
        unsigned long len;

        if (!line_end)
            return 0;
        len = strtoul(at, &rest, 16);
        if (rest == at || (*rest != '\r' && *rest != ';'))
            return -1;
        at = line_end + 2;
        if (len + 2 > (size_t)(end - at))
            return 0;
        memmove(to, at, len);
        to += len;
        at += len;
        if (at[0] != '\r' || at[1] != '\n')
            return -1;
        at += 2;
        if (len == 0)
            break;
    }
    *out_len = (size_t)(to - begin);
    return at - begin;
}

/* Take the answer at the front. @return its bytes, 0: not whole, -1: none */
static long take_answer(char *at, char *end, answer *out)
{
    char *blank = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
    const char *length;
    long used;

    if (end - at >= 9 && memcmp(at, "HTTP/1.1 ", 9) != 0)
        return -1;
    if (!blank)
        return 0;
    if (memchr(at, '\0', (size_t)(blank - at)))
        return -1;
    *blank = '\0';
    out->head = at;
    out->status = atoi(at + 9);
    out->body = blank + 4;
    out->len = 0;
    used = blank + 4 - at;
    if (out->status < 200 || out->status == 204)
        return used;
    if (field_is(out, "Transfer-Encoding", "chunked")) {
        long n = undo_chunks(out->body, end, &out->len);

        return n > 0 ? used + n : n;
    }
    length = field(out, "Content-Length");
    out->len = length ? strtoul(length, NULL, 10) : (size_t)(end - out->body);
    return out->len > (size_t)(end - out->body) ? 0 : used + (long)out->len;
}

static void complain(tally *t, const char *what, const char *head)
{
    if (!t->complaint[0])
        snprintf(t->complaint, sizeof t->complaint, "exchange %u: %s: '%.700s'",
                 t->exchanges, what, head);
}

/* @param whole  the peer has closed, in order: nothing is cut off */
static void judge_all(tally *t, char *in, size_t len, int whole)
{
    char *at = in, *end = in + len;

    while (at < end) {
        answer a = { 0 };
        long n = take_answer(at, end, &a);

        if (n == 0 && a.head && field_is(&a, "Content-Type", "text/event-stream")) {
            t->statuses[a.status]++;
            return; /* who shuts down its side gets no end of it                */
        }
        if (n < 0 || (n == 0 && whole))
            complain(t, n < 0 ? "not an answer" : "an answer is cut off", at);
        if (n <= 0)
            return;
        if (a.status >= 200) {
            char *body = strndup(a.body, a.len);
            const char *wrong;

            a.body = body;
            wrong = a.status < 600 ? judge(&a) : "no status";
            if (wrong)
                complain(t, wrong, support_text("%.400s | %.200s", a.head, body));
            else
                t->statuses[a.status]++;
            free(body);
        }
        at += n;
    }
}

/* ---- a mutator, in a process of its own -------------------------------------------- */

static int open_socket(int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0)
        _exit(3);
    return fd;
}

/* What has come until now. @return 0: the end, -1: a reset, 1: there may be more */
static int receive(int fd, char *in, size_t *len)
{
    while (*len < RECEIVED) {
        ssize_t n = recv(fd, in + *len, RECEIVED - *len, MSG_DONTWAIT);

        if (n == 0)
            return 0;
        if (n < 0)
            return errno == EAGAIN ? 1 : -1;
        *len += (size_t)n;
    }
    return -1;
}

/* Both ways at once: a server that answers before it has read all is heard. */
static int send_all(int fd, const char *data, size_t n, char *in, size_t *len)
{
    long long end = process_now_ms() + process_scale(ANSWERS_MS);
    int state = 1;

    while (n > 0 && state == 1 && process_now_ms() < end) {
        struct pollfd p = { fd, POLLIN | POLLOUT, 0 };
        ssize_t sent;

        poll(&p, 1, 100);
        state = receive(fd, in, len);
        sent = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            data += sent;
            n -= (size_t)sent;
        }
        else if (sent < 0 && errno != EAGAIN) {
            return -1;
        }
    }
    return state;
}

static void wait_a_little(int fd, int ms)
{
    struct pollfd p = { fd, POLLIN, 0 };

    poll(&p, 1, ms);
}

static void end_with_reset(int fd)
{
    struct linger now = { 1, 0 };

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

/* 1 to 3 texts on one connection, whole or in pieces; then it is shut down and
 * heard to its end, closed, or reset.                                        */
static void exchange(tally *t, int port, unsigned *state, char *out, char *in)
{
    int fd = open_socket(port), open = 1, texts = 1 + (int)mutation_draw(state, 3);
    long long end;
    size_t len = 0;

    while (texts-- && open == 1) {
        size_t n = mutation_write(out, state), first = n;

        if (mutation_draw(state, 4) == 0)
            first = mutation_draw(state, (unsigned)n);
        open = send_all(fd, out, first, in, &len);
        if (open == 1 && first < n) {
            wait_a_little(fd, 1);
            open = send_all(fd, out + first, n - first, in, &len);
        }
        if (open == 1 && texts)
            wait_a_little(fd, (int)mutation_draw(state, 8));
    }
    t->exchanges++;
    switch (mutation_draw(state, 6)) {
    case 0:
        end_with_reset(fd);
        /* fall through */
    case 1:
        judge_all(t, in, len, 0);
        break;
    default:
        shutdown(fd, SHUT_WR);
        end = process_now_ms() + process_scale(ANSWERS_MS);
        while (open == 1 && process_now_ms() < end) {
            wait_a_little(fd, 100);
            open = receive(fd, in, &len);
        }
        t->resets += open < 0;
        if (open == 1)
            complain(t, "a connection that was shut down stays open", out);
        judge_all(t, in, len, open == 0);
    }
    close(fd);
}

static pid_t start_mutator(int port, int number, unsigned seed)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        unsigned state = seed * 2654435761u + (unsigned)number * 40503u + 1;
        char *out = malloc(MUTATION_SIZE), *in = malloc(RECEIVED);
        tally *t = &tallies[number];

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close_range(3, ~0u, 0);
        while (!t->complaint[0])
            exchange(t, port, &state, out, in);
        _exit(1);
    }
    return pid;
}

/* ---- the honest client --------------------------------------------------------- */

typedef struct honest {
    http *publisher;
    http *poller;
    char cursor[128];
    int sent;
    int longest_ms;
} honest;

static int times_in(const char *body, const char *word)
{
    int n = 0;

    while ((body = strstr(body, word)) != NULL) {
        body += strlen(word);
        n++;
    }
    return n;
}

/* Others send to everybody, so that its queue may be full for a while. */
static void publish_honestly(honest *h, const char *data)
{
    int status;

    wait_until((status = http_call(h->publisher, "POST", "/comm/publish/honest/alice",
                                   "backend", "Content-Type: text/plain\r\n", data)
                             ->status,
                status != 503 && status != 507),
               HONEST_MS);
    ck_assert_int_eq(status, 201);
}

static http_answer *poll_honestly(honest *h)
{
    const char *after =
        h->cursor[0] ? support_text("Last-Event-ID: %s\r\n", h->cursor) : "";
    http_answer *a = http_call(h->poller, "POST", "/comm/poll", "alice",
                               support_text("%sPrefer: wait=5\r\n", after), "");

    ck_assert_msg(a->status == 200 || a->status == 204, "poll: %d %s", a->status,
                  a->body);
    if (a->status == 200)
        ck_assert_int_eq(sscanf(a->body, "{\"cursor\":\"%127[0-9a-f.-]\"", h->cursor), 1);
    return a;
}

/* The next message goes there and arrives, and none of those before. */
static void be_honest(honest *h)
{
    const char *data = support_text("honest %d!", h->sent++);
    long long begin = process_now_ms();
    int took, seen = 0;

    publish_honestly(h, data);
    while (!seen) {
        http_answer *a = poll_honestly(h);

        seen = times_in(a->body, data);
        ck_assert_int_le(seen, 1);
        ck_assert_int_eq(times_in(a->body, "\"honest "), seen);
        took = (int)(process_now_ms() - begin);
        ck_assert_msg(took < process_scale(HONEST_MS), "%s: %d ms", data, took);
    }
    process_pause();
    h->longest_ms = took > h->longest_ms ? took : h->longest_ms;
}

/* ---- the test -------------------------------------------------------------------- */

#define CONFIG                                                                           \
    "Timeout 3\nHttpProtocolOptions Require1.0\n"                                        \
    "CommServerMaxTTL 2\nCommServerTTL 2\nCommServerIdempotencyWindow 2\n"               \
    "CommServerMaxWait 5\nCommServerMaxQueue 200\nCommServerMaxMessage 64K\n"            \
    "CommServerMaxQueueBytes 256K\nCommServerClientExpiry 2\n"                           \
    "CommServerDeviceExpiry 2\n"                                                         \
    "<LocationMatch \"^/comm(?!/(publish|poll|status)(/|$))\">\n"                        \
    "    Require all denied\n"                                                           \
    "</LocationMatch>\n"

static unsigned seconds_wanted(void)
{
    const char *given = getenv("COMM_MUTATION_SECONDS");

    return given && atoi(given) > 0 ? (unsigned)atoi(given) : SECONDS;
}

static long status_member(const httpd *server, const char *member)
{
    http_answer *a = http_once(server, "GET", "/comm/status", "admin", NULL, NULL);

    ck_assert_int_eq(a->status, 200);
    return atol(support_json(a->body, member));
}

static void look_at_segment(const httpd *server)
{
    const char *problem = NULL, *path = support_text("%s/run/commserver-httpd/queue",
                                                     httpd_directory(server));
    apr_pool_t *pool;
    csq *q;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    ck_assert_int_eq(csq_attach(path, pool, &q), APR_SUCCESS);
    ck_assert_msg(csq_audit(q, pool, &problem) == APR_SUCCESS, "audit: %s", problem);
    apr_pool_destroy(pool);
    apr_terminate();
}

/* A log of mutations is full of complaints; of these there are none. */
static void look_at_log(const httpd *server)
{
    static const char *const never[] = { "exit signal", "AH00051", "AH00052",
                                         "Sanitizer",   "CS0021",  "CS0023" };
    size_t i;

    for (i = 0; i < sizeof never / sizeof *never; i++)
        ck_assert_msg(httpd_log_count(server, never[i]) == 0, "the log says %s",
                      never[i]);
}

static long memory_of_all(const httpd *server)
{
    pid_t pids[16];
    int n = httpd_children(server, pids, 16);
    long sum = 0;

    while (n-- > 0)
        sum += process_memory(pids[n]);
    return sum;
}

static void mutate(const httpd *server, honest *h, unsigned seed)
{
    long long end = process_now_ms() + seconds_wanted() * 1000LL;
    pid_t pids[MUTATORS];
    int i, status;

    for (i = 0; i < MUTATORS; i++)
        pids[i] = start_mutator(httpd_port(server), i, seed);
    while (process_now_ms() < end) {
        be_honest(h);
        for (i = 0; i < MUTATORS; i++)
            ck_assert_msg(!tallies[i].complaint[0], "COMM_MUTATION_SEED=%u: %s", seed,
                          tallies[i].complaint);
    }
    for (i = 0; i < MUTATORS; i++) {
        ck_assert_msg(!process_ended(pids[i], &status), "a mutator ended: %d", status);
        kill(pids[i], SIGKILL);
        process_wait(pids[i], 5000, "a mutator");
    }
}

/* @return answers of this status */
static unsigned sum_of(int status)
{
    unsigned sum = 0;
    int i;

    for (i = 0; i < MUTATORS; i++)
        sum += tallies[i].statuses[status];
    return sum;
}

static void show(const honest *h)
{
    unsigned exchanges = 0, resets = 0;
    int i;

    for (i = 0; i < MUTATORS; i++) {
        exchanges += tallies[i].exchanges;
        resets += tallies[i].resets;
    }
    printf("%u exchanges, %u reset by the server; answers:", exchanges, resets);
    for (i = 0; i < 600; i++)
        if (sum_of(i))
            printf(" %u of %d", sum_of(i), i);
    printf("\nhonest: %d messages, the longest took %d ms\n", h->sent, h->longest_ms);
}

START_TEST(requests_that_are_nearly_right_harm_nobody)
{
    httpd *server = httpd_start(&(httpd_options){
        .children = 2, .threads = 8, .log_level = "warn", .config = CONFIG });
    honest h = { .publisher = parking_adopt(server), .poller = parking_adopt(server) };
    unsigned seed = support_seed("COMM_MUTATION_SEED");
    pid_t before[16], after[16];
    int children = httpd_children(server, before, 16);
    long memory, used;

    tallies = mmap(NULL, MUTATORS * sizeof *tallies, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(tallies, MAP_FAILED);
    be_honest(&h);
    memory = memory_of_all(server);
    used = status_member(server, "segment.used");
    mutate(server, &h, seed);
    show(&h);
    ck_assert_uint_gt(sum_of(200), 0);
    ck_assert_uint_gt(sum_of(201), 0);
    ck_assert_uint_gt(sum_of(204), 0);
    ck_assert_uint_gt(sum_of(400), 0);
    http_close(h.publisher);
    http_close(h.poller);
    parking_await(server, 0);
    wait_until(status_member(server, "queued") == 0, EMPTY_MS);
    ck_assert_int_eq(status_member(server, "bytes"), 0);
    printf("segment: %ld bytes before, %ld after; memory: %ld KB before, %ld after\n",
           used, status_member(server, "segment.used"), memory / 1024,
           memory_of_all(server) / 1024);
    if (!support_sanitized())
        ck_assert_int_lt(memory_of_all(server) - memory, GROWTH_KB * 1024L);
    look_at_segment(server);
    look_at_log(server);
    ck_assert_int_eq(httpd_children(server, after, 16), children);
    ck_assert_mem_eq(before, after, sizeof *before * (size_t)children);
    munmap(tallies, MUTATORS * sizeof *tallies);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mutations");
    TCase *tc = tcase_create("mutations");

    support_need_httpd();
    setvbuf(stdout, NULL, _IOLBF, 0);
    tcase_set_timeout(tc, seconds_wanted() + 200);
    tcase_add_test(tc, requests_that_are_nearly_right_harm_nobody);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}
