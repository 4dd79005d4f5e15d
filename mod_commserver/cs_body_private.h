/* SPDX-License-Identifier: Apache-2.0
 * cs_body_private.h - the part of cs_body.c that the event threads call.
 */
#ifndef CS_BODY_PRIVATE_H
#define CS_BODY_PRIVATE_H

#include "cs_park.h"

/**
 * Read on, in phase CS_PHASE_BODY. The client has Timeout from when bytes came
 * last, and what mod_reqtimeout allows for the whole.
 * @param signals  that have come
 * @return SUSPENDED: more has yet to come; else what ends the request.
 */
int cs_body_continue(cs_park *park, unsigned signals);

#endif
