/* SPDX-License-Identifier: Apache-2.0
 * csq_save.c - write all that a segment holds into a file (csq_saved.h).
 *
 * Under all locks, with what was put aside released before. The file appears
 * under its name when it is whole and on the disk; before that the segment
 * notes the file's id, so that whoever finds both knows that the segment has
 * everything that the file has.
 */
#include "cs_compat.h"
#include "csq_saved.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define LOCK_TIMEOUT apr_time_from_sec(5)

_Static_assert(CSQ_LAYOUT_VERSION == 3, "is all that is new saved and restored?");

typedef struct saving {
    csq *q;
    csq_writer w;
    uint32_t *numbers; /* of origins and messages in the file, by chunk       */
    uint32_t origins;
    uint32_t messages;
    uint8_t id[CSQ_SAVED_ID];
} saving;

/* ---- small parts ----------------------------------------------------------- */

static void put8(saving *s, uint32_t value)
{
    csq_writer_number(&s->w, value, 1);
}

static void put32(saving *s, uint32_t value)
{
    csq_writer_number(&s->w, value, 4);
}

static void put64(saving *s, uint64_t value)
{
    csq_writer_number(&s->w, value, 8);
}

/* Bytes from a chain, whose first lie at `at`. */
static apr_status_t put_chain(saving *s, void *chunk, char *at, size_t room, size_t len)
{
    char *space = csq_writer_space(&s->w, len);
    csq_stream stream;

    if (!space)
        return APR_ENOMEM;
    csq_stream_open(&stream, s->q, chunk, at, room);
    return csq_stream_read(&stream, space, len);
}

/* Walk a chain of hash_next or the like, no further than there are chunks. */
#define WALK(number, first, record, at, next)                                            \
    uint32_t steps = 0, number;                                                          \
    for (number = (first);                                                               \
         number && ((record = at(s->q, number)) != NULL) && steps++ < s->q->chunk_count; \
         number = record->next)

/* ---- begin ----------------------------------------------------------------- */

static void save_begin(saving *s)
{
    csq_header *header = s->q->header;
    csq_stats stats;
    int i;

    csq_stats_get(s->q, &stats);
    csq_writer_record(&s->w, CSQ_RECORD_BEGIN);
    csq_writer_bytes(&s->w, s->id, sizeof s->id);
    put64(s, header->secret[0]);
    put64(s, header->secret[1]);
    put64(s, header->epoch_secret);
    put64(s, apr_shm_size_get(s->q->shm));
    put64(s, (uint64_t)header->created);
    put64(s, stats.repairs);
    put64(s, stats.published);
    put64(s, stats.handed_out);
    put64(s, stats.acknowledged);
    put64(s, stats.expired);
    put64(s, stats.dropped);
    for (i = 0; i < CSQ_COUNTERS; i++)
        put64(s, stats.counters[i]);
    csq_writer_done(&s->w);
}

/* ---- origins and messages -------------------------------------------------- */

static apr_status_t save_origin(saving *s, uint32_t number, uint32_t *out_origin)
{
    csq_origin *origin = csq_origin_at(s->q, number);
    apr_status_t rv;

    if (!origin)
        return CSQ_DAMAGED;
    if (!s->numbers[number]) {
        csq_writer_record(&s->w, CSQ_RECORD_ORIGIN);
        put8(s, origin->app_len);
        put8(s, origin->sender_len);
        put8(s, origin->type_len);
        put8(s, origin->realm_len);
        rv = put_chain(s, origin, origin->data, CSQ_ORIGIN_DATA,
                       csq_origin_strings(origin));
        if (rv != APR_SUCCESS)
            return rv;
        csq_writer_done(&s->w);
        s->numbers[number] = ++s->origins;
    }
    *out_origin = s->numbers[number];
    return APR_SUCCESS;
}

static apr_status_t save_message(saving *s, uint32_t number)
{
    csq_stored *stored = csq_stored_at(s->q, number);
    uint32_t origin;
    apr_status_t rv;

    if (!stored)
        return CSQ_DAMAGED;
    if (s->numbers[number])
        return APR_SUCCESS;
    rv = save_origin(s, stored->entry.body, &origin);
    if (rv != APR_SUCCESS)
        return rv;
    csq_writer_record(&s->w, CSQ_RECORD_MESSAGE);
    put32(s, origin);
    put8(s, stored->entry.flags);
    put32(s, stored->entry.flags & CSQ_SPREAD ? stored->entry.queue : 0);
    put32(s, stored->entry.flags & CSQ_SPREAD ? stored->entry.queue_prev : 0);
    csq_writer_bytes(&s->w, stored->id, CSQ_ID_BYTES);
    put64(s, csq_stored_time(stored));
    put32(s, stored->lifetime);
    rv = put_chain(s, stored, stored->data, CSQ_MESSAGE_DATA, stored->len);
    csq_writer_done(&s->w);
    s->numbers[number] = ++s->messages;
    return rv;
}

