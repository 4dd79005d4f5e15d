/* SPDX-License-Identifier: Apache-2.0
 * ctl.c - what the verbs of the command line share.
 */
#include "cc_compat.h"
#include "ctl.h"
#include "cc_config.h"
#include "cc_json.h"
#include "cc_paths.h"
#include "cc_time.h"
#include "cc_utf8.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_STEP       65536
#define COMPLAINT_BYTES 8192
#define HELLO_MAX       1024  /* bytes of the first line                       */
#define HELLO_WAIT      10000 /* ms                                            */

int ctl_print_help(const ctl_verb *verb)
{
    printf("usage: commclient %s %s\n\n%s", verb->name, verb->args, verb->help);
    return CTL_OK;
}

int ctl_print_usage(const ctl_verb *verb)
{
    fprintf(stderr,
            "usage: commclient %s %s\n"
            "'commclient %s --help' says more\n",
            verb->name, verb->args, verb->name);
    return CTL_USAGE;
}

void ctl_complain(const char *format, ...)
{
    char text[COMPLAINT_BYTES];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    cc_utf8_hide_controls(text, 1);
    fprintf(stderr, "commclient: %s\n", text);
}

/* A configuration that was named must be right; the default one is only asked
 * when it is there. */
static char *configured_socket(const char *file, int named)
{
    cc_config *config = NULL;
    char *error = NULL, *socket = NULL;
    cc_status status = cc_config_read(file, &config, &error);

    if (status == CC_OK)
        socket = cc_copy(config->socket);
    else if (named || status != CC_NOT_FOUND)
        ctl_complain("%s", error);
    else
        socket = cc_paths_socket();
    if (status == CC_NOT_FOUND && !named && socket == NULL)
        ctl_complain("XDG_RUNTIME_DIR is not set: say where the socket is with --socket");
    free(error);
    cc_config_destroy(config);
    return socket;
}

char *ctl_find_socket(const char *socket, const char *config)
{
    char *file, *found;

    if (socket != NULL)
        return cc_copy(socket);
    if (config != NULL)
        return configured_socket(config, 1);
    file = cc_paths_config();
    found = configured_socket(file != NULL ? file : "", 0);
    free(file);
    return found;
}

static uint64_t parse_hello(cc_slice line)
{
    cc_slice name;
    cc_json json;
    uint64_t max_line = 0;
    int first = 1;

    cc_json_init(&json, line.data, line.len);
    cc_json_enter(&json, '{');
    if (!cc_json_next_member(&json, &first, &name) || !cc_slice_is(name, "hello"))
        return 0;
    cc_json_enter(&json, '{');
    first = 1;
    while (cc_json_next_member(&json, &first, &name)) {
        if (cc_slice_is(name, "max_line"))
            cc_json_integer(&json, &max_line);
        else
            cc_json_skip(&json, NULL, NULL);
    }
    return max_line;
}

static int refuse(ctl_connection *connection, char **out_error, const char *what,
                  const char *path, const char *why)
{
    cc_buffer text = { NULL, 0, 0 };

    cc_buffer_format(&text, "%s '%s'%s", what, path, why);
    *out_error = text.data;
    ctl_disconnect(connection);
    return CTL_NO_AGENT;
}

static int take_hello(const char *path, ctl_connection *connection, char **out_error)
{
    uint64_t max_line = 0;
    cc_slice line;

    connection->max_line = HELLO_MAX;
    if (ctl_receive(connection, HELLO_WAIT, &line) == CC_OK)
        max_line = parse_hello(line);
    connection->max_line = (size_t)max_line;
    if (max_line > 0)
        return CTL_OK;
    return refuse(connection, out_error, "what runs on", path,
                  " does not say hello as an agent");
}

int ctl_connect_quietly(const char *path, ctl_connection *out_connection,
                        char **out_error)
{
    struct sockaddr_un address;
    char why[256];

    *out_error = NULL;
    memset(out_connection, 0, sizeof(*out_connection));
    memset(&address, 0, sizeof(address));
    address.sun_family = AF_UNIX;
    out_connection->descriptor = -1;
    if (strlen(path) >= sizeof(address.sun_path))
        return refuse(out_connection, out_error, "socket", path,
                      " has a path of more than 107 bytes");
    strcpy(address.sun_path, path);
    out_connection->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(out_connection->descriptor, (struct sockaddr *)&address, sizeof(address))
        == 0)
        return take_hello(path, out_connection, out_error);
    if (errno == ENOENT || errno == ECONNREFUSED)
        return refuse(out_connection, out_error, "no agent runs on", path,
                      ": start one with 'commclient run'");
    snprintf(why, sizeof(why), ": %s", strerror(errno));
    return refuse(out_connection, out_error, "no way to the agent on", path, why);
}

int ctl_connect(const char *path, ctl_connection *out_connection)
{
    char *error;
    int rv = ctl_connect_quietly(path, out_connection, &error);

    if (rv != CTL_OK)
        ctl_complain("%s", error);
    free(error);
    return rv;
}

void ctl_disconnect(ctl_connection *connection)
{
    if (connection->descriptor >= 0)
        close(connection->descriptor);
    connection->descriptor = -1;
    cc_buffer_clear(&connection->in);
}

cc_status ctl_send(ctl_connection *connection, const char *line)
{
    size_t len = strlen(line);
    ssize_t n;

    while (len > 0) {
        n = send(connection->descriptor, line, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return CC_CLOSED;
        line += n;
        len -= (size_t)n;
    }
    return CC_OK;
}

static int take_line(ctl_connection *connection, cc_slice *out_line)
{
    cc_buffer *in = &connection->in;
    char *end;

    if (connection->taken > 0) {
        memmove(in->data, in->data + connection->taken, in->len - connection->taken);
        in->len -= connection->taken;
        connection->taken = 0;
    }
    end = in->len == connection->scanned ? NULL
                                         : memchr(in->data + connection->scanned, '\n',
                                                  in->len - connection->scanned);
    connection->scanned = end == NULL ? in->len : 0;
    if (end == NULL)
        return 0;
    out_line->data = in->data;
    out_line->len = (size_t)(end - in->data);
    connection->taken = out_line->len + 1;
    return 1;
}

cc_status ctl_receive(ctl_connection *connection, int timeout, cc_slice *out_line)
{
    int64_t until = cc_time_monotonic() + timeout;
    struct pollfd ready = { connection->descriptor, POLLIN, 0 };
    char step[READ_STEP];
    int64_t left;
    ssize_t n;

    for (;;) {
        if (take_line(connection, out_line))
            return CC_OK;
        left = timeout < 0 ? -1 : until - cc_time_monotonic();
        if (timeout >= 0 && left <= 0)
            return CC_EMPTY;
        if (poll(&ready, 1, (int)left) < 0 && errno == EINTR)
            return CC_EMPTY;
        if (ready.revents == 0)
            continue;
        n = read(connection->descriptor, step, sizeof(step));
        if (n <= 0 || connection->in.len > connection->max_line + sizeof(step))
            return CC_CLOSED;
        cc_buffer_add(&connection->in, step, (size_t)n);
    }
}
