/* SPDX-License-Identifier: Apache-2.0
 * csq_private.h - what the files of this folder share. Not for others.
 *
 * One topic a file; `*_locked` wants the lock of the shard (or of all shards)
 * that it works on. Numbers of chunks come from memory that others can write:
 * they pass through csq_chunk_at() and its kin, which check the range and the
 * kind, and every walk is bounded. What does not fit is CSQ_DAMAGED.
 */
#ifndef CSQ_PRIVATE_H
#define CSQ_PRIVATE_H

#include <stddef.h>
#include <string.h>

#include <apr_shm.h>
#include <apr_strings.h>

#include "csq_layout.h"

#ifdef CS_DEVELOPER
#include <assert.h>
#define csq_assert(x) assert(x)
#else
#define csq_assert(x) ((void)0)
#endif

/* Inside this folder only: give the locks back, repair, try again. */
#define CSQ_RETRY (CSQ_STATUS_BASE + 90)
#define CSQ_RETRIES 4

/* A page that fork() empties: what belongs to one process only. */
typedef struct csq_process {
    uint32_t id;
} csq_process;

/* A doorbell as this process has opened it. */
typedef struct csq_bell {
    int fd;                    /* -1: not yet; kept for good once opened      */
    uint32_t generation;       /* of the slot when it was opened              */
} csq_bell;

struct csq {
    csq_header *header;
    csq_shard *shards;
    csq_slot_shared *slots;
    uint32_t *buckets;
    uint32_t *origins;
    uint32_t *ids;
    uint32_t *receipts;
    uint32_t *topics;
    uint32_t *groups;
    uint32_t *repeats;
    csq_fate_record *fates;
    char *chunks;
    uint32_t chunk_count;
    uint32_t slot_count;
    uint32_t bucket_mask;      /* buckets of one shard, less one              */
    uint32_t origin_mask;
    uint32_t id_mask;
    uint32_t receipt_mask;
    uint32_t topic_mask;       /* of one shard                                */
    uint32_t group_mask;       /* of one shard                                */
    uint32_t repeat_mask;
    uint32_t fate_mask;

    const char *path;
    apr_pool_t *shm_pool;      /* unmanaged: no exit handler destroys it      */
    apr_shm_t *shm;
    int lock_fd;
    int created;               /* for a server, else attached                 */
    int mapped;                /* the memory is not of our making             */
    int ends;                  /* what has the path's name is ours to remove  */
    uint32_t creator;          /* process id                                  */
    int audit;                 /* audit after each unlock                     */
    int64_t timeout;           /* of a lock, ns                               */
    int mutex_kind;            /* of all mutexes                              */
    uint32_t holder;           /* see csq_lock_holder()                       */
    uint32_t checked;          /* second in which the server was last seen    */
    csq_process *process;
    csq_bell *bells;
};

/* ---- csq_segment.c, csq_map.c ------------------------------------------ */

typedef struct csq_map {
    size_t shards, slots, buckets, origins, ids, receipts, topics, groups, repeats, fates;
    size_t chunks, end;
    uint32_t slot_count, bucket_count, origin_count, id_count, receipt_count;
    uint32_t topic_count, group_count, repeat_count, fate_count, chunk_count;
} csq_map;

/** Where everything lies in a segment of `size` bytes.
 *  @return APR_SUCCESS or APR_EINVAL: too small. */
apr_status_t csq_map_make(size_t size, uint32_t slots, uint32_t max_clients,
                          csq_map *out_map);
/** The same from the numbers of a header. APR_SUCCESS or CSQ_DAMAGED. */
apr_status_t csq_map_check(const csq_header *header, size_t size, csq_map *out_map);
void csq_map_apply(csq *q, void *base, const csq_map *map);
/** Text that must be the same in all programs that share a segment. */
void csq_build_text(char out[CSQ_BUILD_BYTES]);
apr_status_t csq_pages_reserve(char *base, size_t size);

/** Map the memory of the path's name. ENOENT: there is none; APR_EOF: it was
 *  never finished; CSQ_DAMAGED: what APR notes of its size is wrong. */
