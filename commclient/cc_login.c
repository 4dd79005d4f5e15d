/* SPDX-License-Identifier: Apache-2.0
 * cc_login.c - what a server is told to know the user.
 */
#include "cc_compat.h"
#include "cc_login.h"

void cc_login_server_set(cc_login *login, const cc_server_config *server)
{
    login->user = server->user;
    login->password.name = "password_file";
    login->password.path = server->password_file;
    login->token.name = "token_file";
    login->token.path = server->token_file;
    login->netrc.name = "netrc";
    login->netrc.path = server->netrc;
}

/* Of the three there is one at most. */
static const cc_secret *secret_of(const cc_login *login)
{
    if (login->netrc.path != NULL)
        return &login->netrc;
    return login->password.path != NULL ? &login->password : &login->token;
}

cc_status cc_login_read(cc_login *login)
{
    if (login->netrc.path != NULL)
        return cc_secret_inspect(&login->netrc);
    if (login->password.path != NULL)
        return cc_secret_read(&login->password);
    return login->token.path != NULL ? cc_secret_read(&login->token) : CC_OK;
}

const char *cc_login_error(const cc_login *login)
{
    return secret_of(login)->error;
}

int cc_login_has_file(const cc_login *login)
{
    return secret_of(login)->path != NULL;
}

int cc_login_changed(const cc_login *login)
{
    return cc_login_has_file(login) && cc_secret_changed(secret_of(login));
}

void cc_login_clear(cc_login *login)
{
    cc_secret_clear(&login->password);
    cc_secret_clear(&login->token);
}
