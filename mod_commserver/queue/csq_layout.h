/* SPDX-License-Identifier: Apache-2.0
 * csq_layout.h - the shared segment, byte by byte.
 *
 *   [ header | shard 0..31 | slot 0..s | client buckets | origin buckets |
 *     chunk 1 .. chunk N ]
 *
 * Everything that comes and goes lies in chunks of one size, so that nothing
 * can fragment. Processes map the segment at different addresses: a link is a
 * chunk number, counted from 1; 0 means "none"; no pointer is stored here.
 *
 *   client   CLIENT --next--> rest of the name      (hash chain by hash_next)
 *            gap --> GAP --next--> GAP ...          (one for each application)
 *            head --> entry <--queue_next/queue_prev--> entry <-- tail
 *   message  MESSAGE --next--> data --> data        (stored once)
 *   entry    the MESSAGE chunk itself for the first receiver, an ENTRY chunk
 *            for each further one
 *   origin   ORIGIN --next--> rest                  (application, sender, type;
 *            shared by all messages that say the same)
 *
 * What is true and what follows. A process can die at any instruction. The
 * TRUTH is: the client buckets and hash_next; client.head and queue_next; the
 * contents of clients, entries, messages, origins and gaps; committed. Each
 * change of it is one store. ALL ELSE FOLLOWS from it and is made anew by a
 * repair: queue_prev, tail, mark, count, bytes, refs, the wheels, the origin
 * buckets, the free list, the sums.
 *
 * Who may touch what:
 *  - a shard's lock guards its clients, their queues, its wheel, its sums;
 *  - the allocator's lock guards the free list and the origins;
 *  - message.refs is atomic (receivers lie in several shards);
 *  - slots and counters are atomic and have no lock.
 * Lock order: shards ascending, then the allocator.
 *
 * A death under a lock is seen by the next who takes it (robust mutex). It
 * sets header.repair, makes the mutex consistent and gives it back; whoever
 * finds header.repair set takes all locks, repairs, clears header.repair. A
 * death on this way, the repair included, leaves header.repair set.
 *
 * Invariants (csq_audit() checks all of them):
 *  1. A chunk is used by exactly one of: a client (record, name, gaps), a
 *     message (record, data), an ENTRY, an origin, the free list, a shard's
 *     list of messages to release.
 *  2. A client hangs in the bucket that the hash of its name says; no name
 *     hangs there twice.
 *  3. Sequences grow along a queue; the last is below client.next_sequence;
 *     client.handed_out is below it too.
 *  4. queue_prev mirrors queue_next; tail is the last; entry.client is the
 *     queue it hangs in; count and bytes are the sums.
 *  5. message.refs is the number of entries that are linked; it is not 0, and
 *     the message is committed; it has as many chunks as its length needs.
 *  6. Every linked entry and every client hangs once in the wheel of its
 *     shard, in a place that comes up no later than its time; `busy` says
 *     which places are taken.
 *  7. origin.refs is the number of messages that name it; it hangs in the
 *     bucket of its hash.
 *  8. The free list has header.free_count chunks.
 *  9. The sums of the shards (clients, queued, bytes) are what was counted.
 *
 * Change anything below: raise CSQ_LAYOUT_VERSION.
 */
#ifndef CSQ_LAYOUT_H
#define CSQ_LAYOUT_H

#include <pthread.h>
#include <stdint.h>

#include "csq.h"

#define CSQ_MAGIC          UINT64_C(0x31514d4d4f435343)
#define CSQ_LAYOUT_VERSION 1
#define CSQ_BUILD_BYTES    64
#define CSQ_SHARDS         32
#define CSQ_CHUNK_BYTES    96   /* 3 hold a message of 204 bytes: 288        */
#define CSQ_RING           4096 /* numbers a slot can hold                    */
#define CSQ_WHEEL_LEVELS   4
#define CSQ_WHEEL_BITS     6
#define CSQ_WHEEL_PLACES   (1 << CSQ_WHEEL_BITS)
#define CSQ_GAP_APPS       8    /* more: "unknown"                            */

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
    uint32_t chunk_count;
    uint64_t secret[2];        /* keys the hashes                             */
    uint64_t epoch_secret;     /* keys the epochs                             */
    int64_t created;           /* apr_time_t                                  */

    uint32_t closed;           /* 1: the server has stopped                   */
    uint32_t repair;           /* 1: a process died under a lock              */
    uint32_t repairing;        /* 1: one holds all locks to make it whole     */
    uint32_t clients;          /* all shards; atomic                          */
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
    CSQ_KIND_GAP = 0xc5
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

