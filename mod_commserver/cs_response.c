/* SPDX-License-Identifier: Apache-2.0
 * cs_response.c - what is answered, as bytes.
 *
 * Every writer here is `char *write_x(char *out, ...)` and returns the place
 * behind what it wrote; the caller has made sure that there is room. No
 * printf where a message is delivered: formatting would cost more than the
 * copy.
 */
#include "cs_compat.h"
#include "cs_response.h"

#include <apr_strings.h>

#include <string.h>

#define LITERAL(out, text) write_bytes(out, text, sizeof(text) - 1)

static char *write_bytes(char *out, const char *data, apr_size_t len)
{
    memcpy(out, data, len);
    return out + len;
}

static char *write_number(char *out, apr_uint64_t value)
{
    return out + csq_number_format(value, out);
}

/* ---- strings ----------------------------------------------------------- */

static int is_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

/* Bytes of text as a JSON string, quotes included. UTF-8 goes as it is.     */
static apr_size_t string_size(const char *text)
{
    apr_size_t size = 2;

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        size += is_plain(c) ? 1 : c < 0x20 ? 6 : 2;
    }
    return size;
}

static char *write_string(char *out, const char *text)
{
    static const char hex[] = "0123456789abcdef";

    *out++ = '"';
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (is_plain(c)) {
            *out++ = (char)c;
        }
        else if (c < 0x20) {
            out = LITERAL(out, "\\u00");
            *out++ = hex[c >> 4];
            *out++ = hex[c & 15];
        }
        else {
            *out++ = '\\';
            *out++ = (char)c;
        }
    }
    *out++ = '"';
    return out;
}

/* ---- times ------------------------------------------------------------- */

static char *write_padded(char *out, unsigned value, int width)
{
    int i;

    for (i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return out + width;
}

/* Days since 1970 to a date of the Gregorian calendar: years begin in March,
 * so that the leap day is the last of its year; 400 of them have 146097 days. */
static char *write_date(char *out, apr_int64_t days)
{
    unsigned day_of_era, year_of_era, day_of_year, month;
    apr_int64_t era;

    days += 719468;
    era = days / 146097;
    day_of_era = (unsigned)(days - era * 146097);
    year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524
                   - day_of_era / 146096) / 365;
    day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    month = (5 * day_of_year + 2) / 153;
    out = write_padded(out, (unsigned)(era * 400) + year_of_era + (month >= 10), 4);
    *out++ = '-';
    out = write_padded(out, month < 10 ? month + 3 : month - 9, 2);
    *out++ = '-';
    return write_padded(out, day_of_year - (153 * month + 2) / 5 + 1, 2);
}

static char *write_time(char *out, apr_time_t time)
{
    apr_int64_t seconds = apr_time_sec(time);
    unsigned second_of_day = (unsigned)(seconds % 86400);

    out = write_date(out, seconds / 86400);
    *out++ = 'T';
    out = write_padded(out, second_of_day / 3600, 2);
    *out++ = ':';
    out = write_padded(out, second_of_day / 60 % 60, 2);
    *out++ = ':';
    out = write_padded(out, second_of_day % 60, 2);
    *out++ = '.';
    out = write_padded(out, (unsigned)apr_time_msec(time), 3);
    *out++ = 'Z';
    return out;
}

void cs_response_time(apr_time_t time, char out[CS_TIME_TEXT])
{
    write_time(out, time);
}

/* The NUL behind it is overwritten by what follows.                         */
static char *write_id(char *out, const unsigned char id[CSQ_ID_BYTES])
{
    csq_id_format(id, out);
    return out + CSQ_ID_TEXT;
}

/* ---- a batch ----------------------------------------------------------- */

/* Member names, punctuation, id, times, urgency and length of one message.  */
#define MESSAGE_FIXED 256

/* Around the messages: cursor, gap, brackets.                               */
#define BATCH_FIXED (64 + CSQ_CURSOR_TEXT)

static apr_size_t optional_size(const char *text)
{
    return text ? string_size(text) : 0;
}

apr_size_t cs_response_batch_size(const csq_batch *batch)
{
    apr_uint32_t i, n = csq_batch_count(batch), gaps;
    const csq_gap *gap;
    apr_size_t size = BATCH_FIXED;

    if (csq_batch_gap(batch, &gap, &gaps)) {
        for (i = 0; i < gaps; i++)
            size += string_size(gap[i].app) + CSQ_NUMBER_TEXT + 2;
    }
    for (i = 0; i < n; i++) {
        const csq_view *view = csq_batch_get(batch, i);

        size += MESSAGE_FIXED + string_size(view->app) + string_size(view->sender)
                + optional_size(view->type) + optional_size(view->topic) + view->len;
    }
    return size;
}

