/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cc_answer.c - answers of a server, head and body, to polls, to streams and to
 * messages that are published; libcurl is left out.
 *
 * The first byte says whether the server is asked for a stream. Then come answers,
 * with a NUL between two: a letter, to what (p: poll, b: a request beside it, s: a
 * message), a digit, how it ends (0 whole, 1 cut off, 2 no connection, 3 out of time), a
 * head as it is on the wire, and a body.
 *
 * The agent asks again or waits after each of them, for a day at most; it says how it
 * stands in JSON; it has stored the cursor that it sends; and a
 * message leaves the spool by a 201 or a refusal, and by nothing else.
 */
#include "cc_fuzz_agent.h"
#include "cc_json.h"
#include "cc_poller_private.h"
#include "cc_sender.h"
#include "cc_time.h"
#include "cc_transport_private.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define ANSWERS_MAX 12
#define ANSWER_ROOM 20000 /* bytes of an answer that is taken                  */
#define PIECE       700
#define WAIT_MAX    (86400000 + 2000) /* ms                                    */
#define LATEST      253402300800000   /* ms; the year 10000 begins             */

const unsigned fuzz_rounds = 40;

static const char *inbox_path;
static cc_buffer empty_inbox;
static int64_t passed; /* ms that the clocks are ahead                        */

/* What libcurl would say of the answer.                                      */
static struct {
    long status;
    curl_off_t retry_after;
    curl_off_t sent; /* 0: there was no connection                            */
} said;

/* Another reading of the head.                                               */
static struct {
    char cursor[CC_CURSOR_MAX + 1];
} expected;

static cc_exchange *uploading; /* the last one of the sender                  */
static cc_poller *poller;

/* ---- in place of libcurl and the clock (by the linker) --------------------- */

CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, ...);
CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy);
CURLcode __real_curl_easy_getinfo(CURL *easy, CURLINFO info, ...);
int64_t __wrap_cc_time_monotonic(void);
int64_t __real_cc_time_monotonic(void);

CURLcode __wrap_curl_easy_getinfo(CURL *easy, CURLINFO info, ...)
{
    va_list args;
    void *out;

    va_start(args, info);
    out = va_arg(args, void *);
    va_end(args);
    if (info == CURLINFO_RESPONSE_CODE)
        *(long *)out = said.status;
    else if (info == CURLINFO_RETRY_AFTER)
        *(curl_off_t *)out = said.retry_after;
    else if (info == CURLINFO_PRETRANSFER_TIME_T)
        *(curl_off_t *)out = said.sent;
    else
        return __real_curl_easy_getinfo(easy, info, out);
    return CURLE_OK;
}

CURLMcode __wrap_curl_multi_add_handle(CURLM *multi, CURL *easy)
{
    char *x = NULL;

    (void)multi;
    __real_curl_easy_getinfo(easy, CURLINFO_PRIVATE, &x);
    if (poller == NULL
        || ((cc_exchange *)x != poller->exchange && (cc_exchange *)x != poller->beside))
        uploading = (cc_exchange *)x;
    return CURLM_OK;
}

int64_t __wrap_cc_time_monotonic(void)
{
    return __real_cc_time_monotonic() + passed;
}

/* ---- an answer ------------------------------------------------------------ */

static int is_field(cc_slice line, const char *name, cc_slice *out_value)
{
    size_t len = strlen(name);

    if (line.len <= len || strncasecmp(line.data, name, len) != 0
        || line.data[len] != ':')
        return 0;
    out_value->data = line.data + len + 1;
    out_value->len = line.len - len - 1;
    while (out_value->len > 0 && isspace((unsigned char)out_value->data[0])) {
        out_value->data++;
        out_value->len--;
    }
    while (out_value->len > 0
           && isspace((unsigned char)out_value->data[out_value->len - 1]))
        out_value->len--;
    return 1;
}

/* As libcurl: seconds, or a date. */
static curl_off_t read_retry_after(cc_slice value)
{
    char *text = cc_copy_bytes(value.data, value.len), *end;
    long long seconds = strtoll(text, &end, 10);
    time_t date;

    if (end == text) {
        date = curl_getdate(text, NULL);
        seconds = date >= 0 ? (long long)date - cc_time_now() / 1000 : 0;
    }
    free(text);
    return seconds;
}

