/* SPDX-License-Identifier: Apache-2.0
 * ctl_run.c - "commclient run": the agent itself.
 */
#include "cc_compat.h"
#include "ctl_options.h"
#include "cc_agent.h"
#include "cc_config.h"
#include "cc_log.h"
#include "cc_paths.h"

#include <stdlib.h>

typedef struct options {
    const char *config;
    const char *socket;
    const char *inbox;
    int verbose;
} options;

static int read_options(const ctl_verb *verb, int argc, char **argv, options *out,
                        int *out_status)
{
    const ctl_option known[] = { CTL_TEXT("config", 'c', &out->config),
                                 CTL_TEXT("socket", 's', &out->socket),
                                 CTL_TEXT("inbox", 'i', &out->inbox),
                                 CTL_FLAG("verbose", 'v', &out->verbose),
                                 CTL_OPTIONS_END };

    if (!ctl_options_read(verb, argc, argv, known, NULL, out_status))
        return 0;
    if (optind == argc)
        return 1;
    *out_status = ctl_print_usage(verb);
    return 0;
}

/* Returns 1 when there is a value. */
static int replace(char **member, const char *value)
{
    if (value == NULL)
        return 0;
    free(*member);
    *member = cc_copy(value);
    return 1;
}

static int exit_status(cc_status status)
{
    switch (status) {
    case CC_OK:
        return CTL_OK;
    case CC_BAD_CONFIG:
    case CC_NOT_FOUND:
    case CC_NOT_PERMITTED:
        return CTL_CONFIG;
    case CC_IN_USE:
        return CTL_IN_USE;
    default:
        return CTL_FAILED;
    }
}

static cc_status run_agent(const cc_config *config, char **out_error)
{
    cc_agent *agent = NULL;
    cc_status status = cc_agent_create(config, &agent, out_error);

    if (status == CC_OK)
        status = cc_agent_run(agent);
    cc_agent_destroy(agent);
    return status;
}

static int run(const ctl_verb *verb, int argc, char **argv)
{
    options given = { NULL, NULL, NULL, 0 };
    cc_config *config = NULL;
    char *error = NULL, *file;
    cc_status status = CC_BAD_CONFIG;
    int rv;

    if (!read_options(verb, argc, argv, &given, &rv))
        return rv;
    if (given.verbose)
        cc_log_level_set(CC_LOG_DEBUG);
    file = given.config != NULL ? cc_copy(given.config) : cc_paths_config();
    if (file == NULL)
        error = cc_copy("there is no home directory: say --config FILE");
    else
        status = cc_config_read(file, &config, &error);
    if (status == CC_OK) {
        config->socket_given = replace(&config->socket, given.socket);
        config->inbox_given = replace(&config->inbox, given.inbox);
        status = run_agent(config, &error);
    }
    if (error != NULL)
        cc_log(CC_LOG_ERROR, "%s%s", error,
               config == NULL && status == CC_NOT_FOUND
                   ? ": 'commclient setup URL' writes one"
                   : "");
    free(error);
    free(file);
    cc_config_destroy(config);
    return exit_status(status);
}

const ctl_verb ctl_run = {
    "run", "[--config FILE] [--socket PATH] [--inbox PATH]",
    "Run the agent: poll the servers, keep what comes in the inbox, and hand it to\n"
    "the local applications. It stays in the foreground and logs to stderr.\n"
    "\n"
    "  -c, --config FILE  the configuration; default ~/.config/commclient/\n"
    "                     commclient.conf, for root /etc/commclient/commclient.conf\n"
    "  -s, --socket PATH  instead of socket in [agent]\n"
    "  -i, --inbox PATH   instead of inbox in [agent]\n"
    "  -v, --verbose      log more\n"
    "  -h, --help         show this\n"
    "\n"
    "SIGTERM and SIGINT stop it, SIGHUP makes it read the configuration again.\n"
    "\n"
    "Exit status: 0 stopped, 1 failed, 2 wrong usage, 4 the configuration is not\n"
    "right, 5 another agent uses the socket or the inbox.\n",
    run
};