/* The value of "gap".                                                       */
static char *write_gap(char *out, const csq_gap *gaps, apr_uint32_t n)
{
    apr_uint32_t i;

    if (!n)
        return LITERAL(out, "{}");
    out = LITERAL(out, "{\"apps\":{");
    for (i = 0; i < n; i++) {
        if (i)
            *out++ = ',';
        out = write_string(out, gaps[i].app);
        *out++ = ':';
        out = write_number(out, gaps[i].count);
    }
    return LITERAL(out, "}}");
}

static char *write_urgency(char *out, csq_urgency urgency)
{
    switch (urgency) {
    case CSQ_VERY_LOW:
        return LITERAL(out, ",\"urgency\":\"very-low\"");
    case CSQ_LOW:
        return LITERAL(out, ",\"urgency\":\"low\"");
    case CSQ_HIGH:
        return LITERAL(out, ",\"urgency\":\"high\"");
    default:
        return out;
    }
}

/* Members that most messages do not have.                                   */
static char *write_optional(char *out, const csq_view *view)
{
    if (view->type) {
        out = LITERAL(out, ",\"type\":");
        out = write_string(out, view->type);
    }
    if (view->topic) {
        out = LITERAL(out, ",\"topic\":");
        out = write_string(out, view->topic);
    }
    out = write_urgency(out, view->urgency);
    if (view->receipt)
        out = LITERAL(out, ",\"receipt\":true");
    if (view->encoding == CSQ_BINARY)
        out = LITERAL(out, ",\"base64\":true");
    return out;
}

static char *write_message(char *out, const csq_view *view)
{
    out = LITERAL(out, "{\"id\":\"");
    out = write_id(out, view->id);
    out = LITERAL(out, "\",\"app\":");
    out = write_string(out, view->app);
    out = LITERAL(out, ",\"from\":");
    out = write_string(out, view->sender);
    out = LITERAL(out, ",\"time\":\"");
    out = write_time(out, view->time);
    out = LITERAL(out, "\",\"expires\":\"");
    out = write_time(out, view->expires);
    *out++ = '"';
    out = write_optional(out, view);
    out = LITERAL(out, ",\"length\":");
    out = write_number(out, view->len);
    out = LITERAL(out, ",\"data\":");
    out = write_bytes(out, view->data, view->len);
    *out++ = '}';
    return out;
}

apr_size_t cs_response_batch(const csq_batch *batch, char *out)
{
    csq_cursor cursor = csq_batch_cursor(batch);
    apr_uint32_t i, n = csq_batch_count(batch), gaps;
    char text[CSQ_CURSOR_TEXT];
    const csq_gap *gap;
    char *o = out;

    csq_cursor_format(&cursor, text);
    o = LITERAL(o, "{\"cursor\":\"");
    o = write_bytes(o, text, strlen(text));
    *o++ = '"';
    if (csq_batch_gap(batch, &gap, &gaps)) {
        o = LITERAL(o, ",\"gap\":");
        o = write_gap(o, gap, gaps);
    }
    o = LITERAL(o, ",\"messages\":[");
    for (i = 0; i < n; i++) {
        if (i)
            *o++ = ',';
        o = write_message(o, csq_batch_get(batch, i));
    }
    o = LITERAL(o, "]}");
    return (apr_size_t)(o - out);
}

/* ---- events ------------------------------------------------------------ */

#define GAP_EVENT  "event: commserver:gap\n"
#define EVENT_LINE "event: "

/* Names of fields and line ends of one event, and its id.                   */
#define EVENT_FIXED (64 + CSQ_CURSOR_TEXT)

apr_size_t cs_response_events_size(const csq_batch *batch)
{
    apr_uint32_t i, n = csq_batch_count(batch);
    apr_size_t size = cs_response_batch_size(batch) + EVENT_FIXED;

    for (i = 0; i < n; i++)
        size += EVENT_FIXED + strlen(csq_batch_get(batch, i)->app);
    return size;
}

static char *write_event_id(char *out, const csq_cursor *cursor)
{
    out = LITERAL(out, "id: ");
    csq_cursor_format(cursor, out);
    out += strlen(out);
    *out++ = '\n';
    return out;
}

