/* SPDX-License-Identifier: Apache-2.0
 * commserver_writer.h - publish messages from a program on the server.
 *
 * For CGI programs, cron jobs and daemons that run as the user of httpd: the
 * message goes straight into the shared queues of a running mod_commserver,
 * with no HTTP in between. Others publish over HTTP.
 *
 *     commserver_writer *writer;
 *     commserver_writer_message message = COMMSERVER_WRITER_MESSAGE_INIT;
 *     const char *to[] = { "alice" };
 *     int status = commserver_writer_open(NULL, NULL, &writer);
 *
 *     if (status == COMMSERVER_WRITER_OK) {
 *         message.app = "orders";
 *         message.to = to;
 *         message.to_count = 1;
 *         message.type = "application/json";
 *         message.data = "{\"order\":4711}";
 *         message.length = 14;
 *         status = commserver_writer_publish(writer, &message, NULL, NULL);
 *         commserver_writer_close(writer);
 *     }
 *     if (status != COMMSERVER_WRITER_OK)
 *         fprintf(stderr, "%s\n", commserver_writer_text(status));
 *
 * Build with `pkg-config --cflags --libs libcommserver`.
 *
 * Threads: different writers may be used at the same time; one writer by one
 * thread at a time. A writer may be used after fork() by parent or child, if
 * the other then only closes it. No call sets up signal handlers; none waits
 * longer than a second.
 *
 * Trust: who can write into the queues can read and forge all of them. The
 * segment is therefore open to the user of httpd alone.
 */
#ifndef COMMSERVER_WRITER_H
#define COMMSERVER_WRITER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** major * 10000 + minor * 100 + patch. @since 0.1.0 */
#define COMMSERVER_WRITER_VERSION 100

/** What calls return. Numbers are final; later versions may add some.
 *  @since 0.1.0 */
enum commserver_writer_status {
    COMMSERVER_WRITER_OK = 0,
    COMMSERVER_WRITER_QUEUE_FULL = 1,    /* the client has too many unread    */
    COMMSERVER_WRITER_SEGMENT_FULL = 2,  /* the server has no room            */
    COMMSERVER_WRITER_CLIENTS_FULL = 3,  /* one client too many               */
    COMMSERVER_WRITER_TOO_LARGE = 4,     /* see commserver_writer_max_message */
    COMMSERVER_WRITER_REFUSED = 5,       /* for one of several receivers      */
    COMMSERVER_WRITER_BUSY = 6,          /* try again                         */
    COMMSERVER_WRITER_NO_SERVER = 7,     /* httpd does not run                */
    COMMSERVER_WRITER_OTHER_BUILD = 8,   /* httpd has another version         */
    COMMSERVER_WRITER_DAMAGED = 9,       /* the queues are damaged            */
    COMMSERVER_WRITER_NOT_PERMITTED = 10,/* not the user of httpd             */
    COMMSERVER_WRITER_BAD_NAME = 11,     /* application, client, sender, type */
    COMMSERVER_WRITER_BAD_JSON = 12,     /* not what the type says            */
    COMMSERVER_WRITER_NO_REALM = 13,     /* several: one must be named        */
    COMMSERVER_WRITER_BAD_ARGUMENT = 14, /* NULL or a number out of range     */
    COMMSERVER_WRITER_NO_MEMORY = 15,
    COMMSERVER_WRITER_SYSTEM = 16,       /* errno says more                   */
    COMMSERVER_WRITER_OTHER_REALM = 17,  /* the server's only realm is another*/
    COMMSERVER_WRITER_NOBODY = 18,       /* for now, and nobody is there      */
    COMMSERVER_WRITER_DEVICES_FULL = 19  /* one device of a client too many   */
};

/** How much a message matters (RFC 8030). Clients may ask for the more urgent
 *  only. @since 0.1.0 */
enum commserver_writer_urgency {
    COMMSERVER_WRITER_VERY_LOW = -2,
    COMMSERVER_WRITER_LOW = -1,
    COMMSERVER_WRITER_NORMAL = 0,
    COMMSERVER_WRITER_HIGH = 1
};

/** What else there is to say of a message; to be added up. @since 0.1.0 */
enum commserver_writer_flags {
    COMMSERVER_WRITER_NOW = 1,     /* only for who waits now, or did in the last
                                      seconds; the ttl means nothing          */
    COMMSERVER_WRITER_LENIENT = 2, /* to several: queue it for those for whom it
                                      can be, instead of for all or none      */
    COMMSERVER_WRITER_RECEIPT = 4, /* remember what becomes of it, and have the
                                      application's acknowledgement reported  */
    COMMSERVER_WRITER_ALL = 8      /* to every client that is known; no `to`  */
};

/** The text of a status: lower case, no final stop. Never NULL; static.
 *  @since 0.1.0 */
const char *commserver_writer_text(int status);

/** Of the library that is linked, as COMMSERVER_WRITER_VERSION.
 *  @since 0.1.0 */
int commserver_writer_version(void);

/** A way into the queues of one server. @since 0.1.0 */
typedef struct commserver_writer commserver_writer;

/**
 * The path that commserver_writer_open() uses: `segment` if not NULL, else
 * the environment's COMMSERVER_SEGMENT (which the module gives to CGI
 * programs), else the default of this build. Not a copy.
 * @since 0.1.0
 */
const char *commserver_writer_segment(const char *segment);