static void expect(cc_slice line)
{
    cc_slice value;

    if (line.len > 9 && memcmp(line.data, "HTTP/1.1 ", 9) == 0)
        said.status = strtol(line.data + 9, NULL, 10) % 1000;
    else if (is_field(line, "Retry-After", &value))
        said.retry_after = read_retry_after(value);
    else if (is_field(line, "Comm-Cursor", &value)
             && cc_name_cursor_check(value.data, value.len) == CC_OK)
        snprintf(expected.cursor, sizeof(expected.cursor), "%.*s", (int)value.len,
                 value.data);
}

/* The lines of the head, the empty one too, and of those that announce it. */
static void feed_head(cc_exchange *x, fuzz_input *input)
{
    cc_slice line;
    char *copy;

    while (cc_fuzz_line(input, &line)) {
        copy = cc_copy_bytes(line.data, line.len);
        expect((cc_slice){ copy, line.len });
        copy = cc_realloc(copy, line.len + 1);
        copy[line.len] = '\n';
        CC_FUZZ_CHECK(cc_exchange_on_header(copy, 1, line.len + 1, x) == line.len + 1,
                      "a line of the head is not taken");
        free(copy);
        if (line.len > 1 || (line.len == 1 && line.data[0] != '\r'))
            continue;
        if (said.status < 100 || said.status > 199)
            return;
        memset(&expected, 0, sizeof(expected)); /* another head follows       */
    }
}

static void check_answer(const cc_answer *a)
{
    CC_FUZZ_CHECK(strcmp(a->cursor, expected.cursor) == 0,
                  "another cursor than was sent");
    CC_FUZZ_CHECK(a->granted >= -1 && a->granted <= 3600, "granted");
    CC_FUZZ_CHECK(a->date >= 0 && a->date < LATEST, "date");
    CC_FUZZ_CHECK(strlen(a->content_type) < sizeof(a->content_type)
                      && strpbrk(a->content_type, "; ") == NULL,
                  "content type");
}

/* 0: libcurl would end it here. */
static int feed_body(cc_exchange *x, fuzz_input *input)
{
    size_t len, taken;
    char *piece;

    while (input->left > 0) {
        piece = (char *)fuzz_take_bytes(input, PIECE, &len);
        taken = cc_exchange_on_body(piece, 1, len, x);
        free(piece);
        if (taken != len)
            return 0;
        if (x->answer.is_stream)
            cc_fuzz_agent_turn();
        if (!x->active)
            return 1;
    }
    return 1;
}

static void answer(cc_exchange *x, fuzz_input input, unsigned end)
{
    static const CURLcode codes[] = { CURLE_OK, CURLE_RECV_ERROR, CURLE_COULDNT_CONNECT,
                                      CURLE_OPERATION_TIMEDOUT };
    CURLcode code = codes[end];

    memset(&said, 0, sizeof(said));
    memset(&expected, 0, sizeof(expected));
    said.sent = end != 2;
    if (end != 2) {
        feed_head(x, &input);
        check_answer(&x->answer);
        if (!feed_body(x, &input))
            code = CURLE_WRITE_ERROR;
    }
    if (x->active)
        cc_exchange_finish(x, code);
}

/* ---- how the agent stands -------------------------------------------------- */

static void check_json(cc_buffer *text)
{
    cc_json json;

    cc_json_init(&json, text->data, text->len);
    CC_FUZZ_CHECK(cc_json_skip(&json, NULL, NULL) == CC_OK
                      && cc_json_finish(&json) == CC_OK,
                  "the status is no JSON");
    cc_buffer_clear(text);
}

static void check_poller(void)
{
    char stored[CC_CURSOR_MAX + 1] = "";
    cc_buffer text = { NULL, 0, 0 };
    int64_t wait = poller->next_try - cc_time_now();

    CC_FUZZ_CHECK(poller->exchange->active
                      || event_pending(poller->timer, EV_TIMEOUT, NULL),
                  "it asks nothing any more");
    CC_FUZZ_CHECK(poller->next_try == 0 || wait <= WAIT_MAX, "it waits too long");
    if (poller->know_cursor && cc_dispatch_trouble(cc_fuzz_agent_now.dispatch) == NULL) {
        cc_dispatch_cursor(cc_fuzz_agent_now.dispatch, "main", stored);
        CC_FUZZ_CHECK(strcmp(stored, poller->cursor) == 0, "its cursor is not stored");
    }
    cc_poller_write_status(poller, &text);
    cc_buffer_add_text(&text, "}");
    check_json(&text);
}

