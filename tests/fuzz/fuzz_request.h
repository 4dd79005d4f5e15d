/* SPDX-License-Identifier: Apache-2.0
 * fuzz_request.h - an input that is a request: the first line is its path and
 * query, as sent; then lines "Name: value", a blank line, the body.
 */
#ifndef FUZZ_REQUEST_H
#define FUZZ_REQUEST_H

#include <apr_pools.h>
#include <apr_tables.h>

#include "fuzz.h"

typedef struct fuzz_request {
    char *path;          /* decoded; NULL: httpd refuses it                 */
    char *query;         /* as sent; NULL: none                             */
    apr_table_t *fields; /* of the same name: joined with ", ", as httpd has it */
    char *body;
    size_t len;
} fuzz_request;

void fuzz_request_parse(fuzz_input *input, apr_pool_t *p, fuzz_request *out_request);

#endif
