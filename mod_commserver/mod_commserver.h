/* SPDX-License-Identifier: Apache-2.0
 * mod_commserver.h - messages to clients, for other modules of the same httpd.
 *
 * A sibling module publishes without HTTP, asks what waits for a client, and
 * may refuse messages before they are queued. Nothing is linked: functions
 * are looked up by name and the hook is attached by name, so load order does
 * not matter and a server without mod_commserver just does not have them.
 *
 *   static APR_OPTIONAL_FN_TYPE(commserver_publish) *publish;
 *
 *   static void find_publish(void)
 *   {
 *       publish = APR_RETRIEVE_OPTIONAL_FN(commserver_publish);
 *   }
 *   static void register_hooks(apr_pool_t *p)
 *   {
 *       ap_hook_optional_fn_retrieve(find_publish, NULL, NULL, APR_HOOK_MIDDLE);
 *       APR_OPTIONAL_HOOK(commserver, message_check, my_check, NULL, NULL,
 *                         APR_HOOK_MIDDLE);
 *   }
 *
 * Functions may be called from any thread of a child, and from handlers that
 * run in mod_commserver's own event threads; they wait for nothing but a lock
 * of the queues, 50 ms at most. Before post_config has run, and in the
 * parent of a server that is stopping, they return COMMSERVER_CLOSED.
 */
#ifndef MOD_COMMSERVER_H
#define MOD_COMMSERVER_H

#include <httpd.h>
#include <apr_hooks.h>
#include <apr_optional.h>
#include <apr_optional_hooks.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when something is added; what is here never changes its meaning. A
 * module is compiled anew then: messages may have grown.                    */
#define COMMSERVER_API_VERSION 2

/* Functions of siblings are resolved at run time: nothing to import.        */
#define COMMSERVER_DECLARE(type) type

/* ---- statuses, since 1 ------------------------------------------------- */

#define COMMSERVER_STATUS_BASE (APR_OS_START_USERERR + 7100)

typedef enum commserver_status {
    COMMSERVER_EMPTY = COMMSERVER_STATUS_BASE + 1,     /* client not known, or
                                                          not there now        */
    COMMSERVER_QUEUE_FULL = COMMSERVER_STATUS_BASE + 2,
    COMMSERVER_SEGMENT_FULL = COMMSERVER_STATUS_BASE + 3,
    COMMSERVER_CLIENTS_FULL = COMMSERVER_STATUS_BASE + 4,
    COMMSERVER_TOO_LARGE = COMMSERVER_STATUS_BASE + 5,
    COMMSERVER_REFUSED = COMMSERVER_STATUS_BASE + 6,   /* look at each client  */
    COMMSERVER_BUSY = COMMSERVER_STATUS_BASE + 8,      /* try again            */
    COMMSERVER_CLOSED = COMMSERVER_STATUS_BASE + 9,    /* no queues, or no more */
    COMMSERVER_DAMAGED = COMMSERVER_STATUS_BASE + 11,
    COMMSERVER_BAD_NAME = COMMSERVER_STATUS_BASE + 16,
    COMMSERVER_BAD_JSON = COMMSERVER_STATUS_BASE + 17,
    /* since 2 */
    COMMSERVER_DEVICES_FULL = COMMSERVER_STATUS_BASE + 20
} commserver_status;

/* How much a message matters (RFC 8030), since 2. A client may ask for those
 * of high urgency only, say while it runs on battery.                       */
typedef enum commserver_urgency {
    COMMSERVER_VERY_LOW = -2,
    COMMSERVER_LOW = -1,
    COMMSERVER_NORMAL = 0,
    COMMSERVER_HIGH = 1
} commserver_urgency;

/* ---- a message, since 1 -------------------------------------------------- */

/* What is published. Strings and body are only read, and only during the
 * call. Set all members to 0 first: members may be added at the end.        */
