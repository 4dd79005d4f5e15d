/* SPDX-License-Identifier: Apache-2.0
 * httpd.c - see httpd.h.
 *
 * httpd runs in the foreground in a session of its own: the reaper can end all
 * of it by its group, and the test waits for it as for any child.
 */
#include "httpd.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core.h"
#include "httpd_config.h"
#include "support.h"

#define START_MS     20000
#define STOP_MS      20000
#define QUIET_MS     2000
#define RESTART_MS   20000
#define PORT_TRIES   5
#define CHILDREN_MAX 256

struct httpd {
    httpd_options options;
    httpd_place place;
    char *config;         /* of the test; owned                         */
    pid_t parent;         /* 0: does not run                            */
    const char *no_cores; /* why crashes cannot be looked into; or NULL */
};

static int is_prefork(const httpd *server)
{
    return server->options.mpm && strcmp(server->options.mpm, "prefork") == 0;
}

/* ---- starting ------------------------------------------------------------ */

static int connects(int port)
{
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int ok;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ok = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return ok;
}

static const char *path_in(const httpd *server, const char *name)
{
    return support_text("%s/%s", server->place.directory, name);
}

static void launch(httpd *server)
{
    const char *const argv[] = {
        httpd_program(), "-d", server->place.directory, "-f", "httpd.conf",
        "-DFOREGROUND",  NULL
    };

    httpd_write_config(&server->place, &server->options, server->config);
    unlink(path_in(server, "run/httpd.pid"));
    server->no_cores = core_allow();
    server->parent = process_start(&(process_options){
        .wrapped = 1,
        .argv = argv,
        .environment = httpd_environment(&server->place, &server->options),
        .output = path_in(server, "output.log") });
}

static int output_has(const httpd *server, const char *text)
{
    char *output = process_read_file(path_in(server, "output.log"));
    int found = output && strstr(output, text);

    free(output);
    return found;
}

static const char *tail_of(const char *log)
{
    size_t len = log ? strlen(log) : 0;

    return len > 4000 ? log + len - 4000 : len ? log : "";
}

/* What stands in its two logs, the end of them at least. */
static const char *said(const httpd *server)
{
    char *output = process_read_file(path_in(server, "output.log"));
    char *log = process_read_file(path_in(server, "error.log"));
    const char *text = support_text("%.1500s%s", output ? output : "", tail_of(log));

    free(output);
    free(log);
    return text;
}

static int all_children_run(const httpd *server)
{
    pid_t pids[CHILDREN_MAX];

    return httpd_children(server, pids, CHILDREN_MAX)
           >= httpd_start_servers(&server->options);
}

/* 1: it answers; 0: it has ended. */
static int wait_started(httpd *server)
{
    long long end = process_now_ms() + process_scale(START_MS);
    int status;

    while (!process_ended(server->parent, &status)) {
        if (access(path_in(server, "run/httpd.pid"), F_OK) == 0
            && all_children_run(server) && connects(server->place.port))
            return 1;
        if (process_now_ms() > end)
            ck_abort_msg("httpd is not ready within %d ms: %s", START_MS, said(server));
        process_pause();
    }
    server->parent = 0;
    return 0;
}

static httpd *make(const httpd_options *options)
{
    httpd *server = calloc(1, sizeof *server);

    server->options = *options;
    server->config = strdup(options->config ? options->config : "");
    snprintf(server->place.directory, sizeof server->place.directory, "%s",
             reaper_temporary());
    reaper_log(path_in(server, "output.log"));
    reaper_log(path_in(server, "error.log"));
    httpd_prepare(&server->place, options);
    return server;
}

static void destroy(httpd *server)
{
    free(server->config);
    free(server);
}

httpd *httpd_start(const httpd_options *options)
{
    httpd *server = make(options);
    int i;

    for (i = 0; i < PORT_TRIES; i++) {
        httpd_choose_ports(&server->place, options->tls);
        launch(server);
        if (wait_started(server))
            return server;
        if (!output_has(server, "ddress already in use"))
            break;
    }
    ck_abort_msg("httpd did not start: %s", said(server));
    return NULL;
}

const char *httpd_refused(const httpd_options *options)
{
    httpd *server = make(options);
    const char *text;

    httpd_choose_ports(&server->place, options->tls);
    launch(server);
    if (wait_started(server))
        ck_abort_msg("httpd started with a configuration that it had to refuse");
    text = said(server);
    destroy(server);
    return text;
}

void httpd_again(httpd *server)
{
    launch(server);
    if (!wait_started(server))
        ck_abort_msg("httpd did not start again: %s", said(server));
}

const char *httpd_again_refused(httpd *server)
{
    httpd_choose_ports(&server->place, server->options.tls);
    launch(server);
    if (wait_started(server))
        ck_abort_msg("httpd started again where it had to be refused");
    return said(server);
}

