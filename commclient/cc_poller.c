/* SPDX-License-Identifier: Apache-2.0
 * cc_poller.c - the life of the connection to one server.
 */
#include "cc_compat.h"
#include "cc_poller.h"
#include "cc_backoff.h"
#include "cc_log.h"
#include "cc_login.h"
#include "cc_time.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <event2/event.h>

#define MESSAGES_MAX  500    /* asked for in one answer                   */
#define REFUSED_WAIT  300000 /* ms after 401 or 403: accounts lock        */
#define REPLACED_WAIT 60000  /* ms                                        */
#define REPLACED_CALM 600000 /* ms without being replaced: it is over     */
#define SECRET_STEP   1000   /* ms between two looks at a secret file     */
#define FULL_STEP     1000   /* ms between two looks at a full inbox      */
#define SKEW_LEAST    5000   /* ms; less is the network and the seconds   */
#define QUICK_EMPTY   1000   /* ms; an empty answer before that is no hold*/
#define ALONE_COUNT   100    /* good answers until batches are asked again*/
#define DEAD_RAW_MAX  65536  /* bytes kept of an answer that is no batch  */

static const char *const names[] = {
#define CC_POLLER_NAME(name, word, text) word,
    CC_POLLER_STATES(CC_POLLER_NAME)
#undef CC_POLLER_NAME
};

static const char *const texts[] = {
#define CC_POLLER_TEXT(name, word, text) text,
    CC_POLLER_STATES(CC_POLLER_TEXT)
#undef CC_POLLER_TEXT
};

struct cc_poller {
    const cc_server_config *server;
    cc_dispatch *dispatch;
    cc_exchange *exchange;
    struct event *timer;
    cc_backoff backoff;
    cc_batch batch;
    cc_login login;
    cc_poller_state state;
    long state_code;       /* what sets two of the same state apart        */
    int64_t state_since;   /* ms since 1970                                */
    int64_t next_try;      /* ms since 1970; 0: polling now                */
    int64_t refused_until; /* ms, monotonic                                */
    int64_t replaced_last; /* ms, monotonic; 0: never                      */
    int granted;           /* s the server holds; -1: not known            */
    int held;              /* the poll on its way asks to be held          */
    int cut_before;        /* the poll before was cut, too                 */
    int alone;             /* ask for one message at a time, this often    */
    int without_cursor;    /* the server did not take the cursor           */
    int know_cursor;       /* `cursor` is what the inbox says              */
    char cursor[CC_CURSOR_MAX + 1];
    char detail[256];     /* of the state, for the status                 */
    int64_t received;     /* messages taken over                          */
    int64_t last_message; /* ms since 1970; 0: none yet                   */
};

const char *cc_poller_state_name(cc_poller_state state)
{
    return names[state];
}

const char *cc_poller_state_text(const char *name)
{
    int i;

    for (i = 0; i < CC_POLLER_STATE_COUNT; i++) {
        if (strcmp(name, names[i]) == 0)
            return texts[i];
    }
    return name;
}

/* ---- states ---------------------------------------------------------- */

/* While another agent has the name, the two take turns every minute: one line
 * says so, not two a minute. */
static int is_worth_saying(const cc_poller *p, cc_poller_state before)
{
    if (p->replaced_last == 0)
        return 1;
    if (p->state == CC_POLLER_CONNECTED)
        return before != CC_POLLER_REPLACED;
    return p->state != CC_POLLER_REPLACED;
}

static void set_state(cc_poller *p, cc_poller_state state, long code, const char *format,
                      ...) CC_PRINTF(4, 5);

static void set_state(cc_poller *p, cc_poller_state state, long code, const char *format,
                      ...)
{
    cc_poller_state before = p->state;
    int changed = state != before || code != p->state_code;
    va_list args;

    va_start(args, format);
    vsnprintf(p->detail, sizeof(p->detail), format, args);
    va_end(args);
    if (!changed)
        return;
    p->state = state;
    p->state_code = code;
    p->state_since = cc_time_now();
    if (is_worth_saying(p, before))
        cc_log(state == CC_POLLER_CONNECTED ? CC_LOG_NOTICE : CC_LOG_WARNING,
               "server '%s': %s", p->server->name, p->detail);
}

static void wait_ms(cc_poller *p, int64_t ms)
{
    struct timeval delay;

    delay.tv_sec = (time_t)(ms / 1000);
    delay.tv_usec = (suseconds_t)(ms % 1000 * 1000);
    p->next_try = cc_time_now() + ms;
    event_add(p->timer, &delay);
}

