/* SPDX-License-Identifier: Apache-2.0
 * cs_identity.h - who sends this request, as a name of the queues.
 */
#ifndef CS_IDENTITY_H
#define CS_IDENTITY_H

#include <httpd.h>

#include "cs_problem.h"

/* The sender of requests without identity.                                  */
#define CS_ANONYMOUS "anonymous"

/**
 * The client whose queue r may read: the value of CommServerClient.
 * @return CS_PROBLEM_NONE; IDENTITY (logged): it is empty or no client name;
 *         CONFIGURATION (logged): the expression failed.
 */
cs_problem cs_identity_client(request_rec *r, const char **out_client);

/** The sender of what r publishes: the value of CommServerSender; results as
 *  above, but an empty one is `anonymous`. */
cs_problem cs_identity_sender(request_rec *r, const char **out_sender);

/** Not 0: 1 to 255 bytes of UTF-8 without control characters, and not of the
 *  form that names local processes (`local:USER`). */
int cs_identity_sender_is_valid(const char *sender);

#endif
