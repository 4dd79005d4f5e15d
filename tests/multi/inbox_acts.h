/* SPDX-License-Identifier: Apache-2.0
 * inbox_acts.h - all that the agent does with its inbox, one act each, for tests
 * that break it off (killed, a system call fails, no memory).
 *
 * What lies in an inbox becomes one line:
 *
 *   @CURSOR  APP:ID/ATTEMPT  (a "+" behind it: put off)  -ID (done with, known)
 *   dead:ID/ATTEMPT  report:ID  gap:APP/COUNT  spool:DATA  app:NAME
 *
 * An act says which lines there are: before it, and after each transaction. It
 * says too which of them was told to somebody: an application that its message
 * is acknowledged, a server that a batch is taken over.
 */
#ifndef INBOX_ACTS_H
#define INBOX_ACTS_H

#include "cc_dispatch.h"

#define ACT_STATES_MAX 4

/* Who can do it once more: nobody, the same agent, also the next one. */
typedef enum { ACT_NEVER_AGAIN, ACT_SAME_AGENT, ACT_NEXT_AGENT } act_again;

typedef struct inbox_act {
    const char *name;
    void (*file)(void);    /* makes the file; NULL: there is none yet         */
    void (*prepare)(void); /* with the inbox open; NULL: nothing              */
    void (*act)(void);
    int closed;      /* the act begins with nothing open                    */
    act_again again; /* done once more, it ends in the last state           */
    const char *states[ACT_STATES_MAX];
} inbox_act;

extern const inbox_act inbox_acts[];
extern const size_t inbox_act_count;

/* Number of the last state that somebody was told of; may lie in shared memory. */
extern volatile int *act_told;

/** Where the inbox lies, for all that follows. */
void act_directory_set(const char *directory);
const char *act_path(const char *suffix);

/** Open inbox, dispatch and outbox.
 *  @return CC_OK, or why not, with nothing open */
cc_status act_open(void);
void act_close(void);
int act_is_open(void);

/** Before the act: the file, and what `prepare` does. The inbox is open then,
 *  unless the act begins without. */
void act_prepare(const inbox_act *act);

void act_run(const inbox_act *act);

/** Number of its last state. */
int act_last_state(const inbox_act *act);

/** What the agent does later by itself: commit what is collected. */
void act_go_on(void);

/** What is in the inbox that is open; checked on the way: messages are whole,
 *  the numbers in memory are those of the file. Lives until the next call. */
const char *act_text(void);

/** SQLite's own check of the file, which nobody has open; "ok". */
const char *act_integrity(void);

/** Files that were set aside as damaged. */
int act_count_damaged(void);

#endif
