/* SPDX-License-Identifier: Apache-2.0
 * agent.h - a private commclient, and local applications that talk to it.
 *
 *   agent *a = agent_start(&(agent_options){ .server = server, .user = "alice" });
 *   local_app *app = local_open(a);
 *   local_send(app, "{\"subscribe\":\"orders\"}");
 *   ck_assert_str_eq(support_json(local_read(app), "subscribed"), "orders");
 *   ...
 *   local_close(app);
 *   agent_end(a);
 */
#ifndef AGENT_H
#define AGENT_H

#include "httpd.h"

typedef struct agent_options {
    const httpd *server;   /* section [server main]; NULL: none is written    */
    const char *user;      /* of it; NULL: "alice"                            */
    const char *path;      /* of its poll handler; NULL: "/comm/poll"         */
    const char *device;    /* NULL: "testdevice"                              */
    const char *config;    /* appended to the file; @DIR@ as in httpd.h       */
    unsigned tls : 1;      /* by the TLS port                                 */
    unsigned may_fail : 1; /* agent_end() does not look at its exit code      */
} agent_options;

typedef struct agent agent;

/** Start and wait until the socket takes connections. */
agent *agent_start(const agent_options *options);

/** Stop if it runs, remove everything. */
void agent_end(agent *a);

void agent_stop(agent *a);  /* SIGTERM, wait for the end                    */
void agent_kill(agent *a);  /* SIGKILL                                      */
void agent_again(agent *a); /* start once more on the same inbox            */
pid_t agent_pid(const agent *a);

const char *agent_directory(const agent *a);
const char *agent_socket(const agent *a);
const char *agent_config(const agent *a);

/** Times that text stands in what the agent logged. */
int agent_log_count(const agent *a, const char *text);

/* ---- a local application ------------------------------------------------- */

typedef struct local_app local_app;

/** Connect and read the hello line. */
local_app *local_open(const agent *a);
/** Connect; the hello line is not read. */
local_app *local_open_early(const agent *a);
void local_close(local_app *app);

/** Its socket, for tests that need one. */
int local_socket(const local_app *app);

/** Send a line; the newline is added. */
void local_send(local_app *app, const char *line);
/** In one piece: many small ones soon fill a socket that nobody reads. */
void local_send_often(local_app *app, const char *line, int count);
void local_send_bytes(local_app *app, const char *data, size_t len);

/** Next line within 20 seconds, without newline; lives until the next read. */
const char *local_read(local_app *app);

/** NULL when no line came within ms, or the agent closed. */
const char *local_try(local_app *app, int ms);

/** The agent closed within ms; lines before that are thrown away. */
int local_closed(local_app *app, int ms);

/** Subscribe and read the answer; what came before it is kept for later. */
void local_subscribe(local_app *app, const char *name);

/** Next line must be a message.
 *  @return the message object as JSON, in the ring of support_text() */
const char *local_message(local_app *app);

/** Acknowledge and read the answer; what came before it is kept for later. */
void local_ack(local_app *app, const char *id);

#endif
