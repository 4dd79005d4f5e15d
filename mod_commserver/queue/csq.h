/* SPDX-License-Identifier: Apache-2.0
 * csq.h - the queue core: one queue per client in one shared segment.
 *
 * The only header of this folder that others include. libc and APR only; no
 * httpd. The module, the writer and the tests reach the queues through it
 * and through nothing else, so that another store can stand behind it.
 *
 * Ideas needed to read it:
 *  - A queue belongs to a client (csq_key) and to no process. Any process
 *    that can map the segment can append, fetch and acknowledge.
 *  - A message is stored once, however many queues it is linked into.
 *  - Sequences grow within a queue; a cursor is (epoch, sequence) and is
 *    exclusive: what follows it has a greater sequence. The epoch is 64
 *    random bits, drawn when the queue is created.
 *  - Wake-ups are hints. A waiter always fetches again; a lost or a doubled
 *    hint costs time, never a message.
 *  - A process may die at any instruction (SIGKILL). The next one that takes
 *    the lock repairs first; see csq_layout.h.
 *
 * Threads: every function may be called from any thread of any process that
 * has the segment, unless it says otherwise. A `csq` handle may be shared by
 * threads and survives fork(). No function allocates from a pool after
 * create/attach; none blocks longer than the lock deadline.
 *
 * Time: `now` is apr_time_t (microseconds since 1970), passed in by callers.
 */
#ifndef CSQ_H
#define CSQ_H

#include <apr.h>
#include <apr_errno.h>
#include <apr_pools.h>
#include <apr_time.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- statuses -------------------------------------------------------- */

/* One table makes the enum, csq_strerror() and doc/status-codes.md (checked
 * by a lint test). Offsets are final: append, never renumber.               */
#define CSQ_STATUS_MAP(X)                                                     \
    X(EMPTY,         1, "no message after the given cursor")                  \
    X(QUEUE_FULL,    2, "the client's queue has reached its limit")           \
    X(SEGMENT_FULL,  3, "the shared segment has no room left")                \
    X(CLIENTS_FULL,  4, "the limit of known clients is reached")              \
    X(TOO_LARGE,     5, "the message is larger than allowed")                 \
    X(REFUSED,       6, "refused for one or more of several receivers")       \
    X(REPLACED,      7, "a newer poll of the same client took over")          \
    X(BUSY,          8, "another process holds the lock of the segment")      \
    X(CLOSED,        9, "the server that owns the segment has stopped")       \
    X(LAYOUT,       10, "the segment was made by another build or version")   \
    X(DAMAGED,      11, "the segment is damaged")                             \
    X(NO_SERVER,    12, "no server runs on this segment")                     \
    X(IN_USE,       13, "another server runs on this segment")                \
    X(NO_SLOT,      14, "all slots for server processes are taken")           \
    X(NO_MEMORY,    15, "not enough shared memory on this machine")           \
    X(BAD_NAME,     16, "a name is not allowed")                              \
    X(BAD_JSON,     17, "the body is not well-formed JSON")                   \
    X(BAD_CURSOR,   18, "the cursor is malformed")                            \
    X(NO_REALM,     19, "the segment serves several realms: name one")

#define CSQ_STATUS_BASE (APR_OS_START_USERERR + 7100)
#define CSQ_STATUS_ENUM(name, offset, text) CSQ_##name = CSQ_STATUS_BASE + (offset),
enum csq_status { CSQ_STATUS_MAP(CSQ_STATUS_ENUM) CSQ_STATUS_END };
#undef CSQ_STATUS_ENUM

/** The text of a CSQ_ or APR status; buf is used for APR's own only. */
const char *csq_strerror(apr_status_t status, char *buf, apr_size_t size);

/* ---- limits ---------------------------------------------------------- */

typedef enum {
    CSQ_OVERFLOW_REJECT,      /* a full queue refuses: the publisher knows   */
    CSQ_OVERFLOW_DROP_OLDEST  /* a full queue drops its oldest, with a gap   */
} csq_overflow;