static void back_off(cc_poller *p)
{
    wait_ms(p, cc_backoff_next(&p->backoff));
}

/* ---- asking ---------------------------------------------------------- */

static cc_status read_login(cc_poller *p)
{
    if (cc_login_read(&p->login) == CC_OK)
        return CC_OK;
    set_state(p, CC_POLLER_SECRET, 0, "not polled: %s", cc_login_error(&p->login));
    return CC_NOT_PERMITTED;
}

static cc_status read_cursor(cc_poller *p)
{
    cc_status status;

    if (p->know_cursor)
        return CC_OK;
    status = cc_dispatch_cursor(p->dispatch, p->server->name, p->cursor);
    if (status != CC_OK && status != CC_EMPTY) {
        set_state(p, CC_POLLER_STORAGE, 0, "not polled, the inbox cannot be used: %s",
                  cc_dispatch_error(p->dispatch));
        return status;
    }
    p->know_cursor = 1;
    return CC_OK;
}

static void send_poll(cc_poller *p)
{
    cc_buffer url = { NULL, 0, 0 };
    cc_poll poll;

    cc_buffer_format(&url, "%s%sdevice=%s&max=%d", p->server->url,
                     strchr(p->server->url, '?') != NULL ? "&" : "?", p->server->device,
                     p->alone > 0 ? 1 : MESSAGES_MAX);
    memset(&poll, 0, sizeof(poll));
    poll.url = url.data;
    if (p->cursor[0] != '\0' && !p->without_cursor)
        poll.cursor = p->cursor;
    p->held = p->state == CC_POLLER_CONNECTED;
    poll.wait = p->held ? p->server->wait : 0;
    poll.granted = p->granted >= 0 && p->granted < poll.wait ? p->granted : poll.wait;
    poll.login = &p->login;
    p->next_try = 0;
    cc_exchange_start(p->exchange, &poll);
    cc_buffer_clear(&url);
}

static void poll_now(cc_poller *p)
{
    if (cc_dispatch_is_full(p->dispatch)) {
        set_state(p, CC_POLLER_FULL, 0,
                  "not polled: the inbox holds as much as"
                  " inbox_max allows; the server keeps the rest");
        wait_ms(p, FULL_STEP);
    }
    else if (read_login(p) != CC_OK) {
        wait_ms(p, SECRET_STEP);
    }
    else if (read_cursor(p) != CC_OK) {
        back_off(p);
    }
    else {
        send_poll(p);
    }
}

static void on_timer(evutil_socket_t descriptor, short what, void *baton)
{
    cc_poller *p = baton;

    (void)descriptor;
    (void)what;
    if (p->state == CC_POLLER_REFUSED && !cc_login_changed(&p->login)
        && cc_time_monotonic() < p->refused_until) {
        wait_ms(p, SECRET_STEP);
        p->next_try = cc_time_now() + p->refused_until - cc_time_monotonic();
        return;
    }
    poll_now(p);
}

/* ---- what the answers mean ------------------------------------------- */

static void note_connected(cc_poller *p)
{
    int64_t now = cc_time_monotonic();

    cc_backoff_reset(&p->backoff);
    p->cut_before = 0;
    if (p->replaced_last != 0 && now - p->replaced_last > REPLACED_CALM)
        p->replaced_last = 0;
    set_state(p, CC_POLLER_CONNECTED, 0, "connected to %.*s as device '%s'",
              (int)strcspn(p->server->url, "?"), p->server->url, p->server->device);
}

static void note_storage(cc_poller *p)
{
    set_state(p, CC_POLLER_STORAGE, 0,
              "nothing is taken over, the inbox cannot be"
              " used: %s",
              cc_dispatch_error(p->dispatch));
    back_off(p);
}

static void set_cursor(cc_poller *p, cc_slice cursor)
{
    memcpy(p->cursor, cursor.data, cursor.len);
    p->cursor[cursor.len] = '\0';
    p->know_cursor = 1;
    p->without_cursor = 0;
}

static int64_t skew_of(const cc_answer *answer, int64_t now)
{
    int64_t skew = answer->date != 0 ? answer->date - now : 0;

    return llabs(skew) < SKEW_LEAST ? 0 : skew;
}

static int is_current(const cc_poller *p, cc_slice cursor)
{
    return !p->without_cursor && cc_slice_is(cursor, p->cursor);
}

