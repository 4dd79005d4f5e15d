/* SPDX-License-Identifier: Apache-2.0
 * csq_settings.c - limits and realms, as the server's parent sets them.
 *
 * Limits are read without a lock, each for itself: a restart that changes
 * several may be seen half done for a moment, which harms nothing.
 */
#include "cs_compat.h"
#include "csq_private.h"

#define SETTINGS_SHARD 1u      /* the realms are guarded by the first shard   */

#define COPY(from, to, member) \
    __atomic_store_n(&(to)->member, __atomic_load_n(&(from)->member, __ATOMIC_RELAXED), \
                     __ATOMIC_RELAXED)

static void copy_limits(const csq_limits *from, csq_limits *to)
{
    COPY(from, to, max_queue_bytes);
    COPY(from, to, max_message);
    COPY(from, to, max_queue);
    COPY(from, to, max_clients);
    COPY(from, to, default_ttl);
    COPY(from, to, max_ttl);
    COPY(from, to, client_expiry);
    COPY(from, to, device_expiry);
    COPY(from, to, max_devices);
    COPY(from, to, overflow);
}

apr_status_t csq_limits_check(const csq_limits *limits)
{
    if (!limits->max_queue || !limits->max_clients || !limits->max_message
        || !limits->max_queue_bytes || !limits->max_devices
        || limits->max_devices > CSQ_DEVICES_MAX)
        return APR_EINVAL;
    return APR_SUCCESS;
}

apr_status_t csq_limits_set(csq *q, const csq_limits *limits)
{
    apr_status_t rv = csq_limits_check(limits);

    if (rv != APR_SUCCESS)
        return rv;
    copy_limits(limits, &q->header->limits);
    return APR_SUCCESS;
}

void csq_limits_get(csq *q, csq_limits *out_limits)
{
    copy_limits(&q->header->limits, out_limits);
}

apr_status_t csq_realms_set(csq *q, const char *const *realms, int n)
{
    csq_header *header = q->header;
    apr_status_t rv;
    int i;

    for (i = 0; i < n; i++)
        if (strlen(realms[i]) > CSQ_REALM_MAX)
            return CSQ_BAD_NAME;
    rv = csq_lock_even_closed(q, SETTINGS_SHARD);
    if (rv != APR_SUCCESS)
        return rv;
    header->realm_count = 0;
    for (i = 0; i < n; i++) {
        if (header->realm_count == 1 && strcmp(header->realm, realms[i]) == 0)
            continue;
        if (header->realm_count == 0)
            memcpy(header->realm, realms[i], strlen(realms[i]) + 1);
        header->realm_count++;
    }
    csq_unlock(q, SETTINGS_SHARD);
    return APR_SUCCESS;
}

apr_status_t csq_realm_only(csq *q, apr_pool_t *pool, const char **out_realm)
{
    char realm[CSQ_REALM_MAX + 1];
    uint32_t count;
    apr_status_t rv = csq_lock(q, SETTINGS_SHARD);

    if (rv != APR_SUCCESS)
        return rv;
    count = q->header->realm_count;
    memcpy(realm, q->header->realm, sizeof realm);
    csq_unlock(q, SETTINGS_SHARD);
    if (count != 1)
        return CSQ_NO_REALM;
    realm[CSQ_REALM_MAX] = '\0';
    *out_realm = apr_pstrdup(pool, realm);
    return APR_SUCCESS;
}
