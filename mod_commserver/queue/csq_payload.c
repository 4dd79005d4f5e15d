/* SPDX-License-Identifier: Apache-2.0
 * csq_payload.c - a body becomes the value that stands behind "data":.
 *
 * JSON stays as it is, but on one line; text becomes a JSON string; anything
 * else becomes base64 in quotes. The wire value never holds CR or LF.
 */
#include "cs_compat.h"
#include "csq.h"
#include "csq_json.h"
#include "csq_utf8.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* Length of the media type, parameters and blanks left out. */
static size_t media_type_length(const char *type, const char **out_start)
{
    size_t len;

    while (*type == ' ' || *type == '\t')
        type++;
    len = strcspn(type, ";");
    while (len && (type[len - 1] == ' ' || type[len - 1] == '\t'))
        len--;
    *out_start = type;
    return len;
}

static int is_json_type(const char *type)
{
    static const char json[] = "application/json";
    static const char suffix[] = "+json";
    const char *start;
    size_t len;

    if (!type)
        return 0;
    len = media_type_length(type, &start);
    if (len == sizeof json - 1 && strncasecmp(start, json, len) == 0)
        return 1;
    return len >= sizeof suffix - 1
           && strncasecmp(start + len - (sizeof suffix - 1), suffix, sizeof suffix - 1)
                  == 0;
}

static const char *on_one_line(const char *body, size_t len, apr_pool_t *pool)
{
    char *copy;
    size_t i;

    if (!memchr(body, '\n', len) && !memchr(body, '\r', len))
        return body;
    copy = apr_palloc(pool, len);
    for (i = 0; i < len; i++)
        copy[i] = body[i] == '\n' || body[i] == '\r' ? ' ' : body[i];
    return copy;
}

/* ---- text -------------------------------------------------------------- */

/* The letter of a two-byte escape; 0: none. */
static char short_escape(unsigned char c)
{
    switch (c) {
    case '"':
    case '\\':
        return (char)c;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return 0;
    }
}

static int must_escape(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

/* Compared at once, as all processors in use can. */
typedef unsigned char vector __attribute__((vector_size(16)));

static int has_escape(const char *at)
{
    uint64_t halves[2];
    vector bytes;
    vector found;

    memcpy(&bytes, at, sizeof bytes);
    found = (vector)((bytes < 0x20) | (bytes == '"') | (bytes == '\\'));
    memcpy(halves, &found, sizeof found);
    return (halves[0] | halves[1]) != 0;
}

/* Where the next byte that must be escaped is, from `from` on; len: nowhere. */
static size_t find_escape(const char *body, size_t from, size_t len)
{
    while (len - from >= sizeof(vector) && !has_escape(body + from))
        from += sizeof(vector);
    while (from < len && !must_escape((unsigned char)body[from]))
        from++;
    return from;
}

static size_t quoted_length(const char *body, size_t len)
{
    size_t total = len + 2;
    size_t i;

    for (i = find_escape(body, 0, len); i < len; i = find_escape(body, i + 1, len))
        total += short_escape((unsigned char)body[i]) ? 1 : 5;
    return total;
}

static char *put_escaped(char *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    char letter = short_escape(c);

    *out++ = '\\';
    if (letter) {
        *out++ = letter;
        return out;
    }
    memcpy(out, "u00", 3);
    out[3] = hex[c >> 4];
    out[4] = hex[c & 15];
    return out + 5;
}

static char *copy_escaped(char *out, const char *body, size_t len)
{
    size_t from = 0;
    size_t i;

    while ((i = find_escape(body, from, len)) < len) {
        memcpy(out, body + from, i - from);
        out = put_escaped(out + (i - from), (unsigned char)body[i]);
        from = i + 1;
    }
    memcpy(out, body + from, len - from);
    return out + (len - from);
}

static const char *quote_text(const char *body, size_t len, apr_pool_t *pool,
                              apr_size_t *out_len)
{
    size_t total = quoted_length(body, len);
    char *start = apr_palloc(pool, total);

    start[0] = start[total - 1] = '"';
    if (total > len + 2)
        copy_escaped(start + 1, body, len);
    else if (len)
        memcpy(start + 1, body, len);
    *out_len = total;
    return start;
}

/* ---- binary ------------------------------------------------------------ */

static const char *quote_base64(const char *body, size_t len, apr_pool_t *pool,
                                apr_size_t *out_len)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = (const unsigned char *)body;
    size_t total = (len + 2) / 3 * 4 + 2;
    char *start = apr_palloc(pool, total);
    char *out = start;
    uint32_t three;

    *out++ = '"';
    for (; len >= 3; len -= 3, in += 3) {
        three = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        *out++ = digits[three >> 18];
        *out++ = digits[three >> 12 & 63];
        *out++ = digits[three >> 6 & 63];
        *out++ = digits[three & 63];
    }
    if (len) {
        three = (uint32_t)in[0] << 16 | (len > 1 ? (uint32_t)in[1] << 8 : 0);
        *out++ = digits[three >> 18];
        *out++ = digits[three >> 12 & 63];
        *out++ = len > 1 ? digits[three >> 6 & 63] : '=';
        *out++ = '=';
    }
    *out = '"';
    *out_len = total;
    return start;
}

apr_status_t csq_payload_encode(const char *type, const char *body, apr_size_t len,
                                apr_pool_t *pool, csq_encoding *out_encoding,
                                const char **out_data, apr_size_t *out_len)
{
    if (is_json_type(type)) {
        if (!csq_json_valid(body, len))
            return CSQ_BAD_JSON;
        *out_encoding = CSQ_JSON;
        *out_data = on_one_line(body, len, pool);
        *out_len = len;
    }
    else if (csq_utf8_valid(body, len) && (len == 0 || !memchr(body, '\0', len))) {
        *out_encoding = CSQ_TEXT;
        *out_data = quote_text(body, len, pool, out_len);
    }
    else {
        *out_encoding = CSQ_BINARY;
        *out_data = quote_base64(body, len, pool, out_len);
    }
    return APR_SUCCESS;
}
