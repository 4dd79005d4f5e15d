/* SPDX-License-Identifier: Apache-2.0
 * csq_fixture.h - a small segment of its own for each test, a fake clock, and
 * short forms of the calls.
 *
 * The segment lies in a directory of its own; teardown audits it and removes
 * everything.
 */
#ifndef CSQ_FIXTURE_H
#define CSQ_FIXTURE_H

#include "csq_private.h"

#include <check.h>

#define FIXTURE_SIZE  (2 * 1024 * 1024)
#define FIXTURE_SLOTS 4
#define SECOND        APR_USEC_PER_SEC

typedef struct csq_fixture {
    apr_pool_t *pool;
    char directory[64];
    char path[96];
    csq_limits limits;
    csq *q;
    csq_batch *batch;
    csq_appended appended; /* by the last append()                          */
    csq_message_info info; /* of the last state_of()                      */
    apr_time_t now;
    int damaged_on_purpose; /* do not audit at the end                     */
} csq_fixture;

extern csq_fixture fx;

void fixture_setup(void);
void fixture_teardown(void);
/** A pool and a directory, but no segment. */
void fixture_setup_bare(void);
void fixture_create(apr_size_t size, unsigned slots);
void fixture_audit(void);

/** Append text as JSON string from app "orders"; expires in an hour. */
apr_status_t put(const char *client, const char *text);
apr_status_t put_full(const char *app, const char *client, const char *text,
                      apr_time_t expires);
/** A message of app "orders" in realm "realm" that expires in an hour. */
csq_message message_of(const char *text);
/** Append it for a client or (device not NULL) a device; out in fx.appended. */
apr_status_t append(const csq_message *message, const char *client, const char *device);
/** Read as a device, acknowledging first, messages of this urgency or more. */
apr_status_t read_as(const char *client, const char *device, const csq_cursor *after,
                     csq_urgency urgency, unsigned max);
/** What became of the message with this id, as a name. */
const char *state_of(const unsigned char *id);
/** Texts of the batch, with blanks between. */
const char *texts(void);
/** Read everything behind `after` (NULL: from the oldest), wait for nothing. */
apr_status_t get(const char *client, const csq_cursor *after);
apr_status_t get_max(const char *client, const csq_cursor *after, unsigned max);
/** Acknowledge `after`, then read. */
apr_status_t acknowledge(const char *client, const csq_cursor *after);
apr_status_t wait_for(const char *client, csq_waiter waiter, int resume);
/** Come back from waiting: what was rung, and listen again. */
int hear(csq_slot *slot, apr_uint32_t *out_numbers, int max, int *out_all);
/** The text of message i without its quotes. */
const char *text_of(unsigned i);
csq_cursor cursor_now(void);
csq_stats stats_now(void);

#define ck_ok(call)             ck_assert_msg_status((call), APR_SUCCESS, #call)
#define ck_status(call, wanted) ck_assert_msg_status((call), (wanted), #call)
void ck_assert_msg_status(apr_status_t got, apr_status_t wanted, const char *call);

#endif
