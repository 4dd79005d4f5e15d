/* SPDX-License-Identifier: Apache-2.0
 * fuzz_request.c - see fuzz_request.h.
 */
#include <apr_lib.h>
#include <apr_strings.h>

#include "fuzz_request.h"

/* @return without its line end; NULL: there is none left */
static char *take_line(fuzz_input *input, apr_pool_t *p)
{
    const uint8_t *end;
    size_t len;
    char *line;

    if (input->left == 0) {
        return NULL;
    }
    end = memchr(input->data, '\n', input->left);
    len = end != NULL ? (size_t)(end - input->data) : input->left;
    line = apr_pstrmemdup(p, (const char *)input->data, len);
    input->data += len + (end != NULL);
    input->left -= len + (end != NULL);
    line[strcspn(line, "\r")] = '\0';
    return line;
}

static int hex_value(char c)
{
    if (apr_isdigit(c)) {
        return c - '0';
    }
    return apr_isxdigit(c) ? apr_tolower(c) - 'a' + 10 : -1;
}

/* As httpd does: no NUL, no encoded slash. */
static char *decode_path(const char *text, apr_pool_t *p)
{
    char *out = apr_palloc(p, strlen(text) + 1), *o = out;

    for (; *text != '\0'; text++) {
        int high, low;

        if (*text != '%') {
            *o++ = *text;
            continue;
        }
        high = hex_value(text[1]);
        low = high >= 0 ? hex_value(text[2]) : -1;
        if (low < 0 || high * 16 + low == 0 || high * 16 + low == '/') {
            return NULL;
        }
        *o++ = (char)(high * 16 + low);
        text += 2;
    }
    *o = '\0';
    return apr_pstrdup(p, out);
}

static void take_target(fuzz_input *input, apr_pool_t *p, fuzz_request *request)
{
    char *line = take_line(input, p), *question;

    if (line == NULL) {
        line = apr_pstrdup(p, "");
    }
    question = strchr(line, '?');
    if (question != NULL) {
        *question = '\0';
        request->query = apr_pstrdup(p, question + 1);
    }
    request->path = decode_path(line, p);
}

void fuzz_request_parse(fuzz_input *input, apr_pool_t *p, fuzz_request *out_request)
{
    char *line, *colon;

    memset(out_request, 0, sizeof(*out_request));
    take_target(input, p, out_request);
    out_request->fields = apr_table_make(p, 8);
    while ((line = take_line(input, p)) != NULL && *line != '\0') {
        colon = strchr(line, ':');
        if (colon == NULL) {
            continue;
        }
        *colon++ = '\0';
        apr_table_mergen(out_request->fields, line,
                         apr_pstrdup(p, colon + strspn(colon, " \t")));
    }
    out_request->body = apr_palloc(p, input->left);
    out_request->len = input->left;
    if (input->left > 0) {
        memcpy(out_request->body, input->data, input->left);
    }
}
