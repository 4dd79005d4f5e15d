/* SPDX-License-Identifier: Apache-2.0
 * cc_transport.c - polls and uploads over HTTP: libcurl's multi interface on
 * libevent.
 *
 * libcurl says which descriptors to watch and when to call it again
 * (on_socket_change, on_timer_change); libevent tells when that is. An own
 * timer bounds how long an answer may take: until its head is there, then
 * between any two pieces of it.
 */
#include "cc_compat.h"
#include "cc_transport.h"
#include "cc_log.h"
#include "cc_memory.h"
#include "cc_time.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <event2/event.h>

#define BODY_KEEP    (4u << 20)  /* bytes of buffer kept between answers      */
#define ANSWER_LEAST (32u << 20) /* bytes of an answer that are always taken  */
#define ANSWER_FRAME (64u << 10) /* bytes of an answer beside its one message */

struct cc_transport {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    size_t answer_max; /* bytes                                        */
};

struct cc_exchange {
    cc_transport *transport;
    const cc_server_config *server;
    void (*done)(void *baton, const cc_answer *answer);
    void *baton;
    CURL *easy;
    struct curl_slist *headers;
    struct event *deadline;
    cc_buffer body;
    cc_answer answer;
    int64_t started; /* ms, monotonic                                */
    int granted;     /* s that the poll may be held                            */
    int active;
    curl_off_t uploaded; /* bytes of the body                            */
    char error[CURL_ERROR_SIZE];
};

/* ---- the glue -------------------------------------------------------- */

static void finish_exchange(cc_exchange *x, CURLcode code);

static void collect_finished(cc_transport *t)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(t->multi, &left)) != NULL) {
        cc_exchange *x = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
        finish_exchange(x, message->data.result);
    }
}

static void on_socket(evutil_socket_t descriptor, short what, void *baton)
{
    cc_transport *t = baton;
    int flags = 0, running;

    if (what & EV_READ)
        flags |= CURL_CSELECT_IN;
    if (what & EV_WRITE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(t->multi, descriptor, flags, &running);
    collect_finished(t);
}

static void on_timer(evutil_socket_t descriptor, short what, void *baton)
{
    cc_transport *t = baton;
    int running;

    (void)descriptor;
    (void)what;
    curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_finished(t);
}

static int on_socket_change(CURL *easy, curl_socket_t descriptor, int action, void *baton,
                            void *socket_baton)
{
    cc_transport *t = baton;
    struct event *event = socket_baton;
    short what = EV_PERSIST;

    (void)easy;
    if (event != NULL)
        event_free(event);
    event = NULL;
    if (action != CURL_POLL_REMOVE) {
        if (action & CURL_POLL_IN)
            what |= EV_READ;
        if (action & CURL_POLL_OUT)
            what |= EV_WRITE;
        event = event_new(t->base, descriptor, what, on_socket, t);
        event_add(event, NULL);
    }
    curl_multi_assign(t->multi, descriptor, event);
    return 0;
}

static int on_timer_change(CURLM *multi, long ms, void *baton)
{
    cc_transport *t = baton;
    struct timeval delay;

    (void)multi;
    if (ms < 0) {
        event_del(t->timer);
        return 0;
    }
    delay.tv_sec = ms / 1000;
    delay.tv_usec = ms % 1000 * 1000;
    event_add(t->timer, &delay);
    return 0;
}

cc_transport *cc_transport_create(struct event_base *base, size_t max_message)
{
    cc_transport *t = cc_alloc(sizeof(*t));

    t->base = base;
    t->answer_max = max_message + ANSWER_FRAME;
    if (t->answer_max < ANSWER_LEAST)
        t->answer_max = ANSWER_LEAST;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK
        || (t->multi = curl_multi_init()) == NULL) {
        free(t);
        return NULL;
    }
    t->timer = evtimer_new(base, on_timer, t);
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket_change);
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer_change);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
    return t;
}

void cc_transport_destroy(cc_transport *t)
{
    if (t == NULL)
        return;
    curl_multi_cleanup(t->multi);
    event_free(t->timer);
    free(t);
    curl_global_cleanup();
}

/* ---- what comes in --------------------------------------------------- */

static void set_deadline(cc_exchange *x, int seconds)
{
    struct timeval delay = { seconds, 0 };

    event_add(x->deadline, &delay);
}

/* Connected, the request goes out now: from here on the server has its time. */
static int on_request(void *baton, char *to, char *from, int to_port, int from_port)
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
static int on_progress(void *baton, curl_off_t to_come, curl_off_t came,
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

static size_t on_body(char *data, size_t size, size_t count, void *baton)
{
    cc_exchange *x = baton;
    size_t len = size * count;

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
    if (seconds > 0)
        answer->date = (int64_t)seconds * 1000;
}

static size_t on_header(char *data, size_t size, size_t count, void *baton)
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
    return line.len;
}

