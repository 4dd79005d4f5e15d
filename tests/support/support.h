/* SPDX-License-Identifier: Apache-2.0
 * support.h - what integration tests share; include this one header.
 *
 *   reaper.h   a test that dies leaves no process, file or segment
 *   process.h  start a program, run one to its end, wait until something holds
 *   httpd.h    a private httpd with the module that was just built
 *   http.h     a raw HTTP/1.1 client, plain or TLS, one piece at a time
 *   agent.h    a private commclient and a local application to talk to it
 *   load.h     processes that send requests without a pause
 *
 * Every wait has a deadline; when one passes, or a helper cannot do its work,
 * the running test fails with a sentence that says what was waited for. So
 * none of the calls needs its result checked.
 */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <check.h>

#include "agent.h"
#include "http.h"
#include "httpd.h"
#include "load.h"
#include "process.h"
#include "reaper.h"

/**
 * Run a suite as a whole test program.
 * @return for main(): 0 all passed, 1 some failed, 77 the program is skipped.
 */
int support_run(Suite *suite);

/** End the program as skipped, saying why. Call before support_run(). */
void support_skip(const char *reason) __attribute__((noreturn));

/** Built with a sanitizer: it takes the place of the allocator, and its memory is
 *  that of the process. */
int support_sanitized(void);

/** What is tested runs by $TEST_WRAPPER (valgrind). */
int support_wrapped(void);

/** Skip the program unless there is an httpd that tests can start. */
void support_need_httpd(void);

/** Fail the test, and say why on stderr too: Check keeps silent about what
 *  fails in an unchecked teardown. */
void support_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Where a test that tries things by chance begins: the number in this variable of
 *  the environment, or one that is drawn. It is shown, to be given again. */
unsigned support_seed(const char *variable);

/** Absolute path of a file of the build tree; in a static ring of buffers. */
const char *support_build_path(const char *relative);

/** Absolute path of a built program itself, where libtool has put a script in
 *  its place. */
const char *support_program(const char *relative);

/** Absolute path of a file of the source tree. */
const char *support_source_path(const char *relative);

/** printf into a static ring of 64 buffers, 8 KiB each. */
const char *support_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * A member of a JSON text as text: strings without quotes, all else as JSON.
 * @param path  "message.id", "messages.0.data"; "" is the whole
 * @return in the ring of support_text; NULL: the text has no such member
 */
const char *support_json(const char *json, const char *path);

#endif
