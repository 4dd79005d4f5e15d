/* SPDX-License-Identifier: Apache-2.0
 * csq_group.c - groups of an application's clients.
 *
 * Each shard has its own part of a group, with those of its members that lie
 * in the shard; so one lock guards a client and its memberships. A part goes
 * with its last member. To change one member is one store.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define GROUP_SEED UINT64_C(0x67726f7570)

apr_status_t csq_group_name_make(csq *q, const char *realm, const char *app,
                                 const char *group, csq_group_name *out)
{
    uint64_t hash;

    out->realm = realm;
    out->app = app;
    out->group = group;
    out->realm_len = (uint32_t)strlen(realm);
    out->app_len = (uint32_t)strlen(app);
    out->group_len = (uint32_t)strlen(group);
    if (out->realm_len > CSQ_REALM_MAX || out->group_len > CSQ_GROUP_MAX
        || csq_app_check(app, out->app_len) != APR_SUCCESS
        || csq_app_check(group, out->group_len) != APR_SUCCESS)
        return CSQ_BAD_NAME;
    hash = csq_hash(q, GROUP_SEED, realm, out->realm_len);
    hash = csq_hash(q, hash, app, out->app_len);
    out->hash = (uint32_t)(csq_hash(q, hash, group, out->group_len) >> 32);
    return APR_SUCCESS;
}

uint32_t csq_group_chunks(uint32_t strings)
{
    return csq_chunks_for(strings, CSQ_GROUP_NAME);
}

static uint32_t strings_of(const csq_group *group)
{
    return (uint32_t)group->realm_len + group->app_len + group->group_len;
}

uint32_t csq_group_hash(csq *q, csq_group *group, int *out_ok)
{
    char realm[UINT8_MAX];
    char app[UINT8_MAX];
    char name[UINT8_MAX];
    uint64_t hash;
    csq_stream stream;

    csq_stream_open(&stream, q, group, group->name, CSQ_GROUP_NAME);
    *out_ok = csq_stream_read(&stream, realm, group->realm_len) == APR_SUCCESS
              && csq_stream_read(&stream, app, group->app_len) == APR_SUCCESS
              && csq_stream_read(&stream, name, group->group_len) == APR_SUCCESS;
    if (!*out_ok)
        return 0;
    hash = csq_hash(q, GROUP_SEED, realm, group->realm_len);
    hash = csq_hash(q, hash, app, group->app_len);
    return (uint32_t)(csq_hash(q, hash, name, group->group_len) >> 32);
}

static uint32_t *bucket_of(csq *q, unsigned shard, uint32_t hash)
{
    return &q->groups[shard * (q->group_mask + 1) + (hash & q->group_mask)];
}

static int has_name(csq *q, csq_group *group, const csq_group_name *name)
{
    csq_stream stream;

    if (group->hash != name->hash || group->realm_len != name->realm_len
        || group->app_len != name->app_len || group->group_len != name->group_len)
        return 0;
    csq_stream_open(&stream, q, group, group->name, CSQ_GROUP_NAME);
    return csq_stream_equal(&stream, name->realm, name->realm_len)
           && csq_stream_equal(&stream, name->app, name->app_len)
           && csq_stream_equal(&stream, name->group, name->group_len);
}

/* The link that leads to the group; *link 0: it is not there. */
static apr_status_t find_link(csq *q, unsigned shard, const csq_group_name *name,
                              uint32_t **out_link)
{
    uint32_t *link = bucket_of(q, shard, name->hash);
    uint32_t steps = 0;
    csq_group *group;

    for (; *link; link = &group->hash_next) {
        group = csq_group_at(q, *link);
        if (!group || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        if (has_name(q, group, name))
            break;
    }
    *out_link = link;
    return APR_SUCCESS;
}

apr_status_t csq_group_find_locked(csq *q, unsigned shard, const csq_group_name *name,
                                   uint32_t *out_group)
{
    uint32_t *link;
    apr_status_t rv = find_link(q, shard, name, &link);

    *out_group = rv == APR_SUCCESS ? *link : 0;
    return rv;
}

/* ---- members ---------------------------------------------------------------- */

/* The place of a client (or, client 0, a free one); NULL: there is none. */
static apr_status_t find_member(csq *q, csq_group *group, uint32_t client,
                                uint32_t **out_place)
{
    uint32_t number = group->members;
    uint32_t steps = 0;
    csq_members *members;
    int i;

    *out_place = NULL;
    for (; number; number = members->next) {
        members = csq_members_at(q, number);
        if (!members || steps++ > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
        for (i = 0; i < CSQ_MEMBERS_MAX; i++)
            if (members->clients[i] == client) {
                *out_place = &members->clients[i];
                return APR_SUCCESS;
            }
    }
    return APR_SUCCESS;
}

typedef struct changing {
    csq *q;
    csq_group_name name;
    csq_name client_name;
    unsigned shard;
    uint32_t client;
    uint32_t group;
    int changed;
} changing;

static apr_status_t write_name(csq *q, csq_group *group, const csq_group_name *name)
{
    csq_stream stream;
    apr_status_t rv;

    csq_stream_open(&stream, q, group, group->name, CSQ_GROUP_NAME);
    rv = csq_stream_write(&stream, name->realm, name->realm_len);
    if (rv == APR_SUCCESS)
        rv = csq_stream_write(&stream, name->app, name->app_len);
    if (rv == APR_SUCCESS)
        rv = csq_stream_write(&stream, name->group, name->group_len);
    return rv;
}

static apr_status_t make_group(changing *c)
{
    csq *q = c->q;
    const csq_group_name *name = &c->name;
    uint32_t *bucket = bucket_of(q, c->shard, name->hash);
    csq_group *group;
    uint32_t chain;
    uint32_t next;
    apr_status_t rv = csq_chunk_take(
        q, csq_group_chunks(name->realm_len + name->app_len + name->group_len), 0,
        &chain);

    if (rv != APR_SUCCESS)
        return rv;
    group = csq_chunk_at(q, chain);
    if (!group)
        return CSQ_DAMAGED;
    next = group->next;
    memset(group, 0, sizeof *group);
    group->next = next;
    group->realm_len = (uint8_t)name->realm_len;
    group->app_len = (uint8_t)name->app_len;
    group->group_len = (uint8_t)name->group_len;
    group->hash = name->hash;
    rv = write_name(q, group, name);
    if (rv != APR_SUCCESS) {
        csq_repair_want(q);
        return rv;
    }
    group->hash_next = *bucket;
    group->kind = CSQ_KIND_GROUP;
    __atomic_store_n(bucket, chain, __ATOMIC_RELEASE);
    c->group = chain;
    return APR_SUCCESS;
}

static apr_status_t need_free_place(changing *c, csq_group *group, uint32_t **out_place)
{
    csq_members *members;
    uint32_t number;
    apr_status_t rv = find_member(c->q, group, 0, out_place);

    if (rv != APR_SUCCESS || *out_place)
        return rv;
    rv = csq_chunk_take(c->q, 1, 0, &number);
    if (rv != APR_SUCCESS)
        return rv;
    members = csq_chunk_at(c->q, number);
    memset(members, 0, sizeof *members);
    members->next = group->members;
    members->kind = CSQ_KIND_MEMBERS;
    __atomic_store_n(&group->members, number, __ATOMIC_RELEASE);
    *out_place = &members->clients[0];
    return APR_SUCCESS;
}

/* A group without members goes. The allocator is locked. */
static apr_status_t drop_empty_group(changing *c)
{
    csq *q = c->q;
    csq_group *group = csq_group_at(q, c->group);
    uint32_t *link;
    uint32_t n = 0;
    uint32_t number;
    csq_members *members;
    apr_status_t rv = find_link(q, c->shard, &c->name, &link);

    if (rv != APR_SUCCESS || !group || group->count || *link != c->group)
        return rv;
    for (number = group->members; number; number = members->next, n++) {
        members = csq_members_at(q, number);
        if (!members || n > q->chunk_count) {
            csq_repair_want(q);
            return CSQ_DAMAGED;
        }
    }
    __atomic_store_n(link, group->hash_next, __ATOMIC_RELEASE);
    if (n)
        rv = csq_chunk_give_locked(q, group->members, n);
    group->kind = CSQ_KIND_FREE;
    if (rv == APR_SUCCESS)
        rv = csq_chunk_give_locked(q, c->group, csq_group_chunks(strings_of(group)));
    return rv;
}

/* It was made for a member who then could not be taken in. */
static void drop_new_group(changing *c)
{
    if (csq_allocator_lock(c->q) != APR_SUCCESS) {
        csq_repair_want(c->q);
        return;
    }
    drop_empty_group(c);
    csq_allocator_unlock(c->q);
}

static apr_status_t add_locked(changing *c)
{
    csq_client *client;
    csq_group *group;
    uint32_t *place;
    apr_status_t rv = csq_client_need_locked(c->q, &c->client_name, &c->client);

    if (rv == APR_SUCCESS)
        rv = csq_group_find_locked(c->q, c->shard, &c->name, &c->group);
    if (rv == APR_SUCCESS && !c->group)
        rv = make_group(c);
    if (rv != APR_SUCCESS)
        return rv;
    group = csq_group_at(c->q, c->group);
    rv = find_member(c->q, group, c->client, &place);
    if (rv != APR_SUCCESS || place)
        return rv;
    rv = need_free_place(c, group, &place);
    if (rv != APR_SUCCESS) {
        drop_new_group(c);
        return rv;
    }
    client = csq_client_at(c->q, c->client);
    if (!client) {
        csq_repair_want(c->q);
        return CSQ_DAMAGED;
    }
    __atomic_store_n(place, c->client, __ATOMIC_RELEASE);
    group->count++;
    client->memberships++;
    c->changed = 1;
    return APR_SUCCESS;
}

/* The group goes with its last member, a client with the last that it is for:
 * so the allocator is locked first, and nothing is left half done.           */
static apr_status_t remove_locked(changing *c)
{
    csq_group *group;
    csq_client *client;
    uint32_t *place;
    apr_status_t rv = csq_client_find_locked(c->q, &c->client_name, &c->client);

    client = csq_client_at(c->q, c->client);
    if (rv == APR_SUCCESS)
        rv = csq_group_find_locked(c->q, c->shard, &c->name, &c->group);
    if (rv != APR_SUCCESS || !c->group || !client)
        return rv;
    group = csq_group_at(c->q, c->group);
    rv = find_member(c->q, group, c->client, &place);
    if (rv == APR_SUCCESS && place)
        rv = csq_allocator_lock(c->q);
    if (rv != APR_SUCCESS || !place)
        return rv;
    __atomic_store_n(place, 0, __ATOMIC_RELEASE);
    group->count--;
    client->memberships--;
    c->changed = 1;
    rv = drop_empty_group(c);
    if (rv == APR_SUCCESS)
        rv = csq_client_forget_locked(c->q, c->client);
    csq_allocator_unlock(c->q);
    return rv;
}

static apr_status_t change_once(changing *c, int add)
{
    uint32_t set = UINT32_C(1) << c->shard;
    apr_status_t rv = csq_lock(c->q, set);

    if (rv != APR_SUCCESS)
        return rv;
    rv = add ? add_locked(c) : remove_locked(c);
    if (add && rv != APR_SUCCESS)
        csq_client_tidy_locked(c->q, c->client);
    csq_unlock(c->q, set);
    return rv;
}

static apr_status_t change(csq *q, const csq_key *client, const char *app,
                           const char *group, apr_time_t now, int add, int *out_changed)
{
    changing c = { .q = q };
    apr_status_t rv = csq_name_make(q, client, &c.client_name);
    int swept = 0;
    int i;

    if (rv == APR_SUCCESS)
        rv = csq_group_name_make(q, client->realm, app, group, &c.name);
    if (rv == APR_SUCCESS)
        rv = csq_server_check(q, now);
    if (rv != APR_SUCCESS)
        return rv;
    c.shard = csq_name_shard(&c.client_name);
    rv = CSQ_RETRY;
    for (i = 0; i < CSQ_RETRIES && rv == CSQ_RETRY; i++) {
        rv = change_once(&c, add);
        if ((rv == CSQ_SEGMENT_FULL || rv == CSQ_CLIENTS_FULL) && !swept) {
            swept = 1;
            csq_expire(q, now, q->chunk_count);
            rv = CSQ_RETRY;
        }
    }
    *out_changed = c.changed;
    return rv == CSQ_RETRY ? CSQ_BUSY : rv;
}

apr_status_t csq_group_add(csq *q, const csq_key *client, const char *app,
                           const char *group, apr_time_t now, int *out_changed)
{
    return change(q, client, app, group, now, 1, out_changed);
}

apr_status_t csq_group_remove(csq *q, const csq_key *client, const char *app,
                              const char *group, apr_time_t now, int *out_changed)
{
    return change(q, client, app, group, now, 0, out_changed);
}
