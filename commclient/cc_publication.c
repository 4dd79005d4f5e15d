/* SPDX-License-Identifier: Apache-2.0
 * cc_publication.c - the value of {"publish":{...}}, read and checked.
 *
 * Everything that the server would refuse by its form is refused here, where
 * the application still listens; how long a message may be and whether its
 * JSON is nested too deeply only the server knows.
 */
#include "cc_compat.h"
#include "cc_publication.h"
#include "cc_name.h"
#include "cc_base64.h"
#include "cc_json.h"
#include "cc_utf8.h"

#include <stdlib.h>
#include <string.h>

#define CLIENT_MAX 255 /* bytes, as in the protocol                          */

typedef struct reading {
    cc_json json;
    cc_publication *out;
    cc_slice to, data;
    char group[CC_APP_MAX + 1];
    int all, base64, has_type;
    int receivers;          /* of to, group and all, how many came          */
    cc_command_error error; /* the first one                                */
} reading;

static void refuse(reading *r, cc_command_error error)
{
    if (r->error == CC_ERROR_NONE)
        r->error = error;
}

/* ---- forms ----------------------------------------------------------- */

/* UTF-8 without control characters (C0, DEL, C1). */
static int is_plain_text(const char *data, size_t len)
{
    const char *end = data + len;

    while (data < end) {
        size_t n = cc_utf8_length(data, end);
        unsigned char c = (unsigned char)*data;

        if (n == 0 || c < 0x20 || c == 0x7f
            || (c == 0xc2 && (unsigned char)data[1] < 0xa0))
            return 0;
        data += n;
    }
    return 1;
}

int cc_publication_is_type(const char *type, size_t len)
{
    return len >= 1 && len <= CC_TYPE_MAX && is_plain_text(type, len);
}

int cc_publication_is_topic(const char *topic, size_t len)
{
    return len <= CC_TOPIC_MAX && cc_name_id_check(topic, len) == CC_OK;
}

int cc_publication_is_urgency(const char *urgency)
{
    return strcmp(urgency, "very-low") == 0 || strcmp(urgency, "low") == 0
           || strcmp(urgency, "normal") == 0 || strcmp(urgency, "high") == 0;
}

int cc_publication_is_place(const char *place, size_t len)
{
    size_t i;

    if (len < 2 || len > CC_PLACE_MAX || (place[0] != '/' && place[0] != '?'))
        return 0;
    for (i = 0; i < len; i++) {
        if (place[i] <= 0x20 || place[i] >= 0x7f || place[i] == '#')
            return 0;
    }
    return 1;
}

static int is_client(const char *name, size_t len)
{
    if (len < 1 || len > CLIENT_MAX || memchr(name, '/', len) != NULL)
        return 0;
    if ((len == 1 && (name[0] == '-' || name[0] == '.'))
        || (len == 2 && memcmp(name, "..", 2) == 0))
        return 0;
    return is_plain_text(name, len);
}

/* CLIENT or CLIENT/DEVICE */
static int is_receiver(const char *name)
{
    size_t len = strcspn(name, "/");
    const char *device = name + len + 1;

    if (!is_client(name, len))
        return 0;
    return name[len] == '\0'
           || cc_name_check(device, strlen(device), CC_DEVICE_MAX) == CC_OK;
}

/* ---- members --------------------------------------------------------- */

/* 0: it is no string that fits. */
static int read_text(reading *r, char *out, size_t size, cc_command_error error)
{
    cc_slice raw;

    if (cc_json_peek(&r->json) != '"') {
        cc_json_skip(&r->json, NULL, NULL);
        refuse(r, error);
        return 0;
    }
    if (cc_json_string(&r->json, &raw) != CC_OK)
        return 0;
    if (cc_json_decode(raw, out, size) == CC_OK)
        return 1;
    out[0] = '\0';
    refuse(r, error);
    return 0;
}

static void read_truth(reading *r, int *out)
{
    char c = cc_json_peek(&r->json);

    if (c == 't' || c == 'f') {
        cc_json_boolean(&r->json, out);
        return;
    }
    cc_json_skip(&r->json, NULL, NULL);
    refuse(r, CC_ERROR_BAD_COMMAND);
}

static void read_app(reading *r)
{
    char *app = r->out->app;

    if (read_text(r, app, sizeof(r->out->app), CC_ERROR_BAD_NAME)
        && cc_name_check(app, strlen(app), CC_APP_MAX) != CC_OK)
        refuse(r, CC_ERROR_BAD_NAME);
}

