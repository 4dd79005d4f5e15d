/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cc_config.c - the configuration file, and files with a secret.
 *
 * What is taken is within its limits, and written anew it is read as the same;
 * what is refused is refused with a text that can be printed, and that holds no
 * secret. An input that begins with "secret" and a line feed is a secret file.
 */
#include "cc_fuzz.h"
#include "cc_config.h"
#include "cc_secret.h"

#include <stdlib.h>
#include <string.h>

#define ERROR_MAX 1024 /* bytes of a text about a file                        */
#define SECRET    "hunter2"

/* ---- errors --------------------------------------------------------------- */

static void check_error(const char *error)
{
    CC_FUZZ_CHECK(error != NULL && error[0] != '\0', "refused without a text");
    CC_FUZZ_CHECK(strlen(error) < ERROR_MAX, "the text of an error has no bound");
    CC_FUZZ_CHECK(!cc_fuzz_is_raw(error, strlen(error)) && strchr(error, '\n') == NULL,
                  "the text of an error steers a terminal");
}

/* Does the secret stand in this line as the password of a URL? */
static int is_password_line(const char *line)
{
    static const char *const keys[] = { "url", "publish", "proxy" };
    const char *secret = strstr(line, SECRET), *at = secret + strlen(SECRET);
    size_t i;

    for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        size_t len = strlen(keys[i]);
        const char *value = line + len + strspn(line + strnlen(line, len), " ");

        if (strncmp(line, keys[i], len) == 0 && *value == '=' && value < secret)
            return strchr(at, '@') != NULL && strpbrk(line, ";") == NULL;
    }
    return 0;
}

/* 1: whatever there is of the secret in the file must not be told. */
static int holds_password(const char *text)
{
    char *copy = cc_copy(text), *rest = copy, *line;
    int found = 0, all = 1;

    while ((line = strsep(&rest, "\n")) != NULL) {
        if (strstr(line, SECRET) == NULL)
            continue;
        found = 1;
        all = all && is_password_line(line);
    }
    free(copy);
    return found && all;
}

/* ---- what was taken ------------------------------------------------------- */

static void check_server(const cc_server_config *s)
{
    const char *authority = s->url != NULL ? strstr(s->url, "://") : NULL;

    CC_FUZZ_CHECK(cc_name_check(s->name, strlen(s->name), CC_SERVER_MAX) == CC_OK,
                  "the name of a server");
    CC_FUZZ_CHECK(cc_name_check(s->device, strlen(s->device), CC_DEVICE_MAX) == CC_OK,
                  "the name of a device");
    CC_FUZZ_CHECK(authority != NULL, "a server without a URL");
    authority += 3;
    CC_FUZZ_CHECK(memchr(authority, '@', strcspn(authority, "/?#")) == NULL,
                  "a URL with a user");
    CC_FUZZ_CHECK(strpbrk(s->url, " \t\r\n\x7f#") == NULL, "a URL with blanks");
    CC_FUZZ_CHECK(s->proxy == NULL || strchr(s->proxy, '@') == NULL,
                  "a proxy with a user");
    CC_FUZZ_CHECK(s->user == NULL || strchr(s->user, ':') == NULL, "a user with ':'");
    CC_FUZZ_CHECK((s->user == NULL) == (s->password_file == NULL), "user and password");
    CC_FUZZ_CHECK((s->user != NULL) + (s->token_file != NULL) + (s->netrc != NULL) <= 1,
                  "two logins");
    CC_FUZZ_CHECK(s->wait >= 1 && s->wait <= 3600, "wait");
    CC_FUZZ_CHECK(s->connect_timeout >= 1 && s->connect_timeout <= 300,
                  "connect_timeout");
}

