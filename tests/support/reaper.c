/* SPDX-License-Identifier: Apache-2.0
 * reaper.c - see reaper.h.
 *
 * The reaper is forked at the first registration of each test process and is
 * spoken to with one line an entry: "group N", "done N", "directory PATH",
 * "log PATH". Lines are shorter than PIPE_BUF, so that children may write too.
 */
#include "reaper.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define ENTRIES_MAX  256
#define TAIL_LINES   40
#define KILL_WAIT_MS 10000
#define LIFELINE_MS  30000

/* What one reaper has to clean up. */
typedef struct entries {
    pid_t groups[ENTRIES_MAX];
    int n_groups;
    char *directories[ENTRIES_MAX];
    int n_directories;
    char *logs[ENTRIES_MAX];
    int n_logs;
} entries;

static int pipe_to_reaper = -1;
static pid_t pipe_owner; /* the process whose reaper it is */
static int lifeline[2] = { -1, -1 };

/* ---- what a group has mapped --------------------------------------------- */

static int group_of(pid_t pid)
{
    char path[64], line[1024];
    char *end;
    int group = -1;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return -1;
    if (fgets(line, sizeof line, file) && (end = strrchr(line, ')')) != NULL) {
        int threads = 1;
        char state;

        /* A leader can be a zombie while its threads still have files open. */
        if (sscanf(
                end + 1,
                " %c %*d %d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %d",
                &state, &group, &threads)
                != 3
            || (state == 'Z' && threads <= 1))
            group = -1;
    }
    fclose(file);
    return group;
}

int process_alive(pid_t pid)
{
    return group_of(pid) >= 0;
}

static void each_segment(pid_t pid, void (*fn)(const char *path))
{
    char path[64], line[1024];
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    file = fopen(path, "re");
    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        char *name = strstr(line, "/dev/shm/");

        if (name && !strstr(name, " (deleted)")) {
            name[strcspn(name, "\n")] = '\0';
            fn(name);
        }
    }
    fclose(file);
}

static void unlink_segment(const char *path)
{
    unlink(path);
}

static void unlink_segments(pid_t pid)
{
    each_segment(pid, unlink_segment);
}

/* Call fn for each living process of the group; how many there are. */
static int each_of_group(pid_t group, void (*fn)(pid_t pid))
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    int n = 0;

    while (proc && (entry = readdir(proc)) != NULL) {
        pid_t pid = atoi(entry->d_name);

        if (pid > 0 && group_of(pid) == group) {
            n++;
            if (fn)
                fn(pid);
        }
    }
    if (proc)
        closedir(proc);
    return n;
}

static void kill_group(pid_t group)
{
    int waited;

    for (waited = 0; waited < KILL_WAIT_MS; waited += 20) {
        if (kill(-group, SIGKILL) != 0 && errno == ESRCH)
            return;
        while (waitpid(-group, NULL, WNOHANG) > 0)
            continue;
        if (each_of_group(group, NULL) == 0)
            return;
        poll(NULL, 0, 20);
    }
}

void reaper_kill_group(pid_t group)
{
    each_of_group(group, unlink_segments);
    kill_group(group);
}

