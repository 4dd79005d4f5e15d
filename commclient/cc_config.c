/* SPDX-License-Identifier: Apache-2.0
 * cc_config.c - the configuration file, read and checked as a whole.
 *
 * inih splits lines into names and values. The lines are handed to it one by
 * one from here, because it does not tell line numbers, cuts long lines in
 * two and long section names short, and skips sections without keys: section
 * lines are therefore read here. What the keys mean is in cc_config_agent.c,
 * cc_config_server.c and cc_config_app.c.
 */
#include "cc_compat.h"
#include "cc_config_private.h"
#include "cc_memory.h"
#include "cc_utf8.h"

#include <ini.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const cc_config_section *const sections[] = { &cc_config_agent_section,
                                                     &cc_config_server_section,
                                                     &cc_config_app_section, NULL };

cc_status cc_config_fail(cc_config_parser *p, const char *format, ...)
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
    cc_utf8_hide_controls(error.data, 0);
    p->error = error.data;
    p->stop = 1;
    return CC_BAD_CONFIG;
}

/* ---- sections -------------------------------------------------------- */

cc_status cc_config_check_section_name(cc_config_parser *p, const char *kind,
                                       const char *name)
{
    if (cc_name_check(name, strlen(name), CC_APP_MAX) == CC_OK)
        return CC_OK;
    return cc_config_fail(
        p,
        "[%s %s]: a name of up to %d letters, digits, '.', '_' and '-' is"
        " needed, a letter or digit first",
        kind, name, CC_APP_MAX);
}

/* `text` is what stands between the brackets. */
static cc_status begin_section(cc_config_parser *p, char *text)
{
    char *name = text + strcspn(text, " \t");
    size_t i;

    if (*name != '\0') {
        *name++ = '\0';
        name += strspn(name, " \t");
    }
    for (i = 0; sections[i] != NULL; i++) {
        if (strcmp(text, sections[i]->name) == 0) {
            p->given = 0;
            p->section = sections[i];
            return p->section->begin(p, name);
        }
    }
    return cc_config_fail(
        p, "section [%s] is not known: [agent], [server NAME] and [app NAME] are", text);
}

static cc_status read_section_line(cc_config_parser *p, const char *line)
{
    const char *end = strchr(line, ']');
    const char *rest;
    char text[256];
    size_t len;

    if (end == NULL)
        return cc_config_fail(p, "the section has no ']'");
    rest = end + 1 + strspn(end + 1, " \t\r\n");
    if (*rest != '\0' && *rest != ';' && *rest != '#')
        return cc_config_fail(p, "there is something behind ']'");
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
    cc_config_parser *p = stream;
    const char *start;

    if (p->stop || fgets(buffer, size, p->stream) == NULL)
        return NULL;
    p->line++;
    if (strchr(buffer, '\n') == NULL && !feof(p->stream)) {
        cc_config_fail(p, "the line is longer than %d bytes", size - 2);
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
    cc_config_parser *p = user;
    unsigned i;

    (void)ignored;
    if (p->stop)
        return 0;
    if (p->section == NULL) {
        cc_config_fail(p, "'%s' stands before the first section", name);
        return 0;
    }
    for (i = 0; p->section->keys[i].name != NULL; i++) {
        if (strcmp(p->section->keys[i].name, name) == 0)
            break;
    }
    if (p->section->keys[i].name == NULL) {
        cc_config_fail(p, "key '%s' is not known in [%s]", name, p->section->name);
        return 0;
    }
    if (p->given & ((uint64_t)1 << i)) {
        cc_config_fail(p, "'%s' is given twice, or goes on in a second line", name);
        return 0;
    }
    p->given |= (uint64_t)1 << i;
    if (value == NULL || *value == '\0') {
        cc_config_fail(p, "'%s' has no value", name);
        return 0;
    }
    return p->section->keys[i].set(p, value) == CC_OK;
}

/* ---- the whole ------------------------------------------------------- */

static cc_status check_whole(cc_config_parser *p)
{
    size_t i;

    p->line = 0;
    if (p->config->server_count == 0)
        return cc_config_fail(p, "there is no [server NAME]");
    for (i = 0; i < p->config->server_count; i++) {
        if (cc_config_server_check(p, &p->config->servers[i]) != CC_OK)
            return CC_BAD_CONFIG;
    }
    for (i = 0; i < p->config->app_count; i++) {
        if (cc_config_app_check(p, &p->config->apps[i]) != CC_OK)
            return CC_BAD_CONFIG;
    }
    p->line = 0;
    return cc_config_agent_finish(p);
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
    cc_config_parser p;
    int rv;
    cc_status status;

    memset(&p, 0, sizeof(p));
    *out_error = NULL;
    status = open_file(file, &p.stream, out_error);
    if (status != CC_OK)
        return status;
    p.config = cc_alloc(sizeof(*p.config));
    p.config->file = cc_copy(file);
    cc_config_agent_defaults(p.config);
    rv = ini_parse_stream(next_line, &p, set_key_value, &p);
    fclose(p.stream);
    if (rv != 0 && !p.stop)
        cc_config_fail(&p, "line %d is neither [section] nor name = value", rv);
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

void cc_config_destroy(cc_config *config)
{
    size_t i;

    if (config == NULL)
        return;
    for (i = 0; i < config->server_count; i++)
        cc_config_server_clear(&config->servers[i]);
    for (i = 0; i < config->app_count; i++)
        cc_config_app_clear(&config->apps[i]);
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