static void read_server(reading *r)
{
    char *server = r->out->server;

    if (read_text(r, server, sizeof(r->out->server), CC_ERROR_NO_SERVER)
        && cc_name_check(server, strlen(server), CC_SERVER_MAX) != CC_OK)
        refuse(r, CC_ERROR_NO_SERVER);
}

static void read_ref(reading *r)
{
    r->out->has_ref = read_text(r, r->out->ref, sizeof(r->out->ref), CC_ERROR_BAD_REF);
}

static void read_to(reading *r)
{
    r->receivers++;
    cc_json_skip(&r->json, &r->to, NULL);
}

static void read_group(reading *r)
{
    r->receivers++;
    if (read_text(r, r->group, sizeof(r->group), CC_ERROR_BAD_RECEIVER)
        && cc_name_check(r->group, strlen(r->group), CC_APP_MAX) != CC_OK)
        refuse(r, CC_ERROR_BAD_RECEIVER);
}

static void read_all(reading *r)
{
    r->receivers++;
    if (cc_json_peek(&r->json) == 't')
        cc_json_boolean(&r->json, &r->all);
    else
        cc_json_skip(&r->json, NULL, NULL);
    if (!r->all)
        refuse(r, CC_ERROR_BAD_RECEIVER);
}

static void read_data(reading *r)
{
    cc_json_skip(&r->json, &r->data, NULL);
}

static void read_base64(reading *r)
{
    read_truth(r, &r->base64);
}

static void read_type(reading *r)
{
    char *type = r->out->type;

    r->has_type = 1;
    if (read_text(r, type, sizeof(r->out->type), CC_ERROR_BAD_TYPE)
        && !cc_publication_is_type(type, strlen(type)))
        refuse(r, CC_ERROR_BAD_TYPE);
}

static void read_ttl(reading *r)
{
    cc_slice value;
    cc_json number;
    uint64_t ttl = 0;

    if (cc_json_skip(&r->json, &value, NULL) != CC_OK)
        return;
    cc_json_init(&number, value.data, value.len);
    if (cc_json_integer(&number, &ttl) != CC_OK || cc_json_finish(&number) != CC_OK
        || ttl > CC_TTL_MAX)
        refuse(r, CC_ERROR_BAD_TTL);
    else
        r->out->ttl = (int64_t)ttl;
}

static void read_topic(reading *r)
{
    char *topic = r->out->topic;

    if (read_text(r, topic, sizeof(r->out->topic), CC_ERROR_BAD_TOPIC)
        && !cc_publication_is_topic(topic, strlen(topic)))
        refuse(r, CC_ERROR_BAD_TOPIC);
}

static void read_urgency(reading *r)
{
    char *urgency = r->out->urgency;

    if (read_text(r, urgency, sizeof(r->out->urgency), CC_ERROR_BAD_URGENCY)
        && !cc_publication_is_urgency(urgency))
        refuse(r, CC_ERROR_BAD_URGENCY);
}

static void read_receipt(reading *r)
{
    read_truth(r, &r->out->receipt);
}

static const struct member {
    const char *name;
    void (*read)(reading *r);
} members[] = {
    { "app", read_app },         { "server", read_server }, { "ref", read_ref },
    { "to", read_to },           { "group", read_group },   { "all", read_all },
    { "data", read_data },       { "base64", read_base64 }, { "type", read_type },
    { "ttl", read_ttl },         { "topic", read_topic },   { "urgency", read_urgency },
    { "receipt", read_receipt },
};

static void read_member(reading *r, cc_slice name)
{
    int i = cc_json_find(name, members, sizeof(members) / sizeof(members[0]),
                         sizeof(members[0]));

    if (i >= 0)
        members[i].read(r);
    else
        cc_json_skip(&r->json, NULL, NULL);
}

/* ---- where it goes --------------------------------------------------- */

static void add_escaped(cc_buffer *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;

        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z')
            || strchr("-._~/", c) != NULL)
            cc_buffer_add(out, text, 1);
        else
            cc_buffer_format(out, "%%%02X", c);
    }
}

/* The next string of "to" as a name. */
static int take_receiver(cc_json *json, char *out, size_t size)
{
    cc_slice raw;

    return cc_json_peek(json) == '"' && cc_json_string(json, &raw) == CC_OK
           && cc_json_decode(raw, out, size) == CC_OK && is_receiver(out);
}