apr_status_t csq_memory_attach(csq *q);
int csq_memory_is_mapped(const csq *q);
/** New memory under the path's name, all pages there, all zero. */
apr_status_t csq_memory_create(csq *q, size_t size);
/** Unmap; `unlink`: its name goes, too. */
void csq_memory_drop(csq *q, int unlink);
/** What the header must say: find the parts. CSQ_LAYOUT, CSQ_DAMAGED. */
apr_status_t csq_memory_check(csq *q);
char *csq_memory_base(csq *q, size_t *out_size);
apr_status_t csq_mutexes_make(csq *q);
/** Another lock file in place of the one that is held. */
apr_status_t csq_lock_file_renew(csq *q);
/** Unlink all doorbells that lie beside the path. */
void csq_bells_remove(const csq *q);
/** Text in the lock file that ties it to its segment. */
apr_status_t csq_lock_file_sign(csq *q);
/** APR_SUCCESS; CSQ_NO_SERVER: it is tied to another; else APR's own. */
apr_status_t csq_lock_file_signed(csq *q);
/** Its segment was never finished, or it has none. */
int csq_lock_file_empty(const csq *q);

/** Something is short that others may give back: what was to be read is as good
 *  as before, and is not to be given up. */
int csq_is_passing(apr_status_t status);

/** No limit is 0. APR_SUCCESS or APR_EINVAL. */
apr_status_t csq_limits_check(const csq_limits *limits);

/** Sync the folder that a file lies in. */
apr_status_t csq_folder_sync(const char *path);

/* ---- csq_start.c ---------------------------------------------------------- */

/** With the server's lock: take over, restore, or make. *out says what. */
apr_status_t csq_begin(csq *q, const csq_plan *plan, apr_pool_t *pool, csq_outcome *out);

/* ---- csq_takeover.c ----------------------------------------------------- */

/** Go on with the segment of a server that died, whose lock file is held.
 *  @return APR_SUCCESS; APR_ENOENT: make a new one, *out says why; else the
 *          server cannot start. */
apr_status_t csq_takeover(csq *q, const csq_plan *plan, apr_pool_t *pool,
                          csq_outcome *out);

/** Handles that attached: does the server still run? Asks once a second.
 *  APR_SUCCESS, CSQ_NO_SERVER. */
apr_status_t csq_server_check(csq *q, apr_time_t now);

/* ---- csq_filelock.c: OFD locks on path.lock --------------------------- */

#define CSQ_BYTE_SERVER 0      /* a server runs                               */
#define CSQ_BYTE_MAKING 1      /* exclusive: being made; shared: being mapped */
#define CSQ_BYTE_ATTACHED 2    /* shared: processes beside the server's       */
#define CSQ_BYTE_SLOT   16     /* + n: slot n is owned                        */

/** `flags` as those of open(): O_RDONLY, O_RDWR, with O_CREAT. */
apr_status_t csq_filelock_open(const char *path, int flags, int *out_fd);
/** @return APR_SUCCESS, APR_EAGAIN: somebody else has it. */
apr_status_t csq_filelock_take(int fd, int byte, int exclusive);
void csq_filelock_drop(int fd, int byte);
/** 1: some open file other than fd's holds the byte, or nobody can tell. */
int csq_filelock_held(int fd, int byte);
/** Still the file that has this name? APR_SUCCESS, APR_ENOENT: no; else APR's. */
apr_status_t csq_filelock_current(int fd, const char *path);
/** Two descriptors of one file? As csq_filelock_current(). */
apr_status_t csq_filelock_same(int fd, int other);

/* ---- csq_lock.c -------------------------------------------------------- */

apr_status_t csq_mutex_create(pthread_mutex_t *mutex);
/** What all of them say of their kind; -1: none can be made. */
int csq_mutex_kind(void);
uint32_t csq_process_id(csq *q);
/** Go from one locked shard to the next: `to` is locked, then `from` given
 *  back. CSQ_BUSY, CSQ_CLOSED, CSQ_DAMAGED: neither is locked; CSQ_RETRY: the
 *  same, after a repair. */
