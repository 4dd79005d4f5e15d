/* SPDX-License-Identifier: Apache-2.0
 * cs_request.h - the parts of a request, parsed and checked.
 *
 * Pure functions: text in, struct out, nothing of httpd. Each returns
 * APR_SUCCESS or APR_EINVAL and then sets *out_detail to words for the
 * client that say what is allowed.
 */
#ifndef CS_REQUEST_H
#define CS_REQUEST_H

#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_tables.h>

#include "queue/csq.h"

#define CS_TO_MAX 100       /* receivers of one message                      */

/* What is said of names that are none.                                      */
#define CS_BAD_CLIENT                                                         \
    "a client name is 1 to 255 bytes of UTF-8 without '/' and control "         \
    "characters, and not '-', '.' or '..'"
#define CS_BAD_DEVICE                                                         \
    "a device name is 1 to 32 letters, digits, '.', '_' or '-' and begins "     \
    "with a letter or digit"

typedef struct cs_query {
    const char *after;      /* ?after=CURSOR, NULL: absent                   */
    const char *device;     /* ?device=NAME, checked, NULL: absent           */
    apr_int64_t wait;       /* ?wait=SECONDS, -1: absent                     */
    apr_int64_t max;        /* ?max=COUNT, -1: absent                        */
    apr_int64_t changes;    /* ?changes=NUMBER, of 32 bits, -1: absent       */
    unsigned named_events : 1; /* ?event=app                                 */
    apr_array_header_t *to; /* ?to=..., of const char *: checked receivers,
                               each once; NULL: absent                       */
} cs_query;

typedef struct cs_prefer {
    apr_int64_t wait;       /* seconds, -1: absent                           */
    unsigned minimal : 1;   /* return=minimal                                */
    unsigned lenient : 1;   /* handling=lenient                              */
    unsigned async : 1;     /* respond-async                                 */
} cs_prefer;

/**
 * Parse a query, undecoded; NULL is an empty one. Names that are not known
 * are ignored; a known one but `to` may come once only.
 */
apr_status_t cs_request_query(const char *query, apr_pool_t *p, cs_query *out_query,
                              const char **out_detail);

/** Take a receiver apart: {client} or {client}/{device}. @param out_key  the
 *  realm is NULL; device NULL: none is named */
apr_status_t cs_request_receiver(const char *name, apr_pool_t *p, csq_key *out_key,
                                 const char **out_detail);

/** Parse Prefer (RFC 7240); NULL is an absent one. Of a preference that is
 *  repeated the first counts; unknown ones are ignored. */
apr_status_t cs_request_prefer(const char *field, apr_pool_t *p, cs_prefer *out_prefer,
                               const char **out_detail);

/** Parse TTL (RFC 8030). @param longest  larger values become this one. */
apr_status_t cs_request_ttl(const char *field, apr_int64_t longest,
                            apr_int64_t *out_seconds, const char **out_detail);

/** Check Topic (RFC 8030). */
apr_status_t cs_request_topic(const char *field, const char **out_detail);

/** Parse Urgency (RFC 8030): one of its four words. */
apr_status_t cs_request_urgency(const char *field, csq_urgency *out_urgency,
                                const char **out_detail);

#define CS_IDS_MAX 100      /* messages that one request acknowledges        */

typedef unsigned char cs_id[CSQ_ID_BYTES];

/** Parse Comm-Acknowledged: a list of ids.
 *  @param out_ids  of cs_id, 1 to CS_IDS_MAX; each once */
apr_status_t cs_request_ids(const char *field, apr_pool_t *p,
                            apr_array_header_t **out_ids, const char **out_detail);
#define CS_IDEMPOTENCY_KEY_MAX 255  /* characters                            */

/** Parse Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a string
 *  of RFC 8941, of 1 to CS_IDEMPOTENCY_KEY_MAX characters, without parameters.
 *  @param out_key  what stands in the quotes, in p */
apr_status_t cs_request_idempotency_key(const char *field, apr_pool_t *p,
                                        const char **out_key, const char **out_detail);

/**
 * Whether Accept (RFC 9110) asks for an event stream rather than for JSON: it
 * names text/event-stream, with a weight that is not 0 and no less than what
 * it gives application/json, by name or by a range. NULL: no.
 */
int cs_request_prefers_stream(const char *accept);

/** @return not 0 when text is UTF-8 (shortest forms, no surrogates) without
 *  control characters. */
int cs_request_is_text(const char *text);

#endif