static char *write_gap_event(char *out, const csq_batch *batch, const csq_gap *gaps,
                             apr_uint32_t n)
{
    csq_cursor cursor = csq_batch_cursor(batch);

    out = LITERAL(out, GAP_EVENT);
    if (!csq_batch_count(batch))
        out = write_event_id(out, &cursor);
    out = LITERAL(out, "data: ");
    out = write_gap(out, gaps, n);
    return LITERAL(out, "\n\n");
}

apr_size_t cs_response_events(const csq_batch *batch, int named, char *out)
{
    apr_uint32_t i, n = csq_batch_count(batch), gaps;
    const csq_gap *gap;
    char *o = out;

    if (csq_batch_gap(batch, &gap, &gaps))
        o = write_gap_event(o, batch, gap, gaps);
    for (i = 0; i < n; i++) {
        const csq_view *view = csq_batch_get(batch, i);

        if (named) {
            o = LITERAL(o, EVENT_LINE);
            o = write_bytes(o, view->app, strlen(view->app));
            *o++ = '\n';
        }
        o = write_event_id(o, &view->cursor);
        o = LITERAL(o, "data: ");
        o = write_message(o, view);
        o = LITERAL(o, "\n\n");
    }
    return (apr_size_t)(o - out);
}

/* ---- refusals ---------------------------------------------------------- */

/* Punctuation, member names and status of a problem, and of one refusal.    */
#define PROBLEM_FIXED 128

static apr_size_t refusals_size(const cs_refusal *refusals, int n)
{
    apr_size_t size = 0;
    int i;

    for (i = 0; i < n; i++)
        size += PROBLEM_FIXED
                + (refusals[i].client ? string_size(refusals[i].client) : 0);
    return size;
}

static char *write_refusals(char *out, const cs_refusal *refusals, int n)
{
    int i;

    out = LITERAL(out, ",\"refused\":[");
    for (i = 0; i < n; i++) {
        const cs_problem_row *row = cs_problem_get(refusals[i].problem);

        if (i)
            *out++ = ',';
        *out++ = '{';
        if (refusals[i].client) {
            out = LITERAL(out, "\"client\":");
            out = write_string(out, refusals[i].client);
            *out++ = ',';
        }
        out = LITERAL(out, "\"type\":");
        out = write_string(out, row->type);
        out = LITERAL(out, ",\"status\":");
        out = write_number(out, (apr_uint64_t)row->status);
        *out++ = '}';
    }
    *out++ = ']';
    return out;
}

/* ---- a receipt --------------------------------------------------------- */

/* Names of members, punctuation, id, state and two numbers.                 */
#define RECEIPT_FIXED 160

const char *cs_response_state(csq_state state)
{
    static const char *const words[CSQ_STATES] = {
        [CSQ_STATE_QUEUED] = "queued",       [CSQ_STATE_HANDED_OUT] = "handed-out",
        [CSQ_STATE_RECEIVED] = "received",   [CSQ_STATE_ACKNOWLEDGED] = "acknowledged",
        [CSQ_STATE_EXPIRED] = "expired",     [CSQ_STATE_REPLACED] = "replaced",
        [CSQ_STATE_WITHDRAWN] = "withdrawn", [CSQ_STATE_DROPPED] = "dropped",
    };

    return words[state];
}

apr_size_t cs_response_receipt_size(const cs_receipt *receipt)
{
    return RECEIPT_FIXED + refusals_size(receipt->refusals, receipt->n);
}

apr_size_t cs_response_receipt(const cs_receipt *receipt, char *out)
{
    char *o = out;

    o = LITERAL(o, "{\"id\":\"");
    o = write_id(o, receipt->id);
    o = LITERAL(o, "\",\"state\":");
    o = write_string(o, receipt->state);
    if (receipt->several) {
        o = LITERAL(o, ",\"to\":");
        o = write_number(o, receipt->to);
    }
    if (receipt->refused) {
        o = LITERAL(o, ",\"refused_count\":");
        o = write_number(o, receipt->refused);
        o = write_refusals(o, receipt->refusals, receipt->n);
    }
    *o++ = '}';
    return (apr_size_t)(o - out);
}

char *cs_response_member(const char *group, const char *client, apr_pool_t *p,
                         apr_size_t *out_len)
{
    char *out = apr_palloc(p, string_size(group) + string_size(client) + 32), *o = out;

    o = LITERAL(o, "{\"group\":");
    o = write_string(o, group);
    o = LITERAL(o, ",\"client\":");
    o = write_string(o, client);
    o = LITERAL(o, "}");
    *o = '\0';
    *out_len = (apr_size_t)(o - out);
    return out;
}

