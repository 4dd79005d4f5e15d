/* SPDX-License-Identifier: Apache-2.0
 * stage.h - who plays: one httpd, two agents, and processes that publish or
 * read until they are killed or told that it is over.
 */
#ifndef STAGE_H
#define STAGE_H

#include "board.h"
#include "support/support.h"

/* A queue of the board is one application of one client. */
enum { ALICE, BOB, DAVE, CLIENTS };
enum { ORDERS, BILLING, APPS };
#define QUEUE(client, app) ((client)*APPS + (app))

/* Publishers; each is a process, and a row of the board. */
enum { BY_HTTP, BY_HTTP_TOO, BY_WRITER, BY_WRITER_TOO, BY_AGENT, BY_AGENT_TOO };

#define AGENTS 2 /* of alice, by polls, and bob, by a stream             */

/* httpd can miss to tell a child that has just begun of a graceful stop, and
 * would wait for it for ever. In an hour the keys of an hour would fill the segment,
 * whose size changes.                                                        */
#define CONFIG "GracefulShutdownTimeout 8\nCommServerIdempotencyWindow 300\n"

#define READERS (AGENTS * APPS + 1) /* the last is dave's own poller, for both     */

typedef struct stage {
    board *board;
    int *publishing; /* shared: 1 until publishers are to end                  */
    unsigned seed;
    httpd *server;
    agent *agents[AGENTS];
    char sockets[AGENTS][128];
    char segment[600];
    pid_t publishers[BOARD_PUBLISHERS];
    pid_t readers[READERS];
} stage;

extern const char *const stage_clients[CLIENTS];
extern const char *const stage_apps[APPS];

/** The next random number of a sequence. */
unsigned stage_dice(unsigned *state, unsigned sides);
void stage_sleep(int ms);
void stage_sleep_us(unsigned us);

/* Main functions of processes; they do not return. */
void publish_by_http(stage *s, int publisher);
void publish_by_writer(stage *s, int publisher);
void publish_by_agent(stage *s, int publisher);
void read_of_agent(stage *s, int reader);
void read_by_polls(stage *s, int reader);

/** Start one of them in a process of its own, known to the reaper. */
pid_t stage_start(stage *s, void (*play)(stage *s, int number), int number);
void stage_start_reader(stage *s, int reader);
void stage_kill(pid_t *process);
/** Complain of one that has ended by itself. */
void stage_look(stage *s);

/** A line of the agent's local protocol. */
typedef struct lines {
    int fd;
    size_t len, used;
    char bytes[65536];
} lines;

/** Connect and read the greeting. -1: nobody is there. */
int lines_open(lines *l, const char *path);
/** NULL: nothing came within ms; l->fd is -1 once the agent has gone. */
const char *lines_next(lines *l, int ms);
void lines_send(lines *l, const char *line);

/** What a request brought; body is in a buffer that the next one uses. */
typedef struct web_answer {
    int status; /* 0: none                                                  */
    const char *body;
} web_answer;

/** A request with libcurl, 30 seconds at most. headers: NULL at the end.
 *  data NULL: GET. */
web_answer web_ask(const char *user, const char *url, const char *const *headers,
                   const char *data);

/** What the director does. */
void events_play(stage *s, int seconds);

#endif
