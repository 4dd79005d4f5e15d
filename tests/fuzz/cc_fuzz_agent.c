/* SPDX-License-Identifier: Apache-2.0
 * cc_fuzz_agent.c - an agent without a network.
 */
#include "cc_compat.h"
#include "cc_fuzz_agent.h"
#include "cc_dispatch_private.h"
#include "cc_json.h"
#include "cc_peer.h"
#include "cc_time.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#define KNOWN_MAX 512 /* ids that are remembered as acknowledged              */
#define TURNS     6   /* of the event loop until it is at rest                */
#define READ_STEP 65536

typedef struct peer {
    cc_peer *peer;  /* NULL: the agent has ended it                           */
    int descriptor; /* of the application; -1: none                          */
    int is_hung_up;
    cc_buffer in;
} peer;

/* An id, and in which turn it was acknowledged. */
typedef struct known {
    char id[CC_ID_MAX + 1];
    unsigned long turn;
} known;

cc_fuzz_agent cc_fuzz_agent_now;
int cc_fuzz_agent_is_lenient;
static peer peers[CC_FUZZ_PEERS];
static known acknowledged[KNOWN_MAX];
static size_t acknowledged_count;
static unsigned long turn = 1;
static int64_t slept;
static cc_buffer told;

/* ---- the clock (the linker puts this in its place) ------------------------ */

int64_t __real_cc_time_now(void);
int64_t __wrap_cc_time_now(void);

int64_t __wrap_cc_time_now(void)
{
    return __real_cc_time_now() + slept;
}

/* ---- what the agent says -------------------------------------------------- */

static const known *find_acknowledged(cc_slice id)
{
    size_t i;

    for (i = 0; i < acknowledged_count; i++) {
        if (cc_slice_is(id, acknowledged[i].id))
            return &acknowledged[i];
    }
    return NULL;
}

static void note_acknowledged(cc_slice id)
{
    known *one;

    CC_FUZZ_CHECK(id.len <= CC_ID_MAX, "an id that is too long was acknowledged");
    if (acknowledged_count == KNOWN_MAX || find_acknowledged(id) != NULL)
        return;
    one = &acknowledged[acknowledged_count++];
    memcpy(one->id, id.data, id.len);
    one->id[id.len] = '\0';
    one->turn = turn;
}

void cc_fuzz_agent_forget_acknowledged(void)
{
    acknowledged_count = 0;
}

/* A message or a gap. Lines to several applications may overtake each other
 * within a turn. */
static void check_given(cc_json *json)
{
    cc_slice name, id = { "", 0 };
    const known *one;
    int first = 1;

    CC_FUZZ_CHECK(cc_json_enter(json, '{') == CC_OK, "given what is no object");
    while (cc_json_next_member(json, &first, &name)) {
        if (cc_slice_is(name, "id") && cc_json_peek(json) == '"')
            cc_json_string(json, &id);
        else
            cc_json_skip(json, NULL, NULL);
    }
    one = find_acknowledged(id);
    CC_FUZZ_CHECK(one == NULL || one->turn >= turn || cc_fuzz_agent_is_lenient,
                  "given after it was acknowledged");
}

static int is_answer(cc_slice name)
{
    static const char *const names[] = { "hello",     "subscribed", "nacked",
                                         "rejected",  "dead",       "spooled",
                                         "published", "status",     "error" };
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (cc_slice_is(name, names[i]))
            return 1;
    }
    return 0;
}

static void check_line(const char *data, size_t len)
{
    cc_slice name, id;
    cc_json json;
    int first = 1;

    CC_FUZZ_CHECK(len <= cc_dispatch_max_line(cc_fuzz_agent_now.dispatch),
                  "a line is longer than max_line");
    cc_json_init(&json, data, len);
    CC_FUZZ_CHECK(cc_json_enter(&json, '{') == CC_OK
                      && cc_json_next_member(&json, &first, &name),
                  "a line is no object with a member");
    if (cc_slice_is(name, "message") || cc_slice_is(name, "gap")) {
        check_given(&json);
    }
    else if (cc_slice_is(name, "acked")) {
        CC_FUZZ_CHECK(cc_json_string(&json, &id) == CC_OK, "acked is no string");
        note_acknowledged(id);
    }
    else {
        CC_FUZZ_CHECK(is_answer(name), "an answer that is not known");
        cc_json_skip(&json, NULL, NULL);
    }
    CC_FUZZ_CHECK(!cc_json_next_member(&json, &first, &name)
                      && cc_json_finish(&json) == CC_OK,
                  cc_copy_bytes(data, len));
}

