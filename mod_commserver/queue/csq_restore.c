/* SPDX-License-Identifier: Apache-2.0
 * csq_restore.c - read a saved state (csq_saved.h) into an empty segment.
 *
 * Nobody else uses the segment yet, so nothing is locked. What is read is
 * input: a record that does not fit what came before ends the reading, as a
 * damaged one does. What was whole before that stays. Of the rest nobody
 * knows what was in it: the secret of the epochs is drawn anew, so that all
 * cursors of what was lost are foreign and their clients hear of a gap.
 */
#include "cs_compat.h"
#include "csq_saved.h"

#include <stdlib.h>

/* Numbers in the file to chunks. */
typedef struct numbering {
    uint32_t *chunks;
    uint32_t count;
    uint32_t room;
} numbering;

typedef struct restoring {
    csq *q;
    csq_reader *r;
    int stale; /* clients may have seen more than is here     */
    numbering origins;
    numbering messages;
    uint32_t client; /* the current one, 0: none                    */
    uint64_t hash;   /* of its name                                 */
    unsigned shard;
    uint32_t queue; /* the current one, 0: none                    */
    uint32_t last_gap;
    uint32_t gaps;
    uint64_t next_sequence; /* what it has in the end                      */
    uint64_t last_sequence;
    char group_realm[CSQ_REALM_MAX + 1];
    char group_app[UINT8_MAX + 1];
    char group[UINT8_MAX + 1]; /* empty: none                                 */
} restoring;

static apr_status_t number_add(numbering *n, uint32_t chunk)
{
    uint32_t room = n->room ? n->room : 1024;
    uint32_t *larger;

    if (n->count == n->room) {
        if (n->room)
            room *= 2;
        larger = realloc(n->chunks, room * sizeof *larger);
        if (!larger)
            return APR_ENOMEM;
        n->chunks = larger;
        n->room = room;
    }
    n->chunks[n->count++] = chunk;
    return APR_SUCCESS;
}

/* 0: it was not in the file. */
static uint32_t number_get(const numbering *n, uint64_t number)
{
    return number >= 1 && number <= n->count ? n->chunks[number - 1] : 0;
}

static uint32_t get32(restoring *s)
{
    return (uint32_t)csq_reader_number(s->r, 4);
}

static uint8_t get8(restoring *s)
{
    return (uint8_t)csq_reader_number(s->r, 1);
}

static int get_bytes(restoring *s, void *out, size_t len)
{
    const char *at = csq_reader_bytes(s->r, len);

    if (at)
        memcpy(out, at, len);
    return at != NULL;
}

/* ---- groups ---------------------------------------------------------------- */

static apr_status_t restore_group(restoring *s)
{
    size_t realm = get8(s), app = get8(s), group = get8(s);

    s->queue = s->client = 0;
    s->group[0] = '\0';
    if (!csq_reader_text(s->r, s->group_realm, realm)
        || !csq_reader_text(s->r, s->group_app, app)
        || !csq_reader_text(s->r, s->group, group) || !csq_reader_complete(s->r))
        return CSQ_DAMAGED;
    return s->group[0] ? APR_SUCCESS : CSQ_DAMAGED;
}

static apr_status_t get_client(restoring *s, char *realm, char *client)
{
    size_t realm_len = get8(s), client_len = get8(s);

    return csq_reader_text(s->r, realm, realm_len)
                   && csq_reader_text(s->r, client, client_len)
                   && csq_reader_complete(s->r)
               ? APR_SUCCESS
               : CSQ_DAMAGED;
}

static apr_status_t restore_member(restoring *s)
{
    char realm[CSQ_REALM_MAX + 1], client[CSQ_CLIENT_MAX + 1];
    csq_key key = { .realm = realm, .client = client };
    int changed;
    apr_status_t rv = get_client(s, realm, client);

    if (rv != APR_SUCCESS || !s->group[0] || strcmp(realm, s->group_realm) != 0)
        return CSQ_DAMAGED;
    rv = csq_group_add(s->q, &key, s->group_app, s->group, apr_time_now(), &changed);
    return rv == CSQ_BAD_NAME ? CSQ_DAMAGED : rv;
}

