/* SPDX-License-Identifier: Apache-2.0
 * cs_hooks.h - what sibling modules call and attach to (mod_commserver.h).
 */
#ifndef CS_HOOKS_H
#define CS_HOOKS_H

#include "mod_commserver.h"

/** Make the optional functions known. In register_hooks. */
void cs_hooks_register(void);

/** Ask the siblings about a message. @return OK, or the HTTP status (400 to
 *  599) with which one refused. */
int cs_hooks_message_check(request_rec *r, const commserver_message *message,
                           const char *const *clients, int count);

#endif
