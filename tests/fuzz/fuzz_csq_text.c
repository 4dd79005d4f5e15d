/* SPDX-License-Identifier: Apache-2.0
 * fuzz_csq_text.c - the texts of cursors, ids and names: what is taken is taken
 * for one thing only, and written the same way.
 *
 * Input: the text.
 */
#include "queue/csq.h"

#include "fuzz.h"

static void check_cursor(const char *text, size_t len)
{
    csq_cursor cursor, again;
    char out[CSQ_CURSOR_TEXT];
    int i;

    if (csq_cursor_parse(text, len, &cursor) != APR_SUCCESS) {
        return;
    }
    memset(out, 'x', sizeof(out));
    csq_cursor_format(&cursor, out);
    FUZZ_CHECK(memchr(out, '\0', sizeof(out)) != NULL);
    FUZZ_CHECK(strlen(out) == len && memcmp(out, text, len) == 0);
    FUZZ_CHECK(csq_cursor_parse(out, strlen(out), &again) == APR_SUCCESS);
    FUZZ_CHECK(memcmp(&cursor, &again, sizeof(cursor)) == 0);
    for (i = 0; i < CSQ_HIGH; i++) {
        FUZZ_CHECK(cursor.behind[i] <= cursor.sequence);
    }
}

/* Any cursor that can be is written in its room and read again. */
static void check_any_cursor(const uint8_t *data, size_t size)
{
    csq_cursor cursor = { 0 }, again;
    char out[CSQ_CURSOR_TEXT];
    int i;

    memcpy(&cursor, data, size < sizeof(cursor) ? size : sizeof(cursor));
    for (i = 0; i < CSQ_HIGH; i++) {
        if (cursor.behind[i] > cursor.sequence) {
            cursor.behind[i] = cursor.sequence;
        }
    }
    csq_cursor_format(&cursor, out);
    FUZZ_CHECK(csq_cursor_parse(out, strlen(out), &again) == APR_SUCCESS);
    FUZZ_CHECK(memcmp(&cursor, &again, sizeof(cursor)) == 0);
}

static void check_id(const char *text, size_t len)
{
    unsigned char id[CSQ_ID_BYTES];
    char out[CSQ_ID_TEXT + 1];

    if (csq_id_parse(text, len, id) != APR_SUCCESS) {
        return;
    }
    csq_id_format(id, out);
    FUZZ_CHECK(strlen(out) == len && memcmp(out, text, len) == 0);
}

/* What is a name can stand in a path, a header and a C string. */
static void check_names(const char *text, size_t len)
{
    size_t i;
    int client = csq_client_check(text, len) == APR_SUCCESS;
    int plain = csq_app_check(text, len) == APR_SUCCESS
                || csq_topic_check(text, len) == APR_SUCCESS;

    FUZZ_CHECK(csq_device_check(text, len) != APR_SUCCESS || (plain && client));
    if (csq_text_check(text, len) != APR_SUCCESS) {
        FUZZ_CHECK(!client && !plain);
        return;
    }
    for (i = 0; i < len; i++) {
        FUZZ_CHECK((uint8_t)text[i] >= 0x20 && text[i] != 0x7f);
        FUZZ_CHECK(!client || text[i] != '/');
    }
}

static void check_key(const char *text)
{
    char buffer[CSQ_CLIENT_MAX + 1], joined[CSQ_CLIENT_MAX + CSQ_DEVICE_MAX + 2];
    csq_key key;

    if (csq_key_parse(text, buffer, &key) != APR_SUCCESS) {
        return;
    }
    FUZZ_CHECK(csq_client_check(key.client, strlen(key.client)) == APR_SUCCESS);
    snprintf(joined, sizeof(joined), "%s%s%s", key.client, key.device ? "/" : "",
             key.device ? key.device : "");
    FUZZ_CHECK(strcmp(joined, text) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = { data, size };
    size_t len;
    char *text = (char *)fuzz_take_bytes(&input, size, &len);
    char *string;

    check_cursor(text, len);
    check_any_cursor(data, size);
    check_id(text, len);
    check_names(text, len);
    free(text);
    input.data = data;
    input.left = size;
    string = fuzz_take_string(&input);
    check_key(string);
    free(string);
    return 0;
}
