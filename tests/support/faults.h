/* SPDX-License-Identifier: Apache-2.0
 * faults.h - system calls and allocations of a running httpd that fail when the
 * test says so. For servers with httpd_options.faults.
 *
 *   faults *f = faults_open(server);
 *   faults_plan(f, FAULT_EPOLL_CTL, 1, 3, ENOSPC);  the next three fail
 *   ...
 *   faults_await(f, 3);                             they have
 *   faults_close(f);
 *
 * Only children fail, never the parent. A library that is loaded before all
 * others (fault_preload.c) stands between httpd and libc; both look at a file in
 * the server's directory.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include <stdint.h>

#include "httpd.h"

typedef enum fault_call {
    FAULT_NONE,
    FAULT_EPOLL_CTL, /* of the module; so are these:                       */
    FAULT_EPOLL_WAIT,
    FAULT_EVENTFD,
    FAULT_OPEN,
    FAULT_WRITE,
    FAULT_LOCK,   /* waiting for the lock of a queue, which is taken     */
    FAULT_CALLOC, /* of 2000 bytes or more: without the few below that a child
                     ends, as without memory of APR                      */
    FAULT_ACCEPT, /* of httpd, APR and the module                       */
    FAULT_WRITEV,
    FAULT_THREAD
} fault_call;

/* The file: mapped by all processes. */
typedef struct fault_page {
    uint32_t call;        /* fault_call                                         */
    int32_t left;         /* calls until the first that fails                   */
    int32_t times;        /* that many fail                                     */
    int32_t error;        /* errno                                              */
    uint32_t descriptors; /* limit of open files of children; 0: as it is   */
    uint32_t hits;        /* so many have failed                                */
} fault_page;

#define FAULTS_FILE "faults" /* in the server's directory */

typedef struct faults faults;

faults *faults_open(const httpd *server);
void faults_close(faults *f);

/** From the n-th call on (1: the next) `times` fail with this errno. */
void faults_plan(faults *f, fault_call call, int n, int times, int error);

/** None fails any more. */
void faults_end(faults *f);

/** Children may have so many open files, from their next accept on; 0: those
 *  that start later have the limit of httpd. */
void faults_limit_descriptors(faults *f, unsigned limit);

/** How many have failed since the plan. */
int faults_hits(const faults *f);

/** Wait until so many have failed. */
void faults_await(const faults *f, int hits);

#endif