typedef struct csq_limits {
    apr_uint64_t max_queue_bytes;  /* payload bytes a queue                  */
    apr_uint32_t max_message;      /* bytes of one body as published         */
    apr_uint32_t max_queue;        /* messages a queue                       */
    apr_uint32_t max_clients;      /* queues in the segment                  */
    apr_uint32_t default_ttl;      /* seconds, for writers that give none    */
    apr_uint32_t max_ttl;          /* seconds, longer ones are clamped       */
    apr_uint32_t client_expiry;    /* seconds an empty queue is remembered   */
    csq_overflow overflow;
} csq_limits;

/* ---- the segment ----------------------------------------------------- */

typedef struct csq csq;

#define CSQ_SLOTS_MAX 4096

/**
 * Create a segment. For the server's parent only, before it forks. Takes the
 * server lock (an exclusive open-file-description lock on `path`.lock) for as
 * long as `pool` lives; reserves all pages at once. A segment that a server
 * has left behind which no longer runs is removed, with all that is in it.
 * Memory and files belong to the caller's effective user and only that user
 * may use them; the folder of `path` must be writable for it, since doorbells
 * are made there.
 * @param path   name of the segment: the shm name is derived from it, and the
 *               lock file and doorbells lie at path.lock, path.bell.N
 * @param size   bytes of the whole segment
 * @param slots  server processes that may wait at the same time, up to
 *               CSQ_SLOTS_MAX; each takes 33 KB of the segment
 * @param pool   when the process that called destroys it, the segment is
 *               closed and unlinked, and doorbells and lock file go; a child
 *               that inherited it changes nothing
 * @return APR_SUCCESS; CSQ_IN_USE: another server holds the lock;
 *         CSQ_NO_MEMORY: /dev/shm or memory cannot hold size bytes;
 *         APR_EINVAL: size too small for the tables, a limit is 0, or slots
 *         out of range; CSQ_BUSY: others attach without end; else APR's own.
 */
apr_status_t csq_create(const char *path, apr_size_t size, unsigned slots,
                        const csq_limits *limits, apr_pool_t *pool, csq **out_q);

/**
 * Attach to a segment that a running server made (writers, tools).
 * @return APR_SUCCESS; CSQ_NO_SERVER: there is none, or its server is gone;
 *         CSQ_BUSY: it is being made just now; CSQ_LAYOUT; CSQ_DAMAGED;
 *         APR_EACCES: not permitted; else APR's own.
 */
apr_status_t csq_attach(const char *path, apr_pool_t *pool, csq **out_q);

/** Say that the server stops: later appends and fetches return CSQ_CLOSED.
 *  Parent only. */
void csq_close(csq *q);

/** Take over changed limits at a restart. What is queued stays. Parent only. */
apr_status_t csq_limits_set(csq *q, const csq_limits *limits);
void csq_limits_get(csq *q, csq_limits *out_limits);

/** How long a call may wait for a lock before CSQ_BUSY (default 50 ms).
 *  Set once after create/attach, before threads use the handle. */
void csq_lock_timeout_set(csq *q, apr_interval_time_t timeout);

/** The same for the calls of this thread only, whatever the handle; 0: as the
 *  handle says. */
void csq_lock_timeout_thread_set(apr_interval_time_t timeout);

/** Process that held the lock when CSQ_BUSY was last returned; 0: none. */
apr_uint32_t csq_lock_holder(csq *q);

/** Forget the names of all realms, then name those that this server serves.
 *  Parent only; n may be 0. */
apr_status_t csq_realms_set(csq *q, const char *const *realms, int n);

/** The only realm of the segment. The string lives in `pool`.
 *  @return APR_SUCCESS; CSQ_NO_REALM when there are none or several. */
apr_status_t csq_realm_only(csq *q, apr_pool_t *pool, const char **out_realm);

