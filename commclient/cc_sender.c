/* SPDX-License-Identifier: Apache-2.0
 * cc_sender.c - publishes to one server what waits for it in the outbox.
 */
#include "cc_compat.h"
#include "cc_sender.h"
#include "cc_backoff.h"
#include "cc_envelope.h"
#include "cc_json.h"
#include "cc_log.h"
#include "cc_login.h"
#include "cc_random.h"
#include "cc_time.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>

#include <event2/event.h>

#define REFUSED_WAIT 300000 /* ms after 401 or 403: accounts lock          */
#define SECRET_STEP  1000   /* ms between two looks at a secret file       */
#define STORAGE_WAIT 1000   /* ms after the spool could not be read        */
#define LINES_MAX    8      /* headers of a request                        */

static const char *const words[] = {
#define CC_SENDER_WORD(name, word) word,
    CC_SENDER_STATES(CC_SENDER_WORD)
#undef CC_SENDER_WORD
};

/* One message on its way. */
typedef struct request {
    cc_sender *sender;
    cc_exchange *exchange;
    cc_lane *lane; /* NULL: it is free                                     */
    cc_buffer url;
    cc_buffer body;
    cc_buffer lines[LINES_MAX];
    const char *headers[LINES_MAX + 1];
    size_t header_count;
} request;

struct cc_sender {
    const cc_server_config *server;
    cc_outbox *outbox;
    struct event *timer; /* or made active by hand: see what can be sent    */
    cc_backoff backoff;
    cc_login login;
    request requests[CC_SENDER_REQUESTS];
    cc_sender_state state;
    int64_t state_since;  /* ms since 1970                                  */
    int64_t paused_until; /* ms, monotonic                                  */
    int watch_secret;     /* something waits for the secret to change       */
    int64_t published;    /* messages the server took                       */
    char detail[256];     /* of the state                                   */
};

/* ---- states ---------------------------------------------------------- */

static void set_state(cc_sender *s, cc_sender_state state, const char *format, ...)
    CC_PRINTF(3, 4);

static void set_state(cc_sender *s, cc_sender_state state, const char *format, ...)
{
    cc_sender_state before = s->state;
    va_list args;

    va_start(args, format);
    vsnprintf(s->detail, sizeof(s->detail), format, args);
    va_end(args);
    if (state == before)
        return;
    s->state = state;
    s->state_since = cc_time_now();
    if (state != CC_SENDER_READY)
        cc_log(CC_LOG_WARNING, "server '%s': %s", s->server->name, s->detail);
    else if (before != CC_SENDER_STARTING)
        cc_log(CC_LOG_NOTICE, "server '%s': %s", s->server->name, s->detail);
}

static void look_in(cc_sender *s, int64_t ms)
{
    struct timeval delay;

    if (s->watch_secret && ms > SECRET_STEP)
        ms = SECRET_STEP;
    delay.tv_sec = (time_t)(ms / 1000);
    delay.tv_usec = (suseconds_t)(ms % 1000 * 1000);
    event_add(s->timer, &delay);
}

static void pause_all(cc_sender *s, int64_t ms)
{
    s->paused_until = cc_time_monotonic() + ms;
}

static int64_t pause_of(cc_backoff *backoff, const cc_answer *answer)
{
    if (answer->retry_after > 0)
        return cc_backoff_obey(backoff, answer->retry_after);
    return cc_backoff_next(backoff);
}

/* ---- sending --------------------------------------------------------- */

static cc_buffer *add_line(request *q)
{
    cc_buffer *line = &q->lines[q->header_count++];

    cc_buffer_reset(line, 512);
    return line;
}

static void add_ttl(request *q, const cc_spooled *m)
{
    int64_t left;

    if (m->ttl < 0)
        return;
    left = m->ttl;
    if (left > 0) {
        left = (m->expires - cc_time_now() + 999) / 1000;
        if (left > m->ttl)
            left = m->ttl;
        if (left < 1)
            left = 1;
    }
    cc_buffer_format(add_line(q), "TTL: %lld", (long long)left);
}

