/* SPDX-License-Identifier: Apache-2.0
 * publishing.h - what the tests of the publish handler share.
 */
#ifndef PUBLISHING_H
#define PUBLISHING_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

/** POST to a path below /comm/publish, as "backend". */
static inline http_answer *publishing_post(const httpd *server, const char *path,
                                           const char *headers, const char *body)
{
    return http_once(server, "POST", support_text("/comm/publish%s", path), "backend",
                     headers, body);
}

/** The same; it must be queued. @return the answer's body */
static inline const char *publishing_queue(const httpd *server, const char *path,
                                           const char *headers, const char *body)
{
    http_answer *answer = publishing_post(server, path, headers, body);

    ck_assert_msg(answer->status == 201, "%d: %s", answer->status, answer->body);
    ck_assert_str_eq(support_json(answer->body, "state"), "queued");
    return answer->body;
}

static inline const char *publishing_poll_path(const char *device)
{
    return device ? support_text("/comm/poll?device=%s", device) : "/comm/poll?";
}

/** Everything that waits for a device (NULL: the nameless), as JSON; "": nothing. */
static inline const char *publishing_waiting(const httpd *server, const char *user,
                                             const char *device)
{
    http_answer *answer =
        http_once(server, "GET", publishing_poll_path(device), user, NULL, NULL);

    return answer->status == 200 ? answer->body : "";
}

/** Acknowledge all that waits, and make the device known. Without a parser: some
 *  payloads are nested deeper than json-c likes. */
static inline void publishing_forget(const httpd *server, const char *user,
                                     const char *device)
{
    const char *batch = publishing_waiting(server, user, device);
    char cursor[128];

    if (sscanf(batch, "{\"cursor\":\"%127[0-9a-f.-]\"", cursor) == 1) {
        http_once(server, "POST",
                  support_text("%s&after=%s", publishing_poll_path(device), cursor), user,
                  "Prefer: return=minimal\r\n", NULL);
    }
    ck_assert_str_eq(publishing_waiting(server, user, device), "");
}

/** The payloads that wait, in order, as "one two". */
static inline void publishing_expect(const httpd *server, const char *user,
                                     const char *device, const char *payloads)
{
    const char *batch = publishing_waiting(server, user, device);
    const char *data;
    char text[1024] = "";
    int i;

    for (i = 0; *batch; i++) {
        data = support_json(batch, support_text("messages.%d.data", i));
        if (!data)
            break;
        ck_assert_uint_lt(strlen(text) + strlen(data) + 2, sizeof(text));
        if (i)
            strcat(text, " ");
        strcat(text, data);
    }
    ck_assert_msg(!strcmp(text, payloads), "'%s' waits for %s/%s, not '%s'", text, user,
                  device ? device : "", payloads);
}

static inline void publishing_expect_problem(const http_answer *answer, int status,
                                             const char *type)
{
    ck_assert_msg(answer->status == status, "%d, not %d: %s", answer->status, status,
                  answer->body);
    ck_assert_str_eq(http_header(answer, "Content-Type"), "application/problem+json");
    ck_assert_str_eq(http_header(answer, "Cache-Control"), "no-store");
    ck_assert_str_eq(support_json(answer->body, "type"), type);
    ck_assert_int_eq(atoi(support_json(answer->body, "status")), status);
    ck_assert_ptr_nonnull(support_json(answer->body, "title"));
}

#endif
