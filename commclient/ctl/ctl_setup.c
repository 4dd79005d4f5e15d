/* SPDX-License-Identifier: Apache-2.0
 * ctl_setup.c - "commclient setup": from a URL to an agent that can run.
 *
 * The configuration is written beside its place and read from there, as the
 * agent will read it; then the server is asked, with the secret still in memory
 * only. Nothing takes its place before that went well, and the secret goes
 * first, so that no configuration names a file that is not there.
 */
#include "cc_compat.h"
#include "ctl_options.h"
#include "ctl_place.h"
#include "ctl_probe.h"
#include "ctl_prompt.h"
#include "ctl_report.h"
#include "ctl_selftest.h"
#include "cc_config.h"
#include "cc_paths.h"
#include "cc_secret.h"
#include "cc_time.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct options {
    const char *url;
    const char *user;
    const char *secret_file; /* where to read it; NULL: ask                 */
    const char *device;
    const char *ca;
    const char *proxy;
    const char *publish;
    const char *config;
    int is_token;
    int force;
    int no_check;
} options;

/* One setup on its way. */
typedef struct setup {
    options given;
    ctl_report report;
    char *file;        /* of the configuration                              */
    char *secret_path; /* beside it                                         */
    char *prepared;    /* the configuration, not in its place yet           */
    char *publish;     /* the publish handler, where it was found           */
    cc_config *config; /* read from there                                   */
    char user[256];
    char secret[CC_SECRET_MAX + 1]; /* "": none                             */
} setup;

/* ---- options --------------------------------------------------------- */

static int read_options(const ctl_verb *verb, int argc, char **argv, options *out,
                        int *out_status)
{
    const ctl_option known[] = { CTL_TEXT("user", 'u', &out->user),
                                 CTL_TEXT("password-file", 'p', &out->secret_file),
                                 CTL_FLAG("token", 't', &out->is_token),
                                 CTL_TEXT("device", 'd', &out->device),
                                 CTL_TEXT("ca", 'a', &out->ca),
                                 CTL_TEXT("proxy", 'x', &out->proxy),
                                 CTL_TEXT("publish", 'b', &out->publish),
                                 CTL_TEXT("config", 'c', &out->config),
                                 CTL_FLAG("force", 'f', &out->force),
                                 CTL_FLAG("no-check", 'n', &out->no_check),
                                 CTL_OPTIONS_END };

    if (!ctl_options_read(verb, argc, argv, known, NULL, out_status))
        return 0;
    if (optind + 1 == argc && !(out->is_token && out->user != NULL)) {
        out->url = argv[optind];
        return 1;
    }
    *out_status = ctl_print_usage(verb);
    return 0;
}

/* ---- who, and the secret --------------------------------------------- */

static void ask_user(setup *s)
{
    const char *name = getenv("USER");
    char question[300];

    snprintf(question, sizeof(question),
             "User at the server [%s]: ", name != NULL ? name : "");
    if (ctl_prompt(question, 0, s->user, sizeof(s->user)) == CC_OK && s->user[0] == '\0')
        snprintf(s->user, sizeof(s->user), "%s", name != NULL ? name : "");
}

static int read_secret_file(setup *s)
{
    const char *path = s->given.secret_file;
    cc_status status = ctl_prompt_file(path, s->secret, sizeof(s->secret));

    if (status == CC_OK)
        return CTL_OK;
    if (status == CC_NOT_FOUND)
        ctl_complain("cannot read '%s': %s", path, strerror(errno));
    else
        ctl_complain("'%s' must hold one line with the %s, and nothing else",
                     strcmp(path, "-") == 0 ? "standard input" : path,
                     s->given.is_token ? "token" : "password");
    return CTL_FAILED;
}

static int ask_secret(setup *s)
{
    char question[600];
    cc_status status;

    if (s->given.is_token)
        snprintf(question, sizeof(question), "Token: ");
    else
        snprintf(question, sizeof(question), "Password of %s: ", s->user);
    status = ctl_prompt(question, 1, s->secret, sizeof(s->secret));
    if (status == CC_NOT_FOUND)
        ctl_complain("there is no terminal to ask on: give --password-file FILE, or"
                     " '-' for standard input");
    else if (status == CC_CLOSED)
        ctl_complain("given up, nothing was written");
    else if (status != CC_OK || !ctl_prompt_is_secret(s->secret))
        ctl_complain("that is no %s: 1 to %d bytes without control characters are"
                     " allowed",
                     s->given.is_token ? "token" : "password", CC_SECRET_MAX);
    else
        return CTL_OK;
    return CTL_FAILED;
}

