/* SPDX-License-Identifier: Apache-2.0
 * faults.c - see faults.h.
 */
#include "faults.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

struct faults {
    fault_page *page;
};

faults *faults_open(const httpd *server)
{
    faults *f = calloc(1, sizeof *f);
    int fd = open(support_text("%s/%s", httpd_directory(server), FAULTS_FILE),
                  O_RDWR | O_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    f->page = mmap(NULL, sizeof *f->page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ck_assert_ptr_ne(f->page, MAP_FAILED);
    close(fd);
    return f;
}

void faults_close(faults *f)
{
    faults_end(f);
    munmap(f->page, sizeof *f->page);
    free(f);
}

void faults_plan(faults *f, fault_call call, int n, int times, int error)
{
    faults_end(f);
    __atomic_store_n(&f->page->hits, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&f->page->left, n, __ATOMIC_SEQ_CST);
    __atomic_store_n(&f->page->times, times, __ATOMIC_SEQ_CST);
    __atomic_store_n(&f->page->error, error, __ATOMIC_SEQ_CST);
    __atomic_store_n(&f->page->call, call, __ATOMIC_SEQ_CST);
}

void faults_end(faults *f)
{
    __atomic_store_n(&f->page->call, FAULT_NONE, __ATOMIC_SEQ_CST);
}

void faults_limit_descriptors(faults *f, unsigned limit)
{
    __atomic_store_n(&f->page->descriptors, limit, __ATOMIC_SEQ_CST);
}

int faults_hits(const faults *f)
{
    return (int)__atomic_load_n(&f->page->hits, __ATOMIC_SEQ_CST);
}

void faults_await(const faults *f, int hits)
{
    wait_until(faults_hits(f) >= hits, 20000);
}