void httpd_configure(httpd *server, const char *config)
{
    free(server->config);
    server->config = strdup(config);
    httpd_write_config(&server->place, &server->options, server->config);
}

/* ---- ending -------------------------------------------------------------- */

void httpd_signal(httpd *server, int number)
{
    ck_assert_int_gt(server->parent, 0);
    if (kill(server->parent, number) != 0)
        ck_abort_msg("cannot signal httpd: %s", strerror(errno));
}

/* A thread that has something to do: runnable, or in the kernel for a moment. */
static int is_busy(const char *stat_path)
{
    char text[256] = "";
    FILE *file = fopen(stat_path, "re");
    const char *state;

    if (file) {
        text[fread(text, 1, sizeof text - 1, file)] = '\0';
        fclose(file);
    }
    state = strrchr(text, ')');
    return state && (state[2] == 'R' || state[2] == 'D');
}

static int has_busy_thread(pid_t pid)
{
    const char *folder = support_text("/proc/%d/task", (int)pid);
    DIR *tasks = opendir(folder);
    struct dirent *task;
    int busy = 0;

    while (tasks && !busy && (task = readdir(tasks)))
        if (task->d_name[0] != '.')
            busy = is_busy(support_text("%s/%s/stat", folder, task->d_name));
    if (tasks)
        closedir(tasks);
    return busy;
}

/* httpd's event MPM can crash when it is stopped in the moment in which one of
 * its workers closes a connection: close_worker_sockets() then finds a socket
 * whose pool is gone. So a signal waits, for a while, until nobody works. */
static void await_quiet(const httpd *server)
{
    long long end = process_now_ms() + process_scale(QUIET_MS);
    pid_t children[64];
    int n, i, busy = 1;

    while (busy && process_now_ms() < end) {
        n = httpd_children(server, children, 64);
        for (busy = i = 0; i < n && !busy; i++)
            busy = has_busy_thread(children[i]);
        if (busy)
            process_pause();
    }
}

static void end_by(httpd *server, int number, const char *what)
{
    int status;

    await_quiet(server);
    httpd_signal(server, number);
    status = process_wait(server->parent, STOP_MS, what);
    server->parent = 0;
    if (!server->options.may_crash && (!WIFEXITED(status) || WEXITSTATUS(status) != 0))
        support_fail("%s ended with wait status %d", what, status);
}

void httpd_await_end(httpd *server)
{
    process_wait(server->parent, STOP_MS, "httpd, ending,");
    server->parent = 0;
}

void httpd_stop(httpd *server)
{
    end_by(server, SIGTERM, "httpd, stopping,");
}

void httpd_graceful_stop(httpd *server)
{
    end_by(server, SIGWINCH, "httpd, stopping gracefully,");
}

static void kill_all(httpd *server, void (*kill_group)(pid_t group))
{
    pid_t parent = server->parent;

    ck_assert_int_gt(parent, 0);
    kill_group(parent);
    reaper_group_done(parent);
    server->parent = 0;
}

void httpd_kill(httpd *server)
{
    kill_all(server, reaper_kill_group);
}

void httpd_crash(httpd *server)
{
    kill_all(server, reaper_crash_group);
}

/* What a crash leaves in the log, beside the deaths of children by a signal. */
static const char *const crash_signs[] = { "AddressSanitizer",
                                           "ThreadSanitizer",
                                           "runtime error:",
                                           "Assertion",
                                           "assertion",
                                           "double free",
                                           "corrupted",
                                           "(cs_",  /* a frame of ours, in what */
                                           "(csq_", /* valgrind says           */
                                           "child died",
                                           NULL };

typedef struct crash_view {
    const char *traces; /* of crashes that are not httpd's own, NULL: none    */
    int untold;         /* no gdb                                             */
} crash_view;

static void view_core(const char *path, void *baton)
{
    crash_view *view = baton;
    char *trace = core_trace(httpd_program(), path);

    if (!trace)
        view->untold = 1;
    else if (core_judge(trace) != CORE_HTTPD) {
        fputs(trace, stderr);
        view->traces = support_text("%.4000s", trace);
    }
    free(trace);
}

/* A child that died of a signal must have died of the race that core.h tells
 * of, and a core must show that. */
static void judge_deaths(const httpd *server)
{
    crash_view view = { NULL, 0 };
    int deaths = httpd_log_count(server, "exit signal");
    int cores = core_each(path_in(server, HTTPD_CORES), view_core, &view);

    if (view.traces)
        support_fail("a crash that is not httpd's own: %s", view.traces);
    if (deaths > 0 && cores == 0 && !server->no_cores)
        support_fail("a child died of a signal without a core: %s", said(server));
    if ((deaths > 0 && cores == 0) || view.untold)
        fprintf(stderr, "a child crashed; whether by httpd's own race is not known: %s\n",
                view.untold ? "there is no gdb" : server->no_cores);
}

