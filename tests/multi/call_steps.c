/* SPDX-License-Identifier: Apache-2.0
 * call_steps.c - see call_steps.h.
 */
#include "call_steps.h"
#include "support/support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRAP (SIGTRAP | 0x80)

typedef struct __ptrace_syscall_info call_info;

/* What is known of the child at a stop. */
typedef struct tracing {
    const step_run *run;
    pid_t child;
    int stops;
    step_change change; /* of the call that it is in                          */
    int has_change;
} tracing;

void steps_begin(void)
{
    raise(SIGSTOP);
}

/* ---- looking into the child ---------------------------------------------- */

static void read_child(pid_t child, uint64_t address, void *out, size_t len)
{
    struct iovec here = { out, len }, there = { (void *)(uintptr_t)address, len };

    ck_assert_int_eq(process_vm_readv(child, &here, 1, &there, 1, 0), (ssize_t)len);
}

static void read_text(pid_t child, uint64_t address, char *out, size_t size)
{
    size_t i = 0;

    do {
        ck_assert_uint_lt(i, size);
        read_child(child, address + i, out + i, 1);
    } while (out[i++] != '\0');
}

static const char *link_of(pid_t child, int descriptor)
{
    return support_text("/proc/%d/fd/%d", (int)child, descriptor);
}

static int is_looked_at(const tracing *t, const char *path)
{
    size_t len = strlen(t->run->directory);

    return strncmp(path, t->run->directory, len) == 0
           && (path[len] == '\0' || path[len] == '/');
}

/* 1: it is a file of the directory, or the directory. */
static int path_of(const tracing *t, int descriptor, char *out, size_t size)
{
    ssize_t len = readlink(link_of(t->child, descriptor), out, size - 1);

    if (len <= 0)
        return 0;
    out[len] = '\0';
    return is_looked_at(t, out);
}

static int64_t position_of(pid_t child, int descriptor)
{
    const char *path = support_text("/proc/%d/fdinfo/%d", (int)child, descriptor);
    FILE *file = fopen(path, "re");
    long long position = -1;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "pos: %lld", &position), 1);
    fclose(file);
    return position;
}

/* ---- what a call will do --------------------------------------------------- */

static int note_write(tracing *t, const __uint64_t *args, int64_t offset)
{
    step_change *c = &t->change;

    if (!path_of(t, (int)args[0], c->path, sizeof(c->path)))
        return 0;
    c->kind = STEP_WRITE;
    c->offset = offset >= 0 ? offset : position_of(t->child, (int)args[0]);
    c->len = (size_t)args[2];
    c->data = malloc(c->len + 1);
    read_child(t->child, args[1], c->data, c->len);
    return 1;
}

static int note_descriptor(tracing *t, step_kind kind, int descriptor, int64_t offset)
{
    t->change.kind = kind;
    t->change.offset = offset;
    return path_of(t, descriptor, t->change.path, sizeof(t->change.path));
}

static int note_names(tracing *t, step_kind kind, uint64_t path, uint64_t to)
{
    t->change.kind = kind;
    read_text(t->child, path, t->change.path, sizeof(t->change.path));
    if (to != 0)
        read_text(t->child, to, t->change.to, sizeof(t->change.to));
    return is_looked_at(t, t->change.path);
}

/* Only of a file that is not there. */
static int note_open(tracing *t, uint64_t path, int flags)
{
    struct stat info;

    if (!(flags & O_CREAT))
        return 0;
    return note_names(t, STEP_MAKE, path, 0) && lstat(t->change.path, &info) != 0;
}

/* These change files in ways that are not understood here. */
static void refuse_others(tracing *t, const call_info *info)
{
    const __uint64_t *args = info->entry.args;

    switch (info->entry.nr) {
    case SYS_writev:
    case SYS_pwritev:
    case SYS_pwritev2:
    case SYS_fallocate:
    case SYS_copy_file_range:
    case SYS_sendfile:
        ck_abort_msg("system call %d is not recorded", (int)info->entry.nr);
        break;
    case SYS_mmap:
        if ((args[2] & PROT_WRITE) && (args[3] & MAP_SHARED) && (int)args[4] >= 0
            && path_of(t, (int)args[4], t->change.path, sizeof(t->change.path)))
            ck_abort_msg("'%s' is changed through memory", t->change.path);
        break;
    }
}

