/* SPDX-License-Identifier: Apache-2.0
 * script_server.h - an HTTP server that does what a test tells it, step by step.
 *
 * It runs within the test itself: the test waits for the next request, looks
 * at it, and says what is answered, down to the bytes. So a test can answer
 * what no real server would.
 *
 *   script_server *s = script_start();
 *   ... start an agent on script_url(s) ...
 *   script_expect(s);
 *   ck_assert_str_eq(script_header(s, "Prefer"), "wait=55");
 *   script_batch(s, "e-1", script_message("id1", "orders", "{\"n\":1}"));
 *   script_end(s);
 */
#ifndef SCRIPT_SERVER_H
#define SCRIPT_SERVER_H

#include <stddef.h>

typedef struct script_server script_server;

script_server *script_start(void);
/** The same at another address than 127.0.0.1. */
script_server *script_start_at(const char *address);
void script_end(script_server *s);

/** http://ADDRESS:PORT/comm/poll, in the ring of support_text(). */
const char *script_url(const script_server *s);
int script_port(const script_server *s);

/** Wait for the next request, 20 seconds at most. The connection on which it
 *  came is that of the calls below. */
void script_expect(script_server *s);

/** 1: a request came within ms; it is then as after script_expect(). */
int script_try(script_server *s, int ms);

/** Of the last request: "POST /comm/poll?device=x HTTP/1.1". */
const char *script_request_line(const script_server *s);
/** Value of a header of the last request; NULL: it has none. */
const char *script_header(const script_server *s, const char *name);
/** All of the last request's head. */
const char *script_head(const script_server *s);

/** The last request's body, with a NUL behind it; head and body together have
 *  up to 16 KB. It lives until the next request. */
const char *script_body(const script_server *s);

/** The calls below are about another connection: counted from 0, in the order
 *  in which they were made. */
void script_switch(script_server *s, int number);

/** Send bytes as they are. */
void script_raw(script_server *s, const char *data, size_t len);

/** Answer with a status line's rest ("200 OK"), headers ("A: b\r\n...", may be
 *  "") and a body; Content-Length is added unless the status is 204. */
void script_answer(script_server *s, const char *status, const char *headers,
                   const char *body);

/** Answer 200 with a batch; `messages` are objects with commas between. */
void script_batch(script_server *s, const char *cursor, const char *messages);

/** Answer 204 with this Comm-Cursor; NULL: without one. */
void script_nothing(script_server *s, const char *cursor);

/** Close the connection of the last request without a word. */
void script_cut(script_server *s);

/** A message object, in the ring of support_text(). `data` is JSON. */
const char *script_message(const char *id, const char *app, const char *data);

#endif
