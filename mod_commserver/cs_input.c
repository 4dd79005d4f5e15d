/* SPDX-License-Identifier: Apache-2.0
 * cs_input.c - the input filter of adopted connections; see cs_input.h.
 *
 * What was read ahead lies in one flat buffer: heads are small, are searched
 * once, and are given on line by line without being copied (the buffer does
 * not move while a request is being parsed; only cs_input_fill() moves it).
 */
#include "cs_compat.h"

#include "cs_input.h"
#include "cs_config.h"
#include "cs_head.h"
#include "cs_loop.h"
#include "cs_memory.h"

#include <http_config.h>
#include <http_core.h>
#include <http_request.h>
#include <http_ssl.h>
#include <apr_strings.h>

#include <stdlib.h>
#include <string.h>

#define LIMIT_FILTER "reqtimeout"
#define LONG_LINES   4 /* a first line of that many times the limit is given up */
#define READ_SIZE    CS_MEMORY_BUFFER /* what one read asks for, bytes    */

static ap_filter_rec_t *filter_handle;
static APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_in) * count_bytes_in;

int cs_input_pending(const cs_input *input)
{
    return input->start < input->end;
}

static void drop_buffer(cs_input *input)
{
    if (input->size == CS_MEMORY_BUFFER) {
        cs_memory_buffer_give(input->data);
    }
    else {
        free(input->data);
    }
}

void cs_input_clear(cs_input *input)
{
    drop_buffer(input);
    input->data = NULL;
    input->size = input->start = input->end = input->scanned = 0;
}

/* ---- reading ahead ----------------------------------------------------- */

static void move_to_front(cs_input *input)
{
    memmove(input->data, input->data + input->start, input->end - input->start);
    input->scanned -= input->start < input->scanned ? input->start : input->scanned;
    input->end -= input->start;
    input->start = 0;
}

static apr_status_t grow(cs_input *input, apr_size_t len)
{
    apr_size_t size = input->size * 2;
    char *data;

    while (size < input->end + len) {
        size *= 2;
    }
    data = malloc(size);
    if (data == NULL) {
        return APR_ENOMEM;
    }
    memcpy(data, input->data, input->end);
    drop_buffer(input);
    input->data = data;
    input->size = size;
    return APR_SUCCESS;
}

static apr_status_t make_room(cs_input *input, apr_size_t len)
{
    if (input->data == NULL) {
        input->data = cs_memory_buffer_take();
        if (input->data == NULL) {
            return APR_ENOMEM;
        }
        input->size = CS_MEMORY_BUFFER;
    }
    if (input->start > 0) {
        move_to_front(input);
    }
    return input->size - input->end >= len ? APR_SUCCESS : grow(input, len);
}

static apr_status_t take_bucket(cs_input *input, apr_bucket *bucket)
{
    const char *data;
    apr_size_t len;
    apr_status_t rv;

    if (APR_BUCKET_IS_EOS(bucket)) {
        input->eof = 1;
        return APR_SUCCESS;
    }
    if (APR_BUCKET_IS_METADATA(bucket)) {
        return APR_SUCCESS;
    }
    rv = apr_bucket_read(bucket, &data, &len, APR_NONBLOCK_READ);
    if (rv == APR_SUCCESS) {
        rv = make_room(input, len);
    }
    if (rv == APR_SUCCESS) {
        memcpy(input->data + input->end, data, len);
        input->end += len;
    }
    return rv;
}

/* Through the filters below. */
static apr_status_t read_filters(cs_input *input, conn_rec *c)
{
    apr_status_t rv;

    if (input->brigade == NULL) {
        input->brigade = apr_brigade_create(c->pool, c->bucket_alloc);
    }
    rv = ap_get_brigade(input->filter->next, input->brigade, AP_MODE_READBYTES,
                        APR_NONBLOCK_READ, READ_SIZE);
    while (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(input->brigade)) {
        apr_bucket *bucket = APR_BRIGADE_FIRST(input->brigade);

        rv = take_bucket(input, bucket);
        apr_bucket_delete(bucket);
    }
    apr_brigade_cleanup(input->brigade);
    return APR_STATUS_IS_EAGAIN(rv) ? APR_SUCCESS : rv;
}

/* From the socket: where there is no filter but httpd's core filter, and that
 * holds nothing, it would only copy, and ask the socket a second time. */