static int note_call(tracing *t, const call_info *info)
{
    const __uint64_t *args = info->entry.args;

    switch (info->entry.nr) {
    case SYS_pwrite64:
        return note_write(t, args, (int64_t)args[3]);
    case SYS_write:
        return note_write(t, args, -1);
    case SYS_ftruncate:
        return note_descriptor(t, STEP_LENGTH, (int)args[0], (int64_t)args[1]);
    case SYS_fsync:
    case SYS_fdatasync:
        return note_descriptor(t, STEP_SYNC, (int)args[0], 0);
    case SYS_openat:
        return note_open(t, args[1], (int)args[2]);
#ifdef SYS_open
    case SYS_open:
        return note_open(t, args[0], (int)args[1]);
    case SYS_unlink:
        return note_names(t, STEP_REMOVE, args[0], 0);
    case SYS_rename:
        return note_names(t, STEP_RENAME, args[0], args[1]);
    case SYS_link:
        return note_names(t, STEP_LINK, args[0], args[1]);
#endif
    case SYS_unlinkat:
        return note_names(t, STEP_REMOVE, args[1], 0);
    case SYS_renameat:
    case SYS_renameat2:
        return note_names(t, STEP_RENAME, args[1], args[3]);
    case SYS_linkat:
        return note_names(t, STEP_LINK, args[1], args[3]);
    default:
        refuse_others(t, info);
        return 0;
    }
}

static void keep_change(tracing *t)
{
    step_log *log = t->run->log;

    if (log == NULL) {
        free(t->change.data);
        return;
    }
    if (log->count == log->room) {
        log->room = log->room ? log->room * 2 : 64;
        log->list = realloc(log->list, log->room * sizeof(*log->list));
    }
    log->list[log->count++] = t->change;
}

/* ---- the stops ----------------------------------------------------------- */

static void on_entry(tracing *t, const call_info *info)
{
    memset(&t->change, 0, sizeof(t->change));
    t->change.stop = t->stops;
    t->change.told = *t->run->told;
    t->has_change = note_call(t, info);
    if (!t->has_change)
        free(t->change.data);
}

static void on_exit_stop(tracing *t, const call_info *info)
{
    if (!t->has_change)
        return;
    if (info->exit.is_error)
        free(t->change.data);
    else
        keep_change(t);
    t->has_change = 0;
}

/* The kernel may end a write in the middle when the process is killed. */
static void tear_write(const tracing *t)
{
    const step_change *c = &t->change;
    int descriptor;

    if (!t->has_change || c->kind != STEP_WRITE || c->len < 2)
        return;
    descriptor = open(c->path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(descriptor, 0);
    ck_assert_int_eq(pwrite(descriptor, c->data, c->len / 2, c->offset),
                     (ssize_t)(c->len / 2));
    close(descriptor);
}

/* 1: it was killed. */
static int on_stop(tracing *t)
{
    call_info info;

    memset(&info, 0, sizeof(info));
    ck_assert_int_gt(
        ptrace(PTRACE_GET_SYSCALL_INFO, t->child, (void *)sizeof(info), &info), 0);
    t->stops++;
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY && (t->run->log != NULL || t->run->tear))
        on_entry(t, &info);
    else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
        on_exit_stop(t, &info);
    if (t->stops != t->run->kill_at)
        return 0;
    if (t->run->tear)
        tear_write(t);
    if (t->has_change)
        free(t->change.data);
    kill(t->child, SIGKILL);
    return 1;
}

static int wait_for(pid_t child)
{
    int status;

    while (waitpid(child, &status, 0) < 0)
        ck_assert_int_eq(errno, EINTR);
    return status;
}

int steps_possible(void)
{
    pid_t child = fork();
    call_info info;
    int status, possible;

    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, WUNTRACED) != child || !WIFSTOPPED(status))
        return 0;
    possible = ptrace(PTRACE_GET_SYSCALL_INFO, child, (void *)sizeof(info), &info) > 0;
    kill(child, SIGKILL);
    wait_for(child);
    return possible;
}

static pid_t start(const step_run *run)
{
    pid_t child = fork();
    int status;

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        run->work(run->baton);
        _exit(0);
    }
    status = wait_for(child);
    ck_assert(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
    ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, child, NULL,
                            (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL)),
                     0);
    return child;
}

int steps_run(const step_run *run)
{
    tracing t = { .run = run, .child = start(run) };
    int status, signal_number = 0;

    if (run->begun != NULL)
        run->begun(run->baton);
    for (;;) {
        ck_assert_int_eq(
            ptrace(PTRACE_SYSCALL, t.child, NULL, (void *)(long)signal_number), 0);
        status = wait_for(t.child);
        if (!WIFSTOPPED(status))
            break;
        signal_number = WSTOPSIG(status) == TRAP ? 0 : WSTOPSIG(status);
        if (WSTOPSIG(status) == TRAP && on_stop(&t)) {
            wait_for(t.child);
            return t.stops;
        }
    }
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0,
                  "the child ended with status 0x%x", status);
    return t.stops;
}

void steps_log_clear(step_log *log)
{
    size_t i;

    for (i = 0; i < log->count; i++)
        free(log->list[i].data);
    free(log->list);
    memset(log, 0, sizeof(*log));
}
