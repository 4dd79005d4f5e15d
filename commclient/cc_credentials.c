/* SPDX-License-Identifier: Apache-2.0
 * cc_credentials.c - the files of a [server], looked at before it is polled.
 */
#include "cc_compat.h"
#include "cc_credentials.h"
#include "cc_login.h"
#include "cc_memory.h"
#include "cc_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PEM_MAX         (4u << 20) /* bytes; all the authorities there are: 250K */
#define CERTIFICATE     "CERTIFICATE-----"
#define PRIVATE_KEY     "PRIVATE KEY-----"
#define LOCKED_KEY      "ENCRYPTED PRIVATE KEY-----"
#define LOCKED_KEY_LINE "Proc-Type: 4,ENCRYPTED" /* in the older form of a key   */

/* What is being looked at: `name` is its key in the section. */
typedef struct subject {
    const cc_server_config *server;
    const char *name;
    const char *path;
    char **out_error;
} subject;

static cc_status refuse(const subject *s, const char *why)
{
    cc_buffer text = { NULL, 0, 0 };

    cc_buffer_format(&text, "[server %s]: %s '%s' %s", s->server->name, s->name, s->path,
                     why);
    *s->out_error = text.data;
    return CC_BAD_CONFIG;
}

static cc_status refuse_unreadable(const subject *s, int code)
{
    cc_buffer text = { NULL, 0, 0 };

    cc_buffer_format(&text, "[server %s]: cannot read %s '%s': %s", s->server->name,
                     s->name, s->path, strerror(code));
    *s->out_error = text.data;
    return CC_BAD_CONFIG;
}

/* ---- password, token, netrc ------------------------------------------ */

static cc_status check_login(const cc_server_config *server, char **out_error)
{
    cc_buffer text = { NULL, 0, 0 };
    cc_login login;
    cc_status status;

    memset(&login, 0, sizeof(login));
    cc_login_server_set(&login, server);
    status = cc_login_read(&login);
    if (status != CC_OK) {
        cc_buffer_format(&text, "[server %s]: %s", server->name, cc_login_error(&login));
        *out_error = text.data;
        status = CC_BAD_CONFIG;
    }
    cc_login_clear(&login);
    return status;
}

/* ---- PEM files ------------------------------------------------------- */

/* What of a PEM file matters here. */
typedef struct pem {
    struct stat info;
    int has_certificate;
    int has_key;
    int is_locked; /* the key needs a passphrase                         */
} pem;

static void look_through(const char *text, pem *out)
{
    out->has_certificate = strstr(text, CERTIFICATE) != NULL;
    out->has_key = strstr(text, PRIVATE_KEY) != NULL;
    out->is_locked =
        strstr(text, LOCKED_KEY) != NULL || strstr(text, LOCKED_KEY_LINE) != NULL;
}

static cc_status read_descriptor(const subject *s, int descriptor, pem *out)
{
    char *text = cc_alloc(PEM_MAX + 1);
    size_t len = 0;
    ssize_t n = 0;
    int code;

    while (len < PEM_MAX && (n = read(descriptor, text + len, PEM_MAX - len)) > 0)
        len += (size_t)n;
    code = errno;
    look_through(text, out);
    explicit_bzero(text, len);
    free(text);
    return n < 0 ? refuse_unreadable(s, code) : CC_OK;
}

static cc_status read_pem(const subject *s, pem *out)
{
    int descriptor = open(s->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    cc_status status;

    if (descriptor < 0)
        return refuse_unreadable(s, errno);
    if (fstat(descriptor, &out->info) != 0)
        status = refuse_unreadable(s, errno);
    else if (!S_ISREG(out->info.st_mode))
        status = refuse(s, "is not a plain file");
    else
        status = read_descriptor(s, descriptor, out);
    close(descriptor);
    return status;
}

static cc_status check_certificate(const subject *s, pem *out)
{
    cc_status status = read_pem(s, out);

    if (status == CC_OK && !out->has_certificate)
        status = refuse(s, "holds no certificate: a PEM file is needed");
    return status;
}

static cc_status check_key(const subject *s, const pem *found)
{
    const char *why = cc_secret_check_file(&found->info);

    if (why != NULL)
        return refuse(s, why);
    if (found->is_locked)
        return refuse(s, "needs a passphrase: a key without one is allowed");
    return CC_OK;
}

/* libcurl takes the key from the certificate's file when no other is named. */
static cc_status check_client_certificate(const subject *cert, const subject *key)
{
    pem found;
    cc_status status;

    if (cert->path == NULL)
        return CC_OK;
    status = check_certificate(cert, &found);
    if (status != CC_OK)
        return status;
    if (key->path == NULL && !found.has_key)
        return refuse(cert, "holds no private key: give key, or put it there");
    if (found.has_key && (status = check_key(cert, &found)) != CC_OK)
        return status;
    if (key->path == NULL)
        return CC_OK;
    status = read_pem(key, &found);
    if (status == CC_OK && !found.has_key)
        status = refuse(key, "holds no private key: a PEM file is needed");
    return status == CC_OK ? check_key(key, &found) : status;
}

cc_status cc_credentials_check(const cc_server_config *server, char **out_error)
{
    subject ca = { server, "ca", server->ca, out_error };
    subject cert = { server, "cert", server->cert, out_error };
    subject key = { server, "key", server->key, out_error };
    cc_status status;
    pem found;

    *out_error = NULL;
    status = check_login(server, out_error);
    if (status == CC_OK && ca.path != NULL)
        status = check_certificate(&ca, &found);
    return status == CC_OK ? check_client_certificate(&cert, &key) : status;
}
