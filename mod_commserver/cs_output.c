/* SPDX-License-Identifier: Apache-2.0
 * cs_output.c - pass an answer to httpd; see cs_output.h.
 */
#include "cs_compat.h"

#include "cs_output.h"
#include "cs_loop.h"

#include <http_protocol.h>
#include <util_filter.h>

#include <netinet/in.h>
#include <netinet/tcp.h>

#define PIECE_SIZE 32768 /* half of FlushMaxThreshold's default        */

static int pass(request_rec *r, apr_bucket_brigade *brigade)
{
    apr_status_t rv = ap_pass_brigade(r->output_filters, brigade);

    apr_brigade_cleanup(brigade);
    return rv == APR_SUCCESS && !r->connection->aborted ? OK : AP_FILTER_ERROR;
}

/* Take what is behind the first piece off. @return NULL: nothing is. */
static apr_bucket_brigade *split_piece(apr_bucket_brigade *brigade)
{
    apr_bucket *second = NULL;

    if (apr_brigade_partition(brigade, PIECE_SIZE, &second) != APR_SUCCESS
        || second == APR_BRIGADE_SENTINEL(brigade) || APR_BUCKET_IS_EOS(second)) {
        return NULL;
    }
    return apr_brigade_split(brigade, second);
}

int cs_output_continue(cs_park *park, unsigned signals)
{
    request_rec *r = park->r;
    int progress = (signals & CS_SIGNAL_OUT) != 0;
    apr_status_t rv;

    while ((rv = cs_park_flush(park)) == APR_SUCCESS) {
        apr_bucket_brigade *piece = park->rest;
        int result;

        park->rest = split_piece(piece);
        result = pass(r, piece);
        progress = 1;
        if (park->rest == NULL || result != OK) {
            return result;
        }
    }
    if (!APR_STATUS_IS_EAGAIN(rv)) {
        return AP_FILTER_ERROR;
    }
    if (progress) {
        cs_park_set_deadline(park, park->timeout);
    }
    return SUSPENDED;
}

int cs_output_pass(request_rec *r, apr_bucket_brigade *brigade)
{
    cs_park *park = cs_loop_thread_self() != NULL ? cs_park_of(r->connection) : NULL;
    apr_bucket_brigade *rest = NULL;
    apr_off_t len = 0;
    int result;

    if (park != NULL && apr_brigade_length(brigade, 0, &len) == APR_SUCCESS
        && len > PIECE_SIZE) {
        if (!r->eos_sent) { /* else its head is among what is counted        */
            ap_set_content_length(r, len);
        }
        rest = split_piece(brigade);
    }
    result = pass(r, brigade);
    if (rest == NULL || result != OK) {
        return result;
    }
    park->phase = CS_PHASE_SEND;
    park->r = r;
    park->rest = rest;
    cs_park_watch(park, CS_WATCH_ALL);
    return cs_output_continue(park, CS_SIGNAL_OUT);
}

/* ---- streams ------------------------------------------------------------- */

static apr_status_t read_mark(apr_bucket *bucket, const char **out_data,
                              apr_size_t *out_len, apr_read_type_e block)
{
    (void)bucket;
    (void)block;
    *out_data = NULL;
    *out_len = 0;
    return APR_SUCCESS;
}

/* Says nothing and means nothing: but mod_ssl keeps what is small back until
 * something that is no data comes, and a FLUSH would make httpd's core wait. */
static const apr_bucket_type_t mark_type = { "COMMSERVER_MARK",
                                             5,
                                             APR_BUCKET_METADATA,
                                             apr_bucket_destroy_noop,
                                             read_mark,
                                             apr_bucket_setaside_noop,
                                             apr_bucket_split_notimpl,
                                             apr_bucket_simple_copy };

static void append_mark(apr_bucket_brigade *brigade)
{
    apr_bucket *bucket = apr_bucket_alloc(sizeof(*bucket), brigade->bucket_alloc);

    APR_BUCKET_INIT(bucket);
    bucket->free = apr_bucket_free;
    bucket->list = brigade->bucket_alloc;
    bucket->type = &mark_type;
    bucket->length = 0;
    bucket->start = 0;
    bucket->data = NULL;
    APR_BRIGADE_INSERT_TAIL(brigade, bucket);
}

void cs_output_stream_patience(const cs_park *park, apr_interval_time_t time)
{
    unsigned milliseconds = (unsigned)apr_time_as_msec(time);

    setsockopt(park->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &milliseconds,
               sizeof(milliseconds));
}

int cs_output_stream_pending(const cs_park *park)
{
    return !APR_BRIGADE_EMPTY(park->stream);
}

int cs_output_stream(cs_park *park, request_rec *r)
{
    apr_bucket *second = NULL;
    int result;

    apr_brigade_partition(park->stream, PIECE_SIZE, &second);
    if (second != NULL && second != APR_BRIGADE_SENTINEL(park->stream)) {
        apr_brigade_split_ex(park->stream, second, park->later);
    }
    if (park->secure) {
        append_mark(park->stream);
    }
    result = pass(r, park->stream);
    APR_BRIGADE_CONCAT(park->stream, park->later);
    return result;
}

apr_status_t cs_output_stream_continue(cs_park *park)
{
    apr_status_t rv = cs_park_flush(park);

    while (rv == APR_SUCCESS && cs_output_stream_pending(park)) {
        if (cs_output_stream(park, park->r) != OK) {
            return APR_ECONNABORTED;
        }
        rv = cs_park_flush(park);
    }
    return rv;
}
