/* SPDX-License-Identifier: Apache-2.0
 * cs_head.c - where the head of an HTTP/1 request ends; see cs_head.h.
 */
#include "cs_compat.h"

#include "cs_head.h"

#include <string.h>

apr_size_t cs_head_length(const char *data, apr_size_t len, apr_size_t from)
{
    apr_size_t begin = 0, at;

    while (begin < len && (data[begin] == '\r' || data[begin] == '\n')) {
        begin++;
    }
    at = from > begin ? from : begin;
    while (at < len) {
        const char *lf = memchr(data + at, '\n', len - at);
        apr_size_t next;

        if (lf == NULL) {
            break;
        }
        next = (apr_size_t)(lf - data) + 1;
        if (next < len && data[next] == '\n') {
            return next + 1;
        }
        if (next + 1 < len && data[next] == '\r' && data[next + 1] == '\n') {
            return next + 2;
        }
        at = next;
    }
    return 0;
}
