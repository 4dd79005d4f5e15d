/* SPDX-License-Identifier: Apache-2.0
 * fuzz_csq_payload.c - any body of any type becomes a JSON value on one line
 * that stands for the same body.
 *
 * Input: the type, a NUL, the body. json-c is the other opinion.
 */
#include <apr_base64.h>
#include <json.h>

#include "queue/csq.h"

#include "fuzz.h"
#include "fuzz_pool.h"

static json_object *parse(const char *text, size_t len)
{
    json_tokener *tokener = json_tokener_new_ex(128);
    json_object *value;

    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    value = json_tokener_parse_ex(tokener, text, (int)len);
    /* A number may go on until it is told that this is the end. */
    if (json_tokener_get_error(tokener) == json_tokener_continue) {
        value = json_tokener_parse_ex(tokener, "", 1);
    }
    FUZZ_CHECK(json_tokener_get_error(tokener) == json_tokener_success);
    json_tokener_free(tokener);
    return value;
}

static void check_text(const char *data, size_t len, const char *body, size_t body_len)
{
    json_object *value = parse(data, len);

    FUZZ_CHECK(json_object_is_type(value, json_type_string));
    FUZZ_CHECK((size_t)json_object_get_string_len(value) == body_len);
    FUZZ_CHECK(memcmp(json_object_get_string(value), body, body_len) == 0);
    json_object_put(value);
}

static void check_binary(const char *data, size_t len, const char *body, size_t body_len)
{
    char *text = malloc(len - 1);
    unsigned char *bytes;
    int n;

    FUZZ_CHECK(text != NULL && len >= 2 && data[0] == '"' && data[len - 1] == '"');
    memcpy(text, data + 1, len - 2);
    text[len - 2] = '\0';
    bytes = malloc((size_t)apr_base64_decode_len(text) + 1);
    n = apr_base64_decode_binary(bytes, text);
    FUZZ_CHECK((size_t)n == body_len && memcmp(bytes, body, body_len) == 0);
    free(bytes);
    free(text);
}

/* Line ends became blanks: both say the same. */
static void check_json(const char *data, size_t len, const char *body, size_t body_len)
{
    json_object *value, *of_body;

    FUZZ_CHECK(len == body_len);
    value = parse(data, len);
    of_body = parse(body, body_len);
    FUZZ_CHECK(
        json_object_equal(value, of_body)
        || strcmp(json_object_to_json_string(value), json_object_to_json_string(of_body))
               == 0);
    json_object_put(value);
    json_object_put(of_body);
}

static void check_value(csq_encoding encoding, const char *data, size_t len,
                        const char *body, size_t body_len)
{
    FUZZ_CHECK(memchr(data, '\n', len) == NULL && memchr(data, '\r', len) == NULL);
    switch (encoding) {
    case CSQ_TEXT:
        check_text(data, len, body, body_len);
        break;
    case CSQ_BINARY:
        check_binary(data, len, body, body_len);
        break;
    default:
        check_json(data, len, body, body_len);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    apr_pool_t *pool = fuzz_pool_begin();
    fuzz_input input = { bytes, size };
    char *type = fuzz_take_string(&input);
    size_t len;
    char *body = (char *)fuzz_take_bytes(&input, input.left, &len);
    csq_encoding encoding;
    const char *data;
    apr_size_t data_len;
    apr_status_t rv = csq_payload_encode(*type != '\0' ? type : NULL, body, len, pool,
                                         &encoding, &data, &data_len);

    FUZZ_CHECK(rv == APR_SUCCESS || (rv == CSQ_BAD_JSON && *type != '\0'));
    if (rv == APR_SUCCESS) {
        check_value(encoding, data, data_len, body, len);
    }
    free(type);
    free(body);
    fuzz_pool_end();
    return 0;
}
