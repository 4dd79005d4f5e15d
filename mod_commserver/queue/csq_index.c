/* SPDX-License-Identifier: Apache-2.0
 * csq_index.c - from a name to a client, new clients, forgotten ones. The
 * queues of a client are the topic of csq_device.c.
 *
 * The low bits of the hash choose the shard, the next ones the bucket, the
 * upper half is kept in the record so that a name is compared only when it
 * is nearly certain to match.
 *
 * An epoch has 32 random bits above 32 bits that only this segment can make
 * from them and the name. So a cursor of a queue that was forgotten (always
 * empty: nothing is missing) is told from one of another segment (state was
 * lost: a gap), without keeping anything about the forgotten. A repair that
 * had to give something up draws a new secret for it.
 */
#include "cs_compat.h"
#include "csq_private.h"

apr_status_t csq_name_make(csq *q, const csq_key *key, csq_name *out_name)
{
    size_t realm = strlen(key->realm);
    size_t client = strlen(key->client);

    if (realm > CSQ_REALM_MAX)
        return CSQ_BAD_NAME;
    if (csq_client_check(key->client, client) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    out_name->device_len = key->device ? (uint32_t)strlen(key->device) : 0;
    if (out_name->device_len
        && csq_device_check(key->device, out_name->device_len) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    out_name->key = key;
    out_name->realm_len = (uint32_t)realm;
    out_name->client_len = (uint32_t)client;
    out_name->hash = csq_hash(q, csq_hash(q, 0, key->realm, realm), key->client, client);
    return APR_SUCCESS;
}

uint32_t csq_bucket_of(const csq *q, unsigned shard, uint64_t hash)
{
    return shard * (q->bucket_mask + 1) + ((uint32_t)(hash >> 5) & q->bucket_mask);
}

uint32_t csq_client_chunks(uint32_t realm_len, uint32_t client_len)
{
    return csq_chunks_for((size_t)realm_len + client_len, CSQ_CLIENT_NAME);
}

uint64_t csq_client_hash(csq *q, csq_client *client, int *out_ok)
{
    char realm[CSQ_REALM_MAX];
    char name[CSQ_CLIENT_MAX];
    csq_stream stream;

    csq_stream_open(&stream, q, client, client->name, CSQ_CLIENT_NAME);
    *out_ok = csq_stream_read(&stream, realm, client->realm_len) == APR_SUCCESS
              && csq_stream_read(&stream, name, client->client_len) == APR_SUCCESS;
    if (!*out_ok)
        return 0;
    return csq_hash(q, csq_hash(q, 0, realm, client->realm_len), name,
                    client->client_len);
}

static int has_name(csq *q, csq_client *client, const csq_name *name)
{
    csq_stream stream;

    if (client->hash != (uint32_t)(name->hash >> 32)
        || client->realm_len != name->realm_len || client->client_len != name->client_len)
        return 0;
    csq_stream_open(&stream, q, client, client->name, CSQ_CLIENT_NAME);
    return csq_stream_equal(&stream, name->key->realm, name->realm_len)
           && csq_stream_equal(&stream, name->key->client, name->client_len);
}

int csq_client_same_name(csq *q, csq_client *one, csq_client *other)
{
    char names[2][CSQ_REALM_MAX + CSQ_CLIENT_MAX];
    csq_client *clients[2] = { one, other };
    size_t len = (size_t)one->realm_len + one->client_len;
    csq_stream stream;
    int i;

    if (one->realm_len != other->realm_len || one->client_len != other->client_len)
        return 0;
    for (i = 0; i < 2; i++) {
        csq_stream_open(&stream, q, clients[i], clients[i]->name, CSQ_CLIENT_NAME);
        if (csq_stream_read(&stream, names[i], len) != APR_SUCCESS)
            return 0;
    }
    return memcmp(names[0], names[1], len) == 0;
}

apr_status_t csq_client_find_locked(csq *q, const csq_name *name, uint32_t *out_client)
{
    uint32_t number = q->buckets[csq_bucket_of(q, csq_name_shard(name), name->hash)];
    uint32_t steps = 0;
    csq_client *client;

    *out_client = 0;
    while (number) {
        client = csq_client_at(q, number);
        if (!client || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        if (has_name(q, client, name)) {
            *out_client = number;
            return APR_SUCCESS;
        }
        number = client->hash_next;
    }
    return APR_SUCCESS;
}

static uint32_t epoch_check(const csq *q, uint64_t name_hash, uint32_t random)
{
    char bytes[12];

    memcpy(bytes, &name_hash, 8);
    memcpy(bytes + 8, &random, 4);
    return (uint32_t)csq_hash(q, q->header->epoch_secret, bytes, sizeof bytes);
}

apr_status_t csq_epoch_make(csq *q, uint64_t name_hash, uint64_t *out_epoch)
{
    uint32_t random = 0;
    apr_status_t rv;

    do {
        rv = csq_random(q, &random, sizeof random);
        if (rv != APR_SUCCESS)
            return rv;
    } while (!random);
    *out_epoch = (uint64_t)random << 32 | epoch_check(q, name_hash, random);
    return APR_SUCCESS;
}

int csq_epoch_genuine(const csq *q, const csq_name *name, uint64_t epoch)
{
    uint32_t random = (uint32_t)(epoch >> 32);

    return random && (uint32_t)epoch == epoch_check(q, name->hash, random);
}

const char *csq_client_text(csq *q, csq_client *client, char buf[CSQ_CLIENT_MAX + 1])
{
    char realm[CSQ_REALM_MAX];
    csq_stream stream;

    csq_stream_open(&stream, q, client, client->name, CSQ_CLIENT_NAME);
    if (csq_stream_read(&stream, realm, client->realm_len) != APR_SUCCESS
        || csq_stream_read(&stream, buf, client->client_len) != APR_SUCCESS)
        buf[0] = '\0';
    else
        buf[client->client_len] = '\0';
    return buf;
}

int csq_client_in_realm(csq *q, csq_client *client, const char *realm, size_t len)
{
    csq_stream stream;

    if (client->realm_len != len)
        return 0;
    csq_stream_open(&stream, q, client, client->name, CSQ_CLIENT_NAME);
    return csq_stream_equal(&stream, realm, len);
}

apr_status_t csq_client_make_locked(csq *q, const csq_name *name, uint32_t chain,
                                    uint32_t queue)
{
    unsigned shard = csq_name_shard(name);
    uint32_t *bucket = &q->buckets[csq_bucket_of(q, shard, name->hash)];
    csq_client *client = csq_chunk_at(q, chain);
    csq_stream stream;
    uint32_t next;
    apr_status_t rv;

    if (!client)
        return CSQ_DAMAGED;
    next = client->next;
    memset(client, 0, sizeof *client);
    client->next = next;
    client->shard = (uint8_t)shard;
    client->realm_len = (uint8_t)name->realm_len;
    client->client_len = (uint8_t)name->client_len;
    client->hash = (uint32_t)(name->hash >> 32);
    csq_stream_open(&stream, q, client, client->name, CSQ_CLIENT_NAME);
    rv = csq_stream_write(&stream, name->key->realm, name->realm_len);
    if (rv == APR_SUCCESS)
        rv = csq_stream_write(&stream, name->key->client, name->client_len);
    if (rv != APR_SUCCESS)
        return rv;
    client->hash_next = *bucket;
    client->kind = CSQ_KIND_CLIENT;
    if (queue && (rv = csq_queue_link_locked(q, shard, chain, queue)) != APR_SUCCESS)
        return rv;
    __atomic_store_n(bucket, chain, __ATOMIC_RELEASE);
    q->shards[shard].clients++;
    __atomic_add_fetch(&q->header->clients, 1, __ATOMIC_RELAXED);
    return APR_SUCCESS;
}

static int clients_full(csq *q)
{
    return __atomic_load_n(&q->header->clients, __ATOMIC_RELAXED)
           >= __atomic_load_n(&q->header->limits.max_clients, __ATOMIC_RELAXED);
}

apr_status_t csq_client_need_locked(csq *q, const csq_name *name, uint32_t *out_client)
{
    uint32_t chain;
    apr_status_t rv = csq_client_find_locked(q, name, out_client);

    if (rv != APR_SUCCESS || *out_client)
        return rv;
    if (clients_full(q))
        return CSQ_CLIENTS_FULL;
    rv = csq_chunk_take(q, csq_client_chunks(name->realm_len, name->client_len), 0,
                        &chain);
    if (rv != APR_SUCCESS)
        return rv;
    rv = csq_client_make_locked(q, name, chain, 0);
    if (rv != APR_SUCCESS)
        csq_repair_want(q);
    else
        *out_client = chain;
    return rv;
}

/* The link that leads to a client: a bucket or a hash_next. */
static uint32_t *find_link(csq *q, csq_client *client, uint32_t number)
{
    uint32_t *link;
    uint32_t steps = 0;
    csq_client *other;
    int ok;
    uint64_t hash = csq_client_hash(q, client, &ok);

    if (!ok || client->shard != (hash & (CSQ_SHARDS - 1)))
        return NULL;
    link = &q->buckets[csq_bucket_of(q, client->shard, hash)];
    while (*link != number) {
        other = csq_client_at(q, *link);
        if (!other || steps++ > q->chunk_count)
            return NULL;
        link = &other->hash_next;
    }
    return link;
}

apr_status_t csq_client_forget_locked(csq *q, uint32_t number)
{
    csq_client *client = csq_client_at(q, number);
    uint32_t *link;

    if (client && (client->queues || client->memberships))
        return APR_SUCCESS;
    link = client ? find_link(q, client, number) : NULL;
    if (!link) {
        csq_repair_want(q);
        return CSQ_DAMAGED;
    }
    __atomic_store_n(link, client->hash_next, __ATOMIC_RELEASE);
    q->shards[client->shard].clients--;
    __atomic_sub_fetch(&q->header->clients, 1, __ATOMIC_RELAXED);
    client->kind = CSQ_KIND_FREE;
    return csq_chunk_give_locked(
        q, number, csq_client_chunks(client->realm_len, client->client_len));
}

void csq_client_tidy_locked(csq *q, uint32_t number)
{
    csq_client *client = csq_client_at(q, number);

    if (!client || client->queues || client->memberships)
        return;
    if (csq_allocator_lock(q) != APR_SUCCESS) {
        csq_repair_want(q);
        return;
    }
    csq_client_forget_locked(q, number);
    csq_allocator_unlock(q);
}
