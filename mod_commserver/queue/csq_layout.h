/* SPDX-License-Identifier: Apache-2.0
 * csq_layout.h - the shared segment, byte by byte.
 *
 *   [ header | shard 0..31 | slot 0..s | client buckets | origin buckets |
 *     id buckets | receipt buckets | topic buckets | group buckets |
 *     repeat buckets | fates | chunk 1 .. chunk N ]
 *
 * Everything that comes and goes lies in chunks of one size, so that nothing
 * can fragment. Processes map the segment at different addresses: a link is a
 * chunk number, counted from 1; 0 means "none"; no pointer is stored here.
 *
 *   client   CLIENT --next--> rest of the name      (hash chain by hash_next)
 *            queues --> QUEUE --sibling--> QUEUE    (one for each device)
 *   queue    QUEUE --next--> name of the device     (none: the empty name)
 *            gap --> GAP --next--> GAP ...          (one for each application)
 *            head --> entry <--queue_next/queue_prev--> entry <-- tail
 *   message  MESSAGE --next--> data --> data        (stored once)
 *   entry    the MESSAGE chunk itself where one queue receives it and it has
 *            no topic; else an ENTRY chunk for each queue, all of a message
 *            linked by peer_next/peer_prev from MESSAGE.queue_next
 *   origin   ORIGIN --next--> rest                  (realm, application, sender,
 *            type; shared by all messages that say the same)
 *   group    GROUP --next--> rest of the name       (in each shard that has
 *            members --> MEMBERS --next--> ...       members: its part)
 *   receipt  RECEIPT: what became of a message, for those who ask
 *   repeat   REPEAT --next--> answer                (idempotency)
 *   fate     what became of a message, as long as there is room to remember
 *
 * What is true and what follows. A process can die at any instruction. The
 * TRUTH is: the client buckets and hash_next; client.queues and sibling;
 * queue.head and queue_next; the group buckets, group.members; the buckets of
 * receipts and repeats; the contents of all these; committed; fates. Each
 * change of it is one store. ALL ELSE FOLLOWS from it and is made anew by a
 * repair: queue_prev, tail, mark, count, bytes, refs, peers, the wheels, the
 * buckets of origins, ids and topics, client.memberships, the free list, the
 * sums.
 *
 * Who may touch what:
 *  - a shard's lock guards its clients, their queues, its topics, its parts of
 *    groups, its wheel, its sums;
 *  - the allocator's lock guards the free list, origins, ids, refs, peers,
 *    receipts, repeats and fates;
 *  - slots and counters are atomic and have no lock.
 * Lock order: shards ascending, then the allocator.
 *
 * A death under a lock is seen by the next who takes it (robust mutex). It
 * sets header.repair, makes the mutex consistent and gives it back; whoever
 * finds header.repair set takes all locks, repairs, clears header.repair. A
 * death on this way, the repair included, leaves header.repair set.
 *
 * Invariants (csq_audit() checks all of them):
 *  1. A chunk is used by exactly one of: a client (record, name), a queue
 *     (record, name, gaps), a message (record, data), an ENTRY, an origin, a
 *     group (record, name, members), a receipt, a repeat (record, answer), the
 *     free list, a shard's list of messages to release.
 *  2. A client hangs in the bucket that the hash of its name says; no name
 *     hangs there twice; no device name is there twice in a client.
 *  3. Sequences grow along a queue; the last is below queue.next_sequence;
 *     queue.handed_out is below it too.
 *  4. queue_prev mirrors queue_next; tail is the last; entry.queue is the
 *     queue it hangs in; count and bytes are the sums.
 *  5. message.refs is the number of entries that are linked or wait to be
 *     released; it is not 0, and the message is committed; it has as many
 *     chunks as its length needs; it hangs once in the bucket of its id.
 *  6. Every linked entry and every queue hangs once in the wheel of its
 *     shard, in a place that comes up no later than its time; `busy` says
 *     which places are taken.
 *  7. origin.refs is the number of messages and receipts that name it; it
 *     hangs in the bucket of its hash.
 *  8. The free list has header.free_count chunks.
 *  9. The sums of the shards (clients, queued, bytes) are what was counted.
 * 10. Every linked ENTRY with a topic hangs once in the bucket of its topic.
 * 11. A member of a group is a client of the shard; client.memberships counts
 *     the groups it is in.
 * 12. The counts of a receipt and the entries still linked are its receivers.
 *
 * Change anything below: raise CSQ_LAYOUT_VERSION.
 */
