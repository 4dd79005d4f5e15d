/* SPDX-License-Identifier: Apache-2.0
 * csq_state.h - a segment with something of everything in it, and its stops and
 * starts, for check_csq_state.c and check_csq_state_damage.c.
 */
#ifndef CSQ_STATE_H
#define CSQ_STATE_H

#include "csq_fixture.h"

#define STATE_CLIENTS 12

extern csq_outcome state_outcome; /* of the last start                      */

/* ---- stops and starts ---- */

void state_setup(void);
void state_teardown(void);
/** The saved state, or a file beside it. */
const char *state_path(const char *suffix);
apr_status_t state_try_start(apr_size_t size, unsigned slots);
void state_start(void);
/** Save, and end. */
void state_stop(void);
/** End without saving. */
void state_end(void);
int state_there(const char *path);
void state_copy_file(const char *from, const char *to);

/* ---- something of everything ---- */

void state_fill(void);
const char *state_client_name(int i);
apr_status_t state_fetch(const char *client, const char *device, const csq_cursor *after,
                         int max, int peek);
void state_publish(const csq_message *what, const csq_key *to, int n, unsigned char *id);

/* ---- is it all there? ---- */

int state_has_gap(void);
int state_client_is_whole(int i);
void state_expect_everything(void);
void state_expect_restored(void);
/** These change what is there: at the end. */
void state_expect_receipts(void);
void state_expect_groups(void);

#endif