static void check_app(const cc_config *config, const cc_app_config *a)
{
    size_t i;

    CC_FUZZ_CHECK(cc_name_check(a->name, strlen(a->name), CC_APP_MAX) == CC_OK,
                  "the name of an application");
    for (i = 0; i < a->server_count; i++)
        CC_FUZZ_CHECK(cc_config_find_server(config, a->servers[i]) != NULL,
                      "a server that is not there");
    CC_FUZZ_CHECK(a->window >= 1 && a->window <= CC_WINDOW_MAX, "window");
    CC_FUZZ_CHECK(a->parallel >= 1 && a->parallel <= CC_PARALLEL_MAX, "parallel");
    CC_FUZZ_CHECK(a->timeout >= 1 && a->timeout <= CC_TIMEOUT_MAX, "timeout");
    CC_FUZZ_CHECK(a->retries >= 0 && a->retries <= CC_RETRIES_MAX, "retries");
    CC_FUZZ_CHECK(a->quota == 0 || a->quota == INT64_MAX
                      || (a->quota >= 1 << 20 && a->quota <= config->inbox_max),
                  "quota");
    CC_FUZZ_CHECK(a->exec == NULL || (a->exec[0] != NULL && a->exec[0][0] == '/'),
                  "exec is no path");
}

static void check_config(const cc_config *config)
{
    size_t i;

    CC_FUZZ_CHECK(config->server_count > 0, "no server");
    CC_FUZZ_CHECK(config->inbox_max >= 1 << 20 && config->inbox_max <= 1ll << 40,
                  "inbox_max");
    CC_FUZZ_CHECK(config->spool_max >= 1 << 20 && config->spool_max <= 1ll << 40,
                  "spool_max");
    CC_FUZZ_CHECK(config->max_message >= 1 << 20 && config->max_message <= 512 << 20,
                  "max_message");
    for (i = 0; i < config->server_count; i++)
        check_server(&config->servers[i]);
    for (i = 0; i < config->app_count; i++)
        check_app(config, &config->apps[i]);
}

/* ---- written anew --------------------------------------------------------- */

static void write_text(cc_buffer *out, const char *key, const char *value)
{
    if (value != NULL)
        cc_buffer_format(out, "%s=%s\n", key, value);
}

static void write_server(cc_buffer *out, const cc_server_config *s)
{
    cc_buffer_format(
        out, "[server %s]\ndevice=%s\nmode=%s\nwait=%d\nconnect_timeout=%d\n", s->name,
        s->device, s->stream ? "stream" : "poll", s->wait, s->connect_timeout);
    write_text(out, "url", s->url);
    write_text(out, "publish", s->publish);
    write_text(out, "user", s->user);
    write_text(out, "password_file", s->password_file);
    write_text(out, "token_file", s->token_file);
    write_text(out, "netrc", s->netrc);
    write_text(out, "cert", s->cert);
    write_text(out, "key", s->key);
    write_text(out, "ca", s->ca);
    write_text(out, "proxy", s->proxy);
}

/* A blank before ';' would begin a comment. */
static void write_word(cc_buffer *out, const char *word, int in_apostrophes)
{
    const char *quote = in_apostrophes ? "'" : "\"";

    cc_buffer_format(out, " %s", quote);
    for (; *word != '\0'; word++) {
        if (*word == ';')
            cc_buffer_format(out, "%s\\;%s", quote, quote);
        else if (!in_apostrophes && (*word == '"' || *word == '\\'))
            cc_buffer_format(out, "\\%c", *word);
        else
            cc_buffer_add(out, word, 1);
    }
    cc_buffer_add_text(out, quote);
}

static void write_app(cc_buffer *out, const cc_app_config *a)
{
    size_t i;

    cc_buffer_format(out, "[app %s]\nwindow=%d\nparallel=%d\ntimeout=%d\nretries=%d\n",
                     a->name, a->window, a->parallel, a->timeout, a->retries);
    if (a->quota == INT64_MAX)
        cc_buffer_add_text(out, "quota=none\n");
    else if (a->quota > 0)
        cc_buffer_format(out, "quota=%lld\n", (long long)a->quota);
    for (i = 0; i < a->server_count; i++)
        cc_buffer_format(out, "%s%s", i == 0 ? "servers=" : ",", a->servers[i]);
    for (i = 0; i < a->user_count; i++)
        cc_buffer_format(out, "%s%lu", i == 0 ? "\nusers=" : ",",
                         (unsigned long)a->users[i]);
    cc_buffer_add_text(out, a->exec != NULL ? "\nexec=" : "\n");
    for (i = 0; a->exec != NULL && a->exec[i] != NULL; i++)
        write_word(out, a->exec[i], strchr(a->exec[i], '\'') == NULL && i % 2 == 0);
    cc_buffer_add_text(out, "\n");
}

