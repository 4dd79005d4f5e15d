/* SPDX-License-Identifier: Apache-2.0
 * cc_poller.h - the life of the connection to one server.
 *
 * One poll after the other: each acknowledges what is committed in the inbox
 * and asks for what follows. What an answer means, how long to wait after it
 * and what the log says is decided here; the log gets one line when the state
 * changes and none while it lasts.
 *
 * In mode stream a stream is held instead; what is taken over from it is
 * acknowledged beside it, a second and a batch behind at most.
 *
 * The first poll after anything went wrong is not held, so that "connected" is
 * known at once and not after a minute.
 */
#ifndef CC_POLLER_H
#define CC_POLLER_H

#include "cc_compat.h"
#include "cc_config.h"
#include "cc_dispatch.h"
#include "cc_memory.h"
#include "cc_transport.h"

struct event_base;

/* name: of "state" in {"status":...}; text: for people */
#define CC_POLLER_STATES(X)                                                              \
    X(STARTING, "starting", "starting")                                                  \
    X(CONNECTED, "connected", "connected, waiting for messages")                         \
    X(UNREACHABLE, "unreachable", "cannot be reached")                                   \
    X(REFUSED, "refused", "refuses this user")                                           \
    X(REPLACED, "replaced", "serves another agent with the same device name")            \
    X(BUSY, "busy", "asked to come back later")                                          \
    X(FAULTY, "faulty", "does not answer as it should")                                  \
    X(SECRET, "secret", "password or token file cannot be used")                         \
    X(FULL, "full", "not polled: the inbox is full")                                     \
    X(STORAGE, "storage", "not polled: the inbox cannot be used")

typedef enum {
#define CC_POLLER_ENUM(name, word, text) CC_POLLER_##name,
    CC_POLLER_STATES(CC_POLLER_ENUM)
#undef CC_POLLER_ENUM
        CC_POLLER_STATE_COUNT
} cc_poller_state;

const char *cc_poller_state_name(cc_poller_state state);
/** The text for a state's name; the name itself when it is not known. */
const char *cc_poller_state_text(const char *name);

typedef struct cc_poller cc_poller;

/** `server`, `transport` and `dispatch` must outlive it. Polls from the next
 *  turn of the event loop on. */
cc_poller *cc_poller_create(const cc_server_config *server, cc_transport *transport,
                            cc_dispatch *dispatch, struct event_base *base);
void cc_poller_destroy(cc_poller *poller);

/** The same section as before, in another place. A poll on its way goes on. */
void cc_poller_server_set(cc_poller *poller, const cc_server_config *server);

/** The machine slept, or has another address: what is held may be dead without
 *  notice. Ask anew on a new connection, within a second. */
void cc_poller_renew(cc_poller *poller);
/** 1 when its connection goes from an address that would not be taken for it
 *  now; or when the server could not be reached, and perhaps can be now. */
int cc_poller_is_moved(const cc_poller *poller);

/** The inbox has ids that the server is to be told (cc_dispatch_reports()). */
void cc_poller_report(cc_poller *poller);

/** Write its object in {"status":{"servers":[...]}}, without the last brace. */
void cc_poller_write_status(const cc_poller *poller, cc_buffer *out);

cc_poller_state cc_poller_state_get(const cc_poller *poller);

#endif
