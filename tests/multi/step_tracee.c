/* SPDX-License-Identifier: Apache-2.0
 * step_tracee.c - see step_tracee.h.
 */
#include "cs_compat.h"
#include "step_tracee.h"

#include <elf.h>
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define VIEW_MAX (4 * 1024 * 1024)

step_report *step_told;

/* ---- the machine -------------------------------------------------------- */

#if defined(__x86_64__)
#define COUNTER(regs) (regs).rip
#define CALL_BYTES    2
static const unsigned char call_bytes[CALL_BYTES] = { 0x0f, 0x05 };
static const unsigned char trap_byte = 0xcc;
#elif defined(__aarch64__)
#define COUNTER(regs) (regs).pc
#define CALL_BYTES    4
static const unsigned char call_bytes[CALL_BYTES] = { 0x01, 0x00, 0x00, 0xd4 };
#else
#define COUNTER(regs) (*(unsigned long *)&(regs))
#define CALL_BYTES    0
static const unsigned char call_bytes[1];
#endif

int step_is_possible(void)
{
    pid_t child = CALL_BYTES ? fork() : -1;
    int status;

    if (child == 0)
        _exit(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 ? 0 : 1);
    return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status)
           && WEXITSTATUS(status) == 0;
}

static void read_memory(pid_t child, uint64_t at, void *out, size_t len)
{
    struct iovec here = { out, len };
    struct iovec there = { (void *)(uintptr_t)at, len };

    ck_assert_int_eq(process_vm_readv(child, &here, 1, &there, 1, 0), (ssize_t)len);
}

static struct user_regs_struct read_registers(pid_t child)
{
    struct user_regs_struct regs;
    struct iovec all = { &regs, sizeof regs };

    ck_assert_int_eq(ptrace(PTRACE_GETREGSET, child, NT_PRSTATUS, &all), 0);
    return regs;
}

uint64_t step_child_address(pid_t child)
{
    struct user_regs_struct regs = read_registers(child);

    return COUNTER(regs);
}

int step_child_calls(pid_t child, uint64_t address)
{
    unsigned char bytes[sizeof call_bytes];

    read_memory(child, address, bytes, sizeof bytes);
    return memcmp(bytes, call_bytes, sizeof bytes) == 0;
}

/* ---- the child ---------------------------------------------------------- */

static void child_main(const step_operation *op)
{
    if (op->begin)
        op->begin();
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit(77);
    raise(SIGSTOP);
    step_told->status = op->run();
    step_told->finished = 1;
    raise(SIGSTOP);
    _exit(0);
}

static void wait_stopped(pid_t child)
{
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFSTOPPED(status), "the child has ended: %x", (unsigned)status);
    ck_assert_msg(WSTOPSIG(status) == SIGSTOP || WSTOPSIG(status) == SIGTRAP,
                  "the child got signal %d", WSTOPSIG(status));
}

pid_t step_child_start(const step_operation *op)
{
    pid_t child;

    memset(step_told, 0, sizeof *step_told);
    child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0)
        child_main(op);
    wait_stopped(child);
    ck_assert_int_eq(ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL), 0);
    return child;
}