static void write_config(cc_buffer *out, const cc_config *config)
{
    size_t i;

    cc_buffer_format(out, "[agent]\ninbox_max=%lld\nmax_message=%lld\nspool_max=%lld\n",
                     (long long)config->inbox_max, (long long)config->max_message,
                     (long long)config->spool_max);
    write_text(out, "socket", config->socket);
    write_text(out, "inbox", config->inbox);
    for (i = 0; i < config->server_count; i++)
        write_server(out, &config->servers[i]);
    for (i = 0; i < config->app_count; i++)
        write_app(out, &config->apps[i]);
}

/* Read again, and written again: the same text. */
static void check_again(const cc_config *config)
{
    cc_buffer first = { NULL, 0, 0 }, second = { NULL, 0, 0 };
    cc_config *again = NULL;
    char *error = NULL;

    write_config(&first, config);
    if (cc_config_read(cc_fuzz_write("again.conf", first.data, first.len), &again, &error)
        == CC_OK) {
        write_config(&second, again);
        CC_FUZZ_CHECK(strcmp(first.data, second.data) == 0,
                      "written anew it says something else");
    }
    else {
        CC_FUZZ_CHECK(strstr(error, "is longer than") != NULL, error);
    }
    free(error);
    cc_config_destroy(again);
    cc_buffer_clear(&first);
    cc_buffer_clear(&second);
}

static void read_config(const uint8_t *data, size_t size)
{
    const char *file = cc_fuzz_write("commclient.conf", data, size);
    char *text = cc_copy_bytes((const char *)data, size);
    cc_config *config = NULL;
    char *error = NULL;

    if (cc_config_read(file, &config, &error) == CC_OK) {
        CC_FUZZ_CHECK(error == NULL, "taken, and an error");
        check_config(config);
        check_again(config);
    }
    else {
        check_error(error);
        if (strlen(text) == size && holds_password(text))
            CC_FUZZ_CHECK(strstr(error, SECRET) == NULL, "an error tells a secret");
    }
    free(error);
    free(text);
    cc_config_destroy(config);
}

/* ---- secrets -------------------------------------------------------------- */

/* Another reading: one line, its end apart. @return its length, or 0 */
static size_t secret_length(const uint8_t *data, size_t size)
{
    size_t i, len = size;

    if (size > CC_SECRET_MAX)
        return 0;
    if (len > 0 && data[len - 1] == '\n')
        len--;
    if (len > 0 && data[len - 1] == '\r')
        len--;
    for (i = 0; i < len; i++) {
        if (data[i] < 0x20 || data[i] == 0x7f)
            return 0;
    }
    return len;
}

static void read_secret(const uint8_t *data, size_t size)
{
    cc_secret secret = { .name = "password_file" };
    size_t len = secret_length(data, size);

    secret.path = cc_fuzz_write("password", data, size);
    if (cc_secret_read(&secret) == CC_OK) {
        CC_FUZZ_CHECK(len > 0 && strlen(secret.text) == len
                          && memcmp(secret.text, data, len) == 0,
                      "another secret than in the file");
        CC_FUZZ_CHECK(secret.error[0] == '\0', "a secret, and an error");
    }
    else {
        CC_FUZZ_CHECK(len == 0 && secret.text == NULL, "a secret is refused");
        check_error(secret.error);
        CC_FUZZ_CHECK(strstr(secret.error, SECRET) == NULL, "an error tells a secret");
    }
    cc_secret_clear(&secret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char mark[] = "secret\n";
    size_t len = sizeof(mark) - 1;

    setenv("XDG_RUNTIME_DIR", cc_fuzz_directory(), 1);
    if (size >= len && memcmp(data, mark, len) == 0)
        read_secret(data + len, size - len);
    else
        read_config(data, size);
    return 0;
}
