/* SPDX-License-Identifier: Apache-2.0
 * ctl_check.h - the parts of "commclient check".
 */
#ifndef CTL_CHECK_H
#define CTL_CHECK_H

#include "cc_compat.h"
#include "cc_config.h"
#include "ctl_report.h"

struct json_object;

/** The files that a [server] names, then the server itself. Blocks for as long
 *  as a poll may take. */
void ctl_check_server(ctl_report *report, const cc_server_config *server);

/** The program of an [app], if it has one. */
void ctl_check_exec(ctl_report *report, const cc_app_config *app);

/** The socket, and who listens on it.
 *  @return what a running agent says of itself, json_object_put() it; NULL: none
 *          runs, or it does not say */
struct json_object *ctl_check_socket(ctl_report *report, const cc_config *config);

/** The inbox: whole, writable, with room on its disk.
 *  @param is_used  a running agent has it open, it cannot be looked into */
void ctl_check_inbox(ctl_report *report, const cc_config *config, int is_used);

/** What a running agent says of itself that is not as it should be. */
void ctl_check_agent(ctl_report *report, struct json_object *status);

/** Can others write where they could put something of their own in place of
 *  `path`? Reports it. @return 1: they can */
int ctl_check_directory(ctl_report *report, const char *subject, const char *path);

#endif
