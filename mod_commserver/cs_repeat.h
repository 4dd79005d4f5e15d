/* SPDX-License-Identifier: Apache-2.0
 * cs_repeat.h - a publish that may come twice (Idempotency-Key).
 *
 * Nothing of httpd. What is kept of an answer is text of the caller; the id of
 * the message belongs to the request, so that who comes after a death can tell
 * whether it was queued.
 */
#ifndef CS_REPEAT_H
#define CS_REPEAT_H

#include <apr_pools.h>

#include "queue/csq.h"

/* What tells a request from another. NULL and "" are the same.              */
typedef struct cs_repeat_scope {
    const char *realm;
    const char *sender;
    const char *path;  /* decoded                                     */
    const char *query; /* as sent                                     */
    const char *key;
} cs_repeat_scope;

/* What must be the same when it comes again. Fields as sent.                */
typedef struct cs_repeat_body {
    const char *type; /* Content-Type                                */
    const char *topic;
    const char *urgency;
    const char *preferences; /* those that were applied                     */
    const char *data;
    apr_size_t len;
} cs_repeat_body;

/* A request that is being worked on.                                        */
typedef struct cs_repeat {
    csq *queue;
    csq_digest key;
    unsigned char id[CSQ_ID_BYTES]; /* that the message must have, or has    */
    char *answer;                   /* with CSQ_REPEATED: what was kept            */
    apr_size_t len;                 /* 0: it died before something was kept        */
} cs_repeat;

/**
 * Begin.
 * @param owner   a waiter of this process
 * @param window  how long it is remembered
 * @return APR_SUCCESS: publish it with repeat->id, then cs_repeat_end();
 *         CSQ_REPEATED, CSQ_RUNNING, CSQ_OTHER_BODY, CSQ_SEGMENT_FULL, CSQ_BUSY,
 *         CSQ_CLOSED, CSQ_DAMAGED.
 */
apr_status_t cs_repeat_begin(csq *q, const cs_repeat_scope *scope,
                             const cs_repeat_body *body, csq_waiter owner,
                             apr_interval_time_t window, apr_time_t now, apr_pool_t *p,
                             cs_repeat *out_repeat);

/**
 * It has had its effect, or (answer NULL) none.
 * @param len  up to CSQ_ANSWER_MAX
 * @return APR_SUCCESS, CSQ_SEGMENT_FULL (it is remembered, its answer is not),
 *         CSQ_BUSY, CSQ_CLOSED, CSQ_DAMAGED.
 */
apr_status_t cs_repeat_end(const cs_repeat *repeat, const char *answer, apr_size_t len);

#endif
