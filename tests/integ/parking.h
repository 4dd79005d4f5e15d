/* SPDX-License-Identifier: Apache-2.0
 * parking.h - what the tests of parked connections share.
 */
#ifndef PARKING_H
#define PARKING_H

#include <stdlib.h>
#include <string.h>

#include "support/support.h"

#define WAIT_LONG "Prefer: wait=40\r\n"

static inline int parking_read_held(const http_answer *answer)
{
    ck_assert_int_eq(answer->status, 200);
    return atoi(support_json(answer->body, "waiting"));
}

/** Requests held by all children, as the status tells. */
static inline int parking_held(const httpd *server)
{
    return parking_read_held(http_once(server, "GET", "/comm/status", "admin",
                                       "Accept: application/json\r\n", NULL));
}

/** Wait until that many are held. */
static inline void parking_await(const httpd *server, int held)
{
    wait_until(parking_held(server) == held, 15000);
}

/** Open a connection and send a poll that will be held. */
static inline http *parking_poll(const httpd *server, const char *user)
{
    http *c = http_open(server);

    http_ask(c, "GET", "/comm/poll", user, WAIT_LONG, NULL);
    return c;
}

/** Publish a text; it must be accepted. */
static inline void parking_publish(const httpd *server, const char *client,
                                   const char *text)
{
    http_answer *answer =
        http_once(server, "POST", support_text("/comm/publish/orders/%s", client),
                  "backend", "Content-Type: text/plain\r\n", text);

    ck_assert_msg(answer->status == 201, "publish: %d %s", answer->status, answer->body);
}

/** A connection whose next request is read by an event thread: two publishes in
 *  a row have come on it. */
static inline http *parking_adopt(const httpd *server)
{
    http *c = http_open(server);
    int i;

    for (i = 0; i < 2; i++) {
        ck_assert_int_eq(http_call(c, "POST", "/comm/publish/orders/erin", "backend",
                                   "Content-Type: text/plain\r\n", "x")
                             ->status,
                         201);
    }
    return c;
}

/** The answer has one message, with this text. */
static inline void parking_expect(const http_answer *answer, const char *text)
{
    ck_assert_msg(answer->status == 200, "poll: %d %s", answer->status, answer->body);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), text);
}

/** Acknowledge what the answer brought and read what is next, on c. */
static inline http_answer *parking_next(http *c, const char *user, const char *cursor,
                                        const char *prefer)
{
    const char *headers = support_text("Last-Event-ID: %s\r\n%s", cursor, prefer);

    return http_call(c, "POST", "/comm/poll", user, headers, "");
}

#endif
