/* SPDX-License-Identifier: Apache-2.0
 * cs_response.h - what is answered, as bytes.
 *
 * Pure functions: struct in, text out, nothing of httpd. The two that run for
 * every message (a batch, a receipt) write into a buffer of the caller, whose
 * size they tell beforehand, so that an answer is one piece of memory.
 */
#ifndef CS_RESPONSE_H
#define CS_RESPONSE_H

#include <apr_pools.h>
#include <apr_time.h>

#include "cs_problem.h"
#include "queue/csq.h"

/* "2026-01-31T23:59:59.123Z", without a NUL                                 */
#define CS_TIME_TEXT 24

/** Bytes that cs_response_batch() will write at most. */
apr_size_t cs_response_batch_size(const csq_batch *batch);

/** Write the JSON of a batch. @return bytes written, no NUL behind them. */
apr_size_t cs_response_batch(const csq_batch *batch, char *out);

/* ---- an event stream (HTML standard, server-sent events) ---------------- */

/** Bytes that cs_response_events() will write at most. */
apr_size_t cs_response_events_size(const csq_batch *batch);

/**
 * Write a batch as events: one for its gap, then one for each message, its id
 * the cursor behind it. A gap that comes with messages has no id, so that who
 * does not get them is told again.
 * @param named  each event has the name of its application
 * @return bytes written, no NUL behind them
 */
apr_size_t cs_response_events(const csq_batch *batch, int named, char *out);

/* A client that was refused, of several.                                    */
typedef struct cs_refusal {
    const char *client;       /* or {client}/{device}; NULL: all from here on */
    cs_problem problem;
} cs_refusal;

/* What a publish is answered with.                                          */
typedef struct cs_receipt {
    const unsigned char *id;
    const char *state;
    int several;              /* `to` means something                        */
    apr_uint32_t to;          /* for how many it was queued                  */
    apr_uint32_t refused;     /* for how many it was not                     */
    const cs_refusal *refusals; /* some of them                              */
    int n;
} cs_receipt;

/** The word for a state. */
const char *cs_response_state(csq_state state);

/** Bytes that cs_response_receipt() will write at most. */
apr_size_t cs_response_receipt_size(const cs_receipt *receipt);

/** Write the JSON that answers a publish. @return bytes written, no NUL behind
 *  them. */
apr_size_t cs_response_receipt(const cs_receipt *receipt, char *out);

/* Bytes of what became of a message at most.                                */
#define CS_MESSAGE_TEXT 384

/** Write the JSON of what became of a message; how many there are in each
 *  state only where it went to several queues. */
apr_size_t cs_response_message(const unsigned char id[CSQ_ID_BYTES],
                               const csq_message_info *info, char out[CS_MESSAGE_TEXT]);

/** The JSON of a new membership. @return in p, a NUL behind it */
char *cs_response_member(const char *group, const char *client, apr_pool_t *p,
                         apr_size_t *out_len);

/**
 * @param status    the HTTP status; 0: that of the problem's row
 * @param detail    words about this request, NULL: none
 * @param refusals  NULL: none
 * @return JSON with a NUL behind it, in p
 */
char *cs_response_problem(cs_problem problem, int status, const char *detail,
                          const cs_refusal *refusals, int n, apr_pool_t *p,
                          apr_size_t *out_len);

/** @return JSON with a NUL behind it, in p */
char *cs_response_status(const csq_stats *stats, apr_pool_t *p, apr_size_t *out_len);

/** UTC, RFC 3339 with milliseconds. */
void cs_response_time(apr_time_t time, char out[CS_TIME_TEXT]);

#endif
