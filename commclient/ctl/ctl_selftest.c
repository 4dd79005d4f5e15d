/* SPDX-License-Identifier: Apache-2.0
 * ctl_selftest.c - send a message to oneself, and see it arrive.
 */
#include "cc_compat.h"
#include "ctl_selftest.h"
#include "cc_envelope.h"
#include "cc_time.h"

#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <json.h>

#define PAGE      500 /* messages in an answer                            */
#define PAGES_MAX 100 /* answers that are looked through                  */
#define POLL_END  "/poll"
#define MESSAGE   "{\"test\":\"of commclient setup\"}"

char *ctl_selftest_publish_url(const char *url)
{
    cc_buffer publish = { NULL, 0, 0 };
    size_t len = strcspn(url, "?"), end = strlen(POLL_END);

    if (len <= end || memcmp(url + len - end, POLL_END, end) != 0)
        return NULL;
    cc_buffer_add(&publish, url, len - end);
    cc_buffer_add_text(&publish, "/publish");
    return publish.data;
}

static char *format_target(const cc_server_config *server, const char *publish)
{
    char *user = curl_easy_escape(NULL, server->user, 0);
    cc_buffer url = { NULL, 0, 0 };

    cc_buffer_format(&url, "%s/" CTL_SELFTEST_APP "/%s/%s", publish, user,
                     server->device);
    curl_free(user);
    return url.data;
}

static cc_status send_message(const ctl_login *login, const char *publish,
                              ctl_probe *out_probe)
{
    static const char *const headers[] = { "Content-Type: application/json", "TTL: 60",
                                           NULL };
    char *url = format_target(login->server, publish);
    cc_upload request;
    cc_status status;

    memset(&request, 0, sizeof(request));
    request.url = url;
    request.body = cc_slice_of(MESSAGE);
    request.headers = headers;
    status = ctl_probe_upload(login, &request, out_probe);
    free(url);
    return status;
}

/* The id in {"id":...}; 1 when there is one. */
static int read_id(const ctl_probe *probe, char out[CC_ID_MAX + 1])
{
    struct json_object *whole = json_tokener_parse(probe->body), *id = NULL;
    const char *text = NULL;
    int found;

    if (json_object_is_type(whole, json_type_object)
        && json_object_object_get_ex(whole, "id", &id)
        && json_object_is_type(id, json_type_string))
        text = json_object_get_string(id);
    found = text != NULL && cc_name_id_check(text, strlen(text)) == CC_OK
            && strlen(text) <= CC_ID_MAX;
    if (found)
        strcpy(out, text);
    json_object_put(whole);
    return found;
}

/* ---- receiving ------------------------------------------------------- */

typedef struct seeking {
    const ctl_login *login;
    const char *id;
    char cursor[CC_CURSOR_MAX + 1]; /* up to which was looked               */
    size_t others;                  /* messages that are not ours           */
    int found;
} seeking;

static void keep_cursor(seeking *s, const char *cursor, size_t len)
{
    if (len <= CC_CURSOR_MAX) {
        memcpy(s->cursor, cursor, len);
        s->cursor[len] = '\0';
    }
}

static void look_through(seeking *s, const cc_batch *batch)
{
    size_t i;

    for (i = 0; i < batch->count; i++) {
        if (cc_slice_is(batch->messages[i].id, s->id))
            s->found = 1;
        else
            s->others++;
    }
    keep_cursor(s, batch->cursor.data, batch->cursor.len);
}

/* Returns 0 when there is nothing more to look through. */
static int look_further(seeking *s)
{
    ctl_probe probe;
    cc_batch batch;
    int more = 0;

    memset(&batch, 0, sizeof(batch));
    if (ctl_probe_poll(s->login, s->cursor[0] != '\0' ? s->cursor : NULL, PAGE, &probe)
            == CC_OK
        && probe.answer.status == 200
        && cc_batch_parse(&batch, probe.body, probe.answer.len) == CC_OK) {
        look_through(s, &batch);
        more = !s->found;
    }
    cc_batch_clear(&batch);
    ctl_probe_clear(&probe);
    return more;
}

/* With nothing else before it, it can be acknowledged. */
static void take_out(const seeking *s)
{
    const cc_server_config *server = s->login->server;
    cc_buffer url = { NULL, 0, 0 };
    ctl_probe probe;
    cc_poll poll;

    cc_buffer_format(&url, "%s%sdevice=%s&max=1", server->url,
                     strchr(server->url, '?') != NULL ? "&" : "?", server->device);
    memset(&poll, 0, sizeof(poll));
    poll.url = url.data;
    poll.cursor = s->cursor;
    ctl_probe_send(s->login, &poll, &probe);
    ctl_probe_clear(&probe);
    cc_buffer_clear(&url);
}

static int receive(const ctl_login *login, const char *id, const ctl_probe *first)
{
    seeking s = { login, id, "", 0, 0 };
    int pages = 0, was_empty = first->answer.status == 204;

    if (was_empty)
        keep_cursor(&s, first->answer.cursor, strlen(first->answer.cursor));
    while (++pages <= PAGES_MAX && look_further(&s))
        ;
    if (s.found && was_empty && s.others == 0)
        take_out(&s);
    return s.found;
}

/* ---- the whole ------------------------------------------------------- */

static ctl_selftest_result describe_refusal(const ctl_probe *probe, const char *publish,
                                            char **out_text)
{
    cc_buffer text = { NULL, 0, 0 };
    long status = probe->answer.status;
    int is_allowed = status != 401 && status != 403 && status != 404 && status != 405;

    if (probe->answer.kind != CC_ANSWERED)
        cc_buffer_format(&text, "'%s' cannot be reached: %s", publish, probe->error);
    else
        cc_buffer_format(&text,
                         "no message was sent: '%s' does not let this user publish for"
                         " application '" CTL_SELFTEST_APP "' (HTTP status %ld)",
                         publish, status);
    *out_text = text.data;
    return is_allowed || probe->answer.kind != CC_ANSWERED ? CTL_SELFTEST_FAILED
                                                           : CTL_SELFTEST_NOT_ALLOWED;
}

ctl_selftest_result ctl_selftest(const ctl_login *login, const char *publish,
                                 const ctl_probe *first, char **out_text)
{
    int64_t started = cc_time_monotonic();
    ctl_selftest_result result = CTL_SELFTEST_FAILED;
    cc_buffer text = { NULL, 0, 0 };
    char id[CC_ID_MAX + 1];
    ctl_probe probe;

    if (send_message(login, publish, &probe) != CC_OK) {
        *out_text = cc_copy("libcurl cannot be used");
        return CTL_SELFTEST_FAILED;
    }
    if (probe.answer.status != 201 || !read_id(&probe, id)) {
        result = describe_refusal(&probe, publish, out_text);
        ctl_probe_clear(&probe);
        return result;
    }
    ctl_probe_clear(&probe);
    if (receive(login, id, first)) {
        result = CTL_SELFTEST_DONE;
        cc_buffer_format(&text, "a message to user %s was sent and came back in %lld ms",
                         login->server->user, (long long)(cc_time_monotonic() - started));
    }
    else {
        cc_buffer_format(&text,
                         "a message to user %s was sent with id %s and did not come back",
                         login->server->user, id);
    }
    *out_text = text.data;
    return result;
}
