/* SPDX-License-Identifier: Apache-2.0
 * cs_answer.c - the head of an answer; see cs_answer.h.
 */
#include "cs_compat.h"

#include "cs_answer.h"
#include "cs_config.h"
#include "cs_loop.h"
#include "cs_private.h"

#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <util_filter.h>
#include <util_time.h>

#include <string.h>

APLOG_USE_MODULE(commserver);

/* Protocol, status, Date, Server's name and line ends.                       */
#define HEAD_FIXED 128

/* What httpd puts on a request for which nothing else is configured.         */
static const char *const usual_names[] = { "BYTERANGE", "CONTENT_LENGTH", "HTTP_HEADER",
                                           "HTTP_OUTERROR" };

#define USUAL_FILTERS (sizeof(usual_names) / sizeof(usual_names[0]))

static const ap_filter_rec_t *usual[USUAL_FILTERS];

/* Variables by which an administrator bends what is answered.                */
static const char *const bending[] = { "force-response-1.0", "downgrade-1.0",
                                       "force-no-vary", "nokeepalive" };

void cs_answer_find_filters(void)
{
    unsigned i;

    for (i = 0; i < USUAL_FILTERS; i++) {
        usual[i] = ap_get_output_filter_handle(usual_names[i]);
    }
}

static int is_usual(const ap_filter_rec_t *filter)
{
    unsigned i;

    for (i = 0; i < USUAL_FILTERS; i++) {
        if (filter == usual[i]) {
            return 1;
        }
    }
    return 0;
}

static int has_usual_filters(const request_rec *r)
{
    const ap_filter_t *f = r->output_filters;

    while (f != NULL && f != r->connection->output_filters) {
        if (!is_usual(f->frec)) {
            return 0;
        }
        f = f->next;
    }
    return f != NULL;
}

static int is_bent(const request_rec *r)
{
    unsigned i;

    for (i = 0; i < sizeof(bending) / sizeof(bending[0]); i++) {
        if (apr_table_get(r->subprocess_env, bending[i]) != NULL) {
            return 1;
        }
    }
    return 0;
}

static int is_plain(request_rec *r)
{
    return cs_loop_thread_self() != NULL && r->proto_num == HTTP_VERSION(1, 1)
           && !r->header_only && !r->no_cache && r->status_line == NULL
           && r->connection->keepalive != AP_CONN_CLOSE && !r->expecting_100
           && apr_is_empty_table(r->err_headers_out)
           && apr_table_get(r->headers_out, "Vary") == NULL && has_usual_filters(r)
           && !is_bent(r) && !APLOGrtrace3(r)
           && cs_config_server_get(r->server)->shortcuts;
}

/* ---- writing --------------------------------------------------------------- */

static char *write_text(char *out, const char *text)
{
    apr_size_t len = strlen(text);

    memcpy(out, text, len);
    return out + len;
}

static char *write_field(char *out, const char *name, const char *value)
{
    out = write_text(out, name);
    out = write_text(out, ": ");
    out = write_text(out, value);
    return write_text(out, CRLF);
}

static int is_one_line(const char *text)
{
    return text[strcspn(text, "\r\n")] == '\0';
}

/* A field with a line end in it is for httpd to deal with. */
static int are_one_line_each(const apr_table_t *fields)
{
    const apr_array_header_t *array = apr_table_elts(fields);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)(void *)array->elts;
    int i;

    for (i = 0; i < array->nelts; i++) {
        if (!is_one_line(entry[i].key) || !is_one_line(entry[i].val)) {
            return 0;
        }
    }
    return 1;
}

/* Bytes at most. */
static apr_size_t head_size(const apr_table_t *fields)
{
    const apr_array_header_t *array = apr_table_elts(fields);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)(void *)array->elts;
    apr_size_t size = HEAD_FIXED + strlen(ap_get_server_banner());
    int i;

    for (i = 0; i < array->nelts; i++) {
        size += strlen(entry[i].key) + strlen(entry[i].val) + 4; /* ": ", CRLF */
    }
    return size;
}

static char *write_first_lines(char *out, request_rec *r)
{
    char date[APR_RFC822_DATE_LEN];
    const char *banner = ap_get_server_banner();

    r->status_line = ap_get_status_line(r->status);
    out = write_text(out, AP_SERVER_PROTOCOL " ");
    out = write_text(out, r->status_line);
    out = write_text(out, CRLF);
    ap_recent_rfc822_date(date, r->request_time);
    out = write_field(out, "Date", date);
    return *banner ? write_field(out, "Server", banner) : out;
}

static char *write_fields(char *out, const apr_table_t *fields)
{
    const apr_array_header_t *array = apr_table_elts(fields);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)(void *)array->elts;
    int i;

    for (i = 0; i < array->nelts; i++) {
        out = write_field(out, entry[i].key, entry[i].val);
    }
    return write_text(out, CRLF);
}

/* What httpd's filters leave behind for the log and for whoever asks. */
static void skip_filters(request_rec *r, apr_off_t len)
{
    r->output_filters = r->proto_output_filters = r->connection->output_filters;
    r->eos_sent = 1;
    r->sent_bodyct = len >= 0;
    r->bytes_sent = len >= 0 ? len : 0;
}

/* As httpd's filters do it, and in their order. */
static void set_fields(request_rec *r, apr_off_t len)
{
    apr_table_unset(r->headers_out, "Date");
    if (*ap_get_server_banner() != '\0') {
        apr_table_unset(r->headers_out, "Server");
    }
    if (len >= 0) {
        ap_set_content_length(r, len);
        ap_set_keepalive(r);
        apr_table_setn(r->headers_out, "Content-Type", r->content_type);
    }
    else {
        ap_set_keepalive(r);
        apr_table_unset(r->headers_out, "Content-Length");
        apr_table_unset(r->headers_out, "Content-Type");
        r->content_type = NULL;
    }
}

int cs_answer_head(request_rec *r, apr_off_t len, apr_bucket_brigade *brigade)
{
    char *head, *end;
    apr_bucket *bucket;

    if (!is_plain(r) || !are_one_line_each(r->headers_out)) {
        return 0;
    }
    set_fields(r, len);
    head = apr_palloc(r->pool, head_size(r->headers_out));
    end = write_first_lines(head, r);
    end = write_fields(end, r->headers_out);
    bucket = apr_bucket_pool_create(head, (apr_size_t)(end - head), r->pool,
                                    r->connection->bucket_alloc);
    APR_BRIGADE_INSERT_HEAD(brigade, bucket);
    skip_filters(r, len);
    return 1;
}
