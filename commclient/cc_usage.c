/* SPDX-License-Identifier: Apache-2.0
 * cc_usage.c - how much of the inbox each application takes, in memory.
 */
#include "cc_compat.h"
#include "cc_usage.h"
#include "cc_memory.h"

#include <stdlib.h>
#include <string.h>

static size_t bucket_of(const char *app, size_t len)
{
    uint32_t hash = 2166136261u;

    while (len-- > 0)
        hash = (hash ^ (unsigned char)*app++) * 16777619u;
    return hash % CC_USAGE_BUCKETS;
}

static cc_usage_entry *find_entry(const cc_usage *usage, const char *app, size_t len)
{
    cc_usage_entry *entry = usage->buckets[bucket_of(app, len)];

    while (entry != NULL
           && (memcmp(entry->app, app, len) != 0 || entry->app[len] != '\0'))
        entry = entry->next;
    return entry;
}

static cc_usage_entry *get_entry(cc_usage *usage, const char *app, size_t len)
{
    cc_usage_entry *entry = find_entry(usage, app, len), **place;

    if (entry != NULL)
        return entry;
    place = &usage->buckets[bucket_of(app, len)];
    entry = cc_alloc(sizeof(*entry));
    memcpy(entry->app, app, len);
    entry->next = *place;
    *place = entry;
    return entry;
}

void cc_usage_add(cc_usage *usage, const char *app, size_t app_len, int64_t messages,
                  int64_t bytes)
{
    cc_usage_entry *entry = get_entry(usage, app, app_len);

    entry->messages += messages;
    entry->bytes += bytes;
    if (entry->is_dirty)
        return;
    entry->is_dirty = 1;
    entry->next_dirty = usage->dirty;
    usage->dirty = entry;
}

const cc_usage_entry *cc_usage_find(const cc_usage *usage, const char *app)
{
    return find_entry(usage, app, strlen(app));
}

static void forget_empty(cc_usage *usage, cc_usage_entry *entry)
{
    cc_usage_entry **place = &usage->buckets[bucket_of(entry->app, strlen(entry->app))];

    if (entry->messages != 0 || entry->bytes != 0)
        return;
    while (*place != entry)
        place = &(*place)->next;
    *place = entry->next;
    free(entry);
}

void cc_usage_committed(cc_usage *usage)
{
    cc_usage_entry *entry;

    while ((entry = usage->dirty) != NULL) {
        usage->dirty = entry->next_dirty;
        entry->is_dirty = 0;
        entry->committed_messages = entry->messages;
        entry->committed_bytes = entry->bytes;
        forget_empty(usage, entry);
    }
}

void cc_usage_rolled_back(cc_usage *usage)
{
    cc_usage_entry *entry;

    while ((entry = usage->dirty) != NULL) {
        usage->dirty = entry->next_dirty;
        entry->is_dirty = 0;
        entry->messages = entry->committed_messages;
        entry->bytes = entry->committed_bytes;
        forget_empty(usage, entry);
    }
}

void cc_usage_clear(cc_usage *usage)
{
    cc_usage_entry *entry;
    size_t i;

    for (i = 0; i < CC_USAGE_BUCKETS; i++) {
        while ((entry = usage->buckets[i]) != NULL) {
            usage->buckets[i] = entry->next;
            free(entry);
        }
    }
    usage->dirty = NULL;
}