static void fill_request(void *baton, const cc_spooled *m)
{
    request *q = baton;
    size_t i;

    cc_buffer_reset(&q->url, 8192);
    cc_publication_url(&q->url, q->sender->server->publish, m->app, m->place);
    cc_buffer_reset(&q->body, 65536);
    cc_buffer_add(&q->body, m->body.data, m->body.len);
    q->header_count = 0;
    cc_buffer_format(add_line(q), "Idempotency-Key: \"%s\"", m->key);
    cc_buffer_format(add_line(q), "Content-Type:%s%s", m->type[0] != '\0' ? " " : "",
                     m->type);
    add_ttl(q, m);
    if (m->topic[0] != '\0')
        cc_buffer_format(add_line(q), "Topic: %s", m->topic);
    if (m->urgency[0] != '\0')
        cc_buffer_format(add_line(q), "Urgency: %s", m->urgency);
    if (m->receipt)
        cc_buffer_add_text(add_line(q), "Prefer: respond-async");
    for (i = 0; i < q->header_count; i++)
        q->headers[i] = q->lines[i].data;
    q->headers[i] = NULL;
}

static void send_request(request *q)
{
    cc_upload upload;

    upload.url = q->url.data;
    upload.headers = q->headers;
    upload.body.data = q->body.data;
    upload.body.len = q->body.len;
    upload.login = &q->sender->login;
    cc_exchange_upload(q->exchange, &upload);
}

/* 0: the spool cannot be read now. */
static int try_lane(cc_sender *s, request *q, cc_lane *lane)
{
    switch (cc_outbox_read(s->outbox, lane, fill_request, q)) {
    case CC_OK:
        q->lane = lane;
        send_request(q);
        return 1;
    case CC_EMPTY:
    case CC_MALFORMED:
        cc_log(CC_LOG_ERROR,
               "server '%s': a message of '%s' in the spool is not as it was written: it"
               " is dropped",
               s->server->name, lane->app);
        cc_outbox_refused(s->outbox, lane, CC_ERROR_STORAGE, "");
        return 1;
    default:
        cc_outbox_keep(s->outbox, lane);
        set_state(s, CC_SENDER_STORAGE, "nothing is published, the spool cannot be read");
        pause_all(s, STORAGE_WAIT);
        return 0;
    }
}

/* While something is wrong with the server, one message tries it out. */
static request *find_free(cc_sender *s)
{
    int most = s->state == CC_SENDER_READY ? CC_SENDER_REQUESTS : 1, busy = 0, i;
    request *found = NULL;

    for (i = 0; i < CC_SENDER_REQUESTS; i++) {
        if (s->requests[i].lane != NULL)
            busy++;
        else
            found = &s->requests[i];
    }
    return busy < most ? found : NULL;
}

static void forgive_lane(void *baton, cc_lane *lane)
{
    (void)baton;
    if (lane->trouble == 403)
        lane->not_before = 0;
}

static void look_at_secret(cc_sender *s)
{
    if (!s->watch_secret || !cc_login_changed(&s->login))
        return;
    s->watch_secret = 0;
    s->paused_until = 0;
    cc_outbox_lanes(s->outbox, s->server->name, forgive_lane, NULL);
}

static int can_send(cc_sender *s)
{
    int64_t left = s->paused_until - cc_time_monotonic();

    if (left > 0) {
        look_in(s, left);
        return 0;
    }
    if (cc_login_read(&s->login) == CC_OK)
        return 1;
    set_state(s, CC_SENDER_SECRET, "nothing is published: %s", cc_login_error(&s->login));
    look_in(s, SECRET_STEP);
    return 0;
}

static void send_what_can_be(cc_sender *s)
{
    int64_t wait = -1;
    request *free_one;
    cc_lane *lane;

    look_at_secret(s);
    if (!can_send(s))
        return;
    while ((free_one = find_free(s)) != NULL) {
        lane = cc_outbox_next(s->outbox, s->server->name, cc_time_monotonic(), &wait);
        if (lane == NULL)
            break;
        if (!try_lane(s, free_one, lane)) {
            look_in(s, STORAGE_WAIT);
            return;
        }
    }
    if (wait >= 0)
        look_in(s, wait);
}