/* ---- origins and messages -------------------------------------------------- */

static apr_status_t restore_origin(restoring *s)
{
    char app[UINT8_MAX + 1], sender[UINT8_MAX + 1], type[UINT8_MAX + 1];
    char realm[UINT8_MAX + 1];
    csq_message message = { .realm = realm, .app = app, .sender = sender, .type = type };
    csq_origin_name name;
    uint32_t chain;
    size_t lengths[4];
    apr_status_t rv;
    int i;

    for (i = 0; i < 4; i++)
        lengths[i] = get8(s);
    if (!csq_reader_text(s->r, app, lengths[0])
        || !csq_reader_text(s->r, sender, lengths[1])
        || !csq_reader_text(s->r, type, lengths[2])
        || !csq_reader_text(s->r, realm, lengths[3]) || !csq_reader_complete(s->r)
        || csq_app_check(app, lengths[0]) != APR_SUCCESS || !lengths[1]
        || csq_text_check(sender, lengths[1]) != APR_SUCCESS
        || csq_text_check(type, lengths[2]) != APR_SUCCESS)
        return CSQ_DAMAGED;
    csq_origin_name_make(s->q, &message, &name);
    rv = csq_chunk_take_last_locked(s->q,
                                    csq_origin_chunks(name.app_len + name.sender_len
                                                      + name.type_len + name.realm_len),
                                    &chain);
    if (rv == APR_SUCCESS)
        rv = csq_origin_make_locked(s->q, &name, chain);
    return rv == APR_SUCCESS ? number_add(&s->origins, chain) : rv;
}

static apr_status_t write_message(restoring *s, uint32_t number, const csq_stored *head,
                                  const char *data)
{
    csq_stored *stored = csq_chunk_at(s->q, number);
    uint32_t next;
    csq_stream stream;

    if (!stored)
        return CSQ_DAMAGED;
    next = stored->entry.next;
    memcpy(stored, head, offsetof(csq_stored, data));
    stored->entry.next = next;
    stored->entry.committed = 1;
    stored->entry.kind = CSQ_KIND_MESSAGE;
    csq_stream_open(&stream, s->q, stored, stored->data, CSQ_MESSAGE_DATA);
    return csq_stream_write(&stream, data, head->len);
}

static apr_status_t restore_message(restoring *s)
{
    csq_stored head = { .refs = 0 };
    uint32_t number;
    const char *data;
    uint64_t time;
    apr_status_t rv;

    head.entry.body = number_get(&s->origins, get32(s));
    head.entry.flags = get8(s);
    head.entry.queue = get32(s);
    head.entry.queue_prev = get32(s);
    get_bytes(s, head.id, CSQ_ID_BYTES);
    time = csq_reader_number(s->r, 8);
    head.lifetime = get32(s);
    head.time_low = (uint32_t)time;
    head.entry.time_high = (uint16_t)(time >> 32);
    head.len = (uint32_t)(s->r->len - s->r->position);
    data = csq_reader_bytes(s->r, s->r->len - s->r->position);
    if (!data || s->r->bad || !head.entry.body || time >> 48 || !head.len || !s->queue
        || (head.entry.flags & CSQ_ENCODING_MASK) > CSQ_BINARY
        || (head.entry.queue_prev & 0xff) >= CSQ_FATES || head.entry.queue_prev >> 9)
        return CSQ_DAMAGED;
    rv = csq_chunk_take_last_locked(s->q, csq_chunks_for(head.len, CSQ_MESSAGE_DATA),
                                    &number);
    if (rv == APR_SUCCESS)
        rv = write_message(s, number, &head, data);
    if (rv != APR_SUCCESS)
        return rv;
    csq_id_add_locked(s->q, number);
    return number_add(&s->messages, number);
}

