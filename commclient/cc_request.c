/* SPDX-License-Identifier: Apache-2.0
 * cc_request.c - how requests look on the wire.
 */
#include "cc_compat.h"
#include "cc_transport_private.h"

#include <stdio.h>
#include <string.h>

static void add_header(cc_exchange *x, const char *line)
{
    x->headers = curl_slist_append(x->headers, line);
}

static void begin_headers(cc_exchange *x, const char *accept)
{
    curl_slist_free_all(x->headers);
    x->headers = NULL;
    add_header(x, accept);
    add_header(x, "Expect:");
}

static void add_acknowledged(cc_exchange *x, const char *ids)
{
    cc_buffer line = { NULL, 0, 0 };

    cc_buffer_format(&line, "Comm-Acknowledged: %s", ids);
    add_header(x, line.data);
    cc_buffer_clear(&line);
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
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, cc_exchange_on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, cc_exchange_on_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, x);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, cc_exchange_on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->error);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
    set_login(x, login);
    set_security(x);
}

void cc_request_poll(cc_exchange *x, const cc_poll *poll)
{
    char line[CC_CURSOR_MAX + 32];

    set_options(x, poll->url, poll->login);
    begin_headers(x, poll->stream ? "Accept: text/event-stream"
                                  : "Accept: application/json");
    add_header(x, "Content-Type:");
    if (poll->minimal)
        add_header(x, "Prefer: return=minimal");
    if (poll->acknowledged != NULL)
        add_acknowledged(x, poll->acknowledged);
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
    if (poll->read_only || poll->stream)
        curl_easy_setopt(x->easy, CURLOPT_HTTPGET, 1L);
    if (poll->fresh)
        curl_easy_setopt(x->easy, CURLOPT_FRESH_CONNECT, 1L);
}

void cc_request_upload(cc_exchange *x, const cc_upload *upload)
{
    size_t i;

    set_options(x, upload->url, upload->login);
    begin_headers(x, "Accept: application/json");
    for (i = 0; upload->headers[i] != NULL; i++)
        add_header(x, upload->headers[i]);
    curl_easy_setopt(x->easy, CURLOPT_HTTPHEADER, x->headers);
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDS,
                     upload->body.len > 0 ? upload->body.data : "");
    curl_easy_setopt(x->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)upload->body.len);
    curl_easy_setopt(x->easy, CURLOPT_XFERINFOFUNCTION, cc_exchange_on_progress);
    curl_easy_setopt(x->easy, CURLOPT_XFERINFODATA, x);
    curl_easy_setopt(x->easy, CURLOPT_NOPROGRESS, 0L);
}
