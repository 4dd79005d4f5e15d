/* SPDX-License-Identifier: Apache-2.0
 * cc_config_private.h - what the files that read the configuration share.
 *
 * cc_config.c reads lines and finds out which section and key they are; each
 * kind of section has a file that knows its keys, their defaults and what
 * must hold between them; cc_config_value.c knows the values that several of
 * them take.
 */
#ifndef CC_CONFIG_PRIVATE_H
#define CC_CONFIG_PRIVATE_H

#include "cc_compat.h"
#include "cc_config.h"

#define CC_INBOX_MAX_MOST (1ll << 40) /* bytes                              */

#include <stdio.h>

typedef struct cc_config_parser cc_config_parser;

typedef struct cc_config_key {
    const char *name;
    cc_status (*set)(cc_config_parser *p, const char *value);
} cc_config_key;

/* A kind of section. */
typedef struct cc_config_section {
    const char *name;
    const cc_config_key *keys; /* the last one has no name; at most 64       */
    cc_status (*begin)(cc_config_parser *p, const char *name);
} cc_config_section;

struct cc_config_parser {
    FILE *stream;
    cc_config *config;
    const cc_config_section *section; /* NULL: before the first one          */
    uint64_t given;                   /* keys of this section that came, by index */
    int saw_agent;
    int stop;      /* an error was found                                     */
    unsigned line; /* 0: what is wrong stands in no line                     */
    char *error;
};

/** Note an error with file and line; the first one counts.
 *  @return CC_BAD_CONFIG */
cc_status cc_config_fail(cc_config_parser *p, const char *format, ...) CC_PRINTF(2, 3);

/** The name of [server NAME] or [app NAME]. */
cc_status cc_config_check_section_name(cc_config_parser *p, const char *kind,
                                       const char *name);

/* ---- cc_config_value.c ----------------------------------------------- */

/* Each sets a member, or fails and leaves it. */
cc_status cc_config_set_text(char **member, const char *value);
cc_status cc_config_set_path(cc_config_parser *p, char **member, const char *value);
cc_status cc_config_set_number(cc_config_parser *p, int *member, const char *value,
                               const char *name, int low, int high);
/** Bytes from 1M on; `most` must be a whole number of megabytes. */
cc_status cc_config_set_size(cc_config_parser *p, int64_t *member, const char *value,
                             const char *name, int64_t most);

/** Split into words as a shell does, but for variables and the like: blanks
 *  part words, '...' is taken as it is, in "..." a backslash stands before
 *  " and \, elsewhere before any character.
 *  @param out_words  NULL at the end; to be freed, and each of them
 *  @return CC_OK, or CC_MALFORMED: a quote is not closed, or a backslash is the
 *          last character */
cc_status cc_config_split_words(const char *text, char ***out_words);
void cc_config_free_words(char **words);

/** HOST or HOST:PORT, an IPv6 address as host in brackets. */
int cc_config_is_host(const char *text, size_t len);

/** The next of several names with commas or blanks between.
 *  @return its length, 0: there is none */
size_t cc_config_next_name(const char **text);

/* ---- one file a kind of section -------------------------------------- */

extern const cc_config_section cc_config_agent_section;
extern const cc_config_section cc_config_server_section;
extern const cc_config_section cc_config_app_section;

/** Set what [agent] left out or was not there. */
cc_status cc_config_agent_finish(cc_config_parser *p);
cc_status cc_config_server_check(cc_config_parser *p, const cc_server_config *server);
cc_status cc_config_app_check(cc_config_parser *p, const cc_app_config *app);

void cc_config_agent_defaults(cc_config *config);
void cc_config_server_clear(cc_server_config *server);
void cc_config_app_clear(cc_app_config *app);

#endif
