/* SPDX-License-Identifier: Apache-2.0
 * cc_config.c - the configuration file, read and checked as a whole.
 *
 * inih splits lines into names and values. The lines are handed to it one by
 * one from here, because it does not tell line numbers, cuts long lines in
 * two and long section names short, and skips sections without keys: section
 * lines are therefore read here.
 */
#include "cc_compat.h"
#include "cc_config.h"
#include "cc_memory.h"
#include "cc_paths.h"

#include <ini.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define WAIT_DEFAULT            55
#define CONNECT_TIMEOUT_DEFAULT 10
#define INBOX_MAX_DEFAULT       (256ll << 20)
#define INBOX_MAX_MOST          (1ll << 40)
#define MAX_MESSAGE_DEFAULT     (8ll << 20)
#define MAX_MESSAGE_MOST        (512ll << 20) /* SQLite keeps up to 1 GB in one piece */
#define SIZE_LEAST              (1ll << 20)

struct parser;

typedef struct key {
    const char *name;
    cc_status (*set)(struct parser *p, const char *value);
} key;

typedef struct section {
    const char *name;
    const key *keys;
} section;

typedef struct parser {
    FILE *stream;
    cc_config *config;
    const section *section; /* NULL: before the first one                  */
    uint64_t given;         /* keys of this section that came, by index    */
    int saw_agent;
    int stop;      /* an error was found                          */
    unsigned line; /* 0: what is wrong stands in no line          */
    char *error;
} parser;

static cc_status fail(parser *p, const char *format, ...) CC_PRINTF(2, 3);

static cc_status fail(parser *p, const char *format, ...)
{
    char text[512];
    cc_buffer error = { NULL, 0, 0 };
    va_list args;

    if (p->stop)
        return CC_BAD_CONFIG;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    cc_buffer_add_text(&error, p->config->file);
    if (p->line > 0)
        cc_buffer_format(&error, ":%u", p->line);
    cc_buffer_format(&error, ": %s", text);
    p->error = error.data;
    p->stop = 1;
    return CC_BAD_CONFIG;
}

static cc_server_config *last_server(parser *p)
{
    return &p->config->servers[p->config->server_count - 1];
}

static cc_app_config *last_app(parser *p)
{
    return &p->config->apps[p->config->app_count - 1];
}

/* ---- values ---------------------------------------------------------- */

static cc_status set_text(parser *p, char **member, const char *value)
{
    (void)p;
    free(*member);
    *member = cc_copy(value);
    return CC_OK;
}

static cc_status set_path(parser *p, char **member, const char *value)
{
    free(*member);
    *member = cc_paths_resolve(value, p->config->file);
    return CC_OK;
}

static cc_status set_number(parser *p, int *member, const char *value, const char *name,
                            int low, int high)
{
    char *end;
    long number;

    errno = 0;
    number = strtol(value, &end, 10);
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0 || number < low
        || number > high)
        return fail(p, "%s is '%s': a number from %d to %d is allowed", name, value, low,
                    high);
    *member = (int)number;
    return CC_OK;
}

/* The most must be a whole number of megabytes. */
static cc_status set_size(parser *p, int64_t *member, const char *value, const char *name,
                          int64_t most)
{
    static const char units[] = "KMGT";
    const char *unit;
    char *end;
    unsigned long long number;
    unsigned shift = 0;

    errno = 0;
    number = strtoull(value, &end, 10);
    if (*end != '\0' && (unit = strchr(units, *end)) != NULL && end[1] == '\0') {
        shift = 10 * (unsigned)(unit - units + 1);
        end++;
    }
    if (value[0] < '0' || value[0] > '9' || *end != '\0' || errno != 0
        || number > (unsigned long long)most >> shift
        || number << shift < (unsigned long long)SIZE_LEAST)
        return fail(p,
                    "%s is '%s': bytes, as 1048576, 2048K or 64M, from 1M to %lldM are"
                    " allowed",
                    name, value, (long long)(most >> 20));
    *member = (int64_t)(number << shift);
    return CC_OK;
}

static cc_status set_socket(parser *p, const char *value)
{
    return set_path(p, &p->config->socket, value);
}

static cc_status set_inbox(parser *p, const char *value)
{
    return set_path(p, &p->config->inbox, value);
}

static cc_status set_inbox_max(parser *p, const char *value)
{
    return set_size(p, &p->config->inbox_max, value, "inbox_max", INBOX_MAX_MOST);
}

static cc_status set_max_message(parser *p, const char *value)
{
    return set_size(p, &p->config->max_message, value, "max_message", MAX_MESSAGE_MOST);
}

