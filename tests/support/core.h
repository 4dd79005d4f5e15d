/* SPDX-License-Identifier: Apache-2.0
 * core.h - core files, and whose crash each of them shows.
 *
 * httpd 2.4's event MPM has a race of its own: when a child is stopped at once,
 * close_worker_sockets() walks over sockets that workers are closing and freeing
 * at that moment. A test that stops a busy server therefore looks into each core
 * before it calls a crash ours.
 */
#ifndef CORE_H
#define CORE_H

typedef enum {
    CORE_HTTPD,  /* the race in the event MPM that is described above          */
    CORE_OURS,   /* a thread that crashed was in mod_commserver                */
    CORE_UNKNOWN /* something else: to be looked into                          */
} core_owner;

/** Let programs that are started from now on leave core files where they run.
 *  @return NULL, or why there will be none that can be found */
const char *core_allow(void);

/** Call fn for each core file in a folder. @return how many there are */
int core_each(const char *folder, void (*fn)(const char *path, void *baton), void *baton);

/** What each thread was doing, one section a thread.
 *  @return NULL: there is no gdb; else free() it */
char *core_trace(const char *program, const char *path);

/** Whose crash a trace shows. */
core_owner core_judge(const char *trace);

#endif
