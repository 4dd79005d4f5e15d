/* SPDX-License-Identifier: Apache-2.0
 * cc_exchange.c - the life of one request, and what comes in answer to it.
 *
 * An own timer bounds how long an answer may take: until its head is there,
 * then between any two pieces of it.
 *
 * What is told within a call of libcurl is only kept; whoever reads a stream
 * hears of it from the event loop (on_arrival), where it may do anything, with
 * all that came in one read.
 */
#include "cc_compat.h"
#include "cc_time.h"
#include "cc_transport_private.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define STREAM_BATCH (128u << 10) /* bytes of a stream handed on at once       */

#define LATEST_DATE 253402300800 /* s; the year 10000 begins                      */
#define BODY_KEEP   (4u << 20)   /* bytes of buffer kept between answers          */

/* ---- what comes in --------------------------------------------------- */

static void set_deadline(cc_exchange *x, int seconds)
{
    struct timeval delay = { seconds, 0 };

    event_add(x->deadline, &delay);
}

/* Connected, the request goes out now: from here on the server has its time. */
int cc_exchange_on_request(void *baton, char *to, char *from, int to_port, int from_port)
{
    cc_exchange *x = baton;

    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    set_deadline(x, x->granted + CC_ANSWER_LAG);
    return CURL_PREREQFUNC_OK;
}

/* A long body has as long as it needs, while it moves. */
int cc_exchange_on_progress(void *baton, curl_off_t to_come, curl_off_t came,
                            curl_off_t to_send, curl_off_t sent)
{
    cc_exchange *x = baton;

    (void)to_come;
    (void)came;
    (void)to_send;
    if (sent > x->uploaded)
        set_deadline(x, CC_STALL);
    x->uploaded = sent;
    return 0;
}

/* Told in the same turn of the event loop, once for all that came. */
static void note_arrival(cc_exchange *x)
{
    x->has_arrived = 1;
    event_active(x->arrival, EV_TIMEOUT, 0);
}

/* libcurl reads as long as there is something. */
static size_t take_piece(cc_exchange *x, const char *data, size_t len)
{
    if (x->arrived >= STREAM_BATCH) {
        x->has_more = 1;
        return CURL_WRITEFUNC_PAUSE;
    }
    x->arrived += len;
    set_deadline(x, CC_STREAM_STALL);
    x->stream->piece(x->baton, data, len);
    note_arrival(x);
    return len;
}

size_t cc_exchange_on_body(char *data, size_t size, size_t count, void *baton)
{
    cc_exchange *x = baton;
    size_t len = size * count;

    if (x->answer.is_stream) {
        return take_piece(x, data, len);
    }
    set_deadline(x, CC_STALL);
    if (x->body.len + len > x->transport->answer_max) {
        x->answer.too_large = 1;
        return 0;
    }
    cc_buffer_add(&x->body, data, len);
    return len;
}

/* The value when `line` is the header `name`, blanks cut off. */
static int is_header(cc_slice line, const char *name, cc_slice *out_value)
{
    size_t len = strlen(name);

    if (line.len <= len || strncasecmp(line.data, name, len) != 0
        || line.data[len] != ':')
        return 0;
    line.data += len + 1;
    line.len -= len + 1;
    while (line.len > 0 && isspace((unsigned char)line.data[0])) {
        line.data++;
        line.len--;
    }
    while (line.len > 0 && isspace((unsigned char)line.data[line.len - 1]))
        line.len--;
    *out_value = line;
    return 1;
}

static void read_content_type(cc_answer *answer, cc_slice value)
{
    size_t i;

    for (i = 0; i < value.len && i < sizeof(answer->content_type) - 1; i++) {
        if (value.data[i] == ';' || value.data[i] == ' ')
            break;
        answer->content_type[i] = (char)tolower((unsigned char)value.data[i]);
    }
    answer->content_type[i] = '\0';
}

static void read_granted(cc_answer *answer, cc_slice value)
{
    char text[64];
    const char *at;

    snprintf(text, sizeof(text), "%.*s", (int)value.len, value.data);
    at = strstr(text, "wait=");
    if (at != NULL && isdigit((unsigned char)at[5])) {
        long seconds = strtol(at + 5, NULL, 10);

        answer->granted = seconds > 3600 ? 3600 : (int)seconds;
    }
}

