/* SPDX-License-Identifier: Apache-2.0
 * process.h - start programs, wait for events with a deadline.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stddef.h>
#include <sys/types.h>

typedef struct process_options {
    const char *const *argv;        /* argv[0] is a path or looked up in PATH */
    const char *const *environment; /* "NAME=value" added, NULL at the end    */
    const char *directory;          /* where to run; NULL: here               */
    const char *user;               /* run as; NULL: as the test              */
    const char *input;              /* on its stdin; NULL: /dev/null          */
    const char *output;             /* file for stdout and stderr; NULL: ours */
    int wrapped;                    /* run by $TEST_WRAPPER, where that is set */
} process_options;

/** Start a program in a session of its own, known to the reaper. */
pid_t process_start(const process_options *options);

/** Wait for the end of a started program.
 *  @return as waitpid() gives it; the test fails after timeout_ms */
int process_wait(pid_t pid, int timeout_ms, const char *what);

/** 1: it has ended (*out_status is set, the pid is gone); 0: it runs. */
int process_ended(pid_t pid, int *out_status);

/** It exists and is not a zombie. */
int process_alive(pid_t pid);

/** Bytes of its memory that are no file's and not the segment's: which process
 *  has those mapped is up to the kernel. */
long process_memory(pid_t pid);

/** Pages that the kernel has given it so far: hardly any more come to a process
 *  that keeps what it has. */
long process_faults(pid_t pid);

typedef struct process_result {
    int status;   /* exit code; 128 + N when killed by signal N              */
    char *output; /* stdout and stderr as one text; free with _clear         */
} process_result;

/** Run a program to its end, 30 seconds at most. */
process_result process_run(const process_options *options);
void process_result_clear(process_result *result);

/** Run, expect exit code 0, free the rest. */
void process_must(const char *const *argv);

/** Monotonic milliseconds. */
long long process_now_ms(void);

/** Deadlines are multiplied by this (TEST_TIME_SCALE; valgrind, sanitizers). */
int process_scale(int ms);

/** Check the condition every few milliseconds until it holds; the test fails
 *  after ms milliseconds with the text of the condition. */
#define wait_until(condition, ms)                                                        \
    do {                                                                                 \
        long long wait_until_end = process_now_ms() + process_scale(ms);                 \
        while (!(condition)) {                                                           \
            if (process_now_ms() > wait_until_end)                                       \
                ck_abort_msg("not within %d ms: %s", (ms), #condition);                  \
            process_pause();                                                             \
        }                                                                                \
    } while (0)

/** Give way for a few milliseconds; for wait_until only. */
void process_pause(void);

/** A whole file as text, NULL if there is none; free() it. */
char *process_read_file(const char *path);
void process_write_file(const char *path, const char *text);

#endif