static void check_lines(peer *p)
{
    size_t start = 0;
    const char *end;

    while (p->in.len > start
           && (end = memchr(p->in.data + start, '\n', p->in.len - start)) != NULL) {
        check_line(p->in.data + start, (size_t)(end - p->in.data) - start);
        start = (size_t)(end - p->in.data) + 1;
    }
    if (p == &peers[0])
        cc_buffer_add(&told, p->in.data, start);
    if (start > 0)
        memmove(p->in.data, p->in.data + start, p->in.len - start);
    p->in.len -= start;
}

static int read_lines(peer *p)
{
    static char step[READ_STEP];
    ssize_t n;

    if (p->descriptor < 0)
        return 0;
    n = recv(p->descriptor, step, sizeof(step), MSG_DONTWAIT);
    if (n <= 0)
        return 0;
    cc_buffer_add(&p->in, step, (size_t)n);
    check_lines(p);
    return 1;
}

/* ---- connections ---------------------------------------------------------- */

static void write_status(void *ignored, cc_buffer *out)
{
    (void)ignored;
    cc_buffer_add_text(out, "{}");
}

static void ignore_refused(void *ignored, const char *what)
{
    (void)ignored;
    CC_FUZZ_CHECK(what[0] != '\0', "nothing was refused");
}

static int may_keep(void *ignored)
{
    (void)ignored;
    return 1;
}

static void on_ended(void *ignored, cc_peer *ended)
{
    size_t i;

    (void)ignored;
    for (i = 0; i < CC_FUZZ_PEERS; i++) {
        if (peers[i].peer == ended)
            peers[i].peer = NULL;
    }
}

static const cc_peer_calls calls = { write_status, ignore_refused, may_keep, on_ended };

static void disconnect(peer *p)
{
    if (p->descriptor >= 0)
        close(p->descriptor);
    p->descriptor = -1;
    p->is_hung_up = 0;
    cc_buffer_clear(&p->in);
}

static void connect_peer(peer *p)
{
    int pair[2];

    disconnect(p);
    CC_FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)
                      == 0,
                  "no socket pair");
    p->descriptor = pair[0];
    p->peer = cc_peer_create(pair[1], geteuid(), cc_fuzz_agent_now.base,
                             cc_fuzz_agent_now.dispatch, cc_fuzz_agent_now.outbox, &calls,
                             NULL);
}

void cc_fuzz_agent_turn(void)
{
    int i, moved = 1;
    size_t k;

    for (i = 0; i < TURNS && moved; i++) {
        event_base_loop(cc_fuzz_agent_now.base, EVLOOP_NONBLOCK);
        moved = i == 0;
        for (k = 0; k < CC_FUZZ_PEERS; k++) {
            while (read_lines(&peers[k]))
                moved = 1;
        }
    }
    turn++;
}

