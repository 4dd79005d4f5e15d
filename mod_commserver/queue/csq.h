/* SPDX-License-Identifier: Apache-2.0
 * csq.h - the queue core: one queue per client in one shared segment.
 *
 * The only header of this folder that others include. libc and APR only; no
 * httpd. The module, the writer and the tests reach the queues through it
 * and through nothing else, so that another store can stand behind it.
 *
 * Ideas needed to read it:
 *  - A queue belongs to a device of a client (csq_key) and to no process. Any
 *    process that can map the segment can append, fetch and acknowledge. A
 *    device is known once it has fetched; a message to the client goes to each
 *    known device, and waits for the first while there is none.
 *  - A message is stored once, however many queues it is linked into.
 *  - Sequences grow within a queue; a cursor is (epoch, sequence) and is
 *    exclusive: what follows it has a greater sequence. The epoch is 64
 *    random bits, drawn when the queue is created. A client that asks for
 *    urgent messages only stands at different places for different urgencies;
 *    its cursor says so.
 *  - Wake-ups are hints. A waiter always fetches again; a lost or a doubled
 *    hint costs time, never a message.
 *  - A process may die at any instruction (SIGKILL). The next one that takes
 *    the lock repairs first; see csq_layout.h. Every function that returns a
 *    status may return CSQ_NO_MEMORY where this machine has none for that.
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
    X(NO_MEMORY,    15, "not enough memory on this machine")                  \
    X(BAD_NAME,     16, "a name is not allowed")                              \
    X(BAD_JSON,     17, "the body is not well-formed JSON")                   \
    X(BAD_CURSOR,   18, "the cursor is malformed")                            \
    X(NO_REALM,     19, "the segment serves several realms: name one")        \
    X(DEVICES_FULL, 20, "the client has as many devices as allowed")          \
    X(FINISHED,     21, "the message is in no queue any more")                \
    X(RUNNING,      22, "a request with the same key is being worked on")     \
    X(OTHER_BODY,   23, "the key was used for another body")                  \
    X(REPEATED,     24, "a request with the same key was answered before")

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
    apr_uint32_t max_clients;      /* known at the same time                 */
    apr_uint32_t default_ttl;      /* seconds, for writers that give none    */
    apr_uint32_t max_ttl;          /* seconds, longer ones are clamped       */
    apr_uint32_t client_expiry;    /* seconds an empty queue is remembered   */
    apr_uint32_t device_expiry;    /* seconds an unseen device is kept       */
    apr_uint32_t max_devices;      /* of one client, up to CSQ_DEVICES_MAX   */
    csq_overflow overflow;
} csq_limits;

/* ---- the segment ----------------------------------------------------- */

typedef struct csq csq;

#define CSQ_SLOTS_MAX 4096

/* What a server asks for when it starts. */
typedef struct csq_plan {
    const char *path;         /* name of the segment: the shm name is derived
                                 from it, and the lock file and doorbells lie at
                                 path.lock, path.bell.N                      */
    const char *aside;        /* file for a segment that cannot be used; NULL:
                                 path.damaged                                */
    const char *state;        /* file of csq_save() to begin with, if it is
                                 there; NULL: none                           */
    apr_size_t size;          /* bytes of the whole segment                  */
    unsigned slots;           /* server processes that may wait at the same
                                 time, up to CSQ_SLOTS_MAX; each takes 33 KB
                                 of the segment                              */
    const csq_limits *limits;
} csq_plan;

typedef enum {
    CSQ_BEGUN_NEW,            /* there was none                              */
    CSQ_BEGUN_TAKEN_OVER,     /* one that a server left behind goes on       */
    CSQ_BEGUN_SET_ASIDE       /* there was one, but it cannot be used        */
} csq_beginning;

