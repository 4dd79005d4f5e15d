/* SPDX-License-Identifier: Apache-2.0
 * main.c - the command line of pushbench; see bench/README.md.
 */
#include "pushbench.h"

int driver = DRIVER_POLL, mode, cursor_kind = CURSOR_NONE, keepalive = 1;
int idle_after_response;
char cursor_name[64], cursor0[128];
struct sockaddr_in poll_address, publish_address;
char poll_host[64], publish_host[64];
template poll_url, poll_body, publish_url, publish_body, mqtt_topic, redis_key;
template poll_headers[HEADERS_MAX], publish_headers[HEADERS_MAX];
int n_poll_headers, n_publish_headers, has_poll_body;
const char *poll_method = "GET", *publish_method = "POST";
int ok_publish[STATUSES_MAX] = { 200, 201, 202, 204 }, n_ok_publish = 4;
int ok_poll[STATUSES_MAX] = { 200 }, n_ok_poll = 1;
int ok_empty[STATUSES_MAX] = { 204, 304, 408 }, n_ok_empty = 3;
int client_count = 100, publisher_count = 4, depth = 1, window_size, rounds = 20;
int messages = 10000;
double rate = 1000, duration = 5, warmup = 1, hold = 3, drain_time = 5, stall_ms = 500;
int size = 200, redis_maxlen, redis_count = 100, connecting_max = 128;
char prefix[64], fanout_channel[64];
const char *label = "-";
uint32_t run_id;
uint32_t source_first;
int source_count;
int root_pids[ROOTS_MAX], n_root;
int helper_count = 1;

static void usage(void) __attribute__((noreturn));

static void usage(void)
{
    fputs(
        "usage: pushbench idle|latency|throughput|stream|fanout|drain [options]\n"
        "       pushbench exec --pid PID[,PID] -- COMMAND...   (server CPU meanwhile)\n"
        " --driver poll|sse|mqtt|redis   how clients receive (stream: as sse)\n"
        " --sub H:P --pub H:P            server, for clients / for publishers (as "
        "--sub)\n"
        " --pid PID[,PID]                server processes; their trees are accounted\n"
        " --poll-url T --poll-method M --poll-header 'K: T' --poll-body T\n"
        " --pub-url T --pub-method M --pub-header 'K: T' --pub-body T\n"
        "     T may hold {client} {index} {cursor} {lm} {etag} {payload} {ts} {seq}\n"
        "     {prevseq}; a header whose cursor word is still empty is left out\n"
        " --cursor none|lmetag|header:NAME|body:TEXT-BEFORE|sse-id   --cursor0 TEXT\n"
        " --pub-ok 200,201,202,204 --poll-ok 200 --empty 204,304,408 --no-keepalive\n"
        " -n N clients  -p P publishers  -s payload bytes  -d seconds  -r messages/s\n"
        " -W window (undelivered messages, default N)  --depth outstanding a publisher\n"
        " --warmup S --hold S --drain S --stall-ms MS --messages M --rounds R\n"
        " --src 127.0.0.2/COUNT  source addresses (default: enough for N)\n"
        " --inflight N connects under way  --idle-after-response\n"
        " --client-prefix S --fanout-channel S --label S --seed N\n"
        " --mqtt-topic T --redis-key T --redis-maxlen N --redis-count N\n",
        stderr);
    exit(2);
}

/* ---- values of options --------------------------------------------------- */

static int split_numbers(const char *text, int *out_numbers, int max)
{
    int n = 0;

    while (*text && n < max) {
        out_numbers[n++] = atoi(text);
        text += strcspn(text, ",");
        text += *text == ',';
    }
    return n;
}

static void set_address(const char *text, struct sockaddr_in *address, char *host,
                        size_t host_size)
{
    char numeric[64];
    const char *colon = strrchr(text, ':');

    if (!colon || colon - text > 60)
        die("want HOST:PORT, got %s", text);
    snprintf(numeric, sizeof numeric, "%.*s", (int)(colon - text), text);
    address->sin_family = AF_INET;
    address->sin_port = htons(atoi(colon + 1));
    if (inet_pton(AF_INET, numeric, &address->sin_addr) != 1)
        die("want a numeric IPv4 address, got %s", numeric);
    snprintf(host, host_size, "%s", text);
}

static void set_sub(const char *text)
{
    set_address(text, &poll_address, poll_host, sizeof poll_host);
}

static void set_pub(const char *text)
{
    set_address(text, &publish_address, publish_host, sizeof publish_host);
}

static void set_driver(const char *text)
{
    static const char *const names[] = { "poll", "sse", "mqtt", "redis" };

    for (driver = 0; driver < 4; driver++)
        if (!strcmp(text, names[driver]))
            return;
    usage();
}

