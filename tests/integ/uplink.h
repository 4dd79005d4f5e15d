/* SPDX-License-Identifier: Apache-2.0
 * uplink.h - an agent that publishes to a server which answers by script, and
 * one of its local applications.
 */
#ifndef UPLINK_H
#define UPLINK_H

#include "support/script_server.h"
#include "support/support.h"

typedef struct uplink_parts {
    script_server *polls;  /* where the agent polls                           */
    script_server *server; /* where it publishes                              */
    agent *agent;
    local_app *app;
} uplink_parts;

extern uplink_parts uplink;

#define UPLINK_SECTION "[server main]\nurl = %s\ndevice = test\nwait = 50\npublish = %s\n"
#define UPLINK_TAKEN   "{\"id\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"state\":\"queued\"}"

/** The servers alone; then the agent, with more lines in its section. */
void uplink_set_up_servers(void);
void uplink_start_agent(const char *more);
/** Both. */
void uplink_set_up(void);
void uplink_tear_down(void);

/** The publish handler of a scripted server. */
const char *uplink_publish_url(const script_server *s);

/** For an agent that stopped, or is told to read it again. */
void uplink_write_config(const char *of_agent, const char *sections);

/** The application says {"publish":{MEMBERS}}. */
void uplink_publish(const char *members);
/** The same, and waits until it is on the disk. @return its key */
const char *uplink_spool(const char *members);
/** A numbered message of application orders for bob. */
void uplink_spool_number(int number);

/** The application's next line is {"WHAT":{...}}. @return its member, or "" */
const char *uplink_read_line(const char *what, const char *member);

/** Idempotency-Key of the request that the server has, without its quotes. */
const char *uplink_sent_key(void);

/** The server answers 201, or a problem. */
void uplink_take(void);
void uplink_refuse(const char *status, const char *headers, const char *type);

/** A member of the agent's status, or "". */
const char *uplink_status(const char *path);

/** Run "commclient send" with this input and these words, NULL behind the last;
 *  what it wrote is in uplink_output. @return its exit status */
int uplink_run_send(const char *input, const char *const *words);
#define UPLINK_SEND(input, ...)                                                          \
    uplink_run_send(input, (const char *const[]){ __VA_ARGS__, NULL })
extern char *uplink_output;

#endif