/* The part of a URL between "://" and the path. */
static size_t authority_length(const char *authority)
{
    return strcspn(authority, "/?#");
}

/* HOST or HOST:PORT, an IPv6 address as host in brackets. */
static int is_host(const char *text, size_t len)
{
    const char *end = text + len, *colon = text;
    unsigned port = 0;

    if (len > 0 && *text == '[') {
        colon = memchr(text, ']', len);
        if (colon == NULL || colon == text + 1)
            return 0;
        colon++;
    }
    else {
        colon += strcspn(text, ":/?#");
    }
    if (colon == text || (colon < end && *colon != ':'))
        return 0;
    if (colon == end)
        return 1;
    while (++colon < end && *colon >= '0' && *colon <= '9' && port <= 65535)
        port = port * 10 + (unsigned)(*colon - '0');
    return colon == end && port > 0 && port <= 65535;
}

static cc_status set_url(parser *p, const char *value)
{
    const char *authority = strstr(value, "://");
    const char *c;

    if (strncasecmp(value, "http://", 7) != 0 && strncasecmp(value, "https://", 8) != 0)
        return fail(p, "url is '%s': it must begin with http:// or https://", value);
    authority += 3;
    if (memchr(authority, '@', authority_length(authority)) != NULL)
        return fail(p, "url holds a user or a password: give user and password_file");
    if (authority_length(authority) == 0)
        return fail(p, "url names no host");
    if (!is_host(authority, authority_length(authority)))
        return fail(p, "url is '%s': http://HOST/... or http://HOST:PORT/... is allowed",
                    value);
    for (c = value; *c != '\0'; c++) {
        if ((unsigned char)*c <= 0x20 || *c == 0x7f)
            return fail(p, "url holds a blank or a control character");
    }
    if (strchr(value, '#') != NULL)
        return fail(p, "url holds a fragment (#...)");
    return set_text(p, &last_server(p)->url, value);
}

static cc_status set_user(parser *p, const char *value)
{
    if (strchr(value, ':') != NULL)
        return fail(p, "user holds ':', which basic authentication does not allow");
    return set_text(p, &last_server(p)->user, value);
}

static cc_status set_password_file(parser *p, const char *value)
{
    return set_path(p, &last_server(p)->password_file, value);
}

static cc_status set_token_file(parser *p, const char *value)
{
    return set_path(p, &last_server(p)->token_file, value);
}

static cc_status set_cert(parser *p, const char *value)
{
    return set_path(p, &last_server(p)->cert, value);
}

static cc_status set_key(parser *p, const char *value)
{
    return set_path(p, &last_server(p)->key, value);
}

static cc_status set_ca(parser *p, const char *value)
{
    return set_path(p, &last_server(p)->ca, value);
}

/* What stands before the host is a kind of proxy that libcurl knows, or nothing. */
static const char *proxy_host(const char *value)
{
    static const char *const kinds[] = { "http",   "https",   "socks4", "socks4a",
                                         "socks5", "socks5h", NULL };
    const char *host = strstr(value, "://");
    size_t i;

    if (host == NULL)
        return value;
    for (i = 0; kinds[i] != NULL; i++) {
        if (strlen(kinds[i]) == (size_t)(host - value)
            && strncasecmp(value, kinds[i], strlen(kinds[i])) == 0)
            return host + 3;
    }
    return NULL;
}

static cc_status set_proxy(parser *p, const char *value)
{
    const char *host = proxy_host(value);
    size_t len;

    if (strchr(value, '@') != NULL)
        return fail(p, "proxy holds a user or a password, which this file must not");
    len = host != NULL ? strlen(host) : 0;
    if (len > 0 && host[len - 1] == '/')
        len--;
    if (host == NULL || !is_host(host, len) || strpbrk(value, " \t") != NULL)
        return fail(p,
                    "proxy is '%s': HOST:PORT is allowed, with http://, https://,"
                    " socks4://, socks4a://, socks5:// or socks5h:// before it",
                    value);
    return set_text(p, &last_server(p)->proxy, value);
}

static cc_status set_device(parser *p, const char *value)
{
    if (cc_name_check(value, strlen(value), CC_DEVICE_MAX) != CC_OK)
        return fail(p,
                    "device is '%s': up to %d letters, digits, '.', '_' and '-' are"
                    " allowed, a letter or digit first",
                    value, CC_DEVICE_MAX);
    strcpy(last_server(p)->device, value);
    return CC_OK;
}

