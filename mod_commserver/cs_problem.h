/* SPDX-License-Identifier: Apache-2.0
 * cs_problem.h - everything that can be answered but success (RFC 9457).
 *
 * One table makes the enum, the answers, the counters in the segment and the
 * table in doc/protocol.md (compared by a lint test). The number of a row is
 * that of its counter: append, never renumber.
 */
#ifndef CS_PROBLEM_H
#define CS_PROBLEM_H

#include <apr_errno.h>

/* name, type, HTTP status, Retry-After in seconds (0: none), title          */
#define CS_PROBLEM_MAP(X)                                                     \
    X(MALFORMED,     "malformed",     400,  0, "the request is malformed")    \
    X(ORIGIN,        "origin",        403,  0,                                \
      "web pages of this origin are not allowed")                             \
    X(IDENTITY,      "identity",      403,  0,                                \
      "the identity of the request cannot be used as a name")                 \
    X(SUBREQUEST,    "subrequest",    403,  0,                                \
      "not allowed from within another request")                              \
    X(POLICY,        "policy",        403,  0,                                \
      "a module of this server refused the message")                          \
    X(METHOD,        "method",        405,  0, "the method is not allowed")   \
    X(REPLACED,      "replaced",      409, 30,                                \
      "a newer poll of the same client took over")                            \
    X(TOO_LARGE,     "too-large",     413,  0,                                \
      "the message is larger than allowed")                                   \
    X(ENCODING,      "encoding",      415,  0,                                \
      "messages with a Content-Encoding are not taken")                       \
    X(CONFIGURATION, "configuration", 500,  0,                                \
      "the server is not configured for this path")                           \
    X(INTERNAL,      "internal",      500,  0, "the server failed")           \
    X(STARTING,      "starting",      503,  2, "the server is starting")      \
    X(STOPPING,      "stopping",      503,  2, "the server is stopping")      \
    X(BUSY,          "busy",          503,  1, "the server is busy")          \
    X(FULL,          "full",          507, 30, "there is no room")            \
    X(REFUSED,       "refused",       507, 30,                                \
      "refused for one or more of several receivers")                         \
    X(UNKNOWN,       "unknown",       404,  0, "there is no such thing")      \
    X(RUNNING,       "idempotency-running", 409, 1,                           \
      "a request with the same Idempotency-Key is being worked on")           \
    X(OTHER_BODY,    "idempotency-mismatch", 422, 0,                          \
      "the Idempotency-Key was used for another message")                     \
    X(UNKNOWN_MESSAGE, "unknown-message", 404, 0,                             \
      "no such message is known")                                             \
    X(FINISHED,      "finished",      410,  0,                                \
      "the message is in no queue any more")

#define CS_PROBLEM_ENUM(name, type, status, retry, title) CS_PROBLEM_##name,
typedef enum { CS_PROBLEM_MAP(CS_PROBLEM_ENUM) CS_PROBLEM_END } cs_problem;
#undef CS_PROBLEM_ENUM

/* "No problem" where a function returns one.                                */
#define CS_PROBLEM_NONE CS_PROBLEM_END

typedef struct cs_problem_row {
    const char *type;
    int status;
    int retry_after;    /* seconds, 0: no Retry-After                        */
    const char *title;
} cs_problem_row;

/** Never NULL; problem < CS_PROBLEM_END. */
const cs_problem_row *cs_problem_get(cs_problem problem);

/** The problem that a status of the queue core is answered with. */
cs_problem cs_problem_of_status(apr_status_t status);

#endif