apr_status_t csq_lock_next(csq *q, unsigned from, unsigned to);
/** Lock the shards of the set (bit n: shard n). CSQ_BUSY, CSQ_CLOSED,
 *  CSQ_DAMAGED: nothing is locked. Repairs first if there is need. */
apr_status_t csq_lock(csq *q, uint32_t set);
/** The same, whether the segment is closed or not. */
apr_status_t csq_lock_even_closed(csq *q, uint32_t set);
void csq_unlock(csq *q, uint32_t set);
/** Under a shard's lock. CSQ_BUSY; CSQ_RETRY: give the shards back. */
apr_status_t csq_allocator_lock(csq *q);
void csq_allocator_unlock(csq *q);
/** The lock of the allocator for what it guards beside chunks; with it goes one
 *  of a shard, for a repair to be seen. CSQ_BUSY, CSQ_CLOSED, CSQ_DAMAGED. */
apr_status_t csq_lock_tables(csq *q);
void csq_unlock_tables(csq *q);
/** All locks, without a repair. Flags that one is due are left alone. */
apr_status_t csq_lock_all(csq *q);
void csq_unlock_all(csq *q);
#define CSQ_ALL_SHARDS 0xffffffffu

/* ---- csq_repair.c ------------------------------------------------------ */

void csq_repair_want(csq *q);
int csq_repair_wanted(csq *q);
/** Somebody is at it now, and has all locks. */
int csq_repair_runs(csq *q);
/** Nothing is locked by the caller. APR_SUCCESS, CSQ_BUSY, CSQ_NO_MEMORY. */
apr_status_t csq_repair(csq *q);

/* A number that others read without the lock: of one writer at a time, but
 * never torn.                                                                */
#define CSQ_ADD(number, value) \
    __atomic_store_n(&(number), (number) + (value), __ATOMIC_RELAXED)
#define CSQ_SET(number, value) __atomic_store_n(&(number), (value), __ATOMIC_RELAXED)

/* ---- csq_chunk.c: chunks, chains, the free list ------------------------ */

static inline void *csq_chunk_at(csq *q, uint32_t number)
{
    if (number - 1u >= q->chunk_count)
        return NULL;
    return q->chunks + (size_t)(number - 1u) * CSQ_CHUNK_BYTES;
}

/* The record of a kind at a number; NULL: there is none. */
#define CSQ_AT(name, type, wanted)                                         \
    static inline type *csq_##name##_at(csq *q, uint32_t number)           \
    {                                                                      \
        csq_node *node = csq_chunk_at(q, number);                          \
                                                                           \
        return node && node->kind == (wanted) ? (type *)node : NULL;       \
    }
CSQ_AT(client, csq_client, CSQ_KIND_CLIENT)
CSQ_AT(queue, csq_queue, CSQ_KIND_QUEUE)
CSQ_AT(stored, csq_stored, CSQ_KIND_MESSAGE)
CSQ_AT(link, csq_link, CSQ_KIND_ENTRY)
CSQ_AT(origin, csq_origin, CSQ_KIND_ORIGIN)
CSQ_AT(gap, csq_gap_chunk, CSQ_KIND_GAP)
CSQ_AT(group, csq_group, CSQ_KIND_GROUP)
CSQ_AT(members, csq_members, CSQ_KIND_MEMBERS)
CSQ_AT(receipt, csq_receipt, CSQ_KIND_RECEIPT)
CSQ_AT(repeat, csq_repeat, CSQ_KIND_REPEAT)
#undef CSQ_AT

/** An ENTRY, or a MESSAGE. */
static inline csq_entry *csq_entry_at(csq *q, uint32_t number)
{
    csq_entry *entry = csq_chunk_at(q, number);

    if (!entry || (entry->kind != CSQ_KIND_MESSAGE && entry->kind != CSQ_KIND_ENTRY))
        return NULL;
    return entry;
}

/** Chunks that `len` bytes take of which `first` fit into the first. */
static inline uint32_t csq_chunks_for(size_t len, size_t first)
{
    if (len <= first)
        return 1;
    return (uint32_t)(1 + (len - first + CSQ_CHUNK_DATA - 1) / CSQ_CHUNK_DATA);
}

