/* SPDX-License-Identifier: Apache-2.0
 * call_steps.h - a child that is stopped at the entry and the exit of each of its
 * system calls, and can be killed there.
 *
 * What it changes in files is recorded on the way, so that a power cut can be
 * played through afterwards (power_cut.h).
 */
#ifndef CALL_STEPS_H
#define CALL_STEPS_H

#include <stddef.h>
#include <stdint.h>

typedef enum {
    STEP_WRITE,  /* `len` bytes of `data` at `offset`                         */
    STEP_LENGTH, /* cut or grown to `offset` bytes                            */
    STEP_SYNC,   /* all before is on the disk; of a directory: its names     */
    STEP_MAKE,   /* a new, empty file                                        */
    STEP_LINK,   /* `to` is a second name                                    */
    STEP_RENAME, /* `to` is the name now                                     */
    STEP_REMOVE
} step_kind;

/* What a system call did to a file. */
typedef struct step_change {
    step_kind kind;
    int stop;       /* number of the stop at its entry                        */
    int told;       /* *told at this time                                     */
    char path[256]; /* as the child has it                                    */
    char to[256];
    int64_t offset;
    size_t len;
    char *data; /* owned                                                  */
} step_change;

typedef struct step_log {
    step_change *list;
    size_t count, room;
} step_log;

typedef struct step_run {
    void (*work)(void *baton); /* what the child does                         */
    void *baton;
    void (*begun)(void *baton); /* in the parent, when the child has called
                                   steps_begin(); NULL: nothing               */
    const char *directory;      /* files in it are looked at                  */
    const volatile int *told;   /* in shared memory                           */
    int kill_at;                /* number of a stop; 0: to the end            */
    int tear;      /* at a write: half of it is done before the child dies    */
    step_log *log; /* NULL: nothing is recorded                               */
} step_run;

/** May a process trace its child here? */
int steps_possible(void);

/** In the child: count from here. */
void steps_begin(void);

/**
 * Fork, run, kill.
 * @return the number of stops there were; at `kill_at` the child was killed, and
 *         less than that means that it had ended before. The test fails when the
 *         child ends with anything but 0.
 */
int steps_run(const step_run *run);

void steps_log_clear(step_log *log);

#endif
