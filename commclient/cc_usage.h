/* SPDX-License-Identifier: Apache-2.0
 * cc_usage.h - how much of the inbox each application takes, in memory.
 *
 * Counted are the messages that are not done with. (The file may hold more: a
 * run of messages leaves it as a whole, see cc_run.h.) Numbers change within a
 * transaction, and are as they were again when it is rolled back.
 */
#ifndef CC_USAGE_H
#define CC_USAGE_H

#include "cc_compat.h"
#include "cc_name.h"

#define CC_USAGE_BUCKETS 256

typedef struct cc_usage_entry {
    struct cc_usage_entry *next;       /* same bucket                         */
    struct cc_usage_entry *next_dirty; /* changed in this transaction, too    */
    int is_dirty;
    int64_t messages;
    int64_t bytes; /* of their bodies                                     */
    int64_t committed_messages;
    int64_t committed_bytes;
    char app[CC_APP_MAX + 1];
} cc_usage_entry;

/* All zero is empty. An entry lives until a transaction ends without anything in
 * it: a server may name any application. */
typedef struct cc_usage {
    cc_usage_entry *buckets[CC_USAGE_BUCKETS];
    cc_usage_entry *dirty;
} cc_usage;

void cc_usage_add(cc_usage *usage, const char *app, size_t app_len, int64_t messages,
                  int64_t bytes);

/** NULL: none of its messages is here. Lives until the transaction ends. */
const cc_usage_entry *cc_usage_find(const cc_usage *usage, const char *app);

void cc_usage_committed(cc_usage *usage);
void cc_usage_rolled_back(cc_usage *usage);
void cc_usage_clear(cc_usage *usage);

#endif