static cc_status set_wait(parser *p, const char *value)
{
    return set_number(p, &last_server(p)->wait, value, "wait", 1, 3600);
}

static cc_status set_connect_timeout(parser *p, const char *value)
{
    return set_number(p, &last_server(p)->connect_timeout, value, "connect_timeout", 1,
                      300);
}

static cc_status set_window(parser *p, const char *value)
{
    return set_number(p, &last_app(p)->window, value, "window", 1, CC_WINDOW_MAX);
}

static cc_status set_servers(parser *p, const char *value)
{
    cc_app_config *app = last_app(p);
    size_t len;

    for (;;) {
        value += strspn(value, ", \t");
        len = strcspn(value, ", \t");
        if (len == 0)
            break;
        if (cc_name_check(value, len, CC_SERVER_MAX) != CC_OK)
            return fail(p, "servers holds '%.*s', which is not the name of a server",
                        (int)len, value);
        app->servers =
            cc_realloc(app->servers, (app->server_count + 1) * sizeof(*app->servers));
        app->servers[app->server_count++] = cc_copy_bytes(value, len);
        value += len;
    }
    return CC_OK;
}

static const key agent_keys[] = { { "socket", set_socket },
                                  { "inbox", set_inbox },
                                  { "inbox_max", set_inbox_max },
                                  { "max_message", set_max_message },
                                  { NULL, NULL } };

static const key server_keys[] = { { "url", set_url },
                                   { "user", set_user },
                                   { "password_file", set_password_file },
                                   { "token_file", set_token_file },
                                   { "cert", set_cert },
                                   { "key", set_key },
                                   { "ca", set_ca },
                                   { "proxy", set_proxy },
                                   { "device", set_device },
                                   { "wait", set_wait },
                                   { "connect_timeout", set_connect_timeout },
                                   { NULL, NULL } };

static const key app_keys[] = { { "servers", set_servers },
                                { "window", set_window },
                                { NULL, NULL } };

enum { AGENT, SERVER, APP };

static const section sections[] = {
    { "agent", agent_keys },
    { "server", server_keys },
    { "app", app_keys },
};

/* ---- sections -------------------------------------------------------- */

static cc_status begin_agent(parser *p, const char *name)
{
    if (*name != '\0')
        return fail(p, "[agent] takes no name");
    if (p->saw_agent)
        return fail(p, "[agent] is given twice");
    p->saw_agent = 1;
    return CC_OK;
}

static cc_status check_section_name(parser *p, const char *kind, const char *name)
{
    if (cc_name_check(name, strlen(name), CC_APP_MAX) == CC_OK)
        return CC_OK;
    return fail(p,
                "[%s %s]: a name of up to %d letters, digits, '.', '_' and '-' is"
                " needed, a letter or digit first",
                kind, name, CC_APP_MAX);
}

static cc_status begin_server(parser *p, const char *name)
{
    cc_config *config = p->config;
    cc_server_config *server;

    if (check_section_name(p, "server", name) != CC_OK)
        return CC_BAD_CONFIG;
    if (cc_config_find_server(config, name) != NULL)
        return fail(p, "[server %s] is given twice", name);
    config->servers = cc_realloc(config->servers,
                                 (config->server_count + 1) * sizeof(*config->servers));
    server = &config->servers[config->server_count++];
    memset(server, 0, sizeof(*server));
    strcpy(server->name, name);
    cc_name_default_device(server->device);
    server->wait = WAIT_DEFAULT;
    server->connect_timeout = CONNECT_TIMEOUT_DEFAULT;
    server->line = p->line;
    return CC_OK;
}

static cc_status begin_app(parser *p, const char *name)
{
    cc_config *config = p->config;
    cc_app_config *app;

    if (check_section_name(p, "app", name) != CC_OK)
        return CC_BAD_CONFIG;
    if (cc_config_find_app(config, name) != NULL)
        return fail(p, "[app %s] is given twice", name);
    config->apps =
        cc_realloc(config->apps, (config->app_count + 1) * sizeof(*config->apps));
    app = &config->apps[config->app_count++];
    memset(app, 0, sizeof(*app));
    strcpy(app->name, name);
    app->window = CC_WINDOW_DEFAULT;
    app->line = p->line;
    return CC_OK;
}