static void on_timer(evutil_socket_t descriptor, short what, void *baton)
{
    (void)descriptor;
    (void)what;
    send_what_can_be(baton);
}

static void look_soon(void *baton)
{
    cc_sender *s = baton;

    event_active(s->timer, EV_TIMEOUT, 0);
}

/* ---- what the answers mean ------------------------------------------- */

/* A module of the server judged this message: its word counts as the server's,
 * unless the status itself says that it is about the time. */
static int is_final(long status, const char *type)
{
    if (status < 400 || status > 499)
        return 0;
    if (status == 408 || status == 425 || status == 429)
        return 0;
    if (strcmp(type, "policy") == 0)
        return 1;
    if (status == 401 || status == 403 || status == 407 || status == 409)
        return 0;
    /* The place itself is wrong, as no part of commserver answers there. */
    return type[0] != '\0' || (status != 404 && status != 405 && status != 410);
}

/* The key is of this message alone, and remembered with its first success: so
 * an earlier try was taken, and its answer lost. What differs is the ttl. */
static int was_taken(long status, const char *type)
{
    return status == 422 && strcmp(type, "idempotency-mismatch") == 0;
}

cc_verdict cc_sender_judge(const cc_answer *answer, const char *type)
{
    if (answer->kind != CC_ANSWERED)
        return CC_VERDICT_PAUSE;
    if (was_taken(answer->status, type))
        return CC_VERDICT_TAKEN;
    if (is_final(answer->status, type))
        return CC_VERDICT_REFUSED;
    switch (answer->status) {
    case 201:
        return CC_VERDICT_TAKEN;
    case 401:
    case 407:
        return CC_VERDICT_UNAUTHORIZED;
    case 403:
        return CC_VERDICT_FORBIDDEN;
    case 404:
    case 405:
    case 409:
    case 410:
    case 425:
        return CC_VERDICT_LATER;
    case 502:
    case 503:
    case 504:
        return CC_VERDICT_PAUSE;
    default:
        return answer->status >= 500 ? CC_VERDICT_LATER : CC_VERDICT_PAUSE;
    }
}

static void read_text(cc_json *json, char *out, size_t size)
{
    cc_slice raw;

    if (cc_json_peek(json) != '"')
        cc_json_skip(json, NULL, NULL);
    else if (cc_json_string(json, &raw) == CC_OK
             && cc_json_decode(raw, out, size) != CC_OK)
        out[0] = '\0';
}

/* A string of the object that was answered; "" where there is none. */
static void read_member(const cc_answer *answer, const char *wanted, char *out,
                        size_t size)
{
    cc_slice name;
    cc_json json;
    int first = 1;

    out[0] = '\0';
    cc_json_init(&json, answer->body, answer->len);
    if (cc_json_enter(&json, '{') != CC_OK)
        return;
    while (cc_json_next_member(&json, &first, &name)) {
        if (cc_slice_is(name, wanted))
            read_text(&json, out, size);
        else
            cc_json_skip(&json, NULL, NULL);
    }
}

static void note_lane_works(cc_sender *s, cc_lane *lane)
{
    lane->failures = 0;
    lane->not_before = 0;
    if (lane->trouble != 0)
        cc_log(CC_LOG_NOTICE, "server '%s': messages of '%s' are published again",
               s->server->name, lane->app);
    lane->trouble = 0;
}

static void on_taken(cc_sender *s, cc_lane *lane, const cc_answer *answer)
{
    char id[CC_ID_MAX + 1], state[CC_STATE_MAX + 1];

    read_member(answer, "id", id, sizeof(id));
    read_member(answer, "state", state, sizeof(state));
    if (cc_name_id_check(id, strlen(id)) != CC_OK)
        id[0] = '\0';
    s->published++;
    note_lane_works(s, lane);
    cc_outbox_published(s->outbox, lane, id, state);
}