static void set_cursor(const char *text)
{
    if (!strcmp(text, "none"))
        cursor_kind = CURSOR_NONE;
    else if (!strcmp(text, "lmetag"))
        cursor_kind = CURSOR_LMETAG;
    else if (!strcmp(text, "sse-id"))
        cursor_kind = CURSOR_SSE_ID;
    else if (!strncmp(text, "header:", 7))
        cursor_kind = CURSOR_HEADER;
    else if (!strncmp(text, "body:", 5))
        cursor_kind = CURSOR_BODY;
    else
        usage();
    if (strchr(text, ':'))
        snprintf(cursor_name, sizeof cursor_name, "%s", strchr(text, ':') + 1);
}

static void add_poll_header(const char *text)
{
    if (n_poll_headers == HEADERS_MAX)
        usage();
    poll_headers[n_poll_headers++] = template_parse(text);
}

static void add_publish_header(const char *text)
{
    if (n_publish_headers == HEADERS_MAX)
        usage();
    publish_headers[n_publish_headers++] = template_parse(text);
}

static void set_poll_body(const char *text)
{
    poll_body = template_parse(text);
    has_poll_body = 1;
}

static void set_source(const char *text)
{
    char address[64];
    char *slash;
    struct in_addr first;

    snprintf(address, sizeof address, "%s", text);
    slash = strchr(address, '/');
    source_count = slash ? atoi(slash + 1) : 1;
    if (slash)
        *slash = '\0';
    if (inet_pton(AF_INET, address, &first) != 1)
        usage();
    source_first = ntohl(first.s_addr);
}

static void set_pids(const char *text)
{
    n_root = split_numbers(text, root_pids, ROOTS_MAX);
}

static void set_ok_publish(const char *text)
{
    n_ok_publish = split_numbers(text, ok_publish, STATUSES_MAX);
}

static void set_ok_poll(const char *text)
{
    n_ok_poll = split_numbers(text, ok_poll, STATUSES_MAX);
}

static void set_ok_empty(const char *text)
{
    n_ok_empty = split_numbers(text, ok_empty, STATUSES_MAX);
}

static void set_prefix(const char *text)
{
    snprintf(prefix, sizeof prefix, "%s", text);
}

static void set_fanout_channel(const char *text)
{
    snprintf(fanout_channel, sizeof fanout_channel, "%s", text);
}

static void set_cursor0(const char *text)
{
    snprintf(cursor0, sizeof cursor0, "%s", text);
}

static void set_seed(const char *text)
{
    random_seed(strtoull(text, NULL, 10) * 2654435761u + 1);
}

/* ---- the options --------------------------------------------------------- */

/* Exactly one of the places is set; a flag has a number and sets it to `flag`. */
typedef struct option_row {
    const char *name;
    int *number;
    double *fraction;
    const char **text;
    template *words;
    void (*set)(const char *text);
    int is_flag;
    int flag;
} option_row;

static const option_row rows[] = {
    { "clients", .number = &client_count },
    { "publishers", .number = &publisher_count },
    { "size", .number = &size },
    { "duration", .fraction = &duration },
    { "rate", .fraction = &rate },
    { "window", .number = &window_size },
    { "driver", .set = set_driver },
    { "sub", .set = set_sub },
    { "pub", .set = set_pub },
    { "pid", .set = set_pids },
    { "poll-url", .words = &poll_url },
    { "poll-method", .text = &poll_method },
    { "poll-header", .set = add_poll_header },
    { "poll-body", .set = set_poll_body },
    { "pub-url", .words = &publish_url },
    { "pub-method", .text = &publish_method },
    { "pub-header", .set = add_publish_header },
    { "pub-body", .words = &publish_body },
    { "cursor", .set = set_cursor },
    { "cursor0", .set = set_cursor0 },
    { "pub-ok", .set = set_ok_publish },
    { "poll-ok", .set = set_ok_poll },
    { "empty", .set = set_ok_empty },
    { "no-keepalive", .number = &keepalive, .is_flag = 1, .flag = 0 },
    { "depth", .number = &depth },
    { "warmup", .fraction = &warmup },
    { "hold", .fraction = &hold },
    { "drain", .fraction = &drain_time },
    { "stall-ms", .fraction = &stall_ms },
    { "messages", .number = &messages },
    { "rounds", .number = &rounds },
    { "src", .set = set_source },
    { "inflight", .number = &connecting_max },
    { "idle-after-response", .number = &idle_after_response, .is_flag = 1, .flag = 1 },
    { "client-prefix", .set = set_prefix },
    { "fanout-channel", .set = set_fanout_channel },
    { "label", .text = &label },
    { "seed", .set = set_seed },
    { "mqtt-topic", .words = &mqtt_topic },
    { "redis-key", .words = &redis_key },
    { "redis-maxlen", .number = &redis_maxlen },
    { "redis-count", .number = &redis_count },
};

#define ROWS       ((int)(sizeof rows / sizeof *rows))
#define FIRST_LONG 256

static void apply(const option_row *row, const char *text)
{
    if (row->is_flag)
        *row->number = row->flag;
    else if (row->number)
        *row->number = atoi(text);
    else if (row->fraction)
        *row->fraction = atof(text);
    else if (row->text)
        *row->text = text;
    else if (row->words)
        *row->words = template_parse(text);
    else
        row->set(text);
}