static void find_no_crash(const httpd *server)
{
    int i;

    for (i = 0; crash_signs[i]; i++)
        if (httpd_log_count(server, crash_signs[i]) > 0
            || output_has(server, crash_signs[i]))
            support_fail("httpd's log says '%s': %s", crash_signs[i], said(server));
    judge_deaths(server);
}

void httpd_end(httpd *server)
{
    if (server->parent > 0)
        httpd_stop(server);
    if (!server->options.may_crash)
        find_no_crash(server);
    destroy(server);
}

/* ---- restarting ---------------------------------------------------------- */

static int is_new(pid_t pid, const pid_t *old, int n)
{
    int i;

    for (i = 0; i < n; i++)
        if (old[i] == pid)
            return 0;
    return 1;
}

/* All children that a start makes are there, and none of them is old. */
static int renewed(const httpd *server, const pid_t *old, int n_old)
{
    pid_t now[CHILDREN_MAX];
    int n = httpd_children(server, now, CHILDREN_MAX);
    int fresh = 0, i;

    for (i = 0; i < n; i++)
        fresh += is_new(now[i], old, n_old);
    return fresh >= httpd_start_servers(&server->options) && connects(server->place.port);
}

static void restart_by(httpd *server, int number)
{
    pid_t old[CHILDREN_MAX];
    int n = httpd_children(server, old, CHILDREN_MAX);

    await_quiet(server);
    httpd_signal(server, number);
    wait_until(renewed(server, old, n), RESTART_MS);
}

void httpd_restart(httpd *server)
{
    restart_by(server, SIGHUP);
}

void httpd_graceful(httpd *server)
{
    restart_by(server, SIGUSR1);
}

/* ---- asking -------------------------------------------------------------- */

const char *httpd_directory(const httpd *server)
{
    return server->place.directory;
}

int httpd_port(const httpd *server)
{
    return server->place.port;
}

int httpd_tls_port(const httpd *server)
{
    return server->place.tls_port;
}

const char *httpd_url(const httpd *server, const char *path)
{
    return support_text("http://127.0.0.1:%d%s", server->place.port, path);
}

pid_t httpd_parent(const httpd *server)
{
    return server->parent;
}

static int threads_of(pid_t pid)
{
    DIR *tasks = opendir(support_text("/proc/%d/task", (int)pid));
    int n = 0;

    while (tasks && readdir(tasks))
        n++;
    if (tasks)
        closedir(tasks);
    return n - 2; /* without . and .. */
}

/* mod_cgid's daemon is a child of the parent too: it has a single thread, as a
 * child of the threaded MPMs has only before it is ready. */
int httpd_children(const httpd *server, pid_t *out_pids, int max)
{
    const char *path = support_text("/proc/%d/task/%d/children", (int)server->parent,
                                    (int)server->parent);
    int least = is_prefork(server) ? 1 : 2;
    FILE *file = fopen(path, "re");
    int n = 0, pid;

    while (file && fscanf(file, "%d", &pid) == 1)
        if (n < max && threads_of(pid) >= least)
            out_pids[n++] = pid;
    if (file)
        fclose(file);
    return n;
}

static int count(const httpd *server, const char *log, const char *text)
{
    char *content = process_read_file(path_in(server, log));
    const char *at = content;
    int n = 0;

    for (; at && (at = strstr(at, text)) != NULL; at += strlen(text))
        n++;
    free(content);
    return n;
}

int httpd_log_count(const httpd *server, const char *text)
{
    return count(server, "error.log", text);
}

int httpd_access_count(const httpd *server, const char *text)
{
    return count(server, "access.log", text);
}

void httpd_log_wait(const httpd *server, const char *text, int timeout_ms)
{
    long long end = process_now_ms() + process_scale(timeout_ms);

    while (httpd_log_count(server, text) == 0) {
        if (process_now_ms() > end)
            support_fail("not in the error log within %d ms: %s", timeout_ms, text);
        process_pause();
    }
}

/* ---- files --------------------------------------------------------------- */

void httpd_put(httpd *server, const char *path, const char *text)
{
    process_write_file(path_in(server, path), text);
}

void httpd_install(httpd *server, const char *from, const char *path)
{
    process_must((const char *[]){ "cp", from, path_in(server, path), NULL });
    if (chmod(path_in(server, path), 0755) != 0)
        support_fail("cannot set the mode of '%s'", path);
}

void httpd_install_writer(httpd *server)
{
    process_must((const char *[]){
        "sh", "-c", "mkdir -p \"$1/lib\" \"$1/bin\" && cp -P \"$0\"* \"$1/lib\"",
        support_build_path("mod_commserver/writer/.libs/libcommserver.so"),
        server->place.directory, NULL });
    httpd_install(server, support_build_path("mod_commserver/writer/commsend"),
                  "bin/commsend");
}