#ifndef CSQ_LAYOUT_H
#define CSQ_LAYOUT_H

#include <pthread.h>
#include <stdint.h>

#include "csq.h"

/* What became of a message in a queue. */
typedef enum csq_fate {
    CSQ_FATE_DROPPED,
    CSQ_FATE_EXPIRED,
    CSQ_FATE_REPLACED,
    CSQ_FATE_WITHDRAWN,
    CSQ_FATE_RECEIVED,
    CSQ_FATES
} csq_fate;

#define CSQ_MAGIC          UINT64_C(0x31514d4d4f435343)
#define CSQ_MAGIC_MAKING   (~CSQ_MAGIC) /* it is not finished                  */
#define CSQ_LAYOUT_VERSION 3
#define CSQ_BUILD_BYTES    64
#define CSQ_SHARDS         32
#define CSQ_CHUNK_BYTES    96   /* 3 hold a message of 204 bytes: 288        */
#define CSQ_RING           4096 /* numbers a slot can hold                    */
#define CSQ_WHEEL_LEVELS   4
#define CSQ_WHEEL_BITS     6
#define CSQ_WHEEL_PLACES   (1 << CSQ_WHEEL_BITS)
#define CSQ_GAP_APPS       8    /* more: "unknown"                            */
#define CSQ_FATE_WAYS      4    /* fates that share a hash                    */
#define CSQ_REPEAT_ANSWER  24   /* bytes that need no further chunk          */

#define CSQ_HEADER_SAVED 2     /* in header.closed                            */

/* What the first process wrote; checked by all that attach. */
typedef struct csq_header {
    uint64_t magic;            /* written last, when all else is ready        */
    uint32_t layout;           /* CSQ_LAYOUT_VERSION                          */
    uint32_t chunk_bytes;
    char build[CSQ_BUILD_BYTES]; /* libc, ABI, size of a mutex                */
    uint64_t size;             /* bytes from the header to the last chunk     */
    uint32_t slot_count;
    uint32_t bucket_count;     /* client buckets, a power of two              */
    uint32_t origin_count;     /* origin buckets, a power of two              */
    uint32_t id_count;         /* id buckets, a power of two                  */
    uint32_t receipt_count;    /* and so on                                   */
    uint32_t topic_count;
    uint32_t group_count;
    uint32_t repeat_count;
    uint32_t fate_count;       /* sets of CSQ_FATE_WAYS                       */
    uint32_t chunk_count;
    uint64_t secret[2];        /* keys the hashes                             */
    uint64_t epoch_secret;     /* keys the epochs                             */
    int64_t created;           /* apr_time_t                                  */
    uint8_t restored[16];      /* id of the saved state that was read into it,
                                  or that it was written into                 */

    uint32_t closed;           /* 1: the server has stopped; 2: and saved it       */
    uint32_t repair;           /* 1: a process died under a lock              */
    uint32_t repairing;        /* 1: one holds all locks to make it whole     */
    uint32_t clients;          /* all shards; atomic                          */
    uint32_t swept;            /* second of the last sweep                    */
    uint32_t realm_count;
    char realm[CSQ_REALM_MAX + 1]; /* the only one, if realm_count is 1       */
    csq_limits limits;

    uint64_t repairs;
    uint64_t counters[CSQ_COUNTERS];

    pthread_mutex_t allocator __attribute__((aligned(64)));
    uint32_t allocator_owner;  /* process id, 0: none                         */
    uint32_t free_head;
    uint32_t free_count;
    uint32_t free_lowest;      /* least ever free                             */
} csq_header;

typedef struct csq_shard {
    pthread_mutex_t mutex __attribute__((aligned(64)));
    uint32_t owner;            /* process id, 0: none                         */
    uint32_t release;          /* messages unlinked but not yet freed         */
    uint32_t tick;             /* second up to which the wheel has turned     */
    uint32_t clients;
    uint32_t queues;
    uint64_t queued;           /* entries linked                              */
    uint64_t bytes;            /* of messages; only the sum of all means a lot*/
    uint64_t published;
    uint64_t handed_out;
    uint64_t acknowledged;
    uint64_t expired;
    uint64_t dropped;
    uint64_t busy[CSQ_WHEEL_LEVELS];
    uint32_t wheel[CSQ_WHEEL_LEVELS * CSQ_WHEEL_PLACES];
} csq_shard;