/* The letters stand for the first rows. */
static void parse_options(int argc, char **argv)
{
    static const char letters[] = "npsdrW";
    struct option options[ROWS + 1];
    int i, found;

    memset(options, 0, sizeof options);
    for (i = 0; i < ROWS; i++) {
        options[i].name = rows[i].name;
        options[i].has_arg = rows[i].is_flag ? no_argument : required_argument;
        options[i].val = FIRST_LONG + i;
    }
    while ((found = getopt_long(argc, argv, "n:p:s:d:r:W:", options, NULL)) != -1) {
        const char *letter = found < FIRST_LONG ? strchr(letters, found) : NULL;

        if (found < FIRST_LONG && !letter)
            usage();
        apply(&rows[letter ? letter - letters : found - FIRST_LONG], optarg);
    }
}

/* ---- a run --------------------------------------------------------------- */

static void check_options(void)
{
    if (!poll_address.sin_port)
        usage();
    if (!publish_address.sin_port) {
        publish_address = poll_address;
        snprintf(publish_host, sizeof publish_host, "%s", poll_host);
    }
    if (size < HDRLEN + 1)
        die("payload size must be at least %d", HDRLEN + 1);
    if (client_count < 1 || publisher_count < 1 || depth < 1)
        usage();
    if ((driver == DRIVER_POLL || driver == DRIVER_SSE) && depth > 1)
        die("HTTP publishers do not pipeline: use more publishers (-p)");
    if (publisher_count > client_count)
        publisher_count = client_count;
    if (!prefix[0])
        snprintf(prefix, sizeof prefix, "r%08x-", run_id);
}

/* Few clients an address, because the search for a free port gets slow; more
 * clients than open files need helpers, which only the mode idle has. */
static void fit_to_machine(int is_idle)
{
    struct rlimit limit = { 1000000, 1000000 };
    rlim_t need = client_count + publisher_count + 64;

    if (!source_count && client_count > 4000) {
        source_first = ntohl(inet_addr("127.0.0.2"));
        source_count = client_count / 4000 + 1;
    }
    if (setrlimit(RLIMIT_NOFILE, &limit)) {
        getrlimit(RLIMIT_NOFILE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= need)
        return;
    if (!is_idle)
        die("open-file limit %lu is too low for %d clients",
            (unsigned long)limit.rlim_cur, client_count);
    helper_count = client_count / ((long)limit.rlim_cur - 128) + 1;
}

static void prepare(void)
{
    int i;

    payload = xrealloc(NULL, size + 1);
    memset(payload, 'x', size);
    payload[HDRLEN - 1] = '.';
    payload[size - 1] = '~';
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    pollers = calloc(client_count, sizeof *pollers);
    publishers = calloc(publisher_count, sizeof *publishers);
    clients = calloc(client_count, sizeof *clients);
    for (i = 0; i < client_count; i++) {
        pollers[i].id = i;
        pollers[i].fd = -1;
        set_text(pollers[i].cursor, sizeof pollers[i].cursor, cursor0, strlen(cursor0));
    }
    for (i = 0; i < publisher_count; i++) {
        publishers[i].id = i;
        publishers[i].fd = -1;
        publishers[i].pub = 1;
        publishers[i].ring = calloc(depth, sizeof(pending_publish));
    }
}

static void run(const char *name)
{
    static const struct {
        const char *name;
        int mode;
        void (*run)(void);
    } modes[] = {
        { "idle", MODE_IDLE, mode_idle },
        { "latency", MODE_LATENCY, mode_latency },
        { "throughput", MODE_THROUGHPUT, mode_throughput },
        { "stream", MODE_THROUGHPUT, mode_throughput },
        { "fanout", MODE_FANOUT, mode_fanout },
        { "drain", MODE_DRAIN, mode_drain },
    };
    unsigned i;

    for (i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(name, modes[i].name))
            break;
    if (i == sizeof modes / sizeof *modes)
        usage();
    mode = modes[i].mode;
    hold_mode = mode == MODE_IDLE;
    if (!strcmp(name, "stream") && driver == DRIVER_POLL)
        driver = DRIVER_SSE;
    if (mode == MODE_FANOUT)
        publisher_count = 1;
    modes[i].run();
}

int main(int argc, char **argv)
{
    if (argc < 2)
        usage();
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    signal(SIGPIPE, SIG_IGN);
    account_start();
    run_id = (uint32_t)(now_ns() / 1000) ^ ((uint32_t)getpid() << 20);
    random_seed(run_id);
    poll_url = publish_url = template_parse("/");
    publish_body = template_parse("{payload}");
    mqtt_topic = template_parse("pb/{client}");
    redis_key = template_parse("pb:{client}");
    optind = 2;
    parse_options(argc, argv);
    if (!strcmp(argv[1], "exec")) {
        if (optind >= argc)
            usage();
        return mode_exec(argv + optind);
    }
    check_options();
    fit_to_machine(!strcmp(argv[1], "idle"));
    prepare();
    run(argv[1]);
    return 0;
}
