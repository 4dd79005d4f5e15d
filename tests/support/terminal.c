/* SPDX-License-Identifier: Apache-2.0
 * terminal.c - see terminal.h.
 */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "support.h"

#define EVENT_MS 20000

struct terminal {
    int fd;    /* of the side that the user sits at                            */
    int line;  /* of the program's side, so that it does not hang up           */
    pid_t pid; /* 0: it has ended                                             */
    char *out;
    size_t len;
};

static void execute(const char *const *argv, const char *const *environment, int line)
{
    setsid();
    reaper_group(getpid());
    ioctl(line, TIOCSCTTY, 0);
    tcsetpgrp(line, getpid());
    dup2(line, 0);
    dup2(line, 1);
    dup2(line, 2);
    for (; environment && *environment; environment++)
        putenv(strdup(*environment));
    execvp(argv[0], (char *const *)argv);
    _exit(127);
}

terminal *terminal_start(const char *const *argv, const char *const *environment,
                         int columns, int lines)
{
    struct winsize size = { .ws_col = columns, .ws_row = lines };
    terminal *t = calloc(1, sizeof *t);

    ck_assert_int_eq(openpty(&t->fd, &t->line, NULL, NULL, &size), 0);
    fcntl(t->fd, F_SETFD, FD_CLOEXEC);
    fcntl(t->line, F_SETFD, FD_CLOEXEC);
    t->out = calloc(1, 1);
    reaper_prepare();
    t->pid = fork();
    ck_assert_int_ge(t->pid, 0);
    if (t->pid == 0)
        execute(argv, environment, t->line);
    return t;
}

/* Take what is there, or comes within ms. */
static int receive(terminal *t, int ms)
{
    struct pollfd one = { t->fd, POLLIN, 0 };
    char step[4096];
    ssize_t n;

    if (poll(&one, 1, ms) <= 0)
        return 0;
    n = read(t->fd, step, sizeof step);
    if (n <= 0)
        return 0;
    t->out = realloc(t->out, t->len + n + 1);
    memcpy(t->out + t->len, step, n);
    t->len += n;
    t->out[t->len] = '\0';
    return 1;
}

void terminal_expect(terminal *t, const char *text)
{
    long long end = process_now_ms() + process_scale(EVENT_MS);

    while (!strstr(t->out, text)) {
        if (process_now_ms() > end)
            ck_abort_msg("'%s' does not appear, but: %s", text, t->out);
        receive(t, 50);
    }
}

const char *terminal_output(terminal *t)
{
    while (receive(t, 0))
        ;
    return t->out;
}

void terminal_forget(terminal *t)
{
    terminal_output(t);
    t->len = 0;
    t->out[0] = '\0';
}

void terminal_type(terminal *t, const char *keys)
{
    ck_assert_int_eq(write(t->fd, keys, strlen(keys)), (ssize_t)strlen(keys));
}

void terminal_signal(terminal *t, int number)
{
    kill(t->pid, number);
}

void terminal_resize(terminal *t, int columns, int lines)
{
    struct winsize size = { .ws_col = columns, .ws_row = lines };

    ck_assert_int_eq(ioctl(t->fd, TIOCSWINSZ, &size), 0);
}

int terminal_echoes(terminal *t)
{
    struct termios state;

    ck_assert_int_eq(tcgetattr(t->line, &state), 0);
    return (state.c_lflag & ECHO) != 0;
}

static int is_stopped(pid_t pid)
{
    siginfo_t info = { .si_pid = 0 };

    return waitid(P_PID, pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0
           && info.si_pid == pid;
}

void terminal_wait_stop(terminal *t)
{
    wait_until(is_stopped(t->pid), EVENT_MS);
}

/* The output is read meanwhile, so that the program can write it. */
int terminal_wait(terminal *t)
{
    long long end = process_now_ms() + process_scale(EVENT_MS);
    int status;

    while (!process_ended(t->pid, &status)) {
        if (process_now_ms() > end)
            ck_abort_msg("the program on the terminal does not end: %s", t->out);
        receive(t, 10);
    }
    t->pid = 0;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void terminal_end(terminal *t)
{
    if (t->pid > 0) {
        kill(t->pid, SIGKILL);
        process_wait(t->pid, EVENT_MS, "the program on the terminal");
    }
    close(t->fd);
    close(t->line);
    free(t->out);
    free(t);
}