/* `text` is what stands between the brackets. */
static cc_status begin_section(parser *p, char *text)
{
    char *name = text + strcspn(text, " \t");

    if (*name != '\0') {
        *name++ = '\0';
        name += strspn(name, " \t");
    }
    p->given = 0;
    if (strcmp(text, "agent") == 0) {
        p->section = &sections[AGENT];
        return begin_agent(p, name);
    }
    if (strcmp(text, "server") == 0) {
        p->section = &sections[SERVER];
        return begin_server(p, name);
    }
    if (strcmp(text, "app") == 0) {
        p->section = &sections[APP];
        return begin_app(p, name);
    }
    return fail(p, "section [%s] is not known: [agent], [server NAME] and [app NAME] are",
                text);
}

static cc_status read_section_line(parser *p, const char *line)
{
    const char *end = strchr(line, ']');
    const char *rest;
    char text[256];
    size_t len;

    if (end == NULL)
        return fail(p, "the section has no ']'");
    rest = end + 1 + strspn(end + 1, " \t\r\n");
    if (*rest != '\0' && *rest != ';' && *rest != '#')
        return fail(p, "there is something behind ']'");
    line++;
    line += strspn(line, " \t");
    len = (size_t)(end - line);
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    if (len >= sizeof(text))
        len = sizeof(text) - 1;
    memcpy(text, line, len);
    text[len] = '\0';
    return begin_section(p, text);
}

/* ---- lines ----------------------------------------------------------- */

/* inih asks for the next line. */
static char *next_line(char *buffer, int size, void *stream)
{
    parser *p = stream;
    const char *start;

    if (p->stop || fgets(buffer, size, p->stream) == NULL)
        return NULL;
    p->line++;
    if (strchr(buffer, '\n') == NULL && !feof(p->stream)) {
        fail(p, "the line is longer than %d bytes", size - 2);
        return NULL;
    }
    start = buffer + strspn(buffer, " \t");
    if (p->line == 1 && strncmp(start, "\xef\xbb\xbf", 3) == 0)
        start += 3;
    if (*start == '[' && read_section_line(p, start) != CC_OK)
        return NULL;
    return buffer;
}

static int set_key_value(void *user, const char *ignored, const char *name,
                         const char *value)
{
    parser *p = user;
    unsigned i;

    (void)ignored;
    if (p->stop)
        return 0;
    if (p->section == NULL) {
        fail(p, "'%s' stands before the first section", name);
        return 0;
    }
    for (i = 0; p->section->keys[i].name != NULL; i++) {
        if (strcmp(p->section->keys[i].name, name) == 0)
            break;
    }
    if (p->section->keys[i].name == NULL) {
        fail(p, "key '%s' is not known in [%s]", name, p->section->name);
        return 0;
    }
    if (p->given & (1u << i)) {
        fail(p, "'%s' is given twice, or goes on in a second line", name);
        return 0;
    }
    p->given |= 1u << i;
    if (value == NULL || *value == '\0') {
        fail(p, "'%s' has no value", name);
        return 0;
    }
    return p->section->keys[i].set(p, value) == CC_OK;
}

/* ---- the whole ------------------------------------------------------- */

static cc_status check_server(parser *p, const cc_server_config *server)
{
    p->line = server->line;
    if (server->url == NULL)
        return fail(p, "[server %s] has no url", server->name);
    if (server->user != NULL && server->password_file == NULL)
        return fail(p, "[server %s] has a user, but no password_file", server->name);
    if (server->password_file != NULL && server->user == NULL)
        return fail(p, "[server %s] has a password_file, but no user", server->name);
    if (server->token_file != NULL && server->user != NULL)
        return fail(p, "[server %s] has a user and a token_file: one of them is allowed",
                    server->name);
    if (server->key != NULL && server->cert == NULL)
        return fail(p, "[server %s] has a key, but no cert", server->name);
    return CC_OK;
}

static cc_status check_app(parser *p, const cc_app_config *app)
{
    size_t i;

    p->line = app->line;
    for (i = 0; i < app->server_count; i++) {
        if (cc_config_find_server(p->config, app->servers[i]) == NULL)
            return fail(p, "[app %s] names server '%s', which has no section", app->name,
                        app->servers[i]);
    }
    return CC_OK;
}

static cc_status set_defaults(parser *p)
{
    cc_config *config = p->config;

    if (config->socket == NULL)
        config->socket = cc_paths_socket();
    if (config->inbox == NULL)
        config->inbox = cc_paths_inbox();
    if (config->socket == NULL)
        return fail(p, "XDG_RUNTIME_DIR is not set: give socket in [agent]");
    if (config->inbox == NULL)
        return fail(p, "there is no home directory: give inbox in [agent]");
    return CC_OK;
}