/* ---- names, ids, cursors: pure functions ----------------------------- */

#define CSQ_APP_MAX     64   /* bytes */
#define CSQ_CLIENT_MAX  255  /* bytes */
#define CSQ_REALM_MAX   255  /* bytes */
#define CSQ_DEVICE_MAX  32   /* bytes */
#define CSQ_SENDER_MAX  255  /* bytes; longer ones are refused, BAD_NAME      */
#define CSQ_TYPE_MAX    255  /* bytes of a Content-Type; longer: BAD_NAME     */
#define CSQ_ID_BYTES    16
#define CSQ_ID_TEXT     22   /* base64url without padding, without the NUL   */
#define CSQ_CURSOR_TEXT 40   /* buffer for a cursor, NUL included            */

/** @return APR_SUCCESS or CSQ_BAD_NAME. App: [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
 *  Device: the same alphabet, up to 32. Client: 1..255 bytes of UTF-8 without
 *  control characters and `/`, never `-`, `.` or `..`. */
apr_status_t csq_app_check(const char *name, apr_size_t len);
apr_status_t csq_device_check(const char *name, apr_size_t len);
apr_status_t csq_client_check(const char *name, apr_size_t len);

/** Senders and types: UTF-8 without control characters, of any length.
 *  @return APR_SUCCESS or CSQ_BAD_NAME. */
apr_status_t csq_text_check(const char *text, apr_size_t len);

void csq_id_format(const unsigned char id[CSQ_ID_BYTES], char out[CSQ_ID_TEXT + 1]);

#define CSQ_NUMBER_TEXT 20   /* digits of the largest number                 */

/** Decimal digits, no NUL. @return how many. */
apr_size_t csq_number_format(apr_uint64_t value, char out[CSQ_NUMBER_TEXT]);

typedef struct csq_cursor {
    apr_uint64_t epoch;
    apr_uint64_t sequence;
} csq_cursor;

/** Text form: 16 hex digits, '-', decimal sequence. Strict.
 *  @return APR_SUCCESS or CSQ_BAD_CURSOR. */
apr_status_t csq_cursor_parse(const char *text, apr_size_t len, csq_cursor *out_cursor);
void csq_cursor_format(const csq_cursor *cursor, char out[CSQ_CURSOR_TEXT]);

/* ---- payloads: pure functions ---------------------------------------- */

/* How a body travels in the protocol's `data` member. The queue keeps it in
 * that form ("wire value"), so that delivery copies and never encodes.      */
typedef enum {
    CSQ_JSON,   /* application/json, +json: the body itself, CR LF -> space   */
    CSQ_TEXT,   /* valid UTF-8 without NUL: a quoted JSON string             */
    CSQ_BINARY  /* the rest: base64 in quotes                                */
} csq_encoding;

/**
 * Turn a body into its wire value.
 * @param type  the Content-Type as given, or NULL
 * @param out_data  in `pool`, or `body` itself where nothing changes
 * @return APR_SUCCESS; CSQ_BAD_JSON: JSON type, but not UTF-8, empty, not
 *         well-formed, or nested deeper than 64.
 */
apr_status_t csq_payload_encode(const char *type, const char *body, apr_size_t len,
                                apr_pool_t *pool, csq_encoding *out_encoding,
                                const char **out_data, apr_size_t *out_len);

/* ---- publishing ------------------------------------------------------ */

/** Names one queue. Strings end with NUL and are only read. */
typedef struct csq_key {
    const char *realm;
    const char *client;
} csq_key;

typedef struct csq_message {
    const char *app;        /* checked by csq_app_check                       */
    const char *sender;     /* who published, 1..CSQ_SENDER_MAX bytes of text */
    const char *type;       /* Content-Type, text; NULL: none given           */
    csq_encoding encoding;
    apr_time_t time;        /* when it was published; kept in milliseconds    */
    apr_time_t expires;     /* when it goes unread; the same                  */
    const char *data;       /* wire value                                     */
    apr_size_t len;         /* bytes of it                                    */
} csq_message;