/* Without a user, a token and somebody to ask, there is no login. */
static int get_login(setup *s)
{
    if (s->given.user != NULL)
        snprintf(s->user, sizeof(s->user), "%s", s->given.user);
    else if (!s->given.is_token && s->given.secret_file == NULL && isatty(STDIN_FILENO))
        ask_user(s);
    if (s->given.secret_file != NULL && s->user[0] == '\0' && !s->given.is_token) {
        ctl_complain("a password needs --user NAME; a token needs --token");
        return CTL_USAGE;
    }
    if (s->given.secret_file != NULL)
        return read_secret_file(s);
    return s->user[0] != '\0' || s->given.is_token ? ask_secret(s) : CTL_OK;
}

/* ---- the configuration ----------------------------------------------- */

/* A line feed in a value would be another line. */
static int add_value(cc_buffer *out, const char *key, const char *value)
{
    const char *c;

    if (value == NULL || value[0] == '\0')
        return CTL_OK;
    for (c = value; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f
            || (c > value && *c == ';' && c[-1] == ' ')) {
            ctl_complain("%s holds a control character, or ' ;'", key);
            return CTL_CONFIG;
        }
    }
    cc_buffer_format(out, "%s = %s\n", key, value);
    return CTL_OK;
}

static int format_config(const setup *s, cc_buffer *out)
{
    char *ca = s->given.ca != NULL ? realpath(s->given.ca, NULL) : NULL;
    const char *name = s->given.is_token ? "token_file" : "password_file";
    const char *const lines[][2] = {
        { "url", s->given.url },
        { "user", s->user },
        { name, s->secret[0] != '\0' ? strrchr(s->secret_path, '/') + 1 : NULL },
        { "device", s->given.device },
        { "ca", ca != NULL ? ca : s->given.ca },
        { "proxy", s->given.proxy },
        { "publish", s->publish != NULL ? s->publish : s->given.publish },
    };
    int rv = CTL_OK;
    size_t i;

    cc_buffer_add_text(out,
                       "# Written by 'commclient setup'; commclient.conf(5) says what"
                       " else there is.\n[server main]\n");
    for (i = 0; i < sizeof(lines) / sizeof(lines[0]) && rv == CTL_OK; i++)
        rv = add_value(out, lines[i][0], lines[i][1]);
    free(ca);
    return rv;
}

/* What is wrong is on the command line; the file it was written to is not. */
static void complain_of_value(const char *error)
{
    const char *end_of_place = strstr(error, ": ");

    ctl_complain("%s", end_of_place != NULL ? end_of_place + 2 : error);
}

static int prepare_config(setup *s)
{
    cc_buffer text = { NULL, 0, 0 };
    char *error = NULL;
    int rv = format_config(s, &text);

    if (rv == CTL_OK
        && (cc_paths_make_parent(s->file) != CC_OK
            || ctl_place_prepare(s->file, text.data, &s->prepared) != CC_OK)) {
        ctl_complain("'%s' cannot be written: %s", s->file, strerror(errno));
        rv = CTL_FAILED;
    }
    if (rv == CTL_OK && cc_config_read(s->prepared, &s->config, &error) != CC_OK) {
        complain_of_value(error);
        rv = CTL_CONFIG;
    }
    free(error);
    cc_buffer_clear(&text);
    return rv;
}

static int refuse_overwriting(const setup *s)
{
    const char *const paths[] = { s->file, s->secret[0] != '\0' ? s->secret_path : NULL };
    struct stat info;
    size_t i;

    for (i = 0; i < 2 && !s->given.force; i++) {
        if (paths[i] == NULL || lstat(paths[i], &info) != 0)
            continue;
        ctl_complain("'%s' is there already: --force replaces it, and keeps a copy",
                     paths[i]);
        return CTL_FAILED;
    }
    return CTL_OK;
}

/* ---- trying ----------------------------------------------------------- */

static ctl_login login_of(const setup *s)
{
    ctl_login login = { &s->config->servers[0], NULL, NULL };

    if (s->secret[0] != '\0' && s->given.is_token)
        login.token = s->secret;
    else if (s->secret[0] != '\0')
        login.password = s->secret;
    return login;
}

/* Is the server's answer to this login that of a commserver? */
static int ask_server(setup *s, ctl_probe *out_probe)
{
    ctl_login login = login_of(s);
    ctl_verdict verdict;
    int is_fine;

    if (ctl_probe_poll(&login, NULL, 1, out_probe) != CC_OK) {
        ctl_complain("libcurl cannot be used");
        return CTL_FAILED;
    }
    ctl_probe_judge(login.server, out_probe, &verdict);
    is_fine = verdict.is_fine;
    ctl_report_format(&s->report, is_fine ? CTL_FINE : CTL_FAULT, "server",
                      verdict.remedy, "%.*s %s", (int)strcspn(s->given.url, "?"),
                      s->given.url, verdict.what);
    ctl_verdict_clear(&verdict);
    if (!is_fine)
        ctl_complain("nothing was written; --no-check writes without asking the server");
    return is_fine ? CTL_OK : CTL_FAILED;
}

