/* SPDX-License-Identifier: Apache-2.0
 * call_faults.h - system calls that fail, in the program and in the libraries it
 * uses: the functions of the C library are defined anew. call_faults.c has those on
 * files, faults_preload.c all others, and memory, for a whole program.
 */
#ifndef CALL_FAULTS_H
#define CALL_FAULTS_H

typedef struct call_fault {
    int code;    /* what errno becomes                                        */
    int nth;     /* the first that fails, from 1                              */
    int lasting; /* so do all that follow                                     */
    int growing; /* only calls that need room on the disk: the first of them
                    is a write of which half is done                          */
} call_fault;

/** From now on calls are counted, and fail. */
void faults_arm(const call_fault *fault);

/** No more. @return how many have failed */
int faults_disarm(void);

/** For those who define more of them: does this call fail?
 *  @param grows      it needs room on the disk
 *  @param out_first  it is the first that fails */
int faults_next(int grows, int *out_first);

/** Calls since faults_arm() that could have failed. */
int faults_seen(void);

#endif
