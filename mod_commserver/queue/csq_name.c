/* SPDX-License-Identifier: Apache-2.0
 * csq_name.c - what names may look like, and the text form of ids.
 *
 * Pure functions; the rules are those of doc/protocol.md.
 */
#include "cs_compat.h"
#include "csq.h"
#include "csq_utf8.h"

#include <string.h>

static int is_alphanumeric(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static apr_status_t check_token(const char *name, apr_size_t len, apr_size_t max)
{
    apr_size_t i;

    if (len < 1 || len > max || !is_alphanumeric((unsigned char)name[0]))
        return CSQ_BAD_NAME;
    for (i = 1; i < len; i++)
        if (!is_alphanumeric((unsigned char)name[i]) && name[i] != '.' && name[i] != '_'
            && name[i] != '-')
            return CSQ_BAD_NAME;
    return APR_SUCCESS;
}

apr_status_t csq_app_check(const char *name, apr_size_t len)
{
    return check_token(name, len, CSQ_APP_MAX);
}

apr_status_t csq_device_check(const char *name, apr_size_t len)
{
    return check_token(name, len, CSQ_DEVICE_MAX);
}

/* Control characters: C0, DEL and C1 (U+0080..U+009F are C2 80 .. C2 9F). */
static int is_control(const char *name, apr_size_t len, apr_size_t i)
{
    unsigned char c = (unsigned char)name[i];

    if (c < 0x20 || c == 0x7f)
        return 1;
    return c == 0xc2 && i + 1 < len && (unsigned char)name[i + 1] < 0xa0;
}

apr_status_t csq_client_check(const char *name, apr_size_t len)
{
    apr_size_t i;

    if (len < 1 || len > CSQ_CLIENT_MAX || !csq_utf8_valid(name, len))
        return CSQ_BAD_NAME;
    if ((len == 1 && (name[0] == '-' || name[0] == '.'))
        || (len == 2 && name[0] == '.' && name[1] == '.'))
        return CSQ_BAD_NAME;
    for (i = 0; i < len; i++)
        if (name[i] == '/' || is_control(name, len, i))
            return CSQ_BAD_NAME;
    return APR_SUCCESS;
}

apr_status_t csq_text_check(const char *text, apr_size_t len)
{
    apr_size_t i;

    if (!csq_utf8_valid(text, len))
        return CSQ_BAD_NAME;
    for (i = 0; i < len; i++)
        if (is_control(text, len, i))
            return CSQ_BAD_NAME;
    return APR_SUCCESS;
}

apr_status_t csq_topic_check(const char *name, apr_size_t len)
{
    apr_size_t i;

    if (len < 1 || len > CSQ_TOPIC_MAX)
        return CSQ_BAD_NAME;
    for (i = 0; i < len; i++)
        if (!is_alphanumeric((unsigned char)name[i]) && name[i] != '_' && name[i] != '-')
            return CSQ_BAD_NAME;
    return APR_SUCCESS;
}

apr_size_t csq_number_format(apr_uint64_t value, char out[CSQ_NUMBER_TEXT])
{
    char digits[CSQ_NUMBER_TEXT];
    int i = CSQ_NUMBER_TEXT;

    do {
        digits[--i] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    memcpy(out, digits + i, (size_t)(CSQ_NUMBER_TEXT - i));
    return (apr_size_t)(CSQ_NUMBER_TEXT - i);
}

static const char digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void csq_id_format(const unsigned char id[CSQ_ID_BYTES], char out[CSQ_ID_TEXT + 1])
{
    int i;

    for (i = 0; i < 15; i += 3) {
        *out++ = digits[id[i] >> 2];
        *out++ = digits[(id[i] & 3) << 4 | id[i + 1] >> 4];
        *out++ = digits[(id[i + 1] & 15) << 2 | id[i + 2] >> 6];
        *out++ = digits[id[i + 2] & 63];
    }
    *out++ = digits[id[15] >> 2];
    *out++ = digits[(id[15] & 3) << 4];
    *out = '\0';
}

apr_status_t csq_id_parse(const char *text, apr_size_t len,
                          unsigned char out_id[CSQ_ID_BYTES])
{
    unsigned bits = 0;
    unsigned n = 0;
    apr_size_t at = 0;
    apr_size_t i;
    const char *digit;

    if (len != CSQ_ID_TEXT)
        return CSQ_BAD_NAME;
    for (i = 0; i < len; i++) {
        digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit)
            return CSQ_BAD_NAME;
        bits = (bits << 6 | (unsigned)(digit - digits)) & 0xffff;
        n += 6;
        if (n >= 8) {
            n -= 8;
            out_id[at++] = (unsigned char)(bits >> n);
        }
    }
    return bits & ((1u << n) - 1) ? CSQ_BAD_NAME : APR_SUCCESS;
}

apr_status_t csq_key_parse(const char *text, char buffer[CSQ_CLIENT_MAX + 1],
                           csq_key *out_key)
{
    const char *slash = strchr(text, '/');
    apr_size_t len = slash ? (apr_size_t)(slash - text) : strlen(text);

    out_key->realm = NULL;
    out_key->client = text;
    out_key->device = slash ? slash + 1 : NULL;
    if (csq_client_check(text, len) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    if (!slash)
        return APR_SUCCESS;
    memcpy(buffer, text, len);
    buffer[len] = '\0';
    out_key->client = buffer;
    return csq_device_check(slash + 1, strlen(slash + 1));
}