/* ---- clients --------------------------------------------------------------- */

static apr_status_t restore_client(restoring *s)
{
    char realm[CSQ_REALM_MAX + 1], client[CSQ_CLIENT_MAX + 1];
    csq_key key = { .realm = realm, .client = client };
    csq_name name;
    uint32_t chain;
    apr_status_t rv = get_client(s, realm, client);

    if (rv != APR_SUCCESS || s->queue || csq_name_make(s->q, &key, &name) != APR_SUCCESS)
        return CSQ_DAMAGED;
    s->group[0] = '\0';
    s->hash = name.hash;
    s->shard = csq_name_shard(&name);
    rv = csq_client_find_locked(s->q, &name, &s->client);
    if (rv != APR_SUCCESS || s->client)
        return rv == APR_SUCCESS && csq_client_at(s->q, s->client)->queues ? CSQ_DAMAGED
                                                                           : rv;
    rv = csq_chunk_take_last_locked(
        s->q, csq_client_chunks(name.realm_len, name.client_len), &chain);
    if (rv == APR_SUCCESS)
        rv = csq_client_make_locked(s->q, &name, chain, 0);
    if (rv == APR_SUCCESS)
        s->client = chain;
    return rv;
}

typedef struct queue_head {
    int known;
    uint64_t epoch;
    uint64_t next_sequence;
    uint64_t handed_out;
    uint32_t last_seen;
    uint32_t due;
    uint8_t device_len;
    char device[UINT8_MAX + 1];
} queue_head;

static apr_status_t read_queue(restoring *s, queue_head *head)
{
    uint32_t found = 0;

    head->known = get8(s);
    head->epoch = csq_reader_number(s->r, 8);
    head->next_sequence = csq_reader_number(s->r, 8);
    head->handed_out = csq_reader_number(s->r, 8);
    head->last_seen = get32(s);
    head->due = get32(s);
    head->device_len = get8(s);
    if (!csq_reader_text(s->r, head->device, head->device_len)
        || !csq_reader_complete(s->r) || !s->client || s->queue || head->known > 1
        || !head->epoch || !head->next_sequence || head->next_sequence > CSQ_SEQUENCE_MAX
        || head->handed_out >= head->next_sequence)
        return CSQ_DAMAGED;
    if (!head->device_len)
        return APR_SUCCESS;
    if (csq_device_check(head->device, head->device_len) != APR_SUCCESS
        || csq_queue_find_locked(s->q, csq_client_at(s->q, s->client), head->device,
                                 head->device_len, &found)
               != APR_SUCCESS
        || found)
        return CSQ_DAMAGED;
    return APR_SUCCESS;
}

static apr_status_t restore_queue(restoring *s)
{
    csq_name name = { .hash = s->hash };
    queue_head head;
    csq_queue *queue;
    uint32_t chain;
    apr_status_t rv = read_queue(s, &head);

    if (rv == APR_SUCCESS)
        rv = csq_chunk_take_last_locked(s->q, csq_queue_chunks(head.device_len), &chain);
    if (rv == APR_SUCCESS)
        rv = csq_queue_make(s->q, chain, &name, head.device, head.device_len, 0);
    if (rv != APR_SUCCESS)
        return rv;
    queue = csq_queue_at(s->q, chain);
    queue->flags = head.known ? CSQ_QUEUE_KNOWN : 0;
    if (!s->stale)
        queue->epoch = head.epoch;
    queue->handed_out = head.handed_out;
    queue->last_seen = head.last_seen;
    queue->due = head.due;
    csq_queue_link_locked(s->q, s->shard, s->client, chain);
    s->queue = chain;
    s->gaps = s->last_gap = 0;
    s->next_sequence = head.next_sequence;
    s->last_sequence = 0;
    return APR_SUCCESS;
}

