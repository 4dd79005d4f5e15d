/* SPDX-License-Identifier: Apache-2.0
 * cs_repeat.c - a publish that may come twice (Idempotency-Key).
 */
#include "cs_compat.h"
#include "cs_repeat.h"

#include <string.h>

/* Most answers are shorter.                                                 */
#define USUAL_ANSWER 512

/* A key that stays "running" would be refused until it is forgotten.        */
#define END_ATTEMPTS 5

static csq_digest digest(csq *q, const char *const *texts, int n, const char *data,
                         apr_size_t len)
{
    const char *strings[6];
    apr_size_t lengths[6];
    int i;

    for (i = 0; i < n; i++) {
        strings[i] = texts[i] ? texts[i] : "";
        lengths[i] = strlen(strings[i]);
    }
    strings[n] = data;
    lengths[n] = len;
    return csq_digest_make(q, strings, lengths, n + 1);
}

apr_status_t cs_repeat_begin(csq *q, const cs_repeat_scope *scope,
                             const cs_repeat_body *body, csq_waiter owner,
                             apr_interval_time_t window, apr_time_t now, apr_pool_t *p,
                             cs_repeat *out_repeat)
{
    const char *const where[] = { scope->realm, scope->sender, scope->path,
                                  scope->query };
    const char *const what[] = { body->type, body->topic, body->urgency,
                                 body->preferences };
    csq_digest same = digest(q, what, 4, body->data, body->len);
    apr_size_t size = USUAL_ANSWER;
    apr_status_t rv;

    out_repeat->queue = q;
    out_repeat->key = digest(q, where, 4, scope->key, strlen(scope->key));
    do {
        out_repeat->answer = apr_palloc(p, size);
        out_repeat->len = size;
        rv = csq_repeat_begin(q, &out_repeat->key, &same, owner, window, now,
                              out_repeat->id, out_repeat->answer, &out_repeat->len);
        size = size < CSQ_ANSWER_MAX ? CSQ_ANSWER_MAX : 0;
    } while (rv == APR_ENOSPC && size);
    return rv;
}

apr_status_t cs_repeat_end(const cs_repeat *repeat, const char *answer, apr_size_t len)
{
    apr_status_t rv = CSQ_BUSY;
    int i;

    for (i = 0; i < END_ATTEMPTS && rv == CSQ_BUSY; i++)
        rv = answer ? csq_repeat_finish(repeat->queue, &repeat->key, answer, len)
                    : csq_repeat_forget(repeat->queue, &repeat->key);
    /* It took longer than it is remembered. */
    return rv == CSQ_EMPTY ? APR_SUCCESS : rv;
}