/** Take a chain of n chunks. Allocator locked.
 *  @return APR_SUCCESS, CSQ_SEGMENT_FULL, CSQ_DAMAGED. */
apr_status_t csq_chunk_take_locked(csq *q, uint32_t n, uint32_t *out_head);
/** The same, of the reserve too: for what helps to empty the segment, and for
 *  what was in one before. */
apr_status_t csq_chunk_take_last_locked(csq *q, uint32_t n, uint32_t *out_head);
/** One of the two, with the allocator's lock taken for it. CSQ_BUSY, CSQ_RETRY
 *  too. */
apr_status_t csq_chunk_take(csq *q, uint32_t n, int last, uint32_t *out_head);
/** Give a chain back. Allocator locked. CSQ_DAMAGED: its end was not found. */
apr_status_t csq_chunk_give_locked(csq *q, uint32_t head, uint32_t n);
/** Cut the first n chunks off a chain. @return their head; 0: too short. */
uint32_t csq_chain_cut(csq *q, uint32_t *chain, uint32_t n);

/* Reads or writes bytes along a chain. */
typedef struct csq_stream {
    csq *q;
    char *at;
    size_t left;
    uint32_t next;
} csq_stream;

void csq_stream_open(csq_stream *stream, csq *q, void *chunk, char *at, size_t left);
apr_status_t csq_stream_write(csq_stream *stream, const char *data, size_t len);
apr_status_t csq_stream_read(csq_stream *stream, char *data, size_t len);
/** @return 1: equal, 0: not, or damaged. */
int csq_stream_equal(csq_stream *stream, const char *data, size_t len);

/* Slots to ring once the locks are given back. */
typedef struct csq_ring_set {
    uint32_t count;
    uint16_t slots[64];
    int many;                  /* more than fit: ring all                     */
} csq_ring_set;

/* ---- csq_hash.c -------------------------------------------------------- */

uint64_t csq_hash(const csq *q, uint64_t seed, const char *data, size_t len);
apr_status_t csq_random(csq *q, void *out, size_t len);

/* ---- csq_index.c: names to clients ------------------------------------- */

typedef struct csq_name {
    const csq_key *key;
    uint64_t hash;             /* of realm and client                         */
    uint32_t realm_len;
    uint32_t client_len;
    uint32_t device_len;       /* 0: none, or the empty name                  */
} csq_name;

static inline unsigned csq_name_shard(const csq_name *name)
{
    return (unsigned)(name->hash & (CSQ_SHARDS - 1));
}

apr_status_t csq_name_make(csq *q, const csq_key *key, csq_name *out_name);
uint32_t csq_bucket_of(const csq *q, unsigned shard, uint64_t hash);
uint64_t csq_client_hash(csq *q, csq_client *client, int *out_ok);
int csq_client_same_name(csq *q, csq_client *one, csq_client *other);
uint32_t csq_client_chunks(uint32_t realm_len, uint32_t client_len);
/** *out_client 0: not known. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_client_find_locked(csq *q, const csq_name *name, uint32_t *out_client);
/** Make a client from a chain of csq_client_chunks() and hang it in.
 *  @param queue  its first, made and not yet linked; 0: none */
apr_status_t csq_client_make_locked(csq *q, const csq_name *name, uint32_t chain,
                                    uint32_t queue);
/** Find, else make without a queue. CSQ_CLIENTS_FULL, CSQ_SEGMENT_FULL,
 *  CSQ_BUSY, CSQ_RETRY, CSQ_DAMAGED. */
apr_status_t csq_client_need_locked(csq *q, const csq_name *name, uint32_t *out_client);
/** Forget it if it has no queue and is in no group. Allocator locked. */
apr_status_t csq_client_forget_locked(csq *q, uint32_t number);
/** The same for a client that was made for what then failed. A shard locked, the
 *  allocator not; if it is busy the client goes with a repair. */