/* ---- the reaper ---------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *st, int flag,
                        struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    remove(path);
    return 0;
}

static void show_tail(const char *path)
{
    char *lines[TAIL_LINES] = { NULL };
    char line[2048];
    unsigned n = 0, i;
    FILE *file = fopen(path, "re");

    if (!file)
        return;
    while (fgets(line, sizeof line, file)) {
        free(lines[n % TAIL_LINES]);
        lines[n++ % TAIL_LINES] = strdup(line);
    }
    fclose(file);
    fprintf(stderr, "---- last lines of %s\n", path);
    for (i = n > TAIL_LINES ? n - TAIL_LINES : 0; i < n; i++)
        fputs(lines[i % TAIL_LINES], stderr);
    fprintf(stderr, "----\n");
    for (i = 0; i < TAIL_LINES; i++)
        free(lines[i]);
}

static void forget_group(entries *all, pid_t group)
{
    int i;

    for (i = 0; i < all->n_groups; i++)
        if (all->groups[i] == group)
            all->groups[i--] = all->groups[--all->n_groups];
}

static void note_line(entries *all, char *line)
{
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "group ", 6) == 0 && all->n_groups < ENTRIES_MAX)
        all->groups[all->n_groups++] = atoi(line + 6);
    else if (strncmp(line, "done ", 5) == 0)
        forget_group(all, atoi(line + 5));
    else if (strncmp(line, "directory ", 10) == 0 && all->n_directories < ENTRIES_MAX)
        all->directories[all->n_directories++] = strdup(line + 10);
    else if (strncmp(line, "log ", 4) == 0 && all->n_logs < ENTRIES_MAX)
        all->logs[all->n_logs++] = strdup(line + 4);
}

static void reap(int from_test)
{
    static entries all;
    char line[4096];
    FILE *in = fdopen(from_test, "r");
    int i;

    while (in && fgets(line, sizeof line, in))
        note_line(&all, line);
    for (i = 0; all.n_groups && i < all.n_logs; i++)
        show_tail(all.logs[i]);
    for (i = 0; i < all.n_groups; i++)
        reaper_kill_group(all.groups[i]);
    for (i = 0; i < all.n_directories; i++)
        nftw(all.directories[i], remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    _exit(0);
}

static void reaper_start(void)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) != 0)
        ck_abort_msg("cannot make a pipe: %s", strerror(errno));
    pid = fork();
    if (pid < 0)
        ck_abort_msg("cannot fork the reaper: %s", strerror(errno));
    if (pid == 0) {
        setsid();
        prctl(PR_SET_NAME, "test-reaper");
        signal(SIGPIPE, SIG_IGN);
        close(ends[1]);
        reap(ends[0]);
    }
    /* Check kills the group of a test when it ends, which may be before the
     * child has come to its setsid(). */
    setpgid(pid, pid);
    close(ends[0]);
    pipe_to_reaper = ends[1];
    pipe_owner = getpid();
}

static void say(const char *word, const char *value)
{
    char line[4096];
    int len = snprintf(line, sizeof line, "%s %s\n", word, value);

    if (pipe_to_reaper < 0 || write(pipe_to_reaper, line, len) != len)
        ck_abort_msg("the reaper is gone: %s", strerror(errno));
}

static void say_group(const char *word, pid_t group)
{
    char number[16];

    snprintf(number, sizeof number, "%d", (int)group);
    say(word, number);
}

/* A forked test must not use its parent's reaper: that one sees the end only
 * when all who hold the pipe are gone. */
void reaper_prepare(void)
{
    if (pipe_to_reaper >= 0 && pipe_owner == getpid())
        return;
    if (pipe_to_reaper >= 0)
        close(pipe_to_reaper);
    reaper_start();
}

void reaper_group(pid_t group)
{
    say_group("group", group);
}

static void let_go(int *descriptor)
{
    if (*descriptor >= 0)
        close(*descriptor);
    *descriptor = -1;
}

void reaper_leave(void)
{
    let_go(&pipe_to_reaper);
    let_go(&lifeline[0]);
    let_go(&lifeline[1]);
}

static void remember_segments(pid_t pid)
{
    each_segment(pid, reaper_directory);
}

void reaper_crash_group(pid_t group)
{
    each_of_group(group, remember_segments);
    kill_group(group);
}

void reaper_group_done(pid_t group)
{
    if (each_of_group(group, NULL) == 0)
        say_group("done", group);
}

void reaper_directory(const char *path)
{
    reaper_prepare();
    say("directory", path);
}

void reaper_log(const char *path)
{
    reaper_prepare();
    say("log", path);
}

const char *reaper_temporary(void)
{
    const char *base = getenv("TMPDIR");
    char path[1024];

    reaper_prepare();
    snprintf(path, sizeof path, "%s/commserver-test.XXXXXX",
             base && *base ? base : "/tmp");
    if (!mkdtemp(path))
        ck_abort_msg("cannot make '%s': %s", path, strerror(errno));
    chmod(path, 0755);
    reaper_directory(path);
    return support_text("%s", path);
}

/* ---- the end of all reapers ---------------------------------------------- */

void reaper_lifeline_open(void)
{
    if (pipe2(lifeline, O_CLOEXEC) != 0)
        perror("pipe");
}

void reaper_lifeline_wait(void)
{
    struct pollfd end = { lifeline[0], POLLIN, 0 };

    if (pipe_to_reaper >= 0)
        close(pipe_to_reaper);
    pipe_to_reaper = -1;
    close(lifeline[1]);
    if (poll(&end, 1, LIFELINE_MS) == 0)
        fprintf(stderr, "a reaper has not ended within %d ms\n", LIFELINE_MS);
    close(lifeline[0]);
}