void cc_fuzz_agent_say(unsigned number, const char *data, size_t len)
{
    peer *p = &peers[number % CC_FUZZ_PEERS];
    ssize_t n;

    if (p->peer == NULL)
        connect_peer(p);
    while (len > 0 && p->peer != NULL && !p->is_hung_up) {
        n = send(p->descriptor, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        cc_fuzz_agent_turn();
        if (n <= 0)
            return;
        data += n;
        len -= (size_t)n;
    }
}

void cc_fuzz_agent_hang_up(unsigned number)
{
    peer *p = &peers[number % CC_FUZZ_PEERS];

    if (p->descriptor >= 0)
        shutdown(p->descriptor, SHUT_WR);
    p->is_hung_up = 1;
    cc_fuzz_agent_turn();
}

/* ---- servers -------------------------------------------------------------- */

void cc_fuzz_agent_receive(const char *data, size_t len)
{
    static cc_batch batch;
    cc_intake intake;

    if (cc_batch_parse(&batch, data, len) == CC_OK)
        cc_dispatch_take(cc_fuzz_agent_now.dispatch, "main", &batch, 0, cc_time_now(),
                         &intake);
    cc_fuzz_agent_turn();
}

static void check_spooled(void *ignored, const cc_spooled *message)
{
    (void)ignored;
    CC_FUZZ_CHECK(strlen(message->key) == CC_KEY_MAX && message->ttl >= -1
                      && strpbrk(message->place, " \r\n#") == NULL
                      && strpbrk(message->type, "\r\n") == NULL
                      && strpbrk(message->topic, " \r\n") == NULL
                      && strpbrk(message->urgency, " \r\n") == NULL,
                  "a message in the spool cannot be sent");
}

void cc_fuzz_agent_publish(unsigned answer)
{
    cc_outbox *outbox = cc_fuzz_agent_now.outbox;
    int64_t wait;
    cc_lane *lane = cc_outbox_next(outbox, "main", cc_time_monotonic(), &wait);
    cc_status status;

    if (lane == NULL)
        return;
    status = cc_outbox_read(outbox, lane, check_spooled, NULL);
    if (status == CC_EMPTY || status == CC_MALFORMED)
        cc_outbox_refused(outbox, lane, CC_ERROR_STORAGE, "");
    else if (status != CC_OK || answer == 2)
        cc_outbox_keep(outbox, lane);
    else if (answer == 1)
        cc_outbox_refused(outbox, lane, CC_ERROR_REFUSED, "403 policy: \"no\"");
    else
        cc_outbox_published(outbox, lane, "AAAAAAAAAAAAAAAAAAAAAA", "queued");
    cc_outbox_commit(outbox);
    cc_fuzz_agent_turn();
}

void cc_fuzz_agent_sleep(int64_t ms)
{
    int64_t dropped;

    slept += ms;
    cc_fuzz_agent_forget_acknowledged();
    cc_queue_wake(cc_fuzz_agent_now.dispatch);
    cc_dispatch_note(cc_fuzz_agent_now.dispatch,
                     cc_inbox_expire(cc_fuzz_agent_now.inbox, cc_time_now(), &dropped));
    cc_fuzz_agent_turn();
}

const char *cc_fuzz_agent_told(void)
{
    return told.data != NULL ? told.data : "";
}

/* ---- life ----------------------------------------------------------------- */

static cc_config *read_config(void)
{
    static const char text[] =
        "[agent]\nmax_message = 1M\ninbox_max = 3M\nspool_max = 1M\n"
        "[server main]\nurl = http://x/\npublish = http://x/p\n"
        "[server other]\nurl = http://y/\n"
        "[app orders]\nservers = main other\n"
        "[app narrow]\nservers = main\nwindow = 2\nquota = 1M\n"
        "[app news]\nservers = main\n"
        "[app foreign]\nservers = other\n";
    const char *file = cc_fuzz_write("agent.conf", text, strlen(text));
    cc_config *config = NULL;
    char *error = NULL;

    setenv("XDG_RUNTIME_DIR", cc_fuzz_directory(), 1);
    CC_FUZZ_CHECK(cc_config_read(file, &config, &error) == CC_OK, error);
    return config;
}

cc_status cc_fuzz_agent_start(const char *path)
{
    static cc_config *config;
    cc_fuzz_agent *a = &cc_fuzz_agent_now;
    char *error = NULL;
    cc_status status;
    size_t i;

    if (config == NULL)
        config = read_config();
    memset(a, 0, sizeof(*a));
    for (i = 0; i < CC_FUZZ_PEERS; i++)
        peers[i].descriptor = -1;
    status = cc_inbox_open(path, cc_time_now(), &a->inbox, &error);
    CC_FUZZ_CHECK((status == CC_OK) == (error == NULL),
                  "an error without a text, or reverse");
    free(error);
    if (status != CC_OK)
        return status;
    a->config = config;
    a->base = event_base_new();
    a->dispatch = cc_dispatch_create(config, a->inbox, a->base);
    status = cc_outbox_create(config, a->inbox, a->dispatch, a->base, &a->outbox);
    if (status != CC_OK)
        cc_fuzz_agent_stop();
    return status;
}

/* Nobody is there any more, so nothing is held for anybody. */
static void check_nothing_left(void)
{
    const cc_dispatch *d = cc_fuzz_agent_now.dispatch;
    size_t i;

    CC_FUZZ_CHECK(d->message_count == 0, "messages are held for nobody");
    for (i = 0; i < CC_APP_BUCKETS; i++)
        CC_FUZZ_CHECK(d->apps[i] == NULL, "an application is held without clients");
}

void cc_fuzz_agent_stop(void)
{
    cc_fuzz_agent *a = &cc_fuzz_agent_now;
    size_t i;

    for (i = 0; i < CC_FUZZ_PEERS; i++) {
        if (peers[i].peer != NULL)
            cc_peer_destroy(peers[i].peer);
        peers[i].peer = NULL;
        while (a->dispatch != NULL && read_lines(&peers[i]))
            ;
        disconnect(&peers[i]);
    }
    if (a->dispatch != NULL) {
        check_nothing_left();
        event_base_loop(a->base, EVLOOP_NONBLOCK);
    }
    cc_outbox_destroy(a->outbox);
    cc_dispatch_destroy(a->dispatch);
    cc_inbox_close(a->inbox);
    if (a->base != NULL)
        event_base_free(a->base);
    memset(a, 0, sizeof(*a));
    turn++;
    cc_buffer_clear(&told);
}