static void read_date(cc_answer *answer, cc_slice value)
{
    char text[64];
    time_t seconds;

    snprintf(text, sizeof(text), "%.*s", (int)value.len, value.data);
    seconds = curl_getdate(text, NULL);
    if (seconds > 0 && seconds < LATEST_DATE)
        answer->date = (int64_t)seconds * 1000;
}

static void forget_head(cc_answer *answer)
{
    memset(answer, 0, sizeof(*answer));
    answer->granted = -1;
}

/* The line behind a head. */
static int is_empty(cc_slice line)
{
    return (line.len == 1 && line.data[0] == '\n')
           || (line.len == 2 && memcmp(line.data, "\r\n", 2) == 0);
}

/* What an interim answer (1xx) says is not said by the answer. */
static void end_head(cc_exchange *x)
{
    long status = 0;

    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status >= 100 && status < 200)
        forget_head(&x->answer);
    if (!x->takes_stream || status != 200
        || strcmp(x->answer.content_type, "text/event-stream") != 0)
        return;
    x->answer.is_stream = 1;
    set_deadline(x, CC_STREAM_STALL);
    note_arrival(x);
}

size_t cc_exchange_on_header(char *data, size_t size, size_t count, void *baton)
{
    cc_exchange *x = baton;
    cc_slice line = { data, size * count }, value;

    set_deadline(x, CC_STALL);
    if (is_header(line, "Comm-Cursor", &value)) {
        if (cc_name_cursor_check(value.data, value.len) == CC_OK) {
            memcpy(x->answer.cursor, value.data, value.len);
            x->answer.cursor[value.len] = '\0';
        }
    }
    else if (is_header(line, "Content-Type", &value)) {
        read_content_type(&x->answer, value);
    }
    else if (is_header(line, "Preference-Applied", &value)) {
        read_granted(&x->answer, value);
    }
    else if (is_header(line, "Date", &value)) {
        read_date(&x->answer, value);
    }
    else if (is_empty(line)) {
        end_head(x);
    }
    return line.len;
}

/* ---- one request ----------------------------------------------------- */

static void remove_exchange(cc_exchange *x)
{
    if (!x->active)
        return;
    x->active = x->is_paused = x->has_arrived = x->has_more = 0;
    x->arrived = 0;
    event_del(x->deadline);
    event_del(x->arrival);
    curl_multi_remove_handle(x->transport->multi, x->easy);
}

static void fill_answer(cc_exchange *x, CURLcode code)
{
    cc_answer *answer = &x->answer;
    curl_off_t retry_after = 0, sent = 0;

    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &answer->status);
    curl_easy_getinfo(x->easy, CURLINFO_RETRY_AFTER, &retry_after);
    curl_easy_getinfo(x->easy, CURLINFO_PRETRANSFER_TIME_T, &sent);
    answer->retry_after = retry_after > 0 ? (int64_t)retry_after : -1;
    answer->duration = cc_time_monotonic() - x->started;
    answer->body = x->body.data != NULL ? x->body.data : "";
    answer->len = x->body.len;
    if (code == CURLE_OK || answer->too_large)
        answer->kind = CC_ANSWERED;
    else
        answer->kind = sent > 0 ? CC_CUT : CC_NO_CONNECTION;
    answer->code = answer->kind == CC_ANSWERED ? 0 : (int)code;
    answer->error = x->error[0] != '\0' ? x->error : curl_easy_strerror(code);
}

/* What libcurl holds back comes at once, within this call. */
static void read_on(cc_exchange *x)
{
    x->has_more = 0;
    set_deadline(x, CC_STREAM_STALL);
    curl_easy_pause(x->easy, CURLPAUSE_CONT);
}

static void tell_arrival(cc_exchange *x)
{
    if (!x->has_arrived)
        return;
    x->has_arrived = 0;
    x->arrived = 0;
    x->stream->arrived(x->baton, &x->answer);
    if (x->active && x->has_more && !x->is_paused)
        read_on(x);
}

static void on_arrival(evutil_socket_t descriptor, short what, void *baton)
{
    (void)descriptor;
    (void)what;
    tell_arrival(baton);
}

