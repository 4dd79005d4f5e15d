/* SPDX-License-Identifier: Apache-2.0
 * reaper.h - a test that dies leaves nothing behind.
 *
 * A small process beside each test holds a list of process groups and
 * directories. It sees the test's end by a pipe, however that end comes
 * (return, failed assertion, signal, time-out), kills the groups, shows the
 * tails of logs if the test did not end well, unlinks shared memory that the
 * groups had mapped, and removes the directories. support_run() waits for it.
 */
#ifndef REAPER_H
#define REAPER_H

#include <sys/types.h>

/** Have a reaper; before a fork whose child calls reaper_group(). */
void reaper_prepare(void);

/** Kill this process group at the end. */
void reaper_group(pid_t group);

/** The leader has ended; if no other of the group is left, forget it. */
void reaper_group_done(pid_t group);

/** In a process that a test has forked and that does not exec, once its group is
 *  known: the test's end is seen only when all others have let go.           */
void reaper_leave(void);

/** Remove this directory, and all below, or this file, at the end. */
void reaper_directory(const char *path);

/** Show the last lines of this file if the test fails. */
void reaper_log(const char *path);

/** Make a directory below TMPDIR that lives as long as the test; others may
 *  enter it, so that httpd's user can. In the ring of support_text(). */
const char *reaper_temporary(void);

/** Kill a group and wait until none of it is left; remove what of shared
 *  memory it had mapped. Used by the reaper and by tests that say kill -9. */
void reaper_kill_group(pid_t group);

/** The same, but what it had mapped of shared memory stays until the test
 *  ends: for tests that start again on it. */
void reaper_crash_group(pid_t group);

/** Open the pipe whose end says that all reapers are done (support_run). */
void reaper_lifeline_open(void);
void reaper_lifeline_wait(void);

#endif
