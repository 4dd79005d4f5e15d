/* SPDX-License-Identifier: Apache-2.0
 * cc_config_server.c - [server NAME].
 */
#include "cc_compat.h"
#include "cc_config_private.h"
#include "cc_memory.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define WAIT_DEFAULT            55
#define CONNECT_TIMEOUT_DEFAULT 10

static cc_server_config *last_server(cc_config_parser *p)
{
    return &p->config->servers[p->config->server_count - 1];
}

/* The part of a URL between "://" and the path. */
static size_t authority_length(const char *authority)
{
    return strcspn(authority, "/?#");
}

/* What may hold a password is not repeated. */
static const char *shown(const char *value)
{
    return strchr(value, '@') != NULL ? "..." : value;
}

/* Of a handler; `name` is that of the key. */
static cc_status set_address(cc_config_parser *p, char **member, const char *value,
                             const char *name)
{
    const char *authority = strstr(value, "://");
    const char *c;

    if (strncasecmp(value, "http://", 7) != 0 && strncasecmp(value, "https://", 8) != 0)
        return cc_config_fail(p, "%s is '%s': it must begin with http:// or https://",
                              name, shown(value));
    authority += 3;
    if (memchr(authority, '@', authority_length(authority)) != NULL)
        return cc_config_fail(
            p, "%s holds a user or a password: give user and password_file, or netrc",
            name);
    if (authority_length(authority) == 0)
        return cc_config_fail(p, "%s names no host", name);
    if (!cc_config_is_host(authority, authority_length(authority)))
        return cc_config_fail(
            p, "%s is '%s': http://HOST/... or http://HOST:PORT/... is allowed", name,
            shown(value));
    for (c = value; *c != '\0'; c++) {
        if ((unsigned char)*c <= 0x20 || *c == 0x7f)
            return cc_config_fail(p, "%s holds a blank or a control character", name);
    }
    if (strchr(value, '#') != NULL)
        return cc_config_fail(p, "%s holds a fragment (#...)", name);
    return cc_config_set_text(member, value);
}

static cc_status set_url(cc_config_parser *p, const char *value)
{
    return set_address(p, &last_server(p)->url, value, "url");
}

static cc_status set_publish(cc_config_parser *p, const char *value)
{
    return set_address(p, &last_server(p)->publish, value, "publish");
}

static cc_status set_user(cc_config_parser *p, const char *value)
{
    if (strchr(value, ':') != NULL)
        return cc_config_fail(
            p, "user holds ':', which basic authentication does not allow");
    return cc_config_set_text(&last_server(p)->user, value);
}

static cc_status set_password_file(cc_config_parser *p, const char *value)
{
    return cc_config_set_path(p, &last_server(p)->password_file, value);
}

static cc_status set_token_file(cc_config_parser *p, const char *value)
{
    return cc_config_set_path(p, &last_server(p)->token_file, value);
}

static cc_status set_netrc(cc_config_parser *p, const char *value)
{
    return cc_config_set_path(p, &last_server(p)->netrc,
                              strcmp(value, "yes") == 0 ? "~/.netrc" : value);
}

static cc_status set_cert(cc_config_parser *p, const char *value)
{
    return cc_config_set_path(p, &last_server(p)->cert, value);
}

static cc_status set_key(cc_config_parser *p, const char *value)
{
    return cc_config_set_path(p, &last_server(p)->key, value);
}