/* An answer too large, or no batch. Asked for alone, the message that makes it
 * so is put aside and passed by: nothing jams the queue. */
static void take_unusable(cc_poller *p, const cc_answer *answer, const char *why)
{
    cc_slice cursor, raw = { answer->body, answer->len };

    if (raw.len > DEAD_RAW_MAX)
        raw.len = DEAD_RAW_MAX;
    if (p->alone > 0 && cc_batch_peek_cursor(answer->body, answer->len, &cursor) == CC_OK
        && !is_current(p, cursor)) {
        if (cc_dispatch_take_unusable(p->dispatch, p->server->name, cursor, why, raw,
                                      cc_time_now())
            != CC_OK) {
            note_storage(p);
            return;
        }
        set_cursor(p, cursor);
        note_connected(p);
        wait_ms(p, 0);
        return;
    }
    p->alone = ALONE_COUNT;
    set_state(p, CC_POLLER_FAULTY, 200, "%s", why);
    back_off(p);
}

static void take_batch(cc_poller *p, const cc_answer *answer)
{
    int64_t now = cc_time_now();
    cc_intake intake;
    int repeated = is_current(p, p->batch.cursor);

    if (cc_dispatch_take(p->dispatch, p->server->name, &p->batch, skew_of(answer, now),
                         now, &intake)
        != CC_OK) {
        note_storage(p);
        return;
    }
    set_cursor(p, p->batch.cursor);
    p->received += (int64_t)intake.stored;
    if (intake.stored > 0)
        p->last_message = now;
    if (p->alone > 0)
        p->alone--;
    if (repeated && intake.stored == 0) {
        set_state(p, CC_POLLER_FAULTY, 1, "answers with what was acknowledged before");
        back_off(p);
        return;
    }
    note_connected(p);
    poll_now(p);
}

static void on_messages(cc_poller *p, const cc_answer *answer)
{
    if (strcmp(answer->content_type, "application/json") != 0) {
        set_state(p, CC_POLLER_FAULTY, 2,
                  "answers with '%s' where JSON is due: url must"
                  " be that of the poll handler",
                  answer->content_type);
        back_off(p);
    }
    else if (answer->too_large) {
        take_unusable(p, answer, "the answer is larger than the agent takes");
    }
    else if (cc_batch_parse(&p->batch, answer->body, answer->len) != CC_OK) {
        take_unusable(p, answer, "the answer is not a batch of messages");
    }
    else {
        take_batch(p, answer);
    }
}

static void on_nothing(cc_poller *p, const cc_answer *answer)
{
    cc_slice cursor = cc_slice_of(answer->cursor);

    if (cursor.len > 0 && !is_current(p, cursor)) {
        if (cc_dispatch_take_cursor(p->dispatch, p->server->name, cursor) != CC_OK) {
            note_storage(p);
            return;
        }
        set_cursor(p, cursor);
    }
    p->alone = 0;
    note_connected(p);
    if (answer->retry_after > 0)
        wait_ms(p, cc_backoff_obey(&p->backoff, answer->retry_after));
    else if (p->held && answer->duration < QUICK_EMPTY)
        wait_ms(p, QUICK_EMPTY + cc_backoff_random(&p->backoff, QUICK_EMPTY));
    else
        poll_now(p);
}

static void on_refused(cc_poller *p, const cc_answer *answer)
{
    set_state(p, CC_POLLER_REFUSED, answer->status,
              "refused with %ld: trying again in"
              " five minutes%s",
              answer->status,
              cc_login_has_file(&p->login) ? ", or when the secret file changes" : "");
    p->refused_until = cc_time_monotonic() + REFUSED_WAIT;
    wait_ms(p, SECRET_STEP);
    p->next_try = cc_time_now() + REFUSED_WAIT;
}

static void on_replaced(cc_poller *p)
{
    set_state(p, CC_POLLER_REPLACED, 0,
              "another agent uses the device name '%s';"
              " polling once a minute until it stops",
              p->server->device);
    p->replaced_last = cc_time_monotonic();
    wait_ms(p, REPLACED_WAIT + cc_backoff_random(&p->backoff, 1000));
}

