/* SPDX-License-Identifier: Apache-2.0
 * cc_process.c - a program that is run with bytes on its stdin, to its end.
 */
#include "cc_compat.h"
#include "cc_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#define READ_STEP  16384  /* bytes of stderr read at once                     */
#define READ_LAST  16     /* such steps at the end, for what is in the pipe   */
#define GROUP_STEP 100000 /* us between two looks whether the group is gone   */

struct cc_process {
    pid_t pid; /* leader of its group                                     */
    void (*ended)(void *baton, const cc_process_end *end);
    void *baton;
    cc_slice input;            /* what is not written yet                        */
    struct event *child;       /* SIGCHLD                                        */
    struct event *input_event; /* NULL: closed                                   */
    struct event *error_event;
    struct event *timeout; /* until SIGTERM                                  */
    struct event *grace;   /* until SIGKILL                                  */
    struct event *group;   /* looks whether the group is gone                */
    int status;
    int has_ended; /* the leader                                            */
    int timed_out;
    int terminating;
    int killed;
    size_t error_len;
    char errors[CC_PROCESS_ERRORS];
};

/* ---- end ------------------------------------------------------------- */

static void free_event(struct event **event)
{
    if (*event != NULL)
        event_free(*event);
    *event = NULL;
}

/* An event and the descriptor it waits for. */
static void close_event(struct event **event)
{
    int descriptor;

    if (*event == NULL)
        return;
    descriptor = event_get_fd(*event);
    free_event(event);
    close(descriptor);
}

static void free_process(cc_process *process)
{
    close_event(&process->input_event);
    close_event(&process->error_event);
    free_event(&process->child);
    free_event(&process->timeout);
    free_event(&process->grace);
    free_event(&process->group);
    free(process);
}

static void keep_errors(cc_process *process, const char *data, size_t len)
{
    size_t over;

    if (len > CC_PROCESS_ERRORS) {
        data += len - CC_PROCESS_ERRORS;
        len = CC_PROCESS_ERRORS;
    }
    if (process->error_len + len > CC_PROCESS_ERRORS) {
        over = process->error_len + len - CC_PROCESS_ERRORS;
        memmove(process->errors, process->errors + over, process->error_len - over);
        process->error_len -= over;
    }
    memcpy(process->errors + process->error_len, data, len);
    process->error_len += len;
}