static cc_status set_ca(cc_config_parser *p, const char *value)
{
    return cc_config_set_path(p, &last_server(p)->ca, value);
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

static cc_status set_proxy(cc_config_parser *p, const char *value)
{
    const char *host = proxy_host(value);
    size_t len;

    if (strchr(value, '@') != NULL)
        return cc_config_fail(
            p, "proxy holds a user or a password, which this file must not");
    len = host != NULL ? strlen(host) : 0;
    if (len > 0 && host[len - 1] == '/')
        len--;
    if (host == NULL || !cc_config_is_host(host, len) || strpbrk(value, " \t") != NULL)
        return cc_config_fail(
            p,
            "proxy is '%s': HOST:PORT is allowed, with http://, https://,"
            " socks4://, socks4a://, socks5:// or socks5h:// before it",
            value);
    return cc_config_set_text(&last_server(p)->proxy, value);
}

static cc_status set_device(cc_config_parser *p, const char *value)
{
    if (cc_name_check(value, strlen(value), CC_DEVICE_MAX) != CC_OK)
        return cc_config_fail(
            p,
            "device is '%s': up to %d letters, digits, '.', '_' and '-' are"
            " allowed, a letter or digit first",
            value, CC_DEVICE_MAX);
    strcpy(last_server(p)->device, value);
    return CC_OK;
}

static cc_status set_mode(cc_config_parser *p, const char *value)
{
    last_server(p)->stream = strcmp(value, "stream") == 0;
    if (!last_server(p)->stream && strcmp(value, "poll") != 0)
        return cc_config_fail(p, "mode is '%s': poll or stream is allowed", value);
    return CC_OK;
}

static cc_status set_wait(cc_config_parser *p, const char *value)
{
    return cc_config_set_number(p, &last_server(p)->wait, value, "wait", 1, 3600);
}

static cc_status set_connect_timeout(cc_config_parser *p, const char *value)
{
    return cc_config_set_number(p, &last_server(p)->connect_timeout, value,
                                "connect_timeout", 1, 300);
}

static const cc_config_key server_keys[] = { { "url", set_url },
                                             { "publish", set_publish },
                                             { "user", set_user },
                                             { "password_file", set_password_file },
                                             { "token_file", set_token_file },
                                             { "netrc", set_netrc },
                                             { "cert", set_cert },
                                             { "key", set_key },
                                             { "ca", set_ca },
                                             { "proxy", set_proxy },
                                             { "device", set_device },
                                             { "mode", set_mode },
                                             { "wait", set_wait },
                                             { "connect_timeout", set_connect_timeout },
                                             { NULL, NULL } };

static cc_status begin_server(cc_config_parser *p, const char *name)
{
    cc_config *config = p->config;
    cc_server_config *server;

    if (cc_config_check_section_name(p, "server", name) != CC_OK)
        return CC_BAD_CONFIG;
    if (cc_config_find_server(config, name) != NULL)
        return cc_config_fail(p, "[server %s] is given twice", name);
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

const cc_config_section cc_config_server_section = { "server", server_keys,
                                                     begin_server };

cc_status cc_config_server_check(cc_config_parser *p, const cc_server_config *server)
{
    p->line = server->line;
    if (server->url == NULL)
        return cc_config_fail(p, "[server %s] has no url", server->name);
    if (server->user != NULL && server->password_file == NULL)
        return cc_config_fail(p, "[server %s] has a user, but no password_file",
                              server->name);
    if (server->password_file != NULL && server->user == NULL)
        return cc_config_fail(p, "[server %s] has a password_file, but no user",
                              server->name);
    if (server->token_file != NULL && server->user != NULL)
        return cc_config_fail(
            p, "[server %s] has a user and a token_file: one of them is allowed",
            server->name);
    if (server->netrc != NULL && (server->user != NULL || server->token_file != NULL))
        return cc_config_fail(p, "[server %s] has netrc and a %s: one of them is allowed",
                              server->name, server->user != NULL ? "user" : "token_file");
    if (server->key != NULL && server->cert == NULL)
        return cc_config_fail(p, "[server %s] has a key, but no cert", server->name);
    return CC_OK;
}

void cc_config_server_clear(cc_server_config *server)
{
    free(server->url);
    free(server->publish);
    free(server->user);
    free(server->password_file);
    free(server->token_file);
    free(server->netrc);
    free(server->cert);
    free(server->key);
    free(server->ca);
    free(server->proxy);
}

static int is_same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

int cc_config_same_server(const cc_server_config *a, const cc_server_config *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->device, b->device) == 0
           && is_same_text(a->url, b->url) && is_same_text(a->publish, b->publish)
           && is_same_text(a->user, b->user)
           && is_same_text(a->password_file, b->password_file)
           && is_same_text(a->token_file, b->token_file)
           && is_same_text(a->netrc, b->netrc) && is_same_text(a->cert, b->cert)
           && is_same_text(a->key, b->key) && is_same_text(a->ca, b->ca)
           && is_same_text(a->proxy, b->proxy) && a->stream == b->stream
           && a->wait == b->wait && a->connect_timeout == b->connect_timeout;
}
