/* SPDX-License-Identifier: Apache-2.0
 * cc_sender.h - publishes to one server what waits for it in the outbox.
 *
 * Up to CC_SENDER_REQUESTS requests at once, of different applications; within
 * one application the next message goes when the last one is done. Each has its
 * Idempotency-Key, the same at every try, so that one whose answer was lost is
 * not queued twice.
 *
 * What is wrong with the server makes all wait; what is wrong with an
 * application or its message (its queue is full, this user may not publish to
 * it) makes that application wait. One log line when that begins, one when it
 * ends.
 */
#ifndef CC_SENDER_H
#define CC_SENDER_H

#include "cc_compat.h"
#include "cc_config.h"
#include "cc_memory.h"
#include "cc_outbox.h"
#include "cc_transport.h"

struct event_base;

#define CC_SENDER_REQUESTS 4

/* `state` of "publish" in {"status":{"servers":[...]}} */
#define CC_SENDER_STATES(X)                                                              \
    X(STARTING, "starting")                                                              \
    X(READY, "ready")                                                                    \
    X(UNREACHABLE, "unreachable")                                                        \
    X(REFUSED, "refused")                                                                \
    X(BUSY, "busy")                                                                      \
    X(FAULTY, "faulty")                                                                  \
    X(SECRET, "secret")                                                                  \
    X(STORAGE, "storage")

typedef enum {
#define CC_SENDER_ENUM(name, word) CC_SENDER_##name,
    CC_SENDER_STATES(CC_SENDER_ENUM)
#undef CC_SENDER_ENUM
        CC_SENDER_STATE_COUNT
} cc_sender_state;

/* What an answer says about the message that was sent. */
typedef enum {
    CC_VERDICT_TAKEN,
    CC_VERDICT_REFUSED,      /* for good                                    */
    CC_VERDICT_LATER,        /* this application's messages wait            */
    CC_VERDICT_FORBIDDEN,    /* the same, until the secret changes          */
    CC_VERDICT_PAUSE,        /* all messages for this server wait           */
    CC_VERDICT_UNAUTHORIZED, /* the same, until the secret changes          */
    CC_VERDICT_COUNT
} cc_verdict;

/** Pure. @param type  of the problem document, "" when there is none */
cc_verdict cc_sender_judge(const cc_answer *answer, const char *type);

typedef struct cc_sender cc_sender;

/** `server` has publish. All that is given must outlive it. */
cc_sender *cc_sender_create(const cc_server_config *server, cc_transport *transport,
                            cc_outbox *outbox, struct event_base *base);
void cc_sender_destroy(cc_sender *sender);

/** The same section as before, in another place. */
void cc_sender_server_set(cc_sender *sender, const cc_server_config *server);

/** Write the object "publish" of its server in the status. */
void cc_sender_write_status(const cc_sender *sender, cc_buffer *out);

#endif