static int agent_runs(const setup *s)
{
    ctl_connection connection;
    char *error;
    int rv = ctl_connect_quietly(s->config->socket, &connection, &error);

    free(error);
    if (rv == CTL_OK)
        ctl_disconnect(&connection);
    return rv == CTL_OK;
}

static ctl_level level_of(ctl_selftest_result result)
{
    if (result == CTL_SELFTEST_DONE)
        return CTL_FINE;
    return result == CTL_SELFTEST_FAILED ? CTL_FAULT : CTL_NOTE;
}

static ctl_selftest_result send_to_self(setup *s, const char *publish,
                                        const ctl_probe *first)
{
    ctl_login login = login_of(s);
    ctl_selftest_result result;
    char *text = NULL;

    result = ctl_selftest(&login, publish, first, &text);
    if (result == CTL_SELFTEST_NOT_ALLOWED && s->given.publish != NULL)
        result = CTL_SELFTEST_FAILED;
    ctl_report_add(&s->report, level_of(result), "test", text,
                   result == CTL_SELFTEST_NOT_ALLOWED
                       ? "That is usual where only servers publish; messages can be"
                         " received all the same"
                       : NULL);
    free(text);
    return result;
}

/* A publish URL that was named must work, one that was guessed may; then it is
 * written too. */
static int try_message(setup *s, const ctl_probe *first)
{
    char *guessed = ctl_selftest_publish_url(s->given.url);
    const char *publish = s->given.publish != NULL ? s->given.publish : guessed;
    ctl_selftest_result result = CTL_SELFTEST_DONE;

    if (publish != NULL && s->user[0] != '\0')
        result = send_to_self(s, publish, first);
    if (publish == guessed && result == CTL_SELFTEST_DONE && s->user[0] != '\0') {
        s->publish = guessed;
        return CTL_OK;
    }
    free(guessed);
    return result == CTL_SELFTEST_FAILED ? CTL_FAILED : CTL_OK;
}

/* ---- writing ----------------------------------------------------------- */

static int put(setup *s, const char *prepared, const char *path)
{
    char *kept = NULL;

    if (ctl_place_move(prepared, path, cc_time_now(), &kept) != CC_OK) {
        ctl_complain("'%s' cannot be written: %s", path, strerror(errno));
        return CTL_FAILED;
    }
    ctl_report_format(&s->report, CTL_FINE, "written", NULL, "'%s'%s%s%s", path,
                      kept != NULL ? ", what was there is now '" : "",
                      kept != NULL ? kept : "", kept != NULL ? "'" : "");
    free(kept);
    return CTL_OK;
}

static int put_secret(setup *s)
{
    cc_buffer text = { NULL, 0, 0 };
    char *prepared = NULL;
    int rv;

    cc_buffer_format(&text, "%s\n", s->secret);
    if (ctl_place_prepare(s->secret_path, text.data, &prepared) == CC_OK) {
        rv = put(s, prepared, s->secret_path);
    }
    else {
        ctl_complain("'%s' cannot be written: %s", s->secret_path, strerror(errno));
        rv = CTL_FAILED;
    }
    explicit_bzero(text.data, text.len);
    cc_buffer_clear(&text);
    free(prepared);
    return rv;
}

static int write_files(setup *s)
{
    int rv = s->secret[0] != '\0' ? put_secret(s) : CTL_OK;

    if (rv == CTL_OK)
        rv = put(s, s->prepared, s->file);
    else
        unlink(s->prepared);
    free(s->prepared);
    s->prepared = NULL;
    return rv;
}

static void say_what_is_next(const setup *s, int running)
{
    const char *option = s->given.config != NULL ? " --config " : "";
    const char *file = s->given.config != NULL ? s->given.config : "";

    if (running)
        puts("\nAn agent runs already; it takes the new configuration after\n"
             "    systemctl --user reload commclient      (or kill -HUP)");
    else if (s->given.config == NULL && geteuid() == 0)
        printf("\nNow start the agent, as the machine's service, whose user must own what"
               " was written\n"
               "    chown commclient %s %s\n"
               "    systemctl enable --now commclient\n"
               "or by hand\n"
               "    commclient run\n",
               s->file, s->secret[0] != '\0' ? s->secret_path : "");
    else if (s->given.config != NULL)
        printf("\nNow start the agent:\n    commclient run%s%s\n", option, file);
    else
        puts("\nNow start the agent, by systemd and with each login\n"
             "    systemctl --user enable --now commclient\n"
             "or by hand\n"
             "    commclient run");
    printf("and see what it does:\n"
           "    commclient status%s%s\n"
           "    commclient listen%s%s APP\n",
           option, file, option, file);
}

