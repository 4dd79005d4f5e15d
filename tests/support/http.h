/* SPDX-License-Identifier: Apache-2.0
 * http.h - a raw HTTP/1.1 client for tests: what is sent is exactly what the
 * test says, in pieces if it likes, and what comes back is taken apart.
 *
 *   http *c = http_open(server);
 *   http_answer *a = http_call(c, "POST", "/comm/publish/orders/alice",
 *                              "backend", "Content-Type: text/plain\r\n", "hi");
 *   ck_assert_int_eq(a->status, 201);
 *   http_close(c);
 */
#ifndef HTTP_H
#define HTTP_H

#include <stddef.h>

#include "httpd.h"

typedef struct http http; /* one connection */

typedef struct http_answer {
    int status;
    char *head;     /* status line and header lines, as they came          */
    char *body;     /* transfer coding undone, a NUL behind it             */
    size_t len;     /* bytes of the body                                   */
    int keep_alive; /* the server will take another request                */
} http_answer;

/* ---- connections --------------------------------------------------------- */

http *http_open(const httpd *server);
http *http_open_tls(const httpd *server);
http *http_open_port(int port, int tls);
void http_close(http *c);
/** Close with a reset: what the peer sends next is answered by RST. */
void http_reset(http *c);
/** No more will be sent; what comes can still be read. */
void http_half_close(http *c);
/** As if its machine had lost its network: nothing that the peer sends arrives,
 *  nor is acknowledged. Until http_close(). */
void http_vanish(http *c);
/** Its socket, for tests that need one. */
int http_socket(http *c);

/* ---- sending ------------------------------------------------------------- */

/** Send exactly this. */
void http_send(http *c, const char *text);
void http_send_bytes(http *c, const void *data, size_t len);

/**
 * Send a request with Host, Authorization and Content-Length as needed.
 * @param user     NULL: no credentials
 * @param headers  more header lines, each with its "\r\n"; NULL: none
 * @param body     NULL: none
 */
void http_ask(http *c, const char *method, const char *path, const char *user,
              const char *headers, const char *body);

/** The text that http_ask() sends, in the ring of support_text(). */
const char *http_request(const char *method, const char *path, const char *user,
                         const char *headers, const char *body);

/** "Authorization: Basic ...\r\n" for a user of httpd.h, in the ring. */
const char *http_auth(const char *user);

/* ---- receiving ----------------------------------------------------------- */

/** Read one whole answer within 20 seconds; interim (1xx) ones are skipped.
 *  It lives until the next read of this connection, or its close. */
http_answer *http_read(http *c);

/** As http_read(), to a HEAD request. */
http_answer *http_read_head(http *c);

/** As http_read(), but NULL when nothing at all came within ms, or when the
 *  peer closed before the first byte. */
http_answer *http_try(http *c, int ms);

/** Of an answer that goes on: wait until text is among what was received and
 *  not yet read, within 20 seconds. @return all of that, framing and all, in
 *  memory of c until more is received */
const char *http_await(http *c, const char *text);

/** Throw away what was received and not read. */
void http_forget(http *c);

/** Something can be received now. */
int http_readable(http *c);

/** http_ask(), then http_read(). */
http_answer *http_call(http *c, const char *method, const char *path, const char *user,
                       const char *headers, const char *body);

/** A whole exchange on a connection of its own; the answer lives until the
 *  fourth next call of http_once(). */
http_answer *http_once(const httpd *server, const char *method, const char *path,
                       const char *user, const char *headers, const char *body);

/** The peer closed (or reset) within ms; bytes before that are thrown away. */
int http_closed(http *c, int ms);

/** Value of a header, NULL if there is none; in the ring. */
const char *http_header(const http_answer *answer, const char *name);

/* ---- HTTP/2 -------------------------------------------------------------- */

/** One exchange over HTTP/2 (prior knowledge, or TLS when tls is set), by
 *  libcurl; head holds the last status line and headers. Lives as that of
 *  http_once(). */
http_answer *http2_once(const httpd *server, int tls, const char *method,
                        const char *path, const char *user, const char *headers,
                        const char *body);

#endif
