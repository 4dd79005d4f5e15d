/* SPDX-License-Identifier: Apache-2.0
 * check_csq_model.c - processes publish, read, withdraw, repeat and expire at
 * random while one after the other is killed; a board that outlives them says
 * what must be there: each message that was accepted reaches each of its
 * devices once, or a gap says that it did not; what was refused reaches nobody;
 * what was cut short reached all or none; who waits is rung.
 *
 * CSQ_MODEL_SECONDS says how long (5), CSQ_MODEL_SEED where to begin.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS 5
#define SIZE    (6 * 1024 * 1024)
#define SERIALS 300000
#define BATCH   40

/* Columns: queues that are read. Clients of one device refuse when they are
 * full, those of several drop; the last one is not read before the end.      */
#define SINGLES 6
#define PAIRED  3 /* clients of DEVICES devices                   */
#define DEVICES 3
#define LATE    (SINGLES + PAIRED * DEVICES)
#define COLUMNS (LATE + 1)
#define ALL     ((1u << COLUMNS) - 1)
#define EXACT   (((1u << SINGLES) - 1) | 1u << LATE)

#define SETTLED 0x80000000u /* in board.batch: its cursor was noted          */

enum state { UNUSED, BEGUN, ACCEPTED, REFUSED };

/* One publish. */
typedef struct record {
    uint32_t targets; /* columns                                     */
    uint32_t maybe;   /* those of them that may have been left out   */
    uint32_t withdrawn;
    uint8_t state;
    uint8_t lasts; /* long enough to be read, and nothing replaces it */
    uint8_t many;  /* to a group: a death may leave it for some   */
    uint8_t receipt;
    uint8_t keyed; /* is published again when its process died    */
    uint8_t again; /* it was: what became of it may be forgotten  */
    uint8_t id[CSQ_ID_BYTES];
} record;

typedef struct column {
    uint32_t reader; /* worker + 1, 0: nobody                       */
    uint32_t current;
    csq_cursor cursors[2];
    uint64_t gaps; /* messages that it was told to have missed    */
} column;

/* Outlives the workers. */
typedef struct board {
    int64_t now;
    uint32_t serials;
    uint32_t events;        /* numbers withdrawals                         */
    uint32_t rung;          /* who waited and was rung                     */
    uint32_t busy[WORKERS]; /* serial + 1 that a worker is at        */
    column columns[COLUMNS];
    record records[SERIALS];
    uint32_t batches;
    uint32_t batch[SERIALS][COLUMNS]; /* that it was read in last             */
} board;

static board *shared;
static int worker = -1; /* -1: the parent                              */
static unsigned seed;
static unsigned seconds;
static csq_slot *slot;

static unsigned dice(unsigned sides)
{
    return (unsigned)rand_r(&seed) % sides;
}

