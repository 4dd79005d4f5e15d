/* SPDX-License-Identifier: Apache-2.0
 * ctl_probe.c - ask a server once, and say what its answer means for people.
 */
#include "cc_compat.h"
#include "ctl_probe.h"
#include "cc_envelope.h"
#include "cc_time.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <curl/curl.h>
#include <event2/event.h>

/* ---- asking ---------------------------------------------------------- */

typedef struct asking {
    struct event_base *base;
    ctl_probe *probe;
} asking;

static void keep_answer(void *baton, const cc_answer *answer)
{
    asking *a = baton;
    ctl_probe *probe = a->probe;

    probe->answer = *answer;
    probe->now = cc_time_now();
    probe->error = cc_copy(answer->error != NULL ? answer->error : "");
    probe->body = cc_copy_bytes(answer->body, answer->len);
    probe->answer.error = probe->error;
    probe->answer.body = probe->body;
    event_base_loopbreak(a->base);
}

/* As the agent's own, but for where the secret comes from. */
static cc_login login_of(const ctl_login *login)
{
    cc_login known;

    memset(&known, 0, sizeof(known));
    cc_login_server_set(&known, login->server);
    known.password.text = (char *)login->password;
    known.token.text = (char *)login->token;
    return known;
}

/* One of `poll` and `upload` is NULL. */
static cc_status send_request(const ctl_login *login, const cc_poll *poll,
                              const cc_upload *upload, ctl_probe *out_probe)
{
    struct event_base *base = event_base_new();
    cc_transport *transport = cc_transport_create(base, 1);
    asking a = { base, out_probe };
    cc_exchange *exchange;

    memset(out_probe, 0, sizeof(*out_probe));
    if (transport == NULL) {
        event_base_free(base);
        return CC_SYSTEM;
    }
    exchange = cc_exchange_create(transport, login->server, keep_answer, &a);
    if (poll != NULL)
        cc_exchange_start(exchange, poll);
    else
        cc_exchange_upload(exchange, upload);
    event_base_dispatch(base);
    cc_exchange_destroy(exchange);
    cc_transport_destroy(transport);
    event_base_free(base);
    return CC_OK;
}

cc_status ctl_probe_send(const ctl_login *login, const cc_poll *request,
                         ctl_probe *out_probe)
{
    cc_login known = login_of(login);
    cc_poll poll = *request;

    poll.login = &known;
    return send_request(login, &poll, NULL, out_probe);
}

cc_status ctl_probe_upload(const ctl_login *login, const cc_upload *request,
                           ctl_probe *out_probe)
{
    cc_login known = login_of(login);
    cc_upload upload = *request;

    upload.login = &known;
    return send_request(login, NULL, &upload, out_probe);
}

cc_status ctl_probe_poll(const ctl_login *login, const char *cursor, int max,
                         ctl_probe *out_probe)
{
    const cc_server_config *server = login->server;
    cc_buffer url = { NULL, 0, 0 };
    cc_poll poll;
    cc_status status;

    cc_buffer_format(&url, "%s%sdevice=%s&max=%d", server->url,
                     strchr(server->url, '?') != NULL ? "&" : "?", server->device, max);
    memset(&poll, 0, sizeof(poll));
    poll.url = url.data;
    poll.cursor = cursor;
    poll.read_only = cursor != NULL;
    status = ctl_probe_send(login, &poll, out_probe);
    cc_buffer_clear(&url);
    return status;
}

void ctl_probe_clear(ctl_probe *probe)
{
    free(probe->error);
    free(probe->body);
    memset(probe, 0, sizeof(*probe));
}

int64_t ctl_probe_skew(const ctl_probe *probe)
{
    return probe->answer.date != 0 ? probe->answer.date - probe->now : 0;
}

/* ---- judging --------------------------------------------------------- */

typedef struct judging {
    const cc_server_config *server;
    const ctl_probe *probe;
    ctl_verdict *verdict;
} judging;