static apr_status_t read_socket(cs_input *input, conn_rec *c)
{
    apr_status_t rv = make_room(input, READ_SIZE);
    apr_size_t len = READ_SIZE;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_socket_recv(ap_get_conn_socket(c), input->data + input->end, &len);
    if (rv == APR_SUCCESS) {
        input->end += len;
        if (count_bytes_in != NULL) {
            count_bytes_in(c, (apr_off_t)len);
        }
    }
    else if (APR_STATUS_IS_EOF(rv)) {
        input->eof = 1;
        rv = APR_SUCCESS;
    }
    return APR_STATUS_IS_EAGAIN(rv) ? APR_SUCCESS : rv;
}

/* One non-blocking read. *out_read: bytes that came, 0: there are none now. */
static apr_status_t read_some(cs_input *input, conn_rec *c, apr_size_t *out_read)
{
    apr_size_t before = input->end - input->start;
    apr_status_t rv = input->direct ? read_socket(input, c) : read_filters(input, c);

    *out_read = input->end - input->start - before;
    return rv;
}

/* More than the parser takes for a head: let it say so. */
static apr_size_t longest_head(conn_rec *c)
{
    server_rec *s = c->base_server;
    apr_size_t fields = s->limit_req_fields > 0 ? (apr_size_t)s->limit_req_fields : 1000;

    return (apr_size_t)s->limit_req_line + 2
           + fields * ((apr_size_t)s->limit_req_fieldsize + 2);
}

/* Whether the parser can be run: a head is whole, or it breaks a limit. A line
 * that is too long is refused by the parser once it has seen its end. */
static int head_is_ready(cs_input *input, conn_rec *c)
{
    const char *data = input->data + input->start;
    apr_size_t len = input->end - input->start;
    apr_size_t from = input->scanned > input->start ? input->scanned - input->start : 0;
    apr_size_t line = ((apr_size_t)c->base_server->limit_req_line + 2) * LONG_LINES;

    if (cs_head_length(data, len, from) > 0 || len > longest_head(c)) {
        return 1;
    }
    /* The blank line may straddle two reads: look at its last bytes again. */
    input->scanned = input->end - (len < 3 ? len : 3);
    return len > line && memchr(data, '\n', line) == NULL;
}

/* One read, unless it is known that there is nothing.
 * @return APR_SUCCESS, APR_EAGAIN, APR_EOF, or a broken connection. */
static apr_status_t read_more(cs_input *input, conn_rec *c)
{
    apr_size_t got = 0;
    int from_socket = input->direct;
    apr_status_t rv;

    if (input->eof) {
        return APR_EOF;
    }
    if (input->drained) {
        return APR_EAGAIN;
    }
    rv = read_some(input, c, &got);
    /* A filter returns what it holds and leaves the socket alone: httpd's core
     * what a worker has read, mod_ssl a record. */
    input->drained = !input->eof && (got == 0 || (from_socket && got < READ_SIZE));
    input->direct = input->plain && input->drained;
    return rv;
}

void cs_input_settle(cs_input *input, conn_rec *c)
{
    if (!input->drained && !cs_input_pending(input)) {
        (void)read_more(input, c);
    }
}

apr_status_t cs_input_fill_chunked(cs_input *input, conn_rec *c, cs_chunks *chunks,
                                   apr_size_t limit)
{
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS) {
        apr_size_t len = input->end - input->start;

        if (len > limit
            || cs_chunks_scan(chunks, input->data + input->start, len)
                   != CS_CHUNKS_MORE) {
            return APR_SUCCESS;
        }
        rv = read_more(input, c);
    }
    return rv;
}

apr_status_t cs_input_fill(cs_input *input, conn_rec *c)
{
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS) {
        if (cs_input_pending(input) && head_is_ready(input, c)) {
            return APR_SUCCESS;
        }
        rv = read_more(input, c);
    }
    if (!APR_STATUS_IS_EAGAIN(rv)) {
        return rv;
    }
    return cs_input_pending(input) ? APR_INCOMPLETE : APR_EAGAIN;
}

int cs_input_holds(const cs_input *input, apr_off_t len)
{
    return len >= 0 && (apr_off_t)(input->end - input->start) >= len;
}

/* ---- giving on --------------------------------------------------------- */

static void give_bytes(cs_input *input, ap_filter_t *f, apr_bucket_brigade *bb,
                       apr_size_t len)
{
    apr_bucket *bucket =
        apr_bucket_transient_create(input->data + input->start, len, f->c->bucket_alloc);

    APR_BRIGADE_INSERT_TAIL(bb, bucket);
}

