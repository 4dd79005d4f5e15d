/* SPDX-License-Identifier: Apache-2.0
 * cc_base64.h - base64 of RFC 4648, with padding. Pure.
 */
#ifndef CC_BASE64_H
#define CC_BASE64_H

#include "cc_compat.h"
#include "cc_memory.h"
#include "cc_status.h"

/** Add the text form of `len` bytes. */
void cc_base64_encode(cc_buffer *out, const char *data, size_t len);

/** Add the bytes that a text stands for: the usual alphabet, padded, nothing
 *  else between. @return CC_OK or CC_MALFORMED; `out` then holds a part. */
cc_status cc_base64_decode(cc_buffer *out, const char *text, size_t len);

#endif