static void on_refused(cc_sender *s, cc_lane *lane, const cc_answer *answer,
                       const char *type)
{
    char text[200], why[256];

    read_member(answer, "detail", text, sizeof(text));
    snprintf(why, sizeof(why), "%ld%s%s%s%s", answer->status, type[0] ? " " : "", type,
             text[0] ? ": " : "", text);
    cc_log(CC_LOG_WARNING, "server '%s': refused a message of '%s' for good: %s",
           s->server->name, lane->app, why);
    note_lane_works(s, lane);
    cc_outbox_refused(s->outbox, lane, CC_ERROR_REFUSED, why);
}

static void rest_lane(cc_sender *s, cc_lane *lane, const cc_answer *answer,
                      const char *type)
{
    cc_backoff backoff = s->backoff;

    backoff.failures = lane->failures;
    lane->not_before = cc_time_monotonic() + pause_of(&backoff, answer);
    lane->failures = backoff.failures;
    s->backoff.state = backoff.state;
    if (lane->trouble != answer->status)
        cc_log(CC_LOG_WARNING,
               "server '%s': does not take messages of '%s' now (%ld%s%s): they wait",
               s->server->name, lane->app, answer->status, type[0] ? " " : "", type);
    lane->trouble = answer->status;
    cc_outbox_keep(s->outbox, lane);
}

static const char *until_when(const cc_sender *s)
{
    return cc_login_has_file(&s->login) ? ", or when the secret file changes" : "";
}

static void forbid_lane(cc_sender *s, cc_lane *lane)
{
    if (lane->trouble != 403)
        cc_log(CC_LOG_WARNING,
               "server '%s': this user may not publish to '%s' (403): trying again in"
               " five minutes%s",
               s->server->name, lane->app, until_when(s));
    lane->trouble = 403;
    lane->not_before = cc_time_monotonic() + REFUSED_WAIT;
    s->watch_secret = cc_login_has_file(&s->login);
    cc_outbox_keep(s->outbox, lane);
}

static void on_unauthorized(cc_sender *s, const cc_answer *answer)
{
    set_state(s, CC_SENDER_REFUSED,
              "publishing is refused with %ld: trying again in five minutes%s",
              answer->status, until_when(s));
    s->watch_secret = cc_login_has_file(&s->login);
    pause_all(s, REFUSED_WAIT);
}

/* Requests that fail together count as one failure. */
static void on_pause(cc_sender *s, const cc_answer *answer, const char *type)
{
    if (s->paused_until > cc_time_monotonic())
        return;
    pause_all(s, pause_of(&s->backoff, answer));
    if (answer->kind != CC_ANSWERED)
        set_state(s, CC_SENDER_UNREACHABLE,
                  "cannot be reached to publish: %s; trying again with growing pauses",
                  answer->error);
    else if (answer->retry_after > 0)
        set_state(s, CC_SENDER_BUSY, "publishing: answered %ld, come back in %lld s",
                  answer->status, (long long)answer->retry_after);
    else if (answer->status >= 300 && answer->status < 400)
        set_state(s, CC_SENDER_FAULTY,
                  "publishing: answered %ld: redirects are not followed, publish must be"
                  " the URL of the publish handler",
                  answer->status);
    else
        set_state(s, CC_SENDER_FAULTY,
                  "publishing: answered %ld%s%s: trying again with growing pauses",
                  answer->status, type[0] ? " " : "", type);
}

static void note_ready(cc_sender *s)
{
    cc_backoff_reset(&s->backoff);
    s->paused_until = 0;
    set_state(s, CC_SENDER_READY, "messages are published to %.*s",
              (int)strcspn(s->server->publish, "?"), s->server->publish);
}

