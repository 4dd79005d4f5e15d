/* SPDX-License-Identifier: Apache-2.0
 * cl_publication.c - see cl_publication.h.
 */
#include "cc_compat.h"
#include "cl_publication.h"
#include "cc_base64.h"
#include "cc_json.h"
#include "cc_name.h"
#include "cc_utf8.h"

#include <string.h>

static int has_one_receiver(const commclient_publication *p)
{
    int named = p->to_count > 0, i;

    if (p->to_count < 0 || p->to_count > COMMCLIENT_MAX_TO || (named && p->to == NULL))
        return 0;
    for (i = 0; i < p->to_count; i++) {
        if (p->to[i] == NULL)
            return 0;
    }
    return named + (p->group != NULL) + (p->all != 0) == 1;
}

static void add_member(cc_buffer *out, const char *name, const char *value)
{
    if (value != NULL) {
        cc_buffer_format(out, ",\"%s\":", name);
        cc_buffer_add_json_text(out, value);
    }
}

static void add_receivers(cc_buffer *out, const commclient_publication *p)
{
    int i;

    add_member(out, "group", p->group);
    if (p->all)
        cc_buffer_add_text(out, ",\"all\":true");
    if (p->to_count == 0)
        return;
    cc_buffer_add_text(out, ",\"to\":[");
    for (i = 0; i < p->to_count; i++) {
        if (i > 0)
            cc_buffer_add(out, ",", 1);
        cc_buffer_add_json_text(out, p->to[i]);
    }
    cc_buffer_add(out, "]", 1);
}

/* ---- data ---------------------------------------------------------------- */

static int is_json(const char *data, size_t len)
{
    cc_json json;

    cc_json_init(&json, data, len);
    return cc_json_skip(&json, NULL, NULL) == CC_OK && cc_json_finish(&json) == CC_OK;
}

/* In JSON a line end can only stand between tokens; in a line it cannot stand. */
static void add_json(cc_buffer *out, const char *data, size_t len)
{
    size_t from = out->len, i;

    cc_buffer_add(out, data, len);
    for (i = from; i < out->len; i++) {
        if (out->data[i] == '\n' || out->data[i] == '\r')
            out->data[i] = ' ';
    }
}

static int is_text(const char *data, size_t len)
{
    const char *end = data + len;

    while (data < end) {
        size_t n = cc_utf8_length(data, end);

        if (n == 0 || *data == '\0')
            return 0;
        data += n;
    }
    return 1;
}

static int add_data(cc_buffer *out, const commclient_publication *p)
{
    const char *data = p->length > 0 ? p->data : "";

    if (p->type == NULL || cc_name_type_is_json(p->type)) {
        if (!is_json(data, p->length))
            return COMMCLIENT_BAD_DATA;
        cc_buffer_add_text(out, ",\"data\":");
        add_json(out, data, p->length);
    }
    else if (is_text(data, p->length)) {
        cc_buffer_add_text(out, ",\"data\":");
        cc_buffer_add_json(out, data, p->length);
    }
    else {
        cc_buffer_add_text(out, ",\"base64\":true,\"data\":\"");
        cc_base64_encode(out, data, p->length);
        cc_buffer_add(out, "\"", 1);
    }
    return COMMCLIENT_OK;
}

int cl_publication_write(const commclient_publication *p, const char *app,
                         const char *ref, cc_buffer *out)
{
    int status;

    if (p->size != sizeof(*p) || !has_one_receiver(p)
        || (p->length > 0 && p->data == NULL) || p->ttl < -1)
        return COMMCLIENT_BAD_ARGUMENT;
    cc_buffer_add_text(out, "{\"publish\":{\"ref\":");
    cc_buffer_add_json_text(out, ref);
    add_member(out, "app", p->app != NULL ? p->app : app);
    add_receivers(out, p);
    add_member(out, "type", p->type);
    add_member(out, "topic", p->topic);
    add_member(out, "urgency", p->urgency);
    add_member(out, "server", p->server);
    if (p->ttl >= 0)
        cc_buffer_format(out, ",\"ttl\":%ld", p->ttl);
    if (p->receipt)
        cc_buffer_add_text(out, ",\"receipt\":true");
    status = add_data(out, p);
    cc_buffer_add_text(out, "}}");
    return status;
}