/* Whoever hears of the last that came may want no more of it. */
void cc_exchange_finish(cc_exchange *x, CURLcode code)
{
    tell_arrival(x);
    if (!x->active)
        return;
    fill_answer(x, code);
    remove_exchange(x);
    x->done(x->baton, &x->answer);
    if (!x->active)
        cc_buffer_reset(&x->body, BODY_KEEP);
}

static void on_deadline(evutil_socket_t descriptor, short what, void *baton)
{
    cc_exchange *x = baton;

    (void)descriptor;
    (void)what;
    snprintf(x->error, sizeof(x->error),
             x->answer.is_stream ? "nothing came in time" : "no answer in time");
    cc_exchange_finish(x, CURLE_OPERATION_TIMEDOUT);
}

cc_exchange *cc_exchange_create(cc_transport *transport, const cc_server_config *server,
                                void (*done)(void *baton, const cc_answer *answer),
                                void *baton)
{
    cc_exchange *x = cc_alloc(sizeof(*x));

    x->transport = transport;
    x->server = server;
    x->done = done;
    x->baton = baton;
    x->easy = curl_easy_init();
    x->deadline = evtimer_new(transport->base, on_deadline, x);
    x->arrival = evtimer_new(transport->base, on_arrival, x);
    return x;
}

void cc_exchange_destroy(cc_exchange *x)
{
    if (x == NULL)
        return;
    cc_exchange_cancel(x);
    curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    event_free(x->deadline);
    event_free(x->arrival);
    cc_buffer_clear(&x->body);
    free(x);
}

void cc_exchange_server_set(cc_exchange *x, const cc_server_config *server)
{
    x->server = server;
}

void cc_exchange_cancel(cc_exchange *x)
{
    remove_exchange(x);
}

/* ---- streams --------------------------------------------------------- */

void cc_exchange_stream_set(cc_exchange *x, const cc_stream_calls *calls)
{
    x->stream = calls;
}

/* What libcurl has read already still comes. */
void cc_exchange_pause(cc_exchange *x)
{
    if (!x->active || x->is_paused)
        return;
    x->is_paused = 1;
    curl_easy_pause(x->easy, CURLPAUSE_RECV);
    event_del(x->deadline);
}

void cc_exchange_resume(cc_exchange *x)
{
    if (!x->active || !x->is_paused)
        return;
    x->is_paused = 0;
    read_on(x);
}

int cc_exchange_addresses(const cc_exchange *x, char out_local[CC_ADDRESS_MAX],
                          char out_peer[CC_ADDRESS_MAX])
{
    char *local = NULL, *peer = NULL;

    if (!x->active)
        return 0;
    curl_easy_getinfo(x->easy, CURLINFO_LOCAL_IP, &local);
    curl_easy_getinfo(x->easy, CURLINFO_PRIMARY_IP, &peer);
    snprintf(out_local, CC_ADDRESS_MAX, "%s", local != NULL ? local : "");
    snprintf(out_peer, CC_ADDRESS_MAX, "%s", peer != NULL ? peer : "");
    return out_local[0] != '\0' && out_peer[0] != '\0';
}

int cc_exchange_is_active(const cc_exchange *x)
{
    return x->active;
}

/* ---- starting -------------------------------------------------------- */

static void begin(cc_exchange *x)
{
    forget_head(&x->answer);
    x->error[0] = '\0';
    x->body.len = 0;
    x->uploaded = 0;
    x->takes_stream = 0;
}

static void start(cc_exchange *x, int granted)
{
    x->started = cc_time_monotonic();
    x->active = 1;
    x->granted = granted;
    set_deadline(x, x->server->connect_timeout + CC_ANSWER_LAG);
    curl_multi_add_handle(x->transport->multi, x->easy);
}

void cc_exchange_start(cc_exchange *x, const cc_poll *poll)
{
    begin(x);
    x->takes_stream = poll->stream;
    cc_request_poll(x, poll);
    start(x, poll->granted);
}

void cc_exchange_upload(cc_exchange *x, const cc_upload *upload)
{
    begin(x);
    cc_request_upload(x, upload);
    start(x, 0);
}