/**
 * Attach to the queues of a running server.
 * @param segment  see commserver_writer_segment()
 * @param realm    NULL: the environment's COMMSERVER_REALM, else the only
 *                 realm of the server. A server that has several does not
 *                 tell whether it has this one: messages for a realm that it
 *                 does not have are never read
 * @param out_writer  NULL on failure; to be closed with
 *                 commserver_writer_close()
 * @return COMMSERVER_WRITER_OK, _NO_SERVER, _NOT_PERMITTED, _OTHER_BUILD,
 *         _NO_REALM, _OTHER_REALM (see commserver_writer_realm()),
 *         _BAD_NAME (the realm), _BUSY (the server is starting),
 *         _DAMAGED, _NO_MEMORY, _BAD_ARGUMENT, _SYSTEM.
 * @since 0.1.0
 */
int commserver_writer_open(const char *segment, const char *realm,
                           commserver_writer **out_writer);

/** Detach and free. NULL is allowed. @since 0.1.0 */
void commserver_writer_close(commserver_writer *writer);

/** Bytes for a realm, NUL included. @since 0.1.0 */
#define COMMSERVER_WRITER_REALM_SIZE 256

/**
 * The only realm of a running server, whatever the environment says.
 * @param segment    see commserver_writer_segment()
 * @param out_realm  COMMSERVER_WRITER_REALM_SIZE bytes, set on success
 * @return COMMSERVER_WRITER_OK; _NO_REALM: it has several; else as
 *         commserver_writer_open().
 * @since 0.1.0
 */
int commserver_writer_realm(const char *segment, char *out_realm);

/** Bytes that the data of one message may have at most, by the server's limits
 *  of a message, a queue and the segment. In the last two, data other than JSON
 *  counts as it travels: text in quotes and escaped, the rest in base64.
 *  @since 0.1.0 */
size_t commserver_writer_max_message(const commserver_writer *writer);

/** Receivers of one call at most. @since 0.1.0 */
#define COMMSERVER_WRITER_MAX_TO 100

/** What to publish. All memory stays the caller's and is only read during the
 *  call. Set it to COMMSERVER_WRITER_MESSAGE_INIT first, so that members of
 *  later versions are absent. @since 0.1.0 */
typedef struct commserver_writer_message {
    size_t size;            /* sizeof this structure, set by _INIT            */
    const char *app;        /* [A-Za-z0-9][A-Za-z0-9._-]{0,63}                */
    const char *const *to;  /* clients: 1..255 bytes of UTF-8 each; with
                               "/" and a name one of its devices              */
    int to_count;           /* 1..COMMSERVER_WRITER_MAX_TO; with a group and
                               with COMMSERVER_WRITER_ALL 0                   */
    const char *type;       /* Content-Type, up to 255 bytes of UTF-8 without
                               control characters; NULL: none                 */
    const void *data;       /* may be NULL if length is 0                     */
    size_t length;          /* bytes                                          */
    long ttl;               /* seconds until it goes unread; 0: the server's
                               default; more than the server's maximum is cut */
    const char *sender;     /* as the type; NULL: "local:" and the name of
                               this user                                      */
    const char *topic;      /* 1..32 letters, digits, '-', '_': it takes the
                               place of what waits under the same application,
                               sender and topic; NULL: of none                */
    int urgency;            /* enum commserver_writer_urgency                 */
    unsigned flags;         /* enum commserver_writer_flags                   */
    const char *group;      /* to the members of this group of the application,
                               always leniently; NULL: to `to`                */
} commserver_writer_message;

#define COMMSERVER_WRITER_MESSAGE_INIT                                        \
    { sizeof(commserver_writer_message), NULL, NULL, 0, NULL, NULL, 0, 0, NULL, \
      NULL, 0, 0, NULL }

/** Bytes for the text of an id, NUL included. @since 0.1.0 */
#define COMMSERVER_WRITER_ID_SIZE 23

/**
 * Queue one message for one or several clients, all or none unless it is
 * lenient; a client named twice gets it once, on all of its devices that are
 * known. Messages to a group and to all are always lenient. Data of type
 * application/json or +json must be JSON; other data goes as text if it is
 * UTF-8 without NUL, else as binary. If the server was restarted in between,
 * it is attached to anew.
 * @param statuses  to_count of them, set if COMMSERVER_WRITER_REFUSED is
 *                  returned, and if a lenient message was queued: one for each
 *                  client; NULL allowed
 * @param out_id    COMMSERVER_WRITER_ID_SIZE bytes, set on success: the id of
 *                  the message; NULL allowed
 * @return COMMSERVER_WRITER_OK: it is queued and stays when this program
 *         ends; commserver_writer_queued() tells for how many, which is 0 for a
 *         group of nobody. Else nothing was queued: for one client _QUEUE_FULL,
 *         _CLIENTS_FULL, _DEVICES_FULL; for several _REFUSED; _NOBODY; _SEGMENT_FULL,
 *         _TOO_LARGE,
 *         _BAD_NAME, _BAD_JSON, _BUSY, _NO_SERVER, _NOT_PERMITTED,
 *         _OTHER_BUILD, _DAMAGED, _NO_MEMORY, _BAD_ARGUMENT, _SYSTEM; of a
 *         server that was restarted also _NO_REALM, _OTHER_REALM.
 * @since 0.1.0
 */
int commserver_writer_publish(commserver_writer *writer,
                              const commserver_writer_message *message, int *statuses,
                              char *out_id);

/** For how many clients (or devices, where those were named) the last message of
 *  this writer was queued, and for how many it was refused. @since 0.1.0 */
unsigned commserver_writer_queued(const commserver_writer *writer);
unsigned commserver_writer_refused(const commserver_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