static apr_status_t restore_gap(restoring *s)
{
    csq_gap_chunk head = { .kind = CSQ_KIND_GAP };
    csq_gap_chunk *last = csq_gap_at(s->q, s->last_gap);
    char app[UINT8_MAX + 1];
    uint32_t number;
    apr_status_t rv;

    head.unknown = get8(s);
    head.handed_sequence = csq_reader_number(s->r, 8);
    head.fresh_sequence = csq_reader_number(s->r, 8);
    head.handed = get32(s);
    head.fresh = get32(s);
    head.app_len = get8(s);
    if (!csq_reader_text(s->r, app, head.app_len) || !csq_reader_complete(s->r)
        || !s->queue || s->gaps >= CSQ_GAP_APPS || head.unknown > 1
        || head.handed_sequence >= s->next_sequence
        || head.fresh_sequence >= s->next_sequence
        || (head.app_len && csq_app_check(app, head.app_len) != APR_SUCCESS))
        return CSQ_DAMAGED;
    memcpy(head.app, app, head.app_len);
    rv = csq_chunk_take_last_locked(s->q, 1, &number);
    if (rv != APR_SUCCESS)
        return rv;
    memcpy(csq_chunk_at(s->q, number), &head, sizeof head);
    if (last)
        last->next = number;
    else
        csq_queue_at(s->q, s->queue)->gap = number;
    s->last_gap = number;
    s->gaps++;
    return APR_SUCCESS;
}

/* The chunk that hangs in the queue: the message itself, or one of its own. */
static apr_status_t make_entry(restoring *s, uint32_t message, const char *topic,
                               uint8_t topic_len, uint32_t *out_number)
{
    csq_stored *stored = csq_stored_at(s->q, message);
    csq_link *link;
    apr_status_t rv;

    *out_number = message;
    if (!(stored->entry.flags & CSQ_SPREAD))
        return stored->refs || topic_len ? CSQ_DAMAGED : APR_SUCCESS;
    rv = csq_chunk_take_last_locked(s->q, 1, out_number);
    if (rv != APR_SUCCESS)
        return rv;
    link = csq_chunk_at(s->q, *out_number);
    memset(link, 0, sizeof *link);
    link->entry.kind = CSQ_KIND_ENTRY;
    link->entry.body = message;
    link->topic_len = topic_len;
    memcpy(link->topic, topic, topic_len);
    csq_peer_add_locked(s->q, message, *out_number);
    return APR_SUCCESS;
}

static apr_status_t restore_entry(restoring *s)
{
    csq_queue *queue = csq_queue_at(s->q, s->queue);
    uint32_t message = number_get(&s->messages, get32(s));
    uint64_t sequence = csq_reader_number(s->r, 8);
    uint8_t marks = get8(s);
    uint8_t topic_len = get8(s);
    char topic[UINT8_MAX + 1];
    uint32_t number;
    apr_status_t rv;

    if (!csq_reader_text(s->r, topic, topic_len) || !csq_reader_complete(s->r) || !queue
        || !message || marks > (CSQ_SAVED_PASSED | CSQ_SAVED_BEHIND)
        || sequence <= s->last_sequence || sequence >= s->next_sequence
        || (topic_len && csq_topic_check(topic, topic_len) != APR_SUCCESS))
        return CSQ_DAMAGED;
    rv = make_entry(s, message, topic, topic_len, &number);
    if (rv != APR_SUCCESS)
        return rv;
    queue->next_sequence = sequence;
    rv = csq_entry_link_locked(s->q, s->shard, s->queue, number);
    if (rv != APR_SUCCESS)
        return rv;
    if (marks & CSQ_SAVED_PASSED)
        csq_entry_at(s->q, number)->sequence_high |= CSQ_PASSED;
    if (marks & CSQ_SAVED_BEHIND)
        csq_entry_at(s->q, number)->sequence_high |= CSQ_BEHIND;
    csq_stored_at(s->q, message)->refs++;
    csq_topic_add_locked(s->q, s->shard, number);
    s->last_sequence = sequence;
    return APR_SUCCESS;
}

