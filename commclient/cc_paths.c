/* SPDX-License-Identifier: Apache-2.0
 * cc_paths.c - where things are by default, and making directories.
 */
#include "cc_compat.h"
#include "cc_paths.h"
#include "cc_memory.h"

#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *join(const char *directory, const char *rest)
{
    cc_buffer path = { NULL, 0, 0 };

    cc_buffer_format(&path, "%s%s", directory, rest);
    return path.data;
}

static const char *absolute_environment(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] == '/' ? value : NULL;
}

static const char *home_directory(void)
{
    const char *home = absolute_environment("HOME");
    struct passwd *entry;

    if (home != NULL)
        return home;
    entry = getpwuid(geteuid());
    return entry != NULL && entry->pw_dir[0] == '/' ? entry->pw_dir : NULL;
}

static char *under_home(const char *environment, const char *otherwise, const char *rest)
{
    const char *base = absolute_environment(environment);
    char *directory, *path;

    if (base != NULL)
        return join(base, rest);
    base = home_directory();
    if (base == NULL)
        return NULL;
    directory = join(base, otherwise);
    path = join(directory, rest);
    free(directory);
    return path;
}

char *cc_paths_config(void)
{
    if (geteuid() == 0)
        return cc_copy("/etc/commclient/commclient.conf");
    return under_home("XDG_CONFIG_HOME", "/.config", "/commclient/commclient.conf");
}

/* systemd names several directories with colons between; the first is ours. */
static char *service_directory(const char *environment, const char *rest)
{
    const char *value = absolute_environment(environment);
    char *first, *path;

    if (value == NULL)
        return NULL;
    first = cc_copy_bytes(value, strcspn(value, ":"));
    path = join(first, rest);
    free(first);
    return path;
}

static char *user_runtime_directory(void)
{
    cc_buffer path = { NULL, 0, 0 };
    struct stat info;

    cc_buffer_format(&path, "/run/user/%lu", (unsigned long)geteuid());
    if (stat(path.data, &info) == 0 && S_ISDIR(info.st_mode) && info.st_uid == geteuid())
        return path.data;
    cc_buffer_clear(&path);
    return NULL;
}

char *cc_paths_socket(void)
{
    char *path = service_directory("RUNTIME_DIRECTORY", "/agent.sock");
    const char *runtime = absolute_environment("XDG_RUNTIME_DIR");
    char *directory;

    if (path != NULL)
        return path;
    if (geteuid() == 0)
        return cc_copy("/run/commclient/agent.sock");
    if (runtime != NULL)
        return join(runtime, "/commclient/agent.sock");
    directory = user_runtime_directory();
    if (directory == NULL)
        return NULL;
    path = join(directory, "/commclient/agent.sock");
    free(directory);
    return path;
}

char *cc_paths_inbox(void)
{
    char *path = service_directory("STATE_DIRECTORY", "/inbox.db");

    if (path != NULL)
        return path;
    if (geteuid() == 0)
        return cc_copy("/var/lib/commclient/inbox.db");
    return under_home("XDG_STATE_HOME", "/.local/state", "/commclient/inbox.db");
}

char *cc_paths_resolve(const char *value, const char *file)
{
    const char *slash, *home;
    char *directory, *path;

    if (value[0] == '/')
        return cc_copy(value);
    if (value[0] == '~' && value[1] == '/') {
        home = home_directory();
        return join(home != NULL ? home : "", value + 1);
    }
    slash = strrchr(file, '/');
    if (slash == NULL)
        return cc_copy(value);
    directory = cc_copy_bytes(file, (size_t)(slash - file + 1));
    path = join(directory, value);
    free(directory);
    return path;
}

cc_status cc_paths_make_parent(const char *path)
{
    char *copy = cc_copy(path), *slash = copy;
    cc_status status = CC_OK;
    struct stat info;

    while (status == CC_OK && (slash = strchr(slash + 1, '/')) != NULL) {
        *slash = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST
            && (stat(copy, &info) != 0 || !S_ISDIR(info.st_mode)))
            status = CC_SYSTEM;
        *slash = '/';
    }
    free(copy);
    return status;
}
