/* SPDX-License-Identifier: Apache-2.0
 * ctl_check_server.c - "commclient check": a server and the files of its
 * section.
 */
#include "cc_compat.h"
#include "ctl_check.h"
#include "ctl_probe.h"
#include "cc_credentials.h"
#include "cc_memory.h"
#include "cc_login.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SKEW_MOST 60000 /* ms; expiry of messages and certificates suffers  */

/* What mends a secret file. To be freed. */
static char *remedy_for_file(const char *path)
{
    cc_buffer text = { NULL, 0, 0 };
    struct stat info;

    if (path == NULL)
        return cc_copy("Name a PEM file that this user can read");
    if (stat(path, &info) != 0)
        cc_buffer_format(&text,
                         "Write the secret into '%s' with mode 0600; 'commclient"
                         " setup --force URL' asks for it",
                         path);
    else if (info.st_uid != geteuid() && info.st_uid != 0)
        cc_buffer_format(&text, "chown %lu '%s'", (unsigned long)geteuid(), path);
    else if ((info.st_mode & 077) != 0)
        cc_buffer_format(&text, "chmod 600 '%s'", path);
    else
        cc_buffer_add_text(&text, "One line is needed, the secret and nothing else");
    return text.data;
}

/* The file to blame for `error`: it is named in it. */
static const char *blamed(const cc_server_config *server, const char *error)
{
    const char *const paths[] = { server->password_file, server->token_file,
                                  server->netrc, server->key };
    size_t i;

    for (i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (paths[i] != NULL && strstr(error, paths[i]) != NULL)
            return paths[i];
    }
    return NULL;
}

static int check_files(ctl_report *report, const char *subject,
                       const cc_server_config *server)
{
    char *error = NULL, *remedy;
    const char *without_section;

    if (cc_credentials_check(server, &error) == CC_OK)
        return 1;
    remedy = remedy_for_file(blamed(server, error));
    without_section = strstr(error, "]: ");
    ctl_report_add(report, CTL_FAULT, subject,
                   without_section != NULL ? without_section + 3 : error, remedy);
    free(remedy);
    free(error);
    return 0;
}

static void check_clock(ctl_report *report, const char *subject, const ctl_probe *probe)
{
    long long skew = (long long)ctl_probe_skew(probe) / 1000;

    if (llabs(skew) * 1000 <= SKEW_MOST)
        return;
    ctl_report_format(report, CTL_NOTE, subject,
                      "Set the clock that is wrong: 'timedatectl set-ntp true' on this"
                      " machine",
                      "this machine's clock is %lld s %s the server's", llabs(skew),
                      skew > 0 ? "behind" : "ahead of");
}

static void report_answer(ctl_report *report, const char *subject,
                          const cc_server_config *server, const ctl_probe *probe)
{
    ctl_verdict verdict;

    ctl_probe_judge(server, probe, &verdict);
    if (verdict.is_fine)
        ctl_report_format(report, CTL_FINE, subject, NULL, "%.*s %s%s%s (%lld ms)",
                          (int)strcspn(server->url, "?"), server->url, verdict.what,
                          server->user != NULL ? " to user " : "",
                          server->user != NULL ? server->user : "",
                          (long long)probe->answer.duration);
    else
        ctl_report_format(report, CTL_FAULT, subject, verdict.remedy, "%.*s %s%s",
                          (int)strcspn(server->url, "?"), server->url,
                          probe->answer.kind == CC_ANSWERED ? "" : "cannot be polled, ",
                          verdict.what);
    ctl_verdict_clear(&verdict);
    check_clock(report, subject, probe);
}

static void check_answer(ctl_report *report, const char *subject,
                         const cc_server_config *server)
{
    ctl_login known = { server, NULL, NULL };
    cc_login login;
    ctl_probe probe;

    memset(&login, 0, sizeof(login));
    cc_login_server_set(&login, server);
    cc_login_read(&login);
    known.password = login.password.text;
    known.token = login.token.text;
    if (ctl_probe_poll(&known, NULL, 1, &probe) == CC_OK)
        report_answer(report, subject, server, &probe);
    else
        ctl_report_add(report, CTL_FAULT, subject, "libcurl cannot be used", NULL);
    ctl_probe_clear(&probe);
    cc_login_clear(&login);
}

void ctl_check_server(ctl_report *report, const cc_server_config *server)
{
    char subject[CC_SERVER_MAX + 16];

    snprintf(subject, sizeof(subject), "server %s", server->name);
    if (check_files(report, subject, server))
        check_answer(report, subject, server);
}
