/* SPDX-License-Identifier: Apache-2.0
 * cc_login.h - what a server is told to know the user: password, token, or what
 * a netrc file says of its host.
 *
 * A netrc file is read by libcurl at each request; here is only seen to it that
 * nobody else can read it.
 */
#ifndef CC_LOGIN_H
#define CC_LOGIN_H

#include "cc_compat.h"
#include "cc_config.h"
#include "cc_secret.h"
#include "cc_status.h"

/* All zero is none. */
typedef struct cc_login {
    const char *user; /* NULL: none; not owned                             */
    cc_secret password;
    cc_secret token;
    cc_secret netrc; /* never read: its path counts                        */
} cc_login;

/** Go by this section, which must outlive it. */
void cc_login_server_set(cc_login *login, const cc_server_config *server);

/** Read the secret if it changed since.
 *  @return CC_OK, also when there is none; else as cc_secret_read(). */
cc_status cc_login_read(cc_login *login);
/** Why it could not be read. */
const char *cc_login_error(const cc_login *login);

/** 1 when there is a file with a secret. */
int cc_login_has_file(const cc_login *login);
/** 1 when that file is not as it was at the last cc_login_read(). */
int cc_login_changed(const cc_login *login);

void cc_login_clear(cc_login *login);

#endif