/* A server process. Whoever holds the file lock on its byte owns it.
 * Positions grow for ever (modulo 2^32); a number at position p is
 * ring[p % CSQ_RING] = p << 32 | number, so that a late or missing store is
 * told from a good one.                                                      */
typedef struct csq_slot_shared {
    uint32_t generation;       /* 1..CSQ_GENERATION_MAX; 0: never claimed     */
    uint32_t process;          /* id, for people                              */
    uint32_t bell;             /* 0: silent; else when it was rung, ms        */
    uint32_t all;              /* 1: numbers were lost, look at everything    */
    uint32_t waiting;          /* requests held                               */
    uint32_t tail;             /* next position to write                      */
    uint32_t head __attribute__((aligned(64))); /* next position to read      */
    uint64_t ring[CSQ_RING] __attribute__((aligned(64)));
} csq_slot_shared;

enum csq_kind {
    CSQ_KIND_FREE = 0,
    CSQ_KIND_CLIENT = 0xc1,
    CSQ_KIND_MESSAGE = 0xc2,
    CSQ_KIND_ENTRY = 0xc3,
    CSQ_KIND_ORIGIN = 0xc4,
    CSQ_KIND_GAP = 0xc5,
    CSQ_KIND_QUEUE = 0xc6,
    CSQ_KIND_GROUP = 0xc7,
    CSQ_KIND_MEMBERS = 0xc8,
    CSQ_KIND_RECEIPT = 0xc9,
    CSQ_KIND_REPEAT = 0xca
};

/* The same bytes are read as different types: no aliasing rules here. */
#define CSQ_ALIAS __attribute__((may_alias))

/* The first bytes of every chunk. */
typedef struct csq_chunk {
    uint32_t next;             /* of the same chain or of the free list       */
    char data[CSQ_CHUNK_BYTES - 4];
} CSQ_ALIAS csq_chunk;

#define CSQ_CHUNK_DATA (CSQ_CHUNK_BYTES - 4)

/* wheel_prev of the first in a place: the place itself with this bit. */
#define CSQ_WHEEL_FIRST 0x80000000u

/* What hangs in a wheel: queues, messages, entries have these in common. */
typedef struct csq_node {
    uint32_t next;
    uint8_t kind;
    uint8_t unused[3];
    uint32_t other[5];
    uint32_t wheel_next;
    uint32_t wheel_prev;
} CSQ_ALIAS csq_node;

#define CSQ_CLIENT_NAME 68

typedef struct csq_client {
    uint32_t next;             /* rest of the name                            */
    uint8_t kind;
    uint8_t shard;
    uint8_t realm_len;
    uint8_t client_len;
    uint32_t hash;             /* upper half of the hash of the name          */
    uint32_t hash_next;
    uint32_t queues;           /* first QUEUE; 0: a member of groups only     */
    uint32_t memberships;
    uint32_t unused;
    char name[CSQ_CLIENT_NAME];/* realm, then client, no NUL                  */
} CSQ_ALIAS csq_client;

#define CSQ_QUEUE_RUNG  1      /* the waiter was rung and has not come yet    */
#define CSQ_QUEUE_KNOWN 2      /* a device that has polled; without it and a
                                  name: what waits for the first device       */

typedef struct csq_queue {
    uint32_t next;             /* name of the device                          */
    uint8_t kind;
    uint8_t flags;
    uint8_t device_len;
    uint8_t unused;
    uint64_t epoch;            /* never 0                                     */
    uint32_t client;
    uint32_t sibling;          /* next queue of the client                    */
    uint32_t gap;              /* first GAP                                   */
    uint32_t wheel_next;
    uint32_t wheel_prev;
    uint32_t due;              /* second from which it may be forgotten       */
    uint64_t next_sequence;    /* from 1, 46 bits                             */
    uint64_t handed_out;       /* greatest sequence told to the client        */
    uint64_t waiter;
    uint64_t bytes;
    uint32_t head;
    uint32_t tail;
    uint32_t count;
    uint32_t mark;             /* entry read last, 0: unknown                 */
    uint32_t last_seen;        /* second of the last fetch, 0: never          */
    uint32_t arriving;         /* entry on its way here from another queue    */
} CSQ_ALIAS csq_queue;

/* entry.flags, of messages */
#define CSQ_ENCODING_MASK 0x03 /* csq_encoding                                */
#define CSQ_URGENCY_SHIFT 2
#define CSQ_URGENCY_MASK  0x0c /* csq_urgency                                 */
#define CSQ_LONG_LIFE     0x10 /* lifetime counts seconds, else milliseconds  */
#define CSQ_HAS_RECEIPT   0x20
#define CSQ_ASKED         0x40 /* the publisher wants to hear of the
                                  application's acknowledgement               */
