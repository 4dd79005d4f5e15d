/* SPDX-License-Identifier: Apache-2.0
 * cc_config.h - the configuration file, read and checked as a whole.
 *
 * An INI file: [agent], one [server NAME] for each server, [app NAME] where an
 * application needs more than the defaults. Whatever is not known or not
 * right is refused with file, line and what is allowed; nothing is guessed.
 * Secrets are never in it: it names the files that hold them (cc_secret.h).
 */
#ifndef CC_CONFIG_H
#define CC_CONFIG_H

#include "cc_compat.h"
#include "cc_name.h"
#include "cc_status.h"

#define CC_WINDOW_DEFAULT 16
#define CC_WINDOW_MAX     10000
#define CC_PARALLEL_MAX   256
#define CC_TIMEOUT_MAX    86400 /* seconds                                  */
#define CC_RETRIES_MAX    100

typedef struct cc_server_config {
    char name[CC_SERVER_MAX + 1];
    char device[CC_DEVICE_MAX + 1];
    char *url;           /* of the poll handler, http or https              */
    char *publish;       /* of the publish handler, or NULL                 */
    char *user;          /* NULL: none                                      */
    char *password_file; /* NULL: none; goes with user                      */
    char *token_file;    /* NULL: none; a bearer token                      */
    char *netrc;         /* file with users and passwords of hosts, or NULL */
    char *cert;          /* PEM file of the client certificate, or NULL     */
    char *key;           /* PEM file of its key, or NULL                    */
    char *ca;            /* PEM file of authorities, NULL: the system's     */
    char *proxy;         /* NULL: what the environment says                 */
    int stream;          /* mode: 1 a stream is held, 0 polls               */
    int wait;            /* seconds a poll may be held, 1..3600             */
    int connect_timeout; /* seconds, 1..300                                 */
    unsigned line;       /* where its section begins                        */
} cc_server_config;

typedef struct cc_app_config {
    char name[CC_APP_MAX + 1];
    char **servers;      /* who may feed it                                 */
    size_t server_count; /* 0: not said                                     */
    uid_t *users;        /* who may use it beside this user and root        */
    size_t user_count;   /* 0: nobody                                       */
    char **exec;         /* program and arguments, NULL at the end; or NULL */
    int parallel;        /* processes of exec at once, 1..CC_PARALLEL_MAX   */
    int timeout;         /* seconds until a process is terminated           */
    int retries;         /* times that exec is tried again, 0..CC_RETRIES_MAX */
    int window;          /* of subscribers that do not name one             */
    int64_t quota;       /* bytes of the inbox; 0: not said; INT64_MAX: none */
    unsigned line;
} cc_app_config;

typedef struct cc_config {
    char *file;          /* where it was read from                        */
    char *socket;        /* path of the Unix socket                       */
    char *inbox;         /* path of the inbox                             */
    int socket_given;    /* the command line names it, not the file       */
    int inbox_given;     /* the same                                      */
    int64_t inbox_max;   /* bytes, with CC_INBOX_MESSAGE_COST each        */
    int64_t max_message; /* bytes of a message between its braces         */
    int64_t spool_max;   /* bytes, with CC_SPOOL_MESSAGE_COST each        */
    cc_server_config *servers;
    size_t server_count;
    cc_app_config *apps;
    size_t app_count;
} cc_config;

/**
 * Read a file. Every member is set, defaults where the file is silent.
 * @param out_error  text for the user, to be freed; NULL when CC_OK
 * @return CC_OK, CC_BAD_CONFIG, CC_NOT_FOUND, CC_SYSTEM
 */
cc_status cc_config_read(const char *file, cc_config **out_config, char **out_error);
void cc_config_destroy(cc_config *config);

/** NULL when the application has no section. */
const cc_app_config *cc_config_find_app(const cc_config *config, const char *name);

/** NULL when there is no such section. */
const cc_server_config *cc_config_find_server(const cc_config *config, const char *name);

/** 1 when both sections say the same, wherever they stand. */
int cc_config_same_server(const cc_server_config *a, const cc_server_config *b);

/** May this server feed this application? With one server it may feed all that
 *  say nothing; with several only those that name it. */
int cc_config_may_feed(const cc_config *config, const char *server, const char *app);

/** Bytes that this application may take of the inbox, with CC_INBOX_MESSAGE_COST
 *  for each message: half of it when nothing is said. INT64_MAX: all it likes. */
int64_t cc_config_quota(const cc_config *config, const char *app);

/** May this user subscribe to this application, acknowledge its messages and
 *  publish for it? The user of this process and root always may. */
int cc_config_may_use(const cc_config *config, const char *app, uid_t user);

/** 1 when this user may use the agent as a whole (status, the dead list). */
int cc_config_may_control(uid_t user);

/** 1 when others than this user and root may use an application. */
int cc_config_has_users(const cc_config *config);

/** 1 when this user may use at least one application. */
int cc_config_may_connect(const cc_config *config, uid_t user);

#endif
