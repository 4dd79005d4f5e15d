/* SPDX-License-Identifier: Apache-2.0
 * cl_publication.h - a publication as a line for the agent.
 */
#ifndef CL_PUBLICATION_H
#define CL_PUBLICATION_H

#include "cc_compat.h"
#include "cc_memory.h"
#include "commclient.h"

/**
 * @param app   where the publication names none; NULL: the agent is to know
 * @param ref   what answers are to repeat
 * @param out   the line is added, without a line feed
 * @return COMMCLIENT_OK, _BAD_ARGUMENT, _BAD_DATA
 */
int cl_publication_write(const commclient_publication *publication, const char *app,
                         const char *ref, cc_buffer *out);

#endif