/* `what` is a sentence, %s in it the detail. */
static void say(const judging *j, const char *what, const char *detail,
                const char *remedy)
{
    cc_buffer text = { NULL, 0, 0 };

    cc_buffer_add_text(&text, what);
    cc_buffer_add_text(&text, detail);
    j->verdict->what = text.data;
    j->verdict->remedy = remedy != NULL ? cc_copy(remedy) : NULL;
}

static void say_status(const judging *j, const char *what, const char *remedy)
{
    char number[32];

    snprintf(number, sizeof(number), " (HTTP status %ld)", j->probe->answer.status);
    say(j, what, number, remedy);
}

static int has_proxy(const cc_server_config *server)
{
    static const char *const names[] = { "https_proxy", "HTTPS_PROXY", "http_proxy",
                                         "all_proxy", "ALL_PROXY" };
    size_t i;

    if (server->proxy != NULL)
        return 1;
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (getenv(names[i]) != NULL && getenv(names[i])[0] != '\0')
            return 1;
    }
    return 0;
}

/* Nothing came through: a proxy may be missing, or be the one to blame. */
static void say_unreachable(const judging *j, const char *what, const char *remedy)
{
    cc_buffer text = { NULL, 0, 0 };

    cc_buffer_add_text(&text, remedy);
    cc_buffer_add_text(&text,
                       has_proxy(j->server)
                           ? " A proxy is in use ('proxy', or https_proxy and no_proxy in"
                             " the environment): is it right?"
                           : " If this network lets only a proxy out, set 'proxy'");
    say(j, what, j->probe->error, text.data);
    cc_buffer_clear(&text);
}

static void judge_certificate(const judging *j)
{
    const char *error = j->probe->error;

    if (strstr(error, "expired") != NULL)
        say(j, "the server's certificate has expired: ", error,
            "The server's administrator must renew it; or is the clock of this machine"
            " ahead? ('date')");
    else if (strstr(error, "not yet valid") != NULL
             || strstr(error, "not yet activated") != NULL)
        say(j, "the server's certificate is not valid yet: ", error,
            "Is the clock of this machine behind? ('date')");
    else if (strstr(error, "subject name") != NULL || strstr(error, "match") != NULL)
        say(j, "the server's certificate is for another name: ", error,
            "'url' must name the host as its certificate does");
    else
        say(j, "the server's certificate is not trusted: ", error,
            "If an authority of your own signed it, name that authority's PEM file with"
            " 'ca'");
}

static void judge_silence(const judging *j)
{
    switch (j->probe->answer.code) {
    case CURLE_COULDNT_RESOLVE_HOST:
        say_unreachable(j, "the host in 'url' is not known: ",
                        "Is 'url' spelled right, and is this machine online?");
        break;
    case CURLE_COULDNT_RESOLVE_PROXY:
        say(j, "the host in 'proxy' is not known: ", j->probe->error,
            "Is 'proxy' spelled right?");
        break;
    case CURLE_COULDNT_CONNECT:
        say_unreachable(j, "no connection: ",
                        "Does httpd run there, on that port, and does a firewall let"
                        " it through?");
        break;
    case CURLE_OPERATION_TIMEDOUT:
        say_unreachable(j, "no answer in time: ",
                        "Is this machine online, and does a firewall let it through?");
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
        judge_certificate(j);
        break;
    case CURLE_SSL_CONNECT_ERROR:
        say(j, "no TLS: ", j->probe->error,
            "Does that port speak https? If it speaks http, 'url' begins with http://;"
            " if it wants a client certificate, set 'cert' and 'key'");
        break;
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
        say(j, "a certificate file cannot be used: ", j->probe->error,
            "'cert', 'key' and 'ca' must name PEM files that belong together");
        break;
    case CURLE_GOT_NOTHING:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        say(j, "the connection was cut: ", j->probe->error,
            "Does that port speak https where 'url' says http? Does it want a client"
            " certificate ('cert', 'key')?");
        break;
    default:
        say_unreachable(j, "cannot be reached: ", "Is 'url' right?");
    }
}

