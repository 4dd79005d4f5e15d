/* SPDX-License-Identifier: Apache-2.0
 * agent.c - see agent.h.
 */
#include "agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define START_MS 15000
#define STOP_MS  15000
#define LINE_MS  20000

#define LINES_WAITING 1024

struct agent {
    agent_options options;
    char directory[512];
    pid_t pid; /* 0: does not run */
};

struct local_app {
    int fd;
    char *in;
    size_t len;
    size_t size;
    size_t used; /* bytes of the line given out last */
    int ended;
    char *waiting[LINES_WAITING]; /* lines that came before an awaited one */
    int waiting_count;
    char *given; /* of these, the one given out last */
};

static const char *path_in(const agent *a, const char *name)
{
    return support_text("%s/%s", a->directory, name);
}

/* ---- the agent ----------------------------------------------------------- */

static void print_server(FILE *file, const agent *a)
{
    const agent_options *options = &a->options;
    const char *user = options->user ? options->user : "alice";
    int port =
        options->tls ? httpd_tls_port(options->server) : httpd_port(options->server);

    fprintf(file, "[server main]\nurl = %s://localhost:%d%s\n",
            options->tls ? "https" : "http", port,
            options->path ? options->path : "/comm/poll");
    fprintf(file, "user = %s\npassword_file = %s\ndevice = %s\n", user,
            path_in(a, "password"), options->device ? options->device : "testdevice");
    if (options->tls)
        fprintf(file, "ca = %s/cert.pem\n", httpd_directory(options->server));
}

static void print_with_directory(FILE *file, const agent *a, const char *text)
{
    const char *at;

    while (text && (at = strstr(text, "@DIR@")) != NULL) {
        fprintf(file, "%.*s%s", (int)(at - text), text, a->directory);
        text = at + strlen("@DIR@");
    }
    fprintf(file, "%s\n", text ? text : "");
}

static void write_config(const agent *a)
{
    FILE *file = fopen(path_in(a, "commclient.conf"), "we");

    if (!file)
        ck_abort_msg("cannot write the agent's configuration: %s", strerror(errno));
    fprintf(file, "[agent]\nsocket = %s\ninbox = %s\n", agent_socket(a),
            path_in(a, "inbox.db"));
    if (a->options.server)
        print_server(file, a);
    print_with_directory(file, a, a->options.config);
    fclose(file);
    process_write_file(path_in(a, "password"), HTTPD_PASSWORD "\n");
    chmod(path_in(a, "password"), 0600);
}

