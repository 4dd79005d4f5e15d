/* SPDX-License-Identifier: Apache-2.0
 * dispatch_fixture.h - a dispatch on an inbox, with clients that record.
 *
 * What a client is told becomes a text, one word for each event:
 * "m:ID/ATTEMPT", "c:ID" for a copy, "g:APP/COUNT", "a:ID", "n:ID" for one that
 * was put off, "r:ID" for one that was rejected. What is expected to succeed is
 * checked here.
 */
#ifndef DISPATCH_FIXTURE_H
#define DISPATCH_FIXTURE_H

#include "cc_dispatch.h"

typedef struct recorder {
    cc_client *client;
    int room;     /* messages it still takes                       */
    int no_acked; /* "a:ID" is left out                            */
    char text[262144];
    char gap[64]; /* id of the last one                            */
} recorder;

extern struct event_base *base;
extern cc_config *config;
extern cc_inbox *inbox;
extern cc_dispatch *dispatch;
extern recorder one, two; /* attached                                        */
extern cc_intake intake;  /* of the last batch                               */

void set_up(void);
void tear_down(void);

/** Go on with the files as a crash would leave them at this moment. */
void crash(void);

/** Of the configuration, for the next crash(). */
void read_config(const char *text);

/** With what is appended to its name. */
const char *inbox_path(const char *suffix);

void attach(recorder *r);
void detach(recorder *r);
void subscribe(recorder *r, const char *app, int window);
void ack(recorder *r, const char *id);

/** What it was told since the last call. */
const char *told(recorder *r);

/** A batch as a server sends it. */
cc_status take_text(const char *server, const char *text);
/** Messages "PREFIX<from>" ... "PREFIX<to>" for an application. */
void take_range(const char *app, const char *prefix, int from, int to);
/** Message "PREFIX1" for "orders". */
void take(const char *prefix);

#endif
