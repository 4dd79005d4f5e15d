/* SPDX-License-Identifier: Apache-2.0
 * core.c - see core.h.
 */
#include "core.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "support.h"

#define PATTERN_FILE "/proc/sys/kernel/core_pattern"
#define NOT_FOUND    127 /* process_run: there is no such program */

/* ---- where they are ------------------------------------------------------ */

static const char *read_pattern(void)
{
    static char pattern[256];
    FILE *file = fopen(PATTERN_FILE, "re");

    if (!file || !fgets(pattern, sizeof pattern, file))
        pattern[0] = '\0';
    if (file)
        fclose(file);
    return pattern;
}

const char *core_allow(void)
{
    struct rlimit limit;

    getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_CORE, &limit);
    if (limit.rlim_max == 0)
        return "the limit of core files is 0";
    if (support_wrapped() || SANITIZER_PRELOAD[0])
        return "it runs under a wrapper or with sanitizers, which leave none";
    if (strncmp(read_pattern(), "core", 4) != 0)
        return "cores go elsewhere, see " PATTERN_FILE;
    return NULL;
}

int core_each(const char *folder, void (*fn)(const char *path, void *baton), void *baton)
{
    DIR *list = opendir(folder);
    struct dirent *entry;
    int n = 0;

    while (list && (entry = readdir(list)) != NULL) {
        if (strncmp(entry->d_name, "core", 4) != 0)
            continue;
        n++;
        fn(support_text("%s/%s", folder, entry->d_name), baton);
    }
    if (list)
        closedir(list);
    return n;
}

char *core_trace(const char *program, const char *path)
{
    const char *const argv[] = {
        "gdb",   "-batch", "-nx", "-ex", "thread apply all backtrace 40",
        program, path,     NULL
    };
    process_result result = process_run(&(process_options){ .argv = argv });

    if (result.status == NOT_FOUND)
        process_result_clear(&result);
    return result.output;
}

/* ---- whose they are ------------------------------------------------------ */

/* The section of a thread begins with "Thread N (" and ends before the next. */
static const char *next_thread(const char *at)
{
    while (at && *at) {
        if (strncmp(at, "Thread ", 7) == 0)
            return at;
        at = strchr(at, '\n');
        at += at != NULL;
    }
    return NULL;
}

static size_t section_length(const char *section)
{
    const char *next = next_thread(section + 1);

    return next ? (size_t)(next - section) : strlen(section);
}

static int has(const char *text, size_t len, const char *word)
{
    return memmem(text, len, word, strlen(word)) != NULL;
}

/* gdb numbers the thread that took the signal 1. httpd's own handler sends the
 * signal once more, to the process, and another thread may take that. */
static int has_crashed(const char *section, size_t len)
{
    return strncmp(section, "Thread 1 ", 9) == 0 || has(section, len, "<signal handler");
}

/* Function and library of frame line "#3  0x... in f () from lib", as one text. */
static const char *frame_text(const char *line)
{
    const char *in = strstr(line, " in ");
    const char *end = strchr(line, '\n');

    if (in && (!end || in < end))
        return in + 4;
    return line + 1 + strspn(line + 1, "0123456789 ");
}

static int begins(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strncmp(text, *words, strlen(*words)) == 0)
            return 1;
    return 0;
}

/* From the crash outwards there is nothing but closing a socket, or freeing a
 * connection, for the event MPM. */
static int is_race_of_httpd(const char *section, size_t len)
{
    static const char *const closing[] = { "apr_os_sock_get ",
                                           "apr_socket_close ",
                                           "apr_socket_timeout_set ",
                                           "apr_pool_c",
                                           "apr_pool_destroy ",
                                           "apr_allocator_destroy ",
                                           "ap_queue_info_",
                                           "__GI_munmap ",
                                           "__libc_free ",
                                           "free ",
                                           "close_socket_",
                                           "close_worker_sockets ",
                                           "close_connection",
                                           NULL };
    static const char *const outer[] = { "ap_run_mpm ", "start_thread ", NULL };
    const char *line = section, *end = section + len;

    while ((line = memmem(line, end - line, "\n#", 2)) != NULL) {
        const char *text = frame_text(++line), *stop = strchr(line, '\n');

        if (begins(text, outer))
            return has(section, len, "mod_mpm_event.so");
        if (!begins(text, closing)
            && !has(line, (stop ? stop : end) - line, "mod_mpm_event.so"))
            return 0;
    }
    return 0;
}

core_owner core_judge(const char *trace)
{
    const char *section = next_thread(trace);
    core_owner owner = CORE_UNKNOWN;

    for (; section; section = next_thread(section + 1)) {
        size_t len = section_length(section);

        if (!has_crashed(section, len))
            continue;
        if (has(section, len, "mod_commserver"))
            return CORE_OURS;
        if (is_race_of_httpd(section, len))
            owner = CORE_HTTPD;
    }
    return owner;
}