#define CSQ_RECEIVERS_MAX 128 /* of one csq_append()                          */

/**
 * Queue one message for one or several clients, all or none. Queues that do
 * not exist are created. A key given twice counts once. Wakes who waits.
 * @param refused  n statuses, set for every key when several were given and
 *                 one was refused; NULL allowed when n is 1
 * @param n        1..CSQ_RECEIVERS_MAX, else APR_EINVAL
 * @param out_id   the id drawn for the message; NULL allowed
 * @return APR_SUCCESS: it is queued and will outlive this process;
 *         n == 1: CSQ_QUEUE_FULL, CSQ_CLIENTS_FULL; n > 1: CSQ_REFUSED;
 *         either: CSQ_SEGMENT_FULL, CSQ_TOO_LARGE, CSQ_BAD_NAME, CSQ_BUSY,
 *         CSQ_CLOSED, CSQ_NO_SERVER (handles that attached), CSQ_DAMAGED.
 *         Nothing is queued then.
 * CSQ_TOO_LARGE: the wire value is longer than csq_value_max(), or the body is
 * longer than max_message, as far as the wire value tells: a text may be
 * shorter than it looks. Callers that have the body check its length
 * themselves.
 */
apr_status_t csq_append(csq *q, const csq_message *message, const csq_key *to, int n,
                        apr_time_t now, apr_status_t *refused,
                        unsigned char out_id[CSQ_ID_BYTES]);

/** Bytes of the longest wire value that fits into a queue and the segment. */
apr_size_t csq_value_max(csq *q);

/* ---- fetching -------------------------------------------------------- */

/* What a cursor means:
 *  - None, or epoch 0 and sequence 0 (what a fetch of an unknown client gives
 *    out): from the oldest, no gap.
 *  - The epoch of the queue and a sequence that was handed out: from there.
 *  - An epoch that this segment drew for this client earlier: the queue was
 *    forgotten since, which happens only when it is empty and has no gap to
 *    tell (or none that matters: all that was dropped would have expired by
 *    now). Nothing is missing: from the oldest, nothing removed, no gap. The
 *    epoch itself shows that it was drawn here, so nothing is kept for it.
 *  - Anything else is foreign, for example of a segment that was lost: from
 *    the oldest, nothing removed, with a gap of unknown contents. It is told
 *    until a cursor comes that was handed out with it.
 * A gap of dropped messages stands at the sequence of the last one dropped.
 * It is told to a cursor before that, and acknowledged by one at or behind
 * it: such a cursor was handed out with the gap or with the messages.        */

/* Who waits on a queue: made by csq_waiter_make() from a slot (one a server
 * process) and a number the process chose. 0: nobody.                       */
typedef apr_uint64_t csq_waiter;

typedef struct csq_fetch {
    const csq_cursor *after;  /* exclusive; NULL: from the oldest kept        */
    apr_uint32_t max_messages;/* 0: read nothing and tell no gap: CSQ_EMPTY   */
    apr_size_t max_bytes;     /* payload bytes; a larger single one still goes*/
    csq_waiter waiter;        /* registered if there is nothing; 0: do not    */
    unsigned acknowledge : 1; /* first remove everything up to `after`        */
    unsigned resume : 1;      /* `waiter` was registered by an earlier call   */
    unsigned stay : 1;        /* register `waiter` also when there is
                                 something: it goes on reading                */
    unsigned peek : 1;        /* change nothing at all, not even "handed out";
                                 the cursor is the one handed out last        */
} csq_fetch;

/* One message in a batch. Strings and data lie in the batch's own memory and
 * stay until the batch is used again.                                       */