/* What csq_start() found and did. */
typedef struct csq_outcome {
    csq_beginning beginning;
    apr_size_t size;          /* of the segment now, see csq_start()         */
    unsigned slots;
    apr_uint64_t clients;     /* taken over or restored                      */
    apr_uint64_t messages;    /* of them, linked into queues                 */
    int mended;               /* taken over: something was damaged; the clients
                                 concerned hear of a gap                     */
    apr_status_t reason;      /* set aside: CSQ_LAYOUT; CSQ_DAMAGED;
                                 CSQ_NO_SERVER: its lock file is gone, so that
                                 nobody knows whether a server still uses it;
                                 else APR's own                              */
    const char *problem;      /* set aside: what is wrong in it, NULL: the
                                 reason says it all                          */
    const char *aside;        /* set aside: the file with its bytes          */
    apr_status_t copied;      /* set aside: why they are not there           */
    int complete;             /* set aside: the state has all that was in it */
    unsigned char saved_as[16]; /* set aside: id of the state it went into   */

    int restored;             /* from the state, with so many clients, messages*/
    apr_status_t state_reason;/* why the state was set aside: CSQ_DAMAGED: it
                                 was restored up to a damaged place (or, not
                                 restored, nothing in it can be read); clients
                                 behind that hear of a gap; CSQ_SEGMENT_FULL:
                                 up to where there was room; CSQ_LAYOUT: of
                                 another version; CSQ_IN_USE: a segment was
                                 there that goes on without it; else APR's   */
    const char *state_problem;
    const char *state_aside;  /* where it is now; NULL: it was not set aside */
    apr_status_t state_kept;  /* why it is not                               */
} csq_outcome;

/**
 * Start as server on a segment: take over the one that a server of before has
 * left behind because it was killed, or make one. For the server's parent
 * only, before it forks. Takes the server lock (an exclusive
 * open-file-description lock on `path`.lock) for as long as `pool` lives;
 * children inherit it, so while one of them lives the segment is in use.
 * Taking over repairs what a death can leave; cursors stay valid, limits are
 * those of the plan. What cannot be used is copied into the plan's file for
 * it, which is replaced, and never stands in the way. What only cannot be read
 * now, for want of memory, descriptors or room, is left as it is for the next
 * start: this one fails. A new segment begins
 * with the saved state, if there is one; it is restored once and removed. If
 * it does not fit into the size wanted the segment is made larger. With a
 * state file one that is taken over gets the size and slots of the plan, too.
 * Reserves all pages of a new segment at once. Memory and files belong to the
 * caller's effective user and only that user may use them; the folder of `path`
 * must be writable for it, since doorbells are made there.
 * @param pool   when the process that called destroys it, the segment is
 *               closed and unlinked, and doorbells and lock file go; a child
 *               that inherited it changes nothing
 * @param out_outcome  strings are in `pool`; NULL allowed
 * @return APR_SUCCESS; CSQ_IN_USE: another server, or a process of a dead one,
 *         holds the lock for a second (csq_holders() says which);
 *         CSQ_NO_MEMORY: /dev/shm or memory cannot hold size bytes;
 *         APR_EINVAL: size too small for the tables, a limit is 0, or slots
 *         out of range; CSQ_BUSY: others attach without end; else APR's own.
 */
apr_status_t csq_start(const csq_plan *plan, apr_pool_t *pool, csq_outcome *out_outcome,
                       csq **out_q);

/** csq_start() for who does not ask what was there before. */
apr_status_t csq_create(const char *path, apr_size_t size, unsigned slots,
                        const csq_limits *limits, apr_pool_t *pool, csq **out_q);

/**
 * Processes that hold the server lock of a segment, as far as the caller may
 * look into them (root may). For messages to people.
 * @return how many were found; at most `max` are written
 */
int csq_holders(const char *path, apr_uint32_t *out_processes, int max);

/**
 * Attach to a segment that a running server made (writers, tools).
 * @return APR_SUCCESS; CSQ_NO_SERVER: there is none, or its server is gone;
 *         CSQ_BUSY: it is being made just now; CSQ_LAYOUT; CSQ_DAMAGED;
 *         APR_EACCES: not permitted; else APR's own.
 */
apr_status_t csq_attach(const char *path, apr_pool_t *pool, csq **out_q);

/**
 * Save all that is in the segment, for the next csq_start(), and close it.
 * Parent only, once the children are gone. The file is replaced in one step
 * and is on the disk then; it is for the effective user alone.
 * @param path  of the file; path.new is used meanwhile
 * @return APR_SUCCESS; CSQ_BUSY: a process holds a lock for seconds;
 *         CSQ_DAMAGED: it needs a repair first; else APR's own. Nothing has
 *         changed then, but that it is closed: see csq_keep().
 */