static cc_status check_whole(parser *p)
{
    size_t i;

    p->line = 0;
    if (p->config->server_count == 0)
        return fail(p, "there is no [server NAME]");
    for (i = 0; i < p->config->server_count; i++) {
        if (check_server(p, &p->config->servers[i]) != CC_OK)
            return CC_BAD_CONFIG;
    }
    for (i = 0; i < p->config->app_count; i++) {
        if (check_app(p, &p->config->apps[i]) != CC_OK)
            return CC_BAD_CONFIG;
    }
    p->line = 0;
    return set_defaults(p);
}

static cc_status open_file(const char *file, FILE **out_stream, char **out_error)
{
    cc_buffer error = { NULL, 0, 0 };
    struct stat info;

    *out_stream = fopen(file, "re");
    if (*out_stream != NULL && fstat(fileno(*out_stream), &info) == 0
        && S_ISDIR(info.st_mode)) {
        fclose(*out_stream);
        *out_stream = NULL;
        errno = EISDIR;
    }
    if (*out_stream != NULL)
        return CC_OK;
    cc_buffer_format(&error, "configuration file '%s' cannot be opened: %s", file,
                     strerror(errno));
    *out_error = error.data;
    return errno == ENOENT ? CC_NOT_FOUND : CC_SYSTEM;
}

cc_status cc_config_read(const char *file, cc_config **out_config, char **out_error)
{
    parser p;
    int rv;
    cc_status status;

    memset(&p, 0, sizeof(p));
    *out_error = NULL;
    status = open_file(file, &p.stream, out_error);
    if (status != CC_OK)
        return status;
    p.config = cc_alloc(sizeof(*p.config));
    p.config->file = cc_copy(file);
    p.config->inbox_max = INBOX_MAX_DEFAULT;
    p.config->max_message = MAX_MESSAGE_DEFAULT;
    rv = ini_parse_stream(next_line, &p, set_key_value, &p);
    fclose(p.stream);
    if (rv != 0 && !p.stop)
        fail(&p, "line %d is neither [section] nor name = value", rv);
    if (!p.stop)
        check_whole(&p);
    if (p.stop) {
        cc_config_destroy(p.config);
        *out_error = p.error;
        return CC_BAD_CONFIG;
    }
    *out_config = p.config;
    return CC_OK;
}

static void clear_server(cc_server_config *server)
{
    free(server->url);
    free(server->user);
    free(server->password_file);
    free(server->token_file);
    free(server->cert);
    free(server->key);
    free(server->ca);
    free(server->proxy);
}

static void clear_app(cc_app_config *app)
{
    size_t i;

    for (i = 0; i < app->server_count; i++)
        free(app->servers[i]);
    free(app->servers);
}

void cc_config_destroy(cc_config *config)
{
    size_t i;

    if (config == NULL)
        return;
    for (i = 0; i < config->server_count; i++)
        clear_server(&config->servers[i]);
    for (i = 0; i < config->app_count; i++)
        clear_app(&config->apps[i]);
    free(config->servers);
    free(config->apps);
    free(config->file);
    free(config->socket);
    free(config->inbox);
    free(config);
}

const cc_app_config *cc_config_find_app(const cc_config *config, const char *name)
{
    size_t i;

    for (i = 0; i < config->app_count; i++) {
        if (strcmp(config->apps[i].name, name) == 0)
            return &config->apps[i];
    }
    return NULL;
}

const cc_server_config *cc_config_find_server(const cc_config *config, const char *name)
{
    size_t i;

    for (i = 0; i < config->server_count; i++) {
        if (strcmp(config->servers[i].name, name) == 0)
            return &config->servers[i];
    }
    return NULL;
}

static int is_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

int cc_config_same_server(const cc_server_config *a, const cc_server_config *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->device, b->device) == 0
           && is_same_text(a->url, b->url) && is_same_text(a->user, b->user)
           && is_same_text(a->password_file, b->password_file)
           && is_same_text(a->token_file, b->token_file) && is_same_text(a->cert, b->cert)
           && is_same_text(a->key, b->key) && is_same_text(a->ca, b->ca)
           && is_same_text(a->proxy, b->proxy) && a->wait == b->wait
           && a->connect_timeout == b->connect_timeout;
}

int cc_config_may_feed(const cc_config *config, const char *server, const char *app)
{
    const cc_app_config *found = cc_config_find_app(config, app);
    size_t i;

    if (found == NULL || found->server_count == 0)
        return config->server_count == 1;
    for (i = 0; i < found->server_count; i++) {
        if (strcmp(found->servers[i], server) == 0)
            return 1;
    }
    return 0;
}