typedef struct commserver_message {
    const char *app;      /* [A-Za-z0-9][A-Za-z0-9._-]{0,63}                 */
    const char *sender;   /* 1..255 bytes of UTF-8, told to the receiver;
                             not "local:...", which is for processes         */
    const char *type;     /* Content-Type; NULL: none                        */
    const char *body;     /* JSON when the type says so, text when it is
                             UTF-8 without NUL, else binary                  */
    apr_size_t len;       /* bytes of body                                   */
    apr_uint32_t ttl;     /* seconds to live; 0: CommServerTTL of the server;
                             longer than CommServerMaxTTL is clamped         */
    /* since 2 */
    const char *topic;    /* 1..32 of the base64url alphabet: the message takes
                             the place of what waits under the same app, sender
                             and topic; NULL: of none                        */
    commserver_urgency urgency;
    int receipt;          /* not 0: remember what becomes of it, and have the
                             application's acknowledgement reported          */
    int now;              /* not 0: only for who waits for messages now, or did
                             in the last seconds; ttl means nothing then     */
    int lenient;          /* not 0, to several: queue it for those for whom it
                             can be, instead of for all or none              */
    const char *group;    /* set for message_check, and else ignored: the
                             group whose members get it, NULL: none          */
    int everybody;        /* likewise: every client of the realm gets it     */
} commserver_message;

/* Text of a message's id, without the NUL.                                  */
#define COMMSERVER_ID_TEXT 22

/* ---- publishing, since 1 --------------------------------------------------- */

/**
 * Queue a message for one client: for each of its devices, or for the first to
 * come while there is none. The client's poll, wherever it is held, is answered
 * at once.
 * @param s       virtual host: its CommServerRealm is that of the client
 * @param client  1..255 bytes of UTF-8 without '/' and control characters; since
 *                2 also one of its devices: "alice/laptop"
 * @param p       for the time of the call
 * @param out_id  the id of the message, with a NUL; NULL allowed
 * @return APR_SUCCESS: queued; APR_EACCES: another module's message_check
 *         refused it; COMMSERVER_EMPTY: nobody is there, and it was for `now`;
 *         COMMSERVER_QUEUE_FULL, COMMSERVER_CLIENTS_FULL,
 *         COMMSERVER_DEVICES_FULL, COMMSERVER_SEGMENT_FULL,
 *         COMMSERVER_TOO_LARGE, COMMSERVER_BAD_NAME (the topic is a name, too),
 *         COMMSERVER_BAD_JSON, COMMSERVER_BUSY, COMMSERVER_CLOSED,
 *         COMMSERVER_DAMAGED, APR_EINVAL (the urgency). Nothing is queued then.
 */
APR_DECLARE_OPTIONAL_FN(apr_status_t, commserver_publish,
                        (server_rec *s, const commserver_message *message,
                         const char *client, apr_pool_t *p,
                         char out_id[COMMSERVER_ID_TEXT + 1]));

/**
 * Queue one message for several clients, all or none unless it is `lenient`. A
 * client given twice counts once.
 * @param refused  n statuses; set when the result is COMMSERVER_REFUSED, and
 *                 when a lenient message was queued: for each client why not,
 *                 or APR_SUCCESS; NULL allowed
 * @param n        up to 128, else APR_EINVAL
 * @return as commserver_publish; COMMSERVER_REFUSED in the place of
 *         COMMSERVER_QUEUE_FULL, COMMSERVER_CLIENTS_FULL and
 *         COMMSERVER_DEVICES_FULL.
 */
APR_DECLARE_OPTIONAL_FN(apr_status_t, commserver_publish_several,
                        (server_rec *s, const commserver_message *message,
                         const char *const *clients, int n, apr_pool_t *p,
                         apr_status_t *refused, char out_id[COMMSERVER_ID_TEXT + 1]));

/* ---- groups and everybody, since 2 ----------------------------------------- */

/* What a message to many came to.                                           */
typedef struct commserver_outcome {
    char id[COMMSERVER_ID_TEXT + 1];
    apr_uint32_t receivers;  /* clients it was queued for                    */
    apr_uint32_t refused;    /* clients it was not queued for                */
} commserver_outcome;

