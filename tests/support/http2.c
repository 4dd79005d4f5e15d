/* SPDX-License-Identifier: Apache-2.0
 * http2.c - one exchange over HTTP/2, by libcurl; see http.h.
 */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#define ONCE_RING   4
#define EXCHANGE_MS 20000L

/* A text that grows. */
typedef struct text {
    char *data;
    size_t len;
} text;

static void append(text *to, const char *data, size_t len)
{
    to->data = realloc(to->data, to->len + len + 1);
    memcpy(to->data + to->len, data, len);
    to->len += len;
    to->data[to->len] = '\0';
}

static size_t collect(char *data, size_t size, size_t n, void *baton)
{
    append(baton, data, size * n);
    return size * n;
}

/* "A: b\r\nC: d\r\n" as curl's list. */
static struct curl_slist *header_list(const char *headers)
{
    struct curl_slist *list = NULL;

    while (headers && *headers) {
        int len = strcspn(headers, "\r\n");

        if (len > 0)
            list = curl_slist_append(list, support_text("%.*s", len, headers));
        headers += len + strspn(headers + len, "\r\n");
    }
    return list;
}

static void set_up(CURL *curl, int tls, const char *url, const char *user,
                   const char *body)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, EXCHANGE_MS);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
                     tls ? (long)CURL_HTTP_VERSION_2TLS
                         : (long)CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(body));
    }
    if (user)
        curl_easy_setopt(curl, CURLOPT_USERPWD,
                         support_text("%s:%s", user, HTTPD_PASSWORD));
}

static void perform(CURL *curl, const char *method, http_answer *answer)
{
    text head = { NULL, 0 }, body = { NULL, 0 };
    long status = 0, version = 0;
    CURLcode code;

    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_NOBODY, strcmp(method, "HEAD") == 0 ? 1L : 0L);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, collect);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &head);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &body);
    append(&head, "", 0);
    append(&body, "", 0);
    code = curl_easy_perform(curl);
    if (code != CURLE_OK)
        ck_abort_msg("HTTP/2 exchange failed: %s", curl_easy_strerror(code));
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_HTTP_VERSION, &version);
    ck_assert_int_eq(version, CURL_HTTP_VERSION_2_0);
    *answer = (http_answer){ .status = (int)status,
                             .head = head.data,
                             .body = body.data,
                             .len = body.len,
                             .keep_alive = 1 };
}

http_answer *http2_once(const httpd *server, int tls, const char *method,
                        const char *path, const char *user, const char *headers,
                        const char *body)
{
    static http_answer ring[ONCE_RING];
    static unsigned next;
    http_answer *answer = &ring[next++ % ONCE_RING];
    struct curl_slist *list = header_list(headers);
    CURL *curl = curl_easy_init();

    free(answer->head);
    free(answer->body);
    set_up(curl, tls,
           tls ? support_text("https://127.0.0.1:%d%s", httpd_tls_port(server), path)
               : httpd_url(server, path),
           user, body);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    perform(curl, method, answer);
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
    return answer;
}
