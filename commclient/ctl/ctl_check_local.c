/* SPDX-License-Identifier: Apache-2.0
 * ctl_check_local.c - "commclient check": socket, agent, inbox and disk.
 */
#include "cc_compat.h"
#include "ctl.h"
#include "ctl_check.h"
#include "ctl_status_ask.h"
#include "cc_activation.h"
#include "cc_exec.h"
#include "cc_inbox.h"
#include "cc_poller.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <json.h>

#define DISK_LEAST (16ll << 20) /* bytes free without which nothing is kept  */

/* The nearest directory above `path` that is there. To be freed. */
static char *directory_above(const char *path)
{
    char *directory = cc_copy(path), *slash;
    struct stat info;

    while ((slash = strrchr(directory, '/')) != NULL && slash != directory) {
        *slash = '\0';
        if (stat(directory, &info) == 0)
            return directory;
    }
    free(directory);
    return cc_copy(path[0] == '/' ? "/" : ".");
}

int ctl_check_directory(ctl_report *report, const char *subject, const char *path)
{
    char *directory = directory_above(path);
    struct stat info;
    int open_to_others = stat(directory, &info) == 0 && (info.st_mode & 022) != 0
                         && (info.st_mode & S_ISVTX) == 0;

    if (open_to_others)
        ctl_report_format(report, CTL_FAULT, subject, "chmod go-w on it",
                          "others can write to the directory '%s'", directory);
    free(directory);
    return open_to_others;
}

/* Returns 1 when a file could be made there. */
static int check_writable(ctl_report *report, const char *subject, const char *path)
{
    char *directory = directory_above(path);
    int writable = access(directory, W_OK | X_OK) == 0;

    if (!writable)
        ctl_report_format(report, CTL_FAULT, subject,
                          "Make it writable for this user, or name another place in"
                          " [agent]",
                          "the directory '%s' cannot be written: %s", directory,
                          strerror(errno));
    free(directory);
    return writable;
}

/* ---- programs -------------------------------------------------------- */

void ctl_check_exec(ctl_report *report, const cc_app_config *app)
{
    char subject[CC_APP_MAX + 16];
    char *error = NULL;
    struct stat info;

    if (app->exec == NULL)
        return;
    snprintf(subject, sizeof(subject), "app %s", app->name);
    if (cc_exec_check_app(app, &error) != CC_OK)
        ctl_report_add(report, CTL_FAULT, subject, error,
                       "Install the program, make it executable (chmod +x), or correct"
                       " 'exec'");
    else if (stat(app->exec[0], &info) == 0 && (info.st_mode & 022) != 0)
        ctl_report_format(report, CTL_FAULT, subject, "chmod go-w on it",
                          "'%s' can be written by others", app->exec[0]);
    else if (!ctl_check_directory(report, subject, app->exec[0]))
        ctl_report_format(report, CTL_FINE, subject, NULL, "'%s' can be run",
                          app->exec[0]);
    free(error);
}

/* ---- socket ---------------------------------------------------------- */

static const char start[] = "'systemctl --user start commclient', or 'commclient run'";

static void check_no_agent(ctl_report *report, const char *path, const char *error)
{
    struct stat info;

    if (lstat(path, &info) != 0) {
        if (check_writable(report, "socket", path))
            ctl_report_format(report, CTL_NOTE, "socket", start, "no agent runs on '%s'",
                              path);
    }
    else if (!S_ISSOCK(info.st_mode)) {
        ctl_report_format(report, CTL_FAULT, "socket",
                          "Move it away, or name another 'socket' in [agent]",
                          "'%s' is there, but is no socket", path);
    }
    else if (info.st_uid != geteuid() && geteuid() != 0) {
        ctl_report_format(report, CTL_FAULT, "socket",
                          "Name another 'socket' in [agent], or run this as that user",
                          "'%s' belongs to another user", path);
    }
    else if (!cc_activation_is_listened(path)) {
        ctl_report_format(report, CTL_NOTE, "socket", start,
                          "no agent runs on '%s': the socket is what an agent left that"
                          " died; the next one replaces it",
                          path);
    }
    else {
        ctl_report_add(report, CTL_FAULT, "socket", error,
                       "The agent hangs, or it is another program: 'commclient status'");
    }
}

static void report_agent(ctl_report *report, const char *path, struct json_object *status)
{
    struct json_object *version = NULL, *process = NULL;
    const char *text;

    json_object_object_get_ex(status, "version", &version);
    json_object_object_get_ex(status, "process", &process);
    text = version != NULL ? json_object_get_string(version) : "";
    if (strcmp(text, PACKAGE_VERSION) == 0)
        ctl_report_format(report, CTL_FINE, "socket", NULL,
                          "an agent runs on '%s' (process %lld)", path,
                          (long long)json_object_get_int64(process));
    else
        ctl_report_format(report, CTL_NOTE, "socket", "Start the agent anew",
                          "the agent on '%s' is commclient %s, this is %s", path, text,
                          PACKAGE_VERSION);
}

struct json_object *ctl_check_socket(ctl_report *report, const cc_config *config)
{
    struct json_object *status = NULL;
    ctl_connection connection;
    char *error = NULL;

