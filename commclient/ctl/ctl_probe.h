/* SPDX-License-Identifier: Apache-2.0
 * ctl_probe.h - ask a server once, and say what its answer means for people.
 *
 * The poll is the agent's own (cc_transport.h), but is not held and
 * acknowledges nothing: it disturbs neither a running agent nor the queue.
 */
#ifndef CTL_PROBE_H
#define CTL_PROBE_H

#include "cc_compat.h"
#include "cc_config.h"
#include "cc_memory.h"
#include "cc_transport.h"

typedef struct ctl_probe {
    cc_answer answer; /* its texts are owned by the members below           */
    int64_t now;      /* ms since 1970, when the answer came                */
    char *error;
    char *body;
} ctl_probe;

/* Whom to ask, and as whom. */
typedef struct ctl_login {
    const cc_server_config *server;
    const char *password; /* goes with server->user; NULL: none             */
    const char *token;    /* NULL: none                                     */
} ctl_login;

/** Send one request and wait for the answer, connect_timeout and 10 s at most.
 *  The login in the request is not looked at.
 *  @return CC_OK: `out_probe` is set; CC_SYSTEM: libcurl cannot be used */
cc_status ctl_probe_send(const ctl_login *login, const cc_poll *request,
                         ctl_probe *out_probe);
cc_status ctl_probe_upload(const ctl_login *login, const cc_upload *request,
                           ctl_probe *out_probe);

/** A poll that is not held and acknowledges nothing.
 *  @param cursor  what follows it is asked for; NULL: the oldest
 *  @param max     messages in the answer
 *  @return as ctl_probe_send() */
cc_status ctl_probe_poll(const ctl_login *login, const char *cursor, int max,
                         ctl_probe *out_probe);
void ctl_probe_clear(ctl_probe *probe);

/* What an answer means. Texts are owned. */
typedef struct ctl_verdict {
    int is_fine;
    char *what;   /* one sentence                                           */
    char *remedy; /* what to do; NULL when fine                             */
} ctl_verdict;

void ctl_probe_judge(const cc_server_config *server, const ctl_probe *probe,
                     ctl_verdict *out_verdict);
void ctl_verdict_clear(ctl_verdict *verdict);

/** ms that the server's clock is ahead of this one, to the second; 0: it did
 *  not say. */
int64_t ctl_probe_skew(const ctl_probe *probe);

#endif
