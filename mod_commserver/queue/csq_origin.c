/* SPDX-License-Identifier: Apache-2.0
 * csq_origin.c - realm, application, sender and type of messages, stored once.
 *
 * Few applications send most messages, so a message names its origin by one
 * number. Counted by messages, guarded by the allocator's lock: it is taken
 * for the chunks of the message anyway.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define ORIGIN_SEED UINT64_C(0x6f726967696e)

static uint32_t hash_strings(csq *q, const csq_origin_name *name)
{
    uint64_t hash = csq_hash(q, ORIGIN_SEED, name->app, name->app_len);

    hash = csq_hash(q, hash, name->sender, name->sender_len);
    hash = csq_hash(q, hash, name->realm, name->realm_len);
    return (uint32_t)(csq_hash(q, hash, name->type, name->type_len) >> 32);
}

uint32_t csq_app_hash(csq *q, const char *realm, size_t realm_len, const char *app,
                      size_t app_len)
{
    uint64_t hash = csq_hash(q, ORIGIN_SEED, realm, realm_len);

    return (uint32_t)(csq_hash(q, hash, app, app_len) >> 32);
}

uint16_t csq_sender_hash(csq *q, const char *sender, size_t len)
{
    return (uint16_t)(csq_hash(q, ORIGIN_SEED, sender, len) >> 48);
}

void csq_origin_name_make(csq *q, const csq_message *message, csq_origin_name *out)
{
    out->app = message->app;
    out->sender = message->sender;
    out->type = message->type ? message->type : "";
    out->realm = message->realm ? message->realm : "";
    out->app_len = (uint32_t)strlen(out->app);
    out->sender_len = (uint32_t)strlen(out->sender);
    out->type_len = (uint32_t)strlen(out->type);
    out->realm_len = (uint32_t)strlen(out->realm);
    out->hash = hash_strings(q, out);
}

uint32_t csq_origin_chunks(uint32_t strings)
{
    return csq_chunks_for(strings, CSQ_ORIGIN_DATA);
}

typedef struct origin_strings {
    char app[UINT8_MAX];
    char sender[UINT8_MAX];
    char type[UINT8_MAX];
    char realm[UINT8_MAX];
    csq_origin_name name;
} origin_strings;

static int read_strings(csq *q, csq_origin *origin, origin_strings *out)
{
    csq_origin_name name = { out->app,         out->sender,       out->type,
                             out->realm,       origin->app_len,   origin->sender_len,
                             origin->type_len, origin->realm_len, 0 };
    csq_stream stream;

    out->name = name;
    csq_stream_open(&stream, q, origin, origin->data, CSQ_ORIGIN_DATA);
    return csq_stream_read(&stream, out->app, name.app_len) == APR_SUCCESS
           && csq_stream_read(&stream, out->sender, name.sender_len) == APR_SUCCESS
           && csq_stream_read(&stream, out->type, name.type_len) == APR_SUCCESS
           && csq_stream_read(&stream, out->realm, name.realm_len) == APR_SUCCESS;
}

uint32_t csq_origin_hash(csq *q, csq_origin *origin, int *out_ok)
{
    origin_strings strings;

    *out_ok = read_strings(q, origin, &strings);
    return *out_ok ? hash_strings(q, &strings.name) : 0;
}

static void set_hashes(csq *q, csq_origin *origin, const csq_origin_name *name)
{
    origin->hash = name->hash;
    origin->app_hash =
        csq_app_hash(q, name->realm, name->realm_len, name->app, name->app_len);
    origin->sender_hash = csq_sender_hash(q, name->sender, name->sender_len);
}

int csq_origin_hash_again(csq *q, csq_origin *origin)
{
    origin_strings strings;

    if (!read_strings(q, origin, &strings))
        return 0;
    strings.name.hash = hash_strings(q, &strings.name);
    set_hashes(q, origin, &strings.name);
    return 1;
}

static int has_strings(csq *q, csq_origin *origin, const csq_origin_name *name)
{
    csq_stream stream;

    if (origin->hash != name->hash || origin->app_len != name->app_len
        || origin->sender_len != name->sender_len || origin->type_len != name->type_len
        || origin->realm_len != name->realm_len)
        return 0;
    csq_stream_open(&stream, q, origin, origin->data, CSQ_ORIGIN_DATA);
    return csq_stream_equal(&stream, name->app, name->app_len)
           && csq_stream_equal(&stream, name->sender, name->sender_len)
           && csq_stream_equal(&stream, name->type, name->type_len)
           && csq_stream_equal(&stream, name->realm, name->realm_len);
}

int csq_origin_is(csq *q, csq_origin *origin, const char *realm, const char *app,
                  const char *sender)
{
    char strings[4 * UINT8_MAX];
    uint32_t len = csq_origin_strings(origin);
    const char *at = strings;
    csq_stream stream;

    csq_stream_open(&stream, q, origin, origin->data, CSQ_ORIGIN_DATA);
    if (csq_stream_read(&stream, strings, len) != APR_SUCCESS
        || origin->app_len != strlen(app) || memcmp(at, app, origin->app_len) != 0)
        return 0;
    at += origin->app_len;
    if (sender
        && (origin->sender_len != strlen(sender)
            || memcmp(at, sender, origin->sender_len) != 0))
        return 0;
    at += origin->sender_len + origin->type_len;
    return origin->realm_len == strlen(realm)
           && memcmp(at, realm, origin->realm_len) == 0;
}

apr_status_t csq_origin_find_locked(csq *q, const csq_origin_name *name,
                                    uint32_t *out_origin)
{
    uint32_t number = q->origins[name->hash & q->origin_mask];
    uint32_t steps = 0;
    csq_origin *origin;

    *out_origin = 0;
    while (number) {
        origin = csq_origin_at(q, number);
        if (!origin || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        if (has_strings(q, origin, name)) {
            origin->refs++;
            *out_origin = number;
            return APR_SUCCESS;
        }
        number = origin->hash_next;
    }
    return APR_SUCCESS;
}

apr_status_t csq_origin_make_locked(csq *q, const csq_origin_name *name, uint32_t chain)
{
    csq_origin *origin = csq_chunk_at(q, chain);
    uint32_t *bucket = &q->origins[name->hash & q->origin_mask];
    csq_stream stream;
    apr_status_t rv;

    origin->app_len = (uint8_t)name->app_len;
    origin->sender_len = (uint8_t)name->sender_len;
    origin->type_len = (uint8_t)name->type_len;
    origin->realm_len = (uint8_t)name->realm_len;
    set_hashes(q, origin, name);
    origin->refs = 1;
    csq_stream_open(&stream, q, origin, origin->data, CSQ_ORIGIN_DATA);
    rv = csq_stream_write(&stream, name->app, name->app_len);
    if (rv == APR_SUCCESS)
        rv = csq_stream_write(&stream, name->sender, name->sender_len);
    if (rv == APR_SUCCESS)
        rv = csq_stream_write(&stream, name->type, name->type_len);
    if (rv == APR_SUCCESS)
        rv = csq_stream_write(&stream, name->realm, name->realm_len);
    if (rv != APR_SUCCESS)
        return rv;
    origin->hash_next = *bucket;
    origin->kind = CSQ_KIND_ORIGIN;
    *bucket = chain;
    return APR_SUCCESS;
}

apr_status_t csq_origin_drop_locked(csq *q, uint32_t number)
{
    csq_origin *origin = csq_origin_at(q, number);
    csq_origin *other;
    uint32_t *link;
    uint32_t steps = 0;

    if (!origin || origin->refs == 0)
        goto damaged;
    if (--origin->refs)
        return APR_SUCCESS;
    link = &q->origins[origin->hash & q->origin_mask];
    while (*link != number) {
        other = csq_origin_at(q, *link);
        if (!other || steps++ > q->chunk_count)
            goto damaged;
        link = &other->hash_next;
    }
    *link = origin->hash_next;
    origin->kind = CSQ_KIND_FREE;
    return csq_chunk_give_locked(q, number,
                                 csq_origin_chunks(csq_origin_strings(origin)));

damaged:
    csq_repair_want(q);
    return CSQ_DAMAGED;
}
