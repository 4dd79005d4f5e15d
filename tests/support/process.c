/* SPDX-License-Identifier: Apache-2.0
 * process.c - see process.h.
 */
#include "process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

#define RUN_MS 30000

long long process_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int process_scale(int ms)
{
    const char *scale = getenv("TEST_TIME_SCALE");
    int factor = scale ? atoi(scale) : 1;

    return ms * (factor > 0 ? factor : 1);
}

void process_pause(void)
{
    poll(NULL, 0, 5);
}

/* ---- starting ------------------------------------------------------------ */

/* A descriptor from which `text` can be read, for any length of text. */
static int open_input(const char *text)
{
    int fd;

    if (!text)
        return open("/dev/null", O_RDONLY | O_CLOEXEC);
    fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)
        || lseek(fd, 0, SEEK_SET) != 0)
        ck_abort_msg("cannot prepare the input: %s", strerror(errno));
    return fd;
}

static void become(const char *user)
{
    struct passwd *entry = getpwnam(user);

    if (!entry || setgroups(0, NULL) || setgid(entry->pw_gid) || setuid(entry->pw_uid)) {
        fprintf(stderr, "cannot become '%s'\n", user);
        _exit(126);
    }
}

/* The words of the wrapper first. Returns where that cannot be run. */
static void execute_argv(const char *wrapper, const char *const *argv)
{
    char *all[64], *words = strdup(wrapper ? wrapper : ""), *state, *word;
    size_t n = 0;

    for (word = strtok_r(words, " ", &state); word && n < 32;
         word = strtok_r(NULL, " ", &state))
        all[n++] = word;
    for (; *argv && n < 63; argv++)
        all[n++] = (char *)*argv;
    all[n] = NULL;
    execvp(all[0], all);
}

/* In the child; does not return. */
static void execute(const process_options *options, int in, int out)
{
    const char *const *variable;

    setsid();
    reaper_group(getpid());
    signal(SIGPIPE, SIG_DFL);
    dup2(in, 0);
    if (out >= 0) {
        dup2(out, 1);
        dup2(out, 2);
    }
    for (variable = options->environment; variable && *variable; variable++)
        putenv(strdup(*variable));
    if (options->directory && chdir(options->directory) != 0)
        _exit(126);
    if (options->user)
        become(options->user);
    execute_argv(options->wrapped ? getenv("TEST_WRAPPER") : NULL, options->argv);
    fprintf(stderr, "cannot run '%s': %s\n", options->argv[0], strerror(errno));
    _exit(127);
}

static pid_t start_with(const process_options *options, int out)
{
    int in = open_input(options->input);
    pid_t pid;

    reaper_prepare();
    pid = fork();
    if (pid < 0)
        ck_abort_msg("cannot fork: %s", strerror(errno));
    if (pid == 0)
        execute(options, in, out);
    close(in);
    return pid;
}

pid_t process_start(const process_options *options)
{
    int out = -1;
    pid_t pid;

    if (options->output) {
        out = open(options->output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (out < 0)
            ck_abort_msg("cannot open '%s': %s", options->output, strerror(errno));
    }
    pid = start_with(options, out);
    if (out >= 0)
        close(out);
    return pid;
}

/* ---- ending -------------------------------------------------------------- */

int process_ended(pid_t pid, int *out_status)
{
    pid_t found = waitpid(pid, out_status, WNOHANG);

    if (found == pid) {
        reaper_group_done(pid);
        return 1;
    }
    if (found < 0)
        ck_abort_msg("cannot wait for process %d: %s", (int)pid, strerror(errno));
    return 0;
}

int process_wait(pid_t pid, int timeout_ms, const char *what)
{
    long long end = process_now_ms() + process_scale(timeout_ms);
    int status = 0;

    while (!process_ended(pid, &status)) {
        if (process_now_ms() > end)
            support_fail("%s has not ended within %d ms", what, timeout_ms);
        process_pause();
    }
    return status;
}

static char *read_all(int fd)
{
    off_t size = lseek(fd, 0, SEEK_END);
    char *text = malloc(size + 1);

    if (!text || pread(fd, text, size, 0) != (ssize_t)size)
        ck_abort_msg("cannot read back an output: %s", strerror(errno));
    text[size] = '\0';
    return text;
}

process_result process_run(const process_options *options)
{
    process_result result = { 0, NULL };
    int out = memfd_create("output", MFD_CLOEXEC);
    int status;

    status = process_wait(start_with(options, out), RUN_MS, options->argv[0]);
    result.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    result.output = read_all(out);
    close(out);
    return result;
}

void process_result_clear(process_result *result)
{
    free(result->output);
    result->output = NULL;
}

void process_must(const char *const *argv)
{
    process_result result = process_run(&(process_options){ .argv = argv });

    if (result.status != 0)
        ck_abort_msg("'%s' ended with %d: %s", argv[0], result.status, result.output);
    process_result_clear(&result);
}

/* ---- files --------------------------------------------------------------- */

char *process_read_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text;

    if (fd < 0)
        return NULL;
    text = read_all(fd);
    close(fd);
    return text;
}

void process_write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        ck_abort_msg("cannot write '%s': %s", path, strerror(errno));
}

long process_faults(pid_t pid)
{
    FILE *file = fopen(support_text("/proc/%d/stat", (int)pid), "re");
    char line[1024] = "";
    long n = -1;

    ck_assert_ptr_nonnull(file);
    ck_assert_ptr_nonnull(fgets(line, sizeof line, file));
    fclose(file);
    ck_assert_int_eq(sscanf(strrchr(line, ')'), ") %*c %*d %*d %*d %*d %*d %*u %ld", &n),
                     1);
    return n;
}

long process_memory(pid_t pid)
{
    char path[64], line[256];
    FILE *file;
    long n = -1;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    file = fopen(path, "re");
    ck_assert_ptr_nonnull(file);
    while (n < 0 && fgets(line, sizeof line, file))
        sscanf(line, "Anonymous: %ld", &n);
    fclose(file);
    ck_assert_int_ge(n, 0);
    return n * 1024;
}