/* 1: there may be more. */
static int read_errors(cc_process *process)
{
    char step[READ_STEP];
    ssize_t n;

    if (process->error_event == NULL)
        return 0;
    n = read(event_get_fd(process->error_event), step, sizeof(step));
    if (n > 0)
        keep_errors(process, step, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        close_event(&process->error_event);
    return n > 0;
}

static void finish(cc_process *process)
{
    cc_process_end end;
    int i;

    for (i = 0; i < READ_LAST; i++) {
        if (!read_errors(process))
            break;
    }
    end.status = process->status;
    end.timed_out = process->timed_out;
    end.errors.data = process->errors;
    end.errors.len = process->error_len;
    process->ended(process->baton, &end);
    free_process(process);
}

static int is_group_gone(const cc_process *process)
{
    return kill(-process->pid, 0) != 0 && errno == ESRCH;
}

/* The number of the group cannot be given to others while somebody is in it,
 * and it is looked at often: so no stranger is hit. */
static void on_group(evutil_socket_t ignored, short what, void *baton)
{
    cc_process *process = baton;
    struct timeval step = { 0, GROUP_STEP };

    (void)ignored;
    (void)what;
    if (process->killed || is_group_gone(process))
        finish(process);
    else
        event_add(process->group, &step);
}

/* Children of others are not touched. */
static void on_child(evutil_socket_t number, short what, void *baton)
{
    cc_process *process = baton;
    pid_t pid;

    (void)number;
    (void)what;
    if (process->has_ended)
        return;
    pid = waitpid(process->pid, &process->status, WNOHANG);
    if (pid == 0 || (pid < 0 && errno == EINTR))
        return;
    if (pid < 0)
        process->status = W_EXITCODE(255, 0); /* somebody else has asked      */
    process->has_ended = 1;
    event_del(process->child);
    event_del(process->timeout);
    close_event(&process->input_event);
    if (process->terminating)
        on_group(-1, 0, process);
    else
        finish(process);
}

static void on_grace(evutil_socket_t ignored, short what, void *baton)
{
    cc_process *process = baton;

    (void)ignored;
    (void)what;
    process->killed = 1;
    kill(-process->pid, SIGKILL);
    if (process->has_ended)
        event_active(process->group, EV_TIMEOUT, 0);
}

void cc_process_terminate(cc_process *process)
{
    struct timeval grace = { CC_PROCESS_GRACE, 0 };

    if (process->terminating)
        return;
    process->terminating = 1;
    kill(-process->pid, SIGTERM);
    kill(-process->pid, SIGCONT);
    event_add(process->grace, &grace);
}

static void on_timeout(evutil_socket_t ignored, short what, void *baton)
{
    cc_process *process = baton;

    (void)ignored;
    (void)what;
    if (process->terminating)
        return;
    process->timed_out = 1;
    cc_process_terminate(process);
}

void cc_process_destroy(cc_process *process)
{
    if (!process->has_ended || process->terminating)
        kill(-process->pid, SIGKILL);
    free_process(process);
}

/* ---- input and output ------------------------------------------------ */

static void on_stderr(evutil_socket_t ignored, short what, void *baton)
{
    (void)ignored;
    (void)what;
    read_errors(baton);
}

/* A program need not read all; when it closes its end, the rest is dropped. */
static void on_stdin(evutil_socket_t descriptor, short what, void *baton)
{
    cc_process *process = baton;
    ssize_t n = 0;

    (void)what;
    if (process->input.len > 0)
        n = write(descriptor, process->input.data, process->input.len);
    if (n > 0) {
        process->input.data += n;
        process->input.len -= (size_t)n;
    }
    if (process->input.len == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        close_event(&process->input_event);
}

/* ---- begin ----------------------------------------------------------- */

/* Their ends, as the program and the agent hold them. */
typedef struct pipes {
    int its_stdin;
    int our_stdin;
    int its_stderr;
    int our_stderr;
} pipes;

static cc_status open_pipes(pipes *p)
{
    int in[2], err[2];

    if (pipe2(in, O_CLOEXEC) != 0)
        return CC_SYSTEM;
    if (pipe2(err, O_CLOEXEC) != 0) {
        close(in[0]);
        close(in[1]);
        return CC_SYSTEM;
    }
    p->its_stdin = in[0];
    p->our_stdin = in[1];
    p->our_stderr = err[0];
    p->its_stderr = err[1];
    fcntl(p->our_stdin, F_SETFL, O_NONBLOCK);
    fcntl(p->our_stderr, F_SETFL, O_NONBLOCK);
    return CC_OK;
}

/* Each returns 0 or a number of errno. */

static int set_actions(posix_spawn_file_actions_t *actions, const pipes *p)
{
    int rv = posix_spawn_file_actions_adddup2(actions, p->its_stdin, STDIN_FILENO);

    if (rv == 0)
        rv = posix_spawn_file_actions_addopen(actions, STDOUT_FILENO, "/dev/null",
                                              O_WRONLY, 0);
    if (rv == 0)
        rv = posix_spawn_file_actions_adddup2(actions, p->its_stderr, STDERR_FILENO);
    if (rv == 0)
        rv = posix_spawn_file_actions_addclosefrom_np(actions, STDERR_FILENO + 1);
    if (rv == 0)
        rv = posix_spawn_file_actions_addchdir_np(actions, "/");
    return rv;
}

static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t signals;
    int rv = posix_spawnattr_setflags(
        attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

    sigemptyset(&signals);
    if (rv == 0)
        rv = posix_spawnattr_setsigmask(attributes, &signals);
    sigfillset(&signals);
    if (rv == 0)
        rv = posix_spawnattr_setsigdefault(attributes, &signals);
    return rv;
}

static int spawn(const cc_process_options *options, const pipes *p, pid_t *out_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int rv = posix_spawn_file_actions_init(&actions);

    if (rv != 0)
        return rv;
    rv = posix_spawnattr_init(&attributes);
    if (rv == 0) {
        rv = set_actions(&actions, p);
        if (rv == 0)
            rv = set_attributes(&attributes);
        if (rv == 0)
            rv = posix_spawn(out_pid, options->argv[0], &actions, &attributes,
                             options->argv, options->environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return rv;
}

static void watch(cc_process *process, struct event_base *base, const pipes *p,
                  int timeout)
{
    struct timeval limit = { timeout, 0 };

    process->input_event =
        event_new(base, p->our_stdin, EV_WRITE | EV_PERSIST, on_stdin, process);
    process->error_event =
        event_new(base, p->our_stderr, EV_READ | EV_PERSIST, on_stderr, process);
    process->timeout = evtimer_new(base, on_timeout, process);
    process->grace = evtimer_new(base, on_grace, process);
    process->group = evtimer_new(base, on_group, process);
    event_add(process->input_event, NULL);
    event_add(process->error_event, NULL);
    event_add(process->timeout, &limit);
}

cc_status cc_process_start(struct event_base *base, const cc_process_options *options,
                           cc_process **out_process)
{
    cc_process *process = cc_alloc(sizeof(*process));
    pipes p;
    int rv;

    if (open_pipes(&p) != CC_OK) {
        rv = errno;
        free(process);
        errno = rv;
        return CC_SYSTEM;
    }
    process->ended = options->ended;
    process->baton = options->baton;
    process->input = options->input;
    /* Before it is started, so that its end cannot be missed. */
    process->child = evsignal_new(base, SIGCHLD, on_child, process);
    event_add(process->child, NULL);
    rv = spawn(options, &p, &process->pid);
    close(p.its_stdin);
    close(p.its_stderr);
    if (rv != 0) {
        close(p.our_stdin);
        close(p.our_stderr);
        free_process(process);
        errno = rv;
        return CC_SYSTEM;
    }
    watch(process, base, &p, options->timeout);
    *out_process = process;
    return CC_OK;
}