static void on_other_status(cc_poller *p, const cc_answer *answer)
{
    char type[64];

    cc_problem_type(answer->body, answer->len, type, sizeof(type));
    if (answer->status == 409 && (type[0] == '\0' || strcmp(type, "replaced") == 0)) {
        on_replaced(p);
        return;
    }
    if (answer->status == 400 && p->cursor[0] != '\0' && !p->without_cursor) {
        cc_log(CC_LOG_WARNING,
               "server '%s': does not take its cursor: beginning with the"
               " oldest message it keeps",
               p->server->name);
        p->without_cursor = 1;
    }
    if (answer->retry_after > 0) {
        set_state(p, CC_POLLER_BUSY, answer->status, "answered %ld, come back in %lld s",
                  answer->status, (long long)answer->retry_after);
        wait_ms(p, cc_backoff_obey(&p->backoff, answer->retry_after));
        return;
    }
    if (answer->status >= 300 && answer->status < 400)
        set_state(p, CC_POLLER_FAULTY, answer->status,
                  "answered %ld: redirects are not"
                  " followed, url must be that of the poll handler",
                  answer->status);
    else
        set_state(p, CC_POLLER_FAULTY, answer->status,
                  "answered %ld%s%s: trying again"
                  " with growing pauses",
                  answer->status, type[0] ? " " : "", type);
    back_off(p);
}

/* The first cut of a held poll is no news: proxies and restarts do that. */
static void on_no_answer(cc_poller *p, const cc_answer *answer)
{
    p->granted = -1;
    if (answer->kind == CC_CUT && p->state == CC_POLLER_CONNECTED && !p->cut_before) {
        p->cut_before = 1;
        wait_ms(p, cc_backoff_random(&p->backoff, 1000));
        return;
    }
    set_state(p, CC_POLLER_UNREACHABLE, 0,
              "cannot be reached: %s; trying again with"
              " growing pauses",
              answer->error);
    back_off(p);
}

static void on_answer(void *baton, const cc_answer *answer)
{
    cc_poller *p = baton;

    if (answer->granted >= 0)
        p->granted = answer->granted;
    if (answer->kind != CC_ANSWERED)
        on_no_answer(p, answer);
    else if (answer->status == 200)
        on_messages(p, answer);
    else if (answer->status == 204)
        on_nothing(p, answer);
    else if (answer->status == 401 || answer->status == 403 || answer->status == 407)
        on_refused(p, answer);
    else
        on_other_status(p, answer);
}

/* ---- life ------------------------------------------------------------ */

void cc_poller_server_set(cc_poller *p, const cc_server_config *server)
{
    p->server = server;
    cc_login_server_set(&p->login, server);
    cc_exchange_server_set(p->exchange, server);
}

cc_poller *cc_poller_create(const cc_server_config *server, cc_transport *transport,
                            cc_dispatch *dispatch, struct event_base *base)
{
    cc_poller *p = cc_alloc(sizeof(*p));
    uint64_t seed = 0;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        seed = (uint64_t)cc_time_now();
    cc_backoff_init(&p->backoff, seed);
    p->dispatch = dispatch;
    p->granted = -1;
    p->state_since = cc_time_now();
    p->exchange = cc_exchange_create(transport, server, on_answer, p);
    cc_poller_server_set(p, server);
    p->timer = evtimer_new(base, on_timer, p);
    wait_ms(p, 0);
    return p;
}

void cc_poller_destroy(cc_poller *p)
{
    if (p == NULL)
        return;
    cc_exchange_destroy(p->exchange);
    event_free(p->timer);
    cc_batch_clear(&p->batch);
    cc_login_clear(&p->login);
    free(p);
}

static void write_time(cc_buffer *out, const char *name, int64_t time)
{
    char text[CC_TIME_TEXT];

    if (time == 0)
        return;
    cc_time_format(time, text);
    cc_buffer_format(out, ",\"%s\":\"%s\"", name, text);
}

void cc_poller_write_status(const cc_poller *p, cc_buffer *out)
{
    cc_buffer_format(out, "{\"name\":\"%s\",\"url\":", p->server->name);
    cc_buffer_add_json(out, p->server->url, strcspn(p->server->url, "?"));
    cc_buffer_format(out,
                     ",\"device\":\"%s\",\"state\":\"%s\",\"detail\":", p->server->device,
                     names[p->state]);
    cc_buffer_add_json_text(out, p->detail);
    write_time(out, "since", p->state_since);
    write_time(out, "next_try", p->next_try);
    cc_buffer_format(out, ",\"received\":%lld", (long long)p->received);
    write_time(out, "last_message", p->last_message);
}

cc_poller_state cc_poller_state_get(const cc_poller *p)
{
    return p->state;
}