/* ---- one request ----------------------------------------------------- */

static void remove_exchange(cc_exchange *x)
{
    if (!x->active)
        return;
    x->active = 0;
    event_del(x->deadline);
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

static void finish_exchange(cc_exchange *x, CURLcode code)
{
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
    snprintf(x->error, sizeof(x->error), "no answer in time");
    finish_exchange(x, CURLE_OPERATION_TIMEDOUT);
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

static void add_header(cc_exchange *x, const char *line)
{
    x->headers = curl_slist_append(x->headers, line);
}

static void begin_headers(cc_exchange *x)
{
    curl_slist_free_all(x->headers);
    x->headers = NULL;
    add_header(x, "Accept: application/json");
    add_header(x, "Expect:");
}

static void set_poll(cc_exchange *x, const cc_poll *poll)
{
    char line[CC_CURSOR_MAX + 32];

    begin_headers(x);
    add_header(x, "Content-Type:");
    if (poll->wait > 0) {
        snprintf(line, sizeof(line), "Prefer: wait=%d", poll->wait);
        add_header(x, line);
    }
    if (poll->cursor != NULL) {
        snprintf(line, sizeof(line), "Last-Event-ID: %s", poll->cursor);
        add_header(x, line);
    }
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS, "");
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE, 0L);
    if (poll->read_only)
        curl_easy_setopt(x->easy, CURLOPT_HTTPGET, 1L);
}

static void set_upload(cc_exchange *x, const cc_upload *upload)
{
    size_t i;

    begin_headers(x);
    for (i = 0; upload->headers[i] != NULL; i++)
        add_header(x, upload->headers[i]);
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS,
                     upload->body.len > 0 ? upload->body.data : "");
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)upload->body.len);
    curl_easy_setopt(x->easy, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(x->easy, CURLOPT_XFERINFODATA, x);
    curl_easy_setopt(x->easy, CURLOPT_NOPROGRESS, 0L);
}

static void set_login(cc_exchange *x, const cc_login *login)
{
    if (login->token.text != NULL) {
        curl_easy_setopt(x->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(x->easy, CURLOPT_XOAUTH2_BEARER, login->token.text);
    }
    else if (login->password.text != NULL) {
        curl_easy_setopt(x->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(x->easy, CURLOPT_USERNAME, login->user);
        curl_easy_setopt(x->easy, CURLOPT_PASSWORD, login->password.text);
    }
    else if (login->netrc.path != NULL) {
        curl_easy_setopt(x->easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(x->easy, CURLOPT_NETRC, (long)CURL_NETRC_REQUIRED);
        curl_easy_setopt(x->easy, CURLOPT_NETRC_FILE, login->netrc.path);
    }
}

static void set_security(cc_exchange *x)
{
    const cc_server_config *server = x->server;

#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS_STR, "http,https");
#else
    curl_easy_setopt(x->easy, CURLOPT_PROTOCOLS,
                     (long)(CURLPROTO_HTTP | CURLPROTO_HTTPS));
#endif
    curl_easy_setopt(x->easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(x->easy, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(x->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (server->ca != NULL) {
        curl_easy_setopt(x->easy, CURLOPT_CAINFO, server->ca);
        curl_easy_setopt(x->easy, CURLOPT_CAPATH, NULL);
    }
    if (server->cert != NULL)
        curl_easy_setopt(x->easy, CURLOPT_SSLCERT, server->cert);
    if (server->key != NULL)
        curl_easy_setopt(x->easy, CURLOPT_SSLKEY, server->key);
    if (server->proxy != NULL) {
        curl_easy_setopt(x->easy, CURLOPT_PROXY, server->proxy);
        curl_easy_setopt(x->easy, CURLOPT_NOPROXY, "");
    }
    curl_easy_setopt(x->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static void set_options(cc_exchange *x, const char *url, const cc_login *login)
{
    CURL *easy = x->easy;

    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)x->server->connect_timeout);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 131072L);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "commclient/" PACKAGE_VERSION);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, x);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
    set_login(x, login);
    set_security(x);
}

static void begin(cc_exchange *x, const char *url, const cc_login *login)
{
    memset(&x->answer, 0, sizeof(x->answer));
    x->answer.granted = -1;
    x->error[0] = '\0';
    x->body.len = 0;
    x->uploaded = 0;
    set_options(x, url, login);
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
    begin(x, poll->url, poll->login);
    set_poll(x, poll);
    start(x, poll->granted);
}

void cc_exchange_upload(cc_exchange *x, const cc_upload *upload)
{
    begin(x, upload->url, upload->login);
    set_upload(x, upload);
    start(x, 0);
}