apr_status_t csq_save(csq *q, const char *path);

/** Leave memory and lock file when the pool is destroyed: the next csq_start()
 *  takes them over. */
void csq_keep(csq *q);

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
#define CSQ_GROUP_MAX   64   /* bytes */
#define CSQ_TOPIC_MAX   32   /* bytes                                        */
#define CSQ_SENDER_MAX  255  /* bytes; longer ones are refused, BAD_NAME      */
#define CSQ_TYPE_MAX    255  /* bytes of a Content-Type; longer: BAD_NAME     */
#define CSQ_ID_BYTES    16
#define CSQ_ID_TEXT     22   /* base64url without padding, without the NUL   */
#define CSQ_CURSOR_TEXT 104  /* buffer for a cursor, NUL included            */

/** @return APR_SUCCESS or CSQ_BAD_NAME. App: [A-Za-z0-9][A-Za-z0-9._-]{0,63}.
 *  Device: the same alphabet, up to 32. Client: 1..255 bytes of UTF-8 without
 *  control characters and `/`, never `-`, `.` or `..`. */
apr_status_t csq_app_check(const char *name, apr_size_t len);
apr_status_t csq_device_check(const char *name, apr_size_t len);
apr_status_t csq_client_check(const char *name, apr_size_t len);
/** Topic (RFC 8030 5.4): 1..32 of the base64url alphabet. */
apr_status_t csq_topic_check(const char *name, apr_size_t len);

/** Senders and types: UTF-8 without control characters, of any length.
 *  @return APR_SUCCESS or CSQ_BAD_NAME. */
apr_status_t csq_text_check(const char *text, apr_size_t len);

void csq_id_format(const unsigned char id[CSQ_ID_BYTES], char out[CSQ_ID_TEXT + 1]);
/** The one text of an id, and no other. @return APR_SUCCESS or CSQ_BAD_NAME */
apr_status_t csq_id_parse(const char *text, apr_size_t len,
                          unsigned char out_id[CSQ_ID_BYTES]);

#define CSQ_NUMBER_TEXT 20   /* digits of the largest number                 */

/** Decimal digits, no NUL. @return how many. */
apr_size_t csq_number_format(apr_uint64_t value, char out[CSQ_NUMBER_TEXT]);

/* Urgency (RFC 8030 5.3). */
typedef enum {
    CSQ_VERY_LOW,
    CSQ_LOW,
    CSQ_NORMAL,
    CSQ_HIGH
} csq_urgency;

/* Where a client stands. Messages of an urgency that it did not ask for stay
 * behind: of urgency u all up to sequence - behind[u] are done with. All 0:
 * the client asked for everything.                                          */
typedef struct csq_cursor {
    apr_uint64_t epoch;
    apr_uint64_t sequence;
    apr_uint64_t behind[CSQ_HIGH];
} csq_cursor;

/** Text form: 16 hex digits, '-', decimal sequence; where something is behind
 *  also '.' and behind[] of normal, low and very-low, separated by '.'. Strict.
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

/** Names a client or one of its queues. Strings end with NUL, are only read. */
typedef struct csq_key {
    const char *realm;
    const char *client;
    const char *device;     /* NULL: when publishing all devices that are known,
                               else the device with the empty name            */
} csq_key;

/**
 * Take a receiver apart: {client} or {client}/{device}. A pure function.
 * @param buffer   for the client's name where a device is named
 * @param out_key  points into text and buffer; the realm is NULL
 * @return APR_SUCCESS or CSQ_BAD_NAME.
 */
apr_status_t csq_key_parse(const char *text, char buffer[CSQ_CLIENT_MAX + 1],
                           csq_key *out_key);

typedef struct csq_message {
    const char *realm;      /* of the sender and of all receivers             */
    const char *app;        /* checked by csq_app_check                       */
    const char *sender;     /* who published, 1..CSQ_SENDER_MAX bytes of text */
    const char *type;       /* Content-Type, text; NULL: none given           */
    const char *topic;      /* takes the place of what the same sender's app
                               has in a queue under it; NULL: none            */
    csq_encoding encoding;
    csq_urgency urgency;
    apr_time_t time;        /* when it was published; kept in milliseconds    */
    apr_time_t expires;     /* when it goes unread; the same. Not after `time`:
                               only for who waits now or was here in the last
                               CSQ_RECENT seconds                             */
    const char *data;       /* wire value                                     */
    apr_size_t len;         /* bytes of it                                    */
    const unsigned char *id;/* NULL: one is drawn                             */
    const struct csq_digest *repeat; /* csq_append_group(): the key that
                               csq_repeat_begin() gave the id for; NULL: none */
    unsigned receipt : 1;   /* remember until it expires what became of it, and
                               tell receivers that the sender wants to hear of
                               the application's acknowledgement              */
    unsigned lenient : 1;   /* to several: queue for those where it can be    */
} csq_message;

