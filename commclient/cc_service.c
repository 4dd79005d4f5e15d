/* SPDX-License-Identifier: Apache-2.0
 * cc_service.c - the agent under a service manager: what it is told, and when.
 */
#include "cc_compat.h"
#include "cc_service.h"
#include "cc_memory.h"
#include "cc_notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#define STATUS_MAX   256     /* bytes                                        */
#define WATCHDOG_MAX 3600000 /* ms; a keep-alive is cheap                    */

struct cc_service {
    struct event *watchdog; /* NULL: none is expected                        */
    int64_t step;           /* ms between two keep-alives                    */
    int (*is_healthy)(void *baton);
    void *baton;
    char status[STATUS_MAX]; /* sent last                                    */
};

static unsigned long long number_in(const char *name)
{
    const char *text = getenv(name);
    unsigned long long number;
    char *end;

    if (text == NULL || *text < '0' || *text > '9')
        return 0;
    errno = 0;
    number = strtoull(text, &end, 10);
    return *end == '\0' && errno == 0 ? number : 0;
}

int64_t cc_service_watchdog(void)
{
    unsigned long long ms = number_in("WATCHDOG_USEC") / 1000;

    if (getenv("WATCHDOG_PID") != NULL
        && number_in("WATCHDOG_PID") != (unsigned long long)getpid())
        return 0;
    return ms > WATCHDOG_MAX ? WATCHDOG_MAX : (int64_t)ms;
}

static void start_timer(cc_service *service)
{
    struct timeval step;

    step.tv_sec = (time_t)(service->step / 1000);
    step.tv_usec = (suseconds_t)(service->step % 1000 * 1000);
    event_add(service->watchdog, &step);
}

static void on_watchdog(evutil_socket_t descriptor, short what, void *baton)
{
    cc_service *service = baton;

    (void)descriptor;
    (void)what;
    if (service->is_healthy(service->baton))
        cc_notify("WATCHDOG=1");
    start_timer(service);
}

/* Twice within the time that is expected, as sd_watchdog_enabled(3) advises. */
cc_service *cc_service_create(struct event_base *base, int (*is_healthy)(void *baton),
                              void *baton)
{
    cc_service *service = cc_alloc(sizeof(*service));

    service->is_healthy = is_healthy;
    service->baton = baton;
    service->step = cc_service_watchdog() / 2;
    if (service->step > 0) {
        service->watchdog = evtimer_new(base, on_watchdog, service);
        start_timer(service);
    }
    return service;
}

void cc_service_destroy(cc_service *service)
{
    if (service == NULL)
        return;
    if (service->watchdog != NULL)
        event_free(service->watchdog);
    free(service);
}

void cc_service_ready(cc_service *service)
{
    (void)service;
    cc_notify("READY=1");
}

void cc_service_reloading(cc_service *service)
{
    char text[64];
    struct timespec now;

    (void)service;
    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
             (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
    cc_notify(text);
}

void cc_service_stopping(cc_service *service)
{
    (void)service;
    cc_notify("STOPPING=1");
}

void cc_service_status(cc_service *service, const char *text)
{
    char line[STATUS_MAX + 8];

    if (strncmp(service->status, text, sizeof(service->status) - 1) == 0)
        return;
    snprintf(service->status, sizeof(service->status), "%s", text);
    snprintf(line, sizeof(line), "STATUS=%s", service->status);
    cc_notify(line);
}
