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
    const char *const *clients;   /* checked names                           */
    int n;
    /* set by cs_deliver() */
    unsigned char id[CSQ_ID_BYTES];
    apr_status_t *refused;        /* n statuses with CSQ_REFUSED, else NULL  */
    int refusal;                  /* HTTP status with APR_EACCES             */
} cs_delivery;

/**
 * @param r  the publishing request, NULL: a module
 * @return APR_SUCCESS; APR_EACCES: a sibling refused; or what
 *         csq_payload_encode() and csq_append() return.
 */
apr_status_t cs_deliver(request_rec *r, apr_pool_t *p, cs_delivery *delivery);

#endif