typedef struct csq_view {
    unsigned char id[CSQ_ID_BYTES];
    apr_uint64_t sequence;
    apr_time_t time;
    apr_time_t expires;
    csq_encoding encoding;
    const char *app;
    const char *sender;
    const char *type;         /* NULL: none                                   */
    const char *data;         /* wire value                                   */
    apr_size_t len;
} csq_view;

typedef struct csq_gap {
    const char *app;
    apr_uint64_t count;       /* messages of this app that went unread        */
} csq_gap;

/* What a fetch found. Reused from call to call so that a fetch allocates
 * nothing once it has grown. One thread at a time.                          */
typedef struct csq_batch csq_batch;

/** @return never NULL; aborts the process when there is no memory. */
csq_batch *csq_batch_create(void);
void csq_batch_destroy(csq_batch *batch);

/** Where the client stands after this fetch. */
csq_cursor csq_batch_cursor(const csq_batch *batch);
/** Messages in it. */
apr_uint32_t csq_batch_count(const csq_batch *batch);
/** Sum of csq_view.len. */
apr_size_t csq_batch_bytes(const csq_batch *batch);
/** The i-th message, oldest first, i < count. */
const csq_view *csq_batch_get(const csq_batch *batch, apr_uint32_t i);
/** More messages are queued behind the last one of this batch. */
int csq_batch_more(const csq_batch *batch);
/** There is a gap to report; the list may be empty, which means that nobody
 *  knows what is missing. *out_n entries, in the batch's memory. */
int csq_batch_gap(const csq_batch *batch, const csq_gap **out_gaps, apr_uint32_t *out_n);

/**
 * Acknowledge, read and start waiting, in one step under one lock.
 * Creates the queue if it is not known and a waiter is given. An unknown
 * epoch, or a sequence beyond the last handed out, removes nothing and reads
 * from the oldest with a gap.
 * @return APR_SUCCESS: the batch has messages or a gap, nobody was registered
 *         (a registered `waiter` was taken off) unless `stay` says so;
 *         CSQ_EMPTY: nothing there; `waiter`, if given, is registered now,
 *         an older one was replaced and woken. The cursor is set;
 *         CSQ_REPLACED: `resume` was set and another waits in its place;
 *         CSQ_CLIENTS_FULL, CSQ_SEGMENT_FULL (creating the queue), CSQ_BUSY,
 *         CSQ_CLOSED, CSQ_BAD_NAME, CSQ_DAMAGED.
 */
apr_status_t csq_fetch_batch(csq *q, const csq_key *key, const csq_fetch *fetch,
                             apr_time_t now, csq_batch *batch);

/** Stop waiting. Harmless when another took over.
 *  @return APR_SUCCESS, CSQ_REPLACED, CSQ_BUSY, CSQ_CLOSED. */
apr_status_t csq_waiter_remove(csq *q, const csq_key *key, csq_waiter waiter);

/* ---- doorbells: one a server process --------------------------------- */

/* A slot is held by one process for life. Appends to a queue on which one of
 * its waiters is registered put the waiter's number on the slot's list and,
 * while the process listens, make the doorbell's descriptor readable. So a
 * process goes round like this:
 *
 *     csq_slot_listen(); csq_slot_take(); wait; csq_slot_mute(); work
 *
 * and may csq_slot_take() at any time. Nobody pays for a system call to wake
 * one that is awake.                                                        */
typedef struct csq_slot csq_slot;

/**
 * Claim a free slot (or that of a process that died) and open its doorbell.
 * Once in a process, after the fork; `pool` gives it back. It listens.
 * @return APR_SUCCESS, CSQ_NO_SLOT, CSQ_CLOSED, else APR's own.
 */
apr_status_t csq_slot_claim(csq *q, apr_pool_t *pool, csq_slot **out_slot);

/** Readable (poll, epoll) when someone rang. Non-blocking, close-on-exec. */
int csq_slot_descriptor(const csq_slot *slot);

/** The waiter that `number` stands for; never 0. */
csq_waiter csq_waiter_make(const csq_slot *slot, apr_uint32_t number);

