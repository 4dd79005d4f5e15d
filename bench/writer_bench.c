/* SPDX-License-Identifier: Apache-2.0
 * writer_bench.c - what publishing through the writer costs.
 *
 *   writer_bench [-s segment] [-n messages] [-c clients] [-b bytes]
 *                [-S 127.0.0.1:PORT -p PID] [-w window]
 *
 * Messages go to the clients w0, w1, ... in turn, and stay in their queues. With
 * -S they go to s0, s1, ..., for whom another process holds event streams and
 * counts what comes (the server names clients by X-Client, as
 * conf/commserver.conf.in): at most `window` messages are on their way then, and
 * the processor time of the server PID is added. One line of results; status 1 if
 * something was not delivered.
 */
#include "commserver_writer.h"
#include "pushbench/pushbench.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define READY_S    20
#define DELIVER_S  30
#define EVENT_MARK "\nid: " /* begins the last line of each event              */

int root_pids[ROOTS_MAX], n_root;

typedef struct progress { /* shared with the reader                            */
    uint64_t delivered;
    uint32_t ready; /* streams that have begun                                 */
} progress;

static const char *segment, *stream_server;
static int message_count = 1000000, client_total = 1000, bytes = 200, window = 1024;
static progress *shared;

/* ---- the reader ---------------------------------------------------------- */

typedef struct reader {
    int fd;
    int matched; /* bytes of EVENT_MARK that were seen last                          */
    int begun;
} reader;

static int connect_to(const char *server)
{
    struct sockaddr_in to = { .sin_family = AF_INET };
    const char *colon = strchr(server, ':');
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((uint16_t)atoi(colon ? colon + 1 : server));
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to))
        die("connect: %s", strerror(errno));
    return fd;
}

static void open_stream(reader *r, int number)
{
    char text[256];
    int len = snprintf(text, sizeof text,
                       "GET /comm/poll HTTP/1.1\r\nHost: localhost\r\nX-Client: s%d\r\n"
                       "Accept: text/event-stream\r\n\r\n",
                       number);

    r->fd = connect_to(stream_server);
    if (write(r->fd, text, (size_t)len) != len)
        die("a stream could not be asked for");
}

static void read_events(reader *r)
{
    char input[65536];
    ssize_t n = read(r->fd, input, sizeof input), i;
    uint64_t events = 0;

    if (n <= 0)
        die("a stream has ended");
    for (i = 0; i < n; i++) {
        r->matched =
            input[i] == EVENT_MARK[r->matched] ? r->matched + 1 : input[i] == '\n';
        if (r->matched == (int)sizeof EVENT_MARK - 1) {
            events++;
            r->matched = 0;
        }
    }
    if (!r->begun) {
        r->begun = 1;
        __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
    }
    __atomic_add_fetch(&shared->delivered, events, __ATOMIC_SEQ_CST);
}

static void read_streams(void)
{
    reader *readers = calloc((size_t)client_total, sizeof *readers);
    int epoll = epoll_create1(EPOLL_CLOEXEC), i, n;
    struct epoll_event events[256];

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (i = 0; i < client_total; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &readers[i] };

        open_stream(&readers[i], i);
        epoll_ctl(epoll, EPOLL_CTL_ADD, readers[i].fd, &event);
    }
    for (;;) {
        n = epoll_wait(epoll, events, 256, -1);
        for (i = 0; i < n; i++)
            read_events(events[i].data.ptr);
    }
}

static pid_t start_reader(void)
{
    uint64_t end = now_ns() + READY_S * UINT64_C(1000000000);
    pid_t pid = fork();

    if (pid == 0)
        read_streams();
    while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < (uint32_t)client_total) {
        if (now_ns() > end)
            die("the streams do not begin");
        usleep(1000);
    }
    return pid;
}

/* ---- the writer ---------------------------------------------------------- */

static uint64_t delivered(void)
{
    return __atomic_load_n(&shared->delivered, __ATOMIC_SEQ_CST);
}

static void await_window(uint64_t sent)
{
    uint64_t end = now_ns() + DELIVER_S * UINT64_C(1000000000);

    while (sent - delivered() >= (uint64_t)window) {
        if (now_ns() > end)
            die("nothing is delivered any more");
        usleep(50);
    }
}

static void publish_all(commserver_writer *writer)
{
    commserver_writer_message message = COMMSERVER_WRITER_MESSAGE_INIT;
    char *data = malloc((size_t)bytes + 1);
    char(*names)[16] = calloc((size_t)client_total, sizeof *names);
    const char *to;
    int i, status;

    memset(data, 'x', (size_t)bytes);
    message.app = "bench";
    message.type = "text/plain";
    message.to = &to;
    message.to_count = 1;
    message.data = data;
    message.length = (size_t)bytes;
    message.sender = "bench";
    for (i = 0; i < client_total; i++)
        snprintf(names[i], sizeof names[i], "%c%d", stream_server ? 's' : 'w', i);
    for (i = 0; i < message_count; i++) {
        if (stream_server)
            await_window((uint64_t)i);
        to = names[i % client_total];
        status = commserver_writer_publish(writer, &message, NULL, NULL);
        if (status != COMMSERVER_WRITER_OK)
            die("message %d: %s", i, commserver_writer_text(status));
    }
    free(names);
    free(data);
}

static void measure(commserver_writer *writer)
{
    double server = n_root ? tree_cpu() : 0, own = self_cpu();
    uint64_t began = now_ns();
    double elapsed;

    publish_all(writer);
    if (stream_server) {
        window = 1;
        await_window((uint64_t)message_count);
    }
    elapsed = (double)(now_ns() - began) / 1e9;
    printf("RESULT mode=writer label=%s messages=%d clients=%d size=%d msg_s=%.0f "
           "writer_cpu_s_per_1m=%.2f",
           stream_server ? "stream" : "queue", message_count, client_total, bytes,
           message_count / elapsed, (self_cpu() - own) * 1e6 / message_count);
    if (n_root)
        printf(" srv_cpu_s_per_1m=%.2f", (tree_cpu() - server) * 1e6 / message_count);
    printf("\n");
}

static void read_options(int argc, char **argv)
{
    int option;

    while ((option = getopt(argc, argv, "s:n:c:b:S:p:w:")) != -1)
        switch (option) {
        case 's':
            segment = optarg;
            break;
        case 'n':
            message_count = atoi(optarg);
            break;
        case 'c':
            client_total = atoi(optarg);
            break;
        case 'b':
            bytes = atoi(optarg);
            break;
        case 'S':
            stream_server = optarg;
            break;
        case 'p':
            root_pids[n_root++] = atoi(optarg);
            break;
        case 'w':
            window = atoi(optarg);
            break;
        default:
            exit(64);
        }
    if (message_count < 1 || client_total < 1 || bytes < 1 || window < 1)
        die("numbers are 1 or more");
}

int main(int argc, char **argv)
{
    commserver_writer *writer;
    pid_t pid = 0;
    int status;

    read_options(argc, argv);
    account_start();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    status = commserver_writer_open(segment, NULL, &writer);
    if (status != COMMSERVER_WRITER_OK)
        die("%s", commserver_writer_text(status));
    if (stream_server)
        pid = start_reader();
    measure(writer);
    if (pid > 0)
        kill(pid, SIGKILL);
    commserver_writer_close(writer);
    return 0;
}