/* One receiver stands in the path, several in the query. */
static void place_list(reading *r, cc_json *json)
{
    char name[CLIENT_MAX + CC_DEVICE_MAX + 2];
    cc_buffer *place = &r->out->place;
    int first = 1, count = 0;

    cc_json_enter(json, '[');
    while (cc_json_next_element(json, &first)) {
        if (count++ == CC_RECEIVER_MAX || !take_receiver(json, name, sizeof(name))) {
            refuse(r, CC_ERROR_BAD_RECEIVER);
            return;
        }
        cc_buffer_add_text(place, count == 1 ? "?to=" : "&to=");
        add_escaped(place, name);
    }
    if (count == 0)
        refuse(r, CC_ERROR_BAD_RECEIVER);
    if (count != 1)
        return;
    cc_buffer_reset(place, CC_PLACE_MAX);
    cc_buffer_add_text(place, "/");
    add_escaped(place, name);
}

static void place_to(reading *r)
{
    char name[CLIENT_MAX + CC_DEVICE_MAX + 2];
    cc_json json;

    cc_json_init(&json, r->to.data, r->to.len);
    if (cc_json_peek(&json) == '[') {
        place_list(r, &json);
    }
    else if (take_receiver(&json, name, sizeof(name))) {
        cc_buffer_add_text(&r->out->place, "/");
        add_escaped(&r->out->place, name);
    }
    else {
        refuse(r, CC_ERROR_BAD_RECEIVER);
    }
}

static void place(reading *r)
{
    if (r->receivers != 1)
        refuse(r, CC_ERROR_BAD_RECEIVER);
    else if (r->to.data != NULL)
        place_to(r);
    else if (r->all)
        cc_buffer_add_text(&r->out->place, "/-/all");
    else
        cc_buffer_format(&r->out->place, "/-/groups/%s", r->group);
    if (r->out->place.len > CC_PLACE_MAX)
        refuse(r, CC_ERROR_BAD_RECEIVER);
}

void cc_publication_url(cc_buffer *out, const char *url, const char *app,
                        const char *where)
{
    size_t path = strcspn(url, "?");
    const char *query = url[path] == '?' ? url + path + 1 : "";
    size_t end = path;

    while (end > 0 && url[end - 1] == '/')
        end--;
    cc_buffer_add(out, url, end);
    cc_buffer_format(out, "/%s%s", app, where);
    if (*query != '\0')
        cc_buffer_format(out, "%c%s", where[0] == '?' ? '&' : '?', query);
}

/* ---- what is sent ---------------------------------------------------- */

/* The string of `data` as its bytes. */
static cc_status decode_string(reading *r, cc_buffer *out)
{
    cc_slice inner = { r->data.data + 1, r->data.len - 2 };
    cc_status status;

    out->room = r->data.len;
    out->data = cc_alloc(out->room);
    status = cc_json_decode(inner, out->data, out->room);
    out->len = strlen(out->data);
    return status;
}

static cc_status decode_base64(reading *r)
{
    cc_buffer text = { NULL, 0, 0 };
    cc_status status = decode_string(r, &text);

    if (status == CC_OK)
        status = cc_base64_decode(&r->out->decoded, text.data, text.len);
    cc_buffer_clear(&text);
    return status;
}

static void make_body(reading *r)
{
    cc_publication *out = r->out;
    int is_string = r->data.len > 0 && r->data.data[0] == '"';

    out->body = r->data;
    if (r->data.len == 0) {
        refuse(r, CC_ERROR_BAD_DATA);
        return;
    }
    if (!r->base64 && (!r->has_type || cc_name_type_is_json(out->type))) {
        if (!r->has_type)
            strcpy(out->type, "application/json");
        return;
    }
    if (!is_string
        || (r->base64 ? decode_base64(r) : decode_string(r, &out->decoded)) != CC_OK) {
        refuse(r, CC_ERROR_BAD_DATA);
        return;
    }
    out->body.data = out->decoded.data != NULL ? out->decoded.data : "";
    out->body.len = out->decoded.len;
}

cc_command_error cc_publication_parse(cc_slice object, cc_publication *out)
{
    reading r;
    cc_slice name;
    int first = 1;

    memset(out, 0, sizeof(*out));
    memset(&r, 0, sizeof(r));
    out->ttl = -1;
    r.out = out;
    cc_json_init(&r.json, object.data, object.len);
    if (cc_json_enter(&r.json, '{') != CC_OK)
        return CC_ERROR_BAD_COMMAND;
    while (cc_json_next_member(&r.json, &first, &name))
        read_member(&r, name);
    if (cc_json_finish(&r.json) != CC_OK)
        return CC_ERROR_BAD_JSON;
    place(&r);
    make_body(&r);
    return r.error;
}

void cc_publication_clear(cc_publication *publication)
{
    cc_buffer_clear(&publication->place);
    cc_buffer_clear(&publication->decoded);
}