/**
 * Queue one message for the members of a group of its application, or for every
 * client that is known, for those of them for whom it can be.
 * @param group  NULL: everybody
 * @return APR_SUCCESS, also where nobody is; COMMSERVER_REFUSED: it could be
 *         queued for none of them; else as commserver_publish.
 */
APR_DECLARE_OPTIONAL_FN(apr_status_t, commserver_publish_group,
                        (server_rec *s, const commserver_message *message,
                         const char *group, apr_pool_t *p,
                         commserver_outcome *out_outcome));

/**
 * Add a client to a group of an application, or take it out. A group is there
 * while it has members.
 * @param group   named as an application is
 * @param client  without a device
 * @param out_changed  0: it was in (out) before; NULL allowed
 * @return APR_SUCCESS, COMMSERVER_BAD_NAME, COMMSERVER_CLIENTS_FULL,
 *         COMMSERVER_SEGMENT_FULL, COMMSERVER_BUSY, COMMSERVER_CLOSED,
 *         COMMSERVER_DAMAGED.
 */
APR_DECLARE_OPTIONAL_FN(apr_status_t, commserver_group_add,
                        (server_rec *s, const char *app, const char *group,
                         const char *client, int *out_changed));
APR_DECLARE_OPTIONAL_FN(apr_status_t, commserver_group_remove,
                        (server_rec *s, const char *app, const char *group,
                         const char *client, int *out_changed));

/* ---- a client's state, since 1 --------------------------------------------- */

typedef struct commserver_client {
    apr_uint64_t queued;     /* messages that wait                           */
    apr_uint64_t bytes;      /* of their payload                             */
    apr_time_t oldest;       /* when the oldest was published; 0: none waits */
    apr_time_t last_seen;    /* last poll; 0: never                          */
    int waiting;             /* not 0: a poll is held now                    */
} commserver_client;

/**
 * What waits for a client, and whether it listens: of all its devices, or (since
 * 2, "alice/laptop") of one.
 * @return APR_SUCCESS; COMMSERVER_EMPTY: not known (all members are 0);
 *         COMMSERVER_BAD_NAME, COMMSERVER_BUSY, COMMSERVER_CLOSED.
 */
APR_DECLARE_OPTIONAL_FN(apr_status_t, commserver_client_state,
                        (server_rec *s, const char *client,
                         commserver_client *out_client));

/** Words for a status that a function above returned. The text is constant,
 *  or in buffer for statuses of APR. */
APR_DECLARE_OPTIONAL_FN(const char *, commserver_strerror,
                        (apr_status_t status, char *buffer, apr_size_t size));

/* ---- refusing messages, since 1 --------------------------------------------- */

/* Note of the request whose value, if set, becomes the "detail" that the
 * publisher of a refused message is told. UTF-8.                            */
#define COMMSERVER_REFUSAL_NOTE "commserver-refusal"

/**
 * Decide whether a message may be queued. Asked for messages published over
 * HTTP and by modules, before any queue is locked, once for all receivers.
 * Every attached function is asked until one refuses. Messages that local
 * processes hand in through the segment (libcommserver) are not asked about.
 * Must not block; must not publish (it would be asked again).
 * @param r        the publishing request; NULL: a module publishes
 * @param message  ttl is the one granted, sender is final
 * @param clients  `count` receivers, each once, as they were named: "alice" or
 *                 (since 2) "alice/laptop". NULL, and count 0, where
 *                 message->group or message->everybody say who gets it (since 2)
 * @return OK or DECLINED to let it pass; an HTTP status from 400 to 599 to
 *         refuse it: over HTTP the answer is that status with type `policy`.
 */
APR_DECLARE_EXTERNAL_HOOK(commserver, COMMSERVER, int, message_check,
                          (request_rec *r, const commserver_message *message,
                           const char *const *clients, int count))

#ifdef __cplusplus
}
#endif
#endif