/** From now on the next ring makes the descriptor readable. Before it waits
 *  the process takes from the list once more: what was put there before this
 *  call may have made nothing readable. One thread at a time, as for the two
 *  that follow. */
void csq_slot_listen(csq_slot *slot);

/** Until csq_slot_listen() nobody need ring.
 *  @param readable  the descriptor was found readable: it is emptied */
void csq_slot_mute(csq_slot *slot, int readable);

/**
 * Take what was put on the list since the last call. Call it once a second
 * even if the descriptor is silent: a process may have died between the list
 * and the doorbell. Numbers that the caller does not know are to be ignored.
 * @param out_all  set when the list overflowed: look at all your waiters
 * @return numbers written to `out_numbers`; equal to max: call again.
 */
int csq_slot_take(csq_slot *slot, apr_uint32_t *out_numbers, int max, int *out_all);

/** Tell the others how many requests this process holds (for csq_stats). */
void csq_slot_waiting_set(csq_slot *slot, apr_uint32_t waiting);

/* ---- upkeep and numbers ---------------------------------------------- */

/**
 * Remove what has expired: messages, then clients whose queue was empty for
 * client_expiry. Cheap when nothing is due; any process, once a second.
 * @param budget  entries to look at, at most
 * @return APR_SUCCESS: all done; APR_INCOMPLETE: more is due; CSQ_BUSY.
 */
apr_status_t csq_expire(csq *q, apr_time_t now, unsigned budget);

typedef struct csq_client_info {
    apr_uint64_t queued;      /* messages                                     */
    apr_uint64_t bytes;       /* of payload                                   */
    apr_time_t oldest;        /* time of the oldest message, 0: none          */
    apr_time_t last_seen;     /* last fetch, 0: never                         */
    int waiting;              /* a poll is held now                           */
} csq_client_info;

/** @return APR_SUCCESS; CSQ_EMPTY: not known (all zero); CSQ_BUSY, CSQ_CLOSED. */
apr_status_t csq_client_info_get(csq *q, const csq_key *key, csq_client_info *out_info);

/* Counters that the module keeps in the segment so that all processes share
 * them; csq gives them no meaning.                                          */
#define CSQ_COUNTERS 64
void csq_counter_add(csq *q, unsigned index, apr_uint64_t value);

typedef struct csq_stats {
    apr_uint64_t clients;        /* queues                                    */
    apr_uint64_t waiting;        /* requests held by all processes            */
    apr_uint64_t queued;         /* messages linked into queues               */
    apr_uint64_t bytes;          /* their payload, each stored message once   */
    apr_uint64_t segment_size;   /* bytes usable                              */
    apr_uint64_t segment_used;   /* bytes in use                              */
    apr_uint64_t segment_highest;/* most bytes ever in use                    */
    apr_uint64_t published;      /* messages accepted, since the segment began*/
    apr_uint64_t handed_out;     /* given to a client, repeats counted        */
    apr_uint64_t acknowledged;
    apr_uint64_t expired;
    apr_uint64_t dropped;        /* by CSQ_OVERFLOW_DROP_OLDEST               */
    apr_uint64_t repairs;        /* times a dead process was cleaned up after */
    apr_uint64_t counters[CSQ_COUNTERS];
} csq_stats;

/** A snapshot; numbers may be a moment apart. Takes no lock. */
void csq_stats_get(csq *q, csq_stats *out_stats);

/**
 * Check every invariant of csq_layout.h under all locks. For tests, tools and
 * developer builds: it visits the whole segment.
 * @param out_problem  first violation found, in `pool`; NULL allowed
 * @return APR_SUCCESS, CSQ_DAMAGED, CSQ_BUSY.
 */
apr_status_t csq_audit(csq *q, apr_pool_t *pool, const char **out_problem);

#ifdef __cplusplus
}
#endif
#endif
