/* SPDX-License-Identifier: Apache-2.0
 * cc_config_value.c - values that keys of several sections take.
 */
#include "cc_compat.h"
#include "cc_config_private.h"
#include "cc_memory.h"
#include "cc_paths.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SIZE_LEAST (1ll << 20)

cc_status cc_config_set_text(char **member, const char *value)
{
    free(*member);
    *member = cc_copy(value);
    return CC_OK;
}

cc_status cc_config_set_path(cc_config_parser *p, char **member, const char *value)
{
    free(*member);
    *member = cc_paths_resolve(value, p->config->file);
    return CC_OK;
}

cc_status cc_config_set_number(cc_config_parser *p, int *member, const char *value,
                               const char *name, int low, int high)
{
    char *end;
    long number;

    errno = 0;
    number = strtol(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || number < low
        || number > high)
        return cc_config_fail(p, "%s is '%s': a number from %d to %d is allowed", name,
                              value, low, high);
    *member = (int)number;
    return CC_OK;
}

cc_status cc_config_set_size(cc_config_parser *p, int64_t *member, const char *value,
                             const char *name, int64_t most)
{
    static const char units[] = "KMGT";
    const char *unit;
    char *end;
    unsigned long long number;
    unsigned shift = 0;

    errno = 0;
    number = strtoull(value, &end, 10);
    if (*end != '\0' && (unit = strchr(units, *end)) != NULL && end[1] == '\0') {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
    }
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0
        || number > (unsigned long long)most >> shift
        || number << shift < (unsigned long long)SIZE_LEAST)
        return cc_config_fail(
            p,
            "%s is '%s': bytes, as 1048576, 2048K or 64M, from 1M to %lldM are"
            " allowed",
            name, value, (long long)(most >> 20));
    *member = (int64_t)(number << shift);
    return CC_OK;
}

int cc_config_is_host(const char *text, size_t len)
{
    const char *end = text + len, *colon = text;
    unsigned port = 0;

    if (len > 0 && *text == '[') {
        colon = memchr(text, ']', len);
        if (colon == NULL || colon == text + 1)
            return 0;
        colon++;
    }
    else {
        colon += strcspn(text, ":/?#");
    }
    if (colon == text || (colon < end && *colon != ':'))
        return 0;
    if (colon == end)
        return 1;
    while (++colon < end && *colon >= '0' && *colon <= '9' && port <= 65535)
        port = port * 10 + (unsigned)(*colon - '0');
    return colon == end && port > 0 && port <= 65535;
}

/* ---- words ----------------------------------------------------------- */

void cc_config_free_words(char **words)
{
    size_t i;

    for (i = 0; words != NULL && words[i] != NULL; i++)
        free(words[i]);
    free(words);
}

/* What stands between quotes, up to the closing one. NULL: there is none. */
static const char *read_quoted(const char *at, char quote, cc_buffer *word)
{
    for (; *at != quote; at++) {
        if (*at == '\\' && quote == '"' && (at[1] == '"' || at[1] == '\\'))
            at++;
        if (*at == '\0')
            return NULL;
        cc_buffer_add(word, at, 1);
    }
    return at + 1;
}

/* NULL: it does not end. */
static const char *read_word(const char *at, cc_buffer *word)
{
    cc_buffer_add(word, "", 0);
    while (at != NULL && *at != '\0' && *at != ' ' && *at != '\t') {
        if (*at == '\'' || *at == '"') {
            at = read_quoted(at + 1, *at, word);
            continue;
        }
        if (*at == '\\' && *++at == '\0')
            return NULL;
        cc_buffer_add(word, at++, 1);
    }
    return at;
}

cc_status cc_config_split_words(const char *text, char ***out_words)
{
    char **words = cc_alloc(sizeof(*words));
    size_t count = 0;
    cc_buffer word;

    text += strspn(text, " \t");
    while (*text != '\0') {
        memset(&word, 0, sizeof(word));
        text = read_word(text, &word);
        words = cc_realloc(words, (count + 2) * sizeof(*words));
        words[count++] = word.data;
        words[count] = NULL;
        if (text == NULL) {
            cc_config_free_words(words);
            return CC_MALFORMED;
        }
        text += strspn(text, " \t");
    }
    *out_words = words;
    return CC_OK;
}

size_t cc_config_next_name(const char **text)
{
    *text += strspn(*text, ", \t");
    return strcspn(*text, ", \t");
}