static int64_t spooled(void)
{
    cc_outbox_usage usage;

    cc_outbox_commit(cc_fuzz_agent_now.outbox);
    cc_outbox_usage_get(cc_fuzz_agent_now.outbox, "main", &usage);
    return usage.messages;
}

/* Only these say that it need not be sent again. */
static int may_leave(long status, unsigned end)
{
    return end == 0 && (status == 201 || (status >= 400 && status < 500));
}

static void answer_message(cc_sender *sender, fuzz_input input, unsigned end)
{
    static const char line[] =
        "{\"publish\":{\"app\":\"orders\",\"ref\":\"r\",\"to\":\"bob\",\"data\":1}}\n";
    cc_buffer text = { NULL, 0, 0 };
    int64_t before, after;
    cc_exchange *x;

    cc_fuzz_agent_say(0, line, sizeof(line) - 1);
    x = uploading;
    if (x == NULL || !x->active)
        return;
    before = spooled();
    answer(x, input, end);
    after = spooled();
    CC_FUZZ_CHECK(after == before || (after == before - 1 && may_leave(said.status, end)),
                  "a message is lost");
    CC_FUZZ_CHECK(after == before - 1 || end != 0 || said.status != 201,
                  "a message that was taken is sent again");
    cc_sender_write_status(sender, &text);
    check_json(&text);
}

static void one_answer(cc_sender *sender, const char *data, size_t len)
{
    fuzz_input input = { (const uint8_t *)data + 2, len - 2 };
    unsigned end = (unsigned)(data[1] - '0') & 3;
    cc_exchange *x = data[0] == 'b' ? poller->beside : poller->exchange;

    passed += WAIT_MAX; /* whatever was to be waited for                      */
    if (data[0] == 's') {
        answer_message(sender, input, end);
    }
    else {
        if (!poller->exchange->active)
            event_active(poller->timer, EV_TIMEOUT, 0);
        cc_fuzz_agent_turn();
        if (x->active)
            answer(x, input, end);
    }
    cc_fuzz_agent_turn();
    check_poller();
}

/* ---- the whole ------------------------------------------------------------ */

static void start(void)
{
    static const char *const others[] = { "inbox.db-wal", "inbox.db-shm" };

    if (inbox_path == NULL) {
        cc_fuzz_quiet();
        inbox_path = cc_copy(cc_fuzz_path("inbox.db"));
        CC_FUZZ_CHECK(cc_fuzz_agent_start(inbox_path) == CC_OK, "no new inbox");
        cc_fuzz_agent_stop();
        cc_fuzz_read(inbox_path, &empty_inbox);
    }
    unlink(cc_fuzz_path(others[0]));
    unlink(cc_fuzz_path(others[1]));
    cc_fuzz_write("inbox.db", empty_inbox.data, empty_inbox.len);
    cc_fuzz_agent_forget_acknowledged();
    CC_FUZZ_CHECK(cc_fuzz_agent_start(inbox_path) == CC_OK, "no inbox");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = { data, size };
    cc_transport transport = { NULL, NULL, NULL, ANSWER_ROOM };
    cc_server_config server;
    cc_sender *sender;
    int i, stream = fuzz_take_byte(&input) == 's';

    start();
    uploading = NULL;
    server = *cc_config_find_server(cc_fuzz_agent_now.config, "main");
    server.stream = stream;
    transport.base = cc_fuzz_agent_now.base;
    poller =
        cc_poller_create(&server, &transport, cc_fuzz_agent_now.dispatch, transport.base);
    sender =
        cc_sender_create(&server, &transport, cc_fuzz_agent_now.outbox, transport.base);
    for (i = 0; i < ANSWERS_MAX && input.left > 0; i++) {
        char *text = fuzz_take_string(&input);

        if (strlen(text) >= 2)
            one_answer(sender, text, strlen(text));
        free(text);
    }
    cc_sender_destroy(sender);
    cc_poller_destroy(poller);
    poller = NULL;
    cc_fuzz_agent_stop();
    return 0;
}
