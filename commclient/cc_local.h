/* SPDX-License-Identifier: Apache-2.0
 * cc_local.h - the Unix socket to which local applications connect.
 *
 * Who runs on a socket is decided by a lock on PATH.lock, held for life: what
 * is left of an agent that died is replaced, a living one never, and neither
 * is a socket on which a service manager listens.
 *
 * Who may connect is decided by who the other side is (SO_PEERCRED): this user,
 * root, and those that `users` of an application names. The socket has mode
 * 0600 unless there are any, then 0666. What a user was refused is logged once.
 */
#ifndef CC_LOCAL_H
#define CC_LOCAL_H

#include "cc_compat.h"
#include "cc_dispatch.h"
#include "cc_memory.h"
#include "cc_outbox.h"
#include "cc_status.h"

struct event_base;

#define CC_PEERS_MAX      256 /* connections                                     */
#define CC_PEERS_OTHERS   224 /* of them for other users than this one and root  */
#define CC_PEERS_PER_USER 64  /* for one of those                                */
#define CC_PEERS_LINES    4   /* longest lines of such a user, not whole, at once */

typedef struct cc_local cc_local;

/**
 * Take the socket and listen.
 * @param passed  a socket that listens on `path` already, taken over; it stays
 *                when this one ends; -1: make one
 * @param config  must outlive it
 * @param status  writes the value of {"status":...}
 * @param out_error  text for the user, to be freed; NULL when CC_OK
 * @return CC_OK; CC_IN_USE: another agent runs there; CC_NOT_PERMITTED:
 *         something else is there; CC_SYSTEM.
 */
cc_status cc_local_open(const char *path, int passed, struct event_base *base,
                        const cc_config *config, cc_dispatch *dispatch, cc_outbox *outbox,
                        void (*status)(void *baton, cc_buffer *out), void *baton,
                        cc_local **out_local, char **out_error);

/** From now on go by `config`. Connections of users who may not have them any
 *  more are closed. cc_dispatch must know it already. */
void cc_local_config_set(cc_local *local, const cc_config *config);

/** Close all connections and remove the socket. */
void cc_local_close(cc_local *local);

/** How many applications are connected. */
unsigned cc_local_count(const cc_local *local);

#endif
