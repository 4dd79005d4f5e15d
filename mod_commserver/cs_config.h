/* SPDX-License-Identifier: Apache-2.0
 * cs_config.h - the directives: command table, defaults, merging.
 *
 * Two structs: what holds for the whole server or a virtual host, and what a
 * Location may change. Members of the first are final once
 * cs_config_resolve() ran in post_config; members of the second may be unset
 * and are read through the functions below, which know the defaults.
 */
#ifndef CS_CONFIG_H
#define CS_CONFIG_H

#include <httpd.h>
#include <http_config.h>
#include <ap_expr.h>

#include "cs_private.h"
#include "cs_read_time.h"
#include "queue/csq.h"

#define CS_CONFIG_UNSET (-1)

/* A plain <Location> that sets a handler. Which one is known to a request
 * only, since SetHandler takes an expression.                               */
typedef struct cs_base {
    const char *path;     /* as written, without a slash at the end          */
    apr_size_t len;
    const ap_expr_info_t *handler;
} cs_base;

typedef struct cs_config_server {
    const char *realm;            /* prefix of every key of this host        */
    apr_array_header_t *bases;    /* of cs_base, shortest path first         */
    const char *state_dir;        /* NULL: beside the segment                */
    apr_int64_t segment_size;     /* bytes                                   */
    apr_int64_t max_message;      /* bytes of a body                         */
    apr_int64_t max_queue_bytes;  /* bytes of payload a queue                */
    apr_int64_t max_queue;        /* messages a queue                        */
    apr_int64_t max_clients;      /* queues                                  */
    apr_int64_t client_expiry;    /* seconds                                 */
    apr_int64_t device_expiry;
    apr_int64_t max_devices;
    apr_int64_t overflow;         /* csq_overflow                            */
    apr_int64_t blocking_polls;   /* requests a child may block on           */
    int blocking_shared;          /* all children together may, since each is
                                     one thread (prefork)                    */
    apr_int64_t max_parked;       /* requests a child may park               */
    apr_int64_t max_event_threads;/* of a child                              */
    apr_int64_t shortcuts;        /* 0: httpd's own filters do everything    */
    cs_read_times read_times;     /* of mod_reqtimeout; zeros: none          */
} cs_config_server;

typedef struct cs_config_dir {
    const char *base;             /* CommServerBase, no slash at the end     */
    const ap_expr_info_t *client; /* NULL: %{REMOTE_USER}                    */
    const ap_expr_info_t *sender; /* NULL: %{REMOTE_USER}                    */
    apr_array_header_t *origins;  /* of const char *, lower case; NULL: none */
    int origins_none;             /* "none" was said: nothing may follow     */
    apr_int64_t ttl;              /* seconds                                 */
    apr_int64_t max_ttl;          /* seconds                                 */
    apr_int64_t idempotency_window; /* seconds                               */
    apr_int64_t max_wait;         /* seconds                                 */
    apr_int64_t max_stream;       /* seconds                                 */
    apr_int64_t max_batch;        /* bytes                                   */
    apr_int64_t direct;           /* 1: leave out the file system            */
} cs_config_dir;

extern const command_rec cs_config_commands[];

void *cs_config_server_create(apr_pool_t *p, server_rec *s);
void *cs_config_server_merge(apr_pool_t *p, void *base, void *add);
void *cs_config_dir_create(apr_pool_t *p, char *path);
void *cs_config_dir_merge(apr_pool_t *p, void *base, void *add);

/**
 * Put defaults where nothing was said and find the base paths, for the main
 * server and all virtual hosts. In post_config; logs what it says.
 * @return OK or HTTP_INTERNAL_SERVER_ERROR.
 */
int cs_config_resolve(apr_pool_t *p, server_rec *main_server);

/** Never NULL. */
cs_config_server *cs_config_server_get(server_rec *s);
/** The merged configuration of r; never NULL. */
cs_config_dir *cs_config_dir_get(request_rec *r);
/** That of the server outside of all sections; never NULL. */
cs_config_dir *cs_config_dir_default(server_rec *s);

apr_int64_t cs_config_ttl(const cs_config_dir *dir);        /* seconds */
apr_int64_t cs_config_max_ttl(const cs_config_dir *dir);    /* seconds */
apr_int64_t cs_config_idempotency_window(const cs_config_dir *dir); /* seconds */
apr_int64_t cs_config_max_wait(const cs_config_dir *dir);   /* seconds */
apr_int64_t cs_config_max_stream(const cs_config_dir *dir); /* seconds */
apr_size_t cs_config_max_batch(const cs_config_dir *dir);   /* bytes */

/** The limits of the queue core, from the main server. */
void cs_config_limits(server_rec *main_server, csq_limits *out_limits);

/**
 * Which of our handlers serves r: r->handler once it is set, before that the
 * SetHandler of the merged configuration.
 */
cs_kind cs_handler_kind(request_rec *r);
/** The kind a handler's name stands for; name may be NULL. */
cs_kind cs_handler_kind_of(const char *name);
/** Not 0 when r is for one of our handlers. */
int cs_handler_is_ours(request_rec *r);

/**
 * Whether r, of which only the URL is known yet, may be for one of our
 * handlers: its path is below a plain Location that sets a handler, or is
 * spelled in a way that has to be decoded to know. What rewriting or a
 * LocationMatch will make of it is not known.
 */
int cs_config_may_be_ours(request_rec *r);

/**
 * The path of r behind the base of its handler: "" or "/...".
 * @return NULL when the base is not known (a LocationMatch without
 *         CommServerBase): the caller answers 500.
 */
const char *cs_config_path_info(request_rec *r, cs_kind kind);

#endif