__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...)
{
    va_list arguments;

    fputs("check_csq_model: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    if (worker >= 0)
        _exit(1);
    ck_abort();
}

/* ---- names --------------------------------------------------------------- */

static csq_key key_of(unsigned at)
{
    static const char *const singles[SINGLES] = { "s0", "s1", "s2", "s3", "s4", "s5" };
    static const char *const paired[PAIRED] = { "p0", "p1", "p2" };
    static const char *const devices[DEVICES] = { "a", "b", "c" };
    csq_key key = { "realm", "late", NULL };

    if (at < SINGLES)
        key.client = singles[at];
    else if (at < LATE) {
        key.client = paired[(at - SINGLES) / DEVICES];
        key.device = devices[(at - SINGLES) % DEVICES];
    }
    return key;
}

static uint32_t columns_of(const char *client)
{
    uint32_t set = 0;
    unsigned i;

    for (i = 0; i < COLUMNS; i++)
        if (strcmp(key_of(i).client, client) == 0)
            set |= 1u << i;
    return set;
}

static apr_time_t tick(void)
{
    int64_t step = dice(1000) ? (int64_t)dice(4000) : -(int64_t)dice(2000000);

    return fx.now = __atomic_add_fetch(&shared->now, step, __ATOMIC_SEQ_CST);
}

/* ---- publishing ---------------------------------------------------------- */

typedef struct sending {
    uint32_t serial;
    record *record;
    csq_message message;
    char text[400];
} sending;

/* @return 0: the board is full */
static int begin(sending *s, uint32_t targets)
{
    s->serial = __atomic_fetch_add(&shared->serials, 1, __ATOMIC_SEQ_CST);
    if (s->serial >= SERIALS)
        return 0;
    s->record = &shared->records[s->serial];
    s->record->targets = targets;
    s->record->lasts = 1;
    s->message = (csq_message){ .realm = "realm",
                                .app = dice(2) ? "orders" : "news",
                                .sender = "tester",
                                .encoding = CSQ_TEXT,
                                .urgency = (csq_urgency)dice(4),
                                .time = tick(),
                                .data = s->text };
    s->message.expires = fx.now + 86400 * SECOND;
    s->message.len = (apr_size_t)snprintf(s->text, sizeof s->text, "\"%u %0*u\"",
                                          s->serial, dice(4) ? 1 : (int)dice(350) + 1, 0);
    s->message.receipt = s->record->receipt = dice(5) == 0;
    return 1;
}

static void note_begun(const sending *s)
{
    __atomic_store_n(&s->record->state, BEGUN, __ATOMIC_SEQ_CST);
    __atomic_store_n(&shared->busy[worker], s->serial + 1, __ATOMIC_SEQ_CST);
}

static void note_end(const sending *s, apr_status_t rv, const csq_appended *out)
{
    char text[128];

    if (rv == APR_SUCCESS) {
        memcpy(s->record->id, out->id, CSQ_ID_BYTES);
        __atomic_store_n(&s->record->state, ACCEPTED, __ATOMIC_SEQ_CST);
    }
    else if (rv == CSQ_QUEUE_FULL || rv == CSQ_REFUSED || rv == CSQ_SEGMENT_FULL
             || rv == CSQ_BUSY)
        __atomic_store_n(&s->record->state, REFUSED, __ATOMIC_SEQ_CST);
    else
        complain("publish %u: %s", s->serial, csq_strerror(rv, text, sizeof text));
    __atomic_store_n(&shared->busy[worker], 0, __ATOMIC_SEQ_CST);
}

static void publish_to(sending *s, const csq_key *to, int n)
{
    csq_appended out;
    apr_status_t statuses[COLUMNS];
    apr_status_t rv;
    int i;

    memset(statuses, 0, sizeof statuses);
    note_begun(s);
    rv = csq_append(fx.q, &s->message, to, n, fx.now, statuses, &out);
    for (i = 0; i < n && rv == APR_SUCCESS; i++)
        if (statuses[i] != APR_SUCCESS)
            s->record->targets &= ~columns_of(to[i].client);
    note_end(s, rv, &out);
}

static void publish_to_one(void)
{
    unsigned at = dice(4) ? dice(SINGLES) : LATE;
    csq_key key = key_of(at);
    sending s;

    if (begin(&s, 1u << at))
        publish_to(&s, &key, 1);
}

static void publish_to_devices(void)
{
    csq_key key = key_of(SINGLES + dice(PAIRED * DEVICES));
    sending s;

    key.device = NULL;
    if (begin(&s, columns_of(key.client)))
        publish_to(&s, &key, 1);
}

/* Some of the clients of one device and one of several, all or none. */
static void publish_to_several(void)
{
    csq_key keys[SINGLES + 2];
    uint32_t set = 0;
    sending s;
    unsigned i;
    int n = 0;

    for (i = 0; i < SINGLES; i++)
        if (dice(2)) {
            keys[n++] = key_of(i);
            set |= 1u << i;
        }
    keys[n] = key_of(SINGLES);
    keys[n++].device = NULL;
    set |= columns_of("p0");
    if (!begin(&s, set))
        return;
    s.message.lenient = dice(3) == 0;
    if (!s.message.lenient)
        keys[n++] = key_of(SINGLES + dice(DEVICES));
    publish_to(&s, keys, n);
}

static void note_refusal(void *baton, const char *client, apr_status_t status)
{
    (void)status;
    ((record *)baton)->maybe |= *client ? columns_of(client) : ALL;
}

static void publish_to_many(void)
{
    const char *group = dice(2) ? "staff" : NULL;
    uint32_t set = group ? columns_of("s0") | columns_of("p1") | columns_of("late") : ALL;
    csq_appended out;
    apr_status_t rv;
    sending s;

    if (!begin(&s, set))
        return;
    s.message.app = "orders";
    s.record->many = 1;
    note_begun(&s);
    rv = csq_append_group(fx.q, &s.message, group, fx.now, note_refusal, s.record, &out);
    note_end(&s, rv, &out);
}

static void publish_what_goes(void)
{
    unsigned at = dice(LATE);
    csq_key key = key_of(at);
    sending s;

    if (!begin(&s, 1u << at))
        return;
    s.record->lasts = 0;
    if (dice(2))
        s.message.topic = "weather";
    else
        s.message.expires = fx.now + dice(500000);
    publish_to(&s, &key, 1);
}

static void publish_and_withdraw(void)
{
    csq_message_key key = { "realm", NULL, "tester", { 0 } };
    csq_message_info info;
    uint32_t event;
    apr_status_t rv;
    sending s;

    if (!begin(&s, columns_of("s1") | columns_of("p2")))
        return;
    s.record->lasts = 0;
    publish_to(&s, (csq_key[]){ { "realm", "s1", NULL }, { "realm", "p2", NULL } }, 2);
    if (s.record->state != ACCEPTED)
        return;
    key.app = s.message.app;
    memcpy(key.id, s.record->id, CSQ_ID_BYTES);
    rv = csq_message_withdraw(fx.q, &key, &info);
    event = __atomic_add_fetch(&shared->events, 1, __ATOMIC_SEQ_CST);
    if (rv == APR_SUCCESS)
        __atomic_store_n(&s.record->withdrawn, event, __ATOMIC_SEQ_CST);
    else if (rv != CSQ_FINISHED && rv != CSQ_BUSY && rv != CSQ_EMPTY)
        complain("withdraw of %u: %d", s.serial, rv);
}

/* ---- once, whoever dies -------------------------------------------------- */

static void publish_keyed(sending *s, unsigned at)
{
    csq_key key = key_of(at);
    const char *text = (const char *)&s->serial;
    apr_size_t len = sizeof s->serial;
    csq_digest digest = csq_digest_make(fx.q, &text, &len, 1);
    unsigned char id[CSQ_ID_BYTES];
    csq_appended out;
    char answer[64];
    int tries = 0;
    apr_status_t rv;

    note_begun(s);
    do {
        len = sizeof answer;
        rv = csq_repeat_begin(fx.q, &digest, &digest, csq_waiter_make(slot, 1),
                              3600 * SECOND, fx.now, id, answer, &len);
        /* Its slot may have gone to one that is about to claim it. */
    } while (rv == CSQ_RUNNING && tries++ < 2000 && poll(NULL, 0, 1) == 0);
    if (rv == CSQ_REPEATED || rv == APR_SUCCESS)
        memcpy(out.id, id, sizeof id);
    if (rv == APR_SUCCESS) {
        s->message.id = id;
        rv = csq_append(fx.q, &s->message, &key, 1, fx.now, NULL, &out);
        if (rv == APR_SUCCESS)
            csq_repeat_finish(fx.q, &digest, "201", 3);
        else
            csq_repeat_forget(fx.q, &digest);
    }
    else if (rv == CSQ_REPEATED)
        rv = APR_SUCCESS;
    note_end(s, rv, &out);
}

static void publish_once(void)
{
    unsigned at = dice(2) ? dice(SINGLES) : LATE;
    sending s;

    if (!begin(&s, 1u << at))
        return;
    s.record->keyed = 1;
    publish_keyed(&s, at);
}

/* The one who was at it was killed: another one does it again. */
static void finish_for(uint32_t serial)
{
    sending s;

    begin(&s, 0);
    s.serial = serial;
    s.record = &shared->records[serial];
    s.record->again = 1;
    snprintf(s.text, sizeof s.text, "\"%u again\"", serial);
    s.message.len = strlen(s.text);
    s.message.receipt = s.record->receipt;
    publish_keyed(&s, (unsigned)__builtin_ctz(s.record->targets));
}

/* ---- reading ------------------------------------------------------------- */

static void note_message(unsigned at, const csq_view *view, uint32_t event,
                         uint32_t batch)
{
    uint32_t *noted;
    record *r;
    unsigned serial;

    if (sscanf(view->data, "\"%u ", &serial) != 1 || serial >= SERIALS)
        complain("a text that nobody sent: %.20s", view->data);
    r = &shared->records[serial];
    noted = &shared->batch[serial][at];
    if (!(r->targets & 1u << at))
        complain("message %u is not for column %u", serial, at);
    if (view->expires <= fx.now)
        complain("message %u is over", serial);
    if (r->withdrawn && r->withdrawn <= event)
        complain("message %u was withdrawn", serial);
    if ((*noted & SETTLED || *noted == batch) && !(r->again && at != LATE))
        complain("message %u%s comes a second time to column %u", serial,
                 r->keyed ? ", with a key," : "", at);
    *noted = batch;
}

static void settle(unsigned at)
{
    column *c = &shared->columns[at];
    unsigned serial;
    unsigned i;

    c->cursors[1 - c->current] = cursor_now();
    __atomic_store_n(&c->current, 1 - c->current, __ATOMIC_SEQ_CST);
    for (i = 0; i < csq_batch_count(fx.batch); i++)
        if (sscanf(csq_batch_get(fx.batch, i)->data, "\"%u ", &serial) == 1)
            shared->batch[serial][at] |= SETTLED;
}

static void note_batch(unsigned at, uint32_t event)
{
    column *c = &shared->columns[at];
    uint32_t batch = __atomic_add_fetch(&shared->batches, 1, __ATOMIC_SEQ_CST);
    const csq_gap *gaps;
    apr_uint32_t n;
    unsigned i;

    if (csq_batch_gap(fx.batch, &gaps, &n)) {
        if (EXACT >> at & 1 || n == 0)
            complain("column %u has a gap of %u applications", at, n);
        for (i = 0; i < n; i++)
            c->gaps += gaps[i].count;
    }
    for (i = 0; i < csq_batch_count(fx.batch); i++) {
        const csq_view *view = csq_batch_get(fx.batch, i);

        if (i && view->cursor.sequence < csq_batch_get(fx.batch, i - 1)->cursor.sequence)
            complain("sequences of column %u fall", at);
        note_message(at, view, event, batch);
    }
    settle(at);
}

static apr_status_t fetch(unsigned at, csq_urgency urgency, csq_waiter waiter, int resume)
{
    column *c = &shared->columns[at];
    csq_key key = key_of(at);
    csq_fetch what = { .after = &c->cursors[c->current],
                       .max_messages = BATCH,
                       .max_bytes = 1 << 20,
                       .urgency = urgency,
                       .acknowledge = 1,
                       .waiter = waiter,
                       .resume = resume != 0 };
    uint32_t event = __atomic_load_n(&shared->events, __ATOMIC_SEQ_CST);
    apr_status_t rv;
    char text[128];

    tick();
    rv = csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch);
    if (rv == APR_SUCCESS)
        note_batch(at, event);
    else if (rv == CSQ_EMPTY)
        settle(at);
    else if (rv != CSQ_BUSY)
        complain("fetch: %s", csq_strerror(rv, text, sizeof text));
    return rv;
}

