/* SPDX-License-Identifier: Apache-2.0
 * cs_deliver.h - one message on its way into the queues.
 *
 * What HTTP and sibling modules have in common: the body becomes a wire
 * value, siblings may refuse, the queue core takes it.
 */
#ifndef CS_DELIVER_H
#define CS_DELIVER_H

#include <httpd.h>

#include "mod_commserver.h"
#include "queue/csq.h"

typedef struct cs_delivery {
    const char *realm;
    commserver_message message;   /* complete, ttl granted                   */
    const char *const *names;     /* receivers as they were named, checked;
                                     NULL: message.group, or everybody       */
    const csq_key *keys;          /* the same, taken apart                   */
    int n;
    const unsigned char *id;      /* that it is to have; NULL: one is drawn  */
    const csq_digest *repeat;     /* its key was begun; NULL: it has none    */
    csq_refused_fn *each;         /* of a group: told of who was refused     */
    void *baton;
    /* set by cs_deliver() */
    csq_appended out;
    apr_status_t *refused;        /* n statuses with CSQ_REFUSED and where it
                                     is lenient; else NULL                   */
    int refusal;                  /* HTTP status with APR_EACCES             */
} cs_delivery;

/**
 * @param r  the publishing request, NULL: a module
 * @return APR_SUCCESS: out says for how many it was queued, which may be none;
 *         APR_EACCES: a sibling refused; CSQ_REFUSED: for none, and some were
 *         refused; or what csq_payload_encode(), csq_append() and
 *         csq_append_group() return.
 */
apr_status_t cs_deliver(request_rec *r, apr_pool_t *p, cs_delivery *delivery);

#endif
