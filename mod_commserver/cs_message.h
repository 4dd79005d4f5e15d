/* SPDX-License-Identifier: Apache-2.0
 * cs_message.h - {app}/-/messages/{id}: what became of a message, and taking
 * it back.
 */
#ifndef CS_MESSAGE_H
#define CS_MESSAGE_H

#include <httpd.h>

#include "cs_target.h"

/** Answer GET, HEAD or DELETE. In the handler of publishers; the method is one
 *  of cs_target_methods(). @return what the handler must return */
int cs_message_serve(request_rec *r, const cs_target *target);

#endif
