/* SPDX-License-Identifier: Apache-2.0
 * cc_service.h - the agent under a service manager: what it is told, and when.
 *
 * All of it does nothing where no service manager asked (NOTIFY_SOCKET,
 * WATCHDOG_USEC). The keep-alive comes from the event loop, so a loop that
 * hangs does not send it.
 */
#ifndef CC_SERVICE_H
#define CC_SERVICE_H

#include "cc_compat.h"

struct event_base;

typedef struct cc_service cc_service;

/** @param is_healthy  asked before each keep-alive, from the event loop: 0 lets
 *                     it out, and the service manager starts the agent anew */
cc_service *cc_service_create(struct event_base *base, int (*is_healthy)(void *baton),
                              void *baton);
void cc_service_destroy(cc_service *service);

/** Applications can connect now; also: a reload is done. */
void cc_service_ready(cc_service *service);
void cc_service_reloading(cc_service *service);
void cc_service_stopping(cc_service *service);

/** One line for "systemctl status"; sent only when it is another one. */
void cc_service_status(cc_service *service, const char *text);

/** ms between two keep-alives that the service manager expects of this
 *  process; 0: it expects none. Reads WATCHDOG_USEC and WATCHDOG_PID. */
int64_t cc_service_watchdog(void);

#endif