/* What came while it waited has rung. */
static void wait_on(unsigned at)
{
    struct pollfd bell = { .fd = csq_slot_descriptor(slot), .events = POLLIN };
    csq_waiter waiter = csq_waiter_make(slot, at + 1);
    apr_uint32_t numbers[64];
    apr_status_t rv;
    int heard;
    int all = 0;
    int more;

    csq_slot_take(slot, numbers, 64, &all);
    if (fetch(at, CSQ_VERY_LOW, waiter, 0) != CSQ_EMPTY)
        return;
    csq_slot_listen(slot);
    heard = csq_slot_take(slot, numbers, 64, &all);
    if (!heard && !all)
        poll(&bell, 1, 3);
    csq_slot_mute(slot, 1);
    rv = fetch(at, CSQ_VERY_LOW, waiter, 1);
    heard += csq_slot_take(slot, numbers, 64, &more);
    if (rv == APR_SUCCESS && csq_batch_count(fx.batch) && !heard && !all && !more)
        complain("column %u waited and was not rung", at);
    if (heard)
        __atomic_add_fetch(&shared->rung, 1, __ATOMIC_SEQ_CST);
}

static void read_some(void)
{
    unsigned at = dice(LATE);
    uint32_t nobody = 0;

    if (!__atomic_compare_exchange_n(&shared->columns[at].reader, &nobody,
                                     (uint32_t)worker + 1, 0, __ATOMIC_SEQ_CST,
                                     __ATOMIC_SEQ_CST))
        return;
    if (dice(4))
        fetch(at, dice(6) ? CSQ_VERY_LOW : (csq_urgency)dice(4), 0, 0);
    else
        wait_on(at);
    __atomic_store_n(&shared->columns[at].reader, 0, __ATOMIC_SEQ_CST);
}

