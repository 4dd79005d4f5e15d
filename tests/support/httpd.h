/* SPDX-License-Identifier: Apache-2.0
 * httpd.h - a private httpd on the loopback interface, with the module that
 * was just built.
 *
 *   httpd *server = httpd_start(&(httpd_options){ .mpm = "event" });
 *   ...
 *   httpd_end(server);
 *
 * It has a directory, ports and a configuration of its own, and these users:
 * alice, bob, carol, dave, backend, admin, all with the password of
 * HTTPD_PASSWORD. Unless .bare is set these places are configured:
 *
 *   /comm/publish   commserver-publish, for any user
 *   /comm/poll      commserver-poll, for any user
 *   /comm/status    commserver-status, for admin
 *
 * In texts of configuration these words are replaced: @DIR@ (its directory;
 * @DIR@/htdocs is the document root, @DIR@/users the password file), @PORT@,
 * @TLSPORT@, @MODULES@ (httpd's modules), @BUILD@, @SOURCE@ (the two trees).
 */
#ifndef HTTPD_H
#define HTTPD_H

#include <sys/types.h>

#define HTTPD_PASSWORD "open-sesame"
#define HTTPD_MODULE   "mod_commserver.so"

typedef struct httpd_options {
    const char *mpm;         /* "event" (the default), "worker", "prefork"     */
    const char *config;      /* directives, appended to the main server        */
    const char *modules;     /* more modules: "rewrite proxy proxy_http cgid"  */
    const char *users;       /* more users, one a line                         */
    int children;            /* processes; 0: 2, prefork 8                     */
    int threads;             /* a child; 0: 16                                 */
    const char *log_level;   /* NULL: "info"                                   */
    unsigned tls : 1;        /* a second port with mod_ssl                     */
    unsigned http2 : 1;      /* mod_http2, on both ports                       */
    unsigned debian : 1;     /* the modules that Debian loads by default       */
    unsigned bare : 1;       /* no places under /comm                          */
    unsigned no_module : 1;  /* do not load mod_commserver                     */
    unsigned own_module : 1; /* a copy of it, HTTPD_MODULE in its directory */
    unsigned may_crash : 1;  /* httpd_end() does not look for crashes          */
    unsigned faults : 1;     /* calls can be made to fail: faults.h            */
} httpd_options;

typedef struct httpd httpd;

/** Start and wait until it answers. The test fails if it does not. */
httpd *httpd_start(const httpd_options *options);

/** Try to start with a configuration that must be refused.
 *  @return what httpd said, in the ring of support_text() */
const char *httpd_refused(const httpd_options *options);

/** Stop if it runs, fail the test if anything crashed, remove everything. */
void httpd_end(httpd *server);

void httpd_stop(httpd *server);               /* SIGTERM, wait for the end        */
void httpd_graceful_stop(httpd *server);      /* SIGWINCH, wait for the end       */
void httpd_restart(httpd *server);            /* SIGHUP, wait for new children    */
void httpd_graceful(httpd *server);           /* SIGUSR1, wait for new children   */
void httpd_signal(httpd *server, int number); /* to the parent; no waiting   */
void httpd_kill(httpd *server);               /* SIGKILL to all, segment unlinked */
void httpd_crash(httpd *server);              /* SIGKILL to all, segment stays */
void httpd_await_end(httpd *server);          /* whatever its exit code        */
void httpd_again(httpd *server);              /* start once more, same place      */

/** Start once more on other ports; it must be refused.
 *  @return what httpd said, in the ring of support_text() */
const char *httpd_again_refused(httpd *server);

/** Other directives from the next restart or start on. */
void httpd_configure(httpd *server, const char *config);

const char *httpd_directory(const httpd *server);
int httpd_port(const httpd *server);
int httpd_tls_port(const httpd *server);
const char *httpd_url(const httpd *server, const char *path); /* in the ring */
pid_t httpd_parent(const httpd *server);

/** Children that are alive. @return how many; at most max are written. */
int httpd_children(const httpd *server, pid_t *out_pids, int max);

/** The name of httpd's user when the test runs as root, else NULL. */
const char *httpd_user(void);

/** Put a text below the server's directory ("htdocs/a.html"). */
void httpd_put(httpd *server, const char *path, const char *text);

/** Copy a built or source file there, executable. */
void httpd_install(httpd *server, const char *from, const char *path);

/** Install commsend (@DIR@/bin) and the library of the writer (@DIR@/lib), so
 *  that httpd's user can run it and CGI programs. Those that use the library
 *  need "SetEnv LD_LIBRARY_PATH @DIR@/lib" (mod_env). */
void httpd_install_writer(httpd *server);

/** Times that text stands in the error log (access log). */
int httpd_log_count(const httpd *server, const char *text);
int httpd_access_count(const httpd *server, const char *text);

/** Wait until text stands in the error log. */
void httpd_log_wait(const httpd *server, const char *text, int timeout_ms);

#endif