/* ---- what became of a message ------------------------------------------- */

static const char *const counts[CSQ_STATES] = {
    [CSQ_STATE_QUEUED] = "queued",       [CSQ_STATE_HANDED_OUT] = "handed_out",
    [CSQ_STATE_RECEIVED] = "received",   [CSQ_STATE_ACKNOWLEDGED] = "acknowledged",
    [CSQ_STATE_EXPIRED] = "expired",     [CSQ_STATE_REPLACED] = "replaced",
    [CSQ_STATE_WITHDRAWN] = "withdrawn", [CSQ_STATE_DROPPED] = "dropped",
};

static char *write_count(char *out, const char *name, apr_uint64_t value)
{
    *out++ = ',';
    out = write_string(out, name);
    *out++ = ':';
    return write_number(out, value);
}

apr_size_t cs_response_message(const unsigned char id[CSQ_ID_BYTES],
                               const csq_message_info *info, char out[CS_MESSAGE_TEXT])
{
    char *o = out;
    int i;

    o = LITERAL(o, "{\"id\":\"");
    o = write_id(o, id);
    o = LITERAL(o, "\",\"state\":");
    o = write_string(o, cs_response_state(info->state));
    o = write_count(o, "changes", info->changes);
    if (info->queues > 1) {
        o = write_count(o, "queues", info->queues);
        for (i = 0; i < CSQ_STATES; i++) {
            if (info->counts[i])
                o = write_count(o, counts[i], info->counts[i]);
        }
    }
    *o++ = '}';
    return (apr_size_t)(o - out);
}

/* ---- problems ---------------------------------------------------------- */

char *cs_response_problem(cs_problem problem, int status, const char *detail,
                          const cs_refusal *refusals, int n, apr_pool_t *p,
                          apr_size_t *out_len)
{
    const cs_problem_row *row = cs_problem_get(problem);
    apr_size_t size = PROBLEM_FIXED + string_size(row->type) + string_size(row->title)
                      + refusals_size(refusals, n);
    char *out, *o;

    if (detail)
        size += string_size(detail);
    out = o = apr_palloc(p, size);
    o = LITERAL(o, "{\"type\":");
    o = write_string(o, row->type);
    o = LITERAL(o, ",\"title\":");
    o = write_string(o, row->title);
    o = LITERAL(o, ",\"status\":");
    o = write_number(o, (apr_uint64_t)(status ? status : row->status));
    if (detail) {
        o = LITERAL(o, ",\"detail\":");
        o = write_string(o, detail);
    }
    if (refusals)
        o = write_refusals(o, refusals, n);
    o = LITERAL(o, "}");
    *o = '\0';
    *out_len = (apr_size_t)(o - out);
    return out;
}

/* ---- status ------------------------------------------------------------ */

static char *format_refused(const csq_stats *stats, apr_pool_t *p)
{
    char *text = apr_pstrdup(p, "");
    int i;

    for (i = 0; i < CS_PROBLEM_END; i++) {
        if (!stats->counters[i])
            continue;
        text = apr_psprintf(p, "%s%s\"%s\":%" APR_UINT64_T_FMT, text, *text ? "," : "",
                            cs_problem_get((cs_problem)i)->type, stats->counters[i]);
    }
    return text;
}

#define U "%" APR_UINT64_T_FMT

char *cs_response_status(const csq_stats *stats, apr_pool_t *p, apr_size_t *out_len)
{
    char *text = apr_psprintf(p,
        "{\"clients\":" U ",\"waiting\":" U ",\"queued\":" U ",\"bytes\":" U ","
        "\"segment\":{\"size\":" U ",\"used\":" U ",\"highest\":" U "},"
        "\"refused\":{%s},"
        "\"published\":" U ",\"handed_out\":" U ",\"acknowledged\":" U ","
        "\"expired\":" U ",\"dropped\":" U ",\"repairs\":" U "}\n",
        stats->clients, stats->waiting, stats->queued, stats->bytes,
        stats->segment_size, stats->segment_used, stats->segment_highest,
        format_refused(stats, p),
        stats->published, stats->handed_out, stats->acknowledged,
        stats->expired, stats->dropped, stats->repairs);

    *out_len = strlen(text);
    return text;
}