/* ---- clients --------------------------------------------------------------- */

static apr_status_t save_entry(saving *s, uint32_t number, csq_entry *entry)
{
    csq_link *link = csq_link_at(s->q, number);
    uint32_t message;
    apr_status_t rv;

    if (!csq_entry_stored(s->q, number, entry, &message))
        return CSQ_DAMAGED;
    rv = save_message(s, message);
    if (rv != APR_SUCCESS)
        return rv;
    csq_writer_record(&s->w, CSQ_RECORD_ENTRY);
    put32(s, s->numbers[message]);
    put64(s, csq_entry_sequence(entry));
    put8(s, (uint8_t)((entry->sequence_high & CSQ_PASSED ? CSQ_SAVED_PASSED : 0)
                      | (entry->sequence_high & CSQ_BEHIND ? CSQ_SAVED_BEHIND : 0)));
    put8(s, link ? link->topic_len : 0);
    if (link)
        csq_writer_bytes(&s->w, link->topic, link->topic_len);
    csq_writer_done(&s->w);
    return APR_SUCCESS;
}

static void save_gaps(saving *s, csq_queue *queue)
{
    csq_gap_chunk *gap;

    WALK(number, queue->gap, gap, csq_gap_at, next)
    {
        csq_writer_record(&s->w, CSQ_RECORD_GAP);
        put8(s, gap->unknown);
        put64(s, gap->handed_sequence);
        put64(s, gap->fresh_sequence);
        put32(s, gap->handed);
        put32(s, gap->fresh);
        put8(s, gap->app_len);
        csq_writer_bytes(&s->w, gap->app, gap->app_len);
        csq_writer_done(&s->w);
    }
}

static apr_status_t save_queue(saving *s, csq_queue *queue)
{
    csq_chunk *name = csq_chunk_at(s->q, queue->next);
    csq_entry *entry;
    apr_status_t rv;

    if (queue->device_len > CSQ_DEVICE_MAX || (queue->device_len && !name))
        return CSQ_DAMAGED;
    csq_writer_record(&s->w, CSQ_RECORD_QUEUE);
    put8(s, (queue->flags & CSQ_QUEUE_KNOWN) != 0);
    put64(s, queue->epoch);
    put64(s, queue->next_sequence);
    put64(s, queue->handed_out);
    put32(s, queue->last_seen);
    put32(s, queue->due);
    put8(s, queue->device_len);
    if (queue->device_len)
        csq_writer_bytes(&s->w, name->data, queue->device_len);
    csq_writer_done(&s->w);
    save_gaps(s, queue);
    {
        WALK(number, queue->head, entry, csq_entry_at, queue_next)
        {
            rv = save_entry(s, number, entry);
            if (rv != APR_SUCCESS)
                return rv;
        }
        if (number || steps != queue->count)
            return CSQ_DAMAGED;
    }
    csq_writer_record(&s->w, CSQ_RECORD_QUEUE_END);
    csq_writer_done(&s->w);
    return APR_SUCCESS;
}

/* Realm and client, each with its length before it. */
static apr_status_t put_client(saving *s, csq_client *client)
{
    put8(s, client->realm_len);
    put8(s, client->client_len);
    return put_chain(s, client, client->name, CSQ_CLIENT_NAME,
                     (size_t)client->realm_len + client->client_len);
}

static apr_status_t save_client(saving *s, csq_client *client)
{
    csq_queue *queue;
    apr_status_t rv;

    csq_writer_record(&s->w, CSQ_RECORD_CLIENT);
    rv = put_client(s, client);
    csq_writer_done(&s->w);
    if (rv != APR_SUCCESS)
        return rv;
    WALK(number, client->queues, queue, csq_queue_at, sibling)
    {
        rv = save_queue(s, queue);
        if (rv != APR_SUCCESS || s->w.status != APR_SUCCESS)
            return rv;
    }
    return number ? CSQ_DAMAGED : APR_SUCCESS;
}

