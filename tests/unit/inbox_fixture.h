/* SPDX-License-Identifier: Apache-2.0
 * inbox_fixture.h - an inbox in a temporary directory, and short calls of it.
 *
 * All messages are of the application "orders". What is expected to succeed is
 * checked here.
 */
#ifndef INBOX_FIXTURE_H
#define INBOX_FIXTURE_H

#include "cc_inbox.h"

#define NOW 1800000000000ll /* ms                                           */
#define DAY 86400000ll

extern cc_inbox *inbox;
extern char inbox_path[256];
extern char *inbox_error; /* of the last opening                             */

void inbox_set_up(void);
void inbox_tear_down(void);
void inbox_open_again(void);
void inbox_reopen(void);

/** The text lives until the next call. */
cc_envelope inbox_message(const char *id, const char *app, const char *data);

/** Within a transaction. */
cc_status inbox_put(const char *server, const char *id, int64_t expires, int64_t now);
/** In a transaction of its own. */
cc_status inbox_add_expiring(const char *server, const char *id, int64_t expires,
                             int64_t now);
/** The same, of server "main", with a day to live. */
cc_status inbox_add(const char *id);
/** Harmless to repeat. */
void inbox_remove(int64_t seq);
int64_t inbox_count(void);

typedef struct loaded {
    int count;
    char ids[256];
    int attempt; /* of the last, as the others                            */
    int64_t seq;
    int64_t due;
    int receipt;
} loaded;

loaded inbox_load(int64_t after, int limit);

#endif