/* ---- the rest ------------------------------------------------------------ */

static void check_state(uint32_t serial, int at_end)
{
    const record *r = &shared->records[serial];
    csq_message_key key = { "realm", "orders", NULL, { 0 } };
    csq_message_info info;
    apr_uint32_t sum = 0;
    apr_status_t rv;
    int i;

    memcpy(key.id, r->id, CSQ_ID_BYTES);
    rv = csq_message_get(fx.q, &key, 0, NULL, &info);
    if (rv == CSQ_EMPTY) {
        key.app = "news";
        rv = csq_message_get(fx.q, &key, 0, NULL, &info);
    }
    if (rv != APR_SUCCESS)
        return;
    for (i = 0; i < CSQ_STATES; i++)
        sum += info.counts[i];
    if (sum > info.queues || (r->receipt && sum != info.queues))
        complain("message %u: %u queues, but %u are accounted for", serial, info.queues,
                 sum);
    if (at_end && r->receipt && r->lasts && !r->many && !(r->targets & ~EXACT)
        && info.state != CSQ_STATE_RECEIVED)
        complain("message %u was received, but is in state %d", serial, info.state);
}

static void ask(void)
{
    uint32_t serials = __atomic_load_n(&shared->serials, __ATOMIC_SEQ_CST);
    uint32_t serial = serials ? dice(serials < SERIALS ? serials : SERIALS) : 0;

    if (__atomic_load_n(&shared->records[serial].state, __ATOMIC_SEQ_CST) == ACCEPTED)
        check_state(serial, 0);
}