#define CSQ_RECENT        5   /* seconds                                      */
#define CSQ_NOW_LIFE      10  /* seconds that a message for now lives         */
#define CSQ_RECEIVERS_MAX 128 /* of one csq_append()                          */
#define CSQ_DEVICES_MAX   64

/* What a publish came to. */
typedef struct csq_appended {
    unsigned char id[CSQ_ID_BYTES];
    apr_uint32_t queues;    /* it was linked into                             */
    apr_uint32_t receivers; /* clients (or devices, where named) it was queued
                               for; those it was for now and who were not there
                               are not counted                                */
    apr_uint32_t refused;   /* for whom it was not                            */
    unsigned resumed : 1;   /* some had it from one who died: the counts are of
                               the rest                                       */
} csq_appended;

/**
 * Queue one message for one or several clients or devices, all or none unless
 * `lenient`. Queues that do not exist are created. A receiver given twice
 * counts once. Wakes who waits. Copies for several devices of a client are
 * never refused: a queue that is full drops its oldest.
 * @param refused  n statuses, set for every key when one was refused: why, or
 *                 APR_SUCCESS; NULL allowed
 * @param n        1..CSQ_RECEIVERS_MAX, else APR_EINVAL
 * @param out      NULL allowed
 * @return APR_SUCCESS: it is queued and will outlive this process (for nobody
 *         if out->queues is 0: a message for now, or all refused leniently);
 *         n == 1: CSQ_QUEUE_FULL, CSQ_CLIENTS_FULL, CSQ_DEVICES_FULL;
 *         n > 1: CSQ_REFUSED;
 *         either: CSQ_SEGMENT_FULL, CSQ_TOO_LARGE, CSQ_BAD_NAME, CSQ_BUSY,
 *         CSQ_CLOSED, CSQ_NO_SERVER (handles that attached), CSQ_DAMAGED,
 *         CSQ_NO_MEMORY. Nothing is queued then.
 * CSQ_TOO_LARGE: the wire value is longer than csq_value_max(), or the body is
 * longer than max_message, as far as the wire value tells: a text may be
 * shorter than it looks. Callers that have the body check its length
 * themselves.
 */
apr_status_t csq_append(csq *q, const csq_message *message, const csq_key *to, int n,
                        apr_time_t now, apr_status_t *refused, csq_appended *out);

/* Told of each client for whom a message to many was not queued; client "":
 * of all that come after, for example since the segment is busy. Under locks:
 * it must only take a note.                                                 */
typedef void csq_refused_fn(void *baton, const char *client, apr_status_t status);

/**
 * Queue one message for the members of a group, or (group NULL) for every
 * client of the realm that is known, leniently. The locks are passed on from
 * shard to shard: a process that is killed on the way has queued it for some.
 * With message->repeat the next one who begins with that key queues it for the
 * rest, and for nobody twice.
 * @param each  NULL allowed
 * @return as csq_append(); nobody there: APR_SUCCESS with out->queues 0.
 *         Once it was queued for anybody it is APR_SUCCESS.
 */
apr_status_t csq_append_group(csq *q, const csq_message *message, const char *group,
                              apr_time_t now, csq_refused_fn *each, void *baton,
                              csq_appended *out);

/**
 * Add a client to a group of an application, or take it out. Groups are there
 * while they have members. A member is known as long as it is one.
 * @param group  as csq_app_check
 * @param out_changed  0: it was in (or out) before
 * @return APR_SUCCESS, CSQ_BAD_NAME, CSQ_CLIENTS_FULL, CSQ_SEGMENT_FULL,
 *         CSQ_BUSY, CSQ_CLOSED, CSQ_NO_SERVER, CSQ_DAMAGED.
 */