static void on_answer(void *baton, const cc_answer *answer)
{
    request *q = baton;
    cc_sender *s = q->sender;
    cc_lane *lane = q->lane;
    char type[64] = "";
    cc_verdict verdict;

    q->lane = NULL;
    if (answer->kind == CC_ANSWERED && answer->status != 201)
        cc_problem_type(answer->body, answer->len, type, sizeof(type));
    verdict = cc_sender_judge(answer, type);
    if (verdict != CC_VERDICT_PAUSE && verdict != CC_VERDICT_UNAUTHORIZED)
        note_ready(s);
    switch (verdict) {
    case CC_VERDICT_TAKEN:
        on_taken(s, lane, answer);
        break;
    case CC_VERDICT_REFUSED:
        on_refused(s, lane, answer, type);
        break;
    case CC_VERDICT_LATER:
        rest_lane(s, lane, answer, type);
        break;
    case CC_VERDICT_FORBIDDEN:
        forbid_lane(s, lane);
        break;
    case CC_VERDICT_UNAUTHORIZED:
        on_unauthorized(s, answer);
        cc_outbox_keep(s->outbox, lane);
        break;
    default:
        on_pause(s, answer, type);
        cc_outbox_keep(s->outbox, lane);
        break;
    }
    send_what_can_be(s);
}

/* ---- life ------------------------------------------------------------ */

void cc_sender_server_set(cc_sender *s, const cc_server_config *server)
{
    int i;

    s->server = server;
    cc_login_server_set(&s->login, server);
    for (i = 0; i < CC_SENDER_REQUESTS; i++)
        cc_exchange_server_set(s->requests[i].exchange, server);
    cc_outbox_unwatch(s->outbox, s);
    cc_outbox_watch(s->outbox, server->name, look_soon, s);
}

cc_sender *cc_sender_create(const cc_server_config *server, cc_transport *transport,
                            cc_outbox *outbox, struct event_base *base)
{
    cc_sender *s = cc_alloc(sizeof(*s));
    uint64_t seed = 0;
    int i;

    cc_random_fill(&seed, sizeof(seed));
    cc_backoff_init(&s->backoff, seed);
    s->outbox = outbox;
    s->state_since = cc_time_now();
    for (i = 0; i < CC_SENDER_REQUESTS; i++) {
        request *q = &s->requests[i];

        q->sender = s;
        q->exchange = cc_exchange_create(transport, server, on_answer, q);
    }
    s->timer = evtimer_new(base, on_timer, s);
    cc_sender_server_set(s, server);
    look_soon(s);
    return s;
}

static void clear_request(cc_sender *s, request *q)
{
    size_t i;

    cc_exchange_destroy(q->exchange);
    if (q->lane != NULL)
        cc_outbox_keep(s->outbox, q->lane);
    cc_buffer_clear(&q->url);
    cc_buffer_clear(&q->body);
    for (i = 0; i < LINES_MAX; i++)
        cc_buffer_clear(&q->lines[i]);
}

void cc_sender_destroy(cc_sender *s)
{
    int i;

    if (s == NULL)
        return;
    cc_outbox_unwatch(s->outbox, s);
    for (i = 0; i < CC_SENDER_REQUESTS; i++)
        clear_request(s, &s->requests[i]);
    event_free(s->timer);
    cc_login_clear(&s->login);
    free(s);
}

void cc_sender_write_status(const cc_sender *s, cc_buffer *out)
{
    int64_t left = s->paused_until - cc_time_monotonic();
    cc_outbox_usage usage;
    char time[CC_TIME_TEXT];

    cc_outbox_usage_get(s->outbox, s->server->name, &usage);
    cc_time_format(s->state_since, time);
    cc_buffer_format(out, "{\"state\":\"%s\",\"detail\":", words[s->state]);
    cc_buffer_add_json_text(out, s->detail);
    cc_buffer_format(out, ",\"since\":\"%s\"", time);
    if (left > 0) {
        cc_time_format(cc_time_now() + left, time);
        cc_buffer_format(out, ",\"next_try\":\"%s\"", time);
    }
    cc_buffer_format(out, ",\"waiting\":%lld,\"published\":%lld}",
                     (long long)usage.messages, (long long)s->published);
}
