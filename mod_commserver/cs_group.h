/* SPDX-License-Identifier: Apache-2.0
 * cs_group.h - who belongs to a group of an application.
 */
#ifndef CS_GROUP_H
#define CS_GROUP_H

#include <httpd.h>

#include "cs_target.h"

/** PUT adds the client to the group, DELETE takes it out.
 *  @param target  CS_TARGET_MEMBER
 *  @return what the handler must return */
int cs_group_member(request_rec *r, const cs_target *target);

#endif
