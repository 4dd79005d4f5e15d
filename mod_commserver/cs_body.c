/* SPDX-License-Identifier: Apache-2.0
 * cs_body.c - read a request body; see cs_body.h.
 *
 * One reading loop for both kinds of threads: only the kind of read differs.
 * The buffer grows with what has come, never with what was announced. Where a
 * worker of the MPM would have to wait for a peer, httpd is to let go of the
 * connection, so that a slow body holds no worker.
 */
#include "cs_compat.h"

#include "cs_body.h"
#include "cs_body_private.h"
#include "cs_config.h"
#include "cs_loop.h"

#include <http_protocol.h>
#include <util_filter.h>

#include <string.h>

#define FIRST_SIZE 4096
#define READ_SIZE  8192

typedef struct cs_body {
    cs_body_done *done;
    void *baton;
    char *data;
    apr_size_t len;
    apr_size_t size;
    apr_size_t limit;
    apr_bucket_brigade *brigade;
    int complete; /* EOS was seen                               */
    int finished; /* done() was called, or it is given up       */
    int chunked;  /* to be there as a whole before it is parsed */
    cs_chunks chunks;
} cs_body;

static void make_room(request_rec *r, cs_body *body, apr_size_t len)
{
    apr_size_t size = body->size > 0 ? body->size : FIRST_SIZE;
    char *data;

    /* One byte more, for the NUL. */
    while (size < body->len + len + 1) {
        size *= 2;
    }
    if (size == body->size) {
        return;
    }
    data = apr_palloc(r->pool, size);
    if (body->len > 0) {
        memcpy(data, body->data, body->len);
    }
    body->data = data;
    body->size = size;
}

static apr_status_t take_bucket(request_rec *r, cs_body *body, apr_bucket *bucket)
{
    const char *data;
    apr_size_t len;
    apr_status_t rv;

    if (APR_BUCKET_IS_EOS(bucket)) {
        body->complete = 1;
        return APR_SUCCESS;
    }
    if (APR_BUCKET_IS_METADATA(bucket)) {
        return APR_SUCCESS;
    }
    rv = apr_bucket_read(bucket, &data, &len, APR_BLOCK_READ);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (len > body->limit - body->len) {
        return APR_ENOSPC;
    }
    make_room(r, body, len);
    memcpy(body->data + body->len, data, len);
    body->len += len;
    return APR_SUCCESS;
}

/* One read. @return APR_SUCCESS, APR_EAGAIN, APR_ENOSPC, or an error. */
static apr_status_t read_some(request_rec *r, cs_body *body, apr_read_type_e block)
{
    apr_status_t rv = ap_get_brigade(r->input_filters, body->brigade, AP_MODE_READBYTES,
                                     block, READ_SIZE);

    if (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(body->brigade)) {
        return APR_EAGAIN;
    }
    while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(body->brigade)) {
        apr_bucket *bucket = APR_BRIGADE_FIRST(body->brigade);

        rv = take_bucket(r, body, bucket);
        apr_bucket_delete(bucket);
    }
    apr_brigade_cleanup(body->brigade);
    return rv;
}

static int finish(request_rec *r, cs_body *body, apr_status_t rv)
{
    body->finished = 1;
    if (APR_STATUS_IS_ENOSPC(rv)) {
        return body->done(r, body->baton, APR_ENOSPC, NULL, 0);
    }
    if (rv != APR_SUCCESS) {
        r->connection->keepalive = AP_CONN_CLOSE;
        return ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
    }
    if (cs_loop_thread_self() != NULL) {
        /* Undo what cs_park_adopt.c did in case it would not be read. */
        r->connection->keepalive = AP_CONN_UNKNOWN;
    }
    make_room(r, body, 0);
    body->data[body->len] = '\0';
    return body->done(r, body->baton, APR_SUCCESS, body->data, body->len);
}

