/* SPDX-License-Identifier: Apache-2.0
 * cc_activation.c - the socket that a service manager has opened for the agent.
 */
#include "cc_compat.h"
#include "cc_activation.h"
#include "cc_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define FIRST_PASSED 3         /* SD_LISTEN_FDS_START                              */
#define PASSED_MAX   64        /* more than any unit of ours passes                */
#define LISTENING    0x10000ul /* __SO_ACCEPTCON, "Flags" in /proc/net/unix */

/* ---- the environment ------------------------------------------------- */

static long number_in(const char *name)
{
    const char *text = getenv(name);
    char *end;
    long number;

    if (text == NULL || *text < '0' || *text > '9')
        return -1;
    errno = 0;
    number = strtol(text, &end, 10);
    return *end == '\0' && errno == 0 ? number : -1;
}

/* The `index`th of the names with colons between; empty when there is none. */
static cc_slice name_at(const char *names, int index)
{
    cc_slice name = { "", 0 };

    if (names == NULL)
        return name;
    while (index-- > 0) {
        names += strcspn(names, ":");
        if (*names == '\0')
            return name;
        names++;
    }
    name.data = names;
    name.len = strcspn(names, ":");
    return name;
}

static int count_passed(void)
{
    long count;

    if (number_in("LISTEN_PID") != (long)getpid())
        return 0;
    count = number_in("LISTEN_FDS");
    return count < 0 || count > PASSED_MAX ? -1 : (int)count;
}

static void forget_environment(void)
{
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}

/* ---- descriptors ----------------------------------------------------- */

/* NULL when the descriptor is what the agent needs. */
static const char *why_not(int descriptor, char **out_path)
{
    struct sockaddr_un address;
    socklen_t len = sizeof(address), size = sizeof(int);
    int type = 0, listens = 0;

    memset(&address, 0, sizeof(address));
    if (getsockname(descriptor, (struct sockaddr *)&address, &len) != 0)
        return "is no socket";
    if (address.sun_family != AF_UNIX)
        return "is no Unix socket";
    if (getsockopt(descriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0
        || type != SOCK_STREAM)
        return "is no stream socket: ListenStream= is needed";
    size = sizeof(int);
    if (getsockopt(descriptor, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0
        || !listens)
        return "does not listen: Accept=no is needed";
    if (len <= offsetof(struct sockaddr_un, sun_path) || address.sun_path[0] != '/')
        return "has no path: ListenStream= must begin with '/'";
    *out_path = cc_copy_bytes(address.sun_path,
                              strnlen(address.sun_path, sizeof(address.sun_path)));
    return NULL;
}

/* The only one, or the one with the name; -1: neither. */
static int choose(int count, const char *names)
{
    int i, chosen = -1;

    if (count == 1)
        return FIRST_PASSED;
    for (i = 0; i < count; i++) {
        if (!cc_slice_is(name_at(names, i), CC_ACTIVATION_NAME))
            continue;
        if (chosen >= 0)
            return -1;
        chosen = FIRST_PASSED + i;
    }
    return chosen;
}

static cc_status refuse(int descriptor, const char *why, char **out_error)
{
    cc_buffer text = { NULL, 0, 0 };

    cc_buffer_format(&text, "descriptor %d of LISTEN_FDS %s", descriptor, why);
    *out_error = text.data;
    return CC_BAD_CONFIG;
}

static cc_status take(int count, const char *names, int *out_descriptor, char **out_path,
                      char **out_error)
{
    int chosen = choose(count, names), i;
    const char *why = NULL;

    for (i = FIRST_PASSED; i < FIRST_PASSED + count; i++) {
        if (i != chosen)
            close(i);
    }
    if (chosen < 0) {
        *out_error = cc_copy("LISTEN_FDS passes several sockets: one is allowed, or one"
                             " with FileDescriptorName=" CC_ACTIVATION_NAME);
        return CC_BAD_CONFIG;
    }
    why = why_not(chosen, out_path);
    if (why != NULL)
        return refuse(chosen, why, out_error);
    fcntl(chosen, F_SETFD, FD_CLOEXEC);
    fcntl(chosen, F_SETFL, fcntl(chosen, F_GETFL) | O_NONBLOCK);
    *out_descriptor = chosen;
    return CC_OK;
}

cc_status cc_activation_take(int *out_descriptor, char **out_path, char **out_error)
{
    const char *names = getenv("LISTEN_FDNAMES");
    int count = count_passed();
    cc_status status = CC_EMPTY;

    *out_descriptor = -1;
    *out_path = *out_error = NULL;
    if (count > 0) {
        status = take(count, names, out_descriptor, out_path, out_error);
    }
    else if (count < 0) {
        *out_error = cc_copy("LISTEN_FDS is not a number of descriptors");
        status = CC_BAD_CONFIG;
    }
    forget_environment();
    return status;
}

/* ---- who listens ------------------------------------------------------ */

/* "Num RefCount Protocol Flags Type St Inode Path", Flags in hexadecimal. */
static int listens_there(const char *line, const char *path)
{
    unsigned long flags;
    int at = 0;
    size_t len;

    if (sscanf(line, "%*s %*s %*s %lx %*s %*s %*s %n", &flags, &at) != 1 || at == 0)
        return 0;
    len = strcspn(line + at, "\n");
    return (flags & LISTENING) != 0 && len == strlen(path)
           && memcmp(line + at, path, len) == 0;
}

int cc_activation_is_listened(const char *path)
{
    FILE *stream = fopen("/proc/net/unix", "re");
    char line[512];
    int found = 0;

    if (stream == NULL)
        return 0;
    while (!found && fgets(line, sizeof(line), stream) != NULL)
        found = listens_there(line, path);
    fclose(stream);
    return found;
}
