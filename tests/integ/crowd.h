/* SPDX-License-Identifier: Apache-2.0
 * crowd.h - many clients at once, each in the middle of something: polls and
 * event streams that are held, publishes whose body has come by half.
 */
#ifndef CROWD_H
#define CROWD_H

#include "parking.h"

#define CROWD_POLLS   1000
#define CROWD_STREAMS 100
#define CROWD_HALVES  48

/** A publish for the client "half" whose body has not come to its end. */
typedef struct crowd_half {
    http *c;
    const char *rest; /* what is missing                                    */
    int adopted;      /* an event thread reads it, not a worker of the MPM  */
    int finished;     /* the rest was sent, all of it                       */
} crowd_half;

typedef struct crowd {
    const httpd *server;
    int n_polls, n_streams, n_halves;
    http *polls[CROWD_POLLS];
    http *streams[CROWD_STREAMS];
    crowd_half halves[CROWD_HALVES];
    int accepted;  /* halves that were answered 201                          */
    int unsure;    /* those that were cut off after the rest was sent        */
    int waits[16]; /* values of Retry-After, how often each came, s         */
} crowd;

/** Names of all that poll (u0, u1 ...), of "half" and others, for httpd_options.users. */
const char *crowd_users(void);

/** What is held at most, given the descriptors that a process may have. */
int crowd_bound(int polls);

/**
 * Open them and wait until the server holds all. Each eighth speaks TLS.
 * @param fresh  of the halves, those that a worker of the MPM reads
 */
void crowd_open(crowd *all, const httpd *server, int polls, int streams, int halves,
                int fresh);

/** Send the rest of every second half, once; a connection may be gone. */
void crowd_finish_halves(crowd *all);

/**
 * All polls are answered within ms: 204, Connection: close and Retry-After, or
 * 200 with messages; all streams end with a new time to come back.
 * @return polls that got nothing but Retry-After
 */
int crowd_expect_sent_home(crowd *all, int ms);

/** The same for those that are not held any longer. @return how many are held */
int crowd_count_held(crowd *all);

/** Each half is answered or cut off, in the time of Timeout at most; only one whose
 *  rest was sent may be accepted. They are closed. */
void crowd_expect_halves_ended(crowd *all);

/** Half of a message is never queued, a whole one once: what waits for "half" is
 *  what was accepted, and maybe some of those that were cut off. */
void crowd_expect_halves_queued(const crowd *all);

/** Retry-After is spread evenly over the seconds that the server may name. */
void crowd_expect_spread(const crowd *all);

/** Polls and streams do as they are told, and close. */
void crowd_close_held(crowd *all);

/** Close all that is still open. */
void crowd_close(crowd *all);

/** Numbers of messages "NAME-NUMBER;" that wait for a user, each counted in
 *  seen[]; they must be in order. All are acknowledged. @return how many came */
int crowd_drain(const httpd *server, const char *user, const char *name, int *seen,
                int max);

#endif