static apr_status_t restore_queue_end(restoring *s)
{
    if (!s->queue || !csq_reader_complete(s->r))
        return CSQ_DAMAGED;
    csq_queue_at(s->q, s->queue)->next_sequence = s->next_sequence;
    s->queue = 0;
    return APR_SUCCESS;
}

/* ---- receipts, repeats, fates ---------------------------------------------- */

static apr_status_t restore_receipt(restoring *s)
{
    uint8_t id[CSQ_ID_BYTES];
    csq_receipt read = { .confirmed = 1 };
    csq_receipt *receipt;
    uint64_t sum = 0;
    uint32_t number;
    apr_status_t rv;
    int i;

    get_bytes(s, id, sizeof id);
    read.asked = get8(s);
    read.origin = number_get(&s->origins, get32(s));
    read.until = get32(s);
    read.changes = get32(s);
    read.receivers = get32(s);
    read.handed_out = get32(s);
    for (i = 0; i < CSQ_FATES; i++) {
        read.counts[i] = get32(s);
        sum += read.counts[i];
    }
    read.acknowledged = get32(s);
    if (!csq_reader_complete(s->r) || !read.origin || read.asked > 1
        || sum > read.receivers || read.acknowledged > read.receivers)
        return CSQ_DAMAGED;
    rv = csq_chunk_take_last_locked(s->q, 1, &number);
    if (rv != APR_SUCCESS)
        return rv;
    csq_receipt_make_locked(s->q, number, id, read.origin, read.receivers, read.until);
    receipt = csq_receipt_at(s->q, number);
    receipt->confirmed = 1;
    receipt->asked = read.asked;
    receipt->changes = read.changes;
    receipt->handed_out = read.handed_out;
    memcpy(receipt->counts, read.counts, sizeof read.counts);
    receipt->acknowledged = read.acknowledged;
    return APR_SUCCESS;
}

static apr_status_t restore_repeat(restoring *s)
{
    csq_repeat head = { .kind = CSQ_KIND_REPEAT };
    const char *answer;
    size_t len;

    get_bytes(s, head.key, sizeof head.key);
    get_bytes(s, head.body, sizeof head.body);
    get_bytes(s, head.id, sizeof head.id);
    head.until = get32(s);
    head.state = get8(s);
    len = s->r->len - s->r->position;
    answer = csq_reader_bytes(s->r, len);
    if (!answer || s->r->bad || head.state > CSQ_REPEAT_MANY + CSQ_SHARDS
        || len > CSQ_ANSWER_MAX)
        return CSQ_DAMAGED;
    return csq_repeat_put_locked(s->q, &head, answer, len);
}

static apr_status_t restore_fate(restoring *s)
{
    csq_fate_record fate = { .second = 0 };

    get_bytes(s, fate.id, sizeof fate.id);
    fate.second = get32(s);
    fate.app_hash = get32(s);
    fate.sender_hash = (uint16_t)csq_reader_number(s->r, 2);
    fate.fate = get8(s);
    fate.handed = get8(s);
    if (!csq_reader_complete(s->r) || fate.fate >= CSQ_FATES || fate.handed > 1)
        return CSQ_DAMAGED;
    csq_fate_keep_locked(s->q, fate.id, fate.app_hash, fate.sender_hash,
                         (csq_fate)fate.fate, fate.handed, fate.second);
    return APR_SUCCESS;
}

/* ---- all ------------------------------------------------------------------- */

