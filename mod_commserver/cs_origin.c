/* SPDX-License-Identifier: Apache-2.0
 * cs_origin.c - may the web page that sent this request talk to us?
 */
#include "cs_compat.h"
#include "cs_origin.h"

#include <apr_lib.h>
#include <apr_strings.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOST_CHARACTERS "abcdefghijklmnopqrstuvwxyz0123456789.-_"

/* The length of a host name or of a bracketed IPv6 address at `text`; 0: none. */
static size_t host_length(const char *text)
{
    if (*text == '[') {
        size_t len = strspn(text + 1, "0123456789abcdef:.");

        return len && text[len + 1] == ']' ? len + 2 : 0;
    }
    return strspn(text, HOST_CHARACTERS);
}

static int port_is_implied(const char *scheme, size_t len, const char *port)
{
    return (len == 4 && !memcmp(scheme, "http", 4) && !strcmp(port, "80"))
           || (len == 5 && !memcmp(scheme, "https", 5) && !strcmp(port, "443"));
}

apr_status_t cs_origin_normalize(const char *text, apr_pool_t *p,
                                 const char **out_origin)
{
    char *copy = apr_pstrdup(p, text);
    size_t scheme_len, host_len;
    char *c, *port;

    for (c = copy; *c; c++)
        *c = (char)apr_tolower(*c);
    if (!apr_isalpha(*copy))
        return APR_EINVAL;
    scheme_len = strspn(copy, "abcdefghijklmnopqrstuvwxyz0123456789+-.");
    if (strncmp(copy + scheme_len, "://", 3))
        return APR_EINVAL;
    host_len = host_length(copy + scheme_len + 3);
    if (!host_len)
        return APR_EINVAL;
    port = copy + scheme_len + 3 + host_len;
    if (*port) {
        size_t digits = strspn(port + 1, "0123456789");

        if (*port != ':' || digits < 1 || digits > 5 || port[1 + digits]
            || atoi(port + 1) > 65535)
            return APR_EINVAL;
        if (port_is_implied(copy, scheme_len, port + 1))
            *port = '\0';
    }
    *out_origin = copy;
    return APR_SUCCESS;
}

static int is_listed(const char *origin, const apr_array_header_t *allowed)
{
    int i;

    for (i = 0; allowed && i < allowed->nelts; i++) {
        if (!strcmp(origin, APR_ARRAY_IDX(allowed, i, const char *)))
            return 1;
    }
    return 0;
}

static int is_own(const char *origin, const cs_origin_fields *fields, apr_pool_t *p)
{
    const char *own;

    if (!fields->host || !fields->scheme)
        return 0;
    if (cs_origin_normalize(apr_pstrcat(p, fields->scheme, "://", fields->host, NULL), p,
                            &own) != APR_SUCCESS)
        return 0;
    return !strcmp(origin, own);
}

cs_origin_verdict cs_origin_decide(const cs_origin_fields *fields,
                                   const apr_array_header_t *allowed, apr_pool_t *p,
                                   const char **out_origin)
{
    int cross_site = fields->fetch_site && !strcasecmp(fields->fetch_site, "cross-site");
    const char *origin;

    if (!fields->origin)
        return cross_site ? CS_ORIGIN_FOREIGN : CS_ORIGIN_OWN;
    if (cs_origin_normalize(fields->origin, p, &origin) != APR_SUCCESS)
        return CS_ORIGIN_FOREIGN;
    if (is_listed(origin, allowed)) {
        *out_origin = fields->origin;
        return CS_ORIGIN_ALLOWED;
    }
    return !cross_site && is_own(origin, fields, p) ? CS_ORIGIN_OWN : CS_ORIGIN_FOREIGN;
}
