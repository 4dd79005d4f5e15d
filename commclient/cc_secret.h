/* SPDX-License-Identifier: Apache-2.0
 * cc_secret.h - a password or a token in a file of its own.
 *
 * The file must belong to this user or to root and be closed to all others.
 * It is read again when it changes. The secret is never logged, never in an
 * error text, and wiped when it is let go.
 */
#ifndef CC_SECRET_H
#define CC_SECRET_H

#include "cc_compat.h"
#include "cc_status.h"

#include <sys/stat.h>

#define CC_SECRET_MAX 4096 /* bytes                                          */

/* All zero, with a name and a path, is a secret not read yet. */
typedef struct cc_secret {
    const char *name; /* of its key in the configuration; not owned      */
    const char *path; /* not owned                                       */
    char *text;       /* NULL: not read, or refused                      */
    struct stat seen; /* the file when it was read last                  */
    char error[512];  /* why it was refused                              */
} cc_secret;

/** Read it if it changed since. @return CC_OK; CC_NOT_PERMITTED: others can
 *  read it; CC_NOT_FOUND; CC_MALFORMED: empty, too long or with control
 *  characters; CC_SYSTEM. All but CC_OK leave `text` NULL and set `error`. */
cc_status cc_secret_read(cc_secret *secret);

/** Look at the file as cc_secret_read() does, but leave what is in it to others:
 *  `text` stays NULL, and it may be of any length.
 *  @return CC_OK, CC_NOT_PERMITTED, CC_NOT_FOUND, CC_SYSTEM */
cc_status cc_secret_inspect(cc_secret *secret);

/** 1 when the file is not as it was at the last cc_secret_read() or
 *  cc_secret_inspect(). */
int cc_secret_changed(const cc_secret *secret);

/** Why a file with this state may hold no secret: it is not this user's or
 *  root's alone. @return NULL: it may */
const char *cc_secret_check_file(const struct stat *info);

void cc_secret_clear(cc_secret *secret);

#endif
