/* SPDX-License-Identifier: Apache-2.0
 * cs_advice.h - does the configuration of the MPM fit held polls, and do the
 * limits fit each other?
 */
#ifndef CS_ADVICE_H
#define CS_ADVICE_H

#include <httpd.h>

/** Log one line for each setting of the MPM with which httpd would refuse
 *  connections or end children because polls are held, and one for each limit
 *  that another makes useless. In post_config. */
void cs_advice_log(apr_pool_t *ptemp, server_rec *s);

#endif