/* Members that nobody reads, of a group that nobody writes to. */
static void change_group(void)
{
    char name[16];
    csq_key key = { "realm", name, NULL };
    int changed;

    snprintf(name, sizeof name, "m%u", dice(40));
    tick();
    if (dice(2))
        csq_group_add(fx.q, &key, "orders", "others", fx.now, &changed);
    else
        csq_group_remove(fx.q, &key, "orders", "others", fx.now, &changed);
}

static void expire(void)
{
    csq_expire(fx.q, tick(), dice(2) ? 50 : 1000000);
}

static void act(void)
{
    static void (*const acts[])(void) = {
        read_some,
        read_some,
        read_some,
        read_some,
        read_some,
        read_some,
        publish_to_one,
        publish_to_one,
        publish_to_devices,
        publish_to_several,
        publish_to_many,
        publish_what_goes,
        publish_and_withdraw,
        publish_once,
        ask,
        change_group,
        expire,
    };

    acts[dice(sizeof acts / sizeof acts[0])]();
}

/* ---- workers and their killer -------------------------------------------- */

static void work(int number, uint32_t unfinished)
{
    worker = number;
    signal(SIGPIPE, SIG_IGN);
    if (csq_slot_claim(fx.q, fx.pool, &slot) != APR_SUCCESS)
        complain("no slot");
    if (unfinished)
        finish_for(unfinished - 1);
    for (;;)
        act();
}

static pid_t start_worker(int number)
{
    uint32_t unfinished = shared->busy[number];
    pid_t child;
    unsigned i;

    if (unfinished && !shared->records[unfinished - 1].keyed)
        unfinished = 0;
    shared->busy[number] = unfinished;
    for (i = 0; i < COLUMNS; i++)
        if (shared->columns[i].reader == (uint32_t)number + 1)
            shared->columns[i].reader = 0;
    dice(2); /* the next one does something else */
    child = fork();
    if (child == 0)
        work(number, unfinished);
    return child;
}

static void kill_worker(pid_t child)
{
    int status;

    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
                  "a worker ended with %x", status);
}

static void change_limits(void)
{
    fx.limits.max_queue = 20 + dice(300);
    fx.limits.max_devices = 1 + dice(DEVICES);
    ck_ok(csq_limits_set(fx.q, &fx.limits));
}