static void step_once(pid_t child)
{
    ck_assert_int_eq(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
    wait_stopped(child);
}

int step_child_step(pid_t child)
{
    if (step_told->finished)
        return 0;
    step_once(child);
    return 1;
}

/* ---- to a place far away ------------------------------------------------ */

#if defined(__x86_64__)
#define LOOK_BACK  4000
#define STOP_COSTS 4 /* steps: stop, step over, go on */

static void write_byte(pid_t child, uint64_t at, unsigned char byte)
{
    long word;

    errno = 0;
    word = ptrace(PTRACE_PEEKTEXT, child, (void *)(uintptr_t)at, NULL);
    ck_assert_int_eq(errno, 0);
    word = (word & ~0xffL) | byte;
    ck_assert_int_eq(ptrace(PTRACE_POKETEXT, child, (void *)(uintptr_t)at, (void *)word),
                     0);
}

/* Let it run until it comes to an address for the n-th time. */
static void run_to(pid_t child, uint64_t address, uint32_t n)
{
    struct user_regs_struct regs;
    unsigned char byte;
    uint32_t i;

    read_memory(child, address, &byte, 1);
    for (i = 1;; i++) {
        struct iovec all = { &regs, sizeof regs };

        write_byte(child, address, trap_byte);
        ck_assert_int_eq(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
        wait_stopped(child);
        write_byte(child, address, byte);
        regs = read_registers(child);
        ck_assert_uint_eq(COUNTER(regs), address + 1);
        COUNTER(regs) = address;
        ck_assert_int_eq(ptrace(PTRACE_SETREGSET, child, NT_PRSTATUS, &all), 0);
        if (i == n)
            return;
        step_once(child);
    }
}

/* Where to stop first: few visits before, few steps behind. */
static long find_stop(const step_trace *trace, long step)
{
    long best = 0;
    long cost = step;
    long i;

    for (i = step; i > 0 && step - i < LOOK_BACK && step - i < cost; i--) {
        long of_this = (long)trace->visit[i] * STOP_COSTS + step - i;

        if (of_this < cost) {
            cost = of_this;
            best = i;
        }
    }
    return best;
}
#else
static long find_stop(const step_trace *trace, long step)
{
    (void)trace;
    (void)step;
    return 0;
}

static void run_to(pid_t child, uint64_t address, uint32_t n)
{
    (void)child;
    (void)address;
    (void)n;
}
#endif

void step_child_walk(pid_t child, long steps)
{
    for (; steps > 0; steps--)
        step_once(child);
}

void step_child_go(pid_t child, const step_trace *trace, long step)
{
    long stop = find_stop(trace, step);

    if (stop > 0)
        run_to(child, trace->at[stop], trace->visit[stop]);
    step_child_walk(child, step - stop);
}

/* ---- what others can see ------------------------------------------------ */

#define MASKS 8

static pid_t masks[MASKS];
static int mask_count;

void step_mask_clear(void)
{
    mask_count = 0;
}

void step_mask(pid_t process)
{
    ck_assert_int_lt(mask_count, MASKS);
    masks[mask_count++] = process;
}

static void *new_memory(void)
{
    void *memory = mmap(NULL, VIEW_MAX, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    ck_assert_ptr_ne(memory, MAP_FAILED);
    return memory;
}

void step_view_open(step_view *view, pid_t child, int remote)
{
    size_t length;

    memset(view, 0, sizeof *view);
    view->child = child;
    view->remote = remote;
    view->bytes = new_memory();
    view->fresh = new_memory();
    ck_assert_int_eq(syscall(SYS_get_robust_list, child, &view->robust_at, &length), 0);
    step_view_look(view);
    step_view_changed(view);
}

void step_view_close(step_view *view)
{
    munmap(view->bytes, VIEW_MAX);
    munmap(view->fresh, VIEW_MAX);
}

void step_view_look(step_view *view)
{
    unsigned long first, last;
    char path[64];
    char line[512];
    FILE *maps;

    if (!view->remote)
        return;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)view->child);
    maps = fopen(path, "re");
    ck_assert_ptr_nonnull(maps);
    view->mappings = 0;
    while (fgets(line, sizeof line, maps)) {
        if (!strstr(line, "/dev/shm/") || sscanf(line, "%lx-%lx", &first, &last) != 2)
            continue;
        ck_assert_int_lt(view->mappings, 8);
        view->base[view->mappings] = first;
        view->length[view->mappings++] = last - first;
    }
    fclose(maps);
}

/* The segment as it is now. */
static const char *see(step_view *view, size_t *out_size)
{
    size_t at = 0;
    int i;

    if (!view->remote) {
        *out_size = fx.q->header->size;
        return (const char *)fx.q->header;
    }
    for (i = 0; i < view->mappings; i++) {
        ck_assert_uint_le(at + view->length[i], VIEW_MAX);
        read_memory(view->child, view->base[i], view->fresh + at, view->length[i]);
        at += view->length[i];
    }
    *out_size = at;
    return view->fresh;
}

int step_view_changed(step_view *view)
{
    uint64_t robust[3];
    size_t size;
    const char *now = see(view, &size);
    int same;

    read_memory(view->child, view->robust_at, robust, sizeof robust);
    same = size == view->size && memcmp(robust, view->robust, sizeof robust) == 0
           && memcmp(now, view->bytes, size) == 0;
    if (same)
        return 0;
    memcpy(view->robust, robust, sizeof robust);
    memcpy(view->bytes, now, size);
    view->size = size;
    return 1;
}

/* An id may stand in the word of a mutex, beside flags. */
static void mask_word(void *at)
{
    uint32_t word;
    int i;

    memcpy(&word, at, sizeof word);
    for (i = 0; i < mask_count; i++)
        if ((word & FUTEX_TID_MASK) == (uint32_t)masks[i])
            word = (word & ~FUTEX_TID_MASK) | (uint32_t)(i + 1);
    memcpy(at, &word, sizeof word);
}

static void mask_mutex(pthread_mutex_t *mutex)
{
    mask_word(&mutex->__data.__lock);
    mask_word(&mutex->__data.__owner);
}

/* Wherever a segment has the id of a process; header, shards and the first slot
 * lie at the same places in all of them.                                      */
static void mask_segment(char *bytes)
{
    csq_header *header = (csq_header *)(void *)bytes;
    csq_shard *shards =
        (csq_shard *)(void *)(bytes + ((sizeof *header + 63) & ~(size_t)63));
    csq_slot_shared *slot = (csq_slot_shared *)(void *)(shards + CSQ_SHARDS);
    int i;

    mask_mutex(&header->allocator);
    mask_word(&header->allocator_owner);
    for (i = 0; i < CSQ_SHARDS; i++) {
        mask_mutex(&shards[i].mutex);
        mask_word(&shards[i].owner);
    }
    mask_word(&slot->process);
}

#define REMOTE_BASE 64 /* of a segment in its mapping: behind APR's part       */

static void mask_all(const step_view *view, char *bytes)
{
    size_t at = 0;
    int i;

    if (!view->remote)
        mask_segment(bytes);
    for (i = 0; i < view->mappings; at += view->length[i++])
        if (view->length[i] > sizeof(csq_header))
            mask_segment(bytes + at + REMOTE_BASE);
}

uint64_t step_view_print(const step_view *view)
{
    const uint32_t *words = (const uint32_t *)(const void *)view->fresh;
    uint64_t print = UINT64_C(0xcbf29ce484222325);
    size_t i;

    memcpy(view->fresh, view->bytes, view->size);
    mask_all(view, view->fresh);
    for (i = 0; i < view->size / sizeof *words; i++)
        print = (print ^ words[i]) * UINT64_C(0x100000001b3);
    for (i = 0; i < 3; i++)
        print = (print ^ view->robust[i]) * UINT64_C(0x100000001b3);
    return print;
}