static int read_on(request_rec *r, cs_body *body, apr_read_type_e block)
{
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS && !body->complete) {
        rv = read_some(r, body, block);
    }
    if (APR_STATUS_IS_EAGAIN(rv) && block == APR_NONBLOCK_READ) {
        return SUSPENDED;
    }
    return finish(r, body, rv);
}

/* What framing may add to a chunked body that we accept. */
static apr_size_t longest_chunked(const cs_body *body)
{
    return body->limit * 2 + 65536;
}

static int read_more(cs_park *park)
{
    cs_body *body = park->body;
    apr_status_t rv = APR_SUCCESS;

    if (body->chunked) {
        rv = cs_input_fill_chunked(&park->input, park->c, &body->chunks,
                                   longest_chunked(body));
        if (APR_STATUS_IS_EAGAIN(rv)) {
            return SUSPENDED;
        }
    }
    return rv == APR_SUCCESS ? read_on(park->r, body, APR_NONBLOCK_READ)
                             : finish(park->r, body, rv);
}

int cs_body_continue(cs_park *park, unsigned signals)
{
    request_rec *r = park->r;
    cs_body *body = park->body;
    int result = read_more(park);

    if (result == SUSPENDED && park->phase == CS_PHASE_BODY
        && (signals & CS_SIGNAL_IN) != 0) {
        cs_park_set_read_deadline(park, &cs_config_server_get(r->server)->read_times.body,
                                  cs_loop_now(),
                                  body->len + (park->input.end - park->input.start));
    }
    return result;
}

/* httpd says it before a read that may block, which none of ours is. */
static void say_continue(request_rec *r)
{
    if (r->expecting_100) {
        r->status = HTTP_CONTINUE;
        r->status_line = NULL;
        ap_send_interim_response(r, 0);
        r->status = HTTP_OK;
    }
}

static int is_chunked(request_rec *r)
{
    const char *coding = apr_table_get(r->headers_in, "Transfer-Encoding");

    return coding != NULL && ap_cstr_casecmp(coding, "chunked") == 0;
}

static void wait_for_body(cs_park *park, request_rec *r, cs_body *body)
{
    say_continue(r);
    park->r = r;
    park->body = body;
    park->phase = CS_PHASE_BODY;
    park->read_began = cs_loop_now();
}

/* On an event thread. */
static int begin(cs_park *park, request_rec *r, cs_body *body)
{
    wait_for_body(park, r, body);
    return cs_body_continue(park, CS_SIGNAL_IN);
}

/* On a worker: none of a chunked body is read, for it is parsed as a whole. */
static int begin_on_worker(request_rec *r, cs_body *body)
{
    cs_park *park;
    int result;

    if (!body->chunked) {
        /* A request may be held once its body is there, too. */
        result = read_on(r, body, APR_NONBLOCK_READ);
        if (body->finished) {
            return result;
        }
    }
    park = cs_park_get(r);
    if (park == NULL) {
        return read_on(r, body, APR_BLOCK_READ);
    }
    wait_for_body(park, r, body);
    cs_park_set_read_deadline(park, &cs_config_server_get(r->server)->read_times.body,
                              park->read_began, body->len);
    return SUSPENDED;
}

int cs_body_read(request_rec *r, apr_size_t limit, cs_body_done *done, void *baton)
{
    cs_park *park = cs_loop_thread_self() != NULL ? cs_park_of(r->connection) : NULL;
    cs_body *body = apr_pcalloc(r->pool, sizeof(*body));

    body->done = done;
    body->baton = baton;
    body->limit = limit;
    body->brigade = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    body->chunked = is_chunked(r);
    if (park != NULL) {
        return begin(park, r, body);
    }
    return cs_loop_is_running() && cs_park_possible(r)
               ? begin_on_worker(r, body)
               : read_on(r, body, APR_BLOCK_READ);
}

int cs_body_fits(request_rec *r, apr_size_t limit)
{
    const char *field = apr_table_get(r->headers_in, "Content-Length");
    apr_off_t len = 0;

    return field == NULL || !ap_parse_strict_length(&len, field)
           || (apr_uint64_t)len <= limit;
}