apr_status_t csq_group_add(csq *q, const csq_key *client, const char *app,
                           const char *group, apr_time_t now, int *out_changed);
apr_status_t csq_group_remove(csq *q, const csq_key *client, const char *app,
                              const char *group, apr_time_t now, int *out_changed);

/** Bytes of the longest wire value that fits into a queue and the segment. */
apr_size_t csq_value_max(csq *q);

/* Who waits on a queue: made by csq_waiter_make() from a slot (one a server
 * process) and a number the process chose. 0: nobody.                       */
typedef apr_uint64_t csq_waiter;

/* ---- what became of a message ---------------------------------------- */

/* Of one receiver; the least of several that are still open counts, else the
 * best. doc/protocol.md has the table.                                      */
typedef enum {
    CSQ_STATE_QUEUED,
    CSQ_STATE_HANDED_OUT,
    CSQ_STATE_RECEIVED,     /* the client's agent has it                      */
    CSQ_STATE_ACKNOWLEDGED, /* the application has it; reported for messages
                               with a receipt only                            */
    CSQ_STATE_EXPIRED,
    CSQ_STATE_REPLACED,
    CSQ_STATE_WITHDRAWN,
    CSQ_STATE_DROPPED,
    CSQ_STATES
} csq_state;

typedef struct csq_message_info {
    csq_state state;
    int handed;               /* was handed out to one at least               */
    apr_uint32_t queues;      /* it was linked into                           */
    apr_uint32_t counts[CSQ_STATES]; /* of them; complete for messages with a
                                 receipt, else of those still in a queue      */
    apr_uint32_t changes;     /* differs whenever the rest has changed        */
    int waiting;              /* the waiter is registered                     */
} csq_message_info;

/* Names a message of an application. */
typedef struct csq_message_key {
    const char *realm;
    const char *app;
    const char *sender;       /* NULL: whoever sent it                        */
    unsigned char id[CSQ_ID_BYTES];
} csq_message_key;

/**
 * What became of a message. Messages without a receipt are remembered for some
 * time after they are gone, as long as there is room.
 * @param waiter  0, or who is rung at the next change: registered if
 *                `changes` is that of out_info, and out_info->waiting is 1 then;
 *                an older one is rung and replaced. Makes a receipt for the
 *                message; what is in no queue any more does not change
 * @param changes what the caller knows; NULL: nothing, so it is answered now
 * @return APR_SUCCESS; CSQ_EMPTY: it is not known, or not of this application
 *         or sender; CSQ_SEGMENT_FULL (no room for a receipt), CSQ_BUSY,
 *         CSQ_CLOSED, CSQ_DAMAGED.
 */
apr_status_t csq_message_get(csq *q, const csq_message_key *key, csq_waiter waiter,
                             const apr_uint32_t *changes, csq_message_info *out_info);
/** Stop waiting for it. APR_SUCCESS, CSQ_REPLACED, CSQ_BUSY, CSQ_CLOSED. */
apr_status_t csq_message_unwait(csq *q, const csq_message_key *key, csq_waiter waiter);

/**
 * Take a message out of all queues where it still is.
 * @param out_info  as it is afterwards
 * @return APR_SUCCESS: it was in one at least; CSQ_FINISHED: it was in none any
 *         more, out_info says why; CSQ_EMPTY: not known; CSQ_BUSY, CSQ_CLOSED,
 *         CSQ_DAMAGED.
 */
apr_status_t csq_message_withdraw(csq *q, const csq_message_key *key,
                                  csq_message_info *out_info);

/**
 * An application has acknowledged these messages. Those that are unknown or
 * were published without a receipt are passed over: who knows an id has had
 * the message.
 * @return APR_SUCCESS, CSQ_BUSY, CSQ_CLOSED, CSQ_DAMAGED.
 */
apr_status_t csq_message_acknowledged(csq *q, const char *realm,
                                      const unsigned char (*ids)[CSQ_ID_BYTES], int n);

/* ---- idempotency ------------------------------------------------------ */

#define CSQ_DIGEST_BYTES 16
#define CSQ_ANSWER_MAX   16384 /* bytes of an answer that is kept             */

typedef struct csq_digest {
    unsigned char bytes[CSQ_DIGEST_BYTES];
} csq_digest;

