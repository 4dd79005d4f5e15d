/* SPDX-License-Identifier: Apache-2.0
 * ctl_check.c - "commclient check": find what does not work, and say how to
 * mend it.
 */
#include "cc_compat.h"
#include "ctl.h"
#include "ctl_check.h"
#include "ctl_options.h"
#include "cc_paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json.h>

static const char subject[] = "configuration";

/* Who can write it decides which programs run and where passwords go. */
static void check_config_file(ctl_report *report, const char *file)
{
    struct stat info;

    if (stat(file, &info) != 0)
        return;
    if (info.st_uid != geteuid() && info.st_uid != 0)
        ctl_report_format(report, CTL_FAULT, subject, "Make it yours: chown, or copy it",
                          "'%s' belongs to another user", file);
    else if ((info.st_mode & 022) != 0)
        ctl_report_format(report, CTL_FAULT, subject, "chmod go-w on it",
                          "'%s' can be written by others", file);
    else
        ctl_check_directory(report, subject, file);
}

static cc_config *check_config(ctl_report *report, const char *file)
{
    cc_config *config = NULL;
    char *error = NULL;
    cc_status status = cc_config_read(file, &config, &error);

    if (status == CC_OK)
        ctl_report_format(report, CTL_FINE, subject, NULL,
                          "'%s' (%zu server%s, %zu section%s for applications)", file,
                          config->server_count, config->server_count == 1 ? "" : "s",
                          config->app_count, config->app_count == 1 ? "" : "s");
    else
        ctl_report_add(report, CTL_FAULT, subject, error,
                       status == CC_NOT_FOUND
                           ? "'commclient setup URL' writes one"
                           : "Mend it: commclient.conf(5) says what is allowed");
    free(error);
    check_config_file(report, file);
    return config;
}

static void check_all(ctl_report *report, const cc_config *config)
{
    struct json_object *status;
    size_t i;

    for (i = 0; i < config->server_count; i++)
        ctl_check_server(report, &config->servers[i]);
    for (i = 0; i < config->app_count; i++)
        ctl_check_exec(report, &config->apps[i]);
    status = ctl_check_socket(report, config);
    ctl_check_inbox(report, config, status != NULL);
    if (status != NULL)
        ctl_check_agent(report, status);
    json_object_put(status);
}

static int finish(const ctl_report *report)
{
    if (report->faults > 0)
        printf("\n%d fault%s, %d note%s\n", report->faults,
               report->faults == 1 ? "" : "s", report->notes,
               report->notes == 1 ? "" : "s");
    return report->faults > 0 ? CTL_FAILED : CTL_OK;
}

static int check(const char *file)
{
    ctl_report report;
    cc_config *config;

    ctl_report_init(&report);
    config = check_config(&report, file);
    if (config != NULL)
        check_all(&report, config);
    cc_config_destroy(config);
    return finish(&report);
}

static int run(const ctl_verb *verb, int argc, char **argv)
{
    const char *config = NULL;
    const ctl_option known[] = { CTL_TEXT("config", 'c', &config), CTL_OPTIONS_END };
    char *file;
    int rv;

    if (!ctl_options_read(verb, argc, argv, known, NULL, &rv))
        return rv;
    if (optind != argc)
        return ctl_print_usage(verb);
    file = config != NULL ? cc_copy(config) : cc_paths_config();
    if (file == NULL) {
        ctl_complain("there is no home directory: say --config FILE");
        return CTL_CONFIG;
    }
    rv = check(file);
    free(file);
    return rv;
}

const ctl_verb ctl_check = {
    "check", "[--config FILE]",
    "Find what does not work, and say how to mend it: the configuration and its\n"
    "files, each server (by a poll that takes nothing), socket, inbox and disk. Run it\n"
    "as the user whose agent it is; it changes nothing.\n"
    "\n"
    "  -c, --config FILE  the configuration; default ~/.config/commclient/\n"
    "                     commclient.conf, for root /etc/commclient/commclient.conf\n"
    "  -h, --help         show this\n"
    "\n"
    "Exit status: 0 all is well, 1 there are faults, 2 wrong usage.\n",
    run
};