void csq_client_tidy_locked(csq *q, uint32_t number);
/** The name of a client, with a NUL, for people. @return `buf` */
const char *csq_client_text(csq *q, csq_client *client, char buf[CSQ_CLIENT_MAX + 1]);
/** Is it of this realm? */
int csq_client_in_realm(csq *q, csq_client *client, const char *realm, size_t len);
apr_status_t csq_epoch_make(csq *q, uint64_t name_hash, uint64_t *out_epoch);
/** Was this epoch drawn here, for a client of this name? */
int csq_epoch_genuine(const csq *q, const csq_name *name, uint64_t epoch);

/* ---- csq_device.c: the queues of a client ------------------------------ */

static inline uint32_t csq_queue_chunks(uint32_t device_len)
{
    return device_len ? 2 : 1;
}

/** The queue of a device; *out_queue 0: there is none. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_queue_find_locked(csq *q, csq_client *client, const char *device,
                                   uint32_t len, uint32_t *out_queue);
/** The same from the name of client and device. */
apr_status_t csq_queue_of_locked(csq *q, const csq_name *name, uint32_t *out_queue);
/** Its name is this? */
int csq_queue_has_name(csq *q, const csq_queue *queue, const char *device, uint32_t len);
/** Fill a queue from a chain of csq_queue_chunks(). Not linked yet. */
apr_status_t csq_queue_make(csq *q, uint32_t chain, const csq_name *name,
                            const char *device, uint32_t len, apr_time_t now);
/** Link a queue that was made to a client, and into the wheel. APR_SUCCESS,
 *  CSQ_DAMAGED. */
apr_status_t csq_queue_link_locked(csq *q, unsigned shard, uint32_t client_number,
                                   uint32_t number);
/** Is there room for another device of a client (0: a new one)?
 *  @param more        so many are about to be made besides
 *  @param may_forget  one that never polled and has nothing makes room
 *  @return APR_SUCCESS, CSQ_DEVICES_FULL, CSQ_BUSY, CSQ_RETRY, CSQ_DAMAGED */
apr_status_t csq_queue_room_locked(csq *q, unsigned shard, uint32_t client_number,
                                   uint32_t more, int may_forget);
/** The queue that a poll of this device reads: from now on it is known, and has
 *  what waited for the first device. CSQ_CLIENTS_FULL, CSQ_DEVICES_FULL,
 *  CSQ_SEGMENT_FULL, CSQ_BUSY, CSQ_RETRY, CSQ_DAMAGED. */
apr_status_t csq_queue_need_locked(csq *q, const csq_name *name, apr_time_t now,
                                   uint32_t *out_queue);
/** It must be empty and without a gap. The client goes with its last one. */
apr_status_t csq_queue_forget_locked(csq *q, unsigned shard, uint32_t number);
void csq_queue_touch(csq *q, csq_queue *queue, apr_time_t now);

/* ---- csq_origin.c: realm, application, sender, type -------------------- */

typedef struct csq_origin_name {
    const char *app;
    const char *sender;
    const char *type;
    const char *realm;
    uint32_t app_len;
    uint32_t sender_len;
    uint32_t type_len;
    uint32_t realm_len;
    uint32_t hash;
} csq_origin_name;

static inline uint32_t csq_origin_strings(const csq_origin *origin)
{
    return (uint32_t)origin->app_len + origin->sender_len + origin->type_len
           + origin->realm_len;
}

void csq_origin_name_make(csq *q, const csq_message *message, csq_origin_name *out);
uint32_t csq_origin_chunks(uint32_t strings);
uint32_t csq_origin_hash(csq *q, csq_origin *origin, int *out_ok);
/** Write all hashes anew. 0: its strings cannot be read. */
int csq_origin_hash_again(csq *q, csq_origin *origin);
/** Find and hold, else 0. Allocator locked. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_origin_find_locked(csq *q, const csq_origin_name *name,
                                    uint32_t *out_origin);
/** Make one, held once, from a chain. Allocator locked. */
apr_status_t csq_origin_make_locked(csq *q, const csq_origin_name *name, uint32_t chain);
/** One message less names it. Allocator locked. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_origin_drop_locked(csq *q, uint32_t number);
/** Hashes that tell an application of a realm, and a sender. */
uint32_t csq_app_hash(csq *q, const char *realm, size_t realm_len, const char *app,
                      size_t app_len);
