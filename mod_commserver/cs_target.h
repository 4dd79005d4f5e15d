/* SPDX-License-Identifier: Apache-2.0
 * cs_target.h - what a path below the base of a publish handler names.
 *
 *   {app}                             several, named by ?to=
 *   {app}/{client}[/{device}]         one client, or one device
 *   {app}/-/all                       everybody
 *   {app}/-/groups/{group}            the members of a group
 *   {app}/-/groups/{group}/{client}   a membership
 *   {app}/-/messages/{id}             a message that was published
 *
 * Pure functions, nothing of httpd. No name is `-`, so the rest cannot be
 * taken for a client.
 */
#ifndef CS_TARGET_H
#define CS_TARGET_H

#include <apr_errno.h>
#include <apr_pools.h>

#include "queue/csq.h"

typedef enum {
    CS_TARGET_SEVERAL,
    CS_TARGET_CLIENT,
    CS_TARGET_ALL,
    CS_TARGET_GROUP,
    CS_TARGET_MEMBER,
    CS_TARGET_MESSAGE
} cs_target_kind;

/* Names are checked.                                                        */
typedef struct cs_target {
    cs_target_kind kind;
    const char *app;
    const char *client;             /* CLIENT, MEMBER; else NULL                     */
    const char *device;             /* CLIENT: NULL where none is named              */
    const char *group;              /* GROUP, MEMBER; else NULL                      */
    unsigned char id[CSQ_ID_BYTES]; /* MESSAGE                               */
} cs_target;

/**
 * Parse what follows the base, already decoded.
 * @param out_detail  with APR_EINVAL: words for the client that say what is
 *                    allowed
 * @return APR_SUCCESS or APR_EINVAL.
 */
apr_status_t cs_target_parse(const char *path, apr_pool_t *p, cs_target *out_target,
                             const char **out_detail);

/** The methods that it allows, as in Allow. */
const char *cs_target_methods(cs_target_kind kind);

#endif
