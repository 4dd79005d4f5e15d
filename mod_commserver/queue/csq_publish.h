/* SPDX-License-Identifier: Apache-2.0
 * csq_publish.h - the steps of a publish, for csq_append.c (to some) and
 * csq_broadcast.c (to many). Not for others.
 */
#ifndef CSQ_PUBLISH_H
#define CSQ_PUBLISH_H

#include "csq_private.h"

/* One queue that a message goes to. */
typedef struct csq_place {
    uint32_t queue;            /* 0: is made for it                           */
    uint32_t number;           /* of the entry                                */
    uint32_t old;              /* entry that it takes the place of; 0: none   */
    uint32_t target;           /* whose it is, for the caller                 */
    int copy;                  /* one of several for a client: never refused  */
} csq_place;

typedef struct csq_publishing {
    csq *q;
    const csq_message *message;
    csq_origin_name origin;
    csq_limits limits;
    apr_time_t now;
    uint64_t time;             /* ms                                          */
    uint64_t expires;
    int now_only;              /* for who is there only                       */
    int spread;               /* the message has ENTRY chunks                */
    uint8_t id[CSQ_ID_BYTES];
    csq_place *places;
    uint32_t count;            /* places                                      */
    uint32_t chain;            /* chunks taken and not yet used               */
    uint32_t origin_number;
    uint32_t stored;           /* the message; 0: not yet                     */
    uint32_t receipt;
    csq_ring_set rings;
} csq_publishing;

/** Check the message and draw its id. As csq_append(). */
apr_status_t csq_publishing_begin(csq_publishing *p, csq *q, const csq_message *message,
                                  apr_time_t now);
/** A message for now goes to who waits or was here a moment ago. */
int csq_place_is_there(const csq_publishing *p, const csq_queue *queue);
/** Is there room in an existing queue? CSQ_QUEUE_FULL, CSQ_SEGMENT_FULL,
 *  CSQ_BUSY, CSQ_RETRY, CSQ_DAMAGED. */
apr_status_t csq_place_judge_locked(csq_publishing *p, unsigned shard, csq_place *place);
/** Chunks that the places need, and the message if it is not made yet. */
uint32_t csq_publishing_chunks(const csq_publishing *p);
/** Take them all and `more`, which stay in p->chain; make the head of the
 *  message and the entries. CSQ_SEGMENT_FULL, CSQ_BUSY, CSQ_RETRY: nothing
 *  has changed. CSQ_DAMAGED. */
apr_status_t csq_publishing_take_locked(csq_publishing *p, uint32_t more);
/** Write the data. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_publishing_write(csq_publishing *p);
/** Make room if the policy says so, and link. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_place_link_locked(csq_publishing *p, unsigned shard,
                                   const csq_place *place);
/** From now on it counts. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_publishing_commit(csq_publishing *p, unsigned shard);
/** What it replaces leaves; who waits is rung. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_place_finish_locked(csq_publishing *p, unsigned shard,
                                     const csq_place *place);
/** It was for nobody: only its fate is kept. CSQ_BUSY, CSQ_RETRY. */
apr_status_t csq_publishing_nobody(csq_publishing *p);

#endif