static apr_status_t save_clients(saving *s, uint32_t bucket)
{
    csq_client *client;
    apr_status_t rv;

    WALK(number, s->q->buckets[bucket], client, csq_client_at, hash_next)
    {
        rv = save_client(s, client);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return number ? CSQ_DAMAGED : APR_SUCCESS;
}

/* ---- groups ---------------------------------------------------------------- */

static apr_status_t save_members(saving *s, csq_members *members)
{
    csq_client *client;
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < CSQ_MEMBERS_MAX && rv == APR_SUCCESS; i++) {
        if (!members->clients[i])
            continue;
        client = csq_client_at(s->q, members->clients[i]);
        if (!client)
            return CSQ_DAMAGED;
        csq_writer_record(&s->w, CSQ_RECORD_MEMBER);
        rv = put_client(s, client);
        csq_writer_done(&s->w);
    }
    return rv;
}

static apr_status_t save_group(saving *s, csq_group *group)
{
    csq_members *members;
    apr_status_t rv;

    csq_writer_record(&s->w, CSQ_RECORD_GROUP);
    put8(s, group->realm_len);
    put8(s, group->app_len);
    put8(s, group->group_len);
    rv = put_chain(s, group, group->name, CSQ_GROUP_NAME,
                   (size_t)group->realm_len + group->app_len + group->group_len);
    csq_writer_done(&s->w);
    if (rv != APR_SUCCESS)
        return rv;
    WALK(number, group->members, members, csq_members_at, next)
    {
        rv = save_members(s, members);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return number ? CSQ_DAMAGED : APR_SUCCESS;
}

static apr_status_t save_groups(saving *s, uint32_t bucket)
{
    csq_group *group;
    apr_status_t rv;

    WALK(number, s->q->groups[bucket], group, csq_group_at, hash_next)
    {
        rv = save_group(s, group);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return number ? CSQ_DAMAGED : APR_SUCCESS;
}

/* ---- receipts, repeats, fates ---------------------------------------------- */

static apr_status_t save_receipt(saving *s, csq_receipt *receipt)
{
    uint32_t origin;
    apr_status_t rv = save_origin(s, receipt->origin, &origin);
    int i;

    if (rv != APR_SUCCESS)
        return rv;
    csq_writer_record(&s->w, CSQ_RECORD_RECEIPT);
    csq_writer_bytes(&s->w, receipt->id, CSQ_ID_BYTES);
    put8(s, receipt->asked != 0);
    put32(s, origin);
    put32(s, receipt->until);
    put32(s, receipt->changes);
    put32(s, receipt->receivers);
    put32(s, receipt->handed_out);
    for (i = 0; i < CSQ_FATES; i++)
        put32(s, receipt->counts[i]);
    put32(s, receipt->acknowledged);
    csq_writer_done(&s->w);
    return APR_SUCCESS;
}

static apr_status_t save_receipts(saving *s, uint32_t bucket)
{
    csq_receipt *receipt;
    apr_status_t rv;

    WALK(number, s->q->receipts[bucket], receipt, csq_receipt_at, hash_next)
    {
        rv = save_receipt(s, receipt);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return number ? CSQ_DAMAGED : APR_SUCCESS;
}

static apr_status_t save_repeats(saving *s, uint32_t bucket)
{
    csq_repeat *repeat;
    apr_status_t rv;

    WALK(number, s->q->repeats[bucket], repeat, csq_repeat_at, hash_next)
    {
        csq_writer_record(&s->w, CSQ_RECORD_REPEAT);
        csq_writer_bytes(&s->w, repeat->key, CSQ_DIGEST_BYTES);
        csq_writer_bytes(&s->w, repeat->body, CSQ_DIGEST_BYTES);
        csq_writer_bytes(&s->w, repeat->id, CSQ_ID_BYTES);
        put32(s, repeat->until);
        put8(s, repeat->state);
        rv = put_chain(s, repeat, repeat->answer, CSQ_REPEAT_ANSWER, repeat->answer_len);
        if (rv != APR_SUCCESS)
            return rv;
        csq_writer_done(&s->w);
    }
    return number ? CSQ_DAMAGED : APR_SUCCESS;
}

static apr_status_t save_fates(saving *s, uint32_t set)
{
    csq_fate_record *fate = &s->q->fates[(size_t)set * CSQ_FATE_WAYS];
    int i;

    for (i = 0; i < CSQ_FATE_WAYS; i++, fate++) {
        if (!fate->second)
            continue;
        csq_writer_record(&s->w, CSQ_RECORD_FATE);
        csq_writer_bytes(&s->w, fate->id, CSQ_ID_BYTES);
        put32(s, fate->second);
        put32(s, fate->app_hash);
        csq_writer_number(&s->w, fate->sender_hash, 2);
        put8(s, fate->fate);
        put8(s, fate->handed != 0);
        csq_writer_done(&s->w);
    }
    return APR_SUCCESS;
}

/* ---- all ------------------------------------------------------------------- */

static apr_status_t save_table(saving *s, uint32_t count,
                               apr_status_t (*save)(saving *, uint32_t))
{
    apr_status_t rv = APR_SUCCESS;
    uint32_t i;

    for (i = 0; i < count && rv == APR_SUCCESS && s->w.status == APR_SUCCESS; i++)
        rv = save(s, i);
    return rv;
}

/* Clients come last: what is lost of a file that breaks off is told to them. */
static apr_status_t save_all(saving *s)
{
    csq *q = s->q;
    apr_status_t rv;

    save_begin(s);
    rv = save_table(s, (q->group_mask + 1) * CSQ_SHARDS, save_groups);
    if (rv == APR_SUCCESS)
        rv = save_table(s, q->repeat_mask + 1, save_repeats);
    if (rv == APR_SUCCESS)
        rv = save_table(s, q->receipt_mask + 1, save_receipts);
    if (rv == APR_SUCCESS)
        rv = save_table(s, q->fate_mask + 1, save_fates);
    if (rv == APR_SUCCESS)
        rv = save_table(s, (q->bucket_mask + 1) * CSQ_SHARDS, save_clients);
    csq_writer_record(&s->w, CSQ_RECORD_END);
    csq_writer_done(&s->w);
    return rv;
}

static apr_status_t save_locked(saving *s, const char *path)
{
    size_t size = ((size_t)s->q->chunk_count + 1) * sizeof *s->numbers;
    apr_status_t rv;
    apr_status_t closed;
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return APR_ENOMEM;
    s->numbers = memory;
    csq_writer_open(&s->w, path);
    rv = s->w.status == APR_SUCCESS ? save_all(s) : s->w.status;
    closed = csq_writer_close(&s->w);
    munmap(memory, size);
    return closed == APR_SUCCESS ? rv : closed;
}

/* Whoever asks for a lock from now on learns that the segment is closed. */
static apr_status_t release_all(csq *q)
{
    apr_status_t rv = csq_lock_even_closed(q, CSQ_ALL_SHARDS);
    unsigned shard;

    if (rv != APR_SUCCESS)
        return rv;
    for (shard = 0; shard < CSQ_SHARDS; shard++)
        csq_release_locked(q, shard);
    csq_unlock(q, CSQ_ALL_SHARDS);
    return APR_SUCCESS;
}

apr_status_t csq_folder_sync(const char *path)
{
    char folder[4096];
    const char *slash = strrchr(path, '/');
    int fd;
    apr_status_t rv = APR_SUCCESS;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1,
             slash ? path : ".");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (fsync(fd) != 0 && errno != EINVAL)
        rv = errno;
    close(fd);
    return rv;
}

static apr_status_t save_locks_held(saving *s, const char *path, const char *fresh)
{
    apr_status_t rv = csq_repair_wanted(s->q) ? CSQ_DAMAGED : save_locked(s, fresh);

    if (rv != APR_SUCCESS)
        return rv;
    memcpy(s->q->header->restored, s->id, sizeof s->id);
    if (rename(fresh, path) != 0)
        return errno;
    __atomic_store_n(&s->q->header->closed, CSQ_HEADER_SAVED, __ATOMIC_RELEASE);
    return APR_SUCCESS;
}

static apr_status_t save_once(saving *s, const char *path, const char *fresh)
{
    apr_status_t rv = release_all(s->q);

    if (rv == APR_SUCCESS)
        rv = csq_lock_all(s->q);
    if (rv != APR_SUCCESS)
        return rv;
    rv = save_locks_held(s, path, fresh);
    csq_unlock_all(s->q);
    if (rv != APR_SUCCESS)
        unlink(fresh);
    return rv;
}

apr_status_t csq_save(csq *q, const char *path)
{
    saving s = { .q = q };
    char fresh[4096];
    apr_status_t rv = csq_random(q, s.id, sizeof s.id);

    if (rv != APR_SUCCESS)
        return rv;
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return APR_ENAMETOOLONG;
    if (unlink(fresh) != 0 && errno != ENOENT)
        return errno;
    csq_close(q);
    csq_lock_timeout_thread_set(LOCK_TIMEOUT);
    rv = save_once(&s, path, fresh);
    if (rv == CSQ_DAMAGED) {
        csq_repair_want(q);
        memset(&s, 0, offsetof(saving, id));
        s.q = q;
        rv = save_once(&s, path, fresh);
    }
    csq_lock_timeout_thread_set(0);
    return rv == APR_SUCCESS ? csq_folder_sync(path) : rv;
}
