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

#define EACH_BYTE(value) (UINT64_C(0x0101010101010101) * (value))

/* Whether one of eight bytes is below `least` (at most 0x80). */
static int has_below(uint64_t eight, unsigned least)
{
    return ((eight - EACH_BYTE(least)) & ~eight & EACH_BYTE(0x80)) != 0;
}

static int has_escape(uint64_t eight)
{
    return has_below(eight, 0x20) || has_below(eight ^ EACH_BYTE('"'), 1)
           || has_below(eight ^ EACH_BYTE('\\'), 1);
}

/* Where the next byte that must be escaped is, from `from` on; len: nowhere. */
static size_t find_escape(const char *body, size_t from, size_t len)
{
    uint64_t eight;

    for (; len - from >= sizeof eight; from += sizeof eight) {
        memcpy(&eight, body + from, sizeof eight);
        if (has_escape(eight))
            break;
    }
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

static const char *quote_text(const char *body, size_t len, apr_pool_t *pool,
                              apr_size_t *out_len)
{
    size_t total = quoted_length(body, len);
    char *start = apr_palloc(pool, total);
    char *out = start;
    size_t from = 0;
    size_t i;

    *out++ = '"';
    while ((i = find_escape(body, from, len)) < len) {
        memcpy(out, body + from, i - from);
        out = put_escaped(out + (i - from), (unsigned char)body[i]);
        from = i + 1;
    }
    if (len > from)
        memcpy(out, body + from, len - from);
    out += len - from;
    *out = '"';
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
