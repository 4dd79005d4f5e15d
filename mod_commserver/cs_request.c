/* SPDX-License-Identifier: Apache-2.0
 * cs_request.c - the parts of a request, parsed and checked.
 *
 * Decoding happens once and here: a query arrives as sent.
 */
#include "cs_compat.h"
#include "cs_request.h"

#include <apr_lib.h>
#include <apr_strings.h>

#include <string.h>
#include <strings.h>

#include "queue/csq.h"

static apr_status_t fail(const char **out_detail, const char *detail)
{
    *out_detail = detail;
    return APR_EINVAL;
}

/* ---- queries ----------------------------------------------------------- */

static int hex_value(char c)
{
    if (apr_isdigit(c))
        return c - '0';
    c = (char)apr_tolower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decode %XX once; '+' is itself. NULL: a bad escape, or one that is NUL.   */
static char *decode(apr_pool_t *p, const char *text, apr_size_t len)
{
    char *out = apr_palloc(p, len + 1), *o = out;
    const char *end = text + len;

    while (text < end) {
        int high, low;

        if (*text != '%') {
            *o++ = *text++;
            continue;
        }
        if (end - text < 3)
            return NULL;
        high = hex_value(text[1]);
        low = hex_value(text[2]);
        if (high < 0 || low < 0 || (high | low) == 0)
            return NULL;
        *o++ = (char)(high << 4 | low);
        text += 3;
    }
    *o = '\0';
    return out;
}

/* Digits only. Larger numbers than fit become the largest.                  */
static apr_status_t parse_digits(const char *text, apr_int64_t *out_value)
{
    apr_int64_t value = 0;

    if (!*text)
        return APR_EINVAL;
    for (; *text; text++) {
        if (!apr_isdigit(*text))
            return APR_EINVAL;
        if (value > (APR_INT64_MAX - 9) / 10)
            value = (APR_INT64_MAX - 9) / 10;
        value = value * 10 + (*text - '0');
    }
    *out_value = value;
    return APR_SUCCESS;
}

apr_status_t cs_request_receiver(const char *name, apr_pool_t *p, csq_key *out_key,
                                 const char **out_detail)
{
    char *buffer = strchr(name, '/') ? apr_palloc(p, CSQ_CLIENT_MAX + 1) : NULL;

    if (csq_key_parse(name, buffer, out_key) == APR_SUCCESS)
        return APR_SUCCESS;
    return fail(out_detail,
                buffer && out_key->client == buffer ? CS_BAD_DEVICE : CS_BAD_CLIENT);
}

static apr_status_t add_receiver(const char *value, apr_pool_t *p, cs_query *query,
                                 const char **out_detail)
{
    csq_key key;
    int i;

    if (cs_request_receiver(value, p, &key, out_detail) != APR_SUCCESS)
        return APR_EINVAL;
    if (!query->to)
        query->to = apr_array_make(p, 8, sizeof(const char *));
    for (i = 0; i < query->to->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(query->to, i, const char *), value))
            return APR_SUCCESS;
    }
    if (query->to->nelts == CS_TO_MAX)
        return fail(out_detail, "a message may name up to 100 receivers");
    APR_ARRAY_PUSH(query->to, const char *) = value;
    return APR_SUCCESS;
}

static const char bad_twice[] = "wait, max, after, device and changes may be given once";

static apr_status_t set_number(const char *value, apr_int64_t min, apr_int64_t *member,
                               const char *bad, const char **out_detail)
{
    if (*member >= 0)
        return fail(out_detail, bad_twice);
    if (parse_digits(value, member) != APR_SUCCESS || *member < min) {
        *member = -1;
        return fail(out_detail, bad);
    }
    return APR_SUCCESS;
}

static apr_status_t set_text(const char *value, const char **member,
                             const char **out_detail)
{
    if (*member)
        return fail(out_detail, bad_twice);
    *member = value;
    return APR_SUCCESS;
}

static const char bad_changes[] = "changes is the number of an earlier answer";

static apr_status_t set_parameter(const char *name, char *value, apr_pool_t *p,
                                  cs_query *query, const char **out_detail)
{
    apr_status_t rv;

    if (!strcmp(name, "to"))
        return add_receiver(value, p, query, out_detail);
    if (!strcmp(name, "after"))
        return set_text(value, &query->after, out_detail);
    if (!strcmp(name, "wait"))
        return set_number(value, 0, &query->wait, "wait is a number of seconds",
                          out_detail);
    if (!strcmp(name, "max"))
        return set_number(value, 1, &query->max, "max is a number from 1 on", out_detail);
    if (!strcmp(name, "changes")) {
        rv = set_number(value, 0, &query->changes, bad_changes, out_detail);
        if (rv == APR_SUCCESS && query->changes > APR_UINT32_MAX)
            rv = fail(out_detail, bad_changes);
        return rv;
    }
    if (!strcmp(name, "event")) {
        query->named_events = 1;
        return strcmp(value, "app") ? fail(out_detail, "event is 'app'") : APR_SUCCESS;
    }
    if (!strcmp(name, "device")) {
        rv = set_text(value, &query->device, out_detail);
        if (rv == APR_SUCCESS && csq_device_check(value, strlen(value)) != APR_SUCCESS)
            rv = fail(out_detail, CS_BAD_DEVICE);
        return rv;
    }
    return APR_SUCCESS;
}