/* What hangs in a wheel: clients, messages, entries have these in common. */
typedef struct csq_node {
    uint32_t next;
    uint8_t kind;
    uint8_t unused[3];
    uint32_t other[5];
    uint32_t wheel_next;
    uint32_t wheel_prev;
} CSQ_ALIAS csq_node;

#define CSQ_CLIENT_RUNG 1      /* the waiter was rung and has not come yet    */
#define CSQ_CLIENT_NAME 4

typedef struct csq_client {
    uint32_t next;             /* rest of the name                            */
    uint8_t kind;
    uint8_t flags;
    uint8_t realm_len;
    uint8_t client_len;
    uint64_t epoch;            /* never 0                                     */
    uint32_t hash;             /* upper half of the hash of the name          */
    uint32_t hash_next;
    uint32_t gap;              /* first GAP                                   */
    uint32_t wheel_next;
    uint32_t wheel_prev;
    uint32_t due;              /* second from which it may be forgotten       */
    uint64_t next_sequence;    /* from 1                                      */
    uint64_t handed_out;       /* greatest sequence told to the client        */
    uint64_t waiter;
    uint64_t bytes;
    uint32_t head;
    uint32_t tail;
    uint32_t count;
    uint32_t mark;             /* entry read last, 0: unknown                 */
    uint32_t last_seen;        /* second of the last fetch, 0: never          */
    char name[CSQ_CLIENT_NAME];/* realm, then client, no NUL                  */
} CSQ_ALIAS csq_client;

/* Of both entries and messages. */
typedef struct csq_entry {
    uint32_t next;             /* message: its data; entry: 0                 */
    uint8_t kind;
    uint8_t encoding;          /* message: csq_encoding                       */
    uint8_t committed;         /* message: 1 when it counts                   */
    uint8_t linked;            /* hangs in a queue; follows from the truth    */
    uint64_t sequence;
    uint32_t client;
    uint32_t queue_next;
    uint32_t queue_prev;
    uint32_t wheel_next;
    uint32_t wheel_prev;
    uint32_t body;             /* entry: its message; message: its origin     */
} CSQ_ALIAS csq_entry;

#define CSQ_MESSAGE_DATA 20

typedef struct csq_stored {
    csq_entry entry;
    uint32_t refs;             /* entries linked, atomic                      */
    uint32_t len;              /* bytes of the wire value                     */
    uint8_t id[CSQ_ID_BYTES];
    uint32_t time_low;         /* ms since 1970, 48 bits                      */
    uint32_t expires_low;
    uint16_t time_high;
    uint16_t expires_high;
    char data[CSQ_MESSAGE_DATA];
} CSQ_ALIAS csq_stored;

#define CSQ_ORIGIN_DATA 76

typedef struct csq_origin {
    uint32_t next;
    uint8_t kind;
    uint8_t app_len;
    uint8_t sender_len;
    uint8_t type_len;          /* 0: none given                               */
    uint32_t hash;
    uint32_t hash_next;
    uint32_t refs;
    char data[CSQ_ORIGIN_DATA];/* app, sender, type, no NUL                   */
} CSQ_ALIAS csq_origin;

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
#undef CSQ_SAME_SIZE
_Static_assert(__builtin_offsetof(csq_node, wheel_next)
                   == __builtin_offsetof(csq_client, wheel_next), "wheel links");
_Static_assert(__builtin_offsetof(csq_node, wheel_next)
                   == __builtin_offsetof(csq_entry, wheel_next), "wheel links");

/* A waiter: slot + 1, generation, number. */
#define CSQ_GENERATION_BITS 19
#define CSQ_GENERATION_MAX  ((1u << CSQ_GENERATION_BITS) - 1)

#endif