uint16_t csq_sender_hash(csq *q, const char *sender, size_t len);
/** Is the origin of this realm and application, and (not NULL) this sender? */
int csq_origin_is(csq *q, csq_origin *origin, const char *realm, const char *app,
                  const char *sender);

/* ---- csq_entry.c: messages in queues ----------------------------------- */

static inline uint64_t csq_stored_time(const csq_stored *stored)
{
    return stored->time_low | (uint64_t)stored->entry.time_high << 32;
}

static inline uint64_t csq_stored_expires(const csq_stored *stored)
{
    uint64_t life = stored->lifetime;

    return csq_stored_time(stored)
           + (stored->entry.flags & CSQ_LONG_LIFE ? life * 1000 : life);
}

static inline uint64_t csq_entry_sequence(const csq_entry *entry)
{
    return entry->sequence_low
           | (uint64_t)(entry->sequence_high & (CSQ_BEHIND - 1)) << 32;
}

/** It was handed out to the client of its queue. */
static inline int csq_entry_was_handed(const csq_entry *entry, const csq_queue *queue)
{
    return csq_entry_sequence(entry) <= queue->handed_out
           && !(entry->sequence_high & CSQ_PASSED);
}

static inline csq_urgency csq_stored_urgency(const csq_stored *stored)
{
    return (csq_urgency)((stored->entry.flags & CSQ_URGENCY_MASK) >> CSQ_URGENCY_SHIFT);
}

/** Set time and expiry, in ms. */
void csq_stored_time_set(csq_stored *stored, uint64_t time, uint64_t expires);
void csq_entry_sequence_set(csq_entry *entry, uint64_t sequence);
/** The message of an entry. NULL: damaged. */
csq_stored *csq_entry_stored(csq *q, uint32_t number, csq_entry *entry,
                             uint32_t *out_message);
/** Link a filled entry at the end of a queue. */
apr_status_t csq_entry_link_locked(csq *q, unsigned shard, uint32_t queue_number,
                                   uint32_t number);
/** Take an entry out of its queue and give up its message.
 *  APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_entry_remove_locked(csq *q, unsigned shard, csq_queue *queue,
                                     uint32_t number, csq_fate fate);
/** Move the first entry of a queue to the end of another of the same client.
 *  APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_entry_move_locked(csq *q, unsigned shard, uint32_t from_number,
                                   uint32_t to_number);
/** Free what csq_entry_remove_locked() has put aside, and ring who waits for
 *  receipts. Call before the shard is unlocked; what the allocator does not
 *  take now is kept for later. */
void csq_release_locked(csq *q, unsigned shard);
/** For a repair: what became of entries that have left their queue and were not
 *  freed, at a chunk that nothing leads to. First of all that may be entries,
 *  then of all that may be messages.                                         */
void csq_entry_recall_locked(csq *q, uint32_t number);
void csq_message_recall_locked(csq *q, uint32_t number);
/** Give up one ref that is no entry's; the last frees the message. A shard and
 *  the allocator locked. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_message_unhold_locked(csq *q, unsigned shard, uint32_t message);
/** Hang an ENTRY into the list of its message. Allocator locked. */
void csq_peer_add_locked(csq *q, uint32_t message, uint32_t number);

/* ---- csq_topic.c ------------------------------------------------------- */

/** Hang a linked entry into the bucket of its topic; others have none. */
void csq_topic_add_locked(csq *q, unsigned shard, uint32_t number);
apr_status_t csq_topic_remove_locked(csq *q, unsigned shard, uint32_t number);
/** The entry of this queue that the message takes the place of; 0: none.
 *  @param except  not this one */
apr_status_t csq_topic_find_locked(csq *q, unsigned shard, uint32_t queue,
                                   const csq_message *message, uint32_t hash,
                                   uint32_t except, uint32_t *out_number);
/** Hash of a message's topic in a queue. */
uint32_t csq_topic_hash_message(csq *q, uint32_t queue, const csq_message *message);

/* ---- csq_id.c: ids to messages, and what is remembered of the gone ----- */