static unsigned run(void)
{
    apr_time_t end = apr_time_now() + seconds * SECOND;
    pid_t children[WORKERS];
    unsigned killed = 0;
    int i;

    for (i = 0; i < WORKERS; i++)
        children[i] = start_worker(i);
    for (; apr_time_now() < end && shared->serials < SERIALS; killed++) {
        poll(NULL, 0, (int)dice(12));
        i = (int)dice(WORKERS);
        kill_worker(children[i]);
        children[i] = start_worker(i);
        if (dice(20) == 0)
            change_limits();
        if (dice(40) == 0)
            fixture_audit();
    }
    for (i = 0; i < WORKERS; i++)
        kill_worker(children[i]);
    return killed;
}

/* ---- the reckoning ------------------------------------------------------- */

static void check_record(uint32_t serial, uint64_t missing[COLUMNS])
{
    const record *r = &shared->records[serial];
    uint32_t reached = 0;
    unsigned i;

    for (i = 0; i < COLUMNS; i++)
        reached |= (uint32_t)(shared->batch[serial][i] != 0) << i;
    if (reached & ~r->targets)
        complain("message %u reached %x, but is for %x", serial, reached, r->targets);
    if (r->state == REFUSED && reached)
        complain("message %u was refused, but reached %x", serial, reached);
    if (!r->lasts || (r->state == BEGUN && (!reached || r->many))
        || (r->state != BEGUN && r->state != ACCEPTED))
        return;
    if (r->targets & EXACT & ~r->maybe & ~reached)
        complain("message %u (state %u) is for %x, but reached only %x", serial, r->state,
                 r->targets, reached);
    for (i = 0; i < COLUMNS; i++)
        missing[i] += (r->targets & ~r->maybe & ~reached) >> i & 1;
}

static void check_all(void)
{
    uint32_t serials = shared->serials < SERIALS ? shared->serials : SERIALS;
    uint64_t missing[COLUMNS] = { 0 };
    uint32_t i;

    for (i = 0; i < COLUMNS; i++)
        while (fetch(i, CSQ_VERY_LOW, 0, 0) == APR_SUCCESS)
            ;
    for (i = 0; i < serials; i++) {
        check_record(i, missing);
        if (shared->records[i].state == ACCEPTED)
            check_state(i, 1);
    }
    for (i = 0; i < COLUMNS; i++)
        if (missing[i] > shared->columns[i].gaps)
            complain("column %u: %lu are missing, %lu were told", i,
                     (unsigned long)missing[i], (unsigned long)shared->columns[i].gaps);
}

/* Members of the group, and devices that are known. */
static void begin_all(void)
{
    static const char *const members[] = { "s0", "p1", "late" };
    csq_key key = { "realm", NULL, NULL };
    unsigned i;
    int changed;

    for (i = 0; i < LATE; i++)
        ck_assert_int_eq(fetch(i, CSQ_VERY_LOW, 0, 0), CSQ_EMPTY);
    ck_ok(put("late", "0 x"));
    shared->records[0].targets = 1u << LATE;
    shared->serials = 1;
    for (i = 0; i < 3; i++) {
        key.client = members[i];
        ck_ok(csq_group_add(fx.q, &key, "orders", "staff", fx.now, &changed));
    }
}

static unsigned number_of(const char *name, unsigned otherwise)
{
    const char *value = getenv(name);

    return value ? (unsigned)strtoul(value, NULL, 10) : otherwise;
}

START_TEST(what_was_accepted_arrives_once)
{
    unsigned killed;

    seconds = number_of("CSQ_MODEL_SECONDS", 5);
    seed = number_of("CSQ_MODEL_SEED", (unsigned)getpid());
    printf("check_csq_model: CSQ_MODEL_SEED=%u\n", seed);
    fflush(stdout);
    fixture_setup_bare();
    fx.limits.max_queue = 200;
    fixture_create(SIZE, WORKERS + 2);
    csq_lock_timeout_set(fx.q, 5 * SECOND);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(shared, MAP_FAILED);
    shared->now = fx.now;
    begin_all();
    killed = run();
    fixture_audit();
    check_all();
    printf("check_csq_model: %u messages, %u killed, %lu repairs, %u rung\n",
           shared->serials, killed, (unsigned long)stats_now().repairs, shared->rung);
    munmap(shared, sizeof *shared);
    fixture_teardown();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("csq_model");
    TCase *tc = tcase_create("model");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, number_of("CSQ_MODEL_SECONDS", 5) + 60);
    tcase_add_test(tc, what_was_accepted_arrives_once);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