    ctl_check_directory(report, "socket", config->socket);
    if (ctl_connect_quietly(config->socket, &connection, &error) != CTL_OK) {
        check_no_agent(report, config->socket, error);
        free(error);
        return NULL;
    }
    status = ctl_status_ask(&connection);
    ctl_disconnect(&connection);
    if (status != NULL)
        report_agent(report, config->socket, status);
    else
        ctl_report_format(report, CTL_FAULT, "socket", "Start the agent anew",
                          "the agent on '%s' does not answer", config->socket);
    return status;
}

/* ---- what the agent says --------------------------------------------- */

/* States that a poll of our own does not show. */
static const struct {
    cc_poller_state state;
    const char *remedy;
} states[] = {
    { CC_POLLER_REPLACED, "Stop the other agent, or give this one another 'device'" },
    { CC_POLLER_SECRET, "Mend the file; it is read again at once" },
    { CC_POLLER_FULL, "Start the applications that 'commclient status' shows with most"
                      " waiting, or raise 'inbox_max'" },
    { CC_POLLER_STORAGE, "Make room on the disk of the inbox" },
    { CC_POLLER_REFUSED, "The agent tries again in five minutes, or when the secret file"
                         " changes" },
};

static const char *member(struct json_object *object, const char *name)
{
    struct json_object *value = NULL;

    json_object_object_get_ex(object, name, &value);
    return json_object_is_type(value, json_type_string) ? json_object_get_string(value)
                                                        : "";
}

static void check_state(ctl_report *report, struct json_object *server)
{
    const char *state = member(server, "state");
    size_t i;

    for (i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (strcmp(state, cc_poller_state_name(states[i].state)) == 0)
            ctl_report_format(report, CTL_FAULT, "agent", states[i].remedy,
                              "server %s: %s", member(server, "name"),
                              member(server, "detail"));
    }
}

static void check_publishing(ctl_report *report, struct json_object *server)
{
    static const char *const calm[] = { "", "ready", "starting", "busy" };
    struct json_object *publish = NULL;
    size_t i;

    json_object_object_get_ex(server, "publish", &publish);
    for (i = 0; i < sizeof(calm) / sizeof(calm[0]); i++) {
        if (strcmp(member(publish, "state"), calm[i]) == 0)
            return;
    }
    ctl_report_format(report, CTL_FAULT, "agent",
                      "Does 'publish' name the publish handler, and may this user publish"
                      " there? Messages wait meanwhile",
                      "publishing at %s: %s", member(server, "name"),
                      member(publish, "detail"));
}

void ctl_check_agent(ctl_report *report, struct json_object *status)
{
    struct json_object *servers = NULL;
    size_t i;

    json_object_object_get_ex(status, "servers", &servers);
    for (i = 0; json_object_is_type(servers, json_type_array)
                && i < json_object_array_length(servers);
         i++) {
        check_state(report, json_object_array_get_idx(servers, i));
        check_publishing(report, json_object_array_get_idx(servers, i));
    }
}

/* ---- inbox ----------------------------------------------------------- */

static void check_disk(ctl_report *report, const cc_config *config)
{
    char *directory = directory_above(config->inbox);
    struct statvfs info;
    long long left;

    if (statvfs(directory, &info) == 0) {
        left = (long long)info.f_bavail * (long long)info.f_frsize;
        if (left < DISK_LEAST)
            ctl_report_format(report, CTL_FAULT, "disk", "Make room",
                              "%lld KB are left where the inbox is", left >> 10);
        else if (left < config->inbox_max)
            ctl_report_format(report, CTL_NOTE, "disk",
                              "Lower 'inbox_max' in [agent], or make room",
                              "the inbox may grow to %lld MB, %lld MB are left",
                              (long long)config->inbox_max >> 20, left >> 20);
        else
            ctl_report_format(report, CTL_FINE, "disk", NULL, "%lld MB are left",
                              left >> 20);
    }
    free(directory);
}

static const char *remedy_of(cc_status status)
{
    switch (status) {
    case CC_DAMAGED:
        return "The agent sets it aside when it starts, and begins a new one";
    case CC_NEWER:
        return "Use that version of commclient";
    case CC_IN_USE:
        return "Stop the agent that uses it, or name another 'inbox' in [agent]";
    case CC_NOT_PERMITTED:
        return "Name another 'inbox' in [agent]";
    default:
        return "Is the file this user's, and is there room on the disk?";
    }
}

static void verify_inbox(ctl_report *report, const char *path)
{
    char *error = NULL;
    cc_status status = cc_inbox_verify(path, &error);

    if (status == CC_OK)
        ctl_report_format(report, CTL_FINE, "inbox", NULL, "'%s' is whole", path);
    else
        ctl_report_add(report, CTL_FAULT, "inbox", error, remedy_of(status));
    free(error);
}

void ctl_check_inbox(ctl_report *report, const cc_config *config, int is_used)
{
    struct stat info;

    if (check_writable(report, "inbox", config->inbox)) {
        if (is_used)
            ctl_report_format(report, CTL_FINE, "inbox", NULL, "the agent uses '%s'",
                              config->inbox);
        else if (lstat(config->inbox, &info) == 0)
            verify_inbox(report, config->inbox);
        else
            ctl_report_format(report, CTL_FINE, "inbox", NULL,
                              "'%s' will be made by the agent", config->inbox);
    }
    check_disk(report, config);
}