#define CSQ_SPREAD        0x80 /* has ENTRY chunks, is none itself            */

/* entry.sequence_high: it lies before queue.handed_out, but was passed over by
 * a client that wanted urgent ones only, and has not been handed out.        */
#define CSQ_PASSED 0x8000
/* The same, but it may have been handed out: as long as nobody acknowledges it
 * the client may come back with a cursor that it lies behind.                */
#define CSQ_BEHIND 0x4000

#define CSQ_SEQUENCE_MAX ((UINT64_C(1) << 46) - 1) /* more is damage          */
#define CSQ_LEAVING   2
#define CSQ_WITHDRAWN 2        /* committed: but taken back by its sender     */

/* Of both entries and messages. */
typedef struct csq_entry {
    uint32_t next;             /* message: its data; entry: 0                 */
    uint8_t kind;
    uint8_t flags;
    uint8_t committed;         /* message: 1 when it counts                   */
    uint8_t linked;            /* 1: hangs in a queue; CSQ_LEAVING + csq_fate:
                                  is taken out, or about to be                */
    uint32_t sequence_low;     /* 46 bits; spread message: the REPEAT of the
                                  publish to many it belongs to, 0: none      */
    uint16_t sequence_high;    /* and CSQ_PASSED, CSQ_BEHIND                  */
    uint16_t time_high;        /* message: of its time                        */
    uint32_t queue;            /* spread message: receivers it had            */
    uint32_t queue_next;       /* spread message: its first entry             */
    uint32_t queue_prev;       /* spread message, or unlinked: csq_fate and
                                  whether it was ever handed out              */
    uint32_t wheel_next;
    uint32_t wheel_prev;
    uint32_t body;             /* entry: its message; message: its origin     */
} CSQ_ALIAS csq_entry;

#define CSQ_MESSAGE_DATA 20

typedef struct csq_stored {
    csq_entry entry;
    uint32_t refs;             /* entries that are not freed                  */
    uint32_t len;              /* bytes of the wire value                     */
    uint8_t id[CSQ_ID_BYTES];
    uint32_t time_low;         /* ms since 1970, 48 bits                      */
    uint32_t lifetime;         /* from then to the end                        */
    uint32_t id_next;          /* in the bucket of the id                     */
    char data[CSQ_MESSAGE_DATA];
} CSQ_ALIAS csq_stored;

/* An ENTRY: a spread message in one queue. */
typedef struct csq_link {
    csq_entry entry;
    uint32_t peer_next;        /* of the same message                         */
    uint32_t peer_prev;        /* 0: the first                                */
    uint32_t topic_next;
    uint32_t topic_hash;
    uint8_t topic_len;         /* 0: none                                     */
    char topic[CSQ_TOPIC_MAX];
    uint8_t unused[CSQ_CHUNK_BYTES - 57 - CSQ_TOPIC_MAX];
} CSQ_ALIAS csq_link;

#define CSQ_ORIGIN_DATA 68

typedef struct csq_origin {
    uint32_t next;
    uint8_t kind;
    uint8_t app_len;
    uint8_t sender_len;
    uint8_t type_len;          /* 0: none given                               */
    uint32_t hash;
    uint32_t hash_next;
    uint32_t refs;
    uint32_t app_hash;         /* of realm and application                    */
    uint16_t sender_hash;
    uint8_t realm_len;
    uint8_t unused;
    char data[CSQ_ORIGIN_DATA];/* app, sender, type, realm, no NUL            */
} CSQ_ALIAS csq_origin;

#define CSQ_GROUP_NAME 72

/* The members of a group that lie in one shard. */
typedef struct csq_group {
    uint32_t next;             /* rest of the name                            */
    uint8_t kind;
    uint8_t realm_len;
    uint8_t app_len;
    uint8_t group_len;
    uint32_t hash;
    uint32_t hash_next;
    uint32_t members;          /* first MEMBERS                               */
    uint32_t count;            /* follows                                     */
    char name[CSQ_GROUP_NAME]; /* realm, app, group, no NUL                   */
} CSQ_ALIAS csq_group;

#define CSQ_MEMBERS_MAX 22