apr_status_t cs_request_query(const char *query, apr_pool_t *p, cs_query *out_query,
                              const char **out_detail)
{
    memset(out_query, 0, sizeof(*out_query));
    out_query->wait = -1;
    out_query->max = -1;
    out_query->changes = -1;
    while (query && *query) {
        apr_size_t len = strcspn(query, "&"), name_len = strcspn(query, "=&");
        char *name = decode(p, query, name_len);
        char *value = len > name_len ? decode(p, query + name_len + 1, len - name_len - 1)
                                     : apr_pstrdup(p, "");
        apr_status_t rv;

        if (!name || !value)
            return fail(out_detail, "in a query % is followed by two hexadecimal digits, "
                                    "not both 0");
        rv = set_parameter(name, value, p, out_query, out_detail);
        if (rv != APR_SUCCESS)
            return rv;
        query += len;
        if (*query == '&')
            query++;
    }
    return APR_SUCCESS;
}

/* ---- header fields ----------------------------------------------------- */

static int is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* RFC 9110, 5.6.2. Words are short: strspn() would first make a table.      */
static apr_size_t token_length(const char *text)
{
    apr_size_t len = 0;

    while (is_alphanumeric(text[len])
           || (text[len] && strchr("!#$%&'*+-.^_`|~", text[len])))
        len++;
    return len;
}

static const char *skip_blanks(const char *text)
{
    return text + strspn(text, " \t");
}

/* A token or a quoted string; returns what follows it, NULL at neither.     */
static const char *take_word(const char *text, apr_pool_t *p, const char **out_word)
{
    apr_size_t len = token_length(text);
    char *word, *w;

    if (*text != '"') {
        *out_word = apr_pstrmemdup(p, text, len);
        return len ? text + len : NULL;
    }
    word = w = apr_palloc(p, strlen(text));
    for (text++; *text && *text != '"'; text++) {
        if (*text == '\\' && text[1])
            text++;
        *w++ = *text;
    }
    *w = '\0';
    *out_word = word;
    return *text ? text + 1 : NULL;
}

/* On to the next preference; commas in quoted strings do not count.         */
static const char *skip_preference(const char *text)
{
    int quoted = 0;

    for (; *text && (quoted || *text != ','); text++) {
        if (*text == '"')
            quoted = !quoted;
        else if (quoted && *text == '\\' && text[1])
            text++;
    }
    return *text ? text + 1 : text;
}

/* Of a preference that is repeated the first counts. */
typedef struct preferences_seen {
    unsigned returned : 1;
    unsigned handling : 1;
} preferences_seen;

static apr_status_t set_preference(const char *name, const char *value, cs_prefer *prefer,
                                   preferences_seen *seen, const char **out_detail)
{
    if (!strcasecmp(name, "wait") && prefer->wait < 0) {
        if (parse_digits(value, &prefer->wait) != APR_SUCCESS)
            return fail(out_detail, "Prefer: wait is a number of seconds");
    }
    else if (!strcasecmp(name, "return") && !seen->returned) {
        seen->returned = 1;
        prefer->minimal = !strcasecmp(value, "minimal");
    }
    else if (!strcasecmp(name, "handling") && !seen->handling) {
        seen->handling = 1;
        prefer->lenient = !strcasecmp(value, "lenient");
    }
    else if (!strcasecmp(name, "respond-async")) {
        prefer->async = 1;
    }
    return APR_SUCCESS;
}

apr_status_t cs_request_prefer(const char *field, apr_pool_t *p, cs_prefer *out_prefer,
                               const char **out_detail)
{
    preferences_seen seen = { 0, 0 };

    memset(out_prefer, 0, sizeof(*out_prefer));
    out_prefer->wait = -1;
    while (field && *field) {
        const char *name, *value = "";
        const char *next = take_word(skip_blanks(field), p, &name);
        apr_status_t rv;

        if (next && *skip_blanks(next) == '=') {
            next = skip_blanks(skip_blanks(next) + 1);
            if (!take_word(next, p, &value))
                value = "";
        }
        rv = next ? set_preference(name, value, out_prefer, &seen, out_detail)
                  : APR_SUCCESS;
        if (rv != APR_SUCCESS)
            return rv;
        field = skip_preference(field);
    }
    return APR_SUCCESS;
}

apr_status_t cs_request_ttl(const char *field, apr_int64_t longest,
                            apr_int64_t *out_seconds, const char **out_detail)
{
    if (parse_digits(field, out_seconds) != APR_SUCCESS)
        return fail(out_detail, "TTL is given once, a number of seconds");
    if (*out_seconds > longest)
        *out_seconds = longest;
    return APR_SUCCESS;
}