static apr_status_t restore_record(restoring *s, csq_record type)
{
    switch (type) {
    case CSQ_RECORD_GROUP:
        return restore_group(s);
    case CSQ_RECORD_MEMBER:
        return restore_member(s);
    case CSQ_RECORD_ORIGIN:
        return restore_origin(s);
    case CSQ_RECORD_REPEAT:
        return restore_repeat(s);
    case CSQ_RECORD_RECEIPT:
        return restore_receipt(s);
    case CSQ_RECORD_FATE:
        return restore_fate(s);
    case CSQ_RECORD_CLIENT:
        return restore_client(s);
    case CSQ_RECORD_QUEUE:
        return restore_queue(s);
    case CSQ_RECORD_GAP:
        return restore_gap(s);
    case CSQ_RECORD_MESSAGE:
        return restore_message(s);
    case CSQ_RECORD_ENTRY:
        return restore_entry(s);
    case CSQ_RECORD_QUEUE_END:
        return restore_queue_end(s);
    default:
        return CSQ_DAMAGED;
    }
}

static apr_status_t restore_records(restoring *s)
{
    csq_record type;
    apr_status_t rv;

    for (;;) {
        rv = csq_reader_next(s->r, &type);
        if (rv != APR_SUCCESS)
            return rv;
        if (type == CSQ_RECORD_END)
            return s->queue || s->r->len ? CSQ_DAMAGED : APR_SUCCESS;
        rv = restore_record(s, type);
        if (rv != APR_SUCCESS)
            return rv;
    }
}

/* Whoever has a cursor of what is not here must hear of it. */
static void draw_epochs(restoring *s)
{
    csq_queue *queue = csq_queue_at(s->q, s->queue);
    uint64_t secret;

    if (csq_random(s->q, &secret, sizeof secret) == APR_SUCCESS)
        s->q->header->epoch_secret = secret;
    if (!queue)
        return;
    csq_epoch_make(s->q, s->hash, &queue->epoch);
    queue->next_sequence = s->next_sequence;
}

/* What the file says of the segment as a whole. The secrets come first: all
 * hashes are made with them.                                                  */
static void restore_begin(csq *q, const csq_saved_begin *begin)
{
    csq_header *header = q->header;

    memcpy(header->secret, begin->secret, sizeof header->secret);
    header->epoch_secret = begin->epoch_secret;
    header->created = begin->created;
    header->repairs = begin->repairs;
    memcpy(header->counters, begin->counters, sizeof header->counters);
    q->shards[0].published = begin->published;
    q->shards[0].handed_out = begin->handed_out;
    q->shards[0].acknowledged = begin->acknowledged;
    q->shards[0].expired = begin->expired;
    q->shards[0].dropped = begin->dropped;
    memcpy(header->restored, begin->id, sizeof header->restored);
}

/* Everything that follows is made anew by a repair, and checked. */
static apr_status_t make_whole(csq *q, const csq_saved_begin *begin, apr_pool_t *pool,
                               const char **out_problem)
{
    apr_status_t rv;

    csq_repair_want(q);
    rv = csq_repair(q);
    q->header->repairs = begin->repairs;
    if (rv == APR_SUCCESS)
        rv = csq_audit(q, pool, out_problem);
    return rv;
}

apr_status_t csq_restore(csq *q, csq_reader *r, const csq_saved_begin *begin, int stale,
                         apr_pool_t *pool, const char **out_problem)
{
    restoring s = { .q = q, .r = r, .stale = stale };
    uint32_t max_clients = q->header->limits.max_clients;
    apr_status_t rv;
    apr_status_t whole;

    *out_problem = NULL;
    restore_begin(q, begin);
    if (stale)
        draw_epochs(&s);
    q->header->limits.max_clients = UINT32_MAX;
    rv = restore_records(&s);
    q->header->limits.max_clients = max_clients;
    if (rv != APR_SUCCESS)
        draw_epochs(&s);
    free(s.origins.chunks);
    free(s.messages.chunks);
    whole = make_whole(q, begin, pool, out_problem);
    if (whole != APR_SUCCESS)
        return csq_is_passing(whole) ? whole : APR_EGENERAL;
    if (rv != APR_SUCCESS)
        *out_problem = apr_psprintf(pool, "behind record %" APR_UINT64_T_FMT,
                                    (apr_uint64_t)r->records);
    return rv;
}
