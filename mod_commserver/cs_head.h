/* SPDX-License-Identifier: Apache-2.0
 * cs_head.h - where the head of an HTTP/1 request ends. Pure.
 */
#ifndef CS_HEAD_H
#define CS_HEAD_H

#include <apr.h>

/**
 * Length of the head that begins at data, up to and with its blank line.
 * Lines end with LF or CR LF; blank lines before a head belong to it.
 * @param from  nothing before it needs to be looked at again
 * @return 0: it is not whole yet
 */
apr_size_t cs_head_length(const char *data, apr_size_t len, apr_size_t from);

#endif