typedef struct csq_members {
    uint32_t next;
    uint8_t kind;
    uint8_t unused[3];
    uint32_t clients[CSQ_MEMBERS_MAX]; /* 0: free                             */
} CSQ_ALIAS csq_members;

typedef struct csq_receipt {
    uint32_t next;             /* 0                                           */
    uint8_t kind;
    uint8_t confirmed;         /* the message was committed                   */
    uint8_t asked;             /* its sender wants to hear of the application */
    uint8_t unused;
    uint8_t id[CSQ_ID_BYTES];
    uint32_t hash_next;
    uint32_t origin;
    uint32_t until;            /* second from which it may go                 */
    uint32_t changes;          /* how often the counts have changed           */
    uint64_t waiter;
    uint32_t receivers;
    uint32_t handed_out;       /* ever handed out                             */
    uint32_t counts[CSQ_FATES];/* that left a queue, by csq_fate              */
    uint32_t acknowledged;     /* of those received                           */
    uint32_t repeat;           /* as that of a spread message                 */
    uint8_t rest[CSQ_CHUNK_BYTES - 64 - 4 * CSQ_FATES];
} CSQ_ALIAS csq_receipt;

/* repeat.state. To many: as many shards as are added to CSQ_REPEAT_MANY have
 * been served. What hangs in others is of no account: a repair takes it out, so
 * that a shard has been served as a whole or not at all.                     */
#define CSQ_REPEAT_BEGUN    0
#define CSQ_REPEAT_FINISHED 1
#define CSQ_REPEAT_MANY     2

typedef struct csq_repeat {
    uint32_t next;             /* answer                                      */
    uint8_t kind;
    uint8_t state;
    uint16_t answer_len;
    uint8_t key[CSQ_DIGEST_BYTES];
    uint8_t body[CSQ_DIGEST_BYTES];
    uint8_t id[CSQ_ID_BYTES];
    uint64_t owner;            /* who is at it: slot and generation           */
    uint32_t hash_next;
    uint32_t until;            /* second from which it may go                 */
    char answer[CSQ_REPEAT_ANSWER];
} CSQ_ALIAS csq_repeat;

typedef struct csq_fate_record {
    uint8_t id[CSQ_ID_BYTES];
    uint32_t second;           /* 0: unused                                   */
    uint32_t app_hash;
    uint16_t sender_hash;
    uint8_t fate;
    uint8_t handed;
    uint32_t turn;             /* among those of the same second              */
} csq_fate_record;

/* Messages of one application that were dropped. Those that had been handed
 * out before are told apart, since the client may have them: an
 * acknowledgement up to handed_sequence makes good for `handed`, one up to
 * fresh_sequence for `fresh`. The sequences count in the first GAP only.     */
typedef struct csq_gap_chunk {
    uint32_t next;
    uint8_t kind;
    uint8_t unknown;           /* first GAP: the list is not complete         */
    uint8_t app_len;           /* 0: no application                           */
    uint8_t unused;
    uint64_t handed_sequence;  /* 0: none                                     */
    uint64_t fresh_sequence;
    uint32_t handed;
    uint32_t fresh;
    char app[CSQ_APP_MAX];
} CSQ_ALIAS csq_gap_chunk;

#define CSQ_SAME_SIZE(type) \
    _Static_assert(sizeof(type) == CSQ_CHUNK_BYTES, #type " fills a chunk")
CSQ_SAME_SIZE(csq_chunk);
CSQ_SAME_SIZE(csq_client);
CSQ_SAME_SIZE(csq_stored);
CSQ_SAME_SIZE(csq_origin);
CSQ_SAME_SIZE(csq_gap_chunk);
CSQ_SAME_SIZE(csq_queue);
CSQ_SAME_SIZE(csq_link);
CSQ_SAME_SIZE(csq_group);
CSQ_SAME_SIZE(csq_members);
CSQ_SAME_SIZE(csq_receipt);
CSQ_SAME_SIZE(csq_repeat);
#undef CSQ_SAME_SIZE
_Static_assert(__builtin_offsetof(csq_node, wheel_next)
                   == __builtin_offsetof(csq_queue, wheel_next), "wheel links");
_Static_assert(__builtin_offsetof(csq_node, wheel_next)
                   == __builtin_offsetof(csq_entry, wheel_next), "wheel links");

/* A waiter: slot + 1, generation, number. */
#define CSQ_GENERATION_BITS 19
#define CSQ_GENERATION_MAX  ((1u << CSQ_GENERATION_BITS) - 1)

#endif