/** Keyed digest of n strings, each with its length. */
csq_digest csq_digest_make(csq *q, const char *const *strings, const apr_size_t *lengths,
                           int n);

/**
 * Begin a request that must have its effect once.
 * @param owner   a waiter of the caller's slot: who is dead is at it no more
 * @param window  how long it is remembered
 * @param out_id  the id that the message has, or must be published with
 * @param answer  buffer of *len bytes; *len becomes what was kept. 0: the one
 *                who was at it died before it could be kept, but the message
 *                was queued
 * @return APR_SUCCESS: it is new, or has reached some of many: it is to be
 *         published, then csq_repeat_finish() or csq_repeat_forget() is due;
 *         CSQ_REPEATED; CSQ_RUNNING; CSQ_OTHER_BODY;
 *         CSQ_SEGMENT_FULL, CSQ_BUSY, CSQ_CLOSED, CSQ_DAMAGED, APR_ENOSPC (the
 *         buffer is too small).
 */
apr_status_t csq_repeat_begin(csq *q, const csq_digest *key, const csq_digest *body,
                              csq_waiter owner, apr_interval_time_t window,
                              apr_time_t now, unsigned char out_id[CSQ_ID_BYTES],
                              char *answer, apr_size_t *len);
/** Keep the answer, up to CSQ_ANSWER_MAX bytes. APR_SUCCESS, CSQ_EMPTY (it is
 *  not known), CSQ_SEGMENT_FULL (kept without an answer), CSQ_BUSY, CSQ_CLOSED. */
apr_status_t csq_repeat_finish(csq *q, const csq_digest *key, const char *answer,
                               apr_size_t len);
/** It had no effect. What has reached some of many all the same is kept, for who
 *  comes next with the key. As csq_repeat_finish(). */
apr_status_t csq_repeat_forget(csq *q, const csq_digest *key);

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

typedef struct csq_fetch {
    const csq_cursor *after;  /* exclusive; NULL: from the oldest kept        */
    apr_uint32_t max_messages;/* 0: read nothing and tell no gap: CSQ_EMPTY   */
    apr_size_t max_bytes;     /* payload bytes; a larger single one still goes*/
    csq_waiter waiter;        /* registered if there is nothing; 0: do not    */
    csq_urgency urgency;      /* the least that is wanted                     */
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
    csq_cursor cursor;        /* where the client stands with it              */
    apr_time_t time;
    apr_time_t expires;
    csq_encoding encoding;
    csq_urgency urgency;
    int receipt;              /* the sender wants to hear of the application  */
    const char *app;
    const char *sender;
    const char *type;         /* NULL: none                                   */
    const char *topic;        /* NULL: none                                   */
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
 * Makes the device known, unless it only peeks. An unknown epoch, or a
 * sequence beyond the last handed out, removes nothing and reads from the
 * oldest with a gap. Acknowledging removes of each urgency what the cursor
 * says is done with.
 * @return APR_SUCCESS: the batch has messages or a gap, nobody was registered
 *         (a registered `waiter` was taken off) unless `stay` says so;
 *         CSQ_EMPTY: nothing there; `waiter`, if given, is registered now,
 *         an older one was replaced and woken. The cursor is set;
 *         CSQ_REPLACED: `resume` was set and another waits in its place;
 *         CSQ_CLIENTS_FULL, CSQ_DEVICES_FULL, CSQ_SEGMENT_FULL (making the
 *         device known), CSQ_BUSY, CSQ_CLOSED, CSQ_BAD_NAME, CSQ_DAMAGED.
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
    apr_uint32_t devices;     /* that are known                               */
} csq_client_info;

/** Of one device, or (device NULL) of all of the client: the sums, the oldest
 *  message, the latest time.
 *  @return APR_SUCCESS; CSQ_EMPTY: not known (all zero); CSQ_BUSY, CSQ_CLOSED. */
apr_status_t csq_client_info_get(csq *q, const csq_key *key, csq_client_info *out_info);

/* Counters that the module keeps in the segment so that all processes share
 * them; csq gives them no meaning.                                          */
#define CSQ_COUNTERS 64
void csq_counter_add(csq *q, unsigned index, apr_uint64_t value);

typedef struct csq_stats {
    apr_uint64_t clients;
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
