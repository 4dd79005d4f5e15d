/* SPDX-License-Identifier: Apache-2.0
 * cs_private.h - what all files of the module share.
 *
 * The module record, the kinds of handlers, and what is remembered of one
 * request between the hooks that see it.
 */
#ifndef CS_PRIVATE_H
#define CS_PRIVATE_H

#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

extern module AP_MODULE_DECLARE_DATA commserver_module;

/* Names of the handlers, as given to SetHandler.                            */
#define CS_HANDLER_PREFIX  "commserver-"
#define CS_HANDLER_PUBLISH CS_HANDLER_PREFIX "publish"
#define CS_HANDLER_POLL    CS_HANDLER_PREFIX "poll"
#define CS_HANDLER_STATUS  CS_HANDLER_PREFIX "status"

typedef enum {
    CS_KIND_NONE,     /* not a request for this module */
    CS_KIND_PUBLISH,
    CS_KIND_POLL,
    CS_KIND_STATUS
} cs_kind;

/* Of one request, in its request_config.                                    */
typedef struct cs_state {
    unsigned direct : 1;          /* the file system was left out            */
    unsigned origin_checked : 1;  /* the browser rules were applied          */
    unsigned body_read : 1;       /* nothing of a body is left to be read    */
} cs_state;

/** The state of r, made on first use; never NULL. */
cs_state *cs_state_get(request_rec *r);

/* ---- handlers and hooks, one file each -------------------------------- */

int cs_publish_handler(request_rec *r);  /* cs_publish.c */
int cs_poll_handler(request_rec *r);     /* cs_poll.c */
int cs_status_handler(request_rec *r);   /* cs_status.c */

/* cs_direct.c: the short cut past the file system. */
int cs_direct_translate(request_rec *r);
int cs_direct_storage(request_rec *r);
int cs_direct_type(request_rec *r);

#endif
