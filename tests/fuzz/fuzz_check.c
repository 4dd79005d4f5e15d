/* SPDX-License-Identifier: Apache-2.0
 * fuzz_check.c - what ck_assert() comes to in a fuzz target, which has no
 * runner of Check: fixtures of unit tests can be used in both.
 */
#include <check.h>
#include <stdarg.h>

#include "fuzz.h"

void _mark_point(const char *file, int line)
{
    (void)file;
    (void)line;
}

#if CHECK_MAJOR_VERSION == 0 && CHECK_MINOR_VERSION < 15
void _ck_assert_failed(const char *file, int line, const char *expr, ...)
{
    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, expr);
    abort();
}
#else
void _ck_assert_failed(const char *file, int line, const char *expr, const char *msg, ...)
{
    va_list arguments;

    fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, expr);
    if (msg != NULL) {
        va_start(arguments, msg);
        vfprintf(stderr, msg, arguments);
        va_end(arguments);
        fputc('\n', stderr);
    }
    abort();
}
#endif
