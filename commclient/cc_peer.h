/* SPDX-License-Identifier: Apache-2.0
 * cc_peer.h - one connection of a local application.
 *
 * Lines come in and are obeyed; lines go out as fast as they are read. What
 * waits to go out is bounded: beyond CC_PEER_FULL bytes the connection is
 * given no further message, its own lines are not read, and copies for a
 * watcher are left out (and it is told so).
 *
 * A peer ends only from the event loop, never within a call of cc_dispatch.
 */
#ifndef CC_PEER_H
#define CC_PEER_H

#include "cc_compat.h"
#include "cc_command.h"
#include "cc_dispatch.h"
#include "cc_outbox.h"

struct event_base;

#define CC_PEER_FULL (1u << 20) /* bytes waiting to go out                  */

typedef struct cc_peer cc_peer;

typedef struct cc_peer_calls {
    /* Write the value of {"status":...}. */
    void (*status)(void *baton, cc_buffer *out);
    /* Its user was refused something: an application, or status and the like. */
    void (*refused)(void *baton, const char *what);
    /* Much of a line has come that is not whole: 1: it may be kept. */
    int (*may_keep)(void *baton);
    /* The peer has ended and is about to be freed. */
    void (*ended)(void *baton, cc_peer *peer);
} cc_peer_calls;

/** Takes over `descriptor` (non-blocking) and says hello.
 *  @param user  who is on the other side */
cc_peer *cc_peer_create(int descriptor, uid_t user, struct event_base *base,
                        cc_dispatch *dispatch, cc_outbox *outbox,
                        const cc_peer_calls *calls, void *baton);

/** After a change of the configuration: close it when its user may not use what
 *  it has subscribed to any more. */
void cc_peer_check_user(cc_peer *peer);

/** Bytes that came and are not obeyed yet. */
size_t cc_peer_kept(const cc_peer *peer);

/** Send what can be sent at once, then close. calls.ended is not called. */
void cc_peer_destroy(cc_peer *peer);

/** Say an error, send it and close. */
void cc_peer_refuse(cc_peer *peer, cc_command_error error);

/** Write {"message":...} and a line feed. Exposed for tests. */
struct evbuffer;
void cc_peer_format_message(struct evbuffer *out, const cc_delivery *delivery);

#endif
