/* SPDX-License-Identifier: Apache-2.0
 * step_tracee.h - a child that is stepped: where it is, what it would leave.
 */
#ifndef STEP_TRACEE_H
#define STEP_TRACEE_H

#include "step_harness.h"

/* What the child says. Shared memory. */
typedef struct step_report {
    int finished; /* the operation has returned                      */
    apr_status_t status;
    int asking; /* the other process is about to ask for a lock    */
} step_report;

extern step_report *step_told;

/** No id is left out of what is compared. */
void step_mask_clear(void);

/** Fork a child, stopped before the operation. */
pid_t step_child_start(const step_operation *op);
/** One instruction. 0: the operation has returned. */
int step_child_step(pid_t child);
/** From the start to where `step` instructions were done. */
void step_child_go(pid_t child, const step_trace *trace, long step);
/** So many instructions. */
void step_child_walk(pid_t child, long steps);
uint64_t step_child_address(pid_t child);
/** The next instruction is a system call. */
int step_child_calls(pid_t child, uint64_t address);

/* ---- what others can see ------------------------------------------------ */

typedef struct step_view {
    pid_t child;
    int remote;  /* the child's own mappings are read               */
    char *bytes; /* of the segment as it was seen last              */
    size_t size;
    char *fresh;      /* remote: read now                                */
    uint64_t base[8]; /* of mappings of the child                        */
    uint64_t length[8];
    int mappings;
    uint64_t robust[3]; /* head of the robust list                         */
    uint64_t robust_at;
} step_view;

void step_view_open(step_view *view, pid_t child, int remote);
/** The child may have other mappings now. */
void step_view_look(step_view *view);
/** Has anything changed since the last call? */
int step_view_changed(step_view *view);
/** Fingerprint of what was seen last. */
uint64_t step_view_print(const step_view *view);
void step_view_close(step_view *view);

#endif