/* All with the allocator locked. */
void csq_id_add_locked(csq *q, uint32_t message);
apr_status_t csq_id_remove_locked(csq *q, uint32_t message);
/** *out_message 0: there is none. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_id_find_locked(csq *q, const unsigned char *id, uint32_t *out_message);
void csq_fate_keep_locked(csq *q, const unsigned char *id, uint32_t app_hash,
                          uint16_t sender_hash, csq_fate fate, int handed,
                          uint32_t second);
/** A message of this id is to be freed soon. No lock. */
void csq_id_expect(csq *q, const unsigned char *id);
const csq_fate_record *csq_fate_find_locked(csq *q, const unsigned char *id);

/* ---- csq_receipt.c ------------------------------------------------------ */

/* All with the allocator locked. */
apr_status_t csq_receipt_find_locked(csq *q, const unsigned char *id,
                                     uint32_t *out_receipt);
/** Fill a RECEIPT in a chunk and hang it in. The origin is held already. */
void csq_receipt_make_locked(csq *q, uint32_t number, const unsigned char *id,
                             uint32_t origin, uint32_t receivers, uint32_t until);
/** Second from which that of a message which expires then (ms) may go. */
uint32_t csq_receipt_until(uint64_t expires);
/** Note that it has changed and ring who waits. */
void csq_receipt_changed_locked(csq *q, csq_receipt *receipt, csq_ring_set *rings);
/** Forget those whose time is over, in a part of the table.
 *  @param part  of CSQ_SWEEP_PARTS; CSQ_SWEEP_PARTS: all */
apr_status_t csq_receipt_sweep_locked(csq *q, uint32_t second, unsigned part);
#define CSQ_SWEEP_PARTS 64
/** One of the receivers has been handed the message. Under a shard's lock. */
void csq_receipt_handed(csq *q, const csq_stored *stored, csq_ring_set *rings);

/* ---- csq_repeat.c ------------------------------------------------------- */

/** Chunks of a record with an answer of this length. */
static inline uint32_t csq_repeat_chunks(uint32_t len)
{
    return csq_chunks_for(len, CSQ_REPEAT_ANSWER);
}

/** Hang in one that was read from a file, with its answer; nobody is at it.
 *  Allocator locked. CSQ_SEGMENT_FULL. */
apr_status_t csq_repeat_put_locked(csq *q, const csq_repeat *head, const char *answer,
                                   apr_size_t len);
/** A publish to many begins, or goes on.
 *  @param out_number  of the record, which stays while the publish goes on and
 *                     its owner lives; 0: there is none
 *  @param out_served  shards that another has served
 *  @return APR_SUCCESS, CSQ_BUSY, CSQ_CLOSED, CSQ_DAMAGED */
apr_status_t csq_repeat_many_begin(csq *q, const csq_digest *key,
                                   const uint8_t id[CSQ_ID_BYTES], uint32_t *out_number,
                                   unsigned *out_served);
/** So many shards are served; the last of them is locked. Nothing happens where
 *  there is no record of it. */
void csq_repeat_many_served(csq *q, uint32_t number, const uint8_t id[CSQ_ID_BYTES],
                            unsigned shards);
/** In a repair: is what hangs in this shard of account? 1 also where there is no
 *  record of it. */
int csq_repeat_many_reaches(csq *q, uint32_t number, const uint8_t id[CSQ_ID_BYTES],
                            unsigned shard);
/** As csq_receipt_sweep_locked(). */
apr_status_t csq_repeat_sweep_locked(csq *q, uint32_t second, unsigned part);

/* ---- csq_message.c ------------------------------------------------------ */

/** Is a message of this id known, in a queue or gone? Allocator locked. */
int csq_message_known_locked(csq *q, const unsigned char *id);

/* ---- csq_group.c --------------------------------------------------------- */

typedef struct csq_group_name {
    const char *realm;
    const char *app;
    const char *group;
    uint32_t realm_len;
    uint32_t app_len;
    uint32_t group_len;
    uint32_t hash;
} csq_group_name;

apr_status_t csq_group_name_make(csq *q, const char *realm, const char *app,
                                 const char *group, csq_group_name *out);