/* ---- the whole --------------------------------------------------------- */

/* The configuration with what was found out. */
static int prepare_again(setup *s)
{
    unlink(s->prepared);
    free(s->prepared);
    s->prepared = NULL;
    cc_config_destroy(s->config);
    s->config = NULL;
    return prepare_config(s);
}

static int try_and_write(setup *s)
{
    ctl_probe probe;
    int running = agent_runs(s), rv = CTL_OK, tried = CTL_OK;

    memset(&probe, 0, sizeof(probe));
    if (!s->given.no_check)
        rv = ask_server(s, &probe);
    if (rv == CTL_OK && !s->given.no_check && running)
        ctl_report_add(&s->report, CTL_NOTE, "test",
                       "no message is sent, the agent that runs would take it", NULL);
    else if (rv == CTL_OK && !s->given.no_check)
        tried = try_message(s, &probe);
    ctl_probe_clear(&probe);
    if (rv == CTL_OK && s->publish != NULL)
        rv = prepare_again(s);
    if (rv == CTL_OK)
        rv = write_files(s);
    if (rv == CTL_OK)
        say_what_is_next(s, running);
    return rv == CTL_OK ? tried : rv;
}

static char *find_file(const options *given)
{
    char *here, *path;
    cc_buffer absolute = { NULL, 0, 0 };

    if (given->config == NULL)
        return cc_paths_config();
    if (given->config[0] == '/')
        return cc_copy(given->config);
    here = getcwd(NULL, 0);
    cc_buffer_format(&absolute, "%s/%s", here != NULL ? here : ".", given->config);
    path = absolute.data;
    free(here);
    return path;
}

static int set_up(setup *s)
{
    cc_buffer path = { NULL, 0, 0 };
    int rv;

    s->file = find_file(&s->given);
    if (s->file == NULL) {
        ctl_complain("there is no home directory: say --config FILE");
        return CTL_CONFIG;
    }
    cc_buffer_add(&path, s->file, (size_t)(strrchr(s->file, '/') - s->file + 1));
    cc_buffer_add_text(&path, s->given.is_token ? "token" : "password");
    s->secret_path = path.data;
    rv = refuse_overwriting(s);
    if (rv == CTL_OK)
        rv = get_login(s);
    if (rv == CTL_OK)
        rv = refuse_overwriting(s);
    if (rv == CTL_OK)
        rv = prepare_config(s);
    return rv == CTL_OK ? try_and_write(s) : rv;
}

static int run(const ctl_verb *verb, int argc, char **argv)
{
    setup s;
    int rv;

    memset(&s, 0, sizeof(s));
    if (!read_options(verb, argc, argv, &s.given, &rv))
        return rv;
    umask(077);
    ctl_report_init(&s.report);
    rv = set_up(&s);
    if (s.prepared != NULL)
        unlink(s.prepared);
    explicit_bzero(s.secret, sizeof(s.secret));
    cc_config_destroy(s.config);
    free(s.prepared);
    free(s.publish);
    free(s.secret_path);
    free(s.file);
    return rv;
}

const ctl_verb ctl_setup = {
    "setup", "URL [--user NAME | --token] [--password-file FILE] [options]",
    "Write a configuration for one server, after trying it: ask for the password,\n"
    "poll the server once, and send a message to oneself where that is allowed. URL is\n"
    "that of the poll handler, for example https://www.example.org/comm/poll.\n"
    "\n"
    "  -u, --user NAME           the user at the server; asked for when not given\n"
    "  -t, --token               the secret is a bearer token, there is no user\n"
    "  -p, --password-file FILE  read the password or token from FILE ('-': standard\n"
    "                            input) instead of asking for it\n"
    "  -d, --device NAME         which of the user's devices this is; default the\n"
    "                            host name\n"
    "  -a, --ca FILE             authorities to trust instead of the system's, PEM\n"
    "  -x, --proxy HOST:PORT     by way of this proxy\n"
    "  -b, --publish URL         the publish handler: write it, and send the test\n"
    "                            message there; else it is looked for beside URL\n"
    "  -c, --config FILE         the file to write; default ~/.config/commclient/\n"
    "                            commclient.conf, for root /etc/commclient/\n"
    "                            commclient.conf; the secret goes beside it\n"
    "  -f, --force               replace files that are there; copies are kept\n"
    "  -n, --no-check            write without asking the server\n"
    "  -h, --help                show this\n"
    "\n"
    "Exit status: 0 written, and what was tried works, 1 failed, 2 wrong usage, 4 a\n"
    "value is not right.\n",
    run
};