/* A batch of messages, not just any JSON. */
static int is_batch(const ctl_probe *probe)
{
    cc_slice cursor;

    return strcmp(probe->answer.content_type, "application/json") == 0
           && cc_batch_peek_cursor(probe->body, probe->answer.len, &cursor) == CC_OK;
}

static void judge_success(const judging *j)
{
    const cc_answer *answer = &j->probe->answer;

    if ((answer->status == 204 && answer->cursor[0] != '\0')
        || (answer->status == 200 && is_batch(j->probe))) {
        j->verdict->is_fine = 1;
        say(j, "answers as a commserver", "", NULL);
        return;
    }
    if (strcmp(answer->content_type, "text/html") == 0)
        say_status(j, "answers with a web page, not as a commserver",
                   "'url' must name the poll handler, for example"
                   " https://HOST/comm/poll; a page to log in on is no login for an"
                   " agent");
    else
        say_status(j, "answers, but not as a commserver",
                   "'url' must name the poll handler, for example"
                   " https://HOST/comm/poll");
}

static void judge_login(const judging *j)
{
    const cc_server_config *server = j->server;

    if (server->user == NULL && server->token_file == NULL && server->cert == NULL
        && server->netrc == NULL)
        say_status(j, "wants a login, and the section has none",
                   "Give 'user' and 'password_file', or 'token_file': 'commclient setup"
                   " URL' writes them");
    else if (server->token_file != NULL)
        say_status(j, "does not take the token", "Put a valid token into the token file");
    else if (server->netrc != NULL)
        say_status(j,
                   "does not take what the netrc file says, or it says nothing of this"
                   " host",
                   "Correct the 'machine' entry of this host in that file");
    else
        say_status(j, "does not take user and password",
                   "Correct 'user' or the password file; 'commclient setup --force URL'"
                   " asks for them");
}

static const struct {
    long status;
    const char *what;
    const char *remedy;
} statuses[] = {
    { 403, "knows this user, but does not allow the poll",
      "The server's administrator must allow it ('Require' in the Location of the poll"
      " handler)" },
    { 404, "has nothing at this path",
      "'url' must name the poll handler, for example https://HOST/comm/poll" },
    { 405, "takes no polls at this path",
      "'url' must name the poll handler, for example https://HOST/comm/poll" },
    { 407, "is not asked: the proxy wants a login",
      "Name a proxy that takes this machine without a password" },
    { 409, "serves another agent with this device name",
      "Stop the other agent, or give this one another 'device'" },
    { 429, "asks to come back later", "Wait a moment" },
    { 502, "is behind a proxy that does not reach it", "Does httpd run there?" },
    { 503, "asks to come back later",
      "Wait a moment; a server that is starting or full"
      " says so" },
    { 504, "is behind a proxy that waited for it in vain", "Does httpd run there?" },
};

static void judge_status(const judging *j)
{
    long status = j->probe->answer.status;
    size_t i;

    for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        if (statuses[i].status == status) {
            say_status(j, statuses[i].what, statuses[i].remedy);
            return;
        }
    }
    if (status >= 300 && status < 400)
        say_status(j, "sends the agent elsewhere, which it does not follow",
                   "'url' must be where the poll handler itself is; https:// where the"
                   " server wants that");
    else if (status >= 500)
        say_status(j, "has a fault", "The server's error log says which");
    else
        say_status(j, "does not answer as a commserver",
                   "'url' must name the poll handler, for example"
                   " https://HOST/comm/poll");
}

void ctl_probe_judge(const cc_server_config *server, const ctl_probe *probe,
                     ctl_verdict *out_verdict)
{
    judging j = { server, probe, out_verdict };

    memset(out_verdict, 0, sizeof(*out_verdict));
    if (probe->answer.kind != CC_ANSWERED)
        judge_silence(&j);
    else if (probe->answer.status >= 200 && probe->answer.status < 300)
        judge_success(&j);
    else if (probe->answer.status == 401)
        judge_login(&j);
    else
        judge_status(&j);
}

void ctl_verdict_clear(ctl_verdict *verdict)
{
    free(verdict->what);
    free(verdict->remedy);
    memset(verdict, 0, sizeof(*verdict));
}