static int try_connect(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

static int takes_connections(agent *a)
{
    int status, fd;

    if (process_ended(a->pid, &status)) {
        char *log = process_read_file(path_in(a, "agent.log"));

        a->pid = 0;
        ck_abort_msg("commclient ended with wait status %d: %s", status, log ? log : "");
    }
    fd = try_connect(agent_socket(a));
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

void agent_again(agent *a)
{
    const char *const argv[] = { support_build_path("commclient/commclient"), "run",
                                 "--config", agent_config(a), NULL };
    static const char *const environment[] = { "ASAN_OPTIONS=abort_on_error=1",
                                               "no_proxy=*", NULL };

    a->pid = process_start(&(process_options){ .argv = argv,
                                               .environment = environment,
                                               .output = path_in(a, "agent.log"),
                                               .wrapped = 1 });
    wait_until(takes_connections(a), START_MS);
}

agent *agent_start(const agent_options *options)
{
    agent *a = calloc(1, sizeof *a);

    a->options = *options;
    snprintf(a->directory, sizeof a->directory, "%s", reaper_temporary());
    reaper_log(path_in(a, "agent.log"));
    write_config(a);
    agent_again(a);
    return a;
}

void agent_stop(agent *a)
{
    int status;

    ck_assert_int_gt(a->pid, 0);
    kill(a->pid, SIGTERM);
    status = process_wait(a->pid, STOP_MS, "commclient");
    a->pid = 0;
    if (!a->options.may_fail && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        ck_abort_msg("commclient ended with wait status %d", status);
}

void agent_kill(agent *a)
{
    ck_assert_int_gt(a->pid, 0);
    kill(a->pid, SIGKILL);
    process_wait(a->pid, STOP_MS, "commclient");
    a->pid = 0;
}

void agent_end(agent *a)
{
    if (a->pid > 0)
        agent_stop(a);
    free(a);
}

pid_t agent_pid(const agent *a)
{
    return a->pid;
}

const char *agent_directory(const agent *a)
{
    return a->directory;
}

const char *agent_socket(const agent *a)
{
    return path_in(a, "socket");
}

const char *agent_config(const agent *a)
{
    return path_in(a, "commclient.conf");
}

int agent_log_count(const agent *a, const char *text)
{
    char *log = process_read_file(path_in(a, "agent.log"));
    const char *at = log;
    int n = 0;

    for (; at && (at = strstr(at, text)) != NULL; at += strlen(text))
        n++;
    free(log);
    return n;
}

/* ---- a local application ------------------------------------------------- */

/* An agent that does not read any more ends the test, not the time of all. */
static void limit_sending(int fd)
{
    struct timeval limit = { .tv_sec = process_scale(LINE_MS) / 1000 };

    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
}

local_app *local_open_early(const agent *a)
{
    local_app *app = calloc(1, sizeof *app);

    app->fd = try_connect(agent_socket(a));
    if (app->fd < 0)
        ck_abort_msg("cannot connect to the agent: %s", strerror(errno));
    limit_sending(app->fd);
    return app;
}

local_app *local_open(const agent *a)
{
    local_app *app = local_open_early(a);
    const char *hello = local_read(app);

    if (!support_json(hello, "hello.protocol"))
        ck_abort_msg("the agent did not say hello but '%s'", hello);
    return app;
}

void local_close(local_app *app)
{
    while (app->waiting_count > 0)
        free(app->waiting[--app->waiting_count]);
    free(app->given);
    close(app->fd);
    free(app->in);
    free(app);
}

int local_socket(const local_app *app)
{
    return app->fd;
}

void local_send_bytes(local_app *app, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(app->fd, data, len, MSG_NOSIGNAL);

        if (n < 0)
            ck_abort_msg("the agent does not take a line: %s", strerror(errno));
        data += n;
        len -= n;
    }
}

void local_send(local_app *app, const char *line)
{
    local_send_often(app, line, 1);
}

void local_send_often(local_app *app, const char *line, int count)
{
    size_t len = strlen(line), i;
    char *all = malloc(count * (len + 1) + 1);

    for (i = 0; i < (size_t)count; i++)
        sprintf(all + i * (len + 1), "%s\n", line);
    local_send_bytes(app, all, count * (len + 1));
    free(all);
}

/* 1: bytes came; 0: the deadline passed or the agent closed. */
static int receive(local_app *app, long long end)
{
    struct pollfd one = { app->fd, POLLIN, 0 };
    long long left = end - process_now_ms();
    ssize_t n;

    if (app->ended || poll(&one, 1, left > 0 ? (int)left : 0) <= 0)
        return 0;
    if (app->size - app->len < 4096) {
        app->size = app->size * 2 + 16384;
        app->in = realloc(app->in, app->size);
    }
    n = recv(app->fd, app->in + app->len, app->size - app->len, 0);
    app->ended = n <= 0;
    app->len += n > 0 ? n : 0;
    return n > 0;
}

static void drop_used(local_app *app)
{
    app->len -= app->used;
    memmove(app->in, app->in + app->used, app->len);
    app->used = 0;
}

/* The oldest of the lines that were put aside, NULL if there is none. */
static const char *take_waiting(local_app *app)
{
    free(app->given);
    app->given = app->waiting_count ? app->waiting[0] : NULL;
    if (app->given)
        memmove(app->waiting, app->waiting + 1,
                --app->waiting_count * sizeof *app->waiting);
    return app->given;
}

static const char *receive_line(local_app *app, int ms)
{
    long long end = process_now_ms() + process_scale(ms);
    char *newline;

    if (app->used)
        drop_used(app);
    while (!app->len || (newline = memchr(app->in, '\n', app->len)) == NULL)
        if (!receive(app, end))
            return NULL;
    *newline = '\0';
    app->used = newline + 1 - app->in;
    return app->in;
}

const char *local_try(local_app *app, int ms)
{
    const char *line = take_waiting(app);

    return line ? line : receive_line(app, ms);
}

const char *local_read(local_app *app)
{
    const char *line = local_try(app, LINE_MS);

    if (!line)
        ck_abort_msg(app->ended ? "the agent closed instead of sending a line"
                                : "no line from the agent within %d ms",
                     LINE_MS);
    return line;
}

int local_closed(local_app *app, int ms)
{
    long long end = process_now_ms() + process_scale(ms);

    app->used = 0;
    while (receive(app, end))
        app->len = 0;
    return app->ended;
}

/* Messages may come before the answer; they are put aside. */
static void await_answer(local_app *app, const char *member, const char *value)
{
    const char *line;

    for (;;) {
        const char *answer;

        line = receive_line(app, LINE_MS);
        if (!line || support_json(line, "error"))
            ck_abort_msg("'%s' of '%s' does not come, but '%s'", member, value,
                         line ? line : "nothing");
        answer = support_json(line, member);
        if (answer && strcmp(answer, value) == 0)
            return;
        ck_assert_int_lt(app->waiting_count, LINES_WAITING);
        app->waiting[app->waiting_count++] = strdup(line);
    }
}

void local_subscribe(local_app *app, const char *name)
{
    local_send(app, support_text("{\"subscribe\":\"%s\"}", name));
    await_answer(app, "subscribed", name);
}

const char *local_message(local_app *app)
{
    const char *line = local_read(app);
    const char *message = support_json(line, "message");

    if (!message)
        ck_abort_msg("not a message: '%s'", line);
    return message;
}

void local_ack(local_app *app, const char *id)
{
    local_send(app, support_text("{\"ack\":\"%s\"}", id));
    await_answer(app, "acked", id);
}
