/* SPDX-License-Identifier: Apache-2.0
 * step_harness.h - run one operation in a child, one instruction at a time, and
 * kill it behind any of them.
 *
 * What a death leaves is what others can see: the segment, and what the kernel
 * does when the process is gone (it walks the robust list, drops file locks) or
 * has done before (files). So an instruction that changes neither the segment
 * nor the head of the robust list, and is no system call, leaves what the one
 * before it has left. To kill behind each of the others is to kill everywhere:
 * these are the `places` of a trace. (Between them only registers and memory of
 * the child's own change, which die with it.)
 *
 * All runs of an operation are alike to the last bit, so that a place that one
 * run has found is met again by the next: random numbers and clocks are ours
 * while the operation is prepared and runs (the wrapped calls in
 * step_determinism.c), and each run is a fresh child of a process that does
 * nothing else. Each kill checks that what it leaves is what was recorded
 * there; process ids are left out.
 *
 * To reach a place far away the child runs up to a breakpoint near it and is
 * stepped from there.
 */
#ifndef STEP_HARNESS_H
#define STEP_HARNESS_H

#include "csq_fixture.h"

#include <sys/types.h>

#define STEP_SEGMENT       (128 * 1024)
#define STEP_SMALL_SEGMENT (112 * 1024) /* what takes over visits all of it   */

/* flags */
#define STEP_SERVER  1 /* the child is the server: nobody else has the segment*/
#define STEP_NO_COPY 2 /* locks and files matter: no copy can be judged       */
#define STEP_GAP     4 /* a gap may be told                                   */
#define STEP_LONG    8 /* visits the whole segment: not in each `make check`  */

typedef struct step_operation {
    const char *name;
    void (*prepare)(void);       /* by the one who judges; NULL: nothing        */
    void (*begin)(void);         /* by the child, before it is stepped; NULL     */
    apr_status_t (*run)(void);   /* the operation; it must succeed             */
    void (*judge)(int finished); /* is it done whole, or not at all? `finished`:
                                   it has returned. Of a server: start again
                                   first                                      */
    void (*meanwhile)(void);     /* by the one who judges, when the child is about
                                   to be killed; NULL                         */
    void (*at_once)(void);       /* what another process does at the moment of
                                   the kill; NULL: step_publish_at_once(), and
                                   nothing beside a server                    */
    unsigned flags;
} step_operation;

/* Where a child can be, and what a death there leaves. In shared memory.     */
#define STEP_STEPS_MAX  (4 * 1024 * 1024)
#define STEP_PLACES_MAX (256 * 1024)
typedef struct step_trace {
    long steps;                     /* instructions until the operation has returned */
    long places;                    /* that leave something else than those before   */
    long calls;                     /* of them, system calls                         */
    uint32_t step[STEP_PLACES_MAX]; /* instructions that were done           */
    uint64_t left[STEP_PLACES_MAX]; /* fingerprint of what is there          */
    uint8_t call[STEP_PLACES_MAX];  /* the instruction before was a system call */
    uint64_t at[STEP_STEPS_MAX];    /* address of the next instruction       */
    uint32_t visit[STEP_STEPS_MAX]; /* the how many-th time, from 1          */
} step_trace;

/* How the one process that goes on comes to the segment. */
typedef enum step_mode {
    STEP_AFTER,  /* it comes at the moment of the kill                      */
    STEP_WAITING /* it waits for a lock that the child holds                */
} step_mode;

void step_setup(void);
void step_teardown(void);
/** 0: tracing is not allowed here, or the machine is not known. */
int step_is_possible(void);

/** Step the operation through once and note all places; judge a copy of the
 *  segment at the first of them and at each `every`-th that follows, 0: at none.
 *  In a process of its own. */
void step_record(const step_operation *op, step_trace *trace, long first, long every);
/** Prepare anew, run the first `step` instructions, kill, go on, judge.
 *  @param place  the last at or before `step` */
void step_kill(const step_operation *op, const step_trace *trace, long place, long step,
               step_mode mode);
#define STEP_NOT_THE_SAME 78 /* exit: this run was not like the one recorded  */

/* ---- for operations ----------------------------------------------------- */

extern apr_pool_t *step_pool;      /* of the segment                          */
extern apr_pool_t *step_slot_pool; /* of a slot that the judge holds           */

/** What the segment is opened with; also for who starts again. */
apr_status_t step_start(apr_size_t size, csq_outcome *out_outcome);
/** The saved state, or a file beside it. */
const char *step_state_path(const char *suffix);
/** Let another process die in the middle of this, as it links an entry, takes one
 *  out of its queue or tells a waiter for the n-th time: its locks are left to
 *  whoever comes. */
void step_leave_half_done(void (*run)(void), int calls);
/** A process, its id not part of what is compared, that ends by SIGKILL. */
void step_die_after(void (*run)(void));

/** Another process whose id is not part of what is compared. */
void step_mask(pid_t process);

/** Messages that a client has, read from the oldest; there is no gap unless the
 *  operation may leave one. */
unsigned step_count(const char *client);
void step_expect(const char *client, const char *wanted);
void step_put(const char *client, const char *device, const char *topic,
              const char *text);
/** APR_SUCCESS for CSQ_EMPTY. */
apr_status_t step_or_empty(apr_status_t rv);

/* Ordinary operations, which must succeed. */
void step_publish_at_once(void);  /* to alice, and take it back             */
void step_fetch_at_once(void);    /* of alice                               */
void step_neighbor_at_once(void); /* the first for one of the same shard    */

extern const step_operation step_publish_operations[];
extern const step_operation step_fetch_operations[];
extern const step_operation step_message_operations[];
extern const step_operation step_group_operations[];
extern const step_operation step_segment_operations[];
extern const step_operation step_server_operations[];

/* ---- between the files of the harness ----------------------------------- */

/** From now on clocks stand still and random numbers are drawn from the start
 *  of one row. */
void step_freeze(void);
void step_thaw(void);
/** The calling process dies in its n-th call of those that are counted. */
void step_die_in(int calls);

#endif
