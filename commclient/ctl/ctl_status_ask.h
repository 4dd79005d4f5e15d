/* SPDX-License-Identifier: Apache-2.0
 * ctl_status_ask.h - ask a running agent how it is doing.
 */
#ifndef CTL_STATUS_ASK_H
#define CTL_STATUS_ASK_H

#include "ctl.h"

struct json_object;

/** Ask, and wait for the answer, 5 seconds at most; a signal that ends the
 *  program (ctl_screen_catch()) ends the waiting.
 *  @return the value of {"status":...}, json_object_put() it; NULL: none came */
struct json_object *ctl_status_ask(ctl_connection *connection);

#endif