uint32_t csq_group_chunks(uint32_t strings);
uint32_t csq_group_hash(csq *q, csq_group *group, int *out_ok);
/** The part of the group in a shard; 0: none. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_group_find_locked(csq *q, unsigned shard, const csq_group_name *name,
                                   uint32_t *out_group);

/* ---- csq_gap.c --------------------------------------------------------- */

/** Make sure that a drop can be noted. CSQ_SEGMENT_FULL, CSQ_BUSY, CSQ_RETRY. */
apr_status_t csq_gap_need_locked(csq *q, csq_queue *queue);
/** This entry, of a message of this origin, is about to be dropped.
 *  csq_gap_need_locked() has been called. APR_SUCCESS, CSQ_DAMAGED. */
apr_status_t csq_gap_add_locked(csq *q, csq_queue *queue, const csq_entry *entry,
                                uint32_t origin);
/** Something is missing that nobody counted. csq_gap_need_locked() was called. */
void csq_gap_unknown_locked(csq *q, csq_queue *queue);
/** The client has everything up to `sequence`. */
void csq_gap_acknowledge_locked(csq *q, csq_queue *queue, uint64_t sequence);
/** Greatest sequence of a gap behind `after`; 0: there is none. */
uint64_t csq_gap_sequence(csq *q, const csq_queue *queue, uint64_t after);
/** All that is missing has been told. */
void csq_gap_told_locked(csq *q, csq_queue *queue);
/** Give the chunks back, whatever they say. CSQ_BUSY, CSQ_RETRY, CSQ_DAMAGED. */
apr_status_t csq_gap_clear_locked(csq *q, csq_queue *queue);

/* ---- csq_wheel.c ------------------------------------------------------- */

void csq_wheel_add_locked(csq *q, unsigned shard, uint32_t number, uint32_t second);
apr_status_t csq_wheel_remove_locked(csq *q, unsigned shard, uint32_t number);
/** The same as remove and add, seen from `base`, the tick that comes next. */
apr_status_t csq_wheel_move_locked(csq *q, unsigned shard, uint32_t number,
                                   uint32_t base, uint32_t second);
/** First whole second at or after this time. */
uint32_t csq_wheel_second(uint64_t milliseconds);
uint32_t csq_wheel_place(uint32_t base, uint32_t second);

/* ---- csq_expire.c ------------------------------------------------------ */

static inline uint64_t csq_milliseconds(apr_time_t time)
{
    return time > 0 ? (uint64_t)time / 1000 : 0;
}

static inline uint32_t csq_seconds(apr_time_t time)
{
    return time > 0 ? (uint32_t)(time / 1000000) : 0;
}

/** Turn the wheel to now. *budget counts down. */
apr_status_t csq_expire_shard_locked(csq *q, unsigned shard, apr_time_t now,
                                     unsigned *budget);
/** Remove expired messages at the head of one queue. */
apr_status_t csq_expire_queue_locked(csq *q, unsigned shard, csq_queue *queue,
                                     apr_time_t now);

/* ---- csq_slot.c: doorbells --------------------------------------------- */

/** Put the waiter on its slot's list. */
void csq_slot_push(csq *q, csq_waiter waiter, csq_ring_set *rings);
void csq_slot_ring(csq *q, const csq_ring_set *rings);
/** All slots look at everything. */
void csq_slot_ring_all(csq *q);
/** Is the process that the waiter belongs to alive? */
int csq_waiter_alive(csq *q, csq_waiter waiter);
int csq_slot_alive(csq *q, unsigned slot);
const char *csq_bell_path(const csq *q, unsigned slot, char *buf, size_t size);

/* ---- csq_batch.c ------------------------------------------------------- */

void csq_batch_reset(csq_batch *batch);
/** @param out_cursor  of its view, to be set before the next call */
apr_status_t csq_batch_add(csq_batch *batch, csq *q, const csq_entry *entry,
                           csq_stored *stored, csq_cursor **out_cursor);
void csq_batch_gap_unknown(csq_batch *batch);
void csq_batch_gap_fill(csq_batch *batch, csq *q, const csq_queue *queue,
                        uint64_t after);
void csq_batch_finish(csq_batch *batch, const csq_cursor *cursor, int more);

#endif
