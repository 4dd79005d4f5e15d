/* SPDX-License-Identifier: Apache-2.0
 * cc_config_agent.c - [agent].
 */
#include "cc_compat.h"
#include "cc_config_private.h"
#include "cc_paths.h"

#define INBOX_MAX_DEFAULT   (256ll << 20)
#define SPOOL_MAX_DEFAULT   (64ll << 20)
#define SPOOL_MAX_MOST      (1ll << 40)
#define MAX_MESSAGE_DEFAULT (8ll << 20)
#define MAX_MESSAGE_MOST    (512ll << 20) /* SQLite keeps up to 1 GB in one piece */

static cc_status set_socket(cc_config_parser *p, const char *value)
{
    return cc_config_set_path(p, &p->config->socket, value);
}

static cc_status set_inbox(cc_config_parser *p, const char *value)
{
    return cc_config_set_path(p, &p->config->inbox, value);
}

static cc_status set_inbox_max(cc_config_parser *p, const char *value)
{
    return cc_config_set_size(p, &p->config->inbox_max, value, "inbox_max",
                              CC_INBOX_MAX_MOST);
}

static cc_status set_spool_max(cc_config_parser *p, const char *value)
{
    return cc_config_set_size(p, &p->config->spool_max, value, "spool_max",
                              SPOOL_MAX_MOST);
}

static cc_status set_max_message(cc_config_parser *p, const char *value)
{
    return cc_config_set_size(p, &p->config->max_message, value, "max_message",
                              MAX_MESSAGE_MOST);
}

static const cc_config_key agent_keys[] = {
    { "socket", set_socket },           { "inbox", set_inbox },
    { "inbox_max", set_inbox_max },     { "spool_max", set_spool_max },
    { "max_message", set_max_message }, { NULL, NULL }
};

static cc_status begin_agent(cc_config_parser *p, const char *name)
{
    if (*name != '\0')
        return cc_config_fail(p, "[agent] takes no name");
    if (p->saw_agent)
        return cc_config_fail(p, "[agent] is given twice");
    p->saw_agent = 1;
    return CC_OK;
}

const cc_config_section cc_config_agent_section = { "agent", agent_keys, begin_agent };

void cc_config_agent_defaults(cc_config *config)
{
    config->inbox_max = INBOX_MAX_DEFAULT;
    config->spool_max = SPOOL_MAX_DEFAULT;
    config->max_message = MAX_MESSAGE_DEFAULT;
}

cc_status cc_config_agent_finish(cc_config_parser *p)
{
    cc_config *config = p->config;

    if (config->socket == NULL)
        config->socket = cc_paths_socket();
    if (config->inbox == NULL)
        config->inbox = cc_paths_inbox();
    if (config->socket == NULL)
        return cc_config_fail(p, "XDG_RUNTIME_DIR is not set: give socket in [agent]");
    if (config->inbox == NULL)
        return cc_config_fail(p, "there is no home directory: give inbox in [agent]");
    return CC_OK;
}