apr_status_t cs_request_topic(const char *field, const char **out_detail)
{
    if (csq_topic_check(field, strlen(field)) != APR_SUCCESS)
        return fail(out_detail,
                    "Topic is given once: 1 to 32 letters, digits, '-' or '_'");
    return APR_SUCCESS;
}

apr_status_t cs_request_urgency(const char *field, csq_urgency *out_urgency,
                                const char **out_detail)
{
    static const char *const words[] = { "very-low", "low", "normal", "high" };
    int i;

    for (i = CSQ_VERY_LOW; i <= CSQ_HIGH; i++) {
        if (!strcasecmp(field, words[i])) {
            *out_urgency = (csq_urgency)i;
            return APR_SUCCESS;
        }
    }
    return fail(out_detail, "Urgency is given once: very-low, low, normal or high");
}

static apr_status_t add_id(const char *text, apr_size_t len, apr_array_header_t *ids)
{
    cs_id id;
    int i;

    if (csq_id_parse(text, len, id) != APR_SUCCESS)
        return APR_EINVAL;
    for (i = 0; i < ids->nelts; i++) {
        if (!memcmp(APR_ARRAY_IDX(ids, i, cs_id), id, sizeof(id)))
            return APR_SUCCESS;
    }
    if (ids->nelts == CS_IDS_MAX)
        return APR_EINVAL;
    memcpy(apr_array_push(ids), id, sizeof(id));
    return APR_SUCCESS;
}

apr_status_t cs_request_ids(const char *field, apr_pool_t *p,
                            apr_array_header_t **out_ids, const char **out_detail)
{
    static const char bad[] =
        "Comm-Acknowledged is a list of 1 to 100 ids of messages, separated by commas";

    *out_ids = apr_array_make(p, 8, sizeof(cs_id));
    while (*field) {
        const char *text = skip_blanks(field);
        apr_size_t len = strcspn(text, ", \t");
        const char *end = skip_blanks(text + len);

        if (*end && *end != ',')
            return fail(out_detail, bad);
        if (len && add_id(text, len, *out_ids) != APR_SUCCESS)
            return fail(out_detail, bad);
        field = *end ? end + 1 : end;
    }
    return (*out_ids)->nelts ? APR_SUCCESS : fail(out_detail, bad);
}

apr_status_t cs_request_idempotency_key(const char *field, apr_pool_t *p,
                                        const char **out_key, const char **out_detail)
{
    static const char bad[] = "Idempotency-Key is given once, a string in double quotes: "
                              "1 to 255 printable characters of ASCII, '\\' before each "
                              "'\"' and '\\' in it";
    char *key = apr_palloc(p, strlen(field) + 1), *end = key;

    *out_key = key;
    if (*field++ != '"')
        return fail(out_detail, bad);
    for (; *field && *field != '"'; field++) {
        if (*field == '\\' && *++field != '"' && *field != '\\')
            return fail(out_detail, bad);
        if (*field < 0x20 || *field > 0x7e)
            return fail(out_detail, bad);
        *end++ = *field;
    }
    *end = '\0';
    if (*field != '"' || field[1] || end == key || end - key > CS_IDEMPOTENCY_KEY_MAX)
        return fail(out_detail, bad);
    return APR_SUCCESS;
}

/* Thousandths; 1000 where there is none or it is none.                      */
static int weight_of(const char *parameters, const char *end)
{
    int weight = 1000, unit = 1000;

    for (; parameters < end; parameters++) {
        const char *p = skip_blanks(parameters + 1);

        if (*parameters != ';' || (*p != 'q' && *p != 'Q') || p[1] != '=')
            continue;
        p += 2;
        if (*p != '0')
            return weight;
        weight = 0;
        for (p += p[1] == '.' ? 2 : 1; p < end && apr_isdigit(*p) && unit > 1; p++) {
            unit /= 10;
            weight += (*p - '0') * unit;
        }
        return weight;
    }
    return weight;
}

static int is_range(const char *text, apr_size_t len, const char *range)
{
    return strlen(range) == len && !strncasecmp(text, range, len);
}

int cs_request_prefers_stream(const char *accept)
{
    /* Of JSON the most exact range counts.                                   */
    static const char *const json[] = { "*/*", "application/*", "application/json" };
    int stream = 0, weight = 0, exactness = -1, i;

    while (accept && *accept) {
        const char *range = skip_blanks(accept);
        const char *end = range + strcspn(range, ",");
        apr_size_t len = strcspn(range, ",; \t");

        if (is_range(range, len, "text/event-stream"))
            stream = weight_of(range + len, end);
        for (i = exactness + 1; i < (int)(sizeof(json) / sizeof(json[0])); i++) {
            if (is_range(range, len, json[i])) {
                exactness = i;
                weight = weight_of(range + len, end);
            }
        }
        accept = *end ? end + 1 : end;
    }
    return stream > 0 && stream >= weight;
}

/* ---- text -------------------------------------------------------------- */

int cs_request_is_text(const char *text)
{
    return csq_text_check(text, strlen(text)) == APR_SUCCESS;
}
