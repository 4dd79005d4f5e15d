/* SPDX-License-Identifier: Apache-2.0
 * cs_origin.h - may the web page that sent this request talk to us?
 *
 * Pure functions. A browser adds the user's password to requests of any page
 * whatsoever; so requests that come from pages of other sites are refused
 * unless their origin was allowed by name. Programs send none of the fields
 * looked at here and pass.
 */
#ifndef CS_ORIGIN_H
#define CS_ORIGIN_H

#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_tables.h>

typedef enum {
    CS_ORIGIN_OWN,      /* a program, or a page of this server               */
    CS_ORIGIN_ALLOWED,  /* a page of another origin that is on the list      */
    CS_ORIGIN_FOREIGN   /* refuse                                            */
} cs_origin_verdict;

/* Fields of a request; NULL where absent.                                   */
typedef struct cs_origin_fields {
    const char *origin;      /* Origin                                       */
    const char *fetch_site;  /* Sec-Fetch-Site                               */
    const char *scheme;      /* http or https, of the server                 */
    const char *host;        /* Host, with a port if it has one              */
} cs_origin_fields;

/**
 * Bring "scheme://host[:port]" into the one form that is compared: lower
 * case, without the port that the scheme implies.
 * @return APR_SUCCESS; APR_EINVAL: anything else, `null` and `*` included.
 */
apr_status_t cs_origin_normalize(const char *text, apr_pool_t *p,
                                 const char **out_origin);

/**
 * @param allowed     normalized origins (const char *), NULL: none
 * @param out_origin  set with CS_ORIGIN_ALLOWED: the field as it was sent
 */
cs_origin_verdict cs_origin_decide(const cs_origin_fields *fields,
                                   const apr_array_header_t *allowed, apr_pool_t *p,
                                   const char **out_origin);

#endif