static apr_size_t line_length(const cs_input *input)
{
    const char *data = input->data + input->start;
    apr_size_t len = input->end - input->start;
    const char *lf = memchr(data, '\n', len);

    return lf == NULL ? len : (apr_size_t)(lf - data) + 1;
}

static void skip_blank_lines(cs_input *input)
{
    while (cs_input_pending(input)
           && (input->data[input->start] == '\r' || input->data[input->start] == '\n')) {
        input->start++;
    }
}

static apr_status_t give(cs_input *input, ap_filter_t *f, apr_bucket_brigade *bb,
                         ap_input_mode_t mode, apr_off_t readbytes)
{
    apr_size_t len = input->end - input->start;

    if (mode == AP_MODE_EATCRLF) {
        skip_blank_lines(input);
        return APR_SUCCESS;
    }
    if (mode == AP_MODE_GETLINE) {
        len = line_length(input);
    }
    else if (mode != AP_MODE_EXHAUSTIVE && readbytes < (apr_off_t)len) {
        len = (apr_size_t)readbytes;
    }
    give_bytes(input, f, bb, len);
    if (mode != AP_MODE_SPECULATIVE) {
        input->start += len;
    }
    return APR_SUCCESS;
}

/* httpd asks after each request whether another is there, speculatively. The event
 * loop knows where the last read left nothing behind; else it is our turn to read,
 * so that the next one can be direct.                                        */
static apr_status_t input_filter(ap_filter_t *f, apr_bucket_brigade *bb,
                                 ap_input_mode_t mode, apr_read_type_e block,
                                 apr_off_t readbytes)
{
    cs_input *input = f->ctx;

    if (mode != AP_MODE_INIT && cs_input_pending(input)) {
        return give(input, f, bb, mode, readbytes);
    }
    if (mode == AP_MODE_SPECULATIVE && block == APR_NONBLOCK_READ
        && cs_loop_thread_self() != NULL) {
        (void)read_more(input, f->c);
        if (cs_input_pending(input)) {
            return give(input, f, bb, mode, readbytes);
        }
        if (input->drained) {
            return APR_SUCCESS;
        }
    }
    input->direct = 0;
    return ap_get_brigade(f->next, bb, mode, block, readbytes);
}

/* Whether nothing that changes bytes is below: mod_logio only counts them,
 * and lets itself be told. */
static int is_plain(const ap_filter_t *f)
{
    if (f != NULL && strcmp(f->frec->name, "log_input_output") == 0
        && count_bytes_in != NULL) {
        f = f->next;
    }
    return f != NULL && strcmp(f->frec->name, "core_in") == 0;
}

/* mod_reqtimeout counts from our first read of a head on with what was left for
 * the body before it: it learns of a request when that is parsed. Its limits
 * are kept by cs_read_time.c as long as we read. */
static void take_limit(cs_input *input, conn_rec *c, request_rec *r)
{
    ap_filter_t *f = c->input_filters, *above = r != NULL ? r->input_filters : NULL;

    while (f != NULL && ap_cstr_casecmp(f->frec->name, LIMIT_FILTER) != 0) {
        f = f->next;
    }
    if (f == NULL) {
        return;
    }
    input->reqtimeout = f->ctx;
    ap_remove_input_filter(f);
    /* httpd takes it from the connection only, a request still leads there. */
    while (above != NULL && above->next != f) {
        above = above->next;
    }
    if (above != NULL) {
        above->next = f->next;
    }
}

void cs_input_limit(cs_input *input, conn_rec *c)
{
    if (input->reqtimeout != NULL) {
        ap_add_input_filter(LIMIT_FILTER, input->reqtimeout, NULL, c);
        input->reqtimeout = NULL;
    }
}

void cs_input_open(cs_input *input, conn_rec *c, request_rec *r)
{
    memset(input, 0, sizeof(*input));
    take_limit(input, c, r);
    input->secure = ap_ssl_conn_is_ssl(c) != 0;
    input->filter = ap_add_input_filter_handle(filter_handle, input, r, c);
    input->plain = is_plain(input->filter->next)
                   && cs_config_server_get(c->base_server)->shortcuts;
}

static void find_functions(void)
{
    count_bytes_in = APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_in);
}

void cs_input_register(void)
{
    ap_hook_optional_fn_retrieve(find_functions, NULL, NULL, APR_HOOK_MIDDLE);
    filter_handle = ap_register_input_filter("COMMSERVER_HEAD", input_filter, NULL,
                                             AP_FTYPE_CONNECTION);
}
